# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The multi-scale residual VQ-VAE of StyleVAR (arXiv 2604.21052; tokenizer of VAR, arXiv 2404.02905).

An image becomes `K` square maps of codes, coarse to fine. Each scale quantises what the coarser ones left over.

Legend: `B` images, `K` scales, `L` codes per image over all scales, `C` latent channels, `S` side of the latent,
`V` codebook size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention_stylevar import get_attention
from .configuration_stylevar import StyleVARVQConfig


# Size of the largest feature map that a CPU decodes at once: about one image of the released tokenizer.
_CPU_FEATURE_FLOATS = 10 * 2**20


@dataclass
class StyleVARVQEncoderOutput(ModelOutput):
    """
    What the tokenizer says of an image.

    Args:
        codes (`torch.LongTensor` of shape `(B, L)`):
            Codebook indices of all scales, coarse to fine, each scale row by row.
        features (`torch.FloatTensor` of shape `(B, L, C)`):
            What the codes up to and including each scale stand for, seen at that scale. These condition StyleVAR.
        latents (`torch.FloatTensor` of shape `(B, C, S, S)`):
            The encoder's output before quantisation.
    """

    codes: torch.LongTensor | None = None
    features: torch.FloatTensor | None = None
    latents: torch.FloatTensor | None = None


@dataclass
class StyleVARVQOutput(ModelOutput):
    """
    Result of the tokenizer's training forward.

    Args:
        loss (`torch.FloatTensor` of shape `()`):
            `reconstruction_loss + codebook_loss + commitment_weight * commitment_loss`.
        reconstruction_loss (`torch.FloatTensor` of shape `()`):
            Mean squared error of the pixels.
        codebook_loss (`torch.FloatTensor` of shape `()`):
            `|f_hat_k - sg(f)|^2`, mean over scales: moves the codebook and the phi convolutions.
        commitment_loss (`torch.FloatTensor` of shape `()`):
            `|sg(f_hat_k) - f|^2`, mean over scales, unweighted: moves the encoder.
        reconstruction (`torch.FloatTensor` of shape `(B, num_channels, H, W)`):
            Decoded images, not clamped.
        codes (`torch.LongTensor` of shape `(B, L)`):
            Codebook indices.
        codebook_usage (`torch.FloatTensor` of shape `(K,)`):
            Share of the codebook, in [0, 1], that this batch used at each scale.
        hidden_states (`tuple` of `torch.FloatTensor`, *optional*, returned with `output_hidden_states`):
            The input of the encoder's first stage, then the output of each stage of encoder and decoder, each `(B,
            channels, height, width)`.
        attentions (`tuple` of `torch.FloatTensor`, *optional*, returned with `output_attentions`):
            Attention weights `(B, 1, S * S, S * S)` of the coarsest resolution, encoder first.
    """

    loss: torch.FloatTensor | None = None
    reconstruction_loss: torch.FloatTensor | None = None
    codebook_loss: torch.FloatTensor | None = None
    commitment_loss: torch.FloatTensor | None = None
    reconstruction: torch.FloatTensor | None = None
    codes: torch.LongTensor | None = None
    codebook_usage: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


def check_pixel_values(name: str, pixel_values: torch.Tensor, config: StyleVARVQConfig) -> None:
    """
    Refuse pixels of a shape or dtype that the tokenizer was not made for. Their values are not read: that would wait
    for the device.

    Raises:
        ValueError: If `pixel_values` is not a floating-point tensor of shape `(B, num_channels, image_size,
            image_size)`.
    """
    expected = (config.num_channels, config.image_size, config.image_size)
    if not isinstance(pixel_values, torch.Tensor) or not pixel_values.is_floating_point():
        is_tensor = isinstance(pixel_values, torch.Tensor)
        found = pixel_values.dtype if is_tensor else type(pixel_values).__name__
        raise ValueError(
            f"`{name}` must be a floating-point tensor with values in [-1, 1], but got {found}. "
            "Use `StyleVARImageProcessor` to prepare images."
        )
    if pixel_values.ndim != 4 or pixel_values.shape[1:] != expected:
        raise ValueError(
            f"`{name}` must be of shape (batch, {', '.join(map(str, expected))}) to fit the ladder "
            f"patch_nums={tuple(config.patch_nums)}, but got {tuple(pixel_values.shape)}. Use "
            "`StyleVARImageProcessor` to resize images, or a model whose ladder fits them."
        )
    if pixel_values.shape[0] == 0:
        raise ValueError(f"`{name}` must hold at least one image, but got an empty batch. Leave out empty batches.")


def area_resize(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Average `(B, C, S, S)` maps down to `(B, C, side, side)`."""
    return maps if maps.shape[-1] == side else F.interpolate(maps, size=(side, side), mode="area")


def _fast_layout(images: torch.Tensor) -> torch.Tensor:
    """On a CPU, convolutions in half precision are a fifth faster with the channels last; those in float32 are not."""
    if images.device.type != "cpu":
        return images
    half = images.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    return images.contiguous(memory_format=torch.channels_last) if half else images


class StyleVARVQZeroConv(nn.Conv2d):
    """A convolution that starts at zero: the residual branch that it ends adds nothing at first."""


class StyleVARVQIdentityConv(nn.Conv2d):
    """A convolution that starts as the identity: what it is given passes unchanged at first."""


class StyleVARVQResnetBlock(GradientCheckpointingLayer):
    """GroupNorm, SiLU and a 3x3 convolution, twice, around a residual path."""

    def __init__(self, config: StyleVARVQConfig, in_channels: int, out_channels: int):
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = StyleVARVQZeroConv(out_channels, out_channels, kernel_size=3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = self.shortcut(hidden_states)
        # In place wherever the tensor is fresh: at full resolution, memory traffic costs as much as arithmetic.
        hidden_states = self.conv1(F.silu(self.norm1(hidden_states), inplace=True))
        hidden_states = self.conv2(F.silu(self.norm2(hidden_states), inplace=True))
        return hidden_states.add_(residual)


class StyleVARVQAttention(nn.Module):
    """Single-head self-attention over all positions of a map."""

    def __init__(self, config: StyleVARVQConfig, channels: int):
        super().__init__()
        self.config = config
        self.scaling = channels**-0.5
        self.norm = nn.GroupNorm(config.norm_num_groups, channels, eps=config.norm_eps)
        self.qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.proj_out = StyleVARVQZeroConv(channels, channels, kernel_size=1)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Maps `(B, channels, S, S)` to the same, and the weights `(B, 1, S*S, S*S)` of written-out attention."""
        qkv = self.qkv(self.norm(hidden_states)).flatten(2).transpose(1, 2)  # (B, S*S, 3*channels)
        query, key, value = qkv.unsqueeze(1).chunk(3, dim=-1)  # each (B, 1, S*S, channels)
        # FlexAttention has no kernels for heads as wide as this one.
        implementation = "eager" if self.config._attn_implementation == "eager" else "sdpa"
        attend = get_attention(implementation, query, None)
        answers, weights = attend(self, query, key, value, None, scaling=self.scaling, dropout=0.0, is_causal=False)
        answers = answers.squeeze(2).transpose(1, 2).reshape(hidden_states.shape)
        return hidden_states + self.proj_out(answers), weights


class StyleVARVQDownsample(nn.Module):
    """Halve the resolution with a stride-2 convolution after padding on the right and at the bottom."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(hidden_states, (0, 1, 0, 1)))


class StyleVARVQUpsample(nn.Module):
    """Double the resolution with nearest-neighbour interpolation and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = StyleVARVQIdentityConv(channels, channels, kernel_size=3, padding=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(hidden_states, scale_factor=2.0, mode="nearest"))


class StyleVARVQStage(nn.Module):
    """
    All blocks at one resolution, then the change to the next one.

    Self-attention follows every block of the coarsest resolution and nowhere else.
    """

    def __init__(
        self,
        config: StyleVARVQConfig,
        in_channels: int,
        out_channels: int,
        num_blocks: int,
        attention: bool,
        downsample: bool = False,
        upsample: bool = False,
    ):
        super().__init__()
        widths = [in_channels] + [out_channels] * num_blocks
        self.resnets = nn.ModuleList(
            StyleVARVQResnetBlock(config, before, after) for before, after in zip(widths, widths[1:], strict=False)
        )
        self.attentions = nn.ModuleList(
            StyleVARVQAttention(config, out_channels) for _ in range(num_blocks if attention else 0)
        )
        self.downsample = StyleVARVQDownsample(out_channels) if downsample else nn.Identity()
        self.upsample = StyleVARVQUpsample(out_channels) if upsample else nn.Identity()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        for index, resnet in enumerate(self.resnets):
            hidden_states = resnet(hidden_states)
            if self.attentions:
                hidden_states, _ = self.attentions[index](hidden_states)
        return self.upsample(self.downsample(hidden_states))


class StyleVARVQMidBlock(nn.Module):
    """Two residual blocks around self-attention at the coarsest resolution."""

    def __init__(self, config: StyleVARVQConfig, channels: int):
        super().__init__()
        self.resnets = nn.ModuleList(StyleVARVQResnetBlock(config, channels, channels) for _ in range(2))
        self.attention = StyleVARVQAttention(config, channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states, _ = self.attention(self.resnets[0](hidden_states))
        return self.resnets[1](hidden_states)


class StyleVARVQEncoder(nn.Module):
    """Pixels `(B, num_channels, H, W)` to latents `(B, C, H / downsampling, W / downsampling)`."""

    def __init__(self, config: StyleVARVQConfig):
        super().__init__()
        widths = [config.base_channels * factor for factor in config.channel_multipliers]
        last = len(widths) - 1
        self.to_patches = nn.PixelUnshuffle(config.pixel_patch_size)
        in_channels = config.num_channels * config.pixel_patch_size**2
        self.conv_in = nn.Conv2d(in_channels, config.base_channels, kernel_size=3, padding=1)
        self.down_blocks = nn.ModuleList(
            StyleVARVQStage(config, before, after, config.num_res_blocks, level == last, downsample=level < last)
            for level, (before, after) in enumerate(zip([config.base_channels, *widths], widths, strict=False))
        )
        self.mid_block = StyleVARVQMidBlock(config, widths[-1])
        self.norm_out = nn.GroupNorm(config.norm_num_groups, widths[-1], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, kernel_size=3, padding=1)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        hidden_states = self.conv_in(self.to_patches(pixel_values))
        for stage in self.down_blocks:
            hidden_states = stage(hidden_states)
        hidden_states = self.mid_block(hidden_states)
        return self.conv_out(F.silu(self.norm_out(hidden_states), inplace=True))


class StyleVARVQDecoder(nn.Module):
    """Latents `(B, C, S, S)` to pixels `(B, num_channels, S * downsampling, S * downsampling)`, not clamped."""

    def __init__(self, config: StyleVARVQConfig):
        super().__init__()
        widths = [config.base_channels * factor for factor in reversed(config.channel_multipliers)]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], kernel_size=3, padding=1)
        self.mid_block = StyleVARVQMidBlock(config, widths[0])
        self.up_blocks = nn.ModuleList(
            StyleVARVQStage(config, before, after, config.num_res_blocks + 1, level == 0, upsample=level < last)
            for level, (before, after) in enumerate(zip([widths[0], *widths], widths, strict=False))
        )
        self.norm_out = nn.GroupNorm(config.norm_num_groups, widths[-1], eps=config.norm_eps)
        out_channels = config.num_channels * config.pixel_patch_size**2
        self.conv_out = nn.Conv2d(widths[-1], out_channels, kernel_size=3, padding=1)
        self.to_pixels = nn.PixelShuffle(config.pixel_patch_size)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        hidden_states = self.mid_block(self.conv_in(latents))
        for stage in self.up_blocks:
            hidden_states = stage(hidden_states)
        return self.to_pixels(self.conv_out(F.silu(self.norm_out(hidden_states), inplace=True)))


class StyleVARPhi(nn.Module):
    """`phi(h) = (1 - r) h + r conv3x3(h)`: repairs what upsampling a code map blurs (arXiv 2404.02905, Alg. 1-2)."""

    def __init__(self, config: StyleVARVQConfig):
        super().__init__()
        self.ratio = config.residual_ratio
        channels = config.latent_channels
        self.conv = StyleVARVQIdentityConv(channels, channels, kernel_size=3, padding=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return (1 - self.ratio) * hidden_states + self.ratio * self.conv(hidden_states)


class StyleVARQuantizer(nn.Module):
    """
    Multi-scale residual quantiser with one codebook for all scales and `num_shared_phi` convolutions.

    Everything here runs in float32, whatever the dtype of the model or of autocast: the nearest codebook vector of a
    rounded latent is often another one.
    """

    def __init__(self, config: StyleVARVQConfig):
        super().__init__()
        self.patch_nums = config.patch_nums
        self.scale_boundaries = config.scale_boundaries
        self.phi_indices = config.phi_indices
        self.codebook = nn.Embedding(config.codebook_size, config.latent_channels)
        self.phis = nn.ModuleList(StyleVARPhi(config) for _ in range(config.num_shared_phi))
        self.register_buffer("every_code", torch.arange(config.codebook_size), persistent=False)

    def split(self, codes: torch.LongTensor) -> list[torch.LongTensor]:
        """Codes `(B, L)` to one tensor `(B, patch_nums[k] ** 2)` per scale."""
        return [codes[:, start:end] for start, end in self.scale_boundaries]

    @torch.no_grad()
    def nearest_codes(self, vectors: torch.Tensor) -> torch.LongTensor:
        """Index of the codebook vector nearest to each of `(N, C)` vectors, by Euclidean distance: `(N,)`."""
        codebook = self.codebook(self.every_code).float()
        # |z - e|^2 without |z|^2, which is the same for every e
        distances = torch.addmm(codebook.square().sum(dim=1), vectors, codebook.T, alpha=-2)
        return distances.argmin(dim=1)

    def residual_codes(self, residual: torch.Tensor, scale_index: int) -> torch.LongTensor:
        """Codes `(B, side ** 2)` of a scale that come nearest to `(B, C, S, S)`, what coarser ones left over."""
        side = self.patch_nums[scale_index]
        vectors = area_resize(residual, side).permute(0, 2, 3, 1).flatten(0, 2)
        return self.nearest_codes(vectors).view(-1, side * side)

    def lift(self, codes: torch.LongTensor, scale_index: int) -> torch.Tensor:
        """
        What the codes of one scale add to the latent.

        Args:
            codes (`torch.LongTensor` of shape `(B, patch_nums[scale_index] ** 2)`):
                Codes of that scale.
            scale_index (`int`):
                Which scale, from 0.

        Returns:
            `torch.FloatTensor` of shape `(B, C, S, S)`: `phi_k(bicubic(codebook[codes]))`.
        """
        side, latent_side = self.patch_nums[scale_index], self.patch_nums[-1]
        with torch.autocast(codes.device.type, enabled=False):
            hidden_states = self.codebook(codes).transpose(1, 2).unflatten(2, (side, side))
            if side != latent_side:
                hidden_states = F.interpolate(hidden_states, size=(latent_side, latent_side), mode="bicubic")
            return self.phis[self.phi_indices[scale_index]](hidden_states).float()

    def accumulate(self, codes: torch.LongTensor) -> list[torch.Tensor]:
        """The latent `f_hat_k` after each scale, `K` tensors of shape `(B, C, S, S)`, from codes `(B, L)`."""
        cumulative = []
        for scale_index, scale_codes in enumerate(self.split(codes)):
            contribution = self.lift(scale_codes, scale_index)
            cumulative.append(cumulative[-1] + contribution if cumulative else contribution)
        return cumulative

    def forward(self, latents: torch.Tensor) -> tuple[torch.LongTensor, list[torch.Tensor]]:
        """
        Quantise latents scale by scale, each scale what the coarser ones left over (arXiv 2404.02905, Alg. 1).

        Args:
            latents (`torch.FloatTensor` of shape `(B, C, S, S)`):
                The encoder's output.

        Returns:
            `tuple`: codes `(B, L)` and the latent `f_hat_k` after each scale, `K` tensors of shape `(B, C, S, S)`.
            Gradients flow to the codebook and the phi convolutions, not to `latents`.
        """
        with torch.autocast(latents.device.type, enabled=False):
            residual = latents.detach().float()
            codes, cumulative = [], []
            for scale_index in range(len(self.patch_nums)):
                codes.append(self.residual_codes(residual, scale_index))
                contribution = self.lift(codes[-1], scale_index)
                cumulative.append(cumulative[-1] + contribution if cumulative else contribution)
                residual = residual - contribution.detach()
        return torch.cat(codes, dim=1), cumulative

    def features(self, cumulative: Sequence[torch.Tensor], sides: Sequence[int] | None = None) -> torch.Tensor:
        """
        Lay the latents of several scales side by side as a sequence.

        Args:
            cumulative (sequence of `torch.FloatTensor` of shape `(B, C, S, S)`):
                `f_hat_k`, as returned by [`~StyleVARQuantizer.accumulate`].
            sides (sequence of `int`, *optional*):
                The side to average each of them down to. Defaults to each scale's own side.

        Returns:
            `torch.FloatTensor` of shape `(B, sum(side ** 2), C)`.
        """
        sides = self.patch_nums if sides is None else sides
        maps = [area_resize(latent, side).flatten(2) for latent, side in zip(cumulative, sides, strict=True)]
        return torch.cat(maps, dim=2).transpose(1, 2)


class StyleVARVQPreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the tokenizer's classes."""

    config: StyleVARVQConfig
    config_class = StyleVARVQConfig
    base_model_prefix = "vq_model"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _can_record_outputs = {
        "hidden_states": OutputRecorder(StyleVARVQStage),
        "attentions": OutputRecorder(StyleVARVQAttention, index=1),
    }
    _no_split_modules = ["StyleVARVQResnetBlock", "StyleVARVQAttention", "StyleVARQuantizer"]
    _keep_in_fp32_modules_strict = ["quantizer"]

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True  # transformers looks for a certain line in this file, which stands in another of ours

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # A new tokenizer starts as a linear autoencoder, its residual branches silent: it learns several times faster
        # than from independent random convolutions, which drown the picture in noise.
        if isinstance(module, nn.Conv2d):
            if isinstance(module, StyleVARVQZeroConv):
                init.zeros_(module.weight)
            elif isinstance(module, StyleVARVQIdentityConv):
                init.dirac_(module.weight)
            else:
                init.lecun_normal_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=module.embedding_dim**-0.5)
        elif isinstance(module, StyleVARQuantizer):
            # Loading leaves garbage in buffers that are not saved.
            init.copy_(module.every_code, torch.arange(module.codebook.num_embeddings))


class StyleVARVQModel(StyleVARVQPreTrainedModel):
    """
    Multi-scale VQ-VAE: images in [-1, 1] to `L` codes and back.

    Args:
        config ([`StyleVARVQConfig`]):
            Sizes and ladder.

    Example:

    ```python
    >>> import torch
    >>> from stylevar_hf import StyleVARVQConfig, StyleVARVQModel

    >>> vq_model = StyleVARVQModel(StyleVARVQConfig(base_channels=32, patch_nums=(1, 2, 3, 4))).eval()
    >>> codes = vq_model.encode(torch.zeros(1, 3, 64, 64)).codes
    >>> codes.shape, vq_model.decode(codes).shape
    (torch.Size([1, 30]), torch.Size([1, 3, 64, 64]))
    ```
    """

    def __init__(self, config: StyleVARVQConfig):
        super().__init__(config)
        channels = config.latent_channels
        self.encoder = StyleVARVQEncoder(config)
        self.quant_conv = StyleVARVQIdentityConv(channels, channels, kernel_size=3, padding=1)
        self.quantizer = StyleVARQuantizer(config)
        self.post_quant_conv = StyleVARVQIdentityConv(channels, channels, kernel_size=3, padding=1)
        self.decoder = StyleVARVQDecoder(config)
        self.post_init()

    def get_latents(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixels `(B, num_channels, H, W)` in [-1, 1] to latents `(B, C, S, S)` before quantisation, in float32."""
        check_pixel_values("pixel_values", pixel_values, self.config)
        hidden_states = self.encoder(_fast_layout(pixel_values.to(self.dtype)))
        return self.quant_conv(hidden_states).float().contiguous()

    def encode(self, pixel_values: torch.Tensor) -> StyleVARVQEncoderOutput:
        """
        Tokenise images.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(B, num_channels, image_size, image_size)`):
                RGB images in [-1, 1].

        Returns:
            [`StyleVARVQEncoderOutput`]: codes, conditioning features and latents.

        Raises:
            ValueError: If the shape does not fit the ladder.
        """
        latents = self.get_latents(pixel_values)
        codes, cumulative = self.quantizer(latents)
        return StyleVARVQEncoderOutput(codes=codes, features=self.quantizer.features(cumulative), latents=latents)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents `(B, C, S, S)`, such as `f_hat` after any scale, to float32 pixels in [-1, 1]."""
        at_once = self._images_at_once()
        if latents.device.type != "cpu" or torch.compiler.is_compiling() or latents.shape[0] <= at_once:
            return self._decode_part(latents)
        return torch.cat([self._decode_part(part) for part in latents.split(at_once)])

    def _decode_part(self, latents: torch.Tensor) -> torch.Tensor:
        hidden_states = self.post_quant_conv(_fast_layout(latents.to(self.dtype)))
        return self.decoder(hidden_states).float().clamp(-1, 1).contiguous()

    def _images_at_once(self) -> int:
        """On a CPU, large feature maps cost time, as memory is the bottleneck there, and a lot of it."""
        side = self.config.image_size // self.config.pixel_patch_size
        return max(1, _CPU_FEATURE_FLOATS // (self.config.base_channels * side**2))

    def decode(self, codes: torch.LongTensor) -> torch.Tensor:
        """
        Turn codes into images.

        Args:
            codes (`torch.LongTensor` of shape `(B, L)`):
                Codebook indices of all scales, coarse to fine.

        Returns:
            `torch.FloatTensor` of shape `(B, num_channels, image_size, image_size)`: images in [-1, 1].

        Raises:
            ValueError: If the shape or the dtype is wrong.
        """
        self.check_codes("codes", codes)
        return self.decode_latents(self.quantizer.accumulate(codes)[-1])

    def reconstruct(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Images `(B, num_channels, H, W)` in [-1, 1] through the codes and back, same shape and range."""
        _, cumulative = self.quantizer(self.get_latents(pixel_values))
        return self.decode_latents(cumulative[-1])

    def cumulative_features(self, codes: torch.LongTensor) -> torch.Tensor:
        """
        Conditioning features of codes `(B, L)`: at each scale the latent that the codes up to and including it stand
        for, averaged down to that scale. Shape `(B, L, C)`, float32.
        """
        self.check_codes("codes", codes)
        return self.quantizer.features(self.quantizer.accumulate(codes))

    def next_scale_features(self, codes: torch.LongTensor) -> torch.Tensor:
        """
        Teacher-forced inputs of scales 2..K for codes `(B, L)`: at each scale the latent that the codes before it
        stand for, averaged down to that scale. Shape `(B, L - patch_nums[0] ** 2, C)`, float32.
        """
        self.check_codes("codes", codes)
        if self.config.num_scales == 1:
            return codes.new_zeros((codes.shape[0], 0, self.config.latent_channels), dtype=torch.float32)
        return self.quantizer.features(self.quantizer.accumulate(codes)[:-1], self.config.patch_nums[1:])

    def check_codes(self, name: str, codes: torch.Tensor) -> None:
        """Raise `ValueError` unless `codes` are an int64 tensor of shape `(B, L)`. Their values are not read."""
        length = self.config.sequence_length
        is_tensor = isinstance(codes, torch.Tensor)
        if (
            not is_tensor
            or codes.dtype != torch.long
            or codes.ndim != 2
            or codes.shape[1] != length
            or not codes.shape[0]
        ):
            found = f"{codes.dtype} of shape {tuple(codes.shape)}" if is_tensor else type(codes).__name__
            raise ValueError(
                f"`{name}` must be an int64 tensor of shape (batch, {length}) for the ladder "
                f"patch_nums={tuple(self.config.patch_nums)}, but got {found}. Use `encode(pixel_values).codes`."
            )

    @capture_outputs
    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> StyleVARVQOutput:
        """
        Training forward: quantise with the straight-through estimator, decode, and measure.

        `loss = |x_hat - x|^2 + (1 / K) sum_k (beta |sg(f_hat_k) - f|^2 + |f_hat_k - sg(f)|^2)` (arXiv 2404.02905,
        eq. 5, without its perceptual and adversarial terms, which are up to the trainer). All terms are means.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(B, num_channels, image_size, image_size)`):
                RGB images in [-1, 1].
            output_hidden_states (`bool`, *optional*):
                Whether to return what the stages of encoder and decoder make. Defaults to the config's choice.
            output_attentions (`bool`, *optional*):
                Whether to return the attention weights, which only `attn_implementation="eager"` has. Defaults to the
                config's choice.

        `return_dict=False` makes a tuple of the output.

        Returns:
            [`StyleVARVQOutput`]

        Raises:
            ValueError: If the images do not fit the ladder, or if weights are asked of other attention than "eager".
        """
        if output_attentions and self.config._attn_implementation != "eager":
            raise ValueError(
                f'`attn_implementation` must be "eager" for `output_attentions`, but got '
                f'{self.config._attn_implementation!r}. Call `set_attn_implementation("eager")` first.'
            )
        latents = self.get_latents(pixel_values)
        codes, cumulative = self.quantizer(latents)
        quantized = latents + (cumulative[-1] - latents).detach()  # straight-through
        reconstruction = self.decoder(self.post_quant_conv(quantized.to(self.dtype))).float()

        reconstruction_loss = F.mse_loss(reconstruction, pixel_values.float())
        codebook_loss = torch.stack([F.mse_loss(f_hat, latents.detach()) for f_hat in cumulative]).mean()
        commitment_loss = torch.stack([F.mse_loss(latents, f_hat.detach()) for f_hat in cumulative]).mean()
        loss = reconstruction_loss + codebook_loss + self.config.commitment_weight * commitment_loss

        return StyleVARVQOutput(
            loss=loss,
            reconstruction_loss=reconstruction_loss,
            codebook_loss=codebook_loss,
            commitment_loss=commitment_loss,
            reconstruction=reconstruction,
            codes=codes,
            codebook_usage=self._codebook_usage(codes),
        )

    def _codebook_usage(self, codes: torch.LongTensor) -> torch.Tensor:
        used = codes.new_zeros(self.config.num_scales, self.config.codebook_size, dtype=torch.float32)
        for row, scale_codes in zip(used, self.quantizer.split(codes), strict=True):
            row.index_fill_(0, scale_codes.flatten(), 1.0)
        return used.mean(dim=1)


__all__ = ["StyleVARVQEncoderOutput", "StyleVARVQModel", "StyleVARVQOutput", "StyleVARVQPreTrainedModel"]
