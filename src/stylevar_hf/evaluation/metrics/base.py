# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the metrics share: pictures in, values out, batches of one size, and the call of `evaluate`."""

import abc
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import datasets
import evaluate
import numpy as np
import PIL.Image
import torch

from ..._common.errors import invalid, require_packages
from ...image_processing_stylevar import load_image
from ...measures.base import Measure
from .registry import MetricInfo, get_metric_info


Picture = PIL.Image.Image | np.ndarray

INPUTS_DESCRIPTION = """
Args:
    predictions (list of PIL.Image.Image or of uint8 arrays of shape (height, width, 3)): the images to judge.
    references (list of the same length): what each is compared with.
    reduction (str): "mean" (default) for one number, "none" for one per image.
Returns:
    dict: the metric's name, and a float or a list of floats.
"""


class ImageMetric(evaluate.Metric, abc.ABC):
    """
    A metric of `evaluate` over pictures.

    Args:
        weights (`str` or `os.PathLike`, *optional*):
            The network's weights, a file or a folder. Defaults to where the library that defines it keeps them.
        device (`str` or `torch.device`, *optional*, defaults to the CPU):
            Where to compute.
        batch_size (`int`, *optional*, defaults to 16):
            Pictures that go through the network at a time; bounds the memory, not the result.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether missing weights are left missing rather than downloaded. `HF_HUB_OFFLINE` does the same.
        options:
            Those of `evaluate.Metric`: `cache_dir`, `experiment_id` and so on.

    Raises:
        ValueError: If an argument does not fit.
        ModuleNotFoundError: If a package is not installed.
    """

    key: str  # the name in the registry
    inputs: tuple[str, ...] = ("predictions", "references")
    same_size: tuple[str, ...] = ("references",)  # inputs that must be of the size of the predictions
    min_side = 1
    packages: tuple[str, ...] = ()
    takes_weights = True

    def __init__(
        self,
        *args,
        weights: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
        local_files_only: bool = False,
        **options,
    ):
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise invalid("batch_size", "a positive integer", repr(batch_size), "Lower it at most to 1.")
        if weights is not None and not self.takes_weights:
            raise invalid(
                "weights", f"None for the metric {self.key!r}, which has none", repr(weights), "Leave it out."
            )
        require_packages(self.owner, self.packages, "eval")
        super().__init__(*args, **options)
        self.weights = weights
        self.device = torch.device("cpu" if device is None else device)
        self.batch_size = batch_size
        self.local_files_only = local_files_only
        self._prepared = False

    @property
    def owner(self) -> str:
        """What errors call it, at the start of a sentence."""
        return f"The metric {self.key!r}"

    @property
    def metric_info(self) -> MetricInfo:
        """Direction, range, reference and source."""
        return get_metric_info(self.key)

    def _describe_module(self, description: str, citation: str, inputs_description: str, urls: Sequence[str] = ()):
        """What `_info` returns."""
        return evaluate.MetricInfo(
            description=description,
            citation=citation,
            inputs_description=inputs_description,
            features=datasets.Features({name: datasets.Image() for name in self.inputs}),
            reference_urls=list(urls),
        )

    @abc.abstractmethod
    def _compute(self, **inputs):
        """Lists of pictures by the names of the inputs, and `reduction`, to a dict with the one key `self.key`."""

    # 1. Weights

    def _download_and_prepare(self, dl_manager) -> None:
        self.prepare()  # `evaluate.load` calls this last

    def prepare(self) -> None:
        """
        Loads what the metric needs, so that anything wrong shows now and not at the first `compute`, which does the
        same if need be.

        Raises:
            MetricUnavailable: If weights are neither here nor to be had.
        """
        if not self._prepared:
            self._load()
            self._prepared = True

    def _load(self) -> None:
        """Loads the networks, frozen and in evaluation mode, to `self.device`."""

    # 2. Pictures in

    def add_batch(self, *, predictions=None, references=None, **kwargs):
        """Add a batch of pictures, each of them a PIL image or an uint8 array (height, width, 3)."""
        batch = {"predictions": predictions, "references": references, **kwargs}
        unknown = sorted(name for name, value in batch.items() if value is not None and name not in self.inputs)
        if unknown:
            raise ValueError(
                f"`add_batch` must get {', '.join(self.inputs)} for the metric {self.key!r}, but got "
                f"{', '.join(unknown)}. Rename it."
            )
        columns = {name: self._check_column(name, batch.get(name)) for name in self.inputs}
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"`{self.inputs[-1]}` must be as many as `predictions`, but got {counts}. Pair them up.")
        self._check_sizes(columns)
        super().add_batch(**columns)

    def _check_column(self, name: str, pictures: Sequence[Picture] | None) -> list[PIL.Image.Image]:
        if pictures is None or isinstance(pictures, (PIL.Image.Image, str)):
            got = "nothing" if pictures is None else type(pictures).__name__
            raise invalid(name, f"a list of pictures for the metric {self.key!r}", got, "Give a list.")
        return [to_pil(picture, name) for picture in pictures]

    def _check_sizes(self, columns: dict[str, list[PIL.Image.Image]]) -> None:
        for name, pictures in columns.items():
            for first, picture in zip(columns["predictions"], pictures, strict=True):
                if min(picture.size) < self.min_side:
                    rule = f"at least {self.min_side} x {self.min_side} pixels for the metric {self.key!r}"
                    raise invalid(name, rule, f"{picture.width} x {picture.height}", "Enlarge them.")
                if name in self.same_size and picture.size != first.size:
                    got = f"{picture.width} x {picture.height} and {first.width} x {first.height}"
                    raise invalid(
                        name, f"of the size of `predictions` for the metric {self.key!r}", got, "Resize them."
                    )

    # 3. Batches

    def _same_size_batches(self, *columns: Sequence[PIL.Image.Image]) -> Iterator[list[torch.Tensor]]:
        """Neighbours of one size, at most `batch_size`, as tensors `(B, 3, H, W)` in [0, 1] on the device."""
        if not columns[0]:
            raise invalid("predictions", f"one picture or more for the metric {self.key!r}", "none", "Add some.")
        rows = zip(*columns, strict=True)
        for _, alike in itertools.groupby(rows, key=lambda row: [picture.size for picture in row]):
            for batch in _batched(alike, self.batch_size):
                yield [to_tensor(pictures).to(self.device) for pictures in zip(*batch, strict=True)]

    @torch.no_grad()
    def _values(self, measure: Callable[..., torch.Tensor], *columns: Sequence[PIL.Image.Image]) -> list[float]:
        """What a function of batches `(B, 3, H, W)`, one for each column, to `(B,)` gives for each row."""
        with torch.autocast(self.device.type, enabled=False):
            parts = [measure(*batch).cpu().double() for batch in self._same_size_batches(*columns)]
        return torch.cat(parts).tolist()

    @torch.no_grad()
    def _features(self, network: torch.nn.Module, pictures: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """What a network makes of each picture, `(N, D)` on the CPU, in batches."""
        with torch.autocast(self.device.type, enabled=False):
            return torch.cat([network(batch).cpu() for (batch,) in self._same_size_batches(pictures)])


class PairedImageMetric(ImageMetric):
    """A metric with one value for each image and its reference."""

    @abc.abstractmethod
    def _measure(self, predictions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        """Two batches `(B, 3, H, W)` in [0, 1] to values `(B,)`."""

    def _compute(self, predictions, references, reduction: str = "mean") -> dict[str, float | list[float]]:
        check_reduction(self.key, reduction)
        self.prepare()
        values = self._values(self._measure, predictions, references)
        return {self.key: float(np.mean(values)) if reduction == "mean" else values}


class MeasureMetric(PairedImageMetric):
    """A metric that is one of [`stylevar_hf.measures`]."""

    @abc.abstractmethod
    def _build_measure(self) -> Measure:
        """The measure, with the weights of this metric."""

    def _load(self) -> None:
        self._network = self._build_measure().to(self.device)

    def _measure(self, predictions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        values = self._network(predictions, references)
        return values if self._network.higher_is_better else values.clamp(min=0)  # rounding may go below


def check_reduction(key: str, reduction: str, allowed: Sequence[str] = ("mean", "none")) -> None:
    """Raises `ValueError` unless the metric has that reduction."""
    if reduction not in allowed:
        raise invalid(
            "reduction", f"one of {', '.join(allowed)} for the metric {key!r}", repr(reduction), "Choose another."
        )


def to_pil(picture: Picture, name: str) -> PIL.Image.Image:
    """A picture as an RGB image. Raises `ValueError` unless it is a PIL image or an uint8 array `(H, W, 3)`."""
    if isinstance(picture, PIL.Image.Image):
        return load_image(picture, name)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise invalid(
            name,
            "PIL images or uint8 arrays of shape (height, width, 3)",
            f"{type(picture).__name__} of shape {array.shape} and dtype {array.dtype}",
            "Convert them.",
        )
    return PIL.Image.fromarray(array)


def to_tensor(pictures: Sequence[PIL.Image.Image]) -> torch.Tensor:
    """Pictures of one size as float32 `(B, 3, H, W)` in [0, 1]."""
    arrays = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous().float() / 255


def _batched(items, size: int) -> Iterator[tuple]:
    items = iter(items)
    while batch := tuple(itertools.islice(items, size)):
        yield batch


__all__ = [
    "INPUTS_DESCRIPTION",
    "ImageMetric",
    "MeasureMetric",
    "PairedImageMetric",
    "check_reduction",
    "to_pil",
    "to_tensor",
]
