# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import json

import datasets
import PIL.Image
import pytest
from conftest import make_tiny_config
from trl import ModelConfig

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor, StyleVARVQConfig, StyleVARVQModel
from stylevar_hf.data import triplets
from stylevar_hf.data.procedural import load_procedural
from stylevar_hf.training import StyleVARModelArguments, TripletDataArguments, load_model, load_training_data
from stylevar_hf.training.common import data_arguments
from stylevar_hf.training.common.arguments import load_image_processor
from stylevar_hf.training.vq import arguments as vq_arguments


def make_rows(num_contents: int, num_styles: int = 4, prefix: str = "") -> datasets.Dataset:
    """A sorted table: each content in every style. The pictures of a row have one colour."""
    count = num_contents * num_styles
    pictures = [PIL.Image.new("RGB", (16, 16), (row // num_styles * 5, row % num_styles, 0)) for row in range(count)]
    columns = dict.fromkeys(("style", "target"), pictures)
    columns["content"] = [PIL.Image.new("RGB", (16, 16), (row // num_styles * 5, 0, 0)) for row in range(count)]
    columns["content_id"] = [f"{prefix}{row // num_styles:02d}" for row in range(count)]
    columns["style_id"] = [str(row % num_styles) for row in range(count)]
    features = {name: datasets.Image() for name in ("content", "style", "target")}
    features |= {name: datasets.Value("string") for name in ("content_id", "style_id")}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@pytest.fixture
def saved(tmp_path) -> list[str]:
    """Two data sets on disk: of 40 and of 20 contents in 4 styles."""
    make_rows(40, prefix="a").save_to_disk(tmp_path / "one")
    make_rows(20, prefix="b").save_to_disk(tmp_path / "two")
    return [f"disk:{tmp_path / 'one'}", f"disk:{tmp_path / 'two'}"]


@pytest.fixture
def vq_dir(tmp_path) -> str:
    """A tokenizer of the tiny model's sizes on a longer ladder."""
    config = make_tiny_config().vq_config.to_dict()
    StyleVARVQModel(StyleVARVQConfig(**{**config, "patch_nums": (1, 2, 4, 8)})).save_pretrained(tmp_path / "vq")
    return str(tmp_path / "vq")


class TestLoadModel:
    def test_checkpoint_is_loaded_with_training_options(self, tiny_model_dir):
        style_args = StyleVARModelArguments(alpha_jitter=0.1, label_smoothing=0.05)
        model = load_model(ModelConfig(model_name_or_path=tiny_model_dir, dtype="float32"), style_args)
        assert model.config.alpha_jitter == 0.1 and model.config.label_smoothing == 0.05

    def test_checkpoint_is_carried_over_to_the_ladder_of_another_tokenizer(self, tiny_model_dir, vq_dir):
        model = load_model(
            ModelConfig(model_name_or_path=tiny_model_dir, dtype="float32"), StyleVARModelArguments(vq_model=vq_dir)
        )
        assert model.config.patch_nums == (1, 2, 4, 8)
        start = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        assert (model.lm_head.weight == start.lm_head.weight).all()

    def test_tokenizer_takes_another_ladder(self, tiny_model_dir):
        style_args = StyleVARModelArguments(vq_model=tiny_model_dir, patch_nums=[1, 2])
        model = load_model(ModelConfig(model_name_or_path=tiny_model_dir, dtype="float32"), style_args)
        assert model.config.patch_nums == (1, 2)
        start = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir).vq_model
        assert (model.vq_model.quantizer.codebook.weight == start.quantizer.codebook.weight).all()

    def test_ladder_without_tokenizer_is_refused(self, tiny_model_dir):
        with pytest.raises(ValueError, match="`patch_nums` must be given with `vq_model`"):
            load_model(ModelConfig(model_name_or_path=tiny_model_dir), StyleVARModelArguments(patch_nums=[1, 2]))

    def test_new_model_takes_sizes_from_file_and_flags(self, tmp_path, vq_dir):
        (tmp_path / "sizes.json").write_text(json.dumps({"hidden_size": 64, "num_hidden_layers": 3}))
        style_args = StyleVARModelArguments(
            from_scratch=True,
            vq_model=vq_dir,
            model_config=str(tmp_path / "sizes.json"),
            num_hidden_layers=1,
            num_attention_heads=2,
            encoder_hidden_sizes=[8, 8, 8, 8],
            encoder_depths=[1, 1, 1, 1],
            blend_alphas=[0.2, 0.4, 0.6, 0.8],
        )
        config = load_model(ModelConfig(), style_args).config
        assert (config.hidden_size, config.num_hidden_layers, config.image_size) == (64, 1, 32)
        assert list(config.encoder_config.hidden_sizes) == [8, 8, 8, 8]

    @pytest.mark.parametrize("from_scratch", [False, True])
    def test_neither_or_both_starts_are_refused(self, from_scratch, tiny_model_dir):
        style_args = StyleVARModelArguments(from_scratch=from_scratch, vq_model="x" if from_scratch else None)
        name = tiny_model_dir if from_scratch else None
        with pytest.raises(ValueError, match="must be given, and not both"):
            load_model(ModelConfig(model_name_or_path=name), style_args)

    def test_flags_of_a_new_model_are_refused_with_a_checkpoint(self, tiny_model_dir):
        style_args = StyleVARModelArguments(hidden_size=64, image_encoder="resnet")
        with pytest.raises(ValueError, match="`image_encoder`, `hidden_size` must be left out with .* resnet, 64"):
            load_model(ModelConfig(model_name_or_path=tiny_model_dir), style_args)
        with pytest.raises(ValueError, match="`encoder_depths` must come with `encoder_hidden_sizes`"):
            StyleVARModelArguments(from_scratch=True, vq_model="x", encoder_depths=[1, 1])

    def test_quantisation_is_refused(self, tiny_model_dir):
        arguments = ModelConfig(model_name_or_path=tiny_model_dir, load_in_4bit=True)
        with pytest.raises(ValueError, match="`load_in_4bit` must be left out"):
            load_model(arguments, StyleVARModelArguments())

    def test_new_model_without_tokenizer_is_refused(self):
        with pytest.raises(ValueError, match="`vq_model` must be given with `from_scratch`"):
            StyleVARModelArguments(from_scratch=True)


class TestLoadImageProcessor:
    def test_that_of_the_checkpoint_is_kept_in_the_model_size(self, tmp_path):
        saved = StyleVARImageProcessor(size={"height": 16, "width": 16}, resize_mode="center_crop")
        saved.save_pretrained(tmp_path)
        loaded = load_image_processor(ModelConfig(model_name_or_path=str(tmp_path)), image_size=32)
        assert loaded.resize_mode == "center_crop" and dict(loaded.size) == {"height": 32, "width": 32}

    def test_default_is_left_to_the_trainer(self, tmp_path):
        assert load_image_processor(ModelConfig(), image_size=32) is None
        assert load_image_processor(ModelConfig(model_name_or_path=str(tmp_path)), image_size=32) is None


class TestLoadTrainingData:
    def test_every_row_of_several_data_sets_comes_once(self, saved, monkeypatch):
        messages = []
        monkeypatch.setattr(data_arguments.logger, "info", lambda text, *values: messages.append(text % values))
        train, evaluation = load_training_data(
            TripletDataArguments(dataset=saved, max_eval_samples=1000), image_size=16
        )
        assert len(train) + len(evaluation) == 240 and not set(train["content_id"]) & set(evaluation["content_id"])
        assert len({*zip(train["content_id"], train["style_id"], strict=True)}) == len(train)
        assert len(messages) == 3 and messages[0].startswith(saved[0]) and f"{len(train)} rows" in messages[2]

    def test_weights_use_every_data_set_up_unless_told_otherwise(self, saved):
        options = {"dataset": saved, "dataset_weights": [0.5, 0.5]}
        counts = []
        for stopping in ("all_exhausted", "first_exhausted"):
            train, _ = load_training_data(TripletDataArguments(dataset_stopping=stopping, **options), image_size=16)
            counts.append(len({*zip(train["content_id"], train["style_id"], strict=True)}))
        everything, _ = load_training_data(TripletDataArguments(dataset=saved), image_size=16)
        assert counts[0] == len(everything) > counts[1]
        with pytest.raises(ValueError, match="`dataset_stopping` must be one of first_exhausted"):
            TripletDataArguments(dataset_stopping="never")

    def test_rows_are_drawn_from_the_whole_table(self, saved):
        args = TripletDataArguments(
            dataset=saved[:1], max_train_samples=16, max_eval_samples=8, validation_fraction=0.4
        )
        parts = load_training_data(args, image_size=16)
        assert [len(part) for part in parts] == [16, 8]
        assert len(set(parts[0]["content_id"])) > 8 and len(set(parts[1]["content_id"])) > 4
        again = load_training_data(args, image_size=16)
        assert [part["content_id"][:] for part in parts] == [part["content_id"][:] for part in again]

    def test_stream_is_shuffled_anew_in_each_epoch(self, saved):
        options = {"dataset": saved[:1], "streaming": True, "max_eval_samples": 8, "validation_fraction": 0.4}
        train, evaluation = load_training_data(TripletDataArguments(**options), image_size=16)
        in_order, _ = load_training_data(TripletDataArguments(shuffle_buffer_size=1, **options), image_size=16)
        seen = []
        for epoch in (0, 1):
            train.set_epoch(epoch)
            seen.append([(row["content_id"], row["style_id"]) for row in train])
        ordered = [(row["content_id"], row["style_id"]) for row in in_order]
        assert sorted(seen[0]) == sorted(seen[1]) == ordered
        assert seen[0] != seen[1] and ordered not in seen
        assert isinstance(evaluation, datasets.Dataset) and len(evaluation) == 8

    def test_streams_take_turns_and_the_endless_one_needs_weights(self, saved):
        args = TripletDataArguments(dataset=saved, streaming=True)
        names = [row["content_id"][0] for row in load_training_data(args, image_size=16)[0]]
        assert {*names[:10]} == {"a", "b"} and names.count("a") > names.count("b") > 60
        with pytest.raises(ValueError, match="`dataset_weights` must be given to mix other streams"):
            TripletDataArguments(dataset=[saved[0], "procedural"], streaming=True)

    def test_validation_split_of_a_stream_is_held_in_memory(self, monkeypatch):
        parts = {name: make_rows(count, prefix=name) for name, count in (("train", 8), ("validation", 6))}
        streams = {name: part.to_iterable_dataset() for name, part in parts.items()}
        monkeypatch.setattr(triplets, "open_source", lambda *_: datasets.IterableDatasetDict(streams))
        args = TripletDataArguments(dataset=["someone/triplets"], streaming=True, max_eval_samples=12)
        train, evaluation = load_training_data(args, image_size=16)
        assert len(list(train)) == 32 and isinstance(evaluation, datasets.Dataset) and len(evaluation) == 12
        picture, name = evaluation[0]["content"], evaluation[0]["content_id"]
        assert picture.getpixel((0, 0))[0] == int(name.removeprefix("validation")) * 5

    @pytest.mark.parametrize(
        "mapping",
        [
            ["content=photo", "style=painting"],
            ['{"content": "photo", "style": "painting"}'],
            {"content": "photo", "style": "painting"},
        ],
    )
    def test_columns_of_other_names_and_without_ids(self, tmp_path, mapping):
        rows = make_rows(20).remove_columns(["content_id"])
        rows.rename_columns({"content": "photo", "style": "painting"}).save_to_disk(tmp_path / "own")
        args = TripletDataArguments(dataset=[f"disk:{tmp_path / 'own'}"], column_mapping=mapping)
        train, evaluation = load_training_data(args, image_size=16)
        assert not set(train["content_id"]) & set(evaluation["content_id"])
        assert len(set(train["content_id"]) | set(evaluation["content_id"])) == 20
        args.column_mapping = None
        with pytest.raises(ValueError, match=r"got .*photo.* \(missing: content, style\)"):
            load_training_data(args, image_size=16)

    @pytest.mark.parametrize("mapping", [["content"], ["content="], ["{content: photo}"], ["[1]"]])
    def test_mapping_that_cannot_be_read_is_refused(self, mapping):
        with pytest.raises(ValueError, match="`column_mapping` must be a JSON object or items"):
            TripletDataArguments(column_mapping=mapping)

    def test_missing_folder_and_missing_target_are_named(self, tmp_path):
        with pytest.raises(ValueError, match="`dataset` must be an existing folder"):
            load_training_data(TripletDataArguments(dataset=[f"disk:{tmp_path / 'none'}"]), image_size=16)
        make_rows(8).remove_columns("target").save_to_disk(tmp_path / "own")
        with pytest.raises(ValueError, match="missing: target"):
            load_training_data(TripletDataArguments(dataset=[f"disk:{tmp_path / 'own'}"]), image_size=16)

    def test_target_is_not_needed_if_nobody_asks_for_it(self, tmp_path):
        make_rows(8).remove_columns("target").save_to_disk(tmp_path / "own")
        args = TripletDataArguments(dataset=[f"disk:{tmp_path / 'own'}"])
        train, _ = load_training_data(args, image_size=16, require_target=False)
        assert {"content", "style"} <= set(train.column_names) and "target" not in train.column_names

    def test_procedural_validation_is_not_the_test_set(self):
        args = TripletDataArguments(num_procedural=2, max_eval_samples=8)
        _, evaluation = load_training_data(args, image_size=16)
        test = load_procedural(8, "in_distribution", seed=0, image_size=16)
        assert not set(evaluation["style_id"]) & set(test["style_id"])

    def test_procedural_tiles_of_one_family(self):
        args = TripletDataArguments(
            num_procedural=6, max_eval_samples=3, procedural_canvas_size=32, procedural_family="mosaic"
        )
        train, evaluation = load_training_data(args, image_size=16)
        assert len(train) == 6 and len(evaluation) == 3
        assert train[0]["target"].size == (16, 16)
        assert set(train["family"]) | set(evaluation["family"]) == {"mosaic"}
        assert not set(train["content_id"]) & set(evaluation["content_id"])

    def test_stream_and_tiles_exclude_each_other(self):
        args = TripletDataArguments(streaming=True, procedural_family="mosaic")
        with pytest.raises(ValueError, match="`streaming` must be False"):
            load_training_data(args, image_size=16)

    def test_saved_folder_is_split_by_content_and_mixed(self, tmp_path):
        image = PIL.Image.new("RGB", (16, 16))
        rows = {name: [image] * 40 for name in ("content", "style", "target")}
        rows["content_id"] = [f"{index // 4}" for index in range(40)]
        features = {name: datasets.Image() for name in ("content", "style", "target")}
        features = datasets.Features({**features, "content_id": datasets.Value("string")})
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "own")
        args = TripletDataArguments(
            dataset=[f"disk:{tmp_path / 'own'}", "procedural"],
            dataset_weights=[0.5, 0.5],
            num_procedural=8,
            max_eval_samples=8,
            validation_fraction=0.25,
        )
        train, evaluation = load_training_data(args, image_size=16)
        seen = set(train["content_id"])
        assert any(name.startswith("scene-train") for name in seen) and seen & set("0123456789")
        assert not seen & set(evaluation["content_id"])

    def test_contents_in_both_splits_of_others_are_warned_of(self, tmp_path, monkeypatch):
        warnings = []
        monkeypatch.setattr(data_arguments.logger, "warning", lambda text, *values: warnings.append(text % values))
        for name, start in (("apart", 2), ("shared", 1)):
            rows = make_rows(4, num_styles=1)
            splits = {"train": rows.select(range(2)), "validation": rows.select(range(start, 4))}
            datasets.DatasetDict(splits).save_to_disk(tmp_path / name)
            load_training_data(TripletDataArguments(dataset=[f"disk:{tmp_path / name}"]), image_size=16)
        assert len(warnings) == 1
        assert "1 contents of" in warnings[0] and "shared" in warnings[0] and "such as 01" in warnings[0]

    def test_one_data_set_may_be_written_as_text(self):
        assert TripletDataArguments(dataset="omnistyle:x").dataset == ["omnistyle:x"]

    def test_weights_that_do_not_fit_the_datasets_are_refused(self):
        with pytest.raises(ValueError, match="`dataset_weights` must have one number per data set"):
            TripletDataArguments(dataset_weights=[0.5, 0.5])


class TestTokenizerArguments:
    def test_omnistyle_is_split_by_content(self, tmp_path):
        for folder in ("content", "style", "target"):
            (tmp_path / folder).mkdir()
        picture = PIL.Image.new("RGB", (16, 16))
        picture.save(tmp_path / "style" / "oil.png")
        for index in range(40):
            picture.save(tmp_path / "content" / f"{index}.png")
            picture.save(tmp_path / "target" / f"{index}.png&&oil.png.png")
        data = vq_arguments.VQDataArguments(dataset=f"omnistyle:{tmp_path}", num_eval_rows=1)
        train, evaluation = vq_arguments.load_data(data, image_size=16, seed=0)
        assert len(evaluation) == 1 and 30 < len(train) < 40
        assert not set(train["content_id"]) & set(evaluation["content_id"])
