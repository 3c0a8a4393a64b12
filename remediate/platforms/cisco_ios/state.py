"""What a configuration says about packets: the guard's sections, and everything else as text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from remediate.model.rule import Rule
from remediate.model.site import Device
from remediate.platforms.cisco_ios.config import Config, Place, effective, foreign, read
from remediate.platforms.cisco_ios.plan import places


class State(NamedTuple):
    sections: Mapping[str, tuple[Rule, ...]]
    foreign: str
    config: Config
    text: None = None


def state(device: Device, config: Config) -> State:
    return _state(tuple(places(device)), config)


def state_of_text(device: Device, running: str) -> State:
    return _read(tuple(places(device)), running)


@lru_cache(512)
def _read(where: tuple[Place, ...], running: str) -> State:
    """A text is held against several things, one stage after the other: those of all devices of a wave are kept, with
    what they run before and after it. About half a megabyte each.
    """
    return _state(where, read(running))


def _state(where: tuple[Place, ...], config: Config) -> State:
    return State(_sections(where, config), foreign(config, where), config)


def _sections(where: tuple[Place, ...], config: Config) -> dict[str, tuple[Rule, ...]]:
    """The entries of each section, with the interfaces on which they stand in the same order."""
    found: dict[str, dict[tuple[str, tuple[Rule, ...]], list[str]]] = {}
    for interface, direction in where:
        for name, rules in effective(config, (interface, direction)).sections.items():
            found.setdefault(name, {}).setdefault((direction, rules), []).append(interface)
    return {
        name: tuple(
            rule.model_copy(update={"ingress" if direction == "in" else "egress": tuple(interfaces)})
            for (direction, rules), interfaces in there.items()
            for rule in rules
        )
        for name, there in found.items()
    }
