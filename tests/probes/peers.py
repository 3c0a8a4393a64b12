"""The questions that are put to scripted peers on loopback."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import (
    Addresses,
    ClientCertificate,
    LocalVia,
    Pacs,
    Published,
    Service,
    ServiceKind,
    Site,
    Vantage,
    Zone,
)
from remediate.probes import observe
from remediate.testing import Peer, Script, ScriptedPeer
from remediate.testing.dicom import ac, command, data, pdu
from remediate.vantages import Lookout

__all__ = ["DEADLINE", "Peer", "Script", "ac", "ask", "command", "data", "look_at", "pdu", "question"]

LOOPBACK = IPv4Address("127.0.0.1")
DEADLINE = 0.6


def question(
    port: int,
    kind: ServiceKind = ServiceKind.DICOM,
    *,
    called: str = "ARCHIVE",
    up_to: Rung | None = None,
    anonymous: bool = False,
) -> Question:
    return Question(
        pacs="pacs-1",
        vantage="here",
        kind=kind,
        address=LOOPBACK,
        port=port,
        service_port=port,
        calling_ae_title="RMDTEST" if kind.is_dicom else None,
        called_ae_title=called if kind.is_dicom else None,
        up_to=up_to,
        anonymous=anonymous,
    )


def site(port: int, kind: ServiceKind = ServiceKind.DICOM, certificate: ClientCertificate | None = None) -> Site:
    pacs = Pacs(
        name="pacs-1",
        ae_title="ARCHIVE",
        addresses=Addresses(outside=(Published(address=LOOPBACK),)),
        services=(Service(kind=kind, port=port),),
    )
    here = Vantage(name="here", zone=Zone.OUTSIDE, via=LocalVia(), client_certificate=certificate)
    return Site(pacs={"pacs-1": pacs}, vantages={"here": here})


async def look(
    port: int,
    kind: ServiceKind = ServiceKind.DICOM,
    deadline: float = DEADLINE,
    *,
    up_to: Rung | None = None,
    certificate: ClientCertificate | None = None,
    anonymous: bool = False,
) -> Observation:
    lookout = Lookout(site(port, kind, certificate), ["here"])
    assert await lookout.open() == {}
    try:
        return await observe(lookout.dial, question(port, kind, up_to=up_to, anonymous=anonymous), deadline)
    finally:
        await lookout.aclose()


def ask(port: int, kind: ServiceKind = ServiceKind.DICOM, deadline: float = DEADLINE) -> Observation:
    return asyncio.run(look(port, kind, deadline))


async def look_at(
    script: Script, kind: ServiceKind = ServiceKind.DICOM, deadline: float = DEADLINE
) -> tuple[Observation, Peer]:
    """What the probe says of a peer that runs ``script``, and how that peer fared."""
    async with ScriptedPeer(script) as scripted:
        observation = await look(scripted.port, kind, deadline)
        peer = await asyncio.to_thread(scripted.connection)
    return observation, peer
