# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files and folders: what is there, hashes, and writing that leaves nothing half."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from .errors import invalid


# Of the pictures that are read. Pillow reads more, but these are what people mean by a picture.
IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
)
# Of pictures that Pillow alone cannot read.
FOREIGN_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef", ".psd", ".raf", ".svg")
# The end of names of files that are being written.
TEMPORARY = ".tmp"


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


@contextlib.contextmanager
def replacing(path: str | os.PathLike, suffix: str = TEMPORARY) -> Iterator[Path]:
    """
    A temporary name beside `path`, which takes its place when the block ends well and is removed otherwise: a file is
    complete from the moment it exists. The folder is made if it is missing.

    Args:
        path (`str` or `os.PathLike`): The file to write.
        suffix (`str`, *optional*, defaults to `".tmp"`): Of the temporary name, for writers that go by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}{suffix}")  # short, whatever the length of the name
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, data: bytes | str) -> Path:
    """Writes a file, text in UTF-8, by [`replacing`]. Returns its path."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def to_json(value: Any, allow_nan: bool = False) -> str:
    """Readable JSON. Raises `ValueError` at numbers that JSON lacks, unless they are allowed."""
    return json.dumps(value, indent=1, allow_nan=allow_nan, ensure_ascii=False) + "\n"


def write_json(path: str | os.PathLike, value: Any, allow_nan: bool = False) -> Path:
    """Writes [`to_json`] by [`write_atomically`]."""
    return write_atomically(path, to_json(value, allow_nan))


def content_hash(data: bytes) -> str:
    """A short hash of contents, 16 hexadecimal digits: what has the same is the same."""
    return hashlib.sha256(data).hexdigest()[:16]


def files_digest(paths: Iterable[str | os.PathLike]) -> str:
    """The SHA-256 of several files, one after the other, whatever their names; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


__all__ = [
    "FOREIGN_SUFFIXES",
    "IMAGE_SUFFIXES",
    "TEMPORARY",
    "content_hash",
    "existing_folder",
    "files_below",
    "files_digest",
    "is_utf8",
    "replacing",
    "shown_path",
    "to_json",
    "write_atomically",
    "write_json",
]
