# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from datasets import Dataset, DatasetDict

from stylevar_hf.data import load_omnistyle
from stylevar_hf.evaluation import benchmarks, load_benchmark
from stylevar_hf.evaluation.benchmarks import PROCEDURAL_SETS, parse_benchmark


SIDE = 16


def picture(seed: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)


def make_omnistyle(root: Path, num_contents: int = 30, num_styles: int = 3) -> Path:
    for c in range(num_contents):
        save(root / "content" / f"room {c}.png", c)
        for s in range(num_styles):
            save(root / "style" / f"oil {s}.jpeg.png", 100 + s)
            save(root / "target" / f"room {c}.png&&oil {s}.jpeg.png.png", 1000 + 10 * c + s)
    return root


def make_imagepulse(root: Path, count: int = 20) -> Path:
    for i in range(count):
        for place, name in enumerate(("content", "style", "target")):
            save(root / f"{i:03d}" / f"{name}.png", 3 * i + place)
    return root


def make_folder(root: Path, count: int, first: int = 0) -> Path:
    for i in range(count):
        save(root / f"{i}.png", first + i)
    return root


def make_rows(count: int = 5) -> list[dict]:
    return [
        {"content": picture(3 * i), "style": picture(3 * i + 1), "target": picture(3 * i + 2)} for i in range(count)
    ]


class TestParseBenchmark:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("procedural", ("procedural", ())),
            ("omnistyle:/data/omni:style", ("omnistyle", ("/data/omni:style",))),
            ("unpaired:coco,wikiart", ("unpaired", ("coco", "wikiart"))),
        ],
    )
    def test_of_each_form(self, spec, expected):
        assert parse_benchmark(spec) == expected

    @pytest.mark.parametrize(
        "spec", ["", "coco", "procedural:", "omnistyle", "omnistyle:", "unpaired:a", "unpaired:a,", "styleid:a,b,c"]
    )
    def test_refuses_other_forms(self, spec):
        with pytest.raises(ValueError, match="`benchmark` must be procedural, omnistyle:ROOT"):
            parse_benchmark(spec)


class TestLoadBenchmark:
    def test_procedural_has_the_three_test_sets(self):
        sets = load_benchmark("procedural", image_size=SIDE, num_pairs=2)
        assert tuple(one.name for one in sets) == PROCEDURAL_SETS
        assert all(len(one) == 2 and one.has_target and one.style_ids for one in sets)
        assert sets[0].dataset[0]["target"].size == (SIDE, SIDE)

    def test_omnistyle_has_held_out_contents_only(self, tmp_path):
        root = make_omnistyle(tmp_path)
        (found,) = load_benchmark(f"omnistyle:{root}", SIDE)
        assert not set(found.content_ids) & set(load_omnistyle(root, split="train")["content_id"])
        assert len(found) == 3 * len(set(found.content_ids)) and found.has_target

    def test_pairs_are_drawn_from_all_contents_by_the_seed(self, tmp_path):
        root = make_omnistyle(tmp_path, num_contents=100)
        first, again, other = (
            load_benchmark(f"omnistyle:{root}", SIDE, num_pairs=4, seed=seed)[0] for seed in (0, 0, 1)
        )
        pairs = [list(zip(one.content_ids, one.style_ids, strict=True)) for one in (first, again, other)]
        assert len(pairs[0]) == 4 and pairs[0] == pairs[1] != pairs[2]
        assert len(set(first.content_ids)) > 1

    def test_imagepulse_has_held_out_triplets(self, tmp_path):
        (found,) = load_benchmark(f"imagepulse:{make_imagepulse(tmp_path)}", SIDE)
        assert found.name == "imagepulse" and 1 <= len(found) < 10 and found.has_target

    def test_unpaired_draws_pairs_without_targets(self, tmp_path):
        folders = f"{make_folder(tmp_path / 'c', 4)},{make_folder(tmp_path / 's', 5, 50)}"
        (found,) = load_benchmark(f"unpaired:{folders}", SIDE, num_pairs=7)
        assert len(found) == 7 and not found.has_target
        assert len(load_benchmark(f"unpaired:{folders}", SIDE, num_pairs=99)[0]) == 20

    def test_pairs_that_are_not_asked_for_are_never_listed(self, tmp_path, monkeypatch):
        asked = []
        load = benchmarks.load_unpaired
        monkeypatch.setattr(benchmarks, "load_unpaired", lambda *a, n=None, **k: asked.append(n) or load(*a, n=n, **k))
        folders = f"{make_folder(tmp_path / 'c', 4)},{make_folder(tmp_path / 's', 5, 50)}"
        (found,) = load_benchmark(f"unpaired:{folders}", SIDE, num_pairs=7)
        assert asked == [7] and "(4 contents, 5 styles)" in found.source

    def test_styleid_is_all_pairs_and_says_where_it_is_not_the_protocol(self, tmp_path):
        folders = f"{make_folder(tmp_path / 'c', 2)},{make_folder(tmp_path / 's', 3, 50)}"
        (found,) = load_benchmark(f"styleid:{folders}", SIDE)
        assert len(found) == 6
        assert found.notes == ("The protocol has 20 contents and 40 styles; here are 2 and 3.",)
        (part,) = load_benchmark(f"styleid:{folders}", SIDE, num_pairs=4)
        assert part.notes[-1] == "The protocol takes all pairs; here are 4 of 6."

    def test_triplets_are_all_rows_or_the_test_split(self, tmp_path):
        Dataset.from_list(make_rows()).save_to_disk(tmp_path / "mine")
        DatasetDict({"train": Dataset.from_list(make_rows()), "test": Dataset.from_list(make_rows(2))}).save_to_disk(
            tmp_path / "splits"
        )
        assert len(load_benchmark(f"triplets:{tmp_path / 'mine'}", SIDE)[0]) == 5
        assert len(load_benchmark(f"triplets:{tmp_path / 'splits'}", SIDE)[0]) == 2
        with pytest.raises(ValueError, match="a split `test` or `validation`, but got .* splits a, b"):
            rows = Dataset.from_list(make_rows(2))
            DatasetDict({"a": rows, "b": rows}).save_to_disk(tmp_path / "other")
            load_benchmark(f"triplets:{tmp_path / 'other'}", SIDE)

    def test_triplets_in_folders_of_equal_names(self, tmp_path):
        for place, column in enumerate(("content", "style", "target")):
            make_folder(tmp_path / column, 3, 10 * place)
        (found,) = load_benchmark(f"triplets:{tmp_path}", SIDE)
        assert len(found) == 3 and found.has_target


class TestBadBenchmarks:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("omnistyle:{}/none", "`benchmark` must be an existing folder"),
            ("imagepulse:{}", "must hold triplets, but got .* without any"),
            ("omnistyle:{}", "`root` must be a folder with content, style and target"),
            ("unpaired:{0},{0}", "must be a folder with images, but got .* without any"),
        ],
    )
    def test_empty_benchmark(self, spec, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            load_benchmark(spec.format(tmp_path), SIDE)

    def test_no_rows(self, tmp_path):
        Dataset.from_list(make_rows()).select([]).save_to_disk(tmp_path / "none")
        with pytest.raises(ValueError, match="`benchmark` must be one or more triplets, but got"):
            load_benchmark(f"triplets:{tmp_path / 'none'}", SIDE)

    def test_missing_file_of_a_triplet_is_named_or_left_out(self, tmp_path):
        root = make_omnistyle(tmp_path)
        (root / "style" / "oil 1.jpeg.png").unlink()
        with pytest.raises(ValueError, match="30 problems.*allow_missing.*oil 1.jpeg.png is missing"):
            load_benchmark(f"omnistyle:{root}", SIDE)
        (found,) = load_benchmark(f"omnistyle:{root}", SIDE, allow_missing=True)
        assert len(found.left_out) == 30 and set(found.style_ids) == {"oil 0.jpeg.png", "oil 2.jpeg.png"}

    def test_missing_target_in_a_table_is_named_or_left_out(self, tmp_path):
        rows = make_rows()
        rows[2]["target"] = None
        Dataset.from_list(rows).save_to_disk(tmp_path / "mine")
        with pytest.raises(ValueError, match="1 of 5 pairs.*row 2, target: is missing"):
            load_benchmark(f"triplets:{tmp_path / 'mine'}", SIDE)
        (found,) = load_benchmark(f"triplets:{tmp_path / 'mine'}", SIDE, allow_missing=True)
        assert len(found) == 4 and found.left_out == ("error: row 2, target: is missing",)

    def test_unreadable_picture_in_the_middle_is_named_or_left_out(self, tmp_path):
        folders = f"{make_folder(tmp_path / 'c', 4)},{make_folder(tmp_path / 's', 3, 50)}"
        broken = tmp_path / "c" / "2.png"
        broken.write_bytes(broken.read_bytes()[:200])
        with pytest.raises(ValueError, match="3 of 12 pairs with one that cannot.*2.png"):
            load_benchmark(f"styleid:{folders}", SIDE)
        (found,) = load_benchmark(f"styleid:{folders}", SIDE, allow_missing=True)
        assert len(found) == 9 and len(found.left_out) == 3 and "2.png" not in found.content_ids

    def test_nothing_left(self, tmp_path):
        folders = f"{make_folder(tmp_path / 'c', 1)},{make_folder(tmp_path / 's', 2, 50)}"
        (tmp_path / "c" / "0.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match="one pair or more that can be used, but got none of 2"):
            load_benchmark(f"styleid:{folders}", SIDE, allow_missing=True)
