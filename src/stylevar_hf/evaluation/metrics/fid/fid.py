# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""FID of images and references."""

import evaluate

from stylevar_hf.evaluation.metrics.base import ImageMetric, check_reduction
from stylevar_hf.measures.frechet import FID_FILE, FIDInception, frechet_distance
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
FID: are the images as a set like the references as a set? The Frechet distance between Gaussians fitted to the
features of TensorFlow's Inception v3 of 2015, by torch-fidelity. 0 or more, 0 for equal sets; lower is better. One
number for all pictures, biased upwards when they are few.
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions (list of PIL.Image.Image or of uint8 arrays of shape (height, width, 3)): the images to judge, two or
        more.
    references (list of the same length): what they are compared with, as a set.
Returns:
    dict: {"fid": float}
"""

_CITATION = """
@inproceedings{heusel2017gans,
  title={{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local {Nash} Equilibrium},
  author={Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  booktitle={NeurIPS},
  year={2017}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS_DESCRIPTION)
class FID(ImageMetric):
    key = "fid"
    same_size = ()
    packages = ("torch_fidelity",)

    def _info(self):
        return self._describe_module(
            _DESCRIPTION, _CITATION, _INPUTS_DESCRIPTION, ["https://arxiv.org/abs/1706.08500"]
        )

    def _load(self):
        path = find_weights(FID_FILE, self.owner, self.weights, self.local_files_only)
        self._network = FIDInception(path).to(self.device)

    def _compute(self, predictions, references, reduction="mean"):
        check_reduction(self.key, reduction, ("mean",))
        self.prepare()
        return {
            self.key: frechet_distance(*(self._features(self._network, part) for part in (predictions, references)))
        }


METRIC = FID
