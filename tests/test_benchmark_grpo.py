# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import importlib.util
import json
import math
import multiprocessing
import threading
from pathlib import Path

import pytest
from transformers.utils import logging


pytest.importorskip("trl")
pytest.importorskip("peft")

PROGRAM = Path(__file__).parents[1] / "examples" / "benchmark_grpo.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("benchmark_grpo", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_update(program, **seconds) -> dict[str, float]:
    return {**dict.fromkeys(program.PARTS, 0.0), **seconds}


class TestSummary:
    def test_each_update_is_compared_with_those_around_it(self, program):
        ours = [make_update(program, rollouts=1.0, update=1.0), make_update(program, rollouts=4.0, update=4.0)]
        theirs = [make_update(program, rollouts=rollouts, old_log_probs=1.0) for rollouts in (3.0, 5.0, 11.0)]
        report = program.summarise(ours, theirs)
        assert report["ours"]["total"] == 5.0  # of 2 and 8
        assert report["published"]["rollouts"] == 5.0
        assert report["speedup"]["rollouts"] == 3.0  # of 4 / 1 and 8 / 4
        assert report["speedup"]["total"] == (5 / 2 + 9 / 8) / 2
        assert report["speedup"]["old_log_probs"] == math.inf  # a part that ours does without

    def test_only_what_grows_with_the_rollouts_is_scaled(self, program):
        growing, fixed = make_update(program, rollouts=2.0), make_update(program, rollouts=1.0, update=3.0)
        assert program.estimate(growing, fixed, 8) == make_update(program, rollouts=17.0, update=3.0)

    def test_table_says_what_was_estimated(self, program):
        options = program.parse_arguments(
            ["--published_code", "x", "--measured_rollouts", "2", "--rows_per_pass", "8"]
        )
        update = make_update(program, rollouts=2.0, update=1.0)
        report = {"depth": 8, "dtype": "bfloat16", **program.summarise([update], [update, update])}
        report |= {"peak_gib": {"ours": 1.0, "published": 2.0}, "largest_score_difference": 1e-5}
        table = program.table([report], options)
        assert "measured on 2 of 16 rollouts" in table
        assert "| 8 | stylevar-hf, bfloat16 | 2.00 |  |  |  | 1.00 | 3.00 | 1.00 GiB |" in table
        assert "| 8 | times as fast | 1.0x |" in table


class TestArguments:
    @pytest.mark.parametrize(
        "arguments, message",
        [
            (["--measured_rollouts", "17"], "must be from 1 to --num_generations"),
            (["--rows_per_pass", "3"], "must divide"),
            (["--published_code", "x", "--reward", "ssim"], "must be dreamsim"),
            (["--device", "cuda", "--clock", "process"], "must come with --device cpu"),
        ],
    )
    def test_bad_combinations_are_refused(self, arguments, message, program, capsys):
        with pytest.raises(SystemExit):
            program.parse_arguments(arguments)
        assert message in capsys.readouterr().err

    def test_absent_device_is_refused(self, program, monkeypatch, capsys):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(SystemExit):
            program.parse_arguments(["--device", "cuda"])
        assert "must be present" in capsys.readouterr().err


class TestProgram:
    @pytest.mark.slow
    def test_times_the_parts_of_an_update_of_ours(self, program, monkeypatch, capsys):
        def start_thread(work, *arguments):  # in place of a process, which would import everything again
            here, there = multiprocessing.Pipe()
            threading.Thread(target=work, args=(there, *arguments), daemon=True).start()
            return here

        monkeypatch.setattr(program, "start", start_thread)
        monkeypatch.setattr(logging, "set_verbosity_error", lambda: None)  # as it is meant for a process of its own
        sizes = ["--depth", "1", "--vq_channels", "32", "--num_generations", "2", "--rows_per_pass", "1"]
        program.main([*sizes, "--updates", "1", "--warmup_updates", "0", "--reward", "ssim", "--json"])
        (report,) = json.loads(capsys.readouterr().out)
        ours = report["ours"]
        assert all(ours[part] > 0 for part in ("rollouts", "reference_log_probs", "reward", "update"))
        assert ours["old_log_probs"] == 0  # the rollouts are scored once, in the update
        assert ours["total"] == pytest.approx(sum(ours[part] for part in program.PARTS))
        assert 0.1 < report["peak_gib"]["ours"] < 16
