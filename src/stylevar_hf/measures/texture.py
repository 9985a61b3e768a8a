# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Strokes and grain: how local detail is distributed over sizes, directions and contrasts."""

import functools

import numpy as np
import torch

from .base import Measure, quantiles
from .colour import rgb_to_lab


WAVELENGTHS = (3.0, 5.0, 8.3)  # pixels per period; octaves of 0.74, so that neighbouring bands meet
NUM_ORIENTATIONS = 6
RADIAL_SIGMA = 0.65  # about one octave wide (Field 1987)
ANGULAR_SIGMA = np.pi / NUM_ORIENTATIONS / 1.5
MARGIN = 16  # pixels mirrored around a picture before filtering


class Texture(Measure):
    r"""
    Distance between two textures: how differently local detail is distributed over sizes and directions. The
    lightness L goes through 18 log-Gabor filters g (Field 1987, "Relations between the statistics of natural images
    and the response properties of cortical cells"; 3, 5 and 8.3 pixels per period, 6 orientations); the distance is
    the mean over the filters of the 1-Wasserstein distance between the distributions over pixels of

    $$ \log_2(1 + |g * L|), $$

    in octaves of amplitude.

    Colours and slow changes of lightness, which belong to palette and content, do not count; strokes, hatching, dots,
    edges of tiles and grain do, by size, direction and contrast. Not invariant to rotation or scale: hatching in
    another direction is another style. Detail of the content itself counts too: a photograph's own fine structure is
    seen as texture, so compare means over many pictures. Sizes may differ, but the texture is measured in pixels.

    A description is the quantile function of each band's log amplitude, `(B, 18, 1024)`.
    """

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        # By index: the padding of torch mirrors once only, and a picture may be smaller than the margin.
        rows, columns = (np.pad(np.arange(side), MARGIN, mode="reflect") for side in images.shape[-2:])
        lightness = rgb_to_lab(images)[:, :1, rows[:, None], columns]
        filters = torch.from_numpy(log_gabor_filters(*lightness.shape[-2:])).to(lightness)
        amplitudes = torch.fft.ifft2(torch.fft.fft2(lightness) * filters).abs()[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        return quantiles(torch.log2(1 + amplitudes).flatten(2))

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).abs().flatten(1).mean(1)


@functools.lru_cache(maxsize=4)
def log_gabor_filters(height: int, width: int) -> np.ndarray:
    """
    Transfer functions `(18, height, width)`, float32: a Gaussian in log frequency times one in orientation. Each is
    0 at frequency 0 and on one side of the spectrum only, so that the filtered image is complex and its modulus the
    local amplitude (of a sine: that sine's).
    """
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    frequency, orientation = np.hypot(rows, columns), np.arctan2(rows, columns)
    frequency[0, 0] = 1  # no logarithm of 0; that entry is set below
    filters = []
    for wavelength in WAVELENGTHS:
        radial = np.exp(-(np.log(frequency * wavelength) ** 2) / (2 * np.log(RADIAL_SIGMA) ** 2))
        radial[0, 0] = 0
        for centre in np.arange(NUM_ORIENTATIONS) * np.pi / NUM_ORIENTATIONS:
            angle = np.angle(np.exp(1j * (orientation - centre)))
            filters.append(2 * radial * np.exp(-(angle**2) / (2 * ANGULAR_SIGMA**2)))
    return np.stack(filters).astype(np.float32)


__all__ = ["Texture", "log_gabor_filters"]
