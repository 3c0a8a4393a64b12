"""Builds the loopback site: addresses, keys, configuration, inventory, processes."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import yaml

from remediate.errors import RemediateError, UsageError


@dataclass(frozen=True)
class Layout:
    """Every address is 127.``net``.x.y, so that several sites can stand side by side.

    ``published`` and ``inside`` are where the router takes connections for the archive, from outside and from the
    clinic; ``internet`` and ``clinic`` are where these two call from. The archive is known by ``inside`` to everybody,
    the router's static NAT included; it listens at ``archive``, where only the router calls.
    """

    net: int
    dicom_port: int = 11112
    web_port: int = 8042
    ssh_port: int = 2222
    canary_port: int = 8443

    def at(self, segment: int, host: int) -> str:
        return f"127.{self.net}.{segment}.{host}"

    @property
    def internet(self) -> str:
        return self.at(203, 10)

    @property
    def router_outside(self) -> str:
        return self.at(203, 1)

    @property
    def published(self) -> str:
        return self.at(203, 20)

    @property
    def clinic(self) -> str:
        return self.at(20, 10)

    @property
    def inside(self) -> str:
        return self.at(10, 5)

    @property
    def archive(self) -> str:
        return self.at(10, 105)

    @property
    def router_management(self) -> str:
        return self.at(99, 2)

    @property
    def listens(self) -> tuple[str, int]:
        return self.clinic, self.dicom_port + 1


@contextmanager
def _claimed_layout() -> Iterator[Layout]:
    """Addresses that are this site's alone as long as the context lasts, also beside sites of other processes.

    Raises UsageError where loopback has only one address, with what to do about it.
    A server of this machine that listens on all addresses has its port on loopback too: other ports are tried then.
    """
    for number, net in enumerate(secrets.randbelow(100) + 100 for _ in range(20)):
        up = number * 100
        layout = Layout(net, 11112 + up, 8042 + up, 2222 + up, 8443 + up)
        wanted = [
            (layout.published, layout.dicom_port),
            (layout.inside, layout.dicom_port),
            (layout.archive, layout.dicom_port),
            (layout.published, layout.web_port),
            (layout.inside, layout.web_port),
            (layout.archive, layout.web_port),
            (layout.router_outside, layout.canary_port),
            (layout.router_management, layout.ssh_port),
            (layout.clinic, layout.listens[1]),
            (layout.internet, 0),
        ]
        claim = socket.socket()  # bound and never listening: nobody else can have it at the same time
        try:
            claim.bind((layout.router_management, 10999 + up))
            for address in wanted:
                socket.create_server(address).close()
        except OSError as error:
            claim.close()
            if error.errno == 49 or sys.platform == "darwin":  # EADDRNOTAVAIL there
                names = sorted({address for address, _ in wanted})
                commands = "\n".join(f"  sudo ifconfig lo0 alias {name}" for name in names)
                raise UsageError(
                    "loopback has no address but 127.0.0.1 here, and the demo's hosts need one each",
                    next=f"add them (they are gone after a restart):\n{commands}",
                ) from error
            continue
        with claim:
            yield layout
        return
    raise UsageError(
        "no free addresses and ports on loopback for the demo",
        next="see what listens here, and end what you do not need: ss -ltn",
    )


@dataclass(frozen=True)
class EmbeddedSite:
    layout: Layout
    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def playbook(self) -> Path:
        return self.folder / "playbooks" / "close_dicom_exposure.yaml"


@contextmanager
def standing(
    folder: Path,
    *,
    misbehave: str | None = None,
    minute: float = 60.0,
    layout: Layout | None = None,
    within: Sequence[str] = (),
) -> Iterator[EmbeddedSite]:
    """The site, as long as the context lasts. Its processes end with it, however it ends.

    ``minute``: seconds that a minute of the router's revert timer takes. ``layout``: addresses that are there already,
    which in a network namespace need not be on loopback; ``within``: the command that runs router and archive there.
    """
    with ExitStack() as stack:
        site = EmbeddedSite(layout or stack.enter_context(_claimed_layout()), folder)
        _write(site)
        for answers in (
            stack.enter_context(_archive(site.layout, within)),
            stack.enter_context(_router(site, misbehave, minute, within)),
        ):
            answers()
        yield site


@contextmanager
def archive(layout: Layout) -> Iterator[None]:
    """The archive of such a site, as long as the context lasts."""
    with _archive(layout) as answers:
        answers()
        yield


@contextmanager
def _archive(layout: Layout, within: Sequence[str] = ()) -> Iterator[Callable[[], None]]:
    wiring = {
        "address": layout.archive,
        "dicom_port": layout.dicom_port,
        "web_port": layout.web_port,
        "ae_title": "ARCHIVE",
        "destinations": {"CLINICMOD": layout.listens},
        "canary": (layout.router_outside, layout.canary_port),
    }
    with _running("the archive", "remediate.lab.embedded.pacs", within=within, told=json.dumps(wiring)) as answers:
        yield answers


@contextmanager
def _router(
    site: EmbeddedSite, misbehave: str | None, minute: float, within: Sequence[str]
) -> Iterator[Callable[[], None]]:
    i = site.layout
    relays = []
    for service, port in (("dicom", i.dicom_port), ("web", i.web_port)):
        target = f"{i.archive}:{port}={i.inside}:{port}"
        relays += [
            "--relay",
            f"outside-{service}:GigabitEthernet0/0:{i.published}:{port}->{target}",
            "--relay",
            f"inside-{service}:GigabitEthernet0/1:{i.inside}:{port}->{target}",
        ]
    arguments = [
        "--config",
        str(site.folder / "startup-config"),
        "--ssh",
        f"{i.router_management}:{i.ssh_port}",
        "--host-key",
        str(site.folder / "keys" / "host"),
        "--authorized-keys",
        f"admin={site.folder / 'keys' / 'id.pub'}",
        "--minute",
        str(minute),
        *relays,
        *(["--misbehave", misbehave] if misbehave else []),
        "--until-stdin-closes",
    ]
    with _running("the router", "remediate.lab.devices.cisco_ios", *arguments, within=within) as answers:
        yield answers


@contextmanager
def _running(
    what: str, module: str, *args: str, within: Sequence[str] = (), told: str = ""
) -> Iterator[Callable[[], None]]:
    """A process that is told a line, and prints one when it answers; the call waits for that.

    Whoever starts several waits for them afterwards: what takes long is the start of each.
    """
    command = [*within, sys.executable, "-m", module, *args]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    out = process.stdout
    try:
        with suppress(BrokenPipeError):  # it ended at once, and the call tells
            process.stdin.write(f"{told}\n")
            process.stdin.flush()

        def answers() -> None:
            if not out.readline():
                raise RemediateError(f"{what} of the demo did not start (exit status {process.wait()})")

        yield answers
    finally:
        with suppress(BrokenPipeError):  # it ended before it read what it was told
            process.stdin.close()  # it ends when this is closed, also when we are killed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        out.close()


def _write(site: EmbeddedSite) -> None:
    i = site.layout
    keys = site.folder / "keys"
    for folder in (keys, site.inventory, site.playbook.parent):
        folder.mkdir(parents=True)
    for name in ("host", "id"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(keys / name)
        (keys / name).chmod(0o600)
        key.write_public_key(keys / f"{name}.pub")
    host = (keys / "host.pub").read_text().split()
    (keys / "known_hosts").write_text(f"[{i.router_management}]:{i.ssh_port} {host[0]} {host[1]}\n")
    (site.folder / "startup-config").write_text(_startup_config(i))
    hosts = {
        "archive": {
            "groups": ["pacs"],
            "data": {
                "ae_title": "ARCHIVE",
                "addresses": {"inside": i.inside, "outside": i.published},
                "services": [{"kind": "dicom", "port": i.dicom_port}, {"kind": "web", "port": i.web_port}],
                "protected_by": ["edge-router"],
                "access": {
                    "peers": [
                        {
                            "name": "ct-1",
                            "address": i.clinic,
                            "ae_title": "CLINICMOD",
                            "roles": ["store", "query", "retrieve", "web"],
                            "listens": {"port": i.listens[1]},
                        }
                    ]
                },
            },
        },
        "edge-router": {
            "hostname": i.router_management,
            "port": i.ssh_port,
            "username": "admin",
            "platform": "cisco_ios",
            "groups": ["firewalls"],
            "data": {"guard": {"interface": "GigabitEthernet0/0"}},
        },
        "internet": {
            "groups": ["vantages"],
            "data": {
                "zone": "outside",
                "via": {"local": {"source": i.internet}},
                "canaries": [{"address": i.router_outside, "port": i.canary_port}],
            },
        },
        "clinic": {
            "groups": ["vantages"],
            "data": {"zone": "inside", "peer": "ct-1", "via": {"local": {"source": i.clinic}}},
        },
    }
    defaults = {"data": {"ssh": {"key": str(keys / "id"), "known_hosts": str(keys / "known_hosts")}}}
    (site.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    (site.inventory / "defaults.yaml").write_text(yaml.safe_dump(defaults, sort_keys=False))
    site.playbook.write_text(_PLAYBOOK)


_PLAYBOOK = """\
- name: Close public DICOM exposure
  hosts: pacs
  vars: {revert_in: 1m}
  tasks:
    - name: Only known peers reach the archive
      apply: acl
    - name: Look from outside and from the clinic
      verify: {from: [internet, clinic]}
"""


def _startup_config(i: Layout) -> str:
    """An edge router as one finds them: somebody published the archive, and opened the list for it, years ago."""
    return f"""\
!
version 15.7
!
hostname edge-router
!
no ip domain lookup
archive
 path flash:archive
username admin privilege 15 secret 0 {secrets.token_hex(16)}
interface GigabitEthernet0/0
 description outside
 ip address {i.router_outside} 255.255.255.0
 ip access-group OUTSIDE-IN in
 ip nat outside
interface GigabitEthernet0/1
 description clinic
 ip address {i.at(20, 1)} 255.255.255.0
 ip nat inside
interface GigabitEthernet0/2
 description archive
 ip address {i.at(10, 1)} 255.255.255.0
 ip nat inside
ip nat inside source static tcp {i.inside} {i.dicom_port} {i.published} {i.dicom_port} extendable
ip nat inside source static tcp {i.inside} {i.web_port} {i.published} {i.web_port} extendable
ip access-list extended OUTSIDE-IN
 remark the radiologists need this from home, ticket 4711
 permit tcp any host {i.published} eq {i.dicom_port}
 permit tcp any host {i.published} eq {i.web_port}
 permit icmp any any
 deny   ip any any
line vty 0 4
 login local
 transport input ssh
end
"""
