"""The catalogue, second part: mistakes that show only once a device or a vantage is asked, on the loopback site."""

# ruff: noqa: E501 - a table: one mistake, one line

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
import yaml

from remediate import inventory, platforms
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.record import Record
from tests.cli.prompt import SECRET, Said, User
from tests.cli.test_catalogue import check_message, fits
from tests.e2e.conftest import REMEDIATE

TEMPLATE = Path(__file__).parents[2] / "templates" / "cisco_ios" / "acl.j2"


@dataclass
class AtSite:
    """A user with an inventory of the site that may be spoilt."""

    user: User
    site: EmbeddedSite

    @property
    def vantage(self) -> str:
        """The router's SSH server, for a vantage."""
        return f"admin@{self.site.layout.router_management}:{self.site.layout.ssh_port}"

    def change(self, old: str, new: str) -> None:
        self.user.change("inventory/hosts.yaml", old, new)

    def ssh(self, **files: str) -> None:
        """``key``, ``known_hosts``: files in the user's folder instead of the site's own."""
        own = {name: str(self.site.folder / "keys" / name) for name in ("id", "known_hosts")}
        data = {"key": own["id"], "known_hosts": own["known_hosts"], **files}
        self.user.write("inventory/defaults.yaml", yaml.safe_dump({"data": {"ssh": data}}))

    def clinic_by_ssh(self, target: str, **files: str) -> None:
        self.ssh(**files)
        self.change(f"local:\n        source: {self.site.layout.clinic}", f"ssh: {target}")

    def plan(self) -> dict[str, object]:
        said = self.user.types("plan", "book.yaml", "-i", "inventory", "--format", "json")
        assert said.status == 0, said.err
        return dict(json.loads(said.out))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with standing(tmp_path_factory.mktemp("embedded") / "site") as made:
        before = _running(made)
        yield made
        assert _running(made) == before, "a mistake has changed the router"


def _running(site: EmbeddedSite) -> str:
    of = inventory.load(site.inventory).site
    device = platforms.platform("cisco_ios").connect(of.devices["edge-router"], of.logins["edge-router"])
    try:
        assert device.pending() is None
        return device.running_config()
    finally:
        device.close()


@pytest.fixture(scope="module")
def files(site: EmbeddedSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and known_hosts that are of no use."""
    folder = tmp_path_factory.mktemp("files")
    keys = {"other": None, "locked": SECRET}
    for name, passphrase in keys.items():
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / name, passphrase=passphrase)
        (folder / name).chmod(0o600)
    public = asyncssh.read_private_key(folder / "other").export_public_key().decode().strip()
    i = site.layout
    (folder / "changed").write_text(f"[{i.router_management}]:{i.ssh_port} {public}\n")
    (folder / "junk").write_text("not a key\n")
    (folder / "empty").write_text("")
    return folder


@pytest.fixture
def at_site(user: User, site: EmbeddedSite, files: Path) -> AtSite:
    shutil.rmtree(user.folder / "inventory")
    shutil.copytree(site.inventory, user.folder / "inventory")
    shutil.copy(site.playbook, user.folder / "book.yaml")
    shutil.copytree(files, user.folder, dirs_exist_ok=True)
    return AtSite(user, site)


def template(text: str | bytes) -> Callable[[AtSite], object]:
    return lambda at: at.user.write("mine/cisco_ios/acl.j2", text)


def ssh(**files: str) -> Callable[[AtSite], None]:
    """Relative paths start at the inventory's directory."""
    return lambda at: at.ssh(**files)


def clinic(target: str = "", **files: str) -> Callable[[AtSite], None]:
    return lambda at: at.clinic_by_ssh(target or at.vantage, **files)


def wrong_password(at: AtSite) -> None:
    at.user.write(
        "inventory/defaults.yaml",
        yaml.safe_dump({"data": {"ssh": {"known_hosts": str(at.site.folder / "keys" / "known_hosts")}}}),
    )
    at.change("username: admin", f"username: admin\n  password: {SECRET}")


def vpn_only(at: AtSite, vpn: str = "") -> None:
    at.user.write("book.yaml", (at.user.folder / "book.yaml").read_text().replace("apply: acl", "apply: vpn_only"))
    if vpn:
        at.change("interface: GigabitEthernet0/0", f"interface: GigabitEthernet0/0\n      vpn: {vpn}")


def unpublish_by_another_interface(at: AtSite) -> None:
    unpublish(at)
    at.change("GigabitEthernet0/0", "GigabitEthernet0/2")


def unpublish(at: AtSite) -> None:
    at.user.write("book.yaml", (at.user.folder / "book.yaml").read_text().replace("apply: acl", "apply: unpublish"))


def far_peer(at: AtSite) -> None:
    unpublish(at)
    at.change(f"address: {at.site.layout.clinic}", "address: 198.51.100.9")


def nothing(_: AtSite) -> None:
    pass


PLAN = "plan book.yaml -i inventory"
MINE = f"{PLAN} --templates mine"

# (what it is, how it is made, what is typed, exit status, what is said)
# fmt: off
MISTAKES: list[tuple[str, Callable[[AtSite], object], str, int, str]] = [
    # -- logging in to a device
    ("nothing listens there", lambda at: at.change("port: 2222", "port: 9"), PLAN, 3, "error: edge-router: no session with the device: TCP connection to device failed.\n  next: check its address and port in the inventory, the way to it, and that its SSH server answers"),
    ("a key that it does not know", ssh(key="../other"), PLAN, 3, "error: edge-router: the device does not accept this login\n  next: check username, password or ssh.key in the inventory, and that the device knows the key"),
    ("a user that it does not know", lambda at: at.change("username: admin", "username: nobody"), PLAN, 3, "error: edge-router: the device does not accept this login\n  next: "),
    ("a wrong password", wrong_password, PLAN, 3, "error: edge-router: the device does not accept this login\n  next: "),
    ("a key that is missing", ssh(key="../nowhere"), PLAN, 3, "error: edge-router: the private key …/nowhere does not exist\n  next: correct ssh.key in the inventory; relative paths start at the inventory's directory"),
    ("a key that is none", ssh(key="../junk"), PLAN, 3, "error: edge-router: no session with the device: not a valid …private key file\n  next: "),
    ("a key with a passphrase", ssh(key="../locked"), PLAN, 3, "error: edge-router: the private key has a passphrase, and nothing here asks for it\n  next: load it into an SSH agent and leave ssh.key out, or name a key without a passphrase"),
    ("no known_hosts", ssh(known_hosts="../nowhere"), PLAN, 3, "error: edge-router: the device's SSH host key is not known: …/nowhere does not exist\n  next: compare its fingerprint with the device's own, then record it: remediate inventory trust"),
    ("a host key that is not known", ssh(known_hosts="../empty"), PLAN, 3, "error: edge-router: the device's SSH host key is not known: …/empty does not have it\n  next: compare its fingerprint"),
    ("a host key that has changed", ssh(known_hosts="../changed"), PLAN, 3, "error: edge-router: the SSH host key of …has changed: expected SHA256:…, got SHA256:…\n  next: find out why before anything else; "),
    # -- what a device cannot do
    ("a guard where there is no interface", lambda at: at.change("GigabitEthernet0/0", "GigabitEthernet9/9"), PLAN, 2, "error: edge-router: the device cannot take a safe change:\n  - no interface GigabitEthernet9/9 here (guard.interface): it has GigabitEthernet0/0, GigabitEthernet0/1, GigabitEthernet0/2\n  next: mend that on the device or in the inventory, then plan again"),
    ("vpn_only where no VPN comes in", vpn_only, PLAN, 2, "error: edge-router: the inventory does not say by which interface the VPN comes in, so archive would be shut for everybody outside\n  next: name the tunnel interfaces: guard: {interface: ..., vpn: ...}; or use acl"),
    ("vpn_only where nobody comes by it", lambda at: vpn_only(at, "GigabitEthernet0/1"), PLAN, 2, "error: archive: none of its peers comes through a VPN to a service of its own\n  next: give those that do `via: vpn` in access.peers; or use acl"),
    ("unpublish where nothing comes in", unpublish_by_another_interface, PLAN, 2, "error: edge-router: nothing here is published by this device: no line of it translates …, coming in by GigabitEthernet0/2, to archive\n  next: use acl; or correct its addresses, ports and guard.interface in the inventory (on the device, that interface needs `ip nat outside`)"),
    ("unpublish where a peer comes in by it", far_peer, PLAN, 2, "error: archive: peer ct-1 (198.51.100.9) has a public address and no VPN, so it comes in by the published address and would be cut off\n  next: bring it in through a VPN (via: vpn), or use acl, which lets it through"),
    ("a VPN's interface that is not there", lambda at: at.change("interface: GigabitEthernet0/0", "interface: GigabitEthernet0/0\n      vpn: Tunnel7"), PLAN, 2, "error: edge-router: the device cannot take a safe change:\n  - no interface Tunnel7 here (guard.vpn): it has GigabitEthernet0/0, …"),
    ("a revert_in that is too short", nothing, f"{PLAN} -e revert_in=30s", 2, "error: edge-router: cisco_ios cannot wait 30 s: its revert timer takes 60 to 7200 s in steps of 60 s\n  next: change revert_in"),
    ("a revert_in that is too long", nothing, f"{PLAN} -e revert_in=3h", 2, "error: edge-router: cisco_ios cannot wait 10800 s: "),
    ("a revert_in between two steps", nothing, f"{PLAN} -e revert_in=90s", 2, "error: edge-router: cisco_ios cannot wait 90 s: "),
    # -- templates
    ("an undefined variable", template("\n{{ pacs.name }}\n"), MINE, 2, "error: cisco_ios/acl.j2, line 2: the template does not render: 'pacs' is undefined\n  next: mend the template"),
    ("a template's syntax", template("\n\n{% if %}"), MINE, 2, "error: cisco_ios/acl.j2, line 3: the template does not render: "),
    ("an expression that fails", template("{{ 1 + 'a' }}"), MINE, 2, "error: cisco_ios/acl.j2, line 1: the template does not render: TypeError: "),
    ("a template without an end", template("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"), MINE, 2, "error: cisco_ios/acl.j2, line 1: the template does not render: RecursionError: "),
    ("a template that is no text", template(b"\xff"), MINE, 2, "error: cisco_ios/acl.j2: the template does not render: UnicodeDecodeError: "),
    ("a missing template", template('{% include "cisco_ios/part.j2" %}'), MINE, 2, "error: cisco_ios/acl.j2, line 1: it includes cisco_ios/part.j2, which is in no templates folder\n  next: write it to mine/cisco_ios/part.j2, or mend the template"),
    ("a template that prints nothing", template(""), MINE, 2, "error: edge-router: the template does not print the entries as it was given them: section acl_archive\n  next: mend the template"),
    ("a template that prints what cannot be proved", template("banner motd x\n"), MINE, 2, "error: the text that the template renders for edge-router: the line `banner motd x` cannot be proved: it is not known\n  next: keep to the lines of the template that comes along"),
    ("a template that opens something else", template(TEMPLATE.read_text() + "ip access-list extended OUTSIDE-IN\n 9 permit tcp any any eq 22\n"), MINE, 2, "error: …\n  next: "),
    # -- the record
    ("a record that cannot be written", nothing, "run book.yaml -i inventory --record /proc/nowhere/record.db", 2, "error: /proc/nowhere/record.db: the record cannot be used: …\n  next: check the path, its permissions and the free space; no device is touched without a record"),
]
# A vantage that cannot be used says nothing, and the others are still asked: its message stands before the table.
VANTAGES: list[tuple[str, Callable[[AtSite], object], str]] = [
    ("nothing listens there", clinic("probe@127.0.0.1:9"), "no SSH session: Connection refused\n  next: try: ssh -p 9 probe@127.0.0.1\n"),
    ("a key that it does not know", clinic(key="../other"), "the server does not let admin in\n  next: put the public key there, or name another in `ssh.key`\n"),
    ("a key that is missing", clinic(key="../nowhere"), "the private key …/nowhere cannot be read: No such file or directory\n  next: correct ssh.key in the inventory; "),
    ("a key that is none", clinic(key="../junk"), "the private key …/junk cannot be read: …\n  next: correct ssh.key in the inventory; "),
    ("a key with a passphrase", clinic(key="../locked"), "the private key …/locked cannot be read: Passphrase must be specified …\n  next: correct ssh.key in the inventory; one with a passphrase cannot be used here\n"),
    ("no known_hosts", clinic(known_hosts="../nowhere"), "the known_hosts file …/nowhere cannot be read: No such file or directory\n  next: correct it, or let it be made: remediate inventory trust\n"),
    ("a host key that is not known", clinic(known_hosts="../empty"), "the host key is not known (…/empty); nothing was asked from there\n  next: compare its fingerprint"),
    ("a host key that has changed", clinic(known_hosts="../changed"), "the host key has changed, or is not the one on file (…/changed); nothing was asked from there\n  next: compare its fingerprint"),
]
# fmt: on


def only_loopback(said: Said) -> bool:
    return all(str(where[0] if isinstance(where, tuple) else where).startswith("127.") for _, where in said.network)


@pytest.mark.parametrize(
    ("make", "typed", "status", "expected"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake(at_site: AtSite, make: Callable[[AtSite], object], typed: str, status: int, expected: str) -> None:
    make(at_site)
    before = at_site.user.files()
    said = at_site.user.types(*typed.split())
    check_message(said, status)
    assert fits(expected, said.err), said.err
    assert at_site.user.files() == before
    assert only_loopback(said)


@pytest.mark.parametrize(("make", "expected"), [m[1:] for m in VANTAGES], ids=[m[0] for m in VANTAGES])
def test_a_vantage_that_cannot_be_used(at_site: AtSite, make: Callable[[AtSite], object], expected: str) -> None:
    make(at_site)
    before = at_site.user.files()
    said = at_site.user.types("verify", "-i", "inventory")
    assert said.status == 1, "the other vantage sees the archive"
    assert said.err.startswith("! vantage clinic: clinic (")
    assert fits(expected, said.err), said.err
    assert said.err.count("next: ") == 1
    assert "Traceback" not in said.err
    assert SECRET not in said.err + said.out
    assert "2 without an answer" in said.out
    assert at_site.user.files() == before
    assert only_loopback(said)


def test_a_run_without_a_vantage_changes_nothing_and_says_so_in_the_record(at_site: AtSite) -> None:
    at_site.clinic_by_ssh("probe@127.0.0.1:9")
    said = at_site.user.types("run", "book.yaml", "-i", "inventory")
    assert said.status == 3
    assert fits("stopped before anything was pushed. vantage clinic: …Connection refused", said.out)
    with Record.open(at_site.user.record) as record:
        (change,) = record.changes()
        kinds = [entry.kind for entry in record.journal(change.change)]
    assert kinds == ["planned", "preflight", "stopped", "ended"]


@pytest.mark.parametrize("command", ["resume", "rollback"])
def test_a_change_in_another_inventory(at_site: AtSite, command: str) -> None:
    """The device that it is about is not there; nothing is locked, so that the right inventory can be given next."""
    plan = at_site.plan()
    with Record.open(at_site.user.record) as record:
        journal = record.begin("earlier", data={"plan": plan})
        if command == "rollback":
            journal.append("confirmed", {"wave": 1, "state": "confirmed"})
    at_site.user.change("inventory/hosts.yaml", "edge-router", "other-router")
    at_site.user.change("inventory/hosts.yaml", "edge-router", "other-router")
    before = at_site.user.files()
    said = at_site.user.types(command, "earlier", "-i", "inventory")
    check_message(said, 2)
    assert fits(
        "the change is about edge-router, which the inventory does not have\n  next: give the inventory that it was made with",
        said.err,
    )
    assert at_site.user.files() == before
    assert said.network == []


def test_a_change_whose_guard_is_gone(at_site: AtSite) -> None:
    plan = at_site.plan()
    with Record.open(at_site.user.record) as record:
        journal = record.begin("earlier", data={"plan": plan})
        journal.append("confirmed", {"wave": 1, "state": "confirmed"})
        journal.append("ended", {"exit_status": 0})
    before = at_site.user.files()
    said = at_site.user.types("rollback", "earlier")
    check_message(said, 3)
    assert fits(
        "error: edge-router: section acl_archive of the guard is not what change earlier left\n  next: ", said.err
    )
    assert at_site.user.files() == before


def test_nothing_is_said_twice_at_a_real_prompt(at_site: AtSite) -> None:
    """Nornir and paramiko log what they raise; pytest takes logs away, a terminal does not."""
    at_site.change("port: 2222", "port: 9")
    done = subprocess.run(
        [str(REMEDIATE), "plan", "book.yaml", "-i", "inventory"],
        capture_output=True,
        text=True,
        check=False,
        cwd=at_site.user.folder,
        env={**os.environ},
    )
    assert done.returncode == 3
    assert done.stderr.startswith("error: edge-router: no session")
    assert done.stderr.count("\n") == 2
