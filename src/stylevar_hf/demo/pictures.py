# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures of strangers in, results out: what the demo accepts, how it shows it, and what it lets people keep."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import PIL.Image
import PIL.ImageOps
from PIL.PngImagePlugin import PngInfo

from ..image_reading_stylevar import UnusableImageError, read_bytes


# Pillow knows many more; some of them start other programs or have seen little use. Its JPEG covers MPO.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "GIF")
MAX_FILE_MEGABYTES = 10
MAX_PIXELS = 24_000_000  # the photographs of telephones have 12 or 24 million
MAX_SIDE = 10_000
# The side to which contents and results are brought for the page.
SHOWN_SIDE = 640


def read_picture(
    source: str | BinaryIO | None,
    name: str,
    max_megabytes: float = MAX_FILE_MEGABYTES,
    max_pixels: int | None = None,
) -> PIL.Image.Image:
    """
    Reads a picture that somebody sent. Its size is checked before anything is decoded.

    Args:
        source (`str` or `BinaryIO`, *optional*): The file, by its path or open; `None` if there is none.
        name (`str`): What messages call it, `"content"` or `"style"`.
        max_megabytes (`float`, *optional*, defaults to 10): Largest file.
        max_pixels (`int`, *optional*, defaults to 24000000): Largest picture.

    Returns:
        `PIL.Image.Image`: Upright, 8-bit RGB.

    Raises:
        ValueError: One sentence for whoever sent it, without names of files, if there is no picture or it is refused.
    """
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    if source is None:
        raise ValueError(f"Add a {name} picture first.")
    size = Path(source).stat().st_size if isinstance(source, str) else source.seek(0, os.SEEK_END)
    if size == 0:
        raise ValueError(f"The {name} file is empty. Choose another one.")
    if size > max_megabytes * 2**20:
        raise ValueError(f"The {name} file is larger than {max_megabytes:g} MB. Shrink it first.")
    try:
        data = Path(source).read_bytes() if isinstance(source, str) else _read_all(source)
        return read_bytes(data, name, "the file", max_pixels, FORMATS, MAX_SIDE)
    except UnusableImageError as error:
        if error.kind == "size":
            raise _too_large(name, max_pixels, error.size) from error
        if error.kind == "frames":
            raise ValueError(f"The {name} picture is animated. Save one of its frames and use that.") from error
        if error.kind == "no image":
            raise ValueError(f"The {name} file is not a picture that can be read. Use JPEG, PNG or WebP.") from error
        raise ValueError(f"The {name} picture is damaged. Save it again as JPEG or PNG.") from error


def read_mask_picture(
    file: BinaryIO, name: str, max_megabytes: float = MAX_FILE_MEGABYTES, max_pixels: int | None = None
) -> PIL.Image.Image:
    """
    As [`read_picture`], but in 8-bit grey, white where something counts: what is transparent, where the picture has
    transparency, as masks of OpenAI's API do; else what is white.
    """
    mask = read_picture(file, name, max_megabytes, max_pixels)
    file.seek(0)
    with PIL.Image.open(file, formats=FORMATS) as image:  # it has just been found to be sound
        if image.has_transparency_data:
            return PIL.ImageOps.invert(PIL.ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))
    return mask.convert("L")


def _read_all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _too_large(name: str, max_pixels: int, size: tuple[int, int] | None = None) -> ValueError:
    found = f" ({size[0]:,} x {size[1]:,} pixels)" if size else ""
    return ValueError(
        f"The {name} picture is too large{found}: at most {max_pixels / 10**6:g} million pixels and {MAX_SIDE:,} "
        "on a side. Shrink it first."
    )


def fitted_size(size: tuple[int, int], side: int = SHOWN_SIDE) -> tuple[int, int]:
    """Width and height in the proportions of `size`, the longer one `side`."""
    scale = side / max(size)
    return tuple(max(1, round(length * scale)) for length in size)


def shown(image: PIL.Image.Image) -> PIL.Image.Image:
    """The picture at the size in which the page shows it."""
    return image.resize(fitted_size(image.size), PIL.Image.Resampling.LANCZOS)


def contact_sheet(images: Sequence[PIL.Image.Image]) -> PIL.Image.Image:
    """Pictures of one size in a grid, two abreast if there are several."""
    if len(images) == 1:
        return images[0]
    width, height = images[0].size
    sheet = PIL.Image.new("RGB", (2 * width, math.ceil(len(images) / 2) * height), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (index % 2 * width, index // 2 * height))
    return sheet


def save_result(image: PIL.Image.Image, folder: Path, settings: dict[str, object]) -> str:
    """
    Writes a PNG whose name holds the seed and the strength, and whose text chunk `stylevar` holds all settings.

    Args:
        image (`PIL.Image.Image`): The result.
        folder (`pathlib.Path`): Where it goes.
        settings (`dict`): What made it, JSON; with `seed` and `style_strength`.

    Returns:
        `str`: The file.
    """
    info = PngInfo()
    info.add_text("stylevar", json.dumps(settings))
    path = folder / f"stylevar_seed{settings['seed']}_strength{settings['style_strength']:+.2f}.png"
    image.save(path, pnginfo=info)
    return str(path)


__all__ = ["contact_sheet", "fitted_size", "read_mask_picture", "read_picture", "save_result", "shown"]
