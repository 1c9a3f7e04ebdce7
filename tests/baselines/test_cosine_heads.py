"""The head that compares directions, and how its first proxies are found."""

import numpy as np
import pytest
import torch
from helpers_for_baselines import cosine_head, cosine_similarities, normal, unit
from safetensors.torch import load_file

from dynammo.baselines.cosine_head import imprint


def test_one_proxy_is_the_plain_cosine():
    head, features = cosine_head(4, 1, 10.0), normal(7, 5, seed=1)
    expected = unit(features) @ unit(head.weight.detach())[:, 0].T
    np.testing.assert_allclose(head.similarities(features).detach(), expected, atol=1e-6)
    np.testing.assert_allclose(head(features).detach(), 10 * expected, atol=1e-5)


def test_several_proxies_are_averaged_by_their_own_softmax():
    head, features = cosine_head(4, 3, 10.0), normal(7, 5, seed=1)
    expected = cosine_similarities(features, head.weight.detach())
    np.testing.assert_allclose(head.similarities(features).detach(), expected, atol=1e-6)
    cosines = np.einsum("nd,kpd->nkp", unit(features), unit(head.weight.detach()))
    assert (cosines.mean(axis=2) < expected).all() and (expected < cosines.max(axis=2)).all()


def test_a_cosine_head_grows_by_classes_and_keeps_the_old_ones():
    head = cosine_head(2, 3, 10.0)
    old, new = head.weight.detach().clone(), normal(1, 3, 5, seed=3)
    head.add_classes(new)
    assert torch.equal(head.weight, torch.cat([old, new]))
    assert head.weight.requires_grad and head.scale.requires_grad
    assert {id(p) for p in head.parameters()} == {id(head.weight), id(head.scale)}


def test_an_imprinted_proxy_is_the_mean_of_features_of_length_one():
    features, labels = 5 * normal(12, 5), torch.tensor([4, 7] * 6)
    weight = imprint(features, labels, 1, seed=0)
    rows = unit(features)
    expected = [np.mean([rows[i] for i in range(12) if labels[i] == k], axis=0) for k in (4, 7)]
    np.testing.assert_allclose(weight[:, 0], expected, atol=1e-6)


def test_several_imprinted_proxies_are_the_centres_of_a_classes_clusters():
    axes = torch.eye(5)
    heaps = [axes[k] + 0.05 * normal(8, 5, seed=k) for k in range(4)]
    labels = torch.arange(2).repeat_interleave(16)  # heaps 0 and 1 are class 0, the others class 1
    weight = imprint(torch.cat(heaps), labels, 2, seed=0)
    assert weight.shape == (2, 2, 5)
    for label in range(2):
        found = sorted(weight[label].tolist())
        centres = [unit(heap).mean(axis=0).tolist() for heap in heaps[2 * label : 2 * label + 2]]
        np.testing.assert_allclose(found, sorted(centres), atol=1e-6)
    assert torch.equal(weight, imprint(torch.cat(heaps), labels, 2, seed=0))


def test_a_class_of_fewer_images_than_proxies_repeats_them():
    features = normal(2, 5)
    weight = imprint(features, torch.tensor([0, 0]), 5, seed=0)
    rows = unit(features)
    nearest = [np.linalg.norm(rows - proxy, axis=1) for proxy in weight[0].double().numpy()]
    assert weight.shape == (1, 5, 5)
    assert max(distances.min() for distances in nearest) < 1e-6
    assert {int(distances.argmin()) for distances in nearest} == {0, 1}


@pytest.mark.parametrize("name", ["ucir", "podnet"])
def test_old_proxies_point_where_they_did_in_ucir_alone(runs, name):
    first, second = (
        load_file(folder / "state.safetensors")["network.head.weight"].double().numpy()
        for folder in runs.learned[name].folders
    )
    directions = [w / np.linalg.norm(w, axis=2, keepdims=True) for w in (first, second)]
    moved = np.abs(directions[1][:2] - directions[0]).max(axis=(1, 2))
    assert (moved < 1e-6).all() if name == "ucir" else (moved > 1e-3).all()
