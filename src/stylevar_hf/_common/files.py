# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and folders."""

import os
from pathlib import Path

from .errors import invalid


IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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


__all__ = ["IMAGE_SUFFIXES", "existing_folder", "files_below"]
