# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Windows on one canvas: where they lie, that one of them is plain generation, and that borders do not show."""

import pytest
import torch
from test_generation_stylevar import make_generators, make_pair
from test_modeling_stylevar import make_model

from stylevar_hf.canvas_stylevar import Canvas, decode_canvas, paint_canvas, plan_canvas
from stylevar_hf.configuration_stylevar import StyleVARVQConfig


class TestPlan:
    @pytest.mark.parametrize(
        "patch_nums, channels", [((1, 2, 4, 8, 16, 32), 4), ((1, 2, 3, 4, 5, 6, 8, 10, 13, 16), 5)]
    )
    @pytest.mark.parametrize("size", [(256, 256), (300, 900), (1000, 700), (2160, 3840)])
    @pytest.mark.parametrize("paint_size", [256, 300, 512, 1024, 2048])
    def test_windows_cover_the_canvas_and_overlap(self, patch_nums, channels, size, paint_size):
        config = StyleVARVQConfig(patch_nums=patch_nums, channel_multipliers=(1,) * channels)
        canvas = plan_canvas(size, paint_size, config)
        unit = canvas.downsampling
        assert abs(min(canvas.pixel_size) - paint_size) <= unit / 2
        assert abs(max(canvas.pixel_size) - paint_size * max(size) / min(size)) <= unit / 2
        side = canvas.side
        for axis, length in enumerate((canvas.height, canvas.width)):
            starts = sorted({window[axis] for window in canvas.windows})
            assert starts[0] == 0 and starts[-1] + side == length
            strides = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
            assert all(0 < stride <= round(0.63 * side) + 1 for stride in strides)

    def test_merging_crops_gives_the_canvas_back(self):
        canvas = Canvas(11, 17, 6, 4)
        maps = torch.rand(1, 3, 44, 68)
        torch.testing.assert_close(canvas.merge(iter(canvas.crop(maps, 4)), 4), maps)

    @pytest.mark.parametrize("paint_size", [255, 5000, 512.0, None])
    def test_size_out_of_range(self, paint_size):
        config = StyleVARVQConfig()
        with pytest.raises(ValueError, match="`paint_size` must be an integer from 256, the model's size, to 4096"):
            plan_canvas((300, 400), paint_size, config)

    def test_endless_strips_are_refused(self):
        with pytest.raises(ValueError, match="`paint_size` must give a painting of at most"):
            plan_canvas((10, 9000), 1024, StyleVARVQConfig())


class TestPaintCanvas:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return make_model()

    @pytest.mark.parametrize(
        "options", [{}, {"do_sample": False}, {"style_strength": 0.5}, {"top_k": 5, "temperature": 2.0}]
    )
    def test_one_window_is_plain_generation(self, model, options):
        pixels, style = make_pair(model, 1)
        content, style = model.encode_content(pixels), model.encode_style(style)
        canvas = Canvas(4, 4, 4, 4)
        codes, latents = paint_canvas(model, canvas, content, style, generator=make_generators(0)[0], **options)
        plain = model.generate(content=content, style=style, generator=make_generators(0), **options)
        assert codes.equal(plain.sequences)
        torch.testing.assert_close(decode_canvas(model.vq_model, latents, canvas), plain.pixel_values)

    def test_number_of_windows_at_once_changes_nothing(self, model):
        canvas = Canvas(7, 9, 4, 4)
        pixels = torch.rand(len(canvas.windows), 3, 16, 16, generator=make_generators(1)[0]) * 2 - 1
        content, style = model.encode_content(pixels), model.encode_style(pixels[:1])
        results = [
            paint_canvas(model, canvas, content, style, generator=make_generators(0)[0], at_once=at_once)
            for at_once in (1, 4, 100)
        ]
        for codes, latents in results[1:]:
            assert codes.equal(results[0][0])
            torch.testing.assert_close(latents, results[0][1])

    def test_windows_of_a_flat_content_choose_one_palette(self, model):
        canvas = Canvas(4, 8, 4, 4)
        pixels = torch.zeros(len(canvas.windows), 3, 16, 16)
        content, style = model.encode_content(pixels), model.encode_style(pixels[:1])
        codes, _ = paint_canvas(model, canvas, content, style, generator=make_generators(0)[0])
        assert (codes[:, 0] == codes[0, 0]).all()

    def test_scales_are_told_and_can_be_looked_at(self, model):
        canvas = Canvas(4, 6, 4, 4)
        pixels = torch.zeros(len(canvas.windows), 3, 16, 16)
        shapes = []
        paint_canvas(
            model,
            canvas,
            model.encode_content(pixels),
            model.encode_style(pixels[:1]),
            callback_on_scale_end=lambda state: shapes.append((state.scale_index, state.pixel_values.shape)),
        )
        assert shapes == [(scale, (1, 3, 16, 24)) for scale in range(4)]
