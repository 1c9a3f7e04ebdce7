"""The page on what adapters can add says what the study's archives hold."""

from pathlib import Path

import pandas as pd
from helpers_for_study import (
    MOVED,
    NAMES,
    PAGE,
    STUDY,
    THREE,
    gains_by_colours,
    held_by,
    measures,
    paired,
    settings_of_study,
    tables,
)

from dynammo.catalogue import METHODS
from dynammo.draw.all_streams import interval_text
from dynammo.run.collect import learned_methods


def test_the_page_tells_what_was_tried_for_the_colours():
    tried = pd.read_csv(STUDY / "white_balance.csv")
    key = ["changed", "stream", "penalty"]
    means = tried.groupby(key)[["average_accuracy", "last_accuracy"]].mean()
    best = means.loc[means.groupby(level=[0, 1]).average_accuracy.idxmax()].droplevel("penalty")
    known = {name: "{:.1f} / {:.1f}".format(*row) for name, row in best.T.items()}
    table, _ = tables("A white balance")
    assert set(table) == set(tried.changed)
    streams = "blood", "skin", "tissue", "mixed", "cifar part, 60 a class"
    for changed, cells in table.items():
        assert cells == [known.get((changed, stream), "–") for stream in streams], changed


def test_the_page_tells_what_colours_change_on_test_images(archives):
    block = PAGE.partition("On **test** images, half of the way")[2].partition("\n\n")[2]
    lines = block.partition("\n\n")[0].splitlines()[2:]
    streams = [line.strip("| ").split(" | ")[0] for line in lines]
    assert streams == ["blood", "mixed", "skin", "tissue"]
    for line in lines:
        stream, method, told, *gained = line.strip("| ").split(" | ")
        run, method = f"study-{'histology' if stream == 'tissue' else stream}", NAMES[method]
        moved = held_by(archives / f"{run}-balanced", [method], **MOVED)["sessions"]
        mean = measures(moved).xs("mean", axis=1, level=1).loc[method]
        assert told == "{:.1f} / {:.1f}".format(*mean[["mean", "last"]]), line
        gains = gains_by_colours(archives, run, [method])
        assert gained == [gains[method, measure] for measure in ("average", "last")], line


def test_the_page_tells_what_going_on_without_any_image_costs(archives):
    table, _ = tables("Where no image may be kept")
    for column, (run, changes) in enumerate({"blood": {}, "mixed": THREE}.items()):
        own, kept = archives / f"study-{run}-no-exemplars", archives / f"study-{run}"
        held_by(own, ["dynammo_gentle"], memory_budget=0, **changes)
        names = [NAMES.get(row, "dynammo_gentle") for row in table]
        there = learned_methods(kept, settings_of_study(kept).with_changes({"methods": names}))
        parts = {name: (kept, name) for name in there}
        texts = paired({"none": (own, "dynammo_gentle")} | parts)
        for name, cells in zip(names, table.values(), strict=True):
            told = [texts.get(("none", name, m), "–") for m in ("average", "last")]
            assert cells[2 * column : 2 * column + 2] == told, (run, name)


def test_the_page_tells_why_following_on_new_images_alone_fails():
    _, table = tables("Where no image may be kept")
    tried = pd.read_csv(STUDY / "no_exemplars.csv").set_index("session")
    assert list(table) == list(tried)
    for row, cells in table.items():
        accuracy = 100 * tried[row]
        wanted = accuracy[3], accuracy[4], accuracy[10], accuracy.mean()
        assert cells == [f"{one:.1f}" for one in wanted], row


STREAMS = "blood", "mixed", "skin", "histology", "cifar"  # as the page's columns


def test_the_page_tells_what_was_asked_and_what_there_is(archives):
    rows, *_ = tables("What was asked, and what there is", keys=2)
    pairs = [tuple(NAMES.get(name, name) for name in row) for row in rows]
    methods = sorted({name for pair in pairs for name in pair if name in METHODS})
    for column, run in enumerate(STREAMS):
        folder = archives / f"study-{run}"
        wanted = settings_of_study(folder).with_changes({"methods": methods})
        known = held_by(folder, learned_methods(folder, wanted))["intervals"]
        known = interval_text(known.set_index(["method", "other", "measure"])).to_dict()
        if (archives / f"study-{run}-balanced").exists():
            gains = gains_by_colours(archives, f"study-{run}", ["ridge_frozen"])
            moved = "ridge, several depths, colours half way", "ridge_frozen", "average"
            known[moved] = gains["ridge_frozen", "average"]
        for pair, cells in zip(pairs, rows.values(), strict=True):
            assert cells[column] == known.get((*pair, "average"), "–"), (pair, run)


def test_the_page_tells_what_there_is_to_gain(archives):
    told = PAGE.partition("## What is there to gain?")[2].partition("\n## ")[0]
    (at_once,) = 100 * pd.read_csv(STUDY / "all_at_once.csv")["test images"]
    found = held_by(archives / "study-blood", ["ridge_frozen", "joint"])["sessions"]
    ends = measures(found)["last", "mean"]
    for accuracy in (at_once, ends["ridge_frozen"], ends["joint"]):
        assert f"{accuracy:.1f} %" in told


def test_the_page_tells_what_classes_a_session_change():
    tried = pd.read_csv(STUDY / "classes_a_session.csv")
    runs = tried.groupby(["variant", "method", "order_seed"]).accuracy.agg(["mean", "last"])
    found = 100 * runs.groupby(["variant", "method"]).mean()
    (table,) = tables("Why CIFAR?")
    assert set(table) == {"10, T = 2", "2, T = 10"}
    for row, cells in table.items():
        own = found.loc[int(row.split(",")[0])]
        methods = "dynammo_ridge", "last_adapter_ridge", "ridge_frozen"
        assert cells == ["{:.1f} / {:.1f}".format(*own.loc[name]) for name in methods]


def test_the_page_tells_what_was_tried_to_make_adapters_pay():
    tried = pd.read_csv(STUDY / "recipes.csv").set_index(["changed", "order_seed", "read"])
    tried = (100 * tried[["average_accuracy", "last_accuracy"]]).T
    known = {key: "{:.1f} / {:.1f}".format(*column) for key, column in tried.items()}
    lines = PAGE.partition("## Tuned gently")[2].partition("|---|")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in lines.splitlines()[1:]]
    assert {(row[0], int(row[1])) for row in rows} == {key[:2] for key in known}
    read = "merged adapters", "newest set", "merged adapters, old images seen again"
    for changed, order, *cells in rows:
        ways = ("frozen network", "", "") if changed.startswith("nothing") else read
        assert cells == [known.get((changed, int(order), way), "–") for way in ways], changed


GENTLE = {"adapter_learning_rate": 0.01, **THREE}


def gently_tuned(archives: Path, run: str) -> list[str]:
    """Merged adapters tuned gently, under the solved head: their accuracy, and what they gain."""
    gentle = held_by(archives / f"{run}-gentle", ["dynammo_ridge", "last_adapter_ridge"], **GENTLE)
    name, own = "gentle dynammo_ridge", archives / f"{run}-gentle"
    parts = {f"gentle {one}": (own, one) for one in ("dynammo_ridge", "last_adapter_ridge")}
    plain = "ridge_frozen", "dynammo_ridge", "acl"
    texts = paired(parts | {one: (archives / run, one) for one in plain})
    mean = measures(gentle["sessions"]).xs("mean", axis=1, level=1).loc["dynammo_ridge"]
    cells = ["{:.1f} / {:.1f}".format(*mean[["mean", "last"]])]
    for other in ("dynammo_ridge", "ridge_frozen", "gentle last_adapter_ridge", "acl"):
        cells.append(texts[name, other, "average"])
    return [*cells, texts[name, "ridge_frozen", "last"]]


def test_the_page_tells_what_gentle_tuning_changes_on_test_images(archives):
    block = PAGE.partition("tuned at rate 0.01, on **test** images")[2].partition("\n\n")[2]
    rows = [line.strip("| ").split(" | ") for line in block.partition("\n\n")[0].splitlines()[2:]]
    assert {row[0] for row in rows} == {run.name[6:-7] for run in archives.glob("*-gentle")}
    for stream, *cells in rows:
        assert cells == gently_tuned(archives, f"study-{stream}"), stream
