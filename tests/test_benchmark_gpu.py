# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The GPU's benchmark runs, on the CPU and a tiny model."""

import importlib.util
import subprocess
from pathlib import Path

import pytest
import torch


EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_gpu", EXAMPLES / "benchmark_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestBenchmarkGpu:
    def test_both_ways_paint_the_same(self, benchmark, tiny_model_dir, tmp_path, capsys):
        trace = tmp_path / "trace.json"
        arguments = ["--model", tiny_model_dir, "--device", "cpu", "--dtype", "float32", "--batch_size", "1", "2"]
        benchmark.main([*arguments, "--repeats", "1", "--trace", str(trace)])
        rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| float32")]
        assert [row.split("|")[2].strip() for row in rows] == ["1", "1", "2", "2"]
        assert [row.split("|")[8].strip() for row in rows] == ["", "the same"] * 2
        assert trace.stat().st_size > 0

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_says_that_there_is_no_gpu(self, benchmark, capsys):
        with pytest.raises(SystemExit):
            benchmark.main([])
        assert "--device must be cpu" in capsys.readouterr().err

    def test_the_script_is_sound(self):
        subprocess.run(["bash", "-n", str(EXAMPLES / "benchmark_gpu.sh")], check=True)
