# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Where the rollouts were before `training/grpo/`."""

from .grpo.rollouts import *  # noqa: F403
from .grpo.rollouts import _mask_tensor as _mask_tensor
