# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Moving colours alone: the simplest teacher, and a control of every evaluation."""

import numpy as np

from ...measures.pictures import Picture, lab_to_array, to_float_array, to_lab


def reinhard_transfer(content: Picture, style: Picture) -> np.ndarray:
    r"""
    The content with the style's colour statistics (Reinhard et al. 2001, "Color Transfer between Images"): in each
    channel

    $$ c' = (c - \mu_c) \, \sigma_s / \sigma_c + \mu_s. $$

    In CIELAB instead of that paper's l-alpha-beta, which serves the same purpose: channels that are about
    uncorrelated. A channel in which the content is flat gets the style's mean.

    Args:
        content, style (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures, uint8 in [0, 255] or float in [0, 1]; their sizes may differ.

    Returns:
        `np.ndarray` of the shape of the content, uint8; colours that sRGB lacks are clipped.

    Raises:
        ValueError: If a picture is not one.
    """
    content, style = to_lab(to_float_array(content, "content")), to_lab(to_float_array(style, "style"))
    content_mean, content_spread = content.mean((0, 1)), content.std((0, 1))
    style_mean, style_spread = style.mean((0, 1)), style.std((0, 1))
    flat = content_spread < 1e-3  # units of Delta E; what is below is rounding
    gain = np.where(flat, 0, style_spread / np.where(flat, 1, content_spread))
    return lab_to_array((content - content_mean) * gain + style_mean)


__all__ = ["reinhard_transfer"]
