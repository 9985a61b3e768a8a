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
"""What ships with the package is what README says of it."""

import numpy as np
import pytest
import torch

from stylevar_hf import StyleVARVQModel
from stylevar_hf.checkpoints import TRAINED_TOKENIZER
from stylevar_hf.data.procedural import procedural_triplet
from stylevar_hf.data.procedural_contents import HELD_OUT_PHOTOGRAPHS, photograph_crop


@pytest.fixture(scope="module")
def tokenizer() -> StyleVARVQModel:
    return StyleVARVQModel.from_pretrained(TRAINED_TOKENIZER, dtype=torch.float32).eval()


def to_pixel_values(images) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def mean_psnr(tokenizer: StyleVARVQModel, images) -> float:
    """In dB, of pixels in [0, 255], mean over images."""
    pixel_values = to_pixel_values(images)
    errors = (tokenizer.reconstruct(pixel_values) - pixel_values).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(4 / errors)).mean().item()


class TestTrainedTokenizer:
    @pytest.mark.parametrize("split", ["in_distribution", "near_distribution", "out_of_distribution"])
    def test_held_out_procedural_images_are_reconstructed(self, tokenizer, split):
        triplets = [procedural_triplet(index, split, image_size=tokenizer.config.image_size) for index in range(8)]
        images = [np.asarray(triplet[name]) for triplet in triplets for name in ("content", "style", "target")]
        assert mean_psnr(tokenizer, images) > 24

    def test_held_out_photographs_are_reconstructed(self, tokenizer):
        rng = np.random.default_rng(0)
        size = tokenizer.config.image_size
        crops = [photograph_crop(rng, size, HELD_OUT_PHOTOGRAPHS)[0] for _ in range(16)]
        assert mean_psnr(tokenizer, crops) > 22

    def test_it_is_small(self):
        assert sum(file.stat().st_size for file in TRAINED_TOKENIZER.iterdir()) < 4 * 2**20
