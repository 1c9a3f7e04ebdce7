"""The settings of a run: how it learns, and what is learned, with which methods and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from dynammo import catalogue
from dynammo.run.plugins import load_plugins
from dynammo.settings import Count, CountOrNone, Settings, knobs_of

# The settings that say what the stream is.
DATA_SETTINGS = (
    "stream",
    "classes_per_session",
    "train_per_class",
    "split_seed",
    "sets_in_turn",
    "phantom_train",
    "phantom_val",
    "phantom_test",
    "phantom_seed",
)


def _each_once(values: tuple) -> tuple:
    if len(set(values)) != len(values):
        raise ValueError("give each once")
    return values


Seeds = Annotated[tuple[CountOrNone, ...], Field(min_length=1), AfterValidator(_each_once)]
Names = Annotated[tuple[str, ...], AfterValidator(_each_once)]


class RunSettings(Settings):
    """One run's configuration. Profiles are TOML files that change some of these values."""

    # What is learned: see dynammo.data.sources for what a stream may be called.
    stream: str = "blood"
    # Classes a session brings; 0 means two, or one whole data set when several are joined by "+".
    classes_per_session: CountOrNone = 0
    # Use only the first images of each training class, so that all of it takes minutes; 0: all.
    train_per_class: CountOrNone = 100
    # Sessions of joined sets come from each set in turn, instead of one set after another.
    sets_in_turn: bool = False
    split_seed: CountOrNone = 0  # splits a folder of images that has no splits
    # Seeds of the class order and of everything random in training; every pair is run.
    order_seeds: Seeds = (0, 1, 2)
    train_seeds: Seeds = (1,)
    # Methods that train a whole network take longer: run only so many of the pairs with them, each
    # order once before any twice; 0 means all.
    baseline_runs: CountOrNone = 0
    phantom_train: Count = 100  # images a class of the drawn data set
    phantom_val: Count = 25
    phantom_test: Count = 50
    phantom_seed: int = 0  # draws them

    # Learners to run, by name (dynammo/catalogue.toml).
    methods: Annotated[Names, Field(min_length=1)] = (
        "frozen_features",
        "dynammo",
        "dynammo_unified_head",
        "last_adapter",
        "acl",
    )
    # Files with methods of one's own, which may then be named above (dynammo.run.plugins).
    plugins: Names = ()
    # Notebooks that look closer at the run, and ablations (dynammo.run.ablations), by name; and
    # with how many of its pairs of seeds those are run that tune chains of their own; 0 means all.
    ablations: Names = ()
    ablation_runs: CountOrNone = 1

    # Threads a job computes with: their number changes the order of sums, hence every last digit.
    threads: Count = 1
    device: str = "auto"  # a GPU if there is one

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """As in Settings; plugins are loaded first, since they bring settings of their own."""
        load_plugins(changes.get("plugins", ()))
        return super().with_changes(changes)

    def as_dict(self) -> dict[str, Any]:
        """All knobs, those of the methods included, as plain JSON values, tuples as lists."""
        values = self.model_dump(mode="json", exclude={"of_methods"})
        for method in dict.fromkeys((*self.methods, *self.of_methods)):
            values |= self.knobs_by_name(catalogue.load(method))
        return values


def is_setting(name: str) -> bool:
    """Whether there is a setting of that name, of all methods or of one."""
    method, own = catalogue.split_setting(name)
    return name in RunSettings.model_fields or own in knobs_of(method)


def settings_from(variables: Mapping[str, Any]) -> RunSettings:
    """Settings from a notebook's variables: ``settings_from(globals())``.

    Names that are no settings are left alone, so all of a notebook's variables can be passed. A
    variable ``more`` may hold further settings by name.
    """
    more = variables.get("more", {})
    for given in (variables, more):
        load_plugins(given.get("plugins", ()))
    known = {name: value for name, value in variables.items() if is_setting(name)}
    return RunSettings().with_changes(known).with_changes(more)


def as_written_out(settings: RunSettings, **changes: Any) -> RunSettings:
    """Settings under which the library's loops do what loops that notebooks write out do.

    No rate falls while training: adapters have 0.1, heads 0.001, and whole networks theirs. Batches
    are of 32 images. No method of the library has a number of epochs or a rate of its own, but for
    the later rate of gentle tuning.
    """
    plain = {"batch_size": 32, "precision": "float32", "head_steps": 0, "head_learning_rate": 1e-3}
    plain |= {"adapter_momentum": 0.9, "adapter_weight_decay": 5e-4, "adapter_learning_rate": 0.1}
    plain |= {"adapter_milestones": [1.0], "head_milestones": [1.0]}
    for method, row in catalogue.METHODS.items():
        own = {"epochs", "learning_rate", "head_learning_rate"} & set(knobs_of(method))
        plain |= {f"{method}_{name}": 0 for name in own if row.family != "plugin"}
    return settings.with_changes(plain | changes)


def changes_of(settings: RunSettings) -> dict[str, Any]:
    """What some settings change from the defaults, by name, as plain JSON values."""
    values = settings.model_dump(mode="json", exclude_defaults=True)
    for method, knobs in values.pop("of_methods", {}).items():
        values |= {f"{method}_{name}": value for name, value in knobs.items()}
    return values
