# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[eval]"]
# ///
"""
What the controls do, measured on pairs of pictures: one table per control with 95 % bootstrap intervals, as JSON and
Markdown.

    python examples/measure_controls.py photos/ paintings/ -o measured/controls --model stylevar-mini --pairs 200
    python examples/measure_controls.py photos/ paintings/ -o measured/film --only film windows --clips 10

Distances: colours in Delta E between palettes, textures in octaves of log-Gabor amplitude (both 0 for equal pictures),
structure as 1 - SSIM to the content. No network's weights are needed.
"""

import argparse
import json
import random
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from tqdm import tqdm

from stylevar_hf import StyleVARPipeline
from stylevar_hf.canvas_stylevar import Canvas, plan_canvas
from stylevar_hf.controls_stylevar import SCALE_PRESETS
from stylevar_hf.conversion.loading import load_pipeline
from stylevar_hf.evaluation.baselines import get_baseline
from stylevar_hf.evaluation.statistics import bootstrap_mean
from stylevar_hf.measures.pictures import colour_distance, structural_similarity, texture_distance
from stylevar_hf.retouching_stylevar import rgb_to_oklab


Picture = PIL.Image.Image
Rows = dict[str, dict[str, list[float]]]  # setting -> measure -> one value per pair
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
COLOURFUL = 0.02  # OKLab chroma from which on a hue means something


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contents", type=Path, help="folder of photographs")
    parser.add_argument("styles", type=Path, help="folder of paintings")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for controls.json and controls.md")
    parser.add_argument("--model", help="folder, Hub id or name of a bundled checkpoint (default: the bundled one)")
    parser.add_argument("--pairs", type=int, default=200, help="pairs per control (default: 200)")
    parser.add_argument("--clips", type=int, default=5, help="clips of film, of five kinds (default: 5)")
    parser.add_argument("--frames", type=int, default=12, help="frames per clip (default: 12)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[512, 1024, 2048], help="sizes of paintings on windows"
    )
    parser.add_argument("--adain", help="folder with AdaIN's weights, to compare films with")
    parser.add_argument("--only", nargs="+", choices=sorted(TABLES), help="these tables alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(arguments)

    pipe = load_pipeline(args.model, device=args.device)
    pairs = draw_pairs(args.contents, args.styles, args.pairs, args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"model": pipe.model.name_or_path, "pairs": len(pairs), "seed": args.seed, "tables": {}}
    for name in args.only or TABLES:
        start = time.perf_counter()
        rows = TABLES[name](pipe, pairs, args)
        table = {
            setting: {measure: estimate(values) for measure, values in measures.items()}
            for setting, measures in rows.items()
        }
        report["tables"][name] = {"seconds": round(time.perf_counter() - start, 1), "rows": table}
        (args.output / "controls.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
        (args.output / "controls.md").write_text(to_markdown(report), encoding="utf-8")


def draw_pairs(contents: Path, styles: Path, number: int, seed: int) -> list[tuple[Path, Path]]:
    """Random pairs, each content as often as any other."""
    files = [sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) for folder in (contents, styles)]
    rng = random.Random(seed)
    chosen = [rng.sample(files[0], len(files[0]))[index % len(files[0])] for index in range(number)]
    return [(content, rng.choice(files[1])) for content in chosen]


def estimate(values: Sequence[float]) -> dict[str, float]:
    found = [value for value in values if np.isfinite(value)]
    mean = bootstrap_mean(found) if len(found) > 1 else None
    if mean is None:
        return {"mean": found[0] if found else float("nan"), "n": len(found)}
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "n": len(found)}


def to_markdown(report: dict[str, Any]) -> str:
    lines = [f"# Controls of {report['model']}", ""]
    for name, table in report["tables"].items():
        measures = list(next(iter(table["rows"].values())))
        lines += [f"## {name}", "", "| |" + "".join(f" {m} |" for m in measures), "|---|" + "---|" * len(measures)]
        for setting, row in table["rows"].items():
            cells = (row[measure] for measure in measures)
            lines.append(f"| {setting} |" + "".join(f" {_cell(cell)} |" for cell in cells))
        lines.append("")
    return "\n".join(lines)


def _cell(cell: dict[str, float]) -> str:
    interval = f" [{cell['low']:.3g}, {cell['high']:.3g}]" if "low" in cell else ""
    return f"{cell['mean']:.4g}{interval}"


def square(path: Path, side: int) -> Picture:
    """The centre of a picture, as the model sees it."""
    image = PIL.Image.open(path).convert("RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    return image.crop((left, top, left + short, top + short)).resize((side, side), PIL.Image.Resampling.LANCZOS)


def each(
    pipe: StyleVARPipeline, pairs: Iterable[tuple[Path, Path]], name: str
) -> Iterable[tuple[int, Picture, Picture]]:
    side = pipe.model.config.image_size
    for seed, (content, style) in enumerate(tqdm(list(pairs), desc=name)):
        yield seed, square(content, side), square(style, side)


def add(rows: Rows, setting: str, **values: float) -> None:
    for measure, value in values.items():
        rows.setdefault(setting, {}).setdefault(measure, []).append(float(value))


def distances(image: Picture, content: Picture, style: Picture) -> dict[str, float]:
    return {
        "colour to style": colour_distance(image, style),
        "texture to style": texture_distance(image, style),
        "colour to content": colour_distance(image, content),
        "structure to content": 1 - structural_similarity(image, content),
    }


def oklab(image: Picture) -> torch.Tensor:
    return rgb_to_oklab(torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255)


def hue_error(image: Picture, content: Picture) -> float:
    """Mean angle between the hues, in degrees, where both have one."""
    found, wanted = oklab(image)[1:], oklab(content)[1:]
    colourful = (found.norm(dim=0) > COLOURFUL) & (wanted.norm(dim=0) > COLOURFUL)
    cosine = torch.nn.functional.cosine_similarity(found, wanted, dim=0)[colourful]
    return cosine.clamp(-1, 1).acos().rad2deg().mean().item()


def measure_colors(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    rows: Rows = {}
    for seed, content, style in each(pipe, pairs, "keep_colors"):
        for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
            image = pipe(content, style, seed=seed, keep_colors=amount)
            chroma = (oklab(image)[1:] - oklab(content)[1:]).norm(dim=0).mean()
            light = (oklab(image)[0] - oklab(pipe(content, style, seed=seed))[0]).abs().mean()
            add(rows, str(amount), **{"hue error, degrees": hue_error(image, content)})
            add(rows, str(amount), **{"chroma error": chroma, "light moved": light})
    return rows


def measure_blends(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    rows: Rows = {}
    others = [square(style, pipe.model.config.image_size) for _, style in pairs[1:] + pairs[:1]]
    for seed, content, style in each(pipe, pairs, "blend"):
        for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
            image = pipe(content, pipe.blend_styles([style, others[seed]], [1 - weight, weight]), seed=seed)
            for name, one in (("first", style), ("second", others[seed])):
                add(rows, str(weight), **{f"colour to {name}": colour_distance(image, one)})
                add(rows, str(weight), **{f"texture to {name}": texture_distance(image, one)})
    return rows


def measure_scales(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    rows: Rows = {}
    sides = pipe.model.config.patch_nums
    settings: dict[str, Any] = {"as trained": None}
    for scale, side in enumerate(sides):
        for sign in (1.0, -1.0):
            settings[f"{sign:+.0f} at {side} x {side}"] = [sign * (index == scale) for index in range(len(sides))]
    settings |= {"all +1": [1.0] * len(sides), "all -1": [-1.0] * len(sides)} | {name: name for name in SCALE_PRESETS}
    for seed, content, style in each(pipe, pairs, "strength_per_scale"):
        for name, strengths in settings.items():
            add(rows, name, **distances(pipe(content, style, seed=seed, strength_per_scale=strengths), content, style))
    return rows


def measure_masks(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    """A disc is painted: is the rest the content, and does the border show?"""
    rows: Rows = {}
    side = pipe.model.config.image_size
    y, x = np.indices((side, side)) + 0.5
    disc = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (0.3 * side) ** 2
    mask = PIL.Image.fromarray(np.where(disc, 255, 0).astype(np.uint8))
    edge = np.abs(np.diff(disc.astype(int), axis=1)) > 0
    for seed, content, style in each(pipe, pairs, "mask"):
        before = np.asarray(content, dtype=float)
        for feather in (0, 8, 24):
            image = np.asarray(pipe(content, style, seed=seed, mask=mask, mask_feather=feather), dtype=float)
            steps = np.abs(np.diff(image, axis=1)).mean(axis=2)
            add(
                rows,
                f"feather {feather}",
                **{
                    "black pixels that changed": (image[~disc] != before[~disc]).any(axis=-1).sum(),
                    "gradient at the border / elsewhere": steps[edge].mean() / max(steps[~edge].mean(), 1e-9),
                },
            )
    return rows


def measure_regions(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    """Left half one style, right half another: is each half nearest to its own?"""
    rows: Rows = {}
    side = pipe.model.config.image_size
    left = np.zeros((side, side), dtype=np.uint8)
    left[:, : side // 2] = 255
    masks = [PIL.Image.fromarray(left), PIL.Image.fromarray(255 - left)]
    others = [square(style, side) for _, style in pairs[1:] + pairs[:1]]
    for seed, content, style in each(pipe, pairs, "regions"):
        image = pipe(content, pipe.blend_styles([style, others[seed]], masks=masks), seed=seed)
        halves = (image.crop((0, 0, side // 2, side)), image.crop((side // 2, 0, side, side)))
        for half, own, other in ((halves[0], style, others[seed]), (halves[1], others[seed], style)):
            own_distance, other_distance = colour_distance(half, own), colour_distance(half, other)
            add(rows, "halves", **{"colour to own": own_distance, "colour to the other's": other_distance})
            add(rows, "halves", **{"nearest to own": own_distance < other_distance})
    return rows


def seam_ratio(image: Picture, canvas: Canvas) -> float:
    """Mean gradient across the borders of windows over that elsewhere."""
    values, factor = np.asarray(image, dtype=float), canvas.downsampling
    ratios = []
    for axis in (0, 1):
        gradient = np.abs(np.diff(values, axis=axis)).mean(axis=(1 - axis, 2))
        starts = sorted({window[axis] for window in canvas.windows})
        borders = [start * factor - 1 for start in starts[1:]]
        borders += [(start + canvas.side) * factor - 1 for start in starts[:-1]]
        elsewhere = np.ones(len(gradient), dtype=bool)
        for border in borders:
            elsewhere[max(0, border - 2) : border + 3] = False
        if borders:
            ratios.append(gradient[borders].mean() / gradient[elsewhere].mean())
    return float(np.mean(ratios)) if ratios else 1.0


def measure_windows(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    """Three aspect ratios of each size, `--clips` pairs each; beside it the content's own ratio at the same places."""
    rows: Rows = {}
    for size in args.sizes:
        for aspect in ((1, 1), (3, 2), (9, 16)):
            for seed, (file, style) in enumerate(tqdm(pairs[: args.clips], desc=f"{size} {aspect}")):
                content = PIL.Image.open(file).convert("RGB")
                scale = min(content.width / aspect[0], content.height / aspect[1])
                content = content.crop((0, 0, int(aspect[0] * scale), int(aspect[1] * scale)))
                canvas = plan_canvas((content.height, content.width), size, pipe.model.config.vq_config)
                start = time.perf_counter()
                image = pipe(content, str(style), seed=seed, paint_size=size)
                seconds = time.perf_counter() - start
                of_content = seam_ratio(content.resize(image.size, PIL.Image.Resampling.LANCZOS), canvas)
                found = seam_ratio(image, canvas)
                add(
                    rows,
                    f"{size}, {aspect[0]}:{aspect[1]}",
                    **{
                        "seam ratio": found,
                        "of the content": of_content,
                        "painting / content": found / of_content,
                        "seconds": seconds,
                        "windows": len(canvas.windows),
                        "peak memory so far, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                    },
                )
    return rows


def camera(kind: int, time: int, side: int) -> np.ndarray:
    """The affine map from places of frame `time` to places of the photograph, 3 x 3; `side` is that of the frame."""
    centre = side / 2
    shift, zoom, turn = (0.0, 0.0), 1.0, 0.0
    if kind == 0:
        shift = (2.0 * time, 0.0)
    elif kind == 1:
        zoom = 1.012**-time
    elif kind == 2:
        turn = np.deg2rad(0.6 * time)
    elif kind == 3:
        shift = (1.3 * time, -0.9 * time)
    else:
        shift, zoom = (-1.5 * time, 0.6 * time), 1.008**time
    cosine, sine = zoom * np.cos(turn), zoom * np.sin(turn)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    offset = np.array([centre, centre]) - linear @ np.array([centre, centre]) + shift
    return np.vstack([np.hstack([linear, offset[:, None]]), [0, 0, 1]])


def warp(image: Picture, matrix: np.ndarray, side: int) -> Picture:
    """The picture whose place `p` shows the place `matrix p` of another."""
    values = tuple(matrix[:2].flatten())
    return image.transform((side, side), PIL.Image.Transform.AFFINE, values, PIL.Image.Resampling.BICUBIC)


def film_error(frames: Sequence[Picture], cameras: Sequence[np.ndarray]) -> float:
    """Mean difference, in levels, of each frame to the one before as the camera's move predicts it."""
    errors = []
    side = frames[0].width
    white = PIL.Image.new("L", (side, side), 255)
    for before, now, old, new in zip(frames, frames[1:], cameras, cameras[1:], strict=False):
        move = np.linalg.inv(old) @ new  # from places of this frame to those of the frame before
        seen = np.asarray(warp(white, move, side)) == 255
        difference = np.abs(np.asarray(warp(before, move, side), dtype=float) - np.asarray(now, dtype=float))
        errors.append(difference[seen].mean())
    return float(np.mean(errors))


def measure_film(pipe: StyleVARPipeline, pairs: list, args: argparse.Namespace) -> Rows:
    """Photographs under a moving camera (pan, zoom, turn, and mixtures), so that the flow is known."""
    rows: Rows = {}
    side = pipe.model.config.image_size
    baselines = {name: get_baseline(name, args.adain if name == "adain" else None) for name in ("reinhard",)}
    if args.adain:
        baselines["adain"] = get_baseline("adain", args.adain)
    for clip, (file, style_file) in enumerate(tqdm(pairs[: args.clips], desc="film")):
        photograph, style = square(file, 2 * side), square(style_file, side)
        cameras = [camera(clip % 5, time, side) for time in range(args.frames)]
        middle = np.array([[1, 0, side / 2], [0, 1, side / 2], [0, 0, 1]])
        frames = [warp(photograph, middle @ one, side) for one in cameras]

        def report(name: str, painted: Iterable[Picture], frames=frames, cameras=cameras, style=style) -> None:
            painted = list(painted)
            nearest = np.mean([colour_distance(image, style) for image in painted[:: max(1, len(painted) // 3)]])
            add(rows, name, **{"warped error, levels": film_error(painted, cameras), "colour to style": nearest})
            structure = [1 - structural_similarity(a, b) for a, b in zip(painted, frames, strict=True)]
            add(rows, name, **{"structure to content": np.mean(structure)})

        report("the film itself", frames)
        report("independent seeds", (pipe(frame, style, seed=seed) for seed, frame in enumerate(frames)))
        for steadiness in (0.0, 0.3, 0.5, 0.7, 0.9):
            options = {"steadiness": steadiness, "output_size": "model"}
            report(f"steadiness {steadiness}", pipe.stylize_frames(frames, style, **options))
        for name, baseline in baselines.items():
            report(name, (baseline.stylize([frame], [style], [0])[0] for frame in frames))
    return rows


TABLES: dict[str, Callable[[StyleVARPipeline, list, argparse.Namespace], Rows]] = {
    "keep_colors": measure_colors,
    "blend": measure_blends,
    "strength_per_scale": measure_scales,
    "mask": measure_masks,
    "regions": measure_regions,
    "windows": measure_windows,
    "film": measure_film,
}


if __name__ == "__main__":
    main()
