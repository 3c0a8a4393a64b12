"""Nornir tasks: one for what is asked of PACS hosts, one for each thing that is done to a device.

``verify_exposure`` is for other people's scripts; the others are the stages of a change.

Device tasks are ordinary functions (they run in threads); ``ask`` is a coroutine function (it runs on the runner's
loop). A task that changes a device writes the journal entry itself, in the same thread, before it does so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.plugins.runners import RunnerPlugin
from nornir.core.task import Result, Task

from remediate import platforms
from remediate.errors import (
    CommandRejected,
    DeviceError,
    NotKnown,
    PendingChange,
    VantageError,
)
from remediate.model.base import Value
from remediate.model.change import Candidate, Journal, Pending, Token, Unit
from remediate.model.device import LOCAL, Device, Login
from remediate.model.site import IPAddress, Site
from remediate.platforms import unit
from remediate.tasks.asking import answers, ask
from remediate.tasks.exposure import verify_exposure

__all__ = [
    "CONNECTION",
    "DeviceConnection",
    "DeviceJournal",
    "DeviceLook",
    "answers",
    "ask",
    "check_nothing_pending",
    "close_session",
    "compare",
    "confirm",
    "discard",
    "evidence",
    "forget",
    "framework",
    "live_peers",
    "load",
    "log_in_afresh",
    "look_at_device",
    "objections",
    "push",
    "read_back",
    "read_boot",
    "save",
    "take_back",
    "verify_exposure",
]

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
        units: Mapping[str, Unit] = extras["units"]
        self.connection = platforms.platform(device.platform).connect(device, login)
        try:
            if device.name in units:
                unit.check(device.name, units[device.name], self.connection.unit())
        except BaseException:  # Ctrl-C too: no session is left open
            self.connection.close()
            raise

    def close(self) -> None:
        self.connection.close()


def framework(
    inventory: Inventory, site: Site, runner: RunnerPlugin, units: Mapping[str, Unit] | None = None
) -> Nornir:
    """A Nornir over an inventory of ours, ready for the tasks of this module.

    ``units``: who must answer, by device, as it is at each login; where another unit does, no task runs there, and
    AnotherUnit is raised.
    """
    if CONNECTION not in ConnectionPluginRegister.available:
        ConnectionPluginRegister.register(CONNECTION, DeviceConnection)
    for name, device in site.devices.items():
        extras = {"device": device, "login": site.logins[name], "units": {} if units is None else units}
        inventory.hosts[name].connection_options[CONNECTION] = ConnectionOptions(extras=extras)
    return Nornir(inventory=inventory, runner=runner)


class DeviceLook(Value):
    """``lacks``: why nothing may be pushed there; ``running``: the configuration, whole, "" where it is not shown, and
    that is lacking; ``unit``: who answered; ``pace``: how fast.
    """

    lacks: tuple[str, ...]
    running: str
    pending: Pending | None
    unit: Unit
    pace: platforms.Pace = platforms.Pace()

    def check(self, device: str) -> None:
        """Raises DeviceError with what the device lacks for a safe change."""
        if self.lacks:
            raise DeviceError(
                "cannot take a safe change:" + "".join(f"\n  - {lack}" for lack in self.lacks), where=device
            )


def check_nothing_pending(device: str, pending: Pending | None) -> None:
    """Raises PendingChange: what is provisional may be gone in a moment, and is not ours to confirm or undo."""
    if pending is not None:
        raise PendingChange(
            f"a provisional change {pending.token}{f' of {pending.owner}' if pending.owner else ''} is on the device, "
            f"{pending.seconds_left:.0f} s before it ends",
            where=device,
            next="if it is this program's: remediate resume; otherwise wait for its owner",
        )


def look_at_device(
    task: Task,
    check: Callable[[str, DeviceLook], object] = lambda _name, _look: None,
    controls: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Result:
    """``check``: what to raise for it; here it is done while other devices are waited for.

    ``controls``: by device, those that are to be applied there.
    """
    device = _session(task)
    now = device.unit()
    lacks = (*device.preflight(controls.get(task.host.name, ())), *unit.stranger(_device(task), now))
    try:
        running, pending = device.running_config(), device.pending()
    except CommandRejected:
        if not lacks:
            raise
        running, pending = "", None  # it is among what is lacking
    look = DeviceLook(lacks=lacks, running=running, pending=pending, unit=now, pace=device.pace())
    check(task.host.name, look)
    return Result(host=task.host, result=look)


def compare(task: Task, check: Callable[[str, str], object]) -> Result:
    """``check``: raises for a running configuration that is not what it has to be."""
    check(task.host.name, _session(task).running_config())
    return Result(host=task.host)


def live_peers(task: Task, wanted: Mapping[str, tuple[Collection[IPAddress], Collection[int]]]) -> Result:
    """Who is connected now to the addresses and ports that are given for that device. Only looked at."""
    return Result(host=task.host, result=_session(task).live_peers(*wanted[task.host.name]))


def evidence(task: Task, wanted: Mapping[str, tuple[Collection[IPAddress], Collection[int]]]) -> Result:
    """Who came to the addresses and ports that are given for that device. Only looked at."""
    return Result(host=task.host, result=_session(task).evidence(*wanted[task.host.name]))


def objections(task: Task, text: str) -> Result:
    return Result(host=task.host, result=_session(task).objections(text))


def load(
    task: Task,
    candidates: Mapping[str, Candidate],
    tokens: Mapping[str, Token],
    check: Callable[[str, str], object],
) -> Result:
    """Stage the candidate under the token of the push that is to load it, and have the device check it and its inverse;
    nothing is in force afterwards.

    ``check``: see ``compare``; after the staging, so that it is as late as may be.
    """
    device = _session(task)
    check_nothing_pending(task.host.name, device.pending())
    device.load_merge_candidate(candidates[task.host.name], tokens[task.host.name])
    check(task.host.name, device.running_config())
    return Result(host=task.host, diff=device.compare_config().text)


def discard(task: Task) -> Result:
    _session(task).discard_config()
    return Result(host=task.host)


def push(
    task: Task,
    tokens: Mapping[str, Token],
    revert_in: timedelta,
    journal: DeviceJournal,
    check: Callable[[str, str], object],
) -> Result:
    """Arm the timer and load the staged candidate. The entry before it is durable before the device is touched.

    ``check``: raises for a running configuration that is not what it has to be now.
    """
    name = task.host.name
    device = _session(task)
    token = tokens[name]
    journal.pushing(name, token)
    try:
        device.commit_config(token=token, revert_in=revert_in, message=token)
    except (CommandRejected, PendingChange):
        journal.refused(name, token)
        raise
    state = device.state_of(token)
    if state.name != platforms.ARMED:
        raise DeviceError(f"the push {token} is {state.name}, not armed", where=name)
    journal.pushed(name, token, state)
    check(name, device.running_config())
    return Result(host=task.host, changed=True, result=state)


def read_back(
    task: Task,
    tokens: Mapping[str, Token],
    check: Callable[[str, str, platforms.PushState], object] = lambda _name, _running, _state: None,
) -> Result:
    """The running configuration, and what the device knows of the push. ``check``: see ``look_at_device``."""
    device = _session(task)
    running, state = device.running_config(), device.state_of(tokens[task.host.name])
    check(task.host.name, running, state)
    return Result(host=task.host, result=(running, state))


def confirm(task: Task, tokens: Mapping[str, Token], journal: DeviceJournal) -> Result:
    name = task.host.name
    device = _session(task)
    journal.confirming(name, tokens[name])
    device.confirm_commit(tokens[name])
    journal.confirmed(name, tokens[name])
    return Result(host=task.host, changed=True)


def save(task: Task, tokens: Mapping[str, Token], check: Callable[[str, str, str], object]) -> Result:
    """Persist what was confirmed, read it back, then let the device forget the push.

    ``check``: raises for a configuration at the next start (its second argument) or a running one (the third) that is
    not what it has to be. Both are read after the save: nothing that came before it counts.
    """
    device = _session(task)
    how = device.save(tokens[task.host.name])
    check(task.host.name, device.boot_config(), device.running_config())
    device.forget(tokens[task.host.name])
    return Result(host=task.host, result=how)


def read_boot(task: Task, check: Callable[[str, str, str], object]) -> Result:
    """``check``: see ``save``; nothing is written."""
    device = _session(task)
    check(task.host.name, device.boot_config(), device.running_config())
    return Result(host=task.host)


def take_back(task: Task, tokens: Mapping[str, Token], candidates: Mapping[str, Candidate]) -> Result:
    """Undo one push, whatever became of it: never made, armed, confirmed, or taken back already."""
    device = _session(task)
    token = tokens[task.host.name]
    if device.state_of(token).name not in (platforms.ABSENT, platforms.REVERTED):
        device.rollback(token, candidates[task.host.name])
    return Result(host=task.host, changed=True, result=device.state_of(token))


def forget(task: Task, tokens: Mapping[str, Token]) -> Result:
    _session(task).forget(tokens[task.host.name])
    return Result(host=task.host)


def log_in_afresh(task: Task, site: Site, units: Mapping[str, Unit]) -> Result:
    """The working session outlives a rule that locks everybody out; a new login, from each place, does not.

    Raises NotKnown for a place that cannot be used now, AnotherUnit where not the one of ``units`` answers.
    """
    device = site.devices[task.host.name]
    expected = units.get(device.name)
    for name in device.management:
        if name == LOCAL:
            now = platforms.platform(device.platform).try_login(device, site.logins[device.name])
            unit.check(device.name, expected, now)
            continue
        from remediate.vantages import login  # it brings asyncssh, which a change without such a place has no use for

        try:
            login.try_login(site.vantages[name], device.name, site.logins[device.name], expected)
        except VantageError as error:
            raise NotKnown(
                f"whether {device.name} lets anybody in from {name} is not known: {error.what}",
                where=error.where,
                next=error.next,
            ) from error
    return Result(host=task.host)


def close_session(task: Task) -> Result:
    task.host.close_connections()
    return Result(host=task.host)


class DeviceJournal:
    """What the device tasks write. One entry each, durable before the call returns.

    ``told``: called with the kind of each entry and its device, from the thread that works there.
    """

    def __init__(self, journal: Journal, wave: int, told: Callable[[str, str], object] = lambda _kind, _device: None):
        self._journal = journal
        self._wave = wave
        self._told = told

    def pushing(self, device: str, token: Token) -> None:
        self._note("pushing", device, token)

    def pushed(self, device: str, token: Token, state: platforms.PushState) -> None:
        """``down``: seconds for which the device said that loading it kept a service from answering."""
        down = {} if state.down is None else {"down": state.down}
        self._note("pushed", device, token, seconds_left=state.seconds_left, **down)

    def refused(self, device: str, token: Token) -> None:
        self._note("refused", device, token)

    def confirming(self, device: str, token: Token) -> None:
        self._note("confirming", device, token)

    def confirmed(self, device: str, token: Token) -> None:
        self._note("device confirmed", device, token)

    def _note(self, kind: str, device: str, token: Token, **more: Any) -> None:
        self._journal.append(kind, {"wave": self._wave, "device": device, "token": token, **more})
        self._told(kind, device)


def _device(task: Task) -> Device:
    device: Device = (task.host.connection_options[CONNECTION].extras or {})["device"]
    return device


def _session(task: Task) -> platforms.Platform:
    session: platforms.Platform = task.host.get_connection(CONNECTION, task.nornir.config)
    return session
