# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Measures between two pictures that need no trained network: those of [`stylevar_hf.measures`], for pictures.

| function | 0 or best | unit | asks |
|---|---|---|---|
| [`structural_similarity`] | 1 | none, in [-1, 1] | are the same structures in the same places? |
| [`peak_signal_to_noise_ratio`] | 100 | dB | are the pixels the same? |
| [`mean_colour_difference`] | 0 | CIELAB (Delta E) | how far apart are the pixels' colours? |
| [`colour_distance`] | 0 | CIELAB (Delta E) | is the palette the same, wherever the colours are? |
| [`texture_distance`] | 0 | octaves | are strokes and grain the same, wherever they are? |

A picture is a PIL image or an array `(height, width, 3)`, uint8 in [0, 255] or float in [0, 1], sRGB.
"""

import numpy as np
import PIL.Image
import torch

from ..image_processing_stylevar import load_image
from . import psnr, ssim
from .colour import Palette, lab_to_rgb, rgb_to_lab
from .colour import mean_colour_difference as colour_difference
from .texture import Texture


Picture = PIL.Image.Image | np.ndarray


def to_float_array(image: Picture, name: str = "image") -> np.ndarray:
    """
    A picture as float32 `(height, width, 3)` in [0, 1].

    Args:
        image (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            uint8 in [0, 255] or float in [0, 1].
        name (`str`, *optional*, defaults to `"image"`):
            What error messages call it.

    Returns:
        `np.ndarray` of shape `(height, width, 3)`

    Raises:
        ValueError: If shape, dtype or range do not fit.
    """
    array = np.asarray(load_image(image, name) if isinstance(image, PIL.Image.Image) else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(
            f"`{name}` must be of shape (height, width, 3), but got {array.shape}. Convert it to RGB, channels last."
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype.kind != "f":
        raise ValueError(f"`{name}` must be of dtype uint8 or float, but got {array.dtype}. Convert it first.")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"`{name}` must be in [0, 1], but got values in [{array.min():g}, {array.max():g}]. "
            "Map [-1, 1] by `x / 2 + 0.5`."
        )
    return array.astype(np.float32)


def to_lab(image: Picture, name: str = "image") -> np.ndarray:
    """A picture in CIELAB (D65), float32 `(height, width, 3)`: L in [0, 100], a and b about [-100, 100]."""
    return rgb_to_lab(_to_batch(image, name))[0].permute(1, 2, 0).numpy()


def lab_to_array(lab: np.ndarray) -> np.ndarray:
    """CIELAB `(height, width, 3)` as uint8 sRGB of the same shape; colours that sRGB lacks are clipped."""
    rgb = lab_to_rgb(torch.from_numpy(lab).permute(2, 0, 1)[None])[0]
    return (rgb.permute(1, 2, 0) * 255 + 0.5).floor().to(torch.uint8).numpy()


def structural_similarity(image: Picture, reference: Picture) -> float:
    """
    SSIM, see [`stylevar_hf.measures.ssim.structural_similarity`].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size, at least 11 x 11.

    Returns:
        `float`: In [-1, 1]; 1 for equal pictures.

    Raises:
        ValueError: If a picture is not one, is too small, or the sizes differ.
    """
    return ssim.structural_similarity(*_same_size(image, reference)).item()


def peak_signal_to_noise_ratio(image: Picture, reference: Picture) -> float:
    """
    PSNR, see [`stylevar_hf.measures.psnr.peak_signal_to_noise_ratio`].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size.

    Returns:
        `float`: In decibels, in [0, 100]; 100 for equal pictures.

    Raises:
        ValueError: If a picture is not one or the sizes differ.
    """
    return psnr.peak_signal_to_noise_ratio(*_same_size(image, reference)).item()


def mean_colour_difference(image: Picture, reference: Picture) -> float:
    """
    Mean colour difference, see [`stylevar_hf.measures.colour.mean_colour_difference`].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size.

    Returns:
        `float`: In units of Delta E, 0 or more.

    Raises:
        ValueError: If a picture is not one or the sizes differ.
    """
    return colour_difference(*_same_size(image, reference)).item()


def colour_signature(image: Picture, name: str = "image") -> np.ndarray:
    """What [`colour_distance`] compares, float32 of shape `(32, 1024)`."""
    return Palette().describe(_to_batch(image, name))[0].numpy()


def colour_distance(image: Picture, reference: Picture) -> float:
    """
    Distance between two palettes, see [`stylevar_hf.measures.colour.Palette`].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures; their sizes may differ.

    Returns:
        `float`: In units of Delta E, 0 or more; at most about 100.

    Raises:
        ValueError: If a picture is not one.
    """
    return signature_distance(colour_signature(image), colour_signature(reference, "reference"))


def texture_signature(image: Picture, name: str = "image") -> np.ndarray:
    """What [`texture_distance`] compares, float32 of shape `(18, 1024)`."""
    return Texture().describe(_to_batch(image, name))[0].numpy()


def texture_distance(image: Picture, reference: Picture) -> float:
    """
    Distance between two textures, see [`stylevar_hf.measures.texture.Texture`].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures; their sizes may differ, but the texture is measured in pixels.

    Returns:
        `float`: In octaves of amplitude, 0 or more. Among the procedural triplets about 0.2 between a target and its
        style, and 0.6 between a target and another's style or its content.

    Raises:
        ValueError: If a picture is not one.
    """
    return signature_distance(texture_signature(image), texture_signature(reference, "reference"))


def signature_distance(signature: np.ndarray, reference: np.ndarray) -> float:
    """
    The distance of two pictures from their signatures; saves computing those again for each pair.

    Args:
        signature, reference (`np.ndarray`):
            Results of [`colour_signature`] or of [`texture_signature`], of one kind.

    Returns:
        `float`: In the unit of that kind.

    Raises:
        ValueError: If they are not of one kind.
    """
    if signature.shape != reference.shape:
        raise ValueError(
            f"`reference` must be of the shape {signature.shape} of `signature`, but got {reference.shape}. "
            "Compare signatures of one kind."
        )
    return float(np.mean(np.abs(signature - reference), dtype=np.float64))


def _to_batch(image: Picture, name: str = "image") -> torch.Tensor:
    """`(1, 3, height, width)` in [0, 1]."""
    return torch.from_numpy(to_float_array(image, name)).permute(2, 0, 1)[None]


def _same_size(image: Picture, reference: Picture) -> tuple[torch.Tensor, torch.Tensor]:
    image, reference = _to_batch(image), _to_batch(reference, "reference")
    if image.shape != reference.shape:
        got = f"{tuple(reference.shape[2:])}"
        raise ValueError(
            f"`reference` must have the size {tuple(image.shape[2:])} of `image`, but got {got}. Resize one."
        )
    return image, reference


__all__ = [
    "colour_distance",
    "colour_signature",
    "mean_colour_difference",
    "peak_signal_to_noise_ratio",
    "signature_distance",
    "structural_similarity",
    "texture_distance",
    "texture_signature",
]
