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
# # 14 · Ablations: one choice at a time
#
# **What you will see.** What becomes of DynaMMo, ACL and the last set alone when a single choice is
# changed: what adapters start from, where they sit, how wide they are, how many exemplars are kept,
# how many sessions the classes come in, their order, the backbone; and with which weight they begin
# (`alpha`). Everything else stays, seeds included.
#
# **Expected.** Most choices move accuracy by a few points, no more than class orders do, so look at
# the differences that are taken run by run. Among memories the smallest is worst. Sets that start
# afresh are worse merged.
#
# **Takes** four minutes on one core with the default parameters, up to ten for other ablations:
# every variant but the run's own needs a chain of its own. They are saved one session at a time, so
# an interrupted notebook goes on where it was. It varies what `./run_all.sh` left; if that is not
# there yet, it is made first (9 to 45 minutes).

# %% [markdown]
# ## Parameters
# `ablation` is one of `start`, `placement`, `width`, `alpha`, `memory`, `sessions`, `order`,
# `backbone`. To vary anything else, leave it empty and fill `variants`, for example
# `{"2": {"adapter_epochs": 2}, "8": {"adapter_epochs": 8}}`, and say in `title` what it is.

# %% tags=["parameters"]
ablation: str = "start"  # which choice
variants: dict = {}  # or one of your own: label -> settings that change
title: str = ""  # ... and what it is called
run_folder: str = "../runs/demo"  # the run that is compared with
figures_folder: str = "../figures/by-hand"  # where picture and numbers go
runs: int = 1  # how many of its pairs of seeds; 0: all
methods: list = [
    "acl",
    "dynammo",
    "last_adapter",
]  # on adapters, of those that the run has; keep "acl": the others are compared with it
tried: dict = {}  # variants to choose from, on validation images: the last section

# %%
# %matplotlib inline
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from dynammo.draw.comparisons import average_by_run, variants_figure
from dynammo.draw.style import save_figure
from dynammo.measure.between_sets import relative_distance
from dynammo.methods import adapter_methods
from dynammo.run import ablations, command
from dynammo.run.expected import as_expected
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import load_stream

run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run, runs)
shown = [name for name in adapter_methods(settings.methods) if name in methods]
settings = settings.with_changes({"methods": shown})
data = load_stream(settings, settings.order_seeds[0], run)

# %%
name = ablation or "own"
if not variants:
    title, variants = ablations.ablation(ablation, settings, data.number_of_classes)
pd.Series({label: str(changes) for label, changes in variants.items()}, name=title).to_frame()

# %% [markdown]
# ## What each ablation asks
# * **start**: the paper starts a session's adapters from the previous session's. From the merged
#   set they would start at the average of all earlier sessions. From one fresh set they would be
#   independent: parts to be merged, rather than a path.
# * **placement**: early maps are large and general, late ones small and special.
# * **width**: an adapter has two convolutions between $c$ and $m$ channels, so its cost grows with
#   $m$.
# * **alpha**: how much of the branch is heard at the beginning. The paper: 0.02, for 200 epochs.
#   Here it is 2, since there are far fewer epochs.
# * **memory**: exemplars serve twice, as "others" in step 1 and for the balanced heads in step 4.
# * **sessions**: the same classes, cut finer. More sets to merge, each from fewer classes.
# * **order**: which classes come first. Not a choice one has, but a source of spread.
# * **backbone**: how much of it all is owed to ImageNet.

# %% [markdown]
# ## One of them, written out
# `start` is a choice of weights: which ones a session's adapters have before the first step of
# tuning. $\theta_{t-1}$ is the set before, $W_{t-1}$ the mean of those before, $\theta_0$ a fresh
# one.


# %%
def first_weights(start, sets, mean, fresh):
    """What the next session's set starts from, given those of the sessions before."""
    if start == "fresh" or not sets:
        return fresh
    return mean if start == "merged" else sets[-1]


def apart(one, other):
    """Distance between two sets over all learned numbers, divided by the length of the second."""
    names = [name for name in other if name.endswith(("weight", "bias", "alpha"))]
    between = sum((one[name] - other[name]).square().sum() for name in names)
    return (between / sum(other[name].square().sum() for name in names)).sqrt().item()


# %% [markdown]
# The library makes the same choice, which is asserted below. The table shows how far each possible
# start is from the set that this run reached, which started from `previous`. After one session the
# mean is the only set, so two starts are the same. A start that is far off has to learn more, and
# what it learns is less like the other sets when they are averaged.

# %%
chain = last_session(run, settings, settings.order_seeds[0], settings.train_seeds[0]).chain
fresh, rows = chain.adapters(None).state_dict(), []
for t in range(2, chain.session + 1):
    before = chain.adapter_states[: t - 1]
    mean = {name: torch.stack([s[name] for s in before]).float().mean(dim=0) for name in before[0]}
    for start in ("previous", "merged", "fresh"):
        distance = apart(first_weights(start, before, mean, fresh), chain.adapter_states[t - 1])
        rows.append({"session": t, "start": start, "distance": distance})
newest = chain.adapter_states[-1]
assert abs(apart(fresh, newest) - relative_distance(fresh, newest)) < 1e-4
for start in ("previous", "merged", "fresh"):  # of a copy of the chain that would start so
    library = replace(chain, settings=settings.with_changes({"adapter_start": start})).start()
    ours = first_weights(start, chain.adapter_states, chain.merged_state, None)
    assert library is ours, start
pd.DataFrame(rows).pivot_table("distance", "session", "start", sort=False).round(2)

# %% [markdown]
# **Now change this line:** let `first_weights` know a start `"between"`, halfway from the set
# before to the mean (`{name: (mean[name] + sets[-1][name]) / 2 for name in mean}`), and name it in
# the first `for start`. Is it nearer to the tuned set than both?
#
# ## All variants, learned

# %%
sessions = ablations.vary(run, settings, variants)

# %%
seen = settings.with_changes({"order_seeds": sessions.order_seed.unique().tolist()})
varied = {name for changes in variants.values() for name in changes}
figure = variants_figure(sessions, title, note=note(seen, data, varied))
save_figure(figure, sessions, figures / f"ablation_{name}", provenance(data))
figure

# %% [markdown]
# ## What it costs
# Multiply-accumulates of one image and numbers stored, after the last session.

# %%
last = sessions[sessions.session == sessions.groupby("variant").session.transform("max")]
cost = last.pivot_table(["macs", "parameters_stored"], "variant", "method", sort=False) / 1e6
cost.rename(columns={"macs": "MMACs", "parameters_stored": "stored (M)"}).round(2)

# %% [markdown]
# ## Difference to ACL, run by run
# What merging costs in accuracy, under each variant: average accuracy of DynaMMo minus ACL's, in
# points. Same chains, so the comparison is paired even with one run.

# %%
averages = average_by_run(sessions)
key = ["variant", "order_seed", "train_seed"]
wide = 100 * averages.pivot_table("average_accuracy", key, "method", sort=False)
to_acl = wide.sub(wide["acl"], axis=0).drop(columns="acl")
to_acl = to_acl.groupby("variant", sort=False).mean()
to_acl.round(1)

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, where it is about this choice.

# %%
expectations = {}
if {"previous", "fresh"} <= set(to_acl.index) and "dynammo" in to_acl:
    lost = (to_acl.loc["previous"] - to_acl.loc["fresh"]).dynammo
    expectations["merged, fresh sets are worse"] = f"by {lost:.1f} points", lost > 0
by_variant = wide.groupby("variant").mean().mean(axis=1)
if name == "memory":
    worst, fewest = by_variant.idxmin(), next(iter(variants))
    expectations["the smallest memory is worst"] = f"{worst} is", worst == fewest
if name in ("start", "placement", "width"):
    moved = by_variant.max() - by_variant.min()
    expectations["it moves accuracy by less than five points"] = f"{moved:.1f} points", moved < 5
as_expected(expectations, settings) if expectations else "nothing that could be checked here"

# %% [markdown]
# ## How settings are chosen
# Never by test images. Fill `tried` like `variants`: each is learned and judged on **validation**
# images, and nothing is saved. The defaults of this project were chosen like that, on real images:
# [what was tried](../figures/study/selection.md).

# %%
if tried:
    found = ablations.try_out(run, settings, tried)
    chosen = (100 * found.pivot_table("accuracy", "variant", "method", sort=False)).round(1)
else:
    chosen = "left out: `tried` is empty"
chosen

# %% [markdown]
# ## Code it: a difference, run by run
# A class order that is hard for one method is hard for the other. So two methods are compared on
# the same runs: take the differences first, and then their mean. Its standard error is their
# standard deviation (with $n - 1$) over $\sqrt n$.


# %% tags=["exercise"]
def paired(ours, theirs):
    """Mean difference of two methods on the same runs, lists or Series [n]; its standard error."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def paired(ours, theirs):
    """Mean difference of two methods on the same runs, lists or Series [n]; its standard error."""
    gaps = pd.Series(ours) - pd.Series(theirs)
    return gaps.mean(), gaps.std(ddof=1) / len(gaps) ** 0.5


# %% tags=["check"]
hard, easy = [60.0, 75.0, 90.0], [59.0, 74.0, 89.0]  # runs differ by far more than methods do
mean, error = paired(hard, easy)
assert abs(mean - 1) < 1e-9, "The mean difference is 1: ours less theirs."
assert error < 1e-9, "It is 1 in every run, so nothing is unsure: take differences run by run."
mean, error = paired([3.0, 5.0], [2.0, 2.0])
assert abs(mean - 2) < 1e-9 and abs(error - 1) < 1e-9, "Of 1 and 3: 2, and sqrt(2) / sqrt(2) = 1."
print("That is a paired difference. How unsure would it be without the pairs?")

# %% [markdown]
# With it, how unsure is the table of differences to ACL? Run this in a cell of its own (a single
# run has no error):
# ```python
# each = wide.groupby("variant", sort=False)
# both = {variant: paired(own.dynammo, own.acl) for variant, own in each}
# pd.DataFrame(both, index=["points", "standard error"]).T.round(2)
# ```

# %% [markdown]
# ## Exercises
# 1. Before you run `memory`: which method should mind a small memory most, ACL or DynaMMo? Both
#    have the same heads and the same exemplars.
# 2. Run `sessions`. How does ACL's cost change from the fewest sessions to the most? And DynaMMo's?
# 3. Vary the epochs of step 1 by `variants`. Does longer tuning make merging better or worse
#    against the last set alone? Think of how far sets move before you run it.

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. With the same heads and exemplars, each has as many numbers to tune from as few images. What
#    differs is what the heads start from: ACL's were trained on all of a session's images *under
#    the very set that still runs*; DynaMMo's features have moved since, and only the exemplars tell
#    its heads where to. So DynaMMo leans on the memory more.
# 2. ACL takes one pass a session: twice the sessions, twice its multiply-accumulates, and one more
#    adapter set to store for each. DynaMMo's pass stays what it is; only its heads grow by one
#    output "others" a session.
# 3. Set `ablation = ""`, `title = "Epochs of step 1"`, and `variants = {n:
#    {"adapter_epochs": int(n)} for n in ("2", "8", "24")}`. The longer the tuning, the further the
#    sets are apart, and the less can be said of what lies between them. The last set gains from
#    longer tuning as ACL does, so merging tends to fall behind ([notebook
#    13](13_when_merging_pays.ipynb) varies epochs, memory and sessions together).
#
# Under "Now change this line": no. Halfway is about halfway in distance, too, and the set before
# is the nearest, since these sets were tuned from there. Sets that started elsewhere would end
# elsewhere.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
#
# **Before:** [when does merging pay?](13_when_merging_pays.ipynb) ·
# **Next:** [beyond the paper](15_beyond_the_paper.ipynb)
