# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""StyleVAR for transformers: reference-based style transfer by visual autoregression (arXiv 2604.21052)."""

from typing import TYPE_CHECKING

from . import _registration
from ._common.lazy import lazy_names
from ._common.version import __version__


# Where each public name lives. A module is imported when one of its names is first asked for.
_MODULES = {
    "checkpoints": ("bundled_checkpoint",),
    "configuration_stylevar": ("BLEND_ALPHA_SCHEDULES", "StyleVARConfig", "StyleVARVQConfig"),
    "conversion": ("convert_original_checkpoint", "convert_to_original", "convert_var_checkpoint"),
    "generation_stylevar": ("StyleVARCache", "StyleVARReference"),
    "image_processing_stylevar": ("StyleVARImageProcessor",),
    "modeling_stylevar": ("StyleVARForConditionalGeneration", "StyleVARModel"),
    "modeling_stylevar_vq": ("StyleVARVQModel",),
    "pipeline_stylevar": ("StyleVARPipeline",),
    "rewards": ("DreamSimReward",),
    "training": (
        "StyleVARGRPOConfig",
        "StyleVARGRPOTrainer",
        "StyleVARSFTConfig",
        "StyleVARSFTTrainer",
        "StyleVARVQTrainer",
        "StyleVARVQTrainerConfig",
        "panw_weights",
    ),
}
# Modules that need more than the core dependencies, and the extra that brings it.
_EXTRAS = {"rewards": "rl", "training": "train"}

if TYPE_CHECKING:
    from .checkpoints import bundled_checkpoint
    from .configuration_stylevar import BLEND_ALPHA_SCHEDULES, StyleVARConfig, StyleVARVQConfig
    from .conversion import convert_original_checkpoint, convert_to_original, convert_var_checkpoint
    from .generation_stylevar import StyleVARCache, StyleVARReference
    from .image_processing_stylevar import StyleVARImageProcessor
    from .modeling_stylevar import StyleVARForConditionalGeneration, StyleVARModel
    from .modeling_stylevar_vq import StyleVARVQModel
    from .pipeline_stylevar import StyleVARPipeline
    from .rewards import DreamSimReward
    from .training import (
        StyleVARGRPOConfig,
        StyleVARGRPOTrainer,
        StyleVARSFTConfig,
        StyleVARSFTTrainer,
        StyleVARVQTrainer,
        StyleVARVQTrainerConfig,
        panw_weights,
    )


__getattr__, __dir__ = lazy_names(__name__, _MODULES, _EXTRAS)


_registration.register()

__all__ = [
    "BLEND_ALPHA_SCHEDULES",
    "DreamSimReward",
    "StyleVARCache",
    "StyleVARConfig",
    "StyleVARForConditionalGeneration",
    "StyleVARGRPOConfig",
    "StyleVARGRPOTrainer",
    "StyleVARImageProcessor",
    "StyleVARModel",
    "StyleVARPipeline",
    "StyleVARReference",
    "StyleVARSFTConfig",
    "StyleVARSFTTrainer",
    "StyleVARVQConfig",
    "StyleVARVQModel",
    "StyleVARVQTrainer",
    "StyleVARVQTrainerConfig",
    "__version__",
    "bundled_checkpoint",
    "convert_original_checkpoint",
    "convert_to_original",
    "convert_var_checkpoint",
    "panw_weights",
]
