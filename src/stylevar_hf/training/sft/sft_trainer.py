# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning of StyleVAR on triplets."""

import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers.trainer_pt_utils import get_parameter_names
from transformers.trainer_utils import EvalLoopOutput, TrainOutput, has_length
from transformers.utils import ADAPTER_CONFIG_NAME, logging

from ..._common.errors import invalid
from ...data.anchors import StrengthAnchors
from ...data.augmentation import TripletAugmentation
from ...data.cache.images import cache_images
from ...data.cache.tokens import cache_tokens, check_cached_tokens
from ...data.checking import check_dataset
from ...data.collator import CODE_COLUMNS, StyleVARTripletCollator
from ...data.mixing import EpochCallback, with_index
from ...data.pictures import with_pictures
from ...image_processing_stylevar import StyleVARImageProcessor
from ...modeling_stylevar import StyleVARForConditionalGeneration
from ..common.batches import warn_of_short_epoch
from ..common.callbacks import FiniteLossGuard, SampleGridCallback, ScaleMeter, first_rows, untouched_randomness
from ..common.checkpointing import AtomicCheckpointMixin, check_best_metric, find_resumption
from ..common.distribution import autocast_under_fsdp
from ..common.ema import EMACallback
from ..common.initialization import check_model, resolve_model
from ..common.log_lines import use_log_lines
from ..common.lora import add_adapter, core_model
from ..common.model_card import check_publishing
from ..common.stream_passes import StreamPassesMixin
from ..common.time_limit import TimeLimitCallback
from .checks import BATCH_NORMS, check_batch_norm, check_training_data
from .sft_config import StyleVARSFTConfig


if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

logger = logging.get_logger(__name__)

# What the collator reads of a row.
_COLUMNS = ["content", "style", "target", "content_id", "style_id", "index", *CODE_COLUMNS]
# What the collator writes and `forward` takes.
_INPUTS = ("content_pixel_values", "style_pixel_values", "target_pixel_values", "style_strength", *CODE_COLUMNS)


class StyleVARSFTTrainer(StreamPassesMixin, AtomicCheckpointMixin, Trainer):
    """
    Cross-entropy over the codes of all scales, each token weighted alike (arXiv 2604.21052, supervised stage).

    What differs from `transformers.Trainer`, by seam:

    * `train`: checks the images, caches codes and small images, accepts `resume_from_checkpoint="auto"` (or `"last"`).
    * `compute_loss`: takes ids off the batch, holds frozen modules in evaluation mode, collects metrics per scale and
      stops at a loss that is not finite.
    * `log`, `evaluation_loop`: add `loss_scale_k` and `accuracy_scale_k`.
    * `prediction_step`: a batch without codes has a loss, too.
    * `evaluate`: uses the moving average of the weights, leaves the random numbers of training alone.
    * `get_decay_parameter_names`: no weight decay on embeddings, norms, biases and logit scales.
    * `create_scheduler`: the published drop of the learning rate.
    * `_remove_unused_columns`, `_set_signature_columns_if_needed`: keep what the collator reads; a target whose codes
      are cached is not decoded.
    * `floating_point_ops`: that of the transformer, counted once.
    * `_save`: the files of the model's own class, sharded or not.
    * [`AtomicCheckpointMixin`]: a checkpoint is complete or not there; what is published has a card of its own.
    * [`StreamPassesMixin`]: passes over a stream end on all processes at once, and a resumed run finds them again.

    The tokenizer is frozen: evaluation mode, no gradient, not in the optimizer. Drop path and alpha jitter draw from
    each process's own random numbers (all processes start from the same seed), so with either switched on, two
    processes do not repeat the run of one; with both off and BatchNorm frozen they do, up to rounding.

    Args:
        model (`str`, [`StyleVARForConditionalGeneration`] or `PeftModel`):
            The model to train, or its folder, Hub id or name in this package: these are loaded in float32 unless
            `model_init_kwargs` of the options say otherwise.
        args ([`StyleVARSFTConfig`]):
            The options.
        train_dataset (`datasets.Dataset`, `datasets.IterableDataset`, *optional*):
            Columns `content`, `style`, `target` (images) and, optionally, `content_id` and cached codes. A stream
            needs `max_steps`.
        eval_dataset (the same, or a `dict` of several, *optional*):
            Never augmented. No stream where there are several processes.
        processing_class ([`StyleVARImageProcessor`], *optional*):
            Saved with the model. Defaults to that of the folder or Hub id, else to one of the model's size.
        peft_config (`PeftConfig`, *optional*):
            Train adapters alone; see [`~stylevar_hf.training.common.lora.add_adapter`].
        callbacks, optimizers (*optional*):
            As in `Trainer`.

    Raises:
        ValueError: If a data set lacks a column, cached codes come from another tokenizer, or options exclude
            each other.

    Example:

    ```python
    >>> trainer = StyleVARSFTTrainer("stylevar-sft", train_dataset=triplets, peft_config=LoraConfig(r=16))
    >>> trainer.train()
    ```
    """

    def __init__(
        self,
        model: "str | os.PathLike | StyleVARForConditionalGeneration | PeftModel",
        args: StyleVARSFTConfig | None = None,
        train_dataset: datasets.Dataset | datasets.IterableDataset | None = None,
        eval_dataset: datasets.Dataset | dict[str, datasets.Dataset] | None = None,
        processing_class: StyleVARImageProcessor | None = None,
        peft_config: "PeftConfig | None" = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
    ):
        args = StyleVARSFTConfig() if args is None else args
        if not isinstance(args, StyleVARSFTConfig):
            hint = "It takes the options of `TrainingArguments`, with the defaults of StyleVAR."
            raise invalid("args", "a StyleVARSFTConfig", type(args).__name__, hint)
        present = getattr(train_dataset, "column_names", None) or ()
        num_rows = len(train_dataset) if train_dataset is not None and has_length(train_dataset) else None
        args = args.fit_to(num_rows, has_codes=any(column in present for column in CODE_COLUMNS))
        warn_of_short_epoch(train_dataset, args)
        model, processing_class = resolve_model(model, processing_class, args.model_init_kwargs)
        core = core_model(model)
        check_model(model, core, peft_config)
        check_batch_norm(core, args, has_adapter=peft_config is not None or core is not model)
        if processing_class is None:
            size = {"height": core.config.image_size, "width": core.config.image_size}
            processing_class = StyleVARImageProcessor(size=size)
        if peft_config is not None:
            model = add_adapter(model, peft_config, args.seed)
        check_publishing(args, model)
        _freeze(core, args)
        self._frozen_modules = _frozen_modules(core, args)
        self._num_compute_parameters = sum(p.numel() for p in core.model.parameters())
        self._train_meter, self._eval_meter = ScaleMeter(), ScaleMeter()
        self._loss_guard = FiniteLossGuard()
        self._eval_collator = StyleVARTripletCollator(processing_class)
        super().__init__(
            model=model,
            args=args,
            data_collator=StyleVARTripletCollator(processing_class, _augmentation(args), _anchors(args)),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        if self.is_deepspeed_enabled and self.accelerator.mixed_precision != "no":
            hint = "It rounds the codebook, too. Leave out `--bf16`; on GPUs `--tf32 true` is fast."
            raise invalid("mixed_precision", "no with DeepSpeed", self.accelerator.mixed_precision, hint)
        autocast_under_fsdp(self.accelerator)
        self._data_prepared = False
        for name, dataset in self._named_datasets():
            check_training_data(name, dataset, args)
        check_best_metric(eval_dataset, args)
        self._add_own_callbacks()
        self._check_tokens()

    # Data

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """
        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                As in `Trainer.train`; `"auto"` and `"last"` take the last checkpoint in `output_dir`, or none if there
                is none.

        Raises:
            ValueError: If there is nothing to train, or an image is broken.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            hint = "Load an adapter with `PeftModel.from_pretrained(base, adapter, is_trainable=True)`."
            raise invalid("model", "one with parameters that are trained", "all of them frozen", hint)
        resume_from_checkpoint = find_resumption(resume_from_checkpoint, self.args.output_dir)
        # A resumed run counts its batches: it must leave out the rows that the run before it left out.
        self.prepare_data(check=self.args.skip_broken or (self.args.check_data and not resume_from_checkpoint))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def prepare_data(self, check: bool = True) -> None:
        """
        Check the images of both data sets and cache their codes and small images, as the options say; the second call
        does nothing.

        Args:
            check (`bool`, *optional*, defaults to `True`):
                Whether to decode every image.

        Raises:
            ValueError: If an image is broken and `skip_broken` is not set, or the cache is another tokenizer's.
        """
        if self._data_prepared:
            return
        self.train_dataset = self._prepare_dataset(self.train_dataset, check)
        changes = self.args.augmentation or self.args.strength_anchor_rate > 0
        if changes and "index" not in (getattr(self.train_dataset, "column_names", None) or ()):
            self.train_dataset = with_index(self.train_dataset)
        if isinstance(self.eval_dataset, dict):
            self.eval_dataset = {name: self._prepare_dataset(data, check) for name, data in self.eval_dataset.items()}
        else:
            self.eval_dataset = self._prepare_dataset(self.eval_dataset, check)
        self._data_prepared = True

    def _prepare_dataset(self, dataset: Any, check: bool) -> Any:
        dataset = with_pictures(dataset)
        if not isinstance(dataset, datasets.Dataset):
            if dataset is not None and self.args.token_cache_dir is not None:
                logger.warning("Codes of a %s are not cached: it is no `datasets.Dataset`.", type(dataset).__name__)
            return dataset
        if check:
            dataset = self._check_images(dataset)
        if self.args.token_cache_dir is None:
            return dataset
        # First the codes: they are those of the original images.
        dataset = dataset if "labels" in dataset.column_names else self._cache_tokens(dataset)
        return self._cache_images(dataset) if self.args.cache_images else dataset

    def _check_images(self, dataset: datasets.Dataset) -> datasets.Dataset:
        # Each process looks for itself: all must come to the same rows.
        columns = ["content", "style", *([] if "labels" in dataset.column_names else ["target"])]
        progress = self.is_local_process_zero()
        return check_dataset(dataset, self.args.skip_broken, columns, progress=progress, require_target=True)

    def _cache_tokens(self, dataset: datasets.Dataset) -> datasets.Dataset:
        vq_model = self._unwrapped().vq_model
        place = vq_model.device  # the CPU until training starts, where a model is divided among processes
        vq_model.to(self.args.device)
        try:
            return cache_tokens(
                dataset,
                vq_model,
                self.processing_class,
                self.args.token_cache_dir,
                batch_size=self.args.token_cache_batch_size,
                **self._shared_work(),
            )
        finally:
            vq_model.to(place)

    def _cache_images(self, dataset: datasets.Dataset) -> datasets.Dataset:
        return cache_images(dataset, self.processing_class, self.args.token_cache_dir, **self._shared_work())

    def _shared_work(self) -> dict[str, Any]:
        """How threads and processes divide the making of a cache."""
        return {
            "num_workers": self.args.dataloader_num_workers,
            "process_index": self.args.process_index,
            "num_processes": self.args.world_size,
            "wait_for_everyone": self.accelerator.wait_for_everyone,
            "progress": self.is_local_process_zero(),
        }

    def _named_datasets(self) -> list[tuple[str, Any]]:
        """Every data set with the name of its argument."""
        evaluation = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"": self.eval_dataset}
        parts = [("train_dataset", self.train_dataset)]
        parts += [(f"eval_dataset {name}".strip(), dataset) for name, dataset in evaluation.items()]
        return [(name, dataset) for name, dataset in parts if dataset is not None]

    def _check_tokens(self) -> None:
        """Refuse codes of another tokenizer, and codes of images that are augmented."""
        for name, dataset in self._named_datasets():
            present = getattr(dataset, "column_names", None) or ()
            if not any(column in present for column in CODE_COLUMNS):
                continue
            check_cached_tokens(dataset, self._unwrapped().vq_model, self.processing_class, name)
            if name == "train_dataset" and self.args.augmentation:
                raise ValueError(
                    "`augmentation` must be False with cached codes, but got True. They are the codes of the images "
                    "as they are: remove the columns, or leave out the augmentation."
                )

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(_COLUMNS)

    def _remove_unused_columns(self, dataset: datasets.Dataset, description: str | None = None) -> datasets.Dataset:
        dataset = super()._remove_unused_columns(dataset, description)
        if "labels" in dataset.column_names and "target" in dataset.column_names:
            dataset = dataset.remove_columns("target")
        return dataset

    def get_eval_dataloader(self, eval_dataset: str | Dataset | None = None) -> DataLoader:
        training, self.data_collator = self.data_collator, self._eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = training

    # Optimisation

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        forbidden = [nn.LayerNorm, nn.GroupNorm, nn.Embedding, *BATCH_NORMS]
        return get_parameter_names(model, forbidden, [r"bias", r"logit_scale"])

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None):
        args = self.args
        if self.lr_scheduler is None and args.drops_learning_rate and args.learning_rate_drop_at < 1:
            rule = partial(
                _rate_with_drop,
                warmup_steps=args.get_warmup_steps(num_training_steps),
                drop_step=round(args.learning_rate_drop_at * num_training_steps),
                drop_factor=args.learning_rate_drop_factor,
            )
            self.lr_scheduler = LambdaLR(self.optimizer if optimizer is None else optimizer, rule)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ):
        content_ids = inputs.get("content_id", ())
        inputs = {name: inputs[name] for name in _INPUTS if name in inputs}
        if "labels" in inputs:
            inputs.pop("target_pixel_values", None)
        training = model.training
        if training:
            for module in self._frozen_modules:
                module.training = False
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        meter = self._train_meter if training else self._eval_meter
        meter.add(outputs.scale_losses, outputs.scale_accuracies, len(inputs["content_pixel_values"]))
        if training:
            self._loss_guard.add(self.state.global_step + 1, content_ids, loss)
        return (loss, outputs) if return_outputs else loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        tokens = len(inputs["content_pixel_values"]) * self._unwrapped().config.sequence_length
        return 6 * tokens * self._num_compute_parameters

    # Evaluation and logs

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        return loss.detach(), outputs.logits, outputs.labels

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        averaged = nullcontext() if self._ema is None else self._ema.applied(self.model)
        with untouched_randomness(), averaged:
            return super().evaluate(*args, **kwargs)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        self._eval_meter.reset()
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        scales = self._eval_meter.read(self.accelerator)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in scales.items()})
        return output

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self._loss_guard.check()
            logs.update(self._train_meter.read(self.accelerator))
        super().log(logs, start_time)

    # Callbacks and checkpoints

    def _add_own_callbacks(self) -> None:
        args = self.args
        use_log_lines(self)
        if args.num_sample_images > 0 and (self.eval_dataset is not None or has_length(self.train_dataset)):
            self.add_callback(SampleGridCallback(self, self._sample_rows, self._eval_collator, args.sample_seed))
        self._ema = None
        if args.ema_decay > 0:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise ValueError(
                    f"`ema_decay` must be 0 where a model is divided among processes, but got {args.ema_decay}. Use "
                    "DDP, or leave the average out."
                )
            self._ema = EMACallback(args.ema_decay)
            self.add_callback(self._ema)
        if args.early_stopping_patience > 0:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
        if args.max_seconds is not None:
            self.add_callback(TimeLimitCallback(args.max_seconds))
        with_epochs = [part for part in (self.data_collator, self.train_dataset) if hasattr(part, "set_epoch")]
        self.add_callback(EpochCallback(*with_epochs))

    def _sample_rows(self) -> list[dict[str, Any]]:
        rows = self.train_dataset if self.eval_dataset is None else self.eval_dataset
        if isinstance(rows, dict):
            rows = next(iter(rows.values()))
        return first_rows(rows, self.args.num_sample_images)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._loss_guard.check()
        super()._save_checkpoint(model, trial)

    def _save_more(self, output_dir: str) -> None:
        super()._save_more(output_dir)
        if self._ema is not None and self.args.should_save:
            self._ema.save(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        files = Path(resume_from_checkpoint).rglob(ADAPTER_CONFIG_NAME)
        kinds = {True: "an adapter", False: "all weights"}
        found, wanted = any(files), hasattr(self.accelerator.unwrap_model(self.model), "peft_config")
        if found != wanted:
            hint = "Train in the same way, or start from its weights instead."
            value = f"{resume_from_checkpoint} with {kinds[found]}"
            raise invalid("resume_from_checkpoint", f"a checkpoint of {kinds[wanted]}", value, hint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._ema is not None and checkpoint is not None:
            self._ema.load(checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # FSDP2 puts a generated class before the model's own, and its source files would be saved as the model's.
        model = self.model
        generated = type(model)
        if isinstance(model, FSDPModule):
            model.__class__ = generated.__bases__[1]
        try:
            super()._save(output_dir, state_dict)
        finally:
            model.__class__ = generated

    def _unwrapped(self) -> StyleVARForConditionalGeneration:
        return core_model(self.accelerator.unwrap_model(self.model))


def _freeze(model: StyleVARForConditionalGeneration, args: StyleVARSFTConfig) -> None:
    model.vq_model.requires_grad_(False).eval()
    if args.freeze_encoders:
        model.model.style_encoder.requires_grad_(False)
        model.model.content_encoder.requires_grad_(False)


def _frozen_modules(model: StyleVARForConditionalGeneration, args: StyleVARSFTConfig) -> list[nn.Module]:
    """What stays in evaluation mode while the model is trained."""
    encoders = [*model.model.style_encoder.modules(), *model.model.content_encoder.modules()]
    if args.freeze_encoders:
        held = encoders
    elif args.encoder_batch_norm == "frozen":
        held = [module for module in encoders if isinstance(module, BATCH_NORMS)]
    else:
        held = []
    return [*model.vq_model.modules(), *held]


def _anchors(args: StyleVARSFTConfig) -> StrengthAnchors | None:
    rate = args.strength_anchor_rate
    return StrengthAnchors(rate, seed=args.seed) if rate > 0 else None


def _augmentation(args: StyleVARSFTConfig) -> TripletAugmentation | None:
    if not args.augmentation:
        return None
    return TripletAugmentation(
        rotation_degrees=args.rotation_degrees,
        brightness=args.brightness,
        style_crop_scale=tuple(args.style_crop_scale),
        rotate_target=args.rotate_target,
        pair_crop_scale=tuple(args.pair_crop_scale),
        flip=args.flip,
        seed=args.seed,
    )


def _rate_with_drop(step: int, warmup_steps: int, drop_step: int, drop_factor: float) -> float:
    """Factor on the learning rate: linear warm-up, 1, and `drop_factor` from `drop_step` on."""
    if step < warmup_steps:
        return step / max(warmup_steps, 1)
    return drop_factor if step >= drop_step else 1.0


__all__ = ["StyleVARSFTTrainer"]
