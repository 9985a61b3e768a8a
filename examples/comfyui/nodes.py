# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The nodes. What they do is done by `stylevar_hf.StyleVARPipeline`; for a seed, the picture is the same."""

import math
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import torch
from comfy import model_management
from comfy.cli_args import LatentPreviewMethod, args
from comfy_api.latest import ComfyExtension, io

from stylevar_hf import StyleVARPipeline
from stylevar_hf.checkpoints import MODELS, find_checkpoint

from .tensors import to_images, to_pictures


CATEGORY = "StyleVAR"
OWN = "0: the model's own."
MAX_SEED = 2**63 - 65
FOLDER = Path(folder_paths.models_dir) / "stylevar"

Pipeline = io.Custom("STYLEVAR_PIPELINE")

folder_paths.add_model_folder_path("stylevar", str(FOLDER))


def _local_models() -> list[str]:
    """Folders of `models/stylevar` that hold a model, or an adapter."""
    places = map(Path, folder_paths.get_folder_paths("stylevar"))
    configs = [config for place in places for config in place.glob("*/*config.json")]
    return sorted({config.parent.name for config in configs if config.name in ("config.json", "adapter_config.json")})


def _find(name: str) -> str:
    """A folder of `models/stylevar`, a checkpoint that comes with the package, or else an id on the Hub."""
    for place in map(Path, folder_paths.get_folder_paths("stylevar")):
        if (place / name).is_dir():
            return str(place / name)
    return find_checkpoint(name)


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StyleVARLoadModel",
            display_name="Load StyleVAR",
            category=CATEGORY,
            description="Loads a StyleVAR model: one that comes with the package, a folder, or a repository.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*MODELS, *_local_models()],
                    tooltip="A model of the package, or a folder in models/stylevar.",
                ),
                io.String.Input(
                    "repository",
                    default="",
                    optional=True,
                    tooltip="Instead: an id on the Hub, user/name. It is downloaded once.",
                ),
                io.String.Input(
                    "adapter",
                    default="",
                    optional=True,
                    tooltip="A LoRA adapter on top: a folder in models/stylevar, or an id on the Hub. Needs peft.",
                ),
                io.Combo.Input("device", options=["auto", "cpu"], default="auto", optional=True),
                io.Combo.Input("dtype", options=["auto", "float32", "bfloat16", "float16"], optional=True),
            ],
            outputs=[Pipeline.Output(display_name="pipeline")],
        )

    @classmethod
    def execute(
        cls, model: str, repository: str = "", adapter: str = "", device: str = "auto", dtype: str = "auto"
    ) -> io.NodeOutput:
        options: dict[str, Any] = {"adapter": _find(adapter.strip())} if adapter.strip() else {}
        pipe = StyleVARPipeline.from_pretrained(
            repository.strip() or _find(model),
            device=model_management.get_torch_device() if device == "auto" else device,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            **options,
        )
        return io.NodeOutput(pipe)


class Stylize(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StyleVARStylize",
            display_name="StyleVAR Stylize",
            category=CATEGORY,
            description="Paints the content in the style of another picture.",
            inputs=[
                Pipeline.Input("pipeline"),
                io.Image.Input("content", tooltip="What to paint. A batch is painted picture by picture."),
                io.Image.Input("style", tooltip="How to paint it: one picture for all contents, or one for each."),
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
                io.Float.Input(
                    "style_strength",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    tooltip="1: all style. -1: all content.",
                ),
                io.Combo.Input(
                    "size",
                    options=["content", "model"],
                    tooltip="Of the result: as the content, or as the model paints.",
                ),
                io.Int.Input("num_images", default=1, min=1, max=64, tooltip="Variants of each content."),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Pictures painted at once."),
                io.Int.Input("top_k", default=0, min=0, max=2**20, optional=True, tooltip=OWN),
                io.Float.Input("top_p", default=0.0, min=0.0, max=1.0, step=0.01, optional=True, tooltip=OWN),
                io.Float.Input("temperature", default=0.0, min=0.0, max=10.0, step=0.05, optional=True, tooltip=OWN),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(
        cls,
        pipeline: StyleVARPipeline,
        content: torch.Tensor,
        style: torch.Tensor,
        seed: int,
        style_strength: float,
        size: str,
        num_images: int,
        batch_size: int,
        top_k: int = 0,
        top_p: float = 0.0,
        temperature: float = 0.0,
    ) -> io.NodeOutput:
        contents, styles = to_pictures(content), to_pictures(style)
        total = max(len(contents), len(styles)) * num_images
        pictures = pipeline(
            contents,
            styles,
            seed=seed,
            style_strength=style_strength,
            output_size=size,
            num_images=num_images,
            batch_size=batch_size,
            top_k=top_k or None,
            top_p=top_p or None,
            temperature=temperature or None,
            callback_on_scale_end=_Progress(pipeline, math.ceil(total / batch_size)),
        )
        if num_images > 1:
            pictures = [picture for variants in pictures for picture in variants]
        return io.NodeOutput(to_images(pictures))


class _Progress:
    """After each scale: moves ComfyUI's bar, shows the picture so far where previews are on, and stops when asked."""

    def __init__(self, pipe: StyleVARPipeline, batches: int):
        self.pipe = pipe
        self.bar = comfy.utils.ProgressBar(batches * pipe.model.config.num_scales)
        self.previews = args.preview_method != LatentPreviewMethod.NoPreviews

    def __call__(self, state: Any) -> None:
        model_management.throw_exception_if_processing_interrupted()
        preview = None
        if self.previews and state.scale_index < state.num_scales - 1:
            preview = ("JPEG", self.pipe.postprocess(state.pixel_values[:1], [], "pil")[0], args.preview_size)
        self.bar.update_absolute(self.bar.current + 1, preview=preview)


class StyleVARExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadModel, Stylize]


async def comfy_entrypoint() -> StyleVARExtension:
    """What ComfyUI calls when it loads the pack."""
    return StyleVARExtension()


__all__ = ["comfy_entrypoint"]
