# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Paintings of any size and shape: overlapping windows of the model's size that share one latent canvas.

All windows take a scale before any takes the next. What a scale adds to the latent is written into the canvas, where
windows overlap as their weighted mean, and the next scale of every window reads the canvas. So neighbours agree on
what lies between them, and the canvas is decoded once. The random numbers are those of the canvas, not of its windows:
where two windows see the same place, they draw the same; and all draw the same at the coarsest scales, which choose
the palette.

Legend: `W` windows, `S` side of a window and `H`, `V` height and width of the canvas, in latents.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

import torch

from .configuration_stylevar import StyleVARVQConfig
from .generation_stylevar import (
    PUBLISHED_SAMPLING,
    HeldCodes,
    StyleVARCache,
    StyleVARReference,
    StyleVARScaleState,
    filter_logits,
    legacy_attention_bias,
    sample_codes,
    setting,
    uniform,
)
from .modeling_stylevar import StyleVARForConditionalGeneration
from .modeling_stylevar_vq import StyleVARVQModel, area_resize


MAX_PAINT_SIZE = 4096
MAX_CANVAS_PIXELS = 2**25
OVERLAP = 0.375  # of a window's side with its neighbour, at least
PALETTE_TOKENS = 2  # on a side: scales with no more choose the palette


@dataclass(frozen=True)
class Canvas:
    """
    Where the windows lie.

    Args:
        height, width (`int`):
            Of the canvas, in latents.
        side (`int`):
            Of a window, in latents.
        downsampling (`int`):
            Pixels per latent.
    """

    height: int
    width: int
    side: int
    downsampling: int

    @property
    def pixel_size(self) -> tuple[int, int]:
        """Height and width of the painting, in pixels."""
        return self.height * self.downsampling, self.width * self.downsampling

    @cached_property
    def windows(self) -> list[tuple[int, int]]:
        """Top and left of each window, row by row, evenly spread."""
        return [(top, left) for top in self._starts(self.height) for left in self._starts(self.width)]

    def _starts(self, length: int) -> list[int]:
        free = length - self.side
        stride = self.side - max(1, round(self.side * OVERLAP))
        number = -(-free // stride)
        return [round(i * free / number) for i in range(number + 1)] if number else [0]

    def crop(self, maps: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """Maps `(1, C, H * factor, V * factor)` to what each window sees, `(W, C, S * factor, S * factor)`."""
        return torch.cat([self.of_window(maps, window, factor) for window in self.windows])

    def of_window(self, maps: torch.Tensor, window: tuple[int, int], factor: int) -> torch.Tensor:
        (top, left), side = window, self.side * factor
        return maps[..., top * factor : top * factor + side, left * factor : left * factor + side]

    def merge(self, parts: Iterator[torch.Tensor], factor: int = 1) -> torch.Tensor:
        """
        The weighted mean of what the windows say.

        Args:
            parts (iterator of `torch.FloatTensor` of shape `(C, S * factor, S * factor)`):
                One per window, in their order.
            factor (`int`, *optional*, defaults to 1):
                1 for latents, `downsampling` for pixels.

        Returns:
            `torch.FloatTensor` of shape `(1, C, H * factor, V * factor)`
        """
        total = weights = None
        for window, part in zip(self.windows, parts, strict=True):
            if len(self.windows) == 1:
                return part[None]
            if total is None:
                size = (self.height * factor, self.width * factor)
                total, weights = part.new_zeros(1, len(part), *size), part.new_zeros(1, 1, *size)
            rows, columns = (
                self._ramp(start, length, factor, part.device)
                for start, length in zip(window, (self.height, self.width), strict=True)
            )
            weight = rows[:, None] * columns
            self.of_window(total, window, factor).add_(part * weight)
            self.of_window(weights, window, factor).add_(weight)
        return total.div_(weights)

    def _ramp(self, start: int, length: int, factor: int, device: torch.device) -> torch.Tensor:
        """
        Weight of a window along one side, `(S * factor,)`: 1 inside and at the canvas's edge; towards a neighbour it
        falls over the overlap, and is next to nothing at the very edge, which the convolutions saw without context.
        """
        places = (torch.arange(self.side * factor, device=device) + 0.5) / factor
        overlap = max(1.0, self.side * OVERLAP)
        margin = overlap / 6
        weight = torch.ones_like(places)
        for at_edge, distance in ((start == 0, places), (start + self.side == length, self.side - places)):
            if not at_edge:
                weight = weight * ((distance - margin) / (overlap - 2 * margin)).clamp(1e-4, 1)
        return weight


def check_paint_size(paint_size: int, image_size: int) -> None:
    """Raise `ValueError` unless a painting may be so large, and not smaller than what the model paints."""
    if not isinstance(paint_size, Integral) or not image_size <= paint_size <= MAX_PAINT_SIZE:
        raise ValueError(
            f"`paint_size` must be an integer from {image_size}, the model's size, to {MAX_PAINT_SIZE}, but got "
            f"{paint_size!r}. It is the short side of the painting, in pixels."
        )


def plan_canvas(content_size: tuple[int, int], paint_size: int, config: StyleVARVQConfig) -> Canvas:
    """
    The canvas of a content whose short side becomes `paint_size` pixels, to the nearest latent.

    Raises:
        ValueError: If `paint_size` is below the model's size or above `MAX_PAINT_SIZE`, or the canvas too large.
    """
    side, unit = config.patch_nums[-1], config.image_size // config.patch_nums[-1]
    check_paint_size(paint_size, config.image_size)
    scale = paint_size / min(content_size)
    height, width = (max(side, round(length * scale / unit)) for length in content_size)
    if height * width * unit**2 > MAX_CANVAS_PIXELS:
        raise ValueError(
            f"`paint_size` must give a painting of at most {MAX_CANVAS_PIXELS} pixels, but got {paint_size} for a "
            f"content of {content_size[1]} x {content_size[0]}. Lower it, or crop the content."
        )
    return Canvas(height, width, side, unit)


@dataclass
class CanvasScaleState(StyleVARScaleState):
    """What `callback_on_scale_end` is handed: as of one window, with codes `(W, T)` and latents `(1, C, H, V)`."""

    canvas: Canvas = field(kw_only=True)

    @property
    @torch.no_grad()
    def pixel_values(self) -> torch.Tensor:
        """The painting after this scale, `(1, 3, height, width)` in [-1, 1]; decoded on each access."""
        return decode_canvas(self.vq_model, self.latents, self.canvas)


@torch.no_grad()
def decode_canvas(vq_model: StyleVARVQModel, latents: torch.Tensor, canvas: Canvas, at_once: int = 4) -> torch.Tensor:
    """
    Latents of a canvas to pixels, in tiles that are blended where they overlap.

    Args:
        vq_model ([`StyleVARVQModel`]):
            The decoder.
        latents (`torch.FloatTensor` of shape `(1, C, H, V)`):
            What the codes of all windows stand for.
        canvas ([`Canvas`]):
            Its windows are the tiles.
        at_once (`int`, *optional*, defaults to 4):
            Tiles to decode at a time.

    Returns:
        `torch.FloatTensor` of shape `(1, 3, H * downsampling, V * downsampling)` in [-1, 1], on the CPU if there is
        more than one tile.
    """
    crops = canvas.crop(latents)

    def tiles() -> Iterator[torch.Tensor]:
        for chunk in crops.split(at_once):
            pixels = vq_model.decode_latents(chunk)
            yield from pixels if len(crops) == 1 else pixels.cpu()

    return canvas.merge(tiles(), canvas.downsampling)


@torch.no_grad()
def paint_canvas(
    model: StyleVARForConditionalGeneration,
    canvas: Canvas,
    content: StyleVARReference,
    style: StyleVARReference,
    style_strength: float | torch.Tensor = 0.0,
    painted_tokens: torch.BoolTensor | None = None,
    generator: torch.Generator | None = None,
    previous_codes: torch.LongTensor | None = None,
    steadiness: float = 0.0,
    at_once: int = 4,
    callback_on_scale_end: Callable[[CanvasScaleState], None] | None = None,
    **sampling: Any,
) -> tuple[torch.LongTensor, torch.Tensor]:
    """
    One painting.

    No keys and values are kept from scale to scale: those of hundreds of windows would not fit. Each scale computes
    those before it again, which costs a third on a ladder of powers of two.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            The model.
        canvas ([`Canvas`]):
            Where the windows lie.
        content ([`StyleVARReference`]):
            The content in each window, `W` rows.
        style ([`StyleVARReference`]):
            The style, one row; its weights, if it is a blend, one row or `W`.
        style_strength (`float` or `torch.Tensor` of shape `(W, L)`, *optional*, defaults to 0.0):
            As of `generate`.
        painted_tokens (`torch.BoolTensor` of shape `(W, L)`, *optional*):
            As of `generate`.
        generator (`torch.Generator`, *optional*):
            Source of the canvas's random numbers.
        previous_codes (`torch.LongTensor` of shape `(W, L)`, *optional*), steadiness (`float`, *optional*):
            As of `generate`.
        at_once (`int`, *optional*, defaults to 4):
            Windows that the model sees at a time; bounds the memory, not the result.
        callback_on_scale_end (`Callable`, *optional*):
            Called after each scale.
        sampling:
            `do_sample`, `top_k`, `top_p` and `temperature` as of `generate`.

    Returns:
        Codes `(W, L)` and the latents of the canvas, `(1, C, H, V)`.

    Raises:
        ValueError: If the model overflows.
    """
    config, quantizer = model.config, model.vq_model.quantizer
    options = {name: setting(name, sampling.get(name), [model.generation_config]) for name in PUBLISHED_SAMPLING}
    number = len(canvas.windows)
    if previous_codes is not None and len(previous_codes) != number:
        raise ValueError(
            f"`previous_codes` must have one row per window ({number}), but got {len(previous_codes)}. Pass those of "
            "the frame before, of the same size."
        )
    chunks = [range(start, min(start + at_once, number)) for start in range(0, number, at_once)]
    steps = [
        _Windows(model, canvas, content, style, style_strength, painted_tokens, previous_codes, steadiness, chunk)
        for chunk in chunks
    ]
    latents, before, all_codes = None, [], []
    for scale_index in range(config.num_scales):
        noise = _Noise(canvas, config.patch_nums[scale_index], generator, content.embedding.device)
        codes = []
        for windows in steps:
            logits = windows.logits(before)
            if not logits.isfinite().all():
                raise ValueError(
                    f"`logits` must be finite, but the model overflowed in {model.dtype}. Load it in bfloat16 or "
                    "float32."
                )
            if options["do_sample"]:
                scaled = logits / options["temperature"]
                drawn = sample_codes(
                    filter_logits(scaled, options["top_k"], options["top_p"]), numbers=noise(windows.rows)
                )
            else:
                drawn = logits.argmax(dim=-1)
            codes.append(windows.hold(drawn, logits, windows.crop(latents), scale_index))
        codes = torch.cat(codes)
        parts = (part for chunk in codes.split(at_once) for part in quantizer.lift(chunk, scale_index))
        added = canvas.merge(parts)
        latents = added if latents is None else latents + added
        before.append(latents)
        all_codes.append(codes)
        if callback_on_scale_end is not None:
            callback_on_scale_end(
                CanvasScaleState(scale_index, config.num_scales, codes, latents, model.vq_model, canvas=canvas)
            )
    return torch.cat(all_codes, dim=1), latents


class _Windows:
    """Some windows of a canvas, and the model's view of them."""

    def __init__(
        self,
        model: StyleVARForConditionalGeneration,
        canvas: Canvas,
        content: StyleVARReference,
        style: StyleVARReference,
        style_strength: float | torch.Tensor,
        painted_tokens: torch.BoolTensor | None,
        previous_codes: torch.LongTensor | None,
        steadiness: float,
        rows: range,
    ):
        def own(values: torch.Tensor | None) -> torch.Tensor | None:
            return values if values is None or len(values) == 1 else values[rows.start : rows.stop]

        self.model, self.canvas, self.rows = model, canvas, rows
        self.content = content.select(rows)
        self.style_embedding = style.embedding.expand(len(rows), *style.embedding.shape[1:])
        self.style_features = style.features.expand(len(rows), *style.features.shape[1:])
        weights = own(style.weights)
        self.style_weights = None if weights is None else weights.expand(len(rows), *weights.shape[1:])
        if isinstance(style_strength, torch.Tensor) and style_strength.ndim == 2:
            style_strength = own(style_strength)
        device = content.embedding.device
        self.blend_alphas = model.model.get_blend_alphas(style_strength, len(rows), device)
        self.hold = HeldCodes(model.vq_model, self.content, 1, own(painted_tokens), own(previous_codes), steadiness)

    def crop(self, latents: torch.Tensor | None) -> torch.Tensor | float:
        """What these windows see of the canvas, `(rows, C, S, S)`."""
        if latents is None:
            return 0.0
        windows = self.canvas.windows[self.rows.start : self.rows.stop]
        return torch.cat([self.canvas.of_window(latents, window, 1) for window in windows])

    def logits(self, before: list[torch.Tensor]) -> torch.Tensor:
        """Scores `(rows, T, V)` of the scale after those whose latents are given."""
        model, config = self.model.model, self.model.config
        guides = model.embed_guides(self.style_features, self.content.features)
        cache = StyleVARCache(config)
        for scale_index in range(len(before) + 1):
            start, end = config.vq_config.scale_boundaries[scale_index]
            if scale_index == 0:
                hidden_states = model.embed_start(self.content.embedding)
            else:
                features = area_resize(self.crop(before[scale_index - 1]), config.patch_nums[scale_index])
                hidden_states = model.embed_tokens(features.flatten(2).transpose(1, 2), start)
            mask = None
            if config.legacy_kv_duplication:
                mask = legacy_attention_bias(start, end, guides.device, guides.dtype, guides.shape[1])
            hidden_states = model.run_layers(
                hidden_states,
                guides[:, :, start:end],
                self.style_embedding,
                self.blend_alphas[:, start:end],
                mask,
                cache,
                None if self.style_weights is None else self.style_weights[:, :, start:end],
            )
        return self.model.get_logits(hidden_states)


class _Noise:
    """
    Random numbers of one scale: one for each place of the canvas at that scale's resolution; where a window has but a
    few tokens, the same for all windows.
    """

    def __init__(self, canvas: Canvas, tokens: int, generator: torch.Generator | None, device: torch.device):
        self.canvas, self.tokens = canvas, tokens
        self.shared = tokens <= PALETTE_TOKENS
        self.rows, self.columns = (
            tokens if self.shared else -(-length * tokens // canvas.side) for length in (canvas.height, canvas.width)
        )
        numbers = uniform((1, self.rows * self.columns), device, generator)
        self.numbers = numbers.view(self.rows, self.columns)

    def __call__(self, windows: range) -> torch.Tensor:
        """The numbers of some windows, `(windows, T)`."""
        return torch.stack([self._of_window(*self.canvas.windows[window]) for window in windows])

    def _of_window(self, top: int, left: int) -> torch.Tensor:
        if self.shared:
            return self.numbers.flatten()
        places = torch.arange(self.tokens, device=self.numbers.device) + 0.5
        rows, columns = (
            (places + start * self.tokens / self.canvas.side).floor().long().clamp(max=limit - 1)
            for start, limit in ((top, self.rows), (left, self.columns))
        )
        return self.numbers[rows][:, columns].flatten()


__all__ = [
    "MAX_CANVAS_PIXELS",
    "MAX_PAINT_SIZE",
    "Canvas",
    "CanvasScaleState",
    "check_paint_size",
    "decode_canvas",
    "paint_canvas",
    "plan_canvas",
]
