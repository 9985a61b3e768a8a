# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The weights of a LoRA adapter and those below it, merged by PEFT's own methods."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn

from ..._common.errors import invalid


if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

# Tensors by name.
Weights = Mapping[str, torch.Tensor]

# The others (PiSSA, OLoRA, ...) change the base when they start: without the adapter it is another policy.
_STARTS = (True, False, "gaussian", "orthogonal", "eva")


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DDP and `torch.compile`."""
    return extract_model_from_parallel(model, keep_torch_compile=False)


class AdapterWeights:
    """
    Reads and changes the weights of a model with one plain LoRA adapter, in place. Names are those of the model
    without adapters.

    Args:
        model (`PeftModel`):
            With one active adapter of any rank, alpha, pattern, rsLoRA or initialisation that keeps the base.

    Raises:
        ValueError: If the adapter is of another kind, or if more than its own weights are trained.
    """

    def __init__(self, model: "PeftModel"):
        self._original: dict[str, torch.Tensor] | None = None
        _check(unwrap(model))

    def adapter(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The adapter's own parameters, such as `...lora_A.default.weight`."""
        return {
            f"{name}.{part}": value
            for name, layer, adapter in lora_layers(model)
            for part, value in layer.named_parameters()
            if part.startswith("lora_") and adapter in part.split(".")
        }

    def base(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters below it that merging changes."""
        return {
            f"{name}.{part}": getattr(layer.get_base_layer(), part)
            for name, layer, adapter in lora_layers(model)
            for part in ("weight", "bias")
            if part == "weight" or layer.lora_bias[adapter]
        }

    @torch.no_grad()
    def merged(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Those with the adapter folded in, `W + scaling * B A`; the model stays as it is."""
        merged = {}
        for name, layer, adapter in lora_layers(model):
            base = layer.get_base_layer()
            merged[f"{name}.weight"] = base.weight + layer.get_delta_weight(adapter).to(base.weight.dtype)
            if layer.lora_bias[adapter]:
                merged[f"{name}.bias"] = base.bias + layer.lora_B[adapter].bias * layer.scaling[adapter]
        return merged

    @torch.no_grad()
    def merge(self, model: nn.Module, seed: int) -> None:
        """Fold the adapter into the base, and start a fresh one from the seed: the same on all processes."""
        self.keep_original(model)
        base = self.base(model)
        for name, value in self.merged(model).items():
            base[name].copy_(value)
        model = unwrap(model)
        start = model.active_peft_config.init_lora_weights
        device = next(model.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for _, layer, adapter in lora_layers(model):
                # Other initialisations change the base or need data, and B would not be zero.
                layer.reset_lora_parameters(adapter, start if start == "gaussian" else True)

    def keep_original(self, model: nn.Module) -> None:
        """Remember the base, on the CPU, before it is changed for the first time."""
        if self._original is None:
            self._original = {name: value.detach().cpu().clone() for name, value in self.base(model).items()}

    def restore_original(self, model: nn.Module) -> None:
        """Go back to the base that the model came with."""
        if self._original is not None:
            copy_tensors(self._original, self.base(model))


def lora_layers(model: nn.Module) -> Iterator[tuple[str, "LoraLayer", str]]:
    """Each adapted layer with its name in the model without adapters, and the active adapter."""
    from peft.tuners.lora import LoraLayer

    model = unwrap(model)
    adapter = model.active_adapters[0]
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and (adapter in module.lora_A or adapter in module.lora_embedding_A):
            yield name, module, adapter


def copy_tensors(source: Weights, target: Mapping[str, nn.Parameter]) -> None:
    """Copy in place, after a check of names and shapes."""
    check_same_tensors("resume_from_checkpoint", source, target)
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(source[name])


def check_same_tensors(name: str, found: Weights, expected: Weights) -> None:
    """Raise a `ValueError` unless names and shapes agree."""
    for key in sorted({*found, *expected}):
        shapes = [str(tuple(tensors[key].shape)) if key in tensors else "nothing" for tensors in (found, expected)]
        if shapes[0] != shapes[1]:
            hint = "Use the same model, adapter and frozen parts as when it was saved."
            raise invalid(name, "the tensors of this model", f"{shapes[0]} for {key}, which has {shapes[1]}", hint)


def _check(model: "PeftModel") -> None:
    from peft import LoraConfig
    from peft.tuners.lora import Conv2d, Embedding, Linear
    from peft.utils.other import AuxiliaryTrainingWrapper

    hint = "Use a plain `LoraConfig`: anything else cannot be switched off or merged exactly."
    active, config = model.active_adapters, model.active_peft_config
    if len(active) != 1:
        raise invalid("model", "a model with one active adapter", active, hint)
    if not isinstance(config, LoraConfig):
        raise invalid("peft_config", "a `LoraConfig`", type(config).__name__, hint)
    layers = list(lora_layers(model))
    special = [
        name
        for name, layer, adapter in layers
        if type(layer) not in (Linear, Embedding, Conv2d) or adapter in layer.lora_variant
    ]
    whole = [name for name, module in model.named_modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    others = [name for name, value in model.named_parameters() if value.requires_grad and "lora_" not in name]
    for name, holds, rule, found in (
        ("bias", config.bias == "none", "'none', for the reference keeps its biases", config.bias),
        (
            "init_lora_weights",
            config.init_lora_weights in _STARTS,
            f"one of {_STARTS}, which keep the base",
            config.init_lora_weights,
        ),
        ("modules_to_save", not whole, "empty, for the adapter alone is trained", whole[:1]),
        ("target_modules", bool(layers), "names of layers of the model", config.target_modules),
        ("peft_config", not special, "plain LoRA (no DoRA or other variant, not quantised)", special[:1]),
        ("model", not others, "one whose adapter alone is trained", others[:1]),
    ):
        if not holds:
            raise invalid(name, rule, found, hint)


__all__ = ["AdapterWeights", "Weights", "check_same_tensors", "copy_tensors", "lora_layers", "unwrap"]
