# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What `stylevar sft`, `stylevar grpo` and `stylevar vq` share: flags in groups, and a run from start to card."""

import argparse
import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence

from transformers import Trainer
from trl import TrlParser


# What a run usually sets of the options that transformers brings.
USUAL_OPTIONS = (
    "output_dir",
    "max_steps",
    "num_train_epochs",
    "eval_strategy",
    "eval_steps",
    "save_strategy",
    "save_steps",
    "logging_steps",
    "resume_from_checkpoint",
    "bf16",
    "use_cpu",
    "seed",
    "report_to",
    "push_to_hub",
    "hub_model_id",
)
MODEL_OPTIONS = ("model_name_or_path", "model_revision", "dtype", "attn_implementation")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The examples as they are; each flag once, with its default behind its help if it has one."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{action.option_strings[0]} {self._format_args(action, 'VALUE')}"

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help if action.default is None else super()._get_help_string(action)


class _Parser(TrlParser):
    """Bad flags are a `ValueError`, which the command reports in one line; argparse would print all flags above it."""

    def error(self, message: str) -> None:
        raise ValueError(f"{message} (see `{self.prog} --help`)")


def make_parser(
    prog: str,
    description: str,
    kinds: Sequence[type],
    groups: Mapping[str, Collection[str]],
    hidden: Collection[str] = (),
) -> TrlParser:
    """
    A parser of the fields of dataclasses, or of the lines of `--config FILE.yaml`.

    Args:
        prog (`str`), description (`str`):
            The command, and what `--help` says above the flags.
        kinds (`Sequence[type]`):
            The dataclasses.
        groups (`Mapping[str, Collection[str]]`):
            Titles in the order of `--help`, and which fields stand below each. All others come last.
        hidden (`Collection[str]`, *optional*):
            Fields that `--help` leaves out, for they are refused.

    Returns:
        `TrlParser`
    """
    usage = f"{prog} [--config FILE.yaml] [--FLAG VALUE ...]"
    parser = _Parser(
        kinds, prog=prog, usage=usage, description=description, formatter_class=_HelpFormatter, allow_abbrev=False
    )
    title_of: dict[str, str] = {}
    for title, names in groups.items():
        for name in names:
            title_of.setdefault(name, title)
    others = "other options of transformers and TRL"
    sections = {title: parser.add_argument_group(title) for title in (*groups, others)}
    flags = parser._optionals._group_actions
    for action in [action for action in flags if action.dest != "help"]:
        flags.remove(action)
        sections[title_of.get(action.dest, others)]._group_actions.append(action)
        if action.dest in hidden:
            action.help = argparse.SUPPRESS
    return parser


def field_names(*kinds: type) -> list[str]:
    """Names of all fields of dataclasses."""
    return [option.name for kind in kinds for option in dataclasses.fields(kind)]


def show_notices(trainer_args) -> None:
    """What this package has to say, such as how many rows come from where, on one process."""
    logging.basicConfig()
    if trainer_args.should_log:
        logging.getLogger("stylevar_hf").setLevel(logging.INFO)


def run_training(trainer: Trainer, dataset: list[str] | str | None = None) -> None:
    """
    Train, evaluate, save, and publish or write the card.

    Args:
        trainer (`Trainer`):
            One of this package.
        dataset (`list[str]` or `str`, *optional*):
            What the card calls the training data.

    Raises:
        ValueError, OSError: If something that the user gave does not fit, before the first update.
        RuntimeError: If an error of that kind happens in the middle of the training, with what caused it.
    """
    args = trainer.args
    try:
        trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    except FloatingPointError as error:
        raise ValueError(str(error)) from error
    except (ValueError, TypeError) as error:
        if isinstance(error, ValueError) and trainer.state.global_step == 0:
            raise
        raise RuntimeError(f"Training failed at step {trainer.state.global_step}.") from error
    last = [entry for entry in trainer.state.log_history if entry.get("step") == trainer.state.global_step]
    evaluated = any(name.startswith("eval") for entry in last for name in entry)
    if trainer.eval_dataset is not None and not evaluated:
        trainer.save_metrics("eval", trainer.evaluate())
    trainer.save_model()
    if args.push_to_hub:
        trainer.push_to_hub(dataset=dataset)
    else:
        trainer.create_model_card(dataset=dataset)
    trainer.accelerator.wait_for_everyone()  # one process writes
    trainer.accelerator.end_training()


__all__ = ["MODEL_OPTIONS", "USUAL_OPTIONS", "field_names", "make_parser", "run_training", "show_notices"]
