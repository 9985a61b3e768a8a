# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the subcommands that load a model share: its arguments, and loading it with every weight in place."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .base import one_line


if TYPE_CHECKING:
    from ..pipeline_stylevar import StyleVARPipeline


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="ID|DIR",
        help="model on the Hub, in a folder, or a name of this package (default: stylevar-mini)",
    )


def add_precision_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the network; auto is what the checkpoint was saved in (default: auto)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")


def load_pipeline(model: str | None, dtype: str = "auto", device: str = "auto") -> "StyleVARPipeline":
    """
    A pipeline with complete weights.

    Args:
        model (`str`, *optional*): Folder, Hub id, or name of a bundled checkpoint; `None` for the default one.
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` or the name of a torch dtype.
        device (`str`, *optional*, defaults to `"auto"`): `"auto"`, `"cpu"`, `"cuda"` or `"mps"`.

    Raises:
        OSError: If there is no such model.
        ValueError: If the device is missing or full, or peft for an adapter is missing, or the weights are not exactly
            those of the model.
    """
    import torch
    from transformers.utils import find_adapter_config_file, is_peft_available

    from ..checkpoints import MODELS, find_checkpoint
    from ..conversion.read import readable_model
    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..pipeline_stylevar import StyleVARPipeline, find_image_processor

    check_device(device)
    folder = find_checkpoint(model)
    dtype = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        if not is_peft_available() and find_adapter_config_file(folder) is not None:
            raise ValueError(
                f"`--model` must be whole without peft, but got the adapter {folder}. Run `pip install peft`."
            )
        with readable_model("--model", folder):
            load = StyleVARForConditionalGeneration.from_pretrained
            network, info = load(folder, dtype=dtype, output_loading_info=True)
            # An adapter may have none of its own; then its base's is taken.
            image_processor = find_image_processor([(folder, {}), (network.config._name_or_path, {})])
    except OSError as error:
        rule = f"the folder of a model, its id on the Hub, or one of {', '.join(MODELS)}"
        raise OSError(f"`--model` must be {rule}, but got {folder!r}. {one_line(error)}") from error
    _check_weights(folder, info)
    try:
        place = None if device == "auto" else device
        return StyleVARPipeline(model=network, image_processor=image_processor, device=place)
    except torch.OutOfMemoryError as error:
        hint = "Take --dtype bfloat16 or --device cpu."
        raise ValueError(
            f"`--device` must have room for the model, but got {device!r}, which is full. {hint}"
        ) from error


def check_device(device: str) -> None:
    """Raise `ValueError` unless this machine has the device; `"auto"` and `"cpu"` every machine has."""
    import torch

    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(device):
        raise ValueError(f"`--device` must be present, but this machine has no {device!r}. Use --device cpu.")


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
    transformers_logging.disable_progress_bar()
    try:
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
