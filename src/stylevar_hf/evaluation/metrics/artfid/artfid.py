# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""ArtFID of images, contents and styles."""

from pathlib import Path

import evaluate

from stylevar_hf._common.errors import invalid
from stylevar_hf.evaluation.metrics.base import ImageMetric, check_reduction
from stylevar_hf.evaluation.metrics.registry import MetricUnavailable
from stylevar_hf.measures.frechet import ART_FILE, ArtInception, frechet_distance
from stylevar_hf.measures.lpips import LPIPS, LPIPS_FILES
from stylevar_hf.measures.weights import find_weights


_DESCRIPTION = """
ArtFID: does the image keep the content and have the style? (1 + LPIPS to the content) (1 + FID to the styles), with
LPIPS by AlexNet and FID by an Inception v3 trained on paintings, on pictures as they are. 1 or more; lower is better.
One number for all pictures, biased upwards when they are few.
"""

_INPUTS_DESCRIPTION = """
Args:
    predictions (list of PIL.Image.Image or of uint8 arrays of shape (height, width, 3)): the images to judge, two or
        more.
    contents (list of the same length): the content of each, of its size.
    styles (list of the same length): the style of each; of any size.
Returns:
    dict: {"artfid": float}
"""

_CITATION = """
@inproceedings{wright2022artfid,
  title={{ArtFID}: Quantitative Evaluation of Neural Style Transfer},
  author={Wright, Matthias and Ommer, Bj{\\"o}rn},
  booktitle={GCPR},
  year={2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS_DESCRIPTION)
class ArtFID(ImageMetric):
    key = "artfid"
    inputs = ("predictions", "contents", "styles")
    same_size = ("contents",)
    min_side = 75  # of Inception v3
    packages = ("lpips", "torchvision")

    def __init__(self, *args, net: str = "alex", lpips_weights=None, **options):
        if net not in LPIPS_FILES:
            raise invalid("net", f"one of {', '.join(LPIPS_FILES)}", repr(net), "Choose one.")
        super().__init__(*args, **options)
        self.net = net
        self.lpips_weights = lpips_weights

    def _info(self):
        return self._describe_module(
            _DESCRIPTION, _CITATION, _INPUTS_DESCRIPTION, ["https://arxiv.org/abs/2207.12280"]
        )

    def _load(self):
        path = find_weights(ART_FILE, self.owner, self.weights, self.local_files_only)
        file, place = LPIPS_FILES[self.net], self.lpips_weights
        if place is None and self.weights is not None:
            folder = Path(self.weights).expanduser()
            place = folder if (folder / file.name).is_file() else None  # a folder with both
        try:
            lpips_path = find_weights(file, self.owner, place, self.local_files_only, "lpips_weights")
        except MetricUnavailable as error:
            raise MetricUnavailable(
                f'{error} Or hand over one folder with it and {ART_FILE.name}: weights="FOLDER".'
            ) from error
        self._network = ArtInception(path).to(self.device)
        self._lpips = LPIPS(self.net, lpips_path).to(self.device)

    def _compute(self, predictions, contents, styles, reduction="mean"):
        check_reduction(self.key, reduction, ("mean",))
        self.prepare()
        fid = frechet_distance(*(self._features(self._network, part) for part in (predictions, styles)))
        distances = self._values(self._lpips, predictions, contents)
        return {self.key: (1 + sum(distances) / len(distances)) * (1 + fid)}


METRIC = ArtFID
