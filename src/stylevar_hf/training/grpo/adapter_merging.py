# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Folding a LoRA adapter into the weights below it, by PEFT's own methods and rounded once."""

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn


if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

# Tensors by name.
Weights = Mapping[str, torch.Tensor]


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DDP and `torch.compile`."""
    return extract_model_from_parallel(model, keep_torch_compile=False)


def check_option(name: str, holds: bool, rule: str, value: object, hint: str) -> None:
    """Raise a `ValueError` unless it holds."""
    if not holds:
        raise ValueError(f"`{name}` must be {rule}, but got {value!r}. {hint}")


def check_adapter(model: "PeftModel") -> None:
    """Refuse what cannot be merged exactly and started afresh."""
    from peft import LoraConfig
    from peft.tuners.lora import Conv2d, Embedding, Linear
    from peft.utils.other import AuxiliaryTrainingWrapper

    hint = "Use a plain `LoraConfig`: anything else cannot be switched off or merged exactly."
    active = model.active_adapters
    check_option("model", len(active) == 1, "a model with one active adapter", active, hint)
    config = model.active_peft_config
    check_option("peft_config", isinstance(config, LoraConfig), "a `LoraConfig`", type(config).__name__, hint)
    check_option("bias", config.bias == "none", "'none', for the reference keeps its biases", config.bias, hint)
    # The others (PiSSA, OLoRA, ...) change the base when they start: without the adapter it is another policy.
    starts = (True, False, "gaussian", "orthogonal", "eva")
    start = config.init_lora_weights
    check_option("init_lora_weights", start in starts, f"one of {starts}, which keep the base", start, hint)
    whole = [name for name, module in model.named_modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    check_option("modules_to_save", not whole, "empty, for the adapter alone is trained", whole[:1], hint)
    layers = list(lora_layers(model))
    check_option("target_modules", bool(layers), "names of layers of the model", config.target_modules, hint)
    for name, layer, adapter in layers:
        plain = type(layer) in (Linear, Embedding, Conv2d) and adapter not in layer.lora_variant
        check_option("peft_config", plain, "plain LoRA (no DoRA or other variant, not quantised)", name, hint)
    own = {id(value) for _, layer, adapter in layers for value in adapter_parameters(layer, adapter).values()}
    others = [name for name, value in model.named_parameters() if value.requires_grad and id(value) not in own]
    hint = "Freeze it, or train without an adapter: the reference and what is saved would have it trained, too."
    check_option("model", not others, "one whose adapter alone is trained", others[:1], hint)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, "LoraLayer", str]]:
    """Each adapted layer with its name in the model without adapters, and the active adapter."""
    from peft.tuners.lora import LoraLayer

    model = unwrap(model)
    adapter = model.active_adapters[0]
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and (adapter in module.lora_A or adapter in module.lora_embedding_A):
            yield name, module, adapter


def is_adapter_entry(name: str) -> bool:
    """Whether an entry of the state dict of a model with adapters is one's own."""
    from peft.tuners.lora import LoraLayer

    return any(part in LoraLayer.adapter_layer_names for part in name.split("."))


def adapter_parameters(layer: "LoraLayer", adapter: str) -> dict[str, nn.Parameter]:
    """The adapter's own parameters in a layer, such as `lora_A.default.weight`."""
    prefixes = tuple(f"{kind}.{adapter}" for kind in layer.adapter_layer_names)
    return {
        name: value
        for name, value in layer.named_parameters()
        if name in prefixes or name.startswith(tuple(f"{prefix}." for prefix in prefixes))
    }


def twin_layer(layer: "LoraLayer", adapter: str, device: torch.device | str, dtype: torch.dtype) -> "LoraLayer":
    """A layer with the same base and an adapter of its own, so that PEFT's methods leave the live one alone."""
    twin = copy.deepcopy(layer, {id(layer.base_layer): layer.base_layer})
    for value in adapter_parameters(twin, adapter).values():
        value.data = value.data.to(device, dtype)
    return twin


def merged_parts(layer: "LoraLayer", adapter: str) -> list[str]:
    """Which of the base's parameters an adapter changes."""
    return ["weight", "bias"] if layer.lora_bias[adapter] else ["weight"]


def merge_layer(name: str, layer: "LoraLayer", adapter: str, weights: Weights) -> dict[str, torch.Tensor]:
    """
    The base's parameters with an adapter's weights folded in, `W + scaling * B A`, in the base's dtype.

    Rounded once: computed in float64 (on MPS, which has none, in float32), out of reach of autocast and TF32.
    """
    base = layer.get_base_layer()
    device = base.weight.device
    dtype = torch.float32 if device.type == "mps" else torch.float64
    twin = twin_layer(layer, adapter, device, dtype)
    for part, value in adapter_parameters(twin, adapter).items():
        value.data.copy_(weights[f"{name}.{part}"])
    with torch.autocast(device.type, enabled=False):
        merged = {"weight": base.weight.to(dtype) + twin.get_delta_weight(adapter)}
    if "bias" in merged_parts(layer, adapter):
        merged["bias"] = base.bias.to(dtype) + twin.lora_B[adapter].bias * twin.scaling[adapter]
    return {part: value.to(getattr(base, part).dtype) for part, value in merged.items()}


__all__ = [
    "Weights",
    "adapter_parameters",
    "check_adapter",
    "check_option",
    "is_adapter_entry",
    "lora_layers",
    "merge_layer",
    "merged_parts",
    "twin_layer",
    "unwrap",
]
