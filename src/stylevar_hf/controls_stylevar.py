# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a painter may ask of StyleVAR, as numbers for each token: strength by scale and by place, several styles with
weights and masks, and the part of the content that is painted at all.

Legend: `B` content-style pairs, `n` styles of a blend, `K` scales, `L` tokens of all scales.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from .generation_stylevar import StyleVARReference
from .image_processing_stylevar import ImageSource, fitted_size, load_image


# Strength from the coarsest (0) to the finest scale (1) of a ladder, as corners of a line. docs/controls.md shows what
# each does to colours, strokes and layout on the small model.
SCALE_PRESETS: dict[str, tuple[tuple[float, float], ...]] = {
    "palette": ((0.0, 1.0), (0.5, 0.5), (1.0, -1.0)),
    "strokes": ((0.0, -1.0), (0.5, 0.0), (1.0, 1.0)),
    "layout": ((0.0, 0.0), (0.25, -1.0), (0.75, -1.0), (1.0, 0.0)),
}


def check_unit(name: str, value: Any, low: float = 0.0, advice: str = "0 switches it off.") -> float:
    """The value as a float, once it is sure that it is a number in [low, 1]."""
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= 1:
        raise ValueError(f"`{name}` must be a number in [{low:g}, 1], but got {value!r}. {advice}")
    return float(value)


def scale_strengths(spec: str | Sequence[float], num_scales: int) -> list[float]:
    """
    The strength at each scale.

    Args:
        spec (`str` or sequence of `K` floats):
            One of `SCALE_PRESETS`, or a number in [-1, 1] for each scale, coarse to fine.
        num_scales (`int`):
            `K`.

    Raises:
        ValueError: If there is no such preset, or not one number per scale, or one is out of range.
    """
    if isinstance(spec, str):
        if spec not in SCALE_PRESETS:
            raise ValueError(
                f"`strength_per_scale` must be {num_scales} numbers or one of {', '.join(SCALE_PRESETS)}, but got "
                f"{spec!r}. Choose one."
            )
        places, strengths = zip(*SCALE_PRESETS[spec], strict=True)
        return np.interp(np.linspace(0, 1, num_scales), places, strengths).tolist()
    values = spec.tolist() if isinstance(spec, np.ndarray | torch.Tensor) else spec
    if not isinstance(values, Sequence) or len(values) != num_scales:
        found = len(values) if isinstance(values, Sequence) else repr(values)
        raise ValueError(
            f"`strength_per_scale` must hold one number for each of the {num_scales} scales, but got {found}. The "
            "first is that of the coarsest scale."
        )
    return [check_unit("strength_per_scale", value, -1.0, "0 is as trained.") for value in values]


def read_mask(source: ImageSource, name: str) -> torch.Tensor:
    """
    A mask as a `(height, width)` tensor in [0, 1]: white is 1.

    Raises:
        ValueError: If it cannot be read, or has no white at all.
    """
    mask = torch.from_numpy(np.array(load_image(source, name).convert("L"), dtype=np.float32)) / 255
    if not mask.any():
        raise ValueError(f"`{name}` must be white somewhere, but got a black picture. White is where it counts.")
    return mask


def read_strength_map(source: ImageSource, name: str = "strength_map") -> torch.Tensor:
    """
    A map of strengths as a `(height, width)` tensor in [-1, 1].

    Args:
        source (path, URL, `PIL.Image.Image`, `np.ndarray` or `torch.Tensor`):
            A grey picture: black is -1, 128 is 0, white is 1. Or floats of shape `(height, width)` in [-1, 1].
        name (`str`):
            What error messages call it.

    Raises:
        ValueError: If it cannot be read, or leaves [-1, 1].
    """
    values = torch.from_numpy(source) if isinstance(source, np.ndarray) and source.dtype.kind == "f" else source
    if isinstance(values, PIL.Image.Image) and values.mode == "F":
        values = torch.from_numpy(np.array(values))
    if isinstance(values, torch.Tensor) and values.is_floating_point():
        values = values.detach().float().cpu()
        if values.ndim != 2 or not values.numel():
            raise ValueError(
                f"`{name}` must be of shape (height, width), but got {tuple(values.shape)}. It has no channels."
            )
        if not bool((values.abs() <= 1).all()):  # also refuses NaN
            low, high = values.min().item(), values.max().item()
            raise ValueError(f"`{name}` must be in [-1, 1], but got values from {low:.4g} to {high:.4g}. Rescale it.")
        return values
    grey = torch.from_numpy(np.array(load_image(values, name).convert("L"), dtype=np.float32))
    return ((grey - 128) / 127).clamp(-1, 1)


def lay_over(
    maps: torch.Tensor, content_size: tuple[int, int], target: tuple[int, int], resize_mode: str
) -> torch.Tensor:
    """
    Maps that cover a content, brought with it to the size that the model reads.

    Args:
        maps (`torch.FloatTensor` of shape `(..., height, width)`):
            Over the whole content, whatever their size.
        content_size (`tuple[int, int]`):
            The content's height and width.
        target (`tuple[int, int]`):
            Height and width to bring them to.
        resize_mode (`str`):
            As of [`StyleVARImageProcessor`].

    Returns:
        `torch.FloatTensor` of shape `(..., *target)`
    """
    height, width = fitted_size(*content_size, target, resize_mode)
    resized = resize_map(maps, (height, width))
    top, left = (target[0] - height) // 2, (target[1] - width) // 2
    if resize_mode == "center_crop":
        top, left = (height - target[0]) // 2, (width - target[1]) // 2
        return resized[..., top : top + target[0], left : left + target[1]]
    rows = (torch.arange(target[0]) - top).clamp(0, height - 1)
    columns = (torch.arange(target[1]) - left).clamp(0, width - 1)
    return resized[..., rows, :][..., columns]


def resize_map(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Averages `(..., height, width)` maps over the areas of the new pixels: what is black stays black."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return F.adaptive_avg_pool2d(flat, size).reshape(*maps.shape[:-2], *size)


def token_values(maps: torch.Tensor, patch_nums: Sequence[int]) -> torch.Tensor:
    """Square maps `(..., S, S)` to their mean at each token of each scale, `(..., L)`."""
    return torch.cat([resize_map(maps, (side, side)).flatten(-2) for side in patch_nums], dim=-1)


def token_strengths(
    strengths: Sequence[float],
    patch_nums: Sequence[int],
    per_scale: Sequence[float] | None = None,
    maps: torch.Tensor | None = None,
) -> list[float] | torch.Tensor:
    """
    The strength of each token, `s + s_k + m(x)` clipped to [-1, 1]: that of the pair, of the scale, of the place.

    Args:
        strengths (sequence of `B` floats):
            `s`, of each pair.
        patch_nums (sequence of `int`):
            The ladder.
        per_scale (sequence of `K` floats, *optional*):
            `s_k`, from [`scale_strengths`].
        maps (`torch.FloatTensor` of shape `(B, S, S)`, *optional*):
            `m`, as the model sees the content.

    Returns:
        The strengths of the pairs as they are if there is nothing to add; else a `torch.FloatTensor` of shape
        `(B, L)`.
    """
    if per_scale is None and maps is None:
        return list(strengths)
    total = torch.tensor(strengths, dtype=torch.float32).unsqueeze(1)
    if per_scale is not None:
        sides = torch.tensor([side * side for side in patch_nums])
        total = total + torch.tensor(per_scale, dtype=torch.float32).repeat_interleave(sides)
    if maps is not None:
        total = total + token_values(maps, patch_nums)
    return total.clamp(-1, 1)


def token_weights(masks: torch.Tensor, patch_nums: Sequence[int]) -> torch.Tensor:
    """
    The share of each style at each token, `w_i m_i / sum_j w_j m_j`; where no mask is white, as in the whole picture.

    Args:
        masks (`torch.FloatTensor` of shape `(..., n, S, S)`):
            Mask of each style times its weight.
        patch_nums (sequence of `int`):
            The ladder.

    Returns:
        `torch.FloatTensor` of shape `(..., n, L)`, summing to 1 over the styles.
    """
    values = token_values(masks, patch_nums)
    total = values.sum(dim=-2, keepdim=True)
    overall = masks.mean(dim=(-2, -1)).unsqueeze(-1)
    overall = overall / overall.sum(dim=-2, keepdim=True).clamp(min=1e-12)
    return torch.where(total > 1e-6, values / total.clamp(min=1e-6), overall.expand_as(values))


def check_weights(weights: Sequence[float] | None, num_styles: int) -> list[float]:
    """Weights of the styles that sum to 1; equal ones if none are given."""
    if weights is None:
        return [1 / num_styles] * num_styles
    weights = weights.tolist() if isinstance(weights, np.ndarray | torch.Tensor) else weights
    if not isinstance(weights, Sequence) or isinstance(weights, str) or len(weights) != num_styles:
        found = len(weights) if isinstance(weights, Sequence) else repr(weights)
        raise ValueError(f"`weights` must hold one number per style ({num_styles}), but got {found}. Match them.")
    if not all(isinstance(weight, Real) and 0 <= weight < float("inf") for weight in weights):
        raise ValueError(f"`weights` must be non-negative numbers, but got {list(weights)}. 0 leaves a style out.")
    if not sum(weights) > 0:
        raise ValueError(f"`weights` must not all be 0, but got {list(weights)}. Raise that of one style.")
    return [weight / sum(weights) for weight in weights]


def blend_references(
    references: Sequence[StyleVARReference],
    weights: Sequence[float] | None = None,
    masks: Sequence[torch.Tensor] | None = None,
    patch_nums: Sequence[int] = (),
) -> StyleVARReference:
    """
    One reference that stands for several styles; see [`StyleVARReference`] for what the model does with it.

    Args:
        references (sequence of `n` [`StyleVARReference`] of one row each):
            The styles, each alone.
        weights (sequence of `n` floats, *optional*):
            Not negative; they are divided by their sum. Equal by default. A style of weight 0 costs nothing.
        masks (sequence of `n` `torch.FloatTensor` of shape `(height, width)`, *optional*):
            Where each style counts, in [0, 1], over the content.
        patch_nums (sequence of `int`):
            The ladder of the model.

    Returns:
        [`StyleVARReference`] of one row; that of the style itself if only one is left.

    Raises:
        ValueError: If the numbers of weights or masks do not fit, or a weight is negative, or all are 0.
    """
    weights = check_weights(weights, len(references))
    if masks is not None and len(masks) != len(references):
        raise ValueError(
            f"`masks` must hold one picture per style ({len(references)}), but got {len(masks)}. Match them."
        )
    kept = [index for index, weight in enumerate(weights) if weight > 0]
    if len(kept) == 1:
        return references[kept[0]]
    stacked = StyleVARReference(
        **{
            name: torch.stack([references[i][name] for i in kept], dim=1)
            for name in ("embedding", "features", "codes")
        }
    )
    device = stacked.embedding.device
    shares = torch.tensor([weights[i] for i in kept], device=device)[:, None]
    if masks is None:
        num_tokens = sum(side * side for side in patch_nums)
        stacked.weights = shares.expand(-1, num_tokens).contiguous()[None]
        return stacked
    size = max((masks[i].shape for i in kept), key=lambda shape: shape[0] * shape[1])
    weighted = torch.stack([resize_map(masks[i].to(device), size) for i in kept]) * shares[..., None]
    stacked.masks = weighted[None]
    stacked.weights = token_weights(stacked.masks, patch_nums)
    return stacked


def painted_tokens(masks: torch.Tensor, patch_nums: Sequence[int]) -> torch.BoolTensor:
    """Masks `(..., S, S)`, white where to paint, to the tokens that any white touches, `(..., L)`."""
    return token_values(masks, patch_nums) > 0


__all__ = [
    "SCALE_PRESETS",
    "blend_references",
    "check_unit",
    "check_weights",
    "lay_over",
    "painted_tokens",
    "read_mask",
    "read_strength_map",
    "resize_map",
    "scale_strengths",
    "token_strengths",
    "token_values",
    "token_weights",
]
