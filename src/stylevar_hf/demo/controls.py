# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The folded part of the page: colours, strokes, more styles, a brush for regions, sizes, candidates."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import PIL.Image

from ..pipeline_stylevar import StyleVARPipeline
from .pictures import FORMATS, MAX_PIXELS, MAX_SIDE, read_picture


AS_TRAINED = "As trained"
PRESETS = {AS_TRAINED: None, "Palette": "palette", "Strokes": "strokes", "Layout": "layout"}
NO_RANKING = "Nothing"
RANKINGS = {NO_RANKING: None, "Colours of the style": "color-statistics", "Likeness to the content": "ssim"}
MAX_CANDIDATES = 8
MAX_STYLES = 3
ONE_WINDOW = "As the model paints"
MAX_PAINTED = 1024


@dataclass(frozen=True)
class Controls:
    """
    What the folded part says.

    Args:
        keep_colors (`float`): In [0, 1].
        preset (`str`): One of `PRESETS`.
        weight, weight_2, weight_3 (`float`): Of the styles, not negative.
        style_2, style_3 (`str`, *optional*): Files of more styles.
        brush (`bytes` or `str`, *optional*): The brush's layer, encoded or as a file.
        feather (`int`): Pixels over which the painting fades in.
        painted (`str`): One of [`sizes_for`].
        candidates (`int`): How many to draw.
        ranking (`str`): One of `RANKINGS`.
    """

    keep_colors: float = 0.0
    preset: str = AS_TRAINED
    weight: float = 1.0
    style_2: str | None = None
    weight_2: float = 0.5
    style_3: str | None = None
    weight_3: float = 0.5
    brush: bytes | str | None = None
    feather: int = 8
    painted: str = ONE_WINDOW
    candidates: int = 1
    ranking: str = NO_RANKING

    def check(self, pipe: StyleVARPipeline) -> None:
        """The page keeps to these; a client of the API may not. Raises `ValueError` with a sentence for the page."""
        if not 0 <= self.keep_colors <= 1:
            raise ValueError("The content's colours must be between 0 and 1.")
        for value, choices, name in (
            (self.preset, PRESETS, "preset"),
            (self.ranking, RANKINGS, "ranking"),
            (self.painted, sizes_for(pipe), "painted size"),
        ):
            if value not in choices:
                raise ValueError(f"The {name} must be one of: {', '.join(choices)}.")
        if min(self.weight, self.weight_2, self.weight_3) < 0 or self.weight + self.weight_2 + self.weight_3 <= 0:
            raise ValueError("The weights of the styles must not be negative, and one must be above 0.")
        if self.feather not in range(65):
            raise ValueError("The soft edge must be between 0 and 64 pixels.")
        if self.candidates not in range(1, MAX_CANDIDATES + 1):
            raise ValueError(f"There can be 1 to {MAX_CANDIDATES} candidates.")
        if self.candidates > 1 and self.ranking == NO_RANKING:
            raise ValueError("Say what tells the best of the candidates, or draw one.")

    def style(self, pipe: StyleVARPipeline, first: PIL.Image.Image) -> Any:
        """The first style, or all of them blended."""
        others = [
            (file, weight) for file, weight in ((self.style_2, self.weight_2), (self.style_3, self.weight_3)) if file
        ]
        if not others:
            return first
        pictures = [first, *(read_picture(file, "style") for file, _ in others)]
        return pipe.blend_styles(pictures, [self.weight, *(weight for _, weight in others)], fit="crop")

    def call_arguments(self, pipe: StyleVARPipeline, num_images: int) -> dict[str, Any]:
        """What they are to the pipeline."""
        arguments: dict[str, Any] = {
            "keep_colors": self.keep_colors,
            "strength_per_scale": PRESETS[self.preset],
            "paint_size": sizes_for(pipe)[self.painted],
        }
        if self.candidates > 1:
            arguments.update(num_candidates=max(self.candidates, num_images), rank_by=RANKINGS[self.ranking])
        if (mask := read_brush(self.brush)) is not None:
            arguments.update(mask=mask, mask_feather=int(self.feather))
        return arguments

    def settings(self) -> dict[str, Any]:
        """Those that are not neutral, for the file of a result."""
        neutral = Controls()
        names = ("keep_colors", "preset", "painted", "candidates", "ranking")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(neutral, name)}
        if self.style_2 or self.style_3:
            files = ((True, self.weight), (self.style_2, self.weight_2), (self.style_3, self.weight_3))
            changed["weights"] = [weight for file, weight in files if file]
        if read_brush(self.brush) is not None:
            changed["mask_feather"] = int(self.feather)
        return changed


def sizes_for(pipe: StyleVARPipeline) -> dict[str, int | None]:
    """Short sides that the page offers, by their names."""
    sides = [side for side in (256, 384, 512, 768, 1024) if pipe.model.config.image_size < side <= MAX_PAINTED]
    return {ONE_WINDOW: None, **{f"Short side {side}": side for side in sides}}


def read_brush(layer: bytes | str | None) -> PIL.Image.Image | None:
    """Where the brush was, white on black; `None` if nowhere. Raises `ValueError` with a sentence for the page."""
    if layer is None:
        return None
    try:
        with PIL.Image.open(io.BytesIO(layer) if isinstance(layer, bytes) else layer, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise ValueError("The brushed picture is too large.")
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they trip over
        raise ValueError("What the brush drew cannot be read. Clear it and draw again.") from error
    return PIL.Image.fromarray(np.where(alpha > 127, 255, 0).astype(np.uint8)) if (alpha > 127).any() else None


def build_controls(pipe: StyleVARPipeline, picture_input: Callable[..., gr.Image]) -> dict[str, Any]:
    """The folded parts of the page, by the names of [`Controls`]."""
    parts: dict[str, Any] = {}
    with gr.Accordion("Colours and strokes", open=False, elem_id="colors"):
        parts["keep_colors"] = gr.Slider(
            0, 1, value=0, step=0.05, label="Colours of the content", info="0: the style's.", elem_id="keep-colors"
        )
        parts["preset"] = gr.Radio(
            list(PRESETS), value=AS_TRAINED, label="What to take from the style", elem_id="preset"
        )
    with gr.Accordion("More styles", open=False, elem_id="more-styles"):
        parts["weight"] = gr.Slider(0, 1, value=1, step=0.05, label="Weight of the first style", elem_id="weight-1")
        with gr.Row():
            for number in range(2, MAX_STYLES + 1):
                with gr.Column(min_width=140):
                    parts[f"style_{number}"] = picture_input(f"Style {number}")
                    parts[f"weight_{number}"] = gr.Slider(
                        0, 1, value=0.5, step=0.05, label="Weight", elem_id=f"weight-{number}"
                    )
    with gr.Accordion("Only a part", open=False, elem_id="part"):
        parts["brush"] = _brush()
        parts["feather"] = gr.Slider(0, 64, value=8, step=1, label="Soft edge, in pixels", elem_id="feather")
    with gr.Accordion("Size and choice", open=False, elem_id="size"):
        parts["painted"] = gr.Dropdown(
            list(sizes_for(pipe)),
            value=ONE_WINDOW,
            label="Painted at",
            info="Larger ones take finer strokes and more time.",
            elem_id="painted",
        )
        with gr.Row():
            parts["candidates"] = gr.Slider(
                1, MAX_CANDIDATES, value=1, step=1, label="Candidates", min_width=140, elem_id="candidates"
            )
            parts["ranking"] = gr.Dropdown(
                list(RANKINGS), value=NO_RANKING, label="The best in", min_width=140, elem_id="ranking"
            )
    return parts


def _brush() -> gr.ImageMask:
    """The content to draw on; what reaches us is the layer of the strokes, not decoded yet."""
    brush = gr.ImageMask(
        label="Draw where to paint",
        sources=[],
        transforms=[],
        buttons=[],
        height=320,
        brush=gr.Brush(default_size=24, colors=["#ffffff"], color_mode="fixed"),
        elem_id="brush",
    )

    def strokes(payload: Any) -> bytes | str | None:
        if payload is None:
            return None
        if payload.id is not None:
            payload = brush.blob_storage.pop(payload.id, None)
        layers = (payload.layers if payload is not None else None) or [None]
        return getattr(layers[0], "path", layers[0])

    brush.preprocess = strokes
    return brush


__all__ = [
    "AS_TRAINED",
    "MAX_CANDIDATES",
    "ONE_WINDOW",
    "PRESETS",
    "RANKINGS",
    "Controls",
    "build_controls",
    "read_brush",
]
