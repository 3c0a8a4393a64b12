"""Two simulated routers on loopback, each a process with a command line over SSH, and three archives behind them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from tests.histories import ios
from tests.histories.sites import AE_TITLE, BEHIND, Archive, Peers, Seen, write_inventories
from tests.histories.wire import Way

#: Seconds that a minute of the routers' revert timers takes.
MINUTE = 18.0
#: Where a remark without a number goes, on releases that give it none: nobody's documents say, so each router has one
#: of the two readings.
_REMARKS = {"d1": "next-entry", "d2": "end"}
_OUTSIDE = "GigabitEthernet0/0"


@dataclass
class Edits:
    """Lines that a colleague typed on one router. ``perhaps``: typed while a revert timer ran, which takes back the
    whole configuration, theirs too; the plan says so."""

    running: list[str] = field(default_factory=list)
    boot: list[str] = field(default_factory=list)
    perhaps: set[str] = field(default_factory=set)


class Routers:
    platform = "router"

    def __init__(self, folder: Path, net: int, stack: ExitStack) -> None:
        self._folder = folder
        self._net = net
        self._ports = 20000 + net * 40
        self.archives: Mapping[str, Archive] = {name: self._archive(number, name) for number, name in enumerate(BEHIND)}
        self._edits: dict[str, Edits] = {}
        self._counter = 0
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._terminals: dict[str, ios.Terminal] = {}
        self._base: dict[str, list[str]] = {}
        stack.callback(self._stop)
        self._keys()
        listen = {
            name: (self._behind(number), archive.inside.port)
            for number, (name, archive) in enumerate(self.archives.items())
        }
        self._canaries = {device: (self._at(200 + n, 1), self._ports + 1) for n, device in ((1, "d1"), (2, "d2"))}
        listen |= {f"canary-{device}": address for device, address in self._canaries.items()}
        self._peers = Peers(listen)
        stack.callback(self._peers.close)
        devices = {
            device: {
                "hostname": self._management(device),
                "port": self._ports + 2,
                "username": "admin",
                "platform": "cisco_ios",
                "groups": ["firewalls"],
                "data": {"guard": {"interface": _OUTSIDE}},
            }
            for device in ("d1", "d2")
        }
        ssh = {"key": str(folder / "keys" / "id"), "known_hosts": str(folder / "keys" / "known_hosts")}
        self.inventories = write_inventories(folder, self.archives, devices, ssh, self._canaries, "1m")

    # -- addresses ------------------------------------------------------------------------------------

    def _at(self, segment: int, host: int) -> str:
        return f"127.{self._net}.{segment}.{host}"

    def _archive(self, number: int, name: str) -> Archive:
        router = int(BEHIND[name][1])
        port = self._ports
        return Archive(
            name,
            Way(self._at(203, 10), self._at(200 + router, 20 + number), port, AE_TITLE),
            Way(self._at(20, 10), self._at(10 + router, 5 + number), port, AE_TITLE),
        )

    def _behind(self, number: int) -> str:
        return self._at(110, 5 + number)

    def _management(self, device: str) -> str:
        return self._at(99, int(device[1]))

    # -- the routers ----------------------------------------------------------------------------------

    def _keys(self) -> None:
        keys = self._folder / "keys"
        keys.mkdir(parents=True)
        known = []
        for name in ("host-d1", "host-d2", "id"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(keys / name)
            (keys / name).chmod(0o600)
            key.write_public_key(keys / f"{name}.pub")
            if name != "id":
                public = (keys / f"{name}.pub").read_text().split()
                host = self._management(name.removeprefix("host-"))
                known.append(f"[{host}]:{self._ports + 2} {public[0]} {public[1]}\n")
        (keys / "known_hosts").write_text("".join(known))

    def _startup(self, device: str) -> str:
        router = int(device[1])
        behind = [archive for archive in self.archives.values() if archive.device == device]
        nat = [
            f"ip nat inside source static tcp {a.inside.address} {a.inside.port} "
            f"{a.outside.address} {a.outside.port} extendable"
            for a in behind
        ]
        published = [f" permit tcp any host {a.outside.address} eq {a.outside.port}" for a in behind]
        return "\n".join(
            [
                "!",
                "version 15.7",
                f"hostname edge-router-{router}",
                "no ip domain lookup",
                "archive",
                " path flash:archive",
                "username admin privilege 15 secret 0 not-used",
                "username judge privilege 15 secret 0 not-used",
                f"interface {_OUTSIDE}",
                " description outside",
                f" ip address {self._at(200 + router, 1)} 255.255.255.0",
                " ip access-group OUTSIDE-IN in",
                " no ip unreachables",
                " ip nat outside",
                "interface GigabitEthernet0/1",
                " description clinic",
                f" ip address {self._at(20, router)} 255.255.255.0",
                " ip nat inside",
                "interface GigabitEthernet0/2",
                " description archive",
                f" ip address {self._at(10 + router, 1)} 255.255.255.0",
                " ip nat inside",
                *nat,
                "ip access-list extended OUTSIDE-IN",
                " remark the radiologists need this from home, ticket 4711",
                *published,
                " permit icmp any any",
                " deny   ip any any",
                "line vty 0 15",
                " login local",
                " transport input ssh",
                "end",
                "",
            ]
        )

    def fresh(self) -> None:
        self._stop()
        keys = self._folder / "keys"
        for device in ("d1", "d2"):
            (self._folder / f"startup-{device}").write_text(self._startup(device))
            relays = []
            for number, archive in enumerate(self.archives.values()):
                if archive.device != device:
                    continue
                port = archive.inside.port
                target = f"{self._behind(number)}:{port}={archive.inside.address}:{port}"
                for name, interface, way in (
                    ("outside", _OUTSIDE, archive.outside),
                    ("inside", "GigabitEthernet0/1", archive.inside),
                ):
                    relays += ["--relay", f"{name}-{archive.name}:{interface}:{way.address}:{port}->{target}"]
            argv = [sys.executable, "-m", "remediate.lab.devices.cisco_ios"]
            argv += ["--config", str(self._folder / f"startup-{device}"), "--minute", str(MINUTE)]
            argv += ["--remarks", _REMARKS[device]]
            argv += ["--ssh", f"{self._management(device)}:{self._ports + 2}", "--serial", f"FTX0000000{device[1]}"]
            argv += ["--host-key", str(keys / f"host-{device}"), "--until-stdin-closes"]
            argv += [
                f"--authorized-keys=admin={keys / 'id.pub'}",
                f"--authorized-keys=judge={keys / 'id.pub'}",
                *relays,
            ]
            self._processes[device] = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._peers.all_there()
        for device, process in self._processes.items():
            assert process.stdout is not None
            if not json.loads(process.stdout.readline() or "{}").get("ready"):
                raise RuntimeError(f"the router {device} did not start")
            self._terminals[device] = ios.Terminal(self._management(device), self._ports + 2, keys / "id")
            self._edits[device] = Edits()
            self._base[device] = ios.lines(self._terminals[device].show("show running-config")[0])

    def _stop(self) -> None:
        for terminal in self._terminals.values():
            terminal.close()
        self._terminals.clear()
        for process in self._processes.values():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        self._processes.clear()

    # -- what happens there ---------------------------------------------------------------------------

    def edit(self, device: str, *, saved: bool) -> None:
        self._counter += 1
        edits = self._edits[device]
        terminal = self._terminals[device]
        if self._counter % 2:
            typed = ["ip access-list extended OUTSIDE-IN", f"permit udp any host 192.0.2.{self._counter % 250} eq 5300"]
        else:
            typed = [f"ip route 10.77.{self._counter % 250}.0 255.255.255.0 {self._at(20, 254)}"]
        if self.armed().get(device):
            edits.perhaps.add(typed[-1])
        terminal.type("configure terminal", *typed, "end", *(["write memory"] if saved else []))
        edits.running.append(typed[-1])
        if saved:
            edits.boot = list(edits.running)

    def resequence(self, device: str) -> None:
        self._terminals[device].type("configure terminal", "ip access-list resequence OUTSIDE-IN 10 10", "end")

    def plant(self, device: str, what: str) -> None:
        first, *_, last = [archive.outside for archive in self.archives.values() if archive.device == device]
        deny, stray = (f"deny tcp any host {way.address} eq {way.port}" for way in (first, last))
        edit = ["configure terminal", "ip access-list extended OUTSIDE-IN"]
        self._terminals[device].type(
            *{
                "guard": [*edit, f"no {deny}", "end", "write memory"],
                "boot": [*edit, f"no {deny}", "end", "write memory", *edit, f"3 {deny}", "end"],
                "foreign": [*edit, "no permit icmp any any", "end", "write memory"],
                "stray": [*edit, f"5 {stray}", "end", "write memory"],
                "timer": ["configure terminal revert timer 100", "end"],
            }[what]
        )

    def nibble(self, device: str) -> str:
        """By the number that is shown for it, and saved. Nothing of anybody else's has that form."""
        terminal = self._terminals[device]
        (shown,) = terminal.show("show ip access-lists OUTSIDE-IN")
        found = re.search(r"^ *(\d+) permit tcp host \S+ host \S+ eq \d+", shown, re.MULTILINE)
        if found is None:
            return "none of ours"
        terminal.type(
            "configure terminal", "ip access-list extended OUTSIDE-IN", f"no {found[1]}", "end", "write memory"
        )
        return found[0].strip()

    def restart(self, device: str) -> None:
        terminal = self._terminals[device]
        running, startup = terminal.show("show running-config", "show startup-config")
        differs = ios.lines(running) != ios.lines(startup)
        terminal.reload(differs=differs)
        edits = self._edits[device]
        edits.running = list(edits.boot)

    def care(self, archive: str, *, there: bool) -> None:
        self._peers.there(archive, there)

    def canaries(self, *, there: bool) -> None:
        for device in self._canaries:
            self._peers.there(f"canary-{device}", there)

    # -- what is there --------------------------------------------------------------------------------

    def armed(self) -> dict[str, str]:
        found = {}
        for device, terminal in self._terminals.items():
            (said,) = terminal.show("show archive config rollback timer")
            if "Timer value" in said:
                found[device] = " ".join(said.split())
        return found

    def save(self) -> None:
        """A revert may have taken back what a colleague had saved while a push was provisional: they look, too."""
        for device, edits in self._edits.items():
            if edits.running != edits.boot or edits.perhaps:
                self._terminals[device].type("write memory")
                edits.boot = list(edits.running)

    def unsaved(self) -> bool:
        return any(edits.running != edits.boot for edits in self._edits.values())

    def look(self, clean: frozenset[str]) -> Seen:
        seen = Seen(armed=self.armed())
        for device, terminal in self._terminals.items():
            running, startup = map(ios.lines, terminal.show("show running-config", "show startup-config"))
            for archive in self.archives.values():
                if archive.device == device:
                    way = archive.outside
                    for config, into in ((running, seen.in_force), (startup, seen.at_boot)):
                        into[archive.name] = not ios.permits(config, _OUTSIDE, way.source, way.address, way.port)
            edits = self._edits[device]
            for what, config, theirs in (("running", running, edits.running), ("startup", startup, edits.boot)):
                seen.foreign += self._foreign(f"{device}, {what}", device, config, theirs, clean=device in clean)
        return seen

    def _foreign(self, what: str, device: str, config: list[str], theirs: list[str], *, clean: bool) -> Iterator[str]:
        perhaps = self._edits[device].perhaps
        base = self._base[device]
        now = Counter(line.strip() for line in ios.without_marker(config))
        wanted = Counter(line.strip() for line in base) + Counter(line for line in theirs if line not in perhaps)
        for line, number in (wanted - now).items():
            yield f"{what}: {number} times gone: {line}"
        if list(_ordered(base, config)) != base:
            yield f"{what}: what was there from the beginning is in another order"
        if clean:
            for line in now - wanted:
                if line not in perhaps and line not in theirs:
                    yield f"{what}: left behind: {line}"


def _ordered(base: list[str], config: list[str]) -> Iterator[str]:
    """The part of ``base`` that ``config`` has in that order."""
    rest = iter(config)
    for line in base:
        if any(other == line for other in rest):
            yield line
        else:
            return


@contextmanager
def routers(folder: Path) -> Iterator[Routers]:
    """On addresses of loopback that nobody else has at the same time."""
    with ExitStack() as stack:
        for attempt in range(20):
            net = 100 + (os.getpid() * 7 + time.time_ns() + attempt) % 120
            claim = stack.enter_context(socket.socket())
            try:
                claim.bind((f"127.{net}.255.253", 19999))
                break
            except OSError:
                continue
        else:
            raise RuntimeError("no addresses on loopback are free")
        yield Routers(folder, net, stack)
