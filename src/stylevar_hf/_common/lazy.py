# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of a package that are imported when they are first asked for (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]], extras: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    `__getattr__` and `__dir__` of a package.

    Args:
        package (`str`):
            Its `__name__`.
        modules (`Mapping[str, Sequence[str]]`):
            The names that each of its modules holds.
        extras (`Mapping[str, str]`, *optional*):
            Modules that need more than the core dependencies, and the extra of `stylevar-hf` that brings it.

    Returns:
        `tuple(Callable, Callable)`
    """
    homes = {name: module for module, names in modules.items() for name in names}
    extras = extras or {}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        try:
            value = getattr(importlib.import_module(f".{home}", package), name)
        except ModuleNotFoundError as error:
            if home not in extras or (error.name or "").startswith(package):
                raise
            raise ModuleNotFoundError(
                f"`{name}` needs {error.name}, which is not installed. Install it with `pip install "
                f"stylevar-hf[{extras[home]}]`.",
                name=error.name,
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__


__all__ = ["lazy_names"]
