# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Every kind of picture in, pixels in [-1, 1], and pictures out again."""

import http.server
import struct
import threading
import zlib

import numpy as np
import PIL.Image
import pytest
import torch
from skimage import data

from stylevar_hf.image_processing_stylevar import StyleVARImageProcessor, load_image


@pytest.fixture
def processor():
    return StyleVARImageProcessor(size=32)


@pytest.fixture(scope="module")
def photo():
    """The astronaut, 512 x 512."""
    return PIL.Image.fromarray(data.astronaut())


def levels(pixel_values):
    """Pixels in [-1, 1] as the 8-bit values they stand for."""
    return torch.as_tensor(np.asarray(pixel_values)).add(1).mul(127.5).round().to(torch.uint8)


def png_header_only(path, width, height):
    """A PNG of a few dozen bytes that claims to be huge."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


class TestPreprocess:
    def test_pixels_equal_torchvision_bit_for_bit(self, photo):
        transforms = pytest.importorskip("torchvision.transforms")
        resize = transforms.Resize((256, 256), transforms.InterpolationMode.LANCZOS)
        expected = transforms.ToTensor()(resize(photo)).mul(2).sub(1)
        result = StyleVARImageProcessor()(photo, return_tensors="pt").pixel_values
        assert result.shape == (1, 3, 256, 256) and result.dtype == torch.float32
        torch.testing.assert_close(result[0], expected, rtol=0, atol=0)

    def test_center_crop_equals_torchvision(self, photo):
        transforms = pytest.importorskip("torchvision.transforms")
        wide = photo.crop((0, 100, 512, 399))
        resize = transforms.Resize(64, transforms.InterpolationMode.LANCZOS)
        expected = transforms.CenterCrop(64)(resize(wide))
        result = StyleVARImageProcessor(size=64, resize_mode="center_crop")(wide).pixel_values[0]
        np.testing.assert_array_equal(levels(result).permute(1, 2, 0), np.asarray(expected))

    def test_all_256_levels_map_to_minus_one_to_one(self):
        grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
        result = StyleVARImageProcessor(size=16)(grey, return_tensors="pt").pixel_values[0, 0]
        expected = torch.arange(256).reshape(16, 16) / 255 * 2 - 1
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-7)

    def test_pad_keeps_aspect_ratio_and_repeats_the_edge(self):
        tall = np.zeros((40, 20, 3), dtype=np.uint8)
        tall[:, :10], tall[:, 10:] = (200, 0, 0), (0, 0, 200)
        result = levels(StyleVARImageProcessor(size=20, resize_mode="pad")(tall).pixel_values[0])
        assert (result[:, :, :5] == torch.tensor([200, 0, 0])[:, None, None]).all()
        assert (result[:, :, 15:] == torch.tensor([0, 0, 200])[:, None, None]).all()

    @pytest.mark.parametrize("resize_mode", ["stretch", "center_crop", "pad"])
    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5), (33, 32)])
    def test_any_input_size_gives_the_model_size(self, resize_mode, size):
        picture = PIL.Image.new("RGB", size, (10, 20, 30))
        result = StyleVARImageProcessor(size={"height": 16, "width": 24}, resize_mode=resize_mode)(picture)
        assert levels(result.pixel_values[0]).shape == (3, 16, 24)
        assert (levels(result.pixel_values[0]) == torch.tensor([10, 20, 30])[:, None, None]).all()

    def test_batch_equals_single_images(self, processor, photo):
        others = [photo, photo.rotate(90), photo.convert("L")]
        batch = processor(others, return_tensors="pt").pixel_values
        singles = [processor(one, return_tensors="pt").pixel_values[0] for one in others]
        assert batch.shape == (3, 3, 32, 32)
        torch.testing.assert_close(batch, torch.stack(singles), rtol=0, atol=0)

    def test_array_layouts_and_dtypes_agree(self, processor, photo):
        array = np.asarray(photo)
        expected = processor(photo, return_tensors="pt").pixel_values
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        same = [
            array,
            array.transpose(2, 0, 1),
            array / 255,
            array.astype(np.int64),
            tensor,
            tensor.permute(1, 2, 0),
            tensor / 255,
            (array.astype(np.uint16) * 257),
            np.stack([array]),
            [array],
        ]
        for source in same:
            torch.testing.assert_close(processor(source, return_tensors="pt").pixel_values, expected, rtol=0, atol=0)

    def test_ambiguous_channels_follow_the_kind_or_the_argument(self):
        array = np.zeros((3, 5, 3), dtype=np.uint8)
        assert load_image(array).size == (5, 3)
        assert load_image(torch.from_numpy(array)).size == (3, 5)
        assert load_image(array, input_data_format="channels_first").size == (3, 5)

    def test_paths_are_read(self, processor, photo, tmp_path):
        photo.save(tmp_path / "photo.png")
        expected = processor(photo).pixel_values[0]
        np.testing.assert_array_equal(processor(tmp_path / "photo.png").pixel_values[0], expected)
        np.testing.assert_array_equal(processor([str(tmp_path / "photo.png")]).pixel_values[0], expected)

    def test_inputs_are_left_alone(self, processor):
        array = np.full((8, 8, 3), 0.5)
        processor(array)
        assert (array == 0.5).all()


class TestModes:
    @pytest.mark.parametrize("source", ["L", "1", "RGB", "P", "CMYK", "YCbCr", "HSV"])
    def test_opaque_mode_equals_pillow(self, photo, tmp_path, source):
        suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(source, "png")
        picture = photo.convert(source)
        if source != "HSV":  # no file format holds it
            picture.save(tmp_path / f"photo.{suffix}")
            with PIL.Image.open(tmp_path / f"photo.{suffix}") as opened:
                expected = opened.convert("RGB")
            picture = tmp_path / f"photo.{suffix}"
        else:
            expected = picture.convert("RGB")
        assert load_image(picture).mode == "RGB"
        np.testing.assert_array_equal(np.asarray(load_image(picture)), np.asarray(expected))

    @pytest.mark.parametrize("alpha, expected", [(0, (255, 255, 255)), (255, (200, 40, 0)), (51, (244, 212, 204))])
    def test_rgba_is_composited_on_white(self, tmp_path, alpha, expected):
        PIL.Image.new("RGBA", (4, 4), (200, 40, 0, alpha)).save(tmp_path / "picture.png")
        assert load_image(tmp_path / "picture.png").getpixel((0, 0)) == expected

    def test_grey_with_alpha_is_composited_on_white(self):
        assert load_image(PIL.Image.new("LA", (2, 2), (0, 0))).getpixel((0, 0)) == (255, 255, 255)

    def test_palette_transparency_becomes_white(self, tmp_path):
        picture = PIL.Image.new("P", (4, 4), 0)
        picture.putpalette([0, 0, 0, 250, 0, 0])
        picture.putpixel((1, 1), 1)
        for suffix, transparency in (("gif", 0), ("png", b"\x00\xff")):
            path = tmp_path / f"picture.{suffix}"
            picture.save(path, transparency=transparency)
            image = load_image(path)
            assert image.getpixel((0, 0)) == (255, 255, 255) and image.getpixel((1, 1)) == (250, 0, 0)

    def test_16_bit_grey_is_scaled_not_clipped(self, tmp_path):
        values = np.array([[0, 128, 257], [32768, 65406, 65535]], dtype=np.uint16)
        expected = [[0, 0, 1], [128, 254, 255]]  # round(value / 257)
        path = tmp_path / "picture.png"
        PIL.Image.fromarray(values).save(path)
        for source in (path, values, torch.from_numpy(values), PIL.Image.fromarray(values.astype(np.int32))):
            np.testing.assert_array_equal(np.asarray(load_image(source))[..., 0], expected)

    def test_exif_orientation_is_applied(self, photo, tmp_path):
        wide = photo.crop((0, 0, 512, 256))
        exif = PIL.Image.Exif()
        exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
        wide.save(tmp_path / "turned.jpg", exif=exif, quality=95)
        wide.save(tmp_path / "plain.jpg", quality=95)
        expected = load_image(tmp_path / "plain.jpg").transpose(PIL.Image.Transpose.ROTATE_270)
        assert load_image(tmp_path / "turned.jpg").size == (256, 512)
        np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "turned.jpg")), np.asarray(expected))

    def test_first_picture_of_an_mpo_file_is_read(self, tmp_path):
        first, second = PIL.Image.new("RGB", (8, 8), (90, 90, 90)), PIL.Image.new("RGB", (8, 8), (0, 0, 0))
        first.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[second])
        assert load_image(tmp_path / "phone.jpg").getpixel((4, 4)) == (90, 90, 90)

    def test_floats_round_half_up(self):
        assert load_image(np.array([[0.5, 0.999, 0.0]])).getpixel((0, 0)) == (128, 128, 128)
        assert load_image(np.array([[0.5, 0.999, 0.0]])).getpixel((1, 0)) == (255, 255, 255)

    def test_floats_that_rounding_left_outside_are_clipped(self):
        image = load_image(np.array([[1 + 1e-6, -1e-6, 0.0]], dtype=np.float32))
        assert [image.getpixel((x, 0))[0] for x in range(3)] == [255, 0, 0]
        with pytest.raises(ValueError, match=r"in \[0, 1\] for dtype float32"):
            load_image(np.array([[1.01, 0.0]], dtype=np.float32))


class TestBadInput:
    def test_file_errors_name_the_path_and_the_hint(self, photo, tmp_path):
        (tmp_path / "notes.png").write_text("not a picture")
        (tmp_path / "empty.png").touch()
        cases = {
            tmp_path / "missing.png": "existing image file.*missing.png.*Check the path",
            "data:image/png;base64," + "A" * 5000: r"existing image file.*data:image/png;base64,A+\.\.\.'",
            tmp_path: "image file, but got the folder.*Pass the files in it",
            tmp_path / "notes.png": "image file.*notes.png.*Pillow cannot read",
            tmp_path / "empty.png": "image file.*empty.png.*Pillow cannot read",
        }
        for source, message in cases.items():
            with pytest.raises(ValueError, match=f"`content` must be an {message}"):
                load_image(source, "content")

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp"])
    def test_truncated_file_raises(self, photo, tmp_path, suffix):
        path = tmp_path / f"photo.{suffix}"
        photo.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(ValueError, match=rf"`image` must be a.* image.*photo\.{suffix}"):
            load_image(path)

    def test_truncated_lazy_pil_image_raises(self, photo, tmp_path, processor):
        photo.save(tmp_path / "photo.jpg")
        (tmp_path / "photo.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:9000])
        with (
            PIL.Image.open(tmp_path / "photo.jpg") as lazy,
            pytest.raises(ValueError, match=r"`images\[1\]` must be a complete image.*truncated"),
        ):
            processor([photo, lazy])

    @pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
    def test_animation_raises(self, tmp_path, suffix):
        frames = [PIL.Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 100, 200)]
        frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match=rf"a still image.*moving\.{suffix}' with 3 frames.*Save the frame"):
            load_image(tmp_path / f"moving.{suffix}")

    @pytest.mark.parametrize("side", [10_000, 14_000])  # Pillow warns of the first and refuses the second
    @pytest.mark.filterwarnings("error")
    def test_decompression_bomb_raises(self, tmp_path, side):
        bomb = png_header_only(tmp_path / "bomb.png", side, side)
        with pytest.raises(ValueError, match="`image` must be an image of at most 89478485 pixels.*[Ss]hrink"):
            load_image(bomb)

    def test_pixel_limit_is_an_option_of_the_processor(self, photo):
        processor = StyleVARImageProcessor(max_image_pixels=512 * 512 - 1)
        with pytest.raises(ValueError, match="at most 262143 pixels, but got 512 x 512 = 262144"):
            processor(photo)
        assert processor(photo, max_image_pixels=512 * 512).pixel_values[0].shape == (3, 256, 256)

    def test_crop_of_a_thread_like_image_does_not_exhaust_memory(self):
        thread = PIL.Image.new("L", (1, 500_000))
        with pytest.raises(ValueError, match="resize_mode='center_crop'.*at most 89478485 pixels"):
            StyleVARImageProcessor(resize_mode="center_crop")(thread)

    @pytest.mark.parametrize(
        "source, message",
        [
            (np.full((4, 4, 3), 1.5), r"in \[0, 1\] for dtype float64, but got values in \[1.5, 1.5\]"),
            (-torch.ones(3, 4, 4), r"in \[0, 1\] for dtype float32, but got values in \[-1.0, -1.0\].*x / 2 \+ 0.5"),
            (np.full((4, 4, 3), 256), r"in \[0, 255\] for dtype int64"),
            (np.full((4, 4, 3), -1), r"in \[0, 255\] for dtype int64"),
            (np.full((4, 4, 3), np.nan), "free of NaN and infinity"),
            (torch.full((3, 4, 4), torch.inf), "free of NaN and infinity"),
            (np.zeros((4, 4, 3), dtype=complex), "an array of floats, integers or booleans, but got dtype complex128"),
            (np.zeros((5, 4, 2)), r"3 or 4 channels first or last, but got shape \(5, 4, 2\)"),
            (np.zeros(4), r"but got shape \(4,\)"),
            (np.zeros((1, 1, 4, 4, 3)), r"but got shape \(1, 1, 4, 4, 3\)"),
            (np.zeros((0, 4, 3)), "a non-empty image, but got height 0 and width 4"),
            (None, "an image: a path.*but got NoneType"),
            (b"bytes", "an image: a path.*but got bytes"),
            ({"path": "x.png"}, "an image: a path.*but got dict"),
            ([[1, 2], [3, 4]], "an image: a path.*but got list"),
            ([], "a non-empty list of images, but got an empty list"),
            (PIL.Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)), r"16-bit grey in \[0, 65535\]"),
            (PIL.Image.fromarray(np.full((2, 2), 2.0, dtype=np.float32)), r"in \[0, 1\] for dtype float32"),
        ],
    )
    def test_what_is_no_picture_raises(self, processor, source, message):
        with pytest.raises(ValueError, match=f"must be.*{message}"):
            processor(source)

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"resize_mode": "squash"}, "`resize_mode` must be one of"),
            ({"size": {"shortest_edge": 256}}, "`size` must be a positive height and width"),
            ({"size": {"height": 0, "width": 4}}, "`size` must be a positive height and width"),
            ({"max_image_pixels": 0}, "`max_image_pixels` must be positive"),
            ({"do_rescale": False}, "`do_rescale` must be True when `do_normalize` is"),
            ({"do_center_crop": True, "crop_size": 8}, "`do_center_crop` must be unset.*center_crop"),
            ({"do_convert_rgb": False}, "`do_convert_rgb` must be True"),
        ],
    )
    def test_options_that_do_not_fit_raise(self, processor, photo, options, message):
        with pytest.raises(ValueError, match=message):
            StyleVARImageProcessor(**options)
        with pytest.raises(ValueError, match=message):
            processor(photo, **options)

    def test_unequal_sizes_without_resizing_raise(self, processor, photo):
        with pytest.raises(ValueError, match="`images` must be of one size when `do_resize` is False"):
            processor([photo, photo.resize((8, 8))], do_resize=False, return_tensors="pt")


class TestUrls:
    @pytest.fixture
    def server(self, photo, tmp_path):
        photo.save(tmp_path / "photo.png")
        (tmp_path / "page.html").write_text("<html></html>")

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=tmp_path)

            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    @pytest.fixture(autouse=True)
    def online(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)

    def test_url_equals_the_file(self, server, photo):
        np.testing.assert_array_equal(np.asarray(load_image(f"{server}/photo.png")), np.asarray(photo))

    def test_missing_page_raises(self, server):
        with pytest.raises(ValueError, match="`style` must be a URL that can be downloaded.*gone.png.*404"):
            load_image(f"{server}/gone.png", "style")

    def test_page_that_is_no_image_raises(self, server):
        with pytest.raises(ValueError, match="`image` must be an image file.*page.html"):
            load_image(f"{server}/page.html")

    def test_no_network_raises(self):
        with pytest.raises(ValueError, match="a URL that can be downloaded.*Check the address and the network"):
            load_image("http://127.0.0.1:9/photo.png")


class TestPostprocess:
    def test_undoes_preprocess_exactly(self, photo):
        pixel_values = StyleVARImageProcessor(size=512)(photo, return_tensors="pt").pixel_values
        restored = StyleVARImageProcessor().postprocess(pixel_values)[0]
        np.testing.assert_array_equal(np.asarray(restored), np.asarray(photo))

    def test_rounds_half_up_and_clips(self, processor):
        values = torch.tensor([-1.2, -1.0, 0.0, 0.51 / 127.5 - 1, 0.49 / 127.5 - 1, 1.0, 7.0])
        pixel_values = values.expand(1, 3, 1, 7)
        result = np.asarray(processor.postprocess(pixel_values)[0])[0, :, 0]
        np.testing.assert_array_equal(result, [0, 0, 128, 1, 0, 255, 255])

    def test_output_types_hold_the_same_picture(self, processor, photo):
        pixel_values = processor([photo, photo.rotate(180)], return_tensors="pt").pixel_values
        pil = processor.postprocess(pixel_values, "pil")
        array, tensor = processor.postprocess(pixel_values, "np"), processor.postprocess(pixel_values, "pt")
        assert array.shape == (2, 32, 32, 3) and array.dtype == np.float32
        assert tensor.shape == (2, 3, 32, 32) and tensor.dtype == torch.float32
        for i in range(2):
            np.testing.assert_allclose(array[i], np.asarray(pil[i]) / 255, atol=1e-6)
            np.testing.assert_array_equal(tensor[i].permute(1, 2, 0), array[i])

    def test_sizes_give_lists_of_that_size(self, processor):
        pixel_values = torch.zeros(2, 3, 32, 32)
        sizes = [(20, 50), (60, 10)]
        assert [image.size for image in processor.postprocess(pixel_values, target_sizes=sizes)] == [
            (50, 20),
            (10, 60),
        ]
        assert [image.size for image in processor.postprocess(pixel_values, target_sizes=torch.tensor(sizes))] == [
            (50, 20),
            (10, 60),
        ]
        assert [a.shape for a in processor.postprocess(pixel_values, "np", sizes)] == [(20, 50, 3), (60, 10, 3)]
        assert [t.shape for t in processor.postprocess(pixel_values, "pt", sizes)] == [(3, 20, 50), (3, 60, 10)]
        assert processor.postprocess(pixel_values, output_size=(7, 9))[0].size == (9, 7)

    @pytest.mark.parametrize("size", [(512, 300), (200, 512), (401, 399)])
    def test_pad_is_cut_off_again(self, photo, size):
        processor = StyleVARImageProcessor(size=256, resize_mode="pad")
        picture = photo.crop((0, 0, *size)).resize(size)
        pixel_values = processor(picture, return_tensors="pt").pixel_values
        restored = processor.postprocess(pixel_values, target_sizes=[(size[1], size[0])])[0]
        assert restored.size == size
        difference = np.abs(np.asarray(restored, dtype=float) - np.asarray(picture))
        assert difference.mean() < 6  # a shift by the padding, or stretching, gives 20 and more

    def test_pad_with_output_size_leaves_no_margin(self):
        processor = StyleVARImageProcessor(size=32, resize_mode="pad")
        pixel_values = torch.full((1, 3, 32, 32), -1.0)
        pixel_values[..., 8:24, :] = 1.0
        result = processor.postprocess(pixel_values, target_sizes=[(50, 100)], output_size=(10, 10))[0]
        assert (np.asarray(result) == 255).all()

    def test_center_crop_gives_the_part_that_was_kept(self, photo):
        processor = StyleVARImageProcessor(size=256, resize_mode="center_crop")
        pixel_values = processor(photo.crop((0, 0, 512, 300)), return_tensors="pt").pixel_values
        restored = processor.postprocess(pixel_values, target_sizes=[(300, 512)])[0]
        assert restored.size == (300, 300)
        expected = np.asarray(photo.crop((106, 0, 406, 300)), dtype=float)
        assert np.abs(np.asarray(restored) - expected).mean() < 6

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"pixel_values": torch.zeros(3, 8, 8)}, r"`pixel_values` must be of shape \(batch, 3, height, width\)"),
            ({"pixel_values": torch.full((1, 3, 8, 8), torch.nan)}, "`pixel_values` must be free of NaN"),
            ({"pixel_values": np.zeros((1, 3, 8, 8))}, "`pixel_values` must be a floating-point tensor.*ndarray"),
            ({"pixel_values": torch.zeros(1, 3, 8, 8).byte()}, "but got a tensor of torch.uint8"),
            ({"output_type": "jpg"}, "`output_type` must be one of"),
            ({"target_sizes": [(4, 4), (4, 4)]}, r"`target_sizes` must be one size per image \(1\), but got 2"),
            ({"target_sizes": [(4, 0)]}, r"`target_sizes` must be a pair \(height, width\) of positive integers"),
            ({"output_size": (4.5, 4)}, "`output_size` must be a pair"),
            ({"output_size": 4}, "`output_size` must be a pair"),
        ],
    )
    def test_arguments_that_do_not_fit_raise(self, processor, arguments, message):
        with pytest.raises(ValueError, match=message):
            processor.postprocess(**{"pixel_values": torch.zeros(1, 3, 8, 8), **arguments})


class TestSaving:
    def test_round_trip_keeps_every_option(self, photo, tmp_path):
        processor = StyleVARImageProcessor(size=48, resize_mode="pad", max_image_pixels=300_000)
        processor.save_pretrained(tmp_path)
        loaded = StyleVARImageProcessor.from_pretrained(tmp_path)
        assert loaded.to_dict() == processor.to_dict()
        assert (tmp_path / "preprocessor_config.json").exists()
        torch.testing.assert_close(
            loaded(photo, return_tensors="pt").pixel_values, processor(photo, return_tensors="pt").pixel_values
        )

    def test_options_can_be_overridden_at_load(self, tmp_path):
        StyleVARImageProcessor().save_pretrained(tmp_path)
        assert StyleVARImageProcessor.from_pretrained(tmp_path, resize_mode="center_crop").resize_mode == "center_crop"
