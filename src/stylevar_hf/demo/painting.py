# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline as a stream of pictures: one per scale while it paints, then the results."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue

import PIL.Image

from ..generation_stylevar import StyleVARReference, StyleVARScaleState
from ..pipeline_controls_stylevar import FITS
from ..pipeline_stylevar import StyleVARPipeline


@dataclass
class Frame:
    """
    A moment of the painting.

    Args:
        scale (`int`): Scales painted so far, from 1.
        num_scales (`int`): How many there are.
        side (`int`): Codes on a side of the newest scale.
        images (`list[PIL.Image.Image]`): Each variant so far; empty without previews.
        done (`bool`): Whether these are the results.
    """

    scale: int
    num_scales: int
    side: int
    images: list[PIL.Image.Image] = field(default_factory=list)
    done: bool = False


class _Stopped(Exception):
    """Raised in the painting thread when nobody listens any more."""


def paint(
    pipe: StyleVARPipeline,
    content: PIL.Image.Image,
    style: PIL.Image.Image | StyleVARReference,
    *,
    output_size: str = "model",
    previews: bool = True,
    **call_arguments,
) -> Iterator[Frame]:
    """
    Paints, and tells after each scale. Closing the iterator stops the painting at the next scale.

    Args:
        pipe ([`StyleVARPipeline`]): The model.
        content (`PIL.Image.Image`): What to paint.
        style (`PIL.Image.Image` or [`StyleVARReference`]): How to paint it.
        output_size (`str`, *optional*, defaults to `"model"`): Size of the frames; or `"content"`.
        previews (`bool`, *optional*, defaults to `True`): Whether to decode the picture after each scale.
        call_arguments: `seed`, `style_strength`, `num_images`, `fit`, ... of the pipeline's call.

    Yields:
        [`Frame`]: One per scale, the last of them with the results.
    """
    content_sizes = [(content.height, content.width)]
    resize_mode = "stretch" if call_arguments.get("paint_size") else FITS.get(call_arguments.get("fit"))
    frames: SimpleQueue[Frame | None] = SimpleQueue()
    stop = threading.Event()

    def after_scale(state: StyleVARScaleState) -> None:
        if stop.is_set():
            raise _Stopped
        scale = state.scale_index + 1
        if scale == state.num_scales:
            return  # the results follow
        images = []
        if previews:
            pixels = state.pixel_values
            images = pipe.postprocess(pixels, content_sizes * len(pixels), "pil", output_size, resize_mode)
        frames.put(Frame(scale, state.num_scales, _side(pipe, state.scale_index), images))

    def work() -> list[PIL.Image.Image]:
        try:
            results = pipe(
                content, style, output_size=output_size, callback_on_scale_end=after_scale, **call_arguments
            )
            return results if isinstance(results, list) else [results]
        finally:
            frames.put(None)

    pool = ThreadPoolExecutor(1, thread_name_prefix="stylevar-paint")
    try:
        future = pool.submit(work)
        while (frame := frames.get()) is not None:
            yield frame
        last = pipe.model.config.num_scales
        yield Frame(last, last, _side(pipe, last - 1), future.result(), done=True)
    finally:
        stop.set()
        pool.shutdown(wait=False)  # whoever closes the iterator may be the server's event loop


def _side(pipe: StyleVARPipeline, scale_index: int) -> int:
    return pipe.model.config.vq_config.patch_nums[scale_index]


__all__ = ["Frame", "paint"]
