# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The application: its addresses, and the way of a request from the form to the answer."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import PIL.Image
import torch
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .._common.version import __version__
from ..pipeline_stylevar import StyleVARPipeline
from .batching import WAITING_PIXELS, BadArguments, Batcher, Job, QueueFull
from .errors import ApiError
from .forms import MAX_FIELD_BYTES, MAX_FIELDS, MAX_FILES, RANKERS, EditRequest, read_form
from .guard import Guard
from .metrics import Metrics
from .results import Store, encode, event, event_text, usage
from .settings import ServerSettings


KEEP_ALIVE_SECONDS = 15.0
DECODERS = 2  # pictures read at once: each may take some hundred megabytes


class _Service:
    """One model behind one queue."""

    def __init__(self, pipe: StyleVARPipeline, settings: ServerSettings):
        self.pipe = pipe
        self.settings = settings
        self.created = int(time.time())
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.store = Store(int(settings.stored_megabytes * 2**20))
        self.decoders = asyncio.Semaphore(DECODERS)
        self.batcher = Batcher(
            pipe,
            settings.max_batch_size,
            settings.max_delay,
            settings.max_waiting,
            WAITING_PIXELS * settings.max_pixels,
            self.metrics.on_batch,
        )

    async def edit(self, request: Request) -> Response:
        """`POST /v1/images/edits`"""
        # 1. Read the whole body, check it, and find a place in the queue
        edit = await self._read(request)
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        partial: asyncio.Queue[PIL.Image.Image | None] = asyncio.Queue()
        edit.job.on_partial = lambda image: loop.call_soon_threadsafe(partial.put_nowait, image)
        try:
            painted = asyncio.wrap_future(self.batcher.submit(edit.job))
        except QueueFull as error:
            raise ApiError(
                429,
                f"The queue is full. Try again in {error.retry_after} s.",
                code="queue_full",
                headers={"Retry-After": str(error.retry_after)},
            ) from error

        # 2. Wait for the pictures, and hand them over
        if edit.stream:
            events = self._events(edit, painted, partial, start)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        images = await self._result(edit.job, painted, request)
        answer = await self._answer(edit, images, request)
        self.metrics.request_seconds.observe(time.monotonic() - start)
        return answer

    async def _read(self, request: Request) -> EditRequest:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise ApiError(400, "The request must be a form with files: `Content-Type: multipart/form-data`.")
        limits = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD_BYTES}
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                form = await request.form(**limits)
        except ClientDisconnect as error:
            raise ApiError(499, "The client has closed the connection.") from error
        except TimeoutError as error:
            message = f"The request must arrive within {self.settings.body_timeout:g} s."
            raise ApiError(408, message, headers={"Connection": "close"}) from error
        try:
            async with self.decoders:
                return await run_in_threadpool(read_form, form, self.settings, self.pipe.model.config.vq_config)
        finally:
            await form.close()

    async def _result(self, job: Job, painted: asyncio.Future, request: Request) -> list[PIL.Image.Image]:
        """The pictures; the job is given up if the client goes away."""
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({painted, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not painted.done():
                raise ApiError(499, "The client has closed the connection.")
            return _images(painted)
        finally:
            gone.cancel()
            if not painted.done():
                self.batcher.abandon(job)

    async def _answer(self, edit: EditRequest, images: list[PIL.Image.Image], request: Request) -> Response:
        data = []
        for image, first in zip(images, edit.job.seeds, strict=True):
            seed = first + image.info.get("candidate", 0)
            file = await run_in_threadpool(encode, image, edit.output_format, edit.output_compression)
            if edit.response_format == "url":
                name = self.store.add(file, edit.output_format)
                data.append({"url": str(request.url_for("read_file", name=name)), "seed": seed})
            else:
                data.append({"b64_json": base64.b64encode(file).decode(), "seed": seed})
        content = {
            "created": int(time.time()),
            "data": data,
            "size": f"{images[0].width}x{images[0].height}",
            "output_format": edit.output_format,
            "usage": usage(self.pipe.model.config.sequence_length, len(images)),
        }
        return JSONResponse(content)

    async def _events(
        self, edit: EditRequest, painted: asyncio.Future, partial: asyncio.Queue, start: float
    ) -> AsyncIterator[bytes]:
        """The pictures so far and then the result, each as soon as it is there."""
        painted.add_done_callback(lambda _: partial.put_nowait(None))
        index = 0
        try:
            while True:
                try:
                    image = await asyncio.wait_for(partial.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield b": waiting\n\n"  # a comment, so that no proxy closes the connection
                    continue
                if image is None:
                    break
                yield await run_in_threadpool(
                    event, "image_edit.partial_image", image, edit, partial_image_index=index
                )
                index += 1
            fields = {"usage": usage(self.pipe.model.config.sequence_length, 1)}
            yield await run_in_threadpool(event, "image_edit.completed", _images(painted)[0], edit, **fields)
            self.metrics.request_seconds.observe(time.monotonic() - start)
        except ApiError as error:
            yield event_text("error", error.body)
        finally:
            if not painted.done():
                self.batcher.abandon(edit.job)


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _images(painted: asyncio.Future) -> list[PIL.Image.Image]:
    """The pictures, or why there are none, in words for the client."""
    try:
        return painted.result()
    except BadArguments as error:
        raise ApiError(400, str(error)) from error
    except torch.OutOfMemoryError as error:
        raise ApiError(503, "There is too little memory for that. Ask for fewer pictures.") from error
    except asyncio.CancelledError as error:
        raise ApiError(503, "The server is shutting down.") from error
    except Exception as error:
        raise ApiError(500, "The model could not paint these pictures. Try others, or another seed.") from error


def _schema() -> dict[str, Any]:
    """The form for `/openapi.json`: it is read by hand, within limits that FastAPI's own forms do not have."""
    picture = {"type": "string", "format": "binary"}
    number = {"type": "number"}
    properties = {
        "image[]": {"type": "array", "items": picture, "description": "The content, then the style or styles."},
        "style[]": {"type": "array", "items": picture, "description": "Styles, instead of further `image[]`."},
        "blend": {"type": "string", "description": "Weights of several styles: `0.7,0.3`."},
        "model": {"type": "string"},
        "n": {"type": "integer", "default": 1},
        "size": {"type": "string", "default": "auto", "description": "`auto`, `model` or `WIDTHxHEIGHT`."},
        "response_format": {"type": "string", "enum": ["b64_json", "url"]},
        "output_format": {"type": "string", "enum": ["png", "jpeg", "webp"]},
        "output_compression": {"type": "integer"},
        "stream": {"type": "boolean", "default": False},
        "partial_images": {"type": "integer", "default": 0},
        "seed": {"type": "integer"},
        "style_strength": {**number, "default": 0},
        "keep_colors": {**number, "default": 0},
        "strength_per_scale": {"type": "string", "description": "A name, or numbers with commas between them."},
        "strength_map": picture,
        "mask": picture,
        "mask_feather": {"type": "integer"},
        "fit": {"type": "string", "enum": ["stretch", "crop", "pad"]},
        "paint_size": {"type": "integer"},
        "num_candidates": {"type": "integer", "default": 1},
        "rank_by": {"type": "string", "enum": list(RANKERS)},
        "do_sample": {"type": "boolean"},
        "top_k": {"type": "integer"},
        "top_p": number,
        "temperature": number,
    }
    schema = {"type": "object", "properties": properties, "required": ["image[]"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def build_app(pipe: StyleVARPipeline, settings: ServerSettings | None = None) -> FastAPI:
    """
    The application for a pipeline, with its queue, whose painting thread ends with the application's lifespan.

    Args:
        pipe ([`StyleVARPipeline`]): The model.
        settings ([`ServerSettings`], *optional*): The limits.

    Returns:
        `fastapi.FastAPI`: For [`serve`], or for any ASGI server with one process.
    """
    settings = settings or ServerSettings()
    service = _Service(pipe, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.batcher.close)

    app = FastAPI(title="StyleVAR", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, settings=settings, on_answer=lambda status: service.metrics.answers.labels(status).inc())
    app.add_api_route("/v1/images/edits", service.edit, methods=["POST"], openapi_extra=_schema())

    @app.exception_handler(ApiError)
    async def explain(request: Request, error: ApiError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def explain_http(request: Request, error: HTTPException) -> Response:
        return await explain(request, ApiError(error.status_code, str(error.detail), headers=error.headers))

    @app.get("/v1/images/files/{name}")
    async def read_file(name: str) -> Response:
        if (data := service.store.get(name)) is None:
            raise ApiError(404, "This picture is not kept any more. Paint it again.")
        return Response(data, media_type=f"image/{name.rsplit('.', 1)[1]}")

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [await read_model(settings.model_name)]}

    @app.get("/v1/models/{name:path}")
    async def read_model(name: str) -> dict[str, Any]:
        if name != settings.model_name:
            raise ApiError(404, f"There is no model {name[:100]!r} here.", "model", "model_not_found")
        return {"id": name, "object": "model", "created": service.created, "owned_by": "stylevar-hf"}

    @app.get("/health")
    async def read_health() -> Response:
        alive = service.batcher.alive
        content = {"status": "ok" if alive else "stopping", "waiting": service.batcher.waiting}
        return JSONResponse(content, 200 if alive else 503)

    @app.get("/metrics")
    async def read_metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


__all__ = ["build_app"]
