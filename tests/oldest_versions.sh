#!/usr/bin/env bash
# Runs the core of the tests with the oldest releases that setup.py admits (tests/oldest_requirements.txt), in an
# environment of its own: `tests/oldest_versions.sh [FOLDER_OF_THE_ENVIRONMENT]`. It needs Python 3.11 or newer and the
# package index, takes some minutes and several gigabytes, and is not part of `.ci/run`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
environment=${1:-$(mktemp -d)/oldest}
if [ ! -x "$environment/bin/python" ]; then
    "$(command -v python3.11 || command -v python3)" -m venv "$environment"
    "$environment/bin/pip" install --quiet --no-cache-dir -r tests/oldest_requirements.txt
fi
"$environment/bin/pip" list 2>/dev/null |
    grep -E '^(torch|torchvision|transformers|huggingface_hub|safetensors|numpy|pillow|accelerate|trl|peft|datasets) '

# Model, processor, pipeline, adapters; data; training. What needs extras beyond these is left to the newest releases.
export PYTHONPATH=src
"$environment/bin/python" -m pytest -q -p no:cacheprovider -m "not slow" \
    tests/test_configuration_stylevar.py tests/test_modeling_stylevar_vq.py tests/test_modeling_stylevar.py \
    tests/test_generation_stylevar.py tests/test_goldens.py tests/test_image_processing_stylevar.py \
    tests/test_pipeline_stylevar.py tests/test_adapters_stylevar.py tests/test_conversion.py \
    tests/test_data_loading.py tests/test_data_mixing.py tests/test_token_cache.py tests/test_data_image_cache.py \
    tests/test_advantages.py tests/test_policy_loss.py tests/test_panw.py tests/test_grpo_config.py \
    tests/test_grpo_trainer.py tests/test_reference_policy.py tests/test_private_seams.py \
    tests/test_sft_trainer.py tests/test_stream_passes.py tests/test_training_arguments.py tests/test_train_command.py
