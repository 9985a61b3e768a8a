# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Colours of any picture as sRGB: ICC profiles, CMYK and CIELAB, transparency on white."""

import io
from functools import lru_cache

import numpy as np
import PIL.Image


try:
    from PIL import ImageCms
except ImportError:  # Pillow may be built without LittleCMS: then profiles are not used
    ImageCms = None

# What the header of a profile calls the colours of Pillow's modes.
_COLOR_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
# Levels of 255 by which a profile may differ from sRGB and still be called the same.
_SAME_COLORS = 2


def to_rgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """
    A decoded picture as sRGB, transparency composited on white.

    Args:
        image (`PIL.Image.Image`): Of any mode of 8 bits.
        profile (`bytes`, *optional*): The ICC profile of its colours. One that is damaged or of another kind of
            colours than the mode is not used.

    Returns:
        `PIL.Image.Image`: A new one, mode `RGB`.

    Raises:
        ValueError: If Pillow cannot convert the mode.
    """
    if not image.has_transparency_data:
        return _opaque_to_rgb(image, profile)
    if image.mode in ("L", "LA", "La", "1"):
        grey = image.convert("LA")
        colors, alpha = grey.getchannel("L"), grey.getchannel("A")
    else:
        colors = image.convert("RGBA")
        colors, alpha = colors.convert("RGB"), colors.getchannel("A")
    layer = _opaque_to_rgb(colors, profile)
    layer.putalpha(alpha)
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _opaque_to_rgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    if image.mode not in _COLOR_SPACES:
        image = image.convert("L" if image.mode == "1" else "RGB")
    if ImageCms is not None and (profile or image.mode == "LAB"):
        converted = _from_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB")


def _from_profile(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image | None:
    """The picture in sRGB; `None` if the profile cannot be used or says nothing else than sRGB."""
    if image.mode == "RGB" and _is_srgb(profile):
        return None
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else _open_profile(profile)
        if image.mode != "LAB" and source.profile.xcolor_space.strip() != _COLOR_SPACES[image.mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):  # what LittleCMS says of a damaged profile
        return None


def _open_profile(profile: bytes) -> "ImageCms.ImageCmsProfile":
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Whether RGB colours stay what they are, but for rounding: most profiles that files carry are those of sRGB."""
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    try:
        transform = ImageCms.buildTransform(_open_profile(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB")
        converted = np.asarray(ImageCms.applyTransform(PIL.Image.fromarray(colors), transform))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return False
    return int(np.abs(converted.astype(int) - colors).max()) <= _SAME_COLORS


__all__ = ["to_rgb"]
