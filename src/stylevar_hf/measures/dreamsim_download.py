# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Fetching the weights of DreamSim."""

import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .._common.errors import WeightsUnavailable, require_packages
from .dreamsim import build_dreamsim
from .dreamsim_files import (
    DEFAULT_DREAMSIM_TYPE,
    check_dreamsim_files,
    check_dreamsim_type,
    default_dreamsim_dir,
    missing_dreamsim_files,
)
from .weights import is_offline


def find_dreamsim(
    dreamsim_type: str, cache_dir: str | os.PathLike | None = None, local_files_only: bool = False
) -> Path:
    """
    The folder with the weights: by path, else the default one, into which they are fetched if that is allowed.

    Args:
        dreamsim_type (`str`): A type of the `dreamsim` package, or one of them and `_patch`.
        cache_dir (`str` or `os.PathLike`, *optional*): The folder, if it was handed over.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether nothing may be fetched. `HF_HUB_OFFLINE` does the same.

    Raises:
        WeightsUnavailable: If weights are neither there nor to be had.
    """
    if cache_dir is not None or is_offline(local_files_only):
        folder = Path(default_dreamsim_dir() if cache_dir is None else cache_dir).expanduser()
        check_dreamsim_files(dreamsim_type, folder)
        return folder
    folder = default_dreamsim_dir()
    return download_dreamsim(folder, dreamsim_type) if missing_dreamsim_files(dreamsim_type, folder) else folder


def download_dreamsim(
    cache_dir: str | os.PathLike | None = None,
    dreamsim_type: str = DEFAULT_DREAMSIM_TYPE,
    archive: str | os.PathLike | None = None,
    progress: bool = True,
) -> Path:
    """
    Fetches the weights of DreamSim, and checks that they load. What is there already is not fetched again; nothing is
    ever there half.

    Args:
        cache_dir (`str` or `os.PathLike`, *optional*):
            The folder, made if need be. Defaults to `$STYLEVAR_CACHE/dreamsim`, or `$HF_HOME/stylevar-hf/dreamsim`.
        dreamsim_type (`str`, *optional*, defaults to `"dino_vitb16"`):
            A type of the `dreamsim` package, or one of them and `_patch`.
        archive (`str` or `os.PathLike`, *optional*):
            The release's zip file, if it was fetched by other means.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar on stderr.

    Returns:
        `Path`: The folder.

    Raises:
        ModuleNotFoundError: If `dreamsim` is not installed.
        ValueError: If there is no such type, or the archive is not one of it.
        OSError: If the network or the disk fails.
    """
    check_dreamsim_type(dreamsim_type)
    require_packages("DreamSim", ("dreamsim",), "rl")
    if archive is not None and not zipfile.is_zipfile(archive):
        raise ValueError(f"`archive` must be an existing zip file, but got {str(archive)!r}. Fetch it again.")
    cache_dir = Path(default_dreamsim_dir() if cache_dir is None else cache_dir).expanduser()
    cache_dir.mkdir(parents=True, exist_ok=True)
    released = [name for name in missing_dreamsim_files(dreamsim_type, cache_dir) if not name.startswith("facebook")]
    if released:
        # In the folder itself: renaming works within one file system only.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache_dir) as scratch:
            if archive is None:
                archive = _fetch(dreamsim_type, cache_dir, Path(scratch) / "pretrained.zip", progress)
            _unpack(Path(archive), Path(scratch) / "unpacked", cache_dir, dreamsim_type)

    build_dreamsim(dreamsim_type, cache_dir, "cpu", may_download=True)  # DINO's code and backbone come by torch.hub
    return cache_dir


def _fetch(dreamsim_type: str, cache_dir: Path, path: Path, progress: bool) -> Path:
    import torch
    from dreamsim.config import dreamsim_weights

    url = dreamsim_weights[dreamsim_type]
    sys.stderr.write(f"Fetching {url}\n" if progress else "")
    try:
        torch.hub.download_url_to_file(url, str(path), progress=progress)
    except OSError as error:  # URLError and timeouts are among them
        raise WeightsUnavailable(
            f"{url} must be reachable, but the download failed: {error}. Fetch the file by other means and run "
            f"`stylevar download-dreamsim --cache-dir {cache_dir} --dreamsim-type {dreamsim_type} --archive FILE`."
        ) from error
    return path


def _unpack(archive: Path, scratch: Path, cache_dir: Path, dreamsim_type: str) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(scratch)  # checks the sums; leaves no folder by absolute names or ".."
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"`archive` must be an intact zip file, but {archive} is not: {error}. Fetch it again."
        ) from None
    lacking = [name for name in missing_dreamsim_files(dreamsim_type, cache_dir) if not (scratch / name).exists()]
    lacking = [name for name in lacking if not name.startswith("facebook")]
    if lacking:
        raise ValueError(
            f"`archive` must be the release of DreamSim '{dreamsim_type}', but {archive.name} lacks "
            f"{', '.join(lacking)}. Take the zip file of that type."
        )
    for entry in scratch.iterdir():
        target = cache_dir / entry.name
        if not target.exists():
            os.replace(entry, target)
        elif entry.is_dir():  # `checkpoints` of another type, say
            _merge(entry, target)


def _merge(source: Path, target: Path) -> None:
    for entry in source.rglob("*"):
        place = target / entry.relative_to(source)
        if entry.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                shutil.move(entry, place)


__all__ = ["download_dreamsim", "find_dreamsim"]
