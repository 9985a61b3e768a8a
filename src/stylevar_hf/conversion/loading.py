# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a user calls a model, and the pipeline that is meant, with every weight in its place. Imports nothing heavy before
it is used.
"""

import os
from typing import TYPE_CHECKING, Any

from ..checkpoints import ALIAS, MODELS, RELEASED, bundled_checkpoint, is_released


if TYPE_CHECKING:
    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..pipeline_stylevar import StyleVARPipeline


def find_checkpoint(model: str | None, **hub_options: Any) -> str:
    """
    What a user calls a model, for `from_pretrained`: `None`, `"bundled"` and the names of the models of this package
    give their folders, unless there is a folder of that name. So do the names of the published models,
    `"stylevar-sft"` and `"stylevar-grpo"`, which are downloaded and converted the first time. Everything else is
    returned as it is.

    Args:
        model (`str`, *optional*):
            The name.
        **hub_options:
            `revision`, `token` and so on, of the published models.

    Raises:
        OSError: If a published model is neither in the cache nor to be had.
    """
    if model is None or model == ALIAS:
        return bundled_checkpoint()
    if is_released(model):
        from .released import find_converted

        return find_converted(model, **hub_options)
    return bundled_checkpoint(model) if model in MODELS and not os.path.isdir(model) else model


def load_pipeline(
    model: str | None, dtype: str = "auto", device: str = "auto", adapter: str | None = None, **place: str | None
) -> "StyleVARPipeline":
    """
    A pipeline with complete weights.

    Args:
        model (`str`, *optional*): Folder, Hub id, or name of a bundled checkpoint; `None` for the default one.
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` or the name of a torch dtype.
        device (`str`, *optional*, defaults to `"auto"`): `"auto"`, `"cpu"`, `"cuda"` or `"mps"`.
        adapter (`str`, *optional*): Folder or Hub id of a LoRA adapter.
        **place (`str`, *optional*): `variant`, `revision`, `subfolder` and `token` of the model.

    Raises:
        OSError: If there is no such model.
        ValueError: If the device is missing or full, or peft for an adapter is missing, or the weights are not exactly
            those of the model.
    """
    import torch
    from transformers.utils import find_adapter_config_file, is_peft_available

    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..pipeline_stylevar import StyleVARPipeline, find_image_processor
    from .read import readable_model

    check_device(device)
    folder, place = model, {name: value for name, value in place.items() if value is not None}
    load = StyleVARForConditionalGeneration.from_pretrained
    dtype = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        if is_released(model or "") or "variant" in place:
            folder, place = StyleVARForConditionalGeneration.resolve_published(model, **place)
        folder = find_checkpoint(folder)
        is_adapter = find_adapter_config_file(folder, **place) is not None
        if not is_peft_available() and (adapter is not None or is_adapter):
            flag, name = ("--model", folder) if adapter is None else ("--adapter", adapter)
            raise ValueError(
                f"`{flag}` must be whole without peft, but got the adapter {name}. Run `pip install peft`."
            )
        base = {"token": place["token"]} if "token" in place else {}
        with readable_model("--model", folder):
            network, info = load(folder, dtype=dtype, output_loading_info=True, **place)
            # An adapter may have none of its own; then its base's is taken.
            image_processor = find_image_processor([(folder, place), (network.config._name_or_path, base)])
    except OSError as error:
        rule = f"the folder of a model, its id on the Hub, or one of {', '.join((*MODELS, *RELEASED))}"
        raise OSError(f"`--model` must be {rule}, but got {folder!r}. {' '.join(str(error).split())}") from error
    _check_weights(folder, info)
    if adapter is not None:
        _put_adapter(network, adapter, base)
    try:
        return StyleVARPipeline(model=network, image_processor=image_processor, device=_device(device))
    except torch.OutOfMemoryError as error:
        hint = "Take --dtype bfloat16 or --device cpu."
        raise ValueError(
            f"`--device` must have room for the model, but got {device!r}, which is full. {hint}"
        ) from error


def _device(device: str) -> str | None:
    return None if device == "auto" else device


def _put_adapter(network: "StyleVARForConditionalGeneration", adapter: str, options: dict[str, Any]) -> None:
    """Loads an adapter, or says in one line that it is none."""
    from transformers.utils import find_adapter_config_file

    from ..pipeline_stylevar import _check_adapter

    try:
        config = find_adapter_config_file(adapter, **options)
        if config is None:
            raise OSError("It has no adapter_config.json.")
        _check_adapter(adapter, config)
        network.load_adapter(adapter, adapter_kwargs=options)
    except (OSError, RuntimeError) as error:
        rule = "the folder of a LoRA adapter for this model, or its id on the Hub"
        raise OSError(f"`--adapter` must be {rule}, but got {adapter!r}. {' '.join(str(error).split())}") from error


def check_device(device: str) -> None:
    """Raise `ValueError` unless this machine has the device; `"auto"` and `"cpu"` every machine has."""
    import torch

    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(device):
        raise ValueError(f"`--device` must be present, but this machine has no {device!r}. Use --device cpu.")


def _check_weights(folder: str, info: dict[str, Any]) -> None:
    """transformers would fill in what is missing with random numbers."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if names := sorted(map(str, info[problem])):
            more = ", ..." if len(names) > 3 else ""
            found = f"{len(names)} {problem.replace('_', ' ')} ({', '.join(names[:3])}{more})"
            raise ValueError(f"`--model` must hold exactly its weights, but {folder} has {found}. Convert it again.")


__all__ = ["check_device", "find_checkpoint", "load_pipeline"]
