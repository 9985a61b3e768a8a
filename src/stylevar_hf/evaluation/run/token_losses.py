# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Teacher-forced cross-entropy of a checkpoint, pair by pair."""

from collections.abc import Sequence

import PIL.Image
import torch
import torch.nn.functional as F

from ...pipeline_stylevar import StyleVARPipeline
from ..inputs import to_pixel_values


@torch.inference_mode()
def token_cross_entropies(
    pipeline: StyleVARPipeline,
    contents: list[PIL.Image.Image],
    styles: Sequence[list[PIL.Image.Image]],
    targets: list[PIL.Image.Image],
) -> list[list[float]]:
    """
    How well the model expects the target, given the content and a style.

    Args:
        pipeline ([`StyleVARPipeline`]):
            The checkpoint.
        contents, targets (`list[PIL.Image.Image]`):
            Pairs at the model's size.
        styles (sequence of `list[PIL.Image.Image]`):
            One list or several, such as the right styles and others; each content and target is encoded once.

    Returns:
        `list[list[float]]`: For each list of styles, each pair's mean over the tokens of the target, in nats.
    """
    model = pipeline.model
    content_pixels = to_pixel_values(pipeline, contents)
    labels, content_codes = (
        model.vq_model.encode(pixels).codes for pixels in (to_pixel_values(pipeline, targets), content_pixels)
    )
    results = []
    for group in styles:
        style_pixels = to_pixel_values(pipeline, group)
        logits = model(content_pixels, style_pixels, labels=labels, content_codes=content_codes).logits
        losses = F.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")
        results.append(losses.mean(dim=1).tolist())
    return results


__all__ = ["token_cross_entropies"]
