# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Trainer of the multi-scale VQ-VAE."""

import itertools
import logging
import os
from contextlib import nullcontext
from typing import Any

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import TrainOutput

from ..._common.errors import invalid
from ...conversion.loading import find_checkpoint
from ...data.checking import check_dataset
from ...data.mixing import EpochCallback
from ...measures.psnr import peak_signal_to_noise_ratio
from ...measures.ssim import structural_similarity
from ...measures.vgg import FeatureSpreadDistance
from ...modeling_stylevar_vq import StyleVARVQModel
from ...pipeline_stylevar import find_image_processor
from ..common.checkpoint_files import save_picture
from ..common.checkpointing import AtomicCheckpointMixin, check_best_metric, find_resumption
from ..common.ema import EMACallback
from ..common.initialization import load_tokenizer
from ..common.log_lines import use_log_lines
from ..common.pictures import draw_grid, report_picture
from ..common.stream_passes import StreamPassesMixin
from ..common.time_limit import TimeLimitCallback
from .codebook import bypass_quantizer, count_codes, draw_poorly_coded, fill_codebook, replace_codes, step_generator
from .data import VQImageCollator, as_image_samples, find_image_columns
from .losses import (
    PatchDiscriminator,
    adaptive_weight,
    discriminator_hinge_loss,
    generator_hinge_loss,
    load_perceptual_loss,
)
from .metrics import codebook_statistics, reconstruct_scales
from .vq_config import StyleVARVQTrainerConfig


logger = logging.getLogger(__name__)

VQ_STATE_NAME = "vq_trainer_state.pt"


class StyleVARVQTrainer(StreamPassesMixin, AtomicCheckpointMixin, Trainer):
    """
    Trains a [`StyleVARVQModel`]. Overrides `train` (accepts `"auto"`), `compute_loss` (optional terms),
    `training_step` (codebook care before it, the discriminator's step after it), `prediction_step` (measures per
    image) and `_load_optimizer_and_scheduler` (the rest of the state). Checkpoints are complete or not there, and a
    resumed run finds its place in a stream. Runs on one process or under DDP.

    `loss = reconstruction + codebook + beta commitment + w_p perceptual + w_t texture + w_a lambda (-mean D(x_hat))`,
    see [`StyleVARVQModel`] for the first three (arXiv 2404.02905, eq. 5).

    Logs, beside those of `Trainer`: each term, `codebook_usage` and `codebook_perplexity` (also per scale, over the
    steps since the last log), `revived_codes`. Evaluation: `eval_psnr`, `eval_ssim`, the same per scale, usage and
    perplexity, and a picture `output_dir/samples/step_N.png`: above the originals, below what each scale adds.

    Args:
        model (`str` or [`StyleVARVQModel`]):
            The tokenizer, or the folder, Hub id or name in this package of one or of a StyleVAR model to take it from;
            see [`~stylevar_hf.training.load_tokenizer`].
        args ([`StyleVARVQTrainerConfig`], *optional*):
            The options.
        train_dataset (`datasets.Dataset`, `datasets.IterableDataset` or a sequence of rows, *optional*):
            Rows with one or more image columns.
        eval_dataset (the same, or a `dict` of them, *optional*):
            Validation rows.
        data_collator (*optional*):
            Samples to a batch. Defaults to a [`VQImageCollator`].
        **kwargs:
            What `Trainer` takes: `processing_class` (an image processor to save beside the model), `callbacks`,
            `optimizers`.

    Raises:
        ValueError: If the model is of another class, the images are not RGB, a dataset has no such columns, or
            an image cannot be decoded and `skip_broken` is not set.
        FileNotFoundError, ImportError: If `perceptual_weight` is above 0 and LPIPS cannot be loaded.
    """

    def __init__(
        self,
        model: str | os.PathLike | StyleVARVQModel,
        args: StyleVARVQTrainerConfig | None = None,
        train_dataset=None,
        eval_dataset=None,
        data_collator=None,
        **kwargs,
    ):
        args = StyleVARVQTrainerConfig() if args is None else args
        if not isinstance(args, StyleVARVQTrainerConfig):
            hint = "It takes the options of `TrainingArguments`, with the defaults of tokenizers."
            raise invalid("args", "a StyleVARVQTrainerConfig", type(args).__name__, hint)
        if isinstance(model, str | os.PathLike):
            place, model = find_checkpoint(os.fspath(model)), load_tokenizer(model)
            if kwargs.get("processing_class") is None:
                kwargs["processing_class"] = find_image_processor([(place, {})])
        if not isinstance(model, StyleVARVQModel):
            hint = "Of a whole StyleVAR model, pass its folder or `load_tokenizer(folder)`."
            raise invalid("model", "a StyleVARVQModel, or its folder or Hub id", type(model).__name__, hint)
        self.tokenizer_model = model
        self.perceptual_loss = None
        if args.perceptual_weight > 0:
            self.perceptual_loss = load_perceptual_loss(args.perceptual_network, args.perceptual_weights)
        self.texture_loss = None
        if args.texture_weight > 0:
            self.texture_loss = FeatureSpreadDistance(args.perceptual_weights, option="perceptual_weights")
        columns = args.image_columns
        if (args.check_data or args.skip_broken) and isinstance(train_dataset, datasets.Dataset):
            found = find_image_columns(train_dataset, columns)
            train_dataset = check_dataset(train_dataset, args.skip_broken, found, progress=args.process_index == 0)
        if train_dataset is not None:
            train_dataset = as_image_samples(train_dataset, columns, augment=True)
        if isinstance(eval_dataset, dict):
            eval_dataset = {name: as_image_samples(part, columns) for name, part in eval_dataset.items()}
        elif eval_dataset is not None:
            eval_dataset = as_image_samples(eval_dataset, columns)
        if data_collator is None:
            seed = args.seed if args.data_seed is None else args.data_seed
            data_collator = VQImageCollator(
                model.config.image_size,
                args.random_crop_scale,
                args.random_flip,
                seed=seed,
                random_crop_max_scale=args.random_crop_max_scale,
            )
        if args.freeze_codes:
            for part in (model.encoder, model.quant_conv, model.quantizer):
                part.requires_grad_(False)
        if args.channels_last:
            model = model.to(memory_format=torch.channels_last)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            data_collator=data_collator,
            compute_metrics=self._summarize,
            **kwargs,
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise ValueError(
                f"`distributed_type` must be NO or MULTI_CPU / MULTI_GPU (DDP), but got "
                f"{self.accelerator.distributed_type}. A tokenizer fits one device: launch without FSDP and DeepSpeed."
            )
        check_best_metric(eval_dataset, args)
        use_log_lines(self)
        self.ema = None
        if args.ema_decay > 0:
            self.ema = EMACallback(args.ema_decay)
            self.add_callback(self.ema)
        if args.max_seconds is not None:
            self.add_callback(TimeLimitCallback(args.max_seconds))
        if train_dataset is not None:
            self.add_callback(EpochCallback(train_dataset))
        if self.perceptual_loss is not None:
            self.perceptual_loss.to(args.device)
        if self.texture_loss is not None:
            self.texture_loss.to(args.device)

        self.discriminator = self.discriminator_optimizer = None
        self._adversarial_pair: tuple[torch.Tensor, torch.Tensor] | None = None
        size = (model.config.num_scales, model.config.codebook_size)
        self._logged_counts = torch.zeros(size, dtype=torch.long, device=args.device)
        self._revival_counts = torch.zeros(size[1], dtype=torch.long, device=args.device)
        self._sums: dict[str, torch.Tensor] = {}  # name -> (sum, count) since the last log
        self._cared_for_step = -1

    # ---- data and optimizers ----
    def get_eval_dataloader(self, eval_dataset=None):
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            eval_dataset = as_image_samples(eval_dataset, self.args.image_columns)
        return super().get_eval_dataloader(eval_dataset)

    def get_decay_parameter_names(self, model) -> list[str]:
        return [name for name in super().get_decay_parameter_names(model) if not name.endswith("codebook.weight")]

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        optimizer = super().create_optimizer(model)
        if self.args.adversarial_weight > 0 and self.discriminator is None:
            config = self.tokenizer_model.config
            discriminator = PatchDiscriminator(
                config.num_channels, self.args.discriminator_channels, config.image_size
            ).to(self.args.device)
            rate = self.args.discriminator_learning_rate
            rate = self.args.learning_rate if rate is None else rate
            self.discriminator, self.discriminator_optimizer = self.accelerator.prepare(
                discriminator, torch.optim.Adam(discriminator.parameters(), lr=rate, betas=(0.5, 0.9))
            )
        return optimizer

    # ---- training ----
    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """
        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                As in `Trainer.train`; `"auto"` and `"last"` take the last checkpoint in `output_dir`, or none if there
                is none.
        """
        resume_from_checkpoint = find_resumption(resume_from_checkpoint, self.args.output_dir)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        inputs = self._prepare_inputs(inputs)
        self._care_for_codebook(inputs["pixel_values"])
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._adversarial_pair is not None:
            self._train_discriminator(*self._adversarial_pair)
            self._adversarial_pair = None
        return loss

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        args, pixel_values = self.args, inputs["pixel_values"]
        if args.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        step, training = self.state.global_step, model.training
        warming_up = training and step < args.quantizer_warmup_steps
        with bypass_quantizer(self.tokenizer_model.quantizer) if warming_up else nullcontext():
            outputs = model(pixel_values=pixel_values)

        terms = {"reconstruction_loss": outputs.reconstruction_loss}
        if args.reconstruction_loss == "l1":
            terms["reconstruction_loss"] = F.l1_loss(outputs.reconstruction, pixel_values.float())
        terms["codebook_loss"], terms["commitment_loss"] = outputs.codebook_loss, outputs.commitment_loss
        weight = self.tokenizer_model.config.commitment_weight
        quantization_loss = terms["codebook_loss"] + weight * terms["commitment_loss"]
        pair = (outputs.reconstruction / 2 + 0.5, pixel_values.float() / 2 + 0.5)  # in [0, 1]
        pictures = terms["reconstruction_loss"]
        if self.texture_loss is not None:  # its networks are those of the perceptual loss: one look serves both
            with torch.no_grad():
                wanted = self.texture_loss.describe(pair[1])
            pair = (self.texture_loss.describe(pair[0]), wanted)
            terms["texture_loss"] = self.texture_loss.compare(*pair).mean()
            pictures = pictures + args.texture_weight * terms["texture_loss"]
        if self.perceptual_loss is not None:
            compare = self.perceptual_loss if self.texture_loss is None else self.perceptual_loss.compare
            terms["perceptual_loss"] = compare(*pair).mean()
            pictures = pictures + args.perceptual_weight * terms["perceptual_loss"]
        # Until the codebook is filled its vectors mean nothing; times 0, so that DDP finds a gradient for all of them.
        loss = pictures + (0.0 if warming_up else 1.0) * quantization_loss
        if training and self.discriminator is not None and step >= args.adversarial_start_step:
            terms["generator_loss"] = self._generator_loss(outputs.reconstruction)
            last_layer = self.tokenizer_model.decoder.conv_out.weight
            terms["adaptive_weight"] = adaptive_weight(pictures, terms["generator_loss"], last_layer)
            loss = loss + args.adversarial_weight * terms["adaptive_weight"] * terms["generator_loss"]
            self._adversarial_pair = (pixel_values, outputs.reconstruction.detach())
        if training:
            self._check_finite(loss, inputs)
            self._count(outputs.codes)
            for name, value in terms.items():
                self._record(name, value)
        return (loss, outputs) if return_outputs else loss

    def _check_finite(self, loss: torch.Tensor, inputs: dict) -> None:
        if torch.isfinite(loss):
            return
        indices = inputs["image_index"].tolist() if "image_index" in inputs else []
        images = ", ".join(self.train_dataset.describe(index) for index in indices)
        raise FloatingPointError(
            f"`loss` must be finite, but got {loss.item()} at step {self.state.global_step + 1} on the images "
            f"[{images}]. Resume from the last checkpoint with a lower `learning_rate` or `max_grad_norm`, or look "
            "at these images."
        )

    # ---- the discriminator ----
    def _generator_loss(self, reconstruction: torch.Tensor) -> torch.Tensor:
        # Unwrapped and frozen: these gradients are the decoder's, and DDP must not wait for them.
        discriminator = self.accelerator.unwrap_model(self.discriminator)
        discriminator.requires_grad_(False)
        loss = generator_hinge_loss(discriminator(reconstruction))
        discriminator.requires_grad_(True)
        return loss

    def _train_discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        self.discriminator.train()
        with self.compute_loss_context_manager():
            real_logits, fake_logits = self.discriminator(torch.cat([real.float(), fake])).chunk(2)
            loss = discriminator_hinge_loss(real_logits, fake_logits)
        self._record("discriminator_loss", loss)
        self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
        # Both wait for the last batch of an accumulation.
        self.discriminator_optimizer.step()
        self.discriminator_optimizer.zero_grad()

    # ---- the codebook ----
    def _count(self, codes: torch.LongTensor) -> None:
        counts = count_codes(self.tokenizer_model.quantizer, codes)
        self._logged_counts += counts
        self._revival_counts += counts.sum(dim=0)

    @torch.no_grad()
    def _care_for_codebook(self, pixel_values: torch.Tensor) -> None:
        """Before the first batch of a step: fill the codebook once, revive every `dead_code_revival_steps`."""
        step, every = self.state.global_step, self.args.dead_code_revival_steps
        start = self.args.quantizer_warmup_steps
        if self.args.freeze_codes or step == self._cared_for_step:
            return
        self._cared_for_step = step
        model, generator = self.tokenizer_model, step_generator(self.args.seed, step)
        if step == start and self.args.codebook_init_from_data and (start > 0 or not model.name_or_path):
            fill_codebook(model.quantizer, self._gather_latents(pixel_values), generator)
            model.quantizer.codebook.weight.copy_(broadcast(model.quantizer.codebook.weight.clone()))
            self._revival_counts.zero_()
            self._copy_codebook_to_average()
        elif step > start and every > 0 and step % every == 0:
            dead = (self.accelerator.reduce(self._revival_counts, "sum") == 0).nonzero().flatten()
            self._revival_counts.zero_()
            self._revive(dead, pixel_values, generator)

    def _copy_codebook_to_average(self) -> None:
        if self.ema is not None and self.ema.module is not None:
            self.ema.module.quantizer.codebook.weight.copy_(self.tokenizer_model.quantizer.codebook.weight)

    def _gather_latents(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Latents of the batches of all processes, so that one process with all of them would draw the same."""
        with self.accelerator.autocast():
            return self.accelerator.gather(self.tokenizer_model.get_latents(pixel_values))

    def _revive(self, dead: torch.LongTensor, pixel_values: torch.Tensor, generator: torch.Generator) -> None:
        codebook = self.tokenizer_model.quantizer.codebook
        if len(dead) > 0:
            latents = self._gather_latents(pixel_values)
            vectors = draw_poorly_coded(self.tokenizer_model.quantizer, latents, len(dead), generator)
            rows = dead[torch.randperm(len(dead), generator=generator)[: len(vectors)].to(dead.device)]
            chosen = torch.zeros_like(codebook.weight)
            chosen[rows] = vectors
            mask = torch.zeros(len(chosen), device=chosen.device)
            mask[rows] = 1
            rows = broadcast(mask).nonzero().flatten()  # the first process chooses for all
            vectors = broadcast(chosen)[rows]
            state = self.optimizer.state.get(codebook.weight)
            replace_codes(codebook, rows, vectors, state)
            if self.ema is not None and self.ema.module is not None:
                replace_codes(self.ema.module.quantizer.codebook, rows, vectors)
            dead = rows
        self._record("revived_codes", torch.tensor(float(len(dead)), device=self.args.device))

    # ---- logs ----
    def _record(self, name: str, value: torch.Tensor) -> None:
        value = value.detach().double()
        self._sums[name] = self._sums.get(name, 0) + torch.stack([value, torch.ones_like(value)])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            for name in sorted(self._sums):
                total, count = self.accelerator.reduce(self._sums[name], "sum").tolist()
                logs[name] = total / count
            logs.update(_codebook_logs(self.accelerator.reduce(self._logged_counts, "sum")))
            self._sums = {}
            self._logged_counts.zero_()
        super().log(logs, start_time)

    # ---- evaluation ----
    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        with nullcontext() if self.ema is None else self.ema.applied(self.model):
            if not isinstance(dataset, dict) and self.args.num_sample_images > 0 and self.is_world_process_zero():
                self._draw_samples(dataset, metric_key_prefix.removeprefix("eval"))
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    @torch.no_grad()
    def _draw_samples(self, dataset, suffix: str) -> None:
        dataset = self.eval_dataset[dataset] if isinstance(dataset, str) else dataset
        dataset = as_image_samples(dataset, self.args.image_columns)
        count = self.args.num_sample_images
        if isinstance(dataset, torch.utils.data.IterableDataset):
            samples = list(itertools.islice(dataset, count))
        else:
            indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round()
            samples = [dataset[int(index)] for index in indices]
        pixel_values = self.data_collator(samples)["pixel_values"].to(self.args.device)
        with self.accelerator.autocast():
            scales, _ = reconstruct_scales(self.tokenizer_model.eval(), pixel_values)
        path = os.path.join(self.args.output_dir, "samples", f"step_{self.state.global_step}{suffix}.png")
        picture = draw_grid([pixel_values, *scales])
        save_picture(path, picture)
        report_picture(self, f"samples{suffix}", picture, "above the originals, below what each scale adds")

    @torch.no_grad()
    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        inputs = self._prepare_inputs(inputs)
        pixel_values = inputs["pixel_values"]
        with self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        images = [outputs.reconstruction.clamp(-1, 1)]
        if self.args.metrics_per_scale:
            with self.accelerator.autocast():
                latents = self.tokenizer_model.quantizer.accumulate(outputs.codes)[:-1]
                images = [self.tokenizer_model.decode_latents(part) for part in latents] + images
        with torch.autocast(pixel_values.device.type, enabled=False):
            wanted, *found = (pixels.float() / 2 + 0.5 for pixels in (pixel_values, *images))  # in [0, 1]
            psnr = torch.stack([peak_signal_to_noise_ratio(image, wanted) for image in found], dim=1)
            ssim = torch.stack([structural_similarity(image, wanted) for image in found], dim=1)
        measures = [psnr, ssim]
        if self.perceptual_loss is not None:
            measures.append(self.perceptual_loss(found[-1], wanted).view(-1, 1))
        return loss.detach(), tuple(measures), outputs.codes

    def _summarize(self, prediction: EvalPrediction) -> dict[str, float]:
        """Measures per image, each `(N, K)` or `(N, 1)`, and codes, `(N, L)`, to means."""
        metrics = {}
        names = ("psnr", "ssim", "perceptual") if self.perceptual_loss is not None else ("psnr", "ssim")
        for name, values in zip(names, prediction.predictions, strict=True):
            means = np.asarray(values, dtype=np.float64).mean(axis=0)
            metrics[name] = float(means[-1])
            if self.args.metrics_per_scale and name != "perceptual":
                metrics.update({f"{name}_scale_{index}": float(mean) for index, mean in enumerate(means)})
        codes = torch.as_tensor(np.asarray(prediction.label_ids))
        metrics.update(_codebook_logs(count_codes(self.tokenizer_model.quantizer, codes)))
        return metrics

    # ---- checkpoints ----
    def _save_more(self, output_dir: str) -> None:
        super()._save_more(output_dir)
        if self.args.save_only_model:
            return
        names = sorted(self._sums)
        totals = [self._logged_counts, self._revival_counts, *(self._sums[name] for name in names)]
        logged, revival, *sums = [self.accelerator.reduce(total, "sum") for total in totals]
        sums = dict(zip(names, sums, strict=True))
        state = {"logged_counts": logged, "revival_counts": revival, "sums": sums}
        self._set_counts(state)
        if not self.args.should_save:
            return
        if self.discriminator is not None:
            state["discriminator"] = self.accelerator.unwrap_model(self.discriminator).state_dict()
            state["discriminator_optimizer"] = self.discriminator_optimizer.state_dict()
        torch.save(state, os.path.join(output_dir, VQ_STATE_NAME))
        if self.ema is not None:
            self.ema.save(output_dir)

    def _set_counts(self, state: dict) -> None:
        """What was summed over the processes belongs to the first of them; the others start again from 0."""
        share = int(self.accelerator.is_main_process)
        device = self.args.device
        self._logged_counts = state["logged_counts"].to(device).clone() * share
        self._revival_counts = state["revival_counts"].to(device).clone() * share
        self._sums = {name: total.to(device).clone() * share for name, total in state["sums"].items()}

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = os.path.join(checkpoint, VQ_STATE_NAME)
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"`resume_from_checkpoint` must hold {VQ_STATE_NAME}, but got {checkpoint!r}. It was not written by "
                "this trainer, or with `save_only_model=True`: start from its weights instead."
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._set_counts(state)
        if self.discriminator is not None:
            if "discriminator" not in state:
                logger.warning("%s holds no discriminator: it starts anew.", checkpoint)
            else:
                self.accelerator.unwrap_model(self.discriminator).load_state_dict(state["discriminator"])
                self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        if self.ema is not None:
            self.ema.load(checkpoint)


def _codebook_logs(counts: torch.LongTensor) -> dict[str, float]:
    """Usage and perplexity of counts `(K, V)`, of the whole codebook and per scale."""
    logs = {}
    usage, perplexity = codebook_statistics(counts.sum(dim=0))
    logs["codebook_usage"], logs["codebook_perplexity"] = usage.item(), perplexity.item()
    per_scale = zip(*(values.tolist() for values in codebook_statistics(counts)), strict=True)
    for index, (usage, perplexity) in enumerate(per_scale):
        logs[f"codebook_usage_scale_{index}"] = usage
        logs[f"codebook_perplexity_scale_{index}"] = perplexity
    return logs


__all__ = ["VQ_STATE_NAME", "StyleVARVQTrainer"]
