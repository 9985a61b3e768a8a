# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""One readable line per log on the terminal; trackers, files and the state get all numbers."""

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerState


# Numbers per scale, of single rewards, and of the machine: for trackers.
_LEFT_OUT = re.compile(r"_scale_\d+$|/|runtime|_per_second|flos|^epoch$|^step$|step_time|frac_|memory|num_tokens")
_SHORT = {"learning_rate": "lr", "grad_norm": "gradient"}


def log_line(logs: Mapping[str, Any], state: TrainerState) -> str | None:
    """
    A log as a line, such as `step 20/400, epoch 0.5: loss 4.831, gradient 1.2, lr 0.00025`.

    Args:
        logs (`Mapping[str, Any]`):
            What was logged.
        state (`TrainerState`):
            Of the trainer.

    Returns:
        `str`, *optional*: `None` if nothing in it is for people.
    """
    shown = []
    for name, value in logs.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if not _LEFT_OUT.search(name):
            shown.append(f"{_SHORT.get(name, name)} {number:.4g}")
    if "train_runtime" in logs:
        shown.append(f"{_duration(float(logs['train_runtime']))} in all")
    if not shown:
        return None
    epoch = "" if state.epoch is None else f", epoch {state.epoch:.4g}"
    return f"step {state.global_step}/{state.max_steps}{epoch}: {', '.join(shown)}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class LineProgressCallback(ProgressCallback):
    """The progress bar, with a line above it for each log."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and self.training_bar is not None and (line := log_line(logs or {}, state)):
            self.training_bar.write(line)


class LinePrinterCallback(PrinterCallback):
    """Without a progress bar: a line for each log."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and (line := log_line(logs or {}, state)):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def use_log_lines(trainer: Trainer) -> None:
    """Put these in the place of what `Trainer` prints by default; callbacks of the user's own stay."""
    callbacks = trainer.callback_handler.callbacks
    for index, callback in enumerate(callbacks):
        if type(callback) is ProgressCallback:
            callbacks[index] = LineProgressCallback()
        elif type(callback) is PrinterCallback:
            callbacks[index] = LinePrinterCallback()


__all__ = ["log_line", "use_log_lines"]
