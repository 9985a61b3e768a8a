# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Style and content losses of VGG-19 (Gatys et al. 2016) as rewards, as the published evaluation defines them."""

import os
from collections.abc import Sequence

import torch
from torch import nn

from ..measures.weights import require_weights
from .base import Reward


VGG19_FILE = "vgg19-dcbb9e9d.pth"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STYLE_LAYERS = (0, 5, 10, 19, 28)  # conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1 among torchvision's `features`
CONTENT_LAYERS = (21,)  # conv4_2


class VGG19Features(nn.Module):
    """
    Outputs of some convolutions of torchvision's VGG-19 before their ReLU, frozen.

    Args:
        layers (sequence of `int`):
            Indices among `features`, ascending.
        path (`str` or `os.PathLike`):
            torchvision's weights; those of the classifier are not read.
    """

    def __init__(self, layers: Sequence[int], path):
        super().__init__()
        from torchvision.models import vgg19

        with torch.device("meta"):  # the classifier alone would take half a gigabyte
            features = vgg19(weights=None).features[: layers[-1] + 1]
        weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        features.load_state_dict({key: weights[f"features.{key}"] for key in features.state_dict()}, assign=True)
        for layer in features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite what is returned
        self.layers = tuple(layers)
        self.features = features
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images `(B, 3, H, W)` in [0, 1], at least 16 x 16, to one `(B, C, h, w)` per layer."""
        hidden, outputs = (images - self.mean) / self.std, []
        for index, layer in enumerate(self.features):
            hidden = layer(hidden)
            if index in self.layers:
                outputs.append(hidden)
        return outputs


class _VGGReward(Reward):
    packages = ("torchvision",)
    layers: tuple[int, ...]

    def __init__(
        self,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        weights: str | os.PathLike | None = None,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        self.weights = weights
        require_weights(self.name, VGG19_FILE, weights)

    def load_network(self, device: torch.device) -> nn.Module:
        return VGG19Features(self.layers, require_weights(self.name, VGG19_FILE, self.weights)).to(device)

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        if min(images.shape[-2:]) < 16:
            raise ValueError(
                f"`images` must be at least 16 x 16 pixels for VGG-19, but got {tuple(images.shape[-2:])}."
            )
        return self._network(images)


class GramStyleReward(_VGGReward):
    r"""
    Minus the style loss to the style,

    $$ \sum_l \mathrm{mean} (G_l(x) - G_l(y))^2, \quad G_l = F_l F_l^T / (c_l h_l w_l) $$

    with F the outputs of VGG-19's convolutions at torchvision's indices 0, 5, 10, 19 and 28 before ReLU, of pictures
    in ImageNet's normalisation. Sizes may differ. Nothing is downloaded.

    Args:
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        weights (`str` or `os.PathLike`, *optional*):
            torchvision's weights of VGG-19. Defaults to where torchvision keeps them.

    Raises:
        ModuleNotFoundError: If `torchvision` is not installed.
        FileNotFoundError: If the weights are not on this machine.
    """

    name = "gram-style"
    default_reference = "style"
    layers = STYLE_LAYERS

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        # A mean over c x c entries is a sum of squares of the entries over c: one vector holds all layers.
        return torch.cat([(gram_matrix(part) / part.shape[1]).flatten(1) for part in self._features(images)], dim=1)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return -(descriptions - references).square().sum(1)


class ContentReward(_VGGReward):
    """
    Minus the content loss to the content: the mean squared difference of the outputs of VGG-19's convolution at
    torchvision's index 21 before ReLU, of pictures in ImageNet's normalisation. Nothing is downloaded.

    Args:
        reference (`str`, *optional*, defaults to `"content"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        weights (`str` or `os.PathLike`, *optional*):
            torchvision's weights of VGG-19. Defaults to where torchvision keeps them.

    Raises:
        ModuleNotFoundError: If `torchvision` is not installed.
        FileNotFoundError: If the weights are not on this machine.
    """

    name = "content"
    default_reference = "content"
    layers = CONTENT_LAYERS

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        return self._features(images)[0]

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return -(descriptions - references).square().flatten(1).mean(1)


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    """Features `(B, C, H, W)` to their products over places, divided by C H W: `(B, C, C)`."""
    flat = features.flatten(2)
    return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


__all__ = ["ContentReward", "GramStyleReward", "VGG19Features", "gram_matrix"]
