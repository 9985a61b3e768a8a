# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction

import pytest
import torch

from stylevar_hf.training.grpo.mask_propagation import propagate_mask


PUBLISHED_LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


def single_pixel(size, row, column):
    mask = torch.zeros(size, size)
    mask[row, column] = 1
    return mask


def tokens_on(gate, patch_nums):
    """For each scale the set of (row, column) of tokens that are on, of the first row of the gate."""
    scales = gate[0].split([side * side for side in patch_nums])
    return [
        {(i // side, i % side) for i in scale.nonzero().flatten().tolist()}
        for side, scale in zip(patch_nums, scales, strict=True)
    ]


def share_length(a, a_side, b, b_side):
    """Whether cell `a` of `a_side` and cell `b` of `b_side` share some length."""
    return max(Fraction(a, a_side), Fraction(b, b_side)) < min(Fraction(a + 1, a_side), Fraction(b + 1, b_side))


class TestSmallLadders:
    def test_sides_that_divide(self):
        gate = propagate_mask(single_pixel(4, 0, 3), (1, 2, 4))
        assert tokens_on(gate, (1, 2, 4)) == [{(0, 0)}, {(0, 1)}, {(0, 3)}]

    @pytest.mark.parametrize(
        ("row", "column", "coarse"),
        [
            (0, 0, {(0, 0)}),
            (0, 1, {(0, 0), (0, 1)}),
            (2, 1, {(1, 0), (1, 1)}),
            (1, 2, {(0, 1), (1, 1)}),
            (1, 1, {(0, 0), (0, 1), (1, 0), (1, 1)}),
        ],
    )
    def test_sides_that_do_not_divide(self, row, column, coarse):
        gate = propagate_mask(single_pixel(3, row, column), (2, 3))
        assert tokens_on(gate, (2, 3)) == [coarse, {(row, column)}]

    def test_region_grows_through_the_scales_between(self):
        # The second quarter reaches the first two thirds, and the second third reaches both halves.
        gate = propagate_mask(single_pixel(4, 1, 0), (2, 3, 4))
        assert tokens_on(gate, (2, 3, 4)) == [{(0, 0), (1, 0)}, {(0, 0), (1, 0)}, {(1, 0)}]

    def test_token_across_a_corner_of_the_coarser_map_turns_on_four(self):
        gate = propagate_mask(single_pixel(16, 1, 1), PUBLISHED_LADDER)
        finer, finest = tokens_on(gate, PUBLISHED_LADDER)[-2:]
        assert finest == {(1, 1)}
        assert finer == {(0, 0), (0, 1), (1, 0), (1, 1)}


class TestMonotony:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("patch_nums", [PUBLISHED_LADDER, (1, 2, 3, 4), (2, 5, 7)])
    def test_whatever_overlaps_a_token_that_is_on_is_on_at_every_coarser_scale(self, patch_nums, seed):
        side = patch_nums[-1]
        mask = torch.rand(1, side, side, generator=torch.Generator().manual_seed(seed)) < 3 / side**2
        on = tokens_on(propagate_mask(mask, patch_nums), patch_nums)
        for fine in range(len(patch_nums)):
            for coarse in range(fine):
                fine_side, coarse_side = patch_nums[fine], patch_nums[coarse]
                touched = {
                    (i, j)
                    for row, column in on[fine]
                    for i in range(coarse_side)
                    if share_length(row, fine_side, i, coarse_side)
                    for j in range(coarse_side)
                    if share_length(column, fine_side, j, coarse_side)
                }
                assert touched <= on[coarse]
                if coarse == fine - 1:  # and nothing else is
                    assert touched == on[coarse]

    def test_larger_region_turns_no_token_off(self):
        generator = torch.Generator().manual_seed(0)
        small = torch.rand(4, 20, 20, generator=generator) < 0.01
        large = small | (torch.rand(4, 20, 20, generator=generator) < 0.01)
        assert (propagate_mask(small, PUBLISHED_LADDER) <= propagate_mask(large, PUBLISHED_LADDER)).all()


class TestMask:
    def test_full_and_empty_masks(self):
        assert propagate_mask(torch.ones(2, 32, 32), PUBLISHED_LADDER).tolist() == [[1.0] * 680] * 2
        assert not propagate_mask(torch.zeros(2, 32, 32), PUBLISHED_LADDER).any()

    def test_shapes_of_the_same_mask(self):
        mask = torch.rand(2, 24, 16, generator=torch.Generator().manual_seed(0))
        gate = propagate_mask(mask, (1, 2, 4), threshold=0.9)
        assert gate.shape == (2, 21)
        assert gate.dtype == torch.float32
        assert torch.equal(propagate_mask(mask.unsqueeze(1), (1, 2, 4), threshold=0.9), gate)
        assert torch.equal(propagate_mask(mask[1], (1, 2, 4), threshold=0.9), gate[1:])

    def test_one_pixel_of_many_turns_its_token_on(self):
        gate = propagate_mask(single_pixel(256, 255, 17), PUBLISHED_LADDER)
        assert tokens_on(gate, PUBLISHED_LADDER)[-1] == {(15, 1)}

    def test_mask_coarser_than_the_finest_scale_covers_all_tokens_under_a_pixel(self):
        gate = propagate_mask(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), (1, 4))
        assert tokens_on(gate, (1, 4))[-1] == {(0, 0), (0, 1), (1, 0), (1, 1)}

    def test_height_and_width_are_not_mixed_up(self):
        mask = torch.zeros(2, 6)
        mask[1, 0] = 1  # bottom left, in a mask wider than high
        assert tokens_on(propagate_mask(mask, (2,)), (2,)) == [{(1, 0)}]

    def test_pixel_at_the_threshold_belongs_to_the_region(self):
        mask = torch.tensor([[0.5, 0.25]])
        assert propagate_mask(mask, (2,)).tolist() == [[1.0, 0.0, 1.0, 0.0]]
        assert propagate_mask(mask, (2,), threshold=0.25).tolist() == [[1.0] * 4]

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.bfloat16])
    def test_type_of_the_mask_does_not_matter(self, dtype):
        mask = single_pixel(7, 3, 5)
        assert torch.equal(propagate_mask(mask.to(dtype), (1, 2, 3, 5)), propagate_mask(mask, (1, 2, 3, 5)))


class TestBadInput:
    @pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 4), (1, 2, 1, 4, 4), (0, 4, 4), ()])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"`mask` must be of shape \(N, H, W\), \(N, 1, H, W\) or \(H, W\)"):
            propagate_mask(torch.zeros(shape), (1, 2))

    @pytest.mark.parametrize("value", [-0.1, 255.0, float("nan")])
    def test_values_outside_the_unit_interval_are_refused(self, value):
        mask = torch.zeros(4, 4)
        mask[1, 2] = value
        with pytest.raises(ValueError, match=r"`mask` must be in \[0, 1\], but got .*255"):
            propagate_mask(mask, (1, 2))

    @pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
    def test_threshold_out_of_its_range_is_refused(self, threshold):
        with pytest.raises(ValueError, match=r"`threshold` must be in \(0, 1\], but got"):
            propagate_mask(torch.zeros(4, 4), (1, 2), threshold)

    def test_anything_but_a_ladder_is_refused(self):
        with pytest.raises(ValueError, match="`patch_nums` must be a strictly increasing ladder"):
            propagate_mask(torch.zeros(4, 4), (2, 1))
