# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Teachers by name: `magenta`, `reinhard`, `adain:DIR`, a StyleVAR checkpoint, or a function of your own."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from ..._common.errors import invalid
from ..._common.files import files_digest
from .base import Generator, PipelineGenerator, check_pairs


FORMS = "magenta, reinhard, adain:DIR, a StyleVAR checkpoint (folder, Hub id or name), or module:function"
BATCH_SIZE = 8


class FunctionTeacher:
    """
    A function `(content, style) -> image` of one pair as a [`Generator`]. Unlike [`PairFunction`] it hands on what the
    function returned as it is, for the check of what a teacher paints.

    Args:
        name (`str`):
            What the manifest calls it.
        function (`Callable`):
            Takes two RGB `PIL.Image.Image`, returns one or an array `(height, width, 3)`, uint8 or float in [0, 1].
    """

    def __init__(self, name: str, function: Callable[[PIL.Image.Image, PIL.Image.Image], Any]):
        self.name = name
        self.function = function

    def stylize(self, contents, styles, seeds):
        check_pairs(contents, styles, seeds)
        return [self.function(content, style) for content, style in zip(contents, styles, strict=True)]


def load_teacher(teacher: str | Callable | Generator, device: str | None = None) -> Generator:
    """
    A teacher that is ready to paint.

    Args:
        teacher (`str`, `Callable` or [`Generator`]):
            - `"magenta"`: see [`MagentaTeacher`]; needs the extra `[teach]`;
            - `"reinhard"`: the content in the style's colours, see [`reinhard_transfer`];
            - `"adain:DIR"`: [`AdaINModel`] from a folder of [`convert_adain_checkpoint`] or of the published files;
            - `"module:function"`: a function `(content, style) -> image` that can be imported, also from the current
              folder, or the function itself;
            - anything else: a StyleVAR checkpoint, a folder, an id on the Hub or a name of this package.
        device (`str`, *optional*):
            Where AdaIN and StyleVAR compute. Defaults to the accelerator, if there is one.

    Raises:
        ValueError: If there is no such teacher.
        TeacherUnavailable: If packages or weights that it needs are missing (the message says which).
    """
    if not isinstance(teacher, str):
        if isinstance(teacher, Generator):
            return teacher
        if callable(teacher):
            return FunctionTeacher(_name_of(teacher), teacher)
        raise invalid("teacher", FORMS, type(teacher).__name__, "Pass a name or a function.")
    if teacher == "magenta":
        from .magenta import MagentaTeacher

        return MagentaTeacher()
    if teacher == "reinhard":
        from .reinhard import reinhard_transfer

        return FunctionTeacher("reinhard", reinhard_transfer)
    if teacher.startswith("adain:"):
        from .adain import AdaINGenerator, load_adain

        return AdaINGenerator(load_adain(teacher.removeprefix("adain:"), _device(device)), teacher)
    if _is_function(teacher):
        return FunctionTeacher(teacher, _import(teacher))
    return _load_stylevar(teacher, device)


def describe_teacher(teacher: str | Callable | Generator) -> dict[str, str]:
    """
    Who teaches, for the manifest: the name, and of weights a hash, so that a folder is not filled by two teachers.
    Nothing is loaded that computes.
    """
    if not isinstance(teacher, str):
        return {"name": getattr(teacher, "name", None) or _name_of(teacher)}
    if teacher == "magenta":
        from .magenta import describe_magenta

        return describe_magenta()
    folder = Path(teacher.removeprefix("adain:")).expanduser()
    if not folder.is_dir():
        return {"name": teacher}
    digest = files_digest(
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix in (".safetensors", ".pth") or file.name.endswith("config.json")
    )
    return {"name": teacher, "weights_sha256": digest}


def to_picture(painted: Any, size: tuple[int, int], name: str, where: str) -> PIL.Image.Image:
    """
    What a teacher returned, checked, as an RGB image.

    Args:
        painted (`Any`):
            Should be a `PIL.Image.Image` or an array `(height, width, 3)`, uint8 or float in [0, 1].
        size (`tuple[int, int]`):
            Width and height that it must have.
        name, where (`str`):
            The teacher and the pair, for the message.

    Raises:
        ValueError: If it is anything else, of another size, or holds NaN.
    """

    def refuse(rule: str, value: str, hint: str) -> ValueError:
        return invalid("teacher", rule, f"{value} from {name!r} ({where})", hint)

    if isinstance(painted, PIL.Image.Image):
        image = painted.convert("RGB")
    else:
        array = np.asarray(painted)
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind not in "fu" or array.dtype.itemsize > 8:
            value = f"{type(painted).__name__} of shape {array.shape} and dtype {array.dtype}"
            rule = "one that returns a PIL image or an array (height, width, 3), uint8 or float in [0, 1]"
            raise refuse(rule, value, "Convert what it returns.")
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                count = np.count_nonzero(~np.isfinite(array))
                raise refuse("one that returns finite numbers", f"{count} of NaN or infinity", "Check its weights.")
            if array.min() < -1e-3 or array.max() > 1 + 1e-3:
                value = f"values in [{array.min():g}, {array.max():g}]"
                raise refuse("one that returns floats in [0, 1]", value, "Rescale or clip what it returns.")
            array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
        elif array.dtype != np.uint8:
            raise refuse("one that returns uint8 or float", str(array.dtype), "Convert what it returns.")
        image = PIL.Image.fromarray(array)
    if image.size != size:
        shown = " x ".join(map(str, image.size))
        rule = f"one that keeps the content's size, {size[0]} x {size[1]}"
        raise refuse(rule, f"a picture of {shown}", "Resize what it returns.")
    return image


def _name_of(function: Callable) -> str:
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"


def _is_function(teacher: str) -> bool:
    module, separator, name = teacher.partition(":")
    return bool(separator) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _import(teacher: str) -> Callable:
    """The function of `module:function`. A console script does not look for modules in the current folder; we do."""
    module_name, _, name = teacher.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        hint = f"Run it from the folder of {module_name}.py, or install it ({' '.join(str(error).split())})."
        raise invalid("teacher", "module:function that can be imported", repr(teacher), hint) from error
    finally:
        sys.path.remove(os.getcwd())
    function = getattr(module, name, None)
    if not callable(function):
        value = f"{teacher!r}, but {module_name} has no function {name}"
        raise invalid("teacher", "module:function", value, "Check the name.")
    return function


def _load_stylevar(teacher: str, device: str | None) -> PipelineGenerator:
    from ...conversion.loading import find_checkpoint
    from ...pipeline_stylevar import StyleVARPipeline

    try:
        pipeline = StyleVARPipeline.from_pretrained(find_checkpoint(teacher), device=device)
    except OSError as error:
        hint = f"Check its spelling ({' '.join(str(error).split())[:200]})."
        raise invalid("teacher", f"one of: {FORMS}", repr(teacher), hint) from error
    return PipelineGenerator(pipeline, teacher, BATCH_SIZE, output_size="content")


def _device(device: str | None) -> str:
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return device or ("cpu" if accelerator is None else accelerator.type)


__all__ = ["FORMS", "FunctionTeacher", "describe_teacher", "load_teacher", "to_picture"]
