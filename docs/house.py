# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The house in one picture: which part of the package imports which, from the sources.

    python docs/house.py [OUT.svg]

Parts are the folders of `stylevar_hf`, and its flat `*_stylevar.py` files as one: "model". A solid arrow is an import
at the head of a file, a dashed one an import inside a function, when the function runs. A part stands one row above
the highest part that it imports: there are no circles (tests/test_architecture.py).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


PACKAGE = Path(__file__).parents[1] / "src" / "stylevar_hf"
WIDTH, BOX, ROW = 860, (124, 44), 96


def part_of(module: tuple[str, ...]) -> str | None:
    """The part that a module belongs to; `None` of the package's own `__init__`."""
    if not module or module[0].startswith("__"):
        return None
    if module[0].endswith("_stylevar") or module[0].endswith("_stylevar_vq") or module[0] == "_registration":
        return "model"
    return "commands" if module[0] == "cli" else module[0]


def imports(file: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Modules of the package that a file imports, and whether only inside a function; not those for type checkers."""
    here = file.relative_to(PACKAGE).parts[:-1]
    for node, inside in _nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = tuple((node.module or "").split(".")) if node.module else ()
        if node.level:
            base = here[: len(here) - node.level + 1]
            for alias in node.names:
                yield ((*base, *module) if module or base else (alias.name,)), inside
        elif module[:1] == ("stylevar_hf",):
            yield module[1:], inside


def _nodes(tree: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node, inside
        yield from _nodes(node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def import_graph() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """For each part the others that it imports: at the head of a file, and only inside functions."""
    at_head: dict[str, set[str]] = {}
    inside: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        part = part_of(file.relative_to(PACKAGE).with_suffix("").parts)
        if part is not None:
            at_head.setdefault(part, set())
            for module, is_inside in imports(file):
                (inside if is_inside else at_head).setdefault(part, set()).add(part_of(module))
    known = at_head.keys()
    first = {part: (used & known) - {part} for part, used in at_head.items()}
    return first, {part: (inside.get(part, set()) & known) - used - {part} for part, used in first.items()}


def rows_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """Parts by height, the ground first."""
    rows, placed = [], set()
    while placed != graph.keys():
        row = sorted(part for part, used in graph.items() if part not in placed and used <= placed)
        if not row:
            raise SystemExit(f"These parts import each other in a circle: {sorted(graph.keys() - placed)}")
        rows.append(row)
        placed.update(row)
    return rows


def draw(at_head: dict[str, set[str]], inside: dict[str, set[str]]) -> str:
    """The picture as SVG."""
    # What the flat files ask of the rest when it is there (publishing, converting) is no part of what they stand on.
    rows = rows_of({part: used | (inside[part] if part != "model" else set()) for part, used in at_head.items()})
    height = ROW * len(rows)
    place = {}
    for level, row in enumerate(rows):
        for number, part in enumerate(row):
            aside = (-1) ** level * WIDTH / 6 if len(row) == 1 else 0  # else arrows of a tower hide each other
            place[part] = (WIDTH * (number + 1) / (len(row) + 1) + aside, height - ROW * (level + 0.5))
    arrows, boxes = [], []
    for kind, graph in (("later", inside), ("now", at_head)):
        for part, used in sorted(graph.items()):
            for other in sorted(used):
                (x, y), (to_x, to_y) = place[part], place[other]
                side = 1 if to_y > y else -1
                start, end = y + side * BOX[1] / 2, to_y - side * (BOX[1] / 2 + 5)
                middle = (start + end) / 2
                arrows.append(
                    f'<path class="{kind}" d="M{x:.0f} {start:.0f} C{x:.0f} '
                    f'{middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end:.0f}" marker-end="url(#tip)"/>'
                )
    for part, (x, y) in place.items():
        boxes.append(
            f'<rect x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="7"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}">{part}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        "<title>Which part of stylevar_hf imports which</title>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        "<style>rect{fill:#eef3f8;stroke:#5b7a99}text{font:15px sans-serif;text-anchor:middle;fill:#1d2b38}"
        "path{fill:none;stroke:#8899aa}path.later{stroke-dasharray:4 4;stroke-opacity:.5}"
        "path.tip{stroke:none;fill:#8899aa}</style>"
        f'<rect width="{WIDTH}" height="{height}" style="fill:#fff;stroke:none"/>'
        f"{''.join(arrows)}{''.join(boxes)}</svg>\n"
    )


def write(path: Path) -> None:
    """Draw the picture, unless the file shows it already."""
    picture = draw(*import_graph())
    if not path.exists() or path.read_text(encoding="utf-8") != picture:
        path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images" / "house.svg"))
