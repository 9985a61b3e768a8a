# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
From values per pair to what a run found out, and `results.json`.

The file, format 1:

```
{
  "format": 1,
  "settings": {...},                     models with their fingerprints, benchmark, seed, precision, sampling, versions
  "systems": {NAME: {"title", "kind", "model", "style_strength"}},                                see [`System`]
  "measures": {NAME: {"title", "higher_is_better", "reference", "per_image", "digits", "source"}},  see [`Measure`]
  "not_computed": [{"what", "reason"}],  metrics and systems that were asked for and are not there
  "sets": {NAME: {
    "source", "notes": [...], "left_out": [...], "hub_dataset", "has_target",
    "num_pairs", "num_contents",         intervals are over contents: pairs of one content are drawn together
    "pairs": [{"content_id", "style_id", "seed", "swapped_with"}],
    "means": {SYSTEM: {MEASURE: {"mean", "low", "high"}}},      95% interval; null where there is none
    "differences": {SYSTEM: {OTHER: {MEASURE: {"mean", "low", "high", "verdict"}}}},  system minus other, pair by pair
    "seconds_per_image": {SYSTEM: {"median", "low", "high", "batch_size", "num_batches", "device"}},       quartiles
    "trade_off": {"num_pairs", "curves": {MODEL: [{"style_strength", "means": {MEASURE: ...}}]},
                  "points": {SYSTEM: {MEASURE: ...}}},          null without a sweep
    "strength": {MODEL: {...}}           [`StrengthReport`]
  }},
  "identity": {MODEL: {PICTURES: {"num_images", "means"}}},       style = content, see [`evaluate_identity`]
  "reconstruction": {MODEL: {PICTURES: {"num_images", "means"}}}  see [`evaluate_reconstruction`]
}
```

`verdict` is "better", "worse" or "unclear": the 95% interval of the difference lies on one side of 0, or holds it. It
is not corrected for the number of comparisons. The values per pair are in `values/<set>/<system>.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..measures import STYLE_AND_CONTENT_MEASURES, Measure, get_measure
from ..model_checks import summarise_strength
from ..pairs import PairSet
from ..statistics import Estimate, bootstrap_mean
from ..systems import System


FORMAT = 1
# Of the curves: both losses of the paper where they could be computed, and the measures without a network.
TRADE_OFF_MEASURES = ("style_loss", "content_loss", *STYLE_AND_CONTENT_MEASURES)

# System to measure to its values: one per row, or one for all.
Values = Mapping[str, Mapping[str, Any]]


def verdict(difference: Estimate, measure: Measure) -> str:
    """`"better"`, `"worse"` or `"unclear"`, as the 95% interval says."""
    return {0: "unclear", 1: "better", -1: "worse"}[difference.sign * (1 if measure.higher_is_better else -1)]


def summarise_set(
    pairs: PairSet,
    systems: Sequence[System],
    rows: Mapping[str, Sequence[int]],
    values: Values,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """
    The entry of a set in `results.json`, less the times.

    Args:
        pairs ([`PairSet`]):
            The set.
        systems (`Sequence[System]`):
            In the order of the tables.
        rows (`Mapping[str, Sequence[int]]`):
            System to the rows that were painted.
        values (`Mapping[str, Mapping[str, Any]]`):
            System to measure to a value per row, or one for all.
        num_resamples, seed (`int`):
            Of the bootstrap.
    """
    benchmark = pairs.benchmark
    groups = np.asarray(benchmark.content_ids)

    def estimate(numbers: Any, of_rows: Sequence[int]) -> Estimate:
        if np.isscalar(numbers):
            return Estimate(float(numbers), float("nan"), float("nan"))
        return bootstrap_mean(numbers, groups[list(of_rows)].tolist(), num_resamples, seed)

    table = [system for system in systems if system.kind != "strength" and system.name in values]
    means = {
        system.name: {name: estimate(found, rows[system.name]) for name, found in values[system.name].items()}
        for system in table
    }
    differences: dict[str, dict[str, Any]] = {}
    for judged in (system for system in table if system.is_judged):
        for other in table:
            if other.name == judged.name:
                continue
            differences.setdefault(judged.name, {})[other.name] = {
                name: _difference(name, np.subtract(found, values[other.name][name]), rows[judged.name], estimate)
                for name, found in values[judged.name].items()
                if name in values[other.name]
            }
    return {
        "source": benchmark.source,
        "notes": list(pairs.notes),
        "left_out": list(benchmark.left_out),
        "hub_dataset": benchmark.hub_dataset,
        "has_target": pairs.has_target,
        "num_pairs": len(pairs),
        "num_contents": len(set(groups.tolist())),
        "pairs": pairs.describe(),
        "means": {name: {key: one.to_dict() for key, one in found.items()} for name, found in means.items()},
        "differences": differences,
        **_summarise_sweep(systems, rows, values, groups, num_resamples, seed, estimate),
    }


def _difference(name: str, numbers: Any, rows: Sequence[int], estimate: Any) -> dict[str, Any]:
    found = estimate(float(numbers) if np.ndim(numbers) == 0 else numbers, rows)
    return {**found.to_dict(), "verdict": verdict(found, get_measure(name))}


def _summarise_sweep(
    systems: Sequence[System],
    rows: Mapping[str, Sequence[int]],
    values: Values,
    groups: np.ndarray,
    num_resamples: int,
    seed: int,
    estimate: Any,
) -> dict[str, Any]:
    """Curves of the checkpoints over the strength, and the other systems as points, all on the same pairs."""
    swept = [system for system in systems if system.kind == "strength" and system.name in values]
    if not swept:
        return {"trade_off": None, "strength": {}}
    check_rows = list(rows[swept[0].name])

    def chosen(system: System) -> dict[str, list[float]]:
        """The values of the rows of the sweep."""
        places = [list(rows[system.name]).index(row) for row in check_rows]
        found = values[system.name]
        return {
            name: [found[name][place] for place in places]
            for name in TRADE_OFF_MEASURES
            if name in found and not np.isscalar(found[name])
        }

    def means(system: System) -> dict[str, Any]:
        return {name: estimate(numbers, check_rows).to_dict() for name, numbers in chosen(system).items()}

    curves, strength = {}, {}
    for model in dict.fromkeys(system.model for system in swept):
        points = [s for s in systems if s.model == model and s.kind in ("model", "strength") and s.name in values]
        points.sort(key=lambda system: system.style_strength)
        curves[model] = [{"style_strength": s.style_strength, "means": means(s)} for s in points]
        strengths = tuple(system.style_strength for system in points)
        tables = {
            name: np.transpose([chosen(system)[name] for system in points]).tolist()
            for name in STYLE_AND_CONTENT_MEASURES
            if all(name in values[system.name] for system in points)
        }
        if tables:
            ids = groups[check_rows].tolist()
            strength[model] = summarise_strength(strengths, tables, ids, num_resamples, seed).to_dict()
    others = [s for s in systems if s.kind not in ("model", "strength", "swapped") and s.name in values]
    points = {system.name: means(system) for system in others}
    return {
        "trade_off": {"num_pairs": len(check_rows), "curves": curves, "points": points},
        "strength": strength,
    }


def describe_systems(systems: Sequence[System]) -> dict[str, Any]:
    keys = ("title", "kind", "model", "style_strength")
    return {system.name: {key: getattr(system, key) for key in keys} for system in systems}


def describe_measures(measures: Sequence[Measure]) -> dict[str, Any]:
    return {measure.name: {k: v for k, v in asdict(measure).items() if k != "name"} for measure in measures}


__all__ = ["FORMAT", "TRADE_OFF_MEASURES", "describe_measures", "describe_systems", "summarise_set", "verdict"]
