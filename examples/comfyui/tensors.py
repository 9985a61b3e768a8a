# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's pictures and the pipeline's. Nothing here needs ComfyUI."""

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch


def to_pictures(images: torch.Tensor) -> list[PIL.Image.Image]:
    """
    Args:
        images (`torch.FloatTensor` of shape `(B, H, W, 3)`): ComfyUI's IMAGE, in [0, 1].

    Returns:
        `list[PIL.Image.Image]`: 8-bit RGB; bit for bit the file that ComfyUI read.
    """
    values = (images[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return [PIL.Image.fromarray(np.ascontiguousarray(one)) for one in values]


def to_images(pictures: Sequence[PIL.Image.Image]) -> torch.Tensor:
    """
    Args:
        pictures (`Sequence[PIL.Image.Image]`): 8-bit RGB. Those of another size than the first are brought to it,
            since a batch has one size.

    Returns:
        `torch.FloatTensor` of shape `(B, H, W, 3)`: ComfyUI's IMAGE, in [0, 1].
    """
    size = pictures[0].size
    pictures = [one if one.size == size else one.resize(size, PIL.Image.Resampling.LANCZOS) for one in pictures]
    return torch.from_numpy(np.stack([np.asarray(one.convert("RGB")) for one in pictures])).float() / 255


__all__ = ["to_images", "to_pictures"]
