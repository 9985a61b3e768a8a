# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`stylevar data make`: a training set from contents and styles, painted by a teacher. `stylevar data check`: every
broken and every unpaired file of a data folder, before a training run finds them.
"""

import argparse
import dataclasses
import json
import os
import sys

from .base import Command, add_reporting_arguments, number


EXIT_PROBLEMS = 1
MAKE_EXAMPLE = "stylevar data make photographs paintings -o taught --num-triplets 2000"
CHECK_EXAMPLE = "stylevar data check OmniStyle-150K\nstylevar data check ImagePulse --format imagepulse --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_make(actions)
    _add_check(actions)


def _add_make(actions) -> None:
    make = actions.add_parser(
        "make",
        help="let a teacher paint triplets from contents and styles",
        description="Make a training set from a folder of contents and one of styles, without targets: a teacher "
        "paints these. A command that was stopped goes on where it was when it is repeated. Under `accelerate launch` "
        "several processes share the work.",
        epilog=f"examples:\n  {MAKE_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    make.add_argument("contents", metavar="CONTENTS", help="a folder of photographs, with its subfolders")
    make.add_argument("styles", metavar="STYLES", help="a folder of paintings, with its subfolders")
    make.add_argument("-o", "--output", required=True, metavar="DIR", help="a new folder, or one to go on with")
    make.add_argument(
        "--teacher",
        default="magenta",
        metavar="NAME",
        help="magenta (the default; pip install 'stylevar-hf[teach]'), reinhard, adain:DIR, a StyleVAR checkpoint, "
        "or module:function, a function (content, style) -> image of yours",
    )
    positive = number(int, "a positive integer", lambda value: value >= 1)
    make.add_argument(
        "-n", "--num-triplets", type=positive, default=1000, metavar="N", help="how many (default: 1000)"
    )
    make.add_argument(
        "--image-size", type=positive, default=256, metavar="N", help="side of the pictures, in pixels (default: 256)"
    )
    make.add_argument(
        "--min-crop",
        type=number(float, "a number in (0, 1]", lambda value: 0 < value <= 1),
        default=0.6,
        metavar="X",
        help="side of the smallest square that is cut out, as a share of the short side (default: 0.6)",
    )
    make.add_argument("--no-flip", action="store_true", help="mirror nothing (default: half of all pictures)")
    make.add_argument(
        "--image-format", choices=("png", "jpeg"), default="png", help="jpeg takes a third of the room (default: png)"
    )
    make.add_argument(
        "--seed",
        type=number(int, "an integer of at least 0", lambda value: value >= 0),
        default=0,
        metavar="N",
        help="another seed, other triplets (default: 0)",
    )
    make.add_argument(
        "--processes",
        type=positive,
        metavar="N",
        help="with one thread each (default: one per core, at most 16, for magenta and reinhard; 1 for the others)",
    )
    make.add_argument("--device", metavar="NAME", help="where AdaIN and StyleVAR compute (default: the accelerator)")
    make.add_argument("--skip-broken", action="store_true", help="leave out pictures that cannot be decoded")
    add_reporting_arguments(make)
    make.set_defaults(action=_make)


def _add_check(actions) -> None:
    check = actions.add_parser(
        "check",
        help="list every broken and every unpaired file",
        description="Decode every image of a data folder; list every broken and every unpaired file, one per line. "
        "The exit code is 0 if there are no errors, 1 if there are, 2 for bad arguments.",
        epilog=f"examples:\n  {CHECK_EXAMPLE}".replace("\nstylevar", "\n  stylevar"),
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
    check.set_defaults(action=_check)


def run(args: argparse.Namespace) -> int:
    try:
        return args.action(args)
    except ModuleNotFoundError as error:
        raise ValueError(f"`stylevar data` needs {error.name}: pip install 'stylevar-hf[train]'.") from error


def _make(args: argparse.Namespace) -> int:
    from ..data.making import make_triplets

    report = make_triplets(
        args.contents,
        args.styles,
        args.teacher,
        args.output,
        args.num_triplets,
        args.seed,
        image_size=args.image_size,
        min_crop=args.min_crop,
        flip=not args.no_flip,
        image_format=args.image_format,
        num_proc=args.processes or _default_processes(args.teacher),
        device=args.device,
        skip_broken=args.skip_broken,
        progress=not args.quiet,
    )
    for problem in report.left_out if not args.quiet else ():
        sys.stderr.write(f"stylevar: left out: {problem}\n")
    if args.json:
        facts = {**dataclasses.asdict(report), "output_dir": str(report.output_dir), "teacher": args.teacher}
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write(f"{report.output_dir}\n")
    return 0


def _default_processes(teacher: str) -> int:
    """One per core where a teacher computes on the CPU alone and nobody else shares the work."""
    if teacher not in ("magenta", "reinhard") or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return 1
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def _check(args: argparse.Namespace) -> int:
    from ..data.folder_report import check_folder

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
    summary="make a data folder, or check one before training",
    example=f"{MAKE_EXAMPLE}\n{CHECK_EXAMPLE}",
    add_arguments=add_arguments,
    run=run,
    flags={
        "contents": "CONTENTS",
        "device": "--device",
        "format": "--format",
        "image_size": "--image-size",
        "num_triplets": "--num-triplets",
        "output_dir": "--output",
        "root": "ROOT",
        "skip_broken": "--skip-broken",
        "styles": "STYLES",
        "teacher": "--teacher",
    },
)
