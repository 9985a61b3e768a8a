# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from conftest import make_tiny_config

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor
from stylevar_hf.cli import main
from stylevar_hf.data import load_omnistyle


FAST = "--metrics ssim style_colour --num-checks 2 --batch-size 4 --device cpu --quiet".split()


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def omnistyle(tmp_path) -> Path:
    root = tmp_path / "omnistyle"
    for c in range(12):
        save(root / "content" / f"room {c}.png", c)
        for s in range(2):
            save(root / "style" / f"oil {s}.png", 100 + s)
            save(root / "target" / f"room {c}.png&&oil {s}.png.png", 1000 + 10 * c + s)
    return root


@pytest.fixture
def imagepulse(tmp_path) -> Path:
    root = tmp_path / "imagepulse"
    for i in range(40):
        for place, name in enumerate(("content", "style", "target")):
            save(root / f"{i:03d}" / f"{name}.png", 3 * i + place)
    return root


@pytest.fixture
def folders(tmp_path) -> str:
    for i in range(3):
        save(tmp_path / "contents" / f"{i}.png", i)
        save(tmp_path / "styles" / f"{i}.png", 10 + i)
    return f"{tmp_path / 'contents'},{tmp_path / 'styles'}"


def evaluate(capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()  # of what came before
    code = main(["evaluate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def check_error(capsys, *arguments: str) -> str:
    """Exit code 2, and one line on stderr, which is returned."""
    code, out, err = evaluate(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("stylevar: error: ")
    return err


class TestEvaluate:
    def test_two_checkpoints_on_omnistyle(self, omnistyle, tiny_model_dir, tmp_path, capsys):
        other = shutil.copytree(tiny_model_dir, tmp_path / "other")
        arguments = ("--model", tiny_model_dir, other, "--benchmark", f"omnistyle:{omnistyle}", "-o", tmp_path / "out")
        curve = ("--style-strength", "-1:1:3")
        code, out, err = evaluate(capsys, *arguments, *curve, *FAST, "--json", "--baselines", "content", "swapped")
        assert (code, err) == (0, "")
        found = json.loads(out)
        names = [Path(tiny_model_dir).name, "other"]
        entry = found["sets"]["omnistyle"]
        assert list(entry["means"]) == [*names, "content", *(f"{name}+swapped" for name in names)]
        assert entry["num_pairs"] == 2 * entry["num_contents"] and "validation split" in entry["source"]
        # a copy is no better: every pair is equal
        assert entry["differences"]["other"][names[0]]["ssim"] == {
            "mean": 0,
            **entry_bounds(entry),
            "verdict": "unclear",
        }
        assert [point["style_strength"] for point in entry["trade_off"]["curves"]["other"]] == [-1, 0, 1]
        assert {path.parent.name for path in (tmp_path / "out" / ".eval_results").rglob("*.yaml")} == set(names)

    def test_split_is_that_of_the_training(self, omnistyle, tiny_model_dir, tmp_path, capsys):
        arguments = ("--model", tiny_model_dir, "--benchmark", f"omnistyle:{omnistyle}", *FAST, "--json")
        found = {}
        for name, split in (("default", ()), ("own", ("--validation-fraction", "0.5", "--split-seed", "3"))):
            output = ("-o", tmp_path / name, "--baselines", "content")
            found[name] = json.loads(evaluate(capsys, *arguments, *output, *split)[1])["sets"]["omnistyle"]
        training = load_omnistyle(omnistyle, "validation", validation_fraction=0.5, seed=3)
        assert {pair["content_id"] for pair in found["own"]["pairs"]} == set(training["content_id"])
        assert found["own"]["source"].endswith("validation split (0.5 of the contents, split seed 3)")
        assert found["default"]["source"].endswith("validation split (0.05 of the contents, split seed 0)")

    def test_quiet_shows_no_bar_of_other_packages(self, tiny_model_dir, tmp_path, capsys):
        arguments = ("--model", tiny_model_dir, "-o", tmp_path / "out", "--num-pairs", "1", "--baselines", *FAST)
        assert evaluate(capsys, *arguments) == (0, "", "")

    def test_imagepulse_without_the_weights_of_adain(self, imagepulse, tiny_model_dir, tmp_path, capsys):
        arguments = ("--model", tiny_model_dir, "--benchmark", f"imagepulse:{imagepulse}", "-o", tmp_path / "out")
        options = [option for option in FAST if option != "--quiet"]
        code, out, err = evaluate(capsys, *arguments, *options, "--baselines", "adain", "reinhard")
        assert code == 0
        assert out.splitlines() == [
            f"{tmp_path / 'out'}/{name}" for name in ("results.json", "results.md", "index.html")
        ]
        assert "not computed: AdaIN: AdaIN needs vgg_normalised.pth" in err
        text = (tmp_path / "out" / "results.md").read_text()
        assert "| ImagePulse (n = " in text and "Reinhard" in text and "AdaIN: AdaIN needs" in text

    def test_unpaired_and_resumed(self, folders, tiny_model_dir, tmp_path, capsys):
        arguments = ("--model", tiny_model_dir, "--benchmark", f"unpaired:{folders}", "-o", tmp_path / "out", *FAST)
        assert evaluate(capsys, *arguments, "--num-pairs", "4", "--baselines")[0] == 0
        first = json.loads((tmp_path / "out" / "results.json").read_text())["sets"]["unpaired"]
        (tmp_path / "out" / "outputs" / "unpaired" / Path(tiny_model_dir).name / "00002.png").unlink()
        assert evaluate(capsys, *arguments, "--num-pairs", "4", "--baselines", "--resume")[0] == 0
        second = json.loads((tmp_path / "out" / "results.json").read_text())["sets"]["unpaired"]
        assert first["means"] == second["means"] and first["pairs"] == second["pairs"]
        assert not first["has_target"] and list(first["means"]) == [Path(tiny_model_dir).name]

    def test_help_needs_no_torch(self):
        code = (
            "import sys; from stylevar_hf.commands import evaluate; import argparse; "
            "evaluate.add_arguments(argparse.ArgumentParser()); print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "False\n", done.stderr


def entry_bounds(entry: dict) -> dict:
    """Both ends at 0, or no interval where chance left a single content."""
    return {"low": None, "high": None} if entry["num_contents"] == 1 else {"low": 0, "high": 0}


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--benchmark", "coco"], "--benchmark must be procedural, omnistyle:ROOT"),
            (["--benchmark", "omnistyle:none"], "--benchmark must be an existing folder"),
            (["--metrics", "lpip"], "--metrics must be of style_loss.*but got 'lpip'. Did you mean 'lpips'"),
            (["--baselines", "gatys"], "--baselines must be of content"),
            (["--weights", "lpips"], "--weights must be NAME=PATH, but got 'lpips'"),
            (["--style-strength", "5"], "--style-strength must be a number in"),
            (["--model", "none/such"], "--model must be folders or Hub ids of checkpoints, but got 'none/such'"),
        ],
    )
    def test_arguments(self, arguments, message, tiny_model_dir, tmp_path, capsys):
        error = check_error(capsys, "-o", tmp_path / "out", "--model", tiny_model_dir, *arguments, "--quiet")
        assert re.search(message, error), error
        assert not (tmp_path / "out").exists()

    def test_empty_benchmark(self, tiny_model_dir, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        arguments = ("--benchmark", f"imagepulse:{tmp_path / 'empty'}", "-o", tmp_path / "out", *FAST)
        error = check_error(capsys, "--model", tiny_model_dir, *arguments)
        assert "--benchmark must hold triplets, but got" in error

    def test_missing_target(self, imagepulse, tiny_model_dir, tmp_path, capsys):
        for i in range(40):
            (imagepulse / f"{i:03d}" / "target.png").unlink()
        arguments = (
            "--model",
            tiny_model_dir,
            "--benchmark",
            f"imagepulse:{imagepulse}",
            "-o",
            tmp_path / "out",
            *FAST,
        )
        error = check_error(capsys, *arguments)
        assert "--benchmark must hold complete triplets" in error and "with 40 problems" in error
        assert "000" in error and "--allow-missing" in error

    def test_unreadable_picture_in_the_middle(self, folders, tiny_model_dir, tmp_path, capsys):
        (tmp_path / "contents" / "1.png").write_bytes(b"no picture")
        arguments = ("--model", tiny_model_dir, "--benchmark", f"styleid:{folders}", "-o", tmp_path / "out", *FAST)
        error = check_error(capsys, *arguments, "--baselines")
        assert "3 of 9 pairs" in error and "1.png" in error and "--allow-missing" in error
        assert not (tmp_path / "out").exists()
        assert evaluate(capsys, *arguments, "--baselines", "--allow-missing")[0] == 0
        found = json.loads((tmp_path / "out" / "results.json").read_text())["sets"]["styleid"]
        assert found["num_pairs"] == 6 and len(found["left_out"]) == 3
        assert "3 left out:" in (tmp_path / "out" / "results.md").read_text()

    def test_two_checkpoints_of_different_sizes(self, tiny_model_dir, tmp_path, capsys):
        vq_config = {**make_tiny_config().vq_config.to_dict(), "patch_nums": (1, 2, 4, 8)}
        config = make_tiny_config(vq_config=vq_config, blend_alphas=None)
        StyleVARForConditionalGeneration(config).save_pretrained(tmp_path / "large")
        side = config.image_size
        StyleVARImageProcessor(size={"height": side, "width": side}).save_pretrained(tmp_path / "large")
        error = check_error(capsys, "--model", tiny_model_dir, tmp_path / "large", "-o", tmp_path / "out", *FAST)
        assert "--model must be of one image size" in error and "large: 32 x 32" in error

    def test_folder_of_another_run(self, folders, tiny_model_dir, tmp_path, capsys):
        arguments = ("--model", tiny_model_dir, "--benchmark", f"styleid:{folders}", "-o", tmp_path / "out", *FAST)
        arguments = (*arguments, "--num-pairs", "2", "--baselines")
        assert evaluate(capsys, *arguments)[0] == 0
        assert "--output must be new or empty" in check_error(capsys, *arguments)
        error = check_error(capsys, *arguments, "--resume", "--seed", "7")
        assert "--resume must go on with the same run" in error and "seed: 0 there, 7 asked for" in error
