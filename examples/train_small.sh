#!/usr/bin/env bash
# Train stylevar-small, the checkpoint inside the package: 256x256 pixels, from a folder of photographs and one of works
# of art. A teacher paints the targets; tokenizer, transformer and adapter are trained in turn.
#
#     VGG="vgg19_16x.safetensors" bash examples/train_small.sh CONTENTS STYLES [OUTPUT_DIR]
#
# Stop it whenever you like and start it again with the same folder: finished parts are kept, the part that was stopped
# goes on from its last checkpoint. The environment may set
#     VGG              files of VGG-19 weights for the perceptual loss, separated by spaces (without: LPIPS)
#     DEVICE           cpu or cuda (default: cuda if there is one)
#     PRECISION        --bf16 where the hardware multiplies it fast, else nothing
#     NUM_TRIPLETS     6000
#     STEPS_PERCENT    100: scales every number of steps, for a trial
#     VQ_SECONDS, SFT_SECONDS, DECODER_SECONDS
#                      end a part after so much time instead of after its steps, where a machine is lent for minutes
# On two CPU cores the whole takes about a day; on an H100, ten minutes are planned (docs/performance.md).
set -euo pipefail

contents=${1:?"CONTENTS, a folder of photographs, is missing. Usage: train_small.sh CONTENTS STYLES [OUTPUT_DIR]"}
styles=${2:?"STYLES, a folder of works of art, is missing. Usage: train_small.sh CONTENTS STYLES [OUTPUT_DIR]"}
output=${3:-stylevar-small-training}
seed=${SEED:-0}
percent=${STEPS_PERCENT:-100}
triplets=${NUM_TRIPLETS:-6000}
device=${DEVICE:-$(python -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')}
precision=${PRECISION-$(DEVICE=$device python -c 'import os, torch
from stylevar_hf.pipeline_stylevar import has_fast_products as fast
print("--bf16" if fast(torch.bfloat16, torch.device(os.environ["DEVICE"])) else "")')}

# A GPU takes larger batches, at a rate of learning that grows with their square root.
if [ "$device" = cuda ]; then
    batch_128=64 batch_256=32 rate=2.5 workers=12 place=""
else
    batch_128=8 batch_256=4 rate=1 workers=0 place="--use_cpu"
fi

steps() { echo $(($1 * percent / 100 > 0 ? $1 * percent / 100 : 1)); }
times() { python -c "print($1 * $2)"; }
limit() { if [ -n "${1:-}" ]; then echo "--max_seconds $1"; fi; }
finished() { [ -e "$output/$1/model.safetensors" ]; }

perceptual="--perceptual_weight 0.25"
[ -z "${VGG:-}" ] || perceptual="$perceptual --perceptual_weights $VGG"

vq() { # name, then flags
    local name=$1 && shift
    finished "$name" || stylevar vq --output_dir "$output/$name" --seed "$seed" $precision $place \
        --dataset "triplets:$output/taught" --num_eval_rows 96 --check_data false --channels_last --weight_decay 0 \
        --ema_decay 0.998 --reconstruction_loss l1 $perceptual --metrics_per_scale false --eval_strategy steps \
        --eval_steps 500 --save_steps 250 --save_total_limit 2 --logging_steps 50 --dataloader_num_workers $workers \
        --resume_from_checkpoint last "$@"
}

sft() { # name, then flags
    local name=$1 && shift
    finished "$name" || stylevar sft --output_dir "$output/$name" --seed "$seed" $precision $place \
        --dataset "$output/taught" --check_data false --max_eval_samples 64 --encoder_batch_norm train \
        --gradient_accumulation_steps 1 --ema_decay 0.998 --max_grad_norm 2 --weight_decay 0.03 --alpha_jitter 0.05 \
        --strength_anchor_rate 0.1 --lr_scheduler_type constant_with_warmup --learning_rate_drop_at 0.9 \
        --warmup_steps 100 --eval_strategy steps --eval_steps 500 --save_strategy steps --save_steps 250 \
        --save_total_limit 2 --logging_steps 25 --dataloader_num_workers $workers --resume_from_checkpoint auto "$@"
}

# 1. Triplets. What is made already stays.
stylevar data make "$contents" "$styles" -o "$output/taught" --teacher magenta --num-triplets "$triplets" --seed "$seed"

# 2. The tokenizer: a plain autoencoder on windows of 128 pixels, then with its codebook. Four pixels in each direction
# are one position of its finest layer. Its weights fit any ladder.
vq vq-128 --patch_nums 1 2 4 8 16 --base_channels 128 --channel_multipliers 1 2 --num_res_blocks 1 \
    --pixel_patch_size 4 --norm_num_groups 16 --codebook_size 4096 --latent_channels 16 --num_shared_phi 2 \
    --random_crop_scale 0.5 --random_crop_max_scale 0.75 --dead_code_revival_steps 100 \
    --quantizer_warmup_steps "$(steps 400)" --per_device_train_batch_size $batch_128 \
    --learning_rate "$(times 6e-4 $rate)" --max_steps "$(steps 2200)" $(limit "${VQ_SECONDS:-}")

# 3. The transformer: on windows of 128 pixels, then on whole pictures, whose codes are computed once. No code changes
# from here on.
sft sft-128 --from_scratch --vq_model "$output/vq-128" --hidden_size 384 --num_hidden_layers 6 \
    --num_attention_heads 12 --encoder_hidden_sizes 24 48 96 192 --encoder_depths 1 1 1 1 \
    --blend_alphas 0.1 0.2 0.3 0.35 0.4 --drop_path_rate 0 --augmentation true --rotation_degrees 0 --brightness 0 \
    --pair_crop_scale 0.25 0.6 --style_crop_scale 0.5 1.0 --flip --per_device_train_batch_size $batch_128 \
    --learning_rate "$(times 1e-3 $rate)" --max_steps "$(steps 20000)" $(limit "${SFT_SECONDS:-}")
sft sft-256 --model_name_or_path "$output/sft-128" --vq_model "$output/vq-128" --patch_nums 1 2 4 8 16 32 \
    --augmentation true --rotation_degrees 0 --brightness 0 --pair_crop_scale 0.7 1.0 --style_crop_scale 0.8 1.0 --flip \
    --per_device_train_batch_size $batch_256 --learning_rate "$(times 5e-4 $rate)" --max_steps "$(steps 12000)" \
    $(limit "${SFT_SECONDS:-}")

# 4. The decoder learns on from the same codes, for textures as rough as they are.
vq vq-256 --init_from "$output/vq-128" --patch_nums 1 2 4 8 16 32 --freeze_codes --random_crop_scale 0.9 \
    --texture_weight 0.5 --per_device_train_batch_size $((batch_256 / 2)) \
    --learning_rate "$(times 2e-4 $rate)" --max_steps "$(steps 3000)" $(limit "${DECODER_SECONDS:-}")

# A model with the trained decoder, and with the adapter of one merged, as it ships: stored in 16 bits and loaded in 32
# unless another precision is asked for, since not every processor multiplies bfloat16 fast.
ship() { # model, tokenizer, where to, adapter
    python - "$@" <<'PYTHON'
import sys
from pathlib import Path
from shutil import rmtree

import torch
from peft import PeftModel

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor
from stylevar_hf.training import load_tokenizer

source, tokenizer, destination, *adapters = sys.argv[1:]
model = StyleVARForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
for adapter in adapters:
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
trained = load_tokenizer(tokenizer)
weights = trained.state_dict()
codes = ("encoder.", "quant_conv.", "quantizer.")
same = model.vq_model.state_dict()
if any(not value.allclose(same[name], atol=1e-2) for name, value in weights.items() if name.startswith(codes)):
    raise SystemExit(f"{tokenizer} gives other codes than those that {source} was trained with.")
model.vq_model.load_state_dict(weights)
model.to(torch.bfloat16)
model.vq_model.quantizer = trained.quantizer  # in float32: a rounded codebook gives other codes
model.config.alpha_jitter = 0.0
model.generation_config.update(do_sample=True, top_k=100, top_p=0.96, temperature=0.7)
staged = Path(f"{destination}.partial")
model.save_pretrained(staged)
StyleVARImageProcessor.from_pretrained(source).save_pretrained(staged)
config = staged / "config.json"
config.write_text(config.read_text().replace('"dtype": "bfloat16"', '"dtype": "float32"'))
rmtree(destination, ignore_errors=True)  # one that was not finished
staged.rename(destination)
PYTHON
}
finished stylevar-small-sft || ship "$output/sft-256" "$output/vq-256" "$output/stylevar-small-sft"

# 5. Reinforcement: an adapter for it, by the distance of VGG-19's features to the target and that of their statistics
# to the style. A batch is 4 prompts of 16 rollouts.
vgg=${VGG:+:weights=${VGG%% *}}
adapter=stylevar-small-grpo-lora
[ -e "$output/$adapter/adapter_model.safetensors" ] || stylevar grpo --output_dir "$output/$adapter" \
    --model_name_or_path "$output/stylevar-small-sft" --use_peft --lora_r 16 --seed "$seed" $precision $place \
    --dataset "$output/taught" --max_eval_samples 64 --reward_funcs "perceptual$vgg" \
    "style-statistics$vgg" --reward_weights 1 1 --scoring sampled --num_generations 16 --num_generations_eval 4 \
    --per_device_train_batch_size 16 --per_device_eval_batch_size 16 --gradient_accumulation_steps 4 \
    --learning_rate 1e-3 --lr_scheduler_type linear --warmup_steps 10 --max_steps "$(steps 160)" \
    --eval_strategy steps --eval_steps 40 --eval_on_start true --save_steps 20 --save_total_limit 2 --logging_steps 2 \
    --resume_from_checkpoint auto
finished stylevar-small || ship "$output/stylevar-small-sft" "$output/vq-256" "$output/stylevar-small" "$output/$adapter"
echo "stylevar-small is in $output/stylevar-small"
