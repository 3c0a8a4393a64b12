"""What a configuration says about packets: the guard's sections, and everything else as text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from remediate.model.change import Items
from remediate.model.device import Device
from remediate.model.rule import Rule
from remediate.platforms.cisco_ios.config import Config, Place, effective, read
from remediate.platforms.cisco_ios.foreign import foreign
from remediate.platforms.cisco_ios.forwards import Flow, forwards
from remediate.platforms.cisco_ios.notes import notes
from remediate.platforms.cisco_ios.plan import places
from remediate.rules import unpublished_entry


class State(NamedTuple):
    sections: Mapping[str, Items]
    foreign: str
    config: Config
    text: None = None


class _Guard(NamedTuple):
    """Of a device, where ours stand: ``outside``, the interfaces by which comes in what is published."""

    places: tuple[Place, ...]
    outside: tuple[str, ...]


def state(device: Device, config: Config) -> State:
    return _state(_guard(device), config)


def state_of_text(device: Device, running: str) -> State:
    return _read(_guard(device), running)


def _guard(device: Device) -> _Guard:
    return _Guard(tuple(places(device)), device.guard.interface)


@lru_cache(512)
def _read(guard: _Guard, running: str) -> State:
    """A text is held against several things, one stage after the other: those of all devices of a wave are kept, with
    what they run before and after it. About half a megabyte each.
    """
    return _state(guard, read(running))


def _state(guard: _Guard, config: Config) -> State:
    sections = {**_filters(guard.places, config), **_unpublished(guard.outside, config)}
    return State(sections, foreign(config, guard.places), config)


def _unpublished(outside: tuple[str, ...], config: Config) -> dict[str, Items]:
    """Without what somebody publishes again, in whichever way that is done by one line."""
    return {
        section: tuple(
            unpublished_entry(section, outside, address, port)
            for address, port in note.closed
            if not any(one.alone for one in forwards(config, Flow(outside, address, port)))
        )
        for section, note in notes(config).items()
    }


def _filters(where: tuple[Place, ...], config: Config) -> dict[str, Items]:
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
