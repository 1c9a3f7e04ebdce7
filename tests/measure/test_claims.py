"""Claims are judged by the numbers alone, run by run, and marked as they were judged."""

import numpy as np
import pandas as pd
import pytest

from dynammo.draw.all_streams import with_checks
from dynammo.measure import claims
from dynammo.measure.claims import Claim

CLOSE = Claim("close", "mine", "average", "dynammo", "acl", at_least=-3)
CHEAP = Claim("cheap", "mine", "macs", "acl", "dynammo", 0.95, 1.05, per_session=True)


def runs(accuracies: dict[str, list[float]], sessions: int = 2) -> pd.DataFrame:
    """Each method's accuracy, the same after every session, in runs of seeds 0, 1, ..."""
    rows = [
        {
            "method": method,
            "order_seed": seed,
            "train_seed": 1,
            "session": t,
            "accuracy": value,
            "macs": 10 * t if method == "acl" else 10,
        }
        for method, values in accuracies.items()
        for seed, value in enumerate(values)
        for t in range(1, sessions + 1)
    ]
    return pd.DataFrame(rows)


def test_differences_are_taken_run_by_run():
    table = runs({"acl": [0.9, 0.5, 0.7], "dynammo": [0.88, 0.49]})
    np.testing.assert_allclose(claims.paired(table, CLOSE), [-2, -1])  # the third has no partner
    judged = claims.judged({"blood": table}, [CLOSE]).iloc[0]
    assert judged["mean"] == pytest.approx(-1.5) and judged["sd"] == pytest.approx(0.5**0.5)
    assert judged["runs"] == 2 and judged["holds"]


@pytest.mark.parametrize(("merged", "holds"), [(0.871, True), (0.869, False)])
def test_a_claim_holds_within_its_bounds_only(merged, holds):
    table = runs({"acl": [0.9], "dynammo": [merged]})
    assert claims.judged({"blood": table}, [CLOSE]).holds.tolist() == [holds]


@pytest.mark.parametrize(
    ("merged", "mark"),
    [([0.9, 0.9, 0.85], "✓"), ([0.95, 0.86, 0.86], "~"), ([0.9, 0.7, 0.7], "✗")],
)
def test_a_mean_that_most_runs_do_not_share_has_a_mark_of_its_own(merged, mark):
    judged = claims.judged({"blood": runs({"acl": [0.9] * 3, "dynammo": merged})}, [CLOSE])
    assert with_checks(judged).iloc[0, 0].startswith(mark)


def test_a_bound_per_session_grows_with_the_sessions():
    table = runs({"acl": [0.9], "dynammo": [0.9]}, sessions=10)
    judged = claims.judged({"cifar": table}, [CHEAP]).iloc[0]
    assert (judged["mean"], judged["at_least"], judged["at_most"]) == (10, 9.5, 10.5)
    assert judged["holds"]
    table.loc[table.method == "acl", "macs"] *= 0.9
    assert not claims.judged({"cifar": table}, [CHEAP]).holds.any()


def test_claims_about_methods_that_were_not_run_are_left_out():
    judged = claims.judged({"blood": runs({"acl": [0.9], "dynammo": [0.9]})})
    assert set(judged.other) | set(judged.method) == {"acl", "dynammo"}
    assert len(judged) == 2


def test_the_table_has_a_row_a_claim_and_a_column_a_stream():
    streams = {
        "blood": runs({"acl": [0.9, 0.9], "dynammo": [0.89, 0.86]}),
        "skin": runs({"acl": [0.9], "dynammo": [0.5]}),
    }
    table = with_checks(claims.judged(streams, [CLOSE, CHEAP]))
    assert table.index.get_level_values("claim").tolist() == ["close", "cheap"]
    assert table.columns.tolist() == ["blood", "skin"]
    assert table.to_numpy().tolist() == [
        ["~ -2.5 ± 2.1 (1 of 2)", "✗ -40.0"],
        ["✓ 2.00", "✓ 2.00"],
    ]
