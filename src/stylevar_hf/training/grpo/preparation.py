# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How [`StyleVARGRPOTrainer`] is put together: what TRL's methods read, callbacks, the reference, what is saved."""

from collections import defaultdict, deque
from typing import Any

from torch import nn
from transformers.utils import logging

from ..._common.errors import invalid
from ...data.mixing import EpochCallback
from ...generation_stylevar import StyleVARScoring
from ...modeling_stylevar import StyleVARForConditionalGeneration, StyleVARLayer
from ..common.distribution import autocast_under_fsdp
from ..common.log_lines import use_log_lines
from ..common.lora import core_model
from .adapter_weights import AdapterWeights
from .callbacks import FailureCallback, ProgressNumbersCallback, RolloutGridCallback
from .grpo_config import StyleVARGRPOConfig
from .held_out import HeldOutCallback
from .iterative_reference import IterativeReferenceCallback
from .metrics import UpdateSums
from .panw import token_weights
from .reference_policy import AdapterReferencePolicy, ReferencePolicy
from .reward_calls import BackgroundLoop
from .saved_adapter import SavedAdapter
from .whole_policy import WholePolicy


logger = logging.get_logger(__name__)


class GRPOPreparationMixin:
    """The parts of [`StyleVARGRPOTrainer`] that its constructor makes."""

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

    def _set_up_scoring(self, core: StyleVARForConditionalGeneration) -> None:
        """How rollouts are drawn and scored, and what their tokens weigh."""
        args = self.args
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
            hint = "Use DDP or FSDP2: see `examples/accelerate_configs`."
            raise invalid("deepspeed", "left out", found, hint)
        if not self.is_fsdp_enabled:
            return None
        version = self.accelerator.state.fsdp_plugin.fsdp_version
        if version != 2:
            raise invalid("fsdp_version", "2", version, "See `examples/accelerate_configs/fsdp2.yaml`.")
        autocast_under_fsdp(self.accelerator)
        return WholePolicy(model, self.accelerator.device)

    def _make_reference(self, model: nn.Module) -> None:
        """The reference, and how an adapter is saved, which needs none."""
        policy = self._policy()
        self.reference = ReferencePolicy.for_model(policy, seed=self.args.seed) if self.beta > 0 else None
        self.saved_adapter = self._make_saved_adapter(policy)
        if self.reference is not None:
            self.reference.whole = self._whole
            if not self.reference.is_policy(policy):
                self.reference.update(model)  # an adapter that was trained before: measure from there

    def _make_saved_adapter(self, policy: nn.Module) -> SavedAdapter | None:
        if isinstance(self.reference, AdapterReferencePolicy):
            weights = self.reference.weights
        elif hasattr(policy, "peft_config"):
            try:
                weights = AdapterWeights(policy)
            except ValueError:  # of another kind than LoRA: saved as PEFT does
                return None
        else:
            return None
        # An adapter names its base without revision and subfolder.
        return SavedAdapter(weights, bool({"revision", "subfolder"} & set(self.args.model_init_kwargs or ())))

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


def check_policy(model: nn.Module, core: StyleVARForConditionalGeneration) -> None:
    if core.config.legacy_kv_duplication:
        hint = "With it rollouts are drawn from another distribution than the one that is scored and trained."
        raise invalid("legacy_kv_duplication", "False in the model's config", True, hint)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        hint = "Load an adapter with `is_trainable=True`, or pass `peft_config`."
        raise invalid("model", "one with parameters that are trained", "all of them frozen", hint)
    adapters = getattr(model, "peft_config", {}).values()
    if rate := max((getattr(adapter, "lora_dropout", 0.0) for adapter in adapters), default=0.0):
        logger.warning(f"lora_dropout={rate} has no effect: rollouts, their scores and updates share one policy.")


def freeze(core: StyleVARForConditionalGeneration) -> None:
    """The tokenizer is not trained, and nothing is dropped at random."""
    core.vq_model.requires_grad_(False)
    for module in core.modules():
        if isinstance(module, StyleVARLayer):
            module.drop_path_rate = 0.0


def evaluation_modules(model: nn.Module, activation_checkpointing: bool) -> list[nn.Module]:
    """What must not be in training mode. Blocks to be checkpointed must: nothing else there depends on it."""
    modules = [module for module in model.modules() if module is not model]
    if activation_checkpointing:
        modules = [module for module in modules if not isinstance(module, StyleVARLayer)]
    return modules


__all__ = ["GRPOPreparationMixin", "check_policy", "evaluation_modules", "freeze"]
