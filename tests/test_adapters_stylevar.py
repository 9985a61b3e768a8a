# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What docstrings and README promise of adapters, with the releases of transformers and PEFT that are installed."""

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline
from stylevar_hf.training import add_adapter


@pytest.fixture(scope="module")
def adapter_dir(tiny_model_dir, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("adapter"))
    base = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
    add_adapter(base, LoraConfig(r=2, init_lora_weights=False), seed=0).save_pretrained(folder)
    return folder


@pytest.fixture
def pipe(tiny_model_dir, adapter_dir) -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(tiny_model_dir, adapter=adapter_dir, device="cpu")


@torch.no_grad()
def logits(model) -> torch.Tensor:
    pixels = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    return model(pixels, -pixels, target_pixel_values=pixels).logits


class TestAdapterOfAPipeline:
    def test_disabled_it_shows_the_base(self, pipe, tiny_model_dir):
        base, adapted = logits(StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)), logits(pipe.model)
        assert (base - adapted).abs().max() > 1e-3
        pipe.model.disable_adapters()
        torch.testing.assert_close(logits(pipe.model), base, atol=0, rtol=0)
        pipe.model.enable_adapters()
        torch.testing.assert_close(logits(pipe.model), adapted, atol=0, rtol=0)
        assert pipe.model.active_adapters() == ["default"]

    def test_save_pretrained_writes_the_adapter_alone(self, pipe, tiny_model_dir, tmp_path):
        pipe.save_pretrained(tmp_path)
        assert (tmp_path / "adapter_config.json").is_file() and not (tmp_path / "model.safetensors").exists()
        assert all(name.startswith("base_model.model.") for name in load_file(tmp_path / "adapter_model.safetensors"))
        for again in (
            StyleVARPipeline.from_pretrained(tmp_path, device="cpu"),
            StyleVARPipeline.from_pretrained(tiny_model_dir, adapter=tmp_path, device="cpu"),
        ):
            torch.testing.assert_close(logits(again.model), logits(pipe.model), atol=0, rtol=0)

    def test_deleted_it_leaves_the_base(self, pipe, tiny_model_dir, tmp_path):
        pipe.model.delete_adapter("default")
        base = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        assert pipe.model.state_dict().keys() == base.state_dict().keys()
        pipe.save_pretrained(tmp_path)
        again = StyleVARForConditionalGeneration.from_pretrained(tmp_path)
        torch.testing.assert_close(logits(again), logits(base), atol=0, rtol=0)
        with pytest.raises(ValueError, match="must have an adapter"):
            pipe.model.disable_adapters()

    def test_another_is_added_and_chosen(self, pipe):
        first = logits(pipe.model)
        config = LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False)
        pipe.model.add_adapter(config, "second")
        assert pipe.model.active_adapters() == ["second"] and (logits(pipe.model) - first).abs().max() > 1e-3
        pipe.model.set_adapter("default")
        torch.testing.assert_close(logits(pipe.model), first, atol=0, rtol=0)
        pipe.model.delete_adapter("second")
        torch.testing.assert_close(logits(pipe.model), first, atol=0, rtol=0)

    def test_wrong_names_are_refused(self, pipe):
        for call in (pipe.model.set_adapter, pipe.model.delete_adapter, pipe.model.get_adapter_state_dict):
            with pytest.raises(ValueError, match="`adapter_name` must be one of default, but got other"):
                call("other")
        with pytest.raises(ValueError, match="`adapter_name` must be new, but got 'default'"):
            pipe.model.add_adapter(LoraConfig(target_modules=["o_proj"]))
        with pytest.raises(TypeError, match="`adapter_config` must be a `PeftConfig`, but got dict"):
            pipe.model.add_adapter({})
