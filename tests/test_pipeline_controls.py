# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The controls of the pipeline: neutral values change nothing, each does what it says, bad input comes first."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from test_pipeline_stylevar import assert_close, assert_same, differ, photos, pipe  # noqa: F401

import stylevar_hf
from stylevar_hf.retouching_stylevar import rgb_to_oklab


def picture(rows: int, columns: int, white: slice = slice(None), axis: int = 1) -> PIL.Image.Image:
    """A black mask whose rows (axis 0) or columns `white` are white."""
    values = np.zeros((rows, columns), dtype=np.uint8)
    values[(white, slice(None)) if axis == 0 else (slice(None), white)] = 255
    return PIL.Image.fromarray(values)


def array(image: PIL.Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


class TestNeutral:
    @pytest.mark.parametrize(
        "neutral",
        [
            {"keep_colors": 0.0},
            {"strength_per_scale": [0.0] * 4},
            {"strength_map": np.zeros((5, 7), dtype=np.float32)},
            {"strength_map": PIL.Image.new("L", (7, 5), 128)},
            {"mask": PIL.Image.new("L", (9, 6), 255)},
            {"mask": picture(6, 9), "mask_feather": 0},
            {"fit": "stretch"},
        ],
        ids=lambda neutral: next(iter(neutral)),
    )
    @pytest.mark.parametrize("output_size", ["model", "content", (20, 50)])
    def test_changes_nothing_bit_for_bit(self, pipe, photos, neutral, output_size):  # noqa: F811
        options = {"seed": 0, "output_size": output_size, "style_strength": 0.3}
        assert_same(pipe(photos[3], photos[1], **options, **neutral), pipe(photos[3], photos[1], **options))

    def test_weights_one_and_zero(self, pipe, photos):  # noqa: F811
        blend = pipe.blend_styles([photos[1], photos[2]], [1, 0])
        assert_same(pipe(photos[0], blend, seed=0), pipe(photos[0], photos[1], seed=0))

    def test_reference_of_one_style_is_that_style(self, pipe, photos):  # noqa: F811
        assert_same(pipe(photos[0], pipe.blend_styles([photos[1]]), seed=0), pipe(photos[0], photos[1], seed=0))


class TestBatches:
    def test_neither_position_nor_batch_changes_a_result(self, pipe, photos):  # noqa: F811
        blend = pipe.blend_styles(photos[1:3], masks=[picture(8, 8, slice(0, 4)), picture(8, 8, slice(4, 8))])
        styles = [blend, photos[1], pipe.blend_styles(photos[:3]), blend]
        masks = [picture(10, 10, slice(0, 6)), None, picture(10, 10, slice(2, 10)), None]
        maps = [None, np.full((3, 3), 0.5), None, np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)]
        options = {"seed": 3, "keep_colors": 0.4, "strength_per_scale": "strokes"}
        together = pipe(photos, styles, mask=masks, strength_map=maps, batch_size=4, **options)
        for i in range(4):
            alone = pipe(photos[i], styles[i], mask=masks[i], strength_map=maps[i], **options)
            assert_close(together[i], alone)


class TestKeepColors:
    def test_one_is_the_hue_of_the_content(self, pipe, photos):  # noqa: F811
        result, plain = (pipe(photos[0], photos[1], seed=0, keep_colors=k, output_type="pt") for k in (1.0, 0.0))
        size = (plain.shape[2], plain.shape[1])
        content = torch.from_numpy(np.array(photos[0].resize(size, PIL.Image.Resampling.LANCZOS))).permute(2, 0, 1)
        lab, of_content = rgb_to_oklab(result), rgb_to_oklab(content / 255)
        torch.testing.assert_close(lab[0], rgb_to_oklab(plain)[0], atol=5e-3, rtol=0)
        colourful = (lab[1:].norm(dim=0) > 0.02) & (of_content[1:].norm(dim=0) > 0.02)
        cosine = torch.nn.functional.cosine_similarity(lab[1:], of_content[1:], dim=0)[colourful]
        assert colourful.any() and cosine.min() > 0.99


class TestMask:
    @pytest.mark.parametrize("fit", ["stretch", "pad"])
    @pytest.mark.parametrize("output_type", ["pil", "np"])
    def test_black_part_is_the_content_bit_for_bit(self, pipe, photos, fit, output_type):  # noqa: F811
        content = photos[3]
        mask = picture(content.height, content.width, slice(0, content.width // 2))
        result = pipe(content, photos[1], seed=0, mask=mask, fit=fit, output_size="content", output_type=output_type)
        black = array(mask) == 0
        found = np.asarray(result) * (1 if output_type == "pil" else 255)
        np.testing.assert_array_equal(np.rint(found[black]).astype(int), array(content)[black])
        assert (np.rint(found[~black]).astype(int) != array(content)[~black]).mean() > 0.5

    def test_painting_fades_in_from_the_edge(self, pipe, photos):  # noqa: F811
        content = PIL.Image.new("RGB", (32, 32), (255, 0, 255))
        mask = picture(32, 32, slice(8, 32))
        hard, soft = (pipe(content, photos[1], seed=0, mask=mask, mask_feather=n) for n in (0, 12))
        change = [np.abs(array(image) - array(content)).mean(axis=(0, 2)) for image in (hard, soft)]
        assert change[0][8] > 3 * change[1][8] and change[1][:8].max() == 0
        np.testing.assert_array_equal(array(soft)[:, 20:], array(hard)[:, 20:])

    def test_unpainted_part_is_context(self, pipe, photos):  # noqa: F811
        mask = picture(32, 32, slice(0, 16))
        changed = photos[0].copy()
        masked = pipe(changed, photos[1], seed=0, mask=mask, mask_feather=0)
        assert differ(masked, pipe(changed, photos[1], seed=0))
        free = pipe(changed, photos[1], seed=0)
        assert (array(masked)[:, :16] != array(free)[:, :16]).any()

    def test_other_proportions_get_a_notice(self, pipe, photos, caplog):  # noqa: F811
        with caplog.at_level("WARNING"):
            pipe(photos[0], photos[1], seed=0, mask=picture(11, 37, slice(0, 9)))
            blend = pipe.blend_styles(photos[:2], masks=[picture(9, 31, slice(0, 9)), picture(9, 31, slice(9, 31))])
            pipe(photos[0], blend, seed=0)
        assert "`mask` of 37 x 11 pixels is stretched" in caplog.text
        assert "`masks` of 31 x 9 pixels is stretched" in caplog.text


class TestFit:
    def test_crop_and_pad_keep_the_proportions(self, pipe, photos):  # noqa: F811
        wide = photos[3]
        side = min(wide.size)
        assert pipe(wide, photos[0], seed=0, fit="crop", output_size="content").size == (side, side)
        assert pipe(wide, photos[0], seed=0, fit="pad", output_size="content").size == wide.size

    def test_crop_equals_a_processor_that_crops(self, pipe, photos):  # noqa: F811
        from stylevar_hf import StyleVARImageProcessor, StyleVARPipeline

        processor = StyleVARImageProcessor(size=32, resize_mode="center_crop")
        other = StyleVARPipeline(model=pipe.model, image_processor=processor, device="cpu")
        assert_same(pipe(photos[3], photos[1], seed=0, fit="crop"), other(photos[3], photos[1], seed=0))

    def test_enlarged_result_has_the_edges_of_the_content(self, pipe):  # noqa: F811
        content = PIL.Image.fromarray(np.uint8(255) * (np.indices((96, 96)).sum(0) > 95)).convert("RGB")
        result = pipe(content, content, seed=0, output_size="content", output_type="pt")
        assert result.shape == (3, 96, 96) and result.min() >= 0 and result.max() <= 1
        blurred = pipe(content, content, seed=0, output_size=(96, 96), output_type="pt")
        steepest = [(image[:, :, 1:] - image[:, :, :-1]).abs().amax() for image in (result, blurred)]
        assert steepest[0] > steepest[1]


class TestStrength:
    def test_scales_and_places_matter(self, pipe, photos):  # noqa: F811
        plain = pipe(photos[0], photos[1], seed=0)
        left = np.zeros((8, 8), dtype=np.float32)
        left[:, :4] = 1
        for changed in ({"strength_per_scale": "layout"}, {"strength_map": left}):
            assert differ(pipe(photos[0], photos[1], seed=0, **changed), plain)

    def test_same_everywhere_is_the_strength_of_the_pair(self, pipe, photos):  # noqa: F811
        plain = pipe(photos[0], photos[1], seed=0, style_strength=0.6)
        assert_same(pipe(photos[0], photos[1], seed=0, strength_map=np.full((4, 4), 0.6)), plain)
        assert_same(pipe(photos[0], photos[1], seed=0, strength_per_scale=[0.6] * 4), plain)


class TestBlendStyles:
    def test_is_kept_by_torch_save(self, pipe, photos, tmp_path):  # noqa: F811
        blend = pipe.blend_styles(photos[1:3], [0.3, 0.7], masks=[picture(4, 4, slice(0, 3)), picture(4, 4)])
        torch.save(blend, tmp_path / "blend.pt")
        again = torch.load(tmp_path / "blend.pt", weights_only=False)
        assert_same(pipe(photos[0], again, seed=0), pipe(photos[0], blend, seed=0))

    def test_styles_may_be_references_themselves(self, pipe, photos):  # noqa: F811
        kept = [pipe.blend_styles([photo]) for photo in photos[1:3]]
        assert_same(
            pipe(photos[0], pipe.blend_styles(kept, [1, 3]), seed=0),
            pipe(photos[0], pipe.blend_styles(photos[1:3], [0.25, 0.75]), seed=0),
        )

    def test_masks_follow_the_crop_of_the_content(self, pipe, photos):  # noqa: F811
        wide = PIL.Image.new("RGB", (60, 20), (90, 120, 30))
        # the crop of the middle third lies in the white of the first mask
        blend = pipe.blend_styles(
            photos[1:3], masks=[picture(20, 60, slice(10, 50)), picture(20, 60, slice(50, 60))], fit="crop"
        )
        assert_close(pipe(wide, blend, seed=0, fit="crop"), pipe(wide, photos[1], seed=0, fit="crop"))

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"weights": [1, -1]}, "`weights` must be non-negative"),
            ({"weights": [0, 0]}, "`weights` must not all be 0"),
            ({"weights": [1]}, r"`weights` must hold one number per style \(2\), but got 1"),
            ({"masks": [picture(4, 4)]}, r"`masks` must be a list with one picture per style \(2\), but got 1"),
            ({"masks": [picture(4, 4), PIL.Image.new("L", (4, 4))]}, r"`masks\[1\]` must be white somewhere"),
        ],
    )
    def test_bad_input(self, pipe, photos, monkeypatch, arguments, message):  # noqa: F811
        monkeypatch.setattr(pipe.model, "encode_style", lambda *args: pytest.fail("the model was started"))
        with pytest.raises(ValueError, match=message):
            pipe.blend_styles(photos[:2], **arguments)

    def test_blends_are_not_blended_again(self, pipe, photos):  # noqa: F811
        with pytest.raises(ValueError, match=r"`styles\[0\]` must be a single style, but got a blend"):
            pipe.blend_styles([pipe.blend_styles(photos[:2]), photos[2]])


class TestPaintSize:
    def test_square_at_the_models_size_is_the_single_window(self, pipe, photos):  # noqa: F811
        square = photos[0].resize((32, 32))
        assert_close(pipe(square, photos[1], seed=4, paint_size=32), pipe(square, photos[1], seed=4))

    def test_short_side_is_as_asked_and_the_proportions_are_the_contents(self, pipe, photos):  # noqa: F811
        assert photos[3].size == (640, 427)
        assert pipe(photos[3], photos[1], seed=0, paint_size=48).size == (72, 48)
        assert pipe(photos[3], photos[1], seed=0, paint_size=48, output_size="content").size == (640, 427)

    def test_goes_with_every_other_control(self, pipe, photos):  # noqa: F811
        content = photos[3].resize((96, 64))
        mask = picture(64, 96, slice(0, 50))
        blend = pipe.blend_styles(photos[:2], [1, 2], masks=[picture(4, 6, slice(0, 3)), picture(4, 6, slice(3, 6))])
        options = {
            "paint_size": 64,
            "mask": mask,
            "keep_colors": 0.5,
            "strength_per_scale": "strokes",
            "strength_map": np.full((3, 3), 0.2),
        }
        result = pipe(content, blend, seed=0, **options)
        assert result.size == (96, 64)
        np.testing.assert_array_equal(array(result)[:, 50:], array(content)[:, 50:])
        plain = pipe(content, blend, seed=0, **{**options, "strength_map": None})
        assert differ(result, plain)

    def test_white_mask_and_zero_map_change_nothing(self, pipe, photos):  # noqa: F811
        neutral = {"mask": picture(3, 3), "strength_map": np.zeros((3, 3)), "strength_per_scale": [0.0] * 4}
        plain = pipe(photos[1], photos[2], seed=0, paint_size=40)
        assert_same(pipe(photos[1], photos[2], seed=0, paint_size=40, **neutral), plain)

    def test_previews_and_number_of_images(self, pipe, photos):  # noqa: F811
        output = pipe(photos[1], photos[2], seed=0, paint_size=40, num_images=2, previews=True)
        assert_same(output.images[1], pipe(photos[1], photos[2], seed=1, paint_size=40))
        for image, stages in zip(output.images, output.previews, strict=True):
            assert len(stages) == 4 and stages[0].size == image.size
            assert_same(stages[-1], image)


def brightness(images, content_images, style_images):
    assert len(images) == len(content_images) == len(style_images)
    return [image.mean().item() for image in images]


class TestCandidates:
    def test_best_comes_with_its_score_and_number(self, pipe, photos):  # noqa: F811
        drawn = pipe(photos[0], photos[1], seed=5, num_images=4)
        best = pipe(photos[0], photos[1], seed=5, num_candidates=4, rank_by=brightness)
        means = [array(image).mean() for image in drawn]
        assert best.info["candidate"] == int(np.argmax(means))
        assert_same(best, drawn[best.info["candidate"]])
        assert best.info["score"] == pytest.approx(max(means) / 255, abs=0.01)

    def test_several_of_each_pair_the_best_first(self, pipe, photos):  # noqa: F811
        output = pipe(photos[:2], photos[2], seed=0, num_candidates=3, num_images=2, rank_by=brightness, previews=True)
        assert [len(scores) for scores in output.scores] == [2, 2]
        assert all(scores[0] >= scores[1] for scores in output.scores)
        for images, previews in zip(output.images, output.previews, strict=True):
            for image, stages in zip(images, previews, strict=True):
                assert_same(stages[-1], image)

    def test_reward_of_the_package_by_name(self, pipe, photos):  # noqa: F811
        from stylevar_hf.rewards import get_reward

        best = pipe(photos[0], photos[1], seed=0, num_candidates=3, rank_by="color-statistics")
        drawn = pipe(photos[0], photos[1], seed=0, num_images=3, output_type="pt")
        style = pipe.image_processor(photos[1], return_tensors="pt").pixel_values[0] / 2 + 0.5
        scores = get_reward("color-statistics")(images=drawn, style_images=[style] * 3)
        assert best.info["candidate"] == int(np.argmax(scores))
        assert best.info["score"] == pytest.approx(max(scores), rel=1e-4)

    def test_scores_that_are_no_numbers_come_last(self, pipe, photos):  # noqa: F811
        rank = lambda images, **_: [float("nan"), 1.0, 2.0]  # noqa: E731
        assert pipe(photos[0], photos[1], seed=0, num_candidates=3, rank_by=rank).info["candidate"] == 2


class TestStylizeFrames:
    @pytest.mark.parametrize("paint_size", [None, 40])
    def test_one_frame_is_the_picture_and_a_still_scene_stays_still(self, pipe, photos, paint_size):  # noqa: F811
        options = {"seed": 2, "output_size": "model", "paint_size": paint_size}
        frames = list(pipe.stylize_frames([photos[1]] * 3, photos[2], steadiness=0.5, **options))
        picture_alone = pipe(photos[1], photos[2], **options)
        for frame in frames:
            assert_close(frame, picture_alone)

    def test_steadier_films_change_less(self, pipe, photos):  # noqa: F811
        rng = np.random.default_rng(0)
        noisy = [np.clip(array(photos[1]) + rng.normal(0, 12, (*photos[1].size[::-1], 3)), 0, 255) for _ in range(4)]
        frames = [PIL.Image.fromarray(values.astype(np.uint8)) for values in noisy]
        changes = []
        for steadiness in (0.0, 0.6, 1.0):
            codes: list[torch.Tensor] = []
            list(pipe.stylize_frames(frames, photos[2], steadiness=steadiness, callback_on_frame_end=codes.append))
            changes.append(sum((a != b).float().mean().item() for a, b in zip(codes, codes[1:], strict=False)))
        assert changes[0] > changes[1] > changes[2] == 0

    def test_goes_on_from_the_codes_of_the_last_frame(self, pipe, photos):  # noqa: F811
        codes: list[torch.Tensor] = []
        options = {"seed": 1, "steadiness": 0.7}
        whole = list(
            pipe.stylize_frames(
                photos[1:2] * 2 + [photos[1].rotate(9)], photos[2], **options, callback_on_frame_end=codes.append
            )
        )
        rest = list(pipe.stylize_frames([photos[1].rotate(9)], photos[2], previous_codes=codes[1], **options))
        assert_same(rest[0], whole[2])

    def test_frames_are_read_when_their_turn_comes(self, pipe, photos):  # noqa: F811
        taken = []

        def frames():
            for index in range(3):
                taken.append(index)
                yield photos[1]

        film = pipe.stylize_frames(frames(), photos[2], keep_colors=1.0, mask=picture(5, 5, slice(0, 3)))
        assert taken == [] and next(film).size == photos[1].size and taken == [0]

    def test_frames_that_do_not_fit(self, pipe, photos):  # noqa: F811
        with pytest.raises(ValueError, match="`frames` must hold at least one frame"):
            list(pipe.stylize_frames([], photos[0]))
        with pytest.raises(ValueError, match="but frame 1 is 451 x 300"):
            list(pipe.stylize_frames([photos[0], photos[1]], photos[0]))
        with pytest.raises(ValueError, match=r"`steadiness` must be a number in \[0, 1\]"):
            pipe.stylize_frames([photos[0]], photos[0], steadiness=2)


@pytest.mark.slow
def test_controls_work_without_the_package(tiny_model_dir, tmp_path):
    """The flat files alone, as remote code: all but rewards by name and films from files."""
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for file in Path(stylevar_hf.__file__).parent.glob("*_stylevar*.py"):
        shutil.copy(file, folder)
    code = """
        import sys; sys.modules["stylevar_hf"] = None
        import numpy as np, PIL.Image
        from remote.modeling_stylevar import StyleVARForConditionalGeneration
        from remote.pipeline_stylevar import StyleVARPipeline
        pipe = StyleVARPipeline(StyleVARForConditionalGeneration.from_pretrained(sys.argv[1]), device="cpu")
        picture = PIL.Image.fromarray(np.arange(24 * 40 * 3, dtype=np.uint32).reshape(24, 40, 3).astype(np.uint8))
        blend = pipe.blend_styles([picture, picture.rotate(90)], [1, 2])
        mask = picture.convert("L").point(lambda value: 255 if value > 99 else 0)
        controls = dict(keep_colors=0.5, mask=mask, strength_per_scale="strokes", paint_size=32, num_candidates=2)
        best = pipe(picture, blend, seed=0, rank_by=lambda images, **_: [one.mean() for one in images], **controls)
        print(best.size, len(list(pipe.stylize_frames([picture] * 2, blend))))
        try:
            pipe(picture, picture, num_candidates=2, rank_by="ssim")
        except ImportError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tiny_model_dir]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "(52, 32) 2"
    assert "pip install stylevar-hf" in result.stdout.splitlines()[1]


class TestBadInput:
    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"keep_colors": 1.5}, r"`keep_colors` must be in \[0, 1\]"),
            ({"strength_per_scale": [0.0]}, "one number for each of the 4 scales, but got 1"),
            ({"strength_per_scale": "swirl"}, "one of palette, strokes, layout"),
            ({"strength_map": np.full((2, 2), 2.0)}, r"`strength_map` must be in \[-1, 1\]"),
            ({"mask": PIL.Image.new("L", (4, 4))}, "`mask` must be white somewhere"),
            ({"mask": [picture(4, 4)] * 2}, r"`mask` must be one picture or one per pair \(1\), but got 2"),
            ({"mask": "no-such-file.png"}, "`mask` must be an existing image file"),
            ({"mask_feather": -1}, "`mask_feather` must be an integer in"),
            ({"paint_size": 31}, "`paint_size` must be an integer from 32, the model's size"),
            ({"paint_size": 9999}, "to 4096, but got 9999"),
            ({"num_candidates": 0}, "`num_candidates` must be a positive integer"),
            ({"num_candidates": 3}, "`num_candidates` must be at least `num_images`"),
            ({"num_candidates": 2, "num_images": 3, "rank_by": brightness}, r"`num_images` \(3\)"),
            ({"num_candidates": 2, "rank_by": 3}, "`rank_by` must be the name of a reward or a function"),
            ({"num_candidates": 2, "rank_by": "beauty"}, "A reward must be one of"),
            ({"num_candidates": 2, "rank_by": "ssim:reference=target"}, "which wants a target"),
            ({"fit": "squeeze"}, "`fit` must be one of stretch, crop, pad, but got 'squeeze'"),
        ],
    )
    def test_comes_before_the_model_starts(self, pipe, photos, monkeypatch, arguments, message):  # noqa: F811
        for name in ("encode_content", "encode_style", "generate"):
            monkeypatch.setattr(pipe.model, name, lambda *args, **kwargs: pytest.fail("the model was started"))
        with pytest.raises(ValueError, match=message):
            pipe(photos[0], photos[1], **arguments)
