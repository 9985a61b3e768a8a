# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What the file of a picture says about it, and the file without what it says.

Metadata are read twice only if they have to be: Pillow refuses a whole picture for a text of 2 MB, a checksum or a
resolution of an odd type. [`without_metadata`] leaves the picture alone in the file, for a second try.
"""

import struct
import zlib
from dataclasses import dataclass

import PIL.Image
import PIL.ImageFile


_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Beside the critical chunks: transparency, and the frames of an animation.
_PNG_PICTURE_CHUNKS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
_MAX_PROFILE_BYTES = 64 * 2**20
# JFIF and Adobe's marker say how the samples of a JPEG are colours. With the least bytes that they have.
_JPEG_PICTURE_SEGMENTS = {0xE0: 14, 0xEE: 12}

_WIDTH, _COMPRESSION, _PHOTOMETRIC, _BITS, _STRIPS, _TILES, _PROFILE = 256, 259, 262, 258, 273, 324, 34675
_NEW_SUBFILE, _OLD_SUBFILE, _THUMBNAIL_JPEG = 254, 255, 513
# The tags that the decoders need: sizes, layout, compression, colours.
_TIFF_PICTURE_TAGS = frozenset(
    (*range(254, 260), 262, 266, 273, 274, *range(277, 280), 284, 292, 293, 317, *range(320, 326))
    + (332, 338, 339, 347, *range(512, 522), 529, 530, 531, 532, _PROFILE)
)
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MAX_TIFF_PAGES = 1000


@dataclass(frozen=True)
class Metadata:
    """
    What is needed to see a picture as it was meant.

    Args:
        format (`str`, *optional*): Pillow's name of the file's format; `None` for a picture that has no file.
        orientation (`int`): EXIF's, 1 to 8; 1 where nothing says so.
        profile (`bytes`, *optional*): The ICC profile.
        num_frames (`int`): Pictures in the file, less thumbnails and second views.
        white_is_zero (`bool`): Whether 16-bit or floating-point grey is stored as a negative.
        bits_per_sample (`int`): Of grey of more than 8 bits.
    """

    format: str | None = None
    orientation: int = 1
    profile: bytes | None = None
    num_frames: int = 1
    white_is_zero: bool = False
    bits_per_sample: int = 16


def metadata_of(image: PIL.Image.Image) -> Metadata:
    """What a PIL image that may be decoded already says of itself."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits = tags.get(_BITS, (16,))
    return Metadata(
        format=image.format,
        orientation=_orientation(image),
        profile=_profile(image),
        num_frames=1 if image.format == "MPO" else getattr(image, "n_frames", 1),
        white_is_zero=tags.get(_PHOTOMETRIC) == 0,
        bits_per_sample=bits[0] if isinstance(bits, tuple) and bits and bits[0] in (12, 16) else 16,
    )


def read_metadata(image: PIL.Image.Image, data: bytes) -> Metadata:
    """
    What the file of an opened image says about it. An image in a TIFF file whose first page is a thumbnail goes to
    the page that is none; transparent values are brought to the range of the decoded ones.
    """
    if image.format == "TIFF":
        pages = _tiff_pages(data)
        pictures = [index for index, page in enumerate(pages) if not _is_thumbnail(page)] or [0]
        if pictures[0] != image.tell():
            image.seek(pictures[0])
        page = pages[pictures[0]] if pages else {}
        return Metadata(
            format="TIFF",
            profile=_profile(image),
            num_frames=len(pictures),
            white_is_zero=page.get(_PHOTOMETRIC) == 0,
            bits_per_sample=12 if page.get(_BITS) == 12 else 16,
        )
    if image.format == "PNG":
        _scale_transparency(image, bits=data[24])
        image.load()  # chunks may follow the picture; where they are broken, all are read again
    return metadata_of(image)


def without_metadata(data: bytes) -> tuple[bytes, Metadata] | None:
    """
    A PNG, JPEG or TIFF file with nothing in it but the picture, and what could be read of the rest.

    Args:
        data (`bytes`): The file.

    Returns:
        `tuple[bytes, Metadata]`, or `None` if it is a file of another kind or not even its parts can be told apart.
    """
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _plain_png(data)
        if data.startswith(b"\xff\xd8"):
            return _plain_jpeg(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _plain_tiff(data)
    except (struct.error, IndexError, KeyError):
        pass
    return None


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return _as_orientation(image.getexif().get(_ORIENTATION))
    except Exception:  # rubbish, of which Pillow's parser raises whatever it trips over
        return 1


def _as_orientation(value: object) -> int:
    value = value[0] if isinstance(value, bytes) and len(value) == 1 else value
    try:
        return int(value) if 1 <= value <= 8 and int(value) == value else 1
    except (TypeError, ValueError):
        return 1


def _profile(image: PIL.Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    profile = profile[0] if isinstance(profile, tuple) and len(profile) == 1 else profile
    return profile if isinstance(profile, bytes) and profile else None


def _read_exif(exif: bytes) -> int:
    """The orientation that an EXIF block names."""
    try:
        parsed = PIL.Image.Exif()
        parsed.load(exif)
        return _as_orientation(parsed.get(_ORIENTATION))
    except Exception:  # as above
        return 1


# PNG


def _scale_transparency(image: PIL.Image.Image, bits: int) -> None:
    """Pillow decodes every depth but that of grey to 8 bits, and leaves the transparent value as the file has it."""
    transparent = image.info.get("transparency")
    if image.mode == "L" and bits in (2, 4) and isinstance(transparent, int):
        image.info["transparency"] = min(transparent, 2**bits - 1) * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits == 16 and isinstance(transparent, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in transparent)


def _plain_png(data: bytes) -> tuple[bytes, Metadata]:
    parts, position, orientation, profile, num_frames = [_PNG_SIGNATURE], 8, 1, None, 1
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        body = data[position + 8 : end - 4]
        is_critical = not kind[0] & 0x20
        if is_critical or kind in _PNG_PICTURE_CHUNKS:
            parts.append(data[position:end])
        elif zlib.crc32(kind + body) != int.from_bytes(data[end - 4 : end], "big"):
            pass  # a damaged chunk says nothing
        elif kind == b"eXIf":
            orientation = _read_exif(body)
        elif kind == b"iCCP":
            profile = _inflated(body[body.index(b"\0") + 2 :]) if b"\0" in body else None
        position = end
        if kind == b"acTL" and length >= 4:
            num_frames = max(1, struct.unpack(">I", body[:4])[0])
        if kind == b"IEND":
            break
    return b"".join(parts), Metadata("PNG", orientation, profile, num_frames)


def _inflated(packed: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, _MAX_PROFILE_BYTES) or None
    except zlib.error:
        return None


# JPEG


def _plain_jpeg(data: bytes) -> tuple[bytes, Metadata] | None:
    parts, position, orientation, profiles = [b"\xff\xd8"], 2, 1, {}
    while True:
        if data[position] != 0xFF:
            return None
        while data[position + 1] == 0xFF:  # filling
            position += 1
        marker = data[position + 1]
        if marker == 0xDA:  # the picture begins
            parts.append(data[position:])
            break
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : end]
        is_comment = marker == 0xFE or 0xE0 <= marker <= 0xEF
        if not is_comment or len(body) >= _JPEG_PICTURE_SEGMENTS.get(marker, len(data)):
            parts.append(data[position:end])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _read_exif(body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profiles[body[12]] = body[14:]
        position = end
    profile = b"".join(profiles[number] for number in sorted(profiles)) or None
    return b"".join(parts), Metadata("JPEG", orientation, profile)


# TIFF


def _tiff_pages(data: bytes) -> list[dict[int, int]]:
    """The first number of every tag of whole numbers, page by page; as far as they can be read."""
    pages: list[dict[int, int]] = []
    try:
        order, big, offset = _tiff_header(data)
        seen = set()
        while offset and offset not in seen and len(pages) < _MAX_TIFF_PAGES:
            seen.add(offset)
            entries, offset = _tiff_entries(data, order, big, offset)
            pages.append({tag: value for tag, value, _ in entries if value is not None})
    except (struct.error, IndexError, KeyError):
        pass
    return pages


def _tiff_header(data: bytes) -> tuple[str, bool, int]:
    """Byte order, whether offsets have 8 bytes, and where the first page is."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    return order, big, struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]


def _tiff_entries(data: bytes, order: str, big: bool, offset: int) -> tuple[list[tuple[int, int | None, bytes]], int]:
    """The entries of a page as (tag, first whole number, the entry itself), and where the next page is."""
    count_format, entry_size, field = (f"{order}Q", 20, 8) if big else (f"{order}H", 12, 4)
    count = struct.unpack_from(count_format, data, offset)[0]
    offset += struct.calcsize(count_format)
    entries = []
    for _ in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", data, offset)
        number = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, offset + 4)[0]
        at = offset + 4 + field
        if _TIFF_SIZES.get(kind, 1) * number > field:
            at = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, at)[0]
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
        fits = letter is not None and number and at + _TIFF_SIZES[kind] <= len(data)
        value = struct.unpack_from(f"{order}{letter}", data, at)[0] if fits else None
        entries.append((tag, value, data[offset : offset + entry_size]))
        offset += entry_size
    return entries, struct.unpack_from(f"{order}Q" if big else f"{order}I", data, offset)[0]


def _is_thumbnail(page: dict[int, int]) -> bool:
    """Whether a page is a smaller copy or a mask of another one."""
    is_smaller = page.get(_NEW_SUBFILE, 0) & 0b101 or page.get(_OLD_SUBFILE) == 2
    is_exif_thumbnail = _THUMBNAIL_JPEG in page and _STRIPS not in page and _TILES not in page
    return bool(is_smaller or is_exif_thumbnail or _WIDTH not in page)


def _plain_tiff(data: bytes) -> tuple[bytes, Metadata] | None:
    """The same file, of whose first picture only the tags are named that say how to decode it."""
    pages = _tiff_pages(data)
    pictures = [index for index, page in enumerate(pages) if not _is_thumbnail(page)]
    order, _, offset = _tiff_header(data)
    for _ in range(pictures[0] if pictures else 0):
        offset = _tiff_entries(data, order, False, offset)[1]
    entries, _ = _tiff_entries(data, order, False, offset)
    kept = [entry for tag, value, entry in entries if tag in _TIFF_PICTURE_TAGS and _is_whole(tag, value)]
    page = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + struct.pack(f"{order}I", 0)
    # In the place of the page: a file that lacks its end must go on lacking it.
    plain = data[:4] + struct.pack(f"{order}I", offset) + data[8:offset] + page + data[offset + len(page) :]
    return plain, Metadata("TIFF", num_frames=max(1, len(pictures)))


def _is_whole(tag: int, value: int | None) -> bool:
    return tag != _ORIENTATION or (value is not None and 1 <= value <= 8)


__all__ = ["Metadata", "metadata_of", "read_metadata", "without_metadata"]
