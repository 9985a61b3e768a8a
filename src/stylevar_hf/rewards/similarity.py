# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How alike the image and the target are, place by place: SSIM and LPIPS."""

import math
import os
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from ..measures.weights import require_weights
from ..training.vq.losses import PERCEPTUAL_WEIGHT_FILES
from .base import Reward


WINDOW_SIGMA, WINDOW_RADIUS = 1.5, 5  # pixels: a Gaussian cut at 3.5 sigma, 11 x 11
MEAN_CONSTANT, VARIANCE_CONSTANT = 0.01**2, 0.03**2  # K1 and K2 of the paper, for values in [0, 1]


class SSIMReward(Reward):
    """
    SSIM (Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity") with the
    target, in [-1, 1]: the value of [`stylevar_hf.evaluation.structural_similarity`].

    Args:
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
    """

    name = "ssim"

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        side = 2 * WINDOW_RADIUS + 1
        if min(images.shape[-2:]) < side:
            raise ValueError(
                f"`images` must be at least {side} x {side} pixels for SSIM, but got {tuple(images.shape[-2:])}. "
                "Enlarge them."
            )
        return images

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return structural_similarity_map(descriptions, references).flatten(1).mean(1)


def structural_similarity_map(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    SSIM around each pixel whose window lies within the picture.

    Args:
        images, references (`torch.Tensor` of shape `(B, C, H, W)`):
            In [0, 1], at least 11 x 11.

    Returns:
        `torch.Tensor` of shape `(B, C, H - 10, W - 10)`
    """
    products = [images, references, images**2, references**2, images * references]
    mean, other_mean, square, other_square, product = _smooth(torch.cat(products, dim=1)).chunk(5, dim=1)
    variance, other_variance = square - mean**2, other_square - other_mean**2
    covariance = product - mean * other_mean
    likeness = (2 * mean * other_mean + MEAN_CONSTANT) * (2 * covariance + VARIANCE_CONSTANT)
    return likeness / ((mean**2 + other_mean**2 + MEAN_CONSTANT) * (variance + other_variance + VARIANCE_CONSTANT))


def _smooth(images: torch.Tensor) -> torch.Tensor:
    """Each channel of `(B, C, H, W)` under the Gaussian window, without padding."""
    offsets = range(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    window = images.new_tensor([math.exp(-0.5 * (offset / WINDOW_SIGMA) ** 2) for offset in offsets])
    window = (window / window.sum()).expand(images.shape[1], 1, 1, -1)
    images = F.conv2d(images, window, groups=images.shape[1])
    return F.conv2d(images, window.mT, groups=images.shape[1])


class LPIPSReward(Reward):
    """
    Minus LPIPS (arXiv 1801.03924) to the target, by the authors' package. Nothing is downloaded.

    Args:
        network (`str`, *optional*, defaults to `"vgg"`):
            `"vgg"`, `"alex"` or `"squeeze"`.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        weights (`str` or `os.PathLike`, *optional*):
            torchvision's weights of the network. Defaults to where torchvision keeps them.

    Raises:
        ModuleNotFoundError: If `lpips` is not installed.
        FileNotFoundError: If the weights are not on this machine.
    """

    name = "lpips"
    packages = ("lpips", "torchvision")

    def __init__(
        self,
        network: str = "vgg",
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        weights: str | os.PathLike | None = None,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        if network not in PERCEPTUAL_WEIGHT_FILES:
            raise ValueError(
                f"`network` must be one of {', '.join(PERCEPTUAL_WEIGHT_FILES)}, but got {network!r}. Choose one."
            )
        self.network = network
        self.weights = weights
        require_weights(self.name, PERCEPTUAL_WEIGHT_FILES[network], weights)

    def load_network(self, device: torch.device) -> nn.Module:
        path = require_weights(self.name, PERCEPTUAL_WEIGHT_FILES[self.network], self.weights)
        return build_lpips(self.network, path).to(device)

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return -self._network(descriptions, references, normalize=True).flatten()


def build_lpips(network: str, path: str | os.PathLike) -> nn.Module:
    """
    The package's LPIPS, frozen and in evaluation mode.

    Args:
        network (`str`): `"vgg"`, `"alex"` or `"squeeze"`.
        path (`str` or `os.PathLike`): torchvision's weights of that network; those of the classifier are not read.

    Returns:
        `nn.Module`: Takes two batches `(B, 3, H, W)` in [0, 1] and `normalize=True`, gives `(B, 1, 1, 1)`.
    """
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's about how lpips asks for weights
        model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # The package has torchvision's layers in slices: `slice2.5.weight` is torchvision's `features.5.weight`.
    names = {key: f"features.{key.partition('.')[2]}" for key in model.net.state_dict()}
    model.net.load_state_dict({key: weights[name] for key, name in names.items()})
    return model.requires_grad_(False).eval()


__all__ = ["LPIPSReward", "SSIMReward", "build_lpips", "structural_similarity_map"]
