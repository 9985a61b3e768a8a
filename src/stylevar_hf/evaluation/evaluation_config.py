# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What to evaluate, on what, and how."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._common.errors import invalid
from .benchmarks import SPLIT_SEED, VALIDATION_FRACTION, parse_benchmark
from .inputs import check_count
from .measures import choose_measures
from .systems import BASELINE_NAMES, list_systems


@dataclass(frozen=True)
class EvaluationConfig:
    """
    What to evaluate, on what, and how.

    Args:
        benchmark (`str`):
            `"procedural"`, `"omnistyle:ROOT"`, `"imagepulse:ROOT"`, `"unpaired:CONTENTS,STYLES"`,
            `"styleid:CONTENTS,STYLES"`, `"corpus:CONTENTS,STYLES"` or `"triplets:DIR"`; see [`load_benchmark`].
        output_dir (`str` or `os.PathLike`):
            Where everything is written.
        models (`Sequence[str]` or `Mapping[str, str]`, *optional*):
            Folders or Hub ids of checkpoints of one image size, at least one unless generators are handed over; or
            names of your own for them, name to folder or id.
        num_pairs (`int`, *optional*):
            Pairs per set; 200 by default, all for `styleid`.
        metrics (`Sequence[str]`, *optional*):
            Of `MEASURE_NAMES`; by default all.
        baselines (`Sequence[str]`, *optional*):
            Of `BASELINE_NAMES`; by default all.
        weights (`Mapping[str, str]`, *optional*):
            Metric, or `adain`, to the file or folder of its weights; `transfer`: VGG-19 for content and style
            retrieval and the style distance covered, a file or a folder of `vgg19*` files that reach relu4_1 together.
        style_strength (`float`, *optional*, defaults to 0.0):
            Of the checkpoints in the tables, in [-1, 1].
        strengths (`Sequence[float]`, *optional*):
            Of the curves; rising. No curve by default.
        num_checks (`int`, *optional*, defaults to 64):
            Pairs per set for the curves, for style = content and for the tokenizer.
        batch_size (`int`, *optional*, defaults to 8):
            Pictures at once.
        dtype, device (`str`, *optional*, default to `"auto"`):
            Of the checkpoints; metrics and baselines run on the same device, in float32.
        seed (`int`, *optional*, defaults to 0):
            Of the choice of pairs, the drawing (pair `i`: `seed + i`), the swap and the intervals.
        num_resamples (`int`, *optional*, defaults to 2000):
            Of the bootstrap.
        image_size (`int`, *optional*):
            Side in pixels where no checkpoint gives it.
        gallery_rows (`int`, *optional*, defaults to 8):
            Pairs per gallery.
        hub_dataset (`str`, *optional*):
            The id under which `.eval_results` names the data, where they are your own.
        resume (`bool`, *optional*, defaults to `False`):
            Go on with the run in `output_dir`. Metrics, baselines, strengths and weights may be others than before.
        validation_fraction (`float`, *optional*, defaults to 0.05), split_seed (`int`, *optional*, defaults to 0):
            Which contents of `omnistyle` and `imagepulse` are held out: those of the training, if it had others, or
            the checkpoint is judged on contents that it was trained on.
        allow_missing (`bool`, *optional*, defaults to `False`):
            Leave out pairs with a missing or broken picture.

    Raises:
        ValueError: If an argument does not fit.
    """

    benchmark: str
    output_dir: str | os.PathLike
    models: Sequence[str] | Mapping[str, str] = ()
    num_pairs: int | None = None
    metrics: Sequence[str] | None = None
    baselines: Sequence[str] | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    style_strength: float = 0.0
    strengths: Sequence[float] = ()
    num_checks: int = 64
    batch_size: int = 8
    dtype: str = "auto"
    device: str = "auto"
    seed: int = 0
    num_resamples: int = 2000
    image_size: int | None = None
    gallery_rows: int = 8
    hub_dataset: str | None = None
    resume: bool = False
    validation_fraction: float = VALIDATION_FRACTION
    split_seed: int = SPLIT_SEED
    allow_missing: bool = False

    def __post_init__(self):
        parse_benchmark(self.benchmark)
        for name in ("num_checks", "batch_size", "num_resamples", "gallery_rows"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, minimum=0)
        check_count("split_seed", self.split_seed, minimum=0)
        if not 0 < self.validation_fraction < 1:
            raise invalid(
                "validation_fraction", "in (0, 1)", self.validation_fraction, "The trainers' default is 0.05."
            )
        if self.num_pairs is not None:
            check_count("num_pairs", self.num_pairs)
        choose_measures(self.metrics, has_target=True)
        list_systems((), (), self.chosen_baselines, self.style_strength, ())
        for name, path in self.weights.items():
            metrics = [measure.name for measure in choose_measures(None, True) if measure.is_metric]
            if name not in ("adain", "transfer", *metrics):
                raise invalid("weights", "of a metric, of adain or of transfer", repr(name), "See `metrics`.")
            if not Path(path).exists():
                raise invalid("weights", "files or folders that exist", f"{name}={path}", "Check the path.")
        if not -1 <= self.style_strength <= 1:
            raise invalid("style_strength", "in [-1, 1]", self.style_strength, "0 is as the model was trained.")
        if not all(-1 <= strength <= 1 for strength in self.strengths):
            raise invalid("strengths", "in [-1, 1]", self.strengths, "Try (-1, -0.5, 0, 0.5, 1).")
        if any(a >= b for a, b in zip(self.strengths, self.strengths[1:], strict=False)):
            raise invalid("strengths", "rising numbers", self.strengths, "Try (-1, -0.5, 0, 0.5, 1).")

    @property
    def chosen_baselines(self) -> Sequence[str]:
        return BASELINE_NAMES if self.baselines is None else tuple(dict.fromkeys(self.baselines))


__all__ = ["EvaluationConfig"]
