# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar sft` and `stylevar grpo`, in this process, on a tiny model (`stylevar vq`: see test_vq_trainer)."""

import re

import datasets
import numpy as np
import PIL.Image
import pytest

from stylevar_hf import cli
from stylevar_hf.training import StyleVARSFTTrainer


QUICK = ["--use_cpu", "--disable_tqdm", "True", "--save_strategy", "no"]


@pytest.fixture
def triplets(tmp_path) -> str:
    rng = np.random.default_rng(0)
    columns = {
        name: [PIL.Image.fromarray(pixels) for pixels in rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)]
        for name in ("content", "style", "target")
    }
    features = datasets.Features({name: datasets.Image() for name in columns})
    datasets.Dataset.from_dict(columns, features).save_to_disk(tmp_path / "triplets")
    return f"disk:{tmp_path / 'triplets'}"


def run(*words) -> int:
    return cli.main([str(word) for word in words])


class TestSFT:
    def test_trains_evaluates_and_draws_without_being_asked(self, tmp_path, tiny_model_dir, triplets):
        out = tmp_path / "out"
        flags = ["--validation_fraction", "0.3", "--max_steps", "1", "--use_peft", "--lora_r", "2", *QUICK]
        command = ["sft", "--model_name_or_path", tiny_model_dir, "--dataset", triplets, "--output_dir", out]
        assert run(*command, *flags) == 0
        assert (out / "adapter_model.safetensors").is_file() and (out / "README.md").is_file()
        assert (out / "samples" / "step-1.png").is_file()
        assert "validation loss" in (out / "README.md").read_text()

    def test_help_is_in_groups(self, capsys):
        with pytest.raises(SystemExit) as stop:
            run("sft", "--help")
        text = capsys.readouterr().out
        titles = [line[:-1] for line in text.splitlines() if re.fullmatch(r"[a-z].*:", line)]
        assert stop.value.code == 0
        assert titles[-5:] == ["data", "model", "adapter (LoRA)", "training", "other options of transformers and TRL"]
        assert "(default: None)" not in text and "stylevar sft --model_name_or_path" in text

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--no_such_flag", "3"], "no_such_flag"),
            (["--max_steps", "many"], "argument --max_steps/--max-steps: invalid int value"),
            (["--ema_decay", "2"], "`ema_decay` must be in"),
            ([], "`model_name_or_path` or `from_scratch` must be given"),
            (["--model_name_or_path", "stylevar-mini", "--dataset", "disk:/no/where"], "existing folder"),
        ],
    )
    def test_bad_input_is_one_line(self, tmp_path, capsys, flags, message):
        assert run("sft", "--output_dir", tmp_path, *flags, *QUICK) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith("stylevar: error: ") and message in lines[-1]
        assert not any("Traceback" in line for line in lines)

    def test_adapter_of_a_local_base_is_not_published_without_a_name_for_it(
        self, tmp_path, capsys, tiny_model_dir, triplets, monkeypatch
    ):
        monkeypatch.setattr(StyleVARSFTTrainer, "init_hf_repo", lambda *args, **kwargs: pytest.fail("a repository"))
        flags = ["--use_peft", "--push_to_hub", "--hub_model_id", "me/mine", "--output_dir", tmp_path, *QUICK]
        assert run("sft", "--model_name_or_path", tiny_model_dir, "--dataset", triplets, *flags) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "`base_model_id` must be user/name of the adapter's base with `push_to_hub`" in error

    def test_error_in_the_middle_shows_where_it_happened(self, tmp_path, tiny_model_dir, triplets, monkeypatch):
        compute_loss = StyleVARSFTTrainer.compute_loss

        def fail_later(self, *args, **kwargs):
            if self.state.global_step > 0:
                raise ValueError("a bug")
            return compute_loss(self, *args, **kwargs)

        monkeypatch.setattr(StyleVARSFTTrainer, "compute_loss", fail_later)
        with pytest.raises(RuntimeError, match="failed at step 1") as failure:
            run("sft", "--model_name_or_path", tiny_model_dir, "--dataset", triplets, "--output_dir", tmp_path, *QUICK)
        assert isinstance(failure.value.__cause__, ValueError)


class TestGRPO:
    def test_trains_and_evaluates_on_folders_without_targets(self, tmp_path, tiny_model_dir):
        for name, count in (("photos", 3), ("paintings", 2)):
            (tmp_path / name).mkdir()
            for index in range(count):
                PIL.Image.new("RGB", (20, 16), (80 * index, 10, 90)).save(tmp_path / name / f"{index}.png")
        flags = [
            "--dataset",
            f"unpaired:{tmp_path / 'photos'},{tmp_path / 'paintings'}",
            "--validation_fraction",
            "0.3",
        ]
        flags += ["--reward_funcs", "color-statistics", "--num_generations", "2", "--per_device_train_batch_size", "2"]
        flags += ["--max_steps", "1", "--max_eval_samples", "2", "--validation_fraction", "0.3", *QUICK]
        assert run("grpo", "--model_name_or_path", tiny_model_dir, "--output_dir", tmp_path / "out", *flags) == 0
        assert (tmp_path / "out" / "model.safetensors").is_file()
        assert "validation reward" in (tmp_path / "out" / "README.md").read_text()

    def test_help_leaves_out_what_is_refused(self, capsys):
        with pytest.raises(SystemExit):
            run("grpo", "--help")
        text = capsys.readouterr().out
        assert "--panw_gamma" in text and "--use_vllm" not in text and "--loss_type" not in text
