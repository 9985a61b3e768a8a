# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[train]"]
# ///
"""
Training of a multi-scale VQ-VAE, the tokenizer of StyleVAR, on any images.

This is `stylevar vq` as a file for `accelerate launch`:

    accelerate launch --config_file examples/accelerate_configs/ddp.yaml examples/train_vq.py --help

`stylevar vq --help` lists all flags, with worked examples.
"""

import sys

from stylevar_hf.cli import main


if __name__ == "__main__":
    sys.exit(main(["vq", *sys.argv[1:]]))
