# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Plots of the results: bars with intervals, and style against content over the strength.

Figures are made without pyplot, so that nothing global changes.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..measures import Measure
from ..statistics import Estimate
from .sections import read_measures, set_title, short_title


PAPER, INK, FAINT_INK, GRID, OTHER = "#ffffff", "#1f2328", "#6b7280", "#e5e7eb", "#9ca3af"
# Okabe and Ito's, which the colour-blind can tell apart; for what is judged. Everything else is grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DPI = 150
BAR_COLUMNS = 3
MAX_LABEL = 30
# Style measure to content measure, where both were computed.
TRADE_OFFS = (
    ("style_loss", "content_loss"),
    ("style_texture", "content_structure"),
    ("style_colour", "content_structure"),
)


def to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def draw_bars(results: Mapping[str, Any], set_name: str) -> Figure | None:
    """
    A panel per measure, a bar per system, each with its 95% interval.

    Args:
        results (`Mapping[str, Any]`):
            See [`stylevar_hf.evaluation.run.results`].
        set_name (`str`):
            Which set.

    Returns:
        `Figure`, *optional*: `None` if nothing was computed.
    """
    entry = results["sets"][set_name]
    means = {system: found for system, found in entry["means"].items() if found}
    measures = [m for name, m in read_measures(results).items() if any(name in found for found in means.values())]
    if not measures:
        return None
    of_system = system_colours(results)
    num_rows = -(-len(measures) // BAR_COLUMNS)
    height = 0.5 + num_rows * (0.55 + 0.24 * len(means))
    figure = Figure(figsize=(11, height), facecolor=PAPER, layout="constrained")
    grid = figure.subplots(num_rows, BAR_COLUMNS, squeeze=False, sharey=True)
    titles = [_plain(short_title(results, system, MAX_LABEL)) for system in means]
    for position, axes in enumerate(grid.flat):
        if position >= len(measures):
            axes.set_axis_off()
            continue
        measure = measures[position]
        _bar_panel(axes, measure, means, of_system)
        axes.set_yticks(range(len(means)), titles)
    grid[0, 0].invert_yaxis()  # shared: the first system is on top everywhere
    figure.suptitle(f"{_plain(set_title(set_name))}, n = {entry['num_pairs']}", color=INK, fontsize=11)
    return figure


def _bar_panel(axes: Axes, measure: Measure, means: Mapping[str, Any], of_system: Mapping[str, str]) -> None:
    _style_axes(axes)
    axes.set_title(measure.heading, fontsize=9, color=INK)
    for place, (system, found) in enumerate(means.items()):
        if measure.name not in found:
            continue
        one = Estimate.from_dict(found[measure.name])
        axes.barh(place, one.mean, height=0.7, color=of_system[system], zorder=2)
        if one.has_interval:
            error = [[max(0, one.mean - one.low)], [max(0, one.high - one.mean)]]
            axes.errorbar(one.mean, place, xerr=error, color=INK, capsize=2, linewidth=1, zorder=3)
    axes.grid(axis="x", color=GRID, linewidth=0.7, zorder=0)


def draw_trade_off(results: Mapping[str, Any], set_name: str) -> Figure | None:
    """
    Style against content: a curve over the strength for each checkpoint, a point for each other system.

    Args:
        results, set_name:
            As for [`draw_bars`].

    Returns:
        `Figure`, *optional*: `None` without a sweep.
    """
    trade_off = results["sets"][set_name]["trade_off"]
    if trade_off is None:
        return None
    known = set.intersection(*(set(p["means"]) for curve in trade_off["curves"].values() for p in curve))
    panels = [pair for pair in TRADE_OFFS if known.issuperset(pair)]
    if not panels:
        return None
    measures, of_system = read_measures(results), system_colours(results)
    figure = Figure(figsize=(4.6 * len(panels), 4.3), facecolor=PAPER, layout="constrained")
    for axes, (style, content) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _style_axes(axes)
        axes.grid(color=GRID, linewidth=0.7, zorder=0)
        axes.set_xlabel(f"{measures[content].heading}   (content)", fontsize=9, color=INK)
        axes.set_ylabel(f"{measures[style].heading}   (style)", fontsize=9, color=INK)
        for model, curve in trade_off["curves"].items():
            _curve(axes, model, curve, style, content, of_system[model])
        for system, means in trade_off["points"].items():
            if style in means and content in means:
                x, y = means[content]["mean"], means[style]["mean"]
                axes.plot(x, y, "o", color=of_system[system], markersize=6, zorder=3, clip_on=False)
        axes.set_xlim(*_limits(axes.get_xlim()))
        axes.set_ylim(*_limits(axes.get_ylim()))
        for system, means in trade_off["points"].items():
            if style in means and content in means:
                x, y = means[content]["mean"], means[style]["mean"]
                is_right = x > sum(axes.get_xlim()) / 2  # where a label to the right would leave the panel
                place = (-7, 5, "right") if is_right else (7, 5, "left")
                _label(axes, _plain(short_title(results, system, MAX_LABEL)), x, y, place, FAINT_INK)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        *handles,
        loc="outside upper center",
        ncols=3,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
        title=f"{_plain(set_title(set_name))}, n = {trade_off['num_pairs']}: style_strength along each curve",
        title_fontproperties={"size": 10},
    ).get_title().set_color(INK)
    return figure


def _curve(
    axes: Axes,
    model: str,
    curve: Sequence[Mapping[str, Any]],
    style: str,
    content: str,
    colour: str,
) -> None:
    points = {name: [Estimate.from_dict(one["means"][name]) for one in curve] for name in (style, content)}
    x, y = ([one.mean for one in points[name]] for name in (content, style))
    axes.plot(x, y, "-o", color=colour, linewidth=1.6, markersize=4, zorder=4, label=_plain(model))
    if all(one.has_interval for found in points.values() for one in found):
        errors = {
            name: [
                [max(0, one.mean - one.low) for one in points[name]],
                [max(0, one.high - one.mean) for one in points[name]],
            ]
            for name in points
        }
        axes.errorbar(x, y, xerr=errors[content], yerr=errors[style], fmt="none", ecolor=colour, alpha=0.35, zorder=3)
    # The ends and the middle: labels of all points would cover each other.
    places = {0: (-6, 6, "right"), len(curve) - 1: (6, 6, "left")}
    places |= {place: (0, -13, "center") for place, point in enumerate(curve) if point["style_strength"] == 0}
    for place, where in places.items():
        strength = curve[place]["style_strength"]
        _label(axes, f"{strength:+g}" if strength else "0", x[place], y[place], where, colour)


def _limits(limits: tuple[float, float]) -> tuple[float, float]:
    """From 0, which all these measures have for the best, with room for what is drawn there."""
    return -0.05 * limits[1], 1.05 * limits[1]


def _label(axes: Axes, text: str, x: float, y: float, place: tuple[float, float, str], colour: str) -> None:
    """A text beside a point: points to the right, points up, and which end of the text lies there."""
    axes.annotate(
        text, (x, y), xytext=place[:2], textcoords="offset points", ha=place[2], fontsize=8, color=colour, zorder=5
    )


def _style_axes(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(FAINT_INK)


def _plain(name: str) -> str:
    """A name as it is: matplotlib sets what stands between dollars as formulas, and hides labels that begin with _."""
    return re.sub(r"^_", " _", name).replace("$", r"\$")


def system_colours(results: Mapping[str, Any]) -> dict[str, str]:
    """One colour for each system that is judged, grey for all others; the same in every plot."""
    judged = [name for name, one in results["systems"].items() if one["kind"] in ("model", "generator")]
    own = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(judged)}
    return {name: own.get(name, OTHER) for name in results["systems"]}


__all__ = ["draw_bars", "draw_trade_off", "to_png"]
