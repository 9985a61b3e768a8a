# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the subcommands of `stylevar` share. Nothing heavy is imported here: it runs at every start."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


EXIT_BAD_INPUT = 2


@dataclass(frozen=True)
class Command:
    """
    One subcommand.

    Args:
        name (`str`):
            The word after `stylevar`.
        summary (`str`):
            One line for `stylevar --help`.
        example (`str`):
            A worked example for both helps, one command per line.
        add_arguments (`Callable[[argparse.ArgumentParser], None]`):
            Declares the arguments. It runs at every start, so it imports nothing heavy.
        run (`Callable[[argparse.Namespace], int]`):
            Does the work and returns the exit code. `ValueError` and `OSError` mean bad input.
        flags (`Mapping[str, str]`, *optional*):
            What the command line calls the arguments of the Python API, for its error messages.
        parses_itself (`bool`, *optional*, defaults to `False`):
            `run` gets the words behind the command, as `arguments`: making its parser takes more than a moment.
    """

    name: str
    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    flags: Mapping[str, str] = field(default_factory=dict)
    parses_itself: bool = False


def number(kind: type, rule: str, holds: Callable[[Any], bool]) -> Callable[[str], Any]:
    """
    An argparse type.

    Args:
        kind (`type`): `int` or `float`.
        rule (`str`): What the number must be, in words.
        holds (`Callable[[Any], bool]`): The same as a test.
    """

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not holds(value):
            raise argparse.ArgumentTypeError(f"must be {rule}, but got {text!r}")
        return value

    return parse


def add_reporting_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no notices, no list of files")


def report_error(error: Exception | str, flags: Mapping[str, str] | None = None) -> None:
    """One line on stderr, worded as argparse does, and with its flags for the arguments of the Python API."""
    message = re.sub(r"`([\w=]+)`", lambda match: (flags or {}).get(match[1], match[0]), one_line(error))
    sys.stderr.write(f"stylevar: error: {message}\n")


def one_line(error: Exception | str) -> str:
    return " ".join(str(error).split()) or type(error).__name__
