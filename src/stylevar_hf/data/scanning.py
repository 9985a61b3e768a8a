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
"""What is in a data folder: its triplets and its problems. Loaders stop at a problem, the checker lists them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from ._messages import IMAGE_COLUMNS, IMAGE_SUFFIXES, listed
from .checking import Problem
from .splits import check_split, split_by_content


# Parts that data loader workers and processes can read side by side when a folder is streamed.
MAX_SHARDS = 64


@dataclass
class Scan:
    """
    What was found in a folder.

    Args:
        rows (`list[dict[str, str]]`):
            One per triplet: the paths of its images under `content`, `style` and `target`, and its other columns.
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
        {column: datasets.Image() if column in IMAGE_COLUMNS else datasets.Value("string") for column in columns}
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
            f"`root` must hold complete triplets, but got {str(root)!r} with {len(errors)} problems. Mend them "
            f"(`stylevar data check` lists all):\n{listed(errors)}"
        )
    if not scan.rows:
        raise ValueError(f"`root` must hold triplets, but got {str(root)!r} without any. Check the path.")
    dataset = dataset_from_rows(scan.rows)
    dataset = split_by_content(dataset, split, validation_fraction, seed)
    if streaming:
        return dataset.to_iterable_dataset(num_shards=min(MAX_SHARDS, len(dataset)))
    return dataset


def dataset_from_rows(rows: Sequence[Mapping[str, str]]) -> "datasets.Dataset":
    """A dataset of paths and strings, in memory."""
    columns = list(rows[0])
    return datasets.Dataset.from_dict({c: [row[c] for row in rows] for c in columns}, features=features(columns))


def is_image(path: Path) -> bool:
    """Whether the name of a file says that it is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def by_stem(folder: Path, scan: Scan, column: str | None = None) -> dict[str, Path]:
    """The images right in `folder` by their names without suffix. Two of one name are an error."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not is_image(path):
            continue
        if path.stem in found:
            scan.error(column, path, f"has the name of {found[path.stem].name}: only one of them can be meant")
        else:
            found[path.stem] = path
    return found


__all__ = ["MAX_SHARDS", "Scan", "by_stem", "dataset_from_rows", "dataset_from_scan", "features", "is_image"]
