# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""From painted pictures to answers: files, addresses for them, and events."""

import base64
import io
import json
import secrets
import time
from collections import OrderedDict
from typing import Any

import PIL.Image

from .forms import EditRequest


LIFETIME_SECONDS = 3600


def encode(image: PIL.Image.Image, output_format: str, quality: int) -> bytes:
    """The file of a picture, in `"png"`, `"jpeg"` or `"webp"`; `quality` is for the last two."""
    buffer = io.BytesIO()
    image.save(buffer, format=output_format, **({} if output_format == "png" else {"quality": quality}))
    return buffer.getvalue()


class Store:
    """
    Files behind addresses that nobody can guess, in memory.

    Args:
        max_bytes (`int`): Of all files; the oldest leave first.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._files: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def add(self, data: bytes, output_format: str) -> str:
        """Keep a file, and return its name."""
        name = f"{secrets.token_urlsafe(24)}.{output_format}"
        self._files[name] = (time.monotonic() + LIFETIME_SECONDS, data)
        self._bytes += len(data)
        self._forget()
        return name

    def get(self, name: str) -> bytes | None:
        """The file of that name, if it is still there."""
        self._forget()
        return self._files.get(name, (0.0, None))[1]

    def _forget(self) -> None:
        now = time.monotonic()
        while self._files:
            oldest, (until, data) = next(iter(self._files.items()))
            if until > now and self._bytes <= self.max_bytes:
                break
            del self._files[oldest]
            self._bytes -= len(data)


def usage(sequence_length: int, number: int) -> dict[str, Any]:
    """OpenAI's count of tokens: the codes of content and style go in, those of each result come out."""
    details = {"image_tokens": 2 * sequence_length, "text_tokens": 0}
    output = number * sequence_length
    return {
        "input_tokens": 2 * sequence_length,
        "input_tokens_details": details,
        "output_tokens": output,
        "total_tokens": 2 * sequence_length + output,
    }


def event(kind: str, image: PIL.Image.Image, request: EditRequest, **fields: Any) -> bytes:
    """A picture as a server-sent event of OpenAI's images API."""
    data = {
        "type": kind,
        "b64_json": base64.b64encode(encode(image, request.output_format, request.output_compression)).decode(),
        "created_at": int(time.time()),
        "size": f"{image.width}x{image.height}",
        "output_format": request.output_format,
        "quality": "auto",
        "background": "opaque",
        "seed": request.job.seeds[0],
        **fields,
    }
    return event_text(kind, data)


def event_text(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


__all__ = ["Store", "encode", "event", "event_text", "usage"]
