# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of a triplet dataset as a batch for the model."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .._common.errors import invalid
from ..image_processing_stylevar import StyleVARImageProcessor, load_image
from .anchors import StrengthAnchors
from .augmentation import TripletAugmentation
from .columns import IMAGE_COLUMNS, check_columns


# Columns of cached codes, and the images that they stand for.
CODE_COLUMNS = {"content_codes": "content", "style_codes": "style", "labels": "target"}


class StyleVARTripletCollator:
    """
    Turns rows into tensors: images of any size and mode are made RGB, augmented, resized and scaled to [-1, 1].

    Args:
        image_processor ([`StyleVARImageProcessor`]):
            Brings every image to the model's size.
        augmentation ([`TripletAugmentation`], *optional*):
            Applied to each row. Leave it out for evaluation. The random numbers of a row come from
            `(augmentation.seed, epoch, index)`: the epoch is that of [`StyleVARTripletCollator.set_epoch`], the index
            is the row's `index` column where it has one (see [`~stylevar_hf.data.with_index`]), else a hash of its
            `content_id` and `style_id`, so that rows without an index that share both are changed alike.
        anchors ([`StrengthAnchors`], *optional*):
            Replaces some rows, after the augmentation and with random numbers of its own, and gives each row its
            `style_strength`.

    Raises:
        ValueError: At a call, if a row lacks the content or the style, if only some rows have a target or codes, if an
            image cannot be used (the message names its `content_id`), or if rows to augment hold cached codes of the
            images before augmentation.

    Example:

    ```python
    >>> collator = StyleVARTripletCollator(StyleVARImageProcessor(), TripletAugmentation())
    >>> batch = collator([dataset[0], dataset[1]])
    >>> batch["content_pixel_values"].shape
    torch.Size([2, 3, 256, 256])
    ```
    """

    def __init__(
        self,
        image_processor: StyleVARImageProcessor,
        augmentation: TripletAugmentation | None = None,
        anchors: StrengthAnchors | None = None,
    ):
        self.image_processor = image_processor
        self.augmentation = augmentation
        self.anchors = anchors
        # In shared memory: workers of a data loader that outlive an epoch hold a copy of this object.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that the augmentation is in."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch. `Trainer` does not call this: see [`~stylevar_hf.data.EpochCallback`]."""
        self._epoch.fill_(epoch)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """
        Args:
            rows (`Sequence[Mapping[str, Any]]`):
                `content` and `style`, optionally `target` (images), `content_codes`, `style_codes`, `labels`
                (sequences of `L` codes), `content_id` and `index`. Other columns are left out of the batch.

        Returns:
            `dict[str, Any]`:
            - `content_pixel_values`, `style_pixel_values`, and `target_pixel_values` if the rows have a target
              (`torch.Tensor` of shape `(batch, 3, height, width)`, float32): pixels in [-1, 1].
            - `content_codes`, `style_codes`, `labels` if the rows have them (`torch.Tensor` of shape `(batch, L)`,
              int64).
            - `style_strength` (`torch.Tensor` of shape `(batch,)`, float32) with `anchors`.
            - `content_id` (`list[str]`) if the rows have it.
        """
        if len(rows) == 0:
            raise invalid("rows", "a non-empty batch", "no row", "Check the sampler.")
        present = _columns(rows)
        if not {"content", "style"} <= set(present):
            filled = [column for column, value in rows[0].items() if value is not None]
            check_columns(filled, ("content", "style"))
        if self.augmentation is not None:
            if codes := [column for column in CODE_COLUMNS if column in present]:
                hint = "Leave out `augmentation`, or the cached codes."
                raise invalid("augmentation", "None for rows with cached codes", ", ".join(codes), hint)
            rows = [self.augmentation(row, self.augmentation.generator(*self._key(row))) for row in rows]
        batch = {}
        if self.anchors is not None:
            rows = [self.anchors(row, self.anchors.generator(*self._key(row))) for row in rows]
            batch["style_strength"] = torch.tensor([row["style_strength"] for row in rows])
        for column in IMAGE_COLUMNS:
            if column in present:
                batch[f"{column}_pixel_values"] = self._pixels(rows, column)
        for column in CODE_COLUMNS:
            if column in present:
                batch[column] = _codes(rows, column)
        if "content_id" in present:
            batch["content_id"] = [row["content_id"] for row in rows]
        return batch

    def _key(self, row: Mapping[str, Any]) -> tuple[int, int]:
        """Epoch and number of a row: what its random numbers come from."""
        index = row.get("index")
        if index is None:
            key = "\0".join(str(row.get(column)) for column in ("content_id", "style_id"))
            index = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return self.epoch, int(index)

    def _pixels(self, rows: Sequence[Mapping[str, Any]], column: str) -> torch.Tensor:
        images = []
        for position, row in enumerate(rows):
            name = f"{column}` of row {position} with content_id `{row.get('content_id')}"
            images.append(load_image(row[column], name, self.image_processor.max_image_pixels))
        return self.image_processor(images, return_tensors="pt")["pixel_values"].float()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that the rows have a value for. Raises `ValueError` if only some rows do."""
    columns = []
    for column in (*IMAGE_COLUMNS, *CODE_COLUMNS, "content_id"):
        has = [row.get(column) is not None for row in rows]
        if any(has) and not all(has):
            value = f"only {sum(has)} of {len(has)} rows with one"
            hint = "Do not mix data with and without it; `mix_datasets` refuses such mixtures."
            raise invalid(column, "present in all rows of a batch or in none", value, hint)
        if all(has):
            columns.append(column)
    return columns


def _codes(rows: Sequence[Mapping[str, Any]], column: str) -> torch.Tensor:
    codes = [np.asarray(row[column], dtype=np.int64).reshape(-1) for row in rows]
    if len({len(code) for code in codes}) > 1:
        hint = "They come from different tokenizers: make the cache again."
        raise invalid(column, "of one length", sorted({len(code) for code in codes}), hint)
    codes = np.stack(codes)
    if codes.min() < 0:
        hint = "Make the cache again; -100 stands for codes that are missing, which no image has."
        raise invalid(column, "indices into a codebook, 0 or more", codes.min(), hint)
    return torch.from_numpy(codes)


__all__ = ["CODE_COLUMNS", "StyleVARTripletCollator"]
