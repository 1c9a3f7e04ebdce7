"""What is said of the released code, on a rebuilt forward pass and on a made-up clone."""

import pytest
import torch
import torch.nn.functional as F
from helpers import generator, random_images, shake
from torch import nn

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.baselines.released_code import ReleasedMergedNetwork, release_facts, released_head_loss
from dynammo.errors import InputError
from dynammo.heads import TaskHeads
from dynammo.measure import cost


@pytest.mark.parametrize("sessions", [1, 3])
def test_the_released_merged_pass_repeats_one_pass_and_costs_as_much(pretrained, sessions):
    stages = ("stage2", "stage4", "stage6")
    adapters = shake(make_adapters(pretrained, stages, 32, seed=0, alpha=0.02), seed=1).eval()
    one = AdaptedNetwork(pretrained, adapters)
    tiled = ReleasedMergedNetwork(pretrained, adapters, sessions)
    images = random_images(2, 32)
    with torch.no_grad():
        blocks, once = tiled(images), one(images)
    assert blocks.shape == (2, sessions, pretrained.feature_size)
    for block in blocks.unbind(1):
        torch.testing.assert_close(block, once, rtol=1e-4, atol=1e-4)
    ratio = cost.count_macs(tiled, 32).torch / cost.count_macs(one, 32).torch
    assert 0.9 * sessions < ratio <= sessions


def test_released_heads_learn_only_from_batches_with_images_of_theirs():
    heads = TaskHeads(4)
    for classes in (2, 1, 2):
        heads.add_session(nn.Linear(4, classes + 1))
    features = torch.randn(6, 1, 4, generator=generator())
    labels = torch.tensor([0, 1, 1, 0, 2, 2])  # none of session 3's
    first = heads.session_logits(features)[:, 0]
    second = heads.session_logits(features)[:, 1][:, [0, 2]]
    expected = F.cross_entropy(first, torch.tensor([0, 1, 1, 0, 2, 2]))
    expected = expected + F.cross_entropy(second, torch.tensor([1, 1, 1, 1, 0, 0]))
    torch.testing.assert_close(released_head_loss(heads, features, labels), expected)
    assert heads.loss(features, labels) > expected


def test_facts_are_read_off_a_clone(tmp_path):
    learner = tmp_path / "methods/multi_steps/dynammo.py"
    merged = tmp_path / "backbone/dynammo_cl_net .py"
    for path in (learner, merged, tmp_path / "options/multi_steps/dynammo/skin8.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
    learner.write_text("from backbone.adapter_cl_net import Net\nclass DyanMMo(Net): pass\n")
    merged.write_text("class Net:\n    def f(self): return self.average_dicts([])\n")
    (tmp_path / "options/multi_steps/dynammo/skin8.yaml").write_text("basic:\n  method: acl\n")
    facts = release_facts(tmp_path)
    assert list(facts.values()) == [
        "DyanMMo",
        "backbone.adapter_cl_net",
        "'dynammo_cl_net .py'",
        "none",
        "none",
        "acl",
    ]
    with pytest.raises(InputError, match="not a clone of the release"):
        release_facts(tmp_path / "options")
