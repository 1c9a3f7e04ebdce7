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
# # 15 · What differs from the paper and its code, and why
#
# **What you will see.** Where this companion departs from the paper and from the authors'
# [release](https://github.com/BioMedIA-MBZUAI/DynaMMo), shown by running both ways where they can
# be run: the release's merged forward pass, rebuilt, costs what keeping every set costs, and
# returns the same features T times.
#
# **Expected** (counted, exact): with T = 10 sessions, ResNet-18 and 224 px, the release's merged
# pass takes over 9 times the multiply-accumulates of one pass; all of its T blocks are equal.
#
# **Takes** about ten seconds.

# %% [markdown]
# ## Parameters
# With a clone of the release on this machine, name its folder: the facts about its files are then
# read off it below. Without one that cell is passed over.

# %% tags=["parameters"]
released_code: str = ""  # folder of a clone of the release; empty: none here
sessions: int = 10  # T, how many sessions to count with

# %%
from pathlib import Path

import pandas as pd
import torch
from IPython.display import display

from dynammo.adapters import AdaptedNetwork, make_adapters
from dynammo.backbones import make_backbone
from dynammo.baselines.released_code import ReleasedMergedNetwork, release_facts, released_head_loss
from dynammo.heads import TaskHeads
from dynammo.measure import cost
from dynammo.training import linear_head

# %% [markdown]
# ## The released files
# Read off a clone, not run: its configurations for DynaMMo name the method `acl`, its learner
# imports ACL's network, and the merged network's file is imported by nothing and calls an averaging
# function that no file defines. So what the release runs under the name of DynaMMo is ACL.

# %%
if released_code:
    facts = release_facts(Path(released_code))
    display(pd.Series(facts, name="found").to_frame())
else:
    print("No clone of the release here: name its folder in `released_code` to read it.")

# %% [markdown]
# ## Its merged forward pass, mended
# With the missing function filled in, the merged network averages the adapters, but then applies
# the average T times and joins the results along the batch. What follows runs on T times as many
# maps. The blocks are copies of one another, so one pass gives the same answer.

# %%
backbone = make_backbone("resnet18", "random")
adapters = make_adapters(backbone, backbone.adapter_stages, 224, seed=0, padding="valid").eval()
one = AdaptedNetwork(backbone, adapters).eval()
tiled = ReleasedMergedNetwork(backbone, adapters, sessions).eval()

images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    blocks, once = tiled(images), one(images)
print("blocks:", tuple(blocks.shape), "(images, sessions, features)")
print("largest difference between blocks:", (blocks - blocks[:, :1]).abs().max().item())
print("largest difference from one pass: ", (blocks[:, 0] - once).abs().max().item())

# %%
macs = {
    "one pass with the merged set": cost.count_macs(one, 224).torch,
    f"the release's merged pass, T = {sessions}": cost.count_macs(tiled, 224).torch,
    f"every set kept (ACL), T = {sessions}": sessions * cost.count_macs(one, 224).torch,
}
table = pd.DataFrame({"GMACs an image": pd.Series(macs) / 1e9})
table["times one pass"] = table["GMACs an image"] / table["GMACs an image"].iloc[0]
table.round(2)

# %% [markdown]
# The little that the release saves lies before the first adapter: one convolution is computed once
# instead of T times. ACL could do the same.

# %% [markdown]
# ## Heads that sit a batch out
# In the release's head tuning, a session's head learns from a batch only if it holds an image of
# that session. Then it never sees a batch made of foreign images alone, from which it could learn
# to say "others". Ours learns from every batch, as the description in the paper reads. With batches
# of 32 from a balanced memory the two hardly differ; with many sessions they do:

# %%
generator = torch.Generator().manual_seed(0)
rows = []
for count in (2, 5, 10, 20):
    heads = TaskHeads(16)
    for session in range(count):
        heads.add_session(linear_head(16, 3, session, torch.device("cpu")))
    labels = torch.randint(0, 2 * count, (32,), generator=generator)
    features = torch.randn(32, 1, 16, generator=generator)
    with torch.no_grad():
        theirs, ours = (
            released_head_loss(heads, features, labels),
            heads.loss(features, labels),
        )
    rows.append({"sessions": count, "the release": theirs.item(), "here": ours.item()})
pd.DataFrame(rows).set_index("sessions").round(2)

# %% [markdown]
# ## Everything else
#
# | | paper or release | here, by default | theirs with |
# |---|---|---|---|
# | backbone | ResNet-18 | EfficientNet-Lite0 | `--profile paper` |
# | images | 224 px | 64 px | `--profile paper` |
# | adapter tuning | 200 epochs, rate 0.01 | 10 epochs, rate 0.1 | `--profile paper` |
# | later sessions' heads | fresh | from the auxiliary head | `later_heads = "fresh"` |
# | head tuning | 100 epochs | 1,500 steps | `head_steps = 0` |
# | initial alpha | 0.02 | 2 | `adapter_alpha = 0.02` |
# | padding | none | same size | `adapter_padding = "valid"` |
# | head | figure 2: one; release: one a session | one a session | `dynammo_unified_head` |
# | merged set | averaged at every pass | a running mean | |
# | seeds | one for order and training | one each | equal ones |
# | pixels are scaled by | mean and spread of the data set | those of the pretrained weights | |
# | framing | squashed to a square | cropped to a square | images squashed beforehand |
# | PATH16's class numbers | order of a directory listing | order of names | |
# | validation images | none | every tenth training image (SKIN8, PATH16) | |
# | test images | read after every epoch | read once a session | |
# | choices | not said | on validation images | |
#
# * EfficientNet-Lite0's weights come with a package, so everything runs offline, and it is light
#   enough for two cores; so are 64 px and 8 epochs.
# * Rate and alpha go with the few epochs, and were chosen on validation images.
# * Without padding maps shrink by 2 and grow back, which fails on maps under 3 × 3.
# * A head for each session, as ACL has, so that ACL and DynaMMo differ in merging alone.
# * A running mean is the same mean, and its storage does not grow with the sessions.
# * Class orders move accuracy by several points, so order and training have seeds of their own.
# * Nothing is chosen on test images, and reading them every epoch takes time.
#
# "8 epochs" and the others are the values in [settings.py](../dynammo/settings.py), each with its
# source.

# %% [markdown]
# ## Exercises
# 1. Why does the release's pass take slightly fewer MACs than ACL's T passes?
# 2. With the release's loss, what does the head of session 1 learn about session 20's images?
# 3. Set `sessions = 1`. Which of the two tables above becomes equal in all rows, and why?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. The layers before the first adapter run on one copy of the batch. In ResNet-18 that is the
#    first convolution, some 6 % of a bare pass and less of one with adapters.
# 2. Only what batches show that happen to hold an image of session 1 as well. With 20 sessions of
#    two classes and batches of 32 that is four batches in five: $1 - (19/20)^{32} = 0.81$.
# 3. The first: with one session there is nothing to tile, so all three are one pass.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099, and its released code.
# * W. Zhang et al., *Adapter Learning in Pretrained Feature Extractor for Continual Learning of
#   Diseases* (ACL), MICCAI 2023, arXiv 2304.09042.
#
# **Before:** [the study](14_the_study.ipynb)
