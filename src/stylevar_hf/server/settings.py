# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a server allows, and how it collects requests into batches."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ServerSettings:
    """
    Args:
        model_name (`str`, *optional*, defaults to `"stylevar"`):
            What `/v1/models` calls the model, and what a request may give as `model`.
        max_batch_size (`int`, *optional*, defaults to 8):
            Pictures that are painted at once. At 1, a picture is bit for bit that of the pipeline for the same seed;
            above, up to floating-point rounding.
        max_delay (`float`, *optional*, defaults to 0.01):
            Seconds that the first request of a batch waits for others.
        max_waiting (`int`, *optional*, defaults to 64):
            Pictures that may wait. A request that finds no place is answered 429 with `Retry-After`.
        max_images (`int`, *optional*, defaults to 10):
            Largest `n` of a request; at most `max_waiting`.
        max_body_megabytes (`float`, *optional*, defaults to 24):
            Largest body of a request, all of its files together.
        max_pixels (`int`, *optional*, defaults to 24000000):
            Largest picture that is decoded. The pictures that wait have at most eight times as many together.
        max_output_side (`int`, *optional*, defaults to 2048):
            Longest side of a result, in pixels.
        max_paint_size (`int`, *optional*, defaults to 1024):
            Largest `paint_size` of a request.
        max_candidates (`int`, *optional*, defaults to 16):
            Largest `num_candidates` of a request.
        body_timeout (`float`, *optional*, defaults to 30):
            Seconds in which a body must have arrived.
        stored_megabytes (`float`, *optional*, defaults to 256):
            Memory for results of `response_format="url"`. The oldest leave first, and each after an hour.
        api_key (`str`, *optional*):
            If given, what requests must send as `Authorization: Bearer ...`.

    Raises:
        ValueError: If a value is out of range.
    """

    model_name: str = "stylevar"
    max_batch_size: int = 8
    max_delay: float = 0.01
    max_waiting: int = 64
    max_images: int = 10
    max_body_megabytes: float = 24
    max_pixels: int = 24_000_000
    max_output_side: int = 2048
    max_paint_size: int = 1024
    max_candidates: int = 16
    body_timeout: float = 30
    stored_megabytes: float = 256
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self):
        counts = ("max_batch_size", "max_waiting", "max_images", "max_pixels", "max_output_side")
        counts += ("max_paint_size", "max_candidates")
        for name in (*counts, "max_body_megabytes", "body_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive, but got {getattr(self, name)}. Leave it out.")
        for name in ("max_delay", "stored_megabytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be 0 or more, but got {getattr(self, name)}. Leave it out.")
        if self.max_images > self.max_waiting:
            raise ValueError(
                f"`max_images` must be at most `max_waiting` ({self.max_waiting}), but got {self.max_images}. A "
                "larger request would never find a place."
            )
        if self.api_key is not None and not self.api_key.strip():
            raise ValueError(
                "`api_key` must be a word, but got an empty one. Leave it out for a server without a key."
            )

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_megabytes * 2**20)


__all__ = ["ServerSettings"]
