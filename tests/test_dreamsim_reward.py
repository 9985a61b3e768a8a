# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path

import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from stylevar_hf.commands import download_dreamsim as command
from stylevar_hf.commands.base import report_error
from stylevar_hf.measures.base import resize_bicubic
from stylevar_hf.measures.dreamsim import build_dreamsim
from stylevar_hf.measures.dreamsim_download import download_dreamsim
from stylevar_hf.measures.dreamsim_files import DEFAULT_DREAMSIM_TYPE, DREAMSIM_FILES, default_dreamsim_dir
from stylevar_hf.rewards import DreamSimReward


dreamsim_package = pytest.importorskip("dreamsim")

# What torch.hub finds in place of DINO's repository: the same network with random weights, and modules of the names
# that its own have.
HUBCONF = """
import torch
import utils
from dreamsim.feature_extraction.vision_transformer import vit_base

dependencies = ["torch"]

def dino_vitb16(pretrained=True, **kwargs):
    assert utils.WHOSE == "DINO"
    print("loading DINO")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return vit_base(patch_size=16, num_classes=0)
"""
TYPES = ("open_clip_vitb32", "dino_vitb16", "dino_vitb16_patch")


def save_adapter(folder: Path, seed: int) -> None:
    folder.mkdir()
    config = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "bias": "none", "target_modules": ["qkv"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "LORA"}))
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for block in range(12):
        prefix = f"base_model.model.extractor_list.0.model.blocks.{block}.attn.qkv"
        weights[f"{prefix}.lora_A.weight"] = torch.randn(4, 768, generator=generator) * 0.05
        weights[f"{prefix}.lora_B.weight"] = torch.randn(3 * 768, 4, generator=generator) * 0.05
    save_file(weights, folder / "adapter_model.safetensors")


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory) -> Path:
    """A cache folder of the package with random weights for [`TYPES`]."""
    from dreamsim.feature_extraction.vision_transformer import vit_base

    folder = tmp_path_factory.mktemp("dreamsim") / "weights"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = vit_base(patch_size=32)
        network.pos_drop = torch.nn.LayerNorm(768)
    weights = {**network.state_dict(), "proj": torch.randn(768, 512, generator=generator) * 768**-0.5}
    torch.save({"state_dict": weights}, folder / "open_clip_vitb32_pretrain.pth.tar")
    save_adapter(folder / "open_clip_vitb32_single_lora", 1)
    head = {}
    for index, (wide, narrow) in {0: (2048, 768), 2: (2048, 2048), 4: (256, 2048)}.items():
        head[f"module.head.mlp.{index}.weight"] = torch.zeros(wide, narrow, dtype=torch.float32)
        head[f"module.head.mlp.{index}.bias"] = torch.zeros(wide)
    head["module.head.last_layer.weight"] = torch.zeros(2048, 256)
    torch.save({"student": head}, folder / "dino_vitb16_pretrain.pth")
    save_adapter(folder / "dino_vitb16_single_lora", 2)
    save_adapter(folder / "dino_vitb16_patch_lora", 3)
    hub = folder / "facebookresearch_dino_main"
    hub.mkdir()
    (hub / "hubconf.py").write_text(HUBCONF)
    (hub / "utils.py").write_text("WHOSE = 'DINO'\n")
    return folder


@pytest.fixture(scope="session")
def open_clip_reward(weights_dir) -> DreamSimReward:
    return DreamSimReward("open_clip_vitb32", cache_dir=weights_dir, batch_size=4, resizing="bicubic")


def make_images(count: int, side: int = 32, seed: int = 0) -> list[torch.Tensor]:
    """Smooth random pictures of whole 8-bit values."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return list((images * 255).round() / 255)


def to_pil(image: torch.Tensor) -> PIL.Image.Image:
    return PIL.Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())


class TestDreamSimReward:
    @pytest.mark.parametrize("dreamsim_type", TYPES)
    def test_equals_the_forward_of_the_package(self, dreamsim_type, weights_dir):
        images, targets = make_images(2), make_images(2, seed=1)
        reward = DreamSimReward(dreamsim_type, scale=2.5, cache_dir=weights_dir, resizing="bicubic")
        rewards = reward(images=images, target_images=targets)
        model = reward._network.network
        sides = [resize_bicubic(torch.stack(part), 224, 224) for part in (images, targets)]
        expected = (-2.5 * model(*sides)).tolist()
        assert all(isinstance(reward, float) for reward in rewards)
        assert rewards == pytest.approx(expected, abs=1e-5)
        assert abs(rewards[0] - rewards[1]) > 1e-3, "rewards tell images apart"

    def test_bfloat16_moves_rewards_by_thousandths(self, weights_dir, open_clip_reward):
        images, targets = make_images(4), make_images(4, seed=1)
        half = DreamSimReward("open_clip_vitb32", cache_dir=weights_dir, dtype="bfloat16", resizing="bicubic")
        rewards = half(images=[*images, targets[0]], target_images=[*targets, targets[0]])
        expected = open_clip_reward(images=images, target_images=targets)
        assert half.describe(torch.stack(images)).dtype == torch.float32
        assert rewards[:4] == pytest.approx(expected, abs=0.01)
        assert rewards[:4] != expected, "it was computed in bfloat16"
        assert rewards[4] == pytest.approx(0, abs=1e-3)

    def test_resizes_as_the_published_code_by_default(self, weights_dir):
        images, targets = make_images(2, side=300), make_images(2, side=300, seed=1)
        reward = DreamSimReward("open_clip_vitb32", cache_dir=weights_dir)
        rewards = reward(images=images, target_images=targets)
        parts = [torch.stack(part) for part in (images, targets)]
        sides = [torch.nn.functional.interpolate(part, (224, 224), mode="bilinear") for part in parts]
        assert rewards == pytest.approx((-5 * reward._network.network(*sides)).tolist(), abs=1e-5)
        with pytest.raises(ValueError, match="`resizing` must be one of bilinear, bicubic, but got area"):
            DreamSimReward("open_clip_vitb32", cache_dir=weights_dir, resizing="area")

    def test_unknown_dtype_is_refused(self, weights_dir):
        with pytest.raises(ValueError, match="`dtype` must be one of float32, bfloat16, but got half"):
            DreamSimReward("open_clip_vitb32", cache_dir=weights_dir, dtype="half")

    def test_network_and_resizing_equal_those_of_the_package(self, weights_dir, open_clip_reward):
        model, preprocess = dreamsim_package.dreamsim(
            dreamsim_type="open_clip_vitb32", cache_dir=str(weights_dir), device="cpu"
        )
        for side in (48, 224, 320):  # enlarged, as it is, made smaller
            (image,), (target,) = make_images(1, side), make_images(1, side, seed=1)
            theirs = preprocess(to_pil(image))
            ours = resize_bicubic(image[None], 224, 224)
            assert (ours - theirs).abs().max() < 1.5 / 255, "Pillow rounds to 8 bits, twice"
            assert (ours - theirs).abs().mean() < 0.5 / 255
            expected = -5 * model(theirs, preprocess(to_pil(target))).item()
            (reward,) = open_clip_reward(images=[image], target_images=[target])
            assert reward == pytest.approx(expected, abs=1e-5 if side == 224 else 2e-3)

    def test_equal_pictures_get_zero(self, open_clip_reward):
        images = make_images(2)
        assert open_clip_reward(images=images, target_images=images) == pytest.approx([0, 0], abs=1e-5)

    def test_each_target_is_embedded_once(self, open_clip_reward):
        first, second = make_images(2, seed=1)
        targets = [first] * 3 + [second] * 2 + [first]
        embedded = []
        open_clip_reward.prepare()
        handle = open_clip_reward._network.network.base_model.model.extractor_list[0].model.register_forward_hook(
            lambda module, inputs, output: embedded.append(len(inputs[0]))
        )
        rewards = open_clip_reward(images=make_images(6), target_images=targets)
        handle.remove()
        assert embedded == [2, 4, 2], "both targets, then six images by four"
        copies = open_clip_reward(images=make_images(6), target_images=[target.clone() for target in targets])
        assert rewards == pytest.approx(copies, abs=1e-5)

    def test_batch_does_not_matter(self, open_clip_reward):
        images, targets = make_images(3), make_images(3, seed=1)
        together = open_clip_reward(images=images, target_images=targets)
        alone = [
            open_clip_reward(images=[image], target_images=[target])[0]
            for image, target in zip(images, targets, strict=True)
        ]
        assert together == pytest.approx(alone, abs=1e-5)

    def test_row_without_a_target(self, open_clip_reward):
        images, target = make_images(3), make_images(1, seed=1)[0]
        rewards = open_clip_reward(images=images, target_images=[target, None, target], content_images=None)
        assert [math.isnan(reward) for reward in rewards] == [False, True, False]

    def test_network_is_frozen_and_autocast_is_left_out(self, open_clip_reward):
        batch = {"images": make_images(2), "target_images": make_images(2, seed=1)}
        expected = open_clip_reward(**batch)
        network = open_clip_reward._network
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
            assert open_clip_reward(**batch) == expected

    def test_no_side_effects(self, weights_dir, monkeypatch, capfd):
        mine = type(sys)("utils")
        mine.WHOSE = "mine"
        monkeypatch.setitem(sys.modules, "utils", mine)
        hub_dir, path = torch.hub._hub_dir, list(sys.path)
        monkeypatch.chdir(weights_dir.parent)
        build_dreamsim("dino_vitb16", "weights", "cpu")  # a relative folder
        assert capfd.readouterr().out == ""
        assert torch.hub._hub_dir == hub_dir
        assert sys.path == path
        assert sys.modules["utils"] is mine
        assert "hubconf" not in sys.modules

    def test_name_and_columns(self, weights_dir):
        reward = DreamSimReward("open_clip_vitb32", cache_dir=weights_dir)
        assert (reward.__name__, reward.requires, reward.scale) == ("dreamsim", ("target",), 5.0)


class TestMissingWeights:
    def test_error_names_the_command_and_comes_before_heavy_imports(self, tmp_path):
        code = (
            "import sys\n"
            "from stylevar_hf.rewards import get_reward\n"
            "try:\n"
            f"    get_reward('dreamsim', cache_dir={str(tmp_path / 'new')!r})\n"
            "except FileNotFoundError as error:\n"
            "    sys.stderr.write(str(error))\n"
            "assert not {'dreamsim', 'torchvision', 'peft', 'transformers'} & set(sys.modules)\n"
        )
        result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert f"`stylevar download-dreamsim --cache-dir {tmp_path / 'new'} --dreamsim-type dino" in result.stderr
        assert "dino_vitb16_pretrain.pth, dino_vitb16_single_lora, facebookresearch_dino_main" in result.stderr
        assert result.stdout == ""
        assert not (tmp_path / "new").exists(), "nothing is made"

    def test_only_what_is_missing_is_named(self, weights_dir, tmp_path):
        (tmp_path / "open_clip_vitb32_pretrain.pth.tar").symlink_to(weights_dir / "open_clip_vitb32_pretrain.pth.tar")
        with pytest.raises(FileNotFoundError, match="lacks open_clip_vitb32_single_lora. Run"):
            DreamSimReward("open_clip_vitb32", cache_dir=tmp_path)

    def test_files_gone_before_the_first_call(self, weights_dir, tmp_path):
        for name in DREAMSIM_FILES["open_clip_vitb32"]:
            (tmp_path / name).symlink_to(weights_dir / name)
        reward = DreamSimReward("open_clip_vitb32", cache_dir=tmp_path)
        (tmp_path / "open_clip_vitb32_pretrain.pth.tar").unlink()
        with pytest.raises(FileNotFoundError, match="download-dreamsim"):
            reward(images=make_images(1), target_images=make_images(1))

    def test_damaged_file(self, weights_dir, tmp_path):
        (tmp_path / "open_clip_vitb32_single_lora").symlink_to(weights_dir / "open_clip_vitb32_single_lora")
        (tmp_path / "open_clip_vitb32_pretrain.pth.tar").write_bytes(b"not weights")
        with pytest.raises(RuntimeError, match="does not load .*download-dreamsim"):
            DreamSimReward("open_clip_vitb32", cache_dir=tmp_path).prepare()

    def test_backbone_that_cannot_be_fetched(self, weights_dir, tmp_path):
        for name in DREAMSIM_FILES["dino_vitb16"][:2]:
            (tmp_path / name).symlink_to(weights_dir / name)
        (tmp_path / "facebookresearch_dino_main").mkdir()
        lines = (
            "import urllib.error",
            "def dino_vitb16(**kwargs):",
            "    raise urllib.error.URLError('no network')",
        )
        (tmp_path / "facebookresearch_dino_main" / "hubconf.py").write_text("\n".join(lines))
        with pytest.raises(FileNotFoundError, match="no network.*download-dreamsim --cache-dir"):
            DreamSimReward(cache_dir=tmp_path).prepare()

    def test_unknown_type(self):
        with pytest.raises(ValueError, match="`dreamsim_type` must be one of ensemble, .*but got 'dino'"):
            DreamSimReward("dino")

    def test_default_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("STYLEVAR_CACHE", str(tmp_path))
        assert default_dreamsim_dir() == tmp_path / "dreamsim"
        with pytest.raises(FileNotFoundError, match=str(tmp_path / "dreamsim")):
            DreamSimReward()


@pytest.fixture
def release(weights_dir, tmp_path) -> Path:
    """The zip file of a release, stored without compression."""
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in DREAMSIM_FILES["open_clip_vitb32"]:
            for entry in [weights_dir / name, *(weights_dir / name).rglob("*")]:
                file.write(entry, entry.relative_to(weights_dir))
    return path


def run_command(*arguments) -> int:
    """What `stylevar download-dreamsim` does, without the other commands."""
    import argparse

    parser = argparse.ArgumentParser()
    command.COMMAND.add_arguments(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    try:
        return command.COMMAND.run(args)
    except (ValueError, OSError) as error:
        report_error(error, command.COMMAND.flags)
        return 2


class TestDownload:
    @pytest.fixture(autouse=True)
    def address(self, monkeypatch, release):
        import dreamsim.config

        monkeypatch.setitem(dreamsim.config.dreamsim_weights, "open_clip_vitb32", release.as_uri())

    def test_folder_can_be_used(self, release, tmp_path, open_clip_reward, capfd):
        folder = tmp_path / "deep" / "folder"
        arguments = ("--cache-dir", folder, "--dreamsim-type", "open_clip_vitb32")
        assert run_command(*arguments, "--json") == 0
        captured = capfd.readouterr()
        assert json.loads(captured.out)["outputs"] == [str(folder)]
        assert release.as_uri() in captured.err
        assert sorted(path.name for path in folder.iterdir()) == sorted(DREAMSIM_FILES["open_clip_vitb32"])
        batch = {"images": make_images(2), "target_images": make_images(2, seed=1)}
        rewards = DreamSimReward("open_clip_vitb32", cache_dir=folder, resizing="bicubic")(**batch)
        assert rewards == pytest.approx(open_clip_reward(**batch), abs=1e-6)
        release.unlink()
        assert run_command(*arguments, "--quiet") == 0, "what is there is not fetched again"
        assert capfd.readouterr().out == ""

    def test_no_network(self, release, tmp_path, capsys):
        release.unlink()
        folder = tmp_path / "new"
        assert run_command("--cache-dir", folder, "--dreamsim-type", "open_clip_vitb32", "--quiet") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "must be reachable, but the download failed" in error
        assert f"--cache-dir {folder} --dreamsim-type open_clip_vitb32 --archive FILE" in error
        assert list(folder.iterdir()) == []

    def test_archive_cut_short_leaves_nothing(self, release, tmp_path, monkeypatch):
        content = bytearray(release.read_bytes())
        content[1000] ^= 255  # one of the weights
        release.write_bytes(content)
        with pytest.raises(ValueError, match="`archive` must be an intact zip file.*Bad CRC"):
            download_dreamsim(tmp_path / "new", "open_clip_vitb32", archive=release)
        assert list((tmp_path / "new").iterdir()) == []

    def test_archive_of_another_type(self, release, tmp_path):
        with pytest.raises(ValueError, match="DreamSim 'clip_vitb32', but release.zip lacks clip_vitb32_pretrain"):
            download_dreamsim(tmp_path / "new", "clip_vitb32", archive=release)
        assert list((tmp_path / "new").iterdir()) == []

    def test_no_archive(self, tmp_path):
        with pytest.raises(ValueError, match="`archive` must be an existing zip file"):
            download_dreamsim(tmp_path / "new", "clip_vitb32", archive=tmp_path / "missing.zip")
        assert not (tmp_path / "new").exists()

    def test_code_of_the_backbone_is_fetched_as_well(self, weights_dir, tmp_path, monkeypatch):
        for name in DREAMSIM_FILES["dino_vitb16"][:2]:
            (tmp_path / name).symlink_to(weights_dir / name)
        fetched = []

        def load(repository, *_, **__):
            fetched.append((repository, torch.hub.get_dir()))
            raise OSError("no network")

        monkeypatch.setattr(torch.hub, "load", load)
        with pytest.raises(OSError, match="no network"):
            download_dreamsim(tmp_path, "dino_vitb16", progress=False)
        assert fetched == [("facebookresearch/dino:main", str(tmp_path))]

    def test_types_are_those_of_the_package(self):
        import dreamsim.config

        assert set(command.TYPES) == set(DREAMSIM_FILES) == set(dreamsim.config.dreamsim_weights)
        assert command.TYPES[0] == DEFAULT_DREAMSIM_TYPE

    def test_help_needs_no_torch(self):
        code = (
            "import argparse, sys\n"
            "from stylevar_hf.commands.download_dreamsim import COMMAND\n"
            "COMMAND.add_arguments(argparse.ArgumentParser())\n"
            "assert 'torch' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
