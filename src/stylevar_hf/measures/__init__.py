# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Distances and similarities of images, each defined once: tensors in, one value per image out."""
