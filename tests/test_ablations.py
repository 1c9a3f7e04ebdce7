"""Comparisons over tuned chains: what is shared, what is tuned anew, what is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from dynammo.beyond.batch_norm import mixture_variance
from dynammo.beyond.merged_by import STATISTICS, STRATEGIES, MergedBy
from dynammo.draw.comparisons import (
    average_by_run,
    contenders_figure,
    contenders_finding,
    merging_figure,
    merging_finding,
    variants_figure,
    variants_finding,
)
from dynammo.errors import InputError
from dynammo.measure.summary import collect
from dynammo.merging import uniform_mean
from dynammo.run import ablations, sessions

METHODS = ("acl", "dynammo", "last_adapter")


@pytest.fixture(scope="module")
def settings(tiny_settings):
    return dataclasses.replace(tiny_settings, adapter_epochs=2, head_epochs=10, methods=METHODS)


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings):
    """A run of two sessions, tuned in one process."""
    folder = tmp_path_factory.mktemp("ablations")
    sessions.learn_chain(folder, settings, 0, 1, progress=False)
    return folder


def followers(chain):
    return {
        f"{strategy}|{choice}": MergedBy(chain, strategy, choice)
        for strategy in ("uniform mean", "last set alone", "Fisher")
        for choice in ("averaged", "measured again")
    }


@pytest.fixture(scope="module")
def replayed(run, settings):
    return ablations.replay(run, settings, followers)


def test_a_replayed_chain_gives_what_the_run_gave(run, settings, replayed):
    """The uniform mean is DynaMMo and the last set alone its control, trained from scratch."""
    known = collect(run, settings)["accuracy"]
    columns = ["session", "evaluated_session", "accuracy"]
    for label, method in (
        ("uniform mean|averaged", "dynammo"),
        ("last set alone|averaged", "last_adapter"),
    ):
        found = replayed[replayed.label == label][columns].reset_index(drop=True)
        expected = known[known.method == method][columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)


def test_averages_weigh_images_and_sessions(replayed):
    found = ablations.averages(replayed).set_index("label")
    for label, rows in replayed.groupby("label"):
        by_session = [
            np.average(own.accuracy, weights=own.images) for _, own in rows.groupby("session")
        ]
        assert found.average_accuracy[label] == pytest.approx(np.mean(by_session))
        assert found.last_accuracy[label] == pytest.approx(by_session[-1])


def test_every_way_of_merging_makes_a_set_that_runs(run, settings):
    chain, _ = sessions.restore_chain(run, settings, 0, 1)
    layout = chain.merged_state
    for strategy in STRATEGIES:
        for choice in STATISTICS if strategy == "TIES" else STATISTICS[:1]:
            learner = MergedBy(chain, strategy, choice)
            if strategy == "Fisher":
                learner.importances = [
                    {
                        k: v.abs()
                        for k, v in s.items()
                        if "running" not in k and v.is_floating_point()
                    }
                    for s in chain.adapter_states[:1]
                ]
            learner.head.add_session(chain.auxiliary)  # in the place of session 1's
            learner.learn_session()
            assert learner.merged.keys() == layout.keys(), (strategy, choice)
            scores, _ = learner.judge(chain.stream.test.images[:3])
            assert scores.isfinite().any(dim=1).all()


def test_statistics_change_statistics_alone(run, settings):
    chain, _ = sessions.restore_chain(run, settings, 0, 1)
    plain = uniform_mean(chain.adapter_states)
    made = {}
    for choice in STATISTICS:
        learner = MergedBy(chain, "uniform mean", choice)
        learner.head.add_session(chain.auxiliary)  # in the place of session 1's
        learner.learn_session()
        made[choice] = learner.merged
        for name, tensor in plain.items():
            if "running" not in name and "num_batches" not in name:
                assert (learner.merged[name] == tensor).all(), name
    expected = mixture_variance(chain.adapter_states, plain)
    assert all((made["mixture"][k] == v).all() for k, v in expected.items())
    moved = [k for k in plain if "running" in k and (made["measured again"][k] != plain[k]).any()]
    assert len(moved) == sum("running" in k for k in plain)


def test_an_unknown_way_of_merging_is_refused(run, settings):
    chain, _ = sessions.restore_chain(run, settings, 0, 1)
    with pytest.raises(InputError, match="'median'.*uniform mean.*measured again"):
        MergedBy(chain, "median")


def test_variants_are_tuned_once_and_the_run_itself_is_taken_as_it_is(run, settings, monkeypatch):
    variants = {"as is": {}, "no tuning": {"adapter_learning_rate": 1e-9}}
    found = ablations.vary(run, settings, variants, progress=False)
    assert list(pd.unique(found.variant)) == list(variants)
    own = collect(run, settings)["sessions"]
    columns = ["method", "session", "accuracy"]
    as_is = found[found.variant == "as is"][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(as_is, own[columns])
    (folder,) = (run / "variants").iterdir()
    assert "adapter_learning_rate" in folder.name
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("session.json")}
    monkeypatch.setattr("dynammo.chain.tune_adapters", None)  # tuning again would fail
    again = ablations.vary(run, settings, variants, progress=False)
    pd.testing.assert_frame_equal(found, again)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("session.json")}
    assert len(times) == 2


def test_fewer_methods_take_the_runs_own_chains_and_more_do_not(run, settings):
    fewer = dataclasses.replace(settings, methods=METHODS[:1])
    chain, (learner,) = sessions.restore_chain(run, fewer, 0, 1)
    assert (chain.session, learner.name) == (2, METHODS[0])
    own = collect(run, settings)["sessions"].query("method == @METHODS[0]")
    found = ablations.vary(run, fewer, {"as is": {}}, progress=False)
    assert list(found.accuracy) == list(own.accuracy)
    more = dataclasses.replace(settings, methods=(*METHODS, "frozen_features"))
    with pytest.raises(InputError, match="another methods"):
        sessions.restore_chain(run, more, 0, 1)


def test_only_methods_on_adapters_can_be_varied(run, settings):
    other = dataclasses.replace(settings, methods=("dynammo", "replay"))
    with pytest.raises(InputError, match="methods on adapters: choose from dynammo"):
        ablations.vary(run, other, {"as is": {}})


@pytest.mark.parametrize("start", ["previous", "merged", "fresh"])
def test_adapters_start_from_what_the_settings_say(run, settings, start):
    changed = dataclasses.replace(settings, adapter_start=start)
    chain, _ = sessions.restore_chain(run, settings, 0, 1)
    chain.settings = changed
    expected = {
        "previous": chain.adapter_states[-1],
        "merged": chain.merged_state,
        "fresh": chain.adapters(None).state_dict(),
    }
    begun = chain.adapters(chain.start()).state_dict()
    for name, state in expected.items():
        same = all((begun[key] == tensor).all() for key, tensor in state.items())
        assert same == (name == start)


def test_every_ablation_has_variants_that_are_valid_settings(settings):
    for name, (title, variants) in ablations.ablations(settings, 8).items():
        assert title and len(variants) >= 2, name
        changed = [settings.with_changes(changes).as_dict() for changes in variants.values()]
        assert len({str(values) for values in changed}) == len(variants), name


def test_studies_name_notebooks_and_an_unknown_one_is_refused(settings):
    every = (*ablations.STUDY_NOTEBOOKS, *ablations.ablations(settings, 8))
    jobs = ablations.study_jobs(dataclasses.replace(settings, studies=every), 8)
    assert len(jobs) == len(every)
    assert jobs["11_ablations-alpha"] == ("11_ablations", {"ablation": "alpha", "seeds": 1})
    with pytest.raises(InputError, match="Unknown study 'beta'.*merging.*alpha"):
        ablations.study_jobs(dataclasses.replace(settings, studies=("beta",)), 8)


def merging_table() -> pd.DataFrame:
    rows = [
        (strategy, choice, seed, base + gain + 0.01 * seed)
        for strategy, base in (("uniform mean", 0.8), ("MagMax", 0.7), ("last set alone", 0.79))
        for choice, gain in (("averaged", 0.0), ("measured again", 0.05))
        for seed in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["strategy", "statistics", "train_seed", "average_accuracy"])
    return table.assign(order_seed=0)


def test_captions_say_what_was_found():
    table = merging_table()
    text = merging_finding(table)
    assert "uniform mean reaches 82.0 %" in text and "87.0 %" in text
    assert "statistics measured again" in text and "+5.0 ± 0.0 points" in text
    assert "3 runs" in text
    plain = table[table.statistics == "averaged"]
    assert "no other way is better (3 runs)" in merging_finding(plain)


def variants_table() -> pd.DataFrame:
    rows = [
        (variant, method, 0, 1, session, base + step - 0.1 * session)
        for variant, step in (("few", 0.0), ("many", 0.1))
        for method, base in (("acl", 0.9), ("dynammo", 0.8), ("last_adapter", 0.85 - step))
        for session in (1, 2)
    ]
    columns = ["variant", "method", "order_seed", "train_seed", "session", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def test_variants_caption_counts_where_merging_wins():
    table = average_by_run(variants_table())
    text = variants_finding(table, list(METHODS))
    assert text == (
        "DynaMMo: from 65.0 % (few) to 75.0 % (many); merging beats the last set alone in 1 of 2 "
        "cases (1 run each)."
    )


def drawn(figure) -> list[tuple]:
    (ax,) = figure.axes
    return [tuple(np.round(line.get_ydata(), 6)) for line in ax.get_lines()]


def test_figures_draw_the_means():
    figure = variants_figure(variants_table(), "Memory", "made up")
    assert (65.0, 75.0) in drawn(figure) and (75.0, 85.0) in drawn(figure)
    assert figure.axes[0].get_title(loc="left") == "Memory"
    merging = merging_figure(merging_table(), "made up")
    (ax,) = merging.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["MagMax", "last set alone", "uniform mean"]
    assert len(ax.get_legend().get_texts()) == 2


def test_contenders_are_compared_seed_by_seed():
    rows = [
        (label, 0, seed, base + 0.01 * seed * slope, base)
        for label, base, slope in (("ACL", 0.8, 1), ("ours", 0.9, 2))
        for seed in (1, 2, 3)
    ]
    columns = ["label", "order_seed", "train_seed", "average_accuracy", "last_accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    text = contenders_finding(table, "ACL")
    assert text == "Points over ACL on average: ours +12.0 ± 1.0 (3 runs)"
    figure = contenders_figure(table, "ACL", "Title", "made up")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["ours", "ACL"]  # the first on top
    means = [
        line.get_xdata()[0] for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1
    ]
    assert means == pytest.approx([94, 82])


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(InputError, match="lacks the column"):
        merging_figure(merging_table().drop(columns="statistics"), "made up")
