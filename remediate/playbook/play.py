"""What a playbook says, once it is read: plays, their tasks, and the waves that hosts are put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from remediate.errors import UsageError
from remediate.model.base import Name, Value
from remediate.model.change import OnUnknown
from remediate.model.hook import Hook, When
from remediate.model.site import IPAddress
from remediate.model.window import Window

SERIAL_RULE = 'a number of hosts (1 or more), a percentage ("1%" to "100%"), or a list of these'
DEFAULT_REVERT_IN = timedelta(minutes=5)

Serial = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^(100|[1-9][0-9]?)%$")]


class Apply(Value):
    """A task that puts a control into force. ``observe``: it denies nothing, and notes whom it would deny."""

    name: str
    control: Name
    observe: bool = False


class Verify(Value):
    """A task that looks at the result, from ``vantages``."""

    name: str
    vantages: tuple[Name, ...]


class Play(Value):
    """``revert_in``: how long a device waits before it takes an unconfirmed change back.

    ``vantages``: from where its verify task looks; a play without one is looked at from all of them.
    ``first``: a pattern; what it selects of ``hosts`` is a wave of its own, before all others.
    ``soak``: how long a confirmed wave is left alone before the next one begins.
    ``max_fail_percentage``: of the play's hosts, 0 to 100; more failures end the change.
    ``accept``: addresses that may be cut off while they are connected, though ``access`` does not name them.
    ``accept_simulated``: peers for which the simulation is proof enough, though no vantage stands in their place.
    ``accept_unseen``: archives at which nobody inside looks: the outside's view and the simulation are proof enough.
    ``allowed_signers``: an absolute path; the people who may approve (ssh-keygen(1), ALLOWED SIGNERS). None: no
    approval is asked for.
    ``reported``: an absolute path; a list of addresses, and the play only asks whether those are still open.
    ``notify``: references to the URLs that are told how a change ends.
    ``vars``: the user's own; JSON values only. Kept, and read by nothing of ours.
    """

    name: str
    hosts: str
    first: str | None = None
    serial: Annotated[tuple[Serial, ...], Field(min_length=1)] = ("100%",)
    soak: timedelta = timedelta(0)
    window: Window | None = None
    allowed_signers: str | None = None
    max_fail_percentage: Annotated[float, Field(ge=0, le=100)] = 0
    on_unknown: OnUnknown = OnUnknown.ROLLBACK
    accept: tuple[IPAddress, ...] = ()
    accept_simulated: tuple[Name, ...] = ()
    accept_unseen: tuple[Name, ...] = ()
    revert_in: timedelta = DEFAULT_REVERT_IN
    reported: str | None = None
    notify: tuple[str, ...] = ()
    vars: dict[str, Any] = {}
    tasks: Annotated[tuple[Apply | Verify | Hook, ...], Field(min_length=1)]

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(task.control for task in self.tasks if isinstance(task, Apply))

    def hooks(self, when: When) -> tuple[Hook, ...]:
        """Those that stand before the first apply, or after the last and the verify."""
        first = next((n for n, task in enumerate(self.tasks) if isinstance(task, Apply)), len(self.tasks))
        chosen = self.tasks[:first] if when is When.BEFORE else self.tasks[first:]
        return tuple(task for task in chosen if isinstance(task, Hook))

    @property
    def observes(self) -> bool:
        return any(task.observe for task in self.tasks if isinstance(task, Apply))

    @property
    def vantages(self) -> tuple[str, ...]:
        return tuple(name for task in self.tasks if isinstance(task, Verify) for name in task.vantages)


class Playbook(Value):
    """``digest``: SHA-256 over the file. ``text``: what it says, a line for each value; not the values of your own
    variables."""

    path: str
    digest: str
    text: str = ""
    plays: Annotated[tuple[Play, ...], Field(min_length=1)]


def waves(hosts: Sequence[str], serial: int | str | Sequence[int | str]) -> list[tuple[str, ...]]:
    """The hosts in waves, by Ansible's rule: the last entry of ``serial`` repeats until no host is left.

    A percentage is of all hosts, rounded down, and at least one. Raises UsageError when there is no host.
    """
    if not hosts:
        raise UsageError("there is no host to make waves of", next="choose other hosts")
    entries = [serial] if isinstance(serial, int | str) else list(serial)
    if not entries or not all(is_serial(entry) for entry in entries):
        raise UsageError(f"{serial!r} is no serial", next=f"give {SERIAL_RULE}")
    sizes = [entry if isinstance(entry, int) else max(1, len(hosts) * int(entry[:-1]) // 100) for entry in entries]
    found: list[tuple[str, ...]] = []
    start = 0
    while start < len(hosts):
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(tuple(hosts[start : start + size]))
        start += size
    return found


def is_serial(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"(100|[1-9][0-9]?)%", value, re.ASCII) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
