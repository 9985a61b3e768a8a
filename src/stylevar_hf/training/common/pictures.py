# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sample pictures of a training: drawn with captions, shown where the run reports to."""

from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import torch
from transformers import Trainer


_CAPTION_HEIGHT = 14


def draw_grid(rows: Sequence[torch.Tensor], captions: Sequence[str] = (), gap: int = 2) -> PIL.Image.Image:
    """
    Images side by side, one row below the other.

    Args:
        rows (sequence of `torch.FloatTensor` of shape `(N, 3, H, W)`):
            Pixels in [-1, 1]; every row holds as many.
        captions (`Sequence[str]`, *optional*):
            One above each column.
        gap (`int`, *optional*, defaults to 2):
            White pixels between images.
    """
    tiles = torch.stack(list(rows)).float().cpu().clamp(-1, 1).add(1).mul(127.5).round().byte()
    num_rows, num_columns, _, height, width = tiles.shape
    above = _CAPTION_HEIGHT if captions else 0
    shape = (above + num_rows * (height + gap) - gap, num_columns * (width + gap) - gap, 3)
    canvas = np.full(shape, 255, dtype=np.uint8)
    for row in range(num_rows):
        for column in range(num_columns):
            top, left = above + row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = tiles[row, column].permute(1, 2, 0).numpy()
    picture = PIL.Image.fromarray(canvas)
    pen = PIL.ImageDraw.Draw(picture)
    for column, caption in enumerate(captions):
        pen.text((column * (width + gap) + 1, 1), caption, fill="black")
    return picture


def report_picture(trainer: Trainer, name: str, picture: PIL.Image.Image, caption: str) -> None:
    """
    Show a picture in TensorBoard, Weights & Biases and Trackio, if the run reports to them; for one process to call.

    Args:
        trainer (`Trainer`):
            Of the run.
        name (`str`):
            What the trackers call the series of pictures.
        picture (`PIL.Image.Image`):
            The picture.
        caption (`str`):
            Below it; TensorBoard has none.
    """
    step, report_to = trainer.state.global_step, trainer.args.report_to or ()
    for callback in trainer.callback_handler.callbacks:
        if (writer := getattr(callback, "tb_writer", None)) is not None:
            writer.add_image(name, np.asarray(picture), step, dataformats="HWC")
    if "wandb" in report_to:
        import wandb

        if wandb.run is not None:
            wandb.log({name: wandb.Image(picture, caption=caption), "train/global_step": step})
    if "trackio" in report_to:
        import trackio

        trackio.log({name: trackio.Image(picture, caption=caption)})


__all__ = ["draw_grid", "report_picture"]
