# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Results in the form that the Hub shows on a model's page: `.eval_results/*.yaml` in the model's repository
(huggingface.co/docs/hub/eval-results).

Each value is an entry of its own: the dataset's id, the measure as the task, the mean, and in the notes n, the
interval and the settings. The Hub links an entry to a leaderboard where the dataset is registered there as a
benchmark with such tasks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from ..._common.files import write_atomically
from ..run_folder import file_name
from ..statistics import Estimate
from .sections import read_measures


def hub_entries(results: Mapping[str, Any], set_name: str, model: str, dataset_id: str) -> list[EvalResultEntry]:
    """
    The entries of a checkpoint on a set.

    Args:
        results (`Mapping[str, Any]`):
            See [`stylevar_hf.evaluation.run.results`].
        set_name, model (`str`):
            Which.
        dataset_id (`str`):
            The data on the Hub.
    """
    entry, settings, measures = results["sets"][set_name], results["settings"], read_measures(results)
    entries = []
    for name, mean in entry["means"][model].items():
        measure, found = measures[name], Estimate.from_dict(mean)
        notes = [
            f"{measure.heading}",
            f"set {set_name}",
            f"n = {entry['num_pairs']} pairs of {entry['num_contents']} contents",
            f"95% interval {found.low:.5g} to {found.high:.5g}" if found.has_interval else "no interval",
            f"style_strength {settings['style_strength']:g}",
            f"seed {settings['seed']}",
            f"{settings['image_size']} x {settings['image_size']} pixels",
            f"stylevar-hf {settings['versions']['stylevar-hf']}",
        ]
        entries.append(
            EvalResultEntry(
                dataset_id=dataset_id,
                task_id=name,
                value=round(found.mean, 6),
                date=settings["date"],
                notes="; ".join(notes),
            )
        )
    return entries


def write_hub_results(root: Path, results: Mapping[str, Any], hub_dataset: str | None = None) -> list[Path]:
    """
    Writes `.eval_results/<model>/<set>.yaml` for every checkpoint and every set with an id on the Hub, for upload as
    `.eval_results/<set>.yaml` to the model's repository.

    Args:
        root (`Path`):
            The folder of the run.
        results (`Mapping[str, Any]`):
            See [`stylevar_hf.evaluation.run.results`].
        hub_dataset (`str`, *optional*):
            The id of the data, where the benchmark does not know it.
    """
    files = []
    for set_name, entry in results["sets"].items():
        if (dataset_id := hub_dataset or entry["hub_dataset"]) is None:
            continue
        for model in results["settings"]["models"]:
            entries = eval_result_entries_to_yaml(hub_entries(results, set_name, model, dataset_id))
            path = root / ".eval_results" / file_name(model) / f"{file_name(set_name)}.yaml"
            files.append(write_atomically(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)))
    return files


__all__ = ["hub_entries", "write_hub_results"]
