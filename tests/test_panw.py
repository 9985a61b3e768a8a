# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from stylevar_hf.training.grpo.panw import TOKEN_WEIGHTINGS, check_patch_nums, panw_weights, token_weights


PUBLISHED_LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
PUBLISHED_SHARES = [3.4, 5.1, 6.5, 7.7, 8.8, 9.9, 11.7, 13.4, 15.7, 17.8]


def shares(weights, patch_nums):
    return torch.stack([scale.sum() for scale in weights.split([side * side for side in patch_nums])])


class TestPanwWeights:
    def test_values_by_hand(self):
        # One token and four tokens; 4^-0.5 = 1/2, so Z = 1 + 4 * 1/2 = 3.
        torch.testing.assert_close(panw_weights((1, 2), gamma=0.5), torch.tensor([2, 1, 1, 1, 1]) / 6)

    def test_values_by_hand_where_the_first_scale_has_several_tokens(self):
        # 4 and 16 tokens: 1/2 and 1/4 each, so Z = 4/2 + 16/4 = 6.
        expected = torch.tensor([1 / 12] * 4 + [1 / 24] * 16)
        torch.testing.assert_close(panw_weights((2, 4), gamma=0.5), expected)

    def test_published_table_on_the_published_ladder(self):
        weights = panw_weights(PUBLISHED_LADDER)
        assert weights.shape == (680,)
        assert weights.dtype == torch.float32
        assert round((weights[0] / weights[-1]).item(), 1) == 48.5
        assert [round(100 * share.item(), 1) for share in shares(weights, PUBLISHED_LADDER)] == PUBLISHED_SHARES

    def test_scales_share_equally_at_gamma_one(self):
        weights = panw_weights(PUBLISHED_LADDER, gamma=1.0)
        torch.testing.assert_close(shares(weights, PUBLISHED_LADDER), torch.full((10,), 0.1))

    def test_tokens_share_equally_at_gamma_zero(self):
        assert torch.equal(panw_weights(PUBLISHED_LADDER, gamma=0.0), torch.full((680,), 1 / 680))

    @pytest.mark.parametrize("gamma", [0.0, 0.6, 0.7, 1.2, 5.0])
    @pytest.mark.parametrize("patch_nums", [(1,), (3, 7), (1, 2, 3, 4), PUBLISHED_LADDER])
    def test_weights_sum_to_one(self, patch_nums, gamma):
        assert abs(panw_weights(patch_nums, gamma).double().sum().item() - 1) < 1e-6

    def test_large_gamma_leaves_the_first_scale(self):
        # 4^-2000 is 0 in any precision: the weights must not become 0 / 0.
        assert torch.equal(panw_weights((2, 3), gamma=2000), torch.tensor([0.25] * 4 + [0.0] * 9))

    @pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf")])
    def test_wrong_gamma_is_refused(self, gamma):
        with pytest.raises(ValueError, match=r"`gamma` must be a finite number of at least 0, but got"):
            panw_weights((1, 2), gamma)


class TestTokenWeights:
    def test_each_weighting_has_its_exponent(self):
        for weighting, exponent in zip(TOKEN_WEIGHTINGS, (0.6, 0.0, 1.0), strict=True):
            weights = token_weights(PUBLISHED_LADDER, weighting, gamma=0.6)
            assert torch.equal(weights, panw_weights(PUBLISHED_LADDER, exponent))

    def test_published_weighting_is_the_default(self):
        assert torch.equal(token_weights(PUBLISHED_LADDER), panw_weights(PUBLISHED_LADDER, 0.7))

    def test_unknown_weighting_is_refused(self):
        with pytest.raises(
            ValueError, match="`weighting` must be one of panw, none, equal-per-scale, but got 'equal'"
        ):
            token_weights((1, 2), "equal")


class TestCheckPatchNums:
    def test_list_becomes_tuple(self):
        assert check_patch_nums([1, 2, 4]) == (1, 2, 4)

    @pytest.mark.parametrize("patch_nums", [(), (0, 1), (1, 1), (2, 1), (1, 2.5), (True, 2), 16, "12", None])
    def test_anything_but_a_ladder_is_refused(self, patch_nums):
        with pytest.raises(ValueError, match="`patch_nums` must be a strictly increasing ladder of positive sides"):
            check_patch_nums(patch_nums)
