# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Registration with transformers: `AutoConfig`, `AutoModel`, `AutoImageProcessor`, `pipeline("image-style-transfer")`,
the source files that `save_pretrained` copies beside a checkpoint, and `push_to_hub` with a card.

A registry wants classes, and the classes want torch and the whole of transformers' model code: seconds that
`import stylevar_hf` shall not cost. So the import only leaves a finder on `sys.meta_path`, which changes nothing about
how modules are found. When transformers loads one of its registries, whoever asked for it, our classes are entered as
soon as that import statement is complete; registries that are loaded already are filled at once. Then the finder goes.
"""

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


# The auto class that finds each of our classes in a saved folder, by the module that defines it.
_AUTO_CLASSES = {
    "stylevar_hf.configuration_stylevar": {"StyleVARConfig": "AutoConfig", "StyleVARVQConfig": "AutoConfig"},
    "stylevar_hf.modeling_stylevar_vq": {"StyleVARVQModel": "AutoModel"},
    "stylevar_hf.modeling_stylevar": {"StyleVARForConditionalGeneration": "AutoModel", "StyleVARModel": "AutoModel"},
    "stylevar_hf.image_processing_stylevar": {"StyleVARImageProcessor": "AutoImageProcessor"},
}


def _carry_source_files(module_name: str) -> None:
    """`save_pretrained` copies the file that defines the class, so that the folder loads as remote code."""
    module = sys.modules[module_name]
    for class_name, auto_class in _AUTO_CLASSES[module_name].items():
        getattr(module, class_name).register_for_auto_class(auto_class)


def _connect_publishing(module_name: str) -> None:
    """Gives the model its `push_to_hub` and its published files: its own file travels without the package."""

    def publish(model, repo_id: str, **kwargs):
        from .hub import push_model

        return push_model(model, repo_id, **kwargs)

    def find_converted(name_or_path, variant: str | None = None, **hub_options):
        from .checkpoints import is_released

        if variant is None and not is_released(os.fspath(name_or_path)):
            return None
        from .conversion.released import find_converted

        return find_converted(name_or_path, variant, **hub_options)

    model_class = sys.modules[module_name].StyleVARForConditionalGeneration
    model_class._publish = publish
    model_class._find_converted = staticmethod(find_converted)


def _carry_and_publish(module_name: str) -> None:
    _carry_source_files(module_name)
    _connect_publishing(module_name)


def _register_configs(_: str) -> None:
    from transformers import AutoConfig

    from .configuration_stylevar import StyleVARConfig, StyleVARVQConfig

    for config_class in (StyleVARConfig, StyleVARVQConfig):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)


def _register_models(_: str) -> None:
    from transformers import AutoModel

    from .configuration_stylevar import StyleVARConfig
    from .modeling_stylevar import StyleVARForConditionalGeneration, StyleVARModel
    from .modeling_stylevar_vq import StyleVARVQModel

    # Of two classes transformers takes the one that a folder's config names, and the first where none is named.
    AutoModel.register(StyleVARConfig, (StyleVARForConditionalGeneration, StyleVARModel), exist_ok=True)
    AutoModel.register(StyleVARVQModel.config_class, StyleVARVQModel, exist_ok=True)


def _register_image_processor(_: str) -> None:
    from transformers import AutoImageProcessor

    from .configuration_stylevar import StyleVARConfig
    from .image_processing_stylevar import StyleVARImageProcessor

    # One class for both: under "pil" alone, transformers would announce a fallback wherever torchvision is installed.
    classes = {"pil": StyleVARImageProcessor, "torchvision": StyleVARImageProcessor}
    AutoImageProcessor.register(StyleVARConfig, image_processor_classes=classes, exist_ok=True)


def _register_pipeline(_: str) -> None:
    from transformers.pipelines import PIPELINE_REGISTRY

    from .checkpoints import bundled_checkpoint
    from .modeling_stylevar import StyleVARForConditionalGeneration
    from .pipeline_stylevar import StyleVARPipeline

    _explain_published_files(sys.modules["transformers.pipelines"])
    PIPELINE_REGISTRY.register_pipeline(
        "image-style-transfer",
        pipeline_class=StyleVARPipeline,
        pt_model=(StyleVARForConditionalGeneration,),
        default={"model": (bundled_checkpoint(), "main")},  # as on the command line
        type="image",
    )


def _register_lora_targets(_: str) -> None:
    """`get_peft_model(model, LoraConfig())` adapts the layers that the published third stage adapts."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    from .configuration_stylevar import StyleVARConfig

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]
    TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING[StyleVARConfig.model_type] = targets


def _explain_published_files(pipelines: ModuleType) -> None:
    """
    `pipeline("image-style-transfer", model=REPOSITORY)` asks for a config before it knows the task. Where there is
    none, because the repository holds the published `.pth` files, it is told what to do with these; for all other
    tasks everything is as it was.
    """
    from transformers import AutoConfig

    class _AutoConfig(AutoConfig):
        @classmethod
        def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
            if kwargs.get("_from_pipeline") != "image-style-transfer":
                return AutoConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)
            try:
                return AutoConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)
            except (ValueError, OSError) as error:
                from .checkpoints import is_released
                from .configuration_stylevar import StyleVARConfig

                if is_released(str(pretrained_model_name_or_path)):
                    call = f'StyleVARPipeline.from_pretrained("{pretrained_model_name_or_path}")'
                    raise OSError(
                        f"{pretrained_model_name_or_path} is converted before it loads: `{call}`."
                    ) from error
                StyleVARConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)  # which knows these files
                raise

    pipelines.AutoConfig = _AutoConfig


# What to do once a module is loaded. Every registrar may run twice (two threads importing at once) without harm.
_REGISTRARS: dict[str, Callable[[str], None]] = {
    "transformers.models.auto.configuration_auto": _register_configs,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.models.auto.image_processing_auto": _register_image_processor,
    "transformers.pipelines": _register_pipeline,
    **dict.fromkeys(_AUTO_CLASSES, _carry_source_files),
    "stylevar_hf.modeling_stylevar": _carry_and_publish,
}
if importlib.util.find_spec("peft") is not None:
    _REGISTRARS["peft.utils.constants"] = _register_lora_targets


class RegistrationFinder(MetaPathFinder):
    """
    Runs a registrar when its module is loaded and no import of transformers, PEFT or this package is half-way.

    Waiting for the outermost import matters: transformers loads its registries in the middle of its model code, which
    our modules could not import at that moment.

    Args:
        registrars (`dict[str, Callable[[str], None]]`):
            What to call, with the module's name, once that module is loaded.
    """

    def __init__(self, registrars: dict[str, Callable[[str], None]]):
        self.pending = dict(registrars)
        self._thread = threading.local()

    def find_spec(self, fullname: str, path=None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Finds modules as Python does, and has their loader report back."""
        if not fullname.startswith(("transformers.", "stylevar_hf.", "peft.")):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            self._enter()
            try:
                execute(module)
            finally:
                self._leave()
            self.register_loaded()

        loader.exec_module = exec_module
        return spec

    def register_loaded(self) -> None:
        """Runs the registrars whose modules are loaded, unless an import is half-way in this thread."""
        if getattr(self._thread, "depth", 0):
            return
        self._enter()
        try:
            while loaded := [(name, run) for name, run in self.pending.copy().items() if name in sys.modules]:
                for name, run in loaded:
                    importlib.import_module(name)  # waits for another thread that is still loading it
                    run(name)
                    self.pending.pop(name, None)
        finally:
            self._leave()
        if not self.pending and self in sys.meta_path:
            sys.meta_path.remove(self)

    def _enter(self) -> None:
        self._thread.depth = getattr(self._thread, "depth", 0) + 1

    def _leave(self) -> None:
        self._thread.depth -= 1


def register() -> None:
    """Enters our classes in the registries that are loaded, and sees to the others when they are."""
    if not any(isinstance(finder, RegistrationFinder) for finder in sys.meta_path):
        finder = RegistrationFinder(_REGISTRARS)
        sys.meta_path.insert(0, finder)
        finder.register_loaded()
