# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What [`StyleVARGRPOTrainer`] does between steps: guard against failure, numbers on the progress bar, pictures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from PIL import Image
from torch.distributed.tensor import DTensor
from torch.utils.data import Dataset, Sampler
from transformers import ProgressCallback, TrainerCallback
from transformers.utils import logging
from trl.trainer.utils import RepeatSampler

from ..common.checkpoint_files import save_picture
from ..common.pictures import draw_grid, report_picture


logger = logging.get_logger(__name__)

_LOG_NAME = "rollouts.jsonl"


class DistinctRows(Dataset):
    """
    A data set whose rows are decoded once per batch, and once for consecutive batches of the same rows.

    GRPO's sampler asks for each row once per rollout and repeats whole batches.

    Args:
        rows (`datasets.Dataset`):
            The rows.
    """

    def __init__(self, rows: datasets.Dataset):
        self.rows = rows
        self._decoded: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        self._decoded = {index: self._decoded.get(index) or self.rows[index] for index in dict.fromkeys(indices)}
        return [self._decoded[index] for index in indices]


class OrderByEpoch(Sampler):
    """
    TRL's sampler, in an order that depends on seed and epoch alone.

    TRL's own draws the next order at each pass, so that a run that is resumed in its second epoch would repeat the
    order of the first.

    Args:
        sampler (`RepeatSampler`):
            The sampler.
    """

    def __init__(self, sampler: RepeatSampler):
        self.sampler = sampler
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        if self.sampler.shuffle:
            self.sampler.generator.manual_seed(self.sampler.seed + self.epoch)
        return iter(self.sampler)


class FailureCallback(TrainerCallback):
    """
    Leaves out updates without a usable rollout or a finite gradient, momentum and weight decay included; saves and
    stops after too many of them in a row.

    Args:
        trainer (`Trainer`):
            Has `num_usable_rollouts`, of the last update and all processes.
        max_failed_updates (`int`):
            How many are too many.
    """

    def __init__(self, trainer: Any, max_failed_updates: int):
        self.trainer = trainer
        self.max_failed_updates = max_failed_updates
        self.num_failed = 0
        self._left_out = False

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        cause = None  # the same on all processes: they have exchanged counts and gradients
        if self.trainer.num_usable_rollouts == 0:
            cause = "no rollout is usable"
        elif not self._is_finite([parameter.grad for parameter in model.parameters() if parameter.grad is not None]):
            cause = "the gradient is not finite"
        self._left_out = cause is not None
        if self._left_out:
            logger.warning("Step %d: left out, for %s.", state.global_step + 1, cause)
            for parameter in model.parameters():
                parameter.grad = None  # optimizers skip such parameters altogether

    def _is_finite(self, gradients: Sequence[torch.Tensor]) -> bool:
        divided = any(isinstance(gradient, DTensor) for gradient in gradients)
        parts = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
        finite = all(torch.isfinite(part).all() for part in parts)
        if not divided:
            return finite
        accelerator = self.trainer.accelerator
        return not accelerator.reduce(torch.tensor(float(not finite), device=accelerator.device)).item()

    def on_train_begin(self, args, state, control, **kwargs):
        self.num_failed = 0

    def on_step_end(self, args, state, control, **kwargs):
        self.num_failed = self.num_failed + 1 if self._left_out else 0
        if self.num_failed >= self.max_failed_updates:
            control.should_save = control.should_training_stop = True

    @property
    def failed(self) -> bool:
        return self.num_failed >= self.max_failed_updates


class ProgressNumbersCallback(TrainerCallback):
    """
    Shows the reward and the KL on the progress bar.

    Args:
        trainer (`Trainer`):
            Owner of the progress bar.
    """

    def __init__(self, trainer: Any):
        self.trainer = trainer

    def on_log(self, args, state, control, logs=None, **kwargs):
        numbers = {name: f"{logs[name]:.4f}" for name in ("reward", "kl") if (logs or {}).get(name) is not None}
        for callback in self.trainer.callback_handler.callbacks:
            bar = getattr(callback, "training_bar", None)
            if isinstance(callback, ProgressCallback) and bar is not None and numbers:
                bar.set_postfix(numbers, refresh=False)


class RolloutGridCallback(TrainerCallback):
    """
    At each log, draws the newest rollouts of one prompt to `output_dir/rollouts/step-N.png`, best first, each with its
    reward, behind content, style and target; and adds a line to `rollouts.jsonl` there. TensorBoard, Weights & Biases
    and Trackio show the picture too, if the run reports to them.

    Args:
        trainer (`Trainer`):
            Has `last_rollouts`: `None`, or a `dict` of `references` (list of images `(3, H, W)` in [0, 1]), `images`
            `(G, 3, H, W)`, `rewards` `(G,)`, `parts` (name of each reward to its values `(G,)`), `content_id` and
            `extra` (what rewards logged of each rollout by `log_extra`).
        num_images (`int`):
            At most so many rollouts.
    """

    def __init__(self, trainer: Any, num_images: int):
        self.trainer = trainer
        self.num_images = num_images
        self._last_step = -1

    def on_log(self, args, state, control, **kwargs):
        rollouts = self.trainer.last_rollouts
        if rollouts is None or not state.is_world_process_zero or state.global_step == self._last_step:
            return
        self._last_step = state.global_step
        folder = Path(args.output_dir, "rollouts")
        picture = self.draw(rollouts)
        save_picture(folder / f"step-{state.global_step}.png", picture)
        report_picture(self.trainer, "rollouts", picture, "content, style, target, then rollouts, best first")
        line = {
            "step": state.global_step,
            "content_id": rollouts["content_id"],
            "rewards": _json_numbers(rollouts["rewards"]),
            **{f"rewards/{name}": _json_numbers(values) for name, values in rollouts["parts"].items()},
            **rollouts["extra"],
        }
        with open(folder / _LOG_NAME, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def draw(self, rollouts: Mapping[str, Any]) -> Image.Image:
        """The picture: references, then rollouts from best to worst, with captions."""
        rewards = rollouts["rewards"].float().cpu()
        best_first = torch.argsort(rewards.nan_to_num(-torch.inf), descending=True)[: self.num_images]
        captions = [*rollouts["names"], *(f"{rewards[index]:.3f}" for index in best_first.tolist())]
        pictures = [*rollouts["references"], *rollouts["images"][best_first.to(rollouts["images"].device)]]
        return draw_grid([torch.stack([picture.float().cpu() * 2 - 1 for picture in pictures])], captions)


def _json_numbers(values: torch.Tensor) -> list[float | None]:
    """JSON knows no NaN."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


__all__ = ["DistinctRows", "FailureCallback", "OrderByEpoch", "ProgressNumbersCallback", "RolloutGridCallback"]
