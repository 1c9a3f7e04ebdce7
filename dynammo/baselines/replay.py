"""Experience replay: the simplest use of a memory."""

from dynammo.baselines.whole_network import WholeNetworkLearner


class Replay(WholeNetworkLearner):
    """Train on each session's images and the exemplars of old classes, by cross-entropy.

    Both are drawn alike, as PyCIL's ``replay.py`` does, so a batch has few exemplars. Chaudhry et
    al. 2019 (arXiv 1902.10486) add a batch of exemplars to each batch of new images: that is
    :class:`~dynammo.baselines.der_plus_plus.DERPlusPlus` without its distillation.
    """

    name = "replay"


class ReplayBalancedHead(Replay):
    """Replay, then its head tuned on equally many images of each class, as DynaMMo's (step 4).

    A control: how much of what other methods are ahead of replay does that alone make up for?
    """

    name = "replay_balanced_head"

    def finish_session(self) -> None:
        """Tune the head, from session 2 on."""
        if self.session > 1:
            self.fit_balanced_head(self.classifier.head.loss, self.memory.balanced_positions())
