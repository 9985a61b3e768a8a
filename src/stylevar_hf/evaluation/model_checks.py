# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint must do whatever the data: follow the strength dial, keep a picture whose style is its own, and
reconstruct."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..image_processing_stylevar import ImageSource
from ..measures.pictures import mean_colour_difference, peak_signal_to_noise_ratio, structural_similarity
from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..pipeline_stylevar import StyleVARPipeline
from .inputs import as_pipeline, batches, check_count, fit, to_pixel_values
from .statistics import Estimate, bootstrap_mean


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
        return {
            "num_pairs": self.num_pairs,
            "strengths": list(self.strengths),
            "means": _to_dicts(self.means),
            "steps": _to_dicts(self.steps),
            "monotone_share": self.monotone_share,
            "is_monotone": verdicts,
            "is_clearly_monotone": clear,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "StrengthReport":
        """The report that `to_dict` wrote."""
        estimates = {
            part: {name: tuple(map(Estimate.from_dict, found)) for name, found in entry[part].items()}
            for part in ("means", "steps")
        }
        strengths = tuple(entry["strengths"])
        return cls(entry["num_pairs"], strengths, **estimates, monotone_share=entry["monotone_share"])

    def to_table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows: each measure at each strength, and whether it follows the dial."""
        heads = [f"strength {strength:+g}" if strength else "strength 0" for strength in self.strengths]
        rows = []
        for name in self.means:
            title, direction, digits = STRENGTH_MEASURES[name]
            cells = [mean.format(digits) for mean in self.means[name]]
            verdict = "clearly" if self.is_clearly_monotone(name) else "yes" if self.is_monotone(name) else "no"
            rows.append(
                [f"{title} {'rises' if direction > 0 else 'falls'}", *cells, verdict]
                + [f"{self.monotone_share[name]:.0%}"]
            )
        return ["measure", *heads, "monotone", "share of pairs"], rows


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
        return {"num_images": self.num_images, "means": {name: one.to_dict() for name, one in self.means.items()}}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "CheckReport":
        """The report that `to_dict` wrote."""
        return cls(entry["num_images"], {name: Estimate.from_dict(one) for name, one in entry["means"].items()})


def _to_dicts(estimates: Mapping[str, tuple[Estimate, ...]]) -> dict[str, list[dict]]:
    return {name: [one.to_dict() for one in found] for name, found in estimates.items()}


def summarise_strength(
    strengths: tuple[float, ...],
    values: dict[str, list[list[float]]],
    content_ids: list[str] | None,
    num_resamples: int,
    seed: int,
) -> StrengthReport:
    """The report, from measure to a row of values per pair, one for each strength."""
    means, steps, shares = {}, {}, {}
    for name in values:
        direction = STRENGTH_MEASURES[name][1]
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
        batch_size (`int`, *optional*, defaults to 8):
            Images to draw at once; changes nothing but time and memory, rounding aside.
        seed (`int`, *optional*, defaults to 0):
            Picture `i` is drawn with `seed + i`; also of the intervals.
        num_resamples (`int`, *optional*, defaults to 2000):
            Of the bootstrap.
        sampling (`Mapping[str, Any]`, *optional*):
            Arguments for the pipeline's call, such as `top_k` or `style_strength`.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar on stderr.

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
        contents = [fit(pipeline.image_processor, images[i], f"images[{i}]") for i in rows]
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
            As for [`evaluate_identity`]; the seed is that of the intervals only.

    Returns:
        [`CheckReport`]: `psnr` (mean over pictures of each one's, in dB) and `ssim`.

    Raises:
        ValueError: If an argument or a picture does not fit.
    """
    pipeline = as_pipeline(pipeline)
    _check_images(images, batch_size)
    values: dict[str, list[float]] = {"psnr": [], "ssim": []}
    for rows in batches(len(images), batch_size, "reconstruction", progress):
        originals = [fit(pipeline.image_processor, images[i], f"images[{i}]") for i in rows]
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


__all__ = [
    "CheckReport",
    "StrengthReport",
    "evaluate_identity",
    "evaluate_reconstruction",
    "summarise_strength",
]
