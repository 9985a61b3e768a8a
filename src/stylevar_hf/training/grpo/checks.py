# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What [`StyleVARGRPOTrainer`] looks at before anything is computed: rewards, data sets, masks."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
import torch
from torch import nn

from ..._common.errors import invalid
from ...rewards import get_reward
from .grpo_config import StyleVARGRPOConfig
from .reward_calls import BackgroundLoop, RewardFunction, call_rewards


MaskFunction = Callable[[Mapping[str, Any]], Any]

# What rewards are called with, beside the columns of the data set.
_NAMES_OF_ARGUMENTS = (
    "prompt",  # TRL keeps this one and the next to itself
    "completion",
    "prompts",
    "completions",
    "completion_ids",
    "images",
    "content_images",
    "style_images",
    "target_images",
    "trainer_state",
    "log_extra",
    "log_metric",
)


def load_rewards(reward_funcs: Any, may_be_none: bool = False) -> tuple[list[RewardFunction], list[str]]:
    """The functions and their names in the logs, each name once."""
    single = isinstance(reward_funcs, str) or callable(reward_funcs)
    given = [reward_funcs] if single else list(reward_funcs or ())
    if not given and not may_be_none:
        raise invalid("reward_funcs", "at least one reward", reward_funcs, "Pass `DreamSimReward()`, or a function.")
    functions = [get_reward(function) if isinstance(function, str) else function for function in given]
    names = []
    for function in functions:
        if isinstance(function, nn.Module) or not callable(function):
            hint = "Wrap it in a function of `(images, **columns)` that returns a list of numbers."
            raise invalid("reward_funcs", "plain functions", type(function).__name__, hint)
        name = getattr(function, "__name__", type(function).__name__)
        names.append(name if name not in names else f"{name}_{len(names)}")
    return functions, names


def try_reward(
    function: RewardFunction,
    name: str,
    inputs: Sequence[dict[str, Any]],
    state: Any,
    device: torch.device,
    background: BackgroundLoop | None = None,
    may_be_silent: bool = False,
) -> None:
    """
    Call a reward once, before the first rollout.

    Args:
        function (`Callable`), name (`str`):
            The reward and its name in the logs.
        inputs (`Sequence[dict]`):
            One row per image, with `prompts`, `completion_ids` and `images`.
        state (`TrainerState`), device (`torch.device`):
            The trainer's.
        background ([`BackgroundLoop`], *optional*):
            Where an asynchronous reward runs.
        may_be_silent (`bool`, *optional*, defaults to `False`):
            Whether it may say nothing about these images, since others do.

    Raises:
        ValueError: If it cannot be called so, or does not return one number per image, or none that is finite.
    """
    columns = {key: [row[key] for row in inputs] for key in inputs[0]}
    columns |= {"completions": columns["images"], "trainer_state": state}
    columns |= {"log_extra": _ignore, "log_metric": _ignore}
    if signature := _signature(function):
        try:
            signature.bind(**columns)
        except TypeError as error:
            rule = f"callable with the keyword arguments {', '.join(sorted(columns))}"
            hint = "End its arguments with `**columns`."
            raise invalid(f"reward {name}", rule, f"one with {error}", hint) from error
    if hasattr(function, "prepare"):
        function.prepare(device)
    values, silent = call_rewards([function], [name], columns, background or BackgroundLoop())[:, 0].unbind(dim=1)
    if may_be_silent and silent.all():
        return
    # One that is sometimes not finite loses these rollouts; one that never is must not begin.
    if not values.isfinite().any():
        found = None if silent[0] else values[0].item()
        hint = "It was tried on the first content and style, mixed, before any rollout."
        raise invalid(f"reward {name}", "finite", found, hint)


def _ignore(*args: Any) -> None:
    """In place of the logs, while a reward is tried."""


def check_reward_weights(args: StyleVARGRPOConfig, names: list[str]) -> torch.Tensor:
    if args.reward_weights is None:
        return torch.ones(len(names))
    if len(args.reward_weights) != len(names):
        rule = f"one number per reward ({len(names)}: {', '.join(names)})"
        raise invalid("reward_weights", rule, len(args.reward_weights), "Leave it out for equal weights.")
    return torch.tensor(args.reward_weights, dtype=torch.float32)


def check_held_out(names: Sequence[str], eval_dataset: Any, args: StyleVARGRPOConfig) -> None:
    """Held-out rewards need one evaluation set, which is looked at during training, and choose the best checkpoint."""
    if not names:
        return
    if eval_dataset is None or isinstance(eval_dataset, Mapping):
        found = "none" if eval_dataset is None else f"{len(eval_dataset)} of them"
        raise invalid("eval_dataset", "one data set for held-out rewards", found, "Thirty prompts or more are good.")
    if args.eval_strategy == "no":
        hint = "Set it to steps, with `eval_steps`, and `eval_on_start=True` to compare with the start."
        raise invalid("eval_strategy", "steps or epoch for held-out rewards", "no", hint)
    if args.load_best_model_at_end:
        raise invalid("load_best_model_at_end", "False with held-out rewards", True, "They say which is the best.")


def check_prompts(name: str, dataset: Any, rewards: Sequence[RewardFunction], args: StyleVARGRPOConfig) -> None:
    """Refuse a data set that is too small, or without the columns that the model, the rewards or the masks need."""
    if isinstance(dataset, torch.utils.data.IterableDataset) and not isinstance(dataset, datasets.IterableDataset):
        hint = "Make one with `datasets.IterableDataset.from_generator`."
        raise invalid(name, "a `datasets.IterableDataset`, if a stream", type(dataset).__name__, hint)
    if name == "train_dataset" and hasattr(dataset, "__len__"):
        needed = args.generation_batch_size // args.num_generations
        if len(dataset) < needed:
            rule = f"of at least {needed} rows, the prompts of a generation (generation_batch_size / num_generations)"
            hint = "Add rows, or lower `per_device_train_batch_size` or `steps_per_generation`."
            raise invalid(name, rule, len(dataset), hint)
    present = getattr(dataset, "column_names", None)
    if dataset is None or present is None:
        return
    if missing := [column for column in ("content", "style") if column not in present]:
        hint = f"Missing: {', '.join(missing)}. Rename columns with `load_triplets(..., column_mapping=...)`."
        raise invalid(name, "a data set with the columns content and style", ", ".join(present), hint)
    for function in rewards:
        missing = [column for column in _required_columns(function) if column not in present]
        if missing:
            rule = f"one with the column {', '.join(missing)} for the reward {getattr(function, '__name__', function)}"
            raise invalid(name, rule, ", ".join(present), "Add it, or choose a reward that does without.")
    if taken := [column for column in _NAMES_OF_ARGUMENTS if column in present]:
        hint = f"Rename {', '.join(taken)}: rewards are called with arguments of that name."
        raise invalid(name, "a data set without columns that rewards get from the trainer", ", ".join(present), hint)
    mask = args.mask_column
    if isinstance(mask, str) and ":" not in mask and mask not in present:
        raise invalid("mask_column", f"one of {', '.join(present)}", mask, "Add it, or leave it out.")


def load_mask(mask: str | MaskFunction | None) -> str | MaskFunction | None:
    """The column of masks, or the function that returns that of a row, which `module:function` names."""
    if not isinstance(mask, str) or ":" not in mask:
        return mask
    rule = "a column, a function, or `module:function`"
    try:
        found = pkgutil.resolve_name(mask)
    except (ImportError, AttributeError, ValueError) as error:
        raise invalid("mask_column", rule, mask, f"{error}. Check the spelling, and PYTHONPATH.") from error
    if not callable(found):
        raise invalid("mask_column", rule, f"{mask} of type {type(found).__name__}", "Name a function of a row.")
    return found


def _required_columns(function: RewardFunction) -> Sequence[str]:
    """What a reward says it needs; of a plain function, whether it cannot be called without targets."""
    if hasattr(function, "requires"):
        return function.requires
    signature = _signature(function)
    target = signature.parameters.get("target_images") if signature else None
    return ("target",) if target is not None and target.default is inspect.Parameter.empty else ()


def _signature(function: RewardFunction) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:  # a builtin that does not tell its arguments
        return None


def prepare_for_streams(args: StyleVARGRPOConfig, sets: Sequence[Any]) -> None:
    """
    What TRL's constructor does for data sets that are read while training: prompts are repeated within the stream, so
    it must be read by one worker per process, and not be handed around by the first process.
    """
    if not any(isinstance(dataset, datasets.IterableDataset) for dataset in sets):
        return
    if args.accelerator_config.dispatch_batches:
        hint = "Each process takes its part of the stream."
        raise invalid("dispatch_batches", "False for a stream", True, hint)
    args.accelerator_config.dispatch_batches = False
    if isinstance(sets[0], datasets.IterableDataset) and args.dataloader_num_workers != 0:
        hint = "Several workers would mix the rollouts of different prompts."
        raise invalid("dataloader_num_workers", "0 for a stream", args.dataloader_num_workers, hint)


__all__ = [
    "check_held_out",
    "check_prompts",
    "check_reward_weights",
    "load_mask",
    "load_rewards",
    "prepare_for_streams",
    "try_reward",
]
