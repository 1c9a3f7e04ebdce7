"""Looking inside a merge: blends, changes, similarities, against plain numpy."""

import numpy as np
import pytest
import torch
from helpers import generator

from dynammo.errors import InputError
from dynammo.measure import between_sets
from dynammo.merging import uniform_mean
from dynammo.run.learn import last_session, learn_stream


def states(count: int) -> list[dict[str, torch.Tensor]]:
    random = generator(3)
    return [
        {
            "adapters.0.conv.weight": torch.randn(4, 3, 3, 3, generator=random),
            "adapters.0.bn1.running_var": torch.rand(4, generator=random),
            "adapters.0.bn1.num_batches_tracked": torch.tensor(i),
            "adapters.0.alpha": torch.randn(1, generator=random),
        }
        for i in range(count)
    ]


def test_blends_are_weighted_sums_and_the_even_one_is_the_mean():
    sets = states(3)
    mean = between_sets.blend(sets, [1 / 3] * 3)
    for name, tensor in uniform_mean(sets).items():
        torch.testing.assert_close(mean[name], tensor)
    blend = between_sets.blend(sets, (0.5, 0.2, 0.3))
    name = "adapters.0.conv.weight"
    expected = sum(w * s[name].numpy() for w, s in zip((0.5, 0.2, 0.3), sets, strict=True))
    np.testing.assert_allclose(blend[name].numpy(), expected, rtol=1e-5, atol=1e-6)
    alone = between_sets.blend(sets, (0, 1, 0))
    assert all(torch.equal(alone[k], v) for k, v in sets[1].items() if "num_batches" not in k)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.5, 0.5)])
def test_shares_must_fit(shares):
    with pytest.raises(InputError, match="3 sets need as many shares that add up to 1"):
        between_sets.blend(states(3), shares)


def test_a_triangle_has_its_corners_and_every_point_adds_up_to_one():
    points = between_sets.triangle(4)
    assert len(points) == len(set(points)) == 15
    assert {(1, 0, 0), (0, 1, 0), (0, 0, 1)} <= set(points)
    assert all(sum(point) == pytest.approx(1) and min(point) >= 0 for point in points)


def test_cosines_are_of_each_sessions_own_change():
    initial, *sets = states(4)
    table = between_sets.change_cosines(sets, initial)
    name = "adapters.0.conv.weight"
    path = [s[name].numpy().ravel().astype(float) for s in (initial, *sets)]
    steps = np.diff(path, axis=0)
    for row in table.itertuples():
        assert row.entry == name and row.size == 108  # nothing measured, no single number
        one, other = steps[row.one - 1], steps[row.other - 1]
        expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert row.cosine == pytest.approx(expected)
    assert len(table) == 3


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, tiny_settings):
    methods = ("acl", "dynammo", "dynammo_unified_head", "last_adapter")
    settings = tiny_settings.with_changes({"adapter_epochs": 4, "methods": methods})
    folder = tmp_path_factory.mktemp("inside")
    learn_stream(folder, settings, "", 0, 1, progress=False)
    group = last_session(folder, settings, 0, 1)
    return group.chain, group.learners


def test_a_judged_set_is_better_with_its_head_tuned_and_leaves_the_head_alone(tuned):
    chain, learners = tuned
    head = between_sets.unified_head(learners)
    before = {k: v.clone() for k, v in head.state_dict().items()}
    found = between_sets.judge_set(chain, head, chain.merged_state)
    assert all(torch.equal(before[k], v) for k, v in head.state_dict().items())
    assert found["accuracy"] == pytest.approx((found["session 1"] + found["session 2"]) / 2)
    assert found["accuracy"] > 0.5 and found["loss"] < np.log(4)  # better than guessing
    # The same as tuning the learner's own head once more would predict: one pass, all classes.
    broken = {k: v * 30 if v.is_floating_point() else v for k, v in chain.merged_state.items()}
    assert between_sets.judge_set(chain, head, broken)["accuracy"] < found["accuracy"]


def test_the_line_ends_at_the_sets_themselves(tuned):
    chain, learners = tuned
    head = between_sets.unified_head(learners)
    shares, answers = [(1, 0), (0.5, 0.5), (0, 1)], []
    line = between_sets.judge_blends(
        chain, head, chain.adapter_states, shares, progress="", answers=answers
    )
    seen = chain.stream.test.labels[chain.stream.indices("test", range(1, chain.session + 1))]
    shares_right = [(found == seen).mean() for found in answers]
    assert list(line["accuracy"]) == pytest.approx(shares_right)
    for place, state in ((0, chain.adapter_states[0]), (2, chain.adapter_states[1])):
        alone = between_sets.judge_set(chain, head, state)
        assert {k: line[k][place] for k in alone} == pytest.approx(alone)
    assert list(line["share 2"]) == [0, 0.5, 1]


def test_a_mix_of_ones_own_is_judged(tuned):
    chain, learners = tuned
    head, ends = between_sets.unified_head(learners), chain.adapter_states
    asked = []

    def nearest(states, shares):
        asked.append(tuple(shares))
        return states[int(np.argmax(shares))]

    line = between_sets.judge_blends(
        chain, head, ends, [(0.6, 0.4), (0.1, 0.9)], progress="", mix=nearest
    )
    assert asked == [(0.6, 0.4), (0.1, 0.9)]
    assert list(line["share 2"]) == [0.4, 0.9]
    for place, state in enumerate(ends):
        alone = between_sets.judge_set(chain, head, state)
        assert {k: line[k][place] for k in alone} == pytest.approx(alone)


def test_without_a_unified_head_the_method_to_run_is_named(tuned):
    with pytest.raises(InputError, match="dynammo_unified_head"):
        between_sets.unified_head([x for x in tuned[1] if x.knows_others])


def test_others_scores_are_those_of_the_heads(tuned):
    chain, learners = tuned
    named = {learner.name: learner for learner in learners}
    table = between_sets.others_scores(named["dynammo"])
    _, others = named["dynammo"].judge(chain.stream.test.images)
    assert len(table) == others.numel()
    np.testing.assert_allclose(table.others, others.numpy().ravel())
    truth = chain.stream.session_of_class[chain.stream.test.labels]
    inferred = others.argmin(dim=1).numpy() + 1
    own = table[table.true_session == table["head"]]
    assert own.chosen.mean() == pytest.approx((truth == inferred).mean())
    with pytest.raises(InputError, match="single head"):
        between_sets.others_scores(named["dynammo_unified_head"])
