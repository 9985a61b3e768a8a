# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The modular block of diffusers, loaded as remote code from a folder in the Hub's form."""

import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest

from stylevar_hf import StyleVARPipeline


diffusers = pytest.importorskip("diffusers", reason="needs `pip install diffusers`")
BLOCK = Path(__file__).parents[1] / "examples" / "diffusers"
FILES = ("block.py", "modular_config.json", "modular_model_index.json")


@pytest.fixture(scope="module")
def pipe(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(tiny_model_dir, folder, dirs_exist_ok=True)
    for file in FILES:
        shutil.copy(BLOCK / file, folder)
    pipe = diffusers.ModularPipeline.from_pretrained(str(folder), trust_remote_code=True)
    pipe.load_components()
    return pipe


def test_paints_as_the_pipeline(pipe, tiny_model_dir, image_files):
    arguments = {"seed": 3, "style_strength": 0.5, "keep_colors": 0.5, "num_images": 2, "output_size": "content"}
    pictures = pipe(image=image_files["content"], style_image=image_files["style"], **arguments).images
    expected = StyleVARPipeline.from_pretrained(tiny_model_dir)(
        image_files["content"], image_files["style"], **arguments
    )
    assert len(pictures) == 2
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(pictures, expected, strict=True))


def test_missing_input_is_named(pipe, image_files):
    with pytest.raises(ValueError, match="style_image"):
        pipe(image=image_files["content"])


def test_code_is_not_run_without_consent(pipe, tiny_model_dir, tmp_path):
    for file in FILES:
        shutil.copy(BLOCK / file, tmp_path)
    with pytest.raises(ValueError, match="trust_remote_code"):
        diffusers.ModularPipeline.from_pretrained(str(tmp_path), trust_remote_code=False)


def test_every_control_of_the_pipeline_is_an_input(pipe):
    inputs = {parameter.name for parameter in pipe.blocks.inputs}
    ours = set(inspect.signature(StyleVARPipeline.__call__).parameters) - {"self", "content", "style"}
    assert ours - inputs == {"batch_size", "do_sample", "callback_on_scale_end", "previews", "progress"}
