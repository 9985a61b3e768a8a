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
"""Trainers: tokenizer, supervised fine-tuning and GRPO. Each module is imported when first asked for."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names


_MODULES = {
    "arguments": ("StyleVARModelArguments", "TripletDataArguments", "load_model", "load_training_data"),
    "advantages": ("Advantages", "compute_advantages"),
    "checkpointing": ("AtomicCheckpointMixin",),
    "ema": ("EMACallback",),
    "grpo_config": ("StyleVARGRPOConfig",),
    "grpo_trainer": ("StyleVARGRPOTrainer",),
    "initialization": ("create_model", "load_image_encoders", "load_tokenizer", "start_from_codebook"),
    "iterative_reference": ("IterativeReferenceCallback",),
    "lora": ("add_adapter",),
    "mask_propagation": ("propagate_mask",),
    "middle_return": ("middle_value",),
    "panw": ("panw_weights", "token_weights"),
    "policy_loss": ("clipped_surrogate", "k3_kl"),
    "reference_policy": ("ReferencePolicy",),
    "resolution": ("change_ladder",),
    "sft_config": ("StyleVARSFTConfig",),
    "sft_trainer": ("StyleVARSFTTrainer",),
    "vq_config": ("StyleVARVQTrainerConfig",),
    "vq_trainer": ("StyleVARVQTrainer",),
}

if TYPE_CHECKING:
    from .advantages import Advantages, compute_advantages
    from .arguments import StyleVARModelArguments, TripletDataArguments, load_model, load_training_data
    from .checkpointing import AtomicCheckpointMixin
    from .ema import EMACallback
    from .grpo_config import StyleVARGRPOConfig
    from .grpo_trainer import StyleVARGRPOTrainer
    from .initialization import create_model, load_image_encoders, load_tokenizer, start_from_codebook
    from .iterative_reference import IterativeReferenceCallback
    from .lora import add_adapter
    from .mask_propagation import propagate_mask
    from .middle_return import middle_value
    from .panw import panw_weights, token_weights
    from .policy_loss import clipped_surrogate, k3_kl
    from .reference_policy import ReferencePolicy
    from .resolution import change_ladder
    from .sft_config import StyleVARSFTConfig
    from .sft_trainer import StyleVARSFTTrainer
    from .vq_config import StyleVARVQTrainerConfig
    from .vq_trainer import StyleVARVQTrainer


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
