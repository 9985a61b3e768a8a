# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The blocks and the head at one scale after another: run as they are, or recorded once as a CUDA graph per scale.

A scale is launched as hundreds of small kernels, and with one image a GPU waits for their launches most of the time. A
graph launches all of them at once. It needs fixed shapes and fixed places in memory, which is what `RecordedScales`
keeps: inputs, the cache of keys and values, and the outputs, for each kind of batch.

Legend: `B` pairs, `N` images, `L` tokens of all scales, `T` tokens of one scale, `V` codebook size.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.utils.logging import tqdm


class Scales:
    """
    The blocks and the head of one generation, scale by scale.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            The model.
        cache ([`StyleVARCache`]):
            A new one.
        guides (`torch.FloatTensor` of shape `(B, n + 1, L, D)`):
            From `embed_guides`.
        style_embedding (`torch.FloatTensor` of shape `(B, D)` or `(B, n, D)`):
            Each style as one vector.
        blend_alphas (`torch.FloatTensor` of shape `(1 or B, L, 1)`):
            From `get_blend_alphas`.
        style_weights (`torch.FloatTensor` of shape `(B, n, L)`, *optional*):
            Shares of several styles.
        make_mask (`Callable`, *optional*):
            Makes the mask of the scale from token `start` to `end`.
    """

    def __init__(
        self,
        model: nn.Module,
        cache: Any,
        guides: torch.Tensor,
        style_embedding: torch.Tensor,
        blend_alphas: torch.Tensor,
        style_weights: torch.Tensor | None,
        make_mask: Callable[[int, int], torch.Tensor] | None = None,
    ):
        self.model, self.cache, self.make_mask = model, cache, make_mask
        self.guides, self.style_embedding = guides, style_embedding
        self.blend_alphas, self.style_weights = blend_alphas, style_weights

    def __call__(self, scale_index: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """Inputs `(N, T, D)` of a scale to its logits `(N, T, V)`."""
        start, end = self.model.config.vq_config.scale_boundaries[scale_index]
        states = self.model.model.run_layers(
            hidden_states,
            self.guides[:, :, start:end],
            self.style_embedding,
            self.blend_alphas[:, start:end],
            None if self.make_mask is None else self.make_mask(start, end),
            self.cache,
            None if self.style_weights is None else self.style_weights[:, :, start:end],
        )
        return self.model.get_logits(states)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The picture of the last scale's latents."""
        return self.model.vq_model.decode_latents(latents)


class RecordedScales:
    """
    The same with everything at a fixed place, so that each scale, and the decoder, is one CUDA graph. On other devices
    nothing is recorded; the steps run anew in the same memory.

    Args:
        scales ([`Scales`]):
            What to record; its tensors are only read.
        hidden_states (`torch.FloatTensor` of shape `(N, patch_nums[0] ** 2, D)`):
            Inputs of the first scale; they tell the number of images.
    """

    def __init__(self, scales: Scales, hidden_states: torch.Tensor):
        self.scales = Scales(
            weakref.proxy(scales.model),
            scales.cache,
            *(_placed(tensor) for tensor in self._changing(scales)),
            scales.make_mask,
        )
        self.is_cuda = hidden_states.is_cuda
        self.pool = torch.cuda.graph_pool_handle() if self.is_cuda else None
        self.steps: dict[int | str, tuple[torch.Tensor, Callable[[], torch.Tensor]]] = {}
        self.bar = tqdm(total=scales.model.config.num_scales + 1, unit="graph", disable=not self.is_cuda)
        self.bar.set_description("Recording")

    @staticmethod
    def _changing(scales: Scales) -> tuple[torch.Tensor | None, ...]:
        return scales.guides, scales.style_embedding, scales.blend_alphas, scales.style_weights

    def renew(self, scales: Scales) -> "RecordedScales":
        """Take over the pictures of another generation of the same kind."""
        for mine, other in zip(self._changing(self.scales), self._changing(scales), strict=True):
            if mine is not None:
                mine.copy_(other)
        return self

    def __call__(self, scale_index: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """As [`Scales`]; the logits are overwritten by the next generation."""

        def step(states: torch.Tensor) -> torch.Tensor:
            start, _ = self.scales.model.config.vq_config.scale_boundaries[scale_index]
            self.scales.cache.rewind(start)
            return self.scales(scale_index, states)

        return self._run(scale_index, hidden_states, step)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """As [`Scales`], into memory of the caller's own."""
        return self._run("decode", latents, self.scales.decode).clone()

    @torch.inference_mode(False)
    @torch.no_grad()
    def _run(self, name: int | str, given: torch.Tensor, step: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        if name not in self.steps:
            place = _placed(given)
            self.steps[name] = place, self._record(lambda: step(place))
            self.bar.update()
        place, replay = self.steps[name]
        place.copy_(given)
        return replay()

    def _record(self, step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """What runs the step again: a graph on CUDA, the step itself elsewhere."""
        if not self.is_cuda:
            return step
        with torch.cuda.device(self.scales.guides.device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                step()  # libraries allocate their workspaces at the first call, which a graph may not
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                result = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return result

        return replay


# What was recorded of a model: outside of it, for graphs can be neither copied nor saved with it.
_RECORDED: "weakref.WeakKeyDictionary[nn.Module, dict[tuple, RecordedScales]]" = weakref.WeakKeyDictionary()


@torch.inference_mode(False)
@torch.no_grad()
def recorded_scales(scales: Scales, hidden_states: torch.Tensor) -> RecordedScales:
    """
    The recording for this kind of batch, made if there is none: one for each number of pairs and images, of styles,
    and state of the model's weights and adapters.
    """
    kinds = _RECORDED.setdefault(scales.model, {})
    kind = (
        *(None if tensor is None else (tensor.shape, tensor.dtype) for tensor in RecordedScales._changing(scales)),
        (hidden_states.shape, hidden_states.dtype, hidden_states.device),
        scales.model.config.legacy_kv_duplication,
        scales.model.config._attn_implementation,
        torch.is_autocast_enabled(hidden_states.device.type),
        _state(scales.model),
    )
    if kind not in kinds:
        for old in [other for other in kinds if other[-1] != kind[-1]]:
            del kinds[old]  # of weights that are no more
        kinds[kind] = RecordedScales(scales, hidden_states)
    return kinds[kind].renew(scales)


def _state(model: nn.Module) -> int:
    """Changes when weights move or adapters are switched; a graph knows addresses, and the layers that it ran."""
    weights = tuple(parameter.data_ptr() for parameter in model.parameters())
    adapters = tuple(
        (tuple(module.active_adapters), module.disable_adapters, tuple(module.merged_adapters))
        for module in model.modules()
        if hasattr(module, "merged_adapters")
    )
    return hash((weights, adapters, model.training))


def _placed(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else torch.empty_like(tensor).copy_(tensor)


__all__ = ["RecordedScales", "Scales", "recorded_scales"]
