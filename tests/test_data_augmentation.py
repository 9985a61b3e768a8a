# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import PIL.Image
import pytest

from stylevar_hf.data import TripletAugmentation
from stylevar_hf.data.augmentation import crop, rotate


def make_image(seed: int, height: int = 24, width: int = 40) -> PIL.Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values)


@pytest.fixture
def row() -> dict:
    images = {column: make_image(seed) for seed, column in enumerate(("content", "style", "target"))}
    return {**images, "content_id": "a", "family": "dots"}


def same(first: PIL.Image.Image, second: PIL.Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


class TestTripletAugmentation:
    def test_changes_content_and_style_and_leaves_the_target(self, row):
        augmentation = TripletAugmentation()
        before = dict(row)
        new = augmentation(row, augmentation.generator(epoch=0, index=0))
        assert row == before, "the given row is left alone"
        assert new["content"].size == row["content"].size
        assert not same(new["content"], row["content"])
        assert new["style"].size != row["style"].size
        assert new["target"] is row["target"]
        assert (new["content_id"], new["family"]) == ("a", "dots")

    def test_same_seed_epoch_and_index_give_the_same_change(self, row):
        def augment(seed, epoch, index):
            augmentation = TripletAugmentation(seed=seed)
            return augmentation(row, augmentation.generator(epoch, index))["content"]

        assert same(augment(1, 2, 3), augment(1, 2, 3))
        for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
            assert not same(augment(1, 2, 3), augment(*other))

    def test_everything_switched_off_changes_nothing(self, row):
        augmentation = TripletAugmentation(rotation_degrees=0, brightness=0, style_crop_scale=(1.0, 1.0))
        new = augmentation(row, augmentation.generator(0, 0))
        assert all(same(new[column], row[column]) for column in ("content", "style", "target"))

    def test_brightness_stays_in_its_range(self, row):
        row["content"] = PIL.Image.new("RGB", (8, 8), (100, 100, 100))
        augmentation = TripletAugmentation(rotation_degrees=0, brightness=0.3)
        values = {augmentation(row, augmentation.generator(0, i))["content"].getpixel((0, 0))[0] for i in range(200)}
        assert 70 <= min(values) < 75
        assert 125 < max(values) <= 130

    def test_window_is_the_same_in_content_and_target(self, row):
        row["target"] = row["content"].resize((80, 48), PIL.Image.Resampling.NEAREST)
        augmentation = TripletAugmentation(0, 0, (1.0, 1.0), pair_crop_scale=(0.25, 0.25))
        new = augmentation(row, augmentation.generator(0, 0))
        assert new["content"].size == (20, 12) and new["target"].size == (40, 24)
        enlarged = new["content"].resize((40, 24), PIL.Image.Resampling.NEAREST)
        # a window of the larger image may begin half a pixel of the smaller one further
        shifts = [np.roll(np.asarray(enlarged), (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        inside = np.s_[1:-1, 1:-1]
        assert any(np.array_equal(shift[inside], np.asarray(new["target"])[inside]) for shift in shifts)
        assert same(new["style"], row["style"])

    def test_flip_mirrors_all_three_of_half_the_triplets(self, row):
        augmentation = TripletAugmentation(0, 0, (1.0, 1.0), flip=True)
        mirrored = 0
        for index in range(200):
            new = augmentation(row, augmentation.generator(0, index))
            turned = {
                name: same(new[name], row[name].transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT))
                for name in ("content", "style", "target")
            }
            assert len(set(turned.values())) == 1
            mirrored += turned["target"]
        assert 70 <= mirrored <= 130

    def test_target_turns_with_the_content_where_asked(self, row):
        row["target"] = row["content"]
        augmentation = TripletAugmentation(brightness=0, rotate_target=True)
        new = augmentation(row, augmentation.generator(0, 0))
        assert same(new["target"], new["content"])
        assert not same(new["target"], row["target"])

    def test_any_mode_becomes_rgb_and_none_stays(self, row):
        row.update(content=row["content"].convert("L"), style=row["style"].convert("RGBA"), target=None)
        augmentation = TripletAugmentation(rotate_target=True)
        new = augmentation(row, augmentation.generator(0, 0))
        assert new["content"].mode == new["style"].mode == "RGB"
        assert new["target"] is None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rotation_degrees": -1}, "`rotation_degrees` must be in"),
            ({"rotation_degrees": float("nan")}, "`rotation_degrees` must be in"),
            ({"brightness": 1.5}, "`brightness` must be in"),
            ({"style_crop_scale": (0.0, 1.0)}, "`style_crop_scale` must be a pair"),
            ({"style_crop_scale": (0.9, 0.5)}, "`style_crop_scale` must be a pair"),
            ({"style_crop_scale": 0.5}, "`style_crop_scale` must be a pair"),
            ({"seed": -1}, "`seed` must be non-negative"),
        ],
    )
    def test_argument_out_of_range(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            TripletAugmentation(**arguments)


class TestRotate:
    @pytest.mark.parametrize("angle", [-180, -37, 0.5, 45, 90, 135])
    @pytest.mark.parametrize("size", [(40, 24), (5, 60), (1, 1)])
    def test_no_black_corners(self, angle, size):
        white = PIL.Image.new("RGB", size, "white")
        assert same(rotate(white, angle), white)

    def test_half_turn_is_exact(self):
        image = make_image(0)
        assert same(rotate(image, 180), image.transpose(PIL.Image.Transpose.ROTATE_180))


class TestCrop:
    def test_keeps_area_and_aspect_ratio(self):
        assert crop(make_image(0, 100, 200), 0.25, 0, 0).size == (100, 50)

    def test_position_reaches_all_corners(self):
        image = make_image(0, 10, 20)
        assert same(crop(image, 0.25, 0, 0), image.crop((0, 0, 10, 5)))
        assert same(crop(image, 0.25, 1, 1), image.crop((10, 5, 20, 10)))
