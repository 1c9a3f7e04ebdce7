"""EWC: elastic weight consolidation, a penalty on moving the weights that mattered."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.baselines.whole_network import WholeNetworkLearner
from dynammo.setup import Study
from dynammo.training import generator_for


def fisher_diagonal(
    classifier: nn.Module, images: Tensor, first: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information of a classifier's outputs from ``first`` on.

    The mean over images of the squared gradient of log p(y | x), with y drawn from the model's own
    prediction, one image at a time: squaring the mean gradient of a batch would be another, much
    smaller number (Martens, arXiv 1412.1193, on the "empirical" Fisher).

    Args:
        images: normalised [N, 3, H, W].

    Returns:
        A tensor for each parameter that requires a gradient, shaped like it.
    """
    named = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
    fisher = {name: torch.zeros_like(p) for name, p in named.items()}
    for image in images.split(1):
        scores = F.log_softmax(classifier(image)[:, first:], dim=1)
        drawn = torch.multinomial(scores.detach().exp().cpu(), 1, generator=generator)
        gradients = torch.autograd.grad(scores[0, drawn.item()], list(named.values()))
        for total, gradient in zip(fisher.values(), gradients, strict=True):
            total += gradient.square() / len(images)
    return fisher


class EWC(WholeNetworkLearner):
    """Pull each weight back to where it was, the harder the more old predictions depend on it.

    Source: Kirkpatrick et al. 2017 (arXiv 1612.00796), equation 3: cross-entropy over the new
    classes' outputs plus ``ewc_strength`` / 2 times the Fisher-weighted squared distance. The
    Fisher terms of all sessions are added up around the newest weights (Huszar, arXiv 1712.03847),
    so that what is stored does not grow with the sessions. No weight is pulled harder than what
    brings it right back in one step: under SGD, more than that overshoots and diverges.
    """

    name = "ewc"
    title = "EWC"
    family = "regularization"
    remembers = False

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def penalty(self) -> Tensor:
        """The second term of equation 3: strength / 2 x Fisher x squared distance, summed.

        The head has grown since: its old rows are held, its new ones are free.
        """
        hardest = 1 / self.settings.network_learning_rate
        total = torch.zeros((), device=self.device)
        for name, p in self.classifier.named_parameters():
            if name in self.anchor:
                pull = (self.settings.ewc_strength * self.fisher[name]).clamp(max=hardest)
                moved = p[: len(self.anchor[name])] - self.anchor[name]
                total = total + (pull * moved.square()).sum() / 2
        return total

    def batch_loss(self, images: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """Equation 3."""
        old = self.old_classes
        loss = F.cross_entropy(self.classifier(images)[:, old:], labels - old)
        return loss + self.penalty()

    def finish_session(self) -> None:
        """Add the session's Fisher information, from some of its images, and move the anchor."""
        generator = generator_for("fisher", *self.seeds, self.session)
        positions = self.stream.indices("train", self.session)
        drawn = torch.randperm(len(positions), generator=generator)
        chosen = positions[drawn[: self.settings.ewc_fisher_images].numpy()]
        images = self.backbone.normalise(self.stream.train.images[chosen])
        fisher = fisher_diagonal(self.classifier, images, self.old_classes, generator)
        for name, old in self.fisher.items():
            fisher[name][: len(old)] += old
        self.fisher = fisher
        self.anchor = {k: p.detach().clone() for k, p in self.classifier.named_parameters()}

    def stored_numbers(self) -> int:
        """The network, its Fisher information and the anchor, which is the network itself."""
        return super().stored_numbers() + self.trained_numbers()

    def extra_state(self) -> dict[str, Tensor]:
        """The Fisher information; the anchor is the network as saved."""
        return self.fisher

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up the Fisher information, anchored at the network just loaded."""
        # In the memory layout of the weights, as computed: it decides the order of sums.
        named = dict(self.classifier.named_parameters())
        self.fisher = {k: torch.empty_like(named[k].detach()).copy_(v) for k, v in tensors.items()}
        self.anchor = {k: p.detach().clone() for k, p in self.classifier.named_parameters()}
