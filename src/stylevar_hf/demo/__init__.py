# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The demo in the browser: `load_demo` makes the page for a checkpoint, `build_demo` for a pipeline, and `launch_demo`
serves it with limits. Needs `stylevar-hf[demo]`.
"""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {"page": ("build_demo", "launch_demo", "load_demo")}
_EXTRAS = {"page": "demo"}

if TYPE_CHECKING:
    from .page import build_demo, launch_demo, load_demo


__getattr__, __dir__ = lazy_names(__name__, _MODULES, _EXTRAS)

__all__ = ["build_demo", "launch_demo", "load_demo"]
