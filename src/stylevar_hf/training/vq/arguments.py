# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What `stylevar vq` trains on, and which tokenizer it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import datasets

from ...configuration_stylevar import StyleVARVQConfig
from ...data.layouts.imagepulse import load_imagepulse
from ...data.layouts.omnistyle import load_omnistyle
from ...data.splits import split_by_content
from ...data.triplets import load_triplets
from ...modeling_stylevar_vq import StyleVARVQModel
from ..common.initialization import load_tokenizer
from .data import find_image_columns


_SPLIT_BY_CONTENT = {"omnistyle": load_omnistyle, "imagepulse": load_imagepulse, "triplets": load_triplets}


@dataclass
class VQDataArguments:
    """
    Where images come from. A dataset is `procedural[:SPLIT]`, `omnistyle:ROOT`, `imagepulse:ROOT`, `triplets:DIR`
    (split by content, as for the transformer), `imagefolder:DIR`, `disk:DIR` (written by `save_to_disk`) or the id of
    a dataset on the Hub, `ID[:SPLIT]`. Every image column of it is used, or those named by `--image_columns`. Of
    several, every image is learned from.
    """

    dataset: list[str] = field(default_factory=lambda: ["procedural"], metadata={"help": "Training images."})
    eval_dataset: list[str] | None = field(
        default=None,
        metadata={"help": "One or more. Default: procedural:in_distribution, or a part of the training set."},
    )
    num_train_triplets: int = field(default=5000, metadata={"help": "Rows of the procedural training set."})
    num_eval_rows: int = field(default=32, metadata={"help": "Rows of each validation set, at most."})
    streaming: bool = field(
        default=False, metadata={"help": "An endless procedural stream, or a Hub dataset unsaved."}
    )

    def __post_init__(self):
        if isinstance(self.dataset, str):  # a line of a YAML file
            self.dataset = [self.dataset]
        if isinstance(self.eval_dataset, str):
            self.eval_dataset = [self.eval_dataset]


@dataclass
class VQModelArguments:
    """The tokenizer: a folder (or Hub id) or sizes."""

    model: str | None = field(default=None, metadata={"help": "Train this checkpoint on, with its own ladder."})
    init_from: str | None = field(
        default=None, metadata={"help": "Weights of this checkpoint on the ladder given by --patch_nums."}
    )
    patch_nums: list[int] | None = field(default=None, metadata={"help": "Ladder. Default: 1 2 3 4 5 6 8."})
    base_channels: int = field(default=16, metadata={"help": "Channels at full resolution."})
    channel_multipliers: list[int] = field(
        default_factory=lambda: [1, 2, 4, 6], metadata={"help": "Factor per resolution, fine to coarse."}
    )
    num_res_blocks: int = field(default=1, metadata={"help": "Residual blocks per resolution."})
    codebook_size: int = field(default=1024, metadata={"help": "Codebook vectors."})
    latent_channels: int = field(default=16, metadata={"help": "Channels of a codebook vector."})
    num_shared_phi: int = field(default=4, metadata={"help": "Convolutions after upsampling, shared by the scales."})
    pixel_patch_size: int = field(default=1, metadata={"help": "Pixels moved into channels, in each direction."})
    norm_num_groups: int = field(default=8, metadata={"help": "Groups of every GroupNorm."})
    commitment_weight: float = field(default=0.25, metadata={"help": "Weight of the commitment term."})


def build_model(arguments: VQModelArguments) -> StyleVARVQModel:
    """A new tokenizer, or a saved one, also on another ladder."""
    if arguments.model is not None and arguments.init_from is not None:
        raise ValueError(
            f"`--model` must be left out with `--init_from`, but got {arguments.model!r}. Use --init_from with "
            "--patch_nums for another ladder, --model to train on with the same one."
        )
    if arguments.model is not None:
        return load_tokenizer(arguments.model)
    if arguments.init_from is not None:
        return load_tokenizer(arguments.init_from, arguments.patch_nums)
    sizes = {name: getattr(arguments, name) for name in VQModelArguments.__dataclass_fields__}
    del sizes["model"], sizes["init_from"]
    sizes["patch_nums"] = sizes["patch_nums"] or (1, 2, 3, 4, 5, 6, 8)
    return StyleVARVQModel(StyleVARVQConfig(**sizes))


def load_rows(name: str, arguments: VQDataArguments, image_size: int, seed: int, num_rows: int, split: str):
    """One dataset by its name, see [`VQDataArguments`]."""
    kind, _, rest = name.partition(":")
    if kind == "procedural":
        from ...data.procedural.triplets import load_procedural, stream_procedural

        # Larger than the crops, so that crops of every scale are sharp.
        size = max(image_size, 128)
        if arguments.streaming and split == "train":
            return stream_procedural(split=rest or split, seed=seed, image_size=size)
        return load_procedural(num_rows, split=rest or split, seed=seed, image_size=size)
    if kind in _SPLIT_BY_CONTENT:
        load = _SPLIT_BY_CONTENT[kind]
        return load(rest, split, streaming=arguments.streaming and split == "train")
    if kind == "imagefolder":
        return datasets.load_dataset("imagefolder", data_dir=rest, split="train")
    if kind == "disk":
        rows = datasets.load_from_disk(rest)
        return rows[split if split in rows else "train"] if isinstance(rows, datasets.DatasetDict) else rows
    return datasets.load_dataset(kind, split=rest or split, streaming=arguments.streaming and split == "train")


def _as_one_column(rows: datasets.Dataset) -> datasets.Dataset:
    """Every image of every column of a table as a row of its own, so that tables can be joined."""
    columns = []
    for name in find_image_columns(rows):
        column = rows.select_columns([name])
        column = column if name == "image" else column.rename_column(name, "image")
        columns.append(column.cast_column("image", datasets.Image()))
    return datasets.concatenate_datasets(columns)


def _joined(parts: Sequence[datasets.Dataset]) -> datasets.Dataset:
    """One table as it is; of several, every image of each."""
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets([_as_one_column(part) for part in parts])


def _split(rows: datasets.Dataset, num_eval_rows: int, seed: int) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The rows of one table to train on, and those held out."""
    if "content_id" in rows.column_names:  # rows that share a content stay together
        train, held_out = (split_by_content(rows, split, seed=seed) for split in ("train", "validation"))
        held_out = held_out.shuffle(seed=seed, keep_in_memory=True)
        return train, held_out.select(range(min(len(held_out), num_eval_rows)))
    parts = rows.train_test_split(test_size=min(num_eval_rows, max(1, len(rows) // 20)), seed=seed)
    return parts["train"], parts["test"]


def load_data(arguments: VQDataArguments, image_size: int, seed: int):
    """Training rows and validation rows (a `dict` where several sets are named)."""
    parts = [
        load_rows(name, arguments, image_size, seed, arguments.num_train_triplets, "train")
        for name in arguments.dataset
    ]
    first = arguments.dataset[0]
    names = arguments.eval_dataset
    if names is None and first.startswith("procedural"):
        names = ["procedural:in_distribution"]
    if names is None and first.partition(":")[0] in _SPLIT_BY_CONTENT:
        names = [first]  # its validation split
    if names is None:
        if not all(isinstance(part, datasets.Dataset) for part in parts):
            return _joined(parts), None
        train, held_out = zip(*(_split(part, arguments.num_eval_rows, seed) for part in parts), strict=True)
        return _joined(train), _joined(held_out)
    train, sets = _joined(parts), {}
    for name in names:
        rows = load_rows(name, arguments, image_size, seed, arguments.num_eval_rows, "validation")
        rows = rows.shuffle(seed=seed).select(range(min(len(rows), arguments.num_eval_rows)))
        sets["_".join(part for part in name.replace("/", ":").split(":") if part)] = rows
    return train, sets if len(sets) > 1 else next(iter(sets.values()))


__all__ = ["VQDataArguments", "VQModelArguments", "build_model", "load_data", "load_rows"]
