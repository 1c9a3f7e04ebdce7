"""Learners with a chain of their own, fresh or gentle: saved and restored whole."""

import pytest
import torch

from dynammo.beyond.gentle import AdaptedOnce, DynaMMoGentle
from dynammo.beyond.own_chain import ACLFresh, DynaMMoFresh
from dynammo.chain import Chain
from dynammo.learner import Setup
from dynammo.measure.metrics import macro_auroc
from dynammo.measure.predictions import predict, session_row
from dynammo.merging import uniform_mean
from dynammo.methods import make_learner
from dynammo.run.jobs import settings_behind
from dynammo.run.sessions import restore_learner, save_learner


@pytest.fixture(scope="module")
def setup(tiny_settings, blobs, pretrained):
    settings = tiny_settings.with_changes({"adapter_epochs": 1, "head_epochs": 2})
    return Setup(settings, blobs, pretrained, 1)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (ACLFresh, {"adapter_start": "fresh"}),
        (DynaMMoFresh, {"adapter_start": "fresh"}),
        (DynaMMoGentle, {"dynammo_ridge_stiffness": 10.0}),
    ],
)
def test_it_is_the_learner_on_a_chain_with_these_settings(kind, changes, setup, tmp_path):
    learner = make_learner(kind.name, setup)
    assert type(learner) is kind
    changed = setup.settings.with_changes(changes)
    chain = Chain.on(Setup(changed, setup.stream, setup.backbone, setup.train_seed))
    plain = kind.kind(chain)
    images = setup.stream.test.images[:8]
    for session in (1, 2):
        if kind is DynaMMoGentle and session == 2:
            chain.settings = chain.settings.with_changes({"adapter_learning_rate": 0.01})
        assert learner.learn_session(progress=False) == plain.learn_session(progress=False)
        scores, others = learner.judge(images)
        wanted, wanted_others = plain.judge(images)
        assert torch.equal(scores, wanted)
        assert (others is None and wanted_others is None) or torch.equal(others, wanted_others)
        folder = tmp_path / str(session)
        folder.mkdir()
        save_learner(learner, folder)
        again = make_learner(kind, setup)
        restore_learner(again, folder, session)
        assert torch.equal(again.judge(images)[0], scores)
        assert learner.stored_images() == len(chain.memory.all_positions())
    assert learner.trained_numbers() == plain.trained_numbers()
    again = make_learner(kind, setup)  # goes on from where it was
    restore_learner(again, tmp_path / "1", 1)
    again.learn_session(progress=False)
    assert torch.equal(again.judge(images)[0], scores)


def test_it_is_asked_for_its_session_and_for_classes_to_come_as_those_on_a_chain(setup):
    learner = make_learner("dynammo_fresh", setup)
    learner.learn_session(progress=False)
    row = session_row(predict(learner, "test"))
    for name in ("session_inference", "open_set_auroc", "open_set_fpr95"):
        assert 0 <= row[name] <= 1, name
    # Of task heads the AUROC is of the probabilities that an export gives: "others" is left out.
    split = setup.stream.indices("test", 1)
    scores, others = learner.judge_split("test", split)
    shares = scores.exp().sum(dim=1)
    torch.testing.assert_close(shares, 1 - others[:, 0])
    labels = setup.stream.test.labels[split]
    assert row["auroc"] == pytest.approx(macro_auroc(labels, scores.double().exp().numpy()))


def test_its_sets_start_from_one_beginning_and_not_from_each_other(setup):
    learner = DynaMMoFresh(setup)
    starts = []
    for _ in (1, 2):
        starts.append(learner.inner.chain.start())
        learner.learn_session(progress=False)
    assert starts == [None, None]
    chain = learner.inner.chain
    mean = uniform_mean(chain.adapter_states)
    for name, value in chain.merged_state.items():
        torch.testing.assert_close(mean[name], value)


@pytest.mark.parametrize("knob", ["learning_rate", "alpha"])
def test_a_knob_is_a_setting_of_its_chain(knob, tiny_settings, blobs, pretrained):
    def chain(**changes):
        setup = Setup(tiny_settings.with_changes(changes), blobs, pretrained, 1)
        return ACLFresh(setup).inner.chain

    own, shared = chain(**{f"acl_fresh_{knob}": 0.03}), chain()
    name = f"adapter_{knob}"
    assert getattr(own.settings, name) == 0.03
    assert getattr(shared.settings, name) == getattr(tiny_settings, name) != 0.03
    alpha = own.adapters(None)["stage4"].alpha.item()
    assert alpha == pytest.approx(0.03 if knob == "alpha" else tiny_settings.adapter_alpha)


def test_the_head_s_knobs_are_its_own_and_not_dynammo_ridge_s(setup):
    settings = setup.settings.with_changes({"methods": ["dynammo_gentle", "dynammo_ridge"]})
    changes = {"dynammo_gentle_stiffness": 3.0, "dynammo_ridge_stiffness": 4.0}
    own = Setup(settings.with_changes(changes), setup.stream, setup.backbone, 1)
    assert DynaMMoGentle(own).inner.knobs.stiffness == 3.0
    changed = settings_behind(own.settings, "dynammo_gentle")
    assert "dynammo_gentle_stiffness" in changed and "dynammo_ridge_stiffness" not in changed


def test_adapted_once_stands_on_the_first_set_and_keeps_no_image(setup, tmp_path):
    learner, images = AdaptedOnce(setup), setup.stream.test.images[:8]
    assert learner.learn_session(progress=False)
    chain, trained = learner.inner.chain, learner.trained_numbers()
    first = {name: value.clone() for name, value in chain.adapter_states[0].items()}
    assert trained == learner.inner.one_set()
    assert learner.learn_session(progress=False) == []  # nothing was tuned
    assert all(torch.equal(chain.adapter_states[-1][name], first[name]) for name in first)
    assert learner.trained_numbers() == learner.stored_images() == 0
    save_learner(learner, tmp_path)
    again = AdaptedOnce(setup)
    restore_learner(again, tmp_path, 2)
    assert torch.equal(again.judge(images)[0], learner.judge(images)[0])
    # The head is that of all images at once, since their features never moved.
    positions = setup.stream.indices("train", (1, 2))
    features = chain.both_sides(first, positions, learner.inner.reader).flatten(0, 1).double()
    labels = torch.as_tensor(setup.stream.train.labels[positions]).repeat(2)
    hot = torch.nn.functional.one_hot(labels).double()
    gram = features.T @ features + learner.inner.penalty * torch.eye(features.shape[1]).double()
    weight = torch.linalg.solve(gram, features.T @ hot)
    torch.testing.assert_close(learner.inner.head.weight.double(), weight, rtol=1e-3, atol=1e-4)
