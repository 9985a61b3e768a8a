# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights of tokens in the GRPO loss: per-action normalization weighting (PANW) and its two plain alternatives."""

import math
from collections.abc import Sequence

import torch

from ..._common.errors import invalid


TOKEN_WEIGHTINGS = ("panw", "none", "equal-per-scale")


def panw_weights(patch_nums: Sequence[int], gamma: float = 0.7) -> torch.Tensor:
    r"""
    Weight of each token in the loss, falling with the number of tokens that are drawn at once at its scale.

    All `h_k w_k` tokens of scale `k` are one action. Each of them weighs `(h_k w_k)^-gamma / Z`, with `Z` such that
    the weights of all `L` tokens sum to 1. At gamma 0 every token weighs the same (so the finest scale outweighs the
    others), at gamma 1 every scale does. Source: arXiv 2601.02256 (PANW); gamma 0.7 is that of arXiv 2604.21052.

    Args:
        patch_nums (`Sequence[int]`):
            Sides of the square token maps, from coarse to fine; `L` is the sum of their squares.
        gamma (`float`, *optional*, defaults to 0.7):
            Exponent, at least 0. No unit.

    Returns:
        `torch.FloatTensor` of shape `(L,)`: positive weights that sum to 1, scale after scale, on the CPU.

    Raises:
        ValueError: If `patch_nums` is not a ladder or `gamma` is negative or not finite.
    """
    ladder = check_patch_nums(patch_nums)
    if not (math.isfinite(gamma) and gamma >= 0):
        raise invalid("gamma", "a finite number of at least 0", gamma, "0.7 is published, 1 weighs all scales alike.")
    # Relative to the first scale, so that no exponent can make all weights vanish; in double precision, so that only
    # the result is rounded.
    tokens = torch.tensor([side * side for side in ladder])
    per_scale = (tokens.double() / tokens[0]) ** -gamma
    return (per_scale / (per_scale * tokens).sum()).repeat_interleave(tokens).float()


def token_weights(patch_nums: Sequence[int], weighting: str = "panw", gamma: float = 0.7) -> torch.Tensor:
    """
    Weight of each token in the loss under one of `TOKEN_WEIGHTINGS`.

    Args:
        patch_nums (`Sequence[int]`):
            Sides of the square token maps, from coarse to fine; `L` is the sum of their squares.
        weighting (`str`, *optional*, defaults to `"panw"`):
            `"panw"`: [`panw_weights`] with `gamma`; `"none"`: `1 / L` for every token; `"equal-per-scale"`: the same
            share for every scale, divided evenly among its tokens.
        gamma (`float`, *optional*, defaults to 0.7):
            Exponent of `"panw"`, at least 0. The others do not use it.

    Returns:
        `torch.FloatTensor` of shape `(L,)`: positive weights that sum to 1, scale after scale, on the CPU.

    Raises:
        ValueError: If `weighting` is not known, `patch_nums` is not a ladder, or `gamma` is negative or not finite.
    """
    exponents = dict(zip(TOKEN_WEIGHTINGS, (gamma, 0.0, 1.0), strict=True))
    if weighting not in exponents:
        raise invalid("weighting", f"one of {', '.join(TOKEN_WEIGHTINGS)}", repr(weighting), "Choose one of them.")
    return panw_weights(patch_nums, exponents[weighting])


def check_patch_nums(patch_nums: Sequence[int]) -> tuple[int, ...]:
    """
    The ladder as a tuple.

    Args:
        patch_nums (`Sequence[int]`):
            Sides of the square token maps.

    Returns:
        `tuple[int, ...]`: the same sides.

    Raises:
        ValueError: If the sides are not positive integers that strictly increase, or if there are none.
    """
    try:
        ladder = tuple(patch_nums)
    except TypeError:
        ladder = ()
    integers = all(isinstance(side, int) and not isinstance(side, bool) for side in ladder)
    rising = integers and all(a < b for a, b in zip(ladder, ladder[1:], strict=False))
    if not (ladder and rising and ladder[0] > 0):
        raise invalid(
            "patch_nums",
            "a strictly increasing ladder of positive sides",
            patch_nums,
            "List the sides of the token maps from coarse to fine, such as (1, 2, 3, 4).",
        )
    return ladder


__all__ = ["TOKEN_WEIGHTINGS", "check_patch_nums", "panw_weights", "token_weights"]
