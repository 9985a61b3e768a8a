# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""LoRA for StyleVAR: which layers get an adapter, and what must stay without."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.utils import logging

from ...modeling_stylevar import StyleVARForConditionalGeneration


if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

logger = logging.get_logger(__name__)

# Attention projections and MLPs of every block: the layers that the published third stage adapts.
LORA_TARGET_MODULES = r"model\.layers\.\d+\.(attention\.[qkvo]_proj|mlp\.fc[12])"
# The tokenizer's codes must not move, whatever names are given.
_TOKENIZER_MODULES = r"vq_model\..*"


def add_adapter(
    model: StyleVARForConditionalGeneration, peft_config: "PeftConfig", seed: int | None = None
) -> "PeftModel":
    """
    Put adapters into a model; everything else is frozen.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            Changed in place, as PEFT does.
        peft_config (`PeftConfig`):
            Such as `trl.get_peft_config(model_args)` makes it. Without `target_modules` the blocks' attention and MLPs
            get adapters; the tokenizer never does. The task type is ignored: StyleVAR is none that PEFT knows.
        seed (`int`, *optional*):
            Draw the adapters' first weights from it, the same on all processes. `None` draws them from torch's global
            generator.

    Returns:
        `PeftModel`

    Raises:
        ValueError: For prompt learning (prefix tuning, prompt tuning, p-tuning, ...), which is for models of text.
    """
    from peft import get_peft_model

    if peft_config.is_prompt_learning:
        raise ValueError(
            f"`peft_config` must adapt layers, but got {type(peft_config).__name__}: prompt learning puts tokens "
            "before a text, and StyleVAR reads images. Use `LoraConfig` or another adapter of the layers."
        )

    if getattr(peft_config, "use_dora", False):
        logger.warning(
            "The DoRA adapter will be loaded by PEFT alone: merge it, or publish it with `stylevar push --merged`."
        )
    peft_config = copy.deepcopy(peft_config)
    peft_config.task_type = None
    if isinstance(peft_config.target_modules, str) and peft_config.target_modules.isidentifier():
        # PEFT takes a text for an expression of whole names, and `ModelConfig` makes one of a single name.
        peft_config.target_modules = {peft_config.target_modules}
    if not peft_config.target_modules and not getattr(peft_config, "target_parameters", None):
        peft_config.target_modules = LORA_TARGET_MODULES
    if not getattr(peft_config, "exclude_modules", None):
        peft_config.exclude_modules = _TOKENIZER_MODULES
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        adapted = get_peft_model(model, peft_config)
    # `bias="all"` means those of the transformer: the tokenizer takes no gradient.
    model.vq_model.requires_grad_(False)
    return adapted


def core_model(model: nn.Module) -> StyleVARForConditionalGeneration:
    """The model inside an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


__all__ = ["LORA_TARGET_MODULES", "add_adapter", "core_model"]
