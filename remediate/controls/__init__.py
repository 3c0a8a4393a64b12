"""Kinds of fix. A control is pure: policy → vendor-neutral intent, and which rungs are left to the outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Protocol

from remediate import policy
from remediate.errors import UsageError
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import AnyIntent
from remediate.model.site import Addressing, Pacs, Service, ServiceKind, Vantage
from remediate.policy import Expected, Left, all_closed

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
    #: What the outside may still see of its ``services`` once the control is in force.
    outside: frozenset[Rung]
    #: Whether that holds inside too, for whoever shows neither certificate nor password.
    everywhere: bool
    #: Whether it stands before the archive and closes what is published outside, so that an archive without an outside
    #: address leaves it nothing to close.
    before_archive: bool
    #: What it does not give, for the record.
    leaves_open: str

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        """Those that it makes so. Others of the kinds that it covers stay as they are, and must not be reached from
        outside."""
        ...

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        """The devices that carry it out for that PACS; () where the inventory names none."""
        ...

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> AnyIntent: ...


def control(name: str) -> Control:
    if name not in CONTROLS:
        raise UsageError(f"unknown control {name!r}", next=f"use one of: {', '.join(CONTROLS)}")
    found: Control = import_module(CONTROLS[name]).CONTROL
    return found


def has_to_close(one: Control, pacs: Pacs) -> bool:
    """Whether there is anything at that archive for it to close."""
    return bool(pacs.addresses.outside) or not one.before_archive


def expectations(names: Collection[str], pacs: Pacs, vantages: Iterable[Vantage]) -> Expected:
    """What every vantage must see of that archive under these controls."""
    return policy.expectations(pacs, vantages, left_to_the_outside(names, pacs), left_to_strangers(names, pacs))


def left_to_the_outside(names: Iterable[str], pacs: Pacs) -> Left:
    """What the outside may still see of that archive under all of these controls together; without any, that everything
    is closed.

    Of several on one service, the one that stops a stranger first: who does not get into TLS is rejected by nobody.
    """
    found = [control(name) for name in names]
    if not found:
        return all_closed(pacs)
    left: dict[int, frozenset[Rung]] = {}
    for one in found:
        made_so = one.services(pacs)
        for service in pacs.services:
            if service in made_so:
                _narrow(left, service.port, one.outside)
            elif service.kind in one.covers:
                _narrow(left, service.port, UNREACHED)
    return left


def left_to_strangers(names: Iterable[str], pacs: Pacs) -> Left:
    """What may be seen inside without certificate and password; nothing is said of what no control concerns so."""
    left: dict[int, frozenset[Rung]] = {}
    for one in map(control, names):
        for service in one.services(pacs) if one.everywhere else ():
            _narrow(left, service.port, one.outside)
    return left


def _narrow(left: dict[int, frozenset[Rung]], port: int, rungs: frozenset[Rung]) -> None:
    left[port] = min(left.get(port, rungs), rungs, key=_highest)


def _highest(rungs: frozenset[Rung]) -> int:
    return max(map(list(Rung).index, rungs))
