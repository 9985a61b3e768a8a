# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""When the reference of GRPO is renewed (iterative reference, arXiv 2604.21052), as a callback."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from ..._common.errors import invalid
from ..common.checkpoint_files import load_json, load_tensors, save_json, save_tensors
from .reference_policy import REFERENCE_DIR


logger = logging.get_logger(__name__)

_SCHEDULE_NAME = "schedule.json"
_PEAK_NAME = "peak.safetensors"
# Of a schedule: what was observed.
_STATE = ("average", "baseline", "peak", "steps_since_peak", "steps_since_update", "num_updates")


@dataclass
class ReferenceSchedule:
    """
    When the reference is renewed (arXiv 2604.21052): numbers in, decisions out.

    At each step the mean reward enters `average <- d * average + (1 - d) * reward` (the first reward starts it).
    `baseline` is the average at the start, and after an update the peak that became the reference. An update is due
    once the highest average since the last update beats the baseline by `gain`, was not beaten for `patience` steps,
    and `min_steps` have passed since the last update (or the start). Apart from that an update is due when the KL
    divergence exceeds `emergency_kl` and `emergency_cooldown` steps have passed.

    A reward that is not finite (no rollout of the step had one) leaves the average alone; the step counts. A KL
    divergence that is NaN is no emergency, an infinite one is.

    Args:
        gain (`float`, *optional*, defaults to 0.05):
            By how much the highest average must beat that of the last reference, in units of the reward.
        ema_decay (`float`, *optional*, defaults to 0.99):
            Decay `d` of the average, in [0, 1).
        patience (`int`, *optional*, defaults to 50):
            How many steps must have passed without a higher average.
        min_steps (`int`, *optional*, defaults to 300):
            How many steps must lie between two updates, and before the first.
        emergency_kl (`float`, *optional*, defaults to 2.0):
            KL divergence above which the peak becomes the reference without further conditions; `None`: never.
        emergency_cooldown (`int`, *optional*, defaults to 50):
            How many steps must lie between an emergency and the update before it, or the start.

    Raises:
        ValueError: If an option is out of range.
    """

    gain: float = 0.05
    ema_decay: float = 0.99
    patience: int = 50
    min_steps: int = 300
    emergency_kl: float | None = 2.0
    emergency_cooldown: int = 50

    def __post_init__(self):
        if not self.gain > 0:
            raise invalid("gain", "positive", self.gain, "It is in units of the reward; 0.05 suits -5 times DreamSim.")
        if not 0 <= self.ema_decay < 1:
            raise invalid("ema_decay", "in [0, 1)", self.ema_decay, "0.99 averages about a hundred steps.")
        for name in ("patience", "min_steps", "emergency_cooldown"):
            if getattr(self, name) < 0:
                raise invalid(name, "at least 0", getattr(self, name), "It counts optimizer steps.")
        if self.emergency_kl is not None and not self.emergency_kl > 0:
            raise invalid("emergency_kl", "positive or None", self.emergency_kl, "None switches it off.")
        self.reset()

    def reset(self) -> None:
        """Start again, as if nothing had been observed."""
        self.average: float | None = None
        self.baseline: float | None = None
        self.peak: float | None = None
        self.kl: float | None = None
        self.steps_since_peak = self.steps_since_update = self.num_updates = 0

    def observe(self, reward: float | None, kl: float | None) -> bool:
        """
        Take in one step: the mean reward of its rollouts, and their mean KL divergence from the reference without its
        coefficient; `None` where there is none.

        Returns:
            `bool`: Whether the average is at its highest since the last update: keep the weights that were rewarded.
        """
        self.kl = None if kl is None or math.isnan(kl) else float(kl)
        self.steps_since_update += 1
        self.steps_since_peak += 1
        if reward is None or not math.isfinite(reward):
            return False
        if self.average is None:
            self.average = self.baseline = float(reward)
        else:
            self.average = self.ema_decay * self.average + (1 - self.ema_decay) * float(reward)
        if self.peak is not None and self.average <= self.peak:
            return False
        self.peak = self.average
        self.steps_since_peak = 0
        return True

    def due(self) -> str | None:
        """`"gain"`, `"emergency"` or `None`: why the peak's weights should become the reference now, if at all."""
        if self.peak is None:
            return None
        gained = self.peak - self.baseline >= self.gain
        settled = self.steps_since_peak >= self.patience and self.steps_since_update >= self.min_steps
        if gained and settled:
            return "gain"
        if self.emergency_kl is None or self.kl is None or self.kl <= self.emergency_kl:
            return None
        return "emergency" if self.steps_since_update >= self.emergency_cooldown else None

    def updated(self) -> None:
        """The peak has become the reference."""
        self.baseline, self.peak, self.kl = self.peak, None, None
        self.steps_since_peak = self.steps_since_update = 0
        self.num_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """What was observed, as JSON can hold it; not the options."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from [`~ReferenceSchedule.state_dict`]."""
        for name in _STATE:
            setattr(self, name, state[name])


class IterativeReferenceCallback(TrainerCallback):
    """
    Makes the best policy so far the reference whenever it is better than the last one by a margin.

    The weights of the highest running mean reward (the ones that acted, before that step's update) are kept on the
    CPU, and it is they that become the reference, not the current ones. The policy goes on from there, with a fresh
    optimizer state. See [`ReferenceSchedule`] for the rule. Options are those of the run, not of the checkpoint.

    The trainer has `reference` ([`ReferencePolicy`]), `model`, and before each optimizer step `last_step_reward` and
    `last_step_kl`: averaged over processes, so that all decide alike; `None` where there is none. It calls
    [`~IterativeReferenceCallback.save`] and [`~IterativeReferenceCallback.load`] with its checkpoints.

    Args:
        trainer (`Trainer`):
            See above.
        **options:
            Of [`ReferenceSchedule`].
    """

    def __init__(self, trainer: Any, **options: Any):
        self.trainer = trainer
        self.schedule = ReferenceSchedule(**options)
        self.peak_weights: dict[str, torch.Tensor] | None = None
        self._loaded = False

    def metrics(self) -> dict[str, float]:
        """Numbers for the logs."""
        names = {
            "reward_average": "average",
            "reward_peak": "peak",
            "reward_baseline": "baseline",
            "steps_since_update": "steps_since_update",
            "num_updates": "num_updates",
        }
        values = {f"reference/{name}": getattr(self.schedule, field) for name, field in names.items()}
        return {name: float(value) for name, value in values.items() if value is not None}

    def save(self, folder: str | os.PathLike) -> None:
        """Write the schedule and the peak's weights to `folder/reference`; one process should."""
        place = os.path.join(folder, REFERENCE_DIR)
        os.makedirs(place, exist_ok=True)
        # Between an update and the next peak the old snapshot is only memory to be used again.
        save_tensors(os.path.join(place, _PEAK_NAME), None if self.schedule.peak is None else self.peak_weights)
        save_json(os.path.join(place, _SCHEDULE_NAME), self.schedule.state_dict())

    def load(self, folder: str | os.PathLike) -> None:
        """
        Read what [`~IterativeReferenceCallback.save`] wrote; all processes must.

        Raises:
            FileNotFoundError: If the folder has no such state.
        """
        place = os.path.join(folder, REFERENCE_DIR)
        self.schedule.load_state_dict(load_json(place, _SCHEDULE_NAME))
        self.peak_weights = None
        if self.schedule.peak is not None:
            loaded = load_tensors(place, _PEAK_NAME)
            # Off the file, which is removed when the checkpoint is too old.
            self.peak_weights = {name: value.clone() for name, value in loaded.items()}
        self._loaded = True

    def on_train_begin(self, args, state, control, **kwargs):
        if state.global_step == 0:
            self.schedule.reset()
            self.peak_weights = None
        elif not self._loaded:
            raise RuntimeError(
                "`IterativeReferenceCallback.load` must be called before training goes on at step "
                f"{state.global_step}, but got no call. Call it in the trainer's `_load_optimizer_and_scheduler`, "
                "with the folder it resumes from."
            )
        self._loaded = False

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if self.schedule.observe(self.trainer.last_step_reward, self.trainer.last_step_kl):
            self.peak_weights = self.trainer.reference.snapshot(self.trainer.model, into=self.peak_weights)

    def on_step_end(self, args, state, control, optimizer=None, **kwargs):
        schedule, step = self.schedule, state.global_step
        reason = schedule.due()
        if reason is None:
            return
        if reason == "emergency":
            text = "Step %d: KL divergence of %.3f above `emergency_kl`; back to the peak (mean reward %.4f)."
            logger.warning(text, step, schedule.kl, schedule.peak)
        else:
            text = "Step %d: the policy with mean reward %.4f (before: %.4f) becomes the reference."
            logger.info(text, step, schedule.peak, schedule.baseline)
        self.trainer.reference.update(self.trainer.model, self.peak_weights, optimizer)
        schedule.updated()


__all__ = ["IterativeReferenceCallback", "ReferenceSchedule"]
