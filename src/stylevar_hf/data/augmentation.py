# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Augmentation of triplets: as published, rotation and brightness on the content and a random crop of the style; and
windows and mirror images of whole triplets, which keep content and target aligned.

The README of the published code names these three and gives no magnitudes (its loader has none of them), so the
magnitudes here are ours and can be set.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageEnhance

from .._common.errors import invalid
from ..image_processing_stylevar import load_image
from .columns import IMAGE_COLUMNS


@dataclass(frozen=True)
class TripletAugmentation:
    """
    Changes the content and the style of a triplet at random; the same seed, epoch and index give the same change.

    Nothing random is kept in the object: the generator is made from `(seed, epoch, index)` and passed in, so the order
    in which rows are read, the number of workers and a resumed run change nothing.

    The published code turns the content alone. The target then stays upright, so the model also learns to put a
    slightly turned picture straight; keep `rotation_degrees` small, or set `rotate_target` to turn the target by the
    same angle, where content and target must stay aligned pixel by pixel. What a rotation moves in from outside is
    filled by reflection, so that no black corners appear.

    Args:
        rotation_degrees (`float`, *optional*, defaults to 10.0):
            The content is turned by an angle from [-rotation_degrees, rotation_degrees], in degrees, at most 180.
        brightness (`float`, *optional*, defaults to 0.2):
            The content's values are multiplied by a factor from [1 - brightness, 1 + brightness], at most 1.
        style_crop_scale (`tuple[float, float]`, *optional*, defaults to `(0.6, 1.0)`):
            The share of the style's area that is kept, from this range within (0, 1]. The crop has the style's own
            aspect ratio.
        rotate_target (`bool`, *optional*, defaults to `False`):
            Whether the target is turned with the content.
        pair_crop_scale (`tuple[float, float]`, *optional*, defaults to `(1.0, 1.0)`):
            Content and target are cut to the same window, whose share of the area is from this range within (0, 1].
        flip (`bool`, *optional*, defaults to `False`):
            Whether half of the triplets are mirrored left to right, all three images together.
        seed (`int`, *optional*, defaults to 0):
            Non-negative.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    >>> augmentation = TripletAugmentation(rotation_degrees=5.0)
    >>> row = augmentation(dataset[3], augmentation.generator(epoch=0, index=3))
    ```
    """

    rotation_degrees: float = 10.0
    brightness: float = 0.2
    style_crop_scale: tuple[float, float] = (0.6, 1.0)
    rotate_target: bool = False
    pair_crop_scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.rotation_degrees <= 180:
            raise invalid("rotation_degrees", "in [0, 180]", self.rotation_degrees, "Set 0 to switch it off.")
        if not 0 <= self.brightness <= 1:
            raise invalid("brightness", "in [0, 1]", self.brightness, "Set 0 to switch it off.")
        for name in ("style_crop_scale", "pair_crop_scale"):
            scale = getattr(self, name)
            if not (isinstance(scale, Sequence) and len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
                fix = "Set (1.0, 1.0) to switch it off."
                raise invalid(name, "a pair (low, high) with 0 < low <= high <= 1", scale, fix)
            object.__setattr__(self, name, tuple(scale))
        if self.seed < 0:
            raise invalid("seed", "non-negative", self.seed, "Choose another.")

    def generator(self, epoch: int, index: int) -> np.random.Generator:
        """The generator of one row in one epoch."""
        return np.random.default_rng([self.seed, epoch, index])

    def __call__(self, row: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        """
        Args:
            row (`Mapping[str, Any]`):
                `content`, `style` and, if present, `target`: images of any size and mode, as
                [`~stylevar_hf.image_processing_stylevar.load_image`] takes them. Other keys are handed on. `None`
                stays `None`.
            generator (`np.random.Generator`):
                Where the random numbers come from; see [`TripletAugmentation.generator`].

        Returns:
            `dict[str, Any]`: A new row; the given one is not changed. Images are 8-bit RGB.
        """
        # Always as many draws, so that switching one change off leaves the others as they were.
        angle, factor, scale, left, top, *pair, mirror = generator.uniform(size=9)
        angle = self.rotation_degrees * (2 * angle - 1)
        factor = 1 + self.brightness * (2 * factor - 1)
        low, high = self.style_crop_scale
        row = dict(row)
        if self.pair_crop_scale != (1.0, 1.0):
            share = self.pair_crop_scale[0] + (self.pair_crop_scale[1] - self.pair_crop_scale[0]) * pair[0]
            for name in ("content", "target"):
                if row.get(name) is not None:
                    row[name] = crop(load_image(row[name], name), share, *pair[1:])
        if row.get("content") is not None:
            content = rotate(load_image(row["content"], "content"), angle)
            row["content"] = PIL.ImageEnhance.Brightness(content).enhance(factor) if self.brightness else content
        if row.get("style") is not None:
            row["style"] = crop(load_image(row["style"], "style"), low + (high - low) * scale, left, top)
        if self.rotate_target and row.get("target") is not None:
            row["target"] = rotate(load_image(row["target"], "target"), angle)
        if self.flip and mirror < 0.5:
            for name in IMAGE_COLUMNS:
                if row.get(name) is not None:
                    row[name] = load_image(row[name], name).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
        return row


def rotate(image: PIL.Image.Image, angle: float) -> PIL.Image.Image:
    """`image` turned by `angle` degrees about its centre, of the same size, its borders reflected into the corners."""
    if angle == 0:
        return image
    width, height = image.size
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    # How far the turned frame reaches beyond the image, and two pixels for the bicubic filter.
    margin_x = max(0, math.ceil((width * cos + height * sin - width) / 2)) + 2
    margin_y = max(0, math.ceil((width * sin + height * cos - height) / 2)) + 2
    padded = np.pad(np.asarray(image), ((margin_y, margin_y), (margin_x, margin_x), (0, 0)), mode="symmetric")
    turned = PIL.Image.fromarray(padded).rotate(angle, resample=PIL.Image.Resampling.BICUBIC)
    return turned.crop((margin_x, margin_y, margin_x + width, margin_y + height))


def crop(image: PIL.Image.Image, scale: float, left: float, top: float) -> PIL.Image.Image:
    """The part of `image` with `scale` of its area and its aspect ratio; `left` and `top` in [0, 1] say where."""
    side = math.sqrt(scale)
    width, height = (max(1, round(length * side)) for length in image.size)
    x, y = round(left * (image.width - width)), round(top * (image.height - height))
    return image if (width, height) == image.size else image.crop((x, y, x + width, y + height))


__all__ = ["TripletAugmentation"]
