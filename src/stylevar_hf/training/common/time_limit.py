# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Training for a given time, where a machine is lent for minutes."""

import time

import torch
from accelerate import PartialState
from accelerate.utils import broadcast
from transformers import TrainerCallback

from ..._common.errors import invalid


class TimeLimitCallback(TrainerCallback):
    """
    Ends training after the step during which the time is up; a checkpoint is saved unless `save_strategy` is `"no"`,
    so that the run can go on later.

    Args:
        max_seconds (`float`):
            From the first step of this run on, in seconds, above 0.

    Raises:
        ValueError: If `max_seconds` is not above 0.
    """

    def __init__(self, max_seconds: float):
        if not max_seconds > 0:
            raise invalid("max_seconds", "above 0", max_seconds, "Leave it out for training without a limit.")
        self.max_seconds = max_seconds
        self._end = float("inf")

    def on_train_begin(self, args, state, control, **kwargs):
        self._end = time.monotonic() + self.max_seconds

    def on_step_end(self, args, state, control, **kwargs):
        is_over = time.monotonic() >= self._end
        if PartialState().num_processes > 1:  # clocks differ: the first process decides
            is_over = bool(broadcast(torch.tensor(is_over, device=args.device)))
        if is_over:
            control.should_training_stop = True
            control.should_save = getattr(args.save_strategy, "value", args.save_strategy) != "no"


__all__ = ["TimeLimitCallback"]
