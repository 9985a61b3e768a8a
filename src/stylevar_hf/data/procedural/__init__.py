# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Triplets that are drawn, not photographed: any number, without a download."""

from typing import TYPE_CHECKING

from ..._common.lazy import lazy_names


_MODULES = {
    "triplets": (
        "load_procedural",
        "procedural_triplet",
        "stream_procedural",
    )
}

if TYPE_CHECKING:
    from .triplets import load_procedural, procedural_triplet, stream_procedural


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = ["load_procedural", "procedural_triplet", "stream_procedural"]
