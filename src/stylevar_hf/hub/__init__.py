# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Model cards and publishing.

[`make_card`] writes every card: of trainers, of `push_to_hub`, of `stylevar push` and of `model_cards/`.
[`push_folder`] and [`push_model`] upload everything that belongs to a checkpoint in one commit. Only the core
dependencies are needed.
"""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {
    "data_sources": ("DATA_SOURCES", "DataSource", "find_data_sources"),
    "errors": ("explain_hub_error",),
    "folders": ("CheckpointFolder", "inspect_folder"),
    "model_card": ("CardFacts", "make_card"),
    "publishing": ("Upload", "prepared_upload", "push_folder", "push_model"),
    "results": ("Result", "read_results"),
}

if TYPE_CHECKING:
    from .data_sources import DATA_SOURCES, DataSource, find_data_sources
    from .errors import explain_hub_error
    from .folders import CheckpointFolder, inspect_folder
    from .model_card import CardFacts, make_card
    from .publishing import Upload, prepared_upload, push_folder, push_model
    from .results import Result, read_results


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "DATA_SOURCES",
    "CardFacts",
    "CheckpointFolder",
    "DataSource",
    "Result",
    "Upload",
    "explain_hub_error",
    "find_data_sources",
    "inspect_folder",
    "make_card",
    "prepared_upload",
    "push_folder",
    "push_model",
    "read_results",
]
