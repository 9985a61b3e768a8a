# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The methods of a model that has PEFT adapters in its layers, as transformers names them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn


if TYPE_CHECKING:
    from peft import PeftConfig


class StyleVARAdapterMixin:
    """
    In place of those of transformers' `PeftAdapterMixin`, which do the same: from release 5.24 on, they refuse all
    releases of PEFT that there are. `load_adapter` and `from_pretrained` of an adapter are those of transformers.
    """

    def add_adapter(self, adapter_config: "PeftConfig", adapter_name: str | None = None) -> None:
        """
        Put a new adapter into the layers and make it the active one.

        Args:
            adapter_config (`PeftConfig`):
                What it is; no prompt learning.
            adapter_name (`str`, *optional*, defaults to `"default"`):
                Its name.

        Raises:
            ValueError: If there is an adapter of that name.
            TypeError: If the configuration is none of PEFT.
        """
        from peft import PeftConfig, inject_adapter_in_model

        adapter_name = adapter_name or "default"
        if not isinstance(adapter_config, PeftConfig):
            found = type(adapter_config).__name__
            raise TypeError(f"`adapter_config` must be a `PeftConfig`, but got {found}. Pass a `LoraConfig`.")
        if self._hf_peft_config_loaded and adapter_name in self.peft_config:
            raise ValueError(
                f"`adapter_name` must be new, but got {adapter_name!r}. Choose another, or delete it first."
            )
        adapter_config.base_model_name_or_path = self.name_or_path or None
        inject_adapter_in_model(adapter_config, self, adapter_name)
        self._hf_peft_config_loaded = True
        self.set_adapter(adapter_name)

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """
        Use this adapter, or these, and none of the others.

        Raises:
            ValueError: If there is no adapter of that name.
        """
        layers = list(self._adapted_layers())
        self._check_names([adapter_name] if isinstance(adapter_name, str) else adapter_name)
        for layer in layers:
            layer.set_adapter(adapter_name)

    def disable_adapters(self) -> None:
        """Compute as the base does. Raises `ValueError` without an adapter."""
        for layer in self._adapted_layers():
            layer.enable_adapters(enabled=False)

    def enable_adapters(self) -> None:
        """Compute with the active adapters again. Raises `ValueError` without an adapter."""
        for layer in self._adapted_layers():
            layer.enable_adapters(enabled=True)

    def active_adapters(self) -> list[str]:
        """Names of the adapters in use. Raises `ValueError` without an adapter."""
        return list(next(self._adapted_layers()).active_adapters)

    def get_adapter_state_dict(
        self, adapter_name: str | None = None, state_dict: dict[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        """
        The tensors of one adapter.

        Args:
            adapter_name (`str`, *optional*):
                Which one. Defaults to the active one.
            state_dict (`dict[str, torch.Tensor]`, *optional*):
                Taken from here instead of from the model.

        Raises:
            ValueError: If there is no such adapter.
        """
        from peft import get_peft_model_state_dict

        adapter_name = adapter_name or self.active_adapters()[0]
        self._check_names([adapter_name])
        return get_peft_model_state_dict(self, state_dict=state_dict, adapter_name=adapter_name)

    def delete_adapter(self, adapter_names: str | list[str]) -> None:
        """
        Take one adapter or several out of the layers; without the last one, the model is its base again.

        Raises:
            ValueError: If there is no adapter of that name.
        """
        from peft.functional import delete_adapter

        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        list(self._adapted_layers())
        self._check_names(names)
        for name in names:
            kind = self.peft_config[name].peft_type.value.lower()
            delete_adapter(self, adapter_name=name, prefix=f"{kind}_")
            self.peft_config.pop(name)
        if not self.peft_config:
            for name, layer in list(self.named_modules()):
                if hasattr(layer, "get_base_layer"):
                    self.set_submodule(name, layer.get_base_layer())
            del self.peft_config
            self._hf_peft_config_loaded = False
            # `load_adapter` left the names of its file, under which `save_pretrained` would save the base.
            self.__dict__.pop("_weight_conversions", None)

    def _adapted_layers(self) -> Iterator[nn.Module]:
        if not self._hf_peft_config_loaded:
            raise ValueError("The model must have an adapter, but got none. Load one with `load_adapter`.")
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils import ModulesToSaveWrapper

        for module in self.modules():
            if isinstance(module, BaseTunerLayer | ModulesToSaveWrapper):
                yield module

    def _check_names(self, names: Sequence[str]) -> None:
        if unknown := [name for name in names if name not in self.peft_config]:
            known = ", ".join(self.peft_config)
            raise ValueError(f"`adapter_name` must be one of {known}, but got {', '.join(unknown)}. Choose another.")


__all__ = ["StyleVARAdapterMixin"]
