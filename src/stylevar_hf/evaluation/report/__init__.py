# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation writes: tables, plots, galleries, a page."""
