# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Names of rewards, and rewards of one's own by `module:function`."""

import ast
import functools
import importlib
import inspect
from collections.abc import Callable


# The name in configs and logs, the module that holds the class, and the class.
REWARDS = {
    "dreamsim": ("dreamsim", "DreamSimReward"),
    "ssim": ("similarity", "SSIMReward"),
    "lpips": ("similarity", "LPIPSReward"),
    "gram-style": ("style_content", "GramStyleReward"),
    "content": ("style_content", "ContentReward"),
    "perceptual": ("style_content", "PerceptualReward"),
    "style-statistics": ("style_content", "StyleStatisticsReward"),
    "clip": ("similarity", "CLIPReward"),
    "color-statistics": ("statistics", "ColorStatisticsReward"),
    "texture-statistics": ("statistics", "TextureStatisticsReward"),
    "remote": ("remote", "RemoteReward"),
}


def get_reward(spec: str, **options) -> Callable[..., list[float]]:
    """
    The reward that a string names, as on the command line.

    Args:
        spec (`str`):
            A registered name (a key of [`REWARDS`], such as `"dreamsim"` or `"ssim"`), optionally with options,
            `"dreamsim:dreamsim_type=open_clip_vitb32,scale=2"`; the address of a server, `"http://..."` or
            `"https://..."`; or `"module:function"`, a callable of one's own. A class there is called with the options.
        options:
            Arguments of the reward's class. They go before those in `spec`.

    Returns:
        `Callable`: Takes `images=`, `content_images=`, `style_images=`, `target_images=` and the columns of the data
        set as keyword arguments, lists with one entry per row, and returns one float per row.

    Raises:
        ValueError: If there is no reward of that name, or it has no such option.
        ModuleNotFoundError: If the module, or a package that the reward needs, is not installed.
        AttributeError: If the module has no such attribute.
        TypeError: If what the module has is not callable, or `spec` is not a string.
    """
    if not isinstance(spec, str):
        raise TypeError(
            f"`spec` must be a string, but got {type(spec).__name__}. Hand callables to the trainer as is."
        )
    name, colon, rest = spec.partition(":")
    if rest.startswith("//") and name in ("http", "https"):
        return get_reward("remote", url=spec, **options)
    if name in REWARDS:
        module, attribute = REWARDS[name]
        kind = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return _create(kind, name, {**(_parse_options(spec, rest) if colon else {}), **options})
    if not (colon and name and rest):
        raise ValueError(
            f"A reward must be one of {', '.join(REWARDS)}, or `module:function`, but got {spec!r}. Correct it."
        )
    return _load_callable(spec, name, rest, options)


def _load_callable(spec: str, module_name: str, path: str, options: dict) -> Callable[..., list[float]]:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it imports is not
        raise ModuleNotFoundError(
            f"The reward {spec!r} must be `module:function`, but there is no module {error.name!r}. Check the "
            f"spelling, name one of {', '.join(REWARDS)}, or put the module's folder into PYTHONPATH.",
            name=error.name,
        ) from None
    try:
        found = functools.reduce(getattr, path.split("."), module)
    except AttributeError:
        raise AttributeError(
            f"The reward {spec!r} must be `module:function`, but {module_name!r} ({module.__file__}) has no "
            f"{path!r}. Check the spelling."
        ) from None
    if inspect.isclass(found):
        return _create(found, spec, options)
    if not callable(found):
        raise TypeError(
            f"The reward {spec!r} must be callable, but is of type {type(found).__name__}. Name a function or a class."
        )
    if options:
        raise ValueError(
            f"The reward {spec!r} must be a class to take options ({', '.join(options)}), but is a function. Set them "
            "in the module."
        )
    return found


def _create(kind: type, name: str, options: dict) -> Callable[..., list[float]]:
    parameters = inspect.signature(kind).parameters
    unknown = sorted(set(options) - set(parameters))
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise ValueError(
            f"The options of the reward {name!r} must be among {', '.join(parameters)}, but got {', '.join(unknown)}. "
            "Check the spelling."
        )
    reward = kind(**options)
    if not callable(reward):
        raise TypeError(f"The reward {name!r} must be callable, but {kind.__name__} has no `__call__`. Add one.")
    return reward


def _parse_options(spec: str, text: str) -> dict:
    """`"a=1,b=x"` to `{"a": 1, "b": "x"}`: Python literals where they are, else strings."""
    options = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key.isidentifier() and equals):
            raise ValueError(
                f"A reward with options must be `name:option=value,...`, but got {spec!r}. Correct {part!r}."
            )
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return options


__all__ = ["REWARDS", "get_reward"]
