# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`results.md`: the report in Markdown."""

import re
from collections.abc import Mapping, Sequence

from .sections import Bullets, FigureSlot, Section, Table


def to_markdown(sections: Sequence[Section], figures: Mapping[str, str]) -> str:
    """
    Args:
        sections (`Sequence[Section]`):
            See [`build_sections`].
        figures (`Mapping[str, str]`):
            Figure to its file, as seen from the report. Figures that are not in it are passed over.
    """
    parts = ["# Evaluation"]
    for section in sections:
        parts.append(f"## {_escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(_table(block))
            elif isinstance(block, Bullets):
                parts.append("\n".join(f"* {_escape(item)}" for item in block.items))
            elif isinstance(block, FigureSlot):
                if block.key in figures:
                    parts.append(f"![{_escape(block.caption)}]({figures[block.key].replace(' ', '%20')})")
            else:
                parts.append(_escape(block))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [table.heads, ["---"] * len(table.heads), *table.rows]
    text = "\n".join("| " + " | ".join(_escape(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{_escape(table.caption)}\n\n{text}" if table.caption else text


def _escape(text: str) -> str:
    """File names and messages may hold what Markdown takes for its own. Intervals keep their brackets."""
    text = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"[\\`*_~]|(?<=\])[(\[]", r"\\\g<0>", text)


__all__ = ["to_markdown"]
