# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Published `.pth` files on the Hub: found, downloaded and converted in one step.

```python
>>> from stylevar_hf import StyleVARPipeline

>>> pipe = StyleVARPipeline.from_pretrained("Senfier-LiqiJing/StyleVAR", variant="grpo")  # or "stylevar-grpo"
```

The conversion lies in the Hub's cache, beside the files that it was made of and under their commit, so that
`hf cache` counts and removes both together. What is there is used again, also without a network.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, are_progress_bars_disabled
from transformers.utils import cached_file, logging

from ..checkpoints import RELEASED, is_released
from .convert import convert_original_checkpoint
from .hub_files import Release, is_repository, look_up
from .read import check_output_dir, check_room


logger = logging.get_logger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Part of the names of conversions in the cache: another number, and they are made again.
_FORMAT = 1


def find_converted(name_or_path: str | os.PathLike, variant: str | None = None, **hub_options: Any) -> str | None:
    """
    The folder of a conversion, made now if need be, where a model is named by published files.

    Args:
        name_or_path (`str` or `os.PathLike`):
            What a user calls a model.
        variant (`str`, *optional*):
            Which model of the repository.
        **hub_options:
            `revision`, `token`, `cache_dir`, `local_files_only` and `force_download`.

    Returns:
        `str`, *optional*: `None` where the name stands for anything else: a folder, or a repository of this format.

    Raises:
        OSError: If the repository or the network cannot be reached and there is no conversion, or the disk is full.
        ValueError: If the repository has no such variant.
    """
    name = os.fspath(name_or_path)
    if is_released(name):
        repo_id, released = RELEASED[name]
        return str(cached_conversion(repo_id, variant or released, **hub_options))
    if variant is None or not is_repository(name):
        return None
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    asked = {key: value for key, value in hub_options.items() if key != "force_download"}
    if cached_file(name, "config.json", **asked, **quiet) is not None:
        return None  # `variant` is then that of weights of this format, as everywhere in transformers
    return str(cached_conversion(name, variant, **hub_options))


def cached_conversion(
    repo_id: str,
    variant: str | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    **_: Any,
) -> Path:
    """
    The conversion of a repository's files in the Hub's cache; downloaded and converted if it is not there.

    Args:
        repo_id (`str`):
            A repository of published files, such as `"Senfier-LiqiJing/StyleVAR"`.
        variant (`str`, *optional*):
            Which of its models: a part of the file's name, such as `"sft"` or `"grpo"`. Needed if there are several.
        revision (`str`, *optional*, defaults to `"main"`):
            Branch, tag or commit.
        token (`str` or `bool`, *optional*):
            For private repositories.
        cache_dir (`str` or `os.PathLike`, *optional*):
            Defaults to the Hub's cache.
        local_files_only (`bool`, *optional*, defaults to `False`):
            Whether to ask the cache alone.
        force_download (`bool`, *optional*, defaults to `False`):
            Whether to download and convert again.

    Returns:
        `Path`: A folder for `from_pretrained`.

    Raises:
        OSError: If the repository cannot be reached and the cache does not have its conversion, or there is no room.
        ValueError: If it has no such files.
    """
    root = Path(cache_dir or HF_HUB_CACHE).expanduser() / repo_folder_name(repo_id=repo_id, repo_type="model")
    release, problem = None, None
    if not local_files_only:
        try:
            release = look_up(repo_id, variant, revision, token)
        except (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError):
            raise
        except (OSError, RuntimeError) as error:  # no network, or told to do without
            problem = error
        except Exception as error:  # httpx's, which are of no type of Python's
            problem = error
    if release is None:
        if folder := _converted_before(root, variant, revision or "main"):
            return folder
        raise OSError(
            f"The conversion of {repo_id} must be in the cache to be used offline, but {str(root)!r} has none for "
            f"variant={variant!r} and revision {revision or 'main'}. Load it once with a network"
            + (f" ({' '.join(str(problem).split())})." if problem else ".")
        ) from problem
    folder = _folder(root, release.commit, release.variant)
    root.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(root / f".{folder.name}.lock"):  # another process may be at it
        if (folder / "config.json").is_file() and not force_download:
            return folder
        show = sys.stderr.isatty() and not are_progress_bars_disabled()
        _make(release, folder, revision, token, cache_dir, force_download, overwrite=True, progress=show)
    logger.warning(f"Converted {repo_id} ({release.variant}) once, to {folder}; it is loaded from there from now on.")
    return folder


def convert_repository(
    repo_id: str,
    output_dir: str | os.PathLike,
    variant: str | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> Path:
    """
    Download a repository's published files and convert them to a folder.

    Args:
        repo_id, variant, revision, token, cache_dir, force_download:
            See [`cached_conversion`].
        output_dir (`str` or `os.PathLike`):
            The folder to make.
        overwrite, progress, **options:
            See [`~stylevar_hf.convert_original_checkpoint`].

    Returns:
        `Path`: `output_dir`.

    Raises:
        OSError: If the repository cannot be reached, or there is no room.
        ValueError: If it has no such files, or the folder is taken.
    """
    folder = check_output_dir(output_dir, overwrite, [])
    release = look_up(repo_id, variant, revision, token)
    options = {"overwrite": overwrite, "progress": progress, **options}
    return _make(release, folder, revision, token, cache_dir, force_download, **options)


def _folder(root: Path, commit: str, variant: str) -> Path:
    return root / "stylevar-hf" / f"{commit}-{re.sub(r'[^a-z0-9._-]+', '-', variant)}-{_FORMAT}"


def _converted_before(root: Path, variant: str | None, revision: str) -> Path | None:
    """The conversion of a revision, as far as the cache knows what that is."""
    reference = root / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    if not _COMMIT.fullmatch(commit):
        return None
    if variant is not None:
        found = [_folder(root, commit, variant.lower())]
    else:
        found = list(_folder(root, commit, "").parent.glob(f"{commit}-*-{_FORMAT}"))
    found = [folder for folder in found if (folder / "config.json").is_file()]
    return found[0] if len(found) == 1 else None


def _make(
    release: Release,
    folder: Path,
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | os.PathLike | None,
    force_download: bool,
    **options: Any,
) -> Path:
    """Download and convert, after one look at the room for both."""
    sizes = {
        name: get_hf_file_metadata(hf_hub_url(release.repo_id, name, revision=release.commit), token=token).size or 0
        for name in (release.tokenizer, release.model)
    }
    cached = {
        name
        for name in sizes
        if isinstance(try_to_load_from_cache(release.repo_id, name, cache_dir, release.commit), str)
    }
    missing = sum(size for name, size in sizes.items() if force_download or name not in cached)
    shares = {"bfloat16": 0.5, "float16": 0.5}
    result = int(sum(sizes.values()) * shares.get(str(options.get("dtype")).removeprefix("torch."), 1))
    check_room({Path(cache_dir or HF_HUB_CACHE): missing, folder: result})
    download = {"cache_dir": cache_dir, "token": token, "force_download": force_download}
    # By the name of the revision, which the cache then knows without a network; by the commit if it has moved.
    files = [hf_hub_download(release.repo_id, name, revision=revision, **download) for name in sizes]
    if any(release.commit not in Path(file).parts for file in files):
        files = [hf_hub_download(release.repo_id, name, revision=release.commit, **download) for name in sizes]
    return convert_original_checkpoint(files[0], files[1], folder, release=release, **options)


__all__ = ["cached_conversion", "convert_repository", "find_converted"]
