# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Ways to compute attention, by the name that `attn_implementation` gives, in the calling form of transformers.

Legend: `N` images, `H` heads, `T` queries, `S` keys, `d` width of a head.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

# Scores of half precision that lie in a processor's cache while they are used, about 2 MB.
_CACHED_SCORES = 2**20


def get_attention(
    implementation: str, query: torch.Tensor, attention_mask: "torch.Tensor | BlockMask | None"
) -> Callable:
    """
    The function that answers these queries.

    Args:
        implementation (`str`):
            `"eager"`, `"sdpa"`, `"flex_attention"` or another name that transformers knows. For `"sdpa"` a CPU has a
            faster way of its own in bfloat16; see [`half_attention_forward`].
        query (`torch.Tensor` of shape `(N, H, T, d)`):
            The queries.
        attention_mask (`torch.Tensor` or `BlockMask`, *optional*):
            What will be added to the scores.
    """
    is_half = query.dtype == torch.bfloat16 or _autocasts_to_bfloat16(query)
    if implementation == "sdpa" and query.device.type == "cpu" and is_half and attention_mask is None:
        return half_attention_forward
    if implementation == "flex_attention" and isinstance(attention_mask, torch.Tensor):
        implementation = "sdpa"  # a tensor added to the scores is what FlexAttention has no fast way for
    return ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention_forward)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out: queries `(N, H, T, d)` to answers `(N, T, H, d)` and weights `(N, H, T, S)`."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def half_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """
    Attention in bfloat16 on a CPU: queries `(N, H, T, d)` to answers `(N, T, H, d)`, with no mask and no dropout.

    torch's own multiplies in float32 there. Here the processor's bfloat16 instructions do it, on so many scores at a
    time as its cache holds: half the time of torch's, to the same precision.
    """
    query, key, value = (tensor.to(torch.bfloat16) for tensor in (query * scaling, key, value))
    return _HalfAttention.apply(query, key, value).transpose(1, 2), None


def _autocasts_to_bfloat16(tensor: torch.Tensor) -> bool:
    device = tensor.device.type
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16


class _HalfAttention(torch.autograd.Function):
    """`softmax(Q K^T) V`, whose weights are computed once more in the backward pass rather than kept."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        images, heads, length, width = query.shape
        answers = query.new_empty(images, length, heads, width).transpose(1, 2)
        for keys, rows in _blocks(query, key):
            queries = (*keys, rows)
            answers[queries] = torch.matmul(_weights(query[queries], key[keys]), value[keys])
        return answers

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value = ctx.saved_tensors
        grad = grad.to(query.dtype)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (key, value))
        for keys, rows in _blocks(query, key):
            queries = (*keys, rows)
            weights = _weights(query[queries], key[keys])
            grad_value[keys] += torch.matmul(weights.mT, grad[queries])
            grad_weights = torch.matmul(grad[queries], value[keys].mT)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_query[queries] = torch.matmul(grad_scores, key[keys])
            grad_key[keys] += torch.matmul(grad_scores.mT, query[queries])
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype)


def _weights(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return torch.matmul(query, key.mT).softmax(dim=-1)


def _blocks(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[tuple, slice]]:
    """Which images and heads, and which of their queries, to take at a time: many of few tokens, or one of many."""
    images, heads, length, _ = query.shape
    keys = key.shape[2]
    if length * keys * heads <= _CACHED_SCORES:
        step = _CACHED_SCORES // (length * keys * heads)
        yield from (((slice(image, image + step), slice(None)), slice(None)) for image in range(0, images, step))
        return
    step = max(1, _CACHED_SCORES // keys)
    for image in range(images):
        for head in range(heads):
            yield from (((image, head), slice(row, row + step)) for row in range(0, length, step))


def block_causal_bias(
    query_scales: torch.LongTensor, key_scales: torch.LongTensor, dtype: torch.dtype
) -> torch.Tensor:
    """A token sees its own scale and the coarser ones: `(1, 1, T, S)`, 0 or -inf, to add to scores."""
    hidden = query_scales[:, None] < key_scales
    return torch.zeros_like(hidden, dtype=dtype).masked_fill(hidden, -torch.inf)[None, None]


def block_causal_flex_mask(query_scales: torch.LongTensor, key_scales: torch.LongTensor) -> "BlockMask":
    """The same for FlexAttention, which skips the blocks of keys that no query of a block sees."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return query_scales[query] >= key_scales[key]

    shape = query_scales.shape[0], key_scales.shape[0]
    return create_block_mask(sees, None, None, *shape, device=key_scales.device)


__all__ = [
    "block_causal_bias",
    "block_causal_flex_mask",
    "eager_attention_forward",
    "get_attention",
    "half_attention_forward",
]
