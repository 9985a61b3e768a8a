# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is measured of a tokenizer: the use of its codes, and what each scale adds."""

import torch

from ...modeling_stylevar_vq import StyleVARVQModel


def codebook_statistics(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    How evenly the codes are used.

    Args:
        counts (`torch.Tensor` of shape `(..., V)`):
            How often each code was used.

    Returns:
        `tuple`: the share of the codebook that was used, in [0, 1], and the perplexity `exp(-sum p log p)`, in
        [1, V]; both of shape `(...)`.
    """
    counts = counts.double()
    probabilities = counts / counts.sum(dim=-1, keepdim=True).clamp_min(1)
    return (counts > 0).double().mean(dim=-1), torch.special.entr(probabilities).sum(dim=-1).exp()


@torch.no_grad()
def reconstruct_scales(model: StyleVARVQModel, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    What an image looks like after each scale.

    Args:
        model ([`StyleVARVQModel`]):
            The tokenizer.
        pixel_values (`torch.FloatTensor` of shape `(B, C, H, W)`):
            Images in [-1, 1].

    Returns:
        `tuple`: images of shape `(K, B, C, H, W)` in [-1, 1], and codes `(B, L)`.
    """
    codes, cumulative = model.quantizer(model.get_latents(pixel_values))
    return torch.stack([model.decode_latents(latents) for latents in cumulative]), codes


__all__ = ["codebook_statistics", "reconstruct_scales"]
