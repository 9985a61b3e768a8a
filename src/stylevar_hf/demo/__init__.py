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
"""
The demo in the browser: `load_demo` makes the page for a checkpoint, `build_demo` for a pipeline, and `launch_demo`
serves it with limits. Needs `stylevar-hf[demo]`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names


_MODULES = {"page": ("build_demo", "launch_demo", "load_demo")}
_EXTRAS = {"page": "demo"}

if TYPE_CHECKING:
    from .page import build_demo, launch_demo, load_demo


__getattr__, __dir__ = lazy_names(__name__, _MODULES, _EXTRAS)

__all__ = ["build_demo", "launch_demo", "load_demo"]
