# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar serve`: the model behind HTTP, for OpenAI's clients and others."""

import argparse
import os
import sys
from pathlib import Path

from ..conversion.loading import load_pipeline
from .base import Command, number
from .models import add_model_argument, add_precision_arguments, hide_loading_reports


KEY_VARIABLE = "STYLEVAR_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    add_precision_arguments(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on, 0.0.0.0 for all (default: 127.0.0.1)"
    )
    port = number(int, "a port, 0 to 65535", lambda n: 0 <= n <= 65535)
    parser.add_argument("--port", type=port, default=8000, metavar="N", help="0 for any (default: 8000)")
    parser.add_argument("--model-name", metavar="NAME", help="what clients call the model (default: --model's name)")
    count = number(int, "a positive integer", lambda n: n > 0)
    parser.add_argument("--max-batch-size", type=count, metavar="N", help="pictures painted at once (default: 8)")
    parser.add_argument("--max-waiting", type=count, metavar="N", help="pictures in the queue, then 429 (default: 64)")
    parser.add_argument(
        "--max-delay",
        type=number(float, "0 or more seconds", lambda n: n >= 0),
        metavar="SECONDS",
        help="how long the first request of a batch waits for others (default: 0.01)",
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the key that clients must send; without, that of ${KEY_VARIABLE}, or none",
    )


def run(args: argparse.Namespace) -> int:
    try:
        from ..server import ServerSettings, serve
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    limits = {name: getattr(args, name) for name in ("max_batch_size", "max_waiting", "max_delay")}
    limits = {name: value for name, value in limits.items() if value is not None}
    if "max_waiting" in limits:
        limits["max_images"] = min(limits["max_waiting"], ServerSettings.max_images)
    name = args.model_name or (Path(args.model).name if args.model else "stylevar")
    settings = ServerSettings(model_name=name, api_key=_read_key(args.api_key_file), **limits)
    with hide_loading_reports(quiet=False):
        pipe = load_pipeline(args.model, args.dtype, args.device)
    if settings.api_key is None and args.host not in ("127.0.0.1", "localhost", "::1"):
        sys.stderr.write(f"stylevar: everyone who reaches {args.host} can paint: there is no --api-key-file\n")
    serve(pipe, settings, args.host, args.port, on_start=_announce)
    return 0


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(KEY_VARIABLE)
    return file.read_text(encoding="utf-8").strip()


def _announce(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


COMMAND = Command(
    name="serve",
    summary="serve a model over HTTP, in the form of OpenAI's image edits",
    example="stylevar serve\nstylevar serve --model stylevar-sft --host 0.0.0.0 --port 8080 --api-key-file key.txt",
    add_arguments=add_arguments,
    run=run,
    flags={
        "port": "--port",
        "api_key": "--api-key-file",
        "max_batch_size": "--max-batch-size",
        "max_waiting": "--max-waiting",
    },
)
