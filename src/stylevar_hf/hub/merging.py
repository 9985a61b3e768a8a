# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Base and adapter in one, to be published beside the adapter."""

from pathlib import Path

from transformers.utils import is_peft_available

from ..modeling_stylevar import StyleVARForConditionalGeneration
from .folders import CheckpointFolder


def merge_adapter(
    checkpoint: CheckpointFolder, folder: Path, base_model: str | None = None, token: str | bool | None = None
) -> Path:
    """
    Load the base of an adapter, merge the adapter into it, and save the result.

    Args:
        checkpoint ([`CheckpointFolder`]):
            The adapter.
        folder (`Path`):
            Where the merged model goes.
        base_model (`str`, *optional*):
            The base. Defaults to the one that the adapter names.
        token (`str` or `bool`, *optional*):
            To fetch it with.

    Returns:
        `Path`: `folder`.

    Raises:
        ValueError: If `peft` is not installed.
        OSError: If the base cannot be loaded.
    """
    if not is_peft_available():
        raise ValueError("`merged` must be a folder without peft, but got True. Install it with `pip install peft`.")
    from peft import PeftModel

    # What the adapter names is tried first: it may be a folder here, which spares the download.
    name = checkpoint.base_model if checkpoint.base_model and Path(checkpoint.base_model).is_dir() else base_model
    model = StyleVARForConditionalGeneration.from_pretrained(name or checkpoint.base_model, token=token)
    merged = PeftModel.from_pretrained(model, checkpoint.path).merge_and_unload()
    merged.save_pretrained(folder)
    if (checkpoint.path / "preprocessor_config.json").is_file():
        (folder / "preprocessor_config.json").write_bytes((checkpoint.path / "preprocessor_config.json").read_bytes())
    return folder


__all__ = ["merge_adapter"]
