# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The ComfyUI pack. With `STYLEVAR_COMFYUI=DIR`, a checkout of ComfyUI with its requirements in this environment, it is
driven over ComfyUI's own HTTP API.
"""

import io
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf import StyleVARPipeline, bundled_checkpoint
from stylevar_hf.checkpoints import MODELS


PACK = Path(__file__).parents[1] / "examples" / "comfyui"
COMFYUI = os.environ.get("STYLEVAR_COMFYUI")
TENSORS = runpy.run_path(str(PACK / "tensors.py"))
NODES = ("StyleVARLoadModel", "StyleVARStylize", "StyleVARBlendStyles", "StyleVARFilm")


class TestTensors:
    def test_pictures_go_there_and_back_bit_for_bit(self):
        values = np.arange(2 * 8 * 16 * 3, dtype=np.uint8).reshape(2, 8, 16, 3)
        images = torch.from_numpy(values).float() / 255  # as ComfyUI reads a file
        pictures = TENSORS["to_pictures"](images)
        assert [np.asarray(one).tolist() for one in pictures] == values.tolist()
        assert torch.equal(TENSORS["to_images"](pictures), images)
        saved = np.clip(255.0 * TENSORS["to_images"](pictures).numpy(), 0, 255).astype(np.uint8)  # as it writes one
        assert (saved == values).all()

    def test_every_byte_survives(self):
        values = torch.arange(256).reshape(1, 16, 16).float() / 255
        assert np.asarray(TENSORS["to_masks"](values, 1)[0]).ravel().tolist() == list(range(256))

    def test_batch_has_one_size(self):
        pictures = [PIL.Image.new("RGB", (4, 2)), PIL.Image.new("RGB", (6, 6))]
        assert TENSORS["to_images"](pictures).shape == (2, 2, 4, 3)

    @pytest.mark.parametrize(
        ("text", "expected"), [("", None), (" palette ", "palette"), ("0, 0.5 -1", [0.0, 0.5, -1.0])]
    )
    def test_strengths_by_scale(self, text, expected):
        assert TENSORS["scale_strengths"](text) == expected

    def test_bad_strengths(self):
        with pytest.raises(ValueError, match="`strength_per_scale` must be palette, strokes, layout, or numbers"):
            TENSORS["scale_strengths"]("0, x")


class TestPack:
    def test_every_node_has_a_help_page(self):
        assert {f"{name}.md" for name in NODES} == {page.name for page in (PACK / "web" / "docs").iterdir()}

    def test_workflows_name_nodes_of_the_pack_and_have_a_picture(self):
        source = (PACK / "nodes.py").read_text(encoding="utf-8")
        assert tuple(re.findall(r'node_id="(\w+)"', source)) == NODES
        workflows = sorted((PACK / "example_workflows").glob("*.json"))
        assert workflows
        for file in workflows:
            kinds = {node["type"] for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]}
            assert {kind for kind in kinds if kind.startswith("StyleVAR")} <= set(NODES)
            assert file.with_suffix(".jpg").exists()


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory):
    """The address of a running ComfyUI, and the folder of its files."""
    folder = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "input", "models"):
        (folder / name).mkdir()
    shutil.copytree(PACK, folder / "custom_nodes" / "comfyui-stylevar")
    rng = np.random.default_rng(0)
    for name, shape in {"content": (40, 60, 3), "style": (32, 32, 3), "other": (48, 32, 3), "mask": (40, 60)}.items():
        PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / "input" / f"{name}.png")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, str(Path(COMFYUI, "main.py")), "--cpu", "--port", str(port), "--disable-api-nodes"]
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        command += ["--base-directory", str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None, (folder / "log.txt").read_text(encoding="utf-8")[-2000:]
            try:
                httpx.get(f"{address}/system_stats")
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address, folder
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def pipe() -> StyleVARPipeline:
    return StyleVARPipeline.from_pretrained(bundled_checkpoint(MODELS[0]), device="cpu")


@pytest.fixture
def run(comfyui):
    """Queues a workflow and returns the pictures that its node `save` has saved."""
    address, _ = comfyui
    loaders = {
        "model": {"class_type": "StyleVARLoadModel", "inputs": {"model": MODELS[0], "device": "cpu"}},
        "content": {"class_type": "LoadImage", "inputs": {"image": "content.png"}},
        "style": {"class_type": "LoadImage", "inputs": {"image": "style.png"}},
        "other": {"class_type": "LoadImage", "inputs": {"image": "other.png"}},
        "mask": {"class_type": "LoadImageMask", "inputs": {"image": "mask.png", "channel": "red"}},
    }

    def queue(nodes: dict, result: str) -> list[PIL.Image.Image]:
        save = {"class_type": "SaveImage", "inputs": {"images": [result, 0], "filename_prefix": "x"}}
        answer = httpx.post(f"{address}/prompt", json={"prompt": {**loaders, **nodes, "save": save}}).json()
        assert not answer.get("node_errors"), answer
        while not (history := httpx.get(f"{address}/history/{answer['prompt_id']}").json()):
            time.sleep(0.1)
        entry = history[answer["prompt_id"]]
        for kind, message in entry["status"]["messages"]:
            if kind == "execution_error":
                raise RuntimeError(message["exception_message"])
        files = [httpx.get(f"{address}/view", params=one).content for one in entry["outputs"]["save"]["images"]]
        return [PIL.Image.open(io.BytesIO(file)).convert("RGB") for file in files]

    return queue


def picture(comfyui, name: str) -> PIL.Image.Image:
    return PIL.Image.open(comfyui[1] / "input" / f"{name}.png")


def same(pictures: list[PIL.Image.Image], expected: list[PIL.Image.Image]) -> bool:
    assert [one.size for one in pictures] == [one.size for one in expected]
    return all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(pictures, expected, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(COMFYUI is None, reason="needs STYLEVAR_COMFYUI, the folder of a ComfyUI")
class TestInComfyUI:
    INPUTS = {"pipeline": ["model", 0], "content": ["content", 0], "style": ["style", 0], "seed": 3, "size": "content"}

    def stylize(self, **inputs) -> dict:
        defaults = {"style_strength": 0.0, "num_images": 1, "batch_size": 1}
        return {"class_type": "StyleVARStylize", "inputs": {**self.INPUTS, **defaults, **inputs}}

    def test_pictures_are_those_of_the_pipeline(self, run, comfyui, pipe):
        got = run({"paint": self.stylize(num_images=2, style_strength=0.5, batch_size=2)}, "paint")
        content, style = picture(comfyui, "content"), picture(comfyui, "style")
        expected = pipe(content, style, seed=3, style_strength=0.5, num_images=2, output_size="content")
        assert same(got, expected)

    def test_controls(self, run, comfyui, pipe):
        inputs = {
            "mask": ["mask", 0],
            "mask_feather": 2,
            "strength_map": ["other", 0],
            "strength_per_scale": "palette",
            "keep_colors": 0.5,
            "fit": "pad",
            "top_k": 20,
            "num_candidates": 3,
            "rank_by": "color-statistics",
        }
        got = run({"paint": self.stylize(**inputs)}, "paint")
        expected = pipe(
            picture(comfyui, "content"),
            picture(comfyui, "style"),
            **{**inputs, "mask": picture(comfyui, "mask"), "strength_map": picture(comfyui, "other").convert("L")},
            seed=3,
            output_size="content",
        )
        assert same(got, [expected])

    def test_canvas(self, run, comfyui, pipe):
        got = run({"paint": self.stylize(paint_size=160)}, "paint")
        content, style = picture(comfyui, "content"), picture(comfyui, "style")
        assert same(got, [pipe(content, style, seed=3, paint_size=160, output_size="content")])

    def test_blend(self, run, comfyui, pipe):
        inputs = {"pipeline": ["model", 0], "style_1": ["style", 0], "style_2": ["other", 0]}
        inputs |= {"weight_1": 0.7, "weight_2": 0.3}
        blend = {"class_type": "StyleVARBlendStyles", "inputs": inputs}
        got = run({"blend": blend, "paint": self.stylize(style=["blend", 0])}, "paint")
        both = pipe.blend_styles([picture(comfyui, "style"), picture(comfyui, "other")], weights=[0.7, 0.3])
        assert same(got, [pipe(picture(comfyui, "content"), both, seed=3, output_size="content")])

    def test_film(self, run, comfyui, pipe):
        batch = {"class_type": "RepeatImageBatch", "inputs": {"image": ["content", 0], "amount": 3}}
        inputs = {"pipeline": ["model", 0], "frames": ["batch", 0], "style": ["style", 0]}
        inputs |= {"seed": 1, "steadiness": 0.5, "style_strength": 0.0}
        got = run({"batch": batch, "film": {"class_type": "StyleVARFilm", "inputs": inputs}}, "film")
        frames = [picture(comfyui, "content")] * 3
        assert same(got, list(pipe.stylize_frames(frames, picture(comfyui, "style"), seed=1, steadiness=0.5)))

    def test_error_is_that_of_the_pipeline(self, run):
        with pytest.raises(RuntimeError, match="`strength_per_scale` must"):
            run({"paint": self.stylize(strength_per_scale="1, 2")}, "paint")

    def test_help_and_workflows_are_served(self, comfyui):
        address, _ = comfyui
        pages = [httpx.get(f"{address}/extensions/comfyui-stylevar/docs/{name}.md") for name in NODES]
        assert all(page.status_code == 200 and name in page.text for page, name in zip(pages, NODES, strict=True))
        assert "comfyui-stylevar" in httpx.get(f"{address}/workflow_templates").json()
