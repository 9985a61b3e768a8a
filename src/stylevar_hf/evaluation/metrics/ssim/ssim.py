# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""SSIM of images and references."""

import evaluate
from torchmetrics.functional.image import structural_similarity_index_measure

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, PairedImageMetric


_DESCRIPTION = """
SSIM: are the same structures in the same places? With the paper's Gaussian window (11 x 11, sigma 1.5) and constants,
mean over channels and over pixels whose window lies within the picture. In [-1, 1], 1 for equal pictures; higher is
better.
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
class SSIM(PairedImageMetric):
    key = "ssim"
    takes_weights = False
    min_side = 11  # the window

    def _info(self):
        return self._describe_module(
            _DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://doi.org/10.1109/TIP.2003.819861"]
        )

    def _measure(self, predictions, references):
        _, values = structural_similarity_index_measure(
            predictions,
            references,
            gaussian_kernel=True,
            sigma=1.5,
            data_range=1.0,
            reduction="none",
            return_full_image=True,
        )
        margin = self.min_side // 2  # windows that reach over the edge, which torchmetrics fills by reflection
        return values[..., margin:-margin, margin:-margin].flatten(1).mean(1)


METRIC = SSIM
