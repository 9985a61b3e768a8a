# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import subprocess

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from stylevar_hf.data.teachers.adain import (
    AdaINConfig,
    AdaINModel,
    adaptive_instance_normalization,
    build_decoder,
    build_encoder,
    convert_adain_checkpoint,
)


# Where the published files have their convolutions, and the channels of these; written out, not derived.
ENCODER = {0: (3, 3), 2: (3, 64), 5: (64, 64), 9: (64, 128), 12: (128, 128), 16: (128, 256), 19: (256, 256)}
ENCODER |= {22: (256, 256), 25: (256, 256), 29: (256, 512)}
UNUSED = dict.fromkeys((32, 35, 38, 42, 45, 48, 51), (512, 512))
DECODER = {1: (512, 256), 5: (256, 256), 8: (256, 256), 11: (256, 256), 14: (256, 128), 18: (128, 128)}
DECODER |= {21: (128, 64), 25: (64, 64), 28: (64, 3)}


def make_weights(layers: dict[int, tuple[int, int]], seed: int) -> dict[str, torch.Tensor]:
    generator, weights = torch.Generator().manual_seed(seed), {}
    for index, (inputs, outputs) in layers.items():
        side = 1 if (index, inputs) == (0, 3) else 3
        scale = (2 / (inputs * side**2)) ** 0.5
        weights[f"{index}.weight"] = torch.randn(outputs, inputs, side, side, generator=generator) * scale
        weights[f"{index}.bias"] = torch.rand(outputs, generator=generator) * 0.1
    return weights


def encode(weights: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """relu4_1 of the normalised VGG-19, operation by operation."""
    hidden = F.conv2d(images, weights["0.weight"], weights["0.bias"])
    for index in list(ENCODER)[1:]:
        if index in (9, 16, 29):  # the first of a stage
            hidden = F.max_pool2d(hidden, 2, ceil_mode=True)
        hidden = F.pad(hidden, (1, 1, 1, 1), mode="reflect")
        hidden = F.conv2d(hidden, weights[f"{index}.weight"], weights[f"{index}.bias"]).relu()
    return hidden


def decode(weights: dict[str, torch.Tensor], hidden: torch.Tensor) -> torch.Tensor:
    for index in DECODER:
        if index in (5, 18, 25):
            hidden = hidden.repeat_interleave(2, 2).repeat_interleave(2, 3)
        hidden = F.pad(hidden, (1, 1, 1, 1), mode="reflect")
        hidden = F.conv2d(hidden, weights[f"{index}.weight"], weights[f"{index}.bias"])
        hidden = hidden if index == 28 else hidden.relu()
    return hidden


@pytest.fixture(scope="session")
def parts() -> tuple[dict, dict]:
    return make_weights(ENCODER, 0), make_weights(DECODER, 1)


@pytest.fixture(scope="session")
def files(parts, tmp_path_factory):
    """The two published files, with random weights, and the folder that they are converted to."""
    folder = tmp_path_factory.mktemp("adain")
    encoder, decoder = parts
    unused = {key: value.half() for key, value in make_weights(UNUSED, 2).items()}
    torch.save({**encoder, **unused}, folder / "vgg_normalised.pth")
    torch.save(decoder, folder / "decoder.pth")
    convert_adain_checkpoint(folder / "vgg_normalised.pth", folder / "decoder.pth", folder / "model", alpha=0.75)
    return folder


@pytest.fixture(scope="session")
def model(files) -> AdaINModel:
    return AdaINModel.from_pretrained(files / "model")


def make_images(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


class TestAdaIN:
    @pytest.mark.parametrize("alpha", [None, 0, 1.0])
    def test_equals_an_independent_computation(self, alpha, parts, model):
        content, style = make_images(2, 29, 40, 0), make_images(2, 24, 33, 1)
        encoder, decoder = parts
        with torch.no_grad():
            output = model(content, style, alpha=alpha)
            c, s = encode(encoder, content), encode(encoder, style)
            assert c.shape == (2, 512, 4, 5), "pooling rounds up: 29, 15, 8, 4"
            moved = torch.empty_like(c)
            for row in range(2):
                for channel in range(512):
                    a, b = c[row, channel], s[row, channel]
                    spread = torch.sqrt((b.var() + 1e-5) / (a.var() + 1e-5))
                    moved[row, channel] = (a - a.mean()) * spread + b.mean()
            weight = 0.75 if alpha is None else alpha
            features = weight * moved + (1 - weight) * c
            images = decode(decoder, features)
        torch.testing.assert_close(output.features, features, rtol=1e-4, atol=1e-4)
        assert images.shape == (2, 3, 32, 40)
        torch.testing.assert_close(output.images, images[:, :, :29].clamp(0, 1), rtol=1e-4, atol=1e-4)
        assert (images < 0).any() and (images > 1).any(), "there is something to clamp"

    def test_zero_padding_would_give_something_else(self, model):
        content, style = make_images(1, 32, 32, 0), make_images(1, 32, 32, 1)
        with torch.no_grad():
            expected = model(content, style, alpha=1.0).features
            other = AdaINModel(model.config)
            other.load_state_dict(model.state_dict())
            for module in other.encoder:
                if isinstance(module, torch.nn.ReflectionPad2d):
                    module.forward = lambda hidden: F.pad(hidden, (1, 1, 1, 1))
            assert (other(content, style, alpha=1.0).features - expected).abs().max() > 1e-2

    def test_statistics_are_those_of_the_style(self):
        content, style = make_images(2, 7, 5, 0), 3 * make_images(2, 6, 9, 1) - 1
        moved = adaptive_instance_normalization(content, style)
        assert moved.shape == content.shape
        torch.testing.assert_close(moved.mean((2, 3)), style.mean((2, 3)), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(moved.std((2, 3)), style.std((2, 3)), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(adaptive_instance_normalization(content, content), content)
        flat = adaptive_instance_normalization(torch.ones(1, 2, 3, 3), style[:1, :2])
        torch.testing.assert_close(flat, style[:1, :2].mean((2, 3), keepdim=True).expand(1, 2, 3, 3))

    def test_modules_are_those_of_the_published_network(self):
        for network, layers in ((build_encoder(), ENCODER), (build_decoder(), DECODER)):
            convolutions = {i: m for i, m in enumerate(network) if isinstance(m, torch.nn.Conv2d)}
            assert {i: (m.in_channels, m.out_channels) for i, m in convolutions.items()} == layers
        assert len(build_encoder()) == 31
        assert isinstance(build_decoder()[-1], torch.nn.Conv2d)

    @pytest.mark.parametrize("alpha", [-0.1, 1.1, "1"])
    def test_alpha_out_of_range(self, alpha, model):
        with pytest.raises(ValueError, match=r"`alpha` must be a number in \[0, 1\], but got"):
            model(make_images(1, 16, 16, 0), make_images(1, 16, 16, 0), alpha=alpha)

    def test_alpha_of_the_config_is_checked(self):
        with pytest.raises(Exception, match=r"`alpha` must be a number in \[0, 1\], but got 2.0"):
            AdaINConfig(alpha=2.0)
        assert AdaINConfig(alpha=1).alpha == 1

    def test_too_small(self, model):
        with pytest.raises(ValueError, match=r"`style_images` must be at least 9 x 9 pixels, but got \(8, 16\)"):
            model(make_images(1, 16, 16, 0), make_images(1, 8, 16, 0))
        with torch.no_grad():
            assert model(make_images(1, 9, 9, 0), make_images(1, 9, 9, 1)).images.isfinite().all()


class TestConversion:
    def test_folder(self, files, parts, model):
        assert sorted(path.name for path in (files / "model").iterdir()) == ["config.json", "model.safetensors"]
        assert not list(files.glob(".adain-*"))
        saved = load_file(files / "model" / "model.safetensors")
        expected = {f"encoder.{k}": v for k, v in parts[0].items()} | {f"decoder.{k}": v for k, v in parts[1].items()}
        assert saved.keys() == expected.keys()
        assert all(torch.equal(saved[key], expected[key]) for key in expected)
        assert (model.config.alpha, len(model.config.encoder_digest), model.training) == (0.75, 64, False)
        assert AdaINModel.from_pretrained(files / "model", dtype=torch.bfloat16).dtype == torch.bfloat16

    def test_torchvision_is_refused(self, files, tmp_path):
        from torchvision.models import vgg19

        with torch.device("meta"):
            shapes = vgg19(weights=None).features[:21].state_dict()
        for prefix in ("features.", ""):
            path = tmp_path / "vgg19.pth"
            torch.save({f"{prefix}{key}": torch.zeros(value.shape) for key, value in shapes.items()}, path)
            with pytest.raises(ValueError, match="must be vgg_normalised.pth, .*but got torchvision's VGG-19"):
                convert_adain_checkpoint(path, files / "decoder.pth", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_another_encoder_than_the_decoders_is_refused(self, files, tmp_path):
        (tmp_path / "config.json").write_text((files / "model" / "config.json").read_text())
        weights = load_file(files / "model" / "model.safetensors")
        weights["encoder.29.bias"] = weights["encoder.29.bias"] + 1e-3
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(
            ValueError, match="must be the one that the decoder was trained with .*convert_adain_check"
        ):
            AdaINModel.from_pretrained(tmp_path)

    def test_folder_that_does_not_say_which_encoder(self, model, tmp_path):
        other = AdaINModel(AdaINConfig())
        other.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"\(`encoder_digest` None\), but got [0-9a-f]{64}"):
            AdaINModel.from_pretrained(tmp_path)

    @pytest.mark.parametrize(
        ("argument", "change", "message"),
        [
            ("encoder", {"29.weight": None}, r"29.weight missing, \(512, 256, 3, 3\)"),
            ("encoder", {"2.bias": torch.zeros(3)}, r"2.bias \(3,\), not \(64,\)"),
            ("encoder", {"51.weight": torch.zeros(1)}, r"51.weight \(1,\), not \(512, 512, 3, 3\)"),
            ("encoder", {"54.weight": torch.zeros(1)}, "54.weight not known"),
            ("decoder", {"28.bias": None, "extra": torch.zeros(1)}, r"28.bias missing, \(3,\); extra not known"),
            ("decoder", {"28.bias": 3}, "a dict of tensors"),
        ],
    )
    def test_every_tensor_is_checked(self, argument, change, message, files, parts, tmp_path):
        weights = {**parts[argument == "decoder"], **change}
        torch.save({key: value for key, value in weights.items() if value is not None}, tmp_path / "changed.pth")
        inputs = {"encoder": files / "vgg_normalised.pth", "decoder": files / "decoder.pth"}
        with pytest.raises(ValueError, match=f"`{argument}` must be .*{message}"):
            convert_adain_checkpoint(**{**inputs, argument: tmp_path / "changed.pth"}, output_dir=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_files_in_each_others_place(self, files, tmp_path):
        with pytest.raises(ValueError, match="`encoder` must be naoto0804's file"):
            convert_adain_checkpoint(files / "decoder.pth", files / "vgg_normalised.pth", tmp_path / "out")

    def test_missing_pickled_and_damaged_files(self, files, tmp_path):
        with pytest.raises(FileNotFoundError, match="`decoder` must be a file, .*github.com/naoto0804"):
            convert_adain_checkpoint(files / "vgg_normalised.pth", tmp_path / "none.pth", tmp_path / "out")
        torch.save({"0.weight": subprocess.Popen}, tmp_path / "evil.pth")
        (tmp_path / "damaged.pth").write_bytes(b"nothing")
        for name in ("evil.pth", "damaged.pth"):
            with pytest.raises(ValueError, match="`encoder` must be a file of torch weights"):
                convert_adain_checkpoint(tmp_path / name, files / "decoder.pth", tmp_path / "out")

    def test_nothing_is_overwritten(self, files):
        with pytest.raises(FileExistsError, match="`output_dir` must not exist or be empty"):
            convert_adain_checkpoint(files / "vgg_normalised.pth", files / "decoder.pth", files / "model")
