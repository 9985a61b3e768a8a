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
Published `.pth` files to a `from_pretrained` folder, and back.

Use the released weights:

```python
>>> from stylevar_hf import StyleVARPipeline, convert_original_checkpoint

>>> folder = convert_original_checkpoint("vae_ch160v4096z32.pth", "StyleVAR_SFT.pth", "stylevar-sft")
>>> image = StyleVARPipeline.from_pretrained(folder)("content.jpg", "style.jpg", seed=0)
```

or, in a shell, `stylevar convert --vq vae_ch160v4096z32.pth --model StyleVAR_SFT.pth --output stylevar-sft`.

* `StyleVAR_SFT.pth`, `StyleVAR-GRPO.pth`, and every checkpoint that the published trainers write are read: plain, under
  `model` or `trainer.var_wo_ddp`, wrapped in LoRA layers, or LoRA alone (add `base_path`). Adapters are merged.
* `blend_alphas` are not in those files. `"default"` is the published inference schedule, `"released-sft"` the one that
  the released supervised weights were probably trained with.
* [`convert_var_checkpoint`] makes the start of supervised training out of a vanilla VAR and an ImageNet ResNet-18.
* [`convert_to_original`] writes the two published files again.

All sizes are read from the tensors' shapes. Every tensor of a file must be known and every known one must be there.
Files are read with `weights_only=True`: a checkpoint cannot run code.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import ModelCard, ModelCardData
from safetensors import safe_open
from torch import nn

from ._conversion_io import (
    OriginalCheckpoint,
    Weight,
    folder_in_progress,
    progress_bar,
    read_checkpoint,
    save_original,
    save_weights,
)
from ._conversion_tables import (
    PHI_RENAMES,
    RESNET_RENAMES,
    RESNET_UNUSED,
    STYLEVAR_RENAMES,
    STYLEVAR_UNUSED,
    VAR_RENAMES,
    VAR_UNUSED,
    VQ_RENAMES,
    VQ_UNUSED,
    PublishedTensor,
    published_layout,
)
from .configuration_stylevar import BLEND_ALPHA_SCHEDULES, StyleVARConfig
from .image_processing_stylevar import StyleVARImageProcessor
from .modeling_stylevar import StyleVARForConditionalGeneration
