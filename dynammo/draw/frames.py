"""Pictures that move with a slider, in a notebook and in a page without a kernel."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

from dynammo.draw.style import Picture, styled
from dynammo.errors import InputError

# The slider shows the picture of its number, and its name, and hides all others.
SHOW = "const at = this.value; const name = this.dataset.names.split('|')[at]; "
SHOW += "this.nextElementSibling.value = name; this.setAttribute('aria-valuetext', name); "
SHOW += "this.parentElement.querySelectorAll('img').forEach((one, i) => {one.hidden = i != at})"


class Frames:
    """Figures by name, one of which is shown: a slider goes through them.

    Everything is in one piece of HTML, so that it moves in JupyterLab and in a saved page alike.
    """

    def __init__(self, figures: Mapping[str, Picture], start: str):
        """The first picture shown is that of the name ``start``; InputError without such a name."""
        if start not in figures:
            raise InputError(f"Start with one of {', '.join(figures) or 'some figures'}.")
        self.figures, self.start = dict(figures), start

    @styled
    def _repr_html_(self) -> str:
        names, first = list(self.figures), list(self.figures).index(self.start)
        told = html.escape("|".join(names), quote=True)
        slider = f'<input type="range" min="0" max="{len(names) - 1}" value="{first}" '
        slider += 'style="width: 50%" aria-label="which picture" '
        slider += f'aria-valuetext="{html.escape(self.start)}" '
        slider += f'data-names="{told}" oninput="{html.escape(SHOW, quote=True)}">'
        images = ""
        for i, (name, figure) in enumerate(self.figures.items()):
            images += f'<img alt="{html.escape(name)}" style="max-width: 100%"'
            data = base64.b64encode(figure._repr_png_()).decode()
            images += f' src="data:image/png;base64,{data}"{"" if i == first else " hidden"}>'
        shown = f"<output> {html.escape(self.start)}</output>"
        return f'<div class="frames">{slider}{shown}<div>{images}</div></div>'

    def __repr__(self) -> str:
        return f"{len(self.figures)} pictures, from {next(iter(self.figures))} on"
