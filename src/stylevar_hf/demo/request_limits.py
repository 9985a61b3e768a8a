# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How often and how much one visitor may ask, so that nobody can fill the queue, the memory or the disk alone."""

import ipaddress
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .pictures import MAX_FILE_MEGABYTES


WINDOW_SECONDS = 60.0
# How often in the window somebody may ask for a place in the queue, or leave files, which stay for half an hour.
REQUESTS = {"job": 30, "upload": 20}
PATHS = {"job": re.compile(r"/(queue/join|(call|run|api)/.+)$"), "upload": re.compile(r"/upload$")}
# Of a body: one picture of the largest size with its envelope. Gradio limits each of a thousand files, not their sum.
MAX_BYTES = {"upload": (MAX_FILE_MEGABYTES + 1) * 2**20, "other": 2**20}
TOO_LONG = f"Too large. Upload one picture of at most {MAX_FILE_MEGABYTES} MB at a time."
NO_LENGTH = "Say how long the request is: Content-Length is missing."
TOO_MANY = "Too many requests from one place. Try again in a minute."


class RequestLimits:
    """
    ASGI middleware that answers 429 to whoever asks too often, 413 to whoever sends too much, and 411 to whoever does
    not say how much.

    A visitor is the address of the connection as the server has it: uvicorn reads `X-Forwarded-For` where a proxy of
    this machine, or one named in `FORWARDED_ALLOW_IPS`, asks. On Spaces, where all come through proxies whose
    addresses nobody knows beforehand, it is the last public address in that header: what stands before it is whatever
    the visitor wrote there.

    Args:
        app (`Callable`): The application.
        clock (`Callable[[], float]`, *optional*): The time in seconds; for tests.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], clock: Callable[[], float] = time.monotonic):
        self.app = app
        self.clock = clock
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, str], deque[float]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            kind = _kind(scope)
            if (refusal := _length_refusal(scope, kind)) is not None:
                return await _refuse(send, *refusal)
            if kind is not None and not self._admits(_visitor(scope), kind):
                return await _refuse(send, 429, TOO_MANY, [(b"retry-after", b"60")])
        await self.app(scope, receive, send)

    def _admits(self, visitor: str, kind: str) -> bool:
        now = self.clock()
        with self._lock:
            for key, times in list(self._asked.items()):  # those who left are forgotten
                while times and times[0] <= now - WINDOW_SECONDS:
                    times.popleft()
                if not times:
                    del self._asked[key]
            times = self._asked.setdefault((visitor, kind), deque())
            if len(times) >= REQUESTS[kind]:
                return False
            times.append(now)
            return True


def _kind(scope: dict[str, Any]) -> str | None:
    """Which of the limited kinds a POST is, if any."""
    path = scope["path"].rstrip("/")
    return next((kind for kind, pattern in PATHS.items() if pattern.search(path)), None)


def _length_refusal(scope: dict[str, Any], kind: str | None) -> tuple[int, str] | None:
    """Status and reason, if a body is too long or of unknown length."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not length.isdigit():
        return 411, NO_LENGTH
    return (413, TOO_LONG) if int(length) > MAX_BYTES["upload" if kind == "upload" else "other"] else None


async def _refuse(send: Callable, status: int, reason: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": reason, "error": reason}).encode()})


def _visitor(scope: dict[str, Any]) -> str:
    connection = (scope.get("client") or ("unknown",))[0]
    if "SPACE_ID" not in os.environ:
        return connection
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = [hop.strip() for hop in ",".join(values).split(",") if hop.strip()]
    # Each proxy adds at the end the address that asked it.
    return next((hop for hop in reversed(hops) if not _is_internal(hop)), connection)


def _is_internal(address: str) -> bool:
    """Whether this is a proxy of ours: an address, and one that is not on the internet."""
    try:
        return not ipaddress.ip_address(address).is_global
    except ValueError:
        return False


__all__ = ["RequestLimits"]
