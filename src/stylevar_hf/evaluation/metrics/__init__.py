# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
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
