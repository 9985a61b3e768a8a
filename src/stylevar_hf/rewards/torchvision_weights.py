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
