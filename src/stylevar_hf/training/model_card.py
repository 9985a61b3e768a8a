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
"""The card that goes with a model trained on triplets."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelCardData


if TYPE_CHECKING:
    from .sft_trainer import StyleVARSFTTrainer


def make_model_card(
    trainer: "StyleVARSFTTrainer", model_name: str | None, dataset_ids: list[str] | None, options: dict[str, Any]
) -> ModelCard:
    """
    The card of a trained model or adapter.

    Args:
        trainer ([`StyleVARSFTTrainer`]):
            After training.
        model_name (`str`, *optional*):
            Title. Defaults to the name of the repository or folder.
        dataset_ids (`list[str]`, *optional*):
            Hub ids of the training data.
        options (`dict`):
            `license`, `tags`, `finetuned_from` as in `Trainer.create_model_card`.

    Returns:
        `ModelCard`
    """
    args, model = trainer.args, trainer._unwrapped()
    adapter = hasattr(trainer.model, "peft_config")
    base = options.get("finetuned_from") or model.config._name_or_path
    tags = options.get("tags") or []
    data = ModelCardData(
        library_name="peft" if adapter else "transformers",
        pipeline_tag="image-to-image",
        base_model=base if base and not os.path.exists(base) else None,  # a local folder means nothing to others
        license=options.get("license"),
        datasets=dataset_ids,
        tags=["stylevar", "style-transfer", "arxiv:2604.21052", *([tags] if isinstance(tags, str) else tags)],
    )
    name = model_name or (args.hub_model_id or Path(args.output_dir).absolute().name).split("/")[-1]
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    result = f"\nValidation loss (cross-entropy per token): {losses[-1]:.4f}\n" if losses else ""
    repository = args.hub_model_id or "path/to/this/folder"
    usage = f'pipe = StyleVARPipeline.from_pretrained("{repository}")'
    if adapter:
        usage = (
            f'model = StyleVARForConditionalGeneration.from_pretrained("{base or "the base model"}")\n'
            f'model = PeftModel.from_pretrained(model, "{repository}").merge_and_unload()\n'
            f'pipe = StyleVARPipeline(model, StyleVARImageProcessor.from_pretrained("{repository}"))'
        )
    imports = "from stylevar_hf import StyleVARPipeline"
    if adapter:
        imports = (
            "from peft import PeftModel\n"
            "from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor, StyleVARPipeline"
        )
    return ModelCard(f"""---
{data.to_yaml()}
---

# {name}

StyleVAR ([arXiv 2604.21052](https://arxiv.org/abs/2604.21052)), reference-based style transfer at
{model.config.image_size}x{model.config.image_size} pixels, trained with `StyleVARSFTTrainer` of `stylevar-hf`.
{result}
```python
{imports}

{usage}
image = pipe("content.jpg", "style.jpg", seed=0)
```

## Training

{trainer.state.global_step} steps of {args.train_batch_size * args.world_size * args.gradient_accumulation_steps}
triplets, learning rate {args.learning_rate:g}, weight decay {args.weight_decay:g}, seed {args.seed}.
""")


__all__ = ["make_model_card"]
