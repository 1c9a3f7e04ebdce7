"""A learner as one program: the same answers, nothing left of what only learning needed."""

import pytest
import torch
from helpers import shake
from torch import nn

from dynammo.chain import Chain
from dynammo.learner import Setup
from dynammo.methods import learners_on
from dynammo.run.export import DeployedNetwork, export

METHODS = ("acl", "dynammo", "dynammo_unified_head", "dynammo_ridge")


@pytest.fixture(scope="module")
def learners(tiny_settings, blobs, pretrained):
    """Two sessions with adapters whose batch norm matters."""
    settings = tiny_settings.with_changes({"methods": METHODS, "head_epochs": 2})
    chain = Chain.on(Setup(settings, blobs, pretrained, 1))
    learners = learners_on(chain, METHODS)
    for session in (1, 2):
        adapters = shake(chain.adapters(None), seed=session)
        auxiliary = nn.Linear(pretrained.feature_size, len(blobs.classes(session)) + 1)
        chain.go_to(session, (*chain.adapter_states, adapters.state_dict()), auxiliary)
        chain.merge()
        chain.choose_exemplars()
        for learner in learners:
            learner.learn_session()
    return {learner.name: learner for learner in learners}


@pytest.mark.parametrize("name", METHODS)
def test_a_deployed_network_answers_as_the_learner_without_batch_norm(learners, name, blobs):
    network = DeployedNetwork(learners[name])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    images = blobs.test.images[:6]
    expected, _ = learners[name].judge(images)
    found = network(torch.as_tensor(images))
    assert expected[torch.isfinite(expected)].std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["acl", "dynammo_ridge"])
def test_an_exported_program_answers_for_any_number_of_images(learners, name, blobs, tmp_path):
    path = export(learners[name], tmp_path / "folder" / "model")
    assert path.name == "model.pt2"
    program = torch.export.load(path).module()
    for count in (1, 2, 5):
        images = blobs.test.images[:count]
        expected, _ = learners[name].judge(images)
        torch.testing.assert_close(program(torch.as_tensor(images)), expected, rtol=1e-4, atol=1e-4)
    assert path.stat().st_size < 25e6  # weights, and no second-order statistics


def test_the_learner_is_left_as_it_was(learners, blobs):
    learner = learners["dynammo"]
    before, _ = learner.judge(blobs.test.images[:3])
    state = {k: v.clone() for k, v in learner.chain.merged_state.items()}
    DeployedNetwork(learner)
    assert all(torch.equal(state[k], v) for k, v in learner.chain.merged_state.items())
    assert torch.equal(learner.judge(blobs.test.images[:3])[0], before)
    assert any(p.requires_grad for p in learner.head.parameters())
