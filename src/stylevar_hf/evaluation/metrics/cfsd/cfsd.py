# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Content feature structural distance of images to contents."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.vgg import VGG19_FILE, StructuralDistance
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
CFSD, content feature structural distance: is each patch as like every other patch as it is in the content? With F the
features of VGG-19 after the ReLU at torchvision's index 11, as rows of places divided by their number of channels, the
rows of S = softmax(F F^T) say how like a place is to each other place; CFSD is the sum over rows of
KL(S_content || S_image). 0 or more, 0 for equal pictures, not symmetric; lower is better.
"""

_CITATION = """
@inproceedings{chung2024style,
  title={Style Injection in Diffusion: A Training-free Approach for Adapting Large-scale Diffusion Models for Style
    Transfer},
  author={Chung, Jiwoo and Hyun, Sangeek and Heo, Jae-Pil},
  booktitle={CVPR},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class CFSD(MeasureMetric):
    key = "cfsd"
    min_side = 16

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2312.09008"])

    def _build_measure(self):
        return StructuralDistance(find_weights(VGG19_FILE, self.owner, self.weights, self.local_files_only))


METRIC = CFSD
