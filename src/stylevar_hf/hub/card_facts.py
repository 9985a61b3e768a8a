# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a card can say without being told: the sizes of a config, and where the work was done."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..configuration_stylevar import StyleVARConfig, StyleVARVQConfig


_PACKAGES = ("stylevar-hf", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def architecture_facts(
    config: StyleVARConfig | StyleVARVQConfig, num_parameters: int | None = None
) -> dict[str, object]:
    """Sizes for a card's list."""
    facts: dict[str, object] = {}
    vq_config = config
    if isinstance(config, StyleVARConfig):
        vq_config = config.vq_config
        facts["transformer"] = (
            f"{config.num_hidden_layers} layers, width {config.hidden_size}, {config.num_attention_heads} heads"
        )
        alphas = ", ".join(f"{alpha:g}" for alpha in config.blend_alphas)
        facts["weight of the style per scale (`blend_alphas`)"] = alphas
        if config.legacy_kv_duplication:
            facts["inference"] = "`legacy_kv_duplication`, as published"
    ladder = " ".join(str(side) for side in vq_config.patch_nums)
    facts["scales"] = f"{ladder} ({sum(side * side for side in vq_config.patch_nums)} codes)"
    facts["codebook"] = f"{vq_config.codebook_size} codes of {vq_config.latent_channels} channels"
    if num_parameters:
        facts["parameters"] = f"{num_parameters / 1e6:.1f} M, tokenizer included"
    return facts


def environment_facts() -> dict[str, str]:
    """Hardware, versions and, in a checkout, the commit of this package."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    facts = {"hardware": _hardware(), "versions": ", ".join([*versions, f"Python {platform.python_version()}"])}
    if commit := _commit():
        facts["commit of stylevar-hf"] = f"`{commit}`"
    return facts


def _hardware() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"


def _commit() -> str | None:
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


__all__ = ["architecture_facts", "environment_facts"]
