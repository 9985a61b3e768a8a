# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Supervised fine-tuning of StyleVAR on triplets. Every field of `StyleVARSFTConfig`, TRL's `ModelConfig`,
`TripletDataArguments` and `StyleVARModelArguments` is a flag, or a line of `--config file.yaml`.

From vanilla VAR, as published (four processes of 4 x 8 triplets make 128 per step):

    stylevar convert --vq vae_ch160v4096z32.pth --var var_d20.pth --resnet resnet18.pth --output start
    accelerate launch --config_file examples/accelerate_configs/ddp.yaml examples/train_sft.py \
        --model_name_or_path start --dataset omnistyle:/data/omnistyle imagepulse:/data/imagepulse \
        --token_cache_dir cache --bf16 --per_device_train_batch_size 4 --eval_strategy epoch --output_dir stylevar-sft

A small model from scratch, on triplets that are rendered on the spot:

    python examples/train_sft.py --from_scratch --vq_model stylevar-vq --dataset procedural \
        --hidden_size 256 --num_hidden_layers 6 --num_attention_heads 4 --encoder_hidden_sizes 16 32 64 128 \
        --encoder_batch_norm train --token_cache_dir cache --gradient_accumulation_steps 1 --output_dir small

An adapter for one's own style:

    python examples/train_sft.py --model_name_or_path stylevar-sft --use_peft --lora_r 16 --dataset disk:my-triplets \
        --output_dir my-style

Several data sets are read one after the other (and shuffled), or mixed with `--dataset_weights`. Data on disk or on
the Hub may call its columns something else: `--column_mapping content=photo style=painting target=result`.

A stopped run goes on with `--resume_from_checkpoint auto` (or `last`).
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
from stylevar_hf.training.sft.sft_config import StyleVARSFTConfig
from stylevar_hf.training.sft.sft_trainer import StyleVARSFTTrainer


def main() -> None:
    parser = TrlParser((TripletDataArguments, StyleVARModelArguments, StyleVARSFTConfig, ModelConfig))
    data_args, style_args, training_args, model_args = parser.parse_args_and_config()

    logging.basicConfig()
    if training_args.should_log:
        logging.getLogger("stylevar_hf").setLevel(logging.INFO)  # says how many rows come from where
    model = load_model(model_args, style_args, seed=training_args.seed)
    with training_args.main_process_first(desc="loading the data"):
        train_dataset, eval_dataset = load_training_data(data_args, model.config.image_size)
    trainer = StyleVARSFTTrainer(
        model=model,
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
