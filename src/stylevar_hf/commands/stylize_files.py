# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of `stylevar stylize`: which pictures are meant, what their results are called, how these are written."""

import argparse
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from uuid import uuid4

from .base import one_line
from .stylize_controls import is_blend


if TYPE_CHECKING:
    import PIL.Image


IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
OUTPUT_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Source:
    """
    A picture to read: its path or URL, the name that its results carry, and the picture if it was read already. Or
    several styles that are blended into one.
    """

    location: str
    label: str
    image: "PIL.Image.Image | None" = None
    parts: tuple["Source", ...] = ()

    def read(self, name: str) -> "PIL.Image.Image":
        from ..image_processing_stylevar import load_image

        return load_image(self.location, name) if self.image is None else self.image


@dataclass(frozen=True)
class Pair:
    """A content, a style, and the files of their images."""

    content: Source
    style: Source
    outputs: tuple[Path, ...]


def find_sources(name: str, location: str, recursive: bool) -> list[Source]:
    """
    The pictures that an argument stands for. A single one is read at once; those of a folder when their turn comes.

    Args:
        name (`str`): What error messages call the argument.
        location (`str`): A file, a URL or a folder.
        recursive (`bool`): Whether to look into subfolders.

    Returns:
        `list[Source]`: Sorted by path.

    Raises:
        ValueError: If a single picture cannot be read, or a folder holds none.
    """
    if not Path(location).is_dir():
        from ..image_processing_stylevar import load_image

        path = urlparse(location).path if location.startswith(("http://", "https://")) else location
        try:
            image = load_image(location, name)
        except ValueError as error:
            raise ValueError(with_mend_for_shells(error)) from error
        return [Source(location, Path(path).stem or "image", image)]
    folder = Path(location)
    files = sorted(
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not files:
        hint = "Name another one." if recursive else "Name another one, or add --recursive for its subfolders."
        raise ValueError(
            f"`{name}` must be an image or a folder of images ({', '.join(IMAGE_SUFFIXES)}), but got the "
            f"folder {location!r} without any. {hint}"
        )
    labels = [PurePosixPath(path.relative_to(folder).as_posix()) for path in files]
    stems = Counter(str(label.with_suffix("")).lower() for label in labels)
    # a.jpg and a.png in one folder keep their suffixes, or their results would have one name
    unique = [label.with_suffix("") if stems[str(label.with_suffix("")).lower()] == 1 else label for label in labels]
    return [Source(str(path), str(label)) for path, label in zip(files, unique, strict=True)]


def find_styles(args: argparse.Namespace) -> list[Source]:
    """All styles that are named; a single one that stands for them if they are to be blended."""
    found = [source for style in args.style for source in find_sources("STYLE", style, args.recursive)]
    if not is_blend(args):
        return found
    if len(found) != len(args.style):
        raise ValueError("`STYLE` must be pictures where they are blended, but got a folder. Name the files in it.")
    location, label = (sep.join(names) for sep, names in ((" + ", args.style), ("+", [s.label for s in found])))
    return [Source(location, label, parts=tuple(found))]


def with_mend_for_shells(error: Exception | str) -> str:
    """The message in one line. Where it says to raise `max_image_pixels`, which no flag does, it says what helps."""
    return re.sub(r"(?<=\. )[^.]*`max_image_pixels`.*", "Shrink the picture first.", one_line(error))


def plan_outputs(args: argparse.Namespace, contents: Sequence[Source], styles: Sequence[Source]) -> list[Pair]:
    """All pairs, style by style, and the files of their images. Raises `ValueError` if `--output` cannot hold them."""
    output = Path(args.output)
    is_folder = output.is_dir() or args.output.endswith(("/", os.sep)) or not output.suffix
    is_image = output.suffix.lower() in OUTPUT_SUFFIXES
    from_folder = Path(args.content).is_dir() or any(Path(style).is_dir() for style in args.style)
    from_folder = from_folder or len(styles) > 1
    if not is_folder and (from_folder or args.num_images > 1):
        if is_image:
            what = "a folder of inputs" if from_folder else f"{args.num_images} images"
            raise ValueError(f"`--output` must be a folder for {what}, but got {args.output!r}. Leave out the suffix.")
        is_folder = True
    if not is_folder and not is_image:
        rule = f"end in one of {', '.join(OUTPUT_SUFFIXES)}"
        raise ValueError(f"`--output` must {rule}, but got {args.output!r}. Use .png, which loses nothing.")
    if not is_folder:
        return [Pair(contents[0], styles[0], (output,))]
    indices = [""] if args.num_images == 1 else [f"_{k}" for k in range(args.num_images)]
    return [
        Pair(
            content, style, tuple(output / f"{content.label}__{style.label.replace('/', '-')}{k}.png" for k in indices)
        )
        for style in styles
        for content in contents
    ]


def check_outputs(args: argparse.Namespace, pairs: Sequence[Pair]) -> None:
    """Nothing is replaced that was not meant to be, and every file can be written."""
    outputs = [path for pair in pairs for path in pair.outputs]
    if len(set(outputs)) < len(outputs):
        twice = Counter(outputs).most_common(1)[0][0]
        raise ValueError(f"Inputs must have names that tell their results apart, but two become {twice}. Rename one.")
    sources = [source for pair in pairs for source in (pair.content, pair.style, *pair.style.parts)]
    inputs = {Path(source.location).resolve() for source in sources}
    for path in outputs:
        if path.resolve() in inputs:
            raise ValueError(f"`--output` must not be an input, but got {str(path)!r} for both. Choose another.")
    if args.previews:
        outputs += [old for path in outputs for old in path.parent.glob(f"{escape(path.stem)}_scale*{path.suffix}")]
    # `os.path.exists`, not `Path.exists`: a name that is too long raises in the latter, and fails when it is written
    if existing := [path for path in outputs if os.path.exists(path) and (path.is_dir() or not args.overwrite)]:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise ValueError(
            f"`--output` must be new, but {str(existing[0])!r}{more} exists. Choose another, or --overwrite."
        )
    for folder in {path.parent for path in outputs}:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ValueError(
                f"`--output` must be in a folder that can be written to, but got {str(folder)!r}. Check it."
            )


def save_image(image: "PIL.Image.Image", path: Path) -> None:
    """Writes beside `path` and renames, so that no half-written image ever carries its name."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid4().hex}.part")  # short, whatever the length of the name
    try:
        image.save(part, format=Image.registered_extensions()[path.suffix.lower()], quality=95)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
