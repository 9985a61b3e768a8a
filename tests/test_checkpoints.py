# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What ships with the package is what README says of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline, StyleVARVQModel, bundled_checkpoint
from stylevar_hf.checkpoints import ADAPTERS, MODELS, NAMES
from stylevar_hf.conversion.loading import find_checkpoint
from stylevar_hf.data import load_procedural
from stylevar_hf.data.procedural import procedural_triplet
from stylevar_hf.data.procedural.contents import HELD_OUT_PHOTOGRAPHS, photograph_crop
from stylevar_hf.evaluation import colour_distance, peak_signal_to_noise_ratio, structural_similarity, texture_distance


NUM_PAIRS = 16


@pytest.fixture(scope="module", params=MODELS)
def pipe(request) -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(bundled_checkpoint(request.param), device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> StyleVARVQModel:
    return StyleVARForConditionalGeneration.from_pretrained(bundled_checkpoint(), dtype=torch.float32).vq_model.eval()


def to_pixel_values(images) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def mean_psnr(tokenizer: StyleVARVQModel, images) -> float:
    """In dB, of pixels in [0, 255], mean over images."""
    pixel_values = to_pixel_values(images)
    errors = (tokenizer.reconstruct(pixel_values) - pixel_values).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(4 / errors)).mean().item()


def mean_of(measure, images, references) -> float:
    return float(np.mean([measure(*pair) for pair in zip(images, references, strict=True)]))


class TestTokenizer:
    @pytest.mark.parametrize("split", ["in_distribution", "near_distribution", "out_of_distribution"])
    def test_held_out_procedural_images_are_reconstructed(self, tokenizer, split):
        triplets = [procedural_triplet(index, split, image_size=tokenizer.config.image_size) for index in range(8)]
        images = [np.asarray(triplet[name]) for triplet in triplets for name in ("content", "style", "target")]
        assert mean_psnr(tokenizer, images) > 24

    def test_held_out_photographs_are_reconstructed(self, tokenizer):
        rng = np.random.default_rng(0)
        size = tokenizer.config.image_size
        crops = [photograph_crop(rng, size, HELD_OUT_PHOTOGRAPHS)[0] for _ in range(16)]
        assert mean_psnr(tokenizer, crops) > 22


class TestStyleTransfer:
    """A part of README's table, on fewer pairs and with room for chance."""

    @pytest.fixture(scope="class", params=["in_distribution", "near_distribution"])
    def triplets(self, request) -> dict[str, list]:
        rows = load_procedural(NUM_PAIRS, request.param, image_size=128)
        return {name: list(rows[name]) for name in ("content", "style", "target")}

    @pytest.fixture(scope="class")
    def outputs(self, pipe, triplets) -> list:
        return pipe(triplets["content"], triplets["style"], seed=0, batch_size=NUM_PAIRS)

    @pytest.fixture(scope="class")
    def swapped(self, pipe, triplets) -> list:
        styles = triplets["style"][1:] + triplets["style"][:1]
        return pipe(triplets["content"], styles, seed=0, batch_size=NUM_PAIRS)

    @pytest.mark.parametrize("control", ["content", "another style"])
    @pytest.mark.parametrize(
        ("measure", "sign"),
        [
            (structural_similarity, 1),
            (peak_signal_to_noise_ratio, 1),
            (colour_distance, -1),
            (texture_distance, -1),
        ],
    )
    def test_output_is_nearer_to_the_target_than_controls(self, triplets, outputs, swapped, control, measure, sign):
        others = triplets["content"] if control == "content" else swapped
        ours, theirs = (mean_of(measure, images, triplets["target"]) for images in (outputs, others))
        assert sign * (ours - theirs) > 0

    def test_strength_moves_from_content_to_style(self, pipe, triplets):
        to_content, to_style = [], []
        for strength in (-1, 0, 1):
            images = pipe(
                triplets["content"], triplets["style"], seed=0, batch_size=NUM_PAIRS, style_strength=strength
            )
            to_content.append(mean_of(structural_similarity, images, triplets["content"]))
            to_style.append(mean_of(structural_similarity, images, triplets["style"]))
        assert to_content[0] > to_content[1] > to_content[2]
        assert to_style[0] < to_style[1] < to_style[2]


class TestReinforcement:
    """What README says GRPO did to stylevar-mini, on fewer pairs."""

    @pytest.fixture(scope="class", params=["in_distribution", "near_distribution"])
    def triplets(self, request) -> dict[str, list]:
        rows = load_procedural(4 * NUM_PAIRS, request.param, image_size=128)
        return {name: list(rows[name]) for name in ("content", "style", "target")}

    def test_reward_is_higher_than_before(self, triplets):
        rewards = []
        for name in MODELS:
            pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint(name), device="cpu", dtype=torch.float32)
            images = pipe(triplets["content"], triplets["style"], seed=0, batch_size=NUM_PAIRS)
            pairs = images, triplets["target"]
            reward = 2 * mean_of(structural_similarity, *pairs) - mean_of(texture_distance, *pairs)
            rewards.append(reward - 0.006 * mean_of(colour_distance, *pairs))
        assert rewards[1] > rewards[0]

    @pytest.mark.parametrize("adapter", ADAPTERS)
    def test_adapter_gives_the_logits_of_the_merged_model(self, adapter):
        base = StyleVARForConditionalGeneration.from_pretrained(bundled_checkpoint(), dtype=torch.float32).eval()
        merged = bundled_checkpoint(adapter.removesuffix("-lora"))
        merged = StyleVARForConditionalGeneration.from_pretrained(merged, dtype=torch.float32).eval()
        pixels = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
        codes = torch.arange(base.config.sequence_length).unsqueeze(0)

        @torch.no_grad()
        def logits(model):
            return model(pixels[:1], pixels[1:], labels=codes).logits

        before, expected = logits(base), logits(merged)
        base.load_adapter(bundled_checkpoint(adapter))
        error = (logits(base) - expected).abs().mean()
        assert error < 0.1 * (before - expected).abs().mean()  # the merged weights are rounded to 16 bits


class TestFindCheckpoint:
    def test_names_of_this_package_give_their_folders(self):
        assert find_checkpoint("bundled") == bundled_checkpoint()
        for name in MODELS:
            assert find_checkpoint(name) == bundled_checkpoint(name)

    def test_everything_else_is_left_as_it_is(self, tmp_path, monkeypatch):
        assert find_checkpoint("me/stylevar-mini") == "me/stylevar-mini"
        (tmp_path / "stylevar-mini").mkdir()
        monkeypatch.chdir(tmp_path)
        assert find_checkpoint("stylevar-mini") == "stylevar-mini"


class TestFiles:
    def test_are_small(self):
        for name in NAMES:
            assert sum(file.stat().st_size for file in Path(bundled_checkpoint(name)).iterdir()) < 40 * 2**20
