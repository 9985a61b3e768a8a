# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import html
import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from datasets import Dataset
from huggingface_hub import parse_eval_result_entries
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

from stylevar_hf import StyleVARImageProcessor, StyleVARPipeline
from stylevar_hf.checkpoints.fingerprints import fingerprint
from stylevar_hf.data.teachers.adain import AdaINConfig, AdaINModel
from stylevar_hf.evaluation import (
    Estimate,
    EvaluationConfig,
    StrengthReport,
    derangement,
    draw_gallery,
    evaluate_identity,
    evaluate_reconstruction,
    run_evaluation,
    save_gallery,
    structural_similarity,
)
from stylevar_hf.evaluation.measures import get_measure
from stylevar_hf.evaluation.report.html import to_html
from stylevar_hf.evaluation.report.markdown import to_markdown
from stylevar_hf.evaluation.report.plots import draw_bars, draw_trade_off, to_png
from stylevar_hf.evaluation.report.sections import Bullets, Section, Table, build_sections
from stylevar_hf.evaluation.run.checkpoints import common_processor
from stylevar_hf.evaluation.run.results import verdict
from stylevar_hf.evaluation.systems import list_systems, name_models, parse_strengths


NUM_PAIRS = 5
METRICS = ("ssim", "psnr", "cross_entropy", "target_colour", "target_texture", "style_colour", "style_texture")
CONTROLS = ("content", "style", "reinhard", "swapped")
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


class Oracle:
    """Answers with the target of the pair."""

    name = "oracle"

    def __init__(self, rows: list[dict]):
        self.answers = {(r["content"].tobytes(), r["style"].tobytes()): r["target"] for r in rows}
        self.painted = 0

    def stylize(self, contents, styles, seeds):
        self.painted += len(contents)
        return [self.answers[c.tobytes(), s.tobytes()] for c, s in zip(contents, styles, strict=True)]


class Copier(Oracle):
    """Answers with the content."""

    name = "copier"

    def stylize(self, contents, styles, seeds):
        return contents


class Dial(StyleVARPipeline):
    """Fades from the content to the style."""

    def __init__(self, pipeline: StyleVARPipeline):
        super().__init__(pipeline.model, pipeline.image_processor, device="cpu")

    def __call__(self, contents, styles, style_strength=0.0, **arguments):
        strengths = np.broadcast_to(style_strength, len(contents))
        return [PIL.Image.blend(*pair, 0.5 + 0.4 * s) for *pair, s in zip(contents, styles, strengths, strict=True)]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return make_rows()


@pytest.fixture(scope="module")
def pipe(tiny_model_dir) -> StyleVARPipeline:
    pipeline = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
    pipeline.model.lm_head.weight.data *= 50  # a new head finds all codes about equally likely, right or wrong
    return pipeline


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data") / "held_out"
    Dataset.from_list(rows).save_to_disk(folder)
    return f"triplets:{folder}"


@pytest.fixture(scope="module")
def finished(pipe, tiny_model_dir, rows, data, tmp_path_factory) -> tuple[dict, Path]:
    """A run with everything: a checkpoint, a generator, all controls, a curve, a metric without its weights."""
    folder = tmp_path_factory.mktemp("run") / "out"
    config = EvaluationConfig(
        data,
        folder,
        models=[tiny_model_dir],
        metrics=[*METRICS, "clip_similarity"],
        baselines=CONTROLS,
        strengths=(-1, 0, 1),
        num_checks=3,
        hub_dataset="someone/held-out",
        **FAST,
    )
    return run_evaluation(config, generators=[Oracle(rows)], load=lambda model: pipe), folder


@pytest.fixture(scope="module")
def results(finished) -> dict:
    return finished[0]


@pytest.fixture(scope="module")
def entry(results) -> dict:
    return results["sets"]["held_out"]


@pytest.fixture(scope="module")
def model(results) -> str:
    return next(iter(results["settings"]["models"]))


def controls_only(data: str, folder: Path, **arguments) -> EvaluationConfig:
    """Without a checkpoint."""
    defaults = {"image_size": 16, "metrics": ["style_colour"], "baselines": ["content"]}
    return EvaluationConfig(data, folder, **{**defaults, **FAST, **arguments})


class TestRunEvaluation:
    def test_has_every_row_and_measure(self, entry, model):
        assert (entry["num_pairs"], entry["num_contents"], entry["has_target"]) == (NUM_PAIRS, 3, True)
        assert list(entry["means"]) == [model, "oracle", "content", "style", "reinhard", f"{model}+swapped"]
        pictures = {*METRICS, "content_structure", "content_colour"} - {"cross_entropy"}  # the last two: the curve's
        for system, means in entry["means"].items():
            assert set(means) == pictures | ({"cross_entropy"} if model in system else set())
            assert all(
                one["low"] <= one["mean"] + 1e-9 and one["mean"] - 1e-9 <= one["high"] for one in means.values()
            )
        assert entry["means"]["style"]["style_colour"]["mean"] == 0
        assert entry["means"]["content"]["content_structure"]["mean"] == pytest.approx(0, abs=1e-6)

    def test_model_row_is_the_mean_over_the_pipelines_own_outputs(self, pipe, rows, entry, model):
        outputs = [pipe(row["content"], row["style"], seed=i) for i, row in enumerate(rows)]
        values = [1 - structural_similarity(image, row["content"]) for image, row in zip(outputs, rows, strict=True)]
        assert entry["means"][model]["content_structure"]["mean"] == pytest.approx(np.mean(values))

    def test_swapped_row_has_the_style_of_another_pair(self, pipe, rows, entry, model):
        others = derangement(NUM_PAIRS, 0, [row["style_id"] for row in rows])
        assert [pair["swapped_with"] for pair in entry["pairs"]] == others.tolist()
        outputs = [pipe(row["content"], rows[others[i]]["style"], seed=i) for i, row in enumerate(rows)]
        values = [1 - structural_similarity(image, row["content"]) for image, row in zip(outputs, rows, strict=True)]
        assert entry["means"][f"{model}+swapped"]["content_structure"]["mean"] == pytest.approx(np.mean(values))

    def test_cross_entropy_is_the_models_loss(self, pipe, rows, entry, model):
        pixels = [
            pipe.image_processor([row[name] for row in rows], return_tensors="pt").pixel_values
            for name in ("content", "style", "target")
        ]
        loss = pipe.model(*pixels[:2], target_pixel_values=pixels[2]).loss.item()
        assert entry["means"][model]["cross_entropy"]["mean"] == pytest.approx(loss, rel=1e-4)

    def test_pairs_and_seeds_are_in_the_results(self, entry):
        assert [pair["seed"] for pair in entry["pairs"]] == list(range(NUM_PAIRS))
        assert [pair["content_id"] for pair in entry["pairs"]] == ["0", "0", "1", "1", "2"]

    def test_generator_that_returns_the_target_is_better_than_every_control(self, entry):
        assert entry["means"]["oracle"]["ssim"]["mean"] == pytest.approx(1)
        for other, found in entry["differences"]["oracle"].items():
            assert {found[name]["verdict"] for name in ("ssim", "psnr", "target_texture")} == {"better"}, other
        # nothing comes closer to the style than the style
        assert entry["differences"]["oracle"]["style"]["style_colour"]["verdict"] == "worse"

    def test_generator_that_returns_the_content_does_not_beat_it(self, rows, data, tmp_path):
        found = run_evaluation(controls_only(data, tmp_path / "out"), generators=[Copier(rows)])
        difference = found["sets"]["held_out"]["differences"]["copier"]["content"]["style_colour"]
        assert difference == {"mean": 0, "low": 0, "high": 0, "verdict": "unclear"}

    def test_differences_of_two_systems_are_paired(self, entry, model):
        one, other = (entry["means"][name]["ssim"]["mean"] for name in (model, "oracle"))
        assert entry["differences"][model]["oracle"]["ssim"]["mean"] == pytest.approx(one - other)
        assert entry["differences"]["oracle"][model]["ssim"]["mean"] == pytest.approx(other - one)

    def test_metric_without_weights_is_named_and_the_rest_goes_on(self, results, entry):
        (missing,) = results["not_computed"]
        assert missing["what"] == "clip_similarity" and "clip" in missing["reason"].lower()
        assert not any("clip_similarity" in means for means in entry["means"].values())

    def test_time_per_image_is_taken_of_full_batches(self, entry, model):
        time = entry["seconds_per_image"][model]
        assert (time["batch_size"], time["num_batches"]) == (2, 2)
        assert 0 < time["low"] <= time["median"] <= time["high"]

    def test_checks_are_those_of_the_checkpoint(self, results, model, pipe, rows):
        found = results["identity"][model]["contents, held_out"]
        contents = [rows[i]["content"] for i in (0, 2, 4)]
        assert found["num_images"] == 3
        assert found["means"] == evaluate_identity(pipe, contents, **FAST).to_dict()["means"]
        assert len(results["reconstruction"][model]) == 3

    def test_other_batches_change_nothing(self, pipe, tiny_model_dir, data, entry, model, tmp_path):
        arguments = {"num_resamples": 50, "batch_size": NUM_PAIRS, "num_checks": 1}
        config = EvaluationConfig(
            data, tmp_path / "out", models=[tiny_model_dir], metrics=METRICS[3:], baselines=[], **arguments
        )
        found = run_evaluation(config, load=lambda name: pipe)["sets"]["held_out"]
        for measure, one in found["means"][model].items():
            assert one["mean"] == pytest.approx(entry["means"][model][measure]["mean"], rel=1e-3)

    def test_curve_follows_the_dial(self, pipe, tiny_model_dir, data, tmp_path):
        config = EvaluationConfig(
            data,
            tmp_path / "out",
            models=[tiny_model_dir],
            metrics=[],
            baselines=["content", "style"],
            strengths=(-1, 0, 1),
            num_checks=NUM_PAIRS,
            **FAST,
        )
        found = run_evaluation(config, load=lambda name: Dial(pipe))["sets"]["held_out"]
        (report,) = map(StrengthReport.from_dict, found["strength"].values())
        assert report.strengths == (-1, 0, 1) and report.num_pairs == NUM_PAIRS
        assert report.is_clearly_monotone("content_structure") and report.is_monotone("style_colour")
        assert report.monotone_share["content_colour"] == 1
        (curve,) = found["trade_off"]["curves"].values()
        assert [point["style_strength"] for point in curve] == [-1, 0, 1]
        assert found["trade_off"]["points"]["style"]["style_colour"]["mean"] == 0

    def test_single_pair_has_no_interval_and_no_swap(self, rows, tmp_path):
        Dataset.from_list(rows[:1]).save_to_disk(tmp_path / "one")
        config = controls_only(f"triplets:{tmp_path / 'one'}", tmp_path / "out")
        found = run_evaluation(config, generators=[Oracle(rows)])["sets"]["one"]
        assert found["means"]["oracle"]["style_colour"]["low"] is None
        assert found["differences"]["oracle"]["content"]["style_colour"]["verdict"] == "unclear"
        assert found["pairs"][0]["swapped_with"] is None

    def test_without_targets_nothing_is_compared_with_them(self, rows, tmp_path):
        unpaired = [{name: row[name] for name in ("content", "style")} for row in rows]
        Dataset.from_list(unpaired).save_to_disk(tmp_path / "two")
        config = controls_only(f"triplets:{tmp_path / 'two'}", tmp_path / "out", metrics=["ssim", "target_colour"])
        found = run_evaluation(config, generators=[Copier(rows)])["sets"]["two"]
        assert found["means"]["copier"].keys() == {"ssim"}
        assert found["means"]["copier"]["ssim"]["mean"] == pytest.approx(1)  # with the content, as in the paper

    def test_one_style_for_all_is_swapped_with_a_warning(self, rows, tmp_path):
        Dataset.from_list([{**row, "style_id": "one"} for row in rows[:2]]).save_to_disk(tmp_path / "same")
        with CaptureLogger(logging.get_logger("stylevar_hf.evaluation.pairs")) as captured:
            config = controls_only(f"triplets:{tmp_path / 'same'}", tmp_path / "out")
            found = run_evaluation(config, generators=[Oracle(rows)])
        assert found["sets"]["same"]["notes"] == ["Another pair's style: for 2 of 2 pairs it is the same style."]
        assert "Styles are swapped whatever their `style_id`" in captured.out

    def test_generator_of_too_few_pictures_is_refused(self, rows, data, tmp_path):
        lazy = Copier(rows)
        lazy.stylize = lambda contents, styles, seeds: contents[:1]
        with pytest.raises(ValueError, match="`copier` must be a generator of one picture per pair"):
            run_evaluation(controls_only(data, tmp_path / "out"), generators=[lazy])


class MeanDistance:
    """A metric of a whole set, as FID is one, without a network."""

    inputs = ("predictions", "references")

    def __init__(self):
        self.distances = []

    def add_batch(self, predictions, references):
        self.distances += [
            np.abs(np.subtract(p, r, dtype=float)).mean() for p, r in zip(predictions, references, strict=True)
        ]

    def compute(self):
        distances, self.distances = self.distances, []
        return {"fid": float(np.mean(distances))}


class NotANumber(MeanDistance):
    """A metric that does not work."""

    def compute(self, reduction=None):
        return {name: float("nan") if reduction is None else [0.0, *[float("nan")] * 4] for name in ("fid", "ssim")}


class TestMetricsOfASet:
    @pytest.mark.parametrize(("name", "what"), [("fid", "got nan for"), ("ssim", "got 4 values of 5 that are not")])
    def test_values_that_are_no_numbers_are_not_a_result(self, name, what, rows, data, tmp_path, monkeypatch):
        monkeypatch.setattr("stylevar_hf.evaluation.run.measuring.load_metric", lambda *_, **__: NotANumber())
        found = run_evaluation(controls_only(data, tmp_path / "out", metrics=[name]), generators=[Copier(rows)])
        assert what in found["not_computed"][0]["reason"] and name not in found["sets"]["held_out"]["means"]["copier"]

    def test_damaged_weights_are_named_and_the_rest_goes_on(self, rows, data, tmp_path):
        (tmp_path / "vgg19.pth").write_bytes(b"not weights")
        weights = {"style_loss": str(tmp_path / "vgg19.pth")}
        config = controls_only(data, tmp_path / "out", metrics=["style_loss", "style_colour"], weights=weights)
        found = run_evaluation(config, generators=[Oracle(rows)])
        assert "vgg19.pth, which cannot be read" in found["not_computed"][0]["reason"]
        assert found["sets"]["held_out"]["means"]["oracle"].keys() == {"style_colour"}

    def test_damaged_weights_where_torch_keeps_them_too(self, rows, data, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth").write_bytes(b"not weights")
        config = controls_only(data, tmp_path / "out", metrics=["style_loss", "style_colour"])
        found = run_evaluation(config, generators=[Oracle(rows)])
        assert "vgg19-dcbb9e9d.pth, which cannot be read" in found["not_computed"][0]["reason"]
        assert found["sets"]["held_out"]["means"]["oracle"].keys() == {"style_colour"}

    def test_have_a_value_and_no_interval(self, rows, data, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "stylevar_hf.evaluation.run.measuring.load_metric",
            lambda name, **options: asked.append((name, options["weights"])) or MeanDistance(),
        )
        weights = {"fid": str(tmp_path)}
        config = controls_only(data, tmp_path / "out", metrics=["fid"], baselines=["style"], weights=weights)
        found = run_evaluation(config, generators=[Copier(rows)])["sets"]["held_out"]
        expected = np.mean([np.abs(np.subtract(r["content"], r["style"], dtype=float)).mean() for r in rows])
        assert asked == [("fid", str(tmp_path))]
        assert found["means"]["copier"]["fid"] == {"mean": pytest.approx(expected), "low": None, "high": None}
        assert found["means"]["style"]["fid"]["mean"] == 0
        difference = {"mean": pytest.approx(expected), "low": None, "high": None, "verdict": "unclear"}
        assert found["differences"]["copier"]["style"]["fid"] == difference


class TestAdaIN:
    def test_is_a_row_and_other_weights_are_refused_on_its_pictures(self, rows, data, tmp_path):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = AdaINModel(AdaINConfig())
        model.config.encoder_digest = model.encoder_digest()
        model.save_pretrained(tmp_path / "adain")
        (tmp_path / "other").mkdir()
        arguments = {"baselines": ["adain"], "num_pairs": 2}
        weights = {"adain": str(tmp_path / "adain")}
        config = controls_only(data, tmp_path / "out", weights=weights, **arguments)
        found = run_evaluation(config, generators=[Oracle(rows)])
        assert found["not_computed"] == [] and found["sets"]["held_out"]["means"]["adain"].keys() == {"style_colour"}
        assert found["systems"]["adain"]["title"] == "AdaIN"
        weights = {"adain": str(tmp_path / "other")}
        config = controls_only(data, tmp_path / "out", weights=weights, resume=True, **arguments)
        with pytest.raises(ValueError, match="`weights` must be those of the pictures of AdaIN"):
            run_evaluation(config, generators=[Oracle(rows)])

    def test_weights_that_did_not_load_are_not_noted(self, rows, data, tmp_path):
        found = {}
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            weights = {"adain": str(tmp_path / name)}
            config = controls_only(
                data, tmp_path / "out", baselines=["adain"], weights=weights, resume=name == "second"
            )
            found = run_evaluation(config, generators=[Oracle(rows)])
        assert "second' lacks vgg_normalised.pth" in found["not_computed"][0]["reason"]

    def test_is_not_computed_without_weights(self, rows, data, tmp_path):
        config = controls_only(data, tmp_path / "out", baselines=["adain", "content"])
        found = run_evaluation(config, generators=[Oracle(rows)])
        assert [one["title"] for one in found["not_computed"]] == ["AdaIN"]
        assert list(found["sets"]["held_out"]["means"]) == ["oracle", "content"]


class TestAdapters:
    @pytest.fixture
    def adapter(self, tiny_model_dir, tmp_path) -> Path:
        """As much of an adapter as is read before anything is painted, on a base of its own."""
        shutil.copytree(tiny_model_dir, tmp_path / "base")
        (tmp_path / "adapter").mkdir()
        config = {"base_model_name_or_path": str(tmp_path / "base"), "peft_type": "LORA"}
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        return tmp_path / "adapter"

    def test_pictures_are_those_of_its_own_processor_or_its_bases(self, adapter, pipe):
        assert common_processor({"a": str(adapter)}, None).resize_mode == pipe.image_processor.resize_mode
        size = dict(pipe.image_processor.size)
        StyleVARImageProcessor(size=size, resize_mode="center_crop").save_pretrained(adapter)
        assert common_processor({"a": str(adapter)}, None).resize_mode == "center_crop"

    def test_another_base_is_another_checkpoint(self, adapter):
        before = fingerprint(str(adapter))
        with open(adapter.parent / "base" / "model.safetensors", "ab") as file:
            file.write(b" ")
        after = fingerprint(str(adapter))
        assert before.split(" on ")[0] == after.split(" on ")[0] and before != after


class TestResume:
    def test_killed_run_goes_on_where_it_was(self, rows, data, tmp_path):
        oracle, folder = Oracle(rows), tmp_path / "out"
        paint = oracle.stylize

        def dying(contents, styles, seeds):
            if seeds[0] == 2:
                raise KeyboardInterrupt
            return paint(contents, styles, seeds)

        oracle.stylize = dying
        with pytest.raises(KeyboardInterrupt):
            run_evaluation(controls_only(data, folder), generators=[oracle])
        painted = folder / "outputs" / "held_out" / "oracle"
        assert sorted(file.name for file in painted.glob("*.png")) == ["00000.png", "00001.png"]
        (painted / ".00002.png.99.tmp").write_bytes(b"half")

        second = Oracle(rows)
        found = run_evaluation(controls_only(data, folder, resume=True), generators=[second])
        assert second.painted == 2 + 3  # the warm-up, and what was missing
        whole = run_evaluation(controls_only(data, tmp_path / "whole"), generators=[Oracle(rows)])
        assert found["sets"]["held_out"]["means"] == whole["sets"]["held_out"]["means"]
        assert not list(folder.rglob("*.tmp"))

    def test_finished_run_paints_nothing_and_takes_further_metrics(self, rows, data, tmp_path):
        run_evaluation(controls_only(data, tmp_path / "out"), generators=[Oracle(rows)])
        again = Oracle(rows)
        config = controls_only(data, tmp_path / "out", resume=True, metrics=["style_texture"], baselines=["style"])
        found = run_evaluation(config, generators=[again])["sets"]["held_out"]
        assert again.painted == 0
        assert set(found["means"]) == {"oracle", "style"} and set(found["means"]["oracle"]) == {"style_texture"}

    def test_times_are_those_of_the_device_that_painted_more(self, rows, data, tmp_path):
        """Where a run went on with another one; a file of an older version names none."""
        run_evaluation(controls_only(data, tmp_path / "out"), generators=[Oracle(rows)])
        file = tmp_path / "out" / "outputs" / "held_out" / "oracle" / "times.json"
        here = json.loads(file.read_text())["batches"]
        other = [{"images": 2, "seconds": 100.0, "device": "other"}, {"images": 2, "seconds": 300.0}]
        file.write_text(json.dumps({"batches": [*other, *here]}))
        config = controls_only(data, tmp_path / "out", resume=True)
        time = run_evaluation(config, generators=[Oracle(rows)])["sets"]["held_out"]["seconds_per_image"]["oracle"]
        assert (time["num_batches"], time["device"]) == (2, here[0]["device"]) and time["high"] < 50
        file.write_text(json.dumps({"batches": [*here, *other[:1] * 3]}))
        time = run_evaluation(config, generators=[Oracle(rows)])["sets"]["held_out"]["seconds_per_image"]["oracle"]
        assert (time["median"], time["num_batches"], time["device"]) == (50, 3, "other")

    def test_pictures_that_are_painted_again_are_measured_again(self, rows, data, tmp_path):
        run_evaluation(controls_only(data, tmp_path / "out"), generators=[Oracle(rows)])
        (tmp_path / "out" / "outputs" / "held_out" / "oracle" / "00000.png").unlink()
        copier = Copier(rows)
        copier.name = "oracle"
        found = run_evaluation(controls_only(data, tmp_path / "out", resume=True), generators=[copier])
        values = json.loads((tmp_path / "out" / "values" / "held_out" / "oracle.json").read_text())
        whole = json.loads((tmp_path / "out" / "values" / "held_out" / "content.json").read_text())
        first, *others = (entry["style_colour"]["values"] for entry in (values, whole))
        assert first[0] == others[0][0] and first[1] != others[0][1]
        assert found["sets"]["held_out"]["means"]["oracle"]["style_colour"]["mean"] == pytest.approx(np.mean(first))

    def test_folder_of_a_run_is_refused_without_resume(self, finished, tiny_model_dir, data):
        config = EvaluationConfig(data, finished[1], models=[tiny_model_dir])
        with pytest.raises(ValueError, match="`output_dir` must be new or empty, but got .*which holds a run"):
            run_evaluation(config, load=None)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seed": 1}, "differs in .*seed"),
            ({"num_pairs": 2}, "differs in pairs"),
            ({"image_size": 32}, "image_size"),
        ],
    )
    def test_another_run_is_refused_with_resume(self, rows, data, tmp_path, change, message):
        run_evaluation(controls_only(data, tmp_path / "out"), generators=[Oracle(rows)])
        with pytest.raises(ValueError, match=f"`resume` must go on with the same run, .*{message}"):
            run_evaluation(controls_only(data, tmp_path / "out", resume=True, **change), generators=[Oracle(rows)])

    def test_other_weights_of_a_checkpoint_are_another_run(self, pipe, tiny_model_dir, data, tmp_path):
        copy = tmp_path / Path(tiny_model_dir).name
        pipe.save_pretrained(copy)  # its head differs
        arguments = {"metrics": ["style_colour"], "baselines": [], "num_checks": 1, "num_pairs": 2, **FAST}
        config = EvaluationConfig(data, tmp_path / "out", models=[tiny_model_dir], **arguments)
        run_evaluation(config, load=lambda name: pipe)
        config = EvaluationConfig(data, tmp_path / "out", models=[str(copy)], resume=True, **arguments)
        with pytest.raises(ValueError, match="which differs in models"):
            run_evaluation(config, load=lambda name: pipe)

    def test_folder_with_other_files_is_refused(self, rows, data, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(ValueError, match="with other files"):
            run_evaluation(controls_only(data, tmp_path), generators=[Oracle(rows)])
        with pytest.raises(ValueError, match="must be a folder, but got the file"):
            run_evaluation(controls_only(data, tmp_path / "mine.txt"), generators=[Oracle(rows)])


class TestEvaluationConfig:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"benchmark": "coco"}, "`benchmark` must be"),
            ({"metrics": ["sim"]}, "`metrics` must be of .*but got 'sim'. Did you mean 'ssim'"),
            ({"baselines": ["gatys"]}, "`baselines` must be of content, style"),
            ({"weights": {"vgg": "."}}, "`weights` must be of a metric, of adain or of transfer, but got 'vgg'"),
            ({"weights": {"lpips": "none.pth"}}, "`weights` must be files or folders that exist"),
            ({"style_strength": 2}, r"`style_strength` must be in \[-1, 1\]"),
            ({"strengths": (1, 0)}, "`strengths` must be rising"),
            ({"strengths": (0, 2)}, r"`strengths` must be in \[-1, 1\]"),
            ({"batch_size": 0}, "`batch_size` must be an integer of at least 1"),
            ({"seed": -1}, "`seed` must be an integer of at least 0"),
            ({"num_pairs": 0}, "`num_pairs` must be"),
        ],
    )
    def test_refuses_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            EvaluationConfig(**{"benchmark": "procedural", "output_dir": "out", **arguments})

    @pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
    def test_folder_that_is_no_checkpoint_is_refused_before_anything_is_painted(
        self, missing, tiny_model_dir, data, tmp_path
    ):
        """Without a config transformers would go on with the default one."""
        shutil.copytree(tiny_model_dir, tmp_path / "model")
        (tmp_path / "model" / missing).unlink()
        config = EvaluationConfig(data, tmp_path / "out", models=[str(tmp_path / "model")])
        with pytest.raises(OSError, match=f"`models` must be folders.*{missing}"):
            run_evaluation(config)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("place", ["token_cross_entropies", "evaluate_identity"])
    def test_too_little_memory_is_one_line(self, place, pipe, tiny_model_dir, data, tmp_path, monkeypatch):
        def fails(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(f"stylevar_hf.evaluation.run.runner.{place}", fails)
        options = {"metrics": ["cross_entropy"], "baselines": [], **FAST}
        config = EvaluationConfig(data, tmp_path / "out", models=[tiny_model_dir], **options)
        with pytest.raises(ValueError, match="`batch_size` must be small enough for the memory, but got 2"):
            run_evaluation(config, load=lambda model: pipe)

    def test_nothing_to_evaluate_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`models` must be one checkpoint or more"):
            run_evaluation(EvaluationConfig("procedural", tmp_path / "out"))


class TestSystems:
    @pytest.mark.parametrize(
        ("paths", "names"),
        [
            (["runs/sft", "runs/grpo/"], ["sft", "grpo"]),
            (["a/final", "b/final"], ["a/final", "b/final"]),
            (["/one/model"], ["model"]),
        ],
    )
    def test_models_have_short_names(self, paths, names):
        assert name_models(paths) == dict(zip(names, paths, strict=True))

    def test_one_model_twice_is_refused(self):
        with pytest.raises(ValueError, match="`models` must be different checkpoints"):
            name_models(["a/b", "a/b"])

    def test_generator_with_a_taken_name_is_refused(self):
        with pytest.raises(ValueError, match="`generators` must be named unlike .*'content'"):
            list_systems(["m"], ["content"], CONTROLS, 0.0, ())

    def test_names_of_one_folder_are_refused(self):
        with pytest.raises(ValueError, match="must be named unlike .*'a/final'"):
            list_systems(["a/final", "A-final"], [], [], 0.0, ())

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("0.3", (0.3, ())), ("-1:1:5", (0, (-1, -0.5, 0, 0.5, 1))), ("0:0.3:2", (0, (0, 0.3)))],
    )
    def test_strengths(self, text, expected):
        assert parse_strengths(text) == expected

    @pytest.mark.parametrize("text", ["2", "x", "1:-1:3", "-1:1:1", "-1:1", "-1:1:2.5", "-2:1:3"])
    def test_refuses_other_strengths(self, text):
        with pytest.raises(ValueError, match="`style_strength` must be a number in"):
            parse_strengths(text)


class TestVerdict:
    @pytest.mark.parametrize(
        ("measure", "interval", "expected"),
        [
            ("ssim", (0.05, 0.2), "better"),
            ("style_colour", (0.5, 2), "worse"),
            ("style_colour", (-2, -1), "better"),
            ("ssim", (-0.1, 0.2), "unclear"),
            ("ssim", (math.nan, math.nan), "unclear"),
        ],
    )
    def test_follows_the_direction_of_the_measure(self, measure, interval, expected):
        assert verdict(Estimate(0.1, *interval), get_measure(measure)) == expected

    def test_step_in_the_wrong_direction_is_not_monotone(self):
        steps = (Estimate(0.5, 0.1, 0.9), Estimate(-0.1, -0.3, 0.1))
        found = StrengthReport(3, (-1, 0, 1), {}, {"content_structure": steps}, {})
        assert not found.is_monotone("content_structure")


class TestReport:
    def test_files_are_there(self, finished):
        folder = finished[1]
        names = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
        assert names >= {"results.json", "results.md", "index.html", "plots", "galleries", ".eval_results", "outputs"}
        assert not list(folder.rglob("*.tmp"))

    def test_json_is_what_was_returned(self, finished):
        results, folder = finished
        assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))

    def test_markdown_has_the_papers_table_and_everything_else(self, finished, model):
        text = (finished[1] / "results.md").read_text()
        (heads,) = (line for line in text.splitlines() if line.startswith("| Benchmark"))
        assert [head.strip() for head in heads.split("|")[3:-1]] == ["SSIM ↑", "CLIP ↑", "s/image ↓"]
        for part in (
            "| Held out (n = 5) | tiny-stylevar",
            "|  | return the content |",
            "Not computed:",
            "5 pairs of 3 contents",
            "minus return the style",
            "Reinhard",
            "monotone",
            "## Style = content",
            "## Tokenizer",
            "seed: 0",
            "✓",
        ):
            assert part in text, part
        for link in re.findall(r"\]\((.*?)\)", text):
            assert (finished[1] / link.replace("%20", " ")).is_file()

    def test_page_is_self_contained_and_shows_every_figure(self, finished):
        results, folder = finished
        page = (folder / "index.html").read_text()
        assert not re.findall(r"(?:src|href|srcset)=\"(?!data:|#)", page) and "<script" not in page
        # gallery of 3 + 5 columns less the two that are shown anyway, and 5 columns over the strength
        assert page.count('<img src="data:image/webp') == NUM_PAIRS * (3 + 4) + 3 * 5
        assert page.count("data:image/png") == 2  # the plots
        assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page and '<html lang="en">' in page

    def test_page_and_markdown_escape_names(self, results):
        copy = json.loads(json.dumps(results))
        copy["sets"]["held_out"]["left_out"] = ["<b>a|b_c</b>.png"]
        sections = build_sections(copy)
        assert "<b>" not in to_html(sections, {}, "<b>title") and "&lt;b&gt;a|b_c" in to_html(sections, {}, "t")
        assert "&lt;b>a|b\\_c" in to_markdown(sections, {})

    def test_markdown_shows_names_and_code_as_they_are(self):
        """As a reader renders them; a backslash within code would be shown."""
        markdown_it = pytest.importorskip("markdown_it")
        name = r"*a*_b_ [c](d)![e](f) `lpips_weights` ~~g~~ &lt;i> C:\_x a|b"
        table = Table(["Method", name], [[name, "0.1 [0.0, 0.2]"]], name)
        text = to_markdown([Section(name, [f"x {name}\ny", Bullets([name]), table])], {})
        assert "0.1 [0.0, 0.2]" in text
        page = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
        shown = html.escape(name)
        for part in (f"<h2>{shown}</h2>", f"<p>x {shown} y</p>", f"<li>{shown}</li>", f"<td>{shown}</td>"):
            assert part in page

    def test_page_takes_no_name_for_an_interval(self):
        table = Table(["Benchmark", "Method", "SSIM"], [["a", "sft [v2]", "0.1 [0.0, 0.2]"]])
        page = to_html([Section("s", [table])], {}, "t")
        assert '<td class="left">sft [v2]</td>' in page
        assert '<td>0.1<br><span class="interval">[0.0, 0.2]</span></td>' in page

    def test_plots_show_names_as_they_are(self, results, model):
        """Not as formulas, of which some are none; and the legend leaves no curve out."""
        name = "_run $x_{$"
        copy = json.loads(json.dumps(results).replace(f'"{model}"', json.dumps(name)))
        copy["sets"]["a$x_{$"] = copy["sets"]["held_out"]
        bars, trade_off = (draw(copy, "a$x_{$") for draw in (draw_bars, draw_trade_off))
        assert to_png(bars) and to_png(trade_off)
        assert [text.get_text() for text in trade_off.legends[0].get_texts()] == [r" _run \$x_{\$"]

    def test_hub_entries_can_be_read_back(self, finished, model):
        results, folder = finished
        (file,) = (folder / ".eval_results").rglob("*.yaml")
        entries = {one.task_id: one for one in parse_eval_result_entries(yaml.safe_load(file.read_text()))}
        mean = results["sets"]["held_out"]["means"][model]["ssim"]["mean"]
        assert entries["ssim"].value == pytest.approx(mean, abs=1e-6)
        assert entries["ssim"].dataset_id == "someone/held-out"
        assert "n = 5 pairs of 3 contents" in entries["ssim"].notes and "95% interval" in entries["ssim"].notes

    def test_plots_and_galleries_are_pictures(self, finished):
        files = [*(finished[1] / "plots").iterdir(), *(finished[1] / "galleries").iterdir()]
        assert len(files) == 4
        for file in files:
            with PIL.Image.open(file) as image:
                assert np.asarray(image.convert("L")).std() > 5, file  # not blank


class TestChecks:
    def test_identity_compares_with_the_content(self, pipe, rows):
        contents = [row["content"] for row in rows]
        found = evaluate_identity(pipe, contents, **FAST)
        values = [structural_similarity(pipe(c, c, seed=i), c) for i, c in enumerate(contents)]
        assert found.num_images == NUM_PAIRS
        assert found.means["ssim"].mean == pytest.approx(np.mean(values))
        perfect = evaluate_identity(Dial(pipe), contents, **FAST)
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

    def test_bare_model_in_training_is_put_into_evaluation(self, pipe, rows):
        pipe.model.train()
        evaluate_identity(pipe.model, [rows[0]["content"]], **FAST)
        assert not pipe.model.training

    @pytest.mark.parametrize("check", [evaluate_identity, evaluate_reconstruction])
    def test_refuses_no_pictures(self, pipe, check):
        with pytest.raises(ValueError, match="`images` must be one or more pictures"):
            check(pipe, [])

    def test_refuses_what_is_no_model(self, rows):
        with pytest.raises(ValueError, match="`pipeline` must be a StyleVARPipeline"):
            evaluate_identity("a/folder", [rows[0]["content"]])


class TestGallery:
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
    def test_is_the_evaluation_with_the_dial(self, tiny_model_dir, data, tmp_path, monkeypatch, capsys):
        script = Path(__file__).parents[1] / "examples" / "evaluate_triplets.py"
        options = (
            f"--model {tiny_model_dir} --dataset {data.partition(':')[2]} --num_pairs 3 --num_checks 2 --device cpu "
            "--metrics style_colour"
        )
        monkeypatch.setattr(sys, "argv", [str(script), *options.split(), "--output", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(script), run_name="__main__")
        assert stopped.value.code == 0
        found = json.loads((tmp_path / "out" / "results.json").read_text())
        assert found["sets"]["held_out"]["num_pairs"] == 3 and found["sets"]["held_out"]["trade_off"]["num_pairs"] == 2
        assert "results.md" in capsys.readouterr().out
