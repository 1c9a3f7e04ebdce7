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
# # 3 · The bounds: what is lost without any method, and what could be had
#
# **What you will see.** A network that trains on each session's images alone, and one that trains
# on all images so far. Every other method is judged by where it falls between the two.
#
# **Expected.** Fine-tuning knows nothing but the newest session's classes, and ends at one class in
# four. Joint training comes close to 100 % first and loses only what more classes cost. The section
# "As published?" has the numbers.
#
# **Takes** about two minutes (joint training four) on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `fine_tuning`, `joint`.

# %% tags=["parameters"]
method: str = "fine_tuning"  # which of the two bounds
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

stream: str = "blood"  # which data: see notebook 1
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
train_per_class: int = 100  # keep only so many training images a class; 0: all
adapter_epochs: int = 10  # epochs a session, the same for all methods
network_learning_rate: float = 0.1  # of the whole network
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
# ## Two ways that need no idea
# From here to notebook 7 the **whole network** is trained, backbone included. All methods start
# from the same ImageNet weights and have the same epochs, batches and schedule, so that they differ
# in their idea alone. The head has one output a class and grows with every session.
#
# * **Fine-tuning** goes on from the last session's weights, with the new images only.
# * **Joint training** begins again from the ImageNet weights, with the images of all sessions so
#   far.

# %% [markdown]
# ## The loss
# Both minimise the cross-entropy over **all** classes seen,
#
# $$L = -\frac{1}{|B|} \sum_{(x, y) \in B} \log p_y(x), \qquad
# p(x) = \mathrm{softmax}(z(x)),$$
#
# where $B$ is a batch of images $x$ with labels $y$, and $z(x)$ holds one number, a *logit*, for
# each of the $K_t$ classes seen. They differ in what batches are drawn from: the new images, or
# all.

# %% [markdown]
# ## Why fine-tuning forgets
# No image of session $t$ has an old label, so the quickest way to lower the loss is never to answer
# an old class: old logits sink with every step. At the same time the features move to where they
# suit the new classes. McCloskey and Cohen described it in 1989 and called it **catastrophic
# interference**.
#
# | | trained | kept for the next session |
# |---|---|---|
# | fine-tuning | the whole network and the head | the network |
# | joint training | the same, from the beginning | every training image |

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
# * **Fine-tuning:** a bright diagonal, and dark to the left of it. A network that only answers the
#   newest classes is right on 2 of 8 classes, 25 %, however well it knows those two.
# * **Joint training:** columns fade a little too, but that is no forgetting: each session adds
#   classes that an image can be taken for. No method can be blamed for that part.

# %%
accuracy_matrices(found["accuracy"], note=under)

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
# **Joint training** is the right choice wherever all images may be kept and training time does not
# matter. For medical images the first is often not so: they may have to stay in another hospital,
# or be deleted when a study ends. And it trains on everything again each session, so the total work
# grows with the square of the number of sessions. That is why it is **not incremental**.
#
# **Fine-tuning** costs least, stores no image, and pays only where old classes no longer matter.
#
# "Bounds" is a habit of speech, no theorem. A badly tuned method can do worse than fine-tuning, and
# one with more parameters (notebook 7) or more steps in all may do better than joint training.

# %% [markdown]
# ## What it costs
# One pass at test time for both. Watch the seconds of joint training, and the images it keeps.

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. Run both methods. The difference of their last rows is all that incremental learning can win.
#    By how much do they differ after two sessions, by how much after four?
# 2. Run `fine_tuning` with `network_learning_rate = 0.01`, then `0.001`. Look at the first column
#    and at the diagonal: does less change mean less forgetting, and at what price?
# 3. Run `joint` with `order_seed = 0` and `1`. Which entries of the accuracy column have to agree
#    up to chance, and why not the others?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Run the notebook with `method = "fine_tuning"`, then with `method = "joint"`; both may have the
#    same `run_folder`. Fine-tuning answers little but the newest two classes: about 50 % of four
#    classes after two sessions, 25 % of eight after four, if it knows the newest perfectly. Joint
#    training falls far less than those 25 points, so the gap widens with every session.
# 2. Yes, and the price is the new classes. Small steps leave old weights and old logits nearer to
#    where they were, so the first column may keep more. But eight epochs of seven steps no longer
#    suffice to learn the new classes, so the diagonal gets darker. No rate is good at both, since
#    nothing in the loss speaks for old classes. Beware of the number called "forgetting" here: what
#    was never learned cannot be forgotten.
# 3. Those after sessions 2 and 4. Joint training depends on which classes there are, not on when
#    they came. After four sessions both orders have all eight; after two, by chance, both have
#    neutrophil, erythroblast, eosinophil and platelet (see notebook 1). After sessions 1 and 3 they
#    have different classes, and some are easier to tell apart than others. "Up to chance", because
#    the order seed is also part of the seeds of heads and batches.

# %% [markdown]
# ## References
# * M. McCloskey, N. J. Cohen, *Catastrophic interference in connectionist networks*, Psychology of
#   Learning and Motivation 24, 1989.
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734 (ours
#   is the third: class-incremental).
#
# **Before:** [one incremental session](02_incremental_session.ipynb) ·
# **Next:** [memory replay](04_replay.ipynb)
