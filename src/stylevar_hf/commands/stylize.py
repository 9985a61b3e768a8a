# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
`stylevar stylize`: photographs, or folders of them, painted in the style of others.

First everything that can be wrong with the arguments is checked, then the model is loaded, then the pairs are painted,
style by style. A picture that cannot be used does not stop the others.
"""

import argparse
import json
import math
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from .._common.version import __version__
from ..conversion.loading import load_pipeline
from .base import EXIT_BAD_INPUT, Command, add_reporting_arguments, number, one_line, report_error
from .film_files import is_film
from .models import add_model_argument, add_place_arguments, add_precision_arguments, hide_loading_reports
from .stylize_controls import (
    FLAGS,
    add_control_arguments,
    blend,
    check_against_model,
    check_control_arguments,
    control_options,
    report_controls,
)
from .stylize_files import (
    Pair,
    Source,
    check_exists,
    check_outputs,
    find_sources,
    find_styles,
    plan_outputs,
    remove_partial,
    save_image,
    with_mend_for_shells,
    without_done,
)
from .stylize_film import paint_film, plan_film


if TYPE_CHECKING:
    import PIL.Image

    from ..generation_stylevar import StyleVARReference, StyleVARScaleState
    from ..pipeline_stylevar import StyleVARPipeline


OUT_OF_MEMORY = "out of memory; lower --batch-size, or take --dtype bfloat16 or --device cpu"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    count = number(int, "a positive integer", lambda n: n >= 1)
    parser.add_argument(
        "content", metavar="CONTENT", help="what to paint: an image file, a URL, or a folder of images"
    )
    parser.add_argument(
        "style",
        metavar="STYLE",
        nargs="+",
        help="how to paint it: likewise, or several; every content gets every style, unless --blend makes them one",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="the image to write, in the format of its suffix, or a folder: then CONTENT__STYLE.png, and with several "
        "images per pair CONTENT__STYLE_0.png and so on",
    )
    add_model_argument(parser)
    add_place_arguments(parser)
    seed = number(int, "an integer in [0, 2**62)", lambda n: 0 <= n < 2**62)
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="image k of a pair is drawn from N + k (default: random)"
    )
    parser.add_argument(
        "--style-strength",
        type=number(float, "in [-1, 1]", lambda x: -1 <= x <= 1),
        default=0.0,
        metavar="X",
        help="-1 (all content) to 1 (all style); 0 as the model was trained (default: 0)",
    )
    parser.add_argument("--num-images", type=count, default=1, metavar="N", help="images per pair (default: 1)")
    parser.add_argument("--batch-size", type=count, default=1, metavar="N", help="images drawn at once (default: 1)")
    top_k = number(int, "0 (off) or a positive integer", lambda n: n >= 0)
    parser.add_argument(
        "--top-k", type=top_k, metavar="N", help="draw from the N most likely codes (default: the model's)"
    )
    top_p = number(float, "in (0, 1]", lambda x: 0 < x <= 1)
    parser.add_argument(
        "--top-p",
        type=top_p,
        metavar="X",
        help="draw from the likeliest codes that hold this mass (default: the model's)",
    )
    temperature = number(float, "a positive number", lambda x: 0 < x < math.inf)
    parser.add_argument(
        "--temperature", type=temperature, metavar="X", help="divides the logits (default: the model's)"
    )
    parser.add_argument("--greedy", action="store_true", help="take the most likely code instead of drawing one")
    add_precision_arguments(parser)
    parser.add_argument(
        "--output-size",
        type=_output_size,
        default="content",
        metavar="model|content|WxH",
        help="size of the result: as it was painted, that of the content, or width and height such as 1920x1080 "
        "(default: content)",
    )
    add_control_arguments(parser)
    parser.add_argument(
        "--resize-mode",
        dest="fit",
        type=_fit,
        default=argparse.SUPPRESS,
        metavar="stretch|center_crop|pad",
        help="--fit in the words of the image processor",
    )
    parser.add_argument("--recursive", action="store_true", help="look for images in subfolders too")
    parser.add_argument(
        "--previews", action="store_true", help="also write the image after each scale, OUT_scale1.png ..."
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    existing.add_argument("--skip-existing", action="store_true", help="go on: leave out pairs whose files exist")
    add_reporting_arguments(parser)


@dataclass
class Report:
    """What a run did: written outputs, and failures with the inputs that they concern."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, inputs: Sequence[str], error: Exception | str) -> None:
        self.failures.append({"inputs": list(inputs), "error": with_mend_for_shells(error)})


def run(args: argparse.Namespace) -> int:
    # 1. Check the arguments and the pictures that were named
    _check_arguments(args)
    for name, locations in (("CONTENT", [args.content]), ("STYLE", args.style)):
        for location in locations:
            check_exists(name, location)
    check_control_arguments(args)
    film = plan_film(args) if is_film(args.content) else None
    if film is None:
        contents = find_sources("CONTENT", args.content, args.recursive, args.output, partial(_say, args))
        styles = find_styles(args, partial(_say, args))
        planned = share_of_process(plan_outputs(args, contents, styles))
        pairs = without_done(args, planned)
        check_outputs(args, pairs)
        remove_partial({path.parent for pair in planned for path in pair.outputs})
        if not pairs:
            _say(args, f"nothing to do: all {len(planned)} pairs have been painted")
            if args.json:
                sys.stdout.write(json.dumps({"outputs": [], "failures": [], "skipped": len(planned)}, indent=2) + "\n")
            return 0

    # 2. Load the model
    with hide_loading_reports(args.quiet):
        pipe = load_pipeline(
            args.model,
            args.dtype,
            device_of_process(args.device),
            args.adapter,
            variant=args.variant,
            revision=args.revision,
            subfolder=args.subfolder,
            token=args.token,
        )
    check_against_model(args, pipe)
    if film is not None:
        args.seed = args.seed or 0  # the same when the command is repeated to go on
        return paint_film(pipe, film, args)
    if args.seed is None and not args.greedy:
        args.seed = random.SystemRandom().randrange(2**31)
        _say(args, f"--seed {args.seed}")

    # 3. Paint
    report, start = Report(), time.perf_counter()
    _paint_all(pipe, pairs, args, report)
    seconds = round(time.perf_counter() - start, 3)

    # 4. Report
    if args.json:
        summary = {
            "model": pipe.model.name_or_path,
            "inputs": {"content": [s.location for s in contents], "style": [s.location for s in styles]},
            "controls": report_controls(args),
            "outputs": report.outputs,
            "seeds": None if args.greedy else [args.seed + k for k in range(max(args.num_images, args.best_of))],
            "seconds": seconds,
            "dtype": str(pipe.model.model.dtype).removeprefix("torch."),
            "device": str(pipe.device),
            "failures": report.failures,
        }
        if args.skip_existing:
            summary["skipped"] = len(planned) - len(pairs)
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    for failure in report.failures:
        report_error(f"{' with '.join(failure['inputs'])}: {failure['error']}")
    return EXIT_BAD_INPUT if report.failures else 0


def share_of_process(pairs: Sequence[Pair]) -> list[Pair]:
    """Every n-th pair, of n processes that `accelerate launch` or `torchrun` started; all pairs of a single one."""
    rank, count = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    return list(pairs[rank::count])


def device_of_process(device: str) -> str:
    """The GPU of this process, of several on a machine, unless another device was asked for."""
    import torch

    if "LOCAL_RANK" not in os.environ or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ['LOCAL_RANK']}"


def _say(args: argparse.Namespace, notice: str) -> None:
    if not args.quiet:
        sys.stderr.write(f"stylevar: {notice}\n")


def _check_arguments(args: argparse.Namespace) -> None:
    if args.greedy and not args.top_k is args.top_p is args.temperature is None:
        raise ValueError("--greedy always takes the most likely code. Leave out --top-k, --top-p and --temperature.")
    if args.greedy and args.num_images > 1:
        raise ValueError(f"--greedy gives one image per pair, but got --num-images {args.num_images}. Leave out one.")


def _paint_all(pipe: "StyleVARPipeline", pairs: Sequence[Pair], args: argparse.Namespace, report: Report) -> None:
    from tqdm import tqdm

    num_scales = pipe.model.config.num_scales
    broken: set[str] = set()
    with tqdm(
        total=len(pairs) * max(args.num_images, args.best_of) * num_scales,
        desc="Painting",
        unit="image",
        unit_scale=1 / num_scales,
        disable=args.quiet,
    ) as bar:

        def advance(state: "StyleVARScaleState") -> None:
            bar.update(1 if args.paint_size else len(state.codes))

        for style_pairs in _by_style(pairs):
            if (style := _read_style(pipe, style_pairs[0].style, args, report, broken)) is None:
                continue
            if len(style_pairs) > 1 and args.rank_by is None and not style_pairs[0].style.parts:
                style = _encoded_once(pipe, style, args)
            # As many as are painted at once, so that each is saved when it is painted.
            size = max(1, args.batch_size // max(args.num_images, args.best_of))
            for chunk in (style_pairs[i : i + size] for i in range(0, len(style_pairs), size)):
                if args.skip_existing:  # another process may be at the same folder
                    chunk = [pair for pair in chunk if not all(map(os.path.exists, pair.outputs))]
                contents = [_read(pair.content, "CONTENT", report, broken) for pair in chunk]
                readable = [(pair, image) for pair, image in zip(chunk, contents, strict=True) if image is not None]
                _paint(pipe, readable, style, args, report, advance)


def _by_style(pairs: Sequence[Pair]) -> Iterable[list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.style.location, []).append(pair)
    return groups.values()


def _read(source: Source, name: str, report: Report, broken: set[str]) -> "PIL.Image.Image | None":
    """The picture, or `None` if it is broken, which is reported once."""
    if source.location in broken:
        return None
    try:
        return source.read(name)
    except (ValueError, OSError) as error:
        broken.add(source.location)
        report.fail([source.location], error)
        return None


def _read_style(
    pipe: "StyleVARPipeline", source: Source, args: argparse.Namespace, report: Report, broken: set[str]
) -> "PIL.Image.Image | StyleVARReference | None":
    """The style, or what several styles blend to; `None` if it is broken, which is reported."""
    if not source.parts:
        return _read(source, "STYLE", report, broken)
    pictures = [_read(part, "STYLE", report, broken) for part in source.parts]
    return None if None in pictures else blend(pipe, pictures, args)


def _encoded_once(pipe: "StyleVARPipeline", style: Any, args: argparse.Namespace) -> Any:
    """A style for many contents; where it cannot be encoded, painting says why."""
    import torch

    try:
        return pipe.blend_styles([style], fit=args.fit)
    except (ValueError, torch.OutOfMemoryError):
        return style


def _paint(
    pipe: "StyleVARPipeline",
    readable: Sequence[tuple[Pair, "PIL.Image.Image"]],
    style: "PIL.Image.Image | StyleVARReference",
    args: argparse.Namespace,
    report: Report,
    advance: "Callable[[StyleVARScaleState], None]",
) -> None:
    """Paints and saves some contents in one style. If one of them cannot be painted, the others still are."""
    import torch

    if not readable:
        return
    failure = None
    pairs, contents = zip(*readable, strict=True)
    try:
        results = pipe(
            list(contents),
            style,
            seed=None if args.greedy else args.seed,
            style_strength=args.style_strength,
            num_images=args.num_images,
            batch_size=args.batch_size,
            do_sample=False if args.greedy else None,
            top_k=args.top_k,
            top_p=args.top_p,
            temperature=args.temperature,
            output_size=args.output_size,
            num_candidates=args.best_of,
            rank_by=args.rank_by,
            **control_options(args),
            callback_on_scale_end=advance,
            previews=args.previews,
        )
    except ValueError as error:
        failure = one_line(error)
    except torch.OutOfMemoryError:
        failure = OUT_OF_MEMORY
    if failure is not None:  # not in `except`, where the traceback keeps the memory of the call that failed
        if len(readable) == 1:
            report.fail([pairs[0].content.location, pairs[0].style.location], failure)
            return
        for one in readable:
            _paint(pipe, [one], style, args, report, advance)
        return
    images, previews = (results.images, results.previews) if args.previews else (results, [None] * len(pairs))
    for pair, of_pair, previews_of_pair in zip(pairs, images, previews, strict=True):
        _save_pair(pair, of_pair, previews_of_pair, args, report)


def _save_pair(pair: Pair, images: Any, previews: Any, args: argparse.Namespace, report: Report) -> None:
    """Writes the images of a pair, and their previews. A file that cannot be written does not stop the others."""

    def written(image: "PIL.Image.Image", path: Path, settings: dict[str, Any] | None = None) -> bool:
        try:
            save_image(image, path, overwrite=args.overwrite, settings=settings)
        except FileExistsError:
            if not args.skip_existing:
                error = f"{path} was written by somebody else meanwhile, and is kept"
                report.fail([pair.content.location, pair.style.location], error)
            return False
        except (ValueError, OSError) as error:
            report.fail([pair.content.location, pair.style.location], error)
            return False
        return True

    if args.num_images == 1:
        images, previews = [images], [previews]
    for k, (path, image) in enumerate(zip(pair.outputs, images, strict=True)):
        entry = {"content": pair.content.location, "style": pair.style.location, "output": str(path)}
        drawn = image.info.get("candidate", k)
        entry["seed"] = None if args.greedy else args.seed + drawn
        if args.best_of > 1:
            entry["score"] = image.info["score"]
        if not written(image, path, _settings(args, entry)):
            continue
        if args.previews:
            paths = [path.with_stem(f"{path.stem}_scale{scale + 1}") for scale in range(len(previews[k]))]
            entry["previews"] = [
                str(at) for at, preview in zip(paths, previews[k], strict=True) if written(preview, at)
            ]
        report.outputs.append(entry)
        if not args.json and not args.quiet:
            sys.stdout.write(f"{path}\n")


def _settings(args: argparse.Namespace, entry: dict[str, Any]) -> dict[str, Any]:
    """What made a result, for its file; pictures by their names, which say nothing about this machine."""
    names = {role: PurePath(str(entry[role])).name for role in ("content", "style")}
    given = {name: getattr(args, name) for name in ("model", "adapter", "revision", "top_k", "top_p", "temperature")}
    settings = {"software": f"stylevar-hf {__version__}", **names, "seed": entry["seed"], **report_controls(args)}
    settings.update({name: value for name, value in given.items() if value is not None}, greedy=args.greedy)
    return {name: value for name, value in settings.items() if value is not None}


def _fit(text: str) -> str:
    names = {"stretch": "stretch", "center_crop": "crop", "pad": "pad"}
    if text not in names:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, but got {text!r}")
    return names[text]


def _output_size(text: str) -> str | tuple[int, int]:
    """`"model"`, `"content"`, or width and height as `(height, width)`."""
    if text in ("model", "content"):
        return text
    match = re.fullmatch(r"(\d{1,5})[xX\u00d7](\d{1,5})", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise argparse.ArgumentTypeError(f"must be model, content or WxH such as 1920x1080, but got {text!r}")
    return int(match[2]), int(match[1])


COMMAND = Command(
    name="stylize",
    summary="paint photographs in the style of others",
    example="stylevar stylize photo.jpg painting.jpg -o out.png --seed 0\n"
    "stylevar stylize photos/ painting.jpg -o out/ --batch-size 4\n"
    "stylevar stylize photo.jpg a.jpg b.jpg --blend 0.7 0.3 --keep-colors 0.5 -o out.png\n"
    "stylevar stylize photo.jpg painting.jpg -o large.png --paint-size 1024\n"
    "stylevar stylize clip.mp4 painting.jpg -o out.mp4",
    add_arguments=add_arguments,
    run=run,
    flags=FLAGS,
)
