# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""StyleVAR for ComfyUI: one picture, or a film, painted in the style of another."""

from .nodes import comfy_entrypoint


WEB_DIRECTORY = "./web"  # the nodes' help pages

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
