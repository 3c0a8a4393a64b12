"""``vpn_only``: who is let in by which interface, and what is refused before anything is planned."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from remediate import controls
from remediate.controls.vpn_only import CONTROL
from remediate.errors import PlanError
from remediate.model.device import Device, Guard
from remediate.model.rule import Action
from remediate.model.site import Access, Addressing, Peer, Vantage, Zone
from remediate.model.verdict import Grade, Purpose
from remediate.policy import PROBE_AE_TITLE, all_closed, expectations
from remediate.rules import Packet, entries, first_match, prove
from remediate.testing import render_and_prove
from tests.factories import CT, FIREWALL, INTERNET, READERS, pacs

GATEWAY = Device(name="fw-north", platform="linux_nftables", guard=Guard(interface=("wan",), vpn=("tun0", "wg0")))
#: Permitted by acl: somebody with a public address, who does not come through the VPN.
FAR = CT.model_copy(update={"name": "far", "address": ip_address("198.51.100.9")})
ARCHIVE = pacs(access=Access(peers=(CT, FAR, READERS)))
OWN, SEEN = "10.10.0.5", "203.0.113.20"


def packet(interface: str, source: str, to: str, port: int, *, answer: bool = False) -> Packet:
    """From a client by ``interface`` to the archive, or the archive's answer to it."""
    client, archive = ip_address(source), ip_address(to)
    if answer:
        return Packet("dmz", interface, archive, client, port, 40000)
    return Packet(interface, "dmz", client, archive, 40000, port)


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize(
    ("addressing", "interface", "source", "to", "port", "action"),
    [
        # Behind the translation: the archive's own address and ports, wherever the packet comes from.
        (Addressing.REAL, "wan", "192.0.2.66", OWN, 104, Action.DENY),
        (Addressing.REAL, "wan", "198.51.100.9", OWN, 104, Action.DENY),
        (Addressing.REAL, "wan", "10.99.0.7", OWN, 104, Action.DENY),
        (Addressing.REAL, "tun0", "10.99.0.7", OWN, 104, Action.PERMIT),
        (Addressing.REAL, "wg0", "10.99.0.7", OWN, 104, Action.PERMIT),
        (Addressing.REAL, "tun0", "10.20.0.10", OWN, 104, Action.DENY),
        (Addressing.REAL, "tun0", "10.99.0.7", OWN, 8042, Action.DENY),
        (Addressing.REAL, "clinic", "10.20.0.10", OWN, 104, None),
        (Addressing.REAL, "tun0", "10.20.0.10", OWN, 22, None),
        # Ahead of it: the published address outside, and in the VPN the archive's own one as well.
        (Addressing.PUBLISHED, "wan", "192.0.2.66", SEEN, 11112, Action.DENY),
        (Addressing.PUBLISHED, "wan", "10.99.0.7", SEEN, 11112, Action.DENY),
        (Addressing.PUBLISHED, "wan", "192.0.2.66", SEEN, 104, None),
        (Addressing.PUBLISHED, "tun0", "10.99.0.7", OWN, 104, Action.PERMIT),
        (Addressing.PUBLISHED, "tun0", "10.99.0.7", SEEN, 11112, Action.PERMIT),
        (Addressing.PUBLISHED, "tun0", "10.20.0.10", OWN, 104, Action.DENY),
        (Addressing.PUBLISHED, "tun0", "10.20.0.10", SEEN, 11112, Action.DENY),
    ],
)
def test_who_gets_in(
    addressing: Addressing, interface: str, source: str, to: str, port: int, action: Action | None, answer: bool
) -> None:
    intent = CONTROL.intent(ARCHIVE, GATEWAY, addressing)
    rule = first_match(entries(intent), packet(interface, source, to, port, answer=answer))
    assert (rule.action if rule else None) is action
    assert prove(intent, entries(intent)) == ()


@pytest.mark.parametrize("platform", ["linux_nftables", "cisco_ios"])
def test_rendered_and_proved(platform: str) -> None:
    running = "interface wan\ninterface tun0\ninterface wg0\n" if platform == "cisco_ios" else ""
    device = GATEWAY.model_copy(update={"platform": platform})
    made = render_and_prove(ARCHIVE, device, running=running, control="vpn_only")
    assert "198.51.100.9" not in made.text and "10.20.0.10" not in made.text
    assert made.sections[0].name == "vpn_only_pacs-north"


def test_without_a_vpn_it_is_refused() -> None:
    with pytest.raises(PlanError, match="does not say by which interface the VPN comes in") as said:
        CONTROL.intent(ARCHIVE, FIREWALL, Addressing.REAL)
    assert said.value.where == "fw-north"


@pytest.mark.parametrize("peers", [(CT,), (CT, READERS.model_copy(update={"roles": ()}))])
def test_with_nobody_to_come_through_the_vpn_it_is_refused(peers: tuple[Peer, ...]) -> None:
    with pytest.raises(PlanError, match="none of its peers comes through a VPN"):
        CONTROL.intent(pacs(access=Access(peers=peers)), GATEWAY, Addressing.REAL)


def test_the_outside_sees_nothing() -> None:
    assert controls.left_to_the_outside(["vpn_only"], ARCHIVE) == all_closed(ARCHIVE)


def test_a_place_in_the_vpn_is_asked_as_the_peers_are() -> None:
    """A peer that is a network, without an AE title of its own."""
    vantage = Vantage(name="remote", zone=Zone.INSIDE, peer="readers")
    found = [e for e in expectations(ARCHIVE, [INTERNET, vantage]).expectations if e.purpose is Purpose.CARE_PATH]
    assert [(str(e.question.address), e.question.port, e.role, e.grade) for e in found] == [
        (OWN, 104, READERS.roles[0], Grade.DIRECT)
    ]
    assert found[0].question.calling_ae_title == PROBE_AE_TITLE
    titled = ARCHIVE.model_copy(update={"access": Access(peers=(READERS.model_copy(update={"ae_title": "READER"}),))})
    assert {e.question.calling_ae_title for e in expectations(titled, [vantage]).expectations} == {"READER"}
