# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What `stylevar data check` finds in a folder of any layout."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import datasets
from tqdm.auto import tqdm

from .._common.errors import invalid
from .._common.files import existing_folder, files_below, is_utf8, shown_path
from .checking import Problem, find_file_problems, find_problems, image_problem
from .columns import IMAGE_COLUMNS
from .layouts.archives import ArchiveError
from .layouts.folders import METADATA_FILE, folder_columns, scan_folders
from .layouts.imagepulse import find_archives, scan_archive
from .layouts.imagepulse import scan_folder as scan_samples
from .layouts.imagepulse_samples import JSON_FIELDS
from .layouts.omnistyle import SEPARATOR, TARGET_FOLDERS, scan_omnistyle
from .layouts.scanning import Scan, is_image
from .triplets import open_source


FORMATS = ("auto", "omnistyle", "imagepulse", "folder", "dataset")
# What `save_to_disk` writes, and what tells `load_dataset` which image is which.
_SAVED_FILES = ("state.json", "dataset_dict.json")
_METADATA_FILES = (METADATA_FILE, "metadata.csv")
# Aspect ratios of content and target that differ by more than this are no rounding.
ASPECT_TOLERANCE = 0.02


@dataclass
class FolderReport:
    """
    What was found in a folder.

    Args:
        root (`str`):
            The folder.
        format (`str`):
            `"omnistyle"`, `"imagepulse"`, `"folder"` or `"dataset"`.
        num_triplets (`int`):
            Complete triplets, whether or not their images can be decoded.
        num_images (`int`):
            Images that were decoded.
        problems (`list[Problem]`):
            Sorted by path.
        has_targets (`bool`):
            Whether there are targets, or pairs of content and style alone.
    """

    root: str
    format: str
    num_triplets: int = 0
    num_images: int = 0
    problems: list[Problem] = field(default_factory=list)
    has_targets: bool = True

    @property
    def good_for(self) -> str:
        """What can be done with the folder once its errors are corrected."""
        if self.has_targets:
            return "supervised training, rewards and evaluation"
        return "rewards and measures that need no target (pairs of content and style)"

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "warning"]


def check_folder(
    root: str | os.PathLike,
    format: str = "auto",
    min_side: int = 64,
    num_workers: int | None = None,
    progress: bool = True,
) -> FolderReport:
    """
    Lists every broken and every unpaired file of a data folder. Nothing is written.

    Errors, at which a loader or a training run would stop: a target without content or style, a sample with a missing
    image, a name or a JSON file that cannot be read, an image that cannot be decoded to its last byte, a truncated
    archive, an unsafe archive member. Warnings: an image that belongs to no triplet, an image with a side below
    `min_side`, a file among plain folders that is no image, a target whose aspect ratio is not its content's.

    Args:
        root (`str` or `os.PathLike`):
            The folder.
        format (`str`, *optional*, defaults to `"auto"`):
            `"omnistyle"` (see [`load_omnistyle`]), `"imagepulse"` (see [`load_imagepulse`]), or `"folder"`: folders
            `content`, `style` and (if there are any) `target` whose files have the same names but for their suffixes,
            or, where these are missing, any images; or `"dataset"`: what `datasets.load_from_disk` or `load_dataset`
            reads, such as Parquet files, every column of images in every split.
        min_side (`int`, *optional*, defaults to 64):
            In pixels.
        num_workers (`int`, *optional*):
            Threads that decode. Defaults to the number of cores, at most 8.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar.

    Raises:
        ValueError: If the folder does not exist, is not of the format named, or holds no image and no archive.
    """
    folder = existing_folder("root", root)
    if format not in FORMATS:
        raise invalid("format", f"one of {FORMATS}", repr(format), "Choose one.")
    found = _find_format(folder) if format == "auto" else format
    report, scan = FolderReport(str(folder), found), Scan()
    archives = find_archives(folder) if found == "imagepulse" else []
    if found == "dataset":
        _check_dataset(folder, report, num_workers, progress)
    elif archives:
        _check_archives(archives, report, scan, progress)
    else:
        if found == "omnistyle":
            scan = scan_omnistyle(folder)
        elif found == "imagepulse":
            scan_samples(folder, scan)
        elif columns := folder_columns(folder):
            report.has_targets = "target" in columns
            scan = scan_folders(folder)
        _check_files(folder, report, scan, min_side, num_workers, progress)
    if not (report.num_images or scan.problems):
        raise invalid("root", "a folder with images or archives", f"{str(folder)!r} without any", "Check the path.")
    report.num_triplets += len(scan.rows)
    if found in ("omnistyle", "imagepulse") and not (report.num_triplets or report.errors or scan.errors):
        scan.error(None, folder, f"holds no triplet in the layout of {found}")
    report.problems = sorted({*report.problems, *scan.problems}, key=lambda problem: (problem.path, problem.reason))
    return report


def _find_format(folder: Path) -> str:
    if all((folder / column).is_dir() for column in ("content", "style")):
        targets = [path for name in TARGET_FOLDERS if (folder / name).is_dir() for path in files_below(folder / name)]
        named = any(SEPARATOR in path.name for path in targets) or (folder / TARGET_FOLDERS[1]).is_dir()
        return "omnistyle" if named else "folder"
    if any((folder / name).is_file() for name in _SAVED_FILES):
        return "dataset"
    if find_archives(folder, "auto"):
        return "imagepulse"
    for path in files_below(folder):
        if path.stem in IMAGE_COLUMNS and is_image(path) and path.parent != folder:
            return "imagepulse"
        if path.suffix.lower() == ".json" and f'"{JSON_FIELDS["content"]}"' in path.read_text(errors="replace"):
            return "imagepulse"
    is_dataset = any(path.name in _METADATA_FILES or path.suffix == ".parquet" for path in files_below(folder))
    return "dataset" if is_dataset else "folder"


def _check_files(
    folder: Path, report: FolderReport, scan: Scan, min_side: int, num_workers: int | None, progress: bool
) -> None:
    """Decodes every image below the folder, in a triplet or not, and looks at the sizes of those that can be used."""
    columns = {row[column]: column for row in scan.rows for column in IMAGE_COLUMNS if column in row}
    files = [(columns.get(str(path)), str(path)) for path in files_below(folder) if is_image(path)]
    report.num_images = len(files)
    problems, sizes = find_file_problems(files, num_workers, progress)
    report.problems += problems
    for column, path in files:
        if not is_utf8(path):
            reason = "has a name that is not UTF-8: rename it"
            report.problems.append(Problem(None, column, shown_path(path), reason))
    for column, path in files:
        if path in sizes and min(sizes[path]) < min_side:
            reason = f"is small: {_shown(sizes[path])} pixels, and a side is below {min_side}"
            report.problems.append(Problem(None, column, path, reason, "warning"))
    for row in scan.rows:
        content, target = sizes.get(row["content"]), sizes.get(row.get("target"))
        if content and target and not _same_aspect(content, target):
            reason = (
                f"has another aspect ratio ({_shown(target)}) than its content {row['content']} ({_shown(content)})"
            )
            report.problems.append(Problem(None, "target", row["target"], reason, "warning"))


def _check_dataset(folder: Path, report: FolderReport, num_workers: int | None, progress: bool) -> None:
    """Decodes every image in the columns of a data set, whatever they are called."""
    source = open_source(folder)
    for name, part in source.items() if isinstance(source, Mapping) else [("", source)]:
        for column in IMAGE_COLUMNS:  # Parquet files of others may hold bytes
            if column in part.column_names:
                part = part.cast_column(column, datasets.Image())
        columns = [name for name, feature in part.features.items() if isinstance(feature, datasets.Image)]
        if not columns:
            found = f"{str(folder)!r} with the columns {', '.join(part.column_names) or '(none)'}"
            raise invalid("root", "a data set with a column of images", found, "Cast them to `datasets.Image`.")
        report.num_images += len(part) * len(columns)
        if set(IMAGE_COLUMNS[:2]) <= set(columns):
            report.num_triplets += len(part)
            report.has_targets = report.has_targets and "target" in columns
        place = f"{folder}: {name}" if name else str(folder)
        problems = find_problems(part, columns, num_workers, progress)
        report.problems += [replace(problem, path=problem.path or place) for problem in problems]


def _check_archives(archives: Sequence[Path], report: FolderReport, scan: Scan, progress: bool) -> None:
    """Reads every archive once from start to end, and decodes its images on the way; nothing is unpacked."""
    with tqdm(desc="Checking images", unit=" images", disable=not progress) as bar:
        for archive in archives:

            def look_at(name: str, data: bytes, archive: Path = archive) -> None:
                report.num_images += 1
                bar.update()
                if reason := image_problem({"path": name, "bytes": data}):
                    scan.error(None, f"{archive}: {name}", reason)

            def note(name: str, danger: str, archive: Path = archive) -> None:
                scan.error(None, f"{archive}: {name}", f"is unsafe: {danger}")

            try:
                report.num_triplets += len(scan_archive(archive, scan, on_image=look_at, on_danger=note))
            except ArchiveError as error:
                scan.error(None, archive, error.reason)
            except OSError as error:
                scan.error(None, archive, f"cannot be read ({error.strerror or error})")


def _same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= ASPECT_TOLERANCE


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


__all__ = ["FORMATS", "FolderReport", "check_folder"]
