# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar sft`, `stylevar grpo` and `stylevar vq`: training. Every field of the options is a flag."""

import argparse
from collections.abc import Callable, Sequence

from .base import Command


_SFT_EXAMPLES = """\
stylevar sft --model_name_or_path stylevar-sft --use_peft --dataset my-triplets --output_dir my-style
stylevar sft --from_scratch --vq_model stylevar-vq --hidden_size 256 --num_hidden_layers 6 --num_attention_heads 4
accelerate launch -m stylevar_hf.cli sft --config sft.yaml --resume_from_checkpoint auto"""
_GRPO_EXAMPLES = """\
stylevar grpo --model_name_or_path stylevar-sft --use_peft --dataset omnistyle:ROOT --reward_funcs dreamsim
stylevar grpo --model_name_or_path small --dataset unpaired:photos,paintings --reward_funcs color-statistics
accelerate launch -m stylevar_hf.cli grpo --config grpo.yaml --resume_from_checkpoint auto"""
_VQ_EXAMPLES = """\
stylevar vq --dataset imagefolder:pictures --output_dir stylevar-vq
stylevar vq --init_from stylevar-vq --patch_nums 1 2 3 4 6 8 10 13 16 --output_dir stylevar-vq128
accelerate launch -m stylevar_hf.cli vq --config vq.yaml --resume_from_checkpoint auto"""


def run_sft(args: argparse.Namespace) -> int:
    from trl import ModelConfig, get_peft_config

    from ..training.common.arguments import (
        StyleVARModelArguments,
        TripletDataArguments,
        load_image_processor,
        load_model,
        load_training_data,
    )
    from ..training.common.command_line import (
        MODEL_OPTIONS,
        USUAL_OPTIONS,
        field_names,
        make_parser,
        run_training,
        show_notices,
    )
    from ..training.sft.sft_config import StyleVARSFTConfig
    from ..training.sft.sft_trainer import StyleVARSFTTrainer

    # 1. The flags
    groups = {
        "data": field_names(TripletDataArguments),
        "model": (*MODEL_OPTIONS, "base_model_id", *field_names(StyleVARModelArguments)),
        "adapter (LoRA)": field_names(ModelConfig),
        "training": (*USUAL_OPTIONS, *StyleVARSFTConfig.__annotations__),
    }
    kinds = (TripletDataArguments, StyleVARModelArguments, StyleVARSFTConfig, ModelConfig)
    parser = make_parser("stylevar sft", _description("Supervised fine-tuning on triplets.", SFT), kinds, groups)
    parser.set_defaults(eval_strategy="epoch")
    data_args, style_args, training_args, model_args = parser.parse_args_and_config(args.arguments)

    # 2. Model, data, training
    show_notices(training_args)
    model = load_model(model_args, style_args, seed=training_args.seed)
    with training_args.main_process_first(desc="loading the data"):
        train_dataset, eval_dataset = load_training_data(
            data_args, model.config.image_size, skip_broken=training_args.skip_broken
        )
    trainer = StyleVARSFTTrainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        processing_class=load_image_processor(model_args, model.config.image_size),
        peft_config=get_peft_config(model_args),
    )
    run_training(trainer, data_args.dataset)
    return 0


def run_grpo(args: argparse.Namespace) -> int:
    from trl import ModelConfig, get_peft_config

    from ..training.common.arguments import (
        StyleVARModelArguments,
        TripletDataArguments,
        load_image_processor,
        load_model,
        load_training_data,
    )
    from ..training.common.command_line import (
        MODEL_OPTIONS,
        USUAL_OPTIONS,
        field_names,
        make_parser,
        run_training,
        show_notices,
    )
    from ..training.grpo.grpo_config import StyleVARGRPOConfig, StyleVARRewardArguments, refused_options
    from ..training.grpo.grpo_trainer import StyleVARGRPOTrainer

    # 1. The flags
    groups = {
        "data": field_names(TripletDataArguments),
        "model": (*MODEL_OPTIONS, "base_model_id", *field_names(StyleVARModelArguments)),
        "adapter (LoRA; published: rank 256, alpha 512)": field_names(ModelConfig),
        "rewards": (*field_names(StyleVARRewardArguments), "reward_weights"),
        "training": (*USUAL_OPTIONS, *StyleVARGRPOConfig.__annotations__),
    }
    kinds = (TripletDataArguments, StyleVARModelArguments, StyleVARRewardArguments, StyleVARGRPOConfig, ModelConfig)
    description = _description("Reinforcement (GRPO) by rewards on images.", GRPO)
    parser = make_parser("stylevar grpo", description, kinds, groups, hidden=refused_options())
    # TRL's adapter is for chat models, and an evaluation draws all rollouts of each of its rows.
    parser.set_defaults(lora_r=256, lora_alpha=None, lora_dropout=0.0, eval_strategy="epoch", max_eval_samples=16)
    data_args, style_args, reward_args, training_args, model_args = parser.parse_args_and_config(args.arguments)
    if model_args.lora_alpha is None:
        model_args.lora_alpha = 2 * model_args.lora_r

    # 2. Model, data, training
    show_notices(training_args)
    model = load_model(model_args, style_args, seed=training_args.seed)
    with training_args.main_process_first(desc="loading the data"):
        # Rewards say themselves whether they need a target.
        train_dataset, eval_dataset = load_training_data(data_args, model.config.image_size, require_target=False)
    trainer = StyleVARGRPOTrainer(
        model=model,
        reward_funcs=reward_args.reward_funcs,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        processing_class=load_image_processor(model_args, model.config.image_size),
        peft_config=get_peft_config(model_args),
        held_out_reward_funcs=reward_args.held_out_reward_funcs,
    )
    run_training(trainer, data_args.dataset)
    return 0


def run_vq(args: argparse.Namespace) -> int:
    from transformers import set_seed

    from ..image_processing_stylevar import StyleVARImageProcessor
    from ..training.common.command_line import USUAL_OPTIONS, field_names, make_parser, run_training, show_notices
    from ..training.vq.arguments import VQDataArguments, VQModelArguments, build_model, load_data
    from ..training.vq.vq_config import StyleVARVQTrainerConfig
    from ..training.vq.vq_trainer import StyleVARVQTrainer

    # 1. The flags
    groups = {
        "data": field_names(VQDataArguments),
        "model": field_names(VQModelArguments),
        "training": (*USUAL_OPTIONS, *StyleVARVQTrainerConfig.__annotations__),
    }
    description = _description("Training of a tokenizer (multi-scale VQ-VAE) on any images.", VQ)
    kinds = (VQDataArguments, VQModelArguments, StyleVARVQTrainerConfig)
    parser = make_parser("stylevar vq", description, kinds, groups)
    data_args, model_args, training_args = parser.parse_args_and_config(args.arguments)

    # 2. Model, data, training
    show_notices(training_args)
    set_seed(training_args.seed)
    model = build_model(model_args)
    side = model.config.image_size
    train_dataset, eval_dataset = load_data(data_args, side, training_args.seed)
    trainer = StyleVARVQTrainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        processing_class=StyleVARImageProcessor(size={"height": side, "width": side}),
    )
    run_training(trainer, data_args.dataset)
    return 0


def _description(text: str, command: Command) -> str:
    lines = "".join(f"  {line}\n" for line in command.example.splitlines())
    return f"{text} Every flag may be a line of `--config FILE.yaml` instead.\n\nexamples:\n{lines}"


def _needs_extra(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Say which extra is missing, where it is."""

    def checked(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except ModuleNotFoundError as error:
            if error.name in ("trl", "peft", "accelerate", "datasets"):
                raise ValueError(f"Training needs {error.name}: pip install 'stylevar-hf[train]'.") from error
            raise

    return checked


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: the flags are made from dataclasses that take a second to import, when the command runs."""


def _command(name: str, summary: str, example: str, run: Callable[[argparse.Namespace], int]) -> Command:
    return Command(name, summary, example, _add_arguments, _needs_extra(run), parses_itself=True)


SFT = _command("sft", "train a model or an adapter on triplets", _SFT_EXAMPLES, run_sft)
GRPO = _command("grpo", "train a model or an adapter by rewards", _GRPO_EXAMPLES, run_grpo)
VQ = _command("vq", "train a tokenizer on images", _VQ_EXAMPLES, run_vq)
COMMANDS: Sequence[Command] = (SFT, GRPO, VQ)
