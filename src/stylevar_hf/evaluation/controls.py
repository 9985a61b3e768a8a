# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a style transfer model is compared with: doing nothing, copying the style, and moving colours alone.

A measure that one of these wins says little about style transfer. The fourth control, the same model with another
pair's style, needs [`derangement`].
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from ..measures.images import Picture, lab_to_array, to_float_array, to_lab


def return_content(content: Picture, style: Picture) -> Picture:
    """The content as it is: perfect structure, no style."""
    return content


def return_style(content: Picture, style: Picture) -> Picture:
    """The style as it is: perfect style, no content."""
    return style


def reinhard_transfer(content: Picture, style: Picture) -> np.ndarray:
    r"""
    The content with the style's colour statistics (Reinhard et al. 2001, "Color Transfer between Images"): in each
    channel

    $$ c' = (c - \mu_c) \, \sigma_s / \sigma_c + \mu_s. $$

    In CIELAB instead of that paper's l-alpha-beta, which serves the same purpose: channels that are about
    uncorrelated. A channel in which the content is flat gets the style's mean.

    Args:
        content, style (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures, uint8 in [0, 255] or float in [0, 1]; their sizes may differ.

    Returns:
        `np.ndarray` of the shape of the content, uint8; colours that sRGB lacks are clipped.

    Raises:
        ValueError: If a picture is not one.
    """
    content, style = to_lab(to_float_array(content, "content")), to_lab(to_float_array(style, "style"))
    content_mean, content_spread = content.mean((0, 1)), content.std((0, 1))
    style_mean, style_spread = style.mean((0, 1)), style.std((0, 1))
    flat = content_spread < 1e-3  # units of Delta E; what is below is rounding
    gain = np.where(flat, 0, style_spread / np.where(flat, 1, content_spread))
    return lab_to_array((content - content_mean) * gain + style_mean)


def derangement(count: int, seed: int = 0, keys: Sequence[str] | None = None) -> np.ndarray:
    """
    A random permutation that leaves nothing in its place.

    Args:
        count (`int`):
            How many there are; at least 2.
        seed (`int`, *optional*, defaults to 0):
            Decides which permutation.
        keys (`Sequence[str]`, *optional*):
            A name for each, such as its style's: nothing is then sent to one of the same name.

    Returns:
        `np.ndarray` of shape `(count,)`, int64: entry `i` is what takes the place of `i`.

    Raises:
        ValueError: If there is no such permutation: fewer than two, or one name more often than all others together.
    """
    if not isinstance(count, Integral) or count < 2:
        raise ValueError(f"`count` must be an integer of at least 2, but got {count!r}. Swapping needs two pairs.")
    if keys is not None and len(keys) != count:
        raise ValueError(f"`keys` must hold {count} names, but got {len(keys)}. Give one for each.")
    order = np.random.default_rng(seed).permutation(count)
    names = np.arange(count) if keys is None else np.unique(np.asarray(keys, dtype=str), return_inverse=True)[1]
    names = np.random.default_rng(seed).permutation(names.max() + 1)[names]
    largest = int(np.bincount(names).max())
    if 2 * largest > count:
        raise ValueError(
            f"`keys` must hold no name more than {count // 2} times of {count}, but got one {largest} times. "
            "Use a more varied set."
        )
    # In rows sorted by name, one step of the length of the longest run leaves every run.
    order = order[np.argsort(names[order], kind="stable")]
    result = np.empty(count, dtype=np.int64)
    result[order] = np.roll(order, -largest)
    return result


__all__ = ["derangement", "reinhard_transfer", "return_content", "return_style"]
