# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Paints the first picture of README and of the manual: content, style and output side by side.

    python docs/first_picture.py CONTENT STYLE [--model ID|DIR] [--seed N]
"""

import argparse
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from stylevar_hf import StyleVARPipeline, bundled_checkpoint


SIDE, GAP = 256, 8

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("content")
parser.add_argument("style")
parser.add_argument("--model", default=bundled_checkpoint())
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

pipe = StyleVARPipeline.from_pretrained(args.model, device="cpu")
pictures = [PIL.Image.open(path).convert("RGB") for path in (args.content, args.style)]
pictures.append(pipe(*pictures, seed=args.seed, fit="crop"))
row = PIL.Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE), "white")
for column, picture in enumerate(pictures):
    square = PIL.ImageOps.fit(picture, (SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    row.paste(square, (column * (SIDE + GAP), 0))
row.save(Path(__file__).parent / "images" / "first.png", optimize=True)
