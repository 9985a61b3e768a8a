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
"""What is known of checkpoints without their weights, and what is written of them into the results."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..configuration_stylevar import StyleVARConfig
from ..data._messages import invalid
from ..image_processing_stylevar import StyleVARImageProcessor
from ..pipeline_stylevar import StyleVARPipeline


# What a result depends on beside the weights.
CONFIG_FILES = ("adapter_config.json", "config.json", "generation_config.json")


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
    """Image size and image processing of a checkpoint, or of the one that an adapter belongs to, without weights."""
    adapter = Path(path) / "adapter_config.json"
    if adapter.is_file() and not (Path(path) / "config.json").is_file():
        return _read_processor(json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"])
    side = StyleVARConfig.from_pretrained(path).image_size
    if os.path.isdir(path) and not os.path.isfile(os.path.join(path, "preprocessor_config.json")):
        return side, StyleVARImageProcessor(size={"height": side, "width": side})
    return side, StyleVARImageProcessor.from_pretrained(path)


def describe_pipeline(pipeline: StyleVARPipeline) -> dict[str, Any]:
    """With what a checkpoint painted."""
    device = pipeline.device
    generation = pipeline.model.generation_config
    return {
        "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "sampling": {name: getattr(generation, name) for name in ("do_sample", "top_k", "top_p", "temperature")},
    }


def fingerprint(path: str) -> str:
    """A hash of a folder's weights and config, or the commit of a repository on the Hub."""
    if not os.path.isdir(path):
        return str(StyleVARConfig.from_pretrained(path)._commit_hash)
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*")):
        if file.suffix == ".safetensors" or file.name in CONFIG_FILES:
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


__all__ = ["common_processor", "describe_pipeline", "fingerprint"]
