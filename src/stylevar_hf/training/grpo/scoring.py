# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of rollouts: under the policy, and under the reference."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .rollouts import group_rows, join_references


class GRPOScoringMixin:
    """How [`StyleVARGRPOTrainer`] scores the codes of a batch; what the rows of a prompt share is computed once."""

    def _score(self, model: nn.Module, inputs: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Log-probabilities and entropies `(N, L)` of the codes of a batch.

        Rows come in any order; they are sorted by prompt, so that what a prompt's rows share is computed once.
        """
        prompts = inputs["prompts"]
        places: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            places.setdefault(id(prompt), []).append(row)
        order = [row for rows in places.values() for row in rows]
        pairs, repeats = group_rows([prompts[row] for row in order])
        content = join_references([pair.content for pair in pairs])
        style = join_references([pair.style for pair in pairs])
        if self._conditioning_is_fixed:
            conditioning = {"content": content, "style": style}
        else:  # the image encoders are trained: only the codes are known
            conditioning = {
                "content_pixel_values": torch.stack([pair.content_pixel_values for pair in pairs]),
                "style_pixel_values": torch.stack([pair.style_pixel_values for pair in pairs]),
                "content_codes": content.codes,
                "style_codes": style.codes,
            }
        with self.accelerator.autocast():  # accelerate does so for the policy, but not for the reference
            output = model(
                labels=inputs["codes"][order],
                num_return_sequences=repeats,
                style_strength=self.args.style_strength,
                scoring=self._scoring,
                **conditioning,
            )
        back = torch.tensor(order, device=output.log_probs.device).argsort()
        return output.log_probs[back], output.entropies[back]

    @torch.no_grad()
    def _reference_log_probs(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Scores under the reference policy, kept with the rows until it is renewed."""
        if inputs.get("reference_version") != self.reference.num_updates:
            with self.reference.log_probs_context(self._policy()) as model:
                inputs["reference_log_probs"], _ = self._score(model, inputs)
            inputs["reference_version"] = self.reference.num_updates
        return inputs["reference_log_probs"]

    @torch.no_grad()
    def _score_in_parts(self, batch: Mapping[str, Any]) -> torch.Tensor:
        size = self.args.per_device_train_batch_size
        scores = []
        for start in range(0, len(batch["codes"]), size):
            part = {name: batch[name][start : start + size] for name in ("codes", "prompts")}
            scores.append(self._score(self._policy(), part)[0])
        return torch.cat(scores)


__all__ = ["GRPOScoringMixin"]
