# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from conftest import make_tiny_config
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARModel, StyleVARVQModel
from stylevar_hf.modeling_stylevar import drop_path


LORA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2")


def make_model(seed: int = 0, trained: bool = True, **overrides) -> StyleVARForConditionalGeneration:
    """The tiny model; `trained` gives it weights that matter, for at initialisation its gates are almost shut."""
    torch.manual_seed(seed)
    model = StyleVARForConditionalGeneration(make_tiny_config(**overrides)).eval()
    if trained:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.startswith("model.") and "encoder" not in name:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
                if name.startswith("lm_head"):
                    parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def make_inputs(model, batch_size: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    shape = (batch_size, 3, config.image_size, config.image_size)
    size = (batch_size, config.sequence_length)
    return {
        "content_pixel_values": torch.rand(shape, generator=generator) * 2 - 1,
        "style_pixel_values": torch.rand(shape, generator=generator) * 2 - 1,
        "labels": torch.randint(config.vq_config.codebook_size, size, generator=generator),
    }


class TestTeacherForcing:
    @torch.no_grad()
    def test_a_token_sees_its_own_scale_inputs_and_coarser_codes_only(self):
        model = make_model()
        inputs = make_inputs(model)
        expected = model(**inputs).logits
        for start, end in model.config.vq_config.scale_boundaries:
            changed = dict(inputs, labels=inputs["labels"].clone())
            changed["labels"][:, start:end] = (changed["labels"][:, start:end] + 1) % 64
            logits = model(**changed).logits
            assert torch.equal(logits[:, :end], expected[:, :end])
            if end < model.config.sequence_length:
                assert not torch.allclose(logits[:, end:], expected[:, end:])

    @torch.no_grad()
    @pytest.mark.parametrize("alpha, deaf_to", [(1.0, "content"), (0.0, "style")])
    def test_alpha_decides_who_asks(self, alpha, deaf_to):
        model = make_model(blend_alphas=(alpha,) * 4)
        inputs = make_inputs(model)
        expected = model(**inputs).logits
        others = model.vq_model.encode(make_inputs(model, seed=1)["content_pixel_values"]).codes
        for role in ("content", "style"):
            logits = model(**inputs, **{f"{role}_codes": others}).logits
            assert torch.allclose(logits, expected) == (role == deaf_to)

    @torch.no_grad()
    def test_given_codes_equal_tokenising_the_pixels(self):
        model = make_model()
        inputs = make_inputs(model)
        codes = {
            f"{role}_codes": model.vq_model.encode(inputs[f"{role}_pixel_values"]).codes
            for role in ("content", "style")
        }
        torch.testing.assert_close(model(**inputs, **codes).logits, model(**inputs).logits)

    @torch.no_grad()
    def test_several_targets_per_pair_equal_repeated_pairs(self):
        model = make_model()
        inputs = make_inputs(model)
        labels = make_inputs(model, batch_size=6, seed=1)["labels"]
        repeated = {name: value.repeat_interleave(3, dim=0) for name, value in inputs.items() if name != "labels"}
        expected = model(**repeated, labels=labels).logits
        logits = model(**dict(inputs, labels=labels), num_return_sequences=3).logits
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)

    @torch.no_grad()
    def test_style_strength_per_pair_equals_one_at_a_time(self):
        model = make_model()
        inputs = make_inputs(model)
        logits = model(**inputs, style_strength=[-0.4, 1.0]).logits
        for row, strength in enumerate((-0.4, 1.0)):
            one = {name: value[row : row + 1] for name, value in inputs.items()}
            torch.testing.assert_close(logits[row : row + 1], model(**one, style_strength=strength).logits)

    def test_style_strength_shifts_by_half_and_clamps(self):
        alphas = make_model(blend_alphas=(0.0, 0.3, 0.7, 1.0)).model.get_blend_alphas
        at_each_scale = [0, 1, 5, 14]
        assert alphas(0.0)[0, at_each_scale, 0].tolist() == pytest.approx([0.0, 0.3, 0.7, 1.0])
        assert alphas(0.5)[0, at_each_scale, 0].tolist() == pytest.approx([0.25, 0.55, 0.95, 0.99])
        assert alphas(-1.0)[0, at_each_scale, 0].tolist() == pytest.approx([0.01, 0.01, 0.2, 0.5])


class TestLoss:
    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
    def test_loss_is_the_mean_over_all_tokens(self, label_smoothing):
        model = make_model(label_smoothing=label_smoothing)
        inputs = make_inputs(model)
        output = model(**inputs)
        log_probabilities = output.logits.log_softmax(-1)
        hit = log_probabilities.gather(-1, inputs["labels"][..., None])[..., 0]
        losses = -(1 - label_smoothing) * hit - label_smoothing * log_probabilities.mean(-1)
        torch.testing.assert_close(output.loss, losses.mean())
        for scale, (start, end) in enumerate(model.config.vq_config.scale_boundaries):
            torch.testing.assert_close(output.scale_losses[scale], losses[:, start:end].mean())

    def test_accuracy_is_the_share_of_best_codes_that_are_labels(self):
        model = make_model()
        inputs = make_inputs(model)
        best = model(**inputs).logits.argmax(-1)
        inputs["labels"][:, :5] = best[:, :5]
        accuracies = model(**inputs).scale_accuracies
        assert accuracies[0] == 1.0
        assert accuracies[3] < 0.5

    def test_gradients_reach_every_parameter_but_the_tokenizer(self):
        model = make_model().train()
        model(**make_inputs(model)).loss.backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad is None) == name.startswith("vq_model."), name

    def test_gradient_checkpointing_keeps_the_gradients(self):
        model = make_model(drop_path_rate=0.0).train()
        inputs = make_inputs(model)
        model(**inputs).loss.backward()
        expected = {name: parameter.grad for name, parameter in model.named_parameters()}
        model.zero_grad()
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**inputs).loss.backward()
        for name, parameter in model.model.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[f"model.{name}"], msg=name)


class TestTrainingNoise:
    def test_alpha_jitter_shifts_all_alphas_together_in_training_only(self):
        model = make_model(alpha_jitter=0.15).model
        still = model.get_blend_alphas()
        model.train()
        torch.manual_seed(0)
        shift = model.get_blend_alphas() - still
        assert 0 < shift.abs().max() <= 0.15
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))

    def test_drop_path_rises_linearly_to_its_rate(self):
        rates = [layer.drop_path_rate for layer in make_model(num_hidden_layers=3, drop_path_rate=0.3).model.layers]
        assert rates == pytest.approx([0.0, 0.15, 0.3])

    @torch.no_grad()
    def test_drop_path_is_random_in_training_only(self):
        model = make_model(drop_path_rate=0.9)
        inputs = make_inputs(model, batch_size=8)
        assert torch.equal(model(**inputs).logits, model(**inputs).logits)
        model.model.layers.train()
        assert not torch.equal(model(**inputs).logits, model(**inputs).logits)

    def test_drop_path_draws_for_each_target_of_a_pair(self):
        gate = drop_path(torch.ones(1, 1, 3), num_targets=1000, rate=0.25, training=True)
        assert gate.shape == (1000, 1, 3)
        assert sorted(gate.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
        assert (gate == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)


class TestInitialisation:
    def test_statistics_are_the_published_ones(self):
        model = make_model(trained=False, hidden_size=128, num_hidden_layers=4)
        std = math.sqrt(1 / 3 / 128)
        layer = model.model.layers[0]
        measured = {
            "q_proj": (layer.attention.q_proj.weight, std),
            "o_proj": (layer.attention.o_proj.weight, std / math.sqrt(8)),
            "fc2": (layer.mlp.fc2.weight, std / math.sqrt(8)),
            "gates": (layer.modulation.weight[:256], std * 1e-5),
            "scales and shifts": (layer.modulation.weight[256:], std * 0.5),
            "final norm": (model.model.norm.modulation.weight, std * 0.5),
            "head": (model.lm_head.weight, std * 0.02),
            "positions": (model.model.position_embedding.weight, std),
        }
        for name, (weight, expected) in measured.items():
            assert weight.std().item() == pytest.approx(expected, rel=0.05), name
        assert layer.attention.logit_scale.tolist() == pytest.approx([math.log(4)] * 2)

    def test_loaded_weights_survive(self, tmp_path):
        # defect 2 of the published code: its initialisation overwrites the pretrained ResNets
        model = make_model()
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                tensor.add_(torch.rand(tensor.shape).to(tensor.dtype))
        model.save_pretrained(tmp_path)
        loaded = StyleVARForConditionalGeneration.from_pretrained(tmp_path)
        loaded.init_weights()
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], tensor), name

    def test_pretrained_resnet_survives_when_the_rest_is_new(self, tmp_path):
        state = {name: value for name, value in make_model().state_dict().items() if "style_encoder" in name}
        state = {name: value + 1 for name, value in state.items()}
        config = make_tiny_config()
        loaded = StyleVARForConditionalGeneration.from_pretrained(None, config=config, state_dict=dict(state))
        for name, value in state.items():
            assert torch.equal(loaded.state_dict()[name], value), name
        layer = loaded.model.layers[0]
        assert 0 < layer.modulation.weight[:64].std() < 1e-5  # the rest is initialised, not left as it was allocated
        assert layer.attention.logit_scale.tolist() == pytest.approx([math.log(4)] * 2)

    def test_every_part_loads_alone_from_the_whole(self, tiny_model_dir):
        whole = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        for part_class, part in ((StyleVARModel, whole.model), (StyleVARVQModel, whole.vq_model)):
            loaded = part_class.from_pretrained(tiny_model_dir)
            for name, tensor in part.state_dict().items():
                assert torch.equal(loaded.state_dict()[name], tensor), name


class TestPrecision:
    @torch.no_grad()
    def test_eager_and_sdpa_agree(self):
        model = make_model()
        inputs = make_inputs(model)
        model.set_attn_implementation("eager")
        expected = model(**inputs).logits
        model.set_attn_implementation("sdpa")
        torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-5)

    @torch.no_grad()
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    def test_half_precision_is_close_to_float32(self, dtype, attention, tmp_path):
        model = make_model()
        model.save_pretrained(tmp_path)
        half = StyleVARForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype, attn_implementation=attention)
        assert half.model.layers[0].mlp.fc1.weight.dtype == dtype
        assert half.lm_head.weight.dtype == torch.float32
        inputs = make_inputs(model)
        codes = {
            f"{role}_codes": model.vq_model.encode(inputs[f"{role}_pixel_values"]).codes
            for role in ("content", "style")
        }
        logits, expected = half(**inputs, **codes).logits, model(**inputs, **codes).logits
        assert logits.dtype == torch.float32
        assert (logits - expected).abs().max() < (0.15 if dtype == torch.bfloat16 else 0.02) * expected.std()

    def test_autocast_leaves_the_codes(self):
        model = make_model()
        pixel_values = torch.rand(8, 3, model.config.image_size, model.config.image_size) * 2 - 1
        expected = model.encode_content(pixel_values)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.encode_content(pixel_values)
        assert torch.equal(found.codes, expected.codes)
        assert torch.equal(found.features, expected.features)

    def test_training_step_under_autocast(self):
        model = make_model().train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(**make_inputs(model))
        output.loss.backward()
        assert output.logits.dtype == torch.float32
        assert model.model.layers[0].attention.k_proj.weight.grad.isfinite().all()


class TestCompile:
    def test_block_stack_compiles_without_graph_breaks(self):
        torch._dynamo.reset()
        model = make_model()
        inputs = make_inputs(model)
        expected = model(**inputs)
        expected.loss.backward()
        gradient = model.model.token_projection.weight.grad.clone()
        model.zero_grad()
        model.model.run_layers = torch.compile(model.model.run_layers, fullgraph=True, backend="aot_eager")
        output = model(**inputs)
        output.loss.backward()
        torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(model.model.token_projection.weight.grad, gradient, rtol=1e-4, atol=1e-7)

    def test_blocks_compile_with_a_cache(self):
        torch._dynamo.reset()
        model = make_model()
        inputs = make_inputs(model)
        pair = inputs["content_pixel_values"], inputs["style_pixel_values"]
        expected = model.generate(*pair, do_sample=False, output_logits=True)
        for layer in model.model.layers:
            layer.compile(fullgraph=True, backend="eager", dynamic=True)
        output = model.generate(*pair, do_sample=False, output_logits=True)
        torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=1e-5)


class TestLora:
    def make_adapted(self):
        model = make_model()
        config = LoraConfig(r=4, lora_alpha=8, target_modules=list(LORA_LAYERS), init_lora_weights=False)
        torch.manual_seed(1)
        return model, get_peft_model(model, config).eval()

    def test_adapter_reaches_every_projection_and_mlp_layer(self):
        model, adapted = self.make_adapted()
        adapted(**make_inputs(model)).loss.backward()
        found = {name.split(".lora_A")[0] for name, _ in adapted.named_parameters() if ".lora_A" in name}
        expected = {
            f"base_model.model.{name}"
            for name, module in model.named_modules()
            if name.startswith("model.layers") and name.endswith(LORA_LAYERS) and isinstance(module, nn.Module)
        }
        assert found == expected
        assert len(found) == 2 * len(LORA_LAYERS)
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                assert parameter.grad.abs().sum() > 0, name

    @torch.no_grad()
    @pytest.mark.parametrize("layer", LORA_LAYERS)
    def test_adapter_of_each_layer_changes_the_logits(self, layer):
        model = make_model()
        inputs = make_inputs(model)
        expected = model(**inputs).logits
        torch.manual_seed(1)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=[layer], init_lora_weights=False)
        assert not torch.allclose(get_peft_model(model, config).eval()(**inputs).logits, expected, atol=1e-3)

    @torch.no_grad()
    def test_disable_merge_save_and_reload(self, tmp_path):
        plain = make_model()
        inputs = make_inputs(plain)
        expected = plain(**inputs).logits
        model, adapted = self.make_adapted()
        with_adapter = adapted(**inputs).logits
        assert not torch.allclose(with_adapter, expected, atol=1e-2)
        with adapted.disable_adapter():
            torch.testing.assert_close(adapted(**inputs).logits, expected)

        adapted.save_pretrained(tmp_path / "adapter")
        reloaded = PeftModel.from_pretrained(make_model(), tmp_path / "adapter")
        torch.testing.assert_close(reloaded(**inputs).logits, with_adapter)

        merged = adapted.merge_and_unload()
        torch.testing.assert_close(merged(**inputs).logits, with_adapter, rtol=0, atol=1e-4)
        merged.save_pretrained(tmp_path / "merged")
        loaded = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(loaded(**inputs).logits, with_adapter, rtol=0, atol=1e-4)

    def test_adapter_generates(self):
        model, adapted = self.make_adapted()
        inputs = make_inputs(model)
        pair = inputs["content_pixel_values"], inputs["style_pixel_values"]
        output = adapted.generate(*pair, do_sample=False, output_logits=True)
        scored = adapted(*pair, labels=output.sequences)
        torch.testing.assert_close(output.logits, scored.logits, rtol=0, atol=1e-4)


class TestBadInput:
    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"labels": None}, "`labels` or `target_pixel_values` must be given, and not both, but got neither"),
            ({"target_pixel_values": torch.zeros(2, 3, 16, 16)}, "not both, but got both"),
            ({"style_pixel_values": torch.zeros(1, 3, 16, 16)}, "`style_pixel_values` must have a batch size of 2"),
            ({"labels": torch.zeros(3, 30, dtype=torch.long)}, "`labels` must have a batch size of 2"),
            ({"labels": torch.zeros(2, 680, dtype=torch.long)}, r"`labels` must be an int64 tensor .*\(batch, 30\)"),
            ({"content_pixel_values": torch.zeros(2, 3, 32, 32)}, "`content_pixel_values` must be of shape"),
            ({"style_strength": 1.5}, r"`style_strength` must be in \[-1, 1\]"),
            ({"style_strength": [0.1, 0.2, 0.3]}, r"`style_strength` must be one number or one per pair \(2\)"),
            ({"content_codes": torch.zeros(3, 30, dtype=torch.long)}, "`content_codes` must have a batch size of 2"),
            ({"content_codes": torch.zeros(2, 30)}, "`content_codes` must be an int64 tensor"),
            ({"num_return_sequences": 0}, "`num_return_sequences` must be a positive integer, but got 0"),
        ],
    )
    def test_error_names_input_and_rule(self, changes, message):
        model = make_model()
        with pytest.raises(ValueError, match=message):
            model(**{**make_inputs(model), **changes})
