"""Learning a stream session by session, each saved as it ends: here, or one a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dynammo.chain import DYNAMMO, Chain, Steps
from dynammo.data.files import remove_folder, whole_folder, write_json
from dynammo.errors import InputError
from dynammo.learner import Learner, Setup
from dynammo.measure.cost import count_cost, exemplar_bytes
from dynammo.measure.predictions import Predictions, predict
from dynammo.measure.stopwatch import Stopwatch
from dynammo.methods import AdapterLearner, kind_of, learners_on, make_learner
from dynammo.run.jobs import name_of
from dynammo.run.outdated import changed, checksums, part_record
from dynammo.run.run_folder import open_setup
from dynammo.run.sessions import (
    AGAIN,
    damage_told,
    read_record,
    restore_chain_from,
    restore_learner,
    save_chain,
    save_learner,
    save_predictions,
    session_folder,
    state_file,
    tuned_before,
    write_record,
)
from dynammo.run.settings import RunSettings


@dataclass
class Group:
    """Learners that go through a stream together: all on one tuned chain, or one of its own."""

    run: Path
    setup: Setup
    learners: list[Learner]
    chain: Chain | None = None
    session: int = 0  # how many were learned
    recalled: bool = False  # the newest session's adapters were tuned before

    @cached_property
    def checksums(self) -> dict[str, str]:
        """Those of images and weights, which stay as they are."""
        return checksums(self.setup)

    @property
    def steps(self) -> Steps:
        """What the adapters' steps are made of."""
        return self.chain.steps if self.chain else DYNAMMO

    def folder(self, session: int) -> Path:
        """Where a session's state lies."""
        method = "" if self.chain else self.learners[0].name
        return session_folder(self.run, *self.setup.seeds, session, method)

    def parts(self) -> list[str | type[Learner]]:
        """What a session's folder has to hold: the methods, and "" for the adapters."""
        return [*([""] if self.chain else []), *(type(learner) for learner in self.learners)]

    def learned(self, sessions: int) -> int:
        """How many of the first sessions hold: all before the first one that does not."""
        fails = (t for t in range(1, sessions + 1) if self.outdated(t))
        return next(fails, sessions + 1) - 1

    def outdated(self, session: int) -> str:
        """In words, why a session has to be learned; nothing if its folder still holds."""
        try:
            record = read_record(self.folder(session))
        except InputError as error:
            return str(error)
        settings, given = self.setup.settings, self.checksums
        reasons = (changed(record, settings, part, given, self.steps) for part in self.parts())
        return next((f"{self.folder(session)} {why}: {AGAIN}" for why in reasons if why), "")

    def restore(self, session: int) -> None:
        """Stand as after a session, from its folder."""
        self.session = session
        if not session:
            return
        folders = [self.folder(t) for t in range(1, session + 1)]
        with damage_told(folders[-1]):
            if self.chain:
                restore_chain_from(self.chain, folders)
            for learner in self.learners:
                restore_learner(learner, folders[-1], session)

    def recall(self, session: int):
        """A set that was tuned before, if there is one: its time is that of then."""
        found = tuned_before(self.run, self.chain, session, self.checksums)
        self.recalled = found is not None
        return found

    def learn_next(self, *, progress: bool = True) -> tuple[Stopwatch, dict[str, Predictions]]:
        """Learn and save the next session; return what it cost and what is predicted after it."""
        stopwatch, answers, losses = Stopwatch(self.setup.device), {}, []
        if self.chain:
            with stopwatch.measure("adapters", "training"):
                losses = self.chain.tune(progress=progress)
            self.chain.merge()
            self.chain.choose_exemplars()
        for learner in self.learners:
            with stopwatch.measure(learner.name, "head" if self.chain else "training"):
                losses += learner.learn_session(progress=progress)
            with stopwatch.measure(learner.name, "test"):
                answers[learner.name] = predict(learner, "test")
        self.save(answers, losses, stopwatch)
        return stopwatch, answers

    def _measured(self, rows: list[dict]) -> list[dict]:
        """What was measured; of adapters that were tuned before, what was measured then."""
        if not self.recalled:
            return rows
        before = json.loads((self.folder(self.session) / "measured.json").read_text())
        tuned = [row for row in before if row["method"] == "adapters"]
        return tuned + [row for row in rows if row["method"] != "adapters"]

    def save(
        self, answers: dict[str, Predictions], losses: list[float], stopwatch: Stopwatch
    ) -> Path:
        """Write what the session just learned leaves; return the folder.

        Only the newest session keeps the weights of a method of its own.
        """
        self.session += 1
        folder = self.folder(self.session)
        costs = {
            one.name: count_cost(one) | {"exemplar_bytes": exemplar_bytes(one)}
            for one in self.learners
        }
        with whole_folder(folder) as part:
            if self.chain:
                save_chain(self.chain, part, losses, self.checksums)
            for learner in self.learners:
                save_learner(learner, part)
            save_predictions(answers, part)
            write_json(part / "measured.json", self._measured(stopwatch.rows))
            parts = {
                name_of(one): part_record(self.setup.settings, one, self.steps)
                for one in self.parts()
            }
            write_record(part, self.setup, self.session, parts, losses, costs, self.checksums)
        if not self.chain and self.session > 1:
            before = self.folder(self.session - 1)
            (before / state_file(self.learners[0])).unlink(missing_ok=True)
        return folder


def open_group(
    run: Path,
    settings: RunSettings,
    method: str | type[Learner],
    order_seed: int,
    train_seed: int,
    steps: Steps = DYNAMMO,
) -> Group:
    """Learners that have learned nothing yet.

    Args:
        method: a name or a class; "" for the adapters with all methods of the settings that they
            feed. A class of these joins them, so that it is compared on the same adapters.
        steps: what the adapters' steps are made of.
    """
    setup = open_setup(run, settings, order_seed, train_seed)
    if method and not issubclass(kind_of(method), AdapterLearner):
        return Group(run, setup, [make_learner(method, setup)])
    part_record(settings, steps=steps)  # refuses steps that it cannot record, before any is made
    chain = Chain.on(setup, steps)
    learners = learners_on(chain, settings.methods)
    if method and kind_of(method) not in map(type, learners):
        learners.append(kind_of(method)(chain))
    group = Group(run, setup, learners, chain)
    chain.recall = group.recall
    return group


def open_session(
    run: Path,
    settings: RunSettings,
    order_seed: int,
    train_seed: int,
    session: int,
    steps: Steps = DYNAMMO,
) -> Group:
    """The adapters and the methods they feed as they stood before ``session``.

    Raises:
        InputError: the previous session is missing, or was run with other settings, data or code.
    """
    group = open_group(run, settings, "", order_seed, train_seed, steps)
    group.setup.stream.classes(session)  # refuses a session the stream does not have
    for t in range(1, session):
        if not (group.folder(t) / "session.json").exists():
            raise InputError(
                f"Session {t} is not in {group.folder(t)}, and what comes after starts from it: "
                f"run session {t} with the same seeds first."
            )
    return _stand_after(group, session - 1)


def last_session(
    run: Path, settings: RunSettings, order_seed: int, train_seed: int, method: str = ""
) -> Group:
    """The same, or a method of its own, after the last session, to look into them."""
    group = open_group(run, settings, method, order_seed, train_seed)
    return _stand_after(group, group.setup.stream.number_of_sessions)


def _stand_after(group: Group, session: int) -> Group:
    if (done := group.learned(session)) < session:
        raise InputError(group.outdated(done + 1))
    if session and not _has_weights(group, session):
        raise _without_weights(group, session)
    group.restore(session)
    return group


def learn_stream(
    run: Path,
    settings: RunSettings,
    method: str | type[Learner],
    order_seed: int,
    train_seed: int,
    *,
    steps: Steps = DYNAMMO,
    progress: bool = True,
) -> Group:
    """Learn all sessions of the stream with one method, or with "" all that adapters feed.

    Each session is saved as it ends, so a call that was interrupted goes on after the last one.
    Sessions that other code, settings or images left are learned again.

    Args:
        method, steps: a name, a class, or ""; parts of one's own: see :func:`open_group`.
    """
    group = open_group(run, settings, method, order_seed, train_seed, steps)
    sessions = group.setup.stream.number_of_sessions
    done = group.learned(sessions)
    there, done = done, next((t for t in range(done, 0, -1) if _has_weights(group, t)), 0)
    if there and not done and not group.folder(there + 1).exists():
        raise _without_weights(group, there)
    group.restore(done)
    if not group.chain:
        for session in range(sessions, done, -1):  # the last first: a kill leaves no gap
            remove_folder(group.folder(session))  # of other settings
    for _ in range(done, sessions):
        group.learn_next(progress=progress)
    return group


def _without_weights(group: Group, session: int) -> InputError:
    return InputError(
        f"{group.folder(session).parent} has answers and no weights, as an archive does: read it "
        "with notebook 18 or 19, or learn the stream in another run (--name)."
    )


def _has_weights(group: Group, session: int) -> bool:
    names = [state_file(learner) for learner in group.learners]
    names += ["adapters.safetensors"] if group.chain else []
    return all((group.folder(session) / name).exists() for name in names)
