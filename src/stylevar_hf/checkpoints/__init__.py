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
"""
The checkpoints that come with the package: `bundled_checkpoint()` returns the folder of one.

All were trained by `examples/train_mini.sh` on procedural triplets; their model cards are in `model_cards/`.
"""

from pathlib import Path


FOLDER = Path(__file__).parent
NAMES = ("stylevar-mini",)


def bundled_checkpoint(name: str = "stylevar-mini") -> str:
    """
    The folder of a small trained checkpoint that comes with the package, for `from_pretrained`.

    Args:
        name (`str`, *optional*, defaults to `"stylevar-mini"`):
            `"stylevar-mini"`: 128x128 pixels, supervised training.

    Returns:
        `str`: A folder with `config.json`, `generation_config.json`, `preprocessor_config.json` and
        `model.safetensors`.

    Raises:
        ValueError: If there is no checkpoint of that name.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARPipeline, bundled_checkpoint

    >>> pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint())
    ```
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}, but got {name!r}. Choose one of these.")
    return str(FOLDER / name)


__all__ = ["NAMES", "bundled_checkpoint"]
