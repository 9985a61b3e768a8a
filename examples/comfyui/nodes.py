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
from stylevar_hf.checkpoints import MODELS
from stylevar_hf.conversion.loading import find_checkpoint

from .tensors import first_picture, scale_strengths, to_images, to_masks, to_pictures, to_style


CATEGORY = "StyleVAR"
OWN = "0: the model's own."
MAX_SEED = 2**63 - 65
MAX_STYLES = 4
FITS = ["as the model", "stretch", "crop", "pad"]
FOLDER = Path(folder_paths.models_dir) / "stylevar"

Pipeline = io.Custom("STYLEVAR_PIPELINE")
Style = io.Custom("STYLEVAR_STYLE")

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
                io.Combo.Input(
                    "variant",
                    options=["none", "sft", "grpo"],
                    default="none",
                    optional=True,
                    tooltip="Of a repository with the authors' own files: which of them. They are converted once.",
                ),
                io.String.Input(
                    "adapter",
                    default="",
                    optional=True,
                    tooltip="A LoRA adapter on top: a folder in models/stylevar, or an id on the Hub. Needs peft.",
                ),
                io.Combo.Input("device", options=["auto", "cpu"], default="auto", optional=True),
                io.Combo.Input(
                    "dtype", options=["auto", "float32", "bfloat16", "float16"], default="auto", optional=True
                ),
            ],
            outputs=[Pipeline.Output(display_name="pipeline")],
        )

    @classmethod
    def execute(
        cls,
        model: str,
        repository: str = "",
        variant: str = "none",
        adapter: str = "",
        device: str = "auto",
        dtype: str = "auto",
    ) -> io.NodeOutput:
        options: dict[str, Any] = {"adapter": _find(adapter.strip())} if adapter.strip() else {}
        if variant != "none":
            options["variant"] = variant
        pipe = StyleVARPipeline.from_pretrained(
            repository.strip() or _find(model),
            device=model_management.get_torch_device() if device == "auto" else device,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            **options,
        )
        return io.NodeOutput(pipe)


def _painting_inputs() -> list[io.Input]:
    """What pictures and films have in common."""
    return [
        io.Float.Input(
            "style_strength", default=0.0, min=-1.0, max=1.0, step=0.05, tooltip="1: all style. -1: all content."
        ),
        io.Float.Input(
            "keep_colors", default=0.0, min=0.0, max=1.0, step=0.05, optional=True, tooltip="1: the content's colours."
        ),
        io.Int.Input(
            "paint_size",
            default=0,
            min=0,
            max=4096,
            step=8,
            optional=True,
            tooltip="Short side of the painting, whatever its shape. 0: the model's own square.",
        ),
        io.Combo.Input(
            "fit", options=FITS, default=FITS[0], optional=True, tooltip="How a picture that is no square is fitted."
        ),
        io.String.Input(
            "strength_per_scale",
            default="",
            optional=True,
            tooltip="palette, strokes or layout; or one number per scale, coarse to fine: 0, 0, 0.5, ...",
        ),
        io.Image.Input(
            "strength_map", optional=True, tooltip="Strength by place: black is -1, middle grey 0, white 1."
        ),
        io.Mask.Input("mask", optional=True, tooltip="Where to paint. The rest stays as it is, bit for bit."),
        io.Int.Input("mask_feather", default=8, min=0, max=512, optional=True, tooltip="In pixels of the result."),
        io.Int.Input("top_k", default=0, min=0, max=2**20, optional=True, tooltip=OWN),
        io.Float.Input("top_p", default=0.0, min=0.0, max=1.0, step=0.01, optional=True, tooltip=OWN),
        io.Float.Input("temperature", default=0.0, min=0.0, max=10.0, step=0.05, optional=True, tooltip=OWN),
    ]


def _painting_arguments(
    style_strength: float,
    keep_colors: float = 0.0,
    paint_size: int = 0,
    fit: str = FITS[0],
    strength_per_scale: str = "",
    mask_feather: int = 8,
    top_k: int = 0,
    top_p: float = 0.0,
    temperature: float = 0.0,
) -> dict[str, Any]:
    """The same as arguments of the pipeline."""
    return {
        "style_strength": style_strength,
        "keep_colors": keep_colors,
        "paint_size": paint_size or None,
        "fit": None if fit == FITS[0] else fit,
        "strength_per_scale": scale_strengths(strength_per_scale),
        "mask_feather": mask_feather,
        "top_k": top_k or None,
        "top_p": top_p or None,
        "temperature": temperature or None,
    }


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
                io.MultiType.Input(
                    "style", types=[io.Image, Style], tooltip="One picture for all contents, one for each, or a blend."
                ),
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
                io.Combo.Input(
                    "size",
                    options=["content", "model"],
                    tooltip="Of the result: as the content, or as the model paints.",
                ),
                io.Int.Input("num_images", default=1, min=1, max=64, tooltip="Variants of each content."),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Pictures painted at once."),
                *_painting_inputs(),
                io.Int.Input(
                    "num_candidates",
                    default=1,
                    min=1,
                    max=256,
                    optional=True,
                    tooltip="Draw so many, and keep the best num_images of them.",
                ),
                io.String.Input(
                    "rank_by",
                    default="texture-statistics",
                    optional=True,
                    tooltip="The reward that tells the best; see stylevar_hf.rewards.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(
        cls,
        pipeline: StyleVARPipeline,
        content: torch.Tensor,
        style: Any,
        seed: int,
        size: str,
        num_images: int,
        batch_size: int,
        mask: torch.Tensor | None = None,
        strength_map: torch.Tensor | None = None,
        num_candidates: int = 1,
        rank_by: str = "",
        **painting: Any,
    ) -> io.NodeOutput:
        contents, style = to_pictures(content), to_style(style)
        num_pairs = max(len(contents), len(style) if isinstance(style, list) else 1)
        draws = max(num_images, num_candidates)
        best = {"num_candidates": num_candidates, "rank_by": rank_by.strip()} if num_candidates > num_images else {}
        pictures = pipeline(
            contents,
            style,
            seed=seed,
            output_size=size,
            num_images=num_images,
            batch_size=batch_size,
            mask=to_masks(mask, num_pairs),
            strength_map=None if strength_map is None else first_picture(strength_map).convert("L"),
            callback_on_scale_end=_Progress(pipeline, math.ceil(num_pairs * draws / batch_size)),
            **best,
            **_painting_arguments(**painting),
        )
        if num_images > 1:
            pictures = [picture for variants in pictures for picture in variants]
        return io.NodeOutput(to_images(pictures))


class BlendStyles(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        numbers = range(1, MAX_STYLES + 1)
        return io.Schema(
            node_id="StyleVARBlendStyles",
            display_name="StyleVAR Blend Styles",
            category=CATEGORY,
            description="Several styles as one: mixed by weights, or each where its mask is white.",
            inputs=[
                Pipeline.Input("pipeline"),
                *(io.Image.Input(f"style_{k}", optional=k > 2) for k in numbers),
                *(
                    io.Float.Input(f"weight_{k}", default=1.0, min=0.0, max=10.0, step=0.05, optional=k > 2)
                    for k in numbers
                ),
                *(io.Mask.Input(f"mask_{k}", optional=True, tooltip="Where this style counts.") for k in numbers),
            ],
            outputs=[Style.Output(display_name="style")],
        )

    @classmethod
    def execute(cls, pipeline: StyleVARPipeline, **inputs: Any) -> io.NodeOutput:
        numbers = [k for k in range(1, MAX_STYLES + 1) if inputs.get(f"style_{k}") is not None]
        masks = [to_masks(inputs.get(f"mask_{k}"), 1) for k in numbers]
        if any(masks) and not all(masks):
            missing = next(k for k, mask in zip(numbers, masks, strict=True) if not mask)
            raise ValueError(f"`mask_{missing}` must be connected where other masks are. Connect it, or none.")
        reference = pipeline.blend_styles(
            [first_picture(inputs[f"style_{k}"]) for k in numbers],
            weights=[inputs.get(f"weight_{k}", 1.0) for k in numbers],
            masks=[mask[0] for mask in masks] if any(masks) else None,
        )
        return io.NodeOutput(reference)


class Film(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StyleVARFilm",
            display_name="StyleVAR Film",
            category=CATEGORY,
            description="Paints the frames of a film; what does not change in them does not flicker.",
            inputs=[
                Pipeline.Input("pipeline"),
                io.Image.Input("frames", tooltip="In their order, all of one size."),
                io.MultiType.Input("style", types=[io.Image, Style]),
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
                io.Float.Input(
                    "steadiness",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0: every frame for itself. 1: the paint of the first frame stays.",
                ),
                *_painting_inputs(),
            ],
            outputs=[io.Image.Output(display_name="frames")],
        )

    @classmethod
    def execute(
        cls,
        pipeline: StyleVARPipeline,
        frames: torch.Tensor,
        style: Any,
        seed: int,
        steadiness: float,
        mask: torch.Tensor | None = None,
        strength_map: torch.Tensor | None = None,
        **painting: Any,
    ) -> io.NodeOutput:
        style, masks, bar = to_style(style), to_masks(mask, 1), comfy.utils.ProgressBar(len(frames))
        painted = pipeline.stylize_frames(
            (to_pictures(frame[None])[0] for frame in frames),
            style[0] if isinstance(style, list) else style,
            seed=seed,
            steadiness=steadiness,
            mask=masks[0] if masks else None,
            strength_map=None if strength_map is None else first_picture(strength_map).convert("L"),
            **_painting_arguments(**painting),
        )
        images = []
        for picture in painted:
            model_management.throw_exception_if_processing_interrupted()
            images.append(to_images([picture]))
            bar.update(1)
        return io.NodeOutput(torch.cat(images))


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
            picture = self.pipe.image_processor.postprocess(state.pixel_values[:1].float())[0]
            preview = ("JPEG", picture, args.preview_size)
        self.bar.update_absolute(self.bar.current + 1, preview=preview)


class StyleVARExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadModel, Stylize, BlendStyles, Film]


async def comfy_entrypoint() -> StyleVARExtension:
    """What ComfyUI calls when it loads the pack."""
    return StyleVARExtension()


__all__ = ["comfy_entrypoint"]
