# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSIM: are the same structures in the same places?"""

import math

import torch
import torch.nn.functional as F

from .base import Measure, check_min_side


WINDOW = 11  # pixels: a Gaussian of sigma 1.5 cut at 3.5 sigma
WINDOW_SIGMA = 1.5
MEAN_CONSTANT, VARIANCE_CONSTANT = 0.01**2, 0.03**2  # K1 and K2 of the paper, for values in [0, 1]


def structural_similarity(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    SSIM (Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
    doi 10.1109/TIP.2003.819861), with that paper's Gaussian window and constants, mean over channels and pixels.

    At the border the pictures go on mirrored, and those windows count too: the definition of torchmetrics, by which
    the paper's table was made. Leaving them out, as scikit-image does, moves values by up to 0.01.

    Args:
        images, references (`torch.Tensor` of shape `(B, C, H, W)`):
            In [0, 1], at least 11 x 11.

    Returns:
        `torch.Tensor` of shape `(B,)`, in [-1, 1]; 1 for equal pictures.

    Raises:
        ValueError: If the images are smaller than the window.
    """
    check_min_side(images, WINDOW, "SSIM")
    products = [images, references, images**2, references**2, images * references]
    mean, other_mean, square, other_square, product = _smooth(torch.cat(products, dim=1)).chunk(5, dim=1)
    variance, other_variance = (square - mean**2).clamp_min(0), (other_square - other_mean**2).clamp_min(0)
    covariance = product - mean * other_mean
    likeness = (2 * mean * other_mean + MEAN_CONSTANT) * (2 * covariance + VARIANCE_CONSTANT)
    norm = (mean**2 + other_mean**2 + MEAN_CONSTANT) * (variance + other_variance + VARIANCE_CONSTANT)
    return (likeness / norm).flatten(1).mean(1)


def _smooth(images: torch.Tensor) -> torch.Tensor:
    """Each channel of `(B, C, H, W)` under the Gaussian window, mirrored at the border; the size stays."""
    radius, channels = WINDOW // 2, images.shape[1]
    window = images.new_tensor(
        [math.exp(-0.5 * (offset / WINDOW_SIGMA) ** 2) for offset in range(-radius, radius + 1)]
    )
    window = (window / window.sum()).expand(channels, 1, 1, -1)
    images = F.pad(images, [radius] * 4, mode="reflect")
    return F.conv2d(F.conv2d(images, window, groups=channels), window.mT, groups=channels)


class SSIM(Measure):
    """[`structural_similarity`] as a [`Measure`]."""

    higher_is_better = True

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return structural_similarity(descriptions, references)


__all__ = ["SSIM", "WINDOW", "structural_similarity"]
