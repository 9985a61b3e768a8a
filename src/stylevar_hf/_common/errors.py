# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The wording of errors."""

from collections.abc import Iterable


# How many names an error message lists before it says how many more there are.
MAX_LISTED = 20


def invalid(name: str, rule: str, value: object, mend: str) -> ValueError:
    """The error for an argument that breaks its rule."""
    return ValueError(f"`{name}` must be {rule}, but got {value}. {mend}")


def listed(items: Iterable[object], limit: int = MAX_LISTED, separator: str = "\n") -> str:
    """The first `limit` items, and how many more there are."""
    items = [str(item) for item in items]
    more = [f"... and {len(items) - limit} more"] if len(items) > limit else []
    return separator.join([*items[:limit], *more])


__all__ = ["MAX_LISTED", "invalid", "listed"]
