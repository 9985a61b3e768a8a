# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's pictures and masks, and the pipeline's. Nothing here needs ComfyUI."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch


def to_pictures(images: torch.Tensor) -> list[PIL.Image.Image]:
    """
    Args:
        images (`torch.FloatTensor` of shape `(B, H, W, 3)`): ComfyUI's IMAGE, in [0, 1].

    Returns:
        `list[PIL.Image.Image]`: 8-bit RGB; bit for bit the file that ComfyUI read.
    """
    return [PIL.Image.fromarray(values) for values in _bytes(images[..., :3])]


def first_picture(images: torch.Tensor) -> PIL.Image.Image:
    """The first picture of ComfyUI's IMAGE."""
    return to_pictures(images[:1])[0]


def to_style(style: Any) -> Any:
    """ComfyUI's IMAGE as pictures; what a node of this pack has blended stays as it is."""
    return to_pictures(style) if isinstance(style, torch.Tensor) else style


def to_masks(mask: torch.Tensor | None, number: int) -> list[PIL.Image.Image] | None:
    """
    Args:
        mask (`torch.FloatTensor` of shape `(B, H, W)` or `(H, W)`, *optional*): ComfyUI's MASK, in [0, 1].
        number (`int`): How many are needed; a single one is repeated.

    Returns:
        `list[PIL.Image.Image]`, 8-bit grey, or `None`.
    """
    if mask is None:
        return None
    masks = [PIL.Image.fromarray(values) for values in _bytes(mask if mask.ndim == 3 else mask[None])]
    return masks * number if len(masks) == 1 else masks


def to_images(pictures: Sequence[PIL.Image.Image]) -> torch.Tensor:
    """
    Args:
        pictures (`Sequence[PIL.Image.Image]`): 8-bit RGB. Those of another size than the first are brought to it,
            since a batch has one size.

    Returns:
        `torch.FloatTensor` of shape `(B, H, W, 3)`: ComfyUI's IMAGE, in [0, 1].
    """
    size = pictures[0].size
    pictures = [one if one.size == size else one.resize(size, PIL.Image.Resampling.LANCZOS) for one in pictures]
    return torch.from_numpy(np.stack([np.asarray(one.convert("RGB")) for one in pictures])).float() / 255


def scale_strengths(text: str) -> str | list[float] | None:
    """What the pipeline takes as `strength_per_scale`: a name, numbers, or nothing."""
    text = text.strip()
    if not text or text.isalpha():
        return text or None
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(
            f"`strength_per_scale` must be palette, strokes, layout, or numbers, but got {text!r}. Correct it."
        ) from error


def _bytes(values: torch.Tensor) -> np.ndarray:
    return (values.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()


__all__ = ["first_picture", "scale_strengths", "to_images", "to_masks", "to_pictures", "to_style"]
