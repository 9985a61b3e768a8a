# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Distances and similarities of images, each defined once: batches `(B, 3, H, W)` in [0, 1] in, one value per image out.

| module | what | needs |
|---|---|---|
| `ssim`, `psnr` | same structures, same pixels | nothing |
| `colour`, `texture` | palette; sizes, directions and contrasts of strokes | nothing |
| `lpips`, `vgg` | features place by place, style and content losses, CFSD | weights of VGG-16 or VGG-19 |
| `dreamsim`, `clip` | what people find alike; what a picture means | weights of a transformer |
| `transfer` | which content and which style it is, how far it got, how sharp it is | weights of VGG-19 |
| `frechet` | sets of pictures: FID and ArtFID | weights of Inception v3 |

`pictures` has those without a network for two PIL images or arrays. Those that compare descriptions of pictures are a
[`~measures.base.Measure`]. Weights are found by `weights`: by path, else where they are kept, else fetched. Rewards
(`stylevar_hf.rewards`) and metrics (`stylevar_hf.evaluation.metrics`) are the same measures in the forms that trainers
and `evaluate` ask for.
"""
