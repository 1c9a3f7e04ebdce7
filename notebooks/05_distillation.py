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
# **The idea.** Before a session begins, the network is copied and frozen: the *teacher*. The new
# network, the *student*, starts as the same network and learns the new classes. At the same time it
# is asked to keep one thing close to the teacher's: answers, maps or features. The methods differ
# in **which**.
#
# **What you will see.** Three of these rules, each written as a class in a cell, shown to be the
# library's, and ready to learn the whole stream: LwF, which keeps no image, WA and iCaRL. Pictures
# show how sure a teacher is, and what WA does to the head. Two more rules, UCIR and PODNet, stand
# as formulas, with UCIR's margin in a cell.
#
# **Expected.** LwF, which keeps no image, knows little but the newest session in the end. The
# others keep images, and keep half of what they knew or more. The section "As expected?" has
# iCaRL's numbers; of the others the demo has none.
#
# **Takes** about two minutes on one core with the default parameters.

# %% [markdown]
# ## Parameters
# `method` is one of `lwf`, `icarl`, `wa`, `ucir`, `podnet`.

# %% tags=["parameters"]
method: str = "icarl"  # which of the family
run_folder: str = "../runs/by-hand"  # where the sessions' state lies
order_seed: int = 0  # draws the order in which classes arrive
train_seed: int = 1  # draws everything random in training

memory_budget: int = 40  # exemplars in all, shared by the classes seen
more: dict = {}  # any other setting by name: {"ucir_less_forget": 0.0, "adapter_epochs": 20}

# %%
# %matplotlib inline
import copy
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from dynammo.baselines.distillation import distillation_loss
from dynammo.baselines.icarl import ICaRL, NearestMean
from dynammo.baselines.lwf import LwF
from dynammo.baselines.replay import Replay
from dynammo.baselines.ucir import margin_ranking
from dynammo.baselines.wa import WA
from dynammo.baselines.whole_network import Classifier, WholeNetworkLearner
from dynammo.draw.accuracy import training_losses
from dynammo.draw.distillation import row_lengths, sureness
from dynammo.draw.heat_maps import accuracy_matrices
from dynammo.measure.summary import cost_by_session
from dynammo.run.collect import collect
from dynammo.run.expected import as_expected
from dynammo.run.learn import learn_stream
from dynammo.run.provenance import data_note, note
from dynammo.run.run_folder import open_setup
from dynammo.run.settings import settings_from

# %%
seeds = {"order_seeds": [order_seed], "train_seeds": [train_seed]}
settings = settings_from(globals()).with_changes({"methods": [method], **seeds})
run = Path(run_folder)
setup = open_setup(run, settings, order_seed, train_seed)
data = setup.stream
print(f"{data.number_of_classes} classes arrive in {data.number_of_sessions} sessions.")

# %% [markdown]
# ## Symbols
# $f(x)$: features of image $x$. $z(x)$: its *logits*, one number for each of the $K_t$ classes seen
# after session $t$; the largest is the answer. $z_{old}$ and $z_{new}$ are the parts of old and of
# new classes. $\hat f, \hat z$ are the teacher's. Of the classes, $n_t$ are new and
# $o_t = K_t - n_t$ are old. $\sigma$ is the softmax, which turns logits into probabilities, and
# $\mathrm{CE}(z, y)$ is the cross-entropy of label $y$. Each loss below is for one image and is
# averaged over the batch. In session 1 there is no teacher, and only the first term is left.
#
# New classes have more images than the memory has of old ones, so the head leans towards them: the
# last column says what is done against that.
#
# | method | trains on | stays close in | against the pull to new classes |
# |---|---|---|---|
# | `lwf` | new images | probabilities of old classes | nothing |
# | `wa` | new images, exemplars | probabilities of old classes | head's weights made equally long |
# | `icarl` | new images, exemplars | probability of each old class | nearest mean of exemplars |
# | `ucir` | new images, exemplars | direction of the features | cosines, and a margin |
# | `podnet` | new images, exemplars | maps and features | cosines, head tuned on the memory |

# %% [markdown]
# ## What a teacher says
# The teacher answers for images of classes that it does not know. A label could never say that
# "this looks a little like a neutrophil", but the teacher's probabilities do. If it is too sure,
# all that is left of them is one large number. So both networks' logits are divided by a
# *temperature* $\tau$ before the softmax, and the *distillation loss* is the cross-entropy of the
# softened answers,
#
# $$\mathrm{KD}_\tau(z, \hat z) = -\sum_k \sigma_k(\hat z / \tau) \, \log \sigma_k(z / \tau).$$


# %%
def softened(logits, temperature):
    """Probabilities [N, K] that are less sure the higher the temperature."""
    return (logits / temperature).softmax(dim=1)


def distillation(logits, teacher, temperature):
    """Cross-entropy of softened answers with the teacher's."""
    log_p = (logits / temperature).log_softmax(dim=1)
    return -(softened(teacher, temperature) * log_p).sum(dim=1).mean()


# %% [markdown]
# The library's is the same. (From here on, each `assert` checks that the cell before it does what
# the library does.)

# %%
given = torch.randn(6, 4), torch.randn(6, 4)
assert torch.allclose(distillation(*given, 2.0), distillation_loss(*given, 2.0), atol=1e-6)

# %% [markdown]
# A teacher to try things on: a network that learned session 1 in a few epochs. It answers for the
# images of session 2, and knows none of their classes.

# %%
short = settings.with_changes({"replay_epochs": min(6, settings.adapter_epochs)})
learned = Replay(replace(setup, settings=short))
learned.learn_session(progress=False)
teacher = copy.deepcopy(learned.classifier).requires_grad_(False)
tried = f"a small experiment of few epochs; {data_note(data)}; {settings.backbone}"
images = setup.backbone.normalise(data.train.images[data.indices("train", 2)[::2]])
with torch.no_grad():
    answers = teacher(images)
largest = {t: softened(answers, t).amax(dim=1).cpu().numpy() for t in (1.0, 2.0, 5.0)}
sureness(largest, answers.shape[1], note=tried)

# %% [markdown]
# At temperature 1 the teacher may well be sure of an answer that cannot be right. At higher ones
# its answers move towards guessing, which is the left edge of the picture, and differences between
# images, hidden before, now count.

# %% [markdown]
# ## `lwf`: learning without forgetting
# $$L = \mathrm{CE}(z_{new}, y) + \lambda \, \mathrm{KD}_\tau(z_{old}, \hat z)$$
#
# on new images only (Li and Hoiem 2016, equations 1 to 3; $\tau = 2$, $\lambda = 1$). Old and new
# logits never stand in one softmax, so nothing says which of them should be larger. LwF was made
# for the *task-incremental* scenario, in which the test says which session an image is from, and
# only its classes compete. Here all classes compete, which is the *class-incremental* scenario, and
# much harder. Everything else is inherited from `WholeNetworkLearner`: the network, its frozen
# copy, the head that grows, the loop over epochs and sessions.


# %%
class MyLwF(WholeNetworkLearner):
    """Learning without forgetting."""

    name, has_teacher, remembers = "my_lwf", True, False  # it keeps no images

    def batch_loss(self, images, labels):
        logits, old = self.classifier(images), self.old_classes
        loss = F.cross_entropy(logits[:, old:], labels - old)
        if self.teacher is None:  # session 1
            return loss
        return loss + 1.0 * distillation(logits[:, :old], self.teacher(images), 2.0)


# %% [markdown]
# To compare, both stand at the beginning of session 2 with the teacher from above. (The library
# reads from its settings what the cells have as numbers, and whether WA clips.)

# %%
numbers = {"lwf_temperature": 2.0, "lwf_weight": 1.0, "wa_temperature": 2.0, "wa_clip": True}
fixed = replace(setup, settings=short.with_changes(numbers))


def at_session_2(kind):
    """A learner at the beginning of session 2, taught by the teacher."""
    learner = kind(fixed)
    learner.session, learner.memory = 2, learned.memory
    learner.classifier, learner.teacher = copy.deepcopy(teacher).requires_grad_(True), teacher
    learner.grow_head()
    return learner


# %%
@torch.no_grad()
def losses_of(*kinds):
    """What each kind of learner loses on two images of either session."""
    few = [position for session in (1, 2) for position in data.indices("train", session)[:2]]
    if not kinds[0].remembers:  # has new images alone
        few = few[2:]
    images = setup.backbone.normalise(data.train.images[few])
    labels = torch.as_tensor(data.train.labels[few], device=setup.device)
    return [at_session_2(kind).batch_loss(images, labels) for kind in kinds]


# %%
assert torch.allclose(*losses_of(MyLwF, LwF))

# %% [markdown]
# ## `wa`: weight aligning
# $$L = (1 - \lambda) \, \mathrm{CE}(z, y) + \lambda \, \mathrm{KD}_\tau(z_{old}, \hat z), \qquad
# \lambda = o_t / K_t$$
#
# on new images and exemplars (Zhao et al. 2020, equation 3; $\tau = 2$). After training, the head's
# rows $w_k$ of the new classes are multiplied by $\gamma = \mathrm{mean}_{old} \lVert w_k \rVert
# \,/\, \mathrm{mean}_{new} \lVert w_k \rVert$ (equations 6 to 8), so that no class wins by the
# length of its row. Weights are clipped at 0 after each step: features are not negative either, so
# longer rows do give larger logits. (The code clips at the start of the next step, which is the
# same.)


# %%
def gamma(weight, old):
    """How much longer the rows of old classes are than those of new ones, on average."""
    lengths = weight.norm(dim=1)
    return lengths[:old].mean() / lengths[old:].mean()


# %%
class MyWA(WholeNetworkLearner):
    """Weight aligning."""

    name, has_teacher = "my_wa", True

    def batch_loss(self, images, labels):
        self.classifier.head.weight.data.clamp_(min=0)
        logits, old = self.classifier(images), self.old_classes
        loss, share = F.cross_entropy(logits, labels), old / logits.shape[1]
        if self.teacher is None:  # session 1
            return loss
        return (1 - share) * loss + share * distillation(logits[:, :old], self.teacher(images), 2.0)

    def finish_session(self):
        weight, old = self.classifier.head.weight.data.clamp_(min=0), self.old_classes
        weight[old:] *= gamma(weight, old) if old else 1


# %%
assert torch.allclose(*losses_of(MyWA, WA))
mine, theirs = at_session_2(MyWA), at_session_2(WA)
for learner in (mine, theirs):
    learner.finish_session()
assert torch.allclose(mine.classifier.head.weight, theirs.classifier.head.weight)

# %% [markdown]
# Does it matter? A student learns session 2 by this loss in a few epochs. Here are the lengths of
# its rows before and after aligning. The dotted lines are means after it.

# %%
student = at_session_2(MyWA)
student.fit(student.training_positions(), progress=False)
head, old = student.classifier.head, student.old_classes
before = head.weight.detach().clamp(min=0)
student.finish_session()
lengths = (weight.detach().norm(dim=1).cpu().numpy() for weight in (before, head.weight))
print(f"gamma = {gamma(before, old):.2f}")
row_lengths(*lengths, old, data.class_names[: len(head.weight)], note=tried)

# %% [markdown]
# The paper found new rows longer after long training, hence $\gamma < 1$: aligning holds new
# classes back. After a short training from fresh rows they may be shorter. Then $\gamma > 1$, and
# aligning favours new classes.

# %% [markdown]
# ## `icarl`: yes or no for each class, then the nearest mean
# $$L = -\frac{1}{K_t} \sum_{k=1}^{K_t} \big[ q_k \log s(z_k) + (1 - q_k) \log (1 - s(z_k)) \big],$$
#
# with $s$ the sigmoid, which turns each logit into a probability by itself, so that classes do not
# compete. $q_k = s(\hat z_k)$ for old classes, and $q_k = 1$ or $0$ by the label for new ones
# (Rebuffi et al. 2017, algorithm 3; the mean over classes is the released code's).
#
# The head is used in training alone. A test image gets the class whose exemplars' mean feature is
# nearest (algorithm 1). Features and means are brought to length 1, so it does not matter how
# widely a class scatters.


# %%
class MyICaRL(WholeNetworkLearner):
    """The loss of iCaRL, and its nearest mean of exemplars."""

    name, has_teacher = "my_icarl", True

    def batch_loss(self, images, labels):
        logits = self.classifier(images)
        wanted = F.one_hot(labels, logits.shape[1]).float()
        if self.teacher is not None:
            wanted[:, : self.old_classes] = self.teacher(images).sigmoid()
        return F.binary_cross_entropy_with_logits(logits, wanted)

    def network(self):
        exemplars = (self.stream.train.images[p] for _, p in sorted(self.memory.positions.items()))
        means = [F.normalize(self.features(own)).mean(dim=0) for own in exemplars]
        return Classifier(self.classifier.extractor, NearestMean(torch.stack(means)))


# %% [markdown]
# `NearestMean` is a head that compares features with means by their cosine. The nearest of several
# points of length 1 is the one with the largest cosine.

# %%
assert torch.allclose(*losses_of(MyICaRL, ICaRL))
mine, theirs = (at_session_2(kind).network().eval() for kind in (MyICaRL, ICaRL))
with torch.no_grad():
    assert torch.allclose(mine(images[:4]), theirs(images[:4]), atol=1e-5)
    features, means = mine.extractor(images[:4]), mine.head.means
    nearest = torch.cdist(F.normalize(features), means).argmin(dim=1)
    assert (nearest == mine.head(features).argmax(dim=1)).all()

# %% [markdown]
# ## `ucir`: directions instead of lengths
# Logits are $z_k = \eta \cos(f, w_k)$ with learned scale $\eta$ (Hou et al. 2019, equation 4), and
#
# $$L = \mathrm{CE}(z, y) + \lambda \sqrt{o_t / n_t} \; (1 - \cos(f, \hat f))
# + \frac{1}{n} \sum_{k} \max(0, \; m - \cos(f, w_y) + \cos(f, w_k)).$$
#
# The second term (equation 6) holds the features; $\lambda$ is `ucir_less_forget`. The third
# (equation 8) is for exemplars, averaged over them, with $k$ running over the $n$ nearest new
# classes (`ucir_negatives`) and the margin $m$ (`ucir_margin`). New rows begin as mean features;
# old rows keep their direction. The network's last ReLU is taken out, so that features may be
# negative and cosines with wrong classes can fall below 0. The third term:


# %%
def margin_term(cosines, labels, old, margin, negatives):
    """UCIR's third term for cosines [N, K], of which the first `old` are of old classes."""
    kept = labels < old  # exemplars
    own = cosines[kept].gather(1, labels[kept, None])
    nearest = cosines[kept, old:].topk(negatives, dim=1).values
    return F.relu(margin - own + nearest).mean()


# %%
cosines = torch.rand(8, 4) * 2 - 1
given = cosines, torch.arange(8) % 4, 2, 0.5, 2
assert torch.allclose(margin_term(*given), margin_ranking(*given))

# %% [markdown]
# ## `podnet`: every stage, pooled
# Each class has several proxies $w_{k,p}$ (`podnet_proxies`). With $c_p = \cos(f, w_{k,p})$ its
# similarity is $s_k = \sum_p \sigma_p(c) \, c_p$ (Douillard et al. 2020, equation 8), and the
# classification loss is
#
# $$L_{class} = \max\Big(0, \; -\eta \, (s_y - \delta) + \log \sum_{k \ne y} \exp(\eta \, s_k)\Big)
# \quad \text{(equation 9)}.$$
#
# The paper learns the scale $\eta$. In sessions of few steps it falls for as long as the right
# class leads by less than $\delta$ (`podnet_margin`), and would end below 0, so here it is fixed
# (`podnet_scale`).

# %% [markdown]
# For every stage $l$ of the backbone, $g_l(x)$ holds the sums of the squared map over its width and
# over its height, brought to length 1 (equations 4 to 6). Then
#
# $$L = L_{class} + \sqrt{K_t / n_t} \; \Big( \lambda_c \, \mathrm{mean}_l
# \lVert g_l - \hat g_l \rVert + \lambda_f \, (1 - \cos(f, \hat f)) \Big),$$
#
# with $\lambda_c$ and $\lambda_f$ the settings `podnet_spatial` and `podnet_flat`. Sums along an
# edge may stay the same while details move: stricter than comparing answers, looser than comparing
# pixels. In the end the head alone is tuned on the balanced memory.

# %% [markdown]
# ## All sessions
# The whole network and the head are trained. Stored are the network and, LwF apart, the exemplars.
# The teacher **is** the stored network, so it takes no room between sessions, but while training it
# lies in memory a second time, and every image passes through both.
#
# Each session is saved as it ends: run this cell again after an interruption and it goes on.
# With changed settings it starts over; to keep both results, give the second another `run_folder`.

# %%
learns = [method]  # add MyLwF, MyWA or MyICaRL, changed by you: it is drawn beside it
for each in learns:
    learn_stream(run, settings, each, order_seed, train_seed)
found = collect(run, settings, learns)
under = note(settings, data)
training_losses(found["losses"], note=under)

# %% [markdown]
# ## What is forgotten
# Row $i$, column $j$: accuracy on the classes of session $j$ after session $i$. Read a column from
# top to bottom to watch a session fade.
#
# Distillation trades *stability* (columns that do not fade) for *plasticity* (a high diagonal).
# Too little, and the first column falls as in fine-tuning; too much, and the later entries of the
# diagonal do. For `lwf` expect the newest session far ahead of all others.

# %%
accuracy_matrices(found["accuracy"], note=under)

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here; then the demo's accuracies on
# our machine, ± how far another processor may move them ([expected.csv](../figures/expected.csv)).

# %%
own = found["accuracy"].query("method == @method").set_index("session")
end = own.loc[own.index.max()]
first = own.query("session == evaluated_session").set_index("evaluated_session").accuracy
kept = (100 * end.set_index("evaluated_session").accuracy / first)[:-1].mean()
ahead = 100 * (end.accuracy.iloc[-1] - end.accuracy.iloc[:-1].max())
if method == "lwf":
    expectations = {"the newest session is far ahead": (f"by {ahead:.0f} points", ahead > 20)}
else:
    expectations = {"half of what was known of old sessions": (f"{kept:.0f} %", kept > 50)}
as_expected(expectations, settings, found["sessions"])

# %% [markdown]
# ## Where it pays
# One pass at test time, no growth. **Without images** (`lwf`) it is one of the few choices where
# nothing of a patient may be kept, but it needs help to tell old classes from new. For methods with
# a memory, the teacher's pass in training is worth its time only if they beat plain replay
# (notebook 4).
#
# The weights of the losses come from papers that train for 100 epochs and more, mostly from
# scratch. Here are far fewer epochs, from ImageNet weights. A method may well rank elsewhere than
# in its paper: that is a finding about the setting, and a reason not to copy weights without
# validation.

# %% [markdown]
# ## What it costs
# Compare the seconds of session 1, which has no teacher, with those of the others.

# %%
cost_by_session(found)[["accuracy (%)", "training (s)", "numbers stored (M)", "peak memory (MB)"]]

# %% [markdown]
# ## Now change a line
# In `MyLwF`, write `0.0` in place of `1.0`: the teacher is no longer heard, and what is left is
# fine-tuning on the new classes (notebook 3). Or write `5.0`: the matrix should rise to the left of
# the diagonal, and fall on it. Run that cell again, skip the one with the assert, which would now
# stop you, set `learns = [method, MyLwF]`, and run that cell and those below it. The library sees
# that the class was changed, and learns all sessions anew. Or leave out the second line of
# `MyWA.finish_session`: the difference between WA's matrix and yours is what aligning does.

# %% [markdown]
# ## Code it: hold the features
# LwF, WA and iCaRL hold answers. UCIR holds the **direction** of the features instead, and leaves
# their length free. Write its second term without the factor in front: the mean over images of
# $1 - \cos(f, \hat f)$.


# %% tags=["exercise"]
def feature_distance(features, teachers):
    """Mean of 1 - cosine between features [N, D] and the teacher's."""
    raise NotImplementedError("Replace this line.")


# %% tags=["solution"]
def feature_distance(features, teachers):
    """Mean of 1 - cosine between features [N, D] and the teacher's."""
    return (1 - F.cosine_similarity(features, teachers, dim=1)).mean()


# %% tags=["check"]
ours = torch.tensor([[3.0, 0.0], [0.0, 2.0]], requires_grad=True)
distance = feature_distance(ours, ours.detach())
assert distance.ndim == 0, "The loss of a batch is one number, the mean over its images."
assert abs(distance.item()) < 1e-6, "The same features have distance 0."
assert abs(feature_distance(ours, 5 * ours.detach()).item()) < 1e-6, "Length does not matter."
turned = torch.tensor([[0.0, 1.0], [0.0, -1.0]])  # at a right angle, and the other way
away = feature_distance(ours, turned)
assert abs(away.item() - 1.5) < 1e-6, "A right angle is distance 1, the other way 2: mean 1.5."
away.backward()
assert ours.grad.abs().sum() > 0, "Keep the gradient: the student learns from this number."
print("Directions are held. Let HoldFeatures, below, learn the stream with it.")


# %% [markdown]
# And a method that uses it: replay, with features that are held. To try it, set
# `learns = [method, HoldFeatures]`.


# %%
class HoldFeatures(WholeNetworkLearner):
    """Replay whose features are asked to keep their direction."""

    name, has_teacher = "hold_features", True

    def batch_loss(self, images, labels):
        features = self.classifier.extractor(images)
        loss = F.cross_entropy(self.classifier.head(features), labels)
        if self.teacher is None:  # session 1
            return loss
        return loss + 5.0 * feature_distance(features, self.teacher.extractor(images))


# %% [markdown]
# ## Exercises
# 1. Run `lwf` and `wa`. Where in the matrix do the exemplars show? Then run `replay` of notebook 4:
#    does distillation add anything to the exemplars here?
# 2. Run `ucir` with `more = {"ucir_less_forget": 0.0}`, then with `20.0`. Look at the first column
#    and at the diagonal, and say which end is stability and which is plasticity.
# 3. Run `icarl` and `wa` with `memory_budget = 16`, two exemplars a class in the end. In which part
#    of the matrix does each of the two suffer, and why? Think of where it uses the exemplars.
# 4. Run `HoldFeatures`, and the same with `0.0` in place of `5.0`. Which method is the second one?
#    UCIR has two parts that `HoldFeatures` lacks: what are they for?

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. To the left of the diagonal: LwF's old columns fall far, WA's stay higher, because only WA has
#    old images, with their labels, in one softmax with the new. What distillation adds is `wa`
#    against `replay`, which has the same exemplars. Do not expect much here. In session 4 three
#    quarters of the classes are old, so WA's cross-entropy has a weight of one quarter; and
#    aligning, meant to hold new classes back, may favour them ($\gamma > 1$).
# 2. At 0.0 nothing holds the features: high diagonal, fading first column, that is plasticity. At
#    20.0 their direction can hardly move: the first column lasts, later entries of the diagonal are
#    lower, that is stability. The weight is also multiplied by $\sqrt{o_t / n_t}$, in session 4 by
#    $\sqrt 3$, so stability grows with the sessions. Even at 0.0 exemplars, cosines and the margin
#    protect old classes, so it does not fall as far as fine-tuning.
# 3. iCaRL needs the exemplars at test time too: the mean of two images stands for a class, for new
#    classes as well, although they had 100 images in training. So it loses everywhere, the diagonal
#    included, but without favour, since all means are equally long; and herding chose the two so
#    that their mean is near that of all. WA needs them in training alone, two against 100: its
#    diagonal stays high, and the old columns fade.
# 4. With `0.0` the teacher is asked and not heard, so it is `replay` of notebook 4, at the price of
#    a second pass. With `5.0` features keep their direction, but the head is free to favour new
#    classes, by longer rows and larger biases. UCIR's cosines take the lengths out, and its margin
#    asks of exemplars that their own class leads by some distance.

# %% [markdown]
# ## References
# * Z. Li, D. Hoiem, *Learning without forgetting*, ECCV 2016, arXiv 1606.09282.
# * S.-A. Rebuffi et al., *iCaRL*, CVPR 2017, arXiv 1611.07725.
# * B. Zhao et al., *Maintaining discrimination and fairness* (WA), CVPR 2020, arXiv 1911.07053.
# * S. Hou et al., *Learning a unified classifier incrementally via rebalancing*, CVPR 2019.
# * A. Douillard et al., *PODNet*, ECCV 2020, arXiv 2004.13513.
# * G. Hinton et al., *Distilling the knowledge in a neural network*, arXiv 1503.02531.
# * G. M. van de Ven, A. S. Tolias, *Three scenarios for continual learning*, arXiv 1904.07734.
#
# **Before:** [memory replay](04_replay.ipynb) · **Next:** [regularization](06_regularization.ipynb)
