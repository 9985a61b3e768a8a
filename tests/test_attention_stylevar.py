# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The ways to compute attention agree."""

import pytest
import torch
import torch.nn.functional as F
from conftest import make_tiny_config

from stylevar_hf import StyleVARForConditionalGeneration
from stylevar_hf import attention_stylevar as attention


def make_heads(images: int, heads: int, queries: int, keys: int, width: int = 16) -> list[torch.Tensor]:
    """Queries, keys and values of unit length as the projections lay them out."""
    torch.manual_seed(0)
    rows = (queries, keys, keys)
    return [F.normalize(torch.randn(images, n, heads, width), dim=-1).transpose(1, 2) for n in rows]


def answers_and_gradients(attend, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    answers = attend(*tensors)
    answers.backward(torch.linspace(-1, 1, answers.numel(), dtype=answers.dtype).view_as(answers))
    return [answers.detach().float(), *(tensor.grad.float() for tensor in tensors)]


def make_model_and_inputs(**config) -> tuple:
    """A tiny model whose gates are open, two pairs and their labels."""
    torch.manual_seed(0)
    model = StyleVARForConditionalGeneration(make_tiny_config(num_hidden_layers=1, **config)).eval()
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.modulation.weight, std=0.2)
    return model, tuple(torch.rand(2, 2, 3, 16, 16) * 2 - 1), torch.randint(64, (2, 30))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


class TestHalfAttention:
    @pytest.mark.parametrize("cached_scores", [1, 100, 2**20], ids=["row by row", "some rows", "many images"])
    def test_is_as_close_to_float32_as_torch(self, cached_scores, monkeypatch):
        monkeypatch.setattr(attention, "_CACHED_SCORES", cached_scores)
        tensors = [tensor.bfloat16() for tensor in make_heads(images=3, heads=2, queries=12, keys=7)]

        def torch_attention(query, key, value):
            return F.scaled_dot_product_attention(query, key, value, scale=4.0)

        def half_attention(query, key, value):
            return attention.half_attention_forward(None, query, key, value, None, 4.0)[0].transpose(1, 2)

        exact = answers_and_gradients(torch_attention, [tensor.float() for tensor in tensors])
        usual = answers_and_gradients(torch_attention, tensors)
        ours = answers_and_gradients(half_attention, tensors)
        for one, other, true in zip(ours, usual, exact, strict=True):
            assert relative_error(one, true) < max(2 * relative_error(other, true), 0.01)

    @pytest.mark.parametrize("cached_scores", [1, 50, 10**6])
    def test_blocks_cover_every_query_once(self, cached_scores, monkeypatch):
        monkeypatch.setattr(attention, "_CACHED_SCORES", cached_scores)
        query, key, _ = make_heads(images=3, heads=2, queries=12, keys=7)
        covered = torch.zeros(3, 2, 12)
        for keys, rows in attention._blocks(query, key):
            covered[(*keys, rows)] += 1
        assert (covered == 1).all()

    @pytest.mark.parametrize(
        "implementation, dtype, masked, expected",
        [
            ("sdpa", torch.bfloat16, False, True),
            ("sdpa", torch.bfloat16, True, False),
            ("sdpa", torch.float32, False, False),
            ("eager", torch.bfloat16, False, False),
        ],
    )
    def test_serves_unmasked_bfloat16_only(self, implementation, dtype, masked, expected):
        query = torch.zeros(1, 1, 2, 4, dtype=dtype)
        chosen = attention.get_attention(implementation, query, torch.zeros(1, 1, 2, 2) if masked else None)
        assert (chosen is attention.half_attention_forward) == expected

    def test_serves_autocast(self):
        with torch.autocast("cpu", torch.bfloat16):
            chosen = attention.get_attention("sdpa", torch.zeros(1, 1, 2, 4), None)
        assert chosen is attention.half_attention_forward


class TestImplementations:
    @pytest.mark.parametrize("implementation", ["eager", "flex_attention"])
    def test_logits_are_those_of_sdpa(self, implementation):
        model, pair, labels = make_model_and_inputs()
        with torch.no_grad():
            expected = model(*pair, labels=labels).logits
            model.set_attn_implementation(implementation)
            torch.testing.assert_close(model(*pair, labels=labels).logits, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("legacy", [False, True])
    def test_generated_logits_are_those_of_sdpa(self, legacy):
        model, pair, _ = make_model_and_inputs(legacy_kv_duplication=legacy)
        expected = model.generate(*pair, do_sample=False, output_logits=True).logits
        model.set_attn_implementation("eager")
        found = model.generate(*pair, do_sample=False, output_logits=True).logits
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)

    def test_scale_by_scale_equals_a_mask(self):
        torch.manual_seed(0)
        model = StyleVARForConditionalGeneration(make_tiny_config()).model
        states = torch.randn(2, 30, 32)
        guides = torch.randn(2, 2, 30, 32)
        alphas = model.get_blend_alphas(0.2)
        scales = model.token_scales
        layer = model.layers[0].attention
        masked, _ = layer(states, guides, alphas, attention.block_causal_bias(scales.repeat(2), scales, states.dtype))
        split, _ = layer(states, guides, alphas, scale_boundaries=model.config.vq_config.scale_boundaries)
        torch.testing.assert_close(split, masked, rtol=0, atol=1e-5)

    def test_flash_attention_is_refused(self, tiny_model_dir):
        with pytest.raises(ValueError, match="Flash Attention 2"):
            StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir, attn_implementation="flash_attention_2")
