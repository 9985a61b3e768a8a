# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The released depth-20 model at its real size: published `.pth` files of random weights are written, converted by the
command line, loaded, and stylise two photographs at 256x256. About 7 GB of disk and two minutes.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from test_goldens import FIXTURES, fill

from stylevar_hf import StyleVARForConditionalGeneration
from stylevar_hf.cli import main
from stylevar_hf.evaluation.speed import RoundToBfloat16
from stylevar_hf.pipeline_stylevar import has_fast_products


pytestmark = pytest.mark.slow
IMAGES = Path(__file__).parents[1] / "examples" / "images"
LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)

# Converts and reports the peak memory of doing nothing else, in GiB.
CONVERT = """
import sys
import torch
from stylevar_hf.evaluation.speed import peak_memory
from stylevar_hf.cli import main
code = main(sys.argv[1:])
print(code, peak_memory(torch.device("cpu")))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    files = {}
    for name in ("vae", "stylevar_d20"):
        files[name] = folder / f"{name}.pth"
        torch.save(fill(str(FIXTURES / f"official_{name}.json"), seed=1, patch_nums=LADDER), files[name])
    yield files
    for file in files.values():
        file.unlink()


@pytest.fixture(scope="module")
def conversion(published, tmp_path_factory) -> tuple[Path, float]:
    """The converted folder, and the peak memory that making it took."""
    output = tmp_path_factory.mktemp("converted") / "d20"
    arguments = ["convert", "--vq", published["vae"], "--model", published["stylevar_d20"], "--output", output]
    command = [sys.executable, "-c", CONVERT, *map(str, arguments), "--quiet"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    code, peak = finished.stdout.split()
    assert code == "0"
    yield output, float(peak)
    (output / "model.safetensors").unlink()


def test_conversion_needs_less_than_twice_the_checkpoint(conversion, published):
    size = sum(file.stat().st_size for file in published.values())
    assert size > 3e9
    assert conversion[1] * 2**30 < 2 * size


def test_loads_with_nothing_missing_and_nothing_left_over(conversion):
    model, report = StyleVARForConditionalGeneration.from_pretrained(conversion[0], output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.vq_model.num_parameters() / 1e6 == pytest.approx(108.9, abs=0.1)
    assert model.config.num_hidden_layers == 20


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stylizes_photographs_at_256(dtype, conversion, tmp_path, capsys):
    out = tmp_path / "out.png"
    photos = [str(IMAGES / name) for name in ("chelsea.jpg", "church_at_auvers.jpg")]
    arguments = ["stylize", *photos, "-o", str(out), "--model", str(conversion[0]), "--seed", "0"]
    fast = has_fast_products(getattr(torch, dtype), torch.device("cpu"))
    with contextlib.nullcontext() if fast else RoundToBfloat16():
        assert main([*arguments, "--dtype", dtype, "--device", "cpu", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["dtype"] == dtype
    with PIL.Image.open(out) as image:
        assert image.size == (451, 300)  # the content's: enlarged from 256 x 256
        assert np.asarray(image).std() > 5  # noise, for the weights are random, but a picture
