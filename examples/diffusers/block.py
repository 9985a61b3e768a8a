# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""StyleVAR as a block of diffusers' modular pipelines. It needs `stylevar-hf` beside diffusers."""

from typing import Any

import PIL.Image
import torch
from diffusers import ComponentSpec, InputParam, ModularPipelineBlocks, OutputParam

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor, StyleVARPipeline


Picture = str | PIL.Image.Image | list[str] | list[PIL.Image.Image]

# What goes to the pipeline's call as it is; `None` means its default.
OPTIONS = {
    "num_candidates": (int, "Draw so many and return the best."),
    "rank_by": (str, "The reward that tells the best."),
    "keep_colors": (float, "In [0, 1]: the content's hue under the painting's light."),
    "strength_per_scale": (Any, "palette, strokes, layout, or one number per scale."),
    "strength_map": (Any, "Grey picture of the strength by place."),
    "mask": (Any, "White where the content is painted."),
    "mask_feather": (int, "Pixels over which the painting fades in."),
    "fit": (str, "stretch, crop or pad."),
    "paint_size": (int, "Short side of the painting, for any shape."),
    "top_k": (int, "Sample from so many codes."),
    "top_p": (float, "Sample from this probability mass."),
    "temperature": (float, "Of the sampling."),
}


class StyleVARBlock(ModularPipelineBlocks):
    """Paints `image` in the style of `style_image` (arXiv 2604.21052)."""

    model_name = "stylevar"
    _requirements = {"stylevar-hf": ">=0.1.0.dev0"}

    @property
    def description(self) -> str:
        return "Paints a picture in the style of another with StyleVAR."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [
            ComponentSpec("model", StyleVARForConditionalGeneration),
            ComponentSpec("image_processor", StyleVARImageProcessor),
        ]

    @property
    def inputs(self) -> list[InputParam]:
        return [
            InputParam("image", type_hint=Picture, required=True, description="What to paint."),
            InputParam("style_image", type_hint=Picture, required=True, description="How to paint it."),
            InputParam("seed", type_hint=int, description="Of the random numbers; instead of `generator`."),
            InputParam("generator", type_hint=torch.Generator, description="Of the random numbers."),
            InputParam("style_strength", type_hint=float, default=0.0, description="In [-1, 1]."),
            InputParam("num_images", type_hint=int, default=1, description="Pictures of each content."),
            InputParam("output_size", type_hint=Any, default="content", description="content, model or (h, w)."),
            InputParam("output_type", type_hint=str, default="pil", description="pil, np or pt."),
            *(InputParam(name, type_hint=kind, description=text) for name, (kind, text) in OPTIONS.items()),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return [OutputParam("images", type_hint=list[PIL.Image.Image], description="The paintings.")]

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        block = self.get_block_state(state)
        options = {name: value for name in OPTIONS if (value := getattr(block, name)) is not None}
        pipe = StyleVARPipeline(
            model=components.model, image_processor=components.image_processor, device=components.model.device
        )
        images = pipe(
            block.image,
            block.style_image,
            seed=block.seed,
            generator=block.generator,
            style_strength=block.style_strength,
            num_images=block.num_images,
            output_size=block.output_size,
            output_type=block.output_type,
            **options,
        )
        block.images = images if isinstance(images, list) else [images]
        self.set_block_state(state, block)
        return components, state


__all__ = ["StyleVARBlock"]
