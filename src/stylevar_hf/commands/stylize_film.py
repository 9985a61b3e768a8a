# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`stylevar stylize` for films. Painted frames wait in a folder beside the output, so that a film that was stopped goes
on where it was when the command is repeated; when all are there, they become the film, and the folder goes.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .film_files import Film, check_film_output, open_film, write_film
from .stylize_controls import blend, control_options, report_controls
from .stylize_files import Source, find_styles


if TYPE_CHECKING:
    import PIL.Image
    import torch

    from ..pipeline_stylevar import StyleVARPipeline


@dataclass(frozen=True)
class FilmJob:
    """A film, a style, and where the result goes."""

    film: Film
    style: Source
    output: Path


def plan_film(args: argparse.Namespace) -> FilmJob:
    """What to paint, once it is sure that it can be. Raises `ValueError`."""
    if args.num_images > 1 or args.best_of > 1 or args.previews:
        raise ValueError("A film is painted once. Leave out --num-images, --best-of and --previews.")
    styles = find_styles(args)
    if len(styles) > 1:
        raise ValueError(f"A film takes one STYLE, but got {len(styles)}. Name one, or blend them with --blend.")
    film = open_film(args.content)
    output = Path(args.output)
    if output.is_dir() or args.output.endswith(("/", os.sep)):
        output = output / f"{film.path.stem}__{styles[0].label.replace('/', '-')}{film.path.suffix.lower()}"
    check_film_output(film, output)
    if output.resolve() == film.path.resolve():
        raise ValueError(f"`--output` must not be an input, but got {str(output)!r} for both. Choose another.")
    if output.exists() and not args.overwrite:
        raise ValueError(f"`--output` must be new, but {str(output)!r} exists. Choose another, or --overwrite.")
    return FilmJob(film, styles[0], output)


def paint_film(pipe: "StyleVARPipeline", job: FilmJob, args: argparse.Namespace) -> int:
    """Paints, frame by frame, and writes the film."""
    from tqdm import tqdm

    start = time.perf_counter()
    parts = job.style.parts
    style = blend(pipe, [part.read("STYLE") for part in parts], args) if parts else job.style.read("STYLE")
    waiting = _Frames(job, _settings(pipe, job, args))
    done = waiting.count()
    times: list[Fraction] = []

    def frames() -> Iterator["PIL.Image.Image"]:
        for index, (image, shown_at) in enumerate(job.film.frames()):
            times.append(shown_at)
            if index >= done:
                yield image

    total = job.film.num_frames or None
    with tqdm(total=total, initial=done, desc="Painting", unit="frame", disable=args.quiet) as bar:
        left = frames()
        first = next(left, None)
        if first is not None:
            codes: list[torch.Tensor] = []
            painted = pipe.stylize_frames(
                itertools.chain([first], left),
                style,
                seed=args.seed,
                steadiness=args.steadiness,
                style_strength=args.style_strength,
                output_size=args.output_size,
                batch_size=max(args.batch_size, 4),
                do_sample=False if args.greedy else None,
                top_k=args.top_k,
                top_p=args.top_p,
                temperature=args.temperature,
                previous_codes=waiting.codes(done),
                callback_on_frame_end=codes.append,
                **control_options(args),
            )
            for index, image in enumerate(painted, start=done):
                waiting.add(index, image, codes.pop())
                bar.update()
    write_film(job.film, job.output, waiting.images(len(times)), times)
    waiting.remove()
    if args.json:
        summary = {
            "model": pipe.model.name_or_path,
            "inputs": {"content": [args.content], "style": [job.style.location]},
            "controls": report_controls(args, film=True),
            "outputs": [
                {
                    "content": args.content,
                    "style": job.style.location,
                    "output": str(job.output),
                    "frames": len(times),
                    "frames_from_before": done,
                    "seed": args.seed,
                }
            ],
            "seconds": round(time.perf_counter() - start, 3),
            "dtype": str(pipe.model.model.dtype).removeprefix("torch."),
            "device": str(pipe.device),
            "failures": [],
        }
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write(f"{job.output}\n")
    return 0


def _settings(pipe: "StyleVARPipeline", job: FilmJob, args: argparse.Namespace) -> dict[str, Any]:
    """All that a painted frame depends on."""
    files = [str(job.film.path), *(part.location for part in job.style.parts or (job.style,))]
    files += [path for path in (args.mask, args.strength_map, *(args.style_masks or ())) if path]
    stamps = {path: [os.stat(path).st_size, os.stat(path).st_mtime_ns] for path in files if os.path.exists(path)}
    sampling = {name: getattr(args, name) for name in ("seed", "greedy", "top_k", "top_p", "temperature", "dtype")}
    return {"model": pipe.model.name_or_path, "files": stamps, **sampling, **report_controls(args, film=True)}


class _Frames:
    """Painted frames that wait for the others, and the codes of the last, in a folder."""

    def __init__(self, job: FilmJob, settings: dict[str, Any]):
        self.folder = job.output.with_name(f".{job.output.name}.frames")
        known = self.folder / "settings.json"
        text = json.dumps(settings, sort_keys=True)
        if not known.is_file() or known.read_text(encoding="utf-8") != text:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            known.write_text(text, encoding="utf-8")

    def _image(self, index: int) -> Path:
        return self.folder / f"{index:08d}.png"

    def _codes(self, index: int) -> Path:
        return self.folder / f"codes{index:08d}.npy"

    def count(self) -> int:
        """How many are there, from the first on."""
        number = 0
        while self._image(number).is_file():
            number += 1
        return number if number == 0 or self._codes(number - 1).is_file() else 0

    def codes(self, number: int) -> "torch.Tensor | None":
        """Those of the last of `number` frames."""
        import numpy as np
        import torch

        return torch.from_numpy(np.load(self._codes(number - 1))) if number else None

    def add(self, index: int, image: "PIL.Image.Image", codes: "torch.Tensor") -> None:
        import numpy as np

        np.save(self._codes(index), codes.cpu().numpy())
        part = self.folder / "part.png"
        image.save(part, compress_level=1)
        os.replace(part, self._image(index))  # with its codes beside it, it counts
        self._codes(index - 1).unlink(missing_ok=True)

    def images(self, number: int) -> Iterator["PIL.Image.Image"]:
        from PIL import Image

        for index in range(number):
            with Image.open(self._image(index)) as image:
                yield image.convert("RGB")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


__all__ = ["FilmJob", "paint_film", "plan_film"]
