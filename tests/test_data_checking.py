# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import tarfile
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest

from stylevar_hf.cli import main
from stylevar_hf.data import Problem, check_dataset, check_folder, find_problems


def save(path: Path, seed: int = 0, size: tuple[int, int] = (80, 70)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    PIL.Image.fromarray(values).save(path)
    return path


def truncate(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path) -> datasets.Dataset:
    """Six rows of images on disk; all rows share one style."""
    style = save(tmp_path / "style.png", 99)
    rows = {"content": [], "style": [str(style)] * 6, "target": []}
    for i in range(6):
        rows["content"].append(str(save(tmp_path / f"content{i}.png", i)))
        rows["target"].append(str(save(tmp_path / f"target{i}.png", i)))
    return datasets.Dataset.from_dict(rows, features=datasets.Features({c: datasets.Image() for c in rows}))


@pytest.fixture
def broken(data, tmp_path) -> datasets.Dataset:
    """The same with a truncated content, an empty target, a text and a file that went away."""
    truncate(tmp_path / "content1.png")
    (tmp_path / "target2.png").write_bytes(b"")
    (tmp_path / "content3.png").write_text("not an image")
    (tmp_path / "target4.png").unlink()
    return data


def with_row(data: datasets.Dataset, **row) -> datasets.Dataset:
    """The rows and one more, whose images are given as `datasets.Image(decode=False)` gives them."""
    more = datasets.Dataset.from_dict({name: [value] for name, value in row.items()}, features=data.features)
    return datasets.concatenate_datasets([data, more])


class TestFindProblems:
    def test_nothing_is_wrong(self, data):
        assert find_problems(data, progress=False) == []

    @pytest.mark.parametrize("num_workers", [None, 1, 3])
    @pytest.mark.parametrize("streaming", [False, True])
    def test_every_broken_image_is_listed_in_order(self, broken, num_workers, streaming, tmp_path):
        source = broken.to_iterable_dataset() if streaming else broken
        problems = find_problems(source, num_workers=num_workers, progress=False)
        assert [(problem.index, problem.column, problem.path) for problem in problems] == [
            (1, "content", str(tmp_path / "content1.png")),
            (2, "target", str(tmp_path / "target2.png")),
            (3, "content", str(tmp_path / "content3.png")),
            (4, "target", str(tmp_path / "target4.png")),
        ]
        reasons = [problem.reason for problem in problems]
        assert "cannot be decoded (image file is truncated" in reasons[0]
        assert reasons[1:] == ["is empty (0 bytes)", "is not an image that Pillow can read", "is missing"]

    def test_only_the_columns_asked_for(self, broken):
        assert {problem.column for problem in find_problems(broken, ("target",), progress=False)} == {"target"}

    def test_shared_file_is_reported_for_every_row(self, data, tmp_path):
        truncate(tmp_path / "style.png")
        problems = find_problems(data, progress=False)
        assert [(problem.index, problem.column) for problem in problems] == [(i, "style") for i in range(6)]

    def test_images_in_the_dataset(self, data, tmp_path):
        whole = (tmp_path / "content0.png").read_bytes()
        cut = with_row(data, content={"bytes": whole[:500]}, style={"bytes": whole}, target=None)
        problem = find_problems(cut, progress=False)[0]
        assert (problem.index, problem.column, problem.path) == (6, "content", None)
        assert str(problem).startswith("error: row 6, content: cannot be decoded")

    def test_content_that_is_none(self, data):
        problems = find_problems(with_row(data, content=None, style=None, target=None), progress=False)
        assert [(problem.column, problem.reason) for problem in problems] == [
            ("content", "there is no image"),
            ("style", "there is no image"),
        ]

    def test_data_without_target(self, data):
        assert find_problems(data.remove_columns("target"), progress=False) == []

    def test_mapped_stream_ends_at_the_first_broken_image(self, broken):
        stream = broken.to_iterable_dataset().map(lambda row: row)
        problems = find_problems(stream, progress=False)
        assert len(problems) == 1
        assert problems[0].index == 1
        assert "nor what comes after it" in problems[0].reason

    def test_missing_column(self, data):
        with pytest.raises(ValueError, match="but got content, target .*missing: style"):
            find_problems(data.remove_columns("style"), progress=False)

    def test_progress_is_shown(self, data, capfd):
        find_problems(data)
        assert "Checking images: 100%" in capfd.readouterr().err


class TestCheckDataset:
    def test_good_data_comes_back_as_it_is(self, data):
        assert check_dataset(data, progress=False) is data

    def test_stops_with_the_list(self, broken):
        with pytest.raises(ValueError, match="4 that cannot, in 4 rows") as error:
            check_dataset(broken, progress=False)
        for name in ("content1.png", "target2.png", "content3.png", "target4.png"):
            assert name in str(error.value)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_leaves_out_and_logs_where_asked(self, broken, streaming, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger("stylevar_hf"), "propagate", True)
        source = broken.to_iterable_dataset() if streaming else broken
        with caplog.at_level("WARNING", "stylevar_hf"):
            left = check_dataset(source, skip_broken=True, progress=False)
        for name in ("content1.png", "target2.png", "content3.png", "target4.png"):
            assert name in caplog.text
        rows = list(left)
        assert len(rows) == 2
        assert np.array_equal(rows[1]["content"], broken[5]["content"])

    def test_no_row_is_left(self, broken):
        with pytest.raises(ValueError, match="must hold a row that can be used"):
            check_dataset(broken.select([1, 2, 3, 4]), skip_broken=True, progress=False)


@pytest.fixture
def omnistyle(tmp_path) -> Path:
    root = tmp_path / "omnistyle"
    for i in range(3):
        save(root / "content" / f"room {i}.png", i)
        save(root / "target" / f"room {i}.png&&oil.jpeg.jpg.png", 10 + i)
    save(root / "style" / "oil.jpeg.jpg")
    return root


def found(report) -> dict[str, str]:
    """The errors of a report: name of the file and reason."""
    return {problem.path.rsplit("/", 1)[-1]: problem.reason for problem in report.errors}


class TestCheckFolder:
    def test_clean_folder(self, omnistyle):
        before = files_below(omnistyle)
        report = check_folder(omnistyle, progress=False)
        assert (report.format, report.num_triplets, report.num_images) == ("omnistyle", 3, 7)
        assert report.problems == []
        assert files_below(omnistyle) == before

    def test_every_broken_or_unpaired_file_is_listed(self, omnistyle):
        truncate(omnistyle / "content" / "room 0.png")
        (omnistyle / "target" / "room 1.png&&oil.jpeg.jpg.png").write_bytes(b"")
        save(omnistyle / "target" / "room 9.png&&oil.jpeg.jpg.png")
        save(omnistyle / "target" / "room 2.png&&gone.jpg.png")
        save(omnistyle / "target" / "room 2.png")
        save(omnistyle / "content" / "alone.png")
        report = check_folder(omnistyle, progress=False)
        errors = found(report)
        assert set(errors) == {
            "room 0.png",
            "room 1.png&&oil.jpeg.jpg.png",
            "room 9.png&&oil.jpeg.jpg.png",
            "room 2.png&&gone.jpg.png",
            "room 2.png",
        }
        assert "truncated" in errors["room 0.png"]
        assert "has no content" in errors["room 9.png&&oil.jpeg.jpg.png"]
        assert "has no style" in errors["room 2.png&&gone.jpg.png"]
        assert [(Path(problem.path).name, problem.reason) for problem in report.warnings] == [
            ("alone.png", "belongs to no target")
        ]

    def test_sizes_are_warnings(self, omnistyle):
        save(omnistyle / "content" / "room 0.png", size=(60, 70))
        save(omnistyle / "target" / "room 1.png&&oil.jpeg.jpg.png", size=(80, 90))
        report = check_folder(omnistyle, progress=False)
        assert report.errors == []
        reasons = sorted(problem.reason.split(" (")[0].split(":")[0] for problem in report.warnings)
        assert reasons == ["has another aspect ratio", "has another aspect ratio", "is small"]
        assert len(check_folder(omnistyle, min_side=10, progress=False).warnings) == 2

    def test_imagepulse_samples(self, tmp_path):
        for i in range(2):
            for k in (1, 2, 3, 4):
                save(tmp_path / f"{i}" / f"{k}.png", 10 * i + k)
            sample = {f"image_{k}": f"{k}.png" for k in (1, 2, 3, 4)}
            (tmp_path / f"{i}" / "meta.json").write_text(json.dumps(sample))
        report = check_folder(tmp_path, progress=False)
        assert (report.format, report.num_triplets, report.num_images, report.problems) == ("imagepulse", 2, 8, [])
        (tmp_path / "0" / "2.png").unlink()
        (tmp_path / "1" / "meta.json").write_text("{")
        save(tmp_path / "1" / "other.png")
        report = check_folder(tmp_path, progress=False)
        assert [(Path(problem.path).parent.name, problem.column) for problem in report.errors] == [
            ("0", "style"),
            ("1", None),
        ]
        assert len([problem for problem in report.warnings if "belongs to no sample" in problem.reason]) == 5

    def test_prepared_folders(self, tmp_path):
        for column in ("content", "style", "target"):
            save(tmp_path / "000" / f"{column}.png")
        save(tmp_path / "001" / "content.png")
        report = check_folder(tmp_path, progress=False)
        assert (report.format, report.num_triplets) == ("imagepulse", 1)
        assert found(report) == {"style.png": "is missing", "target.png": "is missing"}

    def test_archives_are_read_and_not_unpacked(self, tmp_path):
        root = tmp_path / "data"
        for k in (1, 2, 4):
            save(tmp_path / f"{k}.png", k)
        truncate(tmp_path / "2.png")
        (tmp_path / "meta.json").write_text(json.dumps({f"image_{k}": f"{k}.png" for k in (1, 2, 4)}))
        root.mkdir()
        for name in ("good.tar.gz", "cut.tar.gz"):
            with tarfile.open(root / name, "w:gz") as tar:
                for file in ("meta.json", "1.png", "2.png", "4.png"):
                    tar.add(tmp_path / file, file)
                for evil in ("../evil.png", "/evil.png"):
                    tar.addfile(tarfile.TarInfo(evil))
        truncate(root / "cut.tar.gz")
        before = files_below(tmp_path)
        report = check_folder(root, progress=False)
        lines = [str(problem) for problem in report.problems]
        assert (report.format, report.num_triplets) == ("imagepulse", 1)
        for text in (
            "cut.tar.gz: is truncated or damaged",
            "good.tar.gz: 2.png: cannot be decoded",
            "good.tar.gz: ../evil.png: is unsafe: a name that leads out of the folder",
            "good.tar.gz: /evil.png: is unsafe: an absolute name",
        ):
            assert len([line for line in lines if text in line]) == 1, text
        assert files_below(tmp_path) == before

    def test_plain_folders(self, tmp_path):
        for column in ("content", "style", "target"):
            for i in range(2):
                save(tmp_path / column / f"{i}.png", i)
        assert check_folder(tmp_path, progress=False).num_triplets == 2
        (tmp_path / "style" / "1.png").unlink()
        assert found(check_folder(tmp_path, progress=False)).keys() == {"1.*"}

    def test_files_of_plain_folders_that_are_no_images(self, tmp_path):
        for column in ("content", "style", "target"):
            save(tmp_path / column / "0.png")
        (tmp_path / "style" / "1.psd").write_bytes(b"")
        report = check_folder(tmp_path, progress=False)
        assert [(problem.path, problem.severity) for problem in report.problems] == [
            (str(tmp_path / "style" / "1.psd"), "warning")
        ]
        assert "its suffix is none of .avif" in report.problems[0].reason

    @pytest.mark.parametrize("form", ["saved", "splits", "parquet", "bytes"])
    def test_data_sets(self, tmp_path, form):
        images = [save(tmp_path / "images" / f"{i}.png", i).read_bytes() for i in range(4)]
        broken = [*images[:3], images[3][:40]]
        data = datasets.Dataset.from_dict({"content": images, "style": broken, "caption": list("abcd")})
        if form != "bytes":
            data = data.cast_column("content", datasets.Image()).cast_column("style", datasets.Image())
        root = tmp_path / "data"
        if form == "saved":
            data.save_to_disk(root)
        elif form == "splits":
            datasets.DatasetDict({"train": data, "test": data.select(range(2))}).save_to_disk(root)
        else:
            root.mkdir()
            data.to_parquet(root / "part.parquet")
        report = check_folder(root, progress=False)
        rows = 6 if form == "splits" else 4
        assert (report.format, report.num_triplets, report.num_images) == ("dataset", rows, 2 * rows)
        assert [(problem.index, problem.column) for problem in report.problems] == [(3, "style")]
        assert str(root) in report.problems[0].path

    def test_data_set_without_images(self, tmp_path):
        datasets.Dataset.from_dict({"caption": ["a"]}).save_to_disk(tmp_path)
        with pytest.raises(ValueError, match="`root` must be a data set with a column of images, .* columns caption"):
            check_folder(tmp_path, progress=False)

    def test_archives_of_another_layout_hold_no_triplet(self, tmp_path):
        picture = save(tmp_path / "0.content.png")
        with tarfile.open(tmp_path / "train.tar", "w") as tar:
            tar.add(picture, picture.name)
        picture.unlink()
        assert found(check_folder(tmp_path, progress=False)).keys() >= {tmp_path.name}

    def test_any_images(self, tmp_path):
        save(tmp_path / "a.png")
        truncate(save(tmp_path / "sub" / "b.png"))
        report = check_folder(tmp_path, progress=False)
        assert (report.format, report.num_triplets, set(found(report))) == ("folder", 0, {"b.png"})

    def test_broken_link(self, tmp_path):
        save(tmp_path / "a.png")
        (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
        assert found(check_folder(tmp_path, progress=False)) == {"b.png": "is missing: a broken link"}

    @pytest.mark.parametrize(
        ("root", "format", "message"),
        [
            ("nowhere", "auto", "`root` must be an existing folder"),
            ("", "auto", "`root` must be a folder with images or archives"),
            ("", "omnistyle", "`root` must be a folder with content, style and target"),
            ("", "zip", "`format` must be one of"),
        ],
    )
    def test_folder_that_cannot_be_checked(self, tmp_path, root, format, message):
        with pytest.raises(ValueError, match=message):
            check_folder(tmp_path / root, format, progress=False)


class TestCommand:
    def test_clean_folder(self, omnistyle, capsys):
        assert main(["data", "check", str(omnistyle)]) == 0
        captured = capsys.readouterr()
        assert captured.out == (
            f"{omnistyle} (omnistyle): 3 triplets, 7 images, 0 errors, 0 warnings; good for supervised training, "
            "rewards and evaluation\n"
        )
        assert "Checking images" in captured.err

    def test_problems_come_one_per_line(self, omnistyle, capsys):
        path = truncate(omnistyle / "content" / "room 0.png")
        save(omnistyle / "content" / "alone.png")
        assert main(["data", "check", str(omnistyle), "--format", "omnistyle"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        assert lines[0] == f"warning: {omnistyle}/content/alone.png (content): belongs to no target"
        assert lines[1].startswith(f"error: {path} (content): cannot be decoded")
        assert "1 errors, 1 warnings" in lines[2]

    def test_warnings_count_where_asked(self, omnistyle, capsys):
        save(omnistyle / "content" / "alone.png")
        assert main(["data", "check", str(omnistyle), "--quiet"]) == 0
        assert main(["data", "check", str(omnistyle), "--strict", "--quiet"]) == 1
        assert capsys.readouterr() == ("", "")

    def test_json(self, omnistyle, capsys):
        truncate(omnistyle / "content" / "room 0.png")
        assert main(["data", "check", str(omnistyle), "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert (report["num_triplets"], len(report["problems"])) == (3, 1)
        assert Problem(**report["problems"][0]).severity == "error"

    def test_bad_arguments(self, tmp_path, capsys):
        assert main(["data", "check", str(tmp_path / "nowhere")]) == 2
        assert capsys.readouterr().err.startswith("stylevar: error: ROOT must be an existing folder")
        with pytest.raises(SystemExit) as ending:
            main(["data"])
        assert ending.value.code == 2
