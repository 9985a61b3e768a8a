# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What `/metrics` tells Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """
    Counters of one server, apart from those of others in the same process.

    Args:
        waiting (`Callable[[], int]`): Gives the pictures that wait.
    """

    def __init__(self, waiting: Callable[[], int]):
        self.registry = registry = CollectorRegistry()
        self.answers = Counter("stylevar_answers", "Answers by status.", ["status"], registry=registry)
        self.images = Counter("stylevar_images", "Pictures painted.", registry=registry)
        self.request_seconds = Histogram(
            "stylevar_request_seconds",
            "From a complete request to its last byte.",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram("stylevar_batch_size", "Pictures of a batch.", buckets=SIZES, registry=registry)
        self.batch_seconds = Histogram(
            "stylevar_batch_seconds", "Painting of a batch.", buckets=SECONDS, registry=registry
        )
        Gauge("stylevar_waiting_images", "Pictures in the queue.", registry=registry).set_function(waiting)

    def on_batch(self, size: int, seconds: float) -> None:
        """See [`Batcher`]."""
        self.images.inc(size)
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


__all__ = ["Metrics"]
