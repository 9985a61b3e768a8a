# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Galleries: rows of pictures under headings, to look at what the numbers mean."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from ..._common.files import replacing
from ...image_processing_stylevar import load_image
from ..inputs import check_count


Cell = PIL.Image.Image | np.ndarray

BACKGROUND, INK, FAINT_INK = (255, 255, 255), (32, 32, 32), (112, 112, 112)


def draw_gallery(
    columns: Mapping[str, Sequence[Cell]],
    *,
    cell_size: int = 192,
    gap: int = 8,
    title: str | None = None,
) -> PIL.Image.Image:
    """
    Arrange pictures in a grid, one column under each heading.

    Args:
        columns (`Mapping[str, Sequence[PIL.Image.Image | np.ndarray]]`):
            Heading to the column's pictures, top to bottom; all columns of one length. Arrays are uint8
            `(height, width, 3)`.
        cell_size (`int`, *optional*, defaults to 192):
            Side of the square that each picture is fitted into, in pixels. At one, two, three times a picture's size
            every pixel stays crisp.
        gap (`int`, *optional*, defaults to 8):
            Pixels between pictures.
        title (`str`, *optional*):
            A line above the headings.

    Returns:
        `PIL.Image.Image`: RGB, on white.

    Raises:
        ValueError: If there are no pictures or the columns differ in length.
    """
    lengths = {len(pictures) for pictures in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        found = {name: len(pictures) for name, pictures in columns.items()}
        raise ValueError(f"`columns` must hold columns of one length, at least 1, but got {found}. Fill the gaps.")
    check_count("cell_size", cell_size, minimum=8)
    check_count("gap", gap, minimum=0)
    font = _fitting_font(list(columns), cell_size)
    title_font = PIL.ImageFont.load_default(max(10, cell_size // 11))
    line = cell_size // 6
    title_height = line if title else 0
    top = gap + title_height + line
    (num_rows,) = lengths
    width = gap + len(columns) * (cell_size + gap)
    sheet = PIL.Image.new("RGB", (width, top + num_rows * (cell_size + gap)), BACKGROUND)
    draw = PIL.ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, gap + line // 2), title, fill=FAINT_INK, font=title_font, anchor="lm")
    for column, (heading, pictures) in enumerate(columns.items()):
        left = gap + column * (cell_size + gap)
        middle = (left + cell_size // 2, gap + title_height + line // 2)
        draw.text(middle, heading, fill=INK, font=font, anchor="mm")
        for row, picture in enumerate(pictures):
            cell = _fit_cell(picture, cell_size)
            corner = (left + (cell_size - cell.width) // 2, top + row * (cell_size + gap))
            sheet.paste(cell, (corner[0], corner[1] + (cell_size - cell.height) // 2))
    return sheet


def save_gallery(path: str | os.PathLike, columns: Mapping[str, Sequence[Cell]], **arguments) -> Path:
    """
    Draw a gallery and write it as PNG, under a temporary name first.

    Args:
        path (`str` or `os.PathLike`):
            The file; its folder is made if missing.
        columns, arguments:
            See [`draw_gallery`].

    Returns:
        `Path`: The file.

    Raises:
        ValueError: If the columns do not fit.
    """
    path = Path(path)
    sheet = draw_gallery(columns, **arguments)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    return path


def _fitting_font(texts: list[str], width: int) -> PIL.ImageFont.FreeTypeFont:
    """The largest font, up to a tenth of the width, in which no text is wider than its column."""
    for size in range(max(10, width // 10), 6, -1):
        font = PIL.ImageFont.load_default(size)
        if max(font.getlength(text) for text in texts) <= width:
            break
    return font


def _fit_cell(picture: Cell, size: int) -> PIL.Image.Image:
    image = load_image(picture)
    scale = size / max(image.size)
    if scale == 1:
        return image
    shape = tuple(max(1, round(side * scale)) for side in image.size)
    whole = scale == int(scale)
    return image.resize(shape, PIL.Image.Resampling.NEAREST if whole else PIL.Image.Resampling.LANCZOS)


__all__ = ["draw_gallery", "save_gallery"]
