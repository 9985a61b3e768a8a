# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSIM of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.ssim import SSIM as Measure
from stylevar_hf.measures.ssim import WINDOW


_DESCRIPTION = """
SSIM: are the same structures in the same places? With the paper's Gaussian window (11 x 11, sigma 1.5) and constants,
mean over channels and pixels, the pictures mirrored at the border, as in torchmetrics. In [-1, 1], 1 for equal
pictures; higher is better.
"""

_CITATION = """
@article{wang2004image,
  title={Image quality assessment: from error visibility to structural similarity},
  author={Wang, Zhou and Bovik, Alan C and Sheikh, Hamid R and Simoncelli, Eero P},
  journal={IEEE Transactions on Image Processing},
  volume={13},
  number={4},
  pages={600--612},
  year={2004}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class SSIM(MeasureMetric):
    key = "ssim"
    takes_weights = False
    min_side = WINDOW

    def _info(self):
        return self._describe_module(
            _DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://doi.org/10.1109/TIP.2003.819861"]
        )

    def _build_measure(self):
        return Measure()


METRIC = SSIM
