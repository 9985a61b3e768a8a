# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""CLIP: do two pictures mean the same?"""

import os

import torch
import torch.nn.functional as F
from torch import nn

from .._common.errors import WeightsUnavailable
from .base import Measure, resize_bicubic


CLIP_MODEL = "openai/clip-vit-base-patch32"


class CLIPSimilarity(Measure):
    """
    The cosine of CLIP's embeddings (arXiv 2103.00020) of two pictures, in [-1, 1]. Pictures are resized (shorter side,
    bicubic) and cropped in the middle as CLIP's own processor does.

    Args:
        network (`nn.Module`): Of [`load_clip`].
    """

    higher_is_better = True

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        side = self.network.config.image_size
        height, width = images.shape[-2:]
        shorter = min(height, width)
        height, width = side * height // shorter, side * width // shorter
        images = resize_bicubic(images, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, :, top : top + side, left : left + side]
        mean, std = (images.new_tensor(values)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        return self.network(pixel_values=(images - mean) / std).image_embeds

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(descriptions, references, dim=-1)


def load_clip(
    model: str | os.PathLike, owner: str, local_files_only: bool = False, option: str = "weights"
) -> nn.Module:
    """
    CLIP's image encoder, frozen and in evaluation mode: from a folder, else from the Hub's cache, else fetched.

    Args:
        model (`str` or `os.PathLike`): A folder or a model id of the Hub, of CLIP in transformers' format.
        owner (`str`): What needs it, at the start of a sentence: `"The reward 'clip'"`.
        local_files_only (`bool`, *optional*, defaults to `False`): Whether nothing may be fetched.
        option (`str`, *optional*, defaults to `"weights"`): The argument by which a folder can be handed over.

    Raises:
        WeightsUnavailable: If it is neither here nor to be had.
    """
    from transformers import CLIPVisionModelWithProjection

    class ImageEncoder(CLIPVisionModelWithProjection):
        _keys_to_ignore_on_load_unexpected = [r"^text_", r"^logit_scale$"]  # the other half of CLIP, no news

    try:
        network = ImageEncoder.from_pretrained(model, dtype=torch.float32, local_files_only=local_files_only)
    except OSError as error:
        from huggingface_hub.constants import HF_HUB_CACHE

        raise WeightsUnavailable(
            f"{owner} needs CLIP, a folder with it or a model id of the Hub that is in the cache {HF_HUB_CACHE} or "
            f"can be fetched, but got {os.fspath(model)!r}. Run `hf download {os.fspath(model)}` where there is a "
            f'network, or hand a folder over: {option}="FOLDER".'
        ) from error
    return network.requires_grad_(False).eval()


__all__ = ["CLIP_MODEL", "CLIPSimilarity", "load_clip"]
