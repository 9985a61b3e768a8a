# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Images in and out of StyleVAR: reading a picture from anywhere, to pixels in [-1, 1], and back."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import PIL.Image
import torch
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import ChannelDimension, ImageInput, PILImageResampling, SizeDict
from transformers.processing_utils import ImagesKwargs, Unpack

from .image_reading_stylevar import DEFAULT_MAX_IMAGE_PIXELS, ImageSource, check_pixels, load_image, to_uint8


RESIZE_MODES = ("stretch", "center_crop", "pad")
OUTPUT_TYPES = ("pil", "np", "pt")


def _invalid(name: str, rule: str, value: str, hint: str) -> ValueError:
    return ValueError(f"`{name}` must be {rule}, but got {value}. {hint}")


def fitted_size(height: int, width: int, target: tuple[int, int], resize_mode: str) -> tuple[int, int]:
    """Height and width to which `resize_mode` scales an image before it crops or pads it to `target`."""
    target_height, target_width = target
    if resize_mode == "stretch":
        return target
    height_leads = target_height * width >= target_width * height  # scaling by the height covers the target
    if height_leads == (resize_mode == "center_crop"):
        return target_height, max(1, width * target_height // height)
    return max(1, height * target_width // width), target_width


def _check_postprocess_arguments(
    pixel_values: torch.Tensor,
    output_type: str,
    target_sizes: Sequence[tuple[int, int]] | None,
    output_size: tuple[int, int] | None,
) -> None:
    """The rules of `StyleVARImageProcessor.postprocess`."""
    if output_type not in OUTPUT_TYPES:
        raise _invalid("output_type", f"one of {OUTPUT_TYPES}", repr(output_type), "Choose one.")
    is_tensor = isinstance(pixel_values, torch.Tensor)
    if not is_tensor or not pixel_values.is_floating_point():
        hint = "Pass what `generate` or `decode` return."
        found = f"a tensor of {pixel_values.dtype}" if is_tensor else type(pixel_values).__name__
        raise _invalid("pixel_values", "a floating-point tensor", found, hint)
    if pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
        hint = "Pass what `generate` or `decode` return."
        raise _invalid("pixel_values", "of shape (batch, 3, height, width)", f"{tuple(pixel_values.shape)}", hint)
    if not torch.isfinite(pixel_values).all():
        hint = "The model overflowed: try dtype=torch.bfloat16 or torch.float32."
        raise _invalid("pixel_values", "free of NaN and infinity", "values that are not finite", hint)
    if target_sizes is not None and len(target_sizes) != len(pixel_values):
        hint = "Give (height, width) of each content."
        raise _invalid("target_sizes", f"one size per image ({len(pixel_values)})", f"{len(target_sizes)}", hint)
    for size in target_sizes or ():
        check_size("target_sizes", size)
    if output_size is not None:
        check_size("output_size", output_size)


def check_size(name: str, size: object) -> None:
    """Raises `ValueError` unless `size` is a pair (height, width) of positive integers."""
    if not (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, Integral) and side > 0 for side in size)
    ):
        raise _invalid(name, "a pair (height, width) of positive integers", f"{size!r}", "Check order and values.")


class StyleVARImageProcessorKwargs(ImagesKwargs, total=False):
    r"""
    resize_mode (`str`, *optional*, defaults to `self.resize_mode`):
        How an image that does not have the aspect ratio of `size` is made to fit: `"stretch"`, `"center_crop"` or
        `"pad"`.
    max_image_pixels (`int`, *optional*, defaults to `self.max_image_pixels`):
        The largest `height * width` that is decoded, or that resizing may make on the way.
    """

    resize_mode: str
    max_image_pixels: int


class StyleVARImageProcessor(PilBackend):
    r"""
    Turns pictures into StyleVAR's pixels in [-1, 1] and its pixels back into pictures. Everything happens in 8-bit
    RGB with Pillow, bit for bit what the published code's `Resize(LANCZOS)` and `ToTensor` do; torchvision is not
    needed. [`load_image`] says what is accepted and how it becomes RGB.

    Args:
        do_resize (`bool`, *optional*, defaults to `True`):
            Whether to bring the images to `size`.
        size (`dict[str, int]`, *optional*, defaults to `{"height": 256, "width": 256}`):
            Height and width, in pixels, that the model reads.
        resample (`int` or `PIL.Image.Resampling`, *optional*, defaults to `Resampling.LANCZOS`):
            The filter of every resizing, in both directions.
        resize_mode (`str`, *optional*, defaults to `"stretch"`):
            `"stretch"`: resize to `size` whatever the aspect ratio, as published. `"center_crop"`: resize until the
            image covers `size`, keep the centre. `"pad"`: resize until the image fits into `size`, centre it, and
            repeat its outermost pixels up to the edge, so that no frame appears that the model would stylise.
        do_rescale (`bool`, *optional*, defaults to `True`):
            Whether to multiply the 8-bit values by `rescale_factor`. Needed when `do_normalize` is set.
        rescale_factor (`float`, *optional*, defaults to 1/255):
            Factor that maps [0, 255] to [0, 1].
        do_normalize (`bool`, *optional*, defaults to `True`):
            Whether to subtract `image_mean` and divide by `image_std`.
        image_mean (`float` or `list[float]`, *optional*, defaults to `[0.5, 0.5, 0.5]`):
            Mean of each channel.
        image_std (`float` or `list[float]`, *optional*, defaults to `[0.5, 0.5, 0.5]`):
            Standard deviation of each channel. With this mean it maps [0, 1] to [-1, 1].
        max_image_pixels (`int`, *optional*, defaults to 89478485):
            Guard against decompression bombs: the largest `height * width` that is decoded, or that resizing may
            make on the way.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARImageProcessor

    >>> processor = StyleVARImageProcessor(resize_mode="center_crop")
    >>> pixel_values = processor(["content.jpg", "style.png"], return_tensors="pt").pixel_values  # (2, 3, 256, 256)
    >>> images = processor.postprocess(pixel_values)  # two PIL images
    ```
    """

    valid_kwargs = StyleVARImageProcessorKwargs
    model_input_names = ["pixel_values"]

    do_resize = True
    size = {"height": 256, "width": 256}
    resample = PILImageResampling.LANCZOS
    resize_mode = "stretch"
    do_convert_rgb = True
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    max_image_pixels = DEFAULT_MAX_IMAGE_PIXELS

    def __init__(self, **kwargs: Unpack[StyleVARImageProcessorKwargs]):
        super().__init__(**kwargs)

    def _standardize_kwargs(self, **kwargs) -> dict:
        """Runs at construction and at every call, so the rules below hold for both."""
        kwargs = super()._standardize_kwargs(**kwargs)
        size = kwargs["size"]
        if not (size.height and size.width and size.height > 0 and size.width > 0):
            hint = "The released models read {'height': 256, 'width': 256}."
            raise _invalid("size", "a positive height and width", f"{dict(size)}", hint)
        if kwargs["resize_mode"] not in RESIZE_MODES:
            raise _invalid("resize_mode", f"one of {RESIZE_MODES}", repr(kwargs["resize_mode"]), "Choose one.")
        if kwargs["max_image_pixels"] <= 0:
            raise _invalid("max_image_pixels", "positive", f"{kwargs['max_image_pixels']}", "Leave it unset.")
        if not kwargs["do_convert_rgb"]:
            raise _invalid("do_convert_rgb", "True", "False", "StyleVAR reads RGB only.")
        if kwargs["do_normalize"] and not kwargs["do_rescale"]:
            hint = "Leave it on: floats in [0, 1] are recognised without it."
            raise _invalid("do_rescale", "True when `do_normalize` is", "False", hint)
        for name, mode in (("do_center_crop", "center_crop"), ("do_pad", "pad")):
            if kwargs.get(name):
                raise _invalid(name, "unset", "True", f'Use `resize_mode="{mode}"`.')
        return kwargs

    def _prepare_image_like_inputs(self, images: ImageInput, *args, **kwargs) -> list[np.ndarray]:
        """Flat list of uint8 arrays of shape (3, height, width)."""
        if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 4:
            images = list(images)
        if not isinstance(images, Sequence) or isinstance(images, str | bytes):
            return [self.process_image(images, name="images", **kwargs)]
        if len(images) == 0:
            raise _invalid("images", "an image or a non-empty list of images", "an empty list", "Pass at least one.")
        return [self.process_image(image, name=f"images[{i}]", **kwargs) for i, image in enumerate(images)]

    def process_image(
        self,
        image: ImageSource,
        name: str = "image",
        input_data_format: str | ChannelDimension | None = None,
        max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
        **kwargs,
    ) -> np.ndarray:
        """One image as a uint8 array of shape (3, height, width); see [`load_image`]."""
        image = load_image(image, name, max_image_pixels=max_image_pixels, input_data_format=input_data_format)
        return np.moveaxis(np.asarray(image), -1, 0)

    def _fit(
        self, image: np.ndarray, size: SizeDict, resample: int, resize_mode: str, max_image_pixels: int
    ) -> np.ndarray:
        """Brings a uint8 image of shape (3, height, width) to `size` in the way of `resize_mode`."""
        target = (size.height, size.width)
        height, width = fitted_size(*image.shape[1:], target, resize_mode)
        check_pixels(height, width, f"images resized for resize_mode={resize_mode!r}", max_image_pixels)
        image = self.resize(image, SizeDict(height=height, width=width), resample=resample)
        if resize_mode == "center_crop":
            top, left = (height - target[0]) // 2, (width - target[1]) // 2
            return image[:, top : top + target[0], left : left + target[1]]
        top, left = (target[0] - height) // 2, (target[1] - width) // 2
        margins = ((0, 0), (top, target[0] - height - top), (left, target[1] - width - left))
        return np.pad(image, margins, mode="edge")

    def fit_image(self, image: PIL.Image.Image, size: tuple[int, int], resize_mode: str) -> torch.Tensor:
        """A picture as the model sees it, `(3, *size)` in [0, 1]."""
        size = SizeDict(height=size[0], width=size[1])
        array = np.moveaxis(np.asarray(image), -1, 0)
        array = self._fit(array, size, self.resample, resize_mode, self.max_image_pixels)
        return torch.from_numpy(np.ascontiguousarray(array)).float() / 255

    def _preprocess(
        self,
        images: list[np.ndarray],
        do_resize: bool,
        size: SizeDict,
        resample: "PILImageResampling | int",
        resize_mode: str,
        max_image_pixels: int,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: float | list[float] | None,
        image_std: float | list[float] | None,
        return_tensors: str | None,
        **kwargs,
    ) -> BatchFeature:
        if do_resize:
            images = [self._fit(image, size, resample, resize_mode, max_image_pixels) for image in images]
        elif return_tensors is not None and len({image.shape for image in images}) > 1:
            sizes = sorted({image.shape[1:] for image in images})
            raise _invalid("images", "of one size when `do_resize` is False", f"{sizes}", "Set `do_resize=True`.")
        if do_rescale:
            images = [self.rescale(image, rescale_factor) for image in images]
        if do_normalize:
            images = [self.normalize(image, image_mean, image_std) for image in images]
        return BatchFeature(data={"pixel_values": images}, tensor_type=return_tensors)

    def postprocess(
        self,
        pixel_values: torch.Tensor,
        output_type: str = "pil",
        target_sizes: Sequence[tuple[int, int]] | torch.Tensor | np.ndarray | None = None,
        output_size: tuple[int, int] | None = None,
        resize_mode: str | None = None,
    ) -> list[PIL.Image.Image] | list[np.ndarray] | list[torch.Tensor] | np.ndarray | torch.Tensor:
        """
        The model's pixels as pictures.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, height, width)`):
                Values in [-1, 1]; what lies outside is clipped.
            output_type (`str`, *optional*, defaults to `"pil"`):
                `"pil"`, `"np"` (float32 in [0, 1], channels last) or `"pt"` (float32 in [0, 1], channels first).
            target_sizes (`Sequence[tuple[int, int]]`, or tensor or array of shape `(batch, 2)`, *optional*):
                Height and width of each content picture before `preprocess`, upright. The result is brought back to
                them: with `resize_mode="pad"` the padding is cut off first; with `"center_crop"` the margins are gone
                for good, so the result gets the size of the part of the content that was kept.
            output_size (`tuple[int, int]`, *optional*):
                Height and width of every result, whatever the aspect ratio, instead of those of the content.
                `target_sizes` then only tells where the padding is.
            resize_mode (`str`, *optional*):
                How the contents were made to fit. Defaults to the processor's own.

        Returns:
            `list[PIL.Image.Image]`, or one array `(batch, height, width, 3)`, or one tensor
            `(batch, 3, height, width)`. Where sizes were given, resizing happens in 8 bits, and `"np"` and `"pt"`
            give a list with one entry per image.

        Raises:
            ValueError: If the shape, the values, the output type or the sizes do not fit.
        """
        if isinstance(target_sizes, torch.Tensor | np.ndarray):
            target_sizes = target_sizes.tolist()
        _check_postprocess_arguments(pixel_values, output_type, target_sizes, output_size)
        pixels = (pixel_values.detach().float() / 2 + 0.5).clamp(0, 1).cpu()
        resized = target_sizes is not None or output_size is not None
        if output_type == "pt" and not resized:
            return pixels
        pixels = pixels.permute(0, 2, 3, 1).numpy()
        if output_type == "np" and not resized:
            return pixels
        images = [PIL.Image.fromarray(to_uint8(values, "pixel_values")) for values in pixels]
        if resized:
            contents = [None] * len(images) if target_sizes is None else target_sizes
            images = [
                self._unfit(image, size, output_size, resize_mode or self.resize_mode)
                for image, size in zip(images, contents, strict=True)
            ]
        if output_type == "pil":
            return images
        arrays = [np.asarray(image, dtype=np.float32) / 255 for image in images]
        return arrays if output_type == "np" else [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]

    def _unfit(
        self,
        image: PIL.Image.Image,
        content_size: tuple[int, int] | None,
        output_size: tuple[int, int] | None,
        resize_mode: str,
    ) -> PIL.Image.Image:
        """Undoes `_fit` as far as that is possible."""
        if content_size is not None:
            target = (image.height, image.width)
            if resize_mode == "pad":
                height, width = fitted_size(*content_size, target, "pad")
                top, left = (target[0] - height) // 2, (target[1] - width) // 2
                image = image.crop((left, top, left + width, top + height))
            elif resize_mode == "center_crop":
                scale = max(part / whole for part, whole in zip(target, content_size, strict=True))
                content_size = tuple(max(1, round(part / scale)) for part in target)
        height, width = output_size or content_size
        return image if image.size == (width, height) else image.resize((width, height), self.resample)


__all__ = ["StyleVARImageProcessor", "load_image"]
