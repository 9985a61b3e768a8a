# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What [`StyleVARGRPOTrainer`] writes to a checkpoint and reads from it."""

import os
from typing import Any

from torch import nn

from ..common.checkpoint_files import load_json, save_json
from ..common.checkpointing import AtomicCheckpointMixin


_STATE_NAME = "grpo_state.json"


class GRPOCheckpointMixin(AtomicCheckpointMixin):
    """
    For [`StyleVARGRPOTrainer`], which has `reference`, `saved_adapter`, `iterative_reference` and `held_out` (each
    `None` where there is none). Its seams are those of [`AtomicCheckpointMixin`], `save_model`,
    `_load_from_checkpoint`, `_load_best_model` and `_load_optimizer_and_scheduler`.

    * What is saved loads plainly as the policy, adapter included: see [`SavedAdapter`].
    * What a resumed run needs beside it: the reference, its schedule, the phase of the generation, held-out rewards.
    """

    def saves_whole_model(self) -> bool:
        """Whether a folder gets a whole model, and not an adapter alone."""
        if self.saved_adapter is None:
            return not hasattr(self._policy(), "peft_config")
        changed = self.reference is not None and self.reference.num_updates > 0
        return self.saved_adapter.is_whole(self._policy(), changed)

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        self._renew_whole()  # with all processes; one alone saves
        super().save_model(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        trained, whole = self.model, self.saves_whole_model()
        if self._whole is not None:
            self.model, state_dict = self._whole.model, None
        if self.saved_adapter is not None and whole:
            self.model, state_dict = self.saved_adapter.merged(self.model)
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model = trained
        if self.args.should_save and self.saved_adapter is not None:
            self.saved_adapter.remove_stale_files(output_dir or self.args.output_dir, self._policy(), whole)

    def _save_more(self, output_dir: str) -> None:
        super()._save_more(output_dir)
        if not self.args.should_save:
            return
        save_json(os.path.join(output_dir, _STATE_NAME), {"step": self._step})
        if self.saved_adapter is not None:
            self.saved_adapter.save_parts(output_dir, self._policy(), self.saves_whole_model())
        for part in (self.reference, self.iterative_reference, self.held_out):
            if part is not None:
                part.save(output_dir)

    def _load_from_checkpoint(self, checkpoint: str, model: nn.Module | None = None) -> None:
        if not self._restore(checkpoint):
            super()._load_from_checkpoint(checkpoint, model)

    def _load_best_model(self) -> None:
        if not self._restore(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _restore(self, checkpoint: str) -> bool:
        """The reference, and the adapter where it was merged into what was saved; whether the latter was so."""
        if self.reference is not None:
            self.reference.load(checkpoint)
        restored = self.saved_adapter is not None and self.saved_adapter.load_parts(checkpoint, self._policy())
        if restored and self._whole is not None:
            self._whole.hand_back(self.model)
        return restored

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        self._step = load_json(checkpoint, _STATE_NAME)["step"]
        for part in (self.iterative_reference, self.held_out):
            if part is not None:
                part.load(checkpoint)


__all__ = ["GRPOCheckpointMixin"]
