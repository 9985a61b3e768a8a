# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The optional terms of tokenizer training: LPIPS and a patch discriminator."""

import importlib.util
import os

import torch
import torch.nn.functional as F
from torch import nn


# What torchvision calls the weights that LPIPS builds on, in `torch.hub.get_dir()/checkpoints`.
PERCEPTUAL_WEIGHT_FILES = {
    "vgg": "vgg16-397923af.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def load_perceptual_loss(network: str = "vgg") -> nn.Module:
    """
    LPIPS (arXiv 1801.03924) of the `lpips` package, frozen. Nothing is downloaded.

    Args:
        network (`str`, *optional*, defaults to `"vgg"`):
            `"vgg"`, `"alex"` or `"squeeze"`.

    Returns:
        `nn.Module`: takes two batches of images `(B, 3, H, W)` in [-1, 1], gives distances `(B, 1, 1, 1)`.

    Raises:
        ImportError: If `lpips` is not installed.
        FileNotFoundError: If the weights of its backbone are not on this machine.
    """
    if importlib.util.find_spec("lpips") is None:
        raise ImportError(
            "`perceptual_weight` must be 0 without the `lpips` package, which is not installed. "
            "Run `pip install 'stylevar-hf[eval]'`, or set `perceptual_weight=0`."
        )
    path = os.path.join(torch.hub.get_dir(), "checkpoints", PERCEPTUAL_WEIGHT_FILES[network])
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`perceptual_weight` must be 0 without the backbone of LPIPS, but {path} does not exist. Download "
            f"https://download.pytorch.org/models/{os.path.basename(path)} and put it there (`TORCH_HOME` moves the "
            "folder), or set `perceptual_weight=0`."
        )
    import lpips

    return lpips.LPIPS(net=network, verbose=False).requires_grad_(False).eval()


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


__all__ = [
    "PERCEPTUAL_WEIGHT_FILES",
    "PatchDiscriminator",
    "discriminator_hinge_loss",
    "generator_hinge_loss",
    "load_perceptual_loss",
]
