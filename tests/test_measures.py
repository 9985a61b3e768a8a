# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
import skimage.color
import skimage.metrics
import torch
import torch.nn.functional as F

from stylevar_hf._common.errors import WeightsUnavailable
from stylevar_hf.measures.base import Measure, quantiles
from stylevar_hf.measures.colour import ColourMoments, Palette, lab_to_rgb, mean_colour_difference, rgb_to_lab
from stylevar_hf.measures.psnr import peak_signal_to_noise_ratio
from stylevar_hf.measures.ssim import SSIM, structural_similarity
from stylevar_hf.measures.texture import Texture
from stylevar_hf.measures.weights import WeightFile, check_weights, find_weights, load_weights


def make_images(count: int, height: int = 32, width: int = 40, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures with some noise, `(count, 3, height, width)` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    images = F.interpolate(torch.rand(count, 3, 4, 4, generator=generator), (height, width), mode="bilinear")
    return (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


class TestStructuralSimilarity:
    @pytest.mark.parametrize(("height", "width"), [(11, 11), (32, 40), (65, 17)])
    def test_equals_torchmetrics(self, height, width):
        functional = pytest.importorskip("torchmetrics.functional.image")
        images, references = make_images(3, height, width), make_images(3, height, width, seed=1)
        references[2] = (images[2] + 0.02 * references[2]).clamp(0, 1)  # one that is close
        expected = functional.structural_similarity_index_measure(
            images, references, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
        )
        assert structural_similarity(images, references).tolist() == pytest.approx(expected.tolist(), abs=1e-5)

    def test_mirrored_border_counts(self):
        """scikit-image leaves it out."""
        images, references = make_images(1), make_images(1, seed=1)
        references[..., 5:-5, 5:-5] = images[..., 5:-5, 5:-5]
        pair = [picture[0].permute(1, 2, 0).numpy() for picture in (images, references)]
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
        _, full = skimage.metrics.structural_similarity(*pair, channel_axis=-1, data_range=1.0, **options)
        inner = full[5:-5, 5:-5].mean()
        assert structural_similarity(images, references).item() < inner - 0.05

    def test_has_gradients(self):
        images = make_images(1).requires_grad_()
        structural_similarity(images, make_images(1, seed=1)).sum().backward()
        assert images.grad.isfinite().all() and images.grad.abs().sum() > 0


class TestPeakSignalToNoiseRatio:
    def test_by_hand_and_of_equal_pictures(self):
        images = torch.full((2, 3, 4, 4), 0.5)
        references = torch.stack([images[0] + 0.1, images[1]])
        assert peak_signal_to_noise_ratio(images, references).tolist() == pytest.approx([20, 100], abs=1e-4)


class TestColour:
    def test_lab_and_back(self):
        images = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
        images[0, :, 0, 0], images[0, :, 0, 1] = 0, 1
        assert (lab_to_rgb(rgb_to_lab(images)) - images).abs().max() < 1e-4

    def test_colours_that_srgb_lacks_are_those_of_scikit_image(self):
        lab = torch.tensor([[50.0, 120, -90], [20, -100, 80], [95, 60, 60], [2, 1, -3]])
        expected = np.clip(skimage.color.lab2rgb(lab.numpy()[None]), 0, 1)[0]
        got = lab_to_rgb(lab.T[None, :, None])[0, :, 0].T
        assert np.abs(got.numpy() - expected).max() < 2e-3

    def test_difference_is_that_of_scikit_image(self):
        images, references = make_images(2), make_images(2, seed=1)
        labs = [skimage.color.rgb2lab(part.permute(0, 2, 3, 1).numpy()) for part in (images, references)]
        expected = skimage.color.deltaE_cie76(*labs).mean((1, 2))
        assert mean_colour_difference(images, references).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("measure", [SSIM(), Palette(), ColourMoments(), Texture()], ids=lambda m: type(m).__name__)
class TestEveryMeasureWithoutWeights:
    def test_a_value_per_image_that_no_other_touches(self, measure: Measure):
        images, references = make_images(3), make_images(3, seed=1)
        together = measure(images, references)
        assert together.shape == (3,)
        alone = [measure(images[i : i + 1], references[i : i + 1]).item() for i in range(3)]
        assert together.tolist() == pytest.approx(alone, rel=1e-4)
        best = measure(images, images)
        assert torch.allclose(best, torch.full((3,), float(measure.higher_is_better)), atol=1e-5)
        assert (together < best).all() if measure.higher_is_better else (together > best).all()


class TestTexture:
    def test_picture_smaller_than_the_margin(self):
        assert Texture().describe(make_images(1, 9, 12)).isfinite().all()


def test_quantiles_by_hand():
    values = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert quantiles(values, 4).tolist() == [[0, 1, 2, 3]]
    assert quantiles(values, 2).tolist() == [[1, 3]]


class TestFindWeights:
    """By path, else where they are kept, else fetched, else one error."""

    FILE = WeightFile("some-net.pth")

    @pytest.fixture(autouse=True)
    def place(self, monkeypatch, tmp_path):
        (tmp_path / "away").mkdir()
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
        monkeypatch.setattr("stylevar_hf.measures.weights.TORCHVISION_URL", (tmp_path / "away").as_uri() + "/")
        return tmp_path

    def online(self, monkeypatch):
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)

    def test_path_goes_first(self, place):
        own = place / "mine.pth"
        own.write_bytes(b"mine")
        self.FILE.place.parent.mkdir(parents=True)
        self.FILE.place.write_bytes(b"kept")
        assert find_weights(self.FILE, "A test", own) == own
        assert find_weights(self.FILE, "A test", self.FILE.place.parent) == self.FILE.place
        assert find_weights(self.FILE, "A test") == self.FILE.place

    def test_fetched_where_that_is_allowed(self, place, monkeypatch):
        self.online(monkeypatch)
        (place / "away" / "some-net.pth").write_bytes(b"fetched")
        with pytest.raises(WeightsUnavailable, match="downloads are switched off"):
            find_weights(self.FILE, "A test", local_files_only=True)
        check_weights(self.FILE, "A test")
        assert not (place / "hub").exists(), "a check fetches nothing"
        assert find_weights(self.FILE, "A test").read_bytes() == b"fetched"
        assert [path.name for path in self.FILE.place.parent.iterdir()] == ["some-net.pth"]

    def test_error_names_file_place_and_address(self, place, monkeypatch):
        kept = place / "hub" / "checkpoints" / "some-net.pth"
        message = f"A test needs the weights some-net.pth, .* not at {kept}, and {{}}.*Download file:.*w=.PATH"
        for check in (check_weights, find_weights):
            with pytest.raises(FileNotFoundError, match=message.format("downloads are switched off")):
                check(self.FILE, "A test", option="w")
        self.online(monkeypatch)
        with pytest.raises(FileNotFoundError, match=message.format("the download failed")):
            find_weights(self.FILE, "A test", option="w")

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip file", "as torchvision's of 2017"])
    def test_both_formats_of_torch_are_read(self, zipped, place):
        torch.save({"a": torch.ones(2)}, place / "a.pth", _use_new_zipfile_serialization=zipped)
        assert load_weights(place / "a.pth")["a"].tolist() == [1, 1]

    def test_path_that_leads_nowhere(self, place):
        with pytest.raises(FileNotFoundError, match=f"`w` is '{place}' and {place / 'some-net.pth'} does not exist"):
            check_weights(self.FILE, "A test", place, option="w")


def test_ssim_of_paper_constants():
    """Two flat pictures: only the means differ, and the formula can be worked out by hand."""
    dark, bright = torch.full((1, 1, 12, 12), 0.25), torch.full((1, 1, 12, 12), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert math.isclose(structural_similarity(dark, bright).item(), expected, abs_tol=1e-4)
