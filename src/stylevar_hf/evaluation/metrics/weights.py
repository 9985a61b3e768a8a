# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Where metrics find their weights, and what they say if they are not there."""

import os
import re
from pathlib import Path

import torch

from ...measures.weights import DOWNLOAD_URL, default_weights_path
from .registry import MetricUnavailable


def find_weights(
    key: str,
    file: str,
    weights: str | os.PathLike | None = None,
    local_files_only: bool = False,
    url: str | None = None,
    option: str = "weights",
) -> Path:
    """
    A file of weights that was handed over, or that `torch.hub` keeps, or that it can fetch.

    Args:
        key (`str`): The metric that needs it.
        file (`str`): The name of the file.
        weights (`str` or `os.PathLike`, *optional*): The file, or a folder with it, if it was handed over.
        local_files_only (`bool`, *optional*, defaults to `False`): Whether nothing may be downloaded.
        url (`str`, *optional*): Where it is to be had. Defaults to torchvision's place for it.
        option (`str`, *optional*, defaults to `"weights"`): The argument by which it can be handed over.

    Returns:
        `Path`: The file.

    Raises:
        MetricUnavailable: If it is neither here nor to be had.
    """
    url = url or f"{DOWNLOAD_URL}{file}"
    if weights is not None:
        return _handed_over(key, file, weights, url, option)
    path = default_weights_path(file)
    if not path.is_file():
        reason = "downloads are switched off" if is_offline(local_files_only) else _download(url, path)
        if reason:
            raise MetricUnavailable(
                f"The metric {key!r} needs the weights {file}, but they are not at {path}, and {reason}. Download "
                f'{url} and put it there (`TORCH_HOME` moves the folder), or hand it over: {option}="PATH".'
            )
    return path


def find_hub_weights(
    key: str,
    repository: str,
    file: str,
    url: str,
    weights: str | os.PathLike | None = None,
    local_files_only: bool = False,
) -> Path:
    """As [`find_weights`], for a file of a repository on the Hub, whose cache keeps it."""
    if weights is not None:
        return _handed_over(key, file, weights, url, "weights")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        return Path(hf_hub_download(repository, file, local_files_only=is_offline(local_files_only)))
    except (OSError, ValueError) as error:  # not in the cache, no network, no such file
        reason = str(error).strip().partition("\n")[0]
        raise MetricUnavailable(
            f"The metric {key!r} needs the weights {file} of {repository}, but they are not in the cache "
            f"{HF_HUB_CACHE}, and could not be fetched ({reason}). Run `hf download {repository}` where there is a "
            f'network, or download {url} and hand it over: weights="PATH".'
        ) from error


def _handed_over(key: str, file: str, weights: str | os.PathLike, url: str, option: str) -> Path:
    """The file itself, or the file of that name in a folder. Raises `MetricUnavailable` if it is not there."""
    path = Path(weights).expanduser()
    path = path / file if path.is_dir() else path
    if not path.is_file():
        raise MetricUnavailable(
            f"The metric {key!r} needs the weights {file}, but `{option}` is {os.fspath(weights)!r} and {path} does "
            f'not exist. Download {url} and hand it over: {option}="PATH".'
        )
    return path


def is_offline(local_files_only: bool) -> bool:
    from huggingface_hub import is_offline_mode

    return local_files_only or is_offline_mode()


def _download(url: str, path: Path) -> str | None:
    """Fetches a file, whole or not at all; what went wrong, if something did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = re.search(r"-([0-9a-f]{8,})\.", path.name)  # as torchvision names its files
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest and digest[1])
    except (OSError, RuntimeError) as error:  # no network; another file than expected
        return f"the download failed ({error})"
    return None


__all__ = ["find_hub_weights", "find_weights", "is_offline"]
