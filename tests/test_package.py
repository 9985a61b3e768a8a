# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import importlib
import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel, pipeline

import stylevar_hf
from stylevar_hf import (
    StyleVARConfig,
    StyleVARForConditionalGeneration,
    StyleVARImageProcessor,
    StyleVARPipeline,
    StyleVARVQConfig,
    StyleVARVQModel,
    bundled_checkpoint,
)
from stylevar_hf.checkpoints import ADAPTERS, MODELS


PACKAGE = Path(stylevar_hf.__file__).parent
# Runs first in a process that shall not find the package.
BLOCK_PACKAGE = 'import sys\nsys.modules["stylevar_hf"] = None\n'
OPTIONAL = ["accelerate", "datasets", "dreamsim", "evaluate", "gradio", "peft", "skimage", "torchvision", "trl"]


def run_python(code: str, **environment: str) -> str:
    """The stdout of a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def names_of(modules: dict[str, tuple[str, ...]]) -> list[str]:
    return [name for names in modules.values() for name in names]


class TestImport:
    def test_public_names_resolve(self):
        for name in stylevar_hf.__all__:
            assert getattr(stylevar_hf, name) is not None
            assert name in dir(stylevar_hf)

    @pytest.mark.parametrize(
        "name", ["", "conversion", "data", "data.procedural", "evaluation", "hub", "rewards", "training"]
    )
    def test_lists_of_public_names_agree(self, name):
        package = importlib.import_module(f"stylevar_hf.{name}".rstrip("."))
        tree = ast.parse((PACKAGE / name.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
        checked = next(node for node in tree.body if isinstance(node, ast.If))
        seen_by_type_checkers = {alias.name for node in checked.body for alias in node.names}
        assert seen_by_type_checkers == set(package.__all__) - {"__version__"}
        assert seen_by_type_checkers == set(names_of(package._MODULES))

    def test_flat_files_import_each_other_and_nothing_else_of_the_package(self):
        allowed = {"torch", "transformers", "PIL", "numpy", "huggingface_hub", "peft", *sys.stdlib_module_names}
        files = list(PACKAGE.glob("*_stylevar*.py"))
        assert len(files) > 6
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level:
                    assert node.level == 1 and node.module.endswith(("_stylevar", "_stylevar_vq")), file.name
                elif isinstance(node, ast.ImportFrom):
                    assert node.module.partition(".")[0] in allowed, file.name
                elif isinstance(node, ast.Import):
                    assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, file.name

    def test_unknown_name_raises(self):
        with pytest.raises(AttributeError, match="no attribute 'StyleVAR'"):
            _ = stylevar_hf.StyleVAR

    def test_import_loads_no_heavy_module(self):
        loaded = run_python("import sys, stylevar_hf; print(*sys.modules)").split()
        assert {"torch", "transformers", "PIL", "numpy"}.isdisjoint(loaded)

    def test_public_names_need_core_dependencies_only(self):
        optional = [name for module in stylevar_hf._EXTRAS for name in stylevar_hf._MODULES[module]]
        code = f"""
        import sys
        sys.modules.update(dict.fromkeys({OPTIONAL}))
        import stylevar_hf
        for name in stylevar_hf.__all__:
            if name not in {optional}:
                getattr(stylevar_hf, name)
        from transformers import AutoImageProcessor, AutoModel, pipeline
        """
        run_python(code)

    @pytest.mark.parametrize(
        ("name", "extra"),
        [("StyleVARSFTTrainer", "train"), ("StyleVARVQTrainer", "train"), ("StyleVARGRPOTrainer", "train")],
    )
    def test_name_of_an_extra_says_what_to_install(self, name, extra):
        code = f"""
        import sys
        sys.modules.update(dict.fromkeys({OPTIONAL}))
        import stylevar_hf
        try:
            stylevar_hf.{name}
        except ModuleNotFoundError as error:
            print(error)
        """
        message = run_python(code)
        assert f"`{name}` needs" in message and f"pip install stylevar-hf[{extra}]" in message

    def test_version_is_that_of_the_distribution(self):
        try:
            installed = distribution("stylevar-hf")
        except PackageNotFoundError:
            pytest.skip("the package is imported from a folder, not installed")
        assert installed.version == stylevar_hf.__version__

    def test_package_is_typed(self):
        assert (PACKAGE / "py.typed").is_file()


class TestRegistration:
    @pytest.mark.parametrize(
        "first",
        [
            "import stylevar_hf",
            "from transformers import PreTrainedModel\nimport stylevar_hf",
            "from stylevar_hf.modeling_stylevar import StyleVARModel",
        ],
        ids=["registries_later", "registries_loaded", "own_module_first"],
    )
    def test_auto_classes_know_a_saved_folder_in_any_order_of_imports(self, first, tiny_model_dir):
        code = f"""
        from transformers import AutoConfig, AutoModel, AutoImageProcessor
        for auto_class in (AutoConfig, AutoModel, AutoImageProcessor):
            print(type(auto_class.from_pretrained({tiny_model_dir!r})).__module__)
        """
        modules = run_python(first + textwrap.dedent(code)).split()
        homes = ("configuration_stylevar", "modeling_stylevar", "image_processing_stylevar")
        assert modules == [f"stylevar_hf.{home}" for home in homes]

    def test_finder_leaves_nothing_behind(self):
        code = """
        import sys, stylevar_hf
        def finders():
            return [finder for finder in sys.meta_path if type(finder).__module__ == "stylevar_hf._registration"]
        assert len(finders()) == 1
        try:
            import transformers.no_such_module
        except ModuleNotFoundError as error:
            assert error.name == "transformers.no_such_module"
        import peft, transformers.pipelines, stylevar_hf.modeling_stylevar_vq
        assert finders() == [], finders()[0].pending
        assert "exec_module" not in vars(transformers.pipelines.__spec__.loader)
        """
        run_python(code)

    def test_auto_classes_of_the_tokenizer(self, tmp_path):
        config = StyleVARVQConfig(
            patch_nums=(1, 2), codebook_size=8, latent_channels=4, base_channels=8, channel_multipliers=(1, 1),
            num_res_blocks=1, norm_num_groups=4,
        )  # fmt: skip
        StyleVARVQModel(config).save_pretrained(tmp_path)
        assert type(AutoConfig.from_pretrained(tmp_path)) is StyleVARVQConfig
        assert type(AutoModel.from_pretrained(tmp_path)) is StyleVARVQModel

    def test_pipeline_task_without_remote_code(self, tiny_model_dir, image_files):
        pipe = pipeline("image-style-transfer", model=tiny_model_dir, device="cpu")
        assert type(pipe) is StyleVARPipeline
        assert pipe(image_files["content"], image_files["style"], seed=0).size == (16, 16)

    def test_pipeline_task_alone_is_the_default_model(self):
        assert pipeline("image-style-transfer", device="cpu").model.name_or_path == bundled_checkpoint()


class TestSavedFolder:
    """A saved folder carries its source files, and does not need them where the package is installed."""

    def test_source_files_are_in_the_folder(self, tiny_model_dir):
        files = {path.name for path in Path(tiny_model_dir).iterdir()}
        assert {"configuration_stylevar.py", "modeling_stylevar.py", "image_processing_stylevar.py"} <= files
        auto_map = json.loads((Path(tiny_model_dir) / "config.json").read_text())["auto_map"]
        assert auto_map == {
            "AutoConfig": "configuration_stylevar.StyleVARConfig",
            "AutoModel": "modeling_stylevar.StyleVARForConditionalGeneration",
        }

    @pytest.mark.parametrize("trust_remote_code", [None, False, True])
    def test_installed_classes_are_preferred(self, trust_remote_code, tiny_model_dir):
        loaded = [
            auto_class.from_pretrained(tiny_model_dir, trust_remote_code=trust_remote_code)
            for auto_class in (AutoConfig, AutoModel, AutoImageProcessor)
        ]
        expected = [StyleVARConfig, StyleVARForConditionalGeneration, StyleVARImageProcessor]
        assert [type(one) for one in loaded] == expected

    def test_remote_code_loads_and_generates_without_the_package(self, tiny_model_dir, tmp_path):
        code = f"""
        import torch
        from transformers import AutoConfig, AutoImageProcessor, AutoModel

        folder = {tiny_model_dir!r}
        try:
            AutoModel.from_pretrained(folder, trust_remote_code=False)
            raise AssertionError("loaded without consent")
        except ValueError as error:
            assert "trust_remote_code" in str(error)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
        model = AutoModel.from_pretrained(folder, trust_remote_code=True)
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
        for loaded in (config, model, processor):
            assert type(loaded).__module__.startswith("transformers_modules.")
        pixels = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
        assert processor.postprocess(pixels)[0].size == (16, 16)
        print(model.generate(pixels, -pixels, do_sample=False).sequences[0].tolist())
        """
        output = run_python(BLOCK_PACKAGE + textwrap.dedent(code), HF_HOME=str(tmp_path), PYTHONPATH="")

        model = StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir)
        pixels = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
        assert json.loads(output) == model.generate(pixels, -pixels, do_sample=False).sequences[0].tolist()


class TestBundledCheckpoint:
    def test_is_in_the_package_and_complete(self):
        model = {"config.json", "generation_config.json", "preprocessor_config.json", "model.safetensors"}
        adapter = {"adapter_config.json", "adapter_model.safetensors"}
        for name, files in {**dict.fromkeys(MODELS, model), **dict.fromkeys(ADAPTERS, adapter)}.items():
            folder = Path(bundled_checkpoint(name))
            assert folder.parent.parent == Path(stylevar_hf.__file__).parent
            assert {path.name for path in folder.iterdir()} == files

    def test_unknown_name_is_refused(self):
        with pytest.raises(ValueError, match="`name` must be one of stylevar-mini.*but got 'x'"):
            bundled_checkpoint("x")

    def test_paints(self, image_files):
        pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint(), device="cpu")
        assert pipe(image_files["content"], image_files["style"], seed=0).size == (128, 128)
