# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Palettes as a reward: no network, no download."""

import torch

from ..measures.quantiles import quantiles
from .base import Reward, require_packages


# sRGB to CIE XYZ, the white point of D65 (2 degrees), and the bend of CIELAB's curve, as scikit-image has them.
XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
LAB_BEND = 0.008856
STATISTICS = ("sliced-wasserstein", "moments")


class ColorStatisticsReward(Reward):
    """
    Minus the distance between the palettes of the image and the style, in units of Delta E (CIELAB). Where a colour is
    does not count, how much of it there is does.

    Args:
        statistics (`str`, *optional*, defaults to `"sliced-wasserstein"`):
            `"sliced-wasserstein"`: the distance of [`stylevar_hf.evaluation.colour_distance`], on all of the
            distribution. `"moments"`: the Euclidean distance of the channels' means and standard deviations, six
            numbers; faster and coarser.
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
            raise ValueError(
                f"`statistics` must be one of {', '.join(STATISTICS)}, but got {statistics!r}. Choose one."
            )
        self.statistics = statistics
        if statistics == "sliced-wasserstein":
            require_packages(self.name, ("skimage", "scipy"))

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        lab = rgb_to_lab(images).flatten(2)
        if self.statistics == "moments":
            return torch.cat([lab.mean(2), lab.std(2, correction=0)], dim=1)
        return torch.stack([_palette_quantiles(pixels) for pixels in lab])  # one by one: a sort takes much memory

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        difference = descriptions - references
        if self.statistics == "moments":
            return -difference.square().sum(1).sqrt()
        return -difference.abs().flatten(1).mean(1)


def rgb_to_lab(images: torch.Tensor) -> torch.Tensor:
    """sRGB images `(B, 3, H, W)` in [0, 1] to CIELAB (D65): L in [0, 100], a and b about [-100, 100]."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055) ** 2.4, images / 12.92)
    matrix = images.new_tensor(XYZ_FROM_RGB) / images.new_tensor(WHITE)[:, None]
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    x, y, z = torch.where(xyz > LAB_BEND, xyz.clamp_min(LAB_BEND) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _palette_quantiles(pixels: torch.Tensor) -> torch.Tensor:
    """What `stylevar_hf.evaluation.colour_signature` gives, for pixels `(3, HW)` in CIELAB: `(32, 1024)`."""
    from ..measures.images import projection_directions  # brings scikit-image along

    directions = torch.from_numpy(projection_directions()).to(pixels)
    return 2 * quantiles(directions @ pixels)


__all__ = ["ColorStatisticsReward", "rgb_to_lab"]
