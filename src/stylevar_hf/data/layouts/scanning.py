# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is in a data folder: its triplets and its problems. Loaders stop at a problem, the checker lists them all."""

import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import datasets
from tqdm.auto import tqdm

from ..._common.errors import listed
from ..._common.files import IMAGE_SUFFIXES, content_hash, files_below, is_utf8, shown_path
from ..checking import Problem
from ..columns import IMAGE_COLUMNS
from ..pictures import Picture
from ..splits import check_split, split_by_content


# Parts that data loader workers and processes can read side by side when a folder is streamed.
MAX_SHARDS = 64
_HASH_THREADS = 8
# Fewer files than this are read before a progress bar would be of use.
_MANY_FILES = 2000


@dataclass
class Scan:
    """
    What was found in a folder.

    Args:
        rows (`list[dict[str, str]]`):
            One per triplet: the paths of its images under `content`, `style` and `target`, and its other columns. A
            `content_id` of `None` stands for a hash of the content's file, which is read when the rows are used.
        problems (`list[Problem]`):
            Files that are no part of a triplet, or that do not fit the layout.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def error(self, column: str | None, path: object, reason: str) -> None:
        """Notes something that stops a loader."""
        self.problems.append(Problem(None, column, str(path), reason))

    def warning(self, column: str | None, path: object, reason: str) -> None:
        """Notes something that only the checker reports."""
        self.problems.append(Problem(None, column, str(path), reason, "warning"))

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]


def features(columns: Sequence[str]) -> datasets.Features:
    """Images for `content`, `style` and `target`, strings for the others."""
    return datasets.Features(
        {column: Picture() if column in IMAGE_COLUMNS else datasets.Value("string") for column in columns}
    )


def dataset_from_scan(
    scan: Scan, root: Path, split: str, validation_fraction: float, seed: int, streaming: bool
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    The rows of one split, images as paths that are decoded when a row is read.

    Raises:
        ValueError: If the scan has errors (the message lists them) or no rows, or if it cannot be split.
    """
    check_split(split, validation_fraction)
    if errors := scan.errors:
        raise ValueError(
            f"`root` must hold complete triplets, but got {str(root)!r} with {len(errors)} problems. Fix them "
            f"(`stylevar data check` lists all):\n{listed(errors)}"
        )
    if not scan.rows:
        raise ValueError(f"`root` must hold triplets, but got {str(root)!r} without any. Check the path.")
    dataset = dataset_from_rows(_with_content_ids(scan.rows))
    dataset = split_by_content(dataset, split, validation_fraction, seed)
    if streaming:
        return dataset.to_iterable_dataset(num_shards=min(MAX_SHARDS, len(dataset)))
    return dataset


def dataset_from_rows(rows: Sequence[Mapping[str, str]]) -> "datasets.Dataset":
    """A dataset of paths and strings, in memory. Raises `ValueError` if a name is not UTF-8."""
    columns = list(rows[0])
    if odd := sorted({value for row in rows for value in row.values() if value is not None and not is_utf8(value)}):
        raise ValueError(
            f"`root` must hold files with names in UTF-8, but got {len(odd)} with others. Rename them:\n"
            f"{listed(map(shown_path, odd))}"
        )
    return datasets.Dataset.from_dict({c: [row[c] for row in rows] for c in columns}, features=features(columns))


def _with_content_ids(rows: Sequence[Mapping[str, str | None]]) -> list[dict[str, str]]:
    """The rows with a hash of the content's file, read once, where they have no id."""
    paths = list(dict.fromkeys(row["content"] for row in rows if row["content_id"] is None))
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        found = pool.map(_file_hash, paths)
        found = tqdm(found, "Hashing contents", len(paths), unit="file", disable=len(paths) < _MANY_FILES)
        hashes = dict(zip(paths, found, strict=True))
    return [{**row, "content_id": hashes.get(row["content"], row["content_id"])} for row in rows]


def _file_hash(path: str) -> str:
    try:
        return content_hash(Path(path).read_bytes())
    except OSError:  # for the checks that come later to name
        return content_hash(path.encode(errors="surrogateescape"))


def is_image(path: Path) -> bool:
    """Whether the name of a file says that it is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def by_stem(folder: Path, scan: Scan, column: str | None = None) -> dict[str, Path]:
    """
    The images below `folder` by their paths within it, without suffix. Two of one name are an error. Names that look
    the same are the same: letters with accents have two spellings in Unicode, of which macOS writes the longer one.
    """
    found: dict[str, Path] = {}
    for path in files_below(folder):
        stem = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if not is_image(path):
            scan.warning(column, path, f"is passed over: its suffix is none of {', '.join(IMAGE_SUFFIXES)}")
        elif stem in found:
            scan.error(column, path, f"has the name of {found[stem].name}: only one of them can be meant")
        else:
            found[stem] = path
    return found


__all__ = [
    "MAX_SHARDS",
    "Scan",
    "by_stem",
    "dataset_from_rows",
    "dataset_from_scan",
    "features",
    "is_image",
]
