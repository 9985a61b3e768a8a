# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import collections

import numpy as np
import PIL.Image
import pytest

from stylevar_hf import StyleVARImageProcessor
from stylevar_hf.data import StrengthAnchors, StyleVARTripletCollator


IMAGES = {
    name: PIL.Image.fromarray(np.full((8, 8, 3), value, dtype=np.uint8))
    for name, value in {"content": 0, "style": 128, "target": 255}.items()
}
CODES = {"content_codes": [1, 1], "style_codes": [2, 2], "labels": [3, 3]}
ROW = {**IMAGES, **CODES, "content_id": "a"}


def kinds_of_many(anchors: StrengthAnchors, count: int = 3000) -> collections.Counter:
    """How often each (style codes, labels, strength) comes up."""
    rows = [anchors(ROW, anchors.generator(epoch=0, index=index)) for index in range(count)]
    return collections.Counter((row["style_codes"][0], row["labels"][0], row["style_strength"]) for row in rows)


class TestStrengthAnchors:
    def test_rows_are_replaced_at_the_rate_and_kinds_are_equally_frequent(self):
        kinds = kinds_of_many(StrengthAnchors(0.3))
        assert set(kinds) == {(2, 3, 0.0), (1, 1, 0.0), (2, 1, -1.0), (2, 2, 1.0)}
        assert kinds[2, 3, 0.0] == pytest.approx(2100, abs=100)
        for kind in ((1, 1, 0.0), (2, 1, -1.0), (2, 2, 1.0)):
            assert kinds[kind] == pytest.approx(300, abs=60)

    def test_rate_zero_changes_nothing(self):
        assert set(kinds_of_many(StrengthAnchors(0.0), 100)) == {(2, 3, 0.0)}

    def test_images_and_codes_change_together_and_the_row_given_stays(self):
        anchors, row = StrengthAnchors(1.0), dict(ROW)
        for index in range(20):
            changed = anchors(row, anchors.generator(0, index))
            for image, codes in (("style", "style_codes"), ("target", "labels")):
                source = {1: "content", 2: "style", 3: "target"}[changed[codes][0]]
                assert changed[image] is IMAGES[source]
        assert row == ROW

    def test_draw_depends_on_seed_epoch_and_index(self):
        def draw(seed, epoch, index):
            anchors = StrengthAnchors(0.5, seed=seed)
            return anchors(ROW, anchors.generator(epoch, index))["style_strength"], anchors.generator(
                epoch, index
            ).random()

        assert draw(0, 1, 2) == draw(0, 1, 2)
        assert len({draw(*key)[1] for key in ((0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3))}) == 4

    def test_codes_of_the_target_alone_are_refused(self):
        row = {**IMAGES, "labels": [3, 3]}
        anchors = StrengthAnchors(1.0)
        with pytest.raises(ValueError, match="with (content|style)_codes beside labels"):
            for index in range(20):
                anchors(row, anchors.generator(0, index))

    @pytest.mark.parametrize(("name", "value"), [("rate", -0.1), ("rate", 1.5), ("seed", -1)])
    def test_argument_out_of_range_is_refused(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            StrengthAnchors(**{"rate": 0.5, name: value})


class TestCollator:
    def collate(self, epoch: int = 0) -> dict:
        size = {"height": 8, "width": 8}
        collator = StyleVARTripletCollator(StyleVARImageProcessor(size=size), anchors=StrengthAnchors(1.0))
        collator.set_epoch(epoch)
        return collator([{**ROW, "index": index} for index in range(16)])

    def test_strengths_match_what_each_row_shows(self):
        batch = self.collate()
        assert batch["style_strength"].shape == (16,)
        for row, strength in enumerate(batch["style_strength"].tolist()):
            target = batch["target_pixel_values"][row]
            shown = {-1.0: "content", 1.0: "style", 0.0: "content"}[strength]
            assert target.equal(batch[f"{shown}_pixel_values"][row])
            assert batch["labels"][row].equal(batch[f"{shown}_codes"][row])
            if strength == 0:
                assert batch["style_pixel_values"][row].equal(batch["content_pixel_values"][row])

    def test_each_epoch_draws_anew(self):
        strengths = [self.collate(epoch)["style_strength"].tolist() for epoch in (0, 0, 1)]
        assert strengths[0] == strengths[1] != strengths[2]

    def test_without_anchors_there_is_no_strength(self):
        collator = StyleVARTripletCollator(StyleVARImageProcessor(size={"height": 8, "width": 8}))
        assert "style_strength" not in collator([ROW])
