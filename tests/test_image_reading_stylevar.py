# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures as the world stores them: profiles, rotations, depths, and metadata that nobody can read."""

import io
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.TiffImagePlugin
import pytest

from stylevar_hf import image_reading_stylevar
from stylevar_hf.image_processing_stylevar import load_image
from stylevar_hf.image_reading_stylevar import UnusableImageError, read_bytes


PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
BASE = PIL.Image.fromarray(PIXELS)
TURNED = np.rot90(PIXELS, -1)  # what orientation 6 asks for
EXIF6 = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def encoded(image: PIL.Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(read_bytes(data, "picture", "a file", 10**7)).astype(int)


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(*chunks: bytes, at_end: bool = False) -> bytes:
    data = encoded(BASE, "PNG")
    place = len(data) - 12 if at_end else 33
    return data[:place] + b"".join(chunks) + data[place:]


def raw_png(values: np.ndarray, depth: int, color_type: int, *chunks: bytes) -> bytes:
    rows = [b"\0" + bytes(row) for row in values]
    header = struct.pack(">IIBBBBB", 8, len(rows), depth, color_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def entry(tag: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">HHI", tag, kind, 1) + value


def exif(*entries: bytes) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)


def patched_tiff(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF file with another number for a tag."""
    offset = struct.unpack_from("<I", data, 4)[0]
    data = bytearray(data)
    for place in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", data, offset)[0], 12):
        if struct.unpack_from("<H", data, place)[0] == tag:
            struct.pack_into("<HII", data, place + 2, 4, 1, value)
    return bytes(data)


def wide_profile() -> bytes:
    """A matrix profile whose primaries are not those of sRGB: red and green swapped."""
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"#XYZ").replace(b"gXYZ", b"rXYZ").replace(b"#XYZ", b"gXYZ")


def managed(image: PIL.Image.Image, profile: bytes) -> np.ndarray:
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = PIL.ImageCms.profileToProfile(image, source, PIL.ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(converted).astype(int)


class TestProfiles:
    def test_colors_become_srgb(self):
        profile = wide_profile()
        expected = managed(BASE, profile)
        assert np.abs(expected - PIXELS).mean() > 20
        for format in ("PNG", "TIFF"):
            assert np.array_equal(decoded(encoded(BASE, format, icc_profile=profile)), expected)
        assert np.array_equal(decoded(encoded(BASE.quantize(256), "PNG", icc_profile=profile)), expected)

    def test_image_that_is_decoded_already(self):
        image = BASE.copy()
        image.info["icc_profile"] = wide_profile()
        result = load_image(image)
        assert np.array_equal(result, managed(BASE, wide_profile()))
        assert result.info == {}
        assert np.array_equal(load_image(result), result)

    def test_transparency_comes_after(self):
        image = BASE.copy()
        image.putalpha(0)
        assert (decoded(encoded(image, "PNG", icc_profile=wide_profile())) == 255).all()

    def test_profile_of_srgb_changes_nothing(self):
        profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
        assert np.array_equal(decoded(encoded(BASE, "PNG", icc_profile=profile)), PIXELS)

    @pytest.mark.parametrize("profile", [b"rubbish" * 50, "LAB"])
    def test_profile_that_cannot_be_used_is_none(self, profile):
        if profile == "LAB":
            profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB")).tobytes()
        assert np.array_equal(decoded(encoded(BASE, "PNG", icc_profile=profile)), PIXELS)

    def test_profile_of_two_megabytes_in_a_png(self):
        profile = wide_profile() + bytes(2_000_000)
        profile = struct.pack(">I", len(profile)) + profile[4:]
        data = png(chunk(b"iCCP", b"name\0\0" + zlib.compress(profile)))
        assert np.array_equal(decoded(data), managed(BASE, wide_profile()))

    def test_cielab(self):
        lab = PIL.ImageCms.profileToProfile(
            BASE, PIL.ImageCms.createProfile("sRGB"), PIL.ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert np.abs(decoded(encoded(lab, "TIFF")) - PIXELS).mean() < 6


class TestMetadata:
    @pytest.mark.parametrize(
        "chunks",
        [
            [chunk(b"eXIf", b"rubbish")],
            [chunk(b"eXIf", EXIF6, checksum=1)],
            [chunk(b"tEXt", b"key\0text", checksum=1)],
            [chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2_000_000)))],
            [chunk(b"zTXt", b"%d\0\0" % i + zlib.compress(bytes(900_000))) for i in range(80)],
            [chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(bytes(2_000_000)))],
            [chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(2_000_000)))],
            [chunk(b"iCCP", b"name\0\7abc")],
            [chunk(b"pHYs", b"\0")],
            [chunk(b"cHRM", b"\0\0\0")],
        ],
    )
    def test_chunks_never_refuse_a_png(self, chunks):
        assert np.array_equal(decoded(png(*chunks)), PIXELS)

    def test_orientation_beside_a_text_that_is_too_long(self):
        text = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2_000_000)))
        for at_end in (False, True):
            assert np.array_equal(decoded(png(text, chunk(b"eXIf", EXIF6), at_end=at_end)), TURNED)

    @pytest.mark.parametrize(
        ("block", "turned"),
        [
            (b"Exif\0\0rubbish", False),
            (b"Exif\0\0", False),
            (exif(entry(256, 11, struct.pack(">f", 3.5)), entry(274, 3, b"\0\6\0\0")), True),
            (exif(entry(274, 3, b"\0\6\0\0"), entry(0x8769, 4, b"\0\1\xff\xff")), True),
            (exif(entry(274, 3, b"\0\6\0\0"), entry(0x010F, 99, b"abcd")), True),
            (exif(entry(274, 4, b"\0\0\0\6")), True),
            (exif(entry(274, 11, struct.pack(">f", 6.0))), True),
            (exif(entry(274, 11, struct.pack(">f", 6.5))), False),
            (exif(entry(274, 3, b"\0\x63\0\0")), False),
            (exif(entry(274, 2, b"6\0\0\0")), False),
        ],
    )
    def test_exif_of_a_jpeg(self, block, turned):
        data = encoded(BASE, "JPEG", quality=95, subsampling=0, exif=block)
        plain = np.asarray(PIL.Image.open(io.BytesIO(encoded(BASE, "JPEG", quality=95, subsampling=0))))
        assert np.array_equal(decoded(data), np.rot90(plain, -1) if turned else plain)

    @pytest.mark.parametrize(
        "segment", [b"\xff\xee\0\x07Adobe", b"\xff\xe0\0\x07JFIF\0", b"\xff\xe2\0\x0bMPF\0rubbi", b"\xff\xfe\0\x02"]
    )
    def test_segments_never_refuse_a_jpeg(self, segment):
        data = encoded(BASE, "JPEG")
        assert np.array_equal(decoded(data[:2] + segment + data[2:]), decoded(data))

    @pytest.mark.parametrize("offset", [1, 8, 999_999])
    def test_exif_pointer_of_a_tiff(self, offset):
        block = PIL.Image.Exif()
        block[274] = 6
        block.get_ifd(0x8769)[0x9003] = "2026"
        assert np.array_equal(decoded(patched_tiff(encoded(BASE, "TIFF", exif=block), 0x8769, offset)), TURNED)

    def test_truncated_stays_refused(self):
        for format in ("PNG", "JPEG", "TIFF", "WEBP"):
            data = encoded(BASE, format)
            with pytest.raises(UnusableImageError) as caught:
                decoded(data[: len(data) // 2])
            assert caught.value.kind == "damaged"


class TestTiff:
    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
    def test_turned_is_the_same_however_it_was_opened(self, tmp_path, orientation, mode):
        tags = PIL.TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        image = BASE.convert(mode)
        path = tmp_path / "turned.tif"
        image.save(path, tiffinfo=tags)
        turn = {5: PIL.Image.Transpose.TRANSPOSE, 6: PIL.Image.Transpose.ROTATE_270}
        turn.update({7: PIL.Image.Transpose.TRANSVERSE, 8: PIL.Image.Transpose.ROTATE_90})
        expected = np.asarray(image.convert("RGB").transpose(turn[orientation]))
        assert np.array_equal(load_image(path), expected)
        assert np.array_equal(load_image(PIL.Image.open(path)), expected)
        loaded = PIL.Image.open(path)
        loaded.load()
        assert np.array_equal(load_image(loaded), expected)

    def test_white_is_zero(self):
        values = np.random.default_rng(1).integers(0, 65536, (8, 8), dtype=np.uint16)
        data = encoded(PIL.Image.fromarray(values), "TIFF")
        assert np.abs(decoded(patched_tiff(data, 262, 0)) + decoded(data) - 255).max() <= 1

    @pytest.mark.parametrize("kinds", [(0, 1), (1, 0), (0, 4)])
    def test_thumbnail_is_no_frame(self, kinds):
        buffer = io.BytesIO()
        with PIL.TiffImagePlugin.AppendingTiffWriter(buffer, True) as file:
            for kind in kinds:
                tags = PIL.TiffImagePlugin.ImageFileDirectory_v2()
                tags[254] = kind
                (BASE if kind == 0 else BASE.resize((3, 4))).save(file, "TIFF", tiffinfo=tags)
                file.newFrame()
        assert np.array_equal(decoded(buffer.getvalue()), PIXELS)

    def test_two_pages_are_refused(self):
        with pytest.raises(UnusableImageError, match="2 frames"):
            decoded(encoded(BASE, "TIFF", save_all=True, append_images=[BASE]))


class TestTransparentValue:
    def test_of_16_bit_grey(self):
        values = np.random.default_rng(2).integers(0, 65536, (4, 8)).astype(">u2")
        values[1] = 1234
        data = raw_png(values.view(np.uint8).reshape(4, 16), 16, 0, chunk(b"tRNS", struct.pack(">H", 1234)))
        expected = (values.astype(int) * 255 + 32767) // 65535
        expected[1] = 255
        assert np.array_equal(decoded(data)[..., 0], expected)

    def test_of_4_bit_grey(self):
        packed = np.array([[0x01, 0x23, 0x45, 0x67]], dtype=np.uint8)
        data = raw_png(packed, 4, 0, chunk(b"tRNS", struct.pack(">H", 7)))
        assert decoded(data)[0, :, 0].tolist() == [0, 17, 34, 51, 68, 85, 102, 255]

    def test_of_16_bit_rgb(self):
        values = np.zeros((1, 8, 3), dtype=">u2")
        values[0, 3] = (500, 40000, 3)
        data = raw_png(values.view(np.uint8).reshape(1, 48), 16, 2, chunk(b"tRNS", struct.pack(">HHH", 500, 40000, 3)))
        assert decoded(data)[0, 3].tolist() == [255, 255, 255]


class _Slow(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.stopped.wait(0 if self.path == "/endless" else 0.02):
                self.wfile.write(bytes(2**16 if self.path == "/endless" else 1))
        except OSError:  # the reader has left
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def slow_server(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.daemon_threads, server.stopped = True, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.stopped.set()
    server.shutdown()
    server.server_close()


class TestUrlLimits:
    def test_endless_body(self, slow_server, monkeypatch):
        monkeypatch.setattr(image_reading_stylevar, "URL_MAX_BYTES", 2**20)
        with pytest.raises(ValueError, match="more than 1 MiB"):
            load_image(f"{slow_server}/endless")

    def test_body_that_drips(self, slow_server, monkeypatch):
        monkeypatch.setattr(image_reading_stylevar, "URL_TIMEOUT_SECONDS", 0.3)
        start = time.monotonic()
        with pytest.raises(ValueError, match="no end after 0.3 s"):
            load_image(f"{slow_server}/drip")
        assert time.monotonic() - start < 3
