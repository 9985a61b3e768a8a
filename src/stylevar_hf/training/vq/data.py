# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Samples for tokenizer training: every image of every row, cropped and mirrored reproducibly."""

from collections.abc import Iterator, Sequence

import datasets
import numpy as np
import PIL.Image
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ...data.pictures import with_pictures
from ...image_processing_stylevar import load_image


def find_image_columns(dataset, image_columns: Sequence[str] | None = None) -> list[str]:
    """
    The columns to train on.

    Args:
        dataset (`datasets.Dataset`, `datasets.IterableDataset` or a sequence of rows):
            Rows with images.
        image_columns (sequence of `str`, *optional*):
            The columns wanted. Defaults to those of type `datasets.Image`, or, where the types are unknown, those
            whose value in the first row is a PIL image.

    Returns:
        `list[str]`

    Raises:
        ValueError: If a column is missing or there are no images.
    """
    features = getattr(dataset, "features", None)
    if features is not None:
        present = list(features)
        found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    else:
        first = next(iter(dataset), {})
        present = list(first)
        found = [name for name, value in first.items() if isinstance(value, PIL.Image.Image)]
    wanted = list(image_columns or found)
    missing = [name for name in wanted if name not in present]
    if missing or not wanted:
        raise ValueError(
            f"`image_columns` must be image columns of the dataset, but got {wanted or image_columns!r}. It has the "
            f"columns {present}, of which {found or 'none'} hold images. Choose among them, or cast with "
            "`dataset.cast_column(name, datasets.Image())`."
        )
    return wanted


def _shared_zero() -> torch.Tensor:
    """In shared memory: workers of a data loader that outlive an epoch hold a copy of the dataset."""
    return torch.zeros((), dtype=torch.int64).share_memory_()


class VQImageDataset(Dataset):
    """
    Every image of a table of rows as one sample, `columns` of row 0 first.

    Args:
        dataset (`datasets.Dataset` or a sequence of rows):
            Rows with images.
        image_columns (sequence of `str`, *optional*):
            See [`find_image_columns`].
        augment (`bool`, *optional*, defaults to `False`):
            Ask the collator for random crops.

    Raises:
        ValueError: If a column is missing or there are no rows.
    """

    def __init__(self, dataset, image_columns: Sequence[str] | None = None, augment: bool = False):
        self.columns = find_image_columns(dataset, image_columns)
        if len(dataset) == 0:
            raise ValueError("`dataset` must hold at least one row, but got none. Check its path and its split.")
        # One view per column: of a row, only the image asked for is decoded.
        lazy = isinstance(dataset, datasets.Dataset)
        self.augment = augment
        self._views = [dataset.select_columns([name]) if lazy else dataset for name in self.columns]
        self._epoch = _shared_zero()

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def __len__(self) -> int:
        return len(self._views[0]) * len(self.columns)

    def __getitem__(self, index: int) -> dict:
        row, column = divmod(int(index), len(self.columns))
        image = self._views[column][row][self.columns[column]]
        return {"image": image, "image_index": int(index), "key": (self.epoch, int(index)) if self.augment else None}

    def set_epoch(self, epoch: int) -> None:
        """Choose other crops in each epoch."""
        self._epoch.fill_(epoch)

    def describe(self, image_index: int) -> str:
        """Row and column of a sample, for messages."""
        row, column = divmod(int(image_index), len(self.columns))
        return f"row {row} {self.columns[column]!r}"


class VQImageStream(IterableDataset):
    """Every image of a stream of rows as one sample. Arguments and samples are those of [`VQImageDataset`]."""

    def __init__(self, dataset, image_columns: Sequence[str] | None = None, augment: bool = False):
        self.dataset = dataset
        self.augment = augment
        self.columns = find_image_columns(dataset, image_columns)
        self._epoch = _shared_zero()

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        worker_id = 0 if worker is None else worker.id
        for row_index, row in enumerate(self.dataset):
            for column_index, name in enumerate(self.columns):
                index = row_index * len(self.columns) + column_index
                key = (self.epoch, worker_id, index) if self.augment else None
                yield {"image": row[name], "image_index": index, "key": key}

    def set_epoch(self, epoch: int) -> None:
        """Choose other crops, and another order where the stream shuffles, in each epoch."""
        self._epoch.fill_(epoch)
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def describe(self, image_index: int) -> str:
        """Row (of its worker) and column of a sample, for messages."""
        row, column = divmod(int(image_index), len(self.columns))
        return f"row {row} {self.columns[column]!r}"


def as_image_samples(
    dataset, image_columns: Sequence[str] | None = None, augment: bool = False
) -> VQImageDataset | VQImageStream:
    """Wrap a table or a stream of rows; what is wrapped already stays as it is."""
    if isinstance(dataset, VQImageDataset | VQImageStream):
        return dataset
    dataset = with_pictures(dataset)
    kind = VQImageStream if isinstance(dataset, IterableDataset | datasets.IterableDataset) else VQImageDataset
    return kind(dataset, image_columns, augment)


class VQImageCollator:
    """
    Samples to one batch of square crops.

    The crop of a sample depends on the seed, the epoch and its index alone, so a resumed run sees what an
    uninterrupted one would have seen. Samples without a key (those
    of evaluation) get the largest square at the centre.

    Args:
        image_size (`int`):
            Width and height of the batch, in pixels.
        random_crop_scale (`float`, *optional*, defaults to 0.6):
            Smallest side of a random crop, as a share of the shorter side of the image.
        random_flip (`bool`, *optional*, defaults to `True`):
            Mirror half of the images.
        seed (`int`, *optional*, defaults to 0):
            Seed of the crops.
        random_crop_max_scale (`float`, *optional*, defaults to 1.0):
            Largest side of a random crop, likewise.
    """

    def __init__(
        self,
        image_size: int,
        random_crop_scale: float = 0.6,
        random_flip: bool = True,
        seed: int = 0,
        random_crop_max_scale: float = 1.0,
    ):
        self.image_size = image_size
        self.random_crop_scale = random_crop_scale
        self.random_crop_max_scale = random_crop_max_scale
        self.random_flip = random_flip
        self.seed = seed

    def _prepare(self, sample: dict) -> np.ndarray:
        image = sample["image"]
        if not (isinstance(image, PIL.Image.Image) and image.mode == "RGB"):
            image = load_image(image, name=f"image {sample['image_index']}")
        shorter = min(image.size)
        side, left, top, mirror = shorter, (image.width - shorter) / 2, (image.height - shorter) / 2, False
        if sample["key"] is not None:
            draws = np.random.default_rng((self.seed, *sample["key"])).random(4)
            side = shorter * (
                self.random_crop_scale + (self.random_crop_max_scale - self.random_crop_scale) * draws[0]
            )
            left, top = draws[1] * (image.width - side), draws[2] * (image.height - side)
            mirror = self.random_flip and draws[3] < 0.5
        size = (self.image_size, self.image_size)
        if side != self.image_size or image.size != size:
            box = (left, top, left + side, top + side)
            image = image.resize(size, PIL.Image.Resampling.BICUBIC, box=box)
        pixels = np.asarray(image)
        return pixels[:, ::-1] if mirror else pixels

    def __call__(self, samples: Sequence[dict]) -> dict[str, torch.Tensor]:
        """
        Args:
            samples (sequence of `dict`):
                What [`VQImageDataset`] holds.

        Returns:
            `dict`: `pixel_values`, float32 of shape `(B, 3, image_size, image_size)` in [-1, 1], and `image_index`,
            int64 of shape `(B,)`.
        """
        pixels = torch.from_numpy(np.stack([self._prepare(sample) for sample in samples]))
        pixel_values = pixels.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)
        return {
            "pixel_values": pixel_values,
            "image_index": torch.tensor([sample["image_index"] for sample in samples], dtype=torch.long),
        }


__all__ = ["VQImageCollator", "VQImageDataset", "VQImageStream", "as_image_samples", "find_image_columns"]
