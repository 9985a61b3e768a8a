# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Several datasets as one: one after the other, mixed with weights, or mixed with weights that change by the epoch."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from transformers import TrainerCallback

from .._common.errors import invalid
from .columns import IMAGE_COLUMNS
from .pictures import Picture, with_pictures
from .stored_rows import stored_rows


STOPPING_STRATEGIES = ("first_exhausted", "all_exhausted", "all_exhausted_without_replacement")


def concatenate(
    parts: "Sequence[datasets.Dataset | datasets.IterableDataset]",
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    One dataset after the other.

    Args:
        parts (`Sequence[datasets.Dataset | datasets.IterableDataset]`):
            If one of them is a stream, the result is one.

    Returns:
        With the columns that all parts have.

    Raises:
        ValueError: If there are no parts, or if only some of them have a target.
    """
    return datasets.concatenate_datasets(_aligned(parts))


def mix_datasets(
    parts: "Sequence[datasets.Dataset | datasets.IterableDataset]",
    weights: Sequence[float] | None = None,
    seed: int = 0,
    stopping: str = "first_exhausted",
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Draws each row from one of several datasets, each in its own order.

    Args:
        parts (`Sequence[datasets.Dataset | datasets.IterableDataset]`):
            If one of them is a stream, the result is one.
        weights (`Sequence[float]`, *optional*):
            How often each part is drawn from, relative to the others; not negative. By default the parts take turns.
        seed (`int`, *optional*, defaults to 0):
            Of the draws.
        stopping (`str`, *optional*, defaults to `"first_exhausted"`):
            `"first_exhausted"`: until a part runs out. `"all_exhausted"`: until every part has been used up once;
            shorter ones start again. `"all_exhausted_without_replacement"`: until every row has come once.

    Returns:
        With the columns that all parts have.

    Raises:
        ValueError: If there are no parts, only some of them have a target, or `weights` or `stopping` do not fit.
    """
    if stopping not in STOPPING_STRATEGIES:
        raise invalid("stopping", f"one of {STOPPING_STRATEGIES}", repr(stopping), "Choose one.")
    parts = _aligned(parts)
    if weights is not None:
        weights = _probabilities(weights, len(parts))
        # A part that is never drawn from would also never be exhausted.
        parts = [part for part, weight in zip(parts, weights, strict=True) if weight > 0]
        weights = [weight for weight in weights if weight > 0]
    return datasets.interleave_datasets(parts, probabilities=weights, seed=seed, stopping_strategy=stopping)


def with_index(
    dataset: "datasets.Dataset | datasets.IterableDataset",
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Adds the column `index`, the row's number, from which the augmentation of a row is drawn. Add it last, after
    mixing, so that a row that occurs twice is changed in two ways.

    The workers and processes that share a stream each count from 0: to the number of a row is added a hash of its
    `content_id` and `style_id`, so that their rows are not changed alike.
    """
    if isinstance(dataset, datasets.IterableDataset):
        features = dataset.features
        if features is not None:
            features = datasets.Features({**features, "index": datasets.Value("int64")})
        return dataset.map(_number_in_stream, with_indices=True, features=features)
    if "index" in dataset.column_names:
        dataset = dataset.remove_columns("index")
    stored, positions = stored_rows(dataset)
    if positions is None:
        return stored.add_column("index", np.arange(len(stored)))
    numbers = np.full(len(stored), -1)
    numbers[positions] = np.arange(len(positions))
    return stored.add_column("index", numbers).select(positions)


def _number_in_stream(row: Mapping[str, Any], index: int) -> dict[str, int]:
    ids = [str(row[column]) for column in ("content_id", "style_id") if row.get(column) is not None]
    digest = hashlib.sha256("\0".join(ids).encode()).digest() if ids else bytes(7)
    return {"index": int.from_bytes(digest[:7], "big") + index}


class EpochCallback(TrainerCallback):
    """
    Tells datasets and collators which epoch begins, also after a resumption.

    Of a stream, each pass is an epoch. `Trainer` does not keep how many passes a stream had made: a resumed run counts
    them from 0, unless the trainer is a [`~stylevar_hf.training.common.stream_passes.StreamPassesMixin`].

    `Trainer` itself does not: accelerate hands the epoch to the sampler, and to the dataset only where the sampler
    takes none; to a collator never.

    Args:
        *targets:
            Objects with `set_epoch(epoch)`, such as [`StyleVARTripletCollator`].
    """

    def __init__(self, *targets: Any):
        self.targets = targets
        self._epoch: int | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._epoch = None

    def on_epoch_begin(self, args, state, control, **kwargs):
        # A resumed run begins inside an epoch. After that they are counted: where the length of a stream is not known,
        # `state.epoch` is the share of `max_steps`.
        self._epoch = int(state.epoch or 0) if self._epoch is None else self._epoch + 1
        for target in self.targets:
            target.set_epoch(self._epoch)


def _aligned(parts: Sequence) -> list:
    """The parts with the same columns in the same order, all streams if one is."""
    parts = list(parts)
    if not parts:
        raise invalid("parts", "one dataset or more", "none", "Check how they were loaded.")
    columns = [list(part.column_names or part.features or ()) for part in parts]
    if any("target" in one for one in columns) and not all("target" in one for one in columns):
        without = [index for index, one in enumerate(columns) if "target" not in one]
        hint = "Remove the column from the others, or leave these out."
        raise invalid("parts", "all with a target or all without", f"no target in parts {without}", hint)
    common = [column for column in columns[0] if all(column in one for one in columns)]
    if missing := {"content", "style"} - set(common):
        raise invalid("parts", "datasets with content and style", f"no {sorted(missing)} in some", "Rename columns.")
    if any(isinstance(part, datasets.IterableDataset) for part in parts):
        parts = [part if isinstance(part, datasets.IterableDataset) else part.to_iterable_dataset() for part in parts]
    return [_image_columns(part.select_columns(common), common) for part in parts]


def _image_columns(part, columns: Sequence[str]):
    for column in columns:
        if column in IMAGE_COLUMNS and not isinstance((part.features or {}).get(column), datasets.Image):
            part = part.cast_column(column, Picture())
    return with_pictures(part)


def _probabilities(weights: Sequence[float], count: int) -> list[float]:
    weights = [float(weight) for weight in weights]
    if len(weights) != count or not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < float("inf"):
        hint = "They need not sum to 1."
        raise invalid("weights", f"{count} numbers (one per part), not negative, not all zero", weights, hint)
    return [weight / sum(weights) for weight in weights]


__all__ = ["EpochCallback", "concatenate", "mix_datasets", "with_index"]
