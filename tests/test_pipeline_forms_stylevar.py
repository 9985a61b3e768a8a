# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows, lists of rows and streams are painted as the pictures in them are."""

import inspect
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pytest
import torch
from datasets import Dataset, Image
from transformers.pipelines.pt_utils import KeyDataset

from stylevar_hf import StyleVARPipeline
from stylevar_hf.pipeline_forms_stylevar import read_ahead


@pytest.fixture(scope="module")
def pipe(tiny_model_dir) -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[PIL.Image.Image]:
    rng = np.random.default_rng(0)
    return [PIL.Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(4)]


@pytest.fixture(scope="module")
def expected(pipe, pictures) -> list[PIL.Image.Image]:
    """Contents 0 and 1 in the style of pictures 2 and 3."""
    return pipe(pictures[:2], pictures[2:], seed=0)


class Rows(torch.utils.data.Dataset):
    """A data set as PyTorch defines it: a length and items, no end that iteration would find."""

    def __init__(self, rows: list):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int):
        return self.rows[index % len(self.rows)]


def make_rows(pictures: list, **other) -> list[dict]:
    return [{"content": pictures[i], "style": pictures[i + 2], **other} for i in range(2)]


class TestRows:
    def test_a_row_is_a_pair(self, pipe, pictures, expected):
        assert pipe(make_rows(pictures)[0], seed=0) == expected[0]

    def test_other_columns_are_not_read(self, pipe, pictures, expected):
        assert pipe(make_rows(pictures, content_id="x", target=None)[1], seed=0) == expected[1]

    def test_a_list_of_rows_is_a_list(self, pipe, pictures, expected):
        assert pipe(make_rows(pictures), seed=0) == expected

    def test_options_hold_for_all_rows(self, pipe, pictures):
        painted = pipe(make_rows(pictures), seed=0, num_images=2, output_type="np")
        assert [len(images) for images in painted] == [2, 2]

    @pytest.mark.parametrize("row", [{"content": "a.png"}, {"style": "a.png"}, {"image": 1}, {}])
    def test_a_row_without_a_picture_is_refused(self, pipe, row):
        with pytest.raises(ValueError, match="`content` must have a 'content' and a 'style'"):
            pipe(row)

    def test_a_picture_without_a_style_is_refused(self, pipe, pictures):
        with pytest.raises(ValueError, match="`style` must be given"):
            pipe(pictures[0])


class TestStreams:
    @pytest.mark.parametrize("batch_size", [None, 1, 2, 5])
    @pytest.mark.parametrize("make", [iter, Rows, lambda rows: (row for row in rows)], ids=["iter", "Dataset", "gen"])
    def test_rows_are_painted_in_order(self, pipe, pictures, expected, make, batch_size):
        painted = pipe(make(make_rows(pictures)), seed=0, batch_size=batch_size)
        assert isinstance(painted, Iterator)
        assert list(painted) == expected

    def test_rows_of_datasets(self, pipe, pictures, expected):
        dataset = Dataset.from_list(make_rows(pictures)).cast_column("content", Image()).cast_column("style", Image())
        assert list(pipe(dataset, seed=0)) == expected

    def test_contents_share_a_style(self, pipe, pictures):
        together = pipe(pictures[:2], pictures[2], seed=0)
        assert list(pipe(iter(pictures[:2]), pictures[2], seed=0)) == together
        assert list(pipe(KeyDataset(Rows(make_rows(pictures)), "content"), pictures[2], seed=0)) == together

    def test_styles_share_a_content(self, pipe, pictures):
        assert list(pipe(pictures[0], iter(pictures[2:]), seed=0)) == pipe(pictures[0], pictures[2:], seed=0)

    def test_two_streams_are_paired(self, pipe, pictures, expected):
        assert list(pipe(iter(pictures[:2]), iter(pictures[2:]), seed=0)) == expected

    def test_streams_of_different_lengths_are_refused(self, pipe, pictures):
        with pytest.raises(ValueError, match="zip"):
            list(pipe(iter(pictures[:2]), iter(pictures[2:3]), seed=0))

    def test_results_come_as_they_are_painted(self, pipe, pictures):
        taken = []

        def rows():
            for index in range(3):
                taken.append(index)
                yield {"content": pictures[index], "style": pictures[3]}

        painted = pipe(rows(), seed=0)
        assert taken == []
        next(painted)
        assert taken == [0]

    @pytest.mark.parametrize("num_workers", [1, 3])
    def test_workers_change_nothing(self, pipe, pictures, expected, num_workers, tmp_path):
        names = [str(tmp_path / f"{index}.png") for index in range(4)]
        for name, picture in zip(names, pictures, strict=True):
            picture.save(name)
        assert list(pipe(iter(make_rows(names)), seed=0, num_workers=num_workers)) == expected

    def test_workers_read_outside_of_the_main_thread(self, pictures, tmp_path, monkeypatch):
        import stylevar_hf.pipeline_forms_stylevar as forms

        threads = []
        monkeypatch.setattr(forms, "load_image", lambda name: threads.append(threading.current_thread().name))
        list(read_ahead([("a.png", "b.png")] * 5, num_workers=2))
        assert len(threads) == 10 and threading.main_thread().name not in threads

    def test_previews_are_for_lists(self, pipe, pictures):
        with pytest.raises(ValueError, match="`previews` must be False for a stream"):
            pipe(iter(make_rows(pictures)), previews=True)

    @pytest.mark.parametrize("num_workers", [-1, 0.5, "2"])
    def test_bad_num_workers(self, pipe, pictures, num_workers):
        with pytest.raises(ValueError, match="`num_workers` must be 0 or more"):
            pipe(pictures[0], pictures[1], num_workers=num_workers)


class TestPlaces:
    def test_to_returns_the_pipeline(self, pipe):
        assert pipe.to("cpu") is pipe
        assert pipe.device == torch.device("cpu")

    def test_to_moves_the_model(self, tiny_model_dir):
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu").to("meta")
        assert pipe.model.device.type == pipe.device.type == "meta"

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", torch.bfloat16])
    def test_dtype_by_name(self, tiny_model_dir, dtype):
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu", dtype=dtype)
        assert pipe.model.dtype == (getattr(torch, dtype) if isinstance(dtype, str) else dtype)

    def test_save_pretrained_hands_options_on(self, pipe, tmp_path):
        pipe.save_pretrained(tmp_path, variant="half")
        assert (tmp_path / "model.half.safetensors").exists()

    def test_the_signature_still_shows_every_option(self):
        assert {"content", "style", "seed", "batch_size"} <= set(
            inspect.signature(StyleVARPipeline.__call__).parameters
        )

    def test_remote_code_in_a_process_without_the_package(self, tiny_model_dir, tmp_path):
        code = f"""
        import sys
        sys.modules["stylevar_hf"] = None  # not to be found
        import PIL.Image
        from transformers import pipeline
        pipe = pipeline("image-style-transfer", model={tiny_model_dir!r}, trust_remote_code=True, device="cpu")
        print(type(pipe).__module__.split(".")[0], pipe(*[PIL.Image.new("RGB", (20, 20))] * 2, seed=0).size)
        """
        environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_MODULES_CACHE": str(tmp_path / "modules")}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        finished = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert finished.stdout.endswith("transformers_modules (16, 16)\n"), finished.stderr[-500:]


class TestBatchSize:
    def test_auto_paints_the_same(self, pipe, pictures, expected):
        assert pipe(pictures[:2], pictures[2:], seed=0, batch_size="auto") == expected
        assert list(pipe(iter(make_rows(pictures)), seed=0, batch_size="auto")) == expected

    def test_auto_of_the_constructor(self, tiny_model_dir, pictures):
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        pipe._batch_size = "auto"
        assert pipe.images_at_once(None) == 4 and pipe.images_at_once(3) == 3

    @pytest.mark.parametrize("free, expected", [(80 * 2**30, 64), (2**16, 1), (0, 1)])
    def test_auto_fits_the_memory_of_a_gpu(self, tiny_model_dir, monkeypatch, free, expected):
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
        pipe.device = torch.device("cuda")
        assert pipe.images_at_once("auto") == expected

    def test_other_words_are_refused(self, pipe, pictures):
        with pytest.raises(ValueError, match="`batch_size` must be a positive integer, but got 'all'"):
            pipe(pictures[0], pictures[1], batch_size="all")


class TestEvaluationMode:
    def test_painting_while_training_changes_nothing(self, tiny_model_dir, pictures):
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        before = pipe(pictures[0], pictures[1], seed=0)
        buffers = {name: buffer.clone() for name, buffer in pipe.model.named_buffers()}
        pipe.model.train()
        pipe.model.vq_model.eval()
        assert pipe(pictures[0], pictures[1], seed=0) == before
        assert pipe.model.training and pipe.model.model.training and not pipe.model.vq_model.training
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in pipe.model.named_buffers())
