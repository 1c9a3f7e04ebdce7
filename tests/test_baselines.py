"""Whole sessions of every baseline: what is learned, forgotten, kept, changed and restored.

They run on a network of two layers with random weights, which learns the blobs in a second; one
test takes all of them through EfficientNet-Lite0.
"""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dynammo.backbones import Backbone, Recipe
from dynammo.baselines.whole_network import Extractor, WholeNetworkLearner
from dynammo.catalogue import FAMILIES, LEARNERS, AdapterLearner, Learner, make_learner
from dynammo.data.make_stream import make_stream
from dynammo.setup import Study

BASELINES = [name for name, kind in LEARNERS.items() if not issubclass(kind, AdapterLearner)]
FROZEN = ["nearest_class_mean", "ranpac"]
TRAINED = [name for name in BASELINES if name not in FROZEN]
NO_IMAGES = ["fine_tuning", "lwf", "ewc", *FROZEN]
REPLAYING = [name for name in BASELINES if name not in [*NO_IMAGES, "joint"]]

FEATURES, WIDE = 32, 40
# By hand: 3 x 16 and 16 x 32 kernels of 3 x 3, and two numbers a channel of batch norm.
NETWORK = 3 * 16 * 9 + 2 * 16 + 16 * 32 * 9 + 2 * 32
PROXIES = 3


class SmallNetwork(nn.Module):
    """Two layers with batch norm, one as slow as EfficientNet's: images to features [N, 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16, momentum=0.01), nn.ReLU()
        )
        self.stage2 = nn.Sequential(
            nn.Conv2d(16, FEATURES, 3, 2, 1, bias=False), nn.BatchNorm2d(FEATURES), nn.ReLU()
        )

    def forward(self, x):
        return self.stage2(self.stage1(x)).mean(dim=(2, 3))


def small_backbone() -> Backbone:
    recipe = Recipe(
        build=SmallNetwork,
        stages=("stage1", "stage2"),
        adapter_stages=("stage2",),
        feature_size=FEATURES,
        mean=(0.5, 0.5, 0.5),
        standard_deviation=(0.25, 0.25, 0.25),
        feature_scale=1.0,
        load_weights=dict,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Backbone("small", SmallNetwork(), recipe, pretrained=False)


@pytest.fixture(scope="module")
def backbone():
    """The small network, shared by all learners here as the pretrained one is in a run."""
    return small_backbone()


@pytest.fixture(scope="module")
def settings(tiny_settings):
    return tiny_settings.with_changes(
        {
            "network_learning_rate": 0.02,
            "head_epochs": 20,
            "lwf_weight": 3.0,
            "podnet_proxies": PROXIES,
            "podnet_spatial": 1.0,
            "ranpac_features": WIDE,
        }
    )


@pytest.fixture(scope="module")
def start(settings, blobs, backbone):
    """Makes a learner that has learned nothing yet."""

    def make(name: str, train_seed: int = 1, stream=blobs, **changes) -> Learner:
        return make_learner(
            name, Study(settings.with_changes(changes), stream, backbone, train_seed)
        )

    return make


def scores(learner: Learner) -> np.ndarray:
    """Scores of the test images of all classes seen."""
    seen = learner.stream.indices("test", range(1, learner.session + 1))
    found, others = learner.judge(learner.stream.test.images[seen])
    assert others is None
    return found.numpy()


def accuracies(learner: Learner) -> list[float]:
    """Test accuracy on each session's images, by a loop over images."""
    stream = learner.stream
    labels = stream.test.labels[stream.indices("test", range(1, learner.session + 1))]
    found = scores(learner).argmax(axis=1)
    rows = [
        [int(found[i] == labels[i]) for i in range(len(labels)) if labels[i] in stream.classes(j)]
        for j in range(1, learner.session + 1)
    ]
    return [float(np.mean(row)) for row in rows]


def tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """Everything that a learner saves, out of its memory rather than its files."""
    if isinstance(learner, WholeNetworkLearner):
        return dict(learner.classifier.state_dict())
    return learner.state()


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def saved_numbers(folder, what: str) -> dict[str, int]:
    """Numbers in a session's file whose names begin with ``what``, batch statistics and NaN apart.

    Batch statistics follow from the images and no parameter count includes them.
    """
    return {
        name: int((~tensor.isnan()).sum())
        for name, tensor in load_file(folder / "state.safetensors").items()
        if name.startswith(what) and "running" not in name and "num_batches" not in name
    }


@pytest.fixture(scope="module")
def runs(start, backbone, tmp_path_factory):
    """Two sessions of every baseline, saved and with notes of all counts after each."""
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    generators = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = SimpleNamespace(learned={}, backbone_before=before, generators_before=generators)
    for name in BASELINES:
        learner = start(name)
        run = SimpleNamespace(learner=learner, losses=[], accuracies=[], scores=[], folders=[])
        run.counts, run.memories = [], []
        for session in (1, 2):
            run.losses.append(learner.learn_session(progress=False))
            run.accuracies.append(accuracies(learner))
            run.scores.append(scores(learner))
            run.counts.append(
                SimpleNamespace(
                    trained=learner.trained_numbers(),
                    stored=learner.stored_numbers(),
                    images=learner.stored_images(),
                )
            )
            run.memories.append(getattr(learner, "memory", None))
            run.folders.append(tmp_path_factory.mktemp(f"{name}_{session}"))
            learner.save(run.folders[-1])
        found.learned[name] = run
    after = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found.generators_after = after
    return found


@pytest.fixture
def run(runs, request):
    """What one baseline's two sessions left: give its name by ``indirect``."""
    return runs.learned[request.param]


every_baseline = pytest.mark.parametrize("run", BASELINES, indirect=True)
every_trained = pytest.mark.parametrize("run", TRAINED, indirect=True)


# What is learned and what is forgotten


@every_baseline
def test_the_first_session_is_learned(run):
    assert run.accuracies[0][0] > 0.9


@pytest.mark.parametrize("run", [b for b in BASELINES if b not in ("lwf", "ewc")], indirect=True)
def test_the_second_session_is_learned(run):
    assert run.accuracies[1][1] > 0.8


@every_baseline
def test_scores_are_of_the_classes_seen(run):
    assert [found.shape for found in run.scores] == [(24, 2), (48, 4)]
    assert all(np.isfinite(found).all() for found in run.scores)


@every_trained
def test_losses_are_one_an_epoch_and_fall(run, settings):
    for losses in run.losses:
        assert len(losses) == settings.adapter_epochs
        assert losses[-1] < 0.9 * losses[0]


def test_fine_tuning_forgets(runs):
    first, second = runs.learned["fine_tuning"].accuracies
    assert first[0] > 0.9
    assert second[0] < 0.1 and second[1] > 0.9


@pytest.mark.parametrize("run", ["joint", *REPLAYING, *FROZEN], indirect=True)
def test_with_old_images_or_frozen_features_nothing_is_forgotten(run):
    assert run.accuracies[1][0] > 0.8


@pytest.mark.parametrize("name", ["lwf", "ewc"])
def test_without_old_images_some_is_kept_though_not_in_every_run(runs, start, name):
    """Over four seeds; what is kept is paid for by the new classes, but less than it is worth."""
    kept = [runs.learned[name].accuracies[1]]
    for train_seed in (2, 3, 4):
        learner = start(name, train_seed)
        for _ in range(2):
            learner.learn_session(progress=False)
        kept.append(accuracies(learner))
    old, both = np.mean(kept, axis=0)[0], np.mean(kept)
    assert old > runs.learned["fine_tuning"].accuracies[1][0] + 0.4
    assert both > np.mean(runs.learned["fine_tuning"].accuracies[1]) + 0.1


def test_every_baseline_says_what_it_is(runs):
    for name, run in runs.learned.items():
        assert run.learner.name == name
        assert run.learner.family in FAMILIES
        assert run.learner.title and run.learner.trains
    titles = [kind.title for kind in LEARNERS.values()]
    assert len(set(titles)) == len(titles)


# What is changed, kept and counted


def test_the_shared_backbone_and_the_global_generators_are_left_alone(runs, backbone):
    assert same(dict(backbone.state_dict()), runs.backbone_before)
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    for before, after in zip(runs.generators_before, runs.generators_after, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("run", FROZEN, indirect=True)
def test_methods_on_frozen_features_run_the_backbone_itself(run, backbone):
    assert run.learner.network().extractor is backbone
    assert run.losses == [[], []]


@every_trained
def test_methods_that_train_the_network_share_no_memory_with_the_backbone(run, backbone):
    shared = {p.data_ptr() for p in backbone.parameters()}
    assert all(p.data_ptr() not in shared for p in run.learner.classifier.parameters())


@pytest.fixture(scope="module")
def few_blobs(blobs_npz):
    """Four training images a class: a session is one step."""
    return make_stream(str(blobs_npz), classes_per_session=2, train_per_class=4)


@pytest.mark.parametrize("name", BASELINES)
def test_efficientnet_learns_by_every_baseline_and_stays_as_it_was(
    name, settings, few_blobs, pretrained
):
    before = {k: v.clone() for k, v in pretrained.state_dict().items()}
    start = pretrained.trainable_network().state_dict()
    quick = settings.with_changes(
        {"adapter_epochs": 1, "head_epochs": 1, "memory_budget": 4, "ewc_fisher_images": 2}
    )
    learner = make_learner(name, Study(quick, few_blobs, pretrained, 1))
    for _ in range(2):
        learner.learn_session(progress=False)
    assert np.isfinite(scores(learner)).all()
    assert same(dict(pretrained.state_dict()), before)
    assert same(dict(pretrained.trainable_network().state_dict()), start)
    assert all(p.grad is None for p in pretrained.parameters())
    if name in TRAINED:
        extractor = getattr(learner.classifier.extractor, "extractors", [None])[-1]
        trained = (extractor or learner.classifier.extractor).network.state_dict()
        moved = [k for k, v in start.items() if (v != trained[k]).any()]
        assert len(moved) > 0.9 * len(trained)


def head_numbers(name: str, classes: int, features: int = FEATURES) -> int:
    """By hand: a row and a bias for each class, or proxies, in UCIR with one learned scale."""
    if name == "ucir":
        return classes * features + 1
    if name == "podnet":
        return classes * PROXIES * features
    return classes * (features + 1)


@pytest.mark.parametrize("name", TRAINED)
def test_trained_numbers_are_those_of_the_network_and_the_head(runs, name):
    first, second = (counts.trained for counts in runs.learned[name].counts)
    if name == "der":  # a wider head, and the auxiliary one of two classes and "others"
        wider = head_numbers(name, 4, 2 * FEATURES)
        assert second == NETWORK + wider + 3 * (FEATURES + 1)
    else:
        assert [first, second] == [NETWORK + head_numbers(name, k) for k in (2, 4)]


@every_trained
def test_trained_numbers_are_those_that_the_second_session_changed(run):
    first, second = (load_file(folder / "state.safetensors") for folder in run.folders)
    changed = 0
    for name, count in saved_numbers(run.folders[1], "network.").items():
        before = first.get(name)
        moved = before is None or before.shape != second[name].shape
        changed += count if moved or not torch.equal(before, second[name]) else 0
    auxiliary = 3 * (FEATURES + 1) if run.learner.name == "der" else 0  # not kept
    assert run.counts[1].trained == changed + auxiliary


@every_trained
def test_stored_numbers_are_those_in_the_file(run):
    for folder, counts in zip(run.folders, run.counts, strict=True):
        assert counts.stored == sum(saved_numbers(folder, "").values())


def test_stored_numbers_by_hand(runs):
    stored = {name: [c.stored for c in run.counts] for name, run in runs.learned.items()}
    plain = [NETWORK + 2 * (FEATURES + 1), NETWORK + 4 * (FEATURES + 1)]
    for name in ("fine_tuning", "joint", "replay", "lwf", "icarl", "wa"):
        assert stored[name] == plain, name
    assert stored["ewc"] == [2 * plain[0], 2 * plain[1]]  # and the Fisher information
    # 24 exemplars of 2 logits; then 12 of them, and 12 of 4 logits.
    assert stored["der_plus_plus"] == [plain[0] + 24 * 2, plain[1] + 12 * 2 + 12 * 4]
    assert stored["der"] == [plain[0], 2 * NETWORK + 4 * (2 * FEATURES + 1)]
    assert stored["ucir"] == [NETWORK + 2 * FEATURES + 1, NETWORK + 4 * FEATURES + 1]
    assert stored["nearest_class_mean"] == [NETWORK + 2 * FEATURES, NETWORK + 4 * FEATURES]
    # The Gram matrix, a column for each class, and the penalty.
    assert stored["ranpac"] == [NETWORK + WIDE * (WIDE + k) + 1 for k in (2, 4)]
    assert {n: runs.learned[n].counts[1].trained for n in FROZEN} == dict.fromkeys(FROZEN, 0)


@every_baseline
def test_an_outline_counts_what_a_learned_session_leaves(run, start):
    learner = start(run.learner.name)
    learner.session = 2
    learner.outline()
    assert learner.trained_numbers() == run.counts[1].trained
    found = sum(p.numel() for p in learner.network().parameters())
    assert found == sum(p.numel() for p in run.learner.network().parameters())
    logits = 12 * 2 + 12 * 4 if run.learner.name == "der_plus_plus" else 0  # of no exemplars yet
    assert learner.stored_numbers() == run.counts[1].stored - logits


@every_baseline
def test_stored_images_are_none_the_budget_or_all(run):
    counts = [c.images for c in run.counts]
    if run.learner.name == "joint":
        assert counts == [48, 96]
    elif run.learner.name in NO_IMAGES:
        assert counts == [0, 0]
    else:
        assert counts == [24, 24]
    assert run.learner.remembers == (run.learner.name in REPLAYING)


@pytest.mark.parametrize("run", REPLAYING, indirect=True)
def test_the_memory_is_shared_evenly_by_the_classes_and_cut_from_the_end(run, blobs):
    first, second = run.memories
    assert {k: len(v) for k, v in first.positions.items()} == {0: 12, 1: 12}
    assert {k: len(v) for k, v in second.positions.items()} == {0: 6, 1: 6, 2: 6, 3: 6}
    assert all(np.array_equal(second.positions[k], first.positions[k][:6]) for k in (0, 1))
    for label, chosen in second.positions.items():
        assert set(blobs.train.labels[chosen]) == {label}


# Saving, restoring, seeds


@pytest.mark.parametrize("name", BASELINES)
def test_going_on_after_restoring_is_bitwise_the_run_without_a_break(runs, start, name):
    run, learner = runs.learned[name], start(name)
    learner.session = 1
    learner.restore(run.folders[0])
    assert np.array_equal(scores(learner), run.scores[0])
    assert learner.stored_numbers() == run.counts[0].stored
    assert learner.learn_session(progress=False) == run.losses[1]
    assert np.array_equal(scores(learner), run.scores[1])
    assert same(tensors(learner), tensors(run.learner))
    if name in TRAINED:
        assert learner.memory.positions.keys() == run.learner.memory.positions.keys()
        for label, positions in learner.memory.positions.items():
            assert np.array_equal(positions, run.learner.memory.positions[label])
        mine, other = learner.extra_state(), run.learner.extra_state()
        assert mine.keys() == other.keys()
        assert all(np.array_equal(mine[k], other[k], equal_nan=True) for k in mine)


@every_baseline
def test_the_last_session_is_restored_too(run, start):
    learner = start(run.learner.name)
    learner.session = 2
    learner.restore(run.folders[1])
    assert np.array_equal(scores(learner), run.scores[1])
    assert learner.trained_numbers() == run.counts[1].trained
    assert learner.stored_images() == run.counts[1].images


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_result_and_another_another(runs, start, name):
    expected = runs.learned[name]
    torch.manual_seed(123)  # of the global generator, which must not matter
    same_seed, other_seed = start(name), start(name, train_seed=2)
    losses = [learner.learn_session(progress=False) for learner in (same_seed, other_seed)]
    assert losses[0] == expected.losses[0]
    assert np.array_equal(scores(same_seed), expected.scores[0])
    if name != "nearest_class_mean":  # where nothing is random
        assert not np.array_equal(scores(other_seed), expected.scores[0])


# What single methods promise


def test_joint_training_begins_again_each_session(runs, start):
    learner = start("joint")
    learner.session = 1  # as if the first session had been learned, but it was not
    learner.learn_session(progress=False)
    assert np.array_equal(scores(learner), runs.learned["joint"].scores[1])


@pytest.mark.parametrize("name", BASELINES)
def test_sessions_are_learned_from_the_images_a_method_may_see(name, start, blobs):
    """Images it may not see are gone from the data; it learns the same."""
    learner = start(name, adapter_epochs=1, head_epochs=1)
    learner.learn_session(progress=False)
    blind = copy.deepcopy(learner)
    images = blobs.train.images.copy()
    kept = blobs.indices("train", range(1, 3) if name == "joint" else 2)
    if name in REPLAYING:
        kept = np.concatenate([kept, learner.memory.all_positions()])
    images[np.setdiff1d(np.arange(len(images)), kept)] = 0
    train = dataclasses.replace(blobs.train, images=images)
    blind.stream = dataclasses.replace(blobs, train=train)
    for each in (learner, blind):
        each.learn_session(progress=False)
    assert same(tensors(blind), tensors(learner))


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
    learner.session = 1
    learner.restore(runs.learned["der"].folders[0])
    learned = copy.deepcopy(learner.classifier.extractor.extractors[0].state_dict())
    learner.session = 2
    learner.grow_head()
    old, new = learner.classifier.extractor.extractors
    assert same(old.state_dict(), learned) and same(new.state_dict(), learned)
    assert all(not p.requires_grad for p in old.parameters())
    assert all(p.requires_grad for p in new.parameters())


@pytest.mark.parametrize("name", ["der", "podnet"])
def test_the_balanced_head_is_tuned_without_the_network(runs, start, name):
    learner = start(name, head_learning_rate=1e-4)  # other head tuning, the same training
    learner.session = 1
    learner.restore(runs.learned[name].folders[0])
    learner.learn_session(progress=False)
    found, expected = tensors(learner), tensors(runs.learned[name].learner)
    differ = {key for key in expected if not torch.equal(found[key], expected[key])}
    tuned = {key for key in expected if key.startswith("head.")} - {"head.scale"}  # is fixed
    assert differ == tuned


def test_wa_leaves_old_and_new_rows_equally_long(runs):
    weight = runs.learned["wa"].learner.classifier.head.weight.detach().numpy()
    lengths = np.linalg.norm(weight, axis=1)
    assert lengths[2:].mean() == pytest.approx(lengths[:2].mean(), rel=1e-5)
    plain = runs.learned["replay"].learner.classifier.head.weight.detach().numpy()
    lengths = np.linalg.norm(plain, axis=1)
    assert lengths[2:].mean() != pytest.approx(lengths[:2].mean(), rel=1e-2)


@pytest.mark.parametrize("name", ["ucir", "podnet"])
def test_old_proxies_point_where_they_did_in_ucir_alone(runs, name):
    first, second = (
        load_file(folder / "state.safetensors")["network.head.weight"].double().numpy()
        for folder in runs.learned[name].folders
    )
    directions = [w / np.linalg.norm(w, axis=2, keepdims=True) for w in (first, second)]
    moved = np.abs(directions[1][:2] - directions[0]).max(axis=(1, 2))
    assert (moved < 1e-6).all() if name == "ucir" else (moved > 1e-3).all()


def test_icarl_answers_with_the_nearest_mean_of_exemplars(runs, blobs):
    run = runs.learned["icarl"]
    learner, extractor = run.learner, run.learner.classifier.extractor.eval()

    def features(images) -> np.ndarray:
        with torch.no_grad():
            found = extractor(learner.backbone.normalise(images)).double().numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    means = []
    for label in range(4):
        mean = features(blobs.train.images[learner.memory.positions[label]]).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    rows = features(blobs.test.images)
    distances = [[np.linalg.norm(row - mean) for mean in means] for row in rows]
    assert np.array_equal(np.argmin(distances, axis=1), run.scores[1].argmax(axis=1))
    # Points at distance 1 from the origin: their distance squared is 2 less twice the cosine.
    np.testing.assert_allclose(np.square(distances), 2 - 2 * run.scores[1], atol=1e-5)


def test_der_plus_plus_keeps_the_logits_of_the_session_that_stored_them(runs, start, blobs):
    run = runs.learned["der_plus_plus"]
    earlier = start("der_plus_plus")
    earlier.session = 1
    earlier.restore(run.folders[0])
    for label, positions in run.learner.memory.positions.items():
        stored = torch.stack([run.learner.logits[int(i)] for i in positions])
        author = earlier if label < 2 else run.learner
        expected, _ = author.judge(blobs.train.images[positions])
        known = 2 if label < 2 else 4
        torch.testing.assert_close(stored[:, :known], expected, rtol=1e-4, atol=1e-5)
        assert stored[:, known:].isnan().all()


def test_ewcs_fisher_information_adds_up_over_sessions_around_the_newest_weights(runs):
    first, second = (
        load_file(folder / "state.safetensors") for folder in runs.learned["ewc"].folders
    )
    fisher = {k.removeprefix("extra."): v for k, v in first.items() if k.startswith("extra.")}
    for name, old in fisher.items():
        assert (second[f"extra.{name}"][: len(old)] >= old).all()
    # The first session's outputs take no part in the second's: their rows only keep what they had.
    assert torch.equal(second["extra.head.weight"][:2], first["extra.head.weight"])
    assert second["extra.head.weight"][2:].max() > 0
    learner = runs.learned["ewc"].learner
    assert same(learner.anchor, {k: second[f"network.{k}"] for k in learner.anchor})


def test_ewc_moves_weights_that_mattered_less_than_fine_tuning_does(runs):
    fisher = {
        k.removeprefix("extra."): v
        for k, v in load_file(runs.learned["ewc"].folders[0] / "state.safetensors").items()
        if k.startswith("extra.extractor")
    }

    def moved(name: str) -> float:
        first, second = (
            load_file(folder / "state.safetensors") for folder in runs.learned[name].folders
        )
        steps = {k: second[f"network.{k}"] - first[f"network.{k}"] for k in fisher}
        return sum(float((fisher[k] * steps[k].square()).sum()) for k in fisher)

    assert moved("ewc") < 0.2 * moved("fine_tuning")


@pytest.mark.parametrize("per_session", [1, 3])
def test_frozen_features_do_not_mind_how_classes_are_divided_into_sessions(
    runs, start, blobs_npz, per_session
):
    stream = make_stream(str(blobs_npz), classes_per_session=per_session)
    for name in FROZEN:
        learner = start(name, stream=stream)
        for _ in range(stream.number_of_sessions):
            learner.learn_session()
        expected = runs.learned[name].learner.state()
        for key, found in learner.state().items():
            if key != "penalty":  # which the newest session's images choose
                torch.testing.assert_close(found, expected[key], rtol=1e-4, atol=1e-4)
    means = start("nearest_class_mean", stream=stream)
    for _ in range(stream.number_of_sessions):
        means.learn_session()
    found = runs.learned["nearest_class_mean"].scores[1]
    np.testing.assert_allclose(scores(means), found, atol=1e-5)


def test_class_means_and_statistics_are_sums_over_all_images(runs, blobs, backbone):
    with torch.no_grad():
        features = backbone(backbone.normalise(blobs.train.images)).double().numpy()
    labels, state = blobs.train.labels, runs.learned["ranpac"].learner.state()
    projection = runs.learned["ranpac"].learner.projection.double().numpy()
    hidden = np.maximum(features @ projection, 0)
    gram = sum(np.outer(row, row) for row in hidden)
    np.testing.assert_allclose(state["gram"], gram, rtol=1e-3, atol=1e-3)
    columns = [hidden[labels == label].sum(axis=0) for label in range(4)]
    np.testing.assert_allclose(state["correlation"], np.stack(columns, 1), rtol=1e-3, atol=1e-3)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = [unit[labels == label].mean(axis=0) for label in range(4)]
    found = runs.learned["nearest_class_mean"].learner.state()["means"]
    np.testing.assert_allclose(found, means, atol=1e-5)


def test_batch_norm_of_a_trained_copy_follows_the_batches(backbone):
    extractor = Extractor(backbone).train()
    x = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    norm = extractor.network.stage1[1]
    with torch.no_grad():
        maps = extractor.network.stage1[0](x).double().numpy()
        extractor(x)
    expected = 0.1 * maps.mean(axis=(0, 2, 3))  # from nought, and not by the layer's own 0.01
    np.testing.assert_allclose(norm.running_mean, expected, atol=1e-6)
    assert backbone.network.stage1[1].running_mean.abs().max() == 0
