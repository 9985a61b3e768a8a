# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Everything that belongs to a checkpoint, in one commit."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.utils import validate_repo_id
from transformers.utils import logging

from .._common.errors import invalid
from .folders import CheckpointFolder, inspect_folder
from .staging import Publication, stage


if TYPE_CHECKING:
    from ..image_processing_stylevar import StyleVARImageProcessor
    from ..modeling_stylevar import StyleVARForConditionalGeneration

logger = logging.get_logger(__name__)

# The Hub's own advice; the released model has 3.3 GB.
MAX_SHARD_SIZE = "5GB"
# Weights that an older commit may have left in a repository, and that a loader might take for ours.
_WEIGHTS = re.compile(
    r"(merged/)?(model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|adapter_model\.safetensors|adapter_config\.json"
    r"|pytorch_model.*\.bin(\.index\.json)?|adapter_model\.bin)"
)
# What a new repository holds before anything was published.
_INITIAL_FILES = {".gitattributes"}


@dataclass
class Upload:
    """
    What would go up.

    Args:
        repo_id (`str`):
            The repository.
        kind (`str`):
            `"model"`, `"adapter"` or `"tokenizer"`.
        files (`dict[str, Path]`):
            Paths in the repository, and where the files are now.
        made_up (`set[str]`):
            Those that were not in the folder: a generated card, a default image processor.
        notices (`list[str]`):
            What was left out or assumed.
    """

    repo_id: str
    kind: str
    files: dict[str, Path]
    made_up: set[str] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its path in the repository."""
        return {name: path.stat().st_size for name, path in sorted(self.files.items())}


@contextmanager
def prepared_upload(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    adapter: bool | None = None,
    base_model: str | None = None,
    merged: str | os.PathLike | bool = False,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    token: str | bool | None = None,
    **card: Any,
) -> Iterator[Upload]:
    """
    Check a folder and put together what is to be published from it; neither the folder nor the Hub is touched.

    Args:
        folder (`str` or `os.PathLike`):
            A saved model, adapter or tokenizer, or the output of a trainer.
        repo_id (`str`):
            `user/name` of the repository.
        adapter (`bool`, *optional*):
            Whether to publish the adapter in the folder. Defaults to `True` if it holds no model.
        base_model (`str`, *optional*):
            The repository of the adapter's base, or of what a model was trained from. Needed if an adapter names a
            local folder as its base.
        merged (`str`, `os.PathLike` or `bool`, *optional*, defaults to `False`):
            With an adapter: the folder of base and adapter in one, which goes to `merged/`; `True` merges them here.
        max_shard_size (`int` or `str`, *optional*, defaults to `"5GB"`):
            Size above which the weights are split into several files.
        token (`str` or `bool`, *optional*):
            To fetch the base model with, if `merged` is `True`.
        **card:
            `license`, `license_name`, `license_link`, `datasets`, `tags` for the card and LICENSE.

    Yields:
        [`Upload`]: Valid inside the `with` block.

    Raises:
        ValueError: If the folder cannot be published as asked.
    """
    validate_repo_id(repo_id)
    checkpoint = inspect_folder(folder, adapter)
    publication = Publication(repo_id, base_model, max_shard_size, card)
    if merged and checkpoint.kind != "adapter":
        raise invalid("merged", "left out unless an adapter is published", repr(merged), "Publish the model itself.")
    with tempfile.TemporaryDirectory(prefix="stylevar-push-") as scratch:
        upload = Upload(repo_id, checkpoint.kind, {})
        upload.files, upload.made_up, upload.notices = stage(
            checkpoint, Path(scratch) / "main", replace(publication, has_merged=bool(merged))
        )
        if merged:
            for name, path in _merged_files(checkpoint, merged, Path(scratch), publication, token).items():
                upload.files[f"merged/{name}"] = path
                if name.endswith(".py"):  # transformers looks for remote code at the root of a repository alone
                    upload.files.setdefault(name, path)
        yield upload


def _merged_files(
    checkpoint: CheckpointFolder,
    merged: str | os.PathLike | bool,
    scratch: Path,
    publication: Publication,
    token: str | bool | None,
) -> dict[str, Path]:
    if merged is True:
        from .merging import merge_adapter

        merged = merge_adapter(checkpoint, scratch / "merging", publication.base_model, token)
    other = inspect_folder(merged, adapter=False)
    if other.kind != "model":
        raise invalid("merged", "the folder of a model", str(merged), "Merge the adapter and save the whole model.")
    files, _, _ = stage(other, scratch / "merged", publication)
    return {name: path for name, path in files.items() if name not in ("README.md", "LICENSE")}


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
    exist_ok: bool = True,
    keep_existing: bool = True,
    **options: Any,
) -> CommitInfo:
    """
    Publish a folder: weights, configs, image processor, card, licence, evaluation results and source files, in one
    commit. Nothing can be seen of an interrupted upload, and the next one does not send again what has arrived.

    Args:
        folder (`str` or `os.PathLike`):
            A saved model, adapter or tokenizer, or the output of a trainer.
        repo_id (`str`):
            `user/name` of the repository; made if missing.
        private (`bool`, *optional*):
            Whether a new repository is private; `None` leaves it to the account's default. With `True`, one that
            exists must be private too.
        token (`str` or `bool`, *optional*):
            Token to authenticate with. Defaults to the one stored on this machine.
        revision (`str`, *optional*):
            Branch to commit to; made if missing. Defaults to the main branch.
        create_pr (`bool`, *optional*, defaults to `False`):
            Whether to open a pull request instead.
        commit_message, commit_description (`str`, *optional*):
            Of the commit.
        exist_ok (`bool`, *optional*, defaults to `True`):
            Whether a repository that holds files already may be changed.
        keep_existing (`bool`, *optional*, defaults to `True`):
            Whether a card or image processor of the repository stays, where the folder has none of its own.
        **options:
            See [`prepared_upload`].

    Returns:
        `huggingface_hub.CommitInfo`

    Raises:
        ValueError: If the folder cannot be published, or is to be private in a repository that is not.
        FileExistsError: If the repository holds files and `exist_ok` is `False`.
        HfHubHTTPError: If the Hub refuses.
    """
    validate_repo_id(repo_id)
    api = HfApi(token=token)
    if "/" not in repo_id:
        repo_id = f"{api.whoami()['name']}/{repo_id}"
    with prepared_upload(folder, repo_id, token=token, **options) as upload:
        for notice in upload.notices:
            logger.warning(notice)
        api.create_repo(repo_id, private=private, exist_ok=True)
        if private and not api.model_info(repo_id).private:  # `create_repo` leaves one that exists as it is
            raise invalid(
                "private",
                "left out for a repository that everyone can see",
                f"True for {repo_id}",
                "Make it private in its settings on the Hub, or choose another name.",
            )
        if revision is not None and not create_pr and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        present = api.list_repo_files(repo_id, revision=revision)
        if not exist_ok and (others := set(present) - _INITIAL_FILES):
            raise FileExistsError(
                f"`repo_id` must be new or empty, but got {repo_id}, which holds {len(others)} files. Choose another "
                "name, or set `exist_ok=True` to add a commit that replaces them."
            )
        kept = upload.made_up & set(present) if keep_existing else set()
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=path)
            for name, path in sorted(upload.files.items())
            if name not in kept
        ]
        stale = [name for name in present if _WEIGHTS.fullmatch(name) and name not in upload.files]
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        return api.create_commit(
            repo_id,
            operations,
            commit_message=commit_message or f"Upload StyleVAR {upload.kind}",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )


def push_folder_in_background(folder: str | os.PathLike, repo_id: str, **options: Any) -> "Future[CommitInfo]":
    """
    [`push_folder`] in a thread, of the folder as it is now; a failure is logged. Uploads that were begun in this way
    run one after the other.
    """
    snapshot = tempfile.mkdtemp(prefix="stylevar-push-")

    def push() -> CommitInfo:
        try:
            return push_folder(snapshot, repo_id, **options)
        except Exception as error:
            logger.warning(f"Publishing to {repo_id} failed: {' '.join(str(error).split())}")
            raise
        finally:
            shutil.rmtree(snapshot, ignore_errors=True)

    # A trainer may delete the folder before its turn comes. Its subfolders are other checkpoints and logs.
    for path in Path(folder).iterdir():
        if path.is_file():
            _link_or_copy(path, Path(snapshot, path.name))
    return HfApi().run_as_future(push)


def _link_or_copy(source: Path, copy: Path) -> None:
    """A trainer replaces its files and never writes into them, so that a second name is as good as a copy."""
    try:
        os.link(source, copy)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, copy)


def push_model(
    model: "StyleVARForConditionalGeneration",
    repo_id: str,
    *,
    image_processor: "StyleVARImageProcessor | None" = None,
    max_shard_size: int | str = MAX_SHARD_SIZE,
    **options: Any,
) -> CommitInfo:
    """
    Publish a model, with its image processor, as [`push_folder`] does. A model with an adapter publishes the adapter.

    Args:
        model ([`StyleVARForConditionalGeneration`]):
            The model.
        repo_id (`str`):
            `user/name` of the repository; made if missing.
        image_processor ([`StyleVARImageProcessor`], *optional*):
            Defaults to the published processing at the model's image size.
        max_shard_size (`int` or `str`, *optional*, defaults to `"5GB"`):
            Size above which the weights are split into several files.
        **options:
            See [`push_folder`] and [`prepared_upload`].

    Returns:
        `huggingface_hub.CommitInfo`
    """
    with tempfile.TemporaryDirectory(prefix="stylevar-push-") as folder:
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        if image_processor is not None:
            image_processor.save_pretrained(folder)
        return push_folder(folder, repo_id, max_shard_size=max_shard_size, **options)


__all__ = ["MAX_SHARD_SIZE", "Upload", "prepared_upload", "push_folder", "push_folder_in_background", "push_model"]
