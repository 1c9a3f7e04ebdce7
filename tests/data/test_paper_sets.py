"""The paper's own sets, on small files in the layouts that the release reads."""

import copy
import json

import pytest
from helpers import cifar100_archive, md5, npz_bytes, write
from PIL import Image

from dynammo.data import sources
from dynammo.data.make_stream import make_stream
from dynammo.data.paper_sets import main
from dynammo.data.sources import PATH16_CLASSES, SKIN8_LISTS, convert_cifar100, medmnist_info
from dynammo.run import command

SKIN8 = ("BKL", "MEL", "DF", "NV", "SCC", "BCC", "VASC", "AK")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMMO_DATA", str(tmp_path / "data"))
    return tmp_path


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 45), (colour, 0, 0)).save(path)


def isic_2019(home):
    """Images in one flat folder, and lists that name some of them, as the release's do."""
    images = home / "ISIC_2019_Training_Input"
    for number in range(8 * 25):
        picture(images / f"ISIC_{number:07}.jpg", number)
    for name, first, last in ((SKIN8_LISTS["train"], 0, 20), (SKIN8_LISTS["test"], 20, 23)):
        lines = [
            f"Data/{class_name}/ISIC_{25 * label + number:07}.jpg {label}"
            for label, class_name in enumerate(SKIN8)
            for number in range(first, last)
        ]
        (home / name).write_text("\n".join([*lines, lines[0]]) + "\n")  # one of them twice
    return images


def pathology16(home):
    for part, classes in PATH16_CLASSES.items():
        for split, count in (("train", 11), ("test", 2)):
            for label in range(classes):
                for number in range(count):
                    place = home / "Pathology16" / part / split / f"class{label}"
                    picture(place / f"{number:02}.png", label)
    return home / "Pathology16"


def test_skin8_follows_the_lists_and_holds_out_a_tenth(home, capsys):
    images = isic_2019(home)
    assert main(["skin8", str(home), str(images)]) == 0
    assert "144 train, 16 val, 24 test images" in capsys.readouterr().out
    stream = make_stream("skin8@16", 2)
    assert stream.number_of_sessions == 4 and set(stream.class_names) == set(SKIN8)
    held = sorted(path.name for path in (home / "data/skin8/val/MEL").iterdir())
    assert held == ["ISIC_0000034.jpg", "ISIC_0000044.jpg"]  # the 10th and 20th of 25 to 44
    assert not (home / "data/skin8/train/MEL" / held[0]).exists()


def test_path16_gives_a_session_to_each_sub_set(home):
    assert main(["path16", str(pathology16(home))]) == 0
    stream = make_stream("path16@16")
    assert sorted(map(len, stream.sessions)) == [2] * 6 + [4]
    assert len(stream.train) == 16 * 10 and len(stream.val) == 16 and len(stream.test) == 32


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda home: (home / SKIN8_LISTS["test"]).unlink(), "There is no skin8_test_500.txt"),
        (lambda home: (home / SKIN8_LISTS["train"]).write_text("<html>"), "has a line '<html>'"),
        (
            lambda home: (home / "ISIC_2019_Training_Input/ISIC_0000003.jpg").unlink(),
            "1 of 160 images that skin8_train_500.txt names",
        ),
        (lambda home: (home / "data/skin8").mkdir(parents=True), "is there already"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_left(home, spoil, message, capsys):
    images = isic_2019(home)
    spoil(home)
    assert main(["skin8", str(home), str(images)]) == 2
    assert message in capsys.readouterr().err
    assert not list((home / "data").rglob("*.jpg"))


def test_a_sub_set_with_classes_missing_is_refused(home, capsys):
    source = pathology16(home)
    (source / "TCGA_STD/test/class3").rename(home / "elsewhere")
    assert main(["path16", str(source)]) == 2
    assert "TCGA_STD/test has 3 folders of classes" in capsys.readouterr().err


@pytest.fixture
def asked(home, monkeypatch):
    """What the graph is told of a run that is given on the command line; it is not started."""
    told = []

    def run_graph(run, configuration, *_):
        told.append(json.loads(configuration.read_text()))
        return 0

    def ask(*arguments):
        dry = [*arguments, "--output", str(home), "--set", "weights=random", "--dry-run"]
        assert command.main(dry) == 0
        graph = told.pop()
        owners = [owner for *_, owner in graph["jobs"]]
        return owners.count("") * graph["number_of_sessions"], len(owners) - owners.count("")

    monkeypatch.setattr(command, "run_graph", run_graph)
    return ask


@pytest.mark.parametrize(
    ("run", "gathered", "sessions"), [("skin8", isic_2019, 4), ("path16", pathology16, 7)]
)
def test_a_run_of_the_paper_has_every_step(home, run, gathered, sessions, asked):
    """On sets in the official layouts, read at 16 px to be quick."""
    source = gathered(home)
    assert main([run, *([str(home)] if run == "skin8" else []), str(source)]) == 0
    smaller = ["--stream", f"{run}@16", "--set", "enlarge_to=224"]
    # Five class orders: a notebook per session for adapters, one for each other method.
    assert asked("--profile", f"paper/{run}", *smaller) == (5 * sessions, 5 * 10)


def test_a_run_of_cifar100_has_ten_sessions_and_five_seeds(home, asked):
    cifar100_archive(home / "archive.tar.gz", train_per_class=3)
    convert_cifar100(home / "archive.tar.gz", home / "cifar.npz", val_per_class=1)
    stream = ("--stream", str(home / "cifar.npz"), "--classes-per-session", "10")
    assert asked("--profile", "paper/cifar100", *stream) == (5 * 10, 5 * 10)


def test_runs_of_medmnist_have_all_six_streams(home, asked, monkeypatch):
    info = copy.deepcopy(medmnist_info())
    for name, entry in info.items():
        if name in ("bloodmnist", "pathmnist", "dermamnist", "organamnist", "tissuemnist"):
            content = npz_bytes(len(entry["label"]), 64)
            write(home / "data" / f"{name}_64.npz", content)
            entry["MD5_64"] = md5(content)
    monkeypatch.setattr(sources, "medmnist_info", lambda: info)
    for run, sessions in {"blood": 4, "path": 5, "derma": 4, "organ": 6, "tissue": 4}.items():
        assert asked("--profile", f"medmnist/{run}")[0] == 3 * sessions
    assert asked("--profile", "medmnist/four")[0] == 3 * 4
