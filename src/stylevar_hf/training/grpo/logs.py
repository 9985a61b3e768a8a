# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What [`StyleVARGRPOTrainer`] logs: rewards, updates, evaluations, and rollouts to be drawn."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object

from .metrics import UpdateSums
from .rollouts import StyleVARPrompt, StyleVARRollouts


class GRPOLogsMixin:
    """
    The numbers of [`StyleVARGRPOTrainer`], under TRL's names where it has one. The seam is `log`: metrics of an
    evaluation keep the prefix of their set, where TRL knows `eval_` alone.
    """

    def _log_rewards(self, mode: str, parts: torch.Tensor, rewards: torch.Tensor, scored: Any) -> None:
        """`parts` `(N, F)` and `rewards` `(N,)` of all processes, under TRL's names."""
        metrics = self._metrics[mode]
        for name, values in zip(self.reward_func_names, parts.T, strict=True):
            finite = values[values.isfinite()]
            metrics[f"rewards/{name}/mean"].append(finite.mean().item())
            metrics[f"rewards/{name}/std"].append(finite.std().item() if len(finite) > 1 else 0.0)
        usable = rewards[rewards.isfinite()]
        mean = usable.mean().item()  # NaN if there is none
        metrics["reward"].append(mean)
        metrics["reward_std"].append(scored.group_stds.mean().item())
        metrics["frac_reward_zero_std"].append(scored.without_variance.float().mean().item())
        metrics["rollouts_left_out/reward"].append(float((~scored.valid).sum()))
        if mode == "train":
            self._generation_rewards.append(mean)
        # What rewards logged by themselves, from all processes; all must ask for the same names in the same order.
        for name in sorted(set(gather_object(list(self._pending_metrics)))):
            values = gather_object(self._pending_metrics.get(name, []))
            metrics[name].append(sum(values) / len(values))
        self._pending_metrics.clear()
        self._pending_extra_logs.clear()

    def _remember(
        self,
        prompts: Sequence[StyleVARPrompt],
        drawn: Sequence[StyleVARRollouts],
        rewards: torch.Tensor,
        parts: torch.Tensor,
    ) -> None:
        """Keep the rollouts of the first prompt for the picture, with what rewards logged of each (`log_extra`)."""
        if not (self.args.num_rollout_images and self.accelerator.is_main_process):
            return
        prompt, count = prompts[0], prompts.count(prompts[0])
        shown = slice(0, count * len(drawn), len(drawn))  # of continuations, the first
        extra = {name: values[shown] for name, values in self._pending_extra_logs.items()}
        pixels = {name: getattr(prompt, f"{name}_pixel_values") for name in ("content", "style", "target")}
        pixels = {name: value.float().cpu() / 2 + 0.5 for name, value in pixels.items() if value is not None}
        self.last_rollouts = {
            "names": list(pixels),
            "references": list(pixels.values()),
            "images": drawn[0].images[:count].cpu(),
            "rewards": rewards[shown].cpu(),
            "parts": dict(zip(self.reward_func_names, parts[shown].T.cpu(), strict=True)),
            "content_id": prompt.row.get("content_id"),
            "extra": extra,
        }

    def _log_update(self, training: bool, sums: UpdateSums) -> None:
        """One exchange between processes: for the logs, for the reference's schedule, for the guard."""
        sums = sums.reduce(self.accelerator)
        metrics = self._metrics["train" if training else "eval"]
        for name, value in sums.metrics(with_kl=self.reference is not None).items():
            metrics[name].append(value)
        if training:
            self._update_sums = sums if self._update_sums is None else self._update_sums + sums
            self.num_usable_rollouts = self._update_sums.num_kept
            self.last_step_kl = self._update_sums.mean_kl
            if self.accelerator.sync_gradients:  # the last pass of this update
                self._update_sums = None
                # Of the generations since the last update: none where an update uses rollouts again.
                self.last_step_reward = _mean(self._generation_rewards)
                self._generation_rewards.clear()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.iterative_reference is not None and self.model.training:
            for name, value in self.iterative_reference.metrics().items():
                self._metrics["train"][name].append(value)
        if not self.model.training:
            logs.update(self._evaluation_metrics())
        super().log(logs, start_time)

    def _evaluation_metrics(self) -> dict[str, float | None]:
        """Means of the evaluation that ends, under its prefix: TRL knows `eval_` alone."""
        means = {f"{self._metric_key_prefix}_{name}": _mean(values) for name, values in self._metrics["eval"].items()}
        self._metrics["eval"].clear()
        return means


def _mean(values: Sequence[float]) -> float | None:
    """Of those that are numbers; `None` if none is, for logs are JSON."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else None


__all__ = ["GRPOLogsMixin"]
