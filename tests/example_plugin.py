"""Methods of one's own in a file, as --plugin takes it."""

import numpy as np

from dynammo.baselines.replay import Replay
from dynammo.baselines.whole_network import WholeNetworkKnobs
from dynammo.merging import uniform_mean
from dynammo.methods import DynaMMo
from dynammo.settings import Count


class ReplayTwice(Replay):
    """Replay that shows each exemplar several times an epoch."""

    name = "replay_twice"
    title = "replay, twice"

    class Knobs(WholeNetworkKnobs):
        times: Count = 2  # --set replay_twice_times=3

    def training_positions(self):
        new = self.stream.indices("train", self.session)
        return np.concatenate([new, *[self.memory.all_positions()] * self.knobs.times])


class Newest2(DynaMMo):
    """The newest set from session 2 on: one pass, no mean."""

    name = "newest_2"

    def adapter_sets(self):
        return [self.chain.adapter_states[-1]]


class FirstAndLast(DynaMMo):
    """Merged in a way of one's own: the mean of the oldest set and the newest."""

    name = "first_and_last"

    def adapter_sets(self):
        sets = self.chain.adapter_states
        return [uniform_mean([sets[0], sets[-1]])]
