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
# # 9 · Merging: is the mean the best average?
#
# **What you will see.** Eight ways to make one adapter set of many, and three ways to treat batch
# norm's statistics, over the same tuned sets: nothing but heads is trained here, so all differences
# are those of merging. Among them the uncomfortable control, the last set alone.
#
# **Expected** for the demo (three training seeds): the mean reaches 90 ± 1 %, the last set alone is
# 1.2 ± 0.2 points above it, seed by seed, and no way of merging is above the last set by more than
# its spread. Measuring batch norm's statistics again helps most ways. The same with fewer images
# (`./run_all.sh --profile ablations`): 89 ± 1 %, and 1.3 ± 0.3 points.
#
# **Takes** ten minutes on one core, a third of that with `runs = 1`, which knows no spread. It
# merges the sets that `./run_all.sh` left; if they are not there yet, they are made first (ten
# minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run whose adapter sets are merged
figures_folder: str = "../figures/by-hand"  # where picture and numbers go
runs: int = 0  # how many of its pairs of seeds; 0: all
statistics: list = ["averaged", "mixture", "measured again"]  # choices for batch norm

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd

from dynammo.beyond.merged_by import STRATEGIES, MergedBy
from dynammo.draw.comparisons import merging_figure
from dynammo.draw.style import save_figure
from dynammo.run import ablations, command
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import load_stream, settings_of

run, figures = Path(run_folder), Path(figures_folder)
if run.name == "demo" and not run.exists():  # the default run is made; any other has to be there
    command.main(["--profile", "demo"])
settings = settings_of(run, runs)
data = load_stream(settings, settings.order_seeds[0], run)

# %% [markdown]
# ## Why should averaging weights work at all?
# A network is not linear: the mean of two sets of weights need not do anything that the two do.
# Two networks trained from different random beginnings, averaged, are as bad as chance. Here three
# things help. All sets have a **common beginning**: each session's starts from the one before, so
# they lie near each other. They are **small changes** of a frozen network that does most of the
# work. And a **head is tuned afterwards**, for the features as they are after merging.
#
# [Notebook 10](10_inside_a_merge.ipynb) looks at what lies between two sets. This one asks whether
# the plain mean is the best that can be done.

# %% [markdown]
# ## The strategies
# With $\theta_0$ the initial set, $\tau_i = \theta_i - \theta_0$ the change up to session $i$:
#
# | strategy | merged set | stored, besides the newest |
# |---|---|---|
# | uniform mean (DynaMMo) | $\frac1t\sum_i\theta_i$ | 1 set |
# | moving average | $E_t = \frac12 E_{t-1} + \frac12\theta_t$ | 1 set |
# | task arithmetic | $\theta_0 + 0.3\sum_i\tau_i$ | 1 set |
# | MagMax | $\theta_0 +$ the $\tau_i$ of greatest magnitude, number by number | 1 set |
# | TIES | trim each $\tau_i$ to its largest fifth, elect signs, average what agrees | older sets |
# | DARE | drop half of the convolutions' $\tau_i$ at random, double the rest, average | 1 set |
# | Fisher | $\sum_i F_i\theta_i / \sum_i F_i$, $F_i$ Fisher information (notebook 6) | 2 sets |
# | last set alone | $\theta_t$ | nothing |
#
# Every strategy but TIES can be kept up to date from session to session, without the
# old sets. `dynammo/beyond/ways_of_merging.py` has each in a few lines, with its paper.

# %% [markdown]
# ## Batch norm's statistics
# Batch norm subtracts a mean and divides by a deviation *measured* on the maps of one set. Merged
# weights make other maps. What should stand there?
#
# * **averaged**: the mean of the sets' means and of their variances. What DynaMMo does.
# * **mixture**: the variance of all sessions' values together, mean$(\sigma^2+\mu^2) - \bar\mu^2$.
#   The plain mean leaves out how far the sessions' means are apart, so it is too small.
# * **measured again**: on the balanced memory, under the merged weights, before the head is tuned.

# %% [markdown]
# ## Merge
# Each strategy follows the run's sessions from the first to the last, with a head of its own tuned
# on the same memory. In session 1 there is nothing to merge: all take its set as it is.


# %%
def ways(chain):
    """A learner for every strategy and every choice for batch norm, on one chain."""
    return {
        f"{strategy}|{choice}": MergedBy(chain, strategy, choice)
        for strategy in STRATEGIES
        for choice in statistics
    }


replayed = ablations.replay(run, settings, ways)
found = ablations.averages(replayed)
found[["strategy", "statistics"]] = found.pop("label").str.split("|", expand=True)

# %%
origin = provenance(data)
figure = merging_figure(found, note=note(settings, data))
save_figure(figure, found, figures / "ablation_merging", origin)
figure

# %% [markdown]
# As a table: average accuracy over the sessions, and after the last one, in %.

# %%
columns = ["average_accuracy", "last_accuracy"]
(100 * found.pivot_table(columns, "strategy", "statistics")).round(1)

# %% [markdown]
# ## Is the difference real?
# Each strategy against the uniform mean with averaged statistics, **seed by seed**: same sets, same
# memory, same images. A mean smaller than its spread over seeds says nothing.

# %%
key = ["order_seed", "train_seed"]
wide = 100 * found.pivot_table("average_accuracy", ["strategy", "statistics"], key)
difference = wide - wide.loc[("uniform mean", "averaged")]
pd.DataFrame({"points": difference.mean(axis=1), "sd": difference.std(axis=1)}).round(1)

# %% [markdown]
# ## When does merging win?
# Against the last set alone. Accuracy by the session that brought the class, at the end: the last
# set was tuned on the newest classes, with the old ones only as "others", and still it started
# from all that came before. The mean keeps only $1/t$ of the newest session's change, and holds on
# to the older ones. So merging should trade newest classes for old ones. In [the
# study](14_the_study.ipynb) it does, with three or four sessions: it loses 3 to 10 points on the
# newest session's, and gains 2 to 3 on the first session's (on blood cells nothing). With ten
# sessions it does not: it gains 2.7 on the newest, and loses on the six before. Which weighs more
# is the stream's: averaged over sessions the last set is ahead in 31 of 36 runs on one source
# (blood, skin, tissue, CIFAR), the mean in 8 of 9 where each session brings another source, by 0.4
# ± 0.5 points. That is one stream, which also has more classes and fewer exemplars of each than the
# other medical ones, so the reason is open.

# %%
end = replayed[replayed.session == replayed.session.max()]
shown = end[end.label.isin(["uniform mean|averaged", "last set alone|averaged"])]
by_session = 100 * shown.pivot_table("accuracy", "label", "evaluated_session")
by_session.rename(index=lambda name: name.split("|")[0]).round(1)

# %% [markdown]
# ## Exercises
# 1. Show that task arithmetic with scale $1/t$ is the uniform mean, and that the moving average
#    with decay 0 is the last set alone.
# 2. Three sets have the values 4, −3 and 1 for a number that began at 0. What do the mean, MagMax
#    and TIES (nothing trimmed) make of it?
# 3. Which of the strategies would change if all sets had started from fresh, different random
#    weights instead of from each other? Which would fail altogether?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. $\theta_0 + \frac1t\sum_i(\theta_i - \theta_0) = \theta_0 + \frac1t\sum_i\theta_i - \theta_0$,
#    and the $\theta_0$ cancel. With decay 0, $E_t = 0 \cdot E_{t-1} + 1 \cdot \theta_t$.
# 2. The mean is $\frac23$. MagMax takes the greatest magnitude, 4. TIES elects plus, since
#    $4 - 3 + 1 > 0$, and averages the values of that sign, 4 and 1: 2.5.
# 3. All but the last set alone: a change $\tau_i$ would then contain the difference between two
#    random beginnings, which is large and means nothing. Means of such sets fail, since a hidden
#    channel of one set has nothing to do with the same channel of another. Ablation `start` of
#    [notebook 11](11_ablations.ipynb) tries fresh sets that share one random beginning.

# %% [markdown]
# ## References
# * G. Ilharco et al., *Editing models with task arithmetic*, arXiv 2212.04089.
# * D. Marczak et al., *MagMax*, ECCV 2024, arXiv 2407.06322.
# * P. Yadav et al., *TIES-Merging*, NeurIPS 2023, arXiv 2306.01708.
# * L. Yu et al., *DARE*, ICML 2024, arXiv 2311.03099.
# * M. Matena, C. Raffel, *Merging models with Fisher-weighted averaging*, arXiv 2111.09832.
# * K. Jordan et al., *REPAIR*, arXiv 2211.08403 (statistics after merging).
#
# **Before:** [frozen features](08_frozen_features.ipynb) ·
# **Next:** [inside a merge](10_inside_a_merge.ipynb)
