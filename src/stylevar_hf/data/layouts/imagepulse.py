# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
ImagePulse-StyleTransfer: 137,886 triplets (`DiffSynth-Studio/ImagePulse-StyleTransfer` on ModelScope), generated with
FLUX: check its terms. The style image shows the same scene description as the content, so style can leak structure.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import datasets

from ..._common.errors import invalid
from ..._common.files import content_hash, existing_folder, files_below
from ..columns import IMAGE_COLUMNS
from ..splits import check_split, content_position
from .archives import archive_stem, extract_archive, is_archive, open_members
from .imagepulse_samples import LAYOUTS, find_samples, is_sample_file
from .scanning import Scan, dataset_from_scan, features, is_image


_COLUMNS = (*IMAGE_COLUMNS, "content_id", "style_id")


def load_imagepulse(
    root: str | os.PathLike,
    split: str = "train",
    validation_fraction: float = 0.05,
    seed: int = 0,
    streaming: bool = False,
    layout: str = "auto",
    skip_artifacts: bool = False,
    cache_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> "datasets.Dataset | datasets.IterableDataset":
    """
    Loads ImagePulse-StyleTransfer in any of its three forms. The folder is only read.

    - `"prepared"`: `root/NNN/{content,style,target}.png`;
    - `"raw"`: images and one JSON file per sample, which names them: `image_1` is the content, `image_2` the style,
      `image_4` the target (`image_3`, a draft, is not used);
    - `"archives"`: tar.gz (or tar) files of one of these. They are unpacked once, into the cache; with `streaming`
      they are read where they are instead. Archives with absolute names, names that lead outside, links or devices
      are refused.

    Args:
        root (`str` or `os.PathLike`):
            The folder.
        split (`str`, *optional*, defaults to `"train"`):
            `"train"`, `"validation"` or `"all"`. No content image is in both of the first two.
        validation_fraction (`float`, *optional*, defaults to 0.05):
            The expected share of the contents in the validation split; see [`split_by_content`].
        seed (`int`, *optional*, defaults to 0):
            Another seed, another split.
        streaming (`bool`, *optional*, defaults to `False`):
            Whether to return a `datasets.IterableDataset`, with one shard per archive.
        layout (`str`, *optional*, defaults to `"auto"`):
            Which of the forms to read. `"auto"` refuses a folder with both archives and images, because one may be
            the unpacked other.
        skip_artifacts (`bool`, *optional*, defaults to `False`):
            Whether to leave out raw samples whose JSON says `artifacts_in_image_1`, `_2` or `_4`.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Where archives are unpacked. Defaults to `$STYLEVAR_CACHE/archives`, or `$HF_HOME/stylevar-hf/archives`.
        progress (`bool`, *optional*, defaults to `True`):
            Whether to show a progress bar while archives are unpacked.

    Returns:
        `datasets.Dataset` or `datasets.IterableDataset`: Columns `content`, `style`, `target` (images, decoded when a
        row is read), `content_id` (raw: the name of the content's file; prepared: a hash of it, for the same content
        lies in many folders) and `style_id` (the name of the style's file, or of the prepared folder).

    Raises:
        ValueError: If the folder, an image or a field is missing, a JSON file cannot be read, an archive is truncated
            or unsafe (the message names the file), or a single content is to be split.
    """
    folder = existing_folder("root", root)
    check_split(split, validation_fraction)
    archives = find_archives(folder, layout)
    if archives and streaming:
        arguments = {"root": str(folder), "archives": [str(archive) for archive in archives], "split": split}
        arguments |= {"validation_fraction": validation_fraction, "seed": seed, "skip_artifacts": skip_artifacts}
        return datasets.IterableDataset.from_generator(
            _stream_archives, gen_kwargs=arguments, features=features(_COLUMNS)
        )
    scan = Scan()
    if archives:
        for archive in archives:
            unpacked = extract_archive(archive, cache_dir, progress)
            scan_folder(unpacked, scan, prefix=archive_name(archive, folder), skip_artifacts=skip_artifacts)
    else:
        scan_folder(folder, scan, layout=layout, skip_artifacts=skip_artifacts)
    return dataset_from_scan(scan, folder, split, validation_fraction, seed, streaming)


def find_archives(root: Path, layout: str = "auto") -> list[Path]:
    """
    The archives to read, sorted; none where the samples lie in the folder itself.

    Raises:
        ValueError: If `layout` is unknown, or `"auto"` and the folder holds both archives and samples, or `"archives"`
            and it holds none.
    """
    if layout not in LAYOUTS:
        raise invalid("layout", f"one of {LAYOUTS}", repr(layout), "Choose one.")
    if layout not in ("auto", "archives"):
        return []
    files = files_below(root)
    archives = [path for path in files if is_archive(path)]
    if layout == "archives" and not archives:
        raise invalid("root", "a folder with tar.gz files", f"{str(root)!r} without any", "Check the path.")
    if layout == "auto" and archives and any(is_image(path) for path in files):
        value = f"{str(root)!r} with both archives and images"
        raise invalid("layout", "given where it cannot be told", value, f"Pass one of {LAYOUTS[1:]}.")
    return archives


def archive_name(archive: Path, root: Path) -> str:
    """What the ids of an archive's samples begin with: its path below `root` without the suffix."""
    return (archive.relative_to(root).parent / archive_stem(archive)).as_posix()


def scan_folder(
    folder: Path, scan: Scan, layout: str = "auto", prefix: str = "", skip_artifacts: bool = False
) -> None:
    """Adds the samples below a folder, and what is wrong with them, to `scan`, without decoding an image."""
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    rows = find_samples(
        names,
        read=lambda name: (folder / name).read_bytes(),
        where=lambda name: str(folder / name),
        scan=scan,
        layout=layout,
        skip_artifacts=skip_artifacts,
    )
    for row in rows:
        scan.rows.append(_with_paths(row, prefix, lambda name: str(folder / name)))


def _with_paths(row: dict[str, str | None], prefix: str, path) -> dict:
    return {
        column: path(value) if column in IMAGE_COLUMNS else f"{prefix}/{value}" if prefix and value else value
        for column, value in row.items()
    }


def _keep_hash(hashes: dict[str, str]) -> Callable[[str, bytes], None]:
    def keep(name: str, data: bytes) -> None:
        hashes[name] = content_hash(data)

    return keep


def scan_archive(
    archive: Path, scan: Scan, skip_artifacts: bool = False, on_image=None, on_danger=None, on_content=None
) -> list[dict]:
    """
    The samples of an archive as rows of member names, read once from start to end and not unpacked.

    Args:
        archive (`Path`):
            A tar or tar.gz file.
        scan ([`Scan`]):
            Takes the problems.
        skip_artifacts (`bool`, *optional*, defaults to `False`):
            As in [`load_imagepulse`].
        on_image (`Callable[[str, bytes], None]`, *optional*):
            Called with the name and the bytes of every image.
        on_danger (`Callable[[str, str], None]`, *optional*):
            As in [`~stylevar_hf.data.layouts.archives.open_members`].
        on_content (`Callable[[str, bytes], None]`, *optional*):
            Called with the name and the bytes of every image called `content`.

    Raises:
        ValueError: If the archive is truncated or damaged, or if a member is unsafe and `on_danger` is not given.
    """
    names, samples = [], {}
    with open_members(archive, on_danger) as (tar, members):
        for member in members:
            name = _member_name(member.name)
            if not member.isfile() or _is_hidden(name):
                continue
            names.append(name)
            if is_sample_file(name):
                samples[name] = tar.extractfile(member).read()
            elif on_image is not None and is_image(Path(name)):
                on_image(name, tar.extractfile(member).read())
            elif on_content is not None and is_image(Path(name)) and Path(name).stem == "content":
                on_content(name, tar.extractfile(member).read())
    return find_samples(
        sorted(names),
        read=samples.__getitem__,
        where=lambda name: f"{archive}: {name}",
        scan=scan,
        skip_artifacts=skip_artifacts,
    )


def _stream_archives(
    root: str, archives: Sequence[str], split: str, validation_fraction: float, seed: int, skip_artifacts: bool
) -> Iterator[dict]:
    """The rows of archives, each read twice from start to end: for the list of its samples, and for their images."""
    for archive in map(Path, archives):
        prefix = archive_name(archive, Path(root))
        scan = Scan()
        # Of images that may be the content of a prepared sample.
        hashes: dict[str, str] = {}
        rows = scan_archive(archive, scan, skip_artifacts, on_content=_keep_hash(hashes))
        if scan.errors:
            raise ValueError(f"`root` must hold complete triplets, but got {scan.errors[0]}")
        wanted: dict[str, list[tuple[int, str]]] = {}
        for index, row in enumerate(rows):
            rows[index] = row = _with_paths(row, prefix, str)
            if row["content_id"] is None:
                row["content_id"] = hashes[row["content"]]
            is_validation = content_position(row["content_id"], seed) < validation_fraction
            if split == "all" or is_validation == (split == "validation"):
                for column in IMAGE_COLUMNS:
                    wanted.setdefault(row[column], []).append((index, column))
        images: dict[int, dict] = {}
        with open_members(archive) as (tar, members):
            for member in members:
                name = _member_name(member.name)
                places = wanted.get(name, ()) if member.isfile() else ()
                data = tar.extractfile(member).read() if places else None
                for index, column in places:
                    images.setdefault(index, {})[column] = {"path": name, "bytes": data}
                    if len(images[index]) == len(IMAGE_COLUMNS):
                        yield {**rows[index], **images.pop(index)}


def _member_name(name: str) -> str:
    return os.path.normpath(name).replace(os.sep, "/")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


__all__ = ["archive_name", "find_archives", "load_imagepulse", "scan_archive", "scan_folder"]
