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
# # 4 · Memory replay: keep a few old images and go on training on them
#
# **The idea.** Fine-tuning forgets because it never sees an old image. So keep some: a memory
# $\mathcal{M}$ of fixed size, shared evenly by the classes seen and chosen by herding, as in
# notebook 2. Then train on new and kept images together.
#
# **What you will see.** The memory as a sheet of images, and what each class gives up. Replay as
# one changed line of notebook 3's training loop, and what that line does to the logits of old
# classes. Then DER++, which keeps the network's old answers beside the images. All of it is written
# out in cells and shown to be the library's.
#
# **Expected.** Replay keeps much of what fine-tuning lost, of some sessions far more than of
# others, and is best on the newest. The section "As expected?" has its numbers.
#
# **Takes** about two minutes (DER++ four) on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `replay`, `replay_balanced_head`, `der_plus_plus`.

# %% tags=["parameters"]
method: str = "replay"  # which of the family
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

memory_budget: int = 40  # exemplars in all, shared by the classes seen
der_plus_plus_alpha: float = 0.2  # weight of the distance to the stored logits
der_plus_plus_beta: float = 0.5  # weight of the cross-entropy on exemplars
more: dict = {}  # any other setting by name: {"adapter_epochs": 20, "stream": "phantom"}

# %%
# %matplotlib inline
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from dynammo.baselines.der_plus_plus import DERPlusPlus
from dynammo.baselines.replay import Replay
from dynammo.baselines.whole_network import WholeNetworkLearner
from dynammo.draw.accuracy import training_losses
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.draw.images import memory_sheet
from dynammo.draw.logits import old_logits
from dynammo.measure.summary import cost_by_session
from dynammo.memory import ExemplarMemory, herd
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import data_note, note
from dynammo.run.run_folder import open_setup
from dynammo.run.settings import as_written_out, settings_from
from dynammo.training import extract_features, flip_half, generator_for

# %%
one_run = {"methods": [method], "order_seeds": [order_seed], "train_seeds": [train_seed]}
settings, run = settings_from(globals()).with_changes(one_run), Path(run_folder)
setup = open_setup(run, settings, order_seed, train_seed)
data, frozen = setup.stream, setup.backbone
rate = settings.network_learning_rate

# %% [markdown]
# ## The memory
# A kept image is called an *exemplar*. The budget is for all classes, so with every session each
# old class gives up some exemplars to make room. Which ones? Herding lists them so that the first
# $k$ are a good choice for every $k$, so the last ones go.


# %%
def remember(memory, chosen, budget):
    """The memory after a session: for each class, its share of the order it was chosen in."""
    share = budget // (len(memory) + len(chosen))
    return {label: order[:share] for label, order in [*memory.items(), *chosen.items()]}


# %% [markdown]
# Here is the memory of the whole stream. To choose by, we take features of the network as it was
# pretrained. (The methods below take those of the network that they have trained.) From here on,
# each `assert` says that what the cell before wrote is what the library does.

# %%
memory, theirs, after_each = {}, ExemplarMemory(memory_budget), []
for session in range(1, data.number_of_sessions + 1):
    own = data.indices("train", session)
    features = extract_features(frozen, frozen, data.train.select(own))
    chosen = {}
    for label in data.classes(session):
        of_class = data.train.labels[own] == label
        order = herd(features[torch.as_tensor(of_class)].cpu().numpy(), memory_budget)
        chosen[label] = own[of_class][order]
    memory = remember(memory, chosen, memory_budget)
    theirs = theirs.after_session(data, session, features)
    assert all((memory[label] == theirs.positions[label]).all() for label in theirs.positions)
    after_each.append(memory)

# %% [markdown]
# Each row shows all exemplars that a class ever had, in order of choice. The pale ones were given
# up. Under the number of a session is a line: to the left of it stand the images that each class
# then had.

# %%
memory_sheet(data, after_each, note=data_note(data))

# %% [markdown]
# ## `replay`: one changed line
# The loss is notebook 3's cross-entropy over all classes seen. Each class has a *logit* $z_k(x)$, a
# number that says how much the network takes the image for one of that class; the softmax turns
# them into probabilities $p(x)$. Only what batches $B$ are drawn from is new: the session's images
# and the exemplars together, $\mathcal{D}_t \cup \mathcal{M}$ (Chaudhry et al. 2019, section 3).
#
# $$L = -\frac{1}{|B|} \sum_{(x, y) \in B} \log p_y(x), \qquad p(x) = \mathrm{softmax}(z(x)).$$


# %%
def pictures(split, positions):
    """Images at some positions of a split, as the network takes them in, and their labels."""
    labels = torch.as_tensor(split.labels[positions], device=setup.device)
    return frozen.normalise(split.images[positions]), labels


def few(session, count):
    """Where some training images of a session are."""
    positions = data.indices("train", session)
    return positions[:: max(1, len(positions) // count)][:count]


# %%
def train(network, positions, exemplars, epochs, rate, generator, watch=None):
    """Train all weights on new images and exemplars, by their positions; mirror half of both."""
    positions = np.concatenate([positions, exemplars])  # the line: all else is notebook 3's
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
# One epoch of session 2 on four new images and four exemplars, by the loop above and by the
# library, under settings with which it does what the cells do.


# %%
def at_session_2(kind, setup):
    """A learner that stands at the beginning of session 2, with a network that learned nothing."""
    learner = kind(setup)
    for session in (1, 2):
        learner.session = session
        learner.grow_head()
    return learner


# %%
small = replace(setup, settings=as_written_out(settings, adapter_epochs=1))
theirs = at_session_2(Replay, small)
mine, pool = copy.deepcopy(theirs.classifier), np.concatenate([few(2, 4), few(1, 4)])
train(mine, few(2, 4), few(1, 4), 1, rate, generator_for("whole network", *setup.seeds, 2))
theirs.fit(pool, progress=False)
for name, value in theirs.classifier.state_dict().items():
    assert torch.allclose(mine.state_dict()[name].float(), value.float(), atol=1e-4), name

# %% [markdown]
# ## How much does the line do?
# The small experiment of notebook 3 again: a network learns session 1 on some
# images, then goes on to session 2 at a fifth of the rate. It does so three times: with no
# exemplars, with as many of each old class as are left at the end of the stream, and with as many
# as there are after session 1. After each step it is asked about validation images of session 1,
# which it is never trained on.

# %%
positions = data.indices("val", 1)
asked, right = pictures(data.val, positions[:: max(1, len(positions) // 40)][:40])
first = data.classes(2)[0]


@torch.no_grad()
def answers(network):
    """Mean logit of the image's own class, largest one of a new class, and share of right ones."""
    z = network(asked)
    share = (z.argmax(dim=1) == right).float().mean()
    own, new = z.gather(1, right[:, None]).mean(), z[:, first:].amax(dim=1).mean()
    return {"own": own.item(), "new": new.item(), "right": share.item()}


# %%
generator = torch.Generator().manual_seed(train_seed)
learner, nothing = Replay(setup), np.array([], dtype=int)
learner.session = 1
learner.grow_head()
for epochs, part in (8, 1.0), (4, 0.2):
    train(learner.classifier, few(1, 96), nothing, epochs, part * rate, generator)
learner.session = 2
learner.grow_head()


# %%
def follow(exemplars):
    """Go on from there; return the answers before the first step, and after each."""
    network, seen = copy.deepcopy(learner.classifier), [answers(learner.classifier)]

    def watch(now):
        seen.append(answers(now))

    train(network, few(2, 96), exemplars, 4, rate / 5, generator, watch)
    return seen


# %%
rows = []
for share in sorted({0, len(after_each[-1][0]), len(after_each[0][0])}):
    kept = [after_each[0][label][:share] for label in data.classes(1)]
    way = f"{share} exemplars a class" if share else "no exemplars"
    followed = enumerate(follow(np.concatenate(kept)))
    rows += [{"training": way, "step": step, **row} for step, row in followed]

# %% [markdown]
# Without exemplars the old logits sink below the new ones, as in notebook 3. Each exemplar pushes
# its own class up again. So with a few in each batch the old logits sink more slowly, and with many
# they hold. Still, a handful of exemplars is not enough: it shows only a few of the ways in which
# images of a class can look.

# %%
tried = f"a small experiment on few images; {data_note(data)}; {settings.backbone}"
old_logits(pd.DataFrame(rows), note=tried)

# %% [markdown]
# An epoch shows each exemplar once, like each new image. So the classes are **not balanced**, and
# less so with every session. With the default parameters session 4 brings 100 images of each new
# class, and the memory has 6 of each old one.
#
# ## `replay_balanced_head`: the same, then balance
# After each session the head alone is tuned once more, on as many images of each class: step 4 of
# notebook 2. It is a control: if a method that balances its head beats replay, the balancing alone
# may explain it.

# %% [markdown]
# ## `der_plus_plus`: labels and old answers
# A label says "monocyte". The logits that the network once gave say more: how sure it was, and what
# else it thought of. *Dark experience replay* stores them (Buzzega et al. 2020, equation 6):
#
# $$L = \mathrm{CE}(B) + \alpha \, \frac{1}{|A|} \sum_{(x, h, k) \in A} (z_k(x) - h_k)^2
# + \beta \, \mathrm{CE}(B').$$
#
# $\mathrm{CE}$ is the cross-entropy above. $B$ is a batch of new images; $B'$ and $A$ come from two
# further draws of a full batch from the memory. $h_k$ is the logit of class $k$ when image $x$ was
# stored, and $A$ leaves out classes that were not known then.


# %%
def three_terms(new, labels, first, stored, second, known, alpha, beta):
    """DER++'s loss from the logits of three batches: new images, and two draws of exemplars.

    `stored` [N, K'] are the first draw's old logits, NaN where a class was not known yet; `labels`
    and `known` belong to the new images and to the second draw.
    """
    then = ~stored.isnan()
    change = first[:, : stored.shape[1]] - stored  # later classes have no old logit
    return (
        F.cross_entropy(new, labels)
        + alpha * change[then].square().mean()
        + beta * F.cross_entropy(second, known)
    )


# %% [markdown]
# The paper draws its memory at random from a stream seen once and stores logits on the way. Here
# the memory is the herded one, and logits are stored when a session ends. Each step passes three
# batches at once. (So that an epoch has as many steps as one of replay's, which has exemplars in
# its batches, some new images are shown twice. The library does that.)


# %%
class MyDERPlusPlus(DERPlusPlus):
    """DER++, of the function above. What it does not define, it has from the library."""

    name = "my_der_plus_plus"

    def batch_loss(self, images, labels):
        memory, size = self.memory.all_positions(), self.settings.batch_size
        if not len(memory):  # session 1
            return F.cross_entropy(self.classifier(images), labels)
        drawn = memory[torch.randint(len(memory), (2 * size,), generator=self.draws).numpy()]
        replayed = self.backbone.normalise(self.stream.train.images[drawn])
        every = self.classifier(torch.cat([images, flip_half(replayed, self.draws)]))
        new, first, second = every.split([len(images), size, size])
        stored = torch.stack([self.logits[i] for i in drawn[:size].tolist()])
        known = torch.as_tensor(self.stream.train.labels[drawn[size:]], device=self.device)
        weights = self.knobs.alpha, self.knobs.beta
        return three_terms(new, labels, first, stored, second, known, *weights)


# %% [markdown]
# Both from the same network, with two exemplars of each class of session 1 and the logits that it
# gave them:

# %%
kept = {label: positions[:2] for label, positions in after_each[0].items()}
(images, labels), losses = pictures(data.train, few(2, 4)), []
for kind in (MyDERPlusPlus, DERPlusPlus):
    learner = kind(small)
    learner.session = 1
    learner.grow_head()
    learner.memory = ExemplarMemory(memory_budget, kept)
    learner.finish_session()  # stores the logits
    learner.session = 2
    learner.grow_head()
    learner.training_positions()  # begins to draw
    with torch.no_grad():
        losses.append(learner.batch_loss(images, labels))
assert torch.allclose(*losses)

# %% [markdown]
# ## All sessions
# And replay in the form that the library runs. The line is the same: what batches are drawn from.


# %%
class MyReplay(WholeNetworkLearner):
    """Experience replay."""

    name = "my_replay"

    def training_positions(self):
        new = self.stream.indices("train", self.session)
        return np.concatenate([new, self.memory.all_positions()])

    def batch_loss(self, images, labels):
        return F.cross_entropy(self.classifier(images), labels)


# %%
mine = MyReplay(small)
mine.session, mine.classifier = theirs.session, theirs.classifier
mine.memory = theirs.memory = ExemplarMemory(memory_budget, kept)
assert (mine.training_positions() == theirs.training_positions()).all()
with torch.no_grad():
    assert torch.equal(*(one.batch_loss(images, labels) for one in (mine, theirs)))

# %% [markdown]
# The whole network and the head are trained. Stored are the network, the exemplars and, for DER++,
# a few logits with each. Each step of DER++ takes two batches of exemplars with one of new images,
# so it is a step on three times as many images.
#
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
learns = [method]  # add MyReplay or MyDERPlusPlus, changed by you: it is drawn beside it
for each in learns:
    learn_stream(run, settings, each, order_seed, train_seed)
found, under = collect(run, settings, learns), note(settings, data)
training_losses(found["losses"], note=under)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.
#
# Replay's columns fade unevenly: some sessions keep nearly all, and one may fall to 0 at once. Look
# for old sessions whose classes have look-alikes among the newer ones: a handful of images against
# a hundred decides the border between them. The newest session is favoured, by the same imbalance.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here; then the demo's accuracies on
# our machine, ± how far another processor may move them ([expected.csv](../figures/expected.csv)).

# %%
end = found["accuracy"].query("method == @method and session == session.max()")
end = 100 * end.accuracy.to_numpy()
old = end[:-1]
as_expected(
    {
        "old sessions keep much: over 25 % on average": (f"{old.mean():.0f} %", old.mean() > 25),
        "some far more than others": (f"{old.min():.0f} to {old.max():.0f} %", np.ptp(old) > 20),
        "best on the newest": (f"{end[-1]:.0f} %", end[-1] == end.max()),
    },
    settings,
    found["sessions"],
)

# %% [markdown]
# ## Where it pays
# Replay is simple, costs one pass at test time, and is hard to beat with a fair memory. Try it
# before anything else, **if images may be kept**. For medical images that is a legal question
# first: is keeping them covered by the consent, may they leave the hospital together with the
# model, and can a patient's image be deleted later on? It can be deleted from the memory, not from
# the weights.
#
# Most other methods of this course keep the same memory, DynaMMo too. They differ in what they do
# with it, so compare them at the same `memory_budget`.

# %% [markdown]
# ## What it costs
# Exemplars are counted as uncompressed pixels: 40 images of 64 px in colour are 492 kB.

# %%
cost_by_session(found)[["accuracy (%)", "exemplars (kB)", "training (s)", "numbers stored (M)"]]

# %% [markdown]
# ## Now change a line
# In `MyReplay.training_positions`, give the exemplars more weight: write
# `np.repeat(self.memory.all_positions(), 5)` in place of `self.memory.all_positions()`, and every
# epoch shows each of them five times. Run that cell again, set `learns = [method, MyReplay]`, and
# run the cells from there on. (The cell with the asserts would now stop you, as it should.) Or
# leave out `[then]` in `three_terms`: the loss becomes NaN from session 3 on, where exemplars of
# session 1 have no old logit for the classes of session 2.

# %% [markdown]
# ## Code it: every class as often
# Batches are not balanced, because new classes have more images. They can be: draw images so that
# each **class** is equally likely, however many images it has. Exemplars are then drawn many times.


# %% tags=["exercise"]
def balanced(labels, count, generator):
    """`count` positions in `labels`, drawn with repeats; each class is equally likely.

    `labels` is a NumPy array [N] of whole numbers; return a tensor or an array.
    """
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def balanced(labels, count, generator):
    """`count` positions in `labels`, drawn with repeats; each class is equally likely.

    `labels` is a NumPy array [N] of whole numbers; return a tensor or an array.
    """
    labels = torch.as_tensor(labels)
    chance = 1 / torch.bincount(labels)[labels]  # of an image: less where its class has many
    return torch.multinomial(chance, count, replacement=True, generator=generator)


# %% tags=["check"]
many_and_few = np.array([0] * 96 + [1] * 4)
drawn = balanced(many_and_few, 1000, torch.Generator().manual_seed(0))
assert len(drawn) == 1000, "Draw `count` positions, with repeats."
assert min(drawn) >= 0 and max(drawn) < 100, "These are no positions in labels."
rare = (many_and_few[np.asarray(drawn)] == 1).mean()
assert rare > 0.1, "The rare class is drawn as rarely as without balance."
assert 0.45 < rare < 0.55, "Two classes: each should be half of what is drawn."
assert len(set(np.asarray(drawn).tolist())) > 90, "Within a class, each image is equally likely."
again = balanced(many_and_few, 1000, torch.Generator().manual_seed(0))
assert (np.asarray(again) == np.asarray(drawn)).all(), "Draw with the generator that is given."
print("Every class is as likely now. Exercise 4 trains with it.")

# %% [markdown]
# ## Exercises
# 1. Run `replay` with `memory_budget = 16` and `800`. How does the first column change? At which
#    size would you stop calling it incremental?
# 2. Run `der_plus_plus` with `der_plus_plus_alpha = 0.0`, which leaves cross-entropy with weight 1
#    for new images and 0.5 for exemplars. Compare the last rows of three runs: how much of DER++ is
#    due to the weights, how much to the old answers?
# 3. Set `der_plus_plus_beta = 0.0` instead: old images come without their labels. Are stored logits
#    enough? Look at classes that were not known yet when an image was stored.
# 4. Use `balanced` in `MyReplay`: let its `training_positions` end as follows. Who gains, who
#    loses, and why not as much as one might think?
#    ```python
#    pool = np.concatenate([new, self.memory.all_positions()])
#    labels = self.stream.train.labels[pool]
#    return pool[balanced(labels, len(pool), torch.Generator())]
#    ```

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. With 16 the first column fades sooner and further, towards fine-tuning: in session 4, twelve
#    exemplars stand against 200 new images. With 800 every image of all eight classes is kept, so
#    nothing is dropped: the data of joint training, only that training goes on from the last
#    weights. The first column should stay near that of joint training. That is no longer
#    incremental. Where the line is, is a convention: 40 are a twentieth of all images here, and
#    where images may not be kept, one is too many.
# 2. The three are `replay`, and DER++ with $\alpha = 0$ and with $\alpha = 0.2$. Between the first
#    two only weights and draws differ. In session 4 exemplars are less than a sixth of the images
#    that replay sees, but have a third of DER++'s loss. Between the last two only the old answers
#    differ. One seed cannot tell a few points from chance: repeat with `train_seed` 2 and 3, and
#    compare seed by seed.
# 3. Only in part. Stored logits say how the classes known *then* compare, and hold their logits
#    where they were. Of classes that came later they say nothing, and $A$ leaves those out: new
#    images push the new logits up, and no old image ever pushes them down again. So expect old
#    images to be taken for newer classes, and the early columns to fade more than with labels.
# 4. Expect old columns to gain and the diagonal to lose a little: in session 4 most of what is
#    drawn are now exemplars. But there are only a few *different* ones. The network sees each of
#    them dozens of times and learns them by heart, which says little about other images of their
#    classes. Balance mends the number of pushes, and not how little a handful of images shows.

# %% [markdown]
# ## References
# * A. Chaudhry et al., *On tiny episodic memories in continual learning*, arXiv 1902.10486.
# * P. Buzzega et al., *Dark experience for general continual learning*, NeurIPS 2020, arXiv
#   2004.07211.
# * S.-A. Rebuffi et al., *iCaRL*, CVPR 2017, arXiv 1611.07725 (herding).
#
# **Before:** [the bounds](03_bounds.ipynb) ·
# **Next:** [knowledge distillation](05_distillation.ipynb)
