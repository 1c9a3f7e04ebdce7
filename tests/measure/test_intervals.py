"""Intervals of differences: the formula in plain loops, how often it is right, what it covers."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from dynammo.data.make_stream import make_stream
from dynammo.measure.intervals import bounds, intervals, over_runs, right_or_wrong
from dynammo.measure.predictions import Predictions

CLASSES = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0, 2, 0, 1, 1])
ORDERS = {0: ((0, 1), (2,)), 1: ((2, 0), (1,)), 2: ((1, 2), (0,))}  # classes by session


def answers(method: str, order: int, seed: int, share: float = 0.7) -> list[np.ndarray]:
    """Made-up answers, right or not, after both sessions of an order."""
    random = np.random.default_rng([len(method), order, seed])
    right = (random.random((2, len(CLASSES))) < share).astype(np.float32)
    right[0, ~np.isin(CLASSES, ORDERS[order][0])] = np.nan
    return list(right)


def runs(*methods: str, orders=(0, 1, 2), seeds=(1, 2)) -> dict:
    pairs = [(order, seed) for order in orders for seed in seeds]
    return {(m, *pair): answers(m, *pair) for m in methods for pair in pairs}


def row(table: pd.DataFrame, measure: str = "average") -> pd.Series:
    """What is said of the first method minus the second."""
    return table[table.measure == measure].iloc[0]


def test_an_interval_is_what_plain_loops_make_it():
    right = runs("a", "bb")
    for measure in ("average", "last"):
        shares, by_seeds = [], []  # by order: what each image brings to the difference
        for order in ORDERS:
            brings, of_seeds = np.zeros(len(CLASSES)), []
            for seed in (1, 2):
                before = brings.sum()
                one, two = right["a", order, seed], right["bb", order, seed]
                for session in (0, 1) if measure == "average" else (1,):
                    seen = [i for i in range(len(CLASSES)) if not np.isnan(one[session][i])]
                    for i in seen:
                        gap = (one[session][i] - two[session][i]) / len(seen)
                        brings[i] += gap / 2 / (2 if measure == "average" else 1)
                of_seeds.append(2 * (brings.sum() - before))
            shares.append(brings)
            by_seeds.append(np.var(of_seeds, ddof=1) / 2)
        covariance = np.zeros((3, 3))
        for a in range(3):
            for b in range(3):
                for label in range(3):
                    x, y = (shares[k][label == CLASSES] for k in (a, b))
                    covariance[a, b] += len(x) * np.cov(x, y)[0, 1]
        common = max(0, np.mean([covariance[0, 1], covariance[0, 2], covariance[1, 2]]))
        gaps = [brings.sum() for brings in shares]
        among = max(np.var(gaps, ddof=1), np.mean(by_seeds)) / 3
        variance = among + common
        half = student.ppf(0.95, 2 * variance**2 / among**2) * variance**0.5
        found = row(intervals(right, CLASSES), measure)
        wanted = [100 * (np.mean(gaps) + sign * half) for sign in (0, -1, 1)]
        np.testing.assert_allclose(found[["mean", "low", "high"]].tolist(), wanted, rtol=1e-6)
        assert (found.runs, found.orders, found.covers) == (6, 3, "runs and images")


def test_with_one_run_it_is_as_wide_as_drawing_images_again_makes_it():
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(4), 50)
    right = [(random.random((1, 200)) < share).astype(np.float32) for share in (0.8, 0.6)]
    found = row(intervals({("a", 0, 1): right[0], ("b", 0, 1): right[1]}, classes), "last")
    drawn = []
    for _ in range(4000):  # the same images for both methods
        images = np.concatenate([random.choice(np.flatnonzero(classes == k), 50) for k in range(4)])
        drawn.append(right[0][0][images].mean() - right[1][0][images].mean())
    assert found.high - found["mean"] == pytest.approx(164.5 * np.std(drawn), rel=0.05)
    assert found.covers == "images only"


def test_a_method_that_answers_the_same_differs_by_exactly_nothing():
    right = runs("a")
    right |= {("b", *run): rows for (_, *run), rows in right.items()}
    table = intervals(right, CLASSES)
    assert (table[["mean", "low", "high"]] == 0).to_numpy().all()


def test_the_other_way_round_is_the_same_with_another_sign():
    table = intervals(runs("a", "bb"), CLASSES)
    there, back = (table[table.method == m].set_index("measure") for m in ("a", "bb"))
    np.testing.assert_allclose(there[["mean", "low"]], -back[["mean", "high"]])


def test_only_runs_that_both_have_count_and_seeds_of_an_order_are_one_draw():
    right = runs("a", "bb", seeds=(1,))
    once = row(intervals(right, CLASSES))
    again = {(m, order, 2): rows for (m, order, _), rows in right.items()}
    twice = row(intervals(right | again, CLASSES))
    assert (twice.runs, twice.orders) == (6, 3)
    assert twice[["mean", "low", "high"]].tolist() == once[["mean", "low", "high"]].tolist()
    more = right | runs("a", seeds=(2, 3))
    assert row(intervals(more, CLASSES)).tolist() == once.tolist()


def test_orders_that_agree_by_luck_are_no_surer_than_their_seeds():
    seeds = {1: 0.50, 2: 0.60}
    rows = [
        (method, order, seed, 1, seeds[seed] if method == "a" else 0.5)
        for method in ("a", "b")
        for order in range(3)
        for seed in seeds
    ]
    names = ["method", "order_seed", "train_seed", "session", "accuracy"]
    found = row(over_runs(pd.DataFrame(rows, columns=names)))
    half = student.ppf(0.95, 2) * (np.var([0, 10], ddof=1) / 2 / 3) ** 0.5
    assert [found["mean"], found.low, found.high] == pytest.approx([5, 5 - half, 5 + half])


def test_orders_that_bring_the_same_images_together_are_one():
    right = runs("a", "bb", orders=(0,), seeds=(1, 2, 3))
    found = row(intervals(right, CLASSES))
    assert (found.runs, found.orders, found.covers) == (3, 1, "runs of one class order and images")
    renamed = {(m, seed, seed): rows for (m, _, seed), rows in right.items()}
    assert row(intervals(renamed, CLASSES)).tolist() == found.tolist()


def test_a_test_image_is_the_same_under_every_class_order(blobs_npz):
    found = {}
    for order in (0, 1):
        stream = make_stream(str(blobs_npz), classes_per_session=2, order_seed=order)
        # Right or wrong by what is in the image alone.
        luck = stream.test.images[:].reshape(len(stream.test), -1).sum(axis=1) % 3 > 0
        for session in (1, 2):
            seen = stream.indices("test", range(1, session + 1))
            labels = stream.test.labels[seen]
            predicted = np.where(luck[seen], labels, (labels + 1) % stream.classes_seen(session))
            told = Predictions(session, stream.sessions, stream.test.labels, predicted)
            found[order, session] = right_or_wrong(told)
            assert list(np.flatnonzero(~np.isnan(found[order, session]))) == list(seen)
    np.testing.assert_array_equal(found[0, 2], found[1, 2])
    assert 0 < found[0, 2].mean() < 1
    both = ~np.isnan(found[0, 1]) & ~np.isnan(found[1, 1])  # in the first session of both orders
    assert both.any() and not both.all()
    np.testing.assert_array_equal(found[0, 1][both], found[1, 1][both])


def draw(random, orders: int, by_order: float, by_image: float) -> np.ndarray:
    """Differences of right answers [orders, 200] of two methods with a true difference of 0."""
    order, image = random.normal(0, by_order, (orders, 1)), random.normal(0, by_image, 200)
    ease = random.normal(1, 1, 200) + random.normal(0, 0.5, (orders, 200))
    one, two = (ease + sign * (order + image) / 2 for sign in (1, -1))
    return (one + random.normal(size=one.shape) > 0) * 1.0 - (
        two + random.normal(size=two.shape) > 0
    )


@pytest.mark.parametrize("orders", [3, 6])
@pytest.mark.parametrize(("by_order", "by_image"), [(0, 0.3), (0.15, 0.3), (0.5, 0.8)])
def test_each_bound_is_right_in_95_of_100_cases(orders, by_order, by_image):
    random, right = np.random.default_rng(1), []
    for _ in range(2000):
        gaps = draw(random, orders, by_order, by_image) / 200
        noise = (gaps - gaps.mean(axis=1, keepdims=True)) * (200 / 199) ** 0.5
        _, low, high = bounds(gaps.sum(axis=1), noise)
        right.append((low <= 0, high >= 0))
    assert np.mean(right, axis=0) == pytest.approx([0.95, 0.95], abs=0.02)


def sessions_table(accuracies: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        (m, i, 1, t, x) for m, xs in accuracies.items() for i, x in enumerate(xs) for t in (1, 2)
    ]
    return pd.DataFrame(rows, columns=["method", "order_seed", "train_seed", "session", "accuracy"])


def test_from_accuracies_alone_it_is_students_interval_over_class_orders():
    table = sessions_table({"a": [0.9, 0.8, 0.85], "b": [0.88, 0.79, 0.8, 0.1]})
    found = row(over_runs(table))
    gaps = np.array([2, 1, 5])
    half = student.ppf(0.95, 2) * gaps.std(ddof=1) / 3**0.5
    wanted = [gaps.mean(), gaps.mean() - half, gaps.mean() + half]
    assert found[["mean", "low", "high"]].tolist() == pytest.approx(wanted)
    assert (found.runs, found.orders, found.covers) == (3, 3, "runs only")


def test_one_run_without_images_has_no_bounds():
    found = row(over_runs(sessions_table({"a": [0.9], "b": [0.8]})))
    assert found["mean"] == pytest.approx(10) and found.covers == "nothing"
    assert found[["low", "high"]].isna().all()


def test_a_method_alone_is_compared_with_nothing():
    table = intervals(runs("a"), CLASSES)
    assert table.empty and "low" in table.columns
