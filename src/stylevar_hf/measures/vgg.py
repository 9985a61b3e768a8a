# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""VGG-19 (arXiv 1409.1556), and what is made of its features: losses of style and content, CFSD, a distance."""

import os
import pickle
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from .._common.errors import invalid
from .base import Measure, check_min_side
from .weights import WeightFile, load_weights


VGG19_FILE = WeightFile("vgg19-dcbb9e9d.pth")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS = (2, 2, 4, 4, 4)  # convolutions in each, a pooling between two
MIN_SIDE = 16  # pixels, for all that is compared: four poolings leave one
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYERS = ("conv4_2",)
STRUCTURE_LAYERS = ("relu3_1",)
MAX_ENTRIES = 2**23  # of a similarity matrix of CFSD at a time: half of one at 256 x 256

# The index of each convolution among the `features` of torchvision, whose ReLUs and poolings are counted, too.
TORCHVISION_INDICES = {
    f"conv{block}_{place}": sum(2 * count + 1 for count in BLOCKS[: block - 1]) + 2 * (place - 1)
    for block, count in enumerate(BLOCKS, 1)
    for place in range(1, count + 1)
}

_LAYOUTS = "(tensors `conv1_1.weight` ... or torchvision's `features.0.weight` ...)"


class VGG19Features(nn.Module):
    """
    Outputs of layers of a VGG-19, frozen.

    Two layouts of weights are read: torchvision's (`features.N.weight`; ImageNet's normalisation, padding by zeros),
    and one with tensors `convB_I.weight` (block `B`, convolution `I`) and `conv0`, a 1x1 convolution that normalises,
    which pads by reflection. The widths are those of the file.

    Args:
        path (`str` or `os.PathLike`):
            A `.safetensors` file, or a `.pth` file of torchvision; what lies beyond the last layer is not used.
        layers (sequence of `str`, *optional*):
            In order: `"conv4_2"` is what the second convolution of the fourth block gives, `"relu4_2"` that after its
            ReLU. Defaults to `"relu1_1"`, `"relu2_1"` and so on as far as the file goes.
        option (`str`, *optional*, defaults to `"weights"`):
            What errors call the path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold such a network.
    """

    def __init__(self, path: str | os.PathLike, layers: Sequence[str] | None = None, option: str = "weights"):
        super().__init__()
        weights = _read_weights(path, option)
        least = 1
        if layers is None:
            least = 2  # one block alone could be of any network
            layers = [f"relu{block}_1" for block in range(1, len(BLOCKS) + 1) if f"conv{block}_1.weight" in weights]
        self.layers = tuple(layers)
        self.mirrors = "conv0.weight" in weights
        if not self.mirrors:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            weights |= {"conv0.weight": torch.diag(1 / std)[..., None, None], "conv0.bias": -mean / std}
        self.normalise = _convolution(weights, "conv0", "zeros")
        self.convolutions = nn.ModuleDict()
        last = self.layers[-1].replace("relu", "conv") if self.layers else ""
        names = [name for name in TORCHVISION_INDICES if f"{name}.weight" in weights]
        if last not in names or len(self.layers) < least or not _fits(weights, names):
            found = f"{os.fspath(path)} with other tensors"
            raise invalid(option, f"a VGG-19 {_LAYOUTS}", found, "Give the weights of a VGG-19.")
        for name in names[: names.index(last) + 1]:
            self.convolutions[name] = _convolution(weights, name, "reflect" if self.mirrors else "zeros")
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor, layers: Sequence[str] | None = None) -> list[torch.Tensor]:
        """Images `(B, 3, H, W)` in [0, 1] to one `(B, C, h, w)` per layer: those of the network, or these of them."""
        layers = self.layers if layers is None else layers
        check_min_side(images, 2 ** (int(max(layers, key=_place)[4]) - 1), "these layers of VGG-19")
        hidden, outputs = self.normalise(images), {}
        for name, convolution in self.convolutions.items():
            if all(layer in outputs for layer in layers):
                break
            place = name.removeprefix("conv")
            if place != "1_1" and place.endswith("_1"):
                hidden = F.max_pool2d(hidden, 2, ceil_mode=self.mirrors)
            outputs[f"conv{place}"] = convolution(hidden)
            outputs[f"relu{place}"] = hidden = F.relu(outputs[f"conv{place}"])
        return [outputs[layer] for layer in layers]


def _place(layer: str) -> str:
    """Of `"relu4_1"` its `"4_1"`, by which layers are in order."""
    return layer[4:]


def _read_weights(path: str | os.PathLike, option: str) -> dict[str, torch.Tensor]:
    """The tensors by the names `convB_I.weight` and `convB_I.bias`."""
    path = os.path.expanduser(os.fspath(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`{option}` must be a file, but {path} does not exist. Give a VGG-19 as .safetensors or torchvision's "
            f"{VGG19_FILE.name}."
        )
    try:
        if path.endswith(".safetensors"):
            weights = load_file(path)
        else:
            weights = load_weights(path)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        unread = f"{path}, which cannot be read ({error})"
        raise invalid(option, f"a VGG-19 {_LAYOUTS}", unread, "Check the file.") from error
    names = {f"features.{index}": name for name, index in TORCHVISION_INDICES.items()}
    found = {}
    for key, value in weights.items():
        name, _, kind = key.rpartition(".")
        name = names.get(name, name)
        if (name == "conv0" or name in TORCHVISION_INDICES) and kind in ("weight", "bias"):
            found[f"{name}.{kind}"] = value
    return found


def _fits(weights: dict[str, torch.Tensor], names: Sequence[str]) -> bool:
    """Whether each convolution takes what the one before gives."""
    channels = 3
    for name in names:
        weight = weights[f"{name}.weight"]
        if weight.ndim != 4 or weight.shape[1] != channels or f"{name}.bias" not in weights:
            return False
        channels = weight.shape[0]
    return True


def _convolution(weights: dict[str, torch.Tensor], name: str, padding_mode: str) -> nn.Conv2d:
    weight = weights[f"{name}.weight"].float()
    outputs, inputs, side, _ = weight.shape
    with torch.device("meta"):
        layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode=padding_mode)
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"].float()}, assign=True)
    return layer


class FeatureDistance(Measure):
    """
    The relative distance of the features of one or more VGG-19: `mean_l mean|f_l(x) - f_l(y)| / mean|f_l(y)|`. 0 or
    more, 0 for equal pictures; gradients go to the first pictures only.

    Args:
        paths (sequence of `str` or `os.PathLike`): Files of weights, see [`VGG19Features`].
        option (`str`, *optional*, defaults to `"weights"`): What errors call them.
    """

    def __init__(self, paths: Sequence[str | os.PathLike], option: str = "weights"):
        super().__init__()
        self.networks = nn.ModuleList(VGG19Features(path, option=option) for path in paths)

    def describe(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [features for network in self.networks for features in network(images)]

    def compare(self, descriptions: list[torch.Tensor], references: list[torch.Tensor]) -> torch.Tensor:
        terms = []
        for found, wanted in zip(descriptions, references, strict=True):
            scale = wanted.abs().mean(dim=(1, 2, 3)).clamp_min(1e-6)
            terms.append((found - wanted).abs().mean(dim=(1, 2, 3)) / scale)
        return torch.stack(terms).mean(dim=0)

    def forward(self, images: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = self.describe(references)
        return self.compare(self.describe(images), wanted)


class FeatureSpreadDistance(FeatureDistance):
    r"""
    Whether textures are as rough as those of the reference, wherever their strokes lie: the relative distance of the
    standard deviations of VGG-19's features within windows of 8x8 positions,

    $$ \mathrm{mean}_l \frac{\mathrm{mean} |\sigma_l(x) - \sigma_l(y)|}{\mathrm{mean}\, \sigma_l(y)}. $$

    A blurred picture has too small ones, which [`FeatureDistance`] forgives. 0 or more; arguments as there.
    """

    def compare(self, descriptions: list[torch.Tensor], references: list[torch.Tensor]) -> torch.Tensor:
        return super().compare(*([_spread(part) for part in parts] for parts in (descriptions, references)))


def _spread(features: torch.Tensor, window: int = 8) -> torch.Tensor:
    """Standard deviations of `(B, C, h, w)` within windows: `(B, C, h / window, w / window)`, at least one each."""
    window = min(window, *features.shape[-2:])
    mean, square = (F.avg_pool2d(values, window) for values in (features.float(), features.float().square()))
    return (square - mean.square()).clamp_min(1e-8).sqrt()


class _VGGMeasure(Measure):
    """
    Args:
        path (`str` or `os.PathLike`): torchvision's weights of VGG-19.
    """

    layers: tuple[str, ...] | None

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.network = VGG19Features(path, self.layers)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        check_min_side(images, MIN_SIDE, "VGG-19")
        return self.network(images)


class UnitFeatureDistance(_VGGMeasure):
    r"""
    A perceptual distance without learned weights: LPIPS (arXiv 1801.03924, eq. 1) with all of them 1,

    $$ \sum_l \frac{1}{h_l w_l} \sum_{i} |\hat F_{l,i}(x) - \hat F_{l,i}(y)|^2, $$

    with F the features of VGG-19 after `relu1_1`, `relu2_1` and so on as far as the file goes, and each place i scaled
    to unit length. 0 or more, at most 4 per layer.
    """

    layers = None

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        features = self.features(images)
        return torch.cat([(F.normalize(f, dim=1) / (f.shape[2] * f.shape[3]) ** 0.5).flatten(1) for f in features], 1)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).square().sum(1)


class FeatureStatisticsDistance(_VGGMeasure):
    r"""
    Distance of palette and texture, wherever they lie: with m the means and standard deviations over places of each
    channel, which AdaIN transfers (arXiv 1703.06868),

    $$ \mathrm{mean}_l \frac{\sum |m_l(x) - m_l(y)|}{\sum |m_l(y)|}, $$

    of VGG-19's features after `relu1_1`, `relu2_1` and so on as far as the file goes. 0 or more. Sizes may differ.
    """

    layers = None

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        features = self.features(images)
        return torch.cat([part for f in features for part in (f.mean((2, 3)), f.std((2, 3)))], dim=1)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        widths = [
            2 * self.network.convolutions[name.replace("relu", "conv")].out_channels for name in self.network.layers
        ]
        pairs = zip(descriptions.split(widths, 1), references.split(widths, 1), strict=True)
        terms = [(a - b).abs().sum(1) / b.abs().sum(1).clamp_min(1e-6) for a, b in pairs]
        return torch.stack(terms).mean(dim=0)


class StyleLoss(_VGGMeasure):
    r"""
    The style loss (Gatys et al. 2015, arXiv 1508.06576), as the published evaluation defines it,

    $$ \sum_l \mathrm{mean} (G_l(x) - G_l(y))^2, \quad G_l = F_l F_l^T / (c_l h_l w_l) $$

    with F the outputs of VGG-19's convolutions at torchvision's indices 0, 5, 10, 19 and 28 before ReLU, of pictures
    in ImageNet's normalisation. Sizes may differ.
    """

    layers = STYLE_LAYERS

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        # A mean over c x c entries is a sum of squares of the entries over c: one vector holds all layers.
        return torch.cat([(gram_matrix(part) / part.shape[1]).flatten(1) for part in self.features(images)], dim=1)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).square().sum(1)


class ContentLoss(_VGGMeasure):
    """
    The content loss (Gatys et al. 2015, arXiv 1508.06576): the mean squared difference of the outputs of VGG-19's
    convolution at torchvision's index 21 before ReLU, of pictures in ImageNet's normalisation.
    """

    layers = CONTENT_LAYERS

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)[0]

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return (descriptions - references).square().flatten(1).mean(1)


class StructuralDistance(_VGGMeasure):
    r"""
    CFSD, content feature structural distance (arXiv 2312.09008): is each patch as like every other patch as it is in
    the reference? With F the features of VGG-19 after the ReLU at torchvision's index 11, as rows of places divided by
    their number of channels,

    $$ \sum_i \mathrm{KL}(S_i(y) \| S_i(x)), \quad S = \mathrm{softmax}(F F^T). $$

    0 or more, 0 for equal pictures; not symmetric.
    """

    layers = STRUCTURE_LAYERS

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        # In float64: rows of the softmax are almost flat, and in float32 their differences drown in rounding.
        features = self.features(images)[0].flatten(2).mT
        features = (features.cpu() if features.device.type == "mps" else features).double()  # MPS has none
        return features / features.shape[2]

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        return structural_distance(descriptions, references)


def structural_distance(places: torch.Tensor, reference_places: torch.Tensor) -> torch.Tensor:
    """Two batches `(B, N, C)` of features at N places to `(B,)`: the summed divergence of the similarity rows."""
    rows = max(1, MAX_ENTRIES // (len(places) * places.shape[1]))
    total = 0
    for start in range(0, places.shape[1], rows):
        found, wanted = (
            (part[:, start : start + rows] @ part.mT).log_softmax(-1) for part in (places, reference_places)
        )
        total = total + (wanted.exp() * (wanted - found)).sum((1, 2))
    return total.clamp(min=0)


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    """Features `(B, C, H, W)` to their products over places, divided by C H W: `(B, C, C)`."""
    flat = features.flatten(2)
    return flat @ flat.mT / (flat.shape[1] * flat.shape[2])


__all__ = [
    "VGG19_FILE",
    "ContentLoss",
    "FeatureDistance",
    "FeatureSpreadDistance",
    "FeatureStatisticsDistance",
    "StructuralDistance",
    "StyleLoss",
    "UnitFeatureDistance",
    "VGG19Features",
]
