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
"""Command-line arguments of the training examples: which data, which model to start from."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.mixing import mix_datasets
from ..data.splits import split_by_content
from ..modeling_stylevar import StyleVARForConditionalGeneration
from .initialization import create_model, load_tokenizer
from .resolution import change_ladder


if TYPE_CHECKING:
    import datasets
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


@dataclass
class TripletDataArguments:
    """
    Which triplets to train on.

    Args:
        dataset (`list[str]`, *optional*, defaults to `["procedural"]`):
            Each one of `procedural`, `omnistyle:ROOT`, `imagepulse:ROOT`, `disk:DIR` (saved with `save_to_disk`), or
            the id of a Hub data set with columns `content`, `style`, `target`.
        dataset_weights (`list[float]`, *optional*):
            How often to draw from each of several; by default they take turns.
        streaming (`bool`, *optional*, defaults to `False`):
            Read while training instead of before; needs `max_steps`.
        num_procedural (`int`, *optional*, defaults to 4096):
            Procedural triplets to render.
        procedural_seed (`int`, *optional*, defaults to 0):
            Their seed.
        procedural_canvas_size (`int`, *optional*):
            Render them larger and cut them into tiles of the model's size; see [`~stylevar_hf.data.load_procedural`].
        procedural_family (`str`, *optional*):
            Only this family of marks, for training and validation.
        max_train_samples (`int`, *optional*):
            Take only the first rows.
        max_eval_samples (`int`, *optional*, defaults to 256):
            Rows of the validation set, shared among the data sets.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            Share of the contents held out where a data set has no validation split; none occurs in both.
        split_seed (`int`, *optional*, defaults to 0):
            Which contents these are.
        num_proc (`int`, *optional*):
            Processes that render procedural triplets.
    """

    dataset: list[str] = field(
        default_factory=lambda: ["procedural"],
        metadata={"help": "procedural, omnistyle:ROOT, imagepulse:ROOT, disk:DIR or a Hub id; several are mixed."},
    )
    dataset_weights: list[float] | None = field(default=None, metadata={"help": "One weight per data set."})
    streaming: bool = field(default=False, metadata={"help": "Read while training; needs --max_steps."})
    num_procedural: int = field(default=4096, metadata={"help": "Procedural triplets to render."})
    procedural_seed: int = field(default=0, metadata={"help": "Seed of the procedural triplets."})
    procedural_canvas_size: int | None = field(default=None, metadata={"help": "Render larger, and cut into tiles."})
    procedural_family: str | None = field(default=None, metadata={"help": "Only this family of marks."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Take only the first rows."})
    max_eval_samples: int = field(default=256, metadata={"help": "Rows of the validation set."})
    validation_fraction: float = field(default=0.05, metadata={"help": "Share of the contents held out."})
    split_seed: int = field(default=0, metadata={"help": "Which contents are held out."})
    num_proc: int | None = field(default=None, metadata={"help": "Processes that render procedural triplets."})

    def __post_init__(self):
        if self.dataset_weights is not None and len(self.dataset_weights) != len(self.dataset):
            raise ValueError(
                f"`dataset_weights` must have one number per data set ({len(self.dataset)}), but got "
                f"{self.dataset_weights}. Leave it out to take turns."
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
                "`examples/train_vq.py`, or name a StyleVAR model to take it from."
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
        ValueError: If neither a checkpoint nor `from_scratch` is given, or both are.
        OSError: If something cannot be read.
    """
    if style_args.from_scratch == (model_args.model_name_or_path is not None):
        found = "both" if style_args.from_scratch else "neither"
        raise ValueError(
            f"`model_name_or_path` or `from_scratch` must be given, and not both, but got {found}. Pass a checkpoint, "
            "or `--from_scratch --vq_model ...`."
        )
    if style_args.from_scratch:
        return create_model(style_args.vq_model, style_args.image_encoder, seed=seed, **style_args.new_model_config())
    options = {name: getattr(style_args, name) for name in _TRAINING_FIELDS}
    options = {name: value for name, value in options.items() if value is not None}
    if model_args.attn_implementation is not None:
        options["attn_implementation"] = model_args.attn_implementation
    dtype = model_args.dtype if model_args.dtype in (None, "auto") else getattr(torch, model_args.dtype)
    model = StyleVARForConditionalGeneration.from_pretrained(
        model_args.model_name_or_path, revision=model_args.model_revision, dtype=dtype, **options
    )
    return model if style_args.vq_model is None else change_ladder(model, load_tokenizer(style_args.vq_model))


def load_training_data(
    args: TripletDataArguments, image_size: int
) -> tuple["datasets.Dataset | datasets.IterableDataset", "datasets.Dataset"]:
    """
    Training and validation set.

    Args:
        args ([`TripletDataArguments`]):
            Which.
        image_size (`int`):
            Size of procedural triplets, in pixels.

    Raises:
        ValueError: If a name is not known, or a data set lacks the columns.
    """
    from ..data.mixing import concatenate

    pairs = [_load_one(name, args, image_size) for name in args.dataset]
    share = max(1, args.max_eval_samples // len(pairs))
    train = [part if args.max_train_samples is None else _first(part, args.max_train_samples) for part, _ in pairs]
    evaluation = [_first(part, share) for _, part in pairs]
    if len(pairs) == 1:
        return train[0], evaluation[0]
    return mix_datasets(train, args.dataset_weights, seed=args.split_seed), concatenate(evaluation)


def _first(dataset, count: int):
    if not hasattr(dataset, "select"):
        return dataset.take(count)
    return dataset.select(range(min(count, len(dataset))))


def _load_one(name: str, args: TripletDataArguments, image_size: int) -> tuple:
    """Training and validation part of one data set."""
    kind, _, place = name.partition(":")
    if name == "procedural":
        return _load_procedural(args, image_size)
    if kind in ("omnistyle", "imagepulse") and place:
        from ..data import load_imagepulse, load_omnistyle

        load = load_omnistyle if kind == "omnistyle" else load_imagepulse
        options = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
        return load(place, "train", streaming=args.streaming, **options), load(place, "validation", **options)
    return _load_generic(place if kind == "disk" else name, kind == "disk", args)


def _load_procedural(args: TripletDataArguments, image_size: int) -> tuple:
    from ..data.procedural import load_procedural, stream_procedural

    num_held_out = max(1, args.max_eval_samples // len(args.dataset))
    options = {"seed": args.procedural_seed, "image_size": image_size}
    tiles = {"canvas_size": args.procedural_canvas_size, "family": args.procedural_family}
    if args.streaming:
        if any(value is not None for value in tiles.values()):
            raise ValueError(
                "`streaming` must be False with `procedural_canvas_size` and `procedural_family`, but got True. Leave "
                "it out: the triplets are then rendered before training."
            )
        return stream_procedural("train", **options), load_procedural(num_held_out, "in_distribution", **options)
    return (
        load_procedural(args.num_procedural, "train", num_proc=args.num_proc, **options, **tiles),
        load_procedural(num_held_out, "in_distribution", **options, **tiles),
    )


def _load_generic(place: str, on_disk: bool, args: TripletDataArguments) -> tuple:
    import datasets

    if on_disk:
        loaded = datasets.load_from_disk(place)
    else:
        loaded = datasets.load_dataset(place, streaming=args.streaming)
    if not isinstance(loaded, dict):
        loaded = {"train": loaded}
    if "train" not in loaded:
        raise ValueError(
            f"`dataset` must have a split named train, but {place!r} has {', '.join(loaded)}. Rename a split."
        )
    if "validation" in loaded:
        return loaded["train"], loaded["validation"]
    split = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
    return tuple(split_by_content(loaded["train"], name, **split) for name in ("train", "validation"))


__all__ = ["StyleVARModelArguments", "TripletDataArguments", "load_model", "load_training_data"]
