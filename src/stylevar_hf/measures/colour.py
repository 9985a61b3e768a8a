# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""CIELAB, palettes, and how far apart the pixels' colours are."""

import functools
import math

import torch

from .base import Measure, quantiles


# sRGB to CIE XYZ, the white point of D65 (2 degrees), and the bend of CIELAB's curve, as scikit-image has them.
XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
LAB_BEND = 0.008856
NUM_DIRECTIONS = 32


def rgb_to_lab(images: torch.Tensor) -> torch.Tensor:
    """sRGB images `(B, 3, H, W)` in [0, 1] to CIELAB (D65): L in [0, 100], a and b about [-100, 100]."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055) ** 2.4, images / 12.92)
    matrix = images.new_tensor(XYZ_FROM_RGB) / images.new_tensor(WHITE)[:, None]
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    x, y, z = torch.where(xyz > LAB_BEND, xyz.clamp_min(LAB_BEND) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """CIELAB `(B, 3, H, W)` to sRGB in [0, 1]; colours that sRGB lacks are clipped."""
    y = (lab[:, 0] + 16) / 116
    curve = torch.stack([lab[:, 1] / 500 + y, y, (y - lab[:, 2] / 200).clamp_min(0)], dim=1)
    xyz = torch.where(curve > LAB_BEND ** (1 / 3), curve**3, (curve - 16 / 116) / 7.787)
    matrix = torch.tensor(XYZ_FROM_RGB, dtype=torch.float64).inverse() * torch.tensor(WHITE, dtype=torch.float64)
    linear = torch.einsum("ij,bjhw->bihw", matrix.to(lab), xyz).clamp(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-6) ** (1 / 2.4) - 0.055, 12.92 * linear)


def mean_colour_difference(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    Mean over pixels of the CIE 1976 colour difference, the Euclidean distance in CIELAB of the two pixels at the same
    place.

    Args:
        images, references (`torch.Tensor` of shape `(B, 3, H, W)`):
            In [0, 1].

    Returns:
        `torch.Tensor` of shape `(B,)`, in units of Delta E, 0 or more; 2.3 is about what an eye just notices, black
        to white is 100.
    """
    difference = rgb_to_lab(images) - rgb_to_lab(references)
    return difference.square().sum(1).sqrt().flatten(1).mean(1)


class Palette(Measure):
    r"""
    Distance between two palettes: the sliced 1-Wasserstein distance between the clouds of CIELAB pixels,

    $$ 2 \cdot \mathrm{mean}_\theta \int_0^1 |F^{-1}_{\theta \cdot x}(q) - F^{-1}_{\theta \cdot y}(q)| dq $$

    (Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures"), over 32 fixed directions, in units
    of Delta E. Where a colour is in the picture does not count, how much of it there is does; sizes may differ. The
    factor 2 makes the distance of a picture from itself with every pixel's colour shifted by d just d (within 2%).

    A description is the quantile functions of the pixels along the directions, `(B, 32, 1024)`.
    """

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        # A shift by d moves the projections by d |cos|, d / 2 on average over the sphere: twice that is d again.
        lab = rgb_to_lab(images).flatten(2)
        directions = projection_directions().to(lab)
        return torch.stack([2 * quantiles(directions @ pixels) for pixels in lab])  # one by one: sorts take memory

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).abs().flatten(1).mean(1)


class ColourMoments(Measure):
    """
    The Euclidean distance of the means and standard deviations of the three channels of CIELAB: coarser than
    [`Palette`], and faster. A description is these six numbers, `(B, 6)`.
    """

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        lab = rgb_to_lab(images).flatten(2)
        return torch.cat([lab.mean(2), lab.std(2, correction=0)], dim=1)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).square().sum(1).sqrt()


@functools.cache
def projection_directions() -> torch.Tensor:
    """Unit vectors `(32, 3)` spread evenly over a half sphere, along a golden spiral; the other half is the same."""
    steps = torch.arange(NUM_DIRECTIONS, dtype=torch.float64) + 0.5
    height, turn = steps / NUM_DIRECTIONS, steps * math.pi * (3 - math.sqrt(5))
    radius = (1 - height**2).sqrt()
    return torch.stack([height, radius * turn.cos(), radius * turn.sin()], dim=1).float()


__all__ = ["ColourMoments", "Palette", "lab_to_rgb", "mean_colour_difference", "rgb_to_lab"]
