# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The configuration of a published checkpoint, read from the shapes of its tensors, and the check that they fit it."""

import math
import re
from collections.abc import Mapping, Sequence

from ..configuration_stylevar import BLEND_ALPHA_SCHEDULES, StyleVARConfig, StyleVARVQConfig
from .layouts import PublishedTensor
from .read import OriginalCheckpoint, listing


# The tensors by which a user sees which file is which.
_SIGNATURES = {
    "quantize.embedding.weight": ("vq", "a VQ-VAE; it belongs to `vq_path`"),
    "blocks.0.attn.mat_qkv_guide.weight": (
        "stylevar",
        "a StyleVAR transformer; it belongs to `model_path` of `convert_original_checkpoint`",
    ),
    "blocks.0.attn.mat_qkv.weight": (
        "var",
        "a vanilla VAR; it belongs to `var_path` of `convert_var_checkpoint` (`stylevar convert --var`)",
    ),
    "layer1.0.conv1.weight": ("resnet", "a torchvision ResNet; it belongs to `resnet_path`"),
}
_KINDS = {
    "vq": "VQ-VAE",
    "stylevar": "StyleVAR transformer",
    "var": "vanilla VAR transformer",
    "resnet": "torchvision ResNet",
}
_PUBLISHED_LADDER = StyleVARConfig().patch_nums


def check_complete(checkpoint: OriginalCheckpoint, kind: str, layout: Mapping[str, PublishedTensor]) -> None:
    """Raise one `ValueError` that lists everything missing, unexpected or of another shape."""
    tensors = checkpoint.tensors
    missing = [name for name, entry in layout.items() if entry.required and name not in tensors]
    unexpected = [name for name in tensors if name not in layout]
    misshaped = []
    for name, entry in layout.items():
        tensor, is_integer = tensors.get(name), name.endswith((".num_batches_tracked", "lvl_1L"))
        if tensor is None:
            continue
        if tensor.is_floating_point() == is_integer or tensor.dtype.itemsize == 1:  # eight bits need scales
            misshaped.append(f"{name} of {tensor.dtype}")
        elif entry.shape is not None and tensor.shape != entry.shape:
            misshaped.append(f"{name} of shape {tuple(tensor.shape)} for {tuple(entry.shape)}")
    problems = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshaped}
    if any(problems.values()):
        found = "; ".join(f"{problem}: {listing(names)}" for problem, names in problems.items() if names)
        raise ValueError(
            f"`{checkpoint.argument}` must hold exactly the tensors of one {_KINDS[kind]}, but got {checkpoint.path} "
            f"with {found}. {_what_it_is(checkpoint, kind)}"
        )


def _sizes(checkpoint: OriginalCheckpoint, kind: str, dims: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Shapes of the tensors named in `dims`, which must be there and have that many dimensions."""
    for name, ndim in dims.items():
        tensor = checkpoint.tensors.get(name)
        if tensor is None or tensor.ndim != ndim:
            found = "without" if tensor is None else f"with {tuple(tensor.shape)} for"
            raise ValueError(
                f"`{checkpoint.argument}` must be a published {_KINDS[kind]}, whose sizes are read from {name} and "
                f"others, but got {checkpoint.path} {found} it. {_what_it_is(checkpoint, kind)}"
            )
    return [tuple(checkpoint.tensors[name].shape) for name in dims]


def _what_it_is(checkpoint: OriginalCheckpoint, kind: str) -> str:
    for name, (other, description) in _SIGNATURES.items():
        if name in checkpoint.tensors and other != kind:
            return f"This file looks like {description}."
    return "It may be damaged, cut down, or of a variant that was never published."


def _vq_sizes(vq: OriginalCheckpoint) -> dict:
    (base_channels, num_channels, _, _), (codebook_size, latent_channels) = _sizes(
        vq, "vq", {"encoder.conv_in.weight": 4, "quantize.embedding.weight": 2}
    )
    levels = max(vq.count(r"encoder\.down\.(\d+)\."), 1)
    widths = [
        shape[0] for shape in _sizes(vq, "vq", {f"encoder.down.{i}.block.0.conv1.weight": 4 for i in range(levels)})
    ]
    if any(width % base_channels for width in widths):
        raise ValueError(
            f"`vq_path` must have multiples of its first {base_channels} channels at every resolution, but got "
            f"{vq.path} with {widths}. {_what_it_is(vq, 'vq')}"
        )
    phis = max(vq.count(r"quantize\.quant_resi\.qresi_ls\.(\d+)\."), vq.count(r"quantize\.quant_resi\.(\d+)\."))
    return {
        "base_channels": base_channels,
        "num_channels": num_channels,
        "codebook_size": codebook_size,
        "latent_channels": latent_channels,
        "channel_multipliers": tuple(width // base_channels for width in widths),
        "num_res_blocks": max(vq.count(r"encoder\.down\.0\.block\.(\d+)\."), 1),
        "num_shared_phi": max(phis, 1),
    }


def sequential_trunk(transformer: OriginalCheckpoint) -> dict:
    """Sizes of the style trunk, stored as a Sequential whose stages start at 4; the content trunk must equal them."""
    stages = [f"style_encoder.{index}." for index in range(4, max(transformer.count(r"style_encoder\.(\d+)\."), 5))]
    return _trunk_sizes(transformer, "stylevar", "style_encoder.0.weight", stages)


def torchvision_trunk(resnet: OriginalCheckpoint) -> dict:
    stages = [f"layer{index}." for index in range(1, max(resnet.count(r"layer(\d+)\."), 2))]
    return _trunk_sizes(resnet, "resnet", "conv1.weight", stages)


def _trunk_sizes(checkpoint: OriginalCheckpoint, kind: str, stem: str, stages: Sequence[str]) -> dict:
    (embedding_size, num_channels, _, _), *firsts = _sizes(
        checkpoint, kind, {stem: 4, **{f"{stage}0.conv1.weight": 4 for stage in stages}}
    )
    return {
        "num_channels": num_channels,
        "embedding_size": embedding_size,
        "hidden_sizes": [shape[0] for shape in firsts],
        "depths": [checkpoint.count(re.escape(stage) + r"(\d+)\.") for stage in stages],
        "layer_type": "basic",
        "downsample_in_first_stage": False,
    }


def build_config(
    vq: OriginalCheckpoint,
    transformer: OriginalCheckpoint,
    kind: str,
    encoder_config: dict,
    blend_alphas: str | Sequence[float],
    patch_nums: Sequence[int] | None,
) -> StyleVARConfig:
    """The configuration of a model with these two files' sizes, which must fit each other."""
    vq_sizes = _vq_sizes(vq)
    (hidden_size, latent_channels), (codebook_size, _), (_, heads, _, _), (inner_size, _) = _sizes(
        transformer,
        kind,
        {"word_embed.weight": 2, "head.weight": 2, "blocks.0.attn.scale_mul_1H11": 4, "blocks.0.ffn.fc1.weight": 2},
    )
    for name, size in (("latent_channels", latent_channels), ("codebook_size", codebook_size)):
        if size != vq_sizes[name]:
            raise ValueError(
                f"`{transformer.argument}` must be trained on the VQ-VAE of `vq_path`, but got {transformer.path} "
                f"with {name}={size} and {vq.path} with {name}={vq_sizes[name]}. Use the pair that belongs together."
            )
    ladder = _read_ladder(transformer, kind, patch_nums)
    alphas = _resolve_blend_alphas(blend_alphas, ladder)
    try:
        config = StyleVARConfig(
            hidden_size=hidden_size,
            num_hidden_layers=transformer.count(r"blocks\.(\d+)\."),
            num_attention_heads=heads,
            mlp_ratio=inner_size / hidden_size,
            blend_alphas=alphas,
            vq_config={"patch_nums": ladder, **vq_sizes, **_known(vq)},
            encoder_config=encoder_config,
        )
    except ValueError as error:
        raise ValueError(f"{transformer.path} and {vq.path} do not make a model: {error}") from error
    config.dtype = transformer.tensors["word_embed.weight"].dtype
    return config


def _known(vq: OriginalCheckpoint) -> dict:
    """Sizes that a file of ours names beside its weights. Raises `ValueError` if they are not ours."""
    fields = set(StyleVARVQConfig.__annotations__)
    if unknown := sorted(set(vq.extras) - fields):
        raise ValueError(
            f"`{vq.argument}` must name sizes of `StyleVARVQConfig` beside its weights, but got {vq.path} with "
            f"{', '.join(unknown)}. It was written by a newer version: upgrade stylevar-hf."
        )
    return vq.extras


def _read_ladder(transformer: OriginalCheckpoint, kind: str, patch_nums: Sequence[int] | None) -> tuple[int, ...]:
    """The sides of the scales, from the scale of every token."""
    [(_, length, _)] = _sizes(transformer, kind, {"pos_1LC": 3})
    if "lvl_1L" in transformer.tensors:
        levels, tokens = transformer.tensors["lvl_1L"].flatten().unique_consecutive(return_counts=True)
        ladder = tuple(math.isqrt(count) for count in tokens.tolist())
        if levels.tolist() != list(range(len(ladder))) or [side**2 for side in ladder] != tokens.tolist():
            raise ValueError(
                f"`{transformer.argument}` must number the tokens of square scales from 0 in `lvl_1L`, but got "
                f"{transformer.path} with {tokens.tolist()[:12]} tokens at scales {levels.tolist()[:12]}. "
                "Remove `lvl_1L` from the file and pass `patch_nums`."
            )
        if patch_nums is not None and tuple(patch_nums) != ladder:
            raise ValueError(
                f"`patch_nums` must be the ladder of {transformer.path}, {ladder}, but got {tuple(patch_nums)}. "
                "Leave it out."
            )
        return ladder
    if patch_nums is None:
        patch_nums = _PUBLISHED_LADDER
    if sum(side**2 for side in patch_nums) != length:
        raise ValueError(
            f"`patch_nums` must be the ladder of the {length} tokens in {transformer.path}, which does not say it "
            f"(no `lvl_1L`), but got {tuple(patch_nums)}. Pass the sides of the scales, coarse to fine."
        )
    return tuple(patch_nums)


def _resolve_blend_alphas(blend_alphas: str | Sequence[float], ladder: tuple[int, ...]) -> tuple[float, ...] | None:
    """The alphas for a ladder; `None` stands for the default of [`StyleVARConfig`], which fits every ladder."""
    if isinstance(blend_alphas, str) and blend_alphas == "default":
        return None
    if isinstance(blend_alphas, str) and blend_alphas not in BLEND_ALPHA_SCHEDULES:
        raise ValueError(
            f"`blend_alphas` must be one of {', '.join(BLEND_ALPHA_SCHEDULES)} or a sequence of numbers, but got "
            f"{blend_alphas!r}. Choose one, or give one value per scale."
        )
    alphas = BLEND_ALPHA_SCHEDULES[blend_alphas] if isinstance(blend_alphas, str) else blend_alphas
    alphas = tuple(map(float, alphas))  # an array's or a tensor's numbers, too
    if len(alphas) != len(ladder):
        raise ValueError(
            f"`blend_alphas` must have one value per scale ({len(ladder)} for the ladder {ladder}), but got "
            f"{blend_alphas!r} with {len(alphas)}. Give {len(ladder)} values in [0, 1]."
        )
    return alphas
