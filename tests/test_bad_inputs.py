"""Everything a user can get wrong, tried the way a user would, with what is said about it.

Each case spoils one thing and gives the command, a session or a notebook; all end in one message
that names what is wrong and says what to do. ``python tests/reliability.py --only bad_inputs``
prints them as a table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import OpensAFile, changed, small_arrays

from dynammo.data.dataset import SPLITS
from dynammo.errors import InputError
from dynammo.run import command, sessions
from dynammo.run.execute import execute
from dynammo.settings import Settings

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def told(folder: Path, *arguments: str) -> str:
    """What the command says of bad input: one line, no traceback, exit status 2."""
    words = io.StringIO()
    output = () if "--output" in arguments else ("--output", str(folder / "out"))
    with contextlib.redirect_stderr(words), contextlib.redirect_stdout(io.StringIO()):
        status = command.main(["--profile", "smoke", *output, *arguments])
    assert status == 2, f"exit status {status}"
    return words.getvalue().strip().splitlines()[-1]


def own(write: Callable[[Path], object], *arguments: str) -> Callable[[Path], str]:
    """A case on a file of one's own: ``write`` makes it."""

    def case(folder: Path) -> str:
        write(folder / "mine.npz")
        return told(folder, "--stream", str(folder / "mine.npz"), *arguments)

    return case


def arrays(**replaced: np.ndarray | None) -> Callable[[Path], str]:
    """A case on arrays of which some were replaced, or left out for None."""
    return own(lambda path: np.savez(path, **changed(**replaced)))


def spoilt(spoil: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    """A case on a file whose bytes were damaged."""

    def write(path: Path) -> None:
        np.savez_compressed(path, **small_arrays(per_class=50))
        path.write_bytes(spoil(path.read_bytes()))

    return own(write)


def tree(spoil: Callable[[Path], object]) -> Callable[[Path], str]:
    """A case on a folder of images, spoilt in one place."""

    def case(folder: Path) -> str:
        for split in SPLITS:
            for name in ("a", "b"):
                place = folder / "photos" / split / name
                place.mkdir(parents=True)
                for number in (1, 2):
                    Image.new("RGB", (8, 8)).save(place / f"{number}.png")
        spoil(folder / "photos")
        return told(folder, "--stream", str(folder / "photos"))

    return case


def run(*arguments: str) -> Callable[[Path], str]:
    """A case of bad arguments alone."""
    return lambda folder: told(folder, *arguments)


def joined(**sizes: int) -> Callable[[Path], str]:
    """A case of data sets that do not fit together; a single one is joined with itself."""

    def case(folder: Path) -> str:
        paths = [str(folder / f"{name}.npz") for name in sizes]
        for path, size in zip(paths, sizes.values(), strict=True):
            np.savez(path, **small_arrays(size=size))
        return told(folder, "--stream", "+".join(paths * (2 if len(paths) == 1 else 1)))

    return case


def weights(name: str) -> Callable[[Path], str]:
    """A case of a file of weights that is not what its name says."""

    def case(folder: Path) -> str:
        (folder / "weights").mkdir()
        (folder / "weights" / name).write_bytes(b"not weights")
        before = os.environ.get("DYNAMMO_WEIGHTS")
        os.environ["DYNAMMO_WEIGHTS"] = str(folder / "weights")
        try:
            return told(folder, "--set", "backbone=resnet18")
        finally:
            os.environ.pop("DYNAMMO_WEIGHTS")
            if before is not None:
                os.environ["DYNAMMO_WEIGHTS"] = before

    return case


TINY = Settings(
    stream="phantom@32",
    phantom_train=4,
    phantom_val=1,
    phantom_test=1,
    memory_budget=8,
    adapter_epochs=1,
    methods=("dynammo",),
    device="cpu",
)


def saved(spoil: Callable[[Path], object], **changes: object) -> Callable[[Path], str]:
    """A case of a session that goes on from one that was saved, and spoilt or run otherwise."""

    def case(folder: Path) -> str:
        chain, learners = sessions.open_session(folder, TINY, 0, 1, 1)
        sessions.learn_next(folder, chain, learners, progress=False)
        spoil(sessions.session_folder(folder, 0, 1, 1))
        with pytest.raises(InputError) as refusal:
            sessions.open_session(folder, dataclasses.replace(TINY, **changes), 0, 1, 2)
        return str(refusal.value)

    return case


def edit_record(**changes: object) -> Callable[[Path], object]:
    """Change a saved session's record."""

    def edit(folder: Path) -> None:
        path = folder / "session.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def cut(name: str) -> Callable[[Path], object]:
    """Cut off the end of a saved file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def notebook(name: str, **parameters: object) -> Callable[[Path], str]:
    """A case of a notebook that is given wrong parameters."""

    def case(folder: Path) -> str:
        with pytest.raises(InputError) as refusal:
            execute(NOTEBOOKS / name, folder / "executed.ipynb", parameters)
        return str(refusal.value)

    return case


def file_in_the_way(folder: Path) -> str:
    """Results asked for below something that is no folder."""
    (folder / "taken").touch()
    return told(folder, "--output", str(folder / "taken"))


IMAGES, LABELS = small_arrays()["train_images"], small_arrays()["train_labels"]
RGBA = np.concatenate([IMAGES, IMAGES[..., :1]], axis=3)
ONE = {f"{s}_{part}": small_arrays()[f"{s}_{part}"][:1] for s in SPLITS for part in ("images",)}
ONE |= {f"{s}_labels": LABELS[:1] * 0 for s in SPLITS}


def pickled(path: Path) -> None:
    """An npz whose images are Python objects that do something when they are unpickled."""
    trap = np.array([OpensAFile(path.with_name("ran"))], dtype=object)
    np.savez(path, **changed(train_images=trap))


def single_array(path: Path) -> None:
    """A file of one array under an npz's name."""
    with path.open("wb") as file:
        np.save(file, IMAGES)


# What is spoilt: the case, and a part of what must be said.
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "npz that is not there": (own(lambda path: None), "Check the path"),
    "npz cut off": (spoilt(lambda b: b[:-500]), "Copy or download it again"),
    "npz with damaged bytes": (
        spoilt(lambda b: b[:2000] + bytes(100) + b[2100:]),
        "Copy or download it again",
    ),
    "empty file": (own(lambda path: path.touch()), "not a complete npz"),
    "text under the name of an npz": (own(lambda path: path.write_text("a,b")), "np.savez"),
    "one array (npy) under the name of an npz": (own(single_array), "np.savez"),
    "pickled payload inside an npz": (own(pickled), "never loaded because they can run code"),
    "no validation images": (
        arrays(val_images=None, val_labels=None),
        "missing val_images, val_labels",
    ),
    "pixels as fractions": (arrays(train_images=IMAGES / 255), "8-bit values 0..255"),
    "pixels that are NaN": (
        arrays(test_images=np.full(IMAGES.shape, np.nan)),
        "8-bit values 0..255",
    ),
    "16-bit pixels": (arrays(train_images=IMAGES.astype(np.uint16)), "8-bit values 0..255"),
    "RGBA images": (arrays(train_images=RGBA), "N×H×H×3 (RGB"),
    "images that are not square": (arrays(train_images=IMAGES[:, :5]), "crop or pad"),
    "channels before pixels": (
        arrays(train_images=IMAGES.transpose(0, 3, 1, 2)),
        "channels last",
    ),
    "another size in val": (arrays(val_images=IMAGES[:, :4, :4]), "Resize all images"),
    "fewer images than labels": (arrays(train_images=IMAGES[:5]), "one label per image"),
    "labels that are fractions": (arrays(train_labels=LABELS / 2), "Save class numbers"),
    "labels below 0": (arrays(train_labels=LABELS.astype(int) - 1), "from 0 upwards"),
    "labels far out of range": (
        arrays(train_labels=LABELS.astype(np.int64) + 10**9),
        "without gaps",
    ),
    "several labels an image": (
        arrays(train_labels=np.eye(6, 3, dtype=int)),
        "one class number",
    ),
    "empty val": (arrays(val_images=IMAGES[:0], val_labels=LABELS[:0]), "val_images is empty"),
    "class only in test": (
        arrays(train_labels=LABELS % 2, val_labels=LABELS % 2),
        "no train images of class 2",
    ),
    "class missing in val": (arrays(val_labels=LABELS % 2), "no val images of class 2"),
    "one image": (arrays(**ONE), "needs two sessions or more"),
    "a class name twice": (arrays(class_names=np.array(["a", "b", "a"])), "its own name"),
    "too few class names": (arrays(class_names=np.array(["a", "b"])), "add the missing names"),
    "class names as objects": (
        arrays(class_names=np.array(["a", "b", "c"], dtype=object)),
        "Save plain arrays",
    ),
    "folder without val": (tree(lambda f: (f / "val").rename(f / "v")), "has no folder val"),
    "class folder without images": (
        tree(lambda f: [file.unlink() for file in (f / "test/a").iterdir()]),
        "no test images of class 0 (a)",
    ),
    "class folder in test only": (
        tree(lambda f: shutil.copytree(f / "test/b", f / "test/c")),
        "no train images of class 2 (c)",
    ),
    "notes among the images": (tree(lambda f: (f / "train/a/notes.txt").touch()), "Keep only"),
    "damaged image file": (
        tree(lambda f: (f / "val/a/1.png").write_bytes(b"no image")),
        "Replace or remove it",
    ),
    "16-bit image file": (
        tree(lambda f: Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(f / "val/a/3.png")),
        "Convert it to 8-bit",
    ),
    "mistyped data set": (run("--stream", "bloodmnst"), "Did you mean bloodmnist?"),
    "size that does not exist": (run("--stream", "bloodmnist@32"), "bloodmnist@28, bloodmnist@64"),
    "set with several labels": (run("--stream", "chestmnist"), "single-label"),
    "set of volumes": (run("--stream", "organmnist3d"), "Choose a MedMNIST 2D set"),
    "CIFAR-100 in another size": (run("--stream", "cifar100@64"), "cifar100 without a size"),
    "SKIN8, not gathered yet": (run("--stream", "skin8"), "ISIC 2019"),
    "PATH16, not gathered yet": (run("--stream", "path16"), "TCGA_STD (4 classes)"),
    "nothing after a plus": (run("--stream", "phantom+"), "on each side of every '+'"),
    "a set joined with itself": (joined(a=6), "Name each set once"),
    "joined sets of two sizes": (joined(a=6, b=8), "need one image size"),
    "unknown profile": (run("--profile", "huge"), "choose one of ablations, demo"),
    "unknown run of a profile": (run("--profile", "paper/skin7"), "paper/skin8"),
    "mistyped setting": (run("--set", "adapter_epoch=3"), "did you mean 'adapter_epochs'?"),
    "setting without a value": (run("--set", "adapter_epochs"), "NAME=VALUE"),
    "word where a number belongs": (run("--set", "adapter_epochs=many"), "must be of type int"),
    "fraction where a whole number belongs": (
        run("--set", "memory_budget=80.5"),
        "must be of type int",
    ),
    "setting out of range": (run("--set", "batch_size=1"), "batch norm needs at least 2"),
    "number that is none": (run("--set", "adapter_alpha=nan"), "must be a finite number"),
    "seed twice": (run("--set", "train_seeds=[1,1]"), "each once"),
    "mistyped method": (run("--methods", "dynamo"), "Unknown method 'dynamo'"),
    "unknown study": (run("--set", "studies=['merge']"), "choose from ten_minutes, merging"),
    "more classes a session than there are": (
        run("--classes-per-session", "9"),
        "Pass fewer classes per session",
    ),
    "all classes in one session": (
        run("--classes-per-session", "8"),
        "needs two sessions or more",
    ),
    "negative classes a session": (run("--classes-per-session", "-1"), "must be 1 or more"),
    "no cores": (run("--cores", "0"), "must be 1 or more"),
    "memory smaller than the classes": (run("--set", "memory_budget=7"), "raise memory_budget"),
    "stage that the backbone lacks": (
        run("--set", "adapter_stages=['layer1']"),
        "has no stage 'layer1'",
    ),
    "unknown backbone": (run("--set", "backbone=vgg16"), "choose one of resnet18"),
    "unknown weights": (run("--set", "weights=places"), "choose 'imagenet' or 'random'"),
    "weights file of other content": (weights("resnet18-f37072fd.pth"), "Delete it"),
    "device that is not there": (run("--set", "device=cuda:97"), "try 'cpu' or 'auto'"),
    "enlarging to fewer pixels": (run("--set", "enlarge_to=16"), "as they are"),
    "a file where results should go": (file_in_the_way, "Make room or check permissions"),
    "saved session of other settings": (
        saved(lambda folder: None, adapter_alpha=0.5),
        "another adapter_alpha",
    ),
    "saved session of other images": (
        saved(edit_record(data_checksum="0" * 64)),
        "images of 'phantom@32' changed",
    ),
    "saved session of other code": (saved(edit_record(code="0" * 64)), "start again"),
    "saved adapters cut off": (saved(cut("merged_adapters.safetensors")), "Remove it"),
    "saved head of another stream": (
        saved(
            lambda folder: (folder / "head_dynammo.safetensors").write_bytes(
                (folder / "adapters.safetensors").read_bytes()
            )
        ),
        "of another stream",
    ),
    "record of a session cut off": (saved(cut("session.json")), "Remove it"),
    "mistyped parameter of a notebook": (
        notebook("01_prepare_data.ipynb", order_sed=1),
        "no parameter 'order_sed'",
    ),
    "notebook that is not there": (notebook("99_more.ipynb"), "There is no notebook"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_message_that_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    case, wanted = CASES[name]
    message = case(tmp_path)
    assert wanted in message
    assert len(message) < 700 and "Traceback" not in message
    assert not (tmp_path / "ran").exists()  # nothing was unpickled
