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
# **The idea.** The simplest way to learn new classes is to go on training. A network that does so
# on the new images alone forgets the old classes within an epoch or two. A network that trains on
# all images forgets little, but it has to keep them all. Every other method is judged by where it
# falls between the two.
#
# **What you will see.** The loop that trains a whole network, written out in a cell and shown to be
# the library's. The two bounds are this one loop: they differ in the images that it draws from.
# Then what becomes of an old class, step by step, and one of the bounds over the whole stream:
# `method` says which. Run the notebook once for each, and both stand in one `run_folder`.
#
# **Expected.** Step by step the logits of old classes fall below those of new ones. So fine-tuning
# knows only the newest classes, and ends with about a quarter of the images right. Joint training
# starts near 100 % and falls a little, because more classes are harder to tell apart. The section
# "As expected?" has the numbers.
#
# **Takes** about a minute and a half (joint training three minutes) on one core with the default
# parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `fine_tuning`, `joint`.

# %% tags=["parameters"]
method: str = "fine_tuning"  # which of the two bounds
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training
more: dict = {}  # any other setting by name: {"network_learning_rate": 0.01, "stream": "phantom"}

# %%
# %matplotlib inline
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from dynammo.baselines.fine_tuning import FineTuning
from dynammo.baselines.joint import Joint
from dynammo.baselines.whole_network import Extractor, WholeNetworkLearner
from dynammo.draw.accuracy import training_losses
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.draw.logits import old_logits
from dynammo.measure.metrics import backward_transfer
from dynammo.measure.summary import cost_by_session
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import data_note, note
from dynammo.run.run_folder import open_setup
from dynammo.run.settings import as_written_out, settings_from
from dynammo.training import generator_for, linear_head, seed_for

# %%
settings = settings_from(globals()).with_changes(
    {"methods": [method], "order_seeds": [order_seed], "train_seeds": [train_seed]}
)
run = Path(run_folder)
setup = open_setup(run, settings, order_seed, train_seed)
data, frozen, under = setup.stream, setup.backbone, note(settings, setup.stream)
rate = settings.network_learning_rate

# %% [markdown]
# ## A network of which everything is trained
# In notebook 2 the backbone was frozen. From here to notebook 7 it is trained. All methods start
# from the same ImageNet weights and have the same epochs, batches and schedule, so that they differ
# in their idea alone. (Settings that begin with `adapter_` hold for all methods, with adapters or
# without.)
#
# The network maps an image $x$ to features $f(x)$, and the *head* maps the features to one number
# for each class, a *logit*: $z(x) = W f(x) + b$. The class with the largest logit is the answer.
# When a session brings new classes, $W$ gets new rows and the old ones stay.


# %%
class Network(nn.Module):
    """A backbone that can be trained, and a head with one output for each class seen."""

    def __init__(self):
        super().__init__()
        self.extractor = Extractor(frozen)  # a copy, whose weights may change
        self.head = None  # for no classes yet

    def grow(self, fresh):
        """Put the rows of a fresh layer, for new classes, below those that the head has."""
        if self.head is not None:
            rows, biases = (self.head.weight, fresh.weight), (self.head.bias, fresh.bias)
            fresh.weight = nn.Parameter(torch.cat(rows).detach())
            fresh.bias = nn.Parameter(torch.cat(biases).detach())
        self.head = fresh

    def forward(self, x):
        return self.head(self.extractor(x))


# %% [markdown]
# ## The loss, and where it pushes
# The softmax turns logits into probabilities, $p(x) = \mathrm{softmax}(z(x))$. The loss is the
# *cross-entropy* over **all** classes seen,
#
# $$L = -\frac{1}{|B|} \sum_{(x, y) \in B} \log p_y(x),$$
#
# where $B$ is a batch of images $x$ with labels $y$. Its gradient with respect to a logit $z_k$ of
# one image is $p_k / |B|$, and $(p_k - 1) / |B|$ for the image's own class $y$. Training goes
# against the gradient: up for the own class, and **down for every other class**.


# %%
def push(logits, labels):
    """Where the loss pushes each logit [N, K]: up where this is positive, down where negative."""
    return F.one_hot(labels, logits.shape[1]) - logits.softmax(dim=1)


# %% [markdown]
# Torch's own gradient says the same. Here are images of two new classes, with labels 2 and 3. All
# pushes at the old classes 0 and 1 are negative. (From here on, each `assert` says that what the
# cell before wrote is what torch or the library does.)

# %%
logits, labels = torch.randn(5, 4, requires_grad=True), torch.tensor([2, 3, 2, 2, 3])
F.cross_entropy(logits, labels, reduction="sum").backward()
assert torch.allclose(push(logits, labels), -logits.grad, atol=1e-6)
assert (push(logits, labels)[:, :2] < 0).all()

# %% [markdown]
# ## One loop, two bounds
# An *epoch* shows every image once, in random batches. A step forgets the last gradient
# (`zero_grad`), computes the new one (`backward`), and moves each weight $\theta$ with gradient $g$
# (`step`): $v \leftarrow 0.9\,v + g + 0.0005\,\theta$, then $\theta \leftarrow \theta - \eta v$.
# Here $\eta$ is the *learning rate*, $0.9\,v$ is *momentum* and $0.0005\,\theta$ is *weight decay*.


# %%
def step(weights, velocities, rate):
    """What `optimizer.step()` does below."""
    with torch.no_grad():
        for w, v in zip(weights, velocities, strict=True):
            v.mul_(0.9).add_(w.grad + 5e-4 * w)
            w.sub_(rate * v)


# %%
mine, velocity = torch.randn(3, requires_grad=True), torch.zeros(3)
theirs = mine.detach().clone().requires_grad_(True)
optimizer = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=5e-4)
for _ in range(2):
    for one in (mine, theirs):
        one.grad = None
        one.cos().sum().backward()
    step([mine], [velocity], 0.1)
    optimizer.step()
assert torch.allclose(mine, theirs)

# %% [markdown]
# The loop, with nothing left out:


# %%
def pictures(split, positions):
    """Images at some positions of a split, as the network takes them in, and their labels."""
    labels = torch.as_tensor(split.labels[positions], device=setup.device)
    return frozen.normalise(split.images[positions]), labels


# %%
def train(network, positions, epochs, rate, generator, watch=None):
    """Train all weights on the training images at some positions; mirror half of the images.

    After each step `watch(network)` is called, if there is one: an experiment below looks on so.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs):
        for batch in torch.randperm(len(positions), generator=generator).split(32):
            x, y = pictures(data.train, positions[batch.numpy()])
            flip = torch.rand(len(batch), generator=generator) < 0.5
            x = torch.where(flip.to(x.device)[:, None, None, None], x.flip(3), x)
            loss = F.cross_entropy(network.train()(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if watch:
                watch(network.eval())
    return network.eval()


# %% [markdown]
# The two bounds differ in the positions that session $t$ gives to this loop. For **fine-tuning**
# they are `data.indices("train", t)`, the new images. For **joint training** they are
# `data.indices("train", range(1, t + 1))`, all images so far.
#
# | | starts from | is kept for the next session |
# |---|---|---|
# | fine-tuning | the last session's weights | the network |
# | joint training | the ImageNet weights | every training image |
#
# To compare with the library, both learn two sessions by the loop above, on four images a session.
# (By default the library lowers the learning rate on the way. `as_written_out` gives settings under
# which it does what the cells here do.)


# %%
def some_positions(sessions, count, split="train"):
    """Where some images of a session, or of several, are."""
    positions = data.indices(split, sessions)
    return positions[:: max(1, len(positions) // count)][:count]


def fresh(session):
    """A head for a session's classes alone, as the library draws it."""
    seed = seed_for("whole network", *setup.seeds, session)
    return linear_head(frozen.feature_size, len(data.classes(session)), seed, setup.device)


def batches_of(session):
    """What draws the order of batches, and which images are mirrored, in the library."""
    return generator_for("whole network", *setup.seeds, session)


# %%
small = replace(setup, settings=as_written_out(settings, adapter_epochs=1))
few = [some_positions(session, 4) for session in (1, 2)]
tuned, joint = Network(), Network()
joint.grow(fresh(1))
joint.grow(fresh(2))
train(joint, np.concatenate(few), 1, rate, batches_of(2))
for session, positions in enumerate(few, start=1):
    tuned.grow(fresh(session))
    train(tuned, positions, 1, rate, batches_of(session))

# %%
theirs = FineTuning(small), Joint(small)
for session, positions in enumerate(few, start=1):
    for learner in theirs:
        learner.session = session
        learner.grow_head()  # which is where joint training begins again
    theirs[0].fit(positions, progress=False)
theirs[1].fit(np.concatenate(few), progress=False)
for mine, learner in zip((tuned, joint), theirs, strict=True):
    for name, value in learner.classifier.state_dict().items():
        assert torch.allclose(mine.state_dict()[name].float(), value.float(), atol=1e-4), name

# %% [markdown]
# ## Watch an old class sink
# A small experiment: the network learns session 1 on some of its images. Then it goes on to session
# 2, once with the new images alone and once with those of both sessions. The rate is a fifth of the
# usual one, so that one can watch. After each step we ask the network about validation images of
# session 1, which it is never trained on.

# %%
asked, right = pictures(data.val, some_positions(1, 40, "val"))
first = data.classes(2)[0]  # the first new class


@torch.no_grad()
def answers(network):
    """Mean logit of the image's own class, largest one of a new class, and share of right ones."""
    z = network(asked)
    own = z.gather(1, right[:, None]).mean()
    known = (z.argmax(dim=1) == right).float().mean()
    return {"own": own.item(), "new": z[:, first:].amax(dim=1).mean().item(), "right": known.item()}


# %%
generator = torch.Generator().manual_seed(train_seed)
begin = Network()
begin.grow(fresh(1))
for epochs, part in (8, 1.0), (4, 0.2):  # epochs, and which part of the learning rate
    train(begin, some_positions(1, 96), epochs, part * rate, generator)
begin.grow(fresh(2))


def follow(positions, epochs):
    """Go on from there; return the answers before the first step, and after each."""
    seen = [answers(begin)]
    network, watch = copy.deepcopy(begin), lambda now: seen.append(answers(now))
    train(network, positions, epochs, rate / 5, generator, watch)
    return seen


steps = {  # twice the images, half the epochs: about as many steps
    "new images alone": follow(some_positions(2, 96), 6),
    "images of both sessions": follow(some_positions((1, 2), 192), 3),
}

# %% [markdown]
# Where the lines cross, the answer changes. On the left nothing pushes an old class up again: no
# image of session 2 has an old label, so each step lowers old logits and raises new ones, also on
# images of old classes. On the right every batch has old images, too, and each of them pushes its
# class up. McCloskey and Cohen described the left side in 1989 and called it **catastrophic
# interference**.

# %%
rows = [
    {"training": way, "step": step, **row}
    for way, seen in steps.items()
    for step, row in enumerate(seen)
]
tried = f"a small experiment on few images; {data_note(data)}; {settings.backbone}"
old_logits(pd.DataFrame(rows), note=tried)

# %% [markdown]
# ## Which scenario is this?
# Nobody says which session a test image is from, so the logits of all classes seen compete. This is
# the *class-incremental* scenario. If the test named the session (*task-incremental*), it would not
# matter that old logits sink together. Notebook 6 tells the scenarios apart and measures two.

# %% [markdown]
# ## All sessions
# Fine-tuning in the form that the library runs; joint training draws other positions, and starts
# anew each session. Everything else is inherited from `WholeNetworkLearner`: the network, the head
# that grows, the loop over epochs and sessions. A method may define any part that stands in
# [its file](../dynammo/baselines/whole_network.py) under "What a method may change", from what each
# has: `self.stream`, `self.session`, `self.memory`, `self.classifier`, `self.old_classes`.


# %%
class MyFineTuning(WholeNetworkLearner):
    """The lower bound."""

    name = "my_fine_tuning"
    remembers = False  # keeps no exemplars

    def training_positions(self):
        return self.stream.indices("train", self.session)

    def batch_loss(self, images, labels):
        return F.cross_entropy(self.classifier(images), labels)


# %%
mine, theirs = MyFineTuning(small), theirs[0]
mine.session, mine.classifier = theirs.session, theirs.classifier
assert (mine.training_positions() == theirs.training_positions()).all()
x, y = pictures(data.train, few[1])
with torch.no_grad():
    assert torch.equal(mine.batch_loss(x, y), theirs.batch_loss(x, y))

# %% [markdown]
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
learns = [method]  # add MyFineTuning when you have changed a line of it: it is drawn beside it
for each in learns:
    learn_stream(run, settings, each, order_seed, train_seed)
found = collect(run, settings, learns)
training_losses(found["losses"], note=under)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.
#
# * **Fine-tuning:** high on the diagonal, near 0 to the left of it. A network that only answers the
#   classes of the newest of four sessions can be right on at most a quarter of the images, however
#   well it knows those.
# * **Joint training:** columns fade a little too, but that is no forgetting: each session adds
#   classes that an image can be taken for. No method can be blamed for that part.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# One number for it is *backward transfer* (Lopez-Paz and Ranzato 2017): what became of each old
# session since it was learned, on average. It is the last row less the diagonal.

# %%
matrix = found["accuracy"].query("method == @method")
matrix = matrix.pivot_table("accuracy", "session", "evaluated_session").to_numpy()
lost = matrix[-1] - matrix.diagonal()
assert np.isclose(lost[:-1].mean(), backward_transfer(matrix))
f"backward transfer: {100 * lost[:-1].mean():.1f} points"

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here; then the demo's accuracies on
# our machine, ± how far another processor may move them ([expected.csv](../figures/expected.csv)).

# %%
after = 100 * found["sessions"].query("method == @method").set_index("session").accuracy
end = found["accuracy"].query("method == @method and session == session.max()")
end = 100 * end.accuracy.to_numpy()
if method == "fine_tuning":
    share, whole = 100 / data.number_of_sessions, after.iloc[-1]
    own, new, _ = steps["new images alone"][-1].values()
    expectations = {
        "old logits fall below new ones": (f"{own:.1f} to {new:.1f}", own < new),
        "old classes end near 0 %": (f"at most {end[:-1].max():.0f} %", end[:-1].max() < 10),
        f"right in the end: about {share:.0f} %": (f"{whole:.1f} %", abs(whole - share) < 5),
    }
else:
    less = after.iloc[0] - after.iloc[-1]
    expectations = {
        "near 100 % at first": (f"{after.iloc[0]:.1f} %", after.iloc[0] > 95),
        "it falls a little": (f"by {less:.1f} points", 0 <= less < 15),
    }
as_expected(expectations, settings, found["sessions"])

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
cost_by_session(found)[
    ["accuracy (%)", "training (s)", "exemplars (kB)", "MMACs an image", "numbers stored (M)"]
]

# %% [markdown]
# ## Now change a line
# In `MyFineTuning.training_positions`, write `range(1, self.session + 1)` in place of
# `self.session`. That is joint training, with one difference: it goes on from the last session's
# weights. Run that cell again, skip the one with the `assert`, which would now stop you, set
# `learns = [method, MyFineTuning]`, and run that cell and those below it. The library sees that the
# class was changed, and learns all sessions anew. Does it matter where joint training starts from?

# %% [markdown]
# ## Code it: leave old logits alone
# If the loss pushes old logits down, keep them out of it. Write the cross-entropy among the **new**
# classes only. The labels are those of the stream: with two old classes, the first new one is 2.


# %% tags=["exercise"]
def loss_among_new(logits, labels, old):
    """Mean cross-entropy of logits [N, K] and labels [N] that leaves the first `old` logits out."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def loss_among_new(logits, labels, old):
    """Mean cross-entropy of logits [N, K] and labels [N] that leaves the first `old` logits out."""
    return F.cross_entropy(logits[:, old:], labels - old)


# %% tags=["check"]
some_logits = torch.tensor([[9.0, -9.0, 1.0, 1.0], [0.0, 5.0, 1.0, 1.0]], requires_grad=True)
rises, their_labels = torch.tensor([[9.0, 0.0, 1.0, 2.0]]), torch.tensor([2, 3])
gap = loss_among_new(rises, torch.tensor([1]), 1) - loss_among_new(rises, torch.tensor([2]), 1)
assert abs(gap.item() - 1) < 1e-6, "Without the old logits the first new class stands at 0."
loss = loss_among_new(some_logits, their_labels, 2)
assert loss.ndim == 0, "The loss of a batch is one number, the mean over its images."
assert abs(loss.item() - np.log(2)) < 1e-6, (
    "Both images have equal logits for two new classes, so each is a coin toss: log 2."
)
loss.backward()
assert (some_logits.grad[:, :2] == 0).all(), "The loss still pushes old logits."
assert some_logits.grad[0, 2] < 0, "The logit of an image's own class should be pushed up."
first_session = loss_among_new(torch.zeros(1, 2), torch.tensor([1]), 0)
assert abs(first_session.item() - np.log(2)) < 1e-6, "In session 1 all classes are new."
print("Old logits are left alone. Is that enough? Use it in MyFineTuning.batch_loss.")

# %% [markdown]
# ## Exercises
# 1. Run both methods. In the table under "What it costs", the difference of their last rows is what
#    incremental learning can usually win. By how much do they differ after two sessions, by how
#    much after four?
# 2. Run `fine_tuning` with `more = {"network_learning_rate": 0.01}`, then `0.001`. Look at the
#    first column and at the diagonal: does less change mean less forgetting, and at what price?
# 3. Run `joint` with `order_seed = 0` and `1`. Which entries of the accuracy column have to agree
#    up to chance, and why not the others?
# 4. Use `loss_among_new` in `MyFineTuning`: the loss is `loss_among_new(self.classifier(images),
#    labels, self.old_classes)`. Which entries of the matrix do you expect to rise, which to fall?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Run the notebook with `method = "fine_tuning"`, then with `method = "joint"`; both may have the
#    same `run_folder`. If it knows the newest classes perfectly, fine-tuning is right on half of
#    the images after two sessions, and on a quarter after four. Joint training falls by far less
#    than that, so the gap widens with every session.
# 2. Yes, and the price is the new classes. Small steps leave old weights and old logits nearer to
#    where they were, so the first column may keep more. But the few dozen steps of a session no
#    longer suffice to learn the new classes, so the diagonal falls. No rate is good at both,
#    since nothing in the loss speaks for old classes. Beware of the number called "forgetting"
#    here: what was never learned cannot be forgotten.
# 3. Those after sessions 2 and 4. Joint training depends on which classes there are, not on when
#    they came. After four sessions both orders have all eight; after two, by chance, both have
#    neutrophil, erythroblast, eosinophil and platelet (see notebook 1). After sessions 1 and 3 they
#    have different classes, and some are easier to tell apart than others. "Up to chance", because
#    the order seed is also part of the seeds of heads and batches.
# 4. Entries to the left of the diagonal rise: no step pushes old logits down any more, so old
#    images are no longer all taken for new classes. The diagonal falls, because no step pushes new
#    logits above old ones either: nothing ever compares the two. Still old classes are not safe.
#    The features change under their rows of the head. What is missing is a term that *holds* old
#    answers: notebook 5 adds one (LwF), and notebook 6 another (EWC).
#
# Under "Now change a line": hardly. In our run training that goes on ended at 91 %, and training
# that begins anew at 93 %: another seed makes as much of a difference. What counts is that all
# images are there.

# %% [markdown]
# ## References
# * M. McCloskey, N. J. Cohen, *Catastrophic interference in connectionist networks*, Psychology of
#   Learning and Motivation 24, 1989.
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734 (ours
#   is the third: class-incremental).
# * D. Lopez-Paz, M. Ranzato, *Gradient Episodic Memory*, NeurIPS 2017 (backward transfer).
#
# **Before:** [one incremental session](02_incremental_session.ipynb) ·
# **Next:** [memory replay](04_replay.ipynb)
