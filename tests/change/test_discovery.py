"""Sweeps for archives that are in no inventory: real connections to scripted peers on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import date
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from remediate.change import discovery, lanes, sweep
from remediate.change.discovery import Hunt, Known, Tally
from remediate.errors import ScopeError
from remediate.inventory import ports
from remediate.inventory.ports import How
from remediate.inventory.ranges import Ranges
from remediate.model.discovery import Discovered, Likeness
from remediate.model.observation import Rung, Surface, Tls
from remediate.model.site import (
    Access,
    Addresses,
    Authorisation,
    Canary,
    Destination,
    Limits,
    Published,
    Scope,
    ServiceKind,
    Site,
)
from remediate.runner import Cancellation
from remediate.testing.dicom import Peer, Script, ScriptedPeer, ac, answers, pdu, rejects, silent
from tests import factories
from tests.probes import peers

TLS = Tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384")
REJECTED = pdu(0x03, bytes([0, 1, 1, 3]))
ASSOCIATES = answers(ac([(1, 0)]))


def hunt(network: str, *asked: str, **more: Any) -> Hunt:
    allowed = Authorisation(network=ip_network("127.0.0.0/8"), reference="TICKET-1", expires=date.max)
    values: dict[str, Any] = {
        "ranges": Ranges([ip_network(network)]),
        "vantage": sweep.vantage(None),
        "scope": Scope(addresses=None, authorised=(allowed,)),
        "limits": Limits(),
        "places": ports.chosen(asked),
        "known": {},
        "deadline": 1.0,
    }
    return Hunt(**(values | more))


def found_by(what: Hunt, tally: Tally | None = None) -> dict[str, Discovered]:
    found: list[Discovered] = []

    def take(one: Discovered) -> None:
        found.append(one)

    @contextlib.contextmanager
    def guarded(_: Cancellation) -> Iterator[None]:
        yield

    discovery.run(what, take, guarded, Tally(what.ranges.count) if tally is None else tally)
    assert len({one.address for one in found}) == len(found)
    return {str(one.address): one for one in found}


# -- what it looks like -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rung", "tls", "kind", "likeness"),
    [
        (Rung.ASSOCIATED, None, ServiceKind.DICOM, Likeness.ARCHIVE),
        (Rung.NO_CONTEXT, None, ServiceKind.DICOM, Likeness.ARCHIVE),
        (Rung.REJECTED, None, ServiceKind.DICOM, Likeness.ARCHIVE),
        (Rung.BUSY, None, ServiceKind.DICOM, Likeness.ARCHIVE),
        (Rung.REJECTED, TLS, ServiceKind.DICOM_TLS, Likeness.ARCHIVE),
        (Rung.ABORTED, None, ServiceKind.DICOM, Likeness.POSSIBLE),
        (Rung.TLS_ONLY, TLS, ServiceKind.DICOM_TLS, Likeness.POSSIBLE),
        (Rung.TLS_CERTIFICATE_WANTED, None, ServiceKind.DICOM_TLS, Likeness.POSSIBLE),
    ],
)
@pytest.mark.parametrize("asked", [ServiceKind.DICOM, ServiceKind.DICOM_TLS])
def test_what_speaks_dicom(
    asked: ServiceKind, rung: Rung, tls: Tls | None, kind: ServiceKind, likeness: Likeness
) -> None:
    one = discovery.heard(factories.seen(peers.question(104, asked), rung, tls=tls))
    assert one is not None and (one.kind, one.likeness, one.port) == (kind, likeness, 104)


@pytest.mark.parametrize(
    ("rung", "surfaces", "kind", "likeness"),
    [
        (Rung.HTTP_ANSWERED, {Surface.QIDO_RS}, ServiceKind.DICOMWEB, Likeness.ARCHIVE),
        (Rung.DATA_RETURNED, {Surface.QIDO_RS}, ServiceKind.DICOMWEB, Likeness.ARCHIVE),
        (Rung.HTTP_ANSWERED, {Surface.QIDO_RS_GUARDED}, ServiceKind.DICOMWEB, Likeness.POSSIBLE),
        (Rung.HTTP_ANSWERED, {Surface.CONSOLE, Surface.STATISTICS}, ServiceKind.WEB, Likeness.ARCHIVE),
        (Rung.HTTP_ANSWERED, {Surface.VIEWER, Surface.PLAIN_HTTP}, ServiceKind.WEB, Likeness.POSSIBLE),
        (Rung.HTTP_ANSWERED, {Surface.PLAIN_HTTP}, ServiceKind.WEB, Likeness.OTHER),
        (Rung.HTTP_GUARDED, set(), ServiceKind.WEB, Likeness.OTHER),
        (Rung.TLS_CERTIFICATE_WANTED, set(), ServiceKind.WEB, Likeness.OTHER),
    ],
)
def test_what_the_web_shows(rung: Rung, surfaces: set[Surface], kind: ServiceKind, likeness: Likeness) -> None:
    one = discovery.heard(factories.seen(peers.question(8042, ServiceKind.DICOMWEB), rung, surfaces=surfaces))
    assert one is not None and (one.kind, one.likeness) == (kind, likeness)


@pytest.mark.parametrize("rung", [Rung.FILTERED, Rung.CLOSED, Rung.UNREACHABLE, Rung.INCONCLUSIVE, Rung.NOT_DICOM])
def test_what_is_no_service(rung: Rung) -> None:
    assert discovery.heard(factories.seen(peers.question(104, ServiceKind.DICOM), rung)) is None


def test_what_the_inventory_knows() -> None:
    access = Access(
        peers=(factories.CT,),
        destinations=(Destination(name="far", address=ip_address("192.0.2.40"), port=104),),
    )
    same = Addresses(outside=(Published(address=ip_address("203.0.113.20"), ports={104: 4104}),))
    site = Site(pacs={"a": factories.pacs(name="a", access=access), "b": factories.pacs(name="b", addresses=same)})
    assert discovery.known(site) == {
        ip_address("10.20.0.10"): Known("peer ct-1 of b", None),
        ip_address("192.0.2.40"): Known("destination far of a", None),
        ip_address("10.10.0.5"): Known("a", frozenset({104, 8042})),
        ip_address("203.0.113.20"): Known("a and b", frozenset({11112, 4104, 8042})),
    }


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"answered": 4}, 0),
        ({"answered": 4, "not_askable": 2}, 0),
        ({"answered": 0}, 3),
        ({"answered": 0, "has_canaries": True}, 0),
        ({"answered": 0, "not_askable": 9, "has_canaries": True}, 3),
        ({"answered": 4, "partly": 1}, 3),
        ({"answered": 4, "asked": 8}, 3),
        ({"answered": 4, "blind": "a canary is silent"}, 3),
        ({"answered": 4, "new": {Likeness.POSSIBLE: 1}}, 3),
        ({"answered": 4, "new": {Likeness.POSSIBLE: 1, Likeness.ARCHIVE: 1}, "partly": 1}, 1),
        ({"answered": 4, "unlisted": 1}, 1),
        ({"answered": 4, "unlisted": 1, "stopped": True}, 130),
    ],
)
def test_the_exit_status(values: dict[str, Any], status: int) -> None:
    tally = Tally(9, asked=9)
    for name, value in values.items():
        getattr(tally, name).update(value) if isinstance(value, dict) else setattr(tally, name, value)
    assert tally.exit_status == status


# -- over real connections ---------------------------------------------------------------------------------


def test_what_stands_in_a_range() -> None:
    """An archive that rejects, one that speaks, what ends the connection, what is mute; the rest is closed."""
    with contextlib.ExitStack() as stack:

        def at(address: str, script: Script, port: int = 0) -> ScriptedPeer:
            return stack.enter_context(ScriptedPeer(script, address, port))

        first = at("127.0.41.1", rejects(1, 1, 3))
        port = first.port
        rdp = at("127.0.41.1", silent)
        speaks = at("127.0.41.2", ASSOCIATES, port)
        at("127.0.41.3", hangs_up, port)
        at("127.0.41.4", silent, port)
        at("127.0.41.5", ASSOCIATES, port)
        lonely = at("127.0.41.6", silent, rdp.port)
        other = f"other:{rdp.port}"
        tally = Tally(8)
        known = {ip_address("127.0.41.5"): Known("pacs-north", frozenset({port}))}
        found = found_by(hunt("127.0.41.0/29", f"dicom:{port}", other, known=known), tally)
        request = bytes(first.connection().received)
        spoken = bytes(speaks.connection().received)
        touched = rdp.connection()
        with pytest.raises(TimeoutError):
            lonely.connection(within=0.0)  # no archive there: it was not asked
    assert {name: (one.likeness, one.is_new) for name, one in found.items()} == {
        "127.0.41.1": (Likeness.ARCHIVE, True),
        "127.0.41.2": (Likeness.ARCHIVE, True),
        "127.0.41.3": (Likeness.POSSIBLE, True),
        "127.0.41.5": (Likeness.ARCHIVE, False),
    }
    assert request[0] == 0x01 and request[10:42] == b"ANY-SCP".ljust(16) + b"RMD_PROBE".ljust(16)
    assert spoken[len(request) :][:1] == b"\5", "released, and nothing asked"
    assert (bytes(touched.received), touched.reset) == (b"", True)
    assert [(one.port, one.rung) for one in found["127.0.41.1"].others] == [(rdp.port, Rung.OPEN)]
    assert found["127.0.41.2"].others[0].rung is Rung.CLOSED
    assert (tally.asked, tally.answered, tally.not_askable, tally.partly) == (8, 8, 0, 0)
    assert tally.rungs[Rung.NOT_DICOM] == 1 and tally.exit_status == 1


async def hangs_up(peer: Peer) -> None:
    await peer.pdu()
    peer.fin()


def test_other_services_of_every_address_on_request() -> None:
    with ScriptedPeer(silent, "127.0.42.1") as peer:
        asked = (f"other:{peer.port}",)
        found = found_by(hunt("127.0.42.0/30", *asked, all_others=True))
        assert list(found) == ["127.0.42.1"]
        assert found["127.0.42.1"].likeness is Likeness.OTHER and not found["127.0.42.1"].is_new
        assert found_by(hunt("127.0.42.0/30", "1104", *asked)) == {}


def test_a_service_that_the_entry_does_not_have() -> None:
    with (
        ScriptedPeer(ASSOCIATES, "127.0.43.1") as listed,
        ScriptedPeer(ASSOCIATES, "127.0.43.1") as unlisted,
    ):
        known = {ip_address("127.0.43.1"): Known("pacs-north", frozenset({listed.port}))}
        asked = f"dicom:{listed.port},dicom:{unlisted.port}"
        tally = Tally(1)
        found = found_by(hunt("127.0.43.1/32", asked, known=known), tally)["127.0.43.1"]
        assert (found.known_as, found.unlisted, found.is_new) == ("pacs-north", (unlisted.port,), False)
        assert (tally.unlisted, tally.new.total(), tally.exit_status) == (1, 0, 1)
        peer = {ip_address("127.0.43.1"): Known("peer ct-1 of pacs-north", None)}
        assert found_by(hunt("127.0.43.1/32", asked, known=peer))["127.0.43.1"].unlisted == ()


def test_an_address_is_asked_one_port_at_a_time() -> None:
    """While one port is still to answer, nobody comes to another; two addresses are asked at once."""
    came = {address: [threading.Event() for _ in range(4)] for address in ("127.0.44.2", "127.0.44.3")}
    both = threading.Barrier(2)
    together: list[bool] = []
    kinds = ("dicom", "web", "dicom", "web")  # the dial alone keeps only DICOM ports from being asked at once

    def script(address: str, which: int) -> Script:
        async def ask(peer: Peer) -> None:
            first = not came[address][which].is_set()
            came[address][which].set()
            await peer.reader.readexactly(1)
            if which == 0:
                both.wait(60)  # a peer has a thread of its own
            if first:
                together.extend(other.wait(0.2) for other in came[address][which + 1 :])
            await peer.say(REJECTED)

        return ask

    with contextlib.ExitStack() as stack:
        listening = [
            stack.enter_context(ScriptedPeer(script("127.0.44.2", which), "127.0.44.2")).port for which in range(4)
        ]
        for which, port in enumerate(listening):
            stack.enter_context(ScriptedPeer(script("127.0.44.3", which), "127.0.44.3", port))
        found = found_by(
            hunt(
                "127.0.44.2/31", *(f"{kind}:{port}" for kind, port in zip(kinds, listening, strict=True)), deadline=60.0
            )
        )
    assert together == [False] * 12
    assert [len(one.services) for one in found.values()] == [2, 2]


def test_an_address_outside_of_the_scope_is_refused_at_the_dial() -> None:
    """The ranges were checked before; this is the last door."""
    elsewhere = Authorisation(network=ip_network("192.0.2.0/24"), reference="TICKET-2", expires=date.max)
    with ScriptedPeer(ASSOCIATES, "127.0.46.1") as peer:
        with pytest.raises(ScopeError, match="no authorisation covers this address; nothing was sent"):
            found_by(hunt("127.0.46.1/32", f"dicom:{peer.port}", scope=Scope(addresses=None, authorised=(elsewhere,))))
        with pytest.raises(TimeoutError):
            peer.connection(within=0.0)


def test_how_many_at_a_time_and_for_how_long() -> None:
    what = hunt("127.0.0.0/16", "104,443,22", limits=Limits(per_host=20, per_site=200), deadline=3.0)
    assert what.at_a_time == 800
    assert [place.how for place in what.first] == [How.DICOM, How.WEB]
    assert what.seconds == (655.36, 655.36)
    slow = hunt("127.0.0.0/24", "104", limits=Limits(per_site=1000), deadline=3.0)
    assert slow.seconds == (0.256, 3.0)
    assert hunt("127.0.0.0/8", "104").at_a_time == lanes.WAITING


def test_a_canary_that_falls_silent_meanwhile_is_told() -> None:
    """Else what was silent in the second half would count as closed."""
    canary = socket.create_server(("127.0.0.1", 0))
    where = Canary(address=ip_address("127.0.0.1"), port=canary.getsockname()[1])
    tally = Tally(1)

    def take(_: Discovered) -> None:
        canary.close()

    with canary, ScriptedPeer(ASSOCIATES, "127.0.48.1") as peer:
        what = hunt("127.0.48.1/32", f"dicom:{peer.port}", vantage=sweep.vantage(None, [where]))
        discovery.run(what, take, lambda _: contextlib.nullcontext(), tally)
    assert tally.asked == 1
    assert tally.blind == f"canary 127.0.0.1 port {where.port}: closed, connection refused"
