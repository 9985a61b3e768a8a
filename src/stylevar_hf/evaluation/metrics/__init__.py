# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The metrics of the paper as modules of `evaluate`.

```python
metric = load_metric("lpips", weights="vgg16-397923af.pth")  # or evaluate.load of the folder metrics/lpips
metric.add_batch(predictions=images, references=targets)     # PIL images or uint8 arrays (height, width, 3)
metric.compute()                                             # {"lpips": 0.47}
metric.compute(predictions=images, references=targets, reduction="none")  # {"lpips": [0.43, 0.51, ...]}
```

Each metric is a folder with a module and a README. Knowing them ([`METRIC_NAMES`], [`get_metric_info`]) imports
nothing heavy; [`load_metric`] needs `pip install "stylevar-hf[eval]"`.
"""

from .registry import METRIC_NAMES, MetricInfo, MetricUnavailable, get_metric_info, load_metric


__all__ = ["METRIC_NAMES", "MetricInfo", "MetricUnavailable", "get_metric_info", "load_metric"]
