# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Reading tar archives of data that somebody else made.

An archive can hold names that lead out of the folder it is unpacked into, links to any file, and devices. All of these
are refused before anything is written, with an error that names the archive and the member.
"""

import contextlib
import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from ..._common.files import content_hash


ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_GZIP_MAGIC = b"\x1f\x8b"


class ArchiveError(ValueError):
    """An archive cannot be read to its end; `reason` says why in a few words."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


def is_archive(path: Path) -> bool:
    """Whether the name of a file says that it is an archive that can be read."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(path: Path) -> str:
    """The name of an archive without its suffix."""
    suffix = next(suffix for suffix in ARCHIVE_SUFFIXES if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)]


def member_danger(member: tarfile.TarInfo) -> str | None:
    """Why a member must not be unpacked, or `None` if it is a plain file or folder below the archive's own."""
    name = member.name.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "an absolute name"
    if ".." in name.split("/"):
        return "a name that leads out of the folder"
    if member.issym() or member.islnk():
        return f"a link to {member.linkname!r}"
    if not (member.isfile() or member.isdir()):
        return "neither a file nor a folder"
    return None


@contextlib.contextmanager
def open_members(
    archive: str | os.PathLike, on_danger: Callable[[str, str], None] | None = None
) -> Iterator[tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]]:
    """
    Opens a tar or tar.gz archive.

    Args:
        archive (`str` or `os.PathLike`):
            The file.
        on_danger (`Callable[[str, str], None]`, *optional*):
            Called with the name of an unsafe member and with what is unsafe about it. The member is then passed over
            instead of raising.

    Yields:
        The `tarfile.TarFile` and an iterator over its members, each checked before it is handed out. When the iterator
        ends, the archive was complete. A compressed archive can only be read forward: read a member's data before
        going on to the next.

    Raises:
        ArchiveError: If the archive is truncated or damaged.
        ValueError: If a member is unsafe.
        OSError: If the file cannot be opened.
    """
    with open(archive, "rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if compressed else contextlib.nullcontext(raw) as plain:
                file = _RememberingReader(plain)
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    yield tar, _safe_members(tar, file, archive, on_danger)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _damaged(archive, error) from error


def _safe_members(
    tar: tarfile.TarFile,
    file: "_RememberingReader",
    archive: str | os.PathLike,
    on_danger: Callable[[str, str], None] | None,
) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if danger := member_danger(member):
            if on_danger is not None:
                on_danger(member.name, danger)
                continue
            raise ValueError(
                f"`archive` must hold plain files below its own folder only, but got {str(archive)!r} with the member "
                f"{member.name!r}: {danger}. Nothing of it was used; get the archive from another source."
            )
        yield member
    # tarfile takes a file that ends, or turns to rubbish, between two members for a complete one. A complete one ends
    # with blocks of zeros, the first of which was the last thing that tarfile read.
    if file.last != bytes(tarfile.BLOCKSIZE):
        raise _damaged(archive, "its end is missing")
    while file.read(1 << 20):  # the checksum of gzip comes after the last byte
        pass


def _damaged(archive: str | os.PathLike, cause: object) -> ArchiveError:
    reason = f"is truncated or damaged ({cause})"
    return ArchiveError(
        f"`archive` must be a complete tar or tar.gz file, but got {str(archive)!r}, which {reason}. "
        "Copy or download it again.",
        reason,
    )


class _RememberingReader:
    """A file for tarfile that keeps the last block read."""

    def __init__(self, file):
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def extract_archive(
    archive: str | os.PathLike, cache_dir: str | os.PathLike | None = None, progress: bool = True
) -> Path:
    """
    Unpacks an archive into the cache, once.

    Members are unpacked with tarfile's `data` filter into a folder with a temporary name, which gets its own name when
    everything is there: an interrupted run leaves nothing half done. The archive's folder is not written to.

    Args:
        archive (`str` or `os.PathLike`):
            A tar or tar.gz file.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Defaults to `$STYLEVAR_CACHE/archives`, or `$HF_HOME/stylevar-hf/archives`.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar.

    Returns:
        `Path`: The folder. Its name depends on the archive's path, size and time of change.

    Raises:
        ValueError: If the archive is truncated or damaged, or if a member is unsafe.
        OSError: If the file cannot be opened or the disk is full.
    """
    archive = Path(archive).resolve()
    stat = archive.stat()
    digest = content_hash(f"{archive}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    folder = (Path(cache_dir).expanduser() if cache_dir else default_cache_dir()) / f"{archive_stem(archive)}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{digest}-", dir=folder.parent))
    try:
        with open_members(archive) as (tar, members):
            for member in tqdm(members, desc=f"Unpacking {archive.name}", unit=" files", disable=not progress):
                tar.extract(member, scratch, filter="data")
        scratch.chmod(0o755)  # `mkdtemp` keeps others out, who may share the cache
        with contextlib.suppress(OSError):  # another process was first: its folder is the same
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not folder.is_dir():
        raise OSError(f"The archive {str(archive)!r} could not be unpacked to {str(folder)!r}. Remove what is there.")
    return folder


def default_cache_dir() -> Path:
    """`$STYLEVAR_CACHE/archives`, or `$HF_HOME/stylevar-hf/archives`."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.environ.get("STYLEVAR_CACHE") or Path(HF_HOME) / "stylevar-hf").expanduser() / "archives"


__all__ = [
    "ARCHIVE_SUFFIXES",
    "ArchiveError",
    "archive_stem",
    "default_cache_dir",
    "extract_archive",
    "is_archive",
    "member_danger",
    "open_members",
]
