"""The study's page says what its archives hold."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers_for_study import (
    NAMES,
    PAGE,
    ROOT,
    STUDY,
    THREE,
    held_by,
    measures,
    paired,
    said,
    settings_of_study,
    tables,
)

from dynammo.draw.all_streams import interval_text
from dynammo.run.collect import learned_methods
from dynammo.run.execute import execute
from dynammo.run.profiles import load_runs

TABLES = ("claims", "cost_ratios", "average", "last")
TABLES += ("average_differences", "last_differences", "cost")


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """What notebook 19 makes of the archives alone."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "figures/study").mkdir(parents=True)
    for archive in STUDY.glob("*.tar.xz"):
        shutil.copy(archive, folder / "figures/study")
    places = {"figures_folder": folder / "figures", "runs_folder": folder / "runs"}
    places = {name: str(place) for name, place in places.items()}
    execute(ROOT / "notebooks/19_the_study.ipynb", folder / "19.ipynb", places)
    return folder / "figures/study"


@pytest.mark.parametrize("table", [*TABLES, "by_session", "mean_class_recall", "macro_f1", "auroc"])
def test_the_study_s_tables_are_those_of_its_archives(computed, table):
    found = (computed / f"{table}.md").read_text()
    assert found == (STUDY / f"{table}.md").read_text()
    assert table not in TABLES or found.strip() in PAGE


def test_every_archive_of_the_study_is_on_its_page(computed):
    archives = {path.name.removesuffix(".tar.xz") for path in STUDY.glob("*.tar.xz")}
    assert set(pd.read_csv(computed / "runs.csv").run) == archives & set(load_runs("study"))
    assert all(f"../figures/study/{name}.tar.xz" in PAGE for name in archives)


def test_the_page_tells_what_more_epochs_change(archives):
    _, tried, table = tables("How values were chosen")
    known = pd.read_csv(STUDY / "epochs.csv").set_index(["method", "epochs"])
    for row, cells in tried.items():
        accuracies = (100 * known.loc[(NAMES[row], epochs)] for epochs in (12, 36))
        assert cells == ["{:.1f} / {:.1f}".format(*one) for one in accuracies], row
    rows = {NAMES[row]: cells for row, cells in table.items()}
    few, blood = dict.fromkeys((f"{name}_epochs" for name in rows), 0), archives / "study-blood"
    short = held_by(archives / "study-blood-12-epochs", list(rows), **few)
    done = [name for name in rows if name in learned_methods(blood, settings_of_study(blood))]
    short, full = (measures(one["sessions"]) for one in (short, held_by(blood, done)))
    for name, cells in rows.items():
        wanted = [*said(short, name), *(said(full, name) if name in done else ("–", "–"))]
        assert cells == wanted, name


def test_the_page_tells_what_acl_s_own_values_change(archives):
    *_, table = tables("What holds of the paper")
    own, blood = archives / "study-blood-acl-values", archives / "study-blood"
    held_by(own, ["acl", "dynammo"], adapter_learning_rate=0.05, adapter_alpha=2.0, **THREE)
    parts = {f"own {name}": (own, name) for name in ("acl", "dynammo")}
    texts = paired(parts | {name: (blood, name) for name in ("acl", "dynammo")})
    pairs = [("dynammo", "acl"), ("own dynammo", "own acl"), ("dynammo", "own acl")]
    for pair, cells in zip(pairs, table.values(), strict=True):
        assert cells == [texts[*pair, m] for m in ("average", "last")], pair


HEADS = {  # the table's rows: whose archive, and what it changes
    "as in the study": ("study-blood", {}),
    "later heads begin with random weights": ("study-blood-heads-fresh", {"later_heads": "fresh"}),
    "100 epochs, however few steps that is": (
        "study-blood-heads-epochs",
        {"head_steps": 0, "frozen_features_head_learning_rate": 0},
    ),
    "both, as released": (
        "study-blood-heads-released",
        {"later_heads": "fresh", "head_steps": 0, "frozen_features_head_learning_rate": 0},
    ),
}


def heads_row(archives: Path, row: str) -> list[str]:
    """Accuracy of DynaMMo and of the frozen network under such heads, and differences."""
    name, changes = HEADS[row]
    methods = ["dynammo", "acl", "last_adapter", "frozen_features"]
    found = held_by(archives / name, methods, order_seeds=(0, 1, 2), **changes)
    known = measures(found["sessions"]).xs("mean", axis=1, level=1)
    own = ("{:.1f} / {:.1f}".format(*known.loc[one]) for one in ("dynammo", "frozen_features"))
    texts = interval_text(found["intervals"].set_index(["method", "other", "measure"]))
    others = "acl", "last_adapter", "frozen_features"
    return [*own, *(texts["dynammo", other, "average"] for other in others)]


def test_the_page_tells_what_heads_change(archives):
    table, slow = tables("How heads are tuned")
    assert list(table) == list(HEADS)
    for row, cells in table.items():
        assert cells == heads_row(archives, row), row
    assert list(slow) == list(HEADS)[2:]
    for row, cells in slow.items():  # frozen features, with the rate chosen for many steps
        name, changes = HEADS[row]
        changes = changes | {"frozen_features_head_learning_rate": 0.0003, "order_seeds": (0, 1, 2)}
        found = held_by(archives / f"{name}-slow", ["frozen_features"], **changes)["sessions"]
        known = measures(found).xs("mean", axis=1, level=1).loc["frozen_features"]
        assert cells == [table[row][1], "{:.1f} / {:.1f}".format(*known)], row


def test_the_page_tells_what_was_tried_on_resnet():
    tried = pd.read_csv(STUDY / "resnet_trials.csv")
    runs = 100 * tried.groupby(["variant", "method"]).accuracy.agg(["mean", "last"])
    table, *_ = tables("How values were chosen")
    assert set(table) == set(tried.variant) and len(table) == 5
    for variant, cells in table.items():
        methods = "acl", "dynammo", "last_adapter", "dynammo_ridge"
        assert cells == ["{:.1f} / {:.1f}".format(*runs.loc[variant, name]) for name in methods]
    best = runs["mean"].xs("dynammo", level="method").idxmax()
    chosen = load_runs("study")["study-resnet"]
    assert best == f"rate {chosen.adapter_learning_rate}, alpha {chosen.adapter_alpha}"


def test_the_page_tells_todays_verdicts_beside_the_first(computed):
    (table,) = tables("What became of the first verdicts")
    judged = pd.read_csv(computed / "claims.csv")
    judged = judged.assign(stream=judged.stream.str.partition(",")[0])
    known = judged.set_index(["other", "stream"]).verdict.to_dict()
    for row, (_, now) in table.items():
        other = NAMES[row.partition(",")[0]]
        streams = "blood", "skin", "histology", "mixed", "cifar"
        assert now.split() == [known.get((other, stream), "–") for stream in streams], row


def test_the_page_tells_what_weights_of_classes_change(archives):
    (table,) = tables("Where classes are of unequal size")
    plain = held_by(archives / "study-skin", ["acl", "dynammo", "ridge_frozen"])["sessions"]
    weighted = {"ridge_frozen_balanced": True}
    weighted = held_by(archives / "study-skin-weighted", ["ridge_frozen"], **weighted)["sessions"]
    found = pd.concat([plain, weighted.assign(method="weighted")]).groupby("method")
    found = 100 * found[["accuracy", "mean_class_recall", "macro_f1"]].mean()
    for row, cells in table.items():
        name = "weighted" if row.startswith("the same") else NAMES[row]
        assert cells == [f"{value:.1f}" for value in found.loc[name]], row


def test_what_the_page_says_of_the_sweep_is_so():
    table = pd.read_csv(STUDY / "when_merging_pays.csv")
    key = ["sessions", "memory", "epochs"]
    points = 100 * table.pivot_table("average_accuracy", key, "method")
    points = points.sub(points.pop("dynammo"), axis=0)
    short, long = (points.xs(epochs, level="epochs") for epochs in (3, 30))
    assert len(long) == 6 and (long.acl > short.acl).all()
    behind = points.last_adapter[points.last_adapter < -0.25]
    assert set(behind.index) == {(2, 16, 3), (4, 16, 3), (4, 16, 10)}
    each = 100 * table.pivot_table("average_accuracy", [*key, "order_seed"], "method")
    ahead = (each.last_adapter - each.dynammo).xs((2, 30), level=("sessions", "epochs"))
    assert len(ahead) == 9 and (ahead > 0.5).all()
    best = points.assign(dynammo=0.0).idxmax(axis=1).value_counts()
    assert best.to_dict() == {"ridge_frozen": 13, "acl": 5}
    assert (short.ridge_frozen > 2).all()
    assert long.ridge_frozen[2].max() < 2 and long.ridge_frozen[4, 160] < 1
    assert long.ridge_frozen[4][[16, 40]].min() > 2.5


def test_the_page_tells_what_biases_do_to_wa():
    found = pd.read_csv(STUDY / "wa_biases.csv")
    means = 100 * found.groupby(["biases", "split", "read_by"])[["average", "last"]].mean()
    section = PAGE.partition("## What weight aligning leaves\n")[2].partition("\n## ")[0]
    words = " ".join(section.split())
    with_biases = means.loc[(True, "test", "its own outputs")]
    assert "{:.1f} % on average and {:.1f} % at the end".format(*with_biases) in words
    named = {"its own": "its own outputs", "one number": "less from the newest output"}
    named["nearest mean"] = "nearest mean of exemplars"
    for start, read_by in named.items():
        (row,) = re.findall(rf"^\| {start}[^|]*\| ([\d.]+) \| ([\d.]+) \|", section, re.MULTILINE)
        wanted = [means.loc[(biases, "val", read_by), "last"] for biases in (True, False)]
        assert row == tuple(f"{value:.1f}" for value in wanted)
    first = found.query("order_seed == 0 and split == 'test'").set_index("biases").average
    assert (
        f"{100 * first[False]:.1f} % on average without biases and {100 * first[True]:.1f} %"
        in words
    )
