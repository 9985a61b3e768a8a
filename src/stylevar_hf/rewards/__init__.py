# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Rewards for GRPO, in TRL's calling form.

A reward is any callable that takes keyword arguments, each a list with one entry per row, and returns one float per
row, larger for better. `None` says nothing about a row: with several rewards the others count, as in TRL. NaN,
infinite values and `None` of all rewards leave the row out:

```python
def brightness(images, **columns):
    return [image.mean().item() for image in images]

brightness.requires = ()                       # optional: columns that the data set must have
StyleVARGRPOTrainer(..., reward_funcs=[brightness, "dreamsim", "my_module:my_reward"])
```

| argument | entries |
|---|---|
| `images` | the generated images, float32 `(3, H, W)` in [0, 1], on the trainer's device |
| `content_images`, `style_images`, `target_images` | what they belong to; rows of one prompt hold the same tensor |
| the columns of the data set | as they are |
| `prompts`, `completions`, `completion_ids` | what TRL hands over: dicts, images, codes |

| name | class | reward | needs |
|---|---|---|---|
| `dreamsim` | [`DreamSimReward`] | -5 times the DreamSim distance to the target | `stylevar download-dreamsim` |
| `ssim` | [`SSIMReward`] | SSIM with the target | nothing |
| `lpips` | [`LPIPSReward`] | minus LPIPS to the target | torchvision's VGG-16 |
| `gram-style` | [`GramStyleReward`] | minus the Gram matrix style loss to the style | torchvision's VGG-19 |
| `content` | [`ContentReward`] | minus the content loss to the content | torchvision's VGG-19 |
| `perceptual` | [`PerceptualReward`] | minus the distance of VGG-19's features to the target | a VGG-19 |
| `style-statistics` | [`StyleStatisticsReward`] | minus that of their statistics to the style | a VGG-19 |
| `clip` | [`CLIPReward`] | cosine of CLIP's image embeddings with the target | CLIP from the Hub |
| `color-statistics` | [`ColorStatisticsReward`] | minus the distance of the palettes to the style | nothing |
| `texture-statistics` | [`TextureStatisticsReward`] | minus the distance of strokes and grain to the style | nothing |
| `remote`, or an address | [`RemoteReward`] | what a server answers (`http://...`) | the server |

Packages are loaded, and weights found or fetched, when a reward is first used.
"""

from typing import TYPE_CHECKING

from .._common.lazy import lazy_names


_MODULES = {
    "base": ("Reward", "unique_tensors"),
    "dreamsim": ("DreamSimReward",),
    ".measures.dreamsim_download": ("download_dreamsim",),
    "registry": ("REWARDS", "get_reward"),
    "remote": ("RemoteReward",),
    "similarity": ("CLIPReward", "LPIPSReward", "SSIMReward"),
    "statistics": ("ColorStatisticsReward", "TextureStatisticsReward"),
    "style_content": ("ContentReward", "GramStyleReward", "PerceptualReward", "StyleStatisticsReward"),
}

if TYPE_CHECKING:
    from ..measures.dreamsim_download import download_dreamsim
    from .base import Reward, unique_tensors
    from .dreamsim import DreamSimReward
    from .registry import REWARDS, get_reward
    from .remote import RemoteReward
    from .similarity import CLIPReward, LPIPSReward, SSIMReward
    from .statistics import ColorStatisticsReward, TextureStatisticsReward
    from .style_content import ContentReward, GramStyleReward, PerceptualReward, StyleStatisticsReward


__getattr__, __dir__ = lazy_names(__name__, _MODULES)


__all__ = [
    "REWARDS",
    "CLIPReward",
    "ColorStatisticsReward",
    "ContentReward",
    "DreamSimReward",
    "GramStyleReward",
    "LPIPSReward",
    "PerceptualReward",
    "RemoteReward",
    "Reward",
    "SSIMReward",
    "StyleStatisticsReward",
    "TextureStatisticsReward",
    "download_dreamsim",
    "get_reward",
    "unique_tensors",
]
