# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The Fréchet distance between two sets of features, and the networks that give the features of pictures."""

import math
import os

import torch
from torch import nn

from .weights import WeightFile, load_weights


FID_FILE = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
)
ART_FILE = WeightFile(
    "art_inception.pth",
    "https://huggingface.co/matthias-wright/art_inception/resolve/main/art_inception.pth",
    repository="matthias-wright/art_inception",
)
# What a checkpoint of Inception holds beyond the features: classifiers.
HEADS = ("AuxLogits", "fc")


def frechet_distance(features: torch.Tensor, references: torch.Tensor) -> float:
    r"""
    The Fréchet distance between the Gaussians with the means and covariances of two sets,

    $$ |\mu_1 - \mu_2|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}) $$

    (Heusel et al. 2017, arXiv 1706.08500, equation 6), in float64.

    Args:
        features, references (`torch.Tensor` of shape `(N, D)`, `(M, D)`):
            At least two rows each.

    Returns:
        `float`: 0 or more; NaN if a feature is not finite.

    Raises:
        ValueError: If a set has fewer than two rows.
    """
    if min(len(features), len(references)) < 2:
        raise ValueError(
            f"`predictions` must be at least 2 pictures for a Fréchet distance, but got {len(features)}. Add more."
        )
    features, references = features.double(), references.double()
    if not (features.isfinite().all() and references.isfinite().all()):
        return math.nan  # `svdvals` would raise
    difference = features.mean(0) - references.mean(0)
    roots = [_covariance_root(part) for part in (features, references)]
    # With S = A^T A and T = B^T B the trace of the root of S T is the sum of the singular values of A B^T: no root of
    # a D x D matrix, most of whose eigenvalues are rounding when there are fewer pictures than dimensions.
    shared = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    value = difference.square().sum() + sum(root.square().sum() for root in roots) - 2 * shared
    return value.clamp(min=0).item()


def _covariance_root(features: torch.Tensor) -> torch.Tensor:
    """A matrix A of at most D rows, for which A^T A is the covariance (over N - 1) of features `(N, D)`."""
    root = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(root, mode="r").R if len(root) > root.shape[1] else root


class FIDInception(nn.Module):
    """
    The network of FID: TensorFlow's Inception v3 of 2015, as `torch_fidelity` has it, with its resizing to 299 x 299.

    Args:
        path (`str` or `os.PathLike`):
            The package's weights.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        load_weights(path)  # refuses pickled code; the package does not
        self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(B, 3, H, W)` in [0, 1], of whole 8-bit values, to features `(B, 2048)`."""
        return self.network((images * 255).round().to(torch.uint8))[0]


class ArtInception(nn.Module):
    """
    The network of ArtFID (arXiv 2207.12280): torchvision's Inception v3 up to the pooling, trained on paintings. Takes
    pictures as they are, unresized and unnormalised.

    Args:
        path (`str` or `os.PathLike`):
            The authors' weights; those of the classifiers are not read.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        from torchvision.models.inception import Inception3

        with torch.device("meta"):
            network = Inception3(aux_logits=False, transform_input=False, init_weights=False)
        network.fc = nn.Identity()
        weights = load_weights(path)
        weights = {key: value for key, value in weights.items() if not key.startswith(HEADS)}
        network.load_state_dict(weights, assign=True)
        self.network = network
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(B, 3, H, W)` in [0, 1], at least 75 x 75, to features `(B, 2048)`."""
        return self.network(images)


__all__ = ["ART_FILE", "FID_FILE", "ArtInception", "FIDInception", "frechet_distance"]
