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
"""What a checkpoint must do whatever the data: follow the strength dial, keep a picture whose style is its own, and
reconstruct."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..image_processing_stylevar import ImageSource
from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..pipeline_stylevar import StyleVARPipeline
from ._inputs import (
    MeasuredPicture,
    as_pipeline,
    batches,
    check_count,
    check_triplets,
    fit,
    text_column,
    to_pixel_values,
)
from .image_measures import (
    mean_colour_difference,
    peak_signal_to_noise_ratio,
    signature_distance,
    structural_similarity,
)
from .intervals import Estimate, bootstrap_mean


STRENGTHS = (-1.0, 0.0, 1.0)
# Heading, the sign of its change as the strength grows, and digits to show.
STRENGTH_MEASURES = {
    "content_structure": ("1 - SSIM to content", 1, 3),
    "content_colour": ("Lab difference to content", 1, 1),
    "style_colour": ("colour to style", -1, 1),
    "style_texture": ("texture to style", -1, 3),
}
# Heading, and digits to show.
CHECK_MEASURES = {
    "ssim": ("SSIM", 3),
    "psnr": ("PSNR (dB)", 2),
    "colour_difference": ("Lab difference", 1),
    "reconstruction_ssim": ("SSIM of the tokenizer alone", 3),
}


@dataclass(frozen=True)
class StrengthReport:
    """
    What the strength dial does.

    Args:
        num_pairs (`int`):
            Pairs measured, each with the same seed at every strength.
        strengths (`tuple[float, ...]`):
            In rising order.
        means (`dict[str, tuple[Estimate, ...]]`):
            For each measure its mean at each strength: `content_structure` (1 - SSIM to the content),
            `content_colour` (mean Lab difference to the content), `style_colour` and `style_texture` (see
            [`colour_distance`], [`texture_distance`]).
        steps (`dict[str, tuple[Estimate, ...]]`):
            For each measure the mean of its change, pair by pair, from each strength to the next.
        monotone_share (`dict[str, float]`):
            Share of pairs that change in the right direction at every step.
    """

    num_pairs: int
    strengths: tuple[float, ...]
    means: dict[str, tuple[Estimate, ...]]
    steps: dict[str, tuple[Estimate, ...]]
    monotone_share: dict[str, float]

    def is_monotone(self, measure: str) -> bool:
        """Whether the mean moves in the right direction at every step: away from the content, towards the style."""
        direction = STRENGTH_MEASURES[measure][1]
        return all(step.mean * direction > 0 for step in self.steps[measure])

    def is_clearly_monotone(self, measure: str) -> bool:
        """Whether the 95% interval of every step lies in the right direction."""
        return all(step.sign == STRENGTH_MEASURES[measure][1] for step in self.steps[measure])

    def to_dict(self) -> dict[str, Any]:
        verdicts = {name: self.is_monotone(name) for name in self.means}
        clear = {name: self.is_clearly_monotone(name) for name in self.means}
        return {**asdict(self), "is_monotone": verdicts, "is_clearly_monotone": clear}

    def to_markdown(self) -> str:
        heads = [f"strength {strength:+g}" if strength else "strength 0" for strength in self.strengths]
        rows = []
        for name, (title, direction, digits) in STRENGTH_MEASURES.items():
            cells = [mean.format(digits) for mean in self.means[name]]
            verdict = "clearly" if self.is_clearly_monotone(name) else "yes" if self.is_monotone(name) else "no"
            rows.append(
                [f"{title} {'rises' if direction > 0 else 'falls'}", *cells, verdict]
                + [f"{self.monotone_share[name]:.0%}"]
            )
        return markdown_table(["measure", *heads, "monotone", "share of pairs"], rows)


@dataclass(frozen=True)
class CheckReport:
    """
    Means over pictures.

    Args:
        num_images (`int`): How many pictures.
        means (`dict[str, Estimate]`): Measure to mean.
    """

    num_images: int
    means: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_strength(
    pipeline: StyleVARPipeline | StyleVARForConditionalGeneration,
    dataset: Any,
    *,
    strengths: Sequence[float] = STRENGTHS,
    batch_size: int = 8,
    seed: int = 0,
    num_resamples: int = 2000,
    sampling: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> StrengthReport:
    """
    Whether the output goes from the content to the style as `style_strength` grows.

    Args:
        pipeline ([`StyleVARPipeline`] or [`StyleVARForConditionalGeneration`]):
            What to judge.
        dataset (`datasets.Dataset`, or a sequence of `dict`):
            Rows with `content` and `style`; no target is needed. Pairs of one `content_id` are resampled together.
        strengths (sequence of `float`, *optional*, defaults to `(-1, 0, 1)`):
            Rising values in [-1, 1].
        batch_size, seed, num_resamples, sampling, progress (*optional*):
            See [`evaluate_triplets`].

    Returns:
        [`StrengthReport`]

    Raises:
        ValueError: If an argument or the data do not fit.
    """
    strengths = tuple(float(strength) for strength in strengths)
    if len(strengths) < 2 or any(a >= b for a, b in zip(strengths, strengths[1:], strict=False)):
        raise ValueError(f"`strengths` must be two or more rising numbers, but got {strengths}. Try {STRENGTHS}.")
    pipeline = as_pipeline(pipeline)
    check_count("batch_size", batch_size)
    check_triplets(dataset, ("content", "style"))
    values: dict[str, list[list[float]]] = {name: [] for name in STRENGTH_MEASURES}
    for rows in batches(len(dataset), batch_size, "strength", progress):
        records = [dataset[i] for i in rows]
        contents = [fit(pipeline, record["content"], "content") for record in records]
        styles = [fit(pipeline, record["style"], "style") for record in records]
        outputs = pipeline(
            contents * len(strengths),
            styles * len(strengths),
            seed=[seed + i for i in rows] * len(strengths),
            style_strength=np.repeat(strengths, len(rows)).tolist(),
            batch_size=batch_size,
            **(sampling or {}),
        )
        for position in range(len(rows)):
            content, style = MeasuredPicture(contents[position]), MeasuredPicture(styles[position])
            painted = [MeasuredPicture(image) for image in outputs[position :: len(rows)]]
            measured = [_measure_strength(output, content, style) for output in painted]
            for name in STRENGTH_MEASURES:
                values[name].append([one[name] for one in measured])
    return _summarise_strength(strengths, values, text_column(dataset, "content_id"), num_resamples, seed)


def _measure_strength(output: MeasuredPicture, content: MeasuredPicture, style: MeasuredPicture) -> dict[str, float]:
    return {
        "content_structure": 1 - structural_similarity(output.array, content.array),
        "content_colour": mean_colour_difference(output.array, content.array),
        "style_colour": signature_distance(output.colour, style.colour),
        "style_texture": signature_distance(output.texture, style.texture),
    }


def _summarise_strength(
    strengths: tuple[float, ...],
    values: dict[str, list[list[float]]],
    content_ids: list[str] | None,
    num_resamples: int,
    seed: int,
) -> StrengthReport:
    means, steps, shares = {}, {}, {}
    for name, (_, direction, _) in STRENGTH_MEASURES.items():
        table = np.asarray(values[name])  # (pairs, strengths)
        changes = np.diff(table, axis=1)
        means[name] = tuple(bootstrap_mean(column, content_ids, num_resamples, seed) for column in table.T)
        steps[name] = tuple(bootstrap_mean(column, content_ids, num_resamples, seed) for column in changes.T)
        shares[name] = float((changes * direction > 0).all(axis=1).mean())
    return StrengthReport(len(table), strengths, means, steps, shares)


def evaluate_identity(
    pipeline: StyleVARPipeline | StyleVARForConditionalGeneration,
    images: Sequence[ImageSource],
    *,
    batch_size: int = 8,
    seed: int = 0,
    num_resamples: int = 2000,
    sampling: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> CheckReport:
    """
    Whether a picture in its own style stays nearly what it is.

    Args:
        pipeline ([`StyleVARPipeline`] or [`StyleVARForConditionalGeneration`]):
            What to judge.
        images (sequence of pictures):
            Each is content and style at once; the column of a `datasets.Dataset` will do.
        batch_size, seed, num_resamples, sampling, progress (*optional*):
            See [`evaluate_triplets`].

    Returns:
        [`CheckReport`]: `ssim` and `colour_difference` of the output to the content, and `reconstruction_ssim`, that
        of the tokenizer's reconstruction, which is about as good as the output can get.

    Raises:
        ValueError: If an argument or a picture does not fit.
    """
    pipeline = as_pipeline(pipeline)
    _check_images(images, batch_size)
    values: dict[str, list[float]] = {"ssim": [], "colour_difference": [], "reconstruction_ssim": []}
    for rows in batches(len(images), batch_size, "style = content", progress):
        contents = [fit(pipeline, images[i], f"images[{i}]") for i in rows]
        seeds = [seed + i for i in rows]
        outputs = pipeline(contents, contents, seed=seeds, batch_size=batch_size, **(sampling or {}))
        for content, output, rebuilt in zip(contents, outputs, _reconstruct(pipeline, contents), strict=True):
            values["ssim"].append(structural_similarity(output, content))
            values["colour_difference"].append(mean_colour_difference(output, content))
            values["reconstruction_ssim"].append(structural_similarity(rebuilt, content))
    return _summarise(values, num_resamples, seed)


def evaluate_reconstruction(
    pipeline: StyleVARPipeline | StyleVARForConditionalGeneration,
    images: Sequence[ImageSource],
    *,
    batch_size: int = 8,
    seed: int = 0,
    num_resamples: int = 2000,
    progress: bool = False,
) -> CheckReport:
    """
    What the tokenizer keeps of pictures: pixels to codes and back, no transformer.

    Args:
        pipeline ([`StyleVARPipeline`] or [`StyleVARForConditionalGeneration`]):
            What to judge.
        images (sequence of pictures):
            The column of a `datasets.Dataset` will do.
        batch_size, seed, num_resamples, progress (*optional*):
            See [`evaluate_triplets`]; the seed is that of the intervals only.

    Returns:
        [`CheckReport`]: `psnr` (mean over pictures of each one's, in dB) and `ssim`.

    Raises:
        ValueError: If an argument or a picture does not fit.
    """
    pipeline = as_pipeline(pipeline)
    _check_images(images, batch_size)
    values: dict[str, list[float]] = {"psnr": [], "ssim": []}
    for rows in batches(len(images), batch_size, "reconstruction", progress):
        originals = [fit(pipeline, images[i], f"images[{i}]") for i in rows]
        for original, rebuilt in zip(originals, _reconstruct(pipeline, originals), strict=True):
            values["psnr"].append(peak_signal_to_noise_ratio(rebuilt, original))
            values["ssim"].append(structural_similarity(rebuilt, original))
    return _summarise(values, num_resamples, seed)


@torch.inference_mode()
def _reconstruct(pipeline: StyleVARPipeline, images: list) -> list:
    pixel_values = pipeline.model.vq_model.reconstruct(to_pixel_values(pipeline, images))
    return pipeline.image_processor.postprocess(pixel_values, "pil")


def _check_images(images: Sequence[ImageSource], batch_size: int) -> None:
    check_count("batch_size", batch_size)
    if not hasattr(images, "__len__") or len(images) == 0:
        raise ValueError(f"`images` must be one or more pictures, but got {images!r:.60}. Pass a list of them.")


def _summarise(values: dict[str, list[float]], num_resamples: int, seed: int) -> CheckReport:
    means = {name: bootstrap_mean(numbers, None, num_resamples, seed) for name, numbers in values.items()}
    return CheckReport(len(next(iter(values.values()))), means)


def checks_to_markdown(checks: Mapping[str, CheckReport]) -> str:
    """One table of several checks of one kind, a row each."""
    measures = list(next(iter(checks.values())).means)
    rows = []
    for name, check in checks.items():
        cells = (check.means[measure].format(CHECK_MEASURES[measure][1]) for measure in measures)
        rows.append([name, str(check.num_images), *cells])
    return markdown_table(["pictures", "n", *(CHECK_MEASURES[measure][0] for measure in measures)], rows)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


__all__ = [
    "CheckReport",
    "StrengthReport",
    "checks_to_markdown",
    "evaluate_identity",
    "evaluate_reconstruction",
    "evaluate_strength",
    "markdown_table",
]
