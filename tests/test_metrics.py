# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from stylevar_hf.evaluation import metrics as metrics_package
from stylevar_hf.evaluation import peak_signal_to_noise_ratio, structural_similarity
from stylevar_hf.evaluation.metrics import METRIC_NAMES, MetricUnavailable, get_metric_info, load_metric


evaluate = pytest.importorskip("evaluate")
frechet = pytest.importorskip("stylevar_hf.measures.frechet")

FOLDER = Path(metrics_package.__file__).parent
VGG19_FILE = "vgg19-dcbb9e9d.pth"
SYMMETRIC = ("style_loss", "content_loss", "lpips", "ssim", "psnr", "dreamsim", "clip_similarity")
PAIRED = (*SYMMETRIC, "cfsd")
NEEDS_WEIGHTS = tuple(name for name in METRIC_NAMES if name not in ("ssim", "psnr"))


def make_arrays(count: int, height: int = 32, width: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Smooth random pictures, uint8 `(height, width, 3)`."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    images = F.interpolate(coarse, (height, width), mode="bilinear")
    return list((images * 255).round().byte().permute(0, 2, 3, 1).numpy())


def to_batch(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def random_state(module: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights for a module on the meta device, of sizes at which activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in module.state_dict().items():
        if key.endswith("running_var"):
            state[key] = torch.ones(value.shape)
        elif value.dtype != torch.float32 or key.endswith("running_mean"):
            state[key] = torch.zeros(value.shape, dtype=value.dtype)
        elif value.ndim > 1:
            state[key] = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        else:
            state[key] = torch.rand(value.shape, generator=generator) + 0.5 * key.endswith("weight")
    return state


def save_dreamsim(folder: Path) -> None:
    """The files of type `open_clip_vitb32`."""
    from dreamsim.feature_extraction.vision_transformer import vit_base

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = vit_base(patch_size=32)
        network.pos_drop = torch.nn.LayerNorm(768)
        weights = {**network.state_dict(), "proj": torch.randn(768, 512) * 768**-0.5}
        torch.save({"state_dict": weights}, folder / "open_clip_vitb32_pretrain.pth.tar")
        adapter = {}
        for block in range(12):
            prefix = f"base_model.model.extractor_list.0.model.blocks.{block}.attn.qkv"
            adapter[f"{prefix}.lora_A.weight"] = torch.randn(4, 768) * 0.05
            adapter[f"{prefix}.lora_B.weight"] = torch.randn(3 * 768, 4) * 0.05
    (folder / "open_clip_vitb32_single_lora").mkdir()
    config = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "bias": "none", "target_modules": ["qkv"]}
    path = folder / "open_clip_vitb32_single_lora" / "adapter_config.json"
    path.write_text(json.dumps({**config, "peft_type": "LORA"}))
    save_file(adapter, folder / "open_clip_vitb32_single_lora" / "adapter_model.safetensors")


def save_clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**sizes, "vocab_size": 50, "projection_dim": 8},
        vision_config={**sizes, "image_size": 24, "patch_size": 8, "projection_dim": 8},
        projection_dim=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder with random weights of the real shapes for every network (CLIP's is smaller)."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchvision.models import squeezenet1_1, vgg19
    from torchvision.models.inception import Inception3

    class Unloaded(FeatureExtractorInceptionV3):
        """The network before its weights are loaded, which its constructor does."""

        def load_state_dict(self, state_dict):
            pass

    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "none.pth")
    with torch.device("meta"):
        squeeze, features = squeezenet1_1(weights=None).features, vgg19(weights=None).features[:29]
        inception = Inception3(init_weights=False)
        fidelity = Unloaded("inception-v3-compat", ["2048"], folder / "none.pth")
    torch.save({f"features.{k}": v for k, v in random_state(squeeze).items()}, folder / "squeezenet1_1-b8a52dc0.pth")
    torch.save({f"features.{k}": v for k, v in random_state(features, 1).items()}, folder / VGG19_FILE)
    torch.save(random_state(inception, 2), folder / "art_inception.pth")
    torch.save(random_state(fidelity, 3), folder / frechet.FID_FILE.name)
    save_dreamsim(folder)
    (folder / "clip").mkdir()
    save_clip(folder / "clip")
    return folder


def options_of(name: str, weights: Path) -> dict:
    if name in ("ssim", "psnr"):
        return {}
    options = {"weights": weights / "clip" if name == "clip_similarity" else weights}
    if name in ("lpips", "artfid"):
        options["net"] = "squeeze"
    if name == "artfid":
        options["lpips_weights"] = weights / "squeezenet1_1-b8a52dc0.pth"
    if name == "dreamsim":
        options["dreamsim_type"] = "open_clip_vitb32"
    return options


@pytest.fixture(scope="session")
def load(weights, tmp_path_factory):
    """Each metric, loaded once."""
    cache, loaded = tmp_path_factory.mktemp("cache"), {}

    def load(name: str) -> "evaluate.Metric":
        if name not in loaded:
            loaded[name] = load_metric(name, cache_dir=cache, batch_size=2, **options_of(name, weights))
        return loaded[name]

    return load


def values_of(metric, predictions, references) -> list[float]:
    return metric.compute(predictions=predictions, references=references, reduction="none")[metric.key]


class TestRegistry:
    def test_every_metric_is_a_folder_with_a_readme(self):
        assert len(METRIC_NAMES) == 10
        folders = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__")
        assert folders == sorted(METRIC_NAMES)
        for name in METRIC_NAMES:
            assert {"__init__.py", f"{name}.py", "README.md"} <= {path.name for path in (FOLDER / name).iterdir()}
            readme = (FOLDER / name / "README.md").read_text(encoding="utf-8")
            _, front, body = readme.split("---\n", 2)
            assert "sdk: gradio\n" in front and "- evaluate\n- metric\n" in front
            sections = (
                "## Metric description",
                "## How to use",
                "### Inputs",
                "### Output",
                "## Limits",
                "## Citation",
            )
            assert [section for section in sections if section not in body] == []
            info = get_metric_info(name)
            assert f"title: {info.title}\n" in front
            direction = "higher is better" if info.higher_is_better else "lower is better"
            low, high = (f"{bound:g}" for bound in (info.range[0], info.range[1] or math.inf))
            output = body.partition("### Output")[2].partition("##")[0]
            assert direction in output and f"[{low}, {high}{')' if high == 'inf' else ']'}" in output

    def test_info(self):
        info = get_metric_info("ssim")
        assert (info.name, info.title, info.higher_is_better, info.range) == ("ssim", "SSIM", True, (-1.0, 1.0))
        assert [name for name in METRIC_NAMES if not get_metric_info(name).per_image] == ["fid", "artfid"]
        references = {name: get_metric_info(name).reference for name in METRIC_NAMES}
        assert references["style_loss"] == "style" and references["content_loss"] == references["cfsd"] == "content"
        assert {references[name] for name in ("lpips", "ssim", "psnr", "dreamsim", "clip_similarity")} == {"target"}

    @pytest.mark.parametrize(
        ("name", "near"), [("sim", "ssim"), ("style-loss", "style_loss"), ("FID", "fid"), ("clip", "clip_similarity")]
    )
    def test_unknown_name_says_the_nearest(self, name, near):
        for function in (get_metric_info, load_metric):
            with pytest.raises(ValueError, match=f"must be one of style_loss, .*got '{name}'. Did you mean '{near}'?"):
                function(name)

    def test_names_need_no_heavy_package(self):
        code = (
            "import sys\n"
            "from stylevar_hf.evaluation.metrics import METRIC_NAMES, get_metric_info\n"
            "get_metric_info('fid')\n"
            "heavy = {'torch', 'evaluate', 'datasets', 'torchmetrics', 'lpips', 'torchvision', 'skimage'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_missing_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "evaluate", None)
        monkeypatch.delitem(sys.modules, "stylevar_hf.evaluation.metrics.ssim.ssim", raising=False)
        with pytest.raises(ModuleNotFoundError, match=r"'ssim' needs evaluate.*pip install stylevar-hf\[eval\]"):
            load_metric("ssim")


class TestEveryMetric:
    @pytest.mark.parametrize("name", METRIC_NAMES)
    def test_loads_by_path_with_evaluate(self, name, weights, load, tmp_path):
        images, references = make_arrays(3, 80, 80), make_arrays(3, 80, 80, seed=1)
        inputs = {"predictions": images, "references": references}
        if name == "artfid":
            inputs = {"predictions": images, "contents": references, "styles": make_arrays(3, 80, 80, seed=2)}
        expected = load(name).compute(**inputs)
        metric = evaluate.load(str(FOLDER / name), cache_dir=str(tmp_path), **options_of(name, weights))
        assert isinstance(metric, evaluate.Metric)
        assert not type(metric).__module__.startswith("stylevar_hf")
        result = metric.compute(**inputs)
        assert list(result) == [name]
        assert result[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
        low, high = get_metric_info(name).range
        assert low <= result[name] <= (math.inf if high is None else high)
        assert metric.description.strip() and metric.citation.strip().startswith("@")

    @pytest.mark.parametrize("name", PAIRED)
    def test_identity_is_best(self, name, load):
        info, references = get_metric_info(name), make_arrays(3)
        values = values_of(load(name), [references[0], *make_arrays(2, seed=1)], references)
        best = info.range[1] if info.higher_is_better else 0.0
        assert values[0] == pytest.approx(best, abs=1e-9 if name == "cfsd" else 1e-5)
        assert all(abs(value - best) > (1e-6 if name == "cfsd" else 1e-4) for value in values[1:])
        assert all((value < best) == info.higher_is_better for value in values[1:])

    @pytest.mark.parametrize("name", SYMMETRIC)
    def test_symmetry(self, name, load):
        a, b = make_arrays(2), make_arrays(2, seed=1)
        assert values_of(load(name), a, b) == pytest.approx(values_of(load(name), b, a), rel=1e-4, abs=1e-6)

    @pytest.mark.parametrize("name", PAIRED)
    def test_batches_and_kinds_of_pictures_do_not_matter(self, name, load):
        metric, images, references = load(name), make_arrays(3), make_arrays(3, seed=1)
        together = values_of(metric, images, references)
        for image, reference in zip(images, references, strict=True):
            metric.add_batch(predictions=[PIL.Image.fromarray(image)], references=[PIL.Image.fromarray(reference)])
        alone = metric.compute(reduction="none")[name]
        assert all(isinstance(value, float) for value in alone)
        assert alone == pytest.approx(together, rel=1e-4, abs=1e-6)
        mean = metric.compute(predictions=images, references=references)
        assert mean == {name: pytest.approx(np.mean(together), rel=1e-5)}

    @pytest.mark.parametrize("name", PAIRED)
    def test_pictures_of_several_sizes(self, name, load):
        images = [*make_arrays(1, 32, 40), *make_arrays(2, 48, 36, seed=2)]
        references = [*make_arrays(1, 32, 40, seed=1), *make_arrays(2, 48, 36, seed=3)]
        together = values_of(load(name), images, references)
        last = values_of(load(name), images[1:], references[1:])
        assert together[1:] == pytest.approx(last, rel=1e-4, abs=1e-6)

    def test_no_gradients_and_no_autocast(self, load):
        images, references = make_arrays(2), make_arrays(2, seed=1)
        expected = values_of(load("cfsd"), images, references)
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
            assert values_of(load("cfsd"), images, references) == expected
        for name in ("cfsd", "fid"):
            assert not any(parameter.requires_grad for parameter in load(name)._network.parameters())
            assert not any(module.training for module in load(name)._network.modules())


class TestInput:
    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"predictions": [np.zeros((32, 32, 3), np.float32)]}, "`predictions` must be PIL images or uint8 arrays"),
            (
                {"references": [np.zeros((32, 32), np.uint8)]},
                "`references` must be PIL .* got ndarray of shape",
            ),
            ({"references": None}, "`references` must be a list of pictures for the metric 'ssim', but got nothing"),
            ({"predictions": PIL.Image.new("RGB", (32, 32))}, "`predictions` must be a list of pictures .* got Image"),
            ({"references": make_arrays(2, 32, 32)}, "`references` must be as many as `predictions`"),
            ({"references": make_arrays(1, 32, 33)}, "`references` must be of the size .* got 33 x 32 and 32 x 32"),
            ({"predictions": make_arrays(1, 8, 8)}, "`predictions` must be at least 11 x 11 pixels .* got 8 x 8"),
            ({"styles": make_arrays(1)}, "must get predictions, references for the metric 'ssim', but got styles"),
        ],
    )
    def test_bad_pictures(self, inputs, message, load):
        inputs = {"predictions": make_arrays(1, 32, 32), "references": make_arrays(1, 32, 32), **inputs}
        with pytest.raises(ValueError, match=message):
            load("ssim").add_batch(**inputs)

    def test_unknown_reduction(self, load):
        images = make_arrays(2, 80, 80)
        with pytest.raises(
            ValueError, match="`reduction` must be one of mean, none for the metric 'psnr', but got 'sum'"
        ):
            load("psnr").compute(predictions=images, references=images, reduction="sum")
        with pytest.raises(ValueError, match="`reduction` must be one of mean for the metric 'fid'"):
            load("fid").compute(predictions=images, references=images, reduction="none")
        assert load("psnr").compute(predictions=images, references=images) == {"psnr": 100.0}, "it goes on"

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("ssim", {"batch_size": 0}, "`batch_size` must be a positive integer, but got 0"),
            ("ssim", {"weights": "a.pth"}, "`weights` must be None for the metric 'ssim', .*but got 'a.pth'"),
            ("lpips", {"net": "resnet"}, "`net` must be one of vgg, alex, squeeze, but got 'resnet'"),
            ("artfid", {"net": "resnet"}, "`net` must be one of vgg, alex, squeeze, but got 'resnet'"),
            ("dreamsim", {"dreamsim_type": "dino"}, "`dreamsim_type` must be one of ensemble, .*but got 'dino'"),
        ],
    )
    def test_bad_options(self, name, options, message):
        with pytest.raises(ValueError, match=message):
            load_metric(name, **options)


class TestMissingWeights:
    WANTED = {
        "style_loss": VGG19_FILE,
        "content_loss": VGG19_FILE,
        "cfsd": VGG19_FILE,
        "lpips": "vgg16-397923af.pth",
        "dreamsim": "dino_vitb16_pretrain.pth",
        "clip_similarity": "openai/clip-vit-base-patch32",
        "fid": "weights-inception-2015-12-05-6726825d.pth",
        "artfid": "art_inception.pth",
    }

    @pytest.mark.parametrize("name", NEEDS_WEIGHTS)
    def test_error_names_file_place_and_hint(self, name, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
        monkeypatch.setenv("STYLEVAR_CACHE", str(tmp_path))
        with pytest.raises(MetricUnavailable, match=f"The metric '{name}' needs .*{self.WANTED[name]}") as caught:
            load_metric(name, cache_dir=tmp_path, local_files_only=True)
        message = str(caught.value)
        place = {"dreamsim": tmp_path / "dreamsim", "clip_similarity": "the cache", "artfid": "the cache"}
        assert str(place.get(name, tmp_path / "hub" / "checkpoints")) in message
        assert 'weights="' in message and "Download" in message or "hf download" in message or "`stylevar" in message
        assert isinstance(caught.value, OSError)
        assert not (tmp_path / "hub").exists(), "nothing is fetched"

    @pytest.mark.parametrize("name", NEEDS_WEIGHTS)
    def test_path_that_leads_nowhere(self, name, tmp_path):
        missing = tmp_path / "missing.pth"
        with pytest.raises(MetricUnavailable, match=f"The metric '{name}' needs .*{missing}"):
            load_metric(name, weights=missing, cache_dir=tmp_path)

    def test_second_file_of_artfid(self, weights, tmp_path):
        with pytest.raises(MetricUnavailable, match="'artfid' needs the weights alexnet-.*`lpips_weights` is 'gone'"):
            load_metric("artfid", weights=weights, lpips_weights="gone", cache_dir=tmp_path)

    def test_second_file_of_artfid_may_lie_beside_the_first(self, weights, tmp_path, monkeypatch):
        """What the command line can hand over."""
        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
        with pytest.raises(MetricUnavailable, match=r'one folder with it and art_inception.pth: weights="FOLDER"\.$'):
            load_metric("artfid", weights=weights, local_files_only=True, cache_dir=tmp_path)

    def test_one_folder_may_hold_both_files_of_artfid(self, weights, tmp_path):
        metric = load_metric("artfid", weights=weights, net="squeeze", local_files_only=True, cache_dir=tmp_path)
        assert metric.lpips_weights is None

    def test_download_that_fails(self, tmp_path, monkeypatch):
        import huggingface_hub

        monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
        monkeypatch.setattr("stylevar_hf.measures.weights.TORCHVISION_URL", f"{tmp_path.as_uri()}/")
        with pytest.raises(MetricUnavailable, match="the download failed .*No such file.*hand it over: weights="):
            load_metric("style_loss", cache_dir=tmp_path)
        (tmp_path / VGG19_FILE).write_bytes(b"something else")
        with pytest.raises(MetricUnavailable, match="the download failed .*invalid hash value"):
            load_metric("style_loss", cache_dir=tmp_path)
        assert list((tmp_path / "hub" / "checkpoints").iterdir()) == [], "nothing is there half"

    def test_pickled_code_is_refused(self, tmp_path):
        torch.save({"a": subprocess.Popen}, tmp_path / "evil.pth")
        for name in ("style_loss", "fid", "artfid"):
            options = {"lpips_weights": tmp_path / "evil.pth"} if name == "artfid" else {}
            with pytest.raises(Exception, match="[Ww]eights_only|Unsupported"):
                load_metric(name, weights=tmp_path / "evil.pth", cache_dir=tmp_path, **options)


class TestValues:
    def test_ssim_is_that_of_pictures(self, load):
        a, b = make_arrays(3), make_arrays(3, seed=1)
        expected = [structural_similarity(x, y) for x, y in zip(a, b, strict=True)]
        assert values_of(load("ssim"), a, b) == pytest.approx(expected, abs=1e-5)

    def test_psnr_by_hand(self, load):
        a = np.full((16, 16, 3), 100, np.uint8)
        b = a.copy()
        b[:8] += 51  # a fifth of 255, in half of the pixels: a mean squared error of 1 / 50
        assert values_of(load("psnr"), [a], [b]) == pytest.approx([10 * math.log10(50)], abs=1e-4)
        x, y = make_arrays(1)[0], make_arrays(1, seed=1)[0]
        assert values_of(load("psnr"), [x], [y]) == pytest.approx([peak_signal_to_noise_ratio(x, y)], abs=1e-4)

    def features(self, weights, arrays, layer) -> torch.Tensor:
        """What torchvision's VGG-19 gives at a layer, by its own forward."""
        from torchvision.models import vgg19

        with torch.device("meta"):
            network = vgg19(weights=None).features[: layer + 1]
        state = torch.load(weights / VGG19_FILE)
        network.load_state_dict({key: state[f"features.{key}"] for key in network.state_dict()}, assign=True)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.no_grad():
            return network((to_batch(arrays) - mean[:, None, None]) / std[:, None, None])

    def test_style_loss(self, weights, load):
        images, styles = make_arrays(2), make_arrays(2, 48, 36, seed=1)
        expected = torch.zeros(2)
        for layer in (0, 5, 10, 19, 28):
            grams = []
            for arrays in (images, styles):
                part = self.features(weights, arrays, layer)
                assert (part < 0).any(), "before ReLU"
                _, c, h, w = part.shape
                grams.append(torch.einsum("bihw,bjhw->bij", part, part) / (c * h * w))
            expected += F.mse_loss(*grams, reduction="none").mean((1, 2))
        assert values_of(load("style_loss"), images, styles) == pytest.approx(expected.tolist(), rel=1e-4)

    def test_content_loss(self, weights, load):
        images, contents = make_arrays(2), make_arrays(2, seed=1)
        parts = [self.features(weights, arrays, 21) for arrays in (images, contents)]
        expected = (parts[0] - parts[1]).square().mean((1, 2, 3))
        assert values_of(load("content_loss"), images, contents) == pytest.approx(expected.tolist(), rel=1e-4)

    def test_cfsd(self, weights, load):
        images, contents = make_arrays(2), make_arrays(2, seed=1)
        rows = []
        for arrays in (images, contents):
            places = self.features(weights, arrays, 11).flatten(2).transpose(1, 2).double() / 256
            assert (places >= 0).all(), "after ReLU"
            rows.append(torch.softmax(torch.bmm(places, places.transpose(1, 2)), dim=-1))
        image, content = rows
        expected = (content * (content / image).log()).sum((1, 2))
        assert values_of(load("cfsd"), images, contents) == pytest.approx(expected.tolist(), rel=1e-5)
        backwards = values_of(load("cfsd"), contents, images)
        assert backwards != pytest.approx(expected.tolist(), rel=1e-5), "not symmetric"

    def test_cfsd_by_hand_and_in_parts(self, monkeypatch):
        from stylevar_hf.measures import vgg

        # Two places with one feature: rows softmax(4, 0) and softmax(0, 0) against uniform ones.
        image, content = torch.zeros(1, 2, 1), torch.tensor([[[2.0], [0.0]]])
        p = math.exp(4) / (math.exp(4) + 1)
        expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
        assert vgg.structural_distance(image, content).tolist() == pytest.approx([expected])
        generator = torch.Generator().manual_seed(0)
        batch = [torch.rand(2, 7, 3, generator=generator) for _ in range(2)]
        whole = vgg.structural_distance(*batch)
        monkeypatch.setattr(vgg, "MAX_ENTRIES", 2 * 7 * 3)
        assert vgg.structural_distance(*batch).tolist() == pytest.approx(whole.tolist(), rel=1e-6)

    def test_lpips_is_that_of_the_package(self, weights, load):
        lpips = pytest.importorskip("lpips")
        images, references = make_arrays(2), make_arrays(2, seed=1)
        reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
        for key, value in torch.load(weights / "squeezenet1_1-b8a52dc0.pth").items():
            _, index, rest = key.split(".", 2)
            layer = next(part for part in reference.net.children() if index in dict(part.named_children()))
            layer.get_parameter(f"{index}.{rest}").data.copy_(value)
        with torch.no_grad():
            expected = reference(to_batch(images) * 2 - 1, to_batch(references) * 2 - 1).flatten()
        assert values_of(load("lpips"), images, references) == pytest.approx(expected.tolist(), rel=1e-4)

    def test_dreamsim_is_that_of_the_package(self, load):
        images, references = make_arrays(2, 224, 224), make_arrays(2, 224, 224, seed=1)
        model = load("dreamsim")._network.network
        with torch.no_grad():
            expected = model(to_batch(images), to_batch(references))
        values = values_of(load("dreamsim"), images, references)
        assert values == pytest.approx(expected.tolist(), abs=1e-5)

    def test_clip_is_that_of_transformers(self, weights, load):
        from transformers import CLIPModel
        from transformers.models.clip import CLIPImageProcessorPil

        images, references = make_arrays(2, 60, 40), make_arrays(2, 60, 40, seed=1)
        processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
        model, sides = CLIPModel.from_pretrained(weights / "clip").eval(), []
        for arrays in (images, references):
            pictures = [PIL.Image.fromarray(array) for array in arrays]
            with torch.no_grad():
                vision = model.vision_model(**processor(pictures, return_tensors="pt"))
                sides.append(model.visual_projection(vision.pooler_output))
        expected = F.cosine_similarity(*sides)
        assert values_of(load("clip_similarity"), images, references) == pytest.approx(expected.tolist(), abs=2e-3)


class TestFrechet:
    def test_by_hand(self):
        a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [3.0], [9.0]])
        # Means 1 and 5, variances 2 and 12
        expected = 16 + 2 + 12 - 2 * math.sqrt(24)
        assert frechet.frechet_distance(a, b) == pytest.approx(expected)
        assert frechet.frechet_distance(b, a) == pytest.approx(expected)

    @pytest.mark.parametrize("count", [4, 40])
    def test_of_features_that_are_no_numbers_is_none(self, count):
        a, b = torch.rand(count, 6), torch.rand(count, 6)
        b[1, 2] = torch.nan
        assert all(math.isnan(frechet.frechet_distance(*pair)) for pair in ((a, b), (b, a), (b, b)))

    @pytest.mark.parametrize("count", [5, 40])  # fewer and more than dimensions
    def test_is_that_of_torchmetrics_and_scipy(self, count):
        from scipy.linalg import sqrtm
        from torchmetrics.image.fid import FrechetInceptionDistance

        generator = torch.Generator().manual_seed(0)
        a = torch.randn(count, 8, generator=generator).double()
        b = (torch.randn(count + 3, 8, generator=generator) @ torch.randn(8, 8, generator=generator) + 1).double()
        value = frechet.frechet_distance(a, b)

        class First(torch.nn.Module):
            num_features = 8

            def forward(self, images):
                return images[:, 0, 0]

        theirs = FrechetInceptionDistance(First(), normalize=True).set_dtype(torch.float64)
        for part, real in ((a, False), (b, True)):
            theirs.update(part[:, None, None].expand(-1, 3, 2, -1), real=real)
        assert value == pytest.approx(theirs.compute().item(), rel=1e-4)
        covariances = [np.cov(part.numpy(), rowvar=False) for part in (a, b)]
        root = sqrtm(covariances[0] @ covariances[1]).real
        mean = (a.mean(0) - b.mean(0)).square().sum().item()
        assert value == pytest.approx(mean + np.trace(sum(covariances) - 2 * root), rel=1e-4)

    @pytest.mark.parametrize("name", ["ssim", "fid"])
    def test_none_at_all(self, name, load):
        metric = load(name)
        metric.add_batch(predictions=[], references=[])
        with pytest.raises(ValueError, match="`predictions` must be one picture or more"):
            metric.compute()

    def test_too_few(self, load):
        images = make_arrays(1, 80, 80)
        with pytest.raises(ValueError, match="at least 2 pictures for a Fr.chet distance, but got 1"):
            load("fid").compute(predictions=images, references=images)

    def test_features_of_fid(self, weights, load):
        from torchmetrics.image.fid import NoTrainInceptionV3

        images, references = make_arrays(2, 80, 60), make_arrays(2, 80, 60, seed=1)
        path = str(weights / frechet.FID_FILE.name)
        theirs = NoTrainInceptionV3("inception-v3-compat", ["2048"], path, antialias=False)
        features = [theirs((to_batch(part) * 255).round().byte()) for part in (images, references)]
        ours = load("fid")._features(load("fid")._network, [PIL.Image.fromarray(image) for image in images])
        assert ours.shape == (2, 2048)
        torch.testing.assert_close(ours, features[0], rtol=1e-3, atol=1e-4)
        value = load("fid").compute(predictions=images, references=references)["fid"]
        assert value == pytest.approx(frechet.frechet_distance(*features), rel=1e-3)
        assert load("fid").compute(predictions=images, references=images)["fid"] == pytest.approx(0, abs=1e-6)

    def test_artfid(self, weights, load):
        from torchvision.models.inception import Inception3

        images, contents, styles = (make_arrays(2, 80, 80, seed=seed) for seed in range(3))
        with torch.device("meta"):
            network = Inception3(init_weights=False)
        network.load_state_dict(torch.load(weights / "art_inception.pth"), assign=True)
        network.eval()
        pooled = []
        network.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1)))
        with torch.no_grad():
            network(to_batch(images)), network(to_batch(styles))
        lpips = np.mean(values_of(load("lpips"), images, contents))
        expected = (1 + lpips) * (1 + frechet.frechet_distance(*pooled))
        inputs = {"predictions": images, "contents": contents, "styles": styles}
        assert load("artfid").compute(**inputs)["artfid"] == pytest.approx(expected, rel=1e-3)
        same = dict.fromkeys(inputs, images)
        assert load("artfid").compute(**same)["artfid"] == pytest.approx(1, abs=1e-5)
        load("artfid").add_batch(**{**inputs, "styles": make_arrays(2, 96, 112)})
        with pytest.raises(ValueError, match="`contents` must be of the size of `predictions`"):
            load("artfid").add_batch(**{**inputs, "contents": make_arrays(2, 96, 112)})
        assert load("artfid").compute()["artfid"] > 1
