# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""A metric as a module of `evaluate`; see README.md."""
