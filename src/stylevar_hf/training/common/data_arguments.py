# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Which triplets to train on, and how they are loaded, for the training scripts."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from transformers.utils import logging

from ..._common.errors import invalid
from ..._common.files import existing_folder
from ...data.columns import check_columns
from ...data.mixing import STOPPING_STRATEGIES, concatenate, mix_datasets
from ...data.splits import split_by_content


if TYPE_CHECKING:
    import datasets

logger = logging.get_logger(__name__)


@dataclass
class TripletDataArguments:
    """
    Which triplets to train on.

    Args:
        dataset (`list[str]`, *optional*, defaults to `["procedural"]`):
            Each one of `procedural`, `omnistyle:ROOT`, `imagepulse:ROOT`, `disk:DIR` (saved with `save_to_disk`),
            `unpaired:CONTENTS,STYLES` (two folders, every content with every style, for rewards without a target), a
            folder that [`~stylevar_hf.data.load_triplets`] reads (`content`, `style` and `target` with files of equal
            names; Parquet; webdataset), or the id of a Hub data set with columns `content`, `style`, `target`.
        dataset_weights (`list[float]`, *optional*):
            How often to draw from each of several. By default every row comes once: one data set after the other
            where they are shuffled anyway, in turns where they are streamed.
        dataset_stopping (`str`, *optional*, defaults to `"all_exhausted"`):
            When a weighted mixture ends; see [`~stylevar_hf.data.mix_datasets`]. By default each of them has been
            used up once, and shorter ones come again meanwhile; `first_exhausted` leaves out what is not reached.
        column_mapping (`list[str]`, *optional*):
            What data from disk or from the Hub calls `content`, `style`, `target` and `content_id`: a JSON object, or
            items such as `content=source_image`; becomes a `dict`. Holds for all of them.
        streaming (`bool`, *optional*, defaults to `False`):
            Read while training instead of before; needs `max_steps`.
        shuffle_buffer_size (`int`, *optional*, defaults to 1000):
            Rows of a stream among which the next is drawn: 1 keeps the order. Memory holds that many rows. The
            procedural stream needs none.
        num_procedural (`int`, *optional*, defaults to 4096):
            Procedural triplets to render.
        procedural_seed (`int`, *optional*, defaults to 0):
            Their seed. Those of the validation set have the next one: with the same, they would be the test rows of
            `examples/evaluate_triplets.py`.
        procedural_canvas_size (`int`, *optional*):
            Render them larger and cut them into tiles of the model's size; see [`~stylevar_hf.data.load_procedural`].
        procedural_family (`str`, *optional*):
            Only this family of marks, for training and validation.
        max_train_samples (`int`, *optional*):
            Take only so many rows of each data set, at random (of a stream, the first ones).
        max_eval_samples (`int`, *optional*, defaults to 256):
            Rows of the validation set, drawn at random and shared among the data sets.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            Share of the contents held out where a data set has no validation split; none occurs in both.
        split_seed (`int`, *optional*, defaults to 0):
            Which contents these are; also of the other draws and of the order of streams.
        num_proc (`int`, *optional*):
            Processes that render procedural triplets.
    """

    dataset: list[str] = field(
        default_factory=lambda: ["procedural"],
        metadata={
            "help": "procedural, omnistyle:ROOT, imagepulse:ROOT, unpaired:CONTENTS,STYLES, disk:DIR, folder, Hub id."
        },
    )
    dataset_weights: list[float] | None = field(default=None, metadata={"help": "One weight per data set."})
    dataset_stopping: str = field(default="all_exhausted", metadata={"help": "When a weighted mixture ends."})
    column_mapping: list[str] | None = field(
        default=None, metadata={"help": "JSON, or content=... style=... target=...: the names in the data."}
    )
    streaming: bool = field(default=False, metadata={"help": "Read while training; needs --max_steps."})
    shuffle_buffer_size: int = field(default=1000, metadata={"help": "Rows of a stream to draw the next from."})
    num_procedural: int = field(default=4096, metadata={"help": "Procedural triplets to render."})
    procedural_seed: int = field(default=0, metadata={"help": "Seed of the procedural triplets."})
    procedural_canvas_size: int | None = field(default=None, metadata={"help": "Render larger, and cut into tiles."})
    procedural_family: str | None = field(default=None, metadata={"help": "Only this family of marks."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Rows of each data set, at most."})
    max_eval_samples: int = field(default=256, metadata={"help": "Rows of the validation set."})
    validation_fraction: float = field(default=0.05, metadata={"help": "Share of the contents held out."})
    split_seed: int = field(default=0, metadata={"help": "Which contents are held out."})
    num_proc: int | None = field(default=None, metadata={"help": "Processes that render procedural triplets."})

    def __post_init__(self):
        if isinstance(self.dataset, str):  # a line of a YAML file
            self.dataset = [self.dataset]
        if self.dataset_weights is not None and len(self.dataset_weights) != len(self.dataset):
            raise ValueError(
                f"`dataset_weights` must have one number per data set ({len(self.dataset)}), but got "
                f"{self.dataset_weights}. Leave it out to take every row once."
            )
        if self.dataset_stopping not in STOPPING_STRATEGIES:
            raise ValueError(
                f"`dataset_stopping` must be one of {', '.join(STOPPING_STRATEGIES)}, but got "
                f"{self.dataset_stopping!r}. all_exhausted is the default."
            )
        if self.shuffle_buffer_size < 1:
            raise ValueError(
                f"`shuffle_buffer_size` must be positive, but got {self.shuffle_buffer_size}. 1 keeps the order."
            )
        endless = "procedural" in self.dataset
        if self.streaming and self.dataset_weights is None and len(self.dataset) > 1 and endless:
            raise ValueError(
                "`dataset_weights` must be given to mix other streams with the endless `procedural`, but got None. "
                "Say how often to draw from each, or leave out `streaming`."
            )
        self.column_mapping = _column_mapping(self.column_mapping)


def _column_mapping(value: "list[str] | str | dict[str, str] | None") -> dict[str, str] | None:
    """The mapping that was written as JSON or as `key=value` items."""
    if value is None or isinstance(value, dict):
        return value
    items = [value] if isinstance(value, str) else list(value)
    try:
        mapping = json.loads(items[0]) if len(items) == 1 and items[0].lstrip().startswith("{") else None
    except json.JSONDecodeError:
        mapping = {}
    if mapping is None:
        mapping = dict(item.partition("=")[::2] for item in items)
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(v, str) and v for v in mapping.values()):
        raise ValueError(
            f"`column_mapping` must be a JSON object or items such as content=source_image, but got {items}. The "
            "names on the left are content, style, target and content_id, on the right those in the data."
        )
    return mapping


def load_training_data(
    args: TripletDataArguments, image_size: int, require_target: bool = True, skip_broken: bool = False
) -> tuple["datasets.Dataset | datasets.IterableDataset", "datasets.Dataset"]:
    """
    Training and validation set.

    Args:
        args ([`TripletDataArguments`]):
            Which.
        image_size (`int`):
            Size of procedural triplets, in pixels.
        require_target (`bool`, *optional*, defaults to `True`):
            Refuse data from disk or from the Hub without a column `target`.
        skip_broken (`bool`, *optional*, defaults to `False`):
            Leave out rows whose content, given by its URL, cannot be downloaded. The other images are looked at by the
            trainers.

    Raises:
        ValueError: If a name is not known, or a data set lacks the columns.
    """
    pairs = [_load_one(name, args, image_size, require_target, skip_broken) for name in args.dataset]
    share = max(1, args.max_eval_samples // len(pairs))
    train = [_training_part(name, part, args) for name, (part, _) in zip(args.dataset, pairs, strict=True)]
    evaluation = [_draw(part, share, args) for _, part in pairs]
    for name, *parts in zip(args.dataset, train, evaluation, strict=True):
        sizes = [len(part) if hasattr(part, "__len__") else "streamed" for part in parts]
        logger.info("%s: %s rows for training, %s for validation.", name, *sizes)
    if len(pairs) == 1:
        return train[0], evaluation[0]
    if args.dataset_weights is not None:
        mixed = mix_datasets(train, args.dataset_weights, seed=args.split_seed, stopping=args.dataset_stopping)
    elif args.streaming:
        # One after the other, a stream would end with thousands of rows of the last data set.
        mixed = mix_datasets(train, seed=args.split_seed, stopping="all_exhausted_without_replacement")
    else:
        mixed = concatenate(train)
    if hasattr(mixed, "__len__"):
        logger.info("%d rows for training in all.", len(mixed))
    return mixed, concatenate(evaluation)


def _training_part(name: str, part, args: TripletDataArguments):
    """What is read of one data set; a stream in another order in each epoch."""
    if hasattr(part, "select"):
        return part if args.max_train_samples is None else _draw(part, args.max_train_samples, args)
    if args.max_train_samples is not None:
        part = part.take(args.max_train_samples)  # before it is shuffled: the same rows in each epoch
    if name == "procedural" or args.shuffle_buffer_size == 1:
        return part
    return part.shuffle(seed=args.split_seed, buffer_size=args.shuffle_buffer_size)


def _draw(dataset, count: int, args: TripletDataArguments):
    """`count` rows at random: the tables are sorted, and their heads are a few contents in all styles."""
    if not hasattr(dataset, "select"):
        stream = dataset.shuffle(seed=args.split_seed, buffer_size=args.shuffle_buffer_size)
        return _in_memory(stream.take(count))
    if len(dataset) <= count:
        return dataset
    return dataset.select(np.random.default_rng(args.split_seed).permutation(len(dataset))[:count])


def _in_memory(stream: "datasets.IterableDataset") -> "datasets.Dataset":
    """The rows of a stream, so that each evaluation sees the same ones."""
    import datasets

    # A copy of a picture forgets its file format: it is kept without loss.
    rows = [
        {name: value.copy() if isinstance(value, PIL.Image.Image) else value for name, value in row.items()}
        for row in stream
    ]
    if not rows:
        raise ValueError(
            "`validation_fraction` must leave a row for validation, but got none from a stream. Raise it, or give the "
            "data set a validation split."
        )
    return datasets.Dataset.from_list(rows, features=stream.features)


def _load_one(
    name: str, args: TripletDataArguments, image_size: int, require_target: bool, skip_broken: bool
) -> tuple:
    """Training and validation part of one data set."""
    kind, _, place = name.partition(":")
    if name == "procedural":
        return _load_procedural(args, image_size)
    if kind in ("omnistyle", "imagepulse") and place:
        from ...data import load_imagepulse, load_omnistyle

        load = load_omnistyle if kind == "omnistyle" else load_imagepulse
        options = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
        return load(place, "train", streaming=args.streaming, **options), load(place, "validation", **options)
    if kind == "unpaired":
        return _load_unpaired(place, args, require_target)
    return _load_generic(place if kind == "disk" else name, kind == "disk", args, require_target, skip_broken)


def _load_procedural(args: TripletDataArguments, image_size: int) -> tuple:
    from ...data.procedural.triplets import load_procedural, stream_procedural

    num_held_out = max(1, args.max_eval_samples // len(args.dataset))
    options = {"seed": args.procedural_seed, "image_size": image_size}
    held_out = {**options, "seed": args.procedural_seed + 1}
    tiles = {"canvas_size": args.procedural_canvas_size, "family": args.procedural_family}
    if args.streaming:
        if any(value is not None for value in tiles.values()):
            raise ValueError(
                "`streaming` must be False with `procedural_canvas_size` and `procedural_family`, but got True. Leave "
                "it out: the triplets are then rendered before training."
            )
        return stream_procedural("train", **options), load_procedural(num_held_out, "in_distribution", **held_out)
    return (
        load_procedural(args.num_procedural, "train", num_proc=args.num_proc, **options, **tiles),
        load_procedural(num_held_out, "in_distribution", **held_out, **tiles),
    )


def _load_unpaired(place: str, args: TripletDataArguments, require_target: bool) -> tuple:
    """All pairs of two folders; contents of the validation part are in no pair of the training part."""
    from ...data.layouts.scanning import MAX_SHARDS
    from ...data.layouts.unpaired import load_unpaired

    contents, comma, styles = place.partition(",")
    if not (contents and comma and styles):
        raise invalid("dataset", "unpaired:CONTENTS,STYLES, two folders", f"unpaired:{place}", "Name both.")
    if require_target:
        hint = "They have no targets: train on them by rewards (`stylevar grpo`), or make targets first."
        raise invalid("dataset", "triplets with targets", f"unpaired:{place}", hint)
    pairs = load_unpaired(contents, styles)
    split = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
    train, validation = (split_by_content(pairs, name, **split) for name in ("train", "validation"))
    if args.streaming:
        train = train.to_iterable_dataset(num_shards=min(MAX_SHARDS, len(train)))
    return train, validation


def _load_generic(
    place: str, on_disk: bool, args: TripletDataArguments, require_target: bool, skip_broken: bool
) -> tuple:
    """Parts of data on disk or on the Hub; an id for each content is made where there is none."""
    from ...data.layouts.scanning import MAX_SHARDS
    from ...data.triplets import load_triplets, open_source

    source = open_source(existing_folder("dataset", place) if on_disk else place, args.streaming)
    options = {"column_mapping": args.column_mapping, "require_target": False, "skip_broken": skip_broken}
    if isinstance(source, dict) and "train" in source and "validation" in source:
        parts = [load_triplets(source, name, **options) for name in ("train", "validation")]
        _warn_of_shared_contents(place, *parts)
    else:
        if isinstance(source, dict) and "train" not in source and len(source) > 1:
            raise ValueError(
                f"`dataset` must have a split named train, but {place!r} has {', '.join(source)}. Rename a split."
            )
        source = source.get("train", source) if isinstance(source, dict) else source
        split = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
        if args.streaming and not (isinstance(source, dict) or hasattr(source, "select")):
            parts = [load_triplets(source, name, **options, **split) for name in ("train", "validation")]
        else:  # once for both parts: making ids reads every content
            whole = load_triplets(source, "all", **options)
            parts = [split_by_content(whole, name, **split) for name in ("train", "validation")]
    for part in parts:
        target = "labels" if "labels" in part.column_names else "target"
        check_columns(part.column_names, ("content", "style", target) if require_target else ("content", "style"))
    if args.streaming and hasattr(parts[0], "select"):
        parts[0] = parts[0].to_iterable_dataset(num_shards=min(MAX_SHARDS, len(parts[0])))
    return tuple(parts)


def _warn_of_shared_contents(place: str, train: Any, validation: Any) -> None:
    """The splits of others may share contents; of a stream nobody knows."""
    if not (hasattr(train, "select") and hasattr(validation, "select")):
        return
    if shared := set(train["content_id"][:]) & set(validation["content_id"][:]):
        logger.warning(
            "%d contents of %s are in its train and in its validation split, such as %s: the validation loss measures "
            "memory, too.",
            len(shared),
            place,
            min(shared),
        )


__all__ = ["TripletDataArguments", "load_training_data"]
