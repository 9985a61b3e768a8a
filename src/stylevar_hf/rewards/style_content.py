# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Distances of VGG-19's features as rewards."""

import os

import torch

from ..measures.base import Measure
from ..measures.vgg import VGG19_FILE, ContentLoss, FeatureStatisticsDistance, StyleLoss, UnitFeatureDistance
from ..measures.weights import check_weights, find_weights
from .base import MeasureReward


class _VGGReward(MeasureReward):
    measure: type[Measure]

    def __init__(
        self,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        weights: str | os.PathLike | None = None,
        local_files_only: bool = False,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        self.weights = weights
        self.local_files_only = local_files_only
        check_weights(VGG19_FILE, self.owner, weights, local_files_only)

    def load_network(self, device: torch.device) -> Measure:
        path = find_weights(VGG19_FILE, self.owner, self.weights, self.local_files_only)
        return self.measure(path).to(device)


class GramStyleReward(_VGGReward):
    """
    Minus the style loss to the style, see [`~stylevar_hf.measures.vgg.StyleLoss`]. Sizes may differ.

    Args:
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        weights (`str` or `os.PathLike`, *optional*):
            torchvision's weights of VGG-19. Defaults to where torchvision keeps them; fetched when the reward is
            prepared, if need be.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether weights that are not on this machine are an error rather than fetched.

    Raises:
        FileNotFoundError: If the weights are neither on this machine nor to be had.
    """

    name = "gram-style"
    default_reference = "style"
    measure = StyleLoss


class ContentReward(_VGGReward):
    """
    Minus the content loss to the content, see [`~stylevar_hf.measures.vgg.ContentLoss`].

    Args:
        reference (`str`, *optional*, defaults to `"content"`):
            The column to compare with.
        scale, batch_size, device, weights, local_files_only:
            As for [`GramStyleReward`].

    Raises:
        FileNotFoundError: If the weights are neither on this machine nor to be had.
    """

    name = "content"
    default_reference = "content"
    measure = ContentLoss


class PerceptualReward(_VGGReward):
    """
    Minus the perceptual distance to the target, see [`~stylevar_hf.measures.vgg.UnitFeatureDistance`].

    Args:
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device, local_files_only:
            As for [`GramStyleReward`].
        weights (`str` or `os.PathLike`, *optional*):
            A file of VGG-19 weights, see [`~stylevar_hf.measures.vgg.VGG19Features`]; a narrow one will do. Defaults
            to torchvision's.

    Raises:
        FileNotFoundError: If the weights are neither on this machine nor to be had.
    """

    name = "perceptual"
    default_reference = "target"
    measure = UnitFeatureDistance


class StyleStatisticsReward(_VGGReward):
    """
    Minus the distance of palette and texture to the style, see
    [`~stylevar_hf.measures.vgg.FeatureStatisticsDistance`]. Sizes may differ.

    Args:
        reference (`str`, *optional*, defaults to `"style"`):
            The column to compare with.
        scale, batch_size, device, weights, local_files_only:
            As for [`PerceptualReward`].

    Raises:
        FileNotFoundError: If the weights are neither on this machine nor to be had.
    """

    name = "style-statistics"
    default_reference = "style"
    measure = FeatureStatisticsDistance


__all__ = ["ContentReward", "GramStyleReward", "PerceptualReward", "StyleStatisticsReward"]
