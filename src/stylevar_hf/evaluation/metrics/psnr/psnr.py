# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""PSNR of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, PairedImageMetric
from stylevar_hf.measures.psnr import peak_signal_to_noise_ratio


_DESCRIPTION = """
PSNR: are the pixels the same? -10 log10 of the mean squared difference of pixels in [0, 1], in decibels. In [0, 100],
where equal pictures get 100, so that means stay finite; higher is better.
"""

_CITATION = """
@article{huynh2008scope,
  title={Scope of validity of {PSNR} in image/video quality assessment},
  author={Huynh-Thu, Quan and Ghanbari, Mohammed},
  journal={Electronics Letters},
  volume={44},
  number={13},
  pages={800--801},
  year={2008}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class PSNR(PairedImageMetric):
    key = "psnr"
    takes_weights = False

    def _info(self):
        return self._describe_module(
            _DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://doi.org/10.1049/el:20080522"]
        )

    def _measure(self, predictions, references):
        return peak_signal_to_noise_ratio(predictions, references)


METRIC = PSNR
