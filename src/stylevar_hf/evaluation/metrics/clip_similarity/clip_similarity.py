# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Cosine of CLIP's embeddings of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, RewardMetric
from stylevar_hf.evaluation.metrics.registry import MetricUnavailable
from stylevar_hf.rewards.clip import DEFAULT_MODEL, CLIPReward


_DESCRIPTION = """
CLIP image similarity: do two pictures mean the same? The cosine of the image embeddings of CLIP (ViT-B/32 unless
`weights` says otherwise), after CLIP's own resizing and cropping. In [-1, 1], 1 for equal pictures; higher is better.
"""

_CITATION = """
@inproceedings{radford2021learning,
  title={Learning Transferable Visual Models From Natural Language Supervision},
  author={Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and Agarwal, Sandhini
    and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and others},
  booktitle={ICML},
  year={2021}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, INPUTS_DESCRIPTION)
class CLIPSimilarity(RewardMetric):
    key = "clip_similarity"
    same_size = ()

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2103.00020"])

    def _load(self):
        try:
            super()._load()
        except OSError as error:
            raise MetricUnavailable(
                f'The metric {self.key!r} needs CLIP: {error} Hand a folder over: weights="FOLDER".'
            ) from error

    def _build_reward(self):
        model = DEFAULT_MODEL if self.weights is None else self.weights
        return CLIPReward(model, local_files_only=self.local_files_only)


METRIC = CLIPSimilarity
