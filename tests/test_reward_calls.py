# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import math
import threading

import pytest
import torch
from test_grpo_trainer import logged, make_grpo_trainer, make_prompts

from stylevar_hf.training.grpo.reward_calls import BackgroundLoop, call_rewards


COLUMNS = {"images": [torch.zeros(3, 4, 4)] * 2, "task": ["a", "b"]}


def call(*functions):
    names = [f"reward_{index}" for index in range(len(functions))]
    return call_rewards(functions, names, COLUMNS, BackgroundLoop())


class TestCallRewards:
    def test_none_is_told_from_nan(self):
        called = call(lambda **columns: [1.0, None], lambda **columns: [math.nan, 2])
        expected = [[[1.0, 0.0], [math.nan, 0.0]], [[math.nan, 1.0], [2.0, 0.0]]]
        torch.testing.assert_close(called, torch.tensor(expected), equal_nan=True, atol=0, rtol=0)

    def test_reward_that_changes_its_images_does_not_change_the_next_ones(self):
        def spoil(images, task, **columns):
            for image in images:
                image.fill_(7.0)
            task.clear()
            return [image.mean().item() for image in images]

        def look(images, task, **columns):
            return [image.mean().item() + len(task) for image in images]

        assert call(spoil, look)[..., 0].tolist() == [[7.0, 2.0]] * 2
        assert COLUMNS["images"][0].max() == 0 and COLUMNS["task"] == ["a", "b"]

    def test_rows_that_share_a_picture_share_its_copy(self):
        def distinct(images, **columns):  # rewards embed a reference once
            return [float(len({id(image) for image in images}))] * len(images)

        assert call(distinct)[:, 0, 0].tolist() == [1.0, 1.0]

    def test_asynchronous_rewards_run_at_once_and_beside_the_others(self):
        """Each waits for the two others: one after the other they would wait for ever."""
        first, second, third = asyncio.Event(), asyncio.Event(), threading.Event()

        async def one(images, **columns):
            first.set()
            await asyncio.wait_for(second.wait(), 10)
            third.set()
            return [1.0] * len(images)

        class Two:
            async def __call__(self, images, **columns):
                await asyncio.wait_for(first.wait(), 10)
                second.set()
                return [2.0] * len(images)

        def three(images, **columns):
            assert third.wait(10)
            return [3.0] * len(images)

        assert call(one, three, Two())[:, :, 0].tolist() == [[1.0, 3.0, 2.0]] * 2

    def test_method_is_preferred_where_a_reward_has_both_forms(self):
        class Both:
            def __call__(self, **columns):
                raise AssertionError

            async def score_async(self, task, **columns):
                return [float(one == "a") for one in task]

        assert call(Both())[:, 0, 0].tolist() == [1.0, 0.0]

    def test_error_of_an_asynchronous_reward_is_raised(self):
        async def broken(**columns):
            raise ConnectionError("no server")

        with pytest.raises(ConnectionError, match="no server"):
            call(lambda **columns: [0, 0], broken)

    @pytest.mark.parametrize(("returned", "found"), [([1.0], "1"), (1.0, "float"), (None, "NoneType")])
    def test_wrong_number_of_rewards_is_refused(self, returned, found):
        with pytest.raises(ValueError, match=rf"`reward reward_0` must be a list .* \(2\), but got {found}"):
            call(lambda **columns: returned)


class TestInTraining:
    def test_asynchronous_reward_trains_as_a_plain_one(self, tmp_path):
        def plain(images, **columns):
            return [image.mean().item() for image in images]

        async def asynchronous(images, **columns):
            await asyncio.sleep(0)
            return plain(images)

        runs = [make_grpo_trainer(tmp_path / name, rewards=reward, max_steps=2) for name, reward in
                (("plain", plain), ("asynchronous", asynchronous))]  # fmt: skip
        for trainer in runs:
            trainer.train()
        assert logged(runs[0], "loss") == logged(runs[1], "loss")
        assert logged(runs[0], "rewards/plain/mean") == logged(runs[1], "rewards/asynchronous/mean")

    def test_reward_may_say_nothing_about_the_first_row(self, tmp_path):
        def brightness(images, **columns):
            return [image.mean().item() for image in images]

        def sharpness(images, task, **columns):
            return [image.std().item() if one == "sharp" else None for image, one in zip(images, task, strict=True)]

        prompts = make_prompts(4, task=["color", "sharp", "color", "sharp"])
        trainer = make_grpo_trainer(tmp_path, rewards=[brightness, sharpness], train=prompts, max_steps=2)
        trainer.train()
        assert all(math.isfinite(value) for value in logged(trainer, "reward"))
