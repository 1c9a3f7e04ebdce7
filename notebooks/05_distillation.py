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
# # 5 · Knowledge distillation: let the old network teach the new one
#
# **What you will see.** Five ways of asking the network of the last session what it would have
# answered, from one that keeps no image to one that compares the maps of every stage.
#
# **Expected.** LwF, which keeps no image, is lowest by far. The section "As published?" has the
# numbers.
#
# **Takes** about three minutes on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `lwf`, `icarl`, `wa`, `ucir`, `podnet`.

# %% tags=["parameters"]
method: str = "icarl"  # which of the family
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

stream: str = "blood"  # which data: see notebook 1
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
train_per_class: int = 100  # keep only so many training images a class; 0: all
memory_budget: int = 40  # exemplars in all, shared by the classes seen
adapter_epochs: int = 10  # epochs a session, the same for all methods
network_learning_rate: float = 0.1  # of the whole network

lwf_temperature: float = 2.0  # softens both networks' answers
lwf_weight: float = 1.0  # of the distillation
wa_temperature: float = 2.0  # softens both networks' answers
ucir_less_forget: float = 5.0  # weight of the distance between features, before it is scaled
ucir_margin: float = 0.5  # by which an exemplar's own class should lead
ucir_negatives: int = 2  # nearest new classes that it should lead before
ucir_scale: float = 10.0  # initial scale of the cosines
podnet_spatial: float = 3.0  # weight of the distance between maps
podnet_flat: float = 1.0  # weight of the distance between features
podnet_margin: float = 0.6  # by which the right class should lead
podnet_proxies: int = 10  # vectors that stand for one class
podnet_scale: float = 10.0  # scale of the similarities, fixed
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
# Before session $t$ begins, the network is copied and frozen: the *teacher*. The new network, the
# *student*, starts as the same network, learns the new classes, and is asked to stay close to the
# teacher in something. The methods differ in **what** should stay close:
#
# | method | trains on | stays close in | against the pull to new classes |
# |---|---|---|---|
# | `lwf` | new images | probabilities of old classes | nothing |
# | `icarl` | new images, exemplars | probability of each old class | nearest mean of exemplars |
# | `wa` | new images, exemplars | probabilities of old classes | head's weights made equally long |
# | `ucir` | new images, exemplars | direction of the features | cosines, and a margin |
# | `podnet` | new images, exemplars | maps and features | cosines, head tuned on the memory |

# %% [markdown]
# ## Symbols
# $f(x)$: features; $z(x)$: logits of all $K_t$ classes seen, $z_{old}$ and $z_{new}$ the parts of
# old and of new classes; $\hat f, \hat z$: the teacher's; $n_t$: number of new classes;
# $o_t = K_t - n_t$: old ones; $\sigma$: softmax; $\mathrm{CE}(z, y)$: cross-entropy of label $y$.
# The *distillation loss* is the cross-entropy of answers softened by a temperature $\tau$,
#
# $$\mathrm{KD}_\tau(z, \hat z) = -\sum_k \sigma_k(\hat z / \tau) \, \log \sigma_k(z / \tau).$$
#
# Each loss below is for one image and is averaged over the batch. In session 1 there is no teacher,
# and only the first term is left.

# %% [markdown]
# ## `lwf`: learning without forgetting
# $$L = \mathrm{CE}(z_{new}, y) + \lambda \, \mathrm{KD}_\tau(z_{old}, \hat z)$$
#
# on new images only (Li and Hoiem 2016, equations 1 to 3; $\tau = 2$, $\lambda = 1$). Old and new
# logits never stand in one softmax, so nothing says which of them should be larger. LwF was made
# for tests in which the session is given. Here it is not, and that is much harder.

# %% [markdown]
# ## `icarl`: yes or no for each class, then the nearest mean
# $$L = -\frac{1}{K_t} \sum_{k=1}^{K_t} \big[ q_k \log s(z_k) + (1 - q_k) \log (1 - s(z_k)) \big],$$
#
# with $s$ the sigmoid, $q_k = s(\hat z_k)$ for old classes and $q_k = 1$ or $0$ by the label for
# new ones (Rebuffi et al. 2017, algorithm 3; the mean over classes is the released code's). The
# head is used in training alone. A test image gets
# the class whose exemplars' mean feature is nearest (algorithm 1), and means of few and of many
# images are equally long.

# %% [markdown]
# ## `wa`: weight aligning
# $$L = (1 - \lambda) \, \mathrm{CE}(z, y) + \lambda \, \mathrm{KD}_\tau(z_{old}, \hat z), \qquad
# \lambda = o_t / K_t$$
#
# (Zhao et al. 2020, equation 3; $\tau = 2$). After training, the head's rows $w_k$ of the new
# classes are multiplied by
# $\gamma = \mathrm{mean}_{old} \lVert w_k \rVert \,/\, \mathrm{mean}_{new} \lVert w_k \rVert$
# (equations 6 to 8). The paper found new rows longer after long training, hence $\gamma < 1$. After
# a short one from fresh rows they may be shorter: then $\gamma > 1$, and aligning favours new
# classes. Weights are clipped at 0 after each step, so that longer rows give larger logits.

# %% [markdown]
# ## `ucir`: directions instead of lengths
# Logits are $z_k = \eta \cos(f, w_k)$ with learned scale $\eta$ (Hou et al. 2019, equation 4), and
#
# $$L = \mathrm{CE}(z, y) + \lambda \sqrt{o_t / n_t} \; (1 - \cos(f, \hat f))
# + \frac{1}{n} \sum_{k} \max(0, \; m - \cos(f, w_y) + \cos(f, w_k)).$$
#
# The second term (equation 6) holds the features. The third (equation 8) is for exemplars, averaged
# over them, with $k$ running over the $n$ nearest new classes. New rows begin as mean features; old
# rows keep their direction. The network's last ReLU is taken out, so that features may be negative
# and cosines with wrong classes can fall below 0.

# %% [markdown]
# ## `podnet`: every stage, pooled
# Each class has several proxies $w_{k,p}$. With $c_p = \cos(f, w_{k,p})$ its similarity is
# $s_k = \sum_p \sigma_p(c) \, c_p$ (Douillard et al. 2020, equation 8), and the classification loss
# is
#
# $$L_{class} = \max\Big(0, \; -\eta \, (s_y - \delta) + \log \sum_{k \ne y} \exp(\eta \, s_k)\Big)
# \quad \text{(equation 9)}.$$
#
# The paper learns the scale $\eta$. In sessions of few steps it falls for as long as the right
# class leads by less than $\delta$, and would end below 0, so here it is fixed.

# %% [markdown]
# For every stage $l$ of the backbone, $g_l(x)$ holds the sums of the squared map over its width and
# over its height, brought to length 1 (equations 4 to 6). Then
#
# $$L = L_{class} + \sqrt{K_t / n_t} \; \Big( \lambda_c \, \mathrm{mean}_l
# \lVert g_l - \hat g_l \rVert + \lambda_f \, (1 - \cos(f, \hat f)) \Big).$$
#
# Sums along an edge may stay the same while details move: stricter than comparing answers, looser
# than comparing pixels. In the end the head alone is tuned on the balanced memory.

# %% [markdown]
# ## What is trained, what is stored
# The whole network and the head are trained. Stored are the network and, LwF apart, the exemplars.
# The teacher **is** the stored network, so it takes no room between sessions, but while training it
# lies in memory a second time, and every image passes through both.

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
# Distillation trades *stability* (columns that do not fade) for *plasticity* (a bright diagonal).
# Too little, and the first column goes dark as in fine-tuning; too much, and the later entries of
# the diagonal do. For `lwf` expect the newest session far ahead of all others.

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
# One pass at test time, no growth. **Without images** (`lwf`) it is one of the few choices where
# nothing of a patient may be kept, but it needs help to tell old classes from new. With a memory it
# has to earn its second pass in training against plain replay (notebook 4).
#
# The weights of the losses come from papers that train for 100 epochs and more, mostly from
# scratch. Here are 8 epochs from ImageNet weights. A method may well rank elsewhere than in its
# paper: that is a finding about the setting, and a reason not to copy weights without validation.

# %% [markdown]
# ## What it costs
# Compare the seconds of session 1, which has no teacher, with those of the others.

# %%
cost_by_session(found)

# %% [markdown]
# ## Exercises
# 1. Run `lwf` and `wa`. Where in the matrix do the exemplars show? Then run `replay` of notebook 4:
#    does distillation add anything to the exemplars here?
# 2. Run `ucir` with `ucir_less_forget = 0.0` and `20.0`. Look at the first column and at the
#    diagonal, and say which end is stability and which is plasticity.
# 3. Run `icarl` and `wa` with `memory_budget = 16`, two exemplars a class in the end. In which part
#    of the matrix does each of the two suffer, and why? Think of where it uses the exemplars.

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. To the left of the diagonal: LwF's old columns go dark, WA's stay brighter, because only WA has
#    old images, with their labels, in one softmax with the new. What distillation adds is `wa`
#    against `replay`, which has the same exemplars. In a trial on real blood cells it added
#    nothing: WA came out below replay. In session 4 its cross-entropy has a weight of only $2/8$,
#    and aligning, meant to hold new classes back, favoured them ($\gamma > 1$).
# 2. At 0.0 nothing holds the features: bright diagonal, fading first column, that is plasticity. At
#    20.0 their direction can hardly move: the first column lasts, later entries of the diagonal are
#    darker, that is stability. The weight is also multiplied by $\sqrt{o_t / n_t}$, in session 4 by
#    $\sqrt 3$, so stability grows with the sessions. Even at 0.0 exemplars, cosines and the margin
#    protect old classes, so it does not fall as far as fine-tuning.
# 3. iCaRL needs the exemplars at test time too: the mean of two images stands for a class, for new
#    classes as well, although they had 100 images in training. So it loses everywhere, the diagonal
#    included, but without favour, since all means are equally long; and herding chose the two so
#    that their mean is near that of all. WA needs them in training alone, two against 100: its
#    diagonal stays bright, and the old columns fade.

# %% [markdown]
# ## References
# * Z. Li, D. Hoiem, *Learning without forgetting*, ECCV 2016, arXiv 1606.09282.
# * S.-A. Rebuffi et al., *iCaRL*, CVPR 2017, arXiv 1611.07725.
# * B. Zhao et al., *Maintaining discrimination and fairness* (WA), CVPR 2020, arXiv 1911.07053.
# * S. Hou et al., *Learning a unified classifier incrementally via rebalancing*, CVPR 2019.
# * A. Douillard et al., *PODNet*, ECCV 2020, arXiv 2004.13513.
# * G. Hinton et al., *Distilling the knowledge in a neural network*, arXiv 1503.02531.
#
# **Before:** [memory replay](04_replay.ipynb) · **Next:** [regularization](06_regularization.ipynb)
