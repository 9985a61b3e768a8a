# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""What [`StyleVARGRPOTrainer`] looks at before anything is computed: rewards, data sets, masks."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import torch
from torch import nn

from ..data._messages import invalid
from ..rewards import get_reward
from .grpo_config import StyleVARGRPOConfig


RewardFunction = Callable[..., Sequence[float | None]]


def load_rewards(reward_funcs: Any) -> tuple[list[RewardFunction], list[str]]:
    """The functions and their names in the logs, each name once."""
    single = isinstance(reward_funcs, str) or callable(reward_funcs)
    given = [reward_funcs] if single else list(reward_funcs or ())
    if not given:
        raise invalid("reward_funcs", "at least one reward", reward_funcs, "Pass `DreamSimReward()`, or a function.")
    functions = [get_reward(function) if isinstance(function, str) else function for function in given]
    names = []
    for function in functions:
        if isinstance(function, nn.Module) or not callable(function) or asyncio.iscoroutinefunction(function):
            mend = "Wrap it in a function of `(images, **columns)` that returns a list of numbers."
            raise invalid("reward_funcs", "plain functions", type(function).__name__, mend)
        name = getattr(function, "__name__", type(function).__name__)
        names.append(name if name not in names else f"{name}_{len(names)}")
    return functions, names


def try_reward(
    function: RewardFunction, name: str, inputs: Sequence[dict[str, Any]], state: Any, device: torch.device
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

    Raises:
        ValueError: If it does not return one finite number per image.
    """
    if hasattr(function, "prepare"):
        function.prepare(device)
    columns = {key: [row[key] for row in inputs] for key in inputs[0]}
    rewards = function(
        prompts=columns.pop("prompts"),
        completions=columns["images"],
        completion_ids=columns.pop("completion_ids"),
        trainer_state=state,
        log_extra=_ignore,
        log_metric=_ignore,
        **columns,
    )
    mend = "It was tried on the first content image, before any rollout."
    if not hasattr(rewards, "__len__") or len(rewards) != len(inputs):
        found = len(rewards) if hasattr(rewards, "__len__") else type(rewards).__name__
        raise invalid(f"reward {name}", f"a list of one number per image ({len(inputs)})", found, mend)
    for reward in rewards:
        if reward is None or not torch.isfinite(torch.as_tensor(reward, dtype=torch.float32)):
            raise invalid(f"reward {name}", "finite", reward, mend)


def _ignore(*args: Any) -> None:
    """In place of the logs, while a reward is tried."""


def check_reward_weights(args: StyleVARGRPOConfig, names: list[str]) -> torch.Tensor:
    if args.reward_weights is None:
        return torch.ones(len(names))
    if len(args.reward_weights) != len(names):
        rule = f"one number per reward ({len(names)}: {', '.join(names)})"
        raise invalid("reward_weights", rule, len(args.reward_weights), "Leave it out for equal weights.")
    return torch.tensor(args.reward_weights, dtype=torch.float32)


def check_prompts(name: str, dataset: Any, rewards: Sequence[RewardFunction], args: StyleVARGRPOConfig) -> None:
    """Refuse a data set without the columns that the model, the rewards or the masks need."""
    present = getattr(dataset, "column_names", None)
    if dataset is None or present is None:
        return
    if missing := [column for column in ("content", "style") if column not in present]:
        mend = f"Missing: {', '.join(missing)}. Rename columns with `load_triplets(..., column_mapping=...)`."
        raise invalid(name, "a data set with the columns content and style", ", ".join(present), mend)
    for function in rewards:
        missing = [column for column in getattr(function, "requires", ()) if column not in present]
        if missing:
            rule = f"one with the column {', '.join(missing)} for the reward {getattr(function, '__name__', function)}"
            raise invalid(name, rule, ", ".join(present), "Add it, or choose a reward that does without.")
    if args.mask_column is not None and args.mask_column not in present:
        raise invalid("mask_column", f"one of {', '.join(present)}", args.mask_column, "Add it, or leave it out.")


def prepare_for_streams(args: StyleVARGRPOConfig, sets: Sequence[Any]) -> None:
    """
    What TRL's constructor does for data sets that are read while training: prompts are repeated within the stream, so
    it must be read by one worker per process, and not be handed around by the first process.
    """
    if not any(isinstance(dataset, datasets.IterableDataset) for dataset in sets):
        return
    if args.accelerator_config.dispatch_batches:
        mend = "Each process takes its part of the stream."
        raise invalid("dispatch_batches", "False for a stream", True, mend)
    args.accelerator_config.dispatch_batches = False
    if isinstance(sets[0], datasets.IterableDataset) and args.dataloader_num_workers != 0:
        mend = "Several workers would mix the rollouts of different prompts."
        raise invalid("dataloader_num_workers", "0 for a stream", args.dataloader_num_workers, mend)


__all__ = [
    "RewardFunction",
    "check_prompts",
    "check_reward_weights",
    "load_rewards",
    "prepare_for_streams",
    "try_reward",
]
