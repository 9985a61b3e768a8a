# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The form of `POST /v1/images/edits`: every field checked, every picture read, before anything is queued."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import PIL.Image
from starlette.datastructures import FormData, UploadFile

from ..canvas_stylevar import plan_canvas
from ..configuration_stylevar import StyleVARVQConfig
from ..demo.pictures import fitted_size, read_mask_picture, read_picture
from .batching import Job
from .errors import ApiError
from .settings import ServerSettings


MAX_FILES = 8
MAX_FIELDS = 40
MAX_FIELD_BYTES = 64 * 1024
FORMATS = ("png", "jpeg", "webp")
# OpenAI's fields that its clients send, or demand, and that change nothing here: this model reads no text.
WITHOUT_EFFECT = ("prompt", "user", "safety_identifier", "quality", "background", "input_fidelity", "moderation")
CONTENT_NAMES = ("image", "image[]")
STYLE_NAMES = ("style", "style[]")
MAP_NAMES = ("mask", "strength_map")
# Those that need no weights and no target. A name of anything else would have the server load what a stranger names.
RANKERS = ("texture-statistics", "color-statistics")


@dataclass
class EditRequest:
    """
    What a request asks for.

    Args:
        job ([`Job`]):
            What to paint.
        stream (`bool`):
            Whether to answer with events.
        response_format (`str`):
            `"b64_json"` or `"url"`.
        output_format (`str`):
            `"png"`, `"jpeg"` or `"webp"`.
        output_compression (`int`):
            Quality of JPEG and WebP, 0 to 100.
    """

    job: Job
    stream: bool
    response_format: str
    output_format: str
    output_compression: int


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _real(low: float = -math.inf, high: float = math.inf) -> Callable[[str], float]:
    rule = "a number" if math.isinf(low) else f"a number from {low:g} to {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(rule)
        return value

    return parse


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("true or false")
    return text.lower() in ("true", "1")


def _size(text: str) -> str | tuple[int, int]:
    """`"auto"`, `"model"`, or the (height, width) of `"WIDTHxHEIGHT"`."""
    if text in ("auto", "model"):
        return text
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise ValueError("auto, model or WIDTHxHEIGHT")
    return int(match[2]), int(match[1])


def _numbers(text: str) -> tuple[float, ...]:
    parse = _real()
    try:
        return tuple(parse(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError("numbers with commas between them") from error


def _strengths(text: str) -> str | tuple[float, ...]:
    return text if text.isalpha() else _numbers(text)


# The fields that go to the pipeline's call as they are; it checks what goes beyond the kind of value.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "do_sample": _flag,
    "top_k": _whole(0, 2**31),
    "top_p": _real(),
    "temperature": _real(),
    "keep_colors": _real(0, 1),
    "strength_per_scale": _strengths,
    "fit": _one_of("stretch", "crop", "pad"),
    "mask_feather": _whole(0, 512),
    "rank_by": _one_of(*RANKERS),
}


class _Fields:
    """The text fields of a form, each taken once; what is left at the end nobody knows."""

    def __init__(self, form: FormData):
        self.values: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                continue
            if name in self.values:
                raise ApiError(400, f"`{name}` must be given once, but came twice.", name)
            self.values[name] = value

    def take(self, name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
        text = self.values.pop(name, "")
        if text == "":
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise ApiError(400, f"`{name}` must be {error}, but got {text[:100]!r}.", name) from error

    def refuse_the_rest(self) -> None:
        if self.values:
            name = next(iter(self.values))
            raise ApiError(400, f"`{name[:100]}` is not a field of this server. Check its spelling.", name[:100])


def read_form(form: FormData, settings: ServerSettings, vq_config: StyleVARVQConfig) -> EditRequest:
    """
    Check a form and read its pictures. Decoding takes a while: call it in a thread.

    Args:
        form (`starlette.datastructures.FormData`):
            The fields and files.
        settings ([`ServerSettings`]):
            The limits.
        vq_config ([`StyleVARVQConfig`]):
            Of the model: its scales, from which those of the partial pictures are chosen, and its size.

    Returns:
        [`EditRequest`]

    Raises:
        ApiError: Of status 400 or 404, if anything is not as it must be.
    """
    num_scales = len(vq_config.patch_nums)
    # 1. The fields, of which all are checked before a picture is decoded
    fields = _Fields(form)
    for name in WITHOUT_EFFECT:
        fields.take(name, str)
    model = fields.take("model", str, settings.model_name)
    if model != settings.model_name:
        message = f"`model` must be {settings.model_name!r}, but got {model[:100]!r}."
        raise ApiError(404, message, "model", "model_not_found")
    number = fields.take("n", _whole(1, settings.max_images), 1)
    seed = fields.take("seed", _whole(0, 2**63 - 1 - number))
    if seed is None:
        seed = random.SystemRandom().randrange(2**31)
    style_strength = fields.take("style_strength", _real(-1, 1), 0.0)
    size = fields.take("size", _size, "auto")
    if not isinstance(size, str) and max(size) > settings.max_output_side:
        raise ApiError(400, f"`size` must be at most {settings.max_output_side} pixels on each side.", "size")
    stream = fields.take("stream", _flag, False)
    if stream and number > 1:
        raise ApiError(400, f"`n` must be 1 in a stream, but got {number}. Ask once for each picture.", "n")
    partial_images = fields.take("partial_images", _whole(0, num_scales - 1), 0)
    if partial_images and not stream:
        raise ApiError(400, "`partial_images` must be 0 without `stream`. Set `stream=true`.", "partial_images")
    response_format = fields.take("response_format", _one_of("b64_json", "url"), "b64_json")
    output_format = fields.take("output_format", _one_of(*FORMATS), "png")
    output_compression = fields.take("output_compression", _whole(0, 100), 95)
    options = {name: fields.take(name, parse) for name, parse in OPTIONS.items()}
    options["paint_size"] = fields.take("paint_size", _whole(1, settings.max_paint_size))
    options["num_candidates"] = fields.take("num_candidates", _whole(1, settings.max_candidates), 1)
    blend = fields.take("blend", _numbers)
    fields.refuse_the_rest()
    options = {name: value for name, value in options.items() if value is not None}
    _check_together(number, partial_images, options)

    # 2. The pictures
    content, styles, maps = _read_pictures(form, settings)
    if blend is not None and len(blend) != len(styles):
        message = f"`blend` must hold one weight per style ({len(styles)}), but got {len(blend)}."
        raise ApiError(400, message, "blend")
    if size == "auto":
        size = "content"
        if max(content.size) > settings.max_output_side:
            size = fitted_size(content.size, settings.max_output_side)[::-1]
    job = Job(
        content,
        styles,
        seeds=tuple(range(seed, seed + number)),
        style_strength=style_strength,
        output_size=size,
        options={**options, **maps},
        blend=blend,
        cost=_cost(content, options, vq_config),
        partial_scales=_partial_scales(partial_images, num_scales),
    )
    return EditRequest(job, stream, response_format, output_format, output_compression)


def _partial_scales(number: int, num_scales: int) -> frozenset[int]:
    """Which scales to show: evenly spread, and never the last, which is the result."""
    return frozenset((k + 1) * num_scales // (number + 1) - 1 for k in range(number))


def _check_together(number: int, partial_images: int, options: dict[str, Any]) -> None:
    """What excludes each other, or needs each other."""
    if options["num_candidates"] == 1:
        del options["num_candidates"]
        if "rank_by" in options:
            raise ApiError(400, "`num_candidates` must be 2 or more with `rank_by`. Say how many to draw.", "rank_by")
    elif number > 1:
        raise ApiError(400, f"`n` must be 1 with `num_candidates`, but got {number}. The best one is returned.", "n")
    else:
        options.setdefault("rank_by", RANKERS[0])
    alone = next((name for name in ("num_candidates", "paint_size") if name in options), None)
    if partial_images and alone:
        raise ApiError(400, f"`partial_images` must be 0 with `{alone}`. Leave it out.", "partial_images")


def _cost(content: PIL.Image.Image, options: dict[str, Any], vq_config: StyleVARVQConfig) -> int:
    """Pictures of the model's size that one result takes."""
    cost = options.get("num_candidates", 1)
    if "paint_size" in options:
        try:
            canvas = plan_canvas((content.height, content.width), options["paint_size"], vq_config)
        except ValueError as error:
            raise ApiError(400, str(error), "paint_size") from error
        cost *= len(canvas.windows)
    return cost


def _read_pictures(
    form: FormData, settings: ServerSettings
) -> tuple[PIL.Image.Image, tuple[PIL.Image.Image, ...], dict[str, PIL.Image.Image]]:
    """The content, the styles, and the maps over the content."""
    files: dict[str, list[UploadFile]] = {"image": [], "style": [], "mask": [], "strength_map": []}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in CONTENT_NAMES + STYLE_NAMES + MAP_NAMES:
                raise ApiError(400, f"`{name[:100]}` is not a file of this server. Send `image[]`.", name[:100])
            kind = name if name in MAP_NAMES else "image" if name in CONTENT_NAMES else "style"
            files[kind].append(value)
    if not files["image"] or len(files["image"]) + len(files["style"]) < 2:
        raise ApiError(
            400,
            "`image[]` must hold the content and a style, but there are not both. Send the style as the second "
            "one, or as `style`.",
            "image",
        )
    for name in MAP_NAMES:
        if len(files[name]) > 1:
            raise ApiError(400, f"`{name}` must be one picture, but got {len(files[name])}.", name)
    content, *styles = [*files["image"], *files["style"]]
    return (
        _read(content, "content", settings),
        tuple(_read(style, "style", settings) for style in styles),
        {name: _read(files[name][0], name, settings, read_mask_picture) for name in MAP_NAMES if files[name]},
    )


def _read(
    upload: UploadFile, name: str, settings: ServerSettings, read: Callable[..., PIL.Image.Image] = read_picture
) -> PIL.Image.Image:
    try:
        return read(upload.file, name, settings.max_body_megabytes, settings.max_pixels)
    except ValueError as error:
        raise ApiError(400, str(error), "image", "invalid_image") from error


__all__ = ["MAX_FIELDS", "MAX_FIELD_BYTES", "MAX_FILES", "RANKERS", "EditRequest", "read_form"]
