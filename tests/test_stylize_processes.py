# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Several processes divide the pairs of `stylevar stylize` among them."""

import subprocess
import sys

import PIL.Image
import pytest

from stylevar_hf.cli import main
from stylevar_hf.commands.stylize import device_of_process, share_of_process


class TestShares:
    def test_one_process_takes_all(self, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        assert share_of_process([1, 2, 3]) == [1, 2, 3]

    @pytest.mark.parametrize("count", [2, 3, 5])
    def test_every_pair_is_of_one_process(self, count, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", str(count))
        shares = []
        for rank in range(count):
            monkeypatch.setenv("RANK", str(rank))
            shares += share_of_process(list(range(4)))
        assert sorted(shares) == [0, 1, 2, 3]

    def test_a_gpu_for_each_process(self, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setenv("LOCAL_RANK", "3")
        assert device_of_process("auto") == device_of_process("cuda") == "cuda:3"
        assert device_of_process("cpu") == "cpu"

    def test_processes_paint_a_folder_together(self, tiny_model_dir, tmp_path, monkeypatch):
        contents, output = tmp_path / "contents", tmp_path / "output"
        contents.mkdir()
        for index in range(3):
            PIL.Image.new("RGB", (20, 20), (80 * index, 0, 0)).save(contents / f"{index}.png")
        style = tmp_path / "style.png"
        PIL.Image.new("RGB", (20, 20)).save(style)
        monkeypatch.setenv("WORLD_SIZE", "2")
        command = [
            "stylize",
            str(contents),
            str(style),
            "-o",
            str(output),
            "--model",
            tiny_model_dir,
            "--device",
            "cpu",
        ]
        numbers = []
        for rank in range(2):
            monkeypatch.setenv("RANK", str(rank))
            assert main([*command, "--seed", "0"]) == 0
            numbers.append(len(list(output.glob("*.png"))))
        assert numbers == [2, 3]


def test_python_runs_the_package():
    finished = subprocess.run([sys.executable, "-m", "stylevar_hf", "--version"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
