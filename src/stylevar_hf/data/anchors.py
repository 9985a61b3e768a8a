# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

"""Triplets whose answer is known: what a model should paint when there is nothing to transfer, or all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._common.errors import invalid


# Where a row keeps an image: the picture itself and its cached codes.
_PLACES = {
    "content": ("content", "content_codes"),
    "style": ("style", "style_codes"),
    "target": ("target", "labels"),
}
# Which image becomes which, and at which strength.
_KINDS = (
    ({"style": "content", "target": "content"}, 0.0),
    ({"target": "content"}, -1.0),
    ({"target": "style"}, 1.0),
)


@dataclass(frozen=True)
class StrengthAnchors:
    """
    Ties down `style_strength`, which the published training leaves free: some rows are replaced by one of

    | style | target | `style_strength` | teaches |
    |---|---|---|---|
    | the content | the content | 0 | a picture in its own style is itself |
    | as it is | the content | -1 | all content |
    | as it is | the style | 1 | all style |

    each as often as the others. Strengths in between are learned from none of them; the blend of both queries
    (arXiv 2604.21052) connects them. Not part of the paper.

    Args:
        rate (`float`):
            Share of rows that are replaced, in [0, 1].
        seed (`int`, *optional*, defaults to 0):
            Which rows, and how; anew in each epoch.

    Raises:
        ValueError: If an argument is outside its range.
    """

    rate: float
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise invalid("rate", "in [0, 1]", self.rate, "0.1 is a good start; 0 switches it off.")
        if self.seed < 0:
            raise invalid("seed", "non-negative", self.seed, "Choose another.")

    def generator(self, epoch: int, index: int) -> np.random.Generator:
        """The generator of one row in one epoch; another than that of the row's augmentation."""
        return np.random.default_rng([self.seed, epoch, index, 1])

    def __call__(self, row: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        """
        Args:
            row (`Mapping[str, Any]`):
                A triplet: images, cached codes or both. Other keys are handed on.
            generator (`np.random.Generator`):
                Where the random numbers come from; see [`StrengthAnchors.generator`].

        Returns:
            `dict[str, Any]`: A new row with `style_strength`; the given one is not changed.

        Raises:
            ValueError: If the row has the codes of one image and lacks those of another that is to take its place.
        """
        chance, kind = generator.uniform(size=2)
        if chance >= self.rate:
            return {**row, "style_strength": 0.0}
        exchange, strength = _KINDS[int(kind * len(_KINDS))]
        changed = {**row, "style_strength": strength}
        for role, source in exchange.items():
            for place, other in zip(_PLACES[role], _PLACES[source], strict=True):
                if row.get(place) is None:
                    continue
                if row.get(other) is None:
                    hint = "Cache the codes of all images of a triplet, or of none."
                    raise invalid("row", f"with {other} beside {place}", "a row without it", hint)
                changed[place] = row[other]
        return changed


__all__ = ["StrengthAnchors"]
