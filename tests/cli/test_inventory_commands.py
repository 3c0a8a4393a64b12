"""``remediate inventory check`` and ``show``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from remediate.cli import main

EXAMPLE = Path(__file__).parents[2] / "inventory"
SITE = """\
pacs-1:
  groups: [pacs]
  data:
    ae_title: ONE
    addresses: {inside: 10.0.0.1, outside: [{address: 203.0.113.1, ports: {11112: 104}}, "2001:db8::1"]}
    services: [{kind: dicom, port: 11112}, {kind: web, port: 80}]
    protected_by: [fw-1]
    access:
      peers:
        - {name: ct-1, address: 10.0.9.1, ae_title: CT, roles: [store, retrieve], listens: {port: 4242}}
        - {name: readers, network: 10.9.0.0/24, via: vpn, roles: [web]}
        - {name: ris, address: 10.0.9.2, roles: [hl7]}
pacs-2:
  groups: [pacs]
  data:
    ae_title: TWO
    addresses: {outside: 203.0.113.2}
    services: [{kind: dicom, port: 104}]
pacs-3: {groups: [pacs], hostname: 10.0.0.3, data: {ae_title: THREE, services: [{kind: dicom, port: 104}]}}
fw-1:
  hostname: 10.0.1.1
  username: netops
  password: never-shown-1
  platform: cisco_ios
  groups: [firewalls]
  data: {guard: {interface: wan, vpn: [tun0, wg0]}}
  connection_options: {netmiko: {password: never-shown-2, extras: {secret: never-shown-3}}}
here: {groups: [vantages], data: {zone: inside, via: {local: {source: 10.0.8.1}}}}
internet: {groups: [vantages], data: {zone: outside, via: {ssh: probe@vps.example:2222}, canaries: [{address: 203.0.113.9, port: 443}]}}
clinic: {groups: [vantages], data: {zone: inside, peer: ct-1, via: {ssh: probe@10.0.9.1}}}
"""  # noqa: E501 - one line, as people write them
TREE = """\
what may pass, as the inventory says; what does pass is seen by: remediate verify
internet (outside; over SSH, probe@vps.example port 2222)
├── fw-1 (cisco_ios at 10.0.1.1 port 22; guards wan; VPN by tun0, wg0)
│   └── pacs-1 (203.0.113.1: dicom 104, web 80; 2001:db8::1: dicom 11112, web 80)
│       ├── may pass: ct-1 from 10.0.9.1 to port 104 (store, retrieve; listens on port 4242)
│       └── nobody else may pass
└── no device: nothing can be closed on the way
    └── pacs-2 (203.0.113.2: dicom 104)
here (inside; this machine, from 10.0.8.1)
├── pacs-1 (10.0.0.1: dicom 11112, web 80)
├── pacs-2 (203.0.113.2: dicom 104)
└── pacs-3 (10.0.0.3: dicom 104)
clinic (inside, in the place of ct-1; over SSH, probe@10.0.9.1 port 22)
└── pacs-1 (10.0.0.1: dicom 11112, web 80)
    └── ct-1 from 10.0.9.1 to port 11112 (store, retrieve; listens on port 4242)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yaml").write_text(SITE)
    return tmp_path


def at_prompt(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["remediate", "inventory", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path) -> None:
    assert at_prompt(monkeypatch, "check", "-i", str(site)) == 0
    assert capsys.readouterr().out == "3 PACS, 1 devices, 3 vantages: no problem\n"
    (site / "hosts.yaml").write_text(SITE.replace("zone: outside", "zone: FILL_IN").replace("ae_title: TWO", "a: b"))
    assert at_prompt(monkeypatch, "check", "-i", str(site)) == 2
    err = capsys.readouterr().err
    assert "the inventory has 3 problems" in err
    assert "internet: data.zone: fill in: outside, inside" in err
    assert "pacs-2: data.a: unknown key" in err


def test_the_tree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path) -> None:
    assert at_prompt(monkeypatch, "show", "--tree", "-i", str(site)) == 0
    assert capsys.readouterr().out == TREE


def test_the_table_stands_before_the_tree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path
) -> None:
    assert at_prompt(monkeypatch, "show", "-i", str(site)) == 0
    out = capsys.readouterr().out
    assert out.endswith(TREE)
    table = out.removesuffix(TREE)
    rows = [line.split("  ") for line in table.splitlines()]
    cells = {cell.strip() for row in rows for cell in row if cell.strip()}
    assert cells >= {"PACS", "addresses", "services", "peers", "protected by"}
    assert cells >= {"pacs-1", "ONE", "inside: 10.0.0.1", "outside: 203.0.113.1 (11112 as 104)", "outside: 2001:db8::1"}
    assert cells >= {"dicom 11112", "web 80", "ct-1: store, retrieve", "readers: web", "ris: hl7", "fw-1"}
    assert next(line for line in table.splitlines() if "pacs-2" in line).split()[-2:] == ["nobody", "nothing"]


@pytest.mark.parametrize("how", [[], ["--tree"], ["--format", "json"]])
def test_no_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path, how: list[str]
) -> None:
    assert at_prompt(monkeypatch, "show", *how, "-i", str(site)) == 0
    out, err = capsys.readouterr()
    assert "fw-1" in out
    assert "never-shown" not in out + err


def test_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: Path) -> None:
    assert at_prompt(monkeypatch, "show", "--format", "json", "-i", str(site)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {"pacs", "devices", "vantages", "authorised", "limits"}
    first = {"address": "203.0.113.1", "ports": {"11112": 104}, "services": []}
    assert shown["pacs"]["pacs-1"]["addresses"]["outside"][0] == first
    assert shown["vantages"]["internet"]["via"]["port"] == 2222


def test_the_example_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("remediate.cli.common.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert at_prompt(monkeypatch, "show", "-i", str(EXAMPLE)) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 80
    for word in ("pacs-north", "203.0.113.20", "2001:db8:30::5", "fw-south", "readers:"):
        assert word in out
