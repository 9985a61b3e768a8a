# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is saved of a policy with a LoRA adapter, so that plain `from_pretrained(folder)` loads the policy."""

import os
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.utils import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_SAFE_WEIGHTS_NAME,
    ADAPTER_WEIGHTS_NAME,
    CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)

from ..common.checkpoint_files import load_tensors, save_tensors
from .adapter_weights import AdapterWeights, Weights, copy_tensors, unwrap
from .reference_policy import REFERENCE_DIR


if TYPE_CHECKING:
    from peft import PeftModel

_BASE_NAME = "base.safetensors"
_ADAPTER_NAME = "adapter.safetensors"


class SavedAdapter:
    """
    The adapter alone, as PEFT does, where plain loading finds the base by `base_model_name_or_path`. Otherwise, and
    once the base was changed, the whole model with everything merged; a checkpoint then also holds the adapter and the
    base's adapted weights, in `reference`, to go on with.

    Args:
        weights ([`AdapterWeights`]):
            Of the policy.
        needs_base (`bool`, *optional*, defaults to `False`):
            Save the whole model in any case, for an adapter names its base without revision or subfolder.
    """

    def __init__(self, weights: AdapterWeights, needs_base: bool = False):
        self.weights = weights
        self.needs_base = needs_base

    def is_whole(self, model: "PeftModel", base_changed: bool) -> bool:
        """Whether a whole model is saved, and not an adapter alone."""
        model = unwrap(model)
        if base_changed or self.needs_base or model.active_adapters != ["default"]:
            return True
        place = model.active_peft_config.base_model_name_or_path
        if not place or not os.path.isdir(place):  # a name without a folder may be a repository's
            return not place or os.path.isabs(place)
        return not os.path.isfile(os.path.join(place, CONFIG_NAME))

    @torch.no_grad()
    def merged(self, model: "PeftModel") -> tuple[nn.Module, Weights]:
        """What to call `save_pretrained(folder, state_dict=...)` on, and the weights, for a whole model."""
        base = unwrap(model).get_base_model()
        state_dict = {
            name.replace(".base_layer.", "."): value.detach()
            for name, value in base.state_dict().items()
            if "lora_" not in name
        }
        state_dict.update({name: value.cpu() for name, value in self.weights.merged(model).items()})
        return base, state_dict

    def remove_stale_files(self, folder: str | os.PathLike, model: "PeftModel", whole: bool) -> None:
        """Remove what a folder holds of an earlier save and would change how the newer one loads."""
        if whole:  # with both, plain loading would put the one adapter on top of the other model
            stale = [ADAPTER_CONFIG_NAME, ADAPTER_SAFE_WEIGHTS_NAME, ADAPTER_WEIGHTS_NAME]
        elif os.path.realpath(folder) == os.path.realpath(unwrap(model).active_peft_config.base_model_name_or_path):
            return  # saved beside its own base
        else:
            stale = [CONFIG_NAME, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME]
        for path in (os.path.join(folder, name) for name in stale):
            if os.path.isfile(path):
                os.remove(path)

    def save_parts(self, folder: str | os.PathLike, model: "PeftModel", whole: bool) -> None:
        """Write adapter and base apart, to go on with, if the whole model is saved; one process should."""
        place = os.path.join(folder, REFERENCE_DIR)
        os.makedirs(place, exist_ok=True)
        save_tensors(os.path.join(place, _BASE_NAME), self.weights.base(model) if whole else None)
        save_tensors(os.path.join(place, _ADAPTER_NAME), self.weights.adapter(model) if whole else None)

    def load_parts(self, folder: str | os.PathLike, model: "PeftModel") -> bool:
        """
        Read what [`~SavedAdapter.save_parts`] wrote; all processes must.

        Returns:
            `bool`: Whether the adapter's weights were restored, too. If not, the trainer loads them as usual.
        """
        place = os.path.join(folder, REFERENCE_DIR)
        if not os.path.isfile(os.path.join(place, _ADAPTER_NAME)):
            self.weights.restore_original(model)
            return False
        self.weights.keep_original(model)
        copy_tensors(load_tensors(place, _BASE_NAME), self.weights.base(model))
        copy_tensors(load_tensors(place, _ADAPTER_NAME), self.weights.adapter(model))
        return True


__all__ = ["SavedAdapter"]
