"""Ways of merging by name: what each is from, what it needs, and its defaults, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dynammo.beyond import ways_of_merging as ways
from dynammo.beyond.ways_of_merging import Sets
from dynammo.errors import InputError
from dynammo.merging import StateDict, uniform_mean


@dataclass(frozen=True)
class Strategy:
    """A way of merging: called with the sets, what else it ``needs``, and its options."""

    source: str
    how: Callable[..., StateDict]
    defaults: Mapping[str, float] = field(default_factory=dict)
    needs: str = ""  # "initial", the set that changes count from; or "importances", one for each

    def merge(
        self, sets: Sets, initial: StateDict | None, importances: Sets, /, **options: float
    ) -> StateDict:
        """The merged set; InputError for unknown options, or without what it needs."""
        if unknown := sorted(set(options) - set(self.defaults)):
            known = ", ".join(self.defaults) or "none"
            raise InputError(f"This way of merging has no {', '.join(unknown)}: it has {known}.")
        given = {"initial": initial, "importances": importances}
        if self.needs and not given[self.needs]:
            raise InputError(f"This way of merging needs {NEEDS[self.needs]}.")
        more = [given[self.needs]] if self.needs else []
        return self.how(sets, *more, **{**self.defaults, **options})


NEEDS = {
    "initial": "the initial set, which the others were tuned from (--base)",
    "importances": "the Fisher information of each set (--importances)",
}
STRATEGIES: dict[str, Strategy] = {
    "uniform mean": Strategy("DynaMMo, Qazi et al. 2024, arXiv 2404.14099", uniform_mean),
    "moving average": Strategy(
        "exponential moving average", ways.exponential_moving_average, {"decay": 0.5}
    ),
    "task arithmetic": Strategy(
        "Ilharco et al. 2023, arXiv 2212.04089", ways.task_arithmetic, {"scale": 0.3}, "initial"
    ),
    "MagMax": Strategy(
        "Marczak et al. 2024, arXiv 2407.06322", ways.magmax, {"scale": 1.0}, "initial"
    ),
    "TIES": Strategy(
        "Yadav et al. 2023, arXiv 2306.01708", ways.ties, {"density": 0.2, "scale": 1.0}, "initial"
    ),
    "DARE": Strategy(
        "Yu et al. 2024, arXiv 2311.03099", ways.dare, {"drop_rate": 0.5, "seed": 0}, "initial"
    ),
    "Fisher": Strategy(
        "Matena and Raffel 2022, arXiv 2111.09832",
        ways.fisher_weighted,
        {"floor": 1e-6},
        "importances",
    ),
    "last set alone": Strategy("the control without merging", lambda sets: dict(sets[-1])),
}
