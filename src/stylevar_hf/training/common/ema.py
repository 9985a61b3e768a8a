# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of the weights, as a callback for any transformers `Trainer`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from .checkpoint_files import save_tensors


EMA_WEIGHTS_NAME = "ema.safetensors"
_COUNT_KEY = "n_averaged"


class EMACallback(TrainerCallback):
    """
    Keeps `ema <- d * ema + (1 - d) * weights` after every optimizer step.

    The average is written to each checkpoint as `ema.safetensors` and left in place of the weights when training
    ends, so that `save_model` then saves it. A trainer puts it in place while it evaluates (`with ema.applied(model):`
    around its `evaluate`), and calls [`~EMACallback.load`] with the folder it resumes from. With
    `load_best_model_at_end` the average of the best checkpoint is used. Parameters are averaged, buffers (such as
    BatchNorm statistics) are copied. For models that every process holds whole (no FSDP, no ZeRO-3).

    A trainer that wants the file to be there before the checkpoint counts as complete calls [`~EMACallback.save`]
    itself; otherwise it is written right after.

    Args:
        decay (`float`):
            The decay, in [0, 1), such as 0.999.
        warmup (`bool`, *optional*, defaults to `True`):
            Use `d = min(decay, (1 + n) / (10 + n))` at the n-th update, so that the first weights are forgotten soon.

    Raises:
        ValueError: If `decay` is not in [0, 1).
    """

    def __init__(self, decay: float, warmup: bool = True):
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be in [0, 1), but got {decay}. 0.999 suits runs of ten thousand steps.")
        self.decay = decay
        self.warmup = warmup
        self.averaged: AveragedModel | None = None
        self._trained: dict[str, torch.Tensor] | None = None  # the weights in training while the average stands in
        self._loaded: dict[str, torch.Tensor] | None = None
        self._is_training = False

    @property
    def module(self) -> nn.Module | None:
        """The averaged model, or `None` before training starts."""
        return None if self.averaged is None else self.averaged.module

    def _average(self, averages: list[torch.Tensor], current: list[torch.Tensor], num_averaged: torch.Tensor) -> None:
        count = int(num_averaged)
        decay = min(self.decay, (1 + count) / (10 + count)) if self.warmup else self.decay
        get_ema_multi_avg_fn(decay)(averages, current, num_averaged)

    def start(self, model: nn.Module) -> None:
        """Begin with the weights of `model`, or with those that [`~EMACallback.load`] has read."""
        self.averaged = AveragedModel(model, multi_avg_fn=self._average)
        self.averaged.requires_grad_(False).eval()
        if self._loaded is not None:
            self._set_state(self._loaded)
            self._loaded = None
        self._is_training = True

    def _set_state(self, state: dict[str, torch.Tensor]) -> None:
        state = dict(state)
        self.averaged.n_averaged.copy_(state.pop(_COUNT_KEY))
        self.averaged.module.load_state_dict(state)

    def save(self, folder: str | os.PathLike) -> str:
        """Write the average to `folder/ema.safetensors`, under a temporary name first. Returns the path."""
        path = os.path.join(folder, EMA_WEIGHTS_NAME)
        # Tied weights share storage, which safetensors refuses.
        state = {name: value.clone() for name, value in self.module.state_dict().items()}
        save_tensors(path, {**state, _COUNT_KEY: self.averaged.n_averaged})
        return path

    def load(self, folder: str | os.PathLike) -> None:
        """
        Read the average from `folder/ema.safetensors`, for training that begins or is under way.

        Raises:
            FileNotFoundError: If the file is not there.
        """
        self._loaded = _read_average(folder)
        if self.averaged is not None:
            self._set_state(self._loaded)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """
        The average in place of the weights of `model`, which come back at the end of the block. Inside another such
        block, and where no training is under way, nothing happens.
        """
        if self._trained is not None or not self._is_training:
            yield
            return
        self._trained = {name: value.detach().clone() for name, value in model.state_dict().items()}
        try:
            model.load_state_dict(self.module.state_dict())
            yield
        finally:
            model.load_state_dict(self._trained)
            self._trained = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            self._loaded = None
        elif self._loaded is None:
            raise RuntimeError(
                f"`EMACallback.load` must be called before training goes on at step {state.global_step}, but got no "
                "call. Call it in the trainer's `_load_optimizer_and_scheduler`, with the folder it resumes from."
            )
        self.start(model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.averaged.update_parameters(model)

    def on_save(self, args, state, control, **kwargs):
        folder = os.path.join(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        if state.is_world_process_zero and not _has_average(folder):
            self.save(folder)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        best = state.best_model_checkpoint
        if args.load_best_model_at_end and best is not None and _has_average(best):
            self._set_state(_read_average(best))
        self._is_training = False
        model.load_state_dict(self.module.state_dict())


def _read_average(folder: str | os.PathLike) -> dict[str, torch.Tensor]:
    path = os.path.join(folder, EMA_WEIGHTS_NAME)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`resume_from_checkpoint` must hold {EMA_WEIGHTS_NAME} when the weights are averaged, but got "
            f"{os.fspath(folder)!r}. Resume from an older checkpoint, or switch the average off."
        )
    return safetensors.torch.load_file(path)


def _has_average(folder: str | os.PathLike) -> bool:
    """Whether a checkpoint folder holds averaged weights."""
    return os.path.isfile(os.path.join(folder, EMA_WEIGHTS_NAME))


__all__ = ["EMA_WEIGHTS_NAME", "EMACallback"]
