# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What is compared: checkpoints, the same checkpoints with other pairs' styles or at other strengths, controls that do
nothing clever, baselines, and any generator of your own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from .._common.errors import invalid
from .baselines import BASELINE_TITLES
from .run_folder import file_name


@dataclass(frozen=True)
class System:
    """
    One row of the tables.

    Args:
        name (`str`):
            What files and results call it.
        title (`str`):
            What tables call it.
        kind (`str`):
            `"model"`: a checkpoint; `"swapped"`: a checkpoint given another pair's style; `"strength"`: a checkpoint
            at another strength, a point of its curve and no row; `"control"`; `"baseline"`; `"generator"`: one of your
            own.
        model (`str`, *optional*):
            The name of the checkpoint that paints.
        style_strength (`float`, *optional*):
            With what strength, where a checkpoint paints.
    """

    name: str
    title: str
    kind: str
    model: str | None = None
    style_strength: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether differences to all other rows are taken of it."""
        return self.kind in ("model", "generator")


CONTROLS = ("content", "style", "reinhard")
SWAPPED = "swapped"  # the model's own control
BASELINE_NAMES = (*CONTROLS, SWAPPED, *(name for name in BASELINE_TITLES if name not in CONTROLS))


def name_models(paths: Sequence[str]) -> dict[str, str]:
    """
    A short name for each checkpoint: the last part of its path or id, with the one before it where that is not enough.

    Returns:
        `dict[str, str]`: Name to path or id.

    Raises:
        ValueError: If one is given twice.
    """
    parts = [[part for part in PurePath(path).parts if part != "/"] or [path] for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    if not paths:
        return {}
    raise invalid("models", "different checkpoints", f"{', '.join(paths)}", "Name each once.")


def list_systems(
    models: Sequence[str],
    generators: Sequence[str],
    baselines: Sequence[str],
    style_strength: float,
    strengths: Sequence[float],
) -> list[System]:
    """
    The rows of the tables, in their order, and the points of the curves.

    Raises:
        ValueError: If a baseline is unknown, or two rows have one name.
    """
    if unknown := [name for name in baselines if name not in BASELINE_NAMES]:
        raise invalid("baselines", f"of {', '.join(BASELINE_NAMES)}", repr(unknown[0]), "Choose of these.")
    systems = [System(name, name, "model", name, style_strength) for name in models]
    systems += [System(name, name, "generator") for name in generators]
    chosen = {name: title for name, title in BASELINE_TITLES.items() if name in baselines}
    systems += [System(name, title, "baseline") for name, title in chosen.items() if name not in CONTROLS]
    systems += [System(name, title, "control") for name, title in chosen.items() if name in CONTROLS]
    for name in models:
        if SWAPPED in baselines:
            title = f"{name}, another pair's style"
            systems.append(System(f"{name}+swapped", title, "swapped", name, style_strength))
    for name in models:
        systems += [
            System(f"{name}+strength{strength:+g}", f"{name}, strength {strength:+g}", "strength", name, strength)
            for strength in strengths
            if strength != style_strength
        ]
    names = [file_name(system.name).casefold() for system in systems]  # their pictures must not share a folder
    if twice := [system.name for system, name in zip(systems, names, strict=True) if names.count(name) > 1]:
        raise invalid("generators", "named unlike the checkpoints and the baselines", repr(twice[0]), "Rename it.")
    return systems


def parse_strengths(text: str) -> tuple[float, tuple[float, ...]]:
    """
    The strength of the tables and those of the curve: `"0.3"` is 0.3 and no curve, `"-1:1:5"` is 0 and a curve over
    -1, -0.5, 0, 0.5, 1.

    Raises:
        ValueError: If it is neither.
    """
    rule, hint = "a number in [-1, 1], or LOW:HIGH:COUNT", "Try -1:1:5."
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and -1 <= numbers[0] <= 1:
        return numbers[0], ()
    if len(numbers) == 3 and -1 <= numbers[0] < numbers[1] <= 1 and numbers[2] in range(2, 101):
        low, high, count = numbers[0], numbers[1], int(numbers[2])
        step = (high - low) / (count - 1)
        return 0.0, tuple(round(low + step * k, 6) for k in range(count))
    raise invalid("style_strength", rule, repr(text), hint)


__all__ = ["BASELINE_NAMES", "System", "list_systems", "name_models", "parse_strengths"]
