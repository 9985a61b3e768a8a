# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Small files of a run and its checkpoints: each is whole or not there, and says when it is missing."""

import json
import os
from collections.abc import Mapping
from typing import Any

import PIL.Image
import safetensors.torch
import torch

from ..._common.files import replacing, write_json


def save_tensors(path: str, tensors: Mapping[str, torch.Tensor] | None) -> None:
    """Write under a temporary name first; `None` removes what is there."""
    if tensors is None:
        if os.path.isfile(path):
            os.remove(path)
        return
    tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"format": "pt"})


def save_json(path: str, state: Mapping[str, Any]) -> None:
    """Write under a temporary name first."""
    write_json(path, state, allow_nan=True)


def save_picture(path: str | os.PathLike, picture: PIL.Image.Image) -> None:
    """Write a PNG under a temporary name first, into a folder that is made where it is missing."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def load_tensors(place: str | os.PathLike, name: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file of a folder."""
    return safetensors.torch.load_file(_existing(place, name))


def load_json(place: str | os.PathLike, name: str) -> dict[str, Any]:
    """Read a JSON file of a folder."""
    with open(_existing(place, name), encoding="utf-8") as file:
        return json.load(file)


def _existing(place: str | os.PathLike, name: str) -> str:
    path = os.path.join(place, name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`resume_from_checkpoint` must be of the same kind of training, with the file {name}, but there is none "
            f"in {os.fspath(place)!r}. Resume from another checkpoint."
        )
    return path


__all__ = ["load_json", "load_tensors", "save_json", "save_picture", "save_tensors"]
