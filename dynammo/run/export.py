"""A learner as one network for use elsewhere: images in, probabilities out, one folder.

What was needed for learning is gone: batch norm of the adapters is folded into their convolutions,
as that of the backbone was before, and pixels are brought to the network's range inside.
"""

from __future__ import annotations

import copy
import io
import json
import math
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.export import ExportedProgram

from dynammo.adapters import AdapterSet
from dynammo.catalogue import title
from dynammo.data.files import write_json, write_whole
from dynammo.errors import InputError
from dynammo.learner import Learner
from dynammo.networks.folding import fold_batch_norm
from dynammo.networks.own import failures_told
from dynammo.run.provenance import data_note
from dynammo.training import EVALUATION_BATCH

PROGRAM, CARD = "network.pt2", "card.json"


class DeployedNetwork(nn.Module):
    """Maps uint8 images [N, H, W, 3] to probabilities [N, K], and to how unlike all K they are.

    The largest is the learner's answer after its newest session. Any learner's network will do.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        # Copied together: where a pass is one through the backbone, they go on sharing it.
        self.inference, self.backbone = copy.deepcopy((learner.network(), learner.backbone))
        parts = list(self.inference.modules())
        for adapters in (part for part in parts if isinstance(part, AdapterSet)):
            folded = (fold_batch_norm(one) or one for one in adapters.adapters)
            adapters.adapters = nn.ModuleList(folded)
        if self.backbone not in parts:  # a network of the method's own: only pixels pass this one
            self.backbone.network = nn.Identity()
        self.knows_others = learner.knows_others
        self.temperature = 1.0
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 images [N, H, W, 3] to probabilities [N, K], and "none of these" [N].

        Of task heads, those of the session believed, whose "others" is what is left to 1. Of one
        head over all classes, which knows no "others", 1 less the largest softmax of its scores.
        """
        return self.answers(self.scores(images))

    def scores(self, images: Tensor) -> Tensor:
        """Map uint8 images [N, H, W, 3] to the head's scores [N, K]."""
        return self.inference(self.backbone.normalise(images))

    def answers(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Map the head's scores [N, K] to what :meth:`forward` returns."""
        if self.knows_others:
            probabilities = scores.exp()
            return probabilities, 1 - probabilities.sum(dim=1)
        probabilities = (scores / self.temperature).softmax(dim=1)
        return probabilities, 1 - scores.softmax(dim=1).amax(dim=1)


def temperature(scores: Tensor, labels: Tensor) -> float:
    """What to divide scores [N, K] by, so that their softmax is as sure as it is right.

    Labels [N] are then as likely as can be (Guo et al., *On calibration of modern neural networks*,
    ICML 2017). A solved head's scores are near 0 and 1: undivided, their softmax is never sure.
    """

    def surprise(exponent: float) -> float:
        return F.cross_entropy(scores.double() / math.exp(exponent), labels).item()

    return math.exp(minimize_scalar(surprise, bounds=(-7, 7), method="bounded").x)


def export(learner: Learner, folder: Path, false_positives: float = float("nan")) -> Path:
    """Write a learner as a folder to give away: a program, and a card that says how to use it.

    Args:
        false_positives: share of images of classes never seen that pass for one seen where 95 % of
            those seen pass. It can only be measured while classes are still to come, so it is of
            the networks after earlier sessions.

    Returns:
        The folder.
    """
    network = DeployedNetwork(learner).cpu()  # where it was learned need not be where it is used
    stream = learner.stream
    positions = stream.indices("val", range(1, learner.session + 1))
    known, starts = stream.val.select(positions), range(0, len(positions), EVALUATION_BATCH)
    batches = (torch.as_tensor(known[i : i + EVALUATION_BATCH]) for i in starts)
    scores = torch.cat([network.scores(images) for images in batches])
    if not network.knows_others:
        network.temperature = temperature(scores, torch.as_tensor(stream.val.labels[positions]))
    _, unlike = network.answers(scores)
    export_program(network, stream.image_size, folder / PROGRAM)
    write_json(folder / CARD, card_of(learner, unlike, false_positives))
    return folder


def read_card(folder: Path) -> dict:
    """The card of an exported learner; InputError where it or its program is missing or broken."""
    if not (folder / CARD).is_file():
        raise InputError(f"There is no {CARD} in {folder}: name a folder that a run exported.")
    try:
        card = json.loads((folder / CARD).read_text())
        program, *_ = (card[k] for k in ("program", "classes", "image_size", "none_of_these_above"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / CARD} is not whole: export again, with notebook 18."
        ) from error
    if not (folder / program).is_file():
        raise InputError(f"There is no {program} in {folder}: copy the whole folder.")
    return card


def read_program(path: Path) -> ExportedProgram:
    """The program that a card names; InputError where it is not whole."""
    try:
        return torch.export.load(path)
    except Exception as error:  # of a broken archive torch raises one of many
        raise InputError(f"{path} is not whole: copy it again, or export again.") from error


def export_program(network: DeployedNetwork, size: int, path: Path) -> Path:
    """Write the program alone: it runs without this project, for any number of images of a size.

    ``torch.export.load(path).module()(images)`` runs it. Returns the path.
    """
    device = network.backbone.mean.device
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8, device=device)
    # Not strict: adapters are hooked in for the length of a pass, which only running it can see.
    with failures_told("torch.export of this network"):
        program = torch.export.export(
            network,
            (example,),
            dynamic_shapes=({0: torch.export.Dim("images", min=1)},),
            strict=False,
        )
    with warnings.catch_warnings():
        # Said of weights laid out channels last, which are whole and are written whole.
        warnings.filterwarnings("ignore", "No complete tensor found")
        content = io.BytesIO()
        torch.export.save(program, content)
    return write_whole(path, lambda part: part.write_bytes(content.getvalue()))


def card_of(learner: Learner, unlike: Tensor, false_positives: float) -> dict:
    """What the user of an exported network has to know.

    Args:
        unlike: how unlike all classes validation images [N] of these are.
    """
    stream, session = learner.stream, learner.session
    share = None if math.isnan(false_positives) else round(false_positives, 4)
    return {
        "program": PROGRAM,
        "learned by": title(learner.name),
        "classes": list(stream.class_names[: stream.classes_seen(session)]),
        "image_size": stream.image_size,
        "images": "uint8 [N, H, W, 3], RGB, framed as the images that were learned from",
        "framing": stream.framing,
        "answers": "probabilities [N, classes], and how unlike all of them an image is [N]",
        "none_of_these_above": float(unlike.quantile(0.95, interpolation="higher")),
        "none_of_these": "95 % of validation images of these classes are at or below it",
        "unseen_that_pass": share,
        "unseen_that_pass_is": "of the networks after earlier sessions, for classes still to come",
        "learned from": data_note(stream),
        "use": "Research and teaching. Not for clinical use.",
    }
