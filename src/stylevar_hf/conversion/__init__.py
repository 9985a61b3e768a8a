# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Published `.pth` files to a `from_pretrained` folder, and back; see `convert.py`."""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {
    "convert": (
        "convert_original_checkpoint",
        "convert_to_original",
        "convert_var_checkpoint",
    ),
    "released": ("cached_conversion", "convert_repository"),
}

if TYPE_CHECKING:
    from .convert import convert_original_checkpoint, convert_to_original, convert_var_checkpoint
    from .released import cached_conversion, convert_repository


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "cached_conversion",
    "convert_original_checkpoint",
    "convert_repository",
    "convert_to_original",
    "convert_var_checkpoint",
]
