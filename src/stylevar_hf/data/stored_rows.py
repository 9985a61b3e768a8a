# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""New columns for data sets whose rows were chosen, without copying or writing the rows."""

import datasets
import numpy as np


# How much longer than the data its stored rows may become through rows that were chosen several times.
_MAX_GROWTH = 4


def stored_rows(dataset: "datasets.Dataset") -> tuple["datasets.Dataset", np.ndarray | None]:
    """
    The rows that lie behind a data set, and where in them its own are.

    `Dataset.add_column` and `concatenate_datasets(axis=1)` copy the rows of a data set that was made by `select`,
    `shuffle` or `filter`, images included, to a file beside those it was loaded from. A column that is added to the
    stored rows, and these chosen again, costs nothing.

    Args:
        dataset (`datasets.Dataset`):
            Any.

    Returns:
        `(stored, positions)`: `stored.select(positions)` are the rows of `dataset`. No position comes twice: of a row
        that was chosen several times, `stored` holds as many, which share their memory. `positions` (int64 of shape
        `(len(dataset),)`) is `None` where nothing was chosen.
    """
    if dataset._indices is None:
        return dataset, None
    chosen = dataset._indices.column(0).to_numpy().astype(np.int64)
    data = datasets.Dataset(
        dataset.data, info=dataset.info.copy(), split=dataset.split, fingerprint=f"{dataset._fingerprint}-stored"
    )
    # 1. How often each row came before
    order = np.argsort(chosen, kind="stable")
    rows, starts, counts = np.unique(chosen[order], return_index=True, return_counts=True)
    repeats = np.empty_like(chosen)
    repeats[order] = np.arange(len(chosen)) - np.repeat(starts, counts)

    # 2. One range of stored rows per repetition
    parts, total, positions = [data], len(data), chosen.copy()
    for repeat in range(1, int(counts.max(initial=1))):
        again = rows[counts > repeat]
        first, end = int(again[0]), int(again[-1]) + 1
        here = repeats == repeat
        positions[here] = chosen[here] - first + total
        parts.append(data.select(range(first, end)))
        total += end - first
        if total > _MAX_GROWTH * (len(data) + len(chosen)):
            return dataset.flatten_indices(keep_in_memory=True), None
    stored = datasets.concatenate_datasets(parts) if len(parts) > 1 else data
    return stored, positions


__all__ = ["stored_rows"]
