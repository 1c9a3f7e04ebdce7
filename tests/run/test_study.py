"""The study's pages say what its archives hold."""

import json
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest

from dynammo.catalogue import METHODS, title
from dynammo.draw.all_streams import interval_text
from dynammo.measure.intervals import over_runs
from dynammo.run.archive import unpack
from dynammo.run.collect import collect, learned_methods
from dynammo.run.compare import differences
from dynammo.run.execute import execute
from dynammo.run.profiles import load_runs
from dynammo.run.settings import RunSettings

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "figures/study"
PAGE = "".join((ROOT / f"notebooks/{name}.md").read_text() for name in ("STUDY", "BEYOND"))
NAMES = {title(name): name for name in METHODS}
TABLES = ("claims", "cost_ratios", "average", "last")
TABLES += ("average_differences", "last_differences", "cost")
MOVED = {"colour_shift": 0.5, "order_seeds": (0, 1, 2), "train_seeds": (1,)}  # half way, three runs


def tables(heading: str, keys: int = 1) -> list[dict]:
    """The tables of a section: each row's cells, by its first one or first ones, without stars."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].replace("*", "")
    found = [block.splitlines()[2:] for block in section.split("\n\n") if block[:2] == "| "]
    rows = [[line.strip("| ").split(" | ") for line in block] for block in found]

    def key(cells: list[str]) -> str | tuple[str, ...]:
        return tuple(cells[:keys]) if keys > 1 else cells[0]

    return [{key(cells): cells[keys:] for cells in block} for block in rows]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The study's archives, each unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("archives")
    for path in STUDY.glob("*.tar.xz"):
        unpack(path, folder / path.name.removesuffix(".tar.xz"))
    return folder


def held_by(run: Path, methods: list[str], **changes) -> dict[str, pd.DataFrame]:
    """The tables of an archive of the study."""
    settings = settings_of_study(run).with_changes({"methods": methods, **changes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the code that made them, which is not today's
        return collect(run, settings)


def settings_of_study(run: Path) -> RunSettings:
    """Of the run that an archive is of, or varies: study-blood, study-blood-balanced."""
    own = json.loads((run / "settings.json").read_text())
    as_run = {name: own[name] for name in ("order_seeds", "train_seeds", "backbone")}
    return load_runs("study")["-".join(run.name.split("-")[:2])].with_changes(as_run)


def gains_by_colours(archives: Path, run: str, methods: list[str]) -> dict[tuple[str, str], str]:
    """What a white balance adds to methods, by method and measure, with intervals."""
    plain = held_by(archives / run, methods)["sessions"]
    moved = held_by(archives / f"{run}-balanced", methods, **MOVED)["sessions"]
    gains = differences({"plain": plain, "moved": moved}).set_index(["method", "measure"])
    return interval_text(gains).to_dict()


def measures(sessions: pd.DataFrame) -> pd.DataFrame:
    """Average and last accuracy in percent, by method, mean and deviation over runs."""
    runs = sessions.groupby(["method", "order_seed", "train_seed"]).accuracy
    return (100 * runs.agg(["mean", "last"])).groupby("method").agg(["mean", "std"])


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


HEADS = {
    "as in the study": {},
    "later heads begin with random weights": {"later_heads": "fresh"},
    "100 epochs, however few steps that is": {"head_steps": 0},
    "both, as released": {"later_heads": "fresh", "head_steps": 0},
}


def heads_row(archives: Path, row: str) -> list[str]:
    """Accuracy of DynaMMo and of the frozen network under such heads, and differences."""
    name = {"both, as released": "released"}.get(row, row.split()[0])
    name = {"later": "fresh", "100": "epochs"}.get(name, name)
    run = archives / ("study-blood" if name == "as" else f"study-blood-heads-{name}")
    few = {"order_seeds": (0, 1, 2), **HEADS[row]}
    found = held_by(run, ["dynammo", "acl", "last_adapter", "frozen_features"], **few)
    known = measures(found["sessions"]).xs("mean", axis=1, level=1)
    own = ("{:.1f} / {:.1f}".format(*known.loc[one]) for one in ("dynammo", "frozen_features"))
    texts = interval_text(found["intervals"].set_index(["method", "other", "measure"]))
    others = "acl", "last_adapter", "frozen_features"
    return [*own, *(texts["dynammo", other, "average"] for other in others)]


def test_the_page_tells_what_heads_change(archives):
    (table,) = tables("How heads are tuned")
    assert list(table) == list(HEADS)
    for row, cells in table.items():
        assert cells == heads_row(archives, row), row


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


def said(numbers: pd.DataFrame, name: str) -> list[str]:
    return ["{:.1f} ± {:.1f}".format(*numbers.loc[name, part]) for part in ("mean", "last")]


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


def test_the_page_tells_what_going_on_without_any_image_costs(archives):
    (table,) = tables("Where no image may be kept")
    names = [NAMES.get(row, "dynammo_gentle") for row in table]
    kept = held_by(archives / "study-blood", names)["sessions"]
    none = held_by(archives / "study-blood-no-exemplars", ["dynammo_gentle"], memory_budget=0)
    found = over_runs(pd.concat([kept, none["sessions"].assign(method="none")]))
    texts = interval_text(found.set_index(["method", "other", "measure"]))
    for name, cells in zip(names, table.values(), strict=True):
        assert cells == [texts["none", name, measure] for measure in ("average", "last")], name


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


def test_what_the_page_says_of_the_sweep_is_so():
    table = pd.read_csv(STUDY / "when_merging_pays.csv")
    key = ["sessions", "memory", "epochs"]
    points = 100 * table.pivot_table("average_accuracy", key, "method")
    points = points.sub(points.pop("dynammo"), axis=0)
    short, long = (points.xs(epochs, level="epochs") for epochs in (3, 30))
    assert len(long) == 6 and (long.acl > short.acl).all()
    behind = points.last_adapter[points.last_adapter < -0.25]
    assert set(behind.index) == {(2, 16, 3), (2, 160, 3), (4, 16, 10), (4, 16, 30)}
    assert (short.ridge_frozen > 2).all()
    assert long.ridge_frozen[2].max() < 1 < long.ridge_frozen[4].min()


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


GENTLE = {"adapter_learning_rate": 0.01, "order_seeds": (0, 1, 2), "train_seeds": (1,)}


def gently_tuned(archives: Path, run: str) -> list[str]:
    """Merged adapters tuned gently, under the solved head: their accuracy, and what they gain."""
    gentle = held_by(archives / f"{run}-gentle", ["dynammo_ridge", "last_adapter_ridge"], **GENTLE)
    plain = held_by(archives / run, ["ridge_frozen", "dynammo_ridge", "acl"])["sessions"]
    own = gentle["sessions"].assign(method="gentle " + gentle["sessions"].method)
    found = over_runs(pd.concat([own, plain])).set_index(["method", "other", "measure"])
    texts, name = interval_text(found), "gentle dynammo_ridge"
    mean = measures(own).xs("mean", axis=1, level=1).loc[name]
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
