"""Experience replay: the simplest use of a memory."""

from dynammo.baselines.whole_network import WholeNetworkLearner


class Replay(WholeNetworkLearner):
    """Train on each session's images and the exemplars of old classes, by cross-entropy.

    Source: experience replay as in Chaudhry et al. 2019, *On Tiny Episodic Memories in Continual
    Learning* (arXiv 1902.10486), section 3, with herded exemplars, over several epochs.
    """

    name = "replay"


class ReplayBalancedHead(Replay):
    """Replay, then its head tuned once more on the balanced memory, as DynaMMo's is (step 4).

    A control: how much of what other methods are ahead of replay does that alone make up for?
    """

    name = "replay_balanced_head"

    def finish_session(self) -> None:
        """Tune the head, from session 2 on."""
        if self.session > 1:
            self.fit_balanced_head(self.classifier.head.loss)
