# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a checkpoint is compared with, each a [`Generator`]:

| name | class | paints |
|---|---|---|
| `content` | [`PairFunction`] | the content as it is |
| `style` | [`PairFunction`] | the style as it is, resized to the content's size |
| `reinhard` | [`PairFunction`] | the content in the style's colours, [`reinhard_transfer`] |
| `adain` | [`AdaINGenerator`] | [`AdaINModel`], from a folder or the two published files |
| `magenta` | [`MagentaTeacher`] | the teacher of [`make_triplets`], where the extra `[teach]` is installed |
"""

import os

import torch

from .._common.errors import invalid
from ..data.teachers.base import Generator, PairFunction, TeacherUnavailable
from ..data.teachers.reinhard import reinhard_transfer
from .controls import return_content, return_style


BaselineUnavailable = TeacherUnavailable  # what a teacher needs, a baseline needs
BASELINE_TITLES = {
    "content": "return the content",
    "style": "return the style",
    "reinhard": "Reinhard colour transfer",
    "adain": "AdaIN",
    "magenta": "Magenta's network",
}


def get_baseline(
    name: str, weights: str | os.PathLike | None = None, device: str | torch.device | None = None
) -> Generator:
    """
    A control or a baseline, ready to paint.

    Args:
        name (`str`):
            `"content"`, `"style"`, `"reinhard"`, `"adain"` or `"magenta"`.
        weights (`str` or `os.PathLike`, *optional*):
            Of AdaIN: a folder made by [`convert_adain_checkpoint`]. It may also hold the published files
            `vgg_normalised.pth` and `decoder.pth`; these are converted to a folder `converted` beside them.
        device (`str` or `torch.device`, *optional*, defaults to the CPU):
            Where a network computes.

    Returns:
        [`Generator`]

    Raises:
        ValueError: If there is no such baseline, or its weights do not fit.
        BaselineUnavailable: If they, or the packages of Magenta's network, are missing.
    """
    functions = {"content": return_content, "style": return_style, "reinhard": reinhard_transfer}
    if name in functions:
        return PairFunction(name, functions[name])
    if name == "magenta":
        from ..data.teachers.magenta import MagentaTeacher

        return MagentaTeacher()
    if name != "adain":
        raise invalid("name", f"one of {', '.join(BASELINE_TITLES)}", repr(name), "Choose one.")
    from ..data.teachers.adain import AdaINGenerator, load_adain

    return AdaINGenerator(load_adain(weights, device or "cpu"))


__all__ = ["BASELINE_TITLES", "BaselineUnavailable", "get_baseline"]
