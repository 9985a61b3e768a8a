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

from pathlib import Path

import torch


def require_weights(name: str, file: str) -> Path:
    """
    Args:
        name (`str`): The reward that needs the weights.
        file (`str`): Their file name at `https://download.pytorch.org/models/`.

    Returns:
        `Path`: The file on this machine.

    Raises:
        FileNotFoundError: If it is not there.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        raise FileNotFoundError(
            f"The reward '{name}' must have the weights {path}, but they are missing. Download "
            f"https://download.pytorch.org/models/{file} and put it there (`TORCH_HOME` moves the folder)."
        )
    return path


__all__ = ["require_weights"]
