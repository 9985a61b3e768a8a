# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar convert`: published `.pth` files to a model folder, and back."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .base import Command, add_reporting_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "repository",
        metavar="REPO",
        nargs="?",
        help="a repository with the published files, such as Senfier-LiqiJing/StyleVAR, instead of --vq and --model; "
        "these may be named on the Hub, too: hf://USER/NAME/FILE or hf://USER/NAME@REVISION/FILE",
    )
    parser.add_argument("--variant", metavar="NAME", help="with REPO: which of its models, sft or grpo")
    parser.add_argument("--revision", metavar="NAME", help="with REPO: branch, tag or commit (default: main)")
    parser.add_argument("--token", metavar="TOKEN", help="with REPO: for a private repository (default: your login's)")
    parser.add_argument("--vq", metavar="FILE", help="the tokenizer, vae_ch160v4096z32.pth")
    parser.add_argument("--model", metavar="FILE", help="StyleVAR weights: the released .pth or a training checkpoint")
    parser.add_argument("-o", "--output", metavar="DIR", help="the folder to make")
    parser.add_argument("--base", metavar="FILE", help="the weights below --model, if that holds a LoRA adapter only")
    parser.add_argument(
        "--blend-alphas",
        metavar="SCHEDULE",
        type=_blend_alphas,
        help="weight of the style at each scale: 'default' (published inference), 'released-sft' (what the released "
        "supervised weights were probably trained with), or one number per scale, separated by commas "
        "(default: default)",
    )
    parser.add_argument("--var", metavar="FILE", help="instead of --model: vanilla var_dN.pth, to start training from")
    parser.add_argument("--resnet", metavar="FILE", help="with --var: ImageNet resnet18.pth for both image encoders")
    parser.add_argument(
        "--to-original",
        metavar="DIR",
        help="the way back: write this folder's model to the files --vq and --model",
    )
    parser.add_argument(
        "--patch-nums",
        metavar="A,B,...",
        type=_patch_nums,
        help="the ladder, for files that do not hold it and do not have the published one",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="precision to store (default: that of the input)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the output")
    add_reporting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    _check_arguments(args)
    _check_files(args)
    from .models import hub_bars

    start = time.perf_counter()
    writing = {"overwrite": args.overwrite, "progress": not args.quiet}
    making = {"blend_alphas": args.blend_alphas or "default", "patch_nums": args.patch_nums, "dtype": args.dtype}
    with hub_bars(not args.quiet):
        outputs = _convert(args, making, writing)
    seconds = round(time.perf_counter() - start, 3)
    if args.json:
        summary = {"outputs": [str(path) for path in outputs], "seconds": seconds}
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write("".join(f"{path}\n" for path in outputs))
    return 0


def _convert(args: argparse.Namespace, making: dict[str, Any], writing: dict[str, Any]) -> Sequence[Path]:
    """What was asked for; the files and folders that it made."""
    from .. import conversion

    if args.repository:
        place = {"revision": args.revision, "token": args.token}
        return [
            conversion.convert_repository(args.repository, args.output, args.variant, **place, **making, **writing)
        ]
    if args.to_original:
        return conversion.convert_to_original(args.to_original, args.vq, args.model, **writing)
    if args.var:
        return [conversion.convert_var_checkpoint(args.vq, args.var, args.resnet, args.output, **making, **writing)]
    base = {"base_path": args.base}
    return [conversion.convert_original_checkpoint(args.vq, args.model, args.output, **base, **making, **writing)]


# What each direction of `stylevar convert` needs, and what it may have besides.
_DIRECTIONS = {
    "repository": ({"repository", "output"}, {"variant", "revision", "token", "blend_alphas", "patch_nums", "dtype"}),
    "to_original": ({"vq", "model"}, set()),
    "var": ({"vq", "var", "resnet", "output"}, {"blend_alphas", "patch_nums", "dtype"}),
    "model": ({"vq", "model", "output"}, {"base", "blend_alphas", "patch_nums", "dtype"}),
}


def _check_arguments(args: argparse.Namespace) -> None:
    kinds = {"repository": args.repository, "to_original": args.to_original, "var": args.var or args.resnet}
    direction = next((kind for kind, given in kinds.items() if given), "model")
    needed, optional = _DIRECTIONS[direction]
    others = set().union(*(one | other for one, other in _DIRECTIONS.values()))
    given = {name for name in others if getattr(args, name) is not None}
    for problem, names in (("needs", needed - given), ("does not take", given - needed - optional)):
        if names:
            flags = ", ".join(_flag(name) for name in sorted(names))
            raise ValueError(f"`stylevar convert` with {_flag(direction)} {problem} {flags}. Its help has examples.")


def _check_files(args: argparse.Namespace) -> None:
    """Raises `FileNotFoundError` if a file is missing, before anything slow is imported."""
    for name in () if args.to_original else ("vq", "model", "base", "var", "resnet"):
        place = getattr(args, name)
        on_the_hub = place is not None and re.fullmatch(r"hf://.*|[\w.-]+/[\w.-]+", place)
        if place is not None and not on_the_hub and not os.path.exists(os.path.expanduser(place)):
            raise FileNotFoundError(f"{_flag(name)} must be an existing file, but got {place}. Check the path.")


def _flag(name: str) -> str:
    return "REPO" if name == "repository" else f"--{name.replace('_', '-')}"


def _blend_alphas(text: str) -> str | tuple[float, ...]:
    if text in ("default", "released-sft"):
        return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        rule = "'default', 'released-sft' or numbers separated by commas"
        raise argparse.ArgumentTypeError(f"must be {rule}, but got {text!r}") from None


def _patch_nums(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be integers separated by commas, but got {text!r}") from None


COMMAND = Command(
    name="convert",
    summary="turn published .pth files into a model folder, or back",
    example="stylevar convert Senfier-LiqiJing/StyleVAR --variant grpo -o stylevar-grpo\n"
    "stylevar convert --vq vae_ch160v4096z32.pth --model StyleVAR_SFT.pth --output stylevar-sft\n"
    "stylevar convert --vq vae_ch160v4096z32.pth --var var_d20.pth --resnet resnet18.pth --output start\n"
    "stylevar convert --to-original stylevar-sft --vq vae.pth --model stylevar.pth",
    add_arguments=add_arguments,
    run=run,
    flags={
        "repo_id": "REPO",
        "variant": "--variant",
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
    },
)
