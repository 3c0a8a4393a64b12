"""A discovery, and a bare touch of a port, from vantages other than this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import date
from ipaddress import ip_address, ip_network

import pytest

from remediate import probes
from remediate.change import discovery
from remediate.change.discovery import Hunt, Tally
from remediate.errors import VantageError
from remediate.inventory import ports
from remediate.inventory.ranges import Ranges
from remediate.model.discovery import Discovered
from remediate.model.observation import Rung
from remediate.model.site import Authorisation, Canary, Limits, Scope, ServiceKind, SocksVia, Vantage, Zone
from remediate.runner import Cancellation
from remediate.testing.dicom import Peer, Script, ScriptedPeer, rejects, silent
from remediate.vantages import Lookout
from tests.probes.daemons import free_port

from .conftest import Sshd
from .places import question, site


@contextlib.contextmanager
def guarded(_: Cancellation) -> Iterator[None]:
    yield


def swept(vantage: Vantage, tally: Tally, *asked: str) -> list[Discovered]:
    allowed = Authorisation(network=ip_network("127.0.0.0/8"), reference="TICKET-1", expires=date.max)
    hunt = Hunt(
        ranges=Ranges([ip_network("127.0.61.0/30")]),
        vantage=vantage,
        scope=Scope(addresses=None, authorised=(allowed,)),
        limits=Limits(per_site=1000),
        places=ports.chosen(asked),
        known={},
    )
    found: list[Discovered] = []

    def take(one: Discovered) -> None:
        found.append(one)

    discovery.run(hunt, take, guarded, tally)
    return found


def test_over_ssh(start_sshd: Callable[..., Sshd]) -> None:
    """The SSH server's words for closed are facts; a canary that is silent makes silence prove nothing."""
    via = start_sshd().via
    with ScriptedPeer(rejects(1, 1, 3), "127.0.61.2") as peer, ScriptedPeer(silent, "127.0.61.2") as other:
        dead = Canary(address=ip_address("127.0.61.3"), port=free_port())
        vantage = Vantage(name="clinic", zone=Zone.INSIDE, via=via, canaries=(dead,))
        tally = Tally(4)
        (found,) = swept(vantage, tally, f"dicom:{peer.port}", f"other:{other.port}")
        assert other.connection().received == b""
    assert str(found.address) == "127.0.61.2" and [one.rung for one in found.services] == [Rung.REJECTED]
    assert [one.rung for one in found.others] == [Rung.OPEN]
    assert tally.rungs == {Rung.CLOSED: 3, Rung.REJECTED: 1, Rung.OPEN: 1}
    assert "127.0.61.3" in tally.blind


def test_a_vantage_that_cannot_be_opened_asks_nothing() -> None:
    via = SocksVia(host="127.0.0.1", port=free_port())
    with pytest.raises(VantageError):
        swept(Vantage(name="gone", zone=Zone.OUTSIDE, via=via), tally := Tally(4), "104")
    assert tally.asked == 0 and not tally.rungs


def socks(bound: int) -> Script:
    """A server that says that it is connected, from that port of its own (RFC 1928 6), and then nothing."""

    async def serve(peer: Peer) -> None:
        await peer.reader.readexactly(3)
        await peer.say(b"\5\0")
        await peer.reader.readexactly(10)
        await peer.say(b"\5\0\0\1" + bytes(4) + bound.to_bytes(2, "big"))

    return serve


@pytest.mark.parametrize(("bound", "rung"), [(40000, Rung.OPEN), (0, Rung.INCONCLUSIVE)])
def test_a_touch_believes_no_mere_promise(bound: int, rung: Rung) -> None:
    async def main(port: int) -> Rung:
        lookout = Lookout(site("127.0.0.1", far=SocksVia(host="127.0.0.1", port=port)), ["far"])
        assert await lookout.open() == {}
        try:
            return await probes.touch(lookout.dial, question(21, vantage="far"), 0.3)
        finally:
            await lookout.aclose()

    with ScriptedPeer(socks(bound)) as server:
        assert asyncio.run(main(server.port)) is rung


def test_a_dicom_port_is_never_just_touched() -> None:
    async def main() -> None:
        lookout = Lookout(site("127.0.0.1"), [])
        await probes.touch(lookout.dial, question(104).model_copy(update={"kind": ServiceKind.DICOM}), 0.3)

    with pytest.raises(ValueError, match="a bare connection to dicom"):
        asyncio.run(main())
