# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""GRPO by two processes on CPU, connected by gloo, against one."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_distributed import AS_ACCELERATORS, free_port, fsdp_environment
from test_grpo_trainer import LORA, logged, make_grpo_trainer, make_policy, make_prompts


ROOT = Path(__file__).parent.parent
# SGD: Adam would blow rounding of gradients near 0 up to the size of the learning rate.
OPTIONS = {"optim": "sgd", "learning_rate": 0.5, "max_steps": 3, "eval_strategy": "steps", "eval_steps": 3}
NAMES = ("reward", "reward_std", "kl", "entropy", "grad_norm", "told", "eval_reward", "eval_entropy")


def told_reward(completion_ids, log_metric, **columns):
    """The codes decide: equal rewards are equal rollouts."""
    rewards = [sum((place + 1) * code for place, code in enumerate(codes)) / 1e4 for codes in completion_ids]
    log_metric("told", sum(rewards) / len(rewards))
    return rewards


def make_trained_adapter():
    """Training goes on from it: it becomes part of the reference, and a fresh one is trained."""
    policy = make_policy(LORA)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return policy


def train(folder, resume=None, lora=False, **options):
    policy = make_trained_adapter() if lora else make_policy()
    evaluation = make_prompts(3, seed=1)
    trainer = make_grpo_trainer(folder, policy, told_reward, evaluation=evaluation, **{**OPTIONS, **options})
    advantages = []
    score = trainer._log_rewards
    trainer._log_rewards = lambda *args: (advantages.append(args[-1].advantages.tolist()), score(*args))
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    report = {name: logged(trainer, name) for name in NAMES}
    return trainer, {**report, "advantages": advantages, "world_size": trainer.args.world_size}


# The policy becomes the reference after the second step.
RENEWED = {"iterative_reference": True, "reference_emergency_kl": 1e-9, "reference_emergency_cooldown": 2}


def judge_gradients(trainer) -> list[bool]:
    """Verdicts of this process on gradients that are finite, and on such that have a NaN in the last process."""
    gradients = [torch.zeros_like(value) for value in trainer.model.parameters() if value.requires_grad]
    verdicts = [trainer._failures._is_finite(gradients)]
    if trainer.args.process_index == trainer.args.world_size - 1:
        gradients[-1].to_local().fill_(torch.nan)
    return [*verdicts, trainer._failures._is_finite(gradients)]


WORKER = """
    import json, sys
    sys.path[:0] = [{tests!r}]
    import conftest  # threads and caches as here
    {preparation}
    from test_grpo_distributed import judge_gradients, train

    folder, options = sys.argv[1], json.loads(sys.argv[2])
    resume = options.pop("resume", False)
    trainer, report = train(folder, **options)
    report["model"] = type(trainer.model_wrapped).__name__
    if resume:
        report["verdicts"] = judge_gradients(trainer)
        report["num_updates"] = trainer.reference.num_updates
        options.update(optim="adamw_torch", learning_rate=1e-2, save_strategy="steps", save_steps=2)
        for name, checkpoint in (("straight", None), ("resumed", folder + "-straight/checkpoint-2")):
            report[name] = train(folder + "-" + name, resume=checkpoint, **options)[1]["reward"]
    if trainer.is_world_process_zero():
        with open(folder + "/report.json", "w") as file:
            json.dump(report, file)
    trainer.accelerator.wait_for_everyone()  # a process that leaves while another one writes may be aborted
    trainer.accelerator.end_training()
"""
# The four rollouts of a prompt lie on both sides of the border between processes: 6 of 12 rows each.
HALVES = {"per_device_train_batch_size": 6, "per_device_eval_batch_size": 6}
WHOLE = {"per_device_train_batch_size": 12, "per_device_eval_batch_size": 12}


def train_with_two(folder: Path, preparation: str = "", environment=None, **options) -> dict:
    """Report of two processes."""
    script = folder.with_suffix(".py")
    preparation = textwrap.indent(preparation, "    ").strip()
    script.write_text(textwrap.dedent(WORKER.format(tests=str(ROOT / "tests"), preparation=preparation)))
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
    result = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), str(folder), json.dumps({**HALVES, **options})],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    return json.loads((folder / "report.json").read_text())


def check_same(two: dict, one: dict) -> None:
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert len(one["advantages"]) >= 2 and len(one["advantages"][0]) == 12
    for name in (*NAMES, "advantages"):
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(one[name]), atol=1e-4, rtol=1e-4, msg=name)


def check_saved(one: Path, *others: Path) -> None:
    """All folders hold the same trained weights."""
    expected = safetensors.torch.load_file(one / "model.safetensors")
    start = make_policy().state_dict()
    assert max((expected[name] - start[name]).abs().max().item() for name in start) > 1e-3
    for other in others:
        found = safetensors.torch.load_file(other / "model.safetensors")
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_two_processes_make_the_same_rollouts_advantages_and_update(tmp_path):
    two = train_with_two(tmp_path / "two")
    _, one = train(tmp_path / "one", **WHOLE)
    check_same(two, one)
    check_saved(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {**RENEWED, "num_iterations": 2, "eval_strategy": "no"}, {**RENEWED, "lora": True}],
    ids=["full", "renewed after reuse", "lora"],
)
def test_fully_sharded_repeats_one_process(options, tmp_path):
    two = train_with_two(tmp_path / "two", AS_ACCELERATORS, fsdp_environment(), resume=True, **options)
    assert two["model"].startswith("FSDP")
    assert two["verdicts"] == [True, False]
    trainer, one = train(tmp_path / "one", **WHOLE, **options)
    check_same(two, one)
    assert trainer.reference.num_updates == two["num_updates"] == bool(options) + options.get("lora", False)
    assert two["resumed"] == two["straight"]
    check_saved(tmp_path / "one", tmp_path / "two")
    check_saved(tmp_path / "two-straight", tmp_path / "two-resumed")
