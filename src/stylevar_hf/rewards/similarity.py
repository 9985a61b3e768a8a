# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How alike the image and the target are: SSIM, LPIPS and CLIP."""

import os

import torch

from .._common.errors import invalid
from ..measures.base import Measure
from ..measures.clip import CLIP_MODEL, CLIPSimilarity, load_clip
from ..measures.lpips import LPIPS, LPIPS_FILES
from ..measures.ssim import SSIM
from ..measures.weights import check_weights, find_weights
from .base import MeasureReward


class SSIMReward(MeasureReward):
    """
    SSIM with the target, in [-1, 1], see [`~stylevar_hf.measures.ssim.structural_similarity`].

    Args:
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
    """

    name = "ssim"

    def load_network(self, device: torch.device) -> Measure:
        return SSIM()


class LPIPSReward(MeasureReward):
    """
    Minus LPIPS to the target, see [`~stylevar_hf.measures.lpips.LPIPS`].

    Args:
        network (`str`, *optional*, defaults to `"vgg"`):
            `"vgg"`, `"alex"` or `"squeeze"`.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        weights (`str` or `os.PathLike`, *optional*):
            torchvision's weights of the network. Defaults to where torchvision keeps them; fetched when the reward is
            prepared, if need be.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether weights that are not on this machine are an error rather than fetched.

    Raises:
        ModuleNotFoundError: If `lpips` is not installed.
        FileNotFoundError: If the weights are neither on this machine nor to be had.
    """

    name = "lpips"
    packages = ("lpips", "torchvision")

    def __init__(
        self,
        network: str = "vgg",
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        weights: str | os.PathLike | None = None,
        local_files_only: bool = False,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        if network not in LPIPS_FILES:
            raise invalid("network", f"one of {', '.join(LPIPS_FILES)}", repr(network), "Choose one.")
        self.network = network
        self.weights = weights
        self.local_files_only = local_files_only
        check_weights(LPIPS_FILES[network], self.owner, weights, local_files_only)

    def load_network(self, device: torch.device) -> Measure:
        file = LPIPS_FILES[self.network]
        path = find_weights(file, self.owner, self.weights, self.local_files_only)
        return LPIPS(self.network, path).to(device)


class CLIPReward(MeasureReward):
    """
    Cosine of CLIP's embeddings of the image and the target, in [-1, 1], see
    [`~stylevar_hf.measures.clip.CLIPSimilarity`]. The published experiments found it too narrow a reward to train
    with; it is here to be logged.

    Args:
        model (`str`, *optional*, defaults to `"openai/clip-vit-base-patch32"`):
            A folder or a model id of the Hub, of CLIP in transformers' format.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether a model that is not on this machine is an error rather than fetched.

    Raises:
        FileNotFoundError: When it is prepared, if the model is neither here nor to be had.
    """

    name = "clip"

    def __init__(
        self,
        model: str = CLIP_MODEL,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        local_files_only: bool = False,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        self.model = str(model)
        self.local_files_only = local_files_only

    def load_network(self, device: torch.device) -> Measure:
        network = load_clip(self.model, self.owner, self.local_files_only, option="model")
        return CLIPSimilarity(network).to(device)


__all__ = ["CLIPReward", "LPIPSReward", "SSIMReward"]
