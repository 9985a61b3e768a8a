# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is refused before a request is looked at: strangers, bodies that are too large, and too many at once."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse

from .errors import ApiError
from .settings import ServerSettings


OPEN_PATHS = ("/health", "/v1/images/files/")  # a file's address is its key


class Guard:
    """
    ASGI middleware. Answers 401 without the key, 413 to a body that is too large, and 429 when as many requests as the
    queue can ever serve are being read or answered.

    Args:
        app (`Callable`): The application.
        settings ([`ServerSettings`]): The limits and the key.
        on_answer (`Callable[[int], None]`): Told the status of every answer.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], settings: ServerSettings, on_answer: Callable[[int], None]
    ):
        self.app = app
        self.settings = settings
        self.on_answer = on_answer
        self.open_requests = 0
        self.max_open_requests = 2 * (settings.max_waiting + settings.max_batch_size)

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def counted_send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.on_answer(message["status"])
            await send(message)

        try:
            self._check(scope)
        except ApiError as error:
            if error.status != 413:
                await self._drop_body(receive)
            answer = JSONResponse(error.body, error.status, {**error.headers, "Connection": "close"})
            return await answer(scope, receive, counted_send)
        self.open_requests += 1
        try:
            await self.app(scope, _limited(receive, self.settings.max_body_bytes), counted_send)
        finally:
            self.open_requests -= 1

    async def _drop_body(self, receive: Callable) -> None:
        """A client that still sends when the connection closes would not see the answer."""
        receive = _limited(receive, self.settings.max_body_bytes)
        with suppress(TimeoutError, ApiError):
            async with asyncio.timeout(self.settings.body_timeout):
                while (await receive()).get("more_body", False):
                    pass

    def _check(self, scope: dict[str, Any]) -> None:
        headers = dict(scope["headers"])
        key = self.settings.api_key
        if key is not None and not scope["path"].startswith(OPEN_PATHS):
            sent = headers.get(b"authorization", b"")
            if not hmac.compare_digest(sent, b"Bearer " + key.encode()):
                message = "The key is missing or wrong. Send it as `Authorization: Bearer KEY`."
                raise ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.settings.max_body_bytes:
            raise too_large(self.settings.max_body_bytes)
        if scope["method"] == "POST" and self.open_requests >= self.max_open_requests:
            raise ApiError(
                429, "Too many requests are open. Try again.", code="queue_full", headers={"Retry-After": "2"}
            )


def _limited(receive: Callable, max_bytes: int) -> Callable:
    """A body without a length, or with a false one, is counted as it comes."""
    total = 0

    async def counted_receive() -> dict[str, Any]:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > max_bytes:
            raise too_large(max_bytes)
        return message

    return counted_receive


def too_large(max_bytes: int) -> ApiError:
    limit = f"{max_bytes / 2**20:g} MB"
    return ApiError(413, f"The request must be at most {limit}. Shrink the pictures.", code="request_too_large")


__all__ = ["Guard"]
