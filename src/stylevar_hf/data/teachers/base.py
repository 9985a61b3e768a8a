# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The protocol of everything that paints a pair, be it a teacher, a baseline, a checkpoint or code of your own:

```python
class Mine:
    name = "mine"

    def stylize(self, contents, styles, seeds):  # lists of one length; PIL images in and out, of the contents' sizes
        return [...]
```
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import PIL.Image

from ..._common.errors import invalid
from ...image_processing_stylevar import load_image


if TYPE_CHECKING:
    from ...pipeline_stylevar import StyleVARPipeline


class TeacherUnavailable(OSError):
    """Packages or weights that a teacher needs are missing. The message says which and where to get them."""


@runtime_checkable
class Generator(Protocol):
    """
    Anything that paints contents in styles.

    Attributes:
        name (`str`): What files and tables call it.
    """

    name: str

    def stylize(
        self, contents: list[PIL.Image.Image], styles: list[PIL.Image.Image], seeds: list[int]
    ) -> list[PIL.Image.Image]:
        """
        Args:
            contents, styles (`list[PIL.Image.Image]`): Pairs, in order.
            seeds (`list[int]`): Of each pair's random numbers, for generators that draw any.

        Returns:
            `list[PIL.Image.Image]`: One per pair.
        """
        ...


class PairFunction:
    """
    A function of one content and one style as a [`Generator`]; draws no random numbers.

    Args:
        name (`str`):
            What files and tables call it.
        function (`Callable`):
            Takes two PIL images, returns one or an uint8 array `(height, width, 3)`. What it returns is resized to the
            content's size, if it is of another.
    """

    def __init__(self, name: str, function: Callable):
        self.name = name
        self.function = function

    def stylize(self, contents, styles, seeds):
        check_pairs(contents, styles, seeds)
        images = []
        for content, style in zip(contents, styles, strict=True):
            image = self.function(load_image(content, "content"), load_image(style, "style"))
            image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
            images.append(resize(image, content.size))
        return images


class PipelineGenerator:
    """
    StyleVAR as a [`Generator`].

    Args:
        pipeline ([`StyleVARPipeline`]):
            Paints.
        name (`str`, *optional*, defaults to `"stylevar"`):
            What files and tables call it.
        batch_size (`int`, *optional*, defaults to 8):
            Images to draw at once.
        options:
            Of the pipeline's call, such as `style_strength`.
    """

    def __init__(self, pipeline: "StyleVARPipeline", name: str = "stylevar", batch_size: int = 8, **options):
        self.pipeline = pipeline
        self.name = name
        self.batch_size = batch_size
        self.options = options

    def stylize(self, contents, styles, seeds):
        check_pairs(contents, styles, seeds)
        options = {"batch_size": self.batch_size, **self.options}
        return self.pipeline(list(contents), list(styles), seed=list(seeds), **options)


def check_pairs(contents: Sequence, styles: Sequence, seeds: Sequence[int]) -> None:
    """Raises `ValueError` unless there are as many styles and seeds as contents."""
    if not len(contents) == len(styles) == len(seeds):
        rule = f"as many as `contents` and `seeds` ({len(contents)})"
        raise invalid("styles", rule, f"{len(styles)} and {len(seeds)}", "Pair them up.")


def resize(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    """An image of this width and height; itself if it has them."""
    return image if image.size == size else image.resize(size, PIL.Image.Resampling.LANCZOS)


__all__ = ["Generator", "PairFunction", "PipelineGenerator", "TeacherUnavailable", "check_pairs", "resize"]
