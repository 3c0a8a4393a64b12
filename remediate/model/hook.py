"""People's own steps in a play."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

from remediate.model.base import Value


class When(StrEnum):
    """``before``: everything is looked at and checked, and nothing is armed. ``after``: the wave is confirmed."""

    BEFORE = "before"
    AFTER = "after"


class RunOn(StrEnum):
    """The wave's archives, or the devices that it changes."""

    PACS = "pacs"
    DEVICES = "devices"


class Hook(Value):
    """A Nornir task that a playbook has run. ``run``: MODULE:FUNCTION; ``args``: what it is called with, JSON.

    ``timeout``: on each host, from its start there. ``ignore_errors``: that it failed is said, and nothing else comes
    of it. ``check_safe``: ``--check`` runs it too, as Nornir's dry run.
    """

    name: str
    run: str
    args: dict[str, Any] = {}
    run_on: RunOn = RunOn.PACS
    timeout: timedelta = timedelta(minutes=2)
    ignore_errors: bool = False
    check_safe: bool = False

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]

    @property
    def function(self) -> str:
        return self.run.partition(":")[2]
