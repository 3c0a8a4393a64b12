"""Web servers that a test scripts, and questions put to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import ServiceKind
from remediate.probes import observe
from remediate.testing import Peer, ScriptedPeer
from remediate.vantages import Lookout

from . import peers

#: The status and headers, and the body, for a path with its query.
Page = Callable[[str], tuple[str, bytes]]


@dataclass
class Asked:
    """What a server was sent: a list of requests for each connection."""

    connections: list[list[bytes]] = field(default_factory=list)

    @property
    def requests(self) -> list[bytes]:
        return [request for one in self.connections for request in one]

    @property
    def targets(self) -> list[str]:
        return [request.split(b" ")[1].decode() for request in self.requests]


def http(head: str, body: bytes = b"") -> bytes:
    """``head``: a status and header lines, as in ``200 OK\\r\\nContent-Type: text/html``."""
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def html(title: str, text: str = "") -> tuple[str, bytes]:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{text}</body></html>"
    return "200 OK\r\nContent-Type: text/html; charset=utf-8", page.encode()


def data(text: str, media_type: str = "application/dicom+json") -> tuple[str, bytes]:
    return f"200 OK\r\nContent-Type: {media_type}", text.encode()


NOT_FOUND = ("404 Not Found\r\nContent-Type: text/html", b"<html><title>no</title></html>")


def pages(known: dict[str, tuple[str, bytes]], otherwise: tuple[str, bytes] = NOT_FOUND) -> Page:
    """By path; the query is not looked at."""
    return lambda target: known.get(target.partition("?")[0], otherwise)


async def look(question: Question, deadline: float) -> Observation:
    lookout = Lookout(peers.site(question.port, question.kind), ["here"])
    assert await lookout.open() == {}
    try:
        return await observe(lookout.dial, question, deadline)
    finally:
        await lookout.aclose()


def visit(
    page: Page,
    kind: ServiceKind = ServiceKind.WEB,
    *,
    called: str | None = None,
    count: bool = False,
    up_to: Rung | None = None,
    last: Callable[[int], bool] = lambda _: False,
    deadline: float = 3.0,
) -> tuple[Observation, Asked]:
    """``last``: whether a connection ends, unannounced, after so many answers."""
    asked = Asked()

    async def script(peer: Peer) -> None:
        mine: list[bytes] = []
        asked.connections.append(mine)
        while True:
            try:
                request = await peer.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            mine.append(request)
            head, body = page(request.split(b" ")[1].decode())
            await peer.say(http(head, body))
            if "Connection: close" in head or last(len(mine)):
                peer.fin()
                return

    async def main() -> Observation:
        async with ScriptedPeer(script) as scripted:
            question = peers.question(scripted.port, kind)
            more = {"called_ae_title": called, "count": count, "up_to": up_to}
            return await look(question.model_copy(update=more), deadline)

    return asyncio.run(main()), asked
