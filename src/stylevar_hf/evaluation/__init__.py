# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
How good a checkpoint is: metrics, controls, baselines, benchmarks, the runner and its report.

Needs `pip install "stylevar-hf[eval]"`. A module is imported when one of its names is first asked for.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names


_MODULES = {
    "adain": ("AdaINConfig", "AdaINModel", "convert_adain_checkpoint"),
    "baselines": (
        "AdaINGenerator",
        "BaselineUnavailable",
        "Generator",
        "PairFunction",
        "PipelineGenerator",
        "get_baseline",
    ),
    "benchmarks": ("BenchmarkSet", "load_benchmark"),
    "controls": ("derangement", "reinhard_transfer", "return_content", "return_style"),
    "evaluation_config": ("EvaluationConfig",),
    "gallery": ("draw_gallery", "save_gallery"),
    "image_measures": (
        "colour_distance",
        "colour_signature",
        "mean_colour_difference",
        "peak_signal_to_noise_ratio",
        "signature_distance",
        "structural_similarity",
        "texture_distance",
        "texture_signature",
    ),
    "intervals": ("Estimate", "bootstrap_mean"),
    "measures": ("MEASURE_NAMES",),
    "metrics": ("METRIC_NAMES", "MetricInfo", "MetricUnavailable", "get_metric_info", "load_metric"),
    "model_checks": ("CheckReport", "StrengthReport", "evaluate_identity", "evaluate_reconstruction"),
    "runner": ("run_evaluation",),
}

if TYPE_CHECKING:
    from .adain import AdaINConfig, AdaINModel, convert_adain_checkpoint
    from .baselines import (
        AdaINGenerator,
        BaselineUnavailable,
        Generator,
        PairFunction,
        PipelineGenerator,
        get_baseline,
    )
    from .benchmarks import BenchmarkSet, load_benchmark
    from .controls import derangement, reinhard_transfer, return_content, return_style
    from .evaluation_config import EvaluationConfig
    from .gallery import draw_gallery, save_gallery
    from .image_measures import (
        colour_distance,
        colour_signature,
        mean_colour_difference,
        peak_signal_to_noise_ratio,
        signature_distance,
        structural_similarity,
        texture_distance,
        texture_signature,
    )
    from .intervals import Estimate, bootstrap_mean
    from .measures import MEASURE_NAMES
    from .metrics import METRIC_NAMES, MetricInfo, MetricUnavailable, get_metric_info, load_metric
    from .model_checks import CheckReport, StrengthReport, evaluate_identity, evaluate_reconstruction
    from .runner import run_evaluation


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
