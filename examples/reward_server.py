# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[serve]"]
# ///
"""
A reward behind HTTP: any reward of this package, or a function of one's own, for trainings on other machines.

    python examples/reward_server.py --reward texture-statistics --port 8900
    stylevar grpo --reward_funcs http://127.0.0.1:8900/texture-statistics ...

What is asked and answered is described in `stylevar_hf.rewards.remote`. To serve a model of your own, write a function
of `(images, **columns)` that returns a list of numbers, and name it: `--reward my_module:my_function`.
"""

import argparse
import base64
import io
import json
import math
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from stylevar_hf.rewards import get_reward


MAX_BYTES = 64 * 2**20
MAX_PIXELS = 2**22


def build_app(reward: Callable[..., list[float | None]], key: str | None = None) -> FastAPI:
    """The server. `key` is what requests must send as `Authorization: Bearer ...`."""
    app = FastAPI(docs_url=None, redoc_url=None)
    lock = threading.Lock()  # one request at a time has the device

    def score(body: dict[str, Any]) -> list[float | None]:
        try:
            pictures = [read_picture(file) for file in body["pictures"]]
            columns = {
                name: [None if place is None else pictures[place] for place in places]
                for name, places in body.items()
                if name == "images" or name.endswith("_images")
            }
            columns |= body.get("columns", {})
            columns["images"]  # noqa: B018
        except Exception as error:
            raise HTTPException(422, f"The request is not as it must be: {type(error).__name__}: {error}") from error
        with lock:
            return reward(**columns)

    @app.post("/{name}")
    async def answer(name: str, request: Request) -> Response:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            raise HTTPException(401, "The key is missing or wrong.")
        parts, size = [], 0
        async for part in request.stream():
            parts.append(part)
            if (size := size + len(part)) > MAX_BYTES:
                raise HTTPException(413, f"A request must have at most {MAX_BYTES} bytes. Lower `batch_size`.")
        try:
            body = json.loads(b"".join(parts))
        except ValueError as error:
            raise HTTPException(422, "The request must be JSON.") from error
        rewards = await run_in_threadpool(score, body)
        numbers = [None if one is None else float(one) for one in rewards]
        # JSON has no NaN, but Python reads and writes it; it leaves a rollout out, which null does not.
        return Response(json.dumps({"rewards": numbers}), media_type="application/json")

    return app


def read_picture(file: str) -> torch.Tensor:
    """A PNG in base64 as a tensor `(3, H, W)` in [0, 1]."""
    with PIL.Image.open(io.BytesIO(base64.b64decode(file, validate=True)), formats=["PNG"]) as picture:
        if math.prod(picture.size) > MAX_PIXELS:
            raise ValueError(f"a picture has more than {MAX_PIXELS} pixels")
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reward", default="texture-statistics", help="a name of stylevar_hf.rewards, or MODULE:FUNCTION"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    args = parser.parse_args()
    uvicorn.run(build_app(get_reward(args.reward), os.environ.get("REWARD_KEY")), host=args.host, port=args.port)


if __name__ == "__main__":
    main()
