# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What all rewards share: the calling form, batches, references looked at once, the checks of their inputs."""

import math
from collections.abc import Sequence

import torch

from .._common.errors import require_packages
from ..measures.base import Measure


REFERENCES = ("content", "style", "target")
RANGE_TOLERANCE = 1e-3  # of pixels outside [0, 1]: interpolation and half precision overshoot a little


class Reward:
    """
    A reward in TRL's calling form. A subclass says what it sees in a picture ([`Reward.describe`]) and how well two
    such descriptions agree ([`Reward.compare`]); batching, the references' identity, missing rows, devices and checks
    are done here.

    The reward of a row is `scale * compare(describe(image), describe(reference))`; more is always better. It does
    not depend on the other rows of a call. A picture that is the reference of many rows (the same tensor object) is
    described once per call.

    Args:
        reference (`str`, *optional*):
            Which picture of the row the image is compared with: `"content"`, `"style"` or `"target"`. Each reward
            has a default of its own.
        scale (`float`, *optional*, defaults to 1.0):
            Factor of the reward, positive.
        batch_size (`int`, *optional*, defaults to 16):
            Pictures that are described at a time; bounds the memory, not the result.
        device (`str` or `torch.device`, *optional*):
            Where to compute. Defaults to the device of the images.

    Attributes:
        __name__ (`str`): The name in logs: that of the registry, and `-<reference>` behind it if not the default.
        requires (`tuple[str, ...]`): Columns that the data set must have.

    Raises:
        ModuleNotFoundError: If a package that the reward needs is not installed.
        FileNotFoundError: If weights that it needs are not on this machine.
        ValueError: If an argument does not fit.
    """

    name = "reward"
    default_reference = "target"
    packages: tuple[str, ...] = ()

    def __init__(
        self,
        reference: str | None = None,
        scale: float = 1.0,
        batch_size: int = 16,
        device: str | torch.device | None = None,
    ):
        require_packages(self.owner, self.packages, "rl")
        self.reference = reference = self.default_reference if reference is None else reference
        if reference not in REFERENCES:
            raise ValueError(f"`reference` must be one of {', '.join(REFERENCES)}, but got {reference!r}. Choose one.")
        if not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale > 0):
            raise ValueError(
                f"`scale` must be a positive number, but got {scale!r}. Rewards are better when larger; weigh them "
                "against each other with `reward_weights`."
            )
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(
                f"`batch_size` must be a positive integer, but got {batch_size!r}. Lower it at most to 1."
            )
        self.scale = scale
        self.batch_size = batch_size
        self.device = device
        self.requires = (reference,)
        self.__name__ = self.name if reference == self.default_reference else f"{self.name}-{reference}"
        self._network = None
        self._prepared_for: torch.device | None = None

    @property
    def owner(self) -> str:
        """What errors call it, at the start of a sentence."""
        return f"The reward '{self.name}'"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reference={self.reference!r}, scale={self.scale}, device={self.device!r})"

    def __getstate__(self) -> dict:
        """Without the network: it is loaded again where the reward is unpickled."""
        return {**self.__dict__, "_network": None, "_prepared_for": None}

    def prepare(self, device: str | torch.device | None = None) -> None:
        """
        Loads what the reward needs, so that anything wrong shows now and not at the first call. Not needed: the first
        call does the same.

        Args:
            device (`str` or `torch.device`, *optional*, defaults to the CPU):
                Where the images will be. The reward's own `device` goes before it.
        """
        device = torch.device(self.device or device or "cpu")
        if self._prepared_for != device:
            self._network = self.load_network(device)
            self._prepared_for = device

    def load_network(self, device: torch.device):
        """What [`Reward.describe`] needs on `device`, frozen and in evaluation mode; None if nothing."""
        return None

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(B, 3, H, W)` in [0, 1], float32, to what is compared: `(B, ...)`."""
        raise NotImplementedError

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        """Two batches `(B, ...)` of descriptions to agreements `(B,)`, larger where they agree better."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(
        self,
        images: Sequence[torch.Tensor] | None = None,
        completions: Sequence[torch.Tensor] | None = None,
        **inputs,
    ) -> list[float]:
        """
        Args:
            images (list of `torch.Tensor` of shape `(3, H, W)`):
                Generated images in [0, 1].
            completions (list of `torch.Tensor`, *optional*):
                The same under TRL's name.
            inputs:
                `<reference>_images`, a list like `images` with `None` where a row has no such picture. Everything
                else that trainers hand over is ignored.

        Returns:
            `list[float]`: One reward per image; NaN where there is no reference or where the image or the reference
            is not finite.

        Raises:
            ValueError: If the column is missing or images do not fit.
        """
        # 1. What there is to compare
        images = completions if images is None else images
        if images is None:
            raise ValueError(
                f"`images` must be given to the reward '{self.__name__}', but is missing. Use it in GRPO."
            )
        if len(images) == 0:
            return []
        references = self._references(len(images), inputs)
        rows = [row for row, reference in enumerate(references) if reference is not None]
        rewards = [math.nan] * len(images)
        self.prepare(images[0].device)

        # 2. References, once each; 3. images, in batches
        with torch.autocast(self._prepared_for.type, enabled=False):
            distinct, index = distinct_tensors([references[row] for row in rows])
            described = [self._describe(part, f"{self.reference}_images") for part in self._batches(distinct)]
            known, known_finite = (torch.cat(parts) for parts in zip(*described, strict=True))
            for part, positions in zip(self._batches(rows), self._batches(index), strict=True):
                descriptions, finite = self._describe([images[row] for row in part], "images")
                if descriptions.shape[1:] != known.shape[1:]:
                    raise ValueError(
                        f"`{self.reference}_images` must be of the size of `images` for the reward "
                        f"'{self.__name__}', but got {tuple(distinct[0].shape[-2:])} and "
                        f"{tuple(images[0].shape[-2:])}. Resize them alike."
                    )
                scores = self.scale * self.compare(descriptions, known[positions])
                scores = scores.masked_fill(~(finite & known_finite[positions]), math.nan)
                for row, score in zip(part, scores.tolist(), strict=True):
                    rewards[row] = score
        return rewards

    def _batches(self, items: Sequence):
        return (items[start : start + self.batch_size] for start in range(0, len(items), self.batch_size))

    def _references(self, count: int, inputs: dict) -> Sequence[torch.Tensor | None]:
        references = inputs.get(f"{self.reference}_images")
        if references is None or all(reference is None for reference in references):
            raise ValueError(
                f"The reward '{self.__name__}' must have the column `{self.reference}` of the data set, but it is "
                "missing. Add it, or give the reward another `reference`."
            )
        if len(references) != count:
            raise ValueError(
                f"`{self.reference}_images` must be as many as `images` ({count}), but got {len(references)}. "
                "Repeat them for each image."
            )
        return references

    def _describe(self, images: Sequence[torch.Tensor], name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Descriptions of a few images, and which of these are finite, `(B,)`."""
        batch = stack_images(images, name).to(self._prepared_for, torch.float32)
        finite = batch.flatten(1).isfinite().all(1)
        batch = torch.where(finite[:, None, None, None], batch, 0.5)
        low, high = batch.min().item(), batch.max().item()
        if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
            raise ValueError(
                f"`{name}` must be in [0, 1], but got values in [{low:g}, {high:g}]. Map [-1, 1] by `x / 2 + 0.5`."
            )
        return self.describe(batch.clamp(0, 1)), finite


def distinct_tensors(tensors: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[int]]:
    """
    The distinct objects of a list, in order of first occurrence, and for each entry of the list which of these it is.
    """
    positions: dict[int, int] = {}
    distinct, index = [], []
    for tensor in tensors:
        position = positions.setdefault(id(tensor), len(distinct))
        if position == len(distinct):
            distinct.append(tensor)
        index.append(position)
    return distinct, index


def unique_tensors(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Stacks what a list holds, each object once: rows of one prompt hold the very same tensor.

    Args:
        tensors (list of `torch.Tensor` of shape `(3, H, W)`):
            At least one, all of one size.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: The distinct tensors `(U, 3, H, W)`, and for each entry of the list its
        place among them, int64 `(N,)` on the same device: `stacked[index]` are the entries.

    Raises:
        ValueError: If the list is empty, or an entry is no image or of another size.
    """
    distinct, index = distinct_tensors(tensors)
    stacked = stack_images(distinct, "tensors")
    return stacked, torch.tensor(index, device=stacked.device)


def stack_images(images: Sequence[torch.Tensor], name: str) -> torch.Tensor:
    """Images `(3, H, W)` of one size to a batch `(B, 3, H, W)`; errors call them `name`."""
    if len(images) == 0:
        raise ValueError(f"`{name}` must hold at least one image, but is empty. Leave the call out.")
    for image in images:
        if not (isinstance(image, torch.Tensor) and image.ndim == 3 and image.shape[0] == 3):
            got = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
            raise ValueError(
                f"`{name}` must be tensors of shape (3, H, W), but got {got}. Convert them to RGB tensors."
            )
        if image.shape != images[0].shape:
            raise ValueError(
                f"`{name}` must all be of one size, but got {tuple(images[0].shape[1:])} and "
                f"{tuple(image.shape[1:])}. Resize them alike."
            )
    return torch.stack(list(images))


class MeasureReward(Reward):
    """
    A reward that is a measure ([`stylevar_hf.measures`]), with the sign by which more is better. A subclass says in
    [`Reward.load_network`] which.
    """

    def load_network(self, device: torch.device) -> Measure:
        """The measure, on `device`."""
        raise NotImplementedError

    def describe(self, images: torch.Tensor) -> torch.Tensor:
        return self._network.describe(images)

    def compare(self, descriptions: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        values = self._network.compare(descriptions, references)
        return values if self._network.higher_is_better else -values


__all__ = ["REFERENCES", "MeasureReward", "Reward", "stack_images", "unique_tensors"]
