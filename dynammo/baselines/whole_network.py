"""The protocol of the methods that train the whole network, which differ in loss and memory.

All weights and a growing head are trained by SGD on each session's images and, where a method keeps
them, the exemplars. Epochs, batches, schedule, flips and all else are those of DynaMMo's step 1.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo import training
from dynammo.backbones import Backbone
from dynammo.heads import UnifiedHead
from dynammo.learner import Learner, Setup, count_parameters
from dynammo.memory import ExemplarMemory
from dynammo.settings import CountOrNone, Knobs, Weight
from dynammo.stream import Images


class Extractor(nn.Module):
    """A copy of the backbone whose weights may change; maps images to features [N, D].

    Batch norm follows each batch and moves its statistics, as in the baselines' papers. Its
    momentum is torch's 0.1: EfficientNet's 0.01 is too slow for a hundred steps a session.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.network = backbone.trainable_network()
        self.scale = backbone.feature_scale
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to features [N, D]."""
        return self.network(x) * self.scale


class Classifier(nn.Module):
    """Features and the head that reads them."""

    def __init__(self, extractor: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to scores [N, K] of the classes seen."""
        return self.head(self.extractor(x))


class WholeNetworkKnobs(Knobs):
    """What every method that trains the whole network may have of its own."""

    learning_rate: Weight = 0.0  # 0: `network_learning_rate`, as all of them
    epochs: CountOrNone = 0  # of a session; 0: `adapter_epochs`


class WholeNetworkLearner(Learner):
    """Trains everything by cross-entropy over all classes seen; subclasses change the loss."""

    Knobs = WholeNetworkKnobs
    has_teacher = False  # its loss asks the network as it was before the session

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.classifier = Classifier(Extractor(self.backbone), self.make_head()).eval()
        # The network as the session before left it: frozen, so no gradient flows through it.
        self.teacher: Classifier | None = None
        self.memory = ExemplarMemory(self.settings.memory_budget)

    # What a method may change.

    def make_head(self) -> nn.Module:
        """A head for no classes yet."""
        return UnifiedHead(self.backbone.feature_size)

    def grow_head(self) -> None:
        """Give the head outputs for the newest session's classes, with fresh weights."""
        size = self.backbone.feature_size
        new = training.linear_head(size, self.new_classes, self.seed, self.device)
        self.classifier.head.add_classes(new.weight, new.bias)

    def batch_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of normalised images [B, 3, H, W] and labels [B]."""
        return F.cross_entropy(self.classifier(images), labels)

    def finish_session(self) -> None:
        """What is done after training, when the exemplars are chosen; nothing here."""

    def training_positions(self) -> np.ndarray:
        """Positions in the training split that the newest session trains on."""
        new = self.stream.indices("train", self.session)
        return np.concatenate([new, self.memory.all_positions()])

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors to save besides the network's; none here."""
        return {}

    def load_extra_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what :meth:`extra_state` gave."""

    # What is the same for all of them.

    def trained(self) -> list[nn.Parameter]:
        """What training changes: everything that is not frozen."""
        return [p for p in self.classifier.parameters() if p.requires_grad]

    @property
    def learning_rate(self) -> float:
        """The method's own, if it has one, or that of all."""
        own = getattr(self.knobs, "learning_rate", 0)
        return own or self.settings.network_learning_rate

    @property
    def epochs(self) -> int:
        """Of a session: the method's own number, if it has one, or that of all."""
        return getattr(self.knobs, "epochs", 0) or self.settings.adapter_epochs

    @property
    def old_classes(self) -> int:
        """How many classes earlier sessions brought."""
        return self.stream.classes(self.session)[0]

    @property
    def new_classes(self) -> int:
        """How many classes the newest session brought."""
        return len(self.stream.classes(self.session))

    @property
    def seed(self) -> int:
        """Of the newest session's fresh weights."""
        return training.seed_for("whole network", *self.seeds, self.session)

    def learn_session(self, *, progress: bool = True) -> list[float]:
        """Train on the next session, then choose its exemplars."""
        if self.session and self.has_teacher:
            self.teacher = copy.deepcopy(self.classifier).requires_grad_(False)
        self.session += 1
        self.grow_head()
        losses = self.fit(self.training_positions(), progress=progress)
        if self.remembers:
            features = self.session_features()
            self.memory = self.memory.after_session(self.stream, self.session, features)
        self.finish_session()
        self.teacher = None
        return losses

    def fit(self, positions: np.ndarray, *, progress: bool) -> list[float]:
        """Train on the images at some positions of the training split."""
        labels = torch.as_tensor(self.stream.train.labels[positions], device=self.device)
        self.classifier.train()
        losses = training.step_1(
            lambda x, batch: self.batch_loss(x, labels[batch.to(self.device)]),
            self.stream.train.select(positions),
            self.backbone,
            self.trained(),
            self.settings.with_changes({"adapter_epochs": self.epochs}),
            training.generator_for("whole network", *self.seeds, self.session),
            f"{self.name}, session {self.session}" if progress else "",
            self.learning_rate,
        )
        self.classifier.eval()
        return losses

    def features(self, images: Images) -> Tensor:
        """Features [N, D] of uint8 images [N, H, W, 3]."""
        return training.extract_features(self.classifier.extractor, self.backbone, images)

    def session_features(self) -> Tensor:
        """Features [N, D] of the newest session's images, by the network as it is."""
        positions = self.stream.indices("train", self.session)
        return self.features(self.stream.train.select(positions))

    def fit_balanced_head(
        self, loss: Callable[[Tensor, Tensor], Tensor], positions: np.ndarray
    ) -> None:
        """Step 4 on some images, the head alone: ``loss`` of features [B, 1, D] and labels [B]."""
        images = self.stream.train.select(positions)
        training.fit_head(
            [p for p in self.classifier.head.parameters() if p.requires_grad],
            loss,
            both_flips([self.classifier.extractor], self.backbone, images),
            self.stream.train.labels[positions],
            self.settings,
            training.generator_for("head", *self.seeds, self.session),
        )

    def network(self) -> nn.Module:
        """Extractor and head: one pass."""
        return self.classifier

    def trained_numbers(self) -> int:
        """All that training changes."""
        return sum(p.numel() for p in self.trained())

    def stored_numbers(self) -> int:
        """The network; the teacher of the next session is that same network."""
        return count_parameters(self.classifier)

    def outline(self, sessions: int) -> None:
        """Grow the head once a session, and train nothing."""
        self.classifier.head = self.make_head()
        for self.session in range(1, sessions + 1):
            self.grow_head()

    def state(self) -> dict[str, Tensor]:
        """The network, and what else the method keeps."""
        extra = {f"extra.{k}": v for k, v in self.extra_state().items()}
        return self.classifier.state_dict(prefix="network.") | extra

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave; the memory is there already."""
        parts = {"network": {}, "extra": {}}
        for name, tensor in state.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        self.classifier.load_state_dict(parts["network"])
        self.load_extra_state(parts["extra"])


def both_flips(networks: Sequence[nn.Module], backbone: Backbone, images: Images) -> Tensor:
    """Features [2, N, P, D] of images and of their mirror images, under each of P networks."""
    find = partial(training.extract_features, backbone=backbone, images=images)
    sides = [[find(network, flip=flip) for network in networks] for flip in (False, True)]
    return torch.stack([torch.stack(side, dim=1) for side in sides])
