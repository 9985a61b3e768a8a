# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sizes of batches that nobody asked for: the published ones, or what the data is enough for."""

import os
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import has_length
from transformers.utils import logging


logger = logging.get_logger(__name__)

# An epoch over little data has so many updates of whole batches, down to batches of four rows.
_UPDATES_PER_EPOCH = 32
_SMALLEST_BATCH = 4


def num_processes() -> int:
    """How many the launcher started, as `TrainingArguments` will find it, before it is there to be asked."""
    return int(os.environ.get("WORLD_SIZE", 1))


def passes_per_update(rows: int, rows_per_pass: int) -> int:
    """Accumulation steps of `rows_per_pass` rows, those of all processes, that make about `rows`; at least 1."""
    return max(1, round(rows / rows_per_pass))


def rows_per_update(published: int, num_rows: int) -> int:
    """
    The published batch, or a power of two below it, of which an epoch has 32; at least 4.

    Args:
        published (`int`):
            Rows per update where there is enough data.
        num_rows (`int`):
            Rows of the training set.
    """
    fitting = max(_SMALLEST_BATCH, num_rows // _UPDATES_PER_EPOCH)
    return published if fitting >= published else 1 << (fitting.bit_length() - 1)


def warn_of_short_epoch(dataset: Any, args: TrainingArguments) -> None:
    """Say so if an update takes more rows than an epoch has: raising the number of epochs is then all that trains."""
    if dataset is None or not has_length(dataset):
        return
    update = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    if len(dataset) < update:
        logger.warning(
            "An epoch has %d rows, fewer than the %d of an update: it makes one update of what there is. Lower "
            "`gradient_accumulation_steps` or `per_device_train_batch_size`.",
            len(dataset),
            update,
        )


__all__ = ["num_processes", "passes_per_update", "rows_per_update", "warn_of_short_epoch"]
