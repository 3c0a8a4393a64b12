"""What a configuration says about packets: the guard's sections, and everything else as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from remediate.model.rule import Rule
from remediate.model.site import Device
from remediate.platforms.cisco_ios.config import Config, effective, foreign
from remediate.platforms.cisco_ios.plan import places


class State(NamedTuple):
    sections: Mapping[str, tuple[Rule, ...]]
    foreign: str
    config: Config
    text: None = None


def state(device: Device, config: Config) -> State:
    return State(_sections(device, config), foreign(config, places(device)), config)


def _sections(device: Device, config: Config) -> dict[str, tuple[Rule, ...]]:
    """The entries of each section, with the interfaces on which they stand in the same order."""
    found: dict[str, dict[tuple[str, tuple[Rule, ...]], list[str]]] = {}
    for interface, direction in places(device):
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
