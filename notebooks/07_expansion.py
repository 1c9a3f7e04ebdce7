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
# # 7 · Network expansion: a new network for every session
#
# **What you will see.** A method that hardly forgets, because it overwrites nothing, and a bill
# that grows with every session. That bill is what DynaMMo sets out to cut.
#
# **Expected.** After four sessions an image takes four times the MMACs of one. The section "As
# published?" has the accuracy.
#
# **Takes** about four minutes on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is `der`, *dynamically expandable representation* (not the DER++ of notebook 4, whose D
# stands for *dark*). ACL belongs to this family too: run it in notebook 2.

# %% tags=["parameters"]
method: str = "der"  # the one of the family that is here; ACL is in notebook 2
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

stream: str = "blood"  # which data: see notebook 1
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
train_per_class: int = 100  # keep only so many training images a class; 0: all
memory_budget: int = 40  # exemplars in all, shared by the classes seen
adapter_epochs: int = 10  # epochs a session, the same for all methods
network_learning_rate: float = 0.1  # of the whole network

der_auxiliary: float = 1.0  # weight of the auxiliary loss
der_temperature: float = 5.0  # of the head's tuning on the balanced memory
more: dict = {}  # any other setting of dynammo/settings.py, by name

# %%
# %matplotlib inline
from pathlib import Path

from dynammo.draw.accuracy import training_losses
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.measure.summary import cost_by_session
from dynammo.run.collect import collect
from dynammo.run.expected import compare, told
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import note
from dynammo.run.settings import settings_from

settings = settings_from(globals()).with_changes(
    {"methods": [method], "order_seeds": [order_seed], "train_seeds": [train_seed]}
)
run = Path(run_folder)

# %% [markdown]
# ## The idea
# What is not changed cannot be forgotten. So freeze the network after each session, put a **new
# feature extractor** beside it, and let one head read the features of all of them:
#
# $$u(x) = [F_1(x), \ldots, F_t(x)], \qquad z(x) = W u(x) + b.$$
#
# $F_1 \ldots F_{t-1}$ are frozen. $F_t$ starts as a copy of $F_{t-1}$ and is trained on the new
# images and the exemplars. $W$ grows in rows, for the new classes, and in columns, for the new
# features.

# %% [markdown]
# ## The loss
# Yan et al. 2021, equation 5, averaged over the batch:
#
# $$L = \mathrm{CE}(z(x), y) + \lambda_a \, \mathrm{CE}(a(F_t(x)), y_a).$$
#
# The first term is the cross-entropy over all $K_t$ classes. The second is for the new extractor
# alone, through a head $a$ of its own with one output a new class and one for all old classes
# together. It is there so that $F_t$ learns what the old extractors do not already know. You met
# that last output as "others" in notebook 2. After training, $a$ is thrown away. Session 1 has the
# first term only.

# %% [markdown]
# ## Then the balance
# New classes had more images than old ones, and the head leans towards them. So with all extractors
# fixed, the head is tuned on the balanced memory, by the cross-entropy of softened logits
# $\mathrm{CE}(z(x) / \delta, y)$ with $\delta$ = `der_temperature`.
#
# Two things differ from the paper. It prunes the channels of each new extractor to slow the growth;
# that is left out, as in most comparisons. And it tunes a freshly drawn head; here the trained head
# is tuned further.

# %% [markdown]
# ## What is trained, what is stored
# Trained are the newest extractor and the heads. Stored are **all** extractors and the exemplars.

# %% [markdown]
# ## Learn the stream, session after session
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
group = learn_stream(run, settings, method, order_seed, train_seed)
found = collect(run, settings)
under = note(settings, group.setup.stream)

# %%
training_losses(found["losses"], note=under)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.
#
# Expect columns to fade less than with replay, which has the same exemplars. The features of old
# classes are all still there; what an old session loses, it loses in the head, which must draw
# borders to the new classes with few exemplars.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# ## The growing bill, and DynaMMo's answer
# DER keeps $t$ whole backbones. **ACL** (notebook 2) freezes one backbone and adds light adapters a
# session. It saves storage, not passes: an image still goes through the backbone $t$ times.
# **DynaMMo** averages the adapter sets into one, so that one pass is left. Counted with
# EfficientNet-Lite0 at 64 px after four sessions of two classes:
#
# | | trained in a session | needed to predict | MMACs an image |
# |---|---|---|---|
# | DER | 3.4 M | 13.5 M | 125 |
# | ACL | 0.3 M | 4.4 M | 179 |
# | DynaMMo | 0.3 M | 3.6 M | 45 |
# | one backbone, no adapters | | 3.4 M | 31 |
#
# Adapters cost MACs of their own, so on this small backbone ACL takes even more than DER.

# %% [markdown]
# ## As published?
# What this notebook got, beside the numbers that are published with this project and how far
# another processor may move them ([expected.csv](../figures/expected.csv)), in percent.

# %%
compared = compare(found["sessions"], settings)
print(told(compared))
compared.round(1)

# %% [markdown]
# ## Where it pays
# For few sessions, where accuracy counts more than hardware and exemplars may be kept. It is
# a good yardstick for what can be remembered at all. It is a poor choice for a device in the
# clinic that learns a class every month: after three years each image takes 36 passes.
#
# For privacy it stands where replay does: exemplars are needed, for the new extractor and the head.

# %% [markdown]
# ## What it costs
# Read down the columns of MMACs and numbers stored.

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. Set `classes_per_session = 4`, then leave it at two. What does an extractor more cost, and what
#    does it bring? Compare the accuracy after the last session, not the mean.
# 2. Set `der_auxiliary = 0.0`. Is the newest extractor still of use? Look at the diagonal.
# 3. Set `memory_budget = 16`. Frozen extractors lose nothing, so what does the lower accuracy of
#    old sessions come from?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. One extractor is one more pass, 31 MMACs, and 3.4 M more numbers. With four classes a session
#    there are two at the end (63 MMACs, 6.8 M) instead of four (125 MMACs, 13.5 M). Expect the last
#    accuracy to be no lower for that: extractors are the price of sessions, not a gain as such. The
#    comparison changes two things, the extractors and the division into sessions. What extractors
#    bring is `der` against `replay` at the same division.
# 2. Yes. The first term reaches it too, through the head, so it still learns the new classes:
#    expect the diagonal to lose little. But it starts as a copy of the extractor before, and what
#    the old ones already explain gives it no gradient, so it may remain close to a copy. The
#    auxiliary loss makes it tell the new classes apart on its own.
# 3. From the head, and from the newest extractor. The head is balanced on two images a class, so
#    its borders between old and new classes are poor. The newest extractor saw twelve exemplars
#    among 212 images in session 4, and the head reads its features for old classes too. The old
#    features are all there: a head tuned on all images of all sessions would bring most of the
#    accuracy back.

# %% [markdown]
# ## References
# * S. Yan et al., *DER: Dynamically expandable representation*, CVPR 2021, arXiv 2103.16788.
# * ACL: arXiv 2304.09042 (adapters per session).
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
#
# **Before:** [regularization](06_regularization.ipynb) ·
# **Next:** [frozen features](08_frozen_features.ipynb)
