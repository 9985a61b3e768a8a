# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Measures between two pictures that need no trained network.

| function | 0 or best | unit | asks |
|---|---|---|---|
| [`structural_similarity`] | 1 | none, in [-1, 1] | are the same structures in the same places? |
| [`peak_signal_to_noise_ratio`] | 100 | dB | are the pixels the same? |
| [`mean_colour_difference`] | 0 | CIELAB (Delta E) | how far apart are the pixels' colours? |
| [`colour_distance`] | 0 | CIELAB (Delta E) | is the palette the same, wherever the colours are? |
| [`texture_distance`] | 0 | octaves | are strokes and grain the same, wherever they are? |

A picture is a PIL image or an array `(height, width, 3)`, uint8 in [0, 255] or float in [0, 1], sRGB.
"""

import functools
import warnings

import numpy as np
import PIL.Image
import scipy.fft
import skimage.color
import skimage.metrics


Picture = PIL.Image.Image | np.ndarray

MAX_DECIBELS = 100.0
SSIM_WINDOW = 11  # of a Gaussian with sigma 1.5 cut at 3.5 sigma
NUM_DIRECTIONS = 32
NUM_QUANTILES = 1024
WAVELENGTHS = (3.0, 5.0, 8.3)  # pixels per period; octaves of 0.74, so that neighbouring bands meet
NUM_ORIENTATIONS = 6
RADIAL_SIGMA = 0.65  # about one octave wide (Field 1987)
ANGULAR_SIGMA = np.pi / NUM_ORIENTATIONS / 1.5
MARGIN = 16  # pixels mirrored around a picture before filtering


def to_float_array(image: Picture, name: str = "image") -> np.ndarray:
    """
    A picture as float32 `(height, width, 3)` in [0, 1].

    Args:
        image (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            uint8 in [0, 255] or float in [0, 1].
        name (`str`, *optional*, defaults to `"image"`):
            What error messages call it.

    Returns:
        `np.ndarray` of shape `(height, width, 3)`

    Raises:
        ValueError: If shape, dtype or range do not fit.
    """
    array = np.asarray(image.convert("RGB")) if isinstance(image, PIL.Image.Image) else np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(
            f"`{name}` must be of shape (height, width, 3), but got {array.shape}. Convert it to RGB, channels last."
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype.kind != "f":
        raise ValueError(f"`{name}` must be of dtype uint8 or float, but got {array.dtype}. Convert it first.")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"`{name}` must be in [0, 1], but got values in [{array.min():g}, {array.max():g}]. "
            "Map [-1, 1] by `x / 2 + 0.5`."
        )
    return array.astype(np.float32)


def to_lab(image: Picture, name: str = "image") -> np.ndarray:
    """A picture in CIELAB (D65), float32 `(height, width, 3)`: L in [0, 100], a and b about [-100, 100]."""
    return skimage.color.rgb2lab(to_float_array(image, name)).astype(np.float32)


def lab_to_array(lab: np.ndarray) -> np.ndarray:
    """CIELAB `(height, width, 3)` as uint8 sRGB of the same shape; colours that sRGB lacks are clipped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB.*negative Z")
        rgb = skimage.color.lab2rgb(lab)
    return np.floor(np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def structural_similarity(image: Picture, reference: Picture) -> float:
    """
    SSIM (Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity"), mean over
    channels and pixels, with that paper's Gaussian window (sigma 1.5) and constants.

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size, at least 11 x 11.

    Returns:
        `float`: In [-1, 1]; 1 for equal pictures.

    Raises:
        ValueError: If a picture is not one, is too small, or the sizes differ.
    """
    image, reference = _same_size(image, reference)
    if min(image.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"`image` must be at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, but got {image.shape[:2]}. Enlarge it."
        )
    return float(
        skimage.metrics.structural_similarity(
            image,
            reference,
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def peak_signal_to_noise_ratio(image: Picture, reference: Picture) -> float:
    """
    PSNR, -10 log10 of the mean squared difference of pixels in [0, 1].

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size.

    Returns:
        `float`: In decibels, 0 or more. At most 100, which equal pictures get, so that means stay finite: 8-bit
        pictures of up to 50 000 pixels stay below it as soon as one value differs.

    Raises:
        ValueError: If a picture is not one or the sizes differ.
    """
    image, reference = _same_size(image, reference)
    error = float(np.mean((image.astype(np.float64) - reference) ** 2))
    return MAX_DECIBELS if error == 0 else float(min(MAX_DECIBELS, -10 * np.log10(error)))


def mean_colour_difference(image: Picture, reference: Picture) -> float:
    """
    Mean over pixels of the CIE 1976 colour difference, the Euclidean distance in CIELAB of the two pixels at the
    same place.

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures of the same size.

    Returns:
        `float`: In units of Delta E, 0 or more; 2.3 is about what an eye just notices, black to white is 100.

    Raises:
        ValueError: If a picture is not one or the sizes differ.
    """
    image, reference = _same_size(image, reference)
    return float(skimage.color.deltaE_cie76(to_lab(image), to_lab(reference)).mean())


def colour_signature(image: Picture, name: str = "image") -> np.ndarray:
    """
    What [`colour_distance`] compares: the quantile functions of the CIELAB pixels along 32 directions spread evenly
    over the half sphere, scaled so that [`signature_distance`] of two signatures is the distance.

    Returns:
        `np.ndarray` of shape `(32, 1024)`, float32.
    """
    pixels = to_lab(image, name).reshape(-1, 3)
    # A shift by d moves the projections by d |cos|, d / 2 on average over the sphere: twice that is d again.
    return 2 * _quantiles(projection_directions() @ pixels.T)


def colour_distance(image: Picture, reference: Picture) -> float:
    r"""
    Distance between two palettes: the sliced 1-Wasserstein distance between the clouds of CIELAB pixels,

    $$ 2 \cdot \mathrm{mean}_\theta \int_0^1 |F^{-1}_{\theta \cdot x}(q) - F^{-1}_{\theta \cdot y}(q)| dq $$

    (Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures"), over 32 fixed directions. Where a
    colour is in the picture does not count, how much of it there is does. The factor 2 makes the distance of a
    picture from itself with every pixel's colour shifted by d just d (within 2%).

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures; their sizes may differ.

    Returns:
        `float`: In units of Delta E, 0 or more; at most about 100.

    Raises:
        ValueError: If a picture is not one.
    """
    return signature_distance(colour_signature(image), colour_signature(reference, "reference"))


def texture_signature(image: Picture, name: str = "image") -> np.ndarray:
    """
    What [`texture_distance`] compares: the quantile function of each band's log amplitude.

    Returns:
        `np.ndarray` of shape `(18, 1024)`, float32: three wavelengths of six orientations each, in octaves.
    """
    lightness = np.pad(to_lab(image, name)[..., 0], MARGIN, mode="reflect")
    filters = log_gabor_filters(*lightness.shape)
    amplitudes = np.abs(scipy.fft.ifft2(scipy.fft.fft2(lightness) * filters))
    amplitudes = amplitudes[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    return _quantiles(np.log2(1 + amplitudes).reshape(len(filters), -1))


def texture_distance(image: Picture, reference: Picture) -> float:
    r"""
    Distance between two textures: how differently local detail is distributed over sizes and directions. The
    lightness L goes through 18 log-Gabor filters g (Field 1987, "Relations between the statistics of natural images
    and the response properties of cortical cells"; 3, 5 and 8.3 pixels per period, 6 orientations); the distance is
    the mean over the filters of the 1-Wasserstein distance between the distributions over pixels of

    $$ \log_2(1 + |g * L|). $$

    Colours and slow changes of lightness, which belong to palette and content, do not count; strokes, hatching, dots,
    edges of tiles and grain do, by size, direction and contrast. Not invariant to rotation or scale: hatching in
    another direction is another style. Detail of the content itself counts too: a photograph's own fine structure is
    seen as texture, so compare means over many pictures.

    Args:
        image, reference (`PIL.Image.Image` or `np.ndarray` of shape `(height, width, 3)`):
            Pictures; their sizes may differ, but the texture is measured in pixels.

    Returns:
        `float`: In octaves of amplitude, 0 or more. Among the procedural triplets about 0.2 between a target and its
        style, and 0.6 between a target and another's style or its content.

    Raises:
        ValueError: If a picture is not one.
    """
    return signature_distance(texture_signature(image), texture_signature(reference, "reference"))


def signature_distance(signature: np.ndarray, reference: np.ndarray) -> float:
    """
    The distance of two pictures from their signatures; saves computing those again for each pair.

    Args:
        signature, reference (`np.ndarray`):
            Results of [`colour_signature`] or of [`texture_signature`], of one kind.

    Returns:
        `float`: In the unit of that kind.

    Raises:
        ValueError: If they are not of one kind.
    """
    if signature.shape != reference.shape:
        raise ValueError(
            f"`reference` must be of the shape {signature.shape} of `signature`, but got {reference.shape}. "
            "Compare signatures of one kind."
        )
    return float(np.mean(np.abs(signature - reference), dtype=np.float64))


def _same_size(image: Picture, reference: Picture) -> tuple[np.ndarray, np.ndarray]:
    image, reference = to_float_array(image), to_float_array(reference, "reference")
    if image.shape != reference.shape:
        raise ValueError(
            f"`reference` must have the size {image.shape[:2]} of `image`, but got {reference.shape[:2]}. Resize one."
        )
    return image, reference


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Values `(rows, samples)` to their quantile functions at the middles of 1024 steps, `(rows, 1024)`."""
    count = values.shape[1]
    ranks = ((np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES * count).astype(int)
    return np.sort(values, axis=1)[:, ranks].astype(np.float32)


@functools.cache
def projection_directions() -> np.ndarray:
    """Unit vectors `(32, 3)` spread evenly over a half sphere, along a golden spiral; the other half is the same."""
    steps = np.arange(NUM_DIRECTIONS) + 0.5
    height, turn = steps / NUM_DIRECTIONS, steps * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([height, radius * np.cos(turn), radius * np.sin(turn)], axis=1).astype(np.float32)


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


__all__ = [
    "colour_distance",
    "colour_signature",
    "mean_colour_difference",
    "peak_signal_to_noise_ratio",
    "signature_distance",
    "structural_similarity",
    "texture_distance",
    "texture_signature",
]
