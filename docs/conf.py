# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The manual: `make docs` builds it into build/docs, and every warning is an error."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "src"), str(DOCS)]

import house  # noqa: E402

import stylevar_hf  # noqa: E402


project = "stylevar-hf"
author = "The stylevar-hf authors"
project_copyright = "2026, The stylevar-hf authors"
version = release = stylevar_hf.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings are Markdown: `name` is code
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "none"  # the docstrings say it
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "stylevar-hf"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"


def markdown_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """What is Markdown in a docstring and means something else to Sphinx: fences, links to names, lists, tables."""
    result, in_code, in_table = [], False, False
    for line in _with_whole_heads(lines):
        indent = line[: len(line) - len(line.lstrip())]
        text = line.strip()
        if text.startswith("```"):
            in_code = not in_code
            if in_code:
                result += ["", f"{indent}.. code-block:: {text[3:] or 'text'}", ""]
            else:
                result.append("")
        elif in_code or (in_table and text.startswith("|")):
            result.append("   " + line if text else "")
        elif text.startswith("|"):
            in_table = True
            result += ["", f"{indent}.. code-block:: text", "", "   " + line]
        else:
            if in_table:
                result.append("")
                in_table = False
            if re.match(r"([-*]|\d\.) ", text) and result and result[-1].strip() and not _is_item(result[-1], indent):
                result.append("")
            line = re.sub(r"\[`~?(?:[\w.]*\.)?(\w+)`\]", r"`\1`", line)
            result.append(re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line))
    lines[:] = result


def _with_whole_heads(lines: list[str]) -> Iterator[str]:
    """Names of arguments with their types in one line, where they take several."""
    head, depth = "", None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() == "Args:":
            depth = indent + 4
        elif line.strip() and depth is not None and indent < depth:
            depth = None
        if depth is not None and indent == depth and line.strip() and not line.endswith(":"):
            head += (line.strip() if head else line).removesuffix("\\").rstrip() + " "
        else:
            yield head + line.strip() if head else line
            head = ""


def _is_item(line: str, indent: str) -> bool:
    """Whether a list goes on: the line before is an item or belongs to one."""
    return bool(re.match(rf"{indent}([-*]|\d\.|  ) ?", line))


def short_signature(app, what, name, obj, options, signature, returns):
    """None of the hundred arguments of a config, which the docstring and the parent's documentation list."""
    return ("(...)", returns) if what == "class" and len(signature or "") > 400 else None


def mathml(display: bool):
    """A visitor that writes formulas as MathML, which browsers draw without a script."""

    def visit(translator, node: nodes.Element) -> None:
        formula = tex2mathml(node.astext(), as_block=display)
        translator.body.append(f'<div class="formula">{formula}</div>' if display else formula)
        raise nodes.SkipNode

    return visit


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", markdown_docstring, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", short_signature)
    app.add_html_math_renderer("mathml", (mathml(False), None), (mathml(True), None))
    (DOCS / "images").mkdir(exist_ok=True)
    house.write(DOCS / "images" / "house.svg")
