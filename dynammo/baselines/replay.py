"""Experience replay: the simplest use of a memory."""

from dynammo.baselines.whole_network import WholeNetworkLearner


class Replay(WholeNetworkLearner):
    """Train on each session's images and the exemplars of old classes, by cross-entropy.

    Source: experience replay as in Chaudhry et al. 2019, *On Tiny Episodic Memories in Continual
    Learning* (arXiv 1902.10486), section 3, with herded exemplars, over several epochs.
    """

    name = "replay"
