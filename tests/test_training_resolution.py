# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from conftest import make_tiny_config

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARVQConfig, StyleVARVQModel
from stylevar_hf.training.common.resolution import change_ladder


@pytest.fixture
def model() -> StyleVARForConditionalGeneration:
    torch.manual_seed(0)
    return StyleVARForConditionalGeneration(make_tiny_config()).eval()


def tokenizer_like(model, **changes) -> StyleVARVQModel:
    """The tokenizer of `model` with its weights, on another ladder or of other sizes."""
    vq_model = StyleVARVQModel(StyleVARVQConfig(**{**model.config.vq_config.to_dict(), **changes})).eval()
    if set(changes) <= {"patch_nums"}:
        vq_model.load_state_dict(model.vq_model.state_dict())
    return vq_model


class TestChangeLadder:
    def test_same_ladder_gives_the_same_model(self, model):
        changed = change_ladder(model, tokenizer_like(model)).eval()
        size = model.config.image_size
        content, style, target = torch.rand(3, 1, 3, size, size) * 2 - 1
        with torch.no_grad():
            expected = model(content, style, target_pixel_values=target).logits
            assert torch.equal(changed(content, style, target_pixel_values=target).logits, expected)

    def test_scale_takes_after_the_one_at_the_same_relative_place(self, model):
        old = model.config.patch_nums
        ladder = (*old, 2 * old[-1])
        changed = change_ladder(model, tokenizer_like(model, patch_nums=ladder))
        assert changed.config.patch_nums == ladder
        assert changed.config.image_size == 2 * model.config.image_size
        source = [0, 1, 2, 2, 3]  # three quarters of the way lie between the third and the fourth
        assert list(changed.config.blend_alphas) == [model.config.blend_alphas[k] for k in source]
        assert torch.equal(changed.model.level_embedding.weight, model.model.level_embedding.weight[source])
        before, after = model.model.position_embedding.weight, changed.model.position_embedding.weight
        shared = model.config.vq_config.scale_boundaries[2][1]  # the sides of the first three stay as they are
        assert torch.equal(after[:shared], before[:shared]) and len(after) == changed.config.sequence_length
        # The finest map, averaged down, is about the map that it was made of.
        grid = after[-(ladder[-1] ** 2) :].detach().T.unflatten(1, (ladder[-1], ladder[-1]))
        averaged = torch.nn.functional.avg_pool2d(grid, 2).flatten(1).T
        last = before[-(old[-1] ** 2) :].detach()
        assert torch.nn.functional.cosine_similarity(averaged.flatten(), last.flatten(), dim=0) > 0.9

    def test_changed_model_generates(self, model):
        changed = change_ladder(model, tokenizer_like(model, patch_nums=(1, 2, 6))).eval()
        size = changed.config.image_size
        images = torch.zeros(1, 3, size, size)
        assert changed.generate(images, images).pixel_values.shape == (1, 3, size, size)

    def test_other_codebook_is_refused(self, model):
        with pytest.raises(ValueError, match="`vq_model` must have codebook_size="):
            change_ladder(model, tokenizer_like(model, codebook_size=7))
