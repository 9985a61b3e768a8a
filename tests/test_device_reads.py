# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""How often the model waits for the device: never in forward and scoring, once at the end of `generate`."""

import pytest
import torch
from conftest import make_tiny_config
from torch.utils._python_dispatch import TorchDispatchMode

from stylevar_hf import StyleVARForConditionalGeneration
from stylevar_hf.generation_stylevar import StyleVARScoring


# Each hands a value, or a size that depends on values, from the device to Python.
READS = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "masked_select", "unique", "_unique2")


class ReadCounter(TorchDispatchMode):
    """Counts the operations that wait for a device, as this one would if it were on a GPU."""

    def __init__(self):
        super().__init__()
        self.reads: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in READS or (name == "repeat_interleave" and function._overloadname == "Tensor"):
            self.reads.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def model() -> StyleVARForConditionalGeneration:
    torch.manual_seed(0)
    return StyleVARForConditionalGeneration(make_tiny_config()).eval()


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def count_reads(function, *args, **kwargs) -> list[str]:
    with ReadCounter() as counter:
        function(*args, **kwargs)
    return counter.reads


class TestDeviceReads:
    def test_the_counter_sees_reads(self):
        assert count_reads(lambda: torch.ones(2)[torch.ones(2) > 0].sum().item()) != []

    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    @pytest.mark.parametrize("style_strength", [0.0, [0.5, -0.5], torch.tensor([0.5, -0.5])], ids=repr)
    def test_forward_and_backward_read_nothing(self, model, pair, attention, style_strength):
        model.set_attn_implementation(attention)
        labels = torch.randint(64, (2, 30))

        def step():
            model(*pair, labels=labels, style_strength=style_strength).loss.backward()

        assert count_reads(step) == []

    def test_forward_with_target_pixels_reads_nothing(self, model, pair):
        assert count_reads(model, *pair, target_pixel_values=pair[0]) == []

    def test_training_mode_reads_nothing(self, pair):
        model = StyleVARForConditionalGeneration(make_tiny_config(alpha_jitter=0.1, drop_path_rate=0.5)).train()
        assert count_reads(model, *pair, labels=torch.randint(64, (2, 30))) == []

    @pytest.mark.parametrize("scoring", [StyleVARScoring(), StyleVARScoring(top_k=5, top_p=0.9, chunk_size=7)])
    def test_scoring_reads_nothing(self, model, pair, scoring):
        labels = torch.randint(64, (4, 30))

        def step():
            model(*pair, labels=labels, num_return_sequences=2, scoring=scoring).loss.backward()

        assert count_reads(step) == []

    @pytest.mark.parametrize("legacy", [False, True])
    @pytest.mark.parametrize("do_sample", [False, True])
    def test_generate_reads_once(self, model, pair, do_sample, legacy):
        model.config.legacy_kv_duplication = legacy
        generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
        reads = count_reads(
            model.generate,
            *pair,
            do_sample=do_sample,
            num_return_sequences=2,
            generator=generators,
            style_strength=0.3,
        )
        model.config.legacy_kv_duplication = False
        assert len(reads) == 1

    def test_generate_from_a_prefix_reads_once(self, model, pair):
        assert len(count_reads(model.generate, *pair, prefix_codes=torch.zeros(2, 5, dtype=torch.long))) == 1

    def test_encoding_and_decoding_read_nothing(self, model, pair):
        codes = model.vq_model.encode(pair[0]).codes
        assert count_reads(model.vq_model.encode, pair[0]) == []
        assert count_reads(model.vq_model.decode, codes) == []
        assert count_reads(model.vq_model, pair[0]) == []
