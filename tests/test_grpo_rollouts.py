# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Rollouts depend on the run's seed and their place in it, and on nothing else."""

import numpy as np
import PIL.Image
import pytest
import torch
from test_grpo_trainer import make_policy, make_prompts

from stylevar_hf import StyleVARImageProcessor
from stylevar_hf.data.collator import StyleVARTripletCollator
from stylevar_hf.training.grpo import rollouts
from stylevar_hf.training.grpo.rollouts import (
    draw_rollouts,
    encode_prompts,
    group_rows,
    join_references,
    reward_inputs,
    rollout_batch_size,
    rollout_generators,
)


@pytest.fixture(scope="module")
def policy():
    return make_policy().eval()


@pytest.fixture(scope="module")
def collator() -> StyleVARTripletCollator:
    return StyleVARTripletCollator(StyleVARImageProcessor(size={"height": 16, "width": 16}))


@pytest.fixture(scope="module")
def prompts(policy, collator):
    return encode_prompts(policy, collator, list(make_prompts(3)))


def draw(policy, prompts, counts, rows=None, **options):
    """Rollouts of the prompts, so many of each; `rows` are their places."""
    repeated = [prompt for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
    rows = range(len(repeated)) if rows is None else rows
    return draw_rollouts(policy, repeated, rollout_generators(1, 0, rows), **options)


class TestDrawRollouts:
    @pytest.mark.parametrize("batch_size", [1, 3, 5, 100])
    def test_do_not_depend_on_the_batches(self, policy, prompts, batch_size):
        whole = draw(policy, prompts, (4, 4, 4))
        parts = draw(policy, prompts, (4, 4, 4), batch_size=batch_size)
        assert torch.equal(whole.codes, parts.codes)
        torch.testing.assert_close(whole.images, parts.images, atol=1e-4, rtol=0)
        assert len(set(map(tuple, whole.codes.tolist()))) == 12

    def test_do_not_depend_on_the_number_of_processes(self, policy, prompts):
        """A process holds any run of rows, the rollouts of a prompt may lie in two of them."""
        whole = draw(policy, prompts, (4, 4, 4)).codes
        first = draw(policy, prompts[:2], (4, 2), rows=range(6)).codes
        second = draw(policy, prompts[1:], (2, 4), rows=range(6, 12)).codes
        assert torch.equal(torch.cat([first, second]), whole)

    def test_conditioning_is_encoded_once_per_prompt(self, policy, prompts, monkeypatch):
        calls, generate = [], policy.generate

        def watched(**arguments):
            calls.append((len(arguments["content"].codes), arguments["num_return_sequences"]))
            return generate(**arguments)

        monkeypatch.setattr(policy, "generate", watched)
        draw(policy, prompts, (4, 4, 4))
        draw(policy, prompts, (4, 2, 2))
        assert calls == [(3, 4), (4, 2)]

    def test_continuations_keep_their_prefix(self, policy, prompts):
        prefix = draw(policy, prompts, (2, 2, 2)).codes[:, :5]
        continued = draw(policy, prompts, (2, 2, 2), rows=range(50, 56), prefix_codes=prefix, batch_size=4).codes
        assert torch.equal(continued[:, :5], prefix)
        assert not torch.equal(continued, draw(policy, prompts, (2, 2, 2)).codes)

    def test_pictures_are_in_range(self, policy, prompts):
        images = draw(policy, prompts, (1, 1, 1)).images
        assert images.shape == (3, 3, 16, 16) and images.dtype == torch.float32
        assert 0 <= images.min() < images.max() <= 1


class TestRolloutGenerators:
    def test_are_the_same_for_the_same_place_alone(self):
        def first(*place):
            return [torch.rand(1, generator=generator).item() for generator in rollout_generators(*place)]

        assert first(1, 2, [3, 4]) == first(1, 2, [3]) + first(1, 2, [4])
        others = [first(*place)[0] for place in ((1, 2, [3]), (2, 2, [3]), (1, 3, [3]), (1, 2, [4]), (1, 2, [3], 1))]
        assert len(set(others)) == 5


class TestRolloutBatchSize:
    def test_grows_with_the_memory_and_is_at_least_one(self, policy, monkeypatch):
        sizes = []
        for free in (0, 2**24, 2**26):
            monkeypatch.setattr(rollouts, "_free_memory", lambda device, free=free: free)
            sizes.append(rollout_batch_size(policy))
        assert sizes[0] == 1 < sizes[1] and sizes[2] == pytest.approx(4 * sizes[1], abs=4)


class TestPrompts:
    def test_rows_are_grouped_by_their_common_divisor(self):
        first, second = object(), object()
        assert group_rows([first] * 4 + [second] * 6) == ([first, first, second, second, second], 2)
        assert group_rows([first] * 3 + [second]) == ([first, first, first, second], 1)

    def test_one_row_of_a_batch_is_that_row_alone(self, policy, collator, prompts):
        alone = encode_prompts(policy, collator, [make_prompts(3)[1]])[0]
        assert torch.equal(alone.content.codes, prompts[1].content.codes)
        joined = join_references([prompt.style for prompt in prompts])
        assert torch.equal(joined.codes[1:2], alone.style.codes)
        torch.testing.assert_close(joined.embedding[1:2], alone.style.embedding, atol=1e-5, rtol=1e-5)

    def test_rewards_are_told_of_references_by_identity(self, prompts):
        codes, images = torch.arange(90).view(3, 30), torch.rand(3, 3, 16, 16)
        rows = reward_inputs([prompts[0], prompts[0], prompts[1]], codes, images)
        assert rows[0]["target_images"] is rows[1]["target_images"] is not rows[2]["target_images"]
        assert rows[2]["completion_ids"] == list(range(60, 90)) and torch.equal(rows[2]["images"], images[2])
        assert [row["content_id"] for row in rows] == ["content-0", "content-0", "content-1"]
        pixels = rows[0]["content_images"]
        torch.testing.assert_close(pixels * 2 - 1, prompts[0].content_pixel_values, atol=1e-6, rtol=0)

    def test_masks_are_pictures_or_arrays(self, policy, collator, tmp_path):
        mask = np.zeros((16, 16), dtype=np.uint8)
        mask[:8] = 255
        rows = list(make_prompts(2, mask=[PIL.Image.fromarray(mask)] * 2))
        array = list(make_prompts(2, mask=[(mask / 255).tolist()] * 2))
        gates = [encode_prompts(policy, collator, some, mask_column="mask")[0].gate for some in (rows, array)]
        assert torch.equal(*gates) and gates[0][14:].view(4, 4).mean(1).tolist() == [1, 1, 0, 0]
        found = encode_prompts(policy, collator, array, mask_column=lambda row: row["mask"])[0].gate
        assert torch.equal(found, gates[0])
        rows[0]["mask"].convert("L").save(tmp_path / "mask.png")
        path = [{**rows[0], "mask": str(tmp_path / "mask.png")}]
        assert torch.equal(encode_prompts(policy, collator, path, mask_column="mask")[0].gate, gates[0])
        broken = [{**rows[0], "mask": [0.0, 1.0]}]
        with pytest.raises(ValueError, match=r"`mask` must be a picture, or an array of shape \(H, W\) in \[0, 1\]"):
            encode_prompts(policy, collator, broken, mask_column="mask")
