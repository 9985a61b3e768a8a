# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Sums over the rollouts of an update, from which [`StyleVARGRPOTrainer`] logs and decides."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator


@dataclass
class UpdateSums:
    """
    Sums over rollouts, not weighted by scale; they add up over passes and processes.

    Args:
        counts (`torch.FloatTensor` of shape `(3,)`):
            Rollouts; those that count; those left out because they are too far from the reference policy.
        clipped (`torch.FloatTensor` of shape `(2,)`):
            Share of clipped tokens, below and above, of those that count.
        kl (`torch.FloatTensor` of shape `(1 + K,)`):
            KL of those that count, in nats per token: over all tokens, then at each scale.
        entropy (`torch.FloatTensor` of shape `(1 + K,)`):
            Entropy of all, in nats per token.
        divergence (`torch.FloatTensor` of shape `(2,)`):
            KL of those with a reward, the far ones too, in nats per token; and their number.
    """

    counts: torch.Tensor
    clipped: torch.Tensor
    kl: torch.Tensor
    entropy: torch.Tensor
    divergence: torch.Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        kl: torch.Tensor,
        entropies: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        keep: torch.Tensor,
        far: torch.Tensor,
        divergence: torch.Tensor,
        usable: torch.Tensor,
        scale_boundaries: Sequence[tuple[int, int]],
    ) -> "UpdateSums":
        """
        Args:
            kl, entropies (`torch.FloatTensor` of shape `(N, L)`):
                Of each token, in nats.
            low, high (`torch.BoolTensor` of shape `(N, L)`):
                Tokens whose ratio is clipped from below and from above.
            keep, far (`torch.BoolTensor` of shape `(N,)`):
                Rollouts that count, and those that are too far from the reference policy.
            divergence (`torch.FloatTensor` of shape `(N,)`):
                KL of each rollout, in nats per token.
            usable (`torch.BoolTensor` of shape `(N,)`):
                Rollouts with a reward.
            scale_boundaries (`Sequence[tuple[int, int]]`):
                Start and end of each of the `K` scales.
        """

        def over_scales(values: torch.Tensor) -> torch.Tensor:
            spans = [(0, values.shape[1]), *scale_boundaries]
            return torch.stack([values[:, start:end].float().mean(dim=1).sum() for start, end in spans])

        kept = keep.unsqueeze(1)
        return cls(
            counts=torch.stack([torch.ones_like(keep).sum(), keep.sum(), far.sum()]).float(),
            clipped=torch.stack([(values & kept).float().mean(dim=1).sum() for values in (low, high)]),
            kl=over_scales(torch.where(kept, kl, 0.0)),
            entropy=over_scales(entropies.nan_to_num()),
            divergence=torch.stack([divergence.nan_to_num(torch.inf)[usable].sum(), usable.float().sum()]),
        )

    def __add__(self, other: "UpdateSums") -> "UpdateSums":
        return UpdateSums(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def reduce(self, accelerator: Accelerator) -> "UpdateSums":
        """The sums over all processes, on the CPU; all must call."""
        values = list(vars(self).values())
        total = accelerator.reduce(torch.cat(values), reduction="sum").cpu()
        return UpdateSums(*total.split([len(value) for value in values]))

    @property
    def num_kept(self) -> int:
        """How many rollouts count."""
        return int(self.counts[1])

    @property
    def mean_kl(self) -> float | None:
        """
        KL per token of those with a reward, also where it is beyond the limit, or infinite; `None` if there is none.
        """
        total, count = self.divergence.tolist()
        return total / count if count else None

    def metrics(self, with_kl: bool = True) -> dict[str, float]:
        """Means, under TRL's names where it has one."""
        total, kept = self.counts[0].clamp(min=1), self.counts[1].clamp(min=1)
        low, high = (self.clipped / kept).tolist()
        logs = {
            "clip_ratio/low_mean": low,
            "clip_ratio/high_mean": high,
            "clip_ratio/region_mean": low + high,
            "rollouts_left_out/kl": self.counts[2].item(),
        }
        means = {"entropy": (self.entropy / total).tolist()}
        if with_kl:
            means["kl"] = (self.kl / kept).tolist()
        for name, (mean, *scales) in means.items():
            logs[name] = mean
            logs.update({f"{name}_scale_{scale}": value for scale, value in enumerate(scales)})
        return logs


__all__ = ["UpdateSums"]
