"""Published numbers: what is compared with what, how tolerances are measured, what is said."""

import numpy as np
import pandas as pd
import pytest
from helpers_for_figures import committed

from dynammo.run import expected
from dynammo.run.expected import EXPECTED, KEY, as_expected, compare, main, numbers, told
from dynammo.run.profiles import load_profile

DEMO = load_profile("demo")


def learned(accuracies, orders=(0, 1), train_seed=1):
    """Sessions as collected: accuracy by method, order and session."""
    return pd.DataFrame(
        [
            {
                "method": method,
                "order_seed": order,
                "train_seed": train_seed,
                "session": session,
                "accuracy": accuracy,
                "images": 200 * session,
            }
            for method, by_order in accuracies.items()
            for order, by_session in zip(orders, by_order, strict=True)
            for session, accuracy in enumerate(by_session, start=1)
        ]
    )


RUN = learned({"dynammo": [(1.0, 0.8), (0.9, 0.7)], "acl": [(1.0, 0.9), (0.9, 0.9)]})


def test_numbers_are_accuracies_their_averages_paired_differences_and_means_over_runs():
    found = numbers(RUN)
    assert found["dynammo", "1", "1", "2"] == pytest.approx(70)
    assert found["acl", "0", "1", "average"] == pytest.approx(95)
    assert found["dynammo - acl", "1", "1", "2"] == pytest.approx(-20)
    assert found["dynammo - acl", "mean of 2", "mean of 2", "average"] == pytest.approx(-7.5)
    assert len(found) == 3 * 3 * (2 + 1)


def moved(points):
    return RUN.assign(accuracy=RUN.accuracy + np.array(points) / 100)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Published numbers with two variants that differ by what is written here."""
    path = tmp_path / "expected.csv"
    monkeypatch.setattr(expected, "VARIANTS", tmp_path / "variants.csv")
    monkeypatch.setattr(expected, "EXPECTED", path)
    # DynaMMo's sessions 1, 2 of order 0, then of order 1; ACL is the same everywhere.
    for name, points in (
        ("run", (0,) * 8),
        ("a", (0, 1, 0, -1, 0, 0, 0, 0)),
        ("b", (0, 3, 0, 1, 0, 0, 0, 0)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        seed = 5 if name == "b" else 1  # another seed is one more variant
        moved(points).assign(train_seed=seed).to_csv(folder / "sessions.csv", index=False)
    main([str(tmp_path / "run"), f"avx2={tmp_path / 'a'}", f"seed={tmp_path / 'b'}"])
    return path


def test_tolerances_are_three_times_the_pooled_difference_and_at_least_one_image(published):
    table = pd.read_csv(published, dtype=dict.fromkeys(KEY, str)).set_index(KEY)
    wanted = 3 * np.sqrt((1 + 1 + 9 + 1) / 4)
    assert table.tolerance["dynammo", "0", "1", "2"] == pytest.approx(wanted, abs=0.05)
    assert table.tolerance["dynammo", "1", "1", "2"] == pytest.approx(wanted, abs=0.05)
    mean = table.tolerance["dynammo", "mean of 2", "mean of 2", "2"]
    assert mean == pytest.approx(wanted / np.sqrt(2), abs=0.05)
    assert table.tolerance["acl", "0", "1", "1"] == 100 / 200
    assert table.tolerance["dynammo - acl", "0", "1", "2"] == pytest.approx(wanted, abs=0.05)
    variants = pd.read_csv(expected.VARIANTS).set_index("variant")
    assert list(variants.index) == ["avx2", "seed"]
    assert (variants["within tolerance"] == variants["of"]).all()


def test_what_is_outside_is_named_and_how_much_is_too_much_is_told(published):
    same = compare(RUN, DEMO)
    assert same.within.all() and "27 of 27 numbers within tolerance" in told(same)
    one = compare(moved((0, 0, 0, 0, 0, 0, 0.6, 0)), DEMO)
    assert 0 < (~one.within).sum() < 4
    assert "acl" in told(one)
    # One number takes its average, its means and its differences along: that is still one.
    far = compare(moved((0, 0, 0, 0, 0, 0, 9, 0)), DEMO)
    assert (~far.within).sum() > 2 and "One in a hundred" in told(far)
    many = told(compare(moved((9,) * 8), DEMO))
    assert "something else is different" in many


def test_only_what_was_learned_alike_is_compared(published, monkeypatch):
    for changes in ({"adapter_epochs": 3}, {"stream": "phantom"}):
        nothing = compare(RUN, DEMO.with_changes(changes))
        assert nothing.empty and "nothing to compare" in told(nothing)
    assert compare(RUN.iloc[:0], DEMO).empty
    assert compare(RUN.assign(method="mine"), DEMO).empty
    other = compare(RUN, DEMO.with_changes({"threads": 2, "order_seeds": [1]}))
    assert len(other) == 27  # arithmetic is what tolerances are for
    monkeypatch.setattr(expected, "EXPECTED", published.with_name("missing.csv"))
    assert compare(RUN, DEMO).query("session == '1'").empty


def test_part_of_the_sessions_has_no_average_and_part_of_the_orders_no_mean(published):
    second = compare(RUN[RUN.session == 2], DEMO)
    assert set(second.index.get_level_values("session")) == {"2"} and second.within.all()
    first = compare(RUN[RUN.order_seed == 0], DEMO)
    assert set(first.index.get_level_values("order_seed")) == {"0"} and len(first) == 9


def test_the_committed_numbers_are_the_committed_figures():
    table = pd.read_csv(EXPECTED, dtype=dict.fromkeys(KEY, str)).set_index(KEY)
    found = numbers(committed("figures/demo/sessions.csv"))
    assert set(found.index) <= set(table.index)
    assert table.published[found.index].to_numpy() == pytest.approx(found.to_numpy(), abs=1e-3)
    assert (table.tolerance > 0).all()


def test_expectations_stand_beside_what_came_out():
    table = as_expected({"near 0 %": ("3 %", True), "above 90 %": ("70 %", np.bool_(False))})
    assert table.loc["near 0 %"].tolist() == ["3 %", "✓"]
    assert table.loc["above 90 %"].tolist() == ["70 %", "✗"]


def test_published_accuracies_of_the_run_are_expectations_too(published):
    one = learned({"dynammo": [(1.0, 0.5)]}, orders=(0,))
    table = as_expected({"near 0 %": ("3 %", True)}, DEMO, one)
    assert table.loc["near 0 %", "so?"] == "✓"
    rows = table.iloc[1:]
    words = [f"dynammo, {when}: " for when in ("session 1", "session 2", "average")]
    assert [next(w for w in words if row.startswith(w)) for row in rows.index] == words
    assert rows.here.tolist() == ["100.0 %", "50.0 %", "75.0 %"]
    assert rows["so?"].tolist() == ["✓", "✗", "✗"]
    other = DEMO.with_changes({"memory_budget": 8})
    assert len(as_expected({}, other, one)) == 0
    absent = as_expected({}, DEMO, learned({"wa": [(1.0, 0.5)]}, orders=(0,)))
    assert absent.reset_index().to_numpy().tolist() == [["wa: the demo has no numbers", "", ""]]


def test_expectations_are_said_to_be_the_demo_s_where_settings_are_others():
    told, demo = {"near 0 %": ("3 %", True)}, load_profile("demo").with_changes({"threads": 1})
    assert as_expected(told, demo).index.name == "expected"
    for change in ({"memory_budget": 8}, {"stream": "phantom"}):
        heading = as_expected(told, demo.with_changes(change)).index.name
        assert heading == "expected in the demo; these settings are others"
    one = demo.with_changes({"methods": ["icarl"], "adapter_alpha": 9.0})  # which iCaRL has not
    assert as_expected(told, one).index.name == "expected"
