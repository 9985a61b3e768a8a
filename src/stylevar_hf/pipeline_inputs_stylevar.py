# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the pipeline is called with: its pictures and their names, pairs, seeds, maps and batches, checked first."""

import importlib
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import get_logger

from .generation_stylevar import StyleVARReference
from .image_processing_stylevar import OUTPUT_TYPES, ImageSource, check_size


logger = get_logger(__name__)

# The share by which the proportions of a mask may differ from its content's before a notice.
ASPECT_TOLERANCE = 0.02


def is_list(sources: Any) -> bool:
    return isinstance(sources, Sequence) and not isinstance(sources, str | bytes)


def name_sources(name: str, sources: ImageSource | Sequence[ImageSource]) -> dict[str, ImageSource]:
    """The pictures under the names that error messages use."""
    if hasattr(sources, "column_names"):
        raise ValueError(
            f"`{name}` must be an image or a list of images, but got a dataset. "
            f'Pass one of its columns: `pipe(dataset["content"], dataset["style"])`.'
        )
    if isinstance(sources, np.ndarray | torch.Tensor) and sources.ndim == 4:
        raise ValueError(
            f"`{name}` must be an image or a list of images, but got an array of shape {tuple(sources.shape)}. "
            f"Pass `list({name})`."
        )
    if not is_list(sources):
        return {name: sources}
    if len(sources) == 0:
        raise ValueError(f"`{name}` must hold at least one image, but got an empty list. Pass an image.")
    return {f"{name}[{i}]": source for i, source in enumerate(sources)}


def count_pairs(num_contents: int, num_styles: int) -> int:
    if num_contents != num_styles and min(num_contents, num_styles) > 1:
        raise ValueError(
            f"`style` must hold one image per content ({num_contents}) or a single one, but got {num_styles}. "
            "Give as many styles as contents, or one of either for all."
        )
    return max(num_contents, num_styles)


def check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (not isinstance(value, Integral) or value < 1):
            raise ValueError(f"`{name}` must be a positive integer, but got {value!r}. Use 1 or more.")


def load_ranker(
    rank_by: str | Callable[..., Sequence[float]] | None, num_candidates: int, num_images: int
) -> Callable[..., Sequence[float]] | None:
    """
    What ranks the candidates; `None` if there is nothing to rank.

    Raises:
        ImportError: If a reward is named and the package is not installed.
        ValueError: If the number of candidates does not fit, or there is no such reward, or it needs a target.
    """
    check_counts(num_candidates=num_candidates)
    if num_candidates == 1 and rank_by is None:
        return None
    if rank_by is None or num_candidates < num_images:
        raise ValueError(
            f"`num_candidates` must be at least `num_images` ({num_images}) and come with `rank_by`, but got "
            f'{num_candidates} and {rank_by!r}. Say what tells the best of them, such as `rank_by="ssim"`.'
        )
    if not isinstance(rank_by, str):
        if not callable(rank_by):
            raise ValueError(f"`rank_by` must be the name of a reward or a function, but got {rank_by!r}. Choose one.")
        return rank_by
    try:
        rewards = importlib.import_module("stylevar_hf.rewards")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`rank_by` must be a function without the package, but got {rank_by!r}. Run `pip install stylevar-hf`."
        ) from error
    reference = "" if ":" in rank_by or rank_by not in ("ssim", "lpips", "dreamsim", "clip") else ":reference=content"
    ranker = rewards.get_reward(rank_by + reference)
    if "target" in getattr(ranker, "requires", ()):
        raise ValueError(
            f"`rank_by` must compare with the content or the style, but got {rank_by!r}, which wants a target. Add "
            "`:reference=content`."
        )
    return ranker


def check_output(output_type: str, output_size: str | tuple[int, int]) -> None:
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"`output_type` must be one of {OUTPUT_TYPES}, but got {output_type!r}. Choose one.")
    if not isinstance(output_size, str):
        check_size("output_size", output_size)
    elif output_size not in ("model", "content"):
        raise ValueError(
            f"`output_size` must be 'model', 'content' or (height, width), but got {output_size!r}. Choose one."
        )


def per_pair(name: str, value: Any, num_pairs: int) -> list:
    """The value for each pair, given one for all or a list, an array or a tensor."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic | torch.Tensor) else value
    if not is_list(value):
        return [value] * num_pairs
    if len(value) != num_pairs:
        raise ValueError(
            f"`{name}` must be one value or one per pair ({num_pairs}), but got {len(value)}. Lengthen or shorten it."
        )
    return list(value)


def read_maps(
    name: str,
    pictures: ImageSource | Sequence[ImageSource] | None,
    num_pairs: int,
    read: Callable[[ImageSource, str], torch.Tensor],
    neutral: float,
) -> list[torch.Tensor | None]:
    """A map for each pair, given one for all or a list; `None` for one that would change nothing."""
    if not is_list(pictures):
        pictures = [pictures]
    elif len(pictures) != num_pairs:
        raise ValueError(
            f"`{name}` must be one picture or one per pair ({num_pairs}), but got {len(pictures)}. Lengthen or "
            "shorten the list."
        )
    names = [name] if len(pictures) == 1 else [f"{name}[{index}]" for index in range(len(pictures))]
    maps = [None if one is None else read(one, name) for one, name in zip(pictures, names, strict=True)]
    maps = [None if one is None or bool((one == neutral).all()) else one for one in maps]
    return maps * num_pairs if len(maps) == 1 else maps


def notice_aspects(name: str, maps: list[torch.Tensor | None], sizes: list[tuple[int, int]]) -> None:
    """Says so where a map has other proportions than its content."""
    for one, (height, width) in zip(maps, sizes, strict=True):
        if one is None:
            continue
        if abs(one.shape[1] * height / (one.shape[0] * width) - 1) > ASPECT_TOLERANCE:
            logger.warning_once(
                f"`{name}` of {one.shape[1]} x {one.shape[0]} pixels is stretched over a content of {width} x "
                f"{height}."
            )


def style_masks(styles: list[StyleVARReference]) -> list[torch.Tensor | None]:
    """One mask of each blend that has some; all of a blend are of one size."""
    return [None if style.masks is None else style.masks[0, 0] for style in styles]


def split_by_kind(batches: list[tuple[range, range]], styles: list[StyleVARReference]) -> list[tuple[range, range]]:
    """The same batches, divided where a blend of several styles meets another number of styles."""

    def kind(i: int) -> int:
        return 1 if styles[i].weights is None else styles[i].weights.shape[1]

    divided = []
    for pairs, samples in batches:
        start = pairs.start
        for i in pairs:
            if i + 1 == pairs.stop or kind(i + 1) != kind(i):
                divided.append((range(start, i + 1), samples))
                start = i + 1
    return divided


def check_strengths(strengths: list[float]) -> list[float]:
    for strength in strengths:
        if not isinstance(strength, Real) or not -1 <= strength <= 1:
            raise ValueError(
                f"`style_strength` must be in [-1, 1], but got {strength!r}. 1 is all style, -1 is all content."
            )
    return strengths


def make_generators(
    seed: int | Sequence[int] | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    num_pairs: int,
    num_images: int,
) -> list[torch.Generator] | torch.Generator | None:
    """One generator per image from the seeds; or those that the user gave."""
    if seed is not None and generator is not None:
        raise ValueError("`seed` must be unset when `generator` is given, but got both. Drop one of them.")
    if seed is not None:
        seeds = per_pair("seed", seed, num_pairs)
        for one in seeds:
            if not isinstance(one, Integral) or not 0 <= one < 2**63 - num_images:
                raise ValueError(f"`seed` must be an integer in [0, 2**63), but got {one!r}. Try 0.")
        # On the CPU, whose numbers are the same on every machine.
        return [torch.Generator().manual_seed(int(one) + j) for one in seeds for j in range(num_images)]
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    total = num_pairs * num_images
    if not (is_list(generator) and len(generator) == total and all(isinstance(g, torch.Generator) for g in generator)):
        raise ValueError(
            f"`generator` must be a `torch.Generator` or a list with one per image ({total}), but got {generator!r}. "
            "Or use `seed`."
        )
    return list(generator)


def split_batches(num_pairs: int, num_images: int, batch_size: int) -> list[tuple[range, range]]:
    """
    Batches of at most `batch_size` images: which pairs, and which images of each of them. Images of a pair stay
    together where they fit, since they share the work on their pair.
    """
    pairs = max(batch_size // num_images, 1)
    samples = min(batch_size, num_images)
    return [
        (range(i, min(i + pairs, num_pairs)), range(j, min(j + samples, num_images)))
        for i in range(0, num_pairs, pairs)
        for j in range(0, num_images, samples)
    ]


def nest(results: list, num_images: int, nested: bool) -> Any:
    """Flat results, pair by pair, in the shape of the call: an entry per pair if it had lists."""
    pairs = [results[i : i + num_images] for i in range(0, len(results), num_images)]
    pairs = [pair[0] for pair in pairs] if num_images == 1 else pairs
    return pairs if nested else pairs[0]


__all__ = [
    "check_counts",
    "check_output",
    "check_strengths",
    "count_pairs",
    "is_list",
    "load_ranker",
    "make_generators",
    "name_sources",
    "nest",
    "notice_aspects",
    "per_pair",
    "read_maps",
    "split_batches",
    "split_by_kind",
    "style_masks",
]
