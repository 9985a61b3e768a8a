# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A reward in a process of its own: on another device, or beside a training that must not share memory with it."""

import multiprocessing
import pickle
import signal
import traceback
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import torch

from .base import Reward
from .registry import get_reward


CLOSING_SECONDS = 5.0


class RewardInProcess:
    """
    Runs a reward in another process, started (by "spawn") when it is first used. Use it like the reward itself.

    Pictures travel as float32 arrays, each object once. Of the other inputs, a [`Reward`] gets the pictures that it
    requires, and another callable whatever can be pickled of the columns. A script that makes one must be guarded by
    `if __name__ == "__main__":`, as for any process that Python spawns.

    Args:
        reward (`str` or `Callable`):
            A reward, a function at the top level of a module, or what [`get_reward`] takes.
        device (`str` or `torch.device`, *optional*):
            Where the process computes. Defaults to the reward's own `device`, else the CPU.
        timeout (`float`, *optional*):
            Seconds that one call may take, the start of the process included. Defaults to no limit.
        options:
            Arguments of the reward's class, if `reward` is a string.

    Raises:
        ValueError: If an argument does not fit.

    Example:

    ```python
    >>> with RewardInProcess("dreamsim", device="cuda:1", cache_dir="dreamsim") as reward:
    ...     trainer = StyleVARGRPOTrainer(..., reward_funcs=[reward])
    ...     trainer.train()
    ```
    """

    def __init__(
        self,
        reward: str | Callable,
        device: str | torch.device | None = None,
        timeout: float | None = None,
        **options,
    ):
        if timeout is not None and not timeout > 0:
            raise ValueError(f"`timeout` must be a positive number of seconds, but got {timeout!r}. Omit it for none.")
        if isinstance(reward, str):
            reward = get_reward(reward, **options)
        elif options:
            raise ValueError(f"`reward` must be a string to take options ({', '.join(options)}), but got {reward!r}.")
        if not callable(reward):
            raise ValueError(f"`reward` must be callable or a string, but got {reward!r}. See `get_reward`.")
        self.reward = reward
        self.device = str(device or getattr(reward, "device", None) or "cpu")
        self.timeout = timeout
        self.requires = tuple(getattr(reward, "requires", ()))
        self.__name__ = getattr(reward, "__name__", type(reward).__name__)
        self._connection: Connection | None = None
        self._process = None
        self._finalizer = None

    def __enter__(self) -> "RewardInProcess":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_connection": None, "_process": None, "_finalizer": None}

    def prepare(self, device: str | torch.device | None = None) -> None:
        """Starts the process and loads the reward there. `device` is not used: the process has its own."""
        if self._process is None:
            self._start()
        self._ask("prepare", None)

    def __call__(self, images: Sequence[torch.Tensor], **inputs) -> list[float]:
        """As the reward's own; errors of the process are raised here, with their traceback there as a note."""
        if self._process is None:
            self._start()
        kept = {"images": images, **self._select(inputs)}
        arrays: dict[int, object] = {}  # an object that is there twice is sent once and arrives as one object
        return self._ask("call", {name: _to_arrays(value, arrays) for name, value in kept.items()})

    def close(self) -> None:
        """Ends the process. A later call starts another."""
        self._close(CLOSING_SECONDS)

    def _close(self, patience: float) -> None:
        if self._finalizer is not None and self._finalizer.detach():
            _end(self._connection, self._process, patience)
        self._connection = self._process = self._finalizer = None

    def _select(self, inputs: dict) -> dict:
        if isinstance(self.reward, Reward):
            names = {f"{name}_images" for name in self.requires}
            return {name: value for name, value in inputs.items() if name in names}
        return {name: value for name, value in inputs.items() if not callable(value)}  # not `log_metric` and the like

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        name = f"reward-{self.__name__}"
        self._process = context.Process(target=_serve, args=(theirs, self.reward, self.device), name=name, daemon=True)
        self._finalizer = weakref.finalize(self, _end, self._connection, self._process, CLOSING_SECONDS)
        try:
            self._process.start()
        except Exception:
            self._connection = self._process = None
            raise
        finally:
            theirs.close()

    def _ask(self, action: str, inputs: dict | None) -> list[float] | None:
        try:
            self._connection.send((action, inputs))
            if not self._connection.poll(self.timeout):
                self._close(patience=0)
                raise TimeoutError(
                    f"The reward '{self.__name__}' must answer within {self.timeout:g} s, but did not. Raise it."
                )
            failed, answer = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            process = self._process
            process.join(CLOSING_SECONDS)
            code = process.exitcode
            self.close()
            raise RuntimeError(
                f"The process of the reward '{self.__name__}' ended with exit code {code} (-9: killed, perhaps for "
                "memory). Its own messages are above, if it left any; lower `batch_size` if memory ran out."
            ) from error
        except KeyboardInterrupt:
            self._close(patience=0)  # an answer that comes later would be taken for the next one's
            raise
        if failed:
            error, trace = answer
            error.add_note(f"In the process of the reward '{self.__name__}':\n{trace}")
            raise error
        return answer


def _serve(connection: Connection, reward: Callable, device: str) -> None:
    """The process: answers until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent decides
    if isinstance(reward, Reward):
        reward.device = device
    while True:
        try:
            action, inputs = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            if action == "prepare":
                answer = reward.prepare(device) if hasattr(reward, "prepare") else None
            else:
                tensors: dict[int, torch.Tensor] = {}
                inputs = {name: _to_tensors(value, tensors, device) for name, value in inputs.items()}
                answer = reward(**inputs)
                answer = None if answer is None else [None if one is None else float(one) for one in answer]
            message = (False, answer)
        except Exception as error:
            message = (True, (_portable(error), traceback.format_exc()))
        connection.send(message)


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same if it does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end(connection: Connection, process, patience: float) -> None:
    connection.close()  # an idle process sees that and ends
    if process.pid is None:
        return
    process.join(patience)
    if process.is_alive():
        process.terminate()
        process.join(CLOSING_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


class _Array:
    """A tensor on its way: the object is what tells equal pictures from one and the same."""

    def __init__(self, tensor: torch.Tensor):
        self.values = tensor.detach().cpu().float().numpy() if tensor.is_floating_point() else tensor.cpu().numpy()


def _to_arrays(value, arrays: dict):
    if isinstance(value, torch.Tensor):
        if id(value) not in arrays:
            arrays[id(value)] = _Array(value)
        return arrays[id(value)]
    if isinstance(value, (list, tuple)):
        return [_to_arrays(entry, arrays) for entry in value]
    return value


def _to_tensors(value, tensors: dict, device: str):
    if isinstance(value, _Array):
        if id(value) not in tensors:
            tensors[id(value)] = torch.from_numpy(value.values).to(device)
        return tensors[id(value)]
    if isinstance(value, list):
        return [_to_tensors(entry, tensors, device) for entry in value]
    return value


__all__ = ["RewardInProcess"]
