# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the subcommands that load a model share: its arguments, and loading it with every weight in place."""

import argparse
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .base import one_line


if TYPE_CHECKING:
    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..pipeline_stylevar import StyleVARPipeline


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="ID|DIR",
        help="model on the Hub, in a folder, or a name of this package; stylevar-sft and stylevar-grpo are the "
        "published models, which are downloaded and converted the first time (default: stylevar-mini)",
    )


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Where --model is, more closely."""
    parser.add_argument("--adapter", metavar="ID|DIR", help="a LoRA adapter for the model; needs peft")
    parser.add_argument("--variant", metavar="NAME", help="of a repository with published .pth files: sft or grpo")
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit of --model (default: main)")
    parser.add_argument("--subfolder", metavar="DIR", help="of the repository or folder that --model names")
    parser.add_argument("--token", metavar="TOKEN", help="for a private repository (default: your login's)")


def add_precision_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the network; auto is what the checkpoint was saved in (default: auto)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")


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

    from ..checkpoints import MODELS, RELEASED, find_checkpoint, is_released
    from ..conversion.read import readable_model
    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..pipeline_stylevar import StyleVARPipeline, find_image_processor

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
        raise OSError(f"`--model` must be {rule}, but got {folder!r}. {one_line(error)}") from error
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
        raise OSError(f"`--adapter` must be {rule}, but got {adapter!r}. {one_line(error)}") from error


def check_device(device: str) -> None:
    """Raise `ValueError` unless this machine has the device; `"auto"` and `"cpu"` every machine has."""
    import torch

    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(device):
        raise ValueError(f"`--device` must be present, but this machine has no {device!r}. Use --device cpu.")


@contextmanager
def hub_bars(shown: bool) -> Iterator[None]:
    """With or without the bars of downloads from the Hub; they appear on terminals alone."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_disabled = are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `HF_HUB_DISABLE_PROGRESS_BARS`, which wins
        (enable_progress_bars if shown else disable_progress_bars)()
        try:
            yield
        finally:
            (disable_progress_bars if were_disabled else enable_progress_bars)()


@contextmanager
def hide_loading_reports(quiet: bool) -> Iterator[None]:
    """What transformers reports of weights is an error here, and said in one line. If `quiet`, our notices go too."""
    from transformers.utils import logging as transformers_logging

    # ours, and the Hub's, which tells how often it tries to reach it
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in ("stylevar_hf", "huggingface_hub")}
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    for logger, level in levels.items():
        logger.setLevel(logging.ERROR if quiet else level)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # the Hub's, too
    try:
        with hub_bars(not quiet):
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _check_weights(folder: str, info: dict[str, Any]) -> None:
    """transformers would fill in what is missing with random numbers."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if names := sorted(map(str, info[problem])):
            more = ", ..." if len(names) > 3 else ""
            found = f"{len(names)} {problem.replace('_', ' ')} ({', '.join(names[:3])}{more})"
            raise ValueError(f"`--model` must hold exactly its weights, but {folder} has {found}. Convert it again.")
