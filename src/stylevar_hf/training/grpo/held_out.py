# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Rewards that nobody trains: they tell whether the one that is trained still means what it should."""

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy import stats
from transformers import TrainerCallback
from transformers.utils import logging

from ..common.checkpoint_files import load_json, save_json


logger = logging.get_logger(__name__)

LEVEL = 0.95
STATE_NAME = "held_out.json"
LOG_NAME = "held_out.jsonl"


@dataclass(frozen=True)
class Change:
    """
    A mean of paired differences and its interval.

    Args:
        mean (`float`): Later minus earlier, over prompts; in units of the reward.
        low, high (`float`): The ends of the 95% interval.
    """

    mean: float
    low: float
    high: float


def paired_change(before: torch.Tensor, after: torch.Tensor) -> Change:
    """
    How a reward has changed on the same prompts, with the interval of Student's t.

    Args:
        before, after (`torch.Tensor` of shape `(P,)`):
            One value per prompt. Prompts with a value that is not finite are left out.

    Returns:
        [`Change`]: With infinite ends if fewer than two prompts are left.
    """
    differences = (after - before).double()
    differences = differences[differences.isfinite()]
    count = len(differences)
    if count < 2:
        return Change(differences.mean().item(), -math.inf, math.inf)
    mean = differences.mean().item()
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * differences.std().item() / math.sqrt(count)
    return Change(mean, mean - half, mean + half)


@dataclass
class Evaluation:
    """
    What one evaluation found.

    Args:
        step (`int`): Updates before it.
        reward (`torch.Tensor` of shape `(P,)`): The trained reward of each prompt, mean over its rollouts.
        held_out (`torch.Tensor` of shape `(P, F)`): The held-out rewards.
    """

    step: int
    reward: torch.Tensor
    held_out: torch.Tensor

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "reward": self.reward.tolist(), "held_out": self.held_out.tolist()}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Evaluation":
        return cls(state["step"], torch.tensor(state["reward"]), torch.tensor(state["held_out"]))


class HeldOutAlarm:
    """
    Compares evaluations on the same prompts and rollout seeds. Each held-out reward is compared with its own best
    evaluation so far. If it has fallen, its whole 95% interval below 0, while the trained reward has risen since then,
    its whole interval above 0, the trained reward is being exploited.

    The policy to go back to is that of the highest trained reward among the evaluations at which no held-out reward
    had fallen.

    Args:
        names (`list[str]`):
            Of the `F` held-out rewards.
        patience (`int`, *optional*, defaults to 1):
            Evaluations in a row at which that must be so.
    """

    def __init__(self, names: list[str], patience: int = 1):
        self.names = names
        self.patience = patience
        self.reset()

    def reset(self) -> None:
        """Start again, as if nothing had been observed."""
        self.peaks: list[Evaluation] = []  # of each held-out reward, its best evaluation
        self.best: Evaluation | None = None
        self.strikes = 0
        self.last_step = -1

    @property
    def due(self) -> bool:
        return self.strikes >= self.patience

    def observe(self, evaluation: Evaluation) -> dict[str, Any]:
        """
        Take in an evaluation.

        Returns:
            `dict`: For the log: `step`, `reward` (mean), `verdict` (`"best"`, `"fine"`, `"fallen"` or `"exploited"`),
            and for each held-out reward its `mean`, and the `change` of it and of the trained reward since its best
            evaluation, at step `since`.
        """
        self.last_step = evaluation.step
        if not self.peaks:
            self.peaks = [evaluation] * len(self.names)
        rewards, fallen, exploited = {}, False, False
        for index, name in enumerate(self.names):
            peak = self.peaks[index]
            change = paired_change(peak.held_out[:, index], evaluation.held_out[:, index])
            trained = paired_change(peak.reward, evaluation.reward)
            fallen |= change.high < 0
            exploited |= change.high < 0 and trained.low > 0
            rewards[name] = {
                "mean": evaluation.held_out[:, index].nanmean().item(),
                "change": asdict(change),
                "trained_change": asdict(trained),
                "since": peak.step,
            }
            if change.mean > 0:
                self.peaks[index] = evaluation
        self.strikes = self.strikes + 1 if exploited else 0
        is_best = not fallen and (self.best is None or evaluation.reward.nanmean() > self.best.reward.nanmean())
        if is_best:
            self.best = evaluation
        verdict = "exploited" if exploited else "fallen" if fallen else "best" if is_best else "fine"
        return {
            "step": evaluation.step,
            "reward": evaluation.reward.nanmean().item(),
            "verdict": verdict,
            "held_out": rewards,
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "peaks": [peak.to_json() for peak in self.peaks],
            "best": None if self.best is None else self.best.to_json(),
            "strikes": self.strikes,
            "last_step": self.last_step,
        }

    def load_json(self, state: dict[str, Any]) -> None:
        self.peaks = [Evaluation.from_json(peak) for peak in state["peaks"]]
        self.best = None if state["best"] is None else Evaluation.from_json(state["best"])
        self.strikes, self.last_step = state["strikes"], state["last_step"]


class HeldOutCallback(TrainerCallback):
    """
    After each evaluation of a training: asks the alarm, writes a line to `output_dir/held_out.jsonl`, saves the policy
    if it is the best, and stops the training if the alarm goes off.

    Args:
        trainer (`Trainer`):
            Is told the best checkpoint (`state.best_model_checkpoint`), which rotation leaves alone.
        names (`list[str]`), patience (`int`):
            See [`HeldOutAlarm`].
    """

    def __init__(self, trainer: Any, names: list[str], patience: int):
        self.trainer = trainer
        self.alarm = HeldOutAlarm(names, patience)
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, rewards: torch.Tensor, held_out: torch.Tensor, num_generations: int) -> None:
        """The rewards `(N,)` and held-out rewards `(N, F)` of an evaluation's batch, rows of a prompt together."""
        means = rewards.view(-1, num_generations).nanmean(1), held_out.view(-1, num_generations, held_out.shape[1])
        self._batches.append((means[0].cpu(), means[1].nanmean(1).cpu()))

    def on_train_begin(self, args, state, control, **kwargs):
        if state.global_step == 0:
            self.alarm.reset()

    def on_evaluate(self, args, state, control, **kwargs):
        rewards, held_out = (torch.cat(parts) for parts in zip(*self._batches, strict=True))
        self._batches.clear()
        if not self.trainer.is_in_train or state.global_step == self.alarm.last_step:
            return  # asked for by hand, or again by a resumed run
        report = self.alarm.observe(Evaluation(state.global_step, rewards, held_out))
        if state.is_world_process_zero:
            os.makedirs(args.output_dir, exist_ok=True)
            with open(os.path.join(args.output_dir, LOG_NAME), "a", encoding="utf-8") as file:
                file.write(json.dumps(report) + "\n")
        if report["verdict"] == "best":
            self._save(state)
        if self.alarm.due:
            logger.warning(self._explain(report))
            control.should_training_stop = True

    def _save(self, state) -> None:
        folder = os.path.join(self.trainer.args.output_dir, f"checkpoint-{state.global_step}")
        state.best_global_step, state.best_model_checkpoint = state.global_step, folder
        self.trainer._save_checkpoint(self.trainer.model, trial=None)
        state.best_model_checkpoint = folder

    def _explain(self, report: dict[str, Any]) -> str:
        fallen = [
            f"{name} has fallen by {-one['change']['mean']:.4g} [{-one['change']['high']:.4g}, "
            f"{-one['change']['low']:.4g}] since step {one['since']}"
            for name, one in report["held_out"].items()
            if one["change"]["high"] < 0
        ]
        return (
            f"Step {report['step']}: the trained reward rises, but {' and '.join(fallen)}. Training stops and goes "
            f"back to step {self.alarm.best.step}."
        )

    def save(self, folder: str) -> None:
        """Write what was observed; one process should."""
        save_json(os.path.join(folder, STATE_NAME), self.alarm.to_json())

    def load(self, folder: str) -> None:
        """Go on from what [`~HeldOutCallback.save`] wrote."""
        self.alarm.load_json(load_json(folder, STATE_NAME))


__all__ = ["Change", "Evaluation", "HeldOutAlarm", "HeldOutCallback", "paired_change"]
