"""Knobs of a learner with a chain of its own are settings of that chain, and of no other."""

import pytest

from dynammo.beyond.own_chain import ACLFresh
from dynammo.learner import Setup


@pytest.mark.parametrize("knob", ["learning_rate", "alpha"])
def test_a_knob_is_a_setting_of_its_chain(knob, tiny_settings, blobs, pretrained):
    def chain(**changes):
        setup = Setup(tiny_settings.with_changes(changes), blobs, pretrained, 1)
        return ACLFresh(setup).inner.chain

    own, shared = chain(**{f"acl_fresh_{knob}": 0.03}), chain()
    name = f"adapter_{knob}"
    assert getattr(own.settings, name) == 0.03
    assert getattr(shared.settings, name) == getattr(tiny_settings, name) != 0.03
    alpha = own.adapters(None)["stage4"].alpha.item()
    assert alpha == pytest.approx(0.03 if knob == "alpha" else tiny_settings.adapter_alpha)
