# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The features of VGG-19 (arXiv 1409.1556) from any file of its weights."""

import os
import re

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn


NUM_BLOCKS = 5
# Index of each convolution among the `features` of torchvision's VGG-19, and its name by block.
_TORCHVISION_LAYERS = dict(
    zip(
        (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28),
        "1_1 1_2 2_1 2_2 3_1 3_2 3_3 3_4 4_1 4_2 4_3 4_4 5_1".split(),
        strict=True,
    )
)


class VGGFeatures(nn.Module):
    """
    The convolutions of a VGG-19 up to its last `reluN_1`, from a file of weights, frozen.

    Two layouts are read: tensors named `convB_I.weight` (block `B`, convolution `I`, and `conv0`, a 1x1 convolution
    that normalises RGB in [0, 1]; such networks pad by reflection), and torchvision's `features.N.weight` (ImageNet
    normalisation, zero padding). The widths are those of the file.

    Args:
        path (`str` or `os.PathLike`):
            A `.safetensors` file, or a `.pth` file of torchvision.
        argument (`str`, *optional*, defaults to `"weights"`):
            What error messages call the path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold such a network.
    """

    def __init__(self, path: str | os.PathLike, argument: str = "weights"):
        super().__init__()
        weights = _read_vgg(path, argument)
        self.padding_mode = "reflect" if "conv0.weight" in weights else "zeros"
        if "conv0.weight" not in weights:
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            weights |= {"conv0.weight": torch.diag(1 / std)[..., None, None], "conv0.bias": -mean / std}
        self.normalise = _convolution(weights, "conv0", "zeros")
        self.blocks = nn.ModuleList()
        for block in range(1, NUM_BLOCKS + 1):
            names = [f"conv{block}_{index}" for index in range(1, 5) if f"conv{block}_{index}.weight" in weights]
            if not names:
                break
            self.blocks.append(nn.ModuleList(_convolution(weights, name, self.padding_mode) for name in names))
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor, depth: int | None = None) -> list[torch.Tensor]:
        """Images `(B, 3, H, W)` in [0, 1] to the features after `relu1_1`, `relu2_1`, ..., up to block `depth`."""
        hidden_states, features = self.normalise(images), []
        for index, block in enumerate(self.blocks):
            if index > 0:
                hidden_states = F.max_pool2d(hidden_states, kernel_size=2, ceil_mode=True)
            for place, convolution in enumerate(block):
                hidden_states = F.relu(convolution(hidden_states))
                if place == 0:
                    features.append(hidden_states)
                    if index + 1 == min(depth or NUM_BLOCKS, len(self.blocks)):
                        return features
        return features


def _convolution(weights: dict[str, torch.Tensor], name: str, padding_mode: str) -> nn.Conv2d:
    weight = weights[f"{name}.weight"]
    outputs, inputs, side, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode=padding_mode)
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return layer


def _read_vgg(path: str | os.PathLike, argument: str) -> dict[str, torch.Tensor]:
    """The tensors of a VGG-19 by the names `convB_I.weight` and `convB_I.bias`."""
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`{argument}` must be a file, but {path} does not exist. Give a VGG-19 as .safetensors or torchvision's "
            "vgg19-dcbb9e9d.pth."
        )
    rule = "a VGG-19 (tensors `conv1_1.weight` ... or torchvision's `features.0.weight` ...)"
    try:
        if path.endswith(".safetensors"):
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"`{argument}` must be {rule}, but got {path}, which cannot be read ({error}). Check the file."
        ) from error
    names = {f"features.{index}": f"conv{name}" for index, name in _TORCHVISION_LAYERS.items()}
    found = {}
    for key, value in weights.items():
        name, _, kind = key.rpartition(".")
        name = names.get(name, name)
        if re.fullmatch(r"conv0|conv[1-5]_[1-4]", name) and kind in ("weight", "bias"):
            found[f"{name}.{kind}"] = value.float()
    channels = 3
    for block in range(1, NUM_BLOCKS + 1):
        for index in range(1, 5):
            weight = found.get(f"conv{block}_{index}.weight")
            if weight is not None:
                fits = weight.ndim == 4 and weight.shape[1] == channels and f"conv{block}_{index}.bias" in found
                channels = weight.shape[0] if fits else -1
    if "conv2_1.weight" not in found or channels < 0:
        raise ValueError(
            f"`{argument}` must be {rule}, but got {path} with other tensors. Give the weights of a VGG-19."
        )
    return found


__all__ = ["VGGFeatures"]
