# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Where a network's weights come from, the same way for all: by path, else where they are kept, else fetched with a bar
if that is allowed, else one error that names the file and where to put it.
"""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock

from .._common.errors import WeightsUnavailable


TORCHVISION_URL = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class WeightFile:
    """
    A file of weights.

    Args:
        name (`str`): Of the file.
        url (`str`, *optional*): Where it is to be had. Defaults to torchvision's place for it.
        repository (`str`, *optional*): Its repository on the Hub, whose cache keeps it. By default `torch.hub` does.
    """

    name: str
    url: str = ""
    repository: str | None = None

    @property
    def address(self) -> str:
        return self.url or f"{TORCHVISION_URL}{self.name}"

    @property
    def place(self) -> Path:
        """Where `torch.hub`, and so torchvision, keeps it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.name


def find_weights(
    file: WeightFile,
    owner: str,
    weights: str | os.PathLike | None = None,
    local_files_only: bool = False,
    option: str | None = "weights",
) -> Path:
    """
    Args:
        file ([`WeightFile`]):
            What is needed.
        owner (`str`):
            What needs it, at the start of a sentence: `"The reward 'lpips'"`.
        weights (`str` or `os.PathLike`, *optional*):
            The file, or a folder with it, if it was handed over.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether nothing may be fetched. `HF_HUB_OFFLINE` does the same.
        option (`str`, *optional*, defaults to `"weights"`):
            The argument by which it can be handed over, if there is one.

    Returns:
        `Path`: The file on this machine.

    Raises:
        WeightsUnavailable: If it is neither here nor to be had.
    """
    path = _find_here(file, owner, weights, option)
    if path is None:
        reason = "downloads are switched off" if is_offline(local_files_only) else _fetch(file)
        path = None if reason else _find_here(file, owner, weights, option)
        if path is None:
            raise WeightsUnavailable(_missing(file, owner, reason, option))
    return path


def check_weights(
    file: WeightFile,
    owner: str,
    weights: str | os.PathLike | None = None,
    local_files_only: bool = False,
    option: str | None = "weights",
) -> None:
    """Raises what [`find_weights`] would, as far as it is known without asking the network. Arguments as there."""
    if _find_here(file, owner, weights, option) is None and is_offline(local_files_only):
        raise WeightsUnavailable(_missing(file, owner, "downloads are switched off", option))


def load_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """
    The tensors of a `.pth` file; nothing in it is executed. Not read before they are used, where the format allows it:
    torchvision's older files are no zip files, which torch would refuse to map into memory.
    """
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def is_offline(local_files_only: bool = False) -> bool:
    """Whether nothing may be fetched."""
    from huggingface_hub import is_offline_mode

    return local_files_only or is_offline_mode()


def _find_here(file: WeightFile, owner: str, weights: str | os.PathLike | None, option: str | None) -> Path | None:
    if weights is not None:
        path = Path(weights).expanduser()
        path = path / file.name if path.is_dir() else path
        if not path.is_file():
            raise WeightsUnavailable(
                f"{owner} needs the weights {file.name}, but `{option}` is {os.fspath(weights)!r} and {path} does not "
                f'exist. Download {file.address} and hand it over: {option}="PATH".'
            )
        return path
    if file.repository is None:
        return file.place if file.place.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(file.repository, file.name)
    return Path(path) if isinstance(path, str) else None


def _fetch(file: WeightFile) -> str | None:
    """Fetches a file, whole or not at all, once for all processes; what went wrong, if something did."""
    if file.repository is not None:
        from huggingface_hub import hf_hub_download

        try:
            hf_hub_download(file.repository, file.name)
        except (OSError, ValueError) as error:  # no network, no such file
            return f"the download failed ({str(error).strip().partition(chr(10))[0]})"
        return None
    file.place.parent.mkdir(parents=True, exist_ok=True)
    digest = re.search(r"-([0-9a-f]{8,})\.", file.name)  # as torchvision names its files
    lock = file.place.with_name(f".{file.name}.lock")
    try:
        with FileLock(lock):
            if not file.place.is_file():
                torch.hub.download_url_to_file(file.address, str(file.place), hash_prefix=digest and digest[1])
    except (OSError, RuntimeError) as error:  # no network; another file than expected
        return f"the download failed ({error})"
    finally:
        lock.unlink(missing_ok=True)
    return None


def _missing(file: WeightFile, owner: str, reason: str | None, option: str | None) -> str:
    if file.repository is None:
        place, hint = f"at {file.place}", f"Download {file.address} and put it there (`TORCH_HOME` moves the folder)"
    else:
        from huggingface_hub.constants import HF_HUB_CACHE

        place = f"in the cache {HF_HUB_CACHE}"
        hint = f"Run `hf download {file.repository}` where there is a network, or download {file.address}"
    by_hand = "" if option is None else f', or hand it over: {option}="PATH"'
    return f"{owner} needs the weights {file.name}, but they are not {place}, and {reason}. {hint}{by_hand}."


__all__ = ["TORCHVISION_URL", "WeightFile", "check_weights", "find_weights", "is_offline", "load_weights"]
