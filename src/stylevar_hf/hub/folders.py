# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a folder holds that can be published, and what must not be."""

import contextlib
import json
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from .._common.errors import invalid, listed
from .._common.files import existing_folder
from ..configuration_stylevar import StyleVARConfig, StyleVARVQConfig, original_weights_hint
from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..modeling_stylevar_vq import StyleVARVQModel


ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
# What trainers keep for themselves. It is pickled, no one else needs it, and it stays here.
TRAINER_STATE = re.compile(
    r"(training_args|optimizer|scheduler|scaler)\.(bin|pt)|rng_state(_\d+)?\.pth|pytorch_model_fsdp.*|vq_.*state\.pt"
)
PICKLE_SUFFIXES = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
PICTURE_SUFFIXES = (".gif", ".jpeg", ".jpg", ".png", ".webp")
_MODELS = {"stylevar": StyleVARForConditionalGeneration, "stylevar_vq": StyleVARVQModel}


@dataclass(frozen=True)
class CheckpointFolder:
    """
    A folder that was looked at and can be published.

    Args:
        path (`Path`):
            The folder.
        kind (`str`):
            `"model"`, `"adapter"` or `"tokenizer"`.
        weights (`tuple[Path, ...]`):
            Its safetensors files.
        config ([`StyleVARConfig`] or [`StyleVARVQConfig`], *optional*):
            Of a model or a tokenizer.
        num_parameters (`int`, *optional*):
            Of a model or a tokenizer.
        base_model (`str`, *optional*):
            Of an adapter: the name of its base, as it was saved.
        left_out (`tuple[str, ...]`, *optional*):
            Names of pickled trainer states, which are not published.
    """

    path: Path
    kind: str
    weights: tuple[Path, ...]
    config: StyleVARConfig | StyleVARVQConfig | None = None
    num_parameters: int | None = None
    base_model: str | None = None
    left_out: tuple[str, ...] = field(default=())

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.weights)


def inspect_folder(folder: str | os.PathLike, adapter: bool | None = None) -> CheckpointFolder:
    """
    Look at every file of a folder before anything is published.

    Args:
        folder (`str` or `os.PathLike`):
            Where the model, adapter or tokenizer was saved.
        adapter (`bool`, *optional*):
            Whether to take the adapter of the folder. Defaults to `True` if it holds no model.

    Returns:
        [`CheckpointFolder`]

    Raises:
        ValueError: If the folder is no checkpoint, holds pickled weights, or its weights do not fit its config.
    """
    path = existing_folder("folder", folder)
    if hint := original_weights_hint(path):
        raise ValueError(hint)
    left_out = _refuse_pickles(path)
    has_adapter = (path / ADAPTER_CONFIG_NAME).is_file()
    has_model = (path / "config.json").is_file()
    if adapter and not has_adapter:
        raise invalid(
            "folder", f"an adapter, with {ADAPTER_CONFIG_NAME}", str(path), "Leave `adapter` out to publish a model."
        )
    if has_adapter and (adapter or not has_model):
        return _adapter_folder(path, left_out)
    if not has_model:
        raise invalid(
            "folder",
            f"a checkpoint, with config.json or {ADAPTER_CONFIG_NAME}",
            str(path),
            "Save a model there with `save_pretrained`, or give the folder of a trained one.",
        )
    return _model_folder(path, left_out)


def _refuse_pickles(folder: Path) -> tuple[str, ...]:
    """Names of the trainers' own state. Anything else that is pickled raises."""
    left_out, refused = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if TRAINER_STATE.fullmatch(path.name):
            left_out.append(path.name)
        elif path.suffix.lower() in PICKLE_SUFFIXES or _is_pickle(path):
            refused.append(path.name)
    if refused:
        raise invalid(
            "folder",
            "free of pickle files, which run code when they are loaded",
            f"{listed(refused, 5, ', ')} in {folder}",
            "Save the weights as safetensors (`model.save_pretrained`) and move these files elsewhere.",
        )
    return tuple(left_out)


def _is_pickle(path: Path) -> bool:
    """A file that starts as a pickle does (protocol 2 to 5), or a zip archive with one, which `torch.save` writes."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def _adapter_folder(path: Path, left_out: tuple[str, ...]) -> CheckpointFolder:
    config = read_json(path / ADAPTER_CONFIG_NAME)
    weights = path / ADAPTER_WEIGHTS_NAME
    keys = _shapes(weights)
    if not keys:
        raise invalid("folder", "an adapter with weights", f"an empty {weights}", "Save the adapter again.")
    return CheckpointFolder(
        path, "adapter", (weights,), base_model=config.get("base_model_name_or_path"), left_out=left_out
    )


def _model_folder(path: Path, left_out: tuple[str, ...]) -> CheckpointFolder:
    model_type = read_json(path / "config.json").get("model_type")
    if model_type not in _MODELS:
        raise invalid(
            "folder",
            f"a StyleVAR checkpoint (model_type {' or '.join(_MODELS)})",
            f"model_type {model_type!r} in {path / 'config.json'}",
            "Other models are published with their own library.",
        )
    model_class = _MODELS[model_type]
    config = model_class.config_class.from_pretrained(path)
    files = _weight_files(path)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes.update(_shapes(file))
    with torch.device("meta"):
        model = model_class(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = [name for name in expected if shapes.get(name) != expected[name]]
    wrong += [name for name in shapes if name not in expected]
    if wrong:
        raise invalid(
            "folder",
            "a complete checkpoint, whose weights fit its config.json",
            f"{len(wrong)} missing, unknown or misshapen tensors in {path} ({listed(wrong, 3, ', ')})",
            "Save the model again.",
        )
    kind = "model" if model_type == "stylevar" else "tokenizer"
    return CheckpointFolder(path, kind, files, config, model.num_parameters(), left_out=left_out)


def _weight_files(path: Path) -> tuple[Path, ...]:
    """As `from_pretrained` reads them: the single file first, then the shards of the index."""
    if (path / SAFE_WEIGHTS_NAME).is_file():
        return (path / SAFE_WEIGHTS_NAME,)
    if not (path / SAFE_WEIGHTS_INDEX_NAME).is_file():
        raise invalid(
            "folder",
            f"a checkpoint with {SAFE_WEIGHTS_NAME} or {SAFE_WEIGHTS_INDEX_NAME}",
            str(path),
            "Save the model again, as safetensors.",
        )
    names = read_json(path / SAFE_WEIGHTS_INDEX_NAME).get("weight_map")
    names = sorted(set(names.values())) if isinstance(names, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise invalid(
            "folder", "a checkpoint with an index of its shards", str(path / SAFE_WEIGHTS_INDEX_NAME), "Save it again."
        )
    return tuple(path / name for name in names)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of every tensor in a safetensors file; its data are not read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"`folder` must be a complete checkpoint, but got {path}, which is missing or no safetensors file "
            f"({error}). Save the model again."
        ) from error


def read_json(path: Path) -> dict:
    """A JSON object. Raises `ValueError` if the file holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise invalid("folder", "a checkpoint with readable files", f"{path} ({error})", "Save it again.") from error
    if not isinstance(found, dict):
        raise invalid("folder", "a checkpoint with readable files", f"{path}, which is no object", "Save it again.")
    return found


__all__ = ["ADAPTER_CONFIG_NAME", "ADAPTER_WEIGHTS_NAME", "CheckpointFolder", "inspect_folder", "read_json"]
