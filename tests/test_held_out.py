# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Held-out rewards: the alarm by hand, and a training that exploits its reward."""

import json
import logging
import math

import pytest
import torch
from scipy import stats
from test_grpo_trainer import (
    LORA,
    Watch,
    assert_same_weights,
    code_share,
    logged,
    make_grpo_trainer,
    make_policy,
    make_prompts,
    weights_of,
)

from stylevar_hf.training.grpo.held_out import Evaluation, HeldOutAlarm, paired_change


def other_codes(completion_ids, **columns):
    """Falls as `code_share` rises."""
    return [-share for share in code_share(completion_ids)]


class TestPairedChange:
    def test_values_by_hand(self):
        change = paired_change(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 5.0]))
        # Differences 1, 0, 2: mean 1, standard deviation 1.
        half = 4.302652729911275 / math.sqrt(3)
        assert (change.mean, change.low, change.high) == pytest.approx((1.0, 1 - half, 1 + half))

    def test_interval_is_that_of_scipy(self):
        before, after = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
        change, expected = paired_change(before, after), stats.ttest_rel(after, before).confidence_interval()
        assert (change.low, change.high) == pytest.approx((expected.low, expected.high), rel=1e-5)

    def test_missing_values_are_left_out_and_one_prompt_says_nothing(self):
        before = torch.tensor([1.0, math.nan, 3.0])
        change = paired_change(before, torch.tensor([2.0, 2.0, math.inf]))
        assert (change.mean, change.low, change.high) == (1.0, -math.inf, math.inf)


class TestAlarm:
    NOISE = torch.tensor([-0.1, 0.0, 0.1, 0.05])

    def evaluation(self, step, reward, *held_out):
        """Four prompts around the given means."""
        columns = [value + self.NOISE.roll(step) for value in (reward, *held_out)]
        return Evaluation(step, columns[0], torch.stack(columns[1:], dim=1))

    def verdicts(self, alarm, *means):
        return [alarm.observe(self.evaluation(step, *values))["verdict"] for step, values in enumerate(means)]

    def test_rise_of_one_and_fall_of_another_is_exploitation(self):
        alarm = HeldOutAlarm(["held"])
        assert self.verdicts(alarm, (0, 1), (0.5, 1.1), (1, 0.5)) == ["best", "best", "exploited"]
        assert alarm.due and alarm.best.step == 1

    def test_fall_of_both_is_not_and_neither_is_a_fall_within_the_interval(self):
        alarm = HeldOutAlarm(["held"])
        assert self.verdicts(alarm, (0, 1), (-1, 0), (0.5, 0.9999), (1, 1)) == ["best", "fallen", "best", "best"]
        assert not alarm.due

    def test_slow_decline_is_compared_with_the_peak(self):
        """Each step is within the noise of the one before."""
        alarm = HeldOutAlarm(["held"])
        verdicts = self.verdicts(alarm, *((0.5 * step, 1 - 0.1 * step) for step in range(8)))
        assert verdicts[1] == "best" and verdicts[-1] == "exploited"

    def test_one_of_several_is_enough(self):
        alarm = HeldOutAlarm(["first", "second"])
        assert self.verdicts(alarm, (0, 1, 1), (1, 2, 0))[1] == "exploited"

    def test_patience(self):
        alarm = HeldOutAlarm(["held"], patience=2)
        self.verdicts(alarm, (0, 1), (1, 0))
        assert not alarm.due
        alarm.observe(self.evaluation(2, 1, 0))
        assert alarm.due

    def test_state_survives_json(self):
        alarm, other = HeldOutAlarm(["held"]), HeldOutAlarm(["held"])
        self.verdicts(alarm, (0, 1), (0.5, 1.1))
        other.load_json(json.loads(json.dumps(alarm.to_json())))
        third = self.evaluation(2, 1, 0.5)
        assert other.observe(third) == alarm.observe(third)
        assert other.best.step == 1


class TestInTraining:
    OPTIONS = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_on_start": True,
        "max_steps": 20,
        "learning_rate": 5e-3,
    }

    def make(self, folder, held_out, **options):
        evaluation = make_prompts(4, seed=1)
        arguments = {**self.OPTIONS, "evaluation": evaluation, "held_out_reward_funcs": held_out, **options}
        return make_grpo_trainer(folder, **arguments)

    @pytest.mark.parametrize("lora", [None, LORA], ids=["all weights", "adapter"])
    def test_exploitation_stops_and_goes_back_to_the_best(self, lora, tmp_path, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger("stylevar_hf"), "propagate", True)
        seen = {}
        watch = Watch(on_step_end=lambda model, state: seen.setdefault(state.global_step, weights_of(model)))
        model = make_policy(lora=lora)
        seen[0] = weights_of(model)
        trainer = self.make(tmp_path, other_codes, model=model, callbacks=[watch])
        trainer.train()
        assert trainer.state.global_step < 20
        lines = [json.loads(line) for line in (tmp_path / "held_out.jsonl").read_text().splitlines()]
        assert [line["verdict"] for line in lines][0] == "best" and lines[-1]["verdict"] == "exploited"
        best = max((line for line in lines if line["verdict"] == "best"), key=lambda line: line["reward"])
        assert trainer.state.best_model_checkpoint == str(tmp_path / f"checkpoint-{best['step']}")
        assert f"goes back to step {best['step']}" in caplog.text
        assert_same_weights(seen[best["step"]], weights_of(trainer.model))
        falls = logged(trainer, "eval_held_out/other_codes/mean")
        assert falls[-1] < falls[0]

    def test_rewards_that_rise_together_let_it_go_on(self, tmp_path):
        def same(completion_ids, **columns):
            return code_share(completion_ids)

        trainer = self.make(tmp_path, [same], max_steps=4)
        trainer.train()
        assert trainer.state.global_step == 4
        assert logged(trainer, "eval_held_out/same/mean") == pytest.approx(logged(trainer, "eval_reward"))

    def test_resumed_run_remembers_what_was_observed(self, tmp_path):
        options = {"save_strategy": "steps", "save_steps": 2, "learning_rate": 1e-6}
        found = []
        watch = Watch(lambda model, state: found.append(second.held_out.alarm.to_json()))
        first = self.make(tmp_path, other_codes, max_steps=2, **options)
        second = self.make(tmp_path, other_codes, max_steps=3, callbacks=[watch], **options)
        first.train()
        second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        assert found == [first.held_out.alarm.to_json()]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"evaluation": None}, "`eval_dataset` must be one data set for held-out rewards, but got none"),
            ({"eval_strategy": "no"}, "`eval_strategy` must be steps or epoch"),
            ({"held_out_patience": 0}, "`held_out_patience` must be"),
        ],
    )
    def test_bad_option_is_refused(self, options, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            self.make(tmp_path, other_codes, **options)
