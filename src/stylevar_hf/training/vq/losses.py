# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The optional terms of tokenizer training: a perceptual distance and a patch discriminator."""

import importlib.util
import os
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..._common.errors import invalid


# What torchvision calls the weights that LPIPS builds on, in `torch.hub.get_dir()/checkpoints`.
PERCEPTUAL_WEIGHT_FILES = {
    "vgg": "vgg16-397923af.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def load_perceptual_loss(network: str = "vgg", weights: Sequence[str | os.PathLike] | None = None) -> nn.Module:
    """
    A perceptual distance, frozen: LPIPS (arXiv 1801.03924) of the `lpips` package, or [`PerceptualDistance`]. Nothing
    is downloaded.

    Args:
        network (`str`, *optional*, defaults to `"vgg"`):
            The backbone of LPIPS: `"vgg"`, `"alex"` or `"squeeze"`.
        weights (sequence of `str` or `os.PathLike`, *optional*):
            Files of VGG-19 weights, instead of LPIPS.

    Returns:
        `nn.Module`: takes two batches of images `(B, 3, H, W)` in [-1, 1], gives distances `(B, 1, 1, 1)`.

    Raises:
        ImportError: If `lpips` is not installed.
        FileNotFoundError: If the weights of its backbone are not on this machine.
    """
    if weights:
        return PerceptualDistance(weights)
    if importlib.util.find_spec("lpips") is None:
        raise ImportError(
            "`perceptual_weight` must be 0 without the `lpips` package, which is not installed. "
            "Run `pip install 'stylevar-hf[eval]'`, or set `perceptual_weight=0`."
        )
    path = os.path.join(torch.hub.get_dir(), "checkpoints", PERCEPTUAL_WEIGHT_FILES[network])
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`perceptual_weight` must be 0 without the backbone of LPIPS, but {path} does not exist. Download "
            f"https://download.pytorch.org/models/{os.path.basename(path)} and put it there (`TORCH_HOME` moves the "
            "folder), or set `perceptual_weight=0`."
        )
    import lpips

    return lpips.LPIPS(net=network, verbose=False).requires_grad_(False).eval()


class VGGFeatures(nn.Module):
    """
    The convolutions of a VGG-19 up to its last `reluN_1`, from a file of weights, frozen.

    Two layouts are read: tensors named `convB_I.weight` (block `B`, convolution `I`, and `conv0`, a 1x1 convolution
    that normalises RGB in [0, 1]; such networks pad by reflection), and torchvision's `features.N.weight` (ImageNet
    normalisation, zero padding). The widths are those of the file.

    Args:
        path (`str` or `os.PathLike`):
            A `.safetensors` file, or a `.pth` file of torchvision.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold such a network.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        weights = _read_vgg(path)
        reflect = "conv0.weight" in weights
        self.padding_mode = "reflect" if reflect else "zeros"
        if reflect:
            self.normalise = _convolution(weights, "conv0", "zeros")
        else:
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            imagenet = {"conv0.weight": torch.diag(1 / std)[..., None, None], "conv0.bias": -mean / std}
            self.normalise = _convolution(imagenet, "conv0")
        self.blocks = nn.ModuleList()
        for block in range(1, 6):
            names = [f"conv{block}_{index}" for index in range(1, 5) if f"conv{block}_{index}.weight" in weights]
            if not names:
                break
            self.blocks.append(nn.ModuleList(_convolution(weights, name, self.padding_mode) for name in names))
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images `(B, 3, H, W)` in [0, 1] to the features after `relu1_1`, `relu2_1` and so on."""
        hidden_states, features = self.normalise(images), []
        for index, block in enumerate(self.blocks):
            if index > 0:
                hidden_states = F.max_pool2d(hidden_states, kernel_size=2, ceil_mode=True)
            for place, convolution in enumerate(block):
                hidden_states = F.relu(convolution(hidden_states))
                if place == 0:
                    features.append(hidden_states)
                    if index == len(self.blocks) - 1:
                        return features
        return features


def _convolution(weights: dict[str, torch.Tensor], name: str, padding_mode: str = "zeros") -> nn.Conv2d:
    weight = weights[f"{name}.weight"]
    outputs, inputs, side, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode=padding_mode)
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return layer


# Index of each convolution among the `features` of torchvision's VGG-19, and its name by block.
_TORCHVISION_LAYERS = dict(
    zip(
        (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28),
        "1_1 1_2 2_1 2_2 3_1 3_2 3_3 3_4 4_1 4_2 4_3 4_4 5_1".split(),
        strict=True,
    )
)


def _read_vgg(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The tensors of a VGG-19 by the names `convB_I.weight` and `convB_I.bias`."""
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`perceptual_weights` must be a file, but {path} does not exist. Give a VGG-19 as .safetensors or "
            "torchvision's vgg19-dcbb9e9d.pth."
        )
    rule = "a VGG-19 (tensors `conv1_1.weight` ... or torchvision's `features.0.weight` ...)"
    try:
        if path.endswith(".safetensors"):
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        unread = f"{path}, which cannot be read ({error})"
        raise invalid("perceptual_weights", rule, unread, "Check the file.") from error
    names = {f"features.{index}": f"conv{name}" for index, name in _TORCHVISION_LAYERS.items()}
    found = {}
    for key, value in weights.items():
        name, _, kind = key.rpartition(".")
        name = names.get(name, name)
        if re.fullmatch(r"conv0|conv[1-5]_[1-4]", name) and kind in ("weight", "bias"):
            found[f"{name}.{kind}"] = value.float()
    channels = 3
    for block in range(1, 6):
        for index in range(1, 5):
            weight = found.get(f"conv{block}_{index}.weight")
            if weight is not None:
                fits = weight.ndim == 4 and weight.shape[1] == channels and f"conv{block}_{index}.bias" in found
                channels = weight.shape[0] if fits else -1
    if "conv2_1.weight" not in found or channels < 0:
        raise invalid("perceptual_weights", rule, f"{path} with other tensors", "Give the weights of a VGG-19.")
    return found


class PerceptualDistance(nn.Module):
    """
    Relative distance of the features of one or more VGG-19: `mean_l mean|f_l(x) - f_l(y)| / mean|f_l(y)|`.

    Args:
        paths (sequence of `str`):
            Files of weights, see [`VGGFeatures`].
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        super().__init__()
        self.networks = nn.ModuleList(VGGFeatures(path) for path in paths)

    def forward(self, images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        """Two batches of images `(B, 3, H, W)` in [-1, 1] to distances `(B, 1, 1, 1)`."""
        first, second = images / 2 + 0.5, references / 2 + 0.5
        terms = []
        for network in self.networks:
            with torch.no_grad():
                wanted = network(second)
            for found, reference in zip(network(first), wanted, strict=True):
                scale = reference.abs().mean(dim=(1, 2, 3)).clamp_min(1e-6)
                terms.append((found - reference).abs().mean(dim=(1, 2, 3)) / scale)
        return torch.stack(terms).mean(dim=0)[:, None, None, None]


class PatchDiscriminator(nn.Module):
    """
    Tells real patches from decoded ones: strided 4x4 convolutions, one logit per patch (arXiv 1611.07004).

    GroupNorm takes BatchNorm's place, so that one image's logits do not depend on the others.

    Args:
        num_channels (`int`, *optional*, defaults to 3):
            Channels of the images.
        base_channels (`int`, *optional*, defaults to 32):
            Channels after the first layer; a multiple of 8.
        image_size (`int`, *optional*, defaults to 64):
            Width and height of the images, at least 8. From 32 on the resolution is halved three times, below that
            less often.

    Raises:
        ValueError: If the images are too small for one patch.
    """

    def __init__(self, num_channels: int = 3, base_channels: int = 32, image_size: int = 64):
        super().__init__()
        if image_size < 8:
            raise ValueError(
                f"`image_size` must be at least 8 for a patch discriminator, but got {image_size}. Set "
                "`adversarial_weight=0` for such small images."
            )
        num_layers = min(3, image_size.bit_length() - 3)  # two 4x4 convolutions follow, which need 3x3 positions
        layers = [nn.Conv2d(num_channels, base_channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        channels = base_channels
        for level in range(1, num_layers + 1):
            wider = base_channels * min(2**level, 8)
            stride = 2 if level < num_layers else 1
            layers += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(8, wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, padding=1))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(B, num_channels, H, W)` in [-1, 1] to logits `(B, 1, h, w)`, high for real patches."""
        return self.layers(pixel_values).float()


def discriminator_hinge_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """`(mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2`, a scalar (arXiv 1705.02894)."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def generator_hinge_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """`-mean fake`, a scalar (arXiv 1705.02894)."""
    return -fake_logits.mean()


def adaptive_weight(loss: torch.Tensor, generator_loss: torch.Tensor, last_layer: torch.Tensor) -> torch.Tensor:
    """
    The weight that makes the adversarial gradient at the decoder's last layer as long as that of the other terms:
    `|dL/dw| / (|dL_G/dw| + 1e-4)`, at most 1e4 (arXiv 2012.09841, eq. 7), a scalar without gradient.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Reconstruction and perceptual terms.
        generator_loss (`torch.FloatTensor` of shape `()`):
            The adversarial term.
        last_layer (`torch.nn.Parameter`):
            The weight of the decoder's last layer.
    """
    (wanted,) = torch.autograd.grad(loss, last_layer, retain_graph=True)
    (adversarial,) = torch.autograd.grad(generator_loss, last_layer, retain_graph=True)
    return (wanted.norm() / (adversarial.norm() + 1e-4)).clamp(max=1e4).detach()


__all__ = [
    "PERCEPTUAL_WEIGHT_FILES",
    "PatchDiscriminator",
    "PerceptualDistance",
    "VGGFeatures",
    "adaptive_weight",
    "discriminator_hinge_loss",
    "generator_hinge_loss",
    "load_perceptual_loss",
]
