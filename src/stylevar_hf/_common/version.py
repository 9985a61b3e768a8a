# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The version of the package, for all who write it into files. `setup.py` reads this file."""

__version__ = "0.1.0.dev0"


__all__ = ["__version__"]
