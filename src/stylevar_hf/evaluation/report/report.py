# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Everything that a run writes at its end: JSON, Markdown, Hub entries, plots, galleries and the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._common.files import write_atomically, write_json
from ..pairs import PairSet
from ..run_folder import RunFolder, file_name
from .gallery import save_gallery
from .html import GalleryFigure, to_html
from .hub_results import write_hub_results
from .markdown import to_markdown
from .plots import draw_bars, draw_trade_off, to_png
from .sections import build_sections, set_title, short_title


# Side of a picture in the galleries, in pixels.
MIN_CELL, MAX_CELL = 96, 256
MAX_HEADING = 22


def write_report(
    folder: RunFolder,
    results: Mapping[str, Any],
    all_pairs: Sequence[PairSet],
    gallery_rows: int,
    hub_dataset: str | None = None,
) -> list[Path]:
    """
    Writes `results.json`, `results.md`, `index.html`, `plots/`, `galleries/` and `.eval_results/`.

    Args:
        folder ([`RunFolder`]):
            Where, and the painted pictures.
        results (`Mapping[str, Any]`):
            See [`stylevar_hf.evaluation.run.results`].
        all_pairs (`Sequence[PairSet]`):
            The sets.
        gallery_rows (`int`):
            Pairs per gallery.
        hub_dataset (`str`, *optional*):
            See [`write_hub_results`].

    Returns:
        `list[Path]`: The files.
    """
    root = folder.root
    files = [write_json(root / "results.json", results)]
    figures: dict[str, bytes | GalleryFigure] = {}
    paths: dict[str, str] = {}
    for pairs in all_pairs:
        for key, plot in _plots(results, pairs.name):
            figures[key], paths[key] = plot, f"plots/{file_name(key)}.png"
            files.append(write_atomically(root / paths[key], plot))
        for key, columns in _galleries(folder, results, pairs, gallery_rows):
            figures[key], paths[key] = GalleryFigure(columns), f"galleries/{file_name(key)}.png"
            cell = _cell_size(pairs.processor.size["height"])
            files.append(save_gallery(root / paths[key], columns, cell_size=cell, title=set_title(pairs.name)))
    sections = build_sections(results)
    files.append(write_atomically(root / "results.md", to_markdown(sections, paths)))
    title = " and ".join([*results["settings"]["models"], *results["settings"]["generators"]])
    files.append(write_atomically(root / "index.html", to_html(sections, figures, f"Evaluation of {title}")))
    return [*files, *write_hub_results(root, results, hub_dataset)]


def _plots(results: Mapping[str, Any], set_name: str) -> Iterator[tuple[str, bytes]]:
    for kind, draw in (("bars", draw_bars), ("trade_off", draw_trade_off)):
        if (figure := draw(results, set_name)) is not None:
            yield f"{kind}_{set_name}", to_png(figure)


def _galleries(
    folder: RunFolder, results: Mapping[str, Any], pairs: PairSet, num_rows: int
) -> Iterator[tuple[str, dict[str, list]]]:
    """Heading to pictures: every system that paints, then each checkpoint over the strength."""

    def inputs(rows: Sequence[int], names: Sequence[str]) -> dict[str, list]:
        return {name: pairs.pictures(name, rows) for name in names}

    def outputs(rows: Sequence[int], system: str) -> list:
        return [folder.load_output(pairs.name, system, row) for row in rows]

    entry, systems = results["sets"][pairs.name], results["systems"]
    rows = pairs.check_rows(num_rows)
    columns = inputs(rows, ("content", "style", *(["target"] if pairs.has_target else [])))
    for system in entry["means"]:
        if system not in ("content", "style"):
            heading = short_title(results, system, MAX_HEADING)
            columns[heading if heading not in columns else f"{heading} ({len(columns)})"] = outputs(rows, system)
    yield f"gallery_{pairs.name}", columns
    for model, curve in (entry["trade_off"] or {"curves": {}})["curves"].items():
        there = pairs.check_rows(results["settings"]["num_checks"])
        places = range(0, len(there), -(-len(there) // num_rows))
        rows = [there[place] for place in places]
        columns = inputs(rows, ("content", "style"))
        for strength in (point["style_strength"] for point in curve):
            found = [n for n, s in systems.items() if s["model"] == model and s["style_strength"] == strength]
            system = next(name for name in found if systems[name]["kind"] in ("model", "strength"))
            columns[f"{strength:+g}" if strength else "0"] = outputs(rows, system)
        yield f"strength_{pairs.name}_{model}", columns


def _cell_size(side: int) -> int:
    """A whole multiple of small pictures, so that they stay crisp; large ones are reduced."""
    return min(MAX_CELL, side * max(1, -(-MIN_CELL // side)))


__all__ = ["write_report"]
