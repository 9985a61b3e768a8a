# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of DreamSim: which there must be, and where. Does not import the package."""

import os
from pathlib import Path

from .._common.errors import WeightsUnavailable


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


def bad_weights_message(dreamsim_type: str, cache_dir: str | os.PathLike, problem: str, hint: str = "Run") -> str:
    """What is wrong with a folder, in words after its name, and the command to run (`hint`: what leads to that)."""
    return (
        f"`cache_dir` must hold the weights of DreamSim '{dreamsim_type}', but {cache_dir} {problem}. {hint} "
        f"`stylevar download-dreamsim --cache-dir {cache_dir} --dreamsim-type {dreamsim_type}` where there is a "
        "network."
    )


def check_dreamsim_files(dreamsim_type: str, cache_dir: str | os.PathLike) -> None:
    """Raises `WeightsUnavailable`, with the command to run, unless the folder holds what the type needs."""
    if missing := missing_dreamsim_files(dreamsim_type, cache_dir):
        raise WeightsUnavailable(bad_weights_message(dreamsim_type, cache_dir, f"lacks {', '.join(missing)}"))


__all__ = [
    "DEFAULT_DREAMSIM_TYPE",
    "DREAMSIM_FILES",
    "bad_weights_message",
    "check_dreamsim_files",
    "check_dreamsim_type",
    "default_dreamsim_dir",
    "missing_dreamsim_files",
]
