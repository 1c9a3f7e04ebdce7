"""SPEED and GUARANTEES say what was measured."""

import re

import pandas as pd
import pytest
from helpers_for_study import ROOT

CHECKS = ROOT / "figures/checks"
SPEED = (ROOT / "notebooks/SPEED.md").read_text()
GUARANTEES = (ROOT / "notebooks/GUARANTEES.md").read_text()


@pytest.fixture(scope="module")
def speed():
    return pd.read_csv(CHECKS / "speed.csv")


def row(page, start):
    """Cells of the one row of a page's tables that begins so."""
    (line,) = [one for one in page.splitlines() if one.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def span(values, digits):
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{low} to {high}"


@pytest.mark.parametrize(
    ("start", "sessions"), [("a prediction, merged", 4), ("T = 10", 10), ("T = 20", 20)]
)
def test_a_prediction(speed, start, sessions):
    what = speed.what == "inference: merged against every set kept"
    found = speed[what & (speed.sessions == sessions)]
    cells = row(SPEED, start)
    assert cells[1] == span(found.ratio, 1)
    assert float(cells[2]) == found.at_least.unique().item()
    assert cells[3] == "✓" and set(found.met) == {"yes"}


def test_merged_against_one_set(speed):
    found = speed[speed.what == "inference: merged against one set"]
    cells = row(SPEED, "merged against one adapter set")
    assert cells[1] == span(found.ratio, 2)
    assert f"✓ in {(found.met == 'yes').sum()} of {len(found)}" in cells[3]
    export = speed[speed.part == "export"].ratio
    assert row(SPEED, "exported (batch norm folded)")[1] == span(export, 2)


IMAGE_BY_IMAGE = "adapter tuning: in batches against image by image"


@pytest.mark.parametrize(
    ("start", "what", "of", "digits"),
    [
        ("head tuning on features", "head tuning: ", {"sessions": 1}, 1),
        ("four passes (ACL)", "head tuning: ", {"sessions": 4}, 1),
        ("adapter tuning against", IMAGE_BY_IMAGE, {"backbone": "efficientnet_lite0"}, 1),
        ("ResNet-18 at 224 px", IMAGE_BY_IMAGE, {"backbone": "resnet18"}, 1),
        ("storage of the merged", "storage: ", {"backbone": "resnet18"}, 2),
    ],
)
def test_single_rows(speed, start, what, of, digits):
    found = speed[speed.what.str.startswith(what) & ~speed.what.str.contains("tested every")]
    for name, value in of.items():
        found = found[found[name] == value]
    cells, (ratio,) = row(SPEED, start), found.ratio
    assert cells[1] == f"{ratio:.{digits}f}"
    assert cells[3][0] == {"yes": "✓", "no": "✗"}[found.met.item()]


def test_rows_of_two_numbers(speed):
    tested = speed[speed.what == f"{IMAGE_BY_IMAGE}, tested every epoch"].ratio
    assert row(SPEED, "both, against a loop")[1] == ", ".join(f"{one:.1f}" for one in tested)
    late = speed[speed.what.str.contains("seconds of learning|peak memory")]
    assert row(SPEED, "seconds of learning")[1] == ", ".join(f"{one:.2f}" for one in late.ratio)
    assert set(late.met) == {"yes"}
    saved = speed[speed.what.str.contains("frozen layers")].note.str.extract(r"save (\d+) %")[0]
    assert f"({saved.min()} to {saved.max()} % of a step at most)" in SPEED
    whole = speed[speed.what.str.contains("convolutions alone") & (speed.backbone == "resnet18")]
    assert f"({100 / whole.ratio.item():.0f} % of a step is convolution)" in SPEED


def test_the_table_of_tolerances_is_the_measured_one():
    variants = pd.read_csv(ROOT / "figures/expected_variants.csv")
    *_, table = GUARANTEES.split("| run again with")
    found = re.findall(r"^\| (.+) \| (\d+) of (\d+) \| ([\d.]+) \|$", table, re.M)
    named = [(name, int(within), int(of)) for name, within, of, _ in found]
    assert named == list(variants.iloc[:, :3].itertuples(index=False, name=None))
    assert [far for *_, far in found] == [f"{far:.1f}" for far in variants.iloc[:, 3]]


def test_notebooks_alone_take_what_is_said_and_find_what_they_expect():
    found = pd.read_csv(CHECKS / "notebooks.csv", keep_default_na=False)
    minutes = found.set_index(found.notebook.str[:2].astype(int)).minutes
    assert "Each notebook from 0 to 12" in SPEED and list(minutes.index) == list(range(13))
    assert "five minutes at\nmost" in SPEED and minutes.drop(9).max() <= 5
    assert f"notebook 9 took {minutes[9]:.0f}" in SPEED
    assert (found["failed in"] == "").all() and (found["not as expected"] == 0).all()
    assert (found["as expected"] > 0).all()  # "in every row"


def test_what_survived_is_identical():
    kills = pd.read_csv(CHECKS / "kills.csv")
    assert len(kills) == 20 and "twenty" in GUARANTEES
    assert (kills.restart == "went on").all()
    assert kills.sessions_redone.max() <= 1  # "at most the session it was in"
    compared = [*kills.identical_files.dropna()]
    compared += pd.read_csv(CHECKS / "full_disk.csv").identical_files.dropna().tolist()
    for name in ("identity", "cluster"):
        runs = pd.read_csv(CHECKS / f"{name}.csv")
        assert (runs.missing + runs.extra == 0).all()
        compared += [f"{one.identical} of {one.files}" for one in runs.itertuples()]
    assert len(compared) >= 5 and len(set(compared)) == 1  # all files, in every check
    ((identical, files),) = {tuple(one.split(" of ")) for one in compared}
    assert identical == files
