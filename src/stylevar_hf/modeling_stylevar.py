# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
StyleVAR (arXiv 2604.21052): style transfer by visual autoregression with blended cross-attention.

The target image is predicted scale by scale, `P(x | style, content) = prod_k P(r_k | r_<k, s_k, c_k)`. In each block
the style and the content tokens of scale `k` ask (queries), the target's own history answers (keys and values), and
`alpha_k` blends the two answers.

Legend: `B` content-style pairs, `N = B * num_return_sequences` targets, `K` scales, `T` tokens in this call, `L`
tokens of all scales, `D` width, `H` heads, `C` latent channels, `V` codebook size.
"""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from huggingface_hub import CommitInfo
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import GenerationConfig, ImageProcessingMixin, PreTrainedModel, ResNetModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .adapters_stylevar import StyleVARAdapterMixin
from .attention_stylevar import block_causal_bias, block_causal_flex_mask, get_attention
from .configuration_stylevar import StyleVARConfig
from .generation_stylevar import (
    PUBLISHED_SAMPLING,
    StyleVARCache,
    StyleVARGenerationMixin,
    StyleVARLayerCache,
    StyleVARReference,
    StyleVARScoring,
    check_num_return_sequences,
    score_codes,
)
from .modeling_stylevar_vq import StyleVARVQModel, check_pixel_values


if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

MAX_LOGIT_SCALE = math.log(100.0)


@dataclass
class StyleVARModelOutput(ModelOutput):
    """
    Output of [`StyleVARModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(N, L, D)`):
            Hidden states after the final modulated norm.
        content_embedding (`torch.FloatTensor` of shape `(B, D)`):
            The content image as one vector; it starts the sequence.
        style_embedding (`torch.FloatTensor` of shape `(B, D)`):
            The style image as one vector; it modulates every norm.
        hidden_states (`tuple` of `torch.FloatTensor` of shape `(N, L, D)`, *optional*, returned with
            `output_hidden_states`):
            The input of the first block, then the output of each; the last is `last_hidden_state`.
        attentions (`tuple` of `torch.FloatTensor` of shape `(N, H, 2 * L, L)`, *optional*, returned with
            `output_attentions`):
            Attention weights of each block, those of the style queries first, then those of the content queries.
    """

    last_hidden_state: torch.FloatTensor | None = None
    content_embedding: torch.FloatTensor | None = None
    style_embedding: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class StyleVARConditionalGenerationOutput(ModelOutput):
    """
    Output of the teacher-forced [`StyleVARForConditionalGeneration`].

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            Cross-entropy, mean over all tokens.
        logits (`torch.FloatTensor` of shape `(N, L, V)`):
            Scores of every code, float32.
        scale_losses (`torch.FloatTensor` of shape `(K,)`):
            The loss at each scale, detached.
        scale_accuracies (`torch.FloatTensor` of shape `(K,)`):
            Share of tokens at each scale, in [0, 1], whose best code is the label.
        labels (`torch.LongTensor` of shape `(N, L)`):
            The target's codes.
        log_probs (`torch.FloatTensor` of shape `(N, L)`, *optional*, returned instead of `logits` with `scoring`):
            Log-probability of each label.
        entropies (`torch.FloatTensor` of shape `(N, L)`, *optional*, returned with `scoring`):
            Entropy of each token's distribution, in nats.
        hidden_states, attentions (*optional*):
            See [`StyleVARModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    scale_losses: torch.FloatTensor | None = None
    scale_accuracies: torch.FloatTensor | None = None
    labels: torch.LongTensor | None = None
    log_probs: torch.FloatTensor | None = None
    entropies: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


def drop_path(gate: torch.Tensor, num_targets: int, rate: float, training: bool) -> torch.Tensor:
    """
    Stochastic depth (arXiv 1603.09382): shut the gate `(1 or N, 1, D)` for some of the `N` targets, each drawn on its
    own, and open it wider for the others.
    """
    if rate == 0.0 or not training:
        return gate
    return gate * gate.new_empty(num_targets, 1, 1).bernoulli_(1 - rate) / (1 - rate)


class StyleVARScaledLinear(nn.Linear):
    """A linear layer that starts smaller than others, by the factor `init_gain`."""

    def __init__(self, in_features: int, out_features: int, init_gain: float):
        super().__init__(in_features, out_features)
        self.init_gain = init_gain


class StyleVARModulation(nn.Linear):
    """
    Adaptive norm: SiLU of the style embedding, `(B, D)`, to `num_vectors` vectors, `(B, num_vectors * D)`. A plain
    linear layer when called, so that adapters fit.

    Args:
        width (`int`):
            `D`.
        num_vectors (`int`):
            How many vectors to predict.
        num_gates (`int`, *optional*, defaults to 0):
            How many of them, the first ones, are gates; a new model starts with its gates almost shut.
    """

    def __init__(self, width: int, num_vectors: int, num_gates: int = 0):
        super().__init__(width, num_vectors * width)
        self.num_gates = num_gates


def modulate(hidden_states: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """`(1 + scale) z + shift`, the second half of a modulated norm."""
    return torch.addcmul(shift, hidden_states, 1 + scale)


class StyleVARBlendedCrossAttention(nn.Module):
    """
    Blended cross-attention (arXiv 2604.21052): `alpha Attn(Q=style) + (1 - alpha) Attn(Q=content)` over the target's
    keys and values. Queries and keys have unit length; one learned temperature per head, at most 100.

    All queries attend in one call, and are blended before the output projection (the same, at half the work). Several
    styles are blended likewise, with one weight per style and token: `Attn(Q=style) = sum_i w_i Attn(Q=style_i)`.
    """

    def __init__(self, config: StyleVARConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        residual_gain = 1 / math.sqrt(2 * config.num_hidden_layers)
        self.o_proj = StyleVARScaledLinear(config.hidden_size, config.hidden_size, residual_gain)
        self.logit_scale = nn.Parameter(torch.full((config.num_attention_heads,), math.log(4.0)))

    def forward(
        self,
        hidden_states: torch.Tensor,
        guides: torch.Tensor,
        blend_alphas: torch.Tensor,
        attention_mask: "torch.Tensor | BlockMask | None" = None,
        cache: StyleVARLayerCache | None = None,
        style_weights: torch.Tensor | None = None,
        scale_boundaries: Sequence[tuple[int, int]] | None = None,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(N, T, D)`):
                The target's normed hidden states; they give keys and values.
            guides (`torch.FloatTensor` of shape `(B, n + 1, T, D)`):
                The normed tokens of the `n` styles, one as a rule, and then of the content; they give the queries,
                once for all targets of a pair.
            blend_alphas (`torch.FloatTensor` of shape `(1 or B, T, 1)`):
                Share of the style's answer.
            attention_mask (`torch.FloatTensor` of shape `(1, 1, (n + 1) * T, S)` or `BlockMask`, *optional*):
                Added to the scores, style rows first.
            cache ([`StyleVARLayerCache`], *optional*):
                Earlier keys and values; this call's are appended.
            style_weights (`torch.FloatTensor` of shape `(B, n, T)`, *optional*):
                Share of each of several styles at each token, summing to 1.
            scale_boundaries (sequence of `(start, end)`, *optional*):
                Scales to attend for one at a time, each to itself and the coarser ones, in place of a mask.
            output_attentions (`bool`, *optional*, defaults to `False`):
                Whether to return the weights too, which only written-out ("eager") attention has.

        Returns:
            `tuple`: the answers `(N, T, D)`, and the weights `(N, H, 2 * T, S)` or `None`.
        """
        num_targets, length, width = hidden_states.shape
        repeats = num_targets // guides.shape[0]

        # The queries of all guides in one row of tokens: some adapters (OFT) take three dimensions only.
        num_guides = guides.shape[1]
        query = self.q_proj(guides.flatten(1, 2)).unflatten(-1, (-1, self.head_dim))  # (B, (n + 1) * T, H, d)
        key = self.k_proj(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        value = self.v_proj(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        temperature = self.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp().to(query.dtype)
        query = query * (temperature[:, None] / query.norm(dim=-1, keepdim=True).clamp(min=1e-12))
        key = F.normalize(key, dim=-1)

        if cache is not None:
            key, value = cache.update(key, value)
        query = query.repeat_interleave(repeats, dim=0) if repeats > 1 else query
        alphas = _repeat(blend_alphas, repeats).to(query.dtype)
        shares = None if style_weights is None else _repeat(style_weights, repeats).unsqueeze(-1).to(query.dtype)
        implementation = "eager" if output_attentions else self.config._attn_implementation
        attend = get_attention(implementation, query, attention_mask)

        if scale_boundaries is None:
            answers, weights = attend(
                self, query.transpose(1, 2), key, value, attention_mask, scaling=1.0, dropout=0.0, is_causal=False
            )
            blended = _blend_answers(answers.reshape(num_targets, num_guides, length, width), alphas, shares)
            return self.o_proj(blended), weights
        query = query.unflatten(1, (num_guides, length))
        parts = []
        for start, end in scale_boundaries:
            tokens = query[:, :, start:end].flatten(1, 2).transpose(1, 2)
            seen = key[:, :, :end], value[:, :, :end]
            answers, _ = attend(self, tokens, *seen, None, scaling=1.0, dropout=0.0, is_causal=False)
            answers = answers.reshape(num_targets, num_guides, end - start, width)
            of_scale = None if shares is None else shares[:, :, start:end]
            parts.append(_blend_answers(answers, alphas[:, start:end], of_scale))
        return self.o_proj(torch.cat(parts, dim=1)), None


def _blend_answers(
    answers: torch.Tensor, blend_alphas: torch.Tensor, style_shares: torch.Tensor | None
) -> torch.Tensor:
    """Answers `(N, n + 1, T, D)` to the styles and the content, blended by shares `(N, n, T, 1)` and alphas."""
    by_content = answers[:, -1]
    by_style = answers[:, 0] if style_shares is None else (style_shares * answers[:, :-1]).sum(dim=1)
    return torch.lerp(by_content, by_style, blend_alphas)


class StyleVARMLP(nn.Module):
    """Two linear layers with tanh-approximated GELU."""

    def __init__(self, config: StyleVARConfig):
        super().__init__()
        inner_size = round(config.hidden_size * config.mlp_ratio)
        self.fc1 = nn.Linear(config.hidden_size, inner_size)
        self.fc2 = StyleVARScaledLinear(inner_size, config.hidden_size, 1 / math.sqrt(2 * config.num_hidden_layers))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(hidden_states), approximate="tanh"))


class StyleVARLayer(GradientCheckpointingLayer):
    """
    One block: blended cross-attention and an MLP, each behind a norm modulated and a branch gated by the style.

    `x <- x + gate_1 BlendedAttention(m_1(guides), m_1(x))`, then `x <- x + gate_2 MLP(m_2(x))`, with
    `m_i(z) = LayerNorm(z) (1 + scale_i) + shift_i`. The guides stay as they are through all blocks. Of several styles,
    gates, scales and shifts are the weighted mean at each token; the tokens of each style pass its own norm.
    """

    def __init__(self, config: StyleVARConfig, layer_index: int):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, elementwise_affine=False)
        self.modulation = StyleVARModulation(config.hidden_size, num_vectors=6, num_gates=2)
        self.attention = StyleVARBlendedCrossAttention(config)
        self.mlp = StyleVARMLP(config)
        self.drop_path_rate = config.drop_path_rate * layer_index / max(config.num_hidden_layers - 1, 1)

    def forward(
        self,
        hidden_states: torch.Tensor,
        guides: torch.Tensor,
        style_embedding: torch.Tensor,
        blend_alphas: torch.Tensor,
        attention_mask: "torch.Tensor | BlockMask | None" = None,
        cache: StyleVARLayerCache | None = None,
        style_weights: torch.Tensor | None = None,
        **attention_options: Any,
    ) -> torch.Tensor:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(N, T, D)`):
                The target's hidden states.
            guides (`torch.FloatTensor` of shape `(B, n + 1, T, D)`):
                Tokens of the styles, one as a rule, and of the content after LayerNorm, which is the same in every
                block.
            style_embedding (`torch.FloatTensor` of shape `(B, D)`, or `(B, n, D)` with `style_weights`):
                Each style image as one vector.
            blend_alphas, attention_mask, cache, style_weights, attention_options:
                See [`StyleVARBlendedCrossAttention`]. The cache also keeps the modulation.

        Returns:
            `torch.FloatTensor` of shape `(N, T, D)`
        """
        num_targets = hidden_states.shape[0]
        repeats = num_targets // guides.shape[0]
        modulation = None if cache is None else cache.modulation
        if modulation is None:
            modulation = self.modulation(F.silu(style_embedding)).unflatten(-1, (-1, style_embedding.shape[-1]))
        if cache is not None:
            cache.modulation = modulation
        guide_modulation, modulation = _blend_modulation(modulation, style_weights)
        _, _, guide_scale, _, guide_shift, _ = guide_modulation.unbind(
            dim=2
        )  # each (B, 1, 1, D) if there is one style
        vectors = _repeat(modulation, repeats).unbind(dim=1)  # each (N, 1, D) if there is one style
        gate_1, gate_2, scale_1, scale_2, shift_1, shift_2 = vectors

        branch, _ = self.attention(
            modulate(self.norm(hidden_states), scale_1, shift_1),
            modulate(guides, guide_scale, guide_shift),
            blend_alphas,
            attention_mask,
            cache,
            style_weights,
            **attention_options,
        )
        hidden_states = hidden_states.addcmul(
            branch, drop_path(gate_1, num_targets, self.drop_path_rate, self.training)
        )
        branch = self.mlp(modulate(self.norm(hidden_states), scale_2, shift_2))
        return hidden_states.addcmul(branch, drop_path(gate_2, num_targets, self.drop_path_rate, self.training))


class StyleVARFinalNorm(nn.Module):
    """LayerNorm before the head, modulated by the style: `LayerNorm(x) (1 + scale) + shift`."""

    def __init__(self, config: StyleVARConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, elementwise_affine=False)
        self.modulation = StyleVARModulation(config.hidden_size, num_vectors=2)

    def forward(
        self,
        hidden_states: torch.Tensor,
        style_embedding: torch.Tensor,
        cache: StyleVARCache | None = None,
        style_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        repeats = hidden_states.shape[0] // style_embedding.shape[0]
        modulation = None if cache is None else cache.final_modulation
        if modulation is None:
            modulation = self.modulation(F.silu(style_embedding)).unflatten(-1, (-1, style_embedding.shape[-1]))
        if cache is not None:
            cache.final_modulation = modulation
        _, modulation = _blend_modulation(modulation, style_weights)
        scale, shift = _repeat(modulation, repeats).unbind(dim=1)
        return modulate(self.norm(hidden_states), scale, shift)


def _blend_modulation(
    modulation: torch.Tensor, style_weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The `v` vectors that modulate the guides and those that modulate the target.

    Args:
        modulation (`torch.FloatTensor` of shape `(B, v, D)`, or `(B, n, v, D)` with `style_weights`):
            Of each style.
        style_weights (`torch.FloatTensor` of shape `(B, n, T)`, *optional*):
            Share of each style at each token.

    Returns:
        Two `torch.FloatTensor`: `(B, 1, v, 1, D)` and `(B, v, 1, D)` of a single style; else `(B, n + 1, v, T, D)`, of
        each style its own and of the content the weighted mean `sum_i w_i m_i`, and `(B, v, T, D)`, that mean.
    """
    if style_weights is None:
        return modulation[:, None, :, None], modulation.unsqueeze(2)
    mean = torch.einsum("bnvd,bnt->bvtd", modulation, style_weights.to(modulation.dtype))
    own = modulation.unsqueeze(3).expand(-1, -1, -1, style_weights.shape[2], -1)
    return torch.cat([own, mean.unsqueeze(1)], dim=1), mean


def _repeat(per_pair: torch.Tensor, repeats: int) -> torch.Tensor:
    """Rows of `B` pairs to rows of `N = B * repeats` targets; a single row serves all."""
    return per_pair if repeats == 1 or per_pair.shape[0] == 1 else per_pair.repeat_interleave(repeats, dim=0)


class StyleVARImageEncoder(ResNetModel):
    """transformers' ResNet. It has no attention, so any `attn_implementation` asked of StyleVAR suits it."""

    _supports_sdpa = True
    _supports_flex_attn = True

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True


class StyleVARPreTrainedModel(StyleVARAdapterMixin, PreTrainedModel):
    """Initialisation and loading shared by StyleVAR's classes."""

    config: StyleVARConfig
    config_class = StyleVARConfig
    base_model_prefix = "model"
    main_input_name = "content_pixel_values"
    input_modalities = ("image",)
    output_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _no_split_modules = ["StyleVARLayer"]
    _can_record_outputs = {
        "hidden_states": StyleVARLayer,
        "attentions": OutputRecorder(StyleVARBlendedCrossAttention, index=1),
    }

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True  # transformers looks for a certain line in this file, which stands in another of ours

    def get_input_embeddings(self) -> None:
        # There are none for a vocabulary. The inherited search would find the method `embed_tokens`, which FSDP2 would
        # then try to divide.
        return None

    def enable_input_require_grads(self) -> None:
        """
        Give the inputs of the first block a gradient, which reentrant checkpointing needs when only adapters are
        trained.
        """
        transformer = self if isinstance(self, StyleVARModel) else self.model
        hook = transformer.position_embedding.register_forward_hook(lambda _, __, output: output.requires_grad_(True))
        self._require_grads_hooks = [hook]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Every write goes through `init`, or checks the same flag as it does, so that loaded weights stay.
        std = math.sqrt(1 / (3 * self.config.hidden_size))
        if isinstance(module, StyleVARModulation):
            init.trunc_normal_(module.weight, std=0.5 * std)
            init.zeros_(module.bias)
            if not getattr(module.weight, "_is_hf_initialized", False):
                gates = module.weight[: module.num_gates * module.in_features]
                gates.mul_(2e-5)
        elif isinstance(module, nn.Linear):
            gain = module.init_gain if isinstance(module, StyleVARScaledLinear) else 1.0
            init.trunc_normal_(module.weight, std=gain * std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.trunc_normal_(module.weight, std=std)
        elif isinstance(module, StyleVARBlendedCrossAttention):
            init.constant_(module.logit_scale, math.log(4.0))
        elif isinstance(module, StyleVARModel):
            # Loading leaves garbage in buffers that are not saved.
            init.copy_(module.token_indices, torch.arange(module.config.sequence_length))
            init.copy_(module.token_scales, token_scales(module.config))


def token_scales(config: StyleVARConfig) -> torch.LongTensor:
    """Scale of each token of the sequence, `(L,)`, from 0."""
    return torch.cat([torch.full((side * side,), scale) for scale, side in enumerate(config.patch_nums)])


class StyleVARModel(StyleVARPreTrainedModel):
    """
    The transformer: from two images and their VQ features, and the target's, to hidden states.

    It knows nothing of codes; [`StyleVARForConditionalGeneration`] adds the tokenizer and the head.
    """

    def __init__(self, config: StyleVARConfig):
        super().__init__(config)
        width, vq_config = config.hidden_size, config.vq_config
        self.style_encoder = StyleVARImageEncoder(config.encoder_config)
        self.content_encoder = StyleVARImageEncoder(config.encoder_config)
        self.image_projection = nn.Linear(config.encoder_config.hidden_sizes[-1], width)
        self.token_projection = nn.Linear(vq_config.latent_channels, width)
        self.start_embedding = nn.Embedding(vq_config.patch_nums[0] ** 2, width)
        self.position_embedding = nn.Embedding(vq_config.sequence_length, width)
        self.level_embedding = nn.Embedding(vq_config.num_scales, width)
        self.guide_norm = nn.LayerNorm(width, eps=config.layer_norm_eps, elementwise_affine=False)
        self.layers = nn.ModuleList(StyleVARLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = StyleVARFinalNorm(config)
        self.register_buffer("token_indices", torch.arange(config.sequence_length), persistent=False)
        self.register_buffer("token_scales", token_scales(config), persistent=False)
        self.post_init()

    def embed_style(self, style_pixel_values: torch.Tensor) -> torch.Tensor:
        """Style images `(B, 3, H, W)` in [-1, 1] to vectors `(B, D)`."""
        pooled = self.style_encoder(style_pixel_values.to(self.dtype)).pooler_output
        return self.image_projection(pooled.flatten(1))

    def embed_content(self, content_pixel_values: torch.Tensor) -> torch.Tensor:
        """Content images `(B, 3, H, W)` in [-1, 1] to vectors `(B, D)`."""
        pooled = self.content_encoder(content_pixel_values.to(self.dtype)).pooler_output
        return self.image_projection(pooled.flatten(1))

    def embed_guides(self, style_features: torch.Tensor, content_features: torch.Tensor) -> torch.Tensor:
        """
        VQ features `(B, L, C)` of style and content to the normed guide tokens `(B, 2, L, D)` of every block. Of `n`
        styles, `(B, n, L, C)`, to `(B, n + 1, L, D)`.
        """
        styles = style_features.unsqueeze(1) if style_features.ndim == 3 else style_features
        features = torch.cat([styles, content_features.unsqueeze(1)], dim=1)
        tokens = self.token_projection(features.flatten(1, 2).to(self.dtype)).unflatten(1, features.shape[1:3])
        return self.guide_norm(tokens + self._embed_positions(0, features.shape[2]))

    def embed_start(self, content_embedding: torch.Tensor) -> torch.Tensor:
        """Content vectors `(B, D)` to the inputs of the first scale, `(B, patch_nums[0] ** 2, D)`."""
        length = self.config.patch_nums[0] ** 2
        start = self.start_embedding(self.token_indices[:length])
        return content_embedding.unsqueeze(1) + start + self._embed_positions(0, length)

    def embed_tokens(self, features: torch.Tensor, start: int = 0) -> torch.Tensor:
        """VQ features `(N, T, C)` to the inputs `(N, T, D)` of the tokens from `start` on."""
        positions = self._embed_positions(start, start + features.shape[1])
        return self.token_projection(features.to(self.dtype)) + positions

    def _embed_positions(self, start: int, end: int) -> torch.Tensor:
        """Position plus level embedding of the tokens from `start` to `end` of the sequence, `(end - start, D)`."""
        levels = self.level_embedding(self.token_scales[start:end])
        return self.position_embedding(self.token_indices[start:end]) + levels

    def get_blend_alphas(
        self,
        style_strength: float | Sequence[float] | torch.Tensor = 0.0,
        batch_size: int = 1,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """
        Share of the style query at each token.

        Args:
            style_strength (`float`, sequence of `B` floats, or tensor of shape `(1 or B, L)`, *optional*):
                In [-1, 1], of the pair or of each token: shifts every alpha by half of it, clamped to [0.01, 0.99]; 0
                leaves it as it is.
            batch_size (`int`, *optional*, defaults to 1):
                `B`, to check `style_strength` against.
            device (`torch.device`, *optional*):
                Where to put them. Defaults to the model's device.

        Returns:
            `torch.FloatTensor` of shape `(1 or B, L, 1)`, float32.

        Raises:
            ValueError: If a strength is outside [-1, 1], or there is not one per pair, or not one alpha per scale.
        """
        if len(self.config.blend_alphas) != self.config.num_scales:  # changed since the config was checked
            self.config.validate_architecture()
        try:
            strength = torch.as_tensor(style_strength, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`style_strength` must be one number or one per pair, but got {style_strength!r}. 0 is as trained."
            ) from error
        length = self.config.sequence_length
        per_token = strength.ndim == 2
        if per_token and (strength.shape[1] != length or strength.shape[0] not in (1, batch_size)):
            raise ValueError(
                f"`style_strength` must be of shape (1 or {batch_size}, {length}) if it is given for each token, but "
                f"got {tuple(strength.shape)}. Pass a float, or a list as long as the batch."
            )
        if not per_token and (strength.ndim > 1 or strength.numel() not in (1, batch_size)):
            raise ValueError(
                f"`style_strength` must be one number or one per pair ({batch_size}), but got {strength.numel()}. "
                "Pass a float, or a list as long as the batch."
            )
        _check_strengths(style_strength)
        device = self.device if device is None else device
        alphas = torch.tensor(self.config.blend_alphas, dtype=torch.float32).to(device, non_blocking=True)
        alphas = alphas[self.token_scales.to(device)]
        strength = (strength if per_token else strength.reshape(-1, 1)).to(device, non_blocking=True)
        shifted = torch.where(strength == 0, alphas, (alphas + 0.5 * strength).clamp(0.01, 0.99))
        if self.training and self.config.alpha_jitter > 0:
            shift = torch.empty(1, device="cpu").uniform_(-self.config.alpha_jitter, self.config.alpha_jitter)
            shifted = (shifted + shift.to(device, non_blocking=True)).clamp(0.01, 0.99)
        return shifted.unsqueeze(-1)

    def run_layers(
        self,
        hidden_states: torch.Tensor,
        guides: torch.Tensor,
        style_embedding: torch.Tensor,
        blend_alphas: torch.Tensor,
        attention_mask: "torch.Tensor | BlockMask | None" = None,
        cache: StyleVARCache | None = None,
        style_weights: torch.Tensor | None = None,
        **attention_options: Any,
    ) -> torch.Tensor:
        """
        All blocks and the final norm, for one scale with a cache or for all scales with a mask.

        Args:
            hidden_states (`torch.FloatTensor` of shape `(N, T, D)`):
                Inputs of the target's tokens.
            guides (`torch.FloatTensor` of shape `(B, n + 1, T, D)`):
                Guide tokens of the same positions, from [`~StyleVARModel.embed_guides`].
            style_embedding (`torch.FloatTensor` of shape `(B, D)`, or `(B, n, D)` with `style_weights`):
                From [`~StyleVARModel.embed_style`].
            blend_alphas (`torch.FloatTensor` of shape `(1 or B, T, 1)`):
                From [`~StyleVARModel.get_blend_alphas`].
            attention_mask (`torch.FloatTensor` of shape `(1, 1, (n + 1) * T, S)` or `BlockMask`, *optional*):
                Added to the attention scores, style rows first.
            cache ([`StyleVARCache`], *optional*):
                Keys and values of the scales before.
            style_weights (`torch.FloatTensor` of shape `(B, n, T)`, *optional*):
                Share of each of several styles at each token; see [`StyleVARReference`].
            attention_options (*optional*):
                `scale_boundaries`, `output_attentions`; see [`StyleVARBlendedCrossAttention`].

        Returns:
            `torch.FloatTensor` of shape `(N, T, D)`
        """
        first = self.layers[0]
        if first.gradient_checkpointing and self.training and torch.is_grad_enabled():
            # Of inputs without gradient, a reentrant checkpoint hands none to the adapters in its layers.
            hidden_states = hidden_states if hidden_states.requires_grad else hidden_states.requires_grad_()
        for index, layer in enumerate(self.layers):
            layer_cache = None if cache is None else cache.layers[index]
            hidden_states = layer(
                hidden_states,
                guides,
                style_embedding,
                blend_alphas,
                attention_mask,
                layer_cache,
                style_weights,
                **attention_options,
            )
        return self.norm(hidden_states, style_embedding, cache, style_weights)

    @capture_outputs
    def forward(
        self,
        content_pixel_values: torch.Tensor | None,
        style_pixel_values: torch.Tensor | None,
        content_features: torch.Tensor,
        style_features: torch.Tensor,
        target_features: torch.Tensor,
        style_strength: float | Sequence[float] | torch.Tensor = 0.0,
        content_embedding: torch.Tensor | None = None,
        style_embedding: torch.Tensor | None = None,
        style_weights: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> StyleVARModelOutput:
        """
        Teacher-forced pass over all scales at once.

        Args:
            content_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Content images in [-1, 1]. Not read if `content_embedding` is given.
            style_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Style images in [-1, 1]. Not read if `style_embedding` is given.
            content_features (`torch.FloatTensor` of shape `(B, L, C)`):
                [`~StyleVARVQModel.cumulative_features`] of the content.
            style_features (`torch.FloatTensor` of shape `(B, L, C)`, or `(B, n, L, C)` with `style_weights`):
                [`~StyleVARVQModel.cumulative_features`] of the style.
            target_features (`torch.FloatTensor` of shape `(N, L - patch_nums[0] ** 2, C)`):
                [`~StyleVARVQModel.next_scale_features`] of the targets; `N` is a multiple of `B`.
            style_strength (`float`, sequence of `B` floats, or tensor of shape `(1 or B, L)`, *optional*):
                In [-1, 1]: shifts every alpha by half of it.
            content_embedding (`torch.FloatTensor` of shape `(B, D)`, *optional*):
                From [`~StyleVARModel.embed_content`], when known.
            style_embedding (`torch.FloatTensor` of shape `(B, D)`, or `(B, n, D)` with `style_weights`, *optional*):
                From [`~StyleVARModel.embed_style`], when known.
            style_weights (`torch.FloatTensor` of shape `(B, n, L)`, *optional*):
                Share of each of several styles at each token; see [`StyleVARReference`].
            output_hidden_states (`bool`, *optional*):
                Whether to return the states between the blocks. Defaults to the config's choice.
            output_attentions (`bool`, *optional*):
                Whether to return the attention weights, for which attention is written out ("eager") in this call.
                Defaults to the config's choice.

        `return_dict=False` makes a tuple of the output.

        Returns:
            [`StyleVARModelOutput`]
        """
        if content_embedding is None:
            content_embedding = self.embed_content(content_pixel_values)
        if style_embedding is None:
            style_embedding = self.embed_style(style_pixel_values)
        repeats = target_features.shape[0] // content_embedding.shape[0]
        start = self.embed_start(content_embedding).repeat_interleave(repeats, dim=0)
        hidden_states = torch.cat([start, self.embed_tokens(target_features, start.shape[1])], dim=1)
        guides = self.embed_guides(style_features, content_features)
        if output_attentions is None:
            output_attentions = bool(self.config.output_attentions)
        last_hidden_state = self.run_layers(
            hidden_states,
            guides,
            style_embedding,
            self.get_blend_alphas(style_strength, content_embedding.shape[0], hidden_states.device),
            style_weights=style_weights,
            **self._block_causal_attention(hidden_states, guides.shape[1], output_attentions),
        )
        return StyleVARModelOutput(last_hidden_state, content_embedding, style_embedding)

    def _block_causal_attention(
        self, hidden_states: torch.Tensor, num_guides: int, output_attentions: bool
    ) -> dict[str, Any]:
        """
        A token sees its own scale and the coarser ones: how to tell the attention, by mask or scale by scale.

        On a CPU the latter takes four fifths of the time: what a mask would throw away is never computed.
        """
        implementation = "eager" if output_attentions else self.config._attn_implementation
        if implementation == "sdpa" and hidden_states.device.type == "cpu":
            return {"scale_boundaries": self.config.vq_config.scale_boundaries}
        scales = self.token_scales.repeat(num_guides)  # style rows, then content rows
        if implementation == "flex_attention":
            mask = block_causal_flex_mask(scales, self.token_scales)
        else:
            mask = block_causal_bias(scales, self.token_scales, hidden_states.dtype)
        return {"attention_mask": mask, "output_attentions": output_attentions}


def _check_strengths(style_strength: float | Sequence[float] | torch.Tensor) -> None:
    """Refuse numbers outside [-1, 1]; those on a device are clamped as alphas, for reading them would wait for it."""
    numbers = style_strength if isinstance(style_strength, Sequence) else [style_strength]
    for number in numbers:
        if isinstance(number, Real) and not -1 <= number <= 1:
            raise ValueError(
                f"`style_strength` must be in [-1, 1], but got {style_strength}. 1 is all style, -1 is all content."
            )


# Of `from_pretrained`: what names published files, which a conversion then stands for.
_PLACE_OPTIONS = ("variant", "revision", "token", "cache_dir", "local_files_only", "force_download")


def carry_source_files(folder: str | os.PathLike) -> None:
    """
    Copy this file and those beside it into a folder, so that `pipeline("image-style-transfer", model=folder,
    trust_remote_code=True)` finds them; transformers copies those alone that the model imports.
    """
    for source in Path(__file__).parent.glob("*_stylevar*.py"):
        shutil.copyfile(source, Path(folder) / source.name)


class StyleVARForConditionalGeneration(StyleVARPreTrainedModel, StyleVARGenerationMixin):
    """
    StyleVAR: tokenizer, transformer and head; teacher-forced scores with `forward`, images with `generate`.

    Args:
        config ([`StyleVARConfig`]):
            Sizes; the defaults are the released depth-20 model.

    Example:

    ```python
    >>> import torch
    >>> from stylevar_hf import StyleVARForConditionalGeneration, bundled_checkpoint

    >>> model = StyleVARForConditionalGeneration.from_pretrained(bundled_checkpoint())
    >>> size = model.config.image_size
    >>> content, style = torch.rand(2, 1, 3, size, size) * 2 - 1
    >>> model.generate(content, style, generator=torch.Generator().manual_seed(0)).pixel_values.shape
    torch.Size([1, 3, 128, 128])
    ```
    """

    _keep_in_fp32_modules_strict = ["lm_head"]

    def __init__(self, config: StyleVARConfig):
        super().__init__(config)
        self.vq_model = StyleVARVQModel(config.vq_config)
        self.model = StyleVARModel(config)
        self.lm_head = StyleVARScaledLinear(config.hidden_size, config.vq_config.codebook_size, init_gain=0.02)
        self.generation_config = GenerationConfig(**PUBLISHED_SAMPLING)
        self.post_init()

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> Any:
        """As in `PreTrainedModel`; the pipeline's source files are saved beside those of the model."""
        saved = super().save_pretrained(save_directory, **kwargs)
        if self._auto_class is not None and kwargs.get("is_main_process", True):
            carry_source_files(save_directory)
        return saved

    # Where this package is installed, `stylevar_hf._registration` puts its publishing here, and its conversion of
    # published files: a name and a variant to the folder of the conversion, or `None` for all other names.
    _publish: ClassVar[Callable[..., CommitInfo] | None] = None
    _find_converted: ClassVar[Callable[..., str | None] | None] = None

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike | None, *model_args: Any, **kwargs: Any
    ) -> "StyleVARForConditionalGeneration":
        """
        As in `PreTrainedModel`. Of a repository with the published `.pth` files, `variant="sft"` or `"grpo"` names the
        model; it is downloaded and converted once, into the Hub's cache. `"stylevar-sft"` and `"stylevar-grpo"` are
        short for those of the authors.
        """
        place, kwargs = cls.resolve_published(pretrained_model_name_or_path, **kwargs)
        return super().from_pretrained(place, *model_args, **kwargs)

    @classmethod
    def resolve_published(
        cls, name_or_path: str | os.PathLike | None, **kwargs: Any
    ) -> tuple[str | os.PathLike | None, dict[str, Any]]:
        """
        The folder of the conversion where published files are named, and the arguments of `from_pretrained` that are
        left; everything else as it is. May download.
        """
        if cls._find_converted is None or not isinstance(name_or_path, str | os.PathLike):
            return name_or_path, kwargs
        place = {name: kwargs[name] for name in _PLACE_OPTIONS if kwargs.get(name) is not None}
        folder = cls._find_converted(name_or_path, **place)
        if folder is None:
            return name_or_path, kwargs
        return folder, {name: value for name, value in kwargs.items() if name not in _PLACE_OPTIONS}

    def push_to_hub(
        self, repo_id: str, *, image_processor: ImageProcessingMixin | None = None, **kwargs: Any
    ) -> CommitInfo | str:
        """
        Upload everything that a user of the model needs in one commit: weights, configs, image processor, card,
        licence and source files. A card and a processor that the repository has already are kept, unless a processor
        is given. Loaded as remote code, the model uploads itself alone, as any other.

        Args:
            repo_id (`str`):
                `user/name` of the repository; made if missing.
            image_processor ([`StyleVARImageProcessor`], *optional*):
                Defaults to the published processing at the model's image size.
            **kwargs:
                See [`~stylevar_hf.hub.push_model`]: `commit_message`, `private`, `token`, `revision`, `create_pr`,
                `max_shard_size`, `license` and others.

        Returns:
            `huggingface_hub.CommitInfo`
        """
        if self._publish is None:
            return super().push_to_hub(repo_id, **kwargs)
        return self._publish(repo_id, image_processor=image_processor, **kwargs)

    def get_logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Normed hidden states `(N, T, D)` to float32 scores `(N, T, V)`; the head runs in float32."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            head_dtype = next(self.lm_head.parameters()).dtype
            return self.lm_head(hidden_states.to(head_dtype)).float()

    def encode_content(
        self, content_pixel_values: torch.Tensor, codes: torch.LongTensor | None = None
    ) -> StyleVARReference:
        """
        Encode content images once, for many calls of `generate`.

        Args:
            content_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`):
                Images in [-1, 1].
            codes (`torch.LongTensor` of shape `(B, L)`, *optional*):
                Their VQ codes, when known.

        Returns:
            [`StyleVARReference`]

        Raises:
            ValueError: If the images or the codes do not fit the model.
        """
        codes, features = self._tokenize("content", content_pixel_values, codes)
        return StyleVARReference(self.model.embed_content(content_pixel_values), features, codes)

    def encode_style(
        self, style_pixel_values: torch.Tensor, codes: torch.LongTensor | None = None
    ) -> StyleVARReference:
        """Encode style images once, for many calls of `generate`; see [`encode_content`]."""
        codes, features = self._tokenize("style", style_pixel_values, codes)
        return StyleVARReference(self.model.embed_style(style_pixel_values), features, codes)

    @torch.no_grad()
    def _tokenize(
        self, role: str, pixel_values: torch.Tensor, codes: torch.LongTensor | None
    ) -> tuple[torch.LongTensor, torch.Tensor]:
        """
        Codes `(B, L)` and conditioning features `(B, L, C)` of images; the tokenizer is not trained here.

        It runs in its own dtype whatever autocast says, so that codes are those of a token cache.
        """
        check_pixel_values(f"{role}_pixel_values", pixel_values, self.config.vq_config)
        with torch.autocast(pixel_values.device.type, enabled=False):
            if codes is None:
                encoded = self.vq_model.encode(pixel_values)
                return encoded.codes, encoded.features
            self.vq_model.check_codes(f"{role}_codes", codes)
            _check_batch(f"{role}_codes", codes.shape[0], pixel_values.shape[0])
            return codes, self.vq_model.cumulative_features(codes)

    def _check_pair(
        self,
        content_pixel_values: torch.Tensor | None,
        style_pixel_values: torch.Tensor | None,
        content: StyleVARReference | None,
        style: StyleVARReference | None,
    ) -> int:
        """The number of pairs, once it is sure that each image is given once and fits."""
        given = {"content": (content, content_pixel_values), "style": (style, style_pixel_values)}
        for role, pair in given.items():
            if sum(value is not None for value in pair) != 1:
                raise ValueError(
                    f"`{role}_pixel_values` or `{role}` must be given, and not both, but got "
                    f"{'both' if pair[0] is not None else 'neither'}. `{role}` takes the result of `encode_{role}`."
                )
            if pair[0] is not None and getattr(pair[0], "embedding", None) is None:
                raise ValueError(
                    f"`{role}` must be the result of `encode_{role}`, but got {type(pair[0]).__name__} without an "
                    f"embedding. Pass images as `{role}_pixel_values`."
                )
            if pair[1] is not None:
                check_pixel_values(f"{role}_pixel_values", pair[1], self.config.vq_config)
        num_contents, num_styles = (
            pixels.shape[0] if reference is None else reference.embedding.shape[0]
            for reference, pixels in given.values()
        )
        _check_batch("style_pixel_values", num_styles, num_contents)
        return num_contents

    @can_return_tuple
    def forward(
        self,
        content_pixel_values: torch.Tensor | None = None,
        style_pixel_values: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        target_pixel_values: torch.Tensor | None = None,
        content_codes: torch.LongTensor | None = None,
        style_codes: torch.LongTensor | None = None,
        style_strength: float | Sequence[float] | torch.Tensor = 0.0,
        num_return_sequences: int = 1,
        content: StyleVARReference | None = None,
        style: StyleVARReference | None = None,
        scoring: StyleVARScoring | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> StyleVARConditionalGenerationOutput:
        """
        Teacher-forced pass: the scores of every token of the target given the coarser scales, the style and the
        content. The tokenizer takes no gradient.

        Args:
            content_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Content images in [-1, 1]. Required unless `content` is given.
            style_pixel_values (`torch.FloatTensor` of shape `(B, 3, image_size, image_size)`, *optional*):
                Style images in [-1, 1]. Required unless `style` is given.
            labels (`torch.LongTensor` of shape `(B * num_return_sequences, L)`, *optional*):
                The target's codes. Required unless `target_pixel_values` is given.
            target_pixel_values (`torch.FloatTensor` of shape `(B * num_return_sequences, 3, image_size, image_size)`):
                Target images in [-1, 1], tokenised on the fly.
            content_codes (`torch.LongTensor` of shape `(B, L)`, *optional*):
                VQ codes of the contents, when known; saves tokenising them.
            style_codes (`torch.LongTensor` of shape `(B, L)`, *optional*):
                VQ codes of the styles, when known.
            style_strength (`float`, sequence of `B` floats, or tensor of shape `(1 or B, L)`, *optional*):
                In [-1, 1]: shifts every alpha by half of it, towards the style if positive.
            num_return_sequences (`int`, *optional*, defaults to 1):
                Targets per pair, in the order of `generate`; the pair is encoded once.
            content ([`StyleVARReference`], *optional*):
                Contents already encoded by [`encode_content`], without gradient to the image encoder if made so.
            style ([`StyleVARReference`], *optional*):
                Styles already encoded by [`encode_style`].
            scoring ([`StyleVARScoring`], *optional*):
                Return log-probabilities and entropies of the labels in place of the logits, which then never exist
                for all tokens at once.
            output_hidden_states (`bool`, *optional*):
                Whether to return the states between the blocks. Defaults to the config's choice.
            output_attentions (`bool`, *optional*):
                Whether to return the attention weights, for which attention is written out ("eager") in this call.
                Defaults to the config's choice.

        `return_dict=False` makes a tuple of the output. Shapes and dtypes are checked here; values are checked where
        they enter (processor, pipeline, collator, caches), since reading them would wait for the device.

        Returns:
            [`StyleVARConditionalGenerationOutput`]

        Raises:
            ValueError: If the target is missing or given twice, or an input does not fit the model or the batch.
        """
        # 1. The target's codes
        if (labels is None) == (target_pixel_values is None):
            found = "neither" if labels is None else "both"
            raise ValueError(
                f"`labels` or `target_pixel_values` must be given, and not both, but got {found}. "
                "`labels` are codes such as `vq_model.encode(pixels).codes`."
            )
        check_num_return_sequences(num_return_sequences)
        batch_size = self._check_pair(content_pixel_values, style_pixel_values, content, style)
        if labels is None:
            labels, _ = self._tokenize("target", target_pixel_values, None)
        self.vq_model.check_codes("labels", labels)
        _check_batch("labels", labels.shape[0], batch_size * num_return_sequences)

        # 2. Features of all three images, then the transformer
        if content is None:
            content = StyleVARReference(features=self._tokenize("content", content_pixel_values, content_codes)[1])
        if style is None:
            style = StyleVARReference(features=self._tokenize("style", style_pixel_values, style_codes)[1])
        with torch.no_grad():
            target_features = self.vq_model.next_scale_features(labels)
        outputs = self.model(
            content_pixel_values,
            style_pixel_values,
            content_features=content.features,
            style_features=style.features,
            target_features=target_features,
            style_strength=style_strength,
            content_embedding=content.embedding,
            style_embedding=style.embedding,
            style_weights=style.weights,
            return_dict=True,
            **{
                name: value
                for name, value in (
                    ("output_hidden_states", output_hidden_states),
                    ("output_attentions", output_attentions),
                )
                if value is not None
            },
        )
        recorded = {"hidden_states": outputs.hidden_states, "attentions": outputs.attentions}

        # 3. Scores and loss
        if scoring is not None:
            return self._score(outputs.last_hidden_state, labels, scoring, recorded)
        logits = self.get_logits(outputs.last_hidden_state)
        losses = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), label_smoothing=self.config.label_smoothing, reduction="none"
        ).view_as(labels)
        correct = (logits.detach().argmax(dim=-1) == labels).float()
        return StyleVARConditionalGenerationOutput(
            loss=losses.mean(),
            logits=logits,
            scale_losses=self._mean_per_scale(losses.detach()),
            scale_accuracies=self._mean_per_scale(correct),
            labels=labels,
            **recorded,
        )

    def _score(
        self,
        hidden_states: torch.Tensor,
        labels: torch.LongTensor,
        scoring: StyleVARScoring,
        recorded: dict[str, tuple[torch.Tensor, ...] | None],
    ) -> StyleVARConditionalGenerationOutput:
        """Log-probabilities and entropies of the labels; the logits of one chunk of tokens at a time."""

        def score_chunk(hidden_chunk: torch.Tensor, label_chunk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return score_codes(self.get_logits(hidden_chunk), label_chunk, scoring)

        hidden_chunks = hidden_states.flatten(0, 1).split(scoring.chunk_size)
        chunks = zip(hidden_chunks, labels.flatten().split(scoring.chunk_size), strict=True)
        if torch.is_grad_enabled():
            options = {"use_reentrant": False, "preserve_rng_state": False}  # nothing is drawn
            scores = [checkpoint(score_chunk, *chunk, **options) for chunk in chunks]
        else:
            scores = [score_chunk(*chunk) for chunk in chunks]
        log_probs, entropies = (torch.cat(parts).view_as(labels) for parts in zip(*scores, strict=True))
        return StyleVARConditionalGenerationOutput(
            loss=-log_probs.mean(),
            scale_losses=self._mean_per_scale(-log_probs.detach()),
            labels=labels,
            log_probs=log_probs,
            entropies=entropies,
            **recorded,
        )

    def _mean_per_scale(self, values: torch.Tensor) -> torch.Tensor:
        """Values `(N, L)` to their mean at each scale, `(K,)`."""
        return torch.stack([values[:, start:end].mean() for start, end in self.config.vq_config.scale_boundaries])


def _check_batch(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"`{name}` must have a batch size of {expected} to match the content images, but got {found}. "
            "Repeat or drop rows so that every content has one style and its targets."
        )


__all__ = [
    "StyleVARConditionalGenerationOutput",
    "StyleVARForConditionalGeneration",
    "StyleVARModel",
    "StyleVARModelOutput",
    "StyleVARPreTrainedModel",
]
