# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Where `check_folder` was before `data/layouts/`."""

from .layouts.folders import FORMATS, FolderReport, check_folder, scan_folders


__all__ = ["FORMATS", "FolderReport", "check_folder", "scan_folders"]
