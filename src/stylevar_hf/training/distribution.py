# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
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
