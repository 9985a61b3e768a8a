# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_modeling_stylevar import make_inputs, make_model

from stylevar_hf import StyleVARForConditionalGeneration, bundled_checkpoint
from stylevar_hf.cli import main
from stylevar_hf.evaluation.speed import (
    RoundToBfloat16,
    _last_error,
    agreement,
    compare_speed,
    count_gflop,
    measure,
    peak_memory,
    stopwatch,
)


class TestStopwatch:
    def test_adds_up_the_named_methods_and_puts_them_back(self):
        class Sleeper:
            def sleep(self, seconds):
                time.sleep(seconds)
                return seconds

        sleeper = Sleeper()
        with stopwatch(sleeper, ("sleep",), torch.device("cpu")) as total:
            assert sleeper.sleep(0.02) + sleeper.sleep(0.03) == 0.05
        assert 0.05 <= total[0] < 0.5
        assert "sleep" not in vars(sleeper)

    def test_processor_seconds_leave_out_waiting(self):
        class Sleeper:
            def sleep(self):
                time.sleep(0.2)

        sleeper = Sleeper()
        with stopwatch(sleeper, ("sleep",), torch.device("cpu"), clock="process") as total:
            sleeper.sleep()
        assert total[0] < 0.1


class TestPeakMemory:
    def test_what_was_freed_counts(self):
        np.ones(2**26)  # half a GiB
        assert peak_memory(torch.device("cpu")) > 0.5

    def test_memory_of_the_parent_does_not_count(self):
        np.ones(2**27)
        child = "import numpy, torch; from stylevar_hf.evaluation.speed import peak_memory; cpu = torch.device('cpu')"
        child += "; before = peak_memory(cpu); numpy.ones(2**26); print(before, peak_memory(cpu))"
        command = [sys.executable, "-c", child]
        before, after = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert float(after) - float(before) > 0.4


class TestCompareSpeed:
    def test_speedup_is_the_median_of_the_rounds(self):
        class Runner:
            device = torch.device("cpu")

            def __init__(self, name, seconds):
                self.name, self.seconds = name, iter(seconds)

            def run(self, content, style):
                total = next(self.seconds)
                return {"total": total, "transformer": total / 2}

        # the warm-up is left out; the rounds are 4 / 2, 9 / 3 and 8 / 8
        runners = [Runner("slow", [99, 4, 9, 8]), Runner("fast", [1, 2, 3, 8])]
        summary = compare_speed(runners, side=16, batch_size=2, repeats=3, progress=lambda: None)
        assert summary["speedup"] == {"total": 2.0, "transformer": 2.0}
        assert summary["slow"] == {"total": 4.0, "transformer": 2.0}  # per image


class TestFlops:
    def test_linear_layers_dominate_as_counted_by_hand(self):
        model = make_model(hidden_size=256, num_hidden_layers=4)
        model.vq_model.decode_latents = lambda latents: latents
        pair = make_inputs(model, batch_size=1)
        with torch.no_grad():
            content = model.encode_content(pair["content_pixel_values"])
            style = model.encode_style(pair["style_pixel_values"])
        generate = model.generate
        model.generate = lambda *_: generate(content=content, style=style, do_sample=False)
        # per layer and token: two queries, key, value and output of 256 x 256, and an MLP of 8 x 256 x 256
        linear = 2 * 4 * 30 * 13 * 256 * 256 / 1e9
        assert linear < count_gflop(model) < 1.25 * linear


class TestRoundToBfloat16:
    @torch.no_grad()
    def test_equals_native_bfloat16_up_to_the_order_of_summation(self, tmp_path):
        model = make_model()
        model.save_pretrained(tmp_path)
        half = StyleVARForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
        inputs = make_inputs(model)
        native = half(**inputs).logits
        with RoundToBfloat16():
            emulated = half(**inputs).logits
        exact = model(**inputs).logits
        rounding = (native - exact).abs().mean()
        assert 0 < (emulated - exact).abs().mean() < 1.5 * rounding
        assert (emulated - native).abs().mean() < 1.5 * rounding

    def test_agreement_is_a_share(self, tiny_model_dir):
        shares = agreement(tiny_model_dir, torch.device("cpu"))
        assert 0.5 < shares["vq_codes"] <= 1
        assert 0 <= shares["greedy_tokens"] <= 1


class TestMeasure:
    def test_reports_every_dtype_and_batch_size(self, tiny_model_dir):
        report = measure(tiny_model_dir, dtypes=("float32", "bfloat16"), batch_sizes=(2,), repeats=1)
        assert [(row["dtype"], row["batch_size"]) for row in report["rows"]] == [("float32", 2), ("bfloat16", 2)]
        for row in report["rows"]:
            assert 0 < row["transformer"] < row["total"]
            assert 0.1 < row["peak_gib"] < 4
            assert row["share_of_peak"] > 0
        assert report["cache_mib"] == 2 * 2 * 30 * 32 * 2 / 2**20  # keys and values, layers, tokens, width, bytes

    @pytest.mark.parametrize("model, name", [(None, "stylevar-mini"), ("stylevar-mini-grpo", "stylevar-mini-grpo")])
    def test_models_of_the_package_go_by_name(self, model, name, monkeypatch):
        class Started(Exception):
            pass

        def start(code, dtype, batch_size, model_dir, *_):
            raise Started(model_dir)

        monkeypatch.setattr("stylevar_hf.evaluation.speed._peak_memory", start)
        with pytest.raises(Started) as started:
            measure(model)
        assert str(started.value) == bundled_checkpoint(name)

    def test_each_dtype_is_compared_with_the_published_code_in_float32(self, tiny_model_dir, monkeypatch):
        class Stub:
            name, device = "published code", torch.device("cpu")
            check = staticmethod(lambda *_: None)

            def __init__(self, *_, device, clock):
                pass

            def run(self, content, style):
                return {"total": 1000.0, "transformer": 500.0}

        monkeypatch.setattr("stylevar_hf.evaluation.speed.Published", Stub)
        monkeypatch.setattr("stylevar_hf.evaluation.speed._peak_memory", lambda code, dtype, *_: (code, dtype))
        dtypes = ("float32", "bfloat16")
        report = measure(tiny_model_dir, dtypes, repeats=1, published=("code", "vq", "model"), clock="process")
        rows = {(row["code"], row["dtype"]): row for row in report["rows"]}
        assert list(rows) == [("published code", "float32"), *(("stylevar-hf", dtype) for dtype in dtypes)]
        assert all(row["peak_gib"] == key for key, row in rows.items())
        for entry in report["speedups"]:
            ours = rows["stylevar-hf", entry["dtype"]]
            assert entry["total"] == pytest.approx(1000 / ours["total"])
        assert [entry["dtype"] for entry in report["speedups"]] == list(dtypes)


class TestFailedRun:
    def test_says_the_whole_error(self):
        traceback = "Loading: 100%\nTraceback (most recent call last):\n  File x\n"
        assert _last_error(f"{traceback}OSError: no file\nhere.\nCheck it.\n") == "OSError: no file here. Check it."
        chained = f"{traceback}KeyError: 1\n\nDuring handling\n\n{traceback}torch.OutOfMemoryError: full\n"
        assert _last_error(chained) == "torch.OutOfMemoryError: full"
        assert _last_error("Loading: 100%\n") == ""

    def test_names_the_model(self, tmp_path):
        with pytest.raises(ValueError, match=f"`--model` must run once .*{tmp_path} failed: OSError: .*no file named"):
            measure(tmp_path)


class TestCommand:
    def test_prints_a_table_or_json(self, tiny_model_dir, capsys, monkeypatch):
        arguments = ["benchmark", "--model", tiny_model_dir, "--repeats", "1", "--quiet"]
        monkeypatch.setattr("stylevar_hf.evaluation.speed._peak_memory", lambda *_: 1.5)
        assert main(arguments) == 0
        assert "| stylevar-hf | float32 | 1 |" in (table := capsys.readouterr().out) and "1.50 GiB" in table
        assert main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["rows"][0]["code"] == "stylevar-hf"

    @pytest.mark.parametrize(
        "options, message",
        [
            (["--published-code", "x"], "must come with `--vq` and `--checkpoint`"),
            (["--clock", "process", "--device", "cuda"], "must come with `--device cpu`"),
            (
                ["--published-code", "x", "--vq", "v", "--checkpoint", "c"],
                "must come with `--model`",
            ),
        ],
    )
    def test_bad_combinations_exit_with_2(self, options, message, capsys):
        assert main(["benchmark", *options]) == 2
        assert message in capsys.readouterr().err

    def test_missing_device_exits_with_2(self, capsys, monkeypatch):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert main(["benchmark", "--device", "mps"]) == 2
        assert "`--device` must be present, but this machine has no 'mps'" in capsys.readouterr().err

    def test_checkout_without_dist_is_refused_at_once(self, tiny_model_dir, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(
            "stylevar_hf.evaluation.speed._peak_memory", lambda *_: pytest.fail("measured before the check")
        )
        files = ["--vq", "v.pth", "--checkpoint", "c.pth"]
        path = list(sys.path)
        assert main(["benchmark", "--model", tiny_model_dir, "--published-code", str(tmp_path), *files]) == 2
        assert "must be a checkout with `dist.py` in it" in capsys.readouterr().err
        assert sys.path == path
