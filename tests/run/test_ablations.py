"""Comparisons over tuned chains: what is shared, what is tuned anew, what is refused."""

import numpy as np
import pandas as pd
import pytest

from dynammo.beyond.batch_norm import mixture_variance
from dynammo.beyond.merged_by import STATISTICS, MergedBy
from dynammo.beyond.strategies import STRATEGIES
from dynammo.errors import InputError
from dynammo.merging import uniform_mean
from dynammo.run import ablations, command
from dynammo.run.collect import collect
from dynammo.run.learn import last_session, learn_stream

METHODS = ("acl", "dynammo", "last_adapter")


@pytest.fixture(scope="module")
def settings(tiny_settings):
    changes = {"adapter_epochs": 2, "head_epochs": 10, "methods": METHODS}
    return tiny_settings.with_changes(changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings):
    """A run of two sessions, tuned in one process."""
    folder = tmp_path_factory.mktemp("ablations")
    learn_stream(folder, settings, "", 0, 1, progress=False)
    return folder


def followers(chain):
    return {
        f"{strategy}|{choice}": MergedBy(chain, strategy, choice)
        for strategy in ("uniform mean", "last set alone", "Fisher")
        for choice in ("averaged", "measured again")
    }


@pytest.fixture(scope="module")
def followed(run, settings):
    return ablations.follow(run, settings, followers)


def test_a_followed_chain_gives_what_the_run_gave(run, settings, followed):
    """The uniform mean is DynaMMo and the last set alone its control, trained from scratch."""
    known = collect(run, settings)["accuracy"]
    columns = ["session", "evaluated_session", "accuracy"]
    for label, method in (
        ("uniform mean|averaged", "dynammo"),
        ("last set alone|averaged", "last_adapter"),
    ):
        found = followed[followed.label == label][columns].reset_index(drop=True)
        expected = known[known.method == method][columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)


def test_averages_weigh_images_and_sessions(followed):
    found = ablations.averages(followed).set_index("label")
    for label, rows in followed.groupby("label"):
        by_session = [
            np.average(own.accuracy, weights=own.images) for _, own in rows.groupby("session")
        ]
        assert found.average_accuracy[label] == pytest.approx(np.mean(by_session))
        assert found.last_accuracy[label] == pytest.approx(by_session[-1])


def test_every_way_of_merging_makes_a_set_that_runs(run, settings):
    chain = last_session(run, settings, 0, 1).chain
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
            learner.session = 1
            learner.learn_session()
            assert learner.merged.keys() == layout.keys(), (strategy, choice)
            scores, _ = learner.judge(chain.stream.test.images[:3])
            assert scores.isfinite().any(dim=1).all()


def test_statistics_change_statistics_alone(run, settings):
    chain = last_session(run, settings, 0, 1).chain
    plain = uniform_mean(chain.adapter_states)
    made = {}
    for choice in STATISTICS:
        learner = MergedBy(chain, "uniform mean", choice)
        learner.head.add_session(chain.auxiliary)  # in the place of session 1's
        learner.session = 1
        learner.learn_session()
        made[choice] = learner.merged
        for name, tensor in plain.items():
            if "running" not in name and "num_batches" not in name:
                assert (learner.merged[name] == tensor).all(), name
    expected = mixture_variance(chain.adapter_states, plain)
    assert all((made["mixture"][k] == v).all() for k, v in expected.items())
    moved = [k for k in plain if "running" in k and (made["measured again"][k] != plain[k]).any()]
    assert len(moved) == sum("running" in k for k in plain)


def test_a_way_of_ones_own_follows_a_chain_beside_the_librarys(run, settings, followed):
    def own(chain):
        rules = {"mean": lambda changes: changes.mean(0), "last": lambda changes: changes[-1]}
        return {name: MergedBy(chain, rule) for name, rule in rules.items()}

    columns = ["session", "evaluated_session", "accuracy"]
    found = ablations.follow(run, settings, own)
    known = {"mean": "uniform mean|averaged", "last": "last set alone|averaged"}
    for name, label in known.items():
        rows = found[found.label == name][columns].reset_index(drop=True)
        expected = followed[followed.label == label][columns].reset_index(drop=True)
        assert list(rows.session) == list(expected.session)
        assert list(rows.accuracy) == pytest.approx(list(expected.accuracy), abs=0.05)


def test_accuracy_over_classes_is_that_of_a_methods_sessions(run, settings, followed):
    over = ablations.over_classes(followed[followed.label == "uniform mean|averaged"])
    known = collect(run, settings)["sessions"].query("method == 'dynammo'")
    assert list(over.accuracy) == pytest.approx(list(known.accuracy))
    assert list(over.session) == [1, 2]


def test_an_unknown_way_of_merging_is_refused(run, settings):
    chain = last_session(run, settings, 0, 1).chain
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
    (folder,) = (run / "variants").glob("adapter_learning_rate*")
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("session.json")}
    monkeypatch.setattr("dynammo.chain.tune_adapters", None)  # tuning again would fail
    again = ablations.vary(run, settings, variants, progress=False)
    pd.testing.assert_frame_equal(found, again)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("session.json")}
    assert len(times) == 2


def test_fewer_methods_take_the_runs_own_chains_and_more_do_not(run, settings):
    fewer = settings.with_changes({"methods": METHODS[:1]})
    group = last_session(run, fewer, 0, 1)
    assert (group.chain.session, [one.name for one in group.learners]) == (2, [METHODS[0]])
    own = collect(run, settings)["sessions"].query("method == @METHODS[0]")
    found = ablations.vary(run, fewer, {"as is": {}}, progress=False)
    assert list(found.accuracy) == list(own.accuracy)
    more = settings.with_changes({"methods": (*METHODS, "frozen_features")})
    with pytest.raises(InputError, match="was run without 'frozen_features'"):
        last_session(run, more, 0, 1)


def test_methods_without_adapters_are_varied_beside_those_on_them(run, settings):
    both = settings.with_changes({"methods": (METHODS[0], "ridge_frozen")})
    variants = {"as is": {}, "no tuning": {"adapter_learning_rate": 1e-9}}
    found = ablations.vary(run, both, variants, progress=False)
    assert found.groupby(["variant", "method"]).size().to_dict() == {
        (variant, method): 2 for variant in variants for method in both.methods
    }
    solved = found[found.method == "ridge_frozen"].groupby("session").accuracy.agg(["min", "max"])
    assert (solved["min"] == solved["max"]).all()  # no adapter is in it
    assert solved["max"][2] > 0.8


@pytest.mark.parametrize(
    "changes",
    [
        {"ranpac_features": 50},  # of one method
        {"methods": ("acl", "ranpac", "dynammo_ridge")},  # one more, with knobs of its own
        {"network_learning_rate": 0.01},  # of methods without adapters
    ],
)
def test_what_varies_leaves_the_run_itself_alone(run, settings, changes):
    both = settings.with_changes({"methods": (METHODS[0], "ranpac"), "ranpac_features": 20})
    learn_stream(run, both, "ranpac", 0, 1, progress=False)
    before = {path: path.read_bytes() for path in run.glob("order*/**/session.json")}
    assert any("ranpac" in str(path) for path in before)
    ablations.vary(run, both, {"as is": {}, "other": changes}, progress=False)
    assert {path: path.read_bytes() for path in run.glob("order*/**/session.json")} == before


def test_methods_without_adapters_are_varied_alone(run, settings):
    alone = settings.with_changes({"methods": ["ranpac"], "ranpac_features": 20})
    variants = {"few": {"ranpac_features": 2}, "many": {"ranpac_features": 200}}
    found = ablations.vary(run, alone, variants, progress=False)
    last = found[found.session == 2].set_index("variant").accuracy
    assert last["few"] < last["many"]


@pytest.mark.parametrize("start", ["previous", "merged", "fresh"])
def test_adapters_start_from_what_the_settings_say(run, settings, start):
    changed = settings.with_changes({"adapter_start": start})
    chain = last_session(run, settings, 0, 1).chain
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


def test_ablations_name_notebooks_and_an_unknown_one_is_refused(settings):
    own = {"merging": "09_merging", "inside_a_merge": "10_inside_a_merge"}
    every = (*own, *ablations.ablations(settings, 8))
    jobs = command._notebooks_of_ablations(settings.with_changes({"ablations": every}), 8)
    assert list(jobs) == list(every)
    assert jobs == dict.fromkeys(every, "") | own  # "": the one notebook for all those
    with pytest.raises(InputError, match="Unknown ablation 'beta'.*alpha.*merging"):
        command._notebooks_of_ablations(settings.with_changes({"ablations": ("beta",)}), 8)
    with pytest.raises(InputError, match="Unknown ablation 'merging': choose from start"):
        ablations.ablation("merging", settings, 8)
