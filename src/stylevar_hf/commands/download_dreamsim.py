# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar download-dreamsim`: the weights of the DreamSim reward."""

import argparse
import json
import sys
import time

from .base import Command, add_reporting_arguments


# The types of dreamsim 0.2.1, here again so that a help needs no torch; a test compares them.
TYPES = (
    "dino_vitb16",
    "ensemble",
    "dinov2_vitb14",
    "clip_vitb32",
    "open_clip_vitb32",
    "synclr_vitb16",
    "dino_vitb16_patch",
    "dinov2_vitb14_patch",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="where they go, and what DreamSimReward gets as `cache_dir` (default: $STYLEVAR_CACHE/dreamsim, or "
        "$HF_HOME/stylevar-hf/dreamsim)",
    )
    parser.add_argument(
        "--dreamsim-type",
        choices=TYPES,
        default=TYPES[0],
        help=f"which DreamSim (default: {TYPES[0]}, the published reward)",
    )
    parser.add_argument("--archive", metavar="FILE", help="the release's zip file, if it was fetched by other means")
    add_reporting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..measures.dreamsim_download import download_dreamsim

    start = time.perf_counter()
    try:
        folder = download_dreamsim(args.cache_dir, args.dreamsim_type, args.archive, progress=not args.quiet)
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    except RuntimeError as error:  # weights that do not load
        raise OSError(str(error)) from error
    if args.json:
        seconds = round(time.perf_counter() - start, 3)
        summary = {"outputs": [str(folder)], "dreamsim_type": args.dreamsim_type, "seconds": seconds}
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write(f"{folder}\n")
    return 0


COMMAND = Command(
    name="download-dreamsim",
    summary="fetch the weights of the DreamSim reward",
    example="stylevar download-dreamsim --cache-dir dreamsim\n"
    "stylevar download-dreamsim --cache-dir dreamsim --archive dreamsim_dino_vitb16_checkpoint.zip",
    add_arguments=add_arguments,
    run=run,
    flags={"cache_dir": "--cache-dir", "dreamsim_type": "--dreamsim-type", "archive": "--archive"},
)
