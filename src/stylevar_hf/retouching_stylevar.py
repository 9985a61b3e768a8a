# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What happens to a picture after it was painted: it takes on the content's colours (OKLab), is enlarged along the
content's edges (guided filter), and is laid into the content where a mask says so.

Pictures are float32 tensors of shape `(3, height, width)` in [0, 1], masks `(height, width)` in [0, 1].
"""

import torch
import torch.nn.functional as F


# OKLab (B. Ottosson, 2020): linear sRGB to cone responses, and their cube roots to lightness and two colour axes.
_TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    device="cpu",
)
_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    device="cpu",
)
_BAND_PIXELS = 2**19  # converted at once
_GUIDE_RADIUS = 2  # pixels of the painting
_GUIDE_EPSILON = 1e-3  # variance of the guide below which it is taken for flat


def rgb_to_oklab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB `(3, ...)` in [0, 1] to lightness in [0, 1] and the colour axes a and b, `(3, ...)`."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4)
    cones = torch.einsum("ij,j...->i...", _TO_CONES.to(rgb), linear)
    return torch.einsum("ij,j...->i...", _TO_LAB.to(rgb), cones.clamp(min=0) ** (1 / 3))


def oklab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """The inverse of [`rgb_to_oklab`]; colours that no screen shows leave [0, 1]."""
    cones = torch.einsum("ij,j...->i...", _TO_LAB.double().inverse().to(lab), lab) ** 3
    linear = torch.einsum("ij,j...->i...", _TO_CONES.double().inverse().to(lab), cones)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def keep_colors(image: torch.Tensor, content: torch.Tensor, amount: float) -> torch.Tensor:
    r"""
    Give a painting the content's colours: in OKLab `(L, a, b) = (L_painting, (1 - w) ab_painting + w ab_content)`.
    What a screen cannot show at that light loses chroma, never hue or light.

    Args:
        image (`torch.FloatTensor` of shape `(3, height, width)`):
            The painting.
        content (`torch.FloatTensor` of shape `(3, height, width)`):
            The content, in the same frame.
        amount (`float`):
            `w`, in [0, 1]: 0 gives the painting back as it is, 1 hue and chroma of the content.

    Returns:
        `torch.FloatTensor` of shape `(3, height, width)`
    """
    if amount == 0:
        return image
    rows = max(1, _BAND_PIXELS // image.shape[2])
    bands = zip(image.split(rows, dim=1), content.split(rows, dim=1), strict=True)
    return torch.cat([_keep_colors_of_band(*band, amount) for band in bands], dim=1)


def _keep_colors_of_band(image: torch.Tensor, content: torch.Tensor, amount: float) -> torch.Tensor:
    light = rgb_to_oklab(image)[:1]
    colors = torch.lerp(rgb_to_oklab(image)[1:], rgb_to_oklab(content)[1:], amount)
    result = oklab_to_rgb(torch.cat([light, colors]))
    outside = ((result < -1e-4) | (result > 1 + 1e-4)).any(dim=0)
    if outside.any():  # the largest share of the chroma that can be shown, by bisection
        light, colors = light[:, outside], colors[:, outside]
        low, high = torch.zeros_like(light), torch.ones_like(light)
        for _ in range(10):
            middle = (low + high) / 2
            shown = oklab_to_rgb(torch.cat([light, middle * colors]))
            fits = ((shown >= -1e-4) & (shown <= 1 + 1e-4)).all(dim=0, keepdim=True)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        result[:, outside] = oklab_to_rgb(torch.cat([light, low * colors]))
    return result.clamp(0, 1)


def feather(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """
    Soften a mask inwards: what is black stays black, and white is reached `pixels` away from it.

    Args:
        mask (`torch.FloatTensor` of shape `(height, width)`):
            In [0, 1], white where it counts. The picture's edge is no border.
        pixels (`int`):
            Width of the ramp; 0 leaves the mask as it is.

    Returns:
        `torch.FloatTensor` of shape `(height, width)`: the mean of the mask eroded by 0, 1, ..., `pixels` pixels.
    """
    eroded = mask[None, None]
    total = eroded.clone()
    for _ in range(pixels):
        eroded = -F.max_pool2d(-eroded, kernel_size=3, stride=1, padding=1)
        total += eroded
    return (total / (pixels + 1))[0, 0]


def guided_resize(image: torch.Tensor, guide: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """
    Enlarge a painting along the edges of its content (fast guided filter, arXiv 1505.00996).

    In small windows the painting is taken for an affine function of the content, `p = A I + b + r`. `A` and `b` are
    smooth: enlarged, and applied to the content at full resolution, they give edges that are as sharp as the
    content's. What they do not explain, the strokes `r`, is enlarged as it is.

    Args:
        image (`torch.FloatTensor` of shape `(3, h, w)`):
            The painting.
        guide (`torch.FloatTensor` of shape `(3, height, width)`):
            The content, in the same frame, at the size to reach.
        size (`tuple[int, int]`):
            Height and width to reach.

    Returns:
        `torch.FloatTensor` of shape `(3, height, width)`
    """
    painting, full = image[None], guide[None]
    small = F.interpolate(full, size=image.shape[1:], mode="bilinear", antialias=True)
    mean_guide, mean_painting = _box(small), _box(painting)
    covariance = _box(_outer(small, small)) - _outer(mean_guide, mean_guide)  # (1, 9, h, w)
    cross = _box(_outer(small, painting)) - _outer(mean_guide, mean_painting)
    matrices = covariance[0].reshape(3, 3, -1).permute(2, 0, 1) + _GUIDE_EPSILON * torch.eye(3)
    slopes = torch.linalg.solve(matrices, cross[0].reshape(3, 3, -1).permute(2, 0, 1))  # (h * w, guide, painting)
    slopes = slopes.permute(1, 2, 0).reshape(1, 9, *image.shape[1:])
    offsets = mean_painting - _apply(slopes, mean_guide)
    slopes, offsets = _box(slopes), _box(offsets)
    strokes = painting - _apply(slopes, small) - offsets

    def enlarged(maps: torch.Tensor, mode: str) -> torch.Tensor:
        return F.interpolate(maps, size=size, mode=mode, align_corners=False)

    result = enlarged(offsets, "bilinear") + enlarged(strokes, "bicubic")
    for channel in range(3):  # one row of A at a time: at full resolution all nine are large
        result += enlarged(slopes[:, 3 * channel : 3 * channel + 3], "bilinear") * full[:, channel, None]
    return result[0].clamp(0, 1)


def _outer(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Products of all channels of `(1, 3, h, w)` maps, `(1, 9, h, w)`."""
    return torch.einsum("zihw,zjhw->zijhw", left, right).flatten(1, 2)


def _apply(slopes: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
    return torch.einsum("zijhw,zihw->zjhw", slopes.unflatten(1, (3, 3)), guide)


def _box(maps: torch.Tensor) -> torch.Tensor:
    """Mean over the window of `_GUIDE_RADIUS`, of what lies inside the picture."""
    side = 2 * _GUIDE_RADIUS + 1
    return F.avg_pool2d(maps, side, stride=1, padding=_GUIDE_RADIUS, count_include_pad=False)


__all__ = ["feather", "guided_resize", "keep_colors", "oklab_to_rgb", "rgb_to_oklab"]
