"""Forty archives behind twelve simulated routers, by the starter's own playbook: one plan, one approval, one run."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from netmiko import ConnectHandler

from remediate.lab.devices.relay import drops_work
from remediate.probes import upper_layer
from tests.change import routers
from tests.change.people import People

pytestmark = [
    pytest.mark.skipif(not drops_work(), reason="a router that drops without a word needs Linux"),
    pytest.mark.timeout(600),
]

REMEDIATE = Path(sys.executable).with_name("remediate")
ARCHIVES, ROUTERS = 40, 12
INTERNET, CLINIC, CANARY = "127.71.0.10", "127.72.0.10", "127.71.0.1"
INSIDE = "GigabitEthernet0/1"
NAMES = [f"archive-{number:02}" for number in range(1, ARCHIVES + 1)]
FIRST, SECOND, LAST = NAMES[:1], NAMES[1:11], NAMES[11:]  # serial: [1, 25%, 100%]


@dataclass
class Forty:
    """The first four routers have four archives each, the others three."""

    folder: Path
    people: People
    dicom_port: int
    ssh_port: int
    changes: list[str] = field(default_factory=list)

    @property
    def inventory(self) -> Path:
        return self.folder / "site" / "inventory"

    @property
    def book(self) -> Path:
        return self.folder / "site" / "playbooks" / "close_dicom_exposure.yaml"

    def start(self, *args: str) -> subprocess.Popen[str]:
        # A care path that is cut here is cut for good: nothing is learnt by asking it for 90 s.
        env = {**os.environ, "REMEDIATE_RECORD": str(self.folder / "record.db"), "REMEDIATE_PATIENCE": "20"}
        return subprocess.Popen(
            [str(REMEDIATE), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env=env,
        )

    def do(self, *args: str) -> tuple[int, str, str]:
        with self.start(*args) as process:
            try:
                out, err = process.communicate(timeout=500)
            finally:
                process.kill()
        return process.returncode, out, err

    def plan_and_approve(self) -> Path:
        where = ["-i", str(self.inventory)]
        status, _, err = self.do("plan", str(self.book), *where, "--out", "plan.json")
        assert status == 0, err
        status, _, err = self.do("approve", "plan.json", "--key", str(self.people.folder / "alice"), "--yes")
        assert status == 0, err
        return self.folder / "plan.json"

    def run(self, plan: Path) -> tuple[int, Any, str]:
        by = ["--key", str(self.people.folder / "bob")]
        status, out, err = self.do("run", str(plan), "-i", str(self.inventory), *by, "--format", "json")
        assert out, err
        return status, json.loads(out), err

    def reaches(self, source: str, kind: int) -> list[str]:
        """The archives that accept an association over a new connection from there."""
        hello = upper_layer.association_request("ANYBODY", "ARCHIVE", echo_only=True)

        def accepts(number: int) -> bool:
            try:
                with socket.create_connection((at(kind, number), self.dicom_port), 0.5, (source, 0)) as connection:
                    connection.sendall(hello)
                    return connection.recv(1) == b"\x02"
            except OSError:
                return False

        return [name for number, name in enumerate(NAMES, 1) if accepts(number)]

    def guarded(self) -> tuple[list[str], list[str]]:
        """The archives with a guard in force, and with one in what their router loads at boot; no timer runs."""
        found: tuple[list[str], list[str]] = ([], [])
        for router in range(ROUTERS):
            connection = ConnectHandler(
                device_type="cisco_ios",
                host=f"127.70.0.{router + 1}",
                port=self.ssh_port,
                username="admin",
                use_keys=True,
                key_file=str(self.folder / "keys" / "id"),
            )
            try:
                assert "No Rollback Confirmed Change pending" in connection.send_command(
                    "show archive config rollback timer"
                )
                for names, which in zip(found, ("running", "startup"), strict=True):
                    text = str(connection.send_command(f"show {which}-config"))
                    denied = re.findall(rf"deny +tcp any host 127\.{PUBLISHED}\.0\.(\d+)", text)
                    names.extend(sorted({NAMES[int(number) - 1] for number in denied}))
            finally:
                connection.disconnect()
        return found


PUBLISHED, OWN, INNER = 73, 74, 75


def at(kind: int, number: int) -> str:
    return f"127.{kind}.0.{number}"


def behind(router: int) -> list[int]:
    """The archives' numbers, from 1."""
    size, rest = divmod(ARCHIVES, ROUTERS)
    first = router * size + min(router, rest)
    return list(range(first + 1, first + 1 + size + (router < rest)))


def configuration(router: int, port: int) -> str:
    published = "\n".join(f" permit tcp any host {at(PUBLISHED, number)} eq {port}" for number in behind(router))
    return f"""\
version 15.7
!
hostname edge-{router + 1:02}
!
no ip domain lookup
archive
 path flash:archive
username admin privilege 15 secret 0 forty
!
interface {routers.OUTSIDE}
 description outside
 ip address 127.71.{router + 1}.1 255.255.255.0
 ip access-group OUTSIDE-IN in
 no ip unreachables
!
interface {INSIDE}
 description clinic
 ip address 127.72.{router + 1}.1 255.255.255.0
!
interface {routers.ARCHIVES}
 description archives
 ip address 127.74.{router + 1}.1 255.255.255.0
!
ip access-list extended OUTSIDE-IN
 remark the radiologists need this from home, ticket 4711
{published}
 permit icmp any any
 deny   ip any any
!
line vty 0 4
 login local
 transport input ssh
!
end
"""


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])


def described(made: Forty) -> dict[str, Any]:
    hosts: dict[str, Any] = {}
    for router in range(ROUTERS):
        for number in behind(router):
            peer = {"name": "ct-1", "address": CLINIC, "ae_title": "CLINICMOD", "roles": ["store"]}
            hosts[NAMES[number - 1]] = {
                "groups": ["pacs"],
                "data": {
                    "ae_title": "ARCHIVE",
                    "addresses": {"inside": at(OWN, number), "outside": at(PUBLISHED, number)},
                    "services": [{"kind": "dicom", "port": made.dicom_port}],
                    "protected_by": [f"edge-{router + 1:02}"],
                    "access": {"peers": [peer]},
                },
            }
        hosts[f"edge-{router + 1:02}"] = {
            "hostname": f"127.70.0.{router + 1}",
            "port": made.ssh_port,
            "username": "admin",
            "platform": "cisco_ios",
            "groups": ["firewalls"],
            "data": {"guard": {"interface": routers.OUTSIDE}},
        }
    canaries = [{"address": CANARY, "port": made.dicom_port}]
    via = {name: {"local": {"source": source}} for name, source in (("internet", INTERNET), ("clinic", CLINIC))}
    hosts["internet"] = {
        "groups": ["vantages"],
        "data": {"zone": "outside", "via": via["internet"], "canaries": canaries},
    }
    hosts["clinic"] = {"groups": ["vantages"], "data": {"zone": "inside", "peer": "ct-1", "via": via["clinic"]}}
    return hosts


@contextmanager
def forty(folder: Path, victim: str | None = None) -> Iterator[Forty]:
    """``victim``: an archive that the clinic does not reach as long as its guard is in force: no plan can see it."""
    people = People(folder)
    people.add("alice")
    people.add("bob")
    made = Forty(folder, people, free_port(at(PUBLISHED, 1)), free_port("127.70.0.1"))
    subprocess.run([str(REMEDIATE), "init", str(folder / "site")], check=True, capture_output=True)
    play = made.book.read_text()
    made.book.write_text(play.replace("  vars:", f"  approval: {{allowed_signers: {people.allowed_signers}}}\n  vars:"))
    keys = folder / "keys"
    keys.mkdir()
    for name in ("host", "id"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(keys / name)
        (keys / name).chmod(0o600)
        key.write_public_key(keys / f"{name}.pub")
    (made.inventory / "hosts.yaml").write_text(yaml.safe_dump(described(made), sort_keys=False))
    (made.inventory / "groups.yaml").write_text("{}\n")
    ssh = {"key": str(keys / "id"), "known_hosts": str(keys / "known_hosts")}
    (made.inventory / "defaults.yaml").write_text(yaml.safe_dump({"data": {"ssh": ssh}}))
    wanted: dict[str, Any] = {"archives": [], "canary": (CANARY, made.dicom_port), "routers": []}
    known = []
    for router in range(ROUTERS):
        address = f"127.70.0.{router + 1}"
        host_key = keys / f"host-{router + 1:02}"
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(host_key)
        public = key.export_public_key().decode().split()
        known.append(f"[{address}]:{made.ssh_port} {public[0]} {public[1]}\n")
        relays = []
        for number in behind(router):
            target = (at(INNER, number), made.dicom_port)
            wanted["archives"].append(target)
            dies_with = at(PUBLISHED, number) if NAMES[number - 1] == victim else ""
            for into, kind, cut in ((routers.OUTSIDE, PUBLISHED, ""), (INSIDE, OWN, dies_with)):
                listens = (at(kind, number), made.dicom_port)
                name = f"{kind}-{number}"
                relays.append({"name": name, "into": into, "listen": listens, "target": target, "dies_with": cut})
        wanted["routers"].append(
            {
                "config": configuration(router, made.dicom_port),
                "ssh": (address, made.ssh_port),
                "host_key": str(host_key),
                "authorized_keys": str(keys / "id.pub"),
                "relays": relays,
            }
        )
    (keys / "known_hosts").write_text("".join(known))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.change.routers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield made
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def states(outcome: Any) -> list[tuple[Sequence[str], str]]:
    return [(wave["pacs"], wave["state"]) for wave in outcome["waves"]]


def test_one_approval_and_one_run_close_them_all(tmp_path: Path) -> None:
    with forty(tmp_path) as site:
        assert site.reaches(INTERNET, PUBLISHED) == site.reaches(CLINIC, OWN) == NAMES
        plan = site.plan_and_approve()
        status, outcome, err = site.run(plan)
        assert status == 0, err
        assert states(outcome) == [(FIRST, "confirmed"), (SECOND, "confirmed"), (LAST, "confirmed")]
        assert site.guarded() == (NAMES, NAMES)
        assert (site.reaches(INTERNET, PUBLISHED), site.reaches(CLINIC, OWN)) == ([], NAMES)


@pytest.mark.parametrize("victim", ["archive-12", "archive-40"])
def test_taken_back_in_the_last_wave_the_others_stand(tmp_path: Path, victim: str) -> None:
    """On a router that has a wave before it, and on one that has none."""
    with forty(tmp_path, victim) as site:
        status, outcome, err = site.run(site.plan_and_approve())
        assert status == 4, err
        assert states(outcome) == [(FIRST, "confirmed"), (SECOND, "confirmed"), (LAST, "rolled back")]
        assert outcome["stays"] == FIRST + SECOND
        assert site.guarded() == (FIRST + SECOND, FIRST + SECOND)
        assert (site.reaches(INTERNET, PUBLISHED), site.reaches(CLINIC, OWN)) == (LAST, NAMES)
