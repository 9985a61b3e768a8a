# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Command-line arguments of the training examples: which data, which model to start from."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import IMAGE_PROCESSOR_NAME, cached_file

from ..._common.errors import invalid
from ...conversion.loading import find_checkpoint
from ...image_processing_stylevar import StyleVARImageProcessor
from ...modeling_stylevar import StyleVARForConditionalGeneration
from .data_arguments import TripletDataArguments, load_training_data
from .initialization import create_model, load_pretrained, load_tokenizer
from .resolution import change_ladder


if TYPE_CHECKING:
    from trl import ModelConfig

# Fields of a `config.json` that a new model takes over; the tokenizer brings its own.
_NEW_MODEL_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "mlp_ratio",
    "blend_alphas",
    "drop_path_rate",
    "label_smoothing",
    "alpha_jitter",
    "layer_norm_eps",
    "encoder_config",
)
# What training reads from the model's configuration, and may be set for a loaded model, too.
_TRAINING_FIELDS = ("blend_alphas", "drop_path_rate", "label_smoothing", "alpha_jitter")
# What decides about a new model alone.
_NEW_MODEL_FLAGS = (
    "image_encoder",
    "model_config",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "mlp_ratio",
    "encoder_hidden_sizes",
    "encoder_depths",
)


@dataclass
class StyleVARModelArguments:
    """
    What to start from, beside TRL's `ModelConfig`, whose `model_name_or_path` is a StyleVAR checkpoint or the folder
    that `stylevar convert --var` made of a vanilla VAR.

    Args:
        from_scratch (`bool`, *optional*, defaults to `False`):
            Start with a new transformer around the tokenizer `vq_model`.
        vq_model (`str`, *optional*):
            Folder or Hub id of a tokenizer, or of a StyleVAR model to take it from. With `model_name_or_path`, carry
            that model over to this tokenizer's ladder, that is, to another image size.
        patch_nums (`list[int]`, *optional*):
            Take that tokenizer on another ladder than its own, to train on smaller images first.
        image_encoder (`str`, *optional*):
            ResNet that the image encoders of a new model start from, such as `microsoft/resnet-18`.
        model_config (`str`, *optional*):
            JSON file with fields of [`StyleVARConfig`] for a new model; the flags below come on top.
        hidden_size, num_hidden_layers, num_attention_heads (`int`, *optional*), mlp_ratio (`float`, *optional*):
            Sizes of a new model.
        encoder_hidden_sizes, encoder_depths (`list[int]`, *optional*):
            Channels and blocks of the stages of a new model's ResNets.
        blend_alphas (`list[float]`, *optional*), drop_path_rate, label_smoothing, alpha_jitter (`float`, *optional*):
            See [`StyleVARConfig`]; of a new or a loaded model.
    """

    from_scratch: bool = field(default=False, metadata={"help": "Start with a new transformer around --vq_model."})
    vq_model: str | None = field(default=None, metadata={"help": "Tokenizer of a new model or of a new size."})
    patch_nums: list[int] | None = field(default=None, metadata={"help": "Ladder, if not that of --vq_model."})
    image_encoder: str | None = field(default=None, metadata={"help": "ResNet that a new model starts from."})
    model_config: str | None = field(default=None, metadata={"help": "JSON file with the sizes of a new model."})
    hidden_size: int | None = field(default=None, metadata={"help": "Width of a new model."})
    num_hidden_layers: int | None = field(default=None, metadata={"help": "Blocks of a new model."})
    num_attention_heads: int | None = field(default=None, metadata={"help": "Attention heads of a new model."})
    mlp_ratio: float | None = field(default=None, metadata={"help": "Relative width of a new model's MLPs."})
    encoder_hidden_sizes: list[int] | None = field(default=None, metadata={"help": "Channels of the ResNets' stages."})
    encoder_depths: list[int] | None = field(default=None, metadata={"help": "Blocks of the ResNets' stages."})
    blend_alphas: list[float] | None = field(default=None, metadata={"help": "Style's share at each scale."})
    drop_path_rate: float | None = field(default=None, metadata={"help": "Stochastic depth of the last block."})
    label_smoothing: float | None = field(default=None, metadata={"help": "Label smoothing of the loss."})
    alpha_jitter: float | None = field(default=None, metadata={"help": "Largest random shift of the alphas."})

    def __post_init__(self):
        if self.from_scratch and self.vq_model is None:
            raise ValueError(
                "`vq_model` must be given with `from_scratch`, but got None. Train a tokenizer with "
                "`stylevar vq`, or name a StyleVAR model to take it from."
            )
        if self.encoder_depths is not None and self.encoder_hidden_sizes is None:
            raise ValueError(
                f"`encoder_depths` must come with `encoder_hidden_sizes`, but got {self.encoder_depths} alone. Give "
                "both, one number per stage."
            )

    def new_model_config(self) -> dict[str, Any]:
        """Fields of [`StyleVARConfig`] for a new model."""
        config: dict[str, Any] = {}
        if self.model_config is not None:
            content = json.loads(Path(self.model_config).read_text(encoding="utf-8"))
            config = {name: content[name] for name in _NEW_MODEL_FIELDS if name in content}
        flags = {name: getattr(self, name, None) for name in _NEW_MODEL_FIELDS}
        config.update({name: value for name, value in flags.items() if value is not None})
        if self.encoder_hidden_sizes is not None:
            sizes = self.encoder_hidden_sizes
            config["encoder_config"] = {
                "embedding_size": sizes[0],
                "hidden_sizes": sizes,
                "depths": self.encoder_depths or [2] * len(sizes),
                "layer_type": "basic",
                "downsample_in_first_stage": False,
            }
        return config


def load_model(
    model_args: "ModelConfig", style_args: StyleVARModelArguments, seed: int = 0
) -> StyleVARForConditionalGeneration:
    """
    The model that training starts from.

    Raises:
        ValueError: If neither a checkpoint nor `from_scratch` is given, or both are, or a checkpoint and flags that
            only a new model has, or quantisation.
        OSError: If something cannot be read.
    """
    for name in ("load_in_4bit", "load_in_8bit"):
        if getattr(model_args, name):
            hint = "Weights are not quantised here; `--bf16` saves memory and time."
            raise invalid(name, "left out", True, hint)
    if style_args.from_scratch == (model_args.model_name_or_path is not None):
        found = "both" if style_args.from_scratch else "neither"
        raise ValueError(
            f"`model_name_or_path` or `from_scratch` must be given, and not both, but got {found}. Pass a checkpoint, "
            "or `--from_scratch --vq_model ...`."
        )
    if style_args.from_scratch:
        tokenizer = load_tokenizer(style_args.vq_model, style_args.patch_nums)
        return create_model(tokenizer, style_args.image_encoder, seed=seed, **style_args.new_model_config())
    if given := [name for name in _NEW_MODEL_FLAGS if getattr(style_args, name) is not None]:
        raise ValueError(
            f"`{'`, `'.join(given)}` must be left out with `model_name_or_path`, but got "
            f"{', '.join(str(getattr(style_args, name)) for name in given)}. A checkpoint has its sizes and image "
            "encoders; these are for `from_scratch`."
        )
    options = {name: getattr(style_args, name) for name in _TRAINING_FIELDS}
    options = {name: value for name, value in options.items() if value is not None}
    if model_args.attn_implementation is not None:
        options["attn_implementation"] = model_args.attn_implementation
    dtype = model_args.dtype if model_args.dtype in (None, "auto") else getattr(torch, model_args.dtype)
    revision = model_args.model_revision
    name = find_checkpoint(model_args.model_name_or_path, revision=revision)
    model = load_pretrained(name, revision=revision, dtype=dtype, **options)
    if style_args.vq_model is None:
        if style_args.patch_nums is not None:
            raise ValueError(
                f"`patch_nums` must be given with `vq_model`, but got {style_args.patch_nums} alone. Name the "
                "tokenizer that is to take this ladder, such as the model itself."
            )
        return model
    return change_ladder(model, load_tokenizer(style_args.vq_model, style_args.patch_nums))


def load_image_processor(model_args: "ModelConfig", image_size: int) -> StyleVARImageProcessor | None:
    """
    The image processor that was saved with the checkpoint, so that training goes on with its way of resizing.

    Args:
        model_args (`ModelConfig`):
            Which checkpoint.
        image_size (`int`):
            The model's, in pixels: another one than the checkpoint's where it was carried over to another tokenizer.

    Returns:
        [`StyleVARImageProcessor`], *optional*: `None` without a checkpoint, or where it has no
        `preprocessor_config.json`; the trainer then takes the default.
    """
    if model_args.model_name_or_path is None:
        return None
    revision = model_args.model_revision
    name = find_checkpoint(model_args.model_name_or_path, revision=revision)
    file = cached_file(name, IMAGE_PROCESSOR_NAME, revision=revision, _raise_exceptions_for_missing_entries=False)
    if file is None:
        return None
    size = {"height": image_size, "width": image_size}
    return StyleVARImageProcessor.from_pretrained(name, revision=revision, size=size)


__all__ = [
    "StyleVARModelArguments",
    "TripletDataArguments",
    "load_image_processor",
    "load_model",
    "load_training_data",
]
