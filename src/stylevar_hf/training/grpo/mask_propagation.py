# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Mask propagation (MP, arXiv 2601.02256): which tokens a region of the image depends on, from fine to coarse."""

from collections.abc import Sequence

import torch

from ..._common.errors import invalid
from .panw import check_patch_nums


def propagate_mask(mask: torch.Tensor, patch_nums: Sequence[int], threshold: float = 0.5) -> torch.Tensor:
    r"""
    Gate on the loss of each token: 1 for tokens that the region of the image under the mask comes from, 0 for others.

    A token of the finest scale is on if its cell contains or cuts a pixel of the region. A token of a coarser scale is
    on if its cell shares area with that of a token that is on at the next finer scale. Hence whatever overlaps a token
    that is on is on at every coarser scale, and the region grows from scale to scale where sides do not divide: a
    token of the 16x16 map that lies across a corner of the 13x13 map turns on all four tokens there. Overlaps are
    decided in integers, exactly. Source: arXiv 2601.02256 (MP).

    Args:
        mask (`torch.Tensor` of shape `(N, H, W)`, `(N, 1, H, W)` or `(H, W)`):
            The region that determines the reward, bool or in [0, 1], of any size: it covers the whole image.
        patch_nums (`Sequence[int]`):
            Sides of the square token maps, from coarse to fine; `L` is the sum of their squares.
        threshold (`float`, *optional*, defaults to 0.5):
            A pixel belongs to the region if its mask is at least this, in (0, 1].

    Returns:
        `torch.FloatTensor` of shape `(N, L)` of zeros and ones, scale after scale, on the device of `mask`. `N` is 1
        for a mask of shape `(H, W)`. All zeros if the region is empty.

    Raises:
        ValueError: If the shape or the values of `mask`, `patch_nums` or `threshold` are not as described.
    """
    ladder = check_patch_nums(patch_nums)
    if not 0 < threshold <= 1:
        raise invalid("threshold", "in (0, 1]", threshold, "0.5 suits masks with soft edges.")
    grid = (_as_batch(mask) >= threshold).float()  # (N, H, W) of zeros and ones
    gates = []
    for side in reversed(ladder):
        rows = _overlaps(side, grid.shape[1], grid.device)
        columns = _overlaps(side, grid.shape[2], grid.device)
        grid = (rows @ grid @ columns.T > 0).float()  # (N, side, side)
        gates.append(grid.flatten(1))
    return torch.cat(gates[::-1], dim=1)


def _as_batch(mask: torch.Tensor) -> torch.Tensor:
    """The mask as float32 of shape `(N, H, W)`, once its shape and values are known to be right."""
    singles = mask.dim() == 4 and mask.shape[1] == 1
    if mask.numel() == 0 or not (mask.dim() in (2, 3) or singles):
        rule = "of shape (N, H, W), (N, 1, H, W) or (H, W), and not empty"
        raise invalid("mask", rule, tuple(mask.shape), "Give one mask per rollout, of one channel.")
    mask = mask.float()
    low, high = mask.aminmax()
    if not (low >= 0 and high <= 1):  # this way round, NaN is refused too
        raise invalid("mask", "in [0, 1]", (low.item(), high.item()), "Divide a mask of bytes by 255.")
    return mask.squeeze(1) if singles else mask.reshape(-1, *mask.shape[-2:])


def _overlaps(num_cells: int, num_pixels: int, device: torch.device) -> torch.Tensor:
    """`(num_cells, num_pixels)`: 1 where cell and pixel of one edge, divided evenly into either, share some length."""
    cell = torch.arange(num_cells, device=device).unsqueeze(1)
    pixel = torch.arange(num_pixels, device=device)
    shares = (cell * num_pixels < (pixel + 1) * num_cells) & (pixel * num_cells < (cell + 1) * num_pixels)
    return shares.float()


__all__ = ["propagate_mask"]
