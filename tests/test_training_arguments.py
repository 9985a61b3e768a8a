# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
import json

import datasets
import PIL.Image
import pytest
from conftest import make_tiny_config
from trl import ModelConfig

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARVQConfig, StyleVARVQModel
from stylevar_hf.training import StyleVARModelArguments, TripletDataArguments, load_model, load_training_data


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

    def test_new_model_without_tokenizer_is_refused(self):
        with pytest.raises(ValueError, match="`vq_model` must be given with `from_scratch`"):
            StyleVARModelArguments(from_scratch=True)


class TestLoadTrainingData:
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

    def test_weights_that_do_not_fit_the_datasets_are_refused(self):
        with pytest.raises(ValueError, match="`dataset_weights` must have one number per data set"):
            TripletDataArguments(dataset_weights=[0.5, 0.5])
