"""DER++: dark experience replay, a memory of answers as well as labels."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dynammo.baselines.whole_network import WholeNetworkKnobs, WholeNetworkLearner
from dynammo.learner import Setup
from dynammo.settings import Weight
from dynammo.training import flip_half, generator_for


def logit_distance(logits: Tensor, stored: Tensor) -> Tensor:
    """Mean squared difference of logits [N, K] from stored ones [N, K'].

    An image was stored when fewer classes were known; the others, NaN in ``stored``, do not count.
    """
    known = ~stored.isnan()
    return (logits[:, : stored.shape[1]] - stored)[known].square().mean()


class DERPlusPlus(WholeNetworkLearner):
    """Match the logits that exemplars had when they were stored, and their labels too.

    Source: Buzzega et al. 2020 (arXiv 2004.07211), equation 6. Each step takes a batch of new
    images and two of the memory, one for either term, as the released code does; steps are as many
    as replay takes. Unlike the paper's reservoir for a single pass over the stream, the memory is
    the herded one that all methods have here, and logits are stored when a session ends. The
    squared distance is averaged over logits. All three batches pass at once, so that batch norm
    sees old and new images together; the release passes them one after the other.
    """

    name = "der_plus_plus"

    class Knobs(WholeNetworkKnobs):
        """Equation 6, from the paper's table for its small memories."""

        alpha: Weight = 0.2
        beta: Weight = 0.5

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.logits: dict[int, Tensor] = {}  # of each exemplar, by position, in their order

    def training_positions(self) -> np.ndarray:
        """The session's own images, some twice, so that an epoch has as many steps as replay's.

        Exemplars are drawn anew for every batch.
        """
        self.draws = generator_for("memory", *self.seeds, self.session)
        new = self.stream.indices("train", self.session)
        again = torch.randint(len(new), (len(self.memory.all_positions()),), generator=self.draws)
        return np.concatenate([new, new[again.numpy()]])

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Equation 6: cross-entropy, alpha x logit distance, beta x cross-entropy on the memory."""
        memory = self.memory.all_positions()
        if not len(memory):
            return F.cross_entropy(self.classifier(images), labels)
        size = self.settings.batch_size
        drawn = memory[torch.randint(len(memory), (2 * size,), generator=self.draws).numpy()]
        replayed = self.backbone.normalise(self.stream.train.images[drawn])
        logits = self.classifier(torch.cat([images, flip_half(replayed, self.draws)]))
        new, first, second = logits.split([len(images), size, size])
        stored = torch.stack([self.logits[i] for i in drawn[:size].tolist()])
        known = torch.as_tensor(self.stream.train.labels[drawn[size:]], device=self.device)
        return (
            F.cross_entropy(new, labels)
            + self.knobs.alpha * logit_distance(first, stored)
            + self.knobs.beta * F.cross_entropy(second, known)
        )

    def finish_session(self) -> None:
        """Store the logits of the session's exemplars; forget those of dropped images."""
        classes = self.stream.classes(self.session)
        new = np.concatenate([self.memory.positions[label] for label in classes])
        logits, _ = self.judge(self.stream.train.select(new))
        found = self.logits | dict(zip(new.tolist(), logits, strict=True))
        kept = {i: found[i] for i in self.memory.all_positions().tolist()}
        size, unknown = logits.shape[1], float("nan")
        self.logits = {i: F.pad(x, (0, size - len(x)), value=unknown) for i, x in kept.items()}

    def stored_numbers(self) -> int:
        """The network, and the logits in the memory."""
        known = sum(int((~row.isnan()).sum()) for row in self.logits.values())
        return super().stored_numbers() + known

    def extra_state(self) -> dict[str, Tensor]:
        """The logits [M, K], in the order of the memory's positions."""
        return {"logits": torch.stack(list(self.logits.values()))}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up the logits; the memory is restored already."""
        positions = self.memory.all_positions().tolist()
        self.logits = dict(zip(positions, tensors["logits"], strict=True))
