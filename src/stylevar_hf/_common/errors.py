# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The wording of errors."""

import importlib.util
from collections.abc import Iterable, Sequence


# How many names an error message lists before it says how many more there are.
MAX_LISTED = 20


def invalid(name: str, rule: str, value: object, hint: str) -> ValueError:
    """The error for an argument that breaks its rule."""
    return ValueError(f"`{name}` must be {rule}, but got {value}. {hint}")


class WeightsUnavailable(FileNotFoundError):
    """Weights of a network are not on this machine. The message names the file, where it goes and where to get it."""


def require_packages(owner: str, packages: Sequence[str], extra: str) -> None:
    """
    Raises `ModuleNotFoundError`, with what to install, unless all packages are there.

    Args:
        owner (`str`): What needs them, at the start of a sentence: `"The reward 'lpips'"`.
        packages (sequence of `str`): Names to import.
        extra (`str`): The extra of `stylevar-hf` that brings them.
    """
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ModuleNotFoundError(
            f"{owner} needs {', '.join(missing)}, which is not installed. Run `pip install stylevar-hf[{extra}]`.",
            name=missing[0],
        )


def listed(items: Iterable[object], limit: int = MAX_LISTED, separator: str = "\n") -> str:
    """The first `limit` items, and how many more there are."""
    items = [str(item) for item in items]
    more = [f"... and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join([*items[:limit], *more])


__all__ = ["MAX_LISTED", "WeightsUnavailable", "invalid", "listed", "require_packages"]
