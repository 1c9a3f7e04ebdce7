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
# # 8 · Frozen features: no training at all
#
# **What you will see.** Two methods that pass each image through the frozen ImageNet network once,
# add up some sums and solve for a head. Seconds instead of minutes, no image kept, and an accuracy
# that methods with training have to beat first.
#
# **Expected.** RanPAC is far above class means on the same features. The section "As published?"
# has the numbers.
#
# **Takes** half a minute on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `nearest_class_mean`, `ranpac`, `ranpac_no_projection`. There are no epochs and
# no learning rate to set.

# %% tags=["parameters"]
method: str = "ranpac"  # which of the family
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

stream: str = "blood"  # which data: see notebook 1
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
train_per_class: int = 100  # keep only so many training images a class; 0: all

ranpac_features: int = 2000  # M, the number of random features; the paper: 10,000
more: dict = {}  # any other setting of dynammo/settings.py, by name

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
import torch

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
# If the features $f(x)$ never change, nothing that was learned about them goes out of date. What is
# left to learn is a head, and some heads follow from **sums over images**. Sums can be added up
# session by session: the result is the same as if all images had been there at once.

# %% [markdown]
# ## `nearest_class_mean`: one vector a class
# $$\mu_k = \frac{1}{N_k} \sum_{x \text{ of class } k} \frac{f(x)}{\lVert f(x) \rVert}, \qquad
# \text{prediction} = \arg\max_k \, \cos(f(x), \mu_k)$$
#
# with $N_k$ the number of training images of class $k$ (Mensink et al. 2013; on frozen pretrained
# features Janson et al. 2022). There is no loss. A class that arrives adds a vector, and no other
# vector moves.

# %% [markdown]
# ## `ranpac`: random features and ridge regression
# Class means treat all directions of the features alike. RanPAC (McDonnell et al. 2023, algorithm
# 1, without its optional tuning in the first session) makes more features,
# $h(x) = \max(0, f(x) P)$, with a matrix $P$ of random numbers that is drawn once; then it solves
#
# $$\min_W \; \sum_x \lVert h(x) W - e_y \rVert^2 + \lambda \lVert W \rVert^2
# \quad \Rightarrow \quad W = (G + \lambda I)^{-1} C,$$
#
# where $e_y$ has a 1 at label $y$ and 0 elsewhere, $G = \sum_x h(x)^{\top} h(x)$,
# $C = \sum_x h(x)^{\top} e_y$, and $h(x)$ is a row. The sums run over all images of all sessions so
# far. A fifth of the newest session's training images chooses $\lambda$, a power of ten.

# %% [markdown]
# ## What is trained, what is stored
# Nothing is trained by gradient. Stored are the backbone and the sums: one vector a class, or $G$
# and $C$, which are $M \times M$ and $M \times K_t$ numbers for $M$ = `ranpac_features`.

# %% [markdown]
# ## Learn the stream, session after session
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
group = learn_stream(run, settings, method, order_seed, train_seed)
(learner,) = group.learners
found = collect(run, settings)
under = note(settings, group.setup.stream)

# %% [markdown]
# ## Instead of a training loss
# For RanPAC: the penalty $\lambda$ that was chosen last, and how many of the $M$ random features it
# leaves in use, $\sum_i e_i / (e_i + \lambda)$ for the eigenvalues $e_i$ of $G$. For class means:
# the class that each class is most easily taken for. Cosines near 1 leave little room between two.

# %%
if method != "nearest_class_mean":
    gram = learner.gram.double()
    ridge = gram + learner.penalty * torch.eye(len(gram), device=gram.device)
    used = torch.linalg.solve(ridge, gram).trace().item()  # the sum over eigenvalues, as above
    rows = {"penalty": learner.penalty, "random features": len(gram), "in use": round(used)}
    shown = pd.Series(rows, name="RanPAC after the last session").to_frame()
else:
    means, names = learner.network().head.means, learner.stream.class_names
    cosines, nearest = (means @ means.T).fill_diagonal_(-1).max(dim=1)
    rows = {"nearest other class": [names[i] for i in nearest], "cosine": cosines.tolist()}
    shown = pd.DataFrame(rows, index=names).round(3)
shown

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.
#
# **Nothing is overwritten here.** With class means a column can only fall, and only because an
# image is nearer to the mean of a class that came later. RanPAC weighs all classes anew with every
# session, so a column may also rise.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# ## The order does not matter
# After the last session class means are the same whatever the order and division of the classes, up
# to rounding. So are RanPAC's sums for a given $P$. What is left here is small: $\lambda$ is chosen
# by the newest session, on a fifth of its images. For trained methods the order is a source of
# spread of several points. Who reports one order only cannot tell it from a difference of methods.

# %% [markdown]
# ## Why papers on pretrained models must beat them
# A method that trains for hours on a pretrained network and ends where class means end has learned
# nothing: the accuracy was in the frozen features. Without this row a table cannot show that. The
# control "frozen features" of notebook 2 asks the same of DynaMMo, with DynaMMo's own heads. RanPAC
# asks more, with a stronger head on the same features.

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
# Where the pretrained features suit the images, time is short, or **no image may be kept**. It pays
# less the further images are from ImageNet: features that do not show a difference cannot be made
# to.
#
# Sums are kinder to privacy than images, but not anonymous as such: the mean of a class with one
# image **is** that image's feature.

# %% [markdown]
# ## What it costs
# One pass, the random features included. Look at RanPAC's "numbers stored": $G$ alone has 4
# million, more than the backbone. With the paper's $M$ it would be 100 million.

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. Run `nearest_class_mean` with `order_seed = 0` and `1`, then with `classes_per_session = 4`.
#    What agrees in the last row of the table, and what does not?
# 2. Run `ranpac` with `ranpac_features = 100`, then `500`. What happens to accuracy, to the
#    features in use, and to the numbers stored?
# 3. Set `more = {"weights": "random"}`, a network that never saw an image, for
#    `nearest_class_mean`. How much is left, and what does that say about the images? Then for
#    `ranpac`: look at the penalty, and explain why only one of the two minds that features are very
#    short.

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. The accuracy agrees, up to rounding: the last session leaves the same eight means. So do MMACs,
#    numbers stored (the backbone and eight vectors), parameters trained and exemplars (none).
#    Seconds and peak memory are measured, so they never agree exactly; with four classes a session
#    the last session has twice the images. Earlier rows differ, because other classes were there.
# 2. Accuracy falls with fewer features: 100 numbers cannot hold what 1280 did. At most as many can
#    be in use as there are images, since $G$ is a sum of one term an image: 800 of the 2000 after
#    four sessions, and nearly all of 100. Stored are $M^2 + 8 M$ numbers beside the backbone's 3.35
#    M: 3.36 M in all for 100, 3.60 M for 500, 7.37 M for 2000.
# 3. Expect clearly more than chance, which is 12.5 % of eight classes: a random network still
#    passes on colour, brightness and size, so whatever is left says how much of the difference is
#    as plain as that. RanPAC's penalty should be at the low end of its range. Eigenvalues of $G$
#    grow with the square of the features' length, so for very short ones even the smallest
#    $\lambda$ is large and the solution crude. Class means divide by the length first and do not
#    mind.

# %% [markdown]
# ## References
# * T. Mensink et al., *Distance-based image classification*, TPAMI 35, 2013.
# * P. Janson et al., *A simple baseline that questions the use of pretrained-models in continual
#   learning*, arXiv 2210.04428.
# * M. D. McDonnell et al., *RanPAC*, NeurIPS 2023, arXiv 2307.02251.
#
# **Before:** [network expansion](07_expansion.ipynb) · **Next:** [merging](09_merging.ipynb)
