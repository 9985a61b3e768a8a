# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is known of checkpoints without their weights, and what is written of them into the results."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    cached_file,
)

from ..._common.errors import invalid
from ...checkpoints.fingerprints import base_of
from ...configuration_stylevar import StyleVARConfig
from ...image_processing_stylevar import StyleVARImageProcessor
from ...pipeline_stylevar import StyleVARPipeline, find_image_processor


WEIGHT_FILES = (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME, WEIGHTS_INDEX_NAME)


def common_processor(models: Mapping[str, str], image_size: int | None) -> StyleVARImageProcessor:
    """
    How pictures are brought to the size at which they are painted and compared, the same for all checkpoints.

    Args:
        models (`Mapping[str, str]`):
            Name to folder or Hub id.
        image_size (`int`, *optional*):
            Side in pixels where there are none.

    Raises:
        ValueError: If checkpoints differ in size or in how they resize, or there is no size.
        OSError: If a checkpoint does not exist.
    """
    sizes, processors = {}, {}
    for name, path in models.items():
        try:
            sizes[name], processors[name] = _read_processor(path)
        except OSError as error:
            raise OSError(f"`models` must be folders or Hub ids of checkpoints, but got {path!r}: {error}") from error
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name}: {size} x {size}" for name, size in sizes.items())
        raise invalid("models", "of one image size", found, "Evaluate them one by one, into different folders.")
    modes = {name: processor.resize_mode for name, processor in processors.items()}
    if len(set(modes.values())) > 1:
        found = ", ".join(f"{name}: {mode}" for name, mode in modes.items())
        raise invalid("models", "of one `resize_mode`", found, "Evaluate them one by one, into different folders.")
    if processors:
        return next(iter(processors.values()))
    if image_size is None:
        raise invalid("image_size", "given where no checkpoint gives it", None, "The paper's is 256.")
    return StyleVARImageProcessor(size={"height": image_size, "width": image_size})


def _read_processor(path: str) -> tuple[int, StyleVARImageProcessor]:
    """Image size and image processing of a checkpoint or an adapter, as the pipeline has them, without weights."""
    base = base_of(path)
    side = StyleVARConfig.from_pretrained(base or path).image_size
    _check_complete(base or path)
    processor = find_image_processor([(place, {}) for place in (path, base) if place is not None])
    return side, processor or StyleVARImageProcessor(size={"height": side, "width": side})


def _check_complete(path: str) -> None:
    """Raises `OSError` where there is no config, for which transformers would take the default one, or no weights."""
    if cached_file(path, "config.json") is None:
        raise OSError(f"{path} has no config.json. Name the folder or repository of a model.")
    if os.path.isdir(path) and not any(Path(path, file).is_file() for file in WEIGHT_FILES):
        raise OSError(f"{path} has a config.json, but no {SAFE_WEIGHTS_NAME}. Save the model there.")


def describe_pipeline(pipeline: StyleVARPipeline) -> dict[str, Any]:
    """With what a checkpoint painted."""
    generation = pipeline.model.generation_config
    return {
        "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "device": device_name(pipeline.device),
        "sampling": {name: getattr(generation, name) for name in ("do_sample", "top_k", "top_p", "temperature")},
    }


def device_name(device: torch.device) -> str:
    """What times are of: the model of a GPU, or the kind of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


__all__ = ["common_processor", "describe_pipeline", "device_name"]
