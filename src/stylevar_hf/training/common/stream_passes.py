# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Passes over a stream, whose length nobody knows: they end on all processes at once, and a resumed run finds them."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from transformers.trainer_utils import has_length

from ..._common.errors import invalid
from .checkpoint_files import load_json, save_json


STREAM_STATE_NAME = "stream_state.json"


class StreamPassesMixin:
    """
    For a `Trainer` that may be given a stream; data sets with a length are left to `Trainer`.

    `Trainer` takes `max_steps` for the length of a stream. From its second pass on, a resumed run would begin with its
    first rows again; rows that are too few for an update would add to the gradient of the next pass; and where the
    parts of several processes differ in length, these would wait for each other forever.

    * `get_batch_samples`: a pass ends where a process has no whole update left. What is left over is not used; which
      rows these are changes with the order of each pass.
    * `_save_more`, `_init_training_state`: the pass, and the updates of it that were made, go with the checkpoint.
    """

    _pass = 0
    _updates_in_pass = 0
    _ended_pass: Iterator | None = None

    def _reads_stream(self) -> bool:
        return self.train_dataset is not None and not has_length(self.train_dataset)

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor | int | None]:
        """
        Raises:
            ValueError: If a whole pass does not suffice for an update.
        """
        if not self._reads_stream():
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        if epoch_iterator is self._ended_pass:  # `Trainer` goes on asking until `max_steps`
            return [], None
        self._ended_pass = None
        samples, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        fewest = len(samples)
        if self.args.world_size > 1:
            fewest = self.accelerator.gather(torch.tensor([fewest], device=device)).min().item()
        if fewest == num_batches:
            self._updates_in_pass += 1
            return samples, num_items
        if self._updates_in_pass == 0:
            rows = self.get_total_train_batch_size(self.args)
            rule = f"of enough rows for an update ({rows}, a share on each process)"
            hint = "Lower `gradient_accumulation_steps` or `per_device_train_batch_size`."
            raise invalid("train_dataset", rule, "a stream that ends before", hint)
        epoch_iterator.close()  # where another process was first, its workers still read
        self._ended_pass, self._updates_in_pass = epoch_iterator, 0
        self._pass += 1
        return [], None

    def _save_more(self, output_dir: str) -> None:
        super()._save_more(output_dir)
        if self._reads_stream() and self.args.should_save:
            state = {"pass": self._pass, "updates_in_pass": self._updates_in_pass}
            save_json(os.path.join(output_dir, STREAM_STATE_NAME), state)

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        resume_from_checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        begins = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, resume_from_checkpoint, trial
        )
        self._pass, self._updates_in_pass, self._ended_pass = 0, 0, None
        if self.state.global_step == 0 or not self._reads_stream():
            return begins
        if self.state.global_step >= max_steps:
            return num_train_epochs, 0
        state = load_json(resume_from_checkpoint, STREAM_STATE_NAME)
        self._pass, self._updates_in_pass = state["pass"], state["updates_in_pass"]
        # A share of `max_steps`, which may have changed.
        self.state.epoch = self._pass + self._updates_in_pass / max_steps
        skips = 0 if self.args.ignore_data_skip else self._updates_in_pass * self.args.gradient_accumulation_steps
        return self._pass, skips


__all__ = ["STREAM_STATE_NAME", "StreamPassesMixin"]
