"""The lecture's slides, from ``notebooks/SLIDES.md``: code of the notebooks and a run's figures.

They are part of the book (``report/slides/index.html``), and load nothing from elsewhere either.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from dynammo.run.book_sphinx import CONFIGURATION, build

FIGURE = re.compile(r"!\[(.*?)\]\((\S+\.png)\)")
SLIDES = CONFIGURATION | {
    "extensions": ["myst_nb", "sphinx_revealjs", "dynammo.run.book_sphinx"],
    "highlight_language": "python",
    "revealjs_css_files": ["slides.css"],
    "revealjs_static_path": [*CONFIGURATION["html_static_path"]],
    "revealjs_style_theme": "white",
    "revealjs_script_conf": {
        "width": 1200,
        "height": 750,
        "margin": 0.04,
        "hash": True,
        "slideNumber": True,
        "transition": "none",
    },
    "revealjs_script_plugins": [
        {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"},
        {"name": "RevealHighlight", "src": "revealjs/plugin/highlight/highlight.js"},
    ],
}


def write_slides(source: Path, figures: Path, pages: Path) -> None:
    """Build slides with a run's figures, or the published ones where it has not drawn them.

    What the source shows lies where it says, from where it is.
    """
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work)

        def placed(found: re.Match[str]) -> str:
            published = source.parent / found[2]
            own = figures / published.name
            shutil.copyfile(own if own.exists() else published, sources / published.name)
            return f"![{found[1]}]({published.name})"

        text = FIGURE.sub(placed, source.read_text())
        (sources / "index.md").write_text(text)
        for name in re.findall(r"\{literalinclude\} (\S+)", text):
            shutil.copyfile(source.parent / name, sources / name)
        build(sources, pages, "DynaMMo: slides", "revealjs", SLIDES)
    for style in (pages / "_static" / "revealjs" / "dist" / "theme").glob("*.css"):
        if style.stem != SLIDES["revealjs_style_theme"]:
            style.unlink()  # some would load letters from elsewhere
