# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar benchmark`: seconds per image, memory, and how close bfloat16 comes to float32, on this machine."""

import argparse
import json
import sys

from ..conversion.loading import check_device
from .base import Command, add_reporting_arguments, number
from .models import add_model_argument


_at_least_one = number(int, "a positive integer", lambda value: value >= 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=("float32", "bfloat16", "float16"),
        default=["float32"],
        help="precisions to time (default: float32)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="(default: cpu)")
    parser.add_argument("--batch-size", nargs="+", type=_at_least_one, default=[1], metavar="N", help="default: 1")
    parser.add_argument("--repeats", type=_at_least_one, default=3, metavar="N", help="timed rounds (default: 3)")
    parser.add_argument(
        "--clock",
        choices=("wall", "process"),
        default="wall",
        help="process: seconds of the processor on one thread, for a machine that does other work (default: wall)",
    )
    parser.add_argument("--agreement", action="store_true", help="compare the codes of bfloat16 and float32")
    parser.add_argument(
        "--published-code", metavar="DIR", help="a checkout of the published code, to time beside ours"
    )
    parser.add_argument("--vq", metavar="FILE", help="with --published-code: its VQ-VAE .pth")
    parser.add_argument("--checkpoint", metavar="FILE", help="with --published-code: its StyleVAR .pth")
    add_reporting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    given = [value is not None for value in (args.published_code, args.vq, args.checkpoint)]
    if any(given) and not all(given):
        raise ValueError("`--published-code` must come with `--vq` and `--checkpoint`: all three or none.")
    if args.published_code and not args.model:
        raise ValueError("`--published-code` must come with `--model`, the same weights converted.")
    if args.clock == "process" and args.device != "cpu":
        raise ValueError("`--clock process` must come with `--device cpu`: it counts the seconds of the processor.")
    check_device(args.device)
    from ..evaluation.speed import measure

    report = measure(
        args.model,
        dtypes=args.dtype,
        device=args.device,
        batch_sizes=args.batch_size,
        repeats=args.repeats,
        compare_precision=args.agreement,
        published=(args.published_code, args.vq, args.checkpoint) if args.published_code else None,
        progress=not args.quiet,
        clock=args.clock,
    )
    sys.stdout.write((json.dumps(report, indent=2) if args.json else _table(report)) + "\n")
    return 0


def _table(report: dict) -> str:
    """The report as a Markdown table, as README has it."""
    lines = [
        "| code | dtype | batch | s / image | s / image, transformer | GFLOP/s (share of peak) | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        rate = f"{row['gflop_per_second']:.0f} ({row['share_of_peak']:.0%})" if "share_of_peak" in row else ""
        lines.append(
            f"| {row['code']} | {row['dtype']} | {row['batch_size']} | {row['total']:.2f} | {row['transformer']:.2f} "
            f"| {rate} | {row['peak_gib']:.2f} GiB |"
        )
    for entry in report.get("speedups", ()):
        lines.append(
            f"\nBatch {entry['batch_size']}, {entry['dtype']}: {entry['total']:.2f} times as fast as the published "
            f"code in float32, the transformer alone {entry['transformer']:.2f} times."
        )
    lines.append(f"\nKeys and values of one image: {report['cache_mib']:.0f} MiB ({report['rows'][-1]['dtype']}).")
    if "agreement" in report:
        share = report["agreement"]
        how = " (matrix products rounded in software)" if share["emulated"] else ""
        lines.append(
            f"\nbfloat16 against float32{how}: {share['vq_codes']:.1%} of VQ codes and {share['greedy_tokens']:.1%} "
            "of greedy tokens are the same."
        )
    return "\n".join(lines)


COMMAND = Command(
    name="benchmark",
    summary="measure speed, memory and precision on this machine",
    example="stylevar benchmark --batch-size 1 4\n"
    "stylevar benchmark --model stylevar-sft --dtype float32 bfloat16 --agreement\n"
    "stylevar benchmark --model stylevar-sft --published-code StyleVAR --vq vae.pth --checkpoint StyleVAR_SFT.pth",
    add_arguments=add_arguments,
    run=run,
)
