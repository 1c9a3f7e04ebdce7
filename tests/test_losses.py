"""Every baseline's loss and head against loops written from the paper's equation, in NumPy."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from dynammo.baselines.cosine_head import CosineHead, imprint
from dynammo.baselines.der import ExpandedExtractor, expand
from dynammo.baselines.der_plus_plus import logit_distance
from dynammo.baselines.ewc import fisher_diagonal
from dynammo.baselines.icarl import NearestMean
from dynammo.baselines.lwf import distillation_loss
from dynammo.baselines.podnet import nca_loss, pod_spatial
from dynammo.baselines.ranpac import PENALTIES, RidgeHead, best_penalty, ridge_weights
from dynammo.baselines.ucir import less_forget, margin_ranking
from dynammo.baselines.wa import align
from dynammo.baselines.whole_network import Classifier, Extractor
from dynammo.catalogue import make_learner
from dynammo.data.make_stream import make_stream
from dynammo.heads import UnifiedHead
from dynammo.memory import ExemplarMemory
from dynammo.setup import Study
from dynammo.training import generator_for


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def softmax(logits) -> np.ndarray:
    powers = np.exp(np.asarray(logits, dtype=np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cross_entropy(logits, labels) -> float:
    shares = softmax(logits)
    return float(np.mean([-math.log(shares[i, label]) for i, label in enumerate(labels)]))


def softened(logits, temperature: float) -> np.ndarray:
    """LwF's equation 3: probabilities to the power 1/T, made to sum to 1 again."""
    powers = softmax(logits) ** (1 / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def distillation(logits, teacher, temperature: float) -> float:
    """LwF's equation 2, image by image."""
    new, old = softened(logits, temperature), softened(teacher, temperature)
    return float(np.mean([-(o * np.log(n)).sum() for n, o in zip(new, old, strict=True)]))


class Flat(nn.Module):
    """An extractor simple enough for NumPy: features [N, D] are a matrix times the pixels."""

    def __init__(self, feature_size: int, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(feature_size, 12, seed=seed))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


@pytest.fixture(scope="module")
def uneven(blobs_npz):
    """The four classes as sessions of three and one, so that their numbers differ."""
    return make_stream(str(blobs_npz), classes_per_session=3, order_seed=0)


@pytest.fixture
def in_session_two(tiny_settings, uneven, random_resnet):
    """Makes a learner in the middle of session 2, on features of 5 numbers from 2 x 2 pixels."""

    def make(name: str, head=None, **changes):
        settings = tiny_settings.with_changes(changes)
        learner = make_learner(name, Study(settings, uneven, random_resnet, 1))
        learner.session = 2
        learner.classifier = Classifier(Flat(5, seed=1), head or linear_head(4, seed=2))
        learner.teacher = Classifier(Flat(5, seed=3), linear_head(3, seed=4))
        return learner

    return make


def linear_head(classes: int, seed: int, features: int = 5) -> UnifiedHead:
    head = UnifiedHead(features)
    head.add_classes(normal(classes, features, seed=seed) / 5, normal(classes, seed=seed + 50))
    return head


def numbers(classifier: Classifier, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of a :class:`Flat` extractor with a linear head."""
    pixels = images.flatten(1).double().numpy()
    features = pixels @ classifier.extractor.weight.detach().double().numpy().T
    weight = classifier.head.weight.detach().double().numpy()
    return features, features @ weight.T + classifier.head.bias.detach().double().numpy()


IMAGES = normal(6, 3, 2, 2, seed=9)
LABELS = torch.tensor([0, 3, 2, 3, 1, 3])  # class 3 is session 2's
WHERE = torch.arange(6)


# LwF


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_is_lwfs_equation_two(temperature):
    logits, teacher = 2 * normal(7, 4, seed=1), 2 * normal(7, 4, seed=2)
    found = distillation_loss(logits, teacher, temperature)
    assert found.item() == pytest.approx(distillation(logits, teacher, temperature), rel=1e-5)


def test_distillation_does_not_pull_where_the_two_networks_agree():
    teacher = 2 * normal(7, 4)
    agreeing = (teacher + 3).requires_grad_()  # a shift of all logits changes no probability
    distillation_loss(agreeing, teacher, 2.0).backward()
    assert agreeing.grad.abs().max() < 1e-7
    elsewhere = (teacher + normal(7, 4, seed=5)).requires_grad_()
    distillation_loss(elsewhere, teacher, 2.0).backward()
    assert elsewhere.grad.abs().max() > 1e-2


def test_a_high_temperature_evens_out_what_is_distilled():
    logits, teacher = 2 * normal(7, 4, seed=1), 2 * normal(7, 4, seed=2)
    losses = [distillation_loss(logits, teacher, t).item() for t in (1.0, 2.0, 1e4)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(math.log(4), rel=1e-5)


def test_lwf_asks_new_outputs_for_new_labels_and_old_outputs_for_the_old_answers(in_session_two):
    learner = in_session_two("lwf", lwf_weight=0.7, lwf_temperature=3.0)
    labels = torch.full((6,), 3)
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = cross_entropy(logits[:, 3:], [0] * 6) + 0.7 * distillation(
        logits[:, :3], teacher, 3.0
    )
    found = learner.batch_loss(IMAGES, labels, WHERE)
    assert found.item() == pytest.approx(expected, rel=1e-5)


# WA


def test_wa_weighs_distillation_by_the_share_of_old_classes(in_session_two):
    learner = in_session_two("wa", wa_temperature=2.0)
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = 0.25 * cross_entropy(logits, LABELS) + 0.75 * distillation(
        logits[:, :3], teacher, 2.0
    )
    found = learner.batch_loss(IMAGES, LABELS, WHERE)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_aligned_rows_are_equally_long_on_average_and_point_where_they_did():
    weight = torch.cat([normal(3, 8), 7 * normal(2, 8, seed=1)])
    aligned = align(weight, old_classes=3)
    lengths = np.linalg.norm(aligned.double().numpy(), axis=1)
    assert lengths[3:].mean() == pytest.approx(lengths[:3].mean(), rel=1e-6)
    assert torch.equal(aligned[:3], weight[:3])
    np.testing.assert_allclose(unit(aligned), unit(weight), rtol=1e-5)
    before = np.linalg.norm(weight.double().numpy(), axis=1)
    assert lengths[3] / lengths[4] == pytest.approx(before[3] / before[4], rel=1e-5)


# EWC


def linear_classifier(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], len(weight))
    layer.weight.data, layer.bias.data = weight.clone(), torch.zeros(len(weight))
    return layer


def test_fisher_is_the_mean_of_squared_gradients_and_not_the_square_of_their_mean():
    """Two classes of probability 1/2: whichever is drawn, the gradient is +- x / 2."""
    x = normal(6, 3)
    fisher = fisher_diagonal(linear_classifier(torch.zeros(2, 3)), x, 0, generator())
    expected = np.mean([0.25 * image**2 for image in x.double().numpy()], axis=0)
    np.testing.assert_allclose(fisher["weight"], [expected, expected], rtol=1e-5)
    np.testing.assert_allclose(fisher["bias"], [0.25, 0.25], rtol=1e-6)


def test_fisher_of_a_session_leaves_earlier_outputs_out():
    weight = torch.cat([normal(2, 3), torch.zeros(2, 3)])
    x = normal(6, 3, seed=1)
    fisher = fisher_diagonal(linear_classifier(weight), x, 2, generator())
    assert fisher["weight"][:2].abs().max() == fisher["bias"][:2].abs().max() == 0
    expected = np.mean([0.25 * image**2 for image in x.double().numpy()], axis=0)
    np.testing.assert_allclose(fisher["weight"][2:], [expected, expected], rtol=1e-5)


def test_fisher_draws_labels_from_the_models_own_prediction():
    """With p the prediction, the gradient's mean square is p (1 - p) x^2, class by class."""
    layer, x = linear_classifier(normal(3, 2) / 2), normal(1, 2, seed=1)
    shares = softmax(x.double().numpy() @ layer.weight.detach().double().numpy().T)[0]
    fisher = fisher_diagonal(layer, x.expand(3000, 2), 0, generator())
    expected = np.outer(shares * (1 - shares), x[0].double().numpy() ** 2)
    np.testing.assert_allclose(fisher["weight"], expected, rtol=0.1)
    np.testing.assert_allclose(fisher["bias"], shares * (1 - shares), rtol=0.1)


def test_fisher_is_only_of_what_is_trained():
    layer = linear_classifier(normal(3, 2))
    layer.weight.requires_grad_(False)
    assert set(fisher_diagonal(layer, normal(4, 2), 0, generator())) == {"bias"}
    assert layer.bias.grad is None


@pytest.fixture
def anchored_ewc(in_session_two):
    """EWC with a head grown from three classes to four, away from an anchor of random numbers."""
    learner = in_session_two("ewc", ewc_strength=30.0, network_learning_rate=0.05)
    learner.classifier.head = linear_head(3, seed=4)
    shapes = {name: p.shape for name, p in learner.classifier.named_parameters()}
    learner.anchor = {name: normal(*shape, seed=20) for name, shape in shapes.items()}
    learner.fisher = {name: normal(*shape, seed=21).square() for name, shape in shapes.items()}
    learner.classifier.head.add_classes(normal(1, 5, seed=22), normal(1, seed=23))
    return learner


def test_ewc_holds_old_weights_and_leaves_a_grown_heads_new_rows_free(anchored_ewc):
    learner, expected, pulls = anchored_ewc, 0.0, []
    for name, p in learner.classifier.named_parameters():
        for where in np.ndindex(*learner.anchor[name].shape):
            moved = p[where].item() - learner.anchor[name][where].item()
            pulls.append(30 * learner.fisher[name][where].item())
            expected += min(pulls[-1], 1 / 0.05) / 2 * moved**2
    assert min(pulls) < 1 / 0.05 < max(pulls)
    penalty = learner.penalty()
    assert penalty.item() == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    head = learner.classifier.head
    assert head.weight.grad[:3].abs().min() > 0
    assert head.weight.grad[3:].abs().max() == head.bias.grad[3:].abs().max() == 0
    _, logits = numbers(learner.classifier, IMAGES)
    loss = learner.batch_loss(IMAGES, torch.full((6,), 3), WHERE)
    assert loss.item() == pytest.approx(cross_entropy(logits[:, 3:], [0] * 6) + expected, rel=1e-5)


def test_ewc_pulls_no_weight_further_than_back(anchored_ewc):
    """One step of plain gradient descent: weights that matter much land on the anchor."""
    learner = anchored_ewc
    weight, anchor = learner.classifier.extractor.weight, learner.anchor["extractor.weight"]
    before = weight.detach() - anchor
    learner.penalty().backward()
    after = before - 0.05 * weight.grad
    mattered = 30 * learner.fisher["extractor.weight"] > 1 / 0.05
    assert 0 < mattered.sum() < mattered.numel()
    assert after[mattered].abs().max() < 1e-6
    assert (after[~mattered] * before[~mattered] > 0).all()


# iCaRL


def test_the_nearest_mean_is_the_nearest_by_euclidean_distance():
    features, means = normal(50, 6), 3 * normal(5, 6, seed=1)
    expected = [
        np.argmin([np.linalg.norm(row - mean) for mean in unit(means)]) for row in unit(features)
    ]
    assert NearestMean(means)(features).argmax(dim=1).tolist() == expected
    assert len(set(expected)) == 5


def test_icarls_targets_are_labels_for_new_classes_and_old_answers_for_old_ones(in_session_two):
    learner = in_session_two("icarl")
    _, logits = numbers(learner.classifier, IMAGES)
    _, teacher = numbers(learner.teacher, IMAGES)
    expected = 0.0
    for i, label in enumerate(LABELS.tolist()):
        for k in range(4):
            q = 1 / (1 + math.exp(-teacher[i, k])) if k < 3 else float(label == 3)
            g = 1 / (1 + math.exp(-logits[i, k]))
            expected -= (q * math.log(g) + (1 - q) * math.log(1 - g)) / 6
    assert learner.batch_loss(IMAGES, LABELS, WHERE).item() == pytest.approx(expected, rel=1e-5)


def test_icarls_first_session_has_labels_alone(in_session_two):
    learner = in_session_two("icarl")
    learner.teacher = None
    _, logits = numbers(learner.classifier, IMAGES)
    expected = 0.0
    for i, label in enumerate(LABELS.tolist()):
        for k in range(4):
            g = 1 / (1 + math.exp(-logits[i, k]))
            expected -= math.log(g if k == label else 1 - g) / 6
    assert learner.batch_loss(IMAGES, LABELS, WHERE).item() == pytest.approx(expected, rel=1e-5)


# The cosine head, UCIR


def cosine_similarities(features, weight) -> np.ndarray:
    """PODNet's equation 8 in loops; with one proxy it is UCIR's cosine."""
    found = np.zeros((len(features), len(weight)))
    for i, row in enumerate(unit(features)):
        for k, proxies in enumerate(unit(weight)):
            cosines = proxies @ row
            found[i, k] = (softmax(cosines) * cosines).sum()
    return found


def cosine_head(classes: int, proxies: int, scale: float, seed: int = 0) -> CosineHead:
    head = CosineHead(5, proxies, scale)
    head.add_classes(normal(classes, proxies, 5, seed=seed))
    return head


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


def test_a_cosine_head_ignores_lengths():
    head, features = cosine_head(4, 3, 10.0), normal(7, 5, seed=1)
    before = head(features).detach()
    head.weight.data[1] *= 40
    torch.testing.assert_close(head(100 * features).detach(), before)


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


def test_less_forget_is_one_minus_the_mean_cosine():
    features, teacher = normal(6, 5), normal(6, 5, seed=1)
    cosines = [a @ b for a, b in zip(unit(features), unit(teacher), strict=True)]
    assert less_forget(features, teacher).item() == pytest.approx(1 - np.mean(cosines), rel=1e-5)
    assert less_forget(3 * features, features).item() == pytest.approx(0, abs=1e-6)


def margin_loop(similarities, labels, old_classes, margin, negatives) -> float:
    losses = []
    for row, label in zip(np.asarray(similarities, dtype=np.float64), labels, strict=True):
        if label < old_classes:
            nearest = sorted(row[old_classes:], reverse=True)[:negatives]
            losses.append(sum(max(0, margin - row[label] + new) for new in nearest))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("negatives", [1, 2, 9])
def test_margin_ranking_keeps_old_images_from_the_nearest_new_classes(negatives):
    """Nine negatives are more than the three new classes there are."""
    similarities = torch.rand(8, 5, generator=generator()) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1, 4])
    found = margin_ranking(similarities, labels, 2, 0.5, negatives)
    assert found.item() == pytest.approx(
        margin_loop(similarities, labels, 2, 0.5, negatives), rel=1e-5
    )


def test_margin_ranking_is_nothing_without_old_images_or_beyond_the_margin():
    similarities = normal(3, 4).requires_grad_()
    assert margin_ranking(similarities, torch.tensor([2, 3, 2]), 2, 0.5, 2).item() == 0
    apart = torch.tensor([[0.9, 0.0, 0.3, -0.2]])
    assert margin_ranking(apart, torch.tensor([0]), 2, 0.5, 2).item() == 0
    assert margin_ranking(apart, torch.tensor([1]), 2, 0.5, 2).item() == pytest.approx(1.1)


def test_ucirs_loss_is_the_sum_of_its_three_terms(in_session_two):
    head = cosine_head(4, 1, 8.0)
    learner = in_session_two("ucir", head, ucir_less_forget=4.0, ucir_margin=0.6)
    features = IMAGES.flatten(1).double() @ learner.classifier.extractor.weight.double().T
    teacher, _ = numbers(learner.teacher, IMAGES)
    features = features.detach().numpy()
    similarities = cosine_similarities(features, head.weight.detach())
    forget = 1 - np.mean([a @ b for a, b in zip(unit(features), unit(teacher), strict=True)])
    expected = cross_entropy(8 * similarities, LABELS) + 4 * math.sqrt(3 / 1) * forget
    expected += margin_loop(similarities, LABELS, 3, 0.6, learner.settings.ucir_negatives)
    assert learner.batch_loss(IMAGES, LABELS, WHERE).item() == pytest.approx(expected, rel=1e-5)


# PODNet


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
    learner = make_learner("podnet", Study(settings, uneven, random_resnet, 1))
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
        found = learner.batch_loss(x, labels, WHERE[:4])
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
    learner = make_learner("podnet", Study(tiny_settings, uneven, random_resnet, 1))
    extractor = learner.classifier.extractor
    for _ in range(2):
        _, maps = learner.features_and_maps(extractor, normal(2, 3, 32, 32))
        assert len(maps) == 4
    assert not any(m._forward_hooks for m in extractor.modules())


# DER++


def test_logit_distance_leaves_out_what_was_not_known_then():
    logits, stored = normal(4, 5), normal(4, 3, seed=1)
    stored[0, 2] = stored[3, 1] = stored[3, 2] = float("nan")
    squares = [
        (logits[i, k].item() - stored[i, k].item()) ** 2
        for i in range(4)
        for k in range(3)
        if not math.isnan(stored[i, k])
    ]
    assert len(squares) == 9
    wanted = logits.requires_grad_()
    loss = logit_distance(wanted, stored)
    assert loss.item() == pytest.approx(np.mean(squares), rel=1e-5)
    loss.backward()
    assert wanted.grad.isfinite().all()
    assert wanted.grad[:, 3:].abs().max() == wanted.grad[0, 2] == wanted.grad[3, 1] == 0


class Means(nn.Module):
    """Features [N, 3] that no flip changes: the mean of every channel."""

    def forward(self, x):
        return x.mean(dim=(2, 3))


def test_der_plus_plus_adds_the_memorys_logits_and_labels(in_session_two, uneven, random_resnet):
    learner = in_session_two(
        "der_plus_plus", der_plus_plus_alpha=0.3, der_plus_plus_beta=0.8, batch_size=8
    )
    learner.training_positions()
    exemplars = {k: np.flatnonzero(uneven.train.labels == k)[:2] for k in range(3)}
    learner.memory = ExemplarMemory(6, exemplars)
    memory, answers = np.concatenate(list(exemplars.values())), normal(6, 4, seed=8)
    answers[:, 3] = float("nan")  # class 3 was not known yet
    learner.logits = dict(zip(memory.tolist(), answers, strict=True))
    head = linear_head(4, seed=6, features=3)
    learner.classifier = Classifier(Means(), head)
    weight, bias = (p.detach().double().numpy() for p in (head.weight, head.bias))
    images = normal(6, 3, 32, 32)
    old = random_resnet.normalise(uneven.train.images[memory])
    new, old = (x.double().numpy().mean(axis=(2, 3)) @ weight.T + bias for x in (images, old))
    # Half a batch for the logits, then half a batch for the labels.
    drawn = torch.randint(6, (8,), generator=generator_for("memory", *learner.seeds, 2)).tolist()
    squares = [(old[i, k] - answers[i, k].item()) ** 2 for i in drawn[:4] for k in range(3)]
    labels = [uneven.train.labels[memory[i]] for i in drawn[4:]]
    expected = cross_entropy(new, [3] * 6) + 0.3 * np.mean(squares)
    expected += 0.8 * cross_entropy(old[drawn[4:]], labels)
    found = learner.batch_loss(images, torch.full((6,), 3), WHERE)
    assert found.item() == pytest.approx(expected, rel=1e-4)


# DER


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
    loss = learner.batch_loss(IMAGES, LABELS, WHERE)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert parts[0].weight.grad is None and parts[1].weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["der", "podnet"])
def test_the_loss_of_the_balanced_head_is_the_methods_own(in_session_two, name):
    learner = in_session_two(name, der_temperature=4.0, podnet_margin=0.4)
    if name == "podnet":
        learner.classifier.head = cosine_head(4, 2, 8.0)
    losses = []
    learner.fit_balanced_head = losses.append
    learner.finish_session()
    features = normal(6, 5)
    if name == "podnet":
        similarities = cosine_similarities(features, learner.classifier.head.weight.detach())
        expected = nca_loop(similarities, LABELS, 8.0, 0.4)
    else:
        weight, bias = (p.detach().double().numpy() for p in learner.classifier.head.parameters())
        expected = cross_entropy((features.double().numpy() @ weight.T + bias) / 4, LABELS)
    assert losses[0](features[:, None], LABELS).item() == pytest.approx(expected, rel=1e-5)


# RanPAC


def ridge_problem(noise: float, seed: int = 0):
    """Hidden features [60, 12] and targets [60, 3] that follow from them but for some noise."""
    hidden = normal(60, 12, seed=seed).relu()
    return hidden, hidden @ normal(12, 3, seed=seed + 1) + noise * normal(60, 3, seed=seed + 2)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
def test_ridge_weights_are_scikit_learns(penalty):
    hidden, targets = ridge_problem(noise=1.0)
    found = ridge_weights(hidden.T @ hidden, hidden.T @ targets, penalty)
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(hidden.double(), targets.double())
    np.testing.assert_allclose(found, expected.coef_.T, rtol=1e-4, atol=1e-5)


def test_the_best_penalty_is_that_of_trying_them_all():
    chosen = []
    for noise, images in ((0.0, 48), (1.0, 30), (5.0, 15), (30.0, 30)):
        hidden, targets = ridge_problem(noise, seed=images)
        kept, held = slice(0, images), slice(images, None)
        gram, correlation = hidden[kept].T @ hidden[kept], hidden[kept].T @ targets[kept]
        errors = []
        for penalty in PENALTIES:
            matrix = gram.double().numpy() + penalty * np.eye(12)
            weight = np.linalg.solve(matrix, correlation.double().numpy())
            missed = hidden[held].double().numpy() @ weight - targets[held].double().numpy()
            errors.append(np.mean(missed**2))
        chosen.append(best_penalty(gram, correlation, hidden[held], targets[held]))
        assert chosen[-1] == PENALTIES[int(np.argmin(errors))]
    assert len(set(chosen)) >= 3


def test_a_ridge_head_projects_cuts_off_and_multiplies():
    features, projection, weight = normal(6, 5), normal(5, 8, seed=1), normal(8, 3, seed=2)
    f, p, w = (t.double().numpy() for t in (features, projection, weight))
    expected = np.where(f @ p > 0, f @ p, 0) @ w
    np.testing.assert_allclose(RidgeHead(projection, weight)(features), expected, atol=1e-5)
