# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Plain folders of content, style and target."""

import json
import os
from pathlib import Path

from ..columns import IMAGE_COLUMNS
from .omnistyle import TARGET_FOLDERS
from .scanning import Scan, by_stem


METADATA_FILE = "metadata.jsonl"


def folder_columns(root: Path) -> tuple[str, ...]:
    """
    Which of `content`, `style` and `target` are folders below `root`: all three, the first two, or none of them if
    one of these is missing, or if the targets are laid out as those of OmniStyle.
    """
    if not all((root / column).is_dir() for column in IMAGE_COLUMNS[:2]):
        return ()
    if (root / "target").is_dir():
        return IMAGE_COLUMNS
    return () if any((root / name).is_dir() for name in TARGET_FOLDERS) else IMAGE_COLUMNS[:2]


def scan_folders(root: str | os.PathLike) -> Scan:
    """
    The triplets of `root/content`, `root/style` and `root/target`, whose files have the same names but for their
    suffixes, those of subfolders included; pairs where there is no folder of targets.

    A name belongs to a triplet, not to a content, which may lie there under many: its id is what `metadata.jsonl`
    says, as [`make_triplets`] writes it, or else a hash.
    """
    root, scan = Path(root), Scan()
    columns = folder_columns(root)
    images = {column: by_stem(root / column, scan, column) for column in columns}
    if "target" not in columns and not set.intersection(*map(set, images.values())):
        reason = "shares no name with style: for all pairs of two folders, name them both (`unpaired:CONTENTS,STYLES`)"
        scan.error("content", root / "content", reason)
        return scan
    ids = _read_ids(root / METADATA_FILE, scan)
    for stem in sorted(set(ids).union(*images.values())):
        row = {column: str(images[column][stem]) for column in columns if stem in images[column]}
        if len(row) == len(columns):
            scan.rows.append({**row, "content_id": None, "style_id": stem, **ids.get(stem, {})})
            if ids and stem not in ids:
                scan.warning("content", row["content"], f"is not in {METADATA_FILE}: its id is a hash of the file")
        for column in columns:
            if column not in row:
                others = " and ".join(row[other] for other in row) or f"a line of {METADATA_FILE}"
                scan.error(column, root / column / f"{stem}.*", f"is missing, but there is {others}")
    return scan


def _read_ids(file: Path, scan: Scan) -> dict[str, dict[str, str]]:
    """The name of a triplet to its `content_id` and `style_id`; empty if the file says nothing of these."""
    found: dict[str, dict[str, str]] = {}
    if not file.is_file():
        return found
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            name, content_id = entry.get("content_file_name"), entry.get("content_id")
        except (ValueError, AttributeError):
            scan.error(None, file, f"line {number} is not a JSON object")
            continue
        if name and content_id:
            stem = Path(name).relative_to(IMAGE_COLUMNS[0]).with_suffix("").as_posix()
            found[stem] = {key: str(entry[key]) for key in ("content_id", "style_id") if entry.get(key)}
    return found


__all__ = ["METADATA_FILE", "folder_columns", "scan_folders"]
