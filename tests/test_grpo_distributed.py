# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
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
from test_distributed import free_port
from test_grpo_trainer import logged, make_grpo_trainer, make_policy, make_prompts


ROOT = Path(__file__).parent.parent
# SGD: Adam would blow rounding of gradients near 0 up to the size of the learning rate.
OPTIONS = {"optim": "sgd", "learning_rate": 0.5, "max_steps": 3, "eval_strategy": "steps", "eval_steps": 3}
NAMES = ("reward", "reward_std", "kl", "entropy", "grad_norm", "told", "eval_reward", "eval_entropy")


def told_reward(completion_ids, log_metric, **columns):
    """The codes decide: equal rewards are equal rollouts."""
    rewards = [sum((place + 1) * code for place, code in enumerate(codes)) / 1e4 for codes in completion_ids]
    log_metric("told", sum(rewards) / len(rewards))
    return rewards


def train(folder, **options):
    trainer = make_grpo_trainer(
        folder, make_policy(), told_reward, evaluation=make_prompts(3, seed=1), **{**OPTIONS, **options}
    )
    advantages = []
    score = trainer._log_rewards
    trainer._log_rewards = lambda *args: (advantages.append(args[-1].advantages.tolist()), score(*args))
    trainer.train()
    trainer.save_model()
    report = {name: logged(trainer, name) for name in NAMES}
    return trainer, {**report, "advantages": advantages, "world_size": trainer.args.world_size}


WORKER = """
    import json, sys
    sys.path[:0] = [{tests!r}]
    import conftest  # threads and caches as here
    from test_grpo_distributed import train

    trainer, report = train(sys.argv[1], **json.loads(sys.argv[2]))
    if trainer.is_world_process_zero():
        with open(sys.argv[1] + "/report.json", "w") as file:
            json.dump(report, file)
"""


@pytest.mark.slow
def test_two_processes_make_the_same_rollouts_advantages_and_update(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER.format(tests=str(ROOT / "tests"))))
    # The four rollouts of a prompt lie on both sides of the border between processes: 6 of 12 rows each.
    halves = {"per_device_train_batch_size": 6, "per_device_eval_batch_size": 6}
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
    result = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), str(tmp_path / "two"), json.dumps(halves)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    two = json.loads((tmp_path / "two" / "report.json").read_text())
    whole = {"per_device_train_batch_size": 12, "per_device_eval_batch_size": 12}
    _, one = train(tmp_path / "one", **whole)
    assert (one.pop("world_size"), two.pop("world_size")) == (1, 2)
    assert len(one["advantages"]) == 4 and len(one["advantages"][0]) == 12
    for name, values in one.items():
        torch.testing.assert_close(torch.tensor(two[name]), torch.tensor(values), atol=1e-4, rtol=1e-4, msg=name)
    saved = [safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    start = make_policy().state_dict()
    assert max((saved[0][name] - start[name]).abs().max().item() for name in start) > 1e-2
    for name, weight in saved[0].items():
        torch.testing.assert_close(saved[1][name], weight, atol=1e-5, rtol=1e-4, msg=name)
