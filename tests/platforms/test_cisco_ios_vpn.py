"""``vpn_only`` on a router: a tunnel's list and the outside's, on real connections through the router process."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from remediate.change import guarding
from remediate.controls import control
from remediate.errors import PlanError
from remediate.model.change import Candidate
from remediate.model.device import Device, Guard
from remediate.model.rule import Intent
from remediate.model.site import Access, Addresses, Addressing, Pacs, Peer, Published, Role
from remediate.platforms import cisco_ios
from remediate.render import Renderer
from tests.factories import CT, pacs
from tests.lab_devices.conftest import STARTUP
from tests.lab_devices.echo import Echo, ask
from tests.platforms.test_cisco_ios_device import TOKEN, Start, pushed, start

__all__ = ["start"]

SPEC = cisco_ios.SPEC
GATEWAY = Device(
    name="edge-1", platform="cisco_ios", guard=Guard(interface=("GigabitEthernet0/0",), vpn=("Tunnel0", "Tunnel1"))
)
READER, STRANGER = "127.0.0.30", "127.0.0.66"
ARCHIVE = pacs(
    addresses=Addresses(
        inside=(Published(address=ip_address("10.10.0.5")),), outside=(Published(address=ip_address("203.0.113.20")),)
    ),
    access=Access(
        peers=(CT, Peer(name="readers", network=ip_network("127.0.0.30/32"), roles=(Role.QUERY,), via="vpn"))
    ),
)
#: One tunnel has a list of its own, the other has none.
TUNNELS = """interface Tunnel0
 ip address 10.99.0.1 255.255.255.0
interface Tunnel1
 ip address 10.99.1.1 255.255.255.0
 ip access-group READERS in
"""
LISTS = """ip access-list extended READERS
 deny   tcp any any eq 22
 permit ip any any
"""
WITH_VPN = (
    STARTUP.replace("ip route", TUNNELS + "ip route", 1)
    .replace("line con 0", LISTS + "line con 0", 1)
    .replace("permit tcp any host 10.10.0.5 eq 104", "permit tcp any host 203.0.113.20 eq 104")
)


def meant(name: str, archive: Pacs = ARCHIVE) -> Intent:
    made = control(name).intent(archive, GATEWAY, Addressing.PUBLISHED)
    assert isinstance(made, Intent)
    return made


def made(running: str, *intents: Intent) -> Candidate:
    return guarding.candidate(GATEWAY, guarding.sections(GATEWAY, intents, running), running, Renderer())


@pytest.fixture
def target() -> Iterator[Echo]:
    one = Echo()
    yield one
    one.close()


def test_closed_outside_and_open_through_the_tunnels_for_the_peers_alone(start: Start, target: Echo) -> None:
    to = "{}:{}".format(*target.address)
    ways = {
        "outside": f"Gi0/0>Gi0/2:127.0.0.40:0->{to}@203.0.113.20:104",
        "tunnel0": f"Tunnel0>Gi0/2:127.0.0.41:0->{to}@10.10.0.5:104",
        "tunnel1": f"Tunnel1>Gi0/2:127.0.0.42:0->{to}@10.10.0.5:104",
        "clinic": f"Gi0/1>Gi0/2:127.0.0.43:0->{to}@10.10.0.5:104",
    }
    router = start(*(word for name, way in ways.items() for word in ("--relay", f"{name}:{way}")), startup=WITH_VPN)
    driver = router.connect(GATEWAY)

    def who(source: str) -> dict[str, bool]:
        return {name: ask(router.process.relay(name), source) == f"{source} hello" for name in ways}

    everybody = dict.fromkeys(ways, True)
    assert (who(READER), who(STRANGER)) == (everybody, everybody)
    before = driver.running_config()
    candidate = made(before, meant("vpn_only"))
    pushed(driver, candidate)
    guarding.check_applied(GATEWAY, candidate, driver.running_config(), before)
    assert who(READER) == everybody | {"outside": False}
    assert who(STRANGER) == dict.fromkeys(ways, False) | {"clinic": True}
    driver.confirm_commit(TOKEN)

    running = driver.running_config()
    (section,) = guarding.sections(GATEWAY, [meant("vpn_only")], running)
    assert section.rules == section.previous, "the second time there is nothing to do"


@pytest.mark.parametrize("running", [WITH_VPN, WITH_VPN.replace("OUTSIDE-IN in", "READERS in")])
def test_the_inverse_restores_what_was_there(running: str, tmp_path: Path) -> None:
    """Also where one list stood outside and on a tunnel: afterwards they say different things."""
    candidate = made(running, meant("vpn_only"))
    state = SPEC.read(GATEWAY, running)
    after = SPEC.simulate(GATEWAY, state, candidate.text)
    assert after.sections["vpn_only_pacs-north"] == SPEC.expressed(meant("vpn_only"))
    again = SPEC.simulate(GATEWAY, after, candidate.inverse)
    assert (again.foreign, again.config.bound, again.config.lists) == (
        state.foreign,
        state.config.bound,
        state.config.lists,
    )


def test_sections_on_other_interfaces_do_not_quarrel() -> None:
    """acl denies outside what vpn_only of another archive at that address permits in a tunnel."""
    address = Addresses(outside=ARCHIVE.addresses.inside)  # not translated
    one = ARCHIVE.model_copy(update={"name": "pacs-south", "addresses": address})
    denies = meant("acl", one)
    candidate = made(WITH_VPN, denies, meant("vpn_only"))
    assert {section.name for section in candidate.sections} == {"acl_pacs-south", "vpn_only_pacs-north"}


def test_acl_beside_it_for_one_archive_is_refused() -> None:
    with pytest.raises(PlanError, match="the same entry"):
        made(WITH_VPN, meant("acl"), meant("vpn_only"))


def test_a_tunnel_that_is_not_there() -> None:
    with pytest.raises(PlanError, match=r"no interface Tunnel1 here \(guard.vpn\)"):
        made(WITH_VPN.replace("interface Tunnel1", "interface Tunnel2"), meant("vpn_only"))
