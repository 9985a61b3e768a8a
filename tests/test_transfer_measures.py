# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Content and style retrieval, the style distance covered and sharpness."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from stylevar_hf.measures.transfer import (
    TransferFeatures,
    content_descriptors,
    content_similarities,
    gram_matrices,
    luminance,
    retrieval_probability,
    sharpness,
    style_descriptors,
    style_distance_covered,
    style_features,
    style_similarities,
)


CONVOLUTIONS = "1_1 1_2 2_1 2_2 3_1 3_2 3_3 3_4 4_1 4_2 4_3 4_4 5_1".split()


def vgg_weights(last: str, width: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    """A VGG-19 to a convolution, `width` channels in the first block."""
    generator = torch.Generator().manual_seed(seed)
    weights, channels = {}, 3
    for name in CONVOLUTIONS[: CONVOLUTIONS.index(last) + 1]:
        wider = width * 2 ** min(int(name[0]) - 1, 3)
        std = (2 / (9 * channels)) ** 0.5
        weights[f"conv{name}.weight"] = torch.randn(wider, channels, 3, 3, generator=generator) * std
        weights[f"conv{name}.bias"] = torch.rand(wider, generator=generator) * 0.1
        channels = wider
    return weights


def normalised(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**weights, "conv0.weight": torch.eye(3)[..., None, None] * 4, "conv0.bias": torch.full((3,), -2.0)}


def pictures(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth colours with some grain."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    fine = torch.rand(count, 3, side, side, generator=generator)
    return 0.8 * F.interpolate(coarse, size=(side, side), mode="bilinear") + 0.2 * fine


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> TransferFeatures:
    folder = tmp_path_factory.mktemp("vgg")
    save_file(normalised(vgg_weights("4_1")), folder / "vgg19.safetensors")
    return TransferFeatures(folder / "vgg19.safetensors")


class TestTransferFeatures:
    def test_each_layer_is_of_the_widest_network(self, tmp_path):
        save_file(normalised(vgg_weights("3_1", width=8)), tmp_path / "wide.safetensors")
        save_file(normalised(vgg_weights("5_1", width=2)), tmp_path / "deep.safetensors")
        network = TransferFeatures([tmp_path / "deep.safetensors", tmp_path / "wide.safetensors"])
        assert [one.shape[1] for one in network(pictures(1), ("relu1_1", "relu2_1", "relu3_1", "relu4_1"))] == [
            8,
            16,
            32,
            16,
        ]

    def test_files_that_do_not_reach(self, tmp_path):
        save_file(normalised(vgg_weights("3_1")), tmp_path / "short.safetensors")
        with pytest.raises(ValueError, match="`weights` must be files that reach relu4_1, but got .*short"):
            TransferFeatures(tmp_path / "short.safetensors")


class TestDescriptors:
    def test_content_does_not_depend_on_brightness_contrast_and_hue(self, network):
        images = pictures(3)
        tone = luminance(images).expand(-1, 3, -1, -1)
        plain = content_descriptors(network, images)
        for changed in (tone, 0.2 + 0.5 * tone, tone + 0.1 * torch.tensor([1.0, 0.0, -0.299 / 0.114])[:, None, None]):
            similarity = content_similarities(content_descriptors(network, changed), plain)
            assert similarity.diagonal().min() > 0.999
            assert similarity.argmax(1).tolist() == [0, 1, 2]

    def test_style_does_not_depend_on_places(self, network):
        images = pictures(4)
        styles = style_descriptors(style_features(network, images))
        moved = style_descriptors(style_features(network, images.roll((8, 8), dims=(2, 3))))
        assert styles.shape == (4, 2 * (4 + 8 + 16))
        assert style_similarities(moved, styles).argmax(1).tolist() == [0, 1, 2, 3]


class TestRetrievalProbability:
    def test_is_the_rate_of_all_draws(self):
        similarities = torch.tensor([[0.5, 0.9, 0.1, 0.2, 0.8, 0.3]])
        (found,) = retrieval_probability(similarities, [0], list("abcdef"), num_candidates=4)
        draws = list(itertools.combinations([0.9, 0.1, 0.2, 0.8, 0.3], 3))
        assert found == pytest.approx(sum(max(draw) < 0.5 for draw in draws) / len(draws))
        assert found == pytest.approx(math.comb(3, 3) / math.comb(5, 3))

    def test_fewer_than_asked_for(self):
        similarities = torch.tensor([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1]])
        assert retrieval_probability(similarities, [0, 1], list("abc")) == [1.0, 0.0]

    def test_same_picture_is_no_other(self):
        similarities = torch.tensor([[0.5, 0.9, 0.1, 0.95]])
        assert retrieval_probability(similarities, [0], list("aabb")) == [1.0]  # of b the first alone
        assert retrieval_probability(similarities, [0], list("aaba")) == [1.0]
        assert retrieval_probability(similarities, [0], list("abcd")) == [0.0]

    def test_equal_similarity_is_no_hit(self):
        assert retrieval_probability(torch.ones(1, 5), [0], list("abcde")) == [0.0]

    def test_alone(self):
        assert math.isnan(retrieval_probability(torch.ones(1, 2), [0], list("aa"))[0])


class TestStyleDistanceCovered:
    def test_nothing_and_everything(self, network):
        content, style = pictures(2, seed=0), pictures(2, seed=1)
        grams = [gram_matrices(style_features(network, images)) for images in (content, style)]
        assert style_distance_covered(grams[0], *grams).tolist() == pytest.approx([0, 0], abs=1e-4)
        assert style_distance_covered(grams[1], *grams).tolist() == pytest.approx([1, 1], abs=1e-4)

    def test_is_the_equation(self):
        content, style, output = ([torch.full((1, 2, 2), value)] * 3 for value in (4.0, 1.0, 2.0))
        assert style_distance_covered(output, content, style).item() == pytest.approx(1 - 1 / 3, abs=1e-4)

    def test_gram_matrix(self):
        features = torch.tensor([[[[1.0, 2.0]], [[0.0, 4.0]]]])
        assert gram_matrices([features])[0].tolist() == [[[1.25, 2.0], [2.0, 4.0]]]  # over channels and places


class TestSharpness:
    def test_one_bright_pixel(self):
        image = torch.zeros(1, 3, 5, 5)
        image[..., 2, 2] = 1
        half = image / 2
        assert sharpness(half, image).item() == pytest.approx(0.5, abs=1e-4)
        assert sharpness(image, image).item() == pytest.approx(1, abs=1e-4)

    def test_mean_is_a_ratio_of_means(self):
        images = pictures(3)
        images[0] = F.avg_pool2d(images[:1], 9, 1, 4)  # hardly any detail
        assert sharpness(images, images).mean().item() == pytest.approx(1, abs=1e-4)
        assert sharpness(images.flip(0), images).mean().item() == pytest.approx(1, abs=1e-4)
        assert sharpness(F.avg_pool2d(images, 3, 1, 1), images).mean() < 0.5
