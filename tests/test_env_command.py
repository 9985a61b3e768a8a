# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import getpass
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

import stylevar_hf
from stylevar_hf.cli import main


def test_report_names_versions_and_nothing_private(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert main(["env"]) == 0
    report = capsys.readouterr().out
    assert f"- stylevar-hf: {stylevar_hf.__version__}\n" in report
    assert f"build {torch.__version__}" in report
    for private in ("hf_secret", str(Path.home()) + "/", platform.node(), f"/{getpass.getuser()}/"):
        assert private not in report


def test_json(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["packages"]["torch"] == version("torch")
    assert facts["torch"]["threads"] == torch.get_num_threads()
    assert facts["variables"]["OMP_NUM_THREADS"] == "1"


def test_broken_torch_is_part_of_the_report(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["env"]) == 0
    assert "- torch: error " in capsys.readouterr().out
