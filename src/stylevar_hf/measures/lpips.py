# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""LPIPS: do two pictures look alike, place by place?"""

import os
import warnings

import torch

from .base import Measure
from .weights import WeightFile, load_weights


# What torchvision calls the weights that LPIPS builds on.
LPIPS_FILES = {
    "vgg": WeightFile("vgg16-397923af.pth"),
    "alex": WeightFile("alexnet-owt-7be5be79.pth"),
    "squeeze": WeightFile("squeezenet1_1-b8a52dc0.pth"),
}


class LPIPS(Measure):
    """
    LPIPS (arXiv 1801.03924) by the authors' package: the weighted squared distance of a network's features. 0 or more,
    0 for equal pictures.

    Args:
        network (`str`): `"vgg"`, `"alex"` or `"squeeze"`.
        path (`str` or `os.PathLike`): torchvision's weights of that network; those of the classifier are not read.

    Raises:
        ModuleNotFoundError: If `lpips` is not installed.
    """

    def __init__(self, network: str, path: str | os.PathLike):
        super().__init__()
        import lpips

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's about how lpips asks for weights
            model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
        weights = load_weights(path)
        # The package has torchvision's layers in slices: `slice2.5.weight` is torchvision's `features.5.weight`.
        names = {key: f"features.{key.partition('.')[2]}" for key in model.net.state_dict()}
        model.net.load_state_dict({key: weights[name] for key, name in names.items()})
        self.model = model
        self.requires_grad_(False).eval()

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return self.model(descriptions, references, normalize=True).flatten()


__all__ = ["LPIPS", "LPIPS_FILES"]
