# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
A reward behind HTTP: a model on another machine, in another environment, or a service.

One request asks for the rewards of a few rollouts. It is a POST of JSON,

    {"pictures": ["<PNG in base64>", ...],               each distinct picture once
     "images": [0, 1, 2], "content_images": [3, 3, 3],   which of them belong to each rollout; null where there is none
     "columns": {"task": ["a", "a", "b"]}}               columns of the data set, if asked for

and the answer is JSON, `{"rewards": [0.5, null, 0.7]}`: one number per rollout, larger for better, `null` where there
is nothing to say. `examples/reward_server.py` is such a server for the rewards of this package.
"""

import asyncio
import base64
import io
import math
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import torch
from PIL import Image

from .base import REFERENCES


# What may work the next time.
RETRIED = (408, 425, 429, 500, 502, 503, 504)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between tries, doubled each time
MAX_MESSAGE = 300  # characters of what the server says in an error


class RemoteReward:
    """
    Asks a server for rewards, in batches that are sent side by side.

    Pictures travel as 8-bit PNG, each once per request; nothing else is sent but the columns that are asked for.

    Args:
        url (`str`):
            Where to post, `http://...` or `https://...`.
        send (`str` or `Sequence[str]`, *optional*, defaults to `"content+style"`):
            Which pictures of a row to send beside the rollout: of `content`, `style` and `target`. As a string, with
            `+` between them.
        columns (`str` or `Sequence[str]`, *optional*, defaults to none):
            Columns of the data set to send, of values that JSON knows.
        name (`str`, *optional*):
            The name in logs. Defaults to the last part of the address.
        batch_size (`int`, *optional*, defaults to 16):
            Rollouts of a request.
        num_parallel (`int`, *optional*, defaults to 4):
            Requests under way at once.
        timeout (`float`, *optional*, defaults to 60):
            Seconds that a request may take.
        retries (`int`, *optional*, defaults to 4):
            How often a request is tried again after a failed connection, a timeout, or an answer 408, 425, 429, 500,
            502, 503 or 504; with growing pauses, or those that the server asks for.
        on_failure (`str`, *optional*, defaults to `"raise"`):
            What then happens: `"raise"` ends the training, `"skip"` leaves the rollouts out.
        token_variable (`str`, *optional*):
            Name of the environment variable with the key, sent as `Authorization: Bearer ...`.

    Raises:
        ValueError: If an argument does not fit.

    Example:

    ```python
    >>> reward = RemoteReward("http://127.0.0.1:8900/score", timeout=30)
    >>> trainer = StyleVARGRPOTrainer(..., reward_funcs=[reward])  # or its address, as a string
    ```
    """

    name = "remote"

    def __init__(
        self,
        url: str,
        send: str | Sequence[str] = "content+style",
        columns: str | Sequence[str] = (),
        name: str | None = None,
        batch_size: int = 16,
        num_parallel: int = 4,
        timeout: float = 60.0,
        retries: int = 4,
        on_failure: str = "raise",
        token_variable: str | None = None,
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"`url` must begin with http:// or https://, but got {url!r}. Give the whole address.")
        self.send = _names(send)
        if unknown := [one for one in self.send if one not in REFERENCES]:
            rule = f"of {', '.join(REFERENCES)}"
            raise ValueError(f"`send` must be {rule}, but got {unknown[0]!r}. Put `+` between several.")
        for label, value, low in (
            ("batch_size", batch_size, 1),
            ("num_parallel", num_parallel, 1),
            ("retries", retries, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"`{label}` must be an integer of {low} or more, but got {value!r}. Leave it out.")
        if not (isinstance(timeout, (int, float)) and 0 < timeout < math.inf):
            raise ValueError(f"`timeout` must be a positive number of seconds, but got {timeout!r}. Leave it out.")
        if on_failure not in ("raise", "skip"):
            raise ValueError(f"`on_failure` must be raise or skip, but got {on_failure!r}. Choose one.")
        if token_variable is not None and not os.environ.get(token_variable):
            raise ValueError(
                f"`token_variable` must be a variable that is set, but got {token_variable!r}. Export it."
            )
        self.url = url
        self.columns = _names(columns)
        self.batch_size = batch_size
        self.num_parallel = num_parallel
        self.timeout = timeout
        self.retries = retries
        self.on_failure = on_failure
        self.token_variable = token_variable
        self.requires = (*self.send, *self.columns)
        self.__name__ = name or parts.path.rstrip("/").rpartition("/")[2] or parts.hostname

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, send={'+'.join(self.send)!r})"

    def __call__(self, images: Sequence[torch.Tensor], **inputs) -> list[float | None]:
        """As [`RemoteReward.score_async`], for callers that wait."""
        with ThreadPoolExecutor(1) as pool:  # there may be a loop in this thread, as in notebooks
            return pool.submit(asyncio.run, self.score_async(images, **inputs)).result()

    async def score_async(self, images: Sequence[torch.Tensor], **inputs) -> list[float | None]:
        """
        Args:
            images (list of `torch.Tensor` of shape `(3, H, W)`):
                Generated images in [0, 1].
            inputs:
                `content_images` and so on, lists like `images` with `None` where there is none; and the columns.
                Everything else is ignored.

        Returns:
            `list[float | None]`: One reward per image; NaN where there is no answer and `on_failure` is `"skip"`.

        Raises:
            ConnectionError: If the server does not answer.
            ValueError: If it refuses the request, or answers with something else than rewards.
        """
        headers = {} if self.token_variable is None else {"Authorization": f"Bearer {os.environ[self.token_variable]}"}
        side_by_side = asyncio.Semaphore(self.num_parallel)
        async with httpx.AsyncClient(timeout=self.timeout, headers=headers) as client:

            async def ask(start: int) -> list[float | None]:
                rows = range(start, min(start + self.batch_size, len(images)))
                async with side_by_side:
                    body = await asyncio.to_thread(self._body, rows, images, inputs)
                    return await self._ask(client, body, len(rows))

            parts = await asyncio.gather(*(ask(start) for start in range(0, len(images), self.batch_size)))
        return [reward for part in parts for reward in part]

    def _body(self, rows: range, images: Sequence[torch.Tensor], inputs: dict[str, Any]) -> dict[str, Any]:
        pictures = _Pictures()
        body: dict[str, Any] = {"images": [pictures.add(images[row]) for row in rows]}
        for name in self.send:
            values = inputs.get(f"{name}_images") or [None] * len(images)
            body[f"{name}_images"] = [pictures.add(values[row]) for row in rows]
        if self.columns:
            body["columns"] = {name: [inputs[name][row] for row in rows] for name in self.columns}
        return {"pictures": pictures.files, **body}

    async def _ask(self, client: httpx.AsyncClient, body: dict[str, Any], count: int) -> list[float | None]:
        pause, problem = FIRST_PAUSE, ""
        for attempt in range(self.retries + 1):
            if attempt:
                await asyncio.sleep(pause)
            pause = min(2**attempt * FIRST_PAUSE * random.uniform(0.5, 1.5), LONGEST_PAUSE)
            try:
                response = await client.post(self.url, json=body)
            except httpx.TransportError as error:  # no connection, or a timeout
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
                continue
            if response.is_success:
                return self._rewards(response, count)
            problem = f"status {response.status_code}: {response.text[:MAX_MESSAGE]}"
            if response.status_code not in RETRIED:
                raise ValueError(f"`url` must be a server of rewards, but {self.url} answered {problem}")
            pause = _pause_asked_for(response) or pause
        if self.on_failure == "skip":
            return [math.nan] * count
        raise ConnectionError(
            f"The reward server {self.url} did not answer in {self.retries + 1} tries ({problem}). Start it, raise "
            "`timeout` or `retries`, or set `on_failure` to skip."
        )

    def _rewards(self, response: httpx.Response, count: int) -> list[float | None]:
        try:
            rewards = response.json()["rewards"]
            rewards = [None if reward is None else float(reward) for reward in rewards]
            if len(rewards) == count:
                return rewards
            found = f"{len(rewards)} rewards"
        except (ValueError, TypeError, KeyError):
            found = response.text[:MAX_MESSAGE]
        rule = f'{{"rewards": [...]}} with one number or null per image ({count})'
        raise ValueError(f"The answer of {self.url} must be {rule}, but got {found}. Correct the server.")


class _Pictures:
    """The distinct pictures of a request, as files in base64."""

    def __init__(self):
        self.files: list[str] = []
        self._places: dict[int, int] = {}

    def add(self, picture: torch.Tensor | None) -> int | None:
        if picture is None:
            return None
        if id(picture) not in self._places:
            self._places[id(picture)] = len(self.files)
            self.files.append(encode_picture(picture))
        return self._places[id(picture)]


def encode_picture(picture: torch.Tensor) -> str:
    """An image `(3, H, W)` in [0, 1] as PNG in base64; what is not finite becomes black."""
    values = (picture.detach().float().nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split("+") if part.strip()) if isinstance(value, str) else tuple(value)


def _pause_asked_for(response: httpx.Response) -> float | None:
    """Seconds of `Retry-After`, if it has that form."""
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_PAUSE) if text.isdecimal() else None


__all__ = ["RemoteReward"]
