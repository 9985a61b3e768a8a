# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Care of the codebook during training: counting, filling from data, reviving what nobody uses."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from ...modeling_stylevar_vq import StyleVARQuantizer, area_resize


def step_generator(seed: int, step: int) -> torch.Generator:
    """A CPU generator that depends on seed and step alone, so that it needs no place in a checkpoint."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


@torch.no_grad()
def count_codes(quantizer: StyleVARQuantizer, codes: torch.LongTensor) -> torch.LongTensor:
    """How often each scale used each code: codes `(B, L)` to `(K, V)`."""
    size = quantizer.codebook.num_embeddings
    return torch.stack([torch.bincount(part.flatten(), minlength=size) for part in quantizer.split(codes)])


@torch.no_grad()
def fill_codebook(quantizer: StyleVARQuantizer, latents: torch.Tensor, generator: torch.Generator) -> None:
    """
    Set the codebook to vectors drawn from what a batch leaves over, scale by scale, coarse to fine.

    Each scale gets a share of the codebook in proportion to its positions and quantises with that share what the
    coarser ones left. If the batch has fewer vectors than the codebook, vectors recur with a little noise.

    Args:
        quantizer ([`StyleVARQuantizer`]):
            Changed in place.
        latents (`torch.FloatTensor` of shape `(B, C, S, S)`):
            The encoder's output.
        generator (`torch.Generator`):
            On the CPU.
    """
    size, sides = quantizer.codebook.num_embeddings, quantizer.patch_nums
    ends = [
        round(size * sum(side**2 for side in sides[: index + 1]) / sum(side**2 for side in sides))
        for index in range(len(sides))
    ]
    residual, start = latents.float(), 0
    vectors_so_far = []
    for scale_index, (side, end) in enumerate(zip(sides, ends, strict=True)):
        vectors = area_resize(residual, side).permute(0, 2, 3, 1).flatten(0, 2)
        chosen = _draw_rows(vectors, end - start, generator)
        vectors_so_far.append(chosen)
        pool = torch.cat(vectors_so_far)
        if len(pool) == 0:
            continue
        quantizer.codebook.weight[:end] = pool
        codes = torch.cdist(vectors, pool).argmin(dim=1).view(len(latents), side * side)
        residual = residual - quantizer.lift(codes, scale_index)
        start = end


def _draw_rows(vectors: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    order = torch.randperm(len(vectors), generator=generator)
    if count <= len(vectors):
        return vectors[order[:count].to(vectors.device)]
    again = torch.randint(len(vectors), (count - len(vectors),), generator=generator)
    rows = vectors[torch.cat([order, again]).to(vectors.device)]
    noise = torch.randn(rows.shape, generator=generator).to(rows) * 0.05 * vectors.square().mean().sqrt()
    noise[: len(vectors)] = 0
    return rows + noise


@torch.no_grad()
def draw_poorly_coded(
    quantizer: StyleVARQuantizer, latents: torch.Tensor, count: int, generator: torch.Generator
) -> torch.Tensor:
    """
    Vectors that the codebook should have: drawn from what each scale is given to quantise, with probability in
    proportion to the squared distance to the nearest code (one round of k-means++ seeding).

    Args:
        quantizer ([`StyleVARQuantizer`]):
            Not changed.
        latents (`torch.FloatTensor` of shape `(B, C, S, S)`):
            The encoder's output.
        count (`int`):
            How many are wanted.
        generator (`torch.Generator`):
            On the CPU.

    Returns:
        `torch.FloatTensor` of shape `(n, C)` with `n <= count`: fewer where the batch does not hold as many.
    """
    codes, cumulative = quantizer(latents)
    residuals = [latents.float(), *(latents.float() - f_hat for f_hat in cumulative[:-1])]
    vectors, distances = [], []
    for residual, side, scale_codes in zip(residuals, quantizer.patch_nums, quantizer.split(codes), strict=True):
        vectors.append(area_resize(residual, side).permute(0, 2, 3, 1).flatten(0, 2))
        distances.append((vectors[-1] - quantizer.codebook(scale_codes.flatten())).square().sum(dim=1))
    weights = torch.cat(distances).double().cpu()
    possible = int((weights > 0).sum())
    if min(count, possible) == 0:
        return torch.cat(vectors)[:0]
    chosen = torch.multinomial(weights, min(count, possible), generator=generator)
    return torch.cat(vectors)[chosen.to(latents.device)]


@torch.no_grad()
def replace_codes(
    codebook: nn.Embedding,
    rows: torch.LongTensor,
    vectors: torch.Tensor,
    optimizer_state: dict[str, torch.Tensor] | None = None,
) -> None:
    """
    Put new vectors into the codebook and forget what the optimizer knew of the old ones.

    Args:
        codebook (`nn.Embedding`):
            Changed in place.
        rows (`torch.LongTensor` of shape `(n,)`):
            Which codes.
        vectors (`torch.FloatTensor` of shape `(n, C)`):
            Their new values.
        optimizer_state (`dict`, *optional*):
            The optimizer's state of the codebook; tensors of the codebook's shape (Adam's moments) are set to 0 there.
    """
    codebook.weight[rows] = vectors.to(codebook.weight)
    for value in (optimizer_state or {}).values():
        if isinstance(value, torch.Tensor) and value.shape == codebook.weight.shape:
            value[rows] = 0


@contextlib.contextmanager
def bypass_quantizer(quantizer: StyleVARQuantizer) -> Iterator[None]:
    """
    Let every image through unquantised: the last scale's `f_hat` is its latent, and the model a plain autoencoder.

    Args:
        quantizer ([`StyleVARQuantizer`]):
            As it was when the block ends.
    """

    def hook(module, arguments, outputs):
        (latents,), (codes, cumulative) = arguments, outputs
        return codes, [*cumulative[:-1], latents.detach().float()]

    handle = quantizer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


__all__ = [
    "bypass_quantizer",
    "count_codes",
    "draw_poorly_coded",
    "fill_codebook",
    "replace_codes",
    "step_generator",
]
