"""Fine-tuning: the lower bound."""

from dynammo.baselines.whole_network import WholeNetworkLearner


class FineTuning(WholeNetworkLearner):
    """Train on each session's images alone, by cross-entropy over all classes seen.

    Nothing protects old classes, so this is what forgetting looks like (McCloskey and Cohen 1989).
    """

    name = "fine_tuning"
    remembers = False
