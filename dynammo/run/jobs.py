"""Which jobs a run has, and which settings the result of each depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dynammo.catalogue import METHODS
from dynammo.learner import Learner
from dynammo.methods import adapter_methods, kind_of
from dynammo.run.settings import RunSettings

# What adapters are made of and start from; all else of step 1 is every method's.
ADAPTERS_ALONE = (
    "adapter_stages",
    "adapter_width",
    "adapter_alpha",
    "adapter_padding",
    "adapter_start",
)
WHICH_JOBS = (
    "order_seeds",
    "train_seeds",
    "baseline_runs",
    "methods",
    "plugins",
    "ablations",
    "ablation_runs",
)


def jobs(settings: RunSettings, methods: Sequence[str]) -> list[tuple[int, int, str]]:
    """What some methods need to be learned: order seed, training seed, and whose job it is.

    That is the name of a method of its own, or nothing for the adapters, which feed several.
    """
    fed = adapter_methods(methods)
    own = [name for name in methods if name not in fed]
    orders, seeds = settings.order_seeds, settings.train_seeds
    # Another seed for another order, so that few runs still cover both.
    chosen = [
        (order, seeds[(first + turn) % len(seeds)])
        for turn in range(len(seeds))
        for first, order in enumerate(orders)
    ][: settings.baseline_runs or None]
    brief = [name for name in own if kind_of(name).trains_nothing or kind_of(name).tunes_adapters]
    found = []
    for pair in pairs(settings):
        found += [(*pair, "")] if fed else []
        found += [(*pair, name) for name in own if pair in chosen or name in brief]
    return found


def name_of(method: str | type[Learner]) -> str:
    """A method's name, by name or class; nothing for the adapters."""
    return method if isinstance(method, str) else method.name


def settings_behind(settings: RunSettings, method: str | type[Learner] = "") -> dict[str, Any]:
    """The settings that a session depends on: of a method, or without one of the adapters.

    A method's own knobs, named after it, concern no other.
    """
    values = settings.model_dump(mode="json", exclude={"of_methods", *WHICH_JOBS})
    if not method or kind_of(method).tunes_adapters:
        del values["network_learning_rate"]
    else:
        for name in ADAPTERS_ALONE:
            del values[name]
    return values | (settings.knobs_by_name(kind_of(method)) if method else {})


def parameters_of(settings: RunSettings, method: str = "") -> dict[str, Any]:
    """What a job's notebook is given, seeds and folders apart."""
    fed = [] if method else adapter_methods(settings.methods)
    values = settings_behind(settings, method)
    if any(METHODS[name].family == "plugin" for name in fed or [method]):
        values["plugins"] = list(settings.plugins)  # the results of all others are without them
    for name in fed:
        values |= settings.knobs_by_name(kind_of(name))
    return values if method else values | {"methods": fed}


def pairs(settings: RunSettings) -> Iterable[tuple[int, int]]:
    """Order and training seed of every tuned chain of some settings."""
    return [(order, seed) for order in settings.order_seeds for seed in settings.train_seeds]
