# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import wasserstein_distance
from skimage.color import rgb2lab

from stylevar_hf.data.procedural import load_procedural, procedural_triplet, stream_procedural
from stylevar_hf.data.procedural.contents import HELD_OUT_WIDTH, photograph_crop, rendered_scene
from stylevar_hf.data.procedural.styles import (
    STYLE_FAMILIES,
    apply_palette,
    is_held_out_palette,
    sample_palette,
    sample_style,
)
from stylevar_hf.data.procedural.triplets import (
    HELD_OUT_FAMILIES,
    PROCEDURAL_SPLITS,
    TRAINING_FAMILIES,
    apply_style,
    style_image,
)


IMAGES = ("content", "style", "target")


def pixels(triplet: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(triplet[name]) for name in IMAGES}


def colour_distance(first: Image.Image, second: Image.Image) -> float:
    """Mean distance between the distributions of each CIELAB channel."""
    a, b = (rgb2lab(np.asarray(image)).reshape(-1, 3) for image in (first, second))
    return float(np.mean([wasserstein_distance(a[:, c], b[:, c]) for c in range(3)]))


class TestTriplet:
    def test_images_are_square_rgb_of_the_asked_size(self):
        triplet = procedural_triplet(3, image_size=48)
        assert all(triplet[name].mode == "RGB" and triplet[name].size == (48, 48) for name in IMAGES)
        assert triplet["family"] in (*TRAINING_FAMILIES, "own")

    @pytest.mark.parametrize("split", PROCEDURAL_SPLITS)
    def test_same_arguments_give_the_same_pixels(self, split):
        first, second = (pixels(procedural_triplet(7, split, seed=5, image_size=64)) for _ in range(2))
        assert all((first[name] == second[name]).all() for name in IMAGES)

    def test_index_seed_and_split_each_change_the_triplet(self):
        base = pixels(procedural_triplet(0, image_size=32))["target"]
        others = [
            procedural_triplet(1, image_size=32),
            procedural_triplet(0, seed=1, image_size=32),
            procedural_triplet(0, "in_distribution", image_size=32),
        ]
        assert all((pixels(other)["target"] != base).any() for other in others)

    @pytest.mark.parametrize("family", STYLE_FAMILIES)
    def test_target_shows_the_palette_of_its_own_style(self, family):
        """A person can tell which style was used: the target's colours are nearer to its style than to another's."""
        triplets = [procedural_triplet(index, family=family, image_size=64) for index in range(8)]
        nearer = [
            colour_distance(a["target"], a["style"]) < colour_distance(a["target"], b["style"])
            for a, b in itertools.permutations(triplets, 2)
        ]
        assert np.mean(nearer) > 0.9

    def test_target_shows_the_structure_of_its_content(self):
        def correlation(a: Image.Image, b: Image.Image) -> float:
            """Of the lightness, blurred beyond the width of the marks."""
            tones = [gaussian_filter(rgb2lab(np.asarray(image))[..., 0], 6).ravel() for image in (a, b)]
            return float(np.corrcoef(*tones)[0, 1])

        triplets = [procedural_triplet(index) for index in range(12)]
        assert np.mean([correlation(t["target"], t["content"]) for t in triplets]) > 0.8
        assert abs(np.mean([correlation(t["target"], t["style"]) for t in triplets])) < 0.4

    def test_some_training_contents_are_their_own_style(self):
        triplets = [procedural_triplet(index, image_size=16) for index in range(160)]
        own = [pixels(triplet) for triplet in triplets if triplet["family"] == "own"]
        assert 3 <= len(own) <= 20
        assert all((t["content"] == t["target"]).all() and (t["content"] == t["style"]).all() for t in own)
        tests = [procedural_triplet(index, "in_distribution", image_size=16) for index in range(160)]
        assert not any(triplet["family"] == "own" for triplet in tests)

    def test_given_content_and_family_are_used(self):
        content = Image.new("RGB", (70, 40), (200, 30, 30))
        triplet = procedural_triplet(0, image_size=32, content=content, family="stitch")
        assert triplet["family"] == "stitch" and triplet["style_id"].startswith("stitch")
        assert np.asarray(triplet["content"]).std(axis=(0, 1)).max() < 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"index": 0, "split": "test"}, "`split` must be one of"),
            ({"index": -1}, "`index` and `seed` must be at least 0"),
            ({"index": 0, "image_size": 8}, "`image_size` must be at least 16"),
            ({"index": 0, "family": "cubism"}, "`family` must be one of"),
        ],
    )
    def test_wrong_argument_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            procedural_triplet(**arguments)


class TestSplits:
    def test_held_out_families_are_in_one_split_only(self):
        assert not set(TRAINING_FAMILIES) & set(HELD_OUT_FAMILIES)
        families = {
            s: {procedural_triplet(i, s, image_size=16)["family"] for i in range(40)} for s in PROCEDURAL_SPLITS
        }
        assert families.pop("out_of_distribution") == set(HELD_OUT_FAMILIES)
        assert all(seen - {"own"} == set(TRAINING_FAMILIES) for seen in families.values())

    def test_crops_of_training_and_test_do_not_overlap(self):
        rng = np.random.default_rng(0)
        width = 512  # of the astronaut
        for _ in range(20):
            _, identity = photograph_crop(rng, 16, ("astronaut",), "training")
            _, _, left, side = identity.removesuffix("-mirrored").split("-")
            assert int(left) + int(side) <= round(width * (1 - HELD_OUT_WIDTH))
            _, identity = photograph_crop(rng, 16, ("astronaut",), "held_out")
            assert int(identity.split("-")[2]) >= round(width * (1 - HELD_OUT_WIDTH))

    def test_held_out_photographs_are_never_trained_on(self):
        train = PROCEDURAL_SPLITS["train"].photographs
        assert not set(train) & set(PROCEDURAL_SPLITS["near_distribution"].photographs)
        assert not set(train) & set(PROCEDURAL_SPLITS["out_of_distribution"].photographs)

    def test_about_a_fifth_of_the_palettes_is_held_out(self):
        hues = np.random.default_rng(0).random((4000, 2))
        share = np.mean([is_held_out_palette(*pair) for pair in hues])
        assert 0.15 < share < 0.25


class TestStyles:
    @pytest.mark.parametrize("family", STYLE_FAMILIES)
    def test_render_is_deterministic_and_in_range(self, family):
        style = sample_style(np.random.default_rng(1), family)
        tone = np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40)
        image = style.render(tone)
        assert image.shape == (40, 40, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1
        assert (style.render(tone) == image).all()

    def test_marks_fall_in_the_same_places_on_every_image(self):
        style = sample_style(np.random.default_rng(2), "mosaic")
        flat, ramp = np.full((64, 64), 0.5, np.float32), np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))

        def edges(tone):
            image = style.render(tone)
            return np.abs(np.diff(image, axis=0)).sum(axis=-1).ravel()

        assert np.corrcoef(edges(flat), edges(ramp))[0, 1] > 0.5

    def test_palette_runs_from_dark_to_light(self):
        palette = sample_palette(np.random.default_rng(3))
        lightness = rgb2lab(palette[None])[0, :, 0]
        assert palette.shape == (5, 3) and (np.diff(lightness) > 0).all()
        ends = apply_palette(np.array([[0.0, 1.0]]), palette)[0]
        np.testing.assert_allclose(ends, palette[[0, -1]], atol=0.01)

    def test_given_palette_is_used(self):
        palette = np.linspace(0, 1, 5)[:, None] * np.array([[1.0, 0.0, 0.0]])
        style = sample_style(np.random.default_rng(0), "watercolour", palette=palette)
        red = np.asarray(style_image(style, np.random.default_rng(0), 32)).astype(int)
        assert (red[..., 0] >= red[..., 1]).all()
        assert np.asarray(apply_style(np.zeros((32, 32, 3), np.uint8), style)).shape == (32, 32, 3)

    def test_unknown_family_is_refused(self):
        with pytest.raises(ValueError, match="`family` must be one of"):
            sample_style(np.random.default_rng(0), "cubism")


def test_rendered_scenes_differ_and_fill_the_range():
    scenes = [rendered_scene(np.random.default_rng(seed), 32) for seed in range(12)]
    assert all(scene.shape == (32, 32, 3) and scene.dtype == np.uint8 for scene in scenes)
    assert all((a != b).any() for a, b in itertools.combinations(scenes, 2))
    assert np.mean([scene.std() for scene in scenes]) > 20


class TestDatasets:
    def test_load_is_lazy_and_equals_the_source(self):
        dataset = load_procedural(3, split="near_distribution", seed=4, image_size=24)
        assert dataset.column_names == ["content", "style", "target", "content_id", "style_id", "family"]
        row = dataset[2]
        expected = procedural_triplet(2, "near_distribution", seed=4, image_size=24)
        assert all((np.asarray(row[name]) == np.asarray(expected[name])).all() for name in IMAGES)
        assert row["content_id"] == expected["content_id"]

    def test_canvas_is_cut_into_aligned_tiles(self):
        tiles = load_procedural(6, seed=3, image_size=16, canvas_size=32)
        whole = procedural_triplet(1, seed=3, image_size=32)  # rows 4 to 7, of which two are asked for
        assert len(tiles) == 6
        for name in IMAGES:
            assert (np.asarray(tiles[5][name]) == np.asarray(whole[name])[:16, 16:]).all()

    def test_canvas_that_is_no_multiple_is_refused(self):
        with pytest.raises(ValueError, match="`canvas_size` must be a multiple"):
            load_procedural(4, image_size=48, canvas_size=64)

    def test_one_family_alone_can_be_asked_for(self):
        rows = load_procedural(5, image_size=16, family="stitch")
        assert set(rows["family"]) == {"stitch"}

    def test_no_triplets_are_refused(self):
        with pytest.raises(ValueError, match="`num_triplets` must be at least 1"):
            load_procedural(0)

    def test_stream_equals_the_source_and_has_no_end(self):
        rows = list(itertools.islice(stream_procedural(seed=1, image_size=16), 70))
        for index in (0, 1, 69):
            expected = procedural_triplet(index, seed=1, image_size=16)
            assert (np.asarray(rows[index]["target"]) == np.asarray(expected["target"])).all()

    def test_stream_resumes_where_it_stopped(self):
        stream = stream_procedural(image_size=16)
        iterator = iter(stream)
        for _ in range(5):
            next(iterator)
        state = stream.state_dict()
        expected = next(iterator)
        resumed = stream_procedural(image_size=16)
        resumed.load_state_dict(state)
        assert next(iter(resumed))["style_id"] == expected["style_id"]

    def test_processes_share_the_stream_without_overlap(self):
        from datasets.distributed import split_dataset_by_node

        seen = []
        for rank in range(2):
            part = split_dataset_by_node(stream_procedural(image_size=16), rank=rank, world_size=2)
            seen.append({row["style_id"] for row in itertools.islice(part, 8)})
        assert len(seen[0] | seen[1]) == 16
