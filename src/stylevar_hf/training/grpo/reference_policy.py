# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The reference policy of GRPO (arXiv 2604.21052). `iterative_reference` says when it is renewed.

With LoRA the reference is the model without its adapter; renewing it merges the adapter into the weights below and
starts a fresh one. Without LoRA it is a frozen copy.

What a trainer does with it, by seam:

```python
# __init__
self.reference = ReferencePolicy.for_model(model, seed=args.seed)
self.iterative_reference = IterativeReferenceCallback(self)  # if the reference is to be renewed at all
self.add_callback(self.iterative_reference)

# log-probabilities under the reference
with self.reference.log_probs_context(model) as reference_model:
    ...

def _save(self, output_dir=None, state_dict=None):
    trained = self.model
    self.model, state_dict = self.reference.model_to_save(trained, state_dict)
    try:
        super()._save(output_dir, state_dict)
    finally:
        self.model = trained
    if self.args.should_save:  # nothing of an earlier save may change how the folder loads
        self.reference.remove_stale_files(output_dir or self.args.output_dir, self.model)

def _save_more(self, output_dir):  # of AtomicCheckpointMixin: belongs to a checkpoint
    if self.args.should_save:
        self.reference.save(output_dir, self.model)
        self.iterative_reference.save(output_dir)

def _load_from_checkpoint(self, checkpoint, model=None):
    if not self.reference.load(checkpoint, self.model):
        super()._load_from_checkpoint(checkpoint, model)

def _load_best_model(self):
    if not self.reference.load(self.state.best_model_checkpoint, self.model):
        super()._load_best_model()

def _load_optimizer_and_scheduler(self, checkpoint):
    super()._load_optimizer_and_scheduler(checkpoint)
    if checkpoint is not None:
        self.iterative_reference.load(checkpoint)
```
"""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers.utils import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_SAFE_WEIGHTS_NAME,
    ADAPTER_WEIGHTS_NAME,
    CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
)

from ...modeling_stylevar import StyleVARForConditionalGeneration
from ..common.checkpoint_files import load_json, load_tensors, save_json, save_tensors
from .adapter_merging import (
    Weights,
    adapter_parameters,
    check_adapter,
    is_adapter_entry,
    lora_layers,
    merge_layer,
    merged_parts,
    twin_layer,
    unwrap,
)


if TYPE_CHECKING:
    from peft import PeftModel

    from .whole_policy import WholePolicy

# Plain loading looks at files beside `config.json` alone, so what lies in this folder of a checkpoint is ours.
REFERENCE_DIR = "reference"
_STATE_NAME = "reference.json"
_BASE_NAME = "base.safetensors"
_ADAPTER_NAME = "adapter.safetensors"


class ReferencePolicy(ABC):
    """
    The policy that the KL term of GRPO measures from. [`~ReferencePolicy.for_model`] makes the right kind.

    For models that every process holds whole, or has a whole copy of (see `whole`). Nothing else here communicates:
    all processes come to the same weights because they start from the same ones and do the same. Models may come
    wrapped (DDP, compiled).

    Attributes:
        num_updates (`int`):
            How many times the reference was renewed.
        needs_base (`bool`):
            Save the base with its adapter merged, for plain loading would not find it.
        whole ([`~stylevar_hf.training.grpo.whole_policy.WholePolicy`], *optional*):
            Where the policy is divided among processes, the copy of it that this reference was made for. `snapshot`
            and `update` then take the divided one, and all processes must call them.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.needs_base = False
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
                Fresh adapters start from it and the number of the update: the same on all processes and devices.

        Returns:
            [`AdapterReferencePolicy`] or [`CopyReferencePolicy`]

        Raises:
            ValueError: If the model has an adapter that cannot be merged exactly.
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
    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What distinguishes the policy from its start, by name."""

    @abstractmethod
    def _renew(self, model: nn.Module, weights: Weights) -> None:
        """Make the policy with these (checked) trained weights both the reference and the policy."""

    @abstractmethod
    def save(self, folder: str | os.PathLike, model: nn.Module) -> None:
        """Write to `folder/reference` what a resumed run needs beside the saved model; one process should."""

    @abstractmethod
    def load(self, folder: str | os.PathLike, model: nn.Module) -> bool:
        """
        Read what [`~ReferencePolicy.save`] wrote; all processes must.

        Returns:
            `bool`: Whether the policy's weights were restored, too. If not, the trainer loads them as usual.

        Raises:
            FileNotFoundError: If the folder has no such state.
            ValueError: If it is that of another kind of reference or of another model.
        """

    def snapshot(self, model: nn.Module, into: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """
        The policy's trained weights on the CPU, for a later [`~ReferencePolicy.update`].

        Args:
            model (`nn.Module`):
                The policy.
            into (`dict[str, torch.Tensor]`, *optional*):
                An earlier snapshot, to be overwritten instead of taking up more memory.

        Returns:
            `dict[str, torch.Tensor]`
        """
        trained = self._trained_parameters(self._whole_model(model))
        if into is None:
            into = {name: torch.empty_like(value, device="cpu") for name, value in trained.items()}
        for name, value in trained.items():
            into[name].copy_(value.detach())
        return into

    @torch.no_grad()
    def update(
        self,
        model: nn.Module,
        weights: Weights | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """
        Make the policy the reference. All parameters stay the same objects; the step is all or nothing.

        Args:
            model (`nn.Module`):
                The policy.
            weights (`Mapping[str, torch.Tensor]`, *optional*):
                A [`~ReferencePolicy.snapshot`] of this policy since the last update. Then the policy, too, goes back
                to it.
            optimizer (`torch.optim.Optimizer`, *optional*):
                Forgets what it knows of the trained parameters (moments, step), as if it was new.

        Raises:
            FloatingPointError: If a weight is not finite.
            ValueError: If the snapshot is another model's, or the model is divided among processes.
        """
        policy, model = model, self._whole_model(model)
        trained = self._trained_parameters(model)
        for name, value in trained.items():
            if isinstance(value, DTensor) or hasattr(value, "ds_id"):
                raise ValueError(
                    f"`model` must be whole on every process, but got a part of {name}. Renew the reference with DDP "
                    "or on one device, or switch the iterative reference off."
                )
        weights = trained if weights is None else weights
        check_same_tensors("weights", weights, trained)
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise FloatingPointError(
                    f"`weights` must be finite to become the reference, but got NaN or infinity in {name}. Resume "
                    "from an earlier checkpoint with a lower learning rate."
                )
        self._renew(model, weights)
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

    @abstractmethod
    def is_policy(self, model: nn.Module) -> bool:
        """
        Whether the reference is the policy, bit by bit, as at the start of training.

        It is not for an adapter that was trained before: call [`~ReferencePolicy.update`] to measure from there.
        """

    def model_to_save(self, model: nn.Module, state_dict: Weights | None = None) -> tuple[nn.Module, Weights | None]:
        """
        What to call `save_pretrained(folder, state_dict=...)` on, so that plain `from_pretrained(folder)` loads the
        policy.

        Args:
            model (`nn.Module`):
                The policy.
            state_dict (`Mapping[str, torch.Tensor]`, *optional*):
                The trainer's, which is handed on where the policy is saved as it is.

        Returns:
            `tuple(nn.Module, Mapping or None)`
        """
        return model, state_dict

    def saves_whole(self, model: nn.Module) -> bool:
        """Whether a whole model is saved, and not an adapter alone."""
        return True

    def remove_stale_files(self, folder: str | os.PathLike, model: nn.Module) -> None:  # noqa: B027 - a copy leaves none
        """Remove from a folder that was saved to more than once what would change how the newer model loads."""

    def _write_state(self, folder: str | os.PathLike, tensors: Mapping[str, Weights]) -> None:
        """Write tensors by file name, and the number of updates; a file that is not given is removed."""
        place = os.path.join(folder, REFERENCE_DIR)
        os.makedirs(place, exist_ok=True)
        for name in (_BASE_NAME, _ADAPTER_NAME):
            save_tensors(os.path.join(place, name), tensors.get(name))
        save_json(os.path.join(place, _STATE_NAME), {"kind": type(self).__name__, "num_updates": self.num_updates})

    def _read_num_updates(self, folder: str | os.PathLike) -> int:
        state = load_json(os.path.join(folder, REFERENCE_DIR), _STATE_NAME)
        if state["kind"] != type(self).__name__:
            raise ValueError(
                f"`resume_from_checkpoint` must come from the same kind of training, but got {os.fspath(folder)!r} "
                f"with {state['kind']} for {type(self).__name__}. Resume with LoRA what was trained with "
                "LoRA, and without what was not."
            )
        return state["num_updates"]


class AdapterReferencePolicy(ReferencePolicy):
    """
    LoRA: the reference is the model without its adapter. Costs no memory but the base's adapted weights once more on
    the CPU after the first update, for going back to a checkpoint from before it.

    What is saved: before the first update an adapter folder, as PEFT does (plain loading finds the base by
    `base_model_name_or_path`); after it, or if the base was never saved, the whole model with everything merged. The
    adapter itself and the changed base are then kept apart in `folder/reference`.

    Args:
        model (`PeftModel`):
            With one active plain LoRA adapter (any rank, alpha, pattern, rsLoRA, initialisation).
        seed (`int`, *optional*, defaults to 0):
            See [`~ReferencePolicy.for_model`].

    Raises:
        ValueError: If the adapter is of another kind, or trains more than its own weights.
    """

    def __init__(self, model: "PeftModel", seed: int = 0):
        super().__init__(seed)
        model = unwrap(model)
        check_adapter(model)
        self._original_base: dict[str, torch.Tensor] | None = None

    @contextmanager
    def log_probs_context(self, model: "PeftModel") -> Iterator["PeftModel"]:
        model = unwrap(model)
        with torch.no_grad(), model.disable_adapter():
            yield model

    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return {
            f"{name}.{part}": parameter
            for name, layer, adapter in lora_layers(model)
            for part, parameter in adapter_parameters(layer, adapter).items()
        }

    def _renew(self, model: nn.Module, weights: Weights) -> None:
        self._keep_original_base(model)
        config = unwrap(model).active_peft_config
        # Other initialisations change the base or need data, and B would not be zero.
        start = config.init_lora_weights if config.init_lora_weights == "gaussian" else True
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed + self.num_updates)
            for name, layer, adapter in lora_layers(model):
                base = layer.get_base_layer()
                for part, value in merge_layer(name, layer, adapter, weights).items():
                    getattr(base, part).copy_(value)
                fresh = twin_layer(layer, adapter, "cpu", torch.float32)
                fresh.reset_lora_parameters(adapter, start)
                live = adapter_parameters(layer, adapter)
                for part, value in adapter_parameters(fresh, adapter).items():
                    live[part].copy_(value)

    def is_policy(self, model: nn.Module) -> bool:
        # `A` may be anything.
        parts = self._trained_parameters(model).items()
        changing = [value for name, value in parts if ".lora_B." in name or ".lora_embedding_A." in name]
        return not any(value.any() for value in changing)

    def _base_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters that an update changes, by their names in a model without adapters."""
        return {
            f"{name}.{part}": getattr(layer.get_base_layer(), part)
            for name, layer, adapter in lora_layers(model)
            for part in merged_parts(layer, adapter)
        }

    def _keep_original_base(self, model: nn.Module) -> None:
        if self._original_base is None:
            base = self._base_parameters(model)
            self._original_base = {name: value.detach().cpu().clone() for name, value in base.items()}

    def saves_whole(self, model: nn.Module) -> bool:
        # An adapter's folder would not do where plain loading does not find the adapter or its base.
        if self.num_updates > 0 or self.needs_base or unwrap(model).active_adapters != ["default"]:
            return True
        place = unwrap(model).active_peft_config.base_model_name_or_path
        if not place or not os.path.isdir(place):  # a name without a folder may be a repository's
            return not place or os.path.isabs(place)
        return not os.path.isfile(os.path.join(place, CONFIG_NAME))

    @torch.no_grad()
    def model_to_save(self, model: nn.Module, state_dict: Weights | None = None) -> tuple[nn.Module, Weights | None]:
        if not self.saves_whole(model):
            return model, state_dict
        current = self._trained_parameters(model)
        base = unwrap(model).get_base_model()
        state_dict = {
            name.replace(".base_layer.", "."): value.detach()
            for name, value in base.state_dict().items()
            if not is_adapter_entry(name)
        }
        for name, layer, adapter in lora_layers(model):
            for part, value in merge_layer(name, layer, adapter, current).items():
                state_dict[f"{name}.{part}"] = value.cpu()
        return base, state_dict

    def remove_stale_files(self, folder: str | os.PathLike, model: nn.Module) -> None:
        # With both, plain loading would put the one adapter on top of the other model.
        if self.saves_whole(model):
            stale = [ADAPTER_CONFIG_NAME, ADAPTER_SAFE_WEIGHTS_NAME, ADAPTER_WEIGHTS_NAME]
        elif os.path.realpath(folder) == os.path.realpath(unwrap(model).active_peft_config.base_model_name_or_path):
            return  # saved beside its own base
        else:
            stale = [CONFIG_NAME, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME]
        for path in (os.path.join(folder, name) for name in stale):
            if os.path.isfile(path):
                os.remove(path)

    def save(self, folder: str | os.PathLike, model: nn.Module) -> None:
        tensors = {}
        if self.saves_whole(model):
            tensors = {_BASE_NAME: self._base_parameters(model), _ADAPTER_NAME: self._trained_parameters(model)}
        self._write_state(folder, tensors)

    @torch.no_grad()
    def load(self, folder: str | os.PathLike, model: nn.Module) -> bool:
        num_updates = self._read_num_updates(folder)
        place = os.path.join(folder, REFERENCE_DIR)
        whole = os.path.isfile(os.path.join(place, _ADAPTER_NAME))
        base = self._base_parameters(model)
        if whole:
            self._keep_original_base(model)
            copy_tensors(load_tensors(place, _BASE_NAME), base)
            copy_tensors(load_tensors(place, _ADAPTER_NAME), self._trained_parameters(model))
        elif self._original_base is not None:
            copy_tensors(self._original_base, base)
        self.num_updates = num_updates
        return whole


class CopyReferencePolicy(ReferencePolicy):
    """
    Full fine-tuning: the reference is a frozen copy in evaluation mode. What is not trained (the tokenizer, frozen
    encoders) is shared with the policy and takes no memory twice.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            The policy. What shall be frozen must be so already.
        seed (`int`, *optional*, defaults to 0):
            Unused: nothing here is drawn at random.

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
        self.model: StyleVARForConditionalGeneration = copy.deepcopy(policy, shared)
        self.model.requires_grad_(False)
        self.model.eval()

    @contextmanager
    def log_probs_context(self, model: nn.Module) -> Iterator[StyleVARForConditionalGeneration]:
        device = unwrap(model).device
        # The policy may have moved since it was copied: what is shared went with it, the copies did not.
        if any(tensor.device != device for tensor in (*self.model.parameters(), *self.model.buffers())):
            self.model.to(device)
        with torch.no_grad():
            yield self.model

    def _trained_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        return {name: value for name, value in unwrap(model).named_parameters() if value.requires_grad}

    def is_policy(self, model: nn.Module) -> bool:
        copied = self._copied_parameters(model)
        trained = self._trained_parameters(model)
        return all(torch.equal(value, copied[name].to(value.device)) for name, value in trained.items())

    def _copied_parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        copied = dict(self.model.named_parameters())
        return {name: copied[name] for name in self._trained_parameters(model)}

    def _renew(self, model: nn.Module, weights: Weights) -> None:
        copy_tensors(weights, self._trained_parameters(model))
        copy_tensors(weights, self._copied_parameters(model))

    def save(self, folder: str | os.PathLike, model: nn.Module) -> None:
        self._write_state(folder, {_BASE_NAME: self._copied_parameters(model)})

    @torch.no_grad()
    def load(self, folder: str | os.PathLike, model: nn.Module) -> bool:
        num_updates = self._read_num_updates(folder)
        place = os.path.join(folder, REFERENCE_DIR)
        copy_tensors(load_tensors(place, _BASE_NAME), self._copied_parameters(model))
        self.num_updates = num_updates
        return False


def check_same_tensors(name: str, found: Weights, expected: Weights) -> None:
    """Raise a `ValueError` unless names and shapes agree."""
    for key in sorted({*found, *expected}):
        shapes = [str(tuple(tensors[key].shape)) if key in tensors else "nothing" for tensors in (found, expected)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`{name}` must hold the tensors of this model, but got {shapes[0]} for {key}, which has {shapes[1]}. "
                "Use the same model, adapter and frozen parts as when it was saved."
            )


def copy_tensors(source: Weights, target: Mapping[str, nn.Parameter]) -> None:
    """Copy in place, after a check of names and shapes."""
    check_same_tensors("resume_from_checkpoint", source, target)
    with torch.no_grad():
        for name, value in target.items():
            value.copy_(source[name])


__all__ = ["REFERENCE_DIR", "AdapterReferencePolicy", "CopyReferencePolicy", "ReferencePolicy"]
