# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import math

import pytest
import torch
from conftest import make_tiny_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_modeling_stylevar import make_inputs, make_model
from transformers import GenerationConfig

from stylevar_hf import StyleVARCache, StyleVARForConditionalGeneration, StyleVARReference
from stylevar_hf.generation_stylevar import StyleVARLayerCache, filter_logits, legacy_attention_bias, sample_codes


def make_pair(model, batch_size: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = make_inputs(model, batch_size, seed)
    return inputs["content_pixel_values"], inputs["style_pixel_values"]


def make_generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@st.composite
def configurations(draw) -> dict:
    """Any ladder, depth, width, heads, codebook, alphas and number of phi, all tiny."""
    patch_nums = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True).map(sorted))
    heads = draw(st.sampled_from([1, 2, 4]))
    alphas = st.lists(st.floats(0, 1), min_size=len(patch_nums), max_size=len(patch_nums))
    return {
        "hidden_size": heads * draw(st.sampled_from([4, 8, 12])),
        "num_attention_heads": heads,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "mlp_ratio": draw(st.sampled_from([1.0, 2.5, 4.0])),
        "blend_alphas": draw(alphas),
        "vq_config": {
            "patch_nums": patch_nums,
            "codebook_size": draw(st.integers(2, 50)),
            "latent_channels": draw(st.integers(1, 8)),
            "base_channels": 4,
            "channel_multipliers": draw(st.sampled_from([(1,), (1, 2), (2, 1, 1)])),
            "num_res_blocks": 1,
            "num_shared_phi": draw(st.integers(1, 6)),
            "norm_num_groups": 2,
        },
        "encoder_config": {"embedding_size": 4, "hidden_sizes": [4, 6], "depths": [1, 1], "layer_type": "basic"},
    }


class TestCachedEqualsTeacherForced:
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        configuration=configurations(),
        seed=st.integers(0, 1000),
        num_return_sequences=st.integers(1, 3),
        style_strength=st.floats(-1, 1),
        attention=st.sampled_from(["sdpa", "eager"]),
    )
    def test_on_any_configuration(self, configuration, seed, num_return_sequences, style_strength, attention):
        model = make_model(seed, **configuration)
        model.set_attn_implementation(attention)
        pair = make_pair(model, seed=seed)
        options = {"style_strength": style_strength, "num_return_sequences": num_return_sequences}
        output = model.generate(*pair, generator=torch.Generator().manual_seed(seed), output_logits=True, **options)
        with torch.no_grad():
            scored = model(*pair, labels=output.sequences, **options)
        torch.testing.assert_close(output.logits, scored.logits, rtol=0, atol=1e-4)
        torch.testing.assert_close(output.pixel_values, model.vq_model.decode(output.sequences), rtol=0, atol=1e-4)

    def test_greedy_takes_the_best_teacher_forced_token(self):
        model = make_model()
        pair = make_pair(model)
        sequences = model.generate(*pair, do_sample=False).sequences
        assert torch.equal(model(*pair, labels=sequences).logits.argmax(-1), sequences)


class TestLegacyKvDuplication:
    def test_bias_doubles_earlier_keys_for_the_style_query_only(self):
        bias = legacy_attention_bias(5, 7)
        assert bias.shape == (1, 1, 4, 7)
        assert torch.equal(bias[0, 0, :2].exp(), torch.tensor([[2.0] * 5 + [1.0] * 2] * 2))
        assert torch.equal(bias[0, 0, 2:], torch.zeros(2, 7))

    def test_bias_equals_keys_stored_twice(self):
        torch.manual_seed(0)
        query, earlier, current = torch.randn(2, 3, 8), torch.randn(5, 8), torch.randn(3, 8)
        twice = torch.cat([earlier, earlier, current])  # what the style query of the published code sees
        expected = (query[0] @ twice.T).softmax(-1) @ twice
        once = torch.cat([earlier, current])
        scores = query[0] @ once.T + legacy_attention_bias(5, 8)[0, 0, :3]
        torch.testing.assert_close(scores.softmax(-1) @ once, expected)

    def test_first_scale_is_the_same_and_later_ones_are_not(self):
        model = make_model()
        pair = make_pair(model)
        exact = model.generate(*pair, do_sample=False, output_logits=True)
        model.config.legacy_kv_duplication = True
        legacy = model.generate(*pair, do_sample=False, output_logits=True)
        torch.testing.assert_close(legacy.logits[:, :1], exact.logits[:, :1])
        assert (legacy.logits[:, 1:] - exact.logits[:, 1:]).abs().max() > 1e-3


class TestIndependenceOfTheBatch:
    def test_own_generator_makes_an_image_independent_of_its_batch(self):
        model = make_model()
        contents, styles = make_pair(model, batch_size=3)
        together = model.generate(contents, styles, generator=make_generators(10, 11, 12))
        for row in range(3):
            alone = model.generate(contents[row, None], styles[row, None], generator=make_generators(10 + row))
            assert torch.equal(alone.sequences[0], together.sequences[row])
            torch.testing.assert_close(alone.pixel_values[0], together.pixel_values[row], rtol=0, atol=1e-5)

    def test_num_return_sequences_equals_one_at_a_time(self):
        model = make_model()
        contents, styles = make_pair(model)
        together = model.generate(contents, styles, num_return_sequences=2, generator=make_generators(1, 2, 3, 4))
        for row, seed in enumerate((1, 2, 3, 4)):
            pair = contents[row // 2, None], styles[row // 2, None]
            assert torch.equal(
                model.generate(*pair, generator=make_generators(seed)).sequences[0], together.sequences[row]
            )

    def test_default_dtype_of_torch_changes_nothing(self):
        model = make_model()
        pair = make_pair(model)
        expected = model.generate(*pair, generator=make_generators(0, 1))
        torch.set_default_dtype(torch.float64)
        try:
            output = model.generate(*pair, generator=make_generators(0, 1))
        finally:
            torch.set_default_dtype(torch.float32)
        assert torch.equal(output.sequences, expected.sequences)

    def test_same_seed_same_bytes(self):
        model = make_model()
        pair = make_pair(model)
        one, two = (model.generate(*pair, generator=torch.Generator().manual_seed(5)) for _ in range(2))
        assert torch.equal(one.pixel_values, two.pixel_values)
        other = model.generate(*pair, generator=torch.Generator().manual_seed(6))
        assert not torch.equal(one.sequences, other.sequences)


class TestSharedWork:
    def test_each_image_is_tokenised_once_however_many_sequences(self, monkeypatch):
        model = make_model()
        pair = make_pair(model)
        encoded = []
        encode = model.vq_model.encode
        monkeypatch.setattr(model.vq_model, "encode", lambda pixels: encoded.append(len(pixels)) or encode(pixels))
        model.generate(*pair, num_return_sequences=4)
        assert sum(encoded) == 4  # two contents and two styles

    def test_references_replace_pixels(self):
        model = make_model()
        contents, styles = make_pair(model)
        expected = model.generate(contents, styles, generator=make_generators(0, 1))
        with torch.no_grad():
            content, style = model.encode_content(contents), model.encode_style(styles)
        output = model.generate(content=content, style=style, generator=make_generators(0, 1))
        assert torch.equal(output.sequences, expected.sequences)
        one_style = model.generate(content=content, style=style.select([1, 1]), generator=make_generators(0, 1))
        assert torch.equal(one_style.sequences[1], expected.sequences[1])

    def test_each_modulation_is_computed_once(self):
        model = make_model()
        calls = []
        for owner in (*model.model.layers, model.model.norm):
            owner.modulation.register_forward_hook(lambda module, *_: calls.append(module))
        model.generate(*make_pair(model))
        assert len(calls) == len(set(calls)) == 3

    def test_cache_stores_each_key_and_value_once(self, monkeypatch):
        caches = []
        monkeypatch.setattr(
            "stylevar_hf.generation_stylevar.StyleVARCache",
            lambda config: caches.append(StyleVARCache(config)) or caches[-1],
        )
        model = make_model()
        model.generate(*make_pair(model), num_return_sequences=3)
        tokens, width, layers, images = 30, 32, 2, 6
        assert caches[0].nbytes == 2 * layers * images * tokens * width * 4
        assert all(layer.length == tokens for layer in caches[0].layers)

    def test_full_cache_refuses_more(self):
        cache = StyleVARLayerCache(max_length=4)
        keys = torch.zeros(1, 2, 3, 4)
        cache.update(keys, keys)
        with pytest.raises(ValueError, match="`cache` must have room for 6 tokens, but got room for 4"):
            cache.update(keys, keys)


class TestCallback:
    def test_called_after_each_scale_with_a_growing_image(self):
        model = make_model()
        states = []
        output = model.generate(*make_pair(model), callback_on_scale_end=states.append)
        assert [state.scale_index for state in states] == [0, 1, 2, 3]
        assert [state.codes.shape[1] for state in states] == [1, 4, 9, 16]
        assert torch.equal(torch.cat([state.codes for state in states], dim=1), output.sequences)
        assert torch.equal(states[-1].pixel_values, output.pixel_values)
        assert not torch.equal(states[0].pixel_values, output.pixel_values)
        assert not states[0].pixel_values.requires_grad
        assert {state.num_scales for state in states} == {4}


class TestFilter:
    # probabilities 0.1, 0.4, 0.2, 0.3
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()

    @pytest.mark.parametrize(
        "top_k, top_p, kept",
        [
            (None, None, [0, 1, 2, 3]),
            (0, 1.0, [0, 1, 2, 3]),
            (9, 1.0, [0, 1, 2, 3]),
            (2, None, [1, 3]),
            (None, 0.35, [1]),
            (None, 0.45, [1, 3]),
            (None, 0.75, [1, 2, 3]),
            (None, 1e-9, [1]),  # never drops the best
            (2, 0.5, [1]),  # of the two that are left, the best has 4/7 of the mass
        ],
    )
    def test_by_hand(self, top_k, top_p, kept):
        filtered = filter_logits(self.logits, top_k, top_p)
        assert filtered.isfinite().nonzero().flatten().tolist() == kept
        assert torch.equal(filtered[kept], self.logits[kept])

    def test_ties_with_the_last_one_kept_stay(self):
        assert filter_logits(torch.tensor([1.0, 2.0, 1.0, 0.0]), top_k=2).isfinite().tolist() == [
            True,
            True,
            True,
            False,
        ]

    def test_input_is_left_alone(self):
        logits = self.logits.clone()
        filter_logits(logits, 1, 0.5)
        assert torch.equal(logits, self.logits)


class TestSampling:
    def test_frequencies_follow_the_softmax(self):
        logits = torch.tensor([0.1, 0.4, 0.0, 0.5]).log().expand(1, 20000, 4)
        codes = sample_codes(logits, torch.Generator().manual_seed(0)).flatten()
        counts = codes.bincount(minlength=4)
        assert counts[2] == 0
        for count, probability in zip(counts.tolist(), (0.1, 0.4, 0.0, 0.5), strict=True):
            assert abs(count - 20000 * probability) <= 4 * math.sqrt(20000 * probability * (1 - probability))

    @pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
    def test_extreme_random_numbers_hit_possible_codes(self, number, monkeypatch):
        monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(tuple(shape), number))
        logits = torch.randn(3, 50, 4096, generator=torch.Generator().manual_seed(0)) * 5
        logits[..., :7] = -torch.inf
        logits[..., -7:] = -torch.inf
        codes = sample_codes(logits)
        assert logits.gather(-1, codes[..., None]).isfinite().all()

    def test_temperature_near_zero_is_greedy(self):
        model = make_model()
        pair = make_pair(model)
        cold = model.generate(*pair, temperature=1e-4, generator=torch.Generator().manual_seed(0))
        assert torch.equal(cold.sequences, model.generate(*pair, do_sample=False).sequences)

    def test_defaults_come_from_the_generation_config(self, tmp_path):
        model = make_model()
        published = model.generation_config
        assert (published.do_sample, published.top_k, published.top_p, published.temperature) == (True, 900, 0.96, 1.0)
        model.generation_config = GenerationConfig(do_sample=False)
        model.save_pretrained(tmp_path)
        loaded = StyleVARForConditionalGeneration.from_pretrained(tmp_path)
        pair = make_pair(model)
        assert torch.equal(loaded.generate(*pair).sequences, model.generate(*pair, do_sample=False).sequences)

    def test_generation_config_goes_before_the_models_and_after_the_arguments(self):
        model = make_model()
        model.generation_config = GenerationConfig(do_sample=True, top_k=1, num_return_sequences=2)
        pair = make_pair(model)
        two_greedy = model.generate(*pair, do_sample=False).sequences
        assert len(two_greedy) == 4
        assert torch.equal(model.generate(*pair).sequences, two_greedy)
        given = GenerationConfig(num_return_sequences=1)  # what it leaves open, such as `top_k`, is the model's
        assert torch.equal(model.generate(*pair, generation_config=given).sequences, two_greedy[::2])
        three = model.generate(*pair, generation_config=given, num_return_sequences=3, top_k=0)
        assert len(three.sequences) == 6
        assert not torch.equal(three.sequences[::3], two_greedy[::2])

    def test_published_sampling_without_a_saved_generation_config(self, tmp_path):
        model = make_model()
        model.save_pretrained(tmp_path)
        (tmp_path / "generation_config.json").unlink()
        loaded = StyleVARForConditionalGeneration.from_pretrained(tmp_path)
        pair = make_pair(model)
        for generator in (make_generators(0, 1), make_generators(2, 3)):
            states = [one.get_state() for one in generator]
            expected = model.generate(*pair, generator=generator).sequences
            for one, state in zip(generator, states, strict=True):
                one.set_state(state)
            assert torch.equal(loaded.generate(*pair, generator=generator).sequences, expected)


class TestPrecision:
    @pytest.mark.parametrize("do_sample", [True, False])
    def test_overflow_is_an_error_and_not_a_picture(self, do_sample):
        model = make_model().half()
        with torch.no_grad():
            model.model.layers[0].mlp.fc2.weight.mul_(1e7)
        with pytest.raises(ValueError, match="`logits` must be finite, but the model overflowed in torch.float16"):
            model.generate(*make_pair(model), do_sample=do_sample)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_generates_in_half_precision(self, dtype, tmp_path):
        make_model().save_pretrained(tmp_path)
        model = StyleVARForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
        output = model.generate(*make_pair(model), generator=make_generators(0, 1))
        assert output.pixel_values.dtype == torch.float32
        assert output.pixel_values.isfinite().all()

    def test_generates_under_autocast(self):
        # the published inference crashes here (defect 3)
        model = make_model()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model.generate(*make_pair(model))
        assert output.pixel_values.isfinite().all()


class TestBadInput:
    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"top_p": 0.0}, r"`top_p` must be in \(0, 1\], but got 0.0"),
            ({"top_p": 1.2}, r"`top_p` must be in \(0, 1\], but got 1.2"),
            ({"top_k": -1}, "`top_k` must be 0 .* but got -1"),
            ({"temperature": 0.0}, "`temperature` must be positive .* but got 0.0"),
            ({"top_k": 9.5}, "`top_k` must be 0 .* but got 9.5"),
            ({"num_return_sequences": 0}, "`num_return_sequences` must be a positive integer"),
            ({"num_return_sequences": 2.0}, "`num_return_sequences` must be a positive integer"),
            ({"num_return_sequences": True}, "`num_return_sequences` must be a positive integer"),
            ({"prefix_codes": torch.zeros(2, 5)}, "`prefix_codes` must be an int64 tensor, but got torch.float32"),
            ({"prefix_codes": torch.zeros(2, 5).int()}, "`prefix_codes` must be an int64 tensor, but got torch.int32"),
            ({"prefix_codes": [[0], [0]]}, "`prefix_codes` must be an int64 tensor, but got list"),
            ({"style_strength": -2.0}, r"`style_strength` must be in \[-1, 1\]"),
            ({"style_strength": None}, "`style_strength` must be one number or one per pair, but got None"),
            ({"style_strength": "strong"}, "`style_strength` must be one number or one per pair, but got 'strong'"),
            ({"generator": make_generators(1, 2, 3)}, r"one generator per image \(2\), but got 3"),
            ({"generator": 7}, "`generator` must be a `torch.Generator` or a list of them, but got int"),
        ],
    )
    def test_arguments_out_of_range(self, arguments, message):
        model = make_model()
        with pytest.raises(ValueError, match=message):
            model.generate(*make_pair(model), **arguments)

    def test_batches_that_differ(self):
        model = make_model()
        contents, styles = make_pair(model)
        with pytest.raises(ValueError, match="`style_pixel_values` must have a batch size of 2 .* but got 1"):
            model.generate(contents, styles[:1])

    def test_missing_or_double_image(self):
        model = make_model()
        contents, styles = make_pair(model)
        with pytest.raises(ValueError, match="`style_pixel_values` or `style` must be given.* but got neither"):
            model.generate(contents)
        with pytest.raises(ValueError, match="`content_pixel_values` or `content` must be given.* but got both"):
            model.generate(contents, styles, content=model.encode_content(contents))

    def test_images_in_place_of_references(self):
        model = make_model()
        contents, styles = make_pair(model)
        with pytest.raises(ValueError, match="`content` must be the result of `encode_content`, but got Tensor"):
            model.generate(content=contents, style=styles)
        with pytest.raises(
            ValueError, match="`style` must be the result of `encode_style`, but got StyleVARReference"
        ):
            model.generate(contents, style=StyleVARReference())

    def test_alphas_that_were_changed_to_another_number(self):
        model = make_model()
        model.config.blend_alphas = (0.5,) * 7
        with pytest.raises(ValueError, match="`blend_alphas` must be one value per scale"):
            model.generate(*make_pair(model))

    def test_images_of_another_ladder(self):
        model = make_model()
        with pytest.raises(
            ValueError, match=r"shape \(batch, 3, 16, 16\) to fit the ladder patch_nums=\(1, 2, 3, 4\)"
        ):
            model.generate(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))

    @pytest.mark.parametrize(
        "changes, name",
        [
            ({"style_pixel_values": torch.zeros(2, 3, 16, 17)}, "style_pixel_values"),
            ({"style_strength": 3.0}, "style_strength"),
            ({"generator": make_generators(1)}, "generator"),
        ],
    )
    def test_nothing_is_encoded_before_the_check(self, changes, name, monkeypatch):
        model = make_model()
        monkeypatch.setattr(model.vq_model, "encode", lambda _: pytest.fail("encoded before everything was checked"))
        contents, styles = make_pair(model)
        with pytest.raises(ValueError, match=f"`{name}`"):
            model.generate(**{"content_pixel_values": contents, "style_pixel_values": styles, **changes})


def test_tiny_config_is_what_these_tests_count_on():
    config = make_tiny_config()
    assert (config.patch_nums, config.image_size, config.hidden_size) == ((1, 2, 3, 4), 16, 32)
