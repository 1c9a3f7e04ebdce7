"""Every knob of a run, with one default, its bounds and its source; an unknown knob is an error.

Knobs that belong to one method stand with that method, as its ``Knobs``; here they are called by
the method's name and theirs, such as ``lwf_temperature``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dynammo import catalogue
from dynammo.errors import InputError

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0)]
Shares = tuple[Annotated[float, Field(gt=0, le=1)], ...]  # of the epochs


def _each_once(values: tuple) -> tuple:
    if len(set(values)) != len(values):
        raise ValueError("give each once")
    return values


Seeds = Annotated[tuple[CountOrNone, ...], Field(min_length=1), AfterValidator(_each_once)]
Names = Annotated[tuple[str, ...], AfterValidator(_each_once)]


class Knobs(BaseModel):
    """Values with types and bounds, checked when they are made and fixed from then on."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        """Raise InputError where a value has another type or is out of bounds."""
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name, wanted = first["loc"][0], first["msg"].removeprefix("Value error, ")
            wanted = wanted.replace("Input should be", "it must be")
            given = values.get(name)
            shown = list(given) if isinstance(given, tuple) else repr(given)
            raise InputError(f"{name} is {shown}: {wanted}.") from error


class Settings(Knobs):
    """One run's configuration. Profiles are TOML files that change some of these values."""

    # What is learned: see dynammo.data.sources for what a stream may be called.
    stream: str = "phantom"
    # Classes a session brings; 0 means two, or one whole data set when several are joined by "+".
    classes_per_session: CountOrNone = 0
    # Shortened runs: use only the first images of each training class; 0 uses all.
    train_per_class: CountOrNone = 0
    # Seeds of the class order and of everything random in training; every pair is run.
    order_seeds: Seeds = (0,)
    train_seeds: Seeds = (1, 2, 3)
    # Methods that are not fed by adapters take a run each, most of them several times longer: run
    # them with only so many training seeds per class order, from the first, for the second order
    # from the second, and so on; 0 means all.
    baseline_seeds: CountOrNone = 0
    # Images per class of the drawn data set, and the seed it is drawn from.
    phantom_train: Count = 100
    phantom_val: Count = 25
    phantom_test: Count = 50
    phantom_seed: int = 0

    # The frozen network: "efficientnet_lite0" or "resnet18", weights "imagenet" or "random".
    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    # Pixels a side that images are enlarged to on their way into the network (released: MedMNIST's
    # 28 and CIFAR-100's 32 to 224); 0 takes them as they are.
    enlarge_to: CountOrNone = 0

    # Adapters: empty stages mean the backbone's own choice; width is hidden / map channels; alpha
    # is the initial weight of their branch (released: 0.02 for 200 epochs; for 8 epochs 2 was best
    # of 0.2, 0.5, 1, 2 and 4 on validation images of four streams).
    adapter_stages: tuple[str, ...] = ()
    adapter_width: Positive = 1.0
    adapter_alpha: float = 2.0
    adapter_padding: str = "same"
    # What a session's set starts from: the "previous" session's (released), the "merged" set, or a
    # "fresh" one.
    adapter_start: Literal["previous", "merged", "fresh"] = "previous"

    # Step 1, adapter tuning. Released: 200 epochs, learning rate 0.01, momentum 0.9, weight decay
    # 5e-4, batches of 32, x 0.1 after epochs 70, 130, 170 (kept here as shares of the epochs).
    # Eight epochs of EfficientNet-Lite0 need the larger learning rate, chosen on validation images;
    # ResNet-18's longer features need 0.01 (see Recipe.feature_scale).
    adapter_epochs: Count = 8
    adapter_learning_rate: Positive = 0.1
    adapter_momentum: float = Field(0.9, ge=0, lt=1)
    adapter_weight_decay: float = Field(5e-4, ge=0, lt=1)
    adapter_milestones: Shares = (0.35, 0.65, 0.85)
    batch_size: int = Field(32, ge=2)  # batch norm cannot be trained on one

    # Step 3, exemplars in total (released: 80 on PATH16, 40 on SKIN8, 2000 on CIFAR-100).
    memory_budget: Count = 80

    # Step 4, head fine-tuning on the balanced memory (released: Adam, 100 epochs, x 0.1 after 55
    # and 80).
    head_epochs: Count = 100
    head_learning_rate: Positive = 1e-3
    head_milestones: Shares = (0.55, 0.8)

    # Methods that train the whole network, at step 1's epochs, batches, momentum, weight decay and
    # schedule; the learning rate was chosen on validation images, for joint training.
    network_learning_rate: Positive = 0.1

    # Learners to run, by name (dynammo/catalogue.toml).
    methods: Annotated[Names, Field(min_length=1)] = (
        "frozen_features",
        "dynammo",
        "dynammo_unified_head",
        "last_adapter",
        "acl",
    )
    # Notebooks that look closer at the run, and ablations (dynammo.run.ablations), by name; and
    # with how many of its training seeds those are run that tune chains of their own; 0 means all.
    ablations: Names = ()
    ablation_seeds: CountOrNone = 1

    # Threads a job computes with. Part of the settings because the number of threads changes the
    # order of floating-point sums, hence the last digits of every result.
    threads: Count = 1
    # "auto" takes a GPU if there is one.
    device: str = "auto"
    # Of adapters' and networks' training: "bfloat16" is mixed precision, for a GPU (weights, their
    # updates and the loss stay in float32). Predictions are always made in float32.
    precision: Literal["float32", "bfloat16"] = "float32"

    # Changed knobs of single methods: by method, then by knob. Set through `with_changes`.
    of_methods: dict[str, dict[str, Any]] = {}

    def with_changes(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some knobs changed.

        Raises:
            InputError: a knob that does not exist (the message suggests near names), a value of
                the wrong type or out of range.
        """
        values = dict(self) | changes
        of_methods = {method: dict(own) for method, own in self.of_methods.items()}
        for name in values.keys() - Settings.model_fields.keys():
            method, own = catalogue.split_setting(name)
            known = [*Settings.model_fields, *(f"{method}_{k}" for k in knobs_of(method))]
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}."
                raise InputError(f"Unknown setting '{name}': {hint}")
            of_methods.setdefault(method, {})[own] = values.pop(name)
        for method, own in of_methods.items():
            try:
                made = catalogue.load(method).Knobs(**own)
            except InputError as error:  # which begins with the knob's name
                raise InputError(f"{method}_{error}") from error
            of_methods[method] = made.model_dump(exclude_defaults=True)
        values["of_methods"] = {method: own for method, own in of_methods.items() if own}
        return Settings(**values)

    def knobs(self, method: type) -> Any:
        """A method's own knobs: its ``Knobs`` with the values of these settings."""
        return method.Knobs(**self.of_methods.get(method.name, {}))

    def as_dict(self) -> dict[str, Any]:
        """All knobs, those of the methods included, as plain JSON values, tuples as lists."""
        values = self.model_dump(exclude={"of_methods"})
        for method in dict.fromkeys((*self.methods, *self.of_methods)):
            values |= self.knobs_by_name(catalogue.load(method))
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def knobs_by_name(self, method: type) -> dict[str, Any]:
        """A method's own knobs under their full names, such as ``lwf_temperature``."""
        own = self.knobs(method).model_dump()
        return {f"{method.name}_{name}": value for name, value in own.items()}


def knobs_of(method: str) -> list[str]:
    """Names of a method's own knobs; none for no method."""
    return list(catalogue.load(method).Knobs.model_fields) if method else []
