"""Nornir tasks: one for what is asked of PACS hosts, one for each thing that is done to a device.

Device tasks are ordinary functions (they run in threads); ``ask`` is a coroutine function (it runs on the runner's
loop). A task that changes a device writes the journal entry itself, in the same thread, before it does so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.plugins.runners import RunnerPlugin
from nornir.core.task import Result, Task

from remediate import platforms, probes
from remediate.errors import CommandRejected, DeviceError, PendingChange
from remediate.model.base import Value
from remediate.model.change import Candidate, Journal, Pending, Token
from remediate.model.observation import Observation, Question
from remediate.model.site import Device, Login, Site
from remediate.model.stream import Dial

CONNECTION = "remediate"


class DeviceConnection:
    """Nornir connection plugin: the one working session with a device; Nornir closes it on every path."""

    def open(
        self,
        hostname: str | None,  # noqa: ARG002 -- Nornir's protocol; the typed login has all of it
        username: str | None,  # noqa: ARG002
        password: str | None,  # noqa: ARG002
        port: int | None,  # noqa: ARG002
        platform: str | None,  # noqa: ARG002
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,  # noqa: ARG002
    ) -> None:
        assert extras is not None
        device: Device = extras["device"]
        login: Login = extras["login"]
        self.connection = platforms.platform(device.platform).connect(device, login)

    def close(self) -> None:
        self.connection.close()


def framework(inventory: Inventory, site: Site, runner: RunnerPlugin) -> Nornir:
    """A Nornir over an inventory of ours, ready for the tasks of this module."""
    if CONNECTION not in ConnectionPluginRegister.available:
        ConnectionPluginRegister.register(CONNECTION, DeviceConnection)
    for name, device in site.devices.items():
        extras = {"device": device, "login": site.logins[name]}
        inventory.hosts[name].connection_options[CONNECTION] = ConnectionOptions(extras=extras)
    return Nornir(inventory=inventory, runner=runner)


class DeviceLook(Value):
    """``lacks``: why nothing may be pushed there; ``running``: the configuration, whole."""

    lacks: tuple[str, ...]
    running: str
    pending: Pending | None


def check_nothing_pending(device: str, pending: Pending | None) -> None:
    """Raises PendingChange: what is provisional may be gone in a moment, and is not ours to confirm or undo."""
    if pending is not None:
        raise PendingChange(
            f"a provisional change {pending.token} is on the device, {pending.seconds_left:.0f} s before it ends",
            where=device,
            next="if it is this program's: remediate resume; otherwise wait for its owner",
        )


def look_at_device(task: Task) -> Result:
    device = _session(task)
    look = DeviceLook(lacks=device.preflight(), running=device.running_config(), pending=device.pending())
    return Result(host=task.host, result=look)


def objections(task: Task, text: str) -> Result:
    return Result(host=task.host, result=_session(task).objections(text))


def load(task: Task, candidates: Mapping[str, Candidate]) -> Result:
    """Stage the candidate and have the device check it and its inverse; nothing is in force afterwards."""
    device = _session(task)
    check_nothing_pending(task.host.name, device.pending())
    device.load_merge_candidate(candidates[task.host.name])
    return Result(host=task.host, diff=device.compare_config().text)


def discard(task: Task) -> Result:
    _session(task).discard_config()
    return Result(host=task.host)


def push(task: Task, tokens: Mapping[str, Token], revert_in: timedelta, journal: DeviceJournal) -> Result:
    """Arm the timer and load the staged candidate. The entry before it is durable before the device is touched."""
    name = task.host.name
    device = _session(task)
    token = tokens[name]
    journal.pushing(name, token)
    try:
        device.commit_config(token=token, revert_in=revert_in, message=token)
    except CommandRejected:
        journal.refused(name, token)
        raise
    state = device.state_of(token)
    if state.name != platforms.ARMED:
        raise DeviceError(f"the push {token} is {state.name}, not armed", where=name)
    journal.pushed(name, token, state.seconds_left)
    return Result(host=task.host, changed=True, result=state)


def read_back(task: Task, tokens: Mapping[str, Token]) -> Result:
    """The running configuration, and what the device knows of the push."""
    device = _session(task)
    return Result(host=task.host, result=(device.running_config(), device.state_of(tokens[task.host.name])))


def confirm(task: Task, tokens: Mapping[str, Token], journal: DeviceJournal) -> Result:
    name = task.host.name
    device = _session(task)
    journal.confirming(name, tokens[name])
    device.confirm_commit(tokens[name])
    journal.confirmed(name, tokens[name])
    return Result(host=task.host, changed=True)


def save(task: Task, tokens: Mapping[str, Token]) -> Result:
    """Persist what was confirmed, then let the device forget the push."""
    device = _session(task)
    how = device.save()
    device.forget(tokens[task.host.name])
    return Result(host=task.host, result=how)


def take_back(task: Task, tokens: Mapping[str, Token]) -> Result:
    """Undo one push, whatever became of it: never made, armed, or taken back already."""
    device = _session(task)
    token = tokens[task.host.name]
    if device.state_of(token).name not in (platforms.ABSENT, platforms.REVERTED):
        device.rollback(token)
    return Result(host=task.host, changed=True, result=device.state_of(token))


def forget(task: Task, tokens: Mapping[str, Token]) -> Result:
    _session(task).forget(tokens[task.host.name])
    return Result(host=task.host)


def log_in_afresh(task: Task, site: Site) -> Result:
    """The working session outlives a rule that locks everybody out; a new login does not."""
    device = site.devices[task.host.name]
    platforms.platform(device.platform).try_login(device, site.logins[device.name])
    return Result(host=task.host)


def close_session(task: Task) -> Result:
    task.host.close_connections()
    return Result(host=task.host)


async def ask(
    task: Task, questions: Mapping[str, Sequence[Question]], dial: Dial, deadline: float, until: float | None = None
) -> Result:
    """The questions for one PACS, all under way at once as far as the dial's gate lets them.

    ``deadline``: seconds, see ``model.stream.Dial``. ``until``: the loop's clock; what has no answer by then is
    left out, and what is left out is judged unknown.
    """
    answers: list[Observation] = []

    async def one(question: Question) -> None:
        answers.append(await probes.observe(dial, question, deadline))

    try:
        async with asyncio.timeout_at(until), asyncio.TaskGroup() as group:
            for question in questions[task.host.name]:
                group.create_task(one(question))
    except TimeoutError:
        pass  # the answers that came in time stand; the others are missing, and the judge says so
    return Result(host=task.host, result=tuple(answers))


class DeviceJournal:
    """What the device tasks write. One entry each, durable before the call returns."""

    def __init__(self, journal: Journal, wave: int) -> None:
        self._journal = journal
        self._wave = wave

    def pushing(self, device: str, token: Token) -> None:
        self._note("pushing", device, token)

    def pushed(self, device: str, token: Token, seconds_left: float) -> None:
        self._note("pushed", device, token, seconds_left=seconds_left)

    def refused(self, device: str, token: Token) -> None:
        self._note("refused", device, token)

    def confirming(self, device: str, token: Token) -> None:
        self._note("confirming", device, token)

    def confirmed(self, device: str, token: Token) -> None:
        self._note("device confirmed", device, token)

    def _note(self, kind: str, device: str, token: Token, **more: Any) -> None:
        self._journal.append(kind, {"wave": self._wave, "device": device, "token": token, **more})


def _session(task: Task) -> platforms.Platform:
    session: platforms.Platform = task.host.get_connection(CONNECTION, task.nornir.config)
    return session
