# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Generation with StyleVAR (arXiv 2604.21052): logit filters, sampling, the cache, and the scale-by-scale loop.

Legend: `B` content-style pairs, `N = B * num_return_sequences` images (row `i * num_return_sequences + j` is image `j`
of pair `i`), `T` tokens of the current scale, `L` tokens of all scales, `V` codebook size, `H` heads, `D` width.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin
from transformers.utils import ModelOutput

from .configuration_stylevar import StyleVARConfig
from .graphs_stylevar import Scales, recorded_scales
from .modeling_stylevar_vq import StyleVARVQModel, area_resize


# How the published code samples.
PUBLISHED_SAMPLING = {"do_sample": True, "top_k": 900, "top_p": 0.96, "temperature": 1.0}


@dataclass
class StyleVARReference(ModelOutput):
    """
    Everything that generation needs of a content or a style image; encode once, use often.

    As a style it may also stand for `n` styles at once ([`blend_references`]). Their answers are blended in every
    block with one weight per style and token, and so is what they modulate: `sum_i w_i Attn(Q=style_i)`,
    `sum_i w_i m_i`.

    Args:
        embedding (`torch.FloatTensor` of shape `(B, D)`; of several styles `(B, n, D)`):
            The whole image as one vector.
        features (`torch.FloatTensor` of shape `(B, L, latent_channels)`; of several styles `(B, n, L, ...)`):
            The image's VQ features at each scale.
        codes (`torch.LongTensor` of shape `(B, L)`; of several styles `(B, n, L)`):
            The image's VQ codes.
        weights (`torch.FloatTensor` of shape `(B, n, L)`, *optional*):
            Share of each of several styles at each token, not negative, summing to 1.
        masks (`torch.FloatTensor` of shape `(B, n, height, width)`, *optional*):
            Where each of several styles counts, times its weight; for the pipeline, which lays them over the content.
    """

    embedding: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    weights: torch.FloatTensor | None = None
    masks: torch.FloatTensor | None = None

    def select(self, indices: Sequence[int]) -> "StyleVARReference":
        """The reference made of the given rows, in the given order; rows may be repeated."""
        rows = torch.as_tensor(list(indices), device=self.embedding.device)
        return StyleVARReference(**{name: value.index_select(0, rows) for name, value in self.items()})


@dataclass
class StyleVARGenerateOutput(ModelOutput):
    """
    Result of [`StyleVARForConditionalGeneration.generate`].

    Args:
        sequences (`torch.LongTensor` of shape `(N, L)`):
            Generated codes of all scales.
        pixel_values (`torch.FloatTensor` of shape `(N, 3, image_size, image_size)`):
            Generated images in [-1, 1], float32.
        logits (`torch.FloatTensor` of shape `(N, L, V)`, *optional*, returned when `output_logits=True`):
            Scores before temperature and filters.
    """

    sequences: torch.LongTensor | None = None
    pixel_values: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None


@dataclass(frozen=True)
class StyleVARScoring:
    """
    How `forward` scores given codes without handing out the logits of all tokens.

    Args:
        temperature (`float`, *optional*, defaults to 1.0):
            Divides the logits before the filters; positive.
        top_k (`int`, *optional*):
            Score under the distribution over this many most likely codes; 0 or `None` for all.
        top_p (`float`, *optional*):
            Score under the distribution over the smallest set of codes whose probability exceeds this, in (0, 1].
        chunk_size (`int`, *optional*, defaults to 1024):
            Tokens whose logits exist at once. In training their logits are computed again in the backward pass.

    Raises:
        ValueError: If an option is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    chunk_size: int = 1024

    def __post_init__(self):
        check_sampling(self.top_k, self.top_p, self.temperature)
        if not isinstance(self.chunk_size, Integral) or self.chunk_size < 1:
            raise ValueError(
                f"`chunk_size` must be a positive integer, but got {self.chunk_size!r}. It counts tokens; 1024 is a "
                "good start."
            )


@dataclass
class StyleVARScaleState:
    """
    What `callback_on_scale_end` is handed after each scale.

    Args:
        scale_index (`int`):
            The scale that was just generated, from 0.
        num_scales (`int`):
            How many there are.
        codes (`torch.LongTensor` of shape `(N, T)`):
            The codes of this scale.
        latents (`torch.FloatTensor` of shape `(N, latent_channels, S, S)`):
            The latent that all codes so far stand for.
    """

    scale_index: int
    num_scales: int
    codes: torch.LongTensor
    latents: torch.FloatTensor
    vq_model: StyleVARVQModel = field(repr=False)

    @property
    @torch.no_grad()
    def pixel_values(self) -> torch.Tensor:
        """The image after this scale, `(N, 3, image_size, image_size)` in [-1, 1]; decoded on each access."""
        return self.vq_model.decode_latents(self.latents)


@dataclass
class StyleVARLayerCache:
    """
    Keys and values of one layer, each stored once, and the modulation of its norms, which no scale changes.

    Args:
        max_length (`int`):
            Tokens to make room for, `L`.
        length (`int`):
            Tokens stored so far.
        keys, values (`torch.Tensor` of shape `(N, H, max_length, D / H)`):
            Allocated by the first update.
        modulation (`torch.Tensor` of shape `(B, 6, D)`):
            Gates, scales and shifts of the layer.
    """

    max_length: int
    length: int = 0
    keys: torch.Tensor | None = None
    values: torch.Tensor | None = None
    modulation: torch.Tensor | None = None

    def update(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Append the keys and values of a scale, `(N, H, T, D / H)`, and return all so far, `(N, H, length, D / H)`.

        Raises:
            ValueError: If there is no room left.
        """
        start, end = self.length, self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(
                f"`cache` must have room for {end} tokens, but got room for {self.max_length}. "
                "Start each generation with a new `StyleVARCache`."
            )
        if self.keys is None:
            self.keys = keys.new_empty((*keys.shape[:2], self.max_length, keys.shape[3]))
            self.values = torch.empty_like(self.keys)
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class StyleVARCache:
    """
    The state that the blocks keep between scales. Handed to `forward`, never hidden on a module.

    Args:
        config ([`StyleVARConfig`]):
            Gives the number of layers and of tokens.
    """

    def __init__(self, config: StyleVARConfig):
        self.layers = [StyleVARLayerCache(config.sequence_length) for _ in range(config.num_hidden_layers)]
        self.final_modulation: torch.Tensor | None = None  # (B, 2, D), of the norm before the head

    def rewind(self, length: int) -> None:
        """Forget the tokens from `length` on; at 0, the modulation too. The memory stays where it is."""
        for layer in self.layers:
            layer.length = length
            layer.modulation = layer.modulation if length else None
        self.final_modulation = self.final_modulation if length else None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        stored = [tensor for layer in self.layers for tensor in (layer.keys, layer.values) if tensor is not None]
        return sum(tensor.nbytes for tensor in stored)


def filter_logits(logits: torch.Tensor, top_k: int | None = None, top_p: float | None = None) -> torch.Tensor:
    """
    Keep the most likely tokens: first the `top_k` best, then the smallest set of those whose mass exceeds `top_p`.

    Tokens that tie with the last one kept are kept too, and the best token always is.

    Args:
        logits (`torch.FloatTensor` of shape `(..., V)`):
            Scores.
        top_k (`int`, *optional*):
            How many tokens to keep; more than `V` keeps all. `None` or 0 switches this filter off.
        top_p (`float`, *optional*):
            Probability mass to exceed, in (0, 1]. `None` or 1.0 switches this filter off.

    Returns:
        `torch.FloatTensor` of shape `(..., V)`: the logits, with `-inf` in place of those removed.

    Raises:
        ValueError: If `top_k` is negative or `top_p` is outside (0, 1].
    """
    check_sampling(top_k=top_k, top_p=top_p)
    top_k = min(top_k or logits.shape[-1], logits.shape[-1])
    top_p = 1.0 if top_p is None else top_p
    if top_p < 1.0:
        ascending = logits.topk(top_k, dim=-1).values.flip(-1)
        removed = (_cumulative_sum(ascending.softmax(dim=-1)) <= 1 - top_p).sum(dim=-1, keepdim=True)
        lowest_kept = ascending.gather(-1, removed.clamp(max=top_k - 1))
    elif top_k < logits.shape[-1]:
        lowest_kept = logits.topk(top_k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    else:
        return logits
    return logits.masked_fill(logits < lowest_kept, -torch.inf)


def score_codes(
    logits: torch.Tensor, codes: torch.LongTensor, scoring: StyleVARScoring
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Log-probabilities of codes, and the entropies of the distributions that they are drawn from.

    A code that the filters would remove is kept beside the others: it was drawn before the policy moved, and its
    log-probability must stay finite.

    Args:
        logits (`torch.FloatTensor` of shape `(..., V)`):
            Scores.
        codes (`torch.LongTensor` of shape `(...)`):
            The codes to look at.
        scoring ([`StyleVARScoring`]):
            Temperature and filters.

    Returns:
        Two `torch.FloatTensor` of shape `(...)`: log-probabilities, at most 0, and entropies in nats.
    """
    codes = codes.unsqueeze(-1)
    logits = logits.float()
    if scoring.temperature != 1.0:
        logits = logits / scoring.temperature
    if scoring.top_k or (scoring.top_p is not None and scoring.top_p < 1.0):
        with torch.no_grad():
            removed = filter_logits(logits, scoring.top_k, scoring.top_p).isneginf().scatter(-1, codes, False)
        logits = logits.masked_fill(removed, torch.finfo(torch.float32).min)
    log_probs = logits.log_softmax(dim=-1)
    entropies = -(log_probs.exp() * log_probs).sum(dim=-1)
    return log_probs.gather(-1, codes).squeeze(-1), entropies


def check_sampling(
    top_k: int | None = None, top_p: float | None = None, temperature: float | None = None, do_sample: bool = True
) -> None:
    """Raise `ValueError` unless `top_k >= 0`, `top_p` is in (0, 1] and `temperature > 0`."""
    if top_k is not None and not (isinstance(top_k, Integral) and top_k >= 0):
        raise ValueError(f"`top_k` must be 0 (off) or a positive integer, but got {top_k}. Published: 900.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"`top_p` must be in (0, 1], but got {top_p}. The published value is 0.96; 1.0 keeps all.")
    if do_sample and temperature is not None and not 0 < temperature < math.inf:
        raise ValueError(
            f"`temperature` must be positive and finite, but got {temperature}. Use `do_sample=False` for the most "
            "likely token."
        )


def sample_codes(
    logits: torch.Tensor,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    numbers: torch.Tensor | None = None,
) -> torch.LongTensor:
    """
    Draw one code per token from the softmax of the logits, by inverting its cumulative distribution.

    Each token takes one uniform number, so that a row's codes depend on its own generator and logits only.

    Args:
        logits (`torch.FloatTensor` of shape `(N, T, V)`):
            Scores; `-inf` is never drawn.
        generator (`torch.Generator` or sequence of them, *optional*):
            One generator for all rows, or one per row. A CPU generator gives the same numbers on every device.
        numbers (`torch.FloatTensor` of shape `(N, T)`, *optional*):
            Uniform numbers in [0, 1) to take instead of drawing them.

    Returns:
        `torch.LongTensor` of shape `(N, T)`
    """
    probabilities = logits.float().softmax(dim=-1)
    cumulative = _cumulative_sum(probabilities)
    numbers = uniform(logits.shape[:2], logits.device, generator) if numbers is None else numbers
    threshold = numbers.unsqueeze(-1) * cumulative[..., -1:]
    index = torch.searchsorted(cumulative, threshold, right=True).clamp(max=logits.shape[-1] - 1)
    # Rounding may point beyond the last possible code, once in ten million draws.
    possible = probabilities.gather(-1, index) > 0
    return torch.where(possible, index, probabilities.argmax(dim=-1, keepdim=True)).squeeze(-1)


def _cumulative_sum(probabilities: torch.Tensor) -> torch.Tensor:
    """`cumsum` over the last dimension; as a matrix product where CUDA must be deterministic and has no other way."""
    if probabilities.is_cuda and torch.are_deterministic_algorithms_enabled():
        size = probabilities.shape[-1]
        return probabilities @ torch.ones(size, size, device=probabilities.device).triu()
    return probabilities.cumsum(dim=-1)


def uniform(
    shape: tuple[int, int], device: torch.device, generator: torch.Generator | Sequence[torch.Generator] | None
) -> torch.Tensor:
    """Uniform float32 numbers in [0, 1) of the given shape, from one generator or one per row."""
    float32 = torch.float32  # whatever torch's default is: another dtype would be other numbers
    if generator is None:
        return torch.rand(shape, dtype=float32, device=device)
    if isinstance(generator, torch.Generator):
        numbers = torch.rand(shape, generator=generator, dtype=float32, device=generator.device)
        return numbers.to(device, non_blocking=True)
    rows = [torch.rand(shape[1], generator=one, dtype=float32, device=one.device) for one in generator]
    if len({row.device for row in rows}) > 1:
        rows = [row.to(device, non_blocking=True) for row in rows]
    return torch.stack(rows).to(device, non_blocking=True)


def legacy_attention_bias(
    start: int,
    end: int,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    num_guides: int = 2,
) -> torch.Tensor:
    """
    What the published cached inference does to the attention of the scale from token `start` to `end`: it stores every
    key twice, the second time between its style and its content pass. So the style query sees earlier keys twice and
    current ones once, which is `log 2` on the former; for the content query all are doubled, which cancels.

    Returns:
        `torch.Tensor` of shape `(1, 1, num_guides * (end - start), end)`: added to the attention scores, style rows
        first.
    """
    bias = torch.zeros(num_guides, end - start, end, device=device, dtype=dtype)
    bias[:-1, :, :start] = math.log(2.0)
    return bias.flatten(0, 1)[None, None]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """
    The model in evaluation mode, and afterwards in the mode in which it was: a picture painted in the middle of a
    training must not move the statistics of BatchNorm.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _in_evaluation(method: Callable) -> Callable:
    """A method of the model that runs in evaluation mode, whatever mode the model is in."""

    @wraps(method)
    def run(self, *args: Any, **kwargs: Any) -> Any:
        with evaluating(self):
            return method(self, *args, **kwargs)

    return run


class StyleVARGenerationMixin(GenerationMixin):
    """`generate` for [`StyleVARForConditionalGeneration`]; `generation_config` is handled by transformers."""

    @_in_evaluation
    @torch.no_grad()
    def generate(
        self,
        content_pixel_values: torch.Tensor | None = None,
        style_pixel_values: torch.Tensor | None = None,
        *,
        content: StyleVARReference | None = None,
        style: StyleVARReference | None = None,
        generation_config: GenerationConfig | None = None,
        do_sample: bool | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        style_strength: float | Sequence[float] | torch.Tensor = 0.0,
        num_return_sequences: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        prefix_codes: torch.LongTensor | None = None,
        callback_on_scale_end: Callable[[StyleVARScaleState], None] | None = None,
        output_logits: bool = False,
        painted_tokens: torch.BoolTensor | None = None,
        previous_codes: torch.LongTensor | None = None,
        steadiness: float = 0.0,
        compile: bool = False,
    ) -> StyleVARGenerateOutput:
        r"""
        Stylise: predict the target's codes scale by scale, all tokens of a scale at once (arXiv 2604.21052).

        Arguments left at `None` are taken from `generation_config`, then from the model's (published: sampling,
        `top_k=900`, `top_p=0.96`, `temperature=1.0`). `config.legacy_kv_duplication` chooses the published cached
        inference.

        Args:
            content_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Content images in [-1, 1]. Required unless `content` is given.
            style_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Style images in [-1, 1]. Required unless `style` is given.
            content ([`StyleVARReference`], *optional*):
                Contents already encoded by `encode_content`.
            style ([`StyleVARReference`], *optional*):
                Styles already encoded by `encode_style`.
            generation_config (`GenerationConfig`, *optional*):
                Gives `do_sample`, `top_k`, `top_p`, `temperature` and `num_return_sequences`; nothing else is read.
            do_sample (`bool`, *optional*):
                Sample, or take the most likely code.
            top_k (`int`, *optional*):
                Sample from this many most likely codes; 0 for all.
            top_p (`float`, *optional*):
                Sample from the smallest set of codes whose probability exceeds this, in (0, 1].
            temperature (`float`, *optional*):
                Divides the logits before the filters; positive.
            style_strength (`float`, sequence of `B` floats, or tensor of shape `(1 or B, L)`, *optional*):
                In [-1, 1], of the pair or of each token: shifts every alpha by half of it (clamped to [0.01, 0.99]),
                towards the style if positive.
            num_return_sequences (`int`, *optional*):
                Images per pair, one unless `generation_config` says otherwise; the pair is encoded once.
            generator (`torch.Generator` or sequence of `B * num_return_sequences` of them, *optional*):
                Source of randomness. With one generator per image, an image does not depend on its batch.
            prefix_codes (`torch.LongTensor` of shape `(B * num_return_sequences, T)`, *optional*):
                Codes of the first scales, all tokens of each, to continue from; no random numbers are drawn for them.
            callback_on_scale_end (`Callable[[StyleVARScaleState], None]`, *optional*):
                Called after each scale, for progress or previews.
            output_logits (`bool`, *optional*, defaults to `False`):
                Return the logits of all tokens.
            painted_tokens (`torch.BoolTensor` of shape `(B, L)`, *optional*):
                Which tokens to generate. The others take the codes that bring the picture closest to the content
                there, `nearest(area(f_content - f_hat))`, and are context for those that are generated.
            previous_codes (`torch.LongTensor` of shape `(B * num_return_sequences, L)`, *optional*):
                Codes of the frame before, for film.
            steadiness (`float`, *optional*, defaults to 0.0):
                In [0, 1]: a token keeps its previous code `c` where `p(c) >= (1 - steadiness) max p`. 0 keeps none.
            compile (`bool`, *optional*, defaults to `False`):
                On CUDA, record each scale and the decoder as a graph at the first call for a number of pairs and
                images, and replay it later: the same kernels and codes without the time to launch them. The recording
                keeps its memory while the model lives. On other devices the memory alone is kept.

        Returns:
            [`StyleVARGenerateOutput`]

        Raises:
            ValueError: If an argument is out of range, an image is missing or does not fit, or batch sizes differ.
        """
        # 1. Check the arguments
        configs = (generation_config, self.generation_config)
        do_sample, top_k = setting("do_sample", do_sample, configs), setting("top_k", top_k, configs)
        top_p, temperature = setting("top_p", top_p, configs), setting("temperature", temperature, configs)
        num_return_sequences = setting("num_return_sequences", num_return_sequences, configs)
        check_sampling(top_k, top_p, temperature, do_sample)
        check_num_return_sequences(num_return_sequences)

        batch_size = self._check_pair(content_pixel_values, style_pixel_values, content, style)
        _check_generators(generator, batch_size * num_return_sequences)
        prefix_length = self._check_prefix(prefix_codes, batch_size * num_return_sequences)
        blend_alphas = self.model.get_blend_alphas(style_strength, batch_size)
        self._check_held(painted_tokens, batch_size, previous_codes, batch_size * num_return_sequences, steadiness)

        # 2. Encode each image once
        content = self.encode_content(content_pixel_values) if content is None else content
        style = self.encode_style(style_pixel_values) if style is None else style
        guides = self.model.embed_guides(style.features, content.features)
        hold = HeldCodes(self.vq_model, content, num_return_sequences, painted_tokens, previous_codes, steadiness)

        # 3. Generate scale by scale
        hidden_states = self.model.embed_start(content.embedding).repeat_interleave(num_return_sequences, dim=0)
        cache = StyleVARCache(self.config)
        mask = {"device": guides.device, "dtype": guides.dtype, "num_guides": guides.shape[1]}
        make_mask = partial(legacy_attention_bias, **mask) if self.config.legacy_kv_duplication else None
        scales = Scales(self, cache, guides, style.embedding, blend_alphas, style.weights, make_mask)
        scales = recorded_scales(scales, hidden_states) if compile else scales
        latents, sequences, all_logits, finite = 0.0, [], [], True
        for scale_index, (start, end) in enumerate(self.config.vq_config.scale_boundaries):
            logits = scales(scale_index, hidden_states)
            finite = finite & logits.isfinite().all()
            if end <= prefix_length:
                codes = prefix_codes[:, start:end].to(logits.device)
            else:
                codes = self._choose_codes(logits, do_sample, top_k, top_p, temperature, generator)
                codes = hold(codes, logits, latents, scale_index)
            latents = latents + self.vq_model.quantizer.lift(codes, scale_index)
            sequences.append(codes)
            if output_logits:
                all_logits.append(logits)
            if callback_on_scale_end is not None:
                num_scales = self.config.num_scales
                callback_on_scale_end(StyleVARScaleState(scale_index, num_scales, codes, latents, self.vq_model))
            if scale_index + 1 < self.config.num_scales:
                features = area_resize(latents, self.config.patch_nums[scale_index + 1]).flatten(2).transpose(1, 2)
                hidden_states = self.model.embed_tokens(features, end)

        # 4. Decode the image
        if not finite:  # the only read from the device
            raise ValueError(
                f"`logits` must be finite, but the model overflowed in {self.dtype}. Load it in bfloat16 or float32."
            )
        return StyleVARGenerateOutput(
            sequences=torch.cat(sequences, dim=1),
            pixel_values=scales.decode(latents),
            logits=torch.cat(all_logits, dim=1) if output_logits else None,
        )

    def _check_prefix(self, prefix_codes: torch.LongTensor | None, num_images: int) -> int:
        """How many tokens are given, once it is sure that they are whole scales of every image."""
        if prefix_codes is None:
            return 0
        if not isinstance(prefix_codes, torch.Tensor) or prefix_codes.dtype != torch.long:
            found = getattr(prefix_codes, "dtype", type(prefix_codes).__name__)
            raise ValueError(
                f"`prefix_codes` must be an int64 tensor, but got {found}. Cut `sequences` after a scale."
            )
        ends = [end for _, end in self.config.vq_config.scale_boundaries]
        if prefix_codes.ndim != 2 or len(prefix_codes) != num_images or prefix_codes.shape[1] not in [0, *ends]:
            raise ValueError(
                f"`prefix_codes` must be of shape ({num_images}, T) with T one of {[0, *ends]}, whole scales of each "
                f"image, but got {tuple(prefix_codes.shape)}. Cut `sequences` after a scale."
            )
        return prefix_codes.shape[1]

    def _check_held(
        self,
        painted_tokens: torch.BoolTensor | None,
        batch_size: int,
        previous_codes: torch.LongTensor | None,
        num_images: int,
        steadiness: float,
    ) -> None:
        shape = (batch_size, self.config.sequence_length)
        if painted_tokens is not None and (painted_tokens.dtype != torch.bool or painted_tokens.shape != shape):
            raise ValueError(
                f"`painted_tokens` must be a boolean tensor of shape {shape}, but got {painted_tokens.dtype} of shape "
                f"{tuple(painted_tokens.shape)}. Give one row per pair."
            )
        if not isinstance(steadiness, Real) or not 0 <= steadiness <= 1:
            raise ValueError(
                f"`steadiness` must be in [0, 1], but got {steadiness!r}. 0 keeps no code of the frame before."
            )
        if previous_codes is not None:
            self.vq_model.check_codes("previous_codes", previous_codes)
            if len(previous_codes) != num_images:
                raise ValueError(
                    f"`previous_codes` must have one row per image ({num_images}), but got {len(previous_codes)}. "
                    "Pass the `sequences` of the frame before."
                )

    def _choose_codes(
        self,
        logits: torch.Tensor,
        do_sample: bool,
        top_k: int | None,
        top_p: float | None,
        temperature: float | None,
        generator: torch.Generator | Sequence[torch.Generator] | None,
    ) -> torch.LongTensor:
        if not do_sample:
            return logits.argmax(dim=-1)
        if temperature is not None and temperature != 1.0:
            logits = logits / temperature
        return sample_codes(filter_logits(logits, top_k, top_p), generator)


class HeldCodes:
    """Tokens that are not free: those outside of the painted part, and those that stay as in the frame before."""

    def __init__(
        self,
        vq_model: StyleVARVQModel,
        content: StyleVARReference,
        repeats: int,
        painted_tokens: torch.BoolTensor | None,
        previous_codes: torch.LongTensor | None,
        steadiness: float,
    ):
        self.quantizer = vq_model.quantizer
        self.painted_tokens = self.content_latents = self.previous_codes = None
        device = content.codes.device
        if painted_tokens is not None:
            self.painted_tokens = painted_tokens.to(device, non_blocking=True).repeat_interleave(repeats, dim=0)
            self.content_latents = self.quantizer.accumulate(content.codes)[-1].repeat_interleave(repeats, dim=0)
        if previous_codes is not None and steadiness > 0:
            self.previous_codes = previous_codes.to(device, non_blocking=True)
        self.steadiness = steadiness

    def __call__(
        self, codes: torch.LongTensor, logits: torch.Tensor, latents: torch.Tensor | float, scale_index: int
    ) -> torch.LongTensor:
        """The codes `(N, T)` of a scale with the held ones in place, given what the coarser ones stand for."""
        start, end = self.quantizer.scale_boundaries[scale_index]
        if self.previous_codes is not None:
            previous = self.previous_codes[:, start:end]
            codes = torch.where(is_near_best(logits, previous, self.steadiness), previous, codes)
        if self.painted_tokens is not None:
            of_content = self.quantizer.residual_codes(self.content_latents - latents, scale_index)
            codes = torch.where(self.painted_tokens[:, start:end], codes, of_content)
        return codes


def is_near_best(logits: torch.Tensor, codes: torch.LongTensor, steadiness: float) -> torch.BoolTensor:
    """Where `p(code) >= (1 - steadiness) max p`, for logits `(N, T, V)` and codes `(N, T)`: `(N, T)`."""
    of_codes = logits.gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    distance = -math.log1p(-steadiness) if steadiness < 1 else math.inf
    return of_codes >= logits.amax(dim=-1) - distance


def setting(
    name: str, value: bool | int | float | None, configs: Sequence[GenerationConfig | None]
) -> bool | int | float:
    """An argument of `generate`, or what the first config says that says something, or the published value."""
    for source in configs:
        value = getattr(source, name, None) if value is None else value
    return {**PUBLISHED_SAMPLING, "num_return_sequences": 1}[name] if value is None else value


def check_num_return_sequences(number: int) -> None:
    """Raise `ValueError` unless `number` is a positive integer."""
    if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
        raise ValueError(
            f"`num_return_sequences` must be a positive integer, but got {number!r}. It counts the images of a pair."
        )


def _check_generators(generator: torch.Generator | Sequence[torch.Generator] | None, num_images: int) -> None:
    if generator is None or isinstance(generator, torch.Generator):
        return
    if not isinstance(generator, Sequence) or not all(isinstance(one, torch.Generator) for one in generator):
        raise ValueError(
            f"`generator` must be a `torch.Generator` or a list of them, but got {type(generator).__name__}. "
            "Use `torch.Generator().manual_seed(seed)`."
        )
    if len(generator) != num_images:
        raise ValueError(
            f"`generator` must hold one generator per image ({num_images}), but got {len(generator)}. "
            "There are batch size times `num_return_sequences` images."
        )


__all__ = [
    "StyleVARCache",
    "StyleVARGenerateOutput",
    "StyleVARGenerationMixin",
    "StyleVARLayerCache",
    "StyleVARReference",
    "StyleVARScaleState",
    "StyleVARScoring",
    "filter_logits",
    "sample_codes",
    "score_codes",
]
