# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""From painted pictures to a value per pair, system and measure; what was measured before is kept."""

import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...measures.pictures import mean_colour_difference, signature_distance, structural_similarity
from ...measures.transfer import detail, relative_detail
from ..inputs import MeasuredPicture
from ..measures import Measure
from ..metrics import MetricUnavailable, load_metric
from ..pairs import PairSet
from ..run_folder import RunFolder
from ..systems import System


# What torch raises at a file that is damaged, or of another network.
UNREADABLE = (EOFError, KeyError, RuntimeError, pickle.UnpicklingError)
# Which rows of which system are measured.
Jobs = Sequence[tuple[System, Sequence[int]]]


def _structure(image: MeasuredPicture, content: MeasuredPicture) -> float:
    return 1 - structural_similarity(image.array, content.array)


def _colour_difference(image: MeasuredPicture, content: MeasuredPicture) -> float:
    return mean_colour_difference(image.array, content.array)


def _colour(image: MeasuredPicture, reference: MeasuredPicture) -> float:
    return signature_distance(image.colour, reference.colour)


def _texture(image: MeasuredPicture, reference: MeasuredPicture) -> float:
    return signature_distance(image.texture, reference.texture)


def _detail(image: MeasuredPicture, content: MeasuredPicture) -> tuple[float, float]:
    """Of both: sharpness is relative to the mean over contents, which is known at the end."""
    arrays = [torch.from_numpy(np.array(one.array)).permute(2, 0, 1)[None] / 255 for one in (image, content)]
    return detail(arrays[0]).item(), detail(arrays[1]).item()


_FUNCTIONS: dict[str, Callable[[MeasuredPicture, MeasuredPicture], Any]] = {
    "target_colour": _colour,
    "target_texture": _texture,
    "style_colour": _colour,
    "style_texture": _texture,
    "content_structure": _structure,
    "content_colour": _colour_difference,
    "sharpness": _detail,
}


def stored_values(folder: RunFolder, pairs: PairSet, system: System, measure: str, weights: str | None = None) -> Any:
    """The values of a measure, or `None` if they are missing or were made with other weights."""
    entry = folder.read(folder.values(pairs.name, system.name)).get(measure)
    return entry["values"] if entry is not None and entry["weights"] == weights else None


def store_values(
    folder: RunFolder, pairs: PairSet, system: System, values: Mapping[str, Any], weights: str | None = None
) -> None:
    entries = {name: {"weights": weights, "values": found} for name, found in values.items()}
    folder.update(folder.values(pairs.name, system.name), entries)


def measure_pictures(folder: RunFolder, pairs: PairSet, jobs: Jobs, measures: Sequence[Measure], bar: tqdm) -> None:
    """The measures without a network. Row by row, so that a reference's signatures serve all systems."""
    names = [measure.name for measure in measures if measure.name in _FUNCTIONS]
    references = {measure.name: measure.reference for measure in measures}
    todo = []
    for system, rows in jobs:
        missing = [name for name in names if stored_values(folder, pairs, system, name) is None]
        bar.update(len(rows) * (len(names) - len(missing)))
        if missing:
            todo.append((system, set(rows), {name: [] for name in missing}))
    for row in sorted(set().union(*(rows for _, rows, _ in todo))):
        known = {name: MeasuredPicture(pairs.pictures(name, [row])[0]) for name in set(map(references.get, names))}
        for system, rows, values in todo:
            if row in rows:
                image = MeasuredPicture(folder.load_output(pairs.name, system.name, row))
                for name, found in values.items():
                    found.append(_FUNCTIONS[name](image, known[references[name]]))
                bar.update(len(values))
    for system, _, values in todo:
        if "sharpness" in values:
            values["sharpness"] = relative_detail(*torch.tensor(values["sharpness"]).T).tolist()
        store_values(folder, pairs, system, values)


def measure_metric(
    folder: RunFolder,
    all_pairs: Sequence[tuple[PairSet, Jobs]],
    measure: Measure,
    weights: str | None,
    device: str | None,
    batch_size: int,
    bar: tqdm,
) -> str | None:
    """
    One of the metrics, loaded once for all sets and systems.

    Returns:
        `str`, *optional*: Why it could not be computed, if it could not.
    """
    todo = [
        (pairs, system, rows)
        for pairs, jobs in all_pairs
        for system, rows in jobs
        if stored_values(folder, pairs, system, measure.name, weights) is None
    ]
    total = sum(len(rows) for _, jobs in all_pairs for _, rows in jobs)
    bar.update(total - sum(len(rows) for _, _, rows in todo))
    if not todo:
        return None
    # `evaluate` keeps the pictures of a call on disk.
    with tempfile.TemporaryDirectory(prefix="stylevar-metrics-") as cache:
        metric = None
        try:
            metric = load_metric(measure.name, weights=weights, device=device, cache_dir=cache, batch_size=batch_size)
            for pairs, system, rows in todo:
                values = _compute(metric, folder, pairs, system, rows, measure, batch_size)
                store_values(folder, pairs, system, {measure.name: values}, weights)
                bar.update(len(rows))
        except (MetricUnavailable, ModuleNotFoundError, ValueError) as error:
            return " ".join(str(error).split())
        except torch.OutOfMemoryError:
            return "out of memory; go on with a smaller batch size, or on the CPU"
        except UNREADABLE as error:
            if weights is None and metric is not None:
                raise
            place = "the file on this machine" if weights is None else weights
            return f"{place} does not hold its weights: {' '.join(str(error).split())[:200]}"
    return None


def _compute(
    metric: Any,
    folder: RunFolder,
    pairs: PairSet,
    system: System,
    rows: Sequence[int],
    measure: Measure,
    batch_size: int,
) -> list[float] | float:
    """A value per row, or one for all where the metric has no more."""
    sources = {
        "references": measure.reference if measure.reference != "target" or pairs.has_target else "content",
        "contents": "content",
        "styles": "style",
    }
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        images = [folder.load_output(pairs.name, system.name, row) for row in chunk]
        columns = {name: pairs.pictures(sources[name], chunk) for name in metric.inputs if name != "predictions"}
        metric.add_batch(predictions=images, **columns)
    if not measure.per_image:
        value = float(metric.compute()[measure.name])
        if not np.isfinite(value):
            raise ValueError(f"`{measure.name}` must be finite, but got {value} for {system.name}. Check its weights.")
        return value
    values = [float(value) for value in metric.compute(reduction="none")[measure.name]]
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise ValueError(
            f"`{measure.name}` must be finite, but got {count} values of {len(values)} that are not, for "
            f"{system.name}. Check its weights."
        )
    return values


__all__ = ["measure_metric", "measure_pictures", "store_values", "stored_values"]
