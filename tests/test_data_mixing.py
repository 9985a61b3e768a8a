# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from types import SimpleNamespace

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from transformers import Trainer, TrainingArguments

from stylevar_hf.data import EpochCallback, concatenate, mix_datasets, with_index


def make_part(name: str, count: int, target: bool = True, extra: bool = False) -> datasets.Dataset:
    """Rows whose images are one grey level."""
    image = PIL.Image.new("RGB", (2, 2))
    columns = {"content": [image] * count, "style": [image] * count}
    columns |= {"target": [image] * count} if target else {}
    columns |= {"content_id": [f"{name}{i}" for i in range(count)]} | ({"note": [name] * count} if extra else {})
    features = {column: datasets.Image() for column in columns if column in ("content", "style", "target")}
    features |= {column: datasets.Value("string") for column in columns if column in ("content_id", "note")}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def ids(data) -> list[str]:
    return [row["content_id"] for row in data]


def shares(data) -> Counter:
    return Counter(name[0] for name in ids(data))


class TestConcatenate:
    def test_keeps_order_and_common_columns(self):
        data = concatenate([make_part("a", 2), make_part("b", 3, extra=True)])
        assert ids(data) == ["a0", "a1", "b0", "b1", "b2"]
        assert data.column_names == ["content", "style", "target", "content_id"]

    def test_one_stream_makes_a_stream(self):
        data = concatenate([make_part("a", 2), make_part("b", 1).to_iterable_dataset()])
        assert isinstance(data, datasets.IterableDataset)
        assert ids(data) == ["a0", "a1", "b0"]
        assert isinstance(next(iter(data))["content"], PIL.Image.Image)

    def test_parts_with_and_without_target(self):
        with pytest.raises(ValueError, match=r"no target in parts \[1\]"):
            concatenate([make_part("a", 2), make_part("b", 2, target=False)])

    def test_no_parts(self):
        with pytest.raises(ValueError, match="`parts` must be one dataset or more"):
            concatenate([])

    def test_part_without_style(self):
        with pytest.raises(ValueError, match="no \\['style'\\] in some"):
            concatenate([make_part("a", 2).remove_columns("style")])


class TestMixDatasets:
    def test_weights_are_shares(self):
        parts = [make_part("a", 300), make_part("b", 300)]
        found = shares(mix_datasets(parts, weights=(3, 1), seed=0))
        assert 0.68 < found["a"] / found.total() < 0.82

    def test_same_seed_same_rows(self):
        parts = [make_part("a", 20), make_part("b", 20)]
        first = ids(mix_datasets(parts, (1, 1), seed=1))
        assert ids(mix_datasets(parts, (1, 1), seed=1)) == first
        assert ids(mix_datasets(parts, (1, 1), seed=2)) != first

    def test_parts_take_turns_without_weights(self):
        assert ids(mix_datasets([make_part("a", 2), make_part("b", 2)])) == ["a0", "b0", "a1", "b1"]

    def test_part_of_weight_zero_is_left_out_and_the_rest_comes_whole(self):
        parts = [make_part("a", 5), make_part("b", 5)]
        assert ids(mix_datasets(parts, (0, 2), stopping="all_exhausted")) == [f"b{i}" for i in range(5)]

    def test_stopping(self):
        parts = [make_part("a", 2), make_part("b", 8)]
        assert set(ids(mix_datasets(parts, (1, 1), stopping="all_exhausted"))) == set(ids(concatenate(parts)))
        once = ids(mix_datasets(parts, (1, 1), stopping="all_exhausted_without_replacement"))
        assert sorted(once) == sorted(ids(concatenate(parts)))
        assert len(mix_datasets(parts, (1, 1))) < 10

    def test_streams(self):
        parts = [make_part("a", 50).to_iterable_dataset(), make_part("b", 50)]
        data = mix_datasets(parts, (1, 1), stopping="all_exhausted")
        assert isinstance(data, datasets.IterableDataset)
        assert set(ids(data)) == {f"{name}{i}" for name in "ab" for i in range(50)}

    @pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, float("nan")), (1, float("inf"))])
    def test_weights_that_do_not_fit(self, weights):
        with pytest.raises(ValueError, match="`weights` must be 2 numbers"):
            mix_datasets([make_part("a", 2), make_part("b", 2)], weights)

    def test_unknown_stopping(self):
        with pytest.raises(ValueError, match="`stopping` must be one of"):
            mix_datasets([make_part("a", 2)], stopping="never")


class TestWithIndex:
    @pytest.mark.parametrize("streaming", [False, True])
    def test_numbers_rows(self, streaming):
        data = make_part("a", 3)
        if streaming:
            data = data.remove_columns("content_id").to_iterable_dataset()
        data = with_index(data if streaming else with_index(data.select([2, 1, 0])))
        assert [row["index"] for row in data] == [0, 1, 2]
        assert data.features["index"].dtype == "int64"
        assert isinstance(next(iter(data))["content"], PIL.Image.Image)

    def test_workers_that_share_a_stream_have_other_numbers(self):
        stream = with_index(make_part("a", 6).to_iterable_dataset(num_shards=3))
        parts = [stream.shard(num_shards=3, index=part) for part in range(3)]
        numbers = [row["index"] for part in parts for row in part]
        assert len(set(numbers)) == 6
        assert numbers == [row["index"] for part in parts for row in part]
        repeated = with_index(make_part("a", 1).to_iterable_dataset().repeat(3))
        first = next(iter(repeated))["index"]
        assert [row["index"] - first for row in repeated] == [0, 1, 2]


class _Scalar(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, values, **_):
        return {"loss": self.weight * values.mean()}


class PartOfTheEpoch(torch.utils.data.Dataset):
    """One part per epoch."""

    def __init__(self, parts):
        self.parts, self.epoch = parts, None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.parts[0])

    def __getitem__(self, index):
        return self.parts[self.epoch][index]


class TestEpochCallback:
    @pytest.fixture
    def train(self, tmp_path):
        """Trains for two epochs of four batches, with another part in each; returns the part of each batch."""

        def run(resume: bool = False, **arguments) -> list[str]:
            rows = PartOfTheEpoch([make_part("a", 8), make_part("b", 8)])
            seen = []

            def collate(rows):
                seen.append("".join(sorted({row["content_id"][0] for row in rows})))
                return {"values": torch.ones(len(rows))}

            settings = TrainingArguments(
                str(tmp_path / "out"),
                num_train_epochs=2,
                per_device_train_batch_size=2,
                save_steps=6,
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                remove_unused_columns=False,
                logging_steps=100,
                **arguments,
            )
            callbacks = [EpochCallback(rows)]
            Trainer(_Scalar(), settings, train_dataset=rows, data_collator=collate, callbacks=callbacks).train(
                resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6") if resume else None
            )
            return seen

        return run

    def test_trainer_shows_each_epoch_its_rows(self, train):
        assert train() == ["a"] * 4 + ["b"] * 4

    def test_each_pass_of_a_stream_is_an_epoch(self, tmp_path):
        epochs = []
        settings = TrainingArguments(
            str(tmp_path), max_steps=6, per_device_train_batch_size=2, report_to="none", use_cpu=True,
            disable_tqdm=True, remove_unused_columns=False, save_strategy="no",
        )  # fmt: skip
        trainer = Trainer(
            _Scalar(),
            settings,
            train_dataset=make_part("a", 4).to_iterable_dataset(),
            data_collator=lambda rows: {"values": torch.ones(len(rows))},
            callbacks=[EpochCallback(SimpleNamespace(set_epoch=epochs.append))],
        )
        for _ in range(2):
            epochs.clear()
            trainer.train()
            assert epochs == [0, 1, 2]

    def test_resumed_run_goes_on_with_the_epoch_it_was_in(self, train):
        train()
        assert set(train(resume=True)) == {"b"}


def test_augmented_rows_of_a_mixture_have_numbers():
    data = with_index(mix_datasets([make_part("a", 2), make_part("b", 4)], (1, 1), stopping="all_exhausted"))
    assert np.array_equal(data["index"][:], np.arange(len(data)))
