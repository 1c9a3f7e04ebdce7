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
# # 1 · Prepare the data: what a stream is
#
# **What you will see.** A data set cut into *sessions*: the classes that arrive together, in an
# order drawn from a seed; a sample sheet of every class; how many images each class has.
#
# **Expected.** With the default parameters: eight classes in four sessions of two, 100 / 50 / 100
# images a class for training, validation and test (exact).
#
# **Takes** about 10 seconds.
#
# In *class-incremental learning* a model meets classes in sessions. In session $t$ it sees training
# images of the new classes $C_t$ only, plus a small memory of old images, and afterwards it must
# tell apart **all** classes seen so far, without being told which session an image is from.

# %% [markdown]
# ## Parameters
# Change them here, or from outside with Papermill. `stream` may be a MedMNIST name such as
# `bloodmnist@28`, `phantom` (cells that the computer draws, as many as you like), a path to your
# own `.npz` or image folder, or several of these joined with `+`.

# %% tags=["parameters"]
stream: str = "blood"  # which data: see RUNNING.md, "Your own data"
classes_per_session: int = 0  # new classes a session; 0: two, or a whole set if several are joined
order_seed: int = 0  # draws the order in which classes arrive
train_per_class: int = 100  # keep only so many training images a class; 0: all
more: dict = {}  # any other setting of dynammo/run/settings.py, by name
run_folder: str = "../runs/by-hand"  # the run's state goes here
figures_folder: str = "../figures/by-hand"  # its pictures and their numbers go here

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd

from dynammo.draw.images import class_balance, sample_sheet
from dynammo.draw.style import save_figure
from dynammo.measure.summary import class_counts
from dynammo.run.expected import as_expected
from dynammo.run.provenance import data_note, provenance
from dynammo.run.run_folder import load_stream, record_stream
from dynammo.run.settings import settings_from

settings = settings_from(globals())
run, figures = Path(run_folder), Path(figures_folder)
data = load_stream(settings, order_seed, run)
origin = provenance(data)
note = data_note(data)

# %% [markdown]
# ## The stream
# Classes are renumbered in the order they arrive, so the classes seen after session $t$ are always
# $0 \ldots K_t - 1$. Which classes share a session matters: two look-alikes in one session are told
# apart with all their images, in two sessions only with what the memory kept.

# %%
pd.DataFrame(
    {
        "new classes": [", ".join(data.class_names[c] for c in labels) for labels in data.sessions],
        "classes seen": [labels[-1] + 1 for labels in data.sessions],
        "training images": [
            len(data.indices("train", t)) for t in range(1, data.number_of_sessions + 1)
        ],
    },
    index=pd.RangeIndex(1, data.number_of_sessions + 1, name="session"),
)

# %% [markdown]
# ## What the images look like
# One row a class, in order of arrival. The default images are cells from the blood of healthy
# people under the microscope (Acevedo et al. 2020, CC BY 4.0), and come with the project. The shape
# of the nucleus, the granules' colour and density, size and cytoplasm tell the kinds apart.

# %%
figure = sample_sheet(data, per_class=10, note=note)
save_figure(figure, None, figures / "sample_sheet", origin)
figure

# %% [markdown]
# ## How many images there are
# Of each class and split; lines part the sessions. Equal bars mean that accuracy counts all classes
# alike.

# %%
figure = class_balance(data, note=note)
counts = class_counts(data)
save_figure(figure, counts, figures / "class_balance", origin)
figure

# %%
record_stream(run, settings, data)
print(f"{data.name}: {data.number_of_classes} classes, {data.number_of_sessions} sessions")

# %% [markdown]
# ## As expected?
# What stands at the top of this notebook, beside what came out here.

# %%
found = data.number_of_classes, data.number_of_sessions, len(data.classes(1))
images = [sorted(set(counts[split])) for split in ("train", "val", "test")]
as_expected(
    {
        "8 classes in 4 sessions of 2": ("{} in {} of {}".format(*found), found == (8, 4, 2)),
        "100 / 50 / 100 images a class": (str(images), images == [[100], [50], [100]]),
    },
    settings,
)

# %% [markdown]
# ## Exercises
# 1. Set `order_seed = 1`. Which look-alikes now arrive in different sessions?
# 2. Set `classes_per_session = 4`. Is the problem easier or harder for a model with a small memory?
#    Write down your guess. Then run `./run_all.sh --classes-per-session 4 --name four`, and look at
#    notebook 18 with `run_folder = "../runs/four"`.
# 3. Which of the eight types would you confuse yourself? Keep your list for the confusion matrix of
#    notebook 8.

# %% [markdown] tags=["solution"]
# ## Solutions
# 1. Order 0 brings neutrophil and erythroblast; eosinophil and platelet; immature granulocyte and
#    basophil; monocyte and lymphocyte. Order 1 brings platelet and erythroblast; eosinophil and
#    neutrophil; basophil and lymphocyte; immature granulocyte and monocyte. So two pairs of
#    look-alikes are parted: monocyte and lymphocyte, immature granulocyte and basophil. Two more,
#    neutrophil and immature granulocyte, erythroblast and lymphocyte, were apart before and still
#    are.
# 2. Easier. With two sessions 12 of the 28 pairs of classes meet in one session, with all their
#    images, instead of 4, and there is one occasion to forget instead of three. At the end the
#    memory has five images a class either way. When you check,
#    compare the accuracy after the **last** session: the average is over 4 and 8 classes there, but
#    over 2, 4, 6 and 8 here, and two classes are the easiest.
# 3. There is no right list. An immature granulocyte is the young form of a neutrophil, an
#    eosinophil or a basophil, and resembles a monocyte; a small lymphocyte resembles an
#    erythroblast. Expect those to be confused most that arrive in two sessions.

# %% [markdown]
# ## References
# * A. Acevedo et al., *A dataset of microscopic peripheral blood cell images for development of
#   automatic recognition systems*, Data in Brief 30, 2020.
# * J. Yang et al., *MedMNIST v2*, Scientific Data 10, 2023.
#
# **Next:** [one incremental session](02_incremental_session.ipynb)
