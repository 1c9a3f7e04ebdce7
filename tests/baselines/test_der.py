"""DER: a head that grows both ways, extractors that freeze, the auxiliary and balanced heads."""

import copy

import numpy as np
import pytest
import torch
from helpers import same
from helpers_for_baselines import IMAGES, LABELS, Flat, cross_entropy, linear_head, normal
from safetensors.torch import load_file
from torch import nn

from dynammo.baselines.der import ExpandedExtractor, expand
from dynammo.baselines.whole_network import Extractor
from dynammo.heads import UnifiedHead
from dynammo.run.sessions import restore_learner


def test_an_expanded_head_answers_for_old_classes_on_old_features_as_before():
    old, fresh = linear_head(2, seed=1), nn.Linear(10, 3)
    grown = expand(old, fresh)
    assert grown.weight.shape == (3, 10) and grown.bias.shape == (3,)
    features = normal(6, 5)
    padded = torch.cat([features, torch.zeros(6, 5)], dim=1)
    torch.testing.assert_close(grown(padded)[:, :2], old(features))
    assert torch.equal(grown.weight[:2, 5:], fresh.weight[:2, 5:])
    assert torch.equal(grown.weight[2], fresh.weight[2])
    assert grown.bias[2] == fresh.bias[2]
    assert grown.weight.requires_grad and grown.bias.requires_grad


def test_an_expanded_extractor_trains_its_newest_part_alone(random_resnet):
    parts = [Extractor(random_resnet) for _ in range(3)]
    extractor = ExpandedExtractor(parts).train()
    before = [{k: v.clone() for k, v in part.state_dict().items()} for part in parts]
    features = extractor(normal(4, 3, 32, 32))
    assert features.shape == (4, 3 * 512)
    features.square().sum().backward()
    for part, state in zip(parts[:2], before, strict=False):
        assert all(torch.equal(v, state[k]) for k, v in part.state_dict().items())
        assert all(p.grad is None for p in part.parameters())
    assert all(p.grad is not None for p in parts[2].parameters())
    changed = {k for k, v in parts[2].state_dict().items() if not torch.equal(v, before[2][k])}
    assert changed == {k for k in before[2] if "running" in k or "num_batches" in k}


def test_ders_auxiliary_head_knows_new_classes_and_one_more_for_all_old_ones(in_session_two):
    learner = in_session_two("der", linear_head(4, seed=7, features=10), der_auxiliary=0.4)
    parts = [Flat(5, seed=1), Flat(5, seed=8)]
    learner.classifier.extractor = ExpandedExtractor(parts)
    learner.auxiliary = linear_head(2, seed=10)
    pixels = IMAGES.flatten(1).double().numpy()
    features = [pixels @ part.weight.detach().double().numpy().T for part in parts]

    def logits(head: UnifiedHead, x: np.ndarray) -> np.ndarray:
        return x @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()

    both = logits(learner.classifier.head, np.concatenate(features, axis=1))
    targets = [0 if label == 3 else 1 for label in LABELS.tolist()]
    expected = cross_entropy(both, LABELS)
    expected += 0.4 * cross_entropy(logits(learner.auxiliary, features[1]), targets)
    loss = learner.batch_loss(IMAGES, LABELS)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert parts[0].weight.grad is None and parts[1].weight.grad.abs().max() > 0


def test_the_loss_of_ders_balanced_head_is_its_own(in_session_two):
    learner = in_session_two("der", der_temperature=4.0)
    losses = []
    learner.fit_balanced_head = lambda loss, _positions: losses.append(loss)
    learner.finish_session()
    features = normal(6, 5)
    weight, bias = (p.detach().double().numpy() for p in learner.classifier.head.parameters())
    expected = cross_entropy((features.double().numpy() @ weight.T + bias) / 4, LABELS)
    assert losses[0](features[:, None], LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_der_freezes_what_it_learned(runs):
    first, second = (
        load_file(folder / "state.safetensors") for folder in runs.learned["der"].folders
    )
    frozen = [k for k in first if k.startswith("network.extractor.extractors.0.")]
    assert len(frozen) == 2 * 6  # two layers: a kernel and five tensors of batch norm
    assert all(torch.equal(first[k], second[k]) for k in frozen)
    newer = [k.replace("extractors.0", "extractors.1") for k in frozen]
    assert all(not torch.equal(second[k], second[n]) for k, n in zip(frozen, newer, strict=True))


def test_ders_new_extractor_starts_from_the_one_before(runs, start):
    learner = start("der")
    restore_learner(learner, runs.learned["der"].folders[0], 1)
    learned = copy.deepcopy(learner.classifier.extractor.extractors[0].state_dict())
    learner.session = 2
    learner.grow_head()
    old, new = learner.classifier.extractor.extractors
    assert same(old.state_dict(), learned) and same(new.state_dict(), learned)
    assert all(not p.requires_grad for p in old.parameters())
    assert all(p.requires_grad for p in new.parameters())
