"""Beyond the paper: DynaMMo's merged adapters under a ridge head that remembers every image."""

import numpy as np
import torch
from torch import Tensor

from dynammo.beyond.solved_head import SolvedHead, SolvesItsHead
from dynammo.errors import InputError
from dynammo.merging import StateDict, entry_by_entry, running_mean
from dynammo.methods import DynaMMo
from dynammo.settings import Positive


class DynaMMoRidge(SolvesItsHead, DynaMMo):
    """One pass through the merged adapters, and a head solved from statistics of **all** images.

    Ours, not the paper's. DynaMMo tunes its heads on the memory, a few images a class; RanPAC
    (arXiv 2307.02251) solves its head from sums over all images ever seen, which is only possible
    because its features never move. Merged features do, by less and less: W_t differs from W_{t-1}
    by a t-th of (theta_t - W_{t-1}). So the statistics of old classes are moved along, by a linear
    map fitted to the session's and the memory's images, whose features are known under both sets.
    (Drift correction by a map between feature spaces: Yu et al. 2020, arXiv 2004.00440, for class
    means; Gomez-Villa et al. 2024, arXiv 2407.08536.)

    The head reads the means of later stages' maps besides the features. Storage grows by one mean
    a class.
    """

    name = "dynammo_ridge"
    head_kind = SolvedHead
    follows_drift = True
    needs_exemplars = False  # they help the map, but the session's own images give one

    class Knobs(SolvesItsHead.Knobs):
        """How old statistics are moved along (ClassStatistics.move), and how classes weigh."""

        stiffness: Positive = 0.1  # 1 did equally well on validation images

    def fit(self) -> None:
        """Move the statistics to the newly merged features, add the session's, solve the head."""
        stream, session, running = self.stream, self.chain.session, self.adapter_sets()[0]
        positions = stream.indices("train", session)
        features = self.both_sides(running, positions)
        if session > 1 and self.follows_drift:
            known = self.chain.tuned_on  # with the exemplars that old classes had until now
            was = self.both_sides(self.set_before(), known)
            now = torch.cat([features, self.both_sides(running, known[len(positions) :])], dim=1)
            self.statistics.move(was.flatten(0, 1), now.flatten(0, 1), self.knobs.stiffness)
        self.solve(features, torch.as_tensor(stream.train.labels[positions], device=self.device))

    def set_before(self) -> StateDict:
        """The set that ran before the newest session, from what is stored."""
        chain = self.chain
        if chain.steps.mean is running_mean:
            return without_newest(chain.merged_state, chain.adapter_states[-1], chain.session)
        mean, *others = chain.adapter_states[:-1]  # a mean of one's own has no known way back
        for count, state in enumerate(others, start=2):
            mean = chain.steps.mean(mean, state, count)
        return mean

    def both_sides(self, state: StateDict | None, positions: np.ndarray) -> Tensor:
        """What the head reads [2, N, D] of training images and of their mirror images."""
        return self.chain.both_sides(state, positions, self.reader)

    def trained_numbers(self) -> int:
        """One adapter set in step 1; the head is solved."""
        return self.one_set()

    def stored_numbers(self) -> int:
        """Backbone, head and sets, and the statistics: means, counts and scatter."""
        return super().stored_numbers() + sum(x.numel() for x in self.statistics.buffers())


def without_newest(mean: StateDict, newest: StateDict, count: int) -> dict[str, Tensor]:
    """Mean of the first ``count - 1`` sets, from that of ``count`` and the newest of them.

    The way back from :func:`dynammo.merging.running_mean`, up to rounding; so the old mean need
    not be stored. InputError for a count under 2, or sets of different layout.
    """
    if count < 2:
        raise InputError(f"A mean of {count} set(s) has no earlier one.")
    return entry_by_entry([newest, mean], lambda new, now: now + (now - new) / (count - 1))
