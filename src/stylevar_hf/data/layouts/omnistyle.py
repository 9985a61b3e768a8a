# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
OmniStyle-150K: 143,992 triplets of 1,812 contents and 950 styles (`StyleXX/OmniStyle-150k` on the Hub,
`DiffSynth-Studio/OmniStyle` on ModelScope). Its targets were made by earlier methods of style transfer, and no licence
is stated: find out whether you may use it.
"""

import os
import unicodedata
from pathlib import Path

import datasets

from ..._common.errors import invalid
from ..._common.files import existing_folder, files_below
from .scanning import Scan, dataset_from_scan, is_image


# The targets are in one of these folders, depending on where the data set was downloaded from.
TARGET_FOLDERS = ("target", "OmniStyle-150K")
SEPARATOR = "&&"


def load_omnistyle(
    root: str | os.PathLike,
    split: str = "train",
    validation_fraction: float = 0.05,
    seed: int = 0,
    streaming: bool = False,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Loads OmniStyle-150K from its folder, which is only read.

    ```
    root/content/<content file>
    root/style/<style file>
    root/target/<content file>&&<style file>.<suffix>      or root/OmniStyle-150K/...
    ```

    Names hold spaces and doubled suffixes: `room 3.png&&oil.jpeg.jpg.png` is the content `room 3.png` in the style
    `oil.jpeg.jpg`. Files and folders whose names start with a dot are ignored.

    Args:
        root (`str` or `os.PathLike`):
            The folder. A part of the targets is enough.
        split (`str`, *optional*, defaults to `"train"`):
            `"train"`, `"validation"` or `"all"`. No content is in both of the first two.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            The expected share of the contents in the validation split; see [`split_by_content`].
        seed (`int`, *optional*, defaults to 0):
            Another seed, another split.
        streaming (`bool`, *optional*, defaults to `False`):
            Whether to return a `datasets.IterableDataset`.

    Returns:
        `datasets.Dataset` or `datasets.IterableDataset`: Columns `content`, `style`, `target` (images, decoded when a
        row is read), `content_id` and `style_id` (the file names), sorted by target.

    Raises:
        ValueError: If a folder is missing, a name cannot be parsed or is in both folders of targets, a target's
            content or style does not exist (the message names the files), there are no targets, or a single content
            is to be split.
    """
    folder = existing_folder("root", root)
    return dataset_from_scan(scan_omnistyle(folder), folder, split, validation_fraction, seed, streaming)


def parse_target_name(name: str) -> tuple[str, str] | None:
    """
    The content and the style file of a target: everything before the first `&&`, and the rest less its last suffix.
    `None` if the name has no such parts.
    """
    content, separator, rest = name.partition(SEPARATOR)
    style, dot, suffix = rest.rpartition(".")
    return (content, style) if separator and content and style and dot and suffix else None


def _spelled(name: str) -> str:
    """One spelling of letters with accents, of which macOS writes another one."""
    return unicodedata.normalize("NFC", name)


def scan_omnistyle(root: str | os.PathLike) -> Scan:
    """
    The triplets below `root` and what is wrong with them, without decoding an image.

    Raises:
        ValueError: If `content`, `style`, or both `target` and `OmniStyle-150K` are missing.
    """
    root = existing_folder("root", root)
    # One may be a link to the other.
    places = {(root / name).resolve(): root / name for name in reversed(TARGET_FOLDERS) if (root / name).is_dir()}
    targets = sorted(places.values(), key=lambda folder: TARGET_FOLDERS.index(folder.name))
    missing = [name for name in ("content", "style") if not (root / name).is_dir()]
    missing += [] if targets else [" or ".join(TARGET_FOLDERS)]
    if missing:
        hint = "Point at the folder above them."
        raise invalid("root", "a folder with content, style and target", f"{str(root)!r} without {missing}", hint)
    scan = Scan()
    files = {
        name: {_spelled(path.relative_to(root / name).as_posix()): path for path in files_below(root / name)}
        for name in ("content", "style")
    }
    used: dict[str, set[str]] = {"content": set(), "style": set()}
    seen: dict[str, Path] = {}
    for path in (path for folder in targets for path in files_below(folder)):
        first = seen.setdefault(path.name, path)
        if len(targets) > 1 and first.relative_to(root).parts[0] != path.relative_to(root).parts[0]:
            scan.error("target", path, f"has the name of {first}: leave out one of the two folders")
            continue
        names = parse_target_name(_spelled(path.name)) if is_image(path) else None
        if names is None:
            scan.error("target", path, f"is not named <content file>{SEPARATOR}<style file>.<image suffix>")
            continue
        pair = dict(zip(("content", "style"), names, strict=True))
        absent = {column: name for column, name in pair.items() if name not in files[column]}
        for column, name in absent.items():
            scan.error("target", path, f"has no {column}: {root / column / name} is missing")
        if absent:
            continue
        for column, name in pair.items():
            used[column].add(name)
        row = {column: str(files[column][name]) for column, name in pair.items()}
        scan.rows.append({**row, "target": str(path), "content_id": names[0], "style_id": names[1]})
    for column, there in files.items():
        for name in sorted(set(there) - used[column]):
            scan.warning(column, there[name], "belongs to no target")
    return scan


__all__ = ["load_omnistyle", "parse_target_name", "scan_omnistyle"]
