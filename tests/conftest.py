# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the tests share: no network, few threads, and a model so small that it costs nothing."""

import atexit
import os
import shutil
import tempfile


# Before transformers or huggingface_hub is imported: they read these once.
_CACHE = tempfile.mkdtemp(prefix="stylevar-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(
    HF_HOME=_CACHE,
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    STYLEVAR_CACHE=os.path.join(_CACHE, "stylevar-hf"),
    TOKENIZERS_PARALLELISM="false",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny: more threads only wait for each other

import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from transformers import TrainingArguments  # noqa: E402

from stylevar_hf import StyleVARConfig, StyleVARForConditionalGeneration, StyleVARImageProcessor  # noqa: E402


torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


# What transformers calls the option since 5.2x.
CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in TrainingArguments.__dataclass_fields__
)


def make_tiny_config(**overrides) -> StyleVARConfig:
    """16x16 images, 30 codes on four scales, 0.1 M parameters."""
    arguments = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vq_config": {
            "patch_nums": (1, 2, 3, 4),
            "codebook_size": 64,
            "latent_channels": 8,
            "base_channels": 16,
            "channel_multipliers": (1, 1, 2),
            "num_res_blocks": 1,
            "norm_num_groups": 8,
        },
        "encoder_config": {
            "embedding_size": 8,
            "hidden_sizes": [8, 8, 16, 16],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
            "downsample_in_first_stage": False,
        },
    }
    return StyleVARConfig(**{**arguments, **overrides})


@pytest.fixture(scope="session")
def tiny_config() -> StyleVARConfig:
    return make_tiny_config()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory) -> str:
    """A saved folder: model and image processor, random weights from a fixed seed."""
    folder = tmp_path_factory.mktemp("tiny-stylevar")
    config = make_tiny_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = StyleVARForConditionalGeneration(config)
        for layer in model.model.layers:  # a new model's gates are shut: nothing would depend on style and content
            torch.nn.init.normal_(layer.modulation.weight)
    model.save_pretrained(folder)
    side = config.image_size
    StyleVARImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def image_files(tmp_path) -> dict[str, str]:
    """Three pictures of different shapes: `content`, `other` and `style`."""
    rng = np.random.default_rng(0)
    files = {}
    for name, shape in (("content", (20, 30, 3)), ("other", (33, 17, 3)), ("style", (24, 24, 3))):
        files[name] = str(tmp_path / f"{name}.png")
        PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(files[name])
    return files
