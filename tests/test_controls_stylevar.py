# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Strength by token, blends of styles, and painted parts: in the model, before any picture is read."""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_generation_stylevar import configurations, make_generators, make_pair
from test_modeling_stylevar import make_model

from stylevar_hf import StyleVARReference
from stylevar_hf.controls_stylevar import (
    blend_references,
    lay_over,
    painted_tokens,
    read_mask,
    read_strength_map,
    scale_strengths,
    token_strengths,
    token_values,
    token_weights,
)
from stylevar_hf.generation_stylevar import is_near_best


def encode_styles(model, number: int) -> list[StyleVARReference]:
    _, pixels = make_pair(model, number, seed=3)
    return [model.encode_style(one[None]) for one in pixels]


def stack(references: list[StyleVARReference]) -> StyleVARReference:
    names = references[0].keys()
    return StyleVARReference(**{name: torch.cat([one[name] for one in references]) for name in names})


class TestCachedEqualsTeacherForced:
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(configurations(), st.integers(0, 2**20), st.integers(1, 2), st.booleans())
    def test_with_blends_maps_and_painted_parts(self, configuration, seed, num_return_sequences, eager):
        model = make_model(seed, **configuration)
        model.set_attn_implementation("eager" if eager else "sdpa")
        patch_nums = model.config.patch_nums
        content, _ = make_pair(model, 2, seed)
        draw = torch.Generator().manual_seed(seed)
        side = patch_nums[-1] * 2
        masks = (torch.rand(3, side, side, generator=draw) > 0.5).float()
        strength = token_strengths([0.3, -0.2], patch_nums, maps=torch.rand(2, side, side, generator=draw) * 2 - 1)
        blend = blend_references(encode_styles(model, 3), [0.5, 0.2, 0.3], list(masks), patch_nums)
        inputs = {"content": model.encode_content(content), "style": stack([blend, blend]), "style_strength": strength}

        generated = model.generate(
            **inputs,
            num_return_sequences=num_return_sequences,
            output_logits=True,
            generator=draw,
            painted_tokens=painted_tokens(masks[:2], patch_nums),
        )
        with torch.no_grad():
            forward = model(labels=generated.sequences, num_return_sequences=num_return_sequences, **inputs)

        torch.testing.assert_close(generated.logits, forward.logits, atol=1e-4, rtol=0)


class TestBlend:
    @pytest.fixture
    def model(self):
        return make_model()

    def paint(self, model, style, **arguments):
        content, _ = make_pair(model, 1)
        return model.generate(content, style=style, generator=make_generators(0), output_logits=True, **arguments)

    def test_weights_one_and_zero_are_the_style_alone_bit_for_bit(self, model):
        styles = encode_styles(model, 2)
        blend = blend_references(styles, [1, 0], patch_nums=model.config.patch_nums)
        torch.testing.assert_close(
            self.paint(model, blend).logits, self.paint(model, styles[0]).logits, atol=0, rtol=0
        )

    def test_a_style_with_itself_is_that_style(self, model):
        style = encode_styles(model, 1)[0]
        blend = blend_references([style, style], [0.3, 0.7], patch_nums=model.config.patch_nums)
        torch.testing.assert_close(self.paint(model, blend).logits, self.paint(model, style).logits)

    def test_weights_move_the_logits_from_one_style_to_the_other(self, model):
        styles = encode_styles(model, 2)
        prefix = self.paint(model, styles[0]).sequences
        ends = [self.paint(model, style, prefix_codes=prefix).logits for style in styles]
        distances = []
        for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
            blend = blend_references(styles, [1 - weight, weight], patch_nums=model.config.patch_nums)
            logits = self.paint(model, blend, prefix_codes=prefix).logits
            distances.append((logits - ends[0]).square().mean().item())
        assert distances == sorted(distances) and distances[-1] > 0

    def test_masks_send_each_style_to_its_tokens(self, model):
        styles = encode_styles(model, 2)
        left = torch.zeros(8, 8)
        left[:, :4] = 1
        blend = blend_references(styles, masks=[left, 1 - left], patch_nums=model.config.patch_nums)
        finest = blend.weights[0, :, -16:].unflatten(1, (4, 4))
        assert finest[0, :, :2].eq(1).all() and finest[0, :, 2:].eq(0).all()
        assert blend.weights[0, :, 0].tolist() == [0.5, 0.5]
        torch.testing.assert_close(blend.weights.sum(dim=1), torch.ones(1, 30))

    def test_tokens_that_no_mask_covers_take_the_share_of_the_whole(self):
        masks = torch.zeros(2, 4, 4)
        masks[0, 0, 0], masks[1, 0, 1:] = 1, 1
        weights = token_weights(masks, (4,))
        assert weights[:, -1].tolist() == [0.25, 0.75]

    @pytest.mark.parametrize(
        "weights, message",
        [
            ([1.0], r"`weights` must hold one number per style \(2\), but got 1"),
            ([1.0, -0.5], "`weights` must be non-negative"),
            ([0, 0], "`weights` must not all be 0"),
            ([float("nan"), 1], "`weights` must be non-negative"),
        ],
    )
    def test_bad_weights(self, model, weights, message):
        with pytest.raises(ValueError, match=message):
            blend_references(encode_styles(model, 2), weights, patch_nums=model.config.patch_nums)

    def test_number_of_masks_must_fit(self, model):
        with pytest.raises(ValueError, match=r"`masks` must hold one picture per style \(2\), but got 1"):
            blend_references(encode_styles(model, 2), masks=[torch.ones(2, 2)])


class TestHeldTokens:
    def test_content_stays_where_nothing_is_painted(self):
        model = make_model()
        content, style = make_pair(model, 1)
        painted = torch.zeros(1, 30, dtype=torch.bool)
        generated = model.generate(content, style, generator=make_generators(0), painted_tokens=painted)
        reference = model.vq_model.quantizer.accumulate(model.encode_content(content).codes)[-1]
        free = model.generate(content, style, generator=make_generators(0)).sequences

        def error(codes):
            return (model.vq_model.quantizer.accumulate(codes)[-1] - reference).square().mean()

        assert error(generated.sequences) < 0.5 * error(free)

    def test_everything_painted_changes_nothing(self):
        model = make_model()
        pair = make_pair(model, 2)
        painted = torch.ones(2, 30, dtype=torch.bool)
        free, held = (
            model.generate(*pair, generator=make_generators(0, 1), painted_tokens=tokens) for tokens in (None, painted)
        )
        assert free.sequences.equal(held.sequences) and free.pixel_values.equal(held.pixel_values)

    def test_near_best_by_hand(self):
        logits = torch.tensor([[[0.6, 0.3, 0.1]]]).log()
        kept = [
            [is_near_best(logits, torch.tensor([[code]]), steadiness).item() for code in range(3)]
            for steadiness in (0.0, 0.6, 1.0)
        ]
        assert kept == [[True, False, False], [True, True, False], [True, True, True]]

    def test_steadiness_one_repeats_the_frame_before_and_zero_ignores_it(self):
        model = make_model()
        pair = make_pair(model, 1)
        before = torch.randint(0, 64, (1, 30), generator=torch.Generator().manual_seed(1))
        codes = [
            model.generate(*pair, generator=make_generators(0), previous_codes=before, steadiness=steadiness).sequences
            for steadiness in (0.0, 1.0)
        ]
        assert codes[0].equal(model.generate(*pair, generator=make_generators(0)).sequences)
        assert codes[1].equal(before)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"painted_tokens": torch.ones(1, 3, dtype=torch.bool)}, "`painted_tokens` must be a boolean tensor"),
            ({"previous_codes": torch.zeros(2, 30, dtype=torch.long)}, r"one row per image \(1\), but got 2"),
            ({"steadiness": 1.5}, r"`steadiness` must be in \[0, 1\]"),
            ({"style_strength": torch.zeros(1, 7)}, r"of shape \(1 or 1, 30\)"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        model = make_model()
        with pytest.raises(ValueError, match=message):
            model.generate(*make_pair(model, 1), **arguments)


class TestStrength:
    def test_sum_of_pair_scale_and_place_is_clipped(self):
        place = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])
        strengths = token_strengths([0.25], (1, 2), [0.5, 0.0], place)
        assert strengths.tolist() == [[0.75, 1.0, -0.75, 0.25, 0.25]]

    def test_nothing_to_add_stays_a_list(self):
        assert token_strengths([0.1, 0.2], (1, 2)) == [0.1, 0.2]

    def test_zeros_per_token_leave_the_alphas_as_they_are(self):
        model = make_model().model
        assert model.get_blend_alphas(torch.zeros(1, 30)).equal(model.get_blend_alphas(0.0))
        uniform = model.get_blend_alphas(torch.full((2, 30), 0.4), 2)
        assert uniform.equal(model.get_blend_alphas([0.4, 0.4], 2))

    def test_presets_fit_any_ladder(self):
        assert scale_strengths("strokes", 3) == [-1.0, 0.0, 1.0]
        assert scale_strengths("palette", 2) == [1.0, -1.0]
        assert len(scale_strengths("layout", 10)) == 10

    @pytest.mark.parametrize(
        "spec, message",
        [
            ("swirls", "one of palette, strokes, layout, but got 'swirls'"),
            ([0.0, 1.0], "one number for each of the 4 scales, but got 2"),
            ([0.0, 0.0, 0.0, 2.0], r"in \[-1, 1\], but got 2.0"),
            (0.5, "one number for each of the 4 scales, but got 0.5"),
        ],
    )
    def test_bad_strength_per_scale(self, spec, message):
        with pytest.raises(ValueError, match=message):
            scale_strengths(spec, 4)

    def test_grey_picture_and_floats_mean_the_same(self):
        picture = PIL.Image.fromarray(np.array([[0, 128, 255]], dtype=np.uint8))
        assert read_strength_map(picture).tolist() == [[-1.0, 0.0, 1.0]]
        assert read_strength_map(np.array([[-1.0, 0.0, 1.0]])).tolist() == [[-1.0, 0.0, 1.0]]

    @pytest.mark.parametrize(
        "values, message",
        [(np.full((2, 2), 1.5), r"must be in \[-1, 1\]"), (np.zeros((2, 2, 3)), r"of shape \(height, width\)")],
    )
    def test_bad_maps(self, values, message):
        with pytest.raises(ValueError, match=message):
            read_strength_map(values)


class TestMaps:
    def test_means_of_tokens_by_hand(self):
        values = token_values(torch.arange(4.0).reshape(1, 2, 2), (1, 2))
        assert values.tolist() == [[1.5, 0.0, 1.0, 2.0, 3.0]]

    def test_token_is_painted_if_any_white_touches_it(self):
        mask = torch.zeros(1, 8, 8)
        mask[0, 0, 0] = 1
        assert painted_tokens(mask, (1, 2)).tolist() == [[True, True, False, False, False]]

    def test_black_mask_is_refused(self):
        with pytest.raises(ValueError, match="`mask` must be white somewhere"):
            read_mask(PIL.Image.new("L", (4, 4)), "mask")

    @pytest.mark.parametrize("resize_mode", ["stretch", "center_crop", "pad"])
    def test_maps_lie_where_the_content_does(self, resize_mode):
        from stylevar_hf import StyleVARImageProcessor

        picture = np.zeros((20, 40), dtype=np.uint8)
        picture[5:15, 10:20] = 255
        processor = StyleVARImageProcessor(size=16, resize_mode=resize_mode)
        pixels = processor(PIL.Image.fromarray(picture), return_tensors="pt").pixel_values[0, 0]
        laid = lay_over(torch.from_numpy(picture).float() / 255, (20, 40), (16, 16), resize_mode)
        assert (laid - (pixels / 2 + 0.5)).abs().mean() < 0.05
