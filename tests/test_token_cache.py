# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor
from stylevar_hf.data import with_index
from stylevar_hf.data.cache import tokens as token_cache
from stylevar_hf.data.cache.tokens import cache_tokens, check_cached_tokens, tokenizer_hash, tokenizers_of


@pytest.fixture(scope="module")
def vq_model(tiny_model_dir):
    return StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir).vq_model


@pytest.fixture(scope="module")
def processor():
    return StyleVARImageProcessor(size={"height": 16, "width": 16})


def make_triplets(num_rows: int = 6, num_contents: int = 2, seed: int = 0, target: bool = True) -> datasets.Dataset:
    """Random pictures; contents come back every `num_contents` rows."""
    rng = np.random.default_rng(seed)

    def picture() -> PIL.Image.Image:
        return PIL.Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))

    contents = [picture() for _ in range(num_contents)]
    columns = {"content": [contents[row % num_contents] for row in range(num_rows)]}
    columns["style"] = [picture() for _ in range(num_rows)]
    if target:
        columns["target"] = [picture() for _ in range(num_rows)]
    features = {name: datasets.Image() for name in columns}
    columns["content_id"] = [f"content-{row % num_contents}" for row in range(num_rows)]
    return datasets.Dataset.from_dict(columns, datasets.Features({**features, "content_id": datasets.Value("string")}))


@pytest.fixture
def encoded(vq_model, monkeypatch):
    """How many images the tokenizer saw, call by call."""
    sizes, encode = [], type(vq_model).encode

    def counting(self, pixel_values):
        sizes.append(len(pixel_values))
        return encode(self, pixel_values)

    monkeypatch.setattr(type(vq_model), "encode", counting)
    return sizes


def count_temporary(folder) -> int:
    return sum(1 for path in folder.rglob(".*") if path.is_file())


class TestCacheTokens:
    def test_codes_equal_those_computed_on_the_fly(self, vq_model, processor, tmp_path):
        dataset = make_triplets()
        cached = cache_tokens(dataset, vq_model, processor, tmp_path, batch_size=4, num_workers=2, progress=False)
        assert cached.column_names == [*dataset.column_names, "content_codes", "style_codes", "labels"]
        for name, image in (("content_codes", "content"), ("style_codes", "style"), ("labels", "target")):
            assert cached.features[name].feature.dtype == "uint16"
            pixel_values = processor(dataset[image][:], return_tensors="pt")["pixel_values"]
            expected = vq_model.encode(pixel_values.float()).codes
            assert torch.equal(torch.tensor(cached[name][:]), expected)
        assert cached["content_id"][:] == dataset["content_id"][:]

    def test_labels_are_left_out_without_a_target(self, vq_model, processor, tmp_path):
        cached = cache_tokens(make_triplets(target=False), vq_model, processor, tmp_path, progress=False)
        assert "labels" not in cached.column_names and "style_codes" in cached.column_names

    def test_an_image_in_many_rows_is_encoded_once(self, vq_model, processor, tmp_path, encoded):
        cache_tokens(make_triplets(6, 2), vq_model, processor, tmp_path, shard_size=2, progress=False)
        assert sum(encoded) == 2 + 6 + 6

    def test_second_call_reads_from_disk(self, vq_model, processor, tmp_path, encoded):
        first = cache_tokens(make_triplets(), vq_model, processor, tmp_path, progress=False)
        del encoded[:]
        second = cache_tokens(make_triplets(), vq_model, processor, tmp_path, progress=False)
        assert encoded == [] and second["labels"][:] == first["labels"][:]

    def test_goes_on_after_being_killed(self, vq_model, processor, tmp_path, encoded, monkeypatch):
        write, written = token_cache._write_shard, []

        def dying(path, codes, identity):
            if len(written) == 2:
                path.with_name(f".{path.name}.123").write_bytes(b"half of it")
                raise KeyboardInterrupt
            written.append(path)
            write(path, codes, identity)

        monkeypatch.setattr(token_cache, "_write_shard", dying)
        with pytest.raises(KeyboardInterrupt):
            cache_tokens(make_triplets(6, 6), vq_model, processor, tmp_path, shard_size=2, progress=False)
        monkeypatch.setattr(token_cache, "_write_shard", write)
        del encoded[:]
        # The files keep their size, whatever is asked for now.
        resumed = cache_tokens(make_triplets(6, 6), vq_model, processor, tmp_path, shard_size=5, progress=False)
        assert sum(encoded) == 3 * 2
        whole = cache_tokens(make_triplets(6, 6), vq_model, processor, tmp_path / "other", progress=False)
        assert resumed["labels"][:] == whole["labels"][:]

    def test_failed_write_leaves_no_file(self, vq_model, processor, tmp_path, monkeypatch):
        def full(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("datasets.arrow_writer.ArrowWriter.finalize", full)
        with pytest.raises(OSError, match="No space left"):
            cache_tokens(make_triplets(), vq_model, processor, tmp_path, progress=False)
        assert count_temporary(tmp_path) == 0 and not list(tmp_path.rglob("*.arrow"))

    def test_processes_divide_the_files(self, vq_model, processor, tmp_path, encoded):
        options = {"shard_size": 2, "num_processes": 2, "progress": False}
        with pytest.raises(FileNotFoundError):  # the other's files are not there yet
            cache_tokens(make_triplets(6, 6), vq_model, processor, tmp_path, process_index=0, **options)
        assert sum(encoded) == 3 * 4
        cached = cache_tokens(make_triplets(6, 6), vq_model, processor, tmp_path, process_index=1, **options)
        assert sum(encoded) == 3 * 6 and len(cached) == 6

    def test_other_data_gets_its_own_folder(self, vq_model, processor, tmp_path):
        one = cache_tokens(make_triplets(seed=1), vq_model, processor, tmp_path, progress=False)
        two = cache_tokens(make_triplets(seed=2), vq_model, processor, tmp_path, progress=False)
        assert one["labels"][:] != two["labels"][:]

    def test_another_tokenizer_is_refused(self, vq_model, processor, tmp_path):
        cache_tokens(make_triplets(), vq_model, processor, tmp_path, progress=False)
        other = type(vq_model)(vq_model.config)
        with pytest.raises(ValueError, match=r"`cache_dir` must be new, or a cache of this tokenizer .* but got"):
            cache_tokens(make_triplets(), other, processor, tmp_path, progress=False)
        larger = StyleVARImageProcessor(size={"height": 16, "width": 16}, resize_mode="pad")
        with pytest.raises(ValueError, match="`cache_dir` must be new"):
            cache_tokens(make_triplets(), vq_model, larger, tmp_path, progress=False)

    def test_broken_image_is_named(self, vq_model, processor, tmp_path):
        dataset = make_triplets().cast_column("style", datasets.Image(decode=False))
        rows = dataset.to_list()
        rows[3]["style"]["bytes"] = rows[3]["style"]["bytes"][:200]
        features = make_triplets().features
        broken = datasets.Dataset.from_list(rows, features)
        with pytest.raises(ValueError, match=r"`dataset\[3\]\['style'\]` must be an image.*skip_broken"):
            cache_tokens(broken, vq_model, processor, tmp_path, progress=False)

    def test_unfit_data_is_refused(self, vq_model, processor, tmp_path):
        with pytest.raises(ValueError, match="must be a `datasets.Dataset`, but got IterableDataset"):
            cache_tokens(make_triplets().to_iterable_dataset(), vq_model, processor, tmp_path)
        with pytest.raises(ValueError, match="missing: style"):
            cache_tokens(make_triplets().remove_columns("style"), vq_model, processor, tmp_path)
        with pytest.raises(ValueError, match="must be a column of images"):
            paths = datasets.Dataset.from_dict({"content": ["a.png"], "style": ["b.png"]})
            cache_tokens(paths, vq_model, processor, tmp_path)
        with pytest.raises(ValueError, match="`batch_size` must be positive, but got 0"):
            cache_tokens(make_triplets(), vq_model, processor, tmp_path, batch_size=0)
        with pytest.raises(ValueError, match="at least one row"):
            cache_tokens(make_triplets().select([]), vq_model, processor, tmp_path)


class TestChosenRows:
    @pytest.fixture
    def saved(self, tmp_path) -> datasets.Dataset:
        make_triplets().save_to_disk(tmp_path / "data")
        return datasets.load_from_disk(tmp_path / "data")

    @pytest.mark.parametrize("rows", [[3, 0, 5], [1, 2, 1, 5, 1, 2], [2, 3]])
    def test_nothing_is_written_into_the_data(self, saved, vq_model, processor, tmp_path, rows):
        before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*"))
        chosen = saved.select(rows)
        plain = cache_tokens(saved, vq_model, processor, tmp_path / "plain", progress=False)
        for _ in range(2):  # the second time from the cache
            cached = with_index(
                cache_tokens(chosen, vq_model, processor, tmp_path / "c", shard_size=2, progress=False)
            )
            assert cached["index"][:] == list(range(len(rows)))
            for row, number in zip(cached, rows, strict=True):
                expected = plain[number]
                for column in ("content_id", "content_codes", "style_codes", "labels"):
                    assert row[column] == expected[column]
                assert row["target"].tobytes() == expected["target"].tobytes()
            check_cached_tokens(cached, vq_model, processor)
            assert tokenizers_of(cached)
        both = datasets.concatenate_datasets([plain, cached.remove_columns("index")])
        assert both[len(plain)]["labels"] == plain[rows[0]]["labels"]
        assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*")) == before

    def test_rows_that_come_very_often_are_counted(self, saved):
        rows = [0, 5] * 40
        indexed = with_index(saved.select(rows))
        assert indexed["index"][:] == list(range(80))
        assert indexed["content_id"][:] == saved.select(rows)["content_id"][:]


class TestFiles:
    def test_replaced_image_is_encoded_again(self, vq_model, processor, tmp_path, encoded):
        paths = {}
        for column in ("content", "style", "target"):
            make_triplets()[0][column].save(tmp_path / f"{column}.png")
            paths[column] = [str(tmp_path / f"{column}.png")] * 2
        features = datasets.Features({column: datasets.Image() for column in paths})

        def cache() -> datasets.Dataset:
            data = datasets.Dataset.from_dict(paths, features).select([1, 0])
            return cache_tokens(data, vq_model, processor, tmp_path / "cache", progress=False)

        first, count = cache(), sum(encoded)
        cache()
        assert sum(encoded) == count
        make_triplets(seed=1)[0]["target"].save(tmp_path / "target.png")
        second = cache()
        assert sum(encoded) > count
        assert second["labels"][:] != first["labels"][:] and second["style_codes"][:] == first["style_codes"][:]


class TestTokenizerHash:
    def test_decoder_and_stored_precision_do_not_matter(self, vq_model, processor):
        expected = tokenizer_hash(vq_model, processor)
        other = type(vq_model)(vq_model.config)
        other.load_state_dict(vq_model.state_dict())
        torch.nn.init.normal_(other.decoder.conv_in.weight)
        assert tokenizer_hash(other, processor) == expected
        rounded = type(vq_model)(vq_model.config).to(torch.bfloat16)
        assert tokenizer_hash(rounded, processor) == tokenizer_hash(rounded.float(), processor)

    def test_codebook_ladder_and_resizing_matter(self, vq_model, processor):
        expected = tokenizer_hash(vq_model, processor)
        other = type(vq_model)(vq_model.config)
        other.load_state_dict(vq_model.state_dict())
        torch.nn.init.normal_(other.quantizer.codebook.weight)
        assert tokenizer_hash(other, processor) != expected
        assert (
            tokenizer_hash(vq_model, StyleVARImageProcessor(size={"height": 16, "width": 16}, resample=0)) != expected
        )


class TestCheckCachedTokens:
    def test_mark_survives_what_is_done_to_the_data(self, vq_model, processor, tmp_path):
        cached = cache_tokens(make_triplets(), vq_model, processor, tmp_path / "cache", progress=False)
        cached = cached.shuffle(seed=0).select(range(4)).remove_columns("target")
        cached.save_to_disk(tmp_path / "saved")
        cached = datasets.concatenate_datasets([datasets.load_from_disk(tmp_path / "saved"), cached])
        assert tokenizers_of(cached) == {tokenizer_hash(vq_model, processor)}
        check_cached_tokens(cached, vq_model, processor)
        with pytest.raises(ValueError, match="codes of tokenizer"):
            check_cached_tokens(cached, type(vq_model)(vq_model.config), processor)

    def test_unmarked_codes_are_let_through(self, vq_model, processor):
        check_cached_tokens(datasets.Dataset.from_dict({"labels": [[0]]}), vq_model, processor)
