"""The run's report: every executed notebook as HTML, and one page that links them.

``python -m dynammo.run.report RUN_FOLDER FIGURES_FOLDER NOTEBOOK ...`` is what the graph calls.
"""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dynammo.data.files import write_csv, write_text
from dynammo.measure.summary import readable

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem }}
img {{ max-width: 100%; border: 1px solid #ddd }} figure {{ margin: 2rem 0 }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
</style></head><body>
<h1>{title}</h1>
<h2>Summary</h2>{summary}
<h2>Notebooks as they ran</h2><ol>{notebooks}</ol>
<h2>Figures</h2>{figures}
</body></html>
"""


def write_report(run: Path, figures: Path, notebooks: Sequence[Path]) -> Path:
    """Write ``report/`` of executed notebooks into the run folder; return the page to open.

    ``notebooks.csv`` there has each notebook's name and the seconds it took. The page itself is
    written last, so that a report that has one is complete.
    """
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    report = run / "report"
    report.mkdir(exist_ok=True)
    exporter = HTMLExporter()
    # A progress bar overwrites its own line; without this every state of it would be shown.
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(enabled=True), enabled=True)
    links, seconds = [], {}
    for notebook in sorted(notebooks):
        body, _ = exporter.from_filename(str(notebook))
        page = report / f"{notebook.stem}.html"
        page.write_text(body)
        record = json.loads(notebook.read_text())["metadata"]
        seconds[notebook.stem] = record["papermill"]["duration"]
        links.append(f'<li><a href="{page.name}">{html.escape(notebook.stem)}</a></li>')
    times = pd.Series(seconds, name="seconds").rename_axis("notebook")
    write_csv(report / "notebooks.csv", times.reset_index())
    pictures = []
    for picture in sorted(figures.glob("*.png")):
        source = html.escape(os.path.relpath(picture, report))
        files = " · ".join(
            f'<a href="{html.escape(os.path.relpath(path, report))}">{path.suffix[1:]}</a>'
            for path in (picture.with_suffix(".svg"), picture.with_suffix(".csv"))
            if path.exists()
        )
        caption = f"{picture.stem.replace('_', ' ')} ({files})"
        pictures.append(
            f'<figure><img src="{source}" alt="{picture.stem}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return write_text(
        report / "index.html",
        PAGE.format(
            title=f"DynaMMo companion: {html.escape(run.resolve().name)}",
            summary=readable(pd.read_csv(figures / "summary.csv")).to_html(index=False, border=0),
            notebooks="".join(links),
            figures="".join(pictures),
        ),
    )


if __name__ == "__main__":
    write_report(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
