# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The forms in which transformers' users hand rows to a pipeline: dicts, lists of dicts, generators and data sets."""

import collections
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import Any

import numpy as np
import PIL.Image
import torch

from .generation_stylevar import StyleVARReference
from .image_processing_stylevar import load_image
from .pipeline_inputs_stylevar import is_list


Pair = tuple[Any, Any]


def accepts_rows(call: Callable) -> Callable:
    """
    Gives `call(self, content, style, **options)` of a pipeline three more forms: a row, a list of rows, and a stream.

    A row is a mapping with `content` and `style`; what else it holds is not read. A stream is anything else that gives
    one row, or one content, at a time: a generator, a `torch.utils.data.Dataset`, transformers' `KeyDataset`, or a
    `datasets.Dataset` of rows. Streams are painted `batch_size` pairs at a time and return an iterator.
    """

    @functools.wraps(call)
    def call_with_rows(self: Any, content: Any, style: Any = None, *, num_workers: int = 0, **options: Any) -> Any:
        if not isinstance(num_workers, Integral) or num_workers < 0:
            raise ValueError(f"`num_workers` must be 0 or more, but got {num_workers!r}. 0 reads pictures in turn.")
        if style is None and isinstance(content, Mapping):
            return call(self, *_pair(content, "content"), **options)
        if style is None and is_list(content) and content and all(isinstance(row, Mapping) for row in content):
            pairs = [_pair(row, f"content[{index}]") for index, row in enumerate(content)]
            return call(self, [one for one, _ in pairs], [other for _, other in pairs], **options)
        if _is_stream(content, style) or _is_stream(style, style):
            if options.get("previews"):
                raise ValueError("`previews` must be False for a stream, but got True. Pass a list.")
            options["batch_size"] = self.images_at_once(options.get("batch_size"))
            return _paint_stream(functools.partial(call, self), content, style, num_workers, options)
        if style is None:
            raise ValueError(
                "`style` must be given, but got None. Pass a picture, or rows such as "
                '`{"content": ..., "style": ...}` in place of `content`.'
            )
        return call(self, content, style, **options)

    return call_with_rows


def _pair(row: Mapping[str, Any], name: str) -> Pair:
    if not isinstance(row, Mapping) or row.get("content") is None or row.get("style") is None:
        found = sorted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise ValueError(
            f"`{name}` must have a 'content' and a 'style' where no `style` is given, but got {found}. Add them, "
            "or pass `style` beside `content`."
        )
    return row["content"], row["style"]


def _is_stream(source: Any, style: Any) -> bool:
    """Whether this gives pictures or rows one after another, rather than being a picture or a list of them."""
    one = (str, bytes, os.PathLike, PIL.Image.Image, np.ndarray, torch.Tensor, Mapping, StyleVARReference)
    if source is None or isinstance(source, one) or is_list(source):
        return False
    if hasattr(source, "column_names"):  # of `datasets`: its rows; beside a style, its columns are asked for
        return style is None
    is_dataset = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    return is_dataset or isinstance(source, Iterable)


def _paint_stream(
    call: Callable, content: Any, style: Any, num_workers: int, options: dict[str, Any]
) -> Iterator[Any]:
    """One result per pair, painted when `batch_size` pairs are there."""
    names = map("content[{}]".format, itertools.count())
    if style is None:
        pairs = (_pair(row, name) for name, row in zip(names, _items(content), strict=False))
    elif _is_one(style):
        pairs = ((one, None) for one in _items(content))
    elif _is_one(content):
        pairs = ((content, other) for other in _items(style))
    else:
        pairs = zip(_items(content), _items(style), strict=True)
    pairs = pairs if num_workers == 0 else read_ahead(pairs, num_workers)
    while chunk := list(itertools.islice(pairs, options["batch_size"])):
        contents, styles = (list(pictures) for pictures in zip(*chunk, strict=True))
        yield from call(contents, style if styles[0] is None else styles, **options)


def _is_one(source: Any) -> bool:
    return not is_list(source) and not _is_stream(source, None)


def _items(source: Any) -> Iterator[Any]:
    """The items of a stream; a torch `Dataset` may have no iterator, and no end but its length."""
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        return (source[index] for index in range(len(source)))
    return iter(source)


def read_ahead(pairs: Iterable[Pair], num_workers: int) -> Iterator[Pair]:
    """The pairs in order, their pictures read; `num_workers` threads read the next ones in the meantime."""
    pairs = iter(pairs)
    with ThreadPoolExecutor(num_workers) as pool:
        waiting = collections.deque(pool.submit(_read, pair) for pair in itertools.islice(pairs, 2 * num_workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_read, pair) for pair in itertools.islice(pairs, 1))


def _read(pair: Pair) -> Pair:
    return tuple(load_image(one) if isinstance(one, str | os.PathLike) else one for one in pair)


__all__ = ["accepts_rows", "read_ahead"]
