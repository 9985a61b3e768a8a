# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The files of a publication, put together in a scratch folder beside those that stay where they are."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, save_torch_state_dict
from safetensors.torch import load_file
from transformers import GenerationConfig, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import GENERATION_CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import convert_file_size_to_int

from .._common.errors import invalid
from ..image_processing_stylevar import StyleVARImageProcessor
from ..modeling_stylevar import StyleVARForConditionalGeneration, carry_source_files
from ..modeling_stylevar_vq import StyleVARVQModel
from .card_facts import architecture_facts
from .data_sources import find_data_sources
from .folders import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, PICTURE_SUFFIXES, CheckpointFolder, read_json
from .licences import licence_file
from .model_card import CardFacts, is_repository, make_card, with_repo_id, with_results
from .results import read_results


RESULTS_NAME = "results.json"
PROCESSOR_NAME = "preprocessor_config.json"
# In the cards that PEFT and transformers save beside weights, for someone to fill in.
_TEMPLATE = "[More Information Needed]"
_CARD_OPTIONS = ("license", "license_name", "license_link", "datasets", "tags")


@dataclass(frozen=True)
class Publication:
    """
    How a folder is to be published.

    Args:
        repo_id (`str`):
            The repository.
        base_model (`str`, *optional*):
            The repository of the base.
        max_shard_size (`int` or `str`):
            Size above which the weights are split.
        card (`dict[str, Any]`, *optional*):
            `license`, `license_name`, `license_link`, `datasets`, `tags`.
        has_merged (`bool`, *optional*, defaults to `False`):
            Whether merged weights go beside an adapter.
    """

    repo_id: str
    base_model: str | None
    max_shard_size: int | str
    card: dict[str, Any] = field(default_factory=dict)
    has_merged: bool = False

    def __post_init__(self):
        if unknown := sorted(set(self.card) - set(_CARD_OPTIONS)):
            raise TypeError(f"unexpected options {', '.join(unknown)}; known are {', '.join(_CARD_OPTIONS)}")
        parse_size(self.max_shard_size)


def parse_size(size: int | str) -> int:
    """Bytes of a size such as `"5GB"`."""
    try:
        found = convert_file_size_to_int(size)
    except (TypeError, ValueError):
        found = 0
    if found <= 0:
        raise invalid("max_shard_size", "a size such as 5GB or 500MB", repr(size), "Leave it out for 5GB.")
    return found


def stage(
    checkpoint: CheckpointFolder, scratch: Path, publication: Publication
) -> tuple[dict[str, Path], set[str], list[str]]:
    """
    What is to be published of a folder.

    Args:
        checkpoint ([`CheckpointFolder`]):
            What was found in the folder.
        scratch (`Path`):
            A folder to make, for the files that are written here.
        publication ([`Publication`]):
            How.

    Returns:
        `tuple(dict[str, Path], set[str], list[str])`: The files by their path in the repository, the names of those
        that the folder did not have, and notices.
    """
    scratch.mkdir(parents=True)
    made_up, notices = set(), []
    if checkpoint.left_out:
        names = ", ".join(checkpoint.left_out)
        notices.append(f"Left out, for they are pickled and of use to the trainer alone: {names}")
    if checkpoint.kind == "adapter":
        files = _stage_adapter(checkpoint, scratch, publication)
    else:
        files = _stage_weights(checkpoint, scratch, publication)
        _stage_configs(checkpoint, scratch)
    if _stage_processor(checkpoint, scratch):
        made_up.add(PROCESSOR_NAME)
        notices.append(f"{checkpoint.path} has no {PROCESSOR_NAME}: pictures are stretched, as published")
    card, is_new = _card(checkpoint, publication)
    card.save(scratch / "README.md")
    if is_new:
        made_up.add("README.md")
    if _stage_licence(checkpoint, scratch, card):
        made_up.add("LICENSE")
    if not card.data.get("license"):
        notices.append("No licence is stated for the weights: give one with `license`")
    files.update({path.name: path for path in scratch.iterdir() if path.is_file()})
    files.update(_extra_files(checkpoint.path, card))
    return files, made_up, notices


def _stage_weights(checkpoint: CheckpointFolder, scratch: Path, publication: Publication) -> dict[str, Path]:
    """The weights as they are, or split anew where a file is too large."""
    limit = parse_size(publication.max_shard_size)
    if len(checkpoint.weights) == 1 and checkpoint.weights[0].stat().st_size <= limit:
        return {SAFE_WEIGHTS_NAME: checkpoint.weights[0]}
    if len(checkpoint.weights) > 1 and all(path.stat().st_size <= limit for path in checkpoint.weights):
        index = checkpoint.path / SAFE_WEIGHTS_INDEX_NAME
        return {path.name: path for path in (index, *checkpoint.weights)}
    tensors: dict[str, torch.Tensor] = {}
    for path in checkpoint.weights:
        tensors.update(load_file(path))  # mapped, not read
    save_torch_state_dict(tensors, scratch, max_shard_size=limit, metadata={"format": "pt"})
    return {}


def _stage_configs(checkpoint: CheckpointFolder, scratch: Path) -> None:
    model = _empty_model(checkpoint)
    model.config.architectures = [type(model).__name__]
    if model.is_remote_code():  # the source files, so that the repository loads where this package is not installed
        custom_object_save(model, scratch, config=model.config)
        if checkpoint.kind == "model":
            carry_source_files(scratch)
    model.config.save_pretrained(scratch)
    if checkpoint.kind != "model":
        return
    if (checkpoint.path / GENERATION_CONFIG_NAME).is_file():
        GenerationConfig.from_pretrained(checkpoint.path).save_pretrained(scratch)
    else:
        model.generation_config.save_pretrained(scratch)


def _empty_model(checkpoint: CheckpointFolder) -> PreTrainedModel:
    model_class = StyleVARForConditionalGeneration if checkpoint.kind == "model" else StyleVARVQModel
    with torch.device("meta"):
        return model_class(checkpoint.config)


def _stage_processor(checkpoint: CheckpointFolder, scratch: Path) -> bool:
    """Writes the processor of the folder, or a model's default; returns whether it was the latter."""
    if (checkpoint.path / PROCESSOR_NAME).is_file():
        StyleVARImageProcessor.from_pretrained(checkpoint.path).save_pretrained(scratch)
        return False
    if checkpoint.kind != "model":
        return False
    side = checkpoint.config.image_size
    StyleVARImageProcessor(size={"height": side, "width": side}).save_pretrained(scratch)
    return True


def _stage_adapter(checkpoint: CheckpointFolder, scratch: Path, publication: Publication) -> dict[str, Path]:
    base = publication.base_model or checkpoint.base_model
    if not is_repository(base) or "/" not in base:
        raise invalid(
            "base_model",
            "the repository of the adapter's base, such as user/name",
            repr(base),
            "Publish the base first, then name it here: without it nobody else can load the adapter.",
        )
    config = {**read_json(checkpoint.path / ADAPTER_CONFIG_NAME), "base_model_name_or_path": base}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (scratch / ADAPTER_CONFIG_NAME).write_text(text, encoding="utf-8")
    return {ADAPTER_WEIGHTS_NAME: checkpoint.weights[0]}


def _card(checkpoint: CheckpointFolder, publication: Publication) -> tuple[ModelCard, bool]:
    """The card of the folder, brought up to date, or a new one; and whether it is new."""
    results = read_results(checkpoint.path / RESULTS_NAME)
    options = publication.card
    path = checkpoint.path / "README.md"
    if not path.is_file() or _TEMPLATE in path.read_text(encoding="utf-8", errors="replace"):
        return make_card(_facts(checkpoint, publication, results)), True
    try:
        card = with_repo_id(ModelCard(path.read_text(encoding="utf-8")), publication.repo_id)
    except Exception as error:  # whatever the YAML parser and huggingface_hub raise for a broken head
        reason = " ".join(str(error).split())
        problem = f"{path} ({reason})"
        raise invalid("folder", "a checkpoint with a valid README.md", problem, "Fix its head.") from error
    if results:
        card = with_results(card, results)
    for name in ("license", "license_name", "license_link"):
        if options.get(name):
            card.data[name] = options[name]
    base = publication.base_model or checkpoint.base_model
    if base:
        card.data.base_model = base
    if extra := options.get("tags"):
        card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *_as_list(extra)]))
    if datasets := [source.hub_id for source in find_data_sources(options.get("datasets")) if source.hub_id]:
        card.data.datasets = list(dict.fromkeys([*(card.data.datasets or []), *datasets]))
    return card, False


def _facts(checkpoint: CheckpointFolder, publication: Publication, results: list) -> CardFacts:
    config, options = checkpoint.config, publication.card
    return CardFacts(
        name=publication.repo_id.split("/")[-1],
        image_size=_image_size(checkpoint),
        kind=checkpoint.kind,
        repo_id=publication.repo_id,
        architecture={} if config is None else architecture_facts(config, checkpoint.num_parameters),
        base_model=publication.base_model or checkpoint.base_model,
        license=options.get("license"),
        license_name=options.get("license_name"),
        license_link=options.get("license_link"),
        data=find_data_sources(options.get("datasets")),
        results=results,
        tags=_as_list(options.get("tags")),
        merged=publication.has_merged,
    )


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _image_size(checkpoint: CheckpointFolder) -> int | None:
    """An adapter does not say for which size it is, but the processor beside it does."""
    if checkpoint.config is not None:
        return checkpoint.config.image_size
    if (checkpoint.path / PROCESSOR_NAME).is_file():
        return StyleVARImageProcessor.from_pretrained(checkpoint.path).size["height"]
    return None


def _stage_licence(checkpoint: CheckpointFolder, scratch: Path, card: ModelCard) -> bool:
    for name in ("LICENSE", "LICENSE.md", "LICENSE.txt"):
        if (checkpoint.path / name).is_file():
            (scratch / name).write_bytes((checkpoint.path / name).read_bytes())
            return False
    names = (card.data.get(name) for name in ("license", "license_name", "license_link"))
    (scratch / "LICENSE").write_text(licence_file(*names), encoding="utf-8")
    return True


def _extra_files(folder: Path, card: ModelCard) -> dict[str, Path]:
    """Evaluation results, and the pictures that the card shows."""
    files = {RESULTS_NAME: folder / RESULTS_NAME} if (folder / RESULTS_NAME).is_file() else {}
    # `stylevar evaluate` makes a folder per checkpoint there.
    evaluations = folder / ".eval_results"
    if evaluations.is_dir() and len(below := [path for path in evaluations.iterdir() if path.is_dir()]) == 1:
        evaluations = below[0]
    for pattern in ("*.yaml", "*.yml"):
        files.update({f".eval_results/{path.name}": path for path in sorted(evaluations.glob(pattern))})
    for link in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)|<img[^>]+src=[\"']([^\"']+)", card.text):
        name = (link[0] or link[1]).removeprefix("./")
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.suffix.lower() in PICTURE_SUFFIXES
        if inside and path.is_file():
            files[path.relative_to(folder.resolve()).as_posix()] = path
    return files


__all__ = ["PROCESSOR_NAME", "RESULTS_NAME", "Publication", "parse_size", "stage"]
