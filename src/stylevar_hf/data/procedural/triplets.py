# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Procedural triplets: an endless, seeded source of (content, style, target) that needs no download.

The content is a crop of a photograph or a rendered scene. A style is a palette and a family of marks; the style image
shows it on an abstract subject, the target shows it on the content. A model that is to predict the target has to take
the structure from the content and palette and marks from the style image.

Four splits, after the three benchmarks of arXiv 2604.21052:

| split | contents | families of marks | palettes |
|---|---|---|---|
| `train` | left part of the training photographs, scenes | training | training |
| `in_distribution` | right part of the training photographs, other scenes | training | training |
| `near_distribution` | held-out photographs, other scenes | training | held out |
| `out_of_distribution` | held-out photographs | held out | held out |

In training, one triplet in sixteen shows a content as its own style and target, so that a model learns that a picture
in its own style is itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...image_processing_stylevar import load_image
from .contents import (
    HELD_OUT_PHOTOGRAPHS,
    TRAINING_PHOTOGRAPHS,
    abstract_tone,
    image_tone,
    photograph_crop,
    rendered_scene,
)
from .styles import STYLE_FAMILIES, Style, sample_style


if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


TRAINING_FAMILIES = tuple(name for name, family in STYLE_FAMILIES.items() if not family.held_out)
HELD_OUT_FAMILIES = tuple(name for name, family in STYLE_FAMILIES.items() if family.held_out)


@dataclass(frozen=True)
class _Split:
    code: int  # enters the seed, so that no two splits share a scene or a style
    photographs: tuple[str, ...]
    part: str
    photograph_share: float
    families: tuple[str, ...]
    held_out_palette: bool
    own_style_share: float = 0.0  # of triplets whose style and target are the content


PROCEDURAL_SPLITS = {
    "train": _Split(0, TRAINING_PHOTOGRAPHS, "training", 0.4, TRAINING_FAMILIES, False, own_style_share=1 / 16),
    "in_distribution": _Split(1, TRAINING_PHOTOGRAPHS, "held_out", 0.4, TRAINING_FAMILIES, False),
    "near_distribution": _Split(2, HELD_OUT_PHOTOGRAPHS, "all", 0.5, TRAINING_FAMILIES, True),
    "out_of_distribution": _Split(3, HELD_OUT_PHOTOGRAPHS, "all", 1.0, HELD_OUT_FAMILIES, True),
}


def procedural_triplet(
    index: int,
    split: str = "train",
    seed: int = 0,
    image_size: int = 128,
    content: Image.Image | None = None,
    family: str | None = None,
) -> dict[str, Image.Image | str]:
    """
    One triplet. The same arguments give the same pixels.

    Args:
        index (`int`):
            Which triplet, from 0; there is no last one.
        split (`str`, *optional*, defaults to `"train"`):
            `"train"`, `"in_distribution"`, `"near_distribution"` or `"out_of_distribution"`.
        seed (`int`, *optional*, defaults to 0):
            Another seed gives another endless source.
        image_size (`int`, *optional*, defaults to 128):
            Side of the three images, in pixels; at least 16.
        content (`PIL.Image.Image`, *optional*):
            Your own content, resized to a square, instead of the split's.
        family (`str`, *optional*):
            A family of marks, such as `"hatching"`, instead of one of the split's.

    Returns:
        `dict`: `content`, `style` and `target` (RGB `PIL.Image.Image`), `content_id`, `style_id` and `family` (`str`;
        `"own"` where the content is its own style).

    Raises:
        ValueError: If the split or the family does not exist, `index` is negative or the images would be too small.
    """
    if split not in PROCEDURAL_SPLITS:
        raise ValueError(f"`split` must be one of {list(PROCEDURAL_SPLITS)}, but got {split!r}. Choose one of these.")
    if index < 0 or seed < 0:
        raise ValueError(f"`index` and `seed` must be at least 0, but got {index} and {seed}. Count from 0.")
    if image_size < 16:
        raise ValueError(f"`image_size` must be at least 16 pixels, but got {image_size}. Marks are wider than that.")
    if family is not None and family not in STYLE_FAMILIES:
        raise ValueError(f"`family` must be one of {list(STYLE_FAMILIES)}, but got {family!r}. Choose one of these.")

    source = PROCEDURAL_SPLITS[split]
    rng = np.random.default_rng([seed, source.code, index])
    if content is not None:
        pixels = np.asarray(load_image(content, "content").resize((image_size, image_size), Image.Resampling.LANCZOS))
        content_id = "given"
    elif rng.random() < source.photograph_share:
        pixels, content_id = photograph_crop(rng, image_size, source.photographs, source.part)
    else:
        pixels, content_id = rendered_scene(rng, image_size), f"scene-{split}-{seed}-{index}"
    own_style = np.random.default_rng([seed, source.code, index, 1]).random() < source.own_style_share
    if own_style and content is None and family is None:
        image = Image.fromarray(pixels)
        ids = {"content_id": content_id, "style_id": f"own-{split}-{seed}-{index}", "family": "own"}
        return {"content": image, "style": image, "target": image, **ids}
    family = family or source.families[rng.integers(len(source.families))]
    style = sample_style(rng, family, source.held_out_palette)
    return {
        "content": Image.fromarray(pixels),
        "style": style_image(style, rng, image_size),
        "target": apply_style(pixels, style),
        "content_id": content_id,
        "style_id": f"{family}-{split}-{seed}-{index}",
        "family": family,
    }


def style_image(style: Style, rng: np.random.Generator, image_size: int) -> Image.Image:
    """The style shown on an abstract subject, an RGB image of `image_size` pixels square."""
    return _to_image(style.render(abstract_tone(rng, image_size)))


def apply_style(content: np.ndarray, style: Style) -> Image.Image:
    """The style shown on a content, uint8 RGB of shape `(side, side, 3)`."""
    return _to_image(style.render(image_tone(content)))


def stream_procedural(split: str = "train", seed: int = 0, image_size: int = 128) -> "IterableDataset":
    """
    The endless source as a streaming data set; train on it with `max_steps`.

    Its `state_dict` resumes without rendering what was already seen, and it splits among processes and workers.

    Args:
        split, seed, image_size:
            As for [`procedural_triplet`].

    Returns:
        `datasets.IterableDataset` with columns `content`, `style`, `target`, `content_id`, `style_id` and `family`.
    """
    from datasets import IterableDataset

    procedural_triplet(0, split, seed, image_size)  # bad arguments fail here, not in a worker
    indices = IterableDataset.from_generator(_count, gen_kwargs={"shards": list(range(_STREAM_SHARDS))})
    render = _Render(split, seed, image_size)
    return indices.map(render, remove_columns=["index"], features=_features())


def load_procedural(
    num_triplets: int,
    split: str = "train",
    seed: int = 0,
    image_size: int = 128,
    canvas_size: int | None = None,
    family: str | None = None,
    num_proc: int | None = None,
) -> "Dataset":
    """
    The first triplets of the source, rendered once and kept in the cache of `datasets`.

    Args:
        num_triplets (`int`):
            How many; a larger data set begins with the smaller one.
        split, seed, image_size:
            As for [`procedural_triplet`].
        canvas_size (`int`, *optional*):
            Render triplets of this size, a multiple of `image_size`, and cut each into tiles of `image_size`: the
            three images alike. A model for small images then sees marks as large as on large ones. Defaults to
            `image_size`.
        family (`str`, *optional*):
            Only this family of marks.
        num_proc (`int`, *optional*):
            Processes to render with. About 15 ms per triplet and core at 128 pixels.

    Returns:
        `datasets.Dataset` with columns `content`, `style`, `target` (`Image`, lazily decoded), `content_id`,
        `style_id` and `family`.
    """
    from datasets import Dataset

    if num_triplets < 1:
        raise ValueError(f"`num_triplets` must be at least 1, but got {num_triplets}. Ask for as many as you need.")
    canvas_size = canvas_size or image_size
    if canvas_size % image_size:
        raise ValueError(
            f"`canvas_size` must be a multiple of `image_size` ({image_size}), but got {canvas_size}. Take "
            f"{max(canvas_size // image_size, 1) * image_size}."
        )
    procedural_triplet(0, split, seed, image_size, family=family)
    tiles = (canvas_size // image_size) ** 2
    return Dataset.from_generator(
        _render_range,
        features=_features(),
        gen_kwargs={
            "indices": list(range(-(-num_triplets // tiles))),
            "split": split,
            "seed": seed,
            "image_size": image_size,
            "canvas_size": canvas_size,
            "version": PROCEDURAL_VERSION,
            **({} if family is None else {"family": family}),
        },
        num_proc=num_proc,
    ).select(range(num_triplets))


# Counts the changes of what is rendered, so that the cache of `datasets` never serves an older picture.
PROCEDURAL_VERSION = 2
# A stream is cut so that processes and workers draw from parts of their own; one process sees them in order. A billion
# triplets are endless enough.
_STREAM_SHARDS = 1024
_SHARD_LENGTH = 1_000_000


class _Render:
    """Turns rows of indices into triplets; a class so that it can be pickled and hashed by its arguments."""

    def __init__(self, split: str, seed: int, image_size: int):
        self.split, self.seed, self.image_size = split, seed, image_size

    def __call__(self, row: dict) -> dict:
        return procedural_triplet(row["index"], self.split, self.seed, self.image_size)


def _count(shards: list[int]) -> Iterator[dict]:
    for shard in shards:
        for index in range(shard * _SHARD_LENGTH, (shard + 1) * _SHARD_LENGTH):
            yield {"index": index}


def _render_range(
    indices: list[int],
    split: str,
    seed: int,
    image_size: int,
    canvas_size: int,
    version: int,
    family: str | None = None,
) -> Iterator[dict]:
    for index in indices:
        triplet = procedural_triplet(index, split, seed, canvas_size, family=family)
        for top in range(0, canvas_size, image_size):
            for left in range(0, canvas_size, image_size):
                box = (left, top, left + image_size, top + image_size)
                yield {**triplet, **{name: triplet[name].crop(box) for name in ("content", "style", "target")}}


def _features():
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    images = {name: ImageFeature() for name in ("content", "style", "target")}
    return Features({**images, "content_id": Value("string"), "style_id": Value("string"), "family": Value("string")})


def _to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8))


__all__ = [
    "HELD_OUT_FAMILIES",
    "PROCEDURAL_SPLITS",
    "TRAINING_FAMILIES",
    "apply_style",
    "load_procedural",
    "procedural_triplet",
    "stream_procedural",
    "style_image",
]
