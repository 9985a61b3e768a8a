# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of data sets, read as everywhere else: by `load_image`'s rules and not by those of `datasets.Image`, which
leaves ICC profiles be, takes over what Pillow makes of turned TIFF files, and stops at rubbish in EXIF data.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import datasets
import PIL.Image
from datasets.utils.file_utils import xopen

from ..image_processing_stylevar import load_image
from ..image_reading_stylevar import DEFAULT_MAX_IMAGE_PIXELS, read_bytes, read_source


# Part of the keys of caches: what was made of pictures that were read by other rules is made again.
READING_RULES = 2


def read_stored(
    value: Any, name: str = "image", max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS, token: Any = None
) -> PIL.Image.Image:
    """
    The picture that a row holds, upright and in 8-bit sRGB.

    Args:
        value (`dict`, `str` or `PIL.Image.Image`):
            `{"path": str or None, "bytes": bytes or None}`, as `datasets.Image(decode=False)` gives it; a path, a URL
            or a PIL image.
        name (`str`, *optional*, defaults to `"image"`):
            What error messages call it.
        max_image_pixels (`int`, *optional*):
            The largest `height * width` that is decoded.
        token (`str`, *optional*):
            For files of a private repository.

    Raises:
        ValueError: If it cannot be used.
    """
    if not isinstance(value, dict):
        return load_image(value, name, max_image_pixels)
    data, path = value.get("bytes"), value.get("path")
    if data is None and path is None:
        raise ValueError(f"`{name}` must be an image, but got neither bytes nor a path. Check how the row was made.")
    shown = "the bytes of a row" if path is None else repr(path)
    if data is None:
        data = _read_remote(path, name, token) if _is_remote(path) else read_source(path, name)
    return read_bytes(data, name, shown, max_image_pixels)


def _is_remote(path: str) -> bool:
    """Whether `datasets` knows how to reach a file: on the Hub, in an archive. Plain URLs have limits of ours."""
    is_plain_url = path.startswith(("http://", "https://")) and "::" not in path
    on_the_hub = path.startswith(datasets.config.HF_ENDPOINT)
    return ("://" in path and not is_plain_url) or on_the_hub


def _read_remote(path: str, name: str, token: Any) -> bytes:
    try:
        with xopen(path, "rb", download_config=datasets.DownloadConfig(token=token)) as file:
            return file.read()
    except Exception as error:  # whatever the file systems raise
        found = f"{path!r} ({' '.join(str(error).split()) or type(error).__name__})"
        raise ValueError(f"`{name}` must be a file that can be read, but got {found}. Check the network.") from error


class Picture(datasets.Image):
    """
    `datasets.Image` that decodes by the rules of this package. Written to disk or to the Hub it is a plain
    `datasets.Image`, and it equals one.
    """

    # `datasets` looks up the field of its own class.
    pa_type: ClassVar[Any] = datasets.Image.pa_type

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> PIL.Image.Image:
        if not self.decode:
            raise RuntimeError("Decoding is disabled for this feature. Use `Picture()` instead.")
        token = next(iter((token_per_repo_id or {}).values()), None)
        image = read_stored(value, token=token)
        return image if self.mode in (None, image.mode) else image.convert(self.mode)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, datasets.Image) and (self.mode, self.decode) == (other.mode, other.decode)

    __hash__ = None


def with_pictures(dataset: Any) -> Any:
    """
    A data set whose columns of images are [`Picture`]s, or a dict of them; anything else is returned as it is. The
    images of a stream that was mapped are decoded already.
    """
    if isinstance(dataset, Mapping):
        return {name: with_pictures(part) for name, part in dataset.items()}
    if not isinstance(dataset, datasets.Dataset | datasets.IterableDataset) or dataset.features is None:
        return dataset
    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Image) and feature.decode and not isinstance(feature, Picture):
            dataset = dataset.cast_column(column, Picture(mode=feature.mode))
    return dataset


__all__ = ["READING_RULES", "Picture", "read_stored", "with_pictures"]
