# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The checkpoints that come with the package: `bundled_checkpoint()` returns the folder of one.

All were trained by `examples/train_mini.sh` on procedural triplets; their model cards are in `model_cards/`.
"""

import os
from pathlib import Path


FOLDER = Path(__file__).parent
MODELS = ("stylevar-mini", "stylevar-mini-grpo")
ADAPTERS = ("stylevar-mini-grpo-lora",)
NAMES = MODELS + ADAPTERS
DEFAULT = MODELS[0]
# The published models, by names of ours: the repository of their `.pth` files, and which of them.
RELEASED_REPOSITORY = "Senfier-LiqiJing/StyleVAR"
RELEASED = {"stylevar-sft": (RELEASED_REPOSITORY, "sft"), "stylevar-grpo": (RELEASED_REPOSITORY, "grpo")}
# On the command line, in place of the default's name.
ALIAS = "bundled"


def bundled_checkpoint(name: str = DEFAULT) -> str:
    """
    The folder of a small trained checkpoint that comes with the package, for `from_pretrained`.

    Args:
        name (`str`, *optional*, defaults to `"stylevar-mini"`):
            `"stylevar-mini"`: 128x128 pixels, supervised training. `"stylevar-mini-grpo"`: the same after GRPO, the
            adapter merged. `"stylevar-mini-grpo-lora"`: that adapter alone, for `"stylevar-mini"`; needs `peft`.

    Returns:
        `str`: A folder with `config.json`, `generation_config.json`, `preprocessor_config.json` and
        `model.safetensors`; of an adapter, with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ValueError: If there is no checkpoint of that name.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARPipeline, bundled_checkpoint

    >>> pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint())
    >>> pipe = StyleVARPipeline.from_pretrained(
    ...     bundled_checkpoint(), adapter=bundled_checkpoint("stylevar-mini-grpo-lora")
    ... )
    ```
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}, but got {name!r}. Choose one of these.")
    return str(FOLDER / name)


def is_released(model: str) -> bool:
    """Whether a model is named by our name of a published one."""
    return model in RELEASED and not os.path.isdir(model)


__all__ = [
    "ADAPTERS",
    "ALIAS",
    "DEFAULT",
    "MODELS",
    "NAMES",
    "RELEASED",
    "RELEASED_REPOSITORY",
    "bundled_checkpoint",
    "is_released",
]
