"""Every knob of a run, with one default, its bounds and its source; an unknown knob is an error.

Knobs of one method stand with it, as its ``Knobs``; here they are called ``lwf_temperature``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dynammo import catalogue
from dynammo.errors import InputError

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0)]
Shares = tuple[Annotated[float, Field(gt=0, le=1)], ...]  # of the epochs


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
    """How a stream is learned. What a run is otherwise asked is added in :mod:`dynammo.run`."""

    backbone: str = "efficientnet_lite0"  # or "resnet18"
    weights: str = "imagenet"  # or "random"
    enlarge_to: CountOrNone = 0  # pixels a side for the network (released: 28 to 224), or 0
    colour_shift: float = Field(0.0, ge=0, le=1)  # white balance: dynammo.beyond.colours

    # Adapters: empty stages mean the backbone's own choice; width is hidden / map channels; alpha
    # is the initial weight of their branch (released: 0.02 for 200 epochs; for 8 epochs 2 was best
    # of 0.2, 0.5, 1, 2 and 4 on validation images of four streams).
    adapter_stages: tuple[str, ...] = ()
    adapter_width: Positive = 1.0
    adapter_alpha: float = 2.0
    adapter_padding: str = "same"
    # The set that a session's starts from: the previous one (released), the merged or a fresh one.
    adapter_start: Literal["previous", "merged", "fresh"] = "previous"

    # Step 1, adapter tuning. Released: 200 epochs, learning rate 0.01, momentum 0.9, weight decay
    # 5e-4, batches of 32, x 0.1 after epochs 70, 130, 170 (kept here as shares of the epochs).
    # Few epochs of EfficientNet-Lite0 need the larger learning rate, chosen on validation images;
    # ResNet-18's longer features need 0.01 (see Recipe.feature_scale).
    adapter_epochs: Count = 10
    adapter_learning_rate: Positive = 0.1
    adapter_momentum: float = Field(0.9, ge=0, lt=1)
    adapter_weight_decay: float = Field(5e-4, ge=0, lt=1)
    adapter_milestones: Shares = (0.35, 0.65, 0.85)
    batch_size: int = Field(32, ge=2)  # batch norm cannot be trained on one

    # Step 3, exemplars in total (released: 80 on PATH16, 40 on SKIN8, 2000 on CIFAR-100), or none.
    memory_budget: CountOrNone = 40

    # Step 4, head fine-tuning on equally many images of each class (released: Adam, 100 epochs,
    # x 0.1 after 55 and 80), or longer, until it was so many steps: 100 epochs of few images are
    # 100 steps, which train no head. As released: 0.
    head_epochs: Count = 100
    head_steps: CountOrNone = 1500
    # What a later session's task head starts from: its auxiliary head, or fresh weights (released).
    later_heads: Literal["auxiliary", "fresh"] = "auxiliary"
    head_learning_rate: Positive = 1e-3
    head_milestones: Shares = (0.55, 0.8)

    # Methods that train the whole network, by step 1's recipe: the rate was chosen on validation
    # images, for joint training.
    network_learning_rate: Positive = 0.1
    # Of training: "bfloat16" is mixed precision, for a GPU. Predictions are made in float32.
    precision: Literal["float32", "bfloat16"] = "float32"

    # Changed knobs of single methods: by method, then by knob. Set through `with_changes`.
    of_methods: dict[str, dict[str, Any]] = {}

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """A copy with some knobs changed; InputError for one that there is not, or wrong values."""
        values = dict(self) | changes
        type(self)(of_methods=values["of_methods"])  # refuses what is no table of tables
        of_methods = {method: dict(own) for method, own in values["of_methods"].items()}
        for name in values.keys() - type(self).model_fields.keys():
            method, own = catalogue.split_setting(name)
            known = [*type(self).model_fields, *(f"{method}_{k}" for k in knobs_of(method))]
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
        return type(self)(**values)

    def knobs(self, method: type) -> Any:
        """A method's own knobs, as set here; a class of one's own shares those of its base."""
        known = (k.name for k in method.__mro__ if getattr(k, "name", "") in catalogue.METHODS)
        set_here = self.of_methods.get(next(known, ""), {})
        return method.Knobs(**{k: v for k, v in set_here.items() if k in method.Knobs.model_fields})

    def knobs_by_name(self, method: type) -> dict[str, Any]:
        """A method's own knobs under their full names, as JSON has them: ``lwf_temperature``."""
        own = self.knobs(method).model_dump(mode="json")
        return {f"{method.name}_{name}": value for name, value in own.items()}


def knobs_of(method: str) -> list[str]:
    """Names of a method's own knobs; none for no method."""
    return list(catalogue.load(method).Knobs.model_fields) if method else []
