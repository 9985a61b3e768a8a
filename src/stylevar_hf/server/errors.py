# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Errors in the form of OpenAI's API, from which its clients make their exceptions."""

from typing import Any


TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """
    An answer that is not a picture.

    Args:
        status (`int`):
            Of HTTP.
        message (`str`):
            One or two sentences for whoever asked.
        param (`str`, *optional*):
            The field that is wrong.
        code (`str`, *optional*):
            A word for programs.
        headers (`dict[str, str]`, *optional*):
            Of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


__all__ = ["ApiError"]
