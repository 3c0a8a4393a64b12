"""The catalogue of mistakes: for each the exit status, and one message that says what, where, and what to do next.

Nothing else may come of a mistake: no file, no entry in a record, no packet, no traceback, no secret.
"""

# ruff: noqa: E501 - a table: one mistake, one line

from __future__ import annotations

import ast
import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main

from remediate import inventory, playbook
from remediate.cli.app import app
from remediate.model.change import Plan
from remediate.record import Record, schema
from tests.cli.prompt import HOSTS, SECRET, Said, User

Make = Callable[[User], object]
ROOT = Path(__file__).parents[2]
#: Not said to people as commands: our marks on devices, and a sentence.
NO_COMMANDS = {(word, "") for word in ("armed", "digest", "guard", "owner", "push")} | {("that", "wrote")}


def hosts(old: str, new: str) -> Make:
    return lambda user: user.change("inventory/hosts.yaml", old, new)


def book(old: str, new: str) -> Make:
    return lambda user: user.change("book.yaml", old, new)


def write(name: str, text: str | bytes) -> Make:
    return lambda user: user.write(name, text)


def nothing(_: User) -> None:
    pass


def no_vantages(user: User) -> None:
    user.write("inventory/hosts.yaml", HOSTS.partition("internet:")[0])


def another_database(user: User) -> None:
    user.record.parent.mkdir()
    with closing(sqlite3.connect(user.record)) as database, database:
        database.execute("CREATE TABLE invoices (number INTEGER)")


def newer_record(user: User) -> None:
    Record.open(user.record).close()
    with closing(sqlite3.connect(user.record)) as database, database:
        database.execute("UPDATE remediate_schema SET version = ?", (schema.VERSION + 1,))


def recorded(**data: object) -> Make:
    def make(user: User) -> None:
        with Record.open(user.record) as record:
            record.begin("earlier", data=data)

    return make


def a_plan(user: User) -> dict[str, object]:
    book = user.folder / "book.yaml"
    inputs = {"inventory": inventory.load(user.folder / "inventory").digest, "playbook": playbook.load(book).digest}
    plan = Plan(tool="0", playbook=str(book), inventory="/nowhere/inventory", inputs=inputs, waves=())
    return dict(plan.model_dump(mode="json"))


def planned(user: User) -> None:
    """A change that has begun, and nothing more; the inventory that it was made with is gone."""
    recorded(plan=a_plan(user))(user)


def with_a_plan(user: User) -> None:
    user.write("plan.json", json.dumps(a_plan(user)))


def stamped_before(user: User) -> None:
    recorded()(user)
    user.write("id", "")
    user.write("anchor.json.tsr", b"")


def with_a_plan_and_a_key(user: User) -> None:
    with_a_plan(user)
    user.write("id", "no key")


def to_be_approved(user: User, **approval: object) -> None:
    """``approval``: what the file beside the plan holds; without: there is none."""
    made = a_plan(user) | {"allowed_signers": [str(user.folder / "signers")]}
    user.write("plan.json", json.dumps(made))
    user.write("signers", "")
    user.write("id", "no key")
    if approval:
        user.write("plan.json.approval", json.dumps(approval))


def approved_otherwise(user: User) -> None:
    to_be_approved(user, plan_sha256="0" * 64, principal=None, signature="", at="2026-01-02T12:00:00Z")


def kept_otherwise(user: User) -> None:
    user.write("kept.txt", f"something else, {SECRET}\n")


def two_mistakes(user: User) -> None:
    user.change("inventory/hosts.yaml", "104", "0")
    user.change("inventory/hosts.yaml", "ORTHANC", "''")


def no_programs(user: User) -> None:
    user.patch.setenv("PATH", str(user.folder))


def unset(user: User) -> None:
    user.patch.delenv("FW_PASSWORD", raising=False)
    user.change("inventory/hosts.yaml", SECRET, "env:FW_PASSWORD")


def no_vault(user: User) -> None:
    user.patch.delenv("VAULT_ADDR", raising=False)
    user.change("inventory/hosts.yaml", SECRET, "vault:kv/firewalls#password")


CONFIG = "    config: {file: /etc/orthanc.json, restart: systemctl restart orthanc}\n"


TLS = CONFIG.replace("}", ", tls: {certificate: /etc/own.crt, key: /etc/own.key, trusted: /etc/peers.crt}}")


def titles(config: str, old: str = "", new: str = "", platform: str = "orthanc", control: str = "ae_title") -> Make:
    """The playbook applies that control; the archive has a login, that platform and that ``config``."""

    def make(user: User) -> None:
        book("apply: acl", f"apply: {control}")(user)
        login = f"  hostname: 127.0.0.1\n  port: 9\n  username: root\n  password: {SECRET}\n  platform: {platform}\n"
        hosts("pacs-north:\n", "pacs-north:\n" + login)(user)
        hosts("    protected_by: [fw-north]\n", "    protected_by: [fw-north]\n" + config)(user)
        if old:
            hosts(old, new)(user)

    return make


INVENTORY = "inventory check -i inventory"
PLAN = "plan book.yaml -i inventory"
RUN = "run book.yaml -i inventory"

# (what it is, how it is made, what is typed, what is said: … stands for any words)
# fmt: off
MISTAKES: list[tuple[str, Make, str, str]] = [
    # -- the inventory
    ("no such inventory", nothing, "verify -i nowhere", "error: nowhere: the inventory cannot be read\n  - nowhere does not exist\n  next: give the directory with hosts.yaml in it, or write one with: remediate init DIR"),
    ("no inventory here", lambda user: (user.folder / "inventory").rename(user.folder / "site"), "verify", "error: inventory: the inventory cannot be read\n  - inventory does not exist\n  next: …"),
    ("a folder without hosts.yaml", write("empty/x.txt", ""), "inventory check -i empty", "error: empty: …hosts.yaml does not exist\n  next: …"),
    ("a file that is no hosts.yaml", nothing, "inventory check -i book.yaml", "error: book.yaml: …is neither a directory nor a hosts.yaml\n  next: …"),
    ("an empty hosts.yaml", write("inventory/hosts.yaml", ""), INVENTORY, "error: inventory: the inventory has one problem\n  - hosts.yaml:1: no host is in it; allowed: at least one PACS\n  next: mend that; nothing was asked or changed"),
    ("YAML syntax", hosts("[pacs]", "[pacs"), INVENTORY, "hosts.yaml:…: is not YAML: …"),
    ("a tab", hosts("  groups: [pacs]", "\tgroups: [pacs]"), INVENTORY, "hosts.yaml:2: is not YAML: a tab stands in the indentation; YAML wants blanks there"),
    ("a key twice", hosts("    ae_title: ORTHANC", "    ae_title: ORTHANC\n    ae_title: OTHER"), INVENTORY, "hosts.yaml:5: pacs-north: data: the key ae_title stands twice, first on line 4"),
    ("a host twice", write("inventory/hosts.yaml", HOSTS + "internet: {groups: [vantages]}\n"), INVENTORY, "the key internet stands twice"),
    ("not UTF-8", write("inventory/hosts.yaml", b"a: \xff\n"), INVENTORY, "hosts.yaml:1: is not UTF-8 text"),
    ("a YAML tag", write("inventory/hosts.yaml", "a: !!python/object/apply:os.getcwd []\n"), INVENTORY, "hosts.yaml:1: a: has a tag (!...); allowed: plain YAML"),
    ("a wrong type", hosts("[fw-north]", "fw-north"), INVENTORY, "data.protected_by: found 'fw-north'; allowed: a list of devices"),
    ("a list on top", write("inventory/hosts.yaml", "- pacs-north\n"), INVENTORY, "hosts.yaml:1: found a list; allowed: a mapping"),
    ("an unknown key", hosts("ae_title: ORTHANC", "ae_titel: ORTHANC"), INVENTORY, "data.ae_titel: unknown key; allowed: …; did you mean ae_title?"),
    ("a key outside data", hosts("  data:\n    ae_title", "  services: []\n  data:\n    ae_title"), INVENTORY, "services: unknown key here: it belongs into data: {services: ...}"),
    ("an unknown group", hosts("[pacs]", "[pasc]"), INVENTORY, "groups: no group is called pasc; did you mean pacs?"),
    ("no host is a PACS", lambda user: user.write("inventory/hosts.yaml", "internet:" + HOSTS.partition("internet:")[2]), INVENTORY, "no host is in the group pacs; allowed: at least one"),
    ("a name for an address", hosts("outside: 127.0.0.20", "outside: pacs.example"), INVENTORY, "addresses.outside: found 'pacs.example'; allowed: an IPv4 or IPv6 address; names are not looked up"),
    ("a wrong address", hosts("127.0.0.20", "127.0.0.256"), INVENTORY, "found '127.0.0.256'; allowed: an IPv4 or IPv6 address"),
    ("a wrong port", hosts("port: 104", "port: 70000"), INVENTORY, "services[0].port: found 70000; allowed: a port, 1 to 65535"),
    ("an AE title that is too long", hosts("ORTHANC", "ORTHANC_IS_TOO_LONG"), INVENTORY, "ae_title: found 'ORTHANC_IS_TOO_LONG'; allowed: 1 to 16 printable ASCII characters"),
    ("an unknown platform", hosts("linux_nftables", "linux_nftable"), INVENTORY, "platform: found 'linux_nftable'; allowed: cisco_ios, conquest, dcm4chee_arc, dcmqrscp, linux_nftables, orthanc; did you mean linux_nftables?"),
    ("an unknown device", hosts("[fw-north]", "[fw-nroth]"), INVENTORY, "protected_by[0]: no device is called fw-nroth; there are: fw-north; did you mean fw-north?"),
    ("an unknown peer", hosts("peer: ct-1", "peer: ct-2"), INVENTORY, "data.peer: no peer of any PACS is called ct-2; there are: ct-1; did you mean ct-1?"),
    ("a client certificate that is missing", hosts("peer: ct-1", "peer: ct-1, client_certificate: {certificate: ct-1.pem}"), INVENTORY, "data.client_certificate: the file '…inventory/ct-1.pem' cannot be read: No such file or directory"),
    ("a client certificate without a peer", hosts("zone: outside", "zone: outside, client_certificate: {certificate: 'ORTHANC'}"), INVENTORY, "data.client_certificate: is a peer's own; allowed: only with peer"),
    ("no guard", hosts(", data: {guard: {interface: wan}}", ""), INVENTORY, "data.guard is missing; allowed: {interface: NAME}"),
    ("no canary outside", hosts(", canaries: [{address: 127.0.0.1, port: 9}]", ""), INVENTORY, "data.canaries is missing; allowed: …so that a dead vantage outside does not look like a closed port"),
    ("two archives at one address", lambda user: user.write("inventory/hosts.yaml", HOSTS + HOSTS.partition("fw-north:\n")[0].replace("pacs-north", "pacs-2")), INVENTORY, "pacs-2: …outside: pacs-north is at 127.0.0.20 port 104 already"),
    ("a misspelt file name", write("inventory/group.yaml", "north: {}\n"), INVENTORY, "group.yaml: is not read; did you mean groups.yaml?"),
    ("a password in the wrong place", hosts("probe@127", f"probe:{SECRET}@127"), INVENTORY, "via.ssh: found 'probe:***@127.0.0.1:9'; allowed: …a password never stands here"),
    ("a password that is no text", hosts(SECRET, f"[{SECRET}]"), INVENTORY, "password: found ***; allowed: a password in quotes, env:NAME, file:PATH, keyring:SERVICE/USER or vault:MOUNT/PATH#FIELD"),
    ("a password that is not set", unset, INVENTORY, "password: the environment variable FW_PASSWORD is not set, or empty"),
    ("a password file that is missing", hosts(SECRET, "file:secret"), INVENTORY, "password: the file 'secret' cannot be read: No such file or directory"),
    ("a reference to a Vault that nobody has named", no_vault, INVENTORY, "password: the environment variable VAULT_ADDR is not set; it says where the Vault is"),
    ("half a reference to a keyring", hosts(SECRET, "keyring:remediate"), INVENTORY, "password: keyring: is not followed by SERVICE/USER"),
    ("half a reference to a Vault", hosts(SECRET, "vault:kv#password"), INVENTORY, "password: vault: is not followed by MOUNT/PATH#FIELD"),
    ("several at once", two_mistakes, INVENTORY, "the inventory has 2 problems\n  - hosts.yaml:4: …\n  - hosts.yaml:6: …\n  next: "),
    ("nowhere to look from", no_vantages, "verify -i inventory", "error: there is no vantage to look from\n  next: add one to the inventory"),
    # -- the playbook
    ("no such playbook", nothing, "plan nowhere.yaml -i inventory", "error: nowhere.yaml: the playbook cannot be read\n  - No such file or directory\n  next: "),
    ("a folder as playbook", nothing, "plan inventory -i inventory", "error: inventory: the playbook cannot be read\n  - Is a directory"),
    ("an empty playbook", write("book.yaml", ""), PLAN, "book.yaml:1: no play is in it; allowed: at least one"),
    ("a playbook's syntax", book("[internet, clinic]", "[internet, clinic"), PLAN, "error: book.yaml: the playbook has one problem\n  - book.yaml:…: is not YAML: …\n  next: mend that; nothing was asked or changed"),
    ("a playbook's key twice", book("  hosts: pacs", "  hosts: pacs\n  hosts: all"), PLAN, "book.yaml:3: play 1: the key hosts stands twice, first on line 2"),
    ("an inventory as playbook", nothing, "plan inventory/hosts.yaml -i inventory", "hosts.yaml:1: found a mapping; allowed: a list of plays"),
    ("an unknown control", book("apply: acl", "apply: alc"), RUN, "task 1: apply: no control is called alc; there are: acl, ae_title, …unpublish, vpn_only…; did you mean acl?"),
    ("an unknown vantage", book("clinic]", "clinik]"), RUN, "task 2: verify.from[1]: no vantage is called clinik; there are: clinic, internet; did you mean clinic?"),
    ("an unknown vantage in verify", book("clinic]", "clinik]"), "verify book.yaml -i inventory", "no vantage is called clinik"),
    ("a step while the timer runs", book("    - name: Look\n", "    - {name: Tell, run: 'tell:it'}\n    - name: Look\n"), PLAN, "task 2: run before the verify on line 8, after an apply: a revert timer runs there; allowed: before the first apply, and at the end"),
    ("a step that is not there", book("  tasks:\n", "  tasks:\n    - {name: Tell, run: 'no_such_module:it'}\n"), PLAN, "error: task 'Tell': there is no module no_such_module\n  next: put no_such_module.py beside the playbook"),
    ("apply and verify in one task", book("apply: acl", "apply: acl\n      verify: {from: [clinic]}"), PLAN, "task 1: found apply and verify; allowed: exactly one of apply, run and verify"),
    ("a revert_in that is no time", book("5m", "soon"), PLAN, "vars.revert_in: found 'soon'; allowed: seconds, or a text such as"),
    ("a misspelt revert_in", book("revert_in", "revertin"), PLAN, "vars.revertin: unknown variable; did you mean revert_in?"),
    ("a percentage as text", book("  vars", "  max_fail_percentage: 10%\n  vars"), PLAN, "max_fail_percentage: found '10%'; allowed: a number from 0 to 100, without %"),
    ("a wave of nobody", book("  vars", "  serial: 0\n  vars"), PLAN, "serial: found 0; allowed: a number of hosts (1 or more)"),
    ("AE titles where the archive is not told how", book("acl", "ae_title"), PLAN, "error: pacs-north: ae_title configures pacs-north itself, and the inventory does not say how\n  next: give it a platform that can, config: {file: …, restart: …} and a login, or leave it out"),
    ("AE titles on Horos", titles("", platform="horos"), PLAN, "error: pacs-north: horos cannot filter by AE title: its check of the calling AE title is commented out in its source\n  next: close it with acl or vpn_only, and leave it out of this play"),
    ("AE titles for a network", titles(CONFIG, "address: 127.0.0.10,", "network: 127.0.0.0/28,"), PLAN, "error: pacs-north, peer ct-1: the network 127.0.0.0/28 cannot be said in an AE-title filter: it takes single addresses\n  next: list its stations as peers of their own, or leave this control out"),
    ("AE titles, one of them not known", titles(CONFIG, " ae_title: CLINICMOD,", " via: vpn,"), PLAN, "error: pacs-north, peer ct-1: its AE title is not known\n  next: give it an ae_title in the inventory"),
    ("a config on a platform that has none", titles(CONFIG, platform="horos"), PLAN, "data.config: the platform horos cannot be configured; allowed: cisco_ios, conquest, dcm4chee_arc, dcmqrscp, linux_nftables, orthanc, or no config"),
    ("a config without a restart", titles("    config: {file: /etc/orthanc.json}\n"), PLAN, "data.config: restart is missing"),
    ("a config by a relative path", titles(CONFIG.replace("/etc", "etc")), PLAN, "data.config.file: found 'etc/orthanc.json'; allowed: an absolute path on that host"),
    ("a restart of an archive that needs none", titles(CONFIG, platform="conquest"), PLAN, "data.config.restart: unknown key; allowed: file, tls"),
    ("a directory that is no device's", titles("    config: {ldap: 'dc=example', reload: 'true'}\n", platform="dcm4chee_arc"), PLAN, "data.config.ldap: found 'dc=example'; allowed: the entry of the archive's device, dicomDeviceName=NAME,cn=Devices,..."),
    ("TLS without its files", titles(CONFIG, control="tls_only"), PLAN, "error: pacs-north: tls_only needs its certificate, its private key, and whom it is to trust\n  next: name these files on its host: config: {tls: {certificate: …, key: …, trusted: …}}"),
    ("a file of TLS by a relative path", titles(TLS.replace("/etc/own.key", "own.key")), PLAN, "data.config.tls.key: found 'own.key'; allowed: an absolute path on that host"),
    ("TLS that trusts nobody", titles(TLS.replace(", trusted: /etc/peers.crt", "")), PLAN, "data.config.tls: trusted is missing"),
    ("TLS, and peers that do not speak it", titles(TLS, control="tls_only"), PLAN, "error: pacs-north: these peers would be cut off, since nothing says that they speak TLS: …\n  next: give each that has a certificate `tls: true` in access.peers; or use acl or vpn_only"),
    ("TLS of a peer that is neither true nor false", hosts("roles: [store", "tls: soon, roles: [store"), PLAN, "peers[0].tls: found 'soon'; allowed: true, where it speaks DICOM inside TLS with a certificate of its own, or false"),
    ("a web login on an archive that has none", titles(CONFIG, platform="dcmqrscp", control="web_auth"), PLAN, "error: pacs-north: web_auth cannot be carried out on dcmqrscp\n  next: correct its platform in the inventory, or apply another control"),
    ("a restart of two lines", titles(CONFIG.replace("systemctl restart orthanc", '"a\\nb"')), PLAN, "data.config.restart: has a line break or another control character; allowed: a string"),
    ("hosts that are nobody", book("hosts: pacs", "hosts: pacs-nroth"), PLAN, "error: hosts: no host or group is called pacs-nroth; did you mean pacs-north?\n  next: remediate inventory show"),
    ("hosts that fit nobody", book("hosts: pacs", "hosts: south-*"), PLAN, "error: hosts: south-* fits no host and no group\n  next: "),
    ("hosts that are a vantage", book("hosts: pacs", "hosts: clinic"), PLAN, "error: hosts: clinic is a vantage, not a PACS\n  next: "),
    ("a filter that selects nothing", book("hosts: pacs", "hosts: pacs,!all"), RUN, "error: no PACS is selected by hosts: pacs,!all\n  next: choose from: pacs-north, all"),
    ("an archive that nothing protects", hosts("    protected_by: [fw-north]\n", ""), RUN, "error: pacs-north: no device protects it, so nothing can be applied\n  next: name its firewall in protected_by, or leave it out with --limit"),
    # -- options
    ("a misspelt limit", nothing, f"{RUN} --limit pacs-nroth", "error: --limit: no host or group is called pacs-nroth; did you mean pacs-north?\n  next: "),
    ("a limit to a device", nothing, f"{RUN} --limit fw-north", "error: --limit: fw-north is a device, not a PACS\n  next: name the PACS that it is there for"),
    ("a limit to nobody", nothing, "verify -i inventory --limit !all", "error: no PACS is selected by hosts: all with --limit !all\n  next: "),
    ("an empty limit", nothing, "verify -i inventory --limit ,", "error: --limit: the pattern is empty\n  next: "),
    ("lines without a target list", nothing, "verify -i inventory --format jsonl", "error: --format jsonl is for target lists: one line for each answer as it comes\n  next: give --format json for the archives of an inventory"),
    ("-e without a value", nothing, f"{RUN} -e revert_in", "error: -e revert_in is not key=value\n  next: write, for example, -e revert_in=10m"),
    ("-e without a name", nothing, f"{RUN} -e =5m", "error: -e …is not key=value\n  next: "),
    ("-e with a wrong value", nothing, f"{RUN} -e revert_in=soon", "-e: revert_in: found 'soon'; allowed: seconds, or a text such as"),
    ("-e with a misspelt name", nothing, f"{RUN} -e revertin=5m", "-e: revertin: unknown variable; did you mean revert_in?"),
    ("no such templates", nothing, f"{PLAN} --templates nowhere", "error: nowhere: the templates folder does not exist\n  next: name an existing folder"),
    ("a plan into no folder", nothing, f"{PLAN} --out nowhere/plan.json", "error: --out nowhere/plan.json: the plan cannot be written there: its folder does not exist\n  next: name a file in an existing folder"),
    ("a plan by another name", nothing, f"{PLAN} --out plan.txt", "error: --out plan.txt: the file of a plan is known by its name\n  next: let it end in .json"),
    # -- a plan's file
    ("no such plan", nothing, "run nowhere.json -i inventory", "error: nowhere.json: the plan cannot be read: No such file or directory\n  next: "),
    ("a plan that is no JSON", write("plan.json", "{"), "run plan.json -i inventory", "error: plan.json: this is not a plan of this version\n  next: make one: remediate plan PLAYBOOK --out FILE"),
    ("a plan that is something else", write("plan.json", '{"version": 3}'), "run plan.json -i inventory", "error: plan.json: this is not a plan of this version\n  next: "),
    ("a plan that is narrowed", with_a_plan, "run plan.json -i inventory --limit pacs-north", "error: plan.json: a plan is run as it is: --limit, -e and --templates cannot change it\n  next: give them to `remediate plan`, and run what it writes"),
    # -- approval
    ("a play that is to be approved", book("tasks:", "approval: {allowed_signers: signers}\n  tasks:"), RUN, "error: the plan needs a second person's approval, and there is none\n  next: remediate plan PLAYBOOK --out PLAN; somebody else: remediate approve PLAN --key KEY; then remediate run PLAN --key KEY. In an emergency: --emergency REASON"),
    ("a plan that is to be approved", to_be_approved, "run plan.json -i inventory", "error: the plan needs a second person's approval, and there is none\n  next: "),
    ("a plan that was approved otherwise", approved_otherwise, "run plan.json -i inventory", f"error: the approval is for another plan\n  approved: {'0' * 64}\n  this one: …\n  next: the plan was changed after it was approved: see by whom, and have this one approved"),
    ("an approval that is none", lambda user: to_be_approved(user, x=1), "run plan.json -i inventory", "error: plan.json.approval: this is not an approval\n  next: remediate approve PLAN --key KEY, by somebody else than you"),
    ("an approved plan to which something is added", to_be_approved, "run plan.json -i inventory --accept 127.0.0.66", "error: plan.json: what was approved is run as it was approved: --accept cannot change it\n  next: give it to `remediate plan`, and have that approved"),
    ("accepted by no address", nothing, f"{RUN} --accept 127.0.0.999", "error: --accept: '127.0.0.999' does not appear to be an IPv4 or IPv6 address\n  next: give the address of a peer that may be cut off, or a peer's name"),
    ("an address to accept in a play that is none", book("tasks:", "accept: [127.0.0.66, 127.0.0.999]\n  tasks:"), RUN, "book.yaml:4: play 1: accept[1]: found '127.0.0.999'; allowed: …"),
    ("peers of an archive that is not there", nothing, "peers pacs-nort -i inventory", "error: no archive is called 'pacs-nort'\n  next: there are: pacs-north"),
    ("a look-back that is not there", nothing, "peers pacs-north -i inventory --from none.csv", "error: --from none.csv: it cannot be read: No such file or directory\n  next: give a file of records"),
    ("a look-back that is something else", kept_otherwise, "peers pacs-north -i inventory --from kept.txt", "error: --from kept.txt: it is not known what this is\n  next: give flow records (CSV with a header, …"),
    ("an emergency without a reason", nothing, f"{RUN} --emergency=", "error: --emergency needs a reason\n  next: say why nobody could be asked: it goes into the record"),
    ("a key that is not there", to_be_approved, "approve plan.json --key nowhere", "error: --key nowhere: there is no such key\n  next: name a private key, or the .pub of one in ssh-agent"),
    ("a person without a key", to_be_approved, "approve plan.json --as alice", "error: --as says whose key it is, and there is none\n  next: give --key KEY, or REMEDIATE_KEY"),
    ("an approval without a key", to_be_approved, "approve plan.json", "error: an approval is signed with your key\n  next: give --key KEY, or REMEDIATE_KEY"),
    ("an approval that nobody asks for", with_a_plan_and_a_key, "approve plan.json --key id", "error: the plan asks for no approval\n  next: write  approval: {allowed_signers: FILE}  into its play, and plan again"),
    ("an approval that nobody can be asked about", to_be_approved, "approve plan.json --key id", "error: there is no terminal to ask whether the plan is right\n  next: run it in a terminal; or with --yes"),
    ("no plan to approve", nothing, "approve nowhere.json", "error: nowhere.json: the plan cannot be read: No such file or directory\n  next: "),
    # -- waves and windows
    ("a window without a zone", book("tasks:", "window: {days: [mon-fri]}\n  tasks:"), PLAN, "book.yaml:4: play 1: window: timezone is missing"),
    ("a first that is nobody", book("tasks:", "first: pacs-nroth\n  tasks:"), PLAN, "error: play 'Close public DICOM exposure': first: no host or group is called pacs-nroth; did you mean pacs-north?\n  next: "),
    ("a first that is not among the hosts", book("tasks:", "first: '!pacs-north'\n  tasks:"), PLAN, "error: play 'Close public DICOM exposure': first: no PACS is selected by hosts: !pacs-north\n  next: "),
    ("a soak that is no time", book("tasks:", "soak: 10 min\n  tasks:"), PLAN, "book.yaml:4: play 1: soak: found '10 min'; allowed: seconds, or a text such as \"90s\", \"10m\", \"24h\"; at most 336 hours"),
    # -- anchors
    ("an anchor that goes nowhere", recorded(), "record anchor", "error: an anchor is kept outside the record\n  next: give --out FILE --key KEY, or --syslog ADDRESS"),
    ("an anchor without a key", recorded(), "record anchor --out anchor.json", "error: an anchor in a file is signed with your key\n  next: give --key KEY, or REMEDIATE_KEY"),
    ("no such anchor", recorded(), "record verify --anchor nowhere.json", "error: nowhere.json: the anchor cannot be read: No such file or directory\n  next: "),
    ("an anchor that is none", recorded(), "record verify --anchor book.yaml", "error: book.yaml: this is not an anchor\n  next: give what record anchor wrote"),
    ("signers of no anchor", recorded(), "record verify --allowed-signers book.yaml", "error: --allowed-signers is for the anchor's signature\n  next: give --anchor FILE too"),
    ("stampers of no anchor", recorded(), "record verify --tsa-ca book.yaml", "error: --tsa-ca is for the anchor's time stamp\n  next: give --anchor FILE too"),
    ("a stamp that nobody looks at", recorded(), "record anchor --tsa http://127.0.0.1:9/", "error: a time stamp is checked as soon as it comes\n  next: give --tsa URL and --tsa-ca FILE, or neither"),
    ("a stamp of no file", recorded(), "record anchor --syslog /dev/log --tsa http://127.0.0.1:9/ --tsa-ca book.yaml", "error: a time stamp is of an anchor in a file\n  next: give --out FILE --key KEY too"),
    ("an anchor under an older one's stamp", stamped_before, "record anchor --key id --out anchor.json", "error: anchor.json: a time stamp is beside it, of the anchor that was there\n  next: name another file with --out"),
    # -- the record
    ("no record", nothing, "record list --record elsewhere.db", "error: elsewhere.db: there is no change record there\n  next: the first change makes one; another is named with --record or REMEDIATE_RECORD"),
    ("a folder as record", nothing, "record list --record inventory", "error: inventory: the record cannot be used: …\n  next: check the path, its permissions and the free space; no device is touched without a record"),
    ("a text as record", nothing, "record list --record book.yaml", "error: book.yaml: the record cannot be used: file is not a database\n  next: "),
    ("another database as record", another_database, "record verify", "error: …record.db: this is no change record\n  next: give the record a place of its own"),
    ("a newer record", newer_record, "record list", f"error: …record.db: the record has schema version {schema.VERSION + 1}; this program knows up to {schema.VERSION}\n  next: use the newer version of remediate that wrote it"),
    ("another kind of database", nothing, f"record list --record mysql://me:{SECRET}@127.0.0.1/x", "error: mysql://me:***@127.0.0.1/x: a record is kept in an SQLite file or in PostgreSQL\n  next: "),
    ("an unknown change to show", recorded(), "record show 20200101-000000-0000", "error: …record.db: there is no change 20200101-000000-0000 in the record\n  next: `remediate record list` shows them"),
    ("a change that can be nobody's", recorded(), "record show ../passwd", "error: …record.db: there is no change …in the record\n  next: "),
    ("an unknown change to verify", recorded(), "record verify 20200101-000000-0000", "there is no change 20200101-000000-0000 in the record\n  next: "),
    ("an unknown change to resume", recorded(), "resume 20200101-000000-0000", "there is no change 20200101-000000-0000 in the record\n  next: "),
    ("an unknown change to roll back", recorded(), "rollback 20200101-000000-0000", "there is no change 20200101-000000-0000 in the record\n  next: "),
    ("a change without a plan", recorded(), "rollback earlier", "error: change earlier has no plan in its record\n  next: remediate record show"),
    ("a change of another version", recorded(plan={"schema_version": 9}), "resume", "error: the plan of change earlier cannot be read by this version\n  next: use the version that made it; "),
    ("a change that confirmed nothing", planned, "rollback earlier -i inventory", "error: change earlier has confirmed nothing that could be taken back\n  next: remediate record show says how it ended; one that has not ended: remediate resume"),
    ("a change whose inventory is gone", planned, "resume", "error: /nowhere/inventory: the inventory cannot be read\n  - inventory does not exist\n  next: "),
    # -- where it cannot run
    ("no lab here", no_programs, "lab up", "error: the lab cannot run here:\n  - …apt-get install --no-install-recommends dcmtk…\n  next: see to that, or try `remediate demo`"),
]
# fmt: on
# The words are typer's, which change; what is named in them does not.
USAGE = [
    ("vreify", "vreify"),
    ("plan", "playbook"),
    ("rollback", "CHANGE"),
    (f"{RUN} --forks 0", "--forks"),
    (f"{RUN} --dif", "--dif"),
    ("verify -i", "-i"),
    ("verify --format xml", "xml"),
    ("record show a b", "(b)"),
]


def fits(pattern: str, text: str) -> bool:
    return re.search(".*?".join(re.escape(part) for part in pattern.split("…")), text, re.DOTALL) is not None


def check_message(said: Said, status: int) -> None:
    """One message: what, where, what to do next; and no more than that."""
    assert said.status == status, said.err
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("error: ") == 1
    assert said.err.count("\n  next: ") == 1, said.err
    assert SECRET not in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(("make", "typed", "expected"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake(user: User, make: Make, typed: str, expected: str) -> None:
    make(user)
    before = user.files()
    said = user.types(*typed.split())
    check_message(said, 2)
    assert fits(expected, said.err), said.err
    assert user.files() == before
    assert said.network == []


@pytest.mark.parametrize(("typed", "expected"), USAGE, ids=[row[0] for row in USAGE])
def test_a_wrong_command_line(user: User, typed: str, expected: str) -> None:
    before = user.files()
    said = user.types(*typed.split())
    assert (said.status, said.out, said.network) == (2, "", [])
    assert re.search(rf"^Error: .*{re.escape(expected)}", said.err, re.MULTILINE | re.IGNORECASE), said.err
    assert "Traceback" not in said.err
    assert user.files() == before


def test_there_are_many_of_them_and_each_is_said_in_its_own_words() -> None:
    assert len({row[0] for row in MISTAKES}) == len(MISTAKES) >= 60


@pytest.mark.parametrize("inputs", [{"inventory": "0" * 64}, {}], ids=["another", "unknown"])
def test_a_plan_of_another_inventory_is_not_run(user: User, inputs: dict[str, str]) -> None:
    """Not a mistake in what was typed: something changed since."""
    made = a_plan(user)
    given = {"playbook": playbook.load(user.folder / "book.yaml").digest} | inputs
    user.write("plan.json", json.dumps(made | {"inputs": given}))
    before = user.files()
    said = user.types("run", "plan.json", "-i", "inventory")
    check_message(said, 3)
    assert said.err == "error: plan.json: the inventory has changed since the plan was made\n  next: plan again\n"
    assert user.files() == before
    assert said.network == []


def test_no_demo_here(user: User) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(98, "Address already in use")

    user.patch.setattr(socket, "create_server", refuse)
    before = user.files()
    said = user.types("demo")
    assert (said.status, said.network) == (2, [])
    assert said.err == (
        "error: no free addresses and ports on loopback for the demo\n  next: see what listens here, and end what you do not need: ss -ltn\n"
    )
    assert user.files() == before


def test_a_name_that_is_no_text(user: User) -> None:
    recorded()(user)
    argv: list[str | bytes] = [
        sys.executable,
        "-c",
        "from remediate.cli import main; main()",
        "record",
        "show",
        b"\xff",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert fits("error: …record.db: there is no change \\udcff in the record\n  next: ", done.stderr)


def test_what_is_no_mistake(user: User) -> None:
    assert user.types("inventory", "check", "-i", "inventory").status == 0
    said = user.types("resume")
    assert (said.status, said.out) == (0, "nothing to resume: every change in the record has ended\n")
    said = user.types("lab", "status", "--folder", "nowhere")
    assert (said.status, said.out) == (3, "no lab stands\n")
    assert not user.record.exists()


def test_what_listens_here_would_hear_a_packet(user: User) -> None:
    user.write("home/.ssh/known_hosts", "")
    said = user.types("verify", "-i", "inventory")
    assert said.status == 3
    assert ("socket.connect", ("127.0.0.20", 104)) in said.network
    assert ("socket.connect", ("127.0.0.1", 9)) in said.network
    assert (
        "! vantage clinic: clinic (127.0.0.1 port 9): no SSH session: Connection refused\n  next: try: ssh -p 9 "
        in (said.err)
    )
    assert SECRET not in said.err + said.out


def test_the_examples_that_come_along_are_right(user: User) -> None:
    said = user.types("inventory", "check", "-i", str(ROOT / "inventory"))
    assert said.status == 0
    assert "no problem" in said.out


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['remediate', '--help']\n"
        "from remediate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'netmiko', 'sqlalchemy', 'pydicom', 'pynetdicom', 'nornir', 'asyncssh', 'jinja2'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _texts(path: Path) -> Iterator[str]:
    """What stands in the program's strings, but for docstrings."""
    tree = ast.parse(path.read_text())
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_what_is_advised_exists() -> None:
    """Every `remediate …` that a message names is a command."""
    group = typer.main.get_command(app)
    commands: dict[str, Any] = dict(getattr(group, "commands", {}))
    found = {
        (word, more)
        for path in (ROOT / "remediate").rglob("*.py")
        for text in _texts(path)
        for word, more in re.findall(r"(?<![\w/.-])remediate ([a-z]+)(?: ([a-z]+))?", text)
    } - NO_COMMANDS
    assert {word for word, _ in found} >= {"plan", "resume", "record", "inventory"}
    for word, more in found:
        assert word in commands, f"remediate {word}"
        assert not more or more in getattr(commands[word], "commands", {more}), f"remediate {word} {more}"
