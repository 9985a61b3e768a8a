# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar data check`: every broken and every unpaired file of a data folder, before a training run finds them."""

import argparse
import dataclasses
import json
import sys

from .base import Command, add_reporting_arguments, number


EXIT_PROBLEMS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="list every broken and every unpaired file",
        description="Decode every image of a data folder; list every broken and every unpaired file, one per line. "
        "The exit code is 0 if there are no errors, 1 if there are, 2 for bad arguments.",
        epilog=f"examples:\n  {COMMAND.example}".replace("\nstylevar", "\n  stylevar"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    check.add_argument("root", metavar="ROOT", help="the data folder; nothing is written to it")
    check.add_argument(
        "--format",
        choices=("auto", "omnistyle", "imagepulse", "folder", "dataset"),
        default="auto",
        help="how the files are laid out (default: auto)",
    )
    at_least_one = number(int, "a positive integer", lambda value: value >= 1)
    check.add_argument(
        "--min-side", type=at_least_one, default=64, metavar="N", help="warn of images with fewer pixels (default: 64)"
    )
    check.add_argument("--workers", type=at_least_one, metavar="N", help="threads (default: one per core, at most 8)")
    check.add_argument("--strict", action="store_true", help="exit with 1 for warnings as well")
    add_reporting_arguments(check)


def run(args: argparse.Namespace) -> int:
    try:
        from ..data.layouts.folders import check_folder
    except ModuleNotFoundError as error:
        raise ValueError(f"`stylevar data` needs {error.name}: pip install 'stylevar-hf[train]'.") from error
    report = check_folder(args.root, args.format, args.min_side, args.workers, progress=not args.quiet)
    if args.json:
        sys.stdout.write(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    elif not args.quiet:
        lines = [str(problem) for problem in report.problems]
        sys.stdout.write("".join(f"{line}\n" for line in (*lines, _summary(report))))
    return EXIT_PROBLEMS if report.errors or (args.strict and report.warnings) else 0


def _summary(report) -> str:
    return (
        f"{report.root} ({report.format}): {report.num_triplets} triplets, {report.num_images} images, "
        f"{len(report.errors)} errors, {len(report.warnings)} warnings"
        + (f"; good for {report.good_for}" if report.num_triplets else "")
    )


COMMAND = Command(
    name="data",
    summary="check a data folder before training",
    example="stylevar data check OmniStyle-150K\nstylevar data check ImagePulse --format imagepulse --json",
    add_arguments=add_arguments,
    run=run,
    flags={
        "root": "ROOT",
        "format": "--format",
    },
)
