# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Evaluation results for cards: read from `results.json`, shown as a table and as the Hub's metadata."""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult
from transformers.utils import logging


logger = logging.get_logger(__name__)

PAPER_URL = "https://arxiv.org/abs/2604.21052"


@dataclass(frozen=True)
class Metric:
    """How a card names a metric: heading, whether more is better, digits, and the Hub's id of it if there is one."""

    title: str
    more_is_better: bool
    digits: int
    hub_id: str | None = None


METRICS = {
    "style_loss": Metric("style loss", False, 4),
    "content_loss": Metric("content loss", False, 1),
    "lpips": Metric("LPIPS", False, 4, "lpips"),
    "ssim": Metric("SSIM", True, 4, "ssim"),
    "psnr": Metric("PSNR (dB)", True, 2, "psnr"),
    "dreamsim": Metric("DreamSim", False, 4, "dreamsim"),
    "clip_similarity": Metric("CLIP similarity", True, 4, "clip-image-similarity"),
    "fid": Metric("FID", False, 2, "fid"),
    "artfid": Metric("ArtFID", False, 2, "artfid"),
    "cfsd": Metric("CFSD", False, 4, "cfsd"),
    "cross_entropy": Metric("cross-entropy (nats/token)", False, 3),
    "target_colour": Metric("colour to target", False, 1),
    "target_texture": Metric("texture to target", False, 3),
    "style_colour": Metric("colour to style", False, 1),
    "style_texture": Metric("texture to style", False, 3),
    "seconds_per_image": Metric("s / image", False, 4),
}


@dataclass(frozen=True)
class Result:
    """
    One measured number.

    Args:
        dataset (`str`):
            What it was measured on.
        metric (`str`):
            A key of `METRICS`, or any name.
        value (`float`):
            The mean.
        low, high (`float`, *optional*):
            Its 95% interval.
        count (`int`, *optional*):
            How many pairs it was measured on.
        system (`str`, *optional*):
            What was measured in place of the card's model: a control or a baseline.
        dataset_id (`str`, *optional*):
            The data set's id on the Hub.
        source, source_url (`str`, *optional*):
            Who measured, if it was not whoever wrote the card.
        heading ([`Metric`], *optional*):
            How to show a metric that `METRICS` does not know.
    """

    dataset: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None
    system: str | None = None
    dataset_id: str | None = None
    source: str | None = None
    source_url: str | None = None
    heading: Metric | None = None

    @property
    def shown(self) -> Metric | None:
        return METRICS.get(self.metric, self.heading)

    @property
    def title(self) -> str:
        return self.shown.title if self.shown else self.metric.replace("_", " ")

    def cell(self) -> str:
        digits = self.shown.digits if self.shown else 4
        interval = "" if self.low is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}{interval}"


def read_results(path: str | os.PathLike, model: str | None = None) -> list[Result]:
    """
    The numbers in a `results.json`; what is not understood is passed over.

    Read are the files of `stylevar evaluate`, with what it measured beside the model, and the plain form
    `{"results": [{"dataset", "metric", "value"}]}`. A number is a number or `{"mean" or "value", "low", "high"}`.

    Args:
        path (`str` or `os.PathLike`):
            The file.
        model (`str`, *optional*):
            The name of the checkpoint in the file. Defaults to the only one; of several, to the one in the folder of
            the file: the one with its fingerprint, or else with its name; if there is none, a warning says so.

    Returns:
        `list[Result]`: Empty if the file is missing or holds nothing of these forms, or of this checkpoint.

    Raises:
        ValueError: If the file is not JSON.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`results` must be JSON, but got {path} ({error}). Evaluate again or remove it.") from error
    if not isinstance(report, Mapping):
        return []
    model = _model_of_folder(report, path) if model is None else model
    return [*_of_sets(report, model), *_of_list(report)]


def _model_of_folder(report: Mapping[str, Any], path: Path) -> str | None:
    """Of several checkpoints the one in the folder of the file, or "": no card may show another's figures."""
    models = _mapping(_mapping(report.get("settings")).get("models"))
    if len(models) < 2:
        return None
    from ..checkpoints.fingerprints import own_fingerprint

    folder = path.absolute().parent
    own = own_fingerprint(str(folder))
    # An adapter's is followed by that of its base.
    alike = [name for name, one in models.items() if str(_mapping(one).get("fingerprint")).split(" on ")[0] == own]
    if alike or folder.name in models:
        return (alike or [folder.name])[0]
    logger.warning(
        f"{path} is not shown on the card: it holds {', '.join(models)}, all of other weights than {folder} and of "
        "other names. Evaluate that checkpoint, or rename the folder."
    )
    return ""


def _of_sets(report: Mapping[str, Any], model: str | None) -> Iterable[Result]:
    systems = _mapping(report.get("systems"))
    headings = {name: _metric(name, measure) for name, measure in _mapping(report.get("measures")).items()}
    for dataset, entry in _mapping(report.get("sets")).items():
        entry = _mapping(entry)
        means = _mapping(entry.get("means"))
        own = _own_system(means, systems, model)
        for system in [own, *(name for name in means if name != own)] if own is not None else ():
            kind = _mapping(systems.get(system)).get("kind")
            if system != own and kind not in ("model", "control", "baseline"):
                continue
            of_system = {
                "count": entry.get("num_pairs"),
                "system": None if system == own else str(_mapping(systems[system]).get("title") or system),
                "dataset_id": entry.get("hub_dataset"),
            }
            for metric, number in _mapping(means[system]).items():
                yield from _result(str(dataset), metric, number, heading=headings.get(metric), **of_system)


def _own_system(means: Mapping[str, Any], systems: Mapping[str, Any], model: str | None) -> str | None:
    """The name of the checkpoint among the rows."""
    if model is not None:
        return model if model in means else None
    models = [name for name in means if _mapping(systems.get(name)).get("kind") == "model"]
    return models[0] if models else next((name for name in ("model",) if name in means), None)


def _of_list(report: Mapping[str, Any]) -> Iterable[Result]:
    entries = report.get("results")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("metric"), str):
            yield from _result(
                str(entry.get("dataset") or "evaluation"), entry["metric"], entry, count=entry.get("num_pairs")
            )


def _metric(name: str, measure: Any) -> Metric:
    known = _mapping(measure)
    digits = known.get("digits")
    return Metric(
        str(known.get("title") or name),
        bool(known.get("higher_is_better")),
        digits if isinstance(digits, int) else 4,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _result(dataset: str, metric: str, number: Any, count: Any = None, **more: Any) -> Iterable[Result]:
    parts = number if isinstance(number, Mapping) else {"value": number}
    value = parts.get("mean", parts.get("value"))
    if not _is_number(value):
        return
    low, high = parts.get("low"), parts.get("high")
    if not (_is_number(low) and _is_number(high)):
        low = high = None
    count = count if isinstance(count, int) else None
    yield Result(dataset.replace("_", " "), metric, value, low, high, count, **more)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def results_table(results: Sequence[Result]) -> str:
    """A Markdown table: a row per data set and system, a column per metric."""
    columns = {result.metric: result for result in results}
    heads = [_heading(result) for result in columns.values()]
    with_counts = any(result.count for result in results)
    with_systems = any(result.system for result in results)
    lines = [["test set", *(["system"] if with_systems else []), *(["pairs"] if with_counts else []), *heads]]
    lines.append(["---"] * len(lines[0]))
    for dataset, system in dict.fromkeys((result.dataset, result.system) for result in results):
        found = {one.metric: one for one in results if (one.dataset, one.system) == (dataset, system)}
        row = [dataset, *([system or "**this model**"] if with_systems else [])]
        row += [str(next((one.count for one in found.values() if one.count), ""))] if with_counts else []
        lines.append([*row, *(found[name].cell() if name in found else "" for name in columns)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _heading(result: Result) -> str:
    return f"{result.title} {'↑' if result.shown.more_is_better else '↓'}" if result.shown else result.title


def metric_ids(results: Iterable[Result]) -> list[str]:
    """The Hub's ids of the metrics, each once."""
    ids = (METRICS[result.metric].hub_id for result in results if result.metric in METRICS)
    return list(dict.fromkeys(identifier for identifier in ids if identifier))


def to_eval_results(results: Iterable[Result]) -> list[EvalResult]:
    """The model's own results as `model-index` metadata."""
    return [
        EvalResult(
            task_type="image-to-image",
            task_name="style transfer",
            dataset_type=result.dataset_id or re.sub(r"[^a-z0-9]+", "-", result.dataset.lower()).strip("-"),
            dataset_name=result.dataset,
            metric_type=(METRICS[result.metric].hub_id if result.metric in METRICS else None) or result.metric,
            metric_name=result.title,
            metric_value=round(result.value, 6),
            source_name=result.source,
            source_url=result.source_url,
        )
        for result in results
        if result.system is None
    ]


__all__ = [
    "METRICS",
    "PAPER_URL",
    "Metric",
    "Result",
    "metric_ids",
    "read_results",
    "results_table",
    "to_eval_results",
]
