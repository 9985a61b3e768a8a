# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The controls on the command line: each reaches the pipeline, and bad ones end with one line."""

import json

import numpy as np
import PIL.Image
import pytest
from test_cli import fails_at_once, files_below, stylize  # noqa: F401

from stylevar_hf import StyleVARPipeline


@pytest.fixture
def pipe(tiny_model_dir):
    return StyleVARPipeline.from_pretrained(tiny_model_dir, device="cpu")


@pytest.fixture
def masks(tmp_path) -> list[str]:
    """The left half, the right half, and nothing."""
    values = np.zeros((20, 30), dtype=np.uint8)
    values[:, :15] = 255
    files = [tmp_path / f"mask{index}.png" for index in range(3)]
    for file, mask in zip(files, (values, 255 - values, values * 0), strict=True):
        PIL.Image.fromarray(mask).save(file)
    return [str(file) for file in files]


class TestControls:
    @pytest.mark.parametrize(
        "flags, options",
        [
            (["--keep-colors", "0.8"], {"keep_colors": 0.8}),
            (["--strength-per-scale", "1", "0.5", "0", "-1"], {"strength_per_scale": [1, 0.5, 0, -1]}),
            (["--preset", "strokes"], {"strength_per_scale": "strokes"}),
            (["--strength-map", "{mask}"], {"strength_map": "{mask}"}),
            (["--mask", "{mask}", "--mask-feather", "2"], {"mask": "{mask}", "mask_feather": 2}),
            (["--fit", "crop"], {"fit": "crop"}),
            (["--paint-size", "24"], {"paint_size": 24}),
            (
                ["--best-of", "3", "--rank-by", "color-statistics"],
                {"num_candidates": 3, "rank_by": "color-statistics"},
            ),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else None,
    )
    def test_reach_the_pipeline(self, stylize, pipe, image_files, masks, tmp_path, flags, options):  # noqa: F811
        out = tmp_path / "out.png"
        flags = [flag.format(mask=masks[0]) for flag in flags]
        options = {
            name: value.format(mask=masks[0]) if isinstance(value, str) else value for name, value in options.items()
        }
        assert stylize(image_files["content"], image_files["style"], "-o", out, "--seed", 1, *flags) == 0
        options = {"fit": "pad", "output_size": "content", **options}
        expected = pipe(image_files["content"], image_files["style"], seed=1, **options)
        np.testing.assert_array_equal(PIL.Image.open(out), expected)

    def test_blend_with_masks_is_one_style(self, stylize, pipe, image_files, masks, tmp_path, capsys):  # noqa: F811
        out = tmp_path / "out.png"
        styles = [image_files["style"], image_files["other"]]
        flags = ("--blend", 0.7, 0.3, "--style-masks", *masks[:2], "--seed", 0, "--json")
        assert stylize(image_files["content"], *styles, *flags, "-o", out) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["controls"]["blend"] == [0.7, 0.3] and report["controls"]["style_masks"] == masks[:2]
        blend = pipe.blend_styles(styles, [0.7, 0.3], masks[:2], fit="pad")
        expected = pipe(image_files["content"], blend, seed=0, fit="pad", output_size="content")
        np.testing.assert_array_equal(PIL.Image.open(out), expected)

    def test_several_styles_without_a_blend_are_painted_one_by_one(self, stylize, image_files, tmp_path):  # noqa: F811
        out = tmp_path / "out"
        assert stylize(image_files["content"], image_files["style"], image_files["other"], "-o", out) == 0
        assert files_below(out) == ["content__other.png", "content__style.png"]

    def test_best_is_reported_with_score_and_seed(self, stylize, image_files, tmp_path, capsys):  # noqa: F811
        best, again = tmp_path / "best.png", tmp_path / "again.png"
        pair = (image_files["content"], image_files["style"])
        flags = ("--best-of", 3, "--rank-by", "color-statistics", "--seed", 5, "--json")
        assert stylize(*pair, "-o", best, *flags) == 0
        (entry,) = json.loads(capsys.readouterr().out)["outputs"]
        assert entry["seed"] in (5, 6, 7) and isinstance(entry["score"], float)
        assert stylize(*pair, "-o", again, "--seed", entry["seed"]) == 0
        np.testing.assert_array_equal(PIL.Image.open(best), PIL.Image.open(again))


class TestBadInput:
    @pytest.mark.parametrize(
        "flags, message",
        [
            (["--keep-colors", "2"], "argument --keep-colors: must be in [0, 1]"),
            (["--blend", "1", "1"], "--blend must have one value per STYLE (1), but got 2"),
            (["--blend", "0"], "--blend must have a weight above 0"),
            (["--blend", "-1"], "argument --blend"),
            (["--style-masks", "{0}", "{1}"], "--style-masks must have one value per STYLE (1), but got 2"),
            (["--mask", "{2}"], "--mask must be white somewhere"),
            (["--mask", "missing.png"], "--mask must be an existing image file"),
            (["--best-of", "2"], "--best-of N and --rank-by go together"),
            (["--fit", "squeeze"], "argument --fit: invalid choice"),
            (["--preset", "strokes", "--strength-per-scale", "1"], "not allowed with argument"),
        ],
    )
    def test_before_a_model_is_loaded(self, fails_at_once, image_files, masks, tmp_path, flags, message):  # noqa: F811
        flags = [flag.format(*masks) for flag in flags]
        assert message in fails_at_once(
            "stylize", image_files["content"], image_files["style"], "-o", tmp_path / "out.png", *flags
        )

    @pytest.mark.parametrize(
        "flags, message",
        [
            (["--strength-per-scale", "1", "0"], "--strength-per-scale must hold one number for each of the 4 scales"),
            (["--paint-size", "8"], "--paint-size must be an integer from 16, the model's size"),
            (["--best-of", "2", "--rank-by", "beauty"], "A reward must be one of"),
        ],
    )
    def test_before_painting(self, stylize, image_files, tmp_path, capsys, flags, message):  # noqa: F811
        assert stylize(image_files["content"], image_files["style"], "-o", tmp_path / "out.png", *flags) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stylevar: error")]
        assert len(lines) == 1 and message in lines[0]
