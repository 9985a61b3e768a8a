# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The report as sections of text, tables and figures, which Markdown and HTML both show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..measures import PAPER_MEASURES, Measure
from ..model_checks import CHECK_MEASURES, CheckReport, StrengthReport
from ..statistics import Estimate


MARKS = {"better": "✓", "worse": "✗", "unclear": "·"}
# Reasons and file names that are listed before the report says how many more there are.
MAX_LISTED = 20
KIND_TITLES = {
    "omnistyle": "OmniStyle",
    "imagepulse": "ImagePulse",
    "unpaired": "Unpaired",
    "styleid": "StyleID protocol",
}


@dataclass(frozen=True)
class Table:
    """
    Args:
        heads (`Sequence[str]`): Of the columns; the first one heads the rows' names.
        rows (`Sequence[Sequence[str]]`): Cells.
        caption (`str`): What it shows.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class FigureSlot:
    """A plot or a gallery: the key under which it is drawn, and what it shows."""

    key: str
    caption: str


@dataclass
class Section:
    title: str
    blocks: list[str | Table | Bullets | FigureSlot] = field(default_factory=list)


def set_title(name: str) -> str:
    return KIND_TITLES.get(name, name.replace("_", " ").replace("-", " ").capitalize())


def short_title(results: Mapping[str, Any], system: str, length: int) -> str:
    """A title for narrow places: without words that say nothing, cut in the middle if it is still too long."""
    entry = results["systems"][system]
    title = f"{entry['model']} (swapped)" if entry["kind"] == "swapped" else entry["title"]
    title = title.removeprefix("return the ").removesuffix(" colour transfer")
    half = length // 2
    return title if len(title) <= length else f"{title[: half - 1]}…{title[-half:]}"


def read_measures(results: Mapping[str, Any]) -> dict[str, Measure]:
    return {name: Measure(name, **entry) for name, entry in results["measures"].items()}


def build_sections(results: Mapping[str, Any]) -> list[Section]:
    """
    The report in order: the paper's table, each set, the dial, the checks, how it was made.

    Args:
        results (`Mapping[str, Any]`):
            See [`stylevar_hf.evaluation.run.results`].
    """
    sections = [_paper_section(results)]
    sections += [_set_section(results, name) for name in results["sets"]]
    sections += _check_sections(results)
    sections.append(Section("How it was made", [Bullets(list(_settings(results)))]))
    return sections


def _paper_section(results: Mapping[str, Any]) -> Section:
    measures = read_measures(results)
    shown = [measures[name] for name in PAPER_MEASURES if name in measures]
    rows = []
    for set_name, entry in results["sets"].items():
        for system, means in entry["means"].items():
            cells = [_estimate(means.get(measure.name), measure) for measure in shown]
            cells.append(_seconds(entry["seconds_per_image"].get(system), results["systems"][system]["kind"]))
            is_first = system == next(iter(entry["means"]))
            benchmark = f"{set_title(set_name)} (n = {entry['num_pairs']})" if is_first else ""
            rows.append([benchmark, _title(results, system), *cells])
    section = Section("Results")
    caption = "The paper's table: mean [95% interval over contents]; s/image: median [quartiles over batches]."
    heads = ["Benchmark", "Method", *(measure.heading for measure in shown), "s/image ↓"]
    section.blocks.append(Table(heads, rows, caption))
    if any(not entry["has_target"] for entry in results["sets"].values()):
        section.blocks.append(
            "Where there is no target, LPIPS, SSIM, PSNR, DreamSim and CLIP compare with the content. They reward "
            "doing nothing: read them beside the style loss and the row that returns the content."
        )
    if results["not_computed"]:
        section.blocks.append("Not computed:")
        section.blocks.append(Bullets([f"{one['title']}: {one['reason']}" for one in results["not_computed"]]))
    return section


def _set_section(results: Mapping[str, Any], name: str) -> Section:
    entry, measures = results["sets"][name], read_measures(results)
    section = Section(set_title(name))
    section.blocks.append(f"{entry['num_pairs']} pairs of {entry['num_contents']} contents: {entry['source']}.")
    if entry["num_contents"] < 2:
        section.blocks.append("All pairs show one content, so that there are no intervals.")
    notes = list(entry["notes"])
    if left_out := entry["left_out"]:
        notes.append(f"{len(left_out)} left out:")
        notes += left_out[:MAX_LISTED]
        notes += [f"and {len(left_out) - MAX_LISTED} more"] if len(left_out) > MAX_LISTED else []
    if notes:
        section.blocks.append(Bullets(notes))
    section.blocks.append(FigureSlot(f"gallery_{name}", "Pairs, evenly spaced over the set."))
    computed = _computed(entry, measures)
    rows = [
        [_title(results, system), *(_estimate(means.get(measure.name), measure) for measure in computed)]
        for system, means in entry["means"].items()
    ]
    section.blocks.append(FigureSlot(f"bars_{name}", "Means with 95% intervals."))
    section.blocks.append(
        Table(["Method", *(measure.heading for measure in computed)], rows, "Means [95% interval over contents].")
    )
    for judged, others in entry["differences"].items():
        section.blocks.append(_difference_table(results, judged, others, computed))
    section.blocks += _sweep_blocks(results, name)
    return section


def _difference_table(
    results: Mapping[str, Any], judged: str, others: Mapping[str, Any], computed: Sequence[Measure]
) -> Table:
    heads = ["Measure", *(f"minus {_title(results, other)}" for other in others)]
    rows = []
    for measure in computed:
        cells = []
        for found in others.values():
            one = found.get(measure.name)
            mark = "" if one is None or one["low"] is None else f" {MARKS[one['verdict']]}"
            cells.append(f"{_estimate(one, measure)}{mark}")
        if any(cells):
            rows.append([measure.heading, *cells])
    caption = (
        f"{_title(results, judged)} minus the others, pair by pair [95% interval]. ✓ it is better, ✗ it is worse, · "
        "the interval holds 0. Not corrected for the number of comparisons."
    )
    return Table(heads, rows, caption)


def _sweep_blocks(results: Mapping[str, Any], name: str) -> Iterator[FigureSlot | Table]:
    entry = results["sets"][name]
    if entry["trade_off"] is None:
        return
    num_pairs = entry["trade_off"]["num_pairs"]
    yield FigureSlot(
        f"trade_off_{name}",
        f"Style against content over style_strength, {num_pairs} pairs; the lower left is better on both.",
    )
    for model in entry["trade_off"]["curves"]:
        yield FigureSlot(f"strength_{name}_{model}", f"{model} over style_strength.")
    for model, found in entry["strength"].items():
        heads, rows = StrengthReport.from_dict(found).to_table()
        caption = (
            f"{model}, {num_pairs} pairs. Monotone: does each step go the right way? Clearly: so do the intervals."
        )
        yield Table(heads, rows, caption)


def _check_sections(results: Mapping[str, Any]) -> Iterator[Section]:
    titles = {
        "identity": ("Style = content", "A picture in its own style, compared with itself."),
        "reconstruction": ("Tokenizer", "Pictures through the tokenizer and back, compared with themselves."),
    }
    for key, (title, caption) in titles.items():
        section = Section(title)
        for model, checks in results[key].items():
            found = {name: CheckReport.from_dict(check) for name, check in checks.items()}
            measures = list(next(iter(found.values())).means)
            rows = [
                [name, str(one.num_images), *(one.means[key].format(CHECK_MEASURES[key][1]) for key in measures)]
                for name, one in found.items()
            ]
            heads = ["Pictures", "n", *(CHECK_MEASURES[measure][0] for measure in measures)]
            section.blocks.append(Table(heads, rows, f"{model}. {caption}"))
        if section.blocks:
            yield section


def _settings(results: Mapping[str, Any]) -> Iterator[str]:
    settings = results["settings"]
    for name, model in settings["models"].items():
        sampling = ", ".join(f"{key} {value}" for key, value in model["sampling"].items())
        yield (
            f"{name}: {model['path']} (fingerprint {model['fingerprint']}), {model['dtype']} on {model['device']}, "
            f"{sampling}"
        )
    shown = ("date", "benchmark", "image_size", "resize_mode", "style_strength", "seed", "batch_size", "num_resamples")
    for name in shown:
        yield f"{name}: {settings[name]}"
    for name, path in settings["weights"].items():
        yield f"weights of {name}: {path}"
    yield ", ".join(f"{name} {version}" for name, version in settings["versions"].items())


def _computed(entry: Mapping[str, Any], measures: Mapping[str, Measure]) -> list[Measure]:
    return [one for name, one in measures.items() if any(name in means for means in entry["means"].values())]


def _estimate(found: Mapping[str, Any] | None, measure: Measure) -> str:
    return "" if found is None else Estimate.from_dict(found).format(measure.digits)


def _seconds(time: Mapping[str, Any] | None, kind: str) -> str:
    """Of what would be used to paint; a control is not."""
    if time is None or kind in ("control", "swapped"):
        return ""
    spread = f" [{time['low']:.4f}, {time['high']:.4f}]" if time["num_batches"] > 1 else ""
    return f"{time['median']:.4f}{spread}"


def _title(results: Mapping[str, Any], system: str) -> str:
    return results["systems"][system]["title"]


__all__ = ["Bullets", "FigureSlot", "Section", "Table", "build_sections", "read_measures", "set_title", "short_title"]
