# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Streams whose rows are chosen before their images are decoded."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets


def filter_stream(
    stream: "datasets.IterableDataset", keep: Callable[..., bool], input_columns: Sequence[str], **filter_kwargs: Any
) -> "datasets.IterableDataset":
    """
    `stream.filter(keep, ...)`, which would decode the images of all rows, those that are left out included.

    A stream that was filtered or mapped hands on what it is given, whatever its features say, so the images of the
    rows that are kept are decoded by a `map` of its own.
    """
    features = stream.features or {}
    columns = [name for name, feature in features.items() if isinstance(feature, datasets.Image) and feature.decode]
    encoded = stream
    for column in columns:
        encoded = encoded.cast_column(column, datasets.Image(decode=False))
    kept = encoded.filter(keep, input_columns=list(input_columns), **filter_kwargs)
    if not columns:
        return kept
    return kept.map(decode_images, fn_kwargs={"columns": columns}, features=datasets.Features(features))


def decode_images(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The images of a row, decoded. One that already is comes from a stream that was mapped before."""
    image = datasets.Image()
    return {c: image.decode_example(row[c]) if isinstance(row[c], dict) else row[c] for c in columns}


__all__ = ["decode_images", "filter_stream"]
