# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar demo`: the model in the browser."""

import argparse
import sys

from .base import Command, number
from .models import add_model_argument, add_precision_arguments, hide_loading_reports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    add_precision_arguments(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on, 0.0.0.0 for all (default: 127.0.0.1)"
    )
    port = number(int, "a port, 1 to 65535", lambda n: 1 <= n <= 65535)
    parser.add_argument("--port", type=port, metavar="N", help="(default: the first free one from 7860)")
    parser.add_argument(
        "--share", action="store_true", help="ask Gradio for a public address; everyone who has it can use the demo"
    )


def run(args: argparse.Namespace) -> int:
    try:
        from ..demo import launch_demo, load_demo
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    with hide_loading_reports(quiet=False):
        demo = load_demo(args.model, args.dtype, args.device)
    _, address, public = launch_demo(demo, args.host, args.port, args.share, block=False)
    sys.stdout.write(f"{public or address}\n")
    sys.stdout.flush()
    if args.share and public is None:
        sys.stderr.write("stylevar: no public address: is there a network?\n")
    demo.block_thread()
    return 0


COMMAND = Command(
    name="demo",
    summary="try a model in the browser",
    example="stylevar demo\nstylevar demo --model stylevar-sft --host 0.0.0.0 --port 8080",
    add_arguments=add_arguments,
    run=run,
    flags={"port": "--port"},
)
