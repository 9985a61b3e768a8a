# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Image measures and pictures for tokenizer evaluation."""

import torch

from ...modeling_stylevar_vq import StyleVARVQModel
from ...rewards.similarity import structural_similarity_map


def peak_signal_noise_ratio(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    PSNR of each image, `10 log10(4 / mse)` for pixels in [-1, 1].

    Args:
        images (`torch.FloatTensor` of shape `(B, C, H, W)`):
            Pixels in [-1, 1].
        references (`torch.FloatTensor` of shape `(B, C, H, W)`):
            What they should be.

    Returns:
        `torch.FloatTensor` of shape `(B,)`, in dB, at most 100.
    """
    error = (images.float() - references.float()).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error.clamp_min(4e-10))


def structural_similarity(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    SSIM of each image, as everywhere in this package.

    See [`~stylevar_hf.rewards.similarity.structural_similarity_map`].

    Args:
        images (`torch.FloatTensor` of shape `(B, C, H, W)`):
            Pixels in [-1, 1], at least 11 wide and high.
        references (`torch.FloatTensor` of shape `(B, C, H, W)`):
            What they should be.

    Returns:
        `torch.FloatTensor` of shape `(B,)`, at most 1.
    """
    with torch.autocast(images.device.type, enabled=False):
        first, second = (pixels.float() / 2 + 0.5 for pixels in (images, references))
        return structural_similarity_map(first, second).flatten(1).mean(dim=1)


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


__all__ = [
    "codebook_statistics",
    "peak_signal_noise_ratio",
    "reconstruct_scales",
    "structural_similarity",
]
