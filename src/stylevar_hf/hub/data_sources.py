# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is known about the data that a model may have been trained on: its name on the Hub and its terms."""

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class DataSource:
    """
    A data set as a card names it.

    Args:
        name (`str`):
            What to call it.
        terms (`str`):
            Its licence, or what is to be known in place of one.
        hub_id (`str`, *optional*):
            Its id among the Hub's data sets, if it is there.
    """

    name: str
    terms: str
    hub_id: str | None = None


# By the names that the training scripts use.
DATA_SOURCES = {
    "procedural": DataSource(
        "procedural triplets of `stylevar_hf.data`", "made by a program; no third party has rights in them"
    ),
    "omnistyle": DataSource(
        "OmniStyle-150K",
        "states no licence; its targets were made by earlier style-transfer methods",
        "StyleXX/OmniStyle-150k",
    ),
    "imagepulse": DataSource(
        "ImagePulse-StyleTransfer (ModelScope)", "made with FLUX, whose terms may bind models trained on its pictures"
    ),
    "coco": DataSource("COCO train2017", "photographs from Flickr; the rights in each are their owners'"),
    "wikiart": DataSource("WikiArt", "paintings; the rights vary from picture to picture"),
}


def find_data_sources(names: str | Iterable[str] | None) -> list[DataSource]:
    """
    The sources behind names, each once.

    Args:
        names (`str` or `Iterable[str]`, *optional*):
            Hub ids, or what the training scripts take: `omnistyle:ROOT`, `procedural`, `disk:FOLDER`. A local folder
            that is no known data set is called "private data": its path means nothing to others.

    Returns:
        `list[DataSource]`
    """
    names = [names] if isinstance(names, str) else names or ()
    return list(dict.fromkeys(_find(str(name)) for name in names))


def _find(name: str) -> DataSource:
    kind, _, rest = name.partition(":")
    if kind.lower() in DATA_SOURCES:
        return DATA_SOURCES[kind.lower()]
    identifier = rest if kind == "hub" else name
    for source in DATA_SOURCES.values():
        if identifier == source.hub_id:
            return source
    is_id = identifier.count("/") == 1 and ":" not in identifier and not identifier.startswith((".", "/", "~"))
    if is_id and not os.path.exists(identifier):
        return DataSource(identifier, "see its page on the Hub", identifier)
    return DataSource("private data", "not published; whoever publishes the model vouches for the rights")


__all__ = ["DATA_SOURCES", "DataSource", "find_data_sources"]
