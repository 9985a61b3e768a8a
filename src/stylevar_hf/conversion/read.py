# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Files of the conversion: published checkpoints in and out, safetensors out, all or nothing."""

import argparse
import contextlib
import json
import os
import pickle
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm.auto import tqdm
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME


# Keys under which a state dict is found in a larger file, most specific first.
TRANSFORMER_CONTAINERS = (
    ("trainer", "var_wo_ddp"),
    ("model",),
    ("state_dict",),
    ("model_state_dict",),
    ("weights",),
    ("params",),
)
VQ_CONTAINERS = (("trainer", "vae_local"), *TRANSFORMER_CONTAINERS[1:])

# Beside the weights in a file of ours: sizes that cannot be read from the tensors.
EXTRAS = "stylevar_hf"
# What a conversion writes, and nothing else is replaced by one.
_WRITTEN = re.compile(
    r"config\.json|generation_config\.json|preprocessor_config\.json|README\.md|\w+_stylevar\w*\.py|"
    r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)

# What DistributedDataParallel and torch.compile put into the names.
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")

_PUBLISHED_LORA_ALPHA = 512.0
_PUBLISHED_LORA_SCALING = 512 / 256

_SAFETENSORS_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
}


@dataclass(frozen=True)
class LoRAAdapter:
    """A low-rank update of one weight, `W + scaling * up @ down` (arXiv 2106.09685)."""

    down: torch.Tensor  # (rank, in_features)
    up: torch.Tensor  # (out_features, rank)
    scaling: float

    def merge_into(self, weight: torch.Tensor) -> torch.Tensor:
        update = self.scaling * (self.up.float() @ self.down.float())
        return (weight.float() + update).to(weight.dtype)


@dataclass
class OriginalCheckpoint:
    """
    The state dict of a published file, tensors still on disk where the format allows it.

    Args:
        argument (`str`): The argument that named the file, for messages.
        path (`Path`): The file.
        tensors (`dict[str, torch.Tensor]`): By published name, wrappers removed, LoRA layers unwrapped.
        adapters (`dict[str, list[LoRAAdapter]]`): By the name of the weight that they update, in order.
        extras (`dict[str, Any]`): Sizes that the published format has no place for; see `convert_to_original`.
    """

    argument: str
    path: Path
    tensors: dict[str, torch.Tensor]
    adapters: dict[str, list[LoRAAdapter]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> torch.Tensor:
        """
        The tensor with its adapters merged.

        Raises:
            ValueError: If it holds NaN or infinity.
        """
        tensor = self.tensors[name].detach()
        for adapter in self.adapters.get(name, ()):
            tensor = adapter.merge_into(tensor)
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(
                f"`{self.argument}` must hold finite weights, but got {self.path} with NaN or infinity in {name}. The "
                "training went wrong before it was saved: use an earlier checkpoint."
            )
        return tensor

    def count(self, pattern: str) -> int:
        """One more than the highest number that `pattern`'s group takes at the start of a name."""
        return max((int(match[1]) + 1 for name in self.tensors if (match := re.match(pattern, name))), default=0)

    def apply(self, adapters: Mapping[str, LoRAAdapter], argument: str, path: Path) -> None:
        """
        Put adapters from `path` on top of those there are.

        Raises:
            ValueError: If there is no weight for one of them, or one of another shape.
        """
        unknown = [name for name in adapters if name not in self.tensors]
        if unknown:
            raise ValueError(
                f"`{argument}` must hold LoRA weights for layers of {self.path}, but got {path} with "
                f"{listing(unknown)} that it does not have. Use the checkpoint that this LoRA was trained on."
            )
        for name, adapter in adapters.items():
            shape = (adapter.up.shape[0], adapter.down.shape[1])
            if self.tensors[name].shape != shape:
                raise ValueError(
                    f"`{argument}` must hold LoRA weights that fit {self.path}, but got {path} with an update of "
                    f"shape {shape} for {name} of shape {tuple(self.tensors[name].shape)}. Use the checkpoint that "
                    "this LoRA was trained on."
                )
            self.adapters.setdefault(name, []).append(adapter)


def listing(names: Sequence[str], shown: int = 4) -> str:
    """`"6 tensors (a, b, c, d, ...)"`."""
    more = ", ..." if len(names) > shown else ""
    return f"{len(names)} tensor{'s' * (len(names) != 1)} ({', '.join(names[:shown])}{more})"


def existing_file(argument: str, path: str | os.PathLike) -> Path:
    """The path, expanded. Raises `FileNotFoundError` or `ValueError` if there is no such file."""
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"`{argument}` must be an existing file, but got {path}. Check the path.")
    if not path.is_file():
        raise ValueError(f"`{argument}` must be a file, but got the folder {path}. Name the checkpoint in it.")
    return path


@contextlib.contextmanager
def readable_model(argument: str, folder: str | os.PathLike) -> Iterator[None]:
    """Of all that libraries raise while they read a damaged model folder, one `ValueError` that names the argument."""
    try:
        yield
    except (KeyError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        # KeyError and RuntimeError: transformers, at an index without its entries and at shapes that differ
        found = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"`{argument}` must be a complete model, but got {folder}, which is damaged. Convert or download it again "
            f"({found})."
        ) from error


def read_checkpoint(
    argument: str,
    path: str | os.PathLike,
    containers: Sequence[tuple[str, ...]] = TRANSFORMER_CONTAINERS,
    base: Callable[[], OriginalCheckpoint] | None = None,
) -> OriginalCheckpoint:
    """
    Read a published file in any of its containers.

    Args:
        argument (`str`):
            The argument that named the file, for messages.
        path (`str` or `os.PathLike`):
            A `.pth` file, or a `.safetensors` file with the same names.
        containers (sequence of `tuple[str, ...]`):
            Where to look for the state dict before taking the file itself for one.
        base (`Callable`, *optional*):
            Reads the checkpoint below, if the file turns out to hold LoRA weights only.

    Returns:
        [`OriginalCheckpoint`]: `base()` with the adapters if the file holds nothing else.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, holds no state dict, or holds LoRA weights that fit nothing.
    """
    path = existing_file(argument, path)
    content = _load(argument, path)
    state = _find_state_dict(argument, path, content, containers)
    tensors = {_WRAPPERS.sub("", name): tensor for name, tensor in state.items()}
    if len(tensors) != len(state):
        raise ValueError(
            f"`{argument}` must hold every tensor once, but got {path} with {len(state) - len(tensors)} both with and "
            "without a wrapper's prefix. Save one state dict only."
        )
    adapters = _split_adapters(argument, path, tensors, _training_arguments(content))
    if adapters and not tensors:
        if base is None:
            rule = "full weights" if argument == "base_path" else "full weights, or come with `base_path`"
            raise ValueError(
                f"`{argument}` must hold {rule}, but got {path}, which holds nothing but LoRA weights. Name the "
                "checkpoint that they were trained on."
            )
        checkpoint = base()
    else:
        extras = content.get(EXTRAS) if isinstance(content, Mapping) else None
        extras = dict(extras) if isinstance(extras, Mapping) else {}
        checkpoint = OriginalCheckpoint(argument, path, tensors, extras=extras)
    checkpoint.apply(adapters, argument, path)
    return checkpoint


def _load(argument: str, path: Path) -> object:
    """The content of a `.pth` or `.safetensors` file; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # `Namespace` only holds attributes; training scripts save their arguments as one
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch, pickle and safetensors raise a dozen types for a file that is not theirs
        refused = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            raise ValueError(
                f"`{argument}` must hold tensors and plain values only, but got {path} with a pickled "
                f"{refused[1]}, which could run code. Where you trust the file, load it and save "
                '`{"model": state_dict}` alone.'
            ) from error
        raise ValueError(
            f"`{argument}` must be a PyTorch checkpoint, but got {path}, which cannot be read as one "
            f"({type(error).__name__}). It may be truncated or of another kind; download it again."
        ) from error


def _find_state_dict(
    argument: str, path: Path, content: object, containers: Sequence[tuple[str, ...]]
) -> dict[str, torch.Tensor]:
    candidates = [content]
    for keys in reversed(containers):
        inner = content
        for key in keys:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        candidates.insert(0, inner)
    for candidate in candidates:
        if isinstance(candidate, Mapping) and any(isinstance(value, torch.Tensor) for value in candidate.values()):
            others = [str(name) for name, value in candidate.items() if not isinstance(value, torch.Tensor)]
            if others:
                raise ValueError(
                    f"`{argument}` must hold a state dict of tensors, but got {path} with {', '.join(others[:4])} in "
                    'it. Save `{"model": state_dict}` alone.'
                )
            return dict(candidate)
    found = f"the keys {list(content)[:8]}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    places = ", ".join(".".join(keys) for keys in containers)
    raise ValueError(
        f"`{argument}` must hold a state dict, by itself or under one of {places}, but got {path} with {found}. "
        'Save `{"model": state_dict}`.'
    )


def _training_arguments(content: object) -> dict:
    """What the training script was called with, if it was saved beside the state dict."""
    arguments = content.get("args") if isinstance(content, Mapping) else None
    if isinstance(arguments, argparse.Namespace):
        arguments = vars(arguments)
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _split_adapters(
    argument: str, path: Path, tensors: dict[str, torch.Tensor], arguments: Mapping
) -> dict[str, LoRAAdapter]:
    """Take the LoRA tensors out of `tensors`, give wrapped layers their plain names back."""
    for name in list(tensors):
        plain = re.sub(r"\.base_(weight|bias)$", r".\1", name)
        if plain not in tensors:
            tensors[plain] = tensors.pop(name)
    layers = sorted({name.rpartition(".")[0] for name in tensors if name.endswith((".lora_A", ".lora_B"))})
    adapters = {}
    for layer in layers:
        down, up = tensors.pop(f"{layer}.lora_A", None), tensors.pop(f"{layer}.lora_B", None)
        if down is None or up is None or down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (down, up)]
            raise ValueError(
                f"`{argument}` must hold `lora_A` (rank, in) and `lora_B` (out, rank) of each adapted layer, but got "
                f"{path} with shapes {shapes[0]} and {shapes[1]} for {layer}. The file is damaged or of another kind."
            )
        adapters[f"{layer}.weight"] = LoRAAdapter(down, up, _scaling(argument, path, down.shape[0], arguments))
    return adapters


def _scaling(argument: str, path: Path, rank: int, arguments: Mapping) -> float:
    """`alpha / rank`, as the published trainer has it; its defaults where the file does not say."""
    if arguments.get("lora_rank") is None and arguments.get("lora_alpha") is None:
        return _PUBLISHED_LORA_SCALING
    if arguments.get("lora_rank") not in (None, rank):
        raise ValueError(
            f"`{argument}` must hold LoRA weights of one rank, but got {path} with tensors of rank {rank} beside "
            f"lora_rank={arguments['lora_rank']}. The file is damaged or put together from two."
        )
    alpha = arguments.get("lora_alpha")
    return (_PUBLISHED_LORA_ALPHA if alpha is None else float(alpha)) / rank


@dataclass(frozen=True)
class Weight:
    """A tensor to be written, read only when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]

    @property
    def num_bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def save_weights(weights: Sequence[Weight], folder: Path, bar: tqdm, max_shard_size: int | str | None = None) -> None:
    """
    Write `model.safetensors`, or shards and their index, one tensor in memory at a time.

    Args:
        weights (sequence of [`Weight`]): What to write.
        folder (`Path`): Where to.
        bar (`tqdm`): Advanced by the bytes written.
        max_shard_size (`int` or `str`, *optional*): Bytes or `"5GB"`; `None` writes a single file.
    """
    by_name = {weight.name: weight for weight in weights}
    total = sum(weight.num_bytes for weight in weights)
    split = split_state_dict_into_shards_factory(
        by_name,
        get_storage_size=lambda weight: weight.num_bytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=total + 1 if max_shard_size is None else max_shard_size,
    )
    for filename, names in split.filename_to_tensors.items():
        _write_safetensors([by_name[name] for name in names], folder / filename, bar)
    if split.is_sharded:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(split.tensor_to_filename.items()))}
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    elif list(split.filename_to_tensors) != [SAFE_WEIGHTS_NAME]:
        raise RuntimeError(f"huggingface_hub named the only shard {list(split.filename_to_tensors)}.")


def _write_safetensors(weights: Iterable[Weight], path: Path, bar: tqdm) -> None:
    """The safetensors format: length of the header, header, data; widest dtypes first keeps every tensor aligned."""
    weights = sorted(weights, key=lambda weight: (-weight.dtype.itemsize, weight.name))
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for weight in weights:
        start, end = end, end + weight.num_bytes
        dtype = _SAFETENSORS_DTYPES[weight.dtype]
        header[weight.name] = {"dtype": dtype, "shape": list(weight.shape), "data_offsets": [start, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for weight in weights:
            tensor = weight.read().reshape(weight.shape).to(weight.dtype).contiguous()
            file.write(tensor.flatten().view(torch.uint8).numpy().data)
            bar.update(weight.num_bytes)


def save_original(files: Mapping[Path, Mapping[str, torch.Tensor]], bar: tqdm) -> None:
    """Write state dicts with `torch.save`; no file appears before all are complete."""
    temporary: dict[Path, Path] = {}
    try:
        for path, state in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            os.close(descriptor)
            temporary[path] = Path(name)
            try:
                torch.save(dict(state), name)
            except RuntimeError as error:  # what torch makes of an error of the disk
                cause = str(error).splitlines()[0]
                raise OSError(f"{path} must have room on its disk, but it could not be written ({cause}).") from error
            bar.update(sum(tensor.nbytes for tensor in state.values() if isinstance(tensor, torch.Tensor)))
        for path, written in temporary.items():
            _share_like_new(written, 0o666)
            written.replace(path)
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_in_progress(output_dir: Path) -> Iterator[Path]:
    """A temporary folder beside `output_dir` that takes its place when the block ends well and vanishes otherwise."""
    output_dir = output_dir.resolve()
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}.", dir=output_dir.parent))
    try:
        yield folder
        _share_like_new(folder, 0o777)
        with _set_aside(output_dir):
            folder.rename(output_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """
    Move `folder`, if there is one, out of the way; back if the block fails. Otherwise what a conversion wrote goes for
    good, and everything else moves into the new one.
    """
    if not folder.exists():
        yield
        return
    shelter = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    folder.rename(shelter / "old")
    try:
        yield
        for entry in (shelter / "old").iterdir():
            if not _WRITTEN.fullmatch(entry.name):  # somebody else's: it stays
                entry.rename(folder / entry.name)
    except BaseException:
        if not folder.exists():
            (shelter / "old").rename(folder)
        raise
    finally:
        shutil.rmtree(shelter, ignore_errors=True)


def check_output_dir(output_dir: str | os.PathLike, overwrite: bool, sources: Iterable[str | os.PathLike]) -> Path:
    """
    The folder to make, expanded.

    Raises:
        ValueError: If `output_dir` is a file, holds something and `overwrite` is off, is not a model folder although
            `overwrite` is on, or holds one of `sources`.
    """
    output_dir = Path(output_dir).expanduser()

    def refuse(rule: str, hint: str) -> None:
        raise ValueError(f"`output_dir` must be {rule}, but got {output_dir}. {hint}")

    if output_dir.exists() and not output_dir.is_dir():
        refuse("a folder", "There is a file of that name.")
    if not output_dir.exists() or not any(output_dir.iterdir()):
        return output_dir
    if not overwrite:
        refuse("a new or empty folder", "Choose another one, or pass `overwrite=True` to replace this model.")
    if not (output_dir / "config.json").is_file():
        refuse("a folder with a `config.json` to be overwritten", "It holds something else; choose another one.")
    try:
        kind = json.loads((output_dir / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (AttributeError, OSError, ValueError):
        kind = None
    if kind != "stylevar":
        refuse("a folder with a StyleVAR model to be overwritten", f"Its model is a {kind}; choose another one.")
    for source in map(Path, sources):
        if source.expanduser().resolve().is_relative_to(output_dir.resolve()):
            refuse(f"a folder without {source.name} to be overwritten", "The source would be lost.")
    return output_dir


def _shown_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"


def check_room(needed: dict[Path, int]) -> None:
    """Raises `OSError` unless the disks have room for so many bytes; folders on one disk share it."""
    by_disk: dict[int, tuple[Path, int]] = {}
    for folder, size in needed.items():
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        device = there.stat().st_dev
        by_disk[device] = (there, by_disk.get(device, (there, 0))[1] + size)
    for there, size in by_disk.values():
        free = shutil.disk_usage(there).free
        if size > free:
            raise OSError(
                f"{str(there)!r} must have room for {_shown_bytes(size)}, but only {_shown_bytes(free)} are free. "
                "Make room, or choose another disk (downloads go to `HF_HOME`)."
            )


def _share_like_new(path: Path, mode: int) -> None:
    """Temporary files are private; give this one the permissions that an ordinary new one gets."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def progress_bar(total: int, progress: bool, description: str) -> tqdm:
    """A bar over bytes; silent unless `progress`."""
    return tqdm(total=total, unit="B", unit_scale=True, desc=description, disable=not progress)
