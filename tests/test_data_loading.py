# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf.data import (
    find_problems,
    load_imagepulse,
    load_omnistyle,
    load_triplets,
    load_unpaired,
    split_by_content,
)
from stylevar_hf.data.folder_report import check_folder
from stylevar_hf.data.layouts.archives import extract_archive, open_members
from stylevar_hf.data.layouts.omnistyle import parse_target_name


def make_image(seed: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    make_image(seed).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def pixels(image: PIL.Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@pytest.fixture
def omnistyle(tmp_path) -> Path:
    """Eight contents in two styles each; names with spaces and doubled suffixes."""
    root = tmp_path / "omnistyle"
    styles = ("oil.jpeg.jpg", "ink wash.jpg")
    for k, style in enumerate(styles):
        write(root / "style" / style, png(100 + k))
    for i in range(8):
        write(root / "content" / f"room {i}.png", png(i))
        for k, style in enumerate(styles):
            write(root / "target" / f"room {i}.png&&{style}.png", png(1000 + 10 * i + k))
    return root


@pytest.fixture
def samples() -> dict[str, bytes]:
    """Six raw samples of ImagePulse by name: images and one JSON each."""
    files = {}
    for i in range(6):
        files |= {f"s{i}/{field}.png": png(10 * i + field) for field in (1, 2, 3, 4)}
        sample = {f"image_{field}": f"{field}.png" for field in (1, 2, 3, 4)} | {"artifacts_in_image_2": i == 5}
        files[f"s{i}/meta.json"] = json.dumps({**sample, "image_1_caption": "a room"}).encode()
    return files


def make_archive(path: Path, files: dict[str, bytes], *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return path


class TestImport:
    def test_package_is_imported_without_datasets(self):
        code = "import sys, stylevar_hf.data\nassert 'datasets' not in sys.modules and 'trl' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_unknown_name(self):
        with pytest.raises(ImportError):
            from stylevar_hf.data import load_nothing  # noqa: F401


class TestParseTargetName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("room 3.png&&oil.jpeg.jpg.png", ("room 3.png", "oil.jpeg.jpg")),
            ("a.png&&b.jpg.jpeg", ("a.png", "b.jpg")),
            ("a.b.c.png&&d&&e.jpg.png", ("a.b.c.png", "d&&e.jpg")),
            ("a.png&b.jpg.png", None),
            ("&&b.jpg.png", None),
            ("a.png&&", None),
            ("a.png&&.png", None),
            ("a.png&&b", None),
        ],
    )
    def test_name(self, name, expected):
        assert parse_target_name(name) == expected


class TestLoadOmniStyle:
    def test_rows_are_the_triplets_of_the_files(self, omnistyle):
        before = files_below(omnistyle)
        data = load_omnistyle(omnistyle, split="all")
        assert data.column_names == ["content", "style", "target", "content_id", "style_id"]
        assert len(data) == 16
        row = data[1]
        assert (row["content_id"], row["style_id"]) == ("room 0.png", "oil.jpeg.jpg")
        for column, seed in (("content", 0), ("style", 100), ("target", 1000)):
            assert np.array_equal(pixels(row[column]), pixels(make_image(seed)))
        assert files_below(omnistyle) == before, "nothing is written into the data"

    def test_splits_share_no_content_and_lose_no_row(self, omnistyle):
        parts = [load_omnistyle(omnistyle, split=split, validation_fraction=0.3) for split in ("train", "validation")]
        contents = [set(part["content_id"]) for part in parts]
        assert contents[0] and contents[1]
        assert not contents[0] & contents[1]
        assert sum(map(len, parts)) == 16

    def test_other_target_folder(self, omnistyle):
        (omnistyle / "target").rename(omnistyle / "OmniStyle-150K")
        assert len(load_omnistyle(omnistyle, split="all")) == 16

    @pytest.mark.parametrize("real", ["target", "OmniStyle-150K"])
    def test_link_to_the_targets_adds_no_rows(self, omnistyle, real):
        link = {"target": "OmniStyle-150K", "OmniStyle-150K": "target"}[real]
        (omnistyle / "target").rename(omnistyle / real)
        (omnistyle / link).symlink_to(omnistyle / real)
        assert len(load_omnistyle(omnistyle, split="all")) == 16

    def test_targets_in_both_folders(self, omnistyle):
        (omnistyle / "OmniStyle-150K").mkdir()
        name = "room 0.png&&oil.jpeg.jpg.png"
        (omnistyle / "target" / name).rename(omnistyle / "OmniStyle-150K" / name)
        assert len(load_omnistyle(omnistyle, split="all")) == 16
        write(omnistyle / "target" / name, png(5))
        with pytest.raises(ValueError, match="has the name of .*target.*: leave out one of the two folders"):
            load_omnistyle(omnistyle)

    def test_rows_are_sorted_and_images_decoded_lazily(self, omnistyle):
        write(omnistyle / "content" / "room 0.png", b"broken")
        data = load_omnistyle(omnistyle, split="all")
        names = [(row["content_id"], row["style_id"]) for row in data.select_columns(["content_id", "style_id"])]
        assert names == sorted(names)
        with pytest.raises(ValueError, match="room 0.png.*which Pillow cannot read"):
            data[0]

    def test_hidden_files_are_ignored(self, omnistyle):
        write(omnistyle / "target" / ".DS_Store", b"x")
        write(omnistyle / "target" / ".cache" / "x.png", b"x")
        assert len(load_omnistyle(omnistyle, split="all")) == 16

    def test_stream_gives_the_same_rows(self, omnistyle):
        data, stream = (load_omnistyle(omnistyle, "train", streaming=streaming) for streaming in (False, True))
        assert isinstance(stream, datasets.IterableDataset)
        assert [row["content_id"] for row in stream] == data["content_id"][:]
        assert np.array_equal(pixels(next(iter(stream))["target"]), pixels(data[0]["target"]))

    @pytest.mark.parametrize("name", ["room 1.png-oil.jpeg.jpg.png", "notes.txt", "room 1.png&&oil.jpeg.jpg.txt"])
    def test_name_that_cannot_be_parsed(self, omnistyle, name):
        write(omnistyle / "target" / name, png(0))
        with pytest.raises(ValueError, match=rf"1 problems(?s:.*){name}.*is not named"):
            load_omnistyle(omnistyle)

    @pytest.mark.parametrize("column", ["content", "style"])
    def test_missing_file_is_named(self, omnistyle, column):
        path = sorted((omnistyle / column).iterdir())[0]
        path.unlink()
        with pytest.raises(ValueError, match=rf"has no {column}: {path} is missing"):
            load_omnistyle(omnistyle)

    def test_missing_folders_are_named(self, tmp_path):
        (tmp_path / "content").mkdir()
        with pytest.raises(ValueError, match="without .*'style', 'target or OmniStyle-150K'"):
            load_omnistyle(tmp_path)
        with pytest.raises(ValueError, match="`root` must be an existing folder"):
            load_omnistyle(tmp_path / "nowhere")

    def test_single_content_cannot_be_split(self, omnistyle):
        for path in (omnistyle / "target").iterdir():
            if not path.name.startswith("room 3.png"):
                path.unlink()
        with pytest.raises(ValueError, match="two content images or more to be split, but got 1"):
            load_omnistyle(omnistyle)
        assert len(load_omnistyle(omnistyle, split="all")) == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"split": "test"}, "`split` must be one of"),
            ({"validation_fraction": 1.0}, "`validation_fraction` must be in"),
            ({"split": "validation", "validation_fraction": 0}, "`validation_fraction` must be positive"),
        ],
    )
    def test_argument_out_of_range(self, omnistyle, arguments, message):
        with pytest.raises(ValueError, match=message):
            load_omnistyle(omnistyle, **arguments)


class TestSplitByContent:
    @staticmethod
    def contents(ids, split="validation", **arguments) -> set[str]:
        return set(
            split_by_content(datasets.Dataset.from_dict({"content_id": list(ids)}), split, **arguments)["content_id"]
        )

    def test_share_is_about_that_of_the_contents(self):
        ids = [f"{i}.png" for i in range(2000)]
        assert 70 <= len(self.contents(ids)) <= 130
        assert 350 <= len(self.contents(ids, validation_fraction=0.2)) <= 450

    def test_content_stays_whatever_else_there_is(self):
        ids = [f"{i}.png" for i in range(500)]
        whole = self.contents(ids)
        assert self.contents(reversed(ids)) == whole
        assert self.contents(ids[:250]) == whole & set(ids[:250])
        assert self.contents(ids, seed=1) != whole

    @pytest.mark.parametrize("count", [2, 3, 10])
    def test_few_contents_leave_no_split_empty(self, count):
        ids = [f"{i}.png" for i in range(count)]
        for fraction in (0.0001, 0.05, 0.9999):
            train, validation = (
                self.contents(ids, split, validation_fraction=fraction) for split in ("train", "validation")
            )
            assert train | validation == set(ids)
            assert train and validation and not train & validation

    def test_stream_follows_the_hash(self):
        rows = datasets.Dataset.from_dict({"content_id": [f"{i}.png" for i in range(500)]})
        stream = split_by_content(rows.to_iterable_dataset(), "validation")
        assert [row["content_id"] for row in stream] == split_by_content(rows, "validation")["content_id"][:]

    def test_stream_does_not_decode_what_it_leaves_out(self, tmp_path):
        good, broken = write(tmp_path / "good.png", png(0)), write(tmp_path / "broken.png", b"")
        ids = [f"{i}.png" for i in range(100)]
        kept = self.contents(ids)
        features = datasets.Features({"content": datasets.Image(), "content_id": datasets.Value("string")})
        columns = {"content": [str(good if name in kept else broken) for name in ids], "content_id": ids}
        stream = datasets.Dataset.from_dict(columns, features=features).to_iterable_dataset()
        rows = list(split_by_content(stream, "validation"))
        assert {row["content_id"] for row in rows} == kept
        assert np.array_equal(pixels(rows[0]["content"]), pixels(make_image(0)))

    @pytest.mark.parametrize("with_ids", [True, False])
    def test_stream_names_the_row_that_cannot_be_decoded(self, with_ids):
        columns = {name: [{"bytes": png(1), "path": None}, {"bytes": b"no image", "path": None}] for name in "cst"}
        columns = {"content": columns["c"], "style": columns["s"], "target": columns["t"]}
        ids = {"content_id": ["good", "bad"]} if with_ids else {}
        rows = datasets.Dataset.from_dict({**columns, **ids})
        for name in columns:
            rows = rows.cast_column(name, datasets.Image())
        stream = load_triplets(rows.to_iterable_dataset(), "train", validation_fraction=0.0)
        name = "bad" if with_ids else r"[0-9a-f]{16}"
        with pytest.raises(ValueError, match=f"`content` must be an image .* got content_id {name}, which cannot be"):
            list(stream)

    def test_missing_column(self):
        with pytest.raises(ValueError, match="but got name .*missing: content_id"):
            split_by_content(datasets.Dataset.from_dict({"name": ["a"]}))


class TestLoadImagePulse:
    @pytest.fixture
    def root(self, tmp_path) -> Path:
        return tmp_path / "imagepulse"

    @staticmethod
    def check(data, prefix="", count=6):
        rows = list(data)
        assert [row["content_id"] for row in rows] == [f"{prefix}s{i}/1.png" for i in range(count)]
        for i, row in enumerate(rows):
            for column, field in (("content", 1), ("style", 2), ("target", 4)):
                assert np.array_equal(pixels(row[column]), pixels(make_image(10 * i + field)))

    def test_raw_samples(self, root, samples):
        for name, data in samples.items():
            write(root / name, data)
        before = files_below(root)
        self.check(load_imagepulse(root, split="all"))
        assert files_below(root) == before

    def test_names_relative_to_the_top_folder(self, root, samples):
        for name, data in samples.items():
            if name.endswith(".json"):
                folder = name.split("/")[0]
                data = data.replace(b'": "', f'": "{folder}/'.encode())
                name = f"meta/{folder}.json"
            write(root / name, data)
        self.check(load_imagepulse(root, split="all"))

    def test_samples_with_artifacts_are_left_out_where_asked(self, root, samples):
        for name, data in samples.items():
            write(root / name, data)
        self.check(load_imagepulse(root, split="all", skip_artifacts=True), count=5)

    def test_prepared_folders(self, root):
        for i in range(3):
            for k, column in enumerate(("content", "style", "target")):
                write(root / f"{i:03}" / f"{column}.png", png(10 * i + k))
        data = load_imagepulse(root, split="all")
        assert data["style_id"][:] == ["000", "001", "002"]
        assert len(set(data["content_id"])) == 3
        assert np.array_equal(pixels(data[2]["target"]), pixels(make_image(22)))
        (root / "001" / "style.png").unlink()
        with pytest.raises(ValueError, match=r"001/style.png \(style\): is missing"):
            load_imagepulse(root)

    @pytest.mark.parametrize("form", ["folder", "archive", "stream"])
    def test_copies_of_a_prepared_content_share_an_id(self, root, form, tmp_path):
        files = {f"{i:03}/{column}.png": png(10 * i) for i in range(6) for column in ("style", "target")}
        files |= {f"{i:03}/content.png": png(i % 3) for i in range(6)}
        for name, data in files.items():
            if form == "folder":
                write(root / name, data)
        if form != "folder":
            make_archive(root / "0.tar.gz", dict(list(files.items())))
            make_archive(root / "1.tar.gz", files)
        arguments = {"streaming": form == "stream", "cache_dir": tmp_path / "cache", "progress": False}
        ids = [row["content_id"] for row in load_imagepulse(root, split="all", **arguments)]
        expected = [hashlib.sha256(png(i % 3)).hexdigest()[:16] for i in range(6)]
        assert ids == (expected if form == "folder" else 2 * expected)

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize(
        ("name", "mode"), [("part 1.tar.gz", "w:gz"), ("sub/part 1.tgz", "w:gz"), ("part 1.tar", "w")]
    )
    def test_archives(self, root, samples, streaming, name, mode, tmp_path):
        make_archive(root / name, samples, mode=mode)
        before = files_below(root)
        data = load_imagepulse(root, split="all", streaming=streaming, cache_dir=tmp_path / "cache", progress=False)
        self.check(data, prefix=name.split(".")[0] + "/")
        assert files_below(root) == before
        assert (tmp_path / "cache").exists() != streaming

    def test_stream_of_archives_has_the_splits_of_the_rest(self, root, samples, tmp_path):
        for k in range(2):
            make_archive(root / f"{k}.tar.gz", dict(reversed(samples.items())) if k else samples)
        ids = {}
        for split in ("train", "validation"):
            arguments = {"split": split, "validation_fraction": 0.4, "cache_dir": tmp_path / "cache"}
            data = load_imagepulse(root, progress=False, **arguments)
            stream = load_imagepulse(root, streaming=True, **arguments)
            assert stream.num_shards == 2
            ids[split] = sorted(data["content_id"])
            assert sorted(row["content_id"] for row in stream) == ids[split]
        assert len(ids["train"] + ids["validation"]) == 12

    def test_stream_of_archives_is_shared_by_workers_and_can_be_checked(self, root, samples):
        for k in range(2):
            make_archive(root / f"{k}.tar.gz", samples)
        stream = load_imagepulse(root, split="all", streaming=True)
        loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=2)
        assert sorted(row["content_id"] for row in loader) == [f"{k}/s{i}/1.png" for k in range(2) for i in range(6)]
        assert find_problems(stream, progress=False) == []
        make_archive(root / "1.tar.gz", {**samples, "s3/4.png": samples["s3/4.png"][:200]})
        problems = find_problems(load_imagepulse(root, split="all", streaming=True), progress=False)
        assert [(problem.index, problem.column, problem.path) for problem in problems] == [(9, "target", "s3/4.png")]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"{", "s1/meta.json: is not readable JSON"),
            (b"\xff\xfe", "s1/meta.json: is not readable JSON"),
            (b"[]", "s1/meta.json: must be a JSON object, but is a list"),
            (b'{"image_1": "1.png", "image_4": "4.png"}', r"s1/meta.json \(style\): has no 'image_2'; its fields are"),
            (b'{"image_1": "1.png", "image_2": 2, "image_4": "4.png"}', "has image_2=2, which is missing"),
            (b'{"image_1": "../../x.png", "image_2": "2.png", "image_4": "4.png"}', "image_1='../../x.png', which is"),
            (b'{"image_1": "/etc/x.png", "image_2": "2.png", "image_4": "4.png"}', "image_1='/etc/x.png', which is"),
        ],
    )
    def test_sample_that_cannot_be_used(self, root, samples, data, message, tmp_path):
        write(tmp_path / "x.png", png(0))
        for name, good in samples.items():
            write(root / name, data if name == "s1/meta.json" else good)
        with pytest.raises(ValueError, match=message):
            load_imagepulse(root)

    def test_archives_beside_images(self, root, samples):
        make_archive(root / "a.tar.gz", samples)
        write(root / "s0" / "1.png", png(0))
        with pytest.raises(ValueError, match="`layout` must be given where it cannot be told"):
            load_imagepulse(root)

    def test_folder_without_samples(self, root, tmp_path):
        root.mkdir()
        with pytest.raises(ValueError, match="`root` must hold triplets"):
            load_imagepulse(root)
        with pytest.raises(ValueError, match="`root` must be a folder with tar.gz files"):
            load_imagepulse(root, layout="archives")
        with pytest.raises(ValueError, match="`layout` must be one of"):
            load_imagepulse(root, layout="zip")


def unsafe_member(name: str = "s9/x.png", **changes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for attribute, value in changes.items():
        setattr(member, attribute, value)
    return member


UNSAFE = {
    "traversal": (unsafe_member("../evil.png"), "'../evil.png': a name that leads out"),
    "hidden traversal": (unsafe_member("s9/../../evil.png"), "a name that leads out"),
    "absolute": (unsafe_member("/tmp/evil.png"), "'/tmp/evil.png': an absolute name"),
    "drive": (unsafe_member("C:\\evil.png"), "an absolute name"),
    "symbolic link": (unsafe_member(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link to '/etc/passwd'"),
    "hard link": (unsafe_member(type=tarfile.LNKTYPE, linkname="s0/1.png"), "a link to"),
    "device": (unsafe_member(type=tarfile.CHRTYPE), "neither a file nor a folder"),
    "pipe": (unsafe_member(type=tarfile.FIFOTYPE), "neither a file nor a folder"),
}


class TestArchives:
    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("kind", UNSAFE)
    def test_unsafe_member_is_refused_and_nothing_is_kept(self, kind, streaming, samples, tmp_path):
        member, message = UNSAFE[kind]
        archive = make_archive(tmp_path / "data" / "bad.tar.gz", samples, member)
        cache = tmp_path / "deep" / "cache"
        before = files_below(tmp_path / "data")
        with pytest.raises(ValueError, match="bad.tar.gz' with the member .*") as error:
            list(load_imagepulse(archive.parent, streaming=streaming, cache_dir=cache, progress=False))
        assert message in str(error.value)
        assert files_below(tmp_path / "data") == before
        assert not cache.exists() or files_below(cache) == []
        assert not list(tmp_path.rglob("evil*"))

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("mode", ["w:gz", "w"])
    @pytest.mark.parametrize("part", [0.0, 0.5, 0.9, "member", "last byte"])
    def test_truncated_archive_is_named(self, part, mode, streaming, samples, tmp_path):
        archive = make_archive(tmp_path / "data" / "cut.tar.gz", samples, mode=mode)
        data = archive.read_bytes()
        if mode == "w":
            data = data.rstrip(b"\0")  # padding may be cut
            end = (len(data) + 511) // 512 * 512
        if part == "member":  # right after a member, where tarfile itself sees nothing wrong
            if mode == "w:gz":
                whole = gzip.decompress(data)
                archive.write_bytes(gzip.compress(whole[: (len(whole.rstrip(b"\0")) + 511) // 512 * 512]))
            else:
                archive.write_bytes(data.ljust(end, b"\0"))
        else:
            archive.write_bytes(data[:-1] if part == "last byte" else data[: int(len(data) * part)])
        with pytest.raises(ValueError, match="cut.tar.gz', which is truncated or damaged"):
            list(load_imagepulse(archive.parent, streaming=streaming, cache_dir=tmp_path / "cache", progress=False))
        assert not (tmp_path / "cache").exists() or files_below(tmp_path / "cache") == []

    def test_header_that_is_rubbish(self, samples, tmp_path):
        archive = make_archive(tmp_path / "bad.tar", {"a.png": b"x" * 512, "b.png": b"y" * 512}, mode="w")
        data = bytearray(archive.read_bytes())
        data[1024:1536] = b"?" * 512  # the header of the second member
        archive.write_bytes(data)
        with pytest.raises(ValueError, match="bad.tar', which is truncated or damaged"):
            extract_archive(archive, tmp_path / "cache", progress=False)

    def test_file_that_is_no_archive(self, tmp_path):
        write(tmp_path / "a.tar.gz", b"hello" * 1000)
        with (
            pytest.raises(ValueError, match="a.tar.gz', which is truncated or damaged"),
            open_members(tmp_path / "a.tar.gz") as (_, members),
        ):
            list(members)

    def test_extracts_once_and_again_when_the_archive_changes(self, samples, tmp_path):
        archive = make_archive(tmp_path / "a.tar.gz", samples)
        folder = extract_archive(archive, tmp_path / "cache", progress=False)
        assert (folder / "s0" / "1.png").read_bytes() == samples["s0/1.png"]
        (folder / "s0" / "1.png").write_bytes(b"mark")
        assert extract_archive(archive, tmp_path / "cache", progress=False) == folder
        assert (folder / "s0" / "1.png").read_bytes() == b"mark"
        os.utime(archive, (1, 1))
        assert extract_archive(archive, tmp_path / "cache", progress=False) != folder

    def test_full_disk_leaves_nothing(self, samples, tmp_path, monkeypatch):
        def fail(self, member, *args, **kwargs):
            raise OSError(28, "No space left on device")

        archive = make_archive(tmp_path / "a.tar.gz", samples)
        monkeypatch.setattr(tarfile.TarFile, "extract", fail)
        with pytest.raises(OSError, match="No space left"):
            extract_archive(archive, tmp_path / "cache", progress=False)
        assert files_below(tmp_path / "cache") == []


class TestLoadUnpaired:
    @pytest.fixture
    def folders(self, tmp_path) -> tuple[Path, Path]:
        for i in range(4):
            write(tmp_path / "contents" / "sub" / f"{i}.png", png(i))
        for i in range(5):
            write(tmp_path / "styles" / f"{i}.png", png(100 + i))
        write(tmp_path / "styles" / "notes.txt", b"")
        return tmp_path / "contents", tmp_path / "styles"

    @staticmethod
    def pairs(data) -> list[tuple[str, str]]:
        return list(zip(data["content_id"], data["style_id"], strict=True))

    def test_all_pairs(self, folders):
        data = load_unpaired(*folders)
        assert data.column_names == ["content", "style", "content_id", "style_id"]
        assert self.pairs(data) == [(f"sub/{i}.png", f"{k}.png") for i in range(4) for k in range(5)]
        assert np.array_equal(pixels(data[7]["content"]), pixels(make_image(1)))
        assert np.array_equal(pixels(data[7]["style"]), pixels(make_image(102)))

    def test_draws_different_pairs_by_the_seed(self, folders):
        first = self.pairs(load_unpaired(*folders, n=10, seed=3))
        assert len(set(first)) == 10
        assert self.pairs(load_unpaired(*folders, n=10, seed=3)) == first
        assert self.pairs(load_unpaired(*folders, n=10, seed=4)) != first

    @pytest.mark.parametrize("n", [0, 21, -1])
    def test_number_of_pairs_that_do_not_exist(self, folders, n):
        with pytest.raises(ValueError, match=f"`n` must be between 1 and .*= 20.*, but got {n}"):
            load_unpaired(*folders, n=n)

    def test_folder_without_images(self, folders, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="`style_dir` must be a folder with images"):
            load_unpaired(folders[0], tmp_path / "empty")
        with pytest.raises(ValueError, match="`content_dir` must be an existing folder"):
            load_unpaired(tmp_path / "nowhere", folders[1])


class TestLoadTriplets:
    @pytest.fixture
    def data(self) -> datasets.Dataset:
        """Four rows of two contents, and no ids."""
        columns = {
            name: [make_image(seed) for seed in seeds]
            for name, seeds in (("source", (0, 1, 0, 1)), ("style", (2, 3, 4, 5)), ("target", (6, 7, 8, 9)))
        }
        return datasets.Dataset.from_dict(columns, features=datasets.Features({c: datasets.Image() for c in columns}))

    MAPPING = {"content": "source"}

    def test_columns_are_mapped_and_equal_contents_share_an_id(self, data):
        loaded = load_triplets(data, "all", self.MAPPING)
        ids = loaded["content_id"][:]
        assert ids[0] == ids[2] != ids[1] == ids[3]
        assert np.array_equal(pixels(loaded[1]["content"]), pixels(make_image(1)))
        assert len(load_triplets(data, "train", self.MAPPING)) == len(load_triplets(data, "validation", self.MAPPING))

    def test_missing_columns_are_named_with_those_that_are_there(self, data):
        with pytest.raises(ValueError, match="but got source, style, target .*missing: content.*column_mapping"):
            load_triplets(data)
        with pytest.raises(ValueError, match="missing: picture"):
            load_triplets(data, column_mapping={"content": "picture"})
        with pytest.raises(ValueError, match="`column_mapping` must be a mapping from"):
            load_triplets(data, column_mapping={"source": "content"})

    def test_target_may_be_absent_where_allowed(self, data):
        data = data.remove_columns("target")
        with pytest.raises(ValueError, match="missing: target"):
            load_triplets(data, "all", self.MAPPING)
        assert "target" not in load_triplets(data, "all", self.MAPPING, require_target=False).column_names

    def test_stream(self, data):
        ids = load_triplets(data, "all", self.MAPPING)["content_id"][:]
        stream = load_triplets(data.to_iterable_dataset(), "all", self.MAPPING)
        rows = list(stream)
        assert [row["content_id"] for row in rows] == ids
        assert np.array_equal(pixels(rows[1]["content"]), pixels(make_image(1)))
        assert isinstance(load_triplets(data, "all", self.MAPPING, streaming=True), datasets.IterableDataset)

    def test_paths_as_strings(self, tmp_path):
        path = str(write(tmp_path / "a.png", png(0)))
        data = datasets.Dataset.from_dict({c: [path] for c in ("content", "style", "target")} | {"content_id": [7]})
        row = load_triplets(data, "all")[0]
        assert row["content_id"] == "7"
        assert np.array_equal(pixels(row["target"]), pixels(make_image(0)))

    def test_saved_dataset_is_only_read(self, data, tmp_path):
        data.save_to_disk(tmp_path / "saved")
        before = files_below(tmp_path)
        assert len(load_triplets(tmp_path / "saved", "all", self.MAPPING)) == 4
        assert files_below(tmp_path) == before

    def test_folder_of_parquet(self, data, tmp_path):
        data.to_parquet(tmp_path / "parquet" / "train.parquet")
        for streaming in (False, True):
            rows = list(load_triplets(tmp_path / "parquet", "all", self.MAPPING, streaming=streaming))
            assert np.array_equal(pixels(rows[3]["target"]), pixels(make_image(9)))

    def test_folders_of_equal_names(self, tmp_path):
        for i in range(3):
            for k, (column, suffix) in enumerate((("content", "png"), ("style", "bmp"), ("target", "png"))):
                (tmp_path / column).mkdir(exist_ok=True)
                make_image(10 * i + k).save(tmp_path / column / f"{i}.{suffix}")
        data = load_triplets(tmp_path, "all")
        assert data["style_id"][:] == ["0", "1", "2"]
        assert len(set(data["content_id"])) == 3
        assert np.array_equal(pixels(data[1]["style"]), pixels(make_image(11)))
        (tmp_path / "style" / "1.bmp").unlink()
        with pytest.raises(ValueError, match=r"style/1.\* \(style\): is missing"):
            load_triplets(tmp_path)

    def test_folders_of_equal_names_in_subfolders(self, tmp_path):
        for part in ("a", "b"):
            for k, column in enumerate(("content", "style", "target")):
                write(tmp_path / column / part / "0.png", png(10 * (part == "b") + k))
        data = load_triplets(tmp_path, "all")
        assert data["style_id"][:] == ["a/0", "b/0"]
        assert np.array_equal(pixels(data[1]["target"]), pixels(make_image(12)))
        (tmp_path / "target" / "b" / "0.png").unlink()
        with pytest.raises(ValueError, match=r"target/b/0.\* \(target\): is missing"):
            load_triplets(tmp_path)

    def test_copies_of_a_content_fall_into_one_split_and_have_the_id_of_other_layouts(self, tmp_path):
        for i in range(12):
            for column, seed in (("content", i % 4), ("style", 100 + i), ("target", 200 + i)):
                write(tmp_path / column / f"{i}.png", png(seed))
        ids = [
            load_triplets(tmp_path, split, validation_fraction=0.4)["content_id"] for split in ("train", "validation")
        ]
        assert len(set(ids[0])) + len(set(ids[1])) == 4 and not set(ids[0]) & set(ids[1])
        images = {column: [str(tmp_path / column / "0.png")] for column in ("content", "style", "target")}
        assert load_triplets(datasets.Dataset.from_dict(images), "all")["content_id"][0] in {*ids[0], *ids[1]}

    def test_splits_that_the_data_has_are_kept(self, data):
        parts = datasets.DatasetDict(train=data.select([0, 1, 2]), validation=data.select([3]))
        assert len(load_triplets(parts, "validation", self.MAPPING)) == 1
        assert len(load_triplets(parts, "train", self.MAPPING)) == 3
        assert len(load_triplets(parts, "all", self.MAPPING)) == 4
        with pytest.raises(ValueError, match="the splits a, b"):
            load_triplets(datasets.DatasetDict(a=data, b=data), "train", self.MAPPING)

    def test_one_image(self, data):
        with pytest.raises(ValueError, match="two content images or more to be split, but got 1"):
            load_triplets(data.select([0]), column_mapping=self.MAPPING)

    def test_source_that_does_not_exist(self, tmp_path):
        with pytest.raises(ValueError, match="`source` must be an existing folder"):
            load_triplets(tmp_path / "nowhere")
        with pytest.raises(ValueError, match="`source` must be a folder or a dataset of the Hub"):
            load_triplets("nobody/nothing")
        with pytest.raises(ValueError, match="`source` must be a path, a Hub id"):
            load_triplets([1, 2])


class TestFoldersWithoutTargets:
    @pytest.fixture
    def pairs(self, tmp_path):
        for column in ("content", "style"):
            (tmp_path / column).mkdir()
            for name in ("a", "b"):
                PIL.Image.new("RGB", (64, 64), name == "a" and "red" or "blue").save(tmp_path / column / f"{name}.png")
        return tmp_path

    def test_are_read_where_no_target_is_required(self, pairs):
        rows = load_triplets(pairs, "all", require_target=False)
        assert (len(rows), sorted(rows.column_names)) == (2, ["content", "content_id", "style", "style_id"])
        with pytest.raises(ValueError, match="missing: target"):
            load_triplets(pairs, "all")

    def test_of_other_names_are_no_pairs(self, pairs):
        for path in (pairs / "style").iterdir():
            path.rename(path.with_name(f"other-{path.name}"))
        with pytest.raises(ValueError, match="shares no name with style: .*unpaired:CONTENTS,STYLES"):
            load_triplets(pairs, "all", require_target=False)

    def test_check_says_what_they_are_good_for(self, pairs):
        report = check_folder(pairs, progress=False)
        assert (report.num_triplets, report.problems) == (2, []) and "need no target" in report.good_for
