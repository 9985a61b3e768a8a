# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
An HTTP server in the form of OpenAI's image edits: [`build_app`] makes the application, [`serve`] runs it until it is
told to stop. Needs `stylevar-hf[serve]`.
"""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {"app": ("build_app",), "running": ("serve",), "settings": ("ServerSettings",)}
_EXTRAS = {"app": "serve", "running": "serve"}

if TYPE_CHECKING:
    from .app import build_app
    from .running import serve
    from .settings import ServerSettings


__getattr__, __dir__ = lazy_names(__name__, _MODULES, _EXTRAS)

__all__ = ["ServerSettings", "build_app", "serve"]
