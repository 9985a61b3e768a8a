# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Every Python and shell block of the documents runs, on tiny stand-ins for the weights and the data that it names.

A block starts in a folder of its own, filled by the fixture `stand_ins`. The Python blocks of a document share their
names, in order. `pip` and `make` only check what they are asked for. What a block needs beyond that is in `BLOCKS`,
by its first line that is no comment, or by `DOCUMENT: LINE`; so is the reason of a block that cannot run. Shell blocks
that stand in several documents, word for word, run once.
"""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import datasets
import numpy as np
import PIL.Image
import pytest
import setuptools
import torch
from test_conversion import STATE, VAR_STATE, VQ_STATE, _torchvision_resnet

from stylevar_hf import StyleVARForConditionalGeneration


ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCK_SECONDS = 900  # many times what any block takes; a server would never end
SERVER = str(Path(__file__).with_name("command_server.py"))
ON_CPU = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
RUN, SHOWN = {"bash", "python"}, {"bibtex", "json", "text", "yaml"}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def first_line(self) -> str:
        return next(line.strip() for line in self.text.splitlines() if line.strip() and line.strip()[0] != "#")

    @property
    def keys(self) -> tuple[str, str]:
        """Where `BLOCKS` may have it, the first that does counts."""
        return f"{self.document}: {self.first_line}", self.first_line

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Preparation:
    """
    What is different when a block runs here.

    Args:
        not_run (`str`, *optional*): Why the block is not run at all.
        without (`tuple[str, ...]`): Stand-ins that the block makes itself.
        changes (`dict[str, str]`): Texts of the block and what takes their place; each must occur in it.
        names (`Callable[[], dict]`): Names that the text before a Python block speaks of.
        makes (`tuple[str, ...]`): Files and folders that must be there afterwards.
    """

    not_run: str | None = None
    without: tuple[str, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)
    names: Callable[[], dict] = dict
    makes: tuple[str, ...] = ()


def pixel_values() -> dict:
    names = ("content_pixel_values", "style_pixel_values", "target_pixel_values")
    return {name: torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16) for name in names}


def trainer_names() -> dict:
    return {"triplets": make_triplets()}


def metric_names() -> dict:
    rows = make_triplets(2)
    return {"images": rows["content"][:], "targets": rows["target"][:]}


def held_out_names() -> dict:
    return {"train": make_triplets(), "evaluation": make_triplets(4)}


# One short step on the CPU; the published batch is for a large GPU.
ONE_STEP = "--max_steps 1 --use_cpu --report_to none"
ONE_ROLLOUT = (
    f"{ONE_STEP} --num_generations 2 --per_device_train_batch_size 2 --gradient_accumulation_steps 1 --lora_r 2"
)
LADDER = "--blend-alphas 0.2,0.4,0.6,0.8"  # the stand-ins have four scales, the schedules with a name ten
TWO_TRIPLETS = {"--num-triplets 2000": "--num-triplets 4 --image-size 32 --processes 1 --teacher reinhard"}
FEW_PAIRS = "--num-pairs 2 --num-checks 1 --metrics ssim --baselines content --device cpu"

BLOCKS = {
    "stylevar evaluate --model stylevar-sft --benchmark corpus:photos,paintings -o evaluation-corpus \\": Preparation(
        changes={  # VGG-19 is a download
            "content_retrieval style_retrieval style_covered sharpness": "sharpness --baselines content "
            "--num-pairs 2 --num-checks 1 --device cpu",
        },
        makes=("evaluation-corpus/results.json",),
    ),
    # Painting
    "pip install -e .": Preparation(makes=("out.png",)),
    'pip install -e ".[test,docs]"': Preparation(not_run="these are the tests"),
    "docs/quickstart.md: from stylevar_hf import StyleVARForConditionalGeneration": Preparation(names=pixel_values),
    "docs/released_weights.md: from stylevar_hf import StyleVARPipeline": Preparation(
        changes={'"Senfier-LiqiJing/StyleVAR", variant="grpo"': '"stylevar-grpo"'}  # a download
    ),
    "stylevar convert --vq vae_ch160v4096z32.pth --model StyleVAR_SFT.pth --output stylevar-sft": Preparation(
        without=("stylevar-sft",),
        changes={"--output stylevar-sft": f"--output stylevar-sft {LADDER}"},
        makes=("stylevar-sft/model.safetensors", "out.png"),
    ),
    "stylevar stylize photos/ painting.jpg -o out/ --batch-size 4 --output-size content --model stylevar-sft": (
        Preparation(makes=("out/one__painting.png", "out/two__painting.png"))
    ),
    'pip install -e ".[demo]"': Preparation(
        changes={"stylevar demo --model stylevar-sft": "stylevar demo --help"}  # it would serve until it is stopped
    ),
    "docs/controls.md: from stylevar_hf import StyleVARPipeline, bundled_checkpoint": Preparation(
        changes={"paint_size=1024": "paint_size=160"}  # many windows
    ),
    "pip install 'stylevar-hf[video]'": Preparation(
        changes={"clip.mp4": "clip.gif", "out.mp4": "out.gif --model stylevar-sft"},  # needs no codec
        makes=("out.gif",),
    ),
    'pip install "stylevar-hf[serve]"': Preparation(changes={"serve --port 8000": "serve --help"}),  # likewise
    "from openai import OpenAI": Preparation(not_run="tests/test_server.py asks a server with this client"),
    "curl http://127.0.0.1:8000/v1/images/edits -F image=@content.jpg -F style=@style.jpg -F seed=0 "
    "-F response_format=url": Preparation(not_run="tests/test_server.py sends this form to a server"),
    # Data and supervised training
    'pip install -e ".[train,teach]"': Preparation(
        without=("my-style",),
        changes={
            **TWO_TRIPLETS,
            "--output_dir my-style": f"--output_dir my-style {ONE_STEP}",
        },
        makes=("taught/target/000003.png", "my-style/adapter_model.safetensors"),
    ),
    'pip install "stylevar-hf[train,teach]"': Preparation(changes=TWO_TRIPLETS, makes=("taught/manifest.json",)),
    "accelerate launch --num_processes 4 -m stylevar_hf.cli data make photographs paintings -o taught "
    "--teacher stylevar-sft": Preparation(
        changes={
            "accelerate launch --num_processes 4 -m stylevar_hf.cli": "stylevar",  # likewise
            "--teacher stylevar-sft": "--teacher stylevar-sft --num-triplets 2 --image-size 32",
        },
        makes=("taught/manifest.json",),
    ),
    "from stylevar_hf.data import load_triplets, make_triplets": Preparation(
        changes={'"magenta"': '"reinhard"', "num_triplets=2000": "num_triplets=4, image_size=32"}
    ),
    "stylevar sft --model_name_or_path stylevar-sft --use_peft --lora_r 16 --dataset disk:my-triplets "
    "--output_dir my-style": Preparation(
        without=("my-style",),
        changes={"--output_dir my-style": f"--output_dir my-style {ONE_STEP}"},
        makes=("my-style/adapter_model.safetensors",),
    ),
    "stylevar convert --vq vae_ch160v4096z32.pth --var var_d20.pth --resnet resnet18.pth --output start": Preparation(
        changes={
            "--output start\n": f"--output start {LADDER}\n",
            "ddp.yaml": "ddp_cpu.yaml --num_processes 1",
            "--bf16 --per_device_train_batch_size 4": "--per_device_train_batch_size 1",  # rarely in a CPU's hardware
            "--output_dir stylevar-sft": f"--output_dir sft {ONE_STEP}",
        },
        makes=("start/model.safetensors", "sft/model.safetensors"),
    ),
    "from stylevar_hf import StyleVARSFTConfig, StyleVARSFTTrainer": Preparation(names=trainer_names),
    "stylevar vq --dataset imagefolder:photos --output_dir stylevar-vq": Preparation(
        changes={
            "--output_dir stylevar-vq": f"--init_from stylevar-sft --output_dir stylevar-vq {ONE_STEP}",
            "--patch_nums 1 2 3 4 6 8 10 13 16 --output_dir larger-vq": f"--patch_nums 1 2 3 4 5 "
            f"--output_dir larger-vq {ONE_STEP}",
        },
        makes=("stylevar-vq/model.safetensors", "larger-vq/model.safetensors"),
    ),
    # Reinforcement
    "README.md: from stylevar_hf import StyleVARGRPOConfig, StyleVARGRPOTrainer": Preparation(names=trainer_names),
    'pip install -e ".[rl]"': Preparation(
        without=("stylevar-grpo",),
        changes={
            "stylevar download-dreamsim --cache-dir dreamsim": "stylevar download-dreamsim --help",  # no network
            "--reward_funcs dreamsim:cache_dir=dreamsim": "--reward_funcs ssim",
            "accelerate launch": "python",  # the block of docs/training.md launches
            "--output_dir stylevar-grpo": f"--output_dir stylevar-grpo {ONE_ROLLOUT}",
        },
        makes=("stylevar-grpo/adapter_model.safetensors",),
    ),
    "from peft import LoraConfig": Preparation(
        changes={'DreamSimReward(cache_dir="dreamsim")': '"ssim"'},  # its weights are a download
        names=trainer_names,
    ),
    "python examples/reward_server.py --reward texture-statistics --port 8900": Preparation(
        not_run="tests/test_remote_reward.py trains with this server"
    ),
    "python examples/measure_controls.py photos/ paintings/ -o measured/controls --pairs 200": Preparation(
        not_run="tests/test_measure_controls.py runs it on a tiny model"
    ),
    "docs/rewards.md: from stylevar_hf import StyleVARGRPOConfig, StyleVARGRPOTrainer": Preparation(
        names=held_out_names
    ),
    # Evaluation, publishing, performance
    'README.md: pip install -e ".[eval]"': Preparation(
        changes={"triplets:taught -o evaluation": f"triplets:my-triplets -o evaluation {FEW_PAIRS}"},
        makes=("evaluation/index.html",),
    ),
    'docs/evaluation.md: pip install -e ".[eval]"': Preparation(
        # AdaIN's weights are a download
        changes={"--style-strength -1:1:5 --weights adain=/data/adain": f"--style-strength -1:1:2 {FEW_PAIRS}"},
        makes=("evaluation/results.json", "evaluation/results.md", "evaluation/index.html"),
    ),
    "from stylevar_hf.evaluation.metrics import load_metric": Preparation(names=metric_names),
    "stylevar push stylevar-sft --repo-id me/stylevar-sft --license other --dry-run   "
    "# lists files and sizes, touches nothing": Preparation(
        changes={"--license other --private": "--license other --dry-run", "--merged": "--merged --dry-run"}  # no Hub
    ),
    "docs/publishing.md: from stylevar_hf import StyleVARPipeline": Preparation(
        changes={  # no Hub: the same from folders
            '"me/my-style", subfolder': '"my-style-with-merged", subfolder',
            '"me/my-style"': '"my-style"',
            '"me/stylevar-sft"': '"stylevar-sft"',
        }
    ),
    "stylevar evaluate --model bundled --benchmark procedural --style-strength -1:1:5 \\": Preparation(
        changes={
            "--model bundled": "--model stylevar-mini",  # its other name
            "-1:1:5": "-1:1:2",
            "-o evaluation-mini": "-o evaluation-mini --num-pairs 2 --num-checks 1 --device cpu",  # 200, 64
            "--dtype bfloat16 ": "",  # rarely in a CPU's hardware
        },
        makes=("evaluation-mini/results.json",),
    ),
    "python examples/benchmark_training.py --batch_size 16 --bf16 --model_name_or_path "
    "src/stylevar_hf/checkpoints/stylevar-mini": Preparation(
        changes={
            "--batch_size 16 --bf16": "--batch_size 1 --steps 2 --repeats 1 --source_size 64",
            "src/stylevar_hf/checkpoints/stylevar-mini": "stylevar-sft",
        }
    ),
    "stylevar benchmark --model stylevar-sft --dtype float32 bfloat16 --batch-size 1 4 --agreement \\": Preparation(
        changes={  # the published code is no package
            "--dtype float32 bfloat16 --batch-size 1 4": "--dtype float32 --batch-size 1 --repeats 1",
            "--published-code StyleVAR --vq vae_ch160v4096z32.pth --checkpoint StyleVAR_SFT.pth": "--quiet",
        }
    ),
}


def blocks_of(document: str) -> list[Block]:
    """The fenced blocks of a Markdown file."""
    blocks, lines = [], (ROOT / document).read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines, start=1):
        if start is None and line.lstrip().startswith("```"):
            start = number
        elif start is not None and line.strip() == "```":
            text = textwrap.dedent("\n".join(lines[start : number - 1])) + "\n"
            blocks.append(Block(document, start, lines[start - 1].strip().strip("`").strip(), text))
            start = None
    assert start is None, f"{document}:{start}: the block does not end"
    return blocks


ALL_BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
_BASH = {block.text: block for block in reversed(ALL_BLOCKS) if block.language == "bash"}  # the first of equal ones
RUN_BLOCKS = [block for block in ALL_BLOCKS if block.language in RUN and _BASH.get(block.text, block) is block]


def preparation_of(block: Block) -> Preparation:
    return next((BLOCKS[key] for key in block.keys if key in BLOCKS), Preparation())


def make_triplets(count: int = 8) -> datasets.Dataset:
    """Different contents, so that some are for training and some for validation."""
    rng = np.random.default_rng(0)
    columns = {
        name: [PIL.Image.fromarray(pixels) for pixels in rng.integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)]
        for name in ("content", "style", "target")
    }
    features = datasets.Features({name: datasets.Image() for name in columns})
    return datasets.Dataset.from_dict(columns, features=features)


def write_pictures(folder: Path) -> None:
    """The photographs and paintings that the documents speak of, and both large data sets in small."""
    rng = np.random.default_rng(1)

    def write(name: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)

    for name in ("photo", "painting", "a", "b", "c", "content", "style", "sea", "fire"):
        write(f"{name}.jpg")
    for name in ("photos/one", "photos/two", "photographs/one", "photographs/two", "paintings/one"):
        write(f"{name}.jpg")
    frames = [PIL.Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)) for _ in range(2)]
    frames[0].save(folder / "clip.gif", save_all=True, append_images=frames[1:], duration=40)
    write("data/omnistyle/style/oil.png")
    write("data/omnistyle/style/ink.png")
    for k in range(8):
        write(f"data/omnistyle/content/room {k}.png")
        write(f"data/omnistyle/target/room {k}.png&&oil.png.png")
        write(f"data/omnistyle/target/room {k}.png&&ink.png.png")
        for field_number in (1, 2, 3, 4):
            write(f"data/imagepulse/s{k}/{field_number}.png")
        images = ", ".join(f'"image_{n}": "{n}.png"' for n in (1, 2, 3, 4))
        (folder / f"data/imagepulse/s{k}/meta.json").write_text(f'{{{images}, "artifacts_in_image_2": false}}')


def write_published_weights(folder: Path) -> None:
    """Tiny files in the layout of the published ones and under their names."""
    files = {
        "vae_ch160v4096z32.pth": VQ_STATE,
        "StyleVAR_SFT.pth": STATE,
        "StyleVAR-GRPO.pth": STATE,
        "var_d20.pth": VAR_STATE,
        "resnet18.pth": _torchvision_resnet(),
    }
    for name, state in files.items():
        torch.save(state, folder / name)


def known_extras() -> dict[str, list[str]]:
    """What setup.py declares."""
    with mock.patch.object(setuptools, "setup") as setup:
        runpy.run_path(str(ROOT / "setup.py"))
    return setup.call_args.kwargs["extras_require"]


PIP = """
import re, sys

extras = {extras!r}
command, *targets = [word for word in sys.argv[1:] if word not in ("-e", "-U", "--upgrade")]
for target in targets:
    match = re.fullmatch(r"(?:[.]|stylevar-hf)(?:\\[([a-z, ]+)\\])?", target)
    if command != "install" or match is None:
        sys.exit(f"pip: the documents install this package only, not {{target!r}}")
    for extra in filter(None, (match[1] or "").split(",")):
        if extra.strip() not in extras:
            sys.exit(f"pip: setup.py has no extra {{extra.strip()!r}}, only {{extras}}")
"""


def write_adapter(folder: Path, base: Path) -> None:
    """An adapter of `base`, which it names as the documents do."""
    from peft import LoraConfig

    from stylevar_hf.training.common.lora import add_adapter

    model = add_adapter(StyleVARForConditionalGeneration.from_pretrained(base), LoraConfig(r=2))
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(folder)


def write_commands(folder: Path, server: str) -> None:
    """Commands of this environment, those of this package run by the server, and two that only check what they get."""
    run = f'exec "{sys.executable}"'
    ask = f'{run} -S -E "{SERVER}" run "{server}"'
    scripts = {
        "python": f'case "$1" in *.py) {ask} "$@";; esac\n{run} "$@"',
        "stylevar": f'{ask} stylevar "$@"',
        "accelerate": f'{ask} accelerate "$@"',
        "make": 'exec "$(PATH="${PATH#*:}" command -v make)" --dry-run "$@"',
        "pip": f'{run} "$(dirname "$0")/pip.py" "$@"',
    }
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (folder / "pip.py").write_text(PIP.format(extras=sorted(known_extras())))


@pytest.fixture(scope="module")
def command_server() -> Iterator[str]:
    """The socket of a process that runs the commands of the documents."""
    with tempfile.TemporaryDirectory() as folder:  # not pytest's: paths of sockets are short
        path = f"{folder}/commands"
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **ON_CPU}
        with subprocess.Popen([sys.executable, SERVER, "serve", path], env=environment) as process:
            while not os.path.exists(path) and process.poll() is None:
                time.sleep(0.05)
            yield path
            process.terminate()


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory, tiny_model_dir, command_server) -> Path:
    """Everything that the documents take for granted, tiny."""
    folder = tmp_path_factory.mktemp("stand-ins")
    write_pictures(folder)
    write_published_weights(folder)
    make_triplets().save_to_disk(folder / "my-triplets")
    for name in ("stylevar-sft", "stylevar-grpo", "my-style-with-merged/merged"):
        shutil.copytree(tiny_model_dir, folder / name)
    write_adapter(folder / "my-style", folder / "stylevar-sft")
    write_commands(folder / "bin", command_server)
    for name in ("examples", "Makefile", "setup.py", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def sandbox(stand_ins, tmp_path, monkeypatch) -> Path:
    """A copy of the stand-ins as the current folder."""
    folder = tmp_path / "sandbox"
    shutil.copytree(stand_ins, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def names_so_far() -> dict[str, dict]:
    """What the Python blocks of each document have defined."""
    return {}


def prepared(block: Block, preparation: Preparation, sandbox: Path) -> str:
    """The text of a block as it runs here."""
    text = block.text
    for old, new in preparation.changes.items():
        assert old in text, f"{block}: `BLOCKS` changes {old!r}, which the block does not contain any more"
        text = text.replace(old, new)
    for name in preparation.without:
        path = sandbox / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return text.replace("/data/", f"{sandbox}/data/")


def run_bash(text: str, sandbox: Path, block: Block) -> None:
    environment = {
        **os.environ,
        "PATH": f"{sandbox / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        **ON_CPU,
    }
    result = subprocess.run(
        ["timeout", str(BLOCK_SECONDS), "bash", "-euo", "pipefail", "-c", text],
        cwd=sandbox,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 124, f"{block}: still running after {BLOCK_SECONDS} s. {explained(block)}"
    assert result.returncode == 0, f"{explained(block)}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"


def run_python(text: str, block: Block, names: dict) -> None:
    code = compile("\n" * block.line + text, str(ROOT / block.document), "exec")
    try:
        exec(code, names)
    except Exception as error:
        raise AssertionError(f"{explained(block)}\n{type(error).__name__}: {error}") from error


def explained(block: Block) -> str:
    return (
        f"{block} failed. Fix it; or, if it needs files, names or other arguments to run on a bare machine, say so "
        f"in tests/test_readme.py: BLOCKS[{block.first_line!r}] = Preparation(...)."
    )


class TestDocuments:
    @pytest.mark.parametrize("block", RUN_BLOCKS, ids=str)
    @pytest.mark.slow
    def test_block_runs(self, block, sandbox, names_so_far):
        preparation = preparation_of(block)
        if preparation.not_run:
            pytest.skip(f"{block}: {preparation.not_run}")
        text = prepared(block, preparation, sandbox)
        if block.language == "bash":
            run_bash(text, sandbox, block)
        else:
            names = names_so_far.setdefault(block.document, {"__name__": "__main__"})
            names.update(preparation.names())
            run_python(text, block, names)
        for name in preparation.makes:
            assert (sandbox / name).exists(), f"{block} did not make {name}"

    def test_every_block_says_what_it_is(self):
        unknown = {
            str(block): block.language
            for block in ALL_BLOCKS
            if block.language not in RUN | SHOWN and not block.language.startswith("{")  # a directive of the manual
        }
        assert not unknown, f"blocks in these languages are neither run nor known: {unknown}"

    def test_every_preparation_is_needed(self):
        used = {key for block in ALL_BLOCKS if block.language in RUN for key in block.keys}
        assert not BLOCKS.keys() - used, "no block starts with these lines any more: remove them from `BLOCKS`"


class TestMachinery:
    """What would let a broken block pass."""

    @staticmethod
    def block(language: str, text: str) -> Block:
        return Block("README.md", 1, language, text)

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ('pip install -e ".[nothing]"', "no extra 'nothing'"),
            ("pip install leftpad", "not 'leftpad'"),
            ("pip uninstall stylevar-hf", "not 'stylevar-hf'"),
            ("false\ntrue", "BLOCKS\\['false'\\] = "),
            ("make no-such-target", "no-such-target"),
        ],
    )
    def test_wrong_command_fails(self, command, message, sandbox):
        with pytest.raises(AssertionError, match=message):
            run_bash(command, sandbox, self.block("bash", command))

    def test_right_commands_pass(self, sandbox):
        commands = 'pip install -e ".[test,quality]"\npip install .\nmake style\n'
        run_bash(commands, sandbox, self.block("bash", commands))

    def test_broken_python_names_its_line(self):
        with pytest.raises(AssertionError, match="README.md:1 failed.*\n.*NameError: name 'nowhere'"):
            run_python("nowhere\n", self.block("python", "nowhere\n"), {})

    def test_change_that_no_longer_applies_fails(self, sandbox):
        block = self.block("bash", "stylevar --version\n")
        with pytest.raises(AssertionError, match="does not contain any more"):
            prepared(block, Preparation(changes={"--help": "-h"}), sandbox)
