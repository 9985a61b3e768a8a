# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""StyleVAR configuration: the multi-scale VQ-VAE and the transformer over its tokens (arXiv 2604.21052)."""

import contextlib
import os
import re
from collections.abc import Iterable
from itertools import accumulate
from pathlib import PurePath
from typing import Any

import numpy as np
from huggingface_hub import HfApi
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import PreTrainedConfig, ResNetConfig


# Weight of the style query at each of the ten scales of the released model. "default" is the published inference
# schedule; "released-sft" is the one the released supervised weights were probably trained with.
BLEND_ALPHA_SCHEDULES = {
    "default": (0.2, 0.3, 0.4, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.8),
    "released-sft": (0.1, 0.2, 0.25, 0.3, 0.3, 0.35, 0.4, 0.4, 0.5, 0.5),
}

# The trunk of the released models' image encoders; transformers' own default is ResNet-50.
RESNET18 = {
    "embedding_size": 64,
    "hidden_sizes": [64, 128, 256, 512],
    "depths": [2, 2, 2, 2],
    "layer_type": "basic",
    "downsample_in_first_stage": False,
}


def _require(condition: bool, name: str, rule: str, value: object, hint: str) -> None:
    if not condition:
        raise ValueError(f"`{name}` must be {rule}, but got {value!r}. {hint}")


def _checked(built: Any) -> Any:
    """What `from_dict` returns, a config or one with unused arguments, once the config keeps the rules."""
    (built[0] if isinstance(built, tuple) else built).validate_architecture()
    return built


_PUBLISHED_TOKENIZER = re.compile(r"(vae|vq).*\.pth", re.IGNORECASE)
_PUBLISHED_MODEL = re.compile(r"stylevar.*\.pth", re.IGNORECASE)


def original_weights_hint(place: str | os.PathLike, names: Iterable[str] | None = None) -> str | None:
    """
    What to do with the published `.pth` files, where a model of this format was expected.

    Args:
        place (`str` or `os.PathLike`):
            A folder, or the id of a repository.
        names (`Iterable[str]`, *optional*):
            The files of the repository. Defaults to those of the folder.

    Returns:
        `str`: One line with the command that converts them, or `None` if these are not the published files.
    """
    is_repository = names is not None
    if names is None:
        names = os.listdir(place) if os.path.isdir(place) else ()
    names = sorted(names)
    if {"config.json", "adapter_config.json"} & set(names):
        return None
    tokenizers = [name for name in names if _PUBLISHED_TOKENIZER.fullmatch(PurePath(name).name)]
    models = [name for name in names if _PUBLISHED_MODEL.fullmatch(PurePath(name).name)]
    if not tokenizers and not models:
        return None
    # Of several models the supervised one: the others are tuned from it.
    model = next((name for name in models if "sft" in name.lower()), models[0] if models else "StyleVAR_SFT.pth")
    tokenizer = tokenizers[0] if tokenizers else "vae_ch160v4096z32.pth"
    folder, output = PurePath(place), PurePath(model).stem.lower().replace("_", "-")
    said = f"{place} holds the published .pth files, which are converted before they load."
    if is_repository:
        parts = [PurePath(name).stem.lower() for name in models]
        variants = [name for name in ("sft", "grpo") if any(name in part for part in parts)] or parts
        call = f'StyleVARPipeline.from_pretrained("{place}", variant="{variants[0]}")'
        command = f"stylevar convert {place} --variant {variants[0]} -o {output}"
        return f"{said} Name one of them ({', '.join(variants)}): `{call}` does it once, or run `{command}`."
    command = f"stylevar convert --vq {folder / tokenizer} --model {folder / model} --output {output}"
    return f"{said} Run `{command}`."


class _NoVocabulary(AttributeError, ValueError):
    """An attribute that is not there, so that `hasattr` says so, and a wrong choice, as every other is reported."""


@strict
class StyleVARVQConfig(PreTrainedConfig):
    r"""
    Configuration of [`StyleVARVQModel`], the multi-scale residual VQ-VAE. The defaults are the released
    `vae_ch160v4096z32` tokenizer: 256x256 RGB images become 680 codes on ten scales.

    Args:
        patch_nums (`tuple[int, ...]`, *optional*, defaults to `(1, 2, 3, 4, 5, 6, 8, 10, 13, 16)`):
            The ladder of scales: side of each square token map, coarse to fine, strictly increasing. Images are
            `patch_nums[-1] * downsampling` pixels wide and high.
        codebook_size (`int`, *optional*, defaults to 4096):
            Number of codebook vectors, shared by all scales.
        latent_channels (`int`, *optional*, defaults to 32):
            Channels of the latent and of each codebook vector.
        base_channels (`int`, *optional*, defaults to 160):
            Channels of the encoder and the decoder at full resolution.
        channel_multipliers (`tuple[int, ...]`, *optional*, defaults to `(1, 1, 2, 2, 4)`):
            Factor on `base_channels` at each resolution, fine to coarse; each step but the last halves the
            resolution, so the model downsamples by `pixel_patch_size * 2 ** (len(channel_multipliers) - 1)`.
        num_res_blocks (`int`, *optional*, defaults to 2):
            Residual blocks per resolution in the encoder; the decoder has one more.
        residual_ratio (`float`, *optional*, defaults to 0.5):
            Weight `r` of the convolution in `phi(h) = (1 - r) h + r conv(h)`, in [0, 1].
        num_shared_phi (`int`, *optional*, defaults to 4):
            Number of `phi` convolutions shared by the scales: 1 for a single one, `len(patch_nums)` for one per scale.
        commitment_weight (`float`, *optional*, defaults to 0.25):
            Weight of the commitment term in the tokenizer's training loss.
        num_channels (`int`, *optional*, defaults to 3):
            Channels of the images.
        pixel_patch_size (`int`, *optional*, defaults to 1):
            Side of the squares of pixels that the encoder moves into channels before its first convolution, and the
            decoder back after its last one. 1 is the published layout. 2 or 4 leaves out the convolutions at full
            resolution, which are most of a small tokenizer's time and little of its power.
        norm_num_groups (`int`, *optional*, defaults to 32):
            Groups of every GroupNorm; must divide the channels of every resolution.
        norm_eps (`float`, *optional*, defaults to 1e-6):
            Epsilon of every GroupNorm.

    Raises:
        ValueError: If a size is not positive, the ladder does not increase, or the groups do not divide the channels.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARVQConfig, StyleVARVQModel

    >>> model = StyleVARVQModel(StyleVARVQConfig())
    >>> model.config.image_size
    256
    ```
    """

    model_type = "stylevar_vq"
    base_config_key = "vq_config"

    patch_nums: list[int] | tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
    codebook_size: int = 4096
    latent_channels: int = 32
    base_channels: int = 160
    channel_multipliers: list[int] | tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    residual_ratio: float | int = 0.5
    num_shared_phi: int = 4
    commitment_weight: float | int = 0.25
    num_channels: int = 3
    pixel_patch_size: int = 1
    norm_num_groups: int = 32
    norm_eps: float = 1e-6

    def __post_init__(self, **kwargs):
        self.patch_nums = tuple(self.patch_nums)
        self.channel_multipliers = tuple(self.channel_multipliers)
        self.validate_architecture()
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in `PreTrainedConfig`, which sets the fields in `kwargs` when the config is built and checked already."""
        return _checked(super().from_dict(config_dict, **kwargs))

    def validate_architecture(self):
        """Part of `@strict`-powered validation: the rules that join several fields."""
        ladder = self.patch_nums
        _require(
            len(ladder) > 0 and ladder[0] > 0 and all(a < b for a, b in zip(ladder, ladder[1:], strict=False)),
            "patch_nums",
            "a strictly increasing ladder of positive sides",
            ladder,
            "List the sides of the token maps from coarse to fine, such as (1, 2, 3, 4).",
        )
        sizes = (
            "codebook_size",
            "latent_channels",
            "base_channels",
            "num_res_blocks",
            "num_shared_phi",
            "num_channels",
            "pixel_patch_size",
        )
        for name in sizes:
            _require(getattr(self, name) > 0, name, "positive", getattr(self, name), "Choose at least 1.")
        _require(
            len(self.channel_multipliers) > 0 and min(self.channel_multipliers) > 0,
            "channel_multipliers",
            "a non-empty list of positive factors",
            self.channel_multipliers,
            "Give one factor per resolution.",
        )
        _require(0 <= self.residual_ratio <= 1, "residual_ratio", "in [0, 1]", self.residual_ratio, "0.5 is usual.")
        for factor in self.channel_multipliers:
            channels = self.base_channels * factor
            _require(
                self.norm_num_groups > 0 and channels % self.norm_num_groups == 0,
                "norm_num_groups",
                f"a divisor of every resolution's channels ({channels} is one of them)",
                self.norm_num_groups,
                "Lower `norm_num_groups` or change `base_channels`.",
            )

    @property
    def num_scales(self) -> int:
        """Number of scales, `K`."""
        return len(self.patch_nums)

    @property
    def sequence_length(self) -> int:
        """Number of codes of one image over all scales, `L`."""
        return sum(side * side for side in self.patch_nums)

    @property
    def scale_boundaries(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each scale in the sequence of `L` codes."""
        ends = tuple(accumulate(side * side for side in self.patch_nums))
        return tuple(zip((0, *ends[:-1]), ends, strict=True))

    @property
    def downsampling(self) -> int:
        """Pixels per latent position, in each direction."""
        return self.pixel_patch_size * 2 ** (len(self.channel_multipliers) - 1)

    @property
    def image_size(self) -> int:
        """Width and height, in pixels, of the images that fit the ladder."""
        return self.patch_nums[-1] * self.downsampling

    @property
    def phi_indices(self) -> tuple[int, ...]:
        """
        Which of the `num_shared_phi` convolutions each scale uses: the one whose tick is nearest to the scale's
        position `i / (K - 1)`. The ticks divide [0, 1] evenly (with a wider margin for four, as published).
        """
        count = self.num_shared_phi
        margin = 1 / 3 / count if count == 4 else 1 / 2 / count
        ticks = np.linspace(margin, 1 - margin, count)
        positions = [index / max(self.num_scales - 1, 1) for index in range(self.num_scales)]
        return tuple(int(np.argmin(np.abs(ticks - position))) for position in positions)


@strict
class StyleVARConfig(PreTrainedConfig):
    r"""
    Configuration of [`StyleVARForConditionalGeneration`]. The defaults are the released depth-20 model.

    Args:
        hidden_size (`int`, *optional*, defaults to 1280):
            Width of the transformer.
        num_hidden_layers (`int`, *optional*, defaults to 20):
            Number of blocks.
        num_attention_heads (`int`, *optional*, defaults to 20):
            Number of attention heads; must divide `hidden_size`.
        mlp_ratio (`float`, *optional*, defaults to 4.0):
            Width of each MLP as a multiple of `hidden_size`.
        blend_alphas (`tuple[float, ...]`, *optional*):
            Weight of the style query at each scale, in [0, 1]; the content query gets the rest (arXiv 2604.21052,
            blended cross-attention). Defaults to the published schedule `(.2, .3, .4, .4, .5, .5, .6, .6, .7, .8)`,
            linearly resampled when the ladder does not have ten scales.
        legacy_kv_duplication (`bool`, *optional*, defaults to `False`):
            Reproduce the published cached inference, in which the style query sees every key of the earlier scales
            twice. Read whenever `generate` runs; the teacher-forced forward never does this.
        drop_path_rate (`float`, *optional*):
            Stochastic depth of the last block, rising linearly from 0 at the first. `None` means
            `0.1 * num_hidden_layers / 24`.
        label_smoothing (`float`, *optional*, defaults to 0.0):
            Label smoothing of the loss, in training and evaluation, in [0, 1).
        alpha_jitter (`float`, *optional*, defaults to 0.0):
            In training, every alpha of a forward pass is shifted by one draw from `U(-alpha_jitter, alpha_jitter)`
            and clamped to [0.01, 0.99].
        layer_norm_eps (`float`, *optional*, defaults to 1e-6):
            Epsilon of every LayerNorm.
        vq_config (`StyleVARVQConfig` or `dict`, *optional*):
            The tokenizer; the only home of `patch_nums`.
        encoder_config (`ResNetConfig` or `dict`, *optional*):
            The trunk that embeds a whole image (one for style, one for content). Defaults to ResNet-18.

    Raises:
        ValueError: If the heads do not divide the width, or the alphas do not fit the ladder.

    Example:

    ```python
    >>> from stylevar_hf import StyleVARConfig, StyleVARForConditionalGeneration

    >>> config = StyleVARConfig(hidden_size=192, num_hidden_layers=3, num_attention_heads=3)
    >>> model = StyleVARForConditionalGeneration(config)
    ```
    """

    model_type = "stylevar"
    sub_configs = {"vq_config": StyleVARVQConfig, "encoder_config": ResNetConfig}

    hidden_size: int = 1280
    num_hidden_layers: int = 20
    num_attention_heads: int = 20
    mlp_ratio: float | int = 4.0
    blend_alphas: list[float | int] | tuple[float | int, ...] | None = None
    legacy_kv_duplication: bool = False
    drop_path_rate: float | int | None = None
    label_smoothing: float | int = 0.0
    alpha_jitter: float | int = 0.0
    layer_norm_eps: float = 1e-6
    vq_config: dict | PreTrainedConfig | None = None
    encoder_config: dict | PreTrainedConfig | None = None

    def __post_init__(self, **kwargs):
        _refuse_patch_nums(kwargs)
        self.vq_config = _sub_config(StyleVARVQConfig, self.vq_config, {})
        self.encoder_config = _sub_config(ResNetConfig, self.encoder_config, RESNET18)
        super().__post_init__(**kwargs)
        if self.blend_alphas is None:
            schedule = BLEND_ALPHA_SCHEDULES["default"]
            published, ours = np.linspace(0, 1, len(schedule)), np.linspace(0, 1, self.num_scales)
            same_ladder = len(schedule) == self.num_scales
            self.blend_alphas = schedule if same_ladder else np.interp(ours, published, schedule).tolist()
        self.blend_alphas = tuple(self.blend_alphas)
        if self.drop_path_rate is None:
            self.drop_path_rate = 0.1 * self.num_hidden_layers / 24
        self.validate_architecture()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in `PreTrainedConfig`, which sets the fields in `kwargs` when the config is built and checked already."""
        _refuse_patch_nums(kwargs)
        return _checked(super().from_dict(config_dict, **kwargs))

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As in `PreTrainedConfig`; the published `.pth` files are answered with the command that converts them."""
        missing = None
        try:
            config_dict, unused = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
            if config_dict:  # empty where there is no config.json: the weights are looked for next
                return config_dict, unused
        except OSError as error:
            missing = error
        # Where the Hub could not be asked for the config, asking it for its files would only take as long again.
        unreachable = missing is not None and isinstance(missing.__cause__, LocalEntryNotFoundError)
        if not unreachable and (hint := _find_original_weights(pretrained_model_name_or_path, **kwargs)):
            raise OSError(hint) from missing
        if missing is not None:
            raise missing
        return config_dict, unused

    def validate_architecture(self):
        """Part of `@strict`-powered validation: the rules that join several fields."""
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio"):
            _require(getattr(self, name) > 0, name, "positive", getattr(self, name), "Choose at least 1.")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            "num_attention_heads",
            f"a divisor of `hidden_size` ({self.hidden_size})",
            self.num_attention_heads,
            "The released models use `hidden_size // 64`.",
        )
        _require(
            len(self.blend_alphas) == self.num_scales,
            "blend_alphas",
            f"one value per scale ({self.num_scales} for patch_nums={tuple(self.patch_nums)})",
            self.blend_alphas,
            "Give as many alphas as `vq_config.patch_nums` has sides.",
        )
        _require(
            all(0 <= alpha <= 1 for alpha in self.blend_alphas),
            "blend_alphas",
            "in [0, 1]",
            self.blend_alphas,
            "Each is the share of the style query; the content query gets the rest.",
        )
        _require(
            self.encoder_config.num_channels == self.vq_config.num_channels,
            "encoder_config.num_channels",
            f"that of `vq_config` ({self.vq_config.num_channels})",
            self.encoder_config.num_channels,
            "Tokenizer and image encoders read the same images.",
        )
        for name in ("drop_path_rate", "label_smoothing"):
            _require(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name), "0 switches it off.")
        _require(self.alpha_jitter >= 0, "alpha_jitter", "0 or more", self.alpha_jitter, "0 switches it off.")

    @property
    def custom_pipelines(self) -> dict[str, dict[str, Any]]:
        """The pipeline of a repository whose source files are run; where the package is installed, it is known."""
        if not __name__.startswith("transformers_modules."):
            return {}
        implementation = {"impl": "pipeline_stylevar.StyleVARPipeline", "pt": ["AutoModel"], "type": "image"}
        return {"image-style-transfer": implementation}

    @property
    def vocab_size(self) -> int:
        """Always raises: there is no vocabulary of words, which PEFT asks for when it puts prompts before a text."""
        raise _NoVocabulary(
            "prompt learning (prefix tuning, prompt tuning, p-tuning, ...) must be used with a model of text, but got "
            "StyleVAR, which reads images. Use LoRA or another adapter of the layers."
        )

    @property
    def patch_nums(self) -> tuple[int, ...]:
        """The ladder of scales; its home is `vq_config.patch_nums`."""
        return self.vq_config.patch_nums

    @property
    def num_scales(self) -> int:
        """Number of scales, `K`."""
        return self.vq_config.num_scales

    @property
    def sequence_length(self) -> int:
        """Number of codes of one image over all scales, `L`."""
        return self.vq_config.sequence_length

    @property
    def image_size(self) -> int:
        """Width and height, in pixels, of the images that the model reads and writes."""
        return self.vq_config.image_size


def _sub_config(
    config_class: type[PreTrainedConfig], given: dict | PreTrainedConfig | None, defaults: dict[str, Any]
) -> PreTrainedConfig:
    """A part of the config: as given, made of the given fields, or the default."""
    if given is None:
        return config_class(**defaults)
    return config_class(**given) if isinstance(given, dict) else given


def _refuse_patch_nums(fields: dict[str, Any]) -> None:
    if "patch_nums" in fields:
        raise ValueError(
            f"`patch_nums` must be set in `vq_config`, but got patch_nums={fields['patch_nums']!r}. Use "
            "`StyleVARConfig(vq_config={'patch_nums': ...})`."
        )


def _find_original_weights(
    place: str | os.PathLike,
    subfolder: str = "",
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    **_: Any,
) -> str | None:
    """`original_weights_hint` of a folder, or of a repository if it can be asked what it holds."""
    folder = os.path.join(place, subfolder)
    if os.path.isdir(folder):
        return original_weights_hint(folder)
    if not local_files_only and not is_offline_mode():
        # Unreachable, not there, or no id at all: said already, and nobody lists what the HTTP client may raise.
        with contextlib.suppress(Exception):
            return original_weights_hint(place, HfApi(token=token).list_repo_files(str(place), revision=revision))
    return None


__all__ = ["BLEND_ALPHA_SCHEDULES", "StyleVARConfig", "StyleVARVQConfig", "original_weights_hint"]
