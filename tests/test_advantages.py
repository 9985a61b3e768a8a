# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from stylevar_hf.training.grpo.advantages import combine_rewards, compute_advantages
from stylevar_hf.training.grpo.reward_calls import to_numbers


NAN, INF = float("nan"), float("inf")


class TestCombineRewards:
    def combine(self, *rewards, weights):
        parts, silent = torch.stack([to_numbers(values, "", len(values)) for values in rewards], dim=1).unbind(dim=2)
        return combine_rewards(parts, silent.bool(), torch.tensor(weights)), parts

    def test_none_says_nothing_and_nan_leaves_the_rollout_out(self):
        first, second = [1.0, 2.0, None, None, NAN, -INF], [10.0, None, 30.0, None, 50.0, 60.0]
        sums, parts = self.combine(first, second, weights=[2.0, 1.0])
        expected = torch.tensor([12.0, 4.0, 30.0, NAN, NAN, NAN])
        torch.testing.assert_close(sums, expected, equal_nan=True, atol=0, rtol=0)
        expected = torch.tensor([[1.0, 2.0, NAN, NAN, NAN, -INF], [10.0, NAN, 30.0, NAN, 50.0, 60.0]]).T
        torch.testing.assert_close(parts, expected, equal_nan=True, atol=0, rtol=0)

    def test_weight_of_zero_is_only_watched(self):
        sums, parts = self.combine([1.0, 2.0, None], [NAN, INF, 1.0], weights=[1.0, 0.0])
        torch.testing.assert_close(sums, torch.tensor([1.0, 2.0, NAN]), equal_nan=True, atol=0, rtol=0)
        assert parts[0, 1].isnan() and parts[1, 1].isinf()


class TestGroupScale:
    def test_values_by_hand(self):
        result = compute_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 8.0]), 4)
        # Means 2.5 and 2; sums of squares 5 and 48, each divided by 3.
        first, second = math.sqrt(5 / 3), 4.0
        expected = [x / (first + 1e-4) for x in (-1.5, -0.5, 0.5, 1.5)] + [
            x / (second + 1e-4) for x in (-2, -2, -2, 6)
        ]
        torch.testing.assert_close(result.advantages, torch.tensor(expected))
        torch.testing.assert_close(result.group_means, torch.tensor([2.5, 2.0]))
        torch.testing.assert_close(result.group_stds, torch.tensor([first, second]))
        assert result.without_variance.tolist() == [False, False]
        assert result.valid.all()

    def test_epsilon_is_added_to_the_standard_deviation(self):
        result = compute_advantages(torch.tensor([0.0, 2.0]), 2, epsilon=1.0)
        expected = 1 / (math.sqrt(2) + 1)
        torch.testing.assert_close(result.advantages, torch.tensor([-expected, expected]))

    def test_small_standard_deviation_counts_as_the_floor(self):
        rewards = torch.tensor([0.0, 0.02, 0.0, 2.0])
        result = compute_advantages(rewards, 2, std_floor=0.5, epsilon=0.0)
        expected = [-0.01 / 0.5, 0.01 / 0.5, -1 / math.sqrt(2), 1 / math.sqrt(2)]
        torch.testing.assert_close(result.advantages, torch.tensor(expected))
        torch.testing.assert_close(result.group_stds, torch.tensor([0.02, 2.0]) / math.sqrt(2))

    def test_large_advantages_are_clipped(self):
        rewards = torch.tensor([0.0, 0.0, 0.0, 8.0])
        result = compute_advantages(rewards, 4, epsilon=0.0, clip=1.0)
        torch.testing.assert_close(result.advantages, torch.tensor([-0.5, -0.5, -0.5, 1.0]))


class TestOtherScales:
    def test_batch_divides_by_the_standard_deviation_of_all(self):
        rewards = torch.tensor([0.0, 2.0, 4.0, 6.0])
        result = compute_advantages(rewards, 2, scale="batch", epsilon=0.0)
        batch_std = math.sqrt(20 / 3)  # around the mean of the batch, 3
        torch.testing.assert_close(result.advantages, torch.tensor([-1.0, 1.0, -1.0, 1.0]) / batch_std)
        torch.testing.assert_close(result.group_stds, torch.full((2,), math.sqrt(2)))

    def test_none_keeps_the_units_of_the_reward(self):
        result = compute_advantages(torch.tensor([0.0, 2.0, 4.0, 10.0]), 2, scale="none", std_floor=9.0, epsilon=9.0)
        assert result.advantages.tolist() == [-1.0, 1.0, -3.0, 3.0]


class TestRowsThatTakeNoPart:
    def test_invalid_row_enters_neither_mean_nor_deviation(self):
        rewards = torch.tensor([1.0, 3.0, 1000.0, 0.0, 1.0, 2.0])
        valid = torch.tensor([True, True, False, True, True, True])
        result = compute_advantages(rewards, 3, epsilon=0.0, valid=valid)
        expected = torch.tensor([-1 / math.sqrt(2), 1 / math.sqrt(2), 0.0, -1.0, 0.0, 1.0])
        torch.testing.assert_close(result.advantages, expected)
        torch.testing.assert_close(result.group_means, torch.tensor([2.0, 1.0]))
        assert torch.equal(result.valid, valid)

    def test_invalid_row_does_not_enter_the_deviation_of_the_batch(self):
        valid = torch.tensor([True, True, False, True, True, True])
        rewards = torch.tensor([1.0, 3.0, 1000.0, 0.0, 1.0, 2.0])
        result = compute_advantages(rewards, 3, scale="batch", epsilon=0.0, valid=valid)
        batch_std = torch.tensor([1.0, 3.0, 0.0, 1.0, 2.0]).std()
        torch.testing.assert_close(result.advantages, torch.tensor([-1.0, 1.0, 0.0, -1.0, 0.0, 1.0]) / batch_std)

    @pytest.mark.parametrize("scale", ["group", "batch", "none"])
    @pytest.mark.parametrize("reward", [NAN, INF, -INF])
    def test_reward_that_is_not_finite_is_never_valid(self, reward, scale):
        everything = torch.ones(4, dtype=torch.bool)
        rewards = torch.tensor([1.0, 2.0, reward, 4.0])
        for valid in (None, everything):
            result = compute_advantages(rewards, 4, scale=scale, valid=valid)
            without = compute_advantages(torch.tensor([1.0, 2.0, 0.0, 4.0]), 4, scale=scale, valid=result.valid)
            assert result.valid.tolist() == [True, True, False, True]
            assert torch.equal(result.advantages, without.advantages)
            assert result.advantages[2] == 0
        assert everything.all()  # what was passed in is as it was

    def test_group_with_one_valid_row_gets_zero_and_is_marked(self):
        result = compute_advantages(torch.tensor([NAN, 5.0, 1.0, 2.0]), 2)
        assert result.advantages[:2].tolist() == [0.0, 0.0]
        assert result.without_variance.tolist() == [True, False]
        assert result.group_means[0] == 5
        assert result.group_stds[0] == 0

    @pytest.mark.parametrize("scale", ["group", "batch", "none"])
    def test_group_with_no_valid_row_gets_zero_and_is_marked(self, scale):
        result = compute_advantages(torch.tensor([NAN, NAN, NAN, NAN]), 2, scale=scale)
        assert result.advantages.tolist() == [0.0] * 4
        assert result.without_variance.all()
        assert result.group_means.isnan().all()
        assert result.group_stds.tolist() == [0.0, 0.0]


class TestVariance:
    @pytest.mark.parametrize("scale", ["group", "batch", "none"])
    def test_group_of_equal_rewards_gets_zero_and_is_marked(self, scale):
        # The float32 mean of three times 0.1 need not be 0.1.
        result = compute_advantages(torch.tensor([0.1, 0.1, 0.1, 0.0, 1.0, 2.0]), 3, scale=scale)
        assert result.advantages[:3].tolist() == [0.0] * 3
        assert result.without_variance.tolist() == [True, False]
        assert result.group_stds[0] == 0

    def test_rewards_that_differ_by_rounding_count_as_equal(self):
        reward = torch.tensor(-1000.0)
        result = compute_advantages(torch.stack([reward, torch.nextafter(reward, torch.tensor(0.0))]), 2)
        assert result.advantages.tolist() == [0.0, 0.0]
        assert result.without_variance.all()

    def test_offset_of_the_rewards_does_not_matter(self):
        rewards = torch.tensor([0.0, 0.5, 0.25, 1.0])
        plain = compute_advantages(rewards, 4)
        torch.testing.assert_close(compute_advantages(rewards + 4096, 4).advantages, plain.advantages)

    def test_large_rewards_do_not_overflow(self):
        result = compute_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0]) * 1e30, 4)
        expected = compute_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0]), 4, epsilon=0.0)
        torch.testing.assert_close(result.advantages, expected.advantages)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        rewards = torch.tensor([60000.0, 40000.0, 50000.0, 20000.0], dtype=dtype)  # their sum overflows float16
        result = compute_advantages(rewards, 4)
        assert result.advantages.dtype == torch.float32
        assert torch.equal(result.advantages, compute_advantages(rewards.float(), 4).advantages)

    def test_rewards_are_constants(self):
        rewards = torch.tensor([1.0, 2.0], requires_grad=True)
        assert not compute_advantages(rewards, 2).advantages.requires_grad


class TestBadInput:
    @pytest.mark.parametrize("rewards", [torch.zeros(0), torch.zeros(2, 2), torch.tensor(1.0)])
    def test_rewards_of_another_shape_are_refused(self, rewards):
        with pytest.raises(ValueError, match=r"`rewards` must be of shape \(N,\) with N > 0, but got"):
            compute_advantages(rewards, 2)

    @pytest.mark.parametrize("num_generations", [1, 0, -2, 2.0, True])
    def test_group_of_one_is_refused(self, num_generations):
        with pytest.raises(ValueError, match="`num_generations` must be an integer of at least 2, but got"):
            compute_advantages(torch.zeros(4), num_generations)

    def test_rewards_that_do_not_fill_the_groups_are_refused(self):
        with pytest.raises(ValueError, match=r"`num_generations` must be a divisor of .* \(4\), but got 3"):
            compute_advantages(torch.zeros(4), 3)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("scale", "rank"),
            ("std_floor", -1.0),
            ("std_floor", NAN),
            ("epsilon", -1.0),
            ("epsilon", INF),
            ("clip", 0.0),
            ("clip", NAN),
            ("valid", torch.ones(3, dtype=torch.bool)),
            ("valid", torch.ones(4)),
        ],
    )
    def test_wrong_option_is_refused_by_name(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be .*, but got"):
            compute_advantages(torch.zeros(4), 2, **{name: value})
