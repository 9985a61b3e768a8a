# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[train]"]
# ///
"""
Reinforcement (GRPO) of StyleVAR by rewards on images.

This is `stylevar grpo` as a file for `accelerate launch`:

    accelerate launch --config_file examples/accelerate_configs/ddp.yaml examples/train_grpo.py --help

`stylevar grpo --help` lists all flags, with worked examples.
"""

import sys

from stylevar_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["grpo", *sys.argv[1:]]))
