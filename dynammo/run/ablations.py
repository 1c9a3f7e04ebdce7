"""What if one choice were another: comparisons that change a single thing.

Two kinds. Other ways of merging and other batch norm statistics need no training: they replay a
tuned chain (:func:`replay`). Other settings of step 1, or another stream, need chains of their own
(:func:`vary`); everything else about those is the run's, so they are compared seed by seed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.measure.between_sets import relative_distance
from dynammo.measure.predictions import accuracy_rows, predict, session_row
from dynammo.methods import AdapterLearner, adapter_methods, learners_on, make_learner
from dynammo.networks.own import recipe_of
from dynammo.run.collect import collect
from dynammo.run.jobs import WHICH_JOBS, jobs, pairs
from dynammo.run.learn import last_session, learn_stream
from dynammo.run.run_folder import open_setup
from dynammo.run.sessions import restore_chain_from
from dynammo.run.settings import RunSettings
from dynammo.training import progress_bar

Changes = Mapping[str, Any]


def ablations(settings: RunSettings, classes: int) -> dict[str, tuple[str, dict[str, Changes]]]:
    """The comparisons that need chains of their own: name to title and variants.

    A variant is a label and the settings that it changes; the one that changes nothing is the run
    as it is.

    Args:
        settings: of the run that is compared with.
        classes: how many the stream has.
    """
    stages = settings.adapter_stages or recipe_of(settings.backbone).adapter_stages
    half = (len(stages) + 1) // 2
    places = {f"{stages[0]} alone": stages[:1], "early half": stages[:half]}
    places["late half"] = stages[half:]
    parts = {where: label for label, where in places.items() if 0 < len(where) < len(stages)}
    memories = sorted({classes * share for share in (2, 5, 25)} | {settings.memory_budget})
    return {
        "start": (
            "What a session's adapters start from",
            {start: {"adapter_start": start} for start in ("previous", "merged", "fresh")},
        ),
        "placement": (
            "Where adapters go",
            {"all": {}} | {label: {"adapter_stages": where} for where, label in parts.items()},
        ),
        "width": (
            "Hidden channels of an adapter, per channel of its map",
            {f"{width:g}": {"adapter_width": width} for width in (0.25, 0.5, 1.0)},
        ),
        "alpha": (
            "Initial weight alpha of an adapter's branch",
            {f"{alpha:g}": {"adapter_alpha": alpha} for alpha in (0.02, 0.2, 1.0, 2.0)},
        ),
        "memory": (
            "Exemplars in all",
            {str(budget): {"memory_budget": budget} for budget in memories},
        ),
        "sessions": (
            "The same classes in more sessions",
            {
                f"{-(-classes // brought)} x {brought}": {"classes_per_session": brought}
                for brought in (1, 2, 4)
                if brought < classes
            },
        ),
        "order": (
            "Class orders",
            {f"order {seed}": {"order_seeds": (seed,)} for seed in range(5)},
        ),
        "backbone": (
            "Backbones",
            {
                "EfficientNet-Lite0, ImageNet": {
                    "backbone": "efficientnet_lite0",
                    "weights": "imagenet",
                },
                "EfficientNet-Lite0, random": {
                    "backbone": "efficientnet_lite0",
                    "weights": "random",
                },
                "ResNet-18, random": {
                    "backbone": "resnet18",
                    "weights": "random",
                    "adapter_learning_rate": 0.01,
                },
            },
        ),
    }


def ablation(name: str, settings: RunSettings, classes: int) -> tuple[str, dict[str, Changes]]:
    """Title and variants of one of :func:`ablations`, by name; InputError if there is none."""
    known = ablations(settings, classes)
    if name not in known:
        raise InputError(f"Unknown ablation '{name}': choose from {', '.join(known)}.")
    return known[name]


def vary(
    run: Path, settings: RunSettings, variants: Mapping[str, Changes], **options
) -> pd.DataFrame:
    """Run each variant of some settings, with all their seeds; return one row per session.

    Chains are saved below ``run/variants``, so an interrupted call goes on; a variant that changes
    nothing takes the chains of the run itself if it has them.

    Args:
        settings: of the run, with the seeds to use and the methods to compare.
        options: of :func:`dynammo.run.learn.learn_stream`.

    Returns:
        The ``sessions`` table of :func:`dynammo.run.collect.collect` for each variant, under
        ``variant``.
    """
    found = []
    for label, changes in variants.items():
        changed = settings.with_changes(changes)
        folder = place_of(run, changed, settings)
        for order_seed, train_seed, method in jobs(changed, changed.methods):
            if method or folder != run:
                learn_stream(folder, changed, method, order_seed, train_seed, **options)
        found.append(collect(folder, changed)["sessions"].assign(variant=label))
    return pd.concat(found, ignore_index=True)


def try_out(run: Path, settings: RunSettings, variants: Mapping[str, Changes]) -> pd.DataFrame:
    """Learn each variant of some settings and judge it on validation images; nothing is saved.

    This is what settings are chosen by. Methods of all kinds may be tried.

    Returns:
        A row per ``variant``, ``method``, seeds and ``session``: ``accuracy`` over all classes
        seen.
    """
    rows = []
    for label, changes in variants.items():
        changed = settings.with_changes(changes)
        for order_seed, train_seed in pairs(changed):
            setup = open_setup(run, changed, order_seed, train_seed)
            learners = learners_on(Chain.on(setup), changed.methods)
            others = set(changed.methods) - {learner.name for learner in learners}
            learners += [make_learner(name, setup) for name in sorted(others)]
            key = {"variant": label, "order_seed": order_seed, "train_seed": train_seed}
            for session in range(1, setup.stream.number_of_sessions + 1):
                for learner in progress_bar(learners, f"{label}, session {session}"):
                    learner.learn_session(progress=False)
                    row = session_row(predict(learner, "val", unseen=False))
                    tag = key | {"method": learner.name, "session": session}
                    rows.append(tag | {"accuracy": row["accuracy"]})
    return pd.DataFrame(rows)


def place_of(run: Path, changed: RunSettings, settings: RunSettings) -> Path:
    """The folder with a variant's chains: the run's own, if it has them."""
    if not (named := _identity(changed, settings)) and _has_chains(run, changed):
        return run
    return run / "variants" / re.sub(r"[^\w.]+", "_", named or "as_it_is")


def steps_apart(run: Path, settings: RunSettings, variants: Mapping[str, Changes]) -> pd.DataFrame:
    """How far consecutive adapter sets of :func:`vary`'s chains are apart, in relative length.

    Returns:
        A row per ``variant``, seeds and ``session`` from the second on: ``distance``.
    """
    rows = []
    for label, changes in variants.items():
        changed = settings.with_changes(changes)
        folder = place_of(run, changed, settings)
        for order_seed, train_seed in pairs(changed):
            sets = last_session(folder, changed, order_seed, train_seed).chain.adapter_states
            key = {"variant": label, "order_seed": order_seed, "train_seed": train_seed}
            for session, (before, newest) in enumerate(itertools.pairwise(sets), start=2):
                distance = relative_distance(newest, before)
                rows.append({**key, "session": session, "distance": distance})
    return pd.DataFrame(rows)


def _identity(changed: RunSettings, settings: RunSettings) -> str:
    """What results depend on and a variant changes, in words; nothing if there is none."""
    here, there = (
        one.as_dict() | {"methods": adapter_methods(one.methods)} for one in (changed, settings)
    )
    names = [name for name in here if name not in WHICH_JOBS or name == "methods"]
    return "-".join(f"{name}={here[name]}" for name in names if here[name] != there.get(name))


def _has_chains(run: Path, settings: RunSettings) -> bool:
    try:
        for order_seed, train_seed in pairs(settings):
            last_session(run, settings, order_seed, train_seed)
    except InputError:
        return False
    return True


def follow(
    run: Path,
    settings: RunSettings,
    make_learners: Callable[[Chain], Mapping[str, AdapterLearner]],
    split: str = "test",
) -> pd.DataFrame:
    """Let other learners follow a run's tuned chains, session by session.

    Nothing is tuned but heads, and nothing is saved.

    Args:
        make_learners: labels and learners on a chain, called for each pair of seeds.
        split: whose images are judged.

    Returns:
        A row per label, seeds, session and evaluated session: ``accuracy`` on its classes, in
        ``images`` images.
    """
    rows = []
    for order_seed, train_seed in pairs(settings):
        group = last_session(run, settings, order_seed, train_seed)  # refuses what does not hold
        chain = Chain.on(group.setup)
        learners = make_learners(chain)
        for session in range(1, chain.stream.number_of_sessions + 1):
            restore_chain_from(chain, [group.folder(t) for t in range(1, session + 1)])
            title = f"order {order_seed}, seed {train_seed}, session {session}"
            for label, learner in progress_bar(learners.items(), title):
                learner.learn_session(progress=False)
                key = {"label": label, "order_seed": order_seed, "train_seed": train_seed}
                found = accuracy_rows(predict(learner, split, unseen=False))
                rows += [key | {"session": session} | row for row in found]
    return pd.DataFrame(rows)


def over_classes(followed: pd.DataFrame) -> pd.DataFrame:
    """Accuracy over all classes seen, a row per label, seeds and session."""
    weighted = followed.assign(right=followed.accuracy * followed.images)
    key = ["label", "order_seed", "train_seed", "session"]
    by_session = weighted.groupby(key, sort=False)[["right", "images"]].sum()
    return (by_session.right / by_session.images).rename("accuracy").reset_index()


def averages(followed: pd.DataFrame) -> pd.DataFrame:
    """Average and last accuracy over all classes seen, a row per label and seeds."""
    key = ["label", "order_seed", "train_seed"]
    grouped = over_classes(followed).groupby(key, sort=False).accuracy
    return pd.DataFrame(
        {"average_accuracy": grouped.mean(), "last_accuracy": grouped.last()}
    ).reset_index()
