# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[train]"]
# ///
"""
How fast supervised training is on this machine: tokens per second, share of the peak of its matrix products, and what
the cache of codes and small images saves, all in one run. Prints one JSON object.

    python examples/benchmark_training.py                                  # a small model at 128x128
    python examples/benchmark_training.py --batch_size 16 --bf16 \\
        --model_name_or_path src/stylevar_hf/checkpoints/stylevar-mini     # the bundled one

Triplets are procedural ones, enlarged to `--source_size` and written as PNG files to a temporary folder, for data sets
come in files larger than the model reads: those of OmniStyle are 1024x1024. A step is timed from end to end: reading,
decoding and resizing, the tokenizer where codes are not cached, forward, backward and the optimizer. Runs without a
cache, with codes alone, and with codes and small images take turns, and the median step of each counts. Where other
programs use the processor, seconds of it (all threads, but no data loader workers) say more than those of the clock:
both are reported.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import datasets
import PIL.Image
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARVQConfig, StyleVARVQModel
from stylevar_hf.data import load_procedural
from stylevar_hf.training import StyleVARSFTConfig, StyleVARSFTTrainer
from stylevar_hf.training.common.initialization import create_model


# What a run may find in the cache, and the options for it.
CACHES = {
    "without_cache": {"token_cache_dir": False, "cache_images": False},
    "codes_alone": {"token_cache_dir": True, "cache_images": False},
    "with_cache": {"token_cache_dir": True, "cache_images": True},
}


class StepTimer(TrainerCallback):
    """Seconds of every step but the first, by the clock and of the processor, with the device's work finished."""

    def __init__(self):
        self.clock: list[float] = []
        self.processor: list[float] = []
        self.last: tuple[float, float] | None = None

    def on_step_end(self, args, state, control, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        if self.last is not None:
            self.clock.append(now[0] - self.last[0])
            self.processor.append(now[1] - self.last[1])
        self.last = now


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", help="a StyleVAR model (default: a new, small one)")
    parser.add_argument("--hidden_size", type=int, default=192, help="width of the small one")
    parser.add_argument("--num_hidden_layers", type=int, default=4, help="its blocks")
    parser.add_argument("--source_size", type=int, default=1024, help="width and height of the image files")
    parser.add_argument("--batch_size", type=int, default=8, help="triplets per step")
    parser.add_argument("--steps", type=int, default=4, help="steps per run; the first is not counted")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each kind")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--activation_checkpointing", action="store_true")
    parser.add_argument("--dataloader_num_workers", type=int, default=0)
    return parser.parse_args()


def build_model(args: argparse.Namespace) -> StyleVARForConditionalGeneration:
    if args.model_name_or_path:
        return StyleVARForConditionalGeneration.from_pretrained(args.model_name_or_path, dtype=torch.float32)
    sizes = {"base_channels": 32, "channel_multipliers": (1, 2, 3, 4), "latent_channels": 16, "norm_num_groups": 8}
    tokenizer = StyleVARVQModel(StyleVARVQConfig(codebook_size=1024, num_res_blocks=1, **sizes))
    encoder = {"embedding_size": 16, "hidden_sizes": [16, 32, 64, 128], "depths": [2, 2, 2, 2], "layer_type": "basic"}
    return create_model(
        tokenizer,
        hidden_size=args.hidden_size,
        num_hidden_layers=args.num_hidden_layers,
        num_attention_heads=max(1, args.hidden_size // 64),
        encoder_config={**encoder, "downsample_in_first_stage": False},
    )


def write_triplets(folder: Path, num_rows: int, image_size: int, source_size: int) -> datasets.Dataset:
    """Procedural triplets as files of `source_size`, each image with its own."""
    folder.mkdir()
    rows = []
    for number, row in enumerate(load_procedural(num_rows, image_size=image_size)):
        paths = {}
        for name in ("content", "style", "target"):
            paths[name] = str(folder / f"{number}-{name}.png")
            large = row[name].resize((source_size, source_size), PIL.Image.Resampling.LANCZOS)
            large.save(paths[name], compress_level=1)
        rows.append(paths)
    return datasets.Dataset.from_list(rows, datasets.Features(dict.fromkeys(rows[0], datasets.Image())))


def peak_of_products(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """FLOP/s of a large square matrix product, the best of five."""
    first, second = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        first @ second
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def count_operations(trainer: StyleVARSFTTrainer) -> int:
    """FLOP of forward and backward of one batch with cached codes."""
    model = trainer.model
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")  # whose products the counter knows on every device
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    with FlopCounterMode(display=False) as counter:
        trainer.compute_loss(model.train(), batch).backward()
    model.zero_grad()
    model.set_attn_implementation(attention)
    return counter.get_total_flops()


def main() -> None:
    args = parse_arguments()
    logging.set_verbosity_error()
    model = build_model(args)

    def make_trainer(folder: str, kind: str) -> StyleVARSFTTrainer:
        cache = CACHES[kind]
        options = StyleVARSFTConfig(
            output_dir=folder,
            max_steps=args.steps,
            per_device_train_batch_size=args.batch_size,
            gradient_accumulation_steps=1,
            dataloader_pin_memory=torch.cuda.is_available(),
            dataloader_num_workers=args.dataloader_num_workers,
            activation_checkpointing=args.activation_checkpointing,
            bf16=args.bf16,
            logging_strategy="no",
            save_strategy="no",
            check_data=False,
            token_cache_dir=str(Path(folder, "cache")) if cache["token_cache_dir"] else None,
            cache_images=cache["cache_images"],
            disable_tqdm=True,
        )
        trainer = StyleVARSFTTrainer(model, options, data)
        trainer.remove_callback(PrinterCallback)
        return trainer

    with tempfile.TemporaryDirectory() as folder:
        size = model.config.image_size
        data = write_triplets(Path(folder, "data"), args.batch_size * args.steps, size, args.source_size)
        start = time.perf_counter()
        make_trainer(folder, "with_cache").prepare_data(check=False)
        caching = time.perf_counter() - start
        timers = {kind: StepTimer() for kind in CACHES}
        for _ in range(args.repeats):
            for kind, timer in timers.items():
                trainer, timer.last = make_trainer(folder, kind), None
                trainer.add_callback(timer)
                trainer.train()
        trainer = make_trainer(folder, "with_cache")
        trainer.prepare_data(check=False)
        device = trainer.args.device
        operations = count_operations(trainer)

    clock, processor = (
        {kind: statistics.median(getattr(timer, name)) for kind, timer in timers.items()}
        for name in ("clock", "processor")
    )
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    peak = peak_of_products(device, dtype)
    tokens = args.batch_size * model.config.sequence_length
    report = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "image_size": model.config.image_size,
        "source_size": args.source_size,
        "batch_size": args.batch_size,
        "steps_measured": len(timers["with_cache"].clock),
        "seconds_per_step": {kind: round(seconds, 4) for kind, seconds in clock.items()},
        "processor_seconds_per_step": {kind: round(seconds, 4) for kind, seconds in processor.items()},
        "cache_speed_up": speed_up(clock),
        "cache_speed_up_in_processor_seconds": speed_up(processor),
        "seconds_to_fill_cache_per_triplet": round(caching / len(data), 4),
        "tokens_per_second": {kind: round(tokens / seconds) for kind, seconds in clock.items()},
        "peak_of_matrix_products_gflops": round(peak / 1e9, 1),
        "share_of_peak_with_cache": round(operations / clock["with_cache"] / peak, 3),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def speed_up(seconds: dict[str, float]) -> dict[str, float]:
    """How many times as fast a step is as without a cache."""
    return {kind: round(seconds["without_cache"] / seconds[kind], 3) for kind in ("codes_alone", "with_cache")}


if __name__ == "__main__":
    main()
