# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of supervised fine-tuning."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from ..._common.errors import invalid
from ..common.batches import num_processes, passes_per_update, rows_per_update


ENCODER_BATCH_NORM_MODES = ("frozen", "train")
# The learning rate schedules on which the drop acts.
_CONSTANT_SCHEDULES = ("constant", "constant_with_warmup")
# What follows from the data where it is left out.
_BY_DATA = ("per_device_train_batch_size", "gradient_accumulation_steps", "augmentation")
# Triplets of an update as published, and of a pass on one device.
_PUBLISHED_BATCH, _ROWS_PER_PASS = 128, 16


@dataclass
class StyleVARSFTConfig(TrainingArguments):
    r"""
    Options of [`StyleVARSFTTrainer`]: those of `transformers.TrainingArguments`, and these.

    The defaults are the published recipe. The paper (arXiv 2604.21052, supervised stage) has 10 epochs of 128 triplets
    per step, and learning rate 5e-4, from the seventh epoch on 1e-4; its code multiplies the rate by batch / 256, so
    that 5e-4 is 2.5e-4 at 128 triplets, clips gradients to norm 2, and trains with AdamW, betas (0.9, 0.95), weight
    decay 0.05 on matrices alone; its README names rotation and brightness of the content and crops of the style as
    augmentation, without magnitudes. Drop path, label smoothing and alpha jitter are properties of the model: see
    [`StyleVARConfig`].

    Args:
        per_device_train_batch_size, gradient_accumulation_steps (`int`, *optional*):
            By default 128 triplets per update, those of all processes, in passes of 16. Of fewer than 4096 rows, as
            many as give an epoch 32 updates, in powers of two and at least 4: a few images of one's own would
            otherwise be learned in a handful of steps. If one of the two is given, the other follows it.
        model_init_kwargs (`dict` or JSON, *optional*):
            For `from_pretrained`, where the trainer is given a folder or Hub id: `revision`, `dtype` (by default
            float32), `drop_path_rate` and so on.
        learning_rate_drop_at (`float`, *optional*, defaults to 0.6):
            The share of all steps, in (0, 1], after which the learning rate is multiplied by
            `learning_rate_drop_factor`; 1 switches it off. Acts with `lr_scheduler_type` `"constant"` and
            `"constant_with_warmup"` alone.
        learning_rate_drop_factor (`float`, *optional*, defaults to 0.2):
            In (0, 1].
        encoder_batch_norm (`str`, *optional*, defaults to `"frozen"`):
            `"frozen"`: BatchNorm of both ResNets runs in evaluation mode, with the statistics that the model came
            with; its scale and shift are trained. `"train"`: with the statistics of the batch, each process with its
            own; needed for ResNets that start from random weights.
        freeze_encoders (`bool`, *optional*, defaults to `False`):
            Do not train the ResNets at all; their BatchNorm is frozen, too.
        augmentation (`bool`, *optional*):
            Change contents and styles of training at random, anew in each epoch. By default it is on, as published,
            unless codes are cached, which it excludes.
        rotation_degrees, brightness (`float`, *optional*, defaults to 10.0 and 0.2), style_crop_scale (`list[float]`,
        *optional*, defaults to `[0.6, 1.0]`), rotate_target (`bool`, *optional*, defaults to `False`),
        pair_crop_scale (`list[float]`, *optional*, defaults to `[1.0, 1.0]`), flip (`bool`, *optional*, defaults to
        `False`):
            See [`~stylevar_hf.data.TripletAugmentation`].
        strength_anchor_rate (`float`, *optional*, defaults to 0.0):
            Share of training rows, in [0, 1], that teach what `style_strength` -1 and 1 and a style equal to the
            content mean; see [`~stylevar_hf.data.StrengthAnchors`]. Not in the paper. The logged losses of training
            are then of all rows; those of evaluation are not touched.
        token_cache_dir (`str`, *optional*):
            Compute the codes of all images once and keep them there; see [`~stylevar_hf.data.cache_tokens`]. Processes
            divide the work; all must see the folder. Otherwise codes are computed in each step.
        token_cache_batch_size (`int`, *optional*, defaults to 32):
            Images per call of the tokenizer when codes are cached.
        cache_images (`bool`, *optional*, defaults to `True`):
            With `token_cache_dir`: also keep contents and styles there at the model's size, so that large images are
            not decoded in each epoch; see [`~stylevar_hf.data.cache_images`]. Training is the same bit for bit.
        check_data (`bool`, *optional*, defaults to `True`):
            Decode every image before training. Streams and resumed runs are not checked (the latter are with
            `skip_broken`).
        skip_broken (`bool`, *optional*, defaults to `False`):
            Leave out and log rows with a broken image, instead of stopping before training. Checks the images in any
            case, so that a resumed run leaves out the same rows. Excludes streams.
        ema_decay (`float`, *optional*, defaults to 0.0):
            Decay of the moving average of the weights, in [0, 1); 0 switches it off. See [`EMACallback`].
        early_stopping_patience (`int`, *optional*, defaults to 0):
            Stop after so many evaluations without a lower loss and go back to the best checkpoint; 0: never. Needs
            the same `eval_strategy` and `save_strategy`, such as `epoch`.
        max_seconds (`float`, *optional*):
            Stop after the step during which so much time has passed since the run began, and save.
        num_sample_images (`int`, *optional*, defaults to 4):
            How many validation pairs are stylised at each evaluation and at the end, to
            `output_dir/samples/step-N.png`: content, style, target, output. Without a validation set, pairs of
            training. 0 switches it off.
        sample_seed (`int`, *optional*, defaults to 0):
            Seed of these samples. They do not touch the random numbers of training.

        base_model_id (`str`, *optional*):
            `user/name` of the repository of the model below an adapter, for `push_to_hub` where it was loaded from a
            folder: an adapter is published without it.

    Raises:
        ValueError: If an option is out of range or two exclude each other.
    """

    _VALID_DICT_FIELDS = TrainingArguments._VALID_DICT_FIELDS + ["model_init_kwargs"]

    output_dir: str | None = field(default="stylevar-sft", metadata={"help": "Folder of checkpoints and samples."})
    per_device_train_batch_size: int | None = field(
        default=None, metadata={"help": "Triplets per process and pass. Default: 16, or fewer for small data."}
    )
    gradient_accumulation_steps: int | None = field(
        default=None, metadata={"help": "Passes per update. Default: 128 triplets, or fewer for small data."}
    )
    per_device_eval_batch_size: int = field(default=16, metadata={"help": "Triplets per process in evaluation."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the data."})
    learning_rate: float = field(default=2.5e-4, metadata={"help": "Learning rate before the drop."})
    max_grad_norm: float = field(default=2.0, metadata={"help": "Norm that gradients are clipped to."})
    lr_scheduler_type: str = field(default="constant_with_warmup", metadata={"help": "Learning rate schedule."})
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay of the matrices."})
    adam_beta2: float = field(default=0.95, metadata={"help": "Second moment's decay."})
    logging_steps: float = field(default=10, metadata={"help": "Log every so many steps."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Hide NaN losses; they stop training here."})
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "All parameters are used."})
    report_to: None | str | list[str] = field(default="none", metadata={"help": "Where to report: none, wandb, ..."})

    model_init_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "For from_pretrained, where the trainer is given a folder or Hub id."}
    )
    learning_rate_drop_at: float = field(default=0.6, metadata={"help": "Share of the steps before the drop."})
    learning_rate_drop_factor: float = field(default=0.2, metadata={"help": "Factor on the rate after the drop."})
    encoder_batch_norm: str = field(default="frozen", metadata={"help": "BatchNorm of the ResNets: frozen or train."})
    freeze_encoders: bool = field(default=False, metadata={"help": "Do not train the ResNets."})
    augmentation: bool | None = field(
        default=None, metadata={"help": "Augment contents and styles. Default: unless codes are cached."}
    )
    rotation_degrees: float = field(default=10.0, metadata={"help": "Largest rotation of the content, in degrees."})
    brightness: float = field(default=0.2, metadata={"help": "Largest change of the content's brightness."})
    style_crop_scale: list[float] = field(
        default_factory=lambda: [0.6, 1.0], metadata={"help": "Smallest and largest share of the style's area."}
    )
    rotate_target: bool = field(default=False, metadata={"help": "Rotate the target with the content."})
    pair_crop_scale: list[float] = field(
        default_factory=lambda: [1.0, 1.0], metadata={"help": "Share of the area of content and target, one window."}
    )
    flip: bool = field(default=False, metadata={"help": "Mirror half of the triplets."})
    strength_anchor_rate: float = field(default=0.0, metadata={"help": "Share of rows that teach the strength."})
    token_cache_dir: str | None = field(default=None, metadata={"help": "Folder of cached codes."})
    token_cache_batch_size: int = field(default=32, metadata={"help": "Images per call of the tokenizer."})
    cache_images: bool = field(
        default=True,
        metadata={"help": "With token_cache_dir: also keep contents and styles at the model's size."},
    )
    check_data: bool = field(default=True, metadata={"help": "Decode every image before training."})
    skip_broken: bool = field(default=False, metadata={"help": "Leave out and log rows with a broken image."})
    ema_decay: float = field(default=0.0, metadata={"help": "Decay of the averaged weights; 0: off."})
    early_stopping_patience: int = field(default=0, metadata={"help": "Evaluations without progress; 0: off."})
    max_seconds: float | None = field(default=None, metadata={"help": "Stop and save after so much time."})
    num_sample_images: int = field(default=4, metadata={"help": "Pairs stylised at each evaluation; 0: off."})
    sample_seed: int = field(default=0, metadata={"help": "Seed of the samples."})

    base_model_id: str | None = field(default=None, metadata={"help": "Repository of the model below an adapter."})

    def __post_init__(self):
        self._check_ranges()
        self._left_out = [name for name in _BY_DATA if getattr(self, name) is None]
        if self.augmentation is None:
            self.augmentation = self.token_cache_dir is None
        if self.augmentation and self.token_cache_dir is not None:
            hint = "Cached codes are those of the images as they are; choose one of the two."
            raise invalid("token_cache_dir", "None with `augmentation`", repr(self.token_cache_dir), hint)
        if self.early_stopping_patience > 0:
            self._check_strategies()
            self.load_best_model_at_end = True
            self.metric_for_best_model = self.metric_for_best_model or "loss"
        if self.bf16 and not torch.accelerator.is_available():
            self.use_cpu = True  # without it, `TrainingArguments` refuses bfloat16 where there is no accelerator
        if self.accelerator_config is None:
            # Each process reads a stream by itself: ids are text, which cannot be handed on as tensors.
            self.accelerator_config = {"dispatch_batches": False}
        self._set_batch(_PUBLISHED_BATCH)
        super().__post_init__()

    def _set_batch(self, rows: int) -> None:
        """Passes of at most 16 rows per process that make `rows`, where neither of the two sizes was given."""
        processes = num_processes()
        if "per_device_train_batch_size" in self._left_out:
            passes = 1 if "gradient_accumulation_steps" in self._left_out else self.gradient_accumulation_steps
            self.per_device_train_batch_size = max(1, min(_ROWS_PER_PASS, rows // (passes * processes)))
        if "gradient_accumulation_steps" in self._left_out:
            self.gradient_accumulation_steps = passes_per_update(rows, self.per_device_train_batch_size * processes)

    def fit_to(self, num_rows: int | None, has_codes: bool) -> "StyleVARSFTConfig":
        """
        The options as they suit this data, where they were left out.

        Args:
            num_rows (`int`, *optional*):
                Rows of the training set; `None` of a stream.
            has_codes (`bool`):
                Whether it comes with cached codes, which are not augmented.
        """
        fitted = copy.copy(self)
        if num_rows is not None:
            fitted._set_batch(rows_per_update(_PUBLISHED_BATCH, num_rows))
        if has_codes and "augmentation" in self._left_out:
            fitted.augmentation = False
        return fitted

    def _check_ranges(self):
        if self.encoder_batch_norm not in ENCODER_BATCH_NORM_MODES:
            hint = "frozen keeps the statistics, train learns them."
            raise invalid("encoder_batch_norm", "frozen or train", repr(self.encoder_batch_norm), hint)
        if not 0 <= self.ema_decay < 1:
            raise invalid("ema_decay", "in [0, 1)", self.ema_decay, "0 switches it off; 0.999 is usual.")
        if not 0 <= self.strength_anchor_rate <= 1:
            hint = "0 switches it off; 0.1 is a good start."
            raise invalid("strength_anchor_rate", "in [0, 1]", self.strength_anchor_rate, hint)
        for name in ("learning_rate_drop_at", "learning_rate_drop_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise invalid(name, "in (0, 1]", getattr(self, name), "1 switches it off.")
        for name in ("early_stopping_patience", "num_sample_images", "sample_seed"):
            if getattr(self, name) < 0:
                raise invalid(name, "0 or more", getattr(self, name), "Choose another.")
        if self.label_smoothing_factor != 0:
            hint = "Set the model's `label_smoothing` (`--label_smoothing`, or in `model_init_kwargs`)."
            raise invalid("label_smoothing_factor", "0", self.label_smoothing_factor, hint)
        if self.token_cache_batch_size < 1:
            raise invalid("token_cache_batch_size", "positive", self.token_cache_batch_size, "32 is usual.")

    def _check_strategies(self):
        """Going back to the best checkpoint takes a checkpoint at every evaluation that may be the best."""
        evaluate, save = (str(getattr(value, "value", value)) for value in (self.eval_strategy, self.save_strategy))
        hint = "Pass `--eval_strategy epoch --save_strategy epoch`, or `steps` for both."
        if evaluate == "no":
            raise invalid("eval_strategy", "epoch or steps with `early_stopping_patience`", repr(evaluate), hint)
        if save not in (evaluate, "best"):
            rule = f"{evaluate} like `eval_strategy`, or best, with `early_stopping_patience`"
            raise invalid("save_strategy", rule, repr(save), hint)
        every = self.eval_steps or self.logging_steps
        if save == evaluate == "steps" and every >= 1 and self.save_steps >= 1 and self.save_steps % every:
            rule = f"a multiple of `eval_steps` ({every:g}) with `early_stopping_patience`"
            raise invalid("save_steps", rule, self.save_steps, "Save where the model is evaluated.")

    @property
    def drops_learning_rate(self) -> bool:
        """Whether the learning rate falls at `learning_rate_drop_at`."""
        return str(getattr(self.lr_scheduler_type, "value", self.lr_scheduler_type)) in _CONSTANT_SCHEDULES


__all__ = ["ENCODER_BATCH_NORM_MODES", "StyleVARSFTConfig"]
