# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What FSDP does differently here."""

from accelerate import Accelerator


def autocast_under_fsdp(accelerator: Accelerator) -> None:
    """
    Half precision by autocast, as in every other run; before the model is prepared.

    FSDP2 would keep the weights of a pass in half precision: the codebook, whose nearest vector then is another one,
    and those of BatchNorm, whose statistics are in float32.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version == 2:
        plugin.mixed_precision_policy = None


__all__ = ["autocast_under_fsdp"]
