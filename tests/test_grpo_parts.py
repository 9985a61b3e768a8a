# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the GRPO trainer does beside the updates: checks before them, sums during, callbacks after."""

import math

import datasets
import pytest
import torch
from accelerate import Accelerator
from transformers import ProgressCallback, TrainerControl, TrainerState
from trl.trainer.utils import RepeatSampler

from stylevar_hf.rewards import SSIMReward
from stylevar_hf.training.grpo.callbacks import DistinctRows, FailureCallback, OrderByEpoch, ProgressNumbersCallback
from stylevar_hf.training.grpo.checks import load_rewards, try_reward
from stylevar_hf.training.grpo.metrics import UpdateSums


class Namespace:
    def __init__(self, **values):
        self.__dict__.update(values)


class TestLoadRewards:
    def test_names_are_distinct(self):
        def mine(images, **columns):
            return [0.0] * len(images)

        functions, names = load_rewards(["ssim", mine, mine, SSIMReward(reference="content")])
        assert names == ["ssim", "mine", "mine_2", "ssim-content"]
        assert isinstance(functions[0], SSIMReward) and functions[1] is mine
        assert load_rewards("color-statistics")[1] == ["color-statistics"]
        assert load_rewards(mine) == ([mine], ["mine"])

    def test_module_is_refused(self):
        with pytest.raises(ValueError, match="`reward_funcs` must be plain functions, but got Linear"):
            load_rewards([torch.nn.Linear(1, 1)])


class TestTryReward:
    ROWS = [{"prompts": {}, "completion_ids": [1, 2], "images": torch.zeros(3, 4, 4)}] * 2

    def test_is_prepared_and_called_in_the_calling_form(self):
        called = {}

        class Mine:
            def prepare(self, device):
                called["device"] = device

            def __call__(self, prompts, completions, completion_ids, **columns):
                called.update(columns, completions=completions)
                columns["log_metric"]("name", 1.0)
                return torch.ones(2)

        try_reward(Mine(), "mine", self.ROWS, "state", torch.device("cpu"))
        assert called["device"] == torch.device("cpu") and called["trainer_state"] == "state"
        assert called["completions"] == called["images"] and len(called["images"]) == 2

    @pytest.mark.parametrize(
        ("returned", "found"),
        [(1.0, "float"), ([1.0] * 3, "3"), ([math.inf, None], "inf"), ([None, math.nan], "None")],
    )
    def test_refuses_what_is_no_list_of_numbers_or_never_finite(self, returned, found):
        with pytest.raises(ValueError, match=f"`reward mine` must be .*, but got {found}"):
            try_reward(lambda **columns: returned, "mine", self.ROWS, None, torch.device("cpu"))

    def test_may_say_nothing_about_the_first_row_where_others_do(self):
        arguments = ("mine", self.ROWS, None, torch.device("cpu"))
        try_reward(lambda **columns: [None, None], *arguments, may_be_silent=True)
        with pytest.raises(ValueError, match="`reward mine` must be finite, but got nan"):
            try_reward(lambda **columns: [math.nan, None], *arguments, may_be_silent=True)

    def test_accepts_what_is_finite_for_some(self):
        try_reward(lambda **columns: [None, 1.0], "mine", self.ROWS, None, torch.device("cpu"))


class TestUpdateSums:
    BOUNDARIES = ((0, 1), (1, 3))

    def make(self, keep, kl=((1.0, 2.0, 6.0), (3.0, 0.0, 0.0)), usable=True):
        keep = torch.tensor(keep)
        clipped = torch.tensor([[True, False, False], [False, False, False]])
        entropies = torch.tensor([[1.0, 1.0, 4.0], [float("nan"), 3.0, 3.0]])
        kl, usable = torch.tensor(kl), torch.tensor([True, usable])
        each = kl.mean(dim=1)
        return UpdateSums.of(kl, entropies, clipped, ~clipped, keep, ~keep, each, usable, self.BOUNDARIES)

    def test_means_are_over_what_counts(self):
        logs = self.make([True, False]).metrics()
        assert logs["kl"] == 3 and [logs["kl_scale_0"], logs["kl_scale_1"]] == [1, 4]
        assert logs["clip_ratio/low_mean"] == pytest.approx(1 / 3)
        assert logs["clip_ratio/high_mean"] == pytest.approx(2 / 3)
        assert logs["clip_ratio/region_mean"] == pytest.approx(1)
        assert logs["rollouts_left_out/kl"] == 1
        assert logs["entropy"] == 2 and [logs["entropy_scale_0"], logs["entropy_scale_1"]] == [0.5, 2.75]

    def test_infinite_kl_of_what_does_not_count_is_no_matter(self):
        sums = self.make([False, True], kl=((float("inf"),) * 3, (3.0, 0.0, 0.0)))
        assert (sums.metrics()["kl"], sums.num_kept) == (1, 1)

    def test_mean_kl_is_of_all_with_a_reward_however_far(self):
        assert self.make([True, False]).mean_kl == self.make([False, False]).mean_kl == (3 + 1) / 2
        assert self.make([True, False], usable=False).mean_kl == 3
        assert self.make([True, False], kl=((math.nan,) * 3, (3.0, 0.0, 0.0))).mean_kl == math.inf
        without = self.make([False, False], usable=False)
        without.divergence[:] = 0
        assert without.mean_kl is None

    def test_add_up_over_passes(self):
        both = self.make([True, False]) + self.make([True, True])
        assert both.num_kept == 3
        assert both.metrics()["kl"] == pytest.approx((3 + 3 + 1) / 3)
        assert both.reduce(Accelerator(cpu=True)).metrics() == both.metrics()

    def test_without_any_there_is_no_kl(self):
        nothing = self.make([False, False])
        assert nothing.num_kept == 0
        assert nothing.metrics()["kl"] == 0
        assert not any(name.startswith("kl") for name in nothing.metrics(with_kl=False))


class TestDistinctRows:
    def test_are_decoded_once_for_repeated_indices(self):
        reads = []

        class Table(datasets.Dataset):
            def __getitem__(self, index):
                reads.append(index)
                return super().__getitem__(index)

        rows = DistinctRows(Table(datasets.Dataset.from_dict({"name": list("abcd")}).data))
        assert len(rows) == 4
        batch = rows.__getitems__([2, 2, 0, 0])
        assert [row["name"] for row in batch] == ["c", "c", "a", "a"] and batch[0] is batch[1]
        assert reads == [2, 0]
        rows.__getitems__([2, 2, 0, 0])
        assert reads == [2, 0]
        assert rows[3]["name"] == "d" and reads == [2, 0, 3]


class TestOrderByEpoch:
    def make_sampler(self, **options):
        return OrderByEpoch(RepeatSampler(range(20), mini_repeat_count=2, batch_size=4, seed=3, **options))

    def test_is_that_of_the_epoch_whatever_was_iterated_before(self):
        sampler, resumed = self.make_sampler(), self.make_sampler()
        orders = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.append(list(sampler))
        resumed.set_epoch(1)
        assert list(resumed) == list(resumed) == orders[1]
        assert len({tuple(order) for order in orders}) == 3
        assert all(sorted(order) == sorted([*range(20)] * 2) and len(order) == len(sampler) for order in orders)

    def test_stays_that_of_the_rows_without_shuffling(self):
        sampler = self.make_sampler(shuffle=False)
        sampler.set_epoch(1)
        assert list(sampler) == [row for row in range(20) for _ in range(2)]


class TestFailureCallback:
    def test_counts_failures_in_a_row_alone(self):
        trainer, model = Namespace(num_usable_rollouts=0), torch.nn.Linear(1, 1)
        callback, control = FailureCallback(trainer, 2), TrainerControl()

        def update(usable, gradient=1.0):
            trainer.num_usable_rollouts = usable
            model.weight.grad = torch.full((1, 1), gradient)
            callback.on_pre_optimizer_step(None, TrainerState(), control, model=model)
            callback.on_step_end(None, None, control)
            return model.weight.grad is not None

        assert [update(0), update(1), update(1, math.nan)] == [False, True, False]
        assert not (callback.failed or control.should_training_stop or control.should_save)
        update(0)
        assert callback.failed and control.should_training_stop and control.should_save
        callback.on_train_begin(None, None, control)
        assert not callback.failed


class TestProgressNumbers:
    def test_are_on_the_bar(self):
        shown = {}
        progress = ProgressCallback()
        progress.training_bar = Namespace(set_postfix=lambda numbers, refresh: shown.update(numbers))
        trainer = Namespace(callback_handler=Namespace(callbacks=[progress]))
        callback = ProgressNumbersCallback(trainer)
        callback.on_log(None, TrainerState(), None, logs={"reward": -1.23456, "kl": None, "loss": 1.0})
        assert shown == {"reward": "-1.2346"}
        callback.on_log(None, TrainerState(), None, logs={"eval_reward": 3.0})
        assert shown == {"reward": "-1.2346"}
