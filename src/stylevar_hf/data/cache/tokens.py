# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Codes of all images of a data set, computed once and kept on disk.

The tokenizer does not change while the transformer is trained, so its codes do not either. A cache belongs to one
tokenizer (a hash of the weights that make codes and of the image processor) and to one data set (its fingerprint, and
size and time of the image files that it names), and holds 16-bit codes only: `2 * L` bytes per image. Nothing is
written into the data.

Augmented images have other codes: a cache holds those of the images as they are, and is refused with augmentation.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import torch
from tqdm.auto import tqdm
from transformers.utils import logging

from ..._common.errors import invalid
from ..._common.files import write_atomically
from ...image_processing_stylevar import StyleVARImageProcessor
from ...modeling_stylevar_vq import StyleVARVQModel
from ..collator import CODE_COLUMNS
from ..pictures import READING_RULES
from ..stored_rows import stored_rows
from .files import (
    UndecodedImages,
    check_images,
    check_num_workers,
    files_hash,
    image_key,
    map_ahead,
    write_tables,
)


logger = logging.get_logger(__name__)

# Rows per file: what is lost when the computation is killed.
SHARD_SIZE = 2048
_TOKENIZER_FILE = "tokenizer.json"
_LAYOUT_FILE = "layout.json"
# The codes in the order of the stored rows, for data whose rows were chosen.
_STORED_FILE = "stored-rows.arrow"
_CODES = datasets.List(datasets.Value("uint16"))
# What the description of a data set says of the codes in it.
_MARK = "StyleVAR codes of tokenizer {}"
# What decides about the pixels that the tokenizer sees.
_PROCESSOR_FIELDS = (
    "do_resize",
    "size",
    "resample",
    "resize_mode",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)


def tokenizer_hash(vq_model: StyleVARVQModel, image_processor: StyleVARImageProcessor) -> str:
    """
    What identifies codes: a hash of the weights that make them, of the ladder, and of the image processor's options.

    The decoder is left out, and the stored precision does not matter.

    Args:
        vq_model ([`StyleVARVQModel`]):
            The tokenizer.
        image_processor ([`StyleVARImageProcessor`]):
            What prepares its images.

    Returns:
        `str`: 16 hexadecimal digits.
    """
    processor = image_processor.to_dict()
    options = {name: processor.get(name, getattr(image_processor, name, None)) for name in _PROCESSOR_FIELDS}
    config = vq_model.config
    options.update(patch_nums=config.patch_nums, phi_indices=config.phi_indices, residual_ratio=config.residual_ratio)
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=_plain).encode())
    for name, tensor in sorted(vq_model.state_dict().items()):
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Sizes, enumerations and numpy numbers as JSON knows them."""
    return dict(value) if hasattr(value, "keys") else int(value)


def tokenizers_of(dataset: datasets.Dataset) -> set[str]:
    """Hashes of the tokenizers that made the codes in a data set; empty if it holds none or they are not marked."""
    description = getattr(getattr(dataset, "info", None), "description", None) or ""
    return set(re.findall(_MARK.format("([0-9a-f]{16})"), description))


def check_cached_tokens(
    dataset: datasets.Dataset,
    vq_model: StyleVARVQModel,
    image_processor: StyleVARImageProcessor,
    name: str = "dataset",
) -> None:
    """
    Refuse codes that another tokenizer made. Codes of unknown origin are let through.

    Raises:
        ValueError: If the codes come from another tokenizer.
    """
    found = tokenizers_of(dataset)
    if not found:
        return
    expected = tokenizer_hash(vq_model, image_processor)
    if found != {expected}:
        raise invalid(
            name,
            f"without cached codes, or with those of this model's tokenizer ({expected})",
            f"codes of tokenizer {', '.join(sorted(found))}",
            "Make the cache again with this model's `vq_model` and image processor.",
        )


def cache_tokens(
    dataset: datasets.Dataset,
    vq_model: StyleVARVQModel,
    image_processor: StyleVARImageProcessor,
    cache_dir: str | os.PathLike,
    batch_size: int = 32,
    num_workers: int = 0,
    *,
    shard_size: int = SHARD_SIZE,
    process_index: int = 0,
    num_processes: int = 1,
    wait_for_everyone: Callable[[], None] | None = None,
    progress: bool = True,
) -> datasets.Dataset:
    """
    Add the codes of every image to a data set, from disk where they are there already.

    A killed computation goes on with the first file that is missing. An image that occurs in many rows (a content
    under eighty styles) is encoded once.

    Args:
        dataset (`datasets.Dataset`):
            Columns `content`, `style` and, optionally, `target` (`datasets.Image`).
        vq_model ([`StyleVARVQModel`]):
            The tokenizer, on the device it shall run on.
        image_processor ([`StyleVARImageProcessor`]):
            The one that training uses.
        cache_dir (`str` or `os.PathLike`):
            Folder of the caches of one tokenizer; each data set gets its own folder in it.
        batch_size (`int`, *optional*, defaults to 32):
            Images per call of the tokenizer.
        num_workers (`int`, *optional*, defaults to 0):
            Threads that decode images while the tokenizer runs.
        shard_size (`int`, *optional*, defaults to 2048):
            Rows per file.
        process_index, num_processes (`int`, *optional*):
            Several processes divide the files among themselves.
        wait_for_everyone (`Callable`, *optional*):
            Where processes wait for each other, such as `accelerator.wait_for_everyone`.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar.

    Returns:
        `datasets.Dataset`: the same rows with the columns `content_codes`, `style_codes` and, if there is a target,
        `labels`: lists of `L` unsigned 16-bit numbers, mapped into memory from `cache_dir`.

    Raises:
        ValueError: If `cache_dir` belongs to another tokenizer, the data set is a stream or has no images, or an
            image cannot be decoded.
    """
    _check_arguments(dataset, vq_model, batch_size, shard_size, num_workers)
    identity = tokenizer_hash(vq_model, image_processor)
    folder = _open_cache(Path(cache_dir).expanduser(), identity, dataset, shard_size, process_index == 0)
    if wait_for_everyone is not None:
        wait_for_everyone()
    layout = json.loads((folder / _LAYOUT_FILE).read_text(encoding="utf-8"))
    shards = _shards(folder, layout)
    mine = [shard for index, shard in enumerate(shards) if index % num_processes == process_index]
    missing = [shard for shard in mine if not shard[0].exists()]
    if missing:
        rows = sum(end - start for _, start, end in mine)
        done = rows - sum(end - start for _, start, end in missing)
        with tqdm(total=rows, initial=done, desc="Caching codes", unit="row", disable=not progress) as bar:
            encoder = _ShardEncoder(dataset, vq_model, image_processor, batch_size, num_workers)
            for path, start, end in missing:
                _write_shard(path, encoder(start, end, bar), identity)
    if wait_for_everyone is not None:
        wait_for_everyone()

    codes = datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path, _, _ in shards])
    dataset = dataset.remove_columns([column for column in CODE_COLUMNS if column in dataset.column_names])
    stored, positions = stored_rows(dataset)
    if positions is not None:
        path = folder / _STORED_FILE
        if process_index == 0 and not path.exists():
            _write_stored(path, codes, positions, len(stored), shard_size)
        if wait_for_everyone is not None:
            wait_for_everyone()
        codes = datasets.Dataset.from_file(str(path))
    cached = datasets.concatenate_datasets([stored, codes], axis=1)
    if positions is not None:
        cached = cached.select(positions)
    cached.info.description = "\n\n".join(part for part in (dataset.info.description, _MARK.format(identity)) if part)
    return cached


def _check_arguments(
    dataset: datasets.Dataset, vq_model: StyleVARVQModel, batch_size: int, shard_size: int, num_workers: int
) -> None:
    check_images(dataset, ("content", "style"), CODE_COLUMNS.values())
    if vq_model.config.codebook_size > 2**16:
        hint = "Train without a cache."
        raise invalid("codebook_size", "at most 65536 for 16-bit codes", vq_model.config.codebook_size, hint)
    for name, value in (("batch_size", batch_size), ("shard_size", shard_size)):
        if value < 1:
            raise invalid(name, "positive", value, "Choose at least 1.")
    check_num_workers(num_workers)


def _open_cache(cache_dir: Path, identity: str, dataset: datasets.Dataset, shard_size: int, may_write: bool) -> Path:
    """The folder of this data set in the cache, once it is sure that the cache is this tokenizer's."""
    marker = cache_dir / _TOKENIZER_FILE
    files = files_hash(dataset, CODE_COLUMNS.values())
    folder = cache_dir / "-".join(filter(None, (dataset._fingerprint, files, f"rules{READING_RULES}")))
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))["tokenizer"]
        if found != identity:
            raise invalid(
                "cache_dir",
                f"new, or a cache of this tokenizer ({identity})",
                f"{cache_dir}, made with tokenizer {found}",
                "Choose another folder, or delete this one.",
            )
    if may_write:
        folder.mkdir(parents=True, exist_ok=True)
        columns = [column for column, image in CODE_COLUMNS.items() if image in dataset.column_names]
        layout = {"num_rows": len(dataset), "shard_size": shard_size, "columns": columns}
        for path, content in ((marker, {"tokenizer": identity}), (folder / _LAYOUT_FILE, layout)):
            if not path.exists():
                write_atomically(path, json.dumps(content).encode())
    return folder


def _shards(folder: Path, layout: dict) -> list[tuple[Path, int, int]]:
    """File, first row and end of each shard."""
    size, rows = layout["shard_size"], layout["num_rows"]
    return [(folder / f"rows-{start:09d}.arrow", start, min(start + size, rows)) for start in range(0, rows, size)]


def _write_shard(path: Path, codes: dict[str, np.ndarray], identity: str) -> None:
    """Codes `(rows, L)` of each column as a file that `datasets` maps into memory."""
    arrays = {}
    for name, value in codes.items():
        ends = pyarrow.array(np.arange(len(value) + 1, dtype=np.int32) * value.shape[1])
        arrays[name] = pyarrow.ListArray.from_arrays(ends, pyarrow.array(value.reshape(-1)))
    write_tables(path, [pyarrow.table(arrays)], _CODES)


def _write_stored(
    path: Path, codes: datasets.Dataset, positions: np.ndarray, num_stored: int, chunk_size: int
) -> None:
    """The rows of `codes` at their `positions`, between rows without a value, which take no room."""
    rows = np.full(num_stored, -1)
    rows[positions] = np.arange(len(positions))

    def tables() -> Iterator[pyarrow.Table]:
        for first in range(0, num_stored, chunk_size):
            chunk = rows[first : first + chunk_size]
            filled = chunk >= 0
            # `take` copies whole columns: it is given no more than the rows of the chunk.
            found = codes.data.fast_gather(chunk[filled]) if filled.any() else codes.data.table.slice(0, 0)
            yield found.take(pyarrow.array(np.cumsum(filled) - 1, mask=~filled))

    write_tables(path, tables(), _CODES)


class _ShardEncoder:
    """
    Encodes ranges of rows, each image once.

    Contents and styles come back in other shards, so their codes are remembered; targets do not.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        vq_model: StyleVARVQModel,
        image_processor: StyleVARImageProcessor,
        batch_size: int,
        num_workers: int,
    ):
        self.columns = {name: image for name, image in CODE_COLUMNS.items() if image in dataset.column_names}
        self.images = UndecodedImages(dataset, list(self.columns.values()))
        self.vq_model, self.image_processor = vq_model, image_processor
        self.batch_size, self.num_workers = batch_size, num_workers
        self.known: dict[bytes, np.ndarray] = {}

    def __call__(self, start: int, end: int, bar: tqdm) -> dict[str, np.ndarray]:
        """Codes `(end - start, L)` of each column."""
        # 1. Which images the rows hold
        keys: dict[str, list[bytes]] = {name: [] for name in self.columns}
        places: dict[bytes, tuple[int, str]] = {}
        for first in range(start, end, self.batch_size):
            batch = self.images.rows[first : min(first + self.batch_size, end)]
            for name, image in self.columns.items():
                for offset, value in enumerate(batch[image]):
                    key = image_key(value, image, first + offset)
                    keys[name].append(key)
                    if key not in self.known:
                        places.setdefault(key, (first + offset, image))

        # 2. The codes of those that are new
        found, total, encoded, shown = dict(self.known), len(places), 0, 0
        chunks = [list(places.items())[i : i + self.batch_size] for i in range(0, total, self.batch_size)]
        for chunk, pixel_values in zip(chunks, map_ahead(self._pixels, chunks, self.num_workers), strict=True):
            with torch.no_grad():
                codes = self.vq_model.encode(pixel_values.to(self.vq_model.device)).codes
            found.update(zip((key for key, _ in chunk), codes.cpu().numpy().astype(np.uint16), strict=True))
            encoded += len(chunk)
            bar.update((end - start) * encoded // total - shown)
            shown = (end - start) * encoded // total
        bar.update(end - start - shown)

        # 3. One row of codes per row, and what later shards will want
        for name in ("content_codes", "style_codes"):
            self.known.update((key, found[key]) for key in keys[name])
        return {name: np.stack([found[key] for key in column]) for name, column in keys.items()}

    def _pixels(self, chunk: Sequence[tuple[bytes, tuple[int, str]]]) -> torch.Tensor:
        """The pixels `(batch, 3, H, W)` of some images."""
        images = [self.images.decode(row, image, self.image_processor.max_image_pixels) for _, (row, image) in chunk]
        return self.image_processor(images, return_tensors="pt")["pixel_values"].float()


__all__ = ["SHARD_SIZE", "cache_tokens", "check_cached_tokens", "tokenizer_hash", "tokenizers_of"]
