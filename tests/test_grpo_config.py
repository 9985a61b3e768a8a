# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of GRPO: published defaults, and one clear error for what cannot work."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from conftest import CHECKPOINTING
from transformers import TrainingArguments
from trl import GRPOConfig, TrlParser

from stylevar_hf.training.grpo import grpo_config, grpo_trainer
from stylevar_hf.training.grpo.checks import check_reward_weights, load_rewards
from stylevar_hf.training.grpo.grpo_config import StyleVARGRPOConfig, StyleVARRewardArguments


def make_config(**options) -> StyleVARGRPOConfig:
    return StyleVARGRPOConfig(**{"output_dir": "unused", "use_cpu": True, **options})


class TestDefaults:
    def test_are_the_published_recipe(self):
        args = make_config()
        assert (args.num_generations, args.generation_batch_size, args.num_iterations) == (16, 256, 1)
        assert (args.gradient_accumulation_steps, args.advantage_std_floor) == (16, 1e-2)  # 16 prompts per update
        assert (args.beta, args.epsilon, args.kl_limit) == (0.1, 0.2, 5.0)
        assert (args.token_weighting, args.panw_gamma, args.scale_rewards) == ("panw", 0.7, "group")
        assert (args.temperature, args.top_k, args.top_p) == (1.0, 900, 0.96)
        assert (args.learning_rate, args.weight_decay, args.max_grad_norm) == (1e-5, 0.01, 1.0)
        assert (args.adam_beta1, args.adam_beta2, args.lr_scheduler_type) == (0.9, 0.95, "constant")
        assert (args.reference_gain, args.reference_patience, args.reference_min_steps) == (0.05, 50, 300)
        assert (args.reference_emergency_kl, args.reference_emergency_cooldown) == (2.0, 50)
        assert not (args.bf16 or getattr(args, CHECKPOINTING) or args.iterative_reference)
        assert args.vmr_scale is None and args.mask_column is None

    def test_bfloat16_needs_no_flag_on_cpu(self, monkeypatch):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
        assert StyleVARGRPOConfig(output_dir="unused", bf16=True).use_cpu

    @pytest.mark.parametrize(
        ("options", "processes", "passes"),
        [
            ({}, 4, 4),
            ({"per_device_train_batch_size": 64}, 1, 4),
            ({"per_device_train_batch_size": 512}, 1, 1),
            ({"per_device_train_batch_size": 12}, 1, 20),  # whole prompts
            ({"steps_per_generation": 2}, 1, 2),
            ({"generation_batch_size": 48}, 1, 3),
            ({"gradient_accumulation_steps": 1}, 1, 1),
        ],
    )
    def test_passes_make_sixteen_prompts(self, monkeypatch, options, processes, passes):
        monkeypatch.setattr(grpo_config, "num_processes", lambda: processes)
        assert make_config(**options).gradient_accumulation_steps == passes

    def test_fewer_prompts_make_a_smaller_update(self):
        args = make_config(per_device_train_batch_size=2, num_generations=2)
        fitted = args.fit_to(4)
        assert (fitted.gradient_accumulation_steps, fitted.steps_per_generation, fitted.generation_batch_size) == (
            4,
            4,
            8,
        )
        assert args.gradient_accumulation_steps == 16 and args.fit_to(16) is args
        assert make_config(gradient_accumulation_steps=16).fit_to(4).gradient_accumulation_steps == 16

    @pytest.mark.filterwarnings("error::FutureWarning")
    def test_do_not_warn_of_old_names(self):
        assert getattr(make_config(**{CHECKPOINTING: True}), CHECKPOINTING)

    def test_every_option_is_a_flag(self):
        parser = TrlParser((StyleVARRewardArguments, StyleVARGRPOConfig))
        flags = ["--reward_funcs", "ssim", "m:f", "--vmr_scale", "2", "--mask_column", "mask", "--advantage_clip", "3"]
        flags += ["--iterative_reference", "--use_cpu", "--output_dir", "unused", "--rollout_batch_size", "4"]
        rewards, args = parser.parse_args_and_config(flags)
        assert rewards.reward_funcs == ["ssim", "m:f"]
        assert (args.vmr_scale, args.mask_column, args.advantage_clip, args.rollout_batch_size) == (2, "mask", 3.0, 4)
        assert args.iterative_reference

    def test_single_reward_of_a_yaml_file(self, tmp_path):
        (tmp_path / "run.yaml").write_text("reward_funcs: ssim\nreward_weights: 2\n")
        parser = TrlParser((StyleVARRewardArguments, StyleVARGRPOConfig))
        rewards, options = parser.parse_args_and_config(["--config", str(tmp_path / "run.yaml")])
        functions, names = load_rewards(rewards.reward_funcs)
        assert names == ["ssim"] and check_reward_weights(options, names).tolist() == [2.0]


class TestInvalidOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_generations": 1}, "`num_generations` must be 2 or more, but got 1"),
            ({"num_generations_eval": 1}, "`num_generations_eval` must be None, or 2 or more, but got 1"),
            (
                {"per_device_train_batch_size": 12, "gradient_accumulation_steps": 1},
                r"generation_batch_size \(12\) must be divisible by",
            ),
            ({"token_weighting": "gamma"}, "`token_weighting` must be one of panw, none, equal-per-scale"),
            ({"panw_gamma": -1.0}, "`panw_gamma` must be 0 or more"),
            ({"scoring": "exact"}, "`scoring` must be one of plain, sampled"),
            ({"scale_rewards": "prompt"}, "`scale_rewards` must be one of group, batch, none, but got prompt"),
            ({"temperature": 0.0}, "`temperature` must be"),
            ({"top_p": 1.5}, "`top_p` must be"),
            ({"beta": float("nan")}, "`beta` must be 0 or more, but got nan"),
            ({"epsilon": 1.5}, r"`epsilon_low` must be in \[0, 1\]"),
            ({"delta": 1.1}, "`delta` must be None or above"),
            ({"head_chunk_size": 0}, "`head_chunk_size` must be positive"),
            ({"rollout_batch_size": 0}, "`rollout_batch_size` must be positive"),
            ({"advantage_clip": 0.0}, "`advantage_clip` must be positive"),
            ({"max_failed_updates": 0}, "`max_failed_updates` must be positive"),
            ({"vmr_scale": 0}, "`vmr_scale` must be positive"),
            ({"vmr_eta": 0.0}, "`vmr_eta` must be positive"),
            ({"mask_threshold": 0.0}, r"`mask_threshold` must be in \(0, 1\]"),
            ({"style_strength": 2.0}, r"`style_strength` must be in \[-1, 1\]"),
            ({"reference_patience": -1}, "`reference_patience` must be 0 or more"),
            ({"iterative_reference": True, "beta": 0.0}, "`beta` must be positive with `iterative_reference`"),
        ],
    )
    def test_are_refused_by_name(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_config(**options)

    @pytest.mark.parametrize(
        "options",
        [
            {"use_vllm": True},
            {"vllm_gpu_memory_utilization": 0.5},
            {"max_completion_length": 100},
            {"loss_type": "dapo"},
            {"sync_ref_model": True},
            {"use_liger_kernel": True},
            {"remove_unused_columns": True},
            {"label_smoothing_factor": 0.1},
        ],
    )
    def test_of_the_parent_that_cannot_work_are_refused_by_name(self, options):
        (name,) = options
        with pytest.raises(ValueError, match=rf"`{name}` must be left at .*Leave it out"):
            make_config(**options)

    def test_every_option_that_trl_adds_is_read_or_refused(self):
        """What a later release of TRL adds is refused until somebody has looked at it."""
        source = "".join(path.read_text() for path in Path(grpo_trainer.__file__).parent.glob("*.py"))
        known = {option.name for option in dataclasses.fields(TrainingArguments)}
        for option in dataclasses.fields(GRPOConfig):
            if option.name in known:
                continue
            if option.name in grpo_config._READ:
                assert re.search(rf"args\.{option.name}\b|self\.{option.name}\b|ds3_gather", source), option.name
                continue
            with pytest.raises(ValueError, match=f"`{option.name}` must be left at"):
                make_config(**{option.name: object()})
