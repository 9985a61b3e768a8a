# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[eval]"]
# ///
"""
How well a checkpoint transfers style: `stylevar evaluate` with the strength dial at -1, 0 and 1.

    python examples/evaluate_triplets.py --model bundled --dataset procedural --num_pairs 200 --output evaluation
    python examples/evaluate_triplets.py --model runs/sft --dataset saved/validation --device cuda --output evaluation

Other arguments are those of `stylevar evaluate`.
"""

import argparse
import sys

from stylevar_hf.cli import main


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="bundled", help="folder, Hub id, or name of a bundled checkpoint")
    parser.add_argument(
        "--dataset",
        default="procedural",
        help="'procedural' for its three test splits, or a folder made by `Dataset.save_to_disk` with the columns "
        "content, style and target",
    )
    parser.add_argument("--num_pairs", type=int, default=200, help="pairs per set")
    parser.add_argument("--num_checks", type=int, default=64, help="pairs per set for strength and style = content")
    parser.add_argument("--output", required=True, help="a new folder for the report")
    return parser.parse_known_args()


if __name__ == "__main__":
    args, others = parse_arguments()
    benchmark = "procedural" if args.dataset == "procedural" else f"triplets:{args.dataset}"
    command = ["evaluate", "--model", args.model, "--benchmark", benchmark, "--output", args.output]
    command += ["--num-pairs", str(args.num_pairs), "--num-checks", str(args.num_checks), "--style-strength=-1:1:3"]
    sys.exit(main([*command, *others]))
