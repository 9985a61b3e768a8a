# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf import StyleVARImageProcessor
from stylevar_hf.data import cache_images, with_index
from stylevar_hf.data.cache import images as image_cache


SIZE = {"height": 16, "width": 16}
IMAGES = {"content": datasets.Image(), "style": datasets.Image()}


@pytest.fixture(scope="module")
def processor():
    return StyleVARImageProcessor(size=SIZE)


def picture(rng: np.random.Generator, shape=(40, 52, 3)) -> PIL.Image.Image:
    return PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def make_pairs(num_rows: int = 6, num_contents: int = 2, seed: int = 0) -> datasets.Dataset:
    """Random pictures in the table itself; contents come back every `num_contents` rows."""
    rng = np.random.default_rng(seed)
    contents = [picture(rng) for _ in range(num_contents)]
    columns = {
        "content": [contents[row % num_contents] for row in range(num_rows)],
        "family": [f"family-{row}" for row in range(num_rows)],
        "style": [picture(rng) for _ in range(num_rows)],
    }
    return datasets.Dataset.from_dict(columns, datasets.Features({**IMAGES, "family": datasets.Value("string")}))


def make_files(folder, seed: int = 0) -> datasets.Dataset:
    """One picture of each kind that is decoded in a way of its own, as paths."""
    rng = np.random.default_rng(seed)
    rotated = PIL.Image.Exif()
    rotated[PIL.Image.ExifTags.Base.Orientation] = 6
    picture(rng).save(folder / "plain.png")
    picture(rng).save(folder / "rotated.jpg", exif=rotated)
    picture(rng, (40, 52)).save(folder / "grey.png")
    picture(rng, (52, 40, 4)).save(folder / "transparent.png")
    names = ["plain.png", "rotated.jpg", "grey.png", "transparent.png"]
    paths = [str(folder / name) for name in names]
    return datasets.Dataset.from_dict({"content": paths, "style": paths[::-1]}, datasets.Features(IMAGES))


def pixels(processor, dataset, column="content") -> torch.Tensor:
    return processor(dataset[column][:], return_tensors="pt")["pixel_values"]


def assert_same_pixels(processor, cached, dataset) -> None:
    for column in ("content", "style"):
        assert torch.equal(pixels(processor, cached, column), pixels(processor, dataset, column))


def names(folder) -> set[str]:
    return {path.name for path in folder.rglob("*.png")}


@pytest.fixture
def written(monkeypatch):
    """The files that were written, one by one."""
    files, write = [], image_cache.write_atomically

    def counting(path, data):
        files.append(path.name)
        write(path, data)

    monkeypatch.setattr(image_cache, "write_atomically", counting)
    return files


class TestPixels:
    @pytest.mark.parametrize("mode", ["stretch", "center_crop", "pad"])
    @pytest.mark.parametrize("size", [SIZE, {"height": 12, "width": 20}])
    def test_files_of_every_kind_give_the_same_bits(self, tmp_path, mode, size):
        processor = StyleVARImageProcessor(size=size, resize_mode=mode)
        dataset = make_files(tmp_path)
        cached = cache_images(dataset, processor, tmp_path / "cache", num_workers=2, progress=False)
        assert {image.size for image in cached["content"][:]} == {(size["width"], size["height"])}
        assert_same_pixels(processor, cached, dataset)

    def test_rescaling_does_not_matter_and_the_mode_does(self, processor, tmp_path, written):
        cache_images(make_pairs(), processor, tmp_path, progress=False)
        count = len(written)
        other = StyleVARImageProcessor(size=SIZE, image_mean=[0.1, 0.2, 0.3], image_std=[0.2, 0.2, 0.2])
        assert_same_pixels(other, cache_images(make_pairs(), other, tmp_path, progress=False), make_pairs())
        assert len(written) == count
        other = StyleVARImageProcessor(size=SIZE, resize_mode="pad")
        assert_same_pixels(other, cache_images(make_pairs(), other, tmp_path, progress=False), make_pairs())
        assert len(written) == 2 * count


class TestRows:
    def test_rows_columns_and_description_stay(self, processor, tmp_path):
        dataset = make_pairs()
        dataset.info.description = "mark"
        cached = cache_images(dataset, processor, tmp_path, progress=False)
        assert cached.column_names == dataset.column_names and cached.features == dataset.features
        assert cached["family"][:] == dataset["family"][:] and cached.info.description == "mark"
        undecoded = cached.cast_column("style", datasets.Image(decode=False))[0]["style"]
        assert undecoded["bytes"] is None and undecoded["path"].startswith(str(tmp_path))

    @pytest.mark.parametrize("rows", [[3, 0, 5], [1, 2, 1, 5, 1, 2], [0, 5] * 40])
    def test_chosen_rows_are_not_copied(self, processor, tmp_path, rows):
        make_pairs().save_to_disk(tmp_path / "data")
        before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*"))
        chosen = datasets.load_from_disk(tmp_path / "data").select(rows)
        for _ in range(2):  # the second time from the cache
            cached = cache_images(chosen, processor, tmp_path / "cache", progress=False)
            assert_same_pixels(processor, cached, chosen)
            assert with_index(cached)["index"][:] == list(range(len(rows)))
            assert cached["family"][:] == chosen["family"][:]
        assert len(names(tmp_path / "cache")) == len({(row % 2, "c") for row in rows} | set(rows))
        assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*")) == before

    def test_a_column_of_small_images_is_left_alone(self, processor, tmp_path):
        rng = np.random.default_rng(0)
        small = [picture(rng, (16, 16, 3)) for _ in range(3)]
        data = datasets.Dataset.from_dict({"content": small, "style": [picture(rng)] * 3}, datasets.Features(IMAGES))
        cached = cache_images(data, processor, tmp_path, progress=False)
        assert cached.cast_column("content", datasets.Image(decode=False))[0]["content"]["bytes"] is not None
        assert len(names(tmp_path)) == 1
        assert cache_images(cached, processor, tmp_path / "again", progress=False) is cached
        large = datasets.Dataset.from_dict(
            {"content": [*small, picture(rng)]}, datasets.Features(content=IMAGES["content"])
        )
        assert cache_images(large, processor, tmp_path, ["content"], progress=False) is not large

    def test_nothing_is_done_without_resizing(self, tmp_path):
        data = make_pairs()
        assert cache_images(data, StyleVARImageProcessor(do_resize=False), tmp_path, progress=False) is data


class TestFiles:
    def test_an_image_in_many_rows_and_data_sets_is_written_once(self, processor, tmp_path, written):
        cache_images(make_pairs(6, 2), processor, tmp_path, progress=False)
        assert len(written) == len(set(written)) == 2 + 6
        cache_images(make_pairs(6, 2).select([1, 0]), processor, tmp_path, progress=False)
        assert len(written) == 2 + 6

    def test_goes_on_after_being_killed(self, processor, tmp_path, written, monkeypatch):
        write = image_cache.write_atomically

        def dying(path, data):
            if len(written) == 3:
                path.with_name(f".{path.name}.123").write_bytes(b"half of it")
                raise KeyboardInterrupt
            write(path, data)

        monkeypatch.setattr(image_cache, "write_atomically", dying)
        with pytest.raises(KeyboardInterrupt):
            cache_images(make_pairs(), processor, tmp_path, progress=False)
        assert len(written) == 3
        monkeypatch.setattr(image_cache, "write_atomically", write)
        resumed = cache_images(make_pairs(), processor, tmp_path, progress=False)
        assert len(written) == len(set(written)) == 2 + 6
        assert_same_pixels(processor, resumed, make_pairs())

    def test_a_lost_image_is_made_again(self, processor, tmp_path, written):
        cache_images(make_pairs(), processor, tmp_path, progress=False)
        next(tmp_path.rglob(written[4])).unlink()
        assert_same_pixels(processor, cache_images(make_pairs(), processor, tmp_path, progress=False), make_pairs())
        assert written[-1] == written[4] and len(written) == 9

    def test_a_changed_file_is_not_served_from_the_cache(self, processor, tmp_path):
        (tmp_path / "data").mkdir()
        first = cache_images(make_files(tmp_path / "data"), processor, tmp_path / "cache", progress=False)
        before = pixels(processor, first)
        dataset = make_files(tmp_path / "data", seed=1)
        os.utime(tmp_path / "data" / "grey.png", ns=(0, 0))  # a file of the same size, changed within a clock tick
        second = cache_images(dataset, processor, tmp_path / "cache", progress=False)
        assert_same_pixels(processor, second, dataset)
        assert torch.equal(pixels(processor, first), before)

    def test_a_moved_cache_is_used_where_it_is(self, processor, tmp_path, written):
        cache_images(make_pairs(), processor, tmp_path / "one", progress=False)
        (tmp_path / "one").rename(tmp_path / "two")
        moved = cache_images(make_pairs(), processor, tmp_path / "two", progress=False)
        assert_same_pixels(processor, moved, make_pairs())
        assert len(written) == 2 + 6

    def test_processes_divide_the_images(self, processor, tmp_path, written):
        options = {"num_processes": 2, "progress": False}
        with pytest.raises(FileNotFoundError, match="all processes see, but [0-9]+ images of the others are missing"):
            cache_images(make_pairs(6, 6), processor, tmp_path, process_index=0, **options)
        assert 0 < len(written) < 12

        barrier = threading.Barrier(2)

        def run(process_index: int) -> datasets.Dataset:
            place = {"process_index": process_index, "wait_for_everyone": barrier.wait}
            return cache_images(make_pairs(6, 6), processor, tmp_path, **place, **options)

        with ThreadPoolExecutor(2) as pool:
            for cached in pool.map(run, (0, 1)):
                assert_same_pixels(processor, cached, make_pairs(6, 6))
        assert len(written) == len(set(written)) == 12


class TestBadInput:
    def test_full_disk_leaves_nothing_half_written(self, processor, tmp_path, monkeypatch):
        def full(path, data):
            with open(path, "wb") as file:
                file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(OSError, match="No space left on device while images were cached. Make room") as caught:
            cache_images(make_pairs(), processor, tmp_path, num_workers=1, progress=False)
        assert caught.value.errno == errno.ENOSPC
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_broken_image_is_named(self, processor, tmp_path):
        rows = make_pairs().cast_column("style", datasets.Image(decode=False)).to_list()
        rows[3]["style"]["bytes"] = rows[3]["style"]["bytes"][:200]
        broken = datasets.Dataset.from_list(rows, make_pairs().features)
        with pytest.raises(ValueError, match=r"`dataset\[3\]\['style'\]` must be an image.*skip_broken"):
            cache_images(broken, processor, tmp_path, progress=False)

    def test_unfit_data_is_refused(self, processor, tmp_path):
        with pytest.raises(ValueError, match="must be a `datasets.Dataset`, but got IterableDataset"):
            cache_images(make_pairs().to_iterable_dataset(), processor, tmp_path)
        with pytest.raises(ValueError, match="missing: style"):
            cache_images(make_pairs().remove_columns("style"), processor, tmp_path)
        with pytest.raises(ValueError, match="must be a column of images"):
            cache_images(make_pairs(), processor, tmp_path, ["family"])
        with pytest.raises(ValueError, match="`num_workers` must be 0 or more, but got -1"):
            cache_images(make_pairs(), processor, tmp_path, num_workers=-1)
        with pytest.raises(ValueError, match="at least one row"):
            cache_images(make_pairs().select([]), processor, tmp_path)
        rows = [{"content": None, "style": make_pairs()[0]["style"]}]
        with pytest.raises(ValueError, match=r"`dataset\[0\]\['content'\]` must be an image, but got None"):
            cache_images(datasets.Dataset.from_list(rows, datasets.Features(IMAGES)), processor, tmp_path)
