# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""DreamSim (arXiv 2306.09344), by the authors' package: do two pictures look alike to people?"""

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

from .base import Measure, resize_bicubic
from .dreamsim_files import bad_weights_message, check_dreamsim_files


logger = logging.getLogger(__name__)

IMAGE_SIZE = 224
# Top-level modules of DINO's repository, which torch.hub imports: a script's own `utils` must not stand for them.
HUB_MODULES = ("hubconf", "utils", "vision_transformer")
_loading = threading.Lock()


class DreamSim(Measure):
    r"""
    The DreamSim distance

    $$ 1 - \cos(e(x), e(y)) $$

    with the package's embeddings e, in [0, 2], of pictures that are resized to 224 x 224.

    Args:
        network (`nn.Module`): Of [`build_dreamsim`].
        half (`bool`, *optional*, defaults to `False`): Whether to embed in bfloat16, under autocast.
        resizing (`str`, *optional*, defaults to `"bicubic"`): `"bicubic"`, antialiased, as the package does; or
            `"bilinear"`, without antialiasing, as StyleVAR's code does for its reward.
    """

    def __init__(self, network: nn.Module, half: bool = False, resizing: str = "bicubic"):
        super().__init__()
        self.resizing = resizing
        self.network = network
        self.half_precision = half

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        """Images to embeddings `(B, D)`; of the patch types: the class token's and the patches' mean."""
        if self.resizing == "bilinear":
            images = F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
        else:
            images = resize_bicubic(images, IMAGE_SIZE, IMAGE_SIZE)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.half_precision):
            embeddings = self.network.embed(images).float()
        if embeddings.ndim == 3:
            embeddings = torch.cat([embeddings[:, 0], embeddings[:, 1:].mean(1)], dim=-1)
        return embeddings

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return 1 - F.cosine_similarity(descriptions, references, dim=-1)


def build_dreamsim(
    dreamsim_type: str, cache_dir: str | os.PathLike, device: str | torch.device, may_download: bool = False
) -> nn.Module:
    """
    The package's model, frozen and in evaluation mode, without its side effects: nothing goes to stdout, the folder of
    `torch.hub` and `sys.modules` stay as they were.

    Args:
        dreamsim_type (`str`):
            As for [`stylevar_hf.rewards.DreamSimReward`].
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
        check_dreamsim_files(dreamsim_type, cache_dir)
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
                hint="Remove that folder and run",
            )
        ) from error
    return model.requires_grad_(False).eval()


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


__all__ = ["DreamSim", "build_dreamsim"]
