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
"""What the subcommands of `stylevar` share. Nothing heavy is imported here: it runs at every start."""

import argparse
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


EXIT_BAD_INPUT = 2

# What the Python API calls a thing in its error messages, and what the command line calls it.
_FLAGS = {
    "vq_path": "--vq",
    "model_path": "--model",
    "var_path": "--var",
    "resnet_path": "--resnet",
    "base_path": "--base",
    "model_dir": "--to-original",
    "output_dir": "--output",
    "blend_alphas": "--blend-alphas",
    "patch_nums": "--patch-nums",
    "dtype": "--dtype",
    "overwrite=True": "--overwrite",
}


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
    """

    name: str
    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


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


def report_error(error: Exception | str) -> None:
    """One line on stderr, as argparse words it."""
    sys.stderr.write(f"stylevar: error: {one_line(error)}\n")


def one_line(error: Exception | str) -> str:
    """The message of an error in the words of the command line."""
    message = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    return re.sub(r"`([\w=]+)`", lambda match: _FLAGS.get(match[1], match[0]), message)
