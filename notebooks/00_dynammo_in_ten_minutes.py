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
# # 0 · DynaMMo in ten minutes
#
# **What you will see.** A network that learns kinds of blood cells two at a time: how it forgets,
# how small adapters on a frozen network avoid that, how the adapters of all sessions are averaged
# into one set, and what that saves. With a slider over the merging weight.
#
# **Expected.** Fine-tuning ends at 0 % on all but the newest session's kinds; ACL, DynaMMo and the
# last adapter keep most of every session. DynaMMo takes 4.0 times fewer multiply-accumulates than
# ACL.
#
# **Takes** about three minutes on one core. Everything is computed here; nothing is
# downloaded and nothing needs to have been run before.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
images_per_class: int = 60  # of each kind for training; 0: all 300
epochs: int = 10  # of each session; the paper: 200
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
weight_steps: int = 8  # how finely the slider moves

# %%
# %matplotlib inline
import ipywidgets
import numpy as np
import pandas as pd
from IPython.display import display

from dynammo.backbones import make_backbone
from dynammo.catalogue import title
from dynammo.chain import Chain
from dynammo.draw.between_sets import line_figure, weight_figure
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.draw.images import sample_sheet
from dynammo.learner import Setup
from dynammo.measure import cost
from dynammo.measure.between_sets import blend, judge_blends, unified_head
from dynammo.measure.predictions import accuracy_rows, predict
from dynammo.methods import learners_on, make_learner
from dynammo.run.provenance import note
from dynammo.run.run_folder import load_stream, prepare_torch
from dynammo.run.settings import RunSettings

# %%
settings = RunSettings(train_per_class=images_per_class, adapter_epochs=epochs)
device = prepare_torch(settings)
data = load_stream(settings, order_seed)
backbone = make_backbone(settings.backbone, settings.weights).to(device)
under = note(settings.with_changes({"train_seeds": [train_seed]}), data)

# %% [markdown]
# ## The task
# Eight kinds of blood cells, photographed through a microscope from the blood of healthy people.
# They arrive in four **sessions** of two kinds each. When a session is over its images are gone,
# but for a **memory** of 40 images in all. At any time the network must tell **all** kinds it has
# seen apart.

# %%
sample_sheet(data, per_class=6, note=under)

# %% [markdown]
# ## 1. Forgetting
# Take a network pretrained on ImageNet and simply go on training it, session after session. In the
# matrix below, row $i$ is the time after session $i$, column $j$ the kinds of session $j$: read a
# column downwards to see what becomes of one session's knowledge.

# %%
answers = {}


def learn(learner, sessions):
    """Let a learner learn some sessions, and collect its accuracy on each session's kinds."""
    for _ in sessions:
        learner.learn_session()
        found = predict(learner, "test")
        rows = accuracy_rows(found)
        tag = {"method": learner.name, "session": learner.session}
        answers[learner.name, learner.session] = [tag | row for row in rows]


sessions = range(1, data.number_of_sessions + 1)
learn(make_learner("fine_tuning", Setup(settings, data, backbone, train_seed)), sessions)


# %%
def matrices(*names):
    """Accuracy matrices of some methods."""
    rows = [row for (name, _), found in answers.items() if name in names for row in found]
    return accuracy_matrices(pd.DataFrame(rows), note=under)


matrices("fine_tuning")

# %% [markdown]
# Old kinds fall to 0 at once: nothing in the new images says that they ever existed.

# %% [markdown]
# ## 2. Adapters on a frozen network
# Now the network is **frozen**. In front of some of its stages sits an *adapter*, a small branch
# that is added to the map that passes. Only adapters are tuned, a set for each session, and each
# set starts from the one before. What can be forgotten is small, and every set can be kept.
#
# The memory's images are labelled **others** in later sessions, so that each session's head learns
# what is *not* its own.

# %%
chain = Chain(settings, data, backbone, train_seed)
learners = learners_on(chain, ["dynammo", "dynammo_unified_head", "last_adapter", "acl"])
for _ in sessions:
    chain.tune()
    chain.merge()
    chain.choose_exemplars()
    for learner in learners:
        learn(learner, [chain.session])

# %% [markdown]
# ## 3. Keep every set, or average them
# **ACL** keeps every session's set and runs an image through the network once for **each** of them.
# **DynaMMo** averages the sets, parameter by parameter, $W_T = \frac1T\sum_i \theta_i$, tunes the
# heads once more on the memory, and runs **one** pass.

# %%
matrices("acl", "dynammo", "last_adapter")

# %% [markdown]
# ## 4. Move the weight yourself
# Below, $W(w) = (1-w) \cdot$ mean of the first three sets $+ \; w \cdot$ the fourth set. At
# $w = 0$ the last session's adapters are ignored, at $w = 1$ they are all there is, and
# $w = \frac14$ is DynaMMo's mean. At each weight a head over all kinds is tuned on the memory.
# **Move the slider** and watch which session's kinds gain and which lose. These are test images:
# the picture is for understanding, not for choosing a weight by.

# %%
old = blend(chain.adapter_states[:-1], [1 / (chain.session - 1)] * (chain.session - 1))
weights = np.linspace(0, 1, weight_steps + 1)
sets, head = [old, chain.adapter_states[-1]], unified_head(learners)
line = judge_blends(chain, head, sets, [(1 - w, w) for w in weights])

# %%
shown = ipywidgets.Output()
slider = ipywidgets.SelectionSlider(
    options=[(f"{w:.2f}", i) for i, w in enumerate(weights)],
    value=int(np.argmin(abs(weights - 1 / chain.session))),
    description="weight w",
)


def redraw(change=None):
    """Show accuracy by session at the slider's weight."""
    figure = weight_figure(line, slider.value, 1 / chain.session, under)
    with shown:
        shown.clear_output(wait=True)
        display(figure)


slider.observe(redraw, names="value")
redraw()
display(slider, shown)

# %% [markdown]
# The same at all weights at once, for paper:

# %%
line_figure(line, "sessions 1 to 3", "session 4", under)

# %% [markdown]
# ## 5. What it saves
# Multiply-accumulates (MACs) for one image, counted on the networks that were just tuned. The
# paper's claim is this ratio at ten sessions.

# %%
counted = {title(learner.name): cost.count_cost(learner) for learner in learners}
table = pd.DataFrame(counted).T[["macs", "parameters_used", "parameters_stored"]] / 1e6
table.columns = ["MMACs an image", "parameters used (M)", "numbers stored (M)"]
table.round(2)

# %%
ratio = counted["ACL"]["macs"] / counted["DynaMMo"]["macs"]
print(f"After {chain.session} sessions DynaMMo takes {ratio:.1f} times fewer MACs than ACL.")

# %% [markdown]
# ## What to take home
# 1. A network that goes on training forgets; a frozen one with adapters does not have to.
# 2. Keeping every session's adapters costs one pass a session. Averaging them costs one in all.
# 3. What averaging loses in accuracy is in the matrices above. Whether it is worth it depends on
#    how many sessions there are.
# 4. Look at the last adapter alone, too: it costs what DynaMMo costs. When is merging better than
#    not merging? [Notebook 9](09_merging.ipynb) asks that, with real spreads over seeds.

# %% [markdown]
# ## Exercises
# 1. Set `images_per_class = 10`. Which method suffers most, and which hardly?
# 2. At which weight is the accuracy over all kinds best? Is it DynaMMo's? Change `train_seed` and
#    look again before you conclude anything.
# 3. How many sessions would be needed for DynaMMo to take 20 times fewer MACs than ACL?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. The adapters and heads have fewer images to learn from, so all methods lose, but fine-tuning
#    has nothing to lose on old kinds: it stays at 0 there. The memory of 80 then holds every image
#    there is, so nothing is forgotten for want of exemplars.
# 2. Read it from the black line. With another seed the best weight moves, often by more than one
#    step, and the curve near it is flat: a single seed cannot tell neighbouring weights apart.
# 3. Twenty: one pass a session for ACL against one in all. (The heads are too small to count.)

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
# * ACL: arXiv 2304.09042.
#
# **Next:** [prepare the data](01_prepare_data.ipynb) · Words: [glossary](GLOSSARY.md) · For
# teaching: [lecturer's page](LECTURER.md)
