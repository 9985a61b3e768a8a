# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Streams whose rows are chosen before their images are decoded."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets

from .._common.errors import invalid
from .pictures import Picture, read_stored


def filter_stream(
    stream: "datasets.IterableDataset", keep: Callable[..., bool], input_columns: Sequence[str], **filter_kwargs: Any
) -> "datasets.IterableDataset":
    """
    `stream.filter(keep, ...)`, which would decode the images of all rows, those that are left out included.

    A stream that was filtered or mapped hands on what it is given, whatever its features say, so the images of the
    rows that are kept are decoded by a `map` of its own.
    """
    encoded, columns = encoded_stream(stream)
    kept = encoded.filter(keep, input_columns=list(input_columns), **filter_kwargs)
    return decoded_stream(kept, columns)


def encoded_stream(stream: "datasets.IterableDataset") -> tuple["datasets.IterableDataset", list[str]]:
    """A stream that leaves its images as they are, and the columns that they are in."""
    features = stream.features or {}
    columns = [name for name, feature in features.items() if isinstance(feature, datasets.Image) and feature.decode]
    for column in columns:
        stream = stream.cast_column(column, datasets.Image(decode=False))
    return stream, columns


def decoded_stream(stream: "datasets.IterableDataset", columns: Sequence[str]) -> "datasets.IterableDataset":
    """A stream that decodes these columns after everything that was done to it."""
    if not columns:
        return stream
    features = datasets.Features({**stream.features, **dict.fromkeys(columns, Picture())})
    return stream.map(decode_images, fn_kwargs={"columns": list(columns)}, features=features)


def decode_images(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """
    The images of a row, decoded. One that already is comes from a stream that was mapped before.

    Raises:
        ValueError: If one cannot be decoded; the message names its `content_id`, or its file.
    """
    decoded = {}
    for column in columns:
        image = decoded[column] = row[column]
        if not isinstance(image, dict):
            continue
        try:
            decoded[column] = read_stored(image)
        except Exception as error:  # Pillow's decoders raise whatever they trip over
            name = image.get("path") or f"content_id {row.get('content_id')}"
            hint = "Rows of a stream are not checked beforehand: hint it, or leave the row out with `filter`."
            value = f"{name}, which cannot be decoded ({' '.join(str(error).split())})"
            raise invalid(column, "an image in each row of a stream", value, hint) from error
    return decoded


__all__ = ["decode_images", "decoded_stream", "encoded_stream", "filter_stream"]
