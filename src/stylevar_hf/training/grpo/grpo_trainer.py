# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Group relative policy optimisation (GRPO) of StyleVAR: multi-scale rollouts, rewards on images, PANW."""

import contextlib
import functools
import math
import os
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import datasets
import torch
from accelerate.utils import gather, gather_object
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
from ...data.mixing import EpochCallback
from ...data.pictures import with_pictures
from ...generation_stylevar import StyleVARScoring
from ...image_processing_stylevar import StyleVARImageProcessor
from ...modeling_stylevar import StyleVARForConditionalGeneration, StyleVARLayer
from ..common.checkpoint_files import load_json, save_json
from ..common.checkpointing import AtomicCheckpointMixin, find_resumption
from ..common.distribution import autocast_under_fsdp
from ..common.initialization import check_model, resolve_model
from ..common.log_lines import use_log_lines
from ..common.lora import add_adapter, core_model
from ..common.model_card import check_publishing
from ..common.stream_passes import StreamPassesMixin
from .advantages import combine_rewards, compute_advantages
from .callbacks import DistinctRows, FailureCallback, OrderByEpoch, ProgressNumbersCallback, RolloutGridCallback
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
from .held_out import HeldOutCallback
from .iterative_reference import IterativeReferenceCallback
from .metrics import UpdateSums
from .middle_return import UpdateSchedule, middle_value, scale_gate
from .panw import token_weights
from .policy_loss import clipped_surrogate, k3_kl, weighted_token_mean
from .reference_policy import ReferencePolicy
from .reward_calls import BackgroundLoop, RewardFunction, call_rewards
from .rollouts import (
    StyleVARPrompt,
    StyleVARRollouts,
    draw_rollouts,
    encode_prompts,
    group_rows,
    join_references,
    reward_inputs,
    rollout_generators,
)
from .whole_policy import WholePolicy


if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

logger = logging.get_logger(__name__)

_STATE_NAME = "grpo_state.json"
# Streams of random numbers: evaluation never repeats training, a continuation never its first.
_TRAIN, _EVAL = 0, 1


class StyleVARGRPOTrainer(StreamPassesMixin, AtomicCheckpointMixin, GRPOTrainer):
    r"""
    GRPO (arXiv 2402.03300) for StyleVAR, the reinforcement stage of arXiv 2604.21052.

    Each prompt, a content and a style, gets `G` rollouts. The loss of a rollout with advantage `A` is

    `sum_l w_l [-min(r_l A, clip(r_l, 1 - eps, 1 + eps) A) + beta KL_l]`

    over its tokens `l`, where `r_l` is the probability ratio to the policy that drew the token, `KL_l` the k3 estimate
    to the reference policy and `w_l` the weight of the token's scale (PANW, arXiv 2601.02256).

    Samplers, buffering, logging and checkpoints are TRL's. What differs, by seam:

    * `_generate_and_score_completions`: draws all rollouts of several prompts in batches, each from its own generator;
      decodes them; rewards; advantages.
    * `_compute_loss`: the loss above, from log-probabilities whose logits never exist for all tokens at once. Those of
      the old and of the reference policy are taken on the same rows, so that at the first update the ratio is exactly
      1, and the KL 0 but for rounding.
    * `_calculate_rewards`: `None` of one of several rewards says nothing, as in TRL; a NaN leaves the rollout out.
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
            mend = "It takes the options of `trl.GRPOConfig`, with the defaults of StyleVAR."
            raise invalid("args", "a StyleVARGRPOConfig", type(args).__name__, mend)
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
        _check_policy(model, core)
        check_publishing(args, model)
        if args.vmr_scale is not None and not 1 <= args.vmr_scale < core.config.num_scales:
            rule = f"from 1 to {core.config.num_scales - 1}, an index of the model's {core.config.num_scales} scales"
            raise invalid("vmr_scale", rule, args.vmr_scale, "A scale of about 4x4 to 8x8 tokens is a good start.")
        _freeze(core)
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
            compute_loss_func="not None: the loss is divided by the accumulation steps here",
        )
        self.model_accepts_loss_kwargs = False
        self._whole = self._copy_if_divided(model)
        self._evaluation_modules = _evaluation_modules(model, args.activation_checkpointing)
        self._make_reference(model)
        self._conditioning_is_fixed = not any(
            parameter.requires_grad
            for module in (core.model.style_encoder, core.model.content_encoder, core.model.image_projection)
            for parameter in module.parameters()
        )
        self._weights = token_weights(core.config.patch_nums, args.token_weighting, args.panw_gamma)
        filters = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p}
        self._sampling = {**filters, "style_strength": args.style_strength}
        self._scoring = StyleVARScoring(
            **(filters if args.scoring == "sampled" else {}), chunk_size=args.head_chunk_size
        )
        self._add_own_callbacks()

    def _set_trl_attributes(self, args: StyleVARGRPOConfig, core: StyleVARForConditionalGeneration) -> None:
        self.num_generations = args.num_generations
        self.num_generations_eval = args.num_generations_eval or args.num_generations
        self.num_iterations = args.num_iterations
        self.shuffle_dataset = args.shuffle_dataset
        self.beta = args.beta
        self.epsilon_low = args.epsilon
        self.epsilon_high = args.epsilon if args.epsilon_high is None else args.epsilon_high
        self.loss_type = args.loss_type
        self.max_completion_length = core.config.sequence_length
        self.reward_processing_classes = [None] * len(self.reward_funcs)
        self.environments = None
        self.use_vllm = False
        self.use_adaptive_entropy = False
        self.log_completions = False
        self._step = 0
        self._buffered_inputs = None
        self._current_train_step_time = 0.0
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
        self._logs = {"extra": defaultdict(lambda: deque(maxlen=args.generation_batch_size))}
        self._pending_extra_logs = defaultdict(list)
        self._pending_metrics = defaultdict(list)
        # Ours
        self._background = BackgroundLoop()
        self._eval_window = 0
        self._metric_key_prefix = "eval"
        self._update_sums: UpdateSums | None = None
        self._generation_rewards: list[float] = []
        self.last_step_reward: float | None = None
        self.last_step_kl: float | None = None
        self.num_usable_rollouts = 0
        self.last_rollouts: dict[str, Any] | None = None

    def _add_own_callbacks(self) -> None:
        args = self.args
        use_log_lines(self)
        self._failures = FailureCallback(self, args.max_failed_updates)
        self.add_callback(self._failures)
        self._epochs = EpochCallback()
        self.add_callback(self._epochs)
        self.add_callback(ProgressNumbersCallback(self))
        if args.num_rollout_images > 0:
            self.add_callback(RolloutGridCallback(self, args.num_rollout_images))
        self.held_out = None
        if self._held_out_funcs:
            self.held_out = HeldOutCallback(self, self._held_out_names, args.held_out_patience)
            self.add_callback(self.held_out)
        self.iterative_reference = None
        if args.iterative_reference:
            self.iterative_reference = IterativeReferenceCallback(
                self,
                gain=args.reference_gain,
                patience=args.reference_patience,
                min_steps=args.reference_min_steps,
                emergency_kl=args.reference_emergency_kl or None,
                emergency_cooldown=args.reference_emergency_cooldown,
            )
            self.add_callback(self.iterative_reference)

    def _copy_if_divided(self, model: nn.Module) -> WholePolicy | None:
        """A whole copy if the policy is going to be divided."""
        if self.is_deepspeed_enabled:  # it steps before the guards look, and keeps weights that nothing here renews
            found = self.args.deepspeed or "one of accelerate's configuration"
            mend = "Use DDP or FSDP2: see `examples/accelerate_configs`."
            raise invalid("deepspeed", "left out", found, mend)
        if not self.is_fsdp_enabled:
            return None
        version = self.accelerator.state.fsdp_plugin.fsdp_version
        if version != 2:
            raise invalid("fsdp_version", "2", version, "See `examples/accelerate_configs/fsdp2.yaml`.")
        autocast_under_fsdp(self.accelerator)
        return WholePolicy(model, self.accelerator.device)

    def _make_reference(self, model: nn.Module) -> None:
        policy = self._policy()
        self.reference = ReferencePolicy.for_model(policy, seed=self.args.seed) if self.beta > 0 else None
        self.keeper = self.reference or _keeper(policy)
        if self.keeper is not None and {"revision", "subfolder"} & set(self.args.model_init_kwargs or ()):
            self.keeper.needs_base = True  # an adapter names its base without them
        if self.reference is not None:
            self.reference.whole = self._whole
            if not self.reference.is_policy(policy):
                self.reference.update(model)  # an adapter that was trained before: measure from there

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
            mend = "Change it, or `num_generations_eval`."
            raise invalid("per_device_eval_batch_size", rule, self.args.per_device_eval_batch_size, mend)
        self._eval_window = 0  # the same rollouts at every evaluation
        self._metric_key_prefix = metric_key_prefix
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    # Rollouts and rewards

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        # TRL shuffles the rows of a generation: in the same order after a resumption, whatever else drew numbers.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.args.seed + self._step)
            return super()._prepare_inputs(generation_batch)

    def _generate_and_score_completions(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        training = self.model.training
        mode, num_generations = ("train", self.num_generations) if training else ("eval", self.num_generations_eval)
        window = (
            self._step // (self.args.steps_per_generation * self.num_iterations) if training else self._eval_window
        )
        self._eval_window += not training
        self._enter_evaluation_mode()
        self._renew_whole()

        # 1. Rollouts; which prompt a row belongs to follows from its place among the rows of all processes
        first = self.accelerator.process_index * len(rows)
        groups = [(first + index) // num_generations for index in range(len(rows))]
        distinct = self._encode_prompts([rows[groups.index(group)] for group in dict.fromkeys(groups)])
        prompts = [distinct[group - groups[0]] for group in groups]
        kind = self._middle_return_kind(window) if training else None
        drawn = self._draw(prompts, window, [first + index for index in range(len(rows))], training, kind)
        num_continuations = len(drawn)

        # 2. Rewards; with VMR of all continuations of a rollout, next to each other
        inputs = [
            entry
            for parts in zip(*(reward_inputs(prompts, r.codes, r.images) for r in drawn), strict=True)
            for entry in parts
        ]
        parts, silent = self._calculate_rewards(self.reward_funcs, self.reward_func_names, inputs)
        rewards = combine_rewards(parts, silent, self.reward_weights.to(parts.device))
        returns = rewards if kind != "prefix" else middle_value(rewards.view(-1, num_continuations), self.args.vmr_eta)

        if self.held_out is not None and not training:
            self._watch_held_out(inputs, rewards)

        # 3. Advantages, over the groups of all processes
        scored = compute_advantages(
            returns,
            num_generations,
            scale=self.args.scale_rewards,
            std_floor=self.args.advantage_std_floor,
            clip=self.args.advantage_clip,
        )
        local = slice(first, first + len(rows))
        rollouts = drawn[0]
        if self.args.num_rollout_images and self.accelerator.is_main_process:
            shown = prompts.count(prompts[0])
            rows_shown = slice(0, shown * num_continuations, num_continuations)
            extra = {name: values[rows_shown] for name, values in self._pending_extra_logs.items()}
            self._remember(prompts[0], rollouts.images[:shown], rewards[rows_shown], parts[rows_shown], extra)
        self._log_rewards(mode, parts, rewards, scored)

        weights = self._weights.to(rollouts.codes.device).expand(len(rows), -1)
        if kind is not None:
            gate = scale_gate(self._config.patch_nums, self.args.vmr_scale, kind)
            weights = weights * gate.to(weights.device)
        if self._mask is not None:
            weights = weights * torch.stack([prompt.gate for prompt in prompts])
        batch = {
            "codes": rollouts.codes,
            "weights": weights,
            "advantages": scored.advantages[local],
            "usable": scored.valid[local],
            "prompts": prompts,
        }
        if training and self.args.gradient_accumulation_steps % self.args.steps_per_generation != 0:
            # The policy moves before the last rows are used, so its scores must be taken now.
            batch["old_log_probs"] = self._score_in_parts(batch)
        return batch

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

    def _calculate_rewards(
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
        values, _ = self._calculate_rewards(self._held_out_funcs, self._held_out_names, inputs)
        self.held_out.add(rewards, values, self.num_generations_eval)
        for name, column in zip(self._held_out_names, values.T, strict=True):
            self._metrics["eval"][f"held_out/{name}/mean"].append(column[column.isfinite()].mean().item())

    def _middle_return_kind(self, window: int) -> str | None:
        """Which part of the tokens VMR trains on the rollouts of this window; `None` without VMR."""
        if self.args.vmr_scale is None:
            return None
        return UpdateSchedule(self.args.vmr_prefix_updates).kind(window)

    def _log_rewards(self, mode: str, parts: torch.Tensor, rewards: torch.Tensor, scored: Any) -> None:
        """`parts` `(N, F)` and `rewards` `(N,)` of all processes, under TRL's names."""
        metrics = self._metrics[mode]
        for name, values in zip(self.reward_func_names, parts.T, strict=True):
            finite = values[values.isfinite()]
            metrics[f"rewards/{name}/mean"].append(finite.mean().item())
            metrics[f"rewards/{name}/std"].append(finite.std().item() if len(finite) > 1 else 0.0)
        usable = rewards[rewards.isfinite()]
        mean = usable.mean().item()  # NaN if there is none
        metrics["reward"].append(mean)
        metrics["reward_std"].append(scored.group_stds.mean().item())
        metrics["frac_reward_zero_std"].append(scored.without_variance.float().mean().item())
        metrics["rollouts_left_out/reward"].append(float((~scored.valid).sum()))
        if mode == "train":
            self._generation_rewards.append(mean)
        # What rewards logged by themselves, from all processes; all must ask for the same names in the same order.
        for name in sorted(set(gather_object(list(self._pending_metrics)))):
            values = gather_object(self._pending_metrics.get(name, []))
            metrics[name].append(sum(values) / len(values))
        self._pending_metrics.clear()
        self._pending_extra_logs.clear()

    def _remember(
        self,
        prompt: StyleVARPrompt,
        images: torch.Tensor,
        rewards: torch.Tensor,
        parts: torch.Tensor,
        extra: dict[str, list],
    ) -> None:
        """Keep the rollouts of a prompt for the picture, with what rewards logged of each (`log_extra`)."""
        pixels = {name: getattr(prompt, f"{name}_pixel_values") for name in ("content", "style", "target")}
        pixels = {name: value.float().cpu() / 2 + 0.5 for name, value in pixels.items() if value is not None}
        self.last_rollouts = {
            "names": list(pixels),
            "references": list(pixels.values()),
            "images": images.cpu(),
            "rewards": rewards.cpu(),
            "parts": dict(zip(self.reward_func_names, parts.T.cpu(), strict=True)),
            "content_id": prompt.row.get("content_id"),
            "extra": extra,
        }

    # Loss

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
        return loss / self.current_gradient_accumulation_steps if training else loss

    def _score(self, model: nn.Module, inputs: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Log-probabilities and entropies `(N, L)` of the codes of a batch.

        Rows come in any order; they are sorted by prompt, so that what a prompt's rows share is computed once.
        """
        prompts = inputs["prompts"]
        places: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            places.setdefault(id(prompt), []).append(row)
        order = [row for rows in places.values() for row in rows]
        pairs, repeats = group_rows([prompts[row] for row in order])
        content = join_references([pair.content for pair in pairs])
        style = join_references([pair.style for pair in pairs])
        if self._conditioning_is_fixed:
            conditioning = {"content": content, "style": style}
        else:  # the image encoders are trained: only the codes are known
            conditioning = {
                "content_pixel_values": torch.stack([pair.content_pixel_values for pair in pairs]),
                "style_pixel_values": torch.stack([pair.style_pixel_values for pair in pairs]),
                "content_codes": content.codes,
                "style_codes": style.codes,
            }
        with self.accelerator.autocast():  # accelerate does so for the policy, but not for the reference
            output = model(
                labels=inputs["codes"][order],
                num_return_sequences=repeats,
                style_strength=self.args.style_strength,
                scoring=self._scoring,
                **conditioning,
            )
        back = torch.tensor(order, device=output.log_probs.device).argsort()
        return output.log_probs[back], output.entropies[back]

    @torch.no_grad()
    def _reference_log_probs(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Scores under the reference policy, kept with the rows until it is renewed."""
        if inputs.get("reference_version") != self.reference.num_updates:
            with self.reference.log_probs_context(self._policy()) as model:
                inputs["reference_log_probs"], _ = self._score(model, inputs)
            inputs["reference_version"] = self.reference.num_updates
        return inputs["reference_log_probs"]

    @torch.no_grad()
    def _score_in_parts(self, batch: Mapping[str, Any]) -> torch.Tensor:
        size = self.args.per_device_train_batch_size
        scores = []
        for start in range(0, len(batch["codes"]), size):
            part = {name: batch[name][start : start + size] for name in ("codes", "prompts")}
            scores.append(self._score(self._policy(), part)[0])
        return torch.cat(scores)

    def _log_update(self, training: bool, sums: UpdateSums) -> None:
        """One exchange between processes: for the logs, for the reference's schedule, for the guard."""
        sums = sums.reduce(self.accelerator)
        metrics = self._metrics["train" if training else "eval"]
        for name, value in sums.metrics(with_kl=self.reference is not None).items():
            metrics[name].append(value)
        if training:
            self._update_sums = sums if self._update_sums is None else self._update_sums + sums
            self.num_usable_rollouts = self._update_sums.num_kept
            self.last_step_kl = self._update_sums.mean_kl
            if self.accelerator.sync_gradients:  # the last pass of this update
                self._update_sums = None
                # Of the generations since the last update: none where an update uses rollouts again.
                self.last_step_reward = _mean(self._generation_rewards)
                self._generation_rewards.clear()

    # Modes

    def _enter_evaluation_mode(self) -> None:
        """Everything below the outermost module, whose mode tells training from evaluation."""
        for module in self._evaluation_modules:
            module.training = False
        if self._whole is not None:
            self._whole.model.eval()

    def _policy(self) -> nn.Module:
        """The policy with all of its weights."""
        return self.accelerator.unwrap_model(self.model) if self._whole is None else self._whole.model

    def _renew_whole(self) -> None:
        if self._whole is not None:
            self._whole.renew(self.model)

    def _unwrapped(self) -> StyleVARForConditionalGeneration:
        return core_model(self._policy())

    @property
    def _config(self):
        return self._unwrapped().config

    # Checkpoints

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        self._renew_whole()  # with all processes; one alone saves
        super().save_model(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        trained = self.model
        if self._whole is not None:
            self.model, state_dict = self._whole.model, None
        if self.keeper is not None:
            self.model, state_dict = self.keeper.model_to_save(self.model, state_dict)
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model = trained
        if self.args.should_save and self.keeper is not None:
            self.keeper.remove_stale_files(output_dir or self.args.output_dir, self._policy())

    def _save_more(self, output_dir: str) -> None:
        super()._save_more(output_dir)
        if not self.args.should_save:
            return
        save_json(os.path.join(output_dir, _STATE_NAME), {"step": self._step})
        if self.keeper is not None:
            self.keeper.save(output_dir, self._policy())
        if self.iterative_reference is not None:
            self.iterative_reference.save(output_dir)
        if self.held_out is not None:
            self.held_out.save(output_dir)

    def _load_from_checkpoint(self, checkpoint: str, model: nn.Module | None = None) -> None:
        if not self._keeper_loads(checkpoint):
            super()._load_from_checkpoint(checkpoint, model)

    def _load_best_model(self) -> None:
        if not self._keeper_loads(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _keeper_loads(self, checkpoint: str) -> bool:
        """Whether that restored the policy, too, and not the reference alone."""
        restored = self.keeper is not None and self.keeper.load(checkpoint, self._policy())
        if restored and self._whole is not None:
            self._whole.hand_back(self.model)
        return restored

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        self._step = load_json(checkpoint, _STATE_NAME)["step"]
        if self.iterative_reference is not None:
            self.iterative_reference.load(checkpoint)
        if self.held_out is not None:
            self.held_out.load(checkpoint)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.iterative_reference is not None and self.model.training:
            for name, value in self.iterative_reference.metrics().items():
                self._metrics["train"][name].append(value)
        if not self.model.training:
            logs.update(self._evaluation_metrics())
        super().log(logs, start_time)

    def _evaluation_metrics(self) -> dict[str, float | None]:
        """Means of the evaluation that ends, under its prefix: TRL knows `eval_` alone."""
        means = {f"{self._metric_key_prefix}_{name}": _mean(values) for name, values in self._metrics["eval"].items()}
        self._metrics["eval"].clear()
        return means


def _identity(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows


def _mean(values: Sequence[float]) -> float | None:
    """Of those that are numbers; `None` if none is, for logs are JSON."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else None


def _keeper(model: nn.Module) -> ReferencePolicy | None:
    """Without a KL term: what knows how to save an adapter, if it can be merged exactly."""
    if not hasattr(model, "peft_config"):
        return None
    try:
        return ReferencePolicy.for_model(model)
    except ValueError:
        return None


def _check_policy(model: nn.Module, core: StyleVARForConditionalGeneration) -> None:
    if core.config.legacy_kv_duplication:
        mend = "With it rollouts are drawn from another distribution than the one that is scored and trained."
        raise invalid("legacy_kv_duplication", "False in the model's config", True, mend)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        mend = "Load an adapter with `is_trainable=True`, or pass `peft_config`."
        raise invalid("model", "one with parameters that are trained", "all of them frozen", mend)
    adapters = getattr(model, "peft_config", {}).values()
    if rate := max((getattr(adapter, "lora_dropout", 0.0) for adapter in adapters), default=0.0):
        logger.warning(f"lora_dropout={rate} has no effect: rollouts, their scores and updates share one policy.")


def _freeze(core: StyleVARForConditionalGeneration) -> None:
    """The tokenizer is not trained, and nothing is dropped at random."""
    core.vq_model.requires_grad_(False)
    for module in core.modules():
        if isinstance(module, StyleVARLayer):
            module.drop_path_rate = 0.0


def _evaluation_modules(model: nn.Module, activation_checkpointing: bool) -> list[nn.Module]:
    """What must not be in training mode. Blocks to be checkpointed must: nothing else there depends on it."""
    modules = [module for module in model.modules() if module is not model]
    if activation_checkpointing:
        modules = [module for module in modules if not isinstance(module, StyleVARLayer)]
    return modules


__all__ = ["StyleVARGRPOTrainer"]
