# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""DreamSim distance of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, RewardMetric
from stylevar_hf.evaluation.metrics.registry import MetricUnavailable
from stylevar_hf.evaluation.metrics.weights import is_offline
from stylevar_hf.rewards.dreamsim import DreamSimReward
from stylevar_hf.rewards.dreamsim_weights import (
    DEFAULT_DREAMSIM_TYPE,
    check_dreamsim_type,
    default_dreamsim_dir,
    download_dreamsim,
    missing_dreamsim_files,
)


_DESCRIPTION = """
DreamSim: do two pictures look alike to people, in layout, pose and meaning? 1 minus the cosine of the embeddings of
the authors' package (one DINO ViT-B/16 unless `dreamsim_type` says otherwise). In [0, 2], 0 for equal pictures; lower
is better.
"""

_CITATION = """
@inproceedings{fu2023dreamsim,
  title={{DreamSim}: Learning New Dimensions of Human Visual Similarity using Synthetic Data},
  author={Fu, Stephanie and Tamir, Netanel and Sundaram, Shobhita and Chai, Lucy and Zhang, Richard and Dekel, Tali and
    Isola, Phillip},
  booktitle={NeurIPS},
  year={2023}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class DreamSim(RewardMetric):
    key = "dreamsim"
    same_size = ()
    packages = ("dreamsim",)

    def __init__(self, *args, dreamsim_type: str = DEFAULT_DREAMSIM_TYPE, **options):
        check_dreamsim_type(dreamsim_type)
        super().__init__(*args, **options)
        self.dreamsim_type = dreamsim_type

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2306.09344"])

    def _load(self):
        try:
            super()._load()
        except FileNotFoundError as error:
            raise MetricUnavailable(
                f"The metric {self.key!r} needs the weights of DreamSim: {error} Or hand a folder with them over: "
                'weights="FOLDER".'
            ) from error

    def _build_reward(self):
        folder = default_dreamsim_dir() if self.weights is None else self.weights
        may_download = self.weights is None and not is_offline(self.local_files_only)
        if may_download and missing_dreamsim_files(self.dreamsim_type, folder):
            try:
                download_dreamsim(folder, self.dreamsim_type)
            except OSError as error:
                raise MetricUnavailable(f"The metric {self.key!r} needs the weights of DreamSim: {error}") from error
        return DreamSimReward(self.dreamsim_type, scale=1.0, cache_dir=folder)


METRIC = DreamSim
