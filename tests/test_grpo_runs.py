# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Whole runs of GRPO: evaluation, pictures, a moving reference, checkpoints and resumption."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import PIL.Image
import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_grpo_trainer import (
    LORA,
    Watch,
    assert_same_weights,
    code_share,
    logged,
    make_grpo_trainer,
    make_policy,
    make_prompts,
    weights_of,
)
from transformers import TrainerCallback, TrainerControl

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline
from stylevar_hf.training.grpo import grpo_trainer


ROOT = Path(__file__).parent.parent
# With a reward that grows from step to step: a move after every second one.
MOVING = {
    "iterative_reference": True,
    "reference_gain": 1e-4,
    "reference_patience": 0,
    "reference_min_steps": 2,
    "num_generations": 8,
    "optim": "sgd",
    "learning_rate": 0.2,
}


def growing_reward(completion_ids, trainer_state, **columns):
    return [share + trainer_state.global_step for share in code_share(completion_ids)]


def make_saved_policy(folder, lora=None):
    """A policy whose base is on disk, as training starts from one."""
    make_policy().save_pretrained(folder)
    model = StyleVARForConditionalGeneration.from_pretrained(folder)
    if lora is None:
        return model
    from peft import LoraConfig

    from stylevar_hf.training import add_adapter

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return add_adapter(model, LoraConfig(**lora))


@torch.no_grad()
def get_logits(model):
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2)]
    return model.eval()(*images, labels=torch.randint(64, (2, 30), generator=generator)).logits


class TestEvaluation:
    def test_draws_the_same_rollouts_each_time_and_leaves_training_alone(self, tmp_path):
        runs = []
        for options in ({"eval_strategy": "steps", "eval_steps": 1, "evaluation": make_prompts(3, seed=1)}, {}):
            trainer = make_grpo_trainer(tmp_path, max_steps=2, **options)
            trainer.train()
            runs.append(trainer)
        for name in ("reward", "grad_norm"):  # the order of rows is the same too, whatever evaluation drew
            assert logged(runs[0], name) == logged(runs[1], name)
        logs = [entry for entry in runs[0].state.log_history if "eval_reward" in entry]
        assert len(logs) == 2 and logs[0]["eval_kl"] > 0
        assert all(f"eval_kl_scale_{scale}" in logs[0] for scale in range(4))
        again = [runs[0].evaluate() for _ in range(2)]
        names = ("eval_reward", "eval_rewards/code_share/std", "eval_kl", "eval_entropy")
        assert [again[0][name] for name in names] == [again[1][name] for name in names]
        assert [again[0][name] for name in names] == pytest.approx([logs[1][name] for name in names])

    def test_rollouts_differ_from_those_of_training(self, tmp_path, monkeypatch):
        drawn, draw = [], grpo_trainer.draw_rollouts

        def watched(*args, **kwargs):
            drawn.append(draw(*args, **kwargs))
            return drawn[-1]

        monkeypatch.setattr(grpo_trainer, "draw_rollouts", watched)
        one = make_prompts(1)
        options = {"train": one, "evaluation": one, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
        trainer = make_grpo_trainer(tmp_path, max_steps=2, learning_rate=0.0, **options)
        trainer.train()
        trainer.evaluate()
        codes = [rollouts.codes for rollouts in drawn]
        assert len(codes) == 3
        assert not any(torch.equal(codes[a], codes[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        assert len({tuple(row) for rollouts in codes for row in rollouts.tolist()}) == 12

    def test_sets_have_metrics_of_their_own(self, tmp_path):
        sets = {"a": make_prompts(1), "b": make_prompts(1, seed=1)}
        options = {"per_device_eval_batch_size": 4, "eval_strategy": "steps", "eval_steps": 1, "max_steps": 1}
        trainer = make_grpo_trainer(tmp_path, evaluation=sets, metric_for_best_model="eval_a_reward", **options)
        trainer.train()
        found = {name: logged(trainer, f"eval_{name}_reward") for name in sets}
        assert len(found["a"]) == len(found["b"]) == 1 and found["a"] != found["b"]
        assert not logged(trainer, "eval_reward") and trainer.state.best_metric == found["a"][0]
        metrics = trainer.evaluate(sets["b"], metric_key_prefix="test")
        assert metrics["test_reward"] == trainer.evaluate(sets["b"])["eval_reward"]


class TestSavedAdapter:
    """What is saved loads by plain `from_pretrained`, also where an adapter alone would not."""

    def check(self, trainer, folder):
        trainer.train()
        trainer.save_model()
        loaded = StyleVARForConditionalGeneration.from_pretrained(folder)
        assert loaded.lm_head.weight.shape == trainer._unwrapped().lm_head.weight.shape
        merged = trainer.model.merge_and_unload().state_dict()
        for name, value in loaded.state_dict().items():
            torch.testing.assert_close(value, merged[name], atol=1e-5, rtol=1e-5)

    def test_without_a_reference_and_with_its_base_nowhere(self, tmp_path):
        self.check(make_grpo_trainer(tmp_path, make_policy(LORA), beta=0.0, max_steps=1), tmp_path)

    def test_under_another_name(self, tmp_path):
        base = make_policy()
        base.save_pretrained(tmp_path / "base")
        base = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "base")
        model = get_peft_model(base, LoraConfig(**LORA, target_modules=["fc1"]), adapter_name="style")
        self.check(make_grpo_trainer(tmp_path / "out", model, max_steps=1), tmp_path / "out")

    def test_with_its_base_in_a_subfolder(self, tmp_path):
        StyleVARForConditionalGeneration(make_policy().config).save_pretrained(tmp_path / "base")  # another one
        make_policy().save_pretrained(tmp_path / "base" / "sub")
        args = {"model_init_kwargs": {"subfolder": "sub"}, "max_steps": 1, "peft_config": LoraConfig(**LORA)}
        self.check(make_grpo_trainer(tmp_path / "out", str(tmp_path / "base"), **args), tmp_path / "out")


class TestPictures:
    def test_show_references_and_rollouts_with_their_rewards(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, num_rollout_images=3, max_steps=2, logging_steps=2)
        trainer.train()
        files = sorted(path.name for path in (tmp_path / "rollouts").iterdir())
        assert files == ["rollouts.jsonl", "step-2.png"]
        line = json.loads((tmp_path / "rollouts" / "rollouts.jsonl").read_text())
        assert line["step"] == 2 and len(line["rewards"]) == len(line["rewards/code_share"]) == 4
        assert line["content_id"].startswith("content-")
        picture = PIL.Image.open(tmp_path / "rollouts" / "step-2.png")
        assert picture.size == (6 * 18 - 2, 16 + 14)  # content, style, target and three rollouts

    def test_line_is_json_and_has_what_rewards_logged(self, tmp_path):
        def sometimes(completion_ids, log_extra, **columns):
            scores = code_share(completion_ids)
            log_extra("length", [len(ids) for ids in completion_ids])
            return [math.nan, *scores[1:]]

        trainer = make_grpo_trainer(tmp_path, rewards=sometimes, num_rollout_images=3, max_steps=1)
        trainer.train()
        text = (tmp_path / "rollouts" / "rollouts.jsonl").read_text()
        line = json.loads(text, parse_constant=pytest.fail)
        assert line["rewards"][0] is None and line["rewards"][1:] == line["rewards/sometimes"][1:]
        assert line["length"] == [30] * 4

    def test_are_shown_by_the_trackers(self, tmp_path, monkeypatch):
        shown = []

        class TensorBoard(TrainerCallback):
            tb_writer = SimpleNamespace(add_image=lambda name, image, step, dataformats: shown.append(image.shape))

        for name in ("wandb", "trackio"):
            stub = ModuleType(name)
            stub.__spec__, stub.run = ModuleSpec(name, None), True
            stub.Image, stub.log = lambda picture, caption: picture, shown.append
            monkeypatch.setitem(sys.modules, name, stub)
        trainer = make_grpo_trainer(tmp_path, num_rollout_images=3, max_steps=1, callbacks=[TensorBoard()])
        trainer.train()
        size = (6 * 18 - 2, 16 + 14)
        assert shown == [(size[1], size[0], 3)]
        trainer.args.report_to = ["wandb", "trackio"]  # after training: TRL asks for the real packages before
        trainer.state.global_step = 2
        trainer.callback_handler.on_log(trainer.args, trainer.state, TrainerControl(), {})
        assert [values["rollouts"].size for values in shown[2:]] == [size, size]


class TestMovingReference:
    def test_moves_in_an_emergency_beyond_the_limit(self, tmp_path):
        def shake(model, state):
            if state.global_step == 2:
                with torch.no_grad():
                    model.lm_head.weight.add_(torch.randn_like(model.lm_head.weight))

        options = {"iterative_reference": True, "reference_emergency_kl": 2.0, "reference_emergency_cooldown": 1}
        trainer = make_grpo_trainer(tmp_path, max_steps=4, kl_limit=1.5, **options)
        trainer.add_callback(Watch(on_step_end=shake))
        trainer.train()
        assert logged(trainer, "rollouts_left_out/kl")[2] == 8 and trainer.reference.num_updates == 1
        assert logged(trainer, "rollouts_left_out/kl")[3] == 0

    def test_sees_the_reward_of_all_generations_of_an_update(self, tmp_path):
        seen = []
        options = {"steps_per_generation": 1, "gradient_accumulation_steps": 3, "max_steps": 2, "logging_steps": 1}
        trainer = make_grpo_trainer(tmp_path, train=make_prompts(12), **options)
        trainer.add_callback(Watch(lambda model, state: seen.append(trainer.last_step_reward)))
        trainer.train()
        assert seen == pytest.approx(logged(trainer, "reward")) and len(seen) == 2

    def test_sees_the_reward_of_a_generation_once(self, tmp_path):
        seen = []
        trainer = make_grpo_trainer(tmp_path, num_iterations=2, max_steps=4)
        trainer.add_callback(Watch(lambda model, state: seen.append(trainer.last_step_reward)))
        trainer.train()
        assert seen[0::2] == pytest.approx(logged(trainer, "reward")) and seen[1::2] == [None, None]

    @pytest.mark.slow
    @pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
    def test_is_saved_resumed_and_loaded_plainly(self, tmp_path, lora):
        kls = []
        options = {**MOVING, "save_strategy": "steps", "save_steps": 3, "max_steps": 5, "rewards": growing_reward}
        whole = make_grpo_trainer(tmp_path / "run", make_saved_policy(tmp_path / "base", lora), **options)
        whole.add_callback(Watch(lambda model, state: kls.append((whole.reference.num_updates, whole.last_step_kl))))
        whole.train()
        assert [count for count, _ in kls] == [0, 0, 1, 1, 2]  # before and after the checkpoint
        moved = [kl < 1e-9 for _, kl in kls]  # 0 but for rounding: without a gradient, attention adds up in parts
        assert moved == [True, False, True, False, True]  # measured from the new reference
        assert logged(whole, "reference/num_updates")[-1] == 2

        # 1. Plain loading gives the policy, from the final folder and from a checkpoint
        whole.save_model()
        for folder in (tmp_path / "run", tmp_path / "run" / "checkpoint-5"):
            plain = StyleVARForConditionalGeneration.from_pretrained(folder)
            torch.testing.assert_close(get_logits(plain), get_logits(whole.model), atol=1e-4, rtol=1e-4)
        assert not (tmp_path / "run" / "adapter_config.json").exists()
        StyleVARPipeline.from_pretrained(tmp_path / "run")

        # 2. A resumed run repeats what follows bit by bit, its reference included
        again = make_grpo_trainer(tmp_path / "run", make_saved_policy(tmp_path / "base2", lora), **options)
        again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
        assert_same_weights(weights_of(whole.model), weights_of(again.model))
        assert again.reference.num_updates == whole.reference.num_updates
        assert again.iterative_reference.schedule.state_dict() == whole.iterative_reference.schedule.state_dict()

    def test_adapter_alone_is_saved_before_the_first_move(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path / "run", make_saved_policy(tmp_path / "base", LORA))
        trainer.train()
        trainer.save_model()
        assert (tmp_path / "run" / "adapter_model.safetensors").is_file()
        assert not (tmp_path / "run" / "model.safetensors").exists()
        plain = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "run")
        torch.testing.assert_close(get_logits(plain), get_logits(trainer.model), atol=1e-5, rtol=1e-5)

    def test_emergency_goes_back_to_the_best_policy(self, tmp_path):
        options = {**MOVING, "reference_gain": 10.0, "reference_emergency_kl": 1e-9, "reference_emergency_cooldown": 2}
        trainer = make_grpo_trainer(tmp_path, max_steps=3, rewards=growing_reward, **options)
        trainer.train()
        assert trainer.reference.num_updates >= 1
        assert logged(trainer, "reference/num_updates")[-1] >= 1


class TestResumption:
    OPTIONS = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5}

    @pytest.mark.slow
    def test_after_sigkill_or_inside_an_epoch_repeats_the_run_bit_by_bit(self, tmp_path):
        options = {**self.OPTIONS, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
        whole = make_grpo_trainer(tmp_path / "whole", make_policy(LORA), **options)
        whole.train()
        script = f"""
            import os, signal, sys
            sys.path[:0] = [{str(ROOT / "tests")!r}]
            import conftest
            from test_grpo_trainer import LORA, Watch, make_grpo_trainer, make_policy

            def kill(model, state):
                if state.global_step == 3:  # in the middle of the step after the third
                    os.kill(os.getpid(), signal.SIGKILL)

            folder = {str(tmp_path / "killed")!r}
            make_grpo_trainer(folder, make_policy(LORA), callbacks=[Watch(kill)], **{options!r}).train()
        """
        result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=600)
        assert result.returncode == -signal.SIGKILL, result.stderr.decode()[-2000:]
        assert not (tmp_path / "killed" / "checkpoint-4").exists()
        os.makedirs(tmp_path / "killed" / ".saving" / "checkpoint-4")  # as if it had died while saving

        resumed = make_grpo_trainer(tmp_path / "killed", make_policy(LORA), **options)
        resumed.train(resume_from_checkpoint="auto")
        assert resumed.state.global_step == 5
        assert_same_weights(weights_of(whole.model), weights_of(resumed.model))
        for name in ("reward", "kl", "grad_norm"):
            assert logged(resumed, name) == logged(whole, name)

        inside = make_grpo_trainer(tmp_path / "whole", make_policy(LORA), **options)  # inside the second epoch
        inside.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
        assert inside.state.global_step == 5
        assert_same_weights(weights_of(whole.model), weights_of(inside.model))

    @pytest.mark.parametrize("last", [2, 4, 5])
    def test_stream_goes_on_where_it_was(self, tmp_path, last):
        rows = make_prompts(5)  # two of them an update: the fifth is left over

        def train(resume=None):
            seen = []
            trainer = make_grpo_trainer(
                tmp_path,
                rewards=lambda content_id, **columns: seen.append(content_id[::4]) or code_share(**columns),
                train=rows.to_iterable_dataset(),
                **{**self.OPTIONS, "max_steps": 6},
            )
            trainer.train(resume_from_checkpoint=resume)
            return seen[1:], weights_of(trainer.model)  # the first call was a try

        whole, weights = train()
        assert len({tuple(content_ids) for content_ids in whole[2:4]}) == 2
        rest, resumed = train(str(tmp_path / f"checkpoint-{last}"))
        assert rest == whole[last:]
        assert_same_weights(weights, resumed)

    @pytest.mark.parametrize(
        ("reuse", "last"), [({"num_iterations": 2}, (4, 5)), ({"steps_per_generation": 2}, (8, 9, 10, 11))]
    )
    def test_within_a_generation_keeps_its_phase(self, tmp_path, monkeypatch, reuse, last):
        windows, generators = [], grpo_trainer.rollout_generators

        def watched(seed, window, *args):
            windows.append(window)
            return generators(seed, window, *args)

        monkeypatch.setattr(grpo_trainer, "rollout_generators", watched)
        options = {**self.OPTIONS, **reuse, "shuffle_dataset": False, "beta": 0.0, "train": make_prompts(12)}
        whole = make_grpo_trainer(tmp_path, **options)
        whole.train()
        assert windows == [0, 1, 2]
        seen = []
        again = make_grpo_trainer(
            tmp_path, rewards=lambda **columns: seen.append(columns) or code_share(**columns), **options
        )
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
        assert windows[3:] == [1, 2]  # the second half of window 1 is drawn again, then window 2 at its time
        assert again._step == whole._step == 5
        assert seen[-1]["content_id"] == [f"content-{row}" for row in last for _ in range(4)]

    def test_goes_back_to_the_best_checkpoint(self, tmp_path):
        options = {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True, "max_steps": 3}
        options |= {"save_strategy": "steps", "save_steps": 1, "metric_for_best_model": "eval_reward"}
        model = make_saved_policy(tmp_path / "base", LORA)
        trainer = make_grpo_trainer(
            tmp_path / "run", model, evaluation=make_prompts(2, seed=1), greater_is_better=True, **options
        )
        trainer.train()
        rewards = logged(trainer, "eval_reward")
        assert trainer.state.best_global_step == rewards.index(max(rewards)) + 1
        best = StyleVARForConditionalGeneration.from_pretrained(trainer.state.best_model_checkpoint)
        torch.testing.assert_close(get_logits(best), get_logits(trainer.model), atol=1e-5, rtol=1e-5)
