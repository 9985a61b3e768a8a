# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A policy that is divided among processes, whole on each of them."""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .adapter_weights import unwrap


# What wrappers inside of a model put into the names of its parameters.
_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")


class WholePolicy:
    """
    A copy of the policy for trainers that divide it among processes (FSDP2).

    Rollouts, scores without a gradient, the reference policy and saving call layers in an order of their own, and a
    different number of times on each process. Of a divided model they would wait for each other; here each process
    has all weights. It costs the memory of one model, without gradients and optimizer states.

    Args:
        model ([`StyleVARForConditionalGeneration`] or `PeftModel`):
            The policy, before it is divided. What is not trained is taken from it now.
        device (`torch.device`):
            Where the copy lives.

    Attributes:
        model ([`StyleVARForConditionalGeneration`] or `PeftModel`):
            The copy, in evaluation mode.
    """

    def __init__(self, model: nn.Module, device: torch.device):
        self.model = copy.deepcopy(model).to(device).eval()

    @torch.no_grad()
    def renew(self, policy: nn.Module) -> None:
        """
        Take over the trained weights; all processes must.

        Args:
            policy (`nn.Module`):
                The policy, divided or not yet.
        """
        for parameter, whole in self._pairs(policy):
            if parameter.requires_grad:
                whole.copy_(parameter.full_tensor() if isinstance(parameter, DTensor) else parameter)

    @torch.no_grad()
    def hand_back(self, policy: nn.Module) -> None:
        """
        Give the policy all weights of the copy, trained or not, which must be the same on all processes.

        Args:
            policy (`nn.Module`):
                The policy, divided or not yet.
        """
        for parameter, whole in self._pairs(policy):
            if isinstance(parameter, DTensor):
                whole = distribute_tensor(
                    whole.detach(), parameter.device_mesh, parameter.placements, src_data_rank=None
                )
            parameter.copy_(whole)

    def _pairs(self, policy: nn.Module) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Each parameter of the policy, and that of the copy."""
        copies = dict(self.model.named_parameters())
        for name, parameter in unwrap(policy).named_parameters():
            for wrapper in _WRAPPERS:
                name = name.replace(wrapper, "")
            yield parameter, copies[name]


__all__ = ["WholePolicy"]
