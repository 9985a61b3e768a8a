# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[train]"]
# ///
"""
Supervised fine-tuning of StyleVAR on triplets.

This is `stylevar sft` as a file for `accelerate launch`:

    accelerate launch --config_file examples/accelerate_configs/ddp.yaml examples/train_sft.py --help

`stylevar sft --help` lists all flags, with worked examples.
"""

import sys

from stylevar_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["sft", *sys.argv[1:]]))
