# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
The checkpoint that works out of the box: `bundled_checkpoint()` returns its folder.

Until a trained one ships in `stylevar-mini/`, a small one is built in the cache: around the trained tokenizer in
`stylevar-mini-tokenizer/` (made by `examples/train_mini.sh`), a transformer from a fixed seed. The transformer is
untrained: it shows that everything runs, its pictures are noise.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from transformers.utils import logging


logger = logging.get_logger(__name__)

PACKAGE = Path(__file__).parents[1]
TRAINED_CHECKPOINT = PACKAGE / "checkpoints" / "stylevar-mini"
TRAINED_TOKENIZER = PACKAGE / "checkpoints" / "stylevar-mini-tokenizer"
SEED = 0


def bundled_checkpoint() -> str:
    """
    The folder of the small checkpoint that comes with the package, for `from_pretrained`.

    It is `stylevar-mini/` inside the package where that is shipped. Otherwise an untrained model for 128x128 images is
    built once, in about a second, below `$STYLEVAR_CACHE` (default: `$HF_HOME/stylevar-hf`), and a warning says that
    its pictures are noise. Processes that build at the same time do not disturb each other.

    Returns:
        `str`: A folder with `config.json`, `generation_config.json`, `preprocessor_config.json` and
        `model.safetensors`.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARPipeline, bundled_checkpoint

    >>> pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint())
    ```
    """
    if is_trained():
        return str(TRAINED_CHECKPOINT)
    logger.warning(
        "The bundled checkpoint is untrained: it is built from a seed to show that everything runs, and its pictures "
        "are noise. Convert the released weights with `stylevar convert` for real ones."
    )
    folder = _untrained_folder()
    if not (folder / "config.json").is_file():
        _build_atomically(folder)
    return str(folder)


def is_trained() -> bool:
    """Whether [`bundled_checkpoint`] returns trained weights."""
    return (TRAINED_CHECKPOINT / "config.json").is_file()


def _untrained_folder() -> Path:
    from huggingface_hub.constants import HF_HOME

    from .. import __version__

    # The sources are part of the name (and, as remote code, of the folder): a change of theirs builds anew.
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in (*sorted(PACKAGE.glob("*_stylevar*.py")), *sorted(TRAINED_TOKENIZER.iterdir())):
        digest.update(source.read_bytes())
    cache = os.environ.get("STYLEVAR_CACHE") or Path(HF_HOME) / "stylevar-hf"
    return Path(cache).expanduser() / f"stylevar-mini-untrained-{__version__}-{digest.hexdigest()[:8]}"


def _build_atomically(folder: Path) -> None:
    """Builds beside `folder` and renames, so that the folder is complete from the moment it exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _save_untrained(scratch)
        scratch.chmod(0o755)  # `mkdtemp` keeps others out, who may share the cache
        with contextlib.suppress(OSError):  # another process was first: its folder is the same
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not (folder / "config.json").is_file():
        raise OSError(f"The bundled checkpoint could not be written to {str(folder)!r}. Remove what is there.")


def _save_untrained(folder: Path) -> None:
    import torch

    from ..configuration_stylevar import StyleVARConfig
    from ..image_processing_stylevar import StyleVARImageProcessor
    from ..modeling_stylevar import StyleVARForConditionalGeneration
    from ..modeling_stylevar_vq import StyleVARVQModel

    tokenizer = StyleVARVQModel.from_pretrained(TRAINED_TOKENIZER, dtype=torch.float32)
    config = StyleVARConfig(
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        blend_alphas=(0.3, 0.4, 0.5, 0.6, 0.7),
        vq_config=tokenizer.config.to_dict(),
        encoder_config={
            "embedding_size": 16,
            "hidden_sizes": [16, 32, 64, 128],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
            "downsample_in_first_stage": False,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = StyleVARForConditionalGeneration(config)
    model.vq_model.load_state_dict(tokenizer.state_dict())
    model.save_pretrained(folder)
    side = config.image_size
    StyleVARImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)


__all__ = ["bundled_checkpoint"]
