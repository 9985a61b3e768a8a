# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which files of ImagePulse-StyleTransfer make up which sample, be they in a folder or in an archive."""

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..._common.files import IMAGE_SUFFIXES
from ..columns import IMAGE_COLUMNS
from .scanning import Scan


LAYOUTS = ("auto", "prepared", "raw", "archives")
# What the JSON file of a sample calls its images. `image_3` is a draft.
JSON_FIELDS = {"content": "image_1", "style": "image_2", "target": "image_4"}
# JSON files that describe a download rather than a sample.
_OTHER_JSON = ("configuration.json", "dataset_infos.json", "dataset_info.json")


def is_sample_file(name: str) -> bool:
    """Whether a file is the JSON file of a sample."""
    return name.lower().endswith(".json") and posixpath.basename(name) not in _OTHER_JSON


def find_samples(
    names: Sequence[str],
    read: Callable[[str], bytes],
    where: Callable[[str], str],
    scan: Scan,
    layout: str = "auto",
    skip_artifacts: bool = False,
) -> list[dict[str, str | None]]:
    """
    Puts files together to samples.

    Args:
        names (`Sequence[str]`):
            The files, sorted, relative to their folder or archive, with forward slashes.
        read (`Callable[[str], bytes]`):
            Gives the contents of a JSON file.
        where (`Callable[[str], str]`):
            What messages call a file.
        scan ([`Scan`]):
            Takes the problems.
        layout (`str`, *optional*, defaults to `"auto"`):
            `"prepared"`, `"raw"`, or `"auto"`: prepared if any image is called `content`, `style` or `target`.
        skip_artifacts (`bool`, *optional*, defaults to `False`):
            Whether to leave out raw samples with artifacts.

    Returns:
        `list[dict[str, str | None]]`: `content`, `style`, `target` (names), `content_id`, `style_id`. Prepared samples
        hold copies of their contents, so that no name tells which are the same: their `content_id` is `None`.
    """
    prepared = [name for name in names if _column_of(name) is not None]
    if layout == "prepared" or (layout == "auto" and prepared):
        return _prepared_samples(prepared, where, scan)
    return _raw_samples(names, read, where, scan, skip_artifacts)


def _column_of(name: str) -> str | None:
    stem, suffix = posixpath.splitext(posixpath.basename(name))
    return stem if stem in IMAGE_COLUMNS and suffix.lower() in IMAGE_SUFFIXES else None


def _prepared_samples(names: Sequence[str], where: Callable[[str], str], scan: Scan) -> list[dict[str, str | None]]:
    folders: dict[str, dict[str, str]] = {}
    for name in names:
        sample, column = folders.setdefault(posixpath.dirname(name), {}), _column_of(name)
        if column in sample:
            scan.error(column, where(name), f"lies beside {posixpath.basename(sample[column])}: which one is meant?")
        sample.setdefault(column, name)
    rows = []
    for folder, sample in folders.items():
        for column in IMAGE_COLUMNS:
            if column not in sample:
                scan.error(column, where(posixpath.join(folder, f"{column}.png")), "is missing")
        if len(sample) == len(IMAGE_COLUMNS):
            images = {column: sample[column] for column in IMAGE_COLUMNS}
            rows.append({**images, "content_id": None, "style_id": folder or "."})
    return rows


def _raw_samples(
    names: Sequence[str], read: Callable[[str], bytes], where: Callable[[str], str], scan: Scan, skip_artifacts: bool
) -> list[dict[str, str]]:
    there, used, rows = set(names), set(), []
    for name in filter(is_sample_file, names):
        try:
            sample = json.loads(read(name))
        except (ValueError, RecursionError, OSError) as error:
            scan.error(None, where(name), f"is not readable JSON ({error})")
            continue
        if not isinstance(sample, dict):
            scan.error(None, where(name), f"must be a JSON object, but is a {type(sample).__name__}")
            continue
        images, complete = {}, True
        for column, field in JSON_FIELDS.items():
            images[column] = _image_of(sample, field, posixpath.dirname(name), there)
            if images[column] is None:
                complete = False
                scan.error(column, where(name), _missing(sample, field))
        draft = _image_of(sample, "image_3", posixpath.dirname(name), there)
        used |= {image for image in (*images.values(), draft) if image}
        if complete and not (skip_artifacts and _has_artifacts(sample)):
            rows.append({**images, "content_id": images["content"], "style_id": images["style"]})
    for name in names:
        if name not in used and posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES:
            scan.warning(None, where(name), "belongs to no sample")
    return rows


def _image_of(sample: Mapping[str, Any], field: str, folder: str, there: set[str]) -> str | None:
    """The file that a field names: beside the JSON file, below the top folder, or, by its last part, beside it."""
    value = sample.get(field)
    if not isinstance(value, str) or not value:
        return None
    value = value.replace("\\", "/")
    # All three are looked up among the files that are there, so no name can lead outside.
    for candidate in (posixpath.join(folder, value), value, posixpath.join(folder, posixpath.basename(value))):
        if (candidate := posixpath.normpath(candidate)) in there:
            return candidate
    return None


def _missing(sample: Mapping[str, Any], field: str) -> str:
    if field not in sample:
        return f"has no {field!r}; its fields are {', '.join(sorted(sample)) or 'none'}"
    return f"has {field}={sample[field]!r}, which is missing"


def _has_artifacts(sample: Mapping[str, Any]) -> bool:
    flags = (sample.get(f"artifacts_in_{field}") for field in JSON_FIELDS.values())
    return any(flag.strip().lower() in ("true", "yes", "1") if isinstance(flag, str) else bool(flag) for flag in flags)


__all__ = ["JSON_FIELDS", "LAYOUTS", "find_samples", "is_sample_file"]
