"""Lists as CERTs send them, and as people paste them."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.errors import InventoryError, RemediateError, UsageError
from remediate.inventory.reported import read

SHADOWSERVER = (
    '"timestamp","severity","ip","protocol","port","hostname","tag","asn"\r\n'
    '"2026-01-02 03:04:05","high","203.0.113.20","tcp",104,"a, b","dicom",64496\r\n'
    '"2026-01-02 03:04:06","high","2001:db8::5","tcp",11112,,"dicom",64496\r\n'
)


def ports(folder: Path, text: str | bytes) -> dict[str, set[int]]:
    path = folder / "list"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {str(address): places.ports for address, places in read(path).found.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("203.0.113.20\n", {"203.0.113.20": set()}),
        ("# told us by phone\n\n203.0.113.20   # the archive\n", {"203.0.113.20": set()}),
        ("203[.]0[.]113[.]20:104\n", {"203.0.113.20": {104}}),
        ("[2001:db8::5]:104\n2001:db8::6\n", {"2001:db8::5": {104}, "2001:db8::6": set()}),
        ("203.0.113.20 104\n203.0.113.20,11112\n", {"203.0.113.20": {104, 11112}}),
        ("::ffff:203.0.113.20\n", {"203.0.113.20": set()}),
        (SHADOWSERVER, {"203.0.113.20": {104}, "2001:db8::5": {11112}}),
        ("AS | IP | name\n64496 | 203.0.113.20 | X\n", {"203.0.113.20": set()}),
        ("asn;IP;Port\n64496;203.0.113.20;104\n", {"203.0.113.20": {104}}),
        ("\ufeff203.0.113.20\r\n".encode(), {"203.0.113.20": set()}),
        ("ip\tport\n203.0.113.20\t104\n".encode("utf-16"), {"203.0.113.20": {104}}),
    ],
)
def test_it_is_read(tmp_path: Path, text: str | bytes, found: dict[str, set[int]]) -> None:
    assert ports(tmp_path, text) == found


def test_what_cannot_be_read_is_counted_by_line_and_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("203.0.113.20\nDOE^JOHN\n10.0.0.0/8\n203.0.113.20:0\n224.0.0.1\n203.0.113.20:104\n")
    found = read(path)
    assert {number: why.split(" (")[0] for number, why in found.unreadable.items()} == {
        2: "no IP address of one host",
        3: "a network, not an address",
        4: "its port is not 1 to 65535",
        5: "no IP address of one host",
    }
    assert found.found[ip_address("203.0.113.20")].lines == [1, 6]
    assert "DOE" not in str(found)


def test_a_row_that_is_too_short_and_a_port_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("asn,ip,port\n64496\n64496,203.0.113.20,http\n64496,203.0.113.21,104\n")
    found = read(path)
    assert sorted(found.unreadable) == [2, 3] and [str(one) for one in found.found] == ["203.0.113.21"]


def test_a_list_without_an_address_is_a_mistake_and_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("DOE^JOHN\n")
    with pytest.raises(InventoryError) as raised:
        read(path)
    assert "line 1: no IP address" in str(raised.value) and "DOE" not in str(raised.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name it: -e reported=FILE"):
        read(tmp_path / "nothing.csv")


@given(
    data=st.binary(max_size=300) | st.text(alphabet="0123456789.:[]ip,;|\"'#/ \n\ufeff", max_size=200).map(str.encode)
)
def test_any_bytes_are_a_list_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-list"
    path.write_bytes(data)
    try:
        found = read(path)
    except RemediateError:
        return
    assert found.found and all(places.lines for places in found.found.values())
