# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What a supervised run is refused for, or warned of, before it begins."""

from typing import Any

import datasets
from torch import nn
from transformers.trainer_utils import has_length
from transformers.utils import logging

from ..._common.errors import invalid
from ...modeling_stylevar import StyleVARForConditionalGeneration
from .sft_config import StyleVARSFTConfig


logger = logging.get_logger(__name__)

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_training_data(name: str, dataset: Any, args: StyleVARSFTConfig) -> None:
    """Refuse a data set whose columns are known not to do, and one whose broken rows cannot be left out."""
    if args.skip_broken and not isinstance(dataset, datasets.Dataset):
        raise ValueError(
            f"`skip_broken` must be False unless all data has a length, but got True and `{name}` is of type "
            f"{type(dataset).__name__}, whose rows are not looked at before training. Load it without streaming, or "
            "fix the rows that `stylevar data check` lists and leave `skip_broken` out."
        )
    if name.startswith("eval_dataset") and args.world_size > 1 and not has_length(dataset):
        hint = "Its parts may differ in length. Keep rows: `datasets.Dataset.from_list(list(stream.take(256)))`."
        raise invalid(name, "a data set with a length for several processes", "a stream", hint)
    parts = dataset.num_shards if isinstance(dataset, datasets.IterableDataset) else 0
    if parts > args.world_size and parts % args.world_size:
        logger.warning(
            "`%s` has %d parts for %d processes: a pass ends with the shortest share, and rows of the others are left "
            "out of it. A multiple of the number of processes uses all rows.",
            name,
            parts,
            args.world_size,
        )
    if has_length(dataset) and len(dataset) == 0:
        raise invalid(name, "of at least one row", "none", "Check its path and its split.")
    present = getattr(dataset, "column_names", None)
    if present is None:  # some streams and datasets of PyTorch: the collator looks at each batch
        return
    missing = [column for column in ("content", "style") if column not in present]
    if "target" not in present and "labels" not in present:
        missing.append("target (or labels)")
    if missing:
        raise ValueError(
            f"`{name}` must have the columns content, style and target (or labels, the target's codes), but got "
            f"{', '.join(present) or 'none'} (missing: {', '.join(missing)}). Rename them with "
            "`load_triplets(..., column_mapping=...)`, or on the command line with `--column_mapping`."
        )


def check_batch_norm(model: StyleVARForConditionalGeneration, args: StyleVARSFTConfig, has_adapter: bool) -> None:
    """Refuse statistics that would be lost, and warn of statistics that were never taken."""
    if has_adapter and args.encoder_batch_norm == "train" and not args.freeze_encoders:
        raise ValueError(
            "`encoder_batch_norm` must be frozen with an adapter, but got 'train'. The statistics belong to the model "
            "below the adapter and are not saved with it: leave the option out, or train without an adapter."
        )
    if args.encoder_batch_norm == "train" and not args.freeze_encoders:
        return
    encoders = (model.model.style_encoder, model.model.content_encoder)
    means = [module.running_mean for encoder in encoders for module in encoder.modules() if _has_statistics(module)]
    if means and not any(mean.is_meta or mean.any() for mean in means):
        logger.warning(
            "The image encoders are new: their BatchNorm has never seen an image, and is frozen. Train it with "
            "`encoder_batch_norm='train'`, or start from a trained ResNet (`--image_encoder`)."
        )


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, BATCH_NORMS) and module.running_mean is not None


__all__ = ["BATCH_NORMS", "check_batch_norm", "check_training_data"]
