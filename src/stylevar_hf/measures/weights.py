# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Where torchvision keeps its weights, and what to say if they are not there. Imports no torchvision."""

import os
from pathlib import Path

import torch


DOWNLOAD_URL = "https://download.pytorch.org/models/"


def default_weights_path(file: str) -> Path:
    """Where `torch.hub`, and so torchvision, keeps a file of weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def require_weights(name: str, file: str, weights: str | os.PathLike | None = None) -> Path:
    """
    Args:
        name (`str`): The reward that needs the weights.
        file (`str`): Their file name at `https://download.pytorch.org/models/`.
        weights (`str` or `os.PathLike`, *optional*): Where the file is, if not where torchvision keeps it.

    Returns:
        `Path`: The file on this machine.

    Raises:
        FileNotFoundError: If it is not there.
    """
    path = default_weights_path(file) if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"The reward '{name}' must have the weights {path}, but they are missing. Download {DOWNLOAD_URL}{file} "
            "and put it there (`TORCH_HOME` moves the folder)."
        )
    return path


__all__ = ["DOWNLOAD_URL", "default_weights_path", "require_weights"]
