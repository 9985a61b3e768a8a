# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import pickle

import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from stylevar_hf import StyleVARImageProcessor
from stylevar_hf.data import StyleVARTripletCollator, TripletAugmentation


@pytest.fixture(scope="module")
def image_processor() -> StyleVARImageProcessor:
    return StyleVARImageProcessor(size={"height": 16, "width": 16})


def make_image(seed: int, mode: str = "RGB", size: tuple[int, int] = (24, 20)) -> PIL.Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values).convert(mode)


def make_row(seed: int, **changes) -> dict:
    images = {column: make_image(3 * seed + i) for i, column in enumerate(("content", "style", "target"))}
    return {**images, "content_id": str(seed), **changes}


class TestStyleVARTripletCollator:
    def test_images_of_any_size_and_mode_become_one_batch(self, image_processor):
        modes = ("RGB", "L", "RGBA", "P", "1", "I;16")
        rows = [make_row(seed, content=make_image(seed, size=(9 + seed, 40))) for seed in range(len(modes))]
        for row, mode in zip(rows, modes, strict=True):
            row["style"] = row["style"].convert("L").convert(mode) if mode == "I;16" else row["style"].convert(mode)
        batch = StyleVARTripletCollator(image_processor)(rows)
        assert set(batch) == {"content_pixel_values", "style_pixel_values", "target_pixel_values", "content_id"}
        for column in ("content", "style", "target"):
            pixels = batch[f"{column}_pixel_values"]
            assert (pixels.shape, pixels.dtype) == ((len(modes), 3, 16, 16), torch.float32)
            assert -1 <= pixels.min() < pixels.max() <= 1
        assert batch["content_id"] == [row["content_id"] for row in rows]

    def test_pixels_are_those_of_the_processor(self, image_processor):
        row = make_row(0)
        batch = StyleVARTripletCollator(image_processor)([row])
        expected = image_processor(row["style"], return_tensors="pt").pixel_values
        assert torch.equal(batch["style_pixel_values"], expected)

    @pytest.mark.parametrize("target", ["absent", "none"])
    def test_rows_without_target(self, image_processor, target):
        rows = [make_row(0, target=None), make_row(1, target=None)]
        if target == "absent":
            rows = [{name: value for name, value in row.items() if name != "target"} for row in rows]
        assert "target_pixel_values" not in StyleVARTripletCollator(image_processor)(rows)

    def test_cached_codes_are_stacked(self, image_processor):
        codes = np.arange(30, dtype=np.uint16) + 40000
        rows = [make_row(0, labels=codes, style_codes=codes.tolist(), content_codes=torch.arange(30))] * 2
        batch = StyleVARTripletCollator(image_processor)(rows)
        for column in ("labels", "style_codes", "content_codes"):
            assert (batch[column].shape, batch[column].dtype) == ((2, 30), torch.int64)
        assert batch["labels"][1, -1] == 40029

    def test_reads_rows_of_a_dataset(self, image_processor, image_files):
        features = datasets.Features({"content": datasets.Image(), "style": datasets.Image()})
        data = datasets.Dataset.from_dict(
            {"content": [image_files["content"]], "style": [image_files["style"]]}, features=features
        )
        batch = StyleVARTripletCollator(image_processor)([data[0]])
        assert batch["content_pixel_values"].shape == (1, 3, 16, 16)
        assert "content_id" not in batch

    def test_missing_column_names_those_that_are_there(self, image_processor):
        with pytest.raises(ValueError, match="but got source, style .*missing: content.*column_mapping"):
            StyleVARTripletCollator(image_processor)([{"source": make_image(0), "style": make_image(1)}])

    def test_target_in_some_rows_only(self, image_processor):
        with pytest.raises(ValueError, match="`target` must be present in all rows of a batch or in none"):
            StyleVARTripletCollator(image_processor)([make_row(0), make_row(1, target=None)])

    def test_empty_batch(self, image_processor):
        with pytest.raises(ValueError, match="`rows` must be a non-empty batch"):
            StyleVARTripletCollator(image_processor)([])

    def test_codes_of_two_tokenizers(self, image_processor):
        with pytest.raises(ValueError, match="`labels` must be of one length, but got .*30, 55"):
            StyleVARTripletCollator(image_processor)([make_row(0, labels=[1] * 30), make_row(1, labels=[1] * 55)])

    def test_broken_image_is_named(self, image_processor, tmp_path):
        make_image(0).save(tmp_path / "a.png")
        data = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
        with PIL.Image.open(tmp_path / "a.png") as broken, pytest.raises(ValueError, match="`style` of row 1 .*`7`"):
            StyleVARTripletCollator(image_processor)([make_row(0), make_row(7, style=broken)])


class TestAugmentedBatches:
    def test_depends_on_epoch_and_index_and_not_on_the_batch(self, image_processor):
        collator = StyleVARTripletCollator(image_processor, TripletAugmentation())
        rows = [make_row(seed, index=seed) for seed in range(3)]
        together = collator(rows)["content_pixel_values"]
        alone = torch.cat([collator([row])["content_pixel_values"] for row in reversed(rows)]).flip(0)
        assert torch.equal(together, alone)
        collator.set_epoch(1)
        assert not torch.equal(collator(rows)["content_pixel_values"], together)
        collator.set_epoch(0)
        assert torch.equal(collator(rows)["content_pixel_values"], together)

    def test_row_without_index_is_told_by_its_ids(self, image_processor):
        collator = StyleVARTripletCollator(image_processor, TripletAugmentation())
        rows = [make_row(0), make_row(0, style_id="x"), make_row(0)]
        pixels = collator(rows)["content_pixel_values"]
        assert torch.equal(pixels[0], pixels[2])
        assert not torch.equal(pixels[0], pixels[1])

    def test_target_is_not_augmented(self, image_processor):
        rows = [make_row(0)]
        plain = StyleVARTripletCollator(image_processor)(rows)
        augmented = StyleVARTripletCollator(image_processor, TripletAugmentation())(rows)
        assert torch.equal(plain["target_pixel_values"], augmented["target_pixel_values"])
        assert not torch.equal(plain["style_pixel_values"], augmented["style_pixel_values"])

    def test_cached_codes_are_refused(self, image_processor):
        collator = StyleVARTripletCollator(image_processor, TripletAugmentation())
        with pytest.raises(ValueError, match="`augmentation` must be None for rows with cached codes"):
            collator([make_row(0, labels=[0] * 30)])

    def test_copies_share_the_epoch_in_workers(self, image_processor):
        collator = StyleVARTripletCollator(image_processor, TripletAugmentation())
        rows = [make_row(seed, index=seed) for seed in range(2)]
        loader = torch.utils.data.DataLoader(
            rows, batch_size=2, collate_fn=collator, num_workers=1, persistent_workers=True
        )
        for epoch in (0, 1):
            collator.set_epoch(epoch)
            batch = next(iter(loader))
            assert torch.equal(batch["content_pixel_values"], collator(rows)["content_pixel_values"])

    def test_can_be_pickled(self, image_processor):
        collator = StyleVARTripletCollator(image_processor, TripletAugmentation())
        assert pickle.loads(pickle.dumps(collator)).augmentation == collator.augmentation
