# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What paints a content in a style without having learnt from triplets, and so can teach: see [`load_teacher`]."""
