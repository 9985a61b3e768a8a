# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from datasets import Dataset
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

from stylevar_hf import StyleVARPipeline
from stylevar_hf.evaluation import (
    Estimate,
    StrengthReport,
    TripletReport,
    TripletSetReport,
    draw_gallery,
    evaluate_identity,
    evaluate_reconstruction,
    evaluate_strength,
    evaluate_triplets,
    make_gallery,
    save_gallery,
    structural_similarity,
)
from stylevar_hf.evaluation.controls import derangement
from stylevar_hf.evaluation.model_checks import CheckReport


NUM_PAIRS = 5
FAST = {"num_resamples": 50, "batch_size": 2}


def make_rows(count: int = NUM_PAIRS, side: int = 16) -> list[dict]:
    rng = np.random.default_rng(0)

    def picture():
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return PIL.Image.fromarray(coarse).resize((side, side), PIL.Image.Resampling.BICUBIC)

    return [
        {"content": picture(), "style": picture(), "target": picture(), "content_id": str(i // 2), "style_id": str(i)}
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows()


@pytest.fixture(scope="module")
def pipe(tiny_model_dir) -> StyleVARPipeline:
    pipeline = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
    pipeline.model.lm_head.weight.data *= 50  # a new head finds all codes about equally likely, right or wrong
    return pipeline


@pytest.fixture(scope="module")
def report(pipe, rows) -> TripletReport:
    return evaluate_triplets(pipe, rows, **FAST)


class Oracle(StyleVARPipeline):
    """Answers with the target of the pair; with the content where the style is not its own."""

    def __init__(self, pipeline: StyleVARPipeline, rows: list[dict]):
        super().__init__(pipeline.model, pipeline.image_processor, device="cpu")
        self.answers = {(r["content"].tobytes(), r["style"].tobytes()): r["target"] for r in rows}

    def __call__(self, contents, styles, **arguments):
        pairs = zip(contents, styles, strict=True)
        return [self.answers.get((content.tobytes(), style.tobytes()), content) for content, style in pairs]


class Dial(StyleVARPipeline):
    """Fades from the content to the style."""

    def __init__(self, pipeline: StyleVARPipeline):
        super().__init__(pipeline.model, pipeline.image_processor, device="cpu")

    def __call__(self, contents, styles, style_strength=0.0, **arguments):
        strengths = np.broadcast_to(style_strength, len(contents))
        return [PIL.Image.blend(*pair, 0.5 + 0.4 * s) for *pair, s in zip(contents, styles, strengths, strict=True)]


class TestEvaluateTriplets:
    def test_has_every_row_and_measure(self, report):
        found = report.sets["triplets"]
        assert (found.num_pairs, found.num_contents) == (NUM_PAIRS, 3)
        assert set(found.means) == {"model", "content", "style", "reinhard", "swapped"}
        pictures = {"ssim", "psnr", "target_colour", "target_texture", "style_colour", "style_texture"}
        for row, means in found.means.items():
            assert set(means) == pictures | ({"cross_entropy"} if row in ("model", "swapped") else set())
            assert all(one.low <= one.mean + 1e-9 and one.mean - 1e-9 <= one.high for one in means.values())
        assert set(found.differences) == set(found.means) - {"model"}
        assert found.means["style"]["style_colour"].mean == 0

    def test_model_row_is_the_mean_over_the_pipelines_own_outputs(self, pipe, rows, report):
        outputs = [pipe(row["content"], row["style"], seed=i) for i, row in enumerate(rows)]
        values = [structural_similarity(image, row["target"]) for image, row in zip(outputs, rows, strict=True)]
        assert report.sets["triplets"].means["model"]["ssim"].mean == pytest.approx(np.mean(values))

    def test_swapped_row_has_the_style_of_another_pair(self, pipe, rows, report):
        others = derangement(NUM_PAIRS, 0, [row["style_id"] for row in rows])
        outputs = [pipe(row["content"], rows[others[i]]["style"], seed=i) for i, row in enumerate(rows)]
        values = [structural_similarity(image, row["target"]) for image, row in zip(outputs, rows, strict=True)]
        assert report.sets["triplets"].means["swapped"]["ssim"].mean == pytest.approx(np.mean(values))

    def test_cross_entropy_is_the_models_loss(self, pipe, rows, report):
        pixels = [
            pipe.image_processor([row[name] for row in rows], return_tensors="pt").pixel_values
            for name in ("content", "style", "target")
        ]
        loss = pipe.model(*pixels[:2], target_pixel_values=pixels[2]).loss.item()
        assert report.sets["triplets"].means["model"]["cross_entropy"].mean == pytest.approx(loss, rel=1e-4)

    def test_is_the_same_again_and_in_other_batches(self, pipe, rows, report):
        again = evaluate_triplets(pipe, rows, **FAST)
        assert again.to_dict() == report.to_dict()
        other = evaluate_triplets(pipe, Dataset.from_list(rows), num_resamples=50, batch_size=NUM_PAIRS)
        for measure, found in other.sets["triplets"].means["model"].items():
            assert found.mean == pytest.approx(report.sets["triplets"].means["model"][measure].mean, rel=1e-3)

    def test_bare_model_in_training_is_put_into_evaluation(self, pipe, rows, report):
        pipe.model.train()
        found = evaluate_triplets(pipe.model, rows, **FAST)
        assert not pipe.model.training
        assert found.to_dict() == report.to_dict()

    def test_named_sets_and_sampling_are_recorded(self, pipe, rows):
        found = evaluate_triplets(pipe, {"near": rows[:2], "far": rows[2:]}, sampling={"top_k": 5}, seed=3, **FAST)
        assert list(found.sets) == ["near", "far"]
        assert found.settings["sampling"]["top_k"] == 5 and found.settings["seed"] == 3

    def test_model_that_returns_the_target_beats_every_control(self, pipe, rows):
        found = evaluate_triplets(Oracle(pipe, rows), rows, **FAST).sets["triplets"]
        assert found.means["model"]["ssim"].mean == pytest.approx(1)
        for control in found.differences:
            beats = found.beats(control)
            assert all(beats[name] for name in ("ssim", "psnr", "target_colour", "target_texture"))
        assert not found.beats("style")["style_colour"]  # nothing comes closer to the style than the style
        assert "✓" in found.to_markdown() and "✗" in found.to_markdown()

    def test_model_that_returns_the_content_does_not_beat_it(self, pipe, rows):
        found = evaluate_triplets(Oracle(pipe, []), rows, **FAST).sets["triplets"]
        assert not any(found.beats("content").values())
        assert found.differences["content"]["ssim"] == Estimate(0, 0, 0)

    def test_one_style_for_all_is_swapped_with_a_warning(self, pipe, rows):
        with CaptureLogger(logging.get_logger("stylevar_hf.evaluation.triplet_report")) as captured:
            evaluate_triplets(pipe, [{**row, "style_id": "one"} for row in rows[:2]], **FAST)
        assert "Styles are swapped whatever their `style_id`" in captured.out

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda rows: rows[:1], "`dataset` must hold at least 2 rows, but got 1"),
            (lambda rows: iter(rows), "`dataset` must have a length and rows by index"),
            (lambda rows: Dataset.from_list(rows).to_iterable_dataset(), "`dataset` must have a length"),
            (lambda rows: [{"content": r["content"], "style": r["style"]} for r in rows], r"\['target'\] missing"),
            (lambda rows: {"a": rows, "b": []}, r"`dataset\['b'\]` must hold at least 2 rows"),
            (lambda rows: [*rows[:3], {**rows[3], "target": None}], "`target of row 3` must be a picture"),
        ],
    )
    def test_refuses_data_that_do_not_fit(self, pipe, rows, change, message):
        with pytest.raises(ValueError, match=message):
            evaluate_triplets(pipe, change(rows), **FAST)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"batch_size": 0}, "`batch_size` must be an integer of at least 1"),
            ({"seed": -1}, "`seed` must be an integer of at least 0"),
            ({"num_resamples": 0}, "`num_resamples` must be"),
        ],
    )
    def test_refuses_bad_arguments(self, pipe, rows, arguments, message):
        with pytest.raises(ValueError, match=message):
            evaluate_triplets(pipe, rows, **{**FAST, **arguments})

    def test_refuses_what_is_no_model(self, rows):
        with pytest.raises(ValueError, match="`pipeline` must be a StyleVARPipeline"):
            evaluate_triplets("a/folder", rows)


class TestTripletReport:
    def test_is_written_as_json_and_markdown(self, report, tmp_path):
        folder = tmp_path / "new" / "folder"
        json_file, markdown_file = report.save(folder)
        assert json.loads(json_file.read_text()) == json.loads(json.dumps(report.to_dict()))
        text = markdown_file.read_text()
        assert "| return the content |" in text and f"{NUM_PAIRS} pairs of 3 contents" in text
        assert sorted(path.name for path in folder.iterdir()) == ["report.json", "report.md"]

    def test_failed_write_leaves_the_old_report(self, report, tmp_path, monkeypatch):
        report.save(tmp_path)
        before = (tmp_path / "report.json").read_bytes()
        monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            TripletReport({}, {"other": 1}).save(tmp_path)
        assert (tmp_path / "report.json").read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]

    def test_shows_all_parts(self, report):
        strength = StrengthReport(
            num_pairs=3,
            strengths=(-1.0, 1.0),
            means={name: (Estimate(1, 1, 1),) * 2 for name in MEASURES},
            steps={name: (Estimate(0.5, 0.1, 0.9),) for name in MEASURES},
            monotone_share=dict.fromkeys(MEASURES, 1.0),
        )
        checks = {"contents": CheckReport(7, {"ssim": Estimate(0.9, 0.8, 1.0)})}
        text = TripletReport(report.sets, {"model": "mini"}, strength, checks, checks).to_markdown()
        for part in (
            "* model: mini",
            "## triplets",
            "## Strength",
            "strength -1",
            "## Style = content",
            "contents | 7",
        ):
            assert part in text

    def test_difference_is_judged_by_the_direction_of_the_measure(self):
        difference = {"ssim": Estimate(0.1, 0.05, 0.2), "target_colour": Estimate(1, 0.5, 2)}
        found = TripletSetReport(9, 9, {}, {"content": difference})
        assert found.beats("content") == {"ssim": True, "target_colour": False}


MEASURES = ("content_structure", "content_colour", "style_colour", "style_texture")


class TestEvaluateStrength:
    def test_of_a_fading_model_is_monotone(self, pipe, rows):
        found = evaluate_strength(Dial(pipe), rows, **FAST)
        assert found.num_pairs == NUM_PAIRS and found.strengths == (-1, 0, 1)
        for name in ("content_structure", "content_colour", "style_colour"):
            assert found.is_monotone(name)
            assert found.is_clearly_monotone(name) or not name.startswith(
                "content"
            )  # palettes: three contents, chance
        assert found.monotone_share["content_structure"] == found.monotone_share["content_colour"] == 1
        assert json.loads(json.dumps(found.to_dict()))["is_monotone"]["content_colour"] is True
        assert "| clearly | 100% |" in found.to_markdown()

    def test_matches_the_pipeline_at_each_strength(self, pipe, rows):
        found = evaluate_strength(pipe, rows, strengths=(-1, 1), **FAST)
        for position, strength in enumerate((-1, 1)):
            images = [pipe(r["content"], r["style"], seed=i, style_strength=strength) for i, r in enumerate(rows)]
            values = [1 - structural_similarity(image, r["content"]) for image, r in zip(images, rows, strict=True)]
            assert found.means["content_structure"][position].mean == pytest.approx(np.mean(values))

    def test_step_in_the_wrong_direction_is_not_monotone(self):
        steps = (Estimate(0.5, 0.1, 0.9), Estimate(-0.1, -0.3, 0.1))
        found = StrengthReport(3, (-1, 0, 1), {}, dict.fromkeys(MEASURES, steps), {})
        assert not any(found.is_monotone(name) for name in MEASURES)

    @pytest.mark.parametrize("strengths", [(0,), (1, 0), (0, 0)])
    def test_refuses_strengths_that_do_not_rise(self, pipe, rows, strengths):
        with pytest.raises(ValueError, match="`strengths` must be two or more rising numbers"):
            evaluate_strength(pipe, rows, strengths=strengths)


class TestChecks:
    def test_identity_compares_with_the_content(self, pipe, rows):
        contents = [row["content"] for row in rows]
        found = evaluate_identity(pipe, contents, **FAST)
        values = [structural_similarity(pipe(c, c, seed=i), c) for i, c in enumerate(contents)]
        assert found.num_images == NUM_PAIRS
        assert found.means["ssim"].mean == pytest.approx(np.mean(values))
        perfect = evaluate_identity(Oracle(pipe, []), contents, **FAST)
        assert perfect.means["ssim"].mean == pytest.approx(1) and perfect.means["colour_difference"].mean == 0

    def test_reconstruction_is_that_of_the_tokenizer(self, pipe, rows):
        dataset = Dataset.from_list(rows)
        found = evaluate_reconstruction(pipe, dataset["target"], **FAST)
        pixels = pipe.image_processor([row["target"] for row in rows], return_tensors="pt").pixel_values
        rebuilt = pipe.image_processor.postprocess(
            pipe.model.vq_model.decode(pipe.model.vq_model.encode(pixels).codes)
        )
        values = [structural_similarity(image, row["target"]) for image, row in zip(rebuilt, rows, strict=True)]
        assert found.means["ssim"].mean == pytest.approx(np.mean(values), abs=1e-4)
        assert 0 < found.means["psnr"].mean < 100

    @pytest.mark.parametrize("check", [evaluate_identity, evaluate_reconstruction])
    def test_refuses_no_pictures(self, pipe, check):
        with pytest.raises(ValueError, match="`images` must be one or more pictures"):
            check(pipe, [])


class TestGallery:
    def test_has_the_columns_asked_for(self, pipe, rows):
        columns = make_gallery(pipe, rows, num_rows=3, strengths=(-1, 0, 1), reinhard=True)
        names = ["content", "style", "target", "output", "strength -1", "strength 0", "strength +1", "Reinhard"]
        assert list(columns) == names
        assert [len(pictures) for pictures in columns.values()] == [3] * len(names)
        assert columns["content"] == [rows[i]["content"] for i in (0, 2, 4)]
        assert columns["output"] == columns["strength 0"]
        assert columns["output"][1] == pipe(rows[2]["content"], rows[2]["style"], seed=2)

    def test_does_without_targets(self, pipe, rows):
        unpaired = [{name: row[name] for name in ("content", "style")} for row in rows]
        assert list(make_gallery(pipe, unpaired, num_rows=99)) == ["content", "style", "output"]

    def test_pictures_are_drawn_unchanged_at_their_places(self):
        red, blue = (PIL.Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
        wide = np.zeros((8, 16, 3), np.uint8)
        sheet = draw_gallery({"one": [red, blue], "two": [blue, wide]}, cell_size=32, gap=4, title="title")
        top = 4 + 5 + 5  # gap, title, headings
        assert sheet.size == (4 + 2 * 36, top + 2 * 36)
        pixels = np.asarray(sheet)
        assert (pixels[top : top + 32, 4:36] == (255, 0, 0)).all()
        assert (pixels[top : top + 32, 40:72] == (0, 0, 255)).all()
        assert (pixels[top + 44 : top + 60, 40:72] == 0).all()  # in the middle of its square
        assert (pixels[top + 36 : top + 44, 40:72] == 255).all()
        assert (pixels[:top] < 128).any()  # there is text

    def test_long_headings_stay_in_their_columns(self):
        picture = PIL.Image.new("RGB", (64, 64), "white")
        sheet = np.asarray(draw_gallery({"a rather long head": [picture], "b": [picture]}, cell_size=64, gap=8))
        assert (sheet[:, :7] == 255).all()
        assert (sheet[:18, 73:96] == 255).all()

    def test_is_saved_whole(self, tmp_path):
        path = save_gallery(tmp_path / "new" / "gallery.png", {"one": [PIL.Image.new("RGB", (8, 8))]}, cell_size=32)
        assert [file.name for file in path.parent.iterdir()] == ["gallery.png"]
        assert PIL.Image.open(path).size == (48, 53)

    @pytest.mark.parametrize("columns", [{}, {"a": []}, {"a": [np.zeros((2, 2, 3), np.uint8)], "b": []}])
    def test_refuses_columns_that_do_not_fit(self, columns):
        with pytest.raises(ValueError, match="`columns` must hold columns of one length"):
            draw_gallery(columns)


class TestPackage:
    def test_import_is_lazy(self):
        code = "import sys, stylevar_hf.evaluation as e; assert 'skimage' not in sys.modules; e.ssim"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "AttributeError: module 'stylevar_hf.evaluation' has no attribute 'ssim'" in done.stderr


class TestExample:
    def test_writes_report_and_galleries(self, tiny_model_dir, rows, tmp_path, monkeypatch, capsys):
        Dataset.from_list(rows).save_to_disk(tmp_path / "held_out")
        script = Path(__file__).parents[1] / "examples" / "evaluate_triplets.py"
        options = (
            f"--model {tiny_model_dir} --dataset {tmp_path / 'held_out'} --num_pairs 3 --num_checks 2 --device cpu"
        )
        monkeypatch.setattr(sys, "argv", [str(script), *options.split(), "--output", str(tmp_path / "out")])
        runpy.run_path(str(script), run_name="__main__")
        found = json.loads((tmp_path / "out" / "report.json").read_text())
        assert found["sets"]["held_out"]["num_pairs"] == 3 and found["strength"]["num_pairs"] == 2
        assert found["settings"]["model"] == tiny_model_dir
        assert list(found["identity"]) == ["contents, held out"] and len(found["reconstruction"]) == 3
        assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".md", ".png"}
        assert "report.md" in capsys.readouterr().out
