# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from stylevar_hf.training.grpo.policy_loss import clipped_surrogate, k3_kl, weighted_token_mean


NAN, INF = float("nan"), float("inf")
# Ratio, advantage, delta, loss and the derivative of the loss by the log-probability, for an epsilon of 0.2. The
# derivative of -r A by log r is -r A; it is 0 where the surrogate is clipped.
SURROGATE_CASES = [
    (1.1, 2.0, None, -2.2, -2.2),
    (1.5, 2.0, None, -2.4, 0.0),
    (0.5, 2.0, None, -1.0, -1.0),
    (0.9, -2.0, None, 1.8, 1.8),
    (0.5, -2.0, None, 1.6, 0.0),
    (3.0, -2.0, None, 6.0, 6.0),
    (3.0, -2.0, 2.5, 5.0, 0.0),
    (2.0, -2.0, 2.5, 4.0, 4.0),
    (3.0, 2.0, 2.5, -2.4, 0.0),
    (0.5, -2.0, 2.5, 1.6, 0.0),
    (1.1, 0.0, None, 0.0, 0.0),
    (3.0, 0.0, 2.5, 0.0, 0.0),
]


def random_log_probs(seed, dtype=torch.float32, shape=(3, 5)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((*shape, 7), generator=generator).log_softmax(-1)[..., 0].to(dtype)


class TestK3KL:
    def test_values_by_hand(self):
        log_probs = torch.tensor([[0.5, 0.25]]).log()
        reference = torch.tensor([[0.25, 0.5]]).log()
        expected = torch.tensor([[0.5 + math.log(2) - 1, 2 - math.log(2) - 1]])
        torch.testing.assert_close(k3_kl(log_probs, reference), expected)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_equal_inputs_give_exactly_zero_and_no_gradient(self, dtype):
        log_probs = random_log_probs(0, dtype).requires_grad_()
        kl = k3_kl(log_probs, log_probs.detach().clone())
        kl.sum().backward()
        assert torch.equal(kl, torch.zeros_like(kl))
        assert torch.equal(log_probs.grad, torch.zeros_like(log_probs))

    def test_mean_over_draws_is_the_divergence(self):
        policy, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
        mean = (policy * k3_kl(policy.log(), reference.log())).sum()
        torch.testing.assert_close(mean, (policy * (policy / reference).log()).sum())

    def test_nearby_policies_keep_their_digits(self):
        log_probs = torch.full((1, 1), -0.0625)
        reference = log_probs + 2.0**-13  # d^2 / 2 is 7.5e-9, below the float32 epsilon of 1.2e-7
        d = 2.0**-13
        assert k3_kl(log_probs, reference).item() == pytest.approx(math.expm1(d) - d, rel=1e-3)

    def test_values_are_not_negative(self):
        for distance in (1e-6, 1e-4, 1e-2, 1.0, 10.0):
            log_probs = random_log_probs(1, shape=(20, 20))
            reference = log_probs + distance * torch.randn(20, 20, generator=torch.Generator().manual_seed(2))
            assert k3_kl(log_probs, reference).min() >= -1e-6 * distance

    def test_derivative_is_the_numerical_one(self):
        log_probs = random_log_probs(3, torch.float64).requires_grad_()
        reference = random_log_probs(4, torch.float64)
        assert torch.autograd.gradcheck(lambda values: k3_kl(values, reference), log_probs)
        k3_kl(log_probs, reference).sum().backward()
        torch.testing.assert_close(log_probs.grad, 1 - (reference - log_probs.detach()).exp())

    def test_half_precision_is_computed_in_float32(self):
        log_probs, reference = random_log_probs(5, torch.bfloat16), random_log_probs(6, torch.bfloat16)
        assert k3_kl(log_probs, reference).dtype == torch.float32
        assert torch.equal(k3_kl(log_probs, reference), k3_kl(log_probs.float(), reference.float()))

    def test_reference_gets_no_gradient(self):
        reference = random_log_probs(6).requires_grad_()
        assert not k3_kl(random_log_probs(5), reference).requires_grad

    def test_far_policies_give_finite_values_and_gradients(self):
        log_probs = torch.tensor([[-500.0, 0.0]], requires_grad=True)
        kl = k3_kl(log_probs, torch.tensor([[0.0, -500.0]]))
        kl.sum().backward()
        assert kl.isfinite().all()
        assert kl[0, 1] == 499
        assert log_probs.grad.tolist() == [[0.0, 1.0]]

    def test_different_shapes_are_refused(self):
        with pytest.raises(ValueError, match=r"`reference_log_probs` must be of the shape \(2, 3\) of `log_probs`"):
            k3_kl(torch.zeros(2, 3), torch.zeros(2, 1))


class TestClippedSurrogate:
    @pytest.mark.parametrize(("ratio", "advantage", "delta", "loss", "derivative"), SURROGATE_CASES)
    def test_value_and_derivative_by_hand(self, ratio, advantage, delta, loss, derivative):
        old = torch.full((1, 1), -2.0, dtype=torch.float64)
        log_probs = (old + math.log(ratio)).requires_grad_()

        def surrogate(values):
            return clipped_surrogate(values, old, torch.tensor([advantage]), 0.2, 0.2, delta)

        result = surrogate(log_probs)
        result.loss.sum().backward()
        assert result.loss.item() == pytest.approx(loss)
        assert result.ratio.item() == pytest.approx(ratio)
        assert log_probs.grad.item() == pytest.approx(derivative)
        assert result.clipped.item() == (derivative == 0 and advantage != 0)
        step = 1e-6
        with torch.no_grad():
            numerical = (surrogate(log_probs + step).loss - surrogate(log_probs - step).loss).item() / (2 * step)
        assert numerical == pytest.approx(derivative, abs=1e-6)

    def test_each_epsilon_bounds_its_own_side(self):
        log_probs = torch.tensor([[1.3, 0.7, 1.5, 0.5]]).log()
        advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
        loss, _, clipped = clipped_surrogate(
            log_probs, torch.zeros(1, 4), advantages, epsilon_low=0.4, epsilon_high=0.28
        )
        torch.testing.assert_close(loss, torch.tensor([[-1.28, 0.7, -1.28, 0.6]]))
        assert clipped.tolist() == [[True, False, True, True]]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("given", [True, False])
    def test_ratio_of_equal_policies_is_exactly_one(self, dtype, given):
        log_probs = random_log_probs(0, dtype).requires_grad_()
        old = log_probs.detach().clone() if given else None
        advantages = torch.tensor([1.0, -0.5, 2.0])
        loss, ratio, clipped = clipped_surrogate(log_probs, old, advantages)
        loss.sum().backward()
        assert torch.equal(ratio, torch.ones_like(ratio))
        assert torch.equal(loss, -advantages.unsqueeze(1).expand(3, 5).to(loss.dtype))
        assert torch.equal(log_probs.grad, -advantages.unsqueeze(1).expand(3, 5).to(dtype))
        assert not clipped.any()

    def test_advantages_of_rollouts_reach_each_of_their_tokens(self):
        # As many rollouts as tokens: a vector must not be taken for a row.
        log_probs, old = random_log_probs(1, shape=(4, 4)), random_log_probs(2, shape=(4, 4))
        advantages = torch.tensor([1.0, -1.0, 0.5, 0.0])
        by_row = clipped_surrogate(log_probs, old, advantages)
        by_column = clipped_surrogate(log_probs, old, advantages.unsqueeze(1))
        by_token = clipped_surrogate(log_probs, old, advantages.unsqueeze(1).repeat(1, 4))
        assert torch.equal(by_row.loss, by_column.loss)
        assert torch.equal(by_row.loss, by_token.loss)
        torch.testing.assert_close(by_row.loss[3], torch.zeros(4))

    def test_half_precision_is_computed_in_float32(self):
        log_probs, old = random_log_probs(1, torch.bfloat16), random_log_probs(2, torch.bfloat16)
        advantages = torch.tensor([1.0, -1.0, 0.5], dtype=torch.bfloat16)
        half = clipped_surrogate(log_probs, old, advantages)
        single = clipped_surrogate(log_probs.float(), old.float(), advantages.float())
        assert half.loss.dtype == torch.float32
        assert torch.equal(half.loss, single.loss)
        assert torch.equal(half.ratio, single.ratio)

    def test_only_the_policy_gets_gradients(self):
        old = random_log_probs(1).requires_grad_()
        advantages = torch.ones(3, requires_grad=True)
        loss, ratio, _ = clipped_surrogate(random_log_probs(2), old, advantages)
        assert not loss.requires_grad
        assert not clipped_surrogate(random_log_probs(2).requires_grad_(), old, advantages).ratio.requires_grad

    def test_ratio_that_overflows_leaves_gradients_finite(self):
        log_probs = torch.tensor([[0.0], [0.0]], requires_grad=True)
        loss, ratio, clipped = clipped_surrogate(
            log_probs, torch.full((2, 1), -500.0), torch.tensor([1.0, -1.0]), delta=4.0
        )
        loss.sum().backward()
        assert ratio.isfinite().all()
        torch.testing.assert_close(loss, torch.tensor([[-1.2], [4.0]]))
        assert log_probs.grad.tolist() == [[0.0], [0.0]]
        assert clipped.all()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("log_probs", torch.zeros(6)),
            ("old_log_probs", torch.zeros(2, 1)),
            ("advantages", torch.zeros(3)),
            ("advantages", torch.zeros(1, 3)),
            ("epsilon_low", -0.1),
            ("epsilon_low", 1.1),
            ("epsilon_low", NAN),
            ("epsilon_high", -0.1),
            ("epsilon_high", INF),
            ("delta", 1.2),
            ("delta", NAN),
        ],
    )
    def test_wrong_argument_is_refused_by_name(self, name, value):
        arguments = {"log_probs": torch.zeros(2, 3), "old_log_probs": torch.zeros(2, 3), "advantages": torch.zeros(2)}
        with pytest.raises(ValueError, match=f"`{name}` must be .*, but got"):
            clipped_surrogate(**{**arguments, name: value})


class TestWeightedTokenMean:
    def test_values_by_hand(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
        assert weighted_token_mean(values, torch.tensor([0.75, 0.25])).item() == (1.25 + 3.5) / 2
        weights = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
        assert weighted_token_mean(values, weights).item() == (1.5 + 5.0) / 2

    def test_row_left_out_counts_as_zero(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
        mean = weighted_token_mean(values, torch.tensor([0.75, 0.25]), torch.tensor([True, False]))
        mean.backward()
        assert mean.item() == 1.25 / 2
        assert values.grad.tolist() == [[0.375, 0.125], [0.0, 0.0]]

    def test_row_left_out_may_be_infinite(self):
        values = torch.tensor([[1.0, 2.0], [INF, NAN]], requires_grad=True)
        mean = weighted_token_mean(values, torch.tensor([0.75, 0.25]), torch.tensor([True, False]))
        mean.backward()
        assert mean.item() == 1.25 / 2
        assert values.grad.tolist() == [[0.375, 0.125], [0.0, 0.0]]

    def test_row_with_an_exploded_divergence_leaves_the_gradients_of_others(self):
        log_probs = torch.tensor([[-1.0], [-500.0]], requires_grad=True)
        kl = k3_kl(log_probs, torch.tensor([[-2.0], [0.0]]))
        weighted_token_mean(kl, torch.ones(1), torch.tensor([True, False])).backward()
        torch.testing.assert_close(log_probs.grad, torch.tensor([[(1 - math.exp(-1)) / 2], [0.0]]))

    def test_no_row_kept_gives_zero(self):
        values = torch.ones(2, 3, requires_grad=True)
        mean = weighted_token_mean(values, torch.ones(3), torch.zeros(2, dtype=torch.bool))
        mean.backward()
        assert mean.item() == 0
        assert not values.grad.any()

    def test_half_precision_is_summed_in_float32(self):
        values = torch.ones(1, 680, dtype=torch.bfloat16)
        mean = weighted_token_mean(values, torch.full((680,), 1 / 680, dtype=torch.bfloat16).float())
        assert mean.dtype == torch.float32
        assert abs(mean.item() - 1) < 3e-3

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("values", torch.zeros(3)),
            ("values", torch.zeros(0, 3)),
            ("weights", torch.zeros(2)),
            ("weights", torch.zeros(3, 3)),
            ("keep", torch.ones(2)),
            ("keep", torch.ones(3, dtype=torch.bool)),
            ("keep", torch.ones(2, 1, dtype=torch.bool)),
        ],
    )
    def test_wrong_argument_is_refused_by_name(self, name, value):
        arguments = {"values": torch.zeros(2, 3), "weights": torch.zeros(3)}
        with pytest.raises(ValueError, match=f"`{name}` must be .*, but got"):
            weighted_token_mean(**{**arguments, name: value})
