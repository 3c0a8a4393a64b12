"""Builds the real site, takes it down, and says how it is.

Only one lab stands on a machine at a time, because its names and addresses are fixed. The lock is a ``flock`` whose
file every host's first process keeps open: it is held for exactly as long as any host lives, whoever built it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from remediate.errors import Locked, UsageError
from remediate.lab.real import files, hosts, vpn
from remediate.lab.real.build import Say, build
from remediate.lab.real.hosts import run, until
from remediate.lab.real.layout import PREFIX, Layout
from remediate.lab.real.site import CONTENT, LabSite
from remediate.lab.real.state import State, boot_id

#: A program that each Debian package brings.
_PACKAGES: Final = {
    "iproute2": "ip",
    "util-linux": "nsenter",
    "nftables": "nft",
    "iptables": "iptables-nft-restore",
    "conntrack": "conntrack",
    "openssh-server": "sshd",
    "openssh-client": "ssh-keygen",
    "dcmtk": "storescp",
    "orthanc": "Orthanc",
}
_CAP_NET_ADMIN: Final = 12
_CAP_SYS_ADMIN: Final = 21
#: Directories that every host sees differently: a folder below them would not be there.
_HIDDEN: Final = ("/etc", "/var", "/run", "/proc", "/sys")


def missing(layout: Layout | None = None) -> list[str]:
    """What the lab of that layout needs and is not here; each line says how to get it. Empty: it can run."""
    if platform.system() != "Linux":
        return [f"the lab needs Linux, this is {platform.system()}: use `remediate demo`, or a virtual machine"]
    lines = []
    if os.geteuid():
        lines.append("the lab needs root: run it with sudo")
    elif absent := _absent_capabilities():
        lines.append(
            f"the lab needs {' and '.join(absent)}: run it on the machine itself, or in a privileged container"
        )
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    needed = _PACKAGES | (vpn.PACKAGES if layout and layout.vpn else {})
    packages = [package for package, program in needed.items() if shutil.which(program, path=path) is None]
    if not files.DICOMWEB_PLUGIN.exists():
        packages.append("orthanc-dicomweb")
    lines += [f"Debian package {name}: apt-get install --no-install-recommends {name}" for name in packages]
    return lines + (vpn.missing(layout) if layout else [])


def _absent_capabilities() -> list[str]:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    wanted = {"CAP_NET_ADMIN": _CAP_NET_ADMIN, "CAP_SYS_ADMIN": _CAP_SYS_ADMIN}
    return [name for name, bit in wanted.items() if not held >> bit & 1]


# -- the lock -------------------------------------------------------------------------------------------


def _lock_path() -> Path:
    run_dir = Path("/run")
    return (run_dir if run_dir.is_dir() else Path(tempfile.gettempdir())) / "remediate-lab.lock"


def _holder() -> dict[str, Any] | None:
    """What the last lab wrote into the lock file when it took it; it may be long gone."""
    try:
        body = json.loads(_lock_path().read_text() or "null")
    except (FileNotFoundError, ValueError):
        return None
    return body if isinstance(body, dict) else None


@contextlib.contextmanager
def _lock() -> Iterator[int]:
    """The lock's file descriptor, for the hosts to inherit. Raises: Locked, with who and since."""
    handle = os.open(_lock_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder() or {}
            raise Locked(
                f"a lab stands here already, since {holder.get('since', 'an unknown time')}, "
                f"built by process {holder.get('pid', 'unknown')}",
                where=str(holder.get("folder", _lock_path())),
                next="use it, or take it down: remediate lab down",
            ) from error
        yield handle
    finally:
        os.close(handle)  # not LOCK_UN, which would take the lock from the hosts as well


def _write_holder(handle: int, body: dict[str, Any] | None) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(body).encode() if body else b"", 0)
    os.fsync(handle)


# -- up -------------------------------------------------------------------------------------------------


def up(folder: Path, *, say: Say, layout: Layout | None = None) -> LabSite:
    """Builds the site in ``folder`` and returns when all of it answers; on failure nothing of it is left.

    Raises: Locked while a lab stands; UsageError where it cannot stand; LabError or DeadlineExceeded when a part
    did not come up.
    """
    layout = layout or Layout()
    if absent := missing(layout):
        raise UsageError("the lab cannot run here:\n  - " + "\n  - ".join(absent))
    folder = folder.resolve()
    if any(folder.is_relative_to(hidden) for hidden in _HIDDEN):
        raise UsageError("every host of the lab has its own " + ", ".join(_HIDDEN), where=str(folder), next="elsewhere")
    with _lock() as lock:
        _clear_leftovers(folder, lock, say)
        taken = [name for name in CONTENT if (folder / name).exists()]
        if taken:
            raise UsageError(f"there is {', '.join(taken)} already", where=str(folder), next="give an empty folder")
        if foreign := sorted(hosts.namespaces(PREFIX) & {layout.namespace(role) for role in layout.roles}):
            raise UsageError(f"network namespaces of these names exist: {', '.join(foreign)}", next="ip netns del NAME")
        since = datetime.now(UTC)
        me = os.getpid()
        _write_holder(lock, {"folder": str(folder), "pid": me, "since": since.isoformat(timespec="seconds")})
        state = State(layout, since, boot_id(), (me, hosts.start_time(me) or 0), made_folder=not folder.exists())
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            state.save(folder)
            site = build(folder, state, lock, say)
            state.ready = True
            state.save(folder)
        except BaseException:  # Ctrl-C too: nothing half-built stays
            say("the lab did not come up; clearing up")
            _tear_down(folder, state)
            _write_holder(lock, None)
            raise
    say(f"the lab stands: {folder}")
    return site


def _clear_leftovers(folder: Path, lock: int, say: Say) -> None:
    """With the lock in hand no lab is alive: what is recorded in its file or in ``folder`` is what a crash left."""
    holder = _holder()
    recorded = [Path(holder["folder"])] if holder else []
    for place in dict.fromkeys([*recorded, folder]):
        if (state := State.load(place)) is not None:
            say(f"clearing what an earlier lab left in {place}")
            _tear_down(place, state)
    _write_holder(lock, None)


# -- down and status ------------------------------------------------------------------------------------


def down(folder: Path | None, *, say: Say) -> None:
    """Takes the lab in ``folder`` down, or without one the lab that stands; nothing where there is none.

    It ends the processes in the lab's own namespaces and those recorded, and removes what ``up`` made. Files of
    somebody else in the folder stay. Raises: Locked while another process is still building it.
    """
    holder = _holder()
    place = folder.resolve() if folder is not None else Path(holder["folder"]) if holder else None
    state = State.load(place) if place is not None else None
    if place is None or state is None:
        say("no lab to take down")
        return
    builder, began = state.builder
    if not state.ready and builder != os.getpid() and state.boot == boot_id() and hosts.start_time(builder) == began:
        raise Locked(f"process {builder} is building this lab", where=str(place), next="wait for it, or stop it")
    say(f"taking down the lab in {place}")
    if holder is None or Path(holder["folder"]) != place:
        _tear_down(place, state, namespaces=False)
    else:
        for pid, started in state.first_processes():
            hosts.kill(pid, started)
        until(lambda: _finish(place, state, holder), what="the end of the lab's last process")
    say("the lab is down")


def _finish(place: Path, state: State, holder: dict[str, Any]) -> bool:
    """Whether the lab is down. With the lock in hand, so that no other lab rises under these names meanwhile."""
    try:
        with _lock() as handle:
            if _holder() == holder:
                _tear_down(place, state)
                _write_holder(handle, None)
    except Locked:
        return _holder() != holder  # the next lab has it, and cleared up first; or a process of ours is still ending
    return True


def _tear_down(folder: Path, state: State, *, namespaces: bool = True) -> None:
    """``namespaces``: whether those that stand are this lab's; their names are the same for every lab."""
    names = (
        [state.layout.namespace(role) for role in state.layout.roles] if namespaces and state.boot == boot_id() else []
    )

    def ended() -> bool:
        left = state.first_processes()
        left += [one for name in names for one in hosts.members(name)]
        for pid, started in left:
            hosts.kill(pid, started)
        return not left

    until(ended, what="the end of the lab's processes")
    if names:
        present = {name for _, name in socket.if_nameindex()}
        for link in (state.layout.management_link(role).name for role in state.layout.managed):
            if link in present:
                run(["ip", "link", "delete", link])
        for name in names:
            if (hosts.NETNS / name).exists():
                run(["ip", "netns", "delete", name])
    for name in CONTENT:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    state.remove(folder)
    if state.made_folder:
        with contextlib.suppress(OSError):  # not empty: what else is in it is somebody's
            folder.rmdir()


@dataclass(frozen=True)
class Part:
    name: str
    runs: bool


@dataclass(frozen=True)
class LabStatus:
    """``up_for`` is None where no lab stands. ``parts``: hosts and services; all of them run in a sound lab."""

    folder: Path | None
    up_for: timedelta | None
    parts: tuple[Part, ...] = ()

    @property
    def sound(self) -> bool:
        return bool(self.parts) and all(part.runs for part in self.parts)


def status(folder: Path | None = None) -> LabStatus:
    """How the lab in ``folder`` is, or without one the lab that stands. Nothing is sent to the archive's DICOM port."""
    holder = _holder()
    place = folder.resolve() if folder is not None else Path(holder["folder"]) if holder else None
    state = State.load(place) if place is not None else None
    if place is None or state is None:
        return LabStatus(place, None)
    site = LabSite(place, state.layout, {role: pid for role, (pid, _) in state.processes.items()})
    parts = [Part(f"host {role}", state.alive(role)) for role in state.layout.roles]
    parts += [
        Part(name, state.alive(role) and site.listening(role, port)) for name, (role, port) in site.services().items()
    ]
    if state.layout.vpn:
        parts += [Part(name, runs) for name, runs in vpn.parts(site)]
    return LabStatus(place, datetime.now(UTC) - state.since, tuple(parts))
