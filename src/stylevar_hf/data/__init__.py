# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Triplets (content, style, target): making, loading, splitting, checking, augmentation, and batches for the model."""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


# Where each public name lives. A module is imported when one of its names is first asked for: importing this package
# costs nothing, and needs `datasets` (`pip install stylevar-hf[train]`) only where it is used.
_MODULES = {
    "anchors": ("StrengthAnchors",),
    "augmentation": ("TripletAugmentation",),
    "checking": ("Problem", "check_dataset", "find_problems"),
    "collator": ("StyleVARTripletCollator",),
    "folder_report": ("check_folder",),
    "cache.images": ("cache_images",),
    "layouts.imagepulse": ("load_imagepulse",),
    "making": ("MakingReport", "make_triplets"),
    "mixing": ("EpochCallback", "concatenate", "mix_datasets", "with_index"),
    "layouts.omnistyle": ("load_omnistyle",),
    "procedural.triplets": ("load_procedural", "procedural_triplet", "stream_procedural"),
    "splits": ("split_by_content",),
    "cache.tokens": ("cache_tokens", "check_cached_tokens"),
    "triplets": ("load_triplets",),
    "layouts.unpaired": ("load_unpaired",),
}

if TYPE_CHECKING:
    from .anchors import StrengthAnchors
    from .augmentation import TripletAugmentation
    from .cache.images import cache_images
    from .cache.tokens import cache_tokens, check_cached_tokens
    from .checking import Problem, check_dataset, find_problems
    from .collator import StyleVARTripletCollator
    from .folder_report import check_folder
    from .layouts.imagepulse import load_imagepulse
    from .layouts.omnistyle import load_omnistyle
    from .layouts.unpaired import load_unpaired
    from .making import MakingReport, make_triplets
    from .mixing import EpochCallback, concatenate, mix_datasets, with_index
    from .procedural.triplets import load_procedural, procedural_triplet, stream_procedural
    from .splits import split_by_content
    from .triplets import load_triplets


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "EpochCallback",
    "MakingReport",
    "Problem",
    "StrengthAnchors",
    "StyleVARTripletCollator",
    "TripletAugmentation",
    "cache_images",
    "cache_tokens",
    "check_cached_tokens",
    "check_dataset",
    "check_folder",
    "concatenate",
    "find_problems",
    "load_imagepulse",
    "load_omnistyle",
    "load_procedural",
    "load_triplets",
    "load_unpaired",
    "make_triplets",
    "mix_datasets",
    "procedural_triplet",
    "split_by_content",
    "stream_procedural",
    "with_index",
]
