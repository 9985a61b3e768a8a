#!/usr/bin/env bash
# Train the checkpoints inside the package. stylevar-mini: tokenizer and transformer, first on 64x64 tiles, then on
# 128x128 images; stylevar-mini-grpo: the same after reinforcement. All data is rendered from a seed; nothing is
# downloaded.
#
#     bash examples/train_mini.sh [OUTPUT_DIR]
#
# Stop it whenever you like and start it again with the same folder: finished parts are kept, the part that was
# stopped goes on from its last checkpoint. The environment may set SEED (0), THREADS (all cores) and PRECISION
# (--bf16 where the hardware multiplies it fast, else float32); steps can be scaled with STEPS_PERCENT (100). The
# transformer is trained by PROCESSES (1) processes, which share batch and threads: on a CPU, 2 are faster than 1. The
# checkpoint in the package was trained by 2.
set -euo pipefail

output=${1:-stylevar-mini-training}
examples=$(cd "$(dirname "$0")" && pwd)
seed=${SEED:-0}
percent=${STEPS_PERCENT:-100}
processes=${PROCESSES:-1}
threads=${THREADS:-$(getconf _NPROCESSORS_ONLN)}
threads_each=$((threads / processes > 0 ? threads / processes : 1))
export OMP_NUM_THREADS=$threads
precision=${PRECISION-$(python -c 'from stylevar_hf.pipeline_stylevar import has_fast_products as fast
import torch
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
print("--bf16" if fast(torch.bfloat16, device) else "")')}
python -c 'import sys, torch; sys.exit(torch.accelerator.is_available())' && precision="$precision --use_cpu"
triplets=12000

steps() { echo $(($1 * percent / 100 > 0 ? $1 * percent / 100 : 1)); }
finished() { [ -e "$output/$1/model.safetensors" ]; }

vq() { # name, then flags
    local name=$1 && shift
    finished "$name" || python "$examples/train_vq.py" --output_dir "$output/$name" --seed "$seed" $precision \
        --dataset procedural --num_train_triplets $triplets --weight_decay 0 --ema_decay 0.999 \
        --check_data false --dead_code_revival_steps 100 --metrics_per_scale false --eval_strategy steps --eval_steps 2000 \
        --save_steps 500 --save_total_limit 2 --logging_steps 100 --resume_from_checkpoint last "$@"
}

sft() { # name, batch, then flags
    local name=$1 batch=$2 && shift 2
    finished "$name" || OMP_NUM_THREADS=$threads_each torchrun --standalone --nproc_per_node "$processes" \
        "$examples/train_sft.py" --output_dir "$output/$name" --seed "$seed" $precision \
        --per_device_train_batch_size $((batch / processes)) --ddp_find_unused_parameters false \
        --dataset procedural --procedural_seed "$seed" --token_cache_dir "$output/$name/tokens" --check_data false \
        --max_eval_samples 64 --encoder_batch_norm train --gradient_accumulation_steps 1 --ema_decay 0.999 \
        --max_grad_norm 1 \
        --lr_scheduler_type cosine --warmup_steps 100 --eval_strategy steps --eval_steps 1000 --save_strategy steps \
        --save_steps 250 --save_total_limit 2 --logging_steps 50 --num_proc "$threads" --resume_from_checkpoint auto "$@"
}

# 1. The tokenizer: a plain autoencoder on crops of 64x64, then with its codebook, then on the ladder of 128x128.
vq vq-64 --base_channels 16 --channel_multipliers 1 1 2 4 --num_res_blocks 1 --norm_num_groups 8 \
    --patch_nums 1 2 4 6 8 --codebook_size 1024 --latent_channels 16 --num_shared_phi 3 --random_crop_scale 0.5 \
    --quantizer_warmup_steps "$(steps 2000)" --per_device_train_batch_size 8 --learning_rate 1e-3 \
    --max_steps "$(steps 5000)"
vq vq-128 --init_from "$output/vq-64" --patch_nums 1 2 4 8 16 --random_crop_scale 0.8 \
    --per_device_train_batch_size 4 --learning_rate 3e-4 --max_steps "$(steps 500)"

# 2. The transformer: on tiles of 64x64 with the same tokenizer, then at 128x128.
sft sft-64 16 --from_scratch --vq_model "$output/vq-128" --patch_nums 1 2 4 8 --hidden_size 256 --num_hidden_layers 6 \
    --num_attention_heads 4 --encoder_hidden_sizes 16 32 64 128 --encoder_depths 1 1 1 1 \
    --blend_alphas 0.3 0.4 0.5 0.6 --alpha_jitter 0.2 --drop_path_rate 0 --num_procedural $((triplets * 2)) \
    --procedural_canvas_size 128 --learning_rate 2e-3 --max_steps "$(steps 1500)"
sft sft-128 16 --model_name_or_path "$output/sft-64" --vq_model "$output/vq-128" --num_procedural 16000 \
    --learning_rate 1.5e-3 --alpha_jitter 0.05 --strength_anchor_rate 0.15 --max_steps "$(steps 2200)"

# The model of a run, or with the adapter of one merged, as it ships: stored in 16 bits and loaded in 32 unless another
# precision is asked for, since not every processor multiplies bfloat16 fast.
ship() { # model, where to, adapter
    python - "$@" <<'PYTHON'
import sys
import tempfile
from pathlib import Path
from shutil import rmtree

import torch
from peft import PeftModel

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor

source, destination, *adapters = sys.argv[1:]
processor = StyleVARImageProcessor.from_pretrained(source)
with tempfile.TemporaryDirectory() as merged:
    for adapter in adapters:
        model = StyleVARForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
        PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(merged)
        source = merged
    model = StyleVARForConditionalGeneration.from_pretrained(source, dtype=torch.bfloat16)  # the codebook stays in 32
model.config.alpha_jitter = 0.0
model.generation_config.update(do_sample=True, top_k=64, top_p=0.9, temperature=0.8)
staged = Path(f"{destination}.partial")
model.save_pretrained(staged)
processor.save_pretrained(staged)
config = staged / "config.json"
config.write_text(config.read_text().replace('"dtype": "bfloat16"', '"dtype": "float32"'))
rmtree(destination, ignore_errors=True)  # one that was not finished
staged.rename(destination)
PYTHON
}

# 3. The supervised checkpoint.
finished stylevar-mini || ship "$output/sft-128" "$output/stylevar-mini"

# 4. Reinforcement: an adapter for it, by rewards that need no download. A batch is 4 prompts of 16 rollouts.
grpo=stylevar-mini-grpo-lora
[ -e "$output/$grpo/adapter_model.safetensors" ] || OMP_NUM_THREADS=$threads_each \
    torchrun --standalone --nproc_per_node "$processes" "$examples/train_grpo.py" --output_dir "$output/$grpo" \
    --model_name_or_path "$output/stylevar-mini" --use_peft --lora_r 16 --seed "$seed" $precision \
    --dataset procedural --procedural_seed 100 --num_procedural 2000 --max_eval_samples 96 \
    --reward_funcs ssim texture-statistics:reference=target color-statistics:reference=target,statistics=moments \
    --reward_weights 2 1 0.006 --top_k 64 --top_p 0.9 --temperature 0.8 --scoring sampled --num_generations 16 \
    --num_generations_eval 4 --per_device_train_batch_size $((64 / processes)) --gradient_accumulation_steps 1 \
    --advantage_std_floor 0 \
    --per_device_eval_batch_size $((64 / processes)) --learning_rate 1.2e-3 --lr_scheduler_type linear \
    --warmup_steps 10 --max_steps "$(steps 160)" --eval_strategy steps --eval_steps 40 --eval_on_start true \
    --save_steps 20 --save_total_limit 2 --logging_steps 2 --ddp_find_unused_parameters false --resume_from_checkpoint auto
finished stylevar-mini-grpo || ship "$output/stylevar-mini" "$output/stylevar-mini-grpo" "$output/$grpo"
echo "stylevar-mini and stylevar-mini-grpo are in $output"
