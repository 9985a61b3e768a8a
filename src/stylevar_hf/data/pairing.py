# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Which content meets which style in a set that a teacher makes, and which part of each: decided by the seed and the
number of the triplet alone.
"""

import csv
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from .._common.errors import invalid, listed
from .._common.files import content_hash, existing_folder, files_below
from ..image_processing_stylevar import load_image
from .checking import find_file_problems
from .layouts.scanning import is_image


# A table beside the pictures that says which files are of one source picture, such as the two halves of a photograph.
SOURCES_FILE = "manifest.csv"
_SOURCE_COLUMNS = ("file", "source", "path")
# Streams of random numbers: the order of contents, that of styles, and the parts that are cut out.
_CONTENTS, _STYLES, _PARTS = 1, 2, 3
# Decoded pictures that a process keeps, and their short side in image sizes: a crop is never enlarged by that.
_CACHED_PICTURES, _KEPT_SIZE = 64, 2


@dataclass(frozen=True)
class Picture:
    """
    A file to draw from.

    Args:
        path (`str`): Where it is.
        name (`str`): Its path within its folder.
        id (`str`): The same for all files of one source picture.
        digest (`str`): A hash of its bytes.
    """

    path: str
    name: str
    id: str
    digest: str


@dataclass(frozen=True)
class Part:
    """
    A square of a picture.

    Args:
        picture (`int`): Its index.
        left, top, side (`float`): In [0, 1]: of the room there is on the left and above, and of the short side.
        flip (`bool`): Whether it is mirrored, left and right.
    """

    picture: int
    left: float
    top: float
    side: float
    flip: bool


def read_pictures(
    name: str,
    source: str | os.PathLike | Sequence[str | os.PathLike],
    skip_broken: bool = False,
    progress: bool = True,
) -> tuple[list[Picture], list[str]]:
    """
    The pictures of a folder, decoded once to see that they can be.

    Args:
        name (`str`):
            What error messages call it.
        source (`str`, `os.PathLike` or a sequence of them):
            A folder, with its subfolders, or files. Of files, a picture that is named twice is drawn twice as often.
        skip_broken (`bool`, *optional*, defaults to `False`):
            Leave out what cannot be decoded instead of stopping.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Returns:
        `tuple(list[Picture], list[str])`: The pictures, sorted by name if they are of a folder, and what was left out.

    Raises:
        ValueError: If there is no picture, or one that cannot be decoded (the message lists them).
    """
    if isinstance(source, str | os.PathLike):
        folder = existing_folder(name, source)
        files = [(path, path.relative_to(folder).as_posix()) for path in files_below(folder) if is_image(path)]
        where = f"{str(folder)!r} without any"
    else:
        files = [(Path(path).expanduser(), Path(path).name) for path in source]
        where = "an empty list"
    if not files:
        raise invalid(name, "a folder with pictures", where, "Check the path.")
    unique = sorted({str(path) for path, _ in files})
    problems, _ = find_file_problems([(None, path) for path in unique], progress=progress)
    if problems and (not skip_broken or len(problems) == len(unique)):
        raise ValueError(
            f"`{name}` must hold pictures that can be decoded, but got {len(problems)} of {len(unique)} that cannot. "
            f"Repair them, or leave them out with `skip_broken`:\n{listed(problems)}"
        )
    broken = {problem.path for problem in problems}
    pictures, read = [], functools.cache(_read_sources)
    for path, shown in files:
        if str(path) not in broken:
            digest = content_hash(path.read_bytes())
            pictures.append(Picture(str(path), shown, _source_of(path, read) or digest, digest))
    return pictures, [str(problem) for problem in problems]


def _source_of(path: Path, read: Callable[[Path], dict[str, str]]) -> str | None:
    """Which source picture a file is of, where a `manifest.csv` beside it or beside its folder says so."""
    for folder in list(path.parents)[:2]:
        if source := read(folder / SOURCES_FILE).get(path.relative_to(folder).as_posix()):
            return source
    return None


def _read_sources(file: Path) -> dict[str, str]:
    """File to its source picture; empty if there is no such table, or it is one of something else."""
    if not file.is_file():
        return {}
    with open(file, encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        if not set(_SOURCE_COLUMNS) <= set(table.fieldnames or ()):
            return {}
        return {row["file"]: f"{row['source']}/{row['path']}" for row in table}


@dataclass(frozen=True)
class Pairing:
    """
    An endless list of pairs.

    Every content comes once before any comes again, and so do the styles, each in an order of its own that changes
    from pass to pass.

    Args:
        num_contents, num_styles (`int`):
            How many there are.
        seed (`int`):
            Another seed, other pairs and parts.
        min_crop (`float`):
            The side of the smallest square that is cut out, as a share of the short side, in (0, 1].
        flip (`bool`):
            Whether half of the squares are mirrored.
    """

    num_contents: int
    num_styles: int
    seed: int
    min_crop: float
    flip: bool

    def __getitem__(self, index: int) -> tuple[Part, Part]:
        """The content and the style of a triplet."""
        generator = np.random.default_rng([self.seed, _PARTS, index])
        content = _in_turn(self.seed, _CONTENTS, self.num_contents, index)
        style = _in_turn(self.seed, _STYLES, self.num_styles, index)
        return self._part(content, generator), self._part(style, generator)

    def _part(self, picture: int, generator: np.random.Generator) -> Part:
        left, top, side, flip = generator.random(4).tolist()
        side = self.min_crop + (1 - self.min_crop) * side
        return Part(picture, left, top, side, self.flip and flip < 0.5)


def _in_turn(seed: int, stream: int, count: int, index: int) -> int:
    number, place = divmod(index, count)
    return int(_order(seed, stream, count, number)[place])


@functools.lru_cache(maxsize=64)
def _order(seed: int, stream: int, count: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, number]).permutation(count)


def box_of(part: Part, size: tuple[int, int], image_size: int) -> tuple[float, float, float, float]:
    """
    The square in pixels, `(left, top, right, bottom)`: of at least `image_size`, if the picture is as large, so that
    nothing is enlarged without need.
    """
    short = min(size)
    side = max(part.side * short, min(image_size, short))
    left, top = part.left * (size[0] - side), part.top * (size[1] - side)
    return left, top, left + side, top + side


def cut(part: Part, path: str, image_size: int) -> PIL.Image.Image:
    """The square as an RGB image of `image_size` x `image_size`."""
    image = _decoded(path, _KEPT_SIZE * image_size)
    box = box_of(part, image.size, image_size)
    image = image.resize((image_size, image_size), PIL.Image.Resampling.LANCZOS, box=box)
    return image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if part.flip else image


@functools.lru_cache(maxsize=_CACHED_PICTURES)
def _decoded(path: str, max_short_side: int) -> PIL.Image.Image:
    image = load_image(path)
    if min(image.size) <= max_short_side:
        return image
    scale = max_short_side / min(image.size)
    size = tuple(round(length * scale) for length in image.size)
    return image.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=3)


def describe_part(part: Part, picture: Picture) -> dict[str, Any]:
    """A part for the list of triplets: the file, and the square as shares."""
    shares = {key: round(value, 4) for key, value in asdict(part).items() if key in ("left", "top", "side")}
    return {"file": picture.name, **shares, "flip": part.flip}


__all__ = ["Pairing", "Part", "Picture", "box_of", "cut", "describe_part", "read_pictures"]
