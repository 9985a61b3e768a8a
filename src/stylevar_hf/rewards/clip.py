# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""CLIP's image embeddings as a reward."""

import torch
import torch.nn.functional as F
from torch import nn

from .base import Reward, resize_bicubic


DEFAULT_MODEL = "openai/clip-vit-base-patch32"


class CLIPReward(Reward):
    """
    Cosine of CLIP's embeddings (arXiv 2103.00020) of the image and the target, in [-1, 1]. Pictures are resized
    (shorter side, bicubic) and cropped in the middle as CLIP's own processor does. The published experiments found it
    too narrow a reward to train with; it is here to be logged.

    Args:
        model (`str`, *optional*, defaults to `"openai/clip-vit-base-patch32"`):
            A folder or a model id of the Hub, of CLIP in transformers' format.
        reference (`str`, *optional*, defaults to `"target"`):
            The column to compare with.
        scale, batch_size, device:
            As for every [`Reward`].
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether a model that is not on this machine is left there rather than downloaded.

    Raises:
        OSError: When it is prepared, if the model is neither here nor to be had.
    """

    name = "clip"

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        local_files_only: bool = False,
    ):
        super().__init__(reference=reference, scale=scale, batch_size=batch_size, device=device)
        self.model = str(model)
        self.local_files_only = local_files_only

    def load_network(self, device: torch.device) -> nn.Module:
        from transformers import CLIPVisionModelWithProjection

        class ImageEncoder(CLIPVisionModelWithProjection):
            _keys_to_ignore_on_load_unexpected = [r"^text_", r"^logit_scale$"]  # the other half of CLIP, no news

        try:
            network = ImageEncoder.from_pretrained(
                self.model, dtype=torch.float32, local_files_only=self.local_files_only
            )
        except OSError as error:
            from huggingface_hub.constants import HF_HUB_CACHE

            raise OSError(
                f"`model` must be a folder with CLIP, or a model id of the Hub that is in the cache {HF_HUB_CACHE} or "
                f"can be downloaded, but got {self.model!r}. Run `hf download {self.model}` where there is a network, "
                "or name a folder."
            ) from error
        return network.requires_grad_(False).eval().to(device)

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        side = self._network.config.image_size
        height, width = images.shape[-2:]
        shorter = min(height, width)
        height, width = side * height // shorter, side * width // shorter
        images = resize_bicubic(images, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, :, top : top + side, left : left + side]
        mean, std = (images.new_tensor(values)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        return self._network(pixel_values=(images - mean) / std).image_embeds

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(descriptions, references, dim=-1)


__all__ = ["CLIPReward"]
