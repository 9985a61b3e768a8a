# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks whose best policy is known, solved with each way of training; and what VMR and masks do to the loss."""

import pytest
import torch
from test_grpo_trainer import logged, make_grpo_trainer, make_policy, make_prompts

from stylevar_hf.training import propagate_mask
from stylevar_hf.training.grpo import grpo_trainer
from stylevar_hf.training.grpo.panw import token_weights


NUM_CHOSEN = 4


def make_small_policy(lora=None):
    """14 codes on three scales, of a codebook of 16: with chance, a quarter of them is among the first four."""
    config = make_policy().config.vq_config.to_dict()
    vq_config = {**config, "patch_nums": (1, 2, 3), "codebook_size": 16}
    return make_policy(lora, vq_config=vq_config, blend_alphas=(0.3, 0.5, 0.7), num_hidden_layers=1)


def chosen_share(completion_ids, **columns):
    """The best policy draws the first codes alone, and gets 1."""
    return [sum(code < NUM_CHOSEN for code in codes) / len(codes) for codes in completion_ids]


def chosen_left(completion_ids, **columns):
    """The same for the left column of the finest scale, the only one that counts."""
    return [sum(code < NUM_CHOSEN for code in codes[5::3]) / 3 for codes in completion_ids]


WAYS = {
    "panw full": {},
    "panw lora": {"lora": {"r": 8, "lora_alpha": 16}, "learning_rate": 5e-2},
    "equal-per-scale": {"token_weighting": "equal-per-scale"},
    "bf16 sampled": {"bf16": True, "scoring": "sampled", "top_k": 12, "top_p": 0.99},
    "vmr full": {"vmr_scale": 2, "vmr_prefix_updates": 1},
    "vmr lora": {"vmr_scale": 1, "vmr_prefix_updates": 1, "lora": {"r": 8, "lora_alpha": 16}, "learning_rate": 3e-2},
}


def solve(output_dir, lora=None, rewards=chosen_share, train=None, **options):
    """Mean reward of the rollouts of each update; the first were drawn before any."""
    options = {"max_steps": 25, "learning_rate": 2e-2, "beta": 0.001, "num_generations": 8, **options}
    model = make_small_policy(lora)
    if options.get("bf16"):  # on CPU, gradients of bfloat16 convolutions of 1x1 maps are NaN or noise now and then
        model.model.style_encoder.requires_grad_(False), model.model.content_encoder.requires_grad_(False)
    train = make_prompts(2) if train is None else train
    trainer = make_grpo_trainer(output_dir, model, rewards, train, per_device_train_batch_size=16, **options)
    trainer.train()
    return logged(trainer, "reward")


class TestKnownOptimum:
    @pytest.mark.parametrize("way", WAYS)
    def test_is_found_within_25_updates(self, tmp_path, way):
        rewards = solve(tmp_path, **WAYS[way])
        assert 0.1 < rewards[0] < 0.5
        assert sum(rewards[-5:]) / 5 > 0.9

    def test_is_found_within_the_mask(self, tmp_path):
        mask = torch.zeros(24, 24)
        mask[:, :8] = 1
        train = make_prompts(2, mask=[mask.tolist()] * 2)
        rewards = solve(tmp_path, rewards=chosen_left, train=train, mask_column="mask")
        assert 0.1 < rewards[0] < 0.5
        assert sum(rewards[-5:]) / 5 > 0.9


@pytest.fixture
def weights_seen(monkeypatch):
    """The token weights of each loss, each `(N, L)`."""
    seen, mean = [], grpo_trainer.weighted_token_mean

    def watched(values, weights, keep):
        seen.append(weights)
        return mean(values, weights, keep)

    monkeypatch.setattr(grpo_trainer, "weighted_token_mean", watched)
    return seen


class TestTokensThatCount:
    def test_mask_switches_off_what_the_region_does_not_come_from(self, tmp_path, weights_seen):
        masks = torch.zeros(2, 8, 8)
        masks[0, :, :4], masks[1, :2, :2] = 1, 1
        train = make_prompts(2, mask=masks.tolist())
        options = {"mask_column": "mask", "max_steps": 1, "shuffle_dataset": False}
        make_grpo_trainer(tmp_path, train=train, **options).train()
        gates = propagate_mask(masks, (1, 2, 3, 4))
        assert 0 < gates.mean() < 1 and not torch.equal(*gates)
        expected = (token_weights((1, 2, 3, 4)) * gates).repeat_interleave(4, dim=0)
        found = sorted(weights_seen[0].tolist())  # rows are shuffled
        assert found == sorted(expected.tolist())

    def test_middle_return_trains_prefix_and_suffix_in_turn(self, tmp_path, weights_seen):
        make_grpo_trainer(tmp_path, vmr_scale=2, vmr_prefix_updates=2, max_steps=4).train()
        prefix = token_weights((1, 2, 3, 4)) * (torch.arange(30) < 5)
        suffix = token_weights((1, 2, 3, 4)) - prefix
        for weights, expected in zip(weights_seen, (prefix, prefix, suffix, prefix), strict=True):
            assert torch.equal(weights, expected.expand(8, -1))

    def test_value_of_a_prefix_is_that_of_its_continuations(self, tmp_path, monkeypatch):
        """Continuations share the prefix; the advantage is that of `eta log mean exp(R / eta)`."""
        rollouts, scored = [], []
        draw, advantages = grpo_trainer.draw_rollouts, grpo_trainer.compute_advantages

        def watched_draw(*args, **kwargs):
            drawn = draw(*args, **kwargs)
            rollouts.append(drawn.codes)
            return drawn

        def watched_advantages(returns, *args, **kwargs):
            scored.append(returns)
            return advantages(returns, *args, **kwargs)

        monkeypatch.setattr(grpo_trainer, "draw_rollouts", watched_draw)
        monkeypatch.setattr(grpo_trainer, "compute_advantages", watched_advantages)
        options = {"vmr_scale": 2, "vmr_continuations": 3, "vmr_eta": 0.5, "max_steps": 1}
        make_grpo_trainer(tmp_path, rewards=chosen_share, **options).train()
        assert len(rollouts) == 3
        codes = torch.stack(rollouts, dim=1)  # (N, K, L)
        assert torch.equal(codes[:, 0, :5], codes[:, 2, :5]) and not torch.equal(codes[:, 1, 5:], codes[:, 2, 5:])
        rewards = (codes < NUM_CHOSEN).float().mean(dim=2)
        expected = 0.5 * (rewards / 0.5).exp().mean(dim=1).log()
        torch.testing.assert_close(scored[0], expected, atol=1e-6, rtol=1e-5)
