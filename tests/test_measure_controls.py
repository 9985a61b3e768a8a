# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`examples/measure_controls.py`: every table of it runs, and its geometry and seams are right by hand."""

import json
import runpy
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from stylevar_hf.canvas_stylevar import Canvas


SCRIPT = Path(__file__).parents[1] / "examples" / "measure_controls.py"


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(SCRIPT))


def test_every_table_is_written(script, tiny_model_dir, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("contents", "styles"):
        (tmp_path / folder).mkdir()
        for index in range(2):
            values = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
            PIL.Image.fromarray(values).save(tmp_path / folder / f"{index}.png")
    arguments = [str(tmp_path / "contents"), str(tmp_path / "styles"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    counts = ["--pairs", "1", "--clips", "1", "--frames", "2", "--sizes", "24", "--model", tiny_model_dir]
    script["main"]([*arguments, *counts])
    tables = json.loads((tmp_path / "out" / "controls.json").read_text())["tables"]
    assert list(tables) == list(script["TABLES"])
    changed = [row["black pixels that changed"]["mean"] for row in tables["mask"]["rows"].values()]
    assert changed == [0, 0, 0]
    assert (tmp_path / "out" / "controls.md").read_text().count("\n## ") == len(tables)


def test_film_of_a_moving_camera_predicts_itself(script):
    y, x = np.indices((64, 64))
    smooth = np.stack([120 + 80 * np.sin(x / 9), 120 + 80 * np.cos(y / 7), 2 * x], axis=-1).astype(np.uint8)
    photograph = PIL.Image.fromarray(smooth)
    middle = np.array([[1, 0, 16], [0, 1, 16], [0, 0, 1]])
    for kind in range(5):
        cameras = [script["camera"](kind, 4 * time, 32) for time in range(3)]
        frames = [script["warp"](photograph, middle @ one, 32) for one in cameras]
        still = [script["camera"](kind, 0, 32)] * 3
        assert script["film_error"](frames, cameras) < 0.5 * script["film_error"](frames, still)


def test_seam_is_seen(script):
    canvas = Canvas(4, 6, 4, 4)  # two windows, the second from the eighth column on
    values = np.random.default_rng(0).integers(100, 110, (16, 24, 3), dtype=np.uint8)
    assert script["seam_ratio"](PIL.Image.fromarray(values), canvas) == pytest.approx(1, abs=0.3)
    values[:, 8:] += 60
    assert script["seam_ratio"](PIL.Image.fromarray(values), canvas) > 4
