# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of [`StyleVARGRPOTrainer`]."""

import inspect
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from trl import GRPOConfig

from ..._common.errors import invalid
from ...generation_stylevar import check_sampling
from .advantages import ADVANTAGE_SCALES
from .panw import TOKEN_WEIGHTINGS
from .policy_loss import check_clipping


SCORINGS = ("plain", "sampled")

_POSITIVE = (
    "num_iterations",
    "head_chunk_size",
    "max_failed_updates",
    "vmr_continuations",
    "vmr_eta",
    "vmr_prefix_updates",
)
_POSITIVE_OR_NONE = ("rollout_batch_size", "vmr_scale", "advantage_clip")
_NOT_NEGATIVE = (
    "panw_gamma",
    "advantage_std_floor",
    "kl_limit",
    "beta",
    "reference_gain",
    "reference_patience",
    "reference_min_steps",
    "reference_emergency_kl",
    "reference_emergency_cooldown",
    "num_rollout_images",
)

# Options of the parent that mean nothing here, or that nobody has tried here, and why.
_TEXT = "StyleVAR generates images, not text. Leave it out."
_FIXED_LENGTH = "Every image has the same number of tokens. Leave it out."
_LOSS = "The loss is the clipped surrogate per token, weighted by scale. Leave it out."
_UNSUPPORTED = {
    "use_vllm": "vLLM does not know StyleVAR. Leave it out: rollouts are batched here.",
    "use_transformers_continuous_batching": "Rollouts are batched here. Leave it out.",
    "use_transformers_paged": "Rollouts are batched here. Leave it out.",
    "transformers_continuous_batching_config": "Rollouts are batched here. Leave it out.",
    "cache_implementation": "StyleVAR brings its own cache. Leave it out.",
    "generation_kwargs": "Pass `temperature`, `top_k` and `top_p` instead.",
    "min_p": "Pass `top_k` and `top_p` instead.",
    "repetition_penalty": _TEXT,
    "chat_template_kwargs": _TEXT,
    "max_tool_calling_iterations": _TEXT,
    "log_multimodal": "Rollouts are logged with `num_rollout_images`. Leave it out.",
    "log_unique_prompts": "Rollouts are logged with `num_rollout_images`. Leave it out.",
    "log_completions_hub_repo": "Rollouts are logged to `output_dir/rollouts`. Leave it out.",
    "num_completions_to_print": "Rollouts are images; see `num_rollout_images`. Leave it out.",
    "max_completion_length": _FIXED_LENGTH,
    "mask_truncated_completions": _FIXED_LENGTH,
    "pad_to_multiple_of": _FIXED_LENGTH,
    "loss_type": _LOSS,
    "importance_sampling_level": _LOSS,
    "top_entropy_quantile": _LOSS,
    "off_policy_mask_threshold": _LOSS,
    "use_adaptive_entropy": "Pass a constant `entropy_coef` instead.",
    "multi_objective_aggregation": "Rewards are weighted and added up, then made advantages. Leave it out.",
    "router_aux_loss_coef": "StyleVAR has no experts. Leave it out.",
    "sync_ref_model": "Pass `iterative_reference=True` instead.",
    "cast_lm_head_to_fp32": "The head runs in float32 anyway. Leave it out.",
    "use_liger_kernel": "Liger's kernels do not fit StyleVAR. Leave it out.",
    "parallelism_config": "Use DDP instead.",
    "trust_remote_code": "StyleVAR is loaded by this package. Leave it out.",
    "disable_dropout": "Nothing is dropped at random here anyway. Leave it out.",
    "log_completions": "Rollouts are logged with `num_rollout_images`. Leave it out.",
    "remove_unused_columns": "Rewards are told of all columns. Leave it out.",
    "label_smoothing_factor": "There are no labels. Leave it out.",
    "neftune_noise_alpha": _TEXT,
}
# Whole families of such options, by how their names begin.
_UNSUPPORTED_FAMILIES = {
    "vllm_": _UNSUPPORTED["use_vllm"],
    "sapo_": _LOSS,
    "vespo_": _LOSS,
    "ref_model_": _UNSUPPORTED["sync_ref_model"],
    "entropy_coef_": _UNSUPPORTED["use_adaptive_entropy"],
    "entropy_target": _UNSUPPORTED["use_adaptive_entropy"],
}


@dataclass
class StyleVARRewardArguments:
    """
    Rewards on the command line. How they are weighted against each other is `reward_weights` of the config.

    Args:
        reward_funcs (`list[str]`, *optional*, defaults to `["dreamsim"]`):
            Names of rewards, with options (`dreamsim:cache_dir=dreamsim,scale=5`), or `module:function`; see
            [`~stylevar_hf.rewards.get_reward`].
    """

    reward_funcs: list[str] = field(
        default_factory=lambda: ["dreamsim"],
        metadata={"help": "Names of rewards, NAME:OPTION=VALUE,..., or MODULE:FUNCTION; several are added up."},
    )


@dataclass
class StyleVARGRPOConfig(GRPOConfig):
    r"""
    Options of [`StyleVARGRPOTrainer`]: those of `trl.GRPOConfig` that make sense for images, and these.

    The defaults are the published recipe (arXiv 2604.21052, reinforcement stage): one prompt of 16 rollouts per
    update, sampled with top-k 900 and top-p 0.96, learning rate 1e-5 without schedule, clipping at 0.2, KL coefficient
    0.1, float32. An option of the parent that cannot work here is refused by name.

    The probability ratio of a generation's first update is exactly 1. Where `steps_per_generation` does not divide
    `gradient_accumulation_steps`, it is 1 up to rounding: the old scores of all its rows are taken at once, in other
    batches than those of the updates.

    Args:
        token_weighting (`str`, *optional*, defaults to `"panw"`):
            Weights of the tokens of an image, which add up to 1: `"panw"`, proportional to `(h_k w_k)^-panw_gamma` at
            scale `k` (per-action normalisation, arXiv 2601.02256); `"equal-per-scale"`, the same share for each scale
            (PANW with gamma 1); `"none"`, all alike.
        panw_gamma (`float`, *optional*, defaults to 0.7):
            0 weights all tokens alike, 1 all scales.
        scoring (`str`, *optional*, defaults to `"plain"`):
            `"plain"`: log-probabilities under all codes at temperature 1, as published. `"sampled"`: under the
            distribution that the rollouts were drawn from, temperature and filters included.
        head_chunk_size (`int`, *optional*, defaults to 1024):
            Tokens whose logits exist at once.
        rollout_batch_size (`int`, *optional*):
            Images that a process generates at once. By default as many as fit half of the memory that is free.
        style_strength (`float`, *optional*, defaults to 0.0):
            Of all rollouts, in [-1, 1].
        advantage_std_floor (`float`, *optional*, defaults to 0.0):
            A smaller standard deviation of a prompt's rewards counts as this one; in units of the reward.
        advantage_clip (`float`, *optional*):
            Largest absolute value of an advantage.
        kl_limit (`float`, *optional*, defaults to 5.0):
            A rollout whose KL to the reference policy, mean over its tokens and not weighted, is larger is left out of
            the update; the others stay. 0 switches it off, and so does `beta=0`, without a reference policy.
        max_failed_updates (`int`, *optional*, defaults to 10):
            Save and stop after so many updates in a row without a usable rollout or a finite gradient.
        iterative_reference (`bool`, *optional*, defaults to `False`):
            Make the policy the new reference when it has become better; see [`IterativeReferenceCallback`].
        reference_gain (`float`, *optional*, defaults to 0.05):
            By how much the running mean of the reward must have grown since the last time.
        reference_patience (`int`, *optional*, defaults to 50):
            Steps since the peak of the running mean.
        reference_min_steps (`int`, *optional*, defaults to 300):
            Steps since the last time.
        reference_emergency_kl (`float`, *optional*, defaults to 2.0):
            A larger KL, mean over tokens and rollouts, makes the policy the reference at once. 0 switches it off.
        reference_emergency_cooldown (`int`, *optional*, defaults to 50):
            Steps between two such emergencies.
        vmr_scale (`int`, *optional*):
            Value as middle return (VMR, arXiv 2601.02256): index `m` of the scale, from 1, before which the return is
            estimated. Tokens of scales `< m` are trained with the value of `vmr_continuations` continuations alone,
            the others with the reward. Off by default.
        vmr_continuations (`int`, *optional*, defaults to 2):
            `K`, continuations of each prefix.
        vmr_eta (`float`, *optional*, defaults to 1.0):
            Temperature of the value `eta log((1/K) sum_j exp(R_j / eta))`.
        vmr_prefix_updates (`int`, *optional*, defaults to 3):
            Updates of the prefix before each update of the suffix; where rollouts are used for several updates,
            generations.
        mask_column (`str` or `Callable`, *optional*):
            Mask propagation (arXiv 2601.02256): column with the image, or array in [0, 1], of the region that
            determines the reward; or a function of the row that returns it, as itself or as `"module:function"`. The
            losses of tokens outside are switched off at every scale. Off by default.
        mask_threshold (`float`, *optional*, defaults to 0.5):
            A pixel belongs to the region if its mask is at least this, in (0, 1].
        num_rollout_images (`int`, *optional*, defaults to 8):
            Rollouts of a prompt that are drawn to `output_dir/rollouts/step-N.png`, with their rewards, at each log.
            0 switches it off.

    Raises:
        ValueError: If an option is out of range, cannot work here, or two exclude each other.
    """

    output_dir: str | None = field(default="stylevar-grpo", metadata={"help": "Folder of checkpoints and rollouts."})
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate; 5e-5 is known to diverge."})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "Learning rate schedule."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay."})
    adam_beta2: float = field(default=0.95, metadata={"help": "Second moment's decay."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Rollouts per process and pass."})
    per_device_eval_batch_size: int = field(default=16, metadata={"help": "Rollouts per process in evaluation."})
    num_generations: int | None = field(default=16, metadata={"help": "Rollouts of each prompt, G."})
    temperature: float = field(default=1.0, metadata={"help": "Divides the logits before the filters."})
    top_k: int = field(default=900, metadata={"help": "Sample from so many most likely codes; 0: all."})
    top_p: float = field(default=0.96, metadata={"help": "Sample from the codes that make up this probability."})
    beta: float = field(default=0.1, metadata={"help": "Coefficient of the KL to the reference policy."})
    epsilon: float = field(default=0.2, metadata={"help": "Clipping of the probability ratio."})
    loss_type: str = field(default="grpo", metadata={"help": "Only grpo."})
    max_completion_length: int | None = field(default=None, metadata={"help": "Not used: images have a fixed length."})
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "Multiply the KL by the ratio."})
    bf16: bool | None = field(default=False, metadata={"help": "Autocast to bfloat16; published: float32."})
    gradient_checkpointing: bool | None = field(
        default=None, metadata={"help": "The old name of activation_checkpointing."}
    )
    logging_steps: float = field(default=1, metadata={"help": "Log every so many steps."})
    report_to: None | str | list[str] = field(default="none", metadata={"help": "Where to report: none, wandb, ..."})

    token_weighting: str = field(default="panw", metadata={"help": "panw, none or equal-per-scale."})
    panw_gamma: float = field(default=0.7, metadata={"help": "Exponent of PANW, 0 or more."})
    scoring: str = field(default="plain", metadata={"help": "plain, or sampled: with temperature and filters."})
    head_chunk_size: int = field(default=1024, metadata={"help": "Tokens whose logits exist at once."})
    rollout_batch_size: int | None = field(default=None, metadata={"help": "Images made at once; None: by memory."})
    style_strength: float = field(default=0.0, metadata={"help": "Of all rollouts, in [-1, 1]."})
    advantage_std_floor: float = field(default=0.0, metadata={"help": "Smallest standard deviation of rewards."})
    advantage_clip: float | None = field(default=None, metadata={"help": "Largest absolute advantage."})
    kl_limit: float = field(default=5.0, metadata={"help": "Leave out rollouts with a larger KL; 0: keep all."})
    max_failed_updates: int = field(default=10, metadata={"help": "Stop after so many updates without a rollout."})
    iterative_reference: bool = field(default=False, metadata={"help": "Move the reference policy when better."})
    reference_gain: float = field(default=0.05, metadata={"help": "Growth of the reward's running mean."})
    reference_patience: int = field(default=50, metadata={"help": "Steps since the peak."})
    reference_min_steps: int = field(default=300, metadata={"help": "Steps since the last move."})
    reference_emergency_kl: float = field(default=2.0, metadata={"help": "KL that moves it at once; 0: never."})
    reference_emergency_cooldown: int = field(default=50, metadata={"help": "Steps between two emergencies."})
    vmr_scale: int | None = field(default=None, metadata={"help": "Scale of the middle return; None: off."})
    vmr_continuations: int = field(default=2, metadata={"help": "Continuations of each prefix."})
    vmr_eta: float = field(default=1.0, metadata={"help": "Temperature of the middle return."})
    vmr_prefix_updates: int = field(default=3, metadata={"help": "Prefix updates per suffix update."})
    mask_column: str | None = field(
        default=None, metadata={"help": "Column with the mask of the output, or MODULE:FUNCTION of a row; None: off."}
    )
    mask_threshold: float = field(default=0.5, metadata={"help": "Mask from which on a pixel is inside."})
    num_rollout_images: int = field(default=8, metadata={"help": "Rollouts drawn at each log; 0: off."})

    def __post_init__(self):
        if isinstance(self.reward_weights, int | float):  # a line of a YAML file
            self.reward_weights = [float(self.reward_weights)]
        self._check_unsupported()
        self._check_ranges()
        if self.bf16 and not torch.accelerator.is_available():
            self.use_cpu = True  # without it, `TrainingArguments` refuses bfloat16 where there is no accelerator
        super().__post_init__()
        self._check_middle_return()

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "mask_column": self._mask_name}

    def __getstate__(self) -> dict[str, Any]:
        # `training_args.bin` must be readable where a function of one's own is not there.
        return {**self.__dict__, "mask_column": self._mask_name}

    @property
    def _mask_name(self) -> str | None:
        mask = self.mask_column
        return f"{mask.__module__}:{mask.__qualname__}" if inspect.isroutine(mask) else mask and str(mask)

    def _check_unsupported(self):
        for option in fields(type(self)):
            families = (mend for start, mend in _UNSUPPORTED_FAMILIES.items() if option.name.startswith(start))
            mend = _UNSUPPORTED.get(option.name) or next(families, None)
            if mend is None:
                continue
            default = option.default if option.default is not MISSING else option.default_factory()
            value = getattr(self, option.name)
            if value != default:
                raise invalid(option.name, f"left at {default!r}", value, mend)

    def _check_middle_return(self):
        passes = self.steps_per_generation * self.num_iterations
        if self.vmr_scale is not None and passes % self.gradient_accumulation_steps != 0:
            rule = f"a divisor of steps_per_generation * num_iterations ({passes}) with `vmr_scale`"
            mend = "An update trains either the prefix or the suffix: rollouts of one generation."
            raise invalid("gradient_accumulation_steps", rule, self.gradient_accumulation_steps, mend)

    def _check_ranges(self):
        mend = "Advantages compare the rollouts of a prompt; 16 is published."
        if self.num_generations is None or self.num_generations < 2:
            raise invalid("num_generations", "2 or more", self.num_generations, mend)
        if self.num_generations_eval is not None and self.num_generations_eval < 2:
            raise invalid("num_generations_eval", "None, or 2 or more", self.num_generations_eval, mend)
        if self.scale_rewards not in (*ADVANTAGE_SCALES, True, False):
            raise invalid("scale_rewards", f"one of {', '.join(ADVANTAGE_SCALES)}", self.scale_rewards, "Use group.")
        if self.token_weighting not in TOKEN_WEIGHTINGS:
            rule = f"one of {', '.join(TOKEN_WEIGHTINGS)}"
            raise invalid("token_weighting", rule, self.token_weighting, "Use panw.")
        if self.scoring not in SCORINGS:
            raise invalid("scoring", f"one of {', '.join(SCORINGS)}", self.scoring, "Published: plain.")
        check_sampling(self.top_k, self.top_p, self.temperature)
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise invalid(name, "0 or more", getattr(self, name), "Choose another.")
        for name in (*_POSITIVE, *(name for name in _POSITIVE_OR_NONE if getattr(self, name) is not None)):
            if not getattr(self, name) > 0:
                raise invalid(name, "positive", getattr(self, name), "Leave it out for the default.")
        check_clipping(self.epsilon, self.epsilon if self.epsilon_high is None else self.epsilon_high, self.delta)
        if not -1 <= self.style_strength <= 1:
            raise invalid("style_strength", "in [-1, 1]", self.style_strength, "0 leaves the blend as it is.")
        if not 0 < self.mask_threshold <= 1:
            raise invalid("mask_threshold", "in (0, 1]", self.mask_threshold, "0.5 suits masks of 0 and 1.")
        if self.iterative_reference and self.beta == 0:
            mend = "Without a KL term there is no reference policy to move."
            raise invalid("beta", "positive with `iterative_reference`", self.beta, mend)
        if self.iterative_reference and self.reference_gain == 0:
            mend = "It is in units of the reward; 0.05 suits -5 times DreamSim."
            raise invalid("reference_gain", "positive with `iterative_reference`", self.reference_gain, mend)


__all__ = ["SCORINGS", "StyleVARGRPOConfig", "StyleVARRewardArguments"]
