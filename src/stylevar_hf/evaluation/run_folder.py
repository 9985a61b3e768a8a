# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What a run leaves on disk while it runs, so that a killed one goes on where it was.

```
OUT/run.json                             what the stored pictures depend on; another run is refused
OUT/outputs/<set>/<system>/00012.png     a painted picture per pair; times.json beside them
OUT/values/<set>/<system>.json           measure to its value per pair
OUT/checks/<model>.json                  style = content, and the tokenizer's reconstruction
```

Every file is written under a temporary name first.
"""

import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image

from .._common.files import TEMPORARY, content_hash, to_json, write_atomically, write_json
from ..image_processing_stylevar import load_image


def digest(value: Any) -> str:
    """A short hash of what `json` can write."""
    return content_hash(json.dumps(value).encode())


def file_name(name: str) -> str:
    """A name as one part of a path, on every file system."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", name).strip(".-") or "unnamed"


class RunFolder:
    """
    The folder of a run.

    Args:
        root (`str` or `os.PathLike`):
            Made if missing.
        identity (`Mapping[str, Any]`):
            What the stored pictures depend on, as JSON.
        resume (`bool`):
            Whether to go on with what is there.

    Raises:
        ValueError: If the folder holds another run, or this one and `resume` is not set, or something else.
    """

    def __init__(self, root: str | os.PathLike, identity: Mapping[str, Any], resume: bool):
        self.root = Path(root)
        manifest = self.root / "run.json"
        identity = json.loads(to_json(identity))
        check_free(self.root, resume)
        if manifest.is_file():
            _check_same(self.root, read_json(manifest), identity)
            for scratch in self.root.rglob(f".*{TEMPORARY}"):  # of a run that was killed
                scratch.unlink()
        write_json(manifest, identity)

    def output(self, set_name: str, system: str, row: int) -> Path:
        return self.outputs(set_name, system) / f"{row:05d}.png"

    def outputs(self, set_name: str, system: str) -> Path:
        return self.root / "outputs" / file_name(set_name) / file_name(system)

    def save_output(self, set_name: str, system: str, row: int, image: PIL.Image.Image) -> None:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        write_atomically(self.output(set_name, system, row), buffer.getvalue())

    def load_output(self, set_name: str, system: str, row: int) -> PIL.Image.Image:
        return load_image(self.output(set_name, system, row), "output")

    def values(self, set_name: str, system: str) -> Path:
        return self.root / "values" / file_name(set_name) / f"{file_name(system)}.json"

    def times(self, set_name: str, system: str) -> Path:
        return self.outputs(set_name, system) / "times.json"

    def checks(self, model: str) -> Path:
        return self.root / "checks" / f"{file_name(model)}.json"

    def read(self, path: Path) -> dict[str, Any]:
        return read_json(path) if path.is_file() else {}

    def update(self, path: Path, entries: Mapping[str, Any]) -> None:
        """Adds entries to a JSON file."""
        write_json(path, {**self.read(path), **entries})

    def forget_measured(self, set_name: str, system: str) -> None:
        """Drops the values that were taken of a system's pictures, before they are painted anew."""
        path = self.values(set_name, system)
        if path.is_file():
            # The cross-entropy is the model's own: it does not depend on pictures.
            kept = {name: entry for name, entry in self.read(path).items() if name == "cross_entropy"}
            write_json(path, kept)


def check_free(root: str | os.PathLike, resume: bool) -> None:
    """Raises `ValueError` unless a run may write here: nothing is there, or a run that is to be resumed."""
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise ValueError(f"`output_dir` must be a folder, but got the file {root}. Choose another.")
    if (root / "run.json").is_file():
        if not resume:
            raise ValueError(
                f"`output_dir` must be new or empty, but got {root}, which holds a run. Go on with it with `resume`, "
                "or choose another."
            )
    elif root.is_dir() and any(root.iterdir()):
        raise ValueError(f"`output_dir` must be new or empty, but got {root} with other files. Choose another.")


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`output_dir` must hold whole files, but got {path}: {error}. Remove it.") from error


def _check_same(root: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    different = [name for name in asked if there.get(name) != asked[name]]
    if different:
        name = different[0]
        raise ValueError(
            f"`resume` must go on with the same run, but got {root}, which differs in {', '.join(different)} ({name}: "
            f"{_shown(there.get(name))} there, {_shown(asked[name])} asked for). Choose another folder."
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


__all__ = ["RunFolder", "check_free", "digest", "file_name", "read_json"]
