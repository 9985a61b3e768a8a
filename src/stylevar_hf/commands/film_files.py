# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Films, frame by frame: videos with PyAV (`stylevar-hf[video]`), animated GIF and WebP with Pillow. Times, frame rate,
colour tags, sound and the way up are kept; no more than a few frames are in memory.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._common.files import replacing
from .base import one_line


if TYPE_CHECKING:
    import PIL.Image


# Encoder and its options by suffix.
CODECS = {
    ".mp4": ("libx264", {"crf": "18"}),
    ".m4v": ("libx264", {"crf": "18"}),
    ".mov": ("libx264", {"crf": "18"}),
    ".mkv": ("libx264", {"crf": "18"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b:v": "0"}),
    ".avi": ("mpeg4", {"qscale": "3"}),
}
ANIMATIONS = (".gif", ".webp")
DEFAULT_DURATION = Fraction(1, 10)  # of a frame of an animation that does not say
_SWSCALE_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # from the tag of a stream to the name of swscale
_UNSPECIFIED = 2


def is_film(location: str) -> bool:
    """Whether a content is a film: a video by its suffix, or an animation with more than one frame."""
    path = Path(location)
    suffix = path.suffix.lower()
    if suffix in CODECS:
        return not location.startswith(("http://", "https://"))
    if suffix not in ANIMATIONS or not path.is_file():
        return False
    from PIL import Image

    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # whatever Pillow trips over, the reader of pictures says better
        return False


@dataclass(frozen=True)
class Film:
    """
    A film to read.

    Args:
        path (`pathlib.Path`):
            The file.
        num_frames (`int`):
            How many frames its header promises; 0 if it does not say.
        duration (`fractions.Fraction`):
            Of a frame, in seconds, on average.
    """

    path: Path
    num_frames: int
    duration: Fraction

    @property
    def is_animation(self) -> bool:
        return self.path.suffix.lower() in ANIMATIONS

    def frames(self) -> Iterator[tuple["PIL.Image.Image", Fraction]]:
        """Each frame, upright, and when it is shown, in seconds."""
        return _animation_frames(self.path) if self.is_animation else _video_frames(self.path, self.duration)


def open_film(location: str) -> Film:
    """
    The film in a file.

    Raises:
        ValueError: If the file is missing, damaged, or holds no frame, or PyAV is missing.
    """
    path = Path(location)
    if not path.is_file():
        raise ValueError(f"`CONTENT` must be an existing file, but got {location!r}. Check the path.")
    if path.suffix.lower() in ANIMATIONS:
        from PIL import Image

        with Image.open(path) as image:
            duration = Fraction(image.info.get("duration") or 0, 1000) or DEFAULT_DURATION
            return Film(path, image.n_frames, duration)
    av = _import_av()
    with _explained(av, location), av.open(location) as container:
        if not container.streams.video:
            raise ValueError(f"`CONTENT` must hold a video, but got {location!r} without one. Check the file.")
        stream = container.streams.video[0]
        if next(container.decode(stream), None) is None:
            raise ValueError(f"`CONTENT` must hold at least one frame, but got {location!r} without. Check the file.")
        rate = stream.average_rate or stream.guessed_rate or 25
        return Film(path, stream.frames, 1 / Fraction(rate))


def check_film_output(film: Film, output: Path) -> None:
    """Raise `ValueError` unless a film of this suffix can be written here, with the sound of the other."""
    suffix = output.suffix.lower()
    if suffix in ANIMATIONS:
        return
    if suffix not in CODECS:
        rule = f"end in one of {', '.join([*CODECS, *ANIMATIONS])}"
        raise ValueError(f"`--output` must {rule} for a film, but got {str(output)!r}. Use .mp4.")
    av = _import_av()
    codec, _ = CODECS[suffix]
    try:
        av.codec.Codec(codec, "w")
    except Exception as error:  # PyAV's exceptions have moved between versions
        raise ValueError(
            f"`--output` must have a suffix whose codec is installed, but {suffix} needs {codec!r}. Use another "
            "suffix, or a build of PyAV that has it."
        ) from error


def write_film(film: Film, output: Path, images: Iterable["PIL.Image.Image"], times: Sequence[Fraction]) -> None:
    """
    Writes a film beside `output` first: no half-written one ever carries its name.

    Args:
        film ([`Film`]):
            The film that it was painted from: its sound and tags are kept.
        output (`pathlib.Path`):
            The file.
        images (iterable of `PIL.Image.Image`):
            The frames.
        times (sequence of `fractions.Fraction`):
            When each of them is shown, in seconds.
    """
    write = _write_animation if output.suffix.lower() in ANIMATIONS else _write_video
    with replacing(output, suffix=output.suffix) as temporary:
        write(film, temporary, images, times)


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ValueError(
            "Videos need PyAV, which is not installed. Run `pip install 'stylevar-hf[video]'`."
        ) from error
    return av


@contextlib.contextmanager
def _explained(av: ModuleType, location: str) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise ValueError(
            f"`CONTENT` must be a film that can be decoded, but got {location!r}. Copy it again, or convert it "
            f"({one_line(error)})."
        ) from error


def _animation_frames(path: Path) -> Iterator[tuple["PIL.Image.Image", Fraction]]:
    from PIL import Image, ImageSequence

    time = Fraction(0)
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            canvas = Image.new("RGBA", frame.size, "white")
            canvas.alpha_composite(frame.convert("RGBA"))
            yield canvas.convert("RGB"), time
            time += Fraction(frame.info.get("duration") or 0, 1000) or DEFAULT_DURATION


def _video_frames(path: Path, duration: Fraction) -> Iterator[tuple["PIL.Image.Image", Fraction]]:
    from PIL import Image

    av = _import_av()
    with _explained(av, str(path)), av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        last = None
        for frame in container.decode(stream):
            image = Image.fromarray(frame.reformat(format="rgb24").to_ndarray())
            if frame.rotation:
                image = image.rotate(frame.rotation, expand=True)
            time = None if frame.pts is None else frame.pts * frame.time_base
            if time is None or (last is not None and time <= last):
                time = Fraction(0) if last is None else last + duration
            last = time
            yield image, time


def _write_animation(film: Film, path: Path, images: Iterable["PIL.Image.Image"], times: Sequence[Fraction]) -> None:
    ends = [*times[1:], times[-1] + film.duration]
    durations = [max(1, round(1000 * (end - start))) for start, end in zip(times, ends, strict=True)]
    frames = iter(images)
    options = {"lossless": False, "quality": 90} if path.suffix.lower() == ".webp" else {"optimize": False}
    next(frames).save(path, save_all=True, append_images=frames, duration=durations, loop=0, **options)


def _write_video(film: Film, path: Path, images: Iterable["PIL.Image.Image"], times: Sequence[Fraction]) -> None:
    av = _import_av()
    codec, options = CODECS[path.suffix.lower()]
    with contextlib.ExitStack() as stack:
        source = None if film.is_animation else stack.enter_context(av.open(str(film.path)))
        out = stack.enter_context(av.open(str(path), "w"))
        stream, sound, waiting = None, iter(()), None
        for image, time in zip(images, times, strict=True):
            if stream is None:
                stream = _add_video(out, codec, options, film, source, image.size)
                sound = _sound(out, source)
                waiting = next(sound, None)
            while waiting is not None and waiting[0] <= time:
                out.mux(waiting[1])
                waiting = next(sound, None)
            out.mux(stream.encode(_to_frame(av, image, stream, time)))
        out.mux(stream.encode())
        while waiting is not None:
            out.mux(waiting[1])
            waiting = next(sound, None)


def _add_video(out: Any, codec: str, options: dict[str, str], film: Film, source: Any, size: tuple[int, int]) -> Any:
    """The stream to write: as large as the frames less an odd row or column, with the tags of the source."""
    stream = out.add_stream(codec, rate=(1 / film.duration).limit_denominator(100_000), options=options)
    stream.width, stream.height = (side - side % 2 for side in size)
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, 1000) if source is None else source.streams.video[0].time_base
    if source is not None:
        tags = source.streams.video[0].codec_context
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            if getattr(tags, name) not in (0, _UNSPECIFIED) or name == "color_range":
                setattr(context, name, getattr(tags, name))
        for key, value in source.metadata.items():
            out.metadata[key] = value
    return stream


def _to_frame(av: ModuleType, image: "PIL.Image.Image", stream: Any, time: Fraction) -> Any:
    context = stream.codec_context
    frame = av.VideoFrame.from_image(image.crop((0, 0, stream.width, stream.height)))
    full = {"dst_color_range": 2} if context.color_range == 2 else {}
    frame = frame.reformat(format="yuv420p", dst_colorspace=_SWSCALE_MATRICES.get(context.colorspace), **full)
    frame.time_base = context.time_base
    frame.pts = round(time / context.time_base)
    return frame


def _sound(out: Any, source: Any) -> Iterator[tuple[Fraction, Any]]:
    """The packets of the source's sound with their times, for streams added to `out` as they are."""
    if source is None or not source.streams.audio:
        return iter(())
    copies = {stream.index: out.add_stream_from_template(stream) for stream in source.streams.audio}

    def packets() -> Iterator[tuple[Fraction, Any]]:
        for packet in source.demux(*source.streams.audio):
            if packet.dts is not None:
                time = packet.dts * packet.time_base
                packet.stream = copies[packet.stream.index]
                yield time, packet

    return packets()


__all__ = ["ANIMATIONS", "CODECS", "Film", "check_film_output", "is_film", "open_film", "write_film"]
