"""Figures tell the numbers they are given, look alike from one to the next, and repeat exactly."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image
from test_grids import confusion_table

from dynammo.catalogue import FAMILIES, LEARNERS
from dynammo.draw import style
from dynammo.draw.accuracy import accuracy_by_family, head_comparison, training_losses
from dynammo.draw.costs import accuracy_against_macs, cost_growth
from dynammo.draw.heat_maps import confusion_matrices
from dynammo.draw.images import class_balance, sample_sheet
from dynammo.draw.method import method_diagram, shown_sessions
from dynammo.errors import InputError

ALL = list(LEARNERS)
METHODS = ["frozen_features", "dynammo", "dynammo_unified_head", "last_adapter", "acl"]
NOTE = "made-up numbers"


def sessions_table(seeds: int = 3, methods=METHODS, sessions: int = 4) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            "order_seed": seed,
            "train_seed": seed,
            "session": t,
            "classes_seen": 2 * t,
            "images": 20 * t,
            "accuracy": random.uniform(0.5, 1),
            "macs": 31e6 * (t if method == "acl" else 1),
            "session_inference": 0.9 if method == "dynammo" else np.nan,
        }
        for method in methods
        for seed in range(seeds)
        for t in range(1, sessions + 1)
    ]
    return pd.DataFrame(rows)


def summary_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": METHODS,
            "average_accuracy": [0.6, 0.81, 0.75, 0.7, 0.843],
            "average_accuracy_sd": [0.01, 0.02, np.nan, 0.01, 0.02],
            "macs": [24_000_000, 31_000_000, 31_000_000, 31_000_000, 124_000_000],
        }
    )


def growth_table() -> pd.DataFrame:
    rows = [
        {
            "method": method,
            "sessions": t,
            "macs": 3e9 * (t if method == "acl" else 1),
            "parameters_stored": 1e7 + 6e6 * (t if method == "acl" else 1),
            "memory_bytes": 5e7 + 2.4e7 * (t if method == "acl" else 1),
        }
        for method in METHODS
        for t in (1, 5, 20)
    ]
    return pd.DataFrame(rows)


def losses_table() -> pd.DataFrame:
    return pd.DataFrame({"session": [1, 1, 2, 2], "epoch": [1, 2, 1, 2], "loss": [1, 0.5, 2, 0.7]})


def against_macs(methods=METHODS, draw=accuracy_against_macs):
    summary = summary_table()
    return draw(summary[summary["method"].isin(methods)], sessions_table(methods=methods), NOTE)


def line(figure, method: str, panel: int = 0):
    """Return the line drawn for a method."""
    title = style.look(method).title
    return next(one for one in figure.axes[panel].get_lines() if one.get_label() == title)


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def stream():
    splits = {
        name: SimpleNamespace(
            images=np.full((3 * size, 8, 8, 3), 40, np.uint8), labels=np.repeat(range(3), size)
        )
        for name, size in (("train", 5), ("val", 2), ("test", 3))
    }
    return SimpleNamespace(
        **splits,
        class_names=("platelet", "immature granulocyte", "basophil"),
        number_of_classes=3,
        number_of_sessions=2,
        session_of_class=np.array([1, 1, 2]),
        image_size=8,
    )


def test_means_are_the_tables():
    table = sessions_table()
    figure = accuracy_by_family(table, NOTE)
    for method in METHODS:
        mean = table[table["method"] == method].groupby("session")["accuracy"].mean()
        np.testing.assert_allclose(line(figure, method).get_ydata(), 100 * mean)
    assert figure.axes[0].get_ylim()[0] == 0
    assert NOTE in texts(figure) and "3 runs" in texts(figure)


def test_growth_is_the_tables_from_zero():
    figure = cost_growth(growth_table(), NOTE)
    np.testing.assert_allclose(line(figure, "acl").get_ydata(), [3, 15, 60])
    np.testing.assert_allclose(line(figure, "acl", 1).get_ydata(), [16, 40, 130])
    np.testing.assert_allclose(line(figure, "acl", 2).get_ydata(), [74, 170, 530])
    assert [ax.get_ylim()[0] for ax in figure.axes] == [0, 0, 0]
    assert "ACL 530" in texts(figure) and "at 20 sessions" in texts(figure)


def test_annotated_saving_is_the_tables():
    figure = against_macs()
    assert "4.0× fewer MACs, \u22123.3 points" in texts(figure)
    assert "MMACs" in figure.axes[0].get_xlabel() and "does not start at 0" in texts(figure)
    assert "fewer" not in texts(against_macs(["frozen_features", "dynammo"]))


@pytest.mark.parametrize("sessions", [1, 4, 10])
def test_paths_lead_to_the_averages(sessions):
    table = sessions_table(sessions=sessions, methods=ALL)
    average = table.groupby("method")["accuracy"].mean()
    macs = table[table["session"] == sessions].groupby("method")["macs"].mean()
    costs = {"average_accuracy": average, "average_accuracy_sd": np.nan, "macs": macs}
    figure = accuracy_against_macs(pd.DataFrame(costs).reset_index(), table, NOTE)
    lines = [one.get_ydata() for one in figure.axes[0].get_lines()]
    for method in ("dynammo", "acl", "der"):
        own = table[table["method"] == method].groupby("session")["accuracy"].mean()
        wanted = [100 * own[:t].mean() for t in range(1, sessions + 1)]
        assert any(len(y) == sessions and np.allclose(y, wanted) for y in lines)


def test_points_stay_in_their_place_where_there_is_room():
    figure = against_macs()
    for method, macs, average in (("acl", 124, 84.3), ("dynammo", 31, 81)):
        point = line(figure, method)
        np.testing.assert_allclose([point.get_xdata()[0], point.get_ydata()[0]], [macs, average])


def test_methods_of_equal_cost_stand_side_by_side():
    table = summary_table().assign(average_accuracy=0.8, macs=31_000_000)
    figure = accuracy_against_macs(table, sessions_table(), NOTE)
    x = sorted(line(figure, method).get_xdata()[0] for method in METHODS if method != "acl")
    assert min(np.diff(x)) > 0.1 and x[0] > 20 and x[-1] == pytest.approx(31)


def test_every_family_has_a_panel():
    table = sessions_table(methods=ALL)
    figure = accuracy_by_family(table, NOTE)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert titles == [title.capitalize() for title in FAMILIES.values()]
    for method, kind in LEARNERS.items():
        mean = table[table["method"] == method].groupby("session")["accuracy"].mean()
        panel = list(FAMILIES).index(kind.family)
        np.testing.assert_allclose(line(figure, method, panel).get_ydata(), 100 * mean)
    key = figure.axes[len(titles)].get_legend().get_texts()
    named = {text.get_text() for text in key}
    assert named == {"DynaMMo", "ACL", "joint training", "fine-tuning", "chance"}
    assert {ax.get_ylim() for ax in figure.axes[: len(titles)]} == {(0, 101)}


def test_methods_of_a_student_have_a_panel_too():
    table = sessions_table(methods=["acl", *(f"mine_{i}" for i in range(7))])
    assert "mine 6" in texts(figure := accuracy_by_family(table, NOTE))
    assert "Other" in texts(figure)


def test_note_tells_runs():
    table = sessions_table()
    some = table[(table["method"] != "acl") | (table["train_seed"] == 0)]
    assert "3 runs (of 1 for some" in texts(accuracy_by_family(some, NOTE))


def test_a_method_looks_the_same_everywhere():
    figures = [
        accuracy_by_family(sessions_table(), NOTE),
        accuracy_by_family(sessions_table(methods=["acl", "dynammo"]), NOTE),
        against_macs(),
        cost_growth(growth_table(), NOTE),
    ]
    for method in ("acl", "dynammo"):
        lines = [line(figure, method) for figure in figures]
        assert len({to_rgb(one.get_color()) for one in lines}) == 1
        assert len({one.get_marker() for one in lines}) == 1


def test_methods_are_told_apart_by_colour_and_marker(monkeypatch):
    more = {f"method_{i}": SimpleNamespace(title=f"method {i}") for i in range(10)}
    monkeypatch.setattr(style, "LEARNERS", LEARNERS | more)
    seen = [style.look(name) for name in LEARNERS | more]
    assert len({(kind.colour, kind.marker) for kind in seen}) == len(seen)
    assert [kind.place for kind in seen] == list(range(len(seen)))
    assert style.look("never_seen") == style.look("never_seen")
    assert style.look("never_seen").title == "never seen"


def test_a_family_has_no_colour_marker_or_dash_twice():
    assert set(style.LOOKS) == set(LEARNERS)
    for family in style.by_family(LEARNERS).values():
        seen = [style.look(name) for name in family]
        for feature in ("colour", "marker", "dash"):
            assert len({getattr(kind, feature) for kind in seen}) == len(seen), (family, feature)


def test_labels_keep_their_distance():
    placed = style.spread([0.5, 0.5, 0.51, 0.1], 0.1, 0, 1)
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-9
    assert placed[3] == pytest.approx(0.1)  # has room, so it stays
    np.testing.assert_allclose(np.sort(style.spread([1, 1, 1], 0.2, 0, 1)), [0.6, 0.8, 1])
    np.testing.assert_allclose(style.spread([0.5, 0.6], [0.1, 0.3], 0, 1), [0.45, 0.65])


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_runs(seeds):
    table = sessions_table(seeds)
    figure = accuracy_by_family(table, NOTE)
    figure.draw_without_rendering()
    assert ("One run" in texts(figure)) == (seeds == 1)
    head_comparison(table, NOTE).draw_without_rendering()


def test_heads_are_compared_seed_by_seed():
    table = sessions_table()
    figure = head_comparison(table, NOTE)
    wide = table.pivot_table("accuracy", ["order_seed", "session"], "method")
    wanted = 100 * (wide["dynammo"] - wide["dynammo_unified_head"]).loc[1]
    drawn = [one.get_ydata() for one in figure.axes[1].get_lines()]
    assert any(len(y) == 4 and np.allclose(y, wanted) for y in drawn)
    with pytest.raises(InputError, match="dynammo_unified_head"):
        head_comparison(table.query("method == 'dynammo'"), NOTE)


def test_stream_figures_name_classes_and_sessions(stream):
    sheet = sample_sheet(stream, NOTE, per_class=4)
    assert len(sheet.axes[0].get_images()) == 3
    assert "Session 2" in texts(sheet) and "immature\ngranulocyte" in texts(sheet)
    balance = class_balance(stream, NOTE)
    heights = [bar.get_height() for bars in balance.axes[0].containers for bar in bars]
    assert heights == [5] * 3 + [2] * 3 + [3] * 3


def test_losses_are_the_tables():
    figure = training_losses(losses_table(), NOTE)
    np.testing.assert_allclose(figure.axes[0].get_lines()[1].get_ydata(), [2, 0.7])
    assert "Training loss of the adapters" in texts(figure)


def test_losses_are_of_one_method():
    for method, title in (("adapters", "of the adapters"), ("podnet", "of PODNet")):
        figure = training_losses(losses_table().assign(method=method), NOTE)
        assert f"Training loss {title}" in texts(figure)
    two = pd.concat([losses_table().assign(method=method) for method in ("wa", "lwf")])
    with pytest.raises(InputError, match="Choose one"):
        training_losses(two, NOTE)


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (accuracy_by_family, sessions_table()),
        (partial(accuracy_against_macs, sessions=sessions_table()), summary_table()),
        (partial(accuracy_against_macs, summary_table()), sessions_table()),
        (cost_growth, growth_table()),
        (head_comparison, sessions_table()),
        (training_losses, losses_table()),
    ],
)
def test_tables_that_cannot_be_drawn(draw, table):
    with pytest.raises(InputError, match="no rows"):
        draw(table.iloc[:0], note=NOTE)
    with pytest.raises(InputError, match="lacks the column"):
        draw(table.iloc[:, 1:], note=NOTE)


SAVE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_plotting as t
t.save_all(Path(sys.argv[2]))
"""


def save_all(folder: Path) -> None:
    provenance = {"run": "demo", "revision": "abc123"}
    table = sessions_table()
    figures = {
        "sessions": accuracy_by_family(sessions_table(methods=ALL), NOTE),
        "macs": against_macs(),
        "confusion": confusion_matrices(confusion_table(), [1, 1, 2], note=NOTE),
        "method": method_diagram(2, [2, 3], ["a", "b"], ["b"], "tiny", 20, NOTE),
    }
    for name, figure in figures.items():
        style.save_figure(figure, table, folder / name, provenance)


def test_files_repeat_byte_for_byte(tmp_path):
    save_all(tmp_path / "here")
    arguments = [sys.executable, "-c", SAVE, str(Path(__file__).parent), str(tmp_path / "there")]
    subprocess.run(arguments, check=True)
    files = sorted((tmp_path / "here").iterdir())
    assert len(files) == 12  # and no unfinished file is left
    for file in files:
        assert file.read_bytes() == (tmp_path / "there" / file.name).read_bytes(), file.name


def test_noise_of_the_layout_is_rounded_away():
    figure = style.finished(style.canvas(NOTE, 4, 3, 2, 2)[0])
    figure.draw_without_rendering()
    places = np.array([ax.get_position().bounds for ax in figure.axes])
    np.testing.assert_allclose(places, np.round(places, 5), rtol=0, atol=1e-12)


def test_saving_the_same_figure_again_changes_nothing(tmp_path):
    figure = against_macs()
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


@pytest.mark.parametrize("sessions", [1, 2, 5, 10])
def test_diagram_shows_the_runs_numbers(sessions):
    stages = ["stem", "layer1", "layer2"]
    figure = method_diagram(sessions, [3] * sessions, stages, stages[1:], "ResNet-18", 60, NOTE)
    written = texts(figure)
    for part in (*stages, f"Session {sessions}", f"{3 * sessions} classes", "ResNet-18", NOTE):
        assert part in written
    assert f"ACL predicts in {sessions} pass" in written and "60 images" in written
    assert f"with {60 // (3 * sessions)} images of each class" in written
    assert ("Session 4" in written) == (sessions == 5)


def test_diagram_leaves_out_the_middle():
    assert shown_sessions(5) == [1, 2, 3, 4, 5]
    assert shown_sessions(10) == [1, 2, 3, None, 10]


def test_diagram_rejects_numbers_that_contradict():
    with pytest.raises(InputError, match="one count for each"):
        method_diagram(3, [2, 2], ["a"], ["a"], "tiny", 20, NOTE)
    with pytest.raises(InputError, match="no stage c"):
        method_diagram(2, [2, 2], ["a"], ["c"], "tiny", 20, NOTE)


def test_drawing_leaves_global_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    accuracy_by_family(sessions_table(), NOTE)
    assert dict(matplotlib.rcParams) == before
