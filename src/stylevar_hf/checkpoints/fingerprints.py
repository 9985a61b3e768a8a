# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which weights a checkpoint has, in a few characters: results name the model that they are of."""

import json
import os
from pathlib import Path

from transformers.utils import cached_file, find_adapter_config_file
from transformers.utils.hub import extract_commit_hash

from .._common.files import files_digest


# What a result depends on beside the weights.
CONFIG_FILES = ("adapter_config.json", "config.json", "generation_config.json")


def base_of(path: str) -> str | None:
    """What an adapter belongs to, in a folder or on the Hub; `None` of anything else."""
    file = find_adapter_config_file(path)
    return None if file is None else json.loads(Path(file).read_text(encoding="utf-8"))["base_model_name_or_path"]


def fingerprint(path: str) -> str:
    """A hash of a folder's weights and config, or a repository's commit on the Hub; of an adapter its base's too."""
    base = base_of(path)
    return own_fingerprint(path) if base is None else f"{own_fingerprint(path)} on {own_fingerprint(base)}"


def own_fingerprint(path: str) -> str:
    """As [`fingerprint`], of an adapter without its base."""
    if not os.path.isdir(path):
        name = "config.json" if base_of(path) is None else "adapter_config.json"
        return str(extract_commit_hash(cached_file(path, name), None))
    files = sorted(Path(path).glob("*"))
    return files_digest(file for file in files if file.suffix == ".safetensors" or file.name in CONFIG_FILES)[:16]


__all__ = ["base_of", "fingerprint", "own_fingerprint"]
