"""What the authors' released code does where it differs: rebuilt in our words, to be run.

Source: https://github.com/BioMedIA-MBZUAI/DynaMMo at commit 295845f, files
``methods/multi_steps/dynammo.py`` and ``backbone/dynammo_cl_net .py``.
"""

import ast
import re
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynammo.adapters import AdapterSet
from dynammo.backbones import Backbone, at_stages
from dynammo.errors import InputError
from dynammo.heads import TaskHeads


class ReleasedMergedNetwork(nn.Module):
    """The release's merged network, mended so that it runs: t copies of the batch in one pass.

    In front of the first adapted stage the merged adapter is applied t times to the same maps, and
    the results are joined along the batch; everything after runs on t times as many maps.
    """

    def __init__(self, backbone: Backbone, merged: AdapterSet, sessions: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.merged = merged
        self.sessions = sessions

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images [N, 3, H, W] to features [N, t, D], a block for each session."""
        tile = {name: partial(self._tile, name, len(x)) for name in self.merged.stage_names}
        with at_stages(self.backbone.network, before=tile):
            return self.backbone(x).unflatten(0, (self.sessions, len(x))).transpose(0, 1)

    def _tile(self, name: str, images: int, maps: Tensor) -> Tensor:
        blocks = maps.split(images) if len(maps) > images else [maps] * self.sessions
        return torch.cat([self.merged[name](block) for block in blocks])


def released_head_loss(heads: TaskHeads, features: Tensor, labels: Tensor) -> Tensor:
    """Loss of the release's head tuning: heads with no image of their own in a batch sit it out.

    Of features [N, P, D], P = 1 or t, and labels int64 [N] of the classes seen. Ours lets those
    heads learn "others" from it: :meth:`dynammo.heads.TaskHeads.loss`.
    """
    logits, targets = heads.session_logits(features), heads.targets[labels]
    others = logits.shape[2] - 1
    present = (targets != others).any(dim=0)
    losses = [F.cross_entropy(logits[:, i], targets[:, i]) for i in present.nonzero().flatten()]
    return torch.stack(losses).sum()


def release_facts(folder: Path) -> dict[str, str]:
    """What can be read off a clone of the release, by sentence; InputError if it is not one."""
    learner = folder / "methods" / "multi_steps" / "dynammo.py"
    if not learner.exists():
        raise InputError(f"{folder} is not a clone of the release: {learner} is missing.")
    tree = ast.parse(learner.read_text())
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    networks = [name for name in imported if name.startswith("backbone")]
    files = (path for path in folder.rglob("*.py") if ".git" not in path.parts)
    text = {path: path.read_text(errors="replace") for path in files}
    (merged,) = [path for path in text if path.stem.strip() == "dynammo_cl_net"]
    configurations = "\n".join(p.read_text() for p in folder.glob("options/**/dynammo/*.yaml"))
    methods = sorted(set(re.findall(r"^\s*method:\s*(\S+)", configurations, re.M)))
    importing = [path.name for path in text if re.search(r"import.*dynammo_cl_net", text[path])]
    defining = [path.name for path in text if "def average_dicts" in text[path]]
    return {
        "classes that its learner file defines": ", ".join(classes),
        "network that this learner imports": ", ".join(networks),
        "file of the merged network": repr(merged.name),
        "files that import it": ", ".join(importing) or "none",
        "files that define the averaging it calls": ", ".join(defining) or "none",
        "methods that its configurations name": ", ".join(methods),
    }
