# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the subcommands that load a model share: its arguments, and what is said while it is loaded."""

import argparse
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="ID|DIR",
        help="model on the Hub, in a folder, or a name of this package; stylevar-sft and stylevar-grpo are the "
        "published models, which are downloaded and converted the first time (default: stylevar-mini)",
    )


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Where --model is, more closely."""
    parser.add_argument("--adapter", metavar="ID|DIR", help="a LoRA adapter for the model; needs peft")
    parser.add_argument("--variant", metavar="NAME", help="of a repository with published .pth files: sft or grpo")
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit of --model (default: main)")
    parser.add_argument("--subfolder", metavar="DIR", help="of the repository or folder that --model names")
    parser.add_argument("--token", metavar="TOKEN", help="for a private repository (default: your login's)")


def add_precision_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="precision of the network; auto is what the checkpoint was saved in (default: auto)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")


@contextmanager
def hub_bars(shown: bool) -> Iterator[None]:
    """With or without the bars of downloads from the Hub; they appear on terminals alone."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_disabled = are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `HF_HUB_DISABLE_PROGRESS_BARS`, which wins
        (enable_progress_bars if shown else disable_progress_bars)()
        try:
            yield
        finally:
            (disable_progress_bars if were_disabled else enable_progress_bars)()


@contextmanager
def hide_loading_reports(quiet: bool) -> Iterator[None]:
    """What transformers reports of weights is an error here, and said in one line. If `quiet`, our notices go too."""
    from transformers.utils import logging as transformers_logging

    # ours, and the Hub's, which tells how often it tries to reach it
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in ("stylevar_hf", "huggingface_hub")}
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    for logger, level in levels.items():
        logger.setLevel(logging.ERROR if quiet else level)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # the Hub's, too
    try:
        with hub_bars(not quiet):
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
