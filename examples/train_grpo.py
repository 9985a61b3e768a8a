# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Reinforcement (GRPO) of StyleVAR on triplets. Every field of `StyleVARGRPOConfig`, `StyleVARRewardArguments`, TRL's
`ModelConfig`, `TripletDataArguments` and `StyleVARModelArguments` is a flag, or a line of `--config file.yaml`.

As published: 16 rollouts of one prompt per update, DreamSim to the target as reward, an adapter of rank 256 and alpha
512 (the defaults of `--lora_r` and `--lora_alpha` here: another rank gets twice as much alpha), learning rate 1e-5,
and the best policy so far as reference:

    stylevar download-dreamsim --cache-dir dreamsim
    accelerate launch examples/train_grpo.py --model_name_or_path stylevar-sft --use_peft \
        --dataset omnistyle:/data/omnistyle --reward_funcs dreamsim:cache_dir=dreamsim --iterative_reference \
        --output_dir stylevar-grpo

All weights of a small model, with rewards that need no download, on triplets that are rendered on the spot:

    python examples/train_grpo.py --model_name_or_path small --dataset procedural --bf16 --use_cpu \
        --reward_funcs ssim color-statistics --reward_weights 1 2 --max_steps 500 --output_dir small-grpo

Rewards are names (see `stylevar_hf.rewards`) with options, `dreamsim:cache_dir=dreamsim,scale=5`, or functions of
one's own, `my_module:my_reward`, that take lists of images and return a list of numbers.

A batch (`per_device_train_batch_size` x processes x `gradient_accumulation_steps`) counts rollouts, 16 by default; it
holds whole prompts of `num_generations` rollouts each. Pictures of rollouts with their rewards are in
`OUTPUT_DIR/rollouts`. A stopped run goes on with `--resume_from_checkpoint auto` (or `last`).
"""

import logging

from trl import ModelConfig, TrlParser, get_peft_config

from stylevar_hf.training.common.arguments import (
    StyleVARModelArguments,
    TripletDataArguments,
    load_image_processor,
    load_model,
    load_training_data,
)
from stylevar_hf.training.grpo.grpo_config import StyleVARGRPOConfig, StyleVARRewardArguments
from stylevar_hf.training.grpo.grpo_trainer import StyleVARGRPOTrainer


def main() -> None:
    parser = TrlParser(
        (TripletDataArguments, StyleVARModelArguments, StyleVARRewardArguments, StyleVARGRPOConfig, ModelConfig)
    )
    parser.set_defaults(lora_r=256, lora_alpha=None, lora_dropout=0.0)  # TRL's own are for chat models
    data_args, style_args, reward_args, training_args, model_args = parser.parse_args_and_config()
    if model_args.lora_alpha is None:
        model_args.lora_alpha = 2 * model_args.lora_r

    logging.basicConfig()
    if training_args.should_log:
        logging.getLogger("stylevar_hf").setLevel(logging.INFO)  # says how many rows come from where
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
    )
    trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    trainer.save_model()
    if training_args.push_to_hub:
        trainer.push_to_hub(dataset=data_args.dataset)
    else:
        trainer.create_model_card(dataset=data_args.dataset)
    trainer.accelerator.wait_for_everyone()  # one process writes
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main()
