# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[train]"]
# ///
"""
How fast painting is on a GPU, as it is and with `compile=True`, and whether both paint the same, as a Markdown table.

    python examples/benchmark_gpu.py                       # random weights of the released size, depth 20
    python examples/benchmark_gpu.py --model stylevar-sft --batch_size 1 --trace trace.json

"Painting" starts from encoded pictures: the blocks, sampling and the decoder. "End to end" encodes both pictures, too.
Times are medians of `--repeats` after two calls that warm up; the two ways take turns.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch

from stylevar_hf import StyleVARConfig, StyleVARForConditionalGeneration
from stylevar_hf.evaluation.speed import make_pair


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder, Hub id or name (default: random weights)")
    parser.add_argument(
        "--depth", type=int, default=20, help="blocks of a random model; the width is 64 times as much"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="(default: cuda)")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16", "float16"), default=["bfloat16"])
    parser.add_argument("--batch_size", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trace", help="where to write a profile of one picture, for chrome://tracing")
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device must be cpu where there is no GPU; that tells nothing about one")
    return args


def load_model(args: argparse.Namespace, dtype: torch.dtype) -> StyleVARForConditionalGeneration:
    if args.model:
        model = StyleVARForConditionalGeneration.from_pretrained(args.model, dtype=dtype)
    else:
        torch.manual_seed(0)
        depth = args.depth
        with torch.device(args.device):
            model = StyleVARForConditionalGeneration(
                StyleVARConfig(hidden_size=64 * depth, num_hidden_layers=depth, num_attention_heads=depth)
            )
        for module in (model.model, model.vq_model.encoder, model.vq_model.decoder):
            module.to(dtype)
        for module in (model.vq_model.quant_conv, model.vq_model.post_quant_conv):
            module.to(dtype)
    return model.to(args.device).eval()


def seconds(work: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@torch.inference_mode()
def measure(model: StyleVARForConditionalGeneration, batch_size: int, args: argparse.Namespace) -> list[str]:
    """A line of the table for each of the two ways."""
    pair = make_pair(model.config.image_size, batch_size, torch.device(args.device))
    references = {"content": model.encode_content(pair[0]), "style": model.encode_style(pair[1])}

    def paint(compile: bool, encoded: bool) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in range(batch_size)]
        if encoded:
            return model.generate(**references, generator=generators, compile=compile).sequences
        return model.generate(*pair, generator=generators, compile=compile).sequences

    ways = [(compile, encoded) for compile in (False, True) for encoded in (True, False)]
    for way in ways * 2:
        paint(*way)
    same = torch.equal(paint(False, True), paint(True, True))
    times: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
    for _ in range(args.repeats):
        for way in ways:
            times[way].append(seconds(lambda way=way: paint(*way), args.device))
    lines = []
    for compile in (False, True):
        painting, whole = (statistics.median(times[compile, encoded]) for encoded in (True, False))
        peak = ""
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            paint(compile, False)
            peak = f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB"
        note = ("the same" if same else "DIFFERENT") if compile else ""
        lines.append(
            f"| {str(model.dtype).removeprefix('torch.')} | {batch_size} | {'recorded' if compile else 'as it is'} "
            f"| {painting * 1e3:.1f} ms | {whole * 1e3:.1f} ms | {batch_size / whole:.1f} | {peak} | {note} |"
        )
    return lines


def write_trace(model: StyleVARForConditionalGeneration, args: argparse.Namespace) -> None:
    pair = make_pair(model.config.image_size, 1, torch.device(args.device))
    with torch.inference_mode(), torch.profiler.profile() as profile:
        model.generate(*pair)
    profile.export_chrome_trace(args.trace)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    sys.stdout.write(
        f"{name}, torch {torch.__version__}\n\n"
        "| dtype | batch | scales | painting | end to end | images/s | peak memory | codes |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for dtype in args.dtype:
        model = load_model(args, getattr(torch, dtype))
        for batch_size in args.batch_size:
            sys.stdout.write("\n".join(measure(model, batch_size, args)) + "\n")
            sys.stdout.flush()
        if args.trace:
            write_trace(model, args)
        del model


if __name__ == "__main__":
    main()
