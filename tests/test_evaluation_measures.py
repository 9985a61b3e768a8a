# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import PIL.Image
import pytest

from stylevar_hf.evaluation import (
    Estimate,
    bootstrap_mean,
    colour_distance,
    derangement,
    mean_colour_difference,
    peak_signal_to_noise_ratio,
    reinhard_transfer,
    return_content,
    return_style,
    signature_distance,
    structural_similarity,
    texture_distance,
    texture_signature,
)
from stylevar_hf.evaluation import statistics as intervals
from stylevar_hf.measures.pictures import colour_signature, lab_to_array, to_lab


SIDE = 96
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def scene(seed: int) -> np.ndarray:
    """A smooth picture `(SIDE, SIDE)` in [0, 1] to put marks on."""
    rng = np.random.default_rng(seed)
    waves = sum(
        rng.normal() * np.sin((rng.uniform(-1, 1) * ROWS + rng.uniform(-1, 1) * COLUMNS) / 12 + rng.uniform(0, 6))
        for _ in range(5)
    )
    return (waves - waves.min()) / np.ptp(waves)


def hatching(tone: np.ndarray, angle: float = 0.6, period: float = 6) -> np.ndarray:
    phase = (np.cos(angle) * COLUMNS + np.sin(angle) * ROWS) * 2 * np.pi / period
    return 0.9 - (0.5 + 0.5 * np.sin(phase)) * (0.2 + 0.5 * tone)


def dots(tone: np.ndarray, pitch: int = 6) -> np.ndarray:
    distance = np.hypot(ROWS % pitch - pitch / 2, COLUMNS % pitch - pitch / 2)
    return 0.9 - 0.7 * np.clip(pitch * (0.25 + 0.3 * tone) - distance, 0, 1)


def mosaic(tone: np.ndarray, pitch: int = 16) -> np.ndarray:
    tiles = tone[pitch // 2 :: pitch, pitch // 2 :: pitch]
    return 0.1 + 0.8 * np.kron(tiles, np.ones((pitch, pitch)))


TEXTURES = {"hatching": hatching, "dots": dots, "mosaic": mosaic, "plain": lambda tone: 0.1 + 0.8 * tone}


def colour(tone: np.ndarray) -> np.ndarray:
    return np.repeat(tone[..., None], 3, axis=2).clip(0, 1)


def noise(seed: int = 0, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


MEASURES = (
    structural_similarity,
    peak_signal_to_noise_ratio,
    mean_colour_difference,
    colour_distance,
    texture_distance,
)


class TestEveryMeasure:
    @pytest.mark.parametrize(
        ("measure", "best"),
        [(m, b) for m, b in zip(MEASURES, (1, 100, 0, 0, 0), strict=True)],
        ids=lambda value: getattr(value, "__name__", str(value)),
    )
    def test_has_its_best_value_for_equal_pictures(self, measure, best):
        assert measure(noise(), noise()) == pytest.approx(best)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_is_symmetric_and_the_same_for_all_kinds_of_pictures(self, measure):
        one, two = noise(1), noise(2)
        expected = measure(one, two)
        assert measure(two, one) == pytest.approx(expected)
        assert measure(PIL.Image.fromarray(one), two / 255) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("measure", MEASURES)
    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (np.zeros((3, 16, 16), np.uint8), r"`image` must be of shape \(height, width, 3\)"),
            (np.zeros((16, 16, 3), np.int64), "`image` must be of dtype uint8 or float"),
            (np.full((16, 16, 3), -0.5), r"`image` must be in \[0, 1\]"),
            (np.full((16, 16, 3), np.nan), r"`image` must be in \[0, 1\]"),
        ],
    )
    def test_refuses_what_is_not_a_picture(self, measure, bad, message):
        with pytest.raises(ValueError, match=message):
            measure(bad, noise(side=16))

    @pytest.mark.parametrize("measure", MEASURES[:3])
    def test_refuses_other_sizes_where_places_are_compared(self, measure):
        with pytest.raises(ValueError, match="`reference` must have the size"):
            measure(noise(), noise(side=16))


class TestStructuralSimilarity:
    def test_falls_with_noise(self):
        tone = colour(scene(0))
        rng = np.random.default_rng(0)
        values = [structural_similarity(tone, (tone + rng.normal(0, s, tone.shape)).clip(0, 1)) for s in (0.02, 0.1)]
        assert 1 > values[0] > values[1] > 0

    def test_refuses_pictures_smaller_than_its_window(self):
        with pytest.raises(ValueError, match="at least 11 x 11"):
            structural_similarity(noise(side=10), noise(side=10))


class TestPeakSignalToNoiseRatio:
    def test_of_a_known_error(self):
        grey = np.full((8, 8, 3), 0.5)
        assert peak_signal_to_noise_ratio(grey, grey + 0.1) == pytest.approx(20, abs=1e-3)

    def test_one_different_value_is_below_the_limit(self):
        one, two = noise(0, 128), noise(0, 128)
        two[0, 0, 0] ^= 1
        assert 90 < peak_signal_to_noise_ratio(one, two) < 100


class TestMeanColourDifference:
    def test_black_to_white_is_100(self):
        assert mean_colour_difference(np.zeros((4, 4, 3)), np.ones((4, 4, 3))) == pytest.approx(100, abs=0.1)


class TestColourDistance:
    @pytest.mark.parametrize("shift", [(20, 0, 0), (0, 12, -9), (5, -10, 10)])
    def test_of_a_shifted_palette_is_the_shift(self, shift):
        lab = np.random.default_rng(0).uniform([40, -15, -15], [60, 15, 15], (32, 32, 3))
        one, two = lab_to_array(lab), lab_to_array(lab + shift)
        assert colour_distance(one, two) == pytest.approx(np.linalg.norm(shift), rel=0.03)

    def test_does_not_depend_on_where_the_colours_are(self):
        one = noise()
        shuffled = np.random.default_rng(1).permutation(one.reshape(-1, 3)).reshape(one.shape)
        assert colour_distance(one, shuffled) == pytest.approx(0, abs=1e-4)

    def test_does_not_depend_on_the_size(self):
        halves = np.zeros((64, 64, 3), np.uint8)
        halves[:, 32:] = (200, 30, 60)
        assert colour_distance(halves, halves[::2, ::2]) == pytest.approx(0, abs=1e-3)

    def test_tells_the_amounts_of_colours_apart(self):
        quarter, half = np.zeros((64, 64, 3)), np.zeros((64, 64, 3))
        quarter[:, :16], half[:, :32] = 1, 1
        assert colour_distance(quarter, half) == pytest.approx(25, rel=0.03)  # a quarter of the pixels moves by 100


class TestTextureDistance:
    @pytest.mark.parametrize("name", TEXTURES)
    def test_is_smaller_between_contents_than_between_textures(self, name):
        same = [texture_distance(colour(TEXTURES[name](scene(0))), colour(TEXTURES[name](scene(s)))) for s in (1, 2)]
        other = [
            texture_distance(colour(TEXTURES[name](scene(0))), colour(texture(scene(0))))
            for other_name, texture in TEXTURES.items()
            if other_name != name
        ]
        assert 2 * max(same) < min(other)

    def test_tells_directions_and_sizes_of_hatching_apart(self):
        one = colour(hatching(scene(0)))
        same = texture_distance(one, colour(hatching(scene(1))))
        assert 2 * same < texture_distance(one, colour(hatching(scene(0), angle=0.6 + np.pi / 2)))
        assert 2 * same < texture_distance(one, colour(hatching(scene(0), period=4)))

    def test_grows_with_blur(self):
        one = hatching(scene(0))
        blurred = [one]
        for _ in range(3):
            last = blurred[-1]
            blurred.append((last + np.roll(last, 1, 0) + np.roll(last, 1, 1) + np.roll(last, (1, 1), (0, 1))) / 4)
        values = [texture_distance(colour(one), colour(other)) for other in blurred]
        assert values == sorted(values) and values[1] > 0

    def test_does_not_depend_on_hue(self):
        tone = 50 + 30 * hatching(scene(0))
        tinted = [np.stack([tone, np.full_like(tone, a), np.full_like(tone, b)], -1) for a, b in ((8, 8), (-8, 8))]
        assert texture_distance(*(lab_to_array(lab) for lab in tinted)) < 0.03

    def test_does_not_depend_on_the_level_of_lightness(self):
        tone = 30 + 30 * hatching(scene(0))
        levels = [np.stack([tone + shift, 0 * tone, 0 * tone], -1) for shift in (0, 30)]
        assert texture_distance(*(lab_to_array(lab) for lab in levels)) < 0.03

    def test_signatures_of_another_kind_are_refused(self):
        with pytest.raises(ValueError, match="`reference` must be of the shape"):
            signature_distance(colour_signature(noise()), texture_signature(noise()))


class TestControls:
    def test_returns_are_what_they_say(self):
        content, style = noise(0), noise(1)
        assert return_content(content, style) is content
        assert return_style(content, style) is style

    def test_reinhard_transfer_has_the_styles_statistics_and_the_contents_structure(self):
        lab = np.random.default_rng(0).normal([50, 0, 0], [6, 4, 4], (2, 48, 48, 3))
        content, style = lab_to_array(lab[0]), lab_to_array(lab[1] * [0.5, 0.7, 1] + [30, 12, -10])
        moved, wanted = to_lab(reinhard_transfer(content, style)), to_lab(style)
        np.testing.assert_allclose(moved.mean((0, 1)), wanted.mean((0, 1)), atol=0.3)
        np.testing.assert_allclose(moved.std((0, 1)), wanted.std((0, 1)), atol=0.3)
        assert np.corrcoef(moved[..., 0].ravel(), to_lab(content)[..., 0].ravel())[0, 1] > 0.99

    def test_reinhard_transfer_of_a_flat_content_is_the_mean_colour(self):
        style = np.full((8, 8, 3), (30, 90, 160), np.uint8)
        moved = reinhard_transfer(np.full((12, 16, 3), 128, np.uint8), style)
        assert moved.shape == (12, 16, 3) and moved.dtype == np.uint8
        assert np.abs(moved.astype(int) - (30, 90, 160)).max() <= 1

    @pytest.mark.filterwarnings("error")
    def test_reinhard_transfer_clips_colours_that_do_not_exist(self):
        black = np.zeros((8, 8, 3), np.uint8)
        black[0, 0] = 255
        assert reinhard_transfer(noise(side=8), black).dtype == np.uint8

    @pytest.mark.parametrize("count", [2, 3, 50])
    def test_derangement_leaves_nothing_in_place(self, count):
        for seed in range(5):
            order = derangement(count, seed)
            assert sorted(order) == list(range(count))
            assert (order != np.arange(count)).all()

    def test_derangement_depends_on_the_seed_alone(self):
        np.testing.assert_array_equal(derangement(50, 3), derangement(50, 3))
        assert (derangement(50, 3) != derangement(50, 4)).any()

    def test_derangement_changes_the_name(self):
        keys = np.array(list("aaaabbbccd"))
        for seed in range(20):
            order = derangement(10, seed, keys)
            assert sorted(order) == list(range(10))
            assert (keys[order] != keys).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"count": 1}, "`count` must be an integer of at least 2"),
            ({"count": 3, "keys": ["a", "b"]}, "`keys` must hold 3 names"),
            ({"count": 3, "keys": ["a", "a", "b"]}, "`keys` must hold no name more than 1 times of 3, but got one 2"),
        ],
    )
    def test_derangement_refuses_what_cannot_be(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            derangement(**arguments)


class TestBootstrapMean:
    def test_interval_has_the_textbook_width(self):
        values = np.random.default_rng(0).normal(5, 2, 400)
        found = bootstrap_mean(values)
        assert found.mean == pytest.approx(values.mean())
        half = 1.96 * values.std() / np.sqrt(len(values))
        assert found.low == pytest.approx(values.mean() - half, abs=0.03)
        assert found.high == pytest.approx(values.mean() + half, abs=0.03)
        assert found == bootstrap_mean(values) != bootstrap_mean(values, seed=1)

    def test_repeated_groups_do_not_narrow_the_interval(self):
        values = np.random.default_rng(0).normal(0, 1, 50)
        alone = bootstrap_mean(values, groups=range(50))
        repeated = bootstrap_mean(np.repeat(values, 10), groups=np.repeat(np.arange(50), 10))
        assert repeated.low == pytest.approx(alone.low) and repeated.high == pytest.approx(alone.high)

    def test_draws_in_parts_are_the_same_draws(self, monkeypatch):
        values = np.random.default_rng(0).random(7)
        whole = bootstrap_mean(values, num_resamples=11)
        monkeypatch.setattr(intervals, "MAX_DRAWN", 3 * 7)
        assert bootstrap_mean(values, num_resamples=11) == whole

    def test_single_group_has_no_interval(self):
        found = bootstrap_mean([1.0, 2.0, 3.0], groups=["a", "a", "a"])
        assert found.mean == 2 and not found.has_interval and found.sign == 0
        assert found.format(1) == "2.0" and found.to_dict() == {"mean": 2, "low": None, "high": None}
        assert not Estimate.from_dict(found.to_dict()).has_interval

    def test_sign_is_zero_where_the_interval_holds_zero(self):
        assert [Estimate(*e).sign for e in ((1, 0.5, 2), (-1, -2, -0.5), (0.1, -1, 1), (0, 0, 0))] == [1, -1, 0, 0]

    @pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
    def test_refuses_what_has_no_mean(self, values):
        with pytest.raises(ValueError, match="`values` must be one or more finite numbers"):
            bootstrap_mean(values)

    def test_refuses_groups_of_another_length(self):
        with pytest.raises(ValueError, match="`groups` must hold 2 names"):
            bootstrap_mean([1.0, 2.0], groups=["a"])
