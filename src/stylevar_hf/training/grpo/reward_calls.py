# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Calling rewards: asynchronous ones together and beside the others, `None` told from NaN."""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from trl.trainer.utils import is_async_callable


RewardFunction = Callable[..., Sequence[float | None] | Awaitable[Sequence[float | None]]]


def coroutine_function(reward: RewardFunction) -> Callable[..., Coroutine] | None:
    """What to await in place of the reward: its method `score_async`, or itself; `None` of a plain function."""
    if inspect.iscoroutinefunction(method := getattr(reward, "score_async", None)):
        return method
    return reward if is_async_callable(reward) else None


class BackgroundLoop:
    """An event loop in a thread of its own, which notebooks with a running loop need; started when first used."""

    def __init__(self):
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, coroutine: Coroutine) -> Future:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="stylevar-rewards", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def call_rewards(
    functions: Sequence[RewardFunction],
    names: Sequence[str],
    columns: Mapping[str, Any],
    background: BackgroundLoop,
    timed: Callable[[str], AbstractContextManager] = lambda name: nullcontext(),
) -> torch.Tensor:
    """
    Call rewards on the same rollouts. Asynchronous ones run all at once, while the others are called one by one. Each
    gets lists and tensors of its own: what it changes, the next one does not see.

    Args:
        functions (`Sequence[Callable]`), names (`Sequence[str]`):
            The `F` rewards, and what messages call them.
        columns (`Mapping[str, Any]`):
            Their keyword arguments; lists have one entry per rollout, `images` among them.
        background ([`BackgroundLoop`]):
            Where asynchronous rewards run.
        timed (`Callable[[str], AbstractContextManager]`, *optional*):
            Measures a reward of that name.

    Returns:
        `torch.FloatTensor` of shape `(N, F, 2)`, on the CPU: the rewards, NaN where there is none; and 1 where `None`
        says nothing about the rollout, else 0.

    Raises:
        ValueError: If a reward does not return one number or `None` per rollout.
    """
    running = {
        index: background.submit(asynchronous(**_copied(columns)))
        for index, function in enumerate(functions)
        if (asynchronous := coroutine_function(function)) is not None
    }
    try:
        returned = {}
        for index, function in enumerate(functions):
            if index not in running:
                with timed(names[index]):
                    returned[index] = function(**_copied(columns))
        for index, future in running.items():
            returned[index] = future.result()
    finally:
        for future in running.values():
            future.cancel()  # of those that are not done, if another has failed
    count = len(columns["images"])
    parts = [to_numbers(returned[index], names[index], count) for index in range(len(functions))]
    return torch.stack(parts, dim=1)


def _copied(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Lists and tensors for one reward. Rows that share a tensor share its copy, too."""
    copies: dict[int, torch.Tensor] = {}

    def own(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in copies:
            copies[id(value)] = value.clone()
        return copies[id(value)]

    return {
        name: [own(value) for value in values] if isinstance(values, list) else values
        for name, values in columns.items()
    }


def to_numbers(rewards: Any, name: str, count: int) -> torch.Tensor:
    """What a reward returned as `(N, 2)`: see [`call_rewards`]."""
    if not hasattr(rewards, "__len__") or len(rewards) != count:
        found = len(rewards) if hasattr(rewards, "__len__") else type(rewards).__name__
        raise ValueError(
            f"`reward {name}` must be a list of one number per image ({count}), but got {found}. Correct it."
        )
    silent = [reward is None for reward in rewards]
    values = [float("nan") if reward is None else float(reward) for reward in rewards]
    return torch.stack([torch.tensor(values), torch.tensor(silent, dtype=torch.float32)], dim=1)


__all__ = ["BackgroundLoop", "RewardFunction", "call_rewards", "coroutine_function", "to_numbers"]
