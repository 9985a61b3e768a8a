# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from stylevar_hf import StyleVARPipeline, bundled_checkpoint, conversion
from stylevar_hf.cli import COMMANDS, main
from stylevar_hf.commands import stylize as stylize_command
from stylevar_hf.commands.models import hide_loading_reports


EXAMPLES = Path(__file__).parents[1] / "examples" / "images"


def run_command(*arguments: str) -> int:
    """The exit code of `stylevar ...`, whichever way it ends."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as ending:
        return ending.code


@pytest.fixture
def stylize(tiny_model_dir):
    """Runs `stylevar stylize` with the tiny model."""

    def run(*arguments) -> int:
        return run_command("stylize", *arguments, "--model", tiny_model_dir, "--device", "cpu")

    return run


@pytest.fixture
def fails_at_once(monkeypatch, capsys):
    """Runs a command that must end before a model is loaded; returns its one line."""

    def run(*arguments) -> str:
        monkeypatch.setattr(stylize_command, "load_pipeline", lambda *_, **__: pytest.fail("the model was loaded"))
        assert run_command(*arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("stylevar: error: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return run


@pytest.fixture
def folder(tmp_path, image_files) -> Path:
    """A folder with `a.png`, a damaged `b.png`, `c.jpg`, a text file, and `sub/d.png`."""
    folder = tmp_path / "contents"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(image_files["content"], folder / "a.png")
    shutil.copy(image_files["other"], folder / "sub" / "d.png")
    PIL.Image.open(image_files["other"]).save(folder / "c.jpg")
    (folder / "b.png").write_bytes(Path(image_files["other"]).read_bytes()[:200])
    (folder / "notes.txt").write_text("not an image")
    return folder


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestHelp:
    def test_help_shows_worked_examples_of_every_command(self, capsys):
        assert run_command("--help") == 0
        text = capsys.readouterr().out
        for command in COMMANDS:
            assert command.example.splitlines()[0] in text

    @pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
    def test_help_of_a_command_shows_its_examples(self, command, capsys):
        assert run_command(command.name, "--help") == 0
        assert command.example.splitlines()[0] in capsys.readouterr().out

    def test_version(self, capsys):
        assert run_command("--version") == 0
        assert capsys.readouterr().out.startswith("stylevar-hf ")

    def test_help_needs_no_torch(self):
        code = (
            "import sys\nfrom stylevar_hf.cli import build_parser\nbuild_parser()\nassert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestStylizeFile:
    def test_writes_the_image_that_the_pipeline_makes(self, stylize, image_files, tiny_model_dir, tmp_path, capsys):
        out = tmp_path / "new" / "out.png"
        code = stylize(image_files["content"], image_files["style"], "-o", out, "--seed", 3, "--style-strength", 0.5)
        assert code == 0
        assert capsys.readouterr().out == f"{out}\n"
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        options = {"fit": "pad", "output_size": "content"}  # no distortion, which the published code has
        expected = pipe(image_files["content"], image_files["style"], seed=3, style_strength=0.5, **options)
        assert np.array_equal(PIL.Image.open(out), expected)

    @pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".tiff", ".webp"])
    def test_suffix_names_the_format(self, suffix, stylize, image_files, tmp_path):
        out = tmp_path / f"out{suffix}"
        assert stylize(image_files["content"], image_files["style"], "-o", out, "--greedy", "--quiet") == 0
        assert PIL.Image.open(out).size == (30, 20)

    def test_published_fit_and_size(self, stylize, image_files, tiny_model_dir, tmp_path):
        out = tmp_path / "out.png"
        options = ("--output-size", "model", "--fit", "stretch", "--seed", 0)
        stylize(image_files["content"], image_files["style"], "-o", out, *options)
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        assert np.array_equal(PIL.Image.open(out), pipe(image_files["content"], image_files["style"], seed=0))

    def test_sampling_options_reach_the_model(self, stylize, image_files, tmp_path):
        results = []
        for index, options in enumerate(
            (["--greedy"], ["--top-k", 1, "--seed", 5], ["--temperature", 50, "--seed", 5])
        ):
            out = tmp_path / f"{index}.png"
            assert stylize(image_files["content"], image_files["style"], "-o", out, *options) == 0
            results.append(np.asarray(PIL.Image.open(out)))
        assert np.array_equal(results[0], results[1]), "the one best code is the greedy one"
        assert not np.array_equal(results[0], results[2])

    def test_several_images_go_to_a_folder_with_one_seed_each(self, stylize, image_files, tmp_path, capsys):
        out = tmp_path / "out"
        arguments = (image_files["content"], image_files["style"], "-o", out, "--seed", 7, "--num-images", 3)
        assert stylize(*arguments, "--batch-size", 2, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert files_below(out) == [f"content__style_{k}.png" for k in range(3)]
        assert report["seeds"] == [entry["seed"] for entry in report["outputs"]] == [7, 8, 9]
        single = tmp_path / "single.png"
        assert stylize(image_files["content"], image_files["style"], "-o", single, "--seed", 8) == 0
        assert np.array_equal(PIL.Image.open(single), PIL.Image.open(out / "content__style_1.png"))

    def test_previews_show_every_scale(self, stylize, image_files, tmp_path, capsys):
        out = tmp_path / "out.png"
        assert stylize(image_files["content"], image_files["style"], "-o", out, "--previews", "--json") == 0
        entry = json.loads(capsys.readouterr().out)["outputs"][0]
        assert [Path(path).name for path in entry["previews"]] == [f"out_scale{k}.png" for k in (1, 2, 3, 4)]
        assert np.array_equal(PIL.Image.open(entry["previews"][-1]), PIL.Image.open(out))

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_json_reports_the_run(self, dtype, stylize, image_files, tmp_path, tiny_model_dir, capsys):
        out = tmp_path / "out.png"
        arguments = (image_files["content"], image_files["style"], "-o", out, "--seed", 1, "--dtype", dtype)
        assert stylize(*arguments, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report.pop("seconds") > 0
        assert report == {
            "model": tiny_model_dir,
            "inputs": {"content": [image_files["content"]], "style": [image_files["style"]]},
            "controls": {
                "keep_colors": 0.0,
                "strength_per_scale": None,
                "strength_map": None,
                "mask": None,
                "mask_feather": 8,
                "fit": "pad",
                "paint_size": None,
                "style_strength": 0.0,
                "output_size": "content",
                "blend": None,
                "style_masks": None,
                "best_of": 1,
                "rank_by": None,
            },
            "outputs": [
                {
                    "content": image_files["content"],
                    "style": image_files["style"],
                    "output": str(out),
                    "seed": 1,
                }
            ],
            "seeds": [1],
            "dtype": dtype,
            "device": "cpu",
            "failures": [],
        }

    def test_random_seed_is_reported_and_repeats_the_image(self, stylize, image_files, tmp_path, capsys):
        first, second = tmp_path / "first.png", tmp_path / "second.png"
        assert stylize(image_files["content"], image_files["style"], "-o", first, "--json") == 0
        seed = json.loads(capsys.readouterr().out)["seeds"][0]
        assert stylize(image_files["content"], image_files["style"], "-o", second, "--seed", seed) == 0
        assert first.read_bytes() == second.read_bytes()

    def test_quiet_says_nothing_and_leaves_the_loggers(self, image_files, tmp_path, capfd):
        loggers = [logging.getLogger(name) for name in ("stylevar_hf", "transformers", "huggingface_hub")]
        levels = [logger.level for logger in loggers]
        arguments = (image_files["content"], image_files["style"], "-o", tmp_path / "out.png", "--quiet")
        assert run_command("stylize", *arguments, "--device", "cpu") == 0
        assert capfd.readouterr() == ("", "")
        assert levels == [logger.level for logger in loggers]

    @pytest.mark.parametrize("quiet", [True, False])
    def test_quiet_hides_how_often_the_hub_is_asked(self, quiet):
        with hide_loading_reports(quiet):
            assert logging.getLogger("huggingface_hub.utils").isEnabledFor(logging.WARNING) is not quiet

    def test_without_a_model_the_bundled_one_is_used(self, tmp_path):
        out = tmp_path / "out.png"
        command = shutil.which("stylevar", path=str(Path(sys.executable).parent))
        result = subprocess.run(
            [*([command] if command else [sys.executable, "-m", "stylevar_hf.cli"]), "stylize"]
            + [str(EXAMPLES / "chelsea.jpg"), str(EXAMPLES / "church_at_auvers.jpg"), "-o", str(out), "--seed", "0"],
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{out}\n"
        assert PIL.Image.open(out).size == PIL.Image.open(EXAMPLES / "chelsea.jpg").size


class TestStylizeFolder:
    def test_broken_file_does_not_stop_the_others(self, stylize, folder, image_files, tmp_path, capsys):
        out = tmp_path / "out"
        assert stylize(folder, image_files["style"], "-o", out, "--seed", 0, "--json") == 2
        captured = capsys.readouterr()
        report = json.loads(captured.out)
        assert files_below(out) == ["a__style.png", "c__style.png"]
        assert [entry["output"] for entry in report["outputs"]] == [str(out / name) for name in files_below(out)]
        assert [failure["inputs"] for failure in report["failures"]] == [[str(folder / "b.png")]]
        assert captured.err.splitlines()[-1].startswith(f"stylevar: error: {folder / 'b.png'}: `CONTENT` must be")

    def test_result_of_a_file_does_not_depend_on_the_folder(self, stylize, folder, image_files, tmp_path):
        out, single = tmp_path / "out", tmp_path / "single.png"
        stylize(folder, image_files["style"], "-o", out, "--seed", 4, "--batch-size", 3)
        stylize(folder / "c.jpg", image_files["style"], "-o", single, "--seed", 4)
        batched, alone = (np.asarray(PIL.Image.open(path), np.int16) for path in (out / "c__style.png", single))
        assert np.abs(batched - alone).max() <= 1  # other batch, other rounding

    def test_two_folders_pair_every_content_with_every_style(self, stylize, folder, image_files, tmp_path, capsys):
        (folder / "b.png").unlink()
        styles = tmp_path / "styles"
        styles.mkdir()
        for name in ("x.png", "y.png", "broken.png"):
            shutil.copy(image_files["style"], styles / name)
        (styles / "broken.png").write_bytes(b"")
        out = tmp_path / "out"
        assert stylize(folder, styles, "-o", out, "--recursive", "--json") == 2
        assert files_below(out) == [f"{a}__{b}.png" for a in ("a", "c") for b in ("x", "y")] + [
            f"sub/d__{b}.png" for b in ("x", "y")
        ]
        assert len(json.loads(capsys.readouterr().out)["failures"]) == 1

    def test_equal_stems_keep_their_suffixes(self, stylize, folder, image_files, tmp_path):
        (folder / "b.png").unlink()
        shutil.copy(folder / "c.jpg", folder / "a.jpg")
        assert stylize(folder, image_files["style"], "-o", tmp_path / "out") == 0
        assert files_below(tmp_path / "out") == ["a.jpg__style.png", "a.png__style.png", "c__style.png"]

    def test_pair_that_cannot_be_painted_does_not_stop_the_others(
        self, stylize, folder, image_files, tmp_path, monkeypatch, capsys
    ):
        paint = StyleVARPipeline.__call__

        def refuse_tall(self, contents, *args, **kwargs):
            if any(content.height > content.width for content in contents):
                raise ValueError("too tall")
            return paint(self, contents, *args, **kwargs)

        monkeypatch.setattr(StyleVARPipeline, "__call__", refuse_tall)
        (folder / "b.png").unlink()
        assert stylize(folder, image_files["style"], "-o", tmp_path / "out", "--json") == 2
        failures = json.loads(capsys.readouterr().out)["failures"]
        assert failures == [{"inputs": [str(folder / "c.jpg"), image_files["style"]], "error": "too tall"}]
        assert files_below(tmp_path / "out") == ["a__style.png"]

    def test_names_at_the_limit_of_the_system_are_written(self, stylize, image_files, tmp_path):
        names = ["a", "n" * 240, "z"]
        (tmp_path / "contents").mkdir()
        for name in names:
            shutil.copy(image_files["content"], tmp_path / "contents" / f"{name}.png")
        assert stylize(tmp_path / "contents", image_files["style"], "-o", tmp_path / "out") == 0
        assert files_below(tmp_path / "out") == [f"{name}__style.png" for name in names]

    def test_name_that_the_system_refuses_does_not_stop_the_others(self, stylize, image_files, tmp_path, capsys):
        (tmp_path / "contents").mkdir()
        for name in ("a", "n" * 250, "z"):
            shutil.copy(image_files["content"], tmp_path / "contents" / f"{name}.png")
        assert stylize(tmp_path / "contents", image_files["style"], "-o", tmp_path / "out", "--json") == 2
        assert files_below(tmp_path / "out") == ["a__style.png", "z__style.png"]
        report = json.loads(capsys.readouterr().out)
        refused = [str(tmp_path / "contents" / f"{'n' * 250}.png"), image_files["style"]]
        assert [failure["inputs"] for failure in report["failures"]] == [refused]
        assert [Path(entry["output"]).name for entry in report["outputs"]] == ["a__style.png", "z__style.png"]

    def test_preview_that_cannot_be_written_keeps_its_image(self, stylize, image_files, tmp_path, capsys):
        content = tmp_path / f"{'n' * 240}.png"  # with `_scale1` its name is too long
        shutil.copy(image_files["content"], content)
        out = tmp_path / "out"
        assert stylize(content, image_files["style"], "-o", out, "--previews", "--json") == 2
        report = json.loads(capsys.readouterr().out)
        assert len(report["failures"]) == 4
        assert [(entry["output"], entry["previews"]) for entry in report["outputs"]] == [
            (str(out / f"{content.stem}__style.png"), [])
        ]

    def test_batch_that_needs_too_much_memory_is_painted_one_by_one(
        self, stylize, folder, image_files, tmp_path, monkeypatch, capsys
    ):
        paint = StyleVARPipeline.__call__

        def run_out(self, contents, *args, **kwargs):
            if len(contents) > 1 or contents[0].height > contents[0].width:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return paint(self, contents, *args, **kwargs)

        monkeypatch.setattr(StyleVARPipeline, "__call__", run_out)
        (folder / "b.png").unlink()
        arguments = (folder, image_files["style"], "-o", tmp_path / "out", "--batch-size", 2, "--json")
        assert stylize(*arguments) == 2
        captured = capsys.readouterr()
        (failure,) = json.loads(captured.out)["failures"]
        assert failure["inputs"] == [str(folder / "c.jpg"), image_files["style"]]
        assert failure["error"].startswith("out of memory; lower --batch-size")
        assert "Traceback" not in captured.err
        assert files_below(tmp_path / "out") == ["a__style.png"]

    def test_too_large_picture_gets_a_mend_that_works_here(self, stylize, folder, image_files, tmp_path, capsys):
        PIL.Image.new("1", (10000, 10000)).save(folder / "b.png")
        assert stylize(folder, image_files["style"], "-o", tmp_path / "out", "--json") == 2
        (failure,) = json.loads(capsys.readouterr().out)["failures"]
        assert failure["error"].endswith("= 100000000. Shrink the picture first.")


class TestStylizeBadInput:
    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--top-p", "0", "argument --top-p: must be in (0, 1], but got '0'"),
            ("--top-p", "1.5", "argument --top-p: must be in (0, 1], but got '1.5'"),
            ("--top-k", "-1", "argument --top-k: must be 0 (off) or a positive integer"),
            ("--temperature", "0", "argument --temperature: must be a positive number"),
            ("--temperature", "nan", "argument --temperature: must be a positive number"),
            ("--style-strength", "2", "argument --style-strength: must be in [-1, 1]"),
            ("--num-images", "0", "argument --num-images: must be a positive integer"),
            ("--batch-size", "x", "argument --batch-size: must be a positive integer"),
            ("--seed", "-1", "argument --seed: must be an integer in [0, 2**62)"),
            ("--dtype", "int8", "argument --dtype: invalid choice: 'int8'"),
            ("--device", "tpu", "argument --device: invalid choice: 'tpu'"),
        ],
    )
    def test_option_out_of_range(self, option, value, message, fails_at_once, image_files, tmp_path):
        out = tmp_path / "out.png"
        assert message in fails_at_once(
            "stylize", image_files["content"], image_files["style"], "-o", out, option, value
        )

    def test_no_command(self, fails_at_once):
        assert "COMMAND" in fails_at_once()

    @pytest.mark.parametrize("position", [0, 1], ids=["content", "style"])
    @pytest.mark.parametrize("kind", ["missing", "truncated", "text", "animated", "large", "huge"])
    def test_picture_that_cannot_be_used(self, kind, position, fails_at_once, image_files, tmp_path):
        bad = tmp_path / f"{kind}.png"
        if kind == "truncated":
            bad.write_bytes(Path(image_files["other"]).read_bytes()[:200])
        elif kind == "text":
            bad.write_text("not an image")
        elif kind == "animated":
            frames = [PIL.Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
            frames[0].save(bad, format="GIF", save_all=True, append_images=frames[1:])
        elif kind in ("large", "huge"):  # beyond our limit, and beyond Pillow's
            PIL.Image.new("1", (10000 if kind == "large" else 14000,) * 2).save(bad)
        inputs = [image_files["content"], image_files["style"]]
        inputs[position] = str(bad)
        line = fails_at_once("stylize", *inputs, "-o", tmp_path / "new" / "out.png")
        assert ("`CONTENT`", "`STYLE`")[position] in line
        assert str(bad) in line or kind in ("large", "huge")
        assert "max_image_pixels" not in line, "no flag sets it"
        assert not (tmp_path / "new").exists()

    def test_folder_without_images(self, fails_at_once, image_files, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        line = fails_at_once("stylize", empty, image_files["style"], "-o", tmp_path / "out")
        assert f"the folder '{empty}' without any" in line

    @pytest.mark.parametrize(
        ("output", "options", "message"),
        [
            ("out.xyz", [], "`--output` must end in one of .bmp"),
            ("out.png", ["--num-images", "2"], "`--output` must be a folder for 2 images"),
            ("content.png", ["--overwrite"], "`--output` must not be an input"),
            ("other.png", [], "`--output` must be new"),
            ("other.png/out.png", [], "`--output` must be in a folder that can be written to"),
            ("out.png", ["--greedy", "--top-k", "5"], "--greedy always takes the most likely code"),
            ("out", ["--greedy", "--num-images", "2"], "--greedy gives one image per pair"),
        ],
    )
    def test_output_that_cannot_be_written(self, output, options, message, fails_at_once, image_files, tmp_path):
        before = files_below(tmp_path)
        arguments = ("stylize", image_files["content"], image_files["style"], "-o", tmp_path / output, *options)
        assert message in fails_at_once(*arguments)
        assert files_below(tmp_path) == before

    def test_file_as_output_of_a_folder(self, fails_at_once, folder, image_files, tmp_path):
        line = fails_at_once("stylize", folder, image_files["style"], "-o", tmp_path / "out.png")
        assert "`--output` must be a folder for a folder of inputs" in line

    def test_results_of_one_name(self, fails_at_once, image_files, tmp_path):
        for folder, names in (("contents", ("a__b", "a")), ("styles", ("c", "b__c"))):
            (tmp_path / folder).mkdir()
            for name in names:
                shutil.copy(image_files["content"], tmp_path / folder / f"{name}.png")
        line = fails_at_once("stylize", tmp_path / "contents", tmp_path / "styles", "-o", tmp_path / "out")
        assert "a__b__c.png" in line

    def test_overwrite_replaces(self, stylize, image_files, tmp_path):
        out = tmp_path / "out.png"
        out.write_bytes(b"old")
        assert stylize(image_files["content"], image_files["style"], "-o", out, "--overwrite") == 0
        assert PIL.Image.open(out).size == (30, 20)

    def test_failed_write_leaves_what_was_there(self, stylize, image_files, tmp_path, monkeypatch, capsys):
        def fail(self, path, **_):
            Path(path).write_bytes(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(PIL.Image.Image, "save", fail)
        out = tmp_path / "out.png"
        out.write_bytes(b"old")
        before = files_below(tmp_path)
        assert stylize(image_files["content"], image_files["style"], "-o", out, "--overwrite") == 2
        inputs = f"{image_files['content']} with {image_files['style']}"
        assert f"stylevar: error: {inputs}: disk full" in capsys.readouterr().err
        assert out.read_bytes() == b"old"
        assert files_below(tmp_path) == before


class TestStylizeBadModel:
    @pytest.fixture
    def fails(self, image_files, tmp_path, capfd):
        def run(model, *options) -> str:
            out = tmp_path / "out.png"
            arguments = (
                "stylize",
                image_files["content"],
                image_files["style"],
                "-o",
                out,
                "--model",
                model,
                *options,
            )
            capfd.readouterr()
            assert run_command(*arguments) == 2
            error = capfd.readouterr().err
            assert error.startswith("stylevar: error: ")
            assert error.count("\n") == 1
            assert not out.exists()
            return error

        return run

    @pytest.fixture
    def damaged(self, tiny_model_dir, tmp_path):
        """A copy of the tiny model whose weights, or whose configuration, were changed."""

        def make(change_weights=None, **config_changes) -> Path:
            copy = shutil.copytree(tiny_model_dir, tmp_path / "damaged")
            if change_weights is not None:
                weights = load_file(copy / "model.safetensors")
                change_weights(weights)
                save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
            config = json.loads((copy / "config.json").read_text())
            (copy / "config.json").write_text(json.dumps({**config, **config_changes}))
            return copy

        return make

    def test_missing_folder(self, fails, tmp_path):
        rule = (
            "`--model` must be the folder of a model, its id on the Hub, or one of stylevar-mini, stylevar-mini-grpo, "
        )
        assert f"{rule}stylevar-sft, stylevar-grpo, but got '{tmp_path / 'nowhere'}'" in fails(tmp_path / "nowhere")
        assert f"{rule}stylevar-sft, stylevar-grpo, but got 'stylevar-mini-gpro'" in fails("stylevar-mini-gpro")

    def test_missing_key(self, fails, damaged):
        folder = damaged(lambda weights: weights.pop("model.token_projection.weight"))
        assert "1 missing keys (model.token_projection.weight)" in fails(folder)

    def test_unexpected_key(self, fails, damaged):
        folder = damaged(lambda weights: weights.update(extra=torch.zeros(1)))
        assert "1 unexpected keys (extra)" in fails(folder)

    def test_key_of_another_shape(self, fails, damaged):
        folder = damaged(lambda weights: weights.update({"model.token_projection.weight": torch.zeros(2, 2)}))
        assert str(folder) in fails(folder)

    def test_damaged_weights(self, fails, damaged):
        folder = damaged()
        (folder / "model.safetensors").write_bytes(b"\x00" * 64)
        assert str(folder) in fails(folder)

    def test_alphas_of_the_wrong_length(self, fails, damaged):
        assert "`blend_alphas` must be one value per scale (4" in fails(damaged(blend_alphas=[0.5]).as_posix())

    def test_config_of_wrong_types(self, fails, damaged):
        assert "hidden_size" in fails(damaged(hidden_size="wide"))

    def test_index_without_a_weight_map(self, fails, damaged):
        folder = damaged()
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text("{}")
        assert "`--model` must be" in fails(folder)

    def test_adapter_without_peft(self, fails, monkeypatch):
        monkeypatch.setattr("transformers.utils.is_peft_available", lambda: False)
        adapter = bundled_checkpoint("stylevar-mini-grpo-lora")
        assert f"but got the adapter {adapter}. Run `pip install peft`." in fails(adapter)

    def test_full_device(self, fails, monkeypatch, tiny_model_dir):
        def fill(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

        monkeypatch.setattr(StyleVARPipeline, "__init__", fill)
        assert "`--device` must have room for the model, but got 'auto', which is full" in fails(tiny_model_dir)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
    def test_missing_device(self, fails, tiny_model_dir):
        assert "`--device` must be present, but this machine has no 'cuda'" in fails(
            tiny_model_dir, "--device", "cuda"
        )


class TestConvert:
    @pytest.fixture
    def converters(self, monkeypatch, tmp_path):
        """Replaces the conversions, which have tests of their own, and records how they are called."""
        calls = []
        monkeypatch.chdir(tmp_path)
        for name in ("v.pth", "m.pth", "b.pth", "var.pth", "r.pth"):
            Path(name).touch()

        def record(name, *written):
            def convert(*args, **kwargs):
                calls.append((name, args, kwargs))
                return written if len(written) > 1 else written[0]

            monkeypatch.setattr(conversion, name, convert)

        record("convert_original_checkpoint", Path("out"))
        record("convert_var_checkpoint", Path("out"))
        record("convert_to_original", Path("vae.pth"), Path("model.pth"))
        return calls

    def test_released_files(self, converters, capsys):
        arguments = ("--vq", "v.pth", "--model", "m.pth", "--output", "out", "--base", "b.pth", "--dtype", "bfloat16")
        assert run_command("convert", *arguments, "--blend-alphas", "0.1,0.2", "--quiet", "--json") == 0
        name, args, kwargs = converters[0]
        assert (name, args) == ("convert_original_checkpoint", ("v.pth", "m.pth", "out"))
        assert kwargs == {
            "base_path": "b.pth",
            "blend_alphas": (0.1, 0.2),
            "patch_nums": None,
            "dtype": "bfloat16",
            "overwrite": False,
            "progress": False,
        }
        assert json.loads(capsys.readouterr().out)["outputs"] == ["out"]

    def test_start_of_training(self, converters):
        arguments = ("--vq", "v.pth", "--var", "var.pth", "--resnet", "r.pth", "--output", "out", "--overwrite")
        assert run_command("convert", *arguments) == 0
        name, args, kwargs = converters[0]
        assert (name, args) == ("convert_var_checkpoint", ("v.pth", "var.pth", "r.pth", "out"))
        assert (kwargs["blend_alphas"], kwargs["overwrite"], kwargs["progress"]) == ("default", True, True)

    def test_way_back(self, converters, capsys):
        assert run_command("convert", "--to-original", "dir", "--vq", "vae.pth", "--model", "model.pth") == 0
        expected = ("convert_to_original", ("dir", "vae.pth", "model.pth"), {"overwrite": False, "progress": True})
        assert converters == [expected]
        assert capsys.readouterr().out == "vae.pth\nmodel.pth\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("--model m.pth --output out", "--vq"),
            ("--vq v.pth --model m.pth", "with --model needs --output"),
            ("--vq v.pth --output out", "with --model needs --model"),
            ("--vq v.pth --var var.pth --output out", "with --var needs --resnet"),
            ("--vq v.pth --var var.pth --resnet r.pth --output out --base b", "with --var does not take --base"),
            ("--vq v.pth --to-original d --model m.pth --output out", "with --to-original does not take --output"),
            ("--vq v.pth --model m.pth --output out --blend-alphas 0.1,x", "must be 'default', 'released-sft' or"),
            ("--vq v.pth --model m.pth --output out --patch-nums 1,b", "must be integers separated by commas"),
        ],
    )
    def test_arguments_that_do_not_fit(self, arguments, message, converters, fails_at_once):
        assert message in fails_at_once("convert", *arguments.split())
        assert converters == []

    def test_errors_speak_of_flags(self, tmp_path, fails_at_once):
        line = fails_at_once("convert", "--vq", tmp_path / "v.pth", "--model", "m.pth", "--output", tmp_path / "out")
        assert line.startswith("stylevar: error: --vq must be an existing file")
        assert not (tmp_path / "out").exists()
