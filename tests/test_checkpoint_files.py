# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import PIL.Image
import pytest

from stylevar_hf.training.common.checkpoint_files import save_picture


class TestSavePicture:
    def test_makes_the_folder_and_leaves_nothing_else(self, tmp_path):
        save_picture(tmp_path / "samples" / "step-1.png", PIL.Image.new("RGB", (3, 2), "red"))
        assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-1.png"]
        assert PIL.Image.open(tmp_path / "samples" / "step-1.png").getpixel((2, 1)) == (255, 0, 0)

    def test_failure_keeps_the_picture_that_was_there(self, tmp_path, monkeypatch):
        path = tmp_path / "step-1.png"
        save_picture(path, PIL.Image.new("RGB", (3, 2)))
        before = path.read_bytes()

        def full(self, place, **options):
            with open(place, "wb") as file:
                file.write(b"half")
            raise OSError("no space left on device")

        monkeypatch.setattr(PIL.Image.Image, "save", full)
        with pytest.raises(OSError, match="no space"):
            save_picture(path, PIL.Image.new("RGB", (3, 2), "red"))
        assert [file.name for file in tmp_path.iterdir()] == ["step-1.png"]
        assert path.read_bytes() == before
