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
# into one set, and what that saves. DynaMMo's four steps stand in one cell, where you can change
# them. There is a slider over the merging weight.
#
# **Expected.** Fine-tuning ends near 0 % on all kinds but the newest session's. ACL, which keeps
# every set of adapters, and DynaMMo keep most of every session, and DynaMMo stays close to ACL. For
# one image and $T$ sessions, ACL needs $T$ times the multiply-accumulates of DynaMMo.
#
# **Takes** about three minutes on one core. Everything is computed here; nothing is
# downloaded and nothing needs to have been run before.
#
# Words are in the [glossary](GLOSSARY.md). DynaMMo is short for *dynamic model merging*.

# %% tags=["colab", "remove-cell"] jupyter={"source_hidden": true}
# Only on Colab: fetch the project, and the packages that Colab lacks. What it has stays as it is:
# this kernel runs on it. Elsewhere this cell does nothing.
import os
import sys

project = "https://github.com/OWNER/NAME"  # where this notebook is from
if "COLAB_RELEASE_TAG" in os.environ:
    if os.system(f"git clone -q --depth 1 {project} project"):
        raise SystemExit(f"This did not work: is {project} where the project is?")
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    has = {canonicalize_name(found.name) for found in distributions()}
    with open("project/requirements.txt") as file:
        pins = [line for line in file.read().splitlines() if "==" in line]
    lacks = [pin for pin in pins if canonicalize_name(pin.partition("==")[0]) not in has]
    if lacks and os.system(" ".join(["pip install -q --no-deps", *lacks])):
        raise SystemExit("pip could not install what Colab lacks: see above, and run this again.")
    sys.path.insert(0, os.path.abspath("project"))
    os.chdir("project/notebooks")

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
images_per_class: int = 60  # of each kind for training; 0: all 300
epochs: int = 10  # of each session; the paper: 200
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
weight_steps: int = 8  # how finely the slider moves
figures_folder: str = "../figures/by-hand"  # where the picture in section 6 goes; "": nowhere
more: dict = {}  # any other setting by name: {"memory_budget": 80}

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from dynammo import memory, merging
from dynammo.adapters import AdaptedNetwork
from dynammo.backbones import make_backbone
from dynammo.catalogue import title
from dynammo.chain import Chain, Steps
from dynammo.draw.between_sets import line_figure, turning_images, weight_figure
from dynammo.draw.frames import Frames
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.draw.images import sample_sheet
from dynammo.draw.method import method_diagram
from dynammo.draw.strip import forget_adapt_average
from dynammo.draw.style import save_figure
from dynammo.learner import Setup
from dynammo.measure import cost
from dynammo.measure.between_sets import judge_blends, unified_head
from dynammo.measure.predictions import accuracy_rows, predict
from dynammo.methods import DynaMMo, learners_on, make_learner
from dynammo.run.expected import as_expected
from dynammo.run.provenance import note, provenance
from dynammo.run.run_folder import load_stream, prepare_torch
from dynammo.run.settings import RunSettings, as_written_out
from dynammo.training import generator_for

# %% [markdown]
# `name?` in a cell describes anything that is imported here, and `name??` shows its code. What is
# from `dynammo.draw` only draws. What is from `dynammo.run` loads data, keeps settings, and
# compares with what was expected.

# %%
settings = RunSettings(train_per_class=images_per_class, adapter_epochs=epochs).with_changes(more)
device = prepare_torch(settings)
data = load_stream(settings, order_seed)
backbone = make_backbone(settings.backbone, settings.weights).to(device)
one_run = {"order_seeds": [order_seed], "train_seeds": [train_seed]}
under = note(settings.with_changes(one_run), data)

# %% [markdown]
# ## The task
# Kinds of blood cells, photographed through a microscope from the blood of healthy people.
# They arrive in **sessions** of two kinds each. When a session is over its images are gone, except
# for a small **memory** that holds 40 images in all. At any time the network must tell **all**
# kinds it has seen apart. Kinds are numbered as they arrive: session 1 brings 0 and 1, session 2
# brings 2 and 3.
#
# This is *class-incremental* learning, the hardest of three scenarios. In *task-incremental*
# learning whoever asks also says which session the image is from, so that only that session's two
# kinds can be the answer. In *domain-incremental* learning the kinds stay the same and only the
# look of the images changes, as with a new microscope. Here neither help is given.

# %%
sample_sheet(data, per_class=6, note=under)

# %% [markdown]
# ## 1. Forgetting
# Take a network pretrained on ImageNet and simply go on training it, session after session. This is
# called *fine-tuning*. In the matrix below, row $i$ is the time after session $i$, column $j$ the
# kinds of session $j$: read a column downwards to see what becomes of one session's knowledge.

# %%
answers = {}


def learn(learner, sessions):
    """Let a learner learn some sessions, and collect its accuracy on each session's kinds."""
    for _ in sessions:
        learner.learn_session()
        found = predict(learner, "test", unseen=False)
        rows = accuracy_rows(found)
        tag = {"method": learner.name, "session": learner.session}
        answers[learner.name, learner.session] = [tag | row for row in rows]


sessions = range(1, data.number_of_sessions + 1)
fine_tuning = make_learner("fine_tuning", Setup(settings, data, backbone, train_seed))
learn(fine_tuning, sessions)


# %%
def table(*names):
    """Accuracy of some methods on each session's kinds after each session."""
    rows = [row for (name, _), found in answers.items() if name in names for row in found]
    return pd.DataFrame(rows)


accuracy_matrices(table("fine_tuning"), note=under)

# %% [markdown]
# Old kinds fall to nothing at once: nothing in the new images says that they ever existed. The last
# layer gives one number to each kind, its *logit*, and the largest logit is the answer. Training on
# new kinds alone pushes the logits of old ones down, and never up.

# %% [markdown]
# ## 2. DynaMMo, by hand
# Now the network is **frozen**. In front of some of its stages (parts of the network, one after the
# other) sits an *adapter*: a small branch, whose output is added to what enters the stage. DynaMMo
# learns a session in four steps:

# %%
method_diagram(
    classes_per_session=[len(data.classes(session)) for session in sessions],
    stage_names=backbone.stages,
    adapter_stages=settings.adapter_stages or backbone.adapter_stages,
    backbone_title=settings.backbone,
    memory_budget=settings.memory_budget,
    note=under,
)

# %% [markdown]
# To see them happen, take a small part of the stream: 20 images of each kind, and a memory of 16.
# (The library lowers the learning rate while it trains. `as_written_out` gives settings under which
# it does what the cells here do.)
#
# What is drawn at random comes from `begin`, so that it is what the library draws:
# `begin.adapters(state)` builds adapters with the weights in `state`, or with random ones if that
# is `None`, and `begin.fresh_auxiliary_head(t)` is a random head for session $t$. The adapters are
# frozen until `requires_grad_(True)`; the head can be trained at once.

# %%
few = {"train_per_class": 20, "memory_budget": 16, "adapter_epochs": 3, "head_epochs": 100}
small = as_written_out(settings, **few)
part = load_stream(small, order_seed)
begin = Chain(small, part, backbone, train_seed)
images = backbone.normalise(part.train.images[:])
labels = torch.as_tensor(part.train.labels, device=device)


# %% [markdown]
# **A pass.** Images go through the frozen stages, one after the other, and through an adapter where
# there is one. What comes out, a vector for each image, are its *features*.


# %%
def features(x, adapters):
    """Features of images: the frozen stages, and an adapter in front of some of them."""
    for name, stage in backbone.network.named_children():
        if name in adapters.stage_names:
            x = adapters[name](x)
        x = stage(x)
    return x.flatten(1) * backbone.feature_scale  # long features made shorter


# %%
adapters = begin.adapters(None).eval()
network = AdaptedNetwork(backbone, adapters)
assert torch.allclose(features(images[:4], adapters), network(images[:4]), atol=1e-5)

# %% [markdown]
# **The mean.** A *set* is one adapter for each place, as a dictionary of named tensors. The mean of
# sets is taken entry by entry. That is all there is to merging:


# %%
def mean(sets):
    """The mean of adapter sets, parameter by parameter."""
    return {name: sum(one[name] for one in sets) / len(sets) for name in sets[0]}


# %% [markdown]
# The library keeps a *running* mean, so that old sets need not be stored. Both are the same. (Here
# and below, each `assert` checks that the cell before does what the library does.)

# %%
some = [{"w": torch.randn(3)} for _ in range(4)]
running = None
for count, newest in enumerate(some, start=1):
    running = merging.running_mean(running, newest, count)
assert torch.allclose(mean(some)["w"], running["w"], atol=1e-6)

# %% [markdown]
# **A head.** Each session gets a *head*, a last layer with a logit for each of its own kinds and
# one more, **others**. The heads' losses are added up: each has to be right about its own kinds,
# and to say "others" of all the rest.


# %%
def targets(labels, classes):
    """Labels for a session's head: its own kinds are 0..k-1, all others are k."""
    own = labels - classes[0]
    return torch.where((own >= 0) & (own < len(classes)), own, len(classes))


def loss_of_all(heads, features, labels):
    """The sum of the heads' losses: each is right about its own kinds, or says "others"."""
    loss = 0
    for session, head in enumerate(heads, start=1):
        loss += F.cross_entropy(head(features), targets(labels, part.classes(session)))
    return loss


# %% [markdown]
# **Batches.** Images are drawn in random batches, half of them mirrored. With `x =
# both_sides(...)`, `x[side, batch]` is the batch, each image plain or mirrored as `side` says.


# %%
def both_sides(x):
    """Images and their mirror images, [2, N, C, H, W]."""
    return torch.stack([x, x.flip(3)])


def batches(count, epochs, purpose, session):
    """Positions in random batches, and for each whether it is mirrored (1) or not (0)."""
    generator = generator_for(purpose, order_seed, train_seed, session)
    for _ in range(epochs):
        for batch in torch.randperm(count, generator=generator).split(small.batch_size):
            yield batch, (torch.rand(len(batch), generator=generator) < 0.5).long()


def step(optimizer, loss):
    """Move the optimizer's weights a little against the gradient of a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% [markdown]
# **What is kept.** Images are kept one after the other: always the one that brings the mean of
# those kept closest to the mean of all of their kind. This is called *herding*.


# %%
def closest(features, count):
    """Positions of so many images, chosen one by one, whose mean is closest to that of all."""
    unit, chosen = F.normalize(features), []
    for k in range(1, count + 1):
        gap = (unit.mean(dim=0) - (unit[chosen].sum(dim=0) + unit) / k).norm(dim=1)
        gap[chosen] = torch.inf  # each image once
        chosen.append(int(gap.argmin()))
    return chosen


# %%
random = torch.randn(20, 8)
assert closest(random, 5) == memory.herd(random.numpy(), 5).tolist()

# %% [markdown]
# **The four steps.** This cell is the whole method:


# %% tags=["four_steps"]
def learn_session(session, sets, heads, kept):
    """Learn a session: add a set, a head and images to keep; return the mean of all sets."""
    classes = part.classes(session)
    new = torch.as_tensor(part.indices("train", session), device=device)

    # Step 1: go on from the newest set; tune it and a head on new images, and "others" (kept).
    shown = torch.cat([new, *kept.values()])
    x, y = both_sides(images[shown]), targets(labels[shown], classes)
    adapters = begin.adapters(sets[-1] if sets else None).requires_grad_(True).train()
    head = begin.fresh_auxiliary_head(session)  # random weights
    weights = [*adapters.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(weights, small.adapter_learning_rate, 0.9, weight_decay=5e-4)
    for batch, side in batches(len(shown), small.adapter_epochs, "tuning", session):
        step(optimizer, F.cross_entropy(head(features(x[side, batch], adapters)), y[batch]))
    sets.append(adapters.requires_grad_(False).eval().state_dict())
    heads.append(head)

    # Step 2: merge all sets.
    merged = begin.adapters(mean(sets)).eval()

    # Step 3: choose as many images of each new kind as are kept of an old one.
    per_kind = small.memory_budget // (len(kept) or len(classes))
    for label in classes:
        own = new[labels[new] == label]
        kept[label] = own[closest(features(images[own], adapters), per_kind)]

    # Step 4: tune all heads on these, as the merged adapters see them. Then cut to the budget.
    shown = torch.cat(list(kept.values()))
    x = torch.stack([features(x, merged) for x in both_sides(images[shown])])
    optimizer = torch.optim.Adam(torch.nn.ModuleList(heads).parameters(), small.head_learning_rate)
    epochs = small.head_epochs if session > 1 else 0  # one head has nothing to balance
    for batch, side in batches(len(shown), epochs, "head", session):
        step(optimizer, loss_of_all(heads, x[side, batch], labels[shown[batch]]))
    kept.update({label: own[: small.memory_budget // len(kept)] for label, own in kept.items()})
    return merged


# %% [markdown]
# **An answer.** *Softmax* turns a head's logits into probabilities. We trust the head that gives
# "others" the lowest probability: its own kind with the largest logit is the answer.


# %%
@torch.no_grad()
def answer(x, adapters, heads):
    """The kind of each image."""
    seen = features(x, adapters)
    logits = torch.stack([head(seen) for head in heads], dim=1)  # image, session, kind or "others"
    session = logits.softmax(dim=2)[:, :, -1].argmin(dim=1)
    own = logits[torch.arange(len(x)), session, :-1]
    return session * own.shape[1] + own.argmax(dim=1)  # sessions, from 0, bring equally many kinds


# %%
learned = (1, 2)  # sessions
sets, heads, kept = [], [], {}
for session in learned:
    merged = learn_session(session, sets, heads, kept)
    test = part.indices("test", range(1, session + 1))
    taken_for = answer(backbone.normalise(part.test.images[test]), merged, heads).cpu().numpy()
    right = taken_for == part.test.labels[test]
    shares = {part.class_names[c]: right[part.test.labels[test] == c].mean() for c in kept}
    print(f"After session {session}, with the mean of {len(sets)} set(s), right answers among")
    print("  " + ", ".join(f"{name}s: {value:.0%}" for name, value in shares.items()))
    print(f"  The memory holds {len(kept[0])} images of each.")

# %% [markdown]
# The library, asked for the same, gets the same set and gives the same answers:

# %%
library = DynaMMo(Chain(small, part, backbone, train_seed))
for _ in learned:
    library.learn_session(progress=False)
for name, value in library.chain.merged_state.items():
    if value.is_floating_point():  # a count of batches is not averaged
        assert torch.allclose(merged.state_dict()[name], value, atol=1e-3), name
assert (predict(library, "test", unseen=False).predicted == taken_for).mean() > 0.99

# %% [markdown]
# **Now change a line** of `learn_session`. Run its cell again, and then the cell that begins with
# `learned = (1, 2)`. (The cell with the `assert` is only for DynaMMo itself: run after a change, it
# fails, and names the first weight that differs.)
# * `merged = begin.adapters(sets[-1]).eval()` in step 2 drops the average. This is the control
#   called *last adapter*: the newest set alone, which grew out of the sets before it.
# * `shown = new` in step 1 leaves out the images kept, so that no head hears of "others" while its
#   adapters are tuned. Step 4 alone then teaches it, on the few images of the memory.
# * Let `learned` be `(1, 2, 3, 4)`: each change shows more there.

# %% [markdown]
# ## 3. Keep every set, or average them
# Now the whole stream, with the library. **ACL** keeps every session's set, and runs an image
# through the network once for **each** of them. **DynaMMo** averages the sets,
# $W_T = \frac1T\sum_i \theta_i$, tunes the heads once more on a few images of each kind, and runs
# **one** pass. The last adapter is the newest set alone. All are fed by the same tuned sets. (The
# unified head, one head over all kinds instead of one for each session, is for the slider below.)
#
# You can replace a part by your own. Put this in place of the first line below, and the matrix of
# DynaMMo becomes that of the last adapter:
# ```python
# def keep_newest(merged, newest, count):  # the mean so far, the newest set, how many sets
#     return dict(newest)
#
#
# steps = Steps(mean=keep_newest)
# ```

# %%
steps = Steps()  # DynaMMo's own
chain = Chain(settings, data, backbone, train_seed, steps)
learners = learners_on(chain, ["dynammo", "dynammo_unified_head", "last_adapter", "acl"])
for _ in sessions:
    chain.tune()
    chain.merge()
    chain.choose_exemplars()
    for learner in learners:
        learn(learner, [chain.session])

# %%
accuracy_matrices(table("acl", "dynammo", "last_adapter"), note=under)

# %% [markdown]
# ## 4. Move the weight yourself
# Below, $W(w) = (1-w) \cdot$ mean of all sets but the last $+ \; w \cdot$ the last set. At $w = 0$
# the last session's adapters are ignored, at $w = 1$ they are all there is, and $w = \frac1T$ is
# the mean of $T$ sets. At each weight one head over all kinds is tuned on a few images of each, so
# at $w = \frac1T$ it is *DynaMMo, unified head*, and not the DynaMMo of the matrices above.
# **Move the slider** and watch which session's kinds gain and which lose. These are test images:
# the picture is for understanding, not for choosing a weight by.

# %%
old = mean(chain.adapter_states[:-1])
weights = np.linspace(0, 1, weight_steps + 1)
two, head, predicted = [old, chain.adapter_states[-1]], unified_head(learners), []
line = judge_blends(chain, head, two, [(1 - w, w) for w in weights], answers=predicted)

# %%
test = data.indices("test", range(1, chain.session + 1))
turning = turning_images(data.test.labels[test], predicted)


def picture(place):
    """Accuracy by session at one of the weights, and what some images are taken for."""
    names = data.class_names
    images = [
        (data.test.images[test[i]], names[data.test.labels[test[i]]], names[predicted[place][i]])
        for i in turning
    ]
    return weight_figure(line, place, 1 / chain.session, under, images)


pictures = {f"w = {w:.2f}": picture(i) for i, w in enumerate(weights)}
Frames(pictures, start=list(pictures)[np.argmin(abs(weights - 1 / chain.session))])

# %% [markdown]
# The same at all weights at once, for paper:

# %%
line_figure(line, f"sessions 1 to {chain.session - 1}", f"session {chain.session}", under)

# %% [markdown]
# ## 5. What it saves
# A *multiply-accumulate* (MAC) is one product, added to a sum: nearly all that a network computes.
# They are counted for one image, on the networks that were just tuned; MMACs are millions of them.
# The paper's claim is ACL's MACs divided by DynaMMo's, after ten sessions.

# %%
counted = {one.name: cost.count_cost(one) for one in [fine_tuning, *learners]}
costs = pd.DataFrame(counted).T[["macs", "parameters_used", "parameters_stored"]] / 1e6
costs.columns = ["MMACs an image", "parameters used (M)", "numbers stored (M)"]
costs.rename(index=title).round(2)

# %%
ratio = counted["acl"]["macs"] / counted["dynammo"]["macs"]
print(f"After {chain.session} sessions DynaMMo takes {ratio:.1f} times fewer MACs than ACL.")

# %% [markdown]
# ## 6. In one picture

# %%
macs = {name: counted[name]["macs"] for name in ("fine_tuning", "acl", "dynammo")}
told = table(*macs)
strip = forget_adapt_average(told, macs, under)
if figures_folder:
    told = told.assign(macs=told.method.map(macs))
    save_figure(strip, told, Path(figures_folder) / "forget_adapt_average", provenance(data))
strip

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here. It is expected of the
# parameters as they come: with others, and after a change of `learn_session`, a ✗ may be right.

# %%
ends = 100 * told[told.session == chain.session].pivot_table(
    "accuracy", "method", "evaluated_session"
)
old, least = ends.loc["fine_tuning"].iloc[:-1].max(), ends.min(axis=1)
gap = (ends.loc["acl"] - ends.loc["dynammo"]).mean()
as_expected(
    {
        "fine-tuning: old sessions near 0 %": (f"at most {old:.0f} %", old < 10),
        "ACL keeps most of each session": (f"{least['acl']:.0f} % or more", least["acl"] > 50),
        "DynaMMo too": (f"{least['dynammo']:.0f} % or more", least["dynammo"] > 50),
        "DynaMMo stays close to ACL": (f"{gap:.1f} points under it", abs(gap) < 8),
        f"ACL: {chain.session} times the MACs": (f"{ratio:.2f}", abs(ratio - chain.session) < 0.1),
    }
)

# %% [markdown]
# ## What to take home
# 1. A network that goes on training forgets; a frozen one with adapters does not have to.
# 2. Keeping every session's adapters costs one pass per session. Averaging them costs one
#    pass in total.
# 3. What averaging loses in accuracy is in the matrices above. Whether it is worth it depends on
#    how many sessions there are.
# 4. Look at the last adapter alone, too: it costs what DynaMMo costs. When is merging better than
#    not merging? [Notebook 9](09_merging.ipynb) asks that, with spreads over class orders.

# %% [markdown]
# ## Code it: a mean with weights
# DynaMMo's mean counts every set alike. Write one that gives each set a weight of its own. Only the
# ratio of the weights should matter: 1 and 3 mean the same as 2 and 6.


# %% tags=["exercise"]
def weighted_mean(sets, weights):
    """The mean of adapter sets, each counted by its weight; entries may be whole numbers."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def weighted_mean(sets, weights):
    """The mean of adapter sets, each counted by its weight; entries may be whole numbers."""
    shares = [weight / sum(weights) for weight in weights]
    pairs = list(zip(shares, sets, strict=True))
    return {name: sum(share * one[name] for share, one in pairs) for name in sets[0]}


# %% tags=["check"]
three = [{"a": torch.tensor([k, 0.0]), "b": torch.tensor([10.0])} for k in (2.0, 4.0, 9.0)]
before = [one["a"].clone() for one in three]
alike, last = weighted_mean(three, [1, 1, 1]), weighted_mean(three, [0, 0, 1])
assert set(alike) == {"a", "b"}, "The mean must have every entry that the sets have."
assert torch.allclose(alike["a"], mean(three)["a"]), "With equal weights it is the plain mean."
assert torch.allclose(last["a"], three[2]["a"]), "A set with all of the weight is the mean."
mixed = weighted_mean(three[:2], [1, 3])["a"][0].item()
assert abs(mixed - 3.5) < 1e-6, f"2 with weight 1 and 4 with weight 3 give 3.5, not {mixed}."
double = weighted_mean(three[:2], [2, 6])["a"][0].item()
assert abs(double - 3.5) < 1e-6, "Only the ratio matters: divide the weights by their sum."
same = all(torch.equal(one["a"], was) for one, was in zip(three, before, strict=True))
assert same, "The sets themselves must stay as they are."
deep = [{"w": torch.full((2, 3, 3), float(k)), "count": torch.tensor(k)} for k in (1, 3)]
both = weighted_mean(deep, [1, 1])
assert (both["w"] == 2).all() and both["w"].shape == (2, 3, 3), "Tensors keep their shape."
assert both["count"] == 2, "Whole numbers are averaged too, as in batch norm's count."
print("That is a weighted mean. Two sets with weights 1 - w and w are the slider above.")

# %% [markdown]
# To see what it does, run this in a cell of its own, so that later sets weigh more, and then again
# the cell that begins with `learned = (1, 2)`:
# ```python
# def mean(sets):
#     return weighted_mean(sets, range(1, len(sets) + 1))
# ```

# %% [markdown]
# ## Exercises
# 1. Set `images_per_class = 10`. Which methods lose, and which has nothing to lose?
# 2. At which weight is the accuracy over all kinds best? Is it DynaMMo's? Change `train_seed` and
#    look again before you conclude anything.
# 3. How many sessions would be needed for DynaMMo to take 20 times fewer MACs than ACL?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Adapters have fewer images to learn from, so expect all methods on adapters to lose. Fine-
#    tuning hardly does: on old kinds it has nothing to lose. The memory does not shrink: at the
#    end it holds five images of each kind, as before, and now that is half of all ten.
# 2. Read it from the black line. With another seed the best weight moves, often by more than one
#    step, and the curve near it is flat: a single seed cannot tell neighbouring weights apart.
# 3. Twenty: one pass a session for ACL against one in all. (The heads are too small to count.)

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099.
# * ACL: arXiv 2304.09042.
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734.
#
# **Next:** [prepare the data](01_prepare_data.ipynb) · Words: [glossary](GLOSSARY.md) · For
# teaching: [lecturer's page](LECTURER.md)
