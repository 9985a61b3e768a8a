# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m stylevar_hf` is the `stylevar` command, as `accelerate launch -m stylevar_hf` is in several processes."""

import sys

from .cli import main


if __name__ == "__main__":
    sys.exit(main())
