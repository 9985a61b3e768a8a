# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a trainer tells the generator of model cards, and how it publishes: as `stylevar push` does."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, ModelCard
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils.hub import PushInProgress

from ..._common.errors import invalid
from ...configuration_stylevar import StyleVARVQConfig
from ...hub.card_facts import architecture_facts, environment_facts
from ...hub.data_sources import find_data_sources
from ...hub.model_card import CardFacts, is_repository, make_card
from ...hub.publishing import push_folder, push_folder_in_background
from ...hub.results import read_results
from .lora import core_model


_PUSH_OPTIONS = ("license", "license_name", "license_link", "base_model", "merged", "max_shard_size")


def make_model_card(
    trainer: Trainer, model_name: str | None, dataset_ids: list[str] | None, options: Mapping[str, Any]
) -> ModelCard:
    """
    The card of a trained model, adapter or tokenizer.

    Args:
        trainer (`Trainer`):
            One of this package, after training.
        model_name (`str`, *optional*):
            Title. Defaults to the name of the repository or folder.
        dataset_ids (`list[str]`, *optional*):
            The training data: Hub ids, or what the training scripts call them, such as `omnistyle:ROOT`.
        options (`Mapping[str, Any]`):
            `license`, `tags`, `finetuned_from` as in `Trainer.create_model_card`.

    Returns:
        `ModelCard`
    """
    args = trainer.args
    policy = trainer.accelerator.unwrap_model(trainer.model)
    core = core_model(policy)
    tags = options.get("tags") or []
    repo_id = getattr(trainer, "hub_model_id", None) or args.hub_model_id
    saves_whole = getattr(trainer, "saves_whole_model", lambda: False)  # of GRPO: it may save more than the adapter
    if hasattr(policy, "peft_config") and not saves_whole():
        kind = "adapter"
    else:
        kind = "tokenizer" if isinstance(core.config, StyleVARVQConfig) else "model"
    return make_card(
        CardFacts(
            name=model_name or (repo_id or Path(args.output_dir).absolute().name).split("/")[-1],
            image_size=core.config.image_size,
            kind=kind,
            repo_id=repo_id,
            architecture=architecture_facts(core.config, core.num_parameters()),
            base_model=options.get("base_model")
            or getattr(args, "base_model_id", None)
            or options.get("finetuned_from")
            or core.config._name_or_path
            or None,
            license=options.get("license"),
            license_name=options.get("license_name"),
            license_link=options.get("license_link"),
            data=find_data_sources(dataset_ids),
            training=training_facts(trainer),
            environment=environment_facts(),
            results=read_results(Path(args.output_dir, "results.json")),
            tags=[tags] if isinstance(tags, str) else tags,
            merged=bool(options.get("merged")),
        )
    )


def training_facts(trainer: Trainer) -> dict[str, object]:
    """Options and outcome of a training, for a card's list."""
    args, state = trainer.args, trainer.state
    batch = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
    facts: dict[str, object] = {
        "trainer": f"`{type(trainer).__name__}`",
        "length": f"{state.global_step} steps of {batch}, {state.epoch or 0:.2f} epochs",
        "learning rate": f"{args.learning_rate:g}, {args.lr_scheduler_type} schedule",
        "weight decay": f"{args.weight_decay:g}",
        "precision": "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32",
        "seed": args.seed,
    }
    if rewards := getattr(trainer, "reward_func_names", None):
        facts["rewards"] = ", ".join(rewards)
        facts["rollouts per prompt"] = args.num_generations
        facts["KL coefficient"] = f"{args.beta:g}"
        panw = f"PANW, gamma {args.panw_gamma:g}"
        facts["weights of the tokens"] = panw if args.token_weighting == "panw" else args.token_weighting
    for key, name in (
        ("eval_loss", "validation loss (cross-entropy per token)"),
        ("eval_reward", "validation reward"),
        ("reward", "last training reward"),
        ("train_runtime", "time in seconds"),
    ):
        values = [entry[key] for entry in state.log_history if entry.get(key) is not None]
        if values and not (key == "eval_loss" and rewards):
            facts[name] = f"{values[-1]:.4g}"
    return facts


def check_publishing(args: TrainingArguments, model: nn.Module) -> None:
    """
    Ask for what publishing an adapter takes before there is a repository, and before it is trained for hours.

    Args:
        args (`TrainingArguments`):
            With `base_model_id`.
        model (`nn.Module`):
            With its adapter, if it has one.

    Raises:
        ValueError: If an adapter is to be published whose base nobody else can load.
    """
    if not (args.push_to_hub and hasattr(model, "peft_config")):
        return
    base = args.base_model_id or core_model(model).name_or_path
    if not is_repository(base) or "/" not in base:
        hint = "An adapter is published without its base: publish that first, and name its repository here."
        raise invalid("base_model_id", "user/name of the adapter's base with `push_to_hub`", repr(base), hint)


class PublishingMixin:
    """
    `push_to_hub` of the trainers: a model card of a style-transfer model, and one commit of what belongs to the model.

    The seams are `create_model_card`, `push_to_hub` and `_push_from_checkpoint`. `Trainer` would upload all of
    `output_dir`, pickled training arguments and sample pictures included. With `hub_strategy="checkpoint"` or
    `"all_checkpoints"` the states of the training go up as `Trainer` does it: they are what one resumes from.
    """

    def create_model_card(self, model_name: str | None = None, dataset: str | list[str] | None = None, **kwargs: Any):
        """
        Write `README.md`: metadata of an image-to-image model, how to use it, how it was trained.

        Args:
            model_name (`str`, *optional*):
                Title. Defaults to the name of the repository or folder.
            dataset (`str` or `list[str]`, *optional*):
                The training data: Hub ids, or what the training scripts call them, such as `omnistyle:ROOT`.
            **kwargs:
                `license`, `tags`, `finetuned_from` as in `Trainer`; the others do not apply.
        """
        if not self.is_world_process_zero():
            return
        card = make_model_card(self, model_name, [dataset] if isinstance(dataset, str) else dataset, kwargs)
        card.save(Path(self.args.output_dir, "README.md"))

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> "CommitInfo | Future[CommitInfo] | None":
        """
        Save the model and publish it with its card in one commit, as `stylevar push` does.

        Args:
            commit_message, blocking, token, revision, private:
                As in `Trainer.push_to_hub`.
            **kwargs:
                For [`create_model_card`], and `license`, `license_name`, `license_link`, `base_model`, `merged` and
                `max_shard_size` for [`~stylevar_hf.hub.push_folder`].

        Returns:
            `CommitInfo`, or a `Future` of it if not `blocking`; `None` on all processes but the first.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = self.args.hub_token if token is None else token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)
        self._finish_current_push()
        push = push_folder if blocking else push_folder_in_background
        base = getattr(self.args, "base_model_id", None)
        kwargs = {**kwargs, "base_model": kwargs.get("base_model") or base}
        return push(
            self.args.output_dir,
            self.hub_model_id,
            private=self.args.hub_private_repo if private is None else private,
            token=token,
            revision=self.args.hub_revision if revision is None else revision,
            commit_message=commit_message,
            **{name: kwargs[name] for name in _PUSH_OPTIONS if name in kwargs},
        )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        args = self.args
        if args.hub_strategy != HubStrategy.EVERY_SAVE:
            return super()._push_from_checkpoint(checkpoint_folder)
        if not self.is_world_process_zero():
            return
        jobs = [] if self.push_in_progress is None else [job for job in self.push_in_progress.jobs if not job.done()]
        if jobs and not args.hub_always_push:
            return
        self.callback_handler.on_push_begin(args, self.state, self.control)
        by_steps = args.save_strategy == SaveStrategy.STEPS
        place = f"step {self.state.global_step}" if by_steps else f"epoch {int(self.state.epoch)}"
        job = push_folder_in_background(
            checkpoint_folder,
            self.hub_model_id,
            token=args.hub_token,
            revision=args.hub_revision,
            base_model=getattr(args, "base_model_id", None),
            commit_message=f"Training in progress, {place}",
        )
        self.push_in_progress = PushInProgress([*jobs, job])


__all__ = ["PublishingMixin", "check_publishing", "make_model_card", "training_facts"]
