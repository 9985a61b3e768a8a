# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""From the pairs of a call and all that was asked of each to what the model paints: in batches, or on a canvas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import PIL.Image
import torch

from .canvas_stylevar import decode_canvas, paint_canvas, plan_canvas
from .controls_stylevar import lay_over, painted_tokens, token_strengths, token_weights
from .generation_stylevar import StyleVARGenerateOutput, StyleVARReference, StyleVARScaleState
from .image_processing_stylevar import StyleVARImageProcessor
from .modeling_stylevar import StyleVARForConditionalGeneration


@dataclass
class PaintJob:
    """
    What to paint, pair by pair.

    Args:
        sizes (list of `tuple[int, int]`):
            Height and width of each content.
        images (list of `PIL.Image.Image` or `None`):
            The contents themselves, where they are looked at.
        styles (list of [`StyleVARReference`]):
            The style of each pair, one row each.
        strengths (list of `float`):
            Style strength of each pair.
        masks, maps (list of `torch.FloatTensor` of shape `(height, width)` or `None`):
            Of each pair: where it is painted, and strengths to add; over the content, whatever their size.
        generators (`torch.Generator`, list of them, or `None`):
            One per image, image by image of each pair; or one for all.
        num_draws (`int`):
            Images per pair.
        resize_mode (`str`):
            How the contents are made to fit.
        per_scale (list of `float`, *optional*):
            Strengths to add at each scale.
        sampling (`dict`):
            `do_sample`, `top_k`, `top_p`, `temperature`.
        paint_size (`int`, *optional*):
            Short side of the painting, for windows on a canvas.
        windows_at_once (`int`, *optional*, defaults to 4):
            Windows that the model sees at a time.
        steadiness (`float`, *optional*, defaults to 0.0):
            As of `generate`.
        previous_codes (`torch.LongTensor`, *optional*):
            Codes of the frame before: of each image, or of each window.
    """

    sizes: list[tuple[int, int]]
    images: list[PIL.Image.Image | None]
    styles: list[StyleVARReference]
    strengths: list[float]
    masks: list[torch.Tensor | None]
    maps: list[torch.Tensor | None]
    generators: torch.Generator | list[torch.Generator] | None
    num_draws: int
    resize_mode: str
    per_scale: list[float] | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    paint_size: int | None = None
    windows_at_once: int = 4
    steadiness: float = 0.0
    previous_codes: torch.LongTensor | None = None

    def batch_inputs(
        self, model: StyleVARForConditionalGeneration, content: StyleVARReference, pairs: Sequence[int], samples: range
    ) -> dict[str, Any]:
        """What `generate` takes for some images of some pairs, whose contents are given as rows."""
        side, patch_nums = model.config.image_size, model.config.patch_nums

        def laid(maps: list[torch.Tensor | None], neutral: float) -> torch.Tensor | None:
            return lay_over_all(maps, self.sizes, pairs, (side, side), self.resize_mode, neutral)

        masks = laid(self.masks, 1.0)
        rows = [i * self.num_draws + j for i in pairs for j in samples]
        generators = self.generators
        return {
            "content": content,
            "style": join_styles(
                [self.styles[i] for i in pairs], [self.sizes[i] for i in pairs], side, self.resize_mode, patch_nums
            ),
            "style_strength": token_strengths(
                [self.strengths[i] for i in pairs], patch_nums, self.per_scale, laid(self.maps, 0.0)
            ),
            "painted_tokens": None if masks is None else painted_tokens(masks, patch_nums),
            "generator": [generators[row] for row in rows] if isinstance(generators, list) else generators,
            "num_return_sequences": len(samples),
            "previous_codes": self.previous_codes,
            "steadiness": self.steadiness,
            **self.sampling,
        }

    def paint_windows(
        self,
        model: StyleVARForConditionalGeneration,
        image_processor: StyleVARImageProcessor,
        pair: int,
        sample: int,
        callback_on_scale_end: Callable[[StyleVARScaleState], None] | None = None,
    ) -> StyleVARGenerateOutput:
        """One image of one pair on a canvas: codes `(W, L)` and pixels `(1, 3, height, width)`."""
        config = model.config
        canvas = plan_canvas(self.sizes[pair], self.paint_size, config.vq_config)
        size = canvas.pixel_size

        # 1. The content in each window
        pixels = image_processor.fit_image(self.images[pair], size, "stretch")[None] * 2 - 1
        parts = []
        for start in range(0, len(canvas.windows), self.windows_at_once):
            windows = canvas.windows[start : start + self.windows_at_once]
            chunk = torch.cat([canvas.of_window(pixels, window, canvas.downsampling) for window in windows])
            parts.append(model.encode_content(chunk.to(model.device)))
        content = concatenate(parts)

        # 2. The maps in each window
        def in_windows(maps: torch.Tensor, values: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
            laid = lay_over(maps, self.sizes[pair], size, "stretch")
            crops = (canvas.of_window(laid, window, canvas.downsampling) for window in canvas.windows)
            return torch.stack([values(crop) for crop in crops])

        mask, strength_map, style = self.masks[pair], self.maps[pair], self.styles[pair]
        strength: float | torch.Tensor = self.strengths[pair]
        if strength_map is not None:
            strength = in_windows(
                strength_map,
                lambda crop: token_strengths([self.strengths[pair]], config.patch_nums, self.per_scale, crop[None])[0],
            )
        elif self.per_scale is not None:
            strength = token_strengths([strength], config.patch_nums, self.per_scale)
        if style.masks is not None:
            weights = in_windows(style.masks[0], lambda crop: token_weights(crop, config.patch_nums))
            style = StyleVARReference(style.embedding, style.features, style.codes, weights.to(model.device))
        painted = None if mask is None else in_windows(mask, lambda crop: painted_tokens(crop, config.patch_nums))

        # 3. Paint, and decode the canvas
        row = pair * self.num_draws + sample
        codes, latents = paint_canvas(
            model,
            canvas,
            content,
            style,
            strength,
            painted,
            self.generators[row] if isinstance(self.generators, list) else self.generators,
            self.previous_codes,
            self.steadiness,
            self.windows_at_once,
            callback_on_scale_end,
            **self.sampling,
        )
        return StyleVARGenerateOutput(codes, decode_canvas(model.vq_model, latents, canvas, self.windows_at_once))


def concatenate(references: Sequence[StyleVARReference]) -> StyleVARReference:
    """References of one kind as one, row after row; masks, which may differ in size, are left out."""
    names = [name for name in references[0].keys() if name != "masks"]
    return StyleVARReference(**{name: torch.cat([reference[name] for reference in references]) for name in names})


def join_styles(
    references: Sequence[StyleVARReference],
    sizes: Sequence[tuple[int, int]],
    side: int,
    resize_mode: str,
    patch_nums: Sequence[int],
) -> StyleVARReference:
    """Styles of as many pairs as one reference; masks of blends are laid over the contents, of the given sizes."""
    joined = concatenate(references)
    if any(reference.masks is not None for reference in references):
        weights = [
            reference.weights
            if reference.masks is None
            else token_weights(lay_over(reference.masks, size, (side, side), resize_mode), patch_nums)
            for reference, size in zip(references, sizes, strict=True)
        ]
        joined.weights = torch.cat(weights)
    return joined


def lay_over_all(
    maps: Sequence[torch.Tensor | None],
    sizes: Sequence[tuple[int, int]],
    pairs: Sequence[int],
    target: tuple[int, int],
    resize_mode: str,
    neutral: float,
) -> torch.Tensor | None:
    """Maps over the contents of some pairs as the model sees these, `(B, *target)`; `None` if there are none."""
    if all(maps[i] is None for i in pairs):
        return None
    return torch.stack(
        [
            torch.full(target, neutral) if maps[i] is None else lay_over(maps[i], sizes[i], target, resize_mode)
            for i in pairs
        ]
    )


__all__ = ["PaintJob", "concatenate", "join_styles", "lay_over_all"]
