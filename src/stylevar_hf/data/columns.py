# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The columns of a triplet."""

from collections.abc import Sequence


# The images of a triplet, in the order in which everything lists them.
IMAGE_COLUMNS = ("content", "style", "target")


def check_columns(present: Sequence[str], needed: Sequence[str], argument: str = "column_mapping") -> None:
    """
    Raises `ValueError` unless every needed column is present. The message names the columns that are, and the argument
    that renames them.
    """
    if missing := [column for column in needed if column not in present]:
        raise ValueError(
            f"`dataset` must have the columns {', '.join(needed)}, but got {', '.join(present) or 'none'} "
            f"(missing: {', '.join(missing)}). Say which column is which with `{argument}`, for example "
            f"{argument}={{'{missing[0]}': 'name_in_your_data'}}."
        )


__all__ = ["IMAGE_COLUMNS", "check_columns"]
