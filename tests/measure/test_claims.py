"""Claims are judged by intervals alone, and marked as they were judged; cost is only counted."""

import numpy as np
import pandas as pd
import pytest

from dynammo.draw.all_streams import interval_text, with_checks
from dynammo.measure import claims
from dynammo.measure.claims import Claim
from dynammo.measure.intervals import over_runs

CLOSE = Claim("close", "mine", "average", "dynammo", "acl", at_least=-3)


def runs(accuracies: dict[str, list[float]], classes=(2, 4)) -> pd.DataFrame:
    """Each method's accuracy, the same after every session, in class orders 0, 1, ..."""
    rows = [
        {
            "method": method,
            "order_seed": seed,
            "train_seed": 1,
            "session": t,
            "classes_seen": seen,
            "accuracy": value,
            "macs": 10 * t if method == "acl" else 10,
        }
        for method, values in accuracies.items()
        for seed, value in enumerate(values)
        for t, seen in enumerate(classes, start=1)
    ]
    return pd.DataFrame(rows)


def found(low: float, high: float, **others) -> pd.DataFrame:
    """Intervals of one pair of methods."""
    row = {"method": "dynammo", "other": "acl", "measure": "average", "runs": 3, "orders": 3}
    row |= {"covers": "runs and images", "mean": (low + high) / 2, "low": low, "high": high}
    return pd.DataFrame([row | others])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-3, 1, "✓"),  # the bound itself is within it
        (-3.001, 1, "open"),
        (-9, -3, "open"),
        (-9, -3.001, "✗"),
        (np.nan, np.nan, "open"),  # a single run
    ],
)
def test_a_claim_holds_if_the_whole_interval_is_within_its_bound(low, high, verdict):
    judged = claims.judged({"blood": found(low, high)}, [CLOSE]).iloc[0]
    assert judged.verdict == verdict
    assert (judged.at_least, judged.at_most, judged.stream) == (-3, np.inf, "blood")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1, 1, "✓"), (-1, 1.1, "open"), (-2, 2, "open"), (1.1, 2, "✗"), (-2, -1.1, "✗")],
)
def test_a_claim_may_have_bounds_on_both_sides(low, high, verdict):
    assert Claim("level", "mine", "last", "a", "b", -1, 1).verdict(low, high) == verdict


def test_an_identical_method_is_no_worse():
    table = over_runs(runs({"acl": [0.9, 0.8], "dynammo": [0.9, 0.8]}))
    better = Claim("better", "mine", "average", "dynammo", "acl", at_least=0)
    assert claims.judged({"blood": table}, [better]).verdict.tolist() == ["✓"]


def test_claims_about_methods_that_were_not_run_are_left_out():
    table = over_runs(runs({"acl": [0.9, 0.8], "dynammo": [0.9, 0.7]}))
    judged = claims.judged({"blood": table})
    assert judged[["method", "other", "measure"]].to_numpy().tolist() == [
        ["dynammo", "acl", "average"]
    ]


def test_the_table_has_a_row_a_claim_a_column_a_stream_and_says_what_intervals_cover():
    streams = {
        "blood": found(-4, -1),
        "skin": pd.concat(
            [
                found(np.nan, np.nan, mean=-40, runs=1, orders=1, covers="nothing"),
                found(1, 2, measure="last", covers="runs only"),
            ]
        ),
    }
    at_the_end = Claim("better at the end", "mine", "last", "dynammo", "acl", at_least=0)
    table = with_checks(claims.judged(streams, [CLOSE, at_the_end]))
    assert table.index.get_level_values("claim").tolist() == [
        *("close", "better at the end", "the interval is over")
    ]
    assert table.columns.tolist() == ["blood", "skin"]
    assert table["blood"].fillna("").tolist() == [
        *("open -2.5 [-4.0, -1.0], 3 orders", "–", "runs and images")
    ]
    assert table["skin"].tolist() == [
        *("open -40.0, 1 order", "✓ +1.5 [+1.0, +2.0], 3 orders", "nothing; runs only")
    ]
    assert interval_text(found(0, 1)[:0]).empty


def test_cost_is_told_for_each_stream():
    four = runs({"acl": [0.9], "dynammo": [0.9]}, classes=(2, 4, 6, 8))
    merged = runs({"dynammo": [0.9]})
    table = claims.cost_ratios(
        {"a": four, "b": merged, "c": runs({"acl": [0.9], "dynammo": [0.9]})}
    )
    assert table.loc["ACL"].tolist() == ["4.00 times", "–", "2.00 times"]
    assert table.index.tolist() == ["ACL"]  # DER was not run


@pytest.mark.parametrize(
    ("classes", "told"),
    [((2, 4, 5), "T = 3 (last: 1 class)"), ((2, 4, 6), "T = 3"), ((1, 2), "T = 2 (last: 1 class)")],
)
def test_a_last_session_of_one_class_is_named(classes, told):
    assert claims.length(runs({"acl": [0.9]}, classes)) == told
