# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What there is to measure: names, directions, ranges, and loading by name. Imports nothing heavy."""

import difflib
import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..._common.errors import WeightsUnavailable


if TYPE_CHECKING:
    import evaluate


MetricUnavailable = WeightsUnavailable  # what it is called here


@dataclass(frozen=True)
class MetricInfo:
    """
    What there is to know of a metric before it is loaded.

    Args:
        name (`str`): Its folder, and its key in results.
        title (`str`): Its heading in a table.
        higher_is_better (`bool`): The direction.
        range (`tuple[float, float | None]`): Lowest and highest value; `None`: no bound.
        reference (`"style"`, `"content"` or `"target"`):
            What the paper compares the image with. Where there is no target, the content takes its place.
        per_image (`bool`): Whether there is a value for each image, or one for all of them.
        source (`str`): Where the definition comes from.
    """

    name: str
    title: str
    higher_is_better: bool
    range: tuple[float, float | None]
    reference: Literal["style", "content", "target"]
    per_image: bool
    source: str


_GATYS = "arXiv 1508.06576, as in arXiv 2604.21052"
_INFOS = (
    MetricInfo("style_loss", "Style loss", False, (0.0, None), "style", True, _GATYS),
    MetricInfo("content_loss", "Content loss", False, (0.0, None), "content", True, _GATYS),
    MetricInfo("lpips", "LPIPS", False, (0.0, None), "target", True, "arXiv 1801.03924"),
    MetricInfo("ssim", "SSIM", True, (-1.0, 1.0), "target", True, "Wang et al. 2004, doi 10.1109/TIP.2003.819861"),
    MetricInfo("psnr", "PSNR (dB)", True, (0.0, 100.0), "target", True, "10 log10 of 1 over the mean squared error"),
    MetricInfo("dreamsim", "DreamSim", False, (0.0, 2.0), "target", True, "arXiv 2306.09344"),
    MetricInfo("clip_similarity", "CLIP", True, (-1.0, 1.0), "target", True, "arXiv 2103.00020"),
    MetricInfo("cfsd", "CFSD", False, (0.0, None), "content", True, "arXiv 2312.09008"),
    MetricInfo("fid", "FID", False, (0.0, None), "style", False, "arXiv 1706.08500"),
    MetricInfo("artfid", "ArtFID", False, (1.0, None), "style", False, "arXiv 2207.12280"),
)
METRICS = {info.name: info for info in _INFOS}
METRIC_NAMES = tuple(METRICS)


def get_metric_info(name: str) -> MetricInfo:
    """
    Args:
        name (`str`): One of [`METRIC_NAMES`].

    Returns:
        [`MetricInfo`]

    Raises:
        ValueError: If there is no such metric; names the one that is spelt most like it.
    """
    if name not in METRICS:
        word = str(name).lower().replace("-", "_")
        containing = [known for known in METRICS if word and (word in known or known in word)]
        near = (containing or difflib.get_close_matches(word, METRICS, n=1, cutoff=0.0))[0]
        raise ValueError(f"`name` must be one of {', '.join(METRICS)}, but got {name!r}. Did you mean {near!r}?")
    return METRICS[name]


def load_metric(
    name: str,
    weights: str | os.PathLike | None = None,
    device: Any = None,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> "evaluate.Metric":
    """
    A metric that is ready to use: its weights are there and are loaded.

    Args:
        name (`str`):
            One of [`METRIC_NAMES`].
        weights (`str` or `os.PathLike`, *optional*):
            The file or folder with the network's weights; which one, the metric's README says. Defaults to where the
            library that defines the network keeps them; what is missing there is downloaded.
        device (`str` or `torch.device`, *optional*, defaults to the CPU):
            Where to compute.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Where `evaluate` keeps pictures between `add_batch` and `compute`. Defaults to its cache folder.
        options:
            What else the metric takes: `batch_size` (16), `local_files_only` (`False`: missing weights are downloaded,
            unless `HF_HUB_OFFLINE` is set) and, by metric, `net`, `dreamsim_type`, `lpips_weights`.

    Returns:
        `evaluate.Metric`

    Raises:
        ValueError: If there is no such metric.
        TypeError: If it has no such option.
        MetricUnavailable: If its weights are neither here nor to be had.
        ModuleNotFoundError: If a package that it needs is not installed.
    """
    get_metric_info(name)
    try:
        module = importlib.import_module(f".{name}.{name}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stylevar_hf"):
            raise
        raise ModuleNotFoundError(
            f"The metric {name!r} needs {error.name}, which is not installed. Run `pip install stylevar-hf[eval]`.",
            name=error.name,
        ) from error
    if weights is not None:
        options["weights"] = weights
    metric = module.METRIC(device=device, cache_dir=None if cache_dir is None else os.fspath(cache_dir), **options)
    metric.prepare()
    return metric


__all__ = ["METRICS", "METRIC_NAMES", "MetricInfo", "MetricUnavailable", "get_metric_info", "load_metric"]
