# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The reference policy of GRPO (arXiv 2604.21052): the model without its LoRA adapter, or a frozen copy of the model.

`iterative_reference` says when it is renewed, `saved_policy` what is saved of the policy.
"""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from ...modeling_stylevar import StyleVARForConditionalGeneration
from ..common.checkpoint_files import load_json, load_tensors, save_json, save_tensors
from .adapter_weights import AdapterWeights, Weights, check_same_tensors, copy_tensors, unwrap


if TYPE_CHECKING:
    from peft import PeftModel

    from .whole_policy import WholePolicy

# Plain loading looks at files beside `config.json` alone, so what lies in this folder of a checkpoint is ours.
REFERENCE_DIR = "reference"
_STATE_NAME = "reference.json"
_COPY_NAME = "base.safetensors"


class ReferencePolicy(ABC):
    """
    The policy that the KL term of GRPO measures from. [`~ReferencePolicy.for_model`] makes the right kind.

    For models that every process holds whole, or has a whole copy of (see `whole`). Nothing else here communicates:
    all processes come to the same weights because they start from the same ones and do the same. Models may come
    wrapped (DDP, compiled).

    Attributes:
        num_updates (`int`):
            How many times the reference was renewed.
        whole ([`~stylevar_hf.training.grpo.whole_policy.WholePolicy`], *optional*):
            Where the policy is divided among processes, the copy of it that this reference was made for. `snapshot`
            and `update` then take the divided one, and all processes must call them.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.num_updates = 0
        self.whole: WholePolicy | None = None

    @staticmethod
    def for_model(model: nn.Module, seed: int = 0) -> "ReferencePolicy":
        """
        Args:
            model ([`StyleVARForConditionalGeneration`] or `PeftModel`):
                The policy, before training and before a trainer wraps it; frozen already where it is to be frozen, in
                evaluation mode where there is BatchNorm: its statistics are not followed.
            seed (`int`, *optional*, defaults to 0):
                Fresh adapters start from it and the number of the update.

        Raises:
            ValueError: If the model has an adapter that cannot be merged and started afresh.
        """
        model = unwrap(model)
        if getattr(model, "_hf_peft_config_loaded", False):
            raise ValueError(
                "`model` must be a `PeftModel` or have no adapter, but got a model that was loaded with one. Load its "
                "base and use `PeftModel.from_pretrained(base, folder, is_trainable=True)`."
            )
        return (AdapterReferencePolicy if hasattr(model, "peft_config") else CopyReferencePolicy)(model, seed)

    @abstractmethod
    def log_probs_context(self, model: nn.Module) -> Any:
        """A context manager for `with ... as reference_model:`, in which that model is the reference; no gradients."""

    @abstractmethod
    def is_policy(self, model: nn.Module) -> bool:
        """
        Whether the reference is the policy, as at the start of training. It is not for an adapter that was trained
        before: call [`~ReferencePolicy.update`] to measure from there.
        """

    @abstractmethod
    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What distinguishes the policy from its start, by name."""

    @abstractmethod
    def _renew(self, model: nn.Module) -> None:
        """Make the policy the reference."""

    @torch.no_grad()
    def snapshot(self, model: nn.Module, into: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """
        The trained weights as they are now, on the CPU.

        Args:
            model (`nn.Module`):
                The policy.
            into (`dict[str, torch.Tensor]`, *optional*):
                An earlier snapshot, to be overwritten.
        """
        trained = self._trained_parameters(self._whole_model(model))
        if into is None:
            return {name: value.detach().cpu().clone() for name, value in trained.items()}
        check_same_tensors("into", into, trained)
        for name, value in trained.items():
            into[name].copy_(value)
        return into

    @torch.no_grad()
    def update(
        self, model: nn.Module, weights: Weights | None = None, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """
        Make the policy the reference: all or nothing, and the parameters stay the same objects.

        Args:
            model (`nn.Module`):
                The policy.
            weights (`Mapping[str, torch.Tensor]`, *optional*):
                A [`~ReferencePolicy.snapshot`] of this policy since the last update, to which it goes back first.
            optimizer (`torch.optim.Optimizer`, *optional*):
                Forgets what it knows of the trained parameters (moments, step), as if it was new.

        Raises:
            FloatingPointError: If a weight is not finite.
            ValueError: If the snapshot is another model's, or the model is divided among processes.
        """
        policy, model = model, self._whole_model(model)
        trained = self._trained_parameters(model)
        if parts := [name for name, value in trained.items() if isinstance(value, DTensor) or hasattr(value, "ds_id")]:
            raise ValueError(
                f"`model` must be whole on every process, but got a part of {parts[0]}. Renew the reference with DDP "
                "or on one device, or switch the iterative reference off."
            )
        weights = trained if weights is None else weights
        check_same_tensors("weights", weights, trained)
        if broken := [name for name, value in weights.items() if not torch.isfinite(value).all()]:
            raise FloatingPointError(
                f"`weights` must be finite to become the reference, but got NaN or infinity in {broken[0]}. Resume "
                "from an earlier checkpoint with a lower learning rate."
            )
        copy_tensors(weights, trained)
        self._renew(model)
        if self.whole is not None:
            self.whole.hand_back(policy)
        self.num_updates += 1
        for parameter in policy.parameters() if optimizer is not None else ():
            optimizer.state.pop(parameter, None)

    def _whole_model(self, model: nn.Module) -> nn.Module:
        """The policy, as it is now, with all of its weights."""
        if self.whole is None:
            return model
        self.whole.renew(model)
        return self.whole.model

    def save(self, folder: str | os.PathLike) -> None:
        """Write what a resumed run needs beside the policy to `folder/reference`; one process should."""
        place = os.path.join(folder, REFERENCE_DIR)
        os.makedirs(place, exist_ok=True)
        save_json(os.path.join(place, _STATE_NAME), {"kind": type(self).__name__, "num_updates": self.num_updates})

    def load(self, folder: str | os.PathLike) -> None:
        """
        Read what [`~ReferencePolicy.save`] wrote; all processes must.

        Raises:
            FileNotFoundError, ValueError: If the folder is that of another kind of training.
        """
        state = load_json(os.path.join(folder, REFERENCE_DIR), _STATE_NAME)
        if state["kind"] != type(self).__name__:
            raise ValueError(
                f"`resume_from_checkpoint` must come from the same kind of training, but got {os.fspath(folder)!r} "
                f"with {state['kind']} for {type(self).__name__}. Resume with LoRA what was trained with LoRA."
            )
        self.num_updates = state["num_updates"]


class AdapterReferencePolicy(ReferencePolicy):
    """
    LoRA: the reference is the model without its adapter; renewing it merges the adapter and starts a fresh one.

    Attributes:
        weights ([`~stylevar_hf.training.grpo.adapter_weights.AdapterWeights`]):
            Of the adapter and of the base, which are saved with the policy.
    """

    def __init__(self, model: "PeftModel", seed: int = 0):
        super().__init__(seed)
        self.weights = AdapterWeights(model)

    @contextmanager
    def log_probs_context(self, model: "PeftModel") -> Iterator["PeftModel"]:
        model = unwrap(model)
        with torch.no_grad(), model.disable_adapter():
            yield model

    def is_policy(self, model: nn.Module) -> bool:
        # The other factor may be anything.
        zero = (".lora_B.", ".lora_embedding_A.")
        trained = self._trained_parameters(model).items()
        return not any(value.any() for name, value in trained if any(part in name for part in zero))

    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return self.weights.adapter(model)

    def _renew(self, model: nn.Module) -> None:
        self.weights.merge(model, self.seed + self.num_updates)


class CopyReferencePolicy(ReferencePolicy):
    """
    Full fine-tuning: the reference is a frozen copy in evaluation mode. What is not trained (the tokenizer, frozen
    encoders) is shared with the policy and takes no memory twice.

    Attributes:
        model ([`StyleVARForConditionalGeneration`]):
            The copy.
    """

    def __init__(self, model: StyleVARForConditionalGeneration, seed: int = 0):
        super().__init__(seed)
        policy = unwrap(model)
        shared = {id(parameter): parameter for parameter in policy.parameters() if not parameter.requires_grad}
        if not any(parameter.requires_grad for parameter in policy.vq_model.parameters()):
            shared[id(policy.vq_model)] = policy.vq_model
        self.model: StyleVARForConditionalGeneration = copy.deepcopy(policy, shared).requires_grad_(False).eval()
        self._trained = [name for name, value in policy.named_parameters() if value.requires_grad]

    @contextmanager
    def log_probs_context(self, model: nn.Module) -> Iterator[StyleVARForConditionalGeneration]:
        device = unwrap(model).device
        # The policy may have moved since it was copied: what is shared went with it, the copies did not.
        if any(tensor.device != device for tensor in (*self.model.parameters(), *self.model.buffers())):
            self.model.to(device)
        with torch.no_grad():
            yield self.model

    def is_policy(self, model: nn.Module) -> bool:
        copied = self._copied_parameters()
        trained = self._trained_parameters(model)
        return all(torch.equal(value, copied[name].to(value.device)) for name, value in trained.items())

    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return {name: unwrap(model).get_parameter(name) for name in self._trained}

    def _copied_parameters(self) -> dict[str, nn.Parameter]:
        return {name: self.model.get_parameter(name) for name in self._trained}

    def _renew(self, model: nn.Module) -> None:
        copy_tensors(self._trained_parameters(model), self._copied_parameters())

    def save(self, folder: str | os.PathLike) -> None:
        super().save(folder)
        save_tensors(os.path.join(folder, REFERENCE_DIR, _COPY_NAME), self._copied_parameters())

    def load(self, folder: str | os.PathLike) -> None:
        super().load(folder)
        copy_tensors(load_tensors(os.path.join(folder, REFERENCE_DIR), _COPY_NAME), self._copied_parameters())


__all__ = ["REFERENCE_DIR", "AdapterReferencePolicy", "CopyReferencePolicy", "ReferencePolicy"]
