# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""DreamSim distance of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.evaluation.metrics.registry import MetricUnavailable
from stylevar_hf.measures.dreamsim import DreamSim as Measure
from stylevar_hf.measures.dreamsim import build_dreamsim
from stylevar_hf.measures.dreamsim_download import find_dreamsim
from stylevar_hf.measures.dreamsim_files import DEFAULT_DREAMSIM_TYPE, check_dreamsim_type


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
class DreamSim(MeasureMetric):
    key = "dreamsim"
    same_size = ()
    packages = ("dreamsim",)

    def __init__(self, *args, dreamsim_type: str = DEFAULT_DREAMSIM_TYPE, **options):
        check_dreamsim_type(dreamsim_type)
        super().__init__(*args, **options)
        self.dreamsim_type = dreamsim_type

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2306.09344"])

    def _build_measure(self):
        try:
            folder = find_dreamsim(self.dreamsim_type, self.weights, self.local_files_only)
            return Measure(build_dreamsim(self.dreamsim_type, folder, self.device))
        except FileNotFoundError as error:
            raise MetricUnavailable(
                f"{self.owner} needs the weights of DreamSim: {error} Or hand a folder with them over: "
                'weights="FOLDER".'
            ) from error


METRIC = DreamSim
