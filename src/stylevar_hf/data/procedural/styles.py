# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Styles for procedural triplets: a palette, a family of marks, and the parameters of the marks.

A style renders any image: its lightness picks colours from the palette, and the family decides how the paint is laid
down. Tones are `(H, W)` float32 in [0, 1] (0: black), images are `(H, W, 3)` float32 RGB in [0, 1], lengths are pixels
of a 128-pixel image and scale with the image.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter, sobel
from scipy.spatial import Delaunay, cKDTree
from skimage.color import lab2rgb


NUM_PALETTE_COLOURS = 5
_HUE_BINS = 12
_REFERENCE_SIDE = 128


@dataclass(frozen=True)
class Style:
    """
    One style, complete: rendering the same image twice gives the same pixels.

    The marks are anchored to the canvas: two images in one style have their tiles, lines and bristles in the same
    places, so that a style image shows all that there is to know of the style.

    Args:
        family (`str`):
            Name of the family of marks, a key of [`STYLE_FAMILIES`].
        palette (`np.ndarray` of shape `(5, 3)`):
            RGB colours in [0, 1], dark to light.
        parameters (`dict[str, float]`):
            What the family's renderer takes: angles in radians, lengths in pixels of a 128-pixel image.
        seed (`int`):
            Where the marks fall.
    """

    family: str
    palette: np.ndarray
    parameters: dict[str, float] = field(default_factory=dict)
    seed: int = 0

    def render(self, tone: np.ndarray) -> np.ndarray:
        """Lay the style's marks over `tone` `(H, W)` in [0, 1]: an RGB image `(H, W, 3)` float32 in [0, 1]."""
        unit = tone.shape[0] / _REFERENCE_SIDE
        rng = np.random.default_rng(self.seed)
        image = STYLE_FAMILIES[self.family].render(tone, self.palette, unit, rng, **self.parameters)
        return np.clip(image, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class StyleFamily:
    """
    How a family of marks is drawn and how its parameters are chosen.

    Args:
        render (`Callable`):
            `(tone, palette, unit, rng, **parameters)` to an RGB image; `unit` is the length of one pixel of a
            128-pixel image.
        ranges (`dict[str, tuple[float, float]]`):
            Lowest and highest value of each parameter, drawn uniformly.
        held_out (`bool`):
            Whether the family is kept for out-of-distribution tests.
    """

    render: Callable[..., np.ndarray]
    ranges: dict[str, tuple[float, float]]
    held_out: bool = False


# ----------------------------------------------------------------------------------------------------- palettes


def is_held_out_palette(shadow_hue: float, light_hue: float) -> bool:
    """Whether a pair of hues, in turns [0, 1), belongs to the fifth of all pairs that training never sees."""
    return (int(shadow_hue * _HUE_BINS) + 2 * int(light_hue * _HUE_BINS)) % 5 == 0


def sample_palette(rng: np.random.Generator, held_out: bool = False) -> np.ndarray:
    """
    Draw five colours, dark to light, whose hue turns from a shadow hue to a light hue (in CIELAB).

    Args:
        rng (`np.random.Generator`):
            Source of randomness.
        held_out (`bool`, *optional*, defaults to `False`):
            Draw from the pairs of hues kept for tests instead of those for training.

    Returns:
        `np.ndarray` of shape `(5, 3)`: RGB in [0, 1].
    """
    while True:
        shadow, light = rng.random(2)
        if is_held_out_palette(shadow, light) == held_out:
            break
    turn = (light - shadow + 0.5) % 1.0 - 0.5  # the short way round the colour circle
    position = np.linspace(0, 1, NUM_PALETTE_COLOURS)
    hue = 2 * np.pi * (shadow + turn * position)
    lightness = rng.uniform(10, 34) + (rng.uniform(78, 95) - 22) * position ** rng.uniform(0.75, 1.3)
    chroma = rng.uniform(24, 58) * (0.75 + 0.5 * np.sin(np.pi * position))
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return np.clip(lab2rgb(lab[None])[0], 0, 1).astype(np.float32)


def apply_palette(tone: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colours of the palette's gradient at each tone: `(H, W)` in [0, 1] to `(H, W, 3)`."""
    levels = np.linspace(0, len(palette) - 1, 256)
    table = np.stack([np.interp(levels, np.arange(len(palette)), palette[:, c]) for c in range(3)], axis=-1)
    return table.astype(np.float32)[(np.clip(tone, 0, 1) * 255).astype(np.uint8)]


# ------------------------------------------------------------------------------------------------- building blocks


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Noise `(side, side)` of about zero mean and unit variance whose bumps are `scale` pixels wide."""
    cells = max(int(np.ceil(side / scale)), 1) + 2
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return 1.4 * np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def _smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    return rows, columns


def _blend(under: np.ndarray, over: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    return under + (over - under) * coverage[..., None]


def _line_integral(fields: list[np.ndarray], angle: np.ndarray, length: float) -> list[np.ndarray]:
    """Average each field along the stream lines of a direction field (line integral convolution)."""
    side = angle.shape[0]
    step_row, step_column = np.sin(angle), np.cos(angle)
    rows0, columns0 = _grid(side)
    totals, count = [f.copy() for f in fields], 1
    for sign in (1.0, -1.0):
        rows, columns = rows0.copy(), columns0.copy()
        i, j = rows0.astype(np.intp), columns0.astype(np.intp)
        heading = sign
        for _ in range(max(int(length / 2), 1)):
            rows += heading * step_row[i, j]
            columns += heading * step_column[i, j]
            i = np.clip(np.rint(rows), 0, side - 1).astype(np.intp)
            j = np.clip(np.rint(columns), 0, side - 1).astype(np.intp)
            for total, f in zip(totals, fields, strict=True):
                total += f[i, j]
            count += 1
    return [total / count for total in totals]


def _cells(rng: np.random.Generator, side: int, pitch: float, jitter: float) -> np.ndarray:
    """Points of a jittered grid that covers the image and a margin: `(N, 2)` rows and columns."""
    line = np.arange(-2 * pitch, side + 2 * pitch, pitch)
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return points + rng.uniform(-jitter, jitter, points.shape) * pitch


def _cell_means(tone: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Mean tone of each cell, `(count,)`; labels `(H, W)`."""
    area = np.bincount(labels.ravel(), minlength=count)
    total = np.bincount(labels.ravel(), weights=tone.ravel(), minlength=count)
    return total / np.maximum(area, 1)


# ----------------------------------------------------------------------------------------------------- the families


def _brush(tone, palette, unit, rng, *, direction, follow, length, width, impasto):
    """Oil paint: strokes along the contours or in one direction, with ridges of thick paint."""
    side = tone.shape[0]
    soft = gaussian_filter(tone, 0.5 * width * unit)
    row_slope, column_slope = sobel(gaussian_filter(soft, 1.5 * unit), 0), sobel(gaussian_filter(soft, 1.5 * unit), 1)
    # Directions are averaged as double angles, for which theta and theta + pi are the same.
    tangent = np.arctan2(row_slope, column_slope) + np.pi / 2
    weight = follow * np.tanh(4 * np.hypot(row_slope, column_slope))
    angle = 0.5 * np.arctan2(
        weight * np.sin(2 * tangent) + (1 - weight) * np.sin(2 * direction),
        weight * np.cos(2 * tangent) + (1 - weight) * np.cos(2 * direction),
    )
    bristles = smooth_noise(rng, side, width * unit)
    paint, ridges = _line_integral([soft, bristles], angle, length * unit)
    ridges /= ridges.std() + 1e-6
    image = apply_palette(paint + impasto * ridges, palette)
    relief = (ridges - np.roll(ridges, 1, axis=0)) / unit
    return image + 0.25 * impasto * relief[..., None]


def _hatching(tone, palette, unit, rng, *, direction, period, crossing, wash):
    """Ink: parallel lines that thicken in the shadows and are crossed in the darkest, over a thin wash."""
    side = tone.shape[0]
    rows, columns = _grid(side)
    paper = np.broadcast_to(palette[-1], (side, side, 3))
    image = _blend(paper, apply_palette(gaussian_filter(tone, 2 * unit), palette), np.full_like(tone, wash))
    darkness = 1 - gaussian_filter(tone, 1.0 * unit)
    wobble = smooth_noise(rng, side, 24 * unit) * unit
    for turn, strength in ((0.0, darkness), (crossing, 1.8 * (darkness - 0.5))):
        angle = direction + turn
        position = (rows * np.cos(angle) - columns * np.sin(angle) + wobble) / (period * unit)
        ridge = 0.5 + 0.5 * np.cos(2 * np.pi * position)
        reach = 1 - 0.8 * np.clip(strength, 0, 1)
        coverage = _smoothstep(ridge, reach - 0.3, reach + 0.3) * (strength > 0.08)
        image = _blend(image, palette[0], 0.55 * coverage)
    return image


def _dots(tone, palette, unit, rng, *, direction, pitch, jitter, ground):
    """Dots on a turned grid, larger in the shadows, in the palette's colours on a light ground."""
    side = tone.shape[0]
    rows, columns = _grid(side)
    centre = side / 2
    cos, sin = np.cos(direction), np.sin(direction)
    u = ((rows - centre) * cos - (columns - centre) * sin) / (pitch * unit)
    v = ((rows - centre) * sin + (columns - centre) * cos) / (pitch * unit)
    cell_u, cell_v = np.rint(u), np.rint(v)
    seeds = rng.uniform(-jitter, jitter, (2, 256, 256))
    index = cell_u.astype(int) % 256, cell_v.astype(int) % 256
    du, dv = u - cell_u - seeds[0][index], v - cell_v - seeds[1][index]
    # Each dot takes the tone under its centre.
    at_row = np.clip(np.rint(centre + (cell_u * cos + cell_v * sin) * pitch * unit), 0, side - 1).astype(int)
    at_column = np.clip(np.rint(centre + (cell_v * cos - cell_u * sin) * pitch * unit), 0, side - 1).astype(int)
    dot_tone = gaussian_filter(tone, 0.35 * pitch * unit)[at_row, at_column]
    radius = 0.2 + 0.36 * np.sqrt(np.clip(1 - dot_tone, 0, 1))
    softness = 1.0 / (pitch * unit)
    coverage = 1 - _smoothstep(np.hypot(du, dv), radius - softness, radius + softness)
    soft = gaussian_filter(tone, 1.5 * unit)
    paper = _blend(
        np.broadcast_to(palette[-1], (side, side, 3)), apply_palette(soft, palette), np.full_like(tone, ground)
    )
    return _blend(paper, apply_palette(0.85 * dot_tone, palette), 0.85 * coverage)


def _mosaic(tone, palette, unit, rng, *, pitch, jitter, grout, grout_tone):
    """Tiles of one colour each, with grout between them."""
    side = tone.shape[0]
    points = _cells(rng, side, pitch * unit, jitter)
    rows, columns = _grid(side)
    distance, label = cKDTree(points).query(np.stack([rows.ravel(), columns.ravel()], axis=-1), k=2)
    nearest = label[:, 0].reshape(side, side)
    tiles = _cell_means(tone, nearest, len(points)) + rng.uniform(-0.07, 0.07, len(points))
    image = apply_palette(tiles[nearest], palette)
    gap = (distance[:, 1] - distance[:, 0]).reshape(side, side) / unit
    colour = apply_palette(np.full((1, 1), grout_tone), palette)[0, 0]
    return _blend(image, colour, 0.7 * (1 - _smoothstep(gap, grout - 0.8, grout + 0.8)))


def _contour(tone, palette, unit, rng, *, levels, width, softness, ink):
    """Flat areas of few colours, parted by dark contour lines."""
    soft = gaussian_filter(median_filter(tone, size=max(int(3 * unit), 1)), softness * unit)
    scaled = soft * levels
    level = np.clip(np.floor(scaled), 0, np.ceil(levels) - 1)
    image = apply_palette(0.08 + 0.92 * (level + 0.5) / np.ceil(levels), palette)
    slope = np.hypot(*np.gradient(scaled))
    boundary = np.abs(scaled - np.rint(scaled)) / np.maximum(slope, 0.02)
    inside = (np.rint(scaled) > 0) & (np.rint(scaled) < np.ceil(levels))
    lines = (1 - _smoothstep(boundary, (width - 0.7) * unit, (width + 0.7) * unit)) * inside
    shading = apply_palette(soft, palette)
    return _blend(0.75 * image + 0.25 * shading, palette[0] * 0.7, ink * lines)


def _watercolour(tone, palette, unit, rng, *, bleed, wash, grain, edge):
    """Thin washes that pool at the edges, on rough paper."""
    side = tone.shape[0]
    soft = gaussian_filter(tone, bleed * unit)
    pooled = soft - edge * np.clip(gaussian_filter(soft, 3 * unit) - soft, 0, 1) * 4
    flow = wash * smooth_noise(rng, side, 28 * unit)
    image = apply_palette(pooled + flow, palette)
    fibres = smooth_noise(rng, side, 2.4 * unit)
    return image + (grain * fibres * (0.4 + 0.6 * soft))[..., None]


def _engraving(tone, palette, unit, rng, *, direction, period, swell):
    """Lines that bend over the relief of the picture and swell in the shadows."""
    side = tone.shape[0]
    rows, columns = _grid(side)
    soft = gaussian_filter(tone, 2.0 * unit)
    position = (rows * np.cos(direction) - columns * np.sin(direction)) / (period * unit) + swell * soft
    ridge = 0.5 + 0.5 * np.cos(2 * np.pi * position)
    reach = 0.9 - 0.75 * (1 - soft)
    return _blend(apply_palette(soft, palette), palette[0], 0.55 * _smoothstep(ridge, reach - 0.3, reach + 0.3))


def _low_poly(tone, palette, unit, rng, *, pitch, shading):
    """Flat triangles."""
    side = tone.shape[0]
    triangles = Delaunay(_cells(rng, side, pitch * unit, 0.38))
    rows, columns = _grid(side)
    label = triangles.find_simplex(np.stack([rows.ravel(), columns.ravel()], axis=-1)).reshape(side, side)
    count = len(triangles.simplices)
    faces = _cell_means(tone, label, count) + shading * rng.uniform(-1, 1, count)
    return apply_palette(faces[label], palette)


def _stitch(tone, palette, unit, rng, *, pitch, thread):
    """Cross-stitch: one cross of thread for each square of the cloth."""
    side = tone.shape[0]
    rows, columns = _grid(side)
    pitch = pitch * unit
    i, j = (rows // pitch).astype(int), (columns // pitch).astype(int)
    label = i * (j.max() + 1) + j
    square = _cell_means(tone, label, int(label.max()) + 1)[label]
    u, v = rows / pitch - i - 0.5, columns / pitch - j - 0.5
    arm = np.minimum(np.abs(u - v), np.abs(u + v))
    coverage = (1 - _smoothstep(arm, thread - 0.15, thread + 0.15)) * (np.maximum(np.abs(u), np.abs(v)) < 0.46)
    colours = apply_palette(np.round(square * 6) / 6, palette)
    return _blend(0.6 * colours + 0.4 * palette[-1], colours, coverage)


_TURN = (0.0, np.pi)

STYLE_FAMILIES: dict[str, StyleFamily] = {
    "brush": StyleFamily(
        _brush,
        {"direction": _TURN, "follow": (0.0, 1.0), "length": (8, 22), "width": (2.5, 5.0), "impasto": (0.05, 0.12)},
    ),
    "hatching": StyleFamily(
        _hatching, {"direction": _TURN, "period": (6.0, 9.5), "crossing": (0.8, 1.8), "wash": (0.6, 0.95)}
    ),
    "dots": StyleFamily(
        _dots, {"direction": _TURN, "pitch": (6.5, 10.0), "jitter": (0.0, 0.12), "ground": (0.45, 0.75)}
    ),
    "mosaic": StyleFamily(
        _mosaic, {"pitch": (7.0, 11.0), "jitter": (0.1, 0.4), "grout": (0.8, 1.4), "grout_tone": (0.0, 1.0)}
    ),
    "contour": StyleFamily(
        _contour, {"levels": (2.5, 4.5), "width": (0.7, 1.4), "softness": (1.5, 2.5), "ink": (0.7, 1.0)}
    ),
    "watercolour": StyleFamily(
        _watercolour, {"bleed": (1.0, 2.0), "wash": (0.05, 0.14), "grain": (0.015, 0.045), "edge": (0.4, 1.0)}
    ),
    "engraving": StyleFamily(
        _engraving, {"direction": _TURN, "period": (6.0, 9.0), "swell": (0.5, 2.0)}, held_out=True
    ),
    "low_poly": StyleFamily(_low_poly, {"pitch": (9.0, 14.0), "shading": (0.02, 0.10)}, held_out=True),
    "stitch": StyleFamily(_stitch, {"pitch": (7.0, 10.0), "thread": (0.12, 0.22)}, held_out=True),
}


def sample_style(
    rng: np.random.Generator, family: str, held_out_palette: bool = False, palette: np.ndarray | None = None
) -> Style:
    """
    Draw a style of a family.

    Args:
        rng (`np.random.Generator`):
            Source of randomness.
        family (`str`):
            A key of [`STYLE_FAMILIES`].
        held_out_palette (`bool`, *optional*, defaults to `False`):
            Take the palette from those kept for tests.
        palette (`np.ndarray` of shape `(5, 3)`, *optional*):
            RGB colours in [0, 1], dark to light, instead of drawn ones.

    Raises:
        ValueError: If there is no such family.
    """
    if family not in STYLE_FAMILIES:
        raise ValueError(f"`family` must be one of {sorted(STYLE_FAMILIES)}, but got {family!r}. Choose one of these.")
    palette = sample_palette(rng, held_out_palette) if palette is None else np.asarray(palette, dtype=np.float32)
    ranges = STYLE_FAMILIES[family].ranges
    parameters = {name: float(rng.uniform(low, high)) for name, (low, high) in ranges.items()}
    return Style(family, palette, parameters, seed=int(rng.integers(2**32)))


__all__ = ["STYLE_FAMILIES", "Style", "StyleFamily", "apply_palette", "sample_palette", "sample_style", "smooth_noise"]
