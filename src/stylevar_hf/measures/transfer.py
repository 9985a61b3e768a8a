# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
r"""
What a person asks of a style transfer: is it this photograph, is it this painting, how far did it get, is it sharp?

| measure | asks | the content itself | the style itself |
|---|---|---|---|
| content retrieval, [`content_similarities`] | is the right content found among N from the output? | 1 | 1/N |
| style retrieval, [`style_similarities`] | is the right style found among N? | about 1/N | 1 |
| [`style_distance_covered`] | which share of the way from the content to the style was covered? | 0 | 1 |
| [`sharpness`] | how much fine detail is there, relative to the contents'? | 1 | any |

Images are `(B, 3, H, W)` in [0, 1]. Features are those of VGG-19 after ReLU, see [`TransferFeatures`].
"""

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .._common.errors import invalid
from .vgg import VGG19Features, gram_matrix


CONTENT_LAYER = "relu4_1"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
NUM_CANDIDATES = 24
LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)
# To what luminance is normalised before the network: about that of photographs.
LUMINANCE_MEAN, LUMINANCE_STD = 0.45, 0.25
EPSILON = 1e-5


class TransferFeatures(nn.Module):
    """
    Features of VGG-19 after ReLU, each layer's from the widest of the networks given that has it: relu1_1 to relu3_1
    for the style, relu4_1 for the content.

    Args:
        paths (`str`, `os.PathLike` or a sequence of them):
            Files of weights, see [`VGG19Features`]: torchvision's `vgg19-dcbb9e9d.pth` alone, or several that reach
            relu4_1 together.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it does not hold a VGG-19, or none of them reaches relu4_1.
    """

    def __init__(self, paths: str | os.PathLike | Sequence[str | os.PathLike]):
        super().__init__()
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        self.networks = nn.ModuleList(VGG19Features(path) for path in paths)
        if not any(CONTENT_LAYER in network.layers for network in self.networks):
            found = ", ".join(map(str, paths)) or "none"
            raise invalid("weights", f"files that reach {CONTENT_LAYER}", found, "Add a file of VGG-19 that does.")
        self.requires_grad_(False).eval()

    def forward(self, images: torch.Tensor, layers: Sequence[str]) -> list[torch.Tensor]:
        """Images `(B, 3, H, W)` in [0, 1] to one `(B, C, h, w)` per layer, such as `"relu1_1"`."""
        best = [max(self.networks, key=lambda network: _width(network, layer)) for layer in layers]
        outputs = {}
        for network in dict.fromkeys(best):
            own = [layer for layer, one in zip(layers, best, strict=True) if one is network]
            outputs |= dict(zip(own, network(images, own), strict=True))
        return [outputs[layer] for layer in layers]


def _width(network: VGG19Features, layer: str) -> int:
    return network.convolutions[layer.replace("relu", "conv")].out_channels if layer in network.layers else 0


def luminance(images: torch.Tensor) -> torch.Tensor:
    r"""
    $$ Y = 0.299 R + 0.587 G + 0.114 B $$

    (ITU-R BT.601, on the encoded values), `(B, 1, H, W)`.
    """
    weights = torch.tensor(LUMINANCE_WEIGHTS, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def style_features(network: TransferFeatures, images: torch.Tensor) -> list[torch.Tensor]:
    """relu1_1, relu2_1 and relu3_1 of images `(B, 3, H, W)` in [0, 1], each `(B, C, h, w)`."""
    return network(images, STYLE_LAYERS)


def content_descriptors(network: TransferFeatures, images: torch.Tensor) -> torch.Tensor:
    r"""
    Structure without style: relu4_1 of the luminance. Mean and standard deviation, which carry the style, are
    normalised away twice: of the luminance over the picture, and of each channel of the features over places

    $$ Y' = 0.45 + 0.25 \frac{Y - \mu_Y}{\sigma_Y}, \quad f_c = \frac{F_c(Y') - \mu_c}{\sigma_c + 10^{-5}} $$

    (instance normalisation, as in AdaIN, arXiv 1703.06868), then scaled to length 1 as a whole.

    Args:
        network ([`TransferFeatures`]):
            The features.
        images (`torch.Tensor` of shape `(B, 3, H, W)`):
            In [0, 1].

    Returns:
        `torch.Tensor` of shape `(B, C * h * w)`: products of two are cosine similarities.
    """
    tone = luminance(images)
    mean, std = tone.mean((2, 3), keepdim=True), tone.std((2, 3), keepdim=True)
    tone = LUMINANCE_MEAN + LUMINANCE_STD * (tone - mean) / (std + EPSILON)
    (features,) = network(tone.expand(-1, 3, -1, -1), [CONTENT_LAYER])
    mean, std = features.mean((2, 3), keepdim=True), features.std((2, 3), keepdim=True)
    return F.normalize(((features - mean) / (std + EPSILON)).flatten(1), dim=1)


def style_descriptors(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """
    Palette and texture wherever they are: mean and standard deviation over places of each channel (the statistics that
    AdaIN transfers).

    Args:
        features (`Sequence[torch.Tensor]` of shapes `(B, C, h, w)`):
            relu1_1, relu2_1 and relu3_1, from [`style_features`].

    Returns:
        `torch.Tensor` of shape `(B, 2 * C)`, C the channels of the layers together; 896 for the true VGG-19.
    """
    return torch.cat([part for one in features for part in (one.mean((2, 3)), one.std((2, 3)))], dim=1)


def content_similarities(outputs: torch.Tensor, contents: torch.Tensor) -> torch.Tensor:
    """Cosine similarities `(n, m)` of descriptors `(n, D)` and `(m, D)` from [`content_descriptors`]."""
    return outputs @ contents.T


def style_similarities(outputs: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    r"""
    Minus the Euclidean distances `(n, m)` of descriptors `(n, D)` and `(m, D)` from [`style_descriptors`], each
    dimension divided by its standard deviation over the m styles: $-|(o - s) / \sigma|$.
    """
    scale = styles.std(0) + EPSILON
    return -torch.cdist(outputs / scale, styles / scale)


def retrieval_probability(
    similarities: torch.Tensor,
    right: Sequence[int],
    groups: Sequence[str],
    num_candidates: int = NUM_CANDIDATES,
) -> list[float]:
    r"""
    How probable it is that the right reference is the most similar one to an output, among itself and `N - 1` others
    that are drawn at random: with k of M others being more similar

    $$ P = \binom{M - k}{N - 1} / \binom{M}{N - 1}. $$

    Exact, so that no draw adds noise; the mean over pairs is the rate that repeated draws would give. Equal
    similarities count as more similar.

    Args:
        similarities (`torch.Tensor` of shape `(n, m)`):
            Of n outputs to m references.
        right (`Sequence[int]`):
            For each output the index of its reference.
        groups (`Sequence[str]`):
            For each reference the picture that it is of. References of the right one's group are no others, and of
            each other group its first alone.
        num_candidates (`int`, *optional*, defaults to 24):
            N; all there are if there are fewer.

    Returns:
        `list[float]`: In [0, 1], one per output; NaN without any other.
    """
    firsts: dict[str, int] = {}
    for index, group in enumerate(groups):
        firsts.setdefault(group, index)
    probabilities = []
    for row, own in zip(similarities.tolist(), right, strict=True):
        others = [row[index] for group, index in firsts.items() if group != groups[own]]
        better = sum(value >= row[own] for value in others)
        drawn = min(num_candidates - 1, len(others))
        if not others:
            probabilities.append(float("nan"))
            continue
        probability = 1.0
        for step in range(drawn):  # the product of the chances that each draw is not a better one
            probability *= max(len(others) - better - step, 0) / (len(others) - step)
        probabilities.append(probability)
    return probabilities


def gram_matrices(features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """[`gram_matrix`] of each layer, `(B, C, h, w)` to `(B, C, C)`, from [`style_features`]."""
    return [gram_matrix(one) for one in features]


def style_distances(grams: Sequence[torch.Tensor], styles: Sequence[torch.Tensor]) -> torch.Tensor:
    r"""
    Distance of Gram matrices (arXiv 1508.06576), relative to the style's,

    $$ d(x, s) = \frac{1}{3} \sum_{l = 1}^{3} \frac{|G_l(x) - G_l(s)|}{|G_l(s)|} $$

    with Frobenius norms, over relu1_1, relu2_1 and relu3_1.

    Args:
        grams, styles (`Sequence[torch.Tensor]`): From [`gram_matrices`], of images and of styles.

    Returns:
        `torch.Tensor` of shape `(B,)`: 0 or more.
    """
    distances = [
        (one - style).flatten(1).norm(dim=1) / (style.flatten(1).norm(dim=1).clamp_min(1e-12))
        for one, style in zip(grams, styles, strict=True)
    ]
    return torch.stack(distances).mean(0)


def style_distance_covered(
    outputs: Sequence[torch.Tensor], contents: Sequence[torch.Tensor], styles: Sequence[torch.Tensor]
) -> torch.Tensor:
    r"""
    Which share of the way from content to style an output covered,

    $$ 1 - d(o, s) / d(c, s) $$

    with [`style_distances`] d.

    Args:
        outputs, contents, styles (`Sequence[torch.Tensor]`): From [`gram_matrices`].

    Returns:
        `torch.Tensor` of shape `(B,)`: 0 for the content itself, 1 for the style, below 0 where the output is further
        from the style than the content is.
    """
    return 1 - style_distances(outputs, styles) / (style_distances(contents, styles) + EPSILON)


def detail(images: torch.Tensor) -> torch.Tensor:
    """Mean absolute Laplacian of the luminance (centre -4, the four neighbours 1; no border), `(B,)`."""
    tone = luminance(images)
    inner = tone[..., 1:-1, 1:-1]
    neighbours = tone[..., :-2, 1:-1] + tone[..., 2:, 1:-1] + tone[..., 1:-1, :-2] + tone[..., 1:-1, 2:]
    return (neighbours - 4 * inner).abs().mean((1, 2, 3))


def sharpness(outputs: torch.Tensor, contents: torch.Tensor) -> torch.Tensor:
    r"""
    [`detail`] of each output, relative to the mean of the contents',

    $$ D(o_i) / \frac{1}{n} \sum_j D(c_j), $$

    so that the mean over outputs is a ratio of means: quotients of single pictures would be ruled by blurred contents.

    Args:
        outputs (`torch.Tensor` of shape `(m, 3, H, W)`), contents (`torch.Tensor` of shape `(n, 3, H, W)`):
            In [0, 1].

    Returns:
        `torch.Tensor` of shape `(m,)`: of the contents themselves 1 on average.
    """
    return relative_detail(detail(outputs), detail(contents))


def relative_detail(outputs: torch.Tensor, contents: torch.Tensor) -> torch.Tensor:
    """[`sharpness`] from [`detail`]s."""
    return outputs / contents.mean().clamp_min(EPSILON)


__all__ = [
    "NUM_CANDIDATES",
    "TransferFeatures",
    "content_descriptors",
    "content_similarities",
    "detail",
    "gram_matrices",
    "luminance",
    "relative_detail",
    "retrieval_probability",
    "sharpness",
    "style_descriptors",
    "style_distance_covered",
    "style_distances",
    "style_features",
    "style_similarities",
]
