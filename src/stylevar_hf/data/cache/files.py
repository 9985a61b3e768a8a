# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the caches of codes and of images share: undecoded images, threads that decode them, files that are whole."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import datasets
import PIL.Image
import pyarrow
import pyarrow.compute
from datasets.arrow_writer import ArrowWriter

from ..._common.errors import invalid
from ..._common.files import replacing
from ..columns import check_columns
from ..pictures import read_stored


Item = TypeVar("Item")
Result = TypeVar("Result")


def check_images(dataset: Any, needed: Sequence[str], columns: Iterable[str]) -> None:
    """
    Raises `ValueError` unless `dataset` is a `datasets.Dataset` of at least one row with the `needed` columns, and
    those of `columns` that it has are images.
    """
    if not isinstance(dataset, datasets.Dataset):
        hint = "Streams have no end to cache: leave the cache off, or take the first rows as a `Dataset`."
        raise invalid("dataset", "a `datasets.Dataset`", type(dataset).__name__, hint)
    check_columns(dataset.column_names, needed)
    for column in columns:
        if column in dataset.column_names and not isinstance(dataset.features[column], datasets.Image):
            hint = f"Use `dataset.cast_column({column!r}, datasets.Image())`."
            raise invalid(f"dataset[{column!r}]", "a column of images", dataset.features[column], hint)
    if len(dataset) == 0:
        raise invalid("dataset", "of at least one row", "none", "Check the split.")


def check_num_workers(num_workers: int) -> None:
    """Raises `ValueError` unless so many threads can be had."""
    if num_workers < 0:
        raise invalid("num_workers", "0 or more", num_workers, "0 decodes in the calling thread.")


class UndecodedImages:
    """
    The images of a data set as they are stored, so that one seen before is recognised without decoding it again.

    Args:
        dataset (`datasets.Dataset`):
            Any.
        columns (`Sequence[str]`):
            Its columns of images.
    """

    def __init__(self, dataset: datasets.Dataset, columns: Sequence[str]):
        self.rows = dataset.with_format(None).select_columns(list(columns))
        for column in columns:
            self.rows = self.rows.cast_column(column, datasets.Image(decode=False))

    def decode(self, row: int, column: str, max_image_pixels: int) -> PIL.Image.Image:
        """
        One image, upright and in RGB.

        Raises:
            ValueError: If it cannot be decoded; the message names the row.
        """
        name = f"dataset[{row}][{column!r}]"
        try:
            return read_stored(self.rows[row][column], name, max_image_pixels)
        except ValueError as error:
            hint = "Leave the row out: `stylevar data check` lists every broken file, `skip_broken` skips them."
            raise invalid(name, "an image", f"one that cannot be decoded ({error})", hint) from error


def image_key(value: dict | None, column: str, row: int) -> bytes:
    """What tells an image from others: a hash of its file, or its path."""
    if value is None:
        raise invalid(f"dataset[{row}][{column!r}]", "an image", "None", "Leave the row out, or remove the column.")
    if value.get("bytes") is not None:
        return hashlib.blake2b(value["bytes"], digest_size=16).digest()
    return os.fsencode(value["path"])


def image_paths(dataset: datasets.Dataset, columns: Iterable[str]) -> set[str]:
    """The paths of the images that lie outside of the data set."""
    found: set[str] = set()
    for column in columns:
        if column not in dataset.column_names:
            continue
        # Without the images themselves, which may lie in the table.
        images = dataset.data.table.column(column)
        paths = pyarrow.compute.struct_field(images, "path")
        embedded = pyarrow.compute.is_valid(pyarrow.compute.struct_field(images, "bytes"))
        paths = pyarrow.compute.if_else(embedded, None, paths)
        if dataset._indices is not None:
            paths = paths.take(dataset._indices.column(0))
        found.update(path for path in paths.unique().to_pylist() if path is not None)
    return found


def file_state(path: str) -> tuple:
    """Path, size and time of a file: what changes when it is replaced."""
    try:
        status = os.stat(path)
    except OSError:  # the name of a file elsewhere, or one that is missed when it is read
        return (path,)
    return path, status.st_size, status.st_mtime_ns


def files_hash(dataset: datasets.Dataset, columns: Iterable[str]) -> str:
    """A hash of path, size and time of the files that the images lie in; empty if there are none."""
    paths = image_paths(dataset, columns)
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(repr(file_state(path)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16] if paths else ""


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """`map` by `num_workers` threads that are a few items ahead of the caller; with 0 the caller does the work."""
    if num_workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(num_workers) as pool:
        waiting = iter(items)
        ahead = deque(pool.submit(function, item) for item in islice(waiting, num_workers + 1))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(function, item) for item in islice(waiting, 1))
        finally:
            for future in ahead:
                future.cancel()


def write_tables(path: Path, tables: Iterable[pyarrow.Table], feature: Any) -> None:
    """Tables, one after the other, as a file that `datasets` maps into memory. Every column is a `feature`."""
    with replacing(path) as temporary:
        tables = iter(tables)
        first = next(tables)
        features = datasets.Features(dict.fromkeys(first.column_names, feature))
        with ArrowWriter(path=str(temporary), features=features) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
            writer.finalize()


__all__ = [
    "UndecodedImages",
    "check_images",
    "check_num_workers",
    "file_state",
    "files_hash",
    "image_key",
    "image_paths",
    "map_ahead",
    "write_tables",
]
