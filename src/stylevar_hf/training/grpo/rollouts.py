# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Prompts and rollouts of GRPO: what is known of a content-style pair, and images drawn for many pairs at once."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import PIL.Image
import psutil
import torch

from ..._common.errors import invalid
from ...data.collator import StyleVARTripletCollator
from ...data.columns import IMAGE_COLUMNS
from ...generation_stylevar import StyleVARReference
from ...image_processing_stylevar import load_image
from ...modeling_stylevar import StyleVARForConditionalGeneration
from .mask_propagation import propagate_mask


# Share of the free memory that rollouts may take.
_MEMORY_SHARE = 0.5
# Copies of the logits, and of the decoder's largest feature map, that exist at the same time.
_LOGIT_COPIES, _FEATURE_COPIES = 6, 6


@dataclass(eq=False)
class StyleVARPrompt:
    """
    One content-style pair, encoded once for all of its rollouts.

    Args:
        row (`Mapping`):
            Its columns in the data set.
        content, style ([`StyleVARReference`] of one row):
            Embedding, features and codes.
        content_pixel_values, style_pixel_values (`torch.FloatTensor` of shape `(3, H, W)`):
            In [-1, 1].
        target_pixel_values (`torch.FloatTensor` of shape `(3, H, W)`, *optional*):
            In [-1, 1].
        gate (`torch.FloatTensor` of shape `(L,)`, *optional*):
            1 for tokens that the mask reaches, else 0.
    """

    row: Mapping[str, Any]
    content: StyleVARReference
    style: StyleVARReference
    content_pixel_values: torch.Tensor
    style_pixel_values: torch.Tensor
    target_pixel_values: torch.Tensor | None = None
    gate: torch.Tensor | None = None


@dataclass
class StyleVARRollouts:
    """
    `N` rollouts.

    Args:
        codes (`torch.LongTensor` of shape `(N, L)`):
            What was drawn.
        images (`torch.FloatTensor` of shape `(N, 3, H, W)`):
            What it decodes to, in [0, 1].
    """

    codes: torch.LongTensor
    images: torch.FloatTensor


@torch.no_grad()
def encode_prompts(
    model: StyleVARForConditionalGeneration,
    collator: StyleVARTripletCollator,
    rows: Sequence[Mapping[str, Any]],
    mask_column: str | Callable[[Mapping[str, Any]], Any] | None = None,
    mask_threshold: float = 0.5,
) -> list[StyleVARPrompt]:
    """
    Resize and encode the images of a few rows, all in one batch, on the model's device.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            In evaluation mode.
        collator ([`~stylevar_hf.data.StyleVARTripletCollator`]):
            Without augmentation.
        rows (`Sequence[Mapping]`):
            `content`, `style` and, where there is one, `target`.
        mask_column (`str` or `Callable`, *optional*):
            Column with a picture, or an array `(H, W)` in [0, 1], of the region that determines the reward; or a
            function of the row that returns it.
        mask_threshold (`float`, *optional*, defaults to 0.5):
            A pixel belongs to the region if its mask is at least this.

    Returns:
        `list[StyleVARPrompt]`, one per row.

    Raises:
        ValueError: If an image or a mask cannot be used.
    """
    columns = [name for name in (*IMAGE_COLUMNS, "content_id") if rows[0].get(name) is not None]
    batch = collator([{name: row[name] for name in columns} for row in rows])
    pixels = {name: value.to(model.device) for name, value in batch.items() if name.endswith("_pixel_values")}
    content = model.encode_content(pixels["content_pixel_values"])
    style = model.encode_style(pixels["style_pixel_values"])
    prompts = []
    for index, row in enumerate(rows):
        gate = None
        if mask_column is not None:
            called = callable(mask_column)
            mask, name = (mask_column(row), "mask_column") if called else (row[mask_column], mask_column)
            gate = propagate_mask(_mask_tensor(mask, name), model.config.patch_nums, mask_threshold)[0].to(
                model.device
            )
        images = {name: value[index] for name, value in pixels.items()}
        prompts.append(StyleVARPrompt(row, content.select([index]), style.select([index]), gate=gate, **images))
    return prompts


def _mask_tensor(mask: Any, column: str) -> torch.Tensor:
    """A mask in [0, 1], `(H, W)`, from a picture, its path, or an array."""
    if isinstance(mask, str | os.PathLike | PIL.Image.Image):
        return torch.from_numpy(np.array(load_image(mask, column).convert("L"))).float() / 255
    tensor = torch.as_tensor(mask, dtype=torch.float32)
    if tensor.ndim != 2:
        raise invalid(column, "a picture, or an array of shape (H, W) in [0, 1]", tuple(tensor.shape), "Reshape it.")
    return tensor


def reward_inputs(
    prompts: Sequence[StyleVARPrompt], codes: torch.LongTensor, images: torch.FloatTensor
) -> list[dict[str, Any]]:
    """
    What rewards are told of each rollout.

    Args:
        prompts (`Sequence[StyleVARPrompt]` of length `N`):
            The prompt of each row.
        codes (`torch.LongTensor` of shape `(N, L)`), images (`torch.FloatTensor` of shape `(N, 3, H, W)`):
            See [`StyleVARRollouts`].

    Returns:
        `list[dict]`: The columns of the row, `images`, `content_images`, `style_images` and, where there is one,
        `target_images` (`(3, H, W)` in [0, 1]; rows of one prompt hold the same tensors), `completion_ids`, `prompts`.
    """
    references = {}
    for prompt in prompts:
        if id(prompt) not in references:
            pixels = {name: getattr(prompt, f"{name}_pixel_values") for name in IMAGE_COLUMNS}
            references[id(prompt)] = {
                f"{name}_images": (value.float() / 2 + 0.5).clamp(0, 1)
                for name, value in pixels.items()
                if value is not None
            }
    return [
        {**prompt.row, **references[id(prompt)], "images": image, "completion_ids": ids, "prompts": prompt.row}
        for prompt, image, ids in zip(prompts, images, codes.tolist(), strict=True)
    ]


def join_references(references: Sequence[StyleVARReference]) -> StyleVARReference:
    """Several references as one, row after row."""
    names = references[0].keys()
    return StyleVARReference(**{name: torch.cat([reference[name] for reference in references]) for name in names})


def group_rows(prompts: Sequence[StyleVARPrompt]) -> tuple[list[StyleVARPrompt], int]:
    """
    As few pairs as serve all rows when each pair is repeated equally often.

    Args:
        prompts (`Sequence[StyleVARPrompt]`):
            The prompt of each row; rows of one prompt are next to each other.

    Returns:
        `tuple(list[StyleVARPrompt], int)`: The pairs, and how many rows each of them has (`num_return_sequences`).
    """
    runs = [list(run) for _, run in groupby(prompts, key=id)]
    repeats = math.gcd(*map(len, runs))
    return [prompt for run in runs for prompt in run[::repeats]], repeats


def rollout_generators(seed: int, window: int, rows: Sequence[int], stream: int = 0) -> list[torch.Generator]:
    """
    One generator per rollout, so that a rollout depends on nothing but the run's seed and its own place in it.

    Args:
        seed (`int`):
            The run's.
        window (`int`):
            Number of the generation, from 0.
        rows (`Sequence[int]`):
            Places of the rollouts among those of all processes.
        stream (`int`, *optional*, defaults to 0):
            Numbers that differ give independent rollouts: continuations, evaluation.

    Returns:
        `list[torch.Generator]`: On the CPU, where the numbers are the same for every device.
    """
    keys = (np.random.SeedSequence([seed, stream, window, row]) for row in rows)
    return [torch.Generator().manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1)) for key in keys]


@torch.no_grad()
def draw_rollouts(
    model: StyleVARForConditionalGeneration,
    prompts: Sequence[StyleVARPrompt],
    generators: Sequence[torch.Generator],
    batch_size: int | None = None,
    prefix_codes: torch.LongTensor | None = None,
    **sampling: Any,
) -> StyleVARRollouts:
    """
    Draw one image per row; what a prompt's rows share is computed once per batch.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            In evaluation mode.
        prompts (`Sequence[StyleVARPrompt]` of length `N`):
            The prompt of each row; rows of one prompt are next to each other.
        generators (`Sequence[torch.Generator]` of length `N`):
            From [`rollout_generators`].
        batch_size (`int`, *optional*):
            Rows at once; defaults to [`rollout_batch_size`]. It does not change the result beyond rounding.
        prefix_codes (`torch.LongTensor` of shape `(N, T)`, *optional*):
            Codes of whole scales to continue from.
        **sampling:
            `temperature`, `top_k`, `top_p` and `style_strength` of `generate`.

    Returns:
        [`StyleVARRollouts`]
    """
    batch_size = rollout_batch_size(model) if batch_size is None else batch_size
    codes, images = [], []
    for start in range(0, len(prompts), batch_size):
        rows = slice(start, start + batch_size)
        pairs, repeats = group_rows(prompts[rows])
        output = model.generate(
            content=join_references([pair.content for pair in pairs]),
            style=join_references([pair.style for pair in pairs]),
            do_sample=True,
            num_return_sequences=repeats,
            generator=list(generators[rows]),
            prefix_codes=None if prefix_codes is None else prefix_codes[rows],
            **sampling,
        )
        codes.append(output.sequences)
        images.append((output.pixel_values.float() / 2 + 0.5).clamp(0, 1))
    return StyleVARRollouts(torch.cat(codes), torch.cat(images))


def rollout_batch_size(model: StyleVARForConditionalGeneration) -> int:
    """How many images fit half of the memory that is free on the model's device, at least 1."""
    config, vq_config = model.config, model.config.vq_config
    size = torch.finfo(model.dtype).bits // 8
    cache = 2 * config.num_hidden_layers * config.sequence_length * config.hidden_size * size
    logits = max(side * side for side in config.patch_nums) * vq_config.codebook_size * 4 * _LOGIT_COPIES
    features = vq_config.base_channels * vq_config.channel_multipliers[0] * config.image_size**2 * size
    return max(1, int(_MEMORY_SHARE * _free_memory(model.device) / (cache + logits + features * _FEATURE_COPIES)))


def _free_memory(device: torch.device) -> int:
    """In bytes."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    return psutil.virtual_memory().available


__all__ = [
    "StyleVARPrompt",
    "StyleVARRollouts",
    "draw_rollouts",
    "encode_prompts",
    "group_rows",
    "join_references",
    "reward_inputs",
    "rollout_batch_size",
    "rollout_generators",
]
