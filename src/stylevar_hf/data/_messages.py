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
"""What the data modules share: the names of the columns and the wording of errors."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


# The images of a triplet, in the order in which everything lists them.
IMAGE_COLUMNS = ("content", "style", "target")
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# How many names an error message lists before it says how many more there are.
MAX_LISTED = 20


def invalid(name: str, rule: str, value: object, mend: str) -> ValueError:
    """The error for an argument that breaks its rule."""
    return ValueError(f"`{name}` must be {rule}, but got {value}. {mend}")


def listed(items: Iterable[object], limit: int = MAX_LISTED, separator: str = "\n") -> str:
    """The first `limit` items, and how many more there are."""
    items = [str(item) for item in items]
    more = [f"... and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join([*items[:limit], *more])


def check_columns(present: Sequence[str], needed: Sequence[str], argument: str = "column_mapping") -> None:
    """
    Raises `ValueError` unless every needed column is present. The message names the columns that are, and the argument
    that renames them.
    """
    if missing := [column for column in needed if column not in present]:
        raise ValueError(
            f"`dataset` must have the columns {', '.join(needed)}, but got {', '.join(present) or 'none'} "
            f"(missing: {', '.join(missing)}). Say which column is which with `{argument}`, for example "
            f"{argument}={{'{missing[0]}': 'name_in_your_data'}}."
        )


def existing_folder(name: str, path: str | os.PathLike) -> Path:
    """`path` as a `Path`. Raises `ValueError` unless it is a folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise invalid(name, "an existing folder", repr(str(path)), "Check the path.")
    return folder


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted by path, less hidden files and folders, where tools keep their notes."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(parent, name) for name in names if not name.startswith(".")]
    return [Path(path) for path in sorted(found)]  # strings sort several times as fast


__all__ = [
    "IMAGE_COLUMNS",
    "IMAGE_SUFFIXES",
    "MAX_LISTED",
    "check_columns",
    "existing_folder",
    "files_below",
    "invalid",
    "listed",
]
