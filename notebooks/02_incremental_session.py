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
# # 2 · One incremental session
#
# **What you will see.** The four steps of DynaMMo for one session: tune a new set of adapters,
# average it with the old ones, choose exemplars, tune the head. Then what DynaMMo, ACL and the
# controls predict, on the same test images.
#
# **Expected.** For session 1 every method with adapters predicts the same, since one set is its own
# average; from session 2 on they part. The tuning loss falls to under a tenth of where it began.
# The section "As published?" has the numbers.
#
# **Takes** about half a minute on one core.
#
# The notebook is run once per session, as a chain: session $t$ starts from what session $t-1$
# saved. Run it with `session = 1`, then 2, and so on; `./run_all.sh` does that for you.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
session: int = 1  # which session to learn; the one before must be there
run_folder: str = "../runs/by-hand"  # where the sessions' state lies

stream: str = "blood"  # which data: see notebook 1
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
adapter_alpha: float = 2.0  # initial weight of an adapter's branch; the paper: 0.02
adapter_epochs: int = 10  # the paper: 200
memory_budget: int = 40  # exemplars in all, shared by the classes seen
methods: list = ["frozen_features", "dynammo", "dynammo_unified_head", "last_adapter", "acl"]
more: dict = {}  # any other setting of dynammo/settings.py, by name

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd

from dynammo.catalogue import title
from dynammo.draw.accuracy import training_losses
from dynammo.measure.between_sets import relative_distance
from dynammo.measure.predictions import accuracy_rows, predict, session_row
from dynammo.measure.stopwatch import Stopwatch
from dynammo.run.expected import compare, told
from dynammo.run.learn import open_session
from dynammo.run.provenance import note
from dynammo.run.settings import settings_from

# %%
settings = settings_from(globals())
run = Path(run_folder)
group = open_session(run, settings, order_seed, train_seed, session)
chain, learners = group.chain, group.learners
data, stopwatch = chain.stream, Stopwatch(chain.device)
names = [data.class_names[label] for label in data.classes(session)]
print(f"session {session} of {data.number_of_sessions} brings: {', '.join(names)}")

# %% [markdown]
# ## Step 1: tune a set of adapters
#
# The backbone $f$ is frozen. In front of some of its stages sits an *adapter*, a small residual
# branch with two convolutions,
#
# $$x + \alpha \, r(b_2(\mathrm{conv}^{\top}(r(b_1(\mathrm{conv}(x)))))), \quad
# r = \mathrm{relu}, \; b_1, b_2 = \text{batch norm}.$$
#
# The new set $\theta_t$ starts from $\theta_{t-1}$ and is trained by cross-entropy on the new
# images and the exemplar memory. Its auxiliary head has one output per new class and one more,
# **others**: the label of every exemplar of an old class.

# %%
positions = chain.training_positions(session)
old = len(positions) - len(data.indices("train", session))
print(f"{len(positions) - old} images of new classes, {old} exemplars labelled 'others'")

with stopwatch.measure("adapters", "training"):
    losses = chain.tune()

# %%
history = pd.DataFrame({"session": session, "epoch": range(1, len(losses) + 1), "loss": losses})
training_losses(history, note=note(settings, data))

# %% [markdown]
# ## Step 2: merge
#
# $W_t = \frac1t\sum_{i=1}^{t}\theta_i$, parameter by parameter. Kept as a running mean, so nothing
# that is stored grows with $t$. How far is each set from the average? In relative length,
# $\lVert\theta_i - W_t\rVert / \lVert W_t\rVert$:

# %%
chain.merge()
pd.Series(
    {
        f"session {i}": relative_distance(state, chain.merged_state)
        for i, state in enumerate(chain.adapter_states, start=1)
    },
    name="distance to the average",
).to_frame().round(3)

# %% [markdown]
# ## Step 3: choose exemplars
#
# *Herding* takes, one by one, the images that keep the mean of those chosen closest to the mean of
# the class. The budget is fixed, so old classes give up images as classes arrive.

# %%
chain.choose_exemplars()
pd.Series(
    {data.class_names[c]: len(chosen) for c, chosen in chain.memory.positions.items()},
    name="exemplars",
).to_frame()

# %% [markdown]
# ## Step 4: tune the heads on the balanced memory
#
# With backbone and merged adapters fixed, features no longer change: they are computed once, and
# only the head is trained. In session 1 there is nothing to balance yet: each method keeps the head
# of step 1. Every method below gets the same exemplars and the same recipe. They differ in which
# adapters run, and in the head that reads them:
#
# | method | passes | head |
# |---|---|---|
# | frozen features | 1, no adapters | one per session, with "others" |
# | DynaMMo | 1, merged adapters | one per session, with "others" |
# | DynaMMo, unified head | 1, merged adapters | one over all classes |
# | last adapter | 1, newest adapters | one per session, with "others" |
# | ACL | $t$, one per session's adapters | one per session, with "others" |

# %%
for learner in learners:
    with stopwatch.measure(learner.name, "head"):
        learner.learn_session()

# %% [markdown]
# ## Which classes can be told apart now?
#
# The test images of **all** classes seen so far. Nothing is chosen by these numbers. The columns on
# the right ask the task heads two more questions: which session is an image from, and does it
# belong to a class not seen yet (area under the ROC curve; 0.5 is chance, and that is all session 1
# can reach, since nothing was labelled "others" yet).

# %%
answers = {}
for learner in learners:
    with stopwatch.measure(learner.name, "test"):
        answers[learner.name] = predict(learner, "test")
pd.DataFrame(
    {title(learner.name): session_row(answers[learner.name]) for learner in learners}
).T.round(3)

# %% [markdown]
# Accuracy by the session that brought the class: the first columns show what was **forgotten**.

# %%
pd.DataFrame(
    {
        title(learner.name): {
            f"session {row['evaluated_session']}": row["accuracy"]
            for row in accuracy_rows(answers[learner.name])
        }
        for learner in learners
    }
).T.round(3)

# %% [markdown]
# ## As published?
# What this session got, beside the numbers that are published with this project and how far
# another processor may move them ([expected.csv](../figures/expected.csv)), in percent.

# %%
seeds = {"order_seed": order_seed, "train_seed": train_seed, "session": session}
rows = [{"method": name, **seeds, **session_row(answers[name])} for name in answers]
compared = compare(pd.DataFrame(rows), settings)
print(told(compared))
compared.round(1)

# %% [markdown]
# ## What it cost
# Step 1 is done once for all methods with adapters, so its time is theirs in common. A pass through
# the same network, too, is computed once and counted for the first method that asked for it. The
# peak is the memory of the whole process, with Python, torch and the images.

# %%
pd.DataFrame(stopwatch.rows).set_index(["method", "part"]).round(1)

# %% [markdown]
# ## Save
# The next session starts from this folder. It appears whole or not at all.

# %%
folder = group.save(answers, losses, stopwatch)
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Exercises
# 1. Run sessions 1 and 2. Which method loses most on session 1's classes?
# 2. Set `memory_budget` to 16 and run both sessions again in another `run_folder`. Which methods
#    suffer most, and why those?
# 3. Set `adapter_alpha = 0.0`. What do the adapters do at first, and can they still learn?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. In our runs frozen features lost most, although not one of their weights changes: session 1's
#    images can now be taken for four classes instead of two. DynaMMo lost less, ACL and the last
#    adapter least. So a loss is not always forgetting. Session 1 has 100 test images, so one image
#    is one point: with a single seed a difference of two or three points says little.
# 2. Set `memory_budget = 16` and `run_folder = "../runs/by-hand-16"`, and run `session = 1`, then
#    2: session 2 leaves four exemplars a class instead of twenty, and step 4 tunes all heads on
#    those alone. Expect DynaMMo and the last adapter to suffer most, the unified head above all.
#    Their features are no longer those that session 1's head was trained on, and only exemplars
#    correct that; and nothing but exemplars ever compares classes of two sessions in a unified
#    head. ACL's and frozen features' first head still reads the features it was trained on.
# 3. An adapter then adds nothing: the network is the frozen backbone. The gradient of every weight
#    in the branch carries the factor $\alpha$, so in the first step they stand still (weight decay
#    apart). The gradient of $\alpha$ itself is the branch's output times what arrives from above,
#    and that is not 0. From the second step on everything learns. So yes, with a slower start.
#    Adapters could never learn if the branch's last layer were 0 as well.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099 (steps 1, 2 and 4).
# * ACL: arXiv 2304.09042 (adapters per session, "others").
# * S.-A. Rebuffi et al., *iCaRL*, CVPR 2017, arXiv 1611.07725 (herding).
#
# **Before:** [prepare the data](01_prepare_data.ipynb) · **Next:** [the bounds](03_bounds.ipynb)
