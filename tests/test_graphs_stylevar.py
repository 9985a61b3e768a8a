# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Recorded scales give the codes that scales run one by one give; on the CPU, all but the CUDA graph itself runs."""

import copy
import gc
import weakref

import pytest
import torch
from conftest import make_tiny_config

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline, graphs_stylevar


def make_model(**config) -> StyleVARForConditionalGeneration:
    torch.manual_seed(0)
    model = StyleVARForConditionalGeneration(make_tiny_config(**config)).eval()
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.modulation.weight, std=0.5)
    return model


def make_pair(batch: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, batch, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def generate(model, pair, compile: bool, images: int = 1, **options):
    generators = [torch.Generator().manual_seed(seed) for seed in range(pair.shape[1] * images)]
    return model.generate(
        *pair, generator=generators, num_return_sequences=images, output_logits=True, compile=compile, **options
    )


def assert_same(model, pair, **options):
    recorded, usual = generate(model, pair, True, **options), generate(model, pair, False, **options)
    assert torch.equal(recorded.sequences, usual.sequences)
    assert torch.equal(recorded.logits, usual.logits)
    assert torch.equal(recorded.pixel_values, usual.pixel_values)


class TestRecordedScales:
    @pytest.mark.parametrize("images", [1, 3])
    @pytest.mark.parametrize("legacy", [False, True])
    def test_pictures_follow_one_another(self, images, legacy):
        model = make_model(legacy_kv_duplication=legacy)
        for seed in range(3):
            assert_same(model, make_pair(2, seed), images=images, style_strength=[0.5 * seed - 0.5, 0.0])

    def test_batches_of_several_sizes_take_turns(self):
        model = make_model()
        for batch in (1, 2, 1, 3, 2):
            assert_same(model, make_pair(batch, batch))
        assert len(graphs_stylevar._RECORDED[model]) == 3

    def test_a_kind_of_batch_is_recorded_once(self):
        model = make_model()
        generate(model, make_pair(1), True)
        recording = next(iter(graphs_stylevar._RECORDED[model].values()))
        steps = dict(recording.steps)
        generate(model, make_pair(1, 1), True)
        assert list(graphs_stylevar._RECORDED[model].values()) == [recording] and recording.steps == steps

    def test_results_are_not_overwritten_later(self):
        model = make_model()
        first = generate(model, make_pair(1), True)
        kept = copy.deepcopy(first)
        generate(model, make_pair(1, 1), True)
        assert all(torch.equal(first[name], kept[name]) for name in kept)

    def test_weights_changed_in_place_count(self):
        model = make_model()
        generate(model, make_pair(1), True)
        torch.nn.init.normal_(model.lm_head.weight)
        assert_same(model, make_pair(1))

    def test_weights_that_moved_are_recorded_anew(self):
        model = make_model()
        generate(model, make_pair(1), True)
        model.to(torch.float64).to(torch.float32)
        assert_same(model, make_pair(1))
        assert len(graphs_stylevar._RECORDED[model]) == 1

    def test_adapters_switched_off_count(self):
        from peft import LoraConfig

        model = make_model()
        model.add_adapter(LoraConfig(target_modules=["q_proj", "fc1"], init_lora_weights=False))
        with_adapter = generate(model, make_pair(1), True).logits
        assert_same(model, make_pair(1))
        model.disable_adapters()
        assert_same(model, make_pair(1))
        assert not torch.equal(generate(model, make_pair(1), True).logits, with_adapter)

    def test_inference_mode_and_no_grad_take_turns(self):
        model = make_model()
        for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
            with mode():
                assert_same(model, make_pair(1))

    def test_a_prefix_and_blends(self):
        model = make_model()
        pair = make_pair(1)
        assert_same(model, pair, prefix_codes=torch.zeros(1, 5, dtype=torch.long))

    def test_model_can_be_copied_and_goes_away(self):
        model = make_model()
        generate(model, make_pair(1), True)
        copy.deepcopy(model)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None


def test_pipeline_paints_the_same(tiny_model_dir, image_files):
    pair = image_files["content"], image_files["style"]
    usual = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
    recorded = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu", compile=True)
    for seed in range(2):
        assert recorded(*pair, seed=seed) == usual(*pair, seed=seed)
