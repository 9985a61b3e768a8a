# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Triplets from contents and styles without targets: a teacher paints the targets. `stylevar data make` is its front.

A folder that was made:

| file | what |
|---|---|
| `content/000000.png`, `style/000000.png`, `target/000000.png`, ... | the pictures; [`load_triplets`] reads them |
| `metadata.jsonl` | a line per triplet: its files, `content_id`, `style_id`, and which part of which source it shows |
| `manifest.json` | who taught, from which sources, with which arguments |

`datasets.load_dataset` reads such a folder, too, also from the Hub.
"""

import contextlib
import errno
import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
from tqdm.auto import tqdm

from .._common.errors import invalid
from .._common.files import write_atomically
from .._common.version import __version__
from .columns import IMAGE_COLUMNS
from .pairing import Pairing, Picture, cut, describe_part, read_pictures
from .teachers.base import Generator
from .teachers.loading import describe_teacher, load_teacher, to_picture


FORMAT = 1
IMAGE_FORMATS = {"png": ".png", "jpeg": ".jpg"}
MANIFEST, METADATA = "manifest.json", "metadata.jsonl"
# Triplets that a teacher paints at once; what one process does before it reports.
CHUNK = 8
MIN_IMAGE_SIZE = 16


@dataclass(frozen=True)
class MakingReport:
    """
    What [`make_triplets`] did.

    Args:
        output_dir (`Path`): The folder.
        num_triplets (`int`): Triplets that are there now.
        num_painted (`int`): Of these, painted by this call.
        seconds (`float`): That this call took.
        left_out (`tuple[str, ...]`): Pictures that could not be decoded.
    """

    output_dir: Path
    num_triplets: int
    num_painted: int
    seconds: float
    left_out: tuple[str, ...] = ()


def make_triplets(
    contents: str | os.PathLike | Sequence[str | os.PathLike],
    styles: str | os.PathLike | Sequence[str | os.PathLike],
    teacher: str | Callable | Generator,
    output_dir: str | os.PathLike,
    num_triplets: int,
    seed: int = 0,
    *,
    image_size: int = 256,
    min_crop: float = 0.6,
    flip: bool = True,
    image_format: str = "png",
    num_proc: int = 1,
    device: str | None = None,
    skip_broken: bool = False,
    progress: bool = True,
) -> MakingReport:
    """
    A training set from pictures of your own, without targets: a teacher paints them.

    Triplet `i` shows a random square of a content and one of a style, resized to `image_size`, half of them mirrored,
    and what the teacher paints from the two. All that is random depends on `seed` and `i` alone: a larger set begins
    with the smaller one. Contents and styles take turns, so that each is shown as often as any other.

    A call that was stopped, by hand, by a full disk or by an error, goes on where it was when it is repeated. Under
    `accelerate launch` with several processes, these share the work.

    Args:
        contents (`str`, `os.PathLike` or a sequence of them):
            A folder of two pictures or more, with its subfolders, or a list of files. All squares of one picture have
            one `content_id`, so that no split tears them apart: a hash of the file, or, where a `manifest.csv` with
            the columns `file`, `source` and `path` lies beside the pictures or their folder, its source and path.
        styles (`str`, `os.PathLike` or a sequence of them):
            Another one; a single picture will do.
        teacher (`str`, `Callable` or [`Generator`]):
            `"magenta"`, `"reinhard"`, `"adain:DIR"`, a StyleVAR checkpoint, `"module:function"` or a function
            `(content, style) -> image`; see [`load_teacher`].
        output_dir (`str` or `os.PathLike`):
            A new folder, or one that a call with the same arguments left; `num_triplets` may have grown.
        num_triplets (`int`):
            How many there shall be.
        seed (`int`, *optional*, defaults to 0):
            Another seed, other triplets.
        image_size (`int`, *optional*, defaults to 256):
            Side of the pictures, in pixels.
        min_crop (`float`, *optional*, defaults to 0.6):
            Side of the smallest square, as a share of the picture's short side, in (0, 1]; 1 shows the whole short
            side. Squares have `image_size` pixels or more where the picture has.
        flip (`bool`, *optional*, defaults to `True`):
            Mirror half of the contents and half of the styles, left and right.
        image_format (`str`, *optional*, defaults to `"png"`):
            `"png"`: exactly what the teacher painted, about 0.3 MB per triplet of 256 x 256. `"jpeg"`: quality 95, a
            third of that.
        num_proc (`int`, *optional*, defaults to 1):
            Processes, with one thread each. More than one start the script anew: protect its body by
            `if __name__ == "__main__":`.
        device (`str`, *optional*):
            Where AdaIN and StyleVAR compute. Defaults to the accelerator, if there is one.
        skip_broken (`bool`, *optional*, defaults to `False`):
            Leave out pictures that cannot be decoded, instead of stopping.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Returns:
        [`MakingReport`]

    Raises:
        ValueError: If an argument does not fit, pictures cannot be decoded (the message lists them), the folder holds
            something else, or the teacher returns something else than a picture of the content's size.
        TeacherUnavailable: If packages or weights of the teacher are missing.
        OSError: If the folder cannot be written to, such as for want of room.

    Example:

    ```python
    >>> from stylevar_hf.data import load_triplets, make_triplets

    >>> make_triplets("photographs", "paintings", "magenta", "taught", num_triplets=1000)
    >>> dataset = load_triplets("taught", split="train")
    ```
    """
    start = time.perf_counter()
    # 1. Everything that can be wrong, before a teacher is loaded
    _check(num_triplets, seed, image_size, min_crop, image_format, num_proc)
    rank, world = _rank()
    folder, progress = Path(output_dir).expanduser(), progress and rank == 0
    who = describe_teacher(teacher)
    content_pictures, no_contents = read_pictures("contents", contents, skip_broken, progress)
    style_pictures, no_styles = read_pictures("styles", styles, skip_broken, progress)
    if len({picture.id for picture in content_pictures}) < 2:
        hint = "Add one: training holds a content out to measure on."
        raise invalid("contents", "a folder of two different pictures or more", len(content_pictures), hint)
    job = _Job(
        teacher, device, content_pictures, style_pictures, seed, image_size, min_crop, flip, str(folder), image_format
    )

    with _room(job, num_triplets):
        # 2. The lists, which do not depend on what is painted
        if rank == 0:
            _prepare(folder, job, who, num_triplets)
        _wait_for_everyone()

        # 3. Paint what is missing
        own = range(rank, num_triplets, world)
        wanted = [index for index in own if not _is_made(job, index)]
        chunks = [wanted[first : first + CHUNK] for first in range(0, len(wanted), CHUNK)]
        options = {"total": len(own), "initial": len(own) - len(wanted), "disable": not progress}
        with tqdm(desc="Painting", unit="triplet", **options) as bar:
            for count in _paint_all(job, chunks, num_proc):
                bar.update(count)
        _wait_for_everyone()
    seconds = time.perf_counter() - start
    return MakingReport(folder, num_triplets, len(wanted), seconds, (*no_contents, *no_styles))


def _check(num_triplets: int, seed: int, image_size: int, min_crop: float, image_format: str, num_proc: int) -> None:
    for name, value, least in (
        ("num_triplets", num_triplets, 1),
        ("seed", seed, 0),
        ("image_size", image_size, MIN_IMAGE_SIZE),
        ("num_proc", num_proc, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise invalid(name, f"an integer of at least {least}", repr(value), f"Try {max(least, 1)}.")
    if not 0 < min_crop <= 1:
        raise invalid("min_crop", "in (0, 1]", min_crop, "1 cuts out the whole short side.")
    if image_format not in IMAGE_FORMATS:
        raise invalid("image_format", f"one of {', '.join(IMAGE_FORMATS)}", repr(image_format), "Choose one.")


@dataclass(frozen=True)
class _Job:
    """What a process needs to paint any triplet."""

    teacher: Any
    device: str | None
    contents: list[Picture]
    styles: list[Picture]
    seed: int
    image_size: int
    min_crop: float
    flip: bool
    folder: str
    image_format: str

    @property
    def pairing(self) -> Pairing:
        return Pairing(len(self.contents), len(self.styles), self.seed, self.min_crop, self.flip)

    def file(self, column: str, index: int) -> str:
        """Within the folder."""
        return f"{column}/{index:06d}{IMAGE_FORMATS[self.image_format]}"


@contextlib.contextmanager
def _room(job: _Job, num_triplets: int) -> Iterator[None]:
    """Says of a full disk how far the work had come, and that it can go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        made = sum(_is_made(job, index) for index in range(num_triplets))
        raise OSError(
            f"`output_dir` must have room, but the disk of {job.folder!r} is full: {made} of {num_triplets} triplets "
            "are there. Make room and repeat the call; it goes on where it was."
        ) from error


def _prepare(folder: Path, job: _Job, who: dict[str, str], num_triplets: int) -> None:
    """Refuses a folder of something else, and writes the two lists."""
    identity = {
        "format": FORMAT,
        "teacher": who,
        **{name: getattr(job, name) for name in ("seed", "image_size", "min_crop", "flip", "image_format")},
        **{
            name: [{"file": picture.name, "id": picture.id, "sha256": picture.digest} for picture in pictures]
            for name, pictures in (("contents", job.contents), ("styles", job.styles))
        },
    }
    identity = json.loads(json.dumps(identity))
    manifest = folder / MANIFEST
    before = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    if before is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise invalid("output_dir", "a new folder", f"{str(folder)!r} with something else in it", "Choose another.")
    if before is not None:
        if other := [name for name, value in identity.items() if before.get(name) != value]:
            value = f"{str(folder)!r}, made with another {' and another '.join(other)}"
            raise invalid("output_dir", "a new folder, or one that the same arguments made", value, "Choose another.")
        num_triplets = max(num_triplets, before["num_triplets"])
    for column in IMAGE_COLUMNS:
        (folder / column).mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(_row(job, index, who["name"])) + "\n" for index in range(num_triplets))
    write_atomically(folder / METADATA, rows.encode())
    manifest_text = json.dumps({**identity, "num_triplets": num_triplets, "version": __version__}, indent=1)
    write_atomically(manifest, manifest_text.encode())


def _row(job: _Job, index: int, teacher: str) -> dict[str, Any]:
    """A line of `metadata.jsonl`."""
    content, style = job.pairing[index]
    content_picture, style_picture = job.contents[content.picture], job.styles[style.picture]
    return {
        **{f"{column}_file_name": job.file(column, index) for column in IMAGE_COLUMNS},
        "content_id": content_picture.id,
        "style_id": style_picture.id,
        "teacher": teacher,
        "content_part": describe_part(content, content_picture),
        "style_part": describe_part(style, style_picture),
    }


def _is_made(job: _Job, index: int) -> bool:
    """The target is written last, and each file is complete from the moment it exists."""
    return os.path.isfile(os.path.join(job.folder, job.file("target", index)))


def _paint_all(job: _Job, chunks: list[list[int]], num_proc: int) -> Iterator[int]:
    """Paints the chunks, and yields how many triplets each had."""
    if num_proc == 1 or len(chunks) < 2:
        teacher = load_teacher(job.teacher, job.device) if chunks else None
        for chunk in chunks:
            yield _paint(job, teacher, chunk)
        return
    with ProcessPoolExecutor(min(num_proc, len(chunks)), _context(), _start_worker, (job,)) as pool:
        futures = [pool.submit(_work, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _context() -> multiprocessing.context.BaseContext:
    """Not forks of this process, which may hang once it has used threads, but of one that has only imported this."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


_worker: tuple[_Job, Generator] | None = None


def _start_worker(job: _Job) -> None:
    global _worker
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this process
    torch.set_num_threads(1)
    _worker = (job, load_teacher(job.teacher, job.device))


def _work(chunk: list[int]) -> int:
    return _paint(*_worker, chunk)


def _paint(job: _Job, teacher: Generator, chunk: list[int]) -> int:
    """Cuts, paints, checks and writes a few triplets."""
    parts = [job.pairing[index] for index in chunk]
    contents = [cut(content, job.contents[content.picture].path, job.image_size) for content, _ in parts]
    styles = [cut(style, job.styles[style.picture].path, job.image_size) for _, style in parts]
    painted = teacher.stylize([image.copy() for image in contents], [image.copy() for image in styles], chunk)
    if len(painted) != len(chunk):
        raise invalid("teacher", f"one that paints each pair ({len(chunk)})", len(painted), "Repair its `stylize`.")
    for index, content, style, target in zip(chunk, contents, styles, painted, strict=True):
        target = to_picture(target, content.size, teacher.name, f"triplet {index}")
        for column, image in zip(IMAGE_COLUMNS, (content, style, target), strict=True):
            write_atomically(Path(job.folder, job.file(column, index)), _encode(image, job.image_format))
    return len(chunk)


def _encode(image: PIL.Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if image_format == "jpeg" else {}
    image.save(buffer, image_format.upper(), **options)
    return buffer.getvalue()


def _rank() -> tuple[int, int]:
    """Which process this is of how many: more than one under `accelerate launch` alone."""
    state = _accelerate_state()
    return (0, 1) if state is None else (state.process_index, state.num_processes)


def _wait_for_everyone() -> None:
    if (state := _accelerate_state()) is not None:
        state.wait_for_everyone()


def _accelerate_state():
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    import torch
    from accelerate import PartialState

    return PartialState(cpu=torch.accelerator.current_accelerator(check_available=True) is None)


__all__ = ["MakingReport", "make_triplets"]
