"""The guard's entries, and the proof that a list does what an intent says."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.model.rule import Action, Intent, Permit, PortRange, Rule
from remediate.rules import Packet, entries, first_match, prove
from remediate.rules.proof import wanted
from tests.factories import doors, intent

interfaces = st.sampled_from(["wan", "tun0", "clinic"])
standing = st.sampled_from([(), ("wan",), ("tun0",), ("tun0", "wan")])
v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
near_v4 = st.integers(-3, 3).map(lambda by: IPv4Address(int(IPv4Address("10.10.0.5")) + by))
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
near_v6 = st.integers(-3, 3).map(lambda by: IPv6Address(int(IPv6Address("2001:db8::5")) + by))
ports = st.one_of(st.sampled_from([103, 104, 105, 8041, 8042, 8043]), st.integers(1, 65535))


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    addresses = st.one_of(v4, near_v4, st.just(IPv4Address("10.20.0.10")))
    if draw(st.booleans()):
        addresses = st.one_of(v6, near_v6, st.just(IPv6Address("2001:db8:1::9")))
    return Packet(*draw(st.tuples(interfaces, interfaces, addresses, addresses, ports, ports)))


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    chosen = draw(st.lists(st.one_of(near_v4, near_v6), min_size=1, max_size=3, unique=True))
    service_ports = draw(st.lists(ports, min_size=1, max_size=3, unique=True))
    permits = tuple(
        Permit(
            peer=f"p{at}",
            source=source,
            ports=tuple(draw(st.lists(st.sampled_from(service_ports), min_size=1))),
            interfaces=draw(standing),
        )
        for at, source in enumerate(
            draw(
                st.lists(
                    st.sampled_from([ip_network("10.10.0.0/29"), ip_network("10.20.0.10"), ip_network("2001:db8::/64")])
                )
            )
        )
    )
    made = doors(*chosen, ports=service_ports)
    if draw(st.booleans()):  # destination NAT: the ports that are seen are others, for some of the doors
        moved = tuple((port, port % 65535 + 1) for port in service_ports)
        made = (made[0].model_copy(update={"ports": moved}), *made[1:])
    made = tuple(door.model_copy(update={"interfaces": draw(standing)}) for door in made)
    return intent(doors=made, permits=permits, interfaces=("wan", "tun0"))


@given(intents(), packets())
def test_the_entries_do_what_the_intent_says_for_any_packet(meant: Intent, packet: Packet) -> None:
    rule = first_match(entries(meant), packet)
    assert (rule.action if rule else None) is wanted(meant, packet)


@settings(max_examples=30, deadline=None)  # a proof walks some thousand packets
@given(intents())
def test_the_entries_are_proved(meant: Intent) -> None:
    assert prove(meant, entries(meant)) == ()


def without(at: int) -> tuple[Rule, ...]:
    rules = list(entries(intent()))
    del rules[at]
    return tuple(rules)


@pytest.mark.parametrize("at", range(len(entries(intent()))))
def test_no_entry_can_be_missing(at: int) -> None:
    assert prove(intent(), without(at))


@pytest.mark.parametrize(
    "change",
    [
        {"interfaces": ("wan", "dmz")},
        {"doors": doors("10.10.0.5", "2001:db8::5", ports=(104,))},
        {"doors": doors("10.10.0.5", "2001:db8::5", ports=(104, 8042, 11112))},
        {"permits": ()},
        {"doors": intent().doors[:1]},
    ],
)
def test_entries_of_another_intent_are_not_a_proof(change: dict[str, object]) -> None:
    assert prove(intent(), entries(intent(**change)))


def test_a_rule_that_is_wider_than_meant_is_found() -> None:
    wide = Rule(action=Action.DENY, ingress=("wan",), destination_ports=(PortRange(first=1, last=1023),))
    wrong = prove(intent(), (*entries(intent()), wide))
    assert wrong
    assert any("meant untouched, would be deny" in text for text in wrong)


def test_a_permit_behind_the_denial_is_found() -> None:
    assert prove(intent(), tuple(reversed(entries(intent()))))


def test_what_the_pacs_opens_itself_is_untouched() -> None:
    away = Packet("dmz", "wan", IPv4Address("10.10.0.5"), IPv4Address("192.0.2.40"), 40000, 104)
    back = Packet("wan", "dmz", IPv4Address("192.0.2.40"), IPv4Address("10.10.0.5"), 104, 40000)
    assert first_match(entries(intent()), away) is None
    assert first_match(entries(intent()), back) is None
