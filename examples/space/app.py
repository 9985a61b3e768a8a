# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The Space: everything is in `stylevar_hf.demo`. On one's own machine the same page comes with `stylevar demo`."""

import os

from stylevar_hf.demo import launch_demo, load_demo


demo = load_demo(os.environ.get("STYLEVAR_MODEL") or None, os.environ.get("STYLEVAR_DTYPE") or "auto")

if __name__ == "__main__":
    launch_demo(demo)
