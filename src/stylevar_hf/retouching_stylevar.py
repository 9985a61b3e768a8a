# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What happens to a picture after it was painted: it takes on the content's colours (OKLab), is enlarged along the
content's edges (guided filter), and is laid into the content where a mask says so.

Pictures are float32 tensors of shape `(3, height, width)` in [0, 1], masks `(height, width)` in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from .controls_stylevar import lay_over, resize_map
from .image_processing_stylevar import StyleVARImageProcessor, fitted_size


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
MAX_FEATHER = 512
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

    # At full resolution, a band of rows at a time: a photograph of a telephone would fill gigabytes with coefficients.
    bilinear, bicubic = (_row_weights(image.shape[1], size[0], mode) for mode in ("bilinear", "bicubic"))
    result = torch.empty(3, *size)
    step = max(1, _BAND_PIXELS // size[1])
    for top in range(0, size[0], step):
        rows = slice(top, min(top + step, size[0]))

        def enlarged(maps: torch.Tensor, weights: torch.Tensor, mode: str, rows: slice = rows) -> torch.Tensor:
            maps = torch.einsum("yh,zchw->zcyw", weights[rows], maps)
            return F.interpolate(maps, size=(maps.shape[2], size[1]), mode=mode, align_corners=False)

        band = _apply(enlarged(slopes, bilinear, "bilinear"), full[:, :, rows])
        band += enlarged(offsets, bilinear, "bilinear") + enlarged(strokes, bicubic, "bicubic")
        result[:, rows] = band[0].clamp(0, 1)
    return result


def _row_weights(height: int, new_height: int, mode: str) -> torch.Tensor:
    """What interpolation along rows does, `(new_height, height)`."""
    identity = torch.eye(height)[None, None]
    return F.interpolate(identity, size=(new_height, height), mode=mode, align_corners=False)[0, 0]


def _outer(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Products of all channels of `(1, 3, h, w)` maps, `(1, 9, h, w)`."""
    return torch.einsum("zihw,zjhw->zijhw", left, right).flatten(1, 2)


def _apply(slopes: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
    return torch.einsum("zijhw,zihw->zjhw", slopes.unflatten(1, (3, 3)), guide)


def _box(maps: torch.Tensor) -> torch.Tensor:
    """Mean over the window of `_GUIDE_RADIUS`, of what lies inside the picture."""
    side = 2 * _GUIDE_RADIUS + 1
    return F.avg_pool2d(maps, side, stride=1, padding=_GUIDE_RADIUS, count_include_pad=False)


@dataclass(frozen=True)
class Retouching:
    """
    The way from the model's pixels to the pictures that the pipeline hands out.

    Args:
        image_processor ([`StyleVARImageProcessor`]):
            Knows the sizes and the filter.
        resize_mode (`str`):
            How the contents were made to fit, as of the processor.
        keep_colors (`float`, *optional*, defaults to 0.0):
            See [`keep_colors`].
        mask_feather (`int`, *optional*, defaults to 8):
            See [`feather`]; in pixels of the result.
        output_type, output_size (*optional*):
            As of the pipeline.

    Raises:
        ValueError: If a value does not fit.
    """

    image_processor: StyleVARImageProcessor
    resize_mode: str
    keep_colors: float = 0.0
    mask_feather: int = 8
    output_type: str = "pil"
    output_size: str | tuple[int, int] = "model"

    def __post_init__(self):
        if not isinstance(self.keep_colors, Real) or not 0 <= self.keep_colors <= 1:
            raise ValueError(
                f"`keep_colors` must be in [0, 1], but got {self.keep_colors!r}. 0 keeps those of the painting, 1 "
                "those of the content."
            )
        if not isinstance(self.mask_feather, Integral) or not 0 <= self.mask_feather <= MAX_FEATHER:
            raise ValueError(
                f"`mask_feather` must be an integer in [0, {MAX_FEATHER}], but got {self.mask_feather!r}. It counts "
                "pixels of the result."
            )

    def needs_content(self, masks: Sequence[torch.Tensor | None]) -> bool:
        """Whether the contents themselves are looked at, and not their sizes alone."""
        return self.keep_colors > 0 or self.output_size == "content" or any(mask is not None for mask in masks)

    def __call__(
        self,
        pixel_values: torch.Tensor,
        content_size: tuple[int, int],
        content: PIL.Image.Image | None = None,
        mask: torch.Tensor | None = None,
    ) -> PIL.Image.Image | np.ndarray | torch.Tensor:
        """
        One picture.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(3, h, w)`):
                What the model painted, in [-1, 1].
            content_size (`tuple[int, int]`):
                Height and width of the content.
            content (`PIL.Image.Image`, *optional*):
                The content itself; see [`~Retouching.needs_content`].
            mask (`torch.FloatTensor` of shape `(height, width)`, *optional*):
                White where the painting shows, over the whole content.
        """
        painted = tuple(pixel_values.shape[1:])
        shown, (top, left, height, width) = visible_parts(content_size, painted, self.resize_mode)
        enlarges = self.output_size == "content" and shown[2] > height and shown[3] > width
        if self.keep_colors == 0 and mask is None and not enlarges:
            return self.image_processor.postprocess(
                pixel_values[None],
                self.output_type,
                target_sizes=None if self.output_size == "model" else [content_size],
                output_size=None if isinstance(self.output_size, str) else self.output_size,
                resize_mode=self.resize_mode,
            )[0]
        # 1. The content as large as the result, and what the model painted of it
        image = (pixel_values.detach().float().cpu() / 2 + 0.5).clamp(0, 1)
        if self.output_size == "model":
            size = painted
            content = self.image_processor.fit_image(content, painted, self.resize_mode)
            mask = None if mask is None else lay_over(mask, content_size, painted, self.resize_mode)
        else:
            size = shown[2:] if self.output_size == "content" else tuple(self.output_size)
            content = _to_tensor(_crop(content, shown).resize(size[::-1], self.image_processor.resample))
            image = image[:, top : top + height, left : left + width]
            if mask is not None:
                mask = resize_map(mask, content_size)
                mask = resize_map(mask[shown[0] : shown[0] + shown[2], shown[1] : shown[1] + shown[3]], size)
            if enlarges:
                image = guided_resize(image, content, size)
            else:
                image = _to_tensor(_to_picture(image).resize(size[::-1], self.image_processor.resample))
        # 2. Its colours, then the part that stays
        image = keep_colors(image, content, self.keep_colors)
        if mask is not None:
            image = torch.lerp(content, image, feather(mask, self.mask_feather))
        if self.output_type == "pt":
            return image
        return _to_picture(image) if self.output_type == "pil" else image.permute(1, 2, 0).numpy()


def visible_parts(
    content_size: tuple[int, int], target: tuple[int, int], resize_mode: str
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """
    Which part of a content the model sees, and which part of what it paints shows the content and no padding.

    Returns:
        Two boxes `(top, left, height, width)`, in pixels of the content and of the painting.
    """
    whole_content, whole_painting = (0, 0, *content_size), (0, 0, *target)
    if resize_mode == "center_crop":
        scale = max(part / whole for part, whole in zip(target, content_size, strict=True))
        height, width = (max(1, round(part / scale)) for part in target)
        top, left = (content_size[0] - height) // 2, (content_size[1] - width) // 2
        return (max(top, 0), max(left, 0), min(height, content_size[0]), min(width, content_size[1])), whole_painting
    if resize_mode == "pad":
        height, width = fitted_size(*content_size, target, "pad")
        return whole_content, ((target[0] - height) // 2, (target[1] - width) // 2, height, width)
    return whole_content, whole_painting


def _crop(image: PIL.Image.Image, box: tuple[int, int, int, int]) -> PIL.Image.Image:
    top, left, height, width = box
    return image.crop((left, top, left + width, top + height))


def _to_tensor(image: PIL.Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255


def _to_picture(image: torch.Tensor) -> PIL.Image.Image:
    values = (image * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return PIL.Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())


__all__ = [
    "MAX_FEATHER",
    "Retouching",
    "feather",
    "guided_resize",
    "keep_colors",
    "oklab_to_rgb",
    "rgb_to_oklab",
    "visible_parts",
]
