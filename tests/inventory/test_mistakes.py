"""What people get wrong, and the words they get back: the place, what was found, what is allowed."""

# ruff: noqa: E501, S104 - a table: one mistake, one line; 0.0.0.0 is one of the mistakes

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.errors import InventoryError
from remediate.inventory import document, load

PACS = """\
pacs-north:
  hostname: 10.10.0.5
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {inside: 10.10.0.5, outside: 203.0.113.20}
    services: [{kind: dicom, port: 104}]
    protected_by: [fw-north]
    access:
      peers:
        - {name: ct-1, address: 10.20.0.10, ae_title: CLINICMOD, roles: [store]}
      destinations:
        - {name: tele, address: 192.0.2.40, port: 104}
"""
REST = """\
fw-north: {hostname: 10.99.99.2, platform: linux_nftables, groups: [firewalls], data: {guard: {interface: wan}}}
internet: {groups: [vantages], data: {zone: outside, canaries: [{address: 203.0.113.1, port: 443}]}}
clinic: {groups: [vantages], data: {zone: inside, peer: ct-1, via: {ssh: probe@10.20.0.10}}}
"""
GOOD = PACS + REST
PLATFORMS = ("linux_nftables", "cisco_ios")


def problems(folder: Path, hosts: str | bytes | None = GOOD, **others: str | bytes) -> tuple[str, ...]:
    for name, text in {"hosts": hosts, **others}.items():
        if text is not None:
            (folder / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InventoryError) as caught:
        load(folder, platforms=PLATFORMS)
    assert str(caught.value).startswith(str(folder))
    return caught.value.problems


def test_the_text_that_the_mistakes_are_made_in_is_right(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(GOOD)
    assert list(load(tmp_path, platforms=PLATFORMS).site.pacs) == ["pacs-north"]


# (what is replaced, by what, the problem's exact text; … stands for any words)
# fmt: off
IN_HOSTS = [
    # keys
    ("hostname: 10.10", "hostnam: 10.10", "hosts.yaml:2: pacs-north: hostnam: unknown key; allowed: hostname, port, username, password, platform, groups, data, connection_options; did you mean hostname?"),
    ("ae_title: ORTHANC", "ae_titel: ORTHANC", "hosts.yaml:5: pacs-north: data.ae_titel: unknown key; allowed: …; did you mean ae_title?"),
    ("    protected_by", "    guarded_by", "hosts.yaml:8: pacs-north: data.guarded_by: unknown key; allowed: ae_title, …"),
    ("  data:\n    ae_title: ORTHANC", "  zone: inside\n  data:\n    ae_title: ORTHANC",
     "hosts.yaml:4: pacs-north: zone: unknown key here: it belongs into data: {zone: ...}; allowed: hostname, port, …"),
    ("port: 104}]", "prot: 104}]", "hosts.yaml:7: pacs-north: data.services[0].prot: unknown key; allowed: kind, port, front; did you mean port?"),
    ("ae_title: ORTHANC", "ae_title: ORTHANC\n    ae_title: OTHER", "hosts.yaml:6: pacs-north: data: the key ae_title stands twice, first on line 5"),
    ("ae_title: ORTHANC", "ae_title: ORTHANC\n    7: x", "hosts.yaml:6: pacs-north: data.7: the key is a number; allowed: a string; put it in quotes"),
    ("ae_title: ORTHANC", "ae_title: ORTHANC\n    no: x", "hosts.yaml:6: pacs-north: data: a key is not a string; allowed: a string; put it in quotes"),
    ("ae_title: ORTHANC", "ae_title: ORTHANC\n    [a]: x", "hosts.yaml:6: pacs-north: data: a key is not a string; allowed: a string; put it in quotes"),
    # kinds and groups
    ("groups: [pacs]", "groups: []", "hosts.yaml:1: pacs-north: it is none; allowed: exactly one of a PACS (group pacs), a vantage (group vantages) or a device …"),
    ("groups: [pacs]", "groups: [pacs, vantages]", "hosts.yaml:1: pacs-north: it is pacs and vantages; allowed: exactly one of …"),
    ("groups: [pacs]", "groups: [pasc]", "hosts.yaml:1: pacs-north: groups: no group is called pasc; did you mean pacs?"),
    ("groups: [pacs]", "groups: [pacs, north]", "hosts.yaml:1: pacs-north: groups: no group is called north; create groups.yaml with the line  north: {}"),
    ("groups: [pacs]", "groups: pacs", "hosts.yaml:3: pacs-north: groups: found 'pacs'; allowed: a list of groups"),
    ("groups: [pacs]", "groups: [pacs, pacs]", "hosts.yaml:3: pacs-north: groups[1]: pacs stands twice"),
    ("    protected_by", "    guard: {interface: wan}\n    protected_by", "hosts.yaml:1: pacs-north: it is pacs and devices; allowed: exactly one of …"),
    ("pacs-north:", "pacs north:", "hosts.yaml:1: 'pacs north': is no name for a host; allowed: a name of letters, …"),
    ("pacs-north:", "all:", "hosts.yaml:1: all: no host can be called all: it stands for every PACS"),
    ("pacs-north:", "firewalls:", "hosts.yaml:1: firewalls: a group is called firewalls too; a playbook could not tell them apart"),
    # PACS
    ("    ae_title: ORTHANC\n", "", "hosts.yaml:1: pacs-north: data.ae_title is missing"),
    ("ORTHANC", "ORTHANC_IS_TOO_LONG", "hosts.yaml:5: pacs-north: data.ae_title: found 'ORTHANC_IS_TOO_LONG'; allowed: 1 to 16 printable ASCII characters, no backslash, no blank at either end"),
    ("ORTHANC", "104", "hosts.yaml:5: pacs-north: data.ae_title: found 104; allowed: 1 to 16 printable ASCII characters, no backslash, no blank at either end; put it in quotes"),
    ("203.0.113.20", "pacs.example", "hosts.yaml:6: pacs-north: data.addresses.outside: found 'pacs.example'; allowed: an IPv4 or IPv6 address; names are not looked up, …"),
    ("203.0.113.20", "203.0.113.256", "hosts.yaml:6: pacs-north: data.addresses.outside: found '203.0.113.256'; allowed: an IPv4 or IPv6 address"),
    ("203.0.113.20", "0.0.0.0", "hosts.yaml:6: pacs-north: data.addresses.outside: found '0.0.0.0'; allowed: an IPv4 or IPv6 address that one host can have"),
    ("203.0.113.20", "'fe80::1%eth0'", "hosts.yaml:6: pacs-north: data.addresses.outside: found 'fe80::1%eth0'; allowed: an IPv4 or IPv6 address without a scope, …"),
    ("203.0.113.20", "[203.0.113.20, 203.0.113.20]", "hosts.yaml:6: pacs-north: data.addresses.outside[1]: 203.0.113.20 stands twice"),
    ("203.0.113.20", "{address: 203.0.113.20, ports: {105: 11112}}", "hosts.yaml:6: pacs-north: data.addresses.outside.ports.105: the PACS has no service on port 105; allowed: 104"),
    ("203.0.113.20", "{address: 203.0.113.20, ports: [104]}", "hosts.yaml:6: pacs-north: data.addresses.outside.ports: found a list; allowed: {104: 11112}, the PACS's own port first, …"),
    ("203.0.113.20", "{ports: {104: 11112}}", "hosts.yaml:6: pacs-north: data.addresses.outside: address is missing"),
    ("{inside: 10.10.0.5, outside: 203.0.113.20}", "{}", "hosts.yaml:6: pacs-north: data.addresses: no address; allowed: at least one of inside and outside"),
    ("port: 104}]", "port: 70000}]", "hosts.yaml:7: pacs-north: data.services[0].port: found 70000; allowed: a port, 1 to 65535"),
    ("port: 104}]", "port: 0104}]", "hosts.yaml:7: pacs-north: data.services[0].port: found '0104'; allowed: a port, 1 to 65535"),
    ("port: 104}]", "port: yes}]", "hosts.yaml:7: pacs-north: data.services[0].port: found a yes/no value; allowed: a port, 1 to 65535"),
    ("port: 104}]", "port: 104}, {kind: web, port: 104}]", "hosts.yaml:7: pacs-north: data.services[1].port: port 104 stands twice: dicom is there already"),
    ("kind: dicom,", "kind: dcom,", "hosts.yaml:7: pacs-north: data.services[0].kind: found 'dcom'; allowed: dicom, dicom_tls, dicomweb, web, ftp; did you mean dicom?"),
    ("[{kind: dicom, port: 104}]", "[]", "hosts.yaml:7: pacs-north: data.services: no service; allowed: at least one"),
    ("[fw-north]", "[fw-nort]", "hosts.yaml:8: pacs-north: data.protected_by[0]: no device is called fw-nort; there are: fw-north; did you mean fw-north?"),
    ("[fw-north]", "[clinic]", "hosts.yaml:8: pacs-north: data.protected_by[0]: no device is called clinic; there are: fw-north"),
    # peers
    ("address: 10.20.0.10, ae", "ae", "hosts.yaml:11: pacs-north: data.access.peers[0]: found neither; allowed: exactly one of address and network"),
    ("10.20.0.10, ae", "10.20.0.10, network: 10.20.0.0/24, ae", "hosts.yaml:11: pacs-north: data.access.peers[0]: found both; allowed: exactly one of address and network"),
    ("address: 10.20.0.10", "network: 10.20.0.10/24", "hosts.yaml:11: pacs-north: data.access.peers[0].network: found '10.20.0.10/24'; allowed: an IPv4 or IPv6 network such as 10.99.0.0/24; did you mean 10.20.0.0/24?"),
    ("address: 10.20.0.10", "network: 0.0.0.0/0", "hosts.yaml:11: pacs-north: data.access.peers[0].network: found '0.0.0.0/0'; allowed: an IPv4 or IPv6 network such as 10.99.0.0/24, not everybody"),
    ("ae_title: CLINICMOD, ", "", "hosts.yaml:11: pacs-north: data.access.peers[0]: ae_title is missing; the roles store need one (only a peer with via: vpn may have none)"),
    ("[store]", "[]", "hosts.yaml:11: pacs-north: data.access.peers[0].roles: no role; allowed: at least one of store, …"),
    ("[store]", "[stor]", "hosts.yaml:11: pacs-north: data.access.peers[0].roles[0]: found 'stor'; allowed: store, query, retrieve, mwl, mpps, stgcmt, hl7, web; did you mean store?"),
    ("[store]}", "[store], via: vnp}", "hosts.yaml:11: pacs-north: data.access.peers[0].via: found 'vnp'; allowed: vpn; did you mean vpn?"),
    ("      destinations:", "        - {name: ct-1, address: 10.20.0.11, ae_title: CT, roles: [store]}\n      destinations:", "hosts.yaml:12: pacs-north: data.access.peers[1]: the name ct-1 stands twice"),
    ("tele, address: 192.0.2.40, ", "tele, ", "hosts.yaml:13: pacs-north: data.access.destinations[0]: address is missing"),
    # devices
    ("linux_nftables", "linux_nftable", "hosts.yaml:14: fw-north: platform: found 'linux_nftable'; allowed: cisco_ios, linux_nftables; did you mean linux_nftables?"),
    ("platform: linux_nftables, ", "", "hosts.yaml:14: fw-north: platform is missing; allowed: cisco_ios, linux_nftables"),
    ("hostname: 10.99.99.2, ", "", "hosts.yaml:14: fw-north: hostname is missing; allowed: a host name or an IP address, to log in to"),
    ("hostname: 10.99.99.2", "hostname: 'https://fw:Tr0ub4dor@fw.example'", "hosts.yaml:14: fw-north: hostname: found 'https:***@fw.example'; allowed: a host name or an IP address"),
    ("interface: wan", "interface: 'wan\"; drop'", "hosts.yaml:14: fw-north: data.guard.interface: found 'wan\"; drop'; allowed: an interface name of letters, …"),
    ("interface: wan", "interface: \"wan\\ndrop\"", "hosts.yaml:14: fw-north: data.guard.interface: has a line break or another control character; allowed: an interface name …"),
    ("interface: wan", "interface: ' wan'", "hosts.yaml:14: fw-north: data.guard.interface: found ' wan'; allowed: an interface name …"),
    ("interface: wan", "interface: []", "hosts.yaml:14: fw-north: data.guard.interface: found a list; allowed: an interface name …"),
    ("interface: wan", "interface: wan, vpn: []", "hosts.yaml:14: fw-north: data.guard.vpn: found a list; allowed: an interface name …"),
    ("interface: wan", "interface: wan, vpn: [tun0, wan]", "hosts.yaml:14: fw-north: data.guard.vpn: wan is in guard.interface too; a VPN does not come in there"),
    ("interface: wan", "interface: wan, boot: rc.local", "hosts.yaml:14: fw-north: data.guard.boot: found 'rc.local'; allowed: an absolute path there, …"),
    ("interface: wan", "interface: wan, vpns: tun0", "hosts.yaml:14: fw-north: data.guard.vpns: unknown key; allowed: interface, vpn, boot; did you mean vpn?"),
    ("{guard: {interface: wan}}", "{}", "hosts.yaml:14: fw-north: data.guard is missing; allowed: {interface: NAME}, the interfaces that face outside"),
    ("wan}}", "wan}, management: [office]}", "hosts.yaml:14: fw-north: data.management[0]: found 'office'; allowed: local, and vantages with via: {ssh: ...}"),
    ("wan}}", "wan}, ssh: {keys: id}}", "hosts.yaml:14: fw-north: data.ssh.keys: unknown key; allowed: key, known_hosts; did you mean key?"),
    ("hostname: 10.99.99.2", "hostname: 10.99.99.2, port: ssh", "hosts.yaml:14: fw-north: port: found 'ssh'; allowed: a port, 1 to 65535"),
    ("hostname: 10.99.99.2", "hostname: 10.99.99.2, connection_options: {netmiko: {extra: {}}}", "hosts.yaml:14: fw-north: connection_options.netmiko.extra: unknown key; allowed: hostname, port, username, password, platform, extras; did you mean extras?"),
    ("hostname: 10.99.99.2", "hostname: 10.99.99.2, connection_options: [ssh]", "hosts.yaml:14: fw-north: connection_options: found a list; allowed: a mapping"),
    # vantages
    ("zone: outside", "zone: outsid", "hosts.yaml:15: internet: data.zone: found 'outsid'; allowed: outside, inside; did you mean outside?"),
    ("zone: outside, ", "", "hosts.yaml:15: internet: data.zone is missing; allowed: outside, inside"),
    (", canaries: [{address: 203.0.113.1, port: 443}]", "", "hosts.yaml:15: internet: data.canaries is missing; allowed: [{address: ADDRESS, port: PORT}], so that a dead …"),
    ("[{address: 203.0.113.1, port: 443}]", "[]", "hosts.yaml:15: internet: data.canaries: no canary; allowed: at least one outside"),
    ("zone: outside", "zone: outside, peer: ct-2", "hosts.yaml:15: internet: data.peer: no peer of any PACS is called ct-2; there are: ct-1; did you mean ct-1?"),
    ("peer: ct-1", "peer: ct-2", "hosts.yaml:16: clinic: data.peer: no peer of any PACS is called ct-2; there are: ct-1; did you mean ct-1?"),
    ("{ssh: probe@10.20.0.10}", "{ssh: 10.20.0.10}", "hosts.yaml:16: clinic: data.via.ssh: found '10.20.0.10'; allowed: user@host, user@host:port or user@[IPv6 address]:port"),
    ("{ssh: probe@10.20.0.10}", "{ssh: 'probe:Tr0ub4dor@10.20.0.10'}", "hosts.yaml:16: clinic: data.via.ssh: found 'probe:***@10.20.0.10'; allowed: user@host, …"),
    ("{ssh: probe@10.20.0.10}", "{ssh: 'probe@10.20.0.10:99999'}", "hosts.yaml:16: clinic: data.via.ssh: found 'probe@10.20.0.10:99999'; allowed: user@host, …"),
    ("{ssh: probe@10.20.0.10}", "{socks: '127.0.0.1:0'}", "hosts.yaml:16: clinic: data.via.socks: found '127.0.0.1:0'; allowed: host, user@host, host:port or [IPv6 address]:port"),
    ("{ssh: probe@10.20.0.10}", "{socks: 'probe:Tr0ub4dor@10.20.0.10'}", "hosts.yaml:16: clinic: data.via.socks: found 'probe:***@10.20.0.10'; allowed: host, …; a password never stands here"),
    ("{ssh: probe@10.20.0.10}", "{socks: '@10.20.0.10'}", "hosts.yaml:16: clinic: data.via.socks: found '@10.20.0.10'; allowed: host, …"),
    ("{ssh: probe@10.20.0.10}", "{socks: probe@10.20.0.10}", "hosts.yaml:16: clinic: data.via.socks: probe has no password; write data.socks: {password: env:NAME}"),
    ("{ssh: probe@10.20.0.10}", "{socks: probe@10.20.0.10}, socks: {password: Tr0ub4dor}", "hosts.yaml:16: clinic: data.socks.password: a password is not written here; allowed: env:NAME, file:PATH, keyring:SERVICE/USER or vault:MOUNT/PATH#FIELD"),
    ("{ssh: probe@10.20.0.10}", "{socks: probe@10.20.0.10}, socks: {password: env:RMD_NOT_SET}", "hosts.yaml:16: clinic: data.socks.password: the environment variable RMD_NOT_SET is not set, or empty"),
    ("{ssh: probe@10.20.0.10}", "{socks: probe@10.20.0.10}, socks: {passwort: env:X}", "hosts.yaml:16: clinic: data.socks.passwort: unknown key; allowed: password; did you mean password?"),
    ("port: 443}", "port: 443, behind: fw-nort}", "hosts.yaml:15: internet: data.canaries[0].behind: no device is called fw-nort; there are: fw-north; did you mean fw-north?"),
    ("    protected_by", "    scope: []\n    protected_by", "hosts.yaml:8: pacs-north: data.scope: unknown key here: it belongs into defaults.yaml, data: {scope: ...}"),
    ("{ssh: probe@10.20.0.10}", "ssh", "hosts.yaml:16: clinic: data.via: found 'ssh'; allowed: local, {local: {source: ADDRESS}}, {ssh: user@host} or {socks: host:port}"),
    ("{ssh: probe@10.20.0.10}", "{local: {source: here}}", "hosts.yaml:16: clinic: data.via.local.source: found 'here'; allowed: an IPv4 or IPv6 address; names …"),
    ("{ssh: probe@10.20.0.10}", "{ssh: a@10.0.0.1, local: {}}", "hosts.yaml:16: clinic: data.via: both ssh and local; allowed: …"),
    # what is not a mapping
    ("    protected_by: [fw-north]", "    protected_by: fw-north", "hosts.yaml:8: pacs-north: data.protected_by: found 'fw-north'; allowed: a list of devices"),
]
# fmt: on


def says(found: str, expected: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in expected.split("…")), found) is not None


@pytest.mark.parametrize(("old", "new", "expected"), IN_HOSTS, ids=[row[2][:90] for row in IN_HOSTS])
def test_a_mistake_in_hosts_yaml(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(says(line, expected) for line in found), "\n".join(found)
    assert "Tr0ub4dor" not in "\n".join(found)


# fmt: off
IN_OTHERS = [
    # (hosts.yaml, groups.yaml, defaults.yaml, the problem)
    (GOOD.replace("[pacs]", "[pacs, nroth]"), "north: {}", None, "hosts.yaml:1: pacs-north: groups: no group is called nroth; groups.yaml has: north; did you mean north?"),
    (GOOD, "a: {groups: [b]}\nb: {groups: [a]}", None, "groups.yaml:2: b: groups: the groups stand in each other: a -> b -> a"),
    (GOOD, "a: {groups: [a]}", None, "groups.yaml:1: a: groups: the groups stand in each other: a -> a"),
    (GOOD, "".join(f"g{n}: {{groups: [g{n + 1}]}}\n" for n in range(3000)) + "g3000: {}", None, "groups.yaml:…: g…: groups: more than 20 groups stand in one another"),
    (GOOD, "".join(f"g{n}: {{groups: [g{n - 1}]}}\n" for n in range(1, 3000)) + "g0: {}", None, "groups.yaml:…: g…: groups: more than 20 groups stand in one another"),
    (GOOD, "north: {groups: [est]}", None, "groups.yaml:1: north: groups: no group is called est; groups.yaml has: north"),
    (GOOD, "north: {dta: {}}", None, "groups.yaml:1: north: dta: unknown key; allowed: hostname, port, …; did you mean data?"),
    (GOOD, "north: {data: {protectd_by: []}}", None, "groups.yaml:1: north: data.protectd_by: unknown key; allowed: …; did you mean protected_by?"),
    (GOOD, "north: [a]", None, "groups.yaml:1: north: found a list; allowed: a mapping with the keys hostname, …"),
    (GOOD, "- north", None, "groups.yaml:1: found a list; allowed: a mapping"),
    (GOOD, "north: {}\nnorth: {}", None, "groups.yaml:2: the key north stands twice, first on line 1"),
    (GOOD, "1: {}", None, "groups.yaml:1: 1: the key is a number; allowed: a string; put it in quotes"),
    (GOOD.replace("firewalls]", "firewalls, north]"), "north: {data: {ssh: {known_hosts: [x]}}}", None, "groups.yaml:1: north: data.ssh.known_hosts: found a list; allowed: a path"),
    (GOOD, None, "groups: [x]", "defaults.yaml:1: groups: unknown key; allowed: hostname, port, username, password, platform, data, connection_options"),
    (GOOD, None, "ssh: {key: id}", "defaults.yaml:1: ssh: unknown key here: it belongs into data: {ssh: ...}; allowed: …"),
    (GOOD, None, "data: {ssh: id}", "defaults.yaml:1: data.ssh: found 'id'; allowed: a mapping with the keys key, known_hosts"),
    (GOOD, None, "data: {ssh: {key: ~nobody-of-that-name/id}}", "defaults.yaml:1: data.ssh.key: found '~nobody-of-that-name/id'; allowed: a path; the home directory for ~ is not known"),
    (GOOD, None, "just words", "defaults.yaml:1: found 'just words'; allowed: a mapping with the keys …"),
    (GOOD, None, "username: 'two words'", "defaults.yaml:1: username: found 'two words'; allowed: a user name without blanks"),
    (GOOD, None, "data: {extra: {1: x}}", "defaults.yaml:1: data.extra.1: the key is a number; allowed: a string; put it in quotes"),
    # about the whole site
    (GOOD, "north: {data: {limits: {}}}", None, "groups.yaml:1: north: data.limits: unknown key here: it belongs into defaults.yaml, data: {limits: ...}; allowed: …"),
    (GOOD, None, "scope: []", "defaults.yaml:1: scope: unknown key; allowed: …"),
    (GOOD, None, "data: {scope: 10.10.0.0/16}", "defaults.yaml:1: data.scope: found '10.10.0.0/16'; allowed: a list such as [{network: …"),
    (GOOD, None, "data: {scope: []}", "defaults.yaml:1: data.scope: no network; allowed: at least one, or no scope at all: …"),
    (GOOD, None, "data: {scope: [{network: 10.10.0.0/16, reference: T-1}]}", "defaults.yaml:1: data.scope[0]: expires is missing"),
    (GOOD, None, "data: {scope: [{network: 10.10.0.5/16, reference: T-1, expires: 2099-12-31}]}", "defaults.yaml:1: data.scope[0].network: found '10.10.0.5/16'; allowed: …; did you mean 10.10.0.0/16?"),
    (GOOD, None, "data: {scope: [{network: '::/0', reference: T-1, expires: 2099-12-31}]}", "defaults.yaml:1: data.scope[0].network: found '::/0'; allowed: …, not everybody"),
    (GOOD, None, "data: {scope: [{network: 10.0.0.0/8, reference: T-1, expires: 2099-04-31}]}", "defaults.yaml:1: data.scope[0].expires: found '2099-04-31'; allowed: the last day on which it counts, such as 2027-03-31"),
    (GOOD, None, "data: {scope: [{network: 10.0.0.0/8, reference: T-1, expires: 31.12.2099}]}", "defaults.yaml:1: data.scope[0].expires: found '31.12.2099'; allowed: the last day …"),
    (GOOD, None, "data: {scope: [{network: 10.0.0.0/8, reference: 17, expires: 2099-12-31}]}", "defaults.yaml:1: data.scope[0].reference: found 17; allowed: who allowed it, …; put it in quotes"),
    (GOOD, None, "data: {scope: [&a {network: 10.0.0.0/8, reference: T, expires: 2099-12-31}, *a]}", "defaults.yaml:1: data.scope[…]: 10.0.0.0/8 with T stands twice"),
    (GOOD, None, "data: {scope: [{network: 10.0.0.0/8, reference: T, expires: 2099-12-31}]}", "hosts.yaml:6: pacs-north: data.addresses: 203.0.113.20 is in no network of data.scope (defaults.yaml)"),
    (GOOD, None, "data: {scope: [{network: 10.0.0.0/8, reference: T, expires: 2099-12-31}]}", "hosts.yaml:15: internet: data.canaries: 203.0.113.1 is in no network of data.scope (defaults.yaml)"),
    (GOOD, None, "data: {limits: {per_host: 0}}", "defaults.yaml:1: data.limits.per_host: found 0; allowed: connections a second, 0.01 to 10000"),
    (GOOD, None, "data: {limits: {per_site: fast}}", "defaults.yaml:1: data.limits.per_site: found 'fast'; allowed: connections a second, 0.01 to 10000"),
    (GOOD, None, "data: {limits: {associations: 1.5}}", "defaults.yaml:1: data.limits.associations: found 1.5; allowed: DICOM associations a round, 1 to 1000"),
    (GOOD, None, "data: {limits: {perhost: 1}}", "defaults.yaml:1: data.limits.perhost: unknown key; allowed: per_host, per_site, associations; did you mean per_host?"),
    # two at one place
    (GOOD + PACS.replace("pacs-north", "pacs-2"), None, None, "hosts.yaml:22: pacs-2: data.addresses: outside: pacs-north is at 203.0.113.20 port 104 already"),
    # no addresses
    (GOOD.replace("    addresses: {inside: 10.10.0.5, outside: 203.0.113.20}\n", "").replace("10.10.0.5", "pacs.example"), None, None,
     "hosts.yaml:2: pacs-north: hostname: found 'pacs.example'; allowed: an IPv4 or IPv6 address; names are not looked up, …"),
    (GOOD.replace("    addresses: {inside: 10.10.0.5, outside: 203.0.113.20}\n", "").replace("  hostname: 10.10.0.5\n", ""), None, None,
     "hosts.yaml:1: pacs-north: data.addresses is missing; allowed: {inside: ADDRESS, outside: ADDRESS}"),
    (REST, None, None, "hosts.yaml: no host is in the group pacs; allowed: at least one"),
    # documents
    ("", None, None, "hosts.yaml:1: no host is in it; allowed: at least one PACS"),
    ("# nothing yet\n", None, None, "hosts.yaml:1: no host is in it; allowed: at least one PACS"),
    ("{}", None, None, "hosts.yaml:1: no host is in it; allowed: at least one PACS"),
    ("- pacs-north\n", None, None, "hosts.yaml:1: found a list; allowed: a mapping"),
    ("pacs-north", None, None, "hosts.yaml:1: found 'pacs-north'; allowed: a mapping"),
    ("pacs-north:\n\tdata: {}\n", None, None, "hosts.yaml:2: is not YAML: a tab stands in the indentation; YAML wants blanks there"),
    ("a: {}\nb: [\n", None, None, "hosts.yaml:3: is not YAML: …"),
    ("a: {}\n---\nb: {}\n", None, None, "hosts.yaml:2: is not YAML: …"),
    (b"a: {}\nb: \xff\xfe\n", None, None, "hosts.yaml:2: is not UTF-8 text"),
    ("a: {}\nb: \x01\n", None, None, "hosts.yaml:2: is not YAML: …"),
    ("[" * 100_000, None, None, "hosts.yaml:1: is nested more than 40 deep"),
    ("- " * 100_000, None, None, "hosts.yaml:1: is nested more than 40 deep"),
    ("&a pacs-north: *a\n", None, None, "hosts.yaml:1: pacs-north: found 'pacs-north'; allowed: a mapping with the keys …"),
    ("a: &x {data: *x}\n", None, None, "hosts.yaml:1: an alias (*) stands for something that it is itself a part of"),
    ("a: &x {<<: *x}\n", None, None, "hosts.yaml:1: an alias (*) stands for something that it is itself a part of"),
    ("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)), None, None,
     "hosts.yaml:…: aliases (*) repeat more than 50000 values"),
    ("a: !!python/object/apply:os.getcwd []\n", None, None, "hosts.yaml:1: a: has a tag (!...); allowed: plain YAML"),
    ("a: !vault secret\n", None, None, "hosts.yaml:1: a: has a tag (!...); allowed: plain YAML"),
    (GOOD, "a: [", None, "groups.yaml:…: is not YAML: …"),
]
# fmt: on


@pytest.mark.parametrize(("hosts", "groups", "defaults", "expected"), IN_OTHERS, ids=[r[3][:90] for r in IN_OTHERS])
def test_a_mistake_elsewhere(
    tmp_path: Path, hosts: str | bytes, groups: str | None, defaults: str | None, expected: str
) -> None:
    found = problems(tmp_path, hosts, **{k: v for k, v in {"groups": groups, "defaults": defaults}.items() if v})
    assert any(says(line, expected) for line in found), "\n".join(found)


def test_every_problem_is_said_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = GOOD.replace("dicom,", "dcom,").replace("[store]", "[stor]").replace("zone: outside", "zone: outer")
    found = problems(tmp_path, text, groups="north: {dta: {}}")
    assert [line.split(" ")[0] for line in found] == [
        "hosts.yaml:7:",
        "hosts.yaml:11:",
        "hosts.yaml:15:",
        "groups.yaml:1:",
    ]


def test_a_mistake_that_many_inherit_is_said_once(tmp_path: Path) -> None:
    assert problems(tmp_path, defaults="data: {ssh: {known_hosts: 5}}") == (
        "defaults.yaml:1: data.ssh.known_hosts: found 5; allowed: a path; put it in quotes",
    )


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (
            "12345678",
            "password: found ***; allowed: a password in quotes, env:NAME, file:PATH, keyring:SERVICE/USER or vault:MOUNT/PATH#FIELD; put it in quotes",
        ),
        (
            "[Tr0ub4dor]",
            "password: found ***; allowed: a password in quotes, env:NAME, file:PATH, keyring:SERVICE/USER or vault:MOUNT/PATH#FIELD",
        ),
        ("{Tr0ub4dor: 1, Tr0ub4dor: 2}", "password: a key stands twice, first on line 1"),
        ("'Tr0ub4dor\x07'", "hosts.yaml:14: is not YAML: "),
        ("*Tr0ub4dor", "hosts.yaml:14: is not YAML: "),
        ("!Tr0ub4dor x", "password: has a tag (!...); allowed: plain YAML"),
        ('"Tr0ub4dor\\n"', "password: has a line break or another control character"),
        ("env:Tr0ub4dor-", "password: env: is not followed by the name of a variable"),
        ("env:FW_SECRET_MISSING", "password: the environment variable FW_SECRET_MISSING is not set, or empty"),
        ("file:secret", "password: the file 'secret' cannot be read: No such file or directory"),
        ("file:hosts.yaml", "password: the file 'hosts.yaml' does not hold one line with a password"),
        ("''", "password: is empty"),
    ],
)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, document.Loader])
def test_no_password_is_ever_in_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, expected: str, loader: Any
) -> None:
    monkeypatch.setattr(document, "Loader", loader)
    for place in ("password: {}", "connection_options: {{netmiko: {{password: {}}}}}"):
        found = problems(
            tmp_path, GOOD.replace("hostname: 10.99.99.2", f"hostname: 10.99.99.2, {place.format(password)}")
        )
        assert expected in "\n".join(found).replace("line 14", "line 1")
        assert "Tr0ub4dor" not in "\n".join(found)
        assert "12345678" not in "\n".join(found)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InventoryError, match=r"hosts\.yaml does not exist"):
        load(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text("")
    with pytest.raises(InventoryError, match=r"is neither a directory nor a hosts\.yaml"):
        load(other)
    (tmp_path / "hosts.yaml").mkdir()
    with pytest.raises(InventoryError, match=r"hosts\.yaml cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(InventoryError):
        load(Path("a\0b"))
    with pytest.raises(InventoryError):
        load(Path("x" * 5000))


def test_a_misspelt_file_name_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "host.yml").write_text(GOOD)
    with pytest.raises(InventoryError, match=r"host\.yml: is not read; did you mean hosts\.yaml\?"):
        load(tmp_path)
    (tmp_path / "host.yml").rename(tmp_path / "default.yaml")
    assert problems(tmp_path) == ("default.yaml: is not read; did you mean defaults.yaml?",)
