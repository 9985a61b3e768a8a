# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Group relative policy optimisation (GRPO) of StyleVAR: multi-scale rollouts, rewards on images, PANW."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import datasets
import torch
from accelerate.utils import gather
from torch import nn
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer_utils import TrainOutput
from transformers.utils import logging
from trl import GRPOTrainer
from trl.extras.profiling import profiling_context
from trl.models import unwrap_model_for_generation

from ..._common.errors import invalid
from ...data.collator import StyleVARTripletCollator
from ...data.pictures import with_pictures
from ...image_processing_stylevar import StyleVARImageProcessor
from ...modeling_stylevar import StyleVARForConditionalGeneration
from ..common.checkpointing import find_resumption
from ..common.initialization import check_model, resolve_model
from ..common.lora import add_adapter, core_model
from ..common.model_card import check_publishing
from ..common.stream_passes import StreamPassesMixin
from .advantages import combine_rewards, compute_advantages
from .callbacks import DistinctRows, OrderByEpoch
from .checkpoints import GRPOCheckpointMixin
from .checks import (
    check_held_out,
    check_prompts,
    check_reward_weights,
    load_mask,
    load_rewards,
    prepare_for_streams,
    try_reward,
)
from .grpo_config import StyleVARGRPOConfig
from .logs import GRPOLogsMixin
from .metrics import UpdateSums
from .middle_return import UpdateSchedule, middle_value, scale_gate
from .policy_loss import clipped_surrogate, k3_kl, weighted_token_mean
from .preparation import GRPOPreparationMixin, check_policy, evaluation_modules, freeze
from .reward_calls import RewardFunction, call_rewards
from .rollouts import (
    StyleVARPrompt,
    StyleVARRollouts,
    draw_rollouts,
    encode_prompts,
    reward_inputs,
    rollout_generators,
)
from .scoring import GRPOScoringMixin


if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

logger = logging.get_logger(__name__)

# Streams of random numbers: evaluation never repeats training, a continuation never its first.
_TRAIN, _EVAL = 0, 1


class StyleVARGRPOTrainer(
    GRPOPreparationMixin, GRPOScoringMixin, GRPOLogsMixin, StreamPassesMixin, GRPOCheckpointMixin, GRPOTrainer
):
    r"""
    GRPO (arXiv 2402.03300) for StyleVAR, the reinforcement stage of arXiv 2604.21052.

    Each prompt, a content and a style, gets `G` rollouts. The loss of a rollout with advantage `A` is

    `sum_l w_l [-min(r_l A, clip(r_l, 1 - eps, 1 + eps) A) + beta KL_l]`

    over its tokens `l`, where `r_l` is the probability ratio to the policy that drew the token, `KL_l` the k3 estimate
    to the reference policy and `w_l` the weight of the token's scale (PANW, arXiv 2601.02256).

    Samplers, buffering, logging and checkpoints are TRL's. What differs, by seam:

    * `_prepare_inputs`: the rows of a generation are shuffled in an order that depends on seed and step alone.
    * `_generate_and_score_completions`: draws all rollouts of several prompts in batches, each from its own generator;
      decodes them; rewards; advantages.
    * `_compute_loss`: the loss above, from log-probabilities whose logits never exist for all tokens at once. Those of
      the old and of the reference policy are taken on the same rows, so that at the first update the ratio is exactly
      1, and the KL 0 but for rounding.
    * Rewards are called here: `None` of one of several rewards says nothing, as in TRL; a NaN leaves the rollout out.
      Asynchronous rewards run together, and beside the others.
    * `train`: tries each reward before the first rollout, and raises if too many updates failed.
    * `evaluate`, `log`: metrics keep the prefix of their evaluation set.
    * `_get_dataloader`, `_get_train_sampler`: decode each row once, not once per rollout, in an order that survives a
      resumption.
    * [`StreamPassesMixin`]: a resumed run over a stream finds its pass again.
    * Everything runs in evaluation mode, as published: no drop path, no dropout in adapters, no alpha jitter,
      BatchNorm as it is.

    One process or several draw the same rollouts. With FSDP2 each process keeps a whole copy of the policy for them
    ([`~stylevar_hf.training.grpo.whole_policy.WholePolicy`]). DeepSpeed is refused.

    Args:
        model (`str`, [`StyleVARForConditionalGeneration`] or `PeftModel`):
            The policy, or its folder, Hub id or name in this package: these are loaded in float32 unless
            `model_init_kwargs` of the options say otherwise.
        reward_funcs (`str`, `Callable` or a list of them):
            Rewards in TRL's form; names and `module:function` go to [`~stylevar_hf.rewards.get_reward`]. They are
            called with lists of one entry per rollout: `images`, `content_images`, `style_images`, `target_images`
            (tensors `(3, H, W)` in [0, 1]; the last one if the data has targets), `completion_ids` (codes), and every
            column of the data set; `prompts` and `completions` are the rows and the images.
        args ([`StyleVARGRPOConfig`], *optional*):
            The options.
        train_dataset, eval_dataset (`datasets.Dataset` or `datasets.IterableDataset`):
            Columns `content`, `style` and, if a reward asks for it, `target`.
        processing_class ([`StyleVARImageProcessor`], *optional*):
            Saved with the model. Defaults to that of the folder or Hub id, else to one of the model's size.
        callbacks, optimizers (*optional*):
            As in `Trainer`.
        peft_config (`PeftConfig`, *optional*):
            Train an adapter; see [`~stylevar_hf.training.common.lora.add_adapter`]. Published: rank 256, alpha 512.
        held_out_reward_funcs (`str`, `Callable` or a list of them, *optional*):
            Rewards that are only watched, at each evaluation. If one of them falls while the trained reward rises,
            training stops, and the model is that of the best evaluation; see
            [`~stylevar_hf.training.grpo.held_out.HeldOutAlarm`].

    Raises:
        ValueError: If an argument does not fit; nothing was computed then.

    Example:

    ```python
    >>> trainer = StyleVARGRPOTrainer(
    ...     "stylevar-sft", DreamSimReward(), train_dataset=triplets, peft_config=LoraConfig(r=256, lora_alpha=512)
    ... )
    >>> trainer.train()
    ```
    """

    _tag_names = ["stylevar", "grpo", "trl"]
    _name = "GRPO"
    loss_is_scaled_for_ga = False  # read by transformers since 5.24

    def __init__(
        self,
        model: "str | os.PathLike | StyleVARForConditionalGeneration | PeftModel",
        reward_funcs: str | RewardFunction | Sequence[str | RewardFunction],
        args: StyleVARGRPOConfig | None = None,
        train_dataset: datasets.Dataset | datasets.IterableDataset | None = None,
        eval_dataset: datasets.Dataset | datasets.IterableDataset | dict | None = None,
        processing_class: StyleVARImageProcessor | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
        peft_config: "PeftConfig | None" = None,
        held_out_reward_funcs: str | RewardFunction | Sequence[str | RewardFunction] | None = None,
    ):
        args = StyleVARGRPOConfig() if args is None else args
        # 1. The arguments, before anything is loaded
        if not isinstance(args, StyleVARGRPOConfig):
            hint = "It takes the options of `trl.GRPOConfig`, with the defaults of StyleVAR."
            raise invalid("args", "a StyleVARGRPOConfig", type(args).__name__, hint)
        if isinstance(train_dataset, datasets.Dataset):
            args = args.fit_to(len(train_dataset))
        self.reward_funcs, self.reward_func_names = load_rewards(reward_funcs)
        self.reward_weights = check_reward_weights(args, self.reward_func_names)
        self._held_out_funcs, self._held_out_names = load_rewards(held_out_reward_funcs, may_be_none=True)
        check_held_out(self._held_out_names, eval_dataset, args)
        self._mask = load_mask(args.mask_column)
        evaluation = eval_dataset if isinstance(eval_dataset, Mapping) else {"": eval_dataset}
        for name, dataset in {"train_dataset": train_dataset, **evaluation}.items():
            name = name if name == "train_dataset" else f"eval_dataset {name}".strip()
            check_prompts(name, dataset, [*self.reward_funcs, *self._held_out_funcs], args)
        if train_dataset is None:
            raise invalid("train_dataset", "a data set with content and style", None, "Load one with `load_triplets`.")
        prepare_for_streams(args, [train_dataset, *evaluation.values()])

        # 2. The policy
        model, processing_class = resolve_model(model, processing_class, args.model_init_kwargs)
        core = core_model(model)
        check_model(model, core, peft_config)
        if peft_config is not None:
            model = add_adapter(model, peft_config, args.seed)
        check_policy(model, core)
        check_publishing(args, model)
        if args.vmr_scale is not None and not 1 <= args.vmr_scale < core.config.num_scales:
            rule = f"from 1 to {core.config.num_scales - 1}, an index of the model's {core.config.num_scales} scales"
            raise invalid("vmr_scale", rule, args.vmr_scale, "A scale of about 4x4 to 8x8 tokens is a good start.")
        freeze(core)
        model.eval()
        if processing_class is None:
            size = {"height": core.config.image_size, "width": core.config.image_size}
            processing_class = StyleVARImageProcessor(size=size)
        self._collator = StyleVARTripletCollator(processing_class)

        # 3. What the methods inherited from TRL read
        self._set_trl_attributes(args, core)

        # 4. The trainer itself, without TRL's own constructor, which is about text
        super(GRPOTrainer, self).__init__(
            model=model,
            args=args,
            data_collator=_identity,
            train_dataset=with_pictures(train_dataset),
            eval_dataset=with_pictures(eval_dataset),
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self.model_accepts_loss_kwargs = False
        self._whole = self._copy_if_divided(model)
        checkpointing = getattr(args, "activation_checkpointing", None) or args.gradient_checkpointing
        self._evaluation_modules = evaluation_modules(model, bool(checkpointing))
        self._make_reference(model)
        self._set_up_scoring(core)
        self._add_own_callbacks()

    # Training

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """
        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                As in `Trainer.train`; `"auto"` and `"last"` take the last checkpoint in `output_dir`, or none if there
                is none. Exact where a generation begins; within one, its rollouts are drawn again.

        Raises:
            ValueError: If a reward does not work on the first row.
            RuntimeError: If `max_failed_updates` updates in a row had no usable rollout; a checkpoint was saved.
        """
        resume_from_checkpoint = find_resumption(resume_from_checkpoint, self.args.output_dir)
        self._try_rewards()
        with self._adapters_as_autocast_likes():
            output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        if self.held_out is not None and self.held_out.alarm.due:
            self._load_best_model()
        if self._failures.failed:
            raise RuntimeError(
                f"Training stopped at step {self.state.global_step}: {self._failures.num_failed} updates in a row had "
                "no rollout with a finite reward and a KL of at most `kl_limit`, or no finite gradient. The last "
                f"checkpoint is in {self.args.output_dir}. Look at the rewards in its `rollouts`, lower the learning "
                "rate, or raise `max_failed_updates`."
            )
        return output

    @contextlib.contextmanager
    def _adapters_as_autocast_likes(self) -> Iterator[None]:
        """
        PEFT casts what enters an adapter to the dtype of its weights, only for autocast to cast it back. That changes
        nothing, but takes time and memory.
        """
        half = self.accelerator.mixed_precision in ("bf16", "fp16")
        if not (half and hasattr(self._policy(), "peft_config") and self._unwrapped().dtype == torch.float32):
            yield
            return
        from peft.helpers import disable_input_dtype_casting

        with disable_input_dtype_casting(self._policy()):
            yield

    def _try_rewards(self) -> None:
        """Call every reward once on a group of the first row, with content and style mixed in place of rollouts."""
        row = next(iter(self.train_dataset))
        prompt = self._encode_prompts([row])[0]
        mixed = (prompt.content_pixel_values + prompt.style_pixel_values) / 4 + 0.5
        images = mixed.unsqueeze(0).repeat(self.num_generations, 1, 1, 1)
        codes = prompt.content.codes.repeat(self.num_generations, 1)
        inputs = reward_inputs([prompt] * self.num_generations, codes, images)
        for function, name in zip(self.reward_funcs, self.reward_func_names, strict=True):
            several = len(self.reward_funcs) > 1
            try_reward(function, name, inputs, self.state, self.accelerator.device, self._background, several)
        for function, name in zip(self._held_out_funcs, self._held_out_names, strict=True):
            try_reward(function, name, inputs, self.state, self.accelerator.device, self._background, True)

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> DataLoader:
        if isinstance(dataset, datasets.Dataset):
            dataset = DistinctRows(dataset)
        return super()._get_dataloader(dataset, *args, **kwargs)

    def _get_train_sampler(self, dataset: Any = None) -> OrderByEpoch:
        sampler = OrderByEpoch(super()._get_train_sampler(dataset))
        self._epochs.targets = (sampler,)  # accelerate does not find it below what skips batches after a resumption
        return sampler

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        batch = self.args.eval_batch_size * self.args.world_size
        if batch % self.num_generations_eval != 0:
            rule = f"such that all processes together hold whole prompts ({self.num_generations_eval} rollouts each)"
            hint = "Change it, or `num_generations_eval`."
            raise invalid("per_device_eval_batch_size", rule, self.args.per_device_eval_batch_size, hint)
        self._eval_window = 0  # the same rollouts at every evaluation
        self._metric_key_prefix = metric_key_prefix
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    # One pass: rollouts, rewards, advantages, loss

    def _prepare_inputs(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:
            return self._generate_and_score_completions(rows)
        passes = self.args.steps_per_generation
        if self._step % (passes * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(rows)
            # In an order that depends on seed and step alone, also after a resumption.
            generator = torch.Generator().manual_seed(self.args.seed + self._step)
            order = torch.randperm(len(rows), generator=generator)
            size = len(rows) // passes
            parts = (order[start : start + size] for start in range(0, size * passes, size))
            self._buffered_inputs = [_take(batch, part.tolist()) for part in parts]
        return self._buffered_inputs[self._step % passes]

    def _generate_and_score_completions(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        training = self.model.training
        num_generations = self.num_generations if training else self.num_generations_eval
        window = self._next_window(training)
        kind = self._middle_return_kind(window) if training else None
        self._enter_evaluation_mode()
        self._renew_whole()

        # 1. Rollouts; which prompt a row belongs to follows from its place among the rows of all processes
        first = self.accelerator.process_index * len(rows)
        prompts = self._prompts_of(rows, first, num_generations)
        drawn = self._draw(prompts, window, [first + index for index in range(len(rows))], training, kind)

        # 2. Rewards, of all processes
        rewards, parts = self._score_images(prompts, drawn, training)
        returns = rewards if kind != "prefix" else middle_value(rewards.view(-1, len(drawn)), self.args.vmr_eta)

        # 3. Advantages, over the groups of all processes
        scored = compute_advantages(
            returns,
            num_generations,
            scale=self.args.scale_rewards,
            std_floor=self.args.advantage_std_floor,
            clip=self.args.advantage_clip,
        )
        self._remember(prompts, drawn, rewards, parts)
        self._log_rewards("train" if training else "eval", parts, rewards, scored)

        # 4. What the loss needs of the rows of this process
        local = slice(first, first + len(rows))
        batch = {
            "codes": drawn[0].codes,
            "weights": self._token_weights(prompts, kind),
            "advantages": scored.advantages[local],
            "usable": scored.valid[local],
            "prompts": prompts,
        }
        if training and self.args.gradient_accumulation_steps % self.args.steps_per_generation != 0:
            # The policy moves before the last rows are used, so its scores must be taken now.
            batch["old_log_probs"] = self._score_in_parts(batch)
        return batch

    def _next_window(self, training: bool) -> int:
        """The number of this generation, from 0; evaluation counts its own."""
        if training:
            return self._step // (self.args.steps_per_generation * self.num_iterations)
        self._eval_window += 1
        return self._eval_window - 1

    def _prompts_of(self, rows: list[dict[str, Any]], first: int, num_generations: int) -> list[StyleVARPrompt]:
        """The prompt of each row, encoded once for the rows that share it; `first` is the place of the first row."""
        groups = [(first + index) // num_generations for index in range(len(rows))]
        distinct = self._encode_prompts([rows[groups.index(group)] for group in dict.fromkeys(groups)])
        return [distinct[group - groups[0]] for group in groups]

    def _score_images(
        self, prompts: list[StyleVARPrompt], drawn: list[StyleVARRollouts], training: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The weighted sums `(N,)` and the single rewards `(N, F)` of all processes; with VMR of all continuations of a
        rollout, next to each other. Held-out rewards are watched where nothing is trained.
        """
        inputs = [
            entry
            for parts in zip(*(reward_inputs(prompts, r.codes, r.images) for r in drawn), strict=True)
            for entry in parts
        ]
        parts, silent = self._call_rewards(self.reward_funcs, self.reward_func_names, inputs)
        rewards = combine_rewards(parts, silent, self.reward_weights.to(parts.device))
        if self.held_out is not None and not training:
            self._watch_held_out(inputs, rewards)
        return rewards, parts

    def _token_weights(self, prompts: list[StyleVARPrompt], kind: str | None) -> torch.Tensor:
        """What the tokens of each row weigh, `(N, L)`: by scale, by the part that VMR trains, by the mask."""
        device = prompts[0].content.codes.device
        weights = self._weights.to(device).expand(len(prompts), -1)
        if kind is not None:
            weights = weights * scale_gate(self._config.patch_nums, self.args.vmr_scale, kind).to(device)
        if self._mask is not None:
            weights = weights * torch.stack([prompt.gate for prompt in prompts])
        return weights

    def _encode_prompts(self, rows: Sequence[Mapping[str, Any]]) -> list[StyleVARPrompt]:
        with self.accelerator.autocast():
            return encode_prompts(self._unwrapped(), self._collator, rows, self._mask, self.args.mask_threshold)

    def _draw(
        self, prompts: list[StyleVARPrompt], window: int, rows: list[int], training: bool, kind: str | None
    ) -> list[StyleVARRollouts]:
        """Rollouts of all rows; when a prefix is trained, one more for each further continuation of it."""
        sampling = {**self._sampling, "batch_size": self.args.rollout_batch_size}
        base = _TRAIN if training else _EVAL
        with (
            torch.no_grad(),
            unwrap_model_for_generation(self._policy(), self.accelerator) as model,
            self.accelerator.autocast(),
        ):
            core = core_model(model)
            drawn = [draw_rollouts(core, prompts, rollout_generators(self.args.seed, window, rows, base), **sampling)]
            if kind == "prefix":
                length = self._config.vq_config.scale_boundaries[self.args.vmr_scale][0]
                prefix = drawn[0].codes[:, :length]
                for continuation in range(1, self.args.vmr_continuations):
                    generators = rollout_generators(self.args.seed, window, rows, base + 2 * continuation)
                    drawn.append(draw_rollouts(core, prompts, generators, prefix_codes=prefix, **sampling))
        self._enter_evaluation_mode()  # unwrapping may have switched modes
        return drawn

    def _call_rewards(
        self, functions: Sequence[RewardFunction], names: Sequence[str], inputs: Sequence[dict[str, Any]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What rewards give the rollouts of all processes, `(N, F)`, and where that is `None`."""
        columns = {name: [entry[name] for entry in inputs] for name in inputs[0]}
        columns |= {"completions": columns["images"], "trainer_state": self.state}
        columns |= {"log_extra": self._log_completion_extra, "log_metric": self._log_metric}
        timed = functools.partial(profiling_context, self)
        called = call_rewards(functions, names, columns, self._background, timed)
        parts, silent = gather(called.to(self.accelerator.device)).unbind(dim=2)
        return parts, silent.bool()

    def _watch_held_out(self, inputs: Sequence[dict[str, Any]], rewards: torch.Tensor) -> None:
        values, _ = self._call_rewards(self._held_out_funcs, self._held_out_names, inputs)
        self.held_out.add(rewards, values, self.num_generations_eval)
        for name, column in zip(self._held_out_names, values.T, strict=True):
            self._metrics["eval"][f"held_out/{name}/mean"].append(column[column.isfinite()].mean().item())

    def _middle_return_kind(self, window: int) -> str | None:
        """Which part of the tokens VMR trains on the rollouts of this window; `None` without VMR."""
        if self.args.vmr_scale is None:
            return None
        return UpdateSchedule(self.args.vmr_prefix_updates).kind(window)

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        training = self.model.training
        self._enter_evaluation_mode()
        log_probs, entropies = self._score(model, inputs)
        if inputs.get("old_log_probs") is None:
            inputs["old_log_probs"] = log_probs.detach()  # the rows are used again if `num_iterations > 1`
        old_log_probs = inputs["old_log_probs"].nan_to_num()

        # 1. Which rollouts count
        with torch.no_grad():
            reference = log_probs.detach() if self.reference is None else self._reference_log_probs(inputs)
            divergence = k3_kl(log_probs.detach(), reference).mean(dim=1)
            finite = divergence.isfinite() & inputs["old_log_probs"].isfinite().all(dim=1)
            near = divergence <= self.args.kl_limit if self.args.kl_limit > 0 else finite
            keep = inputs["usable"] & finite & near
        # A rollout that is left out must not spoil the gradient: its scores become constants.
        log_probs = torch.where(keep.unsqueeze(1), log_probs, old_log_probs)
        reference = reference.nan_to_num()

        # 2. The loss of each token, weighted by scale
        clipping = (self.epsilon_low, self.epsilon_high, self.args.delta)
        surrogate = clipped_surrogate(log_probs, old_log_probs, inputs["advantages"], *clipping)
        per_token = surrogate.loss
        if self.beta > 0:
            per_token_kl = k3_kl(log_probs, reference)
            if self.args.use_bias_correction_kl:
                per_token_kl = per_token_kl * (log_probs - old_log_probs).exp()
            per_token = per_token + self.beta * per_token_kl
        if self.args.entropy_coef:
            per_token = per_token - self.args.entropy_coef * entropies
        loss = weighted_token_mean(per_token, inputs["weights"], keep)

        sums = UpdateSums.of(
            kl=k3_kl(log_probs.detach(), reference),
            entropies=entropies.detach(),
            low=(surrogate.ratio < 1 - self.epsilon_low) & (inputs["advantages"].unsqueeze(1) < 0),
            high=(surrogate.ratio > 1 + self.epsilon_high) & (inputs["advantages"].unsqueeze(1) > 0),
            keep=keep,
            far=finite & ~near,
            divergence=divergence,
            usable=inputs["usable"],
            scale_boundaries=self._config.vq_config.scale_boundaries,
        )
        self._log_update(training, sums)
        return loss  # `Trainer` divides it by the passes of an update

    # Modes

    def _enter_evaluation_mode(self) -> None:
        """Everything below the outermost module, whose mode tells training from evaluation."""
        for module in self._evaluation_modules:
            module.training = False
        if self._whole is not None:
            self._whole.model.eval()


def _take(batch: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """These rows of a batch of tensors and lists."""
    return {
        name: values[rows] if isinstance(values, torch.Tensor) else [values[row] for row in rows]
        for name, values in batch.items()
    }


def _identity(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows


__all__ = ["StyleVARGRPOTrainer"]
