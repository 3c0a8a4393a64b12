"""What is said before anything is asked."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.change import looking, notice
from remediate.inventory import Loaded, load
from remediate.model.verdict import Purpose

HOSTS = """\
pacs-north:
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {inside: 127.0.0.5, outside: [127.0.0.6, "2001:db8::5"]}
    services: [{kind: dicom, port: 104}, {kind: dicom, port: 2762}, {kind: dicomweb, port: 8042}]
    protected_by: [fw-north]
    access: {peers: [{name: ct-1, address: 127.0.0.7, ae_title: CLINICMOD, roles: [store]}]}
fw-north: {hostname: 127.0.0.9, platform: linux_nftables, groups: [firewalls], data: {guard: {interface: wan}}}
internet:
  groups: [vantages]
  data: {zone: outside, via: {socks: vps.example}, canaries: [CANARIES]}
clinic: {groups: [vantages], data: {zone: inside, peer: ct-1}}
"""
DEFAULTS = """\
data:
  limits: {associations: 4}
  scope:
    - {network: 127.0.0.0/8, reference: TICKET-1, expires: 2999-12-31}
    - {network: "2001:db8::/32", reference: TICKET-2, expires: 2999-12-31}
    - {network: 192.0.2.0/24, reference: TICKET-3, expires: 2999-12-31}
"""


def site(folder: Path, canaries: str = "{address: 127.0.0.1, port: 104, behind: fw-north}") -> Loaded:
    (folder / "hosts.yaml").write_text(HOSTS.replace("CANARIES", canaries))
    (folder / "defaults.yaml").write_text(DEFAULTS)
    return load(folder)


def made(loaded: Loaded) -> notice.Notice:
    wanted, used = looking.views(loaded, None, None)
    return notice.of([e for one in wanted.values() for e in one.expectations], loaded.site, used)


def test_a_notice(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    found = made(site(tmp_path))
    assert before <= found.starts <= datetime.now(UTC)
    # From outside two addresses on two DICOM ports behind one gate, each up to the SOCKS server's own time-out.
    assert found.ends - found.starts > timedelta(seconds=4 * 130)
    lines = found.lines()
    assert lines[0] == (
        f"from {found.starts:%Y-%m-%d %H:%M:%S} to {found.ends:%Y-%m-%d %H:%M:%S} UTC at the latest: looking from "
        "internet (through the SOCKS server vps.example port 1080), clinic (this machine)"
    )
    warning = "THE OTHERS WILL BE INCONCLUSIVE (data.limits.associations)"
    assert lines[1:] == [
        "calling AE titles: RMD_PROBE from internet, CLINICMOD from clinic",
        f"pacs-north: 8 questions, 6 DICOM associations or more one after the other, at most 4; {warning}",
        "allowed by TICKET-1: 127.0.0.0/8 until 2999-12-31",
        "allowed by TICKET-2: 2001:db8::/32 until 2999-12-31",
    ]


def test_a_listing_has_everything_that_a_packet_goes_to_and_sends_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a packet")

    for call in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, call, refused)
    loaded = site(tmp_path)
    found = made(loaded)
    lines = found.listing()
    assert [line for line in lines if line.startswith("canary")] == [
        "canary at 127.0.0.1 port 104, from internet, before and after"
    ]
    assert "dicom at 127.0.0.6:104 of pacs-north, from internet as RMD_PROBE to ORTHANC" in lines
    assert "dicom at [2001:db8::5]:2762 of pacs-north, from internet as RMD_PROBE to ORTHANC" in lines
    assert "dicom at 127.0.0.5:104 of pacs-north, from clinic as CLINICMOD to ORTHANC" in lines
    assert len([line for line in lines if " of pacs-north, from " in line]) == len(found.questions) == 8


@pytest.mark.parametrize(
    ("canaries", "ports"),
    [
        ("{address: 127.0.0.1, port: 104, behind: fw-north}", {104}),
        ("{address: 127.0.0.1, port: 104}", set()),
        ("{address: 127.0.0.1, port: 443, behind: fw-north}", set()),
        ("{address: 127.0.0.1, port: 443}, {address: 127.0.0.1, port: 2762, behind: fw-north}", {2762}),
    ],
)
def test_filtered_is_a_devices_doing_where_a_canary_on_the_same_port_behind_it_answers(
    tmp_path: Path, canaries: str, ports: set[int]
) -> None:
    wanted, _ = looking.views(site(tmp_path, canaries), None, None)
    expected = wanted["pacs-north"].expectations
    assert {e.question.port for e in expected if e.attributable} == ports
    assert not any(e.attributable for e in expected if e.purpose is Purpose.CARE_PATH)
