# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The `stylevar` command. A subcommand is a [`Command`](commands/base.py) in `COMMANDS`.

What a subcommand makes goes to stdout (the files written, one per line, or one JSON object); progress and notices go
to stderr. Bad input ends with one line on stderr and exit code 2.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from ._common.version import __version__
from .commands import benchmark, convert, data, demo, download_dreamsim, env, evaluate, push, serve, stylize, train
from .commands.base import EXIT_BAD_INPUT, report_error


COMMANDS = (
    stylize.COMMAND,
    convert.COMMAND,
    evaluate.COMMAND,
    benchmark.COMMAND,
    data.COMMAND,
    demo.COMMAND,
    serve.COMMAND,
    download_dreamsim.COMMAND,
    push.COMMAND,
    *train.COMMANDS,
    env.COMMAND,
)


class OneLineParser(argparse.ArgumentParser):
    """Reports a bad argument in one line; argparse would print the whole usage above it."""

    def error(self, message: str) -> None:
        self.exit(EXIT_BAD_INPUT, f"stylevar: error: {message} (see `{self.prog} --help`)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `stylevar` and all its subcommands."""
    raw = argparse.RawDescriptionHelpFormatter
    examples = "\n".join(command.example for command in COMMANDS)
    parser = OneLineParser(
        prog="stylevar",
        description="Reference-based style transfer with StyleVAR.",
        epilog=f"examples:\n{_indent(examples)}\n\n`stylevar COMMAND --help` lists the options of a command.",
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stylevar-hf {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"examples:\n{_indent(command.example)}",
            formatter_class=raw,
            allow_abbrev=False,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)
    return parser


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines()).rstrip("\n")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Entry point of the `stylevar` command.

    Args:
        argv (`Sequence[str]`, *optional*):
            Arguments after the program's name. Defaults to those of the process.

    Returns:
        `int`: The exit code: 0, or 2 for bad input.
    """
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no run
    words = sys.argv[1:] if argv is None else list(argv)
    own = {command.name: command for command in COMMANDS if command.parses_itself}
    if words and words[0] in own:
        args = argparse.Namespace(command=own[words[0]], arguments=words[1:])
    else:
        args = build_parser().parse_args(words)
    try:
        return args.command.run(args)
    except (ValueError, OSError) as error:
        report_error(error, args.command.flags)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
