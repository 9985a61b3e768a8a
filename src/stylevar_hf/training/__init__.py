# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Trainers: tokenizer, supervised fine-tuning and GRPO. Each module is imported when first asked for."""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {
    "common.arguments": ("StyleVARModelArguments", "TripletDataArguments", "load_model", "load_training_data"),
    "grpo.advantages": ("Advantages", "compute_advantages"),
    "common.checkpointing": ("AtomicCheckpointMixin",),
    "common.ema": ("EMACallback",),
    "grpo.grpo_config": ("StyleVARGRPOConfig",),
    "grpo.grpo_trainer": ("StyleVARGRPOTrainer",),
    "common.initialization": ("create_model", "load_image_encoders", "load_tokenizer", "start_from_codebook"),
    "grpo.iterative_reference": ("IterativeReferenceCallback",),
    "common.lora": ("add_adapter",),
    "grpo.mask_propagation": ("propagate_mask",),
    "grpo.middle_return": ("middle_value",),
    "grpo.panw": ("panw_weights", "token_weights"),
    "grpo.policy_loss": ("clipped_surrogate", "k3_kl"),
    "grpo.reference_policy": ("ReferencePolicy",),
    "common.resolution": ("change_ladder",),
    "sft.sft_config": ("StyleVARSFTConfig",),
    "sft.sft_trainer": ("StyleVARSFTTrainer",),
    "vq.vq_config": ("StyleVARVQTrainerConfig",),
    "vq.vq_trainer": ("StyleVARVQTrainer",),
}

if TYPE_CHECKING:
    from .common.arguments import StyleVARModelArguments, TripletDataArguments, load_model, load_training_data
    from .common.checkpointing import AtomicCheckpointMixin
    from .common.ema import EMACallback
    from .common.initialization import create_model, load_image_encoders, load_tokenizer, start_from_codebook
    from .common.lora import add_adapter
    from .common.resolution import change_ladder
    from .grpo.advantages import Advantages, compute_advantages
    from .grpo.grpo_config import StyleVARGRPOConfig
    from .grpo.grpo_trainer import StyleVARGRPOTrainer
    from .grpo.iterative_reference import IterativeReferenceCallback
    from .grpo.mask_propagation import propagate_mask
    from .grpo.middle_return import middle_value
    from .grpo.panw import panw_weights, token_weights
    from .grpo.policy_loss import clipped_surrogate, k3_kl
    from .grpo.reference_policy import ReferencePolicy
    from .sft.sft_config import StyleVARSFTConfig
    from .sft.sft_trainer import StyleVARSFTTrainer
    from .vq.vq_config import StyleVARVQTrainerConfig
    from .vq.vq_trainer import StyleVARVQTrainer


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "Advantages",
    "AtomicCheckpointMixin",
    "EMACallback",
    "IterativeReferenceCallback",
    "ReferencePolicy",
    "StyleVARGRPOConfig",
    "StyleVARGRPOTrainer",
    "StyleVARModelArguments",
    "StyleVARSFTConfig",
    "StyleVARSFTTrainer",
    "StyleVARVQTrainer",
    "StyleVARVQTrainerConfig",
    "TripletDataArguments",
    "add_adapter",
    "change_ladder",
    "clipped_surrogate",
    "compute_advantages",
    "create_model",
    "k3_kl",
    "load_image_encoders",
    "load_model",
    "load_tokenizer",
    "load_training_data",
    "middle_value",
    "panw_weights",
    "propagate_mask",
    "start_from_codebook",
    "token_weights",
]
