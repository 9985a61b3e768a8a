# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Reward on the sizes, directions and contrasts of strokes and grain. Needs no weights."""

import torch
import torch.nn.functional as F

from ..measures.quantiles import quantiles
from .base import Reward, require_packages
from .color import rgb_to_lab


class TextureStatisticsReward(Reward):
    """
    Minus the distance between the textures of the image and the style, in octaves of amplitude: the distance of
    [`stylevar_hf.evaluation.texture_distance`]. Colours and places do not count.

    Args:
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
    """

    name = "texture-statistics"
    default_reference = "style"

    def __init__(
        self,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        require_packages(self.name, ("skimage", "scipy"))

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        from ..measures.images import MARGIN, log_gabor_filters  # brings scikit-image along

        lightness = F.pad(rgb_to_lab(images)[:, :1], [MARGIN] * 4, mode="reflect")
        filters = torch.from_numpy(log_gabor_filters(*lightness.shape[-2:])).to(lightness)
        amplitudes = torch.fft.ifft2(torch.fft.fft2(lightness) * filters).abs()[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        return quantiles(torch.log2(1 + amplitudes).flatten(2))

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return -(descriptions - references).abs().flatten(1).mean(1)


__all__ = ["TextureStatisticsReward"]
