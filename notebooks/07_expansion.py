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
# **The idea.** What is not changed cannot be forgotten. *Dynamically expandable representation*
# (DER) freezes the network after each session, puts a **new feature extractor** beside it, and lets
# one head read the features of all of them.
#
# **What you will see.** The features side by side, the head that grows both ways, and the two
# losses, written out in cells and shown to be the library's. Then a method that hardly forgets,
# which of its extractors speaks for whose classes, and a bill that grows with every session. That
# bill is what DynaMMo sets out to cut.
#
# **Expected.** In the end old images are right more often than not, and more often than with replay
# (notebook 4), which keeps the same images. Each session costs one more pass of every image. DER is
# not in the demo.
#
# **Takes** about four minutes on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is `der` (not the DER++ of notebook 4, whose D stands for *dark*). ACL belongs to this
# family too: run it in notebook 2.

# %% tags=["parameters"]
method: str = "der"  # the one of the family that is here; ACL is in notebook 2
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

der_auxiliary: float = 1.0  # weight of the auxiliary loss
der_temperature: float = 5.0  # of the head's tuning, on equally many images of each class
more: dict = {}  # any other setting by name: {"memory_budget": 16, "classes_per_session": 4}

# %%
# %matplotlib inline
import copy
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from dynammo.baselines.der import DER, ExpandedExtractor, expand
from dynammo.baselines.whole_network import Extractor
from dynammo.catalogue import title
from dynammo.draw import costs
from dynammo.draw.accuracy import training_losses
from dynammo.draw.heat_maps import accuracy_matrices, spoken_for
from dynammo.heads import UnifiedHead
from dynammo.measure.cost import cost_growth
from dynammo.measure.summary import cost_by_session
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected, published_numbers
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import note
from dynammo.run.run_folder import open_setup
from dynammo.run.settings import as_written_out, settings_from
from dynammo.training import fit_head, linear_head

# %%
settings = settings_from(globals()).with_changes(
    {"methods": [method], "order_seeds": [order_seed], "train_seeds": [train_seed]}
)
run = Path(run_folder)
setup = open_setup(run, settings, order_seed, train_seed)
data, under = setup.stream, note(settings, setup.stream)

# %% [markdown]
# ## Features, side by side
# With extractors $F_1 \ldots F_t$, of which $F_1 \ldots F_{t-1}$ are frozen, the head reads
#
# $$u(x) = [F_1(x), \ldots, F_t(x)].$$


# %%
class SideBySide(nn.Module):
    """Features of several extractors, one after another. All but the newest are frozen."""

    def __init__(self, extractors):
        super().__init__()
        self.extractors = nn.ModuleList(extractors)
        self.extractors[:-1].requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.extractors[:-1].eval()  # or the statistics of their batch norm would move
        return self

    def forward(self, x):
        return torch.cat([extractor(x) for extractor in self.extractors], dim=1)


# %% [markdown]
# The library's is the same. (From here on, each `assert` says so of what the cell before wrote.)

# %%
positions = data.indices("train", 2)
positions = positions[:: max(1, len(positions) // 4)][:4]
images = setup.backbone.normalise(data.train.images[positions])
labels = torch.as_tensor(data.train.labels[positions], device=setup.device)
pair = [Extractor(setup.backbone) for _ in range(2)]
mine, theirs = SideBySide(pair).train(), ExpandedExtractor(copy.deepcopy(pair)).train()
assert torch.allclose(mine(images), theirs(images), atol=1e-5)
for name, value in theirs.state_dict().items():
    assert torch.allclose(mine.state_dict()[name], value), name

# %% [markdown]
# ## A head that grows both ways
# The head gives each class a *logit*, a number that is larger the more it takes the image for one
# of that class: $z(x) = W u(x) + b$. A new session brings classes, which are new **rows** of $W$,
# and an extractor, whose features are new **columns**. The old block in the corner is taken over.


# %%
def grow(head, fresh):
    """A head shaped like `fresh`, with the old head's weights where it had some."""
    weight, bias = fresh.weight.detach().clone(), fresh.bias.detach().clone()
    classes, features = head.weight.shape
    weight[:classes, :features] = head.weight.detach()
    bias[:classes] = head.bias.detach()
    grown = UnifiedHead(weight.shape[1])
    grown.add_classes(weight, bias)
    return grown


# %%
old, fresh = UnifiedHead(3), nn.Linear(6, 4)  # two classes become four, three features six
old.add_classes(torch.randn(2, 3), torch.randn(2))
mine, theirs = grow(old, fresh), expand(old, fresh)
assert torch.equal(mine.weight, theirs.weight) and torch.equal(mine.bias, theirs.bias)

# %% [markdown]
# ## Two losses
# Yan et al. 2021, equation 5, averaged over the batch:
#
# $$L = \mathrm{CE}(z(x), y) + \lambda_a \, \mathrm{CE}(a(F_t(x)), y_a).$$
#
# $y_a$ is the label among the new classes, or the last output for every old class.
# The first term is the cross-entropy over all classes seen. The second is for the new extractor
# alone, through a head $a$ of its own with one output for each new class and one for all old
# classes together. It is there so that $F_t$ learns what the old extractors do not already know.
# You met that last output as "others" in notebook 2. After training, $a$ is thrown away. Session 1
# has the first term only; $\lambda_a$ is `der_auxiliary`.


# %%
def two_losses(features, head, auxiliary, labels, old, weight):
    """Of a batch's features, one tensor for each extractor; labels below `old` are old classes."""
    loss = F.cross_entropy(head(torch.cat(features, dim=1)), labels)
    if old == 0:  # session 1
        return loss
    others = auxiliary.out_features - 1  # the last output
    targets = torch.where(labels >= old, labels - old, others)
    return loss + weight * F.cross_entropy(auxiliary(features[-1]), targets)


# %%
learner = DER(setup)
for session in (1, 2):
    learner.session = session
    learner.grow_head()
network, heads = learner.classifier, (learner.classifier.head, learner.auxiliary)
mixed = labels.clone()
mixed[0] = 0  # as if the first image were an exemplar of an old class
with torch.no_grad():
    features = [extractor(images) for extractor in network.extractor.extractors]
    mine = two_losses(features, *heads, mixed, learner.old_classes, der_auxiliary)
    assert torch.allclose(mine, learner.batch_loss(images, mixed))

# %% [markdown]
# ## One step
# Everything is trained that is not frozen: the newest extractor and both heads. So after a step the
# old extractor's features are what they were, and the new one's are not.


# %%
def step(network, auxiliary, optimizer, x, y, old, weight):
    """One step of gradient descent."""
    features = [extractor(x) for extractor in network.extractor.extractors]
    loss = two_losses(features, network.head, auxiliary, y, old, weight)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %%
trained = [p for p in network.parameters() if p.requires_grad] + list(heads[1].parameters())
optimizer = torch.optim.SGD(trained, lr=learner.learning_rate, momentum=0.9, weight_decay=5e-4)
network.train()
step(network, learner.auxiliary, optimizer, images, mixed, learner.old_classes, der_auxiliary)
network.eval()
with torch.no_grad():
    after = [extractor(images) for extractor in network.extractor.extractors]
assert torch.equal(after[0], features[0]) and not torch.allclose(after[1], features[1])

# %% [markdown]
# ## Then the balance
# New classes had more images than old ones, and the head leans towards them. So with all extractors
# fixed, the head is tuned on equally many images of each, by the cross-entropy of softened logits
# $\mathrm{CE}(z(x) / \tau, y)$ with $\tau$ = `der_temperature`. As in notebook 2, features are
# computed once, of each image and of its mirror image.


# %%
def softened(logits, labels, temperature):
    """Cross-entropy of logits that were divided by a temperature."""
    return F.cross_entropy(logits / temperature, labels)


def balance(head, features, labels, temperature, epochs, generator):
    """Tune a head with Adam on features [2, N, 1, D] of images and of their mirror images."""
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(32):
            flip = (torch.rand(len(batch), generator=generator) < 0.5).long()
            loss = softened(head(features[flip, batch]), labels[batch], temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# %%
kept, known = torch.randn(2, 40, 1, 6), torch.arange(40) % 4  # made up; of one pass each
small = as_written_out(settings, head_epochs=20)
mine, theirs = grow(old, fresh), grow(old, fresh)
balance(mine, kept, known, 5.0, 20, torch.Generator().manual_seed(0))
given = list(theirs.parameters()), lambda x, y: softened(theirs(x), y, 5.0)
fit_head(*given, kept, known.numpy(), small, torch.Generator().manual_seed(0))
assert torch.allclose(mine.weight, theirs.weight, atol=1e-5)

# %% [markdown]
# Two things differ from the paper. It prunes the channels of each new extractor to slow the growth;
# that is left out, as in most comparisons. And it tunes a freshly drawn head; here the trained head
# is tuned further.

# %% [markdown]
# ## All sessions
# This is DER made of the functions above. Everything else is inherited from the library: the loop
# over epochs and sessions, the exemplars, the loop that balances.


# %%
class MyDER(DER):
    """DER, of the functions above."""

    name = "my_der"

    def grow_head(self):
        newest = Extractor(self.backbone)
        frozen = list(self.classifier.extractor.extractors) if self.session > 1 else []
        if frozen:  # start from the one before
            newest.load_state_dict(frozen[-1].state_dict())
        self.classifier.extractor = SideBySide([*frozen, newest])
        size, classes = self.backbone.feature_size, self.old_classes + self.new_classes
        fresh = linear_head(size * self.session, classes, self.seed, self.device)
        self.classifier.head = grow(self.classifier.head, fresh)
        self.auxiliary = linear_head(size, self.new_classes + 1, self.seed, self.device)

    def batch_loss(self, images, labels):
        features = [extractor(images) for extractor in self.classifier.extractor.extractors]
        given = self.classifier.head, self.auxiliary, labels, self.old_classes
        return two_losses(features, *given, self.knobs.auxiliary)


# %%
both = MyDER(setup), DER(setup)
for learner in both:
    for session in (1, 2):
        learner.session = session
        learner.grow_head()
mine, theirs = (learner.classifier.state_dict() for learner in both)
assert mine.keys() == theirs.keys()
for name, value in theirs.items():
    assert torch.equal(mine[name], value), name
with torch.no_grad():
    losses = [learner.batch_loss(images, mixed) for learner in both]
assert torch.allclose(*losses)

# %% [markdown]
# Stored are **all** extractors and the exemplars.
#
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
learns = [method]  # add MyDER when you have changed a line of it: it is drawn beside it
groups = [learn_stream(run, settings, each, order_seed, train_seed) for each in learns]
found = collect(run, settings, learns)
training_losses(found["losses"], note=under)

# %% [markdown]
# ## Who speaks for the right class?
# The logit of a class is a sum over extractors, one term for the columns of each. So every
# extractor's share in an answer can be read off: by how much does it raise the logit of the right
# class over the mean of all logits? (The mean is taken away because only differences between logits
# decide.)


# %%
def shares_of(learner, session):
    """What each extractor adds to the right class's logit, mean over a session's test images."""
    positions = data.indices("test", session)
    features = learner.features(data.test.select(positions))
    labels = torch.as_tensor(data.test.labels[positions], device=features.device)
    weight = learner.classifier.head.weight.detach()
    weight = weight - weight.mean(dim=0)
    terms = (weight[labels] * features).unflatten(1, (learner.session, -1))
    return terms.sum(dim=2).mean(dim=0).tolist()


# %% [markdown]
# Read a row from left to right: these are the test images of one session. Only the extractor of
# their own session was trained on all images of their classes, so expect the diagonal to lead.
# Extractors to the left of it were frozen before these classes came. They can still help, since
# features learned for one thing serve another. Extractors to the right of it saw exemplars of these
# classes. (After a single epoch extractors are still nearly copies of each other, and the diagonal
# does not lead yet.)

# %%
(learner,) = groups[-1].learners
rows = [
    {"session": session, "extractor": extractor, "logit": logit}
    for session in range(1, data.number_of_sessions + 1)
    for extractor, logit in enumerate(shares_of(learner, session), start=1)
]
spoken_for(pd.DataFrame(rows), note=under)

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
# DER keeps one whole network for each session, and an image passes all of them. **ACL** (notebook
# 2) freezes one backbone and adds light adapters for each session. It saves storage, not passes: an
# image still goes through the backbone once for each session. **DynaMMo** averages the adapter sets
# into one, so that one pass is left. *Frozen features* is that one pass without any adapters.
#
# All of this is counted on the networks themselves, with as many classes and sessions as here:
# *MACs* are multiply-accumulates, a product added to a sum each, and MMACs are millions of them.

# %%
compared_with = ["der", "acl", "dynammo", "frozen_features"]
sessions, brought = data.number_of_sessions, len(data.classes(1))
growth = pd.DataFrame(
    cost_growth(settings, compared_with, range(1, sessions + 1), data.image_size, brought)
)
last = growth[growth.sessions == sessions].set_index("method").rename(title)
columns = {
    "parameters_trained": "trained in a session (M)",
    "parameters_used": "needed to predict (M)",
    "macs": "MMACs an image",
}
(last[list(columns)] / 1e6).rename(columns=columns).round(1)

# %% [markdown]
# Adapters cost MACs of their own. On a small backbone a pass with adapters can take more than one
# without, and then ACL takes even more than DER. What grows, and what does not:

# %%
counted = f"counted, with nothing trained: {settings.backbone}, images of {data.image_size} px"
costs.cost_growth_figure(growth, note=counted)

# %% [markdown]
# ## Where it pays
# For few sessions, where accuracy counts more than hardware and exemplars may be kept. It is
# a good yardstick for what can be remembered at all. It is a poor choice for a device in the
# clinic that learns a class every month: after three years each image takes 36 passes.
#
# For privacy it stands where replay does: exemplars are needed, for the new extractor and the head.

# %% [markdown]
# ## What it costs
# As measured here. Read down the columns of MMACs and numbers stored.

# %%
cost_by_session(found)[["accuracy (%)", "MMACs an image", "numbers stored (M)", "training (s)"]]

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here.

# %%
end = found["accuracy"].query("method == @method and session == session.max()")
kept, own = 100 * end.accuracy.iloc[:-1], found["sessions"].query("method == @method")
grown = own.macs.iloc[-1] / own.macs.iloc[0]
replayed = published_numbers().query("method == 'replay' and session == '4'").published.max()
last_one = 100 * own.accuracy.iloc[-1]
as_expected(
    {
        "old sessions: over 50 % on average": (f"{kept.mean():.0f} %", kept.mean() > 50),
        f"{sessions} passes after {sessions} sessions": (
            f"{grown:.2f}",
            abs(grown - sessions) < 0.1,
        ),
        f"more than replay, {replayed:.0f} % at best in the demo": (
            f"{last_one:.1f} %",
            last_one > replayed,
        ),
    },
    settings,
)

# %% [markdown]
# ## Now change a line
# In `two_losses`, write `return loss` before the line of `targets`: the new extractor now learns
# through the common head alone. Or take `self.extractors[:-1].eval()` out of `SideBySide`: old
# extractors then follow the new images, although not one of their weights is trained. Run that cell
# again, set `learns = [method, MyDER]`, and run the cells from there on. (The cells with an assert
# would now stop you, as they should.) The library sees that something was changed, and learns all
# sessions anew.

# %% [markdown]
# ## Code it: grow without a word
# In `grow`, the old classes get fresh random weights for the new features. So the moment that the
# head has grown, before any training, old classes answer otherwise than before. Write a `grow` that
# changes no old logit, whatever the new extractor's features are.


# %% tags=["exercise"]
def grow_quietly(head, fresh):
    """A head shaped like `fresh` that gives old classes the logits that `head` gave them."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def grow_quietly(head, fresh):
    """A head shaped like `fresh` that gives old classes the logits that `head` gave them."""
    weight, bias = fresh.weight.detach().clone(), fresh.bias.detach().clone()
    classes, features = head.weight.shape
    weight[:classes, :features] = head.weight.detach()
    weight[:classes, features:] = 0  # old classes do not hear the new features yet
    bias[:classes] = head.bias.detach()
    grown = UnifiedHead(weight.shape[1])
    grown.add_classes(weight, bias)
    return grown


# %% tags=["check"]
narrow, wide = UnifiedHead(3), nn.Linear(6, 4)
narrow.add_classes(torch.randn(2, 3), torch.randn(2))
grown, x = grow_quietly(narrow, wide), torch.randn(5, 6)
assert grown.weight.shape == (4, 6), "Four rows, one for each class, and six columns."
assert torch.allclose(grown(x)[:, :2], narrow(x[:, :3])), "An old logit moved with a new feature."
assert torch.equal(grown.weight[2:], wide.weight[2:]), "New classes' rows are those of `fresh`."
assert torch.equal(grown.bias[2:], wide.bias[2:]), "New classes' biases are those of `fresh`."
assert wide.weight[:2, 3:].abs().min() > 0, "Work on a copy: `fresh` itself was changed."
assert grown.weight.requires_grad, "The zeros have to be trained like all other weights."
print("Old logits stay as they were. To see what it does, use it in MyDER.grow_head.")

# %% [markdown]
# ## Exercises
# 1. Set `more = {"classes_per_session": 4}`, then leave it out again. What does an extractor more
#    cost, and what does it bring? Compare the accuracy after the last session, not the mean.
# 2. Set `der_auxiliary = 0.0`. Is the newest extractor still of use? Look at the diagonal of both
#    heat maps.
# 3. Set `more = {"memory_budget": 16}`. Frozen extractors lose nothing, so what does the lower
#    accuracy of old sessions come from?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. One extractor is one more pass and one more network to store: see the table above. With four
#    classes a session there are half as many at the end. Expect the last accuracy to be no lower
#    for that: extractors are the price of sessions, not a gain as such. The comparison changes two
#    things, the extractors and the division into sessions. What extractors bring is `der` against
#    `replay` at the same division.
# 2. Yes. The first term reaches it too, through the head, so it still learns the new classes:
#    expect the diagonal of the accuracies to lose little. But it starts as a copy of the extractor
#    before, and what the old ones already explain gives it no gradient, so it may remain close to a
#    copy. The auxiliary loss makes it tell the new classes apart on its own.
# 3. From the head, and from the newest extractor. With eight classes the head is balanced on two
#    images each, so its borders between old and new classes are poor. The newest extractor saw few
#    exemplars among many new images, and the head reads its features for old classes too. The old
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
