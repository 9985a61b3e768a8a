# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
How fast and how large: seconds per image, peak memory, and how close half precision comes to float32.

`stylevar benchmark` measures a checkpoint on this machine. With a checkout of the published code and the published
`.pth` files it runs that code in the same process, in turn with ours, so that the ratio holds on a noisy machine.
"""

import contextlib
import gc
import io
import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ..conversion.loading import find_checkpoint
from ..modeling_stylevar import StyleVARForConditionalGeneration
from ..pipeline_stylevar import has_fast_products


# `"process"` counts the seconds of the processor that this process used, in all of its threads. With one thread it is
# what the work would take alone, however busy the machine is; memory and caches are shared all the same.
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


class RoundToBfloat16(TorchFunctionMode):
    """
    Runs the matrix products and convolutions of a bfloat16 model in float32 and rounds their results.

    Processors without bfloat16 instructions need a hundred times as long for them. The results are those of hardware
    that accumulates in float32, up to the order of summation, so agreement with float32 can be measured anywhere;
    speed cannot.
    """

    functions = (
        torch.nn.functional.linear,
        torch.nn.functional.scaled_dot_product_attention,
        torch.conv2d,
        torch.matmul,
    )

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        if function not in self.functions or all(tensor.dtype != torch.bfloat16 for tensor in tensors):
            return function(*args, **kwargs)

        def widen(value):
            is_half = isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
            return value.float() if is_half else value

        kwargs = {name: widen(value) for name, value in kwargs.items()}
        return function(*map(widen, args), **kwargs).to(torch.bfloat16)


def matmul_peak(dtype: torch.dtype, device: torch.device, clock: str = "wall") -> float:
    """Best rate of a square matrix product, in GFLOP/s."""
    size = 2048 if has_fast_products(dtype, device) else 256  # an emulated product of the larger ones takes a minute
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    best = min(_seconds(lambda: left @ right, device, clock) for _ in range(5))
    return 2 * size**3 / best / 1e9


@contextlib.contextmanager
def _threads_for(clock: str):
    """One thread where all of them would add up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if clock == "process" else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _seconds(work: Callable[[], object], device: torch.device, clock: str = "wall") -> float:
    start = CLOCKS[clock]()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return CLOCKS[clock]() - start


@contextlib.contextmanager
def stopwatch(owner: object, names: tuple[str, ...], device: torch.device, clock: str = "wall"):
    """Adds up the seconds, by one of [`CLOCKS`], in the named methods of `owner`; yields a list with one number."""
    total, originals = [0.0], {name: getattr(owner, name) for name in names}

    def timed(method):
        def run(*args, **kwargs):
            result = []
            total[0] += _seconds(lambda: result.append(method(*args, **kwargs)), device, clock)
            return result[0]

        return run

    for name, method in originals.items():
        setattr(owner, name, timed(method))
    try:
        yield total
    finally:
        for name in originals:
            delattr(owner, name)


class Ours:
    """This package's model."""

    name = "stylevar-hf"

    def __init__(self, model_dir: str | Path, dtype: torch.dtype, device: torch.device, clock: str = "wall"):
        self.device, self.clock = device, clock
        self.model = StyleVARForConditionalGeneration.from_pretrained(model_dir, dtype=dtype).to(device).eval()

    @torch.inference_mode()
    def run(self, content: torch.Tensor, style: torch.Tensor) -> dict[str, float]:
        with stopwatch(self.model.vq_model, ("encode", "decode_latents"), self.device, self.clock) as tokenizer:
            total = _seconds(lambda: self.model.generate(content, style), self.device, self.clock)
        return {"total": total, "transformer": total - tokenizer[0]}


class Published:
    """
    The published code, run from a checkout of it.

    Args:
        code_dir (`str` or `Path`):
            The repository, with the `dist.py` of FoundationVision/VAR that it imports but does not ship.
        vq_path, model_path (`str` or `Path`):
            The published `.pth` files.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`):
            Where to run.
        clock (`str`, *optional*, defaults to `"wall"`):
            One of [`CLOCKS`].
    """

    name = "published code"

    def __init__(
        self,
        code_dir: str | Path,
        vq_path: str | Path,
        model_path: str | Path,
        device: str | torch.device = "cpu",
        clock: str = "wall",
    ):
        self.device, self.clock = torch.device(device), clock
        self.check(code_dir, vq_path, model_path)
        try:
            import torchvision
        except ImportError as error:
            hint = "Run `pip install torchvision`; the published code builds its ResNets with it."
            raise ValueError(
                f"`--published-code` must be able to import torchvision, but got: {error}. {hint}"
            ) from None

        resnet18, resets = torchvision.models.resnet18, {}
        torchvision.models.resnet18 = lambda **_: resnet18()  # its weights are in the checkpoint
        for layer in (torch.nn.Linear, torch.nn.Conv2d, torch.nn.LayerNorm, torch.nn.BatchNorm2d):
            resets[layer] = layer.reset_parameters
        sys.path.insert(0, str(code_dir))
        try:
            from models import build_vae_stylevar

            with contextlib.redirect_stdout(io.StringIO()):
                sizes = {"ch": _base_channels(vq_path), "depth": _depth(model_path)}
                self.vae, self.model = build_vae_stylevar(device="cpu", **sizes)
        finally:
            sys.path.remove(str(code_dir))
            torchvision.models.resnet18 = resnet18
            for layer, reset in resets.items():
                layer.reset_parameters = reset
        for module, path in ((self.vae, vq_path), (self.model, model_path)):
            module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
            module.to(self.device).eval()
        self.model.rng = torch.Generator(self.device)  # its own is on the accelerator if there is one

    @staticmethod
    def check(code_dir: str | Path, vq_path: str | Path, model_path: str | Path) -> None:
        """Raise `ValueError` unless the checkout is complete and the files are there."""
        if not (Path(code_dir) / "dist.py").is_file():
            raise ValueError(
                f"`--published-code` must be a checkout with `dist.py` in it, but got {code_dir}. Add that file from "
                "FoundationVision/VAR; the published repository does not ship it."
            )
        for flag, path in (("--vq", vq_path), ("--checkpoint", model_path)):
            if not Path(path).is_file():
                raise ValueError(f"`{flag}` must be a file, but got {path}. Give the published `.pth`.")

    @torch.inference_mode()
    def run(self, content: torch.Tensor, style: torch.Tensor) -> dict[str, float]:
        def generate():
            self.model.autoregressive_infer(len(content), style, content, g_seed=0, top_k=900, top_p=0.96)

        with stopwatch(self.vae, ("img_to_idxBl", "fhat_to_img"), self.device, self.clock) as tokenizer:
            total = _seconds(generate, self.device, self.clock)
        return {"total": total, "transformer": total - tokenizer[0]}


def _base_channels(vq_path: str | Path) -> int:
    weights = torch.load(vq_path, map_location="cpu", weights_only=True, mmap=True)
    return weights["encoder.conv_in.weight"].shape[0]


def _depth(model_path: str | Path) -> int:
    keys = torch.load(model_path, map_location="cpu", weights_only=True, mmap=True)
    return 1 + max(int(key.split(".")[1]) for key in keys if key.startswith("blocks."))


def make_pair(side: int, batch_size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A content and a style batch of smooth random colours, `(batch_size, 3, side, side)` in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2 * batch_size, 3, 8, 8, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").to(device)
    return images[:batch_size], images[batch_size:]


def compare_speed(runners: list, side: int, batch_size: int, repeats: int, progress: Callable) -> dict:
    """
    Run each runner in turn, `repeats` times after a warm-up, and summarise.

    Returns:
        `dict`: for each runner's name the median seconds per image, in total and in the transformer; for the last one
        also the median over rounds of its ratio to the first.
    """
    rounds = []
    for index in range(repeats + 1):
        results = {}
        for runner in runners:
            results[runner.name] = runner.run(*make_pair(side, batch_size, runner.device))
            progress()
        if index > 0:
            rounds.append(results)
    summary = {
        runner.name: {
            part: statistics.median(one[runner.name][part] for one in rounds) / batch_size
            for part in ("total", "transformer")
        }
        for runner in runners
    }
    if len(runners) > 1:
        first, last = runners[0].name, runners[-1].name
        summary["speedup"] = {
            part: statistics.median(one[first][part] / one[last][part] for one in rounds)
            for part in ("total", "transformer")
        }
    return summary


@torch.inference_mode()
def count_gflop(model: StyleVARForConditionalGeneration) -> float:
    """Floating-point operations of the matrix products and convolutions of one image, in GFLOP."""
    content, style = make_pair(model.config.image_size, 1, model.device)
    with FlopCounterMode(display=False) as counter:
        model.generate(content, style)
    return counter.get_total_flops() / 1e9


@torch.inference_mode()
def agreement(model_dir: str | Path, device: torch.device, batch_size: int = 2) -> dict[str, float]:
    """
    Share of VQ codes and of greedy tokens that bfloat16 and float32 have in common.

    Greedy tokens are compared teacher-forced: both models score the float32 model's own tokens, for after the first
    difference the two would generate different images.
    """
    full = StyleVARForConditionalGeneration.from_pretrained(model_dir, dtype=torch.float32).to(device).eval()
    pair = make_pair(full.config.image_size, batch_size, device)
    codes = [full.vq_model.encode(images).codes for images in pair]
    sequences = full.generate(*pair, do_sample=False).sequences
    del full
    gc.collect()
    half = StyleVARForConditionalGeneration.from_pretrained(model_dir, dtype=torch.bfloat16).to(device).eval()
    emulate = not has_fast_products(torch.bfloat16, device)
    with RoundToBfloat16() if emulate else contextlib.nullcontext():
        half_codes = [half.vq_model.encode(images).codes for images in pair]
        scored = half(*pair, labels=sequences, content_codes=codes[0], style_codes=codes[1]).logits.argmax(-1)
    same_codes = torch.cat(half_codes) == torch.cat(codes)
    return {
        "vq_codes": same_codes.float().mean().item(),
        "greedy_tokens": (scored == sequences).float().mean().item(),
        "emulated": emulate,
    }


def measure(
    model_dir: str | Path | None = None,
    dtypes: Sequence[str] = ("float32",),
    device: str = "cpu",
    batch_sizes: Sequence[int] = (1,),
    repeats: int = 3,
    compare_precision: bool = False,
    published: tuple[str, str, str] | None = None,
    progress: bool = False,
    clock: str = "wall",
) -> dict:
    """
    Time a checkpoint on this machine.

    Args:
        model_dir (`str` or `Path`, *optional*):
            A model folder, Hub id or name of a bundled checkpoint. Defaults to the bundled `stylevar-mini`.
        dtypes (sequence of `str`, *optional*, defaults to `("float32",)`):
            Precisions to time.
        device (`str`, *optional*, defaults to `"cpu"`):
            Where to run.
        batch_sizes (sequence of `int`, *optional*, defaults to `(1,)`):
            Pairs per call.
        repeats (`int`, *optional*, defaults to 3):
            Timed rounds after one warm-up; medians are reported.
        compare_precision (`bool`, *optional*, defaults to `False`):
            Also compare the codes of bfloat16 and float32, see [`agreement`].
        published (`tuple[str, str, str]`, *optional*):
            A checkout of the published code, its VQ-VAE and its StyleVAR `.pth`: run in float32, in which
            alone it works, in turn with ours in each precision.
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar on stderr.
        clock (`str`, *optional*, defaults to `"wall"`):
            `"process"` counts the seconds of the processor, on one thread, so that other work on the machine counts
            less; only on the CPU.

    Returns:
        `dict`: `rows` (one per code, dtype and batch size: seconds per image, rate, peak memory), `speedups` (ours
        against the published code, medians of the ratio in each round), `cache_mib`, `agreement`.
    """
    model_dir = find_checkpoint(model_dir)
    torch_device = torch.device(device)
    if published:
        Published.check(*published)
    memory = {}
    codes = [(Published.name, "float32")] if published else []
    for (code, name), batch_size in itertools.product([*codes, *((Ours.name, name) for name in dtypes)], batch_sizes):
        key = (code, name, batch_size)
        memory[key] = _peak_memory(*key, model_dir, device, published)

    theirs = None if published is None else Published(*published, device=torch_device, clock=clock)
    report = {"rows": [], "speedups": []}
    runs = (2 if theirs else 1) * len(dtypes) * len(batch_sizes) * (repeats + 1)
    with tqdm(total=runs, unit="run", disable=not progress) as bar, _threads_for(clock):
        for name in dtypes:
            dtype = getattr(torch, name)
            ours = Ours(model_dir, dtype, torch_device, clock)
            runners = [theirs, ours] if theirs else [ours]
            gflop, peak = count_gflop(ours.model), matmul_peak(dtype, torch_device, clock)
            for batch_size in batch_sizes:
                side = ours.model.config.image_size
                summary = compare_speed(runners, side, batch_size, repeats, bar.update)
                if theirs and name == dtypes[0]:  # later rounds with it only make ratios
                    row = {"code": theirs.name, "dtype": "float32", "batch_size": batch_size}
                    report["rows"].append({**row, **summary[theirs.name]})
                row = {"code": ours.name, "dtype": name, "batch_size": batch_size, **summary[ours.name]}
                row["gflop_per_second"] = gflop / row["total"]
                row["share_of_peak"] = row["gflop_per_second"] / peak
                report["rows"].append(row)
                if "speedup" in summary:
                    report["speedups"].append({"dtype": name, "batch_size": batch_size, **summary["speedup"]})
            report["cache_mib"] = _cache_bytes(ours.model) / 2**20
            del ours, runners
            gc.collect()
    del theirs
    for row in report["rows"]:
        row["peak_gib"] = memory[row["code"], row["dtype"], row["batch_size"]]
    if compare_precision:
        report["agreement"] = agreement(model_dir, torch_device)
    return report


def _peak_memory(
    code: str,
    dtype: str,
    batch_size: int,
    model_dir: str | Path,
    device: str,
    published: tuple[str, str, str] | None,
) -> float:
    """Peak memory of one call, in GiB, in a process of its own: of the device, or resident on the CPU."""
    arguments = {"batch_size": batch_size, "dtype": dtype, "device": device}
    if code == Ours.name:
        arguments["model_dir"] = str(model_dir)
    else:
        arguments["published"] = [str(part) for part in published]
    command = [sys.executable, "-m", "stylevar_hf.evaluation.speed", json.dumps(arguments)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        reason = _last_error(finished.stderr) or f"exit code {finished.returncode}. Is there enough memory?"
        raise ValueError(f"`--model` must run once on this machine, but {model_dir} failed: {reason}")
    return json.loads(finished.stdout.splitlines()[-1])


def _last_error(stderr: str) -> str:
    """What follows the last traceback: an error with the whole of its message, which may have several lines."""
    errors = list(re.finditer(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b", stderr, flags=re.MULTILINE))
    return " ".join(stderr[errors[-1].start() :].split()) if errors else ""


def _measure_memory(arguments: dict) -> float:
    device = torch.device(arguments["device"])
    if "published" in arguments:
        runner, side = Published(*arguments["published"], device=device), 256
    else:
        runner = Ours(arguments["model_dir"], getattr(torch, arguments["dtype"]), device)
        side = runner.model.config.image_size
    runner.run(*make_pair(side, arguments["batch_size"], device))
    return peak_memory(device)


def peak_memory(device: torch.device) -> float:
    """The most memory that this process had at any time, in GiB: of a CUDA device, else resident on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    # On Linux, where it is read first, `ru_maxrss` starts at the peak of the process that launched this one.
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text() if status.exists() else "", flags=re.MULTILINE)
    if peak:
        return int(peak[1]) / 2**20
    import resource  # not on Windows

    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _cache_bytes(model: StyleVARForConditionalGeneration) -> int:
    """Bytes of the keys and values of one image, each stored once."""
    config = model.config
    return 2 * config.num_hidden_layers * config.sequence_length * config.hidden_size * model.dtype.itemsize


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure_memory(json.loads(sys.argv[1]))) + "\n")
