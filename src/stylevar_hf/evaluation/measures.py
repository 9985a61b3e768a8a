# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What is measured: the metrics of the paper ([`stylevar_hf.evaluation.metrics`]) and, beside them, measures that need no
trained network, in one table.

| name | 0 or best | compares with | from |
|---|---|---|---|
| `style_loss`, `content_loss`, `lpips`, ... | see [`get_metric_info`] | see there | `metrics` |
| `cross_entropy` | 0 | the target's tokens, teacher-forced; nats per token | the model itself |
| `target_colour`, `target_texture` | 0 | target | [`colour_distance`], [`texture_distance`] |
| `style_colour`, `style_texture` | 0 | style | the same |
| `content_structure` | 0 | content; 1 - SSIM | [`structural_similarity`] |
| `content_colour` | 0 | content; Delta E | [`mean_colour_difference`] |
| `content_retrieval`, `style_retrieval` | 1 | all contents, all styles of the set | [`retrieval_probability`] |
| `style_covered` | 1 | style and content | [`style_distance_covered`] |
| `sharpness` | 1: as much detail as there | content | [`sharpness`](stylevar_hf.measures.transfer.sharpness) |
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from .metrics import METRIC_NAMES, get_metric_info


@dataclass(frozen=True)
class Measure:
    """
    One column of the tables.

    Args:
        name (`str`): What files and options call it.
        title (`str`): Its heading.
        higher_is_better (`bool`): Whether more is better.
        reference (`str`): `"content"`, `"style"` or `"target"`.
        digits (`int`): To show after the point.
        is_metric (`bool`): Whether [`load_metric`] computes it.
        per_image (`bool`): Whether it has a value per image, or one for a whole set.
        source (`str`): Where its definition is from.
    """

    name: str
    title: str
    higher_is_better: bool
    reference: str
    digits: int
    is_metric: bool = False
    per_image: bool = True
    source: str = "stylevar_hf.measures"

    @property
    def heading(self) -> str:
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def format(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


# In the order of the paper's table.
PAPER_MEASURES = ("style_loss", "content_loss", "lpips", "ssim", "dreamsim", "clip_similarity")
STYLE_AND_CONTENT_MEASURES = ("style_colour", "style_texture", "content_structure", "content_colour")
# Those that need a network, all from the same features.
TRANSFER_MEASURES = ("content_retrieval", "style_retrieval", "style_covered")
_TRANSFER = "stylevar_hf.measures.transfer"
OWN_MEASURES = {
    measure.name: measure
    for measure in (
        Measure("cross_entropy", "Cross-entropy (nats/token)", False, "target", 3, source="the model's loss"),
        Measure("target_colour", "Colour to target", False, "target", 1),
        Measure("target_texture", "Texture to target", False, "target", 3),
        Measure("style_colour", "Colour to style", False, "style", 1),
        Measure("style_texture", "Texture to style", False, "style", 3),
        Measure("content_structure", "1 - SSIM to content", False, "content", 3),
        Measure("content_colour", "Lab difference to content", False, "content", 1),
        Measure("content_retrieval", "Content found among 24", True, "content", 3, source=_TRANSFER),
        Measure("style_retrieval", "Style found among 24", True, "style", 3, source=_TRANSFER),
        Measure("style_covered", "Style distance covered", True, "style", 3, source=_TRANSFER),
        Measure("sharpness", "Sharpness", True, "content", 2, source=_TRANSFER),
    )
}
MEASURE_NAMES = (*METRIC_NAMES, *OWN_MEASURES)
_DIGITS = {"content_loss": 1, "psnr": 2, "fid": 1, "artfid": 1}


def get_measure(name: str) -> Measure:
    """
    The measure of a name in `MEASURE_NAMES`.

    Raises:
        ValueError: If there is none; the message names the nearest one.
    """
    if name in OWN_MEASURES:
        return OWN_MEASURES[name]
    if name not in METRIC_NAMES:
        close = difflib.get_close_matches(name, MEASURE_NAMES, n=1, cutoff=0.0)[0]
        raise ValueError(f"`metrics` must be of {', '.join(MEASURE_NAMES)}, but got {name!r}. Did you mean {close!r}?")
    info = get_metric_info(name)
    digits = _DIGITS.get(name, 4)
    return Measure(name, info.title, info.higher_is_better, info.reference, digits, True, info.per_image, info.source)


def choose_measures(names: Sequence[str] | None, has_target: bool) -> list[Measure]:
    """
    The measures of these names (all, if `None`) that say something about a set.

    Without targets, colour and texture to the target and the cross-entropy are left out; the metrics that compare
    with the target compare with the content, as in the paper.
    """
    measures = [get_measure(name) for name in (MEASURE_NAMES if names is None else dict.fromkeys(names))]
    return [measure for measure in measures if has_target or measure.is_metric or measure.reference != "target"]


__all__ = [
    "MEASURE_NAMES",
    "OWN_MEASURES",
    "PAPER_MEASURES",
    "STYLE_AND_CONTENT_MEASURES",
    "TRANSFER_MEASURES",
    "Measure",
    "choose_measures",
    "get_measure",
]
