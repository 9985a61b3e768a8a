# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`stylevar evaluate`: the paper's table for any checkpoint, beside controls and baselines, with intervals.

A run writes all that it paints and measures to its folder, so that a killed one goes on with `--resume`.
"""

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING

from ..checkpoints import ALIAS, DEFAULT
from ..conversion.loading import find_checkpoint, load_pipeline
from .base import Command, add_reporting_arguments, number
from .models import add_precision_arguments, hide_loading_reports


if TYPE_CHECKING:
    from ..evaluation import EvaluationConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # What argparse takes for a value although it begins with a minus: negative numbers, and here -1:1:5 too.
    parser._negative_number_matcher = re.compile(r"^-[\d.]+(:-?[\d.]+)*$")
    count = number(int, "a positive integer", lambda n: n >= 1)
    parser.add_argument(
        "--model",
        nargs="+",
        default=[ALIAS],
        metavar="ID|DIR",
        help="checkpoints of one image size, on the Hub or in folders, or a name of this package (default: bundled, "
        "that is stylevar-mini)",
    )
    parser.add_argument(
        "--benchmark",
        default="procedural",
        metavar="NAME[:ROOT]",
        help="procedural (the default), omnistyle:ROOT, imagepulse:ROOT, unpaired:CONTENTS,STYLES, "
        "styleid:CONTENTS,STYLES, corpus:CONTENTS,STYLES or triplets:DIR",
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="a new folder for everything")
    parser.add_argument("--num-pairs", type=count, metavar="N", help="pairs per set (default: 200; all for styleid)")
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="which measures (default: all)")
    parser.add_argument(
        "--baselines",
        nargs="*",
        metavar="NAME",
        help="of content, style, reinhard, swapped, adain and magenta; none after a bare flag (default: all)",
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=PATH",
        help="weights of a metric or of adain that are not to be downloaded; transfer=PATH: VGG-19 files for content "
        "and style retrieval and the style distance covered",
    )
    parser.add_argument(
        "--style-strength",
        default="0",
        metavar="X|LOW:HIGH:COUNT",
        help="of the checkpoints, in [-1, 1] (default: 0); or 0 and a curve, such as -1:1:5",
    )
    parser.add_argument(
        "--num-checks",
        type=count,
        default=64,
        metavar="N",
        help="pairs per set for the curve, for style = content and for the tokenizer (default: 64)",
    )
    parser.add_argument("--batch-size", type=count, default=8, metavar="N", help="images at once (default: 8)")
    add_precision_arguments(parser)
    seed = number(int, "an integer in [0, 2**31)", lambda n: 0 <= n < 2**31)
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="N",
        help="of the choice of pairs, the drawing (pair i: N + i) and the intervals (default: 0)",
    )
    parser.add_argument("--gallery-rows", type=count, default=8, metavar="N", help="pairs per gallery (default: 8)")
    parser.add_argument(
        "--hub-dataset",
        metavar="ID",
        help="the data's id on the Hub, for .eval_results (default: omnistyle's; none)",
    )
    parser.add_argument(
        "--validation-fraction",
        type=number(float, "a number between 0 and 1", lambda x: 0 < x < 1),
        default=0.05,
        metavar="X",
        help="share of the contents of omnistyle and imagepulse that training held out (default: 0.05)",
    )
    parser.add_argument(
        "--split-seed", type=seed, default=0, metavar="N", help="which contents training held out (default: 0)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out pairs with missing or broken pictures, and say so"
    )
    add_reporting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    try:
        from ..evaluation import run_evaluation

        config = _config(args)
    except ModuleNotFoundError as error:
        raise ValueError(f"`stylevar evaluate` needs {error.name}: pip install 'stylevar-hf[eval]'.") from error
    with hide_loading_reports(args.quiet):
        results = run_evaluation(
            config,
            load=lambda model: load_pipeline(model, args.dtype, args.device),
            progress=not args.quiet,
        )
    if args.json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    elif not args.quiet:
        names = ("results.json", "results.md", "index.html")
        sys.stdout.write("".join(f"{args.output}/{name}\n" for name in names))
        for one in results["not_computed"]:
            sys.stderr.write(f"stylevar: not computed: {one['title']}: {one['reason']}\n")
    return 0


def _config(args: argparse.Namespace) -> "EvaluationConfig":
    from ..evaluation import EvaluationConfig
    from ..evaluation.systems import name_models, parse_strengths

    names = name_models([DEFAULT if model == ALIAS else model for model in args.model])
    paths = [find_checkpoint(model) for model in args.model]
    style_strength, strengths = parse_strengths(args.style_strength)
    return EvaluationConfig(
        benchmark=args.benchmark,
        output_dir=args.output,
        models=dict(zip(names, paths, strict=True)),
        num_pairs=args.num_pairs,
        metrics=args.metrics,
        baselines=args.baselines,
        weights=dict(_parse_weights(text) for text in args.weights),
        style_strength=style_strength,
        strengths=strengths,
        num_checks=args.num_checks,
        batch_size=args.batch_size,
        dtype=args.dtype,
        device=args.device,
        seed=args.seed,
        gallery_rows=args.gallery_rows,
        hub_dataset=args.hub_dataset,
        validation_fraction=args.validation_fraction,
        split_seed=args.split_seed,
        resume=args.resume,
        allow_missing=args.allow_missing,
    )


def _parse_weights(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise ValueError(f"`weights` must be NAME=PATH, but got {text!r}. Try --weights lpips=vgg16.pth.")
    return name, path


COMMAND = Command(
    name="evaluate",
    summary="judge checkpoints on a benchmark, beside controls and baselines",
    example="stylevar evaluate -o evaluation --style-strength -1:1:5\n"
    "stylevar evaluate --model stylevar-sft stylevar-grpo --benchmark omnistyle:OmniStyle-150K -o evaluation",
    add_arguments=add_arguments,
    run=run,
    flags={
        "allow_missing": "--allow-missing",
        "baselines": "--baselines",
        "batch_size": "--batch-size",
        "benchmark": "--benchmark",
        "content_dir": "CONTENTS of --benchmark",
        "dataset": "--benchmark",
        "metrics": "--metrics",
        "models": "--model",
        "output_dir": "--output",
        "resume": "--resume",
        "root": "--benchmark",
        "source": "--benchmark",
        "style_dir": "STYLES of --benchmark",
        "style_strength": "--style-strength",
        "weights": "--weights",
    },
)
