# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""DreamSim (arXiv 2306.09344), the reward of the published GRPO stage."""

import os
from pathlib import Path

import torch

from .._common.errors import invalid
from ..measures.base import Measure
from ..measures.dreamsim import DreamSim, build_dreamsim
from ..measures.dreamsim_download import find_dreamsim
from ..measures.dreamsim_files import (
    DEFAULT_DREAMSIM_TYPE,
    check_dreamsim_files,
    check_dreamsim_type,
    default_dreamsim_dir,
)
from ..measures.weights import is_offline
from .base import MeasureReward


DTYPES = ("float32", "bfloat16")
RESIZINGS = ("bilinear", "bicubic")


class DreamSimReward(MeasureReward):
    r"""
    Minus the DreamSim distance between the image and the target,

    $$ R = -s \cdot (1 - \cos(e(x), e(y))) $$

    with the package's embeddings e, s = 5, one DINO ViT-B/16 and the resizing as published: StyleVAR's code resizes to
    224 x 224 bilinearly without antialiasing. The DreamSim of an evaluation resizes as the package does.

    Args:
        dreamsim_type (`str`, *optional*, defaults to `"dino_vitb16"`):
            `"ensemble"`, `"dino_vitb16"`, `"dinov2_vitb14"`, `"clip_vitb32"`, `"open_clip_vitb32"` or
            `"synclr_vitb16"`; `"dino_vitb16_patch"` and `"dinov2_vitb14_patch"` compare patches too.
        scale (`float`, *optional*, defaults to 5.0):
            s, positive.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Where `stylevar download-dreamsim` put the weights. Defaults to where it puts them by default,
            `$STYLEVAR_CACHE/dreamsim`, or `$HF_HOME/stylevar-hf/dreamsim`; there they are fetched when the reward is
            prepared, if need be.
        device (`str` or `torch.device`, *optional*):
            Where to compute. Defaults to the device of the images.
        batch_size (`int`, *optional*, defaults to 16):
            Pictures that are embedded at a time.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        dtype (`str`, *optional*, defaults to `"float32"`):
            `"bfloat16"` embeds under autocast, about three times as fast on a CPU that has instructions for it. It
            moves rewards by some thousandths, the less the closer the pictures are.
        resizing (`str`, *optional*, defaults to `"bilinear"`):
            `"bilinear"`, without antialiasing, as published; or `"bicubic"`, antialiased, as the package does.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether weights that are not on this machine are an error rather than fetched.

    Raises:
        ModuleNotFoundError: If `dreamsim` is not installed.
        FileNotFoundError: If the weights are neither there nor to be had.
        ValueError: If an argument does not fit.
    """

    name = "dreamsim"
    packages = ("dreamsim",)

    def __init__(
        self,
        dreamsim_type: str = DEFAULT_DREAMSIM_TYPE,
        scale: float = 5.0,
        cache_dir: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
        reference: str | None = None,
        dtype: str = "float32",
        resizing: str = "bilinear",
        local_files_only: bool = False,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        check_dreamsim_type(dreamsim_type)
        if dtype not in DTYPES:
            raise invalid("dtype", f"one of {', '.join(DTYPES)}", dtype, "Distances are float32 in any case.")
        if resizing not in RESIZINGS:
            raise invalid("resizing", f"one of {', '.join(RESIZINGS)}", resizing, "Published: bilinear.")
        self.dtype = dtype
        self.resizing = resizing
        self.dreamsim_type = dreamsim_type
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self.local_files_only = local_files_only
        if cache_dir is not None or is_offline(local_files_only):
            check_dreamsim_files(dreamsim_type, self.cache_dir or default_dreamsim_dir())

    def load_network(self, device: torch.device) -> Measure:
        folder = find_dreamsim(self.dreamsim_type, self.cache_dir, self.local_files_only)
        network = build_dreamsim(self.dreamsim_type, folder, device)
        return DreamSim(network, half=self.dtype == "bfloat16", resizing=self.resizing)


__all__ = ["DreamSimReward"]
