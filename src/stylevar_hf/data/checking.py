# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Finds the images of a dataset that cannot be used, before a run starts rather than in the middle of it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import datasets
import PIL.Image
from tqdm.auto import tqdm
from transformers.utils import logging

from .._common.errors import listed
from .._common.files import shown_path
from ..image_reading_stylevar import UnusableImageError
from .columns import IMAGE_COLUMNS, check_columns
from .pictures import read_stored
from .streams import filter_stream


logger = logging.get_logger(__name__)

# Images that wait to be decoded, per worker: enough to keep it busy, few enough to fit into memory.
_WAITING_PER_WORKER = 8


@dataclass(frozen=True, order=True)
class Problem:
    """
    One thing that is wrong with one file or one image of a dataset.

    Args:
        index (`int`, *optional*):
            The row, where there is one.
        column (`str`, *optional*):
            `"content"`, `"style"` or `"target"`, where it is known.
        path (`str`, *optional*):
            The file; of an archive `archive: member`. `None` for an image that is stored in the dataset.
        reason (`str`):
            What is wrong, in words.
        severity (`str`, *optional*, defaults to `"error"`):
            `"error"`: training would stop here. `"warning"`: it can be used, but may not be what was meant.
    """

    index: int | None
    column: str | None
    path: str | None
    reason: str
    severity: str = "error"

    def __str__(self) -> str:
        where = [None if self.index is None else f"row {self.index}", self.column]
        where = ", ".join(part for part in where if part)
        place = f"{self.path} ({where})" if self.path and where else self.path or where
        return f"{self.severity}: {place}: {self.reason}"


def find_problems(
    dataset: "datasets.Dataset | datasets.IterableDataset",
    columns: Sequence[str] = IMAGE_COLUMNS,
    num_workers: int | None = None,
    progress: bool = True,
    require_target: bool = False,
) -> list[Problem]:
    """
    Decodes every image of a dataset to its last byte and lists those that cannot be used.

    A file that many rows share is decoded once, and reported for every row. Columns that the dataset does not have are
    passed over, except `content` and `style`; so is a `target` that is `None`, unless it is required. A stream that
    was mapped decodes its images itself: the list ends at the first that it cannot decode.

    Args:
        dataset (`datasets.Dataset` or `datasets.IterableDataset`):
            A stream must end: one without end would be read forever.
        columns (`Sequence[str]`, *optional*, defaults to `("content", "style", "target")`):
            The columns to look at.
        num_workers (`int`, *optional*):
            Threads that decode. Defaults to the number of cores, at most 8.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar.
        require_target (`bool`, *optional*, defaults to `False`):
            Whether a `target` that is `None` is a problem, too.

    Returns:
        `list[Problem]`: One per unusable image and row, in the order of rows and columns; empty if all is well.

    Raises:
        ValueError: If `columns` names `content` or `style` and the dataset has no such column.
    """
    if dataset.column_names is not None:  # a mapped stream may not know them
        check_columns(dataset.column_names, [column for column in columns if column in ("content", "style")])
        columns = [column for column in columns if column in dataset.column_names]
        dataset = dataset.select_columns(columns)
        for column in columns:
            dataset = dataset.cast_column(column, datasets.Image(decode=False))
    total = len(dataset) if isinstance(dataset, datasets.Dataset) else None
    rows = tqdm(dataset, total=total, desc="Checking images", disable=not progress)
    ended: list[Problem] = []
    images = (
        (index, column, row.get(column))
        for index, row in enumerate(_until_broken(rows, ended))
        for column in columns
        if require_target or not (column == "target" and row.get(column) is None)
    )
    problems = [
        Problem(index, column, path if path is None else shown_path(path), reason)
        for (index, column, path), reason in _examined(images, num_workers)
        if isinstance(reason, str)
    ]
    return problems + ended


def check_dataset(
    dataset: "datasets.Dataset | datasets.IterableDataset",
    skip_broken: bool = False,
    columns: Sequence[str] = IMAGE_COLUMNS,
    num_workers: int | None = None,
    progress: bool = True,
    require_target: bool = False,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    What a trainer calls before it starts: stops with the list of unusable images, or leaves their rows out.

    Args:
        dataset (`datasets.Dataset` or `datasets.IterableDataset`):
            The rows to check.
        skip_broken (`bool`, *optional*, defaults to `False`):
            Whether to leave out the rows with an unusable image, with a warning that lists them, instead of stopping.
        columns, num_workers, progress, require_target:
            As in [`find_problems`].

    Returns:
        `datasets.Dataset`: The dataset as it came, or without those rows.

    Raises:
        ValueError: If an image cannot be used and `skip_broken` is not set, or if no row is left.
    """
    problems = find_problems(dataset, columns, num_workers, progress, require_target)
    if not problems:
        return dataset
    rows = {problem.index for problem in problems}
    if not skip_broken:
        raise ValueError(
            f"`dataset` must hold images that can be decoded, but got {len(problems)} that cannot, in {len(rows)} "
            f"rows. Fix them, or leave these rows out with `skip_broken`:\n{listed(problems)}"
        )
    # The log names every row: what a run has not seen must be known afterwards.
    logger.warning("Left out %d rows with unusable images:\n%s", len(rows), listed(problems, limit=len(problems)))
    if isinstance(dataset, datasets.IterableDataset):
        return filter_stream(dataset, lambda index: index not in rows, input_columns=[], with_indices=True)
    if len(rows) == len(dataset):
        raise ValueError(
            f"`dataset` must hold a row that can be used, but got {len(rows)} rows with an image that cannot be "
            f"decoded. Fix them:\n{listed(problems)}"
        )
    return dataset.select([index for index in range(len(dataset)) if index not in rows])


def find_file_problems(
    files: Sequence[tuple[str | None, str]], num_workers: int | None = None, progress: bool = True
) -> tuple[list[Problem], dict[str, tuple[int, int]]]:
    """
    The same for files, given as pairs of column and path; the `index` of a problem is `None`. Also returns width and
    height, upright, of those that can be used.
    """
    bar = tqdm(files, desc="Checking images", disable=not progress)
    images = ((None, column, {"path": path, "bytes": None}) for column, path in bar)
    problems, sizes = [], {}
    for (index, column, path), found in _examined(images, num_workers):
        if isinstance(found, str):
            problems.append(Problem(index, column, shown_path(path), found))
        else:
            sizes[path] = found
    return problems, sizes


def image_problem(image: "dict[str, Any] | PIL.Image.Image | None") -> str | None:
    """
    Why an image cannot be used.

    Args:
        image (`dict[str, Any]` or `PIL.Image.Image`, *optional*):
            `{"path": str or None, "bytes": bytes or None}`, as `datasets.Image(decode=False)` gives it.

    Returns:
        `str`, *optional*: The reason in words, or `None` if the image is complete.
    """
    found = _examine(image)
    return found if isinstance(found, str) else None


def _examine(image: Any) -> str | tuple[int, int]:
    """Why an image cannot be used; of one that can, its width and height."""
    if image is None:
        return "there is no image"
    data, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (None, None)
    if data is not None and len(data) == 0:
        return "is empty (0 bytes)"
    if data is None and path is not None and "://" not in path:
        if not os.path.lexists(path):
            return "is missing"
        if not os.path.isfile(path):
            return "is missing: a broken link" if os.path.islink(path) else "is not a file"
        if os.path.getsize(path) == 0:
            return "is empty (0 bytes)"
    try:
        return read_stored(image).size
    except UnusableImageError as error:
        cause = error.__cause__ or error
        if error.kind == "no image":
            return "is not an image that Pillow can read"
        if isinstance(cause, OSError) and error.kind == "unreadable":
            return f"cannot be read ({cause.strerror or cause})"
        verb = "downloaded" if error.kind == "missing" else "decoded"
        return f"cannot be {verb} ({' '.join(str(cause).split()) or type(cause).__name__})"
    except Exception as error:
        return f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})"


def _until_broken(rows: Iterable[dict], ended: list[Problem]) -> Iterator[dict]:
    """The rows until reading one fails, which is noted in `ended`."""
    count = 0
    try:
        for row in rows:
            yield row
            count += 1
    except Exception as error:  # whatever the image decoder, the file system or the network raise
        ended.append(Problem(count, None, None, f"cannot be read, nor what comes after it ({error})"))


def _examined(
    images: Iterable[tuple[int | None, str, Any]], num_workers: int | None
) -> Iterator[tuple[tuple[int | None, str, str | None], str | tuple[int, int]]]:
    """Each image with why it cannot be used, or its size, in the order given; each path is decoded once."""
    num_workers = num_workers or min(8, os.cpu_count() or 1)
    by_path: dict[str, Future] = {}
    waiting: list[tuple[tuple, Future]] = []
    with ThreadPoolExecutor(num_workers) as pool:  # Pillow decodes outside the interpreter's lock
        try:
            for index, column, image in images:
                path = image.get("path") if isinstance(image, dict) else None
                key = path if path is not None and image.get("bytes") is None else None
                future = by_path.get(key) if key is not None else None
                if future is None:
                    future = pool.submit(_examine, image)
                if key is not None:
                    by_path[key] = future
                waiting.append(((index, column, path), future))
                if len(waiting) > num_workers * _WAITING_PER_WORKER:
                    where, future = waiting.pop(0)
                    yield where, future.result()
            for where, future in waiting:
                yield where, future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


__all__ = ["Problem", "check_dataset", "find_file_problems", "find_problems", "image_problem"]
