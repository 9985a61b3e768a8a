# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The published code's own numbers, on a tiny model whose weights come from a seed: published `.pth` files are written,
converted, loaded, and must give what the published code gave.
"""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stylevar_hf import StyleVARForConditionalGeneration, convert_original_checkpoint
from stylevar_hf.generation_stylevar import filter_logits


FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
from fill_checkpoint import fill  # noqa: E402


TOLERANCE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module")
def goldens() -> dict[str, torch.Tensor]:
    return load_file(FIXTURES / "goldens_tiny_seed1.safetensors")


@pytest.fixture(scope="module")
def pixels(goldens) -> dict[str, torch.Tensor]:
    return {role: goldens[f"{role}_uint8"].float() / 255 * 2 - 1 for role in ("content", "style", "target")}


@pytest.fixture(scope="module")
def converted_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("goldens")
    for name in ("vae", "stylevar"):
        keys = FIXTURES / f"tiny_{name}_keys.json"
        torch.save(fill(str(keys), seed=1, patch_nums=(1, 2, 3, 4)), folder / f"{name}.pth")
    output = folder / "converted"
    convert_original_checkpoint(folder / "vae.pth", folder / "stylevar.pth", output, blend_alphas=(0.2, 0.4, 0.6, 0.8))
    return output


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request, converted_dir) -> StyleVARForConditionalGeneration:
    return StyleVARForConditionalGeneration.from_pretrained(converted_dir, attn_implementation=request.param)


class TestTokenizer:
    @pytest.mark.parametrize("role", ["content", "style", "target"])
    def test_codes_equal_published(self, model, goldens, pixels, role):
        assert torch.equal(model.vq_model.encode(pixels[role]).codes, goldens[f"{role}_codes"])

    def test_latents_equal_published(self, model, goldens, pixels):
        latents = model.vq_model.encode(pixels["content"]).latents
        torch.testing.assert_close(latents, goldens["content_latent"], **TOLERANCE)

    @pytest.mark.parametrize("role", ["content", "style"])
    def test_conditioning_features_equal_published(self, model, goldens, pixels, role):
        expected = goldens[f"{role}_features"]
        torch.testing.assert_close(model.vq_model.encode(pixels[role]).features, expected, **TOLERANCE)
        from_codes = model.vq_model.cumulative_features(goldens[f"{role}_codes"])
        torch.testing.assert_close(from_codes, expected, **TOLERANCE)

    def test_teacher_forced_inputs_equal_published(self, model, goldens):
        features = model.vq_model.next_scale_features(goldens["target_codes"])
        torch.testing.assert_close(features, goldens["target_input_features"], **TOLERANCE)

    @torch.no_grad()
    def test_decoded_images_equal_published(self, model, goldens, pixels):
        reconstruction = model.vq_model.reconstruct(pixels["content"])
        torch.testing.assert_close(reconstruction, goldens["content_reconstruction"], **TOLERANCE)
        decoded = model.vq_model.decode(goldens["target_codes"])
        torch.testing.assert_close(decoded, goldens["target_decoded"], **TOLERANCE)


class TestTransformer:
    @torch.no_grad()
    @pytest.mark.parametrize("role", ["content", "style"])
    def test_image_embeddings_equal_published(self, model, goldens, pixels, role):
        embed = getattr(model.model, f"embed_{role}")
        torch.testing.assert_close(embed(pixels[role]), goldens[f"{role}_embedding"], **TOLERANCE)

    @torch.no_grad()
    @pytest.mark.parametrize(
        "strength, suffix", [(0.0, ""), (-1.0, "_style_strength_-1.0"), (0.5, "_style_strength_+0.5")]
    )
    def test_teacher_forced_logits_equal_published(self, model, goldens, pixels, strength, suffix):
        output = model(pixels["content"], pixels["style"], labels=goldens["target_codes"], style_strength=strength)
        torch.testing.assert_close(output.logits, goldens[f"logits{suffix}"], **TOLERANCE)

    @torch.no_grad()
    def test_target_pixels_tokenised_on_the_fly_equal_labels(self, model, goldens, pixels):
        output = model(pixels["content"], pixels["style"], target_pixel_values=pixels["target"])
        assert torch.equal(output.labels, goldens["target_codes"])
        torch.testing.assert_close(output.logits, goldens["logits"], **TOLERANCE)


class TestGeneration:
    def test_greedy_codes_and_pixels_are_exact(self, model, goldens, pixels):
        output = model.generate(pixels["content"], pixels["style"], do_sample=False)
        assert torch.equal(output.sequences, goldens["greedy_codes"])
        torch.testing.assert_close(output.pixel_values, goldens["greedy_pixels"], **TOLERANCE)

    def test_legacy_kv_duplication_equals_published_inference(self, model, goldens, pixels, monkeypatch):
        monkeypatch.setattr(model.config, "legacy_kv_duplication", True)
        output = model.generate(pixels["content"], pixels["style"], do_sample=False, output_logits=True)
        assert torch.equal(output.sequences, goldens["reference_cached_greedy_codes"])
        torch.testing.assert_close(output.logits, goldens["reference_cached_logits"], **TOLERANCE)
        images = (output.pixel_values + 1) / 2
        torch.testing.assert_close(images, goldens["reference_cached_greedy_pixels01"], **TOLERANCE)

    @pytest.mark.parametrize("top_k, top_p", [(50, 0.0), (0, 0.9), (50, 0.9), (900, 0.96)])
    def test_filters_keep_the_published_tokens(self, goldens, top_k, top_p):
        kept = filter_logits(goldens["filter_logits"], top_k, top_p or None).isfinite()
        assert torch.equal(kept, goldens[f"filter_kept_k{top_k}_p{top_p}"].bool())
