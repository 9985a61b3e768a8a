# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`index.html`: the whole report in one file without scripts, for light and dark, for a phone and for paper."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import PIL.Image

from .sections import MARKS, Bullets, FigureSlot, Section, Table


@dataclass(frozen=True)
class GalleryFigure:
    """Heading to the pictures below it."""

    columns: Mapping[str, Sequence[PIL.Image.Image]]


_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d9dee4;
  --band: #f5f7f9; --good: #116329; --bad: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e6e8eb; --faint: #9aa1ac; --line: #2f353d;
  --band: #1b1f26; --good: #56d364; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; border-bottom: 1px solid var(--line); padding-bottom: 0.25rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
a { color: inherit; }
figure { margin: 1.5rem 0; }
figcaption { color: var(--faint); font-size: 0.875rem; padding: 0.25rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.8125rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.3rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, .left { text-align: left; }
td.left { white-space: normal; min-width: 8rem; }
thead th { white-space: normal; min-width: 5rem; }
tbody tr:nth-child(even) { background: var(--band); }
tbody th { position: sticky; left: 0; background: var(--paper); vertical-align: middle; white-space: normal;
  min-width: 7rem; max-width: 11rem; }
.interval { color: var(--faint); }
.better { color: var(--good); font-weight: 700; }
.worse { color: var(--bad); font-weight: 700; }
.plot img { display: block; width: 100%; min-width: 40rem; height: auto; }
/* Plots are drawn on white: darkened with their hues kept. */
@media (prefers-color-scheme: dark) { .plot img { filter: invert(0.92) hue-rotate(180deg); } }
.gallery td, .gallery th { padding: 2px; border: 0; text-align: center; }
.gallery thead th { min-width: 0; max-width: 8rem; font-size: 0.75rem; overflow-wrap: anywhere; }
.gallery img { display: block; width: clamp(5.5rem, 11vw, 9rem); height: auto; }
.gallery tbody tr:nth-child(even) { background: none; }
"""


def to_html(sections: Sequence[Section], figures: Mapping[str, bytes | GalleryFigure], title: str) -> str:
    """
    Args:
        sections (`Sequence[Section]`):
            See [`build_sections`].
        figures (`Mapping[str, bytes | GalleryFigure]`):
            What the slots show: a plot as PNG, or a gallery. Slots without a figure are passed over.
        title (`str`):
            Of the page.
    """
    links = "".join(f'<a href="#s{place}">{_text(section.title)}</a>' for place, section in enumerate(sections))
    body = [f"<h1>{_text(title)}</h1>", f'<nav aria-label="Sections">{links}</nav>', "<main>"]
    for place, section in enumerate(sections):
        body.append(f'<section id="s{place}"><h2>{_text(section.title)}</h2>')
        body += [_block(block, figures) for block in section.blocks]
        body.append("</section>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</main>\n"
        "</body>\n</html>\n"
    )


def _block(block: str | Table | Bullets | FigureSlot, figures: Mapping[str, bytes | GalleryFigure]) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in block.items) + "</ul>"
    if not isinstance(block, FigureSlot):
        return f"<p>{_text(block)}</p>"
    figure = figures.get(block.key)
    if figure is None:
        return ""
    if isinstance(figure, GalleryFigure):
        return _gallery(figure, block.caption)
    return (
        f'<figure class="plot"><div class="scroll" tabindex="0"><img src="{_data(figure, "image/png")}" '
        f'alt="{_text(block.caption)}"></div><figcaption>{_text(block.caption)}</figcaption></figure>'
    )


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col"{_left(head)}>{_text(head)}</th>' for head in table.heads)
    rows = []
    for first, *cells in table.rows:
        sides = [_left(head) for head in table.heads[1:]]  # names, which may look like intervals, are left
        texts = "".join(
            f"<td{side}>{_text(cell) if side else _cell(cell)}</td>" for side, cell in zip(sides, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{_text(first)}</th>{texts}</tr>')
    caption = _text(table.caption)
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="scroll" tabindex="0"><table aria-label="{caption}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></figure>"
    )


def _left(head: str) -> str:
    return ' class="left"' if head == "Method" else ""


def _cell(text: str) -> str:
    """A number with its interval on a line of its own, and the verdict in colour."""
    for verdict, mark in MARKS.items():
        if text.endswith(f" {mark}"):
            return f'{_cell(text.removesuffix(f" {mark}"))} <span class="{verdict}">{mark}</span>'
    mean, bracket, interval = text.partition(" [")
    if not bracket:
        return _text(text)
    return f'{_text(mean)}<br><span class="interval">[{_text(interval)}</span>'


def _gallery(figure: GalleryFigure, caption: str) -> str:
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in figure.columns)
    rows = []
    for number, pictures in enumerate(zip(*figure.columns.values(), strict=True), 1):
        cells = (
            f'<td><img src="{_picture(picture)}" alt="{_text(name)}, pair {number}" loading="lazy"></td>'
            for name, picture in zip(figure.columns, pictures, strict=True)
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<figure><div class="scroll" tabindex="0"><table class="gallery"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div><figcaption>{_text(caption)}</figcaption></figure>"
    )


def _picture(image: PIL.Image.Image) -> str:
    """A tenth of the PNG's size, which the files beside the page keep."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="WEBP", quality=90)
    return _data(buffer.getvalue(), "image/webp")


def _data(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _text(text: str) -> str:
    return html.escape(text)


__all__ = ["GalleryFigure", "to_html"]
