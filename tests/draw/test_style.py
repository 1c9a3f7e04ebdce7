"""Figures look alike from one to the next, and their files repeat exactly."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers_for_draw import (
    NOTE,
    confusion_table,
    growth_table,
    line,
    losses_table,
    sessions_table,
)
from matplotlib.colors import to_rgb
from PIL import Image

from dynammo import catalogue
from dynammo.catalogue import METHODS
from dynammo.draw import style
from dynammo.draw.accuracy import accuracy_by_family, training_losses
from dynammo.draw.costs import accuracy_and_cost, average_and_cost, cost_growth_figure
from dynammo.draw.heat_maps import confusion_matrices


def with_costs():
    return accuracy_and_cost(average_and_cost(sessions_table()), NOTE)


def test_a_method_looks_the_same_everywhere():
    figures = [
        accuracy_by_family(sessions_table(), NOTE),
        accuracy_by_family(sessions_table(methods=["acl", "dynammo"]), NOTE),
        with_costs(),
        cost_growth_figure(growth_table(), NOTE),
    ]
    for method in ("acl", "dynammo"):
        lines = [line(figure, method) for figure in figures]
        assert len({to_rgb(one.get_color()) for one in lines}) == 1
        assert len({one.get_marker() for one in lines}) == 1


def test_methods_are_told_apart_by_colour_and_marker(monkeypatch):
    more = {f"method_{i}": catalogue.Method(f"method {i}", "replay", "") for i in range(10)}
    for module in (catalogue, style):
        monkeypatch.setattr(module, "METHODS", METHODS | more)
    seen = [style.look(name) for name in METHODS | more]
    assert len({(kind.colour, kind.marker) for kind in seen}) == len(seen)
    assert [kind.place for kind in seen] == list(range(len(seen)))
    assert style.look("never_seen").title == "never seen"


def test_a_family_has_no_colour_marker_or_dash_twice():
    assert set(style.LOOKS) == set(METHODS)
    for family in style.by_family(METHODS).values():
        seen = [style.look(name) for name in family]
        for feature in ("colour", "marker", "dash"):
            assert len({getattr(kind, feature) for kind in seen}) == len(seen), (family, feature)


def test_labels_keep_their_distance():
    placed = style.spread([0.5, 0.5, 0.51, 0.1], 0.1, 0, 1)
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-9
    assert placed[3] == pytest.approx(0.1)  # has room, so it stays
    np.testing.assert_allclose(np.sort(style.spread([1, 1, 1], 0.2, 0, 1)), [0.6, 0.8, 1])
    np.testing.assert_allclose(style.spread([0.5, 0.6], [0.1, 0.3], 0, 1), [0.45, 0.65])


SAVE = """
import runpy, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])  # for helpers
runpy.run_path(sys.argv[2])["save_all"](Path(sys.argv[3]))
"""


def save_all(folder: Path) -> None:
    provenance = {"run": "demo", "revision": "abc123"}
    table = sessions_table()
    figures = {
        "sessions": accuracy_by_family(table, NOTE),
        "confusion": confusion_matrices(confusion_table(), [1, 1, 2], note=NOTE),
    }
    for name, figure in figures.items():
        style.save_figure(figure, table, folder / name, provenance)


def test_files_repeat_byte_for_byte(tmp_path):
    save_all(tmp_path / "here")
    here = Path(__file__)
    arguments = (here.parents[1], here, tmp_path / "there")
    subprocess.run([sys.executable, "-c", SAVE, *map(str, arguments)], check=True)
    files = sorted((tmp_path / "here").iterdir())
    assert len(files) == 6  # and no unfinished file is left
    for file in files:
        assert file.read_bytes() == (tmp_path / "there" / file.name).read_bytes(), file.name


def test_noise_of_the_layout_is_rounded_away():
    figure = style.finished(style.canvas(NOTE, 4, 3, 2, 2)[0])
    figure.draw_without_rendering()
    places = np.array([ax.get_position().bounds for ax in figure.axes])
    np.testing.assert_allclose(places, np.round(places, 5), rtol=0, atol=1e-12)


def test_saving_the_same_figure_again_changes_nothing(tmp_path):
    figure = with_costs()
    first = style.save_figure(figure, None, tmp_path / "first" / "cost", {})
    again = style.save_figure(figure, None, tmp_path / "again" / "cost", {})
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    assert figure._repr_png_().startswith(b"\x89PNG")  # notebooks can still show it


def test_files_tell_where_they_come_from(tmp_path):
    table = pd.DataFrame({"method": ["acl"], "accuracy": [1 / 3], "macs": [123_456_789]})
    figure = training_losses(losses_table(), NOTE)
    png, svg, csv = style.save_figure(
        figure, table, tmp_path / "new" / "v1.0", {"run": "demo", "data": "sha256 <00>"}
    )
    assert [file.name for file in (png, svg, csv)] == ["v1.0.png", "v1.0.svg", "v1.0.csv"]
    with Image.open(png) as image:
        assert image.text["run"] == "demo" and image.text["data"] == "sha256 <00>"
        assert not any("date" in key.lower() or "time" in key.lower() for key in image.info)
    drawing = svg.read_text()
    assert "run: demo; data: sha256 &lt;00&gt;" in drawing and "<dc:date>" not in drawing
    assert csv.read_text() == "method,accuracy,macs\nacl,0.333333,123456789\n"


def test_failed_write_leaves_nothing(tmp_path):
    figure = training_losses(losses_table(), NOTE)
    figure.savefig = lambda path, **_: (path.write_bytes(b"half"), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        style.save_figure(figure, None, tmp_path / "figure", {})
    assert list(tmp_path.iterdir()) == []


def test_drawing_leaves_global_settings_alone():
    before = dict(matplotlib.rcParams)
    accuracy_by_family(sessions_table(), NOTE)
    assert dict(matplotlib.rcParams) == before
