# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Where every weight of [`StyleVARForConditionalGeneration`] is found in the published files.

The tables are read in one direction only, from our name to the published one; [`published_layout`] applies them to
every name of a model, and what comes out is the complete list of tensors that a published file of that size holds.
Both directions of the conversion, and their strictness, follow from that list.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch

from ..configuration_stylevar import StyleVARConfig


# Placeholders that stand for a number; every other one stands for the rest of a name.
_NUMBERS = frozenset({"layer", "level", "stage", "block", "conv", "phi"})


@dataclass(frozen=True)
class Rename:
    """
    One kind of weight under both of its names.

    Args:
        ours (`str`): Name in [`StyleVARForConditionalGeneration`], with placeholders.
        published (`str`): Name in the published file; it may also use what [`_derived_fields`] adds.
        third (`int`, *optional*): Which third of the rows of a fused query/key/value matrix.
        outer_dims (`tuple[int, int]`): Dimensions of size one that the published shape has before and after ours.
    """

    ours: str
    published: str
    third: int | None = None
    outer_dims: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Unused:
    """
    A published tensor without influence on any output. Conversion drops it; the way back makes it anew.

    Args:
        published (`str`): Name in the published file; `{layer}` stands for every block.
        make (`Callable`, *optional*): From the configuration to the tensor. `None`: its shape is not known.
        required (`bool`): Whether a file without it is refused. Parameters are required, buffers are not.
        check_shape (`bool`): Whether a file in which it has another shape is refused.
    """

    published: str
    make: Callable[[StyleVARConfig], torch.Tensor] | None = None
    required: bool = False
    check_shape: bool = True


@dataclass
class PublishedTensor:
    """
    One tensor of a published file.

    Args:
        shape (`tuple[int, ...]`, *optional*): Its shape; `None` where any will do.
        parts (`list[tuple[str, int | None]]`): Our names for it, each with the third of the rows that it takes.
        required (`bool`): Whether a file without it is refused.
        make (`Callable`, *optional*): Makes an unused tensor anew.
    """

    shape: tuple[int, ...] | None
    parts: list[tuple[str, int | None]] = field(default_factory=list)
    required: bool = True
    make: Callable[[StyleVARConfig], torch.Tensor] | None = None


def _levels(config: StyleVARConfig) -> torch.Tensor:
    """Scale of every token, `(1, L)`."""
    return torch.cat([torch.full((side * side,), scale) for scale, side in enumerate(config.patch_nums)])[None]


def _causal_bias(config: StyleVARConfig) -> torch.Tensor:
    """0 where a token may look and `-inf` where it may not, `(1, 1, L, L)`."""
    levels = _levels(config)
    return torch.where(levels.mT >= levels, 0.0, float("-inf"))[None, None]


def _zero_vector(config: StyleVARConfig) -> torch.Tensor:
    return torch.zeros(config.hidden_size)


VQ_RENAMES = (
    Rename("vq_model.{half}.conv_in.{rest}", "{half}.conv_in.{rest}"),
    Rename("vq_model.{half}.conv_out.{rest}", "{half}.conv_out.{rest}"),
    Rename("vq_model.{half}.norm_out.{rest}", "{half}.norm_out.{rest}"),
    Rename("vq_model.{half}.mid_block.resnets.0.{rest}", "{half}.mid.block_1.{rest}"),
    Rename("vq_model.{half}.mid_block.attention.{rest}", "{half}.mid.attn_1.{rest}"),
    Rename("vq_model.{half}.mid_block.resnets.1.{rest}", "{half}.mid.block_2.{rest}"),
    Rename(
        "vq_model.encoder.down_blocks.{level}.resnets.{block}.shortcut.{rest}",
        "encoder.down.{level}.block.{block}.nin_shortcut.{rest}",
    ),
    Rename("vq_model.encoder.down_blocks.{level}.resnets.{block}.{rest}", "encoder.down.{level}.block.{block}.{rest}"),
    Rename(
        "vq_model.encoder.down_blocks.{level}.attentions.{block}.{rest}", "encoder.down.{level}.attn.{block}.{rest}"
    ),
    Rename("vq_model.encoder.down_blocks.{level}.downsample.{rest}", "encoder.down.{level}.downsample.{rest}"),
    Rename(
        "vq_model.decoder.up_blocks.{level}.resnets.{block}.shortcut.{rest}",
        "decoder.up.{mirrored_level}.block.{block}.nin_shortcut.{rest}",
    ),
    Rename(
        "vq_model.decoder.up_blocks.{level}.resnets.{block}.{rest}",
        "decoder.up.{mirrored_level}.block.{block}.{rest}",
    ),
    Rename(
        "vq_model.decoder.up_blocks.{level}.attentions.{block}.{rest}",
        "decoder.up.{mirrored_level}.attn.{block}.{rest}",
    ),
    Rename("vq_model.decoder.up_blocks.{level}.upsample.{rest}", "decoder.up.{mirrored_level}.upsample.{rest}"),
    Rename("vq_model.quant_conv.{rest}", "quant_conv.{rest}"),
    Rename("vq_model.post_quant_conv.{rest}", "post_quant_conv.{rest}"),
    Rename("vq_model.quantizer.codebook.{rest}", "quantize.embedding.{rest}"),
)
VQ_UNUSED = (
    # one row per scale of the ladder the tokenizer was trained with, which need not be the transformer's
    Unused(
        "quantize.ema_vocab_hit_SV",
        lambda config: torch.zeros(config.num_scales, config.vq_config.codebook_size),
        check_shape=False,
    ),
)

# The published tokenizer stores its phi convolutions in one of three layouts.
PHI_RENAMES = {
    "partially shared": Rename(
        "vq_model.quantizer.phis.{phi}.conv.{rest}", "quantize.quant_resi.qresi_ls.{phi}.{rest}"
    ),
    "shared": Rename("vq_model.quantizer.phis.0.conv.{rest}", "quantize.quant_resi.qresi.{rest}"),
    "not shared": Rename("vq_model.quantizer.phis.{phi}.conv.{rest}", "quantize.quant_resi.{phi}.{rest}"),
}

_COMMON_RENAMES = (
    Rename("model.token_projection.{rest}", "word_embed.{rest}"),
    Rename("model.position_embedding.weight", "pos_1LC", outer_dims=(1, 0)),
    Rename("model.start_embedding.weight", "pos_start", outer_dims=(1, 0)),
    Rename("model.level_embedding.weight", "lvl_embed.weight"),
    Rename("model.layers.{layer}.attention.logit_scale", "blocks.{layer}.attn.scale_mul_1H11", outer_dims=(1, 2)),
    Rename("model.layers.{layer}.attention.o_proj.{rest}", "blocks.{layer}.attn.proj.{rest}"),
    Rename("model.layers.{layer}.mlp.{rest}", "blocks.{layer}.ffn.{rest}"),
    Rename("model.layers.{layer}.modulation.{rest}", "blocks.{layer}.ada_lin.1.{rest}"),
    Rename("model.norm.modulation.{rest}", "head_nm.ada_lin.1.{rest}"),
    Rename("lm_head.{rest}", "head.{rest}"),
)
_COMMON_UNUSED = (Unused("lvl_1L", _levels), Unused("attn_bias_for_masking", _causal_bias))

# Style and content queries come from the "guide" projection, keys and values from the "target" projection.
STYLEVAR_RENAMES = (
    *_COMMON_RENAMES,
    Rename("model.image_projection.{rest}", "feat_emb.{rest}"),
    Rename("model.layers.{layer}.attention.q_proj.weight", "blocks.{layer}.attn.mat_qkv_guide.weight", third=0),
    Rename("model.layers.{layer}.attention.k_proj.weight", "blocks.{layer}.attn.mat_qkv_target.weight", third=1),
    Rename("model.layers.{layer}.attention.v_proj.weight", "blocks.{layer}.attn.mat_qkv_target.weight", third=2),
    Rename("model.layers.{layer}.attention.q_proj.bias", "blocks.{layer}.attn.q_bias_guide"),
    Rename("model.layers.{layer}.attention.v_proj.bias", "blocks.{layer}.attn.v_bias_target"),
    # the ResNet trunks are stored as a Sequential: 0 convolution, 1 norm, 2 and 3 without weights, 4.. the stages
    Rename("model.{trunk}_encoder.embedder.embedder.convolution.{rest}", "{trunk}_encoder.0.{rest}"),
    Rename("model.{trunk}_encoder.embedder.embedder.normalization.{rest}", "{trunk}_encoder.1.{rest}"),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.layer.{conv}.convolution.{rest}",
        "{trunk}_encoder.{stage_from_4}.{block}.conv{conv_from_1}.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.layer.{conv}.normalization.{rest}",
        "{trunk}_encoder.{stage_from_4}.{block}.bn{conv_from_1}.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.shortcut.convolution.{rest}",
        "{trunk}_encoder.{stage_from_4}.{block}.downsample.0.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.shortcut.normalization.{rest}",
        "{trunk}_encoder.{stage_from_4}.{block}.downsample.1.{rest}",
    ),
)
STYLEVAR_UNUSED = (
    *_COMMON_UNUSED,
    Unused("blocks.{layer}.attn.v_bias_guide", _zero_vector, required=True),
    Unused("blocks.{layer}.attn.q_bias_target", _zero_vector, required=True),
    Unused("blocks.{layer}.attn.zero_k_bias_guide", _zero_vector),
    Unused("blocks.{layer}.attn.zero_k_bias_target", _zero_vector),
)

# Vanilla, class-conditional VAR: one self-attention projection, no image embedding.
VAR_RENAMES = (
    *_COMMON_RENAMES,
    Rename("model.layers.{layer}.attention.q_proj.weight", "blocks.{layer}.attn.mat_qkv.weight", third=0),
    Rename("model.layers.{layer}.attention.k_proj.weight", "blocks.{layer}.attn.mat_qkv.weight", third=1),
    Rename("model.layers.{layer}.attention.v_proj.weight", "blocks.{layer}.attn.mat_qkv.weight", third=2),
    Rename("model.layers.{layer}.attention.q_proj.bias", "blocks.{layer}.attn.q_bias"),
    Rename("model.layers.{layer}.attention.v_proj.bias", "blocks.{layer}.attn.v_bias"),
)
VAR_UNUSED = (
    *_COMMON_UNUSED,
    Unused("class_emb.weight"),
    Unused("blocks.{layer}.attn.zero_k_bias", _zero_vector),
)

# torchvision's ResNet; the same weights start both trunks.
RESNET_RENAMES = (
    Rename("model.{trunk}_encoder.embedder.embedder.convolution.{rest}", "conv1.{rest}"),
    Rename("model.{trunk}_encoder.embedder.embedder.normalization.{rest}", "bn1.{rest}"),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.layer.{conv}.convolution.{rest}",
        "layer{stage_from_1}.{block}.conv{conv_from_1}.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.layer.{conv}.normalization.{rest}",
        "layer{stage_from_1}.{block}.bn{conv_from_1}.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.shortcut.convolution.{rest}",
        "layer{stage_from_1}.{block}.downsample.0.{rest}",
    ),
    Rename(
        "model.{trunk}_encoder.encoder.stages.{stage}.layers.{block}.shortcut.normalization.{rest}",
        "layer{stage_from_1}.{block}.downsample.1.{rest}",
    ),
)
RESNET_UNUSED = (Unused("fc.weight"), Unused("fc.bias"))


def _pattern(template: str) -> re.Pattern:
    """`"a.{layer}.{rest}"` as a regular expression with one named group per placeholder."""
    literal_or_name = re.split(r"\{(\w+)\}", template)
    groups = [
        (f"(?P<{text}>{r'[0-9]+' if text in _NUMBERS else '.+'})" if index % 2 else re.escape(text))
        for index, text in enumerate(literal_or_name)
    ]
    return re.compile("".join(groups))


def _derived_fields(fields: Mapping[str, str], config: StyleVARConfig) -> dict[str, int]:
    """The numbers that the published names count from elsewhere."""
    derived = {}
    if "level" in fields:  # we number the decoder's resolutions in order of execution
        derived["mirrored_level"] = len(config.vq_config.channel_multipliers) - 1 - int(fields["level"])
    if "stage" in fields:
        derived["stage_from_1"], derived["stage_from_4"] = int(fields["stage"]) + 1, int(fields["stage"]) + 4
    if "conv" in fields:
        derived["conv_from_1"] = int(fields["conv"]) + 1
    return derived


def _published_shape(shape: tuple[int, ...], rename: Rename) -> tuple[int, ...]:
    if rename.third is not None:
        return (3 * shape[0], *shape[1:])
    before, after = rename.outer_dims
    return (1,) * before + shape + (1,) * after


def published_layout(
    config: StyleVARConfig, shapes: Mapping[str, torch.Size], renames: Iterable[Rename], unused: Iterable[Unused]
) -> dict[str, PublishedTensor]:
    """
    Everything that a published file holds for a model of this size.

    Args:
        config ([`StyleVARConfig`]):
            Sizes and ladder.
        shapes (`Mapping[str, torch.Size]`):
            Our names of the weights that this file is the source of, with their shapes.
        renames (iterable of [`Rename`]):
            The table to apply; the first rule that matches a whole name counts.
        unused (iterable of [`Unused`]):
            What the file holds besides.

    Returns:
        `dict[str, PublishedTensor]`: by published name.

    Raises:
        KeyError: If a name is in no rule: the model and the table have come apart.
    """
    rules = [(_pattern(rename.ours), rename) for rename in renames]
    layout: dict[str, PublishedTensor] = {}
    for name, shape in shapes.items():
        match, rename = next(((m, rule) for pattern, rule in rules if (m := pattern.fullmatch(name))), (None, None))
        if rename is None:
            raise KeyError(f"No rule of the conversion table covers the weight {name!r}.")
        fields = match.groupdict()
        published = rename.published.format(**fields, **_derived_fields(fields, config))
        # a count of training batches; files from before PyTorch 0.4.1 do not have it
        required = not name.endswith(".num_batches_tracked")
        entry = layout.setdefault(
            published, PublishedTensor(_published_shape(tuple(shape), rename), required=required)
        )
        entry.parts.append((name, rename.third))
    for row in unused:
        with torch.device("meta"):
            shape = tuple(row.make(config).shape) if row.make is not None and row.check_shape else None
        for layer in range(config.num_hidden_layers if "{layer}" in row.published else 1):
            layout[row.published.format(layer=layer)] = PublishedTensor(shape, required=row.required, make=row.make)
    return layout
