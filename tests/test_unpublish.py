"""``unpublish``: what is meant, and what is refused before anything is planned."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from remediate import controls
from remediate.change import live
from remediate.controls.unpublish import CONTROL
from remediate.errors import PlanError
from remediate.model.change import Candidate, Section
from remediate.model.peers import Connection, LivePeers
from remediate.model.site import Access, Addresses, Addressing, Door, Peer, Published, Role, Site
from remediate.policy import all_closed
from remediate.rules import effect
from remediate.testing import render_and_prove
from tests.factories import CT, FIREWALL, READERS, RUNNING, pacs

SEEN, SIX = ip_address("203.0.113.20"), ip_address("2001:db8:1::20")
FAR = CT.model_copy(update={"name": "far", "address": ip_address("198.51.100.9")})
ARCHIVE = pacs(access=Access(peers=(CT, READERS)))
INTENT = CONTROL.intent(ARCHIVE, FIREWALL, Addressing.REAL)


def test_the_published_address_and_its_ports_as_the_outside_sees_them() -> None:
    assert INTENT.doors == (Door(address=SEEN, ports=((104, 11112), (8042, 8042))),)
    assert (INTENT.interfaces, INTENT.own) == (("wan",), (ip_address("10.10.0.5"),))
    assert INTENT.section == "unpublish_pacs-north"
    assert controls.left_to_the_outside(["unpublish"], ARCHIVE) == all_closed(ARCHIVE)


@pytest.mark.parametrize(
    "peer",
    [
        FAR,
        FAR.model_copy(update={"address": None, "network": ip_network("198.51.100.0/24")}),
        FAR.model_copy(update={"address": None, "network": ip_network("10.0.0.0/7")}),
    ],
)
def test_a_peer_who_comes_in_by_what_is_published_is_not_cut_off(peer: Peer) -> None:
    archive = pacs(access=Access(peers=(CT, peer)))
    with pytest.raises(
        PlanError, match=r"peer far \(.*\) has a public address and no VPN, so it comes in by the"
    ) as said:
        CONTROL.intent(archive, FIREWALL, Addressing.REAL)
    assert said.value.where == "pacs-north"


@pytest.mark.parametrize(
    "change",
    [
        {"via": "vpn"},
        {"roles": (Role.HL7,)},  # to no service of the archive's
        {"address": ip_address("2001:db8::7")},  # it is not published under IPv6
        {"address": ip_address("100.64.0.9")},
    ],
)
def test_who_does_not_come_in_there_is_no_reason(change: dict[str, object]) -> None:
    archive = pacs(access=Access(peers=(CT, FAR.model_copy(update=change))))
    assert CONTROL.intent(archive, FIREWALL, Addressing.REAL) == INTENT


def test_under_ipv6_a_public_peer_comes_in_by_the_published_address() -> None:
    outside = (*ARCHIVE.addresses.outside, Published(address=SIX))
    peer = FAR.model_copy(update={"address": ip_address("2001:db8::7")})
    both = pacs(addresses=ARCHIVE.addresses.model_copy(update={"outside": outside}), access=Access(peers=(peer,)))
    with pytest.raises(PlanError, match="peer far"):
        CONTROL.intent(both, FIREWALL, Addressing.REAL)


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (Addresses(inside=ARCHIVE.addresses.inside), "names no outside address of it"),
        (Addresses(outside=ARCHIVE.addresses.outside), "its own address is not known"),
        (
            Addresses(inside=(Published(address=SIX),), outside=(Published(address=SEEN), Published(address=SIX))),
            "2001:db8:1::20 is its own address and is routed: nothing is published there",
        ),
    ],
)
def test_where_nothing_is_published_it_is_refused(addresses: Addresses, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        CONTROL.intent(pacs(addresses=addresses), FIREWALL, Addressing.REAL)


def test_a_platform_that_cannot_is_named() -> None:
    device = FIREWALL.model_copy(update={"platform": "orthanc"})
    with pytest.raises(PlanError, match="unpublish cannot be carried out on orthanc"):
        render_and_prove(ARCHIVE, device, running="{}", control="unpublish")


def section() -> Section:
    return Section(name=INTENT.section, intent=INTENT, rules=(), previous=None)


def test_what_the_plan_says_that_it_does() -> None:
    assert effect(section(), closing=True) == (
        (
            "no longer translated: TCP to 203.0.113.20 ports 8042, 11112, coming in by wan: left to fw-north itself, "
            "in sessions that are open too"
        ),
        "untouched: every other forward, and whoever comes to the archive's own address",
    )


def test_a_plan_is_read_as_it_was_written() -> None:
    """Of the kinds of intent, and of entries, no one is taken for another."""
    made = render_and_prove(ARCHIVE, FIREWALL, running=RUNNING["linux_nftables"], control="unpublish")
    assert Candidate.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("interface", "port", "number"), [("wan", 104, 1), ("", 104, 1), ("clinic", 104, 0), ("wan", 22, 0)]
)
def test_who_is_connected_through_it_would_be_cut_off(interface: str, port: int, number: int) -> None:
    made = Candidate(device="fw-north", platform="any", sections=(), text="", inverse="", base="", diff="")
    wanted = made.model_copy(update={"sections": (section().model_copy(update={"rules": ()}),)})
    one = Connection(source="192.0.2.66", port=port, archive="10.10.0.5", interface=interface, established=True)
    seen = {"fw-north": LivePeers(connections=(one,), how="connection tracking")}
    site = Site(pacs={ARCHIVE.name: ARCHIVE}, devices={"fw-north": FIREWALL})
    assert len(list(live.cut_by(wanted, site, seen))) == number
