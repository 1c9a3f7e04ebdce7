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
# # 20 · What differs from the paper and its code, and why
#
# **What you will see.** Where this companion departs from the paper and from the authors'
# [release](https://github.com/BioMedIA-MBZUAI/DynaMMo), shown by running both ways where they can
# be run. The release's merged forward pass is written out in a cell. It costs nearly what keeping
# every set costs, and returns the same features once for each session.
#
# **Expected.** With the paper's network and image size the release's merged pass takes nearly as
# many multiply-accumulates as one pass for each session. All of its blocks are equal, up to
# rounding. All of this is counted, so it comes out the same on every machine.
#
# **Takes** about twenty seconds.

# %% [markdown]
# ## Parameters
# With a clone of the release on this machine, name its folder: the facts about its files are then
# read off it below. Without one that cell is passed over.

# %% tags=["parameters"]
released_code: str = ""  # folder of a clone of the release; empty: none here
sessions: int = 10  # T, how many sessions to count with

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from torch.utils.flop_counter import FlopCounterMode

from dynammo.adapters import AdaptedNetwork, Adapter, make_adapters
from dynammo.backbones import make_backbone
from dynammo.baselines.released_code import ReleasedMergedNetwork, release_facts, released_head_loss
from dynammo.draw.copies import copies_figure
from dynammo.heads import TaskHeads
from dynammo.measure import cost
from dynammo.run.expected import as_expected
from dynammo.run.profiles import load_profile
from dynammo.run.settings import RunSettings, changes_of
from dynammo.training import linear_head

# %% [markdown]
# ## The released files
# Read off a clone, not run: its configurations for DynaMMo name the method `acl`, its learner
# imports ACL's network, and the merged network's file is imported by nothing and calls an averaging
# function that no file defines. So what the release runs under the name of DynaMMo is ACL, which
# keeps every session's set of adapters and runs an image through the network once for each.

# %%
if released_code:
    facts = release_facts(Path(released_code))
    display(pd.Series(facts, name="found").to_frame())
else:
    print("No clone of the release here: name its folder in `released_code` to read it.")

# %% [markdown]
# ## Its merged forward pass, mended
# With the missing function filled in (you can write it below), the merged network averages the
# adapters. But then, wherever there is an adapter, it applies the average $T$ times and joins the
# results along the batch. At the first adapter these are $T$ times the same maps. Everything after
# it runs on $T$ times as many.


# %%
def released_pass(x, merged, sessions):
    """Features [images, sessions, D] as the release's merged network finds them."""
    count = len(x)
    for name, stage in backbone.network.named_children():
        if name in merged.stage_names:
            blocks = x.split(count) if len(x) > count else [x] * sessions
            x = torch.cat([merged[name](block) for block in blocks])
        x = stage(x)
    return x.flatten(1).unflatten(0, (sessions, count)).transpose(0, 1)


# %% [markdown]
# And one pass with the same merged adapters:


# %%
def one_pass(x, merged):
    """Features [images, D]."""
    for name, stage in backbone.network.named_children():
        x = stage(merged[name](x) if name in merged.stage_names else x)
    return x.flatten(1)


# %% [markdown]
# The network that the library judges does the same as the first cell, and its own pass the same as
# the second. (The weights do not matter for any of this, so they are random.)

# %%
backbone = make_backbone("resnet18", "random")
places = backbone.adapter_stages
merged = make_adapters(backbone, places, 224, seed=0, alpha=0.02, padding="valid").eval()
one = AdaptedNetwork(backbone, merged).eval()
tiled = ReleasedMergedNetwork(backbone, merged, sessions).eval()

images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    blocks, once = released_pass(images, merged, sessions), one_pass(images, merged)
    assert torch.allclose(blocks, tiled(images), atol=1e-4)
    assert torch.allclose(once, one(images), atol=1e-4)
print("blocks:", tuple(blocks.shape), "(images, sessions, features)")
print(f"largest difference between blocks: {(blocks - blocks[:, :1]).abs().max().item():.1e}")
print(f"largest difference from one pass:  {(blocks[:, 0] - once).abs().max().item():.1e}")

# %% [markdown]
# So all but the first block is computed for nothing. What does it cost? A *multiply-accumulate*
# (MAC) is one product, added to a sum. Counted stage by stage, on one image:


# %%
def macs_by_stage(x, merged):
    """MACs of each stage, with the adapter in front of it, for one copy of an image."""
    rows = []
    for name, stage in backbone.network.named_children():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            x = stage(merged[name](x) if name in merged.stage_names else x)
        rows.append({"stage": name, "macs": counter.get_total_flops() // 2})
    return pd.DataFrame(rows)


# %%
table = macs_by_stage(images[:1], merged)
after = (table.stage == places[0]).cumsum() > 0  # the first adapter
table["one pass, the merged set"] = 1
table["the release's merged pass"] = 1 + (sessions - 1) * after
table["ACL, every set"] = sessions
copies_figure(table, f"ResNet-18 with adapters, 224 px, T = {sessions}; an area is a cost")

# %% [markdown]
# The little that the release saves lies before the first adapter: there one copy is enough. ACL
# could do the same. (The library's counter, which counts whole networks, agrees:)

# %%
macs = {
    "one pass, the merged set": cost.count_macs(one, 224).torch,
    "the release's merged pass": cost.count_macs(tiled, 224).torch,
    "ACL, every set": sessions * cost.count_macs(one, 224).torch,
}
for way, counted in macs.items():
    assert abs((table.macs * table[way]).sum() - counted) < 0.001 * counted, way
ratios = pd.DataFrame({"GMACs an image": pd.Series(macs) / 1e9})
ratios["times one pass"] = ratios["GMACs an image"] / ratios["GMACs an image"].iloc[0]
ratios.round(2)

# %%
times, apart = ratios["times one pass"], (blocks - blocks[:, :1]).abs().max().item()
as_expected(
    {
        "the release's merged pass: nearly that of every set": (
            f"{times.iloc[1]:.2f} to {times.iloc[2]:.2f}",
            times.iloc[1] > 0.9 * times.iloc[2],
        ),
        "its blocks are equal": (f"up to {apart:.0e}", apart < 1e-3),
    }
)

# %% [markdown]
# **Now change a line** of `released_pass`: `[x]` in place of `[x] * sessions`, and `1` in place of
# `sessions` in the last line. One block is left, with the same features. That is the pass that this
# companion runs, and what "ten times fewer" is counted from.

# %% [markdown]
# ## Heads that sit a batch out
# Each session has a head with an output for each of its own classes and one more, "others". In the
# release's tuning of the heads, a head learns from a batch only if the batch holds an image of its
# session. Then it never sees a batch of foreign images alone, from which it could learn to say
# "others". (A *logit* is an output before softmax turns it into a probability.)


# %%
def released_loss(logits, targets):
    """Cross-entropies of logits [images, sessions, outputs] and targets [images, sessions]."""
    others, losses = logits.shape[2] - 1, []
    for session in range(logits.shape[1]):
        if (targets[:, session] != others).any():  # ours: every head learns from every batch
            losses.append(F.cross_entropy(logits[:, session], targets[:, session]))
    return sum(losses)


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
        theirs = released_loss(heads.session_logits(features), heads.targets[labels])
        assert torch.allclose(theirs, released_head_loss(heads, features, labels))
        ours = heads.loss(features, labels)
    rows.append({"sessions": count, "the release": theirs.item(), "here": ours.item()})

# %% [markdown]
# The loss of a batch of 32 images from a balanced memory, of two classes a session. With few
# sessions both are the same. With many, some heads find no image of theirs in the batch:

# %%
pd.DataFrame(rows).set_index("sessions").round(2)

# %% [markdown]
# ## Settings
# The table lists where the paper or its release has other settings than the defaults here.
# `--profile paper` sets all of it (and takes a GPU). 0 stands for no enlarging, no least number of
# steps and no limit of images. [settings.py](../dynammo/settings.py) has each setting with its
# source.

# %%
here, theirs = RunSettings().as_dict(), changes_of(load_profile("paper"))
apart = ("methods", "order_seeds", "train_seeds")  # and knobs of single methods
names = [name for name in theirs if name in here and name not in apart]
pd.DataFrame(
    {"here": [here[name] for name in names], "paper": [theirs[name] for name in names]}, index=names
)

# %% [markdown]
# * EfficientNet-Lite0's weights come with a package, so everything runs offline. It is light enough
#   for two cores, and so are small images and few epochs.
# * The rate and the first value of alpha go with the few epochs, and were chosen on validation
#   images.
# * Without padding maps shrink by 2 and grow back, which fails on maps under 3 × 3.
# * Few exemplars make few batches an epoch, and then epochs alone would train no head. So heads are
#   tuned for a least number of steps.
#
# ## Everything else
#
# | | paper or release | here | theirs with |
# |---|---|---|---|
# | head | figure 2: one; release: one a session | one a session | `dynammo_unified_head` |
# | merged set | averaged at every pass | a running mean | |
# | seeds | one for order and training | one each | equal ones |
# | pixels are scaled by | mean and spread of the data set | those of the pretrained weights | |
# | framing | squashed to a square | cropped to a square | images squashed beforehand |
# | PATH16's class numbers | order of a directory listing | order of names | |
# | validation images | none | some of the training images (SKIN8, PATH16) | |
# | test images | read after every epoch | read once a session | |
# | choices | not said | on validation images | |
#
# * A head for each session, as ACL has, so that ACL and DynaMMo differ in merging alone.
# * A running mean is the same mean, and its storage does not grow with the sessions.
# * Class orders move accuracy by several points, so order and training have seeds of their own.
# * Nothing is chosen on test images, and reading them every epoch takes time.

# %% [markdown]
# ## The other methods
# All whole networks here start from the same ImageNet weights and are trained by one recipe: SGD
# with momentum, a rate divided by ten three times, mirrored images and no other augmentation, and a
# herded memory. Epochs and rates were [tried alike](STUDY.md#how-values-were-chosen). What else
# differs from a paper or its code:
#
# * **Replay.** Chaudhry et al. add a batch of exemplars to each batch of new images. Here, as in
#   PyCIL, exemplars are drawn like any other image; `der_plus_plus` has batches of them.
# * **iCaRL.** Its code takes class means over exemplars and their mirror images, of features before
#   the last ReLU; here they are over exemplars, after it.
# * **UCIR, PODNet.** Their images are also cropped, and PODNet's jittered in colour.
# * **PODNet.** Its code learns the scale, and its margin cancels; here equation 9 is followed, with
#   a margin for the right class and a fixed scale.
# * **DER.** Its code tunes a fresh head by SGD, and the paper prunes; here the head that is there
#   is tuned as DynaMMo's is, and nothing is pruned.
# * **RanPAC.** The paper adapts the network in the first session; here it is left as it is.
# * **LwF, EWC.** A session of a single class gives their cross-entropy nothing to learn (as in
#   PyCIL): with one new logit every answer is right.
# * **Images that tune a head.** DynaMMo's release and DER's take them before the memory is cut to
#   its budget, PODNet's after. So it is here.

# %% [markdown]
# ## Code it: the missing function
# The release calls `average_dicts` with a list of state dicts, one for each session's adapter, and
# loads what it returns into an adapter. No file defines it. Write it. Batch norm counts its batches
# in a whole number, which is of no use to an average: take the newest set's.


# %% tags=["exercise"]
def average_dicts(states):
    """The mean of some adapters' state dicts; whole numbers are the newest one's."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def average_dicts(states):
    """The mean of some adapters' state dicts; whole numbers are the newest one's."""
    mean = {}
    for name, newest in states[-1].items():
        mean[name] = newest.clone()
        if newest.is_floating_point():
            mean[name] = torch.stack([state[name] for state in states]).mean(dim=0)
    return mean


# %% tags=["check"]
trained = [Adapter(4, 4, alpha, "valid") for alpha in (1.0, 2.0, 6.0)]
trained[2].bn1.num_batches_tracked += 7
states = [adapter.state_dict() for adapter in trained]
first = {name: value.clone() for name, value in states[0].items()}
found = average_dicts(states)
assert set(found) == set(first), "Every entry that an adapter has must be there."
assert abs(found["alpha"].item() - 3) < 1e-6, "The mean of 1, 2 and 6 is 3."
weights = [adapter.conv.weight for adapter in trained]
assert torch.allclose(found["conv.weight"], sum(weights) / 3), (
    "Weights are averaged entry by entry."
)
count = found["bn1.num_batches_tracked"]
assert count.dtype == torch.int64 and count == 7, "A count stays whole: it is the newest set's."
same = all(torch.equal(trained[0].state_dict()[name], value) for name, value in first.items())
assert same, "A state dict holds the adapter itself: adding into the first one changes session 1's."
Adapter(4, 4, 0.02, "valid").load_state_dict(found)
print("With this function the release's merged network runs, and costs what it costs above.")

# %% [markdown]
# ## Exercises
# 1. Why does the release's pass take slightly fewer MACs than ACL's T passes?
# 2. With the release's loss, what does the head of session 1 learn about session 20's images?
# 3. Set `sessions = 1`. What do the three ways of passing an image cost then, and why?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. The layers before the first adapter run on one copy of the batch. In ResNet-18 that is the
#    first convolution: the low column at the left of the picture's second panel.
# 2. Only what batches show that happen to hold an image of session 1 as well. With 20 sessions of
#    two classes and batches of 32 that is four batches in five: $1 - (19/20)^{32} = 0.81$.
# 3. The same: with one session there is nothing to tile, so all three are one pass.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099, and its released code.
# * W. Zhang et al., *Adapter Learning in Pretrained Feature Extractor for Continual Learning of
#   Diseases* (ACL), MICCAI 2023, arXiv 2304.09042.
#
# **Before:** [the study](19_the_study.ipynb) · **Next:** [how fast is it?](21_how_fast.ipynb)
