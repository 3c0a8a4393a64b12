"""Two routers under one address, which moves from one to the other while a change is made."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

from remediate import inventory, platforms
from remediate.change import devices, looking
from remediate.errors import AnotherUnit, InventoryError
from remediate.lab.embedded import site as embedded
from remediate.model.change import State
from remediate.platforms import unit
from tests.faults.places import ROUTER, Seen, look
from tests.faults.sites import Site, standing_site

pytestmark = pytest.mark.timeout(200)

Address = tuple[str, int]
OTHER = "edge-b"


class Floating:
    """An address whose new connections go to one of two; those that are open live on unless they are cut."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((to[0], 0))
        self.address: Address = self._listener.getsockname()
        self._start(self._accept)

    def cut(self) -> None:
        for end in self._open:
            with suppress(OSError):  # it has ended by itself
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # this wakes the accept
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(near)
            far = socket.create_connection(self.to)
            self._open.append(far)
            self._start(_pump, near, far)
            self._start(_pump, far, near)

    def _start(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # cut
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Pair:
    """``site``: its inventory knows the floating address only. ``units``: where each of the two answers itself."""

    def __init__(self, site: Site, floating: Floating, units: tuple[Address, Address]) -> None:
        self.site = site
        self.floating = floating
        self.units = units

    def move(self, number: int, *, cut: bool) -> None:
        self.floating.to = self.units[number]
        if cut:
            self.floating.cut()

    def look(self, number: int) -> Seen:
        """At a unit itself, whichever the floating address is with."""
        there, self.floating.to = self.floating.to, self.units[number]
        try:
            return look(self.site.made)
        finally:
            self.floating.to = there


@contextmanager
def standing_pair(folder: Path, *, one_key: bool = False) -> Iterator[Pair]:
    """``one_key``: both have the same host key, so that SSH cannot tell them apart."""
    with standing_site(folder) as site:
        made, keys = site.made, site.made.folder / "keys"
        i = made.layout
        ours, theirs = (i.router_management, i.ssh_port), (i.at(99, 3), i.ssh_port)
        startup = (made.folder / "startup-config").read_text().replace(f"hostname {ROUTER}", f"hostname {OTHER}")
        (folder / "startup-config").write_text(startup)
        other = folder / "host"
        if one_key:
            other.write_bytes((keys / "host").read_bytes())
        else:
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(other)
            key.write_public_key(f"{other}.pub")
        other.chmod(0o600)
        router = ["--config", str(folder / "startup-config"), "--ssh", f"{theirs[0]}:{theirs[1]}"]
        router += ["--host-key", str(other), "--authorized-keys", f"admin={keys / 'id.pub'}", "--until-stdin-closes"]
        router += ["--serial", "FTX00000002"]
        with embedded._running("the other router", "remediate.lab.devices.cisco_ios", *router) as answers:
            answers()
            floating = Floating(ours)
            try:
                _know(site, floating.address, keys / "host.pub", None if one_key else Path(f"{other}.pub"))
                yield Pair(site, floating, (ours, theirs))
            finally:
                floating.close()


def _know(site: Site, address: Address, *keys: Path | None) -> None:
    file = site.made.inventory / "hosts.yaml"
    hosts = yaml.safe_load(file.read_text())
    hosts[ROUTER] |= {"hostname": address[0], "port": address[1]}
    hosts[ROUTER]["data"]["ha"] = [ROUTER, OTHER]
    file.write_text(yaml.safe_dump(hosts, sort_keys=False))
    known = site.made.folder / "keys" / "known_hosts"
    known.write_text("".join(f"[{address[0]}]:{address[1]} {key.read_text()}" for key in keys if key is not None))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


def test_a_pair_fails_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first unit is out of reach, the second one knows of nothing; the address comes back later."""
    undo = devices.Devices.undo

    def hasty(self: devices.Devices, name: str) -> None:
        """What is waited for is the timer of a unit that is out of reach; here nobody is."""
        with monkeypatch.context() as patch:
            patch.setattr(devices.Devices, "_left_since", lambda *_: 0.0)
            patch.setattr(devices, "TIMER_SLACK", 1.0)
            undo(self, name)

    monkeypatch.setattr(devices.Devices, "undo", hasty)
    with standing_pair(tmp_path) as pair:
        other = pair.look(1)
        done = pair.site.run({"confirm": lambda _: pair.move(1, cut=True)})
        assert (done.exit_status, done.waves[0].state) == (5, State.NEEDS_HANDS), done.reason
        assert f"another unit answers: {OTHER} (serial number FTX00000002, host key SHA256:" in done.reason
        assert f"the change was begun on {ROUTER} (serial number FTX00000000, host key SHA256:" in done.reason
        assert f"log in to {ROUTER} under an address of its own" in done.reason
        kinds = pair.site.kinds()
        assert kinds.count("pushing") == 1 and "device confirmed" not in kinds
        assert pair.look(1) == other, "nothing was done on the one that took over"
        assert pair.look(0).pending, "its own timer goes on"
        assert pair.site.resume().exit_status == 5, "still the other one"
        assert pair.look(1) == other
        pair.move(0, cut=True)
        assert pair.site.resume().exit_status == 4
        pair.site.check_as_before()


def test_a_pair_with_one_host_key_fails_over(tmp_path: Path) -> None:
    """The session that pushed lives on, so it is taken back at once; only the serial number tells."""
    with standing_pair(tmp_path, one_key=True) as pair:
        other = pair.look(1)
        done = pair.site.run({"verify": lambda _: pair.move(1, cut=False)})
        assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
        assert f"another unit answers: {OTHER} (serial number FTX00000002" in done.reason
        assert pair.look(1) == other
        pair.move(0, cut=True)
        pair.site.check_as_before()


def test_who_may_answer(tmp_path: Path) -> None:
    """Either unit, by either key, before a change is begun; then only that one. What is no unit of it, never."""
    with standing_pair(tmp_path) as pair:
        _, plan = pair.site.plan()
        assert "only the unit that answers is changed" in " ".join(plan.warnings)
        pair.move(1, cut=True)
        site = inventory.load(pair.site.made.inventory).site
        device, login = site.devices[ROUTER], site.logins[ROUTER]
        spec = platforms.platform(device.platform)
        now = spec.try_login(device, login)
        assert (now.name, now.serial) == (OTHER, "FTX00000002")
        pair.move(0, cut=True)
        with pytest.raises(AnotherUnit, match=f"another unit answers: {ROUTER}"):
            unit.check(ROUTER, now, spec.try_login(device, login))
        renamed = device.model_copy(update={"ha": ("edge-c", OTHER)})
        assert unit.stranger(renamed, spec.try_login(renamed, login)) == (
            f"the unit that answers calls itself '{ROUTER}', and ha has edge-c, {OTHER}",
        )
        file = pair.site.made.inventory / "hosts.yaml"
        file.write_text(file.read_text().replace(f"- {OTHER}\n", ""))
        with pytest.raises(InventoryError, match="the host names of a pair's units"):
            inventory.load(pair.site.made.inventory)
