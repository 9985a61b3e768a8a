# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the pipeline does beyond pairs of pictures: blends of styles, films, and the best of many."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch

from .controls_stylevar import (
    blend_references,
    check_unit,
    check_weights,
    read_mask,
    read_strength_map,
    scale_strengths,
)
from .generation_stylevar import (
    StyleVARGenerateOutput,
    StyleVARReference,
    StyleVARScaleState,
    check_sampling,
    evaluating,
)
from .image_processing_stylevar import ImageSource
from .painting_stylevar import PaintJob
from .pipeline_inputs_stylevar import (
    check_counts,
    check_output,
    check_strengths,
    is_list,
    make_generators,
    name_sources,
    notice_aspects,
    per_pair,
    read_maps,
    style_masks,
)
from .retouching_stylevar import Retouching


# How a content is made to fit, in the words of the call and of the image processor.
FITS = {"stretch": "stretch", "crop": "center_crop", "pad": "pad"}

Image = PIL.Image.Image | np.ndarray | torch.Tensor


class StyleVARControls:
    """The part of [`StyleVARPipeline`] that is about styles rather than pairs; nothing by itself."""

    def blend_styles(
        self,
        styles: Sequence[ImageSource | StyleVARReference],
        weights: Sequence[float] | None = None,
        masks: Sequence[ImageSource] | None = None,
        *,
        fit: str | None = None,
    ) -> StyleVARReference:
        r"""
        Several styles as one, for `style=` of any call: in every block their answers are blended,
        `sum_i w_i Attn(Q=style_i)`, and so are gates, scales and shifts, with one weight per style and token (the
        blended attention of arXiv 2604.21052, with more guides).

        Args:
            styles (list of pictures or [`StyleVARReference`]):
                At least one.
            weights (sequence of floats, *optional*):
                One per style, not negative; they are divided by their sum. Equal by default.
            masks (list of pictures, *optional*):
                One per style: white where it counts, over the content, whatever its size. They are carried to the
                tokens of every scale; edges are as soft as the pictures', and at coarse scales softer.
            fit (`str`, *optional*):
                How the styles are made to fit; see the call.

        Returns:
            [`StyleVARReference`]: May be kept and used for any content; `torch.save` writes it.

        Raises:
            ValueError: If there is no style, weights are negative or sum to 0, numbers differ, or a mask is black.

        Example:

        ```python
        >>> both = pipe.blend_styles(["sea.jpg", "fire.jpg"], weights=[0.7, 0.3])
        >>> image = pipe("photo.jpg", both, seed=0)
        ```
        """
        # 1. Check, before the model does anything
        if not is_list(styles):
            raise ValueError(f"`styles` must be a list, but got {type(styles).__name__}. Pass one style or more.")
        named = name_sources("styles", styles)
        check_weights(weights, len(named))
        if masks is not None:
            if not is_list(masks) or len(masks) != len(named):
                found = len(masks) if is_list(masks) else type(masks).__name__
                raise ValueError(
                    f"`masks` must be a list with one picture per style ({len(named)}), but got {found}. Match them."
                )
            masks = [read_mask(mask, f"masks[{index}]") for index, mask in enumerate(masks)]
        pictures, given = self._sort_styles(named)
        for name, reference in given.items():
            if reference.weights is not None:
                raise ValueError(f"`{name}` must be a single style, but got a blend. Blend all styles at once.")
        inputs = self.preprocess(pictures, len(pictures), self._resize_modes(fit)[1]) if pictures else None
        # 2. Encode and blend
        references = self._encode_styles(named, given, inputs, len(named), self._batch_size or 1)
        return blend_references(references, weights, masks, self.model.config.patch_nums)

    def stylize_frames(
        self,
        frames: Iterable[ImageSource],
        style: ImageSource | StyleVARReference,
        *,
        seed: int = 0,
        steadiness: float = 0.5,
        style_strength: float = 0.0,
        strength_per_scale: str | Sequence[float] | None = None,
        strength_map: ImageSource | None = None,
        keep_colors: float = 0.0,
        mask: ImageSource | None = None,
        mask_feather: int = 8,
        fit: str | None = None,
        paint_size: int | None = None,
        output_type: str = "pil",
        output_size: str | tuple[int, int] = "content",
        batch_size: int | None = None,
        do_sample: bool | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        previous_codes: torch.LongTensor | None = None,
        callback_on_frame_end: Callable[[torch.LongTensor], None] | None = None,
    ) -> Iterator[Image]:
        r"""
        Stylise the frames of a film, one by one as they come, without knowing how things move: every frame is drawn
        from the same random numbers, and a token keeps its code `c` of the frame before where
        `p(c) >= (1 - steadiness) max p`, so that what does not change in the content does not flicker.

        Args:
            frames (iterable of pictures):
                All of one size. They are read when their turn comes.
            style (picture or [`StyleVARReference`]):
                How to paint them.
            seed (`int`, *optional*, defaults to 0):
                Of every frame.
            steadiness (`float`, *optional*, defaults to 0.5):
                In [0, 1]: 0 keeps no code, 1 all.
            batch_size (`int`, *optional*):
                With `paint_size`, windows that the model sees at once.
            previous_codes (`torch.LongTensor`, *optional*):
                Codes of the frame before the first, to go on with a film.
            callback_on_frame_end (`Callable`, *optional*):
                Called with the codes of each frame after it.
            style_strength, strength_per_scale, strength_map, keep_colors, mask, mask_feather, fit, paint_size, \
            output_type, output_size, do_sample, top_k, top_p, temperature (*optional*):
                As of a call; the same for all frames.

        Yields:
            The painted frames.

        Raises:
            ValueError: If an argument does not fit, at once; if there is no frame or one of another size, in its turn.
        """
        # 1. Check the arguments, encode the style
        check_output(output_type, output_size)
        check_counts(batch_size=batch_size)
        check_sampling(top_k, top_p, temperature, do_sample is not False)
        check_unit("steadiness", steadiness, advice="0 keeps no code of the frame before.")
        (strength,) = check_strengths(per_pair("style_strength", style_strength, 1))
        make_generators(seed, None, 1, 1)
        content_mode, style_mode = self._resize_modes(fit)
        canvas_mode = content_mode if paint_size is None else "stretch"
        retouch = Retouching(self.image_processor, canvas_mode, keep_colors, mask_feather, output_type, output_size)
        if strength_per_scale is not None:
            strength_per_scale = scale_strengths(strength_per_scale, self.model.config.num_scales)
        masks = read_maps("mask", mask, 1, read_mask, neutral=1.0)
        maps = read_maps("strength_map", strength_map, 1, read_strength_map, neutral=0.0)
        styles = name_sources("style", style)
        pictures, given = self._sort_styles(styles)
        inputs = self.preprocess(pictures, 1, style_mode) if pictures else None
        job = PaintJob(
            sizes=[],
            images=[],
            styles=self._encode_styles(styles, given, inputs, 1, 1),
            strengths=[strength],
            masks=masks,
            maps=maps,
            generators=None,
            num_draws=1,
            resize_mode=content_mode,
            per_scale=strength_per_scale,
            sampling={"do_sample": do_sample, "top_k": top_k, "top_p": top_p, "temperature": temperature},
            paint_size=paint_size,
            windows_at_once=batch_size or 4,
            steadiness=steadiness,
            previous_codes=previous_codes,
        )
        return self._paint_frames(iter(frames), job, retouch, seed, callback_on_frame_end)

    def _paint_frames(
        self,
        frames: Iterator[ImageSource],
        job: PaintJob,
        retouch: Retouching,
        seed: int,
        callback_on_frame_end: Callable[[torch.LongTensor], None] | None,
    ) -> Iterator[Image]:
        """2. Paint frame by frame."""
        for index, frame in enumerate(frames):
            inputs = self.preprocess({f"frames[{index}]": frame}, 1, job.resize_mode, keep_images=True)
            if index > 0 and inputs["sizes"] != job.sizes:
                (height, width), (found_height, found_width) = job.sizes[0], inputs["sizes"][0]
                raise ValueError(
                    f"`frames` must all be of one size ({width} x {height}), but frame {index} is {found_width} x "
                    f"{found_height}. Cut the film there."
                )
            job.sizes, job.images = inputs["sizes"], inputs["images"]
            if index == 0:
                of_styles = style_masks(job.styles)
                for name, maps in (("mask", job.masks), ("strength_map", job.maps), ("masks", of_styles)):
                    notice_aspects(name, maps, job.sizes)
            job.generators = [torch.Generator().manual_seed(int(seed))]
            content = None
            if job.paint_size is None:
                content = self._encode(self.model.encode_content, inputs["pixel_values"], 1)
            outputs = self._paint(job, content, [0], range(1))
            job.previous_codes = outputs.sequences
            if callback_on_frame_end is not None:
                callback_on_frame_end(outputs.sequences)
            yield retouch(outputs.pixel_values[0], job.sizes[0], job.images[0], job.masks[0])
        if not job.sizes:
            raise ValueError("`frames` must hold at least one frame, but got none. Check the film.")

    def _paint(
        self,
        job: PaintJob,
        content: StyleVARReference | None,
        pairs: Sequence[int],
        samples: range,
        callback: Callable[[StyleVARScaleState], None] | None = None,
    ) -> StyleVARGenerateOutput:
        """Some images of some pairs, whose contents are given as rows; on a canvas, one image of one pair."""
        if job.paint_size is None:
            return self._forward(job.batch_inputs(self.model, content, pairs, samples), callback_on_scale_end=callback)
        with self.device_placement(), evaluating(self.model), torch.inference_mode():
            return job.paint_windows(self.model, self.image_processor, pairs[0], samples[0], callback)

    def _rank(
        self,
        ranker: Callable[..., Sequence[float]],
        painted: dict[int, torch.Tensor],
        job: PaintJob,
        inputs: dict[str, Any],
        style_inputs: dict[str, Any] | None,
        style_rows: list[int | None],
        num_images: int,
    ) -> list[tuple[int, float]]:
        """The best images of each pair, the best first: their rows and scores."""
        chosen = []
        for i in range(len(job.sizes)):
            rows = range(i * job.num_draws, (i + 1) * job.num_draws)
            size = tuple(painted[rows[0]].shape[1:])
            content = inputs["pixel_values"][inputs["rows"][i]] / 2 + 0.5
            if job.paint_size is not None:
                content = self.image_processor.fit_image(job.images[i], size, "stretch")
            row = style_rows[i if len(style_rows) > 1 else 0]
            style = None if row is None else style_inputs["pixel_values"][row] / 2 + 0.5
            scores = ranker(
                images=[(painted[row].float() / 2 + 0.5).clamp(0, 1) for row in rows],
                content_images=[content] * len(rows),
                style_images=[style] * len(rows),
            )
            scores = [float(score) for score in scores]
            if len(scores) != len(rows):
                raise ValueError(
                    f"`rank_by` must return one number per image ({len(rows)}), but got {len(scores)}. Correct it."
                )
            order = sorted(range(len(rows)), key=lambda j: (math.isnan(scores[j]), -scores[j]))
            chosen += [(rows[j], scores[j]) for j in order[:num_images]]
        return chosen

    def _resize_modes(self, fit: str | None) -> tuple[str, str]:
        """How contents and styles are made to fit. No style is padded: its frame would be painted."""
        if fit is None:
            return self.image_processor.resize_mode, self.image_processor.resize_mode
        if fit not in FITS:
            raise ValueError(f"`fit` must be one of {', '.join(FITS)}, but got {fit!r}. Choose one.")
        return FITS[fit], "stretch" if fit == "stretch" else "center_crop"

    def _sort_styles(
        self, styles: dict[str, ImageSource | StyleVARReference]
    ) -> tuple[dict[str, ImageSource], dict[str, StyleVARReference]]:
        """Pictures and references, by name."""
        given = {name: style for name, style in styles.items() if isinstance(style, StyleVARReference)}
        width, length = self.model.config.hidden_size, self.model.config.sequence_length
        for name, reference in given.items():
            fits = reference.embedding is not None and reference.features is not None
            if not fits or len(reference.embedding) != 1 or reference.embedding.shape[-1] != width:
                found = "no embedding" if not fits else f"an embedding of shape {tuple(reference.embedding.shape)}"
                raise ValueError(
                    f"`{name}` must be a reference of one row and of this model (width {width}), but got {found}. Use "
                    "`pipe.blend_styles`."
                )
            if reference.features.shape[-2] != length:
                raise ValueError(
                    f"`{name}` must have {length} tokens, as this model, but got {reference.features.shape[-2]}. Use "
                    "`pipe.blend_styles`."
                )
        return {name: style for name, style in styles.items() if name not in given}, given

    def _encode_styles(
        self,
        styles: dict[str, ImageSource | StyleVARReference],
        given: dict[str, StyleVARReference],
        inputs: dict[str, Any] | None,
        num_pairs: int,
        batch_size: int,
    ) -> list[StyleVARReference]:
        """The style of each pair, one row each; every picture is encoded once."""
        encoded = {}
        if inputs is not None:
            reference = self._encode(self.model.encode_style, inputs["pixel_values"], batch_size)
            names = [name for name in styles if name not in given]
            encoded = {name: reference.select([row]) for name, row in zip(names, inputs["rows"], strict=False)}
        for name, reference in given.items():
            encoded[name] = StyleVARReference(**{key: value.to(self.device) for key, value in reference.items()})
        references = [encoded[name] for name in styles]
        return references * num_pairs if len(references) == 1 else references


__all__ = ["FITS", "StyleVARControls"]
