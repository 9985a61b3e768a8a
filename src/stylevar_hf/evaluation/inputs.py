# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the evaluations share: reading rows at the model's size, and drawing from the model."""

import functools
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import PIL.Image
import torch
from tqdm import tqdm

from ..image_processing_stylevar import ImageSource, StyleVARImageProcessor, load_image
from ..measures.pictures import colour_signature, texture_signature
from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..pipeline_stylevar import StyleVARPipeline


class MeasuredPicture:
    """
    A picture with its signatures, each computed when first asked for.

    Args:
        image (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            uint8 RGB.
    """

    def __init__(self, image: PIL.Image.Image | np.ndarray):
        self.array = np.asarray(image)

    @functools.cached_property
    def colour(self) -> np.ndarray:
        return colour_signature(self.array)

    @functools.cached_property
    def texture(self) -> np.ndarray:
        return texture_signature(self.array)


def as_pipeline(pipeline: StyleVARPipeline | StyleVARForConditionalGeneration) -> StyleVARPipeline:
    """The pipeline itself, or one around the model with the published image processing, where the model is."""
    if isinstance(pipeline, StyleVARPipeline):
        pipeline.model.eval()  # it may be in training between two evaluations
        return pipeline
    if isinstance(pipeline, StyleVARForConditionalGeneration):
        return StyleVARPipeline(pipeline, device=pipeline.device)
    raise ValueError(
        f"`pipeline` must be a StyleVARPipeline or a StyleVARForConditionalGeneration, but got "
        f"{type(pipeline).__name__}. Load one with `StyleVARPipeline.from_pretrained`."
    )


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    if not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}, but got {value!r}. Try {minimum}.")


def batches(count: int, batch_size: int, label: str, progress: bool) -> Iterator[range]:
    """Ranges of at most `batch_size` rows, with a progress bar over rows."""
    with tqdm(total=count, desc=label, unit="pair", disable=not progress) as bar:
        for start in range(0, count, batch_size):
            rows = range(start, min(start + batch_size, count))
            yield rows
            bar.update(len(rows))


def fit(processor: StyleVARImageProcessor, image: ImageSource, name: str) -> PIL.Image.Image:
    """A picture as the model sees it: resized and cropped or padded, 8-bit RGB."""
    if image is None:
        raise ValueError(f"`{name}` must be a picture, but got None. Leave rows without one out.")
    pixel_values = processor(load_image(image, name), return_tensors="pt").pixel_values
    return processor.postprocess(pixel_values, "pil")[0]


def to_pixel_values(pipeline: StyleVARPipeline, images: list[PIL.Image.Image]) -> torch.Tensor:
    """Pictures from [`fit`] as `(n, 3, image_size, image_size)` in [-1, 1] on the model's device."""
    return pipeline.image_processor(images, return_tensors="pt").pixel_values.to(pipeline.device)


__all__ = [
    "MeasuredPicture",
    "as_pipeline",
    "batches",
    "check_count",
    "fit",
    "to_pixel_values",
]
