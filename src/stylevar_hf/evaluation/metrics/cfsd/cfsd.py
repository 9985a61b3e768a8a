# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Content feature structural distance of images to contents."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, PairedImageMetric
from stylevar_hf.evaluation.metrics.weights import find_weights
from stylevar_hf.rewards.style_content import VGG19_FILE, VGG19Features


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

LAYER = 11
MAX_ENTRIES = 2**23  # of a similarity matrix at a time: half of one at 256 x 256


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class CFSD(PairedImageMetric):
    key = "cfsd"
    min_side = 16
    packages = ("torchvision",)

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2312.09008"])

    def _load(self):
        path = find_weights(self.key, VGG19_FILE, self.weights, self.local_files_only)
        self._network = VGG19Features((LAYER,), path).to(self.device)

    def _measure(self, predictions, references):
        return structural_distance(self._places(predictions), self._places(references))

    def _places(self, images):
        """Images `(B, 3, H, W)` to `(B, places, channels)`, divided by the number of channels."""
        # In float64: rows of the softmax are almost flat, and in float32 their differences drown in rounding.
        features = self._network(images)[0].flatten(2).mT
        features = (features.cpu() if features.device.type == "mps" else features).double()  # MPS has none
        return features / features.shape[2]


def structural_distance(places, reference_places):
    """Two batches `(B, N, C)` of features at N places to `(B,)`: the summed divergence of the similarity rows."""
    rows = max(1, MAX_ENTRIES // (len(places) * places.shape[1]))
    total = 0
    for start in range(0, places.shape[1], rows):
        logs = [(part[:, start : start + rows] @ part.mT).log_softmax(-1) for part in (places, reference_places)]
        total = total + (logs[1].exp() * (logs[1] - logs[0])).sum((1, 2))
    return total.clamp(min=0)


METRIC = CFSD
