# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar stylize` on films: what is kept of them, going on after a stop, and what is refused."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from test_cli import fails_at_once, stylize  # noqa: F401

from stylevar_hf import StyleVARPipeline
from stylevar_hf.commands.film_files import is_film, open_film


av = pytest.importorskip("av")


def pictures(number: int, size: tuple[int, int] = (48, 32)) -> list[PIL.Image.Image]:
    """A bright square that moves over a gradient."""
    frames = []
    for index in range(number):
        values = np.tile(np.linspace(0, 200, size[0], dtype=np.uint8)[None, :, None], (size[1], 1, 3)).copy()
        values[8:20, 4 + 4 * index : 16 + 4 * index] = (250, 40, 90)
        frames.append(PIL.Image.fromarray(values))
    return frames


def write_video(path: Path, frames, rate=Fraction(25), sound: bool = True, rotation: int = 0) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        stream.codec_context.color_primaries = stream.codec_context.color_trc = stream.codec_context.colorspace = 1
        if rotation:
            stream.set_display_rotation(rotation)
        audio = out.add_stream("aac", rate=48000) if sound else None
        for image in frames:
            out.mux(stream.encode(av.VideoFrame.from_image(image)))
        out.mux(stream.encode())
        if sound:
            samples = int(48000 * len(frames) / rate)
            wave = np.sin(np.arange(samples) / 20, dtype=np.float32)[None].repeat(2, axis=0)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            frame.sample_rate = 48000
            out.mux(audio.encode(frame))
            out.mux(audio.encode())
    return path


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_video(tmp_path / "clip.mp4", pictures(4))


class TestVideo:
    def test_times_sound_tags_and_size_are_kept(self, stylize, clip, image_files, tmp_path, capsys):  # noqa: F811
        out = tmp_path / "new" / "out.mp4"
        assert stylize(clip, image_files["style"], "-o", out, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["outputs"][0]["frames"] == 4 and report["controls"]["steadiness"] == 0.5
        assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]
        with av.open(str(clip)) as before, av.open(str(out)) as after:
            old, new = before.streams.video[0], after.streams.video[0]
            assert (new.width, new.height, new.average_rate) == (48, 32, old.average_rate)
            for tag in ("color_primaries", "color_trc", "colorspace"):
                assert getattr(new.codec_context, tag) == 1
            assert [frame.time for frame in after.decode(video=0)] == [frame.time for frame in before.decode(video=0)]
        with av.open(str(clip)) as before, av.open(str(out)) as after:
            sounds = [[bytes(packet) for packet in film.demux(audio=0)] for film in (before, after)]
            assert sounds[0] == sounds[1] and len(sounds[0]) > 1

    def test_frames_are_those_of_the_pipeline(self, stylize, clip, image_files, tiny_model_dir, tmp_path):  # noqa: F811
        out = tmp_path / "out.gif"
        options = ("--seed", 3, "--steadiness", 0.8, "--keep-colors", 0.5)
        assert stylize(clip, image_files["style"], "-o", out, *options) == 0
        pipe = StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")
        frames = [image for image, _ in open_film(str(clip)).frames()]
        expected = list(
            pipe.stylize_frames(frames, image_files["style"], seed=3, steadiness=0.8, keep_colors=0.5, fit="pad")
        )
        with PIL.Image.open(out) as film:
            assert film.n_frames == 4 and film.info["duration"] == 40
            for index, image in enumerate(expected):
                film.seek(index)
                difference = np.abs(np.asarray(film.convert("RGB"), dtype=int) - np.asarray(image)).mean()
                assert difference < 20  # of 256 colours

    @pytest.mark.parametrize("rotation", [90, -90, 180])
    def test_phone_films_come_out_upright(self, stylize, image_files, tmp_path, rotation):  # noqa: F811
        clip = write_video(tmp_path / "phone.mp4", pictures(1), sound=False, rotation=rotation)
        upright, _ = next(open_film(str(clip)).frames())
        expected = pictures(1)[0].rotate(rotation, expand=True)
        assert upright.size == expected.size
        assert np.abs(np.asarray(upright, dtype=int) - np.asarray(expected)).mean() < 8
        out = tmp_path / "out.mp4"
        assert stylize(clip, image_files["style"], "-o", out, "--quiet") == 0
        assert next(open_film(str(out)).frames())[0].size == expected.size

    def test_goes_on_where_it_was_stopped(self, stylize, clip, image_files, tmp_path, monkeypatch, capsys):  # noqa: F811
        from stylevar_hf import StyleVARForConditionalGeneration as Model

        whole = tmp_path / "whole.mp4"
        assert stylize(clip, image_files["style"], "-o", whole) == 0
        generate, calls = Model.generate, []

        def stop_at_third(self, **arguments):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return generate(self, **arguments)

        out = tmp_path / "out.mp4"
        monkeypatch.setattr(Model, "generate", stop_at_third)
        assert stylize(clip, image_files["style"], "-o", out) == 130
        assert not out.exists()
        capsys.readouterr()
        assert stylize(clip, image_files["style"], "-o", out, "--json") == 0
        assert json.loads(capsys.readouterr().out)["outputs"][0]["frames_from_before"] == 2
        assert len(calls) == 3 + 2
        frames = [[np.asarray(image) for image, _ in open_film(str(path)).frames()] for path in (whole, out)]
        np.testing.assert_array_equal(frames[0], frames[1])

    def test_other_settings_start_anew(self, stylize, clip, image_files, tmp_path, monkeypatch, capsys):  # noqa: F811
        out = tmp_path / "out.mp4"
        with monkeypatch.context() as patch:
            patch.setattr(
                "stylevar_hf.commands.stylize_film.write_film", lambda *_: (_ for _ in ()).throw(OSError("x"))
            )
            assert stylize(clip, image_files["style"], "-o", out) == 2
        capsys.readouterr()
        assert stylize(clip, image_files["style"], "-o", out, "--keep-colors", 1, "--json") == 0
        assert json.loads(capsys.readouterr().out)["outputs"][0]["frames_from_before"] == 0


class TestAnimation:
    @pytest.mark.parametrize("suffix", [".gif", ".webp"])
    def test_durations_are_kept(self, stylize, image_files, tmp_path, suffix):  # noqa: F811
        clip = tmp_path / f"clip{suffix}"
        first, *rest = pictures(3)
        first.save(clip, save_all=True, append_images=rest, duration=[100, 200, 50], loop=0)
        out = tmp_path / f"out{suffix}"
        assert is_film(str(clip)) and stylize(clip, image_files["style"], "-o", out) == 0
        with PIL.Image.open(out) as film:
            durations = []
            for index in range(film.n_frames):
                film.seek(index)
                film.load()
                durations.append(film.info["duration"])
        assert durations[:2] == [100, 200]

    def test_becomes_a_video(self, stylize, image_files, tmp_path):  # noqa: F811
        clip = tmp_path / "clip.gif"
        first, *rest = pictures(3)
        first.save(clip, save_all=True, append_images=rest, duration=100, loop=0)
        out = tmp_path / "out.mp4"
        assert stylize(clip, image_files["style"], "-o", out) == 0
        with av.open(str(out)) as film:
            assert [round(frame.time, 3) for frame in film.decode(video=0)] == [0, 0.1, 0.2]

    def test_still_pictures_are_no_films(self, image_files, tmp_path):
        PIL.Image.new("RGB", (4, 4)).save(tmp_path / "still.gif")
        assert not is_film(str(tmp_path / "still.gif")) and not is_film(image_files["content"])


class TestBadFilms:
    def test_output_that_is_no_film(self, clip, image_files, tmp_path, fails_at_once):  # noqa: F811
        message = fails_at_once("stylize", clip, image_files["style"], "-o", tmp_path / "out.png")
        assert "--output must end in one of .mp4" in message.replace("`", "")

    def test_damaged_and_missing_films(self, image_files, tmp_path, fails_at_once):  # noqa: F811
        (tmp_path / "bad.mp4").write_bytes(b"no film at all")
        for name in ("bad.mp4", "missing.mp4"):
            message = fails_at_once("stylize", tmp_path / name, image_files["style"], "-o", tmp_path / "out.mp4")
            assert name in message

    def test_film_without_frames(self, image_files, tmp_path, fails_at_once):  # noqa: F811
        with av.open(str(tmp_path / "empty.mkv"), "w") as out:
            audio = out.add_stream("aac", rate=48000)
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate = 48000
            out.mux(audio.encode(frame))
            out.mux(audio.encode())
        message = fails_at_once("stylize", tmp_path / "empty.mkv", image_files["style"], "-o", tmp_path / "out.mp4")
        assert "must hold a video" in message

    def test_codec_that_is_missing(self, clip, image_files, tmp_path, fails_at_once, monkeypatch):  # noqa: F811
        monkeypatch.setitem(__import__("stylevar_hf.commands.film_files", fromlist=["x"]).CODECS, ".mp4", ("nope", {}))
        message = fails_at_once("stylize", clip, image_files["style"], "-o", tmp_path / "out.mp4")
        assert "needs 'nope'" in message

    def test_missing_pyav_says_what_to_install(self, clip, image_files, tmp_path, fails_at_once, monkeypatch):  # noqa: F811
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        message = fails_at_once("stylize", clip, image_files["style"], "-o", tmp_path / "out.mp4")
        assert "pip install 'stylevar-hf[video]'" in message

    def test_several_of_a_film(self, clip, image_files, tmp_path, fails_at_once):  # noqa: F811
        arguments = ("stylize", clip, image_files["style"], "-o", tmp_path / "out.mp4", "--num-images", 2)
        assert "A film is painted once" in fails_at_once(*arguments)
