# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The terms of the GRPO loss per token, and how they are averaged."""

import math
from typing import NamedTuple

import torch

from ..._common.errors import invalid


# Differences of log-probabilities are cut off here, far above anything that training survives: e^80 still fits into
# float32. Without the cut an infinite value of a token that is clipped or left out would turn its gradient, 0, to NaN.
MAX_LOG_RATIO = 80.0


class ClippedSurrogate(NamedTuple):
    """
    What [`clipped_surrogate`] returns, each of shape `(N, L)`.

    Args:
        loss (`torch.FloatTensor`):
            Loss of each token (to be minimised), differentiable.
        ratio (`torch.FloatTensor`):
            `pi_new / pi_old` of each token, unclipped and detached; at least 0, exactly 1 where both are equal.
        clipped (`torch.BoolTensor`):
            Tokens whose loss is flat because of the clipping.
    """

    loss: torch.Tensor
    ratio: torch.Tensor
    clipped: torch.Tensor


def k3_kl(log_probs: torch.Tensor, reference_log_probs: torch.Tensor) -> torch.Tensor:
    r"""
    Estimate of KL(policy || reference) from the tokens drawn by the policy: `exp(d) - d - 1`, `d = log ref - log new`.

    Unbiased, never negative (but for rounding), exactly 0 where both are equal. `d` counts as at most 80, beyond which
    the gradient is 0. Source: the estimator k3 of John Schulman, http://joschu.net/blog/kl-approx.html; arXiv
    2402.03300, equation 4.

    Args:
        log_probs (`torch.Tensor` of any shape):
            Log-probabilities of the drawn tokens under the policy, at most 0, in nats. Gradients flow into them alone.
        reference_log_probs (`torch.Tensor` of the same shape):
            The same under the reference policy.

    Returns:
        `torch.FloatTensor` of the same shape, in nats: float32, or float64 if an input is.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_same_shape("reference_log_probs", reference_log_probs, log_probs)
    difference = _upcast(reference_log_probs.detach()) - _upcast(log_probs)
    difference = difference.clamp(max=MAX_LOG_RATIO)
    # Of two nearby policies, exp(d) - 1 in floating point has lost the digits that this estimate consists of.
    return torch.expm1(difference) - difference


def clipped_surrogate(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor | None,
    advantages: torch.Tensor,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    delta: float | None = None,
) -> ClippedSurrogate:
    r"""
    Loss of each token: `-min(r A, clip(r, 1 - epsilon_low, 1 + epsilon_high) A)` with `r = pi_new / pi_old`.

    With `delta` the first `r` is `min(r, delta)`, which bounds the loss of tokens with a negative advantage too.
    Source: arXiv 1707.06347, equation 7; arXiv 2402.03300, equation 3; two epsilons: arXiv 2503.14476; `delta`: arXiv
    2505.07291.

    Args:
        log_probs (`torch.Tensor` of shape `(N, L)`):
            Log-probabilities of the drawn tokens under the policy, at most 0, in nats. Gradients flow into them alone.
        old_log_probs (`torch.Tensor` of shape `(N, L)`, *optional*):
            The same under the policy that drew the tokens. `None` if that is the policy as it is, so that the ratio
            is exactly 1.
        advantages (`torch.Tensor` of shape `(N,)`, `(N, 1)` or `(N, L)`):
            Advantage of each rollout or token.
        epsilon_low (`float`, *optional*, defaults to 0.2):
            How far the ratio of a token with a negative advantage falls below 1 before its loss is flat, in [0, 1].
        epsilon_high (`float`, *optional*, defaults to 0.2):
            How far that of a token with a positive advantage rises above 1, at least 0.
        delta (`float`, *optional*):
            Ratio from which on the loss of a token with a negative advantage is flat, above `1 + epsilon_high`. `None`
            sets no bound.

    Returns:
        [`ClippedSurrogate`]: float32, or float64 if `log_probs` is. The log of the ratio counts as at most 80.

    Raises:
        ValueError: If shapes do not agree or an epsilon or `delta` is out of its range.
    """
    _check_surrogate(log_probs, old_log_probs, advantages, epsilon_low, epsilon_high, delta)
    log_probs = _upcast(log_probs)
    old_log_probs = log_probs.detach() if old_log_probs is None else _upcast(old_log_probs.detach())
    advantages = advantages.detach().to(log_probs.dtype).view(len(log_probs), -1)

    ratio = (log_probs - old_log_probs).clamp(max=MAX_LOG_RATIO).exp()
    low, high = 1 - epsilon_low, 1 + epsilon_high
    bounded = ratio if delta is None else ratio.clamp(max=delta)
    loss = -torch.minimum(bounded * advantages, ratio.clamp(low, high) * advantages)

    ratio = ratio.detach()
    clipped = ((advantages > 0) & (ratio > high)) | ((advantages < 0) & (ratio < low))
    if delta is not None:
        clipped = clipped | ((advantages < 0) & (ratio > delta))
    return ClippedSurrogate(loss, ratio, clipped)


def weighted_token_mean(values: torch.Tensor, weights: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
    r"""
    Mean over rows of the weighted sum over tokens: `1/N sum_n keep_n sum_l weights_l values_nl`.

    A row that is left out counts as 0 and stays in `N`, so that leaving it out changes nothing for the others. Weights
    are used as they are: tokens that a mask gates off are not made up for by the others.

    Args:
        values (`torch.Tensor` of shape `(N, L)`):
            Values of each token.
        weights (`torch.Tensor` of shape `(L,)` or `(N, L)`):
            Weights of the tokens; those of [`token_weights`] sum to 1.
        keep (`torch.BoolTensor` of shape `(N,)`, *optional*):
            Rows that count. By default all do.

    Returns:
        `torch.FloatTensor` with one element, differentiable, in units of `values`.

    Raises:
        ValueError: If the shapes do not agree or `keep` is not of bools.
    """
    num_rows, num_tokens = _check_matrix("values", values)
    if tuple(weights.shape) not in ((num_tokens,), (num_rows, num_tokens)):
        rule = f"of shape ({num_tokens},) or ({num_rows}, {num_tokens})"
        raise invalid("weights", rule, tuple(weights.shape), "Give one weight per token.")
    _check_keep(keep, num_rows)
    rows = (_upcast(values) * _upcast(weights).to(values.device)).sum(dim=1)
    if keep is not None:
        # Not a product: what is left out may be infinite.
        rows = torch.where(keep.to(rows.device), rows, 0.0)
    return rows.sum() / num_rows


def _upcast(values: torch.Tensor) -> torch.Tensor:
    """Float32, whatever the precision of the model, but float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def _check_surrogate(log_probs, old_log_probs, advantages, epsilon_low, epsilon_high, delta) -> None:
    """Refuse what `clipped_surrogate` cannot work with."""
    num_rows, num_tokens = _check_matrix("log_probs", log_probs)
    if old_log_probs is not None:
        _check_same_shape("old_log_probs", old_log_probs, log_probs)
    if tuple(advantages.shape) not in ((num_rows,), (num_rows, 1), (num_rows, num_tokens)):
        rule = f"of shape ({num_rows},), ({num_rows}, 1) or ({num_rows}, {num_tokens})"
        raise invalid("advantages", rule, tuple(advantages.shape), "Give one advantage per rollout or per token.")
    check_clipping(epsilon_low, epsilon_high, delta)


def check_clipping(epsilon_low: float, epsilon_high: float, delta: float | None) -> None:
    """Refuse bounds of the ratio that make no sense."""
    if not 0 <= epsilon_low <= 1:
        raise invalid("epsilon_low", "in [0, 1]", epsilon_low, "0.2 is published.")
    if not (math.isfinite(epsilon_high) and epsilon_high >= 0):
        raise invalid("epsilon_high", "a finite number of at least 0", epsilon_high, "0.2 is published.")
    if delta is not None and not (math.isfinite(delta) and delta > 1 + epsilon_high):
        rule = f"None or above 1 + epsilon_high ({1 + epsilon_high})"
        raise invalid("delta", rule, delta, "A smaller one would undo the clipping.")


def _check_matrix(name: str, values: torch.Tensor) -> tuple[int, int]:
    if values.dim() != 2 or values.numel() == 0:
        raise invalid(name, "of shape (N, L) with N, L > 0", tuple(values.shape), "Give one row per rollout.")
    return values.shape[0], values.shape[1]


def _check_keep(keep: torch.Tensor | None, num_rows: int) -> None:
    if keep is not None and (keep.dtype != torch.bool or tuple(keep.shape) != (num_rows,)):
        found = (keep.dtype, tuple(keep.shape))
        raise invalid("keep", f"None or a bool tensor of shape ({num_rows},)", found, "Give one bool per row.")


def _check_same_shape(name: str, values: torch.Tensor, log_probs: torch.Tensor) -> None:
    if values.shape != log_probs.shape:
        rule = f"of the shape {tuple(log_probs.shape)} of `log_probs`"
        raise invalid(name, rule, tuple(values.shape), "Score the same tokens with both policies.")


__all__ = [
    "MAX_LOG_RATIO",
    "ClippedSurrogate",
    "check_clipping",
    "clipped_surrogate",
    "k3_kl",
    "weighted_token_mean",
]
