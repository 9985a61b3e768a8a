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

import importlib
from typing import TYPE_CHECKING


_MODULES = {
    "arguments": ("StyleVARModelArguments", "TripletDataArguments", "load_model", "load_training_data"),
    "checkpointing": ("AtomicCheckpointMixin",),
    "ema": ("EMACallback",),
    "initialization": ("create_model", "load_image_encoders", "load_tokenizer"),
    "lora": ("add_adapter",),
    "resolution": ("change_ladder",),
    "sft_config": ("StyleVARSFTConfig",),
    "sft_trainer": ("StyleVARSFTTrainer",),
    "vq_config": ("StyleVARVQTrainerConfig",),
    "vq_trainer": ("StyleVARVQTrainer",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

if TYPE_CHECKING:
    from .arguments import StyleVARModelArguments, TripletDataArguments, load_model, load_training_data
    from .checkpointing import AtomicCheckpointMixin
    from .ema import EMACallback
    from .initialization import create_model, load_image_encoders, load_tokenizer
    from .lora import add_adapter
    from .resolution import change_ladder
    from .sft_config import StyleVARSFTConfig
    from .sft_trainer import StyleVARSFTTrainer
    from .vq_config import StyleVARVQTrainerConfig
    from .vq_trainer import StyleVARVQTrainer


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "AtomicCheckpointMixin",
    "EMACallback",
    "StyleVARModelArguments",
    "StyleVARSFTConfig",
    "StyleVARSFTTrainer",
    "StyleVARVQTrainer",
    "StyleVARVQTrainerConfig",
    "TripletDataArguments",
    "add_adapter",
    "change_ladder",
    "create_model",
    "load_image_encoders",
    "load_model",
    "load_tokenizer",
    "load_training_data",
]
