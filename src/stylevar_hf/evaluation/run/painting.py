# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Painting the pairs of a set with one system, batch by batch, with times; what is there already is kept."""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from ..._common.errors import invalid
from ...data.teachers.base import Generator
from ..inputs import fit
from ..pairs import PairSet
from ..run_folder import RunFolder
from ..systems import System


OUT_OF_MEMORY = "`batch_size` must be small enough for the memory, but got {}. Lower it, or take bfloat16 or the CPU."


def rows_to_paint(folder: RunFolder, pairs: PairSet, system: System, rows: Sequence[int]) -> list[int]:
    """The rows whose picture is not there yet."""
    return [row for row in rows if not folder.output(pairs.name, system.name, row).is_file()]


def paint(
    folder: RunFolder,
    pairs: PairSet,
    system: System,
    generator: Generator,
    rows: Sequence[int],
    batch_size: int,
    bar: tqdm,
    device: str,
) -> None:
    """
    Paints what is missing of these rows into the folder.

    The first batch is painted once more before, unseen and untimed: a first call loads kernels and fills caches. A
    time is that of a whole batch, pictures in memory to pictures in memory, divided by its size, and is kept with the
    name of the device: another one may go on with the run.

    Raises:
        ValueError: If the generator returns anything but one picture per pair, or memory runs out.
    """
    missing = rows_to_paint(folder, pairs, system, rows)
    bar.update(len(rows) - len(missing))
    if not missing:
        return
    folder.forget_measured(pairs.name, system.name)
    times = folder.read(folder.times(pairs.name, system.name)).get("batches", [])
    for start in range(-batch_size, len(missing), batch_size):
        chunk = missing[max(start, 0) : max(start, 0) + batch_size]
        contents = pairs.pictures("content", chunk)
        styles = pairs.pictures("swapped" if system.kind == "swapped" else "style", chunk)
        images, seconds = _timed(generator, contents, styles, [pairs.seeds[row] for row in chunk])
        if len(images) != len(chunk):
            rule = f"a generator of one picture per pair ({len(chunk)})"
            raise invalid(system.name, rule, len(images), "Fix its `stylize`.")
        if start < 0:  # the warm-up
            continue
        for row, image in zip(chunk, images, strict=True):
            fitted = fit(pairs.processor, image, f"output of {system.name}")
            folder.save_output(pairs.name, system.name, row, fitted)
        times.append({"images": len(chunk), "seconds": seconds, "device": device})
        folder.update(folder.times(pairs.name, system.name), {"batches": times})
        bar.update(len(chunk))


def _timed(generator: Generator, contents: list, styles: list, seeds: list[int]) -> tuple[list, float]:
    start = time.perf_counter()
    failed = False
    try:
        images = generator.stylize(contents, styles, seeds)
    except torch.OutOfMemoryError:
        failed = True
    if failed:  # not in `except`, where the traceback keeps the memory of the call that failed
        raise ValueError(OUT_OF_MEMORY.format(len(contents)))
    return images, time.perf_counter() - start


def seconds_per_image(folder: RunFolder, set_name: str, system: str) -> dict[str, float | int | str | None] | None:
    """
    Median and quartiles over batches of the seconds per image, of full batches alone where there are any. Where a run
    was resumed on another device, those of the one that painted more.

    Returns:
        `dict` with `median`, `low` and `high` (the quartiles), `batch_size`, `num_batches` and `device`; `None` if
        nothing was timed.
    """
    batches = folder.read(folder.times(set_name, system)).get("batches", [])
    if not batches:
        return None
    painted = Counter()
    for batch in batches:
        painted[batch.get("device")] += batch["images"]
    device = painted.most_common(1)[0][0]
    batches = [batch for batch in batches if batch.get("device") == device]
    size = max(batch["images"] for batch in batches)
    full = [batch["seconds"] / size for batch in batches if batch["images"] == size]
    low, median, high = np.quantile(full, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "low": low, "high": high, "batch_size": size, "num_batches": len(full), "device": device}


__all__ = ["paint", "rows_to_paint", "seconds_per_image"]
