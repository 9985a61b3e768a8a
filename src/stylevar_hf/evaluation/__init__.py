# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
How good a checkpoint is: metrics, controls, baselines, benchmarks, the runner and its report.

Needs `pip install "stylevar-hf[eval]"`. A module is imported when one of its names is first asked for.
"""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {
    ".data.teachers.adain": ("AdaINConfig", "AdaINGenerator", "AdaINModel", "convert_adain_checkpoint"),
    ".data.teachers.base": ("Generator", "PairFunction", "PipelineGenerator"),
    ".data.teachers.reinhard": ("reinhard_transfer",),
    "baselines": ("BaselineUnavailable", "get_baseline"),
    "benchmarks": ("BenchmarkSet", "load_benchmark"),
    "controls": ("derangement", "return_content", "return_style"),
    "evaluation_config": ("EvaluationConfig",),
    "report.gallery": ("draw_gallery", "save_gallery"),
    ".measures.pictures": (
        "colour_distance",
        "colour_signature",
        "mean_colour_difference",
        "peak_signal_to_noise_ratio",
        "signature_distance",
        "structural_similarity",
        "texture_distance",
        "texture_signature",
    ),
    "statistics": ("Estimate", "bootstrap_mean"),
    "measures": ("MEASURE_NAMES",),
    "metrics": ("METRIC_NAMES", "MetricInfo", "MetricUnavailable", "get_metric_info", "load_metric"),
    "model_checks": ("CheckReport", "StrengthReport", "evaluate_identity", "evaluate_reconstruction"),
    "run.runner": ("run_evaluation",),
}

if TYPE_CHECKING:
    from ..data.teachers.adain import AdaINConfig, AdaINGenerator, AdaINModel, convert_adain_checkpoint
    from ..data.teachers.base import Generator, PairFunction, PipelineGenerator
    from ..data.teachers.reinhard import reinhard_transfer
    from ..measures.pictures import (
        colour_distance,
        colour_signature,
        mean_colour_difference,
        peak_signal_to_noise_ratio,
        signature_distance,
        structural_similarity,
        texture_distance,
        texture_signature,
    )
    from .baselines import BaselineUnavailable, get_baseline
    from .benchmarks import BenchmarkSet, load_benchmark
    from .controls import derangement, return_content, return_style
    from .evaluation_config import EvaluationConfig
    from .measures import MEASURE_NAMES
    from .metrics import METRIC_NAMES, MetricInfo, MetricUnavailable, get_metric_info, load_metric
    from .model_checks import CheckReport, StrengthReport, evaluate_identity, evaluate_reconstruction
    from .report.gallery import draw_gallery, save_gallery
    from .run.runner import run_evaluation
    from .statistics import Estimate, bootstrap_mean


__getattr__, __dir__ = lazy_names(__name__, _MODULES, dict.fromkeys(_MODULES, "eval"))


__all__ = [
    "MEASURE_NAMES",
    "METRIC_NAMES",
    "AdaINConfig",
    "AdaINGenerator",
    "AdaINModel",
    "BaselineUnavailable",
    "BenchmarkSet",
    "CheckReport",
    "Estimate",
    "EvaluationConfig",
    "Generator",
    "MetricInfo",
    "MetricUnavailable",
    "PairFunction",
    "PipelineGenerator",
    "StrengthReport",
    "bootstrap_mean",
    "colour_distance",
    "colour_signature",
    "convert_adain_checkpoint",
    "derangement",
    "draw_gallery",
    "evaluate_identity",
    "evaluate_reconstruction",
    "get_baseline",
    "get_metric_info",
    "load_benchmark",
    "load_metric",
    "mean_colour_difference",
    "peak_signal_to_noise_ratio",
    "reinhard_transfer",
    "return_content",
    "return_style",
    "run_evaluation",
    "save_gallery",
    "signature_distance",
    "structural_similarity",
    "texture_distance",
    "texture_signature",
]
