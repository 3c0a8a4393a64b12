"""Which networks may be swept, and on which ports. Nothing is sent here."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import date
from ipaddress import ip_address, ip_network

import pytest

from remediate.errors import InventoryError, RemediateError, ScopeError, UsageError
from remediate.inventory import ports, ranges
from remediate.inventory.ports import How
from remediate.model.site import Authorisation

TODAY = date(2027, 3, 31)


def given(*networks: str, expires: date = TODAY) -> list[Authorisation]:
    return [Authorisation(network=ip_network(text), reference="TICKET-1", expires=expires) for text in networks]


def authorised(scope: list[Authorisation], *narrowed: str) -> ranges.Ranges:
    return ranges.authorised(scope, narrowed, TODAY, "inventory")


def test_each_address_stands_there_once_and_in_order() -> None:
    found = authorised(given("192.0.2.4/30", "192.0.2.0/29", "192.0.2.6/31", "2001:db8::/127", "198.51.100.7/32"))
    texts = [*(f"192.0.2.{n}" for n in range(8)), "198.51.100.7", "2001:db8::", "2001:db8::1"]
    assert list(found) == list(enumerate(map(ip_address, texts), 1))
    assert found.count == len(texts)


def test_a_range_is_never_listed_in_memory() -> None:
    found = authorised(given("10.0.0.0/12"))
    tracemalloc.start()
    try:
        last = next(itertools.islice(found, 200_000, None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert last == (200_001, ip_address("10.3.13.64"))
    assert peak < 100_000


def test_a_part_of_it() -> None:
    scope = given("192.0.2.0/24", "2001:db8::/32")
    assert authorised(scope, "192.0.2.16/28").networks == (ip_network("192.0.2.16/28"),)
    assert authorised(scope, "2001:db8::5:0/112", "192.0.2.1/32").count == 65537


@pytest.mark.parametrize(
    ("scope", "narrowed", "kind", "told"),
    [
        ([], (), UsageError, "inventory: nothing says which networks may be swept; nothing was sent"),
        ([], ("192.0.2.0/24",), UsageError, "scope: [{network: 192.0.2.0/24, reference: TICKET-1"),
        (given("192.0.2.0/24"), ("192.0.2.1/24",), UsageError, "--network 192.0.2.1/24 is no network"),
        (given("192.0.2.0/24"), ("pacs-1",), UsageError, "--network pacs-1 is no network"),
        (given("192.0.2.0/24"), ("198.51.100.0/24",), ScopeError, "198.51.100.0/24: this network is not inside any"),
        (given("192.0.2.0/25"), ("192.0.2.0/24",), ScopeError, "192.0.2.0/24: this network is not inside any"),
        (given("192.0.2.0/24"), ("2001:db8::/120",), ScopeError, "name a part of one that is: 192.0.2.0/24"),
        (given("2001:db8::/64"), (), UsageError, "2001:db8::/64 has more addresses than can be swept (2^64)"),
        (given("2001:db8::/32"), ("2001:db8::/107",), UsageError, "--network, of /108 or longer"),
        (given("10.0.0.0/11"), (), UsageError, "10.0.0.0/11 has more addresses than can be swept (2^21)"),
        (given("192.0.2.0/24", expires=date(2027, 3, 30)), (), InventoryError, "TICKET-1 for 192.0.2.0/24 ended on"),
    ],
)
def test_refusals(scope: list[Authorisation], narrowed: tuple[str, ...], kind: type[RemediateError], told: str) -> None:
    with pytest.raises(kind) as refused:
        authorised(scope, *narrowed)
    assert told in str(refused.value)


def test_what_has_ended_does_not_stop_the_rest_where_that_is_named() -> None:
    scope = [*given("192.0.2.0/24"), *given("198.51.100.0/24", expires=date(2027, 3, 30))]
    with pytest.raises(InventoryError):
        authorised(scope)
    assert authorised(scope, "192.0.2.0/24").count == 256
    renewed = [*scope, *given("198.51.0.0/16")]
    assert authorised(renewed).count == 256 + 65536


def test_many_addresses_are_asked_for_twice() -> None:
    few, many = authorised(given("10.0.0.0/16")), authorised(given("10.0.0.0/16", "192.0.2.0/32"))
    ranges.agreed(few, yes=False)
    with pytest.raises(UsageError, match="65537 addresses would be swept; nothing was sent"):
        ranges.agreed(many, yes=False)
    ranges.agreed(many, yes=True)
    with pytest.raises(UsageError, match="at most 1048576"):
        ranges.agreed(authorised(given("10.0.0.0/12", "192.0.2.0/32")), yes=True)


# -- ports ----------------------------------------------------------------------------------------------


def test_no_port_stands_twice_and_each_says_where_it_is_from() -> None:
    assert len({place.port for place in ports.PLACES}) == len(ports.PLACES)
    assert all(place.source and place.name for place in ports.PLACES)
    dicom = {place.port for place in ports.PLACES if place.how is How.DICOM}
    assert dicom == {104, 2761, 2762, 11112, 4242, 5678, 2345}


def test_chosen_ports() -> None:
    found = ports.chosen(["104,web:8088", " other:104 , 443", "1104"])
    assert [(one.port, one.how) for one in found] == [
        (104, How.OTHER),
        (8088, How.WEB),
        (443, How.WEB),
        (1104, How.DICOM),
    ]


@pytest.mark.parametrize("text", ["0", "65536", "dicom", "dicom:", "dicom:x", "hl7:2575", "1-5", "٣"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(UsageError, match="is no port"):
        ports.chosen([text])
    with pytest.raises(UsageError, match="names no port"):
        ports.chosen([","])
