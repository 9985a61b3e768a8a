# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""DreamSim (arXiv 2306.09344), the reward of the published GRPO stage, by the authors' package."""

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .._common.errors import invalid
from .base import Reward, resize_bicubic
from .dreamsim_weights import (
    DEFAULT_DREAMSIM_TYPE,
    bad_weights_message,
    check_dreamsim_type,
    default_dreamsim_dir,
    missing_dreamsim_files,
)


logger = logging.getLogger(__name__)

IMAGE_SIZE = 224
DTYPES = ("float32", "bfloat16")
# Top-level modules of DINO's repository, which torch.hub imports: a script's own `utils` must not stand for them.
HUB_MODULES = ("hubconf", "utils", "vision_transformer")
_loading = threading.Lock()


class DreamSimReward(Reward):
    r"""
    Minus the DreamSim distance between the image and the target,

    $$ R = -s \cdot (1 - \cos(e(x), e(y))) $$

    with the package's embeddings e, s = 5 and one DINO ViT-B/16 as published. Pictures are resized to 224 x 224 as the
    package does (bicubic, antialiased). Nothing is downloaded.

    Args:
        dreamsim_type (`str`, *optional*, defaults to `"dino_vitb16"`):
            `"ensemble"`, `"dino_vitb16"`, `"dinov2_vitb14"`, `"clip_vitb32"`, `"open_clip_vitb32"` or
            `"synclr_vitb16"`; `"dino_vitb16_patch"` and `"dinov2_vitb14_patch"` compare patches too.
        scale (`float`, *optional*, defaults to 5.0):
            s, positive.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Where `stylevar download-dreamsim` put the weights. Defaults to where it puts them by default,
            `$STYLEVAR_CACHE/dreamsim`, or `$HF_HOME/stylevar-hf/dreamsim`.
        device (`str` or `torch.device`, *optional*):
            Where to compute. Defaults to the device of the images.
        batch_size (`int`, *optional*, defaults to 16):
            Pictures that are embedded at a time.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        dtype (`str`, *optional*, defaults to `"float32"`):
            `"bfloat16"` embeds under autocast, about three times as fast on a CPU that has instructions for it. It
            moves rewards by some thousandths, the less the closer the pictures are.

    Raises:
        ModuleNotFoundError: If `dreamsim` is not installed.
        FileNotFoundError: If the weights are not there.
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
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        check_dreamsim_type(dreamsim_type)
        if dtype not in DTYPES:
            raise invalid("dtype", f"one of {', '.join(DTYPES)}", dtype, "Distances are float32 in any case.")
        self.dtype = dtype
        self.dreamsim_type = dreamsim_type
        self.cache_dir = Path(default_dreamsim_dir() if cache_dir is None else cache_dir).expanduser()
        _check_files(dreamsim_type, self.cache_dir)

    def load_network(self, device: torch.device) -> nn.Module:
        return build_dreamsim(self.dreamsim_type, self.cache_dir, device)

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        """Images to embeddings `(B, D)`; of the patch types: the class token's and the patches' mean."""
        images = resize_bicubic(images, IMAGE_SIZE, IMAGE_SIZE)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            embeddings = self._network.embed(images).float()
        if embeddings.ndim == 3:
            embeddings = torch.cat([embeddings[:, 0], embeddings[:, 1:].mean(1)], dim=-1)
        return embeddings

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(descriptions, references, dim=-1) - 1


def build_dreamsim(
    dreamsim_type: str, cache_dir: str | os.PathLike, device: str | torch.device, may_download: bool = False
) -> nn.Module:
    """
    The package's model, frozen and in evaluation mode, without its side effects: nothing goes to stdout, the folder of
    `torch.hub` and `sys.modules` stay as they were.

    Args:
        dreamsim_type (`str`):
            As for [`DreamSimReward`].
        cache_dir (`str` or `os.PathLike`):
            The folder with the weights.
        device (`str` or `torch.device`):
            Where the model goes.
        may_download (`bool`, *optional*, defaults to `False`):
            Whether `torch.hub` may fetch what the release does not hold, DINO's code and backbone.

    Returns:
        `nn.Module`: Has `embed(images)` for images `(B, 3, 224, 224)` in [0, 1].

    Raises:
        FileNotFoundError: If weights are missing.
        RuntimeError: If they are damaged.
    """
    cache_dir = Path(cache_dir).absolute()
    if not may_download:
        _check_files(dreamsim_type, cache_dir)
    single_type = dreamsim_type.removesuffix("_patch")
    try:
        with _loading, _without_side_effects():
            from dreamsim import dreamsim

            model, _ = dreamsim(
                dreamsim_type=single_type,
                use_patch_model=single_type != dreamsim_type,
                cache_dir=str(cache_dir),
                device=str(device),
            )
    except OSError as error:  # no network (URLError), or a file that cannot be read
        raise FileNotFoundError(
            bad_weights_message(dreamsim_type, cache_dir, f"is not complete or not readable ({error})")
        ) from error
    except ImportError:
        raise
    except Exception as error:  # whatever torch, peft and zipfile raise for damaged files
        raise RuntimeError(
            bad_weights_message(
                dreamsim_type,
                cache_dir,
                f"does not load ({type(error).__name__}: {str(error)[:200]})",
                mend="Remove that folder and run",
            )
        ) from error
    return model.requires_grad_(False).eval()


def _check_files(dreamsim_type: str, cache_dir: Path) -> None:
    missing = missing_dreamsim_files(dreamsim_type, cache_dir)
    if missing:
        raise FileNotFoundError(bad_weights_message(dreamsim_type, cache_dir, f"lacks {', '.join(missing)}"))


@contextlib.contextmanager
def _without_side_effects() -> Iterator[None]:
    hub_dir = torch.hub._hub_dir  # None: by the environment; `get_dir` would fix what that says now
    stashed = {name: sys.modules.pop(name) for name in HUB_MODULES if name in sys.modules}
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's about a second adapter, timm's about its own layout
            yield
    finally:
        torch.hub._hub_dir = hub_dir
        for name in HUB_MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(stashed)
        logger.debug("dreamsim said: %s", output.getvalue().strip())


__all__ = ["DreamSimReward", "build_dreamsim"]
