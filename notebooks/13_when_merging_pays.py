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
# # 13 · When does merging pay?
#
# **What you will see.** The same stream learned with little and much memory, few and many epochs,
# in few and more sessions. The pictures show where DynaMMo is ahead, and where it is behind the
# newest set, ACL, or a head that is solved on the frozen network.
#
# **Expected.** No single answer. The longer the sets are tuned, the further each moves from the one
# before, and the less an average of them is like any of them. [What came out
# here](STUDY.md#when-does-merging-pay).
#
# **Takes** an hour on one core with the default parameters: 18 combinations of three runs each; a
# third of that with `runs = 1`, which it takes as a part of a run (`ablation_runs`). Each session
# is saved as it ends, so an interrupted notebook goes on. It varies what `./run_all.sh` left; if
# that is not there yet, it is made first (9 to 45 minutes).

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
run_folder: str = "../runs/demo"  # the run that is varied
figures_folder: str = "../figures/by-hand"  # where picture and numbers go
runs: int = 0  # how many of its pairs of seeds; 0: all
memories: list = [16, 40, 160]  # exemplars in all
epochs: list = [3, 10, 30]  # of each session
classes: list = [2, 4]  # new classes a session
compared: list = ["frozen_features", "ridge_frozen", "dynammo", "last_adapter", "acl"]  # which

# %%
# %matplotlib inline
import itertools
from pathlib import Path

import numpy as np

from dynammo.draw.style import save_figure
from dynammo.draw.sweep import sweep_figure, to_dynammo
from dynammo.run import ablations, command
from dynammo.run.expected import as_expected
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import load_stream

run, figures = Path(run_folder), Path(figures_folder)
settings = command.settings_of_run(run, runs)
settings = settings.with_changes({"methods": compared, "baseline_runs": 0})
data = load_stream(settings, settings.order_seeds[0], run)

# %% [markdown]
# ## The combinations
# Everything else stays as in the run: images, class orders, seeds, the recipe of the heads.

# %%
names = ["memory_budget", "adapter_epochs", "classes_per_session"]
cells = itertools.product(memories, epochs, classes)
variants = {str(cell): dict(zip(names, cell, strict=True)) for cell in cells}
found = ablations.vary(run, settings, variants)
apart = ablations.steps_apart(run, settings, variants)

# %%
key = ["variant", "method", "order_seed", "train_seed"]
table = found.groupby(key, sort=False).accuracy.mean().rename("average_accuracy").reset_index()
cut = {c: -(-data.number_of_classes // c) for c in classes}  # into so many sessions, rounded up
for frame in (table, apart):
    of = frame.variant.map(variants)  # the settings that each row's variant changed
    frame["memory"] = of.map(lambda changes: changes["memory_budget"])
    frame["epochs"] = of.map(lambda changes: changes["adapter_epochs"])
    frame["sessions"] = of.map(lambda changes: cut[changes["classes_per_session"]])

# %%
origin = provenance(data)
figure = sweep_figure(table, apart, note(settings, data, varied=names))
save_figure(figure, table, figures / "when_merging_pays", origin)
figure

# %% [markdown]
# ## Who is ahead, and where?
# Points over DynaMMo in the same run: mean over runs, and standard deviation. The solved head on
# the frozen network does not depend on memory or epochs: if its lead changes along a row, DynaMMo
# has changed. Averages over two sessions and over four are different numbers: do not compare
# across.

# %%
where = ["sessions", "memory", "epochs"]
to_dynammo(table).pivot_table(["mean", "std"], where, "method").round(1)

# %% [markdown]
# ## How far do sets move?
# The distance between consecutive sets, divided by the earlier one's length: mean over sessions and
# runs. Exemplars are "others" in step 1, so memory changes what is tuned, too.

# %%
moved = apart.pivot_table("distance", ["sessions", "memory"], "epochs")
moved.round(3)

# %%
further = (moved.diff(axis=1).iloc[:, 1:] > 0).all(axis=1).mean()
points = to_dynammo(table).pivot_table("mean", where, "method")
best = points.assign(dynammo=0.0).idxmax(axis=1)
leading = best.nunique()
as_expected(
    {
        "the longer, the further": (f"in {further:.0%} of the rows", further == 1),
        "no single answer: several methods lead": (f"{leading} lead somewhere", leading > 1),
    },
    settings,
)

# %% [markdown]
# ## Now change a line
# The lists in the parameters are the sweep. Add `"dynammo_ridge"` to `compared`: the solved head on
# merged adapters is drawn too, and no adapters are tuned for it again. Or write `classes = [1, 2,
# 4]` to see eight sessions.

# %% [markdown]
# ## Code it: is it more than chance?
# A difference in one run may be chance. Say of each combination whether a method's lead over
# DynaMMo is more than twice its *standard error*: the standard deviation over runs (with $n - 1$),
# divided by $\sqrt n$.


# %% tags=["exercise"]
def clear_leads(points):
    """For each row of points [combinations, runs], whether its mean is over two standard errors."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def clear_leads(points):
    """For each row of points [combinations, runs], whether its mean is over two standard errors."""
    error = points.std(axis=1, ddof=1) / np.sqrt(points.shape[1])
    return points.mean(axis=1) > 2 * error


# %% tags=["check"]
example = np.array([[1.0, 1.2, 1.1, 0.9], [3.0, -2.0, 1.0, -1.0], [-1.0, -1.1, -0.9, -1.0]])
clear = clear_leads(example)
assert clear.shape == (3,), "One answer for each combination, so for each row."
assert clear[0], "Four runs near +1 are clear."
assert not clear[1], "Runs between -2 and +3 are not clear, although their mean is above 0."
assert not clear[2], "A method that is clearly behind does not lead."
edge = np.array([[0.05, 2.05, 0.05, 2.05]])  # mean 1.05, deviation 1.15, standard error 0.58
told = "Divide by n - 1 in the deviation, and by the root of n for the error: this one is unclear."
assert not clear_leads(edge)[0], told
assert clear_leads(np.tile(edge, 2))[0], "Twice the runs make it clear: the error is smaller."
print("That is a rule of thumb; the study's intervals do the same with fewer assumptions.")

# %% [markdown]
# With it, where is ACL clearly ahead in this sweep? Run this in a cell of its own, after more than
# one run:
# ```python
# import pandas as pd
#
# key = [*where, "order_seed", "train_seed"]
# by_run = 100 * table.pivot_table("average_accuracy", key, "method")
# lead = (by_run["acl"] - by_run["dynammo"]).unstack(["order_seed", "train_seed"])
# pd.Series(clear_leads(lead.to_numpy()), lead.index).unstack("epochs")
# ```

# %% [markdown]
# ## Exercises
# 1. In which combinations is the newest set behind the mean? What do they have in common?
# 2. ACL keeps every set. Does it gain most where sets are far apart? Why would it?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Read the table: negative numbers under "last_adapter". The mean protects old classes from the
#    newest session, so expect it where few exemplars do. Long tuning works both ways: the newest
#    set forgets more, and the mean is further from every set.
# 2. It should: what the mean loses is what sets disagree about, and ACL loses none of it. Compare
#    the two tables before you believe it.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
#
# **Before:** [sets of their own](12_own_sets.ipynb) ·
# **Next:** [ablations](14_ablations.ipynb)
