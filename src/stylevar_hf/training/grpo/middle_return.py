# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Value as middle return (VMR, arXiv 2601.02256): coarse scales are trained apart, on the value of their result."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..._common.errors import invalid
from .panw import check_patch_nums


UPDATE_KINDS = ("prefix", "suffix")


def middle_value(rewards: torch.Tensor, eta: float = 1.0) -> torch.Tensor:
    r"""
    Value of a prefix, estimated from the rewards of its continuations: `V = eta log(1/K sum_j exp(R_j / eta))`.

    It lies between the mean (large `eta`) and the largest (small `eta`) of the rewards, and is the reward itself for
    `K = 1`. Source: arXiv 2601.02256 (VMR); `K = 2` and `eta = 1` there.

    Args:
        rewards (`torch.Tensor` of shape `(N, K)`):
            Rewards of `K` continuations of each of `N` prefixes. Those that are not finite are left out. Computed in
            float32 (float64 stays), without gradients.
        eta (`float`, *optional*, defaults to 1.0):
            Temperature in [1e-30, 1e30], in units of the reward.

    Returns:
        `torch.FloatTensor` of shape `(N,)` in units of the reward; NaN where no continuation has a finite reward.

    Raises:
        ValueError: If `rewards` is not a matrix with values or `eta` is out of its range.
    """
    if rewards.dim() != 2 or rewards.numel() == 0:
        rule = "of shape (N, K) with N, K > 0"
        raise invalid("rewards", rule, tuple(rewards.shape), "Give one row per prefix, one column per continuation.")
    if not 1e-30 <= eta <= 1e30:
        raise invalid("eta", "in [1e-30, 1e30]", eta, "1 is published; more comes closer to the mean.")
    rewards = rewards.detach()
    rewards = rewards if rewards.dtype == torch.float64 else rewards.float()
    finite = rewards.isfinite()
    count = finite.sum(dim=1)
    best = rewards.masked_fill(~finite, -torch.inf).amax(dim=1)
    # Measured from the best, no exponential overflows; less 1, those of a large `eta` keep their digits.
    exponent = (rewards - best.unsqueeze(1)) / eta
    mean_less_one = torch.expm1(exponent).masked_fill(~finite, 0).sum(dim=1) / count
    value = best + eta * torch.log1p(mean_less_one)
    return torch.where(count > 0, value, torch.nan)


@dataclass(frozen=True)
class UpdateSchedule:
    """
    Which part of the ladder each update trains: a number of prefix updates, then one suffix update, and so on.

    It holds no state, so that training resumes where it was. Source: arXiv 2601.02256 (VMR).

    Args:
        prefix_updates (`int`, *optional*, defaults to 3):
            Prefix updates per suffix update, at least 1.

    Raises:
        ValueError: If `prefix_updates` is not a positive integer.
    """

    prefix_updates: int = 3

    def __post_init__(self):
        if not _is_integer(self.prefix_updates) or self.prefix_updates < 1:
            raise invalid("prefix_updates", "an integer of at least 1", self.prefix_updates, "3 is published.")

    def kind(self, index: int) -> str:
        """
        What an update trains.

        Args:
            index (`int`):
                Number of updates before this one, at least 0.

        Returns:
            `str`: `"prefix"` (scales before the middle, by the value) or `"suffix"` (the others, by the reward).

        Raises:
            ValueError: If `index` is not an integer of at least 0.
        """
        if not _is_integer(index) or index < 0:
            raise invalid("index", "an integer of at least 0", index, "Count updates from 0.")
        return "prefix" if index % (self.prefix_updates + 1) < self.prefix_updates else "suffix"


def scale_gate(patch_nums: Sequence[int], middle_scale: int, kind: str) -> torch.Tensor:
    """
    Gate on the loss of each token: 1 for the part of the ladder that an update trains, 0 for the rest.

    Args:
        patch_nums (`Sequence[int]`):
            Sides of the `K` square token maps, from coarse to fine; `L` is the sum of their squares.
        middle_scale (`int`):
            Index of the first scale of the suffix, counted from 0, in [1, K - 1]: both parts have a scale.
        kind (`str`):
            `"prefix"` for the scales before `middle_scale`, `"suffix"` for the others.

    Returns:
        `torch.FloatTensor` of shape `(L,)` of zeros and ones, scale after scale, on the CPU.

    Raises:
        ValueError: If `patch_nums` is not a ladder, `middle_scale` leaves a part empty, or `kind` is not known.
    """
    ladder = check_patch_nums(patch_nums)
    if not _is_integer(middle_scale) or not 1 <= middle_scale < len(ladder):
        rule = f"an index from 1 to {len(ladder) - 1}" if len(ladder) > 1 else "left out for a ladder of one scale"
        raise invalid("middle_scale", rule, middle_scale, f"It divides the scales of sides {ladder} in two.")
    if kind not in UPDATE_KINDS:
        raise invalid("kind", f"one of {', '.join(UPDATE_KINDS)}", repr(kind), "Ask `UpdateSchedule.kind` for it.")
    prefix_length = sum(side * side for side in ladder[:middle_scale])
    in_prefix = torch.arange(sum(side * side for side in ladder)) < prefix_length
    return (in_prefix if kind == "prefix" else ~in_prefix).float()


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


__all__ = ["UPDATE_KINDS", "UpdateSchedule", "middle_value", "scale_gate"]
