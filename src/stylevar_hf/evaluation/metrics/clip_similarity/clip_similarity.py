# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Cosine of CLIP's embeddings of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import INPUTS_DESCRIPTION, MeasureMetric
from stylevar_hf.measures.clip import CLIP_MODEL, load_clip
from stylevar_hf.measures.clip import CLIPSimilarity as Measure


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
class CLIPSimilarity(MeasureMetric):
    key = "clip_similarity"
    same_size = ()

    def _info(self):
        return self._describe_module(_DESCRIPTION, _CITATION, INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2103.00020"])

    def _build_measure(self):
        model = CLIP_MODEL if self.weights is None else self.weights
        return Measure(load_clip(model, self.owner, self.local_files_only))


METRIC = CLIPSimilarity
