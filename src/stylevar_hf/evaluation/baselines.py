# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What paints, behind one small protocol: controls, AdaIN, StyleVAR, and any generator of your own.

```python
class Mine:
    name = "mine"

    def stylize(self, contents, styles, seeds):  # lists of one length; PIL images in and out, of the contents' sizes
        return [...]
```

| name | class | paints |
|---|---|---|
| `content` | [`PairFunction`] | the content as it is |
| `style` | [`PairFunction`] | the style as it is, resized to the content's size |
| `reinhard` | [`PairFunction`] | the content in the style's colours, [`reinhard_transfer`] |
| `adain` | [`AdaINGenerator`] | [`AdaINModel`], from a folder or the two published files |
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import PIL.Image
import torch

from .._common.errors import invalid
from .controls import reinhard_transfer, return_content, return_style


if TYPE_CHECKING:
    from ..pipeline_stylevar import StyleVARPipeline
    from .adain import AdaINModel


BASELINE_TITLES = {
    "content": "return the content",
    "style": "return the style",
    "reinhard": "Reinhard colour transfer",
    "adain": "AdaIN",
}


class BaselineUnavailable(OSError):
    """Weights that a baseline needs are not on this machine. The message says which and where to get them."""


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
            image = self.function(content.convert("RGB"), style.convert("RGB"))
            image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
            images.append(_resize(image, content.size))
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


class AdaINGenerator:
    """
    [`AdaINModel`] as a [`Generator`]; draws no random numbers.

    Args:
        model ([`AdaINModel`]):
            Where it is to compute.
        name (`str`, *optional*, defaults to `"adain"`):
            What files and tables call it.
        alpha (`float`, *optional*):
            How much of the style, instead of the model's own.
    """

    def __init__(self, model: "AdaINModel", name: str = "adain", alpha: float | None = None):
        self.model = model
        self.name = name
        self.alpha = alpha

    @torch.no_grad()
    def stylize(self, contents, styles, seeds):
        check_pairs(contents, styles, seeds)
        return [self._paint(content, style) for content, style in zip(contents, styles, strict=True)]

    def _paint(self, content: PIL.Image.Image, style: PIL.Image.Image) -> PIL.Image.Image:
        # One by one: sizes may differ, and a result does not depend on what else is asked for.
        images = self.model(*(_to_tensor(image, self.model) for image in (content, style)), alpha=self.alpha).images
        array = (images[0].float() * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return PIL.Image.fromarray(array)


def get_baseline(
    name: str, weights: str | os.PathLike | None = None, device: str | torch.device | None = None
) -> Generator:
    """
    A control or a baseline, ready to paint.

    Args:
        name (`str`):
            `"content"`, `"style"`, `"reinhard"` or `"adain"`.
        weights (`str` or `os.PathLike`, *optional*):
            Of AdaIN: a folder made by [`convert_adain_checkpoint`]. It may also hold the published files
            `vgg_normalised.pth` and `decoder.pth`; these are converted to a folder `converted` beside them.
        device (`str` or `torch.device`, *optional*, defaults to the CPU):
            Where a network computes.

    Returns:
        [`Generator`]

    Raises:
        ValueError: If there is no such baseline, or its weights do not fit.
        BaselineUnavailable: If they are missing.
    """
    functions = {"content": return_content, "style": return_style, "reinhard": reinhard_transfer}
    if name in functions:
        return PairFunction(name, functions[name])
    if name != "adain":
        raise invalid("name", f"one of {', '.join(BASELINE_TITLES)}", repr(name), "Choose one.")
    from .adain import AdaINModel

    return AdaINGenerator(AdaINModel.from_pretrained(_adain_folder(weights)).to(device or "cpu"))


def _adain_folder(weights: str | os.PathLike | None) -> Path:
    from .adain import WEIGHTS_PAGE, convert_adain_checkpoint

    mend = f"Get both from {WEIGHTS_PAGE} and hand their folder over, or one that `convert_adain_checkpoint` makes."
    if weights is None:
        raise BaselineUnavailable(
            f"The baseline 'adain' needs vgg_normalised.pth and decoder.pth, but got none. {mend}"
        )
    folder = Path(weights).expanduser()
    for place in (folder, folder / "converted"):
        if (place / "config.json").is_file():
            return place
    missing = [file for file in ("vgg_normalised.pth", "decoder.pth") if not (folder / file).is_file()]
    if missing:
        raise BaselineUnavailable(
            f"The baseline 'adain' needs vgg_normalised.pth and decoder.pth, but {str(folder)!r} lacks "
            f"{', '.join(missing)}. {mend}"
        )
    return convert_adain_checkpoint(folder / "vgg_normalised.pth", folder / "decoder.pth", folder / "converted")


def check_pairs(contents: Sequence, styles: Sequence, seeds: Sequence[int]) -> None:
    """Raises `ValueError` unless there are as many styles and seeds as contents."""
    if not len(contents) == len(styles) == len(seeds):
        rule = f"as many as `contents` and `seeds` ({len(contents)})"
        raise invalid("styles", rule, f"{len(styles)} and {len(seeds)}", "Pair them up.")


def _resize(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    return image if image.size == size else image.resize(size, PIL.Image.Resampling.LANCZOS)


def _to_tensor(image: PIL.Image.Image, model: "AdaINModel") -> torch.Tensor:
    array = np.asarray(image.convert("RGB")).copy()
    return torch.from_numpy(array).permute(2, 0, 1)[None].to(model.device).float() / 255


__all__ = [
    "BASELINE_TITLES",
    "AdaINGenerator",
    "BaselineUnavailable",
    "Generator",
    "PairFunction",
    "PipelineGenerator",
    "get_baseline",
]
