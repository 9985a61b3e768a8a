# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The notebook, cell by cell, on the small model."""

import base64
import io
import os
from pathlib import Path

import PIL.Image
import pytest


nbclient = pytest.importorskip("nbclient", reason="needs `pip install nbclient ipykernel`")
nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebooks" / "stylevar.ipynb"


def test_is_stored_without_results():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_runs_and_shows_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEVAR_STEPS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    source = str(Path(__file__).parents[1] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    data = [
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output and "image/png" in output.data
    ]
    pictures = [PIL.Image.open(io.BytesIO(base64.b64decode(one))) for one in data]
    assert [picture.width // 224 for picture in pictures] == [3, 5, 2, 3]
    assert all(len(picture.convert("RGB").getcolors(2**20)) > 100 for picture in pictures)
    assert (tmp_path / "my-style" / "adapter_model.safetensors").is_file()
