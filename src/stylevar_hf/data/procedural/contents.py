# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Contents for procedural triplets: crops of the photographs in the scikit-image wheel, and rendered scenes.

Everything is drawn from a `numpy` generator: the same generator state gives the same pixels.
"""

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from skimage import data as skimage_data
from skimage.color import hsv2rgb, rgb2lab

from .styles import smooth_noise


# Photographs that come inside the scikit-image wheel; all are in the public domain or CC0 (see its data/README.txt).
TRAINING_PHOTOGRAPHS = ("astronaut", "coffee", "hubble_deep_field", "immunohistochemistry", "retina")
HELD_OUT_PHOTOGRAPHS = ("chelsea", "rocket")
# Of the training photographs, the right-hand part that training never sees.
HELD_OUT_WIDTH = 0.28


@functools.cache
def _photograph(name: str) -> np.ndarray:
    pixels = getattr(skimage_data, name)()
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter > 512:  # hundreds of pixels are enough for crops of 128, and reading them is then cheap
        size = (round(width * 512 / shorter), round(height * 512 / shorter))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return pixels


def photograph_crop(
    rng: np.random.Generator, image_size: int, names: tuple[str, ...] = TRAINING_PHOTOGRAPHS, part: str = "all"
) -> tuple[np.ndarray, str]:
    """
    A random square crop of a photograph, scaled to `image_size`, mirrored half of the time.

    Args:
        rng (`np.random.Generator`):
            Source of randomness.
        image_size (`int`):
            Side of the result, in pixels.
        names (`tuple[str, ...]`, *optional*):
            Names of functions in `skimage.data`.
        part (`str`, *optional*, defaults to `"all"`):
            `"training"` for the left part of the photograph, `"held_out"` for the right-hand rest, or `"all"`.

    Returns:
        `tuple[np.ndarray, str]`: uint8 RGB of shape `(image_size, image_size, 3)`, and a name for this crop.
    """
    name = names[rng.integers(len(names))]
    pixels = _photograph(name)
    border = round(pixels.shape[1] * (1 - HELD_OUT_WIDTH))
    offset = {"all": 0, "training": 0, "held_out": border}[part]
    pixels = {"all": pixels, "training": pixels[:, :border], "held_out": pixels[:, border:]}[part]
    shorter = min(pixels.shape[:2])
    side = int(rng.uniform(min(0.45 * shorter, shorter), shorter)) if part != "held_out" else int(0.95 * shorter)
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in pixels.shape[:2])
    crop = Image.fromarray(pixels[top : top + side, left : left + side])
    crop = np.asarray(crop.resize((image_size, image_size), Image.Resampling.LANCZOS))
    mirrored = bool(rng.integers(2))
    identity = f"{name}-{top}-{left + offset}-{side}" + ("-mirrored" if mirrored else "")
    return (crop[:, ::-1] if mirrored else crop).copy(), identity


def _colour(rng: np.random.Generator, value: tuple[float, float], saturation=(0.15, 0.75)) -> np.ndarray:
    """A random RGB colour, float in [0, 255]."""
    return 255 * hsv2rgb([rng.random(), rng.uniform(*saturation), rng.uniform(*value)])


def _ridge(rng: np.random.Generator, side: int, height: float, roughness: float) -> np.ndarray:
    """Heights `(side,)` of a skyline: three octaves of smooth noise around `height`, in pixels from the top."""
    line = np.full(side, height * side)
    for octave in range(4):
        knots = rng.uniform(-1, 1, 4 * 2**octave + 2)
        wave = np.interp(np.linspace(0, len(knots) - 1, side), np.arange(len(knots)), knots)
        line += wave * roughness * side / 2**octave
    return line


def _draw_tree(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, foot: float, size: float) -> None:
    trunk, leaves = _colour(rng, (0.2, 0.4)), _colour(rng, (0.3, 0.7), (0.4, 0.8))
    draw.rectangle([x - 0.06 * size, foot - 0.5 * size, x + 0.06 * size, foot], fill=_rgb(trunk))
    if rng.random() < 0.5:
        for tier in range(3):
            top = foot - size * (0.5 + 0.25 * tier)
            half = size * (0.36 - 0.08 * tier)
            corners = [(x - half, top + 0.2 * size), (x + half, top + 0.2 * size), (x, top - 0.2 * size)]
            draw.polygon(corners, fill=_rgb(leaves * (0.8 + 0.12 * tier)))
    else:
        for _ in range(5):
            dx, dy, r = rng.uniform(-0.25, 0.25) * size, rng.uniform(-0.25, 0.2) * size, rng.uniform(0.18, 0.32) * size
            cx, cy = x + dx, foot - 0.75 * size + dy
            draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=_rgb(leaves * rng.uniform(0.75, 1.15)))


def _draw_house(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, foot: float, size: float) -> None:
    wall, roof = _colour(rng, (0.55, 0.95), (0.1, 0.5)), _colour(rng, (0.25, 0.65))
    width, height = size * rng.uniform(0.7, 1.2), size * rng.uniform(0.5, 1.0)
    draw.rectangle([x, foot - height, x + width, foot], fill=_rgb(wall))
    peak = foot - height - size * rng.uniform(0.3, 0.6)
    draw.polygon(
        [(x - 0.08 * size, foot - height), (x + width + 0.08 * size, foot - height), (x + width / 2, peak)],
        fill=_rgb(roof),
    )
    for column in range(2):
        left = x + width * (0.15 + 0.45 * column)
        box = [left, foot - 0.75 * height, left + 0.25 * width, foot - 0.4 * height]
        draw.rectangle(box, fill=_rgb(_colour(rng, (0.1, 0.9))))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    return tuple(int(v) for v in np.clip(colour, 0, 255))


def _landscape(rng: np.random.Generator, side: int) -> Image.Image:
    """Sky, sun, ranges of hills, trees and houses."""
    high, low = _colour(rng, (0.35, 0.9)), _colour(rng, (0.75, 1.0), (0.05, 0.5))
    ramp = np.linspace(0, 1, side)[:, None, None]
    sky = (
        np.broadcast_to(high + (low - high) * ramp, (side, side, 3))
        + 12 * smooth_noise(rng, side, side / 5)[..., None]
    )
    image = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.7:
        r, x, y = rng.uniform(0.05, 0.13) * side, rng.uniform(0.1, 0.9) * side, rng.uniform(0.08, 0.4) * side
        draw.ellipse([x - r, y - r, x + r, y + r], fill=_rgb(_colour(rng, (0.9, 1.0), (0.0, 0.5))))
    hue = _colour(rng, (0.5, 0.9))
    layers = int(rng.integers(2, 5))
    for layer in range(layers):
        height = 0.45 + 0.45 * layer / layers + rng.uniform(-0.06, 0.06)
        line = _ridge(rng, side, height, 0.11 * (1 - 0.5 * layer / layers))
        fade = 1 - 0.75 * (layer + 1) / layers
        shade = _rgb(low * fade + hue * (1 - fade) * rng.uniform(0.45, 0.95))
        draw.polygon([(0, side), *enumerate(line.tolist()), (side, side)], fill=shade)
    for _ in range(int(rng.integers(1, 6))):
        x, foot = rng.uniform(0, 0.95) * side, rng.uniform(0.65, 0.97) * side
        thing = _draw_tree if rng.random() < 0.65 else _draw_house
        thing(draw, rng, x, foot, side * rng.uniform(0.12, 0.36))
    return image


def _still_life(rng: np.random.Generator, side: int) -> Image.Image:
    """Lit spheres, boxes and vases on a table."""
    wall, table = _colour(rng, (0.3, 0.95), (0.05, 0.5)), _colour(rng, (0.25, 0.8))
    light = rng.uniform(-1, 1)
    columns = np.linspace(-1, 1, side)[None, :, None]
    horizon = rng.uniform(0.45, 0.7)
    rows = np.linspace(0, 1, side)[:, None, None]
    pixels = np.where(rows < horizon, wall * (0.85 + 0.2 * light * columns), table * (0.7 + 0.5 * (rows - horizon)))
    v, u = np.mgrid[0:side, 0:side] / side
    for _ in range(int(rng.integers(2, 5))):
        colour, kind = _colour(rng, (0.35, 0.95)), rng.integers(3)
        size, x, foot = rng.uniform(0.13, 0.26), rng.uniform(0.15, 0.85), rng.uniform(horizon + 0.02, 0.95)
        shadow = ((u - x - 0.3 * size * -light) / (1.3 * size)) ** 2 + ((v - foot) / (0.3 * size)) ** 2
        pixels = pixels * (1 - 0.45 * np.exp(-shadow * 1.5))[..., None]
        if kind == 0:
            dx, dy = (u - x) / size, (v - (foot - size)) / size
            inside = dx**2 + dy**2 < 1
            normal = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
            lit = np.clip(0.25 + 0.85 * np.clip(0.55 * light * dx - 0.6 * dy + 0.55 * normal, 0, 1), 0, 1.15)
        elif kind == 1:
            inside = (np.abs(u - x) < 0.7 * size) & (v < foot) & (v > foot - 1.5 * size)
            lit = np.where(u < x + 0.2 * size * light, 0.95, 0.55)
        else:
            t = np.clip((foot - v) / (2.2 * size), 0, 1)
            half = size * (0.28 + 0.42 * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) ** 1.3)
            inside = (np.abs(u - x) < half) & (v < foot) & (v > foot - 2.2 * size)
            lit = np.clip(0.75 + 0.45 * light * (u - x) / np.maximum(half, 1e-3), 0.2, 1.2)
        pixels = np.where(inside[..., None], colour * lit[..., None], pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _portrait(rng: np.random.Generator, side: int) -> Image.Image:
    """A head and shoulders in front of a plain wall."""
    image = Image.new("RGB", (side, side), _rgb(_colour(rng, (0.3, 0.95), (0.05, 0.5))))
    draw = ImageDraw.Draw(image)
    x, y, r = rng.uniform(0.35, 0.65) * side, rng.uniform(0.34, 0.46) * side, rng.uniform(0.16, 0.24) * side
    skin = _colour(rng, (0.4, 0.95), (0.2, 0.5))
    hair, cloth = _colour(rng, (0.08, 0.7)), _colour(rng, (0.2, 0.9))
    draw.ellipse([x - 1.25 * r, y - 1.55 * r, x + 1.25 * r, y + rng.uniform(0.6, 1.6) * r], fill=_rgb(hair))
    draw.ellipse([x - 2.6 * r, y + 1.35 * r, x + 2.6 * r, y + 5 * r], fill=_rgb(cloth))
    draw.rectangle([x - 0.4 * r, y + 0.6 * r, x + 0.4 * r, y + 1.7 * r], fill=_rgb(skin * 0.85))
    draw.ellipse([x - 0.92 * r, y - 1.1 * r, x + 0.92 * r, y + 1.25 * r], fill=_rgb(skin))
    draw.ellipse([x - 0.1 * r, y - 1.0 * r, x + 0.9 * r, y + 1.1 * r], fill=_rgb(skin * 1.1))
    draw.pieslice([x - 1.0 * r, y - 1.3 * r, x + 1.0 * r, y + 0.6 * r], 180, 360, fill=_rgb(hair))
    for eye in (-0.38, 0.38):
        draw.ellipse([x + (eye - 0.14) * r, y - 0.12 * r, x + (eye + 0.14) * r, y + 0.12 * r], fill=_rgb(hair * 0.3))
    draw.line([x, y + 0.05 * r, x - 0.1 * r, y + 0.45 * r], fill=_rgb(skin * 0.6), width=max(side // 90, 1))
    draw.ellipse([x - 0.32 * r, y + 0.62 * r, x + 0.32 * r, y + 0.8 * r], fill=_rgb(_colour(rng, (0.4, 0.7))))
    return image


def _facade(rng: np.random.Generator, side: int) -> Image.Image:
    """A street of tall houses."""
    image = Image.new("RGB", (side, side), _rgb(_colour(rng, (0.6, 1.0), (0.05, 0.5))))
    draw = ImageDraw.Draw(image)
    x = -rng.uniform(0, 0.1) * side
    while x < side:
        width, top = rng.uniform(0.15, 0.34) * side, rng.uniform(0.1, 0.6) * side
        wall, pane = _colour(rng, (0.25, 0.95), (0.05, 0.6)), _colour(rng, (0.05, 0.95))
        draw.rectangle([x, top, x + width, side], fill=_rgb(wall))
        columns, pitch = int(rng.integers(2, 4)), rng.uniform(0.09, 0.15) * side
        for row in range(int((0.9 * side - top) / pitch)):
            for column in range(columns):
                left = x + width * (column + 0.25) / columns
                low = top + pitch * (row + 0.35)
                draw.rectangle([left, low, left + 0.5 * width / columns, low + 0.55 * pitch], fill=_rgb(pane))
        x += width
    draw.rectangle([0, rng.uniform(0.86, 0.94) * side, side, side], fill=_rgb(_colour(rng, (0.2, 0.5), (0.0, 0.3))))
    return image


_SCENES = (_landscape, _still_life, _portrait, _facade)


def rendered_scene(rng: np.random.Generator, image_size: int) -> np.ndarray:
    """
    A landscape, still life, portrait or street.

    Args:
        rng (`np.random.Generator`):
            Source of randomness.
        image_size (`int`):
            Side of the result, in pixels.

    Returns:
        `np.ndarray` of shape `(image_size, image_size, 3)`: uint8 RGB.
    """
    image = _SCENES[rng.integers(len(_SCENES))](rng, 2 * image_size)
    image = image.filter(ImageFilter.GaussianBlur(0.6)).resize((image_size, image_size), Image.Resampling.LANCZOS)
    light = 1 + 0.05 * smooth_noise(rng, image_size, image_size / 3)[..., None]
    return np.clip(np.asarray(image) * light, 0, 255).astype(np.uint8)


def abstract_tone(rng: np.random.Generator, image_size: int) -> np.ndarray:
    """
    The subject of a style image: soft hills of light with a few hard-edged shapes, over the whole range of tones.

    Returns:
        `np.ndarray` of shape `(image_size, image_size)`: float32 in [0, 1].
    """
    tone = smooth_noise(rng, image_size, image_size / 2.5) + 0.5 * smooth_noise(rng, image_size, image_size / 6)
    rows, columns = np.mgrid[0:image_size, 0:image_size] / image_size
    for _ in range(int(rng.integers(1, 4))):
        x, y, r, squash = rng.random(), rng.random(), rng.uniform(0.1, 0.3), rng.uniform(0.5, 2)
        inside = ((columns - x) * squash) ** 2 + (rows - y) ** 2 < r**2
        tone = tone + rng.uniform(-1.8, 1.8) * inside
    return stretch(tone)


def image_tone(image: np.ndarray) -> np.ndarray:
    """CIELAB lightness of a uint8 RGB image, stretched to [0, 1]: `(H, W, 3)` to `(H, W)` float32."""
    return stretch(rgb2lab(image)[..., 0])


def stretch(values: np.ndarray, low: float = 2, high: float = 98) -> np.ndarray:
    """Map the `low` and `high` percentiles to 0 and 1 and clip: float32 of the same shape."""
    floor, ceiling = np.percentile(values, (low, high))
    return np.clip((values - floor) / max(ceiling - floor, 1e-3), 0, 1).astype(np.float32)


__all__ = [
    "HELD_OUT_PHOTOGRAPHS",
    "TRAINING_PHOTOGRAPHS",
    "abstract_tone",
    "image_tone",
    "photograph_crop",
    "rendered_scene",
    "stretch",
]
