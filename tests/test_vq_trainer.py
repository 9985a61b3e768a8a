# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import importlib.util
import io
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import ResNetConfig, ResNetModel, TrainerCallback, TrainingArguments, set_seed

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARVQConfig, StyleVARVQModel, cli
from stylevar_hf.measures.psnr import peak_signal_to_noise_ratio as psnr
from stylevar_hf.measures.vgg import FeatureSpreadDistance, VGG19Features
from stylevar_hf.training.common import checkpointing
from stylevar_hf.training.common.ema import EMACallback
from stylevar_hf.training.common.pictures import draw_grid
from stylevar_hf.training.vq import arguments
from stylevar_hf.training.vq.arguments import VQDataArguments, load_data
from stylevar_hf.training.vq.codebook import (
    bypass_quantizer,
    count_codes,
    draw_poorly_coded,
    fill_codebook,
    replace_codes,
    step_generator,
)
from stylevar_hf.training.vq.data import VQImageCollator, VQImageDataset, as_image_samples
from stylevar_hf.training.vq.losses import (
    PatchDiscriminator,
    adaptive_weight,
    discriminator_hinge_loss,
    generator_hinge_loss,
    load_perceptual_loss,
)
from stylevar_hf.training.vq.metrics import codebook_statistics, reconstruct_scales
from stylevar_hf.training.vq.vq_config import StyleVARVQTrainerConfig
from stylevar_hf.training.vq.vq_trainer import StyleVARVQTrainer


def make_model(seed: int = 0, **overrides) -> StyleVARVQModel:
    """16x16 images, 21 codes on three scales."""
    set_seed(seed)
    sizes = {
        "patch_nums": (1, 2, 4),
        "codebook_size": 32,
        "latent_channels": 4,
        "base_channels": 8,
        "channel_multipliers": (1, 1, 1),
        "num_res_blocks": 1,
        "norm_num_groups": 4,
    }
    return StyleVARVQModel(StyleVARVQConfig(**{**sizes, **overrides}))


def make_rows(count: int = 12, columns=("content", "target"), seed: int = 0) -> datasets.Dataset:
    """Colour ramps, 24x20 pixels."""
    generator = np.random.default_rng(seed)
    rows = {name: [] for name in columns}
    for _ in range(count):
        for name in columns:
            corners = PIL.Image.fromarray(generator.integers(0, 256, (2, 2, 3), dtype=np.uint8))
            rows[name].append(corners.resize((24, 20), PIL.Image.Resampling.BILINEAR))
    rows["content_id"] = [f"scene {index}" for index in range(count)]
    features = {name: datasets.Image() for name in columns} | {"content_id": datasets.Value("string")}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def make_png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (24, 20), (200, 10, 60)).save(buffer, format="PNG")
    return buffer.getvalue()


def make_args(folder, **overrides) -> StyleVARVQTrainerConfig:
    options = {
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 4,
        "warmup_steps": 0,
        "learning_rate": 2e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return StyleVARVQTrainerConfig(output_dir=str(folder), **{**options, **overrides})


def train(folder, model=None, rows=None, resume=None, callbacks=None, **overrides) -> StyleVARVQTrainer:
    trainer = StyleVARVQTrainer(
        model=make_model() if model is None else model,
        args=make_args(folder, **overrides),
        train_dataset=make_rows() if rows is None else rows,
        eval_dataset=make_rows(5, seed=1),
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def assert_same_state(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


class SpyCallback(TrainerCallback):
    """Calls a function at the end of every step."""

    def __init__(self, action):
        self.action = action

    def on_step_end(self, args, state, control, **kwargs):
        self.action(state.global_step, kwargs["model"])


class TestStyleVARVQTrainerConfig:
    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("reconstruction_loss", "huber", "one of l2, l1"),
            ("perceptual_network", "resnet", "one of vgg"),
            ("perceptual_weight", -1.0, "0 or more"),
            ("adversarial_weight", float("nan"), "0 or more"),
            ("ema_decay", 1.0, r"in \[0, 1\)"),
            ("random_crop_scale", 0.0, r"in \(0, 1\]"),
            ("discriminator_channels", 12, "multiple of 8"),
        ],
    )
    def test_option_out_of_range_is_refused(self, tmp_path, option, value, message):
        with pytest.raises(ValueError, match=f"`{option}` must be .*{message}"):
            make_args(tmp_path, **{option: value})

    def test_one_column_may_be_written_as_text(self, tmp_path):
        assert make_args(tmp_path, image_columns="target").image_columns == ["target"]


class TestSamples:
    def test_every_image_of_every_row_is_one_sample(self):
        rows = make_rows(3)
        samples = VQImageDataset(rows)
        assert samples.columns == ["content", "target"] and len(samples) == 6
        assert np.array_equal(np.asarray(samples[3]["image"]), np.asarray(rows[1]["target"]))
        assert samples.describe(3) == "row 1 'target'"

    def test_image_columns_choose(self):
        assert len(VQImageDataset(make_rows(3), ["target"])) == 3

    @pytest.mark.parametrize("columns", [["style"], ["content", "missing"]])
    def test_missing_column_names_those_present(self, columns):
        with pytest.raises(ValueError, match=r"`image_columns` must be .*'content', 'target', 'content_id'"):
            VQImageDataset(make_rows(2), columns)

    def test_dataset_without_images_is_refused(self):
        with pytest.raises(ValueError, match="of which none hold images"):
            VQImageDataset(datasets.Dataset.from_dict({"text": ["a"]}))

    def test_empty_dataset_is_refused(self):
        with pytest.raises(ValueError, match="at least one row"):
            VQImageDataset(make_rows(2).select([]))

    def test_stream_gives_the_same_samples_as_the_table(self):
        rows = make_rows(3)
        table, stream = as_image_samples(rows), as_image_samples(rows.to_iterable_dataset())
        for index, sample in enumerate(stream):
            assert sample["image_index"] == index
            assert np.array_equal(np.asarray(sample["image"]), np.asarray(table[index]["image"]))

    def test_crops_depend_on_seed_epoch_and_index_alone(self):
        samples = VQImageDataset(make_rows(4), augment=True)
        collator = VQImageCollator(16, random_crop_scale=0.5, seed=1)
        first = collator([samples[index] for index in (0, 1, 2)])["pixel_values"]
        assert torch.equal(first[[2]], collator([samples[2]])["pixel_values"])
        assert not torch.equal(first[[2]], VQImageCollator(16, 0.5, seed=2)([samples[2]])["pixel_values"])
        samples.set_epoch(1)
        assert not torch.equal(first[[2]], collator([samples[2]])["pixel_values"])

    @pytest.mark.parametrize("stream", [False, True])
    def test_workers_that_outlive_an_epoch_see_the_next(self, stream):
        rows = make_rows(2, columns=("target",))
        samples = as_image_samples(rows.to_iterable_dataset() if stream else rows, augment=True)
        loader = DataLoader(samples, num_workers=1, persistent_workers=True, collate_fn=list)
        for epoch in (0, 3):
            samples.set_epoch(epoch)
            assert {batch[0]["key"][0] for batch in loader} == {epoch}

    def test_validation_takes_the_centre(self):
        image = PIL.Image.fromarray(np.arange(20 * 24 * 3, dtype=np.uint16).astype(np.uint8).reshape(20, 24, 3))
        batch = VQImageCollator(20)([{"image": image, "image_index": 7, "key": None}])
        expected = np.asarray(image)[:, 2:22].transpose(2, 0, 1) / 127.5 - 1
        np.testing.assert_allclose(batch["pixel_values"][0].numpy(), expected, atol=1e-6)
        assert batch["image_index"].tolist() == [7]


class TestMetrics:
    def test_codebook_statistics_of_counted_codes(self):
        usage, perplexity = codebook_statistics(torch.tensor([[5, 5, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]))
        assert usage.tolist() == [0.5, 1, 0]
        assert perplexity.tolist() == pytest.approx([2, 4, 1])

    def test_last_scale_is_the_reconstruction(self):
        model, images = make_model().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
        scales, codes = reconstruct_scales(model, images)
        assert scales.shape == (3, 2, 3, 16, 16)
        torch.testing.assert_close(scales[-1], model.decode(codes))

    def test_grid_places_images_in_rows(self):
        white, black = torch.ones(2, 3, 4, 4), -torch.ones(2, 3, 4, 4)
        grid = np.asarray(draw_grid([white, black], gap=1))
        assert grid.shape == (9, 9, 3)
        assert (grid[:5] == 255).all() and (grid[5:, :4] == 0).all()


class TestLosses:
    def test_hinge_losses_by_hand(self):
        real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
        assert discriminator_hinge_loss(real, fake).item() == pytest.approx(0.5 * (0.25 + 1.0))
        assert generator_hinge_loss(fake).item() == pytest.approx(1.0)

    @pytest.mark.parametrize("image_size", [8, 16, 31, 32, 64])
    def test_discriminator_judges_each_image_alone(self, image_size):
        set_seed(0)
        discriminator, images = PatchDiscriminator(3, 8, image_size), torch.rand(3, 3, image_size, image_size)
        torch.testing.assert_close(discriminator(images)[1:2], discriminator(images[1:2]))

    def test_discriminator_refuses_images_without_room_for_a_patch(self):
        with pytest.raises(ValueError, match="`image_size` must be at least 8"):
            PatchDiscriminator(image_size=4)

    def test_missing_lpips_is_named_before_training(self, tmp_path, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"`perceptual_weight` above 0 needs lpips.*stylevar-hf\[eval\]"):
            StyleVARVQTrainer(make_model(), make_args(tmp_path, perceptual_weight=1.0), make_rows())

    def test_missing_backbone_is_named_with_its_place(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        place = tmp_path / "checkpoints" / "vgg16-397923af.pth"
        with pytest.raises(FileNotFoundError, match=f"not at {place}, and downloads are switched off.*folder\\)\\.$"):
            load_perceptual_loss("vgg")

    def test_perceptual_term_enters_the_loss(self, tmp_path, monkeypatch):
        class Distance(torch.nn.Module):
            def forward(self, first, second):
                return 2 * (first - second).abs().mean(dim=(1, 2, 3))  # in [0, 1]

        monkeypatch.setattr("stylevar_hf.training.vq.vq_trainer.load_perceptual_loss", lambda *_: Distance())
        log = train(tmp_path, max_steps=1, perceptual_weight=2.0).state.log_history[0]
        expected = log["reconstruction_loss"] + log["codebook_loss"] + 0.25 * log["commitment_loss"]
        assert log["loss"] == pytest.approx(expected + 2 * log["perceptual_loss"], rel=1e-4)


class TestSeveralDataSets:
    def test_every_image_is_learned_from_and_contents_stay_apart(self, tmp_path):
        make_rows(40).save_to_disk(tmp_path / "first")
        # eight contents, five times each
        scenes = make_rows(40, columns=("image",), seed=1).remove_columns("content_id")
        scenes = scenes.add_column("content_id", [f"scene {index % 8}" for index in range(40)])
        scenes.save_to_disk(tmp_path / "second")
        arguments = VQDataArguments(dataset=[f"disk:{tmp_path / 'first'}", f"disk:{tmp_path / 'second'}"])
        train, held_out = load_data(arguments, image_size=16, seed=0)
        assert train.column_names == held_out.column_names == ["image"]
        assert len(train) + len(held_out) == 40 * 2 + 40
        position = {np.asarray(row["image"]).tobytes(): row["content_id"] for row in scenes}
        learned = {position.get(np.asarray(row["image"]).tobytes()) for row in train}
        kept = {position.get(np.asarray(row["image"]).tobytes()) for row in held_out}
        assert kept - {None} and not (learned & kept) - {None}


class TestPerceptualDistance:
    def vgg(self, tmp_path, torchvision: bool = False) -> Path:
        """A VGG-19 of few channels, in this package's layout or in torchvision's."""
        generator = torch.Generator().manual_seed(0)
        layers = {"1_1": (3, 4), "1_2": (4, 4), "2_1": (4, 6), "2_2": (6, 6), "3_1": (6, 8)}
        indices = dict(zip(layers, (0, 2, 5, 7, 10), strict=True))
        weights = {}
        for name, (inputs, outputs) in layers.items():
            key = f"features.{indices[name]}" if torchvision else f"conv{name}"
            weights[f"{key}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * 0.3
            weights[f"{key}.bias"] = torch.randn(outputs, generator=generator)
        if torchvision:
            path = tmp_path / "vgg19.pth"
            torch.save({**weights, "classifier.0.weight": torch.zeros(1)}, path)
        else:
            weights["conv0.weight"] = torch.eye(3).flip(0)[..., None, None] * 255
            weights["conv0.bias"] = torch.tensor([-103.9, -116.8, -123.7])
            path = tmp_path / "vgg19.safetensors"
            save_file(weights, path)
        return path

    @pytest.mark.parametrize("torchvision", [False, True])
    def test_features_are_those_of_the_network_written_out(self, torchvision, tmp_path):
        path = self.vgg(tmp_path, torchvision)
        weights = torch.load(path) if torchvision else load_file(path)
        names = [f"features.{index}" for index in (0, 2, 5, 7, 10)] if torchvision else None
        names = names or [f"conv{name}" for name in ("1_1", "1_2", "2_1", "2_2", "3_1")]
        images = torch.rand(2, 3, 12, 16)
        if torchvision:
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            hidden = (images - mean[:, None, None]) / std[:, None, None]
        else:
            hidden = torch.nn.functional.conv2d(images, weights["conv0.weight"], weights["conv0.bias"])
        expected = []
        for place, name in enumerate(names):
            if place in (2, 4):
                hidden = torch.nn.functional.max_pool2d(hidden, 2)
            hidden = torch.nn.functional.pad(hidden, (1, 1, 1, 1), mode="constant" if torchvision else "reflect")
            hidden = torch.nn.functional.conv2d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu()
            if name.endswith("_1") or place in (0, 2, 4):
                expected.append(hidden)
        found = VGG19Features(path)(images)
        assert len(found) == len(expected) == 3
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)

    def test_distance_is_relative_and_zero_for_equal_images(self, tmp_path):
        path = self.vgg(tmp_path)
        distance, network = load_perceptual_loss(weights=[path]), VGG19Features(path)
        first, second = torch.rand(2, 2, 3, 16, 16)
        pairs = zip(network(first), network(second), strict=True)
        terms = [(a - b).abs().mean(dim=(1, 2, 3)) / b.abs().mean(dim=(1, 2, 3)) for a, b in pairs]
        torch.testing.assert_close(distance(first, second), torch.stack(terms).mean(dim=0))
        assert distance(first, first).eq(0).all()

    def test_weights_of_another_network_are_refused(self, tmp_path):
        save_file(
            {"conv1_1.weight": torch.zeros(4, 3, 3, 3), "conv1_1.bias": torch.zeros(4)}, tmp_path / "a.safetensors"
        )
        with pytest.raises(ValueError, match="`perceptual_weights` must be a VGG-19"):
            load_perceptual_loss(weights=[tmp_path / "a.safetensors"])
        (tmp_path / "b.safetensors").write_bytes(b"no tensors")
        with pytest.raises(ValueError, match="b.safetensors, which cannot be read"):
            load_perceptual_loss(weights=[tmp_path / "b.safetensors"])
        with pytest.raises(FileNotFoundError, match="c.pth does not exist"):
            load_perceptual_loss(weights=[tmp_path / "c.pth"])

    def test_training_with_it_logs_and_measures_it(self, tmp_path):
        path = self.vgg(tmp_path)
        trainer = train(tmp_path, max_steps=1, perceptual_weight=2.0, perceptual_weights=[str(path)])
        assert trainer.state.log_history[0]["perceptual_loss"] > 0
        assert trainer.evaluate(make_rows(4))["eval_perceptual"] > 0

    def test_texture_term_enters_the_loss(self, tmp_path):
        options = {"perceptual_weight": 2.0, "perceptual_weights": [str(self.vgg(tmp_path))], "max_steps": 1}
        log = train(tmp_path, texture_weight=0.5, **options).state.log_history[0]
        expected = log["reconstruction_loss"] + log["codebook_loss"] + 0.25 * log["commitment_loss"]
        expected += 2 * log["perceptual_loss"] + 0.5 * log["texture_loss"]
        assert log["loss"] == pytest.approx(expected, rel=1e-4)
        with pytest.raises(ValueError, match="`perceptual_weights` must be given with `texture_weight`"):
            make_args(tmp_path, texture_weight=0.5)

    def test_texture_is_the_spread_of_features_in_windows(self, tmp_path):
        path = self.vgg(tmp_path)
        distance, network = FeatureSpreadDistance([path]), VGG19Features(path)
        first, second = torch.rand(2, 2, 3, 32, 32)
        terms = []
        for found, wanted in zip(network(first), network(second), strict=True):
            side = min(8, found.shape[-1])
            windows = [part.unfold(2, side, side).unfold(3, side, side).flatten(4) for part in (found, wanted)]
            spread = [part.std(dim=4, correction=0) for part in windows]
            terms.append((spread[0] - spread[1]).abs().mean(dim=(1, 2, 3)) / spread[1].mean(dim=(1, 2, 3)))
        torch.testing.assert_close(distance(first, second), torch.stack(terms).mean(dim=0), rtol=1e-3, atol=1e-4)
        moved = first.roll(8, dims=3)[..., 8:24, 8:24]  # strokes elsewhere, as rough
        assert distance(moved, first[..., 8:24, 8:24]).max() < distance(moved * 0.5 + 0.25, moved).min()


class TestAdaptiveWeight:
    def test_makes_both_gradients_at_the_last_layer_equally_long(self):
        weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        loss, generator_loss = (3 * weight).sum(), (weight * torch.tensor([0.0, 0.5])).sum()
        found = adaptive_weight(loss, generator_loss, weight)
        assert found.item() == pytest.approx(18**0.5 / (0.5 + 1e-4), rel=1e-6)
        assert not found.requires_grad


class TestCodebookCare:
    def test_frozen_codes_stay_while_the_decoder_learns(self, tmp_path):
        model, images = make_model(), torch.rand(3, 3, 16, 16) * 2 - 1
        before = {name: value.clone() for name, value in model.state_dict().items()}
        codes = model.encode(images).codes
        train(tmp_path, model=model, freeze_codes=True, dead_code_revival_steps=1)
        assert torch.equal(model.encode(images).codes, codes)
        changed = {name.split(".")[0] for name, value in model.state_dict().items() if not value.equal(before[name])}
        assert changed == {"decoder", "post_quant_conv"}

    def test_fill_codebook_takes_vectors_of_the_batch(self):
        model = make_model()
        latents = torch.randn(8, 4, 4, 4)
        fill_codebook(model.quantizer, latents, step_generator(0, 0))
        codebook = model.quantizer.codebook.weight.detach()
        coarse = latents.mean(dim=(2, 3))  # what the first scale sees; 32 * 1 / 21 codes are its own
        distances = torch.cdist(codebook[:2], coarse).min(dim=1).values
        torch.testing.assert_close(distances, torch.zeros(2), atol=1e-5, rtol=0)
        usage, _ = codebook_statistics(count_codes(model.quantizer, model.quantizer(latents)[0]).sum(dim=0))
        assert usage > 0.8

    def test_fill_codebook_larger_than_the_batch_has_no_twins(self):
        model = make_model(codebook_size=64)
        fill_codebook(model.quantizer, torch.randn(1, 4, 4, 4), step_generator(0, 0))
        distances = torch.cdist(model.quantizer.codebook.weight, model.quantizer.codebook.weight)
        assert (distances + torch.eye(64) > 0).all()

    def test_poorly_coded_vectors_are_drawn_first(self):
        model = make_model(patch_nums=(4,))
        latents = torch.zeros(1, 4, 4, 4)
        latents[0, :, 1, 2] = 50  # the only one far from every code
        with torch.no_grad():
            model.quantizer.codebook.weight.mul_(1e-3)
        drawn = draw_poorly_coded(model.quantizer, latents, 1, step_generator(0, 0))
        assert drawn.tolist() == [[50.0] * 4]

    def test_replace_codes_forgets_adam_moments(self):
        codebook = torch.nn.Embedding(4, 2)
        optimizer = torch.optim.AdamW(codebook.parameters(), lr=0.1)
        codebook(torch.arange(4)).sum().backward()
        optimizer.step()
        state = optimizer.state[codebook.weight]
        replace_codes(codebook, torch.tensor([1, 3]), torch.full((2, 2), 7.0), state)
        assert (codebook.weight[[1, 3]] == 7).all() and (codebook.weight[[0, 2]] != 7).all()
        for name in ("exp_avg", "exp_avg_sq"):
            assert (state[name][[1, 3]] == 0).all() and (state[name][[0, 2]] != 0).all()

    def test_bypass_passes_latents_and_ends_with_the_block(self):
        model, latents = make_model(), torch.randn(2, 4, 4, 4)
        with bypass_quantizer(model.quantizer):
            codes, cumulative = model.quantizer(latents)
            assert torch.equal(cumulative[-1], latents)
        plain_codes, plain = model.quantizer(latents)
        assert torch.equal(codes, plain_codes) and not torch.equal(plain[-1], latents)


class TestStyleVARVQTrainer:
    def test_loss_falls_and_logs_name_every_term(self, tmp_path):
        options = {"random_crop_scale": 1.0, "random_flip": False, "lr_scheduler_type": "constant"}
        trainer = train(tmp_path, rows=make_rows(2), max_steps=40, logging_steps=10, learning_rate=5e-3, **options)
        logs = [log for log in trainer.state.log_history if "loss" in log]
        assert logs[-1]["reconstruction_loss"] < 0.7 * logs[0]["reconstruction_loss"]
        names = ("codebook_loss", "commitment_loss", "codebook_usage", "codebook_perplexity_scale_2")
        assert all(name in logs[0] for name in names)
        assert 0 < logs[0]["codebook_usage"] <= 1

    def test_codebook_is_filled_when_the_quantizer_sets_in(self, tmp_path):
        codebooks = []

        def remember(step, model):
            codebooks.append(model.quantizer.codebook.weight.detach().clone())

        options = {"quantizer_warmup_steps": 2, "ema_decay": 0.9, "learning_rate": 1e-4}
        trainer = train(tmp_path, max_steps=3, callbacks=[SpyCallback(remember)], **options)
        assert torch.equal(codebooks[0], codebooks[1])
        change = (codebooks[2] - codebooks[1]).abs()
        assert change.median() > 10 * trainer.args.learning_rate  # filled, not trained
        average = trainer.ema.module.quantizer.codebook.weight
        assert (average - codebooks[2]).abs().max() < 10 * trainer.args.learning_rate

    def test_broken_image_stops_before_training_or_is_left_out(self, tmp_path, caplog):
        rows = make_rows(4)
        broken = {"bytes": make_png()[:40], "path": "broken.png"}
        table = rows.cast_column("target", datasets.Image(decode=False)).to_dict()
        table["target"][2] = broken
        rows = datasets.Dataset.from_dict(table, features=rows.features)
        with pytest.raises(ValueError, match="images that can be decoded.*skip_broken"):
            train(tmp_path, rows=rows, max_steps=1)
        trainer = train(tmp_path, rows=rows, max_steps=1, skip_broken=True, check_data=False)
        assert len(trainer.train_dataset) == 3 * 2  # rows times columns
        assert "Left out 1 rows" in caplog.text

    def test_evaluation_measures_every_scale_and_draws_a_grid(self, tmp_path):
        trainer = train(tmp_path, max_steps=1, num_sample_images=3)
        metrics = trainer.evaluate()
        assert metrics["eval_psnr"] == metrics["eval_psnr_scale_2"]
        images = torch.cat([batch["pixel_values"] for batch in trainer.get_eval_dataloader()])
        assert len(images) == 10
        expected = psnr(trainer.model.reconstruct(images) / 2 + 0.5, images / 2 + 0.5).mean().item()
        assert metrics["eval_psnr"] == pytest.approx(expected, abs=1e-3)
        grid = PIL.Image.open(tmp_path / "samples" / "step_1.png")
        assert grid.size == (3 * 18 - 2, 4 * 18 - 2)

    def test_several_validation_sets_have_their_own_metrics(self, tmp_path):
        sets = {"near": make_rows(2), "far": make_rows(2, seed=5)}
        trainer = StyleVARVQTrainer(make_model(), make_args(tmp_path), eval_dataset=sets)
        metrics = trainer.evaluate()
        assert metrics["eval_near_psnr"] != metrics["eval_far_psnr"]
        assert {path.name for path in (tmp_path / "samples").iterdir()} == {"step_0_near.png", "step_0_far.png"}

    def test_l1_loss_is_the_mean_absolute_error(self, tmp_path):
        trainer = StyleVARVQTrainer(make_model(), make_args(tmp_path, reconstruction_loss="l1"), make_rows())
        images = torch.rand(2, 3, 16, 16) * 2 - 1
        loss, outputs = trainer.compute_loss(trainer.model.eval(), {"pixel_values": images}, return_outputs=True)
        absolute = (outputs.reconstruction - images).abs().mean()
        torch.testing.assert_close(loss, absolute + outputs.loss - outputs.reconstruction_loss)

    def test_codebook_starts_from_data_only_for_new_models(self, tmp_path):
        model = make_model()
        model.save_pretrained(tmp_path / "saved")
        before = model.quantizer.codebook.weight.detach().clone()
        trainer = train(tmp_path, model, max_steps=1, learning_rate=0.0)
        assert not torch.equal(trainer.model.quantizer.codebook.weight, before)
        loaded = StyleVARVQModel.from_pretrained(tmp_path / "saved")
        trainer = train(tmp_path, loaded, max_steps=1, learning_rate=0.0)
        assert torch.equal(trainer.model.quantizer.codebook.weight, before)

    def test_path_of_a_whole_model_keeps_its_codebook_and_image_processor(self, tmp_path, tiny_model_dir):
        codebook = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir).vq_model.quantizer.codebook.weight
        trainer = train(tmp_path, tiny_model_dir, max_steps=1, learning_rate=0.0)
        assert torch.equal(trainer.model.quantizer.codebook.weight, codebook)
        assert trainer.processing_class.size == {"height": 16, "width": 16}

    def test_other_models_and_options_are_refused(self, tmp_path, tiny_model_dir):
        sizes = {"embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]}
        ResNetModel(ResNetConfig(**sizes)).save_pretrained(tmp_path / "resnet")
        with pytest.raises(ValueError, match="`vq_model` must be a tokenizer or a StyleVAR model, .*of type resnet"):
            train(tmp_path, str(tmp_path / "resnet"))
        whole = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        with pytest.raises(ValueError, match="`model` must be a StyleVARVQModel, or its folder"):
            train(tmp_path, whole)
        with pytest.raises(ValueError, match="`args` must be a StyleVARVQTrainerConfig, but got TrainingArguments"):
            StyleVARVQTrainer(make_model(), TrainingArguments(output_dir=str(tmp_path), use_cpu=True))

    def test_best_of_several_validation_sets_is_that_of_one(self, tmp_path):
        options = {"eval_strategy": "steps", "save_strategy": "steps", "load_best_model_at_end": True}
        sets = {"near": make_rows(2), "far": make_rows(2)}
        with pytest.raises(ValueError, match="`metric_for_best_model` must be .* eval_near_loss or eval_far_loss"):
            StyleVARVQTrainer(make_model(), make_args(tmp_path, **options), make_rows(), sets)

    def test_dead_codes_are_revived(self, tmp_path):
        def kill(step, model):
            if step == 3:  # far from every latent: nobody uses these in the next window
                model.quantizer.codebook.weight.data[:16] = 1e3

        trainer = train(tmp_path, max_steps=7, dead_code_revival_steps=3, callbacks=[SpyCallback(kill)])
        logs = {log["step"]: log for log in trainer.state.log_history if "loss" in log}
        assert "revived_codes" not in logs[6] and logs[7]["revived_codes"] >= 13  # step 4 revived what was dead before
        assert (trainer.model.quantizer.codebook.weight < 100).all()

    def test_revival_can_be_switched_off(self, tmp_path):
        trainer = train(tmp_path, max_steps=3, dead_code_revival_steps=0)
        assert not any("revived_codes" in log for log in trainer.state.log_history)

    def test_adversarial_term_starts_at_its_step(self, tmp_path):
        trainer = train(tmp_path, max_steps=4, adversarial_weight=0.1, adversarial_start_step=2)
        logs = [log for log in trainer.state.log_history if "loss" in log]
        assert ["discriminator_loss" in log for log in logs] == [False, False, True, True]
        assert trainer.discriminator_optimizer.state_dict()["state"][0]["step"] == 2
        assert all(parameter.requires_grad for parameter in trainer.discriminator.parameters())

    def test_discriminator_steps_once_per_accumulated_step(self, tmp_path):
        trainer = train(tmp_path, max_steps=2, adversarial_weight=0.1, gradient_accumulation_steps=2)
        assert trainer.discriminator_optimizer.state_dict()["state"][0]["step"] == 2

    def test_accumulated_small_batches_equal_one_large_one(self, tmp_path):
        options = {"max_steps": 2, "codebook_init_from_data": False, "optim": "sgd", "learning_rate": 0.1}
        whole = train(tmp_path, per_device_train_batch_size=4, **options)
        parts = train(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=2, **options)
        for name, value in whole.model.state_dict().items():
            torch.testing.assert_close(parts.model.state_dict()[name], value, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("stream", [False, True])
    def test_resumed_run_is_bitwise_equal(self, tmp_path, stream):
        options = {
            "max_steps": 9,
            "save_strategy": "steps",
            "save_steps": 4,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "logging_steps": 3,
            "dead_code_revival_steps": 2,
            "quantizer_warmup_steps": 6,
            "adversarial_weight": 0.1,
            "adversarial_start_step": 1,
            "ema_decay": 0.9,
        }
        # The stream: 3 steps a pass; the table: 5.
        rows = make_rows(6).to_iterable_dataset() if stream else make_rows(10)
        whole = train(tmp_path / "whole", rows=rows, **options)
        checkpoint = str(tmp_path / "whole" / "checkpoint-4")
        resumed = train(tmp_path / "resumed", make_model(seed=9), rows, resume=checkpoint, **options)
        assert_same_state(whole.model.state_dict(), resumed.model.state_dict())
        assert_same_state(whole.discriminator.state_dict(), resumed.discriminator.state_dict())
        for name in ("model", "ema"):
            files = [tmp_path / run / "checkpoint-8" / f"{name}.safetensors" for run in ("whole", "resumed")]
            assert_same_state(*map(load_file, files))
        noise = ("runtime", "per_second", "train_loss")
        for first, second in zip(whole.state.log_history[-5:], resumed.state.log_history[-5:], strict=True):
            assert first.keys() == second.keys()
            for name, value in first.items():
                # `Trainer` forgets the part of `loss` that it had not yet logged.
                if not any(part in name for part in noise) and not (name == "loss" and first["step"] == 6):
                    assert value == second[name], name

    def test_resume_without_the_trainers_state_is_refused(self, tmp_path):
        train(tmp_path, max_steps=2, save_strategy="steps", save_steps=2)
        (tmp_path / "checkpoint-2" / "vq_trainer_state.pt").unlink()
        with pytest.raises(FileNotFoundError, match="must hold vq_trainer_state.pt"):
            train(tmp_path, max_steps=4, resume=str(tmp_path / "checkpoint-2"))

    def test_nan_loss_names_step_and_images(self, tmp_path):
        def spoil(step, model):
            if step == 2:
                model.decoder.conv_out.bias.data.fill_(float("nan"))

        with pytest.raises(
            FloatingPointError, match=r"must be finite, but got nan at step 3 on .*row \d+ '(content|target)'"
        ):
            train(tmp_path, callbacks=[SpyCallback(spoil)])

    def test_channels_last_and_bf16_run(self, tmp_path):
        trainer = train(tmp_path, max_steps=2, channels_last=True, bf16=True)
        assert np.isfinite(trainer.state.log_history[-1]["train_loss"])
        assert trainer.evaluate()["eval_psnr"] > 0

    def test_other_model_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`model` must be a StyleVARVQModel, .* but got Linear"):
            StyleVARVQTrainer(torch.nn.Linear(2, 2), make_args(tmp_path))


class TestEMACallback:
    def make(self, decay=0.5, warmup=False):
        model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(model.weight)
        callback = EMACallback(decay, warmup)
        callback.start(model)
        return model, callback

    def advance(self, model, callback, value):
        torch.nn.init.constant_(model.weight, value)
        callback.on_step_end(None, None, None, model=model)

    def test_average_by_hand(self):
        model, callback = self.make()
        for value in (1.0, 2.0, 4.0):  # the first is taken as it is
            self.advance(model, callback, value)
        assert callback.module.weight.item() == pytest.approx(0.5 * (0.5 * 1 + 0.5 * 2) + 0.5 * 4)

    def test_warmup_shortens_the_memory(self):
        model, callback = self.make(decay=0.999, warmup=True)
        self.advance(model, callback, 1.0)
        self.advance(model, callback, 2.0)
        decay = 2 / 11
        assert callback.module.weight.item() == pytest.approx(decay * 1 + (1 - decay) * 2)

    def test_average_stands_in_during_evaluation_only(self):
        model, callback = self.make()
        self.advance(model, callback, 1.0)
        self.advance(model, callback, 3.0)
        with callback.applied(model):
            assert model.weight.item() == 2
            with callback.applied(model):
                assert model.weight.item() == 2
            assert model.weight.item() == 2
        assert model.weight.item() == 3

    def test_save_and_load_restore_the_average(self, tmp_path):
        model, callback = self.make()
        self.advance(model, callback, 1.0)
        self.advance(model, callback, 3.0)
        callback.save(tmp_path)
        _, other = self.make()
        other.load(tmp_path)
        assert other.module.weight.item() == 2 and int(other.averaged.n_averaged) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["ema.safetensors"]

    def test_load_without_file_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="must hold ema.safetensors"):
            EMACallback(0.9).load(tmp_path)

    @pytest.mark.parametrize("decay", [-0.1, 1.0])
    def test_decay_out_of_range_is_refused(self, decay):
        with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\)"):
            EMACallback(decay)

    def test_training_ends_with_the_average_and_evaluates_it(self, tmp_path):
        options = {"max_steps": 3, "ema_decay": 0.9, "eval_strategy": "steps", "eval_steps": 3}
        trainer = train(tmp_path, **options)
        assert_same_state(trainer.model.state_dict(), trainer.ema.module.state_dict())
        logged = next(log["eval_psnr"] for log in trainer.state.log_history if "eval_psnr" in log)
        assert trainer.evaluate()["eval_psnr"] == pytest.approx(logged)

    def test_best_checkpoints_average_is_used(self, tmp_path):
        trainer = train(
            tmp_path,
            max_steps=4,
            ema_decay=0.5,
            learning_rate=0.5,  # so high that the first checkpoint stays the best
            eval_strategy="steps",
            eval_steps=1,
            save_strategy="steps",
            save_steps=1,
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
        )
        best = load_file(Path(trainer.state.best_model_checkpoint) / "ema.safetensors")
        del best["n_averaged"]
        assert_same_state(trainer.model.state_dict(), best)


class TestCommand:
    def run(self, *flags):
        assert cli.main(["vq", *map(str, flags)]) == 0

    def sizes(self):
        return (
            "--base_channels 8 --channel_multipliers 1 1 1 --norm_num_groups 4 --codebook_size 32 --latent_channels 4 "
            "--patch_nums 1 2 4 --max_steps 2 --per_device_train_batch_size 4 --num_eval_rows 2 --disable_tqdm True "
            "--use_cpu True --save_steps 1"
        ).split()

    def test_trains_resumes_and_grows(self, tmp_path, monkeypatch):
        make_rows(20).save_to_disk(tmp_path / "rows")
        data, first = ["--dataset", f"disk:{tmp_path / 'rows'}"], tmp_path / "first"
        warnings = []
        monkeypatch.setattr(checkpointing.logger, "warning", lambda text, *values: warnings.append(text % values))
        flags = ["--output_dir", first, "--resume_from_checkpoint", "last"]
        self.run(*data, *self.sizes(), *flags)
        assert warnings == [f"{first} holds no checkpoint yet: training starts from step 0."]
        assert (first / "checkpoint-2").is_dir() and (first / "preprocessor_config.json").is_file()
        self.run(*data, *self.sizes(), *flags, "--max_steps", "3")
        assert (first / "checkpoint-3").is_dir()

        model_args = arguments.VQModelArguments(init_from=str(first), patch_nums=[1, 2, 3, 4, 8])
        small, large = StyleVARVQModel.from_pretrained(first), arguments.build_model(model_args)
        assert large.config.image_size == 2 * small.config.image_size
        assert_same_state(small.state_dict(), large.state_dict())

    def test_options_come_from_a_yaml_file(self, tmp_path):
        make_rows(20).save_to_disk(tmp_path / "rows")
        config = tmp_path / "vq.yaml"
        config.write_text(f"dataset: disk:{tmp_path / 'rows'}\nema_decay: 0.9\nimage_columns: [target]\n")
        output = tmp_path / "out"
        self.run("--config", config, *self.sizes(), "--output_dir", output)
        assert (output / "checkpoint-2" / "ema.safetensors").is_file()

    def test_model_and_init_from_exclude_each_other(self):
        with pytest.raises(ValueError, match="`--model` must be left out"):
            arguments.build_model(arguments.VQModelArguments(model="a", init_from="b"))
