# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Round trips over HTTP, to a Hub on 127.0.0.1: what is pushed in one process is read in another, with the package and
without it. The processes are few, for each imports torch and transformers; the tests look at what they reported.
"""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import PIL.Image
import pytest
import torch
from huggingface_hub import ModelCard, constants
from local_hub import LocalHub
from safetensors.torch import load

import stylevar_hf
from stylevar_hf import StyleVARForConditionalGeneration, StyleVARPipeline
from stylevar_hf.cli import main
from stylevar_hf.hub import inspect_folder, prepared_upload, push_folder
from stylevar_hf.hub.folders import ADAPTER_CONFIG_NAME


SOURCES = Path(stylevar_hf.__file__).parents[1]
FLAT_FILES = {path.name for path in Path(stylevar_hf.__file__).parent.glob("*_stylevar*.py")}
MODEL_FILES = FLAT_FILES | {
    "LICENSE",
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
}

# Pushes by every way there is; then what goes wrong on the way. Prints what the later tests look at.
PUBLISH = """
import contextlib, io, json, sys, torch
from stylevar_hf import StyleVARPipeline, StyleVARSFTConfig, StyleVARSFTTrainer
from stylevar_hf.cli import main

model_dir, adapter_dir, out = sys.argv[1:]
report = {}

def push(name, *argv):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(["push", *argv])
    report[name] = [code, output.getvalue(), errors.getvalue()]

licence = ["--license", "apache-2.0"]
push("command", model_dir, "--repo-id", "me/tiny", "--message", "First", "--private", *licence)
push("sharded", model_dir, "--repo-id", "me/sharded", "--max-shard-size", "200KB", *licence)
push("adapter", adapter_dir, "--repo-id", "me/tiny-lora", "--base-model", "me/tiny", "--merged", *licence)
push("exists", model_dir, "--repo-id", "me/tiny", *licence)
push("foreign", model_dir, "--repo-id", "someone/tiny", *licence)
push("wrong token", model_dir, "--repo-id", "me/other", "--token", "hf_wrong", *licence)
push("read only", model_dir, "--repo-id", "me/other", "--token", "hf_me_read", *licence)

pipe = StyleVARPipeline.from_pretrained(model_dir, device="cpu")
pipe.push_to_hub("me/by-pipe", license="apache-2.0", private=True)
pipe.model.push_to_hub("by-model", license="apache-2.0", private=True)
adapted = StyleVARPipeline.from_pretrained(model_dir, adapter=adapter_dir, device="cpu")
adapted.push_to_hub("me/by-adapted-pipe", base_model="me/tiny", license="apache-2.0", private=True)
args = StyleVARSFTConfig(output_dir=out, hub_model_id="me/by-trainer", hub_private_repo=True, use_cpu=True,
                         report_to="none", encoder_batch_norm="frozen")
trainer = StyleVARSFTTrainer(pipe.model, args=args, processing_class=pipe.image_processor)
trainer.push_to_hub(license="apache-2.0", dataset=["omnistyle:/data", "me/triplets"])
sys.stdout.write(json.dumps(report))
"""

# What both readers share.
_READ = """
import json, os, re, sys
from hashlib import sha256
from pathlib import Path

import PIL.Image
import torch
from huggingface_hub import ModelCard

out = {}

def signature(image):
    return sha256(image.tobytes()).hexdigest()

def attempt(load):
    try:
        load()
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return "loaded"

def usage(repo_id, index):
    code = re.findall(r"```python\\n(.*?)```", ModelCard.load(repo_id).text, re.DOTALL)[index]
    Path("stylized.png").unlink(missing_ok=True)
    exec(code, {})
    return signature(PIL.Image.open("stylized.png"))
"""

READ_WITH_PACKAGE = (
    _READ
    + """
from stylevar_hf import StyleVARConfig, StyleVARForConditionalGeneration, StyleVARImageProcessor, StyleVARPipeline

revision, adapter_dir, other_cache = sys.argv[1:]

def paint(*args, **kwargs):
    pipe = StyleVARPipeline.from_pretrained(*args, **kwargs)
    return signature(pipe("content.jpg", "style.jpg", seed=0))

out["model"] = paint("me/tiny", device="cpu")
out["usage"] = usage("me/tiny", 0)
out["revision"] = paint("me/moved", revision=revision, device="cpu")
out["cache_dir"] = paint("me/tiny", cache_dir=other_cache, token="hf_me", device_map="auto")
out["local_files_only"] = paint("me/tiny", cache_dir=other_cache, local_files_only=True, device="cpu")
out["sharded"] = paint("me/sharded", device="cpu")
out["merged"] = paint("me/tiny-lora", subfolder="merged", device="cpu")
out["adapter"] = paint("me/tiny-lora", device="cpu")
out["base and adapter"] = paint("me/tiny", adapter="me/tiny-lora", device="cpu")
out["base and local adapter"] = paint("me/tiny", adapter=adapter_dir, device="cpu")
out["dtype"] = str(StyleVARForConditionalGeneration.from_pretrained("me/tiny", dtype="bfloat16").dtype)
out["config"] = type(StyleVARConfig.from_pretrained("me/tiny", revision="main")).__name__
out["processor"] = dict(StyleVARImageProcessor.from_pretrained("me/tiny").size)
out["refused"] = {
    "gated": attempt(lambda: paint("someone/gated")),
    "private": attempt(lambda: paint("me/tiny", token="hf_someone")),
    "missing": attempt(lambda: paint("me/nothing")),
    "no revision": attempt(lambda: paint("me/tiny", revision="nowhere")),
    "published files": attempt(lambda: paint("someone/published")),
    "published config": attempt(lambda: StyleVARConfig.from_pretrained("someone/published")),
}
sys.stdout.write(json.dumps(out))
"""
)

READ_WITHOUT_PACKAGE = (
    "import sys\nsys.modules['stylevar_hf'] = None\n"
    + _READ
    + """
from transformers import AutoImageProcessor, AutoModel

out["refused"] = attempt(lambda: AutoModel.from_pretrained("me/tiny", trust_remote_code=False))
out["usage"] = usage("me/tiny", 1)
processor = AutoImageProcessor.from_pretrained("me/tiny", trust_remote_code=True)
content, style = (
    processor(PIL.Image.open(name), return_tensors="pt").pixel_values for name in ("content.jpg", "style.jpg")
)
merged = {"subfolder": "merged", "adapter_kwargs": {"subfolder": "merged"}}
for name, place in {"sharded": {}, "merged": merged, "adapter": {}}.items():
    repo_id = "me/sharded" if name == "sharded" else "me/tiny-lora"
    model = AutoModel.from_pretrained(repo_id, trust_remote_code=True, **place)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    output = model.generate(content, style, generator=torch.Generator().manual_seed(0))
    out[name] = signature(processor.postprocess(output.pixel_values)[0])
assert "stylevar_hf" not in sys.modules or sys.modules["stylevar_hf"] is None
sys.stdout.write(json.dumps(out))
"""
)

READ_OFFLINE = """
import json, sys
from stylevar_hf import StyleVARPipeline
from hashlib import sha256

pipes = {name: StyleVARPipeline.from_pretrained(name, device="cpu") for name in ("me/tiny", "me/tiny-lora")}
out = {name: sha256(pipe("content.jpg", "style.jpg", seed=0).tobytes()).hexdigest() for name, pipe in pipes.items()}
try:
    StyleVARPipeline.from_pretrained("me/by-pipe")
except OSError as error:
    out["missing"] = str(error)
sys.stdout.write(json.dumps(out))
"""


def start(code: str, *argv: str, cwd: Path, **environment: str) -> subprocess.Popen:
    """A fresh interpreter."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)],
        env={**os.environ, "PYTHONPATH": str(SOURCES), **environment},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output)


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        hub.add_user("me", write="hf_me", read="hf_me_read")
        hub.add_user("someone", write="hf_someone")
        yield hub


@pytest.fixture(scope="module")
def adapter_dir(tiny_model_dir, tmp_path_factory) -> Path:
    """A LoRA adapter on the tiny model that changes what it paints, with the card that PEFT writes."""
    from peft import LoraConfig

    from stylevar_hf.training.common.lora import add_adapter

    folder = tmp_path_factory.mktemp("adapter")
    model = add_adapter(StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir), LoraConfig(r=2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A working directory with `content.jpg` and `style.jpg`, as the cards' code expects it."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, seed in (("content.jpg", 0), ("style.jpg", 1)):
        noise = torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(seed)).mul(255).byte()
        PIL.Image.fromarray(noise.permute(1, 2, 0).numpy()).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def published(hub, tiny_model_dir, adapter_dir, tmp_path_factory) -> dict:
    """What the publishing process reported. Afterwards the Hub holds repositories for the readers, too."""
    home = tmp_path_factory.mktemp("publisher")
    process = start(
        PUBLISH, tiny_model_dir, adapter_dir, home / "run", cwd=home, **hub.environment(home, "hf_me")
    )  # fmt: skip
    report = finish(process)
    moved = hub.repos["me/moved"] = type(hub.repos["me/tiny"])("me")
    moved.commit("as published", hub.repos["me/tiny"].files())
    moved.commit("broken", {"config.json": b"{}", "model.safetensors": None})
    gated = hub.repos["someone/gated"] = type(moved)("someone", gated=True)
    gated.commit("as published", hub.repos["me/tiny"].files())
    raw = hub.repos["someone/published"] = type(moved)("someone")
    raw.commit("weights", dict.fromkeys(("StyleVAR-GRPO.pth", "StyleVAR_SFT.pth", "vae_ch160v4096z32.pth"), b"?"))
    return report


@pytest.fixture(scope="module")
def readers(hub, published, adapter_dir, pictures, tmp_path_factory) -> dict[str, dict]:
    """What three reading processes found: with the package, without it, and offline afterwards."""
    home, other_home = tmp_path_factory.mktemp("reader"), tmp_path_factory.mktemp("stranger")
    second = tmp_path_factory.mktemp("second")
    for name in ("content.jpg", "style.jpg"):
        (second / name).write_bytes((pictures / name).read_bytes())
    environment = hub.environment(home, "hf_me")
    revision = hub.repos["me/moved"].branches["main"][0].oid
    with_package = start(
        READ_WITH_PACKAGE, revision, adapter_dir, home / "other", cwd=pictures, **environment
    )  # fmt: skip
    stranger = start(READ_WITHOUT_PACKAGE, cwd=second, **hub.environment(other_home, "hf_me") | {"PYTHONPATH": ""})
    found = {"with": finish(with_package), "without": finish(stranger)}
    offline = {**environment, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    found["offline"] = finish(start(READ_OFFLINE, cwd=pictures, **offline))
    return found


@pytest.fixture(scope="module")
def expected(tiny_model_dir, adapter_dir, pictures) -> dict[str, str]:
    """What the folders paint here."""
    places = {"model": (tiny_model_dir, None), "adapter": (tiny_model_dir, adapter_dir)}
    names = [str(pictures / name) for name in ("content.jpg", "style.jpg")]
    signatures = {}
    for name, (base, adapter) in places.items():
        pipe = StyleVARPipeline.from_pretrained(base, adapter=adapter, device="cpu")
        signatures[name] = sha256(pipe(*names, seed=0).tobytes()).hexdigest()
    assert signatures["model"] != signatures["adapter"]
    return signatures


@pytest.fixture
def online(hub, monkeypatch):
    """This process talks to the local Hub."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between tries
    yield hub
    hub.fail.clear()
    hub.drop_uploads_after = None


def push(*argv: object, capsys) -> tuple[int, str, str]:
    code = main(["push", *map(str, argv)])
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def assert_one_line(result: tuple[int, str, str] | list, *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr."""
    code, output, errors = result
    lines = [line for line in errors.splitlines() if line.startswith("stylevar: error: ")]
    assert code == 2 and output == "" and len(lines) == 1, result
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.slow
class TestPush:
    def test_one_commit_holds_everything(self, hub, published):
        assert published["command"][0] == 0, published["command"]
        assert published["command"][1].startswith(f"{hub.url}/me/tiny/commit/")
        repo = hub.repos["me/tiny"]
        assert repo.private and repo.titles() == ["initial commit", "First"]
        assert set(repo.files()) == MODEL_FILES | {".gitattributes"}
        assert b"Apache License" in repo.files()["LICENSE"]

    def test_weights_and_configs_are_those_of_the_folder(self, hub, published, tiny_model_dir):
        files = hub.repos["me/tiny"].files()
        for name in ("model.safetensors", "config.json", "generation_config.json", "preprocessor_config.json"):
            assert files[name] == Path(tiny_model_dir, name).read_bytes(), name

    @pytest.mark.parametrize("name", ["by-pipe", "by-model", "by-trainer"])
    def test_every_way_publishes_the_same(self, name, hub, published):
        repo, reference = hub.repos[f"me/{name}"], hub.repos["me/tiny"].files()
        assert repo.private and len(repo.titles()) == 2
        files = repo.files()
        assert set(files) == set(reference)
        same = set(files) - {"README.md", "config.json", "model.safetensors"}
        assert all(files[one] == reference[one] for one in same)
        weights, others = load(files["model.safetensors"]), load(reference["model.safetensors"])
        assert weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in others)
        card = ModelCard(files["README.md"].decode())
        assert card.data.license == "apache-2.0" and f'from_pretrained("me/{name}")' in card.text

    def test_card_of_a_trainer_says_how_it_was_trained(self, hub, published):
        card = ModelCard(hub.repos["me/by-trainer"].files()["README.md"].decode())
        assert card.data.datasets == ["StyleXX/OmniStyle-150k", "me/triplets"]
        for text in ("## Training", "StyleVARSFTTrainer", "learning rate", "torch 2.", "states no licence"):
            assert text in card.text

    def test_large_weights_are_split(self, hub, published):
        files = hub.repos["me/sharded"].files()
        shards = [name for name in files if name.startswith("model-0")]
        assert len(shards) > 2 and "model.safetensors" not in files
        assert set(json.loads(files["model.safetensors.index.json"])["weight_map"].values()) == set(shards)

    def test_pipeline_with_an_adapter_publishes_the_adapter(self, hub, published):
        files = hub.repos["me/by-adapted-pipe"].files()
        assert "adapter_model.safetensors" in files and "model.safetensors" not in files and "config.json" not in files
        assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "me/tiny"

    def test_adapter_names_its_base_and_has_merged_weights_beside_it(self, hub, published):
        assert published["adapter"][0] == 0, published["adapter"]
        repo = hub.repos["me/tiny-lora"]
        files = repo.files()
        assert len(repo.titles()) == 2 and "model.safetensors" not in files
        assert json.loads(files[ADAPTER_CONFIG_NAME])["base_model_name_or_path"] == "me/tiny"
        assert {"merged/model.safetensors", "merged/config.json", "merged/modeling_stylevar.py"} <= set(files)
        card = ModelCard(files["README.md"].decode())
        assert card.data.base_model == "me/tiny" and card.data.base_model_relation == "adapter"
        assert card.data.library_name == "peft" and 'subfolder="merged"' in card.text

    def test_refusals_of_the_hub_are_one_line_each(self, published):
        assert_one_line(published["exists"], "me/tiny", "--repo-id must be new or empty", "--overwrite")
        assert_one_line(published["foreign"], "may not write to someone/tiny (403)")
        assert_one_line(published["wrong token"], "(401)", "hf auth login")
        assert_one_line(published["read only"], "may not write to me/other (403)")


@pytest.mark.slow
class TestLoad:
    @pytest.mark.parametrize(
        "how", ["model", "usage", "revision", "cache_dir", "local_files_only", "sharded"]
    )  # fmt: skip
    def test_model_paints_the_same_in_another_process(self, how, readers, expected):
        assert readers["with"][how] == expected["model"]

    @pytest.mark.parametrize("how", ["usage", "sharded"])
    def test_model_paints_the_same_without_the_package(self, how, readers, expected):
        assert readers["without"][how] == expected["model"]

    @pytest.mark.parametrize("how", ["adapter", "base and adapter", "base and local adapter", "merged"])
    def test_adapter_paints_the_same_in_another_process(self, how, readers, expected):
        assert readers["with"][how] == expected["adapter"]

    @pytest.mark.parametrize("how", ["adapter", "merged"])
    def test_adapter_paints_the_same_without_the_package(self, how, readers, expected):
        assert readers["without"][how] == expected["adapter"]

    def test_offline_what_was_loaded_loads_again(self, readers, expected):
        offline = readers["offline"]
        assert offline["me/tiny"] == expected["model"] and offline["me/tiny-lora"] == expected["adapter"]
        assert "couldn't find them in the cached files" in offline["missing"]

    def test_parts_load_alone(self, readers):
        found = readers["with"]
        assert (found["dtype"], found["config"]) == ("torch.bfloat16", "StyleVARConfig")
        assert found["processor"] == {"height": 16, "width": 16}

    def test_remote_code_needs_consent(self, readers):
        assert "trust_remote_code" in readers["without"]["refused"]

    def test_refusals_say_why(self, readers):
        refused = readers["with"]["refused"]
        assert all(message.startswith("OSError") for message in refused.values()), refused
        assert "gated repo" in refused["gated"]
        assert "not a valid model identifier" in refused["private"] and "me/nothing" in refused["missing"]
        assert "nowhere" in refused["no revision"]

    @pytest.mark.parametrize("how", ["published files", "published config"])
    def test_published_files_are_answered_with_the_command(self, how, readers):
        message = readers["with"]["refused"][how]
        assert 'StyleVARPipeline.from_pretrained("someone/published", variant="sft")' in message
        assert "`stylevar convert someone/published --variant sft -o stylevar-sft`" in message


class TestDryRun:
    def test_lists_files_and_sizes_and_touches_nothing(self, tiny_model_dir, online, capsys):
        before, asked = (
            {path: path.stat().st_mtime_ns for path in Path(tiny_model_dir).iterdir()},
            online.requests.copy(),
        )
        code, output, errors = push(tiny_model_dir, "--repo-id", "me/dry", "--dry-run", "--json", capsys=capsys)
        summary = json.loads(output)
        assert code == 0 and set(summary["files"]) == MODEL_FILES and summary["kind"] == "model"
        assert summary["files"]["model.safetensors"] == Path(tiny_model_dir, "model.safetensors").stat().st_size
        assert online.requests == asked and "me/dry" not in online.repos
        assert before == {path: path.stat().st_mtime_ns for path in Path(tiny_model_dir).iterdir()}

    def test_prints_a_table_and_what_is_missing(self, tiny_model_dir, capsys):
        code, output, errors = push(tiny_model_dir, "--repo-id", "me/dry", "--dry-run", capsys=capsys)
        assert code == 0 and f"bytes in {len(MODEL_FILES)} files would go to me/dry" in output
        assert "No licence" in errors

    def test_results_pictures_and_card_of_the_folder_go_along(self, tiny_model_dir, tmp_path):
        folder = copy_of(tiny_model_dir, tmp_path)
        (folder / "README.md").write_text(
            "---\nlicense: mit\n---\n\n# Mine\n\n![out](samples/out.png) ![no](../secret.png) path/to/this/folder\n"
        )
        (folder / "samples").mkdir()
        for name in ("samples/out.png", "samples/other.png", "../secret.png", "notes.txt"):
            (folder / name).write_bytes(b"x")
        (folder / ".eval_results" / "mine").mkdir(parents=True)
        (folder / ".eval_results" / "mine" / "set.yaml").write_text("- value: 1\n")
        (folder / "results.json").write_text('{"results": [{"dataset": "d", "metric": "ssim", "value": 0.5}]}')
        with prepared_upload(folder, "me/mine", tags=["new"]) as upload:
            extra = set(upload.files) - MODEL_FILES
            card = ModelCard(upload.files["README.md"].read_text())
            licence = upload.files["LICENSE"].read_text()
        assert extra == {"samples/out.png", "results.json", ".eval_results/set.yaml"}
        assert card.data.license == "mit" and card.data.metrics == ["ssim"] and "new" in card.data.tags
        assert card.data.eval_results[0].metric_value == 0.5
        assert "me/mine" in card.text and "path/to/this/folder" not in card.text
        assert licence.startswith("The weights are under mit") and "Apache License" in licence


def copy_of(folder: str | Path, tmp_path: Path) -> Path:
    copy = tmp_path / "checkpoint"
    copy.mkdir()
    for path in Path(folder).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


class TestInterruptedUpload:
    def test_resumes_and_is_one_commit(self, tiny_model_dir, online, tmp_path, capsys):
        model = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        for parameter in model.parameters():
            parameter.data.add_(1)  # weights that no other test has sent
        model.save_pretrained(tmp_path)
        argv = (
            str(tmp_path),
            "--repo-id",
            "me/interrupted",
            "--max-shard-size",
            "200KB",
            "--license",
            "mit",
            "--quiet",
        )
        online.drop_uploads_after = 2
        blobs = len(online.blobs)
        assert_one_line(push(*argv, capsys=capsys), "me/interrupted was interrupted", "not sent twice")
        repo = online.repos["me/interrupted"]
        assert len(online.blobs) == blobs + 2 and set(repo.files()) == {".gitattributes"}

        online.drop_uploads_after, puts = None, online.requests["lfs_put"]
        code, _, errors = push(*argv, capsys=capsys)
        shards = [name for name in repo.files() if name.startswith("model-0")]
        assert code == 0, errors
        assert online.requests["lfs_put"] - puts == len(shards) - 2
        assert len(repo.titles()) == 2

    def test_server_errors_and_conflicts_are_one_line(self, tiny_model_dir, online, capsys):
        argv = (tiny_model_dir, "--repo-id", "me/conflict", "--license", "mit", "--quiet")
        for status, words in (
            (409, "someone else"),
            (412, "someone else"),
            (500, "interrupted"),
            (404, "does not exist"),
        ):
            online.fail["commit", "me/conflict"] = status
            assert_one_line(push(*argv, capsys=capsys), "me/conflict", f"{status}", words)
            assert set(online.repos["me/conflict"].files()) == {".gitattributes"}

    def test_stale_weights_go_with_the_same_commit(self, tiny_model_dir, online, capsys):
        argv = (tiny_model_dir, "--repo-id", "me/again", "--license", "mit", "--quiet")
        assert push(*argv, capsys=capsys)[0] == 0
        assert push(*argv, "--overwrite", "--max-shard-size", "200KB", capsys=capsys)[0] == 0
        files = online.repos["me/again"].files()
        assert "model.safetensors" not in files and "model.safetensors.index.json" in files
        assert len(online.repos["me/again"].titles()) == 3

    def test_private_is_not_published_in_the_open(self, tiny_model_dir, online, capsys):
        argv = (tiny_model_dir, "--repo-id", "me/open", "--license", "mit", "--quiet")
        assert push(*argv, capsys=capsys)[0] == 0
        before = online.repos["me/open"].titles()
        answer = push(*argv, "--private", "--overwrite", capsys=capsys)
        assert_one_line(answer, "--private", "me/open", "settings on the Hub")
        assert online.repos["me/open"].titles() == before
        online.repos["me/open"].private = True
        assert push(*argv, "--private", "--overwrite", capsys=capsys)[0] == 0

    def test_branch_is_made_if_missing(self, tiny_model_dir, online, capsys):
        argv = (tiny_model_dir, "--repo-id", "me/branched", "--license", "mit", "--quiet", "--revision", "dev")
        assert push(*argv, capsys=capsys)[0] == 0
        assert push(*argv, "--overwrite", capsys=capsys)[0] == 0
        repo = online.repos["me/branched"]
        assert set(repo.files()) == {".gitattributes"}
        assert set(repo.files("dev")) == MODEL_FILES | {".gitattributes"} and len(repo.titles("dev")) == 2

    def test_card_and_processor_of_the_repository_are_kept(self, tiny_model_dir, online):
        push_folder(tiny_model_dir, "me/kept", license="mit", token="hf_me")
        theirs = {"README.md": b"---\nlicense: mit\n---\n# Mine\n", "LICENSE": b"mine"}
        online.repos["me/kept"].commit("card", theirs)
        push_folder(tiny_model_dir, "kept", license="mit", token="hf_me")
        assert online.repos["me/kept"].files().items() >= theirs.items()
        push_folder(tiny_model_dir, "me/kept", license="mit", token="hf_me", keep_existing=False)
        assert online.repos["me/kept"].files()["README.md"] != theirs["README.md"]


class TestBadInput:
    """Nothing of this reaches the Hub."""

    def refused(self, folder, *argv, capsys) -> tuple[int, str, str]:
        return push(folder, "--repo-id", "me/bad", "--quiet", *argv, capsys=capsys)

    def test_no_token(self, tiny_model_dir, monkeypatch, capsys):
        monkeypatch.delenv("HF_TOKEN", raising=False)
        result = self.refused(tiny_model_dir, capsys=capsys)
        assert_one_line(result, "--token must be given", "hf auth login")

    def test_offline(self, tiny_model_dir, capsys):
        assert_one_line(self.refused(tiny_model_dir, "--token", "hf_me", capsys=capsys), "HF_HUB_OFFLINE")

    @pytest.mark.parametrize("name", ["me/a/b", "me/with space", "me/..", "-me/x"])
    def test_name_invalid(self, name, tiny_model_dir, capsys):
        result = push(tiny_model_dir, f"--repo-id={name}", "--dry-run", capsys=capsys)
        assert_one_line(result, "--repo-id must be a name", repr(name))

    def test_folder_that_is_no_checkpoint(self, tmp_path, capsys):
        assert_one_line(self.refused(tmp_path / "none", "--dry-run", capsys=capsys), "DIR must be an existing folder")
        assert_one_line(self.refused(tmp_path, "--dry-run", capsys=capsys), "DIR must be a checkpoint")
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert_one_line(self.refused(tmp_path, "--dry-run", capsys=capsys), "model_type 'bert'")

    def test_published_files(self, tmp_path, capsys):
        for name in ("StyleVAR_SFT.pth", "vae_ch160v4096z32.pth"):
            (tmp_path / name).write_bytes(b"x")
        command = f"stylevar convert --vq {tmp_path}/vae_ch160v4096z32.pth --model {tmp_path}/StyleVAR_SFT.pth"
        assert_one_line(self.refused(tmp_path, "--dry-run", capsys=capsys), command)
        for load_part in (StyleVARPipeline.from_pretrained, StyleVARForConditionalGeneration.from_pretrained):
            with pytest.raises(OSError, match="stylevar convert --vq"):
                load_part(tmp_path)

    @pytest.mark.parametrize("damage", ["missing", "truncated", "misshapen"])
    def test_damaged_weights(self, damage, tiny_model_dir, tmp_path, capsys):
        folder = copy_of(tiny_model_dir, tmp_path)
        weights = folder / "model.safetensors"
        if damage == "missing":
            weights.unlink()
        elif damage == "truncated":
            weights.write_bytes(weights.read_bytes()[:1000])
        else:
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
        assert_one_line(self.refused(folder, "--dry-run", capsys=capsys), "checkpoint", "Save the model again")

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "extra.pkl", "renamed.dat"])
    def test_pickles_are_refused(self, name, tiny_model_dir, tmp_path, capsys):
        folder = copy_of(tiny_model_dir, tmp_path)
        torch.save({"x": 1}, folder / name)
        assert_one_line(self.refused(folder, "--dry-run", capsys=capsys), "pickle", name, "safetensors")

    def test_state_of_the_trainer_is_left_out(self, tiny_model_dir, tmp_path):
        folder = copy_of(tiny_model_dir, tmp_path)
        torch.save({"x": 1}, folder / "training_args.bin")
        with prepared_upload(folder, "me/bad") as upload:
            assert set(upload.files) == MODEL_FILES
            assert "training_args.bin" in upload.notices[0]

    def test_broken_card(self, tiny_model_dir, tmp_path, capsys):
        folder = copy_of(tiny_model_dir, tmp_path)
        (folder / "README.md").write_text("---\nlicense: [\n---\n# x\n")
        assert_one_line(self.refused(folder, "--dry-run", capsys=capsys), "valid README.md")

    def test_metadata_that_the_hub_refuses(self, tiny_model_dir, online, capsys):
        result = push(tiny_model_dir, "--repo-id", "me/bad-card", "--license", "bogus", "--quiet", capsys=capsys)
        assert_one_line(result, '"license" must be one of')
        assert set(online.repos["me/bad-card"].files()) == {".gitattributes"}

    def test_adapter_without_a_base_that_others_can_load(self, adapter_dir, tiny_model_dir, capsys):
        assert_one_line(self.refused(adapter_dir, "--dry-run", capsys=capsys), "--base-model must be the repository")
        assert_one_line(
            self.refused(tiny_model_dir, "--adapter", "--dry-run", capsys=capsys), "DIR must be an adapter"
        )
        assert_one_line(
            self.refused(tiny_model_dir, "--merged", "--dry-run", capsys=capsys), "--merged must be left out"
        )

    def test_size_of_shards(self, tiny_model_dir, capsys):
        result = self.refused(tiny_model_dir, "--dry-run", "--max-shard-size", "big", capsys=capsys)
        assert_one_line(result, "--max-shard-size must be a size")

    def test_adapter_needs_peft(self, adapter_dir, monkeypatch):
        monkeypatch.setattr("stylevar_hf.pipeline_stylevar.is_peft_available", lambda: False)
        with pytest.raises(ImportError, match="is an adapter, which needs peft"):
            StyleVARPipeline.from_pretrained(adapter_dir)

    def test_adapter_that_would_be_loaded_in_part_is_refused(self, adapter_dir, tiny_model_dir, tmp_path):
        folder = copy_of(adapter_dir, tmp_path)
        config = folder / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
        for model, options in ((tiny_model_dir, {"adapter": folder}), (folder, {})):
            with pytest.raises(ValueError, match="`adapter` must be a plain LoRA adapter, but got .* DoRA"):
                StyleVARPipeline.from_pretrained(model, **options)

    def test_kind_of_a_folder_with_both(self, adapter_dir, tiny_model_dir, tmp_path):
        folder = copy_of(tiny_model_dir, tmp_path)
        for path in adapter_dir.glob("adapter*"):
            (folder / path.name).write_bytes(path.read_bytes())
        assert inspect_folder(folder).kind == "model" and inspect_folder(folder, adapter=True).kind == "adapter"
