# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import pytest
import torch


pytest.importorskip("trl")
pytest.importorskip("peft")

from test_grpo_trainer import LORA, make_policy
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from stylevar_hf.training.grpo.reference_policy import ReferencePolicy
from stylevar_hf.training.grpo.whole_policy import WholePolicy


CPU = torch.device("cpu")


def move(model) -> None:
    """Another value for every weight that is trained."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1)


def assert_equal_weights(model, other) -> None:
    for parameter, another in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(parameter, another)


# That weights divided among processes arrive whole is tested in test_grpo_distributed.py.
class TestWholePolicy:
    def test_takes_over_what_is_trained(self):
        policy = make_policy(LORA)
        whole = WholePolicy(policy, CPU)
        move(policy)
        whole.renew(policy)
        assert_equal_weights(whole.model, policy)
        assert whole.model is not policy and not any(module.training for module in whole.model.modules())

    def test_hands_everything_back(self):
        policy = make_policy(LORA)
        whole = WholePolicy(policy, CPU)
        with torch.no_grad():
            for parameter in whole.model.parameters():
                parameter.add_(1)
        whole.hand_back(policy)
        assert_equal_weights(whole.model, policy)

    def test_layers_may_be_wrapped(self):
        policy = make_policy()
        whole = WholePolicy(policy, CPU)
        policy.model.layers[0] = checkpoint_wrapper(policy.model.layers[0])
        move(policy)
        whole.renew(policy)
        assert_equal_weights(whole.model, policy)


@pytest.mark.parametrize("lora", [None, LORA])
class TestReferenceOfADividedPolicy:
    def test_snapshot_is_of_the_policy_as_it_is_now(self, lora):
        policy = make_policy(lora)
        whole = WholePolicy(policy, CPU)
        reference = ReferencePolicy.for_model(whole.model)
        reference.whole = whole
        move(policy)
        snapshot = reference.snapshot(policy)
        assert snapshot
        for name, value in policy.named_parameters():
            if value.requires_grad:
                assert torch.equal(snapshot[name.removeprefix("base_model.model.")], value)

    def test_update_changes_the_policy_too(self, lora):
        policy = make_policy(lora)
        whole = WholePolicy(policy, CPU)
        reference = ReferencePolicy.for_model(whole.model)
        reference.whole = whole
        before = reference.snapshot(policy)
        move(policy)
        optimizer = torch.optim.Adam(parameter for parameter in policy.parameters() if parameter.requires_grad)
        optimizer.zero_grad()
        sum(parameter.sum() for parameter in policy.parameters() if parameter.requires_grad).backward()
        optimizer.step()
        reference.update(policy, before, optimizer)
        assert_equal_weights(whole.model, policy)
        assert reference.is_policy(whole.model) and reference.num_updates == 1
        assert not optimizer.state
