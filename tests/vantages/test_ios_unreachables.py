"""A router that answers what it denies with ICMP, as IOS does when nobody told it not to; seen from a local vantage and
through a real OpenSSH, in namespaces of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.lab.embedded.site import EmbeddedSite, Layout, standing
from remediate.lab.real.hosts import inside
from remediate.model.observation import Rung
from remediate.record import Record

from .conftest import Sshd
from .places import run

StartSshd = Callable[..., Sshd]
REMEDIATE = Path(sys.executable).with_name("remediate")
#: No line: as IOS is shipped, one message in 500 ms.
LIMITS = {
    "as shipped": "",
    "no limit": "no ip icmp rate-limit unreachable",
    "one and no more": "ip icmp rate-limit unreachable 4294967295",
}


class Wired(Layout):
    """The same hosts with a network between them: 10.x instead of 127.x."""

    def at(self, segment: int, host: int) -> str:
        return f"10.{self.net}.{segment}.{host}"

    @property
    def canary(self) -> str:
        """A host behind the router that listens on the archive's ports."""
        return self.at(203, 30)


@dataclass
class Wire:
    """Two namespaces: where people are, the outside and the clinic, and where router and archive are."""

    people: str
    edge: str
    layout: Wired


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and ip for namespaces of its own")
    people, edge = (f"rmdu-{secrets.token_hex(4)}" for _ in range(2))
    made = Wire(people, edge, Wired(66))
    at = made.layout
    try:
        run("ip", "netns", "add", people)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces cannot be made here")
    try:
        run("ip", "netns", "add", edge)
        run("ip", "link", "add", "v0", "netns", people, "type", "veth", "peer", "name", "v0", "netns", edge)
        hosts = {
            people: (at.internet, at.clinic),  # whatever opens a connection without a source comes from the internet
            edge: (at.router_outside, at.published, at.canary, at.inside, at.archive, at.router_management),
        }
        for name, addresses in hosts.items():
            for address in addresses:
                run("ip", "-n", name, "addr", "add", f"{address}/16", "dev", "v0")
            for link in ("lo", "v0"):
                run("ip", "-n", name, "link", "set", link, "up")
        # An SSH server's connect gives up after 3 s of silence instead of 130.
        run("ip", "netns", "exec", people, "sysctl", "-q", "-w", "net.ipv4.tcp_syn_retries=1")
        yield made
    finally:
        for name in (people, edge):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@dataclass
class User:
    """Somebody at a prompt where people are."""

    wire: Wire
    site: EmbeddedSite

    def do(self, *args: str) -> tuple[int, Any, str]:
        """Exit status, the JSON document, and what was said besides."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.wire.people, str(REMEDIATE), *args, "-i", str(self.site.inventory)],
            env={**os.environ, "REMEDIATE_RECORD": str(self.site.folder / "record.db")},
            cwd=self.site.folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    def verify(self) -> tuple[int, Any, str]:
        return self.do("verify", "--format", "json")

    def looked(self) -> list[dict[str, Any]]:
        """What was seen from outside after the push of the last change."""
        with Record.open(self.site.folder / "record.db") as record:
            entries = list(record.journal(record.changes()[-1].change))
        seen = next(entry.data["observations"] for entry in reversed(entries) if entry.kind == "looked")
        return [one for one in seen if one["question"]["vantage"] in ("internet", "far")]

    def typed(self, *lines: str) -> None:
        """By a colleague, on the router, and saved."""
        at = self.site.layout
        keys = self.site.folder / "keys"
        program = (
            "import sys; from netmiko import ConnectHandler;"
            f"c = ConnectHandler(device_type='cisco_ios', host={at.router_management!r}, port={at.ssh_port},"
            f" username='admin', use_keys=True, key_file={str(keys / 'id')!r});"
            "c.send_config_set(sys.argv[1:], error_pattern='(?m)^ *%.*');"
            "c.send_command('write memory'); c.disconnect()"
        )
        run("ip", "netns", "exec", self.wire.people, sys.executable, "-c", program, *lines)


def outside(document: Any) -> dict[str, list[dict[str, Any]]]:
    """By vantage, the findings of a ``remediate verify --format json`` from outside."""
    (pacs,) = document["pacs"]
    found: dict[str, list[dict[str, Any]]] = {"internet": [], "far": []}
    for finding in pacs["findings"]:
        if finding["expectation"]["purpose"] == "outside closed":
            found[finding["expectation"]["question"]["vantage"]].append(finding)
    return found


@contextmanager
def user(wire: Wire, start_sshd: StartSshd, folder: Path, limit: str) -> Iterator[User]:
    """The embedded site, its router as shipped but for that line, and one more outside vantage: over OpenSSH."""
    via = start_sshd(wire.people).via
    with ExitStack() as stack:
        site = stack.enter_context(
            standing(folder / "site", layout=wire.layout, within=("ip", "netns", "exec", wire.edge))
        )
        made = User(wire, site)
        if limit:
            made.typed(limit)
        hosts = yaml.safe_load((site.inventory / "hosts.yaml").read_text())
        hosts["far"] = {"groups": ["vantages"], "data": {**hosts["internet"]["data"]}}
        hosts["far"]["data"]["via"] = {"ssh": f"{via.user}@{via.host}:{via.port}"}
        hosts["far"]["data"]["ssh"] = {"key": via.key, "known_hosts": via.known_hosts}
        (site.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        text = site.playbook.read_text()
        site.playbook.write_text(text.replace("from: [internet, clinic]", "from: [internet, far, clinic]"))
        yield made


@pytest.mark.timeout(600)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_right_change_whose_denial_is_answered_so_is_confirmed(
    wire: Wire, start_sshd: StartSshd, tmp_path: Path, limit: str
) -> None:
    with user(wire, start_sshd, tmp_path, LIMITS[limit]) as somebody:
        status, _, said = somebody.do("run", str(somebody.site.playbook), "--format", "json")
        assert status == 0, said
        seen = {vantage: set[str]() for vantage in ("internet", "far")}
        for one in somebody.looked():
            seen[one["question"]["vantage"]].add(one["rung"])
            assert (one["icmp"] is None) is not (one["rung"] == "unreachable" and one["question"]["vantage"] != "far")
            assert one["icmp"] in (None, {"version": 4, "type": 3, "code": 13})
        together = seen["internet"] | seen["far"]
        if limit == "no limit":
            assert seen == {"internet": {"unreachable"}, "far": {"unreachable"}}
        elif limit == "one and no more":
            assert together == {"unreachable", "filtered"}
        else:
            assert "unreachable" in together and together <= {"unreachable", "filtered"}


@pytest.mark.timeout(600)
def test_who_reached_it_before_it_was_closed_is_known_by_the_record(
    wire: Wire, start_sshd: StartSshd, tmp_path: Path
) -> None:
    """The guard of an archive that answers so can be changed, and changed again; a baseline then reaches nothing."""
    with user(wire, start_sshd, tmp_path, LIMITS["no limit"]) as somebody:
        file = somebody.site.inventory / "hosts.yaml"
        hosts = yaml.safe_load(file.read_text())
        run_it = ("run", str(somebody.site.playbook), "--format", "json")
        accepted: list[str] = []
        for number in (0, 11, 12):
            if number:
                peers = hosts["archive"]["data"]["access"]["peers"]
                peers.append({"name": f"ct-{number}", "address": wire.layout.at(20, number), "roles": ["web"]})
                file.write_text(yaml.safe_dump(hosts, sort_keys=False))
                accepted += ["--accept", f"ct-{number}"]  # nobody stands in its place
            status, done, said = somebody.do(*run_it, *accepted)
            assert (status, [wave["state"] for wave in done["waves"]]) == (0, ["confirmed"]), said
        status, done, said = somebody.do(*run_it, *accepted)
        assert (status, [wave["state"] for wave in done["waves"]]) == (0, ["unchanged"]), said


@pytest.mark.timeout(600)
def test_an_archive_that_is_closed_so_already(wire: Wire, start_sshd: StartSshd, tmp_path: Path) -> None:
    """Nobody has a baseline: over SSH it is credited through a canary behind the router, and to nothing else."""
    with user(wire, start_sshd, tmp_path, LIMITS["no limit"]) as somebody:
        at = wire.layout
        closes = [f"{n} deny tcp any host {at.published} eq {p}" for n, p in ((1, at.dicom_port), (2, at.web_port))]
        somebody.typed("ip access-list extended OUTSIDE-IN", *closes)
        status, document, _ = somebody.verify()
        assert status == 3
        here, far = outside(document).values()
        assert {finding["outcome"] for finding in here} == {"met"}
        assert {finding["attributed"] for finding in here} == {False}
        assert {finding["observation"]["detail"] for finding in here} == {
            "somebody on the way says: administratively prohibited (ICMP type 3, code 13)"
        }
        assert [finding["outcome"] for finding in far] == ["unknown", "unknown"]
        for finding, port in zip(far, (at.dicom_port, at.web_port), strict=True):
            assert f"a canary `behind` the archive's device on port {port} would tell" in finding["why"]

        hosts = yaml.safe_load((somebody.site.inventory / "hosts.yaml").read_text())
        with ExitStack() as stack:
            for port in (at.dicom_port, at.web_port):
                stack.enter_context(inside(wire.edge, lambda port=port: _listening(at.canary, port)))  # type: ignore[misc]
                for vantage in ("internet", "far"):
                    canary = {"address": at.canary, "port": port, "behind": "edge-router"}
                    hosts[vantage]["data"]["canaries"] = [*hosts[vantage]["data"]["canaries"], canary]
            (somebody.site.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
            status, document, _ = somebody.verify()
            assert status == 0
            for findings in outside(document).values():
                assert {(f["observation"]["rung"], f["attributed"]) for f in findings} == {(Rung.UNREACHABLE, True)}
            status, done, said = somebody.do("run", str(somebody.site.playbook), "--format", "json")
            assert status == 0, said
            assert [wave["state"] for wave in done["waves"]] == ["unchanged"]  # protected already: nothing was pushed


def _listening(address: str, port: int) -> socket.socket:
    return socket.create_server((address, port), backlog=100)
