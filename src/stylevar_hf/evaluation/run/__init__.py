# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""An evaluation: pictures painted, measured and summarised, in a folder that can be resumed."""
