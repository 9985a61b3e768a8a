# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
One way to read a picture, for everything in this package: [`load_image`].

Pictures of the world are upright, 8-bit and sRGB only after somebody has seen to it. `load_image` reads the bytes of
the file, so that what comes out does not depend on who opened it, or how:

1. bytes from a path, a URL or a PIL image that is still open ([`load_image`]);
2. the picture in them, with what its file says about it ([`read_bytes`]); a file whose metadata Pillow cannot read
   is read without them (`image_files_stylevar.py`);
3. decoded to the last byte, turned upright, converted to sRGB, laid on white ([`decode`]).
"""

import io
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import torch
from huggingface_hub import get_session
from transformers.image_utils import ChannelDimension

from .image_colors_stylevar import to_rgb
from .image_files_stylevar import Metadata, metadata_of, read_metadata, without_metadata


# The size above which Pillow itself warns of a decompression bomb.
DEFAULT_MAX_IMAGE_PIXELS = 89_478_485
# From the request to the last byte, redirections included.
URL_TIMEOUT_SECONDS = 30.0
URL_MAX_BYTES = 100 * 2**20

ImageSource = str | os.PathLike | PIL.Image.Image | np.ndarray | torch.Tensor

_TRANSPOSITIONS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


class UnusableImageError(ValueError):
    """
    A picture that cannot be used.

    Args:
        message (`str`):
            The whole message.
        kind (`str`):
            `"missing"`, `"unreadable"`, `"no image"`, `"size"`, `"frames"`, `"damaged"` or `"values"`.
        size (`tuple[int, int]`, *optional*):
            Width and height of a picture that is too large.
    """

    def __init__(self, message: str, kind: str = "values", size: tuple[int, int] | None = None):
        super().__init__(message)
        self.kind = kind
        self.size = size


def _invalid(name: str, rule: str, value: str, hint: str, kind: str = "values") -> UnusableImageError:
    return UnusableImageError(f"`{name}` must be {rule}, but got {value}. {hint}", kind)


def load_image(
    source: ImageSource,
    name: str = "image",
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    input_data_format: str | ChannelDimension | None = None,
) -> PIL.Image.Image:
    """
    Reads one picture completely and returns it upright, in 8-bit sRGB, without metadata.

    The orientation is applied. Colours are converted from the picture's ICC profile to sRGB, where it has one that
    fits its mode; without, RGB is taken for sRGB. Transparency is composited on white. 16-bit grey (modes `I` and
    `I;16`, arrays of uint16) is scaled to 8 bits, not clipped. Of an MPO file (a JPEG that carries a second view or a
    gain map) the first picture is read, of a TIFF file the one that is no thumbnail. Metadata that cannot be read are
    as good as none: they never refuse a picture.

    Args:
        source (`str`, `os.PathLike`, `PIL.Image.Image`, `np.ndarray` or `torch.Tensor`):
            A path, an http(s) URL, a PIL image of any mode, or an array of shape `(height, width)`,
            `(height, width, channels)` or `(channels, height, width)` with 1, 3 or 4 channels. Arrays hold floats
            in [0, 1] (up to 0.001 outside is taken for rounding), integers in [0, 255], booleans, or uint16 in
            [0, 65535]. Where both channel orders would fit, tensors are read channels first and numpy arrays channels
            last. A URL has 30 seconds for at most 100 MiB.
        name (`str`, *optional*, defaults to `"image"`):
            What error messages call the source.
        max_image_pixels (`int`, *optional*, defaults to 89478485):
            The largest `height * width` that is decoded.
        input_data_format (`str` or `ChannelDimension`, *optional*):
            `"channels_first"` or `"channels_last"`, to settle the channel order of an array.

    Returns:
        `PIL.Image.Image`: The decoded picture, mode `RGB`, with an empty `info`.

    Raises:
        ValueError: If the source is missing, unreachable, not an image, damaged, animated or larger than
            `max_image_pixels`, or if an array has the wrong shape, range or dtype. (It is an `UnusableImageError`,
            whose `kind` tells which.)
    """
    if isinstance(source, np.ndarray | torch.Tensor):
        return _image_from_array(source, name, max_image_pixels, input_data_format)
    if isinstance(source, PIL.Image.Image):
        shown = f"a PIL image of mode {source.mode!r}"
        data = _bytes_of_image(source)
        if data is None:
            check_pixels(source.height, source.width, name, max_image_pixels)
            return decode(source, metadata_of(source), name, shown)
        return read_bytes(data, name, shown, max_image_pixels)
    if not isinstance(source, str | os.PathLike):
        rule = "an image: a path, a URL, a PIL image, a numpy array or a torch tensor"
        raise _invalid(name, rule, f"{type(source).__name__}", "Pass one of these, or a flat list of them.")
    place = os.fspath(source)
    return read_bytes(read_source(place, name), name, repr(place), max_image_pixels)


# 1. Bytes


def read_source(source: str, name: str) -> bytes:
    """
    The bytes of a file or of an http(s) URL.

    Raises:
        ValueError: If there is none that can be read, or a URL sends more than `URL_MAX_BYTES` or takes longer than
            `URL_TIMEOUT_SECONDS`.
    """
    if source.startswith(("http://", "https://")):
        return _download(source, name)
    path = Path(source)
    if os.path.isdir(path):  # not `Path.is_dir`, which raises if the name is too long, as an encoded picture would be
        raise _invalid(name, "an image file", f"the folder {source!r}", "Pass the files in it.", "missing")
    if not os.path.isfile(path):
        rule = "an existing image file or an http(s) URL"
        source = source if len(source) <= 500 else f"{source[:500]}..."
        raise _invalid(name, rule, repr(source), "Check the path.", "missing")
    try:
        return path.read_bytes()
    except OSError as error:
        hint = f"Check its permissions ({error})."
        raise _invalid(name, "a readable file", repr(source), hint, "unreadable") from error


def _download(url: str, name: str) -> bytes:
    """The body of a URL. The wait ends at the deadline even where a server sends a byte a minute."""
    limits = f"{URL_MAX_BYTES // 2**20} MiB in {URL_TIMEOUT_SECONDS:g} s"
    received: list[bytes] = []
    failure: list[Exception] = []
    stopped = threading.Event()
    deadline = time.monotonic() + URL_TIMEOUT_SECONDS

    def receive() -> None:
        try:
            stream = get_session().stream("GET", url, follow_redirects=True, timeout=URL_TIMEOUT_SECONDS)
            with stream as response:
                response.raise_for_status()
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if stopped.is_set() or size > URL_MAX_BYTES:
                        raise OSError(f"more than {limits}")
                    received.append(chunk)
        except Exception as error:  # httpx raises a dozen types
            failure.append(error)

    worker = threading.Thread(target=receive, daemon=True)
    worker.start()
    worker.join(max(0.0, deadline - time.monotonic()))
    if worker.is_alive():
        stopped.set()
        failure.append(OSError(f"no end after {URL_TIMEOUT_SECONDS:g} s"))
    if failure:
        hint = f"Check the address and the network ({' '.join(str(failure[0]).split()) or type(failure[0]).__name__})."
        raise _invalid(name, f"a URL that can be downloaded, at most {limits}", repr(url), hint, "missing") from (
            failure[0]
        )
    return b"".join(received)


def _bytes_of_image(image: PIL.Image.Image) -> bytes | None:
    """
    The file of a PIL image that was opened and not yet decoded; `None` for all others.

    Pillow decodes a turned TIFF file that it opened by its path into a scrambled picture: that is noticed afterwards,
    too, if the file is still there and the picture still what Pillow made of it.
    """
    if not isinstance(image, PIL.ImageFile.ImageFile):
        return None
    try:
        if not image.tile:
            turned = image.format == "TIFF" and bool(image.filename) and _is_scrambled(image)
            return Path(image.filename).read_bytes() if turned else None
        position = image.fp.tell()
        image.fp.seek(0)
        data = image.fp.read()
        image.fp.seek(position)
        with _without_warnings(), PIL.Image.open(io.BytesIO(data)) as again:
            asked_for_less = again.size != image.size or image.tell() != 0  # by `draft` or `seek`
        return None if asked_for_less else data
    except Exception:  # whatever it is, decoding what we have will tell
        return None


def _is_scrambled(image: PIL.ImageFile.ImageFile) -> bool:
    """Whether a decoded TIFF image is what Pillow makes of its file by the path, and that file's picture is turned."""
    with PIL.Image.open(image.filename) as again:
        return again.getexif().get(0x0112, 1) >= 5 and again.tobytes() == image.tobytes()


# 2. The picture in the bytes


def read_bytes(
    data: bytes,
    name: str,
    shown: str,
    max_image_pixels: int,
    formats: tuple[str, ...] | None = None,
    max_side: int | None = None,
) -> PIL.Image.Image:
    """
    The picture in the bytes of a file, as [`load_image`] returns it.

    Args:
        data (`bytes`): The file.
        name (`str`): What error messages call the picture.
        shown (`str`): How they show it.
        max_image_pixels (`int`): The largest `height * width` that is decoded.
        formats (`tuple[str, ...]`, *optional*): The formats of Pillow that are allowed; by default all.
        max_side (`int`, *optional*): The longest side that is decoded.

    Raises:
        ValueError: As for [`load_image`].
    """
    limits = (max_image_pixels, formats, max_side)
    try:
        image, metadata = _open_bytes(data, name, shown, *limits)
        with image:
            return decode(image, metadata, name, shown)
    except UnusableImageError as error:
        # The picture may be whole, and what is said about it broken.
        if error.kind not in ("no image", "damaged") or (plain := without_metadata(data)) is None:
            raise
        try:
            with _open_bytes(plain[0], name, shown, *limits)[0] as image:
                return decode(image, plain[1], name, shown)
        except UnusableImageError as second:
            if second.kind in ("no image", "damaged"):
                raise error from error.__cause__
            raise


def _open_bytes(
    data: bytes,
    name: str,
    shown: str,
    max_image_pixels: int,
    formats: tuple[str, ...] | None,
    max_side: int | None,
) -> tuple[PIL.Image.Image, Metadata]:
    """The picture of a file, not decoded yet, and what the file says. Raises `ValueError` if there is none."""
    with _without_warnings():
        try:
            image = PIL.Image.open(io.BytesIO(data), formats=formats)
        except PIL.UnidentifiedImageError as error:
            found = f"{shown}, which Pillow cannot read"
            raise _invalid(name, "an image file", found, "Save it as PNG.", "no image") from error
        except PIL.Image.DecompressionBombError as error:
            hint = f"Shrink the file first; Pillow refuses it ({error})."
            raise _invalid(name, f"an image of at most {max_image_pixels} pixels", shown, hint, "size") from error
        except Exception as error:  # Pillow's decoders raise whatever they trip over: SyntaxError, struct.error, ...
            raise _damaged(name, shown, error) from error
        # Before the metadata, for which Pillow may decode the whole picture.
        check_pixels(image.height, image.width, name, max_image_pixels)
        if max_side is not None and max(image.size) > max_side:
            found = f"{image.width} x {image.height}"
            error = _invalid(name, f"at most {max_side} pixels on a side", found, "Shrink it first.", "size")
            error.size = image.size
            raise error
        try:
            return image, read_metadata(image, data)
        except Exception as error:
            raise _damaged(name, shown, error) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns of metadata that it cannot read, and above a limit of its own; `check_pixels` applies ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        yield


def _damaged(name: str, shown: str, error: Exception) -> UnusableImageError:
    hint = f"It may be truncated: copy or download it again ({' '.join(str(error).split()) or type(error).__name__})."
    return _invalid(name, "a complete image", f"{shown}, which cannot be decoded", hint, "damaged")


# 3. Decoded


def decode(image: PIL.Image.Image, metadata: Metadata, name: str, shown: str) -> PIL.Image.Image:
    """Decodes an opened image to the last byte, turns it upright and converts it to plain sRGB."""
    if metadata.num_frames > 1:
        found = f"{shown} with {metadata.num_frames} frames"
        raise _invalid(name, "a still image", found, "Save the frame you want as an image of its own.", "frames")
    with _without_warnings():
        try:
            image.load()
        except Exception as error:  # as for `PIL.Image.open`
            raise _damaged(name, shown, error) from error
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image, metadata, name, shown)
    try:
        image = to_rgb(image, metadata.profile)
    except (ValueError, KeyError) as error:
        hint = f"Convert it with another program first ({error})."
        raise _invalid(name, "an image that Pillow can convert to RGB", shown, hint) from error
    # Pillow has turned a TIFF file when it decoded it.
    transposition = None if metadata.format == "TIFF" else _TRANSPOSITIONS.get(metadata.orientation)
    if transposition is not None:
        image = image.transpose(transposition)
    image.info = {}
    return image


def _eight_bits(image: PIL.Image.Image, metadata: Metadata, name: str, shown: str) -> PIL.Image.Image:
    """16-bit or floating-point grey as 8-bit grey, with the transparent value as transparency."""
    values = np.asarray(image)
    if image.mode == "I":
        if values.min() < 0 or values.max() > 65535:
            found = f"{shown} with values in [{values.min()}, {values.max()}]"
            raise _invalid(name, "16-bit grey in [0, 65535] where its mode is 'I'", found, "Rescale it.")
    transparent = image.info.get("transparency")
    alpha = None
    if isinstance(transparent, int) and image.mode != "F":
        alpha = PIL.Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    if image.mode != "F":
        values = values.astype(np.uint32)
        if metadata.bits_per_sample < 16:  # 12 bits are 0 to 4095
            values = np.minimum(values * 65535 // (2**metadata.bits_per_sample - 1), 65535)
        values = values.astype(np.uint16)
    if metadata.white_is_zero:
        values = 1 - values if image.mode == "F" else 65535 - values
    grey = PIL.Image.fromarray(to_uint8(values, name))
    if alpha is not None:
        grey.putalpha(alpha)
    return grey


def check_pixels(height: int, width: int, name: str, max_image_pixels: int) -> None:
    """Raises `ValueError` unless so many pixels may be decoded."""
    if height * width == 0:
        hint = "Check how it was made."
        raise _invalid(name, "a non-empty image", f"height {height} and width {width}", hint, "size")
    if height * width > max_image_pixels:
        hint = "Shrink it first, or raise `max_image_pixels` if you trust it."
        value = f"{height} x {width} = {height * width}"
        error = _invalid(name, f"an image of at most {max_image_pixels} pixels", value, hint, "size")
        error.size = (width, height)
        raise error


# Arrays


def _image_from_array(
    source: np.ndarray | torch.Tensor,
    name: str,
    max_image_pixels: int,
    input_data_format: str | ChannelDimension | None,
) -> PIL.Image.Image:
    """An array or a tensor as an 8-bit RGB image; the rules are those of `load_image`."""
    is_tensor = isinstance(source, torch.Tensor)
    if is_tensor:
        source = source.detach().cpu()
        source = (source.float() if source.dtype == torch.bfloat16 else source).numpy()
    if source.ndim == 3:
        fits = {
            ChannelDimension.FIRST: source.shape[0] in (1, 3, 4),
            ChannelDimension.LAST: source.shape[-1] in (1, 3, 4),
        }
        preferred = ChannelDimension.FIRST if is_tensor else ChannelDimension.LAST
        if input_data_format is not None:
            preferred = ChannelDimension(input_data_format)
            fits = {preferred: fits.get(preferred, False)}
        order = preferred if fits[preferred] else next((order for order, fit in fits.items() if fit), None)
        if order == ChannelDimension.FIRST:
            source = np.moveaxis(source, 0, -1)
    if source.ndim not in (2, 3) or (source.ndim == 3 and order is None):
        rule = "of shape (height, width) or with 1, 3 or 4 channels first or last"
        hint = "Pass one image per list entry, in RGB or grey."
        raise _invalid(name, rule, f"shape {tuple(source.shape)}", hint)
    check_pixels(*source.shape[:2], name, max_image_pixels)
    values = to_uint8(source, name)
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    image = PIL.Image.fromarray(np.ascontiguousarray(values))
    return decode(image, metadata_of(image), name, "an array")


def to_uint8(values: np.ndarray, name: str) -> np.ndarray:
    """Array of any accepted dtype, in the range of that dtype, as uint8 in [0, 255]."""
    kind = values.dtype.kind
    if kind == "b":
        return values.astype(np.uint8) * 255
    if kind not in "fiu":
        raise _invalid(name, "an array of floats, integers or booleans", f"dtype {values.dtype}", "Convert it first.")
    if kind == "f" and not np.isfinite(values).all():
        raise _invalid(name, "free of NaN and infinity", "values that are not finite", "Check how it was made.")
    if kind == "u" and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    low, high = values.min(), values.max()
    limit, tolerance = (1, 1e-3) if kind == "f" else (255, 0)  # arithmetic on floats leaves some outside by rounding
    if low < -tolerance or high > limit + tolerance:
        hint = "Floats go from 0 to 1 (map [-1, 1] by `x / 2 + 0.5`), integers from 0 to 255."
        raise _invalid(name, f"in [0, {limit}] for dtype {values.dtype}", f"values in [{low}, {high}]", hint)
    if kind != "f":
        return values.astype(np.uint8)
    return np.floor(values.astype(np.float64).clip(0, 1) * 255 + 0.5).astype(np.uint8)


__all__ = ["DEFAULT_MAX_IMAGE_PIXELS", "ImageSource", "UnusableImageError", "load_image", "read_bytes"]
