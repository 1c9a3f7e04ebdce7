"""Every method by name: title, family, and its class, which is loaded when it is asked for.

So a figure can name methods without loading any. The rows are in ``catalogue.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from dynammo.errors import InputError


@dataclass(frozen=True)
class Method:
    """One row of the catalogue."""

    title: str  # in figures
    family: str  # one of FAMILIES
    place: str  # "module:class"


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
FAMILIES: Mapping[str, str] = MappingProxyType(_TABLE["families"])
ROWS = {name: Method(*row) for name, row in _TABLE["methods"].items()}  # plugins add theirs
METHODS: Mapping[str, Method] = MappingProxyType(ROWS)


def title(name: str) -> str:
    """What a method is called in figures; one that is not in the catalogue by its own name."""
    return METHODS[name].title if name in METHODS else name.replace("_", " ")


def family(name: str) -> str:
    """Title of a method's family."""
    return FAMILIES.get(METHODS[name].family if name in METHODS else "", "one's own")


def check_methods(names: Iterable[str]) -> None:
    """Raise InputError for a name that is not in METHODS."""
    for name in names:
        if name not in METHODS:
            raise InputError(f"Unknown method '{name}': choose from {', '.join(METHODS)}.")


def load(name: str) -> type:
    """The class of a method, a :class:`dynammo.learner.Learner`; InputError if there is none."""
    check_methods([name])
    module, _, kind = METHODS[name].place.partition(":")
    return getattr(import_module(module), kind)


def split_setting(name: str) -> tuple[str, str]:
    """The method that a setting is named after, if any, and the rest: ("lwf", "temperature")."""
    owners = (method for method in METHODS if name.startswith(f"{method}_"))
    method = max(owners, key=len, default="")
    return method, name[len(method) + 1 :] if method else name
