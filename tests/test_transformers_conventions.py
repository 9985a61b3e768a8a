# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What users of transformers count on, for each of the three models, the processor and the pipeline."""

import copy
import inspect
import json
import pickle

import numpy as np
import PIL.Image
import pytest
import torch
from conftest import make_tiny_config
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    BatchFeature,
    GenerationConfig,
    Pipeline,
    PreTrainedConfig,
    PreTrainedModel,
    pipeline,
)
from transformers.utils import ModelOutput

from stylevar_hf import (
    StyleVARForConditionalGeneration,
    StyleVARImageProcessor,
    StyleVARModel,
    StyleVARPipeline,
    StyleVARVQModel,
)


MODELS = [StyleVARModel, StyleVARForConditionalGeneration, StyleVARVQModel]
TRANSFORMERS = MODELS[:2]


def make(model_class: type, **overrides) -> PreTrainedModel:
    torch.manual_seed(0)
    config = make_tiny_config(**overrides)
    model = model_class(config.vq_config if model_class is StyleVARVQModel else config)
    for layer in getattr(getattr(model, "model", model), "layers", ()):
        torch.nn.init.normal_(layer.modulation.weight, std=0.2)
    return model.eval()


def make_inputs(model: PreTrainedModel, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    if isinstance(model, StyleVARVQModel):
        return {"pixel_values": uniform(batch, 3, 16, 16)}
    inputs = {f"{role}_pixel_values": uniform(batch, 3, 16, 16) for role in ("content", "style")}
    if isinstance(model, StyleVARForConditionalGeneration):
        return {**inputs, "labels": torch.randint(64, (batch, 30), generator=generator)}
    lengths = {"content": 30, "style": 30, "target": 29}
    return {**inputs, **{f"{role}_features": uniform(batch, n, 8) for role, n in lengths.items()}}


def first(output: ModelOutput) -> torch.Tensor:
    """What tells outputs apart best: logits, hidden states or a reconstruction."""
    for name in ("logits", "last_hidden_state", "reconstruction"):
        if name in output:
            return output[name]
    raise KeyError(list(output))


def loss_of(output: ModelOutput) -> torch.Tensor:
    return output["loss"] if "loss" in output else first(output).square().mean()


@pytest.fixture(params=MODELS, ids=lambda one: one.__name__)
def model(request) -> PreTrainedModel:
    return make(request.param)


@pytest.fixture(params=TRANSFORMERS, ids=lambda one: one.__name__)
def transformer(request) -> PreTrainedModel:
    return make(request.param)


class TestOutputs:
    def test_forward_returns_a_model_output(self, model):
        assert isinstance(model(**make_inputs(model)), ModelOutput)

    def test_return_dict_false_is_the_tuple_of_the_output(self, model):
        inputs = make_inputs(model)
        for one, other in zip(model(**inputs, return_dict=False), model(**inputs).to_tuple(), strict=True):
            assert torch.equal(one, other)

    def test_return_dict_of_the_config(self, model):
        model.config.return_dict = False
        assert isinstance(model(**make_inputs(model)), tuple)

    def test_return_dict_true_wins_over_the_config(self, model):
        model.config.return_dict = False
        assert isinstance(model(**make_inputs(model), return_dict=True), ModelOutput)

    def test_nothing_is_recorded_unless_asked_for(self, model):
        output = model(**make_inputs(model))
        assert output.get("hidden_states") is None and output.get("attentions") is None

    def test_hidden_states_on_request(self, model):
        states = model(**make_inputs(model), output_hidden_states=True).hidden_states
        assert isinstance(states, tuple) and all(isinstance(state, torch.Tensor) for state in states)

    def test_hidden_states_of_the_config(self, model):
        model.config.output_hidden_states = True
        assert len(model(**make_inputs(model)).hidden_states) > 1

    def test_hidden_states_change_no_result(self, model):
        inputs = make_inputs(model)
        assert torch.equal(first(model(**inputs, output_hidden_states=True)), first(model(**inputs)))

    def test_attentions_of_the_config(self, model):
        model.set_attn_implementation("eager")
        model.config.output_attentions = True
        assert len(model(**make_inputs(model)).attentions) > 1

    def test_attentions_sum_to_one(self, model):
        model.set_attn_implementation("eager")
        for weights in model(**make_inputs(model), output_attentions=True).attentions:
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))

    def test_one_hidden_state_per_block_and_the_input(self, transformer):
        output = transformer(**make_inputs(transformer), output_hidden_states=True)
        assert [state.shape for state in output.hidden_states] == [(2, 30, 32)] * 3

    def test_last_hidden_state_is_the_last(self):
        model = make(StyleVARModel)
        output = model(**make_inputs(model), output_hidden_states=True)
        assert torch.equal(output.hidden_states[-1], output.last_hidden_state)

    def test_attentions_without_a_switch_to_eager(self, transformer):
        weights = transformer(**make_inputs(transformer), output_attentions=True).attentions
        assert [one.shape for one in weights] == [(2, 2, 60, 30)] * 2

    def test_attentions_look_at_no_finer_scale(self, transformer):
        weights = transformer(**make_inputs(transformer), output_attentions=True).attentions[0]
        assert weights[:, :, 0, 1:].abs().max() == 0 and weights[:, :, 30, 1:].abs().max() == 0

    def test_tokenizer_says_which_attention_has_weights(self):
        model = make(StyleVARVQModel)
        with pytest.raises(ValueError, match='`attn_implementation` must be "eager"'):
            model(**make_inputs(model), output_attentions=True)

    def test_recording_works_while_scoring(self):
        from stylevar_hf.generation_stylevar import StyleVARScoring

        model = make(StyleVARForConditionalGeneration)
        output = model(**make_inputs(model), scoring=StyleVARScoring(), output_hidden_states=True)
        assert output.logits is None and len(output.hidden_states) == 3


class TestForward:
    def test_is_deterministic_in_evaluation_mode(self, model):
        inputs = make_inputs(model)
        assert torch.equal(first(model(**inputs)), first(model(**inputs)))

    def test_rows_do_not_depend_on_their_batch(self, model):
        inputs = make_inputs(model)
        alone = first(model(**{name: value[:1] for name, value in inputs.items()}))
        torch.testing.assert_close(first(model(**inputs))[:1], alone, rtol=0, atol=1e-4)

    def test_inputs_are_left_as_they_are(self, model):
        inputs = make_inputs(model)
        before = {name: value.clone() for name, value in inputs.items()}
        model(**inputs)
        assert all(torch.equal(inputs[name], before[name]) for name in inputs)

    def test_main_input_name_is_the_first_argument(self, model):
        assert list(inspect.signature(model.forward).parameters)[0] == model.main_input_name

    def test_signature_has_no_catch_all(self, model):
        kinds = {one.kind for one in inspect.signature(model.forward).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds  # a Trainer would take the loss for one summed over tokens

    def test_unknown_arguments_are_refused(self, model):
        with pytest.raises(TypeError, match="no_such_argument"):
            model(**make_inputs(model), no_such_argument=1)

    def test_eager_and_sdpa_agree(self, model):
        inputs = make_inputs(model)
        expected = first(model(**inputs))
        model.set_attn_implementation("eager")
        torch.testing.assert_close(first(model(**inputs)), expected, rtol=0, atol=1e-4)

    def test_set_attn_implementation_reaches_every_part(self, model):
        model.set_attn_implementation("eager")
        parts = [one for one in model.modules() if isinstance(one, PreTrainedModel)]
        assert {one.config._attn_implementation for one in parts} == {"eager"}

    def test_bfloat16_forward_is_near_float32(self, transformer):
        inputs = make_inputs(transformer)
        expected = first(transformer(**inputs))
        half = copy.deepcopy(transformer).to(torch.bfloat16)
        found = first(half(**inputs)).float()
        assert (found - expected).norm() < 0.1 * expected.norm()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, model, dtype):
        with torch.autocast("cpu", dtype):
            assert first(model(**make_inputs(model))).isfinite().all()


class TestTraining:
    def test_backward_reaches_trainable_parameters(self, model):
        loss_of(model.train()(**make_inputs(model))).backward()
        assert any(parameter.grad is not None for parameter in model.parameters())

    @pytest.mark.parametrize("use_reentrant", [False, True])
    def test_checkpointing_keeps_the_gradients(self, transformer, use_reentrant):
        inputs = make_inputs(transformer)
        transformer.train()
        gradients = []
        for enable in (False, True):
            if enable:
                transformer.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            transformer.zero_grad()
            loss_of(transformer(**inputs)).backward()
            gradients.append({name: one.grad for name, one in transformer.named_parameters() if one.grad is not None})
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)

    def test_checkpointing_can_be_switched_off(self, transformer):
        transformer.gradient_checkpointing_enable()
        transformer.gradient_checkpointing_disable()
        assert not any(getattr(module, "gradient_checkpointing", False) for module in transformer.modules())

    def test_enable_input_require_grads(self, transformer):
        transformer.requires_grad_(False)
        transformer.enable_input_require_grads()
        states = transformer(**make_inputs(transformer), output_hidden_states=True).hidden_states
        assert states[0].requires_grad
        transformer.disable_input_require_grads()
        assert not transformer(**make_inputs(transformer), output_hidden_states=True).hidden_states[0].requires_grad

    def test_compiles_whole_forward_and_backward(self):
        model = make(StyleVARForConditionalGeneration, num_hidden_layers=1).train()
        inputs = make_inputs(model)
        loss = torch.compile(model, fullgraph=True, backend="aot_eager")(**inputs).loss
        loss.backward()
        compiled = model.lm_head.weight.grad.clone()
        model.zero_grad()
        expected = model(**inputs).loss
        expected.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(compiled, model.lm_head.weight.grad, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("model_class", [StyleVARForConditionalGeneration, StyleVARVQModel])
    def test_exports_with_any_batch(self, model_class):
        model = make(model_class, num_hidden_layers=1)
        inputs = make_inputs(model)
        batch = torch.export.Dim("batch", min=2, max=64)
        shapes = {name: {0: batch} for name in inputs}
        exported = torch.export.export(model, (), kwargs=inputs, dynamic_shapes=shapes).module()
        larger = make_inputs(model, batch=5)
        torch.testing.assert_close(first(exported(**larger)), first(model(**larger)), rtol=0, atol=1e-5)


class TestSaving:
    def test_round_trip_keeps_results(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path).eval()
        inputs = make_inputs(model)
        assert torch.equal(first(loaded(**inputs)), first(model(**inputs)))

    def test_only_safetensors(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").exists() and not list(tmp_path.glob("*.bin"))

    def test_shards(self, model, tmp_path):
        model.save_pretrained(tmp_path, max_shard_size="100KB")
        assert (tmp_path / "model.safetensors.index.json").exists()
        loaded = type(model).from_pretrained(tmp_path)
        assert all(torch.equal(one, two) for one, two in zip(loaded.parameters(), model.parameters(), strict=True))

    def test_buffers_made_once_are_not_saved_but_right_after_loading(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        saved = load_file(tmp_path / "model.safetensors")
        loaded = dict(type(model).from_pretrained(tmp_path).named_buffers())
        for name, buffer in model.named_buffers():
            assert torch.equal(loaded[name], buffer), name
        assert not any(name.endswith(("token_scales", "token_indices", "every_code")) for name in saved)

    def test_auto_model_finds_the_class(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert type(AutoModel.from_pretrained(tmp_path)) is type(model)

    def test_auto_config_finds_the_class(self, model, tmp_path):
        model.config.save_pretrained(tmp_path)
        assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)

    def test_config_names_the_architecture(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(model).__name__]

    def test_loads_in_bfloat16_by_name(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert type(model).from_pretrained(tmp_path, dtype="bfloat16").dtype == torch.bfloat16

    def test_missing_weights_are_reported(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        info = type(model).from_pretrained(tmp_path, output_loading_info=True)[1]
        assert not info["missing_keys"] and not info["unexpected_keys"]

    def test_head_and_body_load_from_each_other(self, tmp_path):
        whole = make(StyleVARForConditionalGeneration)
        whole.save_pretrained(tmp_path / "whole")
        body = StyleVARModel.from_pretrained(tmp_path / "whole")
        assert torch.equal(body.position_embedding.weight, whole.model.position_embedding.weight)
        body.save_pretrained(tmp_path / "body")
        again = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "body")
        assert torch.equal(again.model.position_embedding.weight, body.position_embedding.weight)

    def test_state_dict_loads_strictly(self, model):
        other = make(type(model))
        other.load_state_dict(model.state_dict(), strict=True)

    def test_deep_copy_is_independent(self, model):
        other = copy.deepcopy(model)
        next(other.parameters()).data.add_(1)
        assert not torch.equal(next(other.parameters()), next(model.parameters()))

    def test_config_survives_pickling(self, model):
        assert pickle.loads(pickle.dumps(model.config)).to_dict() == model.config.to_dict()

    def test_config_is_plain_json(self, model):
        assert isinstance(model.config, PreTrainedConfig)
        assert json.loads(model.config.to_json_string(use_diff=False))["model_type"] == model.config.model_type

    def test_no_parameter_is_left_on_meta(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        loaded = type(model).from_pretrained(tmp_path)
        assert {one.device.type for one in (*loaded.parameters(), *loaded.buffers())} == {"cpu"}

    def test_num_parameters(self, model):
        assert model.num_parameters() == sum(one.numel() for one in model.parameters())

    def test_has_no_input_embeddings(self, transformer):
        assert transformer.get_input_embeddings() is None

    def test_layers_that_stay_whole_are_named(self, model):
        names = {type(module).__name__ for module in model.modules()}
        assert set(model._no_split_modules) & names


class TestAdapters:
    @pytest.mark.parametrize(
        "targets", [None, "all-linear", ["q_proj"], ["start_embedding"], ["position_embedding", "level_embedding"]]
    )
    def test_lora(self, targets):
        from peft import LoraConfig, get_peft_model

        model = make(StyleVARForConditionalGeneration)
        adapted = get_peft_model(model, LoraConfig(target_modules=targets))
        adapted(**make_inputs(model)).loss.backward()
        assert any(one.grad is not None for name, one in adapted.named_parameters() if "lora_" in name)

    def test_lora_without_targets_takes_the_published_layers(self):
        from peft import LoraConfig, get_peft_model

        adapted = get_peft_model(make(StyleVARForConditionalGeneration), LoraConfig())
        layers = {name.split(".lora_")[0].split(".")[-1] for name, _ in adapted.named_parameters() if "lora_" in name}
        assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"}

    def test_oft(self):
        from peft import OFTConfig, get_peft_model

        model = make(StyleVARForConditionalGeneration)
        adapted = get_peft_model(model, OFTConfig(target_modules=["q_proj", "fc1"], oft_block_size=4))
        adapted(**make_inputs(model)).loss.backward()
        assert all(one.grad is not None for name, one in adapted.named_parameters() if "oft_" in name)

    @pytest.mark.parametrize("kind", ["PrefixTuningConfig", "PromptTuningConfig", "PromptEncoderConfig"])
    def test_prompt_learning_is_refused_by_name(self, kind):
        import peft

        config = getattr(peft, kind)(num_virtual_tokens=2, task_type="CAUSAL_LM")
        with pytest.raises(ValueError, match="prompt learning"):
            peft.get_peft_model(make(StyleVARForConditionalGeneration), config)

    @pytest.mark.parametrize("kind", ["PrefixTuningConfig", "PromptTuningConfig"])
    def test_trainers_refuse_prompt_learning(self, kind):
        import peft

        from stylevar_hf.training.common.lora import add_adapter

        with pytest.raises(ValueError, match=f"`peft_config` must adapt layers, but got {kind}"):
            add_adapter(make(StyleVARForConditionalGeneration), getattr(peft, kind)(num_virtual_tokens=2))

    def test_biases_of_the_tokenizer_stay_frozen(self):
        from peft import LoraConfig

        from stylevar_hf.training.common.lora import add_adapter

        adapted = add_adapter(make(StyleVARForConditionalGeneration), LoraConfig(bias="all"))
        trained = [name for name, one in adapted.named_parameters() if one.requires_grad]
        assert any(name.endswith("q_proj.base_layer.bias") for name in trained)
        assert not any("vq_model" in name for name in trained)

    @pytest.mark.parametrize("use_reentrant", [False, True])
    @pytest.mark.parametrize("ask_for_input_gradients", [False, True])
    def test_checkpointing(self, use_reentrant, ask_for_input_gradients):
        from peft import LoraConfig, get_peft_model

        model = make(StyleVARForConditionalGeneration).train()
        adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
        model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
        if ask_for_input_gradients:
            model.enable_input_require_grads()
        adapted(**make_inputs(model)).loss.backward()
        assert all(one.grad is not None for one in adapted.parameters() if one.requires_grad)


class TestGeneration:
    def test_generation_config_is_saved_and_read(self, tmp_path):
        model = make(StyleVARForConditionalGeneration)
        model.generation_config.top_k = 7
        model.save_pretrained(tmp_path)
        assert StyleVARForConditionalGeneration.from_pretrained(tmp_path).generation_config.top_k == 7

    def test_argument_wins_over_generation_config(self):
        model = make(StyleVARForConditionalGeneration)
        inputs = make_inputs(model)
        pair = inputs["content_pixel_values"], inputs["style_pixel_values"]
        greedy = model.generate(*pair, do_sample=False).sequences
        config = GenerationConfig(do_sample=True, top_k=50)
        assert torch.equal(model.generate(*pair, generation_config=config, do_sample=False).sequences, greedy)

    def test_num_return_sequences_repeats_each_pair(self):
        model = make(StyleVARForConditionalGeneration)
        inputs = make_inputs(model)
        pair = inputs["content_pixel_values"], inputs["style_pixel_values"]
        output = model.generate(*pair, num_return_sequences=3, do_sample=False)
        assert torch.equal(output.sequences[0], output.sequences[2])

    def test_needs_no_gradient(self):
        model = make(StyleVARForConditionalGeneration)
        inputs = make_inputs(model)
        output = model.generate(inputs["content_pixel_values"], inputs["style_pixel_values"])
        assert not output.pixel_values.requires_grad


@pytest.fixture(scope="module")
def processor() -> StyleVARImageProcessor:
    return StyleVARImageProcessor(size={"height": 16, "width": 16})


PICTURE = PIL.Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))


class TestProcessor:
    def test_returns_a_batch_feature(self, processor):
        assert isinstance(processor(PICTURE, return_tensors="pt"), BatchFeature)

    def test_pixels_are_in_range(self, processor):
        pixels = processor(PICTURE, return_tensors="pt").pixel_values
        assert pixels.shape == (1, 3, 16, 16) and pixels.dtype == torch.float32 and pixels.abs().max() <= 1

    @pytest.mark.parametrize("return_tensors, kind", [("pt", torch.Tensor), ("np", np.ndarray)])
    def test_return_tensors(self, processor, return_tensors, kind):
        assert isinstance(processor(PICTURE, return_tensors=return_tensors).pixel_values, kind)

    def test_lists_are_batches(self, processor):
        assert processor([PICTURE] * 3, return_tensors="pt").pixel_values.shape[0] == 3

    def test_model_input_names(self, processor):
        assert processor.model_input_names == ["pixel_values"]

    def test_round_trip(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        assert StyleVARImageProcessor.from_pretrained(tmp_path).to_dict() == processor.to_dict()

    def test_auto_class(self, tiny_model_dir):
        assert type(AutoImageProcessor.from_pretrained(tiny_model_dir)) is StyleVARImageProcessor

    def test_is_plain_json(self, processor):
        assert json.loads(processor.to_json_string())["image_processor_type"] == "StyleVARImageProcessor"

    def test_arrays_equal_pictures(self, processor):
        by_array = processor(np.asarray(PICTURE), return_tensors="pt").pixel_values
        assert torch.equal(by_array, processor(PICTURE, return_tensors="pt").pixel_values)

    def test_modes_are_made_rgb(self, processor):
        assert processor(PICTURE.convert("L"), return_tensors="pt").pixel_values.shape == (1, 3, 16, 16)

    def test_post_processing_inverts(self, processor):
        pixels = processor(PICTURE.resize((16, 16)), return_tensors="pt").pixel_values
        image = processor.postprocess(pixels, "pil")[0]
        assert np.abs(np.asarray(image, int) - np.asarray(PICTURE.resize((16, 16)), int)).max() <= 1

    def test_deep_copy(self, processor):
        assert copy.deepcopy(processor).to_dict() == processor.to_dict()


class TestPipeline:
    @pytest.fixture(scope="class")
    @classmethod
    def pipe(cls, tiny_model_dir) -> StyleVARPipeline:
        return pipeline("image-style-transfer", model=tiny_model_dir, device="cpu")

    def test_is_a_pipeline(self, pipe):
        assert isinstance(pipe, Pipeline) and type(pipe) is StyleVARPipeline

    def test_task(self, pipe):
        assert pipe.task == "image-style-transfer"

    def test_model_is_in_evaluation_mode(self, pipe):
        assert not pipe.model.training

    def test_one_pair_is_one_picture(self, pipe):
        assert isinstance(pipe(PICTURE, PICTURE, seed=0), PIL.Image.Image)

    def test_a_list_is_a_list(self, pipe):
        assert isinstance(pipe([PICTURE], PICTURE, seed=0), list)

    def test_a_row(self, pipe):
        assert pipe({"content": PICTURE, "style": PICTURE}, seed=0) == pipe(PICTURE, PICTURE, seed=0)

    def test_a_generator_is_a_generator(self, pipe):
        assert inspect.isgenerator(pipe(iter([PICTURE]), PICTURE, seed=0))

    def test_batch_size_changes_nothing(self, pipe):
        assert pipe([PICTURE] * 2, PICTURE, seed=0, batch_size=2) == pipe([PICTURE] * 2, PICTURE, seed=0)

    def test_device_and_to(self, pipe):
        assert pipe.device == torch.device("cpu") and pipe.to("cpu") is pipe

    def test_dtype_by_name(self, tiny_model_dir):
        pipe = pipeline("image-style-transfer", model=tiny_model_dir, device="cpu", dtype="bfloat16")
        assert pipe.model.dtype == torch.bfloat16

    def test_batch_size_of_the_constructor(self, tiny_model_dir):
        pipe = pipeline("image-style-transfer", model=tiny_model_dir, device="cpu", batch_size=2)
        assert len(pipe([PICTURE] * 3, PICTURE, seed=0)) == 3

    def test_unknown_arguments_are_refused(self, tiny_model_dir):
        with pytest.raises((ValueError, TypeError), match="no_such_argument"):
            pipeline("image-style-transfer", model=tiny_model_dir, device="cpu", no_such_argument=1)

    def test_a_model_and_a_processor_as_objects(self, pipe):
        again = pipeline("image-style-transfer", model=pipe.model, image_processor=pipe.image_processor, device="cpu")
        assert again(PICTURE, PICTURE, seed=0) == pipe(PICTURE, PICTURE, seed=0)

    def test_save_and_load(self, pipe, tmp_path):
        pipe.save_pretrained(tmp_path)
        again = StyleVARPipeline.from_pretrained(tmp_path, device="cpu")
        assert again(PICTURE, PICTURE, seed=0) == pipe(PICTURE, PICTURE, seed=0)
