# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""VGG content loss of images to contents."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.vgg import VGG19_FILE
from stylevar_hf.measures.vgg import ContentLoss as Measure
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
Content loss: are VGG-19's features at each place those of the content? The mean squared difference of the outputs of
the convolution at torchvision's index 21 (conv4_2, before ReLU). 0 or more, 0 for equal pictures; lower is better.
"""

_CITATION = """
@article{gatys2015neural,
  title={A Neural Algorithm of Artistic Style},
  author={Gatys, Leon A and Ecker, Alexander S and Bethge, Matthias},
  journal={arXiv preprint arXiv:1508.06576},
  year={2015}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class ContentLoss(MeasureMetric):
    key = "content_loss"
    min_side = 16  # as for the style loss

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/1508.06576"])

    def _build_measure(self):
        return Measure(find_weights(VGG19_FILE, self.owner, self.weights, self.local_files_only))


METRIC = ContentLoss
