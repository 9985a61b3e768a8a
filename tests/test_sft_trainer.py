# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import errno
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from conftest import CHECKPOINTING, make_tiny_config
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import ResNetConfig, ResNetModel, TrainingArguments

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor, StyleVARPipeline
from stylevar_hf.data.cache.tokens import cache_tokens
from stylevar_hf.training import StyleVARSFTConfig, StyleVARSFTTrainer
from stylevar_hf.training.common.arguments import StyleVARModelArguments, TripletDataArguments, load_training_data
from stylevar_hf.training.common.callbacks import FiniteLossGuard
from stylevar_hf.training.common.checkpointing import _is_full
from stylevar_hf.training.common.initialization import create_model, load_image_encoders
from stylevar_hf.training.sft import checks as sft_checks
from stylevar_hf.training.sft import sft_trainer


ROOT = Path(__file__).parent.parent


def make_triplets(num_rows: int = 8, seed: int = 0) -> datasets.Dataset:
    """Random pictures, two rows per content."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name in ("content", "style", "target"):
        pictures = rng.integers(0, 256, (num_rows, 18, 16, 3), dtype=np.uint8)
        columns[name] = [PIL.Image.fromarray(picture) for picture in pictures]
    features = {name: datasets.Image() for name in columns}
    columns["content_id"] = [f"content-{row // 2}" for row in range(num_rows)]
    columns["family"] = ["noise"] * num_rows
    texts = {"content_id": datasets.Value("string"), "family": datasets.Value("string")}
    return datasets.Dataset.from_dict(columns, datasets.Features({**features, **texts}))


def make_model(**overrides) -> StyleVARForConditionalGeneration:
    """A tiny model whose gates are open, so that everything gets a gradient."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = StyleVARForConditionalGeneration(make_tiny_config(**overrides))
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.modulation.weight, std=0.2)
    return model


def make_trainer(output_dir, model=None, train=None, evaluation=None, trainer_options=None, **options):
    arguments = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "augmentation": False,
        "max_steps": 4,
        "logging_steps": 2,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    args = StyleVARSFTConfig(output_dir=str(output_dir), **{**arguments, **options})
    return StyleVARSFTTrainer(
        make_model() if model is None else model,
        args,
        make_triplets() if train is None else train,
        evaluation,
        **(trainer_options or {}),
    )


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert different == []


class TestConfig:
    def test_defaults_are_the_published_recipe(self, tmp_path):
        args = StyleVARSFTConfig(output_dir=str(tmp_path), use_cpu=True)
        assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 128
        assert (args.learning_rate, args.num_train_epochs, args.weight_decay) == (2.5e-4, 10, 0.05)
        assert (args.adam_beta1, args.adam_beta2, args.max_grad_norm) == (0.9, 0.95, 2.0)
        assert args.drops_learning_rate and args.augmentation

    @pytest.mark.parametrize(
        ("options", "num_rows", "batch"),
        [
            ({}, 143_992, (16, 8)),
            ({}, 4096, (16, 8)),
            ({}, 640, (16, 1)),
            ({}, 128, (4, 1)),
            ({}, 3, (4, 1)),
            ({"per_device_train_batch_size": 4}, 4096, (4, 32)),
            ({"per_device_train_batch_size": 4}, 640, (4, 4)),
            ({"gradient_accumulation_steps": 2}, 128, (2, 2)),
            ({"per_device_train_batch_size": 16, "gradient_accumulation_steps": 8}, 128, (16, 8)),
        ],
    )
    def test_batch_that_was_left_out_fits_the_data(self, tmp_path, options, num_rows, batch):
        args = StyleVARSFTConfig(output_dir=str(tmp_path), use_cpu=True, **options).fit_to(num_rows, has_codes=False)
        assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == batch

    def test_augmentation_is_off_where_codes_are_cached(self, tmp_path):
        options = {"output_dir": str(tmp_path), "use_cpu": True}
        assert not StyleVARSFTConfig(**options, token_cache_dir="codes").augmentation
        assert not StyleVARSFTConfig(**options).fit_to(8, has_codes=True).augmentation
        assert StyleVARSFTConfig(**options, augmentation=True).fit_to(8, has_codes=True).augmentation

    def test_bfloat16_needs_no_flag_on_cpu(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
        assert StyleVARSFTConfig(output_dir=str(tmp_path), bf16=True).use_cpu

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"encoder_batch_norm": "eval"}, "`encoder_batch_norm` must be frozen or train, but got 'eval'"),
            ({"ema_decay": 1.0}, r"`ema_decay` must be in \[0, 1\), but got 1.0"),
            ({"learning_rate_drop_at": 0.0}, r"`learning_rate_drop_at` must be in \(0, 1\]"),
            ({"token_cache_dir": "x", "augmentation": True}, "`token_cache_dir` must be None with `augmentation`"),
            ({"label_smoothing_factor": 0.1}, "`label_smoothing_factor` must be 0, .*`--label_smoothing`"),
            ({"token_cache_batch_size": 0}, "`token_cache_batch_size` must be positive"),
            ({"early_stopping_patience": -1}, "`early_stopping_patience` must be 0 or more"),
            ({"early_stopping_patience": 1}, "`eval_strategy` must be epoch or steps .*--save_strategy epoch"),
            ({"early_stopping_patience": 1, "eval_strategy": "epoch"}, "`save_strategy` must be epoch like"),
            (
                {"early_stopping_patience": 1, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 4},
                r"`save_steps` must be a multiple of `eval_steps` \(3\)",
            ),
        ],
    )
    def test_invalid_options_are_refused(self, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            StyleVARSFTConfig(output_dir=str(tmp_path), **options)

    def test_early_stopping_goes_back_to_the_best_checkpoint(self, tmp_path):
        options = {"early_stopping_patience": 1, "eval_strategy": "epoch", "save_strategy": "epoch"}
        assert StyleVARSFTConfig(output_dir=str(tmp_path), use_cpu=True, **options).load_best_model_at_end


class TestModelByPath:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        """Saved in bfloat16, with an image processor of its own."""
        folder = tmp_path / "start"
        make_model().to(torch.bfloat16).save_pretrained(folder)
        size = {"height": 16, "width": 16}
        StyleVARImageProcessor(size=size, resize_mode="center_crop").save_pretrained(folder)
        return folder

    def test_is_loaded_in_float32_with_its_image_processor(self, tmp_path, folder):
        trainer = make_trainer(tmp_path / "run", str(folder), max_steps=1)
        assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
        assert trainer.processing_class.resize_mode == "center_crop"
        trainer.train()
        trainer.save_model()
        saved = StyleVARImageProcessor.from_pretrained(tmp_path / "run")
        assert saved.resize_mode == "center_crop"

    @pytest.mark.parametrize("written", [dict, json.dumps])
    def test_options_of_loading(self, tmp_path, folder, written):
        options = written({"dtype": "bfloat16", "drop_path_rate": 0.25})
        model = make_trainer(tmp_path / "run", folder, model_init_kwargs=options).model
        assert (model.dtype, model.config.drop_path_rate) == (torch.bfloat16, 0.25)

    def test_name_of_the_package(self, tmp_path):
        trainer = make_trainer(tmp_path, "stylevar-mini")
        assert trainer.model.config.image_size == trainer.processing_class.size["height"] == 128

    def test_options_without_a_path_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`model_init_kwargs` must be None for a model that is loaded"):
            make_trainer(tmp_path, model_init_kwargs={"dtype": "bfloat16"})

    def test_folder_of_another_model_is_refused(self, tmp_path):
        make_model().vq_model.save_pretrained(tmp_path / "vq")
        with pytest.raises(ValueError, match="of a StyleVAR model, but got .*vq' of type stylevar_vq.*--from_scratch"):
            make_trainer(tmp_path / "run", tmp_path / "vq")

    def test_incomplete_folder_is_refused(self, tmp_path, folder):
        weights = load_file(folder / "model.safetensors")
        del weights["lm_head.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match="lacks 1 tensors such as lm_head.weight"):
            make_trainer(tmp_path / "run", folder)

    def test_adapter_that_is_frozen_is_refused(self, tmp_path, folder):
        from peft import LoraConfig

        from stylevar_hf.training.common.lora import add_adapter

        adapted = add_adapter(StyleVARForConditionalGeneration.from_pretrained(folder), LoraConfig(r=2))
        adapted.save_pretrained(tmp_path / "adapter")
        with pytest.raises(
            ValueError, match="`model` must be one with parameters that are trained.*is_trainable=True"
        ):
            make_trainer(tmp_path / "run", tmp_path / "adapter").train()
        with pytest.raises(ValueError, match="`peft_config` must be None for a model that has an adapter"):
            make_trainer(tmp_path / "run", adapted, trainer_options={"peft_config": LoraConfig(r=2)})

    def test_other_classes_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`model` must be a StyleVARForConditionalGeneration.*StyleVARVQTrainer"):
            make_trainer(tmp_path, make_model().vq_model)
        with pytest.raises(ValueError, match="`args` must be a StyleVARSFTConfig, but got TrainingArguments"):
            StyleVARSFTTrainer(make_model(), TrainingArguments(output_dir=str(tmp_path), use_cpu=True))


class TestOptimisation:
    def test_loss_falls_and_the_tokenizer_stays(self, tmp_path):
        trainer = make_trainer(tmp_path, max_steps=12, learning_rate=3e-3, logging_steps=3)
        before = weights_of(trainer.model)
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        assert losses[-1] < losses[0] - 0.1
        after = weights_of(trainer.model)
        assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("vq_model."))
        assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
        optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
        assert not optimized & {id(p) for p in trainer.model.vq_model.parameters()}

    def test_decay_reaches_matrices_alone(self, tmp_path):
        trainer = make_trainer(tmp_path)
        names = set(trainer.get_decay_parameter_names(trainer.model))
        assert {"lm_head.weight", "model.layers.0.attention.q_proj.weight", "model.token_projection.weight"} <= names
        assert all("bias" not in name and "embedding.weight" not in name for name in names if "encoder" not in name)
        assert all("logit_scale" not in name and "normalization" not in name for name in names)

    def test_learning_rate_drops_from_the_seventh_of_ten_epochs(self, tmp_path):
        trainer = make_trainer(tmp_path, max_steps=-1, num_train_epochs=10, logging_steps=1, warmup_steps=2)
        trainer.train()
        rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
        assert len(rates) == 20
        assert rates[:3] == pytest.approx([0, 1.25e-4, 2.5e-4])
        assert rates[2:12] == pytest.approx([2.5e-4] * 10) and rates[12:] == pytest.approx([5e-5] * 8)

    def test_other_schedules_are_left_as_they_are(self, tmp_path):
        trainer = make_trainer(tmp_path, lr_scheduler_type="linear", logging_steps=1)
        trainer.train()
        rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
        assert rates == pytest.approx([2.5e-4, 1.875e-4, 1.25e-4, 6.25e-5])

    @pytest.mark.parametrize(("mode", "moves"), [("frozen", False), ("train", True)])
    def test_batch_norm_statistics(self, tmp_path, mode, moves):
        trainer = make_trainer(tmp_path, encoder_batch_norm=mode, max_steps=1)
        before = weights_of(trainer.model)
        trainer.train()
        after = weights_of(trainer.model)
        statistics = [name for name in before if name.endswith("running_mean")]
        assert statistics
        assert all(torch.equal(before[name], after[name]) != moves for name in statistics)
        scale = "model.style_encoder.embedder.embedder.normalization.weight"
        assert not torch.equal(before[scale], after[scale])

    @pytest.mark.parametrize("frozen", ["encoder_batch_norm", "freeze_encoders"])
    def test_frozen_batch_norm_of_new_encoders_is_warned_of(self, tmp_path, monkeypatch, frozen):
        warnings = []
        monkeypatch.setattr(sft_checks.logger, "warning", warnings.append)
        options = {"encoder_batch_norm": {"encoder_batch_norm": "frozen", "freeze_encoders": "train"}[frozen]}
        options["freeze_encoders"] = frozen == "freeze_encoders"
        make_trainer(tmp_path, **options)
        assert len(warnings) == 1 and "`encoder_batch_norm='train'`" in warnings[0]
        trained = make_model()
        trained.model.style_encoder.embedder.embedder.normalization.running_mean.fill_(0.1)
        make_trainer(tmp_path, trained, **options)
        make_trainer(tmp_path, encoder_batch_norm="train")
        assert len(warnings) == 1

    def test_frozen_encoders_do_not_change(self, tmp_path):
        trainer = make_trainer(tmp_path, freeze_encoders=True, encoder_batch_norm="train", max_steps=1)
        before = weights_of(trainer.model)
        trainer.train()
        after = weights_of(trainer.model)
        assert all(torch.equal(before[name], after[name]) for name in before if "_encoder." in name)

    def losses(self, folder, **options) -> list[float]:
        trainer = make_trainer(folder, model=make_model(drop_path_rate=0.0), **options)
        trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    def test_checkpointing_and_accumulation_learn_the_same(self, tmp_path):
        expected = self.losses(tmp_path)
        halves = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
        assert self.losses(tmp_path, **{CHECKPOINTING: True}) == pytest.approx(expected, abs=1e-6)
        assert self.losses(tmp_path, **halves) == pytest.approx(expected, abs=1e-4)

    def test_bf16_learns_the_same(self, tmp_path):
        # On some CPUs the bfloat16 gradient of a convolution over one pixel is not a number now and then; the image
        # encoders see nothing larger here.
        expected = self.losses(tmp_path, freeze_encoders=True)
        assert self.losses(tmp_path, freeze_encoders=True, bf16=True) == pytest.approx(expected, abs=0.02)


class TestLogs:
    def test_loss_is_the_weighted_mean_of_its_scales(self, tmp_path):
        trainer = make_trainer(tmp_path, evaluation=make_triplets(6, seed=1), max_steps=4)
        trainer.train()
        metrics = trainer.evaluate()
        logs = next(entry for entry in trainer.state.log_history if "loss" in entry)
        for entry, prefix in ((logs, ""), (metrics, "eval_")):
            scales = [entry[f"{prefix}loss_scale_{k}"] for k in range(4)]
            assert np.dot(scales, [1, 4, 9, 16]) / 30 == pytest.approx(entry[f"{prefix}loss"], abs=1e-5)
            assert all(0 <= entry[f"{prefix}accuracy_scale_{k}"] <= 1 for k in range(4))
        assert f"loss_scale_{4}" not in logs

    def test_nan_stops_with_step_and_ids(self, tmp_path):
        trainer = make_trainer(tmp_path, max_steps=4)
        forward, calls = trainer.model.get_logits, []

        def broken(hidden_states):
            calls.append(1)
            return forward(hidden_states) * (float("nan") if len(calls) == 3 else 1.0)

        trainer.model.get_logits = broken
        with pytest.raises(FloatingPointError, match=r"but got nan at step 3. content_id of the batch: content-\d, "):
            trainer.train()

    def test_guard_names_the_first_bad_step_of_several(self):
        guard = FiniteLossGuard()
        guard._pending = [
            (1, ["a"], torch.tensor(1.0)),
            (2, ["b"], torch.tensor(float("inf"))),
            (3, ["c"], torch.ones(())),
        ]
        with pytest.raises(FloatingPointError, match="got inf at step 2. content_id of the batch: b"):
            guard.check()
        guard.check()

    def test_evaluation_and_samples_do_not_touch_training(self, tmp_path):
        runs = []
        for name, options in (("with", {"eval_strategy": "steps", "eval_steps": 1}), ("without", {})):
            model = make_model(drop_path_rate=0.5, alpha_jitter=0.1)
            trainer = make_trainer(tmp_path / name, model, evaluation=make_triplets(5, seed=1), **options)
            trainer.train()
            runs.append(weights_of(trainer.model))
        assert_same_weights(*runs)
        grids = sorted(path.name for path in (tmp_path / "with" / "samples").iterdir())
        assert grids == [f"step-{step}.png" for step in (1, 2, 3, 4)]
        with PIL.Image.open(tmp_path / "with" / "samples" / "step-1.png") as grid:
            assert grid.size == (4 * 16 + 3 * 2, 14 + 4 * 16 + 3 * 2)  # captions above


class TestData:
    def test_cached_and_uncached_training_are_the_same(self, tmp_path):
        runs, histories = [], []
        for cache in (None, str(tmp_path / "cache")):
            trainer = make_trainer(tmp_path, token_cache_dir=cache, evaluation=make_triplets(4, seed=1))
            trainer.train()
            runs.append(weights_of(trainer.model))
            histories.append(trainer.evaluate()["eval_loss"])
        assert_same_weights(*runs)
        assert histories[0] == histories[1]

    def test_cached_images_are_small_and_train_the_same(self, tmp_path):
        cache = tmp_path / "cache"
        options = {"token_cache_dir": str(cache), "evaluation": make_triplets(4, seed=1), "max_steps": 4}
        plain = make_trainer(tmp_path / "plain", cache_images=False, **options)
        plain.train()
        folders = sorted(cache.iterdir())
        options.update(save_strategy="steps", save_steps=2)
        whole = make_trainer(tmp_path / "small", **options)
        whole.train()
        assert {whole.train_dataset[0][name].size for name in ("content", "style")} == {(16, 16)}
        assert whole.eval_dataset[0]["content"].size == (16, 16)
        # The codes are found again, for they are those of the original images.
        images = sorted(cache.glob("images-*"))
        assert sorted(cache.iterdir()) == sorted([*folders, *images]) and len(images) == 1
        files = sorted((path, path.stat().st_mtime_ns) for path in cache.rglob("*"))
        resumed = make_trainer(tmp_path / "small", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "small" / "checkpoint-2"))
        assert sorted((path, path.stat().st_mtime_ns) for path in cache.rglob("*")) == files
        for run in (whole, resumed):
            assert_same_weights(weights_of(plain.model), weights_of(run.model))
            assert run.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]

    def test_a_cached_target_is_not_decoded(self, tmp_path):
        trainer = make_trainer(tmp_path, token_cache_dir=str(tmp_path / "cache"))
        trainer.prepare_data()
        batch = next(iter(trainer.get_train_dataloader()))
        assert "target_pixel_values" not in batch and batch["labels"].dtype == torch.int64
        assert len(batch["content_id"]) == 4

    def test_codes_of_another_tokenizer_are_refused(self, tmp_path):
        processor = StyleVARImageProcessor(size={"height": 16, "width": 16})
        other = make_model().vq_model
        torch.nn.init.normal_(other.quantizer.codebook.weight)
        cached = cache_tokens(make_triplets(), other, processor, tmp_path / "cache", progress=False)
        with pytest.raises(ValueError, match="`train_dataset` must be without cached codes"):
            make_trainer(tmp_path, train=cached)

    def test_augmentation_is_refused_with_codes_and_changes_training(self, tmp_path):
        processor = StyleVARImageProcessor(size={"height": 16, "width": 16})
        cached = cache_tokens(make_triplets(), make_model().vq_model, processor, tmp_path / "cache", progress=False)
        with pytest.raises(ValueError, match="`augmentation` must be False with cached codes"):
            make_trainer(tmp_path, train=cached, augmentation=True)
        runs = []
        for options in ({}, {"augmentation": True}, {"augmentation": True}):
            trainer = make_trainer(tmp_path, **options)
            trainer.train()
            runs.append(trainer.state.log_history[-2]["loss"])
        assert runs[0] != runs[1] == runs[2]

    def test_broken_images_stop_before_training_or_are_left_out(self, tmp_path):
        rows = make_triplets().cast_column("style", datasets.Image(decode=False)).to_list()
        rows[5]["style"]["bytes"] = rows[5]["style"]["bytes"][:100]
        broken = datasets.Dataset.from_list(rows, make_triplets().features)
        with pytest.raises(ValueError, match="got 1 that cannot, in 1 rows.*\n.*row 5"):
            make_trainer(tmp_path, train=broken).train()
        trainer = make_trainer(
            tmp_path, train=broken, skip_broken=True, max_steps=2, save_strategy="steps", save_steps=1
        )
        trainer.train()
        assert len(trainer.train_dataset) == 7
        resumed = make_trainer(tmp_path, train=broken, skip_broken=True, check_data=False)
        resumed.train(resume_from_checkpoint="last")
        assert len(resumed.train_dataset) == 7 and resumed.state.global_step == 4

    def test_row_without_target_counts_as_broken(self, tmp_path):
        rows = make_triplets(4)
        table = rows.to_dict()
        table["target"][2] = None
        rows = datasets.Dataset.from_dict(table, features=rows.features)
        with pytest.raises(ValueError, match="row 2, target: there is no image"):
            make_trainer(tmp_path, train=rows).train()
        trainer = make_trainer(tmp_path, train=rows, skip_broken=True)
        trainer.prepare_data()
        assert len(trainer.train_dataset) == 3 and None not in trainer.train_dataset["target"][:]

    def test_broken_rows_of_a_stream_cannot_be_left_out(self, tmp_path):
        stream = make_triplets().to_iterable_dataset()
        with pytest.raises(ValueError, match="`skip_broken` must be False.*`train_dataset` is of type IterableData"):
            make_trainer(tmp_path, train=stream, skip_broken=True)
        with pytest.raises(ValueError, match="`skip_broken` must be False.*`eval_dataset near` is of type"):
            make_trainer(tmp_path, evaluation={"near": stream}, skip_broken=True)

    def test_codes_are_computed_on_the_device_of_training(self, tmp_path, monkeypatch):
        trainer = make_trainer(tmp_path, token_cache_dir=str(tmp_path / "cache"))
        vq_model, calls = trainer.model.vq_model, []
        monkeypatch.setattr(vq_model, "to", lambda device: calls.append(device))
        monkeypatch.setattr(sft_trainer, "cache_tokens", lambda dataset, *args, **kwargs: calls.append("cache"))
        trainer._cache_tokens(trainer.train_dataset)
        assert calls == [trainer.args.device, "cache", vq_model.device]

    def test_stream_with_max_steps(self, tmp_path):
        trainer = make_trainer(tmp_path, train=make_triplets(16).to_iterable_dataset(), max_steps=3)
        trainer.train()
        assert trainer.state.global_step == 3

    def test_stream_for_several_processes(self, tmp_path, monkeypatch):
        warnings = []
        monkeypatch.setattr(sft_checks.logger, "warning", lambda text, *values: warnings.append(text % values))
        monkeypatch.setattr(StyleVARSFTConfig, "world_size", 2)
        args = StyleVARSFTConfig(output_dir=str(tmp_path), use_cpu=True)
        streams = {parts: make_triplets(8).to_iterable_dataset(num_shards=parts) for parts in (1, 3, 4)}
        for stream in streams.values():
            sft_checks.check_training_data("train_dataset", stream, args)
        assert len(warnings) == 1 and "`train_dataset` has 3 parts for 2 processes" in warnings[0]
        with pytest.raises(ValueError, match="`eval_dataset` must be a data set with a length for several processes"):
            sft_checks.check_training_data("eval_dataset", streams[1], args)

    def test_data_without_rows_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`eval_dataset far` must be of at least one row"):
            make_trainer(tmp_path, evaluation={"near": make_triplets(2), "far": make_triplets(2).select([])})

    def test_missing_columns_are_named(self, tmp_path):
        whole = make_triplets()
        with pytest.raises(ValueError, match=r"`train_dataset` must .*content_id, family \(missing: style\)"):
            make_trainer(tmp_path, train=whole.remove_columns("style"))
        with pytest.raises(ValueError, match=r"`eval_dataset near` must .*missing: content, target \(or labels\)"):
            make_trainer(tmp_path, evaluation={"near": whole.remove_columns(["content", "target"])})


class TestCheckpoints:
    def test_full_disk_leaves_the_old_checkpoint_intact(self, tmp_path, monkeypatch):
        trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=2)
        save, saves = torch.save, []

        def full(content, path, *args, **kwargs):
            saves.append(path)
            if "optimizer" in str(path) and len([name for name in saves if "optimizer" in str(name)]) == 2:
                Path(path).write_bytes(b"the first half")
                raise OSError(28, "No space left on device")
            return save(content, path, *args, **kwargs)

        monkeypatch.setattr(torch, "save", full)
        message = r"`checkpoint-4` could not be saved.*No space left.*is intact: .*checkpoint-2\. Make room"
        with pytest.raises(OSError, match=message):
            trainer.train()
        monkeypatch.undo()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2"]
        trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=2)
        trainer.train(resume_from_checkpoint="auto")
        assert trainer.state.global_step == 4 and (tmp_path / "checkpoint-4" / "trainer_state.json").exists()

    @pytest.mark.parametrize("final", [False, True])
    def test_other_failures_while_saving_are_not_called_a_full_disk(self, tmp_path, monkeypatch, final):
        trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=2)
        trainer.train()

        def fail(*args, **kwargs):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(RuntimeError, match="^CUDA error: an illegal memory access was encountered$"):
            trainer.save_model() if final else trainer._save_checkpoint(trainer.model, None)
        assert not (tmp_path / ".saving").exists()
        assert (tmp_path / "checkpoint-4" / "trainer_state.json").exists()

    @pytest.mark.parametrize(
        ("error", "full"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), True),
            (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), True),
            (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
            (PermissionError(errno.EACCES, "Permission denied"), False),
            (RuntimeError("NCCL communicator was aborted"), False),
            (KeyError("No space left"), False),
        ],
    )
    def test_full_disk_is_told_from_other_errors(self, error, full):
        assert _is_full(error) == full
        wrapped = RuntimeError("while saving")
        wrapped.__cause__ = error
        assert _is_full(wrapped) == full

    def test_failed_final_save_keeps_the_model_that_was_there(self, tmp_path, monkeypatch):
        trainer = make_trainer(tmp_path, max_steps=1)
        trainer.save_model()
        before = (tmp_path / "model.safetensors").read_bytes()
        trainer.train()

        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", full)  # the training arguments, after the weights
        with pytest.raises(OSError, match="what was there is intact"):
            trainer.save_model()
        assert (tmp_path / "model.safetensors").read_bytes() == before
        assert not (tmp_path / ".saving").exists()

    def test_best_checkpoint_is_kept_and_reloaded(self, tmp_path):
        options = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
        trainer = make_trainer(
            tmp_path,
            evaluation=make_triplets(4, seed=1),
            max_steps=30,
            learning_rate=0.3,  # diverges, so that an early step is the best
            early_stopping_patience=2,
            save_total_limit=1,
            **options,
        )
        trainer.train()
        best = Path(trainer.state.best_model_checkpoint)
        assert trainer.state.global_step < 30 and best.parent == tmp_path
        assert [path.name for path in tmp_path.glob("checkpoint-*")] == [best.name]
        state = json.loads((best / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(best)
        saved = StyleVARForConditionalGeneration.from_pretrained(best)
        assert_same_weights(weights_of(trainer.model), weights_of(saved))

    def test_best_of_several_evaluation_sets_is_that_of_one(self, tmp_path):
        options = {"evaluation": {"near": make_triplets(2), "far": make_triplets(2)}, "load_best_model_at_end": True}
        options |= {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
        with pytest.raises(ValueError, match="`metric_for_best_model` must be .* eval_near_loss or .*, but got loss"):
            make_trainer(tmp_path, **options)
        trainer = make_trainer(tmp_path, metric_for_best_model="eval_near_loss", num_sample_images=0, **options)
        trainer.train()
        assert trainer.state.best_metric == min(
            entry["eval_near_loss"] for entry in trainer.state.log_history if "eval_near_loss" in entry
        )

    @pytest.mark.parametrize("adapter_first", [True, False])
    def test_checkpoint_of_another_kind_of_training_is_refused(self, tmp_path, adapter_first):
        from peft import LoraConfig

        def train(with_adapter, **arguments):
            options = {"peft_config": LoraConfig(r=2)} if with_adapter else {}
            trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=1, max_steps=1, trainer_options=options)
            trainer.train(**arguments)

        train(adapter_first)
        kinds = ("an adapter", "all weights") if adapter_first else ("all weights", "an adapter")
        with pytest.raises(ValueError, match=f"must be a checkpoint of {kinds[1]}, but got .* with {kinds[0]}"):
            train(not adapter_first, resume_from_checkpoint="auto")

    def test_average_is_saved_resumed_and_left_in_the_model(self, tmp_path):
        options = {"ema_decay": 0.5, "save_strategy": "steps", "save_steps": 2}
        whole = make_trainer(tmp_path / "whole", **options)
        whole.train()
        again = make_trainer(tmp_path / "whole", **options)
        again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
        assert (tmp_path / "whole" / "checkpoint-2" / "ema.safetensors").exists()
        assert_same_weights(weights_of(whole.model), weights_of(again.model))
        plain = make_trainer(tmp_path / "plain")
        plain.train()
        averaged, trained = weights_of(whole.model), weights_of(plain.model)
        assert not torch.equal(averaged["lm_head.weight"], trained["lm_head.weight"])
        assert all(torch.equal(averaged[name], trained[name]) for name in trained if name.startswith("vq_model."))

    def test_saved_model_stylises(self, tmp_path):
        trainer = make_trainer(tmp_path, max_steps=1)
        trainer.train()
        trainer.save_model()
        image = StyleVARPipeline.from_pretrained(str(tmp_path))(
            PIL.Image.new("RGB", (20, 20), "red"), PIL.Image.new("RGB", (20, 20), "blue"), seed=0
        )
        assert image.size == (20, 20) or image.size == (16, 16)

    @pytest.mark.slow
    def test_killed_and_resumed_reaches_the_same_weights(self, tmp_path):
        options = {"max_steps": 12, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 2}
        random = {"drop_path_rate": 0.5, "alpha_jitter": 0.1}
        whole = make_trainer(tmp_path / "whole", make_model(**random), **options)
        whole.train()

        script = f"""
            import os, signal, sys
            sys.path[:0] = [{str(ROOT / "tests")!r}]
            import conftest  # threads and caches as here
            from transformers import TrainerCallback
            from test_sft_trainer import make_model, make_trainer

            class Kill(TrainerCallback):
                def on_pre_optimizer_step(self, args, state, control, **kwargs):
                    if state.global_step == 7:  # in the middle of the step after the seventh
                        os.kill(os.getpid(), signal.SIGKILL)

            trainer = make_trainer({str(tmp_path / "killed")!r}, make_model(**{random!r}), **{options!r})
            trainer.add_callback(Kill())
            trainer.train()
        """
        result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=300)
        assert result.returncode == -signal.SIGKILL, result.stderr.decode()[-2000:]
        assert not (tmp_path / "killed" / "checkpoint-12").exists()
        os.makedirs(tmp_path / "killed" / ".saving" / "checkpoint-9")  # as if it had died while saving

        resumed = make_trainer(tmp_path / "killed", make_model(**random), **options)
        resumed.train(resume_from_checkpoint="auto")
        assert resumed.state.global_step == 12
        assert_same_weights(weights_of(whole.model), weights_of(resumed.model))
        first, second = (run.state.log_history[-2]["loss"] for run in (whole, resumed))
        assert first == second


class TestAdapter:
    def test_trained_saved_reloaded_and_merged(self, tmp_path):
        from peft import LoraConfig, PeftModel

        base = make_model()
        torch.nn.init.normal_(base.lm_head.weight, std=0.3)  # a new head is almost zero, and so are gradients
        base.save_pretrained(tmp_path / "base")
        base = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "base")
        config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules=None)
        options = {"learning_rate": 1e-2, "eval_strategy": "steps", "eval_steps": 6, "save_strategy": "steps"}
        trainer = make_trainer(
            tmp_path / "adapter",
            model=base,
            evaluation=make_triplets(),
            max_steps=6,
            save_steps=3,
            trainer_options={"peft_config": config},
            **options,
        )
        adapted = {name for name, p in trainer.model.named_parameters() if p.requires_grad}
        assert adapted and all("lora_" in name and ".model.layers." in name for name in adapted)
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        after = trainer.evaluate()["eval_loss"]
        assert after < before - 0.05
        trainer.save_model()
        assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
        assert not (tmp_path / "adapter" / "model.safetensors").exists()

        reloaded = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "base")
        merged = PeftModel.from_pretrained(reloaded, tmp_path / "adapter").merge_and_unload()
        assert make_trainer(tmp_path / "x", model=merged, evaluation=make_triplets()).evaluate()[
            "eval_loss"
        ] == pytest.approx(after, abs=1e-5)
        trainer.create_model_card()
        card = (tmp_path / "adapter" / "README.md").read_text()
        assert "library_name: peft" in card and "StyleVARPipeline.from_pretrained(" in card

    def test_statistics_that_an_adapter_would_lose_are_refused(self, tmp_path):
        from peft import LoraConfig

        options = {"trainer_options": {"peft_config": LoraConfig(r=2)}, "encoder_batch_norm": "train"}
        with pytest.raises(ValueError, match="`encoder_batch_norm` must be frozen with an adapter"):
            make_trainer(tmp_path, **options)
        adapted = make_trainer(tmp_path, freeze_encoders=True, **options).model
        with pytest.raises(ValueError, match="`encoder_batch_norm` must be frozen with an adapter"):
            make_trainer(tmp_path, adapted, encoder_batch_norm="train")

    def test_first_weights_depend_on_the_seed_alone(self, tmp_path):
        from peft import LoraConfig

        def first_weights(seed):
            torch.rand(1)
            trainer = make_trainer(tmp_path, trainer_options={"peft_config": LoraConfig(r=2)}, seed=seed)
            return next(value for name, value in trainer.model.named_parameters() if ".lora_A." in name)

        assert torch.equal(first_weights(1), first_weights(1))
        assert not torch.equal(first_weights(1), first_weights(2))

    def test_dora_says_that_it_must_be_merged(self, caplog, monkeypatch):
        from peft import LoraConfig

        from stylevar_hf.training.common.lora import add_adapter

        monkeypatch.setattr(logging.getLogger("stylevar_hf"), "propagate", True)
        add_adapter(make_model(), LoraConfig(r=2))
        assert not caplog.records
        add_adapter(make_model(), LoraConfig(r=2, use_dora=True))
        assert "`stylevar push --merged`" in caplog.text

    def test_single_name_of_a_layer(self):
        from peft import LoraConfig

        from stylevar_hf.training.common.lora import add_adapter

        adapted = add_adapter(make_model(), LoraConfig(r=2, target_modules="q_proj"))
        names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
        assert names and all(".q_proj.lora_" in name for name in names)

    def test_names_given_by_the_user_spare_the_tokenizer(self, tmp_path):
        from peft import LoraConfig

        config = LoraConfig(r=2, target_modules=["q_proj", "conv1"])  # the latter in the tokenizer alone
        trainer = make_trainer(tmp_path, trainer_options={"peft_config": config})
        adapted = [name for name, _ in trainer.model.named_parameters() if "lora_" in name]
        assert adapted and not any("vq_model" in name for name in adapted)
        trainer.train()


class TestStart:
    def test_new_model_takes_the_tokenizer_and_is_reproducible(self, tmp_path):
        source = make_model()
        source.save_pretrained(tmp_path / "whole")
        source.vq_model.save_pretrained(tmp_path / "vq")
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
        models = [create_model(tmp_path / name, seed=3, **sizes) for name in ("whole", "vq")]
        assert_same_weights(weights_of(models[0]), weights_of(models[1]))
        assert torch.equal(models[0].vq_model.quant_conv.weight, source.vq_model.quant_conv.weight)
        models[1].save_pretrained(tmp_path / "new")
        assert str(tmp_path) not in (tmp_path / "new" / "config.json").read_text()
        with pytest.raises(ValueError, match="`vq_config` must be left out"):
            create_model(source.vq_model, vq_config={})

    def test_image_encoders_come_from_a_resnet(self, tmp_path):
        sizes = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
        resnet = ResNetModel(ResNetConfig(**sizes, downsample_in_first_stage=False))
        resnet.save_pretrained(tmp_path / "resnet")
        options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
        model = create_model(make_model().vq_model, tmp_path / "resnet", **options)
        for encoder in (model.model.style_encoder, model.model.content_encoder):
            assert_same_weights(weights_of(encoder), weights_of(resnet))
        wider = ResNetModel(ResNetConfig(**{**sizes, "hidden_sizes": [8, 8, 16, 32]}))
        with pytest.raises(ValueError, match=r"`image_encoder` must have hidden_sizes=\[8, 8, 16, 16\]"):
            load_image_encoders(model, wider)

    def test_unreachable_resnet_says_what_to_do(self):
        with pytest.raises(OSError, match="Without a network, download it elsewhere"):
            create_model(make_model().vq_model, "microsoft/resnet-18")

    def test_flags_win_over_the_json_file(self, tmp_path):
        (tmp_path / "config.json").write_text(
            json.dumps({"hidden_size": 64, "mlp_ratio": 2.0, "model_type": "stylevar"})
        )
        args = StyleVARModelArguments(
            from_scratch=True, vq_model="x", model_config=str(tmp_path / "config.json"), hidden_size=32
        )
        assert args.new_model_config() == {"hidden_size": 32, "mlp_ratio": 2.0}
        with pytest.raises(ValueError, match="`vq_model` must be given with `from_scratch`"):
            StyleVARModelArguments(from_scratch=True)

    def test_several_data_sets_are_mixed(self, tmp_path):
        make_triplets(40).save_to_disk(tmp_path / "one")
        make_triplets(40, seed=1).save_to_disk(tmp_path / "two")
        names = [f"disk:{tmp_path / 'one'}", f"disk:{tmp_path / 'two'}"]
        args = TripletDataArguments(dataset=names, dataset_weights=[3, 1], max_eval_samples=4, validation_fraction=0.2)
        train, evaluation = load_training_data(args, image_size=16)
        assert not set(train["content_id"]) & set(evaluation["content_id"])
        assert 0 < len(evaluation) <= 4
        with pytest.raises(ValueError, match="one number per data set"):
            TripletDataArguments(dataset=names, dataset_weights=[1])


class TestModelCard:
    def test_says_what_the_model_is(self, tmp_path):
        trainer = make_trainer(tmp_path, max_steps=1, hub_model_id="someone/my-style")
        trainer.model.config._name_or_path = "someone/base"
        trainer.train()
        trainer.create_model_card(dataset="someone/triplets", tags=["mine"])
        card = (tmp_path / "README.md").read_text()
        for text in ("pipeline_tag: image-to-image", "base_model: someone/base", "- someone/triplets", "- mine"):
            assert text in card
        assert "text-generation" not in card and 'from_pretrained("someone/my-style")' in card
