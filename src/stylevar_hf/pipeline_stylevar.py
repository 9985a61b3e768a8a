# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""From pictures to stylised pictures: the `image-style-transfer` pipeline."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from huggingface_hub import CommitInfo
from transformers import Pipeline
from transformers.utils import ModelOutput, cached_file, find_adapter_config_file, is_peft_available
from transformers.utils.logging import get_logger, tqdm

from .canvas_stylevar import plan_canvas
from .controls_stylevar import (
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
from .image_processing_stylevar import ImageSource, StyleVARImageProcessor, load_image
from .modeling_stylevar import StyleVARForConditionalGeneration
from .painting_stylevar import PaintJob
from .pipeline_controls_stylevar import StyleVARControls
from .pipeline_forms_stylevar import accepts_rows
from .pipeline_inputs_stylevar import (
    check_counts,
    check_output,
    check_strengths,
    count_pairs,
    is_list,
    load_ranker,
    make_generators,
    name_sources,
    nest,
    notice_aspects,
    per_pair,
    read_maps,
    split_batches,
    split_by_kind,
    style_masks,
)
from .retouching_stylevar import Retouching


logger = get_logger(__name__)


# Of every `from_pretrained`: which files, and from where.
HUB_OPTIONS = ("revision", "subfolder", "token", "cache_dir", "local_files_only", "force_download")

Image = PIL.Image.Image | np.ndarray | torch.Tensor
Nested = Image | list[Image] | list[list[Image]]


@dataclass
class StyleVARPipelineOutput(ModelOutput):
    """
    What [`StyleVARPipeline`] returns when previews are asked for.

    Args:
        images (`PIL.Image.Image`, `np.ndarray`, `torch.Tensor`, or nested lists of them):
            What the pipeline returns without previews.
        previews (nested `list`):
            `images` with each image replaced by the list of its previews, one per scale, coarse to fine; the last
            equals the image.
        scores (nested `list` of `float`, *optional*):
            `images` with each image replaced by its score, where candidates were ranked.
    """

    images: Any = None
    previews: Any = None
    scores: Any = None


def _without_place(hub_kwargs: dict[str, Any]) -> dict[str, Any]:
    """What holds for every repository; a revision or a subfolder is that of one."""
    return {name: value for name, value in hub_kwargs.items() if name not in ("revision", "subfolder")}


def find_image_processor(
    places: Sequence[tuple[str | os.PathLike, dict[str, Any]]],
) -> StyleVARImageProcessor | None:
    """
    The image processor of the first place that has one; if none has, `None` and a warning.

    Args:
        places (`Sequence[tuple[str, dict]]`):
            Folders or repositories, each with its `revision`, `subfolder`, `token` and so on.
    """
    for place, options in places:
        if cached_file(place, "preprocessor_config.json", **options, _raise_exceptions_for_missing_entries=False):
            return StyleVARImageProcessor.from_pretrained(place, **options)
    logger.warning(f"{places[-1][0]} has no preprocessor_config.json: pictures are stretched, as published.")
    return None


def has_fast_products(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether matrix products of this precision run on instructions made for them; without, a CPU emulates them."""
    if (
        device.type != "cpu"
        or dtype not in (torch.bfloat16, torch.float16)
        or not torch.backends.mkldnn.is_available()
    ):
        return True
    name = "bf16" if dtype == torch.bfloat16 else "fp16"
    return getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported")()


class StyleVARPipeline(StyleVARControls, Pipeline):
    r"""
    Paints the content picture in the style of the style picture (arXiv 2604.21052).

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            The model; it is put into evaluation mode and moved to `device`.
        image_processor ([`StyleVARImageProcessor`], *optional*):
            Turns pictures into pixels and back. Defaults to the published processing at the model's image size.
        device (`int`, `str` or `torch.device`, *optional*):
            Where the model runs. Defaults to the first accelerator, or the CPU if there is none.
        batch_size (`int`, *optional*):
            Default of the calls' `batch_size`.
        compile (`bool`, *optional*, defaults to `False`):
            On CUDA, record a graph per scale; see [`~StyleVARForConditionalGeneration.generate`]. Of `paint_size`,
            nothing is recorded.

    Raises:
        ValueError: If the processor makes images of another size than the model reads.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARPipeline, bundled_checkpoint

    >>> pipe = StyleVARPipeline.from_pretrained(bundled_checkpoint())
    >>> image = pipe("content.jpg", "style.jpg", seed=0, output_size="content")
    >>> images = pipe(["a.jpg", "b.jpg", "c.jpg"], "style.jpg", seed=0, batch_size=3)  # encodes the style once
    ```
    """

    _load_processor = False
    _load_image_processor = True
    _load_video_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(
        self,
        model: StyleVARForConditionalGeneration,
        image_processor: StyleVARImageProcessor | None = None,
        compile: bool = False,
        **kwargs,
    ):
        self.compile = compile
        image_size = model.config.image_size
        if image_processor is None:
            image_processor = StyleVARImageProcessor(size={"height": image_size, "width": image_size})
        size = image_processor.size
        if (size["height"], size["width"]) != (image_size, image_size):
            raise ValueError(
                f"`image_processor` must make images of {image_size} x {image_size} pixels for this model, but got "
                f"{dict(size)}. Use `StyleVARImageProcessor(size={image_size})`."
            )
        kwargs.setdefault("task", "image-style-transfer")
        super().__init__(model=model, image_processor=image_processor, **kwargs)
        self.model.eval()
        if not has_fast_products(self.model.dtype, self.device):
            logger.warning(
                f"This processor has no instructions for {self.model.dtype}: expect about a hundred times the time of "
                "float32. Load with `dtype=torch.float32`."
            )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        adapter: str | os.PathLike | None = None,
        adapter_kwargs: dict[str, Any] | None = None,
        device: int | str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        compile: bool = False,
        **kwargs,
    ) -> "StyleVARPipeline":
        """
        Load the model and the image processor from a folder or from the Hub.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`):
                Folder, or id of a repository on the Hub. Of an adapter, the base that it names is loaded below it. Of
                a repository with the published `.pth` files, such as `"Senfier-LiqiJing/StyleVAR"`, the model that
                `variant` names, `"sft"` or `"grpo"`, is downloaded and converted once, into the Hub's cache;
                `"stylevar-sft"` and `"stylevar-grpo"` are short for it.
            adapter (`str` or `os.PathLike`, *optional*):
                Folder or repository of a LoRA adapter for the model; needs `peft`. It stays apart from the weights:
                `pipe.model.disable_adapters()` shows the base, `save_pretrained` writes the adapter alone.
            adapter_kwargs (`dict`, *optional*):
                `revision`, `subfolder` and `token` of the adapter.
            device (`int`, `str` or `torch.device`, *optional*):
                Where the model runs. Defaults to the first accelerator, or the CPU. Not together with `device_map`.
            dtype (`str` or `torch.dtype`, *optional*, defaults to `"auto"`):
                Precision of the transformer; `"auto"` keeps that of the checkpoint.
            compile (`bool`, *optional*, defaults to `False`):
                On CUDA, record a graph per scale at the first call, for faster ones after it.
            kwargs:
                `revision`, `subfolder`, `token`, `cache_dir`, `local_files_only` and `force_download` for both parts;
                `variant`; everything else, such as `device_map` or `attn_implementation`, for the model.

        Returns:
            [`StyleVARPipeline`]

        Raises:
            ImportError: If there is an adapter and `peft` is not installed.
            OSError: If a file of the checkpoint is missing, or if it holds the published `.pth` files.
            ValueError: If the adapter is one that `load_adapter` of transformers does not load whole (DoRA).
        """
        if (old_name := kwargs.pop("torch_dtype", None)) is not None:  # as in `transformers.pipeline`
            logger.warning_once("`torch_dtype` is deprecated! Use `dtype` instead!")
            dtype = old_name if dtype == "auto" else dtype
        pretrained_model_name_or_path, kwargs = StyleVARForConditionalGeneration.resolve_published(
            pretrained_model_name_or_path, **kwargs
        )
        hub_kwargs = {name: kwargs[name] for name in HUB_OPTIONS if kwargs.get(name) is not None}
        model_kwargs = {name: value for name, value in kwargs.items() if name not in HUB_OPTIONS}
        # 1. The model, and the adapter on it
        adapter_config = find_adapter_config_file(str(pretrained_model_name_or_path), **hub_kwargs)
        is_adapter = adapter_config is not None
        if (is_adapter or adapter is not None) and not is_peft_available():
            name = pretrained_model_name_or_path if adapter is None else adapter
            raise ImportError(f"{name} is an adapter, which needs peft. Install it with `pip install peft`.")
        load_kwargs = {**_without_place(hub_kwargs), **(adapter_kwargs or {})}
        _check_adapter(pretrained_model_name_or_path, adapter_config)
        if adapter is not None:
            _check_adapter(adapter, find_adapter_config_file(str(adapter), **load_kwargs))
        if is_adapter:  # what tells the repository of the adapter from that of its base
            model_kwargs["adapter_kwargs"] = {
                name: hub_kwargs[name] for name in ("revision", "subfolder", "token") if name in hub_kwargs
            }
        model = StyleVARForConditionalGeneration.from_pretrained(
            pretrained_model_name_or_path, dtype=dtype, **hub_kwargs, **model_kwargs
        )
        places = [(pretrained_model_name_or_path, hub_kwargs)]
        if is_adapter:
            places.append((model.config._name_or_path, _without_place(hub_kwargs)))
        if adapter is not None:
            model.load_adapter(str(adapter), adapter_kwargs=load_kwargs)
        # 2. The image processor, from the first place that has one
        return cls(model=model, image_processor=find_image_processor(places), device=device, compile=compile)

    def to(self, device: int | str | torch.device) -> "StyleVARPipeline":
        """Moves the model to a device, on which later calls run, and returns the pipeline."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    def save_pretrained(
        self, save_directory: str | os.PathLike, max_shard_size: int | str = "50GB", **kwargs: Any
    ) -> None:
        """
        Save the model and the image processor; `from_pretrained` and `pipeline("image-style-transfer", ...)` read
        the folder. To publish, use [`~StyleVARPipeline.push_to_hub`].

        Args:
            save_directory (`str` or `os.PathLike`):
                The folder; made if missing.
            max_shard_size (`int` or `str`, *optional*, defaults to `"50GB"`):
                Size above which the weights are split into several files.
            **kwargs:
                See `PreTrainedModel.save_pretrained`, such as `variant`.

        Raises:
            ValueError: If `save_directory` is a file.
        """
        if os.path.isfile(save_directory):
            raise ValueError(f"`save_directory` must be a folder, but got the file {save_directory}. Choose another.")
        # Not `Pipeline.save_pretrained`: it marks the config as needing remote code for every later `pipeline(...)`.
        self.model.save_pretrained(save_directory, max_shard_size=max_shard_size, **kwargs)
        self.image_processor.save_pretrained(save_directory)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload StyleVARPipeline",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "5GB",
        **kwargs: Any,
    ) -> CommitInfo:
        """
        Upload the model and the image processor, with card, licence and source files, in one commit; the repository is
        made if missing, and a card that it has already is kept.

        Args:
            repo_id (`str`):
                `user/name` of the repository.
            commit_message (`str`, *optional*, defaults to `"Upload StyleVARPipeline"`):
                Message of the commit.
            private (`bool`, *optional*):
                Whether a new repository is private; `None` leaves it to the account's default.
            token (`str` or `bool`, *optional*):
                Token to authenticate with. Defaults to the one stored on this machine.
            revision (`str`, *optional*):
                Branch to commit to. Defaults to the main branch.
            create_pr (`bool`, *optional*, defaults to `False`):
                Whether to open a pull request instead.
            max_shard_size (`int` or `str`, *optional*, defaults to `"5GB"`):
                Size above which the weights are split into several files.
            **kwargs:
                See [`~stylevar_hf.hub.push_model`]: `license`, `base_model`, `datasets` and others.

        Returns:
            `huggingface_hub.CommitInfo`
        """
        return self.model.push_to_hub(
            repo_id,
            image_processor=self.image_processor,
            commit_message=commit_message,
            private=private,
            token=token,
            revision=revision,
            create_pr=create_pr,
            max_shard_size=max_shard_size,
            **kwargs,
        )

    @accepts_rows
    def __call__(
        self,
        content: ImageSource | Sequence[ImageSource],
        style: ImageSource | Sequence[ImageSource],
        *,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        style_strength: float | Sequence[float] = 0.0,
        num_images: int = 1,
        batch_size: int | str | None = None,
        do_sample: bool | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        output_type: str = "pil",
        output_size: str | tuple[int, int] = "model",
        fit: str | None = None,
        keep_colors: float = 0.0,
        strength_per_scale: str | Sequence[float] | None = None,
        strength_map: ImageSource | Sequence[ImageSource] | None = None,
        mask: ImageSource | Sequence[ImageSource] | None = None,
        mask_feather: int = 8,
        paint_size: int | None = None,
        num_candidates: int = 1,
        rank_by: str | Callable[..., Sequence[float]] | None = None,
        callback_on_scale_end: Callable[[StyleVARScaleState], None] | None = None,
        previews: bool = False,
        progress: bool = False,
    ) -> Nested | StyleVARPipelineOutput:
        r"""
        Stylise one picture or many.

        Instead of `content` and `style` apart there may be rows, mappings with both of them: one, a list, or a stream
        (a generator, a `torch.utils.data.Dataset` or a `datasets.Dataset`). A stream of rows or of contents is painted
        `batch_size` pairs at a time, one by default, and the call returns an iterator over the results; `num_workers`
        (`int`, *optional*, defaults to 0) threads read the files that come next.

        Args:
            content (path, URL, `PIL.Image.Image`, `np.ndarray`, `torch.Tensor`, or a list of them):
                What to paint; see [`load_image`] for the accepted shapes and ranges. The column of a
                `datasets.Dataset` is a list.
            style (path, URL, `PIL.Image.Image`, `np.ndarray`, `torch.Tensor`, or a list of them):
                How to paint it; or what [`~StyleVARPipeline.blend_styles`] returned. Contents and styles are paired in
                order; a single one of either kind, or a list of one, is used for all. A picture that occurs several
                times (the same path or the same object) is read and encoded once.
            seed (`int` or `Sequence[int]`, *optional*):
                One for all pairs, or one per pair. Image `j` of a pair is drawn with the seed `seed + j` alone, on
                every device: neither the position of the pair nor the batch size changes it, floating-point rounding
                aside. `None` draws from torch's global generator.
            generator (`torch.Generator` or `Sequence[torch.Generator]`, *optional*):
                Instead of `seed`: one per image (image `j` of pair `i` takes number `i * num_images + j`), or a single
                one that all images draw from in turn, so that the result depends on `batch_size`.
            style_strength (`float` or `Sequence[float]`, *optional*, defaults to 0.0):
                In [-1, 1], for all pairs or one per pair: more of the style if positive, of the content if negative.
            num_images (`int`, *optional*, defaults to 1):
                Images to draw per pair.
            batch_size (`int` or `"auto"`, *optional*):
                Images to draw at once, or as many as the memory holds. Defaults to `num_images`, that is one pair.
            do_sample, top_k, top_p, temperature (*optional*):
                See [`~StyleVARForConditionalGeneration.generate`]; `None` means the model's `generation_config`.
            output_type (`str`, *optional*, defaults to `"pil"`):
                `"pil"`, `"np"` (float32 in [0, 1], `(height, width, 3)`) or `"pt"` (`(3, height, width)`).
            output_size (`str` or `tuple[int, int]`, *optional*, defaults to `"model"`):
                `"model"`: as the model paints. `"content"`: the content's own size, without the padding if the
                processor pads; where that is larger, the content guides the enlargement, so that edges are sharp
                ([`guided_resize`]). Or `(height, width)`.
            fit (`str`, *optional*):
                How a content that is no square is made to fit: `"stretch"`, `"crop"` (the centre) or `"pad"` (with its
                own edge, cut off at the end). Styles are then stretched or cropped. Defaults to what the image
                processor says, `"stretch"` as published.
            keep_colors (`float`, *optional*, defaults to 0.0):
                In [0, 1]: the content's hue and chroma under the painting's light, in OKLab; see [`keep_colors`].
            strength_per_scale (`str` or sequence of `K` floats, *optional*):
                In [-1, 1], added to `style_strength` at each scale, coarse to fine; or `"palette"`, `"strokes"` or
                `"layout"`. Coarse scales are layout and palette, fine ones strokes.
            strength_map (picture, or a list with one per pair, *optional*):
                Added to `style_strength` at each place of the content: a grey picture (black is -1, 128 is 0, white is
                1), or floats of shape `(height, width)` in [-1, 1]. The share of the style at a token is
                `clamp(alpha_k + (s + s_k + m(x)) / 2, 0.01, 0.99)`, with the sum clipped to [-1, 1].
            mask (picture, or a list with one per pair, *optional*):
                White where the content is painted, black where it stays as it is, bit for bit at the size of the
                result. What stays is context for what is painted.
            mask_feather (`int`, *optional*, defaults to 8):
                Pixels of the result over which the painting fades in from the edge of the mask.
            paint_size (`int`, *optional*):
                Paint the whole content, unstretched, with its short side at this many pixels: on overlapping windows
                of the model's size that share one canvas ([`paint_canvas`]). `fit` then concerns the style alone.
            num_candidates (`int`, *optional*, defaults to 1):
                Draw so many images per pair and return the `num_images` best of them, the best first. With
                `output_type="pil"`, `image.info` holds the `"score"` and the number of the draw, `"candidate"`, whose
                seed is `seed + candidate`.
            rank_by (`str` or `Callable`, *optional*):
                What tells the best: the name of a reward, as [`~stylevar_hf.rewards.get_reward`] reads it (needs the
                package), or a function of `images=`, `content_images=` and `style_images=`, lists of tensors
                `(3, height, width)` in [0, 1], that returns one number per image, larger for better ones.
            callback_on_scale_end (`Callable[[StyleVARScaleState], None]`, *optional*):
                Called after each scale of each batch.
            previews (`bool`, *optional*, defaults to `False`):
                Whether to decode and return the image after each scale too.
            progress (`bool`, *optional*, defaults to `False`):
                Whether to show a progress bar over the scales.

        Returns:
            One image for one content and one style, or a list of images if `num_images > 1`. If `content` or `style`
            is a list, the list of that, one entry per pair. With `previews`, a [`StyleVARPipelineOutput`]. Of a
            stream, an iterator over the entries.

        Raises:
            ValueError: If a picture cannot be read or an argument does not fit; before the model starts.
        """
        # 1. Check the arguments and read the pictures, before the model does anything
        check_counts(num_images=num_images, batch_size=None if batch_size == "auto" else batch_size)
        check_output(output_type, output_size)
        check_sampling(top_k, top_p, temperature, do_sample is not False)
        ranker = load_ranker(rank_by, num_candidates, num_images)
        num_draws = num_images if ranker is None else num_candidates
        content_mode, style_mode = self._resize_modes(fit)
        retouch = Retouching(
            self.image_processor,
            content_mode if paint_size is None else "stretch",
            keep_colors,
            mask_feather,
            output_type,
            output_size,
        )
        contents, styles = name_sources("content", content), name_sources("style", style)
        num_pairs = count_pairs(len(contents), len(styles))
        style_strength = check_strengths(per_pair("style_strength", style_strength, num_pairs))
        if strength_per_scale is not None:
            strength_per_scale = scale_strengths(strength_per_scale, self.model.config.num_scales)
        generators = make_generators(seed, generator, num_pairs, num_draws)
        masks = read_maps("mask", mask, num_pairs, read_mask, neutral=1.0)
        maps = read_maps("strength_map", strength_map, num_pairs, read_strength_map, neutral=0.0)
        style_pictures, given_styles = self._sort_styles(styles)
        keep_images = paint_size is not None or retouch.needs_content(masks)
        inputs = self.preprocess(contents, num_pairs, content_mode, keep_images)
        style_inputs = self.preprocess(style_pictures, num_pairs, style_mode) if style_pictures else None
        for name, pictures in (("mask", masks), ("strength_map", maps)):
            notice_aspects(name, pictures, inputs["sizes"])
        if paint_size is not None:
            for size in inputs["sizes"]:
                plan_canvas(size, paint_size, self.model.config.vq_config)

        # 2. Encode every picture once; windows are encoded when their turn comes
        batch_size = self.images_at_once(batch_size, num_draws)
        job = PaintJob(
            sizes=inputs["sizes"],
            images=inputs["images"],
            styles=self._encode_styles(styles, given_styles, style_inputs, num_pairs, batch_size),
            strengths=style_strength,
            masks=masks,
            maps=maps,
            generators=generators,
            num_draws=num_draws,
            resize_mode=content_mode,
            per_scale=strength_per_scale,
            sampling={"do_sample": do_sample, "top_k": top_k, "top_p": top_p, "temperature": temperature},
            paint_size=paint_size,
            windows_at_once=max(batch_size, 4),
        )
        notice_aspects("masks", style_masks(job.styles), job.sizes)
        if paint_size is None:
            encoded = self._encode(self.model.encode_content, inputs["pixel_values"], batch_size)
            batches = split_by_kind(split_batches(num_pairs, num_draws, batch_size), job.styles)
        else:
            encoded, batches = None, split_batches(num_pairs, num_draws, 1)

        # 3. Paint and retouch, batch by batch; candidates are retouched once they are chosen
        def finish(row: int, pixel_values: torch.Tensor) -> Image:
            i = row // num_draws
            return retouch(pixel_values, job.sizes[i], job.images[i], masks[i])

        images: dict[int, Any] = {}
        scales: dict[int, list] = {}
        with tqdm(total=len(batches) * self.model.config.num_scales, unit="scale", disable=not progress) as bar:
            for pairs, samples in batches:
                rows = [i * num_draws + j for i in pairs for j in samples]
                callback = _ScaleCallback(bar, previews, callback_on_scale_end)
                content_rows = None if encoded is None else encoded.select([inputs["rows"][i] for i in pairs])
                outputs = self._paint(job, content_rows, pairs, samples, callback)
                for index, row in enumerate(rows):
                    stages = [pixels[index] for pixels in callback.previews]
                    pixels = outputs.pixel_values[index]
                    images[row] = finish(row, pixels) if ranker is None else pixels.cpu()
                    scales[row] = [finish(row, stage) for stage in stages] if ranker is None else stages
        scores = None
        if ranker is not None:
            numbers = iter(style_inputs["rows"] if style_inputs else ())
            style_rows = [None if name in given_styles else next(numbers) for name in styles]
            chosen = self._rank(ranker, images, job, inputs, style_inputs, style_rows, num_images)
            scores = [score for _, score in chosen]
            scales = {row: [finish(row, stage) for stage in scales[row]] for row, _ in chosen}
            images = {row: _with_score(finish(row, images[row]), row % num_draws, score) for row, score in chosen}

        # 4. Nest the results like the inputs
        nested = is_list(content) or is_list(style)
        results = nest(list(images.values()), num_images, nested)
        if not previews:
            return results
        return StyleVARPipelineOutput(
            images=results,
            previews=nest(list(scales.values()), num_images, nested),
            scores=None if scores is None else nest(scores, num_images, nested),
        )

    def images_at_once(self, batch_size: int | str | None, default: int = 1) -> int:
        """
        What a call's `batch_size` comes to: itself, the pipeline's own, or the default. `"auto"` is what fits in four
        fifths of the free memory of a GPU, by the sizes of cache, logits and pictures, at most 64; 4 on other devices.
        """
        batch_size = batch_size or self._batch_size or default
        if batch_size != "auto":
            return batch_size
        if self.device.type != "cuda":
            return 4
        config, itemsize = self.model.config, self.model.dtype.itemsize
        cache = 2 * config.num_hidden_layers * config.sequence_length * config.hidden_size * itemsize
        logits = 8 * config.patch_nums[-1] ** 2 * config.vq_config.codebook_size * 4  # and what sampling makes of them
        pictures = 6 * config.vq_config.base_channels * config.image_size**2 * self.model.vq_model.dtype.itemsize
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(min(max(0.8 * free // (cache + logits + pictures), 1), 64))

    def _sanitize_parameters(self, **kwargs) -> tuple[dict, dict, dict]:
        """`Pipeline` hands over what its constructor does not know; there is nothing to configure but the call."""
        if kwargs:
            raise ValueError(
                f"`StyleVARPipeline` must be built with arguments it knows, but got {sorted(kwargs)}. "
                "Pass them to the call: `pipe(content, style, ...)`."
            )
        return {}, {}, {}

    def preprocess(
        self,
        sources: dict[str, ImageSource],
        num_pairs: int,
        resize_mode: str | None = None,
        keep_images: bool = False,
    ) -> dict[str, Any]:
        """
        Read and prepare pictures, each once.

        Args:
            sources (`dict[str, ImageSource]`):
                The pictures by the names that error messages use.
            num_pairs (`int`):
                How many pairs they are for; a single picture is for all of them.
            resize_mode (`str`, *optional*):
                How they are made to fit. Defaults to the image processor's own.
            keep_images (`bool`, *optional*, defaults to `False`):
                Whether to return the pictures too.

        Returns:
            `dict` with `pixel_values`, a tensor of shape `(different pictures, 3, image_size, image_size)`, and for
            each pair its index in there (`rows`), the picture's own height and width (`sizes`) and the picture, or
            `None` (`images`).
        """
        resize_mode = self.image_processor.resize_mode if resize_mode is None else resize_mode
        pixel_values, rows, sizes, images, seen = [], [], [], [], {}
        for name, source in sources.items():
            key = os.fspath(source) if isinstance(source, str | os.PathLike) else id(source)
            if key not in seen:
                image = load_image(source, name, max_image_pixels=self.image_processor.max_image_pixels)
                pixels = self.image_processor(image, resize_mode=resize_mode, return_tensors="pt").pixel_values
                pixel_values.append(pixels)
                seen[key] = (len(seen), (image.height, image.width), image if keep_images else None)
            for values, value in zip((rows, sizes, images), seen[key], strict=True):
                values.append(value)
        if len(sources) == 1:
            rows, sizes, images = rows * num_pairs, sizes * num_pairs, images * num_pairs
        return {"pixel_values": torch.cat(pixel_values), "rows": rows, "sizes": sizes, "images": images}

    def _encode(
        self, encode: Callable[[torch.Tensor], StyleVARReference], pixel_values: torch.Tensor, batch_size: int
    ) -> StyleVARReference:
        """References of `(n, 3, image_size, image_size)` pixels, `batch_size` at a time."""
        with self.device_placement(), evaluating(self.model), torch.inference_mode():
            parts = [encode(chunk.to(self.device)) for chunk in pixel_values.split(batch_size)]
            return StyleVARReference(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    def _forward(self, model_inputs: dict[str, Any], **generate_kwargs) -> StyleVARGenerateOutput:
        """One batch through `generate`."""
        with self.device_placement(), evaluating(self.model), torch.inference_mode():
            return self.model.generate(**model_inputs, compile=self.compile, **generate_kwargs)

    def postprocess(
        self,
        pixel_values: torch.Tensor,
        content_sizes: list[tuple[int, int]],
        output_type: str = "pil",
        output_size: str | tuple[int, int] = "model",
        resize_mode: str | None = None,
    ) -> list[Image]:
        """Pixels `(n, 3, image_size, image_size)` in [-1, 1] as the list of `n` results."""
        as_painted = output_size == "model"
        return list(
            self.image_processor.postprocess(
                pixel_values,
                output_type,
                target_sizes=None if as_painted else content_sizes,
                output_size=None if isinstance(output_size, str) else output_size,
                resize_mode=resize_mode,
            )
        )


def _with_score(image: Image, candidate: int, score: float) -> Image:
    if isinstance(image, PIL.Image.Image):
        image.info.update(score=score, candidate=candidate)
    return image


class _ScaleCallback:
    """Advances the progress bar, keeps the previews, and calls the user's callback."""

    def __init__(self, bar: Any, keep_previews: bool, user_callback: Callable[[StyleVARScaleState], None] | None):
        self.bar = bar
        self.keep_previews = keep_previews
        self.user_callback = user_callback
        self.previews: list[torch.Tensor] = []

    def __call__(self, state: StyleVARScaleState) -> None:
        self.bar.update()
        if self.keep_previews:
            self.previews.append(state.pixel_values.cpu())
        if self.user_callback is not None:
            self.user_callback(state)


def _check_adapter(name: str | os.PathLike, config_file: str | None) -> None:
    """Refuse an adapter that transformers would load in part: it loses the magnitudes of DoRA."""
    if config_file is None:
        return
    with open(config_file, encoding="utf-8") as file:
        config = json.load(file)
    if config.get("use_dora"):
        raise ValueError(
            f"`adapter` must be a plain LoRA adapter, but got {os.fspath(name)}, which is one of DoRA. Merge it into "
            "its base with `PeftModel.from_pretrained(base, adapter).merge_and_unload()`, save that and load it."
        )


__all__ = ["StyleVARPipeline", "StyleVARPipelineOutput"]
