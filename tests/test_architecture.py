# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Imports run one way, between the rooms of the package and between its files; see "Layout" in the design."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import stylevar_hf


PACKAGE = Path(stylevar_hf.__file__).parent
# What travels to the Hub as remote code: flat files that import each other and nothing else of the package.
FLAT = "the flat files"
# From below to above: a room imports those that stand before it. What makes checkpoints (conversion, training) writes
# their cards and publishes them, so `hub` stands below it; teachers and trainers start from converted ones.
ROOMS = (
    "_common",
    FLAT,
    "checkpoints",
    "measures",
    "rewards",
    "hub",
    "conversion",
    "data",
    "training",
    "evaluation",
    "demo",
    "server",
    "commands",
    "cli",
    "__main__",
    "_registration",
    "stylevar_hf",  # its names are imported when they are asked for
)
# Inside the flat files.
FLAT_ORDER = ("configuration", "modeling_vq", "generation", "modeling", "pipeline")


def modules() -> dict[str, Path]:
    """Name below the package to file; that of the package itself is empty."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Which files each file imports, inside functions, too. Names that a package imports lazily are not among them."""
    files = modules()
    found: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = {id(inner) for node in tree.body if isinstance(node, ast.If) for inner in ast.walk(node)}
        package = [part for part in name.split(".") if part]
        package = package if path.name == "__init__.py" else package[:-1]
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or (path.name == "__init__.py" and id(node) in for_types):
                continue
            module = node.module or ""
            if node.level:
                target = [*package[: len(package) - node.level + 1], *filter(None, module.split("."))]
            elif module.split(".")[0] == "stylevar_hf":
                target = module.split(".")[1:]
            else:
                continue
            for alias in node.names:
                whole = ".".join([*target, alias.name])
                found[name].add(whole if whole in files else ".".join(target))
    return found


def room(name: str) -> str:
    top = name.partition(".")[0]
    return FLAT if "_stylevar" in top else top or "stylevar_hf"


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other."""
    reached = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            for other in graph.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        reached[start] = seen
    found = {
        tuple(sorted(other for other in seen if node in reached.get(other, ()))) for node, seen in reached.items()
    }
    return [list(circle) for circle in sorted(found) if circle]


def test_finds_a_circle():
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]
    assert circles({"a": ["b"], "b": ["c"]}) == []


def test_every_import_leads_somewhere():
    lost = [f"{name} -> {other}" for name, others in imports().items() for other in sorted(others - set(modules()))]
    assert lost == []


def test_every_room_has_its_place():
    assert {room(name) for name in modules()} == set(ROOMS)


def test_rooms_import_only_what_stands_below_them():
    upward = [
        f"{name} -> {other}"
        for name, others in imports().items()
        for other in sorted(others)
        if ROOMS.index(room(other)) > ROOMS.index(room(name))
    ]
    assert upward == []


def test_files_import_each_other_in_no_circle():
    assert circles(imports()) == []


def test_folders_within_a_room_import_each_other_in_no_circle():
    graph: dict[str, set[str]] = {}
    for name, others in imports().items():
        for other in others:
            ends = [".".join(end.split(".")[:2]) if end.count(".") > 1 else end for end in (name, other)]
            if room(name) == room(other) and room(name) != FLAT and ends[0] != ends[1]:
                graph.setdefault(ends[0], set()).add(ends[1])
    assert circles(graph) == []


def test_the_three_trainers_share_what_is_common_and_nothing_else():
    for name, others in imports().items():
        if name.count(".") > 1 and name.startswith("training."):
            stage = name.split(".")[1]
            allowed = {"common", stage}
            used = {other.split(".")[1] for other in others if other.startswith("training.")}
            assert used <= allowed, name


def test_commands_are_imported_by_the_command_line_alone():
    users = {room(name) for name, others in imports().items() for other in others if room(other) == "commands"}
    assert users <= {"commands", "cli"}


def test_flat_files_import_each_other_with_a_single_dot():
    for name, path in modules().items():
        if room(name) != FLAT:
            continue
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
        ]
        assert all(node.level <= 1 for node in nodes), name
        assert {room(other) for other in imports()[name]} <= {FLAT}, name


def test_the_model_stands_on_its_configuration_the_tokenizer_and_the_sampling():
    """configuration -> tokenizer -> generation -> model -> pipeline."""
    order = [f"{part.removesuffix('_vq')}_stylevar{'_vq' * part.endswith('_vq')}" for part in FLAT_ORDER]
    for position, name in enumerate(order):
        reached, todo = set(), [name]
        while todo:
            for other in imports()[todo.pop()] - reached:
                reached.add(other)
                todo.append(other)
        assert reached.isdisjoint(order[position:]), (name, reached)
