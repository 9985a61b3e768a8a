# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and folders."""

import os
from collections.abc import Callable
from pathlib import Path

from .errors import invalid


# Of the pictures that are read. Pillow reads more, but these are what people mean by a picture.
IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
)
# Of pictures that Pillow alone cannot read.
FOREIGN_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef", ".psd", ".raf", ".svg")


def is_utf8(path: str | os.PathLike) -> bool:
    """Whether a path can be written as text. File systems allow any bytes in a name; Arrow tables and JSON do not."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_path(path: str | os.PathLike) -> str:
    """A path for messages, also where its name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def existing_folder(name: str, path: str | os.PathLike) -> Path:
    """`path` as a `Path`. Raises `ValueError` unless it is a folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise invalid(name, "an existing folder", repr(str(path)), "Check the path.")
    return folder


def files_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> list[Path]:
    """
    Every file below `folder`, sorted by path, less hidden files and folders, where tools keep their notes. Links to
    folders are followed, but not into a folder that they are in.

    Args:
        folder (`Path`):
            Where to look.
        on_error (`Callable`, *optional*):
            Called with the error of each folder that cannot be read.

    Raises:
        OSError: If a folder cannot be read and there is no `on_error`.
    """

    def stop(error: OSError) -> None:
        raise error

    found = []
    above = {str(folder): {os.path.realpath(folder)}}  # of each folder, the real places of it and of those above
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=on_error or stop):
        seen = above.pop(parent)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in list(folders):
            place = os.path.join(parent, name)
            real = os.path.realpath(place) if os.path.islink(place) else place
            if real in seen:
                folders.remove(name)
            else:
                above[place] = {*seen, real}
        found += [os.path.join(parent, name) for name in names if not name.startswith(".")]
    return [Path(path) for path in sorted(found)]  # strings sort several times as fast


__all__ = ["FOREIGN_SUFFIXES", "IMAGE_SUFFIXES", "existing_folder", "files_below", "is_utf8", "shown_path"]
