# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 · Your own method, merge and network
#
# **What you will see.** A loss and a way of merging that are not in the library, written in one
# cell, learned over the whole stream and drawn beside DynaMMo and ACL. Then a learner, and a
# network, each from a cell; and adapter sets merged as files.
#
# **Expected.** It runs, and need not win: the loss has softer labels, and in the mean the newest
# set counts less, the further it is from the merged one. The picture shows the difference, and the
# table below it says how large it is.
#
# **Takes** about nine minutes on one core with the default parameters: two chains of adapters for
# each of three class orders, and one on a small network. Each session is saved as it ends, so an
# interrupted notebook goes on.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/your-own"  # where the sessions' state lies
figures_folder: str = "../figures/by-hand"  # where picture and numbers go
stream: str = "blood"  # which data: see notebook 1
order_seeds: list = [0, 1, 2]  # class orders
more: dict = {}  # any other setting by name

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from dynammo import merging
from dynammo.chain import Steps
from dynammo.draw.costs import accuracy_and_cost, average_and_cost
from dynammo.draw.style import save_figure
from dynammo.measure.between_sets import relative_distance
from dynammo.methods import DynaMMo
from dynammo.networks.recipes import Recipe
from dynammo.run import merge
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import load_stream
from dynammo.run.settings import settings_from

settings = settings_from(globals()).with_changes({"methods": ["dynammo", "last_adapter", "acl"]})
data = load_stream(settings, settings.order_seeds[0])
under = note(settings, data)

# %% [markdown]
# ## A loss and a mean
# The parts of notebook 2's four steps can be replaced. Here are two: a loss, computed from the
# auxiliary head's logits $[B, k + 1]$ and the targets; and a mean, computed from the merged set so
# far, the newest set and the number of sets.


# %%
def soft(logits, targets):
    """Cross-entropy with a tenth of each label shared by all outputs."""
    return F.cross_entropy(logits, targets, label_smoothing=0.1)


def wary(merged, newest, count):
    """The mean, but the newest set counts less, the further it is from the merged one."""
    if count == 1:
        return dict(newest)
    share = 1 / count / (1 + relative_distance(newest, merged))
    return merging.entry_by_entry([merged, newest], lambda old, new: old + share * (new - old))


mine = Steps(loss=soft, mean=wary)

# %% [markdown]
# ## Over the whole stream
# With `""` as method, every method that uses the adapters is learned. A chain with other parts
# needs its own folder.

# %%
tables = []
for name, steps in {"theirs": Steps(), "mine": mine}.items():
    for order_seed in settings.order_seeds:
        learn_stream(Path(run_folder) / name, settings, "", order_seed, 1, steps=steps)
    tables.append(collect(Path(run_folder) / name, settings, steps=steps)["sessions"])

# %%
own = tables[1].query("method == 'dynammo'").assign(method="soft_and_wary")
found = average_and_cost(pd.concat([tables[0], own]))
figure = accuracy_and_cost(found, note=under)
save_figure(figure, found, Path(figures_folder) / "your_own", provenance(data))
figure

# %%
runs = found.set_index("method").average_accuracy.groupby(level=0).mean()
points = runs["soft_and_wary"] - runs["dynammo"]
found_so = f"{points:+.2f} points", 0 < abs(points) < 5
as_expected({"learned to the end: another method, less than 5 points apart": found_so}, settings)

# %% [markdown]
# ## A learner of your own
# More than a part: a class. It says which sets an image passes; all else is inherited. This one is
# DynaMMo with the newest set in sessions 1 and 2, and with the mean from then on.


# %%
class LateMean(DynaMMo):
    """The newest set while there are two, the mean afterwards."""

    name = "late_mean"

    def adapter_sets(self):
        chain = self.chain
        return [chain.merged_state if chain.session > 2 else chain.adapter_states[-1]]


# %%
for order_seed in settings.order_seeds:
    learn_stream(Path(run_folder) / "theirs", settings, LateMean, order_seed, 1)
late = collect(Path(run_folder) / "theirs", settings, [LateMean])["sessions"]
accuracy_and_cost(average_and_cost(pd.concat([tables[0], own, late])), note=under)


# %% [markdown]
# ## A network of your own
# Adapters go before the stages of any CNN: submodules that take and give maps. The recipe names the
# stages and the last layer, which is taken off. This network is small and *not* pretrained, so all
# that it knows it learns in its adapters and heads.


# %%
def stage(channels, out):
    """Convolution of stride 2, batch norm, ReLU: half the map, other channels."""
    convolution = nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


class Small(nn.Module):
    """Three stages, the mean over the map, and a classifier."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = stage(3, 16), stage(16, 32), stage(32, 64)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        return self.classifier(self.three(self.two(self.one(x))).mean(dim=(2, 3)))


# %%
def small():
    """What the library has to know of it."""
    return Recipe(
        network=Small,
        weights=lambda: Small().state_dict(),  # of a trained one: load_file("my.safetensors")
        stages=("one", "two", "three"),
        adapter_stages=("two", "three"),
        feature_size=64,
        mean=(0.5, 0.5, 0.5),
        standard_deviation=(0.5, 0.5, 0.5),
        feature_scale=None,  # so that features are about ten long
        classifier="classifier",
        title="a small network, untrained",
    )


# %% [markdown]
# A cell's function is `__main__:small`. In a file, for `./run_all.sh --set
# backbone=my_networks.py:small`, it is the same function.

# %%
place = Path(run_folder) / "small"
of_ours = settings.with_changes({"backbone": "__main__:small", "order_seeds": order_seeds[:1]})
learn_stream(place, of_ours, "", order_seeds[0], 1)
average_and_cost(collect(place, of_ours)["sessions"]).round(1)

# %% [markdown]
# ## Sets as files
# Every session's adapters are in a file. What merges them merges any state dicts of one layout, of
# other projects too; `python -m dynammo.run.merge --help` lists the ways.

# %%
chain = Path(run_folder) / "theirs" / f"order{order_seeds[0]}-seed1"
files = [f"{chain}/session{t}/adapters.safetensors" for t in range(1, data.number_of_sessions + 1)]
merged = Path(run_folder) / "mean.safetensors"
merge.main([*files, "--how", "mean", "--out", str(merged)])
ours, newest = load_file(merged), Path(files[-1]).parent
for name, value in load_file(newest / "merged_adapters.safetensors").items():
    assert torch.allclose(ours[name].float(), value.float(), rtol=1e-4, atol=1e-5), name

# %% [markdown]
# ## Code it: a choice of exemplars
# `Steps(choose=...)` takes a rule for the exemplars: a function of a class's features (NumPy, $[N,
# D]$) and a number. It returns the positions of so many images, the best first. Choose the images
# whose features are **farthest** from the class's mean.


# %% tags=["exercise"]
def farthest(features, count):
    """Positions of `count` images, those farthest from the mean of features [N, D] first."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def farthest(features, count):
    """Positions of `count` images, those farthest from the mean of features [N, D] first."""
    distances = np.linalg.norm(features - features.mean(axis=0), axis=1)
    return distances.argsort()[::-1][:count]


# %% tags=["check"]
cloud = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 9.0], [-4.0, 0.0], [0.5, 0.0]])
chosen = list(farthest(cloud, 2))
assert len(chosen) == 2, "Return as many positions as asked for."
assert chosen[0] == 2, "The image at (0, 9) is farthest from the mean, so it comes first."
assert chosen == [2, 3], "The image at (-4, 0) is second."
line = np.array([[10.0, 0], [12, 0], [11, 0], [19, 0]])  # their mean is (13, 0)
told = "Distances are to the mean of the class, not to zero or to the first image."
assert list(farthest(line, 4)) == [3, 0, 2, 1], told
print("Now learn with Steps(choose=farthest): see the exercises.")

# %% [markdown]
# ## Exercises
# 1. Which of the two parts makes the difference? Learn with one of them, as under "Over the whole
#    stream".
# 2. Learn with `farthest`. What becomes of the heads? Other steps need a folder of their own:
#    ```python
#    folder, steps = Path(run_folder) / "farthest", Steps(choose=farthest)
#    learn_stream(folder, settings, "", 0, 1, steps=steps)
#    one = settings.with_changes({"order_seeds": [0]})
#    collect(folder, one, steps=steps)["sessions"]
#    ```

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. `Steps(loss=soft)` and `Steps(mean=wary)`, each in a folder of its own. Compare run by run:
#    the same class order and seed.
# 2. The heads are then tuned on what is unusual about each class, and are worse for what is usual.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
# * C. Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016 (label smoothing).
#
# **Before:** [beyond the paper](15_beyond_the_paper.ipynb) ·
# **Next:** [a method from a file](17_plugin.ipynb)
