# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Published `.pth` files to a `from_pretrained` folder, and back.

Use the released weights:

```python
>>> from stylevar_hf import StyleVARPipeline, convert_original_checkpoint

>>> folder = convert_original_checkpoint("vae_ch160v4096z32.pth", "StyleVAR_SFT.pth", "stylevar-sft")
>>> image = StyleVARPipeline.from_pretrained(folder)("content.jpg", "style.jpg", seed=0)
```

or, in a shell, `stylevar convert --vq vae_ch160v4096z32.pth --model StyleVAR_SFT.pth --output stylevar-sft`.

* `StyleVAR_SFT.pth`, `StyleVAR-GRPO.pth`, and every checkpoint that the published trainers write are read: plain,
  under `model` or `trainer.var_wo_ddp`, wrapped in LoRA layers, or LoRA alone (add `base_path`). Adapters are merged.
* `blend_alphas` are not in those files. `"default"` is the published inference schedule, `"released-sft"` the one that
  the released supervised weights were probably trained with.
* [`convert_var_checkpoint`] makes the start of supervised training out of a vanilla VAR and an ImageNet ResNet-18.
* [`convert_to_original`] writes the two published files again.

All sizes are read from the tensors' shapes. Every tensor of a file must be known and every known one must be there.
Files are read with `weights_only=True`: a checkpoint cannot run code.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from torch import nn
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, logging

from ..configuration_stylevar import StyleVARConfig, StyleVARVQConfig
from ..hub.card_facts import architecture_facts
from ..hub.model_card import CardFacts, make_card
from ..image_processing_stylevar import StyleVARImageProcessor
from ..modeling_stylevar import StyleVARForConditionalGeneration
from .hub_files import Release, local_file
from .layouts import (
    PHI_RENAMES,
    RESNET_RENAMES,
    RESNET_UNUSED,
    STYLEVAR_RENAMES,
    STYLEVAR_UNUSED,
    VAR_RENAMES,
    VAR_UNUSED,
    VQ_RENAMES,
    VQ_UNUSED,
    PublishedTensor,
    published_layout,
)
from .read import (
    EXTRAS,
    VQ_CONTAINERS,
    OriginalCheckpoint,
    Weight,
    check_output_dir,
    check_room,
    folder_in_progress,
    progress_bar,
    read_checkpoint,
    readable_model,
    save_original,
    save_weights,
)
from .sizes import build_config, check_complete, sequential_trunk, torchvision_trunk


logger = logging.get_logger(__name__)

# Fields of the tokenizer's config that are read from the shapes of its tensors.
_IN_TENSORS = frozenset(
    ("base_channels", "num_channels", "codebook_size", "latent_channels", "channel_multipliers", "num_res_blocks")
    + ("num_shared_phi", "patch_nums", "commitment_weight")
)


def convert_original_checkpoint(
    vq_path: str | Path,
    model_path: str | Path,
    output_dir: str | Path,
    base_path: str | Path | None = None,
    blend_alphas: str | Sequence[float] = "default",
    *,
    patch_nums: Sequence[int] | None = None,
    dtype: str | torch.dtype | None = None,
    max_shard_size: int | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    release: Release | None = None,
) -> Path:
    """
    Convert published checkpoints to a folder for `from_pretrained`.

    Args:
        vq_path (`str` or `Path`):
            The VQ-VAE, such as `vae_ch160v4096z32.pth`. This file and the others may lie on the Hub:
            `"hf://Senfier-LiqiJing/StyleVAR/vae_ch160v4096z32.pth"`.
        model_path (`str` or `Path`):
            The transformer, such as `StyleVAR_SFT.pth`, or anything that the published trainers write.
        output_dir (`str` or `Path`):
            The folder to make.
        base_path (`str` or `Path`, *optional*):
            The checkpoint below, where `model_path` holds LoRA weights only.
        blend_alphas (`str` or sequence of `float`, *optional*, defaults to `"default"`):
            Weight of the style query at each scale: `"default"` (the published inference schedule, resampled as in
            [`StyleVARConfig`] where there are not ten scales), `"released-sft"` (for ten scales only), or one value
            in [0, 1] per scale.
        patch_nums (sequence of `int`, *optional*):
            The ladder; only needed for files without `lvl_1L`, where it is not the published one.
        dtype (`str` or `torch.dtype`, *optional*):
            `"float32"`, `"bfloat16"` or `"float16"`; `None` keeps what the files have. What the model always computes
            in float32 is never stored in less.
        max_shard_size (`int` or `str`, *optional*):
            Bytes per weight file, or `"5GB"`; `None` writes a single file.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether a model in `output_dir` may be replaced.
        progress (`bool`, *optional*, defaults to `False`):
            Whether to show a progress bar.
        release ([`~conversion.hub_files.Release`], *optional*):
            Where the files come from, for the card.

    Returns:
        `Path`: `output_dir`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file cannot be read, its tensors are not exactly those of a model, the files do not fit each
            other, the alphas do not fit the ladder, or `output_dir` is taken. Nothing is written then.
    """
    dtype = _resolve_dtype(dtype)
    vq_path, model_path = local_file("vq_path", vq_path), local_file("model_path", model_path)
    sources = [vq_path, model_path]
    if base_path is not None:
        base_path = local_file("base_path", base_path)
        sources.append(base_path)
    output_dir = check_output_dir(output_dir, overwrite, sources)
    vq = read_checkpoint("vq_path", vq_path, VQ_CONTAINERS)
    base = None if base_path is None else partial(read_checkpoint, "base_path", base_path)
    transformer = read_checkpoint("model_path", model_path, base=base)
    if base is not None and transformer.argument != "base_path":
        logger.warning(f"`base_path` is not used: {model_path} holds full weights.")
        sources.remove(base_path)

    config = build_config(vq, transformer, "stylevar", sequential_trunk(transformer), blend_alphas, patch_nums)
    model = _empty_model(config)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    from_vq = {name: shape for name, shape in shapes.items() if name.startswith("vq_model.")}
    from_transformer = {name: shape for name, shape in shapes.items() if name not in from_vq}
    layouts = [
        (vq, "vq", published_layout(config, from_vq, _vq_renames(vq), VQ_UNUSED)),
        (transformer, "stylevar", published_layout(config, from_transformer, STYLEVAR_RENAMES, STYLEVAR_UNUSED)),
    ]
    for checkpoint, kind, layout in layouts:
        check_complete(checkpoint, kind, layout)

    weights = [weight for checkpoint, _, layout in layouts for weight in _plan(checkpoint, layout, shapes)]
    return _write_folder(model, weights, output_dir, sources, dtype, max_shard_size, progress, release)


def convert_var_checkpoint(
    vq_path: str | Path,
    var_path: str | Path,
    resnet_path: str | Path,
    output_dir: str | Path,
    blend_alphas: str | Sequence[float] = "default",
    *,
    seed: int = 0,
    patch_nums: Sequence[int] | None = None,
    dtype: str | torch.dtype | None = None,
    max_shard_size: int | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """
    Make the start of supervised training out of a vanilla, class-conditional VAR and an ImageNet ResNet.

    Queries, keys and values come from VAR's self-attention, both trunks from the ResNet; the class embedding is
    dropped, and the projection of the trunks' features is new.

    Args:
        vq_path (`str` or `Path`):
            The VQ-VAE, such as `vae_ch160v4096z32.pth`.
        var_path (`str` or `Path`):
            The vanilla VAR, such as `var_d20.pth`.
        resnet_path (`str` or `Path`):
            torchvision's ResNet-18 state dict, `.pth` or `.safetensors`.
        output_dir (`str` or `Path`):
            The folder to make.
        blend_alphas (`str` or sequence of `float`, *optional*, defaults to `"default"`):
            See [`convert_original_checkpoint`], as for the arguments below.
        seed (`int`, *optional*, defaults to 0):
            Seed of the new projection.

    Returns:
        `Path`: `output_dir`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: As for [`convert_original_checkpoint`].
    """
    dtype = _resolve_dtype(dtype)
    vq_path, var_path = local_file("vq_path", vq_path), local_file("var_path", var_path)
    resnet_path = local_file("resnet_path", resnet_path)
    sources = [vq_path, var_path, resnet_path]
    output_dir = check_output_dir(output_dir, overwrite, sources)
    vq = read_checkpoint("vq_path", vq_path, VQ_CONTAINERS)
    transformer = read_checkpoint("var_path", var_path)
    resnet = read_checkpoint("resnet_path", resnet_path)

    config = build_config(vq, transformer, "var", torchvision_trunk(resnet), blend_alphas, patch_nums)
    model = _empty_model(config)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    new = {name: shape for name, shape in shapes.items() if name.startswith("model.image_projection.")}
    from_vq = {name: shape for name, shape in shapes.items() if name.startswith("vq_model.")}
    trunks = ("model.style_encoder.", "model.content_encoder.")
    from_resnet = {name: shape for name, shape in shapes.items() if name.startswith(trunks)}
    from_var = {name: shape for name, shape in shapes.items() if name not in {**new, **from_vq, **from_resnet}}
    layouts = [
        (vq, "vq", published_layout(config, from_vq, _vq_renames(vq), VQ_UNUSED)),
        (transformer, "var", published_layout(config, from_var, VAR_RENAMES, VAR_UNUSED)),
        (resnet, "resnet", published_layout(config, from_resnet, RESNET_RENAMES, RESNET_UNUSED)),
    ]
    for checkpoint, kind, layout in layouts:
        check_complete(checkpoint, kind, layout)

    weights = [weight for checkpoint, _, layout in layouts for weight in _plan(checkpoint, layout, shapes)]
    weights += _new_image_projection(model, seed)
    return _write_folder(model, weights, output_dir, sources, dtype, max_shard_size, progress)


def convert_to_original(
    model_dir: str | Path,
    vq_path: str | Path,
    model_path: str | Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> tuple[Path, Path]:
    """
    Write the two published files, as float32 state dicts, from a folder of this format.

    The published classes load them strictly, unless the tokenizer has sizes for which these classes have no argument
    (such as another `norm_num_groups`): the file keeps them beside the weights, for the way back. What the files hold
    besides (projections that never influence the output, masks, counters) is filled with zeros or made from the
    ladder; the alphas have no place in them.

    Args:
        model_dir (`str` or `Path`):
            A folder with `config.json` and `model.safetensors`, as `save_pretrained` and the conversion write it.
        vq_path (`str` or `Path`):
            The VQ-VAE file to write.
        model_path (`str` or `Path`):
            The transformer file to write.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether these files may be replaced.
        progress (`bool`, *optional*, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        `tuple[Path, Path]`: `vq_path` and `model_path`.

    Raises:
        FileNotFoundError: If `model_dir` is no such folder.
        ValueError: If it is damaged or its weights are not exactly those of its configuration, or a file to write
            exists.
    """
    vq_path, model_path = Path(vq_path).expanduser(), Path(model_path).expanduser()
    if vq_path.resolve() == model_path.resolve():
        raise ValueError(f"`model_path` must be another file than `vq_path`, but got {model_path} for both. Name two.")
    for argument, path in (("vq_path", vq_path), ("model_path", model_path)):
        if path.is_dir() or (path.exists() and not overwrite):
            raise ValueError(f"`{argument}` must be a new file, but got {path}. Choose another, or `overwrite=True`.")

    folder = Path(model_dir).expanduser()
    weight_files = _weight_files(folder)
    with readable_model("model_dir", folder):
        config = StyleVARConfig.from_pretrained(folder)
    shapes = {name: tensor.shape for name, tensor in _empty_model(config).state_dict().items()}
    ours = OriginalCheckpoint("model_dir", folder, {})
    for file in weight_files:
        ours.tensors.update(read_checkpoint("model_dir", file).tensors)
    check_complete(ours, "stylevar", {name: PublishedTensor(tuple(shape)) for name, shape in shapes.items()})

    from_vq = {name: shape for name, shape in shapes.items() if name.startswith("vq_model.")}
    from_transformer = {name: shape for name, shape in shapes.items() if name not in from_vq}
    sharing = "shared" if config.vq_config.num_shared_phi == 1 else "partially shared"
    layouts = {
        vq_path: published_layout(config, from_vq, (*VQ_RENAMES, PHI_RENAMES[sharing]), VQ_UNUSED),
        model_path: published_layout(config, from_transformer, STYLEVAR_RENAMES, STYLEVAR_UNUSED),
    }
    states = {path: _original_state(layout, ours, config) for path, layout in layouts.items()}
    total = {path: sum(tensor.nbytes for tensor in state.values()) for path, state in states.items()}
    extras = _without_place(config, *states.items())
    check_room(total)
    if extras:
        shown = ", ".join(f"{name}={value}" for name, value in extras.items())
        logger.warning(
            f"The published classes cannot hold this model ({shown}): {vq_path} keeps that beside its weights, under "
            f"{EXTRAS!r}, for the way back."
        )
        states[vq_path] = {"model": states[vq_path], EXTRAS: extras}
    with progress_bar(sum(total.values()), progress, "Writing") as bar:
        save_original(states, bar)
    return vq_path, model_path


def _vq_renames(vq: OriginalCheckpoint) -> tuple:
    if vq.count(r"quantize\.quant_resi\.qresi_ls\.(\d+)\."):
        return (*VQ_RENAMES, PHI_RENAMES["partially shared"])
    return (*VQ_RENAMES, PHI_RENAMES["not shared" if vq.count(r"quantize\.quant_resi\.(\d+)\.") else "shared"])


def _resolve_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype is None or dtype in known.values():
        return dtype
    if dtype not in known:
        raise ValueError(f"`dtype` must be None or one of {', '.join(known)}, but got {dtype!r}. Choose one.")
    return known[dtype]


def _empty_model(config: StyleVARConfig) -> StyleVARForConditionalGeneration:
    with torch.device("meta"):
        return StyleVARForConditionalGeneration(config)


# What is written


def _plan(
    checkpoint: OriginalCheckpoint, layout: Mapping[str, PublishedTensor], shapes: Mapping[str, torch.Size]
) -> list[Weight]:
    """Our weights, each with how to read it from the published file."""

    def read(published: str, third: int | None) -> torch.Tensor:
        tensor = checkpoint.read(published)
        return tensor if third is None else tensor.chunk(3)[third]

    weights = []
    for published, entry in layout.items():
        for name, third in entry.parts:
            if published in checkpoint.tensors:
                source, dtype = partial(read, published, third), checkpoint.tensors[published].dtype
            else:  # an optional counter
                source, dtype = partial(torch.zeros, tuple(shapes[name])), torch.int64
            dtype = dtype if dtype.is_floating_point else torch.int64
            weights.append(Weight(name, tuple(shapes[name]), dtype, source))
    return weights


def _new_image_projection(model: StyleVARForConditionalGeneration, seed: int) -> list[Weight]:
    """The layer that vanilla VAR does not have, initialised as in a new model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = nn.Linear(model.model.image_projection.in_features, model.model.image_projection.out_features)
        model._init_weights(layer)
    return [
        Weight(f"model.image_projection.{name}", tuple(tensor.shape), model.config.dtype, tensor.detach)
        for name, tensor in layer.named_parameters()
    ]


def _cast(weight: Weight, dtype: torch.dtype, pinned: Iterable[str]) -> Weight:
    """The weight in another dtype, unless it is a counter or the model pins it to float32."""
    if not weight.dtype.is_floating_point:
        return weight
    in_float32 = set(weight.name.split(".")) & set(pinned)
    return replace(weight, dtype=torch.float32 if in_float32 else dtype)


def _write_folder(
    model: StyleVARForConditionalGeneration,
    weights: Sequence[Weight],
    output_dir: Path,
    sources: Sequence[str | Path],
    dtype: torch.dtype | None,
    max_shard_size: int | str | None,
    progress: bool,
    release: Release | None = None,
) -> Path:
    """Everything that `from_pretrained` reads, and the card."""
    config = model.config
    if dtype is not None:
        pinned = model._keep_in_fp32_modules_strict if dtype != torch.float32 else ()
        weights = [_cast(weight, dtype, pinned) for weight in weights]
        config.dtype = dtype
    config.architectures = [type(model).__name__]
    total = sum(weight.num_bytes for weight in weights)
    check_room({output_dir: total})
    with folder_in_progress(output_dir) as folder, progress_bar(total, progress, "Converting") as bar:
        if model.is_remote_code():  # the source files, so that the folder loads where this package is not installed
            custom_object_save(model, folder, config=config)
        config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        size = {"height": config.image_size, "width": config.image_size}
        StyleVARImageProcessor(size=size).save_pretrained(folder)
        _model_card(config, sources, release).save(folder / "README.md")
        save_weights(weights, folder, bar, max_shard_size)
    return output_dir


def _model_card(config: StyleVARConfig, sources: Sequence[str | Path], release: Release | None) -> ModelCard:
    paths = [Path(source).expanduser() for source in sources]
    files = ", ".join(f"`{path.name}` ({path.stat().st_size:,} bytes)" for path in paths)
    if release is not None:
        place = f"[{release.repo_id}](https://huggingface.co/{release.repo_id}/tree/{release.commit})"
        files += f" of {place}, revision `{release.commit}`"
    stated = release is not None and release.license is not None
    return make_card(
        CardFacts(
            name=f"StyleVAR, depth {config.num_hidden_layers}, {config.image_size}x{config.image_size}",
            image_size=config.image_size,
            summary=f"Converted by `stylevar convert` from {files}. The files do not say how style and content are "
            "blended; the conversion set `blend_alphas`.",
            architecture=architecture_facts(config),
            base_model=None if release is None else release.repo_id,
            license=release.license if stated else "other",
            license_name=release.license_name if stated else "see-source-weights",
            license_link=release.license_link if stated else None,
            license_text="The conversion changes names and layout only: the weights keep the licence of the files "
            f"that they come from{_licence_of(release)}.",
        )
    )


def _licence_of(release: Release | None) -> str:
    if release is None:
        return ""
    stated = release.license_name or release.license
    return f": {release.repo_id} states {stated}" if stated else f"; {release.repo_id} states none"


# The way back


def _weight_files(folder: Path) -> list[Path]:
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"`model_dir` must be a folder with a `config.json`, but got {folder}. Save or convert a model first."
        )
    if (folder / SAFE_WEIGHTS_INDEX_NAME).is_file():
        try:
            index = json.loads((folder / SAFE_WEIGHTS_INDEX_NAME).read_text(encoding="utf-8"))
            return [folder / name for name in sorted(set(index["weight_map"].values()))]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`model_dir` must be a complete model, but got {folder}, whose {SAFE_WEIGHTS_INDEX_NAME} has no "
                "`weight_map` of file names. Convert or download it again."
            ) from error
    return [folder / SAFE_WEIGHTS_NAME]


def _without_place(
    config: StyleVARConfig, vq: tuple[Path, Mapping], transformer: tuple[Path, Mapping]
) -> dict[str, Any]:
    """
    Sizes of the tokenizer that the published files have no place for, and that differ from those of the published one.

    Raises:
        ValueError: If even with them the files are not this model.
    """
    default, ours = StyleVARVQConfig(), config.vq_config
    names = [name for name in StyleVARVQConfig.__annotations__ if hasattr(ours, name) and not name.startswith("_")]
    extras = {
        name: getattr(ours, name)
        for name in names
        if name not in _IN_TENSORS and getattr(ours, name) != getattr(default, name)
    }
    files = [OriginalCheckpoint("model_dir", path, state, extras=extras) for path, state in (vq, transformer)]
    found = None
    with contextlib.suppress(ValueError, KeyError):
        trunk = sequential_trunk(files[1])
        found = build_config(*files, "stylevar", trunk, config.blend_alphas, config.patch_nums).vq_config
    differing = [name for name in names if found is None or getattr(found, name) != getattr(ours, name)]
    if differing:
        raise ValueError(
            "`model_dir` must hold a model of sizes that the published format can hold, but got one that differs in "
            f"{', '.join(differing)}. Keep it in this format."
        )
    return extras


def _original_state(
    layout: Mapping[str, PublishedTensor], checkpoint: OriginalCheckpoint, config: StyleVARConfig
) -> dict[str, torch.Tensor]:
    """One published state dict: fused matrices put together again, what we do not keep made anew."""
    state = {}
    for published, entry in layout.items():
        if not entry.parts:
            state[published] = entry.make(config)
            continue
        tensors = {third: checkpoint.read(name) for name, third in entry.parts}
        tensor = tensors.get(None)
        if tensor is None:
            blank = torch.zeros_like(next(iter(tensors.values())))
            tensor = torch.cat([tensors.get(third, blank) for third in range(3)])
        tensor = tensor.reshape(entry.shape)
        state[published] = tensor.float() if tensor.is_floating_point() else tensor
    return state


__all__ = ["convert_original_checkpoint", "convert_to_original", "convert_var_checkpoint"]
