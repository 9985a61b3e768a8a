# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
The honest table: a checkpoint on triplets beside four controls, with intervals.

A number alone says little: returning the content is already similar to the target, a colour transfer already has the
style's palette. So each measure is taken of the model and of the controls on the same pairs, and the difference is
judged pair by pair.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from transformers.utils import logging

from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..pipeline_stylevar import StyleVARPipeline
from ._inputs import (
    MeasuredPicture,
    as_pipeline,
    batches,
    check_count,
    check_triplets,
    fit,
    only_columns,
    text_column,
    to_pixel_values,
)
from .controls import derangement, reinhard_transfer, return_content, return_style
from .image_measures import peak_signal_to_noise_ratio, signature_distance, structural_similarity
from .intervals import Estimate, bootstrap_mean
from .model_checks import CheckReport, StrengthReport, checks_to_markdown, markdown_table


logger = logging.get_logger(__name__)

COLUMNS = ("content", "style", "target")
ROWS = {
    "model": "model",
    "content": "return the content",
    "style": "return the style",
    "reinhard": "Reinhard colour transfer",
    "swapped": "model, another pair's style",
}
# Heading, whether more is better, and digits to show.
MEASURES = {
    "cross_entropy": ("cross-entropy (nats/token)", False, 3),
    "ssim": ("SSIM to target", True, 3),
    "psnr": ("PSNR to target (dB)", True, 2),
    "target_colour": ("colour to target", False, 1),
    "target_texture": ("texture to target", False, 3),
    "style_colour": ("colour to style", False, 1),
    "style_texture": ("texture to style", False, 3),
}


@dataclass(frozen=True)
class TripletSetReport:
    """
    One set of triplets.

    Args:
        num_pairs (`int`):
            Pairs measured.
        num_contents (`int`):
            Different contents among them; intervals are over contents.
        means (`dict[str, dict[str, Estimate]]`):
            Row (`model`, `content`, `style`, `reinhard`, `swapped`) to measure (`cross_entropy`, `ssim`, `psnr`,
            `target_colour`, `target_texture`, `style_colour`, `style_texture`) to its mean. `cross_entropy` is there
            for `model` and `swapped` only.
        differences (`dict[str, dict[str, Estimate]]`):
            Control to measure to the mean of model minus control, pair by pair.
    """

    num_pairs: int
    num_contents: int
    means: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]

    def beats(self, control: str) -> dict[str, bool]:
        """For each measure, whether the model is clearly better: the 95% interval of the difference says so."""
        return {
            measure: difference.sign == (1 if MEASURES[measure][1] else -1)
            for measure, difference in self.differences[control].items()
        }

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "beats": {control: self.beats(control) for control in self.differences}}

    def to_markdown(self) -> str:
        heads = [f"{title} {'↑' if more else '↓'}" for title, more, _ in MEASURES.values()]
        means = [[ROWS[row], *(_cell(name, found) for name in MEASURES)] for row, found in self.means.items()]
        differences = []
        for control, found in self.differences.items():
            marks = {name: _mark(difference, MEASURES[name][1]) for name, difference in found.items()}
            cells = (f"{_cell(name, found)}{marks.get(name, '')}" for name in MEASURES)
            differences.append([f"model - {ROWS[control]}", *cells])
        return (
            f"{self.num_pairs} pairs of {self.num_contents} contents; mean [95% interval].\n\n"
            + markdown_table(["", *heads], means)
            + "\nDifferences pair by pair; ✓ the model is clearly better, ✗ clearly worse.\n\n"
            + markdown_table(["", *heads], differences)
        )


@dataclass
class TripletReport:
    """
    All that was found out about a checkpoint.

    Args:
        sets (`dict[str, TripletSetReport]`):
            The sets of triplets by name.
        settings (`dict[str, Any]`):
            What they were measured with.
        strength ([`StrengthReport`], *optional*):
            See [`evaluate_strength`].
        identity (`dict[str, CheckReport]`, *optional*):
            See [`evaluate_identity`], by the name of the pictures.
        reconstruction (`dict[str, CheckReport]`, *optional*):
            See [`evaluate_reconstruction`], by the name of the pictures.
    """

    sets: dict[str, TripletSetReport]
    settings: dict[str, Any] = field(default_factory=dict)
    strength: StrengthReport | None = None
    identity: dict[str, CheckReport] = field(default_factory=dict)
    reconstruction: dict[str, CheckReport] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for `json`."""
        return {
            "settings": self.settings,
            "sets": {name: found.to_dict() for name, found in self.sets.items()},
            "strength": None if self.strength is None else self.strength.to_dict(),
            "identity": {name: check.to_dict() for name, check in self.identity.items()},
            "reconstruction": {name: check.to_dict() for name, check in self.reconstruction.items()},
        }

    def to_markdown(self) -> str:
        """The tables, under headings."""
        parts = [
            "# Evaluation on triplets\n",
            "".join(f"* {name}: {value}\n" for name, value in self.settings.items()),
        ]
        parts += [f"## {name.replace('_', ' ')}\n\n{found.to_markdown()}" for name, found in self.sets.items()]
        if self.strength is not None:
            parts.append(f"## Strength\n\n{self.strength.num_pairs} pairs.\n\n{self.strength.to_markdown()}")
        if self.identity:
            parts.append(f"## Style = content\n\nOutput to content.\n\n{checks_to_markdown(self.identity)}")
        if self.reconstruction:
            parts.append(f"## Reconstruction by the tokenizer\n\n{checks_to_markdown(self.reconstruction)}")
        return "\n".join(part for part in parts if part)

    def save(self, folder: str | os.PathLike) -> tuple[Path, Path]:
        """
        Write `report.json` and `report.md`, each under a temporary name first.

        Args:
            folder (`str` or `os.PathLike`):
                Where; made if missing.

        Returns:
            `tuple[Path, Path]`: The two files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"report.json": json.dumps(self.to_dict(), indent=2) + "\n", "report.md": self.to_markdown()}
        for name, text in texts.items():
            scratch = folder / f".{name}.{os.getpid()}.tmp"
            try:
                scratch.write_text(text, encoding="utf-8")
                scratch.replace(folder / name)
            finally:
                scratch.unlink(missing_ok=True)
        return folder / "report.json", folder / "report.md"


def evaluate_triplets(
    pipeline: StyleVARPipeline | StyleVARForConditionalGeneration,
    dataset: Any,
    *,
    batch_size: int = 8,
    seed: int = 0,
    num_resamples: int = 2000,
    sampling: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> TripletReport:
    """
    Judge a checkpoint on triplets, beside four controls: the content, the style, the content with the style's colour
    statistics ([`reinhard_transfer`]), and the same model with the style of another pair.

    All pictures are compared at the model's size. The distance to the true style is taken of every row, also of the
    swapped one.

    Args:
        pipeline ([`StyleVARPipeline`] or [`StyleVARForConditionalGeneration`]):
            What to judge. A bare model gets the published image processing.
        dataset (`datasets.Dataset`, a sequence of `dict`, or a mapping of names to those):
            Triplets with `content`, `style` and `target`, at least two. Where there is `content_id`, pairs of one
            content are resampled together; where there is `style_id`, styles are swapped for others only.
        batch_size (`int`, *optional*, defaults to 8):
            Images to draw at once; changes nothing but time and memory, rounding aside.
        seed (`int`, *optional*, defaults to 0):
            Pair `i` is drawn with `seed + i`, with its own style and with the other; also decides the swap and the
            resampling.
        num_resamples (`int`, *optional*, defaults to 2000):
            Of the bootstrap.
        sampling (`Mapping[str, Any]`, *optional*):
            Arguments for the pipeline's call, such as `top_k` or `style_strength`.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar on stderr.

    Returns:
        [`TripletReport`]: With `sets`; a single dataset is the set `"triplets"`.

    Raises:
        ValueError: If an argument does not fit, or the data lack columns, rows or pictures.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARPipeline, bundled_checkpoint
    >>> from stylevar_hf.data.procedural import load_procedural
    >>> from stylevar_hf.evaluation import evaluate_triplets

    >>> pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint())
    >>> report = evaluate_triplets(pipe, load_procedural(200, split="in_distribution"), progress=True)
    >>> report.sets["triplets"].beats("content")
    ```
    """
    pipeline = as_pipeline(pipeline)
    check_count("batch_size", batch_size)
    check_count("seed", seed, minimum=0)
    check_count("num_resamples", num_resamples)
    datasets = dict(dataset) if isinstance(dataset, Mapping) else {"triplets": dataset}
    for name, triplets in datasets.items():
        check_triplets(triplets, COLUMNS, f"dataset[{name!r}]" if isinstance(dataset, Mapping) else "dataset", 2)
    sets = {}
    for name, triplets in datasets.items():
        values = _measure_set(pipeline, triplets, name, batch_size, seed, sampling or {}, progress)
        sets[name] = _summarise_set(values, text_column(triplets, "content_id"), num_resamples, seed)
    settings = {
        "seed": seed,
        "num_resamples": num_resamples,
        "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "image_size": pipeline.model.config.image_size,
        "sampling": {
            **{name: getattr(pipeline.model.generation_config, name) for name in ("do_sample", "top_k", "top_p")},
            "temperature": pipeline.model.generation_config.temperature,
            **(sampling or {}),
        },
    }
    return TripletReport(sets, settings)


def _measure_set(
    pipeline: StyleVARPipeline,
    dataset: Any,
    name: str,
    batch_size: int,
    seed: int,
    sampling: Mapping[str, Any],
    progress: bool,
) -> dict[str, dict[str, list[float]]]:
    """Row to measure to one value per pair."""
    values: dict[str, dict[str, list[float]]] = {row: {} for row in ROWS}
    others = _choose_others(dataset, seed)
    triplets, only_styles = only_columns(dataset, COLUMNS), only_columns(dataset, ("style",))
    for rows in batches(len(dataset), batch_size, name, progress):
        # 1. Read the pictures at the model's size
        records = [triplets[i] for i in rows]
        contents, styles, targets = (
            [fit(pipeline, record[column], f"{column} of row {i}") for i, record in zip(rows, records, strict=True)]
            for column in COLUMNS
        )
        swapped = [fit(pipeline, only_styles[int(others[i])]["style"], f"style of row {others[i]}") for i in rows]

        # 2. Paint with the right style and with another, each content encoded once
        outputs = pipeline(
            contents * 2, styles + swapped, seed=[seed + i for i in rows] * 2, batch_size=batch_size, **sampling
        )
        entropies = _cross_entropies(pipeline, contents, [styles, swapped], targets)
        for row, numbers in zip(("model", "swapped"), entropies, strict=True):
            values[row].setdefault("cross_entropy", []).extend(numbers)

        # 3. Measure every row of the table
        for position in range(len(rows)):
            content, style, target = (MeasuredPicture(part[position]) for part in (contents, styles, targets))
            candidates = {
                "model": MeasuredPicture(outputs[position]),
                "content": return_content(content, style),
                "style": return_style(content, style),
                "reinhard": MeasuredPicture(reinhard_transfer(content.array, style.array)),
                "swapped": MeasuredPicture(outputs[len(rows) + position]),
            }
            for row, candidate in candidates.items():
                for measure, value in _measure(candidate, target, style).items():
                    values[row].setdefault(measure, []).append(value)
    return values


def _choose_others(dataset: Any, seed: int) -> np.ndarray:
    """For each pair the one whose style it is given instead, another style where that is known."""
    style_ids = text_column(dataset, "style_id")
    if style_ids is not None:
        try:
            return derangement(len(dataset), seed, style_ids)
        except ValueError as error:
            logger.warning(f"Styles are swapped whatever their `style_id`, some for themselves: {error}")
    return derangement(len(dataset), seed)


@torch.inference_mode()
def _cross_entropies(
    pipeline: StyleVARPipeline,
    contents: list[PIL.Image.Image],
    styles: Sequence[list[PIL.Image.Image]],
    targets: list[PIL.Image.Image],
) -> list[list[float]]:
    """For each list of styles, each pair's mean cross-entropy of the target's tokens, teacher-forced, in nats."""
    model = pipeline.model
    content_pixels = to_pixel_values(pipeline, contents)
    labels, content_codes = (
        model.vq_model.encode(pixels).codes for pixels in (to_pixel_values(pipeline, targets), content_pixels)
    )
    results = []
    for group in styles:
        style_pixels = to_pixel_values(pipeline, group)
        logits = model(content_pixels, style_pixels, labels=labels, content_codes=content_codes).logits
        results.append(F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(dim=1).tolist())
    return results


def _measure(candidate: MeasuredPicture, target: MeasuredPicture, style: MeasuredPicture) -> dict[str, float]:
    return {
        "ssim": structural_similarity(candidate.array, target.array),
        "psnr": peak_signal_to_noise_ratio(candidate.array, target.array),
        "target_colour": signature_distance(candidate.colour, target.colour),
        "target_texture": signature_distance(candidate.texture, target.texture),
        "style_colour": signature_distance(candidate.colour, style.colour),
        "style_texture": signature_distance(candidate.texture, style.texture),
    }


def _summarise_set(
    values: dict[str, dict[str, list[float]]], content_ids: list[str] | None, num_resamples: int, seed: int
) -> TripletSetReport:
    def estimate(numbers: Sequence[float]) -> Estimate:
        return bootstrap_mean(numbers, content_ids, num_resamples, seed)

    means = {row: {name: estimate(found[name]) for name in MEASURES if name in found} for row, found in values.items()}
    differences = {
        row: {name: estimate(np.subtract(values["model"][name], found[name])) for name in MEASURES if name in found}
        for row, found in values.items()
        if row != "model"
    }
    num_pairs = len(values["model"]["ssim"])
    return TripletSetReport(num_pairs, len(set(content_ids or range(num_pairs))), means, differences)


def _cell(measure: str, found: Mapping[str, Estimate]) -> str:
    return found[measure].format(MEASURES[measure][2]) if measure in found else ""


def _mark(difference: Estimate, more_is_better: bool) -> str:
    return {0: "", 1: " ✓", -1: " ✗"}[difference.sign * (1 if more_is_better else -1)]


__all__ = ["TripletReport", "TripletSetReport", "evaluate_triplets"]
