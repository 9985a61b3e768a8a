# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Where `check_folder` was before `data/layouts/`."""

from .folder_report import FORMATS, FolderReport, check_folder
from .layouts.folders import scan_folders


__all__ = ["FORMATS", "FolderReport", "check_folder", "scan_folders"]
