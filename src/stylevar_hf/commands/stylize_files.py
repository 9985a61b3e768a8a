# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of `stylevar stylize`: which pictures are meant, what their results are called, how these are written."""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from uuid import uuid4

from .._common.files import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, files_below, shown_path
from .base import one_line
from .stylize_controls import is_blend


if TYPE_CHECKING:
    import PIL.Image


# The names of previews, and of files that are not whole yet: those of earlier versions have no process.
_PREVIEW = re.compile(r"(.+)_scale\d+(\.\w+)")
_PARTIAL = re.compile(r"\.(?:stylevar-([0-9a-f]{8})-(\d+)-[0-9a-f]{12}|[0-9a-f]{32})\.part")
# Of a run on another machine nobody can tell whether it goes on; nothing takes that long to write.
_ABANDONED_SECONDS = 3600
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


def find_sources(
    name: str, location: str, recursive: bool, output: str | None = None, notice: Callable[[str], None] | None = None
) -> list[Source]:
    """
    The pictures that an argument stands for. A single one is read at once; those of a folder when their turn comes.

    Args:
        name (`str`): What error messages call the argument.
        location (`str`): A file, a URL or a folder.
        recursive (`bool`): Whether to look into subfolders, those included that are linked.
        output (`str`, *optional*): The folder of the results, which is left out if it lies in that of the pictures.
        notice (`Callable[[str], None]`, *optional*): Told of what cannot be painted: formats that Pillow alone does
            not read, folders that cannot be opened.

    Returns:
        `list[Source]`: Sorted by path.

    Raises:
        ValueError: If a single picture cannot be read, or a folder holds none.
    """
    if not Path(location).is_dir():
        check_exists(name, location)
        from ..image_processing_stylevar import load_image

        path = urlparse(location).path if location.startswith(("http://", "https://")) else location
        try:
            image = load_image(location, name)
        except ValueError as error:
            raise ValueError(with_mend_for_shells(error)) from error
        return [Source(location, Path(path).stem or "image", image)]
    folder = Path(location)
    notice = notice or (lambda _: None)
    if recursive:
        found = files_below(folder, lambda error: notice(f"passed over {error.filename}: {error.strerror}"))
    else:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if output is not None and (results := Path(os.path.realpath(output))) != Path(os.path.realpath(folder)):
        found = [path for path in found if not Path(os.path.realpath(path)).is_relative_to(results)]
    for path in found:
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            notice(f"passed over {shown_path(path)}: save it as JPEG or PNG")
        elif path.is_symlink() and not path.exists():
            notice(f"passed over {shown_path(path)}: it is a link to nothing")
    files = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
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


def check_exists(name: str, location: str) -> None:
    """Raises `ValueError` if a path leads nowhere; before anything slow is imported."""
    if not location.startswith(("http://", "https://")) and not os.path.exists(location):
        shown = location if len(location) <= 500 else f"{location[:500]}..."
        raise ValueError(
            f"`{name}` must be an existing image file or an http(s) URL, but got {shown!r}. Check the path."
        )


def find_styles(args: argparse.Namespace, notice: Callable[[str], None] | None = None) -> list[Source]:
    """All styles that are named; a single one that stands for them if they are to be blended."""
    found = [
        source for style in args.style for source in find_sources("STYLE", style, args.recursive, args.output, notice)
    ]
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


def without_done(args: argparse.Namespace, pairs: Sequence[Pair]) -> list[Pair]:
    """
    What is left to do. Of a folder that holds results already, contents that are themselves results are left out;
    with `--skip-existing`, pairs whose files are all there.
    """
    if Path(args.content).is_dir() and os.path.realpath(args.content) == os.path.realpath(args.output):
        results = {str(path) for pair in pairs for path in pair.outputs}
        pairs = [pair for pair in pairs if str(Path(args.output, Path(pair.content.location).name)) not in results]
    if not args.skip_existing:
        return list(pairs)
    there = _Listing()
    return [pair for pair in pairs if not all(path in there for path in pair.outputs)]


def check_outputs(args: argparse.Namespace, pairs: Sequence[Pair]) -> None:
    """Nothing is replaced that was not meant to be, and every file can be written."""
    outputs = [path for pair in pairs for path in pair.outputs]
    if len(set(outputs)) < len(outputs):
        twice = Counter(outputs).most_common(1)[0][0]
        raise ValueError(f"Inputs must have names that tell their results apart, but two become {twice}. Rename one.")
    there = _Listing()
    sources = [source for pair in pairs for source in (pair.content, pair.style, *pair.style.parts)]
    inputs = {there.real(Path(location)) for location in {source.location for source in sources}}
    for path in outputs:
        if there.real(path) in inputs:
            raise ValueError(f"`--output` must not be an input, but got {str(path)!r} for both. Choose another.")
    if args.previews:
        outputs += there.previews(outputs)
    replace = args.overwrite or args.skip_existing
    # A name that is too long is not there, and fails when it is written.
    if existing := [path for path in outputs if path in there and (not replace or there.is_dir(path))]:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise ValueError(
            f"`--output` must be new, but {str(existing[0])!r}{more} exists. Choose another, --skip-existing or "
            "--overwrite."
        )
    for folder in {path.parent for path in outputs}:
        parent = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise ValueError(
                f"`--output` must be in a folder that can be written to, but got {str(folder)!r}. Check it."
            )


class _Listing:
    """What is in some folders, each read once: thousands of results are looked up."""

    def __init__(self):
        self._entries: dict[Path, dict[str, os.DirEntry]] = {}
        self._real: dict[Path, str] = {}

    def _of(self, folder: Path) -> dict[str, os.DirEntry]:
        if folder not in self._entries:
            self._entries[folder] = {entry.name: entry for entry in os.scandir(folder)} if folder.is_dir() else {}
        return self._entries[folder]

    def __contains__(self, path: Path) -> bool:
        return path.name in self._of(path.parent)

    def is_dir(self, path: Path) -> bool:
        return path in self and self._of(path.parent)[path.name].is_dir()

    def real(self, path: Path) -> str:
        """The path without links."""
        entry = self._of(path.parent).get(path.name)
        if entry is not None and entry.is_symlink():
            return os.path.realpath(path)
        if path.parent not in self._real:
            self._real[path.parent] = os.path.realpath(path.parent)
        return os.path.join(self._real[path.parent], path.name)

    def previews(self, outputs: Sequence[Path]) -> list[Path]:
        """The files that have the names of previews of these."""
        wanted: dict[Path, set[str]] = {}
        for path in outputs:
            wanted.setdefault(path.parent, set()).add(path.name)
        return [
            folder / name
            for folder, results in wanted.items()
            for name in self._of(folder)
            if (match := _PREVIEW.fullmatch(name)) and match[1] + match[2] in results
        ]


def remove_partial(folders: Iterable[Path]) -> None:
    """Files that runs left behind which were killed while they wrote; those of runs that go on are theirs."""
    for folder in folders:
        if not folder.is_dir():
            continue
        for name in os.listdir(folder):
            if not (match := _PARTIAL.fullmatch(name)):
                continue
            with contextlib.suppress(OSError):
                old = time.time() - os.stat(folder / name).st_mtime > _ABANDONED_SECONDS
                here = match[1] in (None, _machine())
                if old or (here and not (match[2] and _is_running(int(match[2])))):
                    os.unlink(folder / name)


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False  # what this process left, it does not write any more
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def save_image(
    image: "PIL.Image.Image", path: Path, overwrite: bool = True, settings: Mapping[str, Any] | None = None
) -> None:
    """
    Writes beside `path` and renames, so that no half-written image ever carries its name.

    Args:
        image (`PIL.Image.Image`): What to write.
        path (`Path`): Where to; its folder is made.
        overwrite (`bool`, *optional*, defaults to `True`): Whether a file that is there by now is replaced.
        settings (`Mapping[str, Any]`, *optional*): What made it, for the text chunk `stylevar` of a PNG.

    Raises:
        FileExistsError: If there is one and it is not.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, whatever the length of the name.
    part = path.with_name(f".stylevar-{_machine()}-{os.getpid()}-{uuid4().hex[:12]}.part")
    options: dict[str, Any] = {"quality": 95}
    if settings is not None and path.suffix.lower() == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("stylevar", json.dumps(settings))
    try:
        image.save(part, format=Image.registered_extensions()[path.suffix.lower()], **options)
        if not overwrite:
            _claim(path)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _claim(path: Path) -> None:
    """Makes the file, or raises `FileExistsError`: of two processes one is the first."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
