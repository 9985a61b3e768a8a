# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The optional terms of tokenizer training: a perceptual distance and a patch discriminator."""

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..._common.errors import require_packages
from ...measures.base import Measure
from ...measures.lpips import LPIPS, LPIPS_FILES
from ...measures.vgg import FeatureDistance
from ...measures.weights import find_weights


def load_perceptual_loss(network: str = "vgg", weights: Sequence[str | os.PathLike] | None = None) -> Measure:
    """
    A perceptual distance, frozen: LPIPS (arXiv 1801.03924) of the `lpips` package, or the relative distance of the
    features of VGG-19.

    Args:
        network (`str`, *optional*, defaults to `"vgg"`):
            The backbone of LPIPS: `"vgg"`, `"alex"` or `"squeeze"`; fetched if need be.
        weights (sequence of `str` or `os.PathLike`, *optional*):
            Files of VGG-19 weights, instead of LPIPS, see [`~stylevar_hf.measures.vgg.VGG19Features`].

    Returns:
        [`~stylevar_hf.measures.base.Measure`]: Takes two batches of images `(B, 3, H, W)` in [0, 1], gives distances
        `(B,)`.

    Raises:
        ModuleNotFoundError: If `lpips` is not installed.
        FileNotFoundError: If weights are neither on this machine nor to be had.
    """
    if weights:
        return FeatureDistance(weights, option="perceptual_weights")
    owner = "`perceptual_weight` above 0"
    require_packages(owner, ("lpips", "torchvision"), "eval")
    return LPIPS(network, find_weights(LPIPS_FILES[network], owner, option=None))


class PatchDiscriminator(nn.Module):
    """
    Tells real patches from decoded ones: strided 4x4 convolutions, one logit per patch (arXiv 1611.07004).

    GroupNorm takes BatchNorm's place, so that one image's logits do not depend on the others.

    Args:
        num_channels (`int`, *optional*, defaults to 3):
            Channels of the images.
        base_channels (`int`, *optional*, defaults to 32):
            Channels after the first layer; a multiple of 8.
        image_size (`int`, *optional*, defaults to 64):
            Width and height of the images, at least 8. From 32 on the resolution is halved three times, below that
            less often.

    Raises:
        ValueError: If the images are too small for one patch.
    """

    def __init__(self, num_channels: int = 3, base_channels: int = 32, image_size: int = 64):
        super().__init__()
        if image_size < 8:
            raise ValueError(
                f"`image_size` must be at least 8 for a patch discriminator, but got {image_size}. Set "
                "`adversarial_weight=0` for such small images."
            )
        num_layers = min(3, image_size.bit_length() - 3)  # two 4x4 convolutions follow, which need 3x3 positions
        layers = [nn.Conv2d(num_channels, base_channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        channels = base_channels
        for level in range(1, num_layers + 1):
            wider = base_channels * min(2**level, 8)
            stride = 2 if level < num_layers else 1
            layers += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(8, wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, padding=1))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(B, num_channels, H, W)` in [-1, 1] to logits `(B, 1, h, w)`, high for real patches."""
        return self.layers(pixel_values).float()


def discriminator_hinge_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """`(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2`, a scalar (arXiv 1705.02894)."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def generator_hinge_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """`-mean fake`, a scalar (arXiv 1705.02894)."""
    return -fake_logits.mean()


def adaptive_weight(loss: torch.Tensor, generator_loss: torch.Tensor, last_layer: torch.Tensor) -> torch.Tensor:
    """
    The weight that makes the adversarial gradient at the decoder's last layer as long as that of the other terms:
    `|dL/dw| / (|dL_G/dw| + 1e-4)`, at most 1e4 (arXiv 2012.09841, eq. 7), a scalar without gradient.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Reconstruction and perceptual terms.
        generator_loss (`torch.FloatTensor` of shape `()`):
            The adversarial term.
        last_layer (`torch.nn.Parameter`):
            The weight of the decoder's last layer.
    """
    (wanted,) = torch.autograd.grad(loss, last_layer, retain_graph=True)
    (adversarial,) = torch.autograd.grad(generator_loss, last_layer, retain_graph=True)
    return (wanted.norm() / (adversarial.norm() + 1e-4)).clamp(max=1e4).detach()


__all__ = [
    "PatchDiscriminator",
    "adaptive_weight",
    "discriminator_hinge_loss",
    "generator_hinge_loss",
    "load_perceptual_loss",
]
