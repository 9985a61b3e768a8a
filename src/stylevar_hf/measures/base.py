# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A measure in two steps, so that a picture with which many are compared is looked at once."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Measure(nn.Module):
    """
    What is seen in a picture ([`Measure.describe`]), and how two such descriptions compare ([`Measure.compare`]).

    Attributes:
        higher_is_better (`bool`): Whether more says that two pictures are more alike.
    """

    higher_is_better = False

    def __init__(self):
        super().__init__()
        self.eval()  # nothing of it is trained

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(B, 3, H, W)` in [0, 1], float32, to what is compared, `(B, ...)`."""
        return images

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        """Two batches `(B, ...)` of descriptions to values `(B,)`."""
        raise NotImplementedError

    def forward(self, images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        """Two batches `(B, 3, H, W)` of images in [0, 1] to values `(B,)`."""
        return self.compare(self.describe(images), self.describe(references))


def resize_bicubic(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """
    Images `(B, 3, H, W)` in [0, 1] resized as Pillow's BICUBIC does (antialiased, clipped to [0, 1]), but without its
    rounding to 8 bits.
    """
    if tuple(images.shape[-2:]) == (height, width):
        return images
    resized = F.interpolate(images, (height, width), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 1)


def check_min_side(images: torch.Tensor, side: int, what: str) -> None:
    """Raises `ValueError` unless images `(B, 3, H, W)` are at least `side` x `side`."""
    if min(images.shape[-2:]) < side:
        raise ValueError(
            f"`images` must be at least {side} x {side} pixels for {what}, but got {tuple(images.shape[-2:])}. "
            "Enlarge them."
        )


def quantiles(values: torch.Tensor, count: int = 1024) -> torch.Tensor:
    """Values `(..., samples)` to the middles of `count` steps of their quantile functions, `(..., count)`."""
    steps = torch.arange(count, device=values.device)
    ranks = ((2 * steps + 1) * values.shape[-1]) // (2 * count)  # exactly
    return _sort(values)[..., ranks]


def _sort(values: torch.Tensor) -> torch.Tensor:
    if values.device.type == "cpu" and not values.requires_grad:
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))  # 20 times as fast there
    return values.sort(dim=-1).values


__all__ = ["Measure", "check_min_side", "quantiles", "resize_bicubic"]
