"""Sphinx's side of a book: its configuration, formulas as pictures, tabs, links to the glossary.

Pages load nothing from elsewhere and work from a disk: formulas are drawn while the book is built.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils
from sphinx.util.logging import getLogger
from sphinx_design.shared import create_component

GLOSSARY = "GLOSSARY"
# Words that are mostly said in another sense than the glossary's.
NOT_LINKED = {"change", "pass"}
CONFIGURATION = {
    "extensions": ["myst_nb", "sphinx_design", __name__],
    "project": "DynaMMo companion",
    "author": "the DynaMMo companion authors",
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "secondary_sidebar_items": {"index": [], "**": ["page-toc"]},
        "home_page_in_toc": True,
        # Nothing stands in the bar on top: its menu button would be the one that the theme's
        # script finds, and the visible one would do nothing on a phone.
        "navbar_persistent": [],
        "show_toc_level": 2,
        "use_download_button": False,
        "use_fullscreen_button": False,
    },
    "html_context": {"default_mode": "auto"},
    "html_math_renderer": "drawn",
    "html_static_path": [str(Path(__file__).with_name("book_static"))],
    "html_css_files": ["book.css"],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # would be fetched, which a browser refuses on a disk
    "myst_enable_extensions": ["colon_fence", "dollarmath"],
    "myst_heading_anchors": 3,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_ipywidgets_js": {},  # would be fetched from elsewhere
    "suppress_warnings": ["myst.header"],  # a page may leave out a level of headings
}


def build(
    sources: Path,
    pages: Path,
    name: str,
    builder: str = "html",
    configuration: dict[str, Any] = CONFIGURATION,
) -> None:
    """Turn a folder of sources into html; what Sphinx warns of goes to stderr."""
    configuration = configuration | {"html_title": name}
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            sources, None, pages, sources / ".doctrees", builder, configuration,
            status=None, warning=sys.stderr,
        )  # fmt: skip
        app.build()


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    drawn = {"inline_renderers": (draw_inline, None), "block_renderers": (draw_block, None)}
    app.add_html_math_renderer("drawn", **drawn)
    app.connect("doctree-read", put_into_tabs)
    app.connect("doctree-resolved", link_terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def draw_formula(tex: str, inline: bool) -> str:
    """A formula as a picture in the text's colour, standing on its line; TeX where that fails."""
    import ziamath

    ziamath.config.svg2, ziamath.config.precision = False, 2
    try:
        svg = ziamath.Latex(tex, size=17, color="currentColor", inline=inline).svg()
    except Exception as error:  # whatever it cannot read: the formula can be read as it is written
        getLogger(__name__).warning("Formula %r is not drawn: %s", tex, error)
        return f"<code>{html.escape(tex)}</code>"
    _, top, _, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    spoken = f'role="img" aria-label="{html.escape(" ".join(tex.split()))}"'
    return svg.replace("<svg", f'<svg {spoken} style="vertical-align:{-top - height:.2f}px"', 1)


def draw_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(f'<span class="drawn">{draw_formula(node.astext(), True)}</span>')
    raise nodes.SkipNode


def draw_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula that stands by itself."""
    translator.body.append(f'<div class="drawn">{draw_formula(node.astext(), False)}</div>\n')
    raise nodes.SkipNode


def put_into_tabs(app: Sphinx, doctree: nodes.document) -> None:
    """Gather the cells whose metadata name a tab, those of a group under one row of tabs."""
    groups: dict[int, list[tuple[str, nodes.container]]] = {}
    for cell in doctree.findall(nodes.container):
        if tab := cell.get("cell_metadata", {}).get("tab"):
            groups.setdefault(tab["group"], []).append((tab["name"], cell))
    for cells in groups.values():
        row = create_component("tab-set", classes=["sd-tab-set"])
        cells[0][1].replace_self(row)
        for name, cell in cells:
            if cell.parent and cell is not cells[0][1]:
                cell.parent.remove(cell)
            label = nodes.rubric(name, name, classes=["sd-tab-label"])
            label["sync_group"], label["sync_id"] = "run", name  # all rows of a page turn together
            content = create_component("tab-content", ["sd-tab-content"], children=[cell])
            row += create_component("tab-item", ["sd-tab-item"], children=[label, content])


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the first mention of each of the glossary's terms in a page's text."""
    terms = {
        name.lower(): anchor
        for (kind, name), (_, anchor) in app.env.get_domain("std").objects.items()
        if kind == "term" and name.lower() not in NOT_LINKED
    }
    has_prose = page[0].isdigit() or page.isupper() or page == "index"
    if page == GLOSSARY or not terms or not has_prose:
        return
    place, told = app.builder.get_relative_uri(page, GLOSSARY), _definitions(app)
    for text in list(doctree.findall(nodes.Text)):
        if not _is_prose(text):
            continue
        parts, rest = [], str(text)
        while terms and (found := _pattern(frozenset(terms)).search(rest)):
            anchor = terms.pop(found[1].lower())
            link = nodes.reference("", found[0], refuri=f"{place}#{anchor}", classes=["term"])
            link["reftitle"] = told.get(anchor, "")
            parts += [nodes.Text(rest[: found.start()]), link]
            rest = rest[found.end() :]
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(rest)])


def _pattern(terms: frozenset[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])({words})s?(?![\w-])", re.IGNORECASE)


def _is_prose(text: nodes.Text) -> bool:
    closed = (nodes.literal, nodes.FixedTextElement, nodes.reference, nodes.title, nodes.raw)
    closed += (nodes.math, nodes.math_block, nodes.rubric, nodes.caption, nodes.table)
    parent = text.parent
    while parent is not None:
        labels = {"sd-tab-label", "sd-summary-text", "admonition-title"} & set(parent["classes"])
        if isinstance(parent, closed) or labels:
            return False
        parent = parent.parent
    return True


def _definitions(app: Sphinx) -> dict[str, str]:
    """The start of each term's explanation, by its anchor."""
    if not hasattr(app, "told_by_the_glossary"):
        items = app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item)
        app.told_by_the_glossary = {
            item[0]["ids"][0]: item[-1].astext().partition(". ")[0].replace("\n", " ")
            for item in items
            if item[0]["ids"]
        }
    return app.told_by_the_glossary
