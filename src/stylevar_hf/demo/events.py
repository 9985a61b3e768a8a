# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the page does when something is uploaded, painted or chosen. The parts of the page go by their names here."""

import random
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import PIL.Image
import torch

from .._common.version import __version__
from ..pipeline_stylevar import StyleVARPipeline
from .controls import Controls
from .painting import Frame, paint
from .pictures import contact_sheet, fitted_size, read_picture, save_result, shown


MAX_VARIANTS = 4
MAX_SEED = 2**31 - 1
# Longest side of a result: more pixels than the content has, or than this, would only be larger, not sharper.
MAX_RESULT_SIDE = 1024
MAX_HISTORY = 24
OF_CONTENT, AS_PAINTED = SHAPES = ["As the content", "Square, as painted"]


def stylize(
    pipe: StyleVARPipeline,
    model_name: str,
    content: str | None,
    style: str | None,
    style_strength: float,
    seed: int | None,
    new_seed: bool,
    num_images: int,
    shape: str,
    previews: bool,
    **controls: Any,
) -> Iterator[dict[str, Any]]:
    """
    From the click to the results.

    Args:
        pipe ([`StyleVARPipeline`]): The model.
        model_name (`str`): What the results call it.
        content, style (`str`, *optional*): The uploaded files.
        style_strength (`float`): In [-1, 1].
        seed (`int`, *optional*): Of the first variant; the next ones count up. `None` draws one.
        new_seed (`bool`): Whether to draw one anyway.
        num_images (`int`): How many variants, 1 to 4.
        shape (`str`): One of `SHAPES`.
        previews (`bool`): Whether to show the picture after each scale.
        controls: Those of [`Controls`].

    Yields:
        `dict[str, Any]`: What becomes of the parts of the page.

    Raises:
        gradio.Error: One sentence for the page, if a picture or a setting is refused or memory runs out.
    """
    # 1. Check everything, before the model does anything
    content_image, style_image = _read(content, "content"), _read(style, "style")
    if new_seed or seed is None:
        seed = random.SystemRandom().randrange(MAX_SEED)
    _check_settings(style_strength, seed, num_images, shape)
    asked = Controls(**controls)
    with _worded():
        asked.check(pipe)
        arguments = asked.call_arguments(pipe, num_images)
        style_image = asked.style(pipe, style_image)
    if shape == OF_CONTENT:
        height, width = _result_size(pipe, content_image, arguments["paint_size"])
        content_image = content_image.resize((width, height), PIL.Image.Resampling.LANCZOS)
    yield {
        "live": gr.update(visible=True, value=None),
        "compare": gr.update(visible=False),
        "variants": gr.update(visible=False, value=None),
        "download": gr.update(interactive=False),
        "status": "Looking at the pictures ...",
        "seed": seed,
    }

    # 2. Paint, and show every scale
    start = time.perf_counter()
    for frame in _explained(
        paint(
            pipe,
            content_image,
            style_image,
            output_size="content" if shape == OF_CONTENT else "model",
            fit="pad" if shape == OF_CONTENT else "crop",
            previews=previews,
            seed=seed,
            style_strength=style_strength,
            num_images=num_images,
            **arguments,
        )
    ):
        if not frame.done:
            preview = {"live": shown(contact_sheet(frame.images))} if frame.images else {}
            yield {"status": f"Scale {frame.scale} of {frame.num_scales}: {frame.side} x {frame.side}", **preview}
    seconds = time.perf_counter() - start

    # 3. Hand over the results; Gradio copies the files before it asks for more
    with tempfile.TemporaryDirectory(prefix="stylevar-demo-") as folder:
        settings = {"software": f"stylevar-hf {__version__}", "model": model_name, "style_strength": style_strength}
        settings |= {"shape": shape, **asked.settings()}
        files = [
            save_result(image, Path(folder), {**settings, "seed": seed + image.info.get("candidate", k)})
            for k, image in enumerate(frame.images)
        ]
        yield {
            "live": gr.update(visible=False),
            "compare": gr.update(visible=True, value=_comparison(content_image, frame.images[0])),
            "variants": gr.update(
                visible=num_images > 1, value=[(file, str(k)) for k, file in enumerate(files, start=1)]
            ),
            "download": gr.update(value=files[0], interactive=True),
            "status": f"Painted in {seconds:.1f} s. Seed {seed}. Drag the handle to compare.",
        }


def check_upload(path: str | None, name: str) -> Any:
    """Refuses a bad picture when it arrives, and takes it off the page."""
    try:
        if path is not None:
            read_picture(path, name)
    except ValueError as error:
        gr.Warning(str(error), title="Not this picture")
        return None
    return gr.skip()


def pick(variants: list[tuple[str, str]], content: str | None, event: gr.SelectData) -> tuple[Any, Any]:
    """The chosen variant: what the slider compares and what the button downloads."""
    file = variants[event.index][0]
    # Whoever asks may name any upload: it is read as one.
    comparison = _comparison(_read(content, "content"), _read(file, "chosen"))
    return comparison, gr.update(value=file, interactive=True)


def _read(path: str | None, name: str) -> PIL.Image.Image:
    with _worded():
        return read_picture(path, name)


@contextmanager
def _worded() -> Iterator[None]:
    """Sentences for the page that are raised as `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise _message(str(error)) from error


def _message(text: str) -> gr.Error:
    return gr.Error(text, title="That did not work", print_exception=False)


def _check_settings(style_strength: float, seed: int, num_images: int, shape: str) -> None:
    """The page keeps to these; a client of the API may not."""
    if not -1 <= style_strength <= 1:
        raise _message("The style strength must be between -1 and 1.")
    if not 0 <= seed <= MAX_SEED:
        raise _message(f"The seed must be between 0 and {MAX_SEED}.")
    if num_images not in range(1, MAX_VARIANTS + 1):
        raise _message(f"There can be 1 to {MAX_VARIANTS} variants.")
    if shape not in SHAPES:
        raise _message(f"The shape must be one of: {', '.join(SHAPES)}.")


def _result_size(pipe: StyleVARPipeline, content: PIL.Image.Image, paint_size: int | None) -> tuple[int, int]:
    """Height and width of a result in the proportions of its content."""
    side = min(max(*content.size, pipe.model.config.image_size), MAX_RESULT_SIDE)
    if paint_size is not None:
        side = round(paint_size * max(content.size) / min(content.size))
    width, height = fitted_size(content.size, side)
    return height, width


def remember(
    variants: list[tuple[str, str]] | None, history: list[dict[str, Any]], settings: dict[str, Any]
) -> Iterator[tuple[list[dict[str, Any]], Any, Any]]:
    """
    After a painting.

    Args:
        variants (list of pairs): Files and names of the new pictures.
        history (list of `dict`): Those of the session so far, oldest first.
        settings (`dict`): Of the page, by the names of its parts.

    Yields:
        `tuple`: The history with the new pictures, as the page shows it, and all of it to download.
    """
    history = [*history, *({"file": file, "settings": settings} for file, _ in variants or ())][-MAX_HISTORY:]
    there = [(entry["file"], str(number)) for number, entry in enumerate(history, start=1)]
    with tempfile.TemporaryDirectory(prefix="stylevar-demo-") as folder:
        archive = Path(folder) / "stylevar.zip"
        with zipfile.ZipFile(archive, "w") as pack:
            for file, number in there:
                if Path(file).is_file():  # the oldest may have been deleted
                    pack.write(file, f"{int(number):02d}_{Path(file).name}")
        yield (
            history,
            gr.update(value=there, visible=bool(there)),
            gr.update(value=str(archive), interactive=bool(there)),
        )


def return_to(history: list[dict[str, Any]], event: gr.SelectData) -> dict[str, Any]:
    """The settings of the chosen picture of the history, for the parts of the page."""
    return history[event.index]["settings"] if event.index < len(history) else {}


def to_brush(content: str | None) -> dict[str, Any] | None:
    """The content for the brush to draw on."""
    if content is None:
        return None
    try:
        return {"background": shown(read_picture(content, "content")), "layers": [], "composite": None}
    except ValueError:
        return None


def _explained(frames: Iterator[Frame]) -> Iterator[Frame]:
    """What can go wrong in the model, in the words of the page."""
    try:
        yield from frames
    except torch.OutOfMemoryError as error:
        raise _message("The server has too little memory for that. Try fewer variants.") from error
    except ValueError as error:
        raise _message("The model could not paint these pictures. Try others, or another seed.") from error


def _comparison(content: PIL.Image.Image, result: PIL.Image.Image) -> tuple[PIL.Image.Image, PIL.Image.Image]:
    """Content and result in one size, for the slider."""
    result = shown(result)
    return content.resize(result.size, PIL.Image.Resampling.LANCZOS), result


__all__ = [
    "MAX_SEED",
    "MAX_VARIANTS",
    "SHAPES",
    "check_upload",
    "pick",
    "remember",
    "return_to",
    "stylize",
    "to_brush",
]
