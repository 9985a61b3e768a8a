# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The real DreamSim package as reward of GRPO, on generated weights."""

import pytest
import torch
from test_dreamsim_reward import weights_dir  # noqa: F401 - a fixture
from test_grpo_trainer import brightness, logged, make_grpo_trainer, make_policy

from stylevar_hf.rewards import DreamSimReward


@pytest.mark.slow
@pytest.mark.parametrize("dreamsim_type", ["open_clip_vitb32", "dino_vitb16"])
def test_trains_on_the_package_itself(tmp_path, weights_dir, monkeypatch, dreamsim_type):  # noqa: F811
    described = []
    describe = DreamSimReward.describe

    def watched(self, images):
        described.append(len(images))
        return describe(self, images)

    monkeypatch.setattr(DreamSimReward, "describe", watched)
    spec = f"dreamsim:dreamsim_type={dreamsim_type},cache_dir={weights_dir}"
    trainer = make_grpo_trainer(
        tmp_path, make_policy({"r": 2}), [spec, brightness], reward_weights=[1, 0], max_steps=2
    )
    before = {name: value.clone() for name, value in trainer.model.named_parameters() if value.requires_grad}
    trainer.train()
    # The trial with one image, then twice two targets and eight rollouts: each target once.
    assert sum(described) == (1 + 4) + 2 * (2 + 8)
    rewards = logged(trainer, "rewards/dreamsim/mean")
    assert len(rewards) == 2 and all(-10 <= reward < 0 for reward in rewards)
    assert logged(trainer, "reward") == pytest.approx(rewards)
    assert min(logged(trainer, "reward_std")) > 0 and min(logged(trainer, "grad_norm")) > 0
    assert any(not torch.equal(value, before[n]) for n, value in trainer.model.named_parameters() if n in before)
    assert not any(parameter.requires_grad for parameter in trainer.reward_funcs[0]._network.parameters())
