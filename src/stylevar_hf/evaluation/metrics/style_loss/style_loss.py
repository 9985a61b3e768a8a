# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Gram matrix style loss of images to styles."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.vgg import VGG19_FILE
from stylevar_hf.measures.vgg import StyleLoss as Measure
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
Style loss: are the statistics of VGG-19's features those of the style? The sum over the convolutions at torchvision's
indices 0, 5, 10, 19 and 28 (before ReLU) of the mean squared difference of the Gram matrices, each divided by c h w.
0 or more, 0 for equal pictures; lower is better. The sizes of an image and its style may differ.
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
class StyleLoss(MeasureMetric):
    key = "style_loss"
    same_size = ()
    min_side = 16  # four poolings

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/1508.06576"])

    def _build_measure(self):
        return Measure(find_weights(VGG19_FILE, self.owner, self.weights, self.local_files_only))


METRIC = StyleLoss
