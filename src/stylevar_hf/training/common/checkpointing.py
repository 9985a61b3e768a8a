# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are either complete or not there."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint, rotate_checkpoints
from transformers.utils import logging

from ..._common.errors import invalid
from .model_card import PublishingMixin


logger = logging.get_logger(__name__)

_STAGING = ".saving"
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What torch and safetensors make of a full disk: they hide the number of the error.
_FULL_MESSAGES = ("no space left", "disk quota exceeded", "file write failed", "storagefull", "unexpected pos")


class AtomicCheckpointMixin(PublishingMixin):
    """
    For a `Trainer`: every checkpoint is written to `output_dir/.saving` and renamed once it is complete. What it
    publishes is complete, too: see [`PublishingMixin`].

    Whatever happens while saving (a full disk, SIGKILL), the checkpoints before stay as they are and no partial one is
    ever resumed from. The seams are `_save_checkpoint`, `_get_output_dir` and `_save`.
    """

    _staging_dir: str | None = None

    def _get_output_dir(self, trial) -> str:
        return self._staging_dir or super()._get_output_dir(trial)

    def _save_checkpoint(self, model, trial) -> None:
        run_dir = super()._get_output_dir(trial)
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        staging = os.path.join(run_dir, _STAGING)
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)  # what a killed run left behind
            os.makedirs(staging, exist_ok=True)
        self.accelerator.wait_for_everyone()
        with self._clean_failure(staging, run_dir), self._saving_to(staging):
            super()._save_checkpoint(model, trial)
            self._save_more(os.path.join(staging, name))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            with self._clean_failure(staging, run_dir):
                self._point_to_best(run_dir)
                self.state.save_to_json(os.path.join(staging, name, TRAINER_STATE_NAME))
                _replace_folder(os.path.join(staging, name), os.path.join(run_dir, name))
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._point_to_best(run_dir)
        if self.args.push_to_hub:
            self._push_from_checkpoint(os.path.join(run_dir, name))
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=run_dir,
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _save_more(self, output_dir: str) -> None:
        """What else belongs to a checkpoint, written before it counts as complete."""

    def _point_to_best(self, run_dir: str) -> None:
        # While staging, the parent class looked for the best checkpoint in the wrong folder.
        step = self.state.best_global_step
        folder = os.path.join(run_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}")
        if step and (step == self.state.global_step or os.path.isdir(folder)):
            self.state.best_model_checkpoint = folder

    @contextmanager
    def _saving_to(self, staging: str) -> Iterator[None]:
        pushing = self.args.push_to_hub
        self._staging_dir, self.args.push_to_hub = staging, False  # nothing is pushed before it is complete
        try:
            yield
        finally:
            self._staging_dir, self.args.push_to_hub = None, pushing

    @contextmanager
    def _clean_failure(self, staging: str, run_dir: str) -> Iterator[None]:
        """Removes what is partial, and says what is left."""
        try:
            yield
        except Exception as error:
            shutil.rmtree(staging, ignore_errors=True)
            if not _is_full(error):
                raise
            last = get_last_checkpoint(run_dir) if os.path.isdir(run_dir) else None
            intact = f"The checkpoint before it is intact: {last}." if last else "There is no checkpoint before it."
            raise OSError(
                f"`{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}` could not be saved to {run_dir} ({error}); what "
                f"was written of it was removed. {intact} Make room, then resume with `resume_from_checkpoint`."
            ) from error

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        output_dir = self.args.output_dir if output_dir is None else output_dir
        if self._staging_dir is not None or not self.args.should_save:
            return super()._save(output_dir, state_dict)
        staging = Path(output_dir, _STAGING)
        shutil.rmtree(staging, ignore_errors=True)
        try:
            super()._save(str(staging), state_dict)
            for file in sorted(path for path in staging.rglob("*") if path.is_file()):
                place = Path(output_dir, file.relative_to(staging))
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
        except Exception as error:
            if not _is_full(error):
                raise
            raise OSError(
                f"The model could not be saved to {output_dir} ({error}); what was there is intact. Make room, then "
                "resume from the last checkpoint."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def find_resumption(resume_from_checkpoint: str | bool | None, output_dir: str) -> str | bool | None:
    """What `Trainer.train` understands: for `"auto"` and `"last"` the last checkpoint, or `None` if there is none."""
    if resume_from_checkpoint not in ("auto", "last"):
        return resume_from_checkpoint
    last = get_last_checkpoint(output_dir) if os.path.isdir(output_dir) else None
    if last is None:
        logger.warning("%s holds no checkpoint yet: training starts from step 0.", output_dir)
    return last


def check_best_metric(evaluation: Any, args: TrainingArguments) -> None:
    """Refuse to look for the best checkpoint by a metric that none of several evaluation sets has."""
    if not isinstance(evaluation, dict) or args.metric_for_best_model is None:
        return
    metric = args.metric_for_best_model.removeprefix("eval_")
    if not metric.startswith(tuple(f"{name}_" for name in evaluation)):
        rule = f"that of one of the evaluation sets, such as {' or '.join(f'eval_{name}_loss' for name in evaluation)}"
        hint = "The best checkpoint is chosen by one of them."
        raise invalid("metric_for_best_model", rule, args.metric_for_best_model, hint)


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it was made of, says that there is no room left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
            return True
        if isinstance(error, OSError | RuntimeError | SafetensorError):
            if any(message in str(error).lower() for message in _FULL_MESSAGES):
                return True
        error = error.__cause__ or error.__context__
    return False


def _replace_folder(new: str, place: str) -> None:
    """Renames `new` to `place`; a folder that is there already goes only after that."""
    old = f"{new}.old"
    if os.path.isdir(place):
        os.replace(place, old)
    os.replace(new, place)
    shutil.rmtree(old, ignore_errors=True)


__all__ = ["AtomicCheckpointMixin", "check_best_metric", "find_resumption"]
