# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Means with bootstrap intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


LEVEL = 0.95
MAX_DRAWN = 2**22  # at a time: 2000 resamples of 100 000 groups would take gigabytes


@dataclass(frozen=True)
class Estimate:
    """
    A mean and its 95% bootstrap interval.

    Args:
        mean (`float`): The mean over pairs.
        low (`float`): Lower end of the interval; NaN where there is none.
        high (`float`): Upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    def to_dict(self) -> dict[str, float | None]:
        """For JSON, which knows no NaN."""
        ends = (self.low, self.high) if self.has_interval else (None, None)
        return {"mean": self.mean, "low": ends[0], "high": ends[1]}

    @classmethod
    def from_dict(cls, entry: Mapping[str, float | None]) -> "Estimate":
        low, high = (math.nan if entry[end] is None else entry[end] for end in ("low", "high"))
        return cls(entry["mean"], low, high)

    def format(self, digits: int = 3) -> str:
        """`mean [low, high]`, with so many digits after the point; the mean alone where there is no interval."""
        mean, low, high = (f"{round(value, digits) + 0.0:.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]" if self.has_interval else mean  # + 0.0: no "-0.000"


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """
    Mean with a percentile bootstrap interval (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13).

    Args:
        values (sequence of `float`):
            One per pair.
        groups (sequence, *optional*):
            A name for each value, such as its content: groups are then drawn as wholes, for pairs that share a
            content are not independent.
        num_resamples (`int`, *optional*, defaults to 2000):
            How often to draw.
        seed (`int`, *optional*, defaults to 0):
            Of the draws. With the same seed and groups the same pairs are drawn.

    Returns:
        [`Estimate`]: Of a single group without an interval: nobody knows how another one would come out.

    Raises:
        ValueError: If there are no values, some are not finite, or the groups do not fit.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"`values` must be one or more finite numbers, but got {values}. Check how they were made.")
    if groups is not None and len(groups) != len(values):
        raise ValueError(f"`groups` must hold {len(values)} names, but got {len(groups)}. Give one for each value.")
    names = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if names.max() == 0:
        return Estimate(float(values.mean()), math.nan, math.nan)
    sums, counts = np.bincount(names, values), np.bincount(names)
    rng, parts = np.random.default_rng(seed), []
    step = max(1, MAX_DRAWN // len(sums))
    for start in range(0, num_resamples, step):
        drawn = rng.integers(0, len(sums), (min(step, num_resamples - start), len(sums)))
        parts.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    means = np.concatenate(parts)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


__all__ = ["Estimate", "bootstrap_mean"]
