"""Why a session's results do not hold any more: other settings, images, weights or code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynammo.chain import DYNAMMO, Steps
from dynammo.learner import Learner, Setup
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


def checksums(setup: Setup) -> dict[str, str]:
    """Those of what sessions are learned from: images, and weights as they were loaded."""
    weights = weights_checksum(setup.backbone)
    return {"data_checksum": setup.stream.checksum, "weights_checksum": weights}


def other_inputs(
    record: Mapping[str, Any],
    settings: RunSettings,
    method: str | type[Learner],
    given: Mapping[str, str],
) -> str:
    """In words, which settings, images or weights are not those of a record; nothing if all are.

    ``given`` are :func:`checksums`, of images alone where no network is looked at.
    """
    name = name_of(method)
    before, now = record["parts"].get(name), settings_behind(settings, method)
    if before is None:
        return f"was run without '{name}'"
    # A setting that there was not yet has its default since.
    then = settings_behind(type(settings)(), method) | before["settings"]
    other = [k for k, v in now.items() if then[k] != v]
    if other:
        return f"was run with another {', '.join(other)}"
    if record["data_checksum"] != given["data_checksum"]:
        return f"was learned from other images of '{settings.stream}'"
    weights = record.get("weights_checksum"), given.get("weights_checksum")  # old ones have none
    other = all(weights) and weights[0] != weights[1]
    return f"was learned with other weights of '{settings.backbone}'" if other else ""


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
    given: Mapping[str, str],
    steps: Steps = DYNAMMO,
) -> str:
    """In words, why a session's record does not hold for a method any more; nothing if it does."""
    if why := other_inputs(record, settings, method, given):
        return why
    other = other_code(record, settings, method, steps)
    return "was run by other code of dynammo/" if other else ""
