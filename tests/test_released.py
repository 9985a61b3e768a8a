# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Published `.pth` files on a Hub of our own: downloaded, converted once, used again, with and without a network."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, scan_cache_dir
from local_hub import LocalHub


sys.path.insert(0, str(Path(__file__).parent / "fixtures"))
from fill_checkpoint import fill  # noqa: E402


FIXTURES = Path(__file__).parent / "fixtures"
REPOSITORY = "Senfier-LiqiJing/StyleVAR"
CARD = b"---\nlicense: mit\n---\n# StyleVAR\n"
TOKENIZER, SFT, GRPO = "vae_ch160v4096z32.pth", "StyleVAR_SFT.pth", "StyleVAR-GRPO.pth"


def pth(keys: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    torch.save(fill(str(FIXTURES / keys), seed, (1, 2, 3, 4)), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    models = {SFT: pth("tiny_stylevar_keys.json", 1), GRPO: pth("tiny_stylevar_keys.json", 2)}
    return {TOKENIZER: pth("tiny_vae_keys.json", 1), **models, "README.md": CARD}


@pytest.fixture(scope="module")
def hub(files):
    with LocalHub() as hub:
        hub.add_user("me", write="hf_me")
        from local_hub import Repo

        hub.repos[REPOSITORY] = Repo("Senfier-LiqiJing")
        hub.repos[REPOSITORY].commit("weights", files)
        hub.repos["somebody/one-model"] = Repo("somebody")
        hub.repos["somebody/one-model"].commit("weights", {"weights/vae.pth": files[TOKENIZER], "my.pth": files[SFT]})
        yield hub


def run(hub, home, code: str, **environment: str) -> subprocess.CompletedProcess:
    """A fresh process that talks to our Hub; it prints one JSON value."""
    variables = {**os.environ, **hub.environment(home, None), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables)


ONLINE = """
import json, stylevar_hf
from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline
from stylevar_hf.conversion.loading import find_checkpoint
from stylevar_hf.cli import main
said = {}
def error(call):
    try:
        return f"returned {call()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
said["folder"] = StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR", variant="grpo").model.name_or_path
said["alias"] = find_checkpoint("stylevar-grpo")
said["sft"] = StyleVARForConditionalGeneration.from_pretrained("stylevar-sft", revision="main").name_or_path
said["unknown"] = error(lambda: StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR", variant="xl"))
said["no variant"] = error(lambda: StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR"))
from transformers import pipeline
said["pipeline"] = error(lambda: pipeline("image-style-transfer", model="Senfier-LiqiJing/StyleVAR"))
said["convert"] = main(["convert", "somebody/one-model", "-o", OUT + "/one", "--quiet"])
said["hf"] = main(["convert", "--vq", "Senfier-LiqiJing/StyleVAR", "--model",
                   "hf://Senfier-LiqiJing/StyleVAR@main/StyleVAR-GRPO.pth", "-o", OUT + "/hf", "--quiet"])
print(json.dumps(said))
"""
OFFLINE = """
import json, stylevar_hf
from stylevar_hf import StyleVARPipeline
from stylevar_hf.conversion.loading import find_checkpoint
said = {"folder": StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR", variant="grpo").model.name_or_path}
said["pinned"] = find_checkpoint("stylevar-sft", revision=COMMIT)
try:
    find_checkpoint("stylevar-sft", revision="other")
except OSError as error:
    said["other"] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def online(hub, tmp_path_factory):
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("out")
    done = run(hub, home, f"OUT = {str(out)!r}\n{ONLINE}")
    assert done.returncode == 0, done.stderr
    return {"home": home, "out": out, "stderr": done.stderr, **json.loads(done.stdout.splitlines()[-1])}


class TestOnline:
    def test_converted_once_into_the_cache(self, hub, online):
        commit = hub.repos[REPOSITORY].branches["main"][-1].oid
        folder = Path(online["folder"])
        assert folder.name == f"{commit}-grpo-1" and folder.is_relative_to(online["home"] / "hub")
        assert online["alias"] == online["folder"] != online["sft"]
        assert online["stderr"].count("Converted Senfier-LiqiJing/StyleVAR (grpo) once, to") == 1

    def test_weights_are_those_of_the_variant(self, online, files):
        from safetensors.torch import load_file

        for folder, name in ((online["folder"], GRPO), (online["sft"], SFT), (online["out"] / "hf", GRPO)):
            published = torch.load(io.BytesIO(files[name]), weights_only=True)["word_embed.weight"]
            assert any(torch.equal(tensor, published) for tensor in load_file(f"{folder}/model.safetensors").values())

    def test_card_says_where_from(self, hub, online):
        commit = hub.repos[REPOSITORY].branches["main"][-1].oid
        card = ModelCard.load(Path(online["folder"]) / "README.md")
        assert (card.data.base_model, card.data.license) == (REPOSITORY, "mit")
        assert commit in card.text and GRPO in card.text and "states mit" in card.text

    def test_cache_stays_one_that_the_hub_reads(self, online):
        found = scan_cache_dir(online["home"] / "hub")
        assert {repo.repo_id for repo in found.repos} >= {REPOSITORY} and not found.warnings

    def test_what_to_do_is_said(self, online):
        assert "`variant` must be one that tells the models" in online["unknown"] and SFT in online["unknown"]
        call = 'StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR", variant="sft")'
        assert call in online["no variant"] and call in online["pipeline"]
        assert "stylevar convert Senfier-LiqiJing/StyleVAR --variant sft -o stylevar-sft" in online["pipeline"]

    def test_convert_takes_repositories_and_places(self, online):
        assert (online["convert"], online["hf"]) == (0, 0)
        assert (online["out"] / "one" / "model.safetensors").is_file()


class TestOffline:
    def test_what_was_converted_is_found(self, hub, online):
        commit = hub.repos[REPOSITORY].branches["main"][-1].oid
        done = run(hub, online["home"], f"COMMIT = {commit!r}\n{OFFLINE}", HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        assert (said["folder"], said["pinned"]) == (online["folder"], online["sft"])
        assert "must be in the cache to be used offline" in said["other"]


class TestRoom:
    def test_full_disk_is_said_before_anything_is_downloaded(self, monkeypatch, tmp_path):
        import shutil
        from types import SimpleNamespace

        from stylevar_hf.conversion.read import check_room

        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**9))
        check_room({tmp_path / "a": 2 * 10**9, tmp_path / "b": 3 * 10**9})
        with pytest.raises(OSError, match=r"must have room for 6.0 GB, but only 5.0 GB are free. Make room"):
            check_room({tmp_path / "a": 3 * 10**9, tmp_path / "b": 3 * 10**9})
