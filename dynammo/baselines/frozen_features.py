"""The control without adapters: what do the same data, recipes and heads reach without any?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from dynammo.chain import Chain
from dynammo.heads import session_targets
from dynammo.learner import count_parameters
from dynammo.merging import StateDict
from dynammo.methods import AdapterLearner
from dynammo.settings import Knobs, Weight
from dynammo.training import descend, flipped_batch_loss, generator_for, step_1_optimizer


class FrozenFeatures(AdapterLearner):
    """DynaMMo's heads on the bare backbone.

    Its exemplars are those of the chain, so that the comparison is paired: they were herded on the
    features of tuned adapters, which this control has not.
    """

    name = "frozen_features"

    class Knobs(Knobs):
        """The rates at which heads are trained, as adapters are in step 1, and in step 4."""

        learning_rate: Weight = 0.0  # 0: `adapter_learning_rate`
        head_learning_rate: Weight = 0.0  # 0: that of all heads

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        if rate := self.knobs.head_learning_rate:
            self.settings = self.settings.with_changes({"head_learning_rate": rate})

    def adapter_sets(self) -> Sequence[StateDict | None]:
        """The bare backbone."""
        return [None]

    def stored_adapter_sets(self) -> int:
        """None are needed."""
        return 0

    def trained_numbers(self) -> int:
        """The heads alone."""
        return count_parameters(self.head)

    def auxiliary_head(self) -> nn.Linear:
        """A head trained as in step 1, on the same images and schedule, on frozen features."""
        session, settings = self.session, self.settings
        classes = self.stream.classes(session)
        head = self.chain.fresh_auxiliary_head(session)
        positions = self.chain.tuned_on
        labels = torch.as_tensor(self.stream.train.labels[positions])
        targets = session_targets(labels, classes[0], len(classes)).numpy()
        features = self.chain.both_sides(None, positions)
        generator = generator_for("auxiliary head", *self.seeds, session)
        batch_loss = flipped_batch_loss(
            lambda x, y: F.cross_entropy(head(x), y), features, targets, generator
        )
        rate = self.knobs.learning_rate or None
        optimizer = step_1_optimizer(list(head.parameters()), settings, rate)
        schedule = settings.adapter_epochs, settings.adapter_milestones, settings.batch_size
        descend(batch_loss, len(positions), optimizer, *schedule, generator)
        return head.requires_grad_(False)
