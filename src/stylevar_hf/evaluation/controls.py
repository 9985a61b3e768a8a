# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a style transfer model is compared with: doing nothing, copying the style, moving colours alone
([`reinhard_transfer`]).

A measure that one of these wins says little about style transfer. The fourth control, the same model with another
pair's style, needs [`derangement`].
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from ..measures.pictures import Picture


def return_content(content: Picture, style: Picture) -> Picture:
    """The content as it is: perfect structure, no style."""
    return content


def return_style(content: Picture, style: Picture) -> Picture:
    """The style as it is: perfect style, no content."""
    return style


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


__all__ = ["derangement", "return_content", "return_style"]
