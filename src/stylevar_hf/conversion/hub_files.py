# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Published `.pth` files where they are on the Hub: which files of a repository are what, and how they are named."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from huggingface_hub import HfApi, ModelCard, hf_hub_download

from .._common.errors import invalid


_TOKENIZER = re.compile(r"(vae|vq).*\.(pth|pt|safetensors)", re.IGNORECASE)
_MODEL = re.compile(r".*\.(pth|pt)", re.IGNORECASE)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PLACE = re.compile(r"hf://(?:models/)?(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^/]+))?/(?P<file>.+)")


@dataclass(frozen=True)
class Release:
    """
    The published files of one model in a repository.

    Args:
        repo_id (`str`): `user/name`.
        commit (`str`): The commit that they are of.
        variant (`str`): Which model of the repository, such as `"sft"`.
        tokenizer, model (`str`): The files.
        license, license_name, license_link (`str`, *optional*): As the repository's card has them.
    """

    repo_id: str
    commit: str
    variant: str
    tokenizer: str
    model: str
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None


def is_repository(name: str) -> bool:
    """Whether a name has the form of a repository's id, and no folder here has it."""
    return _REPOSITORY.fullmatch(name) is not None and not os.path.isdir(name)


def look_up(repo_id: str, variant: str | None, revision: str | None, token: str | bool | None = None) -> Release:
    """The published files of a repository at a revision. Raises `ValueError` if it has no such variant."""
    info = HfApi().model_info(repo_id, revision=revision, token=token)
    names = [one.rfilename for one in info.siblings or ()]
    tokenizer, models = _sort(names)
    if tokenizer is None or not models:
        rule = "a repository with the published files, a VQ-VAE and a transformer (.pth)"
        raise invalid("repo_id", rule, f"{repo_id} with {', '.join(names) or 'no file'}", "Check the id.")
    chosen = [name for name in models if variant is None or variant.lower() in PurePath(name).stem.lower()]
    if len(chosen) != 1:
        rule = f"one that tells the models of {repo_id} apart ({', '.join(models)})"
        raise invalid("variant", rule, repr(variant), "Take a part of one of these names, such as 'sft' or 'grpo'.")
    card = info.card_data
    if card is None and "README.md" in names:  # mirrors of the Hub may leave it to the reader
        with contextlib.suppress(OSError, ValueError):
            card = ModelCard.load(hf_hub_download(repo_id, "README.md", revision=info.sha, token=token)).data
    licence = {name: (card or {}).get(name) for name in ("license", "license_name", "license_link")}
    return Release(repo_id, info.sha, (variant or PurePath(chosen[0]).stem).lower(), tokenizer, chosen[0], **licence)


def _sort(names: list[str]) -> tuple[str | None, list[str]]:
    """The tokenizer among the files of a repository, and the transformers."""
    tokenizers = [name for name in names if _TOKENIZER.fullmatch(PurePath(name).name)]
    models = [name for name in names if _MODEL.fullmatch(PurePath(name).name) and name not in tokenizers]
    return (tokenizers[0] if tokenizers else None), models


def local_file(argument: str, place: str | os.PathLike) -> Path:
    """
    A published file on this machine, downloaded if it is named by its place on the Hub.

    Args:
        argument (`str`):
            The argument that named it, for messages.
        place (`str` or `os.PathLike`):
            A path, `hf://user/name[@revision]/file`, or the id of a repository with one file of this kind.

    Raises:
        OSError: If it cannot be downloaded.
        ValueError: If the repository has no such file, or several.
    """
    text = os.fspath(place)
    if os.path.exists(os.path.expanduser(text)):
        return Path(text).expanduser()
    if match := _PLACE.fullmatch(text):
        return Path(hf_hub_download(match["repo"], match["file"], revision=match["revision"]))
    if text.startswith("hf://"):
        raise invalid(argument, "hf://user/name/file or hf://user/name@revision/file", repr(text), "Name the file.")
    if _REPOSITORY.fullmatch(text) and PurePath(text).suffix.lower() not in (".pth", ".pt", ".safetensors"):
        info = HfApi().model_info(text)
        names = [one.rfilename for one in info.siblings or ()]
        tokenizer, models = _sort(names)
        found = [tokenizer] if argument == "vq_path" and tokenizer else models if argument != "vq_path" else []
        if len(found) != 1:
            hint = f"Name one: hf://{text}/FILE."
            raise invalid(argument, "a repository with one such file", f"{text} with {found or names}", hint)
        return Path(hf_hub_download(text, found[0], revision=info.sha))
    return Path(text).expanduser()


__all__ = ["Release", "is_repository", "local_file", "look_up"]
