# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import importlib.util
import inspect
import math
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.color
import torch

from stylevar_hf import rewards as rewards_package
from stylevar_hf.evaluation import colour_distance, texture_distance
from stylevar_hf.measures.base import resize_bicubic
from stylevar_hf.measures.colour import rgb_to_lab
from stylevar_hf.rewards import (
    REWARDS,
    CLIPReward,
    ColorStatisticsReward,
    ContentReward,
    GramStyleReward,
    LPIPSReward,
    PerceptualReward,
    Reward,
    SSIMReward,
    StyleStatisticsReward,
    TextureStatisticsReward,
    get_reward,
    unique_tensors,
)


VGG19_FILE = "vgg19-dcbb9e9d.pth"
# Indices among the `features` of torchvision.
STYLE_LAYERS, CONTENT_LAYERS = (0, 5, 10, 19, 28), (21,)


def make_images(count: int, height: int = 32, width: int = 40, seed: int = 0) -> list[torch.Tensor]:
    """Smooth random pictures."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return list(torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear"))


def to_array(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


class MeanReward(Reward):
    """Minus the difference of the mean brightness, and counts what it describes."""

    name = "mean"

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def describe(self, images):
        self.seen.append(len(images))
        return images.flatten(1).mean(1, keepdim=True)

    def compare(self, descriptions, references):
        return -(descriptions - references).abs().flatten()


def green(images, **columns):
    """A function as users write it."""
    return [image[1].mean().item() for image in images]


class NotPortable(Exception):
    """Cannot be unpickled: that calls it with what `Exception` was given."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def act(images, action, target_images=(), family=(0,), log_metric=None, **columns):
    """Runs in another process and does there what the column says."""
    if action == ["fail"]:
        raise ZeroDivisionError("by the reward")
    if action == ["fail badly"]:
        raise NotPortable("by", "the reward")
    if action == ["end"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if action == ["wait"]:
        signal.pause()
    assert log_metric is None
    assert all(image.dtype == torch.float32 for image in images)
    return [len({id(image) for image in target_images}), float(family[0]), os.getpid()]


@pytest.fixture(scope="session")
def weights_home(tmp_path_factory) -> Path:
    """A folder of torch.hub with random weights where torchvision and lpips look for them."""
    import torchvision

    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        squeeze = torchvision.models.squeezenet1_1(weights=None).state_dict()
        with torch.device("meta"):
            shapes = torchvision.models.vgg19(weights=None).features.state_dict()
        vgg = {
            f"features.{key}": torch.randn(value.shape) * (2 / max(1, value[0].numel())) ** 0.5
            for key, value in shapes.items()
        }
    torch.save(squeeze, folder / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    torch.save(vgg, folder / "checkpoints" / VGG19_FILE)
    return folder


@pytest.fixture
def hub(weights_home, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(weights_home))
    return weights_home


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory) -> str:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("clip")
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=24,
        patch_size=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(
    params=[
        "ssim",
        "lpips",
        "gram-style",
        "content",
        "perceptual",
        "style-statistics",
        "clip",
        "color-statistics",
        "moments",
        "texture-statistics",
    ]
)
def reward(request, hub, clip_dir) -> Reward:
    """Each reward, DreamSim aside, which has a file of its own."""
    name, options = request.param, {}
    if name == "lpips":
        options = {"network": "squeeze"}
    elif name == "clip":
        options = {"model": clip_dir}
    elif name == "moments":
        name, options = "color-statistics", {"statistics": "moments"}
    return get_reward(name, batch_size=2, **options)


class TestImport:
    def test_heavy_packages_stay_away(self):
        code = (
            "import sys\n"
            "import stylevar_hf.rewards as rewards\n"
            "rewards.get_reward('ssim'), rewards.get_reward('color-statistics', statistics='moments')\n"
            "heavy = {'dreamsim', 'lpips', 'torchvision', 'transformers', 'skimage', 'scipy', 'trl', 'peft'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_every_public_name_is_there(self):
        assert all(getattr(rewards_package, name) is not None for name in rewards_package.__all__)
        with pytest.raises(AttributeError, match="nothing"):
            rewards_package.nothing  # noqa: B018

    def test_registered_names_are_those_of_the_classes(self):
        for name, (_, kind) in REWARDS.items():
            assert getattr(rewards_package, kind).name == name


class TestEveryReward:
    def call(self, reward, images, references):
        return reward(images=images, **{f"{reward.reference}_images": references}, prompts=None, trainer_state=None)

    def test_one_float_per_row_larger_for_what_is_alike(self, reward):
        references = make_images(4, seed=1)
        images = [references[0], *make_images(2), references[3]]
        values = self.call(reward, images, references)
        assert [type(value) for value in values] == [float] * 4
        best = 1.0 if reward.name in ("ssim", "clip") else 0.0
        assert values[0] == pytest.approx(best, abs=1e-4)
        assert values[3] == pytest.approx(best, abs=1e-4)
        assert max(values[1:3]) < best - 1e-5

    def test_batch_does_not_matter(self, reward):
        images, references = make_images(5), make_images(5, seed=1)
        together = self.call(reward, images, references)
        alone = [self.call(reward, [a], [b])[0] for a, b in zip(images, references, strict=True)]
        assert together == pytest.approx(alone, rel=1e-4, abs=1e-6)
        backwards = self.call(reward, images[::-1], references[::-1])
        assert together == pytest.approx(backwards[::-1], rel=1e-4, abs=1e-6)

    def test_scale(self, reward):
        batch = (make_images(2), make_images(2, seed=1))
        once = self.call(reward, *batch)
        reward.scale = 3.0
        assert self.call(reward, *batch) == pytest.approx([3 * value for value in once])

    def test_name_and_columns_follow_the_reference(self, reward):
        assert reward.requires == (reward.reference,)
        assert reward.__name__ == reward.name in REWARDS
        assert callable(reward)

    def test_missing_column(self, reward):
        for given in ({}, {f"{reward.reference}_images": [None]}):
            with pytest.raises(ValueError, match=f"'{reward.name}' must have the column `{reward.reference}`"):
                reward(images=make_images(1), **given)

    def test_missing_row_and_broken_image(self, reward):
        images, references = make_images(4), [*make_images(3, seed=1), None]
        images[1] = images[1].clone()
        images[1][0, 3, 3] = math.nan
        references[2] = references[2] / 0
        values = self.call(reward, images, references)
        assert [math.isnan(value) for value in values] == [False, True, True, True]
        assert values[0] == pytest.approx(self.call(reward, images[:1], references[:1])[0], rel=1e-4)

    def test_no_gradients_and_no_autocast(self, reward):
        images = [image.requires_grad_() for image in make_images(2)]
        references = make_images(2, seed=1)
        expected = self.call(reward, images, references)
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            assert self.call(reward, images, references) == expected
        network = reward._network
        if network is not None:
            assert not network.training
            assert not any(parameter.requires_grad for parameter in network.parameters())

    def test_half_precision_images(self, reward):
        images, references = make_images(2), make_images(2, seed=1)
        expected = self.call(reward, images, references)
        got = self.call(reward, [image.bfloat16() for image in images], references)
        assert got == pytest.approx(expected, rel=0.1, abs=0.02)

    def test_pickle_leaves_the_network(self, reward):
        batch = (make_images(2), make_images(2, seed=1))
        expected = self.call(reward, *batch)
        dumped = pickle.dumps(reward)
        assert len(dumped) < 2000
        assert self.call(pickle.loads(dumped), *batch) == expected


class TestBase:
    def test_images_may_come_as_completions(self):
        images, targets = make_images(2), make_images(2, seed=1)
        assert SSIMReward()(completions=images, target_images=targets) == SSIMReward()(images, target_images=targets)

    def test_distinct_references_are_described_once(self):
        first, second = make_images(2, seed=1)
        reward = MeanReward(batch_size=3)
        reward(images=make_images(7), target_images=[first] * 4 + [second] * 2 + [first])
        assert reward.seen == [2, 3, 3, 1]

    def test_values_by_hand(self):
        images = [torch.full((3, 2, 2), value) for value in (0.25, 0.5, 1.0)]
        values = MeanReward(scale=2.0)(images=images, target_images=[images[1]] * 3)
        assert values == [-0.5, 0.0, -1.0]

    def test_nothing_to_score(self):
        assert MeanReward()(images=[]) == []

    def test_other_reference_is_in_the_name(self):
        reward = MeanReward(reference="content")
        assert (reward.__name__, reward.requires) == ("mean-content", ("content",))
        images = make_images(2)
        assert reward(images=images, content_images=images) == [0, 0]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"reference": "mask"}, "`reference` must be one of content, style, target, but got 'mask'"),
            ({"scale": 0}, "`scale` must be a positive number, but got 0"),
            ({"scale": math.nan}, "`scale` must be a positive number, but got nan"),
            ({"scale": "5"}, "`scale` must be a positive number, but got '5'"),
            ({"batch_size": 0}, "`batch_size` must be a positive integer, but got 0"),
            ({"batch_size": 1.5}, "`batch_size` must be a positive integer, but got 1.5"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            MeanReward(**options)

    @pytest.mark.parametrize(
        ("images", "targets", "message"),
        [
            (None, make_images(1), "`images` must be given"),
            (make_images(2), make_images(1), r"`target_images` must be as many as `images` \(2\), but got 1"),
            ([torch.zeros(2, 2)], make_images(1), r"`images` must be tensors of shape \(3, H, W\), but got \(2, 2\)"),
            (make_images(1), ["a.png"], r"`target_images` must be tensors of shape \(3, H, W\), but got str"),
            ([torch.zeros(3, 2, 2), torch.zeros(3, 2, 3)], make_images(2), "`images` must all be of one size"),
            (make_images(1), [2 * make_images(1)[0] - 1], r"`target_images` must be in \[0, 1\].*x / 2 \+ 0.5"),
        ],
    )
    def test_bad_input(self, images, targets, message):
        with pytest.raises(ValueError, match=message):
            MeanReward()(images=images, target_images=targets)

    def test_sizes_that_differ(self):
        with pytest.raises(
            ValueError, match=r"`target_images` must be of the size of `images`.*\(32, 40\).*\(40, 32\)"
        ):
            SSIMReward()(images=make_images(1, 40, 32), target_images=make_images(1))

    def test_missing_package(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            ModuleNotFoundError, match=r"'lpips' needs lpips, torchvision.*pip install stylevar-hf\[rl\]"
        ):
            LPIPSReward()

    def test_unique_tensors(self):
        first, second = make_images(2)
        stacked, index = unique_tensors([second, first, second, first.clone()])
        assert len(stacked) == 3
        assert index.tolist() == [0, 1, 0, 2]
        assert torch.equal(stacked[index], torch.stack([second, first, second, first]))
        with pytest.raises(ValueError, match="at least one"):
            unique_tensors([])

    def test_resizing_is_that_of_pillow(self):
        rng = np.random.default_rng(0)
        array = rng.integers(60, 200, (50, 70, 3), dtype=np.uint8)
        expected = np.asarray(PIL.Image.fromarray(array).resize((33, 21), PIL.Image.Resampling.BICUBIC)) / 255
        (resized,) = resize_bicubic(torch.from_numpy(array / 255).permute(2, 0, 1)[None], 21, 33)
        assert np.abs(to_array(resized) - expected).max() < 1.5 / 255


class TestSSIM:
    def test_too_small(self):
        with pytest.raises(ValueError, match="at least 11 x 11 pixels for SSIM"):
            SSIMReward()(images=make_images(1, 10, 20), target_images=make_images(1, 10, 20))


class TestLPIPS:
    def test_equals_the_package(self, hub):
        lpips = pytest.importorskip("lpips")
        torch.manual_seed(0)
        reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
        weights = torch.load(hub / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
        trunk = reference.net
        for key, value in weights.items():
            if key.startswith("features."):
                index = key.split(".")[1]
                part = next(part for part in trunk.children() if index in dict(part.named_children()))
                part.get_parameter(key.removeprefix("features.")).data.copy_(value)
        images, targets = make_images(3), make_images(3, seed=1)
        with torch.no_grad():
            expected = -reference(2 * torch.stack(images) - 1, 2 * torch.stack(targets) - 1).flatten()
        got = LPIPSReward("squeeze")(images=images, target_images=targets)
        assert got == pytest.approx(expected.tolist(), rel=1e-4)

    def test_missing_weights_name_the_file(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        path = tmp_path / "checkpoints" / "vgg16-397923af.pth"
        with pytest.raises(FileNotFoundError, match=f"'lpips' needs the weights vgg16.*{path}.*download.pytorch.org"):
            LPIPSReward()

    def test_unknown_network(self):
        with pytest.raises(ValueError, match="`network` must be one of vgg, alex, squeeze, but got 'resnet'"):
            LPIPSReward("resnet")


class TestVGG:
    def features(self, hub, images, layers):
        """Outputs before ReLU, by torchvision's own forward and hooks that copy."""
        import torchvision

        with torch.device("meta"):
            network = torchvision.models.vgg19(weights=None).features
        weights = torch.load(hub / "checkpoints" / VGG19_FILE)
        network.load_state_dict({key.removeprefix("features."): value for key, value in weights.items()}, assign=True)
        outputs = {}
        for layer in layers:
            network[layer].register_forward_hook(
                lambda module, inputs, output, layer=layer: outputs.update({layer: output.clone()})
            )
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.no_grad():
            network((torch.stack(images) - mean[:, None, None]) / std[:, None, None])
        return [outputs[layer] for layer in layers]

    def test_style_loss(self, hub):
        images, styles = make_images(2), make_images(2, seed=1)
        expected = torch.zeros(2)
        pairs = zip(self.features(hub, images, STYLE_LAYERS), self.features(hub, styles, STYLE_LAYERS), strict=True)
        for a, b in pairs:
            grams = [torch.einsum("bihw,bjhw->bij", f, f) / f[0].numel() for f in (a, b)]
            expected -= (grams[0] - grams[1]).square().mean((1, 2))
        got = GramStyleReward()(images=images, style_images=styles)
        assert got == pytest.approx(expected.tolist(), rel=1e-4)

    def test_style_of_another_size(self, hub):
        (value,) = GramStyleReward()(images=make_images(1), style_images=make_images(1, 48, 24, seed=1))
        assert math.isfinite(value)

    def test_content_loss(self, hub):
        images, contents = make_images(2), make_images(2, seed=1)
        (a,), (b,) = self.features(hub, images, CONTENT_LAYERS), self.features(hub, contents, CONTENT_LAYERS)
        assert (a < 0).any(), "before ReLU"
        expected = -(a - b).square().mean((1, 2, 3))
        got = ContentReward()(images=images, content_images=contents)
        assert got == pytest.approx(expected.tolist(), rel=1e-4)

    def test_perceptual_distance(self, hub):
        images, targets = make_images(2), make_images(2, seed=1)
        expected = torch.zeros(2)
        pairs = zip(self.features(hub, images, STYLE_LAYERS), self.features(hub, targets, STYLE_LAYERS), strict=True)
        for a, b in pairs:
            a, b = (torch.nn.functional.normalize(part.relu(), dim=1) for part in (a, b))
            expected -= (a - b).square().sum(1).mean((1, 2))
        got = PerceptualReward()(images=images, target_images=targets)
        assert got == pytest.approx(expected.tolist(), rel=1e-4)

    def test_style_statistics(self, hub):
        images, styles = make_images(2), make_images(2, seed=1)
        expected = torch.zeros(2)
        pairs = zip(self.features(hub, images, STYLE_LAYERS), self.features(hub, styles, STYLE_LAYERS), strict=True)
        for a, b in pairs:
            a, b = (torch.cat([f.relu().mean((2, 3)), f.relu().std((2, 3))], dim=1) for f in (a, b))
            expected -= (a - b).abs().sum(1) / b.abs().sum(1) / len(STYLE_LAYERS)
        got = StyleStatisticsReward()(images=images, style_images=styles)
        assert got == pytest.approx(expected.tolist(), rel=1e-4)

    def test_missing_weights_name_the_file(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        for kind in (GramStyleReward, ContentReward):
            with pytest.raises(FileNotFoundError, match=f"not at {tmp_path / 'checkpoints' / VGG19_FILE}, and d"):
                kind()

    def test_too_small(self, hub):
        with pytest.raises(ValueError, match="at least 16 x 16 pixels for VGG-19"):
            ContentReward()(images=make_images(1, 12, 20), content_images=make_images(1, 12, 20))


class TestCLIP:
    def test_equals_the_processor_and_the_model(self, clip_dir):
        from transformers import CLIPVisionModelWithProjection
        from transformers.models.clip import CLIPImageProcessorPil

        processor = CLIPImageProcessorPil(
            size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}, do_convert_rgb=True
        )
        images = [(image * 255).round() / 255 for image in make_images(2, 60, 40)]
        targets = [(image * 255).round() / 255 for image in make_images(2, 60, 40, seed=1)]
        model = CLIPVisionModelWithProjection.from_pretrained(clip_dir)
        sides = []
        for part in (images, targets):
            pictures = [PIL.Image.fromarray((to_array(image) * 255).round().astype(np.uint8)) for image in part]
            with torch.no_grad():
                sides.append(model(**processor(pictures, return_tensors="pt")).image_embeds)
        expected = torch.nn.functional.cosine_similarity(*sides)
        got = CLIPReward(clip_dir)(images=images, target_images=targets)
        assert got == pytest.approx(expected.tolist(), abs=2e-3)

    def test_missing_model(self):
        with pytest.raises(OSError, match="cache .*but got 'openai/clip-vit-base-patch32'. Run `hf download openai/"):
            CLIPReward().prepare()


class TestColor:
    def test_lab_is_that_of_scikit_image(self):
        images = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
        images[0, :, 0, 0], images[0, :, 0, 1] = 0, 1
        expected = skimage.color.rgb2lab(images.permute(0, 2, 3, 1).numpy())
        assert np.abs(rgb_to_lab(images).permute(0, 2, 3, 1).numpy() - expected).max() < 1e-3

    def test_equals_the_measure_of_the_evaluation(self):
        images, styles = make_images(3), make_images(3, 24, 24, seed=1)
        expected = [-colour_distance(to_array(a), to_array(b)) for a, b in zip(images, styles, strict=True)]
        got = ColorStatisticsReward()(images=images, style_images=styles)
        assert got == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("statistics", ["sliced-wasserstein", "moments"])
    def test_places_do_not_count(self, statistics):
        images = make_images(2)
        flipped = [image.flip(1, 2) for image in images]
        got = ColorStatisticsReward(statistics)(images=images, style_images=flipped)
        assert got == pytest.approx([0, 0], abs=1e-3)

    def test_moments_by_hand(self):
        grey, white = torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)
        lightness = skimage.color.rgb2lab(to_array(grey))[0, 0, 0]
        (got,) = ColorStatisticsReward("moments")(images=[grey], style_images=[white])
        assert got == pytest.approx(lightness - 100, abs=1e-2)

    def test_unknown_statistics(self):
        with pytest.raises(ValueError, match="`statistics` must be one of sliced-wasserstein, moments, but got 'x'"):
            ColorStatisticsReward("x")


class TestTexture:
    def test_equals_the_measure_of_the_evaluation(self):
        images, styles = make_images(3, 40, 44), make_images(3, 24, 24, seed=1)
        expected = [-texture_distance(to_array(a), to_array(b)) for a, b in zip(images, styles, strict=True)]
        got = TextureStatisticsReward()(images=images, style_images=styles)
        assert got == pytest.approx(expected, rel=1e-3)

    def test_stripes_of_another_direction_are_another_texture(self):
        stripes = (torch.arange(48) // 2 % 2).float().expand(3, 48, 48)
        shifted, turned = stripes.roll(1, dims=2), stripes.transpose(1, 2)
        near, far = TextureStatisticsReward()(images=[shifted, turned], style_images=[stripes, stripes])
        assert near == pytest.approx(0, abs=0.1)  # the mirrored border differs
        assert far < -0.5


class TestRegistry:
    @pytest.fixture
    def module(self, tmp_path, monkeypatch) -> str:
        (tmp_path / "my_rewards.py").write_text(
            "class Fixed:\n"
            "    def __init__(self, value=1.0):\n"
            "        self.value = value\n"
            "    def __call__(self, images, **columns):\n"
            "        return [self.value] * len(images)\n"
            "    @staticmethod\n"
            "    def inner(images, **columns):\n"
            "        return [0.0] * len(images)\n"
            "def zero(images, **columns):\n"
            "    return [0.0] * len(images)\n"
            "LEVEL = 3\n"
            "class Empty:\n"
            "    pass\n"
        )
        (tmp_path / "my_broken.py").write_text("import a_package_that_is_not_there\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        return "my_rewards"

    def test_options(self):
        reward = get_reward("color-statistics:statistics=moments,scale=2.5", reference="target")
        assert (reward.statistics, reward.scale, reward.reference) == ("moments", 2.5, "target")
        assert get_reward("ssim:scale=2", scale=3).scale == 3

    def test_function_and_class_of_ones_own(self, module):
        assert get_reward(f"{module}:zero")(images=[1, 2]) == [0, 0]
        assert get_reward(f"{module}:Fixed", value=4.0)(images=[1]) == [4.0]
        assert get_reward(f"{module}:Fixed.inner")(images=[1]) == [0.0]

    @pytest.mark.parametrize(
        ("spec", "options", "kind", "message"),
        [
            ("dream", {}, ValueError, "must be one of dreamsim, .* or `module:function`, but got 'dream'"),
            ("my_rewards:", {}, ValueError, "`module:function`, but got 'my_rewards:'"),
            (3, {}, TypeError, "`spec` must be a string, but got int"),
            ("my_reward:zero", {}, ModuleNotFoundError, "there is no module 'my_reward'.*PYTHONPATH"),
            ("my_rewards.sub:zero", {}, ModuleNotFoundError, "there is no module 'my_rewards.sub'"),
            ("my_broken:zero", {}, ModuleNotFoundError, "No module named 'a_package_that_is_not_there'"),
            ("my_rewards:one", {}, AttributeError, r"'my_rewards' \(.*my_rewards.py\) has no 'one'"),
            ("my_rewards:LEVEL", {}, TypeError, "must be callable, but is of type int"),
            ("my_rewards:Empty", {}, TypeError, "must be callable, but Empty has no `__call__`"),
            ("my_rewards:zero", {"value": 1}, ValueError, r"must be a class to take options \(value\)"),
            ("my_rewards:Fixed", {"valve": 1}, ValueError, "must be among value, but got valve"),
            ("ssim", {"window": 1}, ValueError, "options of the reward 'ssim' must be among reference, .*got window"),
            ("lpips", {"net": "vgg"}, ValueError, "must be among network, .*but got net"),
            ("ssim:scale", {}, ValueError, "must be `name:option=value,...`, but got 'ssim:scale'"),
        ],
    )
    def test_bad_spec(self, spec, options, kind, message, module):
        with pytest.raises(kind, match=message):
            get_reward(spec, **options)

    def test_every_class_says_which_options_it_has(self):
        for module, kind in REWARDS.values():
            parameters = inspect.signature(getattr(rewards_package, kind)).parameters
            assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()), module
