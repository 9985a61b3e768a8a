# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The evaluation: paint every pair of a benchmark with every system, measure, compare, report.

`stylevar evaluate` is its front on the command line.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tqdm import tqdm

from ..._common.errors import invalid
from ..._common.version import __version__
from ...checkpoints.fingerprints import fingerprint
from ...data.teachers.base import Generator, PipelineGenerator
from ..baselines import BaselineUnavailable, get_baseline
from ..benchmarks import load_benchmark
from ..evaluation_config import EvaluationConfig
from ..inputs import batches
from ..measures import STYLE_AND_CONTENT_MEASURES, TRANSFER_MEASURES, Measure, choose_measures, get_measure
from ..model_checks import evaluate_identity, evaluate_reconstruction
from ..pairs import PairSet
from ..report.report import write_report
from ..run_folder import RunFolder, check_free, digest
from ..systems import System, list_systems, name_models
from .checkpoints import common_processor, describe_pipeline, device_name
from .measuring import Jobs, measure_metric, measure_pictures, store_values, stored_values
from .painting import OUT_OF_MEMORY, paint, rows_to_paint, seconds_per_image
from .results import FORMAT, TRADE_OFF_MEASURES, describe_measures, describe_systems, summarise_set
from .token_losses import token_cross_entropies
from .transfer import TRANSFER_WEIGHTS, measure_transfer


if TYPE_CHECKING:
    from ...pipeline_stylevar import StyleVARPipeline


Load = Callable[[str], "StyleVARPipeline"]


def run_evaluation(
    config: EvaluationConfig,
    *,
    generators: Sequence[Generator] = (),
    load: Load | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """
    Evaluate checkpoints, and generators of your own, on a benchmark.

    Args:
        config ([`EvaluationConfig`]):
            What, on what, and how.
        generators (`Sequence[Generator]`, *optional*):
            Anything with a `name` and `stylize(contents, styles, seeds)`; a row of the tables each.
        load (`Callable[[str], StyleVARPipeline]`, *optional*):
            Loads a checkpoint. Defaults to [`StyleVARPipeline.from_pretrained`].
        progress (`bool`, *optional*, defaults to `False`):
            Show progress bars on stderr.

    Returns:
        `dict`: What `results.json` holds, see [`stylevar_hf.evaluation.run.results`]. Files are in
        `config.output_dir`.

    Raises:
        ValueError: If an argument does not fit, checkpoints differ in size, the benchmark is empty or has pictures
            that cannot be used, or the folder holds another run.
        OSError: If a checkpoint is missing.

    Example:

    ```python
    >>> from stylevar_hf import bundled_checkpoint
    >>> from stylevar_hf.evaluation import EvaluationConfig, run_evaluation

    >>> config = EvaluationConfig("procedural", "evaluation", models=[bundled_checkpoint()], num_pairs=16)
    >>> results = run_evaluation(config, progress=True)
    >>> results["sets"]["in_distribution"]["differences"]
    ```
    """
    return _Run(config, generators, load or _default_load(config), progress).run()


def _default_load(config: EvaluationConfig) -> Load:
    from ...pipeline_stylevar import StyleVARPipeline

    device = None if config.device == "auto" else config.device
    return lambda model: StyleVARPipeline.from_pretrained(model, device=device, dtype=config.dtype)


class _Run:
    """One evaluation; the stages are the methods that [`~_Run.run`] calls."""

    def __init__(self, config: EvaluationConfig, generators: Sequence[Generator], load: Load, progress: bool):
        self.config, self.load, self.progress = config, load, progress
        self.generators = {generator.name: generator for generator in generators}
        named = isinstance(config.models, Mapping)
        self.models = dict(config.models) if named else name_models([str(model) for model in config.models])
        if not self.models and not self.generators:
            raise invalid("models", "one checkpoint or more", "none", "Name a folder or a Hub id.")
        self.systems = list_systems(
            tuple(self.models),
            [generator.name for generator in generators],
            config.chosen_baselines,
            config.style_strength,
            config.strengths,
        )
        self.not_computed: dict[str, str] = {}
        self.checks: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        # 1. Everything that can be wrong, before a model starts
        check_free(self.config.output_dir, self.config.resume)
        self.processor = common_processor(self.models, self.config.image_size)
        self._load_pairs()
        self.folder = RunFolder(self.config.output_dir, self._identity(), self.config.resume)

        # 2. Paint, one system after another
        self._paint_all()

        # 3. Measure
        self._measure_all()

        # 4. Compare and report
        results = self._results()
        write_report(self.folder, results, self.pairs, self.config.gallery_rows, self.config.hub_dataset)
        return results

    # ---- 1. inputs ----

    def _load_pairs(self) -> None:
        config = self.config
        sets = load_benchmark(
            config.benchmark,
            self.processor.size["height"],
            config.num_pairs,
            config.seed,
            config.allow_missing,
            self.progress,
            config.validation_fraction,
            config.split_seed,
        )
        self.pairs = [PairSet(one, self.processor, config.seed) for one in sets]
        self.measures = {pairs.name: self._choose(pairs.has_target) for pairs in self.pairs}

    def _choose(self, has_target: bool) -> list[Measure]:
        """The measures that were asked for; with a sweep also those without which it has no curve."""
        names = self.config.metrics
        if names is not None and self.config.strengths:
            names = [*names, *STYLE_AND_CONTENT_MEASURES]
        return choose_measures(names, has_target)

    def _identity(self) -> dict[str, Any]:
        """What the stored pictures depend on."""
        return {
            "format": FORMAT,
            "models": {name: fingerprint(path) for name, path in self.models.items()},
            "generators": list(self.generators),
            "benchmark": self.config.benchmark,
            "image_size": self.processor.size["height"],
            "resize_mode": self.processor.resize_mode,
            "style_strength": self.config.style_strength,
            "num_checks": self.config.num_checks,
            "dtype": self.config.dtype,
            "seed": self.config.seed,
            "pairs": {pairs.name: digest(pairs.describe()) for pairs in self.pairs},
        }

    # ---- 2. painting ----

    def _rows(self, pairs: PairSet, system: System) -> list[int]:
        """The rows that a system paints: all, or for a point of a curve those of the checks."""
        if system.kind == "swapped" and pairs.others is None:
            return []
        return pairs.check_rows(self.config.num_checks) if system.kind == "strength" else list(range(len(pairs)))

    def _jobs(self, pairs: PairSet) -> Jobs:
        """What was painted."""
        systems = [system for system in self.systems if system.name not in self.not_computed]
        return [(system, rows) for system in systems if (rows := self._rows(pairs, system))]

    def _paint_all(self) -> None:
        total = sum(len(self._rows(pairs, system)) for pairs in self.pairs for system in self.systems)
        with tqdm(total=total, desc="Painting", unit="image", disable=not self.progress) as self.bar:
            for system in self.systems:  # first, for they are quick, and their weights may not fit
                if system.model is None:
                    self._paint_with(system)
            for name in self.models:
                self._paint_model(name)

    def _paint_with(self, system: System) -> None:
        """A control, a baseline, or a generator that was handed over."""
        rows = {pairs.name: self._rows(pairs, system) for pairs in self.pairs}
        generator, weights = self.generators.get(system.name), self.config.weights.get(system.name)
        for pairs in self.pairs:
            self._check_weights(pairs, system, weights)
        if not any(rows_to_paint(self.folder, pairs, system, rows[pairs.name]) for pairs in self.pairs):
            self.bar.update(sum(map(len, rows.values())))
            return
        if generator is None:
            try:
                generator = get_baseline(system.name, weights, self._device())
            except BaselineUnavailable as error:
                self.not_computed[system.name] = " ".join(str(error).split())
                self.bar.update(sum(map(len, rows.values())))
                return
        for pairs in self.pairs:
            if weights is not None:  # they loaded
                self.folder.update(self.folder.times(pairs.name, system.name), {"weights": weights})
            device = device_name(torch.device(self._device()))
            paint(self.folder, pairs, system, generator, rows[pairs.name], self.config.batch_size, self.bar, device)

    def _check_weights(self, pairs: PairSet, system: System, weights: str | None) -> None:
        """Refuses to go on with pictures that a baseline painted with other weights."""
        if weights is None:
            return
        there = self.folder.read(self.folder.times(pairs.name, system.name)).get("weights", weights)
        if there != weights:
            hint = f"Remove {self.folder.root / 'outputs' / '*' / system.name} to paint them again."
            raise invalid("weights", f"those of the pictures of {system.title}, {there}", weights, hint)

    def _paint_model(self, name: str) -> None:
        """[`~_Run._use_model`]; without memory for the model or its cross-entropies the run ends in one line."""
        failed = False
        try:
            self._use_model(name)
        except torch.OutOfMemoryError:
            failed = True
        if failed:  # not in `except`, as in `_painting`
            raise ValueError(OUT_OF_MEMORY.format(self.config.batch_size))

    def _use_model(self, name: str) -> None:
        """All that needs a checkpoint, so that it is loaded once: pictures, cross-entropies, checks."""
        systems = [system for system in self.systems if system.model == name]
        entropies = [pairs for pairs in self.pairs if self._missing_entropies(pairs, systems)]
        checks = self.folder.read(self.folder.checks(name))
        to_paint = any(
            rows_to_paint(self.folder, pairs, system, self._rows(pairs, system))
            for pairs in self.pairs
            for system in systems
        )
        pipeline = None
        if to_paint or entropies or checks.get("num_checks") != self.config.num_checks:
            pipeline = self.load(self.models[name])
        for system in systems:
            for pairs in self.pairs:
                generator = PipelineGenerator(
                    pipeline, name, self.config.batch_size, style_strength=system.style_strength
                )
                rows = self._rows(pairs, system)
                device = "" if pipeline is None else device_name(pipeline.device)  # "": there is nothing to paint
                paint(self.folder, pairs, system, generator, rows, self.config.batch_size, self.bar, device)
        for pairs in entropies:
            self._measure_entropies(pipeline, pairs, systems)
        if checks.get("num_checks") != self.config.num_checks:
            checks = self._check(pipeline)
            self.folder.update(self.folder.checks(name), checks)
        self.checks[name] = checks

    def _missing_entropies(self, pairs: PairSet, systems: Sequence[System]) -> bool:
        wanted = any(measure.name == "cross_entropy" for measure in self.measures[pairs.name])
        judged = [system for system in systems if system.kind != "strength" and self._rows(pairs, system)]
        return wanted and any(stored_values(self.folder, pairs, s, "cross_entropy") is None for s in judged)

    def _measure_entropies(self, pipeline: "StyleVARPipeline", pairs: PairSet, systems: Sequence[System]) -> None:
        columns = {"model": "style", "swapped": "swapped"}
        judged = [system for system in systems if system.kind in columns and self._rows(pairs, system)]
        values: list[list[float]] = [[] for _ in judged]
        label = f"Cross-entropy, {pairs.name}"
        for rows in batches(len(pairs), self.config.batch_size, label, self.progress):
            contents, targets = pairs.pictures("content", rows), pairs.pictures("target", rows)
            styles = [pairs.pictures(columns[system.kind], rows) for system in judged]
            for found, numbers in zip(values, token_cross_entropies(pipeline, contents, styles, targets), strict=True):
                found += numbers
        for system, found in zip(judged, values, strict=True):
            store_values(self.folder, pairs, system, {"cross_entropy": found})

    def _check(self, pipeline: "StyleVARPipeline") -> dict[str, Any]:
        """Style = content, and what the tokenizer keeps."""
        config = self.config
        common = {"batch_size": config.batch_size, "seed": config.seed, "num_resamples": config.num_resamples}
        identity, reconstruction = {}, {}
        for pairs in self.pairs:
            rows = pairs.check_rows(config.num_checks)
            for column in ("content", "style", "target") if pairs.has_target else ("content", "style"):
                pictures = pairs.pictures(column, rows)
                name = f"{column}s, {pairs.name}"
                found = evaluate_reconstruction(pipeline, pictures, progress=self.progress, **common)
                reconstruction[name] = found.to_dict()
                if column == "content":
                    sampling = {"style_strength": config.style_strength}
                    found = evaluate_identity(pipeline, pictures, sampling=sampling, progress=self.progress, **common)
                    identity[name] = found.to_dict()
        return {
            "num_checks": config.num_checks,
            "identity": identity,
            "reconstruction": reconstruction,
            "painting": describe_pipeline(pipeline),
        }

    # ---- 3. measuring ----

    def _device(self) -> str | None:
        if self.config.device != "auto":
            return self.config.device
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return "cpu" if accelerator is None else accelerator.type

    def _measure_all(self) -> None:
        all_jobs = [(pairs, self._jobs(pairs)) for pairs in self.pairs]
        networks = {m.name: m for pairs in self.pairs for m in self.measures[pairs.name] if m.is_metric}
        plain = {pairs.name: [m for m in self.measures[pairs.name] if not m.is_metric] for pairs in self.pairs}
        elsewhere = ("cross_entropy", *TRANSFER_MEASURES)
        plain = {name: [m for m in found if m.name not in elsewhere] for name, found in plain.items()}
        wanted = {m.name for pairs in self.pairs for m in self.measures[pairs.name]}
        transfer = [name for name in TRANSFER_MEASURES if name in wanted]
        table_jobs = [(pairs, [job for job in jobs if job[0].kind != "strength"]) for pairs, jobs in all_jobs]
        metric_jobs = {
            name: [(pairs, [job for job in jobs if _is_measured(job[0], name)]) for pairs, jobs in all_jobs]
            for name in networks
        }
        total = sum(len(rows) * len(plain[pairs.name]) for pairs, jobs in all_jobs for _, rows in jobs)
        total += sum(len(rows) for jobs in metric_jobs.values() for _, part in jobs for _, rows in part)
        total += sum(len(rows) for _, jobs in table_jobs for _, rows in jobs if transfer)
        with tqdm(total=total, desc="Measuring", unit="value", disable=not self.progress) as bar:
            for pairs, jobs in all_jobs:
                measure_pictures(self.folder, pairs, jobs, plain[pairs.name], bar)
            for name, jobs in metric_jobs.items():
                weights = self.config.weights.get(name)
                arguments = (get_measure(name), weights, self._device(), self.config.batch_size, bar)
                if reason := measure_metric(self.folder, jobs, *arguments):
                    self.not_computed[name] = reason
            arguments = (self._weights_of(TRANSFER_MEASURES[0]), self._device(), self.config.batch_size, bar)
            if transfer and (reason := measure_transfer(self.folder, table_jobs, transfer, *arguments)):
                self.not_computed |= dict.fromkeys(transfer, reason)

    def _weights_of(self, measure: str) -> str | None:
        return self.config.weights.get(TRANSFER_WEIGHTS if measure in TRANSFER_MEASURES else measure)

    def _values(self, pairs: PairSet) -> dict[str, dict[str, Any]]:
        """System to measure to its values."""
        found: dict[str, dict[str, Any]] = {}
        for system, _ in self._jobs(pairs):
            found[system.name] = {}
            for measure in self.measures[pairs.name]:
                weights = self._weights_of(measure.name)
                values = stored_values(self.folder, pairs, system, measure.name, weights)
                if values is not None and measure.name not in self.not_computed:
                    found[system.name][measure.name] = values
        return found

    # ---- 4. results ----

    def _results(self) -> dict[str, Any]:
        config, sets = self.config, {}
        for pairs in self.pairs:
            rows = {system.name: list(found) for system, found in self._jobs(pairs)}
            values = self._values(pairs)
            entry = summarise_set(pairs, self.systems, rows, values, config.num_resamples, config.seed)
            times = {s.name: seconds_per_image(self.folder, pairs.name, s.name) for s in self.systems}
            entry["seconds_per_image"] = {name: one for name, one in times.items() if one is not None}
            sets[pairs.name] = entry
        measures = {m.name: m for pairs in self.pairs for m in self.measures[pairs.name]}
        titles = {system.name: system.title for system in self.systems}
        return {
            "format": FORMAT,
            "settings": self._settings(),
            "systems": describe_systems(self.systems),
            "measures": describe_measures(list(measures.values())),
            "not_computed": [
                {"what": name, "title": measures[name].title if name in measures else titles[name], "reason": reason}
                for name, reason in self.not_computed.items()
            ],
            "sets": sets,
            "identity": {name: found["identity"] for name, found in self.checks.items()},
            "reconstruction": {name: found["reconstruction"] for name, found in self.checks.items()},
        }

    def _settings(self) -> dict[str, Any]:
        config, identity = self.config, self._identity()
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "models": {
                name: {"path": path, "fingerprint": identity["models"][name], **self.checks[name]["painting"]}
                for name, path in self.models.items()
            },
            "generators": list(self.generators),
            "benchmark": config.benchmark,
            "image_size": identity["image_size"],
            "resize_mode": identity["resize_mode"],
            "style_strength": config.style_strength,
            "strengths": list(config.strengths),
            "num_checks": config.num_checks,
            "seed": config.seed,
            "num_resamples": config.num_resamples,
            "batch_size": config.batch_size,
            "weights": dict(config.weights),
            "versions": {
                "stylevar-hf": __version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            },
        }


def _is_measured(system: System, metric: str) -> bool:
    """Points of a curve are measured by what the curves show."""
    return system.kind != "strength" or metric in TRADE_OFF_MEASURES


__all__ = ["run_evaluation"]
