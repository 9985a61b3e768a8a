# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What `stylevar stylize` writes is never lost, mixed or silent."""

import json
import os
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from test_cli import run_command

from stylevar_hf import StyleVARPipeline
from stylevar_hf.commands import stylize as stylize_command
from stylevar_hf.commands.stylize_files import Pair, Source, check_outputs, save_image


@pytest.fixture
def stylize(tiny_model_dir):
    def run(*arguments) -> int:
        return run_command("stylize", *arguments, "--model", tiny_model_dir, "--device", "cpu", "--seed", "1")

    return run


@pytest.fixture
def contents(tmp_path, image_files) -> Path:
    folder = tmp_path / "contents"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(Path(image_files["content"]).read_bytes())
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestNothingIsLost:
    def test_interrupted_run_keeps_what_was_painted(self, stylize, contents, image_files, tmp_path, monkeypatch):
        call, calls = StyleVARPipeline.__call__, []

        def interrupted(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return call(self, *args, **kwargs)

        monkeypatch.setattr(StyleVARPipeline, "__call__", interrupted)
        assert stylize(contents, image_files["style"], "-o", tmp_path / "out") == 130
        assert names(tmp_path / "out") == ["a__style.png", "b__style.png"]

    def test_skip_existing_goes_on(self, stylize, contents, image_files, tmp_path, capsys):
        out = tmp_path / "out"
        assert stylize(contents, image_files["style"], "-o", out) == 0
        painted = {name: (out / name).read_bytes() for name in names(out)}
        (out / "b__style.png").unlink()
        (out / "a__style.png").write_bytes(b"kept as it is")
        capsys.readouterr()
        assert stylize(contents, image_files["style"], "-o", out, "--skip-existing") == 0
        assert capsys.readouterr().out.split() == [str(out / "b__style.png")]
        assert (out / "b__style.png").read_bytes() == painted["b__style.png"]
        assert (out / "a__style.png").read_bytes() == b"kept as it is"

    def test_nothing_left_loads_no_model(self, stylize, contents, image_files, tmp_path, monkeypatch, capsys):
        out = tmp_path / "out"
        assert stylize(contents, image_files["style"], "-o", out) == 0
        monkeypatch.setattr(stylize_command, "load_pipeline", lambda *_, **__: pytest.fail("the model was loaded"))
        assert stylize(contents, image_files["style"], "-o", out, "--skip-existing") == 0
        assert "nothing to do: all 3 pairs" in capsys.readouterr().err

    def test_file_of_another_process_is_kept(self, tmp_path):
        image = PIL.Image.new("RGB", (4, 4))
        (tmp_path / "out.png").write_bytes(b"theirs")
        with pytest.raises(FileExistsError):
            save_image(image, tmp_path / "out.png", overwrite=False)
        assert (tmp_path / "out.png").read_bytes() == b"theirs" and names(tmp_path) == ["out.png"]

    def test_partial_files_of_killed_runs_go(self, stylize, contents, image_files, tmp_path):
        from stylevar_hf.commands.stylize_files import _machine

        out = tmp_path / "out"
        out.mkdir()
        killed = [f".stylevar-{_machine()}-99999999-0123456789ab.part", f".{'0' * 32}.part"]
        running = f".stylevar-{_machine()}-{os.getppid()}-0123456789ab.part"
        for name in (*killed, running, ".other.part"):
            (out / name).write_bytes(b"")
        assert stylize(contents / "a.png", image_files["style"], "-o", f"{out}/") == 0
        assert names(out) == [".other.part", running, "a__style.png"]


class TestNothingIsSilent:
    def test_formats_and_links(self, stylize, contents, image_files, tmp_path, capsys):
        picture = PIL.Image.open(image_files["content"]).convert("RGB")
        for name, format in (("d.jfif", "JPEG"), ("e.avif", "AVIF"), ("f.gif", "GIF"), ("g.jp2", "JPEG2000")):
            picture.save(contents / name, format)
        (contents / "h.heic").write_bytes(b"?")
        (tmp_path / "elsewhere").mkdir()
        picture.save(tmp_path / "elsewhere" / "i.png")
        (contents / "link").symlink_to(tmp_path / "elsewhere")
        (contents / "again").symlink_to(contents)
        assert stylize(contents, image_files["style"], "-o", tmp_path / "out", "--recursive") == 0
        painted = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")]
        assert sorted(painted) == [f"{name}__style.png" for name in ("a", "b", "c", "d", "e", "f", "g", "link/i")]
        assert "passed over" in (said := capsys.readouterr().err) and "h.heic" in said

    def test_results_are_not_painted_again(self, stylize, contents, image_files, capsys):
        for style in ("style", "other"):
            assert stylize(contents, image_files[style], "-o", contents / "out", "--recursive") == 0
        assert names(contents / "out") == sorted(f"{c}__{s}.png" for c in "abc" for s in ("style", "other"))

    def test_settings_are_in_the_file(self, stylize, contents, image_files, tmp_path):
        size = ["--output-size", "40x20", "--resize-mode", "center_crop"]
        assert stylize(contents / "a.png", image_files["style"], "-o", tmp_path / "out.png", *size) == 0
        result = PIL.Image.open(tmp_path / "out.png")
        settings = json.loads(result.text["stylevar"])
        assert result.size == (40, 20)
        assert (settings["content"], settings["style"], settings["seed"]) == ("a.png", "style.png", 1)
        assert settings["fit"] == "crop" and settings["software"].startswith("stylevar-hf ")

    def test_missing_file_is_said_before_anything_slow(self, capsys, monkeypatch):
        monkeypatch.setattr(stylize_command, "find_sources", lambda *_: pytest.fail("too late"))
        assert run_command("stylize", "nowhere.jpg", "nowhere.png", "-o", "out.png") == 2
        assert "`CONTENT` must be an existing image file" in capsys.readouterr().err

    @pytest.mark.parametrize("size", ["40", "0x5", "axb"])
    def test_size_that_is_none(self, size, capsys):
        assert run_command("stylize", "a", "b", "-o", "c", "--output-size", size) == 2
        assert "must be model, content or WxH" in capsys.readouterr().err


def test_thousands_of_results_are_looked_up_quickly(tmp_path):
    style = Source(str(tmp_path / "style.png"), "style")
    pairs = []
    for index in range(3000):
        (tmp_path / f"{index}__style.png").touch()
        (tmp_path / f"{index}__style_scale1.png").touch()
        content = Source(str(tmp_path / "contents" / f"{index}.png"), str(index))
        pairs.append(Pair(content, style, (tmp_path / f"{index}__style.png",)))
    start = time.perf_counter()
    check_outputs(Namespace(previews=True, overwrite=True, skip_existing=False, output=str(tmp_path)), pairs)
    assert time.perf_counter() - start < 3
    with pytest.raises(ValueError, match="and 5999 more exists"):
        check_outputs(Namespace(previews=True, overwrite=False, skip_existing=False, output=str(tmp_path)), pairs)


def test_painting_in_training_mode_moves_no_statistics(tiny_model_dir, image_files):
    pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
    before = {name: value.clone() for name, value in pipe.model.state_dict().items()}
    expected = np.asarray(pipe(image_files["content"], image_files["style"], seed=0))
    pipe.model.train()
    modes = [module.training for module in pipe.model.modules()]
    assert np.array_equal(np.asarray(pipe(image_files["content"], image_files["style"], seed=0)), expected)
    assert [module.training for module in pipe.model.modules()] == modes and any(modes)
    assert all(value.equal(before[name]) for name, value in pipe.model.state_dict().items())
