# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The sets of pairs that checkpoints are judged on.

| benchmark | pairs |
|---|---|
| `procedural` | the first pairs of the three procedural test sets, see [`load_procedural`] |
| `omnistyle:ROOT`, `imagepulse:ROOT` | random pairs of the validation split: contents that training never saw |
| `unpaired:CONTENTS,STYLES` | random pairs of two folders, such as COCO and WikiArt; no target |
| `styleid:CONTENTS,STYLES` | all pairs of two folders, in StyleID's protocol 20 contents and 40 styles; no target |
| `corpus:CONTENTS,STYLES` | middle squares of pictures that take turns; targets by Magenta's network, if there |
| `triplets:DIR` | any triplets of your own, see [`load_triplets`]; target optional |

Every picture is decoded once before anything is painted, so that a broken one stops the run at its start.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
from tqdm import tqdm

from .._common.errors import invalid, listed
from .._common.files import existing_folder, files_below
from ..data.checking import find_problems
from ..data.columns import IMAGE_COLUMNS
from ..data.layouts.archives import extract_archive
from ..data.layouts.folders import scan_folders
from ..data.layouts.imagepulse import archive_name, find_archives, scan_folder
from ..data.layouts.omnistyle import scan_omnistyle
from ..data.layouts.scanning import Scan, dataset_from_scan, features, is_image
from ..data.layouts.unpaired import load_unpaired
from ..data.pairing import Pairing, cut, read_pictures
from ..data.pictures import with_pictures
from ..data.procedural.triplets import load_procedural
from ..data.teachers.base import Generator
from ..data.triplets import load_triplets, open_source
from .baselines import BaselineUnavailable, get_baseline


BENCHMARKS = ("procedural", "omnistyle", "imagepulse", "unpaired", "styleid", "corpus", "triplets")
PROCEDURAL_SETS = ("in_distribution", "near_distribution", "out_of_distribution")
STYLEID_SIZES = (20, 40)
DEFAULT_NUM_PAIRS = 200
# The split of the loaders' and trainers' defaults. A checkpoint does not say with which it was trained.
VALIDATION_FRACTION, SPLIT_SEED = 0.05, 0
FORMS = (
    "procedural, omnistyle:ROOT, imagepulse:ROOT, unpaired:CONTENTS,STYLES, styleid:CONTENTS,STYLES, "
    "corpus:CONTENTS,STYLES or triplets:DIR"
)


@dataclass(frozen=True)
class BenchmarkSet:
    """
    Pairs, and where they are from.

    Args:
        name (`str`):
            What files and tables call it.
        dataset (`datasets.Dataset`):
            Rows with `content`, `style`, `target` if there is one, `content_id`, and `style_id` if it is known.
        source (`str`):
            In words.
        notes (`tuple[str, ...]`, *optional*):
            What a reader of the table must know.
        left_out (`tuple[str, ...]`, *optional*):
            Files and rows that could not be used, each with its reason.
        hub_dataset (`str`, *optional*):
            The id of the data on the Hub, if they are there.
    """

    name: str
    dataset: datasets.Dataset
    source: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    hub_dataset: str | None = None

    @property
    def has_target(self) -> bool:
        return "target" in self.dataset.column_names

    @property
    def content_ids(self) -> list[str]:
        return [str(name) for name in self.dataset["content_id"]]

    @property
    def style_ids(self) -> list[str] | None:
        if "style_id" not in self.dataset.column_names:
            return None
        names = list(self.dataset["style_id"])
        return None if any(name is None for name in names) else [str(name) for name in names]

    def __len__(self) -> int:
        return len(self.dataset)


def parse_benchmark(spec: str) -> tuple[str, tuple[str, ...]]:
    """
    The kind and the folders of a benchmark.

    Raises:
        ValueError: If it has not one of the forms.
    """
    kind, separator, rest = spec.partition(":")
    num_folders = {"procedural": 0, "unpaired": 2, "styleid": 2, "corpus": 2}.get(kind, 1)
    folders = tuple(rest.split(",")) if num_folders == 2 else (rest,) if num_folders else ()
    fits = kind in BENCHMARKS and bool(separator) == bool(num_folders)
    if not fits or len(folders) != num_folders or not all(folders):
        raise invalid("benchmark", FORMS, repr(spec), "Paths must hold no comma where there are two.")
    return kind, folders


def load_benchmark(
    spec: str,
    image_size: int,
    num_pairs: int | None = None,
    seed: int = 0,
    allow_missing: bool = False,
    progress: bool = False,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
) -> list[BenchmarkSet]:
    """
    The sets of a benchmark, every picture of which can be decoded.

    Args:
        spec (`str`):
            `"procedural"`, `"omnistyle:ROOT"` and so on, see the head of this module.
        image_size (`int`):
            Side of the procedural pictures, in pixels.
        num_pairs (`int`, *optional*):
            Pairs per set; all if there are fewer. Defaults to 200, and to all for `styleid`.
        seed (`int`, *optional*, defaults to 0):
            Of the choice of pairs, and of the procedural triplets.
        allow_missing (`bool`, *optional*, defaults to `False`):
            Leave out what is missing or broken, and say so, instead of stopping.
        progress (`bool`, *optional*, defaults to `False`):
            Show progress bars on stderr.
        validation_fraction (`float`, *optional*, defaults to 0.05), split_seed (`int`, *optional*, defaults to 0):
            Which contents of `omnistyle` and `imagepulse` are held out; those of the training.

    Raises:
        ValueError: If a folder is missing, empty or has gaps, or a picture cannot be used (the message lists them).
    """
    kind, folders = parse_benchmark(spec)
    if kind == "procedural":
        with _bars_of_datasets(progress):
            return [_procedural(name, num_pairs or DEFAULT_NUM_PAIRS, seed, image_size) for name in PROCEDURAL_SETS]
    if kind == "corpus":
        return [_corpus(folders, num_pairs or DEFAULT_NUM_PAIRS, seed, image_size, allow_missing, progress)]
    if kind in ("unpaired", "styleid"):
        found = _two_folders(kind, folders, num_pairs, seed)
    else:
        split = (validation_fraction, split_seed)
        if kind == "triplets":
            loaded = _triplets(folders[0], allow_missing)
        elif kind == "omnistyle":
            loaded = _omnistyle(folders[0], allow_missing, split)
        else:
            loaded = _imagepulse(folders[0], allow_missing, split, progress)
        found = _choose(loaded, num_pairs or DEFAULT_NUM_PAIRS, seed)
    return [_without_broken(found, allow_missing, progress)]


def _procedural(name: str, num_pairs: int, seed: int, image_size: int) -> BenchmarkSet:
    dataset = load_procedural(num_pairs, split=name, seed=seed, image_size=image_size)
    source = f'load_procedural({num_pairs}, split="{name}", seed={seed}, image_size={image_size})'
    return BenchmarkSet(name, dataset, source)


@contextmanager
def _bars_of_datasets(shown: bool) -> Iterator[None]:
    """`datasets` shows its progress bars unless it is told not to."""
    were_shown = datasets.is_progress_bar_enabled()
    if not shown:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_shown:
            datasets.enable_progress_bars()


def _omnistyle(root: str, allow_missing: bool, split: tuple[float, int]) -> BenchmarkSet:
    folder = existing_folder("benchmark", root)
    found = _held_out("omnistyle", scan_omnistyle(folder), folder, allow_missing, split)
    return replace(found, hub_dataset="StyleXX/OmniStyle-150k")


def _imagepulse(root: str, allow_missing: bool, split: tuple[float, int], progress: bool) -> BenchmarkSet:
    folder, scan = existing_folder("benchmark", root), Scan()
    for archive in (archives := find_archives(folder)):
        scan_folder(extract_archive(archive, progress=progress), scan, prefix=archive_name(archive, folder))
    if not archives:
        scan_folder(folder, scan)
    return _held_out("imagepulse", scan, folder, allow_missing, split)


def _held_out(name: str, scan: Scan, root: Path, allow_missing: bool, split: tuple[float, int]) -> BenchmarkSet:
    left_out = _left_out(scan, root, allow_missing)
    dataset = dataset_from_scan(scan, root, "validation", *split, streaming=False)
    source = f"{root}, validation split ({split[0]:.3g} of the contents, split seed {split[1]})"
    return BenchmarkSet(name, dataset, source, left_out=left_out)


def _left_out(scan: Scan, root: Path, allow_missing: bool) -> tuple[str, ...]:
    """What is wrong with a folder; raises unless that is allowed. The scan is without errors afterwards."""
    errors = scan.errors
    if errors and not allow_missing:
        raise ValueError(
            f"`benchmark` must hold complete triplets, but got {root} with {len(errors)} problems. Fix them, or "
            f"leave them out with `allow_missing`: {listed(errors, separator='; ')}"
        )
    scan.problems = [problem for problem in scan.problems if problem.severity != "error"]
    return tuple(str(problem) for problem in errors)


def _triplets(root: str, allow_missing: bool) -> BenchmarkSet:
    folder = existing_folder("benchmark", root)
    if all((folder / column).is_dir() for column in IMAGE_COLUMNS):
        scan = scan_folders(folder)
        left_out = _left_out(scan, folder, allow_missing)
        dataset = dataset_from_scan(scan, folder, "all", 0, SPLIT_SEED, streaming=False)
        return BenchmarkSet(folder.name, dataset, str(folder), left_out=left_out)
    empty = invalid("benchmark", "one or more triplets", f"{folder} without any", "Check the path.")
    try:
        source, where = open_source(folder), str(folder)
    except IndexError as error:  # what `datasets` raises at one that was saved without rows
        raise empty from error
    if isinstance(source, dict) and len(source) > 1:
        if not (names := [name for name in ("test", "validation") if name in source]):
            value = f"{folder} with the splits {', '.join(source)}"
            raise invalid("benchmark", "triplets with a split `test` or `validation`", value, "Save one split alone.")
        source, where = source[names[0]], f"{folder}, split {names[0]}"
    dataset = load_triplets(source, split="all", require_target=False)
    if not len(dataset):
        raise empty
    return BenchmarkSet(folder.name, dataset, where)


def _two_folders(kind: str, folders: Sequence[str], num_pairs: int | None, seed: int) -> BenchmarkSet:
    # Counted, not listed: COCO and WikiArt make nine thousand million pairs.
    counts = tuple(sum(map(is_image, files_below(existing_folder("benchmark", folder)))) for folder in folders)
    total, notes = counts[0] * counts[1], []
    if kind == "unpaired":
        num_pairs = num_pairs or DEFAULT_NUM_PAIRS
    elif counts != STYLEID_SIZES:
        notes.append(f"The protocol has 20 contents and 40 styles; here are {counts[0]} and {counts[1]}.")
    if num_pairs is None or num_pairs >= total:
        pairs = load_unpaired(*folders)
    else:
        pairs = load_unpaired(*folders, n=num_pairs, seed=seed)
        if kind == "styleid":
            notes.append(f"The protocol takes all pairs; here are {num_pairs} of {total}.")
    source = f"{folders[0]} x {folders[1]} ({counts[0]} contents, {counts[1]} styles)"
    return BenchmarkSet(kind, pairs, source, tuple(notes))


def _corpus(
    folders: Sequence[str], num_pairs: int, seed: int, image_size: int, allow_missing: bool, progress: bool
) -> BenchmarkSet:
    """The middle squares of pictures that take turns, as [`make_triplets`] would pair them."""
    (contents, no_contents), (styles, no_styles) = (
        read_pictures("benchmark", folder, skip_broken=allow_missing, progress=progress) for folder in folders
    )
    pairing = Pairing(len(contents), len(styles), seed, min_crop=1, flip=False)
    teacher, notes = _teacher()
    rows = []
    for index in tqdm(range(num_pairs), desc="Pairing", unit="pair", disable=not progress):
        parts = zip(pairing[index], (contents, styles), strict=True)
        content, style = ((replace(part, left=0.5, top=0.5), pictures[part.picture]) for part, pictures in parts)
        images = {
            name: cut(part, picture.path, image_size)
            for name, (part, picture) in (("content", content), ("style", style))
        }
        if teacher is not None:
            images["target"] = teacher.stylize([images["content"]], [images["style"]], [seed + index])[0]
        rows.append({**images, "content_id": content[1].id, "style_id": style[1].id})
    dataset = datasets.Dataset.from_list(rows, features=features(list(rows[0])))
    source = f"{folders[0]} x {folders[1]} ({len(contents)} contents, {len(styles)} styles)"
    return BenchmarkSet("corpus", dataset, source, notes, tuple(no_contents + no_styles))


def _teacher() -> tuple[Generator | None, tuple[str, ...]]:
    """Who paints the targets, and what a reader must know of them."""
    try:
        return get_baseline("magenta"), ("The targets are Magenta's.",)
    except BaselineUnavailable as error:
        return None, (f"Without targets. {error}",)


def _choose(found: BenchmarkSet, num_pairs: int, seed: int) -> BenchmarkSet:
    """Random rows, in their order: the first ones would be all of one content."""
    if num_pairs >= len(found):
        return found
    rows = np.random.default_rng(seed).choice(len(found), num_pairs, replace=False)
    return replace(found, dataset=found.dataset.select(sorted(rows.tolist())))


def _without_broken(found: BenchmarkSet, allow_missing: bool, progress: bool) -> BenchmarkSet:
    """Every picture decoded once; broken ones and missing targets stop the run, or are left out."""
    columns = [column for column in IMAGE_COLUMNS if column in found.dataset.column_names]
    found = replace(found, dataset=with_pictures(found.dataset))
    problems = find_problems(found.dataset, columns, progress=progress)
    reasons = {problem.index: str(problem) for problem in problems}
    if found.has_target:
        encoded = found.dataset.select_columns(["target"]).cast_column("target", datasets.Image(decode=False))
        for row, target in enumerate(encoded["target"]):
            if target is None:
                reasons.setdefault(row, f"error: row {row}, target: is missing")
    if not reasons:
        return found
    reports = [reasons[row] for row in sorted(reasons)]
    if not allow_missing:
        raise ValueError(
            f"`benchmark` must hold pictures that can be decoded, but got {len(reports)} of {len(found)} pairs with "
            f"one that cannot. Fix them, or leave them out with `allow_missing`: {listed(reports, separator='; ')}"
        )
    if len(reports) == len(found):
        raise invalid(
            "benchmark", "one pair or more that can be used", f"none of {len(found)}", f"The first: {reports[0]}"
        )
    rows = [row for row in range(len(found)) if row not in reasons]
    return replace(found, dataset=found.dataset.select(rows), left_out=(*found.left_out, *reports))


__all__ = [
    "BENCHMARKS",
    "DEFAULT_NUM_PAIRS",
    "FORMS",
    "PROCEDURAL_SETS",
    "BenchmarkSet",
    "load_benchmark",
    "parse_benchmark",
]
