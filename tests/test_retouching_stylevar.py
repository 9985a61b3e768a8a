# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Colours in OKLab, soft masks, and enlarging along the edges of the content."""

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from stylevar_hf.retouching_stylevar import feather, guided_resize, keep_colors, oklab_to_rgb, rgb_to_oklab


@pytest.fixture(scope="module")
def photo():
    return torch.from_numpy(data.astronaut()[:256, :192].copy()).permute(2, 0, 1) / 255


class TestOKLab:
    @pytest.mark.parametrize(
        "rgb, lab",  # published by B. Ottosson for white, red and blue
        [((1, 1, 1), (1, 0, 0)), ((1, 0, 0), (0.62796, 0.22486, 0.12585)), ((0, 0, 1), (0.45201, -0.03246, -0.31153))],
    )
    def test_published_colors(self, rgb, lab):
        found = rgb_to_oklab(torch.tensor(rgb, dtype=torch.float32)[:, None])[:, 0]
        torch.testing.assert_close(found, torch.tensor(lab, dtype=torch.float32), atol=1e-4, rtol=0)

    def test_there_and_back(self, photo):
        torch.testing.assert_close(oklab_to_rgb(rgb_to_oklab(photo)), photo, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def painting(photo):
    return torch.rand(photo.shape, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25


class TestKeepColors:
    def test_zero_is_the_painting_itself(self, photo, painting):
        assert keep_colors(painting, photo, 0.0) is painting

    def test_one_is_hue_of_the_content_under_the_light_of_the_painting(self, photo, painting):
        result = rgb_to_oklab(keep_colors(painting, photo, 1.0))
        content = rgb_to_oklab(photo)
        torch.testing.assert_close(result[0], rgb_to_oklab(painting)[0], atol=2e-3, rtol=0)
        colourful = (result[1:].norm(dim=0) > 0.02) & (content[1:].norm(dim=0) > 0.02)
        cosine = F.cosine_similarity(result[1:], content[1:], dim=0)[colourful]
        assert cosine.min() > 0.999

    def test_more_is_nearer_to_the_content(self, photo, painting):
        colors = rgb_to_oklab(photo)[1:]
        distances = [
            (rgb_to_oklab(keep_colors(painting, photo, amount))[1:] - colors).square().mean().item()
            for amount in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        assert distances == sorted(distances, reverse=True)

    def test_what_no_screen_shows_loses_chroma_alone(self):
        white, blue = torch.full((3, 1, 1), 0.97), torch.tensor([0.0, 0.0, 1.0])[:, None, None]
        result = keep_colors(white, blue, 1.0)
        lab = rgb_to_oklab(result)
        assert result.min() >= 0 and result.max() <= 1
        torch.testing.assert_close(lab[0], rgb_to_oklab(white)[0], atol=2e-3, rtol=0)
        assert lab[2] < 0


class TestFeather:
    def test_ramp_by_hand(self):
        mask = torch.zeros(9, 9)
        mask[:, 3:] = 1
        torch.testing.assert_close(feather(mask, 3)[4], torch.tensor([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]))

    def test_white_and_zero_pixels_change_nothing(self):
        mask = torch.rand(5, 5)
        assert feather(mask, 0).equal(mask)
        assert feather(torch.ones(5, 5), 4).equal(torch.ones(5, 5))


class TestGuidedResize:
    def test_edges_are_those_of_the_content(self, photo):
        small = F.interpolate(photo[None], size=(64, 48), mode="bilinear", antialias=True)[0]
        truth = 0.9 - 0.6 * photo.flip(0)
        guided = guided_resize(0.9 - 0.6 * small.flip(0), photo, (256, 192))
        blurred = F.interpolate(0.9 - 0.6 * small.flip(0)[None], size=(256, 192), mode="bicubic")[0]
        assert (guided - truth).abs().mean() < 0.3 * (blurred - truth).abs().mean()

    def test_strokes_that_the_content_does_not_have_are_kept(self):
        painting = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
        guided = guided_resize(painting, torch.full((3, 64, 64), 0.5), (64, 64))
        plain = F.interpolate(painting[None], size=(64, 64), mode="bicubic")[0].clamp(0, 1)
        assert (guided - plain).abs().mean() < 0.02
