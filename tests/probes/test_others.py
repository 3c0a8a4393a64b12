"""Web, FTP, and what holds for every probe."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from importlib import import_module

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediate.errors import ScopeError, VantageError
from remediate.model.observation import Question, Rung
from remediate.model.site import ServiceKind
from remediate.model.stream import DialFailed, Stream, StreamEnded
from remediate.probes import PROBES, describe, observe
from remediate.probes import upper_layer as ul
from remediate.probes.found import Found

from .peers import DEADLINE, Peer, Script, ac, ask, command, look_at, pdu, question


def http(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        peer.received += await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(answer)

    return script


def says(banner: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.say(banner)

    return script


async def floods(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.say(bytes(65536))


async def closes(peer: Peer) -> None:
    peer.fin()


@pytest.mark.parametrize(
    ("script", "rung", "status"),
    [
        (http(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Rung.HTTP_ANSWERED, 200),
        (http(b"HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\n\r\n"), Rung.HTTP_ANSWERED, 301),
        (http(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\n\r\n"), Rung.HTTP_ANSWERED, 404),
        (http(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=MADEUP\r\n\r\n"), Rung.HTTP_GUARDED, 401),
        (http(b"HTTP/1.1 403 No\r\n\r\n"), Rung.HTTP_GUARDED, 403),
        (http(b"HTTP/1.1 502 No\r\n\r\n"), Rung.HTTP_ERROR, 502),
        (http(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Rung.HTTP_ANSWERED, 200),
        (floods, Rung.HTTP_ANSWERED, 200),
        (http(b"SSH-2.0-x\r\n"), Rung.NOT_HTTP, None),
        (http(b"HTTP/1.1 200 OK\r\n" + b"a" * 70000), Rung.NOT_HTTP, None),
        (http(b""), Rung.NOT_HTTP, None),
        (closes, Rung.NOT_HTTP, None),
    ],
)
def test_web(script: Script, rung: Rung, status: int | None) -> None:
    seen, peer = asyncio.run(look_at(script, ServiceKind.WEB))
    assert (seen.rung, seen.status) == (rung, status)
    assert "MADEUP" not in seen.model_dump_json()
    received = bytes(peer.received)
    assert received.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:") or script in (floods, closes)


@pytest.mark.parametrize(
    ("banner", "detail"),
    [
        (b"220 MADEUP ready\r\n", "FTP greeting 220"),
        (b"530 no\r\n", "no FTP greeting"),
        (b"2", "no answer in time"),
        (b"x" * 3000, "no FTP greeting"),
    ],
)
def test_ftp(banner: bytes, detail: str) -> None:
    seen, peer = asyncio.run(look_at(says(banner), ServiceKind.FTP))
    assert seen.rung is Rung.OPEN
    assert detail in seen.detail and "MADEUP" not in seen.detail
    assert bytes(peer.received) == (b"QUIT\r\n" if banner.startswith(b"220") else b"")


@pytest.mark.parametrize("kind", ServiceKind)
def test_every_kind_has_a_probe_that_says_closed(kind: ServiceKind) -> None:
    assert set(PROBES) == set(ServiceKind)
    before = datetime.now(UTC)
    seen = ask(unused_port(), kind)
    assert seen.rung is Rung.CLOSED and not seen.rung.reachable
    assert before <= seen.asked_at <= seen.answered_at
    assert 0 <= seen.elapsed < DEADLINE


def unused_port() -> int:
    async def port() -> int:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            return int(server.sockets[0].getsockname()[1])

    return asyncio.run(port())


class BadDial:
    """A dial whose connections fail as told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, question: Question, deadline: float) -> BadDial:  # noqa: ARG002  (a Dial's signature)
        return self

    async def __aenter__(self) -> BadDial:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def connect(self) -> Unopened:
        return Unopened(self.error)


class Unopened:
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aenter__(self) -> Stream:
        raise self.error

    async def __aexit__(self, *exc_info: object) -> None:
        raise AssertionError("never entered")


def test_what_a_dial_says_is_the_observation() -> None:
    seen = asyncio.run(observe(BadDial(DialFailed(Rung.FILTERED, "no answer")), question(104), 1))
    assert (seen.rung, seen.detail) == (Rung.FILTERED, "no answer")
    seen = asyncio.run(observe(BadDial(VantageError("gone")), question(104), 1))
    assert seen.rung is Rung.INCONCLUSIVE
    with pytest.raises(ScopeError):
        asyncio.run(observe(BadDial(ScopeError("not in the inventory")), question(104), 1))


def test_cancellation_passes_and_the_peer_sees_a_reset() -> None:
    async def main() -> Peer:
        met: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
        probing: list[asyncio.Task[object]] = []

        async def cancel(peer: Peer) -> None:
            await peer.pdu()
            probing[0].cancel()
            await peer.rest()
            met.set_result(peer)

        probing.append(asyncio.create_task(look_at(cancel, deadline=30)))
        with pytest.raises(asyncio.CancelledError):
            await probing[0]
        async with asyncio.timeout(2):
            return await met

    assert asyncio.run(main()).reset


def test_describe() -> None:
    text = describe(question(104))
    assert text == "dicom at 127.0.0.1:104 of pacs-1, from here as RMDTEST to ARCHIVE"
    assert describe(question(80, ServiceKind.WEB)) == "web at 127.0.0.1:80 of pacs-1, from here"


GOOD = (
    ac([(i, 0) for i in ul.ROLE]),
    command(1, 0x8030, 0),
    command(3, 0x8020, 0xFF00, data_set=1),
    command(3, 0x8020, 0),
    pdu(0x03, b"\0\1\1\3"),
    pdu(0x07, bytes(4)),
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"220 ready\r\n",
)


@st.composite
def almost_good(draw: st.DrawFn) -> bytes:
    """A conversation with a few bytes changed, lost or added."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


class Canned:
    """A line whose one stream has all come already; then the peer is gone."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def recv(self, most: int) -> bytes:
        if not self.data:
            raise StreamEnded("the peer closed the connection")
        piece, self.data = self.data[:most], self.data[most:]
        return piece

    async def exactly(self, n: int) -> bytes:
        if len(self.data) < n:
            raise StreamEnded("the peer closed the connection")
        return await self.recv(n) if n else b""

    def connect(self) -> Canned:
        return self

    async def __aenter__(self) -> Canned:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.data = b""


@settings(max_examples=1000, deadline=None)
@given(data=almost_good(), kind=st.sampled_from(ServiceKind))
def test_no_bytes_make_a_reader_raise(data: bytes, kind: ServiceKind) -> None:
    probe = import_module(PROBES[kind])
    found = Found(probe.FIRST)
    asyncio.run(probe.ask(Canned(data), question(104, kind), found))
    assert found.rung.reachable


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=300) | almost_good(), fin=st.booleans(), kind=st.sampled_from(ServiceKind))
def test_no_bytes_make_a_probe_raise_or_linger(data: bytes, fin: bool, kind: ServiceKind) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(data)
        if fin:
            peer.fin()

    start = time.monotonic()
    seen, _ = asyncio.run(look_at(script, kind, 0.05))
    assert time.monotonic() - start < 0.05 + 0.5
    assert seen.rung.reachable
