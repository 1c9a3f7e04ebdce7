"""What is written of a chain and its learners comes back as it was, and no more than is needed."""

import shutil

import numpy as np
from helpers import learn_session, restore, same

from dynammo.heads import TaskHeads
from dynammo.measure.predictions import predict
from dynammo.methods import ACL, DynaMMo, LastAdapter
from dynammo.run import sessions
from dynammo.run.learn import open_group
from dynammo.run.outdated import checksums


def test_predictions_are_bitwise_the_same_after_saving_and_restoring(two_sessions, new_chain):
    chain, learners = new_chain()
    for count, expected in enumerate(two_sessions.predictions, start=1):
        restore(chain, learners, two_sessions.folders[:count])
        for name, learner in learners.items():
            found = predict(learner, "test")
            assert found.session == count
            assert np.array_equal(found.predicted, expected[name].predicted), name
            if isinstance(learner.head, TaskHeads):
                assert np.array_equal(found.lowest_others, expected[name].lowest_others), name
                assert np.array_equal(found.inferred_session, expected[name].inferred_session)


def test_a_session_after_restoring_is_bitwise_the_one_without_a_break(two_sessions, new_chain):
    chain, learners = new_chain()
    restore(chain, learners, two_sessions.folders[:1])
    assert learn_session(chain, learners) == two_sessions.losses[1]
    whole = two_sessions.chain
    for found, expected in zip(chain.adapter_states, whole.adapter_states, strict=True):
        assert same(found, expected)
    assert same(chain.merged_state, whole.merged_state)
    assert same(chain.auxiliary.state_dict(), whole.auxiliary.state_dict())
    for label, positions in whole.memory.positions.items():
        assert np.array_equal(chain.memory.positions[label], positions)
    for name, learner in learners.items():
        assert same(learner.head.state_dict(), two_sessions.learners[name].head.state_dict()), name


def test_restoring_nothing_is_a_chain_at_its_start(tiny_settings, tmp_path):
    group = open_group(tmp_path, tiny_settings, "", 0, 1)
    group.restore(0)
    chain = group.chain
    assert (chain.session, chain.adapter_states, chain.merged_state) == (0, (), None)


def test_learning_on_reads_no_set_but_the_newest_unless_a_method_needs_it(
    two_sessions, new_chain, monkeypatch
):
    read = []
    original = sessions.load_file
    monkeypatch.setattr(
        sessions, "load_file", lambda path, **to: read.append(path) or original(path, **to)
    )

    def old_sets_read(kind) -> int:
        chain, _ = new_chain()
        learner = kind(chain)
        restore(chain, {kind.name: learner}, two_sessions.folders)
        chain.start()
        read.clear()
        predict(learner, "test")
        return read.count(two_sessions.folders[0] / "adapters.safetensors")

    assert old_sets_read(DynaMMo) == old_sets_read(LastAdapter) == 0
    assert old_sets_read(ACL) == 1


def test_sessions_tuned_before_are_found_if_nothing_they_depend_on_changed(
    two_sessions, new_chain, tmp_path
):
    def tuned_before(chain):
        return sessions.tuned_before(tmp_path, chain, 1, checksums(chain))

    chain, _ = new_chain()
    folder = sessions.session_folder(tmp_path, 0, 1, session=1)
    assert tuned_before(chain) is None
    shutil.copytree(two_sessions.folders[0], folder)
    state, head, losses = tuned_before(chain)
    assert same(state, two_sessions.chain.adapter_states[0])
    assert same(head.state_dict(), two_sessions.tuned[0].head.state_dict())
    assert losses == two_sessions.losses[0]
    # Which methods there are, and their own knobs, change no adapters ...
    other, _ = new_chain(methods=("acl",), lwf_temperature=3.0)
    assert tuned_before(other) is not None
    # ... but what they are tuned with does; and a damaged file is as good as none.
    other, _ = new_chain(adapter_epochs=9)
    assert tuned_before(other) is None
    (folder / "adapters.safetensors").write_bytes(b"half")
    assert tuned_before(chain) is None
