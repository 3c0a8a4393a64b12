"""Kinds of fix. A control is pure: policy → vendor-neutral intent, and which rungs are left to the outside."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol

from remediate.errors import UsageError
from remediate.model.observation import Rung
from remediate.model.rule import CallerIntent, Intent
from remediate.model.site import Addressing, Device, Pacs, ServiceKind
from remediate.policy import ALL_CLOSED, Outside

#: name → module; the module's ``CONTROL`` is the control.
CONTROLS = {
    "acl": "remediate.controls.acl",
    "ae_title": "remediate.controls.ae_title",
    "vpn_only": "remediate.controls.vpn_only",
}


class Control(Protocol):
    name: str
    #: The kinds of service that it closes.
    covers: frozenset[ServiceKind]
    #: What the outside may still see of these once the control is in force.
    outside: frozenset[Rung]
    #: What it does not give, for the record.
    leaves_open: str

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        """The devices that carry it out for that PACS; () where the inventory names none."""
        ...

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> Intent | CallerIntent: ...


def control(name: str) -> Control:
    if name not in CONTROLS:
        raise UsageError(f"unknown control {name!r}", next=f"use one of: {', '.join(CONTROLS)}")
    found: Control = import_module(CONTROLS[name]).CONTROL
    return found


def left_to_the_outside(names: Iterable[str]) -> Outside:
    """What the outside may still see under all of these controls together; without any, that everything is closed."""
    left: dict[ServiceKind, frozenset[Rung]] = {}
    for one in map(control, names):
        left |= {kind: left.get(kind, one.outside) & one.outside for kind in one.covers}
    return left or ALL_CLOSED
