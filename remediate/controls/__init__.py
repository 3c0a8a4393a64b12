"""Kinds of fix. A control is pure: policy → vendor-neutral intent, and which rungs are left to the outside."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol

from remediate.errors import UsageError
from remediate.model.observation import Rung
from remediate.model.rule import AnyIntent
from remediate.model.site import Addressing, Device, Pacs, ServiceKind
from remediate.policy import ALL_CLOSED, Outside, Strangers

#: name → module; the module's ``CONTROL`` is the control.
CONTROLS = {
    "acl": "remediate.controls.acl",
    "ae_title": "remediate.controls.ae_title",
    "tls_only": "remediate.controls.tls_only",
    "unpublish": "remediate.controls.unpublish",
    "vpn_only": "remediate.controls.vpn_only",
    "web_auth": "remediate.controls.web_auth",
}


class Control(Protocol):
    name: str
    #: The kinds of service that it closes.
    covers: frozenset[ServiceKind]
    #: What the outside may still see of these once the control is in force.
    outside: frozenset[Rung]
    #: Whether that holds inside too, for whoever shows neither certificate nor password.
    everywhere: bool
    #: What it does not give, for the record.
    leaves_open: str

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        """The devices that carry it out for that PACS; () where the inventory names none."""
        ...

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> AnyIntent: ...


def control(name: str) -> Control:
    if name not in CONTROLS:
        raise UsageError(f"unknown control {name!r}", next=f"use one of: {', '.join(CONTROLS)}")
    found: Control = import_module(CONTROLS[name]).CONTROL
    return found


def left_to_the_outside(names: Iterable[str]) -> Outside:
    """What the outside may still see under all of these controls together; without any, that everything is closed.

    Of several on one kind of service, the one that stops a stranger first: who does not get into TLS is rejected by
    nobody.
    """
    return _left(map(control, names)) or ALL_CLOSED


def left_to_strangers(names: Iterable[str]) -> Strangers:
    """What may be seen inside without certificate and password; nothing is said of what no control concerns so."""
    return _left(one for one in map(control, names) if one.everywhere)


def _left(found: Iterable[Control]) -> dict[ServiceKind, frozenset[Rung]]:
    left: dict[ServiceKind, frozenset[Rung]] = {}
    for one in found:
        left |= {kind: min(left.get(kind, one.outside), one.outside, key=_highest) for kind in one.covers}
    return left


def _highest(rungs: frozenset[Rung]) -> int:
    return max(map(list(Rung).index, rungs))
