"""What several test files use: pictures, networks, arrays, and a web server on this machine."""

import contextlib
import hashlib
import http.server
import io
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dynammo import catalogue
from dynammo.chain import Chain
from dynammo.learner import Learner
from dynammo.measure.predictions import accuracy_rows, predict
from dynammo.methods import AdapterLearner
from dynammo.run.sessions import restore_chain_from, restore_learner
from dynammo.stream import SPLITS

BLOB_COLOURS = ((220, 40, 40), (40, 190, 60), (50, 70, 230), (230, 210, 40))
BLOB_SIZE = 32


def write_images(folder: Path, count: int, generator: np.random.Generator) -> None:
    """So many pictures of 8 x 8 random pixels in a new folder, as of one class."""
    folder.mkdir(parents=True)
    for i in range(count):
        image = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image.save(folder / f"{i:02}.png")


def blob_images(label: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Noisy pictures [count, 32, 32, 3] of one class: disc, square, cross or ring, coloured."""
    images = np.full((count, BLOB_SIZE, BLOB_SIZE, 3), 128.0)
    y, x = np.mgrid[:BLOB_SIZE, :BLOB_SIZE]
    for image in images:
        centre_y, centre_x = generator.uniform(12, 20, size=2)
        radius = generator.uniform(7, 10)
        across, down = np.abs(x - centre_x), np.abs(y - centre_y)
        distance = np.hypot(across, down)
        shapes = (
            distance < radius,
            np.maximum(across, down) < radius,
            (np.minimum(across, down) < 3) & (np.maximum(across, down) < radius + 3),
            np.abs(distance - radius) < 3,
        )
        image[shapes[label]] = BLOB_COLOURS[label]
    return np.clip(images + generator.normal(0, 12, images.shape), 0, 255).astype(np.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def global_generators() -> tuple[torch.Tensor, np.ndarray]:
    """The states of torch's and NumPy's own generators, which no learning may move."""
    return torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002


def random_images(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=generator(seed))


def shake(network: nn.Module, seed: int) -> nn.Module:
    """Give batch norm statistics and weights of its own, so that leaving one out would show."""
    random = generator(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for vector in (module.weight.data, module.running_var):
                vector.copy_(0.5 + torch.rand(vector.shape, generator=random))
            for vector in (module.bias.data, module.running_mean):
                vector.copy_(0.2 * torch.randn(vector.shape, generator=random))
    return network.eval()


def resnet18_by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits from the state dict alone, in double precision."""
    weights = {k: v.double() for k, v in weights.items()}

    def norm(x, name):
        scale = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + 1e-5).sqrt()
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = F.conv2d(x.double(), weights["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, "bn1").clamp(min=0), 3, stride=2, padding=1)
    for name in [f"layer{layer}.{block}" for layer in (1, 2, 3, 4) for block in (0, 1)]:
        stride = 2 if name in ("layer2.0", "layer3.0", "layer4.0") else 1
        out = F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
        out = norm(out, f"{name}.bn1").clamp(min=0)
        out = norm(F.conv2d(out, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride == 2:
            x = F.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=2)
            x = norm(x, f"{name}.downsample.1")
        x = (x + out).clamp(min=0)
    return x.mean(dim=(2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


def number_of_hooks(network: nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in network.modules())


def small_arrays(classes: int = 3, size: int = 6, per_class: int = 2) -> dict[str, np.ndarray]:
    """Random RGB images in MedMNIST's layout, the classes taking turns."""
    rng = np.random.default_rng(0)
    n = classes * per_class
    arrays = {}
    for split in SPLITS:
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % classes)[:, None]
    return arrays


def npz_bytes(classes: int, size: int = 28) -> bytes:
    """A grey data set in MedMNIST's layout, two images of each class in each split."""
    arrays = {}
    for split in SPLITS:
        labels = np.arange(2 * classes) % classes
        arrays[f"{split}_labels"] = labels[:, None].astype(np.uint8)
        arrays[f"{split}_images"] = np.full((2 * classes, size, size), 7, dtype=np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Answers from a dictionary of path to content; `flaky` fails the first time only."""

    files: dict[str, bytes] = {}
    asked: list[str] = []
    released = threading.Event()

    def do_GET(self):
        self.asked.append(self.path)
        content = self.files.get(self.path.partition("?")[0])
        if content is None or (self.path == "/flaky" and self.asked.count("/flaky") == 1):
            self.send_error(404 if content is None else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # "cut" promises everything and breaks off half way, as a lost connection does; "stall"
        # stays connected and sends no more.
        half = self.path in ("/cut", "/stall")
        self.wfile.write(content[: len(content) // 2] if half else content)
        if self.path == "/stall":
            self.wfile.flush()
            self.released.wait(20)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving():
    """A web server on this machine; its class holds what it serves and what was asked."""
    Server.files, Server.asked, Server.released = {}, [], threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        Server.url = f"http://127.0.0.1:{running.server_port}"
        yield Server
        Server.released.set()
        running.shutdown()
        thread.join()


def cifar100_archive(path: Path, train_per_class: int = 4) -> np.ndarray:
    """Write a small archive laid out like the real one; return the training records."""
    rng = np.random.default_rng(0)
    members, labels = {}, np.arange(100)
    for part, per_class in (("train", train_per_class), ("test", 1)):
        records = rng.integers(0, 256, (100 * per_class, 3074), dtype=np.uint8)
        records[:, 1] = np.tile(labels, per_class)
        members[f"{part}.bin"] = records
    names = "".join(f"name{label}\n" for label in labels).encode()
    contents = {name: records.tobytes() for name, records in members.items()}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**contents, "fine_label_names.txt": names}.items():
            entry = tarfile.TarInfo(f"cifar-100-binary/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return members["train.bin"]


# For bad inputs: arrays and what the command says.


def changed(**replaced):
    """Small arrays with some replaced; None takes one away."""
    arrays = small_arrays() | replaced
    return {key: array for key, array in arrays.items() if array is not None}


class OpensAFile:
    """Unpickling this leaves a trace."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def told(folder: Path, *arguments: str) -> str:
    """What the command says of bad input: one line, no traceback, exit status 2."""
    from dynammo.run import command

    said = io.StringIO()
    output = () if "--output" in arguments else ("--output", str(folder / "out"))
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = command.main(["--profile", "smoke", *output, *arguments])
    assert status == 2, f"exit status {status}"
    return said.getvalue().strip().splitlines()[-1]


def run(*arguments: str) -> Callable[[Path], str]:
    """A case of bad arguments alone."""
    return lambda folder: told(folder, *arguments)


def assert_told(case: Callable[[Path], str], wanted: str, folder: Path) -> None:
    """A case gets a message with the words that are wanted, short, and nothing is unpickled."""
    message = case(folder)
    assert wanted in message, message
    assert len(message) < 700 and "Traceback" not in message, message
    assert not (folder / "ran").exists()


# For tests of chains: whole sessions of all methods that one chain feeds.


def learn_session(chain: Chain, learners: dict[str, AdapterLearner]) -> list[float]:
    """One whole session; the losses of step 1."""
    losses = chain.learn_session(progress=False)
    for learner in learners.values():
        learner.learn_session(progress=False)
    return losses


def restore(chain: Chain, learners: dict[str, AdapterLearner], folders: list[Path]) -> None:
    """Stand as after the sessions that some folders are of."""
    restore_chain_from(chain, folders)
    for learner in learners.values():
        restore_learner(learner, folders[-1], len(folders))


def shares_right(learner: Learner, split: str = "test") -> list[float]:
    """Accuracy on each session's images."""
    return [row["accuracy"] for row in accuracy_rows(predict(learner, split))]


def forget_plugins(rows):
    """Leave the catalogue with some rows, and load plugins again when they are next asked for."""
    catalogue.ROWS.clear()
    catalogue.ROWS.update(rows)
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]
