"""Entries for the inventory: what `discover` prints loads once every FILL_IN has a value."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from remediate import inventory
from remediate.errors import InventoryError
from remediate.inventory.document import FILL_IN
from remediate.model.discovery import Beside, Discovered, Heard, Likeness
from remediate.model.observation import Rung, Stack, Surface
from remediate.model.site import Role, ServiceKind, Zone
from remediate.report import discovered
from tests.factories import NOON

SERVICES = (
    Heard(
        kind=ServiceKind.DICOM,
        port=4242,
        rung=Rung.ASSOCIATED,
        likeness=Likeness.ARCHIVE,
        negotiated=frozenset({Role.STORE, Role.QUERY}),
        stack=Stack(name="DCMTK", product="likely Orthanc", source="a table"),
    ),
    Heard(kind=ServiceKind.DICOM_TLS, port=2762, rung=Rung.TLS_CERTIFICATE_WANTED, likeness=Likeness.POSSIBLE),
    Heard(
        kind=ServiceKind.DICOMWEB,
        port=8042,
        rung=Rung.HTTP_ANSWERED,
        likeness=Likeness.ARCHIVE,
        surfaces=frozenset({Surface.QIDO_RS, Surface.PLAIN_HTTP}),
    ),
)
OTHERS = (Beside(name="rdp", port=3389, rung=Rung.OPEN), Beside(name="ssh", port=22, rung=Rung.CLOSED))
#: What a person writes, in the order in which the places stand.
FIREWALL = """
fw-north: {hostname: 192.0.2.254, platform: linux_nftables, username: netops, groups: [firewalls],
  data: {guard: {interface: wan}}}
"""


def found(address: str = "192.0.2.10", **more: object) -> Discovered:
    values = {"address": ip_address(address), "at": NOON, "services": SERVICES, "others": OTHERS}
    return Discovered.model_validate(values | more)


def filled(entry: str, other_side: str) -> str:
    for key, value in (
        ("ae_title: FILL_IN\n", "ae_title: ORTHANC\n"),
        ("protected_by: [FILL_IN]", "protected_by: [fw-north]"),
        ("name: FILL_IN, address: FILL_IN, ae_title: FILL_IN", "name: ct-1, address: 10.20.0.10, ae_title: CT"),
        ("roles: [FILL_IN]", "roles: [store, query]"),
        ("inside: FILL_IN", f"inside: {other_side}"),
        ("outside: FILL_IN", f"outside: {other_side}"),
    ):
        entry = entry.replace(key, value)
    return entry


@pytest.mark.parametrize(
    ("address", "side", "other"),
    [
        ("192.0.2.10", Zone.OUTSIDE, "10.0.0.5"),
        ("10.0.0.5", Zone.INSIDE, "192.0.2.10"),
        ("2001:db8::5", Zone.OUTSIDE, "10.0.0.5"),
        ("fd00::", Zone.INSIDE, "192.0.2.10"),
    ],
)
def test_an_entry_loads_once_it_is_filled_in(tmp_path: Path, address: str, side: Zone, other: str) -> None:
    one = found(address)
    entry = discovered.entry(one, discovered.zone(one.address))
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(entry + FIREWALL)
    with pytest.raises(InventoryError, match="places are still to be filled in") as unfilled:
        inventory.load(tmp_path)
    assert len(unfilled.value.problems) == entry.count(FILL_IN)
    hosts.write_text(filled(entry, other) + FIREWALL)
    (pacs,) = inventory.load(tmp_path).site.pacs.values()
    seen = pacs.addresses.outside if side is Zone.OUTSIDE else pacs.addresses.inside
    assert [published.address for published in seen] == [one.address]
    assert [(service.kind, service.port) for service in pacs.services] == [
        (service.kind, service.port) for service in SERVICES
    ]


def test_an_entry_says_what_was_seen() -> None:
    entry = discovered.entry(found(whole=False), Zone.OUTSIDE)
    assert entry.startswith("pacs-192-0-2-10:  # archive, seen at 2026-01-02 12:00:00 UTC\n")
    assert "port: 4242}  # associated; negotiated: query, store; stack: DCMTK\n" in entry
    assert "port: 8042}  # HTTP answered; QIDO-RS; plain HTTP\n" in entry
    assert "rdp 3389" in entry and "ssh 22" not in entry
    assert "Not every port was asked" in entry and "Not every port" not in discovered.entry(found(), Zone.OUTSIDE)


def test_names_are_the_inventorys_and_not_taken() -> None:
    six = ip_address("2001:db8::5")
    assert discovered.name(six) == "pacs-2001-db8--5"
    assert discovered.name(six, {"pacs-2001-db8--5", "pacs-2001-db8--5-n2"}) == "pacs-2001-db8--5-n3"


def test_what_the_inventory_knows_is_named_and_not_printed_as_new() -> None:
    one = found(known_as="pacs-north", unlisted=(8042,))
    assert not one.is_new
    assert discovered.told(one, Zone.OUTSIDE) == (
        "# 192.0.2.10 is pacs-north\n#   add to its services: {kind: dicomweb, port: 8042}\n"
    )
    only_others = found(services=())
    assert discovered.told(only_others, Zone.OUTSIDE) == "" and not only_others.is_new


def test_the_document_is_in_the_order_of_addresses() -> None:
    made = discovered.document(
        [found("2001:db8::5"), found("192.0.2.10"), found("192.0.2.9", known_as="pacs-north")], None, (), {}
    )
    told = [(one["address"], one["new"], one["entry"] is not None) for one in made["addresses"]]
    assert told == [("192.0.2.9", False, False), ("192.0.2.10", True, True), ("2001:db8::5", True, True)]
