# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""LPIPS of images and references."""

import evaluate

from stylevar_hf._common.errors import invalid
from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.lpips import LPIPS as Measure
from stylevar_hf.measures.lpips import LPIPS_FILES
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
LPIPS: do two pictures look alike, place by place? The weighted squared distance of the features of VGG-16 (or AlexNet
or SqueezeNet: `net`), by the authors' package. 0 or more, 0 for equal pictures; lower is better.
"""

_CITATION = """
@inproceedings{zhang2018unreasonable,
  title={The Unreasonable Effectiveness of Deep Features as a Perceptual Metric},
  author={Zhang, Richard and Isola, Phillip and Efros, Alexei A and Shechtman, Eli and Wang, Oliver},
  booktitle={CVPR},
  year={2018}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class LPIPS(MeasureMetric):
    key = "lpips"
    min_side = 32  # AlexNet and SqueezeNet have nothing left of smaller ones
    packages = ("lpips", "torchvision")

    def __init__(self, *args, net: str = "vgg", **options):
        if net not in LPIPS_FILES:
            raise invalid("net", f"one of {', '.join(LPIPS_FILES)}", repr(net), "Choose one.")
        super().__init__(*args, **options)
        self.net = net

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/1801.03924"])

    def _build_measure(self):
        path = find_weights(LPIPS_FILES[self.net], self.owner, self.weights, self.local_files_only)
        return Measure(self.net, path)


METRIC = LPIPS
