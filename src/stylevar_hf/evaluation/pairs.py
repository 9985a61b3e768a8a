# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The pictures of a benchmark set at the size at which everything is compared."""

import functools
from collections.abc import Sequence

import numpy as np
import PIL.Image
from transformers.utils import logging

from ..image_processing_stylevar import StyleVARImageProcessor
from .benchmarks import BenchmarkSet
from .controls import derangement
from .inputs import fit


logger = logging.get_logger(__name__)

# Fitted pictures that are kept rather than decoded again.
CACHE_BYTES = 256 * 2**20


class PairSet:
    """
    Pairs with their seeds.

    Args:
        benchmark ([`BenchmarkSet`]):
            The rows.
        processor ([`StyleVARImageProcessor`]):
            Fits every picture to the size at which it is painted and compared.
        seed (`int`):
            Pair `i` is drawn with `seed + i`; also decides whose style it is given when styles are swapped.
    """

    def __init__(self, benchmark: BenchmarkSet, processor: StyleVARImageProcessor, seed: int):
        self.benchmark, self.processor, self.name = benchmark, processor, benchmark.name
        self.has_target = benchmark.has_target
        self.seeds = [seed + row for row in range(len(benchmark))]
        self.others = None if len(benchmark) < 2 else _choose_others(benchmark, seed)
        self.notes = (*benchmark.notes, *self._swap_notes())
        self._columns = {
            name: benchmark.dataset.select_columns([name])  # reading a row decodes no other picture
            for name in ("content", "style", "target")
            if name in benchmark.dataset.column_names
        }
        size = processor.size["height"] * processor.size["width"] * 3
        self._load = functools.lru_cache(maxsize=max(16, CACHE_BYTES // size))(self._read)

    def _swap_notes(self) -> list[str]:
        style_ids = self.benchmark.style_ids
        if self.others is None or style_ids is None:
            return []
        same = sum(style_ids[row] == style_ids[other] for row, other in enumerate(self.others))
        return [f"Another pair's style: for {same} of {len(self)} pairs it is the same style."] if same else []

    def __len__(self) -> int:
        return len(self.benchmark)

    def _read(self, column: str, row: int) -> PIL.Image.Image:
        return fit(self.processor, self._columns[column][row][column], f"{column} of row {row}")

    def pictures(self, column: str, rows: Sequence[int]) -> list[PIL.Image.Image]:
        """`"content"`, `"style"` or `"target"` of these rows; `"swapped"`: the styles of other pairs."""
        if column == "swapped":
            return self.pictures("style", [int(self.others[row]) for row in rows])
        return [self._load(column, int(row)) for row in rows]

    def check_rows(self, count: int) -> list[int]:
        """So many rows, evenly spaced: nobody chose them."""
        return np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)).tolist()

    def describe(self) -> list[dict]:
        """The list of pairs as it is written into the results."""
        content_ids, style_ids = self.benchmark.content_ids, self.benchmark.style_ids
        return [
            {
                "content_id": content_ids[row],
                "style_id": None if style_ids is None else style_ids[row],
                "seed": self.seeds[row],
                "swapped_with": None if self.others is None else int(self.others[row]),
            }
            for row in range(len(self))
        ]


def _choose_others(benchmark: BenchmarkSet, seed: int) -> np.ndarray:
    """For each pair the one whose style it is given instead, another style where that is known."""
    if benchmark.style_ids is not None:
        try:
            return derangement(len(benchmark), seed, benchmark.style_ids)
        except ValueError as error:
            logger.warning(f"Styles are swapped whatever their `style_id`, some for themselves: {error}")
    return derangement(len(benchmark), seed)


__all__ = ["PairSet"]
