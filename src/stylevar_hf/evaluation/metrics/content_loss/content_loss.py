# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""VGG content loss of images to contents."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, RewardMetric
from stylevar_hf.evaluation.metrics.weights import find_weights
from stylevar_hf.rewards.style_content import VGG19_FILE, ContentReward


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
class ContentLoss(RewardMetric):
    key = "content_loss"
    min_side = 16  # as for the style loss
    packages = ("torchvision",)

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/1508.06576"])

    def _build_reward(self):
        return ContentReward(weights=find_weights(self.key, VGG19_FILE, self.weights, self.local_files_only))


METRIC = ContentLoss
