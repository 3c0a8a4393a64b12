"""Whose place a vantage outside can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate.errors import InventoryError
from remediate.inventory import Loaded, load
from remediate.model.site import Zone

HOSTS = """\
pacs-north:
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {ADDRESSES}
    services: [{kind: dicom, port: 104}]
    access: {peers: [{name: partner, address: 192.0.2.77, ae_title: PARTNER, roles: [store]VIA}]}
pacs-south:
  groups: [pacs]
  data:
    ae_title: SOUTH
    addresses: {inside: 10.30.0.5, outside: 203.0.113.21}
    services: [{kind: dicom, port: 104}]
at-partner:
  groups: [vantages]
  data: {zone: outside, peer: partner, canaries: [{address: 203.0.113.1, port: 443}]}
"""


def loaded(folder: Path, addresses: str = "inside: 10.10.0.5, outside: 203.0.113.20", via: str = "") -> Loaded:
    (folder / "hosts.yaml").write_text(HOSTS.replace("ADDRESSES", addresses).replace("VIA", via))
    return load(folder)


def test_the_place_of_a_peer_that_comes_in_by_the_published_address(tmp_path: Path) -> None:
    vantage = loaded(tmp_path).site.vantages["at-partner"]
    assert (vantage.zone, vantage.peer) == (Zone.OUTSIDE, "partner")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"via": ", via: vpn"}, "which comes in by the VPN"),
        ({"addresses": "inside: 10.10.0.5"}, "which has no outside address of its IP version to come in by"),
        (
            {"addresses": 'inside: 10.10.0.5, outside: "2001:db8::5"'},
            "which has no outside address of its IP version to come in by",
        ),
    ],
)
def test_nobody_else_has_a_place_outside(given: dict[str, str], why: str, tmp_path: Path) -> None:
    with pytest.raises(InventoryError) as refused:
        loaded(tmp_path, **given)
    (line,) = refused.value.problems
    assert line.startswith(
        f"hosts.yaml:16: at-partner: data.peer: outside is not the place of partner, {why}; allowed:"
    )
