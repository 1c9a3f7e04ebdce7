"""The lecture's slides, from ``notebooks/SLIDES.md``: code of the notebooks and a run's figures.

They are part of the book (``report/slides/index.html``), and load nothing from elsewhere either.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from dynammo.run.book_sphinx import CONFIGURATION, build
from dynammo.run.options import ROOT

NOTEBOOKS = ROOT / "notebooks"
FIGURE = re.compile(r"!\[(.*?)\]\(\.\./figures/demo/([\w.]+)\)")
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


def write_slides(figures: Path, pages: Path) -> None:
    """Build the slides with a run's figures, or the published ones where it has not drawn them."""
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work)

        def placed(found: re.Match[str]) -> str:
            own, published = figures / found[2], ROOT / "figures" / "demo" / found[2]
            shutil.copyfile(own if own.exists() else published, sources / found[2])
            return f"![{found[1]}]({found[2]})"

        text = FIGURE.sub(placed, (NOTEBOOKS / "SLIDES.md").read_text())
        (sources / "index.md").write_text(text)
        for name in re.findall(r"\{literalinclude\} (\S+)", text):
            shutil.copyfile(NOTEBOOKS / name, sources / name)
        build(sources, pages, "DynaMMo: slides", "revealjs", SLIDES)
    for style in (pages / "_static" / "revealjs" / "dist" / "theme").glob("*.css"):
        if style.stem != SLIDES["revealjs_style_theme"]:
            style.unlink()  # some would load letters from elsewhere
