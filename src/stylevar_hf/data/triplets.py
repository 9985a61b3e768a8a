# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Triplets from anywhere: a dataset in memory, on the Hub, saved to disk, or plain folders."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from transformers.utils import logging

from .._common.errors import invalid, listed
from .._common.files import content_hash, existing_folder, files_below
from .columns import IMAGE_COLUMNS, check_columns
from .layouts.archives import default_cache_dir
from .layouts.folders import folder_columns, scan_folders
from .layouts.scanning import MAX_SHARDS, dataset_from_scan
from .pictures import Picture, read_stored
from .splits import check_split, split_by_content
from .streams import decoded_stream, encoded_stream


logger = logging.get_logger(__name__)

_ID = {"content_id": datasets.Value("string")}


def load_triplets(
    source: "str | os.PathLike | datasets.Dataset | datasets.IterableDataset | datasets.DatasetDict",
    split: str = "train",
    column_mapping: Mapping[str, str] | None = None,
    validation_fraction: float = 0.05,
    seed: int = 0,
    streaming: bool = False,
    require_target: bool = True,
    skip_broken: bool = False,
    **load_kwargs: Any,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Brings any dataset of triplets into the form that the trainers read.

    Args:
        source (`str`, `os.PathLike`, `datasets.Dataset`, `datasets.IterableDataset` or a dict of these):
            - a dataset in memory, or a dict of splits;
            - a folder written by `save_to_disk`;
            - a folder with the subfolders `content`, `style` and `target`, whose files have the same names but for
              their suffixes, also in subfolders (`content/a/1.jpg`, `style/a/1.png`, `target/a/1.png`); without
              `target` where no target is required;
            - anything else that `datasets.load_dataset` takes: a Hub id, or a folder with Parquet files or with images
              and their `metadata.jsonl`.
        split (`str`, *optional*, defaults to `"train"`):
            `"train"`, `"validation"` or `"all"`. A dict of splits that has a `validation` split is taken as it is;
            otherwise its `train` split, or the only one there is, is split by content.
        column_mapping (`Mapping[str, str]`, *optional*):
            What the data calls `content`, `style`, `target` and, if it has one, `content_id`:
            `{"content": "source_image"}`.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            The expected share of the contents in the validation split; see [`split_by_content`].
        seed (`int`, *optional*, defaults to 0):
            Another seed, another split.
        streaming (`bool`, *optional*, defaults to `False`):
            Whether to return a `datasets.IterableDataset`.
        require_target (`bool`, *optional*, defaults to `True`):
            Whether a missing `target` is an error.
        skip_broken (`bool`, *optional*, defaults to `False`):
            Whether to leave out rows whose content, given by its URL, cannot be downloaded, with a warning that lists
            them. The images of all rows are looked at by [`check_dataset`] or the trainers' own `skip_broken`.
        load_kwargs:
            Handed to `datasets.load_dataset`, for example `revision`.

    Returns:
        `datasets.Dataset` or `datasets.IterableDataset`: Columns `content`, `style`, `target` (images, decoded when a
        row is read), `content_id`, and the others of the data. Where there is no `content_id`, it is a hash of the
        content's file, so that equal contents have one id.

    Raises:
        ValueError: If the source does not exist, a column is missing (the message lists those that are there), or a
            single content is to be split, or the content of a row cannot be downloaded.
    """
    check_split(split, validation_fraction)
    if isinstance(source, str | os.PathLike):
        source = open_source(source, streaming, **load_kwargs)
    dataset, is_split = _pick(source, split)
    dataset = _rename(dataset, column_mapping or {}, require_target)
    has_ids = "content_id" in dataset.column_names
    dataset = _with_content_id(dataset, skip_broken)
    for column in IMAGE_COLUMNS:
        if column in dataset.column_names:
            dataset = dataset.cast_column(column, Picture())
    if not is_split and split != "all":
        dataset = split_by_content(dataset, split, validation_fraction, seed)
    elif isinstance(dataset, datasets.IterableDataset) and not has_ids:
        dataset = decoded_stream(*encoded_stream(dataset))
    if streaming and isinstance(dataset, datasets.Dataset):
        return dataset.to_iterable_dataset(num_shards=max(1, min(MAX_SHARDS, len(dataset))))
    return dataset


def open_source(
    source: str | os.PathLike, streaming: bool = False, **load_kwargs: Any
) -> "datasets.Dataset | datasets.IterableDataset | datasets.DatasetDict | datasets.IterableDatasetDict":
    """
    What lies at a path or on the Hub, as it is: not split, with its own columns. [`load_triplets`] takes it.

    Args:
        source, streaming, load_kwargs:
            As in [`load_triplets`]; only a source that `datasets.load_dataset` reads is streamed.

    Raises:
        ValueError: If it does not exist, or folders of triplets have gaps.
    """
    path = Path(source).expanduser()
    if folder_columns(path):
        return dataset_from_scan(scan_folders(path), path, "all", validation_fraction=0, seed=0, streaming=False)
    if path.is_dir() and any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return datasets.load_from_disk(path)
    if isinstance(source, os.PathLike) or str(source).startswith((".", "/", "~")):
        existing_folder("source", source)
    place = os.fspath(_without_pattern(path) if path.exists() else source)
    try:
        return datasets.load_dataset(place, streaming=streaming, **load_kwargs)
    except (FileNotFoundError, ConnectionError, datasets.exceptions.DatasetNotFoundError) as error:
        hint = f"Check its spelling and the network ({' '.join(str(error).split())})."
        raise invalid("source", "a folder or a dataset of the Hub", repr(str(source)), hint) from error


def _without_pattern(path: Path) -> Path:
    """A way to a folder in whose name `datasets` would see a pattern for many: a folder of links in the cache."""
    if not path.is_dir() or not set("*?[]") & set(str(path.absolute())):
        return path
    links = default_cache_dir().with_name("folders") / content_hash(os.fsencode(path.absolute()))
    shutil.rmtree(links, ignore_errors=True)  # what it holds may have changed
    for file in files_below(path.absolute()):
        link = links / file.relative_to(path.absolute())
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of another process
            link.symlink_to(file)
    return links


def _pick(source: Any, split: str) -> tuple["datasets.Dataset | datasets.IterableDataset", bool]:
    """The dataset to read, and whether it already is the split that was asked for."""
    if not isinstance(source, Mapping):
        if not isinstance(source, datasets.Dataset | datasets.IterableDataset):
            rule = "a path, a Hub id, or a dataset of the `datasets` library"
            raise invalid("source", rule, type(source).__name__, "See `datasets.Dataset.from_dict`.")
        return source, False
    if split in source and "validation" in source:
        return source[split], True
    if split != "all" and "train" in source:
        return source["train"], False
    if len(source) == 1:
        return next(iter(source.values())), False
    if split == "all" and source:
        return datasets.concatenate_datasets(list(source.values())), False
    value = f"the splits {', '.join(map(str, source)) or '(none)'}"
    raise invalid("source", "a dataset with a 'train' split or with one split", value, "Pick one of them yourself.")


def _rename(dataset, mapping: Mapping[str, str], require_target: bool):
    """The columns under our names; the mapping goes from our names to those of the data."""
    known = (*IMAGE_COLUMNS, "content_id", "style_id")
    if unknown := sorted(set(mapping) - set(known)):
        raise invalid("column_mapping", f"a mapping from {', '.join(known)} to your columns", f"{unknown}", "Turn it?")
    if dataset.column_names is None:  # a stream that does not say what it holds
        dataset = dataset._resolve_features()
    check_columns(dataset.column_names, list(mapping.values()))
    # A column of the data that has one of our names but is not meant would be in the way.
    in_the_way = [ours for ours, theirs in mapping.items() if ours != theirs and ours in dataset.column_names]
    if in_the_way := [name for name in in_the_way if name not in mapping.values()]:  # a stream would decode its images
        dataset = dataset.remove_columns(in_the_way)
    swap = {theirs: ours for ours, theirs in mapping.items() if ours != theirs}
    dataset = dataset.rename_columns(swap) if swap else dataset
    needed = IMAGE_COLUMNS if require_target else IMAGE_COLUMNS[:2]
    check_columns(dataset.column_names, needed)
    return dataset


def _with_content_id(dataset, skip_broken: bool):
    if "content_id" in dataset.column_names:
        return dataset.cast_column("content_id", datasets.Value("string"))
    if isinstance(dataset, datasets.IterableDataset):
        # Not decoded before the rows of a split are chosen.
        encoded, _ = encoded_stream(dataset.cast_column("content", datasets.Image()))
        return encoded.map(_id_of_row, features=datasets.Features({**encoded.features, **_ID}))
    # In memory: `map` would write its cache beside a dataset that was loaded from disk.
    encoded = dataset.cast_column("content", datasets.Image(decode=False)).select_columns(["content"])
    ids, broken = [], {}
    for number, row in enumerate(encoded):
        try:
            ids.append(_image_hash(row["content"]))
        except ValueError as error:
            broken[number] = f"row {number}, content: {error}"
            ids.append("none")
    dataset = dataset.add_column("content_id", ids)
    if not broken:
        return dataset
    if not skip_broken or len(broken) == len(ids):
        raise ValueError(
            f"`source` must hold contents that can be downloaded, but got {len(broken)} of {len(ids)} that cannot. "
            f"Leave their rows out with `skip_broken`, or hint them:\n{listed(broken.values())}"
        )
    logger.warning("Left out %d rows whose content cannot be downloaded:\n%s", len(broken), "\n".join(broken.values()))
    return dataset.select([number for number in range(len(ids)) if number not in broken])


def _id_of_row(row: Mapping[str, Any]) -> dict[str, str]:
    return {"content_id": _image_hash(row["content"])}


def _image_hash(image: Mapping[str, Any] | None) -> str:
    """A hash of the file's bytes; of a missing file one of its path, for the checks that come later to find."""
    if image is None:
        return "none"
    data, path = image.get("bytes"), image.get("path")
    if data is None and path and os.path.isfile(path):
        data = Path(path).read_bytes()
    if data is None and path and "://" in path:
        data = read_stored(image, "content").tobytes()
    return content_hash(str(path).encode() if data is None else data)


__all__ = ["load_triplets", "open_source"]
