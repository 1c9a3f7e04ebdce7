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
# # 6 · Regularization: hold the weights that mattered
#
# **What you will see.** A network that keeps no image and no teacher, only a number for each
# weight: how much old predictions depend on it. And how far that gets when nobody says which
# session a test image is from.
#
# **Expected.** EWC is above fine-tuning and far below every method that keeps images. The section
# "As published?" has the numbers.
#
# **Takes** about two and a half minutes on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is `ewc`, *elastic weight consolidation*.

# %% tags=["parameters"]
method: str = "ewc"  # the one of the family that is here
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

stream: str = "blood"  # which data: see notebook 1
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
train_per_class: int = 100  # keep only so many training images a class; 0: all
adapter_epochs: int = 10  # epochs a session, the same for all methods
network_learning_rate: float = 0.1  # of the whole network

ewc_strength: float = 1000.0  # lambda of the penalty
ewc_fisher_images: int = 100  # images of a session that the importances are estimated from
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
# A network has many more weights than it needs, so there are many ways to learn the new classes.
# Take one that leaves alone the weights that the old classes depend on: tie each weight to where it
# was with a spring, and make the spring stiff where the weight mattered.

# %% [markdown]
# ## The loss
# Kirkpatrick et al. 2017, equation 3:
#
# $$L = \mathrm{CE}(z_{new}(x), y) + \frac{\lambda}{2} \sum_i F_i \, (\theta_i - \theta^*_i)^2.$$
#
# $\mathrm{CE}$ is the cross-entropy of label $y$ among the logits $z_{new}$ of the session's own
# classes, averaged over the batch; $\theta_i$ are the weights, $\theta^*_i$ what they were at the
# end of the last session; $\lambda$ is `ewc_strength`. In session 1 there is no second term, and
# the head's new rows are always free.

# %% [markdown]
# ## How much a weight mattered
# The diagonal of the *Fisher information*: how strongly the answer reacts to the weight,
#
# $$F_i = \frac{1}{N} \sum_{x} \Big( \frac{\partial \log p_y(x)}{\partial \theta_i} \Big)^2,
# \qquad y \sim p(x).$$
#
# It is a mean over $N$ images (`ewc_fisher_images`), each with a label drawn from the network's own
# answer $p(x)$, and squared image by image: a batch's mean gradient, squared, would be something
# else and far smaller.

# %% [markdown]
# ## What this code does that the paper does not
# * The paper keeps an $F$ and a $\theta^*$ for every session. Here the $F$ of all sessions are
#   added up around the newest $\theta^*$ (Huszár 2017), so storage does not grow.
# * $\lambda F_i$ is cut off at 1 over the learning rate, the pull that brings a weight right back
#   in one step. SGD would overshoot with more, further each time, until the losses are no numbers.
#
# Batch norm's running statistics are no weights: no spring holds them, and they follow the new
# images.

# %% [markdown]
# ## What is trained, what is stored
# The whole network and the head are trained. Stored are the network, which is $\theta^*$ as well,
# and one $F_i$ for each weight: twice the numbers, and not a single image.

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
# Expect old sessions to fade less than in fine-tuning, and the newest to lead. Two reasons: old and
# new logits are never compared in training, so nothing says which should be larger; and springs
# know the old loss only near $\theta^*$, in the shape of a parabola, which holds less the further
# the weights go. EWC was made for tests in which the task is given. In the class-incremental
# setting methods of this kind are known to fail (van de Ven and Tolias 2019).

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
# Where **no image may be kept**, the network must not grow, and sessions are alike or the session
# is known at test time: the same classes from another scanner, say. One pass at test time. For
# privacy it is the easiest case to argue: weights and importances leave the hospital, pixels do
# not. (Weights are not free of what they were trained on either, but that is so for every method.)
#
# As one term among others, beside a few exemplars, it can still help.

# %% [markdown]
# ## What it costs
# Compare "numbers stored" with notebook 3's. The seconds include the estimate of $F$, image by
# image.

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. Set `ewc_strength = 0.0`, which leaves the first term alone. Compare with `fine_tuning` of
#    notebook 3: what does it change that old logits are kept out of the softmax?
# 2. Set `ewc_strength` to `10.0` and `100000.0`. Look at the first column and at the diagonal. Is
#    there a strength at which both are good?
# 3. Set `ewc_fisher_images` to `10` and `200`. How do seconds and accuracy change? How many images
#    would you use?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. The springs are gone, and one thing is left: old logits are not in the softmax, so no step
#    pushes them down. Expect the first column not to fall to 0 at once as in fine-tuning, and the
#    diagonal to be darker, since nothing makes new logits larger than old ones either. What springs
#    add is EWC against **this** run; against fine-tuning, both changes are counted as one.
# 2. At 10 the weights are nearly free: bright diagonal, fading first column. At 100,000 the pull is
#    at its limit (one over the learning rate, 10) for every weight with $F_i$ above 0.0001, so
#    hardly anything but the head's new rows learns, and the diagonal goes dark. No strength is good
#    at both: springs hold old answers at best, but no image says whether an old or a new logit
#    should be larger, and batch norm's statistics move however stiff the springs are. With one seed
#    the way from one end to the other need not even be smooth.
# 3. The estimate takes one backward pass an image, so its seconds grow twentyfold; the rest of
#    training stays the same. A mean over $N$ images has an error that falls as $1/\sqrt N$: from 10
#    images some weights look free that matter to others, while from 100 to 200 (all that a session
#    has) little changes. Take the number beyond which accuracy on validation images stays the same;
#    about 100 is a fair guess, and all of them if time does not matter.

# %% [markdown]
# ## References
# * J. Kirkpatrick et al., *Overcoming catastrophic forgetting in neural networks*, PNAS 2017, arXiv
#   1612.00796.
# * F. Huszár, *On quadratic penalties in elastic weight consolidation*, arXiv 1712.03847.
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734.
#
# **Before:** [knowledge distillation](05_distillation.ipynb) ·
# **Next:** [network expansion](07_expansion.ipynb)
