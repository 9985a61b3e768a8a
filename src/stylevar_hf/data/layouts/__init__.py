# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How triplets lie on disk: the published data sets, folders, archives."""
