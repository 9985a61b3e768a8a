#!/usr/bin/env bash
# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# Everything that README and docs/performance.md want to know of a GPU, on random weights, in a few minutes:
#
#     bash examples/benchmark_gpu.sh OUTPUT_FOLDER [CHECKOUT_OF_THE_PUBLISHED_CODE]
set -euo pipefail
output=${1:?a folder for the results}
published=${2:-}
examples=$(dirname "$0")
mkdir -p "$output"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv > "$output/gpu.csv"
python "$examples/benchmark_gpu.py" --dtype bfloat16 float32 --batch_size 1 8 64 --trace "$output/trace.json" \
    | tee "$output/painting.md"
python "$examples/benchmark_training.py" --bf16 --batch_size 16 | tee "$output/training.json"
python "$examples/benchmark_grpo.py" --device cuda --depth 20 --dtype bfloat16 --updates 2 --rows_per_pass 16 \
    ${published:+--published_code "$published" --measured_rollouts 1} | tee "$output/grpo.md"
