# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[rl]"]
# ///
"""
What one GRPO update costs on this machine, part by part, beside the loop of the published code: one prompt, a
model of the released layout with random weights, LoRA of rank 256 and alpha 512, the real DreamSim package on random
weights (embedding in the dtype of ours). Prints a Markdown table, or all numbers with `--json`.

    python examples/benchmark_grpo.py --depth 8 --num_generations 2 --updates 1       # a quick look, ours alone
    python examples/benchmark_grpo.py --depth 8 --dtype float32 bfloat16 --published_code StyleVAR

`StyleVAR` is a checkout of the published code with the `dist.py` of FoundationVision/VAR, and `dreamsim` is installed.
On a GPU add `--device cuda`. The published loop runs in float32 (it crashes in bfloat16), its five parts through its
own functions: serial rollouts, old log-probabilities, reference log-probabilities, rewards, update. Each code lives in
a process of its own, whose peak memory counts (of tensors on a GPU, if there); one update of each takes its turn, the
published one before and after each of ours, so that a busy machine slows both alike. Medians over the updates of ours
are reported, of ratios too.

With `--measured_rollouts N` the published loop makes only N of the G rollouts, and its time for G is estimated: what
grows with the rollouts times G / N, plus what does not (tokenising, the optimizer). The table says so. Ours always
makes all of them. With `--clock process` seconds of the processor count, on one thread, instead of those on the wall:
other work on the machine then delays both codes, but does not add to their times.
"""

import argparse
import contextlib
import gc
import io
import json
import math
import multiprocessing
import statistics
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging

from stylevar_hf import StyleVARConfig, StyleVARForConditionalGeneration, convert_to_original
from stylevar_hf.conversion.loading import check_device
from stylevar_hf.evaluation.speed import CLOCKS, Published, make_pair, peak_memory, stopwatch


PARTS = ("rollouts", "old_log_probs", "reference_log_probs", "reward", "update")
LORA = {"r": 256, "lora_alpha": 512}
# In place of DINO's repository, which the DreamSim package asks torch.hub for: the same network, random weights.
HUBCONF = """
from dreamsim.feature_extraction.vision_transformer import vit_base

dependencies = ["torch"]

def dino_vitb16(pretrained=True, **kwargs):
    return vit_base(patch_size=16, num_classes=0)
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[8], help="blocks; the width is 64 times as much")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "bfloat16"), default=["float32"], help="of ours")
    parser.add_argument("--published_code", help="a checkout of the published code (default: time ours alone)")
    parser.add_argument("--num_generations", type=int, default=16, help="rollouts of the prompt, G")
    parser.add_argument("--measured_rollouts", type=int, help="of the published loop (default: all)")
    parser.add_argument("--rows_per_pass", type=int, default=4, help="rollouts that ours scores at once")
    parser.add_argument("--updates", type=int, default=2, help="of ours that are timed")
    parser.add_argument("--warmup_updates", type=int, default=1, help="before them; 0 or 1")
    parser.add_argument("--reward", default="dreamsim", help="or another of ours, without --published_code")
    parser.add_argument("--vq_channels", type=int, default=160, help="base channels of the tokenizer")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="process: see above")
    parser.add_argument("--json", action="store_true", help="print numbers instead of a table")
    args = parser.parse_args(arguments)
    if args.measured_rollouts is None:
        args.measured_rollouts = args.num_generations
    if not 1 <= args.measured_rollouts <= args.num_generations:
        parser.error("--measured_rollouts must be from 1 to --num_generations")
    if args.num_generations % args.rows_per_pass:
        parser.error("--rows_per_pass must divide --num_generations")
    if args.device != "cpu" and args.clock == "process":
        parser.error("--clock process must come with --device cpu: it counts the seconds of the processor")
    try:
        check_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    args.device = torch.device(args.device)
    if args.published_code and args.reward != "dreamsim":
        parser.error("--reward must be dreamsim with --published_code, which has no other of ours")
    return args


# Weights


def write_models(folder: Path, depth: int, vq_channels: int, published: bool) -> None:
    """One model in both formats. Its gates are open and its head is no constant, so that every part matters."""
    width = 64 * depth
    config = StyleVARConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=depth,
        vq_config={"base_channels": vq_channels},
    )
    torch.manual_seed(0)
    model = StyleVARForConditionalGeneration(config)
    for module in (*(layer.modulation for layer in model.model.layers), model.model.norm.modulation):
        torch.nn.init.normal_(module.weight, std=0.5 * width**-0.5)
    torch.nn.init.normal_(model.lm_head.weight, std=width**-0.5)
    model.save_pretrained(folder / "model")
    del model
    if published:
        convert_to_original(folder / "model", folder / "vq.pth", folder / "model.pth")


def write_dreamsim_weights(folder: Path) -> None:
    """Random weights of the type `dino_vitb16`, laid out as the package's download is."""
    generator = torch.Generator().manual_seed(0)
    adapter = folder / "dino_vitb16_single_lora"
    hub = folder / "facebookresearch_dino_main"
    adapter.mkdir(parents=True)
    hub.mkdir()
    (hub / "hubconf.py").write_text(HUBCONF)
    config = {"r": 16, "lora_alpha": 8, "lora_dropout": 0.3, "bias": "none", "target_modules": ["qkv"]}
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "LORA"}))
    weights = {}
    for block in range(12):
        prefix = f"base_model.model.extractor_list.0.model.blocks.{block}.attn.qkv"
        weights[f"{prefix}.lora_A.weight"] = torch.randn(16, 768, generator=generator) * 0.05
        weights[f"{prefix}.lora_B.weight"] = torch.randn(3 * 768, 16, generator=generator) * 0.05
    save_file(weights, adapter / "adapter_model.safetensors")
    # A head that embeddings do not pass; the package looks for it.
    head = {"module.head.last_layer.weight": torch.zeros(2048, 256)}
    for index, (wide, narrow) in {0: (2048, 768), 2: (2048, 2048), 4: (256, 2048)}.items():
        head[f"module.head.mlp.{index}.weight"] = torch.zeros(wide, narrow)
        head[f"module.head.mlp.{index}.bias"] = torch.zeros(wide)
    torch.save({"student": head}, folder / "dino_vitb16_pretrain.pth")


# Ours


class TurnsCallback(TrainerCallback):
    """One update at a time, each when asked for."""

    def __init__(self, connection: Connection, watches: dict[str, list[float]], options: argparse.Namespace):
        self.connection, self.watches, self.options = connection, watches, options

    def on_step_begin(self, args, state, control, **kwargs):
        self.connection.recv()
        for total in self.watches.values():
            total[0] = 0.0
        self.start = now(self.options)

    def on_step_end(self, args, state, control, **kwargs):
        total = now(self.options) - self.start
        parts = {name: watch[0] for name, watch in self.watches.items()}
        self.connection.send({**parts, "old_log_probs": 0.0, "update": total - sum(parts.values())})


def run_ours(connection: Connection, folder: Path, options: argparse.Namespace, dtype: str, num_updates: int) -> None:
    """`num_updates` updates of [`StyleVARGRPOTrainer`] on one prompt, then the peak memory of this process."""
    from peft import LoraConfig

    from stylevar_hf.data import load_procedural
    from stylevar_hf.rewards import DreamSimReward
    from stylevar_hf.training import StyleVARGRPOConfig, StyleVARGRPOTrainer

    prepare_process(options)
    model = StyleVARForConditionalGeneration.from_pretrained(folder / "model", dtype=torch.float32).eval()
    connection.send(score_ours(model.to(options.device)))
    training_options = StyleVARGRPOConfig(
        output_dir=str(folder / f"run-{dtype}"),
        max_steps=num_updates,
        num_generations=options.num_generations,
        per_device_train_batch_size=options.rows_per_pass,
        gradient_accumulation_steps=options.num_generations // options.rows_per_pass,
        bf16=dtype == "bfloat16",
        use_cpu=options.device.type == "cpu",
        dataloader_pin_memory=False,
        save_strategy="no",
        num_rollout_images=0,
        disable_tqdm=True,
    )
    dreamsim = options.reward == "dreamsim"
    trainer = StyleVARGRPOTrainer(
        model,
        DreamSimReward(cache_dir=folder / "dreamsim", dtype=dtype) if dreamsim else options.reward,
        training_options,
        load_procedural(1, image_size=model.config.image_size),
        peft_config=LoraConfig(**LORA),
    )
    trainer.remove_callback(PrinterCallback)
    with contextlib.ExitStack() as stack:
        methods = {
            "rollouts": ("_encode_prompts", "_draw"),
            "reward": ("_call_rewards",),
            "reference_log_probs": ("_reference_log_probs",),
        }
        watches = {
            part: stack.enter_context(stopwatch(trainer, names, options.device, options.clock))
            for part, names in methods.items()
        }
        trainer.add_callback(TurnsCallback(connection, watches, options))
        trainer.train()
    connection.send(peak_memory(options.device))


def prepare_process(options: argparse.Namespace) -> None:
    logging.set_verbosity_error()
    warnings.simplefilter(
        "ignore", FutureWarning
    )  # of what transformers, TRL and the published code will have to change
    if options.clock == "process":
        torch.set_num_threads(1)


def now(options: argparse.Namespace) -> float:
    """Seconds, when all work is done that was asked for."""
    if options.device.type == "cuda":
        torch.cuda.synchronize(options.device)
    return CLOCKS[options.clock]()


def make_codes(config: StyleVARConfig) -> torch.LongTensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(config.vq_config.codebook_size, (1, config.sequence_length), generator=generator)


@torch.no_grad()
def score_ours(model: StyleVARForConditionalGeneration) -> list[float]:
    """Log-probabilities of fixed codes, to see that both codes compute the same."""
    codes = make_codes(model.config).to(model.device)
    logits = model(*make_pair(model.config.image_size, 1, model.device), labels=codes).logits
    return logits.log_softmax(-1).gather(-1, codes.unsqueeze(-1)).flatten().tolist()


# The published loop


class PublishedLoop:
    """The published code's parts of an update, each through its own functions."""

    def __init__(self, folder: Path, options: argparse.Namespace):
        self.num_rollouts, self.options = options.measured_rollouts, options
        device = options.device
        code = Published(options.published_code, folder / "vq.pth", folder / "model.pth", device)
        self.vae, self.model = code.vae.requires_grad_(False), code.model.requires_grad_(False)
        sys.path.insert(0, options.published_code)
        with contextlib.redirect_stdout(io.StringIO()):
            from train import train_grpo
            from utils.lora import apply_lora, set_lora_enabled

            self.reward = train_grpo.DreamSimReward(device, cache_dir=str(folder / "dreamsim"))
        self.code, self.set_lora_enabled = train_grpo, set_lora_enabled
        self.content, self.style = make_pair(256, 1, device)
        self.target = self.content
        self.parameters = apply_lora(self.model, LORA["r"], LORA["lora_alpha"])
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.01)
        self.weights = train_grpo.build_panw_weights(self.model.patch_nums, 0.7, device)

    def log_probs(self, trajectory: list[torch.Tensor], features: tuple) -> torch.Tensor:
        return self.code.compute_logprobs_single(self.model, self.vae, trajectory, self.style, self.content, *features)

    @torch.no_grad()
    def score(self) -> list[float]:
        config = SimpleNamespace(vq_config=SimpleNamespace(codebook_size=self.model.V), sequence_length=self.model.L)
        codes = make_codes(config).to(self.options.device)
        scales = codes.split([side**2 for side in self.model.patch_nums], dim=1)
        features = self.code.precompute_style_content_features(self.vae, self.style, self.content)
        return self.log_probs(list(scales), features).flatten().tolist()

    def update(self) -> tuple[dict[str, float], dict[str, float]]:
        """
        One update.

        Returns:
            `tuple[dict, dict]`: of each part, seconds that grow with the number of rollouts, and those that do not.
        """
        growing, fixed = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)

        @contextlib.contextmanager
        def part(name: str, once: bool = False):
            begin = now(self.options)
            with stopwatch(self.vae, ("img_to_idxBl",), self.options.device, self.options.clock) as tokenizer:
                yield
            (fixed if once else growing)[name] += now(self.options) - begin - tokenizer[0]
            fixed[name] += tokenizer[0]

        with part("rollouts"):
            trajectories, images = self.code.rollout_generate(
                self.model, self.vae, self.style, self.content, G=self.num_rollouts, base_seed=0
            )
        with part("old_log_probs"), torch.no_grad():
            features = self.code.precompute_style_content_features(self.vae, self.style, self.content)
            old = [self.log_probs(trajectory, features) for trajectory in trajectories]
        with part("reference_log_probs"), torch.no_grad():
            self.set_lora_enabled(self.model, False)
            reference = [self.log_probs(trajectory, features) for trajectory in trajectories]
            self.set_lora_enabled(self.model, True)
        with part("reward"), torch.no_grad():
            targets = (self.target / 2 + 0.5).repeat(self.num_rollouts, 1, 1, 1)
            rewards = 5 * self.reward(images, targets)
        # With a single rollout there is nothing to compare; its loss costs the same.
        group = self.num_rollouts > 1
        advantages = (
            self.code.compute_group_advantages(rewards, self.num_rollouts) if group else torch.ones_like(rewards)
        )
        with part("update"):
            for trajectory, *terms in zip(trajectories, old, reference, advantages, strict=True):
                self.backward(trajectory, features, *terms)
        with part("update", once=True):
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        gc.collect()
        return growing, fixed

    def backward(self, trajectory, features, old, reference, advantage) -> None:
        """The loss of one rollout (arXiv 2604.21052) and its gradient."""
        new = self.log_probs(trajectory, features)
        ratio = (new - old).exp()
        surrogate = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        difference = new - reference
        per_token = surrogate + 0.1 * (difference.exp() - 1 - difference)
        ((per_token * self.weights).sum() / self.num_rollouts).backward()


def run_published(
    connection: Connection, folder: Path, options: argparse.Namespace, dtype: str, num_updates: int
) -> None:
    prepare_process(options)
    loop = PublishedLoop(folder, options)
    connection.send(loop.score())
    for _ in range(num_updates):
        connection.recv()
        connection.send(loop.update())
    connection.send(peak_memory(options.device))


# Turns


def start(work, *arguments) -> Connection:
    """Run `work(connection, *arguments)` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=work, args=(there, *arguments), daemon=True).start()
    there.close()  # so that waiting ends when the other side does
    return here


def prepare(connection: Connection, folder: Path, depth: int, options: argparse.Namespace) -> None:
    write_models(folder, depth, options.vq_channels, published=options.published_code is not None)
    if options.reward == "dreamsim":
        write_dreamsim_weights(folder / "dreamsim")
    connection.send(None)


def estimate(growing: dict[str, float], fixed: dict[str, float], scale: float) -> dict[str, float]:
    """Seconds of each part for `scale` times as many rollouts."""
    return {part: growing[part] * scale + fixed[part] for part in PARTS}


def take_turns(ours: Connection, published: Connection | None, options: argparse.Namespace) -> tuple[list, list]:
    """Seconds of each part: of each timed update of ours, and of the published loop before and after it."""
    scale = options.num_generations / options.measured_rollouts
    turns = options.warmup_updates + options.updates
    bar = tqdm(total=turns if published is None else 2 * turns + 1, unit="update", disable=None)

    def turn(connection: Connection):
        connection.send("go")
        result = connection.recv()
        bar.update()
        return result

    for _ in range(options.warmup_updates):
        for connection in (published, ours):
            if connection is not None:
                turn(connection)
    our_updates, their_updates = [], []
    for _ in range(options.updates):
        if published is not None:
            their_updates.append(estimate(*turn(published), scale))
        our_updates.append(turn(ours))
    if published is not None:
        their_updates.append(estimate(*turn(published), scale))
    bar.close()
    return our_updates, their_updates


def summarise(our_updates: list[dict], their_updates: list[dict]) -> dict:
    """Medians of each part and of the total, and of the ratios: each of ours to those before and after it."""

    def with_total(parts: dict[str, float]) -> dict[str, float]:
        return {**parts, "total": sum(parts.values())}

    ours = [with_total(update) for update in our_updates]
    theirs = [with_total(update) for update in their_updates]
    names = (*PARTS, "total")
    report = {"ours": {name: statistics.median(update[name] for update in ours) for name in names}}
    if theirs:
        report["published"] = {name: statistics.median(update[name] for update in theirs) for name in names}
        around = list(zip(theirs, theirs[1:], strict=False))
        report["speedup"] = {
            name: statistics.median(
                (before[name] + after[name]) / 2 / update[name] if update[name] else math.inf
                for update, (before, after) in zip(ours, around, strict=True)
            )
            for name in names
        }
    return report


def compare(folder: Path, depth: int, dtype: str, options: argparse.Namespace) -> dict:
    """One row of the table."""
    num_updates = options.updates + options.warmup_updates
    published = None
    if options.published_code is not None:
        published = start(run_published, folder, options, dtype, num_updates + 1)
        their_scores = published.recv()  # one after the other: loading takes more memory than what is loaded
    ours = start(run_ours, folder, options, dtype, num_updates)
    our_scores = ours.recv()
    report = {"depth": depth, "dtype": dtype, **summarise(*take_turns(ours, published, options))}
    report["peak_gib"] = {"ours": ours.recv()}
    if published is not None:
        report["peak_gib"]["published"] = published.recv()
        pairs = zip(our_scores, their_scores, strict=True)
        report["largest_score_difference"] = max(abs(ours - theirs) for ours, theirs in pairs)
    return report


def table(reports: list[dict], options: argparse.Namespace) -> str:
    lines = [
        "| depth | code | rollouts | old pass | reference pass | reward | update | total | peak memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for report in reports:
        if "published" in report:
            lines.append(row(report, "published", "published code, float32"))
        lines.append(row(report, "ours", f"stylevar-hf, {report['dtype']}"))
        if "speedup" in report:
            speedup = {name: "" if value == math.inf else f"{value:.1f}x" for name, value in report["speedup"].items()}
            cells = " | ".join(speedup[name] for name in (*PARTS, "total"))
            lines.append(f"| {report['depth']} | times as fast | {cells} | |")
            difference = report["largest_score_difference"]
            notes.append(f"Depth {report['depth']}: log-probabilities of the two differ by {difference:.1e} at most.")
    count = options.num_generations
    seconds = f"on the wall, {torch.get_num_threads()} threads" if options.clock == "wall" else "of one processor"
    if options.device.type == "cuda":
        seconds = f"on the wall, {torch.cuda.get_device_name(options.device)}"
    notes.insert(0, f"Seconds {seconds}, of one update: one prompt with {count} rollouts.")
    if options.published_code is not None and options.measured_rollouts < count:
        notes.insert(1, f"Published code: **measured on {options.measured_rollouts} of {count} rollouts**, estimated.")
    return "\n".join([*lines, "", *dict.fromkeys(notes)])


def row(report: dict, code: str, name: str) -> str:
    cells = " | ".join(f"{report[code][part]:.2f}" if report[code][part] else "" for part in (*PARTS, "total"))
    return f"| {report['depth']} | {name} | {cells} | {report['peak_gib'][code]:.2f} GiB |"


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    reports = []
    for depth in options.depth:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            start(prepare, folder, depth, options).recv()
            for dtype in options.dtype:
                reports.append(compare(folder, depth, dtype, options))
    sys.stdout.write((json.dumps(reports, indent=2) if options.json else table(reports, options)) + "\n")


if __name__ == "__main__":
    main()
