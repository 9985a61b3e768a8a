# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Triplets (content, style, target): loading, splitting, mixing, checking, augmentation, and batches for the model."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names


# Where each public name lives. A module is imported when one of its names is first asked for: importing this package
# costs nothing, and needs `datasets` (`pip install stylevar-hf[train]`) only where it is used.
_MODULES = {
    "anchors": ("StrengthAnchors",),
    "augmentation": ("TripletAugmentation",),
    "checking": ("Problem", "check_dataset", "find_problems"),
    "collator": ("StyleVARTripletCollator",),
    "folders": ("check_folder",),
    "image_cache": ("cache_images",),
    "imagepulse": ("load_imagepulse",),
    "mixing": ("CurriculumDataset", "EpochCallback", "concatenate", "mix_datasets", "with_index"),
    "omnistyle": ("load_omnistyle",),
    "procedural": ("load_procedural", "procedural_triplet", "stream_procedural"),
    "splits": ("split_by_content",),
    "token_cache": ("cache_tokens", "check_cached_tokens"),
    "triplets": ("load_triplets",),
    "unpaired": ("load_unpaired",),
}

if TYPE_CHECKING:
    from .anchors import StrengthAnchors
    from .augmentation import TripletAugmentation
    from .checking import Problem, check_dataset, find_problems
    from .collator import StyleVARTripletCollator
    from .folders import check_folder
    from .image_cache import cache_images
    from .imagepulse import load_imagepulse
    from .mixing import CurriculumDataset, EpochCallback, concatenate, mix_datasets, with_index
    from .omnistyle import load_omnistyle
    from .procedural import load_procedural, procedural_triplet, stream_procedural
    from .splits import split_by_content
    from .token_cache import cache_tokens, check_cached_tokens
    from .triplets import load_triplets
    from .unpaired import load_unpaired


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "CurriculumDataset",
    "EpochCallback",
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
    "mix_datasets",
    "procedural_triplet",
    "split_by_content",
    "stream_procedural",
    "with_index",
]
