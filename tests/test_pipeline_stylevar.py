# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline: pairing, seeds, batches, sizes, saving, and errors that come before the model starts."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from skimage import data
from transformers import pipeline

import stylevar_hf  # noqa: F401  registers the task
from stylevar_hf.configuration_stylevar import StyleVARConfig
from stylevar_hf.image_processing_stylevar import StyleVARImageProcessor
from stylevar_hf.modeling_stylevar import StyleVARForConditionalGeneration
from stylevar_hf.pipeline_stylevar import StyleVARPipeline, StyleVARPipelineOutput


NUM_SCALES = 4


@pytest.fixture(scope="module")
def pipe():
    config = StyleVARConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        vq_config={
            "patch_nums": (1, 2, 3, 4),
            "codebook_size": 64,
            "latent_channels": 8,
            "base_channels": 8,
            "norm_num_groups": 8,
            "channel_multipliers": (1, 2, 2, 2),
        },
        encoder_config={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    )
    torch.manual_seed(0)
    model = StyleVARForConditionalGeneration(config)
    for parameter in model.parameters():  # a fresh model barely reacts to its inputs
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return StyleVARPipeline(model=model, device="cpu")


@pytest.fixture(scope="module")
def photos():
    """Four photographs of different sizes."""
    arrays = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket())
    return [PIL.Image.fromarray(array) for array in arrays]


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    """A saved pipeline."""
    folder = tmp_path_factory.mktemp("checkpoint")
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture
def encoded(pipe, monkeypatch):
    """How many contents and styles were encoded."""
    counts = {"content": 0, "style": 0}

    def watch(role):
        encode = getattr(pipe.model, f"encode_{role}")

        def counting(pixel_values, *args, **kwargs):
            counts[role] += len(pixel_values)
            return encode(pixel_values, *args, **kwargs)

        monkeypatch.setattr(pipe.model, f"encode_{role}", counting)

    watch("content")
    watch("style")
    return counts


def assert_same(first, second):
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def assert_close(first, second):
    """Equal up to rounding: other batch sizes sum in another order, which may move a pixel by one level."""
    np.testing.assert_allclose(np.asarray(first, dtype=float), np.asarray(second, dtype=float), atol=1)


def differ(first, second):
    return np.abs(np.asarray(first, dtype=float) - np.asarray(second)).max() > 8


class TestShapeOfTheResult:
    def test_single_pair_gives_one_image(self, pipe, photos):
        image = pipe(photos[0], photos[1], seed=0)
        assert isinstance(image, PIL.Image.Image) and image.mode == "RGB" and image.size == (32, 32)

    def test_lists_give_a_list(self, pipe, photos):
        assert len(pipe(photos[:3], photos[3], seed=0)) == 3
        assert len(pipe(photos[0], photos[1:], seed=0)) == 3
        assert len(pipe(photos[:2], photos[2:], seed=0)) == 2
        assert len(pipe([photos[0]], photos[1], seed=0)) == 1

    def test_num_images_adds_an_inner_list(self, pipe, photos):
        images = pipe(photos[0], photos[1], seed=0, num_images=3)
        assert [image.size for image in images] == [(32, 32)] * 3
        nested = pipe(photos[:2], photos[2], seed=0, num_images=3)
        assert [len(images) for images in nested] == [3, 3]

    def test_output_types_hold_the_same_picture(self, pipe, photos):
        pil, array, tensor = (pipe(photos[0], photos[1], seed=0, output_type=kind) for kind in ("pil", "np", "pt"))
        assert array.shape == (32, 32, 3) and array.dtype == np.float32
        assert tensor.shape == (3, 32, 32) and tensor.dtype == torch.float32 and not tensor.is_inference()
        np.testing.assert_allclose(array, np.asarray(pil) / 255, atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(tensor.permute(1, 2, 0), array)

    def test_output_size(self, pipe, photos):
        sizes = [image.size for image in pipe(photos, photos[0], seed=0, output_size="content")]
        assert sizes == [photo.size for photo in photos]
        assert pipe(photos[0], photos[1], seed=0, output_size=(20, 50)).size == (50, 20)
        array = pipe(photos[1], photos[1], seed=0, output_size="content", output_type="np")
        assert array.shape == np.asarray(photos[1]).shape

    def test_output_size_content_follows_the_resize_mode(self, pipe, photos):
        wide = photos[3]
        cases = {"stretch": wide.size, "pad": wide.size, "center_crop": (min(wide.size),) * 2}
        for resize_mode, size in cases.items():
            processor = StyleVARImageProcessor(size=32, resize_mode=resize_mode)
            other = StyleVARPipeline(model=pipe.model, image_processor=processor, device="cpu")
            assert other(wide, photos[0], seed=0, output_size="content").size == size

    def test_previews_end_with_the_image(self, pipe, photos):
        output = pipe(photos[0], photos[1:3], seed=0, num_images=2, batch_size=1, previews=True)
        assert isinstance(output, StyleVARPipelineOutput)
        assert_close(output.images[1][1], pipe(photos[0], photos[2], seed=1))
        for images, previews in zip(output.images, output.previews, strict=True):
            for image, stages in zip(images, previews, strict=True):
                assert len(stages) == NUM_SCALES
                assert_same(stages[-1], image)
                assert differ(stages[0], image)

    def test_previews_of_a_single_image_are_one_list(self, pipe, photos):
        output = pipe(photos[0], photos[1], seed=0, previews=True, output_size=(10, 12))
        assert [stage.size for stage in output.previews] == [(12, 10)] * NUM_SCALES


class TestSeeds:
    def test_same_seed_gives_the_same_bytes(self, pipe, photos):
        assert_same(pipe(photos[0], photos[1], seed=7), pipe(photos[0], photos[1], seed=7))
        assert differ(pipe(photos[0], photos[1], seed=7), pipe(photos[0], photos[1], seed=8))

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
    @pytest.mark.parametrize("num_images", [1, 3])
    def test_neither_position_nor_batch_changes_a_result(self, pipe, photos, batch_size, num_images):
        together = pipe(photos, photos[1], seed=5, num_images=num_images, batch_size=batch_size)
        for photo, result in zip(photos, together, strict=True):
            images = [result] if num_images == 1 else result
            for j, image in enumerate(images):
                assert_close(image, pipe(photo, photos[1], seed=5 + j))

    def test_one_seed_per_pair(self, pipe, photos):
        results = pipe(photos[:2], photos[2:], seed=[3, 11])
        assert_close(results[0], pipe(photos[0], photos[2], seed=3))
        assert_close(results[1], pipe(photos[1], photos[3], seed=11))

    def test_generators_take_the_place_of_seeds(self, pipe, photos):
        generators = [torch.Generator().manual_seed(seed) for seed in (4, 5, 4, 5)]
        expected = pipe(photos[:2], photos[2], seed=4, num_images=2)
        results = pipe(photos[:2], photos[2], generator=generators, num_images=2, batch_size=3)
        for i in range(2):
            for j in range(2):
                assert_close(results[i][j], expected[i][j])

    def test_single_generator_moves_on(self, pipe, photos):
        generator = torch.Generator().manual_seed(0)
        first, second = (pipe(photos[0], photos[1], generator=generator) for _ in range(2))
        assert differ(first, second)
        assert_same(first, pipe(photos[0], photos[1], generator=torch.Generator().manual_seed(0)))

    def test_no_seed_draws_from_torchs_global_generator(self, pipe, photos):
        results = []
        for _ in range(2):
            torch.manual_seed(3)
            results.append(pipe(photos[0], photos[1]))
        assert_same(*results)
        assert differ(results[1], pipe(photos[0], photos[1]))

    def test_seed_leaves_the_global_generator_alone(self, pipe, photos):
        state = torch.get_rng_state()
        pipe(photos[0], photos[1], seed=1)
        assert torch.equal(state, torch.get_rng_state())


class TestEncoding:
    def test_one_style_for_many_contents_is_encoded_once(self, pipe, photos, encoded):
        pipe(photos, photos[1], seed=0, num_images=2, batch_size=2)
        assert encoded == {"content": 4, "style": 1}

    def test_one_content_for_many_styles_is_encoded_once(self, pipe, photos, encoded):
        pipe([photos[0]], photos, seed=0, batch_size=3)
        assert encoded == {"content": 1, "style": 4}

    def test_repeated_pictures_are_encoded_once(self, pipe, photos, encoded, tmp_path):
        photos[0].save(tmp_path / "photo.png")
        path = tmp_path / "photo.png"
        results = pipe([path, str(path), photos[1], photos[1]], [photos[2], photos[3]] * 2, seed=0)
        assert encoded == {"content": 2, "style": 2}
        assert_close(results[1], pipe(path, photos[3], seed=0))
        assert_close(results[2], pipe(photos[1], photos[2], seed=0))

    def test_pairs_match_in_order(self, pipe, photos):
        results = pipe(photos, photos[::-1], seed=0, batch_size=3)
        for result, content, style in zip(results, photos, photos[::-1], strict=True):
            assert_close(result, pipe(content, style, seed=0))
        assert differ(results[0], results[1])

    def test_result_equals_generate(self, pipe, photos):
        content, style = pipe.image_processor(photos[:2], return_tensors="pt").pixel_values.split(1)
        generated = pipe.model.generate(content, style, style_strength=0.5, generator=torch.Generator().manual_seed(9))
        result = pipe(photos[0], photos[1], seed=9, style_strength=0.5, output_type="pt")
        torch.testing.assert_close(result, (generated.pixel_values[0] / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-5)

    def test_every_kind_of_source_gives_the_same_image(self, pipe, photos, tmp_path):
        expected = pipe(photos[1], photos[0], seed=0)
        photos[1].save(tmp_path / "photo.png")
        array = np.asarray(photos[1])
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), array, tensor, tensor / 255):
            assert_same(pipe(source, photos[0], seed=0), expected)

    def test_dataset_columns_are_lists(self, pipe, photos):
        datasets = pytest.importorskip("datasets")
        features = datasets.Features({"content": datasets.Image(), "style": datasets.Image()})
        dataset = datasets.Dataset.from_dict({"content": photos[:2], "style": photos[2:]}, features=features)
        results = pipe(dataset["content"], dataset["style"], seed=0)
        assert_close(results[1], pipe(photos[1], photos[3], seed=0))
        with pytest.raises(ValueError, match="`content` must be an image.*got a dataset.*one of its columns"):
            pipe(dataset, photos[0])


class TestOptions:
    def test_greedy_needs_no_seed(self, pipe, photos):
        first = pipe(photos[0], photos[1], do_sample=False)
        assert_same(first, pipe(photos[0], photos[1], do_sample=False))
        assert_same(first, pipe(photos[0], photos[1], top_k=1))

    def test_sampling_options_reach_the_model(self, pipe, photos):
        greedy = pipe(photos[0], photos[1], do_sample=False)
        assert_same(pipe(photos[0], photos[1], seed=0, temperature=1e-4), greedy)
        assert_same(pipe(photos[0], photos[1], seed=0, top_p=1e-6), greedy)

    def test_style_strength_per_pair(self, pipe, photos):
        results = pipe(photos[:2], photos[2], seed=0, style_strength=[1.0, -1.0], batch_size=1)
        assert_close(results[0], pipe(photos[0], photos[2], seed=0, style_strength=1.0))
        assert_close(results[1], pipe(photos[1], photos[2], seed=0, style_strength=-1.0))
        assert differ(results[0], pipe(photos[0], photos[2], seed=0))

    def test_strength_and_seed_as_tensor_or_array(self, pipe, photos):
        expected = pipe(photos[0], photos[1], seed=3, style_strength=0.5)
        assert_same(pipe(photos[0], photos[1], seed=np.int64(3), style_strength=torch.tensor(0.5)), expected)
        assert_same(pipe(photos[:1], photos[1:2], seed=np.array([3]), style_strength=np.array([0.5]))[0], expected)

    def test_callback_sees_every_scale_of_every_batch(self, pipe, photos):
        seen = []
        pipe(
            photos[:3],
            photos[3],
            seed=0,
            batch_size=2,
            callback_on_scale_end=lambda state: seen.append((state.scale_index, len(state.codes))),
        )
        assert seen == [(i, 2) for i in range(NUM_SCALES)] + [(i, 1) for i in range(NUM_SCALES)]

    def test_progress_bar_only_when_asked(self, pipe, photos, capsys):
        pipe(photos[0], photos[1], seed=0)
        assert capsys.readouterr() == ("", "")
        pipe(photos[0], photos[1], seed=0, progress=True)
        assert f"{NUM_SCALES}/{NUM_SCALES}" in capsys.readouterr().err

    def test_model_is_put_into_evaluation_mode(self, pipe, photos):
        expected = pipe(photos[0], photos[1], seed=0)
        pipe.model.train()
        assert_same(StyleVARPipeline(model=pipe.model, device="cpu")(photos[0], photos[1], seed=0), expected)


class TestBadInput:
    @pytest.fixture(autouse=True)
    def model_must_not_start(self, pipe, monkeypatch):
        def fail(*args, **kwargs):
            pytest.fail("the model was started before the input was checked")

        for name in ("encode_content", "encode_style", "generate"):
            monkeypatch.setattr(pipe.model, name, fail)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"num_images": 0}, "`num_images` must be a positive integer, but got 0"),
            ({"batch_size": 0}, "`batch_size` must be a positive integer, but got 0"),
            ({"style_strength": 1.5}, r"`style_strength` must be in \[-1, 1\], but got 1.5"),
            ({"style_strength": float("nan")}, r"`style_strength` must be in \[-1, 1\], but got nan"),
            ({"style_strength": [0.0, 0.5]}, r"`style_strength` must be one value or one per pair \(1\), but got 2"),
            ({"seed": 0.5}, "`seed` must be an integer"),
            ({"seed": -1}, "`seed` must be an integer"),
            ({"seed": [1, 2]}, r"`seed` must be one value or one per pair \(1\), but got 2"),
            ({"seed": 0, "generator": torch.Generator()}, "`seed` must be unset when `generator` is given"),
            ({"generator": [torch.Generator()] * 2}, r"`generator` must be .* one per image \(1\)"),
            ({"generator": 3}, r"`generator` must be .* one per image \(1\)"),
            ({"top_p": 0.0}, r"`top_p` must be in \(0, 1\]"),
            ({"top_k": -1}, "`top_k` must be"),
            ({"temperature": 0.0}, "`temperature` must be positive"),
            ({"output_type": "jpg"}, "`output_type` must be one of"),
            ({"output_size": "original"}, r"`output_size` must be 'model', 'content' or \(height, width\)"),
            ({"output_size": (0, 4)}, r"`output_size` must be a pair \(height, width\)"),
        ],
    )
    def test_arguments_that_do_not_fit_raise(self, pipe, photos, arguments, message):
        with pytest.raises(ValueError, match=message):
            pipe(photos[0], photos[1], **arguments)

    @pytest.mark.parametrize(
        "contents, styles, message",
        [
            (2, 3, r"`style` must hold one image per content \(2\) or a single one, but got 3"),
            (0, 1, "`content` must hold at least one image, but got an empty list"),
            (1, 0, "`style` must hold at least one image, but got an empty list"),
        ],
    )
    def test_lists_that_do_not_match_raise(self, pipe, photos, contents, styles, message):
        with pytest.raises(ValueError, match=message):
            pipe(photos[:contents], photos[:styles])

    def test_bad_picture_is_named(self, pipe, photos, tmp_path):
        (tmp_path / "notes.png").write_text("not a picture")
        with pytest.raises(ValueError, match=r"`style\[2\]` must be an image file.*notes.png"):
            pipe(photos[0], [photos[1], photos[2], tmp_path / "notes.png"])
        with pytest.raises(ValueError, match="`content` must be an existing image file.*missing.png"):
            pipe(tmp_path / "missing.png", photos[0])
        with pytest.raises(ValueError, match=r"`content` must be in \[0, 1\] for dtype float32"):
            pipe(torch.full((3, 8, 8), -1.0), photos[0])
        with pytest.raises(ValueError, match=r"`content` must be an image or a list.*shape \(2, 3, 8, 8\)"):
            pipe(torch.zeros(2, 3, 8, 8), photos[0])

    def test_limit_of_the_processor_holds(self, pipe, photos, monkeypatch):
        monkeypatch.setattr(pipe.image_processor, "max_image_pixels", 1000)
        with pytest.raises(ValueError, match="`content` must be an image of at most 1000 pixels"):
            pipe(photos[0], photos[1])

    def test_processor_of_another_size_raises(self, pipe):
        with pytest.raises(ValueError, match="`image_processor` must make images of 32 x 32 pixels"):
            StyleVARPipeline(model=pipe.model, image_processor=StyleVARImageProcessor(), device="cpu")

    def test_unknown_constructor_argument_raises(self, pipe):
        with pytest.raises(ValueError, match="arguments it knows, but got .'style_strength'.*Pass them to the call"):
            StyleVARPipeline(model=pipe.model, device="cpu", style_strength=0.5)


class TestSaving:
    @pytest.fixture(autouse=True)
    def nobody_at_the_keyboard(self, monkeypatch):
        """transformers asks whether to run remote code when it finds some that it takes for needed."""
        monkeypatch.setattr("builtins.input", lambda prompt="": pytest.fail(f"asked: {prompt}"))

    def test_folder_holds_model_and_processor(self, folder):
        names = {path.name for path in folder.iterdir()}
        expected = {"config.json", "generation_config.json", "preprocessor_config.json", "model.safetensors"}
        assert expected <= names
        assert "custom_pipelines" not in json.loads((folder / "config.json").read_text())

    def test_round_trip_gives_the_same_image(self, pipe, photos, folder):
        loaded = StyleVARPipeline.from_pretrained(folder, device="cpu", local_files_only=True)
        assert_same(loaded(photos[0], photos[1], seed=0), pipe(photos[0], photos[1], seed=0))

    def test_subfolder(self, pipe, photos, folder):
        loaded = StyleVARPipeline.from_pretrained(folder.parent, subfolder=folder.name, device="cpu")
        assert_same(loaded(photos[0], photos[1], seed=0), pipe(photos[0], photos[1], seed=0))

    def test_task_name_gives_the_same_image(self, pipe, photos, folder):
        loaded = pipeline("image-style-transfer", model=str(folder), device="cpu", batch_size=2)
        assert type(loaded) is StyleVARPipeline and loaded.image_processor.size == {"height": 32, "width": 32}
        assert_same(loaded(photos[0], photos[1], seed=0), pipe(photos[0], photos[1], seed=0))

    def test_bfloat16_is_kept(self, photos, folder):
        loaded = StyleVARPipeline.from_pretrained(folder, device="cpu", dtype=torch.bfloat16)
        assert loaded.dtype == torch.bfloat16
        assert loaded(photos[0], photos[1], seed=0).size == (32, 32)

    def test_old_name_of_dtype_counts(self, folder):
        load = StyleVARPipeline.from_pretrained
        assert load(folder, device="cpu", torch_dtype=torch.bfloat16).dtype == torch.bfloat16
        assert load(folder, device="cpu", torch_dtype="bfloat16", dtype="float32").dtype == torch.float32

    def test_folder_of_a_model_alone_gets_the_published_processing(self, pipe, photos, tmp_path):
        pipe.model.save_pretrained(tmp_path)
        loaded = StyleVARPipeline.from_pretrained(tmp_path, device="cpu")
        assert_same(loaded(photos[0], photos[1], seed=0), pipe(photos[0], photos[1], seed=0))

    @pytest.mark.parametrize("fast", [True, False])
    def test_warns_of_precisions_that_the_processor_emulates(self, fast, folder, monkeypatch):
        messages = []
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: fast)
        monkeypatch.setattr("stylevar_hf.pipeline_stylevar.logger.warning", messages.append)
        StyleVARPipeline.from_pretrained(folder, device="cpu", dtype=torch.bfloat16)
        assert [("no instructions for torch.bfloat16" in message) for message in messages] == ([] if fast else [True])

    def test_file_in_place_of_the_folder_raises(self, pipe, tmp_path):
        (tmp_path / "model").touch()
        with pytest.raises(ValueError, match="`save_directory` must be a folder, but got the file"):
            pipe.save_pretrained(tmp_path / "model")

    def test_push_hands_model_and_processor_over(self, pipe, monkeypatch):
        calls = []
        monkeypatch.setattr(
            type(pipe.model), "_publish", lambda model, repo_id, **kwargs: calls.append((repo_id, kwargs))
        )
        pipe.push_to_hub("me/stylevar", private=True, token="secret", revision="dev", license="other")
        (repo_id, options), *others = calls
        assert repo_id == "me/stylevar" and not others
        assert options["image_processor"] is pipe.image_processor
        given = {name: options[name] for name in ("private", "token", "revision", "license")}
        assert given == {"private": True, "token": "secret", "revision": "dev", "license": "other"}
