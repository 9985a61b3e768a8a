# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Training by two processes on CPU, connected by gloo, against training by one."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
from accelerate.commands.config.config_args import load_config_from_file
from test_grpo_trainer import make_grpo_trainer
from test_sft_trainer import make_model, make_trainer, make_triplets
from transformers import Trainer


ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "examples" / "accelerate_configs"
OPTIONS = {"max_steps": 4, "logging_steps": 1, "save_strategy": "steps", "save_steps": 2}

# Drop path is off: each process draws its own. BatchNorm is frozen by default.
WORKER = f"""
    import json, sys
    sys.path[:0] = [{str(ROOT / "tests")!r}]
    import conftest  # threads and caches as here
    {{preparation}}
    from test_sft_trainer import make_model, make_trainer, make_triplets

    folder, options = sys.argv[1], json.loads(sys.argv[2])

    def train(**more):
        data = {{{{"train": make_triplets(16), "evaluation": make_triplets(8, seed=1)}}}}
        trainer = make_trainer(folder, make_model(drop_path_rate=0.0), **data, **options)
        trainer.train(**more)
        return trainer

    trainer = train()
    history = trainer.state.log_history
    trainer.save_model()
    report = {{{{
        "world_size": trainer.args.world_size,
        "model": type(trainer.model_wrapped).__name__,
        "losses": [entry["loss"] for entry in history if "loss" in entry],
        "scales": [entry["loss_scale_2"] for entry in history if "loss_scale_2" in entry],
        "evaluation": [entry["eval_loss"] for entry in history if "eval_loss" in entry],
    }}}}
    again = train(resume_from_checkpoint=folder + "/checkpoint-2")
    report["resumed"] = [entry["loss"] for entry in again.state.log_history if "loss" in entry]
    if trainer.is_world_process_zero():
        with open(folder + "/report.json", "w") as file:
            json.dump(report, file)
    trainer.accelerator.wait_for_everyone()  # a process that leaves while another one writes may be aborted
    trainer.accelerator.end_training()
"""

# accelerate shards on accelerators alone; told that these are some, it shards on CPU just as well.
AS_ACCELERATORS = """
import accelerate.state as state

prepare = state.AcceleratorState.__init__

def as_accelerators(self, *args, **kwargs):
    shared = state.PartialState(cpu=True)._shared_state
    if shared["distributed_type"] == state.DistributedType.MULTI_CPU:
        shared["distributed_type"] = state.DistributedType.MULTI_GPU
    prepare(self, *args, **kwargs)

state.AcceleratorState.__init__ = as_accelerators
"""


def fsdp_environment() -> dict[str, str]:
    """What `accelerate launch` would tell its processes of `fsdp2.yaml`."""
    config = load_config_from_file(str(CONFIGS / "fsdp2.yaml")).fsdp_config
    environment = {"FSDP_TRANSFORMER_CLS_TO_WRAP": config.pop("fsdp_transformer_layer_cls_to_wrap")}
    environment.update({name.upper(): str(value) for name, value in config.items()})
    return {**environment, "ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_CPU": "true"}


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def run_two(launcher: list[str], tmp_path: Path, preparation: str = "", environment=None, **options) -> dict:
    """Report of two processes that share a batch of four."""
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(WORKER.replace("    {preparation}", textwrap.indent(preparation, "    ")).format())
    )
    folder = tmp_path / "two"
    options = {**OPTIONS, "per_device_train_batch_size": 2, "eval_strategy": "steps", "eval_steps": 2, **options}
    result = subprocess.run(
        [sys.executable, "-m", *launcher, str(script), str(folder), json.dumps(options)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
    return json.loads((folder / "report.json").read_text())


def run_one(tmp_path: Path, **options):
    data = {"train": make_triplets(16), "evaluation": make_triplets(8, seed=1)}
    options = {**OPTIONS, "per_device_train_batch_size": 4, "eval_strategy": "steps", "eval_steps": 2, **options}
    trainer = make_trainer(tmp_path / "one", make_model(drop_path_rate=0.0), **data, **options)
    trainer.train()
    return trainer


def check_report(report: dict, trainer, tmp_path: Path) -> None:
    history = trainer.state.log_history
    assert report["world_size"] == 2
    assert report["losses"] == pytest.approx([e["loss"] for e in history if "loss" in e], abs=1e-5)
    assert report["scales"] == pytest.approx([e["loss_scale_2"] for e in history if "loss_scale_2" in e], abs=1e-5)
    assert report["evaluation"] == pytest.approx([e["eval_loss"] for e in history if "eval_loss" in e], abs=1e-5)
    assert report["resumed"] == pytest.approx(report["losses"], abs=1e-6)
    checkpoints = {path.name for path in (tmp_path / "two").iterdir() if path.is_dir()}
    assert checkpoints == {"checkpoint-2", "checkpoint-4", "samples"}
    saved = safetensors.torch.load_file(tmp_path / "two" / "model.safetensors")
    for name, weight in trainer.model.state_dict().items():
        assert (saved[name] - weight).abs().max() < 1e-4, name


class TestAccelerateConfigs:
    @pytest.mark.parametrize(
        ("name", "kind", "processes"),
        [
            ("ddp", "MULTI_GPU", 4),
            ("ddp_cpu", "MULTI_GPU", 2),
            ("fsdp2", "FSDP", 4),
            ("deepspeed_zero2", "DEEPSPEED", 4),
            ("deepspeed_zero3", "DEEPSPEED", 4),
        ],
    )
    def test_are_what_their_names_say(self, name, kind, processes):
        config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))
        assert (config.distributed_type, config.num_processes, config.num_machines) == (kind, processes, 1)
        if kind == "FSDP":
            assert config.fsdp_config["fsdp_version"] == 2
            layer = config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"]
            assert layer in {type(module).__name__ for module in make_model().modules()}
        if kind == "DEEPSPEED":
            assert config.deepspeed_config["zero_stage"] == int(name[-1])
            assert config.deepspeed_config["gradient_accumulation_steps"] == "auto"
            assert config.mixed_precision == "no"


class TestDeepSpeed:
    @pytest.fixture(autouse=True)
    def as_if_launched_with_it(self, monkeypatch):
        create = Trainer.create_accelerator_and_postprocess

        def with_deepspeed(trainer):
            create(trainer)
            trainer.is_deepspeed_enabled = True

        monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", with_deepspeed)

    def test_supervised_training_is_in_float32(self, tmp_path):
        make_trainer(tmp_path)
        with pytest.raises(ValueError, match="`mixed_precision` must be no with DeepSpeed, but got bf16"):
            make_trainer(tmp_path, bf16=True)

    def test_reinforcement_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="`deepspeed` must be left out"):
            make_grpo_trainer(tmp_path)


class TestFullySharded:
    def test_reinforcement_refuses_the_first_version(self, tmp_path, monkeypatch):
        create = Trainer.create_accelerator_and_postprocess

        def with_fsdp(trainer):
            create(trainer)
            trainer.is_fsdp_enabled = True
            plugin = SimpleNamespace(fsdp_version=1)
            monkeypatch.setitem(trainer.accelerator.state._shared_state, "fsdp_plugin", plugin)

        monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", with_fsdp)
        with pytest.raises(ValueError, match="`fsdp_version` must be 2, but got 1"):
            make_grpo_trainer(tmp_path)


@pytest.mark.slow
class TestTwoProcesses:
    def test_data_parallel_with_cached_tokens_repeats_one_process(self, tmp_path):
        launcher = ["accelerate.commands.launch", "--config_file", str(CONFIGS / "ddp_cpu.yaml")]
        launcher += ["--main_process_port", free_port()]
        report = run_two(launcher, tmp_path, token_cache_dir=str(tmp_path / "cache"))
        assert report["model"] == "DistributedDataParallel"
        check_report(report, run_one(tmp_path), tmp_path)

    def test_fully_sharded_repeats_one_process(self, tmp_path):
        launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
        report = run_two(launcher, tmp_path, AS_ACCELERATORS, fsdp_environment())
        assert report["model"] == "FSDPStyleVARForConditionalGeneration"
        check_report(report, run_one(tmp_path), tmp_path)
        config = json.loads((tmp_path / "two" / "config.json").read_text())
        assert config["auto_map"]["AutoModel"] == "modeling_stylevar.StyleVARForConditionalGeneration"

    def test_fully_sharded_in_bfloat16_keeps_the_codebook(self, tmp_path):
        # Gradients of the image encoders' 1x1 maps are NaN now and then in bfloat16 on a CPU.
        options = {"bf16": True, "freeze_encoders": True}
        launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
        report = run_two(launcher, tmp_path, AS_ACCELERATORS, fsdp_environment(), **options)
        history = run_one(tmp_path, **options).state.log_history
        for name, values in {"loss": report["losses"], "loss_scale_2": report["scales"]}.items():
            assert values == pytest.approx([entry[name] for entry in history if name in entry], abs=1e-3)
