# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Training and validation by content image.

A content of OmniStyle-150K occurs in about 80 triplets: a split by file, as in the published code, puts every content
into both parts and measures memory. Here all triplets of a content fall into one part.
"""

import hashlib
from collections.abc import Iterable

import datasets
from transformers.utils import logging

from .._common.errors import invalid
from .columns import check_columns
from .streams import filter_stream


logger = logging.get_logger(__name__)

SPLITS = ("train", "validation", "all")


def check_split(split: str, validation_fraction: float) -> None:
    """Raises `ValueError` unless `split` is known and `validation_fraction` fits it."""
    if split not in SPLITS:
        raise invalid("split", f"one of {SPLITS}", repr(split), "Choose one.")
    if not 0 <= validation_fraction < 1:
        raise invalid("validation_fraction", "in [0, 1)", validation_fraction, "The default is 0.05.")
    if split == "validation" and validation_fraction == 0:
        raise invalid("validation_fraction", "positive for split='validation'", 0, "The default is 0.05.")


def content_position(content_id: str, seed: int) -> float:
    """
    Where a content lies in [0, 1): in the validation split if below the validation fraction. It depends on the content
    and the seed alone, so that files that come or go, and their order, move no other content.
    """
    digest = hashlib.sha256(f"{seed}:{content_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def validation_contents(content_ids: Iterable[str], validation_fraction: float = 0.05, seed: int = 0) -> set[str]:
    """
    The contents of the validation split.

    Where chance would leave one of the splits empty, as it may with a few dozen contents, the content that lies
    nearest moves over, and a warning says so: that one content may move back when others are added.

    Args:
        content_ids (`Iterable[str]`):
            Any number of times each, in any order.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            The expected share of the contents, in [0, 1).
        seed (`int`, *optional*, defaults to 0):
            Another seed, another split.

    Raises:
        ValueError: If there are fewer than two contents, which cannot be split.
    """
    positions = {content: content_position(content, seed) for content in set(content_ids)}
    if validation_fraction == 0:
        return set()
    if len(positions) < 2:
        raise ValueError(
            f"`dataset` must have two content images or more to be split, but got {len(positions)}. "
            "Use split='all', or add contents."
        )
    chosen = {content for content, position in positions.items() if position < validation_fraction}
    if len(chosen) in (0, len(positions)):
        nearest = min(positions, key=lambda content: (abs(positions[content] - validation_fraction), content))
        chosen ^= {nearest}
        logger.warning(
            "No content of %d would be in one of the splits: %r was moved to %s.",
            len(positions),
            nearest,
            "validation" if nearest in chosen else "train",
        )
    return chosen


def split_by_content(
    dataset: "datasets.Dataset | datasets.IterableDataset",
    split: str = "train",
    validation_fraction: float = 0.05,
    seed: int = 0,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    The rows of one split; no content occurs in both.

    Args:
        dataset (`datasets.Dataset` or `datasets.IterableDataset`):
            With a column `content_id`.
        split (`str`, *optional*, defaults to `"train"`):
            `"train"`, `"validation"` or `"all"`.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            The expected share of the contents in the validation split.
        seed (`int`, *optional*, defaults to 0):
            Another seed, another split.

    Returns:
        The same kind of dataset, in the same order. Of a stream nobody knows all contents beforehand, so its splits
        follow the hash alone, and one of them may be empty where there are few contents.

    Raises:
        ValueError: If an argument is out of range, `content_id` is missing, or there is a single content.
    """
    check_split(split, validation_fraction)
    check_columns(list(dataset.column_names or ()), ("content_id",))
    if split == "all":
        return dataset
    wants_validation = split == "validation"
    if isinstance(dataset, datasets.IterableDataset):
        return filter_stream(
            dataset,
            lambda content_id: (content_position(content_id, seed) < validation_fraction) == wants_validation,
            input_columns=["content_id"],
        )
    content_ids = dataset["content_id"][:]
    chosen = validation_contents(content_ids, validation_fraction, seed)
    return dataset.select([i for i, content in enumerate(content_ids) if (content in chosen) == wants_validation])


__all__ = ["SPLITS", "check_split", "content_position", "split_by_content", "validation_contents"]
