# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""PSNR: are the pixels the same?"""

import torch


MAX_DECIBELS = 100.0


def peak_signal_to_noise_ratio(images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """
    PSNR, -10 log10 of the mean squared difference of pixels in [0, 1] (Huynh-Thu and Ghanbari 2008,
    doi 10.1049/el:20080522).

    Args:
        images, references (`torch.Tensor` of shape `(B, C, H, W)`):
            In [0, 1].

    Returns:
        `torch.Tensor` of shape `(B,)`, in decibels, 0 or more. At most 100, which equal pictures get, so that means
        stay finite: 8-bit pictures of up to 50 000 pixels stay below it as soon as one value differs.
    """
    error = (images.float() - references.float()).square().flatten(1).mean(1)
    return -10 * error.clamp_min(10 ** (-MAX_DECIBELS / 10)).log10()


__all__ = ["MAX_DECIBELS", "peak_signal_to_noise_ratio"]
