"""What a cluster is asked for by each kind of job: memory and time, from measured peaks.

Measured with all processes of a job, as queues count them (Linux, one thread, batches of 32):

==============================================  =======
job                                             peak MB
==============================================  =======
session, EfficientNet-Lite0, 64 px, 2 sessions      896
the same, 128 and 224 px                    1315, 2381
the same, 64 px, 8 sessions                         996
session, ResNet-18, 64 and 224 px            916, 1750
replay, 64 px                                      1245
DER, 64 px, 4 and 8 sessions                 1312, 1476
PODNet, 128 px                                     2155
RanPAC, 10,000 features, 64 px, 10 sessions        6200
==============================================  =======

A job that needs more after all is tried again with twice and three times as much.
"""

from __future__ import annotations

import math

from dynammo.methods import kind_of
from dynammo.run.settings import RunSettings
from dynammo.stream import Stream

# Above all measured peaks, in MB: of any job, of a pixel of a batch of 32, of a session.
BASE, PIXEL, SESSION = 950, 0.075, 45
MAPPED = 1024  # arrays of more MB are read from disk as they are used
SPARE = 1.5
PROJECTION = 55e-6  # of a pair of RanPAC's features: matrices of which it solves
# Seconds of one core to train on an image of 64 px, and to look at one; the slowest of the
# machines and backbones here. Queues are asked for three times that.
TRAINED, SEEN, LATE = 0.02, 0.007, 3


def needs(settings: RunSettings, stream: Stream) -> dict[str, dict[str, int]]:
    """Memory (``mem_mb``) and minutes (``runtime``) of one session of the adapters (``session``).

    And of a method of its own, all sessions (``method``), of RanPAC, which is the one that takes
    more (``ranpac``), and of a notebook that looks closer at a run, which may learn a dozen chains
    (``look``). All grow with the images' size and the number of sessions; a GPU (``gpu``) is asked
    for where the settings name one.
    """
    side, sessions = max(settings.enlarge_to, stream.image_size), stream.number_of_sessions
    splits = [stream.train, stream.val, stream.test]
    held = sum(min(math.prod(part.images.shape) / 1e6, MAPPED) for part in splits)
    batch = PIXEL * side**2 * settings.batch_size / 32
    memory = math.ceil(SPARE * (BASE + batch + SESSION * sessions) + 2 * held)
    train, others = len(stream.train), len(stream.val) + len(stream.test)
    epochs, bigger = settings.adapter_epochs, (side / 64) ** 2
    new = TRAINED * epochs * (train / sessions + settings.memory_budget)
    knobs = [settings.knobs_by_name(kind_of(method)) for method in settings.methods]
    of_methods = [v for each in knobs for name, v in each.items() if name.endswith("_epochs")]
    longest = max([epochs, *of_methods])
    own = TRAINED * longest * train * (sessions + 1) / 2  # as joint training, on all images
    shown = SEEN * (others + train / sessions) * sessions
    seconds = {"session": new + shown, "method": own + sessions * shown}
    seconds["look"] = 12 * sessions * seconds["session"]
    gpu = {"gpu": 1} if settings.device.startswith("cuda") else {}
    found = {
        kind: {"mem_mb": memory, "runtime": 10 + math.ceil(LATE * bigger * value / 60), **gpu}
        for kind, value in seconds.items()
    }
    projected = settings.knobs_by_name(kind_of("ranpac"))["ranpac_features"]
    more = math.ceil(SPARE * PROJECTION * projected**2)
    return found | {"ranpac": found["method"] | {"mem_mb": memory + more}}
