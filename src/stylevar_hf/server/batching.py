# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Requests wait in a bounded queue, and one thread paints them in batches. Nothing here knows of HTTP.

A [`Job`] is what one request asks for. Jobs with equal options are painted together, oldest first; a job never waits
for one that came later.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import PIL.Image
import torch
from transformers.utils.logging import get_logger

from ..generation_stylevar import StyleVARReference, StyleVARScaleState
from ..pipeline_stylevar import StyleVARPipeline


logger = get_logger(__name__)

WAITING_PIXELS = 8  # pictures of the largest size for which the queue has memory


class QueueFull(Exception):
    """
    There is no place for a job.

    Args:
        retry_after (`int`): Seconds after which a place is likely.
    """

    def __init__(self, retry_after: int):
        super().__init__(f"no place in the queue; try again in {retry_after} s")
        self.retry_after = retry_after


class BadArguments(ValueError):
    """The pipeline refused what a job asks for, before it painted anything."""


class _Abandoned(Exception):
    """Raised between two scales when nobody waits for the batch any more."""


@dataclass(eq=False)
class Job:
    """
    One request.

    Args:
        content (`PIL.Image.Image`):
            What to paint; 8-bit RGB.
        styles (`tuple[PIL.Image.Image, ...]`):
            How to paint it. Several are blended.
        seeds (`tuple[int, ...]`):
            One per picture to paint.
        style_strength (`float`):
            See the pipeline's call.
        output_size (`str` or `tuple[int, int]`):
            See the pipeline's call.
        options (`dict`):
            Further arguments of the pipeline's call, which all jobs of a batch must share.
        blend (`tuple[float, ...]`, *optional*):
            Weights of several styles.
        cost (`int`):
            How many pictures of the model's size each of the job's pictures costs. A job that costs more than one each
            is painted alone.
        partial_scales (`frozenset[int]`):
            Indices of the scales after which `on_partial` is handed the picture so far.
        on_partial (`Callable[[PIL.Image.Image], None]`, *optional*):
            Called in the painting thread. Only for jobs of one picture.
    """

    content: PIL.Image.Image
    styles: tuple[PIL.Image.Image, ...]
    seeds: tuple[int, ...]
    style_strength: float = 0.0
    output_size: str | tuple[int, int] = "content"
    options: dict[str, Any] = field(default_factory=dict)
    blend: tuple[float, ...] | None = None
    cost: int = 1
    partial_scales: frozenset[int] = frozenset()
    on_partial: Callable[[PIL.Image.Image], None] | None = None
    future: Future = field(default_factory=Future)
    abandoned: bool = False

    @property
    def key(self) -> Hashable:
        """Jobs of equal keys can be painted together. Values that cannot be compared keep a job to itself."""
        if self.cost > 1 or len(self.styles) > 1:
            return id(self)
        try:
            key = (self.output_size, frozenset(self.options.items()))
            hash(key)
        except TypeError:
            return id(self)
        return key

    @property
    def pixels(self) -> int:
        return sum(image.width * image.height for image in (self.content, *self.styles))

    @property
    def places(self) -> int:
        """What it takes of the queue, in pictures of the model's size."""
        return len(self.seeds) * self.cost


class Batcher:
    """
    The queue and its painting thread.

    Args:
        pipe ([`StyleVARPipeline`]):
            The model.
        max_batch_size (`int`):
            Pictures painted at once.
        max_delay (`float`):
            Seconds that the first job of a batch waits for others.
        max_waiting (`int`):
            Pictures of the model's size that may wait; a job that finds nobody waiting may be larger.
        max_waiting_pixels (`int`):
            Pixels that the contents and styles of all waiting jobs may have.
        on_batch (`Callable[[int, float], None]`, *optional*):
            Told the number of pictures and the seconds of each batch, in the painting thread.
    """

    def __init__(
        self,
        pipe: StyleVARPipeline,
        max_batch_size: int,
        max_delay: float,
        max_waiting: int,
        max_waiting_pixels: int,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ):
        self.pipe = pipe
        self.max_batch_size = max_batch_size
        self.max_delay = max_delay
        self.max_waiting = max_waiting
        self.max_waiting_pixels = max_waiting_pixels
        self.on_batch = on_batch
        self._jobs: deque[tuple[float, Job]] = deque()  # with the time at which each came
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_per_place = 1.0
        self._thread = threading.Thread(target=self._run, name="stylevar-painter", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        with self._changed:
            return self._count()

    @property
    def alive(self) -> bool:
        """Whether jobs are taken and painted."""
        return self._thread.is_alive() and not self._closed

    def submit(self, job: Job) -> Future:
        """
        Give a job a place in the queue.

        Returns:
            `concurrent.futures.Future`: Of the list of pictures, one per seed.

        Raises:
            QueueFull: If there is none, or if the queue is closed.
        """
        with self._changed:
            pixels = job.pixels + sum(other.pixels for _, other in self._jobs)
            full = self._count() + job.places > self.max_waiting or pixels > self.max_waiting_pixels
            if self._closed or (self._jobs and full):
                raise QueueFull(self._retry_after())
            self._jobs.append((time.monotonic(), job))
            self._changed.notify_all()
        return job.future

    def abandon(self, job: Job) -> None:
        """Nobody waits for this job any more: its place is free, and painting stops when its batch has no other."""
        with self._changed:
            job.abandoned = True
            self._jobs = deque(entry for entry in self._jobs if entry[1] is not job)
        job.future.cancel()

    def close(self) -> None:
        """Take no more jobs, paint those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _count(self) -> int:
        return sum(job.places for _, job in self._jobs)

    def _retry_after(self) -> int:
        """Seconds until half of the queue is painted."""
        return min(max(1, round(self._count() * self._seconds_per_place / 2)), 60)

    def _run(self) -> None:
        while jobs := self._next_batch():
            start = time.monotonic()
            self._paint(jobs)
            size, seconds = sum(len(job.seeds) for job in jobs), time.monotonic() - start
            per_place = seconds / sum(job.places for job in jobs)
            self._seconds_per_place += 0.2 * (per_place - self._seconds_per_place)
            self.on_batch(size, seconds)
            del jobs  # the pictures need not stay until the next batch comes

    def _next_batch(self) -> list[Job]:
        """The oldest job, and those that go with it; empty when the queue is closed and done."""
        with self._changed:
            while True:
                batch = self._fitting()
                if batch:
                    remaining = self._jobs[0][0] + self.max_delay - time.monotonic()
                    full = sum(len(job.seeds) for job in batch) >= self.max_batch_size
                    if full or remaining <= 0 or self._closed:
                        break
                    self._changed.wait(remaining)
                elif self._closed:
                    break
                else:
                    self._changed.wait()
            self._jobs = deque(entry for entry in self._jobs if entry[1] not in batch)
            return batch

    def _fitting(self) -> list[Job]:
        """The oldest job and the next of its key, as many as fit into one batch."""
        batch, room = [], self.max_batch_size
        for _, job in self._jobs:
            if not batch or (len(job.seeds) <= room and job.key == batch[0].key):
                batch.append(job)
                room -= len(job.seeds)
            if room <= 0:
                break
        return batch

    def _paint(self, jobs: Sequence[Job]) -> None:
        """Paint jobs together; if that fails, each alone, so that it is the fault of one and not of all."""
        jobs = [job for job in jobs if job.future.running() or job.future.set_running_or_notify_cancel()]
        if not jobs:
            return
        try:
            images = iter(self._call(jobs))
        except _Abandoned:
            for job in jobs:
                job.future.set_exception(_Abandoned())
        except Exception as error:  # whatever it is, whoever waits is told, and the thread goes on
            if len(jobs) == 1:
                if not isinstance(error, BadArguments):
                    logger.exception("A picture could not be painted.")
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._paint([job])
        else:
            for job in jobs:
                job.future.set_result([next(images) for _ in job.seeds])

    def _call(self, jobs: Sequence[Job]) -> list[PIL.Image.Image]:
        rows = [(job, seed) for job in jobs for seed in job.seeds]
        watch = _Watch(self.pipe, [job for job, _ in rows])
        try:
            styles = {id(job): self._style(job) for job in jobs}
            return self.pipe(
                [job.content for job, _ in rows],
                [styles[id(job)] for job, _ in rows],
                seed=[seed for _, seed in rows],
                style_strength=[job.style_strength for job, _ in rows],
                batch_size=min(len(rows), self.max_batch_size),
                output_size=jobs[0].output_size,
                callback_on_scale_end=watch,
                **jobs[0].options,
            )
        except ValueError as error:
            if watch.started:
                raise
            raise BadArguments(str(error)) from error

    def _style(self, job: Job) -> PIL.Image.Image | StyleVARReference:
        if len(job.styles) == 1:
            return job.styles[0]
        return self.pipe.blend_styles(list(job.styles), job.blend, fit=job.options.get("fit"))


class _Watch:
    """After each scale: stops what nobody waits for, and hands out partial pictures."""

    def __init__(self, pipe: StyleVARPipeline, jobs: Sequence[Job]):
        self.pipe = pipe
        self.jobs = jobs  # one per row
        self.start = 0  # first row of the part that is being painted
        self.started = False

    def __call__(self, state: StyleVARScaleState) -> None:
        self.started = True
        if all(job.abandoned for job in self.jobs):
            raise _Abandoned
        end = self.start + len(state.codes)
        for row, job in enumerate(self.jobs[self.start : end]):
            if state.scale_index in job.partial_scales and not job.abandoned:
                job.on_partial(self._picture(job, state, row))
        if state.scale_index == state.num_scales - 1:
            self.start = end

    @torch.inference_mode()
    def _picture(self, job: Job, state: StyleVARScaleState, row: int) -> PIL.Image.Image:
        pixels = state.vq_model.decode_latents(state.latents[row : row + 1])
        return self.pipe.postprocess(pixels, [(job.content.height, job.content.width)], "pil", job.output_size)[0]


__all__ = ["WAITING_PIXELS", "BadArguments", "Batcher", "Job", "QueueFull"]
