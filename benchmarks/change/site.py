"""A site of many archives, each behind a router of its own, with configurations as long as real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import yaml

HERE = Path(__file__).parent
DICOM, SSH, ARCHIVE, CANARY = 11112, 12222, 21112, 18443
INTERNET, CLINIC, CANARY_AT = "127.54.0.10", "127.55.0.10", "127.56.0.1"
PEERS = ("ct-1", "mr-1", "us-1", "cr-1")
LINES = 2000
#: Routers share processes: one for each core.
PROCESSES = 2


@dataclass(frozen=True)
class Place:
    """The addresses of one archive and its router."""

    number: int

    def _at(self, net: int, host: int) -> str:
        return f"127.{net}.{self.number}.{host}"

    @property
    def router(self) -> str:
        return f"router-{self.number:03}"

    @property
    def pacs(self) -> str:
        return f"archive-{self.number:03}"

    @property
    def management(self) -> str:
        return self._at(51, 2)

    @property
    def published(self) -> str:
        return self._at(52, 20)

    @property
    def inside(self) -> str:
        return self._at(53, 5)

    @property
    def archive(self) -> str:
        return self._at(57, 5)


def configuration(place: Place) -> str:
    """A start configuration of LINES lines, most of which have nothing to do with the archive."""
    i = place.number
    lines = f"""\
version 15.7
service timestamps debug datetime msec
service timestamps log datetime msec
service password-encryption
!
hostname {place.router}
!
no ip domain lookup
archive
 path flash:archive
username admin privilege 15 secret 0 benchmark
!
interface GigabitEthernet0/0
 description outside
 ip address 127.52.{i}.1 255.255.255.0
 ip access-group OUTSIDE-IN in
 no ip unreachables
!
interface GigabitEthernet0/1
 description clinic
 ip address 127.53.{i}.1 255.255.255.0
!
interface GigabitEthernet0/2
 description archive
 ip address 127.57.{i}.1 255.255.255.0
!""".splitlines()
    for vlan in range(101, 221):
        lines += [
            f"interface GigabitEthernet0/2.{vlan}",
            f" description ward {vlan - 100}",
            f" encapsulation dot1Q {vlan}",
            f" ip address 10.{i}.{vlan}.1 255.255.255.0",
            f" ip access-group WARD-{vlan % 20 + 1:02} in",
            "!",
        ]
    lines += [f"ip route 172.{16 + n // 256}.{n % 256}.0 255.255.255.0 10.{i}.101.2" for n in range(180)]
    lines += ["!", "ip access-list extended OUTSIDE-IN", " remark the radiologists need this from home, ticket 4711"]
    lines += [f" permit tcp any host {place.published} eq {DICOM}"]
    lines += [f" permit tcp 198.51.100.{n * 4} 0.0.0.3 host 127.52.{i}.{30 + n} eq 443" for n in range(24)]
    lines += [" permit icmp any any", " deny   ip any any", "!"]
    for ward in range(1, 21):
        lines.append(f"ip access-list extended WARD-{ward:02}")
        lines += [f" permit tcp 10.{i}.{100 + ward}.{n * 8} 0.0.0.7 host 10.{i}.1.{n} eq 4{n:02}" for n in range(24)]
        lines += [" permit udp any any eq domain", " deny   ip any any log", "!"]
    lines += [f"snmp-server host 10.{i}.2.{n} version 2c benchmark" for n in range(1, 20)]
    close = ["line vty 0 4", " login local", " transport input ssh", "!", "end"]
    number = 0
    while len(lines) + len(close) + 4 <= LINES:
        number += 1
        lines += [
            f"class-map match-any APPLICATION-{number:03}",
            f" match access-group name WARD-{number % 20 + 1:02}",
            f" match protocol attribute application-group group-{number:03}",
            "!",
        ]
    return "\n".join([*lines, *["!"] * (LINES - len(lines) - len(close)), *close]) + "\n"


@dataclass(frozen=True)
class Bench:
    folder: Path
    places: tuple[Place, ...]

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def playbook(self) -> Path:
        return self.folder / "playbooks" / "close.yaml"

    @property
    def key(self) -> Path:
        return self.folder / "keys" / "id"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "keys" / "known_hosts"


def make(folder: Path, count: int) -> Bench:
    bench = Bench(folder, tuple(Place(number) for number in range(1, count + 1)))
    for path in (bench.key.parent, bench.inventory, bench.playbook.parent, folder / "configs"):
        path.mkdir(parents=True)
    for name in ("host", "id"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(bench.key.parent / name)
        (bench.key.parent / name).chmod(0o600)
        key.write_public_key(bench.key.parent / f"{name}.pub")
    host = " ".join((bench.key.parent / "host.pub").read_text().split()[:2])
    bench.known_hosts.write_text("".join(f"[{p.management}]:{SSH} {host}\n" for p in bench.places))
    hosts: dict[str, Any] = {
        "internet": {
            "groups": ["vantages"],
            "data": {
                "zone": "outside",
                "via": {"local": {"source": INTERNET}},
                "canaries": [{"address": CANARY_AT, "port": CANARY}],
            },
        },
        "clinic": {"groups": ["vantages"], "data": {"zone": "inside", "via": {"local": {"source": CLINIC}}}},
    }
    for place in bench.places:
        (folder / "configs" / place.router).write_text(configuration(place))
        hosts[place.pacs] = {
            "groups": ["pacs"],
            "data": {
                "ae_title": "ARCHIVE",
                "addresses": {"inside": place.inside, "outside": place.published},
                "services": [{"kind": "dicom", "port": DICOM}],
                "protected_by": [place.router],
                "access": {
                    "peers": [
                        {
                            "name": name,
                            "address": f"10.{place.number}.101.{n}",
                            "ae_title": "MODALITY",
                            "roles": ["store"],
                        }
                        for n, name in enumerate(PEERS, start=10)
                    ]
                },
            },
        }
        hosts[place.router] = {
            "hostname": place.management,
            "port": SSH,
            "username": "admin",
            "platform": "cisco_ios",
            "groups": ["firewalls"],
            "data": {"guard": {"interface": "GigabitEthernet0/0"}},
        }
    defaults = {"data": {"ssh": {"key": str(bench.key), "known_hosts": str(bench.known_hosts)}}}
    (bench.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    (bench.inventory / "defaults.yaml").write_text(yaml.safe_dump(defaults))
    bench.playbook.write_text(_PLAYBOOK)
    return bench


_PLAYBOOK = """\
- name: Close public DICOM exposure
  hosts: pacs
  serial: [1, 10%, 100%]
  accept: [ct-1, mr-1, us-1, cr-1]
  vars: {revert_in: 5m}
  tasks:
    - name: Only known peers reach the archive
      apply: acl
    - name: Look from outside and from inside
      verify: {from: [internet, clinic]}
"""


@dataclass
class Effort:
    """What one contestant was for the routers. ``seconds``: of the processor."""

    commands: int = 0
    seconds: float = 0.0


class Running:
    """The processes. Their routers are loaded once, and start from there each time."""

    def __init__(self, bench: Bench, responder: str, delay: float) -> None:
        self._archives = _start([responder, str(ARCHIVE), str(CANARY)])
        self._routers = [_start([sys.executable, str(HERE / "routers.py")]) for _ in range(PROCESSES)]
        for first, process in enumerate(self._routers):
            routers = [_router(bench, place) for place in bench.places[first::PROCESSES]]
            _say(process, json.dumps({"delay": delay, "routers": routers}))
        _wait(self._archives, "ready")
        for process in self._routers:
            _wait(process, "loaded")

    @contextmanager
    def standing(self) -> Iterator[Effort]:
        """All routers as they were loaded, as long as the context lasts; then what it was for them."""
        for process in self._routers:
            _say(process, "start")
        for process in self._routers:
            _wait(process, "ready")
        effort = Effort()
        yield effort
        for process in self._routers:
            _say(process, "stop")
        for process in self._routers:
            commands, seconds = _wait(process, "stopped")
            effort.commands += int(commands)
            effort.seconds += float(seconds)

    def close(self) -> None:
        for process in (self._archives, *self._routers):
            assert process.stdin is not None
            process.stdin.close()  # each ends with it
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _wait(process: subprocess.Popen[str], word: str) -> list[str]:
    """What follows the word."""
    assert process.stdout is not None
    said, *more = process.stdout.readline().split() or [""]
    if said != word:
        raise SystemExit(f"{process.args!r} does not say {word}: is one of its ports taken?")
    return more


def _router(bench: Bench, place: Place) -> dict[str, Any]:
    target, inner = (place.archive, ARCHIVE), "GigabitEthernet0/2"
    return {
        "config": str(bench.folder / "configs" / place.router),
        "ssh": (place.management, SSH),
        "host_key": str(bench.key.parent / "host"),
        "authorized_keys": f"{bench.key}.pub",
        "relays": {
            "outside": ("GigabitEthernet0/0", inner, (place.published, DICOM), target),
            "inside": ("GigabitEthernet0/1", inner, (place.inside, DICOM), target),
        },
    }
