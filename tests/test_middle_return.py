# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import math

import pytest
import torch

from stylevar_hf.training.grpo.middle_return import UpdateSchedule, middle_value, scale_gate


NAN, INF = float("nan"), float("inf")


class TestMiddleValue:
    def test_values_by_hand(self):
        rewards = torch.tensor([[1.0, 3.0], [0.0, 0.0], [math.log(2), math.log(4)]])
        expected = [math.log((math.e + math.e**3) / 2), 0.0, math.log(3)]
        torch.testing.assert_close(middle_value(rewards), torch.tensor(expected))

    def test_eta_is_in_units_of_the_reward(self):
        rewards = torch.tensor([[1.0, 3.0], [-2.0, 5.0]])
        torch.testing.assert_close(middle_value(10 * rewards, eta=10.0), 10 * middle_value(rewards))

    @pytest.mark.parametrize("eta", [1e-30, 1e-3, 1.0, 1e6, 1e30])
    def test_single_continuation_gives_its_reward(self, eta):
        rewards = torch.tensor([[0.1], [-7.3], [1e30], [-1e30]])
        assert torch.equal(middle_value(rewards, eta), rewards[:, 0])

    @pytest.mark.parametrize("eta", [1e5, 1e8, 1e30])
    def test_large_eta_tends_to_the_mean(self, eta):
        rewards = torch.tensor([[1.0, 3.0, 2.0], [-4.0, 0.5, -1.0]])
        torch.testing.assert_close(middle_value(rewards, eta), rewards.mean(dim=1), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("eta", [1e-5, 1e-30])
    def test_small_eta_tends_to_the_largest(self, eta):
        rewards = torch.tensor([[1.0, 3.0, 2.0], [-4.0, 0.5, -1.0]])
        torch.testing.assert_close(middle_value(rewards, eta), torch.tensor([3.0, 0.5]), rtol=1e-4, atol=1e-4)

    def test_value_lies_between_mean_and_largest_and_falls_with_eta(self):
        rewards = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        values = torch.stack([middle_value(rewards, eta) for eta in (0.1, 1.0, 10.0)])
        assert (values <= rewards.amax(dim=1)).all()
        assert (values >= rewards.mean(dim=1)).all()
        assert (values[:-1] > values[1:]).all()

    def test_large_rewards_do_not_overflow(self):
        rewards = torch.tensor([[1e4, 1e4 + 2], [-1e4, -1e4 + 2], [1e30, -1e30]])
        expected = [1e4 + 2 + math.log((1 + math.exp(-2)) / 2), -1e4 + 2 + math.log((1 + math.exp(-2)) / 2), 1e30]
        torch.testing.assert_close(middle_value(rewards), torch.tensor(expected))

    @pytest.mark.parametrize("lost", [NAN, INF, -INF])
    def test_continuation_without_a_finite_reward_is_left_out(self, lost):
        rewards = torch.tensor([[1.0, lost, 3.0], [lost, 2.0, lost], [lost, lost, lost]])
        values = middle_value(rewards)
        torch.testing.assert_close(values[:1], middle_value(torch.tensor([[1.0, 3.0]])))
        assert values[1] == 2
        assert values[2].isnan()

    def test_half_precision_is_computed_in_float32(self):
        rewards = torch.tensor([[1.0, 3.0], [60000.0, 50000.0]], dtype=torch.float16)
        values = middle_value(rewards)
        assert values.dtype == torch.float32
        assert torch.equal(values, middle_value(rewards.float()))

    def test_rewards_are_constants(self):
        assert not middle_value(torch.zeros(1, 2, requires_grad=True)).requires_grad

    @pytest.mark.parametrize("rewards", [torch.zeros(3), torch.zeros(0, 2), torch.zeros(2, 0)])
    def test_rewards_of_another_shape_are_refused(self, rewards):
        with pytest.raises(ValueError, match=r"`rewards` must be of shape \(N, K\) with N, K > 0, but got"):
            middle_value(rewards)

    @pytest.mark.parametrize("eta", [0.0, -1.0, NAN, INF])
    def test_eta_out_of_its_range_is_refused(self, eta):
        with pytest.raises(ValueError, match=r"`eta` must be in \[1e-30, 1e30\], but got"):
            middle_value(torch.zeros(1, 2), eta)


class TestUpdateSchedule:
    def test_three_prefix_updates_then_one_suffix_update(self):
        kinds = [UpdateSchedule().kind(index) for index in range(8)]
        assert kinds == ["prefix", "prefix", "prefix", "suffix"] * 2

    def test_one_prefix_update_alternates(self):
        kinds = [UpdateSchedule(prefix_updates=1).kind(index) for index in range(4)]
        assert kinds == ["prefix", "suffix"] * 2

    def test_schedule_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            UpdateSchedule().prefix_updates = 2

    @pytest.mark.parametrize("prefix_updates", [0, -1, 1.5, True])
    def test_wrong_number_is_refused(self, prefix_updates):
        with pytest.raises(ValueError, match="`prefix_updates` must be an integer of at least 1, but got"):
            UpdateSchedule(prefix_updates=prefix_updates)

    @pytest.mark.parametrize("index", [-1, 0.5])
    def test_wrong_index_is_refused(self, index):
        with pytest.raises(ValueError, match="`index` must be an integer of at least 0, but got"):
            UpdateSchedule().kind(index)


class TestScaleGate:
    def test_values_by_hand(self):
        assert scale_gate((1, 2, 3), 2, "prefix").tolist() == [1.0] * 5 + [0.0] * 9
        assert scale_gate((1, 2, 3), 2, "suffix").tolist() == [0.0] * 5 + [1.0] * 9

    @pytest.mark.parametrize("middle_scale", range(1, 10))
    def test_every_token_is_in_one_part(self, middle_scale):
        ladder = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
        prefix, suffix = (scale_gate(ladder, middle_scale, kind) for kind in ("prefix", "suffix"))
        assert torch.equal(prefix + suffix, torch.ones(680))
        assert prefix.sum() == sum(side**2 for side in ladder[:middle_scale])

    @pytest.mark.parametrize("middle_scale", [0, 3, -1, 1.0, True])
    def test_middle_that_leaves_a_part_empty_is_refused(self, middle_scale):
        with pytest.raises(ValueError, match="`middle_scale` must be an index from 1 to 2, but got"):
            scale_gate((1, 2, 3), middle_scale, "prefix")

    def test_ladder_of_one_scale_is_refused(self):
        with pytest.raises(ValueError, match="`middle_scale` must be left out for a ladder of one scale, but got 1"):
            scale_gate((4,), 1, "prefix")

    def test_unknown_kind_is_refused(self):
        with pytest.raises(ValueError, match="`kind` must be one of prefix, suffix, but got 'middle'"):
            scale_gate((1, 2), 1, "middle")
