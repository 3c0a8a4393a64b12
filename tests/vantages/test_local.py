"""The local vantage, the stream, and the wrapper around the dial."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
import time
from ipaddress import ip_address

import pytest

from remediate.errors import ScopeError
from remediate.model.observation import Rung
from remediate.model.site import Limits, LocalVia, Scope
from remediate.model.stream import ByteCapExceeded, DialFailed, StreamEnded, StreamReset
from remediate.vantages import Lookout
from remediate.vantages.dial import Dialer, hang_up
from remediate.vantages.local import LocalPlace
from remediate.vantages.stream import PeerStream

from .places import greets, is_silent, question, run, serving, site

LOOPBACK = ip_address("127.0.0.1")
HERE = LocalVia()


def unused_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        return int(server.getsockname()[1])


def be_busy(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def dial(port: int, *, byte_cap: int = 1000, deadline: float = 0.3, source: str | None = None) -> PeerStream:
    return await LocalPlace(ip_address(source) if source else None).dial(LOOPBACK, port, deadline, byte_cap)


# -- the stream ---------------------------------------------------------------------------------------


def test_reads_what_there_is_and_then_how_it_ended() -> None:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"abcdef")
        writer.write_eof()
        await reader.read()

    async def main() -> None:
        async with serving(talks) as port:
            stream = await dial(port)
            assert await stream.exactly(2) == b"ab"
            assert await stream.recv(3) == b"cde"
            assert await stream.recv(3) == b"f"
            for _ in range(2):
                with pytest.raises(StreamEnded):
                    await stream.recv(1)
            stream.abort()
            await hang_up(stream)

    asyncio.run(main())


def test_a_reset_is_not_an_end() -> None:
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def main() -> None:
        async with serving(resets) as port:
            stream = await dial(port)
            with pytest.raises(StreamReset):
                await stream.exactly(1)
            await hang_up(stream)

    asyncio.run(main())


def test_all_reads_together_have_one_deadline() -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)  # the peer's slowness is what is tested

    async def main() -> int:
        """How many reads there were; with a deadline for each there would be no end of them."""
        reads = 0
        async with serving(drips) as port:
            stream = await dial(port, deadline=1.0)
            with pytest.raises(TimeoutError):
                while True:
                    await stream.recv(1)
                    reads += 1
            await hang_up(stream)
        return reads

    assert asyncio.run(main()) > 0


def test_what_came_in_time_is_read_though_the_loop_was_late() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            stream = await dial(server.getsockname()[1], deadline=0.05)
            reading = asyncio.ensure_future(stream.exactly(3))
            await asyncio.sleep(0)
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220")
                be_busy(0.2)
                assert await reading == b"220"
                with pytest.raises(TimeoutError):
                    await stream.exactly(1)
                await hang_up(stream)

    asyncio.run(main())


def test_a_piece_of_an_answer_is_acknowledged_at_once() -> None:
    """A peer with Nagle's algorithm keeps the next piece until then; the kernel's own ACK may take 40 ms and more."""

    def unacknowledged(sock: socket.socket) -> int:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            stream = await dial(server.getsockname()[1], deadline=30)
            peer, _ = server.accept()
            left = []
            with peer:
                for _ in range(20):  # the kernel begins to wait after some exchanges
                    stream.write(b"x")
                    assert peer.recv(1) == b"x"
                    peer.sendall(b"a")
                    assert await stream.exactly(1) == b"a"
                    rest = asyncio.ensure_future(stream.exactly(1))
                    await asyncio.sleep(0)
                    left.append(unacknowledged(peer))
                    peer.sendall(b"b")
                    assert await rest == b"b"
            await hang_up(stream)
            assert left == [0] * 20

    asyncio.run(main())


def test_a_peer_that_floods_is_cut_off_at_the_cap() -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(4096))
            await writer.drain()

    async def main() -> None:
        async with serving(floods) as port:
            stream = await dial(port, byte_cap=100_000, deadline=5)
            with pytest.raises(ByteCapExceeded):
                await stream.exactly(100_001)
            await asyncio.wait_for(stream.wait_closed(), 60)

    asyncio.run(main())


# -- local --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["127.0.0.7", "127.0.0.8"])
def test_the_source_address_is_the_one_asked_for(source: str) -> None:
    seen: list[str] = []

    async def notes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await greets(reader, writer)

    async def main() -> None:
        async with serving(notes) as port:
            lookout = Lookout(site("127.0.0.1", here=LocalVia(source=ip_address(source))), ["here"])
            assert await lookout.open() == {}
            async with lookout.dial(question(port), 1) as line, line.connect() as stream:
                assert await stream.exactly(3) == b"220"
            await lookout.aclose()

    asyncio.run(main())
    assert seen == [source]


def test_ipv6() -> None:
    async def main() -> None:
        async with serving(greets, "::1") as port:
            lookout = Lookout(site("::1", here=HERE, v4=LocalVia(source=LOOPBACK)), ["here", "v4"])
            assert await lookout.open() == {}
            async with lookout.dial(question(port, address="::1"), 1) as line, line.connect() as stream:
                assert await stream.exactly(3) == b"220"
            with pytest.raises(DialFailed) as failed:
                async with lookout.dial(question(port, address="::1", vantage="v4"), 1) as line, line.connect():
                    pass
            assert failed.value.rung is Rung.INCONCLUSIVE
        with pytest.raises(DialFailed) as failed:
            async with lookout.dial(question(port, address="::1"), 1) as line, line.connect():
                pass
        assert failed.value.rung is Rung.CLOSED

    asyncio.run(main())


def test_a_source_address_of_somebody_else_is_said_at_the_opening() -> None:
    async def main() -> None:
        elsewhere = LocalVia(source=ip_address("192.0.2.7"))
        lookout = Lookout(site("127.0.0.1", here=HERE, elsewhere=elsewhere), ["here", "elsewhere", "nowhere"])
        errors = await lookout.open()
        assert set(errors) == {"elsewhere", "nowhere"}
        assert "192.0.2.7" in str(errors["elsewhere"])
        assert not (await lookout.canaries("elsewhere")).alive
        assert (await lookout.canaries("here")).detail == "no canaries"
        with pytest.raises(DialFailed) as failed:
            async with lookout.dial(question(unused_port(), vantage="elsewhere"), 1) as line, line.connect():
                pass
        assert failed.value.rung is Rung.INCONCLUSIVE

    asyncio.run(main())


def test_a_busy_loop_never_calls_an_answered_port_filtered() -> None:
    """The connect is answered by the kernel at once; the loop looks only after the deadline."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialling = asyncio.ensure_future(dial(server.getsockname()[1], deadline=0.05))
            await asyncio.sleep(0)
            be_busy(0.3)
            try:
                await hang_up(await dialling)  # seen in the same turn of the loop as the deadline
            except DialFailed as failed:
                assert failed.rung is Rung.INCONCLUSIVE

    asyncio.run(main())


# -- canaries -----------------------------------------------------------------------------------------


def test_canaries() -> None:
    async def main() -> None:
        async with serving(is_silent) as one, serving(is_silent) as two:
            dead = unused_port()
            lookout = Lookout(site(canaries=(("127.0.0.1", one), ("127.0.0.1", two)), here=HERE), ["here"])
            await lookout.open()
            report = await lookout.canaries("here")
            assert report.alive and report.detail == ""
            lookout = Lookout(site(canaries=(("127.0.0.1", one), ("127.0.0.1", dead)), here=HERE), ["here"])
            await lookout.open()
            report = await lookout.canaries("here")
            assert not report.alive and f"127.0.0.1 port {dead}: closed" in report.detail
            assert str(one) not in report.detail

    asyncio.run(main())


# -- scope and gate -----------------------------------------------------------------------------------


def test_an_address_outside_the_scope_is_never_dialled() -> None:
    connections: list[int] = []

    async def main() -> None:
        seen = asyncio.Event()

        async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer.get_extra_info("peername")[1])
            seen.set()

        async with serving(counts) as port:
            lookout = Lookout(site("192.0.2.1", here=HERE), ["here"])
            await lookout.open()
            for _ in range(2):  # the gate is free again
                with pytest.raises(ScopeError, match=r"127\.0\.0\.1"):
                    async with lookout.dial(question(port), 1) as line, line.connect():
                        pass
            # a later connection of ours is accepted after any that was sent before it
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await seen.wait()
            assert connections == [writer.get_extra_info("sockname")[1]]
            writer.close()

    asyncio.run(main())


def test_one_connection_at_a_time_to_one_service_from_all_vantages() -> None:
    open_now = most = total = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most, total
        open_now, total = open_now + 1, total + 1
        most = max(most, open_now)
        try:
            await greets(reader, writer)
        finally:
            open_now -= 1

    async def ask(lookout: Lookout, port: int, vantage: str, service_port: int) -> None:
        asked = question(port, vantage=vantage, service_port=service_port)
        async with lookout.dial(asked, 2) as line, line.connect() as stream:
            await stream.exactly(3)

    async def main(*service_ports: int) -> None:
        nonlocal most
        most = 0
        async with serving(counts) as port:
            lookout = Lookout(site("127.0.0.1", here=HERE, there=HERE), ["here", "there"])
            await lookout.open()
            questions = [(v, p) for v in ("here", "there") for p in service_ports for _ in range(4)]
            await asyncio.gather(*(ask(lookout, port, vantage, p) for vantage, p in questions))

    asyncio.run(main(104))
    assert (most, total) == (1, 8)
    asyncio.run(main(104, 11112))
    assert most == 2  # the counter does see connections that overlap


def test_a_cancelled_question_frees_the_gate_and_resets() -> None:
    async def main() -> None:
        ends: asyncio.Queue[str] = asyncio.Queue()

        async def notes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
                await ends.put("fin")
            except ConnectionResetError:
                await ends.put("rst")

        async with serving(notes) as port:
            dialer = Dialer(Scope(addresses=frozenset({LOOPBACK})), {"here": LocalPlace(None)}, Limits())
            entered = asyncio.Event()

            async def ask() -> None:
                async with dialer(question(port), 30) as line, line.connect() as stream:
                    entered.set()
                    await stream.exactly(1)

            first, second = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
            await entered.wait()
            second.cancel()  # while it waits for the gate
            first.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            async with asyncio.timeout(60):
                assert await ends.get() == "rst"
                async with dialer(question(port), 60) as line, line.connect():
                    pass
                assert await ends.get() == "rst"

    asyncio.run(main())


# -- what only a network can show ---------------------------------------------------------------------

#: Run in a namespace of its own. 5 s: a neighbour that does not answer is given up after 3.
ASK = """
import asyncio, sys
from ipaddress import ip_address
from remediate.model.stream import DialFailed
from remediate.vantages.dial import hang_up
from remediate.vantages.local import LocalPlace

async def ask(case):
    address, port = case.rsplit(" ", 1)
    try:
        await hang_up(await LocalPlace(None).dial(ip_address(address), int(port), 5.0, 1000))
    except DialFailed as error:
        return error.rung.value if error.icmp is None else f"{error.rung.value}: {error.icmp}"
    return "open"

async def main():
    print("\\n".join(await asyncio.gather(*map(ask, sys.argv[1:]))))

asyncio.run(main())
"""


def test_filtered_unreachable_and_closed_as_the_kernel_saw_them(two_hosts: str) -> None:
    cases = {
        "192.0.2.2 104": "filtered",
        "192.0.2.2 201": "unreachable: host unreachable (ICMP type 3, code 1)",
        "192.0.2.2 202": "unreachable: protocol unreachable (ICMP type 3, code 2)",
        "192.0.2.2 209": "unreachable: network administratively prohibited (ICMP type 3, code 9)",
        "192.0.2.2 210": "unreachable: host administratively prohibited (ICMP type 3, code 10)",
        "192.0.2.2 213": "unreachable: administratively prohibited (ICMP type 3, code 13)",
        "192.0.2.2 106": "closed",
        "192.0.2.2 107": "closed",
        "192.0.2.2 108": "closed",  # nobody listens
        "192.0.2.9 104": "inconclusive",  # no such neighbour: this machine's own message
        "203.0.113.1 104": "inconclusive",  # no route
        "2001:db8::2 104": "filtered",
        "2001:db8::2 200": "unreachable: no route (ICMPv6 type 1, code 0)",
        "2001:db8::2 201": "unreachable: administratively prohibited (ICMPv6 type 1, code 1)",
        "2001:db8::2 203": "unreachable: address unreachable (ICMPv6 type 1, code 3)",
        "2001:db8::2 107": "closed",
        "2001:db8::9 104": "inconclusive",
        "2001:db8:1::1 104": "inconclusive",
    }
    seen = run("ip", "netns", "exec", two_hosts, sys.executable, "-c", ASK, *cases).splitlines()
    assert dict(zip(cases, seen, strict=True)) == cases
