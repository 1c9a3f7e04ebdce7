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
# # 10 · Inside a merge
#
# **What you will see.** What lies between two adapter sets, and between three; whether sessions
# change the weights alike; how the heads find the session of an image; and which session's
# knowledge the merge loses.
#
# **Expected** for the demo's first training seed: nothing falls between two sets (the middle is
# 1 ± 3 points above the mean of the ends), and the right head is found for 84 ± 4 % of the images.
# In `./run_all.sh --profile ablations`, which has fewer images, 4 ± 3 points and 87 ± 4 %.
#
# **Takes** two minutes on one core. It looks into what `./run_all.sh` left; if that is not there
# yet, it is made first (ten minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run to look into
figures_folder: str = "../figures/by-hand"  # where pictures and numbers go
order_seed: int = 0  # one of the run's class orders
train_seed: int = 1  # one of its training seeds
line_points: int = 9  # points on the line between two sets
triangle_steps: int = 4  # points along each side of the triangle, less one

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display

from dynammo.catalogue import title
from dynammo.draw import between_sets as pictures
from dynammo.draw.style import save_figure
from dynammo.measure import between_sets
from dynammo.run import command
from dynammo.run.collect import collect
from dynammo.run.learn import last_session
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import settings_of

# %%
run, figures = Path(run_folder), Path(figures_folder)
if run.name == "demo" and not run.exists():  # the default run is made; any other has to be there
    command.main(["--profile", "demo"])
settings = settings_of(run)
one = settings.with_changes({"order_seeds": [order_seed], "train_seeds": [train_seed]})
group = last_session(run, settings, order_seed, train_seed)
chain, learners = group.chain, group.learners
data, sets = chain.stream, chain.adapter_states
first, last = 1, chain.session
origin, under = provenance(data), note(one, data)


# %%
def save(figure, table, name):
    """Write a figure with its numbers, and show it."""
    save_figure(figure, table, figures / name, origin)
    return figure


# %% [markdown]
# ## On the line between two sets
# $\theta(w) = (1-w)\,\theta_1 + w\,\theta_T$, from the first session's set to the last one's. At
# each point the head is tuned on the balanced memory, as DynaMMo does, so that the features are
# judged and not a head that fits one end. If the loss rose in the middle, there would be a
# **barrier**, and averaging would be a bad idea. Sets that descend from each other are usually
# *linearly connected*: no barrier.

# %%
head = between_sets.unified_head(learners)
points = [(1 - w, w) for w in np.linspace(0, 1, line_points)]
line = between_sets.judge_blends(chain, head, [sets[0], sets[-1]], points)
save(
    pictures.line_figure(line, f"session {first}", f"session {last}", under),
    line,
    "inside_line",
)

# %% [markdown]
# ## Over the triangle of three
# Every point is a weighted mean of three sets; the star is their plain mean. A maximum inside the
# triangle means that merging makes something that none of the three was.

# %%
chosen = sorted({1, (1 + last) // 2 + (last > 2), last}) if last > 2 else []
if len(chosen) == 3:
    points = between_sets.triangle(triangle_steps)
    corners = [sets[t - 1] for t in chosen]
    area = between_sets.judge_blends(chain, head, corners, points)
    names = [f"session {t}" for t in chosen]
    display(save(pictures.triangle_figure(area, names, under), area, "inside_triangle"))
else:
    print("Two sessions have no triangle: look into a run with three or more.")

# %% [markdown]
# ## Do sessions pull alike?
# Session $i$'s change is $\theta_i - \theta_{i-1}$, from where it began to where it ended. The
# cosine of two changes says whether they go the same way. In thousands of dimensions two random
# directions are at right angles: cosine 0. Changes at right angles do not undo each other. Each set
# contains the changes of all sessions before it, so the mean of $t$ sets keeps all of the first
# session's change, $(t-1)/t$ of the second's, and $1/t$ of the newest's.

# %%
initial = chain.adapters(None)
cosines = between_sets.change_cosines(sets, initial.state_dict())
save(pictures.cosine_figure(cosines, initial.stage_names, under), cosines, "inside_cosines")

# %% [markdown]
# ## How the session of an image is found
# Each task head gives an image a probability of being "others", none of its own classes. The head
# that says so least is believed. The further apart a head's two histograms, the better it knows its
# own.

# %%
with_heads = {learner.name: learner for learner in learners if learner.knows_others}
scores = between_sets.others_scores(with_heads["dynammo"])
save(pictures.others_figure(scores, under), scores, "inside_others")

# %% [markdown]
# For each method with task heads: how often is the right session found?

# %%
rows = {}
for name, learner in with_heads.items():
    table = scores if name == "dynammo" else between_sets.others_scores(learner)
    own = table[table.true_session == table["head"]]
    rows[title(name)] = (100 * own.groupby("true_session").chosen.mean()).round(1)
pd.DataFrame(rows).T.rename(columns=lambda t: f"session {t}")

# %% [markdown]
# ## Which session's knowledge is lost?
# The bar is what a session's set knew of its classes when it had just been tuned, with fewer
# classes to take them for. What is left at the end, by ACL, which keeps every set, tells what more
# classes cost; what is below ACL's mark is the price of keeping one set only.

# %%
accuracy = collect(run, settings)["accuracy"]
save(pictures.kept_figure(accuracy, note(settings, data)), accuracy, "inside_kept")

# %% [markdown]
# ## Exercises
# 1. On the line, the accuracy on which session's classes rises with $w$, and which falls? Is there
#    a $w$ that is better for all of them than both ends?
# 2. A cosine near 0 means that two sessions' changes are at right angles. If all changes are, and
#    equally long, how far is the mean of $t$ sets from their common beginning, against the newest
#    set? Which sessions has the merged set learned least of?
# 3. In the table of sessions found, ACL and DynaMMo have the same kind of heads. What else could
#    make ACL find the session more often?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Read it from the lines of the left panel. In the demo nearly all classes gain
#    towards the newest set, which grew out of those before it; the first session's own may be best
#    in the middle. A point that beats both ends for all classes exists where both sets know
#    something the other does not, and the lines cross with a bulge.
# 2. Session $j$'s change is in the sets $j, \ldots, t$, so its share in their mean is $(t-j+1)/t$.
#    By Pythagoras the newest set is $\sqrt t$ changes away from the beginning, the mean
#    $\sqrt{(t+1)(2t+1)/(6t)}$: for $t = 4$ that is 2 and 1.37, for many sessions 0.58 of the newest
#    set's way. The mean has learned least of the newest sessions. Had all sets started from the
#    beginning (`adapter_start = "fresh"`), it would have $1/t$ of every session.
# 3. Each of its heads reads features of its own set, which were tuned to part its classes from
#    "others" (the exemplars of that time). Under the merged set all heads read one set of features,
#    which is a compromise, and they were moved there by a few exemplars.

# %% [markdown]
# ## References
# * J. Frankle et al., *Linear mode connectivity*, ICML 2020, arXiv 1912.05671.
# * B. Neyshabur et al., *What is being transferred in transfer learning?*, arXiv 2008.11687.
#
# **Before:** [merging](09_merging.ipynb) · **Next:** [ablations](11_ablations.ipynb)
