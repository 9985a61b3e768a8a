# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Palettes and textures as rewards: no network, no download."""

import torch

from .._common.errors import invalid
from ..measures.base import Measure
from ..measures.colour import ColourMoments, Palette
from ..measures.texture import Texture
from .base import MeasureReward


STATISTICS = {"sliced-wasserstein": Palette, "moments": ColourMoments}


class ColorStatisticsReward(MeasureReward):
    """
    Minus the distance between the palettes of the image and the style, in units of Delta E (CIELAB). Where a colour is
    does not count, how much of it there is does.

    Args:
        statistics (`str`, *optional*, defaults to `"sliced-wasserstein"`):
            `"sliced-wasserstein"`: [`~stylevar_hf.measures.colour.Palette`], on all of the distribution. `"moments"`:
            [`~stylevar_hf.measures.colour.ColourMoments`], the channels' means and standard deviations; faster and
            coarser.
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].

    Raises:
        ValueError: If an argument does not fit.
    """

    name = "color-statistics"
    default_reference = "style"

    def __init__(
        self,
        statistics: str = "sliced-wasserstein",
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        if statistics not in STATISTICS:
            raise invalid("statistics", f"one of {', '.join(STATISTICS)}", repr(statistics), "Choose one.")
        self.statistics = statistics

    def load_network(self, device: torch.device) -> Measure:
        return STATISTICS[self.statistics]()


class TextureStatisticsReward(MeasureReward):
    """
    Minus the distance between the textures of the image and the style, in octaves of amplitude, see
    [`~stylevar_hf.measures.texture.Texture`]. Colours and places do not count.

    Args:
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
    """

    name = "texture-statistics"
    default_reference = "style"

    def load_network(self, device: torch.device) -> Measure:
        return Texture()


__all__ = ["ColorStatisticsReward", "TextureStatisticsReward"]
