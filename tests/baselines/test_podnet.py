"""PODNet's distillation of maps and its loss, against loops from the paper's equations."""

import math

import numpy as np
import pytest
import torch
from helpers import generator
from helpers_for_baselines import LABELS, cosine_head, cosine_similarities, normal, unit

from dynammo.baselines.cosine_head import CosineHead
from dynammo.baselines.podnet import nca_loss, pod_spatial
from dynammo.baselines.whole_network import Classifier, Extractor
from dynammo.learner import Setup
from dynammo.methods import make_learner


def pod_loop(maps, teacher) -> float:
    """Equations 4 to 6 on squared maps, sum by sum."""
    layers = []
    for new, old in zip(maps, teacher, strict=True):
        images = []
        for pair in zip(new.double().numpy(), old.double().numpy(), strict=True):
            vectors = []
            for channels in pair:
                across = [sum(v * v for v in row) for channel in channels for row in channel]
                down = [sum(v * v for v in row) for channel in channels for row in channel.T]
                vectors.append(unit(across + down))
            images.append(np.linalg.norm(vectors[0] - vectors[1]))
        layers.append(np.mean(images))
    return float(np.mean(layers))


def test_pod_spatial_compares_sums_over_width_and_over_height():
    shapes = ((3, 2, 4, 5), (3, 6, 2, 2))
    maps = [normal(*shape, seed=1) for shape in shapes]
    teacher = [normal(*shape, seed=2) for shape in shapes]
    assert pod_spatial(maps, teacher).item() == pytest.approx(pod_loop(maps, teacher), rel=1e-5)


def test_pod_spatial_is_nothing_at_equality_and_its_gradient_is_finite_there():
    maps = [normal(3, 2, 4, 5).requires_grad_()]
    loss = pod_spatial(maps, [maps[0].detach().clone()])
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert maps[0].grad.isfinite().all()
    # Maps of noughts, as ReLUs can give: nothing to divide by.
    dead = torch.zeros(3, 2, 4, 5, requires_grad=True)
    pod_spatial([dead], [torch.zeros(3, 2, 4, 5)]).backward()
    assert dead.grad.isfinite().all()


def nca_loop(similarities, labels, scale, margin) -> float:
    """Equation 9, image by image."""
    losses = []
    for row, label in zip(np.asarray(similarities, dtype=np.float64), labels, strict=True):
        top = math.exp(scale * (row[label] - margin))
        below = sum(math.exp(scale * s) for k, s in enumerate(row) if k != label)
        losses.append(max(0.0, -math.log(top / below)))
    return float(np.mean(losses))


@pytest.mark.parametrize("margin", [0.0, 0.6])
def test_nca_is_a_softmax_with_a_margin_cut_off_at_nought(margin):
    similarities = torch.rand(9, 4, generator=generator()) * 2 - 1
    labels = torch.arange(9) % 4
    found = nca_loss(similarities, labels, torch.tensor(6.0), margin)
    assert found.item() == pytest.approx(nca_loop(similarities, labels, 6.0, margin), rel=1e-5)
    each = [nca_loop(similarities[i : i + 1], labels[i : i + 1], 6.0, margin) for i in range(9)]
    assert min(each) == 0 < max(each)  # some images are cut off, some are not


def test_ncas_gradient_is_finite_and_nothing_beyond_the_margin():
    scale = torch.tensor(6.0, requires_grad=True)
    similarities = torch.tensor([[0.1, 0.3, -0.2], [1.0, -0.5, -0.6]], requires_grad=True)
    nca_loss(similarities, torch.tensor([0, 0]), scale, 0.5).backward()
    assert scale.grad.isfinite() and scale.grad != 0
    assert similarities.grad.isfinite().all()
    assert (similarities.grad[0] != 0).all()
    assert (similarities.grad[1] == 0).all()


def test_nca_with_a_single_class_has_nothing_to_learn():
    scale = torch.tensor(6.0, requires_grad=True)
    similarities = torch.tensor([[0.1], [0.9]], requires_grad=True)
    loss = nca_loss(similarities, torch.tensor([0, 0]), scale, 0.5)
    loss.backward()
    assert loss.item() == 0
    assert scale.grad == 0 and similarities.grad.abs().max() == 0


def test_podnets_loss_holds_every_stage_and_the_features(tiny_settings, uneven, random_resnet):
    settings = tiny_settings.with_changes(
        {"podnet_spatial": 2.0, "podnet_flat": 0.5, "podnet_margin": 0.4, "podnet_proxies": 2}
    )
    learner = make_learner("podnet", Setup(settings, uneven, random_resnet, 1))
    learner.session = 2
    head = CosineHead(512, 2, 8.0)
    head.add_classes(normal(4, 2, 512))
    learner.classifier = Classifier(Extractor(random_resnet), head).eval()
    learner.teacher = Classifier(Extractor(random_resnet), head).eval()
    with torch.no_grad():
        for p in learner.teacher.extractor.parameters():
            p += 0.1 * p.std(correction=0) * normal(*p.shape, seed=p.numel())
    x, labels = normal(4, 3, 32, 32, seed=5), torch.tensor([0, 3, 2, 1])

    def stages(network) -> list[torch.Tensor]:
        parts = dict(network.named_children())
        maps, out = [], x
        for name, part in parts.items():
            if name.startswith("layer"):
                maps.append(out := part(out))
            elif not maps:
                out = part(out)
        return maps

    with torch.no_grad():
        found = learner.batch_loss(x, labels)
        new, old = (stages(c.extractor.network) for c in (learner.classifier, learner.teacher))
        features, old_features = learner.classifier.extractor(x), learner.teacher.extractor(x)
    assert [tuple(m.shape[1:]) for m in new] == [(64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)]
    cosines = [a @ b for a, b in zip(unit(features), unit(old_features), strict=True)]
    similarities = cosine_similarities(features, head.weight.detach())
    kept = 2 * pod_loop(new, old) + 0.5 * (1 - np.mean(cosines))
    expected = nca_loop(similarities, labels, 8.0, 0.4) + math.sqrt(4 / 1) * kept
    assert pod_loop(new, old) > 1e-3
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_podnet_leaves_no_hooks_on_the_network(tiny_settings, uneven, random_resnet):
    learner = make_learner("podnet", Setup(tiny_settings, uneven, random_resnet, 1))
    extractor = learner.classifier.extractor
    for _ in range(2):
        _, maps = learner.features_and_maps(extractor, normal(2, 3, 32, 32))
        assert len(maps) == 4
    assert not any(m._forward_hooks for m in extractor.modules())


def test_the_loss_of_podnets_balanced_head_is_its_own(in_session_two):
    learner = in_session_two("podnet", podnet_margin=0.4)
    learner.classifier.head = cosine_head(4, 2, 8.0)
    learner.hold = learner.classifier.head.weight.register_hook(lambda gradient: gradient)
    losses = []
    learner.fit_balanced_head = lambda loss, _positions: losses.append(loss)
    learner.finish_session()
    features = normal(6, 5)
    similarities = cosine_similarities(features, learner.classifier.head.weight.detach())
    expected = nca_loop(similarities, LABELS, 8.0, 0.4)
    assert losses[0](features[:, None], LABELS).item() == pytest.approx(expected, rel=1e-5)
