# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of [`StyleVARGRPOTrainer`]."""

import copy
import inspect
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from transformers import TrainingArguments
from trl import GRPOConfig

from ..._common.errors import invalid
from ...generation_stylevar import check_sampling
from ..common.batches import num_processes, passes_per_update
from .advantages import ADVANTAGE_SCALES
from .panw import TOKEN_WEIGHTINGS
from .policy_loss import check_clipping


SCORINGS = ("plain", "sampled")
# Prompts per update.
_PUBLISHED_PROMPTS = 16

_POSITIVE = (
    "num_iterations",
    "head_chunk_size",
    "max_failed_updates",
    "held_out_patience",
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

# Options that `trl.GRPOConfig` adds and this trainer reads. The others are about text, its lengths or its engines.
_READ = (
    "beta",
    "delta",
    "ds3_gather_for_generation",
    "entropy_coef",
    "epsilon",
    "epsilon_high",
    "generation_batch_size",
    "model_init_kwargs",
    "num_generations",
    "num_generations_eval",
    "num_iterations",
    "reward_weights",
    "scale_rewards",
    "shuffle_dataset",
    "steps_per_generation",
    "temperature",
    "top_k",
    "top_p",
    "use_bias_correction_kl",
)
# Options of `TrainingArguments` that do not apply either: rewards are told of all columns, and there are no labels.
_NOT_OF_TRAINING = (
    "label_smoothing_factor",
    "neftune_noise_alpha",
    "parallelism_config",
    "remove_unused_columns",
    "use_liger_kernel",
)


def refused_options() -> list[str]:
    """Options of the parents that must be left at their defaults, for nothing here reads them."""
    read = {*_READ, *(option.name for option in fields(TrainingArguments))} - set(_NOT_OF_TRAINING)
    return [option.name for option in fields(GRPOConfig) if option.name not in read]


@dataclass
class StyleVARRewardArguments:
    """
    Rewards on the command line. How they are weighted against each other is `reward_weights` of the config.

    Args:
        reward_funcs (`list[str]`, *optional*, defaults to `["dreamsim"]`):
            Names of rewards, with options (`dreamsim:cache_dir=dreamsim,scale=5`), or `module:function`; see
            [`~stylevar_hf.rewards.get_reward`].
        held_out_reward_funcs (`list[str]`, *optional*, defaults to none):
            Rewards that are only watched, at each evaluation. If one falls while the trained reward rises, training
            stops and goes back; see [`~stylevar_hf.training.grpo.held_out.HeldOutAlarm`].
    """

    reward_funcs: list[str] = field(
        default_factory=lambda: ["dreamsim"],
        metadata={"help": "Names of rewards, NAME:OPTION=VALUE,..., or MODULE:FUNCTION; several are added up."},
    )
    held_out_reward_funcs: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Rewards that are only watched at evaluations, and stop a training that exploits the others."
        },
    )


@dataclass
class StyleVARGRPOConfig(GRPOConfig):
    r"""
    Options of [`StyleVARGRPOTrainer`]: those of `trl.GRPOConfig` that make sense for images, and these.

    The defaults are the published recipe. The paper (arXiv 2604.21052, reinforcement stage) gives 16 rollouts per
    prompt, learning rate 1e-5, clipping at 0.2, a KL coefficient of 0.1 and PANW with gamma 0.7; its README a batch of
    16 prompts per update; its code top-k 900 and top-p 0.96, AdamW with betas (0.9, 0.95) and weight decay 0.01
    without a schedule, gradients clipped to norm 1, a floor of 1e-2 under the standard deviation of a prompt's
    rewards, a KL limit of 5 per rollout, and float32. What differs on purpose: the KL estimate has the ratio of
    reference to policy in its exponent (the code has its inverse, which is no estimate of this KL), rollouts are drawn
    by the distribution that is scored (the code's cache counts the newest scale twice), and a rollout beyond the KL
    limit is left out alone. An option of the parent that cannot work here is refused by name.

    The probability ratio of a generation's first update is exactly 1. Where `steps_per_generation` does not divide
    `gradient_accumulation_steps`, it is 1 up to rounding: the old scores of all its rows are taken at once, in other
    batches than those of the updates.

    Args:
        per_device_train_batch_size (`int`, *optional*, defaults to 16):
            Rollouts per process and pass.
        gradient_accumulation_steps (`int`, *optional*):
            Passes per update. By default all that make 16 prompts of `num_generations` rollouts, those of all
            processes; the prompts of one generation where `steps_per_generation` or `generation_batch_size` is given;
            and fewer where the data has fewer prompts.
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
        advantage_std_floor (`float`, *optional*, defaults to 0.01):
            A smaller standard deviation of a prompt's rewards counts as this one; in units of the reward. 0 suits
            rewards that differ by less.
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
        held_out_patience (`int`, *optional*, defaults to 1):
            Evaluations in a row at which a held-out reward must have fallen while the trained one has risen, before
            training stops.
        num_rollout_images (`int`, *optional*, defaults to 8):
            Rollouts of a prompt that are drawn to `output_dir/rollouts/step-N.png`, with their rewards, at each log.
            0 switches it off.

        base_model_id (`str`, *optional*):
            `user/name` of the repository of the model below an adapter, for `push_to_hub` where it was loaded from a
            folder: an adapter is published without it.

    Raises:
        ValueError: If an option is out of range, cannot work here, or two exclude each other.
    """

    output_dir: str | None = field(default="stylevar-grpo", metadata={"help": "Folder of checkpoints and rollouts."})
    learning_rate: float = field(default=1e-5, metadata={"help": "Learning rate; 5e-5 is known to diverge."})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "Learning rate schedule."})
    weight_decay: float = field(default=0.01, metadata={"help": "Weight decay."})
    adam_beta2: float = field(default=0.95, metadata={"help": "Second moment's decay."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Rollouts per process and pass."})
    gradient_accumulation_steps: int | None = field(
        default=None, metadata={"help": "Passes per update. Default: 16 prompts, or fewer for small data."}
    )
    per_device_eval_batch_size: int | None = field(
        default=None, metadata={"help": "Rollouts per process in evaluation. Default: those of a prompt."}
    )
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
    advantage_std_floor: float = field(default=1e-2, metadata={"help": "Smallest standard deviation of rewards."})
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
    held_out_patience: int = field(default=1, metadata={"help": "Evaluations in a row before the alarm."})
    num_rollout_images: int = field(default=8, metadata={"help": "Rollouts drawn at each log; 0: off."})

    base_model_id: str | None = field(default=None, metadata={"help": "Repository of the model below an adapter."})

    def __post_init__(self):
        if isinstance(self.reward_weights, int | float):  # a line of a YAML file
            self.reward_weights = [float(self.reward_weights)]
        self._check_unsupported()
        self._check_ranges()
        if self.bf16 and not torch.accelerator.is_available():
            self.use_cpu = True  # without it, `TrainingArguments` refuses bfloat16 where there is no accelerator
        if self.per_device_eval_batch_size is None:
            self.per_device_eval_batch_size = self.num_generations_eval or self.num_generations
        self._accumulates_by_data = self.gradient_accumulation_steps is None
        if self._accumulates_by_data:
            self.gradient_accumulation_steps = self._passes(_PUBLISHED_PROMPTS)
        super().__post_init__()
        self._check_middle_return()

    def _passes(self, num_prompts: int) -> int:
        """How many passes make a generation, or as many whole prompts as there shall be, and are."""
        rollouts_per_pass = self.per_device_train_batch_size * num_processes()
        if self.steps_per_generation is not None:
            return self.steps_per_generation
        if self.generation_batch_size is not None:
            return max(1, self.generation_batch_size // rollouts_per_pass)
        passes = passes_per_update(num_prompts * self.num_generations, rollouts_per_pass)
        whole = [n for n in range(1, passes + 1) if n * rollouts_per_pass % self.num_generations == 0]
        return whole[-1] if whole else passes

    def fit_to(self, num_prompts: int) -> "StyleVARGRPOConfig":
        """
        The options with updates of at most so many prompts, where `gradient_accumulation_steps` was left out.

        Args:
            num_prompts (`int`):
                Rows of the training set.
        """
        default = self.steps_per_generation == self.gradient_accumulation_steps
        if not (self._accumulates_by_data and default and num_prompts < _PUBLISHED_PROMPTS):
            return self
        fitted = copy.copy(self)
        fitted.steps_per_generation = fitted.generation_batch_size = None
        passes = fitted._passes(max(1, num_prompts))
        fitted.gradient_accumulation_steps = fitted.steps_per_generation = passes
        fitted.generation_batch_size = self.per_device_train_batch_size * num_processes() * passes
        return fitted

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
        for name in refused_options():
            option = self.__dataclass_fields__[name]
            default = option.default if option.default is not MISSING else option.default_factory()
            if getattr(self, option.name) != default:
                hint = "It does not apply to pictures that StyleVAR draws in batches, scale by scale. Leave it out."
                raise invalid(option.name, f"left at {default!r}", getattr(self, option.name), hint)

    def _check_middle_return(self):
        passes = self.steps_per_generation * self.num_iterations
        if self.vmr_scale is not None and passes % self.gradient_accumulation_steps != 0:
            rule = f"a divisor of steps_per_generation * num_iterations ({passes}) with `vmr_scale`"
            hint = "An update trains either the prefix or the suffix: rollouts of one generation."
            raise invalid("gradient_accumulation_steps", rule, self.gradient_accumulation_steps, hint)

    def _check_ranges(self):
        hint = "Advantages compare the rollouts of a prompt; 16 is published."
        if self.num_generations is None or self.num_generations < 2:
            raise invalid("num_generations", "2 or more", self.num_generations, hint)
        if self.num_generations_eval is not None and self.num_generations_eval < 2:
            raise invalid("num_generations_eval", "None, or 2 or more", self.num_generations_eval, hint)
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
            hint = "Without a KL term there is no reference policy to move."
            raise invalid("beta", "positive with `iterative_reference`", self.beta, hint)
        if self.iterative_reference and self.reference_gain == 0:
            hint = "It is in units of the reward; 0.05 suits -5 times DreamSim."
            raise invalid("reference_gain", "positive with `iterative_reference`", self.reference_gain, hint)


__all__ = ["SCORINGS", "StyleVARGRPOConfig", "StyleVARRewardArguments", "refused_options"]
