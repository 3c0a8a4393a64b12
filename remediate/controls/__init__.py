"""Kinds of fix. A control is pure: policy → vendor-neutral intent, and which rungs are left to the outside."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from remediate.errors import UsageError
from remediate.model.observation import Rung
from remediate.model.rule import Intent
from remediate.model.site import Addressing, Device, Pacs

#: name → module; the module's ``CONTROL`` is the control.
CONTROLS = {"acl": "remediate.controls.acl"}


class Control(Protocol):
    name: str
    #: What the outside may still see once the control is in force.
    outside: frozenset[Rung]
    #: What it does not give, for the record.
    leaves_open: str

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> Intent: ...


def control(name: str) -> Control:
    if name not in CONTROLS:
        raise UsageError(f"unknown control {name!r}", next=f"use one of: {', '.join(CONTROLS)}")
    found: Control = import_module(CONTROLS[name]).CONTROL
    return found
