"""Why a session's results do not hold any more: other settings, images, weights or code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynammo.backbones import Backbone
from dynammo.chain import DYNAMMO, Steps
from dynammo.learner import Learner
from dynammo.networks.own import own_function
from dynammo.run.code import code_behind, weights_checksum
from dynammo.run.jobs import name_of, settings_behind
from dynammo.run.settings import RunSettings


def part_record(
    settings: RunSettings, method: str | type[Learner] = "", steps: Steps = DYNAMMO
) -> dict[str, Any]:
    """What a method's result depends on, or without one that of the tuned adapters."""
    code = _code_of(settings, method, steps)
    return {"settings": settings_behind(settings, method), "code": code}


def _code_of(settings: RunSettings, method: str | type[Learner], steps: Steps) -> str:
    own = steps.of_ones_own()
    if ":" in settings.backbone:
        own += (own_function(settings.backbone),)
    return code_behind(method, own)


def other_inputs(
    record: Mapping[str, Any], settings: RunSettings, method: str | type[Learner], checksum: str
) -> str:
    """In words, which settings or images of a session's record are others; nothing if none are."""
    name = name_of(method)
    before, now = record["parts"].get(name), settings_behind(settings, method)
    if before is None:
        return f"was run without '{name}'"
    # A setting that there was not yet has its default since.
    then = settings_behind(type(settings)(), method) | before["settings"]
    other = [k for k, v in now.items() if then[k] != v]
    if other:
        return f"was run with another {', '.join(other)}"
    same = record["data_checksum"] == checksum
    return "" if same else f"was learned from other images of '{settings.stream}'"


def other_code(
    record: Mapping[str, Any],
    settings: RunSettings,
    method: str | type[Learner],
    steps: Steps = DYNAMMO,
) -> bool:
    """Whether other code than today's made a method's part of a session's record."""
    return record["parts"][name_of(method)]["code"] != _code_of(settings, method, steps)


def changed(
    record: Mapping[str, Any],
    settings: RunSettings,
    method: str | type[Learner],
    checksum: str,
    steps: Steps = DYNAMMO,
) -> str:
    """In words, why a session's record does not hold for a method any more; nothing if it does."""
    if why := other_inputs(record, settings, method, checksum):
        return why
    other = other_code(record, settings, method, steps)
    return "was run by other code of dynammo/" if other else ""


def other_weights(record: Mapping[str, Any], backbone: Backbone) -> str:
    """In words, that a backbone's weights are not those of a record; of an old one nothing."""
    same = record.get("weights_checksum", now := weights_checksum(backbone)) == now
    return "" if same else f"was learned with other weights of '{backbone.name}'"
