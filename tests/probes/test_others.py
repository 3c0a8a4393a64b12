"""What holds for every probe."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from remediate.errors import ScopeError, VantageError
from remediate.model.observation import Question, Rung
from remediate.model.site import ServiceKind
from remediate.model.stream import DialFailed, Stream
from remediate.probes import PROBES, describe, observe

from .peers import Peer, ask, look_at, question


@pytest.mark.parametrize("kind", ServiceKind)
def test_every_kind_has_a_probe_that_says_closed(kind: ServiceKind) -> None:
    assert set(PROBES) == set(ServiceKind)
    before = datetime.now(UTC)
    seen = ask(unused_port(), kind)
    assert seen.rung is Rung.CLOSED and not seen.rung.reachable
    assert before <= seen.asked_at <= seen.answered_at


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

    def connect(self, *, tls: bool = False) -> Unopened:  # noqa: ARG002  (a Line's signature)
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
        async with asyncio.timeout(60):
            return await met

    assert asyncio.run(main()).reset


def test_describe() -> None:
    text = describe(question(104))
    assert text == "dicom at 127.0.0.1:104 of pacs-1, from here as RMDTEST to ARCHIVE"
    assert describe(question(80, ServiceKind.WEB)) == "web at 127.0.0.1:80 of pacs-1, from here"
