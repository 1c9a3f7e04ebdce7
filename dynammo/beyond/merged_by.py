"""DynaMMo with other ways of merging, for comparisons over one tuned chain."""

from collections.abc import Sequence

from torch import Tensor, nn

from dynammo.baselines.fisher import fisher_of_session
from dynammo.beyond.batch_norm import measure_again, mixture_variance
from dynammo.beyond.strategies import STRATEGIES
from dynammo.beyond.ways_of_merging import Rule, merge_changes
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.merging import StateDict
from dynammo.methods import DynaMMo

FISHER_IMAGES = 100
STATISTICS = ("averaged", "mixture", "measured again")


class MergedBy(DynaMMo):
    """One pass through adapters merged by a strategy, with a choice for batch norm.

    It follows a chain from session to session like every learner of one, and keeps what its
    strategy needs in memory; it is for comparisons and is not saved.
    """

    def __init__(self, chain: Chain, strategy: str | Rule, statistics: str = "averaged") -> None:
        """``strategy`` is a name of STRATEGIES, or a function of changes [t, N] to [N]."""
        super().__init__(chain)
        if not (callable(strategy) or strategy in STRATEGIES) or statistics not in STATISTICS:
            raise InputError(
                f"Unknown way of merging '{strategy}', '{statistics}': choose from "
                f"{', '.join(STRATEGIES)}, or give a function; and from {', '.join(STATISTICS)}."
            )
        self.strategy, self.statistics = strategy, statistics
        self.importances: list[dict[str, Tensor]] = []
        self.merged: StateDict = {}

    def adapter_sets(self) -> Sequence[StateDict]:
        """The merged set."""
        return [self.merged]

    def fit(self) -> None:
        """Merge the chain's sets, then tune the heads as DynaMMo does."""
        chain, sets = self.chain, self.chain.adapter_states
        if self.strategy == "Fisher":
            self.importances.append(adapter_importance(chain))
        if chain.session == 1:  # nothing to merge
            self.merged = sets[0]
        else:
            initial = chain.adapters(None).state_dict()
            if callable(self.strategy):
                self.merged = merge_changes(sets, initial, self.strategy)
            else:
                way = STRATEGIES[self.strategy]
                self.merged = way.merge(sets, initial, self.importances)
            if self.statistics == "mixture":
                self.merged = mixture_variance(sets, self.merged)
            elif self.statistics == "measured again":
                network = chain.network(self.merged)
                measure_again(network, self.stream.train.select(chain.memory.all_positions()))
                self.merged = network.adapters.state_dict()
        super().fit()


def adapter_importance(chain: Chain) -> dict[str, Tensor]:
    """Diagonal of the Fisher information of the newest adapter set, on its own session's images.

    By its auxiliary head, on FISHER_IMAGES of them.
    """
    network = chain.network(chain.adapter_states[-1])
    network.adapters.requires_grad_(True)
    classifier = nn.Sequential(network, chain.auxiliary)
    fisher = fisher_of_session(chain, chain.session, classifier, 0, FISHER_IMAGES)
    return {name.removeprefix("0.adapters."): value for name, value in fisher.items()}
