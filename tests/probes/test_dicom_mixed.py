"""Misbehaving archives among others, asked as a verify does it: nobody waits for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from nornir.core.inventory import Host, Hosts, Inventory

from remediate import runner, tasks
from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import Addresses, LocalVia, Pacs, Published, Service, ServiceKind, Site, Vantage, Zone
from remediate.runner import LoopRunner
from remediate.testing import Peer, Script, ScriptedPeer
from remediate.testing.dicom import rejects
from remediate.vantages import Lookout

from .misbehaving import CASES, accepts_everything
from .peers import LOOPBACK, question

SECONDS = 5.0


def seen_of(ports: dict[str, int], deadline: float = SECONDS) -> dict[str, Observation]:
    """One PACS for each port, all asked in one sweep."""
    site = Site(
        pacs={
            name: Pacs(
                name=name,
                ae_title="ARCHIVE",
                addresses=Addresses(outside=(Published(address=LOOPBACK),)),
                services=(Service(kind=ServiceKind.DICOM, port=port),),
            )
            for name, port in ports.items()
        },
        vantages={"here": Vantage(name="here", zone=Zone.OUTSIDE, via=LocalVia())},
    )
    questions: dict[str, list[Question]] = {
        name: [question(port).model_copy(update={"pacs": name})] for name, port in ports.items()
    }
    with closing(LoopRunner()) as loop:
        nornir = tasks.framework(Inventory(Hosts({name: Host(name) for name in ports})), site, loop)
        lookout = Lookout(site, ["here"])
        assert loop.submit(lookout.open()).result() == {}
        results = runner.run(
            nornir, tasks.ask, hosts=tuple(ports), questions=questions, dial=lookout.dial, deadline=deadline
        )
        loop.submit(lookout.aclose()).result()
    assert not results.failed
    return {name: result.result[0] for name, result in results.items()}


@contextmanager
def dropping() -> Iterator[int]:
    """A port whose SYNs the kernel drops: nobody accepts, and the queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        port = int(full.getsockname()[1])
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port


def test_none_holds_up_two_hundred_others() -> None:
    """The silent ones, which come first, say nothing until all the others were served: no deadline ends that."""
    served = 0

    async def serves(peer: Peer) -> None:
        nonlocal served
        await accepts_everything(peer)
        served += 1

    async def holds(peer: Peer) -> None:
        while served < 200:  # noqa: ASYNC110 -- each peer has a loop of its own
            await asyncio.sleep(0.02)
        peer.fin()

    with ScriptedPeer(serves) as good, ScriptedPeer(holds) as bad:
        ports = {f"bad-{number}": bad.port for number in range(40)}
        ports |= {f"good-{number}": good.port for number in range(200)}
        seen = seen_of(ports, deadline=100)
    assert {seen[f"good-{number}"].rung for number in range(200)} == {Rung.QUERY_ANSWERED}
    assert {seen[f"bad-{number}"].detail.partition(";")[0] for number in range(40)} == {
        "connection closed after the A-ASSOCIATE-RQ"
    }


def test_each_is_seen_as_it_is_among_two_hundred_others() -> None:
    with ExitStack() as stack:
        good = stack.enter_context(ScriptedPeer(accepts_everything)).port
        ports = {f"good-{number}": good for number in range(200)}
        names = dict(zip((f"bad-{number}" for number in range(len(CASES))), CASES, strict=True))
        for name, case in names.items():
            ports[name] = stack.enter_context(ScriptedPeer(CASES[case].script)).port
        ports["drops"] = stack.enter_context(dropping())

        seen = seen_of(dict(sorted(ports.items())))  # the bad ones come first
    assert {seen[f"good-{number}"].rung for number in range(200)} == {Rung.QUERY_ANSWERED}
    assert {case: seen[name].rung for name, case in names.items()} == {case: CASES[case].rung for case in CASES}
    assert seen["drops"].rung is Rung.FILTERED


def busy_then(then: Script) -> Script:
    """Rejects the first association for the moment."""
    met = 0

    async def script(peer: Peer) -> None:
        nonlocal met
        met += 1
        await (rejects(2, 3, 2) if met == 1 else then)(peer)

    return script


def test_a_transient_rejection_is_asked_again_once() -> None:
    async def gone(peer: Peer) -> None:
        peer.rst()

    with ScriptedPeer(busy_then(accepts_everything)) as peer:
        assert seen_of({"pacs-1": peer.port})["pacs-1"].rung is Rung.QUERY_ANSWERED
        assert [peer.connection().received[0] for _ in range(2)] == [1, 1]
    with ScriptedPeer(rejects(2, 3, 1)) as peer:
        seen = seen_of({"pacs-1": peer.port})["pacs-1"]
        assert (seen.rung, seen.reject) == (Rung.BUSY, (2, 3, 1))
        assert [peer.connection().received[0] for _ in range(2)] == [1, 1]


def test_a_second_try_that_did_not_get_there_does_not_undo_the_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])

        async def once() -> None:
            loop = asyncio.get_running_loop()
            server.setblocking(False)
            connection, _ = await loop.sock_accept(server)
            with connection:
                await loop.sock_recv(connection, 65536)
                server.close()  # the second try is refused
                await loop.sock_sendall(connection, b"\x03\0\0\0\0\x04\0\2\3\2")
                await loop.sock_recv(connection, 65536)

        async def main() -> Observation:
            asked = asyncio.to_thread(seen_of, {"pacs-1": port})
            return (await asyncio.gather(asked, once(), return_exceptions=True))[0]["pacs-1"]  # type: ignore[index]

        assert asyncio.run(main()).rung is Rung.BUSY
