# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Images of a data set at the model's size, made once and kept on disk.

With cached codes, what remains of an epoch is decoding contents and styles for the image encoders, and making
thousands of pixels out of a million. A cache holds each distinct image once, as the image processor makes it: 8-bit
RGB, stored without loss, so that training sees the same pixel values bit for bit. Nothing is written into the data.

Augmentation works on the images as they are: do not cache those of data that is augmented.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pyarrow
import pyarrow.compute
from tqdm.auto import tqdm

from ..._common.files import content_hash, write_atomically
from ...image_processing_stylevar import StyleVARImageProcessor
from ..pictures import READING_RULES, Picture
from ..stored_rows import stored_rows
from .files import (
    UndecodedImages,
    check_images,
    check_num_workers,
    file_state,
    files_hash,
    image_key,
    image_paths,
    map_ahead,
    write_tables,
)


# Images of a column that are looked at to see whether all have the model's size.
_LOOKED_AT = 32
# Rows that are read at once: undecoded images may be large.
_ROWS_READ = 32
# Rows of paths that are written at once.
_ROWS_WRITTEN = 8192


def cache_images(
    dataset: datasets.Dataset,
    image_processor: StyleVARImageProcessor,
    cache_dir: str | os.PathLike,
    columns: Sequence[str] = ("content", "style"),
    num_workers: int = 0,
    *,
    process_index: int = 0,
    num_processes: int = 1,
    wait_for_everyone: Callable[[], None] | None = None,
    progress: bool = True,
) -> datasets.Dataset:
    """
    Replace the images of a data set by small ones of the model's size, from disk where they are there already.

    The small ones are what `image_processor` makes of the images before it rescales and normalises; it gives the same
    pixel values for both, bit for bit. A killed run goes on with the images that are missing. Data sets that are
    prepared alike share their images; a changed file is another image.

    A column is left as it is if its images (as far as a sample shows) have the model's size already. So are all if the
    processor does not resize.

    Args:
        dataset (`datasets.Dataset`):
            Columns of `datasets.Image`.
        image_processor ([`StyleVARImageProcessor`]):
            The one that training uses.
        cache_dir (`str` or `os.PathLike`):
            Images go to `images-<hash of the processor's options>/<2 digits>/<key>.png` in it.
        columns (`Sequence[str]`, *optional*, defaults to `("content", "style")`):
            Which columns to replace: those that training decodes beside cached codes.
        num_workers (`int`, *optional*, defaults to 0):
            Threads that decode and resize; 0 does so in the calling thread.
        process_index, num_processes (`int`, *optional*):
            Several processes divide the images among themselves; all must see `cache_dir`.
        wait_for_everyone (`Callable`, *optional*):
            Where processes wait for each other, such as `accelerator.wait_for_everyone`.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show progress bars.

    Returns:
        `datasets.Dataset`: the same rows and columns. The replaced ones hold the paths of the small images, which are
        decoded when a row is read.

    Raises:
        FileNotFoundError: If another process's images are not in `cache_dir`.
        OSError: If an image cannot be written, for instance because the disk is full. Nothing half-written stays.
        ValueError: If the data set is a stream, lacks a column or has no rows, or an image cannot be decoded.
    """
    columns = list(dict.fromkeys(columns))
    check_images(dataset, columns, columns)
    check_num_workers(num_workers)
    images = UndecodedImages(dataset, columns)
    columns = [column for column in columns if not _is_small(images, column, image_processor)]
    if not columns or not image_processor.do_resize:
        return dataset
    folder = Path(cache_dir).expanduser().resolve() / f"images-{_processor_hash(image_processor)}"
    folder.mkdir(parents=True, exist_ok=True)
    rows_file = folder / f"rows-{_rows_hash(dataset, columns, folder)}.arrow"
    stored, positions = stored_rows(dataset)

    # 1. The images that are missing, unless an earlier run has made all
    keys = None
    if not _is_complete(rows_file, folder):
        keys, places = _find_images(dataset, images, columns, progress)
        writer = _ImageWriter(images, image_processor, folder)
        writer(places, num_workers, process_index, num_processes, progress)
    if wait_for_everyone is not None:
        wait_for_everyone()

    # 2. Which row shows which image
    if keys is not None:
        present = _present(folder)
        if missing := [key for key in places if _name(key) not in present]:
            raise FileNotFoundError(
                f"`cache_dir` must be a folder that all processes see, but {len(missing)} images of the others are "
                f"missing in {str(folder)!r}. Choose one on a shared disk."
            )
        if process_index == 0:
            write_tables(rows_file, _path_tables(keys, folder, positions, len(stored)), Picture())
    if wait_for_everyone is not None:
        wait_for_everyone()

    # 3. The same rows with these
    small = datasets.Dataset.from_file(str(rows_file))
    cached = datasets.concatenate_datasets([stored.remove_columns(columns), small], axis=1)
    cached = cached.select_columns(dataset.column_names)
    if positions is not None:
        cached = cached.select(positions)
    cached.info.description = dataset.info.description
    return cached


def _processor_hash(image_processor: StyleVARImageProcessor) -> str:
    """Of the options that decide about the 8-bit pixels."""
    size = image_processor.size
    options = [size["height"], size["width"], int(image_processor.resample), image_processor.resize_mode]
    options.append(READING_RULES)
    return content_hash(json.dumps(options).encode())


def _rows_hash(dataset: datasets.Dataset, columns: Sequence[str], folder: Path) -> str:
    """Of the rows, of their files, and of where the small images are."""
    parts = (dataset._fingerprint, files_hash(dataset, columns), *columns, str(folder))
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _is_small(images: UndecodedImages, column: str, image_processor: StyleVARImageProcessor) -> bool:
    """Whether a sample of the images, spread over all rows, has the model's size."""
    size = image_processor.size["width"], image_processor.size["height"]
    for row in np.unique(np.linspace(0, len(images.rows) - 1, _LOOKED_AT).astype(int)).tolist():
        value = images.rows[row][column]
        try:
            with PIL.Image.open(value["path"] if value["bytes"] is None else io.BytesIO(value["bytes"])) as image:
                if image.size != size:
                    return False
        except Exception:  # missing, broken or far away: decoding it will tell
            return False
    return True


def _name(key: bytes) -> str:
    return f"{key.hex()}.png"


def _path(folder: Path, key: bytes) -> str:
    # Many thousands of files in one folder are slow on some disks.
    return os.path.join(folder, key.hex()[:2], _name(key))


def _present(folder: Path) -> set[str]:
    """The names of the images that are there."""
    return {name for entry in os.scandir(folder) if entry.is_dir() for name in os.listdir(entry)}


def _is_complete(rows_file: Path, folder: Path) -> bool:
    """Whether the rows are there, and every image that they name."""
    if not rows_file.exists():
        return False
    rows, present = datasets.Dataset.from_file(str(rows_file)), _present(folder)
    for column in rows.column_names:
        paths = pyarrow.compute.struct_field(rows.data.table.column(column), "path").unique().to_pylist()
        if any(os.path.basename(path) not in present for path in paths if path is not None):
            return False
    return True


def _find_images(
    dataset: datasets.Dataset, images: UndecodedImages, columns: Sequence[str], progress: bool
) -> tuple[dict[str, list[bytes]], dict[bytes, tuple[int, str]]]:
    """The key of each row's image by column, and for each key a row and a column that hold the image."""
    files = {os.fsencode(path): _file_key(path) for path in image_paths(dataset, columns)}
    keys: dict[str, list[bytes]] = {column: [] for column in columns}
    places: dict[bytes, tuple[int, str]] = {}
    rows = images.rows.select_columns(list(columns))
    with tqdm(total=len(rows), desc="Looking for images", unit="row", disable=not progress) as bar:
        for first in range(0, len(rows), _ROWS_READ):
            batch = rows[first : first + _ROWS_READ]
            for column in columns:
                for row, value in enumerate(batch[column], first):
                    key = image_key(value, column, row)
                    key = files.get(key, key)
                    keys[column].append(key)
                    places.setdefault(key, (row, column))
            bar.update(len(batch[columns[0]]))
    return keys, places


def _file_key(path: str) -> bytes:
    """Of a file's path, size and time."""
    state = (os.path.abspath(path), *file_state(path)[1:])
    return hashlib.blake2b(repr(state).encode(errors="surrogateescape"), digest_size=16).digest()


class _ImageWriter:
    """Writes small images, each once."""

    def __init__(self, images: UndecodedImages, image_processor: StyleVARImageProcessor, folder: Path):
        self.images, self.image_processor, self.folder = images, image_processor, folder

    def __call__(
        self,
        places: Mapping[bytes, tuple[int, str]],
        num_workers: int,
        process_index: int,
        num_processes: int,
        progress: bool,
    ) -> None:
        """Writes this process's share of what is missing."""
        present = _present(self.folder)
        # By the key and not by what is missing, which changes while others write.
        mine = [key for key in places if int.from_bytes(key[:8], "big") % num_processes == process_index]
        missing = [key for key in mine if _name(key) not in present]
        for name in {key.hex()[:2] for key in missing}:
            (self.folder / name).mkdir(exist_ok=True)
        done = len(mine) - len(missing)
        with tqdm(total=len(mine), initial=done, desc="Caching images", unit="image", disable=not progress) as bar:
            for _ in map_ahead(self._write, ((key, *places[key]) for key in missing), num_workers):
                bar.update()

    def _write(self, place: tuple[bytes, int, str]) -> None:
        key, row, column = place
        image = self.images.decode(row, column, self.image_processor.max_image_pixels)
        # What comes before these two is done in 8 bits, and does nothing to an image of the right size.
        pixels = self.image_processor([image], do_rescale=False, do_normalize=False)["pixel_values"][0]
        buffer = io.BytesIO()
        small = PIL.Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
        small.save(buffer, "PNG", compress_level=1)  # half the time of the default, for a tenth more room
        path = _path(self.folder, key)
        try:
            write_atomically(Path(path), buffer.getvalue())
        except OSError as error:
            hint = "Make room or choose another `cache_dir`, and start again: images that are there stay."
            raise OSError(error.errno, f"{error.strerror} while images were cached. {hint}", path) from error


def _path_tables(
    keys: Mapping[str, Sequence[bytes]], folder: Path, positions: np.ndarray | None, num_stored: int
) -> Iterator[pyarrow.Table]:
    """The rows' images as paths, in the order of the stored rows; rows that were not chosen have none."""
    rows = np.arange(num_stored)
    if positions is not None:
        rows = np.full(num_stored, -1)
        rows[positions] = np.arange(len(positions))
    for first in range(0, num_stored, _ROWS_WRITTEN):
        chunk = rows[first : first + _ROWS_WRITTEN].tolist()
        unused = pyarrow.array([row < 0 for row in chunk])
        none = pyarrow.nulls(len(chunk), pyarrow.binary())
        images = {}
        for column, names in keys.items():
            paths = [None if row < 0 else _path(folder, names[row]) for row in chunk]
            paths = pyarrow.array(paths, pyarrow.string())
            images[column] = pyarrow.StructArray.from_arrays([none, paths], ["bytes", "path"], mask=unused)
        yield pyarrow.table(images)


__all__ = ["cache_images"]
