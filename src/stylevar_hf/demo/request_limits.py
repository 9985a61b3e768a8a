# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""How often one visitor may ask, so that nobody can fill the queue or the disk alone."""

import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any


WINDOW_SECONDS = 60.0
# How often in the window somebody may ask for a place in the queue, or leave files, which stay for half an hour.
REQUESTS = {"job": 30, "upload": 20}
PATHS = {"job": re.compile(r"/(queue/join|(call|run|api)/.+)$"), "upload": re.compile(r"/upload$")}
TOO_MANY = "Too many requests from one place. Try again in a minute."


class RequestLimits:
    """
    ASGI middleware that answers 429 to whoever asks too often.

    A visitor is the address of the connection; on Spaces, where all come through a proxy, the first one in
    `X-Forwarded-For`.

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
        kind = _kind(scope)
        if kind is not None and not self._admits(_visitor(scope), kind):
            body = json.dumps({"detail": TOO_MANY, "error": TOO_MANY}).encode()
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"60")]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
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
    """Which of the limited kinds a request is, if any."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path = scope["path"].rstrip("/")
    return next((kind for kind, pattern in PATHS.items() if pattern.search(path)), None)


def _visitor(scope: dict[str, Any]) -> str:
    if "SPACE_ID" in os.environ:
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                return value.decode("latin-1").split(",")[0].strip()
    return (scope.get("client") or ("unknown",))[0]


__all__ = ["RequestLimits"]
