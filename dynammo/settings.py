"""Every knob of a run, with one default and its source; an unknown knob is an error."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynammo.errors import InputError

PROFILES = Path(__file__).parent / "run" / "profiles"

# The settings that say what the stream is.
DATA_SETTINGS = (
    "stream",
    "classes_per_session",
    "train_per_class",
    "phantom_train",
    "phantom_val",
    "phantom_test",
    "phantom_seed",
)

ADAPTER_STARTS = ("previous", "merged", "fresh")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """One run's configuration. Profiles are TOML files that change some of these values."""

    # What is learned: see dynammo.data.sources for what a stream may be called.
    stream: str = "phantom"
    # Classes a session brings; 0 means two, or one whole data set when several are joined by "+".
    classes_per_session: int = 0
    # Shortened runs: use only the first images of each training class; 0 uses all.
    train_per_class: int = 0
    # Seeds of the class order and of everything random in training; every pair is run.
    order_seeds: tuple[int, ...] = (0,)
    train_seeds: tuple[int, ...] = (1, 2, 3)
    # Methods that are not fed by adapters take a run each, most of them several times longer: run
    # them with only so many training seeds per class order, from the first, for the second order
    # from the second, and so on; 0 means all.
    baseline_seeds: int = 0
    # Images per class of the embedded data set, and the seed it is drawn from.
    phantom_train: int = 100
    phantom_val: int = 25
    phantom_test: int = 50
    phantom_seed: int = 0

    # The frozen network: "efficientnet_lite0" or "resnet18", weights "imagenet" or "random".
    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    # Pixels a side that images are enlarged to on their way into the network (released: MedMNIST's
    # 28 and CIFAR-100's 32 to 224); 0 takes them as they are.
    enlarge_to: int = 0

    # Adapters: empty stages mean the backbone's own choice; width is hidden / map channels; alpha
    # is the initial weight of their branch (released: 0.02 for 200 epochs; for 8 epochs 2 was best
    # of 0.2, 0.5, 1, 2 and 4 on validation images of four streams).
    adapter_stages: tuple[str, ...] = ()
    adapter_width: float = 1.0
    adapter_alpha: float = 2.0
    adapter_padding: str = "same"
    # What a session's set starts from: the "previous" session's (released), the "merged" set, or a
    # "fresh" one.
    adapter_start: str = "previous"

    # Step 1, adapter tuning. Released: 200 epochs, learning rate 0.01, momentum 0.9, weight decay
    # 5e-4, batches of 32, x 0.1 after epochs 70, 130, 170 (kept here as shares of the epochs).
    # Eight epochs of EfficientNet-Lite0 need the larger learning rate, chosen on validation images;
    # ResNet-18's longer features need 0.01 (see Recipe.feature_scale).
    adapter_epochs: int = 8
    adapter_learning_rate: float = 0.1
    adapter_momentum: float = 0.9
    adapter_weight_decay: float = 5e-4
    adapter_milestones: tuple[float, ...] = (0.35, 0.65, 0.85)
    batch_size: int = 32

    # Step 3, exemplars in total (released: 80 on PATH16, 40 on SKIN8, 2000 on CIFAR-100).
    memory_budget: int = 80

    # Step 4, head fine-tuning on the balanced memory (released: Adam, 100 epochs, x 0.1 after 55
    # and 80).
    head_epochs: int = 100
    head_learning_rate: float = 1e-3
    head_milestones: tuple[float, ...] = (0.55, 0.8)

    # Methods that train the whole network, at step 1's epochs, batches, momentum, weight decay and
    # schedule; the learning rate was chosen on validation images, for joint training.
    network_learning_rate: float = 0.1
    # LwF: temperature 2 and weight 1 as in the paper (arXiv 1606.09282, section 3).
    lwf_temperature: float = 2.0
    lwf_weight: float = 1.0
    # EWC: strength lambda of equation 3 (1000 in PyCIL; the paper searches it for each problem),
    # and from how many of a session's images the Fisher information is estimated.
    ewc_strength: float = 1000.0
    ewc_fisher_images: int = 100
    # WA: temperature 2, as in the paper (arXiv 1911.07053, section 5).
    wa_temperature: float = 2.0
    # UCIR: lambda_base 5, margin 0.5 and K = 2 nearest new classes, as in the paper for CIFAR-100.
    ucir_less_forget: float = 5.0
    ucir_margin: float = 0.5
    ucir_negatives: int = 2
    # Initial scale of the cosines. UCIR learns it (released: from 1, for 160 epochs).
    ucir_scale: float = 10.0
    # PODNet: lambda_c 3, lambda_f 1, margin 0.6 and 10 proxies, as in the paper for CIFAR-100.
    podnet_spatial: float = 3.0
    podnet_flat: float = 1.0
    podnet_margin: float = 0.6
    podnet_proxies: int = 10
    # Scale of the cosines, fixed: learned as in the paper, it falls below 0 in short sessions.
    podnet_scale: float = 10.0
    # DER++: alpha and beta of equation 6, from the paper's table for its small memories.
    der_plus_plus_alpha: float = 0.2
    der_plus_plus_beta: float = 0.5
    # DER: weight of the auxiliary loss, and temperature of the balanced head (released: 1 and 5).
    der_auxiliary: float = 1.0
    der_temperature: float = 5.0
    # RanPAC: M, the number of random features (the paper: 10000 with 768 features).
    ranpac_features: int = 2000

    # DynaMMo with a ridge head: how stiff the map is that moves old statistics along, in units of
    # the features' variance (0.1 and 1 did equally well on validation images).
    dynammo_ridge_stiffness: float = 0.1

    # Learners to run, by name (dynammo.catalogue.LEARNERS).
    methods: tuple[str, ...] = (
        "frozen_features",
        "dynammo",
        "dynammo_unified_head",
        "last_adapter",
        "acl",
    )

    # Notebooks that look closer at the run, by name (dynammo.run.ablations.study_jobs), and with
    # how many of its training seeds those are run that tune chains of their own; 0 means all.
    studies: tuple[str, ...] = ()
    study_seeds: int = 1

    # Threads a job computes with. Part of the settings because the number of threads changes the
    # order of floating-point sums, hence the last digits of every result.
    threads: int = 1
    # "auto" takes a GPU if there is one.
    device: str = "auto"
    # Of adapters' and networks' training: "bfloat16" is mixed precision, for a GPU (weights, their
    # updates and the loss stay in float32). Predictions are always made in float32.
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Check types and ranges once, so that nothing downstream has to."""
        for field in dataclasses.fields(self):
            _check_type(field, getattr(self, field.name))
        positive = (
            "phantom_train phantom_val phantom_test adapter_epochs head_epochs memory_budget "
            "threads adapter_learning_rate head_learning_rate adapter_width network_learning_rate "
            "lwf_temperature wa_temperature der_temperature ewc_fisher_images ucir_negatives "
            "ucir_scale podnet_scale podnet_proxies ranpac_features "
            "dynammo_ridge_stiffness"
        )
        for name in positive.split():
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be above 0.")
        for name in ("adapter_momentum", "adapter_weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more, below 1.")
        for name in ("adapter_milestones", "head_milestones"):
            if not all(0 < share <= 1 for share in getattr(self, name)):
                raise InputError(
                    f"{name} is {list(getattr(self, name))}: give shares of the epochs, 0 to 1."
                )
        for name, choices in (("adapter_start", ADAPTER_STARTS), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} is '{value}': choose from {', '.join(choices)}.")
        if self.batch_size < 2:
            raise InputError(f"batch_size is {self.batch_size}: batch norm needs at least 2.")
        weights = (
            "classes_per_session train_per_class baseline_seeds study_seeds enlarge_to lwf_weight "
            "ewc_strength ucir_less_forget ucir_margin podnet_spatial podnet_flat podnet_margin "
            "der_plus_plus_alpha der_plus_plus_beta der_auxiliary"
        )
        for name in weights.split():
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be 0 or more.")
        for name in ("order_seeds", "train_seeds", "methods", "studies"):
            values = getattr(self, name)
            if (not values and name != "studies") or len(set(values)) != len(values):
                raise InputError(f"{name} is {list(values)}: give at least one, each once.")
        if min(self.order_seeds + self.train_seeds) < 0:
            raise InputError("Seeds must be 0 or above.")

    def with_changes(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some knobs changed.

        Raises:
            InputError: a knob that does not exist (the message suggests near names), a value of
                the wrong type or out of range.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}."
                raise InputError(f"Unknown setting '{name}': {hint}")
        clean = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()}
        return dataclasses.replace(self, **clean)

    @classmethod
    def from_names(cls, names: Mapping[str, Any]) -> Settings:
        """Settings from a notebook's variables: ``Settings.from_names(globals())``.

        Names that are no settings are left alone, so all of a notebook's variables can be passed.
        A variable ``more`` may hold further settings by name.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        settings = cls().with_changes({k: v for k, v in names.items() if k in known})
        return settings.with_changes(names.get("more", {}))

    def as_dict(self) -> dict[str, Any]:
        """All knobs as plain JSON values, tuples as lists."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _check_type(field: dataclasses.Field, value: Any) -> None:
    kinds = {"int": (int,), "float": (int, float), "str": (str,)}
    wanted = str(field.type)
    if wanted.startswith("tuple["):
        inner = wanted[len("tuple[") : -len(", ...]")]
        ok = isinstance(value, tuple) and all(
            isinstance(item, kinds[inner]) and not isinstance(item, bool) for item in value
        )
        wanted = f"list of {inner}"
    else:
        ok = isinstance(value, kinds[wanted]) and not isinstance(value, bool)
    if not ok:
        raise InputError(f"Setting '{field.name}' must be of type {wanted}, not {value!r}.")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise InputError(f"Setting '{field.name}' must be a finite number, not {number}.")


def profile_names() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Settings:
    """Settings of a profile: the defaults of :class:`Settings` with the profile's changes.

    Raises:
        InputError: no profile of that name.
    """
    return Settings().with_changes(_read_profile(name)[0])


def load_runs(name: str) -> dict[str, Settings]:
    """The runs of a profile: settings by the run's name, which adds to the profile's.

    Most profiles are one run, called as they are. One with tables ``[runs.<run>]`` has several,
    which change the profile's settings further; ``<profile>/<run>`` asks for one of them.

    Raises:
        InputError: no profile or run of that name.
    """
    profile, slash, wanted = name.partition("/")
    common, runs = _read_profile(profile)
    if slash and wanted not in runs:
        parts = ", ".join(f"{profile}/{run}" for run in runs) or "one run only"
        raise InputError(f"Unknown run '{name}': profile {profile} has {parts}.")
    found = {f"{profile}-{run}": common | own for run, own in runs.items() if wanted in (run, "")}
    found = found or {profile: common}
    return {run: Settings().with_changes(changes) for run, changes in found.items()}


def _read_profile(name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    if name not in profile_names():
        raise InputError(f"Unknown profile '{name}': choose one of {', '.join(profile_names())}.")
    changes = tomllib.loads((PROFILES / f"{name}.toml").read_text())
    return changes, changes.pop("runs", {})
