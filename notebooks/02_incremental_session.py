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
# **The idea.** A frozen network gets small trainable branches, *adapters*. Each session tunes a set
# of them for its classes. DynaMMo then keeps not every set but their **mean**, and tunes the head
# for it on a few kept images.
#
# **What you will see.** You see each step twice: written out in a cell, where you can change it,
# and from the library, which is shown to do the same. Then the whole session, and what DynaMMo, ACL
# and two controls predict after it, on the same test images. The controls are the frozen network
# without adapters, and the newest set alone.
#
# **Expected.** For session 1 every method with adapters predicts the same, since one set is its own
# average; from session 2 on they part. The section "As on our machine?" has the numbers.
#
# Words are in the [glossary](GLOSSARY.md).
#
# **Takes** about half a minute on one core. The notebook is run once per session, as a chain:
# session $t$ starts from what session $t-1$ saved. Run it with `session = 1`, then 2, and so on;
# `./run_all.sh` does that for you.

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
session: int = 1  # which session to learn; the one before must be there
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
methods: list = ["frozen_features", "dynammo", "dynammo_unified_head", "last_adapter", "acl"]
more: dict = {}  # any other setting by name: {"adapter_epochs": 20, "memory_budget": 16}

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from dynammo import adapters, heads, memory, training
from dynammo.catalogue import title
from dynammo.chain import Steps
from dynammo.draw.accuracy import training_losses
from dynammo.draw.images import image_rows
from dynammo.draw.style import canvas, finished, look
from dynammo.measure.between_sets import relative_distance
from dynammo.measure.predictions import accuracy_rows, predict, session_row
from dynammo.measure.stopwatch import Stopwatch
from dynammo.run.expected import as_expected, compare, told
from dynammo.run.learn import open_session
from dynammo.run.provenance import note
from dynammo.run.settings import as_written_out, settings_from

# %%
steps = Steps()  # DynaMMo's own; see "Now change a line" below
settings = settings_from(globals())
run = Path(run_folder)
group = open_session(run, settings, order_seed, train_seed, session, steps)
chain, learners = group.chain, group.learners
data, stopwatch = chain.stream, Stopwatch(chain.device)
one_run = {"order_seeds": [order_seed], "train_seeds": [train_seed]}
under = note(settings.with_changes(one_run), data)
names = [data.class_names[label] for label in data.classes(session)]
print(f"session {session} of {data.number_of_sessions} brings: {', '.join(names)}")

# %% [markdown]
# ## Step 1: tune a set of adapters
#
# The backbone $f$ is frozen. In front of some of its stages sits an *adapter*: a small branch,
# whose output, times a learned number $\alpha$, is added to the feature map $x$ that enters the
# stage:
#
# $$x + \alpha \, r(b_2(\mathrm{conv}^{\top}(r(b_1(\mathrm{conv}(x)))))), \quad
# r = \mathrm{relu}, \; b_1, b_2 = \text{batch norm}.$$
#
# conv and $\mathrm{conv}^{\top}$ are two layers with weights of their own. The first slides filters
# of 3 × 3 places over the map; the second, a transposed convolution, brings the result back to the
# map's channels. Batch norm rescales each channel, and relu turns negative numbers into 0.


# %%
class Adapter(nn.Module):
    """A small branch in front of a stage, on maps of some channels."""

    def __init__(self, channels, hidden, alpha, padding="same"):
        super().__init__()
        pad = 1 if padding == "same" else 0
        self.conv = nn.Conv2d(channels, hidden, 3, padding=pad)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_transposed = nn.ConvTranspose2d(hidden, channels, 3, padding=pad)
        self.bn2 = nn.BatchNorm2d(channels)
        self.alpha = nn.Parameter(torch.tensor([alpha]))

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv(x)))
        out = torch.relu(self.bn2(self.conv_transposed(out)))
        return x + self.alpha * out


# %% [markdown]
# The library's is the same. (From here on, each `assert` checks that the cell before does what
# the library does.) Session 1's set begins with random weights, and each later one with those of
# the session before.

# %%
mine, theirs = Adapter(8, 8, 2.0), adapters.Adapter(8, 8, 2.0)
mine.load_state_dict(theirs.state_dict())
maps = torch.randn(4, 8, 6, 6)
assert torch.allclose(mine(maps), theirs(maps))

# %% [markdown]
# **The loss.** An *auxiliary head* has one output for each new class and one more, **others**. New
# images have their own label; every image that the memory kept of an old class (an *exemplar*) has
# the label "others". So the session learns what is *not* its own, and its head can say so later.
# After step 1 a copy of it is kept as this session's *task head*, which step 4 goes on tuning.


# %%
def targets_of(labels, classes):
    """Own classes are 0..k-1; all others, k."""
    own = labels - classes[0]
    return torch.where((own >= 0) & (own < len(classes)), own, len(classes))


def tune(network, head, images, targets, epochs, generator):
    """Train adapters and head, nothing else, by cross-entropy; mirror half of the images."""
    parameters = [*network.adapters.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(32):
            x, flip = images[batch], torch.rand(len(batch), generator=generator) < 0.5
            x = torch.where(flip.to(x.device)[:, None, None, None], x.flip(3), x)
            loss = F.cross_entropy(head(network(x)), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


# %% [markdown]
# Two copies of one adapter set, tuned on 16 of the session's images for two epochs, one by the loop
# above and one by the library. (By default the library lowers the learning rate on the way.
# `as_written_out` gives settings under which it does what the cells here do.) `chain.start()` is
# the set that this session begins with, or None for random weights.

# %%
positions = chain.training_positions(session)
few = positions[:: max(1, len(positions) // 16)][:16]
images, labels = np.asarray(data.train.select(few)), torch.as_tensor(data.train.labels[few])
classes = data.classes(session)
targets = targets_of(labels, classes)
for some in (labels, torch.arange(data.number_of_classes)):  # with "others", in any session
    given = some, classes[0], len(classes)
    assert torch.equal(targets_of(some, classes), heads.session_targets(*given))

# %%
small = as_written_out(settings, adapter_epochs=2)
sets = []
for by_hand in (True, False):
    network = adapters.AdaptedNetwork(chain.backbone, chain.adapters(chain.start()))
    network.adapters.requires_grad_(True)
    head, generator = chain.fresh_auxiliary_head(session), torch.Generator().manual_seed(0)
    x = chain.backbone.normalise(images)
    if by_hand:
        network.train()
        tune(network, head, x, targets.to(x.device), 2, generator)
    else:
        given = network, head, images, targets.numpy(), small, generator
        training.tune_adapters(*given, progress=False)
    sets.append(network.adapters.state_dict())
for name, value in sets[0].items():
    assert torch.allclose(value.float(), sets[1][name].float(), atol=1e-4), name

# %% [markdown]
# Now all of the session's images, with the library:

# %%
old = len(positions) - len(data.indices("train", session))
print(f"{len(positions) - old} images of new classes, {old} exemplars labelled 'others'")

with stopwatch.measure("adapters", "training"):
    losses = chain.tune()

# %%
history = pd.DataFrame({"session": session, "epoch": range(1, len(losses) + 1), "loss": losses})
training_losses(history, note=under)

# %% [markdown]
# ## Step 2: merge
#
# With $\theta_i$ for the set of session $i$, the merged set is $W_t =
# \frac1t\sum_{i=1}^{t}\theta_i$, entry by entry. We store only a running mean, so that storage does
# not grow with $t$: $W_t = W_{t-1} + \frac1t(\theta_t - W_{t-1})$.


# %%
def mean(merged, newest, count):
    """The mean of `count` sets, from the mean of all but the newest, and the newest."""
    if count == 1:
        return dict(newest)
    return {name: merged[name] + (newest[name] - merged[name]) / count for name in newest}


# %%
three, running = [{"weight": torch.randn(4)} for _ in range(3)], {}
for count, one in enumerate(three, start=1):
    running = mean(running, one, count)
plain_mean = sum(one["weight"] for one in three) / 3
assert torch.allclose(running["weight"], plain_mean, atol=1e-6) or steps.mean is not Steps().mean

# %%
before, newest = chain.merged_state, chain.adapter_states[-1]
by_hand = mean(before, newest, session)
chain.merge()
for name, value in chain.merged_state.items():
    # A count of batches is not averaged; with a mean of your own the two need not agree.
    if value.is_floating_point() and steps.mean is Steps().mean:
        assert torch.allclose(by_hand[name], value, atol=1e-6), name

# %% [markdown]
# How far is each set from the mean? In relative length,
# $\lVert\theta_i - W_t\rVert / \lVert W_t\rVert$:

# %%
pd.Series(
    {
        f"session {i}": relative_distance(state, chain.merged_state)
        for i, state in enumerate(chain.adapter_states, start=1)
    },
    name="distance to the mean",
).to_frame().round(3)

# %% [markdown]
# ## Step 3: choose exemplars
#
# *Herding* chooses images one by one: always the one that brings the mean of the chosen images
# closest to the mean of the class, in the features of the newest set, which has just learned these
# classes. Each new class gets as many exemplars as an old class still has, and with all of them the
# heads are tuned in step 4. After it, each class gives up some of its images, the last ones of its
# list, so that the memory stays within its budget.


# %%
def herd(features, count):
    """Positions of `count` images whose mean best follows the mean of all; features [N, D]."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    chosen, total = [], np.zeros(unit.shape[1])
    for k in range(1, count + 1):
        gap = np.linalg.norm(unit.mean(axis=0) - (total + unit) / k, axis=1)
        gap[chosen] = np.inf  # each image once
        chosen.append(int(gap.argmin()))
        total += unit[chosen[-1]]
    return np.array(chosen)


# %%
label = data.classes(session)[0]
own = data.indices("train", session)
own = own[data.train.labels[own] == label]
features = chain.features(newest, "train", own).double().cpu().numpy()
assert (herd(features, 5) == memory.herd(features, 5)).all()

# %% [markdown]
# Five that it takes of the first new class, in order of choice, and the five that it would take
# last: the images kept are typical of the class, those left are not.

# %%
order = herd(features, len(own))
chosen = {"kept": order[:5], "left": order[-5:]}
rows = {name: data.train.select(own[which])[:] for name, which in chosen.items()}
heading = f"{data.class_names[label]}: kept first, and what is left last"
image_rows(rows, heading, under)

# %%
chain.choose_exemplars()
counts = {"for step 4": chain.memory.balanced, "kept after it": chain.memory.positions}
pd.DataFrame(
    {name: {data.class_names[c]: len(x) for c, x in by.items()} for name, by in counts.items()}
)

# %% [markdown]
# ## Step 4: tune the heads, on equally many images of each class
#
# With backbone and merged adapters fixed, features no longer change. They are computed **once**, of
# each of these images and of its mirror image, and only the heads are trained on them. Their losses
# are added up: each has to be right about its own classes, and to say "others" of all the rest.


# %%
def loss_of_all(logits, wanted):
    """Sum of t heads' cross-entropies, for logits [N, t, k + 1] and the outputs wanted [N, t]."""
    return sum(F.cross_entropy(logits[:, i], wanted[:, i]) for i in range(logits.shape[1]))


def fit(head, features, wanted, epochs, generator):
    """Train heads on features [2, N, passes, D] of images and of their mirror images."""
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(wanted), generator=generator).split(32):
            flip = (torch.rand(len(batch), generator=generator) < 0.5).long()
            loss = loss_of_all(head.session_logits(features[flip, batch]), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# %% [markdown]
# **Which session is an image from?** Each session's head says how much an image is "others". We
# trust the head that says so least: its own class with the largest logit is the answer.


# %%
def lowest_others_wins(logits):
    """Class of each image from its logits [N, t, k + 1] under t heads, "others" last."""
    others = logits.softmax(dim=2)[:, :, -1]
    believed = others.argmin(dim=1)
    own = logits[torch.arange(len(logits)), believed, :-1]
    return believed * own.shape[1] + own.argmax(dim=1)


# %%
shape = (2, 80, 1, 16)  # 80 made-up images of 4 classes in 2 sessions
features, labels = torch.randn(shape), torch.arange(80) % 4
wanted = torch.stack([targets_of(labels, classes) for classes in ([0, 1], [2, 3])], dim=1)
pair = [heads.TaskHeads(16) for _ in range(2)]
for one in pair:
    for number in range(2):
        one.add_session(training.linear_head(16, 3, number, torch.device("cpu")))
fit(pair[0], features, wanted, 20, torch.Generator().manual_seed(0))
parameters, generator = list(pair[1].parameters()), torch.Generator().manual_seed(0)
small = as_written_out(settings, head_epochs=20)
training.fit_head(parameters, pair[1].loss, features, labels.numpy(), small, generator)
assert torch.allclose(pair[0].weight, pair[1].weight, atol=1e-5)
logits = pair[0].session_logits(features[0])
assert (lowest_others_wins(logits) == pair[0](features[0]).argmax(dim=1)).all()

# %% [markdown]
# Now with this session's features. In session 1 there is nothing to balance yet: each method keeps
# the head of step 1. Every method below gets the same exemplars and the same recipe. They differ in
# which adapters run, and in the head that reads them:
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
# The test images of **all** classes seen so far. Nothing is chosen by these numbers (`macro_f1` and
# `auroc` are explained in notebook 18). The columns on the right answer two more questions. Which
# session is the image from? And is its class still unseen? `open_set_auroc` is the chance that an
# image of a seen class gets a lower "others" than one of an unseen class, so 0.5 is guessing.
# `open_set_fpr95` is the share of unseen images that are accepted, too, where 95 % of the seen ones
# are. (In session 1 nothing was labelled "others" yet, so all are: the two are 0.5 and 1.)

# %%
answers = {}
for learner in learners:
    with stopwatch.measure(learner.name, "test"):
        answers[learner.name] = predict(learner, "test")
pd.DataFrame(
    {title(learner.name): session_row(answers[learner.name]) for learner in learners}
).T.round(3)

# %% [markdown]
# Accuracy by the session that brought the class: what is **forgotten** is on the left.

# %%
parts = [{"method": title(name), **row} for name in answers for row in accuracy_rows(answers[name])]
colours = {title(name): look(name).colour for name in answers}
figure, ax = canvas(under, 7.4, 3)
bars = {"x": "evaluated_session", "y": "accuracy", "hue": "method", "palette": colours}
sns.barplot(pd.DataFrame(parts), **bars, ax=ax)
ax.set(xlabel="session that brought the class", ylabel="accuracy", ylim=(0, 1))
ax.set_title(f"What each method knows after session {session}")
sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), title=None)
finished(figure)

# %% [markdown]
# ## As on our machine?
# *Found* is what this session got. *Published* is what the demo got on our machine, and *tolerance*
# is how far another processor may move that ([expected.csv](../figures/expected.csv)), in percent.

# %%
seeds = {"order_seed": order_seed, "train_seed": train_seed, "session": session}
rows = [{"method": name, **seeds, **session_row(answers[name])} for name in answers]
compared = compare(pd.DataFrame(rows), settings)
print(told(compared))
compared.round(1)

# %%
fed = [answers[name].predicted for name in answers if name != "frozen_features"]
alike = min(((one == fed[0]).mean() for one in fed), default=1.0)
words = "the same from all methods with adapters" if session == 1 else "not all the same"
if len(fed) > 1:
    so = (alike == 1) == (session == 1)
    display(as_expected({f"answers in session {session}: {words}": (f"{alike:.1%}", so)}))

# %% [markdown]
# ## What it cost
# Step 1 is done once for all methods with adapters, so they share its time. A pass through
# the same network is computed once too; its time is listed under the first method that needed it.
# The peak is the memory of the whole process, with Python, torch and the images.

# %%
pd.DataFrame(stopwatch.rows).set_index(["method", "part"]).round(1)

# %% [markdown]
# ## Save
# The next session starts from this folder. An interrupted save leaves nothing behind.

# %%
folder = group.save(answers, losses, stopwatch)
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Now change a line
# Four parts can be your own. In the cell that begins with `steps = Steps()`, put this in place of
# that line, above `open_session`:
# ```python
# def keep_newest(merged, newest, count):
#     return dict(newest)
#
#
# steps = Steps(mean=keep_newest)
# ```
# Give `run_folder` another name, run all cells with `session = 1`, then with 2 and so on: DynaMMo
# now predicts what the last adapter predicts, and in the picture by sessions their bars are alike.
#
# Then try another part in the same way. `herd` and `Adapter` above are the library's, so change a
# line in them first: in `herd` write `argmax` for `argmin`, and set `Steps(choose=herd)`; or leave
# out the second `torch.relu` of `Adapter`, and set `Steps(adapter=Adapter)`. A loss of logits and
# targets is `Steps(loss=...)`.

# %% [markdown]
# ## Code it: a moving average
# DynaMMo's mean counts every session alike. Write a mean that forgets: half of what was there, half
# of the newest set.


# %% tags=["exercise"]
def moving_average(merged, newest, count):
    """Half of the merged set and half of the newest; for the first session, the newest."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def moving_average(merged, newest, count):
    """Half of the merged set and half of the newest; for the first session, the newest."""
    if count == 1:
        return dict(newest)
    return {name: (merged[name] + newest[name]) / 2 for name in newest}


# %% tags=["check"]
two, four = {"w": torch.tensor([2.0])}, {"w": torch.tensor([4.0])}
nine = {"w": torch.tensor([9.0])}
assert moving_average(nine, two, 1)["w"] == 2, "The first session has only its own set."
assert moving_average(two, four, 2)["w"] == 3, "Half of 2 and half of 4 is 3."
assert moving_average(two, four, 9)["w"] == 3, "How many sessions there were does not matter."
deep = [{"conv": torch.full((2, 3, 3), float(k)), "count": torch.tensor(k)} for k in (1, 3)]
half = moving_average(*deep, 2)
assert (half["conv"] == 2).all() and half["count"] == 2, "Every entry: of any shape, whole numbers."
print("That is a moving average.")

# %% [markdown]
# To see what it does, use it as `keep_newest` is used under "Now change a line".

# %% [markdown]
# ## Exercises
# 1. Run sessions 1 and 2. Which method loses most on session 1's classes?
# 2. Set `more = {"memory_budget": 16}` and run both sessions again in another `run_folder`. Which
#    methods suffer most, and why those?
# 3. Set `more = {"adapter_alpha": 0.0}`. What do the adapters do at first, and can they still
#    learn?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. In our runs frozen features lost most, although not one of their weights changes: session 1's
#    images can now be taken for four classes instead of two. So a loss is not always forgetting.
#    Session 1 has 200 test images, so one image is half a point: with a single seed a difference of
#    two points says little.
# 2. In session 2 step 4 tunes all heads on eight images a class instead of twenty. Expect DynaMMo
#    and the last adapter to suffer most, the unified head above all. Their features are no longer
#    those that session 1's head was trained on, and only these images correct that; and nothing
#    else ever compares classes of two sessions in a unified head. ACL's and frozen features' first
#    head still reads the features it was trained on.
# 3. An adapter then adds nothing: the network is the frozen backbone. The gradient of every weight
#    in the branch carries the factor $\alpha$, so in the first step they stand still (weight decay
#    apart). The gradient of $\alpha$ itself is the branch's output times the gradient that comes
#    back from the next layer, and that is not 0. From the second step on everything learns. So yes,
#    with a slower start. Adapters could never learn if the branch's last layer were 0 as well.

# %% [markdown]
# ## References
# * M. A. Qazi et al., *DynaMMo*, MIUA 2024, arXiv 2404.14099 (steps 1, 2 and 4).
# * ACL: arXiv 2304.09042 (adapters per session, "others").
# * S.-A. Rebuffi et al., *iCaRL*, CVPR 2017, arXiv 1611.07725 (herding).
#
# **Before:** [prepare the data](01_prepare_data.ipynb) · **Next:** [the bounds](03_bounds.ipynb)
