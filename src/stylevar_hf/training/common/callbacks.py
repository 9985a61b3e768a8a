# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What supervised training measures and draws on the way: metrics per scale, a guard against NaN, sample grids."""

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from transformers import Trainer, TrainerCallback
from transformers.utils import logging

from ...data.collator import StyleVARTripletCollator
from .checkpoint_files import save_picture
from .pictures import draw_grid, report_picture


logger = logging.get_logger(__name__)

# How many ids an error message lists.
_MAX_LISTED = 64


class ScaleMeter:
    """Loss and accuracy at each scale, averaged over batches by their size and over processes when read."""

    def __init__(self):
        self._sums: torch.Tensor | None = None

    def add(self, scale_losses: torch.Tensor, scale_accuracies: torch.Tensor, batch_size: int) -> None:
        """Both of shape `(K,)`. Nothing is moved off the device."""
        ones = scale_losses.new_ones(1)
        values = torch.cat([scale_losses.detach().float(), scale_accuracies.detach().float(), ones]) * batch_size
        self._sums = values if self._sums is None else self._sums + values

    def reset(self) -> None:
        self._sums = None

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """The averages as `loss_scale_0`, ..., `accuracy_scale_0`, ..., and start again. All processes must call."""
        if self._sums is None:
            return {}
        *values, weight = accelerator.reduce(self._sums, reduction="sum").tolist()
        self.reset()
        values = [value / weight for value in values]
        half = len(values) // 2
        named = {"loss": values[:half], "accuracy": values[half:]}
        return {f"{name}_scale_{k}": value for name, scales in named.items() for k, value in enumerate(scales)}


class FiniteLossGuard:
    """
    Remembers each loss with the step and the ids of its batch until [`~FiniteLossGuard.check`] looks at them.

    Looking at a loss waits for the device, so an accelerator is asked only where it is waited for anyway (logging and
    saving); on CPU it costs nothing and happens at once.
    """

    def __init__(self):
        self._pending: list[tuple[int, Sequence[str], torch.Tensor]] = []

    def add(self, step: int, content_ids: Sequence[str], loss: torch.Tensor) -> None:
        self._pending.append((step, content_ids, loss.detach()))
        if loss.device.type == "cpu":
            self.check()

    def check(self) -> None:
        """
        Raises:
            FloatingPointError: If a loss since the last check is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        finite = torch.isfinite(torch.stack([loss for _, _, loss in pending])).tolist()
        for (step, ids, loss), good in zip(pending, finite, strict=True):
            if not good:
                listed = ", ".join(list(ids)[:_MAX_LISTED]) or "not known: the data has no `content_id`"
                raise FloatingPointError(
                    f"`loss` must be finite, but got {loss.item()} at step {step}. content_id of the batch: {listed}. "
                    "Look at these images, lower the learning rate, or resume from the last checkpoint."
                )


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave Python's, numpy's and torch's random numbers as if nothing had happened in between."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class SampleGridCallback(TrainerCallback):
    """
    Stylises the same pairs at each evaluation, and at the end of a run: one row each of content, style, target (if
    any) and output, to `output_dir/samples/step-N.png`. TensorBoard, Weights & Biases and Trackio show them too, if
    the run reports to them.

    Args:
        trainer (`Trainer`):
            Of the run. Where its model is divided among processes, all of them take part.
        get_rows (`Callable`):
            Gives the pairs, as a data set does. Called at the first evaluation, when the data has been checked.
        collator ([`~stylevar_hf.data.StyleVARTripletCollator`]):
            Without augmentation.
        seed (`int`, *optional*, defaults to 0):
            Pair `i` is sampled with seed `seed + i`.
    """

    def __init__(
        self,
        trainer: Trainer,
        get_rows: Callable[[], Sequence[Mapping]],
        collator: StyleVARTripletCollator,
        seed: int = 0,
    ):
        self.get_rows = get_rows
        self.collator = collator
        self.batch: dict | None = None
        self.trainer = trainer
        self.seed = seed
        self.captions: tuple[str, ...] = ()
        self._last_step = -1

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        divided = self.trainer.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        if state.global_step == self._last_step or not (divided or state.is_world_process_zero):
            return
        self._last_step = state.global_step
        grid = self.draw(model)
        if state.is_world_process_zero:
            save_picture(os.path.join(args.output_dir, "samples", f"step-{state.global_step}.png"), grid)
            report_picture(self.trainer, "samples", grid, " | ".join(self.captions))

    def on_train_end(self, args, state, control, **kwargs):
        self.on_evaluate(args, state, control, **kwargs)

    @torch.no_grad()
    def draw(self, model: torch.nn.Module):
        """The grid as a PIL image. The model's mode and all random numbers are left as they were."""
        if self.batch is None:
            images = ("content", "style", "target", "content_id")
            rows = [{name: row[name] for name in images if name in row} for row in self.get_rows()]
            self.batch = self.collator(rows)
        device = next(model.parameters()).device
        content = self.batch["content_pixel_values"].to(device)
        style = self.batch["style_pixel_values"].to(device)
        generators = [torch.Generator(device).manual_seed(self.seed + index) for index in range(len(content))]
        training = [module for module in model.modules() if module.training]
        model.eval()
        try:
            with untouched_randomness():
                outputs = model.generate(
                    content_pixel_values=content, style_pixel_values=style, generator=generators
                ).pixel_values
        finally:
            for module in training:
                module.training = True
        columns = {"content": content, "style": style, "target": self.batch.get("target_pixel_values")}
        columns = {name: pixels for name, pixels in {**columns, "output": outputs}.items() if pixels is not None}
        self.captions = tuple(columns)
        return draw_grid(
            list(torch.stack([pixels.float().cpu() for pixels in columns.values()], dim=1)), self.captions
        )


def first_rows(dataset, count: int) -> list[Mapping]:
    """The first rows of a data set or a stream."""
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return [dataset[index] for index in range(min(count, len(dataset)))]
    return list(islice(iter(dataset), count))


__all__ = ["FiniteLossGuard", "SampleGridCallback", "ScaleMeter", "first_rows", "untouched_randomness"]
