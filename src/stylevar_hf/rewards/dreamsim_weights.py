# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of DreamSim: which there must be, and how to get them. Does not import the package."""

import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .base import require_packages


# What dreamsim 0.2.1 opens in its cache folder. The last entry of the DINO types is the code that `torch.hub` loads.
DREAMSIM_FILES = {
    "ensemble": (
        "dino_vitb16_pretrain.pth",
        "open_clip_vitb16_pretrain.pth.tar",
        "clip_vitb16_pretrain.pth.tar",
        "ensemble_lora",
        "facebookresearch_dino_main",
    ),
    "dino_vitb16": ("dino_vitb16_pretrain.pth", "dino_vitb16_single_lora", "facebookresearch_dino_main"),
    "dinov2_vitb14": ("dinov2_vitb14_pretrain.pth", "dinov2_vitb14_single_lora", "facebookresearch_dinov2_main"),
    "open_clip_vitb32": ("open_clip_vitb32_pretrain.pth.tar", "open_clip_vitb32_single_lora"),
    "clip_vitb32": ("clip_vitb32_pretrain.pth.tar", "clip_vitb32_single_lora"),
    "synclr_vitb16": ("synclr_vit_b_16.pth", "synclr_vitb16_single_lora"),
    "dino_vitb16_patch": ("dino_vitb16_pretrain.pth", "dino_vitb16_patch_lora", "facebookresearch_dino_main"),
    "dinov2_vitb14_patch": ("dinov2_vitb14_pretrain.pth", "dinov2_vitb14_patch_lora", "facebookresearch_dinov2_main"),
}
DEFAULT_DREAMSIM_TYPE = "dino_vitb16"


def default_dreamsim_dir() -> Path:
    """`$STYLEVAR_CACHE/dreamsim`, or `$HF_HOME/stylevar-hf/dreamsim`."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.environ.get("STYLEVAR_CACHE") or Path(HF_HOME) / "stylevar-hf").expanduser() / "dreamsim"


def check_dreamsim_type(dreamsim_type: str) -> None:
    """Raises `ValueError` unless the package has that type."""
    if dreamsim_type not in DREAMSIM_FILES:
        raise ValueError(
            f"`dreamsim_type` must be one of {', '.join(DREAMSIM_FILES)}, but got {dreamsim_type!r}. Choose one."
        )


def missing_dreamsim_files(dreamsim_type: str, cache_dir: str | os.PathLike) -> list[str]:
    """The names in `cache_dir` that the type needs and that are not there."""
    return [name for name in DREAMSIM_FILES[dreamsim_type] if not os.path.exists(os.path.join(cache_dir, name))]


def bad_weights_message(dreamsim_type: str, cache_dir: str | os.PathLike, problem: str, mend: str = "Run") -> str:
    """What is wrong with a folder, in words after its name, and the command to run (`mend`: what leads to that)."""
    return (
        f"`cache_dir` must hold the weights of DreamSim '{dreamsim_type}', but {cache_dir} {problem}. {mend} "
        f"`stylevar download-dreamsim --cache-dir {cache_dir} --dreamsim-type {dreamsim_type}` where there is a "
        "network."
    )


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
    require_packages("dreamsim", ("dreamsim",))
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

    from .dreamsim import build_dreamsim  # slow: imports dreamsim

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
        raise OSError(
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


__all__ = [
    "DEFAULT_DREAMSIM_TYPE",
    "DREAMSIM_FILES",
    "bad_weights_message",
    "check_dreamsim_type",
    "default_dreamsim_dir",
    "download_dreamsim",
    "missing_dreamsim_files",
]
