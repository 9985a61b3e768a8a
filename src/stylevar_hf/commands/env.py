# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar env`: what a bug report needs to say of a machine, ready to paste."""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Any

from .._common.version import __version__
from .base import Command


# Those that change what this package does. Tokens and keys are not among them, nor is any folder of the user.
VARIABLES = ("HF_HUB_OFFLINE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF")
CORE = ("torch", "transformers", "safetensors", "huggingface_hub", "pillow", "numpy")
OPTIONAL = (
    "accelerate",
    "trl",
    "peft",
    "datasets",
    "evaluate",
    "dreamsim",
    "lpips",
    "torchmetrics",
    "torchvision",
    "scikit-image",
    "gradio",
    "fastapi",
    "av",
    "deepspeed",
    "bitsandbytes",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    facts = describe_environment()
    if args.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"- {name}: {_text(value)}\n" for name, value in facts.items()))
    return 0


def describe_environment() -> dict[str, Any]:
    """
    Versions, devices and variables; no names of users, folders, machines or keys.

    Returns:
        `dict[str, Any]`: Strings, numbers, and lists and dicts of them. `None` stands for a package that is missing.
    """
    return {
        "stylevar-hf": __version__,
        "installed": _installed(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}, libc {platform.libc_ver()[1]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpus": os.cpu_count(),
        "packages": {name: found for name in CORE + OPTIONAL if (found := _version(name)) or name in CORE},
        "torch": _describe_torch(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _installed() -> str:
    """How the package came here: as a wheel, from a folder that is edited, or only on the path."""
    found = next((one for one in distributions() if one.metadata["Name"] == "stylevar-hf"), None)
    if found is None:
        return "no, imported from a folder"
    return "editable" if '"editable": true' in (found.read_text("direct_url.json") or "") else "yes"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _describe_torch() -> dict[str, Any]:
    try:
        import torch
    except Exception as error:  # a broken installation is what the report is about
        return {"error": f"{type(error).__name__}: {error}"}
    facts: dict[str, Any] = {
        "build": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda or torch.version.hip,
        "mps": torch.backends.mps.is_available(),
    }
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        facts["devices"] = [
            f"{device.name}, {device.total_memory / 2**30:.0f} GiB, compute {device.major}.{device.minor}"
            for device in devices
        ]
    return facts


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "none" if value is None else str(value)


COMMAND = Command(
    name="env",
    summary="describe this machine for a bug report",
    example="stylevar env",
    add_arguments=add_arguments,
    run=run,
)

__all__ = ["COMMAND", "describe_environment"]
