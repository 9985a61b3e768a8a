# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Contents and styles without targets, for evaluation and for training by reward."""

import os

import datasets
import numpy as np

from ..._common.errors import invalid
from ..._common.files import existing_folder, files_below
from .scanning import dataset_from_rows, is_image


def load_unpaired(
    content_dir: str | os.PathLike,
    style_dir: str | os.PathLike,
    n: int | None = None,
    seed: int = 0,
    streaming: bool = False,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Random pairs of a content and a style, such as COCO with WikiArt.

    Args:
        content_dir (`str` or `os.PathLike`):
            A folder of images; its subfolders belong to it.
        style_dir (`str` or `os.PathLike`):
            Another one.
        n (`int`, *optional*):
            How many different pairs to draw. By default all pairs, content by content (20 contents and 40 styles make
            the 800 pairs that rival methods report on).
        seed (`int`, *optional*, defaults to 0):
            Of the draw. The pairs depend on the seed and on the sorted names, not on the order of the file system.
        streaming (`bool`, *optional*, defaults to `False`):
            Whether to return a `datasets.IterableDataset`.

    Returns:
        `datasets.Dataset` or `datasets.IterableDataset`: Columns `content`, `style` (images, decoded when a row is
        read), `content_id` and `style_id` (the paths within their folders). There is no `target`.

    Raises:
        ValueError: If a folder is missing or holds no image, or if `n` is not between 1 and the number of pairs.
    """
    paths = {}
    for name, folder in (("content_dir", content_dir), ("style_dir", style_dir)):
        folder = existing_folder(name, folder)
        paths[name] = [
            (path.relative_to(folder).as_posix(), str(path)) for path in files_below(folder) if is_image(path)
        ]
        if not paths[name]:
            raise invalid(name, "a folder with images", f"{str(folder)!r} without any", "Check the path.")
    contents, styles = paths.values()
    total = len(contents) * len(styles)
    if n is None:
        pairs = range(total)
    elif 1 <= n <= total:
        pairs = np.random.default_rng(seed).choice(total, size=n, replace=False)
    else:
        rule = f"between 1 and the number of pairs ({len(contents)} contents x {len(styles)} styles = {total})"
        raise invalid("n", rule, n, "Leave it out for all pairs.")
    rows = []
    for pair in pairs:
        content, style = divmod(int(pair), len(styles))
        (content_id, content_path), (style_id, style_path) = contents[content], styles[style]
        rows.append({"content": content_path, "style": style_path, "content_id": content_id, "style_id": style_id})
    dataset = dataset_from_rows(rows)
    return dataset.to_iterable_dataset() if streaming else dataset


__all__ = ["load_unpaired"]
