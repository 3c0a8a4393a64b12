"""Peers on loopback for the probes: scripted bytes, and the questions that are put to them."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from remediate.model.observation import Observation, Question
from remediate.model.site import Addresses, LocalVia, Pacs, Published, Service, ServiceKind, Site, Vantage, Zone
from remediate.probes import observe
from remediate.vantages import Lookout

LOOPBACK = IPv4Address("127.0.0.1")
DEADLINE = 0.6


def question(port: int, kind: ServiceKind = ServiceKind.DICOM, *, called: str = "ARCHIVE") -> Question:
    return Question(
        pacs="pacs-1",
        vantage="here",
        kind=kind,
        address=LOOPBACK,
        port=port,
        service_port=port,
        calling_ae_title="RMDTEST" if kind.is_dicom else None,
        called_ae_title=called if kind.is_dicom else None,
    )


def site(port: int, kind: ServiceKind = ServiceKind.DICOM) -> Site:
    pacs = Pacs(
        name="pacs-1",
        ae_title="ARCHIVE",
        addresses=Addresses(outside=(Published(address=LOOPBACK),)),
        services=(Service(kind=kind, port=port),),
    )
    here = Vantage(name="here", zone=Zone.OUTSIDE, via=LocalVia())
    return Site(pacs={"pacs-1": pacs}, vantages={"here": here})


async def look(port: int, kind: ServiceKind = ServiceKind.DICOM, deadline: float = DEADLINE) -> Observation:
    lookout = Lookout(site(port, kind), ["here"])
    assert await lookout.open() == {}
    try:
        return await observe(lookout.dial, question(port, kind), deadline)
    finally:
        await lookout.aclose()


def ask(port: int, kind: ServiceKind = ServiceKind.DICOM, deadline: float = DEADLINE) -> Observation:
    return asyncio.run(look(port, kind, deadline))


@dataclass
class Peer:
    """One connection as the peer saw it. ``reset``: it ended with a RST."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)
    reset: bool = False

    async def pdu(self) -> bytes:
        header = await self.reader.readexactly(6)
        data = header + await self.reader.readexactly(int.from_bytes(header[2:], "big"))
        self.received += data
        return data

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> None:
        """Reads until the prober ends the connection."""
        try:
            while data := await self.reader.read(65536):
                self.received += data
        except ConnectionResetError:
            self.reset = True

    def fin(self) -> None:
        self.writer.write_eof()

    def rst(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


async def look_at(
    script: Script, kind: ServiceKind = ServiceKind.DICOM, deadline: float = DEADLINE
) -> tuple[Observation, Peer]:
    """What the probe says of a peer that runs ``script``, and how that peer fared."""
    met: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await script(peer)
            await peer.rest()
        except ConnectionError:
            peer.reset = True
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.transport.abort()
            met.set_result(peer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        observation = await look(server.sockets[0].getsockname()[1], kind, deadline)
        async with asyncio.timeout(5):
            peer = await met
    with contextlib.suppress(TimeoutError):
        await server.wait_closed()
    return observation, peer


# -- DICOM by hand ------------------------------------------------------------------------------------


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def ac(results: list[tuple[int, int]], *, title: bytes = b"ARCHIVE".ljust(16), version: bytes = b"PEER") -> bytes:
    """A-ASSOCIATE-AC: (context id, result) in that order."""
    syntax = item(0x40, b"1.2.840.10008.1.2")
    body = b"\0\1\0\0" + title + b"RMDTEST".ljust(16) + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += b"".join(item(0x21, bytes([i, 0, result, 0]) + syntax) for i, result in results)
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.9.3811.9") + item(0x55, version)
    return pdu(0x02, body + item(0x50, user))


def command(context: int, field: int, status: int | None, *, data_set: int = 0x0101, comment: bytes = b"") -> bytes:
    """One command set in one P-DATA-TF."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, number, len(value)) + value

    content = element(0x0100, struct.pack("<H", field)) + element(0x0120, struct.pack("<H", 1))
    content += element(0x0800, struct.pack("<H", data_set))
    if status is not None:
        content += element(0x0900, struct.pack("<H", status))
    if comment:
        content += element(0x0902, comment)
    return data(context, 3, element(0, struct.pack("<I", len(content))) + content)


def data(context: int, control: int, value: bytes) -> bytes:
    return pdu(0x04, struct.pack(">IBB", len(value) + 2, context, control) + value)
