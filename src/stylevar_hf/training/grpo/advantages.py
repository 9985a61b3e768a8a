# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Group-relative advantages of GRPO (arXiv 2402.03300)."""

import math
from dataclasses import dataclass

import torch

from ..._common.errors import invalid


ADVANTAGE_SCALES = ("group", "batch", "none")
# Rewards of a group that are no further apart than this, relative to the largest, differ by rounding alone.
_ROUNDING = 4 * torch.finfo(torch.float32).eps


def combine_rewards(parts: torch.Tensor, silent: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """
    The weighted sum of several rewards.

    `None` of one reward says nothing about a rollout, as in TRL: the others count. A rollout for which a reward of
    weight other than 0 is NaN or infinite has none, nor has one about which all of these say nothing.

    Args:
        parts (`torch.FloatTensor` of shape `(N, F)`):
            What `F` rewards gave `N` rollouts.
        silent (`torch.BoolTensor` of shape `(N, F)`):
            Where that is `None`; the value does not count then.
        weights (`torch.FloatTensor` of shape `(F,)`):
            Of the rewards.

    Returns:
        `torch.FloatTensor` of shape `(N,)`: The sums, NaN where there is none.
    """
    ignored = silent | (weights == 0)
    sums = (parts * weights).masked_fill(ignored, 0).sum(dim=1)
    return sums.masked_fill(~sums.isfinite() | ignored.all(dim=1), torch.nan)


@dataclass
class Advantages:
    """
    What [`compute_advantages`] returns. `N` rollouts of `P` prompts, `N / P` of each.

    Args:
        advantages (`torch.FloatTensor` of shape `(N,)`):
            How much better each rollout is than those of the same prompt: in standard deviations, or in units of the
            reward where it is not scaled. 0 for rows that take no part and in groups without variance.
        group_means (`torch.FloatTensor` of shape `(P,)`):
            Mean of the valid rewards of each prompt, NaN where none is valid. In units of the reward.
        group_stds (`torch.FloatTensor` of shape `(P,)`):
            Unbiased standard deviation of the valid rewards of each prompt, before `std_floor` and `epsilon`; 0 with
            fewer than two of them. In units of the reward.
        without_variance (`torch.BoolTensor` of shape `(P,)`):
            Groups that teach nothing: fewer than two valid rewards, or all of them equal.
        valid (`torch.BoolTensor` of shape `(N,)`):
            The rows that took part.
    """

    advantages: torch.Tensor
    group_means: torch.Tensor
    group_stds: torch.Tensor
    without_variance: torch.Tensor
    valid: torch.Tensor


def compute_advantages(
    rewards: torch.Tensor,
    num_generations: int,
    scale: str = "group",
    std_floor: float = 0.0,
    clip: float | None = None,
    valid: torch.Tensor | None = None,
    epsilon: float = 1e-4,
) -> Advantages:
    r"""
    Compare each reward with those of the same prompt: `A = (R - mean_group) / (max(std, std_floor) + epsilon)`.

    Standard deviations are unbiased (divided by `n - 1`), as in TRL. Source: arXiv 2402.03300, section 4.1.2;
    `"batch"` is from arXiv 2508.08221, `"none"` from arXiv 2503.20783.

    Args:
        rewards (`torch.Tensor` of shape `(N,)`):
            Rewards, more is better; the rows of one prompt are contiguous. Computed in float32, without gradients.
        num_generations (`int`):
            Rollouts per prompt, `G`, at least 2; a divisor of `N`.
        scale (`str`, *optional*, defaults to `"group"`):
            `"group"` divides by the standard deviation of the prompt's rewards, `"batch"` by that of all rewards,
            `"none"` by nothing.
        std_floor (`float`, *optional*, defaults to 0.0):
            A smaller standard deviation counts as this one, so that a group whose rewards hardly differ is not blown
            up to the size of the others. At least 0, in units of the reward.
        clip (`float`, *optional*):
            Largest magnitude of an advantage, positive. In units of the advantage.
        valid (`torch.BoolTensor` of shape `(N,)`, *optional*):
            Rows that take part; the others do not enter means or standard deviations and get 0. A row whose reward is
            not finite never takes part.
        epsilon (`float`, *optional*, defaults to 1e-4):
            Added to the standard deviation, at least 0. In units of the reward.

    Returns:
        [`Advantages`] on the device of `rewards`.

    Raises:
        ValueError: If a shape, `scale` or a number is not as described.
    """
    _check_arguments(rewards, num_generations, scale, std_floor, clip, valid, epsilon)
    rewards = rewards.detach().float()
    finite = rewards.isfinite()
    valid = finite if valid is None else finite & valid.to(rewards.device)

    mask = valid.view(-1, num_generations)
    groups = rewards.view(-1, num_generations)
    means, stds, spread = _masked_statistics(groups, mask)
    largest = groups.abs().masked_fill(~mask, 0).amax(dim=1)
    without_variance = (mask.sum(dim=1) < 2) | (spread <= _ROUNDING * largest)

    advantages = groups - means.unsqueeze(1)
    if scale != "none":
        divisor = stds if scale == "group" else _masked_statistics(rewards.view(1, -1), valid.view(1, -1))[1]
        advantages = advantages / (divisor.clamp(min=std_floor) + epsilon).unsqueeze(1)
    if clip is not None:
        advantages = advantages.clamp(-clip, clip)
    advantages = advantages.masked_fill(~mask | without_variance.unsqueeze(1), 0).flatten()
    return Advantages(advantages, means, stds, without_variance, valid)


def _masked_statistics(values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, unbiased standard deviation and spread (largest less smallest) of each row's values under the mask."""
    count = mask.sum(dim=1)
    lowest = values.masked_fill(~mask, math.inf).amin(dim=1)
    highest = values.masked_fill(~mask, -math.inf).amax(dim=1)
    spread = torch.where(count > 0, highest - lowest, 0.0)
    # Measured from the lowest in units of the spread: rewards far from 0 lose no digits, large ones do not overflow.
    unit = torch.where(spread > 0, spread, 1.0).unsqueeze(1)
    relative = ((values - lowest.unsqueeze(1)) / unit).masked_fill(~mask, 0)
    relative_mean = relative.sum(dim=1) / count
    squares = (relative - relative_mean.unsqueeze(1)).masked_fill(~mask, 0).square().sum(dim=1)
    std = (squares / (count - 1).clamp(min=1)).sqrt() * spread
    return lowest + relative_mean * spread, std, spread


def _check_arguments(rewards, num_generations, scale, std_floor, clip, valid, epsilon) -> None:
    """Refuse what `compute_advantages` cannot work with."""
    if rewards.dim() != 1 or rewards.numel() == 0:
        raise invalid("rewards", "of shape (N,) with N > 0", tuple(rewards.shape), "Give one reward per rollout.")
    if isinstance(num_generations, bool) or not isinstance(num_generations, int) or num_generations < 2:
        raise invalid(
            "num_generations", "an integer of at least 2", num_generations, "One rollout has none to compare with."
        )
    if rewards.numel() % num_generations != 0:
        raise invalid(
            "num_generations",
            f"a divisor of the number of rewards ({rewards.numel()})",
            num_generations,
            "Give the rewards of whole groups.",
        )
    if scale not in ADVANTAGE_SCALES:
        raise invalid("scale", f"one of {', '.join(ADVANTAGE_SCALES)}", repr(scale), "Choose one of them.")
    for name, value in (("std_floor", std_floor), ("epsilon", epsilon)):
        if not (math.isfinite(value) and value >= 0):
            raise invalid(name, "a finite number of at least 0", value, "It is in units of the reward.")
    if clip is not None and not clip > 0:
        raise invalid("clip", "None or a positive number", clip, "None leaves advantages as they are.")
    if valid is not None and (valid.dtype != torch.bool or valid.shape != rewards.shape):
        found = (valid.dtype, tuple(valid.shape))
        raise invalid("valid", f"a bool tensor of shape {tuple(rewards.shape)}", found, "Give one bool per reward.")


__all__ = ["ADVANTAGE_SCALES", "Advantages", "combine_rewards", "compute_advantages"]
